//! The /64s that have a route of their own, found at once.
//!
//! Most of what is routed to customers, tunnels and links are /64s, and the way to them through the
//! trie is the longest that is common. So the slot of each such /64 is kept in a hash table as well:
//! a leaf, or the node with what is inside it. It says nothing that the trie does not say.
//!
//! Routes are the operator's choice, so nobody can make them collide; whoever chooses destinations
//! can at most choose the fullest run of slots, of a table at most half full.

use super::super::entry::Entry;
use crate::probing;

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The first 64 bits of an address.
    site: u64,
    /// Empty where the slot is.
    entry: Entry,
}

impl Slot {
    const EMPTY: Self = Self { site: 0, entry: Entry::EMPTY };
}

#[derive(Clone, Debug)]
pub(super) struct Sites {
    /// Open addressing, a power of two in size, at most half full.
    slots: Box<[Slot]>,
    count: usize,
}

const SLOTS_MIN: usize = 16;

impl Default for Sites {
    fn default() -> Self {
        Self { slots: vec![Slot::EMPTY; SLOTS_MIN].into_boxed_slice(), count: 0 }
    }
}

impl Sites {
    /// The slot of the /64 of an address, or an empty one.
    #[inline]
    pub(super) fn get(&self, address: u128) -> Entry {
        if self.count == 0 {
            return Entry::EMPTY;
        }
        let at = self.slot_of(site_of(address));
        self.slots.get(at).map_or(Entry::EMPTY, |slot| slot.entry)
    }

    /// Sets the slot of the /64 of an address; an empty one takes it out.
    pub(super) fn set(&mut self, address: u128, entry: Entry) {
        let site = site_of(address);
        let at = self.slot_of(site);
        match (self.slots[at].entry.is_empty(), entry.is_empty()) {
            (true, true) => {}
            (false, false) => self.slots[at].entry = entry,
            (false, true) => {
                let home = |slot: &Slot| (!slot.entry.is_empty()).then(|| home(slot.site));
                probing::remove(&mut self.slots, at, Slot::EMPTY, home);
                self.count -= 1;
            }
            (true, false) => {
                self.count += 1;
                if self.count * 2 > self.slots.len() {
                    self.grow();
                }
                let at = self.slot_of(site);
                self.slots[at] = Slot { site, entry };
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    fn grow(&mut self) {
        let doubled = vec![Slot::EMPTY; self.slots.len() * 2].into_boxed_slice();
        let old = core::mem::replace(&mut self.slots, doubled);
        for slot in old.iter().filter(|slot| !slot.entry.is_empty()) {
            let at = self.slot_of(slot.site);
            self.slots[at] = *slot;
        }
    }

    /// The slot that holds a site, or the empty one where it belongs.
    #[inline]
    fn slot_of(&self, site: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = home(site) & mask;
        while let Some(slot) = self.slots.get(at) {
            if slot.site == site || slot.entry.is_empty() {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }
}

#[inline]
fn site_of(address: u128) -> u64 {
    (address >> 64) as u64
}

/// Where the search for a site begins, before it is reduced to the size of the table.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
fn home(site: u64) -> usize {
    let hash = site.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ hash >> 32) as usize
}
