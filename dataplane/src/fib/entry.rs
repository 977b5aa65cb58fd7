//! One slot of a table: nothing, a leaf, or a reference to a node, in four bytes.

use super::next_hop::{NEXT_HOPS_MAX, NextHopId};

/// Nothing (0), a leaf (depth and next hop), or a reference to a node.
///
/// A leaf keeps the length of the prefix that wrote it, as a *depth*: with it a shorter prefix added
/// later knows which slots are not its own, without asking the routes. Lookups mask it off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry(u32);

const NODE_BIT: u32 = 1 << 31;
const WIDE_BIT: u32 = 1 << 30;

/// How many places a reference can tell apart.
pub(super) const PLACES_MAX: usize = WIDE_BIT as usize;

const DEPTH_SHIFT: u32 = 24;
const DEPTH_MAX: u32 = 127;

const _: () = assert!(NEXT_HOPS_MAX == 1 << DEPTH_SHIFT);
const _: () = assert!(DEPTH_MAX << DEPTH_SHIFT < NODE_BIT);

impl Entry {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) const fn leaf(depth: u8, next_hop: NextHopId) -> Self {
        debug_assert!(depth as u32 <= DEPTH_MAX);
        Self((depth as u32) << DEPTH_SHIFT | next_hop.raw())
    }

    /// A reference to a node that is one line, at `place` in the array of lines.
    pub(super) const fn compact(place: u32) -> Self {
        Self(NODE_BIT | place)
    }

    /// A reference to a node of many lines, the first at `place`.
    pub(super) const fn wide(place: u32) -> Self {
        Self(NODE_BIT | WIDE_BIT | place)
    }

    #[inline]
    pub(super) const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    #[inline]
    pub(super) const fn raw(self) -> u32 {
        self.0
    }

    #[inline]
    pub(super) const fn is_node(self) -> bool {
        self.0 & NODE_BIT != 0
    }

    #[inline]
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Where the node referred to begins. Of an entry that is no node, nothing sensible.
    #[inline]
    pub(super) const fn place(self) -> u32 {
        self.0 & (WIDE_BIT - 1)
    }

    /// Whether the node referred to is of many lines.
    #[inline]
    pub(super) const fn is_wide(self) -> bool {
        self.0 & WIDE_BIT != 0
    }

    /// This entry, or `fallback` where it is empty; without a branch, because in a mix of routes
    /// nobody can predict it.
    #[inline]
    pub(super) const fn or(self, fallback: Self) -> Self {
        let empty = (self.0 == 0) as u32;
        Self(self.0 | fallback.0 & empty.wrapping_neg())
    }

    /// The depth that a leaf was made with.
    pub(super) const fn depth(self) -> u8 {
        (self.0 >> DEPTH_SHIFT & DEPTH_MAX) as u8
    }

    #[inline]
    pub(super) const fn next_hop(self) -> NextHopId {
        NextHopId::from_low_bits(self.0)
    }

    /// Whether this slot, which is no node, belongs to a prefix of `depth` that covers it: it is
    /// empty, or holds that prefix or a shorter one.
    #[inline]
    const fn yields_to(self, depth: u8) -> bool {
        self.0 >> DEPTH_SHIFT <= depth as u32
    }
}

/// A change of all slots that a prefix covers: those not held by a longer prefix become `leaf`.
///
/// Adding and removing are the same: while a prefix of some depth is in a table, no slot it covers
/// belongs to a shorter one, so what yields to it is what it holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) depth: u8,
    pub(super) leaf: Entry,
}

impl Paint {
    /// Paints one slot that is no node.
    #[inline]
    pub(super) fn apply(self, slot: &mut Entry) {
        if slot.yields_to(self.depth) {
            *slot = self.leaf;
        }
    }
}
