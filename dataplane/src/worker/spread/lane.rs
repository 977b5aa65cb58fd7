//! A lane: the way of bursts from one worker to another.
//!
//! Full bursts go one way and empty ones come back, both through bounded lock-free rings of boxes,
//! so that one operation moves many packets and nothing is allocated after the start. Nobody waits:
//! a lane without an empty burst is full.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use crate::interface::PortId;
use crate::packet::{Burst, Packet, prefetch};

/// Parcels that can be on their way in one lane.
pub const LANE_PARCELS: usize = 32;

/// Packets from which on an open parcel is not kept back any more.
const WORTH_SENDING: usize = 32;

/// Parcels that keep the other worker busy while the next one is filled.
const PARCELS_AHEAD: u64 = 4;

/// Packets that a cache line of a parcel holds.
const PACKETS_A_LINE: usize = 64 / size_of::<Packet>();

/// How far ahead of its use a place in a parcel is asked for, which the other core has had last.
const PLACES_AHEAD: usize = 8;

/// A burst on its way.
pub(super) struct Parcel {
    pub(super) burst: Box<Burst>,
    /// Where its packets came in.
    pub(super) port: PortId,
    /// When the first of them did, in cycles.
    pub(super) start: u64,
}

/// The rings of one lane.
pub(super) struct Lane {
    full: ArrayQueue<Parcel>,
    empty: ArrayQueue<Box<Burst>>,
    /// Parcels that have been seen through to their end; written by the receiving worker.
    completed: CachePadded<AtomicU64>,
}

impl Lane {
    /// With its empty bursts, and one for the sender to begin with.
    pub(super) fn new() -> (Arc<Self>, Box<Burst>) {
        let lane = Self {
            full: ArrayQueue::new(LANE_PARCELS),
            empty: ArrayQueue::new(LANE_PARCELS + 1),
            completed: CachePadded::default(),
        };
        while lane.empty.len() < LANE_PARCELS {
            // There is room for one more than that.
            let _ = lane.empty.push(Box::new(Burst::new()));
        }
        (Arc::new(lane), Box::new(Burst::new()))
    }

    /// Receiver: the next parcel. It must come back by [`complete`](Self::complete).
    #[inline]
    pub(super) fn take(&self) -> Option<Parcel> {
        let parcel = self.full.pop()?;
        parcel.burst.packets().chunks(PACKETS_A_LINE).for_each(|line| prefetch(&line[0]));
        Some(parcel)
    }

    /// Receiver: the packets of the oldest parcel that is outstanding have been seen through, and
    /// this was their burst, empty now.
    #[inline]
    pub(super) fn complete(&self, burst: Box<Burst>) {
        debug_assert!(burst.is_empty(), "packets were forgotten in a parcel");
        // There is room for all bursts that exist.
        let _ = self.empty.push(burst);
        let completed = self.completed.load(Ordering::Relaxed) + 1;
        // Whoever sees the number also sees what became of the packets.
        self.completed.store(completed, Ordering::Release);
    }
}

/// The sender's end of a lane.
pub(super) struct Outbound {
    lane: Arc<Lane>,
    open: Box<Burst>,
    port: PortId,
    start: u64,
    /// Parcels sent.
    sent: u64,
    /// Packets in those that nobody has asked about yet.
    sent_packets: u64,
    depth_max: u64,
}

impl Outbound {
    pub(super) fn new(lane: Arc<Lane>, open: Box<Burst>) -> Self {
        Self { lane, open, port: PortId(0), start: 0, sent: 0, sent_packets: 0, depth_max: 0 }
    }

    /// Puts a packet into the open parcel, or gives it back when the lane is full.
    #[inline]
    pub(super) fn put(&mut self, packet: Packet, port: PortId, start: u64) -> Result<(), Packet> {
        if self.open.is_empty() {
            self.port = port;
            self.start = start;
        } else if (self.port != port || self.open.is_full()) && !self.send(port, start) {
            return Err(packet);
        }
        self.open.prefetch_place(PLACES_AHEAD);
        self.open.push(packet)
    }

    /// Sends what has been collected, unless the other worker still has enough to do: it gets a
    /// larger parcel in a later round then. Called in every round.
    #[inline]
    pub(super) fn flush(&mut self) {
        if self.open.is_empty() {
            return;
        }
        if self.open.len() >= WORTH_SENDING || self.depth() < PARCELS_AHEAD {
            self.send(self.port, self.start);
        }
    }

    /// Sends what has been collected, if there is room at all.
    pub(super) fn close(&mut self) {
        if !self.open.is_empty() {
            self.send(self.port, self.start);
        }
    }

    /// Sends the open parcel and opens another for `port`. False: the lane is full, nothing has
    /// changed.
    fn send(&mut self, port: PortId, start: u64) -> bool {
        let Some(next) = self.lane.empty.pop() else { return false };
        let burst = core::mem::replace(&mut self.open, next);
        self.sent += 1;
        self.sent_packets += burst.len() as u64;
        let parcel = Parcel { burst, port: self.port, start: self.start };
        // There is room: one burst that exists is open, and the others fit.
        let _ = self.lane.full.push(parcel);
        self.depth_max = self.depth_max.max(self.depth());
        (self.port, self.start) = (port, start);
        true
    }

