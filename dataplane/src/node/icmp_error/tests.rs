//! Expected types, codes and limits are those of RFC 792, 1812 and 4443; `etherparse` reads what we
//! write and computes the checksums.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{Icmpv4Slice, Icmpv6Slice, Ipv4Slice, Ipv6Slice, PacketBuilder};
use proptest::prelude::*;

use super::*;

const HOST4: [u8; 4] = [10, 1, 0, 9];
const FAR4: [u8; 4] = [10, 2, 0, 9];
const OURS4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const HOST6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const FAR6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
const OURS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const NONE: Flags = Flags(0);

fn udp4(payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = vec![0xab; payload_len];
    PacketBuilder::ipv4(HOST4, FAR4, 1).udp(4000, 5000).write(&mut bytes, &payload).unwrap();
    bytes
}

fn udp6(payload_len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let payload = vec![0xab; payload_len];
    PacketBuilder::ipv6(HOST6, FAR6, 1).udp(4000, 5000).write(&mut bytes, &payload).unwrap();
    bytes
}

fn with(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

/// An IPv6 packet with this next header and these bytes behind the fixed header.
fn ipv6_of(next: u8, rest: &[u8]) -> Vec<u8> {
    let mut packet = udp6(0);
    packet.truncate(40);
    packet[4..6].copy_from_slice(&u16::try_from(rest.len()).unwrap().to_be_bytes());
    packet[6] = next;
    packet.extend(rest);
    packet
}

fn error_about(original: &[u8], error: IcmpError) -> Option<Vec<u8>> {
    let source = if original[0] >> 4 == 4 { IpAddr::V4(OURS4) } else { IpAddr::V6(OURS6) };
    let mut room = vec![0xee; 2048];
    let len = write(original, error, source, 0x1234, &mut room)?;
    room.truncate(len);
    Some(room)
}

/// Type, code and the four bytes behind the checksum, as `etherparse` reads them.
type Read = (u8, u8, [u8; 4]);

fn message_about(original: &[u8], error: IcmpError) -> Option<Read> {
    let packet = error_about(original, error)?;
    Some(if packet[0] >> 4 == 4 {
        let ip = Ipv4Slice::from_slice(&packet).unwrap();
        let icmp = Icmpv4Slice::from_slice(ip.payload().payload).unwrap();
        let header = ip.header();
        assert_eq!(header.to_header().calc_header_checksum(), header.header_checksum());
        let sum = etherparse::checksum::Sum16BitWords::new().add_slice(ip.payload().payload);
        assert_eq!(sum.ones_complement(), 0, "the checksum of the message");
        (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8())
    } else {
        let ip = Ipv6Slice::from_slice(&packet).unwrap();
        let icmp = Icmpv6Slice::from_slice(ip.payload().payload).unwrap();
        assert!(icmp.is_checksum_valid(ip.header().source(), ip.header().destination()));
        (icmp.type_u8(), icmp.code_u8(), icmp.bytes5to8())
    })
}

#[test]
fn every_error_has_the_type_and_code_of_its_family() {
    use IcmpError as E;
    // Error; IPv4: type, code, bytes 5 to 8; IPv6: the same.
    let table: [(E, Option<Read>, Option<Read>); 13] = [
        (E::TimeExceeded, Some((11, 0, [0; 4])), Some((3, 0, [0; 4]))),
        (E::ReassemblyTimeExceeded, Some((11, 1, [0; 4])), Some((3, 1, [0; 4]))),
        (E::NoRoute, Some((3, 0, [0; 4])), Some((1, 0, [0; 4]))),
        (E::Prohibited, Some((3, 13, [0; 4])), Some((1, 1, [0; 4]))),
        (E::HostUnreachable, Some((3, 1, [0; 4])), Some((1, 3, [0; 4]))),
        (E::ProtocolUnreachable, Some((3, 2, [0; 4])), Some((4, 1, [0, 0, 0, 6]))),
        (E::PortUnreachable, Some((3, 3, [0; 4])), Some((1, 4, [0; 4]))),
        (E::TooBig { mtu: 1480 }, Some((3, 4, [0, 0, 5, 200])), Some((2, 0, [0, 0, 5, 200]))),
        (E::TooBig { mtu: 20 }, Some((3, 4, [0, 0, 0, 68])), Some((2, 0, [0, 0, 5, 0]))),
        (E::EncapLimit { pointer: 44 }, None, Some((4, 0, [0, 0, 0, 44]))),
        (
            E::ParameterProblem { code: 1, pointer: 20 },
            Some((12, 1, [20, 0, 0, 0])),
            Some((4, 1, [0, 0, 0, 20])),
        ),
        (E::ParameterProblem { code: 0, pointer: 300 }, None, Some((4, 0, [0, 0, 1, 44]))),
        (
            E::ParameterProblem { code: 2, pointer: 42 },
            Some((12, 2, [42, 0, 0, 0])),
            Some((4, 2, [0, 0, 0, 42])),
        ),
    ];
    for (error, ipv4, ipv6) in table {
        assert_eq!(message_about(&udp4(30), error), ipv4, "IPv4 {error:?}");
        assert_eq!(message_about(&udp6(30), error), ipv6, "IPv6 {error:?}");
    }
}

#[test]
fn what_a_family_has_no_message_for_is_not_answered() {
    let limit = IcmpError::EncapLimit { pointer: 44 };
    assert!(!may_answer(&udp4(30), limit, Flags::NONE));
    assert!(may_answer(&udp6(30), limit, Flags::NONE));
    assert_eq!(limit.without(0), limit);
    assert_eq!(limit.without(48), IcmpError::HostUnreachable);
}

#[test]
fn protocol_unreachable_points_at_the_field_that_names_the_unknown_header() {
    let destination_options = [200, 0, 1, 4, 0, 0, 0, 0, 9, 9, 9, 9];
    let packet = ipv6_of(60, &destination_options);
    let message = message_about(&packet, IcmpError::ProtocolUnreachable);
    assert_eq!(message, Some((4, 1, [0, 0, 0, 40])));
}

#[test]
fn an_ipv4_error_has_the_header_that_rfc_1812_asks_for_and_quotes_the_packet() {
    let original = udp4(30);
    let error = error_about(&original, IcmpError::TimeExceeded).unwrap();
    let ip = Ipv4Slice::from_slice(&error).unwrap();
    let header = ip.header();
    assert_eq!((header.source(), header.destination()), (OURS4.octets(), HOST4));
    assert_eq!((header.dcp().value(), header.ecn().value()), (48, 0));
    assert_eq!((header.ttl(), header.identification()), (64, 0x1234));
    assert!(!header.dont_fragment() && !header.more_fragments());
    assert_eq!(error[28..], original);
}

#[test]
fn an_ipv6_error_has_a_hop_limit_of_64_and_quotes_the_packet() {
    let original = udp6(30);
    let error = error_about(&original, IcmpError::TimeExceeded).unwrap();
    let ip = Ipv6Slice::from_slice(&error).unwrap();
    assert_eq!((ip.header().source(), ip.header().destination()), (OURS6.octets(), HOST6));
    assert_eq!(ip.header().hop_limit(), 64);
    assert_eq!(error[48..], original);
}

#[test]
fn errors_about_large_packets_are_as_large_as_the_family_allows() {
    let original = udp4(1452);
    let error = error_about(&original, IcmpError::TooBig { mtu: 1400 }).unwrap();
    assert_eq!(error.len(), 576);
    assert_eq!(error[28..], original[..548]);
    let original = udp6(1452);
    let error = error_about(&original, IcmpError::TooBig { mtu: 1400 }).unwrap();
    assert_eq!(error.len(), 1280);
    assert_eq!(error[48..], original[..1232]);
}

#[test]
fn padding_behind_the_packet_is_not_quoted() {
    for original in [udp4(3), udp6(3)] {
        let padded = [&original[..], &[0; 15]].concat();
        let error = IcmpError::NoRoute;
        assert_eq!(error_about(&padded, error), error_about(&original, error));
    }
}

#[test]
fn a_small_room_shortens_the_quote_but_not_below_header_and_eight_bytes() {
    let original = udp4(100);
    let source = IpAddr::V4(OURS4);
    let mut room = [0; 57];
    assert_eq!(write(&original, IcmpError::NoRoute, source, 0, &mut room), Some(57));
    assert!(Ipv4Slice::from_slice(&room).is_ok());
    assert_eq!(write(&original, IcmpError::NoRoute, source, 0, &mut room[..56]), Some(56));
    assert_eq!(write(&original, IcmpError::NoRoute, source, 0, &mut room[..55]), None);
    assert_eq!(write(&original, IcmpError::NoRoute, source, 0, &mut []), None);
}

#[test]
fn a_source_of_the_other_family_gives_no_error() {
    let mut room = [0; 1500];
    let error = IcmpError::NoRoute;
    assert_eq!(write(&udp4(9), error, IpAddr::V6(OURS6), 0, &mut room), None);
    assert_eq!(write(&udp6(9), error, IpAddr::V4(OURS4), 0, &mut room), None);
}

#[test]
fn an_ordinary_packet_may_be_answered() {
    let mut decapped = NONE;
    decapped.count_decap();
    for error in [IcmpError::TimeExceeded, IcmpError::TooBig { mtu: 1400 }, IcmpError::NoRoute] {
        assert!(may_answer(&udp4(9), error, NONE));
        assert!(may_answer(&udp6(9), error, NONE));
        assert!(may_answer(&udp4(9), error, decapped));
    }
}

#[test]
fn packets_of_our_own_and_frames_to_a_group_are_not_answered() {
    for flags in [Flags::LOCAL, Flags::L2_GROUP] {
        assert!(!may_answer(&udp4(9), IcmpError::TimeExceeded, flags));
        assert!(!may_answer(&udp6(9), IcmpError::TimeExceeded, flags));
    }
    assert!(!may_answer(&udp4(9), IcmpError::TooBig { mtu: 1280 }, Flags::L2_GROUP));
}

#[test]
fn icmp_errors_are_never_answered_and_queries_are() {
    let error = IcmpError::TimeExceeded;
    for kind in 0..=255 {
        //= RFC 1122 §3.2.2: 3, 4, 5, 11 and 12 are errors.
        let packet = with(with(udp4(9), 9, &[1]), 20, &[kind]);
        let is_error = [3, 4, 5, 11, 12].contains(&kind);
        assert_eq!(may_answer(&packet, error, NONE), !is_error, "ICMP type {kind}");
        //= RFC 4443 §2.1: errors have types below 128; redirect is 137.
        let packet = with(with(udp6(9), 6, &[58]), 40, &[kind]);
        let is_error = kind < 128 || kind == 137;
        assert_eq!(may_answer(&packet, error, NONE), !is_error, "ICMPv6 type {kind}");
    }
}

#[test]
fn an_icmpv6_error_behind_extension_headers_is_recognised() {
    for (kind, answered) in [(1, false), (128, true)] {
        let rest = [60, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0];
        let packet = ipv6_of(0, &rest);
        assert_eq!(may_answer(&packet, IcmpError::TimeExceeded, NONE), answered, "type {kind}");
    }
    let chain = [60, 0, 1, 4, 0, 0, 0, 0].repeat(20);
    assert!(!may_answer(&ipv6_of(60, &chain), IcmpError::TimeExceeded, NONE), "no end in sight");
    assert!(!may_answer(&ipv6_of(58, &[]), IcmpError::TimeExceeded, NONE), "no type");
}

#[test]
fn fragments_other_than_the_first_are_not_answered() {
    let more = with(udp4(40), 6, &[0x20, 0]);
    assert!(may_answer(&more, IcmpError::TimeExceeded, NONE), "the first fragment");
    for field in [[0x20, 1], [0, 1], [0x1f, 0xff]] {
        let packet = with(udp4(40), 6, &field);
        assert!(!may_answer(&packet, IcmpError::TimeExceeded, NONE), "{field:?}");
    }
    let first = ipv6_of(44, &[17, 0, 0, 1, 0, 0, 0, 1, 1, 1, 2, 2, 0, 8, 0, 0]);
    assert!(may_answer(&first, IcmpError::TooBig { mtu: 1280 }, NONE));
    let last = ipv6_of(44, &[17, 0, 0, 8, 0, 0, 0, 1, 1, 1, 2, 2, 0, 8, 0, 0]);
    assert!(!may_answer(&last, IcmpError::TooBig { mtu: 1280 }, NONE));
}

#[test]
fn ipv4_groups_and_sources_that_are_no_host_are_not_answered() {
    let bad = [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 5], [239, 1, 1, 1]];
    for address in bad.into_iter().chain([[240, 0, 0, 1], [255; 4]]) {
        for at in [12, 16] {
            let packet = with(udp4(9), at, &address);
            assert!(!may_answer(&packet, IcmpError::NoRoute, NONE), "{address:?} at {at}");
        }
    }
    for address in [[1, 0, 0, 1], [126, 255, 255, 255], [128, 0, 0, 1], [223, 255, 255, 254]] {
        assert!(may_answer(&with(udp4(9), 12, &address), IcmpError::NoRoute, NONE), "{address:?}");
    }
}

