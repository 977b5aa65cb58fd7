//! `adit apply`: put a changed configuration in force.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Remote, output, refused};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The configuration; the appliance reads it, and its include files
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Apply {
    /// Returns when every worker runs the new tables, or nothing was changed.
    pub(super) fn run(&self) -> Outcome {
        let path = match std::path::absolute(&self.file) {
            Ok(path) => path,
            Err(error) => {
                output::complain(format_args!("{}: {error}", self.file.display()));
                return Outcome::BadInput;
            }
        };
        match self.remote.client().apply(&path) {
            Ok(applied) => output::applied(&applied),
            Err(error) => refused(&error),
        }
    }
}
