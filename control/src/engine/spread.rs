//! The decision behind `spread: auto`: does a worker that receives more than it can process get help
//! from others, and does that help?
//!
//! Knows no worker and no clock: it is shown what workers have counted, and says what to change. A
//! worker gets help when it is the bottleneck (busy all the time, its queue never drains) while
//! another one idles. Then it is measured whether more packets come through than before. If not, the
//! worker is left alone, for twice as long after every failure.

use std::fmt;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::WorkerCounters;
use adit_dataplane::worker::spread::Tally;

/// Between two looks.
pub const LOOK_MS: u64 = 100;

/// A worker is the bottleneck above this share of its time.
const BUSY: f64 = 0.9;
/// Its queue does not drain when bursts are that full on the average.
const FULL: f64 = 0.5;
/// A worker can help below this share of its time.
const IDLE: f64 = 0.5;
/// What helping must bring.
const GAIN: f64 = 1.1;
/// A trial ends early below this share of the rate before.
const LOSS: f64 = 0.9;
/// Help is not needed while one worker would be busy for less than this share of its time.
const EASY: f64 = 0.6;

/// Looks in a row until each of these is believed.
const BOTTLENECK_LOOKS: u32 = 5;
const LOSS_LOOKS: u32 = 2;
const EASY_LOOKS: u32 = 20;
const WORSE_LOOKS: u32 = 10;
/// Looks of a trial that don't count, and those that do.
const SETTLE_LOOKS: u32 = 2;
const TRIAL_LOOKS: u32 = 5;

/// How long a worker is left alone after the first failure, and at most.
const PAUSE_MS: u64 = 10_000;
const PAUSE_MS_MAX: u64 = 300_000;

/// What one worker has counted since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Packets received from ports.
    pub received: u64,
    /// Bursts they came in.
    pub bursts: u64,
    /// Packets lost because a helper's ring was full.
    pub refused: u64,
    /// Cycles spent on packets.
    pub busy_cycles: u64,
    /// Packets processed by the worker that received them while others helped.
    pub kept_packets: u64,
    /// Cycles spent on those.
    pub kept_cycles: u64,
}

impl Sample {
    /// Reads what a worker has counted up to now.
    pub fn read(counters: &WorkerCounters, tally: &Tally) -> Self {
        Self {
            received: counters.balance.received.get(),
            bursts: counters.work.bursts.get(),
            refused: tally.refused.get(),
            busy_cycles: counters.work.busy_cycles.get(),
            kept_packets: tally.kept_packets.get(),
            kept_cycles: tally.kept_cycles.get(),
        }
    }
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The worker does not need help.
    Off,
    /// It has help, and it is being measured what that brings.
    Trying,
    /// It has help.
    On,
    /// Help brought nothing: it is left alone for a while.
    Waiting,
}

impl Standing {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Trying => "trying",
            Self::On => "on",
            Self::Waiting => "waiting",
        }
    }
}

/// Why something changes. Rates are in packets per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// It is the bottleneck.
    Bottleneck {
        /// What it does alone.
        alone: f64,
    },
    /// More packets come through.
    Gain {
        /// What it did alone.
        alone: f64,
        /// What they do together.
        together: f64,
    },
    /// Not more packets, or hardly.
    NoGain {
        /// What it did alone.
        alone: f64,
        /// What they did together.
        together: f64,
    },
    /// One worker would do by now.
    Easy,
    /// Packets have become so cheap that one worker would do more alone.
    Worse {
        /// What it would do alone.
        alone: f64,
        /// What they did together.
        together: f64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = |rate: f64| format!("{:.2} Mpps", rate / 1e6);
        match *self {
            Self::Bottleneck { alone } => {
                write!(f, "its queue does not drain at {}: others help", per_second(alone))
            }
            Self::Gain { alone, together } => {
                write!(
                    f,
                    "helping brings {} instead of {}",
                    per_second(together),
                    per_second(alone)
                )
            }
            Self::NoGain { alone, together } => {
                let (alone, together) = (per_second(alone), per_second(together));
                write!(f, "helping brings {together} instead of {alone}: it works alone again")
            }
            Self::Easy => f.write_str("it can do its work alone again"),
            Self::Worse { alone, together } => {
                let (alone, together) = (per_second(alone), per_second(together));
                write!(f, "{together} with help, {alone} without: it works alone again")
            }
        }
    }
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// The worker that receives.
    pub worker: usize,
    /// Which of its lanes are in use from now on; 0: none.
    pub helpers: u8,
    /// Why.
    pub reason: Reason,
}

