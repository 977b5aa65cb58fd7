//! Nodes of 256 slots, most of them in one cache line.
//!
//! The slots of a node are few runs of equal entries. Up to [`Compact`]'s number of runs the node is
//! one line of 64 bytes: the last slot of each run but the last one, and one entry a run. More than
//! that takes the 1 KiB of all slots. The parts that both kinds have are the node's head `H`.

use super::FibError;
use super::entry::{Entry, NodeRef, Paint};
use super::slab::Slab;

/// The most nodes of 64 bytes that a table can have.
pub const COMPACT_NODES_MAX: usize = 1 << 20;

/// The most nodes of 1 KiB that a table can have. A million routes need 200 000 at worst: one has at
/// least five routes in it, or it would be the small kind.
pub const WIDE_NODES_MAX: usize = 1 << 18;

/// How many slots a node has: one for each value of a byte.
pub(super) const SLOT_COUNT: usize = 256;

/// The slots of a node, one by one, as changes are made on them.
pub(super) type Slots = [Entry; SLOT_COUNT];

/// What a node has besides its slots.
pub(super) trait Head: Copy {
    /// What addresses get that end in an empty slot of this node, or that left its path: the prefix
    /// that would be in the slot that holds the reference to this node.
    fn base(&self) -> Entry;

    fn base_mut(&mut self) -> &mut Entry;
}

/// A node of few runs: `ENDS` is one less than `RUNS`, and with the head it all is 64 bytes.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Compact<H, const RUNS: usize, const ENDS: usize> {
    head: H,
    runs: [Entry; RUNS],
    /// The last slot of each run but the last; 255 where there is no run, which no slot is beyond.
    ends: [u8; ENDS],
}

/// A node with all its slots.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Wide<H> {
    head: H,
    slots: Slots,
}

impl<H: Head, const RUNS: usize, const ENDS: usize> Compact<H, RUNS, ENDS> {
    const FITS_A_LINE: () = assert!(size_of::<Self>() == 64 && ENDS + 1 == RUNS);

    /// Nothing if the slots have too many runs.
    fn new(head: H, slots: &Slots) -> Option<Self> {
        let () = Self::FITS_A_LINE;
        let mut node = Self { head, runs: [Entry::EMPTY; RUNS], ends: [u8::MAX; ENDS] };
        let mut run = 0;
        node.runs[0] = slots[0];
        for (slot, pair) in (0..=u8::MAX).zip(slots.windows(2)) {
            if pair[0] != pair[1] {
                *node.ends.get_mut(run)? = slot;
                run += 1;
                node.runs[run] = pair[1];
            }
        }
        Some(node)
    }

    #[inline]
    fn run_of(&self, slot: u8) -> usize {
        usize::from(self.ends.iter().map(|&end| u8::from(end < slot)).sum::<u8>())
    }

    #[inline]
    fn lookup(&self, slot: u8) -> Entry {
        self.runs.get(self.run_of(slot)).copied().unwrap_or_default()
    }

    fn expand(&self) -> Slots {
        let mut slots = [Entry::EMPTY; SLOT_COUNT];
        let mut first = 0;
        for (run, &entry) in self.runs.iter().enumerate() {
            let end = self.ends.get(run).map_or(SLOT_COUNT, |&end| usize::from(end) + 1);
            if first < end {
                slots[first..end].fill(entry);
            }
            first = end;
        }
        slots
    }
}

/// All nodes of a table.
#[derive(Clone, Debug)]
pub(super) struct Nodes<H, const RUNS: usize, const ENDS: usize> {
    compact: Slab<Compact<H, RUNS, ENDS>>,
    wide: Slab<Wide<H>>,
}

impl<H: Head, const RUNS: usize, const ENDS: usize> Nodes<H, RUNS, ENDS> {
    pub(super) fn with_limits(compact_limit: usize, wide_limit: usize) -> Self {
        Self { compact: Slab::with_limit(compact_limit), wide: Slab::with_limit(wide_limit) }
    }

    /// The head of a node and what a slot of it holds, the slot chosen by what the head says.
    #[inline]
    pub(super) fn lookup(&self, node: Entry, slot: impl FnOnce(&H) -> u8) -> Option<(H, Entry)> {
        match node.to_node() {
            NodeRef::Compact(place) => {
                let node = self.compact.get(place)?;
                Some((node.head, node.lookup(slot(&node.head))))
            }
            NodeRef::Wide(place) => {
                let node = self.wide.get(place)?;
                Some((node.head, node.slots[usize::from(slot(&node.head))]))
            }
        }
    }

