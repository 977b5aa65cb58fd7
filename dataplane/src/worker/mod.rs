//! A worker: receive a burst, take it through the stages, act on the verdicts, send.
//!
//! One thread owns one worker. It never allocates memory, takes a lock, logs, or waits for another
//! thread. Packets that are odd (errors, fragments, packets for this node) are settled one by one
//! in `settle.rs`, in the order in which they arrived.

mod create;
mod deliver;
pub mod exchange;
mod mirror;
mod process;
mod reassemble;
mod relay;
mod replicate;
mod settle;
pub mod spread;
mod tell;
mod unmatched;

use std::sync::Arc;

use crate::clock::{CycleScale, Nanos, cycles};
use crate::counters::Counter;
use crate::device::Device;
use crate::fast_path::{FastPath, Parts};
use crate::interface::PortId;
use crate::latency::Histograms;
use crate::node::rate_limit::{self, ErrorLimiter};
use crate::packet::{BURST_MAX, Burst, Path};
use crate::reassembly::{self, Reassembler};
use crate::stage::identification::Identifications;
use crate::stage::{MeasuredTunnels, Verdict, Verdicts};
use crate::tables::Tables;
use crate::witness::{Event, Unwatched, Witness};
use exchange::{Handback, Publication, Shared};
use mirror::Mirror;
use replicate::COPIES_MAX;

/// How a worker is set up.
#[derive(Clone, Copy, Debug)]
pub struct WorkerSettings {
    /// Which of the workers it is, from 0.
    pub number: u16,
    /// How many there are.
    pub workers: u16,
    /// Packets it takes from a port at a time, 1 to [`BURST_MAX`].
    pub burst: u16,
    /// One burst in this many is measured; 0: none.
    pub latency_sample: u32,
    /// Turns cycles into nanoseconds.
    pub scale: CycleScale,
    /// Rates of ICMP errors and echo replies, of this worker.
    pub rates: rate_limit::Limits,
    /// What may be held for reassembly, of this worker.
    pub reassembly: reassembly::Limits,
    /// The secret of hashes; fixed for replay.
    pub seed: u64,
    /// Tunnels with a latency histogram of their own.
    pub measured_tunnels: u16,
    /// Whether plain packets may take the fast path. Without it the stages see to every packet: slower,
    /// and with the same results, which is what tests hold it to.
    pub fast_path: bool,
}

/// One worker over its queues of a device.
pub struct Worker<D: Device, W: Witness = Unwatched> {
    publication: Arc<Publication>,
    tables: Arc<Tables>,
    state: State<D, W>,
    verdicts: Box<Verdicts>,
    fast_path: Box<FastPath>,
    burst: Box<Burst>,
    /// The same, where the fast path took a part of it.
    parts: Box<Parts>,
    /// What came back before the tables that it is for.
    early: Option<Handback>,
    /// When the last burst of the round at hand was done, in cycles.
    ended: Option<u64>,
    /// Its part in a team that shares work; `None`: every packet is processed where it arrives.
    member: Option<Box<spread::Member>>,
}

/// What changes while a worker works.
struct State<D: Device, W: Witness> {
    device: D,
    witness: W,
    shared: Arc<Shared>,
    settings: WorkerSettings,
    limiter: ErrorLimiter,
    identifications: Identifications,
    measured: MeasuredTunnels,
    mirror: Mirror,
    /// Per port: packets that leave with the next transmit burst, and how many of each path.
    outgoing: Box<[Outgoing]>,
    /// Pieces of packets to this node.
    reassembler: Box<Reassembler>,
    /// Packets whose buffers go back with the next release.
    spent: Box<Burst>,
    histograms: Box<Histograms>,
    until_sample: u32,
    /// Of the next IPv4 packet that this node makes.
    identification: u16,
    fragments_made: u64,
    /// Copies for several remotes that may still be made in this round.
    copies_left: usize,
    /// Packets sent since the last measurement, by path.
    sent_paths: [u64; Path::ALL.len()],
}

/// What leaves by a port.
struct Outgoing {
    burst: Box<Burst>,
    paths: [u16; Path::ALL.len()],
}

/// Rounds of a busy worker between two looks at the rings of the control thread.
const ROUNDS_PER_LOOK: u64 = 16;

impl<D: Device> Worker<D> {
    /// A worker over `device` that runs the tables of `publication`.
    pub fn new(
        device: D,
        publication: Arc<Publication>,
        shared: Arc<Shared>,
        settings: WorkerSettings,
    ) -> Self {
        Self::watched(device, Unwatched, publication, shared, settings)
    }
}