#[test]
fn ipv6_sources_that_are_no_host_are_not_answered() {
    for address in ["::", "::1", "ff02::1", "ff0e::9", "::ffff:10.1.0.9"] {
        let octets = address.parse::<Ipv6Addr>().unwrap().octets();
        let packet = with(udp6(9), 8, &octets);
        assert!(!may_answer(&packet, IcmpError::TooBig { mtu: 1280 }, NONE), "{address}");
    }
    let link_local = "fe80::9".parse::<Ipv6Addr>().unwrap().octets();
    assert!(may_answer(&with(udp6(9), 8, &link_local), IcmpError::NoRoute, NONE));
}

#[test]
fn ipv6_groups_are_answered_with_too_big_and_unknown_options_alone() {
    let group = "ff0e::9".parse::<Ipv6Addr>().unwrap().octets();
    let packet = with(udp6(9), 24, &group);
    for (error, answered) in [
        (IcmpError::TooBig { mtu: 1280 }, true),
        (IcmpError::ParameterProblem { code: 2, pointer: 42 }, true),
        (IcmpError::ParameterProblem { code: 1, pointer: 6 }, false),
        (IcmpError::TimeExceeded, false),
        (IcmpError::NoRoute, false),
    ] {
        assert_eq!(may_answer(&packet, error, NONE), answered, "{error:?}");
        assert_eq!(may_answer(&packet, error, Flags::L2_GROUP), answered, "{error:?} to a group");
        assert!(!may_answer(&packet, error, Flags::LOCAL), "{error:?} about our own");
    }
}

