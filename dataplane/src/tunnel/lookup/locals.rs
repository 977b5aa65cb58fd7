//! Which outer addresses of ours have one tunnel alone: what is told to such an address is told to it.

use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashMap;

use super::OuterAddress;
use crate::interface::TunnelId;

/// Tunnels by their local addresses, as far as an address has just one.
#[derive(Clone, Debug)]
pub(super) struct Locals<A>(HashMap<A, Holders, BuildHasherDefault<AddressHasher>>);

/// Own addresses are the operator's choice: nobody can make them collide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    #[inline]
    fn write_u32(&mut self, address: u32) {
        self.0 = address.mix(self.0);
    }

    #[inline]
    fn write_u128(&mut self, address: u128) {
        self.0 = address.mix(self.0);
    }
}

/// Of one address.
#[derive(Clone, Copy, Debug, Default)]
struct Holders {
    count: u32,
    /// The numbers of all of them, by exclusive or: of one, its number.
    mixed: u32,
}

impl<A: Copy + Eq + Hash> Locals<A> {
    pub(super) fn new() -> Self {
        Self(HashMap::default())
    }

    pub(super) fn insert(&mut self, local: A, tunnel: TunnelId) {
        let holders = self.0.entry(local).or_default();
        holders.count += 1;
        holders.mixed ^= tunnel.0;
    }

    /// Takes out a tunnel that is there.
    pub(super) fn remove(&mut self, local: A, tunnel: TunnelId) {
        let Some(holders) = self.0.get_mut(&local) else { return };
        holders.count -= 1;
        holders.mixed ^= tunnel.0;
        if holders.count == 0 {
            self.0.remove(&local);
        }
    }

    pub(super) fn has(&self, local: A) -> bool {
        self.0.contains_key(&local)
    }

    pub(super) fn sole(&self, local: A) -> Option<TunnelId> {
        let holders = self.0.get(&local).filter(|holders| holders.count == 1)?;
        Some(TunnelId(holders.mixed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_tunnel_while_it_has_one_alone() {
        let mut locals = Locals::new();
        assert_eq!(locals.sole(1_u32), None);
        locals.insert(1, TunnelId(7));
        assert_eq!((locals.sole(1), locals.sole(2)), (Some(TunnelId(7)), None));
        locals.insert(1, TunnelId(9));
        assert_eq!(locals.sole(1), None);
        locals.remove(1, TunnelId(7));
        assert_eq!(locals.sole(1), Some(TunnelId(9)));
        locals.remove(1, TunnelId(9));
        assert_eq!(locals.sole(1), None);
    }
}
