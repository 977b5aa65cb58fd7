//! The second loop, over what a tunnel may have brought: whose it is, and where the addresses inside
//! lead. Nothing inside is checked yet: whatever the bytes are, a lookup of them gives some answer and
//! does no harm.

use super::FastPath;
use super::ends::{sort_strangers_ipv4, sort_strangers_ipv6};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::leave::{leave_ipv4, leave_ipv6};
use super::link::LastLink;
use super::list::List;
use super::lookups::Lookups;
use crate::fib::{LastFound, NextHopId};
use crate::interface::{PortId, TunnelId};
use crate::packet::Packet;
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{Found, Home, Protocols};
use crate::wire::{ipv4, ipv6, protocol, read_u32, read_u128};

/// A packet whose tunnel is known, with what the lookup made of the destination inside.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub(super) at: u16,
    pub(super) tunnel: TunnelId,
    pub(super) next_hop: NextHopId,
    /// Bytes between the outer header and the packet inside.
    pub(super) shim_len: u16,
}

/// Packets whose tunnels have one family outside, by the family inside.
pub(super) struct Insides {
    pub(super) ipv4: List<Inside>,
    pub(super) ipv6: List<Inside>,
    /// The destination of the former looked up last.
    last4: LastFound,
    /// The destinations of the latter.
    destinations6: Lookups,
}

impl Default for Insides {
    fn default() -> Self {
        let filler = Inside { at: 0, tunnel: TunnelId(0), next_hop: NextHopId::NONE, shim_len: 0 };
        let (last4, destinations6) = (LastFound::default(), Lookups::default());
        Self { ipv4: List::new(filler), ipv6: List::new(filler), last4, destinations6 }
    }
}

impl FastPath {
    /// Sees to the packets of protocols that tunnels use, with IPv4 outside. Those of other people's
    /// tunnels are sorted like any other packet.
    pub(super) fn arrive_in_ipv4(
        &mut self,
        packets: &mut [Packet],
        port: PortId,
        last: &mut LastLink,
        round: &mut Round<'_>,
    ) {
        let Self { ipv4, arrivals4, strangers4, odd4, insides, outcomes, .. } = self;
        let tables = round.tables;
        insides.clear();
        strangers4.clear();
        if tables.fib4.is_large() {
            prefetch_inside::<IPV4_END>(packets, arrivals4, tables);
        }
        for &(at, home) in arrivals4.items() {
            let Some(packet) = packets.get(usize::from(at)) else { continue };
            let Some(start) = packet.data().first_chunk::<IPV4_END>() else { continue };
            let outer = PlainIpv4::of(header::behind_ethernet(start));
            let (local, remote) = (outer.destination(), outer.source());
            let protocols = Protocols::of(outer.protocol());
            match tables.tunnels_by_ipv4.find_from(home, local, remote, protocols, Some(port)) {
                Found::Tunnel(id) => {
                    let inner = packet.data().get(IPV4_END..).unwrap_or(&[]);
                    insides.push((at, 0), id, outer.protocol(), inner, tables);
                }
                found => strangers4.push((at, found)),
            }
        }
        if !strangers4.is_empty() {
            let outcomes = &mut *outcomes;
            sort_strangers_ipv4((packets, outcomes), strangers4, (ipv4, odd4), round);
        }
        insides.look_up(tables);
        leave_ipv4::<IPV4_END, false>((packets, outcomes), insides, last, round);
        leave_ipv6::<IPV4_END, false>((packets, outcomes), insides, last, round);
    }

