//! E.1: what encapsulation puts on the wire.

use crate::addresses::{H, H6, L, L6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, OPAQUE, encap4, encap6, from_gateway, from_host, pattern, peer4,
    to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{NO_ROUTE6, UNREACHABLE_NET, error4, error6};
use crate::run::check;

/// An IPv4 packet of 84 bytes crosses `bench`'s tunnel and comes out as `outer`.
fn sends4(name: &str, bench: Bench, tunnel: &str, outer: impl Into<Expected>) -> Case {
    Case::new(name, bench)
        .input("l", from_host(udp4(H, R, 84)))
        .expect("u", outer)
        .tunnel_sends(tunnel, 84)
}

/// An IPv6 packet of 100 bytes likewise.
fn sends6(name: &str, bench: Bench, tunnel: &str, outer: impl Into<Expected>) -> Case {
    Case::new(name, bench)
        .input("l", from_host(udp6(H6, R6, 100)))
        .expect("u", outer)
        .tunnel_sends(tunnel, 100)
}

#[test]
fn ipip_puts_twenty_bytes_in_front_and_only_decrements_the_inner_ttl() {
    let inner = udp4(H, R, 84).ttl(63);
    let outer = encap4(IPIP, inner);
    assert_eq!(outer.bytes()[..8], [0x45, 0, 0, 104, 0, 0, 0x40, 0], "by the letter of the list");
    sends4("C-001", Bench::ipip(), "t0", to_gateway(outer)).run();
}

#[test]
fn ethernet_padding_is_not_carried_and_inner_options_are() {
    let mut padded = from_host(udp4(H, R, 84));
    padded.extend([0xee; 22]);
    let record_route = [7, 3, 4, 0];
    let optioned = udp4(H, R, 80).options(&record_route);
    run_all([
        Case::new("C-002(a)", Bench::ipip())
            .input("l", padded)
            .expect("u", to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63))))
            .tunnel_sends("t0", 84),
        Case::new("C-002(b)", Bench::ipip())
            .input("l", from_host(optioned.clone()))
            .expect("u", to_gateway(encap4(IPIP, optioned.ttl(63))))
            .tunnel_sends("t0", 84),
    ]);
}

#[test]
fn a_tunnel_without_local_takes_the_address_of_the_underlay_route() {
    let bench = Bench::ipip().unset("tunnels.t0.local");
    sends4("C-003", bench, "t0", to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63)))).run();
}

#[test]
fn a_disabled_tunnel_withdraws_its_routes_and_the_host_hears_net_unreachable() {
    let packet = udp4(H, R, 84);
    let error = to_host(error4(L, H, UNREACHABLE_NET, 0, packet.clone()));
    Case::new("C-005", Bench::ipip().set("tunnels.t0.enabled", "no"))
        .input("l", from_host(packet))
        .expect("l", Expected::error4(error, 14))
        .counts("ip4.no_route")
        .counts("icmp.tx")
        .run();
}

#[test]
fn sit_carries_ipv6_as_protocol_41_with_df() {
    let outer = encap4(IPV6, udp6(H6, R6, 100).hop_limit(63));
    assert_eq!(outer.bytes()[2..10], [0, 120, 0, 0, 0x40, 0, 64, 41], "by the letter of the list");
    sends6("C-006", Bench::sit(), "s0", to_gateway(outer)).run();
}

#[test]
fn an_ipv6_outer_header_has_the_next_header_of_its_payload_and_a_flow_label() {
    let four = to_gateway(encap6(IPIP, udp4(H, R, 84).ttl(63)));
    let six = to_gateway(encap6(IPV6, udp6(H6, R6, 100).hop_limit(63)));
    assert_eq!(four[18..22], [0, 84, 4, 64], "payload length, next header, hop limit");
    assert_eq!(six[18..22], [0, 100, 41, 64], "payload length, next header, hop limit");
    let label = Expected::any_flow_label;
    run_all([
        sends4("C-007(a)", Bench::any6(), "n6", label(four.clone())),
        sends6("C-007(b)", Bench::any6(), "n6", label(six.clone())),
        sends4("C-007(a) ipip6", Bench::ipip6(), "n6", label(four)),
        sends6("C-007(b) ip6ip6", Bench::ip6ip6(), "n6", label(six)),
    ]);
}

