//! The first 32 bits of an address, in two steps of 16.
//!
//! The first step is 512 KiB of which lookups touch a few lines, since the internet has routes in
//! some sixty /16s: it stays in the nearest caches. The second is a page for each /16 that has longer
//! prefixes: 65 536 slots, of memory that costs only where written. So the first load that misses
//! the caches has resolved 32 bits.

use super::super::FibError;
use super::super::direct::Direct;
use super::super::entry::{Entry, Paint};

/// The longest prefix that fits here alone.
pub(super) const ROOT_LEN: u8 = 32;

/// The longest prefix that fits the first step alone.
pub(super) const FIRST_LEN: u8 = 16;

/// The most /16s in which a table can have longer prefixes, of 256 KiB each at most.
pub const PAGES_MAX: usize = 2048;

const FIRST_SLOTS: usize = 1 << FIRST_LEN;
const PAGE_SLOTS: usize = 1 << (ROOT_LEN - FIRST_LEN);

/// The page of all /16s without longer prefixes: never written.
const EMPTY_PAGE: u32 = 0;

#[derive(Clone, Debug, Default)]
struct Page {
    slots: Direct<PAGE_SLOTS>,
    filled_count: usize,
}

/// A table of the first 32 bits.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// For each /16 the longest prefix up to /16 that covers it, and its page.
    bases: Direct<FIRST_SLOTS>,
    page_numbers: Direct<FIRST_SLOTS>,
    pages: Vec<Page>,
    free: Vec<u32>,
}

impl Default for Root {
    fn default() -> Self {
        let (bases, page_numbers, free) = Default::default();
        Self { bases, page_numbers, pages: vec![Page::default()], free }
    }
}

impl Root {
    /// The longest prefix up to /16 that covers an address whose first 32 bits are `bits`, and the
    /// slot of it.
    #[inline]
    pub(super) fn lookup(&self, bits: u32) -> (Entry, Entry) {
        let page = self.pages.get(self.page_numbers.get(bits >> 16).raw() as usize);
        let slot = page.map_or(Entry::EMPTY, |page| page.slots.get(bits));
        (self.bases.get(bits >> 16), slot)
    }

    /// The slot of an address whose first 32 bits are `bits`.
    pub(super) fn get(&self, bits: u32) -> Entry {
        self.lookup(bits).1
    }

    /// Replaces the slot of an address. Its page exists, unless the slot was and stays empty.
    pub(super) fn set(&mut self, bits: u32, entry: Entry) {
        self.change_page(bits, ROOT_LEN, |slot| *slot = entry);
    }

    /// Paints a prefix of /9 to /16.
    pub(super) fn paint_first(&mut self, bits: u32, len: u8, paint: Paint) {
        self.bases.change(bits >> 16, FIRST_SLOTS >> len, |slot| paint.apply(slot));
    }

    /// Calls `change` with each slot of a prefix of /17 to /32.
    pub(super) fn change_page(&mut self, bits: u32, len: u8, mut change: impl FnMut(&mut Entry)) {
        let number = self.page_numbers.get(bits >> 16).raw();
        let Some(page) = self.pages.get_mut(number as usize) else { return };
        if number == EMPTY_PAGE {
            return;
        }
        let count = PAGE_SLOTS >> (len - FIRST_LEN);
        let Page { slots, filled_count } = page;
        slots.change(bits, count, |slot| {
            *filled_count -= usize::from(!slot.is_empty());
            change(slot);
            *filled_count += usize::from(!slot.is_empty());
        });
    }

    /// Gives the /16 of an address a page if it has none.
    pub(super) fn open_page(&mut self, bits: u32) -> Result<(), FibError> {
        if self.page_numbers.get(bits >> 16).raw() != EMPTY_PAGE {
            return Ok(());
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.pages.len() > PAGES_MAX => {
                return Err(FibError::TooScattered { limit: PAGES_MAX });
            }
            None => {
                self.pages.push(Page::default());
                u32::try_from(self.pages.len() - 1).unwrap_or(EMPTY_PAGE)
            }
        };
        self.page_numbers.set(bits >> 16, Entry::from_raw(number));
        Ok(())
    }

    /// Takes the page of an address's /16 back if there is nothing in it.
    pub(super) fn close_page(&mut self, bits: u32) {
        let number = self.page_numbers.get(bits >> 16).raw();
        let page = self.pages.get_mut(number as usize);
        if let Some(page) = page.filter(|page| number != EMPTY_PAGE && page.filled_count == 0) {
            *page = Page::default();
            self.free.push(number);
            self.page_numbers.set(bits >> 16, Entry::from_raw(EMPTY_PAGE));
        }
    }

    /// How many pages are in use.
    pub(super) fn page_count(&self) -> usize {
        self.pages.len() - 1 - self.free.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let pages: usize = self.pages.iter().map(|page| page.slots.memory_bytes()).sum();
        self.bases.memory_bytes() + self.page_numbers.memory_bytes() + pages
    }
}