/// Decides for all workers.
pub struct AutoSpread {
    burst: f64,
    hertz: f64,
    /// By worker: whom its lanes lead to.
    lanes: Vec<Vec<usize>>,
    watches: Vec<Watch>,
    last: Option<(Nanos, Vec<Sample>)>,
}

/// What is known of one worker.
#[derive(Debug, Clone)]
struct Watch {
    standing: Standing,
    since: Nanos,
    helpers: u8,
    /// Looks since the standing began, and those in a row that spoke for a change.
    looks: u32,
    in_favour: u32,
    worse: u32,
    /// Sum of the rates of those that count.
    sum: f64,
    alone: f64,
    pause_ms: u64,
}

/// What one worker did between two looks.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Packets per second that were received and not refused.
    rate: f64,
    /// Share of its time.
    busy: f64,
    /// Share of a full burst.
    fill: f64,
    /// What one worker would do alone, from what the kept packets cost; 0: not known.
    alone: f64,
    received: f64,
}

impl AutoSpread {
    /// For workers that take `burst` packets at a time, on cores with `hertz` cycles per second;
    /// `lanes` says for each of them whom its lanes lead to.
    pub fn new(burst: u16, hertz: u64, lanes: Vec<Vec<usize>>) -> Self {
        let watch = Watch {
            standing: Standing::Off,
            since: Nanos(0),
            helpers: 0,
            looks: 0,
            in_favour: 0,
            worse: 0,
            sum: 0.0,
            alone: 0.0,
            pause_ms: PAUSE_MS,
        };
        let watches = vec![watch; lanes.len()];
        Self { burst: burst.into(), hertz: number(hertz), lanes, watches, last: None }
    }

    /// How a worker stands, and since when.
    pub fn standing(&self, worker: usize) -> Option<(Standing, Nanos)> {
        self.watches.get(worker).map(|watch| (watch.standing, watch.since))
    }

    /// Looks at what workers have counted, every [`LOOK_MS`] or so, and says what changes.
    pub fn look(&mut self, now: Nanos, samples: &[Sample]) -> Vec<Decision> {
        let last = self.last.replace((now, samples.to_vec()));
        let Some((then, before)) = last else { return Vec::new() };
        let seconds = now.since(then).as_secs_f64();
        if seconds <= 0.0 {
            return Vec::new();
        }
        let pairs = samples.iter().zip(&before);
        let paces: Vec<Pace> =
            pairs.map(|(sample, before)| self.pace(sample, before, seconds)).collect();
        let mut decisions = Vec::new();
        for (worker, pace) in paces.iter().enumerate() {
            let idle = self.idle_helpers(worker, &paces);
            let Some(watch) = self.watches.get_mut(worker) else { break };
            if let Some(reason) = watch.look(now, pace, idle) {
                decisions.push(Decision { worker, helpers: watch.helpers, reason });
            }
        }
        decisions
    }

    fn pace(&self, sample: &Sample, before: &Sample, seconds: f64) -> Pace {
        let since = |read: fn(&Sample) -> u64| number(read(sample).saturating_sub(read(before)));
        let received = since(|s| s.received);
        let kept_cost = since(|s| s.kept_cycles) / since(|s| s.kept_packets).max(1.0);
        Pace {
            rate: (received - since(|s| s.refused)).max(0.0) / seconds,
            busy: since(|s| s.busy_cycles) / (self.hertz * seconds),
            fill: received / (since(|s| s.bursts).max(1.0) * self.burst),
            alone: if kept_cost > 0.0 { self.hertz / kept_cost } else { 0.0 },
            received: received / seconds,
        }
    }

