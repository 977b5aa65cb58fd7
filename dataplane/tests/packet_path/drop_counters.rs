//! Every counter of the list moves for its reason, alone, and the list holds no other: a counter
//! that is added without a case here fails the last test.

use std::collections::BTreeSet;

use adit_dataplane::counters::Counter;
use adit_dataplane::device::{Device, MemoryDevice};
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::packet::{Burst, MemoryPool, Packet};
use adit_dataplane::reassembly;
use adit_dataplane::tables::NextHop;
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::policy::SourceFilter;
use adit_dataplane::tunnel::shim::Kind;
use adit_dataplane::wire::protocol;
use adit_dataplane::worker::WorkerSettings;
use adit_dataplane::worker::exchange::{Frame, Handback, Punt, RING_ENTRIES};

use super::appliance::{Appliance, BUFFERS, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC, settings};
use super::frames::{
    Ip, as_piece, frame, frame_of, in_pieces, ip, mend_ipv4, with_extension, with_options,
};
use super::overlay_counters;
use super::specimens::SYN;

pub(crate) const LOCAL: &str = "198.51.100.1";
pub(crate) const REMOTE: &str = "203.0.113.2";

/// Counters of rules that the packet path does not have yet.
const NOT_REACHABLE_YET: [&str; 1] = [
    "fwd.steering_drop", // no steering rules
];

/// The counter that must move by one, those that move with it, and what moved.
pub(crate) struct Case {
    name: &'static str,
    with_it: &'static [&'static str],
    moved: Vec<(&'static str, u64)>,
}

pub(crate) type Change = fn(&mut Blueprint);

/// One frame to an appliance with the tunnel t0, after a change of its plan.
pub(crate) fn case(
    name: &'static str,
    with_it: &'static [&'static str],
    change: Change,
    (port, bytes): (PortId, Vec<u8>),
) -> Case {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    change(&mut plan);
    let mut appliance = plan.start();
    let sent = appliance.pass(port, &bytes);
    let moved = appliance.moved();
    let errors = usize::from(with_it.contains(&"icmp.tx"));
    if Counter::ALL
        .iter()
        .any(|c| c.name() == name && c.kind() == adit_dataplane::counters::Kind::Drop)
    {
        assert_eq!(sent.len(), errors, "{name}: only an error leaves");
    }
    Case { name, with_it, moved }
}

const AS_IT_IS: Change = |_| {};

fn host(packet: &[u8]) -> (PortId, Vec<u8>) {
    (L, frame(L_MAC, H_MAC, packet))
}

fn router(packet: &[u8]) -> (PortId, Vec<u8>) {
    (U, frame(U_MAC, G_MAC, packet))
}

/// What the peer of t0 sends.
fn peer(inner: &[u8]) -> (PortId, Vec<u8>) {
    router(&ip(REMOTE, LOCAL).around(inner))
}

/// From the host on L to the one behind t0.
fn inward() -> Ip {
    ip("10.1.0.5", "10.2.0.8")
}

/// The other way.
fn outward() -> Ip {
    ip("10.2.0.8", "10.1.0.5")
}

fn inward6() -> Ip {
    ip("2001:db8:1::5", "2001:db8:2::8")
}

/// A packet with some bytes changed, and its checksum mended.
fn changed(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    mend_ipv4(&mut packet);
    packet
}

/// The rules of GRE headers, D9 and D11. The sums are those of the bytes before them (RFC 1071).
fn gre_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let with = |header: &[u8]| {
        router(&ip(REMOTE, LOCAL).carrying(protocol::GRE, &[header, &packet].concat()))
    };
    let gre: Change = |plan| plan.setup(0).put_shim(Kind::Gre(Gre::default()).into());
    let strict: Change = |plan| {
        let strict = Gre { requires_checksum: true, ..Gre::default() };
        plan.setup(0).put_shim(Kind::Gre(strict).into());
    };
    let numbered: Change = |plan| {
        let numbered = Gre { requires_sequence: true, ..Gre::default() };
        plan.setup(0).put_shim(Kind::Gre(numbered).into());
    };
    let one = |name, change, frame| case(name, &[], change, frame);
    vec![
        one("tun.shim_short", gre, router(&ip(REMOTE, LOCAL).carrying(protocol::GRE, &[0; 3]))),
        one("gre.bad_version", gre, with(&[0, 1, 8, 0])),
        one("gre.bad_flags", gre, with(&[0x40, 0, 8, 0])),
        one("gre.bad_csum", gre, with(&[0x80, 0, 8, 0, 1, 2, 0, 0])),
        one("gre.proto_unsupported", gre, with(&[0, 0, 8, 6])),
        one("if.rx_csum_err", strict, with(&[0, 0, 8, 0])),
        one("if.rx_seq_err", numbered, with(&[0, 0, 8, 0])),
    ]
}

