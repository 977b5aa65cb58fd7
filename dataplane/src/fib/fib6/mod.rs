//! IPv6 longest-prefix match: a trie of a byte a step after the first 32 bits, with paths
//! compressed.
//!
//! The first 32 bits index a table in two steps (`root.rs`), which is where most sites' prefixes
//! begin; below it are nodes of 256 slots, one for each byte of the address at which routes part or
//! end. Bytes that decide nothing have no node: a node carries the address bits that lead to it, and
//! an address that differs in them has left the path. So a host route far from others is one node
//! away, not twelve.
//!
//! The /64s with a route of their own are found without any of this (`sites.rs`).
//!
//! Nothing is pushed down: a slot is empty where no prefix *ends* in its byte, and the best match of
//! the steps before stands. So one change touches one node, whatever hangs below it.

mod change;
mod root;
mod sites;

use ipnet::Ipv6Net;

use super::entry::Entry;
use super::fib4::paint_of;
use super::lines::Line;
use super::next_hop::NextHopId;
use super::nodes::Nodes;
use super::rib::Change;
use super::short::{SHORT_LEN_MAX, Short};
use super::{Fib, FibError, LINES_MAX};
use root::{FIRST_LEN, ROOT_LEN, Root};
use sites::Sites;

pub use root::PAGES_MAX;

/// How many addresses [`Fib6::lookup_burst`] has in flight.
const LANES: usize = 32;

const _: () = assert!(LANES <= u8::MAX as usize);

/// Up to how many lines the nodes are taken for being in a cache of the core: 512 KiB.
const NEAR_LINES_MAX: usize = 8192;

/// The length of the prefixes that `sites` finds.
const SITE_LEN: u8 = 64;

/// How many words of a node are its head: the base, and the key.
const HEAD: usize = 5;

/// For each number of bytes that lead to a node, the bits of an address that they are.
static PATHS: [u128; 16] = {
    let mut paths = [0; 16];
    let mut count = 1;
    while count < 16 {
        paths[count] = !(u128::MAX >> (8 * count));
        count += 1;
    }
    paths
};

/// What a node of the trie knows besides its slots.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The prefix that ends at the slot that refers to this node.
    base: Entry,
    /// The bits that lead to this node, at the top of an address; its lowest byte is the number of
    /// them, a multiple of 8 that is 120 at most, which leaves this byte free.
    key: u128,
}

impl Step {
    fn new(address: u128, depth: u8, base: Entry) -> Self {
        Self { base, key: first_bits(address, depth) | u128::from(depth) }
    }

    #[inline]
    fn from_head([base, a, b, c, d]: [u32; HEAD]) -> Self {
        let [a, b, c, d] = [a, b, c, d].map(u128::from);
        Self { base: Entry::from_raw(base), key: a | b << 32 | c << 64 | d << 96 }
    }

    #[inline]
    fn from_line(line: &Line) -> Self {
        let [base, a, b, c, d, ..] = line.0;
        Self::from_head([base, a, b, c, d])
    }

    fn to_head(self) -> [u32; HEAD] {
        let word = |shift: u32| u32::try_from(self.key >> shift & u128::from(u32::MAX));
        let [a, b, c, d] = [word(0), word(32), word(64), word(96)].map(Result::unwrap_or_default);
        [self.base.raw(), a, b, c, d]
    }

    #[inline]
    fn depth(&self) -> u8 {
        self.key.to_le_bytes()[0]
    }

    /// Whether an address passes this node.
    #[inline]
    fn leads(&self, address: u128) -> bool {
        (address ^ self.key) & PATHS[usize::from(self.depth() / 8) % 16] == 0
    }

    /// The slot of an address that passes this node.
    #[inline]
    fn slot(&self, address: [u8; 16]) -> u8 {
        address[usize::from(self.depth() / 8) % 16]
    }

    /// How many bits an address has in common with the path to this node.
    fn common(&self, address: u128) -> u8 {
        let differing = first_bits(address ^ self.key, self.depth());
        u8::try_from(differing.leading_zeros()).unwrap_or(u8::MAX).min(self.depth())
    }
}

