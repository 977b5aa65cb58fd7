//! Changing prefixes longer than /32 in the trie.
//!
//! Whatever the order of changes, the same routes make the same trie: a node exists where a prefix
//! ends in its byte, or where paths part. What is added allocates before it writes, so that a route
//! that does not fit leaves the trie alone; what is removed always fits.

use ipnet::Ipv6Net;

use super::super::FibError;
use super::super::entry::{Entry, Paint};
use super::super::fib4::paint_of;
use super::super::nodes::{SLOT_COUNT, Slots, covered};
use super::super::rib::Change;
use super::{Fib6, Step, byte_at, root_bits};

const EMPTY_SLOTS: Slots = [Entry::EMPTY; SLOT_COUNT];

/// Where an entry is: in the table of the first 32 bits, or in a node.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Root(u32),
    Inside(Entry, u8),
}

impl Fib6 {
    pub(super) fn apply_long(
        &mut self,
        address: u128,
        change: &Change<Ipv6Net>,
    ) -> Result<(), FibError> {
        let len = change.prefix().prefix_len();
        self.nodes.begin(change.removes());
        let mut path = vec![Slot::Root(root_bits(address))];
        let mut entry = self.root.get(root_bits(address));
        while let Some(step) = self.nodes.head(entry).map(Step::from_head) {
            let common = step.common(address);
            if common < step.depth() || len <= step.depth() {
                return self.branch(&path, entry, &step, common, change);
            }
            if len <= step.depth() + 8 {
                return self.paint(&path, entry, change);
            }
            path.push(Slot::Inside(entry, step.slot(address.to_be_bytes())));
            entry = self.nodes.slot(entry, step.slot(address.to_be_bytes()));
        }
        if change.removes() {
            return Ok(());
        }
        let node = self.insert_last(entry, change)?;
        let placed = self.place(&path, node);
        if placed.is_err() {
            self.nodes.remove(node);
        }
        placed
    }

    /// A new node for the last byte of a prefix, with nothing else in it.
    fn insert_last(&mut self, base: Entry, change: &Change<Ipv6Net>) -> Result<Entry, FibError> {
        let address = u128::from(change.prefix().network());
        let depth = node_depth(change.prefix().prefix_len() - 1);
        let (mut slots, (paint, len)) = (EMPTY_SLOTS, paint_of(change, depth));
        slots[covered(byte_at(address, depth), depth, len)].fill(paint.leaf);
        self.nodes.insert(&Step::new(address, depth, base).to_head(), &slots)
    }

    /// Adds a prefix that ends above `child`'s byte or parts from the path to it after `common`
    /// bits: a node where that happens, between `child` and what refers to it.
    fn branch(
        &mut self,
        path: &[Slot],
        child: Entry,
        child_step: &Step,
        common: u8,
        change: &Change<Ipv6Net>,
    ) -> Result<(), FibError> {
        if change.removes() {
            return Ok(());
        }
        let address = u128::from(change.prefix().network());
        let depth = node_depth(common.min(change.prefix().prefix_len() - 1));
        let child_slot = usize::from(byte_at(child_step.key, depth));
        let (mut slots, (paint, len)) = (EMPTY_SLOTS, paint_of(change, depth));
        let head = Step::new(address, depth, child_step.base).to_head();
        let mut child_base = Entry::EMPTY;
        let branch = if len > depth + 8 {
            let last = self.insert_last(Entry::EMPTY, change)?;
            slots[usize::from(byte_at(address, depth))] = last;
            slots[child_slot] = child;
            self.nodes.insert(&head, &slots).inspect_err(|_| self.nodes.remove(last))?
        } else {
            slots[covered(byte_at(address, depth), depth, len)].fill(paint.leaf);
            child_base = slots[child_slot];
            slots[child_slot] = child;
            self.nodes.insert(&head, &slots)?
        };
        self.nodes.set_base(child, child_base);
        self.relink(path, branch);
        Ok(())
    }

    /// Changes a prefix that ends in `node`'s byte.
    fn paint(
        &mut self,
        path: &[Slot],
        node: Entry,
        change: &Change<Ipv6Net>,
    ) -> Result<(), FibError> {
        let address = u128::from(change.prefix().network());
        let (head, mut slots) = self.nodes.expand(node);
        let step = Step::from_head(head);
        let (paint, len) = paint_of(change, step.depth());
        let range = covered(step.slot(address.to_be_bytes()), step.depth(), len);
        let mut children = slots[range.clone()].to_vec();
        children.retain(|slot| slot.is_node());
        slots[range].iter_mut().filter(|slot| !slot.is_node()).for_each(|slot| paint.apply(slot));
        // What a removal leaves always fits (`Nodes::begin`), and whether the node is still needed
        // depends on the children's bases; what is added may not fit, and must not be half there.
        if change.removes() {
            self.paint_bases(&children, paint);
            self.store(path, node, step, &slots)
        } else {
            self.store(path, node, step, &slots)?;
            self.paint_bases(&children, paint);
            Ok(())
        }
    }

    fn paint_bases(&mut self, children: &[Entry], paint: Paint) {
        for &child in children {
            self.nodes.paint_through(&mut { child }, paint);
        }
    }

    /// Puts `entry` where `path` ends.
    fn place(&mut self, path: &[Slot], entry: Entry) -> Result<(), FibError> {
        match path.split_last() {
            Some((&Slot::Inside(node, slot), above)) => {
                let (head, mut slots) = self.nodes.expand(node);
                let step = Step::from_head(head);
                slots[usize::from(slot)] = entry;
                self.store(above, node, step, &slots)
            }
            Some((&Slot::Root(bits), _)) => {
                self.root.set(bits, entry);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Gives `node`, which is where `path` ends, other slots; removes it where they decide nothing
    /// any more.
    fn store(
        &mut self,
        path: &[Slot],
        node: Entry,
        step: Step,
        slots: &Slots,
    ) -> Result<(), FibError> {
        let mut filled = slots.iter().filter(|slot| !slot.is_empty());
        match (filled.next(), filled.next()) {
            (None, _) => {
                self.nodes.remove(node);
                return self.place(path, step.base);
            }
            (Some(&child), None) if child.is_node() && self.nodes.base(child).is_empty() => {
                self.nodes.set_base(child, step.base);
                self.nodes.remove(node);
                self.relink(path, child);
                return Ok(());
            }
            _ => {}
        }
        let stored = self.nodes.update(node, &step.to_head(), slots)?;
        if stored != node {
            self.relink(path, stored);
        }
        Ok(())
    }

    /// Replaces the reference to a node where `path` ends by one to another.
    fn relink(&mut self, path: &[Slot], node: Entry) {
        match path.last() {
            Some(&Slot::Root(bits)) => self.root.set(bits, node),
            Some(&Slot::Inside(parent, slot)) => self.nodes.relink(parent, slot, node),
            None => {}
        }
    }
}

/// The depth of the node whose byte has the bit after the first `bits`.
fn node_depth(bits: u8) -> u8 {
    bits & !7
}
