//! On virtual time, against exact counts and against a bucket that counts tokens.

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 9));
const TOO_BIG: IcmpError = IcmpError::TooBig { mtu: 1400 };
const MICROSECOND: u64 = 1000;
const SECOND: u64 = 1_000_000_000;

fn stranger(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + number))
}

/// How many of the events that come every `every` nanoseconds from `from` up to `to` are allowed.
fn count(from: u64, to: u64, every: u64, mut allow: impl FnMut(Nanos) -> bool) -> usize {
    let moments = (from..to).step_by(usize::try_from(every).unwrap());
    moments.filter(|&at| allow(Nanos(at))).count()
}

#[test]
fn a_source_of_2000_expiring_packets_a_second_gets_ten_errors_a_second_and_a_burst_of_ten() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    let every = 500 * MICROSECOND;
    let mut send = |now| limiter.allow(now, IcmpError::TimeExceeded, SOURCE);
    assert_eq!(count(0, SECOND, every, &mut send), 10 + 9);
    assert_eq!(count(SECOND, 2 * SECOND, every, &mut send), 10);
    assert_eq!(count(2 * SECOND, 12 * SECOND, every, &mut send), 100);
    // After a pause the burst is there again, and no more than that.
    assert_eq!(count(100 * SECOND, 101 * SECOND, every, &mut send), 10 + 9);
}

proptest! {
    #[test]
    fn what_is_exhausted_is_refused_and_nothing_else(
        events in proptest::collection::vec((0_u64..30, 0_u32..6, any::<bool>()), 1..200),
    ) {
        let rate = |per_second, burst| Rate { per_second, burst };
        let (errors, errors_per_source) = (rate(200, 5), rate(50, 2));
        let limits = Limits { errors, errors_per_source, too_big: rate(100, 3), echo: rate(1, 1) };
        let (mut limiter, mut now) = (ErrorLimiter::new(limits, 1), Nanos(SECOND));
        for (later, source, is_too_big) in events {
            now = Nanos(now.0 + later * 1000 * MICROSECOND);
            let error = if is_too_big { TOO_BIG } else { IcmpError::TimeExceeded };
            let is_exhausted = limiter.is_exhausted(now, error, stranger(source));
            prop_assert_eq!(is_exhausted, !limiter.allow(now, error, stranger(source)));
        }
    }
}

#[test]
fn an_ipv6_source_has_the_same_limit() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    let source = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let send = |now| limiter.allow(now, IcmpError::NoRoute, source);
    assert_eq!(count(0, SECOND, 500 * MICROSECOND, send), 19);
}

#[test]
fn many_sources_get_a_thousand_errors_a_second_and_a_burst_of_fifty() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    let mut number = 0;
    let send = |now| {
        number += 1;
        limiter.allow(now, IcmpError::NoRoute, stranger(number))
    };
    assert_eq!(count(0, SECOND, 50 * MICROSECOND, send), 50 + 999);
}

#[test]
fn too_big_messages_have_a_limit_of_their_own_and_none_for_each_source() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    let send = |now| limiter.allow(now, TOO_BIG, SOURCE);
    assert_eq!(count(0, SECOND, 20 * MICROSECOND, send), 1000 + 4999);
    // It has taken nothing from the other errors.
    let send = |now| limiter.allow(now, IcmpError::NoRoute, SOURCE);
    assert_eq!(count(SECOND, SECOND + 10, 1, send), 10);
    assert!(!limiter.allow(Nanos(SECOND + 10), IcmpError::NoRoute, SOURCE));
    assert!(limiter.allow(Nanos(SECOND + SECOND), TOO_BIG, SOURCE));
}

#[test]
fn echo_replies_have_a_limit_of_their_own() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    assert_eq!(count(0, SECOND, 100 * MICROSECOND, |now| limiter.allow_echo(now)), 50 + 999);
    assert!(limiter.allow(Nanos(SECOND - 1), IcmpError::NoRoute, SOURCE));
}

#[test]
fn what_a_source_is_refused_is_not_taken_from_the_others() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    let now = Nanos(5);
    let greedy = (0..1000).filter(|_| limiter.allow(now, IcmpError::NoRoute, SOURCE)).count();
    let others = (0..1000).filter(|&n| limiter.allow(now, IcmpError::NoRoute, stranger(n))).count();
    assert_eq!((greedy, others), (10, 40));
}

#[test]
fn what_all_are_refused_is_not_taken_from_a_source() {
    let mut limiter = ErrorLimiter::new(Limits::DEFAULT, 1);
    for number in 0..50 {
        assert!(limiter.allow(Nanos(0), IcmpError::NoRoute, stranger(number)));
    }
    for _ in 0..100 {
        assert!(!limiter.allow(Nanos(0), IcmpError::NoRoute, SOURCE));
    }
    // 20 ms later there are 20 tokens for all; of its own the source would have got none back.
    let send = |now| limiter.allow(now, IcmpError::NoRoute, SOURCE);
    assert_eq!(count(SECOND / 50, SECOND / 50 + 11, 1, send), 10);
}

