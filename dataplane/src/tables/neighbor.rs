//! Hosts on the links of the ports: the MAC address to put in front of a packet.
//!
//! An adjacency is one such host. Gateways and tunnel remotes have theirs from the configuration on,
//! resolved or not; other hosts get one when they answer, and are found by address.

use core::net::IpAddr;

use crate::interface::PortId;
use crate::wire::ethernet::MacAddress;

/// An adjacency, by its position in one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdjacencyId(pub u32);

/// The most adjacencies an appliance can have.
pub const ADJACENCIES_MAX: usize = 1 << 21;

/// A host on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adjacency {
    /// The port of the link.
    pub port: PortId,
    /// Destination and source MAC; `None`: the host has not answered yet.
    pub macs: Option<[u8; 12]>,
    /// Its address.
    pub address: IpAddr,
}

/// The hosts that are known on all ports.
#[derive(Clone, Debug)]
pub struct NeighborTable {
    adjacencies: Vec<Adjacency>,
    /// Open addressing over (port, address), a power of two in size, at most half full.
    slots: Box<[u32]>,
    seed: u64,
}

const EMPTY: u32 = u32::MAX;

impl NeighborTable {
    /// Without hosts.
    pub fn new(seed: u64) -> Self {
        Self { adjacencies: Vec::new(), slots: vec![EMPTY; 16].into_boxed_slice(), seed }
    }

    /// Makes room for a host, or finds the one that is there.
    pub fn insert(&mut self, port: PortId, address: IpAddr) -> AdjacencyId {
        if (self.adjacencies.len() + 1) * 2 > self.slots.len() {
            self.slots = vec![EMPTY; self.slots.len() * 2].into_boxed_slice();
            for (id, adjacency) in (0..).zip(&self.adjacencies) {
                let at = self.slot_of(adjacency.port, adjacency.address);
                self.slots[at] = id;
            }
        }
        let at = self.slot_of(port, address);
        if self.slots[at] == EMPTY {
            self.slots[at] = u32::try_from(self.adjacencies.len()).unwrap_or(EMPTY);
            self.adjacencies.push(Adjacency { port, macs: None, address });
        }
        AdjacencyId(self.slots[at])
    }

    /// Says which MAC a host has; `None`: it does not answer. `own` is the port's.
    pub fn resolve(&mut self, id: AdjacencyId, mac: Option<MacAddress>, own: MacAddress) {
        if let Some(adjacency) = self.adjacencies.get_mut(id.0 as usize) {
            adjacency.macs = mac.map(|mac| {
                let mut macs = [0; 12];
                macs[..6].copy_from_slice(&mac.0);
                macs[6..].copy_from_slice(&own.0);
                macs
            });
        }
    }

    /// One of them.
    #[inline]
    pub fn adjacency(&self, id: AdjacencyId) -> Option<&Adjacency> {
        self.adjacencies.get(id.0 as usize)
    }

    /// The host with an address on a port's link.
    #[inline]
    pub fn find(&self, port: PortId, address: IpAddr) -> Option<AdjacencyId> {
        match self.slots.get(self.slot_of(port, address)) {
            Some(&id) if id != EMPTY => Some(AdjacencyId(id)),
            _ => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Adjacency> {
        self.adjacencies.iter()
    }

    #[inline]
    fn slot_of(&self, port: PortId, address: IpAddr) -> usize {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
        let mut at = hash(self.seed, port, address) as usize & mask;
        while let Some(&id) = self.slots.get(at) {
            let same = |a: &Adjacency| a.port == port && a.address == address;
            if id == EMPTY || self.adjacencies.get(id as usize).is_none_or(same) {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn hash(seed: u64, port: PortId, address: IpAddr) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (low, high) = match address {
        IpAddr::V4(address) => (u64::from(u32::from(address)), 0),
        IpAddr::V6(address) => {
            let number = u128::from(address);
            (number as u64, (number >> 64) as u64)
        }
    };
    let fold = |value: u64| {
        let product = u128::from(value) * u128::from(ODD);
        (product as u64) ^ ((product >> 64) as u64)
    };
    fold(fold(seed ^ low ^ u64::from(port.0) << 56) ^ high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn hosts_are_found_by_port_and_address_however_many_there_are() {
        let mut table = NeighborTable::new(3);
        let own = MacAddress([2, 0, 0, 0, 0, 1]);
        let host = |n: u32| match n % 2 {
            0 => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)),
            _ => IpAddr::V6(Ipv6Addr::from(u128::from(n) << 64)),
        };
        for n in 0..3000_u32 {
            let port = PortId(u8::try_from(n % 3).unwrap());
            let id = table.insert(port, host(n));
            assert_eq!(table.insert(port, host(n)), id);
            if n % 5 == 0 {
                let octets = n.to_be_bytes();
                let mac = MacAddress([2, 1, octets[0], octets[1], octets[2], octets[3]]);
                table.resolve(id, Some(mac), own);
            }
        }
        assert_eq!(table.iter().count(), 3000);
        for n in 0..3000_u32 {
            let port = PortId(u8::try_from(n % 3).unwrap());
            let id = table.find(port, host(n)).unwrap();
            let adjacency = table.adjacency(id).unwrap();
            assert_eq!((adjacency.port, adjacency.address), (port, host(n)));
            assert_eq!(adjacency.macs.is_some(), n % 5 == 0);
            assert_eq!(table.find(PortId(9), host(n)), None);
        }
    }
}
