//! GRE (RFC 2784, RFC 2890): IPv4 and IPv6 behind a GRE header of 4 to 16 bytes. Modes `gre` and
//! `ip6gre` (RFC 7676).
//!
//! ```text
//!  0                        20 or 40
//! +------------------------+-----------------------------------------+---------------------------
//! | outer IPv4 or IPv6,    | flags, protocol type, [checksum, 0],    | inner IPv4 or IPv6 packet …
//! | protocol 47            | [key], [sequence]                       |
//! +------------------------+-----------------------------------------+---------------------------
//! ```

use std::sync::Arc;

use super::lookup::{Class, Label, Protocols};
use super::sequence::Sequences;
use super::shim::QuotedShim;
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::wire::ethernet::ether_type;
use crate::wire::gre::{self, GreError};
use crate::wire::{protocol, write_u32};

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

    /// Bytes that are put in front of what is carried.
    pub(super) fn len(&self) -> usize {
        gre::header_len(self.flags())
    }

    /// Writes the header to the start of `bytes`, whose rest is what is carried: a packet of IP
    /// protocol `carried`.
    pub(super) fn write(&self, bytes: &mut [u8], carried: u8) {
        let protocol_type =
            if carried == protocol::IPV4 { ether_type::IPV4 } else { ether_type::IPV6 };
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

    /// Judges a header that [`read`] has seen.
    pub(super) fn judge(&self, header: gre::Gre, now: Nanos) -> Result<(), Counter> {
        if self.requires_checksum && !header.has_checksum {
            return Err(Counter::IfRxCsumErr);
        }
        let is_newest = match (header.sequence, &self.sequences) {
            (None, _) => !self.requires_sequence,
            (Some(sequence), Some(sequences)) if self.drops_old => sequences.accept(sequence, now),
            _ => true,
        };
        if is_newest { Ok(()) } else { Err(Counter::IfRxSeqErr) }
    }
}

/// Reads the header at the start of a packet's `payload`, and says whose it is and what it carries.
///
/// # Errors
/// The drop counter, when it must be refused whatever tunnel it is for.
pub(super) fn read(payload: &[u8]) -> Result<(gre::Gre, Label, Protocols), Counter> {
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
    Ok((header, label(header.key), carries))
}

/// Reads as much of a header as an ICMP error quotes: minimal routers quote eight bytes, too few for a key
/// behind a checksum.
pub(super) fn read_quoted(quoted: &[u8]) -> Option<QuotedShim> {
    let unknown = QuotedShim {
        class: Some(Class::Gre),
        label: None,
        carried: protocol::NO_NEXT_HEADER,
        len: 0,
    };
    if quoted.len() < gre::HEADER_LEN {
        return Some(unknown);
    }
    let (flags, protocol_type) = gre::first_words(quoted);
    let len = gre::header_len(flags);
    let padded: [u8; gre::HEADER_LEN_MAX] =
        core::array::from_fn(|at| quoted.get(at).copied().unwrap_or(0));
    let header = gre::Gre::parse(&padded).ok()?;
    let key_end = gre::HEADER_LEN + if header.has_checksum { 8 } else { 4 };
    let shows_label = header.key.is_none() || quoted.len() >= key_end;
    let carried = protocol_of(carried(protocol_type)?);
    Some(QuotedShim { label: shows_label.then(|| label(header.key)), carried, len, ..unknown })
}

/// The IP protocol of what is carried.
pub(super) const fn protocol_of(carried: Protocols) -> u8 {
    if carried.overlaps(Protocols::IPV4) { protocol::IPV4 } else { protocol::IPV6 }
}

/// What a protocol type stands for; `None`: nothing that tunnels of this family carry.
#[inline]
pub(super) const fn carried(protocol_type: u16) -> Option<Protocols> {
    match protocol_type {
        ether_type::IPV4 => Some(Protocols::IPV4),
        ether_type::IPV6 => Some(Protocols::IPV6),
        // What other tunnels than these carry.
        gre::KEEPALIVE
        | ether_type::MPLS
        | ether_type::TRANSPARENT_ETHERNET
        | ether_type::ERSPAN_II
        | ether_type::ERSPAN_III => Some(Protocols::NONE),
        _ => None,
    }
}

/// What tells the tunnels between two addresses apart.
#[inline]
pub(super) const fn label(key: Option<u32>) -> Label {
    Label::new(Class::Gre, key)
}
