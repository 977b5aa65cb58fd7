//! E.4: TTL and hop limit, inside and outside.

use crate::addresses::{H, H6, L, L6, R, R6, T, T6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, encap4, encap6, from_gateway, from_host, peer4, peer6, to_gateway, to_host, udp4,
    udp6,
};
use crate::icmp::{HOP_EXPIRED6, TTL_EXPIRED, echo_reply4, echo_request4, error4, error6};

/// `packet` expires here: the host hears it, nothing enters the tunnel.
fn expires(name: &str, bench: Bench, packet: &crate::frames::Ipv4Packet) -> Case {
    let error = to_host(error4(L, H, TTL_EXPIRED, 0, packet.clone()));
    Case::new(name, bench)
        .input("l", from_host(packet.clone()))
        .expect("l", Expected::error4(error, 14))
        .counts("ip4.ttl_expired")
        .counts("icmp.tx")
}

#[test]
fn a_ttl_of_one_ends_here_and_a_ttl_of_two_goes_on_with_one() {
    run_all([
        expires("C-049(a)", Bench::ipip(), &udp4(H, R, 84).ttl(1)),
        expires("C-049(a) with TTL 0", Bench::ipip(), &udp4(H, R, 84).ttl(0)),
        Case::new("C-049(b)", Bench::ipip())
            .input("l", from_host(udp4(H, R, 84).ttl(2)))
            .expect("u", to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(1))))
            .tunnel_sends("t0", 84),
    ]);
}

#[test]
fn an_inherited_outer_ttl_is_the_inner_one_after_the_decrement() {
    let four = || udp4(H, R, 84);
    let six = || udp6(H6, R6, 100);
    let inherit = |bench: Bench, name: &str| bench.set(&format!("tunnels.{name}.ttl"), "inherit");
    let outer6 = encap6(IPIP, four().ttl(39)).hop_limit(39);
    run_all([
        Case::new("C-050", inherit(Bench::ipip(), "t0"))
            .input("l", from_host(four().ttl(40)))
            .expect("u", to_gateway(encap4(IPIP, four().ttl(39)).ttl(39)))
            .tunnel_sends("t0", 84),
        Case::new("C-050 sit", inherit(Bench::sit(), "s0"))
            .input("l", from_host(six().hop_limit(40)))
            .expect("u", to_gateway(encap4(IPV6, six().hop_limit(39)).ttl(39)))
            .tunnel_sends("s0", 100),
        Case::new("C-050 ipip6", inherit(Bench::ipip6(), "n6"))
            .input("l", from_host(four().ttl(40)))
            .expect("u", Expected::any_flow_label(to_gateway(outer6)))
            .tunnel_sends("n6", 84),
    ]);
}

