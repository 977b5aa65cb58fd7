//! How many ICMP errors and echo replies a worker sends: token buckets on the time it is given.
//!
//! Errors have one bucket for all and one for each source (RFC 4443 §2.4 (f)). Too-big messages
//! have a bucket of their own and none for each source: one server with thousands of flows needs
//! thousands of them when a path changes. Echo replies have theirs.
//!
//! The buckets of sources are a table of fixed size, allocated at the start. A place in it is given
//! to another source only when its bucket is full again, and then there is nothing to forget: no
//! flood of other sources resets a bucket. And only an error that is allowed empties a bucket, so the
//! bucket for all bounds how many places are taken at any time; the table has several times as many.
//! Where all places of a set are taken even so, a newcomer shares the bucket that is full soonest.
//! Who floods with many sources can use up the bucket for all, as with any such limit, and no more.

use core::net::IpAddr;

use super::flow::FlowKey;
use super::icmp_error::IcmpError;
use crate::clock::Nanos;

/// A long-term rate and how much may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Events in a second; 0 allows none at all.
    pub per_second: u32,
    /// Events at once after a pause.
    pub burst: u32,
}

/// What a worker allows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All errors but too-big messages.
    pub errors: Rate,
    /// The same, to one source.
    pub errors_per_source: Rate,
    /// Too-big messages.
    pub too_big: Rate,
    /// Echo replies.
    pub echo: Rate,
}

impl Limits {
    /// What applies when nothing is configured.
    pub const DEFAULT: Self = Self {
        errors: Rate { per_second: 1000, burst: 50 },
        errors_per_source: Rate { per_second: 10, burst: 10 },
        too_big: Rate { per_second: 5000, burst: 1000 },
        echo: Rate { per_second: 1000, burst: 50 },
    };

    /// One worker's part when `workers` of them share the limits of the appliance. Limits of a
    /// source are not divided: its packets of one flow all come to one worker.
    #[must_use]
    pub const fn share(self, workers: u32) -> Self {
        Self {
            errors: self.errors.share(workers),
            errors_per_source: self.errors_per_source,
            too_big: self.too_big.share(workers),
            echo: self.echo.share(workers),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Rate {
    const fn share(self, workers: u32) -> Self {
        let workers = if workers == 0 { 1 } else { workers };
        Self { per_second: self.per_second.div_ceil(workers), burst: self.burst.div_ceil(workers) }
    }
}

/// A rate as times. A bucket is then one number: the moment at which it will be full again.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// What one event costs, in nanoseconds of refilling. Rounded up: never more than the rate.
    period: u64,
    /// How far a bucket may be from full: the burst.
    depth: u64,
}

impl Pace {
    const SECOND: u64 = 1_000_000_000;

    const fn new(rate: Rate) -> Self {
        if rate.per_second == 0 {
            return Self { period: Self::SECOND, depth: 0 };
        }
        let period = Self::SECOND.div_ceil(rate.per_second as u64);
        Self { period, depth: period * rate.burst as u64 }
    }

    /// When the bucket will be full after one event `now`; `None` when it is too empty for one.
    #[inline]
    const fn spend(self, full_at: Nanos, now: Nanos) -> Option<Nanos> {
        let from = if full_at.0 > now.0 { full_at.0 } else { now.0 };
        let after = from.saturating_add(self.period);
        if after <= now.0.saturating_add(self.depth) { Some(Nanos(after)) } else { None }
    }
}

/// One token bucket, full at the start.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    pace: Pace,
    full_at: Nanos,
}

impl TokenBucket {
    /// Refilled at `rate`.
    pub const fn new(rate: Rate) -> Self {
        Self { pace: Pace::new(rate), full_at: Nanos(0) }
    }

    /// Whether there is a token.
    #[inline]
    const fn has_one(&self, now: Nanos) -> bool {
        self.pace.spend(self.full_at, now).is_some()
    }

    /// Takes a token, if there is one.
    #[inline]
    pub fn allow(&mut self, now: Nanos) -> bool {
        match self.pace.spend(self.full_at, now) {
            Some(full_at) => {
                self.full_at = full_at;
                true
            }
            None => false,
        }
    }
}

/// One of the limits of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Of all errors but the next.
    Errors,
    /// Of those about packets of one source.
    PerSource,
    /// Of those that say that a packet is too large.
    TooBig,
}

/// What one worker still may send.
#[derive(Debug)]
pub struct ErrorLimiter {
    errors: TokenBucket,
    sources: Sources,
    too_big: TokenBucket,
    echo: TokenBucket,
}

