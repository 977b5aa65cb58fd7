//! Reading a header that is as plain as can be, in as few loads as it takes: the frame's start, an
//! IPv4 header without options, an IPv6 header. Whatever is not plain is `None`, and nobody's
//! fault: the stages look at it closely.

use crate::node::options::is_extension;
use crate::wire::ethernet::MacAddress;
use crate::wire::{ethernet, ipv4, ipv6};

/// Bytes of a frame up to the end of a plain IPv4 header.
pub(super) const IPV4_END: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// Bytes of a frame up to the end of an IPv6 header.
pub(super) const IPV6_END: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;

/// The eight bytes at `AT`, in the order of the machine that this crate is fastest on.
#[inline]
fn eight<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> u64 {
    const { assert!(AT + 8 <= LEN) };
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[AT..AT + 8]);
    u64::from_le_bytes(word)
}

#[inline]
fn four<const AT: usize, const LEN: usize>(bytes: &[u8; LEN]) -> u32 {
    const { assert!(AT + 4 <= LEN) };
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[AT..AT + 4]);
    u32::from_le_bytes(word)
}

/// A MAC address as the first eight bytes of a frame to it are compared with.
#[inline]
pub(super) fn mac_word(mac: MacAddress) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// What a frame addressed to this node carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    /// IPv4 without options.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Anything else, or a frame to somebody else.
    Other,
}

/// What the start of a frame says. `own`: see [`mac_word`].
#[inline]
pub(super) fn carried(frame: &[u8; IPV4_END], own: u64) -> Carried {
    // Type 0x0800 and the byte 0x45; type 0x86dd and the version, as they stand in memory.
    const PLAIN_IPV4: u32 = 0x0045_0008;
    const IPV6: u32 = 0x0060_dd86;
    if (eight::<0, IPV4_END>(frame) ^ own) << 16 != 0 {
        return Carried::Other;
    }
    let kind = four::<12, IPV4_END>(frame);
    if kind & 0x00ff_ffff == PLAIN_IPV4 {
        Carried::Ipv4
    } else if kind & 0x00f0_ffff == IPV6 {
        Carried::Ipv6
    } else {
        Carried::Other
    }
}

/// A plain IPv4 header, checked as far as RFC 1812 §5.2.2 wants it, but for the TTL.
#[derive(Clone, Copy)]
pub(super) struct PlainIpv4 {
    pub(super) total_len: u16,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    /// Flags and offset, in the order in which they stand.
    fragment: u16,
    pub(super) source: u32,
    pub(super) destination: u32,
}

impl PlainIpv4 {
    /// Reads and checks a header; `room` is how many bytes there are from its start on.
    #[inline]
    pub(super) fn read(header: &[u8; ipv4::HEADER_LEN], room: usize) -> Option<Self> {
        let plain = Self::trusted(header);
        let total_len = usize::from(plain.total_len);
        let is_right =
            ones_sum(eight::<0, 20>(header), eight::<8, 20>(header), four::<16, 20>(header));
        let fits = (total_len >= ipv4::HEADER_LEN) & (total_len <= room);
        ((is_right == u16::MAX) & fits & (header[0] == 0x45)).then_some(plain)
    }

    /// Reads a header that has been checked.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
    pub(super) fn trusted(header: &[u8; ipv4::HEADER_LEN]) -> Self {
        let first = eight::<0, 20>(header);
        let second = eight::<8, 20>(header);
        Self {
            total_len: ((first >> 16) as u16).swap_bytes(),
            tos: (first >> 8) as u8,
            ttl: second as u8,
            protocol: (second >> 8) as u8,
            fragment: (first >> 48) as u16,
            source: ((second >> 32) as u32).swap_bytes(),
            destination: four::<16, 20>(header).swap_bytes(),
        }
    }

    /// Whether it is a piece of a packet.
    #[inline]
    pub(super) fn is_fragment(&self) -> bool {
        self.fragment & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK).swap_bytes() != 0
    }

    /// Whether it may not be cut.
    #[inline]
    pub(super) fn dont_fragment(&self) -> bool {
        self.fragment & ipv4::DONT_FRAGMENT.swap_bytes() != 0
    }

    /// Whether both addresses are those of hosts (RFC 1812 §5.3.7).
    #[inline]
    pub(super) fn is_between_hosts(&self) -> bool {
        is_host_ipv4(self.source) & is_host_ipv4(self.destination)
    }
}

/// 1/8 to 223/8 without 127/8.
#[inline]
fn is_host_ipv4(address: u32) -> bool {
    let net = address >> 24;
    (net.wrapping_sub(1) < 223) & (net != 127)
}

