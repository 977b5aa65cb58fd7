//! Which inner packets a tunnel may bring in: the filters on source and destination, prepared by
//! the control side as sorted ranges.

use ipnet::{Ipv4Net, Ipv6Net};

/// Addresses as sorted ranges that neither touch nor overlap, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges<A>(Box<[(A, A)]>);

/// An address as a number that has a neighbor.
pub trait Number: Copy + Ord {
    /// The next address; `None` behind the last.
    fn next(self) -> Option<Self>;
    /// The address before; `None` before the first.
    fn previous(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl<A: Number> Ranges<A> {
    /// The union of ranges in any order.
    pub fn union(mut ranges: Vec<(A, A)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if before.1.next().is_none_or(|next| first <= next) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged.into_boxed_slice())
    }

    /// What is in these ranges and not in `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for &(first, last) in &self.0 {
            let mut start = Some(first);
            let from = others.0.partition_point(|other| other.1 < first);
            for &(other_first, other_last) in others.0.get(from..).unwrap_or(&[]) {
                let Some(at) = start.filter(|_| other_first <= last) else { break };
                if let Some(before) = other_first.previous().filter(|&before| before >= at) {
                    left.push((at, before));
                }
                start = other_last.next();
            }
            if let Some(at) = start.filter(|&at| at <= last) {
                left.push((at, last));
            }
        }
        Self(left.into_boxed_slice())
    }

    /// Whether an address is in one of them.
    pub fn contains(&self, address: A) -> bool {
        let at = self.0.partition_point(|range| range.1 < address);
        self.0.get(at).is_some_and(|range| range.0 <= address)
    }

    /// Whether a search takes hardly longer than looking at one range.
    #[inline]
    pub fn are_few(&self) -> bool {
        self.0.len() <= 4
    }

    /// The first and the last address, if there is one range.
    pub fn sole(&self) -> Option<(A, A)> {
        if let [range] = *self.0 { Some(range) } else { None }
    }

    /// Whether there are no addresses in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Ipv4Net> for Ranges<u32> {
    fn from_iter<I: IntoIterator<Item = Ipv4Net>>(nets: I) -> Self {
        let range = |net: Ipv4Net| (u32::from(net.network()), u32::from(net.broadcast()));
        Self::union(nets.into_iter().map(range).collect())
    }
}

impl FromIterator<Ipv6Net> for Ranges<u128> {
    fn from_iter<I: IntoIterator<Item = Ipv6Net>>(nets: I) -> Self {
        let range = |net: Ipv6Net| (u128::from(net.network()), u128::from(net.broadcast()));
        Self::union(nets.into_iter().map(range).collect())
    }
}

/// Ranges of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// IPv4.
    pub ipv4: Ranges<u32>,
    /// IPv6.
    pub ipv6: Ranges<u128>,
}

/// Which inner sources are believed (RFC 3704, RFC 4213 §3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFilter {
    /// Any.
    Off,
    /// Those that some route leads to.
    Loose,
    /// Those that the best route leads to through this tunnel.
    Strict,
    /// Those of a set: a list of prefixes, or for `feasible` everything that some configured route
    /// could send through this tunnel, less what is connected on a port.
    Listed {
        /// The set.
        sources: AddressSet,
        /// No connected prefix covers any of it: a source whose best route leads through this
        /// tunnel is in the set without a look.
        routed_is_listed: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn union_and_difference_agree_with_the_sets_they_stand_for(
            a in proptest::collection::vec((0_u32..50, 0_u32..8), 0..8),
            b in proptest::collection::vec((0_u32..50, 0_u32..8), 0..8),
        ) {
            let ranges = |list: &[(u32, u32)]| {
                Ranges::union(list.iter().map(|&(first, len)| (first, first + len)).collect())
            };
            let within = |list: &[(u32, u32)], address: u32| {
                list.iter().any(|&(first, len)| (first..=first + len).contains(&address))
            };
            let difference = ranges(&a).without(&ranges(&b));
            for address in 0..70 {
                prop_assert_eq!(ranges(&a).contains(address), within(&a, address));
                prop_assert_eq!(
                    difference.contains(address),
                    within(&a, address) && !within(&b, address)
                );
            }
        }
    }

    #[test]
    fn the_ends_of_the_address_space_do_no_harm() {
        let all: Ranges<u32> = ["0.0.0.0/0".parse::<Ipv4Net>().unwrap()].into_iter().collect();
        assert!(all.contains(0) && all.contains(u32::MAX));
        let last: Ranges<u32> =
            ["255.255.255.255/32".parse::<Ipv4Net>().unwrap()].into_iter().collect();
        let rest = all.without(&last);
        assert!(rest.contains(u32::MAX - 1) && !rest.contains(u32::MAX));
        assert!(all.without(&all).is_empty());
    }
}
