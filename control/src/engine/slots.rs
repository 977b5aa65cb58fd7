//! Places that a tunnel keeps from one generation of tables to the next: its counters, and its
//! latency histogram.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Name;

/// Gives each name a number of its own, the lowest that is free.
#[derive(Debug, Default, Clone)]
pub(super) struct Slots {
    by_name: BTreeMap<Name, u32>,
    free: BTreeSet<u32>,
    /// Given back, but a worker may still count there.
    resting: Vec<(u64, u32)>,
    next: u32,
}

impl Slots {
    /// The number of a name.
    pub(super) fn get(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The number of a name, a new one if it has none; `None` when `limit` are in use.
    pub(super) fn take(&mut self, name: &Name, limit: u32) -> Option<u32> {
        if let Some(&slot) = self.by_name.get(name) {
            return Some(slot);
        }
        let slot = match self.free.pop_first() {
            Some(slot) => slot,
            None if self.next < limit => {
                self.next += 1;
                self.next - 1
            }
            None => return None,
        };
        self.by_name.insert(Name::clone(name), slot);
        Some(slot)
    }

    /// Takes back the numbers of all names that `stays` does not hold for. They are given out
    /// again once every worker runs a generation later than `generation`.
    pub(super) fn retain(&mut self, generation: u64, stays: impl Fn(&str) -> bool) {
        let resting = &mut self.resting;
        self.by_name.retain(|name, slot| {
            let stay = stays(name);
            if !stay {
                resting.push((generation, *slot));
            }
            stay
        });
    }

    /// Frees what no worker touches any more; `oldest` is the oldest generation in use. Returns the
    /// numbers that became free.
    pub(super) fn settle(&mut self, oldest: u64) -> Vec<u32> {
        let mut freed = Vec::new();
        self.resting.retain(|&(generation, slot)| {
            let in_use = oldest <= generation;
            if !in_use {
                freed.push(slot);
            }
            in_use
        });
        self.free.extend(&freed);
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_only_when_no_worker_uses_it() {
        let mut slots = Slots::default();
        let (a, b): (Name, Name) = ("a".into(), "b".into());
        assert_eq!(
            (slots.take(&a, 2), slots.take(&b, 2), slots.take(&a, 2)),
            (Some(0), Some(1), Some(0))
        );
        assert_eq!(slots.take(&"c".into(), 2), None);
        slots.retain(7, |name| name == "b");
        assert_eq!(slots.take(&"c".into(), 2), None);
        assert_eq!(slots.settle(7), Vec::<u32>::new());
        assert_eq!(slots.settle(8), [0]);
        assert_eq!(slots.take(&"c".into(), 2), Some(0));
    }
}
