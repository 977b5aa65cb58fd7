//! Numbers that are given out, given back, and given out again when nobody can mean the former
//! holder any more.

use std::collections::BTreeSet;

/// Numbers from 0 to a limit. The lowest free one comes first.
#[derive(Debug, Clone)]
pub struct Ids {
    next: u32,
    limit: u32,
    free: BTreeSet<u32>,
    /// Given back, but a worker may still mean the former holder.
    resting: Vec<u32>,
}

impl Ids {
    /// All are free; there are `limit` of them.
    pub fn new(limit: u32) -> Self {
        Self { next: 0, limit, free: BTreeSet::new(), resting: Vec::new() }
    }

    /// A free number; `None` when there is none.
    pub fn take(&mut self) -> Option<u32> {
        if let Some(free) = self.free.pop_first() {
            return Some(free);
        }
        let taken = self.next;
        (taken < self.limit).then(|| {
            self.next += 1;
            taken
        })
    }

    /// Gives a number back; it rests until [`Self::settle`].
    pub fn give_back(&mut self, id: u32) {
        self.resting.push(id);
    }

    /// Takes back a number that rests.
    pub fn take_back(&mut self, id: u32) {
        self.resting.retain(|other| *other != id);
    }

    /// What rests is free.
    pub fn settle(&mut self) {
        self.free.extend(self.resting.drain(..));
    }

    /// How many there are.
    pub fn limit(&self) -> u32 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_again_only_when_it_has_rested() {
        let mut ids = Ids::new(2);
        assert_eq!((ids.take(), ids.take(), ids.take()), (Some(0), Some(1), None));
        ids.give_back(0);
        assert_eq!(ids.take(), None);
        ids.settle();
        assert_eq!((ids.take(), ids.take()), (Some(0), None));
    }
}
