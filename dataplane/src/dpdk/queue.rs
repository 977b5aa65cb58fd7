//! One worker's queues of every port: the [`Device`] of the packet path.
//!
//! A burst costs one call into C. Where a device has fewer transmit queues than there are workers,
//! a queue has one owner; the others hand it their packets over a bounded ring, and the owner
//! sends them when it next receives on that port. A full ring is the sender's drop, never a wait.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use dpdk_sys as sys;

use super::mbuf::{self, Checksums, Mbuf};
use super::port::{Port, RimCounters};
use super::rim::Shared;
use crate::device::Device;
use crate::interface::{Interface, PortId};
use crate::packet::{BURST_MAX, Burst, Packet};

/// Packets that wait for the owner of a shared transmit queue, at most.
const HAND_OVER_MAX: usize = 1024;

/// Bursts that an owner sends for others at a time, at most.
const HANDED_BURSTS_MAX: usize = 4;

type RawBurst = [MaybeUninit<*mut sys::rte_mbuf>; BURST_MAX];

const EMPTY: RawBurst = [MaybeUninit::uninit(); BURST_MAX];

/// Packets on their way to the worker that owns a transmit queue.
pub(super) struct HandOver {
    ring: ArrayQueue<Mbuf>,
}

impl core::fmt::Debug for HandOver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HandOver").field("waiting", &self.ring.len()).finish()
    }
}

impl HandOver {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { ring: ArrayQueue::new(HAND_OVER_MAX) })
    }

    /// Takes up to a burst of packets out; they are the caller's.
    fn take(&self, mbufs: &mut RawBurst) -> usize {
        let mut count = 0;
        for slot in mbufs {
            let Some(mbuf) = self.ring.pop() else { break };
            slot.write(mbuf.as_ptr());
            count += 1;
        }
        count
    }

    /// Gives what is waiting back to the pool.
    pub(super) fn release_all(&self) {
        let mut mbufs = EMPTY;
        loop {
            let count = self.take(&mut mbufs);
            if count == 0 {
                return;
            }
            // SAFETY: `take` wrote that many.
            mbuf::release(unsafe { mbufs[..count].assume_init_mut() });
        }
    }
}

/// How a worker sends on a port.
pub(super) enum Transmit {
    /// By its own queue, for others too if there are such.
    Own { queue: u16, handed: Option<Arc<HandOver>> },
    /// Through another worker.
    Through(Arc<HandOver>),
}

/// One worker's queues of one port.
pub(super) struct PortQueues {
    id: u16,
    ingress: Interface,
    receive: Box<[u16]>,
    next: usize,
    transmit: Transmit,
    /// The device was asked to check the IPv4 header checksum of what it receives.
    checks_received: bool,
    counters: Arc<RimCounters>,
}

impl PortQueues {
    /// The queues of `port`, whose number is `number`, that a worker receives from and sends on.
    pub(super) fn new(
        port: &Port,
        number: PortId,
        receive: Box<[u16]>,
        transmit: Transmit,
    ) -> Self {
        let (ingress, counters) = (Interface::port(number), Arc::clone(&port.counters));
        let checks_received = port.checks_received;
        Self { id: port.id, ingress, receive, next: 0, transmit, checks_received, counters }
    }

    /// One turn over the queues, starting behind the one that was first last time.
    #[inline]
    fn receive(&mut self, burst: &mut Burst, limit: usize) -> usize {
        let mut received = 0;
        for _ in 0..self.receive.len() {
            let Some(&queue) = self.receive.get(self.next) else { break };
            self.next = if self.next + 1 < self.receive.len() { self.next + 1 } else { 0 };
            received += self.receive_from(queue, burst, limit - received);
            if received >= limit {
                break;
            }
        }
        received
    }

    /// `limit` is at most the burst's room.
    #[inline]
    fn receive_from(&self, queue: u16, burst: &mut Burst, limit: usize) -> usize {
        let mut mbufs = EMPTY;
        let room = u16::try_from(limit.min(BURST_MAX)).unwrap_or(0);
        // SAFETY: the queue is this worker's alone, and there is room for that many pointers.
        let count = unsafe { sys::shim_rx_burst(self.id, queue, mbufs.as_mut_ptr().cast(), room) };
        let before = burst.len();
        let received = mbufs.get(..usize::from(count)).unwrap_or_default();
        // SAFETY: the driver wrote `count` pointers.
        let received = unsafe { received.assume_init_ref() };
        let mbufs = received.iter().map(|&pointer| {
            // SAFETY: a driver returns no null pointers.
            let pointer = unsafe { NonNull::new_unchecked(pointer) };
            // SAFETY: the driver gives a received mbuf away.
            unsafe { Mbuf::from_raw(pointer) }
        });
        let linear = mbufs.filter(|mbuf| mbuf.is_linear() || self.linearize(*mbuf));
        // There is room for `limit`, which bounds `count`.
        let checksums = self.checksums();
        burst.extend(linear.map(|mbuf| mbuf.into_packet(self.ingress, checksums)));
        burst.len() - before
    }

