//! How long packets stay in the appliance: from the burst they are received with to the burst they
//! are sent with, in histograms of nanoseconds (`hdrhistogram`, Gil Tene).
//!
//! A worker records a value once per burst, path and tunnel, with the number of packets it stands
//! for. It owns the set it writes; the control thread gives it an empty one and takes the full one
//! away, so nothing is locked and nothing is allocated on the worker.

use crossbeam::queue::ArrayQueue;
use hdrhistogram::Histogram;

use crate::packet::Path;

/// The longest time that is told apart: ten seconds. Longer ones count as that.
pub const NANOS_MAX: u64 = 10_000_000_000;

/// The most tunnels that can have a histogram of their own.
pub const MEASURED_TUNNELS_MAX: u16 = 1024;

/// Histograms of one worker.
pub struct Histograms {
    paths: [Histogram<u64>; Path::ALL.len()],
    tunnels: Vec<Histogram<u64>>,
}

/// An empty histogram with three significant digits.
///
/// # Panics
/// Never: the bounds are constants that fit.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, NANOS_MAX, 3).expect("a histogram, because the bounds are right")
}

impl Histograms {
    /// Empty ones, for all paths and `tunnel_count` tunnels.
    pub fn new(tunnel_count: u16) -> Self {
        let tunnels = (0..tunnel_count.min(MEASURED_TUNNELS_MAX)).map(|_| empty_histogram());
        Self { paths: core::array::from_fn(|_| empty_histogram()), tunnels: tunnels.collect() }
    }

    /// Records that `packets` packets took `nanos`.
    #[inline]
    pub fn record(&mut self, path: Path, nanos: u64, packets: u64) {
        if let Some(histogram) = self.paths.get_mut(path as usize) {
            histogram.saturating_record_n(nanos, packets);
        }
    }

    /// The same for a tunnel with a histogram of its own.
    #[inline]
    pub fn record_tunnel(&mut self, number: u16, nanos: u64, packets: u64) {
        if let Some(histogram) = self.tunnels.get_mut(usize::from(number)) {
            histogram.saturating_record_n(nanos, packets);
        }
    }

    /// Of a path.
    pub fn path(&self, path: Path) -> &Histogram<u64> {
        &self.paths[path as usize]
    }

    /// Of a tunnel.
    pub fn tunnel(&self, number: u16) -> Option<&Histogram<u64>> {
        self.tunnels.get(usize::from(number))
    }

    /// How many tunnels have one.
    pub fn tunnel_count(&self) -> usize {
        self.tunnels.len()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        for histogram in self.paths.iter_mut().chain(&mut self.tunnels) {
            histogram.reset();
        }
    }
}

/// Where full and empty sets change hands.
pub struct Exchange {
    empty: ArrayQueue<Box<Histograms>>,
    full: ArrayQueue<Box<Histograms>>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchange {
    /// Nothing under way.
    pub fn new() -> Self {
        Self { empty: ArrayQueue::new(1), full: ArrayQueue::new(2) }
    }

    /// Control: asks for the worker's set by giving it an empty one. False: it has been asked.
    pub fn ask(&self, empty: Box<Histograms>) -> bool {
        self.empty.push(empty).is_ok()
    }

    /// Control: takes what the worker has given.
    pub fn take(&self) -> Option<Box<Histograms>> {
        self.full.pop()
    }

    /// Worker: changes its set for the empty one, if it was asked.
    #[inline]
    pub fn serve(&self, active: &mut Box<Histograms>) {
        if self.empty.is_empty() || self.full.is_full() {
            return;
        }
        if let Some(empty) = self.empty.pop() {
            let full = core::mem::replace(active, empty);
            // There is room: only this thread pushes. Should there be none, the set would be freed
            // here, and one interval's values lost.
            let _ = self.full.push(full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_worker_recorded_is_taken_and_it_goes_on_with_an_empty_set() {
        let exchange = Exchange::new();
        let mut active = Box::new(Histograms::new(1));
        active.record(Path::Encap, 1500, 32);
        active.record_tunnel(0, 1500, 30);
        active.record_tunnel(9, 1500, 30);
        exchange.serve(&mut active);
        assert!(exchange.take().is_none());
        assert!(exchange.ask(Box::new(Histograms::new(1))));
        exchange.serve(&mut active);
        let full = exchange.take().unwrap();
        assert_eq!(full.path(Path::Encap).len(), 32);
        assert_eq!(full.tunnel(0).unwrap().len(), 30);
        assert_eq!(active.path(Path::Encap).len(), 0);
        active.record(Path::Forward, u64::MAX, 1);
        assert_eq!(active.path(Path::Forward).len(), 1);
    }
}
