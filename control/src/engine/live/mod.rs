//! The running appliance: DPDK's ports, a worker thread for each core, and the control thread, which
//! is the one that calls [`run`].

mod answer;
mod reuse;
mod spreading;
mod worker;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adit_dataplane::clock::{CycleScale, Nanos, cycles};
use adit_dataplane::dpdk::{self, PortConfig, Rim, RimConfig, StartError};
use adit_dataplane::interface::PortId;
use crossbeam::channel::Receiver;

use super::transactions::{AppliedFile, Transactions};
use super::{CompileError, Controller, ControllerSettings, PoolFacts, PortFacts, PortState};
use crate::api::{self, Applied, Call, Flaw, Problem, Server, SocketError};
use crate::config::{self, Config, Hugepages, Loaded, Mistake, Mistakes, Offloads, Purpose, Rss};
use crate::report;
use reuse::ReuseWatch;
use spreading::Spreading;
use worker::{Place, WorkerThread};

/// Why the appliance does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The file is wrong.
    #[error("{0}")]
    Configuration(Mistakes),
    /// The file is right, and yet too much for this version or machine.
    #[error("{0}")]
    Compile(#[from] CompileError),
    /// A core is named that the machine does not have.
    #[error("dataplane.worker-cores names core {core}, and this process may use {available}")]
    Core {
        /// The core.
        core: u16,
        /// Those there are.
        available: String,
    },
    /// DPDK or a port can't start.
    #[error("{0}")]
    Start(#[from] StartError),
    /// The API can't start.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// The system refuses a thread or a signal handler.
    #[error("the system refuses {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// A worker ended by itself, which it never should.
    #[error("worker {name} has ended; this is a bug, and its port queues are not served")]
    WorkerEnded {
        /// Which.
        name: String,
    },
}

/// How long the control thread rests when nothing is due: calls and what workers hand over wake it,
/// signals, links and what workers have counted wait as long.
const REST: Duration = Duration::from_millis(20);

/// The same while a worker has to make room in a ring first, or to take tables.
const WORKER_REST: Duration = Duration::from_millis(2);

/// The same while workers have changes to take, or a file is being read.
const SHORT_REST: Duration = Duration::from_micros(50);

/// How often workers are looked at without a rest when something was published.
const QUICK_LOOKS: u32 = 20;

/// How often links are looked at.
const LINK_INTERVAL: Duration = Duration::from_millis(250);

/// The clock of workers and controller: nanoseconds since the start, from the cycle counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: u64,
    scale: CycleScale,
}

/// How long the cycle counter is held against the system's clock.
const CALIBRATION: Duration = Duration::from_millis(20);

impl Clock {
    /// Measures how fast the cycle counter runs.
    fn calibrate() -> Self {
        let (instant, start) = (Instant::now(), cycles());
        thread::sleep(CALIBRATION);
        let (elapsed, passed) = (instant.elapsed(), cycles().saturating_sub(start));
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        Self { start, scale: CycleScale::from_measurement(passed, nanos) }
    }

    #[inline]
    fn now(self) -> Nanos {
        self.at(cycles())
    }

    /// When the cycle counter said so.
    #[inline]
    fn at(self, cycles: u64) -> Nanos {
        Nanos(self.scale.nanos(cycles.saturating_sub(self.start)))
    }
}

/// Flags that signals set.
struct Signals {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    fn register() -> Result<Self, RunError> {
        let signals = Self { stop: Arc::default(), reload: Arc::default() };
        let pairs = [
            (signal_hook::consts::SIGTERM, &signals.stop),
            (signal_hook::consts::SIGINT, &signals.stop),
            (signal_hook::consts::SIGHUP, &signals.reload),
        ];
        for (signal, flag) in pairs {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|error| RunError::System { what: "a signal handler", error })?;
        }
        Ok(signals)
    }
}

