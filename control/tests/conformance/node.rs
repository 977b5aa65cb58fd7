//! E.13: the appliance as a node: echo, unreachables, what is never answered, and rate limits.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addresses::{BROADCAST_MAC, G, G6, H, H_MAC, H6, L, L6, R, R6, T, U, U6};
use crate::bench::Bench;
use crate::capture::Time;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, Ipv4Packet, encap4, ethernet, from_gateway, from_host, to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{
    NO_ROUTE6, TTL_EXPIRED, UNREACHABLE_NET, echo_reply4, echo_reply6, echo_request4,
    echo_request6, error4, error6,
};
use crate::run::{MILLISECOND, Replay};

const NOWHERE: Ipv4Addr = Ipv4Addr::new(172, 31, 9, 9);
const NOWHERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);

#[test]
fn every_local_address_answers_echo_with_the_payload_copied() {
    let bench = || Bench::ipip().set("loopback.addresses", "[192.0.2.1/32]");
    let loopback = Ipv4Addr::new(192, 0, 2, 1);
    let on_u = Case::new("C-175", bench())
        .input("u", from_gateway(echo_request4(G, U, 1500)))
        .expect("u", Expected::reply4(to_gateway(echo_reply4(U, G, 1500)), 14));
    let on_u6 = Case::new("C-175", bench())
        .input("u", from_gateway(echo_request6(G6, U6, 1500)))
        .expect("u", to_gateway(echo_reply6(U6, G6, 1500)));
    let from_lan = [T, U, L, loopback].map(|local| {
        Case::new("C-175", bench())
            .input("l", from_host(echo_request4(H, local, 84)))
            .expect("l", Expected::reply4(to_host(echo_reply4(local, H, 84)), 14))
    });
    let from_lan6 = Case::new("C-175", bench())
        .input("l", from_host(echo_request6(H6, L6, 100)))
        .expect("l", to_host(echo_reply6(L6, H6, 100)));
    run_all(from_lan.into_iter().chain([on_u, on_u6, from_lan6]));
}

#[test]
fn an_echo_reply_copies_the_dscp_and_clears_ecn() {
    let reply = to_host(echo_reply4(L, H, 84).tos(0xb8));
    Case::new("C-175 DSCP", Bench::bare())
        .input("l", from_host(echo_request4(H, L, 84).tos(0xb8 | 1)))
        .expect("l", Expected::reply4(reply, 14))
        .run();
}

#[test]
fn an_echo_request_with_a_wrong_checksum_or_to_everybody_is_not_answered() {
    let mut broken = from_host(echo_request4(H, L, 84));
    broken[14 + 20 + 2] ^= 1;
    let to_all = echo_request4(H, Ipv4Addr::new(10, 1, 0, 255), 84);
    run_all([
        Case::new("wrong ICMP checksum", Bench::bare())
            .input("l", broken)
            .counts("icmp.bad_checksum"),
        Case::new("echo to the subnet broadcast", Bench::bare())
            .input("l", ethernet(BROADCAST_MAC, H_MAC, to_all))
            .counts("ip.broadcast_dst"),
    ]);
}

