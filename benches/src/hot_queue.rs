//! A device for several workers with one queue that never drains: what any of them sends comes in
//! again at the first one, another frame. Buffers go home in bursts, as a mempool's caches move them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_dataplane::clock::cycles;
use adit_dataplane::device::Device;
use adit_dataplane::interface::{Interface, PortId};
use adit_dataplane::packet::{Burst, HEADROOM, MemoryPool, Packet};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use crate::packets::UNDERLAY;
use crate::treadmill::{FRAME_MAX, Frame};

/// Buffers of the queue.
const BUFFERS: usize = 8192;

/// Bytes of a buffer: an odd number of pairs of cache lines, so that the headers of a burst don't share few places of a
/// cache, as in DPDK's pools.
const BUFFER_LEN: u16 = 2048 + 128;

/// Packets that go home at a time.
const HOMEBOUND: usize = 32;

/// What all workers' devices share.
pub struct Shared {
    full: ArrayQueue<Box<Burst>>,
    empty: ArrayQueue<Box<Burst>>,
    /// Clocks that sending a packet takes longer than it does: encryption, checksums in software.
    pub extra_clocks: CachePadded<AtomicU64>,
    sent: [CachePadded<AtomicU64>; 2],
}

impl Shared {
    /// Packets sent by all.
    pub fn sent(&self) -> u64 {
        self.sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum()
    }
}

/// One worker's device.
pub struct HotQueue {
    shared: Arc<Shared>,
    number: usize,
    frames: Vec<Frame>,
    next: usize,
    idle: Vec<Packet>,
    homebound: Box<Burst>,
    // Buffers outlive their pool's value, which is kept for order's sake.
    _pool: Option<MemoryPool>,
}

impl HotQueue {
    /// The devices of two workers; `frames` arrive at the first of them.
    pub fn pair(frames: Vec<Frame>) -> (Arc<Shared>, [Self; 2]) {
        let shared = Arc::new(Shared {
            full: ArrayQueue::new(BUFFERS / HOMEBOUND),
            empty: ArrayQueue::new(BUFFERS / HOMEBOUND),
            extra_clocks: CachePadded::default(),
            sent: Default::default(),
        });
        while shared.empty.push(Box::new(Burst::new())).is_ok() {}
        let mut pool = MemoryPool::new(BUFFERS, BUFFER_LEN);
        let device = |number, frames, pool| Self {
            shared: Arc::clone(&shared),
            number,
            frames,
            next: 0,
            idle: Vec::new(),
            homebound: Box::new(Burst::new()),
            _pool: pool,
        };
        let mut buffers: Vec<Packet> = core::iter::from_fn(|| pool.allocate()).collect();
        let mut first = device(0, frames.clone(), Some(pool));
        for packet in &mut buffers {
            first.write_frame(packet);
        }
        first.idle = buffers;
        let second = device(1, frames, None);
        (shared, [first, second])
    }

    /// Writes the next frame into a buffer, which a NIC would do by itself. Whoever sent the packet
    /// before has it in its cache, so this costs little, and nothing where the frame comes in.
    fn write_frame(&mut self, packet: &mut Packet) {
        let (frame, len) = &self.frames[self.next];
        self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
        packet.rebuild(HEADROOM, |room| {
            if let Some(start) = room.first_chunk_mut::<FRAME_MAX>() {
                *start = *frame;
            }
            *len
        });
    }

    fn give_back(&mut self, burst: &mut Burst) {
        for packet in burst.packets_mut() {
            self.write_frame(packet);
        }
        if self.number == 0 {
            return self.idle.extend(burst.drain());
        }
        for packet in burst.drain() {
            self.homebound.prefetch_place(8);
            assert!(self.homebound.push(packet).is_ok(), "it is sent before it is full");
            if self.homebound.len() == HOMEBOUND {
                let empty = self.shared.empty.pop().expect("a burst for every packet there is");
                let full = core::mem::replace(&mut self.homebound, empty);
                assert!(self.shared.full.push(full).is_ok(), "there is room for all bursts");
            }
        }
    }

    fn take_home(&mut self) {
        while let Some(mut burst) = self.shared.full.pop() {
            self.idle.extend(burst.drain());
            assert!(self.shared.empty.push(burst).is_ok(), "there is room for all bursts");
        }
    }
}

impl Device for HotQueue {
    fn port_count(&self) -> usize {
        2
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        if port != UNDERLAY || self.number != 0 {
            return 0;
        }
        if self.idle.len() < limit {
            self.take_home();
        }
        for count in 0..limit {
            let Some(mut packet) = self.idle.pop() else { return count };
            packet.meta.ingress = Interface::port(port);
            if burst.push(packet).is_err() {
                return count;
            }
        }
        limit
    }

    fn send(&mut self, _: PortId, burst: &mut Burst) -> usize {
        let count = burst.len() as u64;
        let extra = self.shared.extra_clocks.load(Ordering::Relaxed);
        let until = cycles() + extra * count;
        while extra > 0 && cycles() < until {}
        self.give_back(burst);
        let sent = &self.shared.sent[self.number];
        sent.store(sent.load(Ordering::Relaxed) + count, Ordering::Relaxed);
        usize::try_from(count).unwrap_or(0)
    }

    fn allocate(&mut self) -> Option<Packet> {
        None
    }

    fn release(&mut self, burst: &mut Burst) {
        self.give_back(burst);
    }
}
