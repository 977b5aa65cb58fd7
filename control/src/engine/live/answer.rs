//! What the control thread answers to the API: reports, and changes of what runs.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::Live;
use crate::api::{Answer, Applied, Call, Cleared, Problem, Request};
use crate::config::{self, LoadedFile, Purpose};
use crate::engine::{PoolFacts, WorkerFacts};
use crate::neighbor::Filter;
use crate::report::config::SourceFile;
use crate::report::{ConfigReport, Kind, Report};

/// How long workers may take to run new tables.
const CONFIRM_LIMIT: Duration = Duration::from_secs(5);

/// How long workers may take to give their histograms.
const LATENCY_LIMIT: Duration = Duration::from_millis(200);

/// Between two looks at whether workers have done something.
const LOOK: Duration = Duration::from_micros(100);

/// The file that was put in force last and those that it included, as they were then.
pub(super) struct AppliedFile {
    path: PathBuf,
    files: Vec<LoadedFile>,
    generation: u64,
}

impl AppliedFile {
    pub(super) fn new(path: &Path, files: Vec<LoadedFile>, generation: u64) -> Self {
        Self { path: path.to_owned(), files, generation }
    }
}

impl Live {
    /// Does what is asked, and says what came of it.
    pub(super) fn answer(&mut self, call: Call) {
        let answer = match call.request().clone() {
            Request::Show { kind, .. } => self.report(kind).map(Answer::Report),
            Request::Apply { path } => self.apply(&path).map(Answer::Applied),
            Request::ClearCounters { name } => self.clear_counters(name.as_deref()),
            Request::ClearNeighbors { name } => self.clear_neighbors(name.as_deref()),
        };
        call.answer(answer);
    }

    fn report(&mut self, kind: Kind) -> Result<Report, Problem> {
        let now = self.clock.now();
        Ok(match kind {
            Kind::Ports => Report::Ports(self.controller.ports(&self.port_states())),
            Kind::Tunnels => Report::Tunnels(self.controller.tunnels()),
            Kind::Routes => Report::Routes(self.controller.routes()),
            Kind::Neighbors => Report::Neighbors(self.controller.neighbors(now)),
            Kind::Counters => Report::Counters(self.controller.counters()),
            Kind::Drops => Report::Drops(self.controller.drops()),
            Kind::Latency => Report::Latency(self.measure_latency()),
            Kind::Config => Report::Config(self.config_report()),
            Kind::Workers => {
                let pool = self.rim.pool();
                let pool = PoolFacts { free: pool.free_count() as u64, total: pool.total() as u64 };
                let mut workers = self.controller.worker_report(&self.worker_facts(), &pool);
                workers.imbalance = self.spreading.imbalance();
                Report::Workers(workers)
            }
            Kind::Paths | Kind::Reassembly | Kind::Events => {
                return Err(Problem::unsupported(kind.word()));
            }
        })
    }

    fn worker_facts(&self) -> Vec<WorkerFacts> {
        let now = self.clock.now();
        let numbered = self.workers.iter().enumerate();
        let facts = numbered.map(|(number, worker)| {
            let sharing = self.spreading.sharing(number, now);
            WorkerFacts { sharing, ..worker.facts() }
        });
        facts.collect()
    }

    /// Collects what workers have measured up to now.
    fn measure_latency(&mut self) -> crate::report::Latency {
        self.controller.ask_latency();
        let deadline = Instant::now() + LATENCY_LIMIT;
        while self.controller.collect_latency() < self.workers.len() && Instant::now() < deadline {
            self.controller.turn(self.clock.now());
            thread::sleep(LOOK);
        }
        self.controller.latency(&self.worker_facts())
    }

    /// Puts a file in force, as a whole or not at all.
    pub(super) fn apply(&mut self, path: &Path) -> Result<Applied, Problem> {
        let loaded = config::load(path, Purpose::Run)
            .map_err(|mistakes| Problem::bad_configuration(&mistakes))?;
        let old = self.controller.config();
        let restarts = config::needs_restart(old, &loaded.config);
        if !restarts.is_empty() {
            let what: Vec<String> = restarts.iter().map(ToString::to_string).collect();
            return Err(Problem::needs_restart(&what));
        }
        let changes = config::diff_from(self.controller.store(), &loaded.config);
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let now = self.clock.now();
        let generation = self.controller.apply(loaded.config, now).map_err(|error| {
            Problem::new(422, "the configuration does not fit", error.to_string())
        })?;
        self.applied = AppliedFile::new(path, loaded.files, generation);
        self.wait_for(generation)?;
        Ok(Applied::new(generation, changes, &loaded.warnings))
    }

    /// Waits until every worker runs a generation.
    fn wait_for(&mut self, generation: u64) -> Result<(), Problem> {
        let deadline = Instant::now() + CONFIRM_LIMIT;
        while !self.controller.is_confirmed(generation) {
            if Instant::now() >= deadline {
                let detail = format!(
                    "generation {generation} is in force, but a worker has not confirmed it within {} s",
                    CONFIRM_LIMIT.as_secs()
                );
                return Err(Problem::new(504, "not confirmed", detail));
            }
            self.controller.turn(self.clock.now());
            thread::sleep(LOOK);
        }
        Ok(())
    }

    fn clear_counters(&mut self, name: Option<&str>) -> Result<Answer, Problem> {
        let cleared = self.controller.clear_counters(name);
        match name {
            Some(name) if cleared == 0 => Err(Problem::no_such(Kind::Counters, name)),
            _ => Ok(Answer::Cleared(Cleared { cleared })),
        }
    }

    fn clear_neighbors(&mut self, name: Option<&str>) -> Result<Answer, Problem> {
        let mut filter = Filter::default();
        if let Some(name) = name {
            filter.port = self.controller.port_named(name);
            filter.address = name.parse().ok();
            if filter == Filter::default() {
                return Err(Problem::no_such(Kind::Neighbors, name));
            }
        }
        let cleared = self.controller.clear_neighbors(filter, self.clock.now()) as u64;
        Ok(Answer::Cleared(Cleared { cleared }))
    }

    /// What runs, and whether the next start would run the same.
    fn config_report(&self) -> ConfigReport {
        let difference = match config::load(&self.boot_file, Purpose::Run) {
            Ok(loaded) => {
                let differences = config::diff_from(self.controller.store(), &loaded.config);
                let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
                (!lines.is_empty()).then(|| lines.join("\n"))
            }
            Err(mistakes) => Some(mistakes.to_string()),
        };
        let files = self.applied.files.iter().map(|file| SourceFile {
            path: file.name.to_string(),
            text: file.text.clone(),
            bytes: file.bytes,
        });
        ConfigReport {
            boot_file: self.boot_file.display().to_string(),
            applied_file: self.applied.path.display().to_string(),
            generation: self.applied.generation,
            is_boot_file_current: difference.is_none(),
            difference,
            files: files.collect(),
        }
    }
}