#[test]
fn the_encapsulation_limit_option_stands_in_front_of_the_inner_packet() {
    let option = [0x29, 0x00, 0x04, 0x01, 0x04, 0x01, 0x01, 0x00];
    let inner = udp6(H6, R6, 100).hop_limit(63).bytes();
    let outer = to_gateway(encap6(60, [option.as_slice(), &inner].concat()));
    assert_eq!(outer[18..21], [0, 108, 60], "payload length and next header");
    let bench = Bench::any6().set("tunnels.n6.encap-limit", "4");
    sends6("C-008", bench, "n6", Expected::any_flow_label(outer)).run();
}

#[test]
fn a_payload_that_the_mode_does_not_carry_is_dropped_and_answered_with_no_route() {
    let (four, six) = (udp4(H, R, 84), udp6(H6, R6, 100));
    let route4 =
        |bench: Bench, tunnel| bench.route(&format!("{{ to: 10.2.0.0/16, tunnel: {tunnel} }}"));
    let route6 = |bench: Bench, tunnel| {
        bench.route(&format!(r#"{{ to: "2001:db8:2::/48", tunnel: {tunnel} }}"#))
    };
    let refuses4 = |bench, tunnel: &str| {
        let error = to_host(error4(L, H, UNREACHABLE_NET, 0, four.clone()));
        Case::new(&format!("C-013 IPv4 into {tunnel}"), bench)
            .input("l", from_host(four.clone()))
            .expect("l", Expected::error4(error, 14))
            .tunnel_counts(tunnel, "tx_payload_unsupported")
            .counts("icmp.tx")
    };
    let refuses6 = |bench, tunnel: &str| {
        let error = to_host(error6(L6, H6, NO_ROUTE6, 0, six.clone()));
        Case::new(&format!("C-013 IPv6 into {tunnel}"), bench)
            .input("l", from_host(six.clone()))
            .expect("l", Expected::error6(error, 14))
            .tunnel_counts(tunnel, "tx_payload_unsupported")
            .counts("icmp.tx")
    };
    let (status, said) = check(&route6(Bench::ipip(), "t0").yaml());
    assert_eq!(status, 0, "C-013 is accepted\n{said}");
    assert!(said.contains("2001:db8:2::/48"), "C-013 with a warning\n{said}");
    run_all([
        refuses6(route6(Bench::ipip(), "t0"), "t0"),
        refuses4(route4(Bench::sit(), "s0"), "s0"),
        refuses6(route6(Bench::ipip6(), "n6"), "n6"),
        refuses4(route4(Bench::ip6ip6(), "n6"), "n6"),
    ]);
}

#[test]
fn a_tunnel_of_mode_any_over_ipv4_carries_both_families() {
    run_all([
        sends4("any, IPv4", Bench::any4(), "a4", to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63)))),
        sends6(
            "any, IPv6",
            Bench::any4(),
            "a4",
            to_gateway(encap4(IPV6, udp6(H6, R6, 100).hop_limit(63))),
        ),
    ]);
}

#[test]
fn a_packet_of_twenty_bytes_is_encapsulated_too() {
    let bare = |ttl, payload: usize| Ipv4Packet::new(H, R, OPAQUE, pattern(payload)).ttl(ttl);
    run_all([0usize, 1, 2, 3].map(|len| {
        Case::new("smallest inner packets", Bench::ipip())
            .input("l", from_host(bare(64, len)))
            .expect("u", to_gateway(encap4(IPIP, bare(63, len))))
            .tunnel_sends("t0", 20 + len as u64)
    }));
}