    /// Parcels on their way or being seen through.
    #[inline]
    pub(super) fn depth(&self) -> u64 {
        self.sent.saturating_sub(self.completed())
    }

    /// Packets sent since the last call.
    #[inline]
    pub(super) fn take_sent_packets(&mut self) -> u64 {
        core::mem::take(&mut self.sent_packets)
    }

    /// The most parcels that were ever on their way.
    #[inline]
    pub(super) fn depth_max(&self) -> u64 {
        self.depth_max
    }

    /// What [`completed`](Self::completed) must reach before everything handed over so far has come
    /// to its end.
    pub(super) fn barrier(&self) -> u64 {
        self.sent + u64::from(!self.open.is_empty())
    }

    /// Parcels that the other worker has seen through.
    #[inline]
    pub(super) fn completed(&self) -> u64 {
        self.lane.completed.load(Ordering::Acquire)
    }

    /// The open parcel, at the end, if there are packets in it.
    pub(super) fn open_parcel(&mut self) -> Option<&mut Box<Burst>> {
        (!self.open.is_empty()).then_some(&mut self.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{BURST_MAX, MemoryPool};

    const PORT: PortId = PortId(0);

    fn put(outbound: &mut Outbound, pool: &mut MemoryPool, count: usize) -> usize {
        let mut taken = 0;
        for _ in 0..count {
            match outbound.put(pool.allocate().unwrap(), PORT, 7) {
                Ok(()) => taken += 1,
                Err(packet) => pool.release(packet),
            }
        }
        taken
    }

    fn take(lane: &Lane, pool: &mut MemoryPool) -> Option<usize> {
        let mut parcel = lane.take()?;
        let count = parcel.burst.len();
        parcel.burst.drain().for_each(|packet| pool.release(packet));
        lane.complete(parcel.burst);
        Some(count)
    }

    #[test]
    fn a_lane_takes_its_parcels_and_refuses_the_next_packet_without_waiting() {
        let (lane, open) = Lane::new();
        let mut outbound = Outbound::new(Arc::clone(&lane), open);
        let room = (LANE_PARCELS + 1) * BURST_MAX;
        let mut pool = MemoryPool::new(room + 10, 256);
        assert_eq!(put(&mut outbound, &mut pool, room + 10), room);
        assert_eq!(outbound.depth(), LANE_PARCELS as u64);
        assert_eq!(take(&lane, &mut pool), Some(BURST_MAX));
        assert_eq!(put(&mut outbound, &mut pool, BURST_MAX + 1), BURST_MAX);
        while take(&lane, &mut pool).is_some() {}
        outbound.flush();
        assert_eq!(take(&lane, &mut pool), Some(BURST_MAX));
        assert_eq!(outbound.depth(), 0);
        assert_eq!(pool.free_count(), pool.total());
    }

    #[test]
    fn a_worker_that_is_behind_gets_larger_parcels_and_one_that_waits_gets_what_there_is() {
        let (lane, open) = Lane::new();
        let mut outbound = Outbound::new(Arc::clone(&lane), open);
        let mut pool = MemoryPool::new(1024, 256);
        for _ in 0..PARCELS_AHEAD {
            put(&mut outbound, &mut pool, 1);
            outbound.flush();
        }
        assert_eq!(outbound.depth(), PARCELS_AHEAD);
        for round in 0..WORTH_SENDING {
            assert_eq!(outbound.depth(), PARCELS_AHEAD, "round {round}");
            put(&mut outbound, &mut pool, 1);
            outbound.flush();
        }
        assert_eq!(outbound.depth(), PARCELS_AHEAD + 1);
        put(&mut outbound, &mut pool, 1);
        outbound.flush();
        let mut sizes = Vec::new();
        while let Some(size) = take(&lane, &mut pool) {
            sizes.push(size);
            outbound.flush();
        }
        assert_eq!(sizes, [1, 1, 1, 1, WORTH_SENDING, 1]);
    }

    #[test]
    fn parcels_hold_packets_of_one_port_each() {
        let (lane, open) = Lane::new();
        let mut outbound = Outbound::new(Arc::clone(&lane), open);
        let mut pool = MemoryPool::new(8, 256);
        for (port, start) in [(0, 10), (0, 11), (1, 12), (0, 13)] {
            outbound.put(pool.allocate().unwrap(), PortId(port), start).unwrap();
        }
        outbound.flush();
        let mut seen = Vec::new();
        while let Some(mut parcel) = lane.take() {
            seen.push((parcel.port.0, parcel.start, parcel.burst.len()));
            parcel.burst.drain().for_each(|packet| pool.release(packet));
        }
        assert_eq!(seen, [(0, 10, 2), (1, 12, 1), (0, 13, 1)]);
    }
}
