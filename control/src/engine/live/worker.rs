//! A worker's thread: pinned to its core, known to DPDK, polling until it is told to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adit_dataplane::clock::cycles;
use adit_dataplane::dpdk::{WorkerPorts, register_thread};
use adit_dataplane::worker::exchange::Shared;
use adit_dataplane::worker::spread::Member;
use adit_dataplane::worker::{Worker, WorkerSettings};

use super::Clock;
use crate::config::Idle;
use crate::engine::{Controller, WorkerFacts, worker_rates};

/// A thread that works.
pub(super) struct WorkerThread {
    name: String,
    core: u16,
    started: u64,
    shared: Arc<Shared>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Which of the workers it is.
pub(super) struct Place {
    /// From 0.
    pub(super) number: usize,
    /// Its core.
    pub(super) core: u16,
    /// Its part in a team that shares work.
    pub(super) member: Option<Member>,
}

impl WorkerThread {
    /// Starts a worker at its place.
    pub(super) fn start(
        controller: &Controller,
        device: WorkerPorts,
        place: Place,
        clock: Clock,
        seed: u64,
    ) -> io::Result<Self> {
        let Place { number, core, member } = place;
        let config = controller.config();
        let workers = u16::try_from(controller.workers().len()).unwrap_or(u16::MAX);
        let settings = WorkerSettings {
            number: u16::try_from(number).unwrap_or(u16::MAX),
            workers,
            burst: config.dataplane.burst,
            latency_sample: config.dataplane.latency_sample,
            scale: clock.scale,
            rates: worker_rates(&config.limits, workers),
            seed,
            measured_tunnels: controller.measured_tunnels(),
        };
        let Some(shared) = controller.workers().get(number).cloned() else {
            return Err(io::Error::other("there are more devices than workers"));
        };
        let publication = Arc::clone(controller.publication());
        let mut worker = Worker::new(device, publication, Arc::clone(&shared), settings);
        if let Some(member) = member {
            worker.join(member);
        }
        let (stop, idle) = (Arc::new(AtomicBool::new(false)), config.dataplane.idle);
        let name = format!("adit-w{number}");
        let told = Arc::clone(&stop);
        let body = move || work(worker, core, idle, clock, &told);
        let thread = thread::Builder::new().name(name.clone()).spawn(body)?;
        let started = cycles();
        Ok(Self { name, core, started, shared, stop, thread: Some(thread) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the thread is no longer there.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What is known of it.
    pub(super) fn facts(&self) -> WorkerFacts {
        let all = cycles().saturating_sub(self.started).max(1);
        let busy = self.shared.counters.work.busy_cycles.get();
        #[expect(clippy::cast_precision_loss, reason = "a share is shown to three digits")]
        let busy = busy as f64 / all as f64;
        WorkerFacts { name: self.name.clone(), core: Some(self.core), busy, sharing: None }
    }

    /// Tells it to end.
    pub(super) fn tell_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Tells it to end and waits until it has.
    pub(super) fn stop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has been reported already.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn work(mut worker: Worker<WorkerPorts>, core: u16, idle: Idle, clock: Clock, stop: &AtomicBool) {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: usize::from(core) }) {
        tracing::warn!("this worker could not be pinned to core {core}");
    }
    let registration = register_thread();
    if let Err(error) = &registration {
        tracing::warn!("this worker has no cache of packet buffers: {error}");
    }
    let mut rest = Rest::default();
    while !stop.load(Ordering::Relaxed) {
        let count = worker.poll(clock.now());
        if idle == Idle::Sleep {
            rest.after(count);
        } else if count == 0 {
            std::hint::spin_loop();
        }
    }
    drop(worker.into_device(clock.now()));
    drop(registration);
}

/// How a worker backs off when no packet arrives.
#[derive(Default)]
struct Rest {
    empty_rounds: u32,
}

/// Empty rounds until a worker rests at all: a few microseconds.
const ROUNDS_AWAKE: u32 = 64;

/// Empty rounds until it rests for longer.
const ROUNDS_LIGHT: u32 = 2000;

/// Rests. The kernel adds its timer slack of 50 µs; the sum stays below a millisecond.
const LIGHT_REST: Duration = Duration::from_micros(50);
const LONG_REST: Duration = Duration::from_micros(700);

impl Rest {
    fn after(&mut self, count: usize) {
        if count > 0 {
            self.empty_rounds = 0;
            return;
        }
        self.empty_rounds = self.empty_rounds.saturating_add(1);
        match self.empty_rounds {
            0..ROUNDS_AWAKE => std::hint::spin_loop(),
            ROUNDS_AWAKE..ROUNDS_LIGHT => thread::sleep(LIGHT_REST),
            _ => thread::sleep(LONG_REST),
        }
    }
}
