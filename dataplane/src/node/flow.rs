//! The flow hash: one number for all packets of one conversation (RFC 6438, semantics of entropy).
//!
//! Chooses among next hops, group members and workers, and fills IPv6 flow labels and UDP source
//! ports of tunnels. Keyed with a secret of this boot, so that nobody outside can aim at one path.
//! It is no cryptographic hash: whoever can watch which path a packet takes may learn about the key.

use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::mpls::{self, Entry};
use crate::wire::{protocol, read_u16, read_u32};

use super::options::{Extensions, is_extension};

/// The key of the hash.
#[derive(Clone, Copy, Debug)]
pub struct FlowKey {
    words: [u64; 4],
}

impl FlowKey {
    /// From a secret. The same secret always makes the same hashes, on every machine.
    pub const fn new(seed: u64) -> Self {
        let mut words = [0; 4];
        let mut state = seed;
        let mut n = 0;
        while n < words.len() {
            // SplitMix64: words of good quality from any seed, 0 included.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            words[n] = word ^ word >> 31;
            n += 1;
        }
        Self { words }
    }

    /// The hash of the flow that an IP packet belongs to. The packet begins with its IP header,
    /// which has been checked; of anything else the result is some number.
    ///
    /// Source, destination and protocol count, and the ports if it is not a fragment: all pieces of
    /// a packet, the first included, go one way.
    #[inline]
    pub fn hash(&self, packet: &[u8]) -> u64 {
        match packet.first().map(|first| first >> 4) {
            Some(4) => self.hash_ipv4(packet),
            Some(6) => self.hash_ipv6(packet),
            _ => self.finish(0, 0),
        }
    }

    /// The hash of the flow that a labelled packet belongs to: that of the IP packet inside, where there seems to be
    /// one, or else of the bottom label (RFC 4928 §2).
    pub fn hash_labelled(&self, packet: &[u8]) -> u64 {
        if let Some(inner) = mpls::ip_inside(packet) {
            return self.hash(inner);
        }
        let bottom = mpls::stack_len(packet).unwrap_or(mpls::ENTRY_LEN) - mpls::ENTRY_LEN;
        let entry = Entry::read(packet.get(bottom..).unwrap_or(&[]));
        self.hash_address(entry.label.number().into())
    }

    /// The hash of one address, for tables that strangers fill.
    #[inline]
    pub fn hash_address(&self, address: u128) -> u64 {
        self.finish(fold_multiply(high(address) ^ self.words[0], low(address) ^ self.words[1]), 0)
    }

    /// The hash of an address, whose own [hash](Self::hash_address) is at hand, together with something more.
    #[inline]
    pub fn hash_further(&self, hash: u64, more: u128) -> u64 {
        self.finish(hash ^ low(more), high(more))
    }

    /// The same as [`hash`](Self::hash), except that the first piece of a packet counts with its ports, as the packet did
    /// before it was cut: what tells whether it belongs to a flow that is not cut otherwise.
    pub fn hash_as_whole(&self, packet: &[u8]) -> u64 {
        match packet.first().map(|first| first >> 4) {
            Some(4) => {
                let ip = Ipv4::trusted(packet);
                let is_first = ip.fragment_field() & ipv4::OFFSET_MASK == 0;
                let at = (is_first && has_ports(ip.protocol())).then_some(ip.header_len());
                self.mix_ipv4(ip, at.map_or(0, |at| read_u32(packet, at)))
            }
            Some(6) => {
                let mut extensions = Extensions::new(packet);
                while extensions.next().is_some() {}
                let protocol = extensions.next_header();
                let at = !extensions.is_at_piece() && has_ports(protocol);
                let ports = if at { read_u32(packet, extensions.position()) } else { 0 };
                self.mix_ipv6(Ipv6::trusted(packet), protocol, ports)
            }
            _ => self.finish(0, 0),
        }
    }

    /// The same of a packet that is known to be IPv4.
    #[inline]
    pub fn hash_ipv4(&self, packet: &[u8]) -> u64 {
        let ip = Ipv4::trusted(packet);
        let ports = if has_ports(ip.protocol()) && !ip.is_fragment() {
            read_u32(packet, ip.header_len())
        } else {
            0
        };
        self.mix_ipv4(ip, ports)
    }