fn any_error() -> impl Strategy<Value = IcmpError> {
    prop_oneof![
        prop::sample::select(vec![
            IcmpError::TimeExceeded,
            IcmpError::ReassemblyTimeExceeded,
            IcmpError::NoRoute,
            IcmpError::Prohibited,
            IcmpError::HostUnreachable,
            IcmpError::ProtocolUnreachable,
            IcmpError::PortUnreachable,
        ]),
        any::<u16>().prop_map(|mtu| IcmpError::TooBig { mtu }),
        any::<u16>().prop_map(|pointer| IcmpError::EncapLimit { pointer }),
        any::<(u8, u16)>()
            .prop_map(|(code, pointer)| IcmpError::ParameterProblem { code, pointer }),
    ]
}

proptest! {
    #[test]
    fn any_bytes_give_no_panic_and_no_packet_beyond_the_limits(
        first in prop::sample::select(vec![0x45_u8, 0x4f, 0x40, 0x60, 0x6f, 0x00]),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        error in any_error(), flags: u16, room_len in 0_usize..2000,
    ) {
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        may_answer(&bytes, error, Flags(flags));
        let mut room = vec![0; room_len];
        for source in [IpAddr::V4(OURS4), IpAddr::V6(OURS6)] {
            if let Some(len) = write(&bytes, error, source, 0, &mut room) {
                prop_assert!(len <= room_len);
                let max = if source.is_ipv4() { IPV4_MAX } else { IPV6_MAX };
                prop_assert!(len <= max);
                let written = &room[..len];
                match source {
                    IpAddr::V4(_) => {
                        let ip = Ipv4Slice::from_slice(written).unwrap();
                        prop_assert_eq!(checksum(ip.payload().payload), 0);
                    }
                    IpAddr::V6(_) => {
                        let ip = Ipv6Slice::from_slice(written).unwrap();
                        let icmp = Icmpv6Slice::from_slice(ip.payload().payload).unwrap();
                        let header = ip.header();
                        prop_assert!(icmp.is_checksum_valid(header.source(), header.destination()));
                    }
                }
            }
        }
    }
}
