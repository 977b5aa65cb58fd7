//! Against etherparse, which computes checksums anew.

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

const HOP_BY_HOP: [u8; 8] = [protocol::TCP, 0, 1, 4, 0, 0, 0, 0];
const DESTINATION_OPTIONS: [u8; 16] = [protocol::TCP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A segment with these options, SYN set, in IPv4 or IPv6.
fn segment(ipv4: bool, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if ipv4 {
        let builder = PacketBuilder::ipv4([10, 1, 0, 5], [10, 2, 0, 8], 64);
        let builder = builder.tcp(40_000, 443, 0x1234_5678, 65_000).syn();
        builder.options_raw(options).unwrap().write(&mut bytes, payload).unwrap();
    } else {
        let (from, to) = ([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], [0x3f; 16]);
        let builder = PacketBuilder::ipv6(from, to, 64).tcp(40_000, 443, 7, 65_000).syn();
        builder.options_raw(options).unwrap().write(&mut bytes, payload).unwrap();
    }
    bytes
}

fn mss(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    [2, 4, high, low]
}

/// The same packet with other headers between IPv6 and TCP.
fn behind(packet: &[u8], kind: u8, headers: &[u8]) -> Vec<u8> {
    let (ip, rest) = packet.split_at(ipv6::HEADER_LEN);
    let mut bytes = [ip, headers, rest].concat();
    let len = u16::try_from(bytes.len() - ipv6::HEADER_LEN).unwrap();
    bytes[4..6].copy_from_slice(&len.to_be_bytes());
    bytes[6] = kind;
    bytes
}

fn lowered(mut packet: Vec<u8>, mtu: u16) -> (Mss, Vec<u8>) {
    let what = lower(&mut packet, mtu);
    (what, packet)
}

#[test]
fn a_size_that_does_not_fit_is_lowered_and_never_raised() {
    for (ipv4, before, mtu, after) in [
        (true, 1460, 1480, 1440),
        (true, 1440, 1480, 1440),
        (true, 1400, 1480, 1400),
        (true, 1460, 68, 88),
        (false, 1440, 1460, 1400),
        (false, 1440, 1280, 1220),
        (false, 1440, 600, 1220),
    ] {
        let packet = segment(ipv4, &mss(before), &[]);
        let said = |limit| Said { value: before, limit };
        // Both that fit may say as much as 1440 bytes.
        let expected =
            if before == after { Mss::Within(said(1440)) } else { Mss::Lowered(said(after)) };
        assert_eq!(
            lowered(packet, mtu),
            (expected, segment(ipv4, &mss(after), &[])),
            "{before} {mtu}"
        );
    }
}

proptest! {
    /// Wherever the option stands among others, at even offsets and odd ones.
    #[test]
    fn a_lowered_packet_is_what_etherparse_makes_of_the_lower_size(
        ipv4: bool, before in 1441_u16.., mtu in 1280_u16..=1480, no_operations in 0_usize..5,
        timestamps: bool, payload in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let options = |value| {
            let mut options = vec![1; no_operations];
            options.extend(mss(value));
            if timestamps {
                options.extend([8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
            }
            options
        };
        let after = mtu - if ipv4 { 40 } else { 60 };
        let packet = segment(ipv4, &options(before), &payload);
        let expected = segment(ipv4, &options(after), &payload);
        let said = Said { value: before, limit: after };
        prop_assert_eq!(lowered(packet, mtu), (Mss::Lowered(said), expected));
    }

    #[test]
    fn an_inserted_option_is_what_etherparse_makes_of_it(
        ipv4: bool, mtu in 68_u16..=1480, timestamps: bool,
    ) {
        let others: &[u8] = if timestamps { &[8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1] } else { &[] };
        let mut packet = segment(ipv4, others, &[]);
        let Mss::Absent(opening) = lower(&mut packet, mtu) else { panic!("there is none") };
        packet.extend([0xaa; OPTION_LEN]);
        insert(&mut packet, opening, mtu);
        let said = if ipv4 { 536.min(mtu.saturating_sub(40).max(88)) } else { 1220 };
        prop_assert_eq!(packet, segment(ipv4, &[&mss(said)[..], others].concat(), &[]));
    }

    #[test]
    fn any_bytes_are_read_within_the_packet(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120), version in 4_u8..=6, mtu: u16,
        header: bool,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | if header { 5 } else { *first & 15 };
        }
        if let (true, Some(next)) = (header, bytes.get_mut(if version == 4 { 9 } else { 6 })) {
            *next = protocol::TCP;
        }
        let len = bytes.len();
        if let Mss::Absent(opening) = lower(&mut bytes, mtu) {
            bytes.extend([0; OPTION_LEN]);
            insert(&mut bytes, opening, mtu);
        }
        prop_assert!(bytes.len() <= len + OPTION_LEN);
    }
}

#[test]
fn only_what_opens_a_connection_is_looked_at() {
    let packet = segment(true, &mss(1460), &[]);
    for (at, value) in [
        (20 + 13, 0x10), // ACK alone
        (20 + 13, 0x06), // SYN and RST
        (9, protocol::UDP),
        (7, 1), // not the first piece
    ] {
        let mut other = packet.clone();
        other[at] = value;
        assert_eq!(lowered(other.clone(), 1480), (Mss::Other, other), "{at} {value}");
    }
    let mut answer = packet;
    answer[20 + 13] = 0x12;
    let said = Said { value: 1460, limit: 1440 };
    assert_eq!(lowered(answer, 1480).0, Mss::Lowered(said), "SYN and ACK");
}

#[test]
fn the_option_is_found_behind_extension_headers_and_in_first_pieces() {
    let packet = |value| segment(false, &mss(value), &[]);
    let first_piece = [protocol::TCP, 0, 0, 1, 0, 0, 0, 9];
    for (kind, headers) in [
        (protocol::HOP_BY_HOP, &HOP_BY_HOP[..]),
        (protocol::DESTINATION_OPTIONS, &DESTINATION_OPTIONS),
        (protocol::FRAGMENT, &first_piece),
    ] {
        let (before, after) = [1440, 1400].map(packet).map(|p| behind(&p, kind, headers)).into();
        let said = Said { value: 1440, limit: 1400 };
        assert_eq!(lowered(before, 1460), (Mss::Lowered(said), after), "{kind}");
    }
    let authentication = [protocol::TCP, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let later_piece = [protocol::TCP, 0, 0, 9, 0, 0, 0, 9];
    for (kind, headers) in [(protocol::AH, &authentication[..]), (protocol::FRAGMENT, &later_piece)]
    {
        let other = behind(&packet(1440), kind, headers);
        assert_eq!(lowered(other.clone(), 1460), (Mss::Other, other), "{kind}");
    }
}

#[test]
fn options_that_can_not_be_read_leave_the_packet_as_it_is() {
    for options in [
        [3, 0, 1, 1, 2, 4, 0x7f, 0xff],  // no length
        [3, 1, 1, 1, 2, 4, 0x7f, 0xff],  // less than itself
        [2, 4, 0x7f, 0xff, 1, 1, 8, 10], // reaches beyond the header
        [2, 4, 0x7f, 0xff, 1, 1, 1, 8],  // its length is missing
    ] {
        let packet = segment(true, &options, &[]);
        assert_eq!(lowered(packet.clone(), 1480), (Mss::Malformed, packet), "{options:?}");
    }
    for (data_offset, len) in [(4, 44), (15, 44), (6, 43)] {
        let mut packet = segment(true, &mss(1460), &[]);
        packet[20 + 12] = data_offset << 4;
        packet.truncate(len);
        assert_eq!(lowered(packet.clone(), 1480), (Mss::Malformed, packet), "{data_offset}");
    }
}

#[test]
fn nothing_is_inserted_where_data_follows_or_the_header_is_full_or_there_is_another_piece() {
    let none = segment(true, &[], &[]);
    let mut piece = none.clone();
    piece[6] = 0x20;
    for packet in [segment(true, &[], &[7]), segment(true, &[1; 40], &[]), piece] {
        assert_eq!(lowered(packet.clone(), 1480), (Mss::Other, packet));
    }
    // What stands behind the end of all options is none, nor one of another length.
    for options in [[0, 2, 4, 0x7f, 0xff, 0, 0, 0], [2, 3, 0x7f, 2, 2, 1, 1, 1]] {
        assert!(matches!(lower(&mut segment(true, &options, &[]), 1480), Mss::Absent(_)));
    }
}
