//! `dataplane.spread` in the running appliance: the team of workers, who helps whom, and what is
//! shown of it. The decisions of `auto` are made in [`crate::engine::spread`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_dataplane::clock::Nanos;
use adit_dataplane::worker::exchange::Shared;
use adit_dataplane::worker::spread::{Member, Tally, Team};

use crate::config::{Dataplane, Spread};
use crate::engine::spread::{AutoSpread, LOOK_MS, Sample};
use crate::report::Sharing;

/// Looks between two measurements of how evenly work is shared.
const LOOKS_PER_MEASUREMENT: u32 = 10;

/// See the module. Without a team where there is one worker, or `spread: off`.
pub(super) struct Spreading {
    team: Option<Arc<Team>>,
    mode: Spread,
    auto: AutoSpread,
    started: Nanos,
    next_look: Instant,
    looks: u32,
    /// Packets that each worker had processed at the last measurement.
    processed: Vec<u64>,
    imbalance: Option<f64>,
}

impl Spreading {
    /// For that many workers, on cores with `hertz` cycles per second.
    pub(super) fn new(dataplane: &Dataplane, workers: u16, hertz: u64, now: Nanos) -> Self {
        let team = if dataplane.spread == Spread::Off { None } else { Team::new(workers) };
        let helpers = |team: &Arc<Team>| {
            (0..team.workers()).map(|number| team.helpers_of(number).collect()).collect()
        };
        let lanes = team.as_ref().map(helpers).unwrap_or_default();
        Self {
            team,
            mode: dataplane.spread,
            auto: AutoSpread::new(dataplane.burst, hertz, lanes),
            started: now,
            next_look: Instant::now(),
            looks: 0,
            processed: Vec::new(),
            imbalance: None,
        }
    }

    /// A worker's part in the team.
    pub(super) fn member(&self, number: usize, port_count: usize) -> Option<Member> {
        self.team.as_ref()?.member(number, port_count)
    }

    /// All workers are there.
    pub(super) fn start(&self) {
        if let (Some(team), Spread::On) = (&self.team, self.mode) {
            for number in 0..team.workers() {
                team.set_helpers(number, team.all_helpers());
            }
        }
    }

    /// Looks at how workers fare, if it is time, and changes who helps whom.
    pub(super) fn look(&mut self, now: Nanos, workers: &[Arc<Shared>]) {
        let Some(team) = &self.team else { return };
        if Instant::now() < self.next_look {
            return;
        }
        self.next_look = Instant::now() + Duration::from_millis(LOOK_MS);
        if self.mode == Spread::Auto {
            let numbered = workers.iter().enumerate();
            let samples: Vec<Sample> = numbered
                .filter_map(|(number, worker)| {
                    Some(Sample::read(&worker.counters, team.tally(number)?))
                })
                .collect();
            for decision in self.auto.look(now, &samples) {
                tracing::info!("worker adit-w{}: {}", decision.worker, decision.reason);
                team.set_helpers(decision.worker, decision.helpers);
            }
        }
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_PER_MEASUREMENT) {
            let numbered = workers.iter().enumerate();
            let processed: Vec<u64> = numbered
                .filter_map(|(number, worker)| Some(processed(worker, team.tally(number)?)))
                .collect();
            self.imbalance = imbalance(&self.processed, &processed);
            self.processed = processed;
        }
    }

    /// What the busiest worker processed in the last second, as a multiple of the mean.
    pub(super) fn imbalance(&self) -> Option<f64> {
        self.imbalance
    }

    /// What is shown of a worker.
    pub(super) fn sharing(&self, number: usize, now: Nanos) -> Option<Sharing> {
        let team = self.team.as_ref()?;
        let tally = team.tally(number)?;
        let (state, since) = match self.mode {
            Spread::Auto => {
                let (standing, since) = self.auto.standing(number)?;
                (standing.name(), since.max(self.started))
            }
            _ => ("on", self.started),
        };
        let mask = team.helpers(number);
        let lanes = team.helpers_of(number).zip(0..8).filter(|(_, lane)| mask & 1 << lane != 0);
        Some(Sharing {
            state: state.to_owned(),
            since_seconds: now.since(since).as_secs(),
            helpers: lanes.map(|(helper, _)| format!("adit-w{helper}")).collect(),
            handoffs_out: tally.handed_out.get(),
            handoffs_in: tally.taken_in.get(),
            ring_depth_max: tally.depth_max.get(),
            ring_full: tally.refused.get(),
        })
    }
}

fn processed(worker: &Shared, tally: &Tally) -> u64 {
    let own = worker.counters.balance.received.get() + tally.taken_in.get();
    own.saturating_sub(tally.handed_out.get() + tally.refused.get())
}

/// `None`: nothing was processed, or there is nothing to compare with.
fn imbalance(before: &[u64], after: &[u64]) -> Option<f64> {
    let pairs = after.iter().zip(before);
    let counts: Vec<u64> = pairs.map(|(after, before)| after.saturating_sub(*before)).collect();
    let (sum, most) = (counts.iter().sum::<u64>(), counts.iter().max()?);
    #[expect(clippy::cast_precision_loss, reason = "shown to two digits")]
    let multiple = (most * counts.len() as u64) as f64 / sum as f64;
    (sum > 0).then_some(multiple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imbalance_is_one_when_all_do_the_same_and_the_number_of_workers_when_one_does_all() {
        assert_eq!(imbalance(&[5, 5], &[105, 105]), Some(1.0));
        assert_eq!(imbalance(&[0, 0, 0, 0], &[9, 0, 0, 0]), Some(4.0));
        assert_eq!(imbalance(&[7, 7], &[7, 7]), None);
        assert_eq!(imbalance(&[], &[7, 7]), None);
    }
}
