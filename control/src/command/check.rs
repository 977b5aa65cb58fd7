//! `adit check`: is a configuration right?

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, output};
use crate::config::{self, Purpose, Warning};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration
    file: PathBuf,
}

impl Check {
    /// Prints every mistake on standard error, or on standard output what the file defines.
    pub(super) fn run(&self) -> Outcome {
        let loaded = match config::load(&self.file, Purpose::Check) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                output::complain(mistakes);
                return Outcome::BadInput;
            }
        };
        for warning in &loaded.warnings {
            output::complain(Warning(warning));
        }
        let config = &loaded.config;
        let parts = [
            counted(config.ports.len(), "port"),
            counted(config.tunnels.len(), "tunnel"),
            counted(config.routes.len(), "route"),
        ];
        output::print(format_args!("{}: ok, {}\n", self.file.display(), parts.join(", ")))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
