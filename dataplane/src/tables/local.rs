//! This node's own addresses, for the question that is asked of every source: is it ours?
//!
//! A small filter answers "no" for nearly all packets with one load; what passes it is looked up.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of this node, of ports, tunnels and loopback.
#[derive(Clone, Debug)]
pub struct LocalAddresses {
    ipv4: Box<[u32]>,
    ipv6: Box<[u128]>,
    /// The last 24 bits of each IPv6 address, sorted: the solicited-node groups.
    suffixes: Box<[u32]>,
    filter: Box<[u64]>,
}

impl Default for LocalAddresses {
    fn default() -> Self {
        Self::new(core::iter::empty())
    }
}

/// Bits of the filter per address: one false "maybe" in 32 lookups.
const BITS_PER_ADDRESS: usize = 32;

impl LocalAddresses {
    /// From all addresses, in any order.
    pub fn new(addresses: impl Iterator<Item = IpAddr>) -> Self {
        let mut ipv4 = Vec::new();
        let mut ipv6 = Vec::new();
        for address in addresses {
            match address {
                IpAddr::V4(address) => ipv4.push(u32::from(address)),
                IpAddr::V6(address) => ipv6.push(u128::from(address)),
            }
        }
        ipv4.sort_unstable();
        ipv4.dedup();
        ipv6.sort_unstable();
        ipv6.dedup();
        let bits = (ipv4.len() + ipv6.len()).max(16) * BITS_PER_ADDRESS;
        let words = (bits / 64).next_power_of_two();
        let mut filter = vec![0_u64; words].into_boxed_slice();
        let hashes = ipv4.iter().map(|&a| hash4(a)).chain(ipv6.iter().map(|&a| hash6(a)));
        for hash in hashes {
            let (word, bit) = place(hash, words);
            filter[word] |= bit;
        }
        let mut suffixes: Vec<u32> = ipv6.iter().map(|&address| suffix(address)).collect();
        suffixes.sort_unstable();
        suffixes.dedup();
        Self { ipv4: ipv4.into(), ipv6: ipv6.into(), suffixes: suffixes.into(), filter }
    }

    #[inline]
    fn may_contain(&self, hash: u64) -> bool {
        let (word, bit) = place(hash, self.filter.len());
        self.filter.get(word).is_some_and(|&word| word & bit != 0)
    }

    /// Whether an IPv4 address is ours.
    #[inline]
    pub fn contains_ipv4(&self, address: u32) -> bool {
        self.may_contain(hash4(address)) && self.ipv4.binary_search(&address).is_ok()
    }

    /// Whether an IPv6 address is ours.
    #[inline]
    pub fn contains_ipv6(&self, address: u128) -> bool {
        self.may_contain(hash6(address)) && self.ipv6.binary_search(&address).is_ok()
    }

    /// Whether this node is in an IPv6 group: all nodes of the link, or the solicited-node group of
    /// one of its addresses (RFC 4291 §2.7.1).
    pub fn has_joined(&self, group: u128) -> bool {
        group == ALL_NODES
            || (group >> 24 == SOLICITED_NODES >> 24
                && self.suffixes.binary_search(&suffix(group)).is_ok())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let ipv4 = self.ipv4.iter().map(|&a| IpAddr::V4(Ipv4Addr::from(a)));
        ipv4.chain(self.ipv6.iter().map(|&a| IpAddr::V6(Ipv6Addr::from(a))))
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

#[inline]
const fn hash4(address: u32) -> u64 {
    (address as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn hash6(address: u128) -> u64 {
    let low = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let high = ((address >> 64) as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    (low ^ high.rotate_left(31)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The word and the bit of a hash in a filter of `words` words, a power of two.
#[inline]
const fn place(hash: u64, words: usize) -> (usize, u64) {
    ((hash >> 40) as usize & (words - 1), 1 << (hash >> 34 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn the_groups_joined_are_those_of_all_nodes_and_of_our_own_addresses() {
        let ours: IpAddr = "2001:db8::12:3456".parse().unwrap();
        let local = LocalAddresses::new([ours].into_iter());
        let joined = |text: &str| local.has_joined(text.parse::<Ipv6Addr>().unwrap().into());
        assert!(joined("ff02::1") && joined("ff02::1:ff12:3456"));
        assert!(!joined("ff02::9") && !joined("ff02::1:ff12:3457") && !joined("ff05::1:ff12:3456"));
    }
}
