//! What the control thread answers to the API: reports, and changes of what runs.

use std::thread;
use std::time::{Duration, Instant};

use super::Live;
use crate::api::{Answer, Call, Cleared, Problem, Request};
use crate::config::{self, Purpose};
use crate::engine::WorkerFacts;
use crate::neighbor::Filter;
use crate::report::config::SourceFile;
use crate::report::{ConfigReport, Kind, Report, Routes, Tunnels};

/// How long workers may take to give their histograms.
const LATENCY_LIMIT: Duration = Duration::from_millis(200);

/// Between two looks at whether workers have done something.
const LOOK: Duration = Duration::from_micros(100);

impl Live {
    /// Does what is asked, and says what came of it; of changes, when they are made.
    pub(super) fn answer(&mut self, call: Call) {
        let answer = match call.request().clone() {
            Request::Show { kind, name } => self.report(kind, name.as_deref()).map(Answer::Report),
            Request::Apply { path } => {
                let reply = move |applied: Result<_, _>| call.answer(applied.map(Answer::Applied));
                return self.transactions.apply(&path, Purpose::Run, Box::new(reply));
            }
            Request::Change(change) => {
                let reply = move |applied: Result<_, _>| call.answer(applied.map(Answer::Applied));
                return self.transactions.change(change, self.clock.now(), Box::new(reply));
            }
            Request::ClearCounters { name } => self.clear_counters(name.as_deref()),
            Request::ClearNeighbors { name } => self.clear_neighbors(name.as_deref()),
            Request::ClearPaths { name } => self.clear_paths(name.as_deref()),
            Request::ClearStations { name } => self.clear_stations(name.as_deref()),
        };
        call.answer(answer);
    }

    /// What there is of a kind; of tunnels and routes, only what is called `name` if that is all that
    /// is asked for, as there may be a million.
    fn report(&mut self, kind: Kind, name: Option<&str>) -> Result<Report, Problem> {
        let now = self.clock.now();
        Ok(match kind {
            Kind::Ports => Report::Ports(self.controller.ports(&self.port_states())),
            Kind::Tunnels => Report::Tunnels(match name {
                Some(name) => {
                    let tunnel = self.controller.tunnel_named(name, now);
                    Tunnels { tunnels: tunnel.into_iter().collect() }
                }
                None => self.controller.tunnels(now),
            }),
            Kind::Routes => Report::Routes(match name {
                Some(name) => {
                    let to = Routes::destination(name);
                    to.map(|to| self.controller.routes_to(to)).unwrap_or_default()
                }
                None => self.controller.routes(),
            }),
            Kind::Neighbors => Report::Neighbors(self.controller.neighbors(now)),
            Kind::Paths => Report::Paths(self.controller.paths(now)),
            Kind::Fdb => Report::Fdb(self.controller.stations(now)),
            Kind::Counters => Report::Counters(self.controller.counters()),
            Kind::Drops => Report::Drops(self.controller.drops()),
            Kind::Latency => Report::Latency(self.measure_latency()),
            Kind::Config => Report::Config(self.config_report()),
            Kind::Workers => {
                let pool = self.pool_facts();
                let mut workers = self.controller.worker_report(&self.worker_facts(), &pool);
                workers.imbalance = self.spreading.imbalance();
                Report::Workers(workers)
            }
            Kind::Reassembly => {
                let (workers, pool) = (self.worker_facts(), self.pool_facts());
                Report::Reassembly(self.controller.reassembly(&workers, &pool))
            }
            Kind::Events => {
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

    fn clear_paths(&mut self, name: Option<&str>) -> Result<Answer, Problem> {
        match self.controller.clear_paths(name) {
            Some(cleared) => Ok(Answer::Cleared(Cleared { cleared })),
            None => Err(Problem::no_such(Kind::Paths, name.unwrap_or_default())),
        }
    }

    fn clear_stations(&mut self, name: Option<&str>) -> Result<Answer, Problem> {
        match self.controller.clear_stations(name, self.clock.now()) {
            Some(cleared) => Ok(Answer::Cleared(Cleared { cleared })),
            None => Err(Problem::no_such(Kind::Tunnels, name.unwrap_or_default())),
        }
    }

    /// What runs, and whether the next start would run the same.
    fn config_report(&self) -> ConfigReport {
        let difference = match config::load(&self.boot_file, Purpose::Run) {
            Ok(loaded) => {
                let lines = config::diff_from(self.controller.store(), &loaded.config);
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
            changes_since: self.transactions.changes_since_file(),
            is_boot_file_current: difference.is_none(),
            difference,
            files: files.collect(),
        }
    }
}
