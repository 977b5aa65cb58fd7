//! Latency: percentiles of the time from receiving a burst to sending it, from histograms.
//!
//! All values are nanoseconds.

use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::hgrm::Hgrm;
use super::table::{Align::Left, Align::Right, Table};
use super::units::nanoseconds;

/// Significant digits of the histograms, where a row does not say it.
const DIGITS: u8 = 3;

/// A way through the appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatencyPath {
    /// From port to port.
    Forward,
    /// From a port into a tunnel.
    Encap,
    /// Out of a tunnel.
    Decap,
}

impl LatencyPath {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Encap => "encap",
            Self::Decap => "decap",
        }
    }
}

/// All histograms that were kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Of all values.
    pub unit: String,
    /// One burst in this many is measured; 0: none.
    pub sample: u32,
    /// Per path over all workers, per path and worker, then per tunnel.
    pub latency: Vec<LatencyRow>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { unit: "ns".to_owned(), sample: 1, latency: Vec::new() }
    }
}

/// One histogram.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyRow {
    /// The path; `None`: all that a tunnel does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<LatencyPath>,
    /// The worker; `None`: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The tunnel; `None`: all packets of the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// How many packets were measured.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The average, rounded.
    pub mean: u64,
    /// Half of the packets took at most this.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    #[serde(rename = "p99.9")]
    pub p99_9: u64,
    /// 99.99 %.
    #[serde(rename = "p99.99")]
    pub p99_99: u64,
    /// The longest.
    pub max: u64,
    /// Significant decimal digits of the histogram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<u8>,
    /// Values and how often each was measured, from the smallest: the histogram itself. Left out
    /// unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<(u64, u64)>,
}

impl LatencyRow {
    fn new(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        let buckets = histogram.iter_recorded();
        let buckets =
            buckets.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of nanoseconds is far below 2^64 and not negative"
        )]
        let mean = histogram.mean().round() as u64;
        Self {
            count: histogram.len(),
            min: if histogram.is_empty() { 0 } else { histogram.min() },
            mean,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max(),
            digits: Some(histogram.sigfig()),
            buckets,
            ..Self::default()
        }
    }

    /// Whether a path, a worker or a tunnel of that name is meant.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.tunnel.as_deref() == Some(name)
            || self.worker.as_deref() == Some(name)
            || self.path.is_some_and(|path| path.word() == name)
    }

    /// What was measured, in words.
    pub fn title(&self) -> String {
        let path = self.path.map_or("", LatencyPath::word);
        match (&self.tunnel, &self.worker) {
            (Some(tunnel), _) => format!("tunnel {tunnel} {path}").trim_end().to_owned(),
            (None, Some(worker)) => format!("{path} {worker}").trim_start().to_owned(),
            (None, None) => path.to_owned(),
        }
    }

    /// The histogram from its buckets, if they were sent.
    pub fn histogram(&self) -> Option<Histogram<u64>> {
        let mut histogram = Histogram::new(self.digits.unwrap_or(DIGITS)).ok()?;
        for &(value, count) in &self.buckets {
            histogram.record_n(value, count).ok()?;
        }
        (histogram.len() == self.count).then_some(histogram)
    }
}

impl Latency {
    /// Begins a report; one burst in `sample` is measured.
    pub fn new(sample: u32) -> Self {
        Self { sample, ..Self::default() }
    }

    /// Adds what a worker measured on a path.
    pub fn add_worker(&mut self, worker: &str, path: LatencyPath, histogram: &Histogram<u64>) {
        let worker = Some(worker.to_owned());
        self.latency.push(LatencyRow { path: Some(path), worker, ..LatencyRow::new(histogram) });
    }

    /// Adds what all workers together measured on a path.
    pub fn add_total(&mut self, path: LatencyPath, histogram: &Histogram<u64>) {
        self.latency.push(LatencyRow { path: Some(path), ..LatencyRow::new(histogram) });
    }

    /// Adds what was measured of a tunnel's packets, in one direction or both.
    pub fn add_tunnel(
        &mut self,
        tunnel: &str,
        path: Option<LatencyPath>,
        histogram: &Histogram<u64>,
    ) {
        let tunnel = Some(tunnel.to_owned());
        self.latency.push(LatencyRow { path, tunnel, ..LatencyRow::new(histogram) });
    }

    /// Leaves out the histograms themselves.
    #[must_use]
    pub fn without_buckets(mut self) -> Self {
        for row in &mut self.latency {
            row.buckets = Vec::new();
        }
        self
    }

    /// Every histogram in the text format of `HdrHistogram`'s tools, which plotters read. Values are
    /// nanoseconds.
    pub fn hgrm(&self) -> String {
        let texts: Vec<String> = self
            .latency
            .iter()
            .filter(|row| row.count > 0)
            .filter_map(|row| {
                Some(format!("#[{}, in ns]\n{}", row.title(), Hgrm(&row.histogram()?)))
            })
            .collect();
        texts.join("\n")
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sample == 0 {
            return writeln!(f, "latency is not measured (dataplane.latency.sample is 0)");
        }
        let mut table = Table::new(&[
            ("path", Left),
            ("of", Left),
            ("packets", Right),
            ("min", Right),
            ("p50", Right),
            ("p90", Right),
            ("p99", Right),
            ("p99.9", Right),
            ("p99.99", Right),
            ("max", Right),
        ]);
        for row in &self.latency {
            let times = [row.min, row.p50, row.p90, row.p99, row.p99_9, row.p99_99, row.max];
            let shown = |time| if row.count == 0 { String::new() } else { nanoseconds(time) };
            let [min, p50, p90, p99, p99_9, p99_99, max] = times.map(shown);
            let path = row.path.map_or("all", LatencyPath::word).to_owned();
            let of = match (&row.tunnel, &row.worker) {
                (Some(tunnel), _) => format!("tunnel {tunnel}"),
                (None, Some(worker)) => worker.clone(),
                (None, None) => "all workers".to_owned(),
            };
            let count = row.count.to_string();
            table.row([path, of, count, min, p50, p90, p99, p99_9, p99_99, max]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
