//! Packets are what `etherparse` builds, so that offsets are not the code's own.

use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
use proptest::prelude::*;

use super::*;
use crate::tables::local::LocalAddresses;

const OURS4: [u8; 4] = [198, 51, 100, 1];
const PEER4: [u8; 4] = [203, 0, 113, 2];
const OURS6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const PEER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const HOSTS: ([u8; 4], [u8; 4]) = ([10, 2, 0, 8], [10, 1, 0, 5]);

fn tables() -> Tables {
    let own = LocalAddresses::new([OURS4.into(), OURS6.into()].into_iter());
    Tables { local: own, ..Tables::empty(7) }
}

fn udp(ports: (u16, u16), len: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(HOSTS.0, HOSTS.1, 64).udp(ports.0, ports.1);
    builder.write(&mut packet, &vec![0; len]).unwrap();
    packet
}

fn udp6(ports: (u16, u16)) -> Vec<u8> {
    let mut packet = Vec::new();
    let (from, to) = ([0xfd; 16], [0xfe; 16]);
    PacketBuilder::ipv6(from, to, 64).udp(ports.0, ports.1).write(&mut packet, &[0; 30]).unwrap();
    packet
}

/// The pieces of a packet, its header without options, cut behind `len` bytes of payload.
fn cut(packet: &[u8], identification: u16, len: usize) -> [Vec<u8>; 2] {
    let (header, payload) = Ipv4Header::from_slice(packet).unwrap();
    let piece = |from: usize, to: usize, more: bool| {
        let mut header = header.clone();
        header.identification = identification;
        header.dont_fragment = false;
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(u16::try_from(from / 8).unwrap()).unwrap();
        header.set_payload_len(to - from).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [&header.to_bytes()[..], &payload[from..to]].concat()
    };
    [piece(0, len, true), piece(len, payload.len(), false)]
}

/// The pieces of an IPv6 packet whose payload begins with the ports (RFC 8200 §4.5).
fn cut6(packet: &[u8], identification: u32, len: usize) -> [Vec<u8>; 2] {
    let piece = |from: usize, to: usize, more: u16| {
        let mut piece = packet[..40].to_vec();
        piece[4..6].copy_from_slice(&u16::try_from(8 + to - from).unwrap().to_be_bytes());
        piece[6] = 44;
        piece.extend([packet[6], 0]);
        piece.extend((u16::try_from(from).unwrap() | more).to_be_bytes());
        piece.extend(identification.to_be_bytes());
        piece.extend(&packet[40 + from..40 + to]);
        piece
    };
    [piece(0, len, 1), piece(len, packet.len() - 40, 0)]
}

/// Around another packet, from the peer to us.
fn tunnel(inner: &[u8]) -> Vec<u8> {
    let protocol = if inner[0] >> 4 == 4 { 4 } else { 41 };
    let len = u16::try_from(inner.len()).unwrap();
    let mut header = Ipv4Header::new(len, 64, IpNumber(protocol), PEER4, OURS4).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], inner].concat()
}

fn tunnel6(inner: &[u8]) -> Vec<u8> {
    let protocol = if inner[0] >> 4 == 4 { 4 } else { 41 };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(inner.len()).unwrap().to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend(PEER6);
    packet.extend(OURS6);
    packet.extend(inner);
    packet
}

fn frame(packet: &[u8]) -> Vec<u8> {
    let kind = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind, packet].concat()
}

fn hash(packet: &[u8]) -> Option<u64> {
    Flows::new().hash(&frame(packet), &tables())
}

#[test]
fn a_tunnel_packet_goes_with_the_packet_inside() {
    for inner in [udp((40_000, 53), 30), udp6((40_000, 53))] {
        let own = hash(&inner);
        assert!(own.is_some());
        assert_eq!(hash(&tunnel(&inner)), own);
        assert_eq!(hash(&tunnel6(&inner)), own);
    }
    let flows: std::collections::HashSet<_> =
        (0..200).map(|port| hash(&tunnel(&udp((port, 53), 30)))).collect();
    assert_eq!(flows.len(), 200);
}

