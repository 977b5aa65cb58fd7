//! GRE (RFC 2784, RFC 2890): IPv4 and IPv6 behind a GRE header of 4 to 16 bytes, modes `gre` and
//! `ip6gre` (RFC 7676), and Ethernet frames, modes `gretap` and `ip6gretap`.
//!
//! ```text
//!  0                        20 or 40
//! +------------------------+-----------------------------------------+---------------------------
//! | outer IPv4 or IPv6,    | flags, protocol type, [checksum, 0],    | inner IPv4 or IPv6 packet …
//! | protocol 47            | [key], [sequence]                       |
//! +------------------------+-----------------------------------------+---------------------------
//! ```

use std::sync::Arc;

use super::lookup::Protocols;
use super::rewrite::PLAIN_SHIM_MAX;
use super::sequence::Sequences;
use super::shim::Judged;
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::gre::{self, GreError};
use crate::wire::{mpls, protocol, read_u32, write_u32};

/// What a tunnel puts into its GRE headers, and what it wants in those that arrive.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Gre {
    /// The key of what is sent.
    pub output_key: Option<u32>,
    /// The key of what arrives: packets with another, or none where there is one, are not the tunnel's.
    pub input_key: Option<u32>,
    /// What is sent has a checksum.
    pub has_checksum: bool,
    /// What arrives must have one; where there is one, it must be right in any case.
    pub requires_checksum: bool,
    /// What is sent is numbered.
    pub has_sequence: bool,
    /// What arrives late is dropped.
    pub drops_old: bool,
    /// What arrives must be numbered.
    pub requires_sequence: bool,
    /// The numbers, where there are any.
    pub sequences: Option<Arc<Sequences>>,
}

impl Gre {
    fn flags(&self) -> u16 {
        let flag = |is_there: bool, flag: u16| if is_there { flag } else { 0 };
        flag(self.has_checksum, gre::CHECKSUM)
            | flag(self.output_key.is_some(), gre::KEY)
            | flag(self.has_sequence, gre::SEQUENCE)
    }

    /// The header where nothing in it differs from packet to packet but the protocol type, and its bytes.
    pub(super) fn plain(&self) -> Option<([u8; PLAIN_SHIM_MAX], usize)> {
        if self.has_checksum || self.has_sequence {
            return None;
        }
        let mut shim = [0; PLAIN_SHIM_MAX];
        write_u32(&mut shim, 0, u32::from(self.flags()) << 16);
        write_u32(&mut shim, gre::HEADER_LEN, self.output_key.unwrap_or(0));
        Some((shim, self.len()))
    }

    /// Whether a header that arrives is judged by its key alone.
    pub(super) const fn takes_plain(&self) -> bool {
        !(self.requires_checksum || self.requires_sequence)
    }

    /// Bytes that are put in front of what is carried.
    pub(super) fn len(&self) -> usize {
        gre::header_len(self.flags())
    }

    /// Writes the header to the start of `bytes`, whose rest is what is carried: a packet of IP
    /// protocol `carried`.
    pub(super) fn write(&self, bytes: &mut [u8], carried: u8) {
        let protocol_type = match carried {
            protocol::IPV4 => ether_type::IPV4,
            protocol::ETHERNET => ether_type::TRANSPARENT_ETHERNET,
            protocol::MPLS => ether_type::MPLS,
            _ => ether_type::IPV6,
        };
        write_u32(bytes, 0, u32::from(self.flags()) << 16 | u32::from(protocol_type));
        let mut at = gre::HEADER_LEN + if self.has_checksum { 4 } else { 0 };
        if self.has_checksum {
            write_u32(bytes, gre::HEADER_LEN, 0);
        }
        if let Some(key) = self.output_key {
            write_u32(bytes, at, key);
            at += 4;
        }
        if self.has_sequence {
            let next = self.sequences.as_ref().map_or(0, |sequences| sequences.take());
            write_u32(bytes, at, next);
        }
        if self.has_checksum {
            gre::set_checksum(bytes);
        }
    }

