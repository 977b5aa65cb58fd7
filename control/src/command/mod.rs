//! The command line: what a person types, what is printed, how it ends.
//!
//! Commands that ask a running appliance speak to its API and to nothing else. Commands of later
//! versions are not there, rather than there and empty.

mod apply;
mod change;
mod check;
mod clear;
mod explain;
mod latency;
mod output;
mod replay;
#[cfg(feature = "dpdk")]
mod run;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::api::{Client, ClientError, DEFAULT_SOCKET};

/// How a command ends. The numbers are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// It failed at run time.
    Failed,
    /// The configuration, or what was to be read with it, is wrong. clap ends with it, too.
    BadInput,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::BadInput => 2,
        })
    }
}

/// A tunnel appliance in user space.
#[derive(Debug, Parser)]
#[command(name = "adit", version, arg_required_else_help = true, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance in the foreground
    #[cfg(feature = "dpdk")]
    Run(run::Run),
    /// Check a configuration and print every mistake
    Check(check::Check),
    /// Play captures through the packet path, without devices or privileges
    Replay(replay::Replay),
    /// Say what becomes of the frames of a capture, step by step, and why
    Explain(explain::Explain),
    /// Put a changed configuration in force, without losing a packet
    Apply(apply::Apply),
    /// Change a tunnel while it runs: up, down, set-remote, replace, change, delete
    Tunnel(change::Tunnel),
    /// Change a route while it runs: replace, change, delete
    Route(change::Route),
    /// Show what the appliance is doing
    Show(show::Show),
    /// Show how long packets stay in the appliance
    Latency(latency::Latency),
    /// Set counters to zero, or forget neighbors
    Clear(clear::Clear),
}

/// Which appliance is meant.
#[derive(Debug, Args)]
struct Remote {
    /// The socket of the appliance: `api.socket` of its configuration
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

impl Remote {
    fn client(&self) -> Client {
        Client::new(&self.socket)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        #[cfg(feature = "dpdk")]
        Command::Run(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Apply(command) => command.run(),
        Command::Tunnel(command) => command.run(),
        Command::Route(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Latency(command) => command.run(),
        Command::Clear(command) => command.run(),
    };
    outcome.into()
}

/// Says why the appliance did not do it.
fn refused(error: &ClientError) -> Outcome {
    output::complain(error);
    match error {
        ClientError::Refused(problem) if problem.is_bad_configuration() => Outcome::BadInput,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_client_command_takes_a_socket() {
        let lines: [&[&str]; 6] = [
            &["apply", "f"],
            &["show", "ports"],
            &["latency"],
            &["clear", "counters"],
            &["tunnel", "paris", "set-remote", "203.0.113.2"],
            &["route", "10.0.0.0/8", "replace", "tunnel=paris"],
        ];
        for line in lines {
            let words = [&["adit"][..], line, &["--socket", "/x"]].concat();
            assert!(CommandLine::try_parse_from(words).is_ok(), "{line:?}");
        }
    }
}
