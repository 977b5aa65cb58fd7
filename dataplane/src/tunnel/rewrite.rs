//! The outer header, built once and patched per packet.
//!
//! The control side fills a [`Rewrite`] whenever a tunnel changes. Encapsulation copies its bytes
//! in front of the packet and patches what differs from packet to packet; the checksum comes from
//! a sum over the template in which those fields are 0.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::checksum::{fold, sum, sum_of_20};
use crate::wire::ipv4::{self, Ipv4Fields};
use crate::wire::ipv6::{self, Ipv6Fields};
use crate::wire::minimal::SOURCE_LEN_U16;
use crate::wire::{read_u32, read_u128, write_u16, write_u32};

/// The most bytes that a plain packet has behind the outer header.
pub const PLAIN_SHIM_MAX: usize = 8;

/// The most bytes that one tunnel puts in front of a packet, but for its shim.
pub const REWRITE_MAX: usize = 48;

/// What differs from packet to packet.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// Bytes behind the outer header.
    pub payload_len: u16,
    /// DSCP and ECN of the outer header.
    pub tos: u8,
    /// TTL or hop limit of the outer header.
    pub ttl: u8,
    /// The outer protocol (IPv4), or the last next header (IPv6).
    pub protocol: u8,
    /// IPv4: identification.
    pub identification: u16,
    /// IPv4: don't fragment.
    pub dont_fragment: bool,
    /// IPv6: flow label.
    pub flow_label: u32,
}

/// DSCP and ECN of an IPv4 header with its flags and offset: the first and the last of its first eight bytes, which are
/// turned by two for it, so that one word holds them, with the byte 0x45 between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TosAndFlags(u32);

impl TosAndFlags {
    /// `fragment`: flags and offset, as a little-endian word of what stands there.
    pub const fn new(tos: u8, fragment: u16) -> Self {
        Self(fragment as u32 | 0x45 << 16 | (tos as u32) << 24)
    }

    /// Those of a header that begins with these eight bytes, and has no options.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "four bytes of eight")]
    pub const fn of(first: u64) -> Self {
        Self(first.rotate_left(16) as u32)
    }

    /// The bits of `keep`, and those of `set`, which has all of the byte between.
    #[inline]
    pub(super) const fn masked(self, keep: u32, set: Self) -> Self {
        Self(self.0 & keep | set.0)
    }

    /// DSCP and ECN.
    #[inline]
    pub const fn tos(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Whether there is neither a flag nor an offset.
    #[inline]
    pub const fn is_without_flags(self) -> bool {
        self.0 << 16 == 0
    }

    /// The first eight bytes of a header, as far as it is known.
    #[inline]
    const fn first(self) -> u64 {
        (self.0 as u64).rotate_right(16)
    }
}

/// What differs from packet to packet of plain ones, outside IPv4.
#[derive(Clone, Copy, Debug)]
pub struct OuterIpv4 {
    /// Bytes of the packet that goes inside.
    pub inner_len: u16,
    /// DSCP, ECN and flags.
    pub tos_and_flags: TosAndFlags,
    /// TTL.
    pub ttl: u8,
    /// Protocol.
    pub protocol: u8,
    /// Identification.
    pub identification: u16,
}

/// What differs from packet to packet of plain ones, outside IPv6.
#[derive(Clone, Copy, Debug)]
pub struct OuterIpv6 {
    /// Bytes of the packet that goes inside.
    pub inner_len: u16,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Next header.
    pub next_header: u8,
    /// Flow label.
    pub flow_label: u32,
}

/// The bytes in front of every packet of a tunnel.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Rewrite {
    /// The sum of the template's words, for IPv4.
    sum: u16,
    len: u16,
    bytes: [u8; REWRITE_MAX],
}

impl Rewrite {
    /// IPv4 outside, nothing between the headers.
    pub fn ipv4(local: Ipv4Addr, remote: Ipv4Addr) -> Self {
        let fields = Ipv4Fields {
            tos: 0,
            payload_len: 0,
            identification: 0,
            fragment: 0,
            ttl: 0,
            protocol: 0,
            source: local,
            destination: remote,
        };
        let mut header = fields.header();
        write_u16(&mut header, ipv4::offset::TOTAL_LENGTH, 0);
        write_u16(&mut header, ipv4::offset::CHECKSUM, 0);
        let folded = fold(sum(0, &header));
        let mut bytes = [0; REWRITE_MAX];
        bytes[..ipv4::HEADER_LEN].copy_from_slice(&header);
        Self { sum: folded, len: 20, bytes }
    }

