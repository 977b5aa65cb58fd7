//! 6rd (C-069, C-139, C-140): whom packets are for, whom they may come from, and what is delegated; as a
//! customer's router, as a border relay, and as 6to4.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addresses::{H6, L6, P, R6, U, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPV6, Ipv4Packet, Ipv6Packet, from_gateway, from_host, to_gateway, to_host, udp6,
};
use crate::icmp::{FRAG_NEEDED, TOO_BIG6, UNREACHABLE_ADDRESS6, error6, underlay4};

/// Behind 203.0.113.66, and behind 10.0.0.1, by the letter of the list.
pub(crate) const OF_X: Ipv6Addr = Ipv6Addr::new(0x3fff, 0xdb8, 0xcb00, 0x7142, 0, 0, 0, 1);
const OF_TEN: Ipv6Addr = Ipv6Addr::new(0x3fff, 0xdb8, 0xa00, 1, 0, 0, 0, 1);
/// Behind this node, 198.51.100.1.
const OF_U: Ipv6Addr = Ipv6Addr::new(0x3fff, 0xdb8, 0xc633, 0x6401, 0, 0, 0, 5);
const OUTSIDE: Ipv6Addr = R6;

/// The border relay of the domain `3fff:db8::/32`, of all IPv4 addresses; P is another relay.
pub(crate) fn relay() -> Bench {
    Bench::bare()
        .tunnel("r0", "6rd", "198.51.100.1", "")
        .set(
            "tunnels.r0.6rd",
            r#"{ prefix: "3fff:db8::/32", relay-prefix: 0.0.0.0/0, border-relays: [203.0.113.2], role: br }"#,
        )
}