    #[inline]
    fn checksums(&self) -> Checksums<'_> {
        if self.checks_received {
            Checksums::Asked(&self.counters.receive_bad_checksum)
        } else {
            Checksums::Unasked
        }
    }

    /// False: it fits no buffer, and is gone.
    #[cold]
    fn linearize(&self, mbuf: Mbuf) -> bool {
        if mbuf.linearize() {
            return true;
        }
        mbuf::release(&mut [mbuf.as_ptr()]);
        self.counters.receive_too_long.fetch_add(1, Ordering::Relaxed);
        false
    }

    #[inline]
    fn send(&self, burst: &mut Burst) -> usize {
        match &self.transmit {
            Transmit::Own { queue, .. } => {
                // A flow that has moved here from another worker must not overtake what that one
                // has left for this queue.
                self.send_handed_over();
                self.send_on(*queue, burst)
            }
            Transmit::Through(hand_over) => {
                let mut count = 0;
                for packet in burst.packets() {
                    if hand_over.ring.push(mbuf_to_send(packet)).is_err() {
                        break;
                    }
                    count += 1;
                }
                burst.forget_front(count);
                count
            }
        }
    }

    #[inline]
    fn send_on(&self, queue: u16, burst: &mut Burst) -> usize {
        let mut mbufs = EMPTY;
        for (slot, packet) in mbufs.iter_mut().zip(burst.packets()) {
            slot.write(mbuf_to_send(packet).as_ptr());
        }
        let count = u16::try_from(burst.len()).unwrap_or(0);
        // SAFETY: the queue is this worker's alone; that many pointers were written.
        let sent = unsafe { sys::shim_tx_burst(self.id, queue, mbufs.as_mut_ptr().cast(), count) };
        burst.forget_front(usize::from(sent));
        usize::from(sent)
    }

    /// Sends what other workers handed over. What the device does not take is dropped and counted:
    /// it was somebody else's success already.
    #[inline]
    fn send_handed_over(&self) {
        if let Transmit::Own { queue, handed: Some(hand_over) } = &self.transmit
            && !hand_over.ring.is_empty()
        {
            for _ in 0..HANDED_BURSTS_MAX {
                if !self.send_handed_burst(*queue, hand_over) {
                    return;
                }
            }
        }
    }

    /// Whether there may be more.
    fn send_handed_burst(&self, queue: u16, hand_over: &HandOver) -> bool {
        let mut mbufs = EMPTY;
        let count = hand_over.take(&mut mbufs);
        let length = u16::try_from(count).unwrap_or(0);
        // SAFETY: the queue is this worker's alone; that many pointers were written.
        let sent = unsafe { sys::shim_tx_burst(self.id, queue, mbufs.as_mut_ptr().cast(), length) };
        let rest = &mut mbufs[usize::from(sent)..count];
        if !rest.is_empty() {
            let dropped = rest.len() as u64;
            // SAFETY: written above; the device took those in front of them only.
            mbuf::release(unsafe { rest.assume_init_mut() });
            self.counters.handed_over_dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        count == BURST_MAX
    }
}

/// The packet's mbuf, brought up to date.
#[inline]
fn mbuf_to_send(packet: &Packet) -> Mbuf {
    let mbuf = mbuf_of(packet);
    mbuf.follow(packet);
    mbuf
}

#[inline]
fn mbuf_of(packet: &Packet) -> Mbuf {
    match Mbuf::of(packet) {
        Some(mbuf) => mbuf,
        None => foreign_packet(),
    }
}

#[cold]
fn foreign_packet() -> ! {
    panic!("a packet of ordinary memory was given to a DPDK port")
}

/// One worker's view of all ports.
pub struct WorkerPorts {
    ports: Box<[PortQueues]>,
    // Last, so that ports and pool outlive the queues.
    shared: Arc<Shared>,
}

impl WorkerPorts {
    pub(super) fn new(shared: Arc<Shared>, worker: u16, workers: u16) -> Self {
        let numbers = (0..).map(PortId);
        let ports = shared.ports.iter().zip(numbers);
        let ports = ports.map(|(port, number)| port.queues(number, worker, workers)).collect();
        Self { ports, shared }
    }
}

impl Device for WorkerPorts {
    fn port_count(&self) -> usize {
        self.ports.len()
    }

    #[inline]
    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        let Some(queues) = self.ports.get_mut(port.index()) else { return 0 };
        queues.send_handed_over();
        queues.receive(burst, limit.min(BURST_MAX - burst.len()))
    }

    #[inline]
    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        match self.ports.get(port.index()) {
            Some(queues) if !burst.is_empty() => queues.send(burst),
            _ => 0,
        }
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.shared.pool.allocate()
    }

    #[inline]
    fn release(&mut self, burst: &mut Burst) {
        let mut mbufs = EMPTY;
        let count = burst.len();
        for (slot, packet) in mbufs.iter_mut().zip(burst.drain()) {
            slot.write(mbuf_of(&packet).as_ptr());
        }
        // SAFETY: one was written for each packet.
        mbuf::release(unsafe { mbufs[..count].assume_init_mut() });
    }
}
