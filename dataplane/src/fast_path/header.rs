//! Reading a header that is as plain as can be, in as few loads as it takes: the frame's start, an
//! IPv4 header without options, an IPv6 header. Whatever is not plain is `None`, and nobody's
//! fault: the stages look at it closely.

use crate::node::options::is_extension;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::Facts;
use crate::tunnel::rewrite::TosAndFlags;
use crate::wire::checksum::is_right_20;
use crate::wire::ethernet::MacAddress;
use crate::wire::{ethernet, ipv4, ipv6, protocol};

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

/// What a frame carries, to whomever it is addressed.
#[inline]
pub(super) fn kind(frame: &[u8; IPV4_END]) -> Carried {
    // Type 0x0800 and the byte 0x45; type 0x86dd and the version, as they stand in memory.
    const PLAIN_IPV4: u32 = 0x0045_0008;
    const IPV6: u32 = 0x0060_dd86;
    let kind = four::<12, IPV4_END>(frame);
    if kind & 0x00ff_ffff == PLAIN_IPV4 {
        Carried::Ipv4
    } else if kind & 0x00f0_ffff == IPV6 {
        Carried::Ipv6
    } else {
        Carried::Other
    }
}

/// What a frame carries, if it is addressed to this node; `own`: see [`mac_word`].
#[inline]
pub(super) fn carried(frame: &[u8; IPV4_END], own: u64) -> Carried {
    if (eight::<0, IPV4_END>(frame) ^ own) << 16 == 0 { kind(frame) } else { Carried::Other }
}

/// The header that ends where `start`, of a frame, ends.
#[inline]
pub(super) fn behind_ethernet<const END: usize, const LEN: usize>(start: &[u8; END]) -> &[u8; LEN] {
    const { assert!(END == ethernet::HEADER_LEN + LEN) };
    match start.last_chunk() {
        Some(header) => header,
        None => const { &[0; LEN] },
    }
}

/// The same, to be changed.
#[inline]
pub(super) fn behind_ethernet_mut<const END: usize, const LEN: usize>(
    start: &mut [u8; END],
) -> &mut [u8; LEN] {
    const { assert!(END == ethernet::HEADER_LEN + LEN) };
    start.last_chunk_mut().expect("a header, because END is so long")
}

/// Whether tunnels use a protocol.
#[inline]
pub(super) fn is_tunnels(protocol: u8) -> bool {
    matches!(protocol, protocol::IPV4 | protocol::IPV6)
}

/// Whether a packet opens a TCP connection through a tunnel that has something to say to that; its
/// upper layer begins `at` bytes into the frame. Pieces of packets may seem to.
#[inline]
pub(super) fn opens_connection(frame: &[u8], at: usize, ip_protocol: u8, tunnel: &Tunnel) -> bool {
    const FLAGS: usize = 13;
    const SYN: u8 = 2;
    ip_protocol == protocol::TCP
        && frame.get(at + FLAGS).is_some_and(|flags| flags & SYN != 0)
        && tunnel.plain.facts.has(Facts::CLAMPS_MSS)
}

/// A plain IPv4 header: its bytes in three words, from which fields are cut when they are wanted.
#[derive(Clone, Copy, Default)]
pub(super) struct PlainIpv4 {
    first: u64,
    second: u64,
    third: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
impl PlainIpv4 {
    /// Reads a header. Only one that [`is_sound`](Self::is_sound) is to be believed.
    #[inline]
    pub(super) fn of(header: &[u8; ipv4::HEADER_LEN]) -> Self {
        let (first, second) = (eight::<0, 20>(header), eight::<8, 20>(header));
        Self { first, second, third: four::<16, 20>(header) }
    }

    /// Whether its length is that of a packet, with a header without options, for which there is `room`.
    #[inline]
    pub(super) const fn fits(self, room: usize) -> bool {
        let total_len = self.total_len() as usize;
        total_len >= ipv4::HEADER_LEN && total_len <= room
    }

    /// Whether it passes what RFC 1812 §5.2.2 asks, and has no options; `room` is how many bytes
    /// there are from its start on.
    #[inline]
    pub(super) fn is_sound(self, room: usize) -> bool {
        self.has_right_checksum() && self.fits(room) && self.first as u8 == 0x45
    }

    /// The same for one whose first byte is known to be right, with `room` behind it.
    #[inline]
    pub(super) fn is_sound_of_kind(self, room: usize) -> bool {
        // What is too short becomes longer than any frame.
        let payload_len = self.total_len().wrapping_sub(ipv4::HEADER_LEN_U16);
        self.has_right_checksum() && usize::from(payload_len) <= room
    }

    #[inline]
    const fn has_right_checksum(self) -> bool {
        is_right_20([self.first, self.second], self.third)
    }

