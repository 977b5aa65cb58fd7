//! The first 24 bits of an address as an index: 64 MiB, of which only written pages cost memory.

use super::entry::Entry;

/// The longest prefix that fits this table alone.
pub(super) const DIRECT_LEN: u8 = 24;

const SLOT_COUNT: usize = 1 << DIRECT_LEN;

/// How many slots are looked at together when copying: 4 KiB, a page.
const PAGE_SLOTS: usize = 1024;

/// Raw numbers rather than [`Entry`], so that the allocator gives zeroed memory and nobody has to
/// write it.
#[derive(Debug)]
pub(super) struct Direct {
    slots: Box<[u32; SLOT_COUNT]>,
    /// Which pages were ever written: a copy leaves the others alone, and costs what is in use.
    written: Box<[bool; SLOT_COUNT / PAGE_SLOTS]>,
}

impl Default for Direct {
    fn default() -> Self {
        let slots = vec![0; SLOT_COUNT].into_boxed_slice();
        Self {
            slots: slots.try_into().expect("SLOT_COUNT slots, because so many were just made"),
            written: Box::new([false; SLOT_COUNT / PAGE_SLOTS]),
        }
    }
}

impl Clone for Direct {
    fn clone(&self) -> Self {
        let mut copy = Self { written: self.written.clone(), ..Self::default() };
        let pages = self.slots.chunks_exact(PAGE_SLOTS).zip(&*self.written);
        for ((from, &written), to) in pages.zip(copy.slots.chunks_exact_mut(PAGE_SLOTS)) {
            if written {
                to.copy_from_slice(from);
            }
        }
        copy
    }
}

impl Direct {
    /// The slot of an address whose first 24 bits, and nothing else, are `index`. Higher bits of
    /// `index` are ignored, so there is no bound to check.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Entry {
        Entry::from_raw(self.slots[index as usize & (SLOT_COUNT - 1)])
    }

    pub(super) fn set(&mut self, index: u32, entry: Entry) {
        self.change_covered(index, DIRECT_LEN, |slot| *slot = entry);
    }

    /// Calls `change` with each slot of the prefix of `len`, 9 to 24, at `index`.
    pub(super) fn change_covered(
        &mut self,
        index: u32,
        len: u8,
        mut change: impl FnMut(&mut Entry),
    ) {
        let first = index as usize & (SLOT_COUNT - 1);
        let count = SLOT_COUNT >> len;
        self.written[first / PAGE_SLOTS..=(first + count - 1) / PAGE_SLOTS].fill(true);
        for raw in &mut self.slots[first..][..count] {
            let mut entry = Entry::from_raw(*raw);
            change(&mut entry);
            *raw = entry.raw();
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.slots) + size_of_val(&*self.written)
    }
}
