//! Where implementations are known to slip: packets that look like something else, frames of absurd
//! sizes, checks that a header in front or a shared route would get around.

use std::net::Ipv4Addr;

use crate::addresses::{BROADCAST_MAC, G, H, H_MAC, H6, L, L_MAC, L6, R, R6, U, U6, X6};
use crate::bench::Bench;
use crate::capture::Record;
use crate::case::{Case, Expected, run_all};
use crate::conserve::dropped;
use crate::frames::{
    IPIP, IPV6, Ipv6Packet, encap4, ethernet, ethernet_of, from_gateway, from_host, peer4, peer6,
    to_gateway, to_host, udp4, udp4_flow, udp6,
};
use crate::icmp::{echo_reply4, echo_request4};
use crate::run::{MILLISECOND, Outcome, Replay, START};

const DESTINATION: u8 = 60;
const ROUTING: u8 = 43;
const PAD: [u8; 8] = [0, 0, 1, 4, 0, 0, 0, 0];

/// `frame` is dropped without a sound, on whatever counter, at the latest when nothing waits any more.
fn vanishes(name: &str, bench: Bench, port: &str, frame: Vec<u8>) {
    let mut replay = Replay::new(bench);
    replay.input(port, 0, frame);
    replay.linger = Some("60".into());
    let outcome = replay.run();
    let sent: usize = outcome.sent.values().map(Vec::len).sum();
    assert_eq!((sent, dropped(&outcome)), (0, 1), "{name}: {:?}", outcome.counters);
}

#[test]
fn a_last_fragment_of_a_tunnel_packet_is_not_taken_for_a_whole_one() {
    let outer = peer4(IPIP, udp4(R, H, 84)).dont_fragment(false);
    vanishes("last", Bench::ipip(), "u", from_gateway(outer.clone().fragment(5, false)));
    vanishes("first", Bench::ipip(), "u", from_gateway(outer.clone().fragment(0, true)));
    vanishes("middle", Bench::ipip(), "u", from_gateway(outer.fragment(5, true)));
    let last6 = peer6(IPIP, udp4(R, H, 84)).extension(44, vec![0, 0, 0, 0x28, 1, 2, 3, 4]);
    vanishes("last, IPv6", Bench::any6(), "u", from_gateway(last6));
}

#[test]
fn a_type_0_routing_header_is_found_behind_other_headers() {
    let hop = R6.octets();
    let routing = [&[0u8, 2, 0, 1, 0, 0, 0, 0], hop.as_slice()].concat();
    let hidden = |packet: Ipv6Packet| {
        packet.extension(ROUTING, routing.clone()).extension(DESTINATION, PAD.to_vec())
    };
    run_all([
        Case::new("inside", Bench::sit())
            .input("u", from_gateway(peer4(IPV6, hidden(udp6(R6, H6, 100)))))
            .tunnel_counts("s0", "rx_inner_src_route"),
        Case::new("outside", Bench::any6())
            .input("u", from_gateway(hidden(peer6(IPIP, udp4(R, H, 84)))))
            .counts("ip6.rh0"),
    ]);
}

