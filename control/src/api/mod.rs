//! The HTTP API on a UNIX socket: JSON, the same words as the commands.
//!
//! Requests are answered by the control thread alone: the server hands each over a bounded channel and
//! waits for the reply, with a limit. It never touches what the engine owns, so a slow client, a full
//! channel or a dead server costs the packet path nothing.

mod client;
mod problem;
mod server;
mod socket;

use std::path::PathBuf;
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use client::{Client, ClientError};
pub use problem::{Flaw, Problem};
pub use server::Server;
pub use socket::SocketError;

use crate::config::{Change, Mistake};
use crate::report::{Kind, Report};

/// Where the API listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/adit/adit.sock";

/// Requests that may wait for the control thread; what comes on top is told to come again.
const CALLS_MAX: usize = 64;

/// How long the control thread may take to answer a question.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long it may take to put a configuration in force: large ones are compiled anew.
const APPLY_LIMIT: Duration = Duration::from_mins(5);

/// What the control thread is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Say something about itself. The report may be of everything: what is not called `name` is
    /// left out afterwards.
    Show {
        /// What about.
        kind: Kind,
        /// Of this one only.
        name: Option<String>,
    },
    /// Read the configuration in this file and its include files, and put it in force.
    Apply {
        /// Absolute.
        path: PathBuf,
    },
    /// Change one tunnel or route.
    Change(Change),
    /// Set counters to zero: all, or those of this port or tunnel.
    ClearCounters {
        /// Of this one only.
        name: Option<String>,
    },
    /// Forget neighbors that were learnt: all, or those of this port or with this address.
    ClearNeighbors {
        /// Of this one only.
        name: Option<String>,
    },
    /// Forget what was learnt about paths: all, or those of this tunnel or with this end.
    ClearPaths {
        /// Of this one only.
        name: Option<String>,
    },
    /// Forget stations that were heard: all, or those of this tunnel.
    ClearStations {
        /// Of this one only.
        name: Option<String>,
    },
}

impl Request {
    const fn limit(&self) -> Duration {
        match self {
            Self::Apply { .. } => APPLY_LIMIT,
            _ => ANSWER_LIMIT,
        }
    }
}

/// What the control thread says when it did as asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Request::Show`].
    Report(Report),
    /// To [`Request::Apply`] and [`Request::Change`].
    Applied(Applied),
    /// To the requests that clear something.
    Cleared(Cleared),
}

/// A configuration is in force on every worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// The generation of tables that every worker runs now.
    pub generation: u64,
    /// What is different from before, a line each; empty: nothing is.
    pub changes: Vec<String>,
    /// What is probably not meant.
    pub warnings: Vec<Flaw>,
    /// Whether the one entry that was asked for was not there before.
    #[serde(skip)]
    pub is_new: bool,
}

impl Applied {
    /// From what the configuration's reader said.
    pub fn new(generation: u64, changes: Vec<String>, warnings: &[Mistake]) -> Self {
        let warnings = warnings.iter().map(Flaw::from).collect();
        Self { generation, changes, warnings, is_new: false }
    }
}

/// How much was cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cleared {
    /// Things: ports and tunnels whose counters were set to zero, neighbors and paths that were
    /// forgotten.
    pub cleared: u64,
}

/// A request on its way to the control thread.
#[derive(Debug)]
pub struct Call {
    request: Request,
    reply: oneshot::Sender<Result<Answer, Problem>>,
}

impl Call {
    /// What is asked.
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// Answers. Who asked may have gone; that is no concern of the control thread.
    pub fn answer(self, answer: Result<Answer, Problem>) {
        let _ = self.reply.send(answer);
    }
}

/// The end of the channel that the server keeps.
#[derive(Debug, Clone)]
pub struct Caller {
    calls: Sender<Call>,
    control: Thread,
}

/// Makes the channel between the server and the control thread, which is the one that calls this: a
/// call unparks it.
pub fn channel() -> (Caller, Receiver<Call>) {
    let (calls, receiver) = bounded(CALLS_MAX);
    (Caller { calls, control: thread::current() }, receiver)
}

impl Caller {
    /// Asks, and waits for the answer.
    async fn call(&self, request: Request) -> Result<Answer, Problem> {
        let limit = request.limit();
        let (reply, answer) = oneshot::channel();
        self.calls
            .try_send(Call { request, reply })
            .map_err(|error| if error.is_full() { Problem::busy() } else { Problem::stopping() })?;
        self.control.unpark();
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Problem::stopping()),
            Err(_) => Err(Problem::late(limit)),
        }
    }
}

#[cfg(test)]
mod tests;
