//! `adit explain`: what becomes of these frames under this configuration, and why?

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::replay::{parse_input, parse_seconds};
use super::{Outcome, output};
use crate::config::Warning;
use crate::explain;
use crate::replay::Input;

/// Shown below the options.
const EXAMPLE: &str = "\
Example:
  adit explain -c adit.yaml --in lan=ping.pcap
  adit explain -c adit.yaml --in wan=day.pcapng --frame 4711 --json

The steps are those of the packet path itself, which runs as in `adit replay` and notes what it decides. \
Frames that are explained take its plain way alone, not the fast one of most packets, which has no rules \
of its own.";

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Explain {
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// A capture (pcap or pcapng, Ethernet), and the port it arrives on; may be repeated
    #[arg(long = "in", value_name = "PORT=PCAP", value_parser = parse_input)]
    inputs: Vec<Input>,
    /// Tell of this frame alone; the others are played as well. From 1, in the order of arrival
    #[arg(long, value_name = "NUMBER")]
    frame: Option<usize>,
    /// How long the clock runs on after the last frame: for what waits
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    linger: Duration,
    /// Play the start as well: links come up, addresses are announced
    #[arg(long)]
    boot: bool,
    /// The same as JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Needs no device and no privileges.
    pub(super) fn run(self) -> Outcome {
        let Self { config, inputs, frame, linger, boot, json } = self;
        let explain = explain::Explain { configuration: config, inputs, linger, boot, frame };
        let explained = match explain.run() {
            Ok(explained) => explained,
            Err(error) => {
                output::complain(error);
                return Outcome::BadInput;
            }
        };
        for warning in &explained.warnings {
            output::complain(Warning(warning));
        }
        if json {
            output::print(format_args!("{:#}\n", explained.explanation.to_json()))
        } else {
            output::print(&explained.explanation)
        }
    }
}
