//! `adit clear`: begin to count anew, or forget what was learnt.

use clap::{Args, ValueEnum};

use super::{Outcome, Remote, output, refused};

/// What can be cleared.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Set counters to zero: all, or those of a port or tunnel
    Counters,
    /// Forget neighbors that were learnt: all, or those of a port or with an address
    Neighbors,
    /// Forget what was learnt about paths: all, or those of a tunnel or with an end of an address
    Pmtu,
    /// Forget stations that were heard: all, or those of a tunnel
    Fdb,
}

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Clear {
    /// What to clear
    what: What,
    /// Only of this one
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Clear {
    /// Says how much there was to clear.
    pub(super) fn run(&self) -> Outcome {
        let (word, done) = match self.what {
            What::Counters => ("counters", "sets of counters set to zero"),
            What::Neighbors => ("neighbors", "neighbors forgotten"),
            What::Pmtu => ("pmtu", "paths forgotten"),
            What::Fdb => ("fdb", "stations forgotten"),
        };
        match self.remote.client().clear(word, self.name.as_deref()) {
            Ok(cleared) => output::print(format_args!("{done}: {}\n", cleared.cleared)),
            Err(error) => refused(&error),
        }
    }
}
