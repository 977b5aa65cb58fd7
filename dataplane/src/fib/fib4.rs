//! IPv4 longest-prefix match: DIR-24-8 whose second part is compressed.
//!
//! The first 24 bits of the address index a table of 2^24 slots; where longer prefixes exist, the
//! slot refers to a node of the last byte's 256 slots, in one cache line for up to five scattered
//! hosts of a /24 (`nodes.rs`). So a lookup is one or two dependent loads; what finds nothing there
//! gets the answer of the prefixes up to /8 (`short.rs`), whose load depends on nothing.

use ipnet::Ipv4Net;

use super::direct::Direct;
use super::entry::{Entry, Paint};
use super::next_hop::NextHopId;
use super::nodes::{Nodes, SLOT_COUNT, covered};
use super::rib::{Change, Prefix};
use super::short::{SHORT_LEN_MAX, Short};
use super::{Fib, FibError, LINES_MAX};

/// The longest prefix that fits the first part alone.
const DIRECT_LEN: u8 = 24;

const DIRECT_SLOTS: usize = 1 << DIRECT_LEN;

/// What is taken for being in a cache of the core.
const NEAR_BYTES: usize = 4 << 20;

/// What was looked up last in a burst, see [`Fib4::lookup_after`].
#[derive(Clone, Copy, Debug, Default)]
pub struct LastFound {
    address: Option<u32>,
    entry: Entry,
}

/// The IPv4 forwarding table that workers look destinations up in.
#[derive(Clone, Debug)]
pub struct Fib4 {
    short: Short,
    direct: Direct<DIRECT_SLOTS>,
    nodes: Nodes<1>,
}

impl Default for Fib4 {
    fn default() -> Self {
        Self::with_lines_max(LINES_MAX)
    }
}

impl Fib4 {
    /// An empty table that prefixes longer than /24 can have `lines_max` lines of 64 bytes of.
    pub fn with_lines_max(lines_max: usize) -> Self {
        Self {
            short: Short::default(),
            direct: Direct::default(),
            nodes: Nodes::with_lines_max(lines_max),
        }
    }

    /// The next hop of an address in host order.
    #[inline]
    pub fn lookup(&self, address: u32) -> NextHopId {
        let [first_byte, .., last_byte] = address.to_be_bytes();
        let mut entry = self.direct.get(address >> 8);
        if entry.is_node() {
            entry = self.lookup_node(entry, last_byte);
        }
        entry.or(self.short.lookup(first_byte)).next_hop()
    }

    /// As [`lookup`](Self::lookup). An address in a net with longer prefixes, which takes longer to look up,
    /// is not looked up again where it follows itself: hosts on a link are in such nets, as our own and
    /// the broadcast address are prefixes there, and get packets in trains. `last` begins and ends
    /// with a burst.
    #[inline]
    pub fn lookup_after(&self, last: &mut LastFound, address: u32) -> NextHopId {
        let [first_byte, .., last_byte] = address.to_be_bytes();
        let mut entry = self.direct.get(address >> 8);
        if entry.is_node() {
            if last.address != Some(address) {
                let entry = self.lookup_node(entry, last_byte);
                *last = LastFound { address: Some(address), entry };
            }
            entry = last.entry;
        }
        entry.or(self.short.lookup(first_byte)).next_hop()
    }

    /// The same where few addresses are in such nets: the others cost what [`lookup`](Self::lookup) does, at most.
    #[inline]
    pub fn lookup_mostly_short(&self, last: &mut LastFound, address: u32) -> NextHopId {
        let mut entry = self.direct.get(address >> 8);
        if entry.is_node() {
            entry = self.lookup_node_after(last, entry, address);
        }
        let [first_byte, ..] = address.to_be_bytes();
        entry.or(self.short.lookup(first_byte)).next_hop()
    }

    #[inline(never)]
    fn lookup_node_after(&self, last: &mut LastFound, node: Entry, address: u32) -> Entry {
        if last.address != Some(address) {
            let [.., last_byte] = address.to_be_bytes();
            *last = LastFound { address: Some(address), entry: self.lookup_node(node, last_byte) };
        }
        last.entry
    }

