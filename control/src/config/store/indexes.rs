//! Values by prefix, found for an address longest prefix first; entries come and go.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

/// One hash table, asked once for each prefix length that occurs. Bits of a prefix behind its length
/// don't matter.
#[derive(Debug)]
pub struct ByPrefix<T> {
    entries: HashMap<IpNet, T>,
    /// How many prefixes of each length there are.
    ipv4_lengths: BTreeMap<u8, usize>,
    ipv6_lengths: BTreeMap<u8, usize>,
}

impl<T> Default for ByPrefix<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            ipv4_lengths: BTreeMap::new(),
            ipv6_lengths: BTreeMap::new(),
        }
    }
}

impl<T: Default> ByPrefix<T> {
    /// The value of exactly this prefix, a default one if there is none yet.
    pub fn entry(&mut self, net: IpNet) -> &mut T {
        let net = net.trunc();
        if !self.entries.contains_key(&net) {
            *self.lengths_mut(net).entry(net.prefix_len()).or_default() += 1;
        }
        self.entries.entry(net).or_default()
    }
}

impl<T> ByPrefix<T> {
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
        let lengths = self.lengths_mut(net);
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
            IpAddr::V4(_) => &self.ipv4_lengths,
            IpAddr::V6(_) => &self.ipv6_lengths,
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

    fn lengths_mut(&mut self, net: IpNet) -> &mut BTreeMap<u8, usize> {
        match net {
            IpNet::V4(_) => &mut self.ipv4_lengths,
            IpNet::V6(_) => &mut self.ipv6_lengths,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_around_an_address_comes_first_until_it_is_removed() {
        let mut table: ByPrefix<u32> = ByPrefix::default();
        for net in ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.3.0.0/16", "::/0"] {
            *table.entry(net.parse().unwrap()) += 1;
        }
        let around = |table: &ByPrefix<u32>, address: &str| -> Vec<String> {
            table.around(address.parse().unwrap()).map(|(net, _)| net.to_string()).collect()
        };
        assert_eq!(around(&table, "10.1.2.3"), ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around(&table, "2001:db8::1"), ["::/0"]);
        table.update("10.1.0.0/16".parse().unwrap(), |_| false);
        table.update("10.0.0.0/8".parse().unwrap(), |value| *value == 1);
        assert_eq!(around(&table, "10.1.2.3"), ["10.0.0.0/8", "0.0.0.0/0"]);
        assert_eq!(around(&table, "10.3.2.3"), ["10.3.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]);
    }
}