    /// The same of one without options, which is as long as its header at least.
    #[inline]
    pub fn hash_plain_ipv4(&self, packet: &[u8]) -> u64 {
        let Some(header) = packet.first_chunk::<{ ipv4::HEADER_LEN }>() else {
            return self.finish(0, 0);
        };
        let (protocol, addresses) = (header[ipv4::offset::PROTOCOL], header.last_chunk());
        let fragment = read_u16(header, ipv4::offset::FRAGMENT);
        let is_whole = fragment & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK) == 0;
        let counts_ports = has_ports(protocol) && is_whole;
        let ports = if counts_ports { read_u32(packet, ipv4::HEADER_LEN) } else { 0 };
        self.mix_words(addresses.map_or(0, |bytes| u64::from_be_bytes(*bytes)), protocol, ports)
    }

    #[inline]
    fn mix_ipv4(&self, ip: Ipv4<'_>, ports: u32) -> u64 {
        let addresses = u64::from(ip.source()) << 32 | u64::from(ip.destination());
        self.mix_words(addresses, ip.protocol(), ports)
    }

    #[inline]
    fn mix_words(&self, addresses: u64, protocol: u8, ports: u32) -> u64 {
        let upper = u64::from(protocol) << 32 | u64::from(ports);
        self.finish(fold_multiply(addresses ^ self.words[0], upper ^ self.words[1]), 0)
    }

    /// The same of a packet that is known to be IPv6.
    #[inline]
    pub fn hash_ipv6(&self, packet: &[u8]) -> u64 {
        let ip = Ipv6::trusted(packet);
        let (protocol, at) = match ip.next_header() {
            next if is_extension(next) => upper_layer(packet),
            next => (next, Some(ipv6::HEADER_LEN)),
        };
        let ports = match at {
            Some(at) if has_ports(protocol) => read_u32(packet, at),
            _ => 0,
        };
        self.mix_ipv6(ip, protocol, ports)
    }

    #[inline]
    fn mix_ipv6(&self, ip: Ipv6<'_>, protocol: u8, ports: u32) -> u64 {
        let (source, destination) = (ip.source(), ip.destination());
        let front = fold_multiply(high(source) ^ self.words[0], low(source) ^ self.words[1]);
        let back = front ^ high(destination);
        let addresses = fold_multiply(back, low(destination) ^ self.words[2]);
        self.finish(addresses, u64::from(protocol) << 32 | u64::from(ports))
    }

    #[inline]
    fn finish(&self, state: u64, upper: u64) -> u64 {
        fold_multiply(state ^ self.words[2], upper ^ self.words[3])
    }
}

/// The protocol behind the extension headers, and where it begins; of a fragment what its fragment
/// header names, and nothing.
#[cold]
fn upper_layer(packet: &[u8]) -> (u8, Option<usize>) {
    let mut extensions = Extensions::new(packet);
    for extension in extensions.by_ref() {
        if extension.kind == protocol::FRAGMENT {
            return (extension.next, None);
        }
    }
    (extensions.next_header(), Some(extensions.position()))
}

/// Whether the first four bytes of a protocol are source and destination port.
#[inline]
const fn has_ports(protocol: u8) -> bool {
    const DCCP: u8 = 33;
    const SCTP: u8 = 132;
    const UDP_LITE: u8 = 136;
    matches!(protocol, protocol::TCP | protocol::UDP | DCCP | SCTP | UDP_LITE)
}

/// The flow label of a flow: 1 to 0xfffff, never the 0 that says "no label" (RFC 6437 §2).
#[inline]
pub const fn flow_label(hash: u64) -> u32 {
    (hash % 0xf_ffff) as u32 + 1
}

/// Multiplies to 128 bits and folds the halves onto each other: every bit of both factors reaches
/// every bit of the result.
#[inline]
const fn fold_multiply(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    high(product) ^ low(product)
}

#[inline]
const fn high(number: u128) -> u64 {
    low(number >> 64)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests;
