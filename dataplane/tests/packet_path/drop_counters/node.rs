//! What becomes of packets that are forwarded, or are for the node itself.

use adit_dataplane::reassembly;
use adit_dataplane::tables::NextHop;
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::worker::WorkerSettings;

use super::super::appliance::{Appliance, Blueprint, H_MAC, L, L_MAC, U, settings};
use super::super::frames::{as_piece, frame, frame_of, in_pieces, ip, with_extension};
use super::{
    AS_IT_IS, Case, Change, LOCAL, REMOTE, case, changed, host, inward, inward6, outward, router,
};

pub(super) fn forwarding_cases() -> Vec<Case> {
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
        case(
            "ip6.unproved",
            &[],
            |p| p.route("2001:db8:9::1/128", NextHop::Unproved),
            host(&ip("2001:db8:1::5", "2001:db8:9::1").udp(84)),
        ),
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

pub(super) fn delivery_cases() -> Vec<Case> {
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
pub(super) fn reassembly_cases() -> Vec<Case> {
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
        // Nothing is refused before something was pushed out.
        let with_it: &[_] = if name == "reasm.refused" { &["reasm.limit"] } else { &[] };
        Case { name, with_it, moved }
    };
    let other = |identification: u16| changed(first.clone(), 4, &identification.to_be_bytes());
    vec![
        pieces(&[&first, &last], "reasm.ok"),
        pieces(&[&first], "reasm.timeout"),
        pieces(&[&first, &in_pieces(&whole, &[504], 0)[1]], "reasm.overlap"),
        pieces(&[&first, &other(1), &other(2)], "reasm.limit"),
        pieces(&[&first, &other(1), &other(2), &other(3), &other(4)], "reasm.refused"),
        pieces(&[&first, &changed(last.clone(), 1, &[1])], "reasm.ecn_mix"),
        pieces(&[&in_pieces(&large, &[1000], 0)[1]], "reasm.oversize"),
        pieces(&[&in_pieces(&whole, &[16], 0)[0]], "reasm.tiny"),
    ]
}

pub(super) fn frame_cases() -> Vec<&'static str> {
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
