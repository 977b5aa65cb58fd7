//! IPv6 longest-prefix match: a trie of a byte a step after the first 24 bits, with paths
//! compressed.
//!
//! The first 24 bits index a table, as in IPv4; below it are nodes of 256 slots, one for each byte of
//! the address at which routes part or end. Bytes that decide nothing have no node: a node carries
//! the address bits that lead to it, and an address that differs in them has left the path. So a host
//! route far from others is one node away, not thirteen.
//!
//! Nothing is pushed down: a slot is empty where no prefix *ends* in its byte, and the best match of
//! the steps before stands. So one change touches one node, whatever hangs below it.

mod change;

use ipnet::Ipv6Net;

use super::direct::{DIRECT_LEN, Direct};
use super::entry::Entry;
use super::fib4::paint_of;
use super::next_hop::NextHopId;
use super::nodes::{COMPACT_NODES_MAX, Head, Nodes, WIDE_NODES_MAX};
use super::rib::Change;
use super::short::{SHORT_LEN_MAX, Short};
use super::{Fib, FibError};

/// How many addresses [`Fib6::lookup_burst`] has in flight.
const LANES: usize = 32;

/// What a node of the trie knows besides its slots.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Step {
    /// The bits that lead to this node, at the top of an address; its lowest byte is the number of
    /// them, a multiple of 8 that is 120 at most, which leaves this byte free. In words, because a
    /// `u128` would need 16 bytes of alignment.
    key: [u32; 4],
    /// The prefix that ends at the slot that refers to this node.
    base: Entry,
}

impl Head for Step {
    #[inline]
    fn base(&self) -> Entry {
        self.base
    }

    fn base_mut(&mut self) -> &mut Entry {
        &mut self.base
    }
}

impl Step {
    fn new(address: u128, depth: u8, base: Entry) -> Self {
        let key = first_bits(address, depth) | u128::from(depth);
        let word = |shift: u32| u32::try_from(key >> shift & u128::from(u32::MAX));
        let words = [word(0), word(32), word(64), word(96)];
        Self { key: words.map(Result::unwrap_or_default), base }
    }

    #[inline]
    fn key(&self) -> u128 {
        let [a, b, c, d] = self.key.map(u128::from);
        a | b << 32 | c << 64 | d << 96
    }

    #[inline]
    fn depth(&self) -> u8 {
        self.key[0].to_le_bytes()[0]
    }

    /// Whether an address passes this node.
    #[inline]
    fn leads(&self, address: u128) -> bool {
        first_bits(address ^ self.key(), self.depth()) == 0
    }

    /// The slot of an address that passes this node.
    #[inline]
    fn slot(&self, address: u128) -> u8 {
        byte_at(address, self.depth())
    }

    /// How many bits an address has in common with the path to this node.
    fn common(&self, address: u128) -> u8 {
        let differing = first_bits(address ^ self.key(), self.depth());
        u8::try_from(differing.leading_zeros()).unwrap_or(u8::MAX).min(self.depth())
    }
}

/// `address` with all but its first `count` bits cleared.
#[inline]
fn first_bits(address: u128, count: u8) -> u128 {
    address & !u128::MAX.checked_shr(u32::from(count)).unwrap_or(0)
}

/// The byte after the first `depth` bits, `depth` a multiple of 8 up to 120.
#[inline]
fn byte_at(address: u128, depth: u8) -> u8 {
    address.to_be_bytes()[usize::from(depth / 8) & 15]
}

/// The first 24 bits.
#[inline]
fn direct_index(address: u128) -> u32 {
    let [a, b, c, ..] = address.to_be_bytes();
    u32::from_be_bytes([0, a, b, c])
}

/// The IPv6 forwarding table that workers look destinations up in.
#[derive(Clone, Debug)]
pub struct Fib6 {
    short: Short,
    direct: Direct,
    nodes: Nodes<Step, 9, 8>,
}

impl Default for Fib6 {
    fn default() -> Self {
        Self::with_limits(COMPACT_NODES_MAX, WIDE_NODES_MAX)
    }
}

impl Fib6 {
    /// An empty table with limits of its own on its two kinds of nodes.
    pub fn with_limits(compact_nodes_max: usize, wide_nodes_max: usize) -> Self {
        Self {
            short: Short::default(),
            direct: Direct::default(),
            nodes: Nodes::with_limits(compact_nodes_max, wide_nodes_max),
        }
    }

    /// The next hop of an address.
    #[inline]
    pub fn lookup(&self, address: u128) -> NextHopId {
        let mut best = self.short.lookup(address.to_be_bytes()[0]);
        let mut entry = self.direct.get(direct_index(address));
        while entry.is_node() {
            (best, entry) = self.step(address, best, entry);
        }
        entry.or(best).next_hop()
    }

    /// Looks up `addresses` into as many of `next_hops`; the longer of the two slices decides
    /// nothing.
    #[inline]
    pub fn lookup_burst(&self, addresses: &[u128], next_hops: &mut [NextHopId]) {
        for (addresses, next_hops) in addresses.chunks(LANES).zip(next_hops.chunks_mut(LANES)) {
            let mut entries = [Entry::EMPTY; LANES];
            for (entry, &address) in entries.iter_mut().zip(addresses) {
                *entry = self.direct.get(direct_index(address));
            }
            for ((next_hop, entry), &address) in next_hops.iter_mut().zip(entries).zip(addresses) {
                let mut best = self.short.lookup(address.to_be_bytes()[0]);
                let mut entry = entry;
                while entry.is_node() {
                    (best, entry) = self.step(address, best, entry);
                }
                *next_hop = entry.or(best).next_hop();
            }
        }
    }

    /// One node further: the best match so far, and the next entry, which is the deeper one.
    #[inline]
    fn step(&self, address: u128, best: Entry, node: Entry) -> (Entry, Entry) {
        let Some((step, entry)) = self.nodes.lookup(node, |step| step.slot(address)) else {
            return (best, Entry::EMPTY);
        };
        let best = step.base.or(best);
        (best, if step.leads(address) { entry } else { Entry::EMPTY })
    }

    /// How many nodes there are: those of 64 bytes, and those of 1 KiB.
    pub fn node_counts(&self) -> (usize, usize) {
        self.nodes.counts()
    }
}

impl Fib for Fib6 {
    type Prefix = Ipv6Net;

    fn apply(&mut self, change: &Change<Ipv6Net>) -> Result<(), FibError> {
        let address = u128::from(change.prefix().network());
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
        direct.change_covered(direct_index(address), len, |slot| nodes.paint_through(slot, paint));
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.direct.memory_bytes() + self.nodes.memory_bytes()
    }
}
