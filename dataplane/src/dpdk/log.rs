//! DPDK's own log, kept instead of printed: a failure's reason is usually there and nowhere else.

use core::ffi::c_char;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use dpdk_sys as sys;

/// How many lines are remembered.
const LINES_MAX: usize = 128;

/// How serious DPDK finds a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Errors and worse.
    Error,
    /// Warnings.
    Warning,
    /// Notices and less.
    Info,
    /// For DPDK's developers; shown only when `eal-args` ask for it.
    Debug,
}

impl LogLevel {
    fn from_raw(level: u32) -> Self {
        match level {
            0..=sys::RTE_LOG_ERR => Self::Error,
            sys::RTE_LOG_WARNING => Self::Warning,
            sys::RTE_LOG_DEBUG.. => Self::Debug,
            _ => Self::Info,
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How serious.
    pub level: LogLevel,
    /// What it says, without a line break.
    pub text: String,
}

static LINES: Mutex<VecDeque<LogLine>> = Mutex::new(VecDeque::new());
static FORWARD: OnceLock<fn(&LogLine)> = OnceLock::new();

/// Hands every further line to `show` as well. Can be set once; later calls change nothing.
/// `show` may be called by any thread, a worker included (drivers complain where they stand).
pub fn forward_log(show: fn(&LogLine)) {
    let _ = FORWARD.set(show);
}

/// The last lines, oldest first.
pub fn recent_log() -> Vec<LogLine> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
}

/// Forgets what was logged so far.
pub(super) fn clear() {
    LINES.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Directs DPDK's log here. Works before the EAL is there, and is called then.
pub(super) fn capture() {
    // SAFETY: `keep` has the signature and never unwinds. Should it fail, DPDK's log stays where
    // it was, which is harmless.
    unsafe { sys::shim_log_to(Some(keep)) };
}

unsafe extern "C" fn keep(level: u32, text: *const c_char, len: usize) {
    if text.is_null() {
        return;
    }
    // SAFETY: the shim passes a buffer and its length, valid during the call.
    let bytes = unsafe { core::slice::from_raw_parts(text.cast::<u8>(), len) };
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = LogLine { level: LogLevel::from_raw(level), text: line.to_owned() };
        if let Some(show) = FORWARD.get() {
            show(&line);
        }
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}
