//! A worker's ports: one where frames of its flows arrive without end, as many as the far side has room
//! for, and one whose cable ends in the receiver's queue. The rig itself loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use adit_dataplane::device::Device;
use adit_dataplane::interface::{Interface, PortId};
use adit_dataplane::packet::{Burst, MemoryPool, Packet};
use crossbeam::queue::ArrayQueue;

use crate::flow::{self, Rules};

/// Port 0 of the configuration: hosts; port 1: peers.
const LAN: PortId = PortId(0);

/// Bytes that a frame on the wire may have.
const FRAME_MAX: usize = 128;

/// A frame on its way to the receiver.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    bytes: [u8; FRAME_MAX],
    len: usize,
    /// The rule of its flow that was confirmed when it left the appliance.
    pub(crate) confirmed: u16,
}

impl Frame {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What the ports of all workers share.
pub(crate) struct Cable {
    pub(crate) rules: Vec<Rules>,
    /// To the receiver, who is never overtaken: what doesn't fit waits.
    pub(crate) far: ArrayQueue<Frame>,
    pub(crate) is_over: AtomicBool,
    pub(crate) generated: AtomicU64,
}

impl Cable {
    pub(crate) fn new(flows: u16) -> Arc<Self> {
        let rules = std::iter::repeat_with(Rules::default).take(flows.into()).collect();
        Arc::new(Self {
            rules,
            far: ArrayQueue::new(16_384),
            is_over: AtomicBool::new(false),
            generated: AtomicU64::new(0),
        })
    }

    /// The rule that is confirmed for the flow of a frame.
    fn confirmed(&self, frame: &[u8]) -> u16 {
        let rules = flow::of(frame).and_then(|flow| self.rules.get(usize::from(flow)));
        rules.map_or(0, |rules| rules.confirmed.load(Ordering::Acquire))
    }
}

struct Flow {
    number: u16,
    next: u64,
    frame: Vec<u8>,
}

/// How long a worker hesitates.
const HESITATION: Duration = Duration::from_millis(1);

/// See the module.
pub(crate) struct Wire {
    cable: Arc<Cable>,
    pool: MemoryPool,
    flows: Vec<Flow>,
    turn: usize,
    /// How often the worker is held up at the worst moment, as a system with other work to do may do
    /// it: it has made frames by its tables, and has not sent them yet.
    hesitates_every: Option<u32>,
    transmissions: u32,
}

impl Wire {
    /// The ports of worker `worker` of `workers`: each flow belongs to one, as a NIC would have it.
    pub(crate) fn new(
        cable: &Arc<Cable>,
        worker: u16,
        workers: u16,
        hesitates_every: Option<u32>,
    ) -> Self {
        let all = u16::try_from(cable.rules.len()).expect("few flows");
        let flows = (0..all).filter(|number| number % workers == worker);
        let flow = |number| Flow { number, next: 0, frame: flow::template(number) };
        Self {
            cable: Arc::clone(cable),
            pool: MemoryPool::new(1024, 512),
            flows: flows.map(flow).collect(),
            turn: 0,
            hesitates_every,
            transmissions: 0,
        }
    }

    fn generate(&mut self) -> Option<Packet> {
        let count = self.flows.len();
        let flow = self.flows.get_mut(self.turn)?;
        self.turn = (self.turn + 1) % count;
        flow::stamp(&mut flow.frame, flow.number, flow.next);
        let packet = self.pool.allocate_with(&flow.frame)?;
        flow.next += 1;
        Some(packet)
    }
}

impl Device for Wire {
    fn port_count(&self) -> usize {
        2
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        let is_quiet = self.cable.is_over.load(Ordering::Acquire);
        let is_full = self.cable.far.len() * 2 > self.cable.far.capacity();
        if port != LAN || is_quiet || is_full {
            return 0;
        }
        let mut count = 0;
        while count < limit && !burst.is_full() {
            let Some(mut packet) = self.generate() else { break };
            packet.meta.ingress = Interface::port(port);
            assert!(burst.push(packet).is_ok(), "a burst with room");
            count += 1;
        }
        self.cable.generated.fetch_add(count as u64, Ordering::Release);
        count
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        self.transmissions = self.transmissions.wrapping_add(1);
        if self.hesitates_every.is_some_and(|every| self.transmissions.is_multiple_of(every)) {
            thread::sleep(HESITATION);
        }
        let count = burst.len();
        for packet in burst.drain() {
            let data = packet.data();
            let confirmed = self.cable.confirmed(data);
            let mut frame = Frame { bytes: [0; FRAME_MAX], len: data.len(), confirmed };
            frame.bytes[..data.len()].copy_from_slice(data);
            // What leaves by the wrong port is lost, and the receiver will miss it.
            while port != LAN && self.cable.far.push(frame).is_err() {
                thread::yield_now();
            }
            self.pool.release(packet);
        }
        count
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.pool.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        for packet in burst.drain() {
            self.pool.release(packet);
        }
    }
}