#[test]
fn a_nested_tunnel_packet_is_found_behind_other_headers() {
    let bench = Bench::any6()
        .set("tunnels.n6.inner-source", "off")
        .tunnel("t1", "any", r#""2001:db8:100::1""#, r#""2001:db8:200::66""#)
        .set("tunnels.t1.inner-source", "off");
    let middle = Ipv6Packet::new(X6, U6, IPV6, udp6(R6, H6, 100));
    let middle = middle.extension(DESTINATION, PAD.to_vec());
    Case::new("nested behind options", bench)
        .input("u", from_gateway(peer6(IPV6, middle)))
        .tunnel_counts("n6", "rx_nested_limit")
        .run();
}

#[test]
fn a_shared_route_does_not_lead_back_into_the_tunnel() {
    let hops = "[{ via: 198.51.100.254, weight: 1 }, { tunnel: t0, weight: 1 }]";
    let bench = Bench::ipip().route(&format!("{{ to: 10.7.0.0/16, next-hops: {hops} }}"));
    let mut replay = Replay::new(bench);
    for flow in 0..64u16 {
        let inner = udp4_flow(R, Ipv4Addr::new(10, 7, 0, 1), (10_000 + flow, 40_001), 84);
        replay.input("u", u64::from(flow), from_gateway(peer4(IPIP, inner)));
    }
    let outcome = replay.run();
    let frames = outcome.frames("u");
    assert!(frames.iter().all(|frame| frame[23] != IPIP), "nothing goes back to the peer");
    let refused = outcome.counter("tunnels.t0.rx_hairpin");
    assert_eq!(frames.len() as u64 + refused, 64, "the others take the gateway");
    assert!((10..=54).contains(&refused), "{refused} of 64 flows hash to the tunnel");
}

#[test]
fn sources_that_do_not_leave_their_link_are_not_forwarded() {
    let link_local = udp6("fe80::5".parse().unwrap(), R6, 100);
    let nobody = udp6("::".parse().unwrap(), R6, 100);
    let group = udp6("ff02::5".parse().unwrap(), R6, 100);
    let mapped = udp6("::ffff:10.1.0.5".parse().unwrap(), R6, 100);
    let counted = |packet: Ipv6Packet| {
        Case::new("IPv6 source", Bench::sit())
            .input("l", from_host(packet))
            .counts("ip6.martian_src")
    };
    run_all([link_local, nobody, group, mapped].map(counted));
}

#[test]
fn nothing_to_a_group_or_to_everybody_is_forwarded_or_answered() {
    for to in ["224.0.0.5", "239.1.2.3", "255.255.255.255", "10.1.0.255", "198.51.100.255"] {
        let packet = udp4(H, to.parse().unwrap(), 84);
        vanishes(to, Bench::ipip(), "l", ethernet(BROADCAST_MAC, H_MAC, packet.clone()));
        vanishes(to, Bench::ipip(), "l", from_host(packet));
    }
    for to in ["ff02::5", "ff0e::1"] {
        let packet = udp6(H6, to.parse().unwrap(), 100);
        vanishes(to, Bench::sit(), "l", from_host(packet));
    }
}

#[test]
fn an_error_from_the_underlay_is_taken_in_silence() {
    let about = encap4(IPIP, udp4(H, R, 84));
    let error = crate::icmp::error4(G, U, (3, 1), 0, about);
    let mut replay = Replay::new(Bench::ipip());
    replay.input("u", 0, from_gateway(error));
    let outcome = replay.run();
    assert!(outcome.frames("u").is_empty(), "an error is never answered with an error");
}

fn run_of(frames: Vec<Vec<u8>>, bench: Bench) -> Outcome {
    let mut replay = Replay::new(bench);
    for (at, frame) in frames.into_iter().enumerate() {
        replay.input("l", at as u64 * MILLISECOND, frame);
    }
    replay.run()
}

#[test]
fn frames_of_absurd_sizes_are_carried_or_dropped_but_accounted_for() {
    let sizes = [0usize, 1, 13, 14, 33, 34, 1514, 1515, 2000, 2048, 4096, 9018];
    let frames = sizes.map(|size| {
        let mut frame = from_host(udp4(H, R, 84));
        frame.resize(size, 0x5a);
        frame
    });
    let outcome = run_of(frames.to_vec(), Bench::ipip());
    assert_eq!(outcome.counter("ports.l.rx_packets"), sizes.len() as u64);
}

#[test]
fn a_large_packet_without_df_is_cut_to_what_fits() {
    let packet = udp4(H, R, 4000).dont_fragment(false);
    let outcome = run_of(vec![from_host(packet)], Bench::ipip());
    let sent = outcome.frames("u");
    assert!(sent.iter().all(|frame| frame.len() <= 1514), "no frame above the port's MTU");
    assert!(sent.len() == 3 || dropped(&outcome) == 1, "cut, or dropped and counted");
}

#[test]
fn jumbo_ports_carry_jumbo_packets() {
    let bench = Bench::ipip().set("ports.u.mtu", "9000").set("ports.l.mtu", "9000");
    run_all([
        Case::new("jumbo encap", bench.clone())
            .input("l", from_host(udp4(H, R, 8980)))
            .expect("u", to_gateway(encap4(IPIP, udp4(H, R, 8980).ttl(63))))
            .tunnel_sends("t0", 8980),
        Case::new("jumbo decap", bench)
            .input("u", from_gateway(peer4(IPIP, udp4(R, H, 8980))))
            .expect("l", to_host(udp4(R, H, 8980).ttl(63)))
            .tunnel_accepts("t0", 8980),
    ]);
}

#[test]
fn a_capture_whose_clock_steps_back_is_played_to_the_end() {
    let record = |at: u64, len| Record::new(START + at, from_host(udp4(H, R, len)));
    let mut replay = Replay::new(Bench::ipip());
    let records = vec![record(5_000_000_000, 84), record(0, 85), record(6_000_000_000, 86)];
    replay.inputs.push(("l".into(), records));
    let outcome = replay.run();
    assert_eq!(outcome.frames("u").len(), 3);
}

#[test]
fn a_capture_without_frames_is_no_mistake() {
    let mut replay = Replay::new(Bench::ipip());
    replay.inputs.push(("l".into(), Vec::new()));
    let outcome = replay.run();
    assert!(outcome.frames("u").is_empty() && outcome.frames("l").is_empty());
}

#[test]
fn a_tagged_frame_is_counted_as_a_type_that_is_not_carried() {
    let tagged = [&[0, 7, 8, 0][..], &udp4(H, R, 84).bytes()].concat();
    Case::new("802.1Q", Bench::ipip())
        .input("l", ethernet_of(L_MAC, H_MAC, 0x8100, tagged))
        .counts("l2.ethertype")
        .run();
}

#[test]
fn a_host_that_pings_through_gets_its_answer_from_the_tunnel() {
    // Two directions of one flow in one run, interleaved with a stranger's packets.
    let mut stranger = peer6(IPIP, udp4(R, H, 84));
    stranger.header.source = X6.octets();
    let mut case = Case::new("both ways at once", Bench::any6());
    for _ in 0..10 {
        case = case
            .input("l", from_host(udp4(H, R, 84)))
            .input("u", from_gateway(stranger.clone()))
            .input("u", from_gateway(peer6(IPIP, udp4(R, H, 84))))
            .expect(
                "u",
                Expected::any_flow_label(to_gateway(crate::frames::encap6(
                    IPIP,
                    udp4(H, R, 84).ttl(63),
                ))),
            )
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_sends("n6", 84)
            .tunnel_accepts("n6", 84)
            .counts("tun.no_match");
    }
    case.run();
}

#[test]
fn an_icmp_error_is_not_sent_to_a_source_that_is_no_host() {
    let expired = |source: Ipv4Addr| udp4(source, R, 84).ttl(1);
    for source in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1", "240.0.0.1"] {
        vanishes(source, Bench::ipip(), "l", from_host(expired(source.parse().unwrap())));
    }
}