/// The rules of GUE headers, and of what is bare or in UDP where the other is expected.
fn gue_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let gue: Change = |plan| plan.put_gue();
    let with = |header: &[u8]| {
        let payload = [header, &packet].concat();
        let len = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
        let datagram = [&[0xc0, 0, 0x17, 0xc0, len[0], len[1], 0, 0][..], &payload].concat();
        router(&ip(REMOTE, LOCAL).carrying(protocol::UDP, &datagram))
    };
    let one = |name, frame| case(name, &[], gue, frame);
    vec![
        one("tun.encap_mismatch", peer(&packet)),
        one("gue.bad_version", with(&[0x80, 4, 0, 0])),
        one("gue.bad_flags", with(&[0, 4, 0x80, 0])),
        one("gue.control", with(&[0x20, 4, 0, 0])),
        one("gue.proto_denied", with(&[0, 6, 0, 0])),
    ]
}

/// The rules of the inner header, in the order D11 to D16.
fn decap_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let mut bad_checksum = packet.clone();
    bad_checksum[10] ^= 1;
    let longer = changed(packet.clone(), 2, &[0, 85]);
    let source_route = with_options(&packet, &[0x83, 7, 4, 9, 9, 9, 9, 0]);
    let nested = ip("10.2.0.8", LOCAL).around(&packet);
    let from = |source: &str| peer(&ip(source, "10.1.0.5").udp(60));
    let to = |destination: &str| peer(&ip("10.2.0.8", destination).udp(60));
    let marked = |outer: u8, inner: u8| {
        router(&ip(REMOTE, LOCAL).tos(outer).around(&outward().tos(inner).udp(84)))
    };
    let one = |name, change, frame| case(name, &[], change, frame);
    vec![
        one("tun.outer_ttl", |p| p.setup(0).min_outer_ttl = 255, peer(&packet)),
        one("if.rx_down", |p| p.setup(0).up = false, peer(&packet)),
        one("if.rx_length_err", AS_IT_IS, peer(&packet[..19])),
        one("if.rx_inner_bad_version", AS_IT_IS, {
            let inner = ip("2001:db8:2::8", "2001:db8:1::5").udp(84);
            router(&ip(REMOTE, LOCAL).carrying(4, &inner))
        }),
        one("if.rx_inner_bad_header", AS_IT_IS, peer(&bad_checksum)),
        one("if.rx_inner_truncated", AS_IT_IS, peer(&longer)),
        one("if.rx_inner_ttl_zero", AS_IT_IS, peer(&outward().ttl(0).udp(84))),
        one("if.rx_ecn_drop", AS_IT_IS, marked(3, 0)),
        one("if.rx_ecn_log", AS_IT_IS, marked(1, 0)),
        one("if.mss_clamped", AS_IT_IS, peer(&outward().tcp(SYN, &[2, 4, 5, 0xb4], &[]))),
        one("if.mss_malformed", AS_IT_IS, peer(&outward().tcp(SYN, &[3, 0, 1, 1], &[]))),
        one("if.rx_inner_martian_src", AS_IT_IS, from("127.0.0.1")),
        one("if.rx_inner_own_src", AS_IT_IS, from("10.1.0.1")),
        one(
            "if.rx_inner_src_filter",
            |p| p.setup(0).inner_source = SourceFilter::Strict,
            from("10.1.0.77"),
        ),
        one("if.rx_inner_dst_denied", AS_IT_IS, to("224.0.0.9")),
        one("if.rx_inner_src_route", AS_IT_IS, peer(&source_route)),
        one("if.rx_nested_limit", AS_IT_IS, peer(&nested)),
        one("if.rx_loop_encapsulator", AS_IT_IS, to(REMOTE)),
        one("if.rx_hairpin", AS_IT_IS, to("10.2.0.9")),
        one("nd.bad", AS_IT_IS, {
            let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &[0x20; 16]].concat();
            peer(&ip("fe80::2", "ff02::1:ff00:1").ttl(254).carrying(58, &solicitation))
        }),
    ]
}

