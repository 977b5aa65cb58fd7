//! Nodes of 256 slots, most of them in one cache line.
//!
//! The slots of a node are few runs of equal entries. A *compact* node is one line of 64 bytes: its
//! head, one entry a run, and the last slot of each run but the last one. One of more runs is *wide*:
//! a line with its head, then 16 lines with all slots. Both lie in one array of lines, so that a
//! lookup finds the right word of the right line by arithmetic, without a branch that depends on
//! what it has just loaded.
//!
//! The head is `HEAD` words. Its first is the node's *base*: the prefix that would stand in the slot
//! that refers to this node, which is what addresses get that end in an empty slot of the node.

use core::ops::Range;

use super::entry::{Entry, PLACES_MAX, Paint};
use super::lines::{Line, Lines, WORD_COUNT, WORDS};
use super::{FibError, LINES_MAX};

/// How many slots a node has: one for each value of a byte.
pub(super) const SLOT_COUNT: usize = 256;

/// The slots of a node, one by one, as changes are made on them.
pub(super) type Slots = [Entry; SLOT_COUNT];

/// Where the slots of a node that has been read begin: in the line after its head.
const WIDE_LINES: usize = 1 + SLOT_COUNT / WORD_COUNT;

/// What a full table has become at the worst when routes are removed: all nodes wide. No removal makes
/// a node, and nothing can be added until there is less.
const LINES_UNBOUNDED: usize = LINES_MAX * WIDE_LINES;

const _: () = assert!(LINES_UNBOUNDED * WORD_COUNT <= u32::MAX as usize);
const _: () = assert!(LINES_UNBOUNDED <= PLACES_MAX);

/// All nodes of a table.
#[derive(Clone, Debug)]
pub(super) struct Nodes<const HEAD: usize> {
    lines: Lines<WIDE_LINES>,
}

impl<const HEAD: usize> Nodes<HEAD> {
    /// The most runs that fit a line: each needs an entry, and all but one of them a byte.
    const RUNS: usize = (size_of::<Line>() - HEAD * 4).div_ceil(5);
    #[expect(clippy::cast_possible_truncation, reason = "a head is shorter than a line")]
    const HEAD_WORDS: u32 = HEAD as u32;
    const ENDS_AT: usize = HEAD + Self::RUNS;
    const ENDS: usize = Self::RUNS - 1;
    const FITS: () = assert!(HEAD * 4 + Self::RUNS * 5 - 1 <= size_of::<Line>());

    /// None yet, and never more than fit so many lines of 64 bytes.
    pub(super) fn with_lines_max(lines_max: usize) -> Self {
        let () = Self::FITS;
        Self { lines: Lines::with_limit(lines_max) }
    }

    /// Begins a change. A route that is added has to fit the lines there may be. One that is removed
    /// may leave more runs than before, and takes the lines that it needs: no removal is refused.
    pub(super) fn begin(&mut self, removes: bool) {
        self.lines.set_bounded(!removes);
    }

    /// The line that `node` begins with.
    #[inline]
    pub(super) fn line(&self, node: Entry) -> &Line {
        self.lines.get(node.place())
    }

    /// Which word of all lines `slot` of `node`, which begins with `line`, is.
    #[inline]
    pub(super) fn locate(node: Entry, line: &Line, slot: u8) -> u32 {
        let wide = u32::from(node.is_wide()).wrapping_neg();
        let in_wide = WORDS + u32::from(slot);
        let in_compact = Self::HEAD_WORDS + Self::run_of(line, slot);
        node.place() * WORDS + (in_wide & wide | in_compact & !wide)
    }

    /// What a slot holds that [`Self::locate`] found.
    #[inline]
    pub(super) fn read(&self, word: u32) -> Entry {
        let line = self.lines.get(word / WORDS);
        Entry::from_raw(line.0[word as usize % WORD_COUNT])
    }

    /// What `slot` of `node`, which begins with `line`, holds. As [`Self::locate`] and
    /// [`Self::read`], with a branch for where the processor can tell in time which kind it is.
    #[inline]
    pub(super) fn follow(&self, node: Entry, line: &Line, slot: u8) -> Entry {
        if node.is_wide() {
            return self.read((node.place() + 1) * WORDS + u32::from(slot));
        }
        Entry::from_raw(line.0[(HEAD + Self::run_of(line, slot) as usize) % WORD_COUNT])
    }