    /// The lanes of a worker that lead to one that has time, and no help of its own.
    fn idle_helpers(&self, worker: usize, paces: &[Pace]) -> u8 {
        let lanes = self.lanes.get(worker).into_iter().flatten().zip(0..8);
        let idle = lanes.filter(|&(&helper, _)| {
            let has_help = self.watches.get(helper).is_some_and(|watch| watch.helpers != 0);
            !has_help && paces.get(helper).is_some_and(|pace| pace.busy < IDLE)
        });
        idle.fold(0, |mask, (_, lane)| mask | 1 << lane)
    }
}

impl Pace {
    fn is_bottleneck(&self) -> bool {
        self.busy > BUSY && self.fill > FULL
    }
}

impl Watch {
    fn look(&mut self, now: Nanos, pace: &Pace, idle: u8) -> Option<Reason> {
        self.looks += 1;
        match self.standing {
            Standing::Off => self.look_alone(now, pace, idle),
            Standing::Waiting => {
                let pause = u128::from(self.pause_ms);
                if now.since(self.since).as_millis() >= pause {
                    self.pause_ms = (self.pause_ms * 2).min(PAUSE_MS_MAX);
                    self.stand(Standing::Off, now);
                }
                None
            }
            Standing::Trying => self.look_at_trial(now, pace),
            Standing::On => self.look_together(now, pace),
        }
    }

    fn stand(&mut self, standing: Standing, now: Nanos) {
        let has_help = matches!(standing, Standing::Trying | Standing::On);
        let helpers = if has_help { self.helpers } else { 0 };
        let (alone, pause_ms) = (self.alone, self.pause_ms);
        *self = Self {
            standing,
            since: now,
            helpers,
            looks: 0,
            in_favour: 0,
            worse: 0,
            sum: 0.0,
            alone,
            pause_ms,
        };
    }

    fn look_alone(&mut self, now: Nanos, pace: &Pace, idle: u8) -> Option<Reason> {
        if !pace.is_bottleneck() || idle == 0 {
            (self.in_favour, self.sum) = (0, 0.0);
            return None;
        }
        self.in_favour += 1;
        self.sum += pace.rate;
        if self.in_favour < BOTTLENECK_LOOKS {
            return None;
        }
        self.alone = self.sum / f64::from(self.in_favour);
        self.helpers = idle;
        self.stand(Standing::Trying, now);
        Some(Reason::Bottleneck { alone: self.alone })
    }

    fn look_at_trial(&mut self, now: Nanos, pace: &Pace) -> Option<Reason> {
        if self.looks <= SETTLE_LOOKS {
            return None;
        }
        self.sum += pace.rate;
        let counted = self.looks - SETTLE_LOOKS;
        let (alone, together) = (self.alone, self.sum / f64::from(counted));
        if counted >= TRIAL_LOOKS && together >= alone * GAIN {
            self.pause_ms = PAUSE_MS;
            self.stand(Standing::On, now);
            return Some(Reason::Gain { alone, together });
        }
        let is_loss = counted >= LOSS_LOOKS && together < alone * LOSS;
        if counted >= TRIAL_LOOKS || is_loss {
            self.stand(Standing::Waiting, now);
            return Some(Reason::NoGain { alone, together });
        }
        None
    }

    fn look_together(&mut self, now: Nanos, pace: &Pace) -> Option<Reason> {
        let is_known = pace.alone > 0.0;
        let is_easy = pace.received == 0.0 || is_known && pace.received < pace.alone * EASY;
        self.in_favour = if is_easy { self.in_favour + 1 } else { 0 };
        if self.in_favour >= EASY_LOOKS {
            self.stand(Standing::Off, now);
            return Some(Reason::Easy);
        }
        let is_worse = is_known && pace.is_bottleneck() && pace.rate < pace.alone;
        (self.worse, self.sum) =
            if is_worse { (self.worse + 1, self.sum + pace.rate) } else { (0, 0.0) };
        if self.worse >= WORSE_LOOKS {
            let together = self.sum / f64::from(self.worse);
            self.stand(Standing::Waiting, now);
            return Some(Reason::Worse { alone: pace.alone, together });
        }
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates are told to a few digits")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[path = "spread_tests.rs"]
mod tests;
