//! Counters of one worker: written by the worker alone, read by anybody.
//!
//! A cell is an atomic that only its worker writes, so adding is a load and a store, never a
//! locked instruction; readers see values that are whole, if a little old.

mod list;

pub use list::{Counter, Kind};

use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::{FromBytes, FromZeros, KnownLayout};

use crate::interface::{PORTS_MAX, PortId};

/// A number that one thread adds to and others read.
#[derive(Debug, Default, FromBytes, KnownLayout)]
#[repr(transparent)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds; called by the owning thread alone.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Reads, from any thread.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many counters are kept per tunnel.
pub const TUNNEL_COUNTERS: usize = {
    let mut count = 0;
    while count < Counter::ALL.len() && Counter::ALL[count].is_per_tunnel() {
        count += 1;
    }
    count
};

impl Counter {
    /// Whether it is kept per tunnel: its name begins with `if.`.
    pub const fn is_per_tunnel(self) -> bool {
        matches!(self.name().as_bytes(), [b'i', b'f', b'.', ..])
    }

    /// The name as it stands in reports: without `if.`, which the tunnel it stands under replaces.
    pub fn short_name(self) -> &'static str {
        self.name().strip_prefix("if.").unwrap_or(self.name())
    }
}

const _: () = {
    let mut at = TUNNEL_COUNTERS;
    while at < Counter::ALL.len() {
        assert!(!Counter::ALL[at].is_per_tunnel(), "counters of tunnels stand first in the list");
        at += 1;
    }
};

/// Frames and bytes of a port, in and out.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct PortCounters {
    /// Frames received.
    pub rx_packets: Cell,
    /// Bytes received, without FCS.
    pub rx_bytes: Cell,
    /// Frames sent.
    pub tx_packets: Cell,
    /// Bytes sent, without FCS.
    pub tx_bytes: Cell,
}

/// Inner packets and bytes of a tunnel, in and out.
#[derive(Debug, Default, FromBytes, KnownLayout)]
#[repr(C)]
pub struct TunnelTraffic {
    /// Packets decapsulated and accepted.
    pub rx_packets: Cell,
    /// Their bytes, from the inner header on.
    pub rx_bytes: Cell,
    /// Packets encapsulated and handed to the underlay.
    pub tx_packets: Cell,
    /// Their bytes, from the inner header on.
    pub tx_bytes: Cell,
}

#[derive(Debug, FromBytes, KnownLayout)]
#[repr(C)]
struct TunnelEvents([Cell; TUNNEL_COUNTERS]);

/// Where a tunnel's counters are. It stays the tunnel's own from one generation to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterSlot(pub u32);

/// The counters of as many tunnels as slots are in it, for one worker. Memory that no tunnel uses
/// is never touched.
#[derive(Debug)]
pub struct TunnelCounters {
    traffic: Box<[TunnelTraffic]>,
    events: Box<[TunnelEvents]>,
}

impl TunnelCounters {
    /// Room for `slots` tunnels, all zero.
    ///
    /// # Panics
    /// When there is no memory for them.
    pub fn new(slots: usize) -> Self {
        let traffic = <[TunnelTraffic]>::new_box_zeroed_with_elems(slots)
            .expect("memory for the counters of the tunnels, because nothing works without");
        let events = <[TunnelEvents]>::new_box_zeroed_with_elems(slots)
            .expect("memory for the counters of the tunnels, because nothing works without");
        Self { traffic, events }
    }

    /// Room for how many tunnels.
    pub fn slots(&self) -> usize {
        self.traffic.len()
    }

    /// Traffic of a tunnel; `None` when the slot is beyond the room.
    #[inline]
    pub fn traffic(&self, slot: CounterSlot) -> Option<&TunnelTraffic> {
        self.traffic.get(slot.0 as usize)
    }

    /// One counter of a tunnel; `None` when it is not kept per tunnel or the slot is beyond.
    #[inline]
    pub fn event(&self, slot: CounterSlot, counter: Counter) -> Option<&Cell> {
        self.events.get(slot.0 as usize)?.0.get(counter as usize)
    }
}

