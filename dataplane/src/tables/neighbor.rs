//! Hosts on the links of the ports: the MAC address to put in front of a packet.
//!
//! An adjacency is one such host. Gateways and tunnel remotes have theirs from the configuration on,
//! resolved or not; other hosts get one when they answer, and are found by address.

use core::net::IpAddr;

use crate::interface::PortId;
use crate::probing;
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
    adjacencies: Vec<Option<Adjacency>>,
    count: usize,
    /// Open addressing over (port, address), a power of two in size, at most half full.
    slots: Box<[u32]>,
    seed: u64,
}

const EMPTY: u32 = u32::MAX;

impl NeighborTable {
    /// Without hosts.
    pub fn new(seed: u64) -> Self {
        Self { adjacencies: Vec::new(), count: 0, slots: vec![EMPTY; 16].into_boxed_slice(), seed }
    }

    /// Makes room for a host, or finds the one that is there. For who numbers hosts in the order
    /// of their arrival; not together with [`Self::remove`].
    pub fn insert(&mut self, port: PortId, address: IpAddr) -> AdjacencyId {
        if let Some(known) = self.find(port, address) {
            return known;
        }
        let id = AdjacencyId(u32::try_from(self.adjacencies.len()).unwrap_or(EMPTY));
        self.put(id, Adjacency { port, macs: None, address });
        id
    }

    /// Makes a number that of a host, or changes the MAC addresses of the host that has it. A
    /// number that another host has, or a host that has another number, stays as it is.
    pub fn put(&mut self, id: AdjacencyId, adjacency: Adjacency) {
        let at = id.0 as usize;
        if at >= self.adjacencies.len() {
            self.adjacencies.resize(at + 1, None);
        }
        match &mut self.adjacencies[at] {
            Some(known) => {
                if (known.port, known.address) == (adjacency.port, adjacency.address) {
                    known.macs = adjacency.macs;
                }
            }
            None => self.add(id, adjacency),
        }
    }

    fn add(&mut self, id: AdjacencyId, adjacency: Adjacency) {
        if (self.count + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = self.slot_of(adjacency.port, adjacency.address);
        if self.slots[slot] == EMPTY {
            self.slots[slot] = id.0;
            self.adjacencies[id.0 as usize] = Some(adjacency);
            self.count += 1;
        }
    }

    fn grow(&mut self) {
        let doubled = vec![EMPTY; self.slots.len() * 2].into_boxed_slice();
        let old = core::mem::replace(&mut self.slots, doubled);
        for &id in old.iter().filter(|&&id| id != EMPTY) {
            if let Some(&Adjacency { port, address, .. }) = self.adjacency(AdjacencyId(id)) {
                let slot = self.slot_of(port, address);
                self.slots[slot] = id;
            }
        }
    }

    /// Forgets a host; its number can be given to another.
    pub fn remove(&mut self, id: AdjacencyId) {
        let Some(&Adjacency { port, address, .. }) = self.adjacency(id) else { return };
        let slot = self.slot_of(port, address);
        let Self { adjacencies, slots, seed, .. } = self;
        let home = |&id: &u32| {
            let adjacency = adjacencies.get(id as usize)?.as_ref()?;
            Some(home(*seed, adjacency.port, adjacency.address))
        };
        probing::remove(slots, slot, EMPTY, home);
        self.adjacencies[id.0 as usize] = None;
        self.count -= 1;
    }

    /// Says which MAC a host has; `None`: it does not answer. `own` is the port's.
    pub fn resolve(&mut self, id: AdjacencyId, mac: Option<MacAddress>, own: MacAddress) {
        if let Some(Some(adjacency)) = self.adjacencies.get_mut(id.0 as usize) {
            adjacency.macs = mac.map(|mac| macs(mac, own));
        }
    }

    /// One of them.
    #[inline]
    pub fn adjacency(&self, id: AdjacencyId) -> Option<&Adjacency> {
        self.adjacencies.get(id.0 as usize)?.as_ref()
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
        self.adjacencies.iter().flatten()
    }

    #[inline]
    fn slot_of(&self, port: PortId, address: IpAddr) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = home(self.seed, port, address) & mask;
        while let Some(&id) = self.slots.get(at) {
            let same = |a: &Adjacency| a.port == port && a.address == address;
            if id == EMPTY || self.adjacency(AdjacencyId(id)).is_none_or(same) {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }
}

/// Both MAC addresses of a frame to a neighbor, as they stand in front of it.
pub fn macs(destination: MacAddress, own: MacAddress) -> [u8; 12] {
    let mut macs = [0; 12];
    macs[..6].copy_from_slice(&destination.0);
    macs[6..].copy_from_slice(&own.0);
    macs
}

/// Where the search for a host begins, before it is reduced to the size of the table.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
fn home(seed: u64, port: PortId, address: IpAddr) -> usize {
    hash(seed, port, address) as usize
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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

    proptest! {
        #[test]
        fn after_any_changes_each_host_is_found_under_its_number(
            changes in proptest::collection::vec(
                (any::<bool>(), 0_u32..40, 0_u8..2, 0_u8..30, any::<Option<u8>>()),
                0..200,
            ),
        ) {
            let mut table = NeighborTable::new(5);
            let mut present: BTreeMap<u32, Adjacency> = BTreeMap::new();
            for (adds, id, port, host, mac) in changes {
                let (port, address) = (PortId(port), IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)));
                let adjacency = Adjacency { port, address, macs: mac.map(|mac| [mac; 12]) };
                let same = |a: &Adjacency| (a.port, a.address) == (port, address);
                if !adds {
                    table.remove(AdjacencyId(id));
                    present.remove(&id);
                } else if present.get(&id).map_or_else(|| !present.values().any(same), same) {
                    table.put(AdjacencyId(id), adjacency);
                    present.insert(id, adjacency);
                }
            }
            prop_assert_eq!(table.iter().copied().collect::<Vec<_>>(),
                present.values().copied().collect::<Vec<_>>());
            for port in (0..2).map(PortId) {
                for host in 0..30 {
                    let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, host));
                    let expected = present.iter().find(|(_, a)| {
                        (a.port, a.address) == (port, address)
                    });
                    prop_assert_eq!(table.find(port, address).map(|id| id.0),
                        expected.map(|(&id, _)| id));
                }
            }
        }
    }
}
