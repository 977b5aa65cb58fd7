//! Tunnels with labels by their outer addresses alone: for packets that don't show whose they are (in
//! pieces, quoted in part), and for saying why a packet is nobody's.

use core::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use super::label::Class;
use super::{OuterAddress, Pair};
use crate::interface::TunnelId;

/// A tunnel among others of the same addresses; of a class, those that wait longest for pieces come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Relative {
    pub(super) class: Class,
    pub(super) patience: Reverse<Option<u8>>,
    pub(super) tunnel: TunnelId,
}

/// The tunnels of one outer family.
#[derive(Clone, Debug)]
pub(super) struct Kin<A>(HashMap<Pair<A>, BTreeSet<Relative>>);

impl<A: OuterAddress> Kin<A> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn insert(&mut self, pair: Pair<A>, relative: Relative) {
        self.0.entry(pair).or_default().insert(relative);
    }

    pub(super) fn remove(&mut self, pair: Pair<A>, relative: Relative) {
        let Some(relatives) = self.0.get_mut(&pair) else { return };
        relatives.remove(&relative);
        if relatives.is_empty() {
            self.0.remove(&pair);
        }
    }

    /// Those of a class that a packet to `local` from `remote` may belong to, the most specific first.
    pub(super) fn of(&self, local: A, remote: A, class: Class) -> impl Iterator<Item = TunnelId> {
        let first = Relative { class, patience: Reverse(Some(u8::MAX)), tunnel: TunnelId(0) };
        let last = Relative { class, patience: Reverse(None), tunnel: TunnelId(u32::MAX) };
        let ranges = self.sets(local, remote).map(move |set| set.range(first..=last));
        ranges.flatten().map(|relative| relative.tunnel)
    }

    /// Of those, of each pair of addresses the one that waits longest for pieces.
    pub(super) fn most_patient(
        &self,
        local: A,
        remote: A,
        class: Class,
    ) -> impl Iterator<Item = TunnelId> {
        let first = Relative { class, patience: Reverse(Some(u8::MAX)), tunnel: TunnelId(0) };
        let last = Relative { class, patience: Reverse(None), tunnel: TunnelId(u32::MAX) };
        let firsts = self.sets(local, remote).filter_map(move |set| set.range(first..=last).next());
        firsts.map(|relative| relative.tunnel)
    }

    /// The classes of tunnels that a packet to `local` from `remote` may belong to.
    pub(super) fn classes(&self, local: A, remote: A) -> impl Iterator<Item = Class> {
        let of_class = move |class: &Class| self.of(local, remote, *class).next().is_some();
        Class::ALL.into_iter().filter(of_class)
    }

    fn sets(&self, local: A, remote: A) -> impl Iterator<Item = &BTreeSet<Relative>> {
        let any = A::default();
        let pairs = [
            Pair::new(local, remote),
            Pair::new(any, remote),
            Pair::new(local, any),
            Pair::new(any, any),
        ];
        pairs.into_iter().filter_map(|pair| self.0.get(&pair))
    }
}