    #[inline]
    pub(super) const fn total_len(self) -> u16 {
        ((self.first >> 16) as u16).swap_bytes()
    }

    #[inline]
    pub(super) const fn tos(self) -> u8 {
        (self.first >> 8) as u8
    }

    #[inline]
    pub(super) const fn identification(self) -> u16 {
        ((self.first >> 32) as u16).swap_bytes()
    }

    #[inline]
    pub(super) const fn tos_and_flags(self) -> TosAndFlags {
        TosAndFlags::of(self.first)
    }

    /// Flags and offset, as a little-endian word of what stands there.
    #[inline]
    pub(super) const fn fragment(self) -> u16 {
        (self.first >> 48) as u16
    }

    #[inline]
    pub(super) const fn ttl(self) -> u8 {
        self.second as u8
    }

    #[inline]
    pub(super) const fn protocol(self) -> u8 {
        (self.second >> 8) as u8
    }

    #[inline]
    pub(super) const fn source(self) -> u32 {
        ((self.second >> 32) as u32).swap_bytes()
    }

    #[inline]
    pub(super) const fn destination(self) -> u32 {
        self.third.swap_bytes()
    }

    /// The sum of its addresses as stored, not folded.
    #[inline]
    pub(super) const fn sum_of_addresses(self) -> u64 {
        (self.second >> 32) + self.third as u64
    }

    /// Whether it is a piece of a packet.
    #[inline]
    pub(super) const fn is_fragment(self) -> bool {
        self.fragment() & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK).swap_bytes() != 0
    }

    /// Whether it may be forwarded: its TTL lasts, and both addresses are those of hosts (RFC 1812
    /// §5.3.1, §5.3.7).
    #[inline]
    pub(super) fn may_pass(self) -> bool {
        (self.ttl() > 1) & self.is_between_hosts()
    }

    /// Whether both addresses are those of hosts.
    #[inline]
    pub(super) fn is_between_hosts(self) -> bool {
        self.is_from_host() & HOST_NETS[usize::from(self.third as u8)]
    }

    /// Whether the source is that of a host.
    #[inline]
    pub(super) fn is_from_host(self) -> bool {
        HOST_NETS[usize::from((self.second >> 32) as u8)]
    }
}

/// Whether a first byte is one of hosts: 1/8 to 223/8 without 127/8.
const HOST_NETS: [bool; 256] = {
    let mut nets = [false; 256];
    let mut net = 1;
    while net < 224 {
        nets[net] = net != 127;
        net += 1;
    }
    nets
};

/// An IPv6 header that an upper layer follows: its bytes in words, from which fields are cut when
/// they are wanted.
#[derive(Clone, Copy, Default)]
pub(super) struct PlainIpv6 {
    first: u64,
    source: [u64; 2],
    destination: [u64; 2],
}

#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of words")]
impl PlainIpv6 {
    /// Reads a header. Only one that [`is_sound`](Self::is_sound) is to be believed.
    #[inline]
    pub(super) fn of(header: &[u8; ipv6::HEADER_LEN]) -> Self {
        Self {
            first: eight::<0, 40>(header),
            source: [eight::<8, 40>(header), eight::<16, 40>(header)],
            destination: [eight::<24, 40>(header), eight::<32, 40>(header)],
        }
    }

    /// Whether it is one, and no extension header follows; `room` is how many bytes there are from
    /// its start on.
    #[inline]
    pub(super) fn is_sound(self, room: usize) -> bool {
        let fits = usize::from(self.payload_len()) + ipv6::HEADER_LEN <= room;
        fits && self.first as u8 >> 4 == 6 && !is_extension(self.next_header())
    }

    /// Whether it is one, and a fragment header follows.
    #[inline]
    pub(super) fn is_sound_piece(self, room: usize) -> bool {
        let fits = usize::from(self.payload_len()) + ipv6::HEADER_LEN <= room;
        fits && self.first as u8 >> 4 == 6 && self.next_header() == protocol::FRAGMENT
    }

    #[inline]
    pub(super) const fn payload_len(self) -> u16 {
        ((self.first >> 32) as u16).swap_bytes()
    }

    /// Header and payload; a sound one is no longer than a packet.
    #[inline]
    pub(super) const fn total_len(self) -> u16 {
        self.payload_len().wrapping_add(ipv6::HEADER_LEN_U16)
    }

    #[inline]
    pub(super) const fn traffic_class(self) -> u8 {
        ((self.first as u16).swap_bytes() >> 4) as u8
    }

    #[inline]
    pub(super) const fn next_header(self) -> u8 {
        (self.first >> 48) as u8
    }

