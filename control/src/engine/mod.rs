//! The controller: owns the configuration in force, the neighbors and the generations of tables.
//!
//! It is driven by calls that say what time it is: by the control thread of a running appliance
//! ([`live`]), or by replay on virtual time ([`simulation`]). It reaches workers through what they
//! share with it and nothing else.

mod compile;
#[cfg(feature = "dpdk")]
pub mod live;
mod reports;
pub mod simulation;
mod slots;
pub mod spread;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::latency::Histograms;
use adit_dataplane::node::rate_limit::{self, Rate};
use adit_dataplane::packet::Packet;
use adit_dataplane::tables::Tables;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::worker::exchange::{Frame, Handback, Publication, Punt, Shared};

pub use compile::{CompileError, PortFacts};
pub use reports::{PoolFacts, PortState, WorkerFacts};

use crate::config::{Config, Limits};
use crate::neighbor::{Action, Filter, NeighborLimits, Neighbors, Notice, PortSetup};
use compile::{Compiled, Given, RouteInfo, TunnelInfo, compile};
use reports::{Baseline, LatencyTotals};
use slots::Slots;

/// Tunnels that there is room for beyond those of the first configuration, for counters.
const SPARE_SLOTS: u32 = 4096;

/// Punts of each worker that are looked at before other work gets its turn.
const PUNTS_PER_TURN: usize = 1024;

/// Frames that may wait for room in a worker's ring.
const BACKLOG_FRAMES_MAX: usize = 4096;

/// What the controller is made for.
pub struct ControllerSettings {
    /// Of all hashes; fixed for replay.
    pub seed: u64,
    /// How many workers there will be.
    pub workers: u16,
}

/// Whom neighbors are looked for, and where.
struct NeighborSetup {
    ports: Vec<PortSetup>,
    /// Gateways and remotes on a link: kept resolved.
    next_hops: Vec<(PortId, IpAddr)>,
}