    /// What `slot` of `node` holds.
    #[inline]
    pub(super) fn slot(&self, node: Entry, slot: u8) -> Entry {
        self.read(Self::locate(node, self.line(node), slot))
    }

    /// Which run of a compact node a slot is in: as many as there are ends before it. Of a wide
    /// node, nothing sensible.
    #[inline]
    fn run_of(line: &Line, slot: u8) -> u32 {
        const { assert!(Self::ENDS_AT > WORD_COUNT - 4) }
        let [.., a, b, c] = line.0;
        if Self::ENDS <= 8 { count_less([b, c], slot) } else { count_less_of_3([a, b, c], slot) }
    }

    /// The head of the node that `entry` refers to; nothing if it refers to none.
    pub(super) fn head(&self, entry: Entry) -> Option<[u32; HEAD]> {
        entry.is_node().then(|| head_of(self.line(entry)))
    }

    /// The base of the node that `entry` refers to.
    pub(super) fn base(&self, node: Entry) -> Entry {
        Entry::from_raw(self.line(node).0[0])
    }

    pub(super) fn set_base(&mut self, node: Entry, base: Entry) {
        self.lines.get_mut(node.place())[0].0[0] = base.raw();
    }

    /// The head and all slots of a node.
    pub(super) fn expand(&self, node: Entry) -> ([u32; HEAD], Slots) {
        let line = self.line(node);
        let mut slots = [Entry::EMPTY; SLOT_COUNT];
        for (slot, number) in slots.iter_mut().zip(0..=u8::MAX) {
            *slot = self.read(Self::locate(node, line, number));
        }
        (head_of(line), slots)
    }

    /// A new node, the compact kind where it fits.
    pub(super) fn insert(&mut self, head: &[u32; HEAD], slots: &Slots) -> Result<Entry, FibError> {
        if let Some(line) = Self::compact(head, slots) {
            let place = self.lines.insert_one()?;
            self.lines.get_mut(place)[0] = line;
            return Ok(Entry::compact(place));
        }
        let place = self.lines.insert_block()?;
        self.write_wide(place, head, slots);
        Ok(Entry::wide(place))
    }

    /// Gives a node other contents. It may have to move: returns where it is now.
    pub(super) fn update(
        &mut self,
        node: Entry,
        head: &[u32; HEAD],
        slots: &Slots,
    ) -> Result<Entry, FibError> {
        match (Self::compact(head, slots), node.is_wide()) {
            (Some(line), false) => {
                self.lines.get_mut(node.place())[0] = line;
                Ok(node)
            }
            (None, true) => {
                self.write_wide(node.place(), head, slots);
                Ok(node)
            }
            (Some(_), true) => {
                if let Ok(moved) = self.insert(head, slots) {
                    self.remove(node);
                    return Ok(moved);
                }
                // No line for the smaller kind: it may as well stay large.
                self.write_wide(node.place(), head, slots);
                Ok(node)
            }
            (None, false) => {
                let moved = self.insert(head, slots)?;
                self.remove(node);
                Ok(moved)
            }
        }
    }

    pub(super) fn remove(&mut self, node: Entry) {
        if node.is_wide() {
            self.lines.remove_block(node.place());
        } else {
            self.lines.remove_one(node.place());
        }
    }

    /// Replaces the reference to a node that one slot of `parent` holds.
    pub(super) fn relink(&mut self, parent: Entry, slot: u8, child: Entry) {
        let word = Self::locate(parent, self.line(parent), slot);
        let line = self.lines.get_mut(word / WORDS);
        line[0].0[word as usize % WORD_COUNT] = child.raw();
    }

    /// Paints a slot outside this store, or the base of the node it refers to.
    pub(super) fn paint_through(&mut self, slot: &mut Entry, paint: Paint) {
        if slot.is_node() {
            let mut base = self.base(*slot);
            paint.apply(&mut base);
            self.set_base(*slot, base);
        } else {
            paint.apply(slot);
        }
    }

