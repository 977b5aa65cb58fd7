//! What the headers of a fragment say: which packet it is a piece of, and which part.

use crate::counters::Counter;
use crate::node::icmp_error::IcmpError;
use crate::node::options::Extensions;
use crate::stage::Verdict;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{protocol, read_u16, read_u32};

/// What all pieces of a packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(super) source: u128,
    pub(super) destination: u128,
    pub(super) identification: u32,
    /// Of IPv4; RFC 8200 leaves it out for IPv6.
    pub(super) protocol: u8,
    pub(super) is_ipv6: bool,
    /// How many tunnels of this node they have left: pieces that came in plain have no business with
    /// those out of a tunnel.
    pub(super) depth: u8,
}

impl Key {
    /// Of a piece of IPv4 that has left no tunnel, from and to these addresses.
    #[inline]
    pub(crate) fn ipv4(
        (source, destination): (u32, u32),
        identification: u16,
        protocol: u8,
    ) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            identification: identification.into(),
            protocol,
            is_ipv6: false,
            depth: 0,
        }
    }

    /// The same of IPv6.
    #[inline]
    pub(crate) fn ipv6((source, destination): (u128, u128), identification: u32) -> Self {
        Self { source, destination, identification, protocol: 0, is_ipv6: true, depth: 0 }
    }
}

/// Whether a piece of `len` bytes of payload from `start` on is one that can be put together with others, where the
/// header in front takes `front_len` bytes of the largest length of a packet.
#[inline]
pub(crate) fn is_sound(start: usize, len: usize, is_last: bool, front_len: usize) -> bool {
    len > 0
        && (is_last || len.is_multiple_of(UNIT))
        && u16::try_from(front_len + start + len).is_ok()
}

/// A piece of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub(super) key: Key,
    /// Where its part of the payload begins in the fragment, from the IP header on.
    pub(super) payload_at: usize,
    /// Bytes in front of the payload that is put together.
    pub(super) front_len: usize,
    /// Where its part begins in that payload, in bytes, and where it ends.
    pub(super) start: u16,
    pub(super) end: u16,
    pub(super) is_last: bool,
    /// It is the first, and not even the header of what the packet carries is in it.
    pub(super) is_tiny: bool,
    /// DSCP and ECN.
    pub(super) tos: u8,
    pub(super) ttl: u8,
}

/// Offsets count units of this many bytes.
const UNIT: usize = 8;

/// Bytes of an IPv6 fragment header.
pub(super) const FRAGMENT_HEADER_LEN: usize = 8;

