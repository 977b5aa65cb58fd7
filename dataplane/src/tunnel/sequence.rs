//! Sequence numbers of one tunnel (RFC 2890 §2.2): which comes next, and which came last.
//!
//! All workers share them, and all generations of the tables: a tunnel keeps its numbers until
//! it is disabled, or has another peer or key.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock::Nanos;

/// After so long without a packet, any number is accepted: the peer may have started anew.
const FORGOTTEN_AFTER_S: u32 = 60;

/// See the module.
#[derive(Debug, Default)]
pub struct Sequences {
    next: AtomicU32,
    /// The last number that was accepted, and above it the second of its arrival, counted from 1; 0: none.
    last: AtomicU64,
}

impl Sequences {
    /// The number of the next packet that is sent; the first is 0.
    #[inline]
    pub fn take(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a packet with this number is newer than all that came, which it then was.
    pub fn accept(&self, sequence: u32, now: Nanos) -> bool {
        let second = second(now);
        let accepted = (u64::from(second) << 32) | u64::from(sequence);
        let newer = |state: u64| {
            let (last, at) = halves(state);
            let is_forgotten = at == 0 || second.saturating_sub(at) >= FORGOTTEN_AFTER_S;
            //= RFC 2890 §2.2: out of order when it is 2^31 or more behind what is expected next.
            let is_newer = sequence.wrapping_sub(last).wrapping_sub(1) < 1 << 31;
            (is_forgotten || is_newer).then_some(accepted)
        };
        self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, newer).is_ok()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves of it")]
const fn halves(state: u64) -> (u32, u32) {
    (state as u32, (state >> 32) as u32)
}

fn second(now: Nanos) -> u32 {
    u32::try_from(now.0 / 1_000_000_000).unwrap_or(u32::MAX - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const START: Nanos = Nanos(0);

    #[test]
    fn old_numbers_are_refused_and_newer_ones_accepted_across_the_wrap() {
        let sequences = Sequences::default();
        assert!(sequences.accept(0xffff_fff0, START), "the first may be any");
        assert!(!sequences.accept(0xffff_fff0, START), "the same again");
        assert!(!sequences.accept(0xffff_ffef, START));
        assert!(sequences.accept(3, START), "behind the wrap");
        assert!(!sequences.accept(0xffff_fff1, START));
        assert!(sequences.accept(3 + (1 << 31), START), "as far ahead as can be");
        assert!(!sequences.accept(4, START), "exactly 2^31 behind what is expected next");
    }

    #[test]
    fn after_a_minute_of_silence_any_number_is_accepted() {
        let sequences = Sequences::default();
        assert!(sequences.accept(100, START));
        let later = |seconds| START + Duration::from_secs(seconds);
        assert!(!sequences.accept(50, later(59)), "a refused packet does not count");
        assert!(sequences.accept(50, later(60)));
        assert!(!sequences.accept(49, later(119)));
    }

    #[test]
    fn numbers_to_send_begin_with_zero() {
        let sequences = Sequences::default();
        assert_eq!([sequences.take(), sequences.take()], [0, 1]);
    }
}
