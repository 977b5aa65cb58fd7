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

/// Changes that may wait; what comes on top is told to come again.
const WAITING_MAX: usize = 1024;

/// Files that may be read at once.
const LOADING_MAX: usize = 4;

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
    /// Of the first look at it: how long it took to be made is no worker's doing.
    since: Option<Nanos>,
    reply: Reply,
}

impl Transactions {
    /// Asks for a change of one entry.
    pub fn change(&mut self, change: Change, now: Nanos, reply: Reply) {
        if self.waiting.len() >= WAITING_MAX {
            return reply(Err(Problem::busy()));
        }
        self.waiting.push_back(Waiting { what: What::Change(Box::new(change)), since: now, reply });
    }

    /// Asks for a file to be put in force. It is read beside everything else, and the calling thread
    /// is unparked then. What is changed meanwhile, the file changes to what it says.
    pub fn apply(&mut self, path: &Path, purpose: Purpose, reply: Reply) {
        if self.loading.len() >= LOADING_MAX {
            return reply(Err(Problem::busy()));
        }
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
        self.confirm(controller, now);
        let before = controller.generation();
        if !self.waiting.is_empty() {
            self.make_waiting(controller, now);
        }
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
                    self.publish(controller, std::mem::take(&mut made));
                    self.put_file(controller, &path, *loaded, now, reply);
                    return;
                }
            }
        }
        self.publish(controller, made);
    }

    fn publish(&mut self, controller: &mut Controller, made: Vec<(Applied, Reply)>) {
        if made.is_empty() {
            return;
        }
        let generation = controller.publish();
        for (applied, reply) in made {
            let applied = Applied { generation, ..applied };
            self.unconfirmed.push_back(Unconfirmed { applied, since: None, reply });
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
                self.unconfirmed.push_back(Unconfirmed { applied, since: None, reply });
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
        while let Some(first) = self.unconfirmed.front_mut() {
            let generation = first.applied.generation;
            let confirmed = controller.is_confirmed(generation);
            let since = *first.since.get_or_insert(now);
            if !confirmed && now.since(since) < CONFIRM_LIMIT {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc::{Receiver, channel};

    use adit_dataplane::worker::exchange::Shared;
    use serde_json::json;

    use super::*;
    use crate::config::{Subject, Verb, load_str};
    use crate::engine::{ControllerSettings, PortFacts};

    const BASE: &str = "ports: { wan: { addresses: [198.51.100.1/24] } }";

    /// A controller with one worker, which does what the test says.
    struct Bench {
        controller: Controller,
        transactions: Transactions,
        worker: Arc<Shared>,
    }

    impl Bench {
        fn new() -> Self {
            let config = load_str("text", BASE, Purpose::Replay).unwrap().config;
            let facts = config.ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu });
            let facts = facts.collect();
            let settings = ControllerSettings { seed: 1, workers: 1, is_settled: true };
            let controller = Controller::new(config, facts, &settings).unwrap();
            let worker = Arc::clone(&controller.workers()[0]);
            let bench = Self { controller, transactions: Transactions::default(), worker };
            bench.confirm();
            bench
        }

        /// The worker takes what is in force.
        fn confirm(&self) {
            let generation = self.controller.generation();
            self.worker.counters.work.generation.store(generation, Ordering::Release);
        }

        fn put(&mut self, name: &str, second: u64) -> Receiver<Result<Applied, Problem>> {
            let (sender, receiver) = channel();
            let verb =
                Verb::Put(json!({ "mode": "ipip", "remote": format!("203.0.113.{}", name.len()) }));
            let change = Change { subject: Subject::Tunnel(name.to_owned()), verb };
            let reply = move |answer| sender.send(answer).unwrap();
            self.transactions.change(change, at(second), Box::new(reply));
            receiver
        }

        fn turn(&mut self, second: u64) -> bool {
            self.transactions.turn(&mut self.controller, at(second))
        }

        fn has(&self, name: &str) -> bool {
            self.controller.store().tunnel_named(name).is_some()
        }
    }

    const fn at(second: u64) -> Nanos {
        Nanos(second * 1_000_000_000)
    }

    #[test]
    fn changes_that_wait_together_are_one_generation_and_answered_when_the_worker_runs_it() {
        let mut bench = Bench::new();
        let (first, twin) = (bench.put("a", 0), bench.put("b", 0));
        let last = bench.put("cc", 0);
        assert!(bench.turn(0), "published");
        let refused = twin.try_recv().unwrap().unwrap_err();
        assert_eq!(refused.status, 422, "it can't be told from the first: {refused}");
        assert!(first.try_recv().is_err() && last.try_recv().is_err(), "nobody runs them yet");
        assert!(!bench.turn(0) && bench.transactions.is_busy());
        bench.confirm();
        bench.turn(0);
        let generations = [first, last].map(|reply| reply.try_recv().unwrap().unwrap().generation);
        assert_eq!(generations, [2, 2]);
        assert!(bench.has("a") && !bench.has("b") && bench.has("cc"));
        assert!(!bench.transactions.is_busy());
        assert_eq!(bench.transactions.changes_since_file(), 2);
    }

    #[test]
    fn a_worker_that_does_not_follow_is_told_of_and_what_comes_after_is_not_made() {
        let mut bench = Bench::new();
        let held = bench.controller.publication().load();
        let first = bench.put("a", 0);
        bench.turn(0);
        bench.turn(0);
        let second = bench.put("bb", 1);
        bench.turn(4);
        assert!(first.try_recv().is_err() && second.try_recv().is_err());
        bench.turn(5);
        assert_eq!(first.try_recv().unwrap().unwrap_err().title, "not confirmed");
        assert!(second.try_recv().is_err());
        bench.turn(6);
        let stuck = second.try_recv().unwrap().unwrap_err();
        assert!(stuck.to_string().contains("nothing was changed"), "{stuck}");
        assert!(bench.has("a") && !bench.has("bb"));
        drop(held);
        bench.confirm();
        let third = bench.put("ccc", 7);
        bench.turn(7);
        bench.confirm();
        bench.turn(7);
        assert_eq!(third.try_recv().unwrap().unwrap().generation, 3);
    }

    #[test]
    fn more_changes_than_may_wait_are_told_to_come_again() {
        let mut bench = Bench::new();
        let held = bench.controller.publication().load();
        let _made = bench.put("a", 0);
        bench.turn(0);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| bench.put("bb", 0)).collect();
        assert_eq!(bench.put("bb", 0).try_recv().unwrap().unwrap_err().status, 503);
        assert!(waiting.iter().all(|reply| reply.try_recv().is_err()));
        drop(held);
    }
}