    #[inline]
    pub(super) const fn hop_limit(self) -> u8 {
        (self.first >> 56) as u8
    }

    #[inline]
    pub(super) const fn source(self) -> u128 {
        address(self.source)
    }

    #[inline]
    pub(super) const fn destination(self) -> u128 {
        address(self.destination)
    }

    /// The sum of its addresses as stored, not folded.
    #[inline]
    pub(super) const fn sum_of_addresses(self) -> u128 {
        let ([a, b], [c, d]) = (self.source, self.destination);
        (a as u128 + b as u128) + (c as u128 + d as u128)
    }

    /// Whether it may be forwarded: its hop limit lasts, and both addresses are of a kind that is
    /// forwarded: not multicast, link-local, unspecified, loopback or an IPv4 address in disguise.
    #[inline]
    pub(super) fn may_pass(self) -> bool {
        (self.hop_limit() > 1) & self.is_between_hosts()
    }

    /// Whether both addresses are of a kind that is forwarded.
    #[inline]
    pub(super) fn is_between_hosts(self) -> bool {
        // 0100::/8 to fdff::/8 is what is between the odd ends of the address space.
        let is_host = |first: u8| first.wrapping_sub(1) < 0xfd;
        is_host(self.source[0] as u8) & is_host(self.destination[0] as u8)
    }
}

/// An address from its words as they stand in memory.
#[inline]
const fn address([high, low]: [u64; 2]) -> u128 {
    (high.swap_bytes() as u128) << 64 | low.swap_bytes() as u128
}

/// Takes one off the TTL of an IPv4 header, which is not 0, and mends the checksum.
#[inline]
pub(super) fn decrement_ttl(header: &mut [u8; ipv4::HEADER_LEN]) {
    let word = four::<8, 20>(header);
    //= RFC 1624 §3: the checksum grows by what the word lost, with the carry brought round; a sum
    //= of all ones is written as 0.
    // Both at once: one less below, two more above, of which one is taken back unless that overflows.
    let (word, has_carry) = word.overflowing_add((2 << 16) - 1);
    let word = word.wrapping_sub(u32::from(!has_carry) << 16);
    header[8..12].copy_from_slice(&word.to_le_bytes());
}

/// Takes one off the hop limit of an IPv6 header.
#[inline]
pub(super) fn decrement_hop_limit(header: &mut [u8; ipv6::HEADER_LEN]) {
    header[ipv6::offset::HOP_LIMIT] = header[ipv6::offset::HOP_LIMIT].wrapping_sub(1);
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
            let plain = Some(PlainIpv4::of(bytes.first_chunk().unwrap()));
            let plain = plain.filter(|plain| plain.is_sound(bytes.len()));
            prop_assert_eq!(
                plain.is_some(),
                PlainIpv4::of(bytes.first_chunk().unwrap()).is_sound_of_kind(bytes.len() - 20),
            );
            let full = Ipv4::parse(&bytes);
            prop_assert_eq!(plain.is_some(), full.is_ok());
            let (Some(plain), Ok(full)) = (plain, full) else { return Ok(()) };
            prop_assert_eq!(plain.total_len(), full.total_len());
            prop_assert_eq!(plain.tos(), full.tos());
            prop_assert_eq!(plain.ttl(), full.ttl());
            prop_assert_eq!(plain.protocol(), full.protocol());
            prop_assert_eq!(plain.is_fragment(), full.is_fragment());
            prop_assert_eq!(plain.fragment().swap_bytes(), full.fragment_field());
            prop_assert_eq!(plain.source(), full.source());
            prop_assert_eq!(plain.destination(), full.destination());
        }

        #[test]
        fn an_ipv6_header_is_read_as_the_full_parser_reads_it(
            mut bytes in proptest::collection::vec(any::<u8>(), 40..80), len in 0_u16..60,
        ) {
            bytes[0] = 0x60 | bytes[0] & 15;
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            let plain = Some(PlainIpv6::of(bytes.first_chunk().unwrap()));
            let plain = plain.filter(|plain| plain.is_sound(bytes.len()));
            let full = Ipv6::parse(&bytes).ok().filter(|full| !is_extension(full.next_header()));
            prop_assert_eq!(plain.is_some(), full.is_some());
            let (Some(plain), Some(full)) = (plain, full) else { return Ok(()) };
            prop_assert_eq!(usize::from(plain.total_len()), full.total_len());
            prop_assert_eq!(plain.traffic_class(), full.traffic_class());
            prop_assert_eq!(plain.next_header(), full.next_header());
            prop_assert_eq!(plain.hop_limit(), full.hop_limit());
            prop_assert_eq!(plain.source(), full.source());
            prop_assert_eq!(plain.destination(), full.destination());
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
