//! E.6: DF outside, and outer packets that are cut because they are larger than the underlay's port.

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, from_host, to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{FRAG_NEEDED, TOO_BIG6, error4, error6};
use crate::run::{MILLISECOND, Replay};

/// Number of the IPv6 fragment header.
const FRAGMENT: u8 = 44;

/// An outer packet without DF, of an identification that is left open.
pub(crate) fn loose(protocol: u8, inner: impl Into<Vec<u8>>) -> Ipv4Packet {
    encap4(protocol, inner).dont_fragment(false)
}

/// The two outer fragments of an IPv4 packet, the first with `cut` bytes of its payload.
pub(crate) fn cut4(outer: &Ipv4Packet, cut: usize) -> [Expected; 2] {
    let part = |from: usize, to: usize, more: bool| {
        let part = outer.clone().payload(&outer.payload[from..to]);
        let part = part.fragment(u16::try_from(from / 8).unwrap(), more);
        Expected::any_identification(to_gateway(part))
    };
    [part(0, cut, true), part(cut, outer.payload.len(), false)]
}

/// The two outer fragments of an IPv6 packet around `inner`.
pub(crate) fn cut6(next_header: u8, inner: &[u8], cut: usize) -> [Expected; 2] {
    let part = |from: usize, to: usize, more: bool| {
        let offset = u16::try_from(from).unwrap() | u16::from(more);
        let header = [&[next_header, 0][..], &offset.to_be_bytes(), &[0; 4]].concat();
        let fragment = [&header, &inner[from..to]].concat();
        Expected::fragment6(to_gateway(encap6(FRAGMENT, fragment)))
    };
    [part(0, cut, true), part(cut, inner.len(), false)]
}

#[test]
fn df_outside_is_clear_or_copied_as_configured() {
    let clear = Bench::ipip().set("tunnels.t0.dont-fragment", "no");
    let inherit = || Bench::ipip().set("tunnels.t0.dont-fragment", "inherit");
    let passes = |name: &str, bench: Bench, inner: Ipv4Packet, outer: Ipv4Packet| {
        Case::new(name, bench)
            .input("l", from_host(inner))
            .expect("u", Expected::any_identification(to_gateway(outer)))
            .tunnel_sends("t0", 1400)
    };
    let may_be_cut = || udp4(H, R, 1400).dont_fragment(false);
    run_all([
        passes("C-075(a)", clear, udp4(H, R, 1400), loose(IPIP, udp4(H, R, 1400).ttl(63))),
        passes("C-075(b)", inherit(), udp4(H, R, 1400), encap4(IPIP, udp4(H, R, 1400).ttl(63))),
        passes("C-075(b)", inherit(), may_be_cut(), loose(IPIP, may_be_cut().ttl(63))),
    ]);
}

#[test]
fn a_tunnel_larger_than_its_underlay_cuts_outer_packets_and_says_nothing() {
    let bench =
        || Bench::ipip().set("tunnels.t0.dont-fragment", "no").set("tunnels.t0.mtu", "1500");
    let outer = loose(IPIP, udp4(H, R, 1500).ttl(63));
    assert_eq!(outer.bytes().len(), 1520);
    let [first, second] = cut4(&outer, 1480);
    Case::new("C-076", bench())
        .input("l", from_host(udp4(H, R, 1500)))
        .expect("u", first)
        .expect("u", second)
        .tunnel_sends("t0", 1500)
        .tunnel_counts("t0", "tx_outer_frag")
        .run();
    // Both carry one identification.
    let mut replay = Replay::new(bench());
    replay.input("l", 0, from_host(udp4(H, R, 1500)));
    let sent = replay.run().frames("u");
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1514, 54]);
    assert_eq!(sent[0][18..20], sent[1][18..20]);
}

#[test]
fn a_tunnel_without_df_still_refuses_what_is_larger_than_its_own_mtu() {
    let bench = Bench::ipip().set("tunnels.t0.dont-fragment", "no").set("tunnels.t0.mtu", "1480");
    let error = to_host(error4(crate::addresses::L, H, FRAG_NEEDED, 1480, udp4(H, R, 1500)));
    Case::new("C-077", bench)
        .input("l", from_host(udp4(H, R, 1500)))
        .expect("l", Expected::error4(error, 14))
        .tunnel_counts("t0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn outer_packets_that_may_be_cut_have_identifications_of_their_own() {
    // C-078.
    let mut replay = Replay::new(Bench::ipip().set("tunnels.t0.dont-fragment", "no"));
    for at in 0..500 {
        replay.input("l", at * 2 * MILLISECOND, from_host(udp4(H, R, 100)));
    }
    let sent = replay.run().frames("u");
    let seen: std::collections::BTreeSet<_> = sent.iter().map(|frame| &frame[18..20]).collect();
    assert_eq!((sent.len(), seen.len()), (500, 500), "C-078");
}

#[test]
fn a_static_mtu_never_sets_df_and_answers_what_is_larger() {
    let bench = || Bench::sit().set("tunnels.s0.static-mtu", "1280");
    let sends = |len: usize| {
        let outer = loose(IPV6, udp6(H6, R6, len).hop_limit(63));
        Case::new("C-081", bench())
            .input("l", from_host(udp6(H6, R6, len)))
            .expect("u", Expected::any_identification(to_gateway(outer)))
            .tunnel_sends("s0", len as u64)
    };
    let error = to_host(error6(crate::addresses::L6, H6, TOO_BIG6, 1280, udp6(H6, R6, 1281)));
    run_all([
        sends(100),
        sends(1280),
        Case::new("C-081", bench())
            .input("l", from_host(udp6(H6, R6, 1281)))
            .expect("l", Expected::error6(error, 14))
            .tunnel_counts("s0", "tx_too_big")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn ipv6_packets_of_1280_bytes_pass_a_smaller_underlay_in_outer_fragments() {
    let inner: Ipv6Packet = udp6(H6, R6, 1280).hop_limit(63);
    let [first, second] = cut6(IPV6, &inner.bytes(), 1248);
    Case::new("as C-082, by the port's MTU", Bench::any6().set("ports.u.mtu", "1300"))
        .input("l", from_host(udp6(H6, R6, 1280)))
        .expect("u", first)
        .expect("u", second)
        .tunnel_sends("n6", 1280)
        .tunnel_counts("n6", "tx_outer_frag")
        .run();
}

#[test]
fn ipv4_without_df_is_cut_outside_ipv6_where_the_tunnel_says_so() {
    let bench = || Bench::any6().set("tunnels.n6.fragment", "outer");
    let whole = || udp4(H, R, 1500).dont_fragment(false);
    let [first, second] = cut6(IPIP, &whole().ttl(63).bytes(), 1448);
    Case::new("C-084", bench())
        .input("l", from_host(whole()))
        .expect("u", first)
        .expect("u", second)
        .tunnel_sends("n6", 1500)
        .tunnel_counts("n6", "tx_outer_frag")
        .run();
    let mut replay = Replay::new(bench());
    replay.input("l", 0, from_host(whole()));
    let sent = replay.run().frames("u");
    assert_eq!(sent.iter().map(|frame| frame.len() - 14).collect::<Vec<_>>(), [1496, 100]);
    assert_eq!(sent[0][58..62], sent[1][58..62], "two identifications");
}