    /// Asks for what the lookup of an address begins with. Worth it where [`is_large`](Self::is_large).
    #[inline]
    pub fn prefetch(&self, address: u32) {
        self.direct.prefetch(address >> 8);
    }

    /// Whether so much of the table is in use that it is probably in no cache of a core.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.direct.bytes_in_use() > NEAR_BYTES
    }

    /// Looks up `addresses`, in host order, into as many of `next_hops`; the longer of the two slices
    /// decides nothing.
    ///
    /// One after the other: a lookup is so few instructions that the processor has those of a whole
    /// burst in flight by itself, and keeps them so into the next burst. Stages with a barrier
    /// between them were measured at one and a half times the clocks.
    #[inline]
    pub fn lookup_burst(&self, addresses: &[u32], next_hops: &mut [NextHopId]) {
        for (&address, next_hop) in addresses.iter().zip(next_hops) {
            *next_hop = self.lookup(address);
        }
    }

    #[inline]
    fn lookup_node(&self, node: Entry, last_byte: u8) -> Entry {
        let line = self.nodes.line(node);
        let found = self.nodes.read(Nodes::<1>::locate(node, line, last_byte));
        found.or(Entry::from_raw(line.0[0]))
    }

    /// How many /24s have longer prefixes in them: those in one line, and those in many.
    pub fn node_counts(&self) -> (usize, usize) {
        self.nodes.counts()
    }

    /// Changes a prefix longer than /24.
    fn apply_long(&mut self, address: u32, change: &Change<Ipv4Net>) -> Result<(), FibError> {
        let index = address >> 8;
        let [.., last_byte] = address.to_be_bytes();
        let (paint, len) = paint_of(change, DIRECT_LEN);
        self.nodes.begin(change.removes());
        let entry = self.direct.get(index);
        let existing = entry.is_node();
        let (head, mut slots) = if existing {
            self.nodes.expand(entry)
        } else {
            ([entry.raw()], [Entry::EMPTY; SLOT_COUNT])
        };
        slots[covered(last_byte, DIRECT_LEN, len)].iter_mut().for_each(|slot| paint.apply(slot));
        let changed = if slots.iter().all(|slot| slot.is_empty()) {
            if existing {
                self.nodes.remove(entry);
            }
            Entry::from_raw(head[0])
        } else if existing {
            self.nodes.update(entry, &head, &slots)?
        } else {
            self.nodes.insert(&head, &slots)?
        };
        self.direct.set(index, changed);
        Ok(())
    }
}

impl Fib for Fib4 {
    type Prefix = Ipv4Net;

    fn apply(&mut self, change: &Change<Ipv4Net>) -> Result<(), FibError> {
        let address = u32::from(change.prefix().network());
        let len = change.prefix().prefix_len();
        if len <= SHORT_LEN_MAX {
            self.short.apply(address.to_be_bytes()[0], len, &change.target());
            return Ok(());
        }
        if len > DIRECT_LEN {
            return self.apply_long(address, change);
        }
        let (paint, len) = paint_of(change, SHORT_LEN_MAX);
        let Self { direct, nodes, .. } = self;
        direct.change(address >> 8, DIRECT_SLOTS >> len, |slot| nodes.paint_through(slot, paint));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.direct.memory_bytes() + self.nodes.memory_bytes()
    }
}

/// How a change paints the part of the table for prefixes longer than `floor`, and its length.
pub(super) fn paint_of<P: Prefix>(change: &Change<P>, floor: u8) -> (Paint, u8) {
    let leaf = change
        .target_above(floor)
        .map_or(Entry::EMPTY, |(len, next_hop)| Entry::leaf(len - SHORT_LEN_MAX, next_hop));
    let len = change.prefix().prefix_len();
    (Paint { depth: len - SHORT_LEN_MAX, leaf }, len)
}