/// `address` with all but its first `count` bits cleared.
fn first_bits(address: u128, count: u8) -> u128 {
    address & !u128::MAX.checked_shr(u32::from(count)).unwrap_or(0)
}

/// The byte after the first `depth` bits, `depth` a multiple of 8 up to 120.
fn byte_at(address: u128, depth: u8) -> u8 {
    address.to_be_bytes()[usize::from(depth / 8) & 15]
}

/// The first 32 bits.
#[inline]
fn root_bits(address: u128) -> u32 {
    let [a, b, c, d, ..] = address.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The addresses of a burst on their way down the trie.
struct Walk {
    entries: [Entry; LANES],
    /// The longest prefix met so far.
    best: [Entry; LANES],
    /// Which addresses have a node to pass, as the first `count`.
    lanes: [u8; LANES],
    count: usize,
    /// Where each of those goes on: the word, and a mask that is empty if the path is left.
    found: [(u32, u32); LANES],
}

impl Walk {
    #[inline]
    fn new() -> Self {
        Self {
            entries: [Entry::EMPTY; LANES],
            best: [Entry::EMPTY; LANES],
            lanes: [0; LANES],
            count: 0,
            found: [(0, 0); LANES],
        }
    }

    /// Keeps an address for the next step if it has a node to pass; without a branch, because which
    /// ones do is as good as random.
    #[inline]
    fn keep(&mut self, lane: u8, entry: Entry) {
        self.lanes[self.count % LANES] = lane;
        self.count += usize::from(entry.is_node());
    }
}

/// The IPv6 forwarding table that workers look destinations up in.
#[derive(Clone, Debug)]
pub struct Fib6 {
    short: Short,
    root: Root,
    nodes: Nodes<HEAD>,
    sites: Sites,
}

impl Default for Fib6 {
    fn default() -> Self {
        Self::with_lines_max(LINES_MAX)
    }
}

impl Fib6 {
    /// An empty table that prefixes longer than /24 can have `lines_max` lines of 64 bytes of.
    pub fn with_lines_max(lines_max: usize) -> Self {
        Self {
            short: Short::default(),
            root: Root::default(),
            nodes: Nodes::with_lines_max(lines_max),
            sites: Sites::default(),
        }
    }

    /// The next hop of an address.
    #[inline]
    pub fn lookup(&self, address: u128) -> NextHopId {
        let (mut best, mut entry) = self.start(address);
        let bytes = address.to_be_bytes();
        while entry.is_node() {
            let line = self.nodes.line(entry);
            let step = Step::from_line(line);
            best = step.base.or(best);
            if !step.leads(address) {
                return best.next_hop();
            }
            entry = self.nodes.follow(entry, line, step.slot(bytes));
        }
        entry.or(best).next_hop()
    }

    /// Looks up `addresses` into as many of `next_hops`; the longer of the two slices decides
    /// nothing.
    ///
    /// In a large table all addresses take each step together, and each step is done in stages that
    /// load for all of them before the next waits for one. In a small one there is nothing to wait
    /// for, and one address after the other is fewer instructions.
    #[inline]
    pub fn lookup_burst(&self, addresses: &[u128], next_hops: &mut [NextHopId]) {
        if self.is_large() {
            self.lookup_together(addresses, next_hops);
        } else {
            // Packets to one host come in trains. Before the first comes what it is not.
            let mut before = !addresses.first().copied().unwrap_or(0);
            let mut found = NextHopId::NONE;
            for (next_hop, &address) in next_hops.iter_mut().zip(addresses) {
                if address != before {
                    (before, found) = (address, self.lookup(address));
                }
                *next_hop = found;
            }
        }
    }

    /// Whether so much of the table is in use that it is probably in no cache of a core.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.nodes.line_count() > NEAR_LINES_MAX
    }

    fn lookup_together(&self, addresses: &[u128], next_hops: &mut [NextHopId]) {
        for (addresses, next_hops) in addresses.chunks(LANES).zip(next_hops.chunks_mut(LANES)) {
            let mut walk = Walk::new();
            for (at, &address) in addresses.iter().enumerate() {
                (walk.best[at % LANES], walk.entries[at % LANES]) = self.start(address);
            }
            for (lane, entry) in (0..).zip(walk.entries) {
                walk.keep(lane, entry);
            }
            while walk.count > 0 {
                self.step(addresses, &mut walk);
            }
            for (next_hop, (entry, best)) in
                next_hops.iter_mut().zip(walk.entries.iter().zip(walk.best))
            {
                *next_hop = entry.or(best).next_hop();
            }
        }
    }

    /// In how many /16s there are longer prefixes, which is what [`PAGES_MAX`] limits.
    pub fn page_count(&self) -> usize {
        self.root.page_count()
    }

    /// The longest prefix known so far, and where to go on: at the slot of the address's /64 if
    /// that has a route, or at the slot of its first 32 bits.
    #[inline]
    fn start(&self, address: u128) -> (Entry, Entry) {
        let site = self.sites.get(address);
        if site.is_empty() { self.start_at_root(address) } else { (Entry::EMPTY, site) }
    }

    /// The longest prefix up to /16, and the slot of the first 32 bits.
    #[inline]
    fn start_at_root(&self, address: u128) -> (Entry, Entry) {
        let (base, entry) = self.root.lookup(root_bits(address));
        (base.or(self.short.lookup(address.to_be_bytes()[0])), entry)
    }

    /// The slot of the /64 of an address in the trie, if that /64 has a route of its own.
    fn site(&self, address: u128) -> Entry {
        let bytes = address.to_be_bytes();
        let mut entry = self.root.get(root_bits(address));
        while let Some(step) = self.nodes.head(entry).map(Step::from_head) {
            if step.depth() > SITE_LEN - 8 || !step.leads(address) {
                break;
            }
            entry = self.nodes.slot(entry, step.slot(bytes));
            if step.depth() == SITE_LEN - 8 {
                let route = if entry.is_node() { self.nodes.base(entry) } else { entry };
                let is_own = !route.is_empty() && route.depth() == SITE_LEN - SHORT_LEN_MAX;
                return if is_own { entry } else { Entry::EMPTY };
            }
        }
        Entry::EMPTY
    }

    /// One node further for all addresses that are not at their end.
    #[inline]
    fn step(&self, addresses: &[u128], walk: &mut Walk) {
        let count = walk.count.min(LANES);
        for &lane in &walk.lanes[..count] {
            let lane = usize::from(lane) % LANES;
            let base = Entry::from_raw(self.nodes.line(walk.entries[lane]).0[0]);
            walk.best[lane] = base.or(walk.best[lane]);
        }
        for (found, &lane) in walk.found.iter_mut().zip(&walk.lanes[..count]) {
            let address = addresses.get(usize::from(lane)).copied().unwrap_or_default();
            let node = walk.entries[usize::from(lane) % LANES];
            let line = self.nodes.line(node);
            let step = Step::from_line(line);
            let word = Nodes::<HEAD>::locate(node, line, step.slot(address.to_be_bytes()));
            *found = (word, u32::from(step.leads(address)).wrapping_neg());
        }
        let lanes = walk.lanes;
        walk.count = 0;
        for (at, &lane) in lanes[..count].iter().enumerate() {
            let (word, leads) = walk.found[at % LANES];
            let entry = Entry::from_raw(self.nodes.read(word).raw() & leads);
            walk.entries[usize::from(lane) % LANES] = entry;
            walk.keep(lane, entry);
        }
    }

    /// How many nodes there are: those of one line, and those of many.
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
        let bits = root_bits(address);
        if len <= FIRST_LEN {
            let (paint, len) = paint_of(change, SHORT_LEN_MAX);
            self.root.paint_first(bits, len, paint);
            return Ok(());
        }
        self.root.open_page(bits)?;
        let changed = if len > ROOT_LEN {
            let changed = self.apply_long(address, change);
            if len >= SITE_LEN {
                self.sites.set(address, self.site(address));
            }
            changed
        } else {
            let (paint, len) = paint_of(change, FIRST_LEN);
            let Self { root, nodes, .. } = self;
            root.change_page(bits, len, |slot| nodes.paint_through(slot, paint));
            Ok(())
        };
        self.root.close_page(bits);
        changed
    }

    fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.root.memory_bytes()
            + self.nodes.memory_bytes()
            + self.sites.memory_bytes()
    }
}