    /// The head of the node that `entry` refers to; nothing if it refers to none.
    pub(super) fn head(&self, entry: Entry) -> Option<H> {
        match entry.to_node() {
            _ if !entry.is_node() => None,
            NodeRef::Compact(place) => self.compact.get(place).map(|node| node.head),
            NodeRef::Wide(place) => self.wide.get(place).map(|node| node.head),
        }
    }

    pub(super) fn expand(&self, node: Entry) -> Option<(H, Slots)> {
        Some(match node.to_node() {
            NodeRef::Compact(place) => {
                let node = self.compact.get(place)?;
                (node.head, node.expand())
            }
            NodeRef::Wide(place) => {
                let node = self.wide.get(place)?;
                (node.head, node.slots)
            }
        })
    }

    /// A new node, the small kind where it fits.
    pub(super) fn insert(&mut self, head: H, slots: &Slots) -> Result<Entry, FibError> {
        if let Some(Ok(place)) = Compact::new(head, slots).map(|node| self.compact.insert(node)) {
            return Ok(Entry::node(NodeRef::Compact(place)));
        }
        let place = self.wide.insert(Wide { head, slots: *slots })?;
        Ok(Entry::node(NodeRef::Wide(place)))
    }

    /// Gives a node other contents. It may have to move: returns where it is now.
    pub(super) fn update(
        &mut self,
        node: Entry,
        head: H,
        slots: &Slots,
    ) -> Result<Entry, FibError> {
        let compact = Compact::new(head, slots);
        match (node.to_node(), compact) {
            (NodeRef::Compact(place), Some(new)) => {
                if let Some(old) = self.compact.get_mut(place) {
                    *old = new;
                }
                Ok(node)
            }
            (NodeRef::Wide(place), compact) => {
                if let Some(Ok(moved)) = compact.map(|new| self.compact.insert(new)) {
                    self.wide.remove(place);
                    return Ok(Entry::node(NodeRef::Compact(moved)));
                }
                if let Some(old) = self.wide.get_mut(place) {
                    *old = Wide { head, slots: *slots };
                }
                Ok(node)
            }
            (NodeRef::Compact(place), None) => {
                let moved = self.wide.insert(Wide { head, slots: *slots })?;
                self.compact.remove(place);
                Ok(Entry::node(NodeRef::Wide(moved)))
            }
        }
    }

    pub(super) fn remove(&mut self, node: Entry) {
        match node.to_node() {
            NodeRef::Compact(place) => self.compact.remove(place),
            NodeRef::Wide(place) => self.wide.remove(place),
        }
    }

    pub(super) fn head_mut(&mut self, node: Entry) -> Option<&mut H> {
        match node.to_node() {
            NodeRef::Compact(place) => self.compact.get_mut(place).map(|node| &mut node.head),
            NodeRef::Wide(place) => self.wide.get_mut(place).map(|node| &mut node.head),
        }
    }

    /// Replaces the reference to a node that one slot of `parent` holds.
    pub(super) fn relink(&mut self, parent: Entry, slot: u8, child: Entry) {
        match parent.to_node() {
            NodeRef::Compact(place) => {
                if let Some(node) = self.compact.get_mut(place) {
                    let run = node.run_of(slot);
                    node.runs[run] = child;
                }
            }
            NodeRef::Wide(place) => {
                if let Some(node) = self.wide.get_mut(place) {
                    node.slots[usize::from(slot)] = child;
                }
            }
        }
    }

    /// Paints a slot outside this store, or the base of the node it refers to.
    pub(super) fn paint_through(&mut self, slot: &mut Entry, paint: Paint) {
        if !slot.is_node() {
            paint.apply(slot);
        } else if let Some(head) = self.head_mut(*slot) {
            paint.apply(head.base_mut());
        }
    }

    /// How many nodes there are: of one line, and of 1 KiB.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.compact.len(), self.wide.len())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.compact.memory_bytes() + self.wide.memory_bytes()
    }
}

/// The slots, of a node whose first `depth` bits lead to it, that a prefix of `len` covers, by the
/// byte of it that counts there.
pub(super) fn covered(byte: u8, depth: u8, len: u8) -> core::ops::Range<usize> {
    debug_assert!(depth < len && len <= depth + 8);
    let first = usize::from(byte);
    first..first + (SLOT_COUNT >> (len - depth))
}
