//! `adit show`: what the appliance is doing.

use std::io::{self, Write};

use clap::Args;

use super::{Outcome, Remote, output, refused};
use crate::report::{Kind, Report};

/// The arguments.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// What to show
    kind: Kind,
    /// Only this one: a port, tunnel, worker, prefix, address or counter
    name: Option<String>,
    /// For scripts: everything, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Show {
    /// Prints a table, all about what was asked for by name, or JSON.
    pub(super) fn run(&self) -> Outcome {
        let name = self.name.as_deref();
        let json = match self.remote.client().show(self.kind, name, false) {
            Ok(json) => json,
            Err(error) => return refused(&error),
        };
        if self.json {
            return output::print_with(|out| print_indented(&json, out));
        }
        match Report::from_json(self.kind, &json) {
            Ok(report) if name.is_some() => output::print(report.detail()),
            Ok(report) => output::print(report),
            Err(error) => {
                output::complain(error);
                Outcome::Failed
            }
        }
    }
}

/// JSON with a line for each value, keys in the order in which they came.
fn print_indented(json: &[u8], out: &mut dyn Write) -> io::Result<()> {
    let mut from = serde_json::Deserializer::from_slice(json);
    let mut to = serde_json::Serializer::pretty(&mut *out);
    serde_transcode::transcode(&mut from, &mut to)?;
    writeln!(out)
}