/// The rules of the way in, in the order N3 to N11.
fn encap_cases() -> Vec<Case> {
    let packet = host(&inward().udp(84));
    let limit_0 = with_extension(&inward6().udp(84), 60, &[0, 0, 4, 1, 0, 1, 1, 0]);
    vec![
        case("if.tx_down", &[], |p| p.setup(0).up = false, packet.clone()),
        case("if.tx_no_remote", &[], |p| p.setup(0).local = None, packet.clone()),
        case("if.tx_loop_src", &[], AS_IT_IS, host(&ip(REMOTE, "10.2.0.8").udp(84))),
        case(
            "if.tx_loop_same_pair",
            &[],
            // The answer to an echo request of the remote itself would enter the tunnel.
            |p| p.route("203.0.113.2/32", NextHop::Tunnel(TunnelId(0))),
            router(&ip(REMOTE, LOCAL).echo(&[1; 8])),
        ),
        case(
            "if.tx_loop_same_pair",
            &[],
            |p| {
                p.own("192.0.2.9");
                p.setup(0).more_locals = ["192.0.2.9".parse().unwrap()].into();
                p.route("203.0.113.2/32", NextHop::Tunnel(TunnelId(0)));
            },
            router(&ip(REMOTE, "192.0.2.9").echo(&[1; 8])),
        ),
        case("if.tx_recursion", &[], |p| p.limits.nested_encaps = 0, packet.clone()),
        case(
            "if.tx_loop_dev",
            &[],
            |p| p.setup(0).underlay = NextHop::Tunnel(TunnelId(0)),
            packet.clone(),
        ),
        case("if.tx_no_route", &["icmp.tx"], |p| p.setup(0).underlay = NextHop::NoRoute, packet),
        case(
            "if.tx_payload_unsupported",
            &["icmp.tx"],
            |p| p.setup(0).protocols = Protocols::IPV4,
            host(&inward6().udp(84)),
        ),
        case(
            "if.tx_encap_limit",
            &["icmp.tx"],
            |p| {
                let id = p.tunnel("2001:db8:100::1", "2001:db8:200::2");
                p.route("2001:db8:2::/48", NextHop::Tunnel(id));
            },
            host(&limit_0),
        ),
        case("if.tx_too_big", &["icmp.tx"], AS_IT_IS, host(&inward().udp(1481))),
        case(
            "port.oversize",
            &["icmp.tx"],
            |p| {
                // One of several ways out, which takes less than the others.
                p.ports[0].mtu = 1400;
                let underlay = p.setup(0).underlay;
                p.setup(0).underlay = p.group(&[(underlay, 1)]);
            },
            host(&inward().udp(1400)),
        ),
    ]
}

/// What a router of the underlay says about a packet that the tunnel t0 has sent.
fn underlay_error(kind: u8, code: u8, mtu: u16, quoted: &[u8]) -> (PortId, Vec<u8>) {
    router(&ip("192.0.2.9", LOCAL).icmp_error(kind, code, mtu, quoted))
}

