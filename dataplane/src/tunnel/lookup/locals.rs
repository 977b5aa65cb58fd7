//! Which outer addresses of ours have one tunnel alone: what is told to such an address is told to it.

use core::hash::Hash;
use std::collections::HashMap;

use super::hashing::Seed;
use crate::interface::TunnelId;

/// Tunnels by their local addresses, as far as an address has just one.
///
/// Own addresses are the operator's choice: nobody can make them collide, so that there is no secret in the hash.
#[derive(Clone, Debug)]
pub(super) struct Locals<A>(HashMap<A, Holders, Seed>);

/// Who has an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    /// No tunnel.
    #[default]
    Nobody,
    /// This one alone.
    One(TunnelId),
    /// Several tunnels.
    Several,
}

/// Of one address; a tunnel of several remotes has it several times.
#[derive(Clone, Copy, Debug, Default)]
struct Holders {
    count: u32,
    /// The sum of their numbers, and that of the squares of these.
    sum: u64,
    squares: u128,
    /// What these come to.
    holder: Holder,
}

impl Holders {
    /// By Cauchy and Schwarz, count times squares is the square of the sum where all are the same, and more otherwise.
    fn settle(&mut self) {
        let is_one = u128::from(self.count) * self.squares == u128::from(self.sum).pow(2);
        let number =
            self.sum.checked_div(self.count.into()).and_then(|sum| u32::try_from(sum).ok());
        self.holder = match number {
            None => Holder::Nobody,
            Some(number) if is_one => Holder::One(TunnelId(number)),
            Some(_) => Holder::Several,
        };
    }
}

impl<A: Copy + Eq + Hash> Locals<A> {
    pub(super) fn new() -> Self {
        Self(HashMap::default())
    }

    pub(super) fn insert(&mut self, local: A, tunnel: TunnelId) {
        let holders = self.0.entry(local).or_default();
        holders.count += 1;
        holders.sum += u64::from(tunnel.0);
        holders.squares += u128::from(tunnel.0).pow(2);
        holders.settle();
    }

    /// Takes out a tunnel that is there.
    pub(super) fn remove(&mut self, local: A, tunnel: TunnelId) {
        let Some(holders) = self.0.get_mut(&local) else { return };
        holders.count -= 1;
        holders.sum -= u64::from(tunnel.0);
        holders.squares -= u128::from(tunnel.0).pow(2);
        holders.settle();
        if holders.count == 0 {
            self.0.remove(&local);
        }
    }

    pub(super) fn holder(&self, local: A) -> Holder {
        self.0.get(&local).map_or(Holder::Nobody, |holders| holders.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_tunnel_while_it_has_one_alone() {
        let mut locals = Locals::new();
        assert_eq!(locals.holder(1_u32), Holder::Nobody);
        locals.insert(1, TunnelId(7));
        assert_eq!(locals.holder(1), Holder::One(TunnelId(7)));
        assert_eq!(locals.holder(2), Holder::Nobody);
        locals.insert(1, TunnelId(9));
        assert_eq!(locals.holder(1), Holder::Several);
        locals.remove(1, TunnelId(7));
        assert_eq!(locals.holder(1), Holder::One(TunnelId(9)));
        locals.remove(1, TunnelId(9));
        assert_eq!(locals.holder(1), Holder::Nobody);
    }

    #[test]
    fn one_tunnel_of_several_remotes_is_one() {
        let mut locals = Locals::new();
        for number in [0, 7, u32::MAX] {
            (0..3).for_each(|_| locals.insert(number, TunnelId(number)));
            assert_eq!(locals.holder(number), Holder::One(TunnelId(number)));
            locals.insert(number, TunnelId(number / 2 + 1));
            assert_eq!(locals.holder(number), Holder::Several);
            locals.remove(number, TunnelId(number / 2 + 1));
            assert_eq!(locals.holder(number), Holder::One(TunnelId(number)));
        }
    }
}
