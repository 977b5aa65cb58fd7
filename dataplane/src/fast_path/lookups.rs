//! IPv6 addresses of a burst that are looked up together.

use super::list::List;
use crate::fib::{Fib6, NextHopId};
use crate::packet::BURST_MAX;

pub(super) struct Lookups {
    addresses: List<u128>,
    next_hops: [NextHopId; BURST_MAX],
}

impl Default for Lookups {
    fn default() -> Self {
        Self { addresses: List::new(0), next_hops: [NextHopId::NONE; BURST_MAX] }
    }
}

impl Lookups {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.addresses.clear();
    }

    #[inline]
    pub(super) fn push(&mut self, address: u128) {
        self.addresses.push(address);
    }

    /// Where each address leads, in their order.
    #[inline]
    pub(super) fn look_up(&mut self, fib: &Fib6) -> &[NextHopId] {
        let addresses = self.addresses.items();
        if !addresses.is_empty() {
            fib.lookup_burst(addresses, &mut self.next_hops);
        }
        self.next_hops.get(..addresses.len()).unwrap_or(&[])
    }
}
