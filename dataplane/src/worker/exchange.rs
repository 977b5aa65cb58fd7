//! What a worker and the control thread exchange: tables one way, work for the other thread both
//! ways. All rings are bounded and lock-free, and nobody ever waits.

use core::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use arc_swap::ArcSwap;
use crossbeam::queue::ArrayQueue;

use crate::counters::{Counter, WorkerCounters};
use crate::interface::PortId;
use crate::latency::Exchange as LatencyExchange;
use crate::packet::Packet;
use crate::tables::Tables;

/// The tables in force, for all workers.
///
/// Whoever publishes keeps every generation until all workers run a later one: a worker that lets
/// go of a generation is never the last to hold it, and so never frees it.
pub struct Publication {
    tables: ArcSwap<Tables>,
    generation: AtomicU64,
}

impl Publication {
    /// With the first generation.
    pub fn new(tables: Arc<Tables>) -> Self {
        let generation = AtomicU64::new(tables.generation);
        Self { tables: ArcSwap::new(tables), generation }
    }

    /// Puts a generation in force: every worker has it from its next burst on.
    pub fn publish(&self, tables: Arc<Tables>) {
        let generation = tables.generation;
        self.tables.store(tables);
        self.generation.store(generation, Ordering::Release);
    }

    /// The generation in force.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The tables in force.
    pub fn load(&self) -> Arc<Tables> {
        self.tables.load_full()
    }
}

/// The longest frame that is handed over by value; ARP and neighbor discovery fit.
pub const FRAME_MAX: usize = 256;

/// A short frame, by value.
#[derive(Clone, Copy)]
pub struct Frame {
    bytes: [u8; FRAME_MAX],
    len: u16,
}

impl Frame {
    /// Copies a frame; `None` when it is longer than [`FRAME_MAX`].
    pub fn new(frame: &[u8]) -> Option<Self> {
        let mut bytes = [0; FRAME_MAX];
        bytes.get_mut(..frame.len())?.copy_from_slice(frame);
        Some(Self { bytes, len: u16::try_from(frame.len()).ok()? })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// From a worker to the control thread.
#[expect(clippy::large_enum_variant, reason = "a ring holds values: nothing is boxed on a worker")]
pub enum Punt {
    /// A frame of a protocol that the control thread speaks: ARP, neighbor discovery.
    Frame {
        /// Where it came in.
        port: PortId,
        /// It.
        frame: Frame,
    },
    /// A packet whose next hop is not known yet.
    Unresolved {
        /// The port it must leave by.
        port: PortId,
        /// The next hop.
        address: IpAddr,
        /// From its outermost IP header on.
        packet: Packet,
    },
}

/// From the control thread to a worker.
#[expect(clippy::large_enum_variant, reason = "a ring holds values: nothing is freed on a worker")]
pub enum Handback {
    /// A frame to be sent as it is.
    Frame {
        /// Where.
        port: PortId,
        /// It.
        frame: Frame,
    },
    /// A packet whose next hop is known now.
    Send {
        /// From which generation of the tables on it is known. It may be about to be published.
        since: u64,
        /// The port it must leave by.
        port: PortId,
        /// The next hop.
        address: IpAddr,
        /// It.
        packet: Packet,
    },
    /// A packet whose next hop does not answer: its sender is told.
    Unreachable {
        /// It.
        packet: Packet,
    },
    /// A packet that nobody waits for any more.
    Release {
        /// It.
        packet: Packet,
        /// Why.
        counter: Counter,
    },
}

impl Handback {
    /// The first generation of the tables that it can be carried out under.
    pub fn since(&self) -> u64 {
        match self {
            Self::Send { since, .. } => *since,
            Self::Frame { .. } | Self::Unreachable { .. } | Self::Release { .. } => 0,
        }
    }
}

/// Entries of the rings between a worker and the control thread.
pub const RING_ENTRIES: usize = 1024;

/// Everything that a worker shares with the control thread.
pub struct Shared {
    /// What the worker counts.
    pub counters: WorkerCounters,
    /// To the control thread. Workers use [`punt`](Self::punt), which wakes it.
    pub punts: ArrayQueue<Punt>,
    /// From the control thread.
    pub handbacks: ArrayQueue<Handback>,
    /// Histograms, full ones one way and empty ones the other.
    pub latency: LatencyExchange,
    /// The control thread, if it sleeps.
    control: OnceLock<Thread>,
}

impl Shared {
    /// With room for the counters of `tunnel_slots` tunnels.
    pub fn new(tunnel_slots: usize) -> Self {
        Self {
            counters: WorkerCounters::new(tunnel_slots),
            punts: ArrayQueue::new(RING_ENTRIES),
            handbacks: ArrayQueue::new(RING_ENTRIES),
            latency: LatencyExchange::new(),
            control: OnceLock::new(),
        }
    }

    /// Says which thread takes punts: it may sleep by parking, and is unparked for them. The first
    /// call counts.
    pub fn set_control_thread(&self, thread: Thread) {
        let _ = self.control.set(thread);
    }

    /// Puts something into the ring to the control thread, and wakes that if it sleeps: the one
    /// system call that a worker makes, once for each of its sleeps.
    ///
    /// # Errors
    /// When the ring is full: the punt itself.
    #[expect(clippy::result_large_err, reason = "what found no room is the caller's again")]
    pub fn punt(&self, punt: Punt) -> Result<(), Punt> {
        self.punts.push(punt)?;
        if let Some(thread) = self.control.get() {
            thread.unpark();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::{Duration, Instant};

    #[test]
    fn a_punt_wakes_the_control_thread_out_of_its_sleep() {
        let shared = Arc::new(Shared::new(1));
        shared.set_control_thread(thread::current());
        let worker = Arc::clone(&shared);
        let worker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            let frame = Frame::new(&[0; 60]).unwrap();
            assert!(worker.punt(Punt::Frame { port: PortId(0), frame }).is_ok());
        });
        let (start, long) = (Instant::now(), Duration::from_mins(1));
        while shared.punts.is_empty() && start.elapsed() < long {
            thread::park_timeout(long);
        }
        assert!(start.elapsed() < long / 2, "it slept for {:?}", start.elapsed());
        worker.join().unwrap();
    }
}
