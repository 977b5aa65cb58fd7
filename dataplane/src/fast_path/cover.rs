//! What goes in front of a plain packet that enters a tunnel: a new Ethernet header, the outer header, and what
//! the tunnel has behind that.

use super::header::{PlainIpv4, PlainIpv6, decrement_hop_limit, decrement_ttl};
use super::link::Link;
use crate::node::flow::flow_label;
use crate::packet::Packet;
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::{Behind, Facts};
use crate::tunnel::rewrite::{OuterIpv4, OuterIpv6, PLAIN_SHIM_MAX, TosAndFlags};
use crate::tunnel::source_port::PortRange;
use crate::wire::checksum::sum_as_stored;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{ipv4, protocol, udp, write_u16};

/// Puts an IPv4 header, and what the tunnel has behind it, in front of a packet of `total_len` whose header has `INNER`
/// bytes, and takes one off its TTL. `None`: there is no room; then nothing has changed.
#[inline]
pub(super) fn cover_ipv4<const INNER: usize, const BEHIND: u16>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    total_len: u16,
    link: &Link,
    round: &mut Round<'_>,
) -> Option<()> {
    match BEHIND {
        Behind::NOTHING => {
            with_ipv4::<INNER, { Behind::NOTHING }, 0, 20>(packet, tunnel, total_len, link, round)
        }
        Behind::GRE => {
            with_ipv4::<INNER, { Behind::GRE }, 4, 24>(packet, tunnel, total_len, link, round)
        }
        Behind::GRE_WITH_KEY => with_ipv4::<INNER, { Behind::GRE_WITH_KEY }, 8, 28>(
            packet, tunnel, total_len, link, round,
        ),
        Behind::UDP => {
            with_ipv4::<INNER, { Behind::UDP }, 8, 28>(packet, tunnel, total_len, link, round)
        }
        Behind::GUE => {
            with_ipv4::<INNER, { Behind::GUE }, 12, 32>(packet, tunnel, total_len, link, round)
        }
        _ => match tunnel.setup.shim.len() {
            12 => with_ipv4::<INNER, { Behind::GRE_IN_UDP }, 12, 32>(
                packet, tunnel, total_len, link, round,
            ),
            16 => with_ipv4::<INNER, { Behind::GRE_IN_UDP }, 16, 36>(
                packet, tunnel, total_len, link, round,
            ),
            _ => with_ipv4::<INNER, { Behind::GRE_IN_UDP }, 20, 40>(
                packet, tunnel, total_len, link, round,
            ),
        },
    }
}

/// The same with IPv6.
#[inline]
pub(super) fn cover_ipv6<const INNER: usize, const BEHIND: u16>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    total_len: u16,
    link: &Link,
    round: &Round<'_>,
) -> Option<()> {
    match BEHIND {
        Behind::NOTHING => {
            with_ipv6::<INNER, { Behind::NOTHING }, 0, 40>(packet, tunnel, total_len, link, round)
        }
        Behind::GRE => {
            with_ipv6::<INNER, { Behind::GRE }, 4, 44>(packet, tunnel, total_len, link, round)
        }
        Behind::GRE_WITH_KEY => with_ipv6::<INNER, { Behind::GRE_WITH_KEY }, 8, 48>(
            packet, tunnel, total_len, link, round,
        ),
        Behind::UDP => {
            with_ipv6::<INNER, { Behind::UDP }, 8, 48>(packet, tunnel, total_len, link, round)
        }
        Behind::GUE => {
            with_ipv6::<INNER, { Behind::GUE }, 12, 52>(packet, tunnel, total_len, link, round)
        }
        _ => match tunnel.setup.shim.len() {
            12 => with_ipv6::<INNER, { Behind::GRE_IN_UDP }, 12, 52>(
                packet, tunnel, total_len, link, round,
            ),
            16 => with_ipv6::<INNER, { Behind::GRE_IN_UDP }, 16, 56>(
                packet, tunnel, total_len, link, round,
            ),
            _ => with_ipv6::<INNER, { Behind::GRE_IN_UDP }, 20, 60>(
                packet, tunnel, total_len, link, round,
            ),
        },
    }
}

/// Whether [`Behind`] the outer header is UDP, with whatever follows it.
#[inline]
const fn is_udp(behind: u16) -> bool {
    matches!(behind, Behind::UDP | Behind::GUE | Behind::GRE_IN_UDP)
}

/// Whether it is GRE.
#[inline]
const fn is_gre(behind: u16) -> bool {
    matches!(behind, Behind::GRE | Behind::GRE_WITH_KEY)
}

