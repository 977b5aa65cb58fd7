//! Tunnels with labels by their outer addresses alone: for packets that don't show whose they are (in
//! pieces, quoted in part), and for saying why a packet is nobody's.

use core::cmp::Reverse;
use core::ops::RangeInclusive;
use std::collections::{BTreeSet, HashMap};

use super::hashing::Seed;
use super::label::Class;
use super::{OuterAddress, Pair, wildcard_step};
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
pub(super) struct Kin<A> {
    relatives: HashMap<Pair<A>, BTreeSet<Relative>, Seed>,
    /// How many pairs each of the steps with a wildcard has.
    wildcards: [u32; 3],
}

impl<A: OuterAddress> Kin<A> {
    /// Without tunnels; `seed` is the secret of the hash.
    pub(super) fn new(seed: u64) -> Self {
        Self { relatives: HashMap::with_hasher(Seed(seed)), wildcards: [0; 3] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.relatives.is_empty()
    }

    pub(super) fn insert(&mut self, pair: Pair<A>, relative: Relative) {
        let relatives = self.relatives.entry(pair).or_default();
        if relatives.is_empty()
            && let Some(step) = wildcard_step(&pair)
        {
            self.wildcards[step] += 1;
        }
        relatives.insert(relative);
    }

    pub(super) fn remove(&mut self, pair: Pair<A>, relative: Relative) {
        let Some(relatives) = self.relatives.get_mut(&pair) else { return };
        relatives.remove(&relative);
        if relatives.is_empty() {
            self.relatives.remove(&pair);
            if let Some(step) = wildcard_step(&pair) {
                self.wildcards[step] -= 1;
            }
        }
    }

    /// Whether there are none that a packet to `local` from `remote` may belong to.
    #[inline]
    pub(super) fn is_without(&self, local: A, remote: A) -> bool {
        let has_none = !self.relatives.contains_key(&Pair::new(local, remote));
        has_none && (self.wildcards == [0; 3] || self.wild_sets(local, remote).next().is_none())
    }

    /// Those of a class that a packet to `local` from `remote` may belong to, the most specific first.
    pub(super) fn of(&self, local: A, remote: A, class: Class) -> impl Iterator<Item = TunnelId> {
        let ranges = self.sets(local, remote).map(move |set| set.range(range(class)));
        ranges.flatten().map(|relative| relative.tunnel)
    }

    /// Shows, of those whose packets have this outer protocol, or any, of each pair of addresses and class the one that
    /// waits longest for pieces.
    #[inline]
    pub(super) fn see_most_patient(
        &self,
        (local, remote): (A, A),
        outer: Option<u8>,
        mut see: impl FnMut(TunnelId),
    ) {
        if let Some(set) = self.relatives.get(&Pair::new(local, remote)) {
            see_firsts(set, outer, &mut see);
        }
        if self.wildcards != [0; 3] {
            self.see_wild((local, remote), outer, &mut see);
        }
    }

    #[cold]
    #[inline(never)]
    fn see_wild(&self, (local, remote): (A, A), outer: Option<u8>, see: &mut impl FnMut(TunnelId)) {
        self.wild_sets(local, remote).for_each(|set| see_firsts(set, outer, see));
    }

    /// The classes of tunnels that a packet to `local` from `remote` may belong to.
    pub(super) fn classes(&self, local: A, remote: A) -> impl Iterator<Item = Class> {
        let is_there = move |class: &Class| self.of(local, remote, *class).next().is_some();
        Class::ALL.into_iter().filter(is_there)
    }

    #[inline]
    fn sets(&self, local: A, remote: A) -> impl Iterator<Item = &BTreeSet<Relative>> {
        let of_both = self.relatives.get(&Pair::new(local, remote));
        // Most tables have none of these.
        let has_wildcards = self.wildcards != [0; 3];
        let wild = has_wildcards.then(|| self.wild_sets(local, remote)).into_iter().flatten();
        of_both.into_iter().chain(wild)
    }

    fn wild_sets(&self, local: A, remote: A) -> impl Iterator<Item = &BTreeSet<Relative>> {
        let any = A::default();
        let pairs = [Pair::new(any, remote), Pair::new(local, any), Pair::new(any, any)];
        let counted = pairs.into_iter().zip(self.wildcards).filter(|&(_, count)| count != 0);
        counted.filter_map(|(pair, _)| self.relatives.get(&pair))
    }
}

/// Shows the first of each class whose packets have this outer protocol, or any.
#[inline(always)]
#[expect(clippy::inline_always, reason = "called for each piece, and once more where it is rare")]
fn see_firsts(set: &BTreeSet<Relative>, outer: Option<u8>, see: &mut impl FnMut(TunnelId)) {
    let is_of = |class: Class| outer.is_none_or(|outer| class.outer_protocol() == outer);
    // Nearly all pairs have one tunnel alone.
    if let Some(sole) = set.first().filter(|_| set.len() == 1) {
        if is_of(sole.class) {
            see(sole.tunnel);
        }
        return;
    }
    let firsts = |class| set.range(range(class)).next();
    for first in Class::ALL.into_iter().filter(|&class| is_of(class)).filter_map(firsts) {
        see(first.tunnel);
    }
}

/// All of a class.
fn range(class: Class) -> RangeInclusive<Relative> {
    let first = Relative { class, patience: Reverse(Some(u8::MAX)), tunnel: TunnelId(0) };
    let last = Relative { class, patience: Reverse(None), tunnel: TunnelId(u32::MAX) };
    first..=last
}
