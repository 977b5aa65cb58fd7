//! Ports in ordinary memory: for replay, tests, fuzzing and benchmarks.

use std::collections::VecDeque;

use super::Device;
use crate::interface::{Interface, PortId};
use crate::packet::{Burst, MemoryPool, Packet};

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

    fn with(port_count: usize, pool: MemoryPool, sent: Sent) -> Self {
        let queue = || VecDeque::with_capacity(pool.total());
        let arriving = core::iter::repeat_with(queue).take(port_count).collect();
        Self { pool, arriving, sent }
    }

    /// Lets a frame arrive on `port`. False: there is no such port, no buffer, or it is too long.
    pub fn inject(&mut self, port: PortId, frame: &[u8]) -> bool {
        let Some(queue) = self.arriving.get_mut(port.index()) else { return false };
        let Some(packet) = self.pool.allocate_with(frame) else { return false };
        queue.push_back(packet);
        true
    }

    /// Hands every frame that was sent since the last call to `see`, in order.
    pub fn drain_sent(&mut self, mut see: impl FnMut(PortId, &[u8])) {
        let Sent::Collect { frames, .. } = &mut self.sent else { return };
        for (port, packet) in frames.drain(..) {
            see(port, packet.data());
            self.pool.release(packet);
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
                    self.pool.release(packet);
                }
                count
            }
        }
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
