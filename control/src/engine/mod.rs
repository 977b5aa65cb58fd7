//! The controller: owns the configuration in force, the neighbors and the generations of tables.
//!
//! It is driven by calls that say what time it is: by the control thread of a running appliance
//! ([`live`]), or by replay on virtual time ([`simulation`]). It reaches workers through what they
//! share with it and nothing else.

mod addresses;
mod change;
mod compile;
#[cfg(feature = "dpdk")]
pub mod live;
mod reports;
pub mod simulation;
pub mod spread;
pub mod transactions;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::latency::Histograms;
use adit_dataplane::node::rate_limit::{self, Rate};
use adit_dataplane::reassembly;
use adit_dataplane::tables::soft_state::SoftState;
use adit_dataplane::tables::{Operation, TablePair};
use adit_dataplane::worker::exchange::{Frame, Handback, Publication, Punt, Shared};

pub use compile::{CompileError, PortFacts};
pub use reports::{PoolFacts, PortState, WorkerFacts};

use crate::config::{Config, Limits, Store};
use crate::neighbor::{Action, AddressState, Filter, NeighborLimits, Neighbors, Notice, Parked};
use compile::{Compiler, Former, Proof};
use reports::{Baseline, LatencyTotals};

/// Tunnels that there is room for beyond those of the first configuration, for counters.
const SPARE_SLOTS: u32 = 4096;

/// Punts of each worker that are looked at before other work gets its turn.
const PUNTS_PER_TURN: usize = 1024;

/// The worker that sends the frames of this thread. Any can send on any port.
const SENDER: usize = 0;

/// Frames that may wait for room in a worker's ring.
const BACKLOG_FRAMES_MAX: usize = 4096;

/// What the controller is made for.
pub struct ControllerSettings {
    /// Of all hashes; fixed for replay.
    pub seed: u64,
    /// How many workers there will be.
    pub workers: u16,
    /// Duplicate address detection has passed for all addresses there are, and is never done.
    pub is_settled: bool,
}

/// See the module.
pub struct Controller {
    store: Store,
    ports: Vec<PortFacts>,
    seed: u64,
    publication: Arc<Publication>,
    workers: Vec<Arc<Shared>>,
    neighbors: Neighbors,
    is_settled: bool,
    /// What was found about addresses of ports and is not in the tables yet.
    proofs: Vec<Proof>,
    compiler: Compiler,
    /// What workers have learnt about paths.
    soft_state: Arc<SoftState>,
    /// The tables in force, and those that the next change is made on.
    pair: TablePair,
    generation: u64,
    /// Since the last publication no number has been settled: a worker may mean its former holder.
    is_resting: bool,
    /// What neighbors have changed while the tables could not be.
    pending: Vec<Operation>,
    /// What waits for that to be published, and the number of the worker that gets it then.
    waiting: VecDeque<(usize, Handback)>,
    /// Pairs that were replaced, with the generation that replaced them. A worker may still hold
    /// their tables; they are freed here, never by a worker.
    retired: Vec<(u64, TablePair)>,
    actions: Vec<Action>,
    /// By worker: what did not fit into its ring yet.
    backlog: Vec<VecDeque<Handback>>,
    /// What came of the frames that workers handed over, in order: why those were refused that were.
    /// `None`: nobody asks.
    heard: Option<Vec<Option<Counter>>>,
    arp_bad: u64,
    nd_bad: u64,
    nd_duplicate: u64,
    latency: LatencyTotals,
    baseline: Baseline,
}

impl Controller {
    /// Compiles the first configuration. `ports` says, in the order of the configuration, what the
    /// ports are like.
    ///
    /// # Errors
    /// When the configuration does not fit.
    pub fn new(
        config: Config,
        ports: Vec<PortFacts>,
        settings: &ControllerSettings,
    ) -> Result<Self, CompileError> {
        let tunnel_count = u32::try_from(config.tunnels.len()).unwrap_or(u32::MAX);
        let limit = tunnel_count.saturating_add(SPARE_SLOTS);
        let store = Store::new(config, limit).map_err(|_| CompileError::Counters { limit })?;
        let room = path_room(&store);
        let neighbors = Neighbors::new(NeighborLimits::default());
        let mut former = Former::none(room);
        if !settings.is_settled {
            let unproved = neighbors.unproved(&compile::neighbor_ports(store.base(), &ports));
            former.unproved = unproved.into_iter().map(|(port, address)| (address, port)).collect();
        }
        let (compiler, mut tables) =
            Compiler::build(&store, &ports, std::iter::empty(), former, settings.seed)?;
        tables.generation = 1;
        let soft_state = Arc::new(SoftState::new(room as usize));
        tables.soft_state = Arc::clone(&soft_state);
        let pair = TablePair::new(tables);
        let publication = Arc::new(Publication::new(Arc::clone(pair.live())));
        let shared = || Arc::new(Shared::new(limit as usize));
        let workers = std::iter::repeat_with(shared).take(usize::from(settings.workers)).collect();
        Ok(Self {
            store,
            ports,
            seed: settings.seed,
            publication,
            workers,
            neighbors,
            is_settled: settings.is_settled,
            proofs: Vec::new(),
            compiler,
            soft_state,
            pair,
            generation: 1,
            is_resting: false,
            pending: Vec::new(),
            waiting: VecDeque::new(),
            retired: Vec::new(),
            actions: Vec::new(),
            backlog: (0..settings.workers).map(|_| VecDeque::new()).collect(),
            heard: None,
            arp_bad: 0,
            nd_bad: 0,
            nd_duplicate: 0,
            latency: LatencyTotals::new(settings.workers),
            baseline: Baseline::default(),
        })
    }

