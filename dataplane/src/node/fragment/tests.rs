//! The reassemblers here know only the RFC's picture of a fragment; `etherparse` reads the headers.

use etherparse::{IpFragOffset, Ipv4Slice, Ipv6FragmentHeaderSlice, PacketBuilder};
use proptest::prelude::*;

use super::*;

const HOST: [u8; 4] = [10, 1, 0, 9];
const FAR: [u8; 4] = [10, 2, 0, 9];

/// Bytes that tell where they come from: the period is prime.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

/// An IPv4 packet of `total_len` bytes with these options and this fragment field.
fn ipv4_of(total_len: usize, options: &[u8], fragment: u16) -> Vec<u8> {
    let header_len = 20 + options.len();
    let payload = pattern(total_len - header_len);
    let mut header =
        etherparse::Ipv4Header::new(0, 9, etherparse::IpNumber::UDP, HOST, FAR).unwrap();
    header.identification = 0xbeef;
    header.options = options.try_into().unwrap();
    header.set_payload_len(payload.len()).unwrap();
    header.dont_fragment = fragment & 0x4000 != 0;
    header.more_fragments = fragment & 0x2000 != 0;
    header.fragment_offset = IpFragOffset::try_new(fragment & 0x1fff).unwrap();
    header.header_checksum = header.calc_header_checksum();
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend(payload);
    bytes
}

fn ipv6_of(total_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = pattern(total_len - 40);
    let builder = PacketBuilder::ipv6([0x20; 16], [0x21; 16], 64);
    builder.write(&mut bytes, etherparse::IpNumber::IPV6, &payload).unwrap();
    bytes
}

