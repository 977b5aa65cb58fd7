//! Preallocated slots: found by hash, and kept in order. Numbers instead of pointers, so that a full
//! table costs nobody an allocation and every list is safe code.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// Which slots are in use, by the hash of what is in them; what that is, the caller knows.
pub(super) struct Index {
    /// First slot of each chain; a power of two of them, at least as many as there are slots.
    heads: Box<[u32]>,
    /// The next slot of the same chain, or of the free ones.
    next: Box<[u32]>,
    /// The mark of each slot in use, a bit by its hash, and those of each chain: what is not there has
    /// one that is nobody's, mostly.
    marks: Box<[u16]>,
    chain_marks: Box<[u16]>,
    free: u32,
    used: u32,
}

impl Index {
    /// With room for `slots`.
    pub(super) fn new(slots: u32) -> Self {
        let count = slots as usize;
        let next = (1..=slots).map(|next| if next < slots { next } else { NONE }).collect();
        let chains = count.max(1).next_power_of_two();
        let heads = vec![NONE; chains].into_boxed_slice();
        let marks = vec![0; count].into_boxed_slice();
        let chain_marks = vec![0; chains].into_boxed_slice();
        let free = if slots == 0 { NONE } else { 0 };
        Self { heads, next, marks, chain_marks, free, used: 0 }
    }

    /// Slots in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Whether there may be a slot with this hash. A no is certain; a yes is wrong for one in 16 hashes,
    /// for each slot that the chain has.
    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.chain_marks.get(self.chain(hash)).is_some_and(|marks| marks & mark(hash) != 0)
    }

    /// The slot with this hash that holds it.
    #[inline]
    pub(super) fn find(&self, hash: u64, holds_it: impl Fn(u32) -> bool) -> Option<u32> {
        if !self.may_have(hash) {
            return None;
        }
        let mut slot = self.heads[self.chain(hash)];
        while slot != NONE && !holds_it(slot) {
            slot = self.next[slot as usize];
        }
        (slot != NONE).then_some(slot)
    }

    /// Takes a free slot into use, if there is one.
    pub(super) fn insert(&mut self, hash: u64) -> Option<u32> {
        let slot = self.free;
        if slot == NONE {
            return None;
        }
        let chain = self.chain(hash);
        self.free = self.next[slot as usize];
        self.next[slot as usize] = self.heads[chain];
        self.heads[chain] = slot;
        self.marks[slot as usize] = mark(hash);
        self.chain_marks[chain] |= mark(hash);
        self.used += 1;
        Some(slot)
    }

    /// Gives a slot back that was taken with this hash.
    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let chain = self.chain(hash);
        let mut at = self.heads[chain];
        let after = self.next[slot as usize];
        if at == slot {
            self.heads[chain] = after;
        } else {
            while at != NONE && self.next[at as usize] != slot {
                at = self.next[at as usize];
            }
            if at == NONE {
                debug_assert!(false, "a slot is given back that is not in use");
                return;
            }
            self.next[at as usize] = after;
        }
        self.next[slot as usize] = self.free;
        self.free = slot;
        self.used -= 1;
        self.chain_marks[chain] = self.marks_of(chain);
    }

    /// The marks of all slots of a chain.
    fn marks_of(&self, chain: usize) -> u16 {
        let (mut marks, mut at) = (0, self.heads[chain]);
        while at != NONE {
            marks |= self.marks[at as usize];
            at = self.next[at as usize];
        }
        marks
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
    fn chain(&self, hash: u64) -> usize {
        hash as usize & (self.heads.len() - 1)
    }
}

/// A bit by what of a hash chooses no chain.
#[inline]
const fn mark(hash: u64) -> u16 {
    1 << (hash >> 60)
}

/// Both ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The one that has been there longest, or [`NONE`].
    pub(super) first: u32,
    last: u32,
}

impl Ends {
    /// Of an empty list.
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };
}

/// Lists of slots in the order in which they were put in. A slot is in one of them at a time.
pub(super) struct Order {
    /// The slot before and the one behind.
    links: Box<[(u32, u32)]>,
}

impl Order {
    /// For `slots` slots.
    pub(super) fn new(slots: u32) -> Self {
        Self { links: vec![(NONE, NONE); slots as usize].into_boxed_slice() }
    }

    /// Puts a slot at the end of a list.
    pub(super) fn push(&mut self, ends: &mut Ends, slot: u32) {
        self.links[slot as usize] = (ends.last, NONE);
        match self.links.get_mut(ends.last as usize) {
            Some(last) => last.1 = slot,
            None => ends.first = slot,
        }
        ends.last = slot;
    }

    /// Takes a slot out of the list that it is in.
    pub(super) fn remove(&mut self, ends: &mut Ends, slot: u32) {
        let (before, behind) = self.links[slot as usize];
        match self.links.get_mut(before as usize) {
            Some(before) => before.1 = behind,
            None => ends.first = behind,
        }
        match self.links.get_mut(behind as usize) {
            Some(behind) => behind.0 = before,
            None => ends.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Few hashes, so that chains have several slots, and several of these one mark.
    fn hash_of(value: u64) -> u64 {
        (value % 3) | (value % 4) << 60
    }

    proptest! {
        #[test]
        fn slots_are_found_until_they_are_given_back_and_lists_keep_their_order(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..40), 0..200),
        ) {
            let (mut index, mut order, mut ends) = (Index::new(8), Order::new(8), Ends::EMPTY);
            let mut values = [u64::MAX; 8];
            let mut expected: BTreeMap<u64, u32> = BTreeMap::new();
            let mut sequence: Vec<u32> = Vec::new();
            for (adds, value) in steps {
                let hash = hash_of(value);
                if adds && !expected.contains_key(&value) {
                    let slot = index.insert(hash);
                    prop_assert_eq!(slot.is_none(), expected.len() == 8);
                    if let Some(slot) = slot {
                        values[slot as usize] = value;
                        expected.insert(value, slot);
                        order.push(&mut ends, slot);
                        sequence.push(slot);
                    }
                } else if let Some(slot) = expected.remove(&value) {
                    index.remove(hash, slot);
                    order.remove(&mut ends, slot);
                    sequence.retain(|&other| other != slot);
                }
                prop_assert_eq!(index.used() as usize, expected.len());
                for value in 0..40 {
                    let hash = hash_of(value);
                    let found = index.find(hash, |slot| values[slot as usize] == value);
                    prop_assert_eq!(found, expected.get(&value).copied());
                    let is_there = expected.keys().any(|&other| hash_of(other) == hash);
                    prop_assert_eq!(index.may_have(hash), is_there);
                }
                let mut at = ends.first;
                for &slot in &sequence {
                    prop_assert_eq!(at, slot);
                    at = order.links[at as usize].1;
                }
                prop_assert_eq!(at, NONE);
            }
        }
    }
}
