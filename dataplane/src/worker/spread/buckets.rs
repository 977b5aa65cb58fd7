//! Which worker processes which flows: a small table from hash to worker, and the rule by which a
//! worker that hands packets over keeps others busy without drowning them.

/// Parts that the flows of a port are divided into; one part is the least that can move.
pub const BUCKETS: usize = 128;

const _: () = assert!(BUCKETS <= u8::MAX as usize, "one number stands for no bucket");

/// The most workers that one worker hands packets to.
pub const HELPERS_MAX: usize = 7;

/// Who processes a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The worker that receives it.
    Here,
    /// The worker at the end of this lane.
    Lane(u8),
    /// It is on its way from one to another: its packets are held.
    Moving,
}

/// Owners of all buckets of a port.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    owners: [Owner; BUCKETS],
    /// Where the search for the next bucket to move begins, so that all get their turn.
    next: usize,
}

impl Buckets {
    /// All at home.
    pub(super) const fn new() -> Self {
        Self { owners: [Owner::Here; BUCKETS], next: 0 }
    }

    /// The bucket of a flow. Next hops are chosen by the hash's upper bits, buckets by the lower.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "BUCKETS fit, asserted above")]
    pub(super) const fn of(hash: u64) -> u8 {
        (hash % BUCKETS as u64) as u8
    }

    #[inline]
    pub(super) fn owner(&self, bucket: u8) -> Owner {
        self.owners.get(usize::from(bucket)).copied().unwrap_or(Owner::Here)
    }

    pub(super) fn set(&mut self, bucket: u8, owner: Owner) {
        if let Some(slot) = self.owners.get_mut(usize::from(bucket)) {
            *slot = owner;
        }
    }

    /// Deals the buckets out evenly over the lanes of the mask `helpers`, and here.
    pub(super) fn deal(&mut self, helpers: u8) {
        let lanes = (0..8).filter(|lane| helpers & 1 << lane != 0).map(Owner::Lane);
        let players = core::iter::once(Owner::Here).chain(lanes);
        for (slot, owner) in self.owners.iter_mut().zip(players.cycle()) {
            *slot = owner;
        }
    }

    /// The next bucket of an owner.
    pub(super) fn next_of(&mut self, owner: Owner) -> Option<u8> {
        let (before, from) = self.owners.split_at_checked(self.next)?;
        let at = from.iter().position(|&o| o == owner).map(|at| at + self.next);
        let at = at.or_else(|| before.iter().position(|&o| o == owner))?;
        self.next = (at + 1) % BUCKETS;
        u8::try_from(at).ok()
    }

    /// How many buckets are not at home.
    pub(super) fn away(&self) -> usize {
        self.owners.iter().filter(|&&owner| owner != Owner::Here).count()
    }
}

/// What to do about the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing.
    Stay,
    /// Move a bucket.
    Move { from: Owner, to: Owner },
}

/// Parcels in a lane from which on its worker is given less to do.
const DEEP: u64 = 8;

/// Parcels in a lane up to which its worker could do more.
const SHALLOW: u64 = 2;

/// Looks at the lanes of the mask `helpers`, whose depths are in parcels. `is_hot`: packets arrive
/// faster than this worker takes them in.
///
/// A worker that is behind is relieved, in favour of one that waits or of this one; one that waits
/// gets more as long as this worker has too much. Between the marks nothing moves.
pub(super) fn advise(is_hot: bool, helpers: u8, depths: &[u64]) -> Advice {
    let lanes = (0..).zip(depths).filter(|(lane, _)| helpers & 1 << lane != 0);
    let (mut deepest, mut shallowest) = (None::<(u8, u64)>, None::<(u8, u64)>);
    for (lane, &depth) in lanes {
        if deepest.is_none_or(|(_, most)| depth > most) {
            deepest = Some((lane, depth));
        }
        if shallowest.is_none_or(|(_, least)| depth < least) {
            shallowest = Some((lane, depth));
        }
    }
    let idle = shallowest.filter(|&(_, depth)| depth <= SHALLOW).map(|(lane, _)| Owner::Lane(lane));
    match deepest {
        Some((lane, depth)) if depth >= DEEP => {
            Advice::Move { from: Owner::Lane(lane), to: idle.unwrap_or(Owner::Here) }
        }
        _ => match idle {
            Some(to) if is_hot => Advice::Move { from: Owner::Here, to },
            _ => Advice::Stay,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_dealt_out_evenly_and_come_back_one_by_one() {
        let mut buckets = Buckets::new();
        buckets.deal(0b101);
        assert_eq!(buckets.away(), BUCKETS - BUCKETS.div_ceil(3));
        let mut moved = 0;
        for lane in [0, 2] {
            while let Some(bucket) = buckets.next_of(Owner::Lane(lane)) {
                buckets.set(bucket, Owner::Here);
                moved += 1;
            }
        }
        assert_eq!((moved, buckets.away()), (85, 0));
        assert_eq!(buckets.next_of(Owner::Lane(1)), None);
    }

    #[test]
    fn every_bucket_gets_its_turn_to_move() {
        let mut buckets = Buckets::new();
        let turns: Vec<u8> = (0..BUCKETS).filter_map(|_| buckets.next_of(Owner::Here)).collect();
        assert!(turns.into_iter().eq(0..128));
    }

    #[test]
    fn a_worker_that_is_behind_is_relieved_and_one_that_waits_gets_more_only_in_need() {
        let here = Owner::Here;
        let lane = Owner::Lane;
        for (is_hot, helpers, depths, expected) in [
            (true, 0b1, [0, 0], Advice::Move { from: here, to: lane(0) }),
            (false, 0b1, [0, 0], Advice::Stay),
            (true, 0b1, [DEEP - 1, 0], Advice::Stay),
            (false, 0b1, [DEEP, 0], Advice::Move { from: lane(0), to: here }),
            (true, 0b1, [30, 0], Advice::Move { from: lane(0), to: here }),
            (true, 0b11, [30, 0], Advice::Move { from: lane(0), to: lane(1) }),
            (true, 0b11, [5, 1], Advice::Move { from: here, to: lane(1) }),
            (true, 0b10, [0, 5], Advice::Stay),
            (true, 0, [0, 0], Advice::Stay),
        ] {
            assert_eq!(advise(is_hot, helpers, &depths), expected, "{is_hot} {depths:?}");
        }
    }
}
