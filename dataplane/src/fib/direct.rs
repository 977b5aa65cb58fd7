//! A table that bits of an address index: large, and of memory that costs only where written.

use super::entry::Entry;
use crate::packet::prefetch;

/// How many slots are looked at together when copying: 4 KiB, a page.
const PAGE_SLOTS: usize = 1024;

/// `SLOTS` entries, a power of two of at least a page's.
///
/// Raw numbers rather than [`Entry`], so that the allocator gives zeroed memory and nobody has to
/// write it.
#[derive(Debug)]
pub(super) struct Direct<const SLOTS: usize> {
    slots: Box<[u32; SLOTS]>,
    /// Which pages were ever written: a copy leaves the others alone, and costs what is in use.
    written: Vec<bool>,
    written_count: usize,
}

impl<const SLOTS: usize> Default for Direct<SLOTS> {
    fn default() -> Self {
        const { assert!(SLOTS.is_power_of_two() && SLOTS >= PAGE_SLOTS) };
        let slots = vec![0; SLOTS].into_boxed_slice();
        Self {
            slots: slots.try_into().expect("SLOTS slots, because so many were just made"),
            written: vec![false; SLOTS / PAGE_SLOTS],
            written_count: 0,
        }
    }
}

impl<const SLOTS: usize> Clone for Direct<SLOTS> {
    fn clone(&self) -> Self {
        let mut copy = Self {
            written: self.written.clone(),
            written_count: self.written_count,
            ..Self::default()
        };
        let pages = self.slots.chunks_exact(PAGE_SLOTS).zip(&*self.written);
        for ((from, &written), to) in pages.zip(copy.slots.chunks_exact_mut(PAGE_SLOTS)) {
            if written {
                to.copy_from_slice(from);
            }
        }
        copy
    }
}

impl<const SLOTS: usize> Direct<SLOTS> {
    /// The slot at `index`. Bits of `index` that are too high are ignored, so there is no bound to
    /// check.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Entry {
        Entry::from_raw(self.slots[index as usize & (SLOTS - 1)])
    }

    /// Asks for the slot at `index`.
    #[inline]
    pub(super) fn prefetch(&self, index: u32) {
        prefetch(&self.slots[index as usize & (SLOTS - 1)]);
    }

    /// How many bytes of it were ever written, in whole pages.
    #[inline]
    pub(super) fn bytes_in_use(&self) -> usize {
        self.written_count * PAGE_SLOTS * size_of::<u32>()
    }

    pub(super) fn set(&mut self, index: u32, entry: Entry) {
        self.change(index, 1, |slot| *slot = entry);
    }

    /// Calls `change` with each of `count` slots, as many as a prefix covers, from `index` on.
    pub(super) fn change(&mut self, index: u32, count: usize, mut change: impl FnMut(&mut Entry)) {
        let first = index as usize & (SLOTS - 1);
        for written in &mut self.written[first / PAGE_SLOTS..=(first + count - 1) / PAGE_SLOTS] {
            self.written_count += usize::from(!*written);
            *written = true;
        }
        for raw in &mut self.slots[first..][..count] {
            let mut entry = Entry::from_raw(*raw);
            change(&mut entry);
            *raw = entry.raw();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.slots) + self.written.capacity()
    }
}