/// The ones-complement sum of 20 bytes, folded. The order of bytes in the words changes nothing of
/// it but the order of its own (RFC 1071 §2).
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the upper half has been added to the lower")]
fn ones_sum(first: u64, second: u64, third: u32) -> u16 {
    let (sum, carry) = first.overflowing_add(second);
    let (sum, more) = sum.overflowing_add(u64::from(third) + u64::from(carry));
    let sum = sum.wrapping_add(u64::from(more));
    // The halves added with the carry brought round: the upper half of the sum of both turns.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// An IPv6 header that nothing but an upper layer follows.
#[derive(Clone, Copy)]
pub(super) struct PlainIpv6 {
    /// Header and payload.
    pub(super) total_len: u16,
    pub(super) traffic_class: u8,
    pub(super) next_header: u8,
    pub(super) hop_limit: u8,
    pub(super) source: u128,
    pub(super) destination: u128,
}

impl PlainIpv6 {
    /// Reads and checks a header; `room` is how many bytes there are from its start on.
    #[inline]
    pub(super) fn read(header: &[u8; ipv6::HEADER_LEN], room: usize) -> Option<Self> {
        let plain = Self::trusted(header);
        let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let fits = payload_len + ipv6::HEADER_LEN <= room;
        (fits & (header[0] >> 4 == 6) & !is_extension(plain.next_header)).then_some(plain)
    }

    /// Reads a header that has been checked.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
    pub(super) fn trusted(header: &[u8; ipv6::HEADER_LEN]) -> Self {
        let first = eight::<0, 40>(header);
        let address = |high: u64, low: u64| {
            u128::from(high.swap_bytes()) << 64 | u128::from(low.swap_bytes())
        };
        Self {
            total_len: ((first >> 32) as u16).swap_bytes().saturating_add(40),
            traffic_class: ((first as u16).swap_bytes() >> 4) as u8,
            next_header: (first >> 48) as u8,
            hop_limit: (first >> 56) as u8,
            source: address(eight::<8, 40>(header), eight::<16, 40>(header)),
            destination: address(eight::<24, 40>(header), eight::<32, 40>(header)),
        }
    }

    /// Whether both addresses are of a kind that is forwarded: not multicast, link-local,
    /// unspecified, loopback or an IPv4 address in disguise.
    #[inline]
    pub(super) fn is_between_hosts(&self) -> bool {
        is_host_ipv6(self.source) & is_host_ipv6(self.destination)
    }
}

/// 0100::/8 to fdff::/8: what is between the odd ends of the address space.
#[inline]
fn is_host_ipv6(address: u128) -> bool {
    let [first, ..] = address.to_be_bytes();
    first.wrapping_sub(1) < 0xfd
}

/// Takes one off the TTL of an IPv4 header, and mends the checksum.
#[inline]
pub(super) fn decrement_ttl(header: &mut [u8; ipv4::HEADER_LEN]) {
    let word = four::<8, 20>(header);
    //= RFC 1624 §3: the checksum grows by what the word lost, with the carry brought round; a sum
    //= of all ones is written as 0.
    let grown = (word >> 16) + 1;
    let checksum = grown + u32::from(grown >= 0xffff);
    let word = (word & 0xffff).wrapping_sub(1) & 0xffff | checksum << 16;
    header[8..12].copy_from_slice(&word.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ipv4::{Ipv4, Ipv4Fields};
    use crate::wire::ipv6::Ipv6;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_is_plain_only_if_the_full_parser_takes_it_and_then_both_read_the_same(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..60), mend: bool, len in 0_u16..70,
        ) {
            bytes[0] = 0x45;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            if mend {
                bytes[10..12].fill(0);
                let checksum = crate::wire::checksum::checksum(&bytes[..20]);
                bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            let plain = PlainIpv4::read(bytes.first_chunk().unwrap(), bytes.len());
            let full = Ipv4::parse(&bytes);
            prop_assert_eq!(plain.is_some(), full.is_ok());
            let (Some(plain), Ok(full)) = (plain, full) else { return Ok(()) };
            prop_assert_eq!(plain.total_len, full.total_len());
            prop_assert_eq!(plain.tos, full.tos());
            prop_assert_eq!(plain.ttl, full.ttl());
            prop_assert_eq!(plain.protocol, full.protocol());
            prop_assert_eq!(plain.is_fragment(), full.is_fragment());
            prop_assert_eq!(plain.dont_fragment(), full.dont_fragment());
            prop_assert_eq!(plain.source, full.source());
            prop_assert_eq!(plain.destination, full.destination());
        }

        #[test]
        fn an_ipv6_header_is_read_as_the_full_parser_reads_it(
            mut bytes in proptest::collection::vec(any::<u8>(), 40..80), len in 0_u16..60,
        ) {
            bytes[0] = 0x60 | bytes[0] & 15;
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            let plain = PlainIpv6::read(bytes.first_chunk().unwrap(), bytes.len());
            let full = Ipv6::parse(&bytes).ok().filter(|full| !is_extension(full.next_header()));
            prop_assert_eq!(plain.is_some(), full.is_some());
            let (Some(plain), Some(full)) = (plain, full) else { return Ok(()) };
            prop_assert_eq!(usize::from(plain.total_len), full.total_len());
            prop_assert_eq!(plain.traffic_class, full.traffic_class());
            prop_assert_eq!(plain.next_header, full.next_header());
            prop_assert_eq!(plain.hop_limit, full.hop_limit());
            prop_assert_eq!(plain.source, full.source());
            prop_assert_eq!(plain.destination, full.destination());
        }

        #[test]
        fn a_decremented_ttl_leaves_the_header_that_the_stages_would_leave(
            tos: u8, payload_len in 0_u16..1500, identification: u16, fragment: u16,
            ttl in 1_u8..=255, protocol: u8, source: [u8; 4], destination: [u8; 4],
        ) {
            let fields = Ipv4Fields {
                tos, payload_len, identification, fragment, ttl, protocol,
                source: source.into(), destination: destination.into(),
            };
            let (mut fast, mut reference) = (fields.header(), fields.header());
            decrement_ttl(&mut fast);
            crate::wire::ipv4::decrement_ttl(&mut reference);
            prop_assert_eq!(fast, reference);
        }
    }
}
