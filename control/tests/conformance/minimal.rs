//! Minimal encapsulation (A.0, A.14; RFC 2004): the sender's header with the tunnel's addresses, and what was there before
//! behind it. Forwarding headers are spelled out byte by byte, their checksums added up by hand.

use crate::addresses::{H, P, R, U};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{Ipv4Packet, from_gateway, from_host, to_gateway, to_host, udp4};
use crate::icmp::{FRAG_NEEDED, TTL_EXPIRED, echo_request4, error4, underlay4};
use crate::run::check;

pub(crate) const MINIMAL: u8 = 55;

/// `n0`, whose far end is P and behind which R is.
pub(crate) fn minimal() -> Bench {
    Bench::bare()
        .tunnel("n0", "minimal", "198.51.100.1", "203.0.113.2")
        .set("tunnels.n0.addresses", "[192.168.50.1/30]")
        .route("{ to: 10.2.0.0/16, tunnel: n0 }")
}

/// UDP from H to R: 0x1180 + 0x0a02 + 0x0008 + 0x0a01 + 0x0005 = 0x2590, and its complement 0xda6f.
pub(crate) const OF_H: [u8; 12] = [17, 0x80, 0xda, 0x6f, 10, 2, 0, 8, 10, 1, 0, 5];
/// UDP from R to H: the same words in another order.
pub(crate) const OF_R: [u8; 12] = [17, 0x80, 0xda, 0x6f, 10, 1, 0, 5, 10, 2, 0, 8];
/// UDP from the far end itself to H: 0x1100 + 0x0a01 + 0x0005 = 0x1b06.
const OF_P: [u8; 8] = [17, 0, 0xe4, 0xf9, 10, 1, 0, 5];

/// What a packet becomes between U and P, its forwarding header being this one.
pub(crate) fn sent(packet: &Ipv4Packet, header: &[u8]) -> Ipv4Packet {
    between(packet, U.octets(), P.octets(), header)
}

pub(crate) fn arriving(packet: &Ipv4Packet, header: &[u8]) -> Ipv4Packet {
    between(packet, P.octets(), U.octets(), header)
}

fn between(
    packet: &Ipv4Packet,
    source: [u8; 4],
    destination: [u8; 4],
    header: &[u8],
) -> Ipv4Packet {
    let mut outer = packet.clone().payload([header, &packet.payload].concat());
    outer.header.protocol = MINIMAL.into();
    (outer.header.source, outer.header.destination) = (source, destination);
    outer
}

#[test]
fn a_packet_keeps_its_header_and_the_addresses_go_behind_it() {
    let plain = udp4(H, R, 84).id(0x1234);
    let marked = plain.clone().tos(0xb9).ttl(9).options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    run_all([
        Case::new("A.14 to the far end", minimal())
            .input("l", from_host(plain.clone()))
            .expect("u", to_gateway(sent(&plain.clone().ttl(63), &OF_H)))
            .tunnel_sends("n0", 84),
        Case::new("A.14 with TOS, options and a TTL of its own", minimal())
            .input("l", from_host(marked.clone()))
            .expect("u", to_gateway(sent(&marked.clone().ttl(8), &OF_H)))
            .tunnel_sends("n0", 92),
        Case::new("A.14 from the far end", minimal())
            .input("u", from_gateway(arriving(&udp4(R, H, 84).id(7), &OF_R)))
            .expect("l", to_host(udp4(R, H, 84).id(7).ttl(63)))
            .tunnel_accepts("n0", 84),
        Case::new("A.14 of the far end itself", minimal().set("tunnels.n0.inner-source", "off"))
            .input("u", from_gateway(arriving(&udp4(P, H, 84), &OF_P)))
            .expect("l", to_host(udp4(P, H, 84).ttl(63)))
            .tunnel_accepts("n0", 84),
    ]);
}

#[test]
fn what_is_no_minimal_encapsulation_is_dropped_and_told_apart() {
    let inner = udp4(R, H, 84);
    let mut wrong = OF_R;
    wrong[11] = 9;
    let short = |len: usize| Ipv4Packet::new(P, U, MINIMAL, OF_R[..len].to_vec());
    run_all([
        Case::new("A.14 checksum", minimal())
            .input("u", from_gateway(arriving(&inner, &wrong)))
            .counts("minimal.bad_csum"),
        Case::new("A.14 cut to 11 bytes", minimal())
            .input("u", from_gateway(short(11)))
            .counts("tun.shim_short"),
        Case::new("A.14 nothing behind the header", minimal())
            .input("u", from_gateway(short(0)))
            .counts("tun.shim_short"),
        Case::new("A.14 in IPv4 in IPv4", minimal())
            .input("u", from_gateway(Ipv4Packet::new(P, U, 4, inner.bytes())))
            .counts("tun.proto_mismatch"),
        Case::new("A.14 for a tunnel of IPv4 in IPv4", Bench::ipip())
            .input("u", from_gateway(arriving(&inner, &OF_R)))
            .counts("tun.proto_mismatch"),
        Case::new("B11 a source that is not behind it", minimal())
            .input("u", from_gateway(arriving(&udp4(P, H, 84), &OF_P)))
            .tunnel_counts("n0", "rx_inner_src_filter"),
    ]);
}

