//! Who a packet leaves to. Most packets of a burst leave to the same host, so the one found last is
//! kept at hand.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fib::NextHopId;
use crate::interface::PortId;
use crate::stage::Round;
use crate::tables::neighbor::AdjacencyId;

/// A host that packets can leave to at once.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// Destination and source.
    pub(super) macs: [u8; 12],
    /// The largest packet that the port takes.
    pub(super) mtu: u16,
    pub(super) port: PortId,
}

/// The hosts found last.
pub(super) struct LastLink {
    adjacency: AdjacencyId,
    link: Link,
    /// Whom an address of a connected net stood for.
    neighbor: AdjacencyId,
    neighbor_port: PortId,
    neighbor_ipv4: u32,
    neighbor_ipv6: u128,
}

const NOBODY: AdjacencyId = AdjacencyId(u32::MAX);
const NOWHERE: PortId = PortId(u8::MAX);

impl Default for LastLink {
    fn default() -> Self {
        Self {
            adjacency: NOBODY,
            link: Link { port: NOWHERE, mtu: 0, macs: [0; 12] },
            neighbor: NOBODY,
            neighbor_port: NOWHERE,
            neighbor_ipv4: 0,
            neighbor_ipv6: 0,
        }
    }
}

impl LastLink {
    /// The host that a next hop stands for, if it is known.
    #[inline]
    pub(super) fn link_ipv4(
        &mut self,
        next_hop: NextHopId,
        destination: u32,
        round: &Round<'_>,
    ) -> Option<&Link> {
        let mut id = self.neighbor;
        if let Some(port) = next_hop.as_connected() {
            if (self.neighbor_port != port) || (self.neighbor_ipv4 != destination) {
                id = self.find_neighbor(port, Ipv4Addr::from(destination).into(), round)?;
            }
        } else {
            id = next_hop.as_via()?;
        }
        self.link(id, round)
    }

    /// The same for IPv6.
    #[inline]
    pub(super) fn link_ipv6(
        &mut self,
        next_hop: NextHopId,
        destination: u128,
        round: &Round<'_>,
    ) -> Option<&Link> {
        let mut id = self.neighbor;
        if let Some(port) = next_hop.as_connected() {
            if (self.neighbor_port != port) || (self.neighbor_ipv6 != destination) {
                id = self.find_neighbor(port, Ipv6Addr::from(destination).into(), round)?;
            }
        } else {
            id = next_hop.as_via()?;
        }
        self.link(id, round)
    }

    /// The host of an adjacency, if it is resolved.
    #[inline]
    pub(super) fn link(&mut self, id: AdjacencyId, round: &Round<'_>) -> Option<&Link> {
        if self.adjacency != id {
            self.find_link(id, round)?;
        }
        Some(&self.link)
    }

    #[cold]
    #[inline(never)]
    fn find_link(&mut self, id: AdjacencyId, round: &Round<'_>) -> Option<()> {
        let adjacency = round.tables.neighbors.adjacency(id)?;
        let port = adjacency.port;
        self.link = Link { port, mtu: round.tables.port(port)?.mtu, macs: adjacency.macs? };
        self.adjacency = id;
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn find_neighbor(
        &mut self,
        port: PortId,
        address: IpAddr,
        round: &Round<'_>,
    ) -> Option<AdjacencyId> {
        let id = round.tables.neighbors.find(port, address)?;
        self.neighbor = id;
        self.neighbor_port = port;
        // An address of the other family is one that nobody asks for.
        match address {
            IpAddr::V4(address) => {
                self.neighbor_ipv4 = address.into();
                self.neighbor_ipv6 = 0;
            }
            IpAddr::V6(address) => {
                self.neighbor_ipv4 = 0;
                self.neighbor_ipv6 = address.into();
            }
        }
        Some(id)
    }
}
