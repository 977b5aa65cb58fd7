//! `adit replay`: what would this configuration do with these captures?

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Outcome, output};
use crate::config::Warning;
use crate::replay::{self, Input};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The configuration
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// A capture (pcap or pcapng, Ethernet), and the port it arrives on; may be repeated
    #[arg(long = "in", value_name = "PORT=PCAP", value_parser = parse_input)]
    inputs: Vec<Input>,
    /// The folder for PORT.pcap of every port, and counters.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long the clock runs on after the last frame
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    linger: Duration,
    /// Play the start as well: links come up, addresses are announced
    #[arg(long)]
    boot: bool,
}

impl Replay {
    /// Needs no device and no privileges.
    pub(super) fn run(self) -> Outcome {
        let Self { config, inputs, out, linger, boot } = self;
        let replay = replay::Replay { configuration: config, inputs, out, linger, boot };
        let played = match replay.run() {
            Ok(played) => played,
            Err(error) => {
                output::complain(error);
                return Outcome::BadInput;
            }
        };
        for warning in &played.warnings {
            output::complain(Warning(warning));
        }
        if played.oversized > 0 {
            let count = played.oversized;
            output::complain(format_args!(
                "frames too long for any port: left out of {count} bursts"
            ));
        }
        if played.lost_buffers > 0 {
            let count = played.lost_buffers;
            output::complain(format_args!("{count} buffers never came back: a bug of adit"));
            return Outcome::Failed;
        }
        let (received, sent, out) = (played.received, played.sent, replay.out.display());
        output::print(format_args!("{received} frames received, {sent} sent; results in {out}\n"))
    }
}

pub(super) fn parse_input(text: &str) -> Result<Input, String> {
    match text.split_once('=') {
        Some((port, capture)) if !port.is_empty() && !capture.is_empty() => {
            Ok(Input { port: port.to_owned(), capture: capture.into() })
        }
        _ => Err("write PORT=PCAP".to_owned()),
    }
}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_a_port_and_a_file_that_may_contain_equal_signs() {
        let expected = Input { port: "wan".to_owned(), capture: "a=b.pcap".into() };
        assert_eq!(parse_input("wan=a=b.pcap"), Ok(expected));
        for wrong in ["wan", "=a.pcap", "wan=", ""] {
            assert!(parse_input(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_may_have_fractions_but_no_sign() {
        assert_eq!(parse_seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["-1", "soon", "nan", "inf", "1e300"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