#[test]
fn the_outer_source_may_be_a_loopback_address() {
    let bench = Bench::ipip()
        .set("loopback.addresses", "[192.0.2.1/32]")
        .set("tunnels.t0.local", "192.0.2.1");
    let mut outer = encap4(IPIP, udp4(H, R, 84).ttl(63));
    outer.header.source = [192, 0, 2, 1];
    let mut back = crate::frames::peer4(IPIP, udp4(R, H, 84));
    back.header.destination = [192, 0, 2, 1];
    sends4("loopback endpoint", bench, "t0", to_gateway(outer))
        .input("u", crate::frames::from_gateway(back))
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts("t0", 84)
        .run();
}

#[test]
fn the_linux_profile_sends_what_iproute2s_tunnels_send() {
    let linux = |bench: Bench, name: &str| bench.set(&format!("tunnels.{name}.profile"), "linux");
    // TTL inherited after the decrement, DSCP 0, and CE shown as ECT(0) outside.
    let four = |ttl| udp4(H, R, 84).tos(0xb8 | 3).ttl(ttl);
    let outer4 = to_gateway(encap4(IPIP, four(39)).ttl(39).tos(2));
    // Hop limit 64, and the encapsulation limit 4.
    let six = |hops| udp6(H6, R6, 100).traffic_class(0xb8 | 3).hop_limit(hops);
    let limit = vec![0, 0, 4, 1, 4, 1, 1, 0];
    let outer6 = to_gateway(encap6(IPV6, six(39)).traffic_class(2).extension(60, limit));
    run_all([
        Case::new("linux, ipip", linux(Bench::ipip(), "t0"))
            .input("l", from_host(four(40)))
            .expect("u", outer4)
            .tunnel_sends("t0", 84),
        Case::new("linux, ip6tnl", linux(Bench::any6(), "n6"))
            .input("l", from_host(six(40)))
            .expect("u", Expected::any_flow_label(outer6))
            .tunnel_sends("n6", 100),
    ]);
}

#[test]
fn the_routeros_profile_sends_what_routeros_does_and_believes_any_inner_source() {
    let bench = || Bench::ipip().set("tunnels.t0.profile", "routeros");
    // DSCP and ECN inherited, TTL 64, DF clear whatever is inside.
    let inner = |ttl| udp4(H, R, 84).tos(0xb8 | 3).ttl(ttl);
    let outer = encap4(IPIP, inner(39)).tos(0xb8 | 3).dont_fragment(false);
    let stranger = [10, 66, 0, 1].into();
    run_all([
        Case::new("routeros, ipip", bench())
            .input("l", from_host(inner(40)))
            .expect("u", Expected::any_identification(to_gateway(outer)))
            .tunnel_sends("t0", 84),
        Case::new("routeros, no source filter", bench())
            .input("u", from_gateway(peer4(IPIP, udp4(stranger, H, 84))))
            .expect("l", to_host(udp4(stranger, H, 84).ttl(63)))
            .tunnel_accepts("t0", 84),
    ]);
}

#[test]
fn defaults_hold_for_every_tunnel_that_does_not_say_otherwise() {
    let bench = Bench::ipip().set("defaults.tunnels", "{ ttl: 33, dscp: 10 }");
    let own = bench.clone().set("tunnels.t0.ttl", "34");
    let sent = |ttl| to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63)).ttl(ttl).tos(10 << 2));
    run_all([
        sends4("defaults", bench, "t0", sent(33)),
        sends4("the tunnel's own ttl", own, "t0", sent(34)),
    ]);
}

#[test]
fn the_routes_of_a_tunnel_are_routes() {
    let bench = Bench::ipip().set("tunnels.t0.routes", "[10.66.0.0/16]");
    let target = [10, 66, 0, 1].into();
    Case::new("shorthand routes", bench)
        .input("l", from_host(udp4(H, target, 84)))
        .expect("u", to_gateway(encap4(IPIP, udp4(H, target, 84).ttl(63))))
        .tunnel_sends("t0", 84)
        .run();
}
