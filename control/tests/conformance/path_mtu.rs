//! E.7 and B6: the path MTU that was learnt, how long it holds, and what it does to packets of each kind.

use crate::addresses::{H, H6, L, L6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, from_gateway, from_host, to_gateway,
    to_host, udp4, udp6,
};
use crate::icmp::{FRAG_NEEDED, TOO_BIG6, error4, error6, underlay4, underlay6};
use crate::relay::{sent4, sent46, sent66};
use crate::run::SECOND;

/// The path of a tunnel over IPv4 takes `mtu`, as a router says about a packet of `len` bytes inside that
/// quotes too little of it to say more.
fn narrowed4(name: &str, bench: Bench, tunnel: &str, mtu: u32) -> Case {
    let sent = if tunnel == "s0" { sent46(udp6(H6, R6, 1480)) } else { sent4(udp4(H, R, 1480)) };
    Case::new(name, bench)
        .input("u", from_gateway(underlay4(FRAG_NEEDED, mtu, &sent[..28])))
        .tunnel_counts(tunnel, "pmtu_updates")
        .tunnel_counts(tunnel, "icmp_relay_short")
}

fn narrowed6(name: &str, bench: Bench, mtu: u32) -> Case {
    Case::new(name, bench)
        .input("u", from_gateway(underlay6(TOO_BIG6, mtu, &sent66(udp6(H6, R6, 1460))[..48])))
        .tunnel_counts("n6", "pmtu_updates")
        .tunnel_counts("n6", "icmp_relay_short")
}

/// The host's packet of `len` bytes with DF is answered with `mtu`.
fn refuses4(case: Case, tunnel: &str, len: usize, mtu: u32) -> Case {
    let packet = udp4(H, R, len);
    case.input("l", from_host(packet.clone()))
        .expect("l", Expected::error4(to_host(error4(L, H, FRAG_NEEDED, mtu, packet)), 14))
        .tunnel_counts(tunnel, "tx_too_big")
        .counts("icmp.tx")
}

fn refuses6(case: Case, tunnel: &str, len: usize, mtu: u32) -> Case {
    let packet = udp6(H6, R6, len);
    case.input("l", from_host(packet.clone()))
        .expect("l", Expected::error6(to_host(error6(L6, H6, TOO_BIG6, mtu, packet)), 14))
        .tunnel_counts(tunnel, "tx_too_big")
        .counts("icmp.tx")
}

/// The host's packet leaves as this outer packet, DF set.
fn carries4(case: Case, tunnel: &str, len: usize) -> Case {
    case.input("l", from_host(udp4(H, R, len)))
        .expect("u", to_gateway(encap4(IPIP, udp4(H, R, len).ttl(63))))
        .tunnel_sends(tunnel, len as u64)
}

/// IPv6 inside IPv4 without DF, in one piece or cut after `cut` bytes of payload.
fn carries_loose6(case: Case, tunnel: &str, len: usize, cut: Option<usize>) -> Case {
    let whole = encap4(IPV6, udp6(H6, R6, len).hop_limit(63)).dont_fragment(false);
    let mut case = case.input("l", from_host(udp6(H6, R6, len))).tunnel_sends(tunnel, len as u64);
    for frame in pieces4(&whole, cut) {
        case = case.expect("u", Expected::any_identification(to_gateway(frame)));
    }
    if cut.is_some() {
        case = case.tunnel_counts(tunnel, "tx_outer_frag");
    }
    case
}

pub(crate) fn pieces4(whole: &Ipv4Packet, cut: Option<usize>) -> Vec<Ipv4Packet> {
    let len = whole.payload.len();
    let step = cut.unwrap_or(len);
    let starts = (0..len).step_by(step);
    let piece = |from: usize| {
        let to = (from + step).min(len);
        let part = whole.clone().payload(&whole.payload[from..to]);
        part.fragment(u16::try_from(from / 8).unwrap(), to < len)
    };
    starts.map(piece).collect()
}

#[test]
fn an_old_router_that_tells_no_size_is_taken_for_the_next_plateau() {
    // A quoted packet of 1500 bytes: 1492.
    let case = narrowed4("C-098", Bench::ipip(), "t0", 0);
    let case = carries4(case, "t0", 1472);
    refuses4(case, "t0", 1473, 1472).run();
    // The quote says 1092 bytes, so it was 1006 at most.
    let sent = sent4(udp4(H, R, 1072));
    let case = Case::new("C-098 1006", Bench::ipip())
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 0, &sent[..28])))
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relay_short");
    refuses4(case, "t0", 987, 986).run();
}

