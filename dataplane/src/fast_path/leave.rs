//! The last loops: every plain packet gets its header, and is ready to leave.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::header::{IPV4_END, IPV6_END, decrement_ttl};
use super::list::List;
use super::{Inside, Leaving, Transit};
use crate::interface::PortId;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tables::NextHop;
use crate::tables::neighbor::AdjacencyId;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{ipv4, ipv6};

/// The host that a packet leaves to.
pub(super) struct Host<'a> {
    pub(super) port: PortId,
    /// Destination and source.
    pub(super) macs: &'a [u8; 12],
}

impl Leaving<'_> {
    /// Forwards packets, or puts them into tunnels.
    #[inline]
    pub(super) fn transit(
        &mut self,
        transit4: &List<Transit<u32>>,
        transit6: &List<Transit<u128>>,
        round: &mut Round<'_>,
    ) {
        for item in transit4.items() {
            match item.next_hop {
                NextHop::Tunnel(id) => self.enter_ipv4(item, id, round),
                next_hop => self.forward_ipv4(item, next_hop, round),
            };
        }
        for item in transit6.items() {
            match item.next_hop {
                NextHop::Tunnel(id) => self.enter_ipv6(item, id, round),
                next_hop => self.forward_ipv6(item, next_hop, round),
            };
        }
    }

    #[inline]
    fn forward_ipv4(
        &mut self,
        item: &Transit<u32>,
        next_hop: NextHop,
        round: &Round<'_>,
    ) -> Option<()> {
        let to = || Ipv4Addr::from(item.destination).into();
        let host = self.host(next_hop, to, item.total_len, round)?;
        let packet = self.packets.get_mut(usize::from(item.at))?;
        let start = packet.data_mut().first_chunk_mut::<IPV4_END>()?;
        start[..12].copy_from_slice(host.macs);
        decrement_ttl(start.last_chunk_mut()?);
        packet.truncate(ethernet::HEADER_LEN + usize::from(item.total_len));
        self.ready(item.at, Path::Forward, host.port);
        Some(())
    }

    #[inline]
    fn forward_ipv6(
        &mut self,
        item: &Transit<u128>,
        next_hop: NextHop,
        round: &Round<'_>,
    ) -> Option<()> {
        let to = || Ipv6Addr::from(item.destination).into();
        let host = self.host(next_hop, to, item.total_len, round)?;
        let packet = self.packets.get_mut(usize::from(item.at))?;
        let start = packet.data_mut().first_chunk_mut::<IPV6_END>()?;
        start[..12].copy_from_slice(host.macs);
        start[ethernet::HEADER_LEN + ipv6::offset::HOP_LIMIT] -= 1;
        packet.truncate(ethernet::HEADER_LEN + usize::from(item.total_len));
        self.ready(item.at, Path::Forward, host.port);
        Some(())
    }

    /// Forwards what came out of a tunnel to a host.
    #[inline]
    pub(super) fn inside(
        &mut self,
        inside4: &List<Inside<u32>>,
        inside6: &List<Inside<u128>>,
        round: &mut Round<'_>,
    ) {
        for item in inside4.items() {
            self.leave_ipv4(item, round);
        }
        for item in inside6.items() {
            self.leave_ipv6(item, round);
        }
    }

    #[inline]
    fn leave_ipv4(&mut self, item: &Inside<u32>, round: &mut Round<'_>) -> Option<()> {
        let to = || Ipv4Addr::from(item.destination).into();
        let host = self.host(item.next_hop, to, item.total_len, round)?;
        let packet = self.packets.get_mut(usize::from(item.at))?;
        let frame = uncover(packet, item.offset, item.total_len);
        let start = frame.first_chunk_mut::<IPV4_END>()?;
        start[..12].copy_from_slice(host.macs);
        start[12..14].copy_from_slice(&ether_type::IPV4.to_be_bytes());
        decrement_ttl(start.last_chunk_mut::<{ ipv4::HEADER_LEN }>()?);
        self.left(item, host.port, round)
    }

    #[inline]
    fn leave_ipv6(&mut self, item: &Inside<u128>, round: &mut Round<'_>) -> Option<()> {
        let to = || Ipv6Addr::from(item.destination).into();
        let host = self.host(item.next_hop, to, item.total_len, round)?;
        let packet = self.packets.get_mut(usize::from(item.at))?;
        let frame = uncover(packet, item.offset, item.total_len);
        let start = frame.first_chunk_mut::<IPV6_END>()?;
        start[..12].copy_from_slice(host.macs);
        start[12..14].copy_from_slice(&ether_type::IPV6.to_be_bytes());
        start[ethernet::HEADER_LEN + ipv6::offset::HOP_LIMIT] -= 1;
        self.left(item, host.port, round)
    }

    /// Counts a packet that left a tunnel, and marks it as ready.
    #[inline]
    fn left<A>(&mut self, item: &Inside<A>, port: PortId, round: &mut Round<'_>) -> Option<()> {
        let tunnel = round.tables.tunnel(item.tunnel)?;
        let latency = tunnel.measured_as();
        round.count_rx(tunnel.plain.slot, latency, usize::from(item.total_len));
        self.ready(item.at, Path::Decap, port);
        Some(())
    }

    /// The host that a next hop stands for, if it is known and takes a packet of this size.
    #[inline]
    pub(super) fn host<'t>(
        &mut self,
        next_hop: NextHop,
        destination: impl FnOnce() -> IpAddr,
        total_len: u16,
        round: &Round<'t>,
    ) -> Option<Host<'t>> {
        let id = match next_hop {
            NextHop::Via(id) => id,
            NextHop::Connected(port) => self.neighbor(port, destination(), round)?,
            _ => return None,
        };
        self.host_of(id, total_len, round)
    }

    /// The host of an adjacency, if it is resolved and its port takes a packet of this size.
    #[inline]
    pub(super) fn host_of<'t>(
        &self,
        id: AdjacencyId,
        total_len: u16,
        round: &Round<'t>,
    ) -> Option<Host<'t>> {
        let tables = round.tables;
        let adjacency = tables.neighbors.adjacency(id)?;
        let macs = adjacency.macs.as_ref()?;
        let port = adjacency.port;
        (total_len <= tables.port(port)?.mtu).then_some(Host { port, macs })
    }

    /// The neighbor with an address; the last one that was asked for is remembered.
    #[inline]
    fn neighbor(
        &mut self,
        port: PortId,
        address: IpAddr,
        round: &Round<'_>,
    ) -> Option<AdjacencyId> {
        match self.last_neighbor {
            Some((last_port, last, id)) if last_port == port && last == address => Some(id),
            _ => {
                let id = round.tables.neighbors.find(port, address)?;
                self.last_neighbor = Some((port, address, id));
                Some(id)
            }
        }
    }
}

/// Takes off what is in front of the inner header, but for room for an Ethernet header.
#[inline]
fn uncover(packet: &mut Packet, offset: u8, total_len: u16) -> &mut [u8] {
    packet.strip(usize::from(offset) - ethernet::HEADER_LEN);
    packet.truncate(ethernet::HEADER_LEN + usize::from(total_len));
    packet.data_mut()
}