impl<D: Device, W: Witness> Worker<D, W> {
    /// A worker, with somebody who watches it. What is watched does not take the fast path.
    pub fn watched(
        device: D,
        witness: W,
        publication: Arc<Publication>,
        shared: Arc<Shared>,
        settings: WorkerSettings,
    ) -> Self {
        let outgoing = || Outgoing { burst: Box::new(Burst::new()), paths: [0; 3] };
        let tables = publication.load();
        shared
            .counters
            .work
            .generation
            .store(tables.generation, core::sync::atomic::Ordering::Release);
        let state = State {
            outgoing: core::iter::repeat_with(outgoing).take(device.port_count()).collect(),
            limiter: ErrorLimiter::new(settings.rates, settings.seed),
            identifications: Identifications::new(settings.seed, settings.number, settings.workers),
            measured: MeasuredTunnels::default(),
            mirror: Mirror::new(&tables, device.port_count()),
            reassembler: Box::new(Reassembler::new(settings.reassembly, settings.seed)),
            spent: Box::new(Burst::new()),
            histograms: Box::new(Histograms::new(settings.measured_tunnels)),
            until_sample: 1,
            identification: 0,
            // Workers share the secret, and must not share what it makes.
            fragments_made: u64::from(settings.number) << 48,
            copies_left: COPIES_MAX,
            sent_paths: [0; Path::ALL.len()],
            device,
            witness,
            shared,
            settings,
        };
        let verdicts = Box::new([Verdict::Unseen; BURST_MAX]);
        let (fast_path, burst, parts) = (Box::default(), Box::default(), Box::default());
        let (early, ended, member) = (None, None, None);
        Self { publication, tables, state, verdicts, fast_path, burst, parts, early, ended, member }
    }

    /// One round over all ports. Returns how many packets there were; 0 means that the worker may
    /// rest. Bounded: at most one burst per port, one look at the rings, and a few packets whose pieces
    /// did not come in time.
    pub fn poll(&mut self, now: Nanos) -> usize {
        self.ended = None;
        self.state.witness.at(now);
        self.state.mirror.at(now);
        self.state.copies_left = COPIES_MAX;
        let counters = &self.state.shared.counters;
        let polls = counters.work.polls.get();
        counters.work.polls.add(1);
        let mut count = 0;
        if polls.is_multiple_of(ROUNDS_PER_LOOK) {
            count += self.serve_control(now);
        }
        for port in 0..self.state.device.port_count() {
            let Ok(port) = u8::try_from(port) else { break };
            count += self.poll_port(PortId(port), now);
        }
        if self.member.is_some() {
            count += self.serve_team(now);
        }
        count += self.give_up_pieces(now);
        if count == 0 && !polls.is_multiple_of(ROUNDS_PER_LOOK) {
            count += self.serve_control(now);
        }
        count
    }

    /// When the last burst was done that came in the last round, as [`cycles`] tells it; `None`: none came. Whoever
    /// wants to know the time after a round need not read the counter again.
    #[inline]
    pub fn ended(&self) -> Option<u64> {
        self.ended
    }

    /// Receives one burst of one port and sees it through.
    fn poll_port(&mut self, port: PortId, now: Nanos) -> usize {
        let state = &mut self.state;
        let limit = state.burst_limit();
        let received = state.device.receive(port, &mut self.burst, limit);
        if received == 0 {
            return 0;
        }
        let start = cycles();
        if self.take_new_tables() {
            // Packets that waited for a neighbor go before those that find it in the new tables.
            self.take_handbacks(now);
        }
        self.state.count_received(port, &self.burst);
        self.state.note_received(port, &self.burst);
        if self.tables.mirrors.has_ports() {
            self.state.mirror_received(port, &self.burst, &self.tables, now);
        }
        let end = if self.member.as_ref().is_some_and(|member| member.is_active()) {
            self.divide(port, received, start);
            let begin = cycles();
            let kept = self.burst.len();
            if kept > 0 {
                let end = self.process(port, start, now);
                self.count_kept(kept, end.saturating_sub(begin));
                end
            } else {
                begin
            }
        } else {
            self.process(port, start, now)
        };
        let work = &self.state.shared.counters.work;
        work.bursts.add(1);
        work.busy_cycles.add(end.saturating_sub(start));
        self.ended = Some(end);
        received
    }

    /// Takes the tables in force, if they are others than those at hand; says whether they were.
    /// Only called between bursts.
    #[inline]
    fn take_new_tables(&mut self) -> bool {
        if self.publication.generation() == self.tables.generation {
            return false;
        }
        self.tables = self.publication.load();
        self.state.mirror.take_tables(&self.tables);
        let generation = &self.state.shared.counters.work.generation;
        generation.store(self.tables.generation, core::sync::atomic::Ordering::Release);
        true
    }

    /// Takes new tables, and what the control thread has put into its ring.
    fn serve_control(&mut self, now: Nanos) -> usize {
        self.take_new_tables();
        self.state.shared.latency.serve(&mut self.state.histograms);
        self.take_handbacks(now)
    }

