//! Longest-prefix match for checks of a configuration: one hash table, asked once for each prefix length that
//! occurs. Not the forwarding table.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

/// Values by prefix.
#[derive(Debug)]
pub(super) struct PrefixTable<T> {
    entries: FxHashMap<IpNet, T>,
    lengths_of_ipv4: BTreeSet<u8>,
    lengths_of_ipv6: BTreeSet<u8>,
}

impl<T> PrefixTable<T> {
    pub(super) fn new() -> Self {
        Self {
            entries: FxHashMap::default(),
            lengths_of_ipv4: BTreeSet::new(),
            lengths_of_ipv6: BTreeSet::new(),
        }
    }

    /// The value of exactly this prefix, made by `new` if there is none yet.
    pub(super) fn entry_or_insert_with(&mut self, net: IpNet, new: impl FnOnce() -> T) -> &mut T {
        self.lengths_mut(net).insert(net.prefix_len());
        self.entries.entry(net.trunc()).or_insert_with(new)
    }

    pub(super) fn get(&self, net: IpNet) -> Option<&T> {
        self.entries.get(&net.trunc())
    }

    /// Every prefix around an address, the longest first.
    pub(super) fn around(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &T)> {
        let lengths = match address {
            IpAddr::V4(_) => &self.lengths_of_ipv4,
            IpAddr::V6(_) => &self.lengths_of_ipv6,
        };
        lengths.iter().rev().filter_map(move |length| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            Some((net, self.entries.get(&net)?))
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&IpNet, &T)> {
        self.entries.iter()
    }

    fn lengths_mut(&mut self, net: IpNet) -> &mut BTreeSet<u8> {
        match net {
            IpNet::V4(_) => &mut self.lengths_of_ipv4,
            IpNet::V6(_) => &mut self.lengths_of_ipv6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_around_an_address_comes_first() {
        let mut table = PrefixTable::new();
        for net in ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "::/0"] {
            table.entry_or_insert_with(net.parse().unwrap(), || net);
        }
        let around = |address: &str| -> Vec<&str> {
            table.around(address.parse().unwrap()).map(|(_, name)| *name).collect()
        };
        assert_eq!(around("10.1.2.3"), ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around("10.2.2.3"), ["10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around("2001:db8::1"), ["::/0"]);
    }
}
