//! E.3: which tunnel a packet belongs to, and that a packet of nobody's gets no answer.

use crate::addresses::{G_MAC, H, H6, P, P6, R, R6, U, U_MAC, U6, X, X6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, UDP, datagram, ethernet, from_gateway, peer4, peer6, to_gateway,
    to_host, udp4, udp4_flow, udp6,
};
use crate::icmp::{UNREACHABLE_PORT, error4};
use crate::run::check;

/// Nothing comes out and nothing is answered; one counter that belongs to no tunnel moves.
fn silent(name: &str, bench: Bench, frame: Vec<u8>, counter: &str) -> Case {
    Case::new(name, bench).input("u", frame).counts(counter)
}

/// The inner packet comes out and is counted on `tunnel`.
fn counted_on(name: &str, bench: Bench, tunnel: &str) -> Case {
    Case::new(name, bench)
        .input("u", from_gateway(peer4(IPIP, udp4(R, H, 84))))
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts(tunnel, 84)
}

fn counted_on6(name: &str, bench: Bench, tunnel: &str) -> Case {
    Case::new(name, bench)
        .input("u", from_gateway(peer6(IPIP, udp4(R, H, 84))))
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts(tunnel, 84)
}

#[test]
fn a_stranger_is_neither_decapsulated_nor_answered() {
    let mut outer = peer4(IPIP, udp4(R, H, 84));
    outer.header.source = X.octets();
    let mut outer6 = peer6(IPV6, udp6(R6, H6, 100));
    outer6.header.source = X6.octets();
    run_all([
        silent("C-033", Bench::ipip(), from_gateway(outer), "tun.no_match"),
        silent("C-033 IPv6", Bench::any6(), from_gateway(outer6), "tun.no_match"),
    ]);
}

#[test]
fn a_stranger_is_answered_where_the_operator_wants_it_for_debugging() {
    let mut outer = peer4(IPIP, udp4(R, H, 84));
    outer.header.source = X.octets();
    let error = to_gateway(error4(U, X, (3, 2), 0, outer.clone()));
    Case::new("unmatched-icmp", Bench::ipip().set("limits.unmatched-icmp", "proto-unreach"))
        .input("u", from_gateway(outer))
        .expect("u", Expected::error4(error, 14))
        .counts("tun.no_match")
        .counts("icmp.tx")
        .run();
}

#[test]
fn without_tunnels_no_tunnel_protocol_is_decapsulated_or_answered() {
    // B11.1, and the DTLS-less ports of GRE and MPLS in UDP (RFC 8086, RFC 7510).
    const PROTOCOLS: [u8; 6] = [4, 41, 47, 55, 97, 137];
    const PORTS: [u16; 5] = [4754, 4789, 6080, 6081, 6635];
    let protocols = PROTOCOLS.map(|protocol| {
        let outer = Ipv4Packet::new(P, U, protocol, udp4(R, H, 84));
        let name = format!("C-034 protocol {protocol}");
        silent(&name, Bench::bare(), from_gateway(outer), "tun.no_match")
    });
    let ports = PORTS.map(|port| {
        let datagram = udp4_flow(P, U, (50_000, port), 120);
        let name = format!("C-034 UDP {port}");
        silent(&name, Bench::bare(), from_gateway(datagram), "udp.closed_port")
    });
    let over6 = PROTOCOLS.map(|protocol| {
        let outer = peer6(protocol, udp4(R, H, 84));
        let name = format!("C-034 next header {protocol}");
        silent(&name, Bench::bare(), from_gateway(outer), "tun.no_match")
    });
    let ports6 = PORTS.map(|port| {
        let datagram = datagram((P6.into(), U6.into()), (50_000, port), &[0; 92]);
        let name = format!("C-034 UDP {port} over IPv6");
        silent(&name, Bench::bare(), from_gateway(peer6(UDP, datagram)), "udp.closed_port")
    });
    run_all(protocols.into_iter().chain(ports).chain(over6).chain(ports6));
}

#[test]
fn a_peer_that_uses_another_protocol_than_its_tunnel_is_refused() {
    let proto = |number: u8| from_gateway(peer4(number, udp6(R6, H6, 100)));
    let mismatch = "tun.proto_mismatch";
    run_all([
        silent("C-036(a)", Bench::ipip(), proto(41), mismatch),
        silent("C-036(b)", Bench::ipip(), proto(137), mismatch),
        silent("C-036(a) sit", Bench::sit(), proto(4), mismatch),
        silent(
            "C-036(a) ipip6",
            Bench::ipip6(),
            from_gateway(peer6(41, udp6(R6, H6, 100))),
            mismatch,
        ),
        silent(
            "C-036(a) ip6ip6",
            Bench::ip6ip6(),
            from_gateway(peer6(4, udp4(R, H, 84))),
            mismatch,
        ),
    ]);
}