#[test]
fn sizes_that_can_not_be_true_are_refused() {
    let about = |mtu: u32, sent: &[u8]| from_gateway(underlay4(FRAG_NEEDED, mtu, &sent[..48]));
    let sent = sent4(udp4(H, R, 1480));
    let small = sent4(udp4(H, R, 1000));
    let refused = |name: &str, error| {
        let case =
            Case::new(name, Bench::ipip()).input("u", error).tunnel_counts("t0", "pmtu_rejected");
        carries4(case, "t0", 1480)
    };
    let sent6 = sent66(udp6(H6, R6, 1460));
    let about6 = |mtu: u32| from_gateway(underlay6(TOO_BIG6, mtu, &sent6[..88]));
    let refused6 = |name: &str, mtu| {
        let outer = to_gateway(encap6(IPV6, udp6(H6, R6, 1460).hop_limit(63)));
        Case::new(name, Bench::any6())
            .input("u", about6(mtu))
            .tunnel_counts("n6", "pmtu_rejected")
            .input("l", from_host(udp6(H6, R6, 1460)))
            .expect("u", Expected::any_flow_label(outer))
            .tunnel_sends("n6", 1460)
    };
    run_all([
        refused("C-101(a)", about(1600, &sent)),
        refused("the size of the port", about(1500, &sent)),
        refused("less than any link", about(67, &sent)),
        refused("more than the quoted packet", about(1400, &small)),
        refused6("C-101(b)", 1200),
        refused6("C-101(b) 1279", 1279),
        refused6("ICMPv6 above the port", 1600),
        refused6("ICMPv6 beyond any", u32::MAX),
    ]);
}

#[test]
fn an_estimate_only_goes_down() {
    let error =
        |mtu: u32| from_gateway(underlay4(FRAG_NEEDED, mtu, &sent4(udp4(H, R, 1480))[..28]));
    let case = narrowed4("B7 decreases", Bench::ipip(), "t0", 1400)
        .input("u", error(1450))
        .tunnel_counts("t0", "pmtu_rejected")
        // The same once more is no news, and no lie.
        .input("u", error(1400))
        .tunnel_counts("t0", "icmp_relay_short")
        .input("u", error(1300))
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relay_short");
    let case = carries4(case, "t0", 1280);
    refuses4(case, "t0", 1281, 1280).run();
}

#[test]
fn after_ten_minutes_the_port_decides_again() {
    let case = narrowed4("C-102", Bench::ipip(), "t0", 1400);
    let case = refuses4(case, "t0", 1480, 1380).wait(598 * SECOND);
    let case = refuses4(case, "t0", 1480, 1380).wait(3 * SECOND);
    carries4(case, "t0", 1480).run();
}

#[test]
fn the_time_can_be_set_and_is_never_less_than_five_minutes() {
    let bench = |seconds| Bench::ipip().set("tunnels.t0.pmtu-expiry", seconds);
    let case = narrowed4("pmtu-expiry 900", bench("900"), "t0", 1400).wait(890 * SECOND);
    let case = refuses4(case, "t0", 1480, 1380).wait(12 * SECOND);
    carries4(case, "t0", 1480).run();
    let case = narrowed4("pmtu-expiry 1", bench("1"), "t0", 1400).wait(298 * SECOND);
    let case = refuses4(case, "t0", 1480, 1380).wait(4 * SECOND);
    carries4(case, "t0", 1480).run();
}

#[test]
fn ipv6_inside_ipv4_where_the_path_leaves_1280_or_more() {
    let case = narrowed4("B6.2 fits", Bench::sit(), "s0", 1400)
        .input("l", from_host(udp6(H6, R6, 1380)))
        .expect("u", to_gateway(encap4(IPV6, udp6(H6, R6, 1380).hop_limit(63))))
        .tunnel_sends("s0", 1380);
    refuses6(case, "s0", 1381, 1380).run();
    let case = narrowed4("B6.2 exactly 1280", Bench::sit(), "s0", 1300)
        .input("l", from_host(udp6(H6, R6, 1280)))
        .expect("u", to_gateway(encap4(IPV6, udp6(H6, R6, 1280).hop_limit(63))))
        .tunnel_sends("s0", 1280);
    refuses6(case, "s0", 1281, 1280).run();
}

#[test]
fn ipv6_inside_ipv4_where_the_path_leaves_less_than_1280() {
    // 1290 - 20 is a multiple of eight less six.
    let case = narrowed4("B6.2 less than 1280", Bench::sit(), "s0", 1290);
    let case = carries_loose6(case, "s0", 1270, None);
    let case = carries_loose6(case, "s0", 1280, Some(1264));
    refuses6(case, "s0", 1281, 1280).run();
    // The same where it is the port that takes so little.
    let case = Case::new("B6.2 port of 1290", Bench::sit().set("ports.u.mtu", "1290"));
    let case = carries_loose6(case, "s0", 1270, None);
    let case = carries_loose6(case, "s0", 1280, Some(1264));
    refuses6(case, "s0", 1281, 1280).run();
}

/// `whole` cut behind its IPv6 header, with fragment headers; the identification is that of `frames`.
fn fragments6(whole: &Ipv6Packet, step: usize, identification: [u8; 4]) -> Vec<Vec<u8>> {
    let len = whole.payload.len();
    let piece = |from: usize| {
        let to = (from + step).min(len);
        let field = u16::try_from(from).unwrap() | u16::from(to < len);
        let next = whole.header.next_header.0;
        let header = [&[next, 0], &field.to_be_bytes()[..], &identification].concat();
        let mut part = whole.clone();
        part.header.next_header = etherparse::IpNumber(44);
        part.payload = [&header, &whole.payload[from..to]].concat();
        to_gateway(part)
    };
    (0..len).step_by(step).map(piece).collect()
}

