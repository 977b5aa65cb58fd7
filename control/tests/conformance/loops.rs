//! E.9: packets that would go round in circles.

use std::net::Ipv4Addr;

use crate::addresses::{H, H6, L, L6, P, R, R6, U, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, from_gateway, from_host, peer4, to_gateway,
    to_host, udp4, udp6,
};
use crate::icmp::{PARAMETER6, UNREACHABLE_ADDRESS6, UNREACHABLE_HOST, error4, error6};
use crate::run::check;

const OTHER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 9);
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const ESP: u8 = 50;
const DESTINATION: u8 = 60;

/// Destination options with a tunnel encapsulation limit, as RFC 2473 §5.1 draws it; the next header is
/// filled in by whoever puts it in place.
pub(crate) fn limit(value: u8) -> Vec<u8> {
    vec![0, 0, 4, 1, value, 1, 1, 0]
}

#[test]
fn a_source_that_cannot_be_behind_us_does_not_enter_the_tunnel() {
    run_all([
        Case::new("C-120(a)", Bench::ipip())
            .input("l", from_host(udp4(P, R, 84)))
            .tunnel_counts("t0", "tx_loop_src"),
        Case::new("C-120(b)", Bench::ipip())
            .input("l", from_host(udp4(U, R, 84)))
            .counts("ip4.martian_src"),
        Case::new("C-120(a) IPv6", Bench::ip6ip6())
            .input("l", from_host(udp6(crate::addresses::P6, R6, 100)))
            .tunnel_counts("n6", "tx_loop_src"),
        Case::new("C-120(b) IPv6", Bench::ip6ip6())
            .input("l", from_host(udp6(crate::addresses::U6, R6, 100)))
            .counts("ip6.martian_src"),
    ]);
}

/// The packet is dropped for its limit, and its sender hears at which byte.
fn used_up(name: &str, packet: Ipv6Packet, pointer: u32) -> Case {
    let error = to_host(error6(L6, H6, PARAMETER6, pointer, packet.clone()));
    Case::new(name, Bench::any6())
        .input("l", from_host(packet))
        .expect("l", Expected::error6(error, 14))
        .tunnel_counts("n6", "tx_encap_limit")
        .counts("icmp.tx")
}