/// The appliance while it runs, as the control thread sees it.
struct Live {
    controller: Controller,
    rim: Rim,
    workers: Vec<WorkerThread>,
    spreading: Spreading,
    transactions: Transactions,
    clock: Clock,
    boot_file: PathBuf,
    applied: AppliedFile,
    links: Vec<bool>,
    next_link_look: Instant,
    reuse: ReuseWatch,
}

/// Runs the appliance with the configuration of a file until a signal ends it.
///
/// # Errors
/// When it can't start, or a worker ends.
pub fn run(file: &Path) -> Result<(), RunError> {
    let loaded = config::load(file, Purpose::Run).map_err(RunError::Configuration)?;
    warn(&loaded.warnings);
    let signals = Signals::register()?;
    let cores = worker_cores(&loaded.config)?;
    // First of all the socket: a second appliance with this configuration must not touch the ports of
    // the first. What is asked meanwhile is answered when the loop begins.
    let (caller, calls) = api::channel();
    let socket = loaded.config.api.socket.clone();
    let server = Server::start(&socket, caller)?;
    let (rim, devices) = start_rim(&loaded.config, cores.len())?;
    let clock = Clock::calibrate();
    let mut live = Live::new(file, loaded, rim, clock, cores.len())?;
    live.controller.start(clock.now());
    live.start_workers(devices, &cores)?;
    live.look_at_links();
    let ended = live.serve(&signals, &calls, &socket);
    drop(server);
    live.stop();
    ended
}

fn warn(warnings: &[Mistake]) {
    for warning in warnings {
        eprintln!("{}", Flaw::from(warning).line("warning"));
    }
}

/// The cores of the configuration, or the machine's last one.
fn worker_cores(config: &Config) -> Result<Vec<u16>, RunError> {
    let available: Vec<u16> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .iter()
        .filter_map(|core| u16::try_from(core.id).ok())
        .collect();
    let wanted = &config.dataplane.worker_cores;
    if wanted.is_empty() {
        return Ok(available.last().copied().into_iter().collect());
    }
    match wanted.iter().find(|core| !available.contains(core)) {
        Some(&core) => {
            let names: Vec<String> = available.iter().map(ToString::to_string).collect();
            Err(RunError::Core { core, available: names.join(", ") })
        }
        None => Ok(wanted.clone()),
    }
}

fn start_rim(config: &Config, workers: usize) -> Result<(Rim, Vec<dpdk::WorkerPorts>), RunError> {
    let ports = config.ports.iter().map(|port| PortConfig {
        takes_all: port.addresses.is_empty(),
        name: port.name.to_string(),
        device: port.device.clone().unwrap_or_default(),
        mac: port.mac_is_configured.then_some(port.mac),
        mtu: port.mtu,
        queues: port.queues,
        offloads: match port.offloads {
            Offloads::Auto => dpdk::Offloads::Auto,
            Offloads::On => dpdk::Offloads::On,
            Offloads::Off => dpdk::Offloads::Off,
        },
        rss: match port.rss {
            Rss::Auto => dpdk::Rss::Auto,
            Rss::Inner => dpdk::Rss::Inner,
            Rss::Outer => dpdk::Rss::Outer,
            Rss::Off => dpdk::Rss::Off,
        },
    });
    let rim_config = RimConfig {
        hugepages: match config.dataplane.hugepages {
            Hugepages::Auto => dpdk::Hugepages::Auto,
            Hugepages::Required => dpdk::Hugepages::Required,
            Hugepages::Off => dpdk::Hugepages::Off,
        },
        mbufs: config.dataplane.mbufs,
        file_prefix: file_prefix(&config.api.socket),
        control_core: config.dataplane.control_core,
        eal_args: config.dataplane.eal_args.clone(),
        workers: u16::try_from(workers).unwrap_or(u16::MAX),
        ports: ports.collect(),
    };
    let (rim, devices) = Rim::start(&rim_config)?;
    for notice in rim.notices() {
        tracing::warn!("{notice}");
    }
    for port in rim.ports() {
        for notice in port.notices() {
            tracing::warn!("port {}: {notice}", port.name());
        }
    }
    Ok((rim, devices))
}

