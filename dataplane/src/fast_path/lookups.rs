//! Addresses of a burst that are looked up together, or once for several packets.

use super::list::List;
use crate::fib::{Fib6, NextHopId};
use crate::packet::BURST_MAX;
use crate::tunnel::lookup::OuterAddress;

/// The last destination asked for, and whether it is ours.
pub(super) struct LastOwn<A>(Option<(A, bool)>);

impl<A> Default for LastOwn<A> {
    fn default() -> Self {
        Self(None)
    }
}

impl<A: OuterAddress> LastOwn<A> {
    #[inline]
    pub(super) fn is(&mut self, address: A, find: impl Fn() -> bool) -> bool {
        match self.0 {
            Some((last, is_own)) if last == address => is_own,
            _ => self.0.insert((address, find())).1,
        }
    }
}

/// IPv6 destinations that are looked up together.
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