fn relay_cases() -> Vec<Case> {
    let sent = ip(LOCAL, REMOTE).around(&inward().udp(1480));
    let forged = ip(LOCAL, "203.0.113.66").around(&inward().udp(1480));
    // Two frames: an error that quotes too little, and the packet after it.
    let mut warned = Blueprint::with_t0(LOCAL, REMOTE).start();
    let (port, bytes) = underlay_error(3, 1, 0, &sent[..28]);
    assert!(warned.pass(port, &bytes).is_empty());
    warned.moved();
    let (port, bytes) = host(&inward().udp(84));
    assert_eq!(warned.pass(port, &bytes).len(), 2, "the packet, and what its sender is told");
    vec![
        case(
            "if.pmtu_updates",
            &["icmp.tx", "if.icmp_relayed"],
            AS_IT_IS,
            underlay_error(3, 4, 1400, &sent[..48]),
        ),
        case("if.pmtu_rejected", &[], AS_IT_IS, underlay_error(3, 4, 1600, &sent[..48])),
        case("if.icmp_relayed", &["icmp.tx"], AS_IT_IS, underlay_error(3, 1, 0, &sent[..48])),
        case("if.icmp_relay_short", &[], AS_IT_IS, underlay_error(3, 1, 0, &sent[..28])),
        case("if.icmp_relay_rejected", &[], AS_IT_IS, underlay_error(3, 1, 0, &forged[..48])),
        Case { name: "if.tx_softstate_icmp", with_it: &["icmp.tx"], moved: warned.moved() },
    ]
}

fn outer_cases() -> Vec<Case> {
    let packet = ip(REMOTE, LOCAL).around(&outward().udp(84));
    let stranger = |source: &str| router(&ip(source, LOCAL).around(&outward().udp(84)));
    let of = |protocol: u8| router(&ip(REMOTE, LOCAL).carrying(protocol, &[0; 40]));
    let one = |name, frame| case(name, &[], AS_IT_IS, frame);
    let mut bad_checksum = packet.clone();
    bad_checksum[10] ^= 1;
    vec![
        one("tun.no_match", stranger("203.0.113.66")),
        one("tun.bad_outer_src", stranger("224.1.1.1")),
        one("tun.proto_mismatch", of(47)),
        one("reasm.no_tunnel", router(&as_piece(&stranger("203.0.113.66").1[14..], 8, false))),
        one("ip4.bad_header", router(&bad_checksum)),
        one("ip4.truncated", router(&changed(packet.clone(), 2, &[0, 200]))),
        one("ip4.src_route", router(&with_options(&packet, &[0x89, 7, 4, 9, 9, 9, 9, 0]))),
        one("l2.not_for_us", (U, frame([2, 9, 9, 9, 9, 9], G_MAC, &packet))),
        one("l2.ethertype", (U, frame_of(0x88cc, U_MAC, G_MAC, &packet))),
        one("l2.short", (U, vec![0; 13])),
        one("arp.bad", (U, frame_of(0x0806, U_MAC, G_MAC, &[0; 300]))),
    ]
}

fn forwarding_cases() -> Vec<Case> {
    let to = |destination: &str| host(&ip("10.1.0.5", destination).udp(84));
    let to6 = |destination: &str| host(&ip("2001:db8:1::5", destination).udp(84));
    let small_u: Change = |p| p.ports[0].mtu = 1300;
    vec![
        case("ip4.martian_src", &[], AS_IT_IS, host(&ip(LOCAL, "10.2.0.8").udp(84))),
        case("ip4.martian_dst", &[], AS_IT_IS, to("240.0.0.1")),
        case("ip4.ttl_expired", &["icmp.tx"], AS_IT_IS, host(&inward().ttl(1).udp(84))),
        case("ip4.no_route", &["icmp.tx"], AS_IT_IS, to("172.31.9.9")),
        case("ip4.too_big", &["icmp.tx"], small_u, {
            host(&ip("10.1.0.5", "203.0.113.9").udp(1400))
        }),
        case("ip6.martian_src", &[], AS_IT_IS, host(&ip("::1", "2001:db8:2::8").udp(84))),
        case("ip6.martian_dst", &[], AS_IT_IS, to6("::ffff:10.0.0.1")),
        case("ip6.hop_expired", &["icmp.tx"], AS_IT_IS, host(&inward6().ttl(1).udp(84))),
        case("ip6.no_route", &["icmp.tx"], AS_IT_IS, to6("2001:db8:9999::1")),
        case("ip6.too_big", &["icmp.tx"], small_u, {
            host(&ip("2001:db8:1::5", "2001:db8:200::9").udp(1400))
        }),
        case("ip6.bad_header", &[], AS_IT_IS, {
            (L, frame_of(0x86dd, L_MAC, H_MAC, &inward().udp(84)))
        }),
        case("ip6.truncated", &[], AS_IT_IS, host(&inward6().udp(84)[..83])),
        case("ip.broadcast_dst", &[], AS_IT_IS, to("198.51.100.255")),
        case("fwd.blackhole", &[], |p| p.route("10.2.0.0/24", NextHop::Blackhole), to("10.2.0.8")),
        case(
            "fwd.unreachable",
            &["icmp.tx"],
            |p| p.route("10.2.0.0/24", NextHop::Unreachable),
            to("10.2.0.8"),
        ),
        case(
            "fwd.prohibit",
            &["icmp.tx"],
            |p| p.route("10.2.0.0/24", NextHop::Prohibit),
            to("10.2.0.8"),
        ),
    ]
}