impl ErrorLimiter {
    /// With all buckets full. `seed` is a secret: it places sources in the table.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            errors: TokenBucket::new(limits.errors),
            sources: Sources::new(limits, seed),
            too_big: TokenBucket::new(limits.too_big),
            echo: TokenBucket::new(limits.echo),
        }
    }

    /// Whether `error` may be sent now, to the source of the packet that it is about. What is
    /// refused for one limit uses up none.
    pub fn allow(&mut self, now: Nanos, error: IcmpError, source: IpAddr) -> bool {
        if error.is_too_big() {
            return self.too_big.allow(now);
        }
        let per_source = self.sources.pace;
        let Some(place) = self.sources.place(now, source) else { return false };
        match per_source.spend(place.full_at, now) {
            Some(full_at) if self.errors.allow(now) => {
                place.full_at = full_at;
                true
            }
            _ => false,
        }
    }

    /// Whether [`allow`](Self::allow) would say no, and nothing has changed afterwards. As long as the
    /// time is the same the answer stays no, whatever else is allowed.
    #[inline]
    pub fn is_exhausted(&self, now: Nanos, error: IcmpError, source: IpAddr) -> bool {
        self.exhausted(now, error, source).is_some()
    }

    /// Whether [`allow`](Self::allow) would say no to any error but those about a size, whoever is to be told.
    #[inline]
    pub fn is_spent(&self, now: Nanos) -> bool {
        !self.errors.has_one(now)
    }

    /// For which limit it would say no, if it would.
    #[inline]
    pub fn exhausted(&self, now: Nanos, error: IcmpError, source: IpAddr) -> Option<Limit> {
        if error.is_too_big() {
            return (!self.too_big.has_one(now)).then_some(Limit::TooBig);
        }
        if !self.errors.has_one(now) {
            return Some(Limit::Errors);
        }
        (!self.sources.has_one(now, source)).then_some(Limit::PerSource)
    }

    /// Whether an echo request may be answered now.
    #[inline]
    pub fn allow_echo(&mut self, now: Nanos) -> bool {
        self.echo.allow(now)
    }
}

/// Places in a set: a cache line.
const WAYS: usize = 4;
/// Sets of a table, between these, a power of two.
const SETS_MIN: u64 = 256;
const SETS_MAX: u64 = 16_384;
/// Places for each bucket that can be less than full at one time.
const SPARE: u64 = 8;

/// The bucket of one source. A place whose bucket is full is free.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    source_hash: u64,
    full_at: Nanos,
}

impl Place {
    /// The least is the place for a source.
    fn rank(&self, source_hash: u64) -> (bool, Nanos) {
        (self.source_hash != source_hash, self.full_at)
    }
}

type Set = [Place; WAYS];
const _: () = assert!(size_of::<Set>() == 64, "a set is one cache line");

#[derive(Debug)]
struct Sources {
    pace: Pace,
    key: FlowKey,
    /// A power of two of them.
    sets: Box<[Set]>,
}

impl Sources {
    fn new(limits: Limits, seed: u64) -> Self {
        let pace = Pace::new(limits.errors_per_source);
        // An error keeps a place taken for one period, and so many are sent in that time.
        let in_a_period = u64::from(limits.errors.per_second).saturating_mul(pace.period);
        let taken = in_a_period / Pace::SECOND + u64::from(limits.errors.burst);
        let wanted = taken.saturating_mul(SPARE) / WAYS as u64;
        let sets = wanted.clamp(SETS_MIN, SETS_MAX).next_power_of_two();
        let sets = vec![Set::default(); usize::try_from(sets).unwrap_or(1)].into_boxed_slice();
        Self { pace, key: FlowKey::new(seed), sets }
    }

    /// The place of a source: its own, else a free one, else one that it has to share.
    fn place(&mut self, now: Nanos, source: IpAddr) -> Option<&mut Place> {
        let source_hash = self.hash(source);
        let index = self.set_of(source_hash);
        let places = self.sets.get_mut(index)?.iter_mut();
        let place = places.min_by_key(|place| place.rank(source_hash))?;
        if place.full_at <= now {
            *place = Place { source_hash, full_at: now };
        }
        Some(place)
    }

    /// Whether there is a token in the bucket of a source.
    #[inline(never)]
    fn has_one(&self, now: Nanos, source: IpAddr) -> bool {
        let source_hash = self.hash(source);
        let Some(set) = self.sets.get(self.set_of(source_hash)) else { return false };
        // A source that is refused mostly has a place of its own.
        let own = set.iter().find(|place| place.source_hash == source_hash);
        let place = own.or_else(|| set.iter().min_by_key(|place| place.rank(source_hash)));
        place.is_some_and(|place| self.pace.spend(place.full_at, now).is_some())
    }

    #[inline]
    fn hash(&self, source: IpAddr) -> u64 {
        // An IPv4 address as it is mapped into IPv6.
        let address = match source {
            IpAddr::V4(address) => 0xffff << 32 | u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        self.key.hash_address(address)
    }

    #[inline]
    fn set_of(&self, source_hash: u64) -> usize {
        usize::try_from(source_hash).unwrap_or(0) & (self.sets.len() - 1)
    }
}

#[cfg(test)]
mod tests;
