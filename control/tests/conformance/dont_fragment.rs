//! B5.1: the modes of the outer DF bit, cell by cell: the bit, whether the path MTU is used, and what becomes
//! of IPv4 that is too large, with DF and without.

use crate::addresses::{H, H6, L, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, encap4, from_gateway, from_host, to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{FRAG_NEEDED, error4, underlay4};
use crate::path_mtu::pieces4;
use crate::relay::sent4;

const MODES: [&str; 4] = ["pmtudisc", "inherit", "no", "ignore-df"];

/// `t0` in a mode, with these further settings. The LAN carries more than the underlay.
fn bench(mode: &str, settings: &[(&str, &str)]) -> Bench {
    let mut bench = Bench::ipip().set("ports.l.mtu", "2000").set("tunnels.t0.dont-fragment", mode);
    for (key, value) in settings {
        bench = bench.set(&format!("tunnels.t0.{key}"), value);
    }
    bench
}

fn packet(len: usize, dont_fragment: bool) -> Ipv4Packet {
    udp4(H, R, len).dont_fragment(dont_fragment)
}

/// Frames around `inner`, with DF or without; cut outside after `cut` bytes.
fn outside(inner: Ipv4Packet, dont_fragment: bool, cut: Option<usize>) -> Vec<Expected> {
    let whole = encap4(IPIP, inner).dont_fragment(dont_fragment);
    let frame = |piece| {
        let frame = to_gateway(piece);
        if dont_fragment { Expected::from(frame) } else { Expected::any_identification(frame) }
    };
    pieces4(&whole, cut).into_iter().map(frame).collect()
}

/// The packet leaves in one outer packet.
fn carries(case: Case, inner: Ipv4Packet, outer_df: bool) -> Case {
    let len = inner.bytes().len() as u64;
    let mut case = case.input("l", from_host(inner.clone())).tunnel_sends("t0", len);
    for frame in outside(inner.ttl(63), outer_df, None) {
        case = case.expect("u", frame);
    }
    case
}

/// The packet is cut inside, pieces of `step` bytes of payload, each in an outer packet of its own.
fn cuts_inside(case: Case, inner: Ipv4Packet, step: usize, outer_df: bool) -> Case {
    let len = inner.bytes().len() as u64;
    let mut case = case.input("l", from_host(inner.clone())).tunnel_sends("t0", len);
    for piece in pieces4(&inner.ttl(63), Some(step)) {
        for frame in outside(piece, outer_df, None) {
            case = case.expect("u", frame);
        }
    }
    case.tunnel_counts("t0", "tx_inner_frag").ignore("dataplane.ip4.frag_created")
}

/// The packet is cut outside, in two.
fn cuts_outside(case: Case, inner: Ipv4Packet) -> Case {
    let len = inner.bytes().len() as u64;
    let mut case = case.input("l", from_host(inner.clone())).tunnel_sends("t0", len);
    for frame in outside(inner.ttl(63), false, Some(1480)) {
        case = case.expect("u", frame);
    }
    case.tunnel_counts("t0", "tx_outer_frag")
}

fn refuses(case: Case, inner: Ipv4Packet, mtu: u32) -> Case {
    let error = to_host(error4(L, H, FRAG_NEEDED, mtu, inner.clone()));
    case.input("l", from_host(inner))
        .expect("l", Expected::error4(error, 14))
        .tunnel_counts("t0", "tx_too_big")
        .counts("icmp.tx")
}

#[test]
fn the_outer_bit_follows_the_mode() {
    for (mode, with, without) in [
        ("pmtudisc", true, true),
        ("inherit", true, false),
        ("no", false, false),
        ("ignore-df", false, false),
    ] {
        let number = match mode {
            "no" => "C-075(a)",
            "inherit" => "C-075(b)",
            _ => "B5.1",
        };
        let case = Case::new(&format!("{number} {mode}"), bench(mode, &[]));
        let case = carries(case, packet(1400, true), with);
        carries(case, packet(1400, false), without).run();
    }
}

#[test]
fn around_ipv6_the_bit_says_whether_routers_may_have_to_cut() {
    for mode in MODES {
        let outer_df = matches!(mode, "pmtudisc" | "inherit");
        let bench = || Bench::sit().set("tunnels.s0.dont-fragment", mode);
        let outer = |len, df| {
            let outer = encap4(IPV6, udp6(H6, R6, len).hop_limit(63)).dont_fragment(df);
            let frame = to_gateway(outer);
            if df { Expected::from(frame) } else { Expected::any_identification(frame) }
        };
        run_all([
            Case::new(&format!("B5.1 {mode} IPv6"), bench())
                .input("l", from_host(udp6(H6, R6, 1000)))
                .expect("u", outer(1000, outer_df))
                .tunnel_sends("s0", 1000),
            Case::new(
                &format!("B5.1 {mode} IPv6, less than 1280"),
                bench().set("ports.u.mtu", "1299"),
            )
            .input("l", from_host(udp6(H6, R6, 1000)))
            .expect("u", outer(1000, false))
            .tunnel_sends("s0", 1000),
        ]);
    }
}

#[test]
fn only_who_sets_the_bit_uses_what_the_path_takes() {
    let learns = |mode: &str, name: &str| {
        Case::new(&format!("B5.1 {mode} path, {name}"), bench(mode, &[]))
            .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &sent4(udp4(H, R, 1480))[..28])))
            .tunnel_counts("t0", "pmtu_updates")
            .tunnel_counts("t0", "icmp_relay_short")
    };
    let refuses_to_learn = |mode: &str, name: &str| {
        let mut quote = encap4(IPIP, udp4(H, R, 1480).ttl(63)).dont_fragment(false).bytes();
        quote.truncate(28);
        Case::new(&format!("B5.1 {mode} path, {name}"), bench(mode, &[]))
            .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, quote)))
            .tunnel_counts("t0", "pmtu_rejected")
    };
    let (with, without) = (packet(1480, true), packet(1480, false));
    run_all([
        refuses(learns("pmtudisc", "DF"), with.clone(), 1380),
        cuts_inside(learns("pmtudisc", "no DF"), without.clone(), 1360, true),
        refuses(learns("inherit", "DF"), with.clone(), 1380),
        // Routers may fragment it.
        carries(learns("inherit", "no DF"), without.clone(), false),
        carries(refuses_to_learn("inherit", "about a packet without DF"), with.clone(), true),
        carries(refuses_to_learn("no", "DF"), with.clone(), false),
        carries(refuses_to_learn("no", "no DF"), without.clone(), false),
        carries(refuses_to_learn("ignore-df", "DF"), with, false),
        carries(refuses_to_learn("ignore-df", "no DF"), without, false),
    ]);
}