#[test]
fn a_packet_of_minimal_encapsulation_goes_with_the_one_that_it_was() {
    let folded = |inner: &[u8], source: [u8; 4]| {
        // RFC 2004, figure 3: with the source of the sender.
        let mut header = [&[17, 0x80, 0, 0], &inner[16..20], &inner[12..16]].concat();
        let words = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
        let sum = words.fold(0, |sum, word| (sum + word) % 0xffff);
        header[2..4].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
        let payload = [&header, &inner[20..]].concat();
        let len = u16::try_from(payload.len()).unwrap();
        let mut outer = Ipv4Header::new(len, 64, IpNumber(55), source, OURS4).unwrap();
        outer.header_checksum = outer.calc_header_checksum();
        [&outer.to_bytes()[..], &payload].concat()
    };
    for port in 0..50 {
        let inner = udp((port, 53), 30);
        assert_eq!(hash(&folded(&inner, PEER4)), hash(&inner));
    }
    let whole = folded(&udp((1, 2), 30), PEER4);
    for len in 14..whole.len() - 30 {
        let _ = hash(&whole[..len]);
    }
    let mut wrong = whole;
    wrong[22] ^= 1;
    assert_eq!(hash(&wrong), None, "nobody's flow");
}

#[test]
fn a_tunnel_packet_with_an_encapsulation_limit_is_looked_into() {
    let inner = udp((40_000, 53), 30);
    let mut packet = tunnel6(&inner);
    //= RFC 2473 §4.1.1: option 4, length 1, and a PadN to eight bytes.
    packet.splice(40..40, [packet[6], 0, 4, 1, 3, 1, 1, 0]);
    packet[6] = 60;
    let len = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    assert_eq!(hash(&packet), hash(&inner));
}

#[test]
fn what_is_for_this_node_and_no_whole_tunnel_packet_stays() {
    let mut echo = Vec::new();
    let to_us = PacketBuilder::ipv4(PEER4, OURS4, 64).icmpv4_echo_request(1, 2);
    to_us.write(&mut echo, &[0; 20]).unwrap();
    let mut discovery = Vec::new();
    let to_us = PacketBuilder::ipv6(PEER6, OURS6, 255).icmpv6_raw(136, 0, [0; 4]);
    to_us.write(&mut discovery, &[0; 20]).unwrap();
    let [first, second] = cut(&tunnel(&udp((1, 2), 600)), 9, 304);
    let [first6, second6] = cut6(&tunnel6(&udp((1, 2), 600)), 9, 304);
    for packet in [echo, discovery, first, second, first6, second6] {
        assert_eq!(hash(&packet), None, "{packet:02x?}");
    }
    let mut arp = frame(&udp((1, 2), 30));
    arp[12..14].copy_from_slice(&[8, 6]);
    let mut group = frame(&udp((1, 2), 30));
    group[0] |= 1;
    for frame in [arp, group] {
        assert_eq!(Flows::new().hash(&frame, &tables()), None);
    }
}

#[test]
fn all_pieces_of_a_packet_go_with_the_uncut_packets_of_their_flow() {
    let tables = tables();
    let mut flows = Flows::new();
    for port in 0..50 {
        let packet = udp((port, 53), 600);
        let [first, second] = cut(&packet, port, 304);
        let packet6 = udp6((port, 53));
        let [first6, second6] = cut6(&packet6, port.into(), 16);
        for (whole, pieces) in [
            (&packet, [tunnel(&first), tunnel(&second)]),
            (&packet6, [tunnel6(&first6), tunnel6(&second6)]),
            (&packet, [first, second]),
        ] {
            let wanted = flows.hash(&frame(whole), &tables);
            for piece in pieces {
                assert_eq!(flows.hash(&frame(&piece), &tables), wanted, "port {port}");
            }
        }
    }
}

#[test]
fn a_piece_that_overtook_its_first_piece_goes_by_its_addresses() {
    let [_, second] = cut(&udp((1, 53), 600), 1, 304);
    let [_, other] = cut(&udp((2, 53), 600), 2, 304);
    assert!(hash(&second).is_some());
    assert_eq!(hash(&second), hash(&other));
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), version: bool, ours: bool,
    ) {
        if let Some(kind) = bytes.get_mut(12..14) {
            kind.copy_from_slice(if version { &[8, 0] } else { &[0x86, 0xdd] });
        }
        if let Some(first) = bytes.first_mut() {
            *first &= 0xfe;
        }
        if let Some(first) = bytes.get_mut(14) {
            *first = if version { 0x40 | *first & 15 } else { 0x60 | *first & 15 };
        }
        let (at, address) = if version { (30, &OURS4[..]) } else { (38, &OURS6[..]) };
        if let Some(slot) = bytes.get_mut(at..at + address.len()).filter(|_| ours) {
            slot.copy_from_slice(address);
        }
        Flows::new().hash(&bytes, &tables());
    }
}
