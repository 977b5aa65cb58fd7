//! Plain packets that go into a tunnel.

use super::Outcome;
use super::counting::{NEAR_TUNNELS, prefetch_counters};
use super::header::{
    self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6, decrement_hop_limit, decrement_ttl,
};
use super::link::{LastLink, Link};
use super::list::{List, see_to_each};
use crate::interface::TunnelId;
use crate::node::flow::flow_label;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::Facts;
use crate::tunnel::rewrite::{OuterIpv4, OuterIpv6};
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{ipv4, protocol, write_u16};

/// What the outer header takes from the inner one.
#[derive(Clone, Copy)]
struct Inner {
    total_len: u16,
    protocol: u8,
    tos: u8,
    /// As it is inside, one less than it came.
    ttl: u8,
    /// The outer flags, where the outer header is IPv4.
    fragment: u16,
}

/// Puts the IPv4 packets that were sorted as such into their tunnels.
#[inline]
pub(super) fn enter_ipv4(
    burst: (&mut [Packet], &mut [Outcome]),
    entries: &List<(u16, TunnelId)>,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    if round.tables.limits.nested_encaps == 0 {
        return;
    }
    if round.tables.tunnels.len() > NEAR_TUNNELS {
        prefetch_counters(entries.items().iter().map(|&(_, id)| id), round);
    }
    see_to_each(
        burst,
        entries.items(),
        |&(at, _)| at,
        |packet, &(_, id)| enter_one_ipv4::<false>(packet, id, last, round),
    );
}

/// The same for IPv6.
#[inline]
pub(super) fn enter_ipv6(
    burst: (&mut [Packet], &mut [Outcome]),
    entries: &List<(u16, TunnelId)>,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    if round.tables.limits.nested_encaps == 0 {
        return;
    }
    if round.tables.tunnels.len() > NEAR_TUNNELS {
        prefetch_counters(entries.items().iter().map(|&(_, id)| id), round);
    }
    see_to_each(
        burst,
        entries.items(),
        |&(at, _)| at,
        |packet, &(_, id)| enter_one_ipv6::<false>(packet, id, last, round),
    );
}

/// One whose tunnel has something behind the outer header.
#[inline(never)]
fn enter_one_behind_shim_ipv4(
    packet: &mut Packet,
    id: TunnelId,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    enter_one_ipv4::<true>(packet, id, last, round)
}

#[inline]
fn enter_one_ipv4<const SHIM: bool>(
    packet: &mut Packet,
    id: TunnelId,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let tunnel = round.tables.tunnel(id)?;
    if !SHIM && tunnel.plain.facts.has_some(Facts::ANY_SHIM) {
        return enter_one_behind_shim_ipv4(packet, id, last, round);
    }
    let start = packet.data().first_chunk::<IPV4_END>()?;
    let plain = PlainIpv4::of(header::behind_ethernet(start));
    if header::opens_connection(packet.data(), IPV4_END, plain.protocol(), tunnel) {
        return None;
    }
    let link = way(tunnel, Facts::ENCAP_IPV4, plain.total_len(), last, round)?;
    let inner = Inner {
        total_len: plain.total_len(),
        protocol: protocol::IPV4,
        tos: plain.tos(),
        ttl: plain.ttl() - 1,
        fragment: tunnel.plain.fragment.apply(plain.fragment()),
    };
    if tunnel.plain.facts.has(Facts::IPV6_OUTSIDE) {
        decrement_ttl(cover_ipv6::<_, SHIM>(packet, tunnel, inner, link, round)?);
    } else {
        let remote = tunnel.rewrite.remote_ipv4();
        if (plain.source() == remote) | (plain.destination() == remote) {
            return None;
        }
        decrement_ttl(cover_ipv4::<_, SHIM>(packet, tunnel, inner, link, round)?);
    }
    Some(entered(inner, tunnel, link, round))
}

/// One whose tunnel has something behind the outer header.
#[inline(never)]
fn enter_one_behind_shim_ipv6(
    packet: &mut Packet,
    id: TunnelId,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    enter_one_ipv6::<true>(packet, id, last, round)
}

