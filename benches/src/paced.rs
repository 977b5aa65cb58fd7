//! A device whose frames arrive by the clock, whether or not somebody takes them.

use adit_dataplane::clock::cycles;
use adit_dataplane::device::Device;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::{Burst, Packet};

use crate::treadmill::Treadmill;

/// Frames at equal distances, in a queue without end. How long each was in the box is counted from
/// the moment when it was due, not from when it was taken: a worker that is late makes all frames
/// behind it late, and they tell. Frames must leave in the order in which they came.
pub struct Paced {
    frames: Treadmill,
    start: u64,
    clocks_between: f64,
    received: u64,
    sent: u64,
    waits: Vec<u32>,
}

impl Paced {
    /// One of `frames` each `clocks_between`; room to note `count` of them.
    pub fn new(frames: Treadmill, clocks_between: f64, count: usize) -> Self {
        let waits = Vec::with_capacity(count);
        Self { frames, start: cycles(), clocks_between, received: 0, sent: 0, waits }
    }

    /// Lets the first frame be due now, and forgets what was noted.
    pub fn restart(&mut self, clocks_between: f64) {
        self.clocks_between = clocks_between;
        (self.received, self.sent) = (0, 0);
        self.waits.clear();
        self.start = cycles();
    }

    /// Clocks from being due to being sent of each frame, in their order.
    pub fn waits(&mut self) -> &mut Vec<u32> {
        &mut self.waits
    }

    /// When a frame is due.
    #[expect(clippy::cast_precision_loss, reason = "a second's clocks are exact in 53 bits")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "so are they back")]
    fn due(&self, number: u64) -> u64 {
        self.start + (number as f64 * self.clocks_between) as u64
    }

    /// How many frames are due by now.
    #[expect(clippy::cast_precision_loss, reason = "a second's clocks are exact in 53 bits")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "so are they back")]
    fn due_count(&self) -> u64 {
        ((cycles() - self.start) as f64 / self.clocks_between) as u64
    }
}

impl Device for Paced {
    fn port_count(&self) -> usize {
        self.frames.port_count()
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        let waiting = usize::try_from(self.due_count() - self.received).unwrap_or(limit);
        let count = self.frames.receive(port, burst, limit.min(waiting));
        self.received += count as u64;
        count
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        let (now, count) = (cycles(), burst.len());
        for number in self.sent..self.sent + count as u64 {
            if self.waits.len() < self.waits.capacity() {
                let wait = now.saturating_sub(self.due(number));
                self.waits.push(u32::try_from(wait).unwrap_or(u32::MAX));
            }
        }
        self.sent += count as u64;
        self.frames.send(port, burst)
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.frames.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        self.frames.release(burst);
    }
}