    /// Judges the header at the start of `payload`, which [`read`] has seen: its
    /// checksum is right, if it has one.
    pub(super) fn judge(&self, payload: &[u8], now: Nanos) -> Result<Judged, Counter> {
        let header = gre::Gre::parse(payload).map_err(|_| Counter::TunShimShort)?;
        if self.requires_checksum && !header.has_checksum {
            return Err(Counter::IfRxCsumErr);
        }
        let is_newest = match (header.sequence, &self.sequences) {
            (None, _) => !self.requires_sequence,
            (Some(sequence), Some(sequences)) if self.drops_old => sequences.accept(sequence, now),
            _ => true,
        };
        if !is_newest {
            return Err(Counter::IfRxSeqErr);
        }
        Ok(Judged {
            len: header.header_len,
            carried: protocol_of(header.protocol_type),
            has_gre_sum: header.has_checksum,
            has_udp_sum: None,
        })
    }

    /// See [`Shim::recognise`](super::shim::Shim::recognise).
    pub(super) fn recognise(&self, quoted: &[u8]) -> Option<(usize, u8)> {
        if quoted.len() < gre::HEADER_LEN {
            // A later piece of a packet, or nearly nothing.
            return quoted.is_empty().then_some((self.len(), protocol::NO_NEXT_HEADER));
        }
        let (flags, protocol_type) = gre::first_words(quoted);
        // Minimal routers quote eight bytes, too few for a key behind a checksum.
        let is_key = quoted_key(quoted).map_or(true, |key| key == self.output_key);
        let is_ours = flags == self.flags() && is_key;
        is_ours.then_some((self.len(), protocol_of(protocol_type)))
    }
}

/// Reads the header at the start of `payload`, and says what it carries.
///
/// # Errors
/// The drop counter, when it must be refused whatever tunnel it is for.
pub(super) fn read(payload: &[u8]) -> Result<(gre::Gre, Protocols), Counter> {
    let header = gre::Gre::parse(payload).map_err(|error| match error {
        GreError::Short => Counter::TunShimShort,
        GreError::Version => Counter::GreBadVersion,
        GreError::Flags => Counter::GreBadFlags,
    })?;
    if !header.is_right(payload) {
        //= RFC 2784 §2.5: a receiver verifies a checksum that is there.
        return Err(Counter::GreBadCsum);
    }
    let carries = carried(header.protocol_type).ok_or(Counter::GreProtoUnsupported)?;
    Ok((header, carries))
}

/// The IP packet behind the header at the start of `payload`, if there is one, perhaps behind labels or in a frame.
pub(super) fn inside(payload: &[u8]) -> Option<&[u8]> {
    let header = gre::Gre::parse(payload).ok()?;
    let behind = payload.get(header.header_len..)?;
    match protocol_of(header.protocol_type) {
        protocol::IPV4 | protocol::IPV6 => Some(behind),
        protocol::MPLS => mpls::ip_inside(behind),
        protocol::ETHERNET => behind.get(ethernet::ip_at(behind)?..),
        _ => None,
    }
}

/// A quote that ends before the key does.
pub(super) struct NotQuoted;

/// The key in a quoted header, if it has one.
pub(super) fn quoted_key(quoted: &[u8]) -> Result<Option<u32>, NotQuoted> {
    let (flags, _) = gre::first_words(quoted);
    if quoted.len() < gre::HEADER_LEN {
        return Err(NotQuoted);
    }
    if flags & gre::KEY == 0 {
        return Ok(None);
    }
    let at = gre::HEADER_LEN + if flags & gre::CHECKSUM == 0 { 0 } else { 4 };
    if quoted.len() < at + 4 { Err(NotQuoted) } else { Ok(Some(read_u32(quoted, at))) }
}

/// The IP protocol of what a protocol type stands for.
const fn protocol_of(protocol_type: u16) -> u8 {
    match protocol_type {
        ether_type::IPV4 => protocol::IPV4,
        ether_type::IPV6 => protocol::IPV6,
        ether_type::TRANSPARENT_ETHERNET => protocol::ETHERNET,
        ether_type::MPLS => protocol::MPLS,
        _ => protocol::NO_NEXT_HEADER,
    }
}

/// What a protocol type stands for; `None`: nothing that tunnels of this family carry.
#[inline]
pub(super) const fn carried(protocol_type: u16) -> Option<Protocols> {
    match protocol_type {
        ether_type::IPV4 => Some(Protocols::IPV4),
        ether_type::IPV6 => Some(Protocols::IPV6),
        ether_type::TRANSPARENT_ETHERNET => Some(Protocols::ETHERNET),
        ether_type::MPLS => Some(Protocols::MPLS),
        // What other tunnels than these carry.
        gre::KEEPALIVE | ether_type::ERSPAN_II | ether_type::ERSPAN_III => Some(Protocols::NONE),
        _ => None,
    }
}