    /// Takes what the control thread has put into its ring, at most a burst of it.
    fn take_handbacks(&mut self, now: Nanos) -> usize {
        let mut count = 0;
        while count < BURST_MAX {
            let next = self.early.take().or_else(|| self.state.shared.handbacks.pop());
            let Some(handback) = next else { break };
            // What is in the ring may be for tables that have just been published, or are about to be.
            self.take_new_tables();
            if handback.since() > self.tables.generation {
                self.early = Some(handback);
                break;
            }
            self.state.settle_handback(handback, &self.tables, now);
            count += 1;
        }
        if count > 0 {
            self.state.flush();
        }
        count
    }

    /// The device, for what is not packets.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.state.device
    }

    /// What it shares with the control thread.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.state.shared
    }

    /// Gives the device back, when the worker has ended. What waits in its rings is released.
    pub fn into_device(mut self, now: Nanos) -> D {
        self.leave_team(now);
        loop {
            while self.serve_control(now) > 0 {}
            // What is for tables that never came leaves what is behind it waiting.
            let Some(Handback::Send { packet, .. }) = self.early.take() else { break };
            let counter = Counter::NbrQueueDrop;
            self.state.settle_handback(Handback::Release { packet, counter }, &self.tables, now);
            self.state.flush();
        }
        self.clear_pieces(now);
        self.state.device
    }
}

impl<D: Device, W: Witness> State<D, W> {
    fn count_received(&self, port: PortId, burst: &Burst) {
        let counters = &self.shared.counters;
        let bytes: usize = burst.packets().iter().map(crate::packet::Packet::len).sum();
        counters.port(port).rx_packets.add(burst.len() as u64);
        counters.port(port).rx_bytes.add(bytes as u64);
        counters.balance.received.add(burst.len() as u64);
    }

    /// Tells who watches what has come.
    #[inline]
    fn note_received(&self, port: PortId, burst: &Burst) {
        if W::WATCHES {
            for packet in burst.packets() {
                let length = packet.len();
                self.witness.begin(packet, || Event::Received { port, length });
            }
        }
    }

    /// Sends what has been collected for every port, and gives spent buffers back.
    fn flush(&mut self) {
        self.give_away();
        self.sent_paths = [0; Path::ALL.len()];
        self.measured.take();
    }

    /// The same for what came with a burst, and records how long that took since `start`, in cycles. Says when it
    /// was done.
    fn finish(&mut self, start: u64) -> u64 {
        self.give_away();
        let end = cycles();
        let paths = core::mem::take(&mut self.sent_paths);
        if self.settings.latency_sample == 0 {
            self.measured.take();
        } else {
            self.record_latency(end.saturating_sub(start), paths);
        }
        end
    }

    fn give_away(&mut self) {
        self.send_all();
        if self.mirror.has_ports() {
            // Copies of what a port sent may go by one before it.
            self.send_all();
        }
        self.release_spent();
    }

    fn send_all(&mut self) {
        for port in 0..self.outgoing.len() {
            let Ok(port) = u8::try_from(port) else { break };
            self.send(PortId(port));
        }
    }

    fn record_latency(&mut self, passed: u64, paths: [u64; Path::ALL.len()]) {
        self.until_sample -= 1;
        let runs = self.measured.take();
        if self.until_sample > 0 {
            return;
        }
        self.until_sample = self.settings.latency_sample;
        let nanos = self.settings.scale.nanos(passed).max(1);
        for (path, packets) in Path::ALL.into_iter().zip(paths) {
            if packets > 0 {
                self.histograms.record(path, nanos, packets);
            }
        }
        for &(number, packets) in runs {
            self.histograms.record_tunnel(number, nanos, u64::from(packets));
        }
    }

    /// Sends what has been collected for a port.
    fn send(&mut self, port: PortId) {
        let Some(outgoing) = self.outgoing.get_mut(port.index()) else { return };
        if outgoing.burst.is_empty() {
            return;
        }
        for (total, count) in self.sent_paths.iter_mut().zip(&mut outgoing.paths) {
            *total += u64::from(core::mem::take(count));
        }
        if self.mirror.has_ports() {
            return self.send_mirrored(port);
        }
        send_burst(&mut self.device, &self.shared, port, &mut outgoing.burst);
    }

    fn release_spent(&mut self) {
        if !self.spent.is_empty() {
            self.device.release(&mut self.spent);
        }
    }
}

/// Sends a burst and counts it. What the device does not take is dropped and counted.
#[inline]
fn send_burst<D: Device>(device: &mut D, shared: &Shared, port: PortId, burst: &mut Burst) {
    let all = burst.len();
    let bytes =
        |burst: &Burst| -> usize { burst.packets().iter().map(crate::packet::Packet::len).sum() };
    let mut sent_bytes = bytes(burst);
    let sent = device.send(port, burst);
    let counters = &shared.counters;
    if sent < all {
        sent_bytes -= bytes(burst);
        let left = burst.len() as u64;
        counters.global(Counter::PortTxFull).add(left);
        counters.balance.dropped.add(left);
        device.release(burst);
    }
    counters.port(port).tx_packets.add(sent as u64);
    counters.port(port).tx_bytes.add(sent_bytes as u64);
    counters.balance.sent.add(sent as u64);
}