#[test]
fn a_flood_of_other_sources_does_not_reset_the_bucket_of_one() {
    // So generous to all that only the limits of sources bind, and the table is too small.
    let errors = Rate { per_second: 10_000_000, burst: 1_000_000 };
    let mut limiter = ErrorLimiter::new(Limits { errors, ..Limits::DEFAULT }, 1);
    let mut number = 0;
    let send = |now| {
        for _ in 0..100 {
            number += 1;
            limiter.allow(now, IcmpError::NoRoute, stranger(number));
        }
        limiter.allow(now, IcmpError::NoRoute, SOURCE)
    };
    assert!(count(0, SECOND, 500 * MICROSECOND, send) <= 19);
}

#[test]
fn a_flood_within_the_limit_of_all_does_not_starve_a_quiet_source() {
    for seed in 0..20 {
        let mut limiter = ErrorLimiter::new(Limits::DEFAULT, seed);
        let mut number = 0;
        for tick in 0..10_000_u64 {
            let now = Nanos(tick * 1250 * MICROSECOND);
            number += 1;
            assert!(limiter.allow(now, IcmpError::NoRoute, stranger(number)), "tick {tick}");
            if tick % 160 == 0 {
                assert!(limiter.allow(now, IcmpError::NoRoute, SOURCE), "quiet at tick {tick}");
            }
        }
    }
}

#[test]
fn a_rate_or_burst_of_zero_allows_nothing() {
    for rate in [Rate { per_second: 0, burst: 9 }, Rate { per_second: 9, burst: 0 }] {
        let mut bucket = TokenBucket::new(rate);
        assert_eq!(count(0, 10 * SECOND, SECOND / 10, |now| bucket.allow(now)), 0, "{rate:?}");
    }
}

#[test]
fn the_parts_of_workers_add_up_to_at_least_the_limits() {
    let part = Limits::DEFAULT.share(3);
    assert_eq!(part.errors, Rate { per_second: 334, burst: 17 });
    assert_eq!(part.too_big, Rate { per_second: 1667, burst: 334 });
    assert_eq!(part.echo, Rate { per_second: 334, burst: 17 });
    assert_eq!(part.errors_per_source, Limits::DEFAULT.errors_per_source);
    assert_eq!(Limits::DEFAULT.share(1), Limits::DEFAULT);
    assert_eq!(Limits::DEFAULT.share(0), Limits::DEFAULT);
}

/// A bucket that counts tokens, in billionths.
struct Tokens {
    rate: Rate,
    held: u128,
    at: u64,
}

impl Tokens {
    fn allow(&mut self, now: u64) -> bool {
        let full = u128::from(self.rate.burst) * u128::from(SECOND);
        let came = u128::from(now - self.at) * u128::from(self.rate.per_second);
        self.held = full.min(self.held + came);
        self.at = now;
        let has_one = self.held >= u128::from(SECOND);
        self.held -= if has_one { u128::from(SECOND) } else { 0 };
        has_one
    }
}

proptest! {
    #[test]
    fn a_bucket_does_what_counting_tokens_does(
        per_second in prop::sample::select(vec![1_u32, 10, 1000, 5000, 1_000_000]),
        burst in 1_u32..20, gaps in proptest::collection::vec((0_u64..4, 0_u64..2000), 1..300),
    ) {
        let rate = Rate { per_second, burst };
        let mut bucket = TokenBucket::new(rate);
        let mut tokens = Tokens { rate, held: u128::from(burst) * u128::from(SECOND), at: 0 };
        let unit = SECOND / u64::from(per_second) / 1000;
        let mut now = 0;
        for (scale, gap) in gaps {
            now += gap * unit.max(1) * 10_u64.pow(u32::try_from(scale).unwrap()) / 10;
            prop_assert_eq!(bucket.allow(Nanos(now)), tokens.allow(now), "at {}", now);
        }
    }

    #[test]
    fn no_rate_is_ever_passed(
        per_second in 1_u32..3_000_000, burst in 1_u32..20,
        gaps in proptest::collection::vec(0_u64..1_000_000, 1..300),
    ) {
        let rate = Rate { per_second, burst };
        let mut bucket = TokenBucket::new(rate);
        let (mut now, mut allowed) = (0_u64, 0_u128);
        for gap in gaps {
            now += gap;
            allowed += u128::from(bucket.allow(Nanos(now)));
            let most = u128::from(burst) * u128::from(SECOND)
                + u128::from(now) * u128::from(per_second);
            prop_assert!(allowed * u128::from(SECOND) <= most);
        }
    }
}