fn delivery_cases() -> Vec<Case> {
    let us = ip("10.1.0.5", "10.1.0.1");
    let us6 = ip("2001:db8:1::5", "2001:db8:1::1");
    let rh0 = with_extension(&us6.udp(84), 43, &[0, 0, 0, 1, 0, 0, 0, 0]);
    let other_routing = with_extension(&us6.udp(84), 43, &[0, 0, 4, 1, 0, 0, 0, 0]);
    let mut bad_checksum = us.echo(&[1; 8]);
    bad_checksum[28] ^= 1;
    let by_broadcast = frame([0xff; 6], H_MAC, &inward().ttl(1).udp(84));
    vec![
        case("ip6.rh0", &[], AS_IT_IS, host(&rh0)),
        case("ip6.bad_exthdr", &[], AS_IT_IS, host(&other_routing)),
        case("ip.unknown_protocol", &["icmp.tx"], AS_IT_IS, host(&us.carrying(132, &[0; 20]))),
        case("ip.fragment_to_us", &[], AS_IT_IS, host(&as_piece(&us.udp(84), 0, true))),
        case("udp.closed_port", &["icmp.tx"], AS_IT_IS, host(&us.udp(84))),
        case("udp.short", &[], AS_IT_IS, host(&changed(us.udp(84), 24, &[0, 65]))),
        case("udp.bad_csum", &[], AS_IT_IS, host(&changed(us.udp(84), 26, &[1, 2]))),
        case("udp.zero_csum6", &[], AS_IT_IS, {
            let mut without = us6.udp(84);
            without[46..48].fill(0);
            host(&without)
        }),
        // The option 0x80 is known to nobody, and says to tell the sender (RFC 8200 §4.2).
        case("ip6.bad_exthdr", &["icmp.tx"], AS_IT_IS, {
            host(&with_extension(&us6.udp(84), 60, &[0, 0, 0x80, 0, 1, 2, 0, 0]))
        }),
        case("icmp.bad_checksum", &[], AS_IT_IS, host(&bad_checksum)),
        // C-177.
        case("icmp.suppressed", &["ip4.ttl_expired"], AS_IT_IS, (L, by_broadcast)),
        case("icmp.suppressed", &["ip4.ttl_expired"], AS_IT_IS, {
            host(&as_piece(&inward().ttl(1).udp(84), 3, false))
        }),
        case("icmp.suppressed", &["ip4.ttl_expired"], AS_IT_IS, {
            host(&inward().ttl(1).carrying(1, &[3, 1, 0xfc, 0xfe, 0, 0, 0, 0]))
        }),
    ]
}

