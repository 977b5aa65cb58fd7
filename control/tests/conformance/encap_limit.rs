//! The tunnel encapsulation limit (RFC 2473 §4.1.1; A.0, A.1, B10.3) of every tunnel over IPv6: the option stands between the
//! outer header and whatever the tunnel has behind that, takes eight bytes of its MTU, and is obeyed where what
//! enters has one. For IP in IPv6 see `encap`, `mtu` and `loops`.

use crate::addresses::{H, H6, L, L6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::erspan::{GRE, TWO, source6, two};
use crate::frames::{
    IPIP, IPV6 as IPV6_IN_IP, Ipv4Packet, Ipv6Packet, UDP, encap4, encap6, from_host, to_gateway,
    to_host, udp4, udp6,
};
use crate::gretap::{self, IPV4, IPV6, frame, gre, tagged};
use crate::icmp::{FRAG_NEEDED, PARAMETER6, error4, error6};
use crate::loops::limit;
use crate::overlay::{GENEVE, GENEVE_HEADER, VXLAN, VXLAN_HEADER, behind, geneve6, ours6, vxlan6};
use crate::udp::{FOU, GUE, behind_gue, gue6};

const DESTINATION: u8 = 60;

/// A tunnel of packets over IPv6, what it puts between the option and the packet, and the largest packet that fits with
/// the option (A.0).
struct OfPackets {
    name: &'static str,
    bench: Bench,
    wrap: fn(&[u8], u8) -> (u8, Vec<u8>),
    largest: usize,
}

fn fou6() -> Bench {
    Bench::ipip6().set("tunnels.n6.encap", "{ type: fou, dport: 5555 }")
}

fn ip6gre() -> Bench {
    Bench::any6().set("tunnels.n6.mode", "ip6gre")
}

fn in_fou(packet: &[u8], _: u8) -> (u8, Vec<u8>) {
    (UDP, ours6(FOU, packet))
}

fn in_gue(packet: &[u8], protocol: u8) -> (u8, Vec<u8>) {
    (UDP, ours6(GUE, &behind_gue(protocol, packet)))
}

fn in_gre(packet: &[u8], protocol: u8) -> (u8, Vec<u8>) {
    let kind = if protocol == IPIP { [8, 0] } else { [0x86, 0xdd] };
    (GRE, behind(&[0, 0, kind[0], kind[1]], packet))
}

fn of_packets() -> [OfPackets; 3] {
    let kind = |name, bench, wrap, largest| OfPackets { name, bench, wrap, largest };
    [
        kind("FOU", fou6(), in_fou, 1444),
        kind("GUE", gue6(), in_gue, 1440),
        kind("ip6gre", ip6gre(), in_gre, 1448),
    ]
}

/// The same of tunnels of frames; the largest packet in a frame without tags.
struct OfFrames {
    name: &'static str,
    bench: Bench,
    wrap: fn(&[u8]) -> (u8, Vec<u8>),
    largest: usize,
}

fn in_vxlan(frame: &[u8]) -> (u8, Vec<u8>) {
    (UDP, ours6(VXLAN, &behind(&VXLAN_HEADER, frame)))
}

fn in_geneve(frame: &[u8]) -> (u8, Vec<u8>) {
    (UDP, ours6(GENEVE, &behind(&GENEVE_HEADER, frame)))
}

fn in_gretap(frame: &[u8]) -> (u8, Vec<u8>) {
    (GRE, gre(frame))
}

fn in_erspan(frame: &[u8]) -> (u8, Vec<u8>) {
    (GRE, two(0, 0, 0, frame))
}

fn of_frames() -> [OfFrames; 3] {
    let kind = |name, bench, wrap, largest| OfFrames { name, bench, wrap, largest };
    [
        kind("ip6gretap", gretap::ip6gretap(), in_gretap, 1434),
        kind("VXLAN", vxlan6(), in_vxlan, 1422),
        kind("GENEVE", geneve6(), in_geneve, 1422),
    ]
}

/// What leaves, with this limit in its option: `limit` spells it out, 8 bytes at offset 40.
fn sent((protocol, payload): (u8, Vec<u8>), value: u8) -> Expected {
    let is_udp = protocol == UDP;
    let outer = encap6(protocol, payload).extension(DESTINATION, limit(value));
    let frame = to_gateway(outer);
    assert_eq!(
        (frame[20], frame[54], &frame[55..62]),
        (60, protocol, &[0, 4, 1, value, 1, 1, 0][..])
    );
    if is_udp { Expected::any_source_port(frame, 62) } else { Expected::any_flow_label(frame) }
}

fn with_four(bench: &Bench, tunnel: &str) -> Bench {
    bench.clone().set(&format!("tunnels.{tunnel}.encap-limit"), "4")
}

#[test]
fn the_option_stands_in_front_of_what_the_tunnel_has_and_takes_eight_bytes_of_its_mtu() {
    let packets = of_packets().into_iter().flat_map(|kind| {
        let OfPackets { name, bench, wrap, largest } = kind;
        let bench = with_four(&bench, "n6");
        let packet = |len: usize| udp4(H, R, len);
        let error =
            to_host(error4(L, H, FRAG_NEEDED, largest.try_into().unwrap(), packet(largest + 1)));
        let passes = |len: usize| {
            Case::new(&format!("C-008 {name}, {len} bytes"), bench.clone())
                .input("l", from_host(packet(len)))
                .expect("u", sent(wrap(&packet(len).ttl(63).bytes(), IPIP), 4))
                .tunnel_sends("n6", len as u64)
        };
        [
            passes(84),
            passes(largest),
            Case::new(&format!("C-085 {name}"), bench.clone())
                .input("l", from_host(packet(largest + 1)))
                .expect("l", Expected::error4(error, 14))
                .tunnel_counts("n6", "tx_too_big")
                .counts("icmp.tx"),
        ]
    });
    let frames = of_frames().into_iter().flat_map(|kind| {
        let OfFrames { name, bench, wrap, largest } = kind;
        let bench = with_four(&bench, "e0");
        let frame = |len: usize| frame(IPV4, udp4(H, R, len));
        let passes = |len: usize| {
            Case::new(&format!("C-008 {name}, {len} bytes"), bench.clone())
                .input("a", frame(len))
                .expect("u", sent(wrap(&frame(len)), 4))
                .tunnel_sends("e0", len as u64 + 14)
        };
        let refused = Case::new(&format!("C-085 {name}"), bench.clone())
            .input("a", frame(largest + 1))
            .tunnel_counts("e0", "tx_too_big");
        [passes(84), passes(largest), refused]
    });
    run_all(packets.chain(frames));
}

#[test]
fn a_copy_has_the_option_and_loses_eight_bytes_more() {
    let bench = || with_four(&source6(TWO), "e0");
    let copied = |name: &str, frame: &[u8], left: usize, third: u8| {
        let wrapped = (GRE, two(0, 0, third, &frame[..left]));
        Case::new(name, bench())
            .input("a", frame.to_vec())
            .expect("u", sent(wrapped, 4))
            .tunnel_sends("e0", left as u64)
            .counts("l2.not_for_us")
    };
    let (small, large) = (frame(IPV4, udp4(H, R, 84)), frame(IPV4, udp4(H, R, 1423)));
    run_all([
        copied("C-016(a) with a limit", &small, 98, 0),
        copied("C-016(a) as large as fits", &large[..], 1436, 4).tunnel_counts("e0", "tx_trunc"),
    ]);
}

/// An IPv6 packet of `len` bytes that may be put into so many more tunnels.
fn limited(value: u8, len: usize) -> Ipv6Packet {
    udp6(H6, R6, len - 8).extension(DESTINATION, limit(value))
}

#[test]
fn a_limit_that_a_packet_brings_goes_on_one_lower_whatever_carries_it() {
    let packets = of_packets().into_iter().filter(|kind| kind.name != "FOU");
    let packets = packets.flat_map(|OfPackets { name, bench, wrap, .. }| {
        let packet = |value| limited(value, 108);
        let passes = |bench: Bench, found: u8| {
            Case::new(&format!("B10.3 {found} into {name}"), bench)
                .input("l", from_host(packet(found)))
                .expect(
                    "u",
                    sent(wrap(&packet(found).hop_limit(63).bytes(), IPV6_IN_IP), found - 1),
                )
                .tunnel_sends("n6", 108)
        };
        let error = to_host(error6(L6, H6, PARAMETER6, 44, packet(0)));
        [
            passes(bench.clone(), 3),
            passes(with_four(&bench, "n6"), 2),
            Case::new(&format!("C-123 {name}"), bench)
                .input("l", from_host(packet(0)))
                .expect("l", Expected::error6(error, 14))
                .tunnel_counts("n6", "tx_encap_limit")
                .counts("icmp.tx"),
        ]
    });
    let frames = of_frames().into_iter().flat_map(|OfFrames { name, bench, wrap, largest }| {
        let framed = |value, len| frame(IPV6, limited(value, len));
        let passes = |bench: Bench, found: u8, len: usize| {
            Case::new(&format!("B10.3 {found} into {name}, {len} bytes"), bench)
                .input("a", framed(found, len))
                .expect("u", sent(wrap(&framed(found, len)), found - 1))
                .tunnel_sends("e0", len as u64 + 14)
        };
        let refused = |len: usize, value: u8, counter: &str| {
            Case::new(&format!("B10.3 {value} into {name}, {len} bytes"), bench.clone())
                .input("a", framed(value, len))
                .tunnel_counts("e0", counter)
        };
        [
            passes(bench.clone(), 3, 108),
            passes(bench.clone(), 1, largest),
            passes(with_four(&bench, "e0"), 2, 108),
            refused(largest + 1, 1, "tx_too_big"),
            refused(108, 0, "tx_encap_limit"),
        ]
    });
    run_all(packets.chain(frames));
}

#[test]
fn a_limit_in_a_frame_counts_behind_tags_and_in_copies_and_not_over_ipv4() {
    let in_vlan = |value| tagged(&[[0x81, 0, 0, 7]], IPV6, limited(value, 108));
    let plain = |value| frame(IPV6, limited(value, 108));
    let copy = |value: u8, outside: u8| {
        Case::new(&format!("B10.3 {value} in a copy"), source6(TWO))
            .input("a", plain(value))
            .expect("u", sent(in_erspan(&plain(value)), outside))
            .tunnel_sends("e0", 122)
            .counts("l2.not_for_us")
    };
    let over4: Ipv4Packet = encap4(GRE, gre(&plain(0)));
    run_all([
        Case::new("B10.3 behind a tag", geneve6())
            .input("a", in_vlan(5))
            .expect("u", sent(in_geneve(&in_vlan(5)), 4))
            .tunnel_sends("e0", 126),
        Case::new("B10.3 0 behind a tag", geneve6())
            .input("a", in_vlan(0))
            .tunnel_counts("e0", "tx_encap_limit"),
        copy(5, 4),
        Case::new("B10.3 0 in a copy", source6(TWO))
            .input("a", plain(0))
            .tunnel_counts("e0", "tx_encap_limit")
            .counts("l2.not_for_us"),
        Case::new("B10.3 over IPv4", gretap::gretap())
            .input("a", plain(0))
            .expect("u", to_gateway(over4))
            .tunnel_sends("e0", 122),
    ]);
}
