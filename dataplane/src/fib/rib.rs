//! The routes themselves: the control side's truth, from which tables are built and changed.

use core::fmt::Debug;
use std::collections::BTreeMap;

use ipnet::{Ipv4Net, Ipv6Net};

use super::next_hop::NextHopId;

/// A prefix of an address family.
pub trait Prefix: Copy + Ord + Debug {
    /// The length of an address.
    const LEN_MAX: u8;

    /// With the bits after the prefix cleared.
    #[must_use]
    fn canonical(self) -> Self;

    /// How many bits of an address it fixes.
    fn prefix_len(self) -> u8;

    /// The prefix that is one bit shorter.
    fn parent(self) -> Option<Self>;
}

impl Prefix for Ipv4Net {
    const LEN_MAX: u8 = 32;

    fn canonical(self) -> Self {
        self.trunc()
    }

    fn prefix_len(self) -> u8 {
        Self::prefix_len(&self)
    }

    fn parent(self) -> Option<Self> {
        self.supernet()
    }
}

impl Prefix for Ipv6Net {
    const LEN_MAX: u8 = 128;

    fn canonical(self) -> Self {
        self.trunc()
    }

    fn prefix_len(self) -> u8 {
        Self::prefix_len(&self)
    }

    fn parent(self) -> Option<Self> {
        self.supernet()
    }
}

/// What the slots of a prefix hold after a change: the length of the prefix and its next hop, or
/// nothing.
pub(super) type Target = Option<(u8, NextHopId)>;

/// A change of one route, with what a table needs to know of the others to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<P> {
    prefix: P,
    next_hop: Option<NextHopId>,
    previous: Option<NextHopId>,
    cover: Target,
}

impl<P: Prefix> Change<P> {
    /// A route that no route was there for. `prefix` is canonical.
    pub(super) fn first(prefix: P, next_hop: NextHopId) -> Self {
        Self { prefix, next_hop: Some(next_hop), previous: None, cover: None }
    }

    /// The prefix whose route changes.
    pub fn prefix(&self) -> P {
        self.prefix
    }

    /// Where the route leads afterwards; nothing if it is removed.
    pub fn next_hop(&self) -> Option<NextHopId> {
        self.next_hop
    }

    /// Where the route led before; nothing if it is new.
    pub fn previous(&self) -> Option<NextHopId> {
        self.previous
    }

    /// What its slots hold afterwards, in a part of a table for prefixes longer than `floor`.
    pub(super) fn target_above(&self, floor: u8) -> Target {
        match self.next_hop {
            Some(next_hop) => Some((self.prefix.prefix_len(), next_hop)),
            None => self.cover.filter(|&(len, _)| len > floor),
        }
    }

    /// What its slots hold afterwards.
    pub(super) fn target(&self) -> Target {
        self.next_hop.map(|next_hop| (self.prefix.prefix_len(), next_hop)).or(self.cover)
    }

    /// Whether the route is removed.
    pub(super) fn removes(&self) -> bool {
        self.next_hop.is_none()
    }
}

/// Routes by prefix, in order of address, then length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rib<P> {
    routes: BTreeMap<P, NextHopId>,
    /// How many routes each length has, so that a search of covers skips lengths without any.
    len_counts: Vec<usize>,
}

/// IPv4 routes.
pub type Rib4 = Rib<Ipv4Net>;

/// IPv6 routes.
pub type Rib6 = Rib<Ipv6Net>;

impl<P: Prefix> Default for Rib<P> {
    fn default() -> Self {
        Self { routes: BTreeMap::new(), len_counts: vec![0; usize::from(P::LEN_MAX) + 1] }
    }
}

impl<P: Prefix> Rib<P> {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The next hop of exactly this prefix. Bits of it after its length don't matter, as
    /// everywhere here.
    pub fn get(&self, prefix: P) -> Option<NextHopId> {
        self.routes.get(&prefix.canonical()).copied()
    }

    /// All routes in order of address, then length: a prefix comes before those it covers.
    pub fn iter(&self) -> impl Iterator<Item = (P, NextHopId)> + '_ {
        self.routes.iter().map(|(&prefix, &next_hop)| (prefix, next_hop))
    }

    /// Adds or replaces a route; returns what its next hop was.
    pub fn insert(&mut self, prefix: P, next_hop: NextHopId) -> Option<NextHopId> {
        let prefix = prefix.canonical();
        let previous = self.routes.insert(prefix, next_hop);
        if previous.is_none() {
            self.len_counts[usize::from(prefix.prefix_len())] += 1;
        }
        previous
    }

    /// Removes a route; returns what its next hop was.
    pub fn remove(&mut self, prefix: P) -> Option<NextHopId> {
        let prefix = prefix.canonical();
        let previous = self.routes.remove(&prefix);
        if previous.is_some() {
            self.len_counts[usize::from(prefix.prefix_len())] -= 1;
        }
        previous
    }

    /// The route of the longest prefix that covers `prefix`, itself included: for the prefix of one
    /// address, what a lookup of it finds.
    pub fn longest_match(&self, prefix: P) -> Option<(P, NextHopId)> {
        let prefix = prefix.canonical();
        self.get(prefix).map(|next_hop| (prefix, next_hop)).or_else(|| self.cover(prefix))
    }

    /// What adding or replacing this route means for a table; changes nothing.
    pub fn plan_insert(&self, prefix: P, next_hop: NextHopId) -> Change<P> {
        let prefix = prefix.canonical();
        Change { prefix, next_hop: Some(next_hop), previous: self.get(prefix), cover: None }
    }

    /// What removing this route means for a table; nothing if it is not there. Changes nothing.
    pub fn plan_remove(&self, prefix: P) -> Option<Change<P>> {
        let prefix = prefix.canonical();
        let previous = Some(self.get(prefix)?);
        let cover = self.cover(prefix).map(|(prefix, next_hop)| (prefix.prefix_len(), next_hop));
        Some(Change { prefix, next_hop: None, previous, cover })
    }

    /// Makes a planned change.
    pub fn apply(&mut self, change: &Change<P>) {
        match change.next_hop {
            Some(next_hop) => self.insert(change.prefix, next_hop),
            None => self.remove(change.prefix),
        };
    }

    /// The route of the longest prefix shorter than `prefix` that covers it.
    fn cover(&self, prefix: P) -> Option<(P, NextHopId)> {
        core::iter::successors(prefix.parent(), |shorter| shorter.parent())
            .filter(|shorter| self.len_counts[usize::from(shorter.prefix_len())] > 0)
            .find_map(|shorter| Some((shorter, self.get(shorter)?)))
    }
}