    /// The same for packets whose own header becomes the outer one: all that it puts in front of them is room for the
    /// source that they had.
    pub(super) fn in_place(self) -> Self {
        Self { len: SOURCE_LEN_U16, ..self }
    }

    /// IPv6 outside; with `encap_limit`, a destination options header that carries it (RFC 2473
    /// §5.1).
    pub fn ipv6(local: Ipv6Addr, remote: Ipv6Addr, encap_limit: Option<u8>) -> Self {
        let fields = Ipv6Fields {
            traffic_class: 0,
            flow_label: 0,
            payload_len: 0,
            next_header: 0,
            hop_limit: 0,
            source: local,
            destination: remote,
        };
        let mut bytes = [0; REWRITE_MAX];
        bytes[..ipv6::HEADER_LEN].copy_from_slice(&fields.header());
        let mut len = 40;
        if let Some(limit) = encap_limit {
            bytes[ipv6::HEADER_LEN..].copy_from_slice(&encap_limit_header(limit));
            len += u16::from(ENCAP_LIMIT_LEN_U8);
        }
        Self { sum: 0, len, bytes }
    }

    /// How many bytes are put in front.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a rewrite is never empty")]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Puts bytes behind the outer header that every packet has there, but for what a plain
    /// [`Shim`](super::shim::Shim::plain) says. No room is left for them where there is an encapsulation limit.
    pub(super) fn put_shim(&mut self, shim: [u8; PLAIN_SHIM_MAX]) {
        let at = self.len();
        if let Some(place) = self.bytes.get_mut(at..at + PLAIN_SHIM_MAX) {
            place.copy_from_slice(&shim);
        }
    }

    /// Those bytes, behind an outer header of `OUTER` bytes.
    #[inline]
    pub fn shim<const OUTER: usize>(&self) -> [u8; PLAIN_SHIM_MAX] {
        const { assert!(OUTER + PLAIN_SHIM_MAX <= REWRITE_MAX) };
        let mut shim = [0; PLAIN_SHIM_MAX];
        shim.copy_from_slice(&self.bytes[OUTER..OUTER + PLAIN_SHIM_MAX]);
        shim
    }

    /// How many bytes of a rewrite count for IPv4 outside.
    pub(super) const IPV4_END: usize = 4 + ipv4::HEADER_LEN;

    /// The source in an outer IPv4 header.
    #[inline]
    pub fn local_ipv4(&self) -> u32 {
        read_u32(&self.bytes, ipv4::offset::SOURCE)
    }

    /// The sum of the addresses in an outer IPv4 header, as stored (see
    /// [`sum_as_stored`](crate::wire::checksum::sum_as_stored)).
    #[inline]
    pub fn addresses_ipv4(&self) -> u128 {
        self.eight::<{ ipv4::offset::SOURCE }>()
    }

    /// The same in an outer IPv6 header.
    #[inline]
    pub fn addresses_ipv6(&self) -> u128 {
        self.eight::<8>() + self.eight::<16>() + self.eight::<24>() + self.eight::<32>()
    }

