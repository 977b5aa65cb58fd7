//! Workers in a team, the frames they get, and the log of what leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::{Balance, Counter};
use adit_dataplane::device::{Device, MemoryDevice};
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::{Burst, MemoryPool, Packet};
use adit_dataplane::worker::exchange::{Publication, Shared};
use adit_dataplane::worker::spread::Team;
use adit_dataplane::worker::{Worker, WorkerSettings};

use crate::appliance::{Blueprint, G_MAC, SLOTS, U, U_MAC, settings};
use crate::frames::{Mac, frame, ip};

pub(crate) const LOCAL: &str = "198.51.100.1";
pub(crate) const REMOTE: &str = "203.0.113.2";

/// Buffers of the worker that receives.
pub(crate) const BUFFERS: usize = 8192;

/// What left: which packet of which flow, and where it stands among everything that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Departure {
    pub(crate) ticket: u64,
    pub(crate) flow: u32,
    pub(crate) number: u64,
}

/// A device that writes down what it sends: flow and number are the last bytes of a frame.
pub(crate) struct Recorder {
    pub(crate) memory: MemoryDevice,
    tickets: Arc<AtomicU64>,
    pub(crate) log: Vec<Departure>,
}

impl Device for Recorder {
    fn port_count(&self) -> usize {
        self.memory.port_count()
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        self.memory.receive(port, burst, limit)
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        for packet in burst.packets() {
            let ticket = self.tickets.fetch_add(1, Ordering::SeqCst);
            let (_, &mark) = packet.data().split_last_chunk::<12>().unwrap();
            let (flow, number) = mark.split_at(4);
            self.log.push(Departure {
                ticket,
                flow: u32::from_be_bytes(flow.try_into().unwrap()),
                number: u64::from_be_bytes(number.try_into().unwrap()),
            });
        }
        let sent = self.memory.send(port, burst);
        self.memory.drain_sent(|_, _| {});
        sent
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.memory.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        self.memory.release(burst);
    }
}

/// All workers, and what they share.
pub(crate) struct Crew {
    pub(crate) team: Arc<Team>,
    pub(crate) workers: Vec<Worker<Recorder>>,
    pub(crate) shared: Vec<Arc<Shared>>,
}

pub(crate) const NOW: Nanos = Nanos::from_secs(1);

impl Crew {
    pub(crate) fn new(count: u16) -> Self {
        let publication = Arc::new(Publication::new(Blueprint::with_t0(LOCAL, REMOTE).build(1)));
        let team = Team::new(count).unwrap();
        let pools = (0..count).map(|_| MemoryPool::new(BUFFERS, 2048)).collect();
        let tickets = Arc::new(AtomicU64::new(0));
        let (mut workers, mut shared) = (Vec::new(), Vec::new());
        for (number, memory) in (0..count).zip(MemoryDevice::group(2, pools)) {
            // Room enough for a test that counts allocations.
            let log = Vec::with_capacity(4 * BUFFERS);
            let device = Recorder { memory, tickets: Arc::clone(&tickets), log };
            let share = Arc::new(Shared::new(SLOTS as usize));
            shared.push(Arc::clone(&share));
            let settings = WorkerSettings { number, workers: count, ..settings() };
            let mut worker = Worker::new(device, Arc::clone(&publication), share, settings);
            worker.join(team.member(number.into(), 2).unwrap());
            workers.push(worker);
        }
        Self { team, workers, shared }
    }

    /// Lets frames arrive at the first worker, which takes them in.
    pub(crate) fn receive(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) {
        for bytes in frames {
            assert!(self.workers[0].device_mut().memory.inject(U, &bytes), "no buffer");
        }
        while self.workers[0].poll(NOW) > 0 {}
    }

    pub(crate) fn poll(&mut self, worker: usize) {
        while self.workers[worker].poll(NOW) > 0 {}
    }

    /// Flows and numbers that left by a worker so far, in order.
    pub(crate) fn left_by(&mut self, worker: usize) -> Vec<(u32, u64)> {
        let log = &self.workers[worker].device_mut().log;
        log.iter().map(|departure| (departure.flow, departure.number)).collect()
    }

    /// Ends all workers in this order, and looks at the books and the pools. Returns what left, in
    /// order.
    pub(crate) fn end(self, order: impl IntoIterator<Item = usize>) -> Vec<Departure> {
        let mut workers: Vec<_> = self.workers.into_iter().map(Some).collect();
        let devices = order.into_iter().map(|n| workers[n].take().unwrap().into_device(NOW));
        let devices = devices.collect();
        assert!(workers.iter().all(Option::is_none));
        settle(devices, &self.shared)
    }
}

/// What left, in order, when the books add up and every buffer is back.
pub(crate) fn settle(devices: Vec<Recorder>, shared: &[Arc<Shared>]) -> Vec<Departure> {
    let mut all = Vec::new();
    for mut device in devices {
        device.memory.reclaim();
        assert_eq!(device.memory.pool().free_count(), BUFFERS, "buffers are missing");
        all.append(&mut device.log);
    }
    let total = |read: fn(&Balance) -> u64| -> u64 {
        shared.iter().map(|shared| read(&shared.counters.balance)).sum()
    };
    assert_eq!(total(|b| b.handed_over.get()), total(|b| b.handed_back.get()));
    assert_eq!(total(|b| b.received.get()), total(|b| b.sent.get()) + total(|b| b.dropped.get()));
    assert_eq!(total(|b| b.sent.get()), all.len() as u64);
    let refused: u64 = shared.iter().map(|s| s.counters.global(Counter::RingFull).get()).sum();
    assert_eq!(total(|b| b.dropped.get()), refused, "only full rings lose packets here");
    all.sort_unstable();
    all
}

/// Fails unless the packets of each flow left in the order of their numbers.
pub(crate) fn assert_order(departures: &[Departure]) {
    let mut last = BTreeMap::new();
    for departure in departures {
        let before = last.insert(departure.flow, departure.number);
        assert!(before.is_none_or(|before| before < departure.number), "{departure:?} late");
    }
}

/// Which part of a packet a frame carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    First,
    Later,
}

/// A tunnel packet: the outer addresses are always the same, the inner packet is UDP of this flow.
pub(crate) fn tunnel_frame(flow: u32, number: u64, part: Part) -> Vec<u8> {
    let mut inner = ip("10.2.0.8", "10.1.0.5").may_be_cut();
    inner.identification = u16::try_from((u64::from(flow) * 31 + number / 2) % 0xffff).unwrap();
    let source = u16::try_from(flow).unwrap().to_be_bytes();
    let datagram = [&source[..], &[0, 53, 0, 36, 0, 0], &[0; 16]].concat();
    let mark = [&flow.to_be_bytes()[..], &number.to_be_bytes()].concat();
    let payload = match part {
        Part::Whole | Part::First => [datagram, mark].concat(),
        Part::Later => [vec![0xee; 28], mark].concat(),
    };
    let mut packet = inner.carrying(17, &payload);
    let fragment: u16 = match part {
        Part::Whole => 0,
        Part::First => 0x2000,
        Part::Later => 5,
    };
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    crate::frames::mend_ipv4(&mut packet);
    let to: Mac = U_MAC;
    frame(to, G_MAC, &ip(REMOTE, LOCAL).around(&packet))
}
