//! Whose turn it is: tests run beside one another, but one that measures time wants the machine for itself.
//!
//! A lock on a file, so that it also holds between test processes.

use std::fs::File;

/// Held while a test runs.
pub(crate) struct Turn {
    _lock: File,
}

/// Runs beside other tests.
pub(crate) fn shared() -> Turn {
    let lock = open();
    lock.lock_shared().expect("a lock on a file in the temporary folder");
    Turn { _lock: lock }
}

/// Runs alone.
pub(crate) fn alone() -> Turn {
    let lock = open();
    lock.lock().expect("a lock on a file in the temporary folder");
    Turn { _lock: lock }
}

fn open() -> File {
    let path = std::env::temp_dir().join("adit-live-tests.lock");
    File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
