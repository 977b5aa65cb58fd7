//! Printing, for people and for pipes.

use std::fmt::Display;
use std::io::{self, Write};

use super::Outcome;
use crate::api::Applied;

/// Prints on standard output. A reader that has seen enough is no failure.
pub(super) fn print(text: impl Display) -> Outcome {
    print_with(|out| write!(out, "{text}"))
}

/// The same for what writes itself.
pub(super) fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(format_args!("standard output: {error}"));
            Outcome::Failed
        }
        _ => Outcome::Done,
    }
}

/// Says what a change came to.
pub(super) fn applied(applied: &Applied) -> Outcome {
    for warning in &applied.warnings {
        complain(warning.line("warning"));
    }
    let changes: Vec<String> =
        applied.changes.iter().map(|change| format!("  {change}\n")).collect();
    let what = if changes.is_empty() { "nothing changed" } else { "in force" };
    print(format_args!("{what}, generation {}\n{}", applied.generation, changes.concat()))
}

/// Prints a line on standard error. There is nobody to tell when that fails.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