#[test]
fn too_large_for_the_underlay_with_the_mtu_left_to_it() {
    for mode in MODES {
        let name = format!("B5.1 {mode} oversize");
        let outer_df = mode == "pmtudisc";
        run_all([
            refuses(Case::new(&name, bench(mode, &[])), packet(1481, true), 1480),
            cuts_inside(Case::new(&name, bench(mode, &[])), packet(1500, false), 1456, outer_df),
        ]);
    }
}

#[test]
fn too_large_for_a_configured_mtu_below_the_underlay() {
    for mode in MODES {
        let bench = || bench(mode, &[("mtu", "1300")]);
        let name = format!("B5.1 {mode} mtu 1300");
        let outer_df = mode == "pmtudisc";
        run_all([
            refuses(Case::new(&name, bench()), packet(1301, true), 1300),
            cuts_inside(Case::new(&name, bench()), packet(1400, false), 1280, outer_df),
        ]);
    }
    let case = Case::new("C-077", bench("no", &[("mtu", "1480")]));
    refuses(case, packet(1500, true), 1480).run();
}

#[test]
fn a_configured_mtu_above_the_underlay_is_taken_at_its_word_where_the_bit_is_clear() {
    let with_mtu = |mode: &str| bench(mode, &[("mtu", "1600")]);
    let case = |mode: &str| Case::new(&format!("B5.1 {mode} mtu 1600"), with_mtu(mode));
    run_all([
        refuses(case("pmtudisc"), packet(1481, true), 1480),
        cuts_inside(case("pmtudisc"), packet(1600, false), 1456, true),
        refuses(case("inherit"), packet(1481, true), 1480),
        cuts_outside(case("inherit"), packet(1600, false)),
        cuts_outside(case("no"), packet(1600, true)),
        cuts_outside(case("no"), packet(1600, false)),
        refuses(case("no"), packet(1601, true), 1600),
        cuts_outside(case("ignore-df"), packet(1600, true)),
        cuts_outside(case("ignore-df"), packet(1600, false)),
        refuses(case("ignore-df"), packet(1601, true), 1600),
    ]);
    let case = Case::new("C-076", bench("no", &[("mtu", "1500")]));
    cuts_outside(case, packet(1500, true)).run();
}

#[test]
fn what_is_cut_inside_may_have_to_be_cut_outside_as_well() {
    // 1700 bytes: pieces of 1596 and 124 inside, the first one in two outside.
    for mode in ["inherit", "no", "ignore-df"] {
        let inner = packet(1700, false);
        let mut case = Case::new(&format!("B5.1 {mode} twice"), bench(mode, &[("mtu", "1600")]))
            .input("l", from_host(inner.clone()))
            .tunnel_sends("t0", 1700)
            .tunnel_counts("t0", "tx_inner_frag")
            .tunnel_counts("t0", "tx_outer_frag")
            .ignore("dataplane.ip4.frag_created");
        let pieces = pieces4(&inner.ttl(63), Some(1576));
        for (piece, cut) in pieces.into_iter().zip([Some(1480), None]) {
            for frame in outside(piece, false, cut) {
                case = case.expect("u", frame);
            }
        }
        case.run();
    }
}

#[test]
fn identifications_of_packets_that_may_be_cut_differ() {
    let mut case = Case::new("C-078", bench("no", &[])).pace(2_000_000);
    for _ in 0..500 {
        case = case.input("l", from_host(udp4(H, R, 100)));
    }
    let frames = case.outcome().frames("u");
    let ids: std::collections::BTreeSet<_> =
        frames.iter().map(|frame| frame[18..20].to_vec()).collect();
    assert_eq!((frames.len(), ids.len()), (500, 500));
}

#[test]
fn fragments_can_be_left_to_the_far_end() {
    let outer = |mode: &str| bench(mode, &[("fragment", "outer")]);
    let case = |mode: &str| Case::new(&format!("B5.2 {mode} fragment outer"), outer(mode));
    run_all([
        cuts_outside(case("pmtudisc"), packet(1500, false)),
        cuts_outside(case("inherit"), packet(1500, false)),
        cuts_outside(case("no"), packet(1500, false)),
        refuses(case("pmtudisc"), packet(1500, true), 1480),
        carries(case("pmtudisc"), packet(1400, false), true),
    ]);
}
