//! This node's own addresses, for the question that is asked of every source: is it ours?
//!
//! Two hash tables, and in front of each a filter that answers "no" for nearly all packets with one
//! load and hardly any arithmetic: of a fixed size, with another behind it for nodes with many addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::HashMap;

use ipnet::Ipv4Net;

use super::NextHop;
use crate::probing;
use crate::tunnel::lookup::OuterAddress;

/// Addresses of this node, of ports, tunnels and loopback.
#[derive(Clone, Debug, Default)]
pub struct LocalAddresses {
    ipv4: Addresses<u32>,
    /// Those that no packet may come from: ours as far as routes say so, and broadcast addresses.
    no_sources: Addresses<u32>,
    ipv6: Addresses<u128>,
    /// How many IPv6 addresses have these last 24 bits: the solicited-node groups.
    suffixes: HashMap<u32, u32>,
}

impl LocalAddresses {
    /// From all addresses, in any order.
    pub fn new(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let mut local = Self::default();
        addresses.for_each(|address| local.insert(address));
        local
    }

    /// Adds an address; once, however often it is added. The unspecified one is nobody's.
    pub fn insert(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => drop(self.ipv4.insert(address.into())),
            IpAddr::V6(address) => {
                if self.ipv6.insert(address.into()) {
                    *self.suffixes.entry(suffix(address.into())).or_default() += 1;
                }
            }
        }
    }

    /// Takes an address out, if it is there.
    pub fn remove(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => drop(self.ipv4.remove(address.into())),
            IpAddr::V6(address) => {
                let suffix = suffix(address.into());
                if self.ipv6.remove(address.into())
                    && let Some(count) = self.suffixes.get_mut(&suffix)
                {
                    *count -= 1;
                    if *count == 0 {
                        self.suffixes.remove(&suffix);
                    }
                }
            }
        }
    }

    /// Whether an IPv4 address is ours.
    #[inline]
    pub fn contains_ipv4(&self, address: u32) -> bool {
        self.ipv4.contains(address)
    }

    /// Whether nobody else sends from an IPv4 address, because a route says that it is ours or the
    /// broadcast address of a net on our links.
    #[inline]
    pub fn is_no_source_ipv4(&self, address: u32) -> bool {
        self.no_sources.contains(address)
    }

    /// Notes what a route says of its addresses.
    pub fn note_route_ipv4(&mut self, to: Ipv4Net, next_hop: Option<NextHop>) {
        if to.prefix_len() < 32 {
            return;
        }
        let address = to.addr().into();
        if matches!(next_hop, Some(NextHop::Local | NextHop::Broadcast)) {
            self.no_sources.insert(address);
        } else {
            self.no_sources.remove(address);
        }
    }

    /// Whether an IPv6 address is ours.
    #[inline]
    pub fn contains_ipv6(&self, address: u128) -> bool {
        self.ipv6.contains(address)
    }

    /// Whether this node is in an IPv6 group: all nodes of the link, or the solicited-node group of
    /// one of its addresses (RFC 4291 §2.7.1).
    pub fn has_joined(&self, group: u128) -> bool {
        group == ALL_NODES
            || (group >> 24 == SOLICITED_NODES >> 24 && self.suffixes.contains_key(&suffix(group)))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.iter().map(|a| IpAddr::V4(Ipv4Addr::from(a)));
        ipv4.chain(self.ipv6.iter().map(|a| IpAddr::V6(Ipv6Addr::from(a))))
    }
}

/// A set of addresses without the unspecified one, which marks an empty slot.
#[derive(Clone, Debug)]
struct Addresses<A> {
    /// Open addressing, a power of two in size, at most half full.
    slots: Box<[A]>,
    /// An address that is here has its bit set.
    first_filter: [u64; 64],
    /// The same, a word for each slot: of other addresses, at most one in 128 has its bit set.
    filter: Box<[u64]>,
    count: usize,
    /// Addresses that were taken out and whose bits are still set.
    stale: usize,
}

const SLOTS_MIN: usize = 16;

/// Own addresses are the operator's choice: nobody can make them collide.
const HASH_START: u64 = 0x005e_edad_d2e5_5e50;

impl<A: OuterAddress> Default for Addresses<A> {
    fn default() -> Self {
        Self::with_slots(SLOTS_MIN)
    }
}

impl<A: OuterAddress> Addresses<A> {
    #[inline]
    fn contains(&self, address: A) -> bool {
        let (word, bit) = Self::first_place(address);
        self.first_filter[word] & bit != 0 && self.is_there(address)
    }

    /// The word and the bit of an address in the first filter.
    #[inline]
    fn first_place(address: A) -> (usize, u64) {
        let hash = address.scatter();
        ((hash >> 58) as usize, 1 << (hash >> 52 & 63))
    }

    /// The same in the other, of `words` words, a power of two.
    #[inline]
    fn place(address: A, words: usize) -> (usize, u64) {
        let hash = address.scatter();
        ((hash >> 32) as usize & (words - 1), 1 << (hash >> 46 & 63))
    }

    fn with_slots(count: usize) -> Self {
        let slots = vec![A::default(); count].into_boxed_slice();
        let filter = vec![0; count].into_boxed_slice();
        Self { slots, first_filter: [0; 64], filter, count: 0, stale: 0 }
    }

    /// The same addresses in so many slots.
    fn rebuild(&mut self, slot_count: usize) {
        let old = core::mem::replace(self, Self::with_slots(slot_count));
        old.iter().for_each(|address| self.put(address));
    }

    /// Puts in an address that is not there, where there is room.
    fn put(&mut self, address: A) {
        let at = self.slot_of(address);
        self.slots[at] = address;
        let (word, bit) = Self::place(address, self.filter.len());
        self.filter[word] |= bit;
        let (word, bit) = Self::first_place(address);
        self.first_filter[word] |= bit;
        self.count += 1;
    }