    /// How many nodes there are: of one line, and wide ones.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.lines.counts()
    }

    /// How many lines there are, in use or not.
    #[inline]
    pub(super) fn line_count(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.memory_bytes()
    }

    /// Nothing if the slots have too many runs.
    fn compact(head: &[u32; HEAD], slots: &Slots) -> Option<Line> {
        let mut line = Line::default();
        let mut ends = [u8::MAX; 16];
        let mut run = 0;
        line.0[..HEAD].copy_from_slice(head);
        line.0[HEAD] = slots[0].raw();
        for (slot, pair) in (0..=u8::MAX).zip(slots.windows(2)) {
            if pair[0] != pair[1] {
                if run == Self::ENDS {
                    return None;
                }
                ends[run] = slot;
                run += 1;
                line.0[HEAD + run] = pair[1].raw();
            }
        }
        for (word, bytes) in line.0[Self::ENDS_AT..].iter_mut().zip(ends.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        Some(line)
    }

    fn write_wide(&mut self, place: u32, head: &[u32; HEAD], slots: &Slots) {
        if let Some((first, rest)) = self.lines.get_mut(place).split_first_mut() {
            first.0[..HEAD].copy_from_slice(head);
            // A lookup reads the ends whatever the kind; nothing depends on them here.
            for (line, slots) in rest.iter_mut().zip(slots.chunks_exact(WORD_COUNT)) {
                line.0.iter_mut().zip(slots).for_each(|(word, slot)| *word = slot.raw());
            }
        }
    }
}

/// How many bytes of two words are less than `bound`: with the top bits set aside, the differences
/// don't borrow from their neighbors.
#[inline]
fn count_less([low, high]: [u32; 2], bound: u8) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x80 * ONES;
    let bytes = u64::from(high) << 32 | u64::from(low);
    let bounds = ONES * u64::from(bound);
    let low_at_least = (bytes | TOPS) - (bounds & !TOPS);
    let at_least = bytes & !bounds | !(bytes ^ bounds) & low_at_least;
    let less = (!at_least & TOPS) >> 7;
    (less.wrapping_mul(ONES) >> 56) as u32
}

/// The same of three words.
#[inline]
#[cfg(target_arch = "x86_64")]
fn count_less_of_3(words: [u32; 3], bound: u8) -> u32 {
    use safe_arch::{
        add_i32_m128i, bitandnot_m128i, cmp_eq_mask_i8_m128i, get_i32_from_m128i_s, max_u8_m128i,
        set_i32_m128i, set_splat_i8_m128i, sum_of_u8_abs_diff_m128i, unpack_high_i64_m128i,
        zeroed_m128i,
    };
    let [a, b, c] = words.map(u32::cast_signed);
    // A byte is less where the larger one of it and the bound is not it.
    let bytes = set_i32_m128i(c, b, a, -1);
    let larger = max_u8_m128i(bytes, set_splat_i8_m128i(bound.cast_signed()));
    let less = bitandnot_m128i(cmp_eq_mask_i8_m128i(larger, bytes), set_splat_i8_m128i(1));
    let halves = sum_of_u8_abs_diff_m128i(less, zeroed_m128i());
    let sum = add_i32_m128i(halves, unpack_high_i64_m128i(halves, halves));
    get_i32_from_m128i_s(sum).cast_unsigned()
}

/// The same of three words.
#[inline]
#[cfg(not(target_arch = "x86_64"))]
fn count_less_of_3([a, b, c]: [u32; 3], bound: u8) -> u32 {
    count_less([a, b], bound) + count_less([c, u32::MAX], bound)
}

fn head_of<const HEAD: usize>(line: &Line) -> [u32; HEAD] {
    core::array::from_fn(|word| line.0[word % WORD_COUNT])
}

/// The slots, of a node whose first `depth` bits lead to it, that a prefix of `len` covers, by the
/// byte of it that counts there.
pub(super) fn covered(byte: u8, depth: u8, len: u8) -> Range<usize> {
    debug_assert!(depth < len && len <= depth + 8);
    let first = usize::from(byte);
    first..first + (SLOT_COUNT >> (len - depth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_below_a_bound_are_counted() {
        let rows = [
            [0, 1, 127, 128, 129, 254, 255, 255, 3, 3, 0, 255],
            [255; 12],
            [0; 12],
            [7, 8, 9, 8, 8, 200, 3, 0, 1, 2, 255, 128],
        ];
        for bytes in rows {
            let word =
                |at: usize| u32::from_le_bytes(core::array::from_fn(|byte| bytes[4 * at + byte]));
            let words = [word(0), word(1), word(2)];
            for bound in 0..=u8::MAX {
                let expected = |count| bytes.iter().take(count).filter(|&&b| b < bound).count();
                assert_eq!(count_less([words[0], words[1]], bound) as usize, expected(8));
                assert_eq!(count_less_of_3(words, bound) as usize, expected(12));
            }
        }
    }
}