fn offload(said: &dpdk::Offload) -> report::Offload {
    report::Offload {
        name: said.name.to_owned(),
        offered: said.is_offered,
        used: said.is_used,
        note: said.note.clone(),
    }
}

/// What tells this appliance's files from another's on the same host: its socket.
fn file_prefix(socket: &Path) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let text: String = socket.to_string_lossy().chars().map(allowed).collect();
    format!("adit{text}")
}

/// A secret that nobody outside can know.
fn secret() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Live {
    fn new(
        file: &Path,
        loaded: Loaded,
        rim: Rim,
        clock: Clock,
        workers: usize,
    ) -> Result<Self, RunError> {
        let facts: Vec<PortFacts> =
            rim.ports().iter().map(|port| PortFacts { mac: port.mac(), mtu: port.mtu() }).collect();
        let worker_count = u16::try_from(workers).unwrap_or(1);
        let settings =
            ControllerSettings { seed: secret(), workers: worker_count, is_settled: false };
        let hertz = clock.scale.hertz();
        let spreading = Spreading::new(&loaded.config.dataplane, worker_count, hertz, clock.now());
        let links = vec![false; facts.len()];
        let controller = Controller::new(loaded.config, facts, &settings)?;
        let boot_file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let generation = controller.generation();
        let applied = AppliedFile { path: boot_file.clone(), files: loaded.files, generation };
        let next_link_look = Instant::now();
        let workers = Vec::new();
        Ok(Self {
            controller,
            rim,
            workers,
            spreading,
            transactions: Transactions::default(),
            clock,
            boot_file,
            applied,
            links,
            next_link_look,
            reuse: ReuseWatch::default(),
        })
    }

    fn start_workers(
        &mut self,
        devices: Vec<dpdk::WorkerPorts>,
        cores: &[u16],
    ) -> Result<(), RunError> {
        for worker in self.controller.workers() {
            worker.set_control_thread(thread::current());
        }
        for (device, &core) in devices.into_iter().zip(cores) {
            let number = self.workers.len();
            let member = self.spreading.member(number, self.rim.ports().len());
            let place = Place { number, core, member, pool: self.pool_facts() };
            let thread = WorkerThread::start(&self.controller, device, place, self.clock, secret())
                .map_err(|error| RunError::System { what: "a worker thread", error })?;
            self.workers.push(thread);
        }
        self.spreading.start();
        Ok(())
    }

    /// One line, for whoever waits for it.
    fn say_ready(&self, socket: &Path) {
        let memory = if self.rim.has_hugepages() { "hugepages" } else { "no hugepages" };
        eprintln!(
            "ready: {} ports, {} tunnels, {} workers, {memory}, {}, socket {}",
            self.rim.ports().len(),
            self.controller.store().tunnel_count(),
            self.workers.len(),
            Rim::version(),
            socket.display(),
        );
    }

    /// The control thread's loop. Forwarding does not depend on it.
    fn serve(
        &mut self,
        signals: &Signals,
        calls: &Receiver<Call>,
        socket: &Path,
    ) -> Result<(), RunError> {
        let mut is_ready = false;
        while !signals.stop.load(Ordering::Relaxed) {
            let busy = self.controller.turn(self.clock.now());
            // A second after the start, if ports have IPv6 addresses: until then nothing is forwarded
            // in their name.
            if !is_ready && !self.controller.is_proving_addresses() {
                is_ready = true;
                self.say_ready(socket);
            }
            if signals.reload.swap(false, Ordering::Relaxed) {
                self.reload();
            }
            self.spreading.look(self.clock.now(), self.controller.workers());
            if Instant::now() >= self.next_link_look {
                self.look_at_links();
                let reused = self.controller.reused_identifications();
                self.reuse.look(reused, self.clock.now());
                self.check_workers()?;
            }
            let busy = self.make_changes() || busy;
            // What comes at once is made at once.
            let mut calls = calls.try_iter().peekable();
            if calls.peek().is_some() {
                calls.for_each(|call| self.answer(call));
            } else if !busy {
                // Not a wait on the channel, which yields to others many times before it sleeps: as
                // dear as the sleep. Whoever has something for this thread unparks it.
                thread::park_timeout(self.rest());
            }
        }
        Ok(())
    }

    /// Makes the changes that wait, and looks a few times at once whether the workers run them: one
    /// that polls does within microseconds. Returns whether anything was published.
    fn make_changes(&mut self) -> bool {
        let published = self.transactions.turn(&mut self.controller, self.clock.now());
        let looks = if published { QUICK_LOOKS } else { 0 };
        for _ in 0..looks {
            if !self.transactions.is_busy() {
                break;
            }
            thread::yield_now();
            self.transactions.turn(&mut self.controller, self.clock.now());
        }
        if let Some(applied) = self.transactions.take_applied() {
            self.applied = applied;
        }
        published
    }

    /// How long nothing has to be done unless somebody unparks this thread.
    fn rest(&self) -> Duration {
        if self.transactions.is_busy() {
            return SHORT_REST;
        }
        let most = if self.controller.waits_for_workers() { WORKER_REST } else { REST };
        let due = self.controller.next_deadline();
        due.map_or(most, |deadline| deadline.since(self.clock.now()).min(most))
    }

    fn reload(&mut self) {
        let file = self.boot_file.clone();
        let reply = move |applied: Result<Applied, Problem>| match applied {
            Ok(applied) => {
                eprintln!("reloaded {}: generation {}", file.display(), applied.generation);
            }
            Err(problem) => eprintln!("{} was not put in force: {problem}", file.display()),
        };
        self.transactions.apply(&self.boot_file, Purpose::Run, Box::new(reply));
    }

    fn check_workers(&self) -> Result<(), RunError> {
        match self.workers.iter().find(|worker| worker.has_ended()) {
            Some(worker) => Err(RunError::WorkerEnded { name: worker.name().to_owned() }),
            None => Ok(()),
        }
    }

    /// Tells the controller about links that came or went.
    fn look_at_links(&mut self) {
        self.next_link_look = Instant::now() + LINK_INTERVAL;
        let now = self.clock.now();
        let states: Vec<bool> = self.rim.ports().iter().map(|port| port.link().up).collect();
        for ((id, before), is_up) in (0..).map(PortId).zip(&mut self.links).zip(states) {
            if *before != is_up {
                *before = is_up;
                self.controller.link_changed(id, is_up, now);
            }
        }
    }

    fn pool_facts(&self) -> PoolFacts {
        let pool = self.rim.pool();
        PoolFacts {
            free: pool.free_count() as u64,
            total: pool.total() as u64,
            buffer_bytes: pool.data_room(),
        }
    }

    fn port_states(&self) -> Vec<PortState> {
        let state = |port: &dpdk::Port| {
            let (link, stats) = (port.link(), port.stats());
            PortState {
                driver: Some(port.driver().to_owned()),
                link_up: link.up,
                speed_mbps: link.speed_mbps,
                queues: port.queue_counts(),
                rx_missed: stats.receive_missed,
                rx_errors: stats.receive_errors + stats.receive_too_long,
                rx_no_mbuf: stats.receive_no_buffer,
                tx_errors: stats.transmit_errors + stats.handed_over_dropped,
                rx_bad_checksum: stats.receive_bad_checksum,
                offloads: port.offloads().iter().map(offload).collect(),
            }
        };
        self.rim.ports().iter().map(state).collect()
    }

    /// Ends the workers, then everything they used.
    fn stop(mut self) {
        self.controller.stop(self.clock.now());
        // All of them first: a worker that still runs hands packets to others.
        self.workers.iter().for_each(WorkerThread::tell_to_stop);
        for worker in &mut self.workers {
            worker.stop();
        }
    }
}