/// The packet `inner` leaves through n6 in outer fragments of `step` bytes of payload.
fn is_cut_outside6(name: &str, case: Case, inner: Vec<u8>, next_header: u8, step: usize) {
    let outcome = case.input("l", from_host(inner.clone())).outcome();
    let frames = outcome.frames("u");
    let first = frames.first().expect("a fragment");
    let mut one_hop_on = inner;
    if next_header == IPV6 {
        one_hop_on[7] -= 1;
    } else {
        one_hop_on[8] -= 1;
        crate::frames::seal_ipv4(&mut one_hop_on, 0);
    }
    let mut whole = encap6(next_header, one_hop_on);
    let label = u32::from_be_bytes(first[14..18].try_into().unwrap()) & 0xf_ffff;
    assert_ne!(label, 0, "{name}");
    whole = whole.flow_label(label);
    let expected = fragments6(&whole, step, first[58..62].try_into().unwrap());
    assert_eq!(frames, expected, "{name}");
    assert_eq!(outcome.counter("tunnels.n6.tx_outer_frag"), 1, "{name}");
    assert_eq!(outcome.counter("tunnels.n6.tx_packets"), 1, "{name}");
}

#[test]
fn ipv6_outside_is_cut_for_the_path_and_not_only_for_the_port() {
    let packet = || udp6(H6, R6, 1280).bytes();
    for (name, mtu, step) in [("C-082", 1300, 1248), ("B6.3 1280", 1280, 1232)] {
        is_cut_outside6(name, narrowed6(name, Bench::any6(), mtu), packet(), IPV6, step);
    }
    let case = Case::new("C-084", Bench::any6().set("tunnels.n6.fragment", "outer"));
    let loose = udp4(H, R, 1500).dont_fragment(false).bytes();
    is_cut_outside6("C-084", case, loose, IPIP, 1448);
}

#[test]
fn ipv6_outside_has_the_limits_of_each_family_inside() {
    let case = narrowed6("B6.3 IPv6", Bench::any6(), 1400);
    refuses6(case, "n6", 1361, 1360).run();
    let case = narrowed6("B6.3 IPv6, 1280 always pass", Bench::any6(), 1300);
    refuses6(case, "n6", 1281, 1280).run();
    let case = narrowed6("B6.3 IPv4 with DF", Bench::any6(), 1300);
    refuses4(case, "n6", 1261, 1260).run();
    let whole = udp4(H, R, 1400).dont_fragment(false);
    let mut case = narrowed6("B6.3 IPv4 without DF", Bench::any6(), 1400)
        .input("l", from_host(whole.clone()))
        .tunnel_sends("n6", 1400)
        .tunnel_counts("n6", "tx_inner_frag")
        .ignore("dataplane.ip4.frag_created");
    for piece in pieces4(&whole.ttl(63), Some(1336)) {
        let outer = to_gateway(encap6(IPIP, piece));
        case = case.expect("u", Expected::any_flow_label(outer));
    }
    case.run();
}

#[test]
fn a_path_below_the_floor_is_locked_at_it_and_goes_without_df() {
    let loose = |len: usize| {
        let outer = encap4(IPIP, udp4(H, R, len).ttl(63)).dont_fragment(false);
        Expected::any_identification(to_gateway(outer))
    };
    let case = narrowed4("B6.4 floor", Bench::ipip(), "t0", 300)
        .input("l", from_host(udp4(H, R, 532)))
        .expect("u", loose(532))
        .tunnel_sends("t0", 532);
    let case = refuses4(case, "t0", 533, 532).wait(601 * SECOND);
    carries4(case, "t0", 532).run();
    let bench = Bench::ipip().set("tunnels.t0.pmtu-floor", "1000");
    let case = narrowed4("pmtu-floor 1000", bench, "t0", 900)
        .input("l", from_host(udp4(H, R, 980)))
        .expect("u", loose(980))
        .tunnel_sends("t0", 980);
    refuses4(case, "t0", 981, 980).run();
    // At the floor itself the size is believed.
    let case = narrowed4("B6.4 at the floor", Bench::ipip(), "t0", 552);
    let case = carries4(case, "t0", 532);
    refuses4(case, "t0", 533, 532).run();
}

#[test]
fn a_static_mtu_neither_learns_nor_uses_a_path() {
    let bench = Bench::sit().set("tunnels.s0.static-mtu", "1400");
    let sent = sent46(udp6(H6, R6, 1400));
    let case = Case::new("static-mtu", bench)
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1300, &sent[..28])))
        .tunnel_counts("s0", "pmtu_rejected");
    carries_loose6(case, "s0", 1400, None).run();
}

#[test]
fn the_static_mtu_of_rfc_4213_goes_without_df_and_answers_what_is_larger() {
    let bench = || Bench::sit().set("tunnels.s0.static-mtu", "1280");
    let case = carries_loose6(Case::new("C-081", bench()), "s0", 1280, None);
    let case = carries_loose6(case, "s0", 100, None);
    refuses6(case, "s0", 1281, 1280).run();
}
