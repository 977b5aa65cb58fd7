//! E.2: what decapsulation accepts, and the counter of everything that it does not.

use crate::addresses::{BROADCAST_MAC, G_MAC, H, H6, P6, R, R6, T, T6, U_MAC, U6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, OPAQUE, encap4, encap6, ethernet, from_gateway, pattern, peer4, peer6,
    poked, seal_ipv4, to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{echo_reply4, echo_reply6, echo_request4, echo_request6, error6};

fn accepts4(name: &str, bench: Bench, tunnel: &str, frame: Vec<u8>) -> Case {
    Case::new(name, bench)
        .input("u", frame)
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts(tunnel, 84)
}

fn accepts6(name: &str, bench: Bench, tunnel: &str, frame: Vec<u8>) -> Case {
    Case::new(name, bench)
        .input("u", frame)
        .expect("l", to_host(udp6(R6, H6, 100).hop_limit(63)))
        .tunnel_accepts(tunnel, 100)
}

/// Nothing comes out, and one counter that belongs to no tunnel moves.
fn refused(name: &str, bench: Bench, frame: Vec<u8>, counter: &str) -> Case {
    Case::new(name, bench).input("u", frame).counts(counter)
}

/// Nothing comes out, and one counter of the tunnel moves.
fn refused_by(name: &str, bench: Bench, tunnel: &str, frame: Vec<u8>, counter: &str) -> Case {
    Case::new(name, bench).input("u", frame).tunnel_counts(tunnel, counter)
}

#[test]
fn an_inner_packet_comes_out_with_its_ttl_decremented_once() {
    let (four, six) = (udp4(R, H, 84), udp6(R6, H6, 100));
    run_all([
        accepts4("C-020", Bench::ipip(), "t0", from_gateway(peer4(IPIP, four.clone()))),
        accepts6("C-020 sit", Bench::sit(), "s0", from_gateway(peer4(IPV6, six.clone()))),
        accepts4("C-020 any4", Bench::any4(), "a4", from_gateway(peer4(IPIP, four.clone()))),
        accepts6("C-020 any4", Bench::any4(), "a4", from_gateway(peer4(IPV6, six.clone()))),
        accepts4("C-020 any6", Bench::any6(), "n6", from_gateway(peer6(IPIP, four.clone()))),
        accepts6("C-020 any6", Bench::any6(), "n6", from_gateway(peer6(IPV6, six.clone()))),
        accepts4("C-020 ipip6", Bench::ipip6(), "n6", from_gateway(peer6(IPIP, four))),
        accepts6("C-020 ip6ip6", Bench::ip6ip6(), "n6", from_gateway(peer6(IPV6, six))),
    ]);
}

#[test]
fn a_broken_outer_header_is_counted_and_nothing_comes_out() {
    let good = from_gateway(peer4(IPIP, udp4(R, H, 84)));
    let mut checksum = good.clone();
    checksum[14 + 11] ^= 1;
    let mut long = good.clone();
    long[14 + 3] += 1;
    seal_ipv4(&mut long, 14);
    let mut long6 = from_gateway(peer6(IPIP, udp4(R, H, 84)));
    long6[14 + 5] += 1;
    let mut version = good;
    version[14] = 0x55;
    seal_ipv4(&mut version, 14);
    run_all([
        refused("C-021(a)", Bench::ipip(), checksum, "ip4.bad_header"),
        refused("C-021(b)", Bench::ipip(), long, "ip4.truncated"),
        refused("C-021(b) IPv6", Bench::any6(), long6, "ip6.truncated"),
        refused("C-021(a) version 5", Bench::ipip(), version, "ip4.bad_header"),
    ]);
}

#[test]
fn an_outer_header_with_a_source_route_is_refused() {
    // Loose source route through 192.0.2.1, pointer at the first address, one pad byte.
    let loose = [0x83, 7, 4, 192, 0, 2, 1, 0];
    let strict = [0x89, 7, 4, 192, 0, 2, 1, 0];
    run_all([loose, strict].map(|options| {
        let outer = peer4(IPIP, udp4(R, H, 84)).options(&options);
        refused("C-023", Bench::ipip(), from_gateway(outer), "ip4.src_route")
    }));
}

#[test]
fn an_outer_header_with_a_harmless_option_is_accepted() {
    let outer = peer4(IPIP, udp4(R, H, 84)).options(&[7, 3, 4, 0]);
    accepts4("outer record route", Bench::ipip(), "t0", from_gateway(outer)).run();
}

#[test]
fn an_inner_ipv4_header_that_lies_is_refused_with_its_counter() {
    let inner = udp4(R, H, 84).bytes();
    let mut checksum = inner.clone();
    checksum[10] ^= 0x10;
    let mut version = inner.clone();
    version[0] = 0x65;
    let cases = [
        ("C-024(a)", inner[..19].to_vec(), "rx_length_err"),
        ("C-024(a) nothing inside", Vec::new(), "rx_length_err"),
        ("C-024(b)", version, "rx_inner_bad_version"),
        ("C-024(c)", poked(inner.clone(), 0, 0x44), "rx_inner_bad_header"),
        ("C-024(d)", checksum, "rx_inner_bad_header"),
        ("C-024(e)", poked(inner.clone(), 3, 85), "rx_inner_truncated"),
        ("C-024(c) total below the header", poked(inner.clone(), 3, 19), "rx_inner_bad_header"),
    ];
    let over4 = cases.clone().map(|(name, inner, counter)| {
        refused_by(name, Bench::ipip(), "t0", from_gateway(peer4(IPIP, inner)), counter)
    });
    let over6 = cases.map(|(name, inner, counter)| {
        let name = format!("{name} over IPv6");
        refused_by(&name, Bench::ipip6(), "n6", from_gateway(peer6(IPIP, inner)), counter)
    });
    run_all(over4.into_iter().chain(over6));
}

#[test]
fn bytes_behind_the_inner_packet_are_trimmed() {
    let mut stray = udp4(R, H, 84).bytes();
    stray.extend([0xaa; 10]);
    let tiny = |ttl| Ipv4Packet::new(R, H, OPAQUE, pattern(2)).ttl(ttl);
    let mut padded = from_gateway(peer4(IPIP, tiny(64)));
    padded.resize(60, 0);
    let mut stray6 = udp6(R6, H6, 100).bytes();
    stray6.extend([0xaa; 10]);
    run_all([
        accepts4("C-025(a)", Bench::ipip(), "t0", from_gateway(peer4(IPIP, stray))),
        Case::new("C-025(b)", Bench::ipip())
            .input("u", padded)
            .expect("l", to_host(tiny(63)))
            .tunnel_accepts("t0", 22),
        accepts6("C-025(a) sit", Bench::sit(), "s0", from_gateway(peer4(IPV6, stray6.clone()))),
        accepts6("C-025(a) ip6ip6", Bench::ip6ip6(), "n6", from_gateway(peer6(IPV6, stray6))),
    ]);
}

#[test]
fn an_inner_ipv6_header_that_lies_is_refused_with_its_counter() {
    let inner = udp6(R6, H6, 100).bytes();
    let mut long = inner.clone();
    long[5] += 1;
    let mut version = inner.clone();
    version[0] = 0x45;
    let cases = [
        ("C-027", long, "rx_inner_truncated"),
        ("inner of 39 bytes", inner[..39].to_vec(), "rx_length_err"),
        ("inner version 4 in protocol 41", version, "rx_inner_bad_version"),
    ];
    let over4 = cases.clone().map(|(name, inner, counter)| {
        refused_by(name, Bench::sit(), "s0", from_gateway(peer4(IPV6, inner)), counter)
    });
    let over6 = cases.map(|(name, inner, counter)| {
        let name = format!("{name} over IPv6");
        refused_by(&name, Bench::ip6ip6(), "n6", from_gateway(peer6(IPV6, inner)), counter)
    });
    run_all(over4.into_iter().chain(over6));
}

#[test]
fn outer_options_that_ask_for_nothing_are_stepped_over() {
    let limit = vec![0, 0, 4, 1, 4, 1, 1, 0];
    let pad = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let four = || peer6(IPIP, udp4(R, H, 84));
    let six = || peer6(IPV6, udp6(R6, H6, 100));
    let accepts = |name, outer| accepts4(name, Bench::any6(), "n6", from_gateway(outer));
    let (limited, padded) =
        (four().extension(60, limit.clone()), four().extension(60, pad.clone()));
    run_all([
        accepts("C-028(a)", limited),
        accepts("C-028(b)", padded.extension(0, pad)),
        accepts6(
            "C-028(a) IPv6 inside",
            Bench::any6(),
            "n6",
            from_gateway(six().extension(60, limit)),
        ),
        accepts("a routing header at its end", four().extension(43, vec![0, 0, 4, 0, 0, 0, 0, 0])),
    ]);
}

#[test]
fn an_outer_routing_header_of_type_0_is_refused() {
    // One address still to visit; and none, where the rule of section A.4 still refuses the type.
    let routing = |left| {
        let hop = U6.octets();
        [&[0u8, 2, 0, left, 0, 0, 0, 0], hop.as_slice()].concat()
    };
    let outer = |left| from_gateway(peer6(IPIP, udp4(R, H, 84)).extension(43, routing(left)));
    run_all([
        refused("C-029", Bench::any6(), outer(1), "ip6.rh0"),
        refused("C-029 at its end", Bench::any6(), outer(0), "ip6.rh0"),
    ]);
}

#[test]
fn a_frame_or_packet_that_is_not_for_us_is_not_decapsulated() {
    let outer = || peer4(IPIP, udp4(R, H, 84));
    let mut broadcast = outer();
    broadcast.header.destination = [198, 51, 100, 255];
    let stranger = [2, 0, 0, 0, 0, 0x77];
    let counter = "ip.broadcast_dst";
    run_all([
        refused("C-030(a)", Bench::ipip(), ethernet(stranger, G_MAC, outer()), "l2.not_for_us"),
        refused("C-030(b)", Bench::ipip(), ethernet(U_MAC, G_MAC, broadcast.clone()), counter),
        refused("C-030(b)", Bench::ipip(), ethernet(BROADCAST_MAC, G_MAC, broadcast), counter),
    ]);
}

#[test]
fn a_ping_to_the_tunnel_address_is_answered_through_the_tunnel() {
    let (request, reply) = (echo_request4(R, T, 84), echo_reply4(T, R, 84));
    let (request6, reply6) = (echo_request6(R6, T6, 100), echo_reply6(T6, R6, 100));
    let over6 = |frame: Vec<u8>| Expected::any_flow_label(frame);
    run_all([
        Case::new("C-031", Bench::ipip())
            .input("u", from_gateway(peer4(IPIP, request.clone())))
            .expect("u", Expected::reply4(to_gateway(encap4(IPIP, reply)), 34))
            .tunnel_accepts("t0", 84)
            .tunnel_sends("t0", 84),
        Case::new("C-031 sit", Bench::sit())
            .input("u", from_gateway(peer4(IPV6, request6.clone())))
            .expect("u", to_gateway(encap4(IPV6, reply6.clone())))
            .tunnel_accepts("s0", 100)
            .tunnel_sends("s0", 100),
        Case::new("C-031 ip6ip6", Bench::ip6ip6())
            .input("u", from_gateway(peer6(IPV6, request6)))
            .expect("u", over6(to_gateway(encap6(IPV6, reply6))))
            .tunnel_accepts("n6", 100)
            .tunnel_sends("n6", 100),
    ]);
}

#[test]
fn an_outer_hop_by_hop_option_that_demands_discard_ends_the_packet() {
    // Option type 0x9e: unknown, top bits 10, "discard and send a Parameter Problem" (RFC 8200 §4.2).
    let unknown = vec![0, 0, 0x9e, 4, 0, 0, 0, 0];
    let outer = peer6(IPIP, udp4(R, H, 84)).extension(0, unknown);
    let error = error6(U6, P6, (4, 2), 42, outer.clone());
    Case::new("unknown hop-by-hop option", Bench::any6())
        .input("u", from_gateway(outer))
        .expect("u", Expected::error6(to_gateway(error), 14))
        .counts("ip6.bad_exthdr")
        .counts("icmp.tx")
        .run();
}
