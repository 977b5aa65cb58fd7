//! Changes on their way: asked for, made together with others that wait, published once for all of them,
//! and answered when every worker runs them. Nothing here waits: the control thread comes by in
//! each of its turns.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adit_dataplane::clock::Nanos;

use super::Controller;
use crate::api::{Applied, Problem};
use crate::config::{self, Change, Loaded, LoadedFile, Mistakes, Purpose, Refused};

/// How long workers may take to run new tables, and to let go of the old ones.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

/// Changes that are made together: a bound on how long one turn takes.
const TOGETHER_MAX: usize = 64;

/// Where the answer to a change goes.
pub type Reply = Box<dyn FnOnce(Result<Applied, Problem>) + Send>;

/// See the module.
#[derive(Default)]
pub struct Transactions {
    /// Files that are being read, each by a thread of its own.
    loading: Vec<Loading>,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    /// In the order of their generations.
    unconfirmed: VecDeque<Unconfirmed>,
    /// What became of files since the last look.
    applied: Option<AppliedFile>,
    /// Changes made since the last file.
    changes_since: u64,
}

/// A file that was put in force, and those that it included, as they were then.
#[derive(Debug)]
pub struct AppliedFile {
    /// Its path.
    pub path: PathBuf,
    /// It and what it included.
    pub files: Vec<LoadedFile>,
    /// The generation that has it.
    pub generation: u64,
}

struct Loading {
    path: PathBuf,
    thread: JoinHandle<Result<Loaded, Mistakes>>,
    reply: Reply,
}

struct Waiting {
    what: What,
    since: Nanos,
    reply: Reply,
}

enum What {
    Change(Box<Change>),
    File(PathBuf, Box<Loaded>),
}

struct Unconfirmed {
    applied: Applied,
    published: Nanos,
    reply: Reply,
}

impl Transactions {
    /// Asks for a change of one entry.
    pub fn change(&mut self, change: Change, now: Nanos, reply: Reply) {
        self.waiting.push_back(Waiting { what: What::Change(Box::new(change)), since: now, reply });
    }

    /// Asks for a file to be put in force. It is read beside everything else, and the calling thread
    /// is unparked then. What is changed meanwhile, the file changes to what it says.
    pub fn apply(&mut self, path: &Path, purpose: Purpose, reply: Reply) {
        let (file, caller) = (path.to_owned(), thread::current());
        let load = move || {
            let loaded = config::load(&file, purpose);
            caller.unpark();
            loaded
        };
        match thread::Builder::new().name("adit-load".to_owned()).spawn(load) {
            Ok(thread) => self.loading.push(Loading { path: path.to_owned(), thread, reply }),
            Err(error) => {
                reply(Err(Problem::new(503, "no thread to read the file", error.to_string())));
            }
        }
    }

    /// Whether something is on its way that a worker or a thread may finish at any moment.
    pub fn is_busy(&self) -> bool {
        !(self.loading.is_empty() && self.waiting.is_empty() && self.unconfirmed.is_empty())
    }

    /// The file that was put in force since the last call.
    pub fn take_applied(&mut self) -> Option<AppliedFile> {
        self.applied.take()
    }

    /// Changes of single entries since the last file.
    pub fn changes_since_file(&self) -> u64 {
        self.changes_since
    }

    /// One turn: makes and publishes what can be, and answers what every worker runs. Returns whether
    /// something was published.
    pub fn turn(&mut self, controller: &mut Controller, now: Nanos) -> bool {
        self.take_loaded(now);
        let before = controller.generation();
        if !self.waiting.is_empty() {
            self.make_waiting(controller, now);
        }
        self.confirm(controller, now);
        controller.generation() != before
    }

    fn take_loaded(&mut self, now: Nanos) {
        let finished = |loading: &mut Loading| loading.thread.is_finished();
        for Loading { path, thread, reply } in self.loading.extract_if(.., finished) {
            match thread.join() {
                Ok(Ok(loaded)) => {
                    let what = What::File(path, Box::new(loaded));
                    self.waiting.push_back(Waiting { what, since: now, reply });
                }
                Ok(Err(mistakes)) => reply(Err(Problem::bad_configuration(&mistakes))),
                Err(_) => {
                    let detail = format!("{} could not be read: this is a bug", path.display());
                    reply(Err(Problem::new(500, "the reader failed", detail)));
                }
            }
        }
    }

