//! The IPv4 header (RFC 791).

use core::net::Ipv4Addr;

use super::checksum::{checksum, update};
use super::{read_u16, read_u32, write_u16, write_u32};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// The same, as lengths stand in headers.
pub const HEADER_LEN_U16: u16 = 20;

/// Bytes of a header with all the options that there is room for.
pub const HEADER_LEN_MAX: usize = 60;

/// Don't fragment.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The offset's bits, in units of 8 bytes.
pub const OFFSET_MASK: u16 = 0x1fff;

/// The smallest MTU that a link may have (RFC 791).
pub const MTU_MIN: u16 = 68;

/// Whether an address is one that no host may have (RFC 1812 §5.3.7): in 0/8, 127/8, multicast or class E.
#[inline]
pub const fn is_martian(address: u32) -> bool {
    let net = address >> 24;
    net == 0 || net == 127 || net >= 224
}

/// Where the fields are.
pub mod offset {
    /// DSCP and ECN.
    pub const TOS: usize = 1;
    /// Header and payload, in bytes.
    pub const TOTAL_LENGTH: usize = 2;
    /// Identification.
    pub const IDENTIFICATION: usize = 4;
    /// Flags and fragment offset.
    pub const FRAGMENT: usize = 6;
    /// Time to live.
    pub const TTL: usize = 8;
    /// Protocol of the payload.
    pub const PROTOCOL: usize = 9;
    /// Header checksum.
    pub const CHECKSUM: usize = 10;
    /// Source address.
    pub const SOURCE: usize = 12;
    /// Destination address.
    pub const DESTINATION: usize = 16;
}

/// What is wrong with a header (RFC 1812 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Error {
    /// Fewer than 20 bytes.
    Short,
    /// The version is not 4.
    Version,
    /// The header is said to be shorter than 20 bytes or longer than the packet, or the total
    /// length shorter than the header.
    Length,
    /// The packet claims more bytes than there are.
    Truncated,
    /// The header checksum is wrong.
    Checksum,
}

/// A packet whose header has been checked; reads the fields.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<'a> {
    bytes: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// Checks version, lengths and checksum of the packet that `bytes` starts with. Bytes behind
    /// the total length (Ethernet padding) are left out of the result.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Ipv4Error> {
        Self::parse_received(bytes, false)
    }

    /// As [`parse`](Self::parse), but the checksum of a header that somebody has found right
    /// (`has_good_checksum`) is not summed up again.
    #[inline]
    pub fn parse_received(bytes: &'a [u8], has_good_checksum: bool) -> Result<Self, Ipv4Error> {
        //= RFC 1812 §5.2.2: link length, checksum, version, header length, total length, in this
        //= order of importance; any failure discards silently.
        let Some(first) = bytes.first_chunk::<HEADER_LEN>() else { return Err(Ipv4Error::Short) };
        if first[0] >> 4 != 4 {
            return Err(Ipv4Error::Version);
        }
        let header_len = usize::from(first[0] & 15) * 4;
        let total_len = usize::from(u16::from_be_bytes([first[2], first[3]]));
        if header_len == HEADER_LEN {
            if !has_good_checksum && checksum_of_20(first) != 0 {
                return Err(Ipv4Error::Checksum);
            }
        } else {
            let header = bytes.get(..header_len).filter(|header| header.len() > HEADER_LEN);
            let header = header.ok_or(Ipv4Error::Length)?;
            if !has_good_checksum && checksum(header) != 0 {
                return Err(Ipv4Error::Checksum);
            }
        }
        if total_len < header_len {
            return Err(Ipv4Error::Length);
        }
        match bytes.get(..total_len) {
            Some(bytes) => Ok(Self { bytes }),
            None => Err(Ipv4Error::Truncated),
        }
    }

    /// For bytes that have been through [`parse`](Self::parse), or that this node has made.
    #[inline]
    pub fn trusted(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Header and payload, without padding.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes of the header, options included.
    #[inline]
    pub fn header_len(&self) -> usize {
        self.bytes.first().map_or(0, |first| usize::from(first & 15) * 4)
    }

    /// Bytes of the packet.
    #[inline]
    pub fn total_len(&self) -> u16 {
        read_u16(self.bytes, offset::TOTAL_LENGTH)
    }

    /// DSCP and ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.byte(offset::TOS)
    }

    /// Flags and fragment offset, as they stand.
    #[inline]
    pub fn fragment_field(&self) -> u16 {
        read_u16(self.bytes, offset::FRAGMENT)
    }

    /// Whether it is a fragment: the first, the last, or one between.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment_field() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Whether routers may not fragment it.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.fragment_field() & DONT_FRAGMENT != 0
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.byte(offset::TTL)
    }

    /// Protocol of the payload.
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.byte(offset::PROTOCOL)
    }

    /// Source, as a number.
    #[inline]
    pub fn source(&self) -> u32 {
        read_u32(self.bytes, offset::SOURCE)
    }

    /// Destination, as a number.
    #[inline]
    pub fn destination(&self) -> u32 {
        read_u32(self.bytes, offset::DESTINATION)
    }

    /// Options of the header; empty for most.
    pub fn options(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..self.header_len()).unwrap_or(&[])
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_len()..).unwrap_or(&[])
    }

    /// Whether the options name a route that the sender wants (LSRR, SSRR).
    pub fn has_source_route(&self) -> bool {
        Options(self.options()).any(|kind| kind == OPTION_LSRR || kind == OPTION_SSRR)
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}