#[test]
fn a_packet_that_expires_after_decap_is_answered_through_the_tunnel() {
    let packet = udp4(R, H, 84).ttl(1);
    let error = error4(T, R, TTL_EXPIRED, 0, packet.clone());
    let len = error.bytes().len() as u64;
    let packet6 = udp6(R6, H6, 100).hop_limit(1);
    let error6 = error6(T6, R6, HOP_EXPIRED6, 0, packet6.clone());
    let len6 = error6.bytes().len() as u64;
    run_all([
        Case::new("C-051", Bench::ipip())
            .input("u", from_gateway(peer4(IPIP, packet)))
            .expect("u", Expected::error4(to_gateway(encap4(IPIP, error).tos(0xc0)), 34))
            .tunnel_accepts("t0", 84)
            .tunnel_sends("t0", len)
            .counts("ip4.ttl_expired")
            .counts("icmp.tx"),
        Case::new("C-051 sit", Bench::sit())
            .input("u", from_gateway(peer4(IPV6, packet6)))
            .expect("u", Expected::error6(to_gateway(encap4(IPV6, error6)), 34))
            .tunnel_accepts("s0", 100)
            .tunnel_sends("s0", len6)
            .counts("ip6.hop_expired")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn a_ttl_of_one_is_enough_for_ourselves_and_for_the_outer_header() {
    let request = echo_request4(R, T, 84).ttl(1);
    let reply = to_gateway(encap4(IPIP, echo_reply4(T, R, 84)));
    run_all([
        Case::new("C-053(a)", Bench::ipip())
            .input("u", from_gateway(peer4(IPIP, request)))
            .expect("u", Expected::reply4(reply, 34))
            .tunnel_accepts("t0", 84)
            .tunnel_sends("t0", 84),
        Case::new("C-053(b)", Bench::ipip())
            .input("u", from_gateway(peer4(IPIP, udp4(R, H, 84)).ttl(1)))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts("t0", 84),
        Case::new("C-053(b) IPv6", Bench::any6())
            .input("u", from_gateway(peer6(IPIP, udp4(R, H, 84)).hop_limit(1)))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts("n6", 84),
    ]);
}

#[test]
fn a_hop_limit_of_one_ends_before_the_tunnel() {
    let packet = udp6(H6, R6, 100).hop_limit(1);
    let error = to_host(error6(L6, H6, HOP_EXPIRED6, 0, packet.clone()));
    run_all([("C-054", Bench::sit()), ("C-054 ip6ip6", Bench::ip6ip6())].map(|(name, bench)| {
        Case::new(name, bench)
            .input("l", from_host(packet.clone()))
            .expect("l", Expected::error6(error.clone(), 14))
            .counts("ip6.hop_expired")
            .counts("icmp.tx")
    }));
}

#[test]
fn a_fixed_outer_hop_limit_does_not_follow_the_inner_one() {
    run_all([2u8, 64, 255].map(|inner| {
        let sent = udp6(H6, R6, 100).hop_limit(inner - 1);
        let outer = to_gateway(encap6(IPV6, sent).hop_limit(200));
        Case::new("C-055", Bench::any6().set("tunnels.n6.ttl", "200"))
            .input("l", from_host(udp6(H6, R6, 100).hop_limit(inner)))
            .expect("u", Expected::any_flow_label(outer))
            .tunnel_sends("n6", 100)
    }));
}

#[test]
fn an_outer_ttl_below_the_minimum_is_refused() {
    let outer = |ttl| from_gateway(peer4(IPIP, udp4(R, H, 84)).ttl(ttl));
    let outer6 = |ttl| from_gateway(peer6(IPIP, udp4(R, H, 84)).hop_limit(ttl));
    let bench = Bench::ipip().set("tunnels.t0.min-outer-ttl", "255");
    let bench6 = Bench::any6().set("tunnels.n6.min-outer-ttl", "255");
    run_all([
        Case::new("C-056", bench.clone()).input("u", outer(254)).counts("tun.outer_ttl"),
        Case::new("C-056 IPv6", bench6).input("u", outer6(254)).counts("tun.outer_ttl"),
        Case::new("C-056 at the minimum", bench)
            .input("u", outer(255))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts("t0", 84),
    ]);
}

#[test]
fn an_expired_packet_that_is_also_oversize_is_reported_as_expired() {
    expires("C-057", Bench::ipip(), &udp4(H, R, 1500).ttl(1)).run();
}

#[test]
fn an_inner_ttl_of_zero_is_refused_on_decap_even_for_ourselves() {
    let cases = [
        ("TTL 0 in transit", udp4(R, H, 84).ttl(0)),
        ("TTL 0 to ourselves", echo_request4(R, T, 84).ttl(0)),
    ];
    let hop0 = udp6(R6, H6, 100).hop_limit(0);
    let six = Case::new("hop limit 0", Bench::sit())
        .input("u", from_gateway(peer4(IPV6, hop0)))
        .tunnel_counts("s0", "rx_inner_ttl_zero");
    let four = cases.map(|(name, inner)| {
        Case::new(name, Bench::ipip())
            .input("u", from_gateway(peer4(IPIP, inner)))
            .tunnel_counts("t0", "rx_inner_ttl_zero")
    });
    run_all(four.into_iter().chain([six]));
}