#[test]
fn both_kinds_may_be_between_the_same_addresses() {
    let both = minimal()
        .tunnel("t0", "ipip", "198.51.100.1", "203.0.113.2")
        .set("tunnels.t0.inner-source", "off");
    let inner = udp4(R, H, 84);
    run_all([
        Case::new("B2 minimal", both.clone())
            .input("u", from_gateway(arriving(&inner, &OF_R)))
            .expect("l", to_host(inner.clone().ttl(63)))
            .tunnel_accepts("n0", 84),
        Case::new("B2 ipip", both)
            .input("u", from_gateway(Ipv4Packet::new(P, U, 4, inner.bytes())))
            .expect("l", to_host(inner.ttl(63)))
            .tunnel_accepts("t0", 84),
    ]);
}

#[test]
fn a_piece_does_not_enter_and_what_is_too_large_is_cut_in_the_tunnel() {
    let piece = udp4(H, R, 84).dont_fragment(false).fragment(0, true);
    let large = udp4(H, R, 1500).dont_fragment(false).id(0x77);
    // 1512 bytes: 1480 behind the first header, 12 behind the second.
    let whole = sent(&large.clone().ttl(63), &OF_H);
    let first = whole.clone().payload(whole.payload[..1480].to_vec()).fragment(0, true);
    let last = whole.clone().payload(whole.payload[1480..].to_vec()).fragment(185, false);
    let refused = udp4(H, R, 1489);
    run_all([
        Case::new("A.14 piece", minimal())
            .input("l", from_host(piece))
            .tunnel_counts("n0", "tx_fragment"),
        Case::new("A.0 1488 bytes", minimal())
            .input("l", from_host(udp4(H, R, 1488)))
            .expect("u", to_gateway(sent(&udp4(H, R, 1488).ttl(63), &OF_H)))
            .tunnel_sends("n0", 1488),
        Case::new("A.0 1489 bytes", minimal())
            .input("l", from_host(refused.clone()))
            .expect(
                "l",
                Expected::error4(
                    to_host(error4(crate::addresses::L, H, FRAG_NEEDED, 1488, refused.bytes())),
                    14,
                ),
            )
            .tunnel_counts("n0", "tx_too_big")
            .counts("icmp.tx"),
        Case::new("A.14 1500 bytes without DF", minimal())
            .input("l", from_host(large))
            .expect("u", to_gateway(first))
            .expect("u", to_gateway(last))
            .tunnel_sends("n0", 1500)
            .tunnel_counts("n0", "tx_outer_frag"),
    ]);
}

#[test]
fn routers_on_the_way_are_seen_by_the_sender() {
    let packet = echo_request4(H, R, 84).ttl(63);
    // ICMP instead of UDP: 0x0180 instead of 0x1180.
    let header = [1, 0x80, 0xea, 0x6f, 10, 2, 0, 8, 10, 1, 0, 5];
    let outer = sent(&packet, &header).bytes();
    let told = |kind| error4(crate::addresses::L, H, kind, 0, packet.bytes());
    run_all([Case::new("B8.3 TTL", minimal())
        .input("u", from_gateway(underlay4(TTL_EXPIRED, 0, outer)))
        .expect("l", Expected::error4(to_host(told(TTL_EXPIRED)), 14))
        .tunnel_counts("n0", "icmp_relayed")
        .counts("icmp.tx")]);
}

#[test]
fn keys_about_a_header_of_the_tunnels_own_are_refused() {
    let wrong = minimal()
        .set("tunnels.n0.ttl", "64")
        .set("tunnels.n0.dscp", "0")
        .set("tunnels.n0.dont-fragment", "pmtudisc")
        .set("tunnels.n0.fragment", "inner");
    let (status, text) = check(&wrong.yaml());
    assert_eq!(status, 2, "{text}");
    assert_eq!(text.matches("means nothing for mode minimal").count(), 4, "{text}");
}