    /// Starts the neighbors: static ones are known from here on, next hops are asked for.
    pub fn start(&mut self, now: Nanos) {
        self.configure_neighbors(now);
        self.act();
    }

    /// The oldest generation that a worker runs.
    fn oldest_generation(&self) -> u64 {
        let running =
            |worker: &Arc<Shared>| worker.counters.work.generation.load(Ordering::Acquire);
        self.workers.iter().map(running).min().unwrap_or(self.generation)
    }

    /// Whether every worker runs `generation` or a later one.
    pub fn is_confirmed(&self, generation: u64) -> bool {
        self.oldest_generation() >= generation
    }

    /// The generation in force.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// One turn: what workers handed over, what is due, what did not fit before. Returns whether
    /// there was anything to do.
    pub fn turn(&mut self, now: Nanos) -> bool {
        let punts = self.take_punts(now);
        let due = self.neighbors.next_deadline().is_some_and(|deadline| deadline <= now);
        if due {
            let mut actions = std::mem::take(&mut self.actions);
            self.neighbors.tick(now, &mut actions);
            self.actions = actions;
        }
        let acted = !self.actions.is_empty();
        if acted {
            self.act();
        }
        let published = self.follow_addresses(now) | self.publish_pending();
        self.hand_back_backlog();
        self.reclaim();
        punts > 0 || due || acted || published
    }

    /// Whether there is something that goes on when a worker has made room, or taken tables.
    pub fn waits_for_workers(&self) -> bool {
        let is_done = self.pending.is_empty() && self.proofs.is_empty();
        !(self.backlog.iter().all(VecDeque::is_empty) && is_done)
    }