    fn make_waiting(&mut self, controller: &mut Controller, now: Nanos) {
        if !controller.can_change() {
            self.give_up(controller, now);
            return;
        }
        let mut made = Vec::new();
        for _ in 0..TOGETHER_MAX {
            let Some(Waiting { what, reply, .. }) = self.waiting.pop_front() else { break };
            match what {
                What::Change(change) => match stage(controller, &change, now) {
                    Ok(applied) => {
                        self.changes_since += u64::from(!applied.changes.is_empty());
                        made.push((applied, reply));
                    }
                    Err(problem) => reply(Err(problem)),
                },
                What::File(path, loaded) => {
                    // What was staged before it has a generation of its own.
                    self.publish(controller, now, std::mem::take(&mut made));
                    self.put_file(controller, &path, *loaded, now, reply);
                    return;
                }
            }
        }
        self.publish(controller, now, made);
    }

    fn publish(&mut self, controller: &mut Controller, now: Nanos, made: Vec<(Applied, Reply)>) {
        if made.is_empty() {
            return;
        }
        let generation = controller.publish();
        for (applied, reply) in made {
            let applied = Applied { generation, ..applied };
            self.unconfirmed.push_back(Unconfirmed { applied, published: now, reply });
        }
    }

    fn put_file(
        &mut self,
        controller: &mut Controller,
        path: &Path,
        mut loaded: Loaded,
        now: Nanos,
        reply: Reply,
    ) {
        let files = std::mem::take(&mut loaded.files);
        match apply(controller, loaded, now) {
            Ok(applied) => {
                let generation = applied.generation;
                self.applied = Some(AppliedFile { path: path.to_owned(), files, generation });
                self.changes_since = 0;
                self.unconfirmed.push_back(Unconfirmed { applied, published: now, reply });
            }
            Err(problem) => reply(Err(problem)),
        }
    }

    /// A worker has not let go of the tables for long. A file can be put in force all the same.
    fn give_up(&mut self, controller: &mut Controller, now: Nanos) {
        while self.waiting.front().is_some_and(|first| now.since(first.since) >= CONFIRM_LIMIT) {
            let Some(Waiting { what, reply, .. }) = self.waiting.pop_front() else { return };
            match what {
                What::Change(_) => reply(Err(Problem::worker_stuck(CONFIRM_LIMIT))),
                What::File(path, loaded) => self.put_file(controller, &path, *loaded, now, reply),
            }
        }
    }

    fn confirm(&mut self, controller: &Controller, now: Nanos) {
        while let Some(first) = self.unconfirmed.front() {
            let generation = first.applied.generation;
            let confirmed = controller.is_confirmed(generation);
            if !confirmed && now.since(first.published) < CONFIRM_LIMIT {
                return;
            }
            let Some(Unconfirmed { applied, reply, .. }) = self.unconfirmed.pop_front() else {
                return;
            };
            reply(if confirmed {
                Ok(applied)
            } else {
                Err(Problem::not_confirmed(generation, CONFIRM_LIMIT))
            });
        }
    }
}

/// Makes a change on the copy of the tables that nobody reads.
fn stage(controller: &mut Controller, change: &Change, now: Nanos) -> Result<Applied, Problem> {
    let proposal =
        config::propose(controller.store(), change).map_err(|refused| match refused {
            Refused::Missing(_) => Problem::new(404, "nothing has this name", refused.to_string()),
            Refused::Conflict(what) => Problem::new(409, "the request does not fit", what),
            Refused::Mistakes(mistakes) => Problem::bad_configuration(&mistakes),
        })?;
    if !proposal.edits.is_empty() {
        controller.stage(proposal.edits, now).map_err(|error| Problem::too_much(&error))?;
    }
    let changes = proposal.differences.iter().map(ToString::to_string).collect();
    let applied = Applied::new(0, changes, &proposal.warnings);
    Ok(Applied { is_new: proposal.is_new, ..applied })
}

/// Puts a configuration in force, as a whole or not at all.
fn apply(controller: &mut Controller, loaded: Loaded, now: Nanos) -> Result<Applied, Problem> {
    let restarts = config::needs_restart(controller.config(), &loaded.config);
    if !restarts.is_empty() {
        let what: Vec<String> = restarts.iter().map(ToString::to_string).collect();
        return Err(Problem::needs_restart(&what));
    }
    let changes = config::diff_from(controller.store(), &loaded.config);
    let generation =
        controller.apply(loaded.config, now).map_err(|error| Problem::too_much(&error))?;
    Ok(Applied::new(generation, changes, &loaded.warnings))
}
