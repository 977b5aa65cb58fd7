//! A rate with a burst, on the time that is given to it.

use std::time::Duration;

use adit_dataplane::clock::Nanos;

/// Places on a line that stand a fixed time apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// How far ahead of the line somebody may be.
    tolerance: Duration,
    next: Nanos,
}

impl Pace {
    /// `per_second` (at least 1) in the long run, `burst` (at least 1) at once.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, tolerance: interval * (burst.max(1) - 1), next: Nanos(0) }
    }

    /// Whether one more may pass now; if so, it has.
    pub(super) fn admits(&mut self, now: Nanos) -> bool {
        if self.next > now + self.tolerance {
            return false;
        }
        self.reserve(now);
        true
    }

    /// Takes the next free place: when it is, not before `now`.
    pub(super) fn reserve(&mut self, now: Nanos) -> Nanos {
        let place = self.next.max(now);
        self.next = place + self.interval;
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_one_per_interval() {
        let mut pace = Pace::new(10, 3);
        let start = Nanos::from_secs(5);
        let passed = |pace: &mut Pace, now| (0..10).filter(|_| pace.admits(now)).count();
        assert_eq!(passed(&mut pace, start), 3);
        assert_eq!(passed(&mut pace, Nanos(start.0 + 99_999_999)), 0);
        assert_eq!(passed(&mut pace, Nanos(start.0 + 100_000_000)), 1);
        assert_eq!(passed(&mut pace, Nanos::from_secs(60)), 3);
    }

    #[test]
    fn places_are_an_interval_apart_and_never_in_the_past() {
        let mut pace = Pace::new(1000, 1);
        assert_eq!(pace.reserve(Nanos::from_secs(1)), Nanos::from_secs(1));
        assert_eq!(pace.reserve(Nanos::from_secs(1)), Nanos::from_millis(1001));
        assert_eq!(pace.reserve(Nanos::from_secs(1)), Nanos::from_millis(1002));
        assert_eq!(pace.reserve(Nanos::from_secs(2)), Nanos::from_secs(2));
    }
}
