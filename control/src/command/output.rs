//! Printing, for people and for pipes.

use std::fmt::Display;
use std::io::{self, Write};

use super::Outcome;

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

/// Prints a line on standard error. There is nobody to tell when that fails.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
