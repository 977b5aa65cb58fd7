//! A device that costs next to nothing, so that what is measured is the worker.

use adit_dataplane::device::Device;
use adit_dataplane::interface::{Interface, PortId};
use adit_dataplane::packet::{Burst, HEADROOM, MemoryPool, Packet};

/// Bytes that the longest frame may have.
pub const FRAME_MAX: usize = 128;

/// A frame from the destination MAC on, and how many bytes of it count.
pub type Frame = ([u8; FRAME_MAX], usize);

/// A port whose frames never end: what is sent comes in again, written anew.
pub struct Treadmill {
    arrives_on: PortId,
    frames: Vec<Frame>,
    next: usize,
    idle: Vec<Packet>,
    spare: MemoryPool,
    sent: u64,
}

impl Treadmill {
    /// Of two ports, `frames` arrive on `arrives_on` one after the other, and again.
    pub fn new(arrives_on: PortId, frames: Vec<Frame>) -> Self {
        Self::with_buffers(arrives_on, frames, 1024)
    }

    /// The same with so many buffers, of which 512 are for packets that the worker makes.
    pub fn with_buffers(arrives_on: PortId, frames: Vec<Frame>, count: usize) -> Self {
        let mut spare = MemoryPool::new(count, 2048);
        let idle = core::iter::from_fn(|| spare.allocate()).take(count - 512).collect();
        Self { arrives_on, frames, next: 0, idle, spare, sent: 0 }
    }

    /// Frames sent so far, by either port.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl Device for Treadmill {
    fn port_count(&self) -> usize {
        2
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        if port != self.arrives_on {
            return 0;
        }
        for count in 0..limit {
            let Some(mut packet) = self.idle.pop() else { return count };
            let (frame, len) = &self.frames[self.next];
            self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
            packet.rebuild(HEADROOM, |room| {
                if let Some(start) = room.first_chunk_mut::<FRAME_MAX>() {
                    *start = *frame;
                }
                *len
            });
            packet.meta.ingress = Interface::port(port);
            if burst.push(packet).is_err() {
                return count;
            }
        }
        limit
    }

    fn send(&mut self, _: PortId, burst: &mut Burst) -> usize {
        let count = burst.len();
        self.sent += count as u64;
        self.idle.extend(burst.drain());
        count
    }

    fn allocate(&mut self) -> Option<Packet> {
        // What it has made before is among the others now.
        self.spare.allocate().or_else(|| self.idle.pop())
    }

    fn release(&mut self, burst: &mut Burst) {
        self.idle.extend(burst.drain());
    }
}

/// A device without a worker: what it alone costs.
pub struct Alone {
    device: Treadmill,
    burst: Burst,
    len: usize,
}

impl Alone {
    /// A device of which `len` frames at a time are taken.
    pub fn new(device: Treadmill, len: u16) -> Self {
        Self { device, burst: Burst::new(), len: len.into() }
    }

    /// Takes a burst and gives it back.
    pub fn turn(&mut self) {
        let port = self.device.arrives_on;
        self.device.receive(port, &mut self.burst, self.len);
        self.device.send(port, &mut self.burst);
    }
}
