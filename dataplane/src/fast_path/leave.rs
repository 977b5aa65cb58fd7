//! Plain packets that came through a tunnel: checked, and forwarded to a host.

use super::Outcome;
use super::arrive::{Inside, Insides};
use super::counting::{NEAR_TUNNELS, prefetch_counters};
use super::expire::{expire_left_ipv4, expire_left_ipv6};
use super::header::{
    self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6, decrement_hop_limit, decrement_ttl,
};
use super::link::{LastLink, Link};
use super::list::see_to_each;
use crate::interface::TunnelId;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::stage::policy::{source_is_believed_ipv4, source_is_believed_ipv6};
use crate::tunnel::plain::Facts;
use crate::tunnel::{Tunnel, ecn};
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{ipv4, ipv6, read_u128};

/// Forwards the IPv4 packets that came through tunnels, behind outer headers that end at `END`.
#[inline(never)]
pub(super) fn leave_ipv4<const END: usize, const SHIM: bool>(
    burst: (&mut [Packet], &mut [Outcome]),
    insides: &Insides,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    if round.tables.tunnels.len() > NEAR_TUNNELS {
        prefetch_counters(insides.ipv4.items().iter().map(|item| item.tunnel), round);
    }
    let tunnels = round.tables.tunnels.as_slice();
    see_to_each(
        burst,
        insides.ipv4.items(),
        |item| item.at,
        |packet, item| {
            let tunnel = tunnels.get(item.tunnel.index())?;
            leave_one_ipv4::<END, SHIM>(packet, tunnel, item, last, round)
        },
    );
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn leave_ipv6<const END: usize, const SHIM: bool>(
    burst: (&mut [Packet], &mut [Outcome]),
    insides: &Insides,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    if round.tables.tunnels.len() > NEAR_TUNNELS {
        prefetch_counters(insides.ipv6.items().iter().map(|item| item.tunnel), round);
    }
    let tunnels = round.tables.tunnels.as_slice();
    see_to_each(
        burst,
        insides.ipv6.items(),
        |item| item.at,
        |packet, item| {
            let tunnel = tunnels.get(item.tunnel.index())?;
            leave_one_ipv6::<END, SHIM>(packet, tunnel, item, last, round)
        },
    );
}

#[inline]
fn leave_one_ipv4<const END: usize, const SHIM: bool>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    item: &Inside,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let frame = packet.data();
    let outer = Outer::read::<END>(frame)?;
    let shim_len = if SHIM { usize::from(item.shim_len) } else { 0 };
    let (at, room) = (END + shim_len, usize::from(outer.payload_len).checked_sub(shim_len)?);
    let inner_end = at + ipv4::HEADER_LEN;
    let plain = PlainIpv4::of(frame.get(at..inner_end)?.first_chunk()?);
    let is_plain = outer.is_plain(tunnel, Facts::DECAP_IPV4, plain.tos())
        && plain.is_sound(room)
        && plain.is_between_hosts()
        && plain.destination() != outer.source_ipv4;
    if !is_plain || header::opens_connection(frame, inner_end, plain.protocol(), tunnel) {
        return None;
    }
    if !is_believed_ipv4(tunnel, item.tunnel, plain.source(), round) {
        return None;
    }
    if plain.ttl() <= 1 {
        return expire_left_ipv4(packet, at, (item, tunnel), round);
    }
    let link = last.link_ipv4(item.next_hop, plain.destination(), round)?;
    if plain.total_len() > link.mtu {
        return None;
    }
    let start = uncover::<IPV4_END>(packet, at, plain.total_len())?;
    start[..12].copy_from_slice(&link.macs);
    start[12..14].copy_from_slice(&ether_type::IPV4.to_be_bytes());
    decrement_ttl(header::behind_ethernet_mut(start));
    Some(left(plain.total_len(), tunnel, link, round))
}

#[inline]
fn leave_one_ipv6<const END: usize, const SHIM: bool>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    item: &Inside,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let frame = packet.data();
    let outer = Outer::read::<END>(frame)?;
    let shim_len = if SHIM { usize::from(item.shim_len) } else { 0 };
    let (at, room) = (END + shim_len, usize::from(outer.payload_len).checked_sub(shim_len)?);
    let inner_end = at + ipv6::HEADER_LEN;
    let plain = PlainIpv6::of(frame.get(at..inner_end)?.first_chunk()?);
    let (source, destination) = (plain.source(), plain.destination());
    let is_plain = outer.is_plain(tunnel, Facts::DECAP_IPV6, plain.traffic_class())
        & plain.is_sound(room)
        & plain.is_between_hosts();
    if !is_plain
        || is_from::<END>(frame, destination)
        || header::opens_connection(frame, inner_end, plain.next_header(), tunnel)
    {
        return None;
    }
    let is_believed = if tunnel.plain.facts.has(Facts::SOURCE_NET_IPV6) {
        tunnel.source_net_ipv6.contains(source) && !round.tables.local.contains_ipv6(source)
    } else {
        source_is_believed_ipv6(tunnel, item.tunnel, source, destination, round)
    };
    if !is_believed {
        return None;
    }
    if plain.hop_limit() <= 1 {
        return expire_left_ipv6(packet, at, (item, tunnel), round);
    }
    let link = last.link_ipv6(item.next_hop, destination, round)?;
    if plain.total_len() > link.mtu {
        return None;
    }
    let start = uncover::<IPV6_END>(packet, at, plain.total_len())?;
    start[..12].copy_from_slice(&link.macs);
    start[12..14].copy_from_slice(&ether_type::IPV6.to_be_bytes());
    decrement_hop_limit(header::behind_ethernet_mut(start));
    Some(left(plain.total_len(), tunnel, link, round))
}

