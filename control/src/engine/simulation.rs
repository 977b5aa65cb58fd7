//! The appliance without devices: one worker over ordinary memory, on virtual time. What replay and
//! many tests run; the controller and the packet path are those of a running appliance.

use std::sync::Arc;

use adit_dataplane::clock::{CycleScale, Nanos};
use adit_dataplane::counters::Counter;
use adit_dataplane::device::MemoryDevice;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::{BURST_MAX, HEADROOM, MemoryPool};
use adit_dataplane::witness::{Unwatched, Witness};
use adit_dataplane::worker::{Worker, WorkerSettings};

use super::{
    CompileError, Controller, ControllerSettings, PoolFacts, PortFacts, worker_rates,
    worker_reassembly,
};
use crate::config::Config;
use crate::report;

/// The seed of everything random: two runs are the same.
const SEED: u64 = 0x00ad_1700_00ad_1700;

/// Buffers: a burst, its replies, and the packets that can wait for neighbors.
const BUFFERS: usize = 8192;

/// Rounds after which a simulation that never comes to rest is given up for this instant.
const ROUNDS_MAX: usize = 10_000;

/// See the module.
pub struct Simulation<W: Witness = Unwatched> {
    controller: Controller,
    worker: Worker<MemoryDevice, W>,
    now: Nanos,
    burst: usize,
    /// Bytes of a buffer.
    capacity: u16,
}

impl Simulation {
    /// A settled appliance at the time `now`: ports are up and nothing is announced. With `boot`,
    /// the start is played as well.
    ///
    /// # Errors
    /// When the configuration does not fit.
    pub fn new(config: Config, now: Nanos, boot: bool) -> Result<Self, CompileError> {
        Self::watched(config, now, boot, Unwatched)
    }
}

impl<W: Witness> Simulation<W> {
    /// The same with somebody who watches packets on their way.
    ///
    /// # Errors
    /// When the configuration does not fit.
    pub fn watched(
        config: Config,
        now: Nanos,
        boot: bool,
        witness: W,
    ) -> Result<Self, CompileError> {
        let ports: Vec<PortFacts> =
            config.ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu }).collect();
        let port_count = ports.len();
        let burst = usize::from(config.dataplane.burst).clamp(1, BURST_MAX);
        let largest = ports.iter().map(|port| port.mtu).max().unwrap_or(1500);
        let capacity = buffer_capacity(largest);
        let settings = ControllerSettings { seed: SEED, workers: 1, is_settled: !boot };
        let mut controller = Controller::new(config, ports, &settings)?;
        controller.start(now);
        let pool = PoolFacts { free: 0, total: BUFFERS as u64, buffer_bytes: capacity.into() };
        let device = MemoryDevice::new(port_count, MemoryPool::new(BUFFERS, capacity));
        let worker_settings = WorkerSettings {
            number: 0,
            workers: 1,
            burst: controller.config().dataplane.burst,
            latency_sample: 0,
            scale: CycleScale::from_measurement(1, 1),
            rates: worker_rates(&controller.config().limits, 1),
            reassembly: worker_reassembly(&controller.config().limits, &pool, 1),
            seed: SEED,
            measured_tunnels: 0,
            fast_path: true,
        };
        let shared = Arc::clone(&controller.workers()[0]);
        let publication = Arc::clone(controller.publication());
        let worker = Worker::watched(device, witness, publication, shared, worker_settings);
        let mut simulation = Self { controller, worker, now, burst, capacity };
        if boot {
            for port in (0..).map(PortId).take(port_count) {
                simulation.controller.link_changed(port, true, now);
            }
        }
        Ok(simulation)
    }

    /// Lets time pass until `until`; timers fire at their own time. `see` gets every frame that is
    /// sent: port, time, bytes.
    pub fn advance(&mut self, until: Nanos, mut see: impl FnMut(PortId, Nanos, &[u8])) {
        self.come_to_rest(&mut see);
        while let Some(deadline) = self.next_deadline().filter(|&at| at <= until) {
            self.now = deadline.max(self.now);
            let before = self.next_deadline();
            self.come_to_rest(&mut see);
            if self.next_deadline() == before {
                // The timer did not move on: waiting for it would be for ever.
                break;
            }
        }
        self.now = until.max(self.now);
    }

    /// When something is due next, at the controller or at the worker.
    fn next_deadline(&self) -> Option<Nanos> {
        self.controller.next_deadline().into_iter().chain(self.worker.next_deadline()).min()
    }

    /// Lets frames arrive on a port, as one burst, now. False: they are more than one burst can
    /// hold, or one of them is longer than any buffer; what could arrive has.
    pub fn receive<'f>(
        &mut self,
        port: PortId,
        frames: impl IntoIterator<Item = &'f [u8]>,
        mut see: impl FnMut(PortId, Nanos, &[u8]),
    ) -> bool {
        let mut all = true;
        for (number, frame) in frames.into_iter().enumerate() {
            all &= number < self.burst && self.worker.device_mut().inject(port, frame);
        }
        self.come_to_rest(&mut see);
        all
    }

    /// Runs worker and controller until neither has anything to do at this time.
    fn come_to_rest(&mut self, see: &mut impl FnMut(PortId, Nanos, &[u8])) {
        let now = self.now;
        for _ in 0..ROUNDS_MAX {
            let polled = self.worker.poll(now);
            let acted = self.controller.turn(now);
            self.worker.device_mut().drain_sent(|port, bytes| see(port, now, bytes));
            let waits = !self.controller.workers()[0].handbacks.is_empty();
            if polled == 0 && !acted && !waits {
                break;
            }
        }
    }

    /// Whether a frame is short enough for a buffer, and can arrive.
    pub fn can_arrive(&self, frame: &[u8]) -> bool {
        usize::from(HEADROOM) + frame.len() <= usize::from(self.capacity)
    }

    /// See [`Controller::take_heard`].
    pub fn take_heard(&mut self) -> Vec<Option<Counter>> {
        self.controller.take_heard()
    }

    /// The controller, to ask it what numbers stand for.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The time.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Packets that a burst can hold.
    pub fn burst(&self) -> usize {
        self.burst
    }

    /// What has been counted.
    pub fn counters(&self) -> report::Counters {
        self.controller.counters()
    }

    /// Ends it, and says how many buffers were lost: always 0, unless there is a bug.
    pub fn finish(mut self) -> usize {
        self.controller.stop(self.now);
        self.come_to_rest(&mut |_, _, _| {});
        let device = self.worker.into_device(self.now);
        device.pool().total() - device.pool().free_count()
    }
}

/// Bytes of a buffer: headroom, and a frame of this MTU or a jumbo frame, whichever is longer. Frames
/// that are longer than a port takes arrive all the same, so that the packet path refuses them.
fn buffer_capacity(mtu: u16) -> u16 {
    mtu.saturating_add(512).max(JUMBO_CAPACITY)
}

/// Room for a jumbo frame.
const JUMBO_CAPACITY: u16 = 10_240;
