//! Builds the ICMP messages of the suite: echo, and the errors we expect about a packet.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};

use crate::addresses::{ROUTER, ROUTER6, U, U6};
use crate::frames::{Ipv4Packet, Ipv6Packet, pattern};

const ECHO: IcmpEchoHeader = IcmpEchoHeader { id: 0x4242, seq: 7 };

/// Type and code.
pub(crate) type Kind = (u8, u8);

pub(crate) const UNREACHABLE_NET: Kind = (3, 0);
pub(crate) const UNREACHABLE_HOST: Kind = (3, 1);
pub(crate) const UNREACHABLE_PORT: Kind = (3, 3);
pub(crate) const FRAG_NEEDED: Kind = (3, 4);
pub(crate) const PROHIBITED: Kind = (3, 13);
pub(crate) const TTL_EXPIRED: Kind = (11, 0);
pub(crate) const PIECES_MISSING: Kind = (11, 1);

pub(crate) const NO_ROUTE6: Kind = (1, 0);
pub(crate) const PROHIBITED6: Kind = (1, 1);
pub(crate) const UNREACHABLE_ADDRESS6: Kind = (1, 3);
pub(crate) const TOO_BIG6: Kind = (2, 0);
pub(crate) const HOP_EXPIRED6: Kind = (3, 0);
pub(crate) const PIECES_MISSING6: Kind = (3, 1);
pub(crate) const PARAMETER6: Kind = (4, 0);

pub(crate) fn echo_request4(source: Ipv4Addr, destination: Ipv4Addr, total: usize) -> Ipv4Packet {
    echo4(source, destination, Icmpv4Type::EchoRequest(ECHO), total)
}

pub(crate) fn echo_reply4(source: Ipv4Addr, destination: Ipv4Addr, total: usize) -> Ipv4Packet {
    echo4(source, destination, Icmpv4Type::EchoReply(ECHO), total)
}

fn echo4(source: Ipv4Addr, destination: Ipv4Addr, kind: Icmpv4Type, total: usize) -> Ipv4Packet {
    let data = pattern(total - 28);
    let header = Icmpv4Header::with_checksum(kind, &data);
    let message = [header.to_bytes().as_slice(), &data].concat();
    Ipv4Packet::new(source, destination, 1, message).id(0x5a5a)
}

pub(crate) fn echo_request6(source: Ipv6Addr, destination: Ipv6Addr, total: usize) -> Ipv6Packet {
    icmp6(source, destination, Icmpv6Type::EchoRequest(ECHO), &pattern(total - 48))
}

pub(crate) fn echo_reply6(source: Ipv6Addr, destination: Ipv6Addr, total: usize) -> Ipv6Packet {
    icmp6(source, destination, Icmpv6Type::EchoReply(ECHO), &pattern(total - 48))
}

fn icmp6(source: Ipv6Addr, destination: Ipv6Addr, kind: Icmpv6Type, data: &[u8]) -> Ipv6Packet {
    let header =
        Icmpv6Header::with_checksum(kind, source.octets(), destination.octets(), data).unwrap();
    let message = [header.to_bytes().as_slice(), data].concat();
    Ipv6Packet::new(source, destination, 58, message)
}

/// An ICMPv6 message of any type, hop limit 255 as neighbor discovery wants it.
pub(crate) fn icmp6_raw(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    kind: Kind,
    word: [u8; 4],
    data: &[u8],
) -> Ipv6Packet {
    let raw = Icmpv6Type::Unknown { type_u8: kind.0, code_u8: kind.1, bytes5to8: word };
    icmp6(source, destination, raw, data).hop_limit(255)
}

/// The error that we send about `about`: as much of it as fits 576 bytes, precedence 6, DF clear.
pub(crate) fn error4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    kind: Kind,
    word: u32,
    about: impl Into<Vec<u8>>,
) -> Ipv4Packet {
    let mut quote: Vec<u8> = about.into();
    quote.truncate(576 - 28);
    let header = Icmpv4Header::with_checksum(
        Icmpv4Type::Unknown { type_u8: kind.0, code_u8: kind.1, bytes5to8: word.to_be_bytes() },
        &quote,
    );
    let message = [header.to_bytes().as_slice(), &quote].concat();
    Ipv4Packet::new(source, destination, 1, message).tos(0xc0).dont_fragment(false)
}

/// The same from a router of the underlay, which quotes `about` as it is given.
pub(crate) fn underlay4(kind: Kind, word: u32, about: impl Into<Vec<u8>>) -> Ipv4Packet {
    error4(ROUTER, U, kind, word, about)
}

/// The same in ICMPv6.
pub(crate) fn underlay6(kind: Kind, word: u32, about: impl Into<Vec<u8>>) -> Ipv6Packet {
    error6(ROUTER6, U6, kind, word, about)
}

/// The same in ICMPv6: up to 1280 bytes.
pub(crate) fn error6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    kind: Kind,
    word: u32,
    about: impl Into<Vec<u8>>,
) -> Ipv6Packet {
    let mut quote: Vec<u8> = about.into();
    quote.truncate(1280 - 48);
    icmp6_raw(source, destination, kind, word.to_be_bytes(), &quote).hop_limit(64)
}