/// What becomes of packets in pieces. Each piece counts, here as one of its kind.
fn reassembly_cases() -> Vec<Case> {
    let whole = ip(REMOTE, LOCAL).may_be_cut().around(&outward().udp(1400));
    let [first, last] = in_pieces(&whole, &[512], 0).try_into().unwrap();
    let large = ip(REMOTE, LOCAL).may_be_cut().around(&outward().udp(2000));
    let pieces = |bytes: &[&[u8]], name: &'static str| {
        let limits = reassembly::Limits { pieces: 2, pieces_per_peer: 2 };
        let settings = WorkerSettings { reassembly: limits, ..settings() };
        let mut appliance = Appliance::with(Blueprint::with_t0(LOCAL, REMOTE).build(1), settings);
        for bytes in bytes {
            appliance.pass(U, &router(bytes).1);
        }
        if name == "reasm.timeout" {
            appliance.now = appliance.now + core::time::Duration::from_secs(2);
            appliance.run();
        }
        let moved = appliance.moved().into_iter().map(|(name, _)| (name, 1)).collect();
        Case { name, with_it: &[], moved }
    };
    let other = |identification: u16| changed(first.clone(), 4, &identification.to_be_bytes());
    vec![
        pieces(&[&first, &last], "reasm.ok"),
        pieces(&[&first], "reasm.timeout"),
        pieces(&[&first, &in_pieces(&whole, &[504], 0)[1]], "reasm.overlap"),
        pieces(&[&first, &other(1), &other(2)], "reasm.limit"),
        pieces(&[&first, &changed(last.clone(), 1, &[1])], "reasm.ecn_mix"),
        pieces(&[&in_pieces(&large, &[1000], 0)[1]], "reasm.oversize"),
        pieces(&[&in_pieces(&whole, &[16], 0)[0]], "reasm.tiny"),
    ]
}

fn frame_cases() -> Vec<&'static str> {
    // Events that come with others; `fragments.rs` has them with their bytes.
    let mut appliance = Blueprint::with_t0(LOCAL, REMOTE).start();
    appliance.pass(L, &host(&inward().may_be_cut().udp(1500)).1);
    assert_eq!(appliance.moved(), [("if.tx_inner_frag", 1), ("ip4.frag_created", 2)]);
    let dying = host(&inward().ttl(1).udp(84)).1;
    for _ in 0..12 {
        appliance.pass(L, &dying);
    }
    let expected = [("icmp.ratelimited", 2), ("icmp.tx", 10), ("ip4.ttl_expired", 12)];
    assert_eq!(appliance.moved(), expected);
    identifications_come_again();
    vec![
        "if.tx_inner_frag",
        "ip4.frag_created",
        "icmp.ratelimited",
        "icmp.tx",
        "if.tx_outer_frag",
        "tun.id_reuse",
    ]
}

/// More packets without DF than there are identifications, all at one time.
fn identifications_come_again() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.setup(0).dont_fragment = DontFragment::No;
    let mut appliance = plan.start();
    let packet = host(&inward().udp(84)).1;
    for _ in 0..(1 << 16) / 32 {
        (0..32).for_each(|_| appliance.inject(L, &packet));
        assert_eq!(appliance.run().len(), 32);
    }
    assert_eq!(appliance.moved(), []);
    for _ in 0..(1 << 13) / 32 {
        (0..32).for_each(|_| appliance.inject(L, &packet));
        appliance.run();
    }
    // All but those of the sixteenth of the numbers that the first one was amid.
    let [("tun.id_reuse", count)] = appliance.moved()[..] else { panic!("nothing came again") };
    assert!((1 << 12..1 << 13).contains(&count), "{count}");
}

/// What comes back from the control thread, or finds no room on its way there.
fn exchange_cases() -> Vec<Case> {
    let waiting = |come_back: fn(PortId, core::net::IpAddr, Packet) -> Handback| {
        let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
        plan.neighbor(U, "198.51.100.254", None);
        let mut appliance = plan.start();
        assert!(appliance.pass(L, &host(&inward().udp(84)).1).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (1, vec![]));
        let Some(Punt::Unresolved { port, address, packet }) = appliance.shared.punts.pop() else {
            panic!("no packet waits");
        };
        assert!(appliance.shared.handbacks.push(come_back(port, address, packet)).is_ok());
        appliance.run();
        appliance.moved()
    };
    let still_silent =
        waiting(|port, address, packet| Handback::Send { since: 1, port, address, packet });
    let given_up =
        waiting(|_, _, packet| Handback::Release { packet, counter: Counter::NbrQueueDrop });
    let failed = waiting(|_, _, packet| Handback::Unreachable { packet });

    let mut appliance = Blueprint::bench().start();
    let request = frame_of(0x0806, [0xff; 6], G_MAC, &[0; 46]);
    for _ in 0..=RING_ENTRIES {
        appliance.inject(U, &request);
        appliance.run();
    }
    vec![
        Case { name: "nbr.queue_drop", with_it: &[], moved: still_silent },
        Case { name: "nbr.queue_drop", with_it: &[], moved: given_up },
        Case { name: "nbr.failed", with_it: &["icmp.tx"], moved: failed },
        Case { name: "ring.full", with_it: &[], moved: appliance.moved() },
    ]
}