#[test]
fn an_encapsulation_limit_of_zero_ends_the_packet() {
    let packet = udp6(H6, R6, 100).extension(DESTINATION, limit(0));
    let behind = packet.clone().extension(HOP_BY_HOP, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    run_all([
        used_up("C-123", packet, 44),
        used_up("C-123 behind a hop-by-hop header", behind, 52),
    ]);
}

/// The limit is in the header of the tunnel that the packet entered first, so its sender can't see it: it hears what it
/// would hear if a router had found that.
#[test]
fn a_limit_of_zero_that_a_tunnel_of_ours_has_written_is_told_as_an_unreachable_host() {
    let bench = || {
        Bench::bare()
            .tunnel("n6", "any", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
            .tunnel("n7", "any", r#""2001:db8:100::1""#, r#""2001:db8:9::9""#)
            .set("tunnels.n7.encap-limit", "0")
            .route("{ to: 10.2.0.0/16, tunnel: n7 }")
            .route(r#"{ to: "2001:db8:2::/48", tunnel: n7 }"#)
            .route(r#"{ to: "2001:db8:9::/48", tunnel: n6 }"#)
    };
    let four = udp4(H, R, 100).dont_fragment(true);
    let six = udp6(H6, R6, 100);
    let error4 = to_host(error4(L, H, UNREACHABLE_HOST, 0, four.clone()));
    let error6 = to_host(error6(L6, H6, UNREACHABLE_ADDRESS6, 0, six.clone()));
    let told = |name: &str, frame: Vec<u8>, error: Expected| {
        Case::new(name, bench())
            .input("l", frame)
            .expect("l", error)
            .tunnel_sends("n7", 100)
            .tunnel_counts("n6", "tx_encap_limit")
            .counts("icmp.tx")
    };
    run_all([
        told("C-109 of our own, IPv4", from_host(four), Expected::error4(error4, 14)),
        told("C-109 of our own, IPv6", from_host(six), Expected::error6(error6, 14)),
    ]);
}

#[test]
fn a_packet_from_a_broadcast_address_of_our_links_goes_nowhere() {
    let broadcast = |source: [u8; 4]| udp4(source.into(), R, 84);
    run_all([
        Case::new("the broadcast address of its own link", Bench::ipip())
            .input("l", from_host(broadcast([10, 1, 0, 255])))
            .counts("ip4.martian_src"),
        Case::new("the broadcast address of the underlay", Bench::ipip())
            .input("l", from_host(broadcast([198, 51, 100, 255])))
            .counts("ip4.martian_src"),
        Case::new("the same at its last hop", Bench::ipip())
            .input("l", from_host(broadcast([10, 1, 0, 255]).ttl(1)))
            .counts("ip4.martian_src"),
    ]);
}

#[test]
fn an_encapsulation_limit_above_zero_goes_on_one_lower() {
    let carries = |name: &str, bench: Bench, found: u8, sent: u8| {
        let packet = |hops| udp6(H6, R6, 100).extension(DESTINATION, limit(found)).hop_limit(hops);
        let outer = encap6(IPV6, packet(63)).extension(DESTINATION, limit(sent));
        Case::new(name, bench)
            .input("l", from_host(packet(64)))
            .expect("u", Expected::any_flow_label(to_gateway(outer)))
            .tunnel_sends("n6", 108)
    };
    let configured = Bench::any6().set("tunnels.n6.encap-limit", "4");
    run_all([
        carries("limit 3", Bench::any6(), 3, 2),
        carries("limit 1", Bench::any6(), 1, 0),
        carries("limit 2 where 4 is configured", configured, 2, 1),
    ]);
}

#[test]
fn a_limit_that_is_not_in_the_readable_headers_is_not_looked_at() {
    let passes = |name: &str, packet: Ipv6Packet| {
        let outer = encap6(IPV6, packet.clone().hop_limit(63));
        let len = packet.bytes().len() as u64;
        Case::new(name, Bench::any6())
            .input("l", from_host(packet))
            .expect("u", Expected::any_flow_label(to_gateway(outer)))
            .tunnel_sends("n6", len)
    };
    let hidden = || udp6(H6, R6, 100).extension(DESTINATION, limit(0));
    // Offset 8 in units of eight bytes, more to come.
    let fragment = vec![0, 0, 0, 0x41, 0xde, 0xad, 0xbe, 0xef];
    let mut sealed = hidden();
    sealed.payload.splice(0..0, [0, 0, 0x12, 0x34, 0, 0, 0, 1]);
    sealed.header.next_header = etherparse::IpNumber(ESP);
    run_all([passes("C-125", hidden().extension(FRAGMENT, fragment)), passes("C-125", sealed)]);
}

#[test]
fn a_packet_does_not_go_back_into_the_tunnel_it_came_from() {
    let back = udp4(R, OTHER, 84);
    let hairpin = Bench::ipip().set("tunnels.t0.hairpin", "yes");
    run_all([
        Case::new("C-126", Bench::ipip())
            .input("u", from_gateway(peer4(IPIP, back.clone())))
            .tunnel_counts("t0", "rx_hairpin"),
        Case::new("C-126 with hairpin", hairpin)
            .input("u", from_gateway(peer4(IPIP, back.clone())))
            .expect("u", to_gateway(encap4(IPIP, back.ttl(63))))
            .tunnel_accepts("t0", 84)
            .tunnel_sends("t0", 84),
    ]);
}

#[test]
fn a_packet_for_its_own_encapsulator_is_refused() {
    Case::new("C-127", Bench::ipip())
        .input("u", from_gateway(peer4(IPIP, udp4(R, P, 84))))
        .tunnel_counts("t0", "rx_loop_encapsulator")
        .run();
}

#[test]
fn a_tunnel_packet_inside_a_tunnel_packet_is_not_decapsulated_again() {
    let bench = Bench::ipip()
        .set("tunnels.t0.inner-source", "off")
        .tunnel("t1", "ipip", "198.51.100.1", "203.0.113.66")
        .set("tunnels.t1.inner-source", "off");
    let middle = Ipv4Packet::new(X, U, IPIP, udp4(R, H, 84));
    Case::new("C-128", bench)
        .input("u", from_gateway(peer4(IPIP, middle)))
        .tunnel_counts("t0", "rx_nested_limit")
        .run();
}

#[test]
fn a_depth_of_two_decapsulates_a_tunnel_in_a_tunnel() {
    let bench = Bench::ipip()
        .set("limits.decap-depth", "2")
        .set("tunnels.t0.inner-source", "off")
        .tunnel("t1", "ipip", "198.51.100.1", "203.0.113.66")
        .set("tunnels.t1.inner-source", "off");
    let middle = Ipv4Packet::new(X, U, IPIP, udp4(R, H, 84));
    Case::new("decap-depth 2", bench)
        .input("u", from_gateway(peer4(IPIP, middle)))
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts("t0", 104)
        .tunnel_accepts("t1", 84)
        .run();
}

/// `t0` and `levels` tunnels on top of it, each to a peer behind the one below.
fn stacked(levels: u8) -> Bench {
    let mut bench = Bench::ipip();
    for level in 1..=levels {
        let (name, below) = (format!("t{level}"), level - 1);
        bench = bench
            .tunnel(&name, "ipip", "198.51.100.1", &format!("10.{}.0.9", 30 + level))
            .route(&format!("{{ to: 10.{}.0.9/32, tunnel: t{below} }}", 30 + level));
    }
    bench.route(&format!("{{ to: 10.99.0.0/16, tunnel: t{levels} }}"))
}

/// What a stack makes of a packet, from the topmost tunnel down.
fn wrapped(levels: u8, inner: Ipv4Packet) -> Ipv4Packet {
    (1..=levels).rev().fold(inner, |inner, level| {
        Ipv4Packet::new(U, Ipv4Addr::new(10, 30 + level, 0, 9), IPIP, inner)
    })
}

#[test]
fn tunnels_stand_on_each_other_up_to_the_limit() {
    let target = Ipv4Addr::new(10, 99, 0, 1);
    let through = |levels: u8| {
        let inner = wrapped(levels, udp4(H, target, 84).ttl(63));
        let case = Case::new(&format!("a stack of {}", levels + 1), stacked(levels))
            .input("l", from_host(udp4(H, target, 84)))
            .expect("u", to_gateway(encap4(IPIP, inner)));
        (0..=levels).fold(case, |case, level| {
            let len = 84 + 20 * u64::from(levels - level);
            case.tunnel_sends(&format!("t{level}"), len)
        })
    };
    run_all([through(1), through(3)]);
}

#[test]
fn a_tunnel_from_ourselves_to_ourselves_is_refused_by_check() {
    let bench = Bench::ipip().set("tunnels.t0.remote", "10.1.0.1");
    let (status, said) = check(&bench.yaml());
    assert_eq!(status, 2, "C-129\n{said}");
    assert!(said.contains("tunnels.t0.remote"), "C-129 names the key\n{said}");
    let same = Bench::ipip().set("tunnels.t0.remote", "198.51.100.1");
    let (status, said) = check(&same.yaml());
    assert_eq!(status, 2, "C-129\n{said}");
}

#[test]
fn a_route_to_the_remote_through_its_own_tunnel_is_refused_by_check() {
    let bench = Bench::ipip().route("{ to: 203.0.113.2/32, tunnel: t0 }");
    let (status, said) = check(&bench.yaml());
    assert_eq!(status, 2, "a loop\n{said}");
}