    #[inline]
    fn eight<const AT: usize>(&self) -> u128 {
        const { assert!(AT + 8 <= REWRITE_MAX) };
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[AT..AT + 8]);
        u64::from_le_bytes(word).into()
    }

    /// The destination in an outer IPv4 header.
    #[inline]
    pub fn remote_ipv4(&self) -> u32 {
        read_u32(&self.bytes, ipv4::offset::DESTINATION)
    }

    /// The source in an outer IPv6 header.
    #[inline]
    pub fn local_ipv6(&self) -> u128 {
        read_u128(&self.bytes, ipv6::offset::SOURCE)
    }

    /// The destination in an outer IPv6 header.
    #[inline]
    pub fn remote_ipv6(&self) -> u128 {
        read_u128(&self.bytes, ipv6::offset::DESTINATION)
    }

    /// Writes the outer IPv4 header to the start of `room`, which has [`len`](Self::len) bytes.
    #[inline]
    pub fn write_ipv4(&self, room: &mut [u8], patch: Patch) {
        let Some(header) = room.first_chunk_mut::<{ ipv4::HEADER_LEN }>() else { return };
        if let Some(template) = self.bytes.first_chunk::<{ ipv4::HEADER_LEN }>() {
            *header = *template;
        }
        let total_len = patch.payload_len.saturating_add(20);
        let fragment = if patch.dont_fragment { ipv4::DONT_FRAGMENT } else { 0 };
        let ttl_protocol = u16::from_be_bytes([patch.ttl, patch.protocol]);
        header[ipv4::offset::TOS] = patch.tos;
        header[2..4].copy_from_slice(&total_len.to_be_bytes());
        header[4..6].copy_from_slice(&patch.identification.to_be_bytes());
        header[6..8].copy_from_slice(&fragment.to_be_bytes());
        header[8..10].copy_from_slice(&ttl_protocol.to_be_bytes());
        let sum = u64::from(self.sum)
            + u64::from(patch.tos)
            + u64::from(total_len)
            + u64::from(patch.identification)
            + u64::from(fragment)
            + u64::from(ttl_protocol);
        header[10..12].copy_from_slice(&(!fold(sum)).to_be_bytes());
    }

    /// Writes the outer IPv4 header in three words.
    #[inline]
    pub fn write_plain_ipv4(&self, header: &mut [u8; ipv4::HEADER_LEN], outer: OuterIpv4) {
        let total_len = outer.inner_len.wrapping_add(ipv4::HEADER_LEN_U16).swap_bytes();
        let first = outer.tos_and_flags.first()
            | u64::from(total_len) << 16
            | u64::from(outer.identification.swap_bytes()) << 32;
        let second = u32::from(outer.ttl) | u32::from(outer.protocol) << 8;
        let mut addresses = [0; 8];
        addresses.copy_from_slice(&self.bytes[ipv4::offset::SOURCE..ipv4::HEADER_LEN]);
        let addresses = u64::from_le_bytes(addresses);
        let checksum = !sum_of_20([first, addresses], second);
        header[..8].copy_from_slice(&first.to_le_bytes());
        header[8..12].copy_from_slice(&(second | u32::from(checksum) << 16).to_le_bytes());
        header[12..].copy_from_slice(&addresses.to_le_bytes());
    }

    /// Writes an outer IPv6 header that no extension header follows.
    #[inline]
    pub fn write_plain_ipv6(&self, header: &mut [u8; ipv6::HEADER_LEN], outer: OuterIpv6) {
        let class = u32::from(outer.traffic_class) << 20;
        let word = (6 << 28 | class | outer.flow_label & 0xf_ffff).swap_bytes();
        let first = u64::from(word)
            | u64::from(outer.inner_len.swap_bytes()) << 32
            | u64::from(outer.next_header) << 48
            | u64::from(outer.hop_limit) << 56;
        header[..8].copy_from_slice(&first.to_le_bytes());
        header[8..].copy_from_slice(&self.bytes[ipv6::offset::SOURCE..ipv6::HEADER_LEN]);
    }

    /// Writes the outer IPv6 header, and the destination options if there are any, to the start of
    /// `room`. A packet that carries a lower encapsulation limit of its own says so in
    /// `encap_limit`.
    #[inline]
    pub fn write_ipv6(&self, room: &mut [u8], patch: Patch, encap_limit: Option<u8>) {
        let has_limit = encap_limit.is_some() || self.len() > ipv6::HEADER_LEN;
        let Some(header) = room.first_chunk_mut::<{ ipv6::HEADER_LEN }>() else { return };
        if let Some(template) = self.bytes.first_chunk::<{ ipv6::HEADER_LEN }>() {
            *header = *template;
        }
        let label = patch.flow_label & 0xf_ffff;
        write_u32(header, 0, 6 << 28 | u32::from(patch.tos) << 20 | label);
        let options_len = if has_limit { ENCAP_LIMIT_LEN_U8 } else { 0 };
        let payload_len = patch.payload_len.saturating_add(u16::from(options_len));
        write_u16(header, ipv6::offset::PAYLOAD_LENGTH, payload_len);
        let first =
            if has_limit { crate::wire::protocol::DESTINATION_OPTIONS } else { patch.protocol };
        header[ipv6::offset::NEXT_HEADER] = first;
        header[ipv6::offset::HOP_LIMIT] = patch.ttl;
        if has_limit {
            let template = [self.bytes[44]];
            let limit = encap_limit.unwrap_or(template[0]);
            let mut options = encap_limit_header(limit);
            options[0] = patch.protocol;
            if let Some(place) = room.get_mut(ipv6::HEADER_LEN..ipv6::HEADER_LEN + ENCAP_LIMIT_LEN)
            {
                place.copy_from_slice(&options);
            }
        }
    }
}

