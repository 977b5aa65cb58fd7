//! `adit latency`: percentiles of the time that packets stay in the appliance.

use clap::{Args, ValueEnum};

use super::{Outcome, Remote, output, refused};
use crate::report::{self, Kind, Report};

/// How to print histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line each
    Table,
    /// The percentile distribution that `HdrHistogram`'s plotters read, in nanoseconds
    Hgrm,
}

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Latency {
    /// Only packets of this tunnel, which needs `latency: yes`
    #[arg(long, value_name = "NAME")]
    tunnel: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    remote: Remote,
}

impl Latency {
    /// Prints what was measured since the start, or since the counters were cleared.
    pub(super) fn run(&self) -> Outcome {
        match self.ask() {
            Ok(report) if self.format == Format::Hgrm => output::print(report.hgrm()),
            Ok(report) => output::print(report),
            Err(outcome) => outcome,
        }
    }

    fn ask(&self) -> Result<report::Latency, Outcome> {
        let buckets = self.format == Format::Hgrm;
        let json = self.remote.client().show(Kind::Latency, None, buckets);
        let json = json.map_err(|error| refused(&error))?;
        let mut report = match Report::from_json(Kind::Latency, &json) {
            Ok(Report::Latency(report)) => report,
            Ok(_) => return Err(Outcome::Failed),
            Err(error) => {
                output::complain(error);
                return Err(Outcome::Failed);
            }
        };
        if let Some(tunnel) = &self.tunnel {
            report.latency.retain(|row| row.tunnel.as_ref() == Some(tunnel));
            if report.latency.is_empty() {
                output::complain(format_args!(
                    "latency of tunnel {tunnel}: not measured; set `latency: yes` for it"
                ));
                return Err(Outcome::Failed);
            }
        }
        Ok(report)
    }
}