#[inline]
fn enter_one_ipv6<const SHIM: bool>(
    packet: &mut Packet,
    id: TunnelId,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let tunnel = round.tables.tunnel(id)?;
    if !SHIM && tunnel.plain.facts.has_some(Facts::ANY_SHIM) {
        return enter_one_behind_shim_ipv6(packet, id, last, round);
    }
    let start = packet.data().first_chunk::<IPV6_END>()?;
    let plain = PlainIpv6::of(header::behind_ethernet(start));
    if header::opens_connection(packet.data(), IPV6_END, plain.next_header(), tunnel) {
        return None;
    }
    let link = way(tunnel, Facts::ENCAP_IPV6, plain.total_len(), last, round)?;
    let inner = Inner {
        total_len: plain.total_len(),
        protocol: protocol::IPV6,
        tos: plain.traffic_class(),
        ttl: plain.hop_limit() - 1,
        fragment: tunnel.plain.fragment_ipv6,
    };
    if tunnel.plain.facts.has(Facts::IPV6_OUTSIDE) {
        let remote = tunnel.rewrite.remote_ipv6();
        if (plain.source() == remote) | (plain.destination() == remote) {
            return None;
        }
        decrement_hop_limit(cover_ipv6::<_, SHIM>(packet, tunnel, inner, link, round)?);
    } else {
        decrement_hop_limit(cover_ipv4::<_, SHIM>(packet, tunnel, inner, link, round)?);
    }
    Some(entered(inner, tunnel, link, round))
}

/// How an inner packet of some size leaves once it is in the tunnel, if it may enter as it is.
#[inline]
fn way<'l>(
    tunnel: &Tunnel,
    fact: Facts,
    total_len: u16,
    last: &'l mut LastLink,
    round: &Round<'_>,
) -> Option<&'l Link> {
    // What fits the tunnel fits the underlay port around it: that is in the plain MTU.
    if !tunnel.plain.facts.has(fact) || total_len > tunnel.plain.mtu {
        return None;
    }
    if round.tables.soft_state.knows_something() && is_held_up(tunnel, total_len, round) {
        return None;
    }
    last.link(tunnel.plain.underlay, round)
}

/// Whether what is known of the path keeps a packet from going like any other.
#[inline(never)]
fn is_held_up(tunnel: &Tunnel, total_len: u16, round: &Round<'_>) -> bool {
    let outer_len = usize::from(total_len) + tunnel.overhead();
    outer_len > usize::from(round.tables.soft_state.limit(tunnel.plain.path))
}

/// Counts a packet that entered a tunnel.
#[inline]
fn entered(inner: Inner, tunnel: &Tunnel, link: &Link, round: &mut Round<'_>) -> Outcome {
    let inner_len = usize::from(inner.total_len);
    round.count_tx(tunnel.plain.slot, tunnel.measured_as(), inner_len);
    Outcome::taken(Path::Encap, link.port)
}

/// Puts an IPv4 header, and what the tunnel has behind it, in front of a packet.
#[inline]
fn cover_ipv4<'p, const INNER: usize, const SHIM: bool>(
    packet: &'p mut Packet,
    tunnel: &Tunnel,
    inner: Inner,
    link: &Link,
    round: &mut Round<'_>,
) -> Option<&'p mut [u8; INNER]> {
    if !SHIM {
        cover_with_ipv4::<INNER, 0, 20>(packet, tunnel, inner, link, round)
    } else if tunnel.plain.facts.has(Facts::SHIM_OF_4) {
        cover_with_ipv4::<INNER, 4, 24>(packet, tunnel, inner, link, round)
    } else {
        cover_with_ipv4::<INNER, 8, 28>(packet, tunnel, inner, link, round)
    }
}

/// The same with IPv6.
#[inline]
fn cover_ipv6<'p, const INNER: usize, const SHIM: bool>(
    packet: &'p mut Packet,
    tunnel: &Tunnel,
    inner: Inner,
    link: &Link,
    round: &Round<'_>,
) -> Option<&'p mut [u8; INNER]> {
    if !SHIM {
        cover_with_ipv6::<INNER, 0, 40>(packet, tunnel, inner, link, round)
    } else if tunnel.plain.facts.has(Facts::SHIM_OF_4) {
        cover_with_ipv6::<INNER, 4, 44>(packet, tunnel, inner, link, round)
    } else {
        cover_with_ipv6::<INNER, 8, 48>(packet, tunnel, inner, link, round)
    }
}

