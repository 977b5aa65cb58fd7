//! The percentile text format of the tools around `HdrHistogram`, which plotters read.

use std::fmt;

use hdrhistogram::Histogram;

/// Percentile steps per halving of the distance to 100 %, as those tools print by default.
const STEPS_PER_HALVING: u32 = 5;

/// A histogram of nanoseconds in that format.
pub(super) struct Hgrm<'a>(pub(super) &'a Histogram<u64>);

impl fmt::Display for Hgrm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let histogram = self.0;
        let headings = ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"];
        let [value, percentile, total, inverse] = headings;
        writeln!(f, "{value:>12} {percentile:>14} {total:>10} {inverse:>14}\n")?;
        let mut total = 0;
        for step in histogram.iter_quantiles(STEPS_PER_HALVING) {
            total += step.count_since_last_iteration();
            let (value, quantile) = (step.value_iterated_to(), step.quantile_iterated_to());
            write!(f, "{value:>8}.000 {quantile:>14.12} {total:>10}")?;
            if quantile < 1.0 {
                write!(f, " {:>14.2}", 1.0 / (1.0 - quantile))?;
            }
            writeln!(f)?;
        }
        let (mean, deviation) = (histogram.mean(), histogram.stdev());
        let (max, count, buckets) = (histogram.max(), histogram.len(), histogram.buckets());
        let sub_buckets = (2 * 10_u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
        writeln!(f, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
        writeln!(f, "#[Max     = {max:>8}.000, Total count    = {count:>12}]")?;
        writeln!(f, "#[Buckets = {buckets:>12}, SubBuckets     = {sub_buckets:>12}]")
    }
}