fn cut4(packet: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, CannotFragment> {
    let plan = Plan4::new(packet, mtu)?;
    Ok(plan
        .pieces()
        .map(|piece| {
            let mut room = vec![0xee; 70_000];
            let len = plan.write_piece(packet, piece, &mut room).unwrap();
            assert_eq!(len, plan.piece_len(piece));
            room.truncate(len);
            room
        })
        .collect())
}

fn cut6(packet: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, CannotFragment> {
    let plan = Plan6::new(packet, mtu, 0xdead_beef)?;
    Ok(plan
        .pieces()
        .map(|piece| {
            let mut room = vec![0xee; 70_000];
            let len = plan.write_piece(packet, piece, &mut room).unwrap();
            assert_eq!(len, plan.piece_len(piece));
            room.truncate(len);
            room
        })
        .collect())
}

/// Total length, offset in units of 8, more fragments.
fn shape4(packet: &[u8]) -> (usize, u16, bool) {
    let slice = Ipv4Slice::from_slice(packet).unwrap();
    let header = slice.header();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    assert_eq!(usize::from(header.total_len()), packet.len());
    assert_eq!(header.identification(), 0xbeef);
    (packet.len(), header.fragments_offset().value(), header.more_fragments())
}

fn shapes4(packet: &[u8], mtu: u16) -> Vec<(usize, u16, bool)> {
    cut4(packet, mtu).unwrap().iter().map(|piece| shape4(piece)).collect()
}

#[test]
fn a_packet_of_1500_bytes_becomes_1476_and_44_at_1480() {
    assert_eq!(shapes4(&ipv4_of(1500, &[], 0), 1480), [(1476, 0, true), (44, 182, false)]);
}

#[test]
fn an_outer_packet_of_1520_bytes_becomes_1500_and_40_at_1500() {
    assert_eq!(shapes4(&ipv4_of(1520, &[], 0), 1500), [(1500, 0, true), (40, 185, false)]);
}

#[test]
fn a_fragment_is_cut_into_fragments_that_keep_its_offset_and_more_bit() {
    let fragment = ipv4_of(1500, &[], 0x2000 | 0x64);
    assert_eq!(shapes4(&fragment, 1480), [(1476, 100, true), (44, 282, true)]);
    let last = ipv4_of(1500, &[], 100);
    assert_eq!(shapes4(&last, 1480), [(1476, 100, true), (44, 282, false)]);
}

#[test]
fn a_packet_that_fits_is_one_piece_and_unchanged() {
    for fragment in [0, 0x4000, 0x2000, 0x2000 | 7, 7] {
        let packet = ipv4_of(1480, &[], fragment);
        assert_eq!(cut4(&packet, 1480), Ok(vec![packet]), "{fragment:#x}");
    }
    let empty = ipv4_of(20, &[], 0);
    assert_eq!(cut4(&empty, 68), Ok(vec![empty]));
    let packet = ipv6_of(1300);
    assert_eq!(cut6(&packet, 1300), Ok(vec![packet]));
}

#[test]
fn options_with_the_copy_bit_are_in_every_fragment_and_others_in_the_first_alone() {
    let router_alert = [0x94, 4, 0, 0]; // copied
    let record_route = [0x07, 7, 4, 0, 0, 0, 0]; // not copied
    let stream_id = [0x88, 4, 1, 2]; // copied
    let options = [&record_route[..], &router_alert, &[1], &stream_id].concat();
    let packet = ipv4_of(300, &options, 0);
    let pieces = cut4(&packet, 120).unwrap();
    assert_eq!(pieces[0][20..36], options);
    assert_eq!(shape4(&pieces[0]), (36 + 80, 0, true));
    for piece in &pieces[1..] {
        assert_eq!(piece[0], 0x47);
        assert_eq!(piece[20..28], [&router_alert[..], &stream_id].concat());
    }
    assert_eq!(shape4(&pieces[1]), (28 + 88, 10, true));
    assert_eq!(shape4(&pieces[2]), (28 + 88, 21, true));
    assert_eq!(shape4(&pieces[3]), (28 + 8, 32, false));
    assert_eq!(pieces.len(), 4);
}

#[test]
fn copied_options_of_odd_length_are_padded_with_the_end_of_the_list() {
    let security = [0x82, 5, 1, 2, 3];
    let options = [&security[..], &[1, 1, 1]].concat();
    let pieces = cut4(&ipv4_of(200, &options, 0), 100).unwrap();
    assert_eq!(pieces[1][0], 0x47);
    assert_eq!(pieces[1][20..28], [0x82, 5, 1, 2, 3, 0, 0, 0]);
}

#[test]
fn options_that_make_no_sense_end_what_is_copied() {
    let options = [0x94, 4, 0, 0, 0x88, 1, 0x88, 9];
    let pieces = cut4(&ipv4_of(200, &options, 0), 100).unwrap();
    assert_eq!(pieces[0][20..28], options);
    assert_eq!(pieces[1][0], 0x46);
    assert_eq!(pieces[1][20..24], [0x94, 4, 0, 0]);
}

#[test]
fn a_packet_that_may_not_be_cut_is_not() {
    let packet = ipv4_of(1500, &[], 0x4000);
    assert_eq!(cut4(&packet, 1480), Err(CannotFragment::DontFragment));
    assert_eq!(cut4(&ipv4_of(1500, &[], 0), 27), Err(CannotFragment::MtuTooSmall));
    assert_eq!(cut4(&ipv4_of(60_000, &[], 0), 68), Err(CannotFragment::MtuTooSmall));
    let beyond = ipv4_of(1500, &[], 8190);
    assert_eq!(cut4(&beyond, 1480), Err(CannotFragment::Malformed));
    assert_eq!(cut6(&ipv6_of(1320), 55), Err(CannotFragment::MtuTooSmall));
    assert_eq!(cut6(&ipv6_of(1320)[..1319], 1300), Err(CannotFragment::Malformed));
}

#[test]
fn the_longest_packet_is_cut_at_the_smallest_path_mtu() {
    assert_eq!(cut4(&ipv4_of(65_535, &[], 0), 552).unwrap().len(), 125);
    assert_eq!(cut6(&ipv6_of(65_535), 1280).unwrap().len(), 54);
}

#[test]
fn a_piece_that_does_not_fit_into_the_room_is_not_written() {
    let packet = ipv4_of(1500, &[], 0);
    let plan = Plan4::new(&packet, 1480).unwrap();
    let piece = plan.pieces().next().unwrap();
    assert_eq!(plan.write_piece(&packet, piece, &mut [0; 1475]), None);
    let packet = ipv6_of(1320);
    let plan = Plan6::new(&packet, 1300, 1).unwrap();
    let piece = plan.pieces().next().unwrap();
    assert_eq!(plan.write_piece(&packet, piece, &mut [0; 1295]), None);
}

/// Length, next header of the fragment header, offset in units of 8, more fragments.
fn shape6(packet: &[u8], front_len: usize) -> (usize, u8, u16, bool) {
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40, packet.len());
    let header = Ipv6FragmentHeaderSlice::from_slice(&packet[front_len..]).unwrap();
    assert_eq!(header.identification(), 0xdead_beef);
    let offset = header.fragment_offset().value();
    (packet.len(), header.next_header().0, offset, header.more_fragments())
}

#[test]
fn an_ipv6_packet_of_1320_bytes_becomes_1296_and_80_at_1300() {
    let pieces = cut6(&ipv6_of(1320), 1300).unwrap();
    let shapes: Vec<_> = pieces.iter().map(|piece| shape6(piece, 40)).collect();
    assert_eq!(shapes, [(1296, 41, 0, true), (80, 41, 156, false)]);
    assert!(pieces.iter().all(|piece| piece[6] == 44));
}

#[test]
fn an_ipv6_packet_of_1540_bytes_becomes_1496_and_100_at_1500() {
    let pieces = cut6(&ipv6_of(1540), 1500).unwrap();
    let shapes: Vec<_> = pieces.iter().map(|piece| shape6(piece, 40)).collect();
    assert_eq!(shapes, [(1496, 41, 0, true), (100, 41, 181, false)]);
}

/// Puts extension headers behind the fixed header; the last of them names IPv6.
fn with_extensions(first: u8, extensions: &[u8]) -> Vec<u8> {
    let plain = ipv6_of(1320);
    let mut packet = [&plain[..40], extensions, &plain[40..]].concat();
    let len = u16::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6] = first;
    packet
}

