//! Ports in ordinary memory: for replay, tests, fuzzing and benchmarks.

use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use super::Device;
use crate::interface::{Interface, PortId};
use crate::packet::{Burst, Flags, MemoryPool, Packet};

/// A frame that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFrame {
    /// The port it left by.
    pub port: PortId,
    /// Its bytes, from the destination MAC on.
    pub bytes: Vec<u8>,
}

/// Ports whose cables end in queues: frames are put in with [`inject`](Self::inject) and what was
/// sent is taken out with [`take_sent`](Self::take_sent).
pub struct MemoryDevice {
    pool: MemoryPool,
    arriving: Vec<VecDeque<Packet>>,
    sent: Sent,
    /// Of several workers' devices: where their buffers go home to, by the number of the pool.
    homes: Arc<[(usize, ArrayQueue<Packet>)]>,
}

/// What becomes of frames that are sent.
enum Sent {
    Collect { frames: Vec<(PortId, Packet)>, limit: usize },
    Count { frames: u64, bytes: u64 },
}

impl MemoryDevice {
    /// `port_count` ports over `pool`; what is sent is kept until it is taken.
    pub fn new(port_count: usize, pool: MemoryPool) -> Self {
        let limit = pool.total();
        let frames = Vec::with_capacity(limit);
        Self::with(port_count, pool, Sent::Collect { frames, limit })
    }

    /// `port_count` ports over `pool`; what is sent is counted and forgotten.
    pub fn counting(port_count: usize, pool: MemoryPool) -> Self {
        Self::with(port_count, pool, Sent::Count { frames: 0, bytes: 0 })
    }

    /// Devices for workers that hand packets to each other, each over one of `pools`: a buffer that
    /// any of them releases goes back to its own pool.
    pub fn group(port_count: usize, pools: Vec<MemoryPool>) -> Vec<Self> {
        let room: usize = pools.iter().map(MemoryPool::total).sum();
        let home = |pool: &MemoryPool| (pool.number(), ArrayQueue::new(pool.total().max(1)));
        let homes: Arc<[_]> = pools.iter().map(home).collect();
        let device = |pool| {
            let sent = Sent::Collect { frames: Vec::with_capacity(room), limit: room };
            Self { homes: Arc::clone(&homes), ..Self::with(port_count, pool, sent) }
        };
        pools.into_iter().map(device).collect()
    }

    fn with(port_count: usize, pool: MemoryPool, sent: Sent) -> Self {
        let queue = || VecDeque::with_capacity(pool.total());
        let arriving = core::iter::repeat_with(queue).take(port_count).collect();
        Self { pool, arriving, sent, homes: Arc::default() }
    }

    /// Takes back what other workers of the group have released.
    pub fn reclaim(&mut self) {
        let Some((_, home)) = self.homes.iter().find(|(number, _)| *number == self.pool.number())
        else {
            return;
        };
        while let Some(packet) = home.pop() {
            self.pool.release(packet);
        }
    }

    /// Lets a frame arrive on `port`. False: there is no such port, no buffer, or it is too long.
    pub fn inject(&mut self, port: PortId, frame: &[u8]) -> bool {
        self.inject_checked(port, frame, Flags::NONE)
    }

    /// As [`inject`](Self::inject), from a device that has looked at the frame and says `flags` of it.
    pub fn inject_checked(&mut self, port: PortId, frame: &[u8], flags: Flags) -> bool {
        self.reclaim();
        let Some(queue) = self.arriving.get_mut(port.index()) else { return false };
        let Some(mut packet) = self.pool.allocate_with(frame) else { return false };
        packet.meta.flags = flags;
        queue.push_back(packet);
        true
    }

    /// Hands every frame that was sent since the last call to `see`, in order.
    pub fn drain_sent(&mut self, mut see: impl FnMut(PortId, &[u8])) {
        let Sent::Collect { frames, .. } = &mut self.sent else { return };
        for (port, packet) in frames.drain(..) {
            see(port, packet.data());
            release(&mut self.pool, &self.homes, packet);
        }
    }

    /// Every frame that was sent since the last call, in order.
    pub fn take_sent(&mut self) -> Vec<SentFrame> {
        let mut sent = Vec::new();
        self.drain_sent(|port, bytes| sent.push(SentFrame { port, bytes: bytes.to_vec() }));
        sent
    }

    /// Frames and bytes sent so far by a counting device.
    pub fn sent_totals(&self) -> (u64, u64) {
        match self.sent {
            Sent::Count { frames, bytes } => (frames, bytes),
            Sent::Collect { .. } => (0, 0),
        }
    }

    /// The buffers.
    pub fn pool(&self) -> &MemoryPool {
        &self.pool
    }
}

impl Device for MemoryDevice {
    fn port_count(&self) -> usize {
        self.arriving.len()
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        let Some(queue) = self.arriving.get_mut(port.index()) else { return 0 };
        let mut count = 0;
        while count < limit && !burst.is_full() {
            let Some(mut packet) = queue.pop_front() else { break };
            packet.meta.ingress = Interface::port(port);
            if let Err(packet) = burst.push(packet) {
                queue.push_front(packet);
                break;
            }
            count += 1;
        }
        count
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        match &mut self.sent {
            Sent::Collect { frames, limit } => {
                let room = limit.saturating_sub(frames.len()).min(burst.len());
                if room < burst.len() {
                    return 0;
                }
                frames.extend(burst.drain().map(|packet| (port, packet)));
                room
            }
            Sent::Count { frames, bytes } => {
                let count = burst.len();
                *frames += count as u64;
                for packet in burst.drain() {
                    *bytes += packet.len() as u64;
                    release(&mut self.pool, &self.homes, packet);
                }
                count
            }
        }
    }

    fn allocate(&mut self) -> Option<Packet> {
        if self.pool.free_count() == 0 {
            self.reclaim();
        }
        self.pool.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        for packet in burst.drain() {
            release(&mut self.pool, &self.homes, packet);
        }
    }
}

/// Gives a buffer back to the pool it comes from, on a way that has room for all its buffers.
fn release(pool: &mut MemoryPool, homes: &[(usize, ArrayQueue<Packet>)], packet: Packet) {
    let number = MemoryPool::number_of(&packet);
    match homes.iter().find(|(home, _)| *home == number && *home != pool.number()) {
        Some((_, home)) => {
            let overflow = home.push(packet);
            debug_assert!(overflow.is_ok(), "a pool has no more buffers than its way home");
        }
        None => pool.release(packet),
    }
}