/// Puts a new Ethernet header, an IPv4 header and `SHIM` bytes of `BEHIND`, together with IPv4 `FRONT`, in front of a
/// packet that stands at its old Ethernet header.
#[inline]
fn with_ipv4<const INNER: usize, const BEHIND: u16, const SHIM: usize, const FRONT: usize>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    total_len: u16,
    link: &Link,
    round: &mut Round<'_>,
) -> Option<()> {
    let plain = &tunnel.plain;
    let (front, rest) = link_header::<INNER, FRONT>(packet, total_len, link, ether_type::IPV4)?;
    let (outer, shim) = front.split_first_chunk_mut()?;
    let inner = Inner::of::<INNER>(rest);
    decrement::<INNER>(rest);
    let tos_and_flags = if INNER == ipv4::HEADER_LEN {
        plain.fields.around_ipv4(inner.tos_and_flags)
    } else {
        plain.fields.around_ipv6(inner.tos_and_flags.tos())
    };
    let mut identification = 0;
    if tos_and_flags.is_without_flags() {
        //= RFC 6864 §4.1: only packets that may be fragmented need an identification.
        identification = round.identification(plain.path);
    }
    tunnel.rewrite.write_plain_ipv4(
        outer,
        OuterIpv4 {
            inner_len: total_len + shim_len::<SHIM>(),
            tos_and_flags,
            ttl: plain.ttl.apply(inner.ttl),
            protocol: outer_protocol::<INNER, BEHIND>(),
            identification,
        },
    );
    if is_gre(BEHIND) {
        shim.copy_from_slice(gre_header::<INNER, SHIM>(&mut tunnel.rewrite.shim::<20>()));
    } else if is_udp(BEHIND) {
        let template = tunnel.rewrite.shim::<20>();
        let hash = if has_source(template) { 0 } else { hash::<INNER>(rest, round) };
        let datagram = Datagram { template, hash, addresses: tunnel.rewrite.addresses_ipv4() };
        let behind = behind_udp::<INNER, BEHIND>(tunnel);
        shim.copy_from_slice(&datagram.header::<INNER, SHIM>(rest, total_len, plain.facts, behind));
    }
    Some(())
}

/// The same with an IPv6 header.
#[inline]
fn with_ipv6<const INNER: usize, const BEHIND: u16, const SHIM: usize, const FRONT: usize>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    total_len: u16,
    link: &Link,
    round: &Round<'_>,
) -> Option<()> {
    let plain = &tunnel.plain;
    let (front, rest) = link_header::<INNER, FRONT>(packet, total_len, link, ether_type::IPV6)?;
    let (outer, shim) = front.split_first_chunk_mut()?;
    let inner = Inner::of::<INNER>(rest);
    decrement::<INNER>(rest);
    let flow = if is_udp(BEHIND) { hash::<INNER>(rest, round) } else { 0 };
    let label = || flow_label(if is_udp(BEHIND) { flow } else { hash::<INNER>(rest, round) });
    tunnel.rewrite.write_plain_ipv6(
        outer,
        OuterIpv6 {
            inner_len: total_len + shim_len::<SHIM>(),
            traffic_class: plain.fields.tos(inner.tos_and_flags.tos()),
            hop_limit: plain.ttl.apply(inner.ttl),
            next_header: outer_protocol::<INNER, BEHIND>(),
            flow_label: plain.outer_flow_label(label),
        },
    );
    if is_gre(BEHIND) {
        shim.copy_from_slice(gre_header::<INNER, SHIM>(&mut tunnel.rewrite.shim::<40>()));
    } else if is_udp(BEHIND) {
        let template = tunnel.rewrite.shim::<40>();
        let datagram =
            Datagram { template, hash: flow, addresses: tunnel.rewrite.addresses_ipv6() };
        let behind = behind_udp::<INNER, BEHIND>(tunnel);
        shim.copy_from_slice(&datagram.header::<INNER, SHIM>(rest, total_len, plain.facts, behind));
    }
    Some(())
}

/// What the outer header takes from the inner one.
#[derive(Clone, Copy)]
struct Inner {
    /// No flags if it is IPv6.
    tos_and_flags: TosAndFlags,
    /// One less than it came.
    ttl: u8,
}

impl Inner {
    /// Of a packet as it came, whose header has `INNER` bytes.
    #[inline]
    fn of<const INNER: usize>(packet: &[u8]) -> Self {
        if INNER == ipv4::HEADER_LEN {
            let plain = packet.first_chunk().map(PlainIpv4::of).unwrap_or_default();
            Self { tos_and_flags: plain.tos_and_flags(), ttl: plain.ttl().wrapping_sub(1) }
        } else {
            let plain = packet.first_chunk().map(PlainIpv6::of).unwrap_or_default();
            let ttl = plain.hop_limit().wrapping_sub(1);
            Self { tos_and_flags: TosAndFlags::new(plain.traffic_class(), 0), ttl }
        }
    }
}

