//! Requests are made by `etherparse`, which also says what their replies look like.

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv4Slice, Ipv6Slice, PacketBuilder,
};
use proptest::prelude::*;

use super::*;
use crate::wire::checksum::checksum;
use crate::wire::{ipv4, ipv6};

const HOST4: [u8; 4] = [10, 1, 0, 9];
const OURS4: [u8; 4] = [10, 1, 0, 1];
const HOST6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const OURS6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn request4(id: u16, seq: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv4(HOST4, OURS4, 9).icmpv4_echo_request(id, seq);
    builder.write(&mut bytes, data).unwrap();
    bytes
}

fn request6(id: u16, seq: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv6(HOST6, OURS6, 9).icmpv6_echo_request(id, seq);
    builder.write(&mut bytes, data).unwrap();
    bytes
}

/// The reply to a request, or why there is none.
fn reply_to(mut packet: Vec<u8>) -> Result<Vec<u8>, Echo> {
    let before = packet.clone();
    match answer(&mut packet, 0x4242) {
        Echo::Reply { len } => {
            packet.truncate(len);
            Ok(packet)
        }
        other => {
            assert_eq!(packet, before, "what is not answered stays as it is");
            Err(other)
        }
    }
}

/// Makes the IPv4 header checksum right again.
fn mended(mut packet: Vec<u8>) -> Vec<u8> {
    ipv4::write_checksum(&mut packet);
    packet
}

fn expected_reply4(id: u16, seq: u16, data: &[u8], tos: u8) -> Vec<u8> {
    let mut expected = Vec::new();
    let builder = PacketBuilder::ipv4(OURS4, HOST4, 64);
    builder.icmpv4_echo_reply(id, seq).write(&mut expected, data).unwrap();
    expected[1] = tos;
    expected[4..6].copy_from_slice(&[0x42, 0x42]);
    expected[6] = 0;
    mended(expected)
}

#[test]
fn an_ipv4_request_comes_back_with_its_data_and_dscp_and_without_ecn() {
    let mut request = request4(7, 8, b"some data, of odd length!");
    request[1] = 0xbb; // EF, CE
    let expected = expected_reply4(7, 8, b"some data, of odd length!", 0xb8);
    assert_eq!(reply_to(mended(request)), Ok(expected));
}

#[test]
fn an_ipv6_request_comes_back_with_its_data_and_dscp_and_without_ecn() {
    let mut request = request6(7, 8, b"some data, of odd length!");
    ipv6::set_traffic_class(&mut request, 0xbb);
    let mut expected = Vec::new();
    let builder = PacketBuilder::ipv6(OURS6, HOST6, 64).icmpv6_echo_reply(7, 8);
    builder.write(&mut expected, b"some data, of odd length!").unwrap();
    ipv6::set_traffic_class(&mut expected, 0xb8);
    assert_eq!(reply_to(request), Ok(expected));
}

#[test]
fn a_request_of_zeros_gets_the_checksum_that_a_receiver_finds_right() {
    // All that the checksum covers is 0 in this reply, so it must be 0xffff: 0 would be wrong.
    let reply = reply_to(request4(0, 0, &[0; 10])).unwrap();
    assert_eq!(reply[22..24], [0xff, 0xff]);
    assert_eq!(checksum(&reply[20..]), 0);
}

#[test]
fn padding_of_the_frame_is_cut_off() {
    let padded = [&request4(1, 2, b"x")[..], &[0x55; 17]].concat();
    assert_eq!(reply_to(padded), Ok(expected_reply4(1, 2, b"x", 0)));
}

#[test]
fn ipv4_options_are_not_in_the_reply() {
    let plain = request4(1, 2, b"hello");
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let mut request = [&plain[..20], &record_route, &plain[20..]].concat();
    request[0] = 0x47;
    request[3] += 8;
    assert_eq!(reply_to(mended(request)), Ok(expected_reply4(1, 2, b"hello", 0)));
}

#[test]
fn ipv6_extension_headers_are_not_in_the_reply() {
    let plain = request6(1, 2, b"hello");
    let expected = reply_to(plain.clone()).unwrap();
    let extensions = [60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0];
    let mut request = [&plain[..40], &extensions, &plain[40..]].concat();
    request[5] += 16;
    request[6] = 0;
    assert_eq!(reply_to(request), Ok(expected));
}

