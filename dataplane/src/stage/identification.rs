//! Identifications of outer IPv4 packets that may be fragmented (RFC 6864): counters by path, each
//! starting somewhere else, and a watch on how soon they come round.
//!
//! The receiver puts fragments together by identification, so one that comes again while fragments of
//! its former packet may still be under way mixes two packets up. 16 bits last for 546 packets a second
//! and path; faster tunnels are told of by `tun.id_reuse`, and not held up.

use crate::clock::Nanos;
use crate::tables::soft_state::TunnelPath;

/// See the module. One for each worker.
pub struct Identifications {
    counters: Box<[Counter; COUNTERS]>,
    /// When each part of the numbers of each counter was begun, in seconds and one; 0: never.
    begun: Box<[[u32; PARTS]]>,
    /// Workers take turns in the number space, so that two never use the same value at a time.
    stride: u16,
}

/// What one path has come to.
#[derive(Clone, Copy)]
struct Counter {
    next: u16,
    /// The numbers of this part were used too short a time ago.
    is_early: bool,
}

/// An identification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// It.
    pub value: u16,
    /// It was used too short a time ago.
    pub is_early: bool,
}

/// Paths share counters beyond this many.
const COUNTERS: usize = 2048;

/// Parts of the number space whose times are kept, a power of two.
const PARTS: usize = 16;
const PART_SHIFT: u32 = u16::BITS - PARTS.ilog2();

/// How long no identification may come again: a packet and its fragments are gone by then (RFC 6864 §4.3,
/// RFC 791 §3.2).
const LIFETIME_S: u32 = 120;

impl Identifications {
    /// For worker `number` of `workers`; `seed` decides where the counters start.
    pub fn new(seed: u64, number: u16, workers: u16) -> Self {
        let first = Counter { next: 0, is_early: false };
        let mut counters = Box::new([first; COUNTERS]);
        let stride = workers.max(1);
        let mut state = seed | 1;
        for counter in counters.iter_mut() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let start = u16::try_from(state >> 48).unwrap_or(0);
            // A start so late that this worker has no number behind it is its first one.
            counter.next = (start / stride * stride).checked_add(number).unwrap_or(number);
        }
        let begun = vec![[0; PARTS]; COUNTERS].into_boxed_slice();
        Self { counters, begun, stride }
    }

    /// The next identification for a path.
    #[inline]
    pub fn take(&mut self, path: TunnelPath, now: Nanos) -> Taken {
        let hash = path.0.wrapping_mul(0x9e37_79b1) as usize >> 8;
        let at = hash % COUNTERS;
        let counter = &mut self.counters[at];
        let value = counter.next;
        let taken = Taken { value, is_early: counter.is_early };
        // Back to the start of this worker's own numbers, not into those of another.
        counter.next = value.checked_add(self.stride).unwrap_or(value % self.stride);
        if (counter.next ^ value) >> PART_SHIFT != 0 {
            self.begin_part(at, now);
        }
        taken
    }

    /// The numbers from here on were used last when their part was begun before.
    #[cold]
    fn begin_part(&mut self, at: usize, now: Nanos) {
        let counter = &mut self.counters[at];
        let part = usize::from(counter.next >> PART_SHIFT);
        let now_s = u32::try_from(now.0 / 1_000_000_000).unwrap_or(u32::MAX).saturating_add(1);
        let begun = core::mem::replace(&mut self.begun[at][part], now_s);
        counter.is_early = begun != 0 && now_s.saturating_sub(begun) < LIFETIME_S;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const PATH: TunnelPath = TunnelPath(7);

    #[test]
    fn wherever_they_start_workers_take_numbers_of_their_own() {
        for (seed, number) in (0..40).flat_map(|seed| (0..3).map(move |number| (seed, number))) {
            let mut identifications = Identifications::new(seed, number, 3);
            let starts = identifications.counters.iter().map(|counter| counter.next);
            assert!(starts.clone().all(|value| value % 3 == number), "{seed} {number}");
            let taken = (0..30_000).map(|_| identifications.take(PATH, Nanos(0)).value);
            assert_eq!(taken.last().map(|value| value % 3), Some(number));
        }
    }

    #[test]
    fn workers_never_take_identifications_of_each_other() {
        let taken = |number| {
            let mut identifications = Identifications::new(9, number, 3);
            let values = (0..70_000).map(|_| identifications.take(PATH, Nanos(0)).value);
            values.collect::<HashSet<u16>>()
        };
        let (first, second, third) = (taken(0), taken(1), taken(2));
        assert!(first.is_disjoint(&second) && second.is_disjoint(&third));
        assert!(third.is_disjoint(&first));
        assert_eq!(first.len() + second.len() + third.len(), 1 << 16, "none is left unused");
    }

    /// How many of so many packets, so many a second, have an identification again too soon.
    fn early(packets: u64, per_second: u64) -> usize {
        let mut identifications = Identifications::new(3, 0, 1);
        let at = |number: u64| Nanos(number * 1_000_000_000 / per_second);
        (0..packets).filter(|&number| identifications.take(PATH, at(number)).is_early).count()
    }

    #[test]
    fn identifications_that_come_again_within_two_minutes_are_told_of() {
        assert_eq!(early(60_000, 10_000), 0, "none has come again");
        // After a lap all do, but in the part that it started amid.
        let (lap, part) = (1 << 16, 1 << PART_SHIFT);
        assert!((150_000 - part..=150_000).contains(&early(lap + 150_000, 10_000)));
        assert_eq!(early(200_000, 540), 0, "slow enough");
        assert!(early(200_000, 560) > 100_000, "a little too fast");
    }
}