impl Piece {
    /// Of a fragment with a checked IP header.
    ///
    /// # Errors
    /// When it can be no piece of anything: what is to happen with it.
    pub fn read(packet: &[u8], depth: u8) -> Result<Self, Verdict> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Self::read_ipv4(Ipv4::trusted(packet), depth),
            _ => Self::read_ipv6(Ipv6::trusted(packet), depth),
        }
    }

    fn read_ipv4(header: Ipv4<'_>, depth: u8) -> Result<Self, Verdict> {
        let (field, front_len) = (header.fragment_field(), header.header_len());
        let start = usize::from(field & ipv4::OFFSET_MASK) * UNIT;
        let is_last = field & ipv4::MORE_FRAGMENTS == 0;
        let payload = header.payload();
        if payload.is_empty() || !(is_last || payload.len().is_multiple_of(UNIT)) {
            return Err(Verdict::drop(Counter::Ip4BadHeader));
        }
        let end = start + payload.len();
        if front_len + end > usize::from(u16::MAX) {
            return Err(Verdict::drop(Counter::ReasmOversize));
        }
        Ok(Self {
            key: Key {
                source: header.source().into(),
                destination: header.destination().into(),
                identification: read_u16(header.bytes(), ipv4::offset::IDENTIFICATION).into(),
                protocol: header.protocol(),
                is_ipv6: false,
                depth,
            },
            payload_at: front_len,
            front_len,
            start: narrow(start),
            end: narrow(end),
            is_last,
            is_tiny: start == 0 && payload.len() < header_min(header.protocol()),
            tos: header.tos(),
            ttl: header.ttl(),
        })
    }

    fn read_ipv6(header: Ipv6<'_>, depth: u8) -> Result<Self, Verdict> {
        let bytes = header.bytes();
        let Some(fragment) = FragmentHeader::find(bytes).filter(|header| header.is_piece) else {
            return Err(Verdict::drop(Counter::Ip6BadExthdr));
        };
        let field = read_u16(bytes, fragment.at + 2);
        let start = usize::from(field & 0xfff8);
        let is_last = field & 1 == 0;
        let payload_at = fragment.at + FRAGMENT_HEADER_LEN;
        let len = bytes.len().saturating_sub(payload_at);
        if !is_last && !len.is_multiple_of(UNIT) {
            //= RFC 8200 §4.5: a piece other than the last whose length is no multiple of 8 is
            //= discarded, and its sender told; the pointer is that of the payload length.
            return Err(problem(ipv6::offset::PAYLOAD_LENGTH, Counter::Ip6BadExthdr));
        }
        if len == 0 {
            return Err(Verdict::drop(Counter::Ip6BadExthdr));
        }
        let end = start + len;
        if fragment.at - ipv6::HEADER_LEN + end > usize::from(u16::MAX) {
            //= RFC 8200 §4.5: the same where the packet would be longer than 65535 bytes, with the
            //= pointer of the fragment offset.
            return Err(problem(fragment.at + 2, Counter::ReasmOversize));
        }
        Ok(Self {
            key: Key {
                source: header.source(),
                destination: header.destination(),
                identification: read_u32(bytes, fragment.at + 4),
                protocol: 0,
                is_ipv6: true,
                depth,
            },
            payload_at,
            front_len: fragment.at,
            start: narrow(start),
            end: narrow(end),
            is_last,
            is_tiny: start == 0 && is_chain_cut(header),
            tos: header.traffic_class(),
            ttl: header.hop_limit(),
        })
    }

    /// The least that stands in front of the payload of the whole packet: what is in front of its first piece
    /// counts.
    pub(super) fn front_of_whole(&self) -> usize {
        match (self.start, self.key.is_ipv6) {
            (0, _) => self.front_len,
            (_, false) => ipv4::HEADER_LEN,
            (_, true) => ipv6::HEADER_LEN,
        }
    }

    /// Where the packet is from.
    pub(super) fn source(&self) -> u128 {
        self.key.source
    }
}

/// A fragment header of an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Where it begins, from the start of the IPv6 header.
    pub at: usize,
    /// Where the byte is that names it.
    pub named_at: usize,
    /// The packet is a piece of another, and not whole in spite of the header (RFC 6946).
    pub is_piece: bool,
}

impl FragmentHeader {
    /// The one that makes a packet a piece of another; without such, the first there is.
    pub fn find(packet: &[u8]) -> Option<Self> {
        let mut extensions = Extensions::new(packet);
        let mut found = None;
        loop {
            let named_at = extensions.named_at();
            let Some(header) = extensions.next() else { return found };
            if header.kind != protocol::FRAGMENT {
                continue;
            }
            let is_piece = read_u16(packet, header.at + 2) & 0xfff9 != 0;
            let this = Self { at: header.at, named_at, is_piece };
            if is_piece {
                return Some(this);
            }
            found = found.or(Some(this));
        }
    }
}

/// Whether the first piece ends before the header of what the packet carries does.
fn is_chain_cut(header: Ipv6<'_>) -> bool {
    //= RFC 7112 §5: the first fragment holds the whole chain of headers; one that does not may be
    //= dropped.
    let upper = header.upper_layer();
    let left = header.bytes().len().saturating_sub(upper.offset);
    upper.error.is_some() || left < header_min(upper.protocol)
}

/// The least that a first piece must have of what the packet carries.
fn header_min(carried: u8) -> usize {
    match carried {
        protocol::IPV4 => ipv4::HEADER_LEN,
        protocol::IPV6 => ipv6::HEADER_LEN,
        _ => 8,
    }
}

/// Discarded, and the sender told where the mistake is.
fn problem(at: usize, counter: Counter) -> Verdict {
    let pointer = narrow(at);
    Verdict::reject(IcmpError::ParameterProblem { code: 0, pointer }, counter)
}

/// Offsets and lengths that have been checked to fit.
fn narrow(len: usize) -> u16 {
    u16::try_from(len).unwrap_or(u16::MAX)
}
