//! Prefixes of /0 to /8, in 1 KiB.
//!
//! What no longer prefix covers is looked up here, by the first byte of the address: so a default
//! route, `0.0.0.0/1` or `2000::/3` costs 256 slots at most and never a fill of the large tables.

use super::entry::{Entry, Paint};
use super::rib::Target;

/// The longest prefix kept here.
pub(super) const SHORT_LEN_MAX: u8 = 8;

const SLOT_COUNT: usize = 1 << SHORT_LEN_MAX;

#[derive(Clone, Debug)]
pub(super) struct Short([Entry; SLOT_COUNT]);

impl Default for Short {
    fn default() -> Self {
        Self([Entry::EMPTY; SLOT_COUNT])
    }
}

impl Short {
    #[inline]
    pub(super) fn lookup(&self, first_byte: u8) -> Entry {
        self.0[usize::from(first_byte)]
    }

    /// Sets the prefix of `len` at `first_byte` to what `target` says.
    pub(super) fn apply(&mut self, first_byte: u8, len: u8, target: &Target) {
        let leaf = target.map_or(Entry::EMPTY, |(len, next_hop)| Entry::leaf(len, next_hop));
        let paint = Paint { depth: len, leaf };
        let count = SLOT_COUNT >> len;
        self.0[usize::from(first_byte)..][..count].iter_mut().for_each(|slot| paint.apply(slot));
    }
}
