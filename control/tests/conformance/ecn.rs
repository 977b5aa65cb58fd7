//! E.5 as far as the modes exist: every cell of the ECN tables of section B1, and the DSCP rules of B3.

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, encap4, encap6, from_gateway, from_host, peer4, peer6, to_gateway, to_host, udp4,
    udp6,
};

const NOT_ECT: u8 = 0;
const ECT1: u8 = 1;
const ECT0: u8 = 2;
const CE: u8 = 3;

/// What decapsulation makes of one cell.
#[derive(Clone, Copy)]
enum Cell {
    Becomes(u8),
    /// Delivered as this codepoint, and counted in `rx_ecn_log`.
    Logged(u8),
    /// Delivered as this codepoint; whether it is logged is left open.
    MayBeLogged(u8),
    Dropped,
}

/// Section B1, decapsulation: (inner, [outer Not-ECT, ECT(0), ECT(1), CE]). RFC 6040 Figure 4.
const DECAP: [(u8, [Cell; 4]); 4] = {
    use Cell::{Becomes, Dropped, Logged, MayBeLogged};
    [
        (NOT_ECT, [Becomes(NOT_ECT), Logged(NOT_ECT), Logged(NOT_ECT), Dropped]),
        (ECT0, [Becomes(ECT0), Becomes(ECT0), Becomes(ECT1), Becomes(CE)]),
        (ECT1, [Becomes(ECT1), MayBeLogged(ECT1), Becomes(ECT1), Becomes(CE)]),
        (CE, [Becomes(CE), Becomes(CE), Logged(CE), Becomes(CE)]),
    ]
};
const OUTER: [u8; 4] = [NOT_ECT, ECT0, ECT1, CE];

/// All sixteen cells; `frame(inner, outer)` goes in, `inner(result)` comes out.
fn decap_table(
    number: &str,
    bench: &Bench,
    (tunnel, len): (&str, u64),
    frame: impl Fn(u8, u8) -> Vec<u8>,
    delivered: impl Fn(u8) -> Vec<u8>,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (inner, row) in DECAP {
        for (cell, outer) in row.into_iter().zip(OUTER) {
            let name = format!("{number} inner {inner:02b} outer {outer:02b}");
            let case = Case::new(&name, bench.clone()).input("u", frame(inner, outer));
            let comes = |case: Case, codepoint| {
                case.expect("l", delivered(codepoint)).tunnel_accepts(tunnel, len)
            };
            cases.push(match cell {
                Cell::Becomes(to) => comes(case, to),
                Cell::Logged(to) => comes(case, to).tunnel_counts(tunnel, "rx_ecn_log"),
                Cell::MayBeLogged(to) => {
                    comes(case, to).ignore(&format!("tunnels.{tunnel}.rx_ecn_log"))
                }
                Cell::Dropped => case.tunnel_counts(tunnel, "rx_ecn_drop"),
            });
        }
    }
    cases
}

fn four(tos: u8) -> crate::frames::Ipv4Packet {
    udp4(R, H, 84).tos(tos)
}

fn six(class: u8) -> crate::frames::Ipv6Packet {
    udp6(R6, H6, 100).traffic_class(class)
}

#[test]
fn the_outer_ecn_follows_the_inner_one_by_the_mode() {
    // Rows: inner; columns: normal, compat, rfc3168.
    let table = [
        (NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT]),
        (ECT1, [ECT1, NOT_ECT, ECT1]),
        (ECT0, [ECT0, NOT_ECT, ECT0]),
        (CE, [CE, NOT_ECT, ECT0]),
    ];
    let modes = [("C-059(a)", "normal"), ("C-059(b)", "compat"), ("C-059(c)", "rfc3168")];
    let mut cases = Vec::new();
    for (inner, row) in table {
        for (outer, (number, mode)) in row.into_iter().zip(modes) {
            let name = format!("{number} {mode}, inner {inner:02b}");
            let sent = udp4(H, R, 84).tos(inner).ttl(63);
            let sent6 = udp6(H6, R6, 100).traffic_class(inner).hop_limit(63);
            let outer6 = to_gateway(encap6(IPV6, sent6).traffic_class(outer));
            cases.push(
                Case::new(&name, Bench::ipip().set("tunnels.t0.ecn", mode))
                    .input("l", from_host(udp4(H, R, 84).tos(inner)))
                    .expect("u", to_gateway(encap4(IPIP, sent).tos(outer)))
                    .tunnel_sends("t0", 84),
            );
            cases.push(
                Case::new(&name, Bench::ip6ip6().set("tunnels.n6.ecn", mode))
                    .input("l", from_host(udp6(H6, R6, 100).traffic_class(inner)))
                    .expect("u", Expected::any_flow_label(outer6))
                    .tunnel_sends("n6", 100),
            );
        }
    }
    run_all(cases);
}

