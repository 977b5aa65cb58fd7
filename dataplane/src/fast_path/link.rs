//! Who a packet leaves to. Most packets of a burst leave to the same host, so the one found last is
//! kept at hand.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fib::{NEXT_HOPS_MAX, NextHopId};
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

/// The host found last.
pub(super) struct LastLink {
    link: Link,
    adjacency: AdjacencyId,
    /// Leads there whatever the destination.
    router: NextHopId,
    ipv4: Neighbor<u32>,
    ipv6: Neighbor<u128>,
}

/// A host in a connected net.
struct Neighbor<A> {
    net: NextHopId,
    address: A,
}

impl<A: Copy + Eq + Default> Neighbor<A> {
    fn nobody() -> Self {
        Self { net: NO_NEXT_HOP, address: A::default() }
    }

    #[inline]
    fn is(&self, net: NextHopId, address: A) -> bool {
        self.net == net && self.address == address
    }
}

const NOBODY: AdjacencyId = AdjacencyId(u32::MAX);
const NOWHERE: PortId = PortId(u8::MAX);

/// One that no route has.
const NO_NEXT_HOP: NextHopId = match NextHopId::new(NEXT_HOPS_MAX - 1) {
    Ok(last) => last,
    Err(_) => NextHopId::NONE,
};
const _: () = assert!(NO_NEXT_HOP.as_via().is_none() && NO_NEXT_HOP.as_connected().is_none());
const _: () = assert!(!NO_NEXT_HOP.is_none());

impl Default for LastLink {
    fn default() -> Self {
        let link = Link { port: NOWHERE, mtu: 0, macs: [0; 12] };
        let (ipv4, ipv6) = (Neighbor::nobody(), Neighbor::nobody());
        Self { link, adjacency: NOBODY, router: NO_NEXT_HOP, ipv4, ipv6 }
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
        if self.router != next_hop && !self.ipv4.is(next_hop, destination) {
            if next_hop.is_special() {
                return None;
            }
            self.find_ipv4(next_hop, destination, round)?;
        }
        Some(&self.link)
    }

    /// The same for IPv6.
    #[inline]
    pub(super) fn link_ipv6(
        &mut self,
        next_hop: NextHopId,
        destination: u128,
        round: &Round<'_>,
    ) -> Option<&Link> {
        if self.router != next_hop && !self.ipv6.is(next_hop, destination) {
            if next_hop.is_special() {
                return None;
            }
            self.find_ipv6(next_hop, destination, round)?;
        }
        Some(&self.link)
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
        self.router = NO_NEXT_HOP;
        (self.ipv4, self.ipv6) = (Neighbor::nobody(), Neighbor::nobody());
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn find_ipv4(
        &mut self,
        next_hop: NextHopId,
        destination: u32,
        round: &Round<'_>,
    ) -> Option<()> {
        if self.find(next_hop, || Ipv4Addr::from(destination).into(), round)? {
            self.ipv4 = Neighbor { net: next_hop, address: destination };
        }
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn find_ipv6(
        &mut self,
        next_hop: NextHopId,
        destination: u128,
        round: &Round<'_>,
    ) -> Option<()> {
        if self.find(next_hop, || Ipv6Addr::from(destination).into(), round)? {
            self.ipv6 = Neighbor { net: next_hop, address: destination };
        }
        Some(())
    }

    /// Finds the host of a next hop, and says whether it depends on the destination.
    #[inline]
    fn find(
        &mut self,
        next_hop: NextHopId,
        destination: impl Fn() -> IpAddr,
        round: &Round<'_>,
    ) -> Option<bool> {
        if let Some(port) = next_hop.as_connected() {
            let id = round.tables.neighbors.find(port, destination())?;
            self.link(id, round)?;
            return Some(true);
        }
        self.link(next_hop.as_via()?, round)?;
        self.router = next_hop;
        Some(false)
    }
}
