//! The IPv6 header (RFC 8200) and the walk over its extension headers.

use core::net::Ipv6Addr;

use super::{protocol, read_u16, read_u32, read_u128, write_u16, write_u32};

/// Bytes of the header.
pub const HEADER_LEN: usize = 40;
/// The same, as lengths stand in headers.
pub const HEADER_LEN_U16: u16 = 40;

/// The smallest MTU that IPv6 allows a link to have.
pub const MINIMUM_MTU: u16 = 1280;

/// Where the fields are.
pub mod offset {
    /// Bytes behind the header.
    pub const PAYLOAD_LENGTH: usize = 4;
    /// What follows.
    pub const NEXT_HEADER: usize = 6;
    /// Hop limit.
    pub const HOP_LIMIT: usize = 7;
    /// Source address.
    pub const SOURCE: usize = 8;
    /// Destination address.
    pub const DESTINATION: usize = 24;
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Error {
    /// Fewer than 40 bytes.
    Short,
    /// The version is not 6.
    Version,
    /// The packet claims more bytes than there are.
    Truncated,
}

/// A packet whose header has been checked; reads the fields.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<'a> {
    bytes: &'a [u8],
}

impl<'a> Ipv6<'a> {
    /// Checks version and length of the packet that `bytes` starts with. Bytes behind the payload
    /// (Ethernet padding) are left out of the result.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Ipv6Error> {
        let Some(first) = bytes.first_chunk::<HEADER_LEN>() else { return Err(Ipv6Error::Short) };
        if first[0] >> 4 != 6 {
            return Err(Ipv6Error::Version);
        }
        let len = HEADER_LEN + usize::from(u16::from_be_bytes([first[4], first[5]]));
        match bytes.get(..len) {
            Some(bytes) => Ok(Self { bytes }),
            None => Err(Ipv6Error::Truncated),
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

    /// Bytes of the packet.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + usize::from(read_u16(self.bytes, offset::PAYLOAD_LENGTH))
    }

    /// DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (read_u16(self.bytes, 0) >> 4 & 0xff) as u8
    }

    /// The flow label.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        read_u32(self.bytes, 0) & 0xf_ffff
    }

    /// What follows the header.
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.byte(offset::NEXT_HEADER)
    }

    /// Hop limit.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.byte(offset::HOP_LIMIT)
    }

    /// Source, as a number.
    #[inline]
    pub fn source(&self) -> u128 {
        read_u128(self.bytes, offset::SOURCE)
    }

    /// Destination, as a number.
    #[inline]
    pub fn destination(&self) -> u128 {
        read_u128(self.bytes, offset::DESTINATION)
    }

    /// Walks over the extension headers to what they carry.
    pub fn upper_layer(&self) -> UpperLayer {
        walk_extensions(self.bytes, self.next_header(), HEADER_LEN)
    }

    #[inline]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}

/// What the extension headers of a packet say, and what follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer {
    /// The first header that is not an extension header, or the extension header that could not be
    /// read (see `error`).
    pub protocol: u8,
    /// Where it begins, from the start of the IPv6 header.
    pub offset: usize,
    /// The fragment header, if there is one: where it begins.
    pub fragment: Option<usize>,
    /// A routing header of type 0, whatever its segments left.
    pub type_0_routing: bool,
    /// A routing header with segments left that this node does not process: where it begins.
    pub segments_left: Option<usize>,
    /// Why the walk ended early.
    pub error: Option<ExtensionError>,
}

/// Why extension headers could not be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionError {
    /// A header reaches beyond the packet.
    Truncated,
    /// More than [`EXTENSIONS_MAX`] of them, or hop-by-hop options not in first place.
    Order,
}

/// The most extension headers that are walked.
pub const EXTENSIONS_MAX: usize = 8;

fn walk_extensions(bytes: &[u8], first: u8, at: usize) -> UpperLayer {
    let mut found = UpperLayer {
        protocol: first,
        offset: at,
        fragment: None,
        type_0_routing: false,
        segments_left: None,
        error: None,
    };
    for position in 0..=EXTENSIONS_MAX {
        let header = bytes.get(found.offset..).unwrap_or(&[]);
        let is_extension = matches!(
            found.protocol,
            protocol::HOP_BY_HOP
                | protocol::ROUTING
                | protocol::FRAGMENT
                | protocol::DESTINATION_OPTIONS
        );
        if !is_extension {
            return found;
        }
        if position == EXTENSIONS_MAX || (found.protocol == protocol::HOP_BY_HOP && position > 0) {
            found.error = Some(ExtensionError::Order);
            return found;
        }
        let Some(&[next, len_field, kind, segments_left]) = header.first_chunk::<4>() else {
            found.error = Some(ExtensionError::Truncated);
            return found;
        };
        let len = match found.protocol {
            protocol::FRAGMENT => 8,
            _ => (usize::from(len_field) + 1) * 8,
        };
        if header.len() < len {
            found.error = Some(ExtensionError::Truncated);
            return found;
        }
        match found.protocol {
            protocol::ROUTING => {
                found.type_0_routing |= kind == 0;
                if segments_left != 0 {
                    found.segments_left = found.segments_left.or(Some(found.offset));
                }
            }
            protocol::FRAGMENT => {
                found.fragment = Some(found.offset);
                let offset_and_more = read_u16(header, 2) & 0xfff9;
                if offset_and_more & 0xfff8 != 0 {
                    // Not the first fragment: what follows is a piece of something.
                    found.protocol = next;
                    found.offset += len;
                    return found;
                }
            }
            _ => {}
        }
        found.protocol = next;
        found.offset += len;
    }
    found
}

/// Takes one off the hop limit, which is not 0.
#[inline]
pub fn decrement_hop_limit(bytes: &mut [u8]) {
    if let Some(limit) = bytes.get_mut(offset::HOP_LIMIT) {
        *limit = limit.wrapping_sub(1);
    }
}

/// Sets the destination.
#[inline]
pub fn set_destination(bytes: &mut [u8], destination: u128) {
    let place = bytes.get_mut(offset::DESTINATION..HEADER_LEN);
    if let Some(place) = place.and_then(<[u8]>::first_chunk_mut) {
        *place = destination.to_be_bytes();
    }
}

/// Sets DSCP and ECN.
#[inline]
pub fn set_traffic_class(bytes: &mut [u8], class: u8) {
    let word = read_u16(bytes, 0) & 0xf00f | u16::from(class) << 4;
    write_u16(bytes, 0, word);
}

/// What a packet that this node makes has in its header.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Fields {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label; its upper 12 bits are ignored.
    pub flow_label: u32,
    /// Bytes behind the header.
    pub payload_len: u16,
    /// What follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub source: Ipv6Addr,
    /// Destination.
    pub destination: Ipv6Addr,
}

impl Ipv6Fields {
    /// The header.
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        let class = u32::from(self.traffic_class) << 20;
        write_u32(&mut header, 0, 6 << 28 | class | self.flow_label & 0xf_ffff);
        write_u16(&mut header, offset::PAYLOAD_LENGTH, self.payload_len);
        header[offset::NEXT_HEADER] = self.next_header;
        header[offset::HOP_LIMIT] = self.hop_limit;
        header[offset::SOURCE..offset::DESTINATION].copy_from_slice(&self.source.octets());
        header[offset::DESTINATION..].copy_from_slice(&self.destination.octets());
        header
    }
}