#[test]
fn headers_for_nodes_on_the_way_are_in_every_fragment() {
    let encap_limit = [41, 0, 4, 1, 4, 1, 1, 0];
    let pieces = cut6(&with_extensions(60, &encap_limit), 1300).unwrap();
    assert_eq!(pieces.len(), 2);
    for piece in &pieces {
        assert_eq!((piece[6], piece[40]), (60, 44));
        assert_eq!(piece[41..48], encap_limit[1..]);
        assert_eq!(shape6(piece, 48).1, 41);
    }
    let hop_by_hop_and_routing = [43, 0, 1, 4, 0, 0, 0, 0, 41, 0, 4, 0, 0, 0, 0, 0];
    for piece in &cut6(&with_extensions(0, &hop_by_hop_and_routing), 1300).unwrap() {
        assert_eq!((piece[6], piece[40], piece[48]), (0, 43, 44));
        assert_eq!(shape6(piece, 56).1, 41);
    }
}

#[test]
fn destination_options_behind_a_routing_header_are_in_the_first_fragment_alone() {
    let routing_and_options = [60, 0, 4, 0, 0, 0, 0, 0, 41, 0, 1, 4, 0, 0, 0, 0];
    let pieces = cut6(&with_extensions(43, &routing_and_options), 1300).unwrap();
    assert!(pieces.iter().all(|piece| shape6(piece, 48).1 == 60));
    assert_eq!(pieces[0][56..64], routing_and_options[8..]);
}