/// The IP protocol of a packet whose header has `INNER` bytes.
#[inline]
const fn inner_protocol<const INNER: usize>() -> u8 {
    if INNER == ipv4::HEADER_LEN { protocol::IPV4 } else { protocol::IPV6 }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 20")]
const fn shim_len<const SHIM: usize>() -> u16 {
    SHIM as u16
}

#[inline]
const fn outer_protocol<const INNER: usize, const BEHIND: u16>() -> u8 {
    match BEHIND {
        Behind::NOTHING => inner_protocol::<INNER>(),
        Behind::GRE | Behind::GRE_WITH_KEY => protocol::GRE,
        _ => protocol::UDP,
    }
}

/// What follows a UDP header, as it stands in memory: GUE where `SHIM` has room for it, or what makes it GRE in UDP.
#[inline]
fn behind_udp<const INNER: usize, const BEHIND: u16>(tunnel: &Tunnel) -> u128 {
    if BEHIND == Behind::GRE_IN_UDP {
        u128::from_le_bytes(tunnel.setup.shim.plain_behind_udp(inner_protocol::<INNER>()))
    } else if BEHIND == Behind::GUE {
        u32::from_le_bytes([0, inner_protocol::<INNER>(), 0, 0]).into()
    } else {
        0
    }
}

/// Takes one off the TTL or hop limit of a packet whose header has `INNER` bytes.
#[inline]
fn decrement<const INNER: usize>(packet: &mut [u8]) {
    if INNER == ipv4::HEADER_LEN {
        packet.first_chunk_mut().map(decrement_ttl);
    } else {
        packet.first_chunk_mut().map(decrement_hop_limit);
    }
}

/// The hash of the flow of a packet whose header has `INNER` bytes.
#[inline]
fn hash<const INNER: usize>(packet: &[u8], round: &Round<'_>) -> u64 {
    let flow = &round.tables.flow;
    if INNER == ipv4::HEADER_LEN { flow.hash_plain_ipv4(packet) } else { flow.hash_ipv6(packet) }
}

/// A GRE header from its template, around a packet whose header has `INNER` bytes.
#[inline]
fn gre_header<const INNER: usize, const SHIM: usize>(template: &mut [u8; PLAIN_SHIM_MAX]) -> &[u8] {
    let kind = if INNER == ipv4::HEADER_LEN { ether_type::IPV4 } else { ether_type::IPV6 };
    write_u16(template, 2, kind);
    template.get(..SHIM).unwrap_or(&[])
}

/// Whether a template of a UDP header says what port its packets are sent from.
#[inline]
const fn has_source(template: [u8; PLAIN_SHIM_MAX]) -> bool {
    let [first, second, ..] = template;
    u16::from_le_bytes([first, second]) != 0
}

/// What a UDP header is made of.
struct Datagram {
    template: [u8; PLAIN_SHIM_MAX],
    /// Of the flow inside, where no port is given.
    hash: u64,
    /// The sum of the outer addresses, as stored.
    addresses: u128,
}

impl Datagram {
    /// The header in front of a packet that is as it is to be sent, and whose header has `INNER` bytes; with as much of
    /// `behind` as there is room for.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once a packet, with nearly all of a loop to pass")]
    fn header<const INNER: usize, const SHIM: usize>(
        &self,
        packet: &[u8],
        total_len: u16,
        facts: Facts,
        behind: u128,
    ) -> [u8; SHIM] {
        let len = (total_len + shim_len::<SHIM>()).swap_bytes();
        let template = u64::from_le_bytes(self.template);
        let mut header = template & u64::from(u32::MAX) | u64::from(len) << 32;
        if !has_source(self.template) {
            let range = PortRange::of_packed((template >> 32) as u32);
            header |= u64::from(range.port_of(self.hash).swap_bytes());
        }
        if facts.has(Facts::UDP_CHECKSUM) {
            let protocol = u16::from(protocol::UDP).swap_bytes();
            let start = self.addresses
                + u128::from(header)
                + (behind & u128::from(u64::MAX))
                + (behind >> 64)
                + u128::from(u64::from(protocol) + u64::from(len));
            // A sound IPv4 header sums to nothing.
            let counted =
                if INNER == ipv4::HEADER_LEN { packet.get(INNER..) } else { Some(packet) };
            let checksum = !sum_as_stored(start, counted.unwrap_or(&[]));
            //= RFC 768: a checksum that comes to 0 is sent as all ones.
            let sent = if checksum == 0 { u16::MAX } else { checksum };
            header |= u64::from(sent) << 48;
        }
        let mut bytes = [0; SHIM];
        let (first, rest) = bytes.split_at_mut(udp::HEADER_LEN);
        first.copy_from_slice(&header.to_le_bytes());
        rest.copy_from_slice(&behind.to_le_bytes()[..SHIM - udp::HEADER_LEN]);
        bytes
    }
}

/// Makes room for an outer header in front of one of `INNER` bytes, cuts the packet to what belongs to it and writes its
/// Ethernet header. Returns the room for the outer header, and what is behind that.
#[inline]
fn link_header<'p, const INNER: usize, const OUTER: usize>(
    packet: &'p mut Packet,
    total_len: u16,
    link: &Link,
    kind: u16,
) -> Option<(&'p mut [u8; OUTER], &'p mut [u8])> {
    if usize::from(total_len) < INNER {
        return None;
    }
    let len = ethernet::HEADER_LEN + OUTER + usize::from(total_len);
    let frame = packet.reframe(packet.headroom().checked_sub(OUTER)?, len)?;
    let (header, rest) = frame.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
    header[..12].copy_from_slice(&link.macs);
    header[12..].copy_from_slice(&kind.to_be_bytes());
    rest.split_first_chunk_mut()
}