#[test]
fn a_destination_without_route_is_reported_to_the_host() {
    let (four, six) = (udp4(H, NOWHERE, 84), udp6(H6, NOWHERE6, 100));
    run_all([
        Case::new("C-176", Bench::ipip())
            .input("l", from_host(four.clone()))
            .expect("l", Expected::error4(to_host(error4(L, H, UNREACHABLE_NET, 0, four)), 14))
            .counts("ip4.no_route")
            .counts("icmp.tx"),
        Case::new("C-176", Bench::ipip())
            .input("l", from_host(six.clone()))
            .expect("l", Expected::error6(to_host(error6(L6, H6, NO_ROUTE6, 0, six)), 14))
            .counts("ip6.no_route")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn some_packets_are_never_answered_with_an_error() {
    let expired = || udp4(H, R, 84).ttl(1);
    let suppressed = |name: &str, frame: Vec<u8>| {
        Case::new(name, Bench::ipip())
            .input("l", frame)
            .counts("ip4.ttl_expired")
            .counts("icmp.suppressed")
    };
    let error = error4(H, R, TTL_EXPIRED, 0, udp4(R, H, 84)).ttl(1);
    let error6 = error6(H6, R6, (3, 0), 0, udp6(R6, H6, 100)).hop_limit(1);
    let later = expired().dont_fragment(false).fragment(10, true);
    run_all([
        suppressed("C-177(a)", from_host(later)),
        suppressed("C-177(b)", from_host(error)),
        suppressed("C-177(c)", ethernet(BROADCAST_MAC, H_MAC, expired())),
        Case::new("C-177(b) IPv6", Bench::sit())
            .input("l", from_host(error6))
            .counts("ip6.hop_expired")
            .counts("icmp.suppressed"),
    ]);
}

#[test]
fn a_first_fragment_and_an_icmp_query_are_answered() {
    let answered = |name: &str, packet: Ipv4Packet| {
        let error = to_host(error4(L, H, TTL_EXPIRED, 0, packet.clone()));
        Case::new(name, Bench::ipip())
            .input("l", from_host(packet))
            .expect("l", Expected::error4(error, 14))
            .counts("ip4.ttl_expired")
            .counts("icmp.tx")
    };
    run_all([
        answered("first fragment", udp4(H, R, 84).ttl(1).dont_fragment(false).fragment(0, true)),
        answered("traceroute with echo", echo_request4(H, R, 84).ttl(1)),
    ]);
}

#[test]
fn errors_to_one_source_are_limited_and_traffic_goes_on() {
    let mut replay = Replay::new(Bench::ipip());
    let step: Time = MILLISECOND / 2;
    for at in 0..2000 {
        replay.input("l", at * step, from_host(udp4(H, R, 84).ttl(1)));
        replay.input("l", at * step, from_host(udp4(H, R, 84)));
    }
    let outcome = replay.run();
    let number = "C-178";
    let errors = outcome.sent["l"].len() as u64;
    assert!((11..=20).contains(&errors), "{number}: {errors} errors in the first second");
    assert_eq!(outcome.counter("dataplane.icmp.tx"), errors, "{number}");
    assert_eq!(outcome.counter("dataplane.icmp.ratelimited"), 2000 - errors, "{number}");
    assert_eq!(outcome.counter("dataplane.ip4.ttl_expired"), 2000, "{number}");
    let good = to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63)));
    assert_eq!(outcome.frames("u"), vec![good; 2000], "{number}: the data plane is unaffected");
}

#[test]
fn an_error_quotes_as_much_as_the_limits_allow() {
    let (long, short) = (udp4(H, R, 1480).ttl(1), udp4(H, R, 60).ttl(1));
    let long6 = udp6(H6, R6, 1480).hop_limit(1);
    let reports = |name: &str, packet: &Ipv4Packet, total: usize| {
        let error = error4(L, H, TTL_EXPIRED, 0, packet.clone());
        assert_eq!(error.bytes().len(), total);
        Case::new(name, Bench::ipip())
            .input("l", from_host(packet.clone()))
            .expect("l", Expected::error4(to_host(error), 14))
            .counts("ip4.ttl_expired")
            .counts("icmp.tx")
    };
    let error = error6(L6, H6, (3, 0), 0, long6.clone());
    assert_eq!(error.bytes().len(), 1280);
    run_all([
        reports("C-179", &long, 576),
        reports("C-179 short", &short, 88),
        Case::new("C-179 IPv6", Bench::sit())
            .input("l", from_host(long6))
            .expect("l", Expected::error6(to_host(error), 14))
            .counts("ip6.hop_expired")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn a_closed_udp_port_is_reported() {
    let (four, six) = (udp4(H, L, 84), udp6(H6, L6, 100));
    run_all([
        Case::new("closed port", Bench::bare())
            .input("l", from_host(four.clone()))
            .expect("l", Expected::error4(to_host(error4(L, H, (3, 3), 0, four)), 14))
            .counts("udp.closed_port")
            .counts("icmp.tx"),
        Case::new("closed port, IPv6", Bench::bare())
            .input("l", from_host(six.clone()))
            .expect("l", Expected::error6(to_host(error6(L6, H6, (1, 4), 0, six)), 14))
            .counts("udp.closed_port")
            .counts("icmp.tx"),
    ]);
}