/// See the module.
pub struct Controller {
    config: Config,
    ports: Vec<PortFacts>,
    seed: u64,
    publication: Arc<Publication>,
    workers: Vec<Arc<Shared>>,
    neighbors: Neighbors,
    /// The tables in force.
    tables: Arc<Tables>,
    /// Older generations that a worker may still hold: freed here, never by a worker.
    retired: Vec<Arc<Tables>>,
    slots: Slots,
    slot_limit: u32,
    latency_slots: Slots,
    tunnels: Vec<TunnelInfo>,
    routes: Vec<RouteInfo>,
    /// What the neighbors of the first configuration are set up from, until they are started.
    unstarted: Option<NeighborSetup>,
    /// Next hops of the tables in force, in their order.
    fixed: Vec<(PortId, IpAddr)>,
    actions: Vec<Action>,
    /// What did not fit into a worker's ring yet.
    backlog: VecDeque<Handback>,
    arp_bad: u64,
    nd_bad: u64,
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
        let slot_limit = tunnel_count.saturating_add(SPARE_SLOTS);
        let mut slots = Slots::default();
        let mut latency_slots = Slots::default();
        let mut given = Given {
            ports: &ports,
            slots: &mut slots,
            slot_limit,
            latency_slots: &mut latency_slots,
            seed: settings.seed,
            generation: 1,
        };
        let compiled = compile(&config, &mut given)?;
        let tables = Arc::new(compiled.tables);
        let publication = Arc::new(Publication::new(Arc::clone(&tables)));
        let shared = || Arc::new(Shared::new(slot_limit as usize));
        let workers = std::iter::repeat_with(shared).take(usize::from(settings.workers)).collect();
        Ok(Self {
            config,
            ports,
            seed: settings.seed,
            publication,
            workers,
            neighbors: Neighbors::new(NeighborLimits::default()),
            tables,
            retired: Vec::new(),
            slots,
            slot_limit,
            latency_slots,
            tunnels: compiled.tunnels,
            routes: compiled.routes,
            unstarted: Some(NeighborSetup {
                ports: compiled.neighbor_ports,
                next_hops: compiled.next_hops,
            }),
            fixed: Vec::new(),
            actions: Vec::new(),
            backlog: VecDeque::new(),
            arp_bad: 0,
            nd_bad: 0,
            latency: LatencyTotals::new(settings.workers),
            baseline: Baseline::default(),
        })
    }

    /// Starts the neighbors: static ones are known from here on, next hops are asked for.
    pub fn start(&mut self, now: Nanos) {
        let Some(setup) = self.unstarted.take() else { return };
        let mut tables = (*self.tables).clone();
        tables.generation += 1;
        self.publish_with_neighbors(tables, setup, now);
    }

    /// Puts another configuration in force, as a whole or not at all. What needs a restart has been
    /// refused before. Returns the generation that has it.
    ///
    /// # Errors
    /// When the configuration does not fit; nothing has changed then.
    pub fn apply(&mut self, config: Config, now: Nanos) -> Result<u64, CompileError> {
        let generation = self.tables.generation + 1;
        // Names that are new take slots; should compiling fail, they are given back.
        let (mut slots, mut latency_slots) = (self.slots.clone(), self.latency_slots.clone());
        let mut given = Given {
            ports: &self.ports,
            slots: &mut slots,
            slot_limit: self.slot_limit,
            latency_slots: &mut latency_slots,
            seed: self.seed,
            generation,
        };
        let compiled = compile(&config, &mut given)?;
        let has = |name: &str| config.tunnels.iter().any(|tunnel| &*tunnel.name == name);
        let measures = |name: &str| config.tunnels.iter().any(|t| &*t.name == name && t.latency);
        slots.retain(self.tables.generation, has);
        latency_slots.retain(self.tables.generation, measures);
        self.slots = slots;
        self.latency_slots = latency_slots;
        self.config = config;
        self.put_in_force(compiled, now);
        Ok(self.tables.generation)
    }

    fn put_in_force(&mut self, compiled: Compiled, now: Nanos) {
        let Compiled { tables, neighbor_ports, next_hops, tunnels, routes } = compiled;
        self.tunnels = tunnels;
        self.routes = routes;
        let setup = NeighborSetup { ports: neighbor_ports, next_hops };
        self.publish_with_neighbors(tables, setup, now);
    }

    /// Publishes tables once the neighbors know whom they are asked for.
    fn publish_with_neighbors(&mut self, mut tables: Tables, setup: NeighborSetup, now: Nanos) {
        let mut actions = std::mem::take(&mut self.actions);
        self.neighbors.configure(now, setup.ports, setup.next_hops, &mut actions);
        self.actions = actions;
        self.fixed = tables.neighbors.iter().map(|a| (a.port, a.address)).collect();
        tables.neighbors = Arc::new(self.neighbor_table());
        self.publish(tables);
        self.act();
    }

    /// Everybody who is known now. Next hops come first, in the order that routes and tunnels number
    /// them by.
    fn neighbor_table(&self) -> NeighborTable {
        let mut table = NeighborTable::new(self.seed);
        for &(port, address) in &self.fixed {
            table.insert(port, address);
        }
        for entry in self.neighbors.entries() {
            if let Some(mac) = entry.mac {
                let id = table.insert(entry.port, entry.address);
                table.resolve(id, Some(mac), self.own_mac(entry.port));
            }
        }
        table
    }

    fn own_mac(&self, port: PortId) -> adit_dataplane::wire::ethernet::MacAddress {
        self.ports.get(port.index()).map(|port| port.mac).unwrap_or_default()
    }

    fn publish(&mut self, tables: Tables) {
        let tables = Arc::new(tables);
        let old = std::mem::replace(&mut self.tables, Arc::clone(&tables));
        self.retired.push(old);
        self.publication.publish(tables);
    }

    /// Frees generations that no worker runs any more.
    fn reclaim(&mut self) {
        let oldest = self.oldest_generation();
        self.retired.retain(|tables| tables.generation >= oldest);
        self.slots.settle(oldest);
        self.latency_slots.settle(oldest);
    }

    /// The oldest generation that a worker runs.
    fn oldest_generation(&self) -> u64 {
        let running =
            |worker: &Arc<Shared>| worker.counters.work.generation.load(Ordering::Acquire);
        self.workers.iter().map(running).min().unwrap_or(self.tables.generation)
    }

    /// Whether every worker runs `generation` or a later one.
    pub fn is_confirmed(&self, generation: u64) -> bool {
        self.oldest_generation() >= generation
    }

    /// The generation in force.
    pub fn generation(&self) -> u64 {
        self.tables.generation
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
        self.hand_back_backlog();
        if !self.retired.is_empty() {
            self.reclaim();
        }
        punts > 0 || due || acted
    }

    /// When something is due next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.neighbors.next_deadline()
    }

    fn take_punts(&mut self, now: Nanos) -> usize {
        let mut actions = std::mem::take(&mut self.actions);
        let mut count = 0;
        for worker in &self.workers {
            for _ in 0..PUNTS_PER_TURN {
                let Some(punt) = worker.punts.pop() else { break };
                count += 1;
                match punt {
                    Punt::Frame { port, frame } => {
                        let heard = self.neighbors.frame(now, port, frame.bytes(), &mut actions);
                        match heard.map_err(crate::neighbor::Refusal::counter) {
                            Ok(()) => {}
                            Err(Counter::ArpBad) => self.arp_bad += 1,
                            Err(_) => self.nd_bad += 1,
                        }
                    }
                    Punt::Unresolved { port, address, packet } => {
                        self.neighbors.unresolved(now, port, address, packet, &mut actions);
                    }
                }
            }
        }
        self.actions = actions;
        count
    }

    /// Carries out what the neighbors said: first the tables, then the packets that wait for them.
    fn act(&mut self) {
        let actions = std::mem::take(&mut self.actions);
        let changes = actions.iter().any(|action| matches!(action, Action::Changed { .. }));
        if changes {
            let mut tables = (*self.tables).clone();
            tables.generation += 1;
            tables.neighbors = Arc::new(self.neighbor_table());
            self.publish(tables);
        }
        for action in actions {
            match action {
                Action::Changed { .. } => {}
                Action::Transmit { port, frame } => match Frame::new(&frame) {
                    // Requests are asked again; only packets may not be lost here.
                    Some(frame) if self.backlog.len() < BACKLOG_FRAMES_MAX => {
                        self.backlog.push_back(Handback::Frame { port, frame });
                    }
                    _ => {}
                },
                Action::Send { port, address, packet, .. } => {
                    self.backlog.push_back(Handback::Send { port, address, packet });
                }
                Action::Unreachable { packet, .. } => {
                    self.backlog.push_back(Handback::Unreachable { packet });
                }
                Action::Drop { packet, .. } => self.give_back(packet, Counter::NbrQueueDrop),
                Action::Notice(notice) => self.tell(&notice),
            }
        }
        self.hand_back_backlog();
    }

    fn tell(&self, notice: &Notice) {
        let port = self.config.ports.get(notice.port().index());
        tracing::warn!("port {}: {notice}", port.map_or("?", |port| &*port.name));
    }

    fn give_back(&mut self, packet: Packet, counter: Counter) {
        self.backlog.push_back(Handback::Release { packet, counter });
    }

    /// Any worker can send on any port, so the first one gets everything, in order.
    fn hand_back_backlog(&mut self) {
        let Some(worker) = self.workers.first() else { return };
        while let Some(handback) = self.backlog.pop_front() {
            if let Err(handback) = worker.handbacks.push(handback) {
                self.backlog.push_front(handback);
                return;
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

    /// The configuration in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// An empty set of histograms that fits any tunnel of this appliance.
    pub fn empty_histograms(&self) -> Box<Histograms> {
        Box::new(Histograms::new(self.measured_tunnels()))
    }

    /// Room for histograms of tunnels.
    pub fn measured_tunnels(&self) -> u16 {
        let wanted = self.config.tunnels.iter().filter(|tunnel| tunnel.latency).count();
        u16::try_from(wanted).unwrap_or(u16::MAX).saturating_add(SPARE_HISTOGRAMS)
    }
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
