//! A worker with a queue that is too much for it, another one that idles, and the decisions about
//! them, look by look.

use super::*;

const HERTZ: u64 = 2_000_000_000;
const BURST: u16 = 32;

/// Two workers on virtual time; the first one receives.
struct Bench {
    auto: AutoSpread,
    now: Nanos,
    samples: [Sample; 2],
    /// Packets per second that arrive.
    offered: f64,
    /// What the first worker does alone, and what both do.
    alone: f64,
    together: f64,
    /// The share of its time that the second one needs for something else.
    other_busy: f64,
    seen: f64,
}

impl Bench {
    fn new(offered: f64, alone: f64, together: f64) -> Self {
        let auto = AutoSpread::new(BURST, HERTZ, vec![vec![1], vec![0]]);
        let samples = [Sample::default(); 2];
        let now = Nanos::from_secs(1);
        Self { auto, now, samples, offered, alone, together, other_busy: 0.0, seen: 0.0 }
    }

    fn helpers(&self) -> u8 {
        self.auto.watches[0].helpers
    }

    fn standing(&self) -> &'static str {
        self.auto.standing(0).unwrap().0.name()
    }

    /// Lets time pass up to the next look. Returns what it decides.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "whole counts"
    )]
    fn look(&mut self) -> Vec<Decision> {
        let seconds = 0.1;
        let has_help = self.helpers() != 0;
        let able = if has_help { self.together } else { self.alone };
        let done = self.offered.min(able) * seconds;
        self.seen += done;
        let busy = (self.offered / able).min(1.0);
        let cycles = |share: f64| (share * seconds * HERTZ as f64) as u64;
        let fill = if self.offered >= able { 32.0 } else { 4.0 };
        let [first, second] = &mut self.samples;
        first.received += done as u64;
        first.bursts += (done / fill) as u64;
        first.busy_cycles += cycles(busy);
        second.busy_cycles += cycles(self.other_busy);
        if has_help {
            first.kept_packets += (done / 2.0) as u64;
            first.kept_cycles += (done / 2.0 * HERTZ as f64 / self.alone) as u64;
            second.busy_cycles += cycles(busy);
        }
        self.now = self.now + core::time::Duration::from_millis(LOOK_MS);
        self.auto.look(self.now, &self.samples)
    }

    /// Looks that often; what was decided, by look.
    fn looks(&mut self, count: usize) -> Vec<(usize, Decision)> {
        let mut all = Vec::new();
        for at in 0..count {
            all.extend(self.look().into_iter().map(|decision| (at, decision)));
        }
        all
    }
}

#[test]
fn a_worker_that_can_do_its_work_is_left_alone() {
    let mut bench = Bench::new(0.9e6, 1e6, 2e6);
    assert_eq!(bench.looks(1000), []);
    assert_eq!(bench.standing(), "off");
}

#[test]
fn a_bottleneck_gets_help_and_keeps_it_when_more_comes_through() {
    let mut bench = Bench::new(5e6, 1e6, 1.7e6);
    let decisions = bench.looks(1000);
    let [(first, began), (second, kept)] = decisions[..] else { panic!("{decisions:?}") };
    assert!(matches!(began.reason, Reason::Bottleneck { .. }) && first < 10);
    assert!(matches!(kept.reason, Reason::Gain { .. }) && second < first + 10);
    assert_eq!((began.helpers, kept.helpers), (1, 1));
    assert_eq!(bench.standing(), "on");
    let text = kept.reason.to_string();
    assert_eq!(text, "helping brings 1.70 Mpps instead of 1.00 Mpps");
}

#[test]
fn help_that_brings_nothing_ends_within_a_second_and_is_tried_ever_more_rarely() {
    let mut bench = Bench::new(5e6, 1e6, 1.05e6);
    let decisions = bench.looks(2000);
    let tries: Vec<usize> = decisions.iter().filter(|(_, d)| d.helpers != 0).map(|d| d.0).collect();
    let ends: Vec<usize> = decisions.iter().filter(|(_, d)| d.helpers == 0).map(|d| d.0).collect();
    assert!(tries.iter().zip(&ends).all(|(began, ended)| ended - began < 10), "{decisions:?}");
    let pauses: Vec<usize> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] >= 100 && pauses.windows(2).all(|p| p[1] > p[0] * 3 / 2), "{pauses:?}");
    assert_eq!(bench.standing(), "waiting");
}

#[test]
fn what_comes_through_is_hardly_ever_less_than_one_worker_does() {
    for together in [0.5e6, 0.8e6, 1e6] {
        let mut bench = Bench::new(5e6, 1e6, together);
        bench.looks(3000);
        let rate = bench.seen / 300.0;
        assert!(rate > 0.99e6, "{rate} of 1e6");
    }
}

#[test]
fn nobody_is_asked_who_has_no_time() {
    let mut bench = Bench::new(5e6, 1e6, 1.7e6);
    bench.other_busy = 0.6;
    assert_eq!(bench.looks(200), []);
    bench.other_busy = 0.1;
    assert_eq!(bench.looks(20).len(), 2);
}

#[test]
fn help_ends_when_one_worker_would_do_and_not_at_the_first_lull() {
    let mut bench = Bench::new(5e6, 1e6, 1.7e6);
    bench.looks(30);
    assert_eq!(bench.standing(), "on");
    bench.offered = 0.1e6;
    assert_eq!(bench.looks(15), []);
    bench.offered = 1.2e6;
    assert_eq!(bench.looks(100), [], "more than one worker does");
    bench.offered = 0.7e6;
    assert_eq!(bench.looks(100), [], "near to what one worker does");
    bench.offered = 0.0;
    let decisions = bench.looks(100);
    assert!(matches!(decisions[..], [(_, Decision { helpers: 0, reason: Reason::Easy, .. })]));
    bench.offered = 5e6;
    assert_eq!(bench.looks(30).len(), 2, "and comes back when it is needed");
}

#[test]
fn help_ends_when_packets_become_so_cheap_that_it_hinders() {
    let mut bench = Bench::new(50e6, 1e6, 1.7e6);
    bench.looks(30);
    (bench.alone, bench.together) = (10e6, 8e6);
    let decisions = bench.looks(20);
    assert!(
        matches!(decisions[..], [(_, Decision { helpers: 0, reason: Reason::Worse { .. }, .. })]),
        "{decisions:?}"
    );
}