    #[inline(never)]
    fn is_there(&self, address: A) -> bool {
        let (word, bit) = Self::place(address, self.filter.len());
        if self.filter.get(word).is_none_or(|word| word & bit == 0) {
            return false;
        }
        let found = self.slots.get(self.slot_of(address)).is_some_and(|&slot| slot == address);
        found && address != A::default()
    }

    /// Whether it was not there.
    fn insert(&mut self, address: A) -> bool {
        if address == A::default() || self.contains(address) {
            return false;
        }
        if (self.count + 1) * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        self.put(address);
        true
    }

    /// Whether it was there.
    fn remove(&mut self, address: A) -> bool {
        if !self.contains(address) {
            return false;
        }
        let at = self.slot_of(address);
        let home = |&slot: &A| (slot != A::default()).then(|| Self::home(slot));
        probing::remove(&mut self.slots, at, A::default(), home);
        self.count -= 1;
        self.stale += 1;
        if self.stale * 2 > self.slots.len() {
            self.rebuild(self.slots.len());
        }
        true
    }

    fn iter(&self) -> impl Iterator<Item = A> {
        self.slots.iter().copied().filter(|&slot| slot != A::default())
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
    fn home(address: A) -> usize {
        address.mix(HASH_START) as usize
    }

    /// The slot that holds the address, or the empty one where it belongs.
    #[inline]
    fn slot_of(&self, address: A) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = Self::home(address) & mask;
        while let Some(&slot) = self.slots.get(at) {
            if slot == address || slot == A::default() {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }
}

/// `ff02::1`
const ALL_NODES: u128 = 0xff02 << 112 | 1;

/// `ff02::1:ff00:0/104`
const SOLICITED_NODES: u128 = 0xff02 << 112 | 0x1_ff00_0000;

/// The last 24 bits.
const fn suffix(address: u128) -> u32 {
    (address & 0xff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn what_was_put_in_is_found_and_nothing_else() {
        let ours: Vec<IpAddr> = (0..500_u32)
            .map(|n| IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + n * 7)))
            .chain((0..500_u128).map(|n| IpAddr::V6(Ipv6Addr::from((0x2001_0db8 << 96) + n * 5))))
            .collect();
        let local = LocalAddresses::new(ours.iter().copied());
        assert_eq!(local.iter().count(), 1000);
        for n in 0..4000_u32 {
            let address = 0x0a00_0001 + n;
            assert_eq!(local.contains_ipv4(address), n % 7 == 0 && n < 3500);
        }
        for n in 0..4000_u128 {
            assert_eq!(local.contains_ipv6((0x2001_0db8 << 96) + n), n % 5 == 0 && n < 2500);
        }
        assert!(!local.contains_ipv4(0) && !local.contains_ipv6(0));
    }

    #[test]
    fn nobody_else_sends_from_an_address_while_its_route_says_that_it_is_ours_or_a_broadcast() {
        let mut local = LocalAddresses::default();
        let host: Ipv4Net = "10.1.0.255/32".parse().unwrap();
        let address = u32::from(host.addr());
        for (next_hop, expected) in [
            (Some(NextHop::Broadcast), true),
            (Some(NextHop::NoRoute), false),
            (Some(NextHop::Local), true),
            (None, false),
        ] {
            local.note_route_ipv4(host, next_hop);
            assert_eq!(local.is_no_source_ipv4(address), expected, "{next_hop:?}");
        }
        local.note_route_ipv4("10.1.0.0/24".parse().unwrap(), Some(NextHop::Local));
        assert!(!local.is_no_source_ipv4(address & !0xff));
    }

    #[test]
    fn the_groups_joined_are_those_of_all_nodes_and_of_our_own_addresses() {
        let ours: IpAddr = "2001:db8::12:3456".parse().unwrap();
        let twin: IpAddr = "2001:db8:1::12:3456".parse().unwrap();
        let mut local = LocalAddresses::new([ours, twin].into_iter());
        let number = |text: &str| u128::from(text.parse::<Ipv6Addr>().unwrap());
        let joined = |local: &LocalAddresses, text| local.has_joined(number(text));
        assert!(joined(&local, "ff02::1") && joined(&local, "ff02::1:ff12:3456"));
        for other in ["ff02::9", "ff02::1:ff12:3457", "ff05::1:ff12:3456"] {
            assert!(!joined(&local, other), "{other}");
        }
        local.remove(ours);
        assert!(joined(&local, "ff02::1:ff12:3456"));
        local.remove(twin);
        assert!(!joined(&local, "ff02::1:ff12:3456"));
    }

    proptest! {
        #[test]
        fn after_any_changes_the_addresses_are_those_of_a_set(
            changes in proptest::collection::vec((any::<bool>(), 0_u32..80), 0..300),
        ) {
            let (mut local, mut expected) = (LocalAddresses::default(), HashSet::new());
            for (adds, number) in changes {
                for address in [
                    IpAddr::V4(Ipv4Addr::from(number)),
                    IpAddr::V6(Ipv6Addr::from(u128::from(number))),
                ] {
                    if adds {
                        local.insert(address);
                        expected.insert(address);
                    } else {
                        local.remove(address);
                        expected.remove(&address);
                    }
                }
            }
            expected.retain(|address| !address.is_unspecified());
            prop_assert_eq!(local.iter().collect::<HashSet<_>>(), expected.clone());
            for number in 0..90_u32 {
                let address = IpAddr::V4(Ipv4Addr::from(number));
                prop_assert_eq!(local.contains_ipv4(number), expected.contains(&address));
            }
        }
    }
}