/// Counts a packet that left a tunnel.
#[inline(always)]
#[expect(clippy::inline_always, reason = "once a packet, with more to pass than to do")]
fn left(total_len: u16, tunnel: &Tunnel, link: &Link, round: &mut Round<'_>) -> Outcome {
    round.count_rx(tunnel.plain.slot, tunnel.measured_as(), usize::from(total_len));
    Outcome::taken(Path::Decap, link.port)
}

/// What counts of an outer header, which has been checked.
pub(super) struct Outer {
    tos: u8,
    ttl: u8,
    /// Bytes behind it.
    pub(super) payload_len: u16,
    /// 0 for IPv6.
    source_ipv4: u32,
}

impl Outer {
    /// Reads the one that ends at `END`.
    #[inline]
    pub(super) fn read<const END: usize>(frame: &[u8]) -> Option<Self> {
        if END == IPV4_END {
            let outer = PlainIpv4::of(frame.first_chunk::<IPV4_END>()?.last_chunk()?);
            Some(Self {
                tos: outer.tos(),
                ttl: outer.ttl(),
                payload_len: outer.total_len() - ipv4::HEADER_LEN_U16,
                source_ipv4: outer.source(),
            })
        } else {
            let outer = PlainIpv6::of(frame.first_chunk::<IPV6_END>()?.last_chunk()?);
            Some(Self {
                tos: outer.traffic_class(),
                ttl: outer.hop_limit(),
                payload_len: outer.payload_len(),
                source_ipv4: 0,
            })
        }
    }

    /// Whether nothing but the inner header decides about the packet, and its ECN field stays.
    #[inline]
    pub(super) fn is_plain(&self, tunnel: &Tunnel, fact: Facts, inner_tos: u8) -> bool {
        //= RFC 6040 §4.2: an outer Not-ECT, or the same field outside as inside, leaves the inner
        //= one as it is.
        let outer_ecn = self.tos & ecn::MASK;
        let keeps_ecn = (outer_ecn == 0) || (outer_ecn == inner_tos & ecn::MASK);
        let is_near_enough = self.ttl >= tunnel.plain.min_outer_ttl;
        tunnel.plain.facts.has(fact) & is_near_enough & keeps_ecn
    }
}

/// Whether the filter of the tunnel passes an inner source that hosts may have.
#[inline]
fn is_believed_ipv4(tunnel: &Tunnel, id: TunnelId, source: u32, round: &Round<'_>) -> bool {
    let is_in_net = tunnel.plain.source_net_ipv4.contains(source);
    is_in_net && !round.tables.local.is_no_source_ipv4(source)
        || is_routed_or_listed(tunnel, id, source, round)
}

#[cold]
#[inline(never)]
fn is_routed_or_listed(tunnel: &Tunnel, id: TunnelId, source: u32, round: &Round<'_>) -> bool {
    if tunnel.plain.facts.has(Facts::ROUTED_SOURCE) {
        return round.tables.fib4.lookup(source).as_tunnel() == Some(id);
    }
    source_is_believed_ipv4(tunnel, id, source, round)
}

/// Whether an address is the source of the outer header, which is IPv6 if `END` says so.
#[inline]
fn is_from<const END: usize>(frame: &[u8], address: u128) -> bool {
    END == IPV6_END && read_u128(frame, ethernet::HEADER_LEN + ipv6::offset::SOURCE) == address
}

/// Takes off what is in front of the inner header at `at`, but for room for an Ethernet header.
/// Returns the start of what is left, up to the inner header's end.
#[inline]
fn uncover<const INNER_END: usize>(
    packet: &mut Packet,
    at: usize,
    total_len: u16,
) -> Option<&mut [u8; INNER_END]> {
    let start = packet.headroom() + at - ethernet::HEADER_LEN;
    let len = ethernet::HEADER_LEN + usize::from(total_len);
    packet.reframe(start, len)?.first_chunk_mut()
}
