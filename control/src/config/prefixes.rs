//! Longest-prefix match for the control side: one hash table, asked once for each prefix length that occurs.
//! Entries come and go. Not the forwarding table.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

/// Values by prefix. Bits of a prefix behind its length don't matter.
#[derive(Debug)]
pub struct PrefixTable<T> {
    entries: FxHashMap<IpNet, T>,
    /// How many prefixes of each length there are.
    lengths_of_ipv4: BTreeMap<u8, usize>,
    lengths_of_ipv6: BTreeMap<u8, usize>,
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self {
            entries: FxHashMap::default(),
            lengths_of_ipv4: BTreeMap::new(),
            lengths_of_ipv6: BTreeMap::new(),
        }
    }
}

impl<T> PrefixTable<T> {
    /// The value of exactly this prefix, made by `new` if there is none yet.
    pub fn entry_or_insert_with(&mut self, net: IpNet, new: impl FnOnce() -> T) -> &mut T {
        let net = net.trunc();
        let lengths = match net {
            IpNet::V4(_) => &mut self.lengths_of_ipv4,
            IpNet::V6(_) => &mut self.lengths_of_ipv6,
        };
        match self.entries.entry(net) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                *lengths.entry(net.prefix_len()).or_default() += 1;
                entry.insert(new())
            }
        }
    }

    /// The value of exactly this prefix.
    pub fn get(&self, net: IpNet) -> Option<&T> {
        self.entries.get(&net.trunc())
    }

    /// Changes the value of a prefix, if there is one; removes it when `change` says that it does not stay.
    pub fn update(&mut self, net: IpNet, change: impl FnOnce(&mut T) -> bool) {
        let net = net.trunc();
        let stays = self.entries.get_mut(&net).is_none_or(change);
        if stays {
            return;
        }
        self.entries.remove(&net);
        let lengths = match net {
            IpNet::V4(_) => &mut self.lengths_of_ipv4,
            IpNet::V6(_) => &mut self.lengths_of_ipv6,
        };
        if let Some(count) = lengths.get_mut(&net.prefix_len()) {
            *count -= 1;
            if *count == 0 {
                lengths.remove(&net.prefix_len());
            }
        }
    }

    /// Every prefix around an address, the longest first.
    pub fn around(&self, address: IpAddr) -> impl Iterator<Item = (IpNet, &T)> {
        let lengths = match address {
            IpAddr::V4(_) => &self.lengths_of_ipv4,
            IpAddr::V6(_) => &self.lengths_of_ipv6,
        };
        lengths.keys().rev().filter_map(move |length| {
            let net = IpNet::new(address, *length).ok()?.trunc();
            Some((net, self.entries.get(&net)?))
        })
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &T)> {
        self.entries.iter().map(|(net, value)| (*net, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_around_an_address_comes_first_until_it_is_removed() {
        let mut table: PrefixTable<u32> = PrefixTable::default();
        for net in ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.3.0.0/16", "::/0"] {
            *table.entry_or_insert_with(net.parse().unwrap(), || 0) += 1;
        }
        let around = |table: &PrefixTable<u32>, address: &str| -> Vec<String> {
            table.around(address.parse().unwrap()).map(|(net, _)| net.to_string()).collect()
        };
        assert_eq!(around(&table, "10.1.2.3"), ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around(&table, "10.2.2.3"), ["10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around(&table, "2001:db8::1"), ["::/0"]);
        table.update("10.1.0.0/16".parse().unwrap(), |_| false);
        table.update("10.0.0.0/8".parse().unwrap(), |value| *value == 1);
        assert_eq!(around(&table, "10.1.2.3"), ["10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around(&table, "10.3.2.3"), ["10.3.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]);
    }
}