/// A customer's router, whose LAN has the first 64 bits that it may have; P is the relay.
pub(crate) fn customer() -> Bench {
    Bench::bare()
        .tunnel("r0", "6rd", "198.51.100.1", "")
        .set("tunnels.r0.6rd", r#"{ prefix: "3fff:db8::/32", border-relays: [203.0.113.2] }"#)
        .set("tunnels.r0.routes", r#"["2001:db8:2::/48"]"#)
        .set("ports.l.addresses", r#"[10.1.0.1/24, "3fff:db8:c633:6401::1/64"]"#)
        .set("ports.l.neighbors", r#"{ "3fff:db8:c633:6401::5": "02:00:00:00:00:05" }"#)
}

/// What this node sends to one of many peers.
pub(crate) fn to(remote: Ipv4Addr, inner: impl Into<Vec<u8>>) -> Ipv4Packet {
    Ipv4Packet::new(U, remote, IPV6, inner.into()).id(0)
}

/// What comes from one of them.
pub(crate) fn from(remote: Ipv4Addr, inner: impl Into<Vec<u8>>) -> Vec<u8> {
    from_gateway(Ipv4Packet::new(remote, U, IPV6, inner.into()))
}

pub(crate) fn one_hop_on(packet: &Ipv6Packet) -> Ipv6Packet {
    packet.clone().hop_limit(63)
}

#[test]
fn the_outer_destination_is_in_the_inner_one_and_the_traffic_class_outside() {
    let packet = udp6(H6, OF_X, 100);
    let marked = packet.clone().traffic_class(0xb9);
    run_all([
        Case::new("C-139", relay())
            .input("l", from_host(packet.clone()))
            .expect("u", to_gateway(to(X, one_hop_on(&packet))))
            .tunnel_sends("r0", 100),
        Case::new("C-069", relay())
            .input("l", from_host(marked.clone()))
            .expect("u", to_gateway(to(X, one_hop_on(&marked)).tos(0xb9)))
            .tunnel_sends("r0", 100),
        Case::new("C-139 from a customer", customer())
            .input("l", from_host(udp6(OF_U, OF_X, 100)))
            .expect("u", to_gateway(to(X, udp6(OF_U, OF_X, 100).hop_limit(63))))
            .tunnel_sends("r0", 100),
        Case::new("C-139 to outside of the domain", customer())
            .input("l", from_host(udp6(OF_U, OUTSIDE, 100)))
            .expect("u", to_gateway(to(P, udp6(OF_U, OUTSIDE, 100).hop_limit(63))))
            .tunnel_sends("r0", 100),
    ]);
}

#[test]
fn a_source_is_believed_of_the_router_that_is_in_it_or_of_a_relay() {
    let inner = |source| udp6(source, H6, 100);
    let spoofed = |name: &str, remote, source| {
        Case::new(name, relay())
            .input("u", from(remote, inner(source)))
            .tunnel_counts("r0", "rx_spoof_embedded")
    };
    let accepted = |name: &str, remote, source| {
        Case::new(
            name,
            relay()
                .set("tunnels.r0.inner-source", "loose")
                .route(r#"{ to: "2001:db8:2::/48", tunnel: r0 }"#),
        )
        .input("u", from(remote, inner(source)))
        .expect("l", to_host(one_hop_on(&inner(source))))
        .tunnel_accepts("r0", 100)
    };
    run_all([
        spoofed("C-140(a)", X, OF_TEN),
        accepted("C-140(a) the router's own", X, OF_X),
        spoofed("C-140(a) from a relay", P, OF_TEN),
        spoofed("C-140(b) not a relay", X, OUTSIDE),
        accepted("C-140(b) a relay", P, OUTSIDE),
        spoofed("C-140(b) link-local", X, "fe80::1".parse().unwrap()),
        Case::new("C-140 loopback", relay())
            .input("u", from(X, inner(Ipv6Addr::LOCALHOST)))
            .tunnel_counts("r0", "rx_inner_martian_src"),
    ]);
}

#[test]
fn a_customers_router_takes_what_is_delegated_to_it() {
    let inner = |destination| udp6(OUTSIDE, destination, 100);
    let mut elsewhere = OF_U.octets();
    elsewhere[7] ^= 2;
    run_all([
        Case::new("C-140(b) a relay, to a customer", customer())
            .input("u", from(P, inner(OF_U)))
            .expect("l", to_host(one_hop_on(&inner(OF_U))))
            .tunnel_accepts("r0", 100),
        Case::new("C-140 another's", customer())
            .input("u", from(P, inner(elsewhere.into())))
            .tunnel_counts("r0", "rx_inner_dst_denied"),
        Case::new("C-140 outside", customer())
            .input("u", from(P, inner(R6)))
            .tunnel_counts("r0", "rx_inner_dst_denied"),
    ]);
}

#[test]
fn what_is_delegated_and_nowhere_goes_nowhere() {
    // 48 bits are delegated, and the LAN has 64 of them.
    let narrow = customer()
        .set("tunnels.r0.6rd", r#"{ prefix: "3fff:db8::/32", relay-prefix: 198.51.0.0/16, border-relays: [203.0.113.2] }"#)
        .set("ports.l.addresses", r#"[10.1.0.1/24, "3fff:db8:6401:7::1/64"]"#)
        .set("ports.l.neighbors", r#"{ "3fff:db8:6401:7::5": "02:00:00:00:00:05" }"#);
    let [here, nowhere] = [7, 8].map(|net| Ipv6Addr::new(0x3fff, 0xdb8, 0x6401, net, 0, 0, 0, 5));
    let inner = |destination| udp6(OUTSIDE, destination, 100);
    run_all([
        Case::new("6rd delegated", narrow.clone())
            .input("u", from(P, inner(here)))
            .expect("l", to_host(one_hop_on(&inner(here))))
            .tunnel_accepts("r0", 100),
        Case::new("6rd null route", narrow.clone())
            .input("u", from(P, inner(nowhere)))
            .tunnel_accepts("r0", 100)
            .counts("fwd.blackhole"),
        Case::new("6rd null route from the LAN", narrow)
            .input("l", from_host(udp6(here, nowhere, 100)))
            .counts("fwd.blackhole"),
    ]);
}

#[test]
fn a_relay_sends_nothing_of_the_domain_back_into_it() {
    let inner = udp6(OF_X, "3fff:db8:cb00:7143::1".parse().unwrap(), 100);
    run_all([
        Case::new("RFC 6324", relay())
            .input("u", from(X, inner.clone()))
            .tunnel_counts("r0", "rx_hairpin"),
        Case::new("RFC 6324 hairpin", relay().set("tunnels.r0.hairpin", "yes"))
            .input("u", from(X, inner.clone()))
            .expect("u", to_gateway(to([203, 0, 113, 67].into(), one_hop_on(&inner))))
            .tunnel_accepts("r0", 100)
            .tunnel_sends("r0", 100),
        Case::new("RFC 6324 from another relay", relay())
            .input("u", from(P, udp6(OUTSIDE, OF_X, 100)))
            .tunnel_counts("r0", "rx_inner_src_filter"),
    ]);
}

#[test]
fn nobody_has_an_address_that_is_no_hosts() {
    let refused = |name: &str, address: [u16; 2]| {
        let destination = Ipv6Addr::new(0x3fff, 0xdb8, address[0], address[1], 0, 0, 0, 1);
        let packet = udp6(H6, destination, 100);
        let error = error6(L6, H6, UNREACHABLE_ADDRESS6, 0, one_hop_on(&packet));
        Case::new(name, relay())
            .input("l", from_host(packet))
            .expect("l", Expected::error6(to_host(error), 14))
            .tunnel_counts("r0", "tx_no_remote")
            .counts("icmp.tx")
    };
    run_all([
        refused("127.0.0.1", [0x7f00, 1]),
        refused("224.0.0.1", [0xe000, 1]),
        refused("0.0.0.1", [0, 1]),
        refused("broadcast of a connected net", [0xc633, 0x64ff]),
        refused("10.1.0.1, our own", [0xa01, 1]),
    ]);
}

#[test]
fn a_path_is_learnt_of_for_one_peer() {
    let big = |destination| udp6(H6, destination, 1480);
    let other: Ipv6Addr = "3fff:db8:cb00:7143::1".parse().unwrap();
    let sent = to(X, one_hop_on(&big(OF_X)));
    let error = |mtu| error6(L6, H6, TOO_BIG6, mtu, one_hop_on(&big(OF_X)));
    Case::new("6rd path MTU", relay())
        .input("l", from_host(big(OF_X)))
        .expect("u", to_gateway(sent.clone()))
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &sent.bytes()[..68])))
        .expect("l", Expected::error6(to_host(error6_short(1380, &one_hop_on(&big(OF_X)))), 14))
        .input("l", from_host(big(OF_X)))
        .expect("l", Expected::error6(to_host(error(1380)), 14))
        .input("l", from_host(big(other)))
        .expect("u", to_gateway(to([203, 0, 113, 67].into(), one_hop_on(&big(other)))))
        .counter("tunnels.r0.tx_packets", 2)
        .counter("tunnels.r0.tx_bytes", 2960)
        .tunnel_counts("r0", "tx_too_big")
        .tunnel_counts("r0", "pmtu_updates")
        .tunnel_counts("r0", "icmp_relayed")
        .counter("dataplane.icmp.tx", 2)
        .run();
}

/// What is told of a packet of which 48 bytes are quoted.
fn error6_short(mtu: u32, about: &Ipv6Packet) -> Ipv6Packet {
    error6(L6, H6, TOO_BIG6, mtu, about.bytes()[..48].to_vec())
}

#[test]
fn a_tunnel_to_one_peer_has_its_packets_beside_a_domain() {
    let bench = relay()
        .tunnel("s0", "sit", "198.51.100.1", "203.0.113.66")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: s0 }"#);
    let inner = udp6(R6, H6, 100);
    let of_domain = udp6("3fff:db8:cb00:7143::1".parse().unwrap(), H6, 100);
    run_all([
        Case::new("sit beside 6rd", bench.clone())
            .input("u", from(X, inner.clone()))
            .expect("l", to_host(one_hop_on(&inner)))
            .tunnel_accepts("s0", 100),
        Case::new("6rd beside sit", bench)
            .input("u", from([203, 0, 113, 67].into(), of_domain.clone()))
            .expect("l", to_host(one_hop_on(&of_domain)))
            .tunnel_accepts("r0", 100),
    ]);
}

#[test]
fn six_to_four_is_the_domain_of_all_global_addresses() {
    let bench = Bench::bare()
        .tunnel("r0", "6rd", "198.51.100.1", "")
        .set("tunnels.r0.6rd", r#"{ prefix: "2002::/16", role: br }"#);
    let of_x: Ipv6Addr = "2002:cb00:7142::1".parse().unwrap();
    let private: Ipv6Addr = "2002:a00:1::1".parse().unwrap();
    let packet = udp6(H6, of_x, 100);
    let strange = udp6(H6, private, 100);
    let error = error6(L6, H6, UNREACHABLE_ADDRESS6, 0, one_hop_on(&strange));
    run_all([
        Case::new("6to4", bench.clone())
            .input("l", from_host(packet.clone()))
            .expect("u", to_gateway(to(X, one_hop_on(&packet))))
            .tunnel_sends("r0", 100),
        Case::new("6to4 private", bench.clone())
            .input("l", from_host(strange))
            .expect("l", Expected::error6(to_host(error), 14))
            .tunnel_counts("r0", "tx_no_remote")
            .counts("icmp.tx"),
        Case::new("6to4 private source", bench)
            .input("u", from([10, 0, 0, 1].into(), udp6(private, H6, 100)))
            .tunnel_counts("r0", "rx_spoof_embedded"),
    ]);
}

#[test]
fn a_route_by_way_of_another_router_of_the_domain_goes_there() {
    let bench =
        relay().route(r#"{ to: "2001:db8:2::/48", via: "3fff:db8:cb00:7142::1", tunnel: r0 }"#);
    let packet = udp6(H6, R6, 100);
    Case::new("6rd via", bench)
        .input("l", from_host(packet.clone()))
        .expect("u", to_gateway(to(X, one_hop_on(&packet))))
        .tunnel_sends("r0", 100)
        .run();
}
