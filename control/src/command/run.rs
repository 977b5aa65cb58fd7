//! `adit run`: the appliance, in the foreground.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, output};
use crate::engine::live::{self, RunError};

/// See the command table.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
}

impl Run {
    pub(super) fn run(&self) -> Outcome {
        log_to_stderr();
        match live::run(&self.config) {
            Ok(()) => Outcome::Done,
            Err(error) => {
                output::complain(&error);
                match error {
                    RunError::Configuration(_) | RunError::Compile(_) => Outcome::BadInput,
                    _ => Outcome::Failed,
                }
            }
        }
    }
}

/// What the appliance has to say goes to stderr, from `warn` on unless `RUST_LOG` says otherwise.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second appliance in one process would find the log set up already, and that is fine.
    let _ = log.with_ansi(false).with_target(false).without_time().try_init();
}
