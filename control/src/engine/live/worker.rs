//! A worker's thread: pinned to its core, known to DPDK, polling until it is told to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adit_dataplane::clock::{Nanos, cycles};
use adit_dataplane::dpdk::{WorkerPorts, register_thread};
use adit_dataplane::worker::exchange::Shared;
use adit_dataplane::worker::spread::Member;
use adit_dataplane::worker::{Worker, WorkerSettings};

use super::Clock;
use crate::config::Idle;
use crate::engine::{Controller, PoolFacts, WorkerFacts, worker_rates, worker_reassembly};

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
    /// The buffers, which it has a share in.
    pub(super) pool: PoolFacts,
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
        let Place { number, core, member, pool } = place;
        let config = controller.config();
        let workers = u16::try_from(controller.workers().len()).unwrap_or(u16::MAX);
        let settings = WorkerSettings {
            number: u16::try_from(number).unwrap_or(u16::MAX),
            workers,
            burst: config.dataplane.burst,
            latency_sample: config.dataplane.latency_sample,
            scale: clock.scale,
            rates: worker_rates(&config.limits, workers),
            reassembly: worker_reassembly(&config.limits, &pool, workers),
            seed,
            measured_tunnels: controller.measured_tunnels(),
            fast_path: true,
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
    let mut now = clock.now();
    while !stop.load(Ordering::Relaxed) {
        let count = worker.poll(now);
        if idle == Idle::Poll {
            if count == 0 {
                std::hint::spin_loop();
            }
        } else if let Some(length) = rest.after(count, now) {
            thread::sleep(length);
        }
        now = worker.ended().map_or_else(|| clock.now(), |cycles| clock.at(cycles));
    }
    drop(worker.into_device(clock.now()));
    drop(registration);
}

/// How a worker backs off when no packet arrives: the longer nothing came, the longer it rests.
///
/// What a rest costs is the waking, some 15 µs on a virtual machine; so few long ones are what makes idleness cheap.
#[derive(Default)]
struct Rest {
    last_packet: Nanos,
}

/// How long a worker polls on after a packet: others of its burst may follow.
const AWAKE: Duration = Duration::from_micros(20);

/// A rest is this part of the silence so far, so what ends a short silence waits little.
const PART_OF_SILENCE: u32 = 8;

/// The kernel adds its timer slack of 50 µs; the sum stays below a millisecond, which is what `idle: sleep` may
/// add to the first packet.
const REST_MAX: Duration = Duration::from_micros(920);

impl Rest {
    /// For how long to rest after a round that took `count` packets.
    fn after(&mut self, count: usize, now: Nanos) -> Option<Duration> {
        if count > 0 {
            self.last_packet = now;
        }
        let silence = now.since(self.last_packet);
        (silence > AWAKE).then(|| (silence / PART_OF_SILENCE).min(REST_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_a_part_of_the_silence_and_at_most_nine_tenths_of_a_millisecond() {
        let mut rest = Rest::default();
        let start = Nanos(5_000_000_000);
        assert_eq!(rest.after(1, start), None);
        assert_eq!(rest.after(0, start + AWAKE), None);
        assert_eq!(rest.after(0, Nanos(start.0 + 80_000)), Some(Duration::from_micros(10)));
        assert_eq!(rest.after(0, Nanos(start.0 + 4_000_000)), Some(Duration::from_micros(500)));
        assert_eq!(rest.after(0, Nanos(start.0 + 9_000_000_000)), Some(Duration::from_micros(920)));
        assert_eq!(rest.after(32, Nanos(start.0 + 9_000_001_000)), None);
    }

    #[test]
    fn a_second_of_silence_wakes_a_worker_about_as_often_as_its_longest_rest_allows() {
        let (mut rest, mut now, mut wakes) = (Rest::default(), Nanos(1_000_000), 0);
        rest.after(1, now);
        while now.0 < 1_000_000_000 {
            // A round takes a microsecond.
            let length = rest.after(0, now).unwrap_or_default();
            wakes += usize::from(!length.is_zero());
            now = now + length + Duration::from_micros(1);
        }
        assert!(wakes < 1200, "{wakes}");
    }
}