#[test]
fn the_broadcast_address_of_the_tunnels_own_net_is_no_host() {
    let broadcast = Ipv4Addr::new(192, 168, 50, 3);
    let inner = udp4(broadcast, H, 84);
    let off = Bench::ipip().set("tunnels.t0.inner-source", "off");
    Case::new("as a source", off)
        .input("u", from_gateway(peer4(IPIP, inner)))
        .tunnel_counts("t0", "rx_inner_martian_src")
        .run();
    vanishes("as a destination", Bench::ipip(), "l", from_host(udp4(H, broadcast, 84)));
}

#[test]
fn both_ends_of_a_point_to_point_net_are_hosts() {
    // RFC 3021: a /31 has no broadcast address.
    let bench = Bench::ipip().set("tunnels.t0.addresses", "[192.168.50.0/31]");
    let (near, far) = (Ipv4Addr::new(192, 168, 50, 0), Ipv4Addr::new(192, 168, 50, 1));
    let reply = to_gateway(encap4(IPIP, echo_reply4(near, far, 84)));
    Case::new("/31", bench)
        .input("u", from_gateway(peer4(IPIP, echo_request4(far, near, 84))))
        .expect("u", Expected::reply4(reply, 34))
        .input("l", from_host(udp4(H, far, 84)))
        .expect("u", to_gateway(encap4(IPIP, udp4(H, far, 84).ttl(63))))
        .tunnel_accepts("t0", 84)
        .tunnel_sends("t0", 84)
        .tunnel_sends("t0", 84)
        .run();
}

#[test]
fn a_broken_udp_datagram_is_not_answered_but_counted() {
    let mut checksum = udp4(H, L, 84);
    checksum.payload[6] ^= 1;
    let mut short = udp4(H, L, 84);
    short.payload[5] += 1;
    let mut absent = udp6(H6, L6, 100);
    absent.payload[6..8].fill(0);
    run_all([
        Case::new("udp.bad_csum", Bench::bare())
            .input("l", from_host(checksum))
            .counts("udp.bad_csum"),
        Case::new("udp.short", Bench::bare()).input("l", from_host(short)).counts("udp.short"),
        Case::new("udp.zero_csum6", Bench::bare())
            .input("l", from_host(absent))
            .counts("udp.zero_csum6"),
    ]);
}