#[test]
fn a_bare_tunnel_does_not_take_its_payload_in_udp() {
    let mut wrapped = udp4_flow(P, U, (50_000, 5555), 28 + 84);
    wrapped.payload.truncate(8);
    wrapped.payload.extend(udp4(R, H, 84).bytes());
    // No UDP checksum: it is optional over IPv4, and the port is closed whatever it says.
    wrapped.payload[6..8].fill(0);
    assert_eq!(wrapped.header.protocol.0, UDP);
    let error = error4(U, P, UNREACHABLE_PORT, 0, wrapped.clone());
    Case::new("C-038", Bench::ipip())
        .input("u", from_gateway(wrapped))
        .expect("u", Expected::error4(to_gateway(error), 14))
        .counts("udp.closed_port")
        .counts("icmp.tx")
        .run();
}

#[test]
fn the_more_specific_tunnel_wins() {
    let exact = Bench::ipip().tunnel("b", "ipip", "", "203.0.113.2");
    let remote_only = Bench::ipip()
        .unset("tunnels.t0.local")
        .tunnel("b", "ipip", "198.51.100.1", "")
        .set("tunnels.b.unsafe-any-peer", "yes");
    run_all([
        counted_on("C-039(a)", exact, "t0"),
        counted_on("C-039(b)", remote_only.clone(), "t0"),
    ]);
}

#[test]
fn a_remote_counts_for_more_than_a_local_in_ipv6_too() {
    let exact = Bench::any6().tunnel("b", "any", "", r#""2001:db8:200::2""#);
    let remote_only = Bench::any6()
        .unset("tunnels.n6.local")
        .tunnel("b", "any", r#""2001:db8:100::1""#, "")
        .set("tunnels.b.unsafe-any-peer", "yes");
    run_all([
        counted_on6("C-040", remote_only, "n6"),
        counted_on6("C-040 exact before remote", exact, "n6"),
    ]);
}

#[test]
fn a_tunnel_that_takes_any_peer_takes_what_no_other_tunnel_claims() {
    let bench = Bench::ipip()
        .tunnel("b", "ipip", "198.51.100.1", "")
        .set("tunnels.b.unsafe-any-peer", "yes")
        .set("tunnels.b.inner-source", "off");
    let mut outer = peer4(IPIP, udp4(R, H, 84));
    outer.header.source = X.octets();
    Case::new("unsafe-any-peer", bench)
        .input("u", from_gateway(outer))
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts("b", 84)
        .run();
}

#[test]
fn a_disabled_tunnel_ends_the_search() {
    let bench = Bench::ipip()
        .set("tunnels.t0.enabled", "no")
        .tunnel("b", "ipip", "198.51.100.1", "")
        .set("tunnels.b.unsafe-any-peer", "yes")
        .set("tunnels.b.inner-source", "off");
    Case::new("C-042", bench)
        .input("u", from_gateway(peer4(IPIP, udp4(R, H, 84))))
        .tunnel_counts("t0", "rx_down")
        .run();
}

#[test]
fn a_tunnel_bound_to_a_port_takes_nothing_from_another() {
    let frame = ethernet(U_MAC, G_MAC, peer4(IPIP, udp4(R, H, 84)));
    let bench = Bench::ipip();
    run_all([
        silent("C-046", bench.clone().set("tunnels.t0.link", "l"), frame, "tun.no_match"),
        counted_on("bound to the right port", bench.set("tunnels.t0.link", "u"), "t0"),
    ]);
}

#[test]
fn two_tunnels_that_cannot_be_told_apart_are_refused_by_check() {
    let twins = Bench::ipip().tunnel("twin", "ipip", "198.51.100.1", "203.0.113.2");
    let (status, said) = check(&twins.yaml());
    assert_eq!(status, 2, "C-048\n{said}");
    assert!(said.contains("tunnels.twin") && said.contains("t0"), "C-048 names both\n{said}");
    let (status, said) = check(&Bench::ipip().yaml());
    assert_eq!(status, 0, "the bench itself is accepted\n{said}");
    // The same pair in another payload protocol can be told apart.
    let family = Bench::ipip().tunnel("six", "sit", "198.51.100.1", "203.0.113.2");
    let (status, said) = check(&family.yaml());
    assert_eq!(status, 0, "ipip and sit to one peer are accepted\n{said}");
    // A payload of any takes protocol 4, too.
    let overlap = Bench::ipip()
        .tunnel("all", "sit", "198.51.100.1", "203.0.113.2")
        .set("tunnels.all.payload", "any");
    let (status, said) = check(&overlap.yaml());
    assert_eq!(status, 2, "ipip and any to one peer are refused\n{said}");
}

#[test]
fn two_tunnels_of_different_payload_to_one_peer_each_get_their_own() {
    let bench = Bench::ipip()
        .tunnel("six", "sit", "198.51.100.1", "203.0.113.2")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: six }"#);
    counted_on("ipip beside sit", bench, "t0")
        .input("u", from_gateway(peer4(IPV6, udp6(R6, H6, 100))))
        .expect("l", to_host(udp6(R6, H6, 100).hop_limit(63)))
        .tunnel_accepts("six", 100)
        .run();
}