    /// When something is due next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.neighbors.next_deadline()
    }

    fn take_punts(&mut self, now: Nanos) -> usize {
        let mut actions = std::mem::take(&mut self.actions);
        let mut count = 0;
        for (number, worker) in self.workers.iter().enumerate() {
            for _ in 0..PUNTS_PER_TURN {
                let Some(punt) = worker.punts.pop() else { break };
                count += 1;
                match punt {
                    Punt::Frame { port, frame } => {
                        let heard = self.neighbors.frame(now, port, frame.bytes(), &mut actions);
                        let refused = heard.map_err(crate::neighbor::Refusal::counter).err();
                        self.heard.iter_mut().for_each(|all| all.push(refused));
                        match refused {
                            None => {}
                            Some(Counter::ArpBad) => self.arp_bad += 1,
                            Some(_) => self.nd_bad += 1,
                        }
                    }
                    Punt::Unresolved { port, address, packet } => {
                        let packet = Parked { packet, worker: number };
                        self.neighbors.unresolved(now, port, address, packet, &mut actions);
                    }
                }
            }
        }
        self.actions = actions;
        count
    }

    /// Why frames of neighbors were refused that were, of all that workers have handed over since the last
    /// call, in order. The first call says that somebody asks, and gets nothing.
    pub fn take_heard(&mut self) -> Vec<Option<Counter>> {
        self.heard.replace(Vec::new()).unwrap_or_default()
    }

    /// Carries out what the neighbors said: first the tables, then the packets that wait for them.
    fn act(&mut self) {
        let actions = std::mem::take(&mut self.actions);
        for action in &actions {
            if let Action::Changed { port, address, mac } = *action {
                self.compiler.resolve_neighbor(port, address, mac);
            }
        }
        self.pending.append(&mut self.compiler.take_operations());
        for action in actions {
            match action {
                Action::Changed { .. } => {}
                Action::Address { port, address, state } => {
                    self.nd_duplicate += u64::from(state == AddressState::Duplicate);
                    self.proofs.push((port, address, state == AddressState::Usable));
                }
                Action::Transmit { port, frame } => match Frame::new(&frame) {
                    // Requests are asked again; only packets may not be lost here.
                    Some(frame) if self.frames_waiting() < BACKLOG_FRAMES_MAX => {
                        self.waiting.push_back((SENDER, Handback::Frame { port, frame }));
                    }
                    _ => {}
                },
                Action::Send { port, address, packet: Parked { packet, worker }, .. } => {
                    let send = Handback::Send { since: self.generation, port, address, packet };
                    self.waiting.push_back((worker, send));
                }
                Action::Unreachable { packet: Parked { packet, worker }, .. } => {
                    self.waiting.push_back((worker, Handback::Unreachable { packet }));
                }
                Action::Drop { packet: Parked { packet, worker }, .. } => {
                    let counter = Counter::NbrQueueDrop;
                    self.waiting.push_back((worker, Handback::Release { packet, counter }));
                }
                Action::Notice(notice) => self.tell(&notice),
            }
        }
        self.publish_pending();
        self.hand_back_backlog();
    }

    /// How many frames wait at most: packets are among them.
    fn frames_waiting(&self) -> usize {
        self.waiting.len() + self.backlog.get(SENDER).map_or(0, VecDeque::len)
    }

    fn tell(&self, notice: &Notice) {
        let port = self.store.base().ports.get(notice.port().index());
        tracing::warn!("port {}: {notice}", port.map_or("?", |port| &*port.name));
    }

    /// Hands back what waits: generation `generation` knows all that it needs.
    fn hand_back_waiting(&mut self, generation: u64) {
        for (worker, mut handback) in self.waiting.drain(..) {
            if let Handback::Send { since, .. } = &mut handback {
                *since = generation;
            }
            if let Some(backlog) = self.backlog.get_mut(worker) {
                backlog.push_back(handback);
            }
        }
        self.hand_back_backlog();
    }

    /// What does not fit into the ring of a worker waits on, and keeps no other waiting.
    fn hand_back_backlog(&mut self) {
        for (worker, backlog) in self.workers.iter().zip(&mut self.backlog) {
            while let Some(handback) = backlog.pop_front() {
                if let Err(handback) = worker.handbacks.push(handback) {
                    backlog.push_front(handback);
                    break;
                }
            }
        }
    }

    /// A port has got its carrier or lost it.
    pub fn link_changed(&mut self, port: PortId, is_up: bool, now: Nanos) {
        let mut actions = std::mem::take(&mut self.actions);
        if is_up {
            self.neighbors.link_up(now, port, &mut actions);
        } else {
            self.neighbors.link_down(now, port, &mut actions);
        }
        self.actions = actions;
        self.act();
    }

    /// Forgets neighbors; returns how many.
    pub fn clear_neighbors(&mut self, filter: Filter, now: Nanos) -> usize {
        let mut actions = std::mem::take(&mut self.actions);
        let count = self.neighbors.clear(now, filter, &mut actions);
        self.actions = actions;
        self.act();
        count
    }

    /// Gives back every packet that waits; for the end.
    pub fn stop(&mut self, now: Nanos) {
        self.clear_neighbors(Filter::default(), now);
    }

    /// What workers read tables from.
    pub fn publication(&self) -> &Arc<Publication> {
        &self.publication
    }

    /// What each worker shares with this controller.
    pub fn workers(&self) -> &[Arc<Shared>] {
        &self.workers
    }

    /// The configuration in force but for tunnels and routes, whose lists are empty in it.
    pub fn config(&self) -> &Config {
        self.store.base()
    }

    /// The configuration in force.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// An empty set of histograms that fits any tunnel of this appliance.
    pub fn empty_histograms(&self) -> Box<Histograms> {
        Box::new(Histograms::new(self.measured_tunnels()))
    }

    /// Room for histograms of tunnels.
    pub fn measured_tunnels(&self) -> u16 {
        let wanted = self.store.tunnels().filter(|(_, tunnel)| tunnel.latency).count();
        u16::try_from(wanted).unwrap_or(u16::MAX).saturating_add(SPARE_HISTOGRAMS)
    }
}

/// Room for what is learnt about paths: one for each tunnel there can be, and for all of them at once to
/// take others; the same for the other sources of pools, and for several remotes. Memory is taken when something is learnt.
fn path_room(store: &Store) -> u32 {
    let more: usize = store.tunnels().map(|(_, tunnel)| tunnel.ends().count() - 1).sum();
    let more = u32::try_from(more).unwrap_or(u32::MAX).saturating_add(SPARE_SLOTS);
    store.limit().saturating_add(more).saturating_mul(2)
}

/// Histograms for tunnels that a later configuration measures.
const SPARE_HISTOGRAMS: u16 = 8;

/// The share of each worker in the limits of the appliance.
pub fn worker_rates(limits: &Limits, workers: u16) -> rate_limit::Limits {
    let workers = u32::from(workers.max(1));
    let share = |per_second: u32, burst: u32| Rate {
        per_second: per_second.div_ceil(workers),
        burst: burst.div_ceil(workers),
    };
    rate_limit::Limits {
        errors: share(limits.icmp_errors_per_second, 50),
        errors_per_source: Rate {
            per_second: limits.icmp_errors_per_source_per_second,
            burst: limits.icmp_errors_per_source_per_second.max(1),
        },
        too_big: share(limits.icmp_too_big_per_second, 1000),
        echo: share(1000, 100),
    }
}

#[cfg(test)]
mod handback_tests;
/// The share of each worker in the memory of reassembly; `pool` says what buffers there are.
pub fn worker_reassembly(limits: &Limits, pool: &PoolFacts, workers: u16) -> reassembly::Limits {
    let memory = (limits.reassembly_memory_bytes, limits.reassembly_memory_per_peer_bytes);
    let count = usize::try_from(pool.total).unwrap_or(usize::MAX);
    reassembly::Limits::new(memory, (count, pool.buffer_bytes), workers)
}

#[cfg(test)]
mod kept_tests;
#[cfg(test)]
mod tests;
