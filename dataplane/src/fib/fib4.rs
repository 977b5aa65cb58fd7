//! IPv4 longest-prefix match: DIR-24-8 whose second part is compressed.
//!
//! The first 24 bits of the address index a table of 2^24 slots; where longer prefixes exist, the
//! slot refers to a node of the last byte's 256 slots, in one cache line for up to five scattered
//! hosts of a /24 (`nodes.rs`). So a lookup is one or two dependent loads; what finds nothing there
//! gets the answer of the prefixes up to /8 (`short.rs`), whose load depends on nothing.

use ipnet::Ipv4Net;

use super::direct::{DIRECT_LEN, Direct};
use super::entry::{Entry, Paint};
use super::next_hop::NextHopId;
use super::nodes::{COMPACT_NODES_MAX, Head, Nodes, SLOT_COUNT, WIDE_NODES_MAX, covered};
use super::rib::{Change, Prefix};
use super::short::{SHORT_LEN_MAX, Short};
use super::{Fib, FibError};

/// How many addresses [`Fib4::lookup_burst`] has in flight.
const LANES: usize = 32;

/// The node of a /24: its base is the longest prefix up to /24 that covers it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Base(Entry);

impl Head for Base {
    #[inline]
    fn base(&self) -> Entry {
        self.0
    }

    fn base_mut(&mut self) -> &mut Entry {
        &mut self.0
    }
}

/// The IPv4 forwarding table that workers look destinations up in.
#[derive(Clone, Debug)]
pub struct Fib4 {
    short: Short,
    direct: Direct,
    nodes: Nodes<Base, 12, 11>,
}

impl Default for Fib4 {
    fn default() -> Self {
        Self::with_limits(COMPACT_NODES_MAX, WIDE_NODES_MAX)
    }
}

impl Fib4 {
    /// An empty table with limits of its own on its two kinds of nodes.
    pub fn with_limits(compact_nodes_max: usize, wide_nodes_max: usize) -> Self {
        Self {
            short: Short::default(),
            direct: Direct::default(),
            nodes: Nodes::with_limits(compact_nodes_max, wide_nodes_max),
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

    /// Looks up `addresses`, in host order, into as many of `next_hops`; the longer of the two slices
    /// decides nothing.
    #[inline]
    pub fn lookup_burst(&self, addresses: &[u32], next_hops: &mut [NextHopId]) {
        for (addresses, next_hops) in addresses.chunks(LANES).zip(next_hops.chunks_mut(LANES)) {
            // All first loads before anything waits for one of them.
            let mut entries = [Entry::EMPTY; LANES];
            for (entry, &address) in entries.iter_mut().zip(addresses) {
                *entry = self.direct.get(address >> 8);
            }
            for ((next_hop, entry), &address) in next_hops.iter_mut().zip(entries).zip(addresses) {
                let [first_byte, .., last_byte] = address.to_be_bytes();
                let entry =
                    if entry.is_node() { self.lookup_node(entry, last_byte) } else { entry };
                *next_hop = entry.or(self.short.lookup(first_byte)).next_hop();
            }
        }
    }

    #[inline]
    fn lookup_node(&self, node: Entry, last_byte: u8) -> Entry {
        match self.nodes.lookup(node, |_| last_byte) {
            Some((head, entry)) => entry.or(head.base()),
            None => Entry::EMPTY,
        }
    }

    /// How many /24s have longer prefixes in them: those in 64 bytes, and those in 1 KiB.
    pub fn node_counts(&self) -> (usize, usize) {
        self.nodes.counts()
    }

    /// Changes a prefix longer than /24.
    fn apply_long(&mut self, address: u32, change: &Change<Ipv4Net>) -> Result<(), FibError> {
        let index = address >> 8;
        let [.., last_byte] = address.to_be_bytes();
        let (paint, len) = paint_of(change, DIRECT_LEN);
        let entry = self.direct.get(index);
        let existing = if entry.is_node() { self.nodes.expand(entry) } else { None };
        let (head, mut slots) = existing.unwrap_or((Base(entry), [Entry::EMPTY; SLOT_COUNT]));
        slots[covered(last_byte, DIRECT_LEN, len)].iter_mut().for_each(|slot| paint.apply(slot));
        let changed = if slots.iter().all(|slot| slot.is_empty()) {
            if existing.is_some() {
                self.nodes.remove(entry);
            }
            head.base()
        } else if existing.is_some() {
            self.nodes.update(entry, head, &slots)?
        } else {
            self.nodes.insert(head, &slots)?
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
        direct.change_covered(address >> 8, len, |slot| nodes.paint_through(slot, paint));
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