#[test]
fn every_cell_of_the_decap_table_holds_for_ipv4_in_ipv4() {
    let frame = |inner, outer| from_gateway(peer4(IPIP, four(inner)).tos(outer));
    let delivered = |ecn| to_host(four(ecn).ttl(63));
    run_all(decap_table("C-061", &Bench::ipip(), ("t0", 84), frame, delivered));
}

#[test]
fn a_ce_mark_inside_survives_an_ect_mark_outside() {
    Case::new("C-063", Bench::ipip())
        .input("u", from_gateway(peer4(IPIP, four(CE)).tos(ECT0)))
        .expect("l", to_host(four(CE).ttl(63)))
        .tunnel_accepts("t0", 84)
        .run();
}

#[test]
fn every_cell_of_the_decap_table_holds_for_the_other_families() {
    let (any4, any6) = (Bench::any4(), Bench::any6());
    let six_in_four = |inner, outer| from_gateway(peer4(IPV6, six(inner)).tos(outer));
    let four_in_six = |inner, outer| from_gateway(peer6(IPIP, four(inner)).traffic_class(outer));
    let six_in_six = |inner, outer| from_gateway(peer6(IPV6, six(inner)).traffic_class(outer));
    let to4 = |ecn| to_host(four(ecn).ttl(63));
    let to6 = |ecn| to_host(six(ecn).hop_limit(63));
    let number = "C-064(a)";
    let mut cases = decap_table(number, &any4, ("a4", 100), six_in_four, to6);
    cases.extend(decap_table(number, &any6, ("n6", 84), four_in_six, to4));
    cases.extend(decap_table(number, &any6, ("n6", 100), six_in_six, to6));
    run_all(cases);
}

#[test]
fn the_outer_dscp_is_inherited_or_fixed_and_never_touches_ecn() {
    let sends = |name: &str, dscp: &str, tos: u8, outer: u8| {
        let sent = udp4(H, R, 84).tos(tos).ttl(63);
        Case::new(name, Bench::ipip().set("tunnels.t0.dscp", dscp))
            .input("l", from_host(udp4(H, R, 84).tos(tos)))
            .expect("u", to_gateway(encap4(IPIP, sent).tos(outer)))
            .tunnel_sends("t0", 84)
    };
    let sends6 = |name: &str, dscp: &str, class: u8, outer: u8| {
        let sent = udp6(H6, R6, 100).traffic_class(class).hop_limit(63);
        let outer = to_gateway(encap6(IPV6, sent).traffic_class(outer));
        Case::new(name, Bench::ip6ip6().set("tunnels.n6.dscp", dscp))
            .input("l", from_host(udp6(H6, R6, 100).traffic_class(class)))
            .expect("u", Expected::any_flow_label(outer))
            .tunnel_sends("n6", 100)
    };
    run_all([
        sends("C-067(a)", "inherit", 0xb8, 46 << 2),
        sends("C-067(b)", "10", 0xb9, 10 << 2 | 1),
        sends("dscp 0", "0", 0xb8, 0),
        sends6("C-067(a) IPv6", "inherit", 0xb8, 46 << 2),
        sends6("C-067(b) IPv6", "10", 0xb9, 10 << 2 | 1),
    ]);
}

#[test]
fn the_inner_dscp_is_kept_or_overwritten_at_the_egress() {
    let accepts = |name: &str, bench: Bench, outer: u8, inner: u8, result: u8| {
        Case::new(name, bench)
            .input("u", from_gateway(peer4(IPIP, four(inner)).tos(outer)))
            .expect("l", to_host(four(result).ttl(63)))
            .tunnel_accepts("t0", 84)
    };
    let keep = Bench::ipip().set("tunnels.t0.dscp-decap", "keep");
    let copy = Bench::ipip().set("tunnels.t0.dscp-decap", "copy");
    let copy6 = Bench::ip6ip6().set("tunnels.n6.dscp-decap", "copy");
    run_all([
        accepts("C-068(a)", keep, 46 << 2, 0, 0),
        accepts("C-068(b)", copy.clone(), 46 << 2, 0, 46 << 2),
        accepts("C-068(b) with ECN", copy, 46 << 2 | CE, ECT0, 46 << 2 | CE),
        Case::new("C-068(b) IPv6", copy6)
            .input("u", from_gateway(peer6(IPV6, six(ECT0)).traffic_class(46 << 2 | CE)))
            .expect("l", to_host(six(46 << 2 | CE).hop_limit(63)))
            .tunnel_accepts("n6", 100),
    ]);
}