#[test]
fn a_wrong_checksum_is_told() {
    for (mut request, at) in [(request4(1, 2, b"hello"), 30), (request6(1, 2, b"hello"), 50)] {
        request[at] ^= 1;
        assert_eq!(reply_to(request), Err(Echo::BadChecksum));
    }
    let mut other_source = request6(1, 2, b"hello");
    other_source[20] ^= 1;
    assert_eq!(reply_to(other_source), Err(Echo::BadChecksum), "the addresses are covered");
}

#[test]
fn a_source_that_is_no_host_is_not_answered() {
    for source in [[0; 4], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1]] {
        let mut request = request4(1, 2, b"hello");
        request[12..16].copy_from_slice(&source);
        assert_eq!(reply_to(mended(request)), Err(Echo::BadSource), "{source:?}");
    }
    let mut from_group = [0xff; 16];
    from_group[1] = 2;
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ipv6(from_group, OURS6, 9).icmpv6_echo_request(1, 2);
    builder.write(&mut bytes, b"hello").unwrap();
    assert_eq!(reply_to(bytes), Err(Echo::BadSource));
}

#[test]
fn what_is_no_whole_echo_request_is_not_answered() {
    let plain = request4(1, 2, b"hello");
    let changed = |at: usize, value: u8| {
        let mut packet = plain.clone();
        packet[at] = value;
        mended(packet)
    };
    for (name, packet) in [
        ("UDP", changed(9, 17)),
        ("a reply", changed(20, 0)),
        ("a first fragment", changed(6, 0x20)),
        ("a later fragment", changed(7, 1)),
        ("nothing", vec![]),
        ("a message of 4 bytes", {
            let mut short = plain[..24].to_vec();
            short[3] = 24;
            mended(short)
        }),
    ] {
        assert_eq!(reply_to(packet), Err(Echo::NotRequest), "{name}");
    }
    let plain = request6(1, 2, b"hello");
    let fragment = [58, 0, 0, 1, 0, 0, 0, 1];
    let mut fragmented = [&plain[..40], &fragment, &plain[40..]].concat();
    fragmented[5] += 8;
    fragmented[6] = 44;
    assert_eq!(reply_to(fragmented), Err(Echo::NotRequest));
    let mut reply = plain;
    reply[40] = 129;
    assert_eq!(reply_to(reply), Err(Echo::NotRequest));
}

proptest! {
    #[test]
    fn every_reply_has_right_checksums_and_the_data_of_its_request(
        id: u16, seq: u16, data in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let reply = reply_to(request4(id, seq, &data)).unwrap();
        let ip = Ipv4Slice::from_slice(&reply).unwrap();
        prop_assert_eq!(checksum(ip.header().slice()), 0);
        let icmp = etherparse::Icmpv4Slice::from_slice(ip.payload().payload).unwrap();
        prop_assert_eq!(icmp.icmp_type(), Icmpv4Type::EchoReply(IcmpEchoHeader { id, seq }));
        prop_assert_eq!(icmp.checksum(), icmp.icmp_type().calc_checksum(&data));
        prop_assert_eq!(icmp.payload(), &data[..]);

        let reply = reply_to(request6(id, seq, &data)).unwrap();
        let ip = Ipv6Slice::from_slice(&reply).unwrap();
        let icmp = Icmpv6Slice::from_slice(ip.payload().payload).unwrap();
        prop_assert_eq!(icmp.icmp_type(), Icmpv6Type::EchoReply(IcmpEchoHeader { id, seq }));
        prop_assert!(icmp.is_checksum_valid(OURS6, HOST6));
        prop_assert_eq!(icmp.payload(), &data[..]);
    }

    #[test]
    fn any_bytes_give_no_panic_and_no_reply_longer_than_they_are(
        first in prop::sample::select(vec![0x45_u8, 0x4f, 0x60]),
        mut bytes in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        bytes[0] = first;
        let len = bytes.len();
        if let Echo::Reply { len: reply } = answer(&mut bytes, 0) {
            prop_assert!(reply <= len);
        }
    }
}