/// Puts a new Ethernet header, an IPv4 header and `SHIM` bytes, together with IPv4 `FRONT`, in front of a packet
/// that stands at its old Ethernet header. Returns the inner header, or `None` when there is no room; then
/// nothing has changed.
#[inline]
fn cover_with_ipv4<'p, const INNER: usize, const SHIM: usize, const FRONT: usize>(
    packet: &'p mut Packet,
    tunnel: &Tunnel,
    inner: Inner,
    link: &Link,
    round: &mut Round<'_>,
) -> Option<&'p mut [u8; INNER]> {
    let plain = &tunnel.plain;
    let (front, rest) = link_header::<FRONT>(packet, inner, link, ether_type::IPV4)?;
    let (outer, shim) = front.split_first_chunk_mut()?;
    let mut identification = 0;
    if inner.fragment == 0 {
        //= RFC 6864 §4.1: only packets that may be fragmented need an identification.
        identification = round.identification(plain.path);
    }
    tunnel.rewrite.write_plain_ipv4(
        outer,
        OuterIpv4 {
            inner_len: inner.total_len + shim_len::<SHIM>(),
            tos: plain.tos.apply(inner.tos),
            ttl: plain.ttl.apply(inner.ttl),
            protocol: if SHIM == 0 { inner.protocol } else { protocol::GRE },
            identification,
            fragment: inner.fragment,
        },
    );
    if SHIM != 0 {
        shim.copy_from_slice(&gre_header::<INNER, SHIM>(tunnel.rewrite.shim::<20, SHIM>()));
    }
    rest.first_chunk_mut()
}

/// The same with an IPv6 header.
#[inline]
fn cover_with_ipv6<'p, const INNER: usize, const SHIM: usize, const FRONT: usize>(
    packet: &'p mut Packet,
    tunnel: &Tunnel,
    inner: Inner,
    link: &Link,
    round: &Round<'_>,
) -> Option<&'p mut [u8; INNER]> {
    let plain = &tunnel.plain;
    // Without the frame's padding.
    let inner_end = ethernet::HEADER_LEN + usize::from(inner.total_len);
    let inner_bytes = packet.data().get(ethernet::HEADER_LEN..inner_end).unwrap_or(&[]);
    let flow_label = plain.outer_flow_label(|| flow_label(round.tables.flow.hash(inner_bytes)));
    let (front, rest) = link_header::<FRONT>(packet, inner, link, ether_type::IPV6)?;
    let (outer, shim) = front.split_first_chunk_mut()?;
    tunnel.rewrite.write_plain_ipv6(
        outer,
        OuterIpv6 {
            inner_len: inner.total_len + shim_len::<SHIM>(),
            traffic_class: plain.tos.apply(inner.tos),
            hop_limit: plain.ttl.apply(inner.ttl),
            next_header: if SHIM == 0 { inner.protocol } else { protocol::GRE },
            flow_label,
        },
    );
    if SHIM != 0 {
        shim.copy_from_slice(&gre_header::<INNER, SHIM>(tunnel.rewrite.shim::<40, SHIM>()));
    }
    rest.first_chunk_mut()
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most 8")]
const fn shim_len<const SHIM: usize>() -> u16 {
    SHIM as u16
}

/// A GRE header from its template, around a packet whose header has `INNER` bytes.
#[inline]
fn gre_header<const INNER: usize, const SHIM: usize>(mut template: [u8; SHIM]) -> [u8; SHIM] {
    let kind = if INNER == ipv4::HEADER_LEN { ether_type::IPV4 } else { ether_type::IPV6 };
    write_u16(&mut template, 2, kind);
    template
}

/// Makes room for an outer header, cuts the packet to what belongs to it and writes its Ethernet
/// header. Returns the room for the outer header, and what is behind that.
#[inline]
fn link_header<'p, const OUTER: usize>(
    packet: &'p mut Packet,
    inner: Inner,
    link: &Link,
    kind: u16,
) -> Option<(&'p mut [u8; OUTER], &'p mut [u8])> {
    let len = ethernet::HEADER_LEN + OUTER + usize::from(inner.total_len);
    let frame = packet.reframe(packet.headroom().checked_sub(OUTER)?, len)?;
    let (header, rest) = frame.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
    header[..12].copy_from_slice(&link.macs);
    header[12..].copy_from_slice(&kind.to_be_bytes());
    rest.split_first_chunk_mut()
}