/// What must add up: received + created = sent + dropped + consumed + held.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Balance {
    /// Frames taken from ports.
    pub received: Cell,
    /// Packets made here: ICMP, ARP, fragments, copies.
    pub created: Cell,
    /// Frames given to ports.
    pub sent: Cell,
    /// Packets that ended on a drop counter.
    pub dropped: Cell,
    /// Packets that were meant for this node, or became others (fragmented).
    pub consumed: Cell,
    /// Packets handed to the control thread (they wait for a neighbor), less those that came back.
    pub handed_over: Cell,
    /// Packets that came back from the control thread.
    pub handed_back: Cell,
}

/// What the worker's loop does with its time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct LoopCounters {
    /// Rounds over all ports.
    pub polls: Cell,
    /// Bursts that held at least one packet.
    pub bursts: Cell,
    /// Cycles in rounds that found packets.
    pub busy_cycles: Cell,
    /// The generation of tables that runs.
    pub generation: AtomicU64,
}

/// Packets in pieces that wait for the others, as it is now.
#[derive(Debug, Default)]
pub struct Waiting {
    packets: AtomicU64,
    pieces: AtomicU64,
    peers: AtomicU64,
}

impl Waiting {
    /// Packets, pieces and peers; called by the owning thread alone.
    #[inline]
    pub fn set(&self, (packets, pieces, peers): (u32, u32, u32)) {
        self.packets.store(packets.into(), Ordering::Relaxed);
        self.pieces.store(pieces.into(), Ordering::Relaxed);
        self.peers.store(peers.into(), Ordering::Relaxed);
    }

    /// Packets of which pieces wait.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// The pieces, each of which has a buffer.
    pub fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }

    /// Those they are from; all whose packets are for no tunnel count as one.
    pub fn peers(&self) -> u64 {
        self.peers.load(Ordering::Relaxed)
    }
}

/// Everything one worker counts.
#[derive(Debug)]
pub struct WorkerCounters {
    ports: [PortCounters; PORTS_MAX],
    global: [Cell; Counter::ALL.len()],
    /// What must add up.
    pub balance: Balance,
    /// What the loop does.
    pub work: LoopCounters,
    /// What waits to be put together.
    pub reassembly: Waiting,
    /// Room for the tunnels' counters.
    pub tunnels: TunnelCounters,
}

impl WorkerCounters {
    /// All zero, with room for `tunnel_slots` tunnels.
    pub fn new(tunnel_slots: usize) -> Self {
        Self {
            ports: core::array::from_fn(|_| PortCounters::default()),
            global: core::array::from_fn(|_| Cell::default()),
            balance: Balance::default(),
            work: LoopCounters::default(),
            reassembly: Waiting::default(),
            tunnels: TunnelCounters::new(tunnel_slots),
        }
    }

    /// Traffic of a port.
    #[inline]
    pub fn port(&self, port: PortId) -> &PortCounters {
        &self.ports[port.index() % PORTS_MAX]
    }

    /// A counter that belongs to no tunnel.
    #[inline]
    pub fn global(&self, counter: Counter) -> &Cell {
        &self.global[counter as usize % Counter::ALL.len()]
    }

    /// Counts one of `counter`, under the tunnel if it is one of a tunnel's and the slot is known.
    #[inline]
    pub fn count(&self, counter: Counter, slot: Option<CounterSlot>) {
        let cell = slot.and_then(|slot| self.tunnels.event(slot, counter));
        cell.unwrap_or_else(|| self.global(counter)).add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_a_sentence() {
        let mut names = HashSet::new();
        for (number, counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(*counter as usize, number);
            assert!(names.insert(counter.name()), "{} twice", counter.name());
            assert!(counter.name().contains('.'), "{}", counter.name());
            assert!(counter.help().len() > 10, "{}", counter.name());
        }
    }

    #[test]
    fn a_counter_of_a_tunnel_moves_for_that_tunnel_alone() {
        let counters = WorkerCounters::new(4);
        counters.count(Counter::IfRxDown, Some(CounterSlot(2)));
        let read =
            |slot| counters.tunnels.event(CounterSlot(slot), Counter::IfRxDown).unwrap().get();
        assert_eq!([read(0), read(1), read(2), read(3)], [0, 0, 1, 0]);
        assert_eq!(counters.global(Counter::IfRxDown).get(), 0);
        counters.count(Counter::IfRxDown, None);
        assert_eq!(counters.global(Counter::IfRxDown).get(), 1);
        counters.count(Counter::Ip4NoRoute, Some(CounterSlot(2)));
        assert_eq!(counters.global(Counter::Ip4NoRoute).get(), 1);
    }
}