/// Bytes of the destination options header with an encapsulation limit.
pub const ENCAP_LIMIT_LEN: usize = 8;
const ENCAP_LIMIT_LEN_U8: u8 = 8;

/// The header with next header 0: option type 4, length 1, the limit, and one byte of padding.
fn encap_limit_header(limit: u8) -> [u8; ENCAP_LIMIT_LEN] {
    //= RFC 2473 §5.1: next header, length 0, type 4, length 1, limit, PadN of one byte.
    [0, 0, 4, 1, limit, 1, 1, 0]
}

const _: () = assert!(REWRITE_MAX == ipv6::HEADER_LEN + ENCAP_LIMIT_LEN);
const _: () = assert!(ENCAP_LIMIT_LEN == ENCAP_LIMIT_LEN_U8 as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header};
    use proptest::prelude::*;

    proptest! {
        /// The reference encoder is etherparse, which fills every field anew.
        #[test]
        fn rewrite_and_patch_equal_the_reference_encoder_for_ipv4(
            local: [u8; 4], remote: [u8; 4], inner_len in 0_u16..65000, tos: u8, ttl: u8,
            is_ipv6: bool, identification: u16, dont_fragment: bool,
        ) {
            let protocol = if is_ipv6 { 41 } else { 4 };
            let patch = Patch {
                payload_len: inner_len, tos, ttl, protocol, identification, dont_fragment, flow_label: 0,
            };
            let rewrite = Rewrite::ipv4(local.into(), remote.into());
            let mut room = [0xaa; 20];
            rewrite.write_ipv4(&mut room, patch);
            let mut reference =
                Ipv4Header::new(inner_len, ttl, IpNumber(protocol), local, remote).unwrap();
            reference.dscp = etherparse::IpDscp::try_new(tos >> 2).unwrap();
            reference.ecn = etherparse::IpEcn::try_new(tos & 3).unwrap();
            reference.identification = identification;
            reference.dont_fragment = dont_fragment;
            reference.header_checksum = reference.calc_header_checksum();
            prop_assert_eq!(&room[..], &reference.to_bytes()[..]);
            let mut plain = [0xaa; 20];
            let fragment = if dont_fragment { 0x0040 } else { 0 };
            let tos_and_flags = TosAndFlags::new(tos, fragment);
            let outer = OuterIpv4 { inner_len, tos_and_flags, ttl, protocol, identification };
            rewrite.write_plain_ipv4(&mut plain, outer);
            prop_assert_eq!(&plain[..], &reference.to_bytes()[..]);
        }

        #[test]
        fn rewrite_and_patch_equal_the_reference_encoder_for_ipv6(
            local: [u8; 16], remote: [u8; 16], inner_len in 0_u16..65000, tos: u8, ttl: u8,
            is_ipv6: bool, flow_label in 0_u32..1 << 20, own: Option<u8>, carried: Option<u8>,
        ) {
            let protocol = if is_ipv6 { 41 } else { 4 };
            let patch = Patch {
                payload_len: inner_len, tos, ttl, protocol, identification: 0, dont_fragment: false, flow_label,
            };
            let rewrite = Rewrite::ipv6(local.into(), remote.into(), own);
            let mut room = [0xaa; 48];
            rewrite.write_ipv6(&mut room, patch, carried);
            let limit = carried.or(own);
            let extra = if limit.is_some() { 8 } else { 0 };
            let reference = Ipv6Header {
                traffic_class: tos,
                flow_label: Ipv6FlowLabel::try_new(flow_label).unwrap(),
                payload_length: inner_len + extra,
                next_header: IpNumber(if limit.is_some() { 60 } else { protocol }),
                hop_limit: ttl,
                source: local,
                destination: remote,
            };
            prop_assert_eq!(&room[..40], &reference.to_bytes()[..]);
            if let Some(limit) = limit {
                prop_assert_eq!(&room[40..], &[protocol, 0, 4, 1, limit, 1, 1, 0][..]);
            } else {
                prop_assert_eq!(&room[40..], &[0xaa; 8][..]);
                let mut plain = [0xaa; 40];
                let outer = OuterIpv6 {
                    inner_len, traffic_class: tos, hop_limit: ttl, next_header: protocol, flow_label,
                };
                rewrite.write_plain_ipv6(&mut plain, outer);
                prop_assert_eq!(&plain[..], &reference.to_bytes()[..]);
            }
        }
    }
}