/// A device that takes so many frames of each burst, and no more.
struct Narrow {
    inner: MemoryDevice,
    takes: usize,
}

impl Device for Narrow {
    fn port_count(&self) -> usize {
        self.inner.port_count()
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        self.inner.receive(port, burst, limit)
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        let mut taken = Burst::new();
        let mut left = Burst::new();
        for packet in burst.drain() {
            let to = if taken.len() < self.takes { &mut taken } else { &mut left };
            assert!(to.push(packet).is_ok());
        }
        for packet in left.drain() {
            assert!(burst.push(packet).is_ok());
        }
        self.inner.send(port, &mut taken)
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.inner.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        self.inner.release(burst);
    }
}

fn device_cases() -> Vec<Case> {
    let pool = MemoryPool::new(BUFFERS, 2048);
    let inner = MemoryDevice::new(2, pool);
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut full = Appliance::over(Narrow { inner, takes: 31 }, tables, settings());
    let packet = host(&inward().udp(84)).1;
    for _ in 0..32 {
        assert!(full.worker.device_mut().inner.inject(L, &packet));
    }
    full.work();
    full.assert_balance();
    assert_eq!(full.shared.counters.port(U).tx_packets.get(), 31);
    assert_eq!(full.shared.counters.port(U).tx_bytes.get(), 31 * (84 + 20 + 14));
    let sent = full.worker.device_mut().inner.take_sent();
    assert_eq!(sent.len(), 31);

    // One buffer, which the packet has: none for its second piece.
    let device = MemoryDevice::new(2, MemoryPool::new(2, 2048));
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut few = Appliance::over(device, tables, settings());
    few.pass(L, &host(&inward().may_be_cut().udp(1500)).1);
    let mut no_buffer = few.moved();
    no_buffer.retain(|&(name, _)| name == "port.no_mbuf");

    // And none for an error, nor for a frame of the control thread.
    let device = MemoryDevice::new(2, MemoryPool::new(1, 2048));
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut starved = Appliance::over(device, tables, settings());
    assert!(starved.pass(L, &host(&inward().ttl(1).udp(84)).1).is_empty());
    assert_eq!(starved.moved(), [("ip4.ttl_expired", 1), ("port.no_mbuf", 1)]);
    starved.inject(L, &host(&inward().udp(84)).1);
    let note = Frame::new(&[0; 60]).unwrap();
    assert!(starved.shared.handbacks.push(Handback::Frame { port: U, frame: note }).is_ok());
    starved.run();
    vec![
        Case { name: "port.no_mbuf", with_it: &[], moved: starved.moved() },
        Case { name: "port.tx_full", with_it: &[], moved: full.moved() },
        Case { name: "port.no_mbuf", with_it: &[], moved: no_buffer },
    ]
}

#[test]
fn every_counter_moves_for_its_reason_alone_and_none_is_left_out() {
    let groups = [
        decap_cases(),
        encap_cases(),
        relay_cases(),
        outer_cases(),
        forwarding_cases(),
        delivery_cases(),
        reassembly_cases(),
        exchange_cases(),
        device_cases(),
        gre_cases(),
        gue_cases(),
        overlay_counters::cases(),
    ];
    let mut seen: BTreeSet<&str> = NOT_REACHABLE_YET.into_iter().collect();
    seen.extend(frame_cases());
    for Case { name, with_it, moved } in groups.into_iter().flatten() {
        let mut expected: Vec<_> = with_it.iter().map(|&other| (other, 1)).collect();
        expected.push((name, 1));
        expected.sort_unstable();
        assert_eq!(moved, expected);
        assert!(!NOT_REACHABLE_YET.contains(&name), "{name} is reachable");
        seen.insert(name);
    }
    let all: BTreeSet<&str> = Counter::ALL.iter().map(|counter| counter.name()).collect();
    assert_eq!(seen, all, "counters without a case, or cases without a counter");
}
