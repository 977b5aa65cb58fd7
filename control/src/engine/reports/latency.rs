//! Latency as workers have measured it, collected and told.

use std::collections::BTreeMap;

use adit_dataplane::latency::{Histograms, empty_histogram};
use adit_dataplane::packet::Path;
use hdrhistogram::Histogram;

use super::super::Controller;
use super::WorkerFacts;
use crate::report::{self, LatencyPath};

/// Histograms of all workers since the start.
pub(in crate::engine) struct LatencyTotals {
    workers: Vec<[Histogram<u64>; Path::ALL.len()]>,
    pub(super) tunnels: BTreeMap<u16, Histogram<u64>>,
    answered: usize,
}

impl LatencyTotals {
    pub(in crate::engine) fn new(workers: u16) -> Self {
        let empty = || std::array::from_fn(|_| empty_histogram());
        Self {
            workers: std::iter::repeat_with(empty).take(usize::from(workers)).collect(),
            tunnels: BTreeMap::new(),
            answered: 0,
        }
    }

    fn add(&mut self, worker: usize, set: &Histograms) {
        if let Some(totals) = self.workers.get_mut(worker) {
            for (total, path) in totals.iter_mut().zip(Path::ALL) {
                // Same bounds, so the sum always fits.
                let _ = total.add(set.path(path));
            }
        }
        for number in 0..u16::try_from(set.tunnel_count()).unwrap_or(0) {
            if let Some(histogram) = set.tunnel(number).filter(|histogram| !histogram.is_empty()) {
                let total = self.tunnels.entry(number).or_insert_with(empty_histogram);
                let _ = total.add(histogram);
            }
        }
    }
}

impl Controller {
    /// Asks every worker for what it has measured; it answers within its next rounds.
    pub fn ask_latency(&mut self) {
        self.latency.answered = 0;
        for worker in &self.workers {
            worker.latency.ask(self.empty_histograms());
        }
    }

    /// Takes what workers have given. Returns how many have answered since they were asked.
    pub fn collect_latency(&mut self) -> usize {
        for (number, worker) in self.workers.iter().enumerate() {
            while let Some(set) = worker.latency.take() {
                self.latency.add(number, &set);
                self.latency.answered += 1;
            }
        }
        self.latency.answered
    }

    /// What has been measured and collected.
    pub fn latency(&self, facts: &[WorkerFacts]) -> report::Latency {
        let mut latency = report::Latency::new(self.config().dataplane.latency_sample);
        for path in Path::ALL {
            let mut total = empty_histogram();
            for totals in &self.latency.workers {
                let _ = total.add(&totals[path as usize]);
            }
            latency.add_total(latency_path(path), &total);
        }
        for (number, totals) in self.latency.workers.iter().enumerate() {
            let name = facts.get(number).map(|facts| facts.name.as_str()).unwrap_or_default();
            for path in Path::ALL {
                latency.add_worker(name, latency_path(path), &totals[path as usize]);
            }
        }
        for (id, tunnel) in self.store.tunnels().filter(|(_, tunnel)| tunnel.latency) {
            let number = self.compiler.latency_of(id);
            let empty = empty_histogram();
            let histogram = number.and_then(|number| self.latency.tunnels.get(&number));
            latency.add_tunnel(&tunnel.name, None, histogram.unwrap_or(&empty));
        }
        latency
    }
}

const fn latency_path(path: Path) -> LatencyPath {
    match path {
        Path::Forward => LatencyPath::Forward,
        Path::Encap => LatencyPath::Encap,
        Path::Decap => LatencyPath::Decap,
    }
}
