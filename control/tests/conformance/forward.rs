//! Forwarding beyond the numbered list: between ports, by prefix, metric and weight, to routes that end a
//! packet, and from tunnel to tunnel.

use std::net::Ipv4Addr;

use crate::addresses::{G, G_MAC, G6, H, H_MAC, H6, L, L_MAC, L6, P6, R, R6, U_MAC, U6, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, ethernet, from_gateway, from_host, peer4,
    peer6, to_gateway, to_host, udp4, udp4_flow, udp6,
};
use crate::icmp::{HOP_EXPIRED6, PROHIBITED, PROHIBITED6, TTL_EXPIRED, error4, error6};
use crate::run::Replay;

const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const OTHER_GATEWAY: &str = r#"198.51.100.253: "02:00:00:00:00:fd""#;
const OTHER_GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfd];

/// The static neighbors of the bench on U, and one more: an unknown next hop would be asked for.
fn gateways(another: &str) -> String {
    let mac = r#""02:00:00:00:00:fe""#;
    format!(r#"{{ 198.51.100.254: {mac}, "2001:db8:100::fe": {mac}, {another} }}"#)
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn forwards(name: &str, bench: Bench, packet: &Ipv4Packet) -> Case {
    Case::new(name, bench)
        .input("l", from_host(packet.clone()))
        .expect("u", to_gateway(packet.clone().ttl(packet.header.time_to_live - 1)))
}

#[test]
fn both_families_are_forwarded_both_ways_with_one_hop_less() {
    let far6 = "2001:db8:200::9".parse().unwrap();
    run_all([
        forwards("IPv4 out", Bench::bare(), &udp4(H, FAR, 1500)),
        Case::new("IPv4 in", Bench::bare())
            .input("u", from_gateway(udp4(FAR, H, 84)))
            .expect("l", to_host(udp4(FAR, H, 84).ttl(63))),
        Case::new("IPv6 out", Bench::bare())
            .input("l", from_host(udp6(H6, far6, 1500)))
            .expect("u", to_gateway(udp6(H6, far6, 1500).hop_limit(63))),
        Case::new("IPv6 in", Bench::bare())
            .input("u", from_gateway(udp6(far6, H6, 100)))
            .expect("l", to_host(udp6(far6, H6, 100).hop_limit(63))),
        Case::new("between connected hosts", Bench::bare())
            .input("u", from_gateway(udp6(G6, H6, 100)))
            .expect("l", to_host(udp6(G6, H6, 100).hop_limit(63))),
        Case::new("to the gateway itself", Bench::bare())
            .input("l", from_host(udp4(H, G, 84)))
            .expect("u", to_gateway(udp4(H, G, 84).ttl(63))),
    ]);
}

#[test]
fn a_forwarded_packet_keeps_options_fragments_and_every_other_field() {
    let fragment = udp4(H, FAR, 84).dont_fragment(false).fragment(77, true).tos(0xb9).id(0xffff);
    let options = udp4(H, FAR, 84).options(&[0x94, 4, 0, 0]);
    let mut padded = from_host(udp4(H, FAR, 40));
    padded.resize(60, 0xaa);
    let label = udp6(H6, "2001:db8:200::9".parse().unwrap(), 100).flow_label(0x12345);
    run_all([
        forwards("a fragment", Bench::bare(), &fragment),
        forwards("router alert", Bench::bare(), &options),
        Case::new("padding is not forwarded", Bench::bare())
            .input("l", padded)
            .expect("u", to_gateway(udp4(H, FAR, 40).ttl(63))),
        Case::new("an inner flow label is kept", Bench::bare())
            .input("l", from_host(label.clone().traffic_class(0x55)))
            .expect("u", to_gateway(label.traffic_class(0x55).hop_limit(63))),
    ]);
}

#[test]
fn a_ttl_ends_in_plain_forwarding_too() {
    let (four, six) = (udp4(FAR, H, 84).ttl(1), udp6(P6, H6, 100).hop_limit(1));
    let source = crate::addresses::U;
    let error = error4(source, FAR, TTL_EXPIRED, 0, four.clone());
    let error6 = error6(U6, P6, HOP_EXPIRED6, 0, six.clone());
    run_all([
        Case::new("IPv4", Bench::bare())
            .input("u", from_gateway(four))
            .expect("u", Expected::error4(to_gateway(error), 14))
            .counts("ip4.ttl_expired")
            .counts("icmp.tx"),
        Case::new("IPv6", Bench::bare())
            .input("u", from_gateway(six))
            .expect("u", Expected::error6(to_gateway(error6), 14))
            .counts("ip6.hop_expired")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn the_longest_prefix_and_then_the_lowest_metric_wins() {
    let bench = Bench::bare()
        .set("ports.u.neighbors", &gateways(OTHER_GATEWAY))
        .route("{ to: 10.7.0.0/16, via: 198.51.100.253, metric: 10 }")
        .route("{ to: 10.7.0.0/16, via: 198.51.100.254, metric: 200 }")
        .route("{ to: 10.7.1.0/24, via: 198.51.100.254, metric: 300 }")
        .route("{ to: 10.7.1.128/25, type: blackhole }")
        .route("{ to: 10.7.1.200/32, via: 198.51.100.254 }");
    let by_other = |packet: Ipv4Packet| ethernet(OTHER_GATEWAY_MAC, U_MAC, packet);
    run_all([
        forwards("/24 beats /16", bench.clone(), &udp4(H, address("10.7.1.1"), 84)),
        forwards("/32 beats /25", bench.clone(), &udp4(H, address("10.7.1.200"), 84)),
        Case::new("/25 beats /24", bench.clone())
            .input("l", from_host(udp4(H, address("10.7.1.129"), 84)))
            .counts("fwd.blackhole"),
        Case::new("metric 10 beats 200", bench)
            .input("l", from_host(udp4(H, address("10.7.2.1"), 84)))
            .expect("u", by_other(udp4(H, address("10.7.2.1"), 84).ttl(63))),
    ]);
}

#[test]
fn a_route_may_end_a_packet_in_silence_or_with_an_answer() {
    let to = address("10.9.0.1");
    let to6 = "2001:db8:9::1".parse().unwrap();
    let bench = |kind: &str| {
        Bench::bare()
            .route(&format!("{{ to: 10.9.0.0/16, type: {kind} }}"))
            .route(&format!(r#"{{ to: "2001:db8:9::/48", type: {kind} }}"#))
    };
    let four = |kind: &str| Case::new(kind, bench(kind)).input("l", from_host(udp4(H, to, 84)));
    let six = |kind: &str| Case::new(kind, bench(kind)).input("l", from_host(udp6(H6, to6, 100)));
    let answer = |code| Expected::error4(to_host(error4(L, H, code, 0, udp4(H, to, 84))), 14);
    let answer6 = |code| Expected::error6(to_host(error6(L6, H6, code, 0, udp6(H6, to6, 100))), 14);
    run_all([
        four("blackhole").counts("fwd.blackhole"),
        six("blackhole").counts("fwd.blackhole"),
        four("prohibit").expect("l", answer(PROHIBITED)).counts("fwd.prohibit").counts("icmp.tx"),
        six("prohibit").expect("l", answer6(PROHIBITED6)).counts("fwd.prohibit").counts("icmp.tx"),
        // As iproute2 has it: host unreachable, which is address unreachable in IPv6.
        four("unreachable").expect("l", answer((3, 1))).counts("fwd.unreachable").counts("icmp.tx"),
        six("unreachable").expect("l", answer6((1, 3))).counts("fwd.unreachable").counts("icmp.tx"),
    ]);
}

#[test]
fn a_link_local_gateway_is_reached_through_its_port() {
    let bench = Bench::bare()
        .set("ports.u.neighbors", &gateways(r#""fe80::1": "02:00:00:00:00:fe""#))
        .route(r#"{ to: "2001:db8:9::/48", via: "fe80::1", port: u }"#);
    let packet = udp6(H6, "2001:db8:9::1".parse().unwrap(), 100);
    Case::new("link-local gateway", bench)
        .input("l", from_host(packet.clone()))
        .expect("u", to_gateway(packet.hop_limit(63)))
        .run();
}

#[test]
fn weighted_next_hops_keep_each_flow_on_one_path_and_share_flows_by_weight() {
    let hops = "[{ via: 198.51.100.254, weight: 3 }, { via: 198.51.100.253, weight: 1 }]";
    let bench = Bench::bare()
        .set("ports.u.neighbors", &gateways(OTHER_GATEWAY))
        .route(&format!("{{ to: 10.7.0.0/16, next-hops: {hops} }}"));
    let mut replay = Replay::new(bench);
    let flows = 1000u16;
    for flow in (0..flows).chain(0..flows) {
        let packet = udp4_flow(H, address("10.7.0.1"), (10_000 + flow, 40_001), 84);
        replay.input("l", u64::from(flow), from_host(packet));
    }
    replay.inputs[0].1.sort_by_key(|record| record.time);
    let frames = replay.run().frames("u");
    assert_eq!(frames.len(), 2 * usize::from(flows), "every packet leaves");
    for pair in frames.chunks(2) {
        assert_eq!(pair[0], pair[1], "two packets of a flow take one path");
    }
    let first = frames.iter().filter(|frame| frame[..6] == G_MAC).count() / 2;
    assert!((680..=820).contains(&first), "{first} of {flows} flows on the path of weight 3 of 4");
}

#[test]
fn flows_are_shared_between_a_tunnel_and_a_gateway() {
    let hops = "[{ via: 198.51.100.254, weight: 1 }, { tunnel: t0, weight: 1 }]";
    let bench = Bench::ipip().route(&format!("{{ to: 10.7.0.0/16, next-hops: {hops} }}"));
    let mut replay = Replay::new(bench);
    for flow in 0..400u16 {
        let packet = udp4_flow(H, address("10.7.0.1"), (10_000 + flow, 40_001), 84);
        replay.input("l", u64::from(flow), from_host(packet));
    }
    let outcome = replay.run();
    let frames = outcome.frames("u");
    assert_eq!(frames.len(), 400);
    let tunneled = frames.iter().filter(|frame| frame[23] == IPIP).count();
    assert!((140..=260).contains(&tunneled), "{tunneled} of 400 flows in the tunnel");
    assert_eq!(outcome.counter("tunnels.t0.tx_packets"), tunneled as u64);
}

#[test]
fn a_packet_passes_from_tunnel_to_tunnel_with_one_hop_less() {
    let bench = Bench::ipip()
        .tunnel("t1", "ipip", "198.51.100.1", "203.0.113.66")
        .route("{ to: 10.8.0.0/16, tunnel: t1 }");
    let packet = udp4(R, address("10.8.0.1"), 84);
    let mut outer = encap4(IPIP, packet.clone().ttl(63));
    outer.header.destination = X.octets();
    let mixed = Bench::any6()
        .tunnel("t1", "sit", "198.51.100.1", "203.0.113.66")
        .set("tunnels.t1.payload", "any")
        .route("{ to: 10.8.0.0/16, tunnel: t1 }")
        .route(r#"{ to: "2001:db8:8::/48", tunnel: t1 }"#);
    let packet6 = udp6(R6, "2001:db8:8::1".parse().unwrap(), 100);
    let mut outer6 = encap4(IPV6, packet6.clone().hop_limit(63));
    outer6.header.destination = X.octets();
    run_all([
        Case::new("ipip to ipip", bench)
            .input("u", from_gateway(peer4(IPIP, packet.clone())))
            .expect("u", to_gateway(outer.clone()))
            .tunnel_accepts("t0", 84)
            .tunnel_sends("t1", 84),
        Case::new("IPv4, over IPv6 to over IPv4", mixed.clone())
            .input("u", from_gateway(peer6(IPIP, packet)))
            .expect("u", to_gateway(outer))
            .tunnel_accepts("n6", 84)
            .tunnel_sends("t1", 84),
        Case::new("IPv6, over IPv6 to over IPv4", mixed)
            .input("u", from_gateway(peer6(IPV6, packet6)))
            .expect("u", to_gateway(outer6))
            .tunnel_accepts("n6", 100)
            .tunnel_sends("t1", 100),
    ]);
}

#[test]
fn a_packet_from_an_ipv4_tunnel_leaves_by_an_ipv6_tunnel() {
    let bench = Bench::any6()
        .tunnel("t1", "sit", "198.51.100.1", "203.0.113.2")
        .set("tunnels.t1.payload", "any")
        .route("{ to: 10.8.0.0/16, tunnel: t1 }");
    let packet = udp4(address("10.8.0.1"), R, 84);
    let outer = to_gateway(encap6(IPIP, packet.clone().ttl(63)));
    Case::new("over IPv4 to over IPv6", bench)
        .input("u", from_gateway(peer4(IPIP, packet)))
        .expect("u", Expected::any_flow_label(outer))
        .tunnel_accepts("t1", 84)
        .tunnel_sends("n6", 84)
        .run();
}

#[test]
fn the_flow_label_is_constant_in_a_flow_and_varies_between_flows() {
    let mut replay = Replay::new(Bench::any6());
    for flow in 0..256u16 {
        for _ in 0..4 {
            let packet = udp4_flow(H, R, (10_000 + flow, 40_001), 84);
            replay.input("l", u64::from(flow), from_host(packet));
        }
    }
    let frames = replay.run().frames("u");
    assert_eq!(frames.len(), 1024);
    let label = |frame: &Vec<u8>| [frame[15] & 15, frame[16], frame[17]];
    let mut labels = Vec::new();
    for group in frames.chunks(4) {
        assert!(group.iter().all(|frame| label(frame) == label(&group[0])), "one flow, one label");
        assert_ne!(label(&group[0]), [0; 3], "0 means no label");
        labels.push(label(&group[0]));
    }
    labels.sort_unstable();
    labels.dedup();
    assert!(labels.len() >= 200, "{} labels for 256 flows", labels.len());
}

#[test]
fn frames_that_are_not_ours_to_carry_are_counted() {
    let mut short = from_host(udp4(H, R, 84));
    short.truncate(13);
    let mut other_type = from_host(udp4(H, R, 84));
    other_type[12..14].copy_from_slice(&[0x88, 0xcc]);
    let stranger = ethernet([2, 0, 0, 0, 0, 0x66], H_MAC, udp4(H, R, 84));
    let source = ethernet(L_MAC, H_MAC, udp4(address("127.0.0.1"), R, 84));
    let target = ethernet(L_MAC, H_MAC, udp4(H, address("127.0.0.1"), 84));
    let broken: Ipv6Packet = udp6(H6, R6, 100);
    let mut broken = from_host(broken);
    broken[14] = 0x50;
    let counts = |name: &str, frame| Case::new(name, Bench::ipip()).input("l", frame).counts(name);
    run_all([
        counts("l2.short", short),
        counts("l2.ethertype", other_type),
        counts("l2.not_for_us", stranger),
        counts("ip4.martian_src", source),
        counts("ip4.martian_dst", target),
        counts("ip6.bad_header", broken),
    ]);
}