#[test]
fn a_fragment_is_not_cut_by_ipv6() {
    let fragment = with_extensions(44, &[41, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(cut6(&fragment, 1300), Err(CannotFragment::Malformed));
}

/// Puts the payloads of IPv4 fragments together; panics on a hole or an overlap.
fn reassemble4(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let (_, offset, more) = shape4(piece);
        assert_eq!(usize::from(offset) * 8, payload.len());
        assert_eq!(more, number + 1 < pieces.len());
        payload.extend(&piece[usize::from(piece[0] & 15) * 4..]);
    }
    payload
}

proptest! {
    #[test]
    fn ipv4_fragments_make_up_the_packet_and_fit(
        len in 60_usize..9000, mtu in 552_u16..3000, words in 0_usize..11, option: u8,
    ) {
        let mut options = vec![option; words * 4];
        if let [_, len, ..] = &mut options[..] {
            *len = 4;
        }
        let packet = ipv4_of(len, &options, 0);
        let pieces = cut4(&packet, mtu).unwrap();
        prop_assert!(pieces.iter().all(|piece| piece.len() <= usize::from(mtu)));
        prop_assert_eq!(&reassemble4(&pieces)[..], &packet[20 + options.len()..]);
        prop_assert_eq!(&pieces[0][20..20 + options.len()], &options[..]);
        for piece in &pieces {
            // TOS, identification, TTL, protocol and addresses are those of the packet.
            prop_assert_eq!(piece[1], packet[1]);
            prop_assert_eq!(&piece[8..10], &packet[8..10]);
            prop_assert_eq!(&piece[12..20], &packet[12..20]);
        }
    }

    #[test]
    fn ipv6_fragments_make_up_the_packet_and_fit(len in 48_usize..9000, mtu in 1280_u16..3000) {
        let packet = ipv6_of(len);
        let pieces = cut6(&packet, mtu).unwrap();
        prop_assert!(pieces.iter().all(|piece| piece.len() <= usize::from(mtu)));
        if len <= usize::from(mtu) {
            prop_assert_eq!(pieces, vec![packet]);
        } else {
            let mut payload: Vec<u8> = Vec::new();
            for (number, piece) in pieces.iter().enumerate() {
                let (_, next, offset, more) = shape6(piece, 40);
                prop_assert_eq!((next, usize::from(offset) * 8), (41, payload.len()));
                prop_assert_eq!(more, number + 1 < pieces.len());
                prop_assert_eq!(&piece[..4], &packet[..4]);
                prop_assert_eq!(&piece[7..40], &packet[7..40]);
                payload.extend(&piece[48..]);
            }
            prop_assert_eq!(&payload[..], &packet[40..]);
        }
    }

    #[test]
    fn any_bytes_give_no_panic_and_few_pieces(
        first in prop::sample::select(vec![0x45_u8, 0x4f, 0x40, 0x60]),
        mut bytes in proptest::collection::vec(any::<u8>(), 1..3000), mtu: u16,
        room_len in 0_usize..3000,
    ) {
        bytes[0] = first;
        if bytes.len() > 8 {
            bytes[2] &= 7;
            bytes[4] &= 7;
        }
        let mut room = vec![0; room_len];
        if let Ok(plan) = Plan4::new(&bytes, mtu) {
            prop_assert!(plan.pieces().count() <= PIECES_MAX);
            for piece in plan.pieces() {
                prop_assert!(plan.piece_len(piece) <= usize::from(mtu));
                plan.write_piece(&bytes, piece, &mut room);
            }
        }
        if let Ok(plan) = Plan6::new(&bytes, mtu, 1) {
            prop_assert!(plan.pieces().count() <= PIECES_MAX);
            for piece in plan.pieces() {
                prop_assert!(plan.piece_len(piece) <= usize::from(mtu));
                plan.write_piece(&bytes, piece, &mut room);
            }
        }
    }
}