    /// The same with IPv6 outside.
    pub(super) fn arrive_in_ipv6(
        &mut self,
        packets: &mut [Packet],
        port: PortId,
        last: &mut LastLink,
        round: &mut Round<'_>,
    ) {
        let Self { ipv6, arrivals6, strangers6, odd6, insides, outcomes, .. } = self;
        let lookups = &mut self.destinations6;
        let tables = round.tables;
        insides.clear();
        strangers6.clear();
        if tables.fib4.is_large() {
            prefetch_inside::<IPV6_END>(packets, arrivals6, tables);
        }
        for &(at, home) in arrivals6.items() {
            let Some(packet) = packets.get(usize::from(at)) else { continue };
            let Some(start) = packet.data().first_chunk::<IPV6_END>() else { continue };
            let outer = PlainIpv6::of(header::behind_ethernet(start));
            let (local, remote) = (outer.destination(), outer.source());
            let protocols = Protocols::of(outer.next_header());
            match tables.tunnels_by_ipv6.find_from(home, local, remote, protocols, Some(port)) {
                Found::Tunnel(id) => {
                    let inner = packet.data().get(IPV6_END..).unwrap_or(&[]);
                    insides.push((at, 0), id, outer.next_header(), inner, tables);
                }
                found => strangers6.push((at, found)),
            }
        }
        if !strangers6.is_empty() {
            let outcomes = &mut *outcomes;
            sort_strangers_ipv6((packets, outcomes), strangers6, (ipv6, odd6), lookups, round);
        }
        insides.look_up(tables);
        leave_ipv4::<IPV6_END, false>((packets, outcomes), insides, last, round);
        leave_ipv6::<IPV6_END, false>((packets, outcomes), insides, last, round);
    }
}

/// Asks for the routes of what is behind outer headers that end at `END`, if that is IPv4.
fn prefetch_inside<const END: usize>(
    packets: &[Packet],
    arrivals: &List<(u16, Home)>,
    tables: &Tables,
) {
    for packet in arrivals.items().iter().filter_map(|&(at, _)| packets.get(usize::from(at))) {
        let inner = packet.data().get(END..).and_then(<[u8]>::first_chunk);
        if let Some(inner) = inner.map(PlainIpv4::of) {
            tables.fib4.prefetch(inner.destination());
        }
    }
}

impl Insides {
    pub(super) fn clear(&mut self) {
        self.ipv4.clear();
        self.ipv6.clear();
        self.last4 = LastFound::default();
        self.destinations6.clear();
    }

    /// Sorts a packet that came through a tunnel by the family inside, and looks up its destination or
    /// notes it for [`look_up`](Self::look_up).
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "called once a packet in two loops, with more to pass than to do"
    )]
    pub(super) fn push(
        &mut self,
        (at, shim_len): (u16, u16),
        tunnel: TunnelId,
        carries: u8,
        inner: &[u8],
        tables: &Tables,
    ) {
        if carries == protocol::IPV4 {
            let destination = read_u32(inner, ipv4::offset::DESTINATION);
            self.push_ipv4((at, shim_len), tunnel, destination, tables);
        } else {
            self.push_ipv6((at, shim_len), tunnel, inner, tables);
        }
    }

    /// The same for one that is known to be IPv4 inside, and to go to `destination`.
    #[inline]
    pub(super) fn push_ipv4(
        &mut self,
        (at, shim_len): (u16, u16),
        tunnel: TunnelId,
        destination: u32,
        tables: &Tables,
    ) {
        if let Some(place) = tables.tunnel(tunnel) {
            place.prefetch();
        }
        let next_hop = tables.fib4.lookup_after(&mut self.last4, destination);
        self.ipv4.push(Inside { at, tunnel, next_hop, shim_len });
    }

    /// The same for one that is known to be IPv6 inside.
    #[inline]
    pub(super) fn push_ipv6(
        &mut self,
        (at, shim_len): (u16, u16),
        tunnel: TunnelId,
        inner: &[u8],
        tables: &Tables,
    ) {
        if let Some(place) = tables.tunnel(tunnel) {
            place.prefetch();
        }
        self.ipv6.push(Inside { at, tunnel, next_hop: NextHopId::NONE, shim_len });
        self.destinations6.push(read_u128(inner, ipv6::offset::DESTINATION));
    }

    /// Looks up the destinations of IPv6 together.
    #[inline]
    pub(super) fn look_up(&mut self, tables: &Tables) {
        let next_hops = self.destinations6.look_up(&tables.fib6);
        for (item, &next_hop) in self.ipv6.items_mut().iter_mut().zip(next_hops) {
            item.next_hop = next_hop;
        }
    }
}