const OPTION_LSRR: u8 = 131;
const OPTION_SSRR: u8 = 137;

/// The kinds of the options, up to the first that makes no sense.
struct Options<'a>(&'a [u8]);

impl Iterator for Options<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let kind = *self.0.first()?;
        let len = match kind {
            0 => return None,
            1 => 1,
            _ => usize::from(*self.0.get(1)?),
        };
        if len == 0 || (kind != 1 && len < 2) {
            self.0 = &[];
            return Some(kind);
        }
        self.0 = self.0.get(len..).unwrap_or(&[]);
        Some(kind)
    }
}

/// The checksum over a header of the usual size, in registers.
#[inline]
pub fn checksum_of_20(header: &[u8; HEADER_LEN]) -> u16 {
    let mut sum = 0_u64;
    for word in header.chunks_exact(4) {
        sum += u64::from(read_u32(word, 0));
    }
    !super::checksum::fold(sum)
}

/// Takes one off the time to live and mends the checksum. The header has been checked and its TTL
/// is not 0.
#[inline]
pub fn decrement_ttl(bytes: &mut [u8]) {
    let old = read_u16(bytes, offset::TTL);
    let new = old.wrapping_sub(0x0100);
    write_u16(bytes, offset::TTL, new);
    let check = update(read_u16(bytes, offset::CHECKSUM), old, new);
    write_u16(bytes, offset::CHECKSUM, check);
}

/// Sets DSCP and ECN and mends the checksum.
#[inline]
pub fn set_tos(bytes: &mut [u8], tos: u8) {
    let old = read_u16(bytes, 0);
    let new = old & 0xff00 | u16::from(tos);
    write_u16(bytes, 0, new);
    let check = update(read_u16(bytes, offset::CHECKSUM), old, new);
    write_u16(bytes, offset::CHECKSUM, check);
}

/// Sets the destination and mends the checksum.
pub fn set_destination(bytes: &mut [u8], destination: u32) {
    write_u32(bytes, offset::DESTINATION, destination);
    write_checksum(bytes);
}

/// Computes the checksum of a header anew.
pub fn write_checksum(bytes: &mut [u8]) {
    write_u16(bytes, offset::CHECKSUM, 0);
    let header_len = Ipv4::trusted(bytes).header_len();
    let check = bytes.get(..header_len).map_or(0, checksum);
    write_u16(bytes, offset::CHECKSUM, check);
}

/// What a packet that this node makes has in its header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Fields {
    /// DSCP and ECN.
    pub tos: u8,
    /// Bytes behind the header.
    pub payload_len: u16,
    /// Identification.
    pub identification: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
}

impl Ipv4Fields {
    /// The header, with its checksum. A payload that would pass 65535 bytes is not counted beyond.
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[0] = 0x45;
        header[offset::TOS] = self.tos;
        write_u16(&mut header, offset::TOTAL_LENGTH, self.payload_len.saturating_add(20));
        write_u16(&mut header, offset::IDENTIFICATION, self.identification);
        write_u16(&mut header, offset::FRAGMENT, self.fragment);
        header[offset::TTL] = self.ttl;
        header[offset::PROTOCOL] = self.protocol;
        header[offset::SOURCE..offset::DESTINATION].copy_from_slice(&self.source.octets());
        header[offset::DESTINATION..].copy_from_slice(&self.destination.octets());
        let check = checksum_of_20(&header);
        write_u16(&mut header, offset::CHECKSUM, check);
        header
    }
}
