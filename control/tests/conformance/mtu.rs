//! E.6 as far as it is in force: the size test against the tunnel's MTU, and fragments made inside.

use crate::addresses::{H, H6, L, L6, R, R6, T, T6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, OPAQUE, encap4, encap6, from_gateway, from_host, pattern, peer4,
    to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{FRAG_NEEDED, TOO_BIG6, error4, error6};

/// A payload of `len` opaque bytes from H to R, DF clear.
fn loose(len: usize) -> Ipv4Packet {
    Ipv4Packet::new(H, R, OPAQUE, pattern(len)).id(0x0bad).dont_fragment(false)
}

/// Bytes `from..to` of the payload of `whole`, as the fragment that starts there.
fn piece(whole: &Ipv4Packet, from: usize, to: usize, more: bool) -> Ipv4Packet {
    let first = usize::from(whole.header.fragment_offset.value());
    let offset = u16::try_from(first + from / 8).unwrap();
    let part = whole.clone().payload(&whole.payload[from..to]);
    part.fragment(offset, more).ttl(63)
}

/// `packet` is answered with "fragmentation needed, `mtu`", and nothing leaves.
fn needs_fragments(name: &str, bench: Bench, tunnel: &str, len: usize, mtu: u32) -> Case {
    let packet = udp4(H, R, len);
    let error = to_host(error4(L, H, FRAG_NEEDED, mtu, packet.clone()));
    Case::new(name, bench)
        .input("l", from_host(packet))
        .expect("l", Expected::error4(error, 14))
        .tunnel_counts(tunnel, "tx_too_big")
        .counts("icmp.tx")
}

/// `len` bytes of IPv6 are answered with "packet too big, `mtu`", and nothing leaves.
fn too_big(name: &str, bench: Bench, tunnel: &str, len: usize, mtu: u32) -> Case {
    let packet = udp6(H6, R6, len);
    let error = to_host(error6(L6, H6, TOO_BIG6, mtu, packet.clone()));
    Case::new(name, bench)
        .input("l", from_host(packet))
        .expect("l", Expected::error6(error, 14))
        .tunnel_counts(tunnel, "tx_too_big")
        .counts("icmp.tx")
}

#[test]
fn a_packet_of_the_tunnels_mtu_passes_and_one_byte_more_is_answered() {
    let largest = to_gateway(encap4(IPIP, udp4(H, R, 1480).ttl(63)));
    assert_eq!(largest.len(), 1514, "a full frame");
    run_all([
        Case::new("C-071(a)", Bench::ipip())
            .input("l", from_host(udp4(H, R, 1480)))
            .expect("u", largest)
            .tunnel_sends("t0", 1480),
        needs_fragments("C-071(b)", Bench::ipip(), "t0", 1481, 1480),
        needs_fragments("C-071(b) full frame", Bench::ipip(), "t0", 1500, 1480),
    ]);
}

#[test]
fn a_smaller_underlay_port_or_a_configured_mtu_lowers_the_limit() {
    let port = Bench::ipip().set("ports.u.mtu", "1400");
    let tunnel = Bench::ipip().set("tunnels.t0.mtu", "1300");
    run_all([
        needs_fragments("underlay port of 1400", port, "t0", 1381, 1380),
        needs_fragments("tunnel of 1300", tunnel, "t0", 1301, 1300),
    ]);
}

#[test]
fn an_oversize_packet_without_df_is_fragmented_before_encapsulation() {
    let whole = loose(1480);
    let (first, second) = (piece(&whole, 0, 1456, true), piece(&whole, 1456, 1480, false));
    assert_eq!((first.bytes().len(), second.bytes().len()), (1476, 44));
    assert_eq!(second.header.fragment_offset.value(), 182);
    Case::new("C-072", Bench::ipip())
        .input("l", from_host(whole))
        .expect("u", to_gateway(encap4(IPIP, first)))
        .expect("u", to_gateway(encap4(IPIP, second)))
        .tunnel_sends("t0", 1500)
        .tunnel_counts("t0", "tx_inner_frag")
        .ignore("dataplane.ip4.frag_created")
        .run();
}

#[test]
fn a_fragment_is_fragmented_again_with_its_offset_and_more_flag_kept() {
    let whole = loose(1480).fragment(100, true);
    let (first, second) = (piece(&whole, 0, 1456, true), piece(&whole, 1456, 1480, true));
    assert_eq!(second.header.fragment_offset.value(), 282);
    Case::new("C-073", Bench::ipip())
        .input("l", from_host(whole))
        .expect("u", to_gateway(encap4(IPIP, first)))
        .expect("u", to_gateway(encap4(IPIP, second)))
        .tunnel_sends("t0", 1500)
        .tunnel_counts("t0", "tx_inner_frag")
        .ignore("dataplane.ip4.frag_created")
        .run();
}

#[test]
fn a_copied_option_is_in_every_fragment_and_the_others_in_the_first_only() {
    // Stream identifier (0x88, copied) and record route (7, not copied), closed by an end of list.
    let stream = [0x88, 4, 0xab, 0xcd];
    let whole = loose(1472).options(&[stream.as_slice(), &[7, 3, 4, 0]].concat());
    let first = piece(&whole, 0, 1448, true);
    let second = piece(&whole, 1448, 1472, false).options(&stream);
    assert_eq!((first.bytes().len(), second.bytes().len()), (1476, 48));
    Case::new("C-074", Bench::ipip())
        .input("l", from_host(whole))
        .expect("u", to_gateway(encap4(IPIP, first)))
        .expect("u", to_gateway(encap4(IPIP, second)))
        .tunnel_sends("t0", 1500)
        .tunnel_counts("t0", "tx_inner_frag")
        .ignore("dataplane.ip4.frag_created")
        .run();
}

#[test]
fn a_small_mtu_makes_many_fragments_that_are_whole_again_at_the_far_end() {
    let whole = loose(1480);
    let mut case = Case::new("many fragments", Bench::ipip().set("tunnels.t0.mtu", "576"));
    case = case.input("l", from_host(whole.clone()));
    // 576 - 20 = 556 bytes of payload, 552 of them a multiple of eight.
    for from in (0..1480).step_by(552) {
        let to = (from + 552).min(1480);
        let part = piece(&whole, from, to, to < 1480);
        case = case.expect("u", to_gateway(encap4(IPIP, part)));
    }
    case.tunnel_sends("t0", 1500)
        .tunnel_counts("t0", "tx_inner_frag")
        .ignore("dataplane.ip4.frag_created")
        .run();
}

#[test]
fn ipv6_over_ipv4_passes_1480_and_answers_1481_with_too_big() {
    run_all([
        Case::new("C-079", Bench::sit())
            .input("l", from_host(udp6(H6, R6, 1480)))
            .expect("u", to_gateway(encap4(IPV6, udp6(H6, R6, 1480).hop_limit(63))))
            .tunnel_sends("s0", 1480),
        too_big("C-079", Bench::sit(), "s0", 1481, 1480),
    ]);
}

#[test]
fn ipv4_over_ipv6_has_its_own_limit() {
    let whole = loose(1480);
    let (first, second) = (piece(&whole, 0, 1440, true), piece(&whole, 1440, 1480, false));
    let outer = |inner: Ipv4Packet| Expected::any_flow_label(to_gateway(encap6(IPIP, inner)));
    run_all([
        Case::new("C-083 just fits", Bench::any6())
            .input("l", from_host(udp4(H, R, 1460)))
            .expect("u", outer(udp4(H, R, 1460).ttl(63)))
            .tunnel_sends("n6", 1460),
        needs_fragments("C-083", Bench::any6(), "n6", 1461, 1460),
        Case::new("C-083", Bench::any6())
            .input("l", from_host(whole))
            .expect("u", outer(first))
            .expect("u", outer(second))
            .tunnel_sends("n6", 1500)
            .tunnel_counts("n6", "tx_inner_frag")
            .ignore("dataplane.ip4.frag_created"),
        too_big("IPv6 over IPv6", Bench::any6(), "n6", 1461, 1460),
    ]);
}

#[test]
fn the_encapsulation_limit_option_costs_eight_bytes_of_mtu() {
    let bench = || Bench::any6().set("tunnels.n6.encap-limit", "4");
    let option = [IPIP, 0, 4, 1, 4, 1, 1, 0];
    let inner = udp4(H, R, 1452).ttl(63).bytes();
    let outer = to_gateway(encap6(60, [option.as_slice(), &inner].concat()));
    run_all([
        needs_fragments("C-085", bench(), "n6", 1453, 1452),
        Case::new("C-085 just fits", bench())
            .input("l", from_host(udp4(H, R, 1452)))
            .expect("u", Expected::any_flow_label(outer))
            .tunnel_sends("n6", 1452),
    ]);
}

#[test]
fn a_packet_that_outgrows_the_lan_after_decap_is_answered_through_the_tunnel() {
    let packet = udp4(R, H, 1480);
    let error = error4(T, R, FRAG_NEEDED, 1400, packet.clone());
    let packet6 = udp6(R6, H6, 1480);
    let error6 = error6(T6, R6, TOO_BIG6, 1400, packet6.clone());
    let (len, len6) = (error.bytes().len() as u64, error6.bytes().len() as u64);
    run_all([
        Case::new("C-092", Bench::ipip().set("ports.l.mtu", "1400"))
            .input("u", from_gateway(peer4(IPIP, packet)))
            .expect("u", Expected::error4(to_gateway(encap4(IPIP, error).tos(0xc0)), 34))
            .tunnel_accepts("t0", 1480)
            .tunnel_sends("t0", len)
            .counts("ip4.too_big")
            .counts("icmp.tx"),
        Case::new("C-092 IPv6", Bench::sit().set("ports.l.mtu", "1400"))
            .input("u", from_gateway(peer4(IPV6, packet6)))
            .expect("u", Expected::error6(to_gateway(encap4(IPV6, error6)), 34))
            .tunnel_accepts("s0", 1480)
            .tunnel_sends("s0", len6)
            .counts("ip6.too_big")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn a_packet_without_df_that_outgrows_the_lan_is_fragmented() {
    let mut whole = loose(1400);
    whole.header.source = R.octets();
    whole.header.destination = H.octets();
    let (first, second) = (piece(&whole, 0, 1376, true), piece(&whole, 1376, 1400, false));
    Case::new("forwarded fragments", Bench::ipip().set("ports.l.mtu", "1400"))
        .input("u", from_gateway(peer4(IPIP, whole)))
        .expect("l", to_host(first))
        .expect("l", to_host(second))
        .tunnel_accepts("t0", 1420)
        .counter("dataplane.ip4.frag_created", 2)
        .run();
}
