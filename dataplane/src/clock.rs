//! Time as the packet path knows it: nanoseconds that are given to it, and the cycle counter.
//!
//! The packet path never asks what time it is. Whoever calls it says `now`: the worker's loop from
//! the calibrated cycle counter, replay and tests from a virtual clock.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment, in nanoseconds since an epoch of the caller's choice. Never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// From whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// From whole milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds * 1_000_000)
    }

    /// The time since `earlier`, zero if that is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Nanos {
    type Output = Self;

    #[inline]
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Nanos {
    type Output = Duration;

    #[inline]
    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

/// Reads the CPU's cycle counter: constant rate, not serialising.
#[inline]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: RDTSC is part of every x86-64, touches no memory, and Linux lets user space
        // read it.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(target_arch = "aarch64")]
    {
        let count: u64;
        // SAFETY: CNTVCT_EL0 may be read in user space under Linux and touches no memory.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack));
        }
        count
    }
}

/// Turns cycles into nanoseconds: a factor in 32.32 fixed point.
#[derive(Clone, Copy, Debug)]
pub struct CycleScale {
    nanos_per_cycle_q32: u64,
}

impl CycleScale {
    /// From a measurement: `cycles` passed in `nanos` nanoseconds. Both are at least 1.
    pub fn from_measurement(cycles: u64, nanos: u64) -> Self {
        let factor = (u128::from(nanos.max(1)) << 32) / u128::from(cycles.max(1));
        Self { nanos_per_cycle_q32: u64::try_from(factor).unwrap_or(u64::MAX) }
    }

    /// How long `cycles` take.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "584 years of nanoseconds fit")]
    pub const fn nanos(self, cycles: u64) -> u64 {
        ((cycles as u128 * self.nanos_per_cycle_q32 as u128) >> 32) as u64
    }

    /// Cycles in a second.
    pub fn hertz(self) -> u64 {
        let second = 1_000_000_000_u128 << 32;
        u64::try_from(second / u128::from(self.nanos_per_cycle_q32.max(1))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_cycles_is_a_second() {
        let scale = CycleScale::from_measurement(2_300_000_000, 1_000_000_000);
        let nanos = scale.nanos(2_300_000_000);
        assert!(nanos.abs_diff(1_000_000_000) < 10, "{nanos}");
        assert!(scale.hertz().abs_diff(2_300_000_000) < 10, "{}", scale.hertz());
    }
}
