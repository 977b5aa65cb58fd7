//! What the controller says about itself: counters, drops, tunnels, routes, neighbors, latency.

mod paths;
mod reassembly;
mod routes;
mod stations;

use std::borrow::Cow;
use std::collections::BTreeMap;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::{Counter, CounterSlot, Kind, WorkerCounters};
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::latency::{Histograms, empty_histogram};
use adit_dataplane::packet::Path;
use adit_dataplane::tables::NextHop;
use hdrhistogram::Histogram;

use super::Controller;
use super::compile::{Standing, TunnelInfo};
use crate::config;
use crate::report::{self, CounterSet, Counters, LatencyPath, TunnelState};

/// What a device says of itself.
#[derive(Debug, Clone, Default)]
pub struct PortState {
    /// The driver's name.
    pub driver: Option<String>,
    /// It has carrier.
    pub link_up: bool,
    /// Megabits per second.
    pub speed_mbps: Option<u32>,
    /// Receive and transmit queues.
    pub queues: (u16, u16),
    /// Frames that found no descriptor.
    pub rx_missed: u64,
    /// Broken frames.
    pub rx_errors: u64,
    /// Frames that found no buffer.
    pub rx_no_mbuf: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
    /// Frames whose IPv4 header checksum the device calls wrong.
    pub rx_bad_checksum: u64,
    /// What the device could do in place of the packet path, and does.
    pub offloads: Vec<report::Offload>,
}

/// What is known of a worker's thread.
#[derive(Debug, Clone, Default)]
pub struct WorkerFacts {
    /// The thread's name.
    pub name: String,
    /// The core it is pinned to.
    pub core: Option<u16>,
    /// The share of its time that it worked, since the start.
    pub busy: f64,
    /// How it shares work with others.
    pub sharing: Option<report::Sharing>,
}

/// The buffers.
#[derive(Debug, Clone, Default)]
pub struct PoolFacts {
    /// Not in use.
    pub free: u64,
    /// All.
    pub total: u64,
    /// Bytes of each, headroom included.
    pub buffer_bytes: usize,
}

/// Counters as they stood when they were cleared: subtracted from what is read.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    ports: BTreeMap<String, CounterSet>,
    tunnels: BTreeMap<String, CounterSet>,
    dataplane: CounterSet,
}

impl Baseline {
    fn subtract(from: &mut CounterSet, base: Option<&CounterSet>) {
        let Some(base) = base else { return };
        for (name, value) in from {
            *value = value.saturating_sub(base.get(name).copied().unwrap_or(0));
        }
    }
}

/// Histograms of all workers since the start.
pub(super) struct LatencyTotals {
    workers: Vec<[Histogram<u64>; Path::ALL.len()]>,
    tunnels: BTreeMap<u16, Histogram<u64>>,
    answered: usize,
}

impl LatencyTotals {
    pub(super) fn new(workers: u16) -> Self {
        let empty = || std::array::from_fn(|_| empty_histogram());
        Self {
            workers: std::iter::repeat_with(empty).take(usize::from(workers)).collect(),
            tunnels: BTreeMap::new(),
            answered: 0,
        }
    }

    fn add(&mut self, worker: usize, set: &Histograms) {
        if let Some(totals) = self.workers.get_mut(worker) {
            for (total, path) in totals.iter_mut().zip(Path::ALL) {
                // Same bounds, so the sum always fits.
                let _ = total.add(set.path(path));
            }
        }
        for number in 0..u16::try_from(set.tunnel_count()).unwrap_or(0) {
            if let Some(histogram) = set.tunnel(number).filter(|histogram| !histogram.is_empty()) {
                let total = self.tunnels.entry(number).or_insert_with(empty_histogram);
                let _ = total.add(histogram);
            }
        }
    }
}

impl Controller {
    /// The port of a name.
    pub fn port_named(&self, name: &str) -> Option<PortId> {
        let mut numbered = (0..).map(PortId).zip(&self.config().ports);
        numbered.find(|(_, port)| &*port.name == name).map(|(id, _)| id)
    }

    /// Everything that is counted.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters {
            ports: BTreeMap::new(),
            tunnels: BTreeMap::new(),
            dataplane: CounterSet::new(),
            balance: Some(self.balance()),
        };
        for (id, port) in (0..).map(PortId).zip(&self.config().ports) {
            let name = port.name.to_string();
            let mut set = self.port_counters(id);
            Baseline::subtract(&mut set, self.baseline.ports.get(&name));
            counters.ports.insert(name, set);
        }
        for (id, tunnel) in self.store.tunnels() {
            let name = tunnel.name.to_string();
            let mut set = self.tunnel_counters(id);
            Baseline::subtract(&mut set, self.baseline.tunnels.get(&name));
            counters.tunnels.insert(name, set);
        }
        for &counter in Counter::ALL {
            let count = self.global(counter);
            if count > 0 {
                counters.dataplane.insert(Cow::Borrowed(counter.name()), count);
            }
        }
        Baseline::subtract(&mut counters.dataplane, Some(&self.baseline.dataplane));
        counters
    }

    fn sum(&self, read: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.workers.iter().map(|worker| read(&worker.counters)).sum()
    }

    /// A counter that belongs to no tunnel, over all workers and this controller.
    fn global(&self, counter: Counter) -> u64 {
        let own = match counter {
            Counter::ArpBad => self.arp_bad,
            Counter::NdBad => self.nd_bad,
            Counter::NdDuplicate => self.nd_duplicate,
            _ => 0,
        };
        own + self.sum(|counters| counters.global(counter).get())
    }

    /// Identifications that came again too soon, since the start.
    pub fn reused_identifications(&self) -> u64 {
        self.global(Counter::TunIdReuse)
    }

    fn port_counters(&self, id: PortId) -> CounterSet {
        let entry = |name, value| (Cow::Borrowed(name), value);
        CounterSet::from([
            entry("rx_packets", self.sum(|c| c.port(id).rx_packets.get())),
            entry("rx_bytes", self.sum(|c| c.port(id).rx_bytes.get())),
            entry("tx_packets", self.sum(|c| c.port(id).tx_packets.get())),
            entry("tx_bytes", self.sum(|c| c.port(id).tx_bytes.get())),
        ])
    }

    fn tunnel_counters(&self, id: TunnelId) -> CounterSet {
        let slot = CounterSlot(id.0);
        let traffic = |read: fn(&adit_dataplane::counters::TunnelTraffic) -> u64| {
            self.sum(|counters| counters.tunnels.traffic(slot).map_or(0, read))
        };
        let entry = |name, value| (Cow::Borrowed(name), value);
        let mut set = CounterSet::from([
            entry("rx_packets", traffic(|t| t.rx_packets.get())),
            entry("rx_bytes", traffic(|t| t.rx_bytes.get())),
            entry("tx_packets", traffic(|t| t.tx_packets.get())),
            entry("tx_bytes", traffic(|t| t.tx_bytes.get())),
        ]);
        for &counter in Counter::ALL.iter().filter(|counter| counter.is_per_tunnel()) {
            let count = self.tunnel_event(slot, counter);
            if count > 0 {
                set.insert(Cow::Borrowed(counter.short_name()), count);
            }
        }
        set
    }

    fn tunnel_event(&self, slot: CounterSlot, counter: Counter) -> u64 {
        self.sum(|counters| {
            counters.tunnels.event(slot, counter).map_or(0, adit_dataplane::counters::Cell::get)
        })
    }

    /// Whether every packet is accounted for.
    pub fn balance(&self) -> report::Balance {
        let handed_over = self.sum(|c| c.balance.handed_over.get());
        let handed_back = self.sum(|c| c.balance.handed_back.get());
        // A worker hands messages over and has done with them; whether they are valid is told here.
        let refused = self.arp_bad + self.nd_bad;
        report::Balance {
            received: self.sum(|c| c.balance.received.get()),
            created: self.sum(|c| c.balance.created.get()),
            sent: self.sum(|c| c.balance.sent.get()),
            dropped: self.sum(|c| c.balance.dropped.get()) + refused,
            consumed: self.sum(|c| c.balance.consumed.get()).saturating_sub(refused),
            held: handed_over.saturating_sub(handed_back),
        }
    }

    /// Forgets what has been counted so far, of one port or tunnel or of all; returns of how many.
    /// The balance goes on: it adds up over the whole life.
    pub fn clear_counters(&mut self, name: Option<&str>) -> u64 {
        let wanted = |own: &str| name.is_none_or(|name| name == own);
        let mut cleared = 0;
        for (id, port) in (0..).map(PortId).zip(&self.store.base().ports) {
            if wanted(&port.name) {
                let set = self.port_counters(id);
                self.baseline.ports.insert(port.name.to_string(), set);
                cleared += 1;
            }
        }
        for (id, tunnel) in self.store.tunnels().filter(|(_, tunnel)| wanted(&tunnel.name)) {
            let set = self.tunnel_counters(id);
            self.baseline.tunnels.insert(tunnel.name.to_string(), set);
            cleared += 1;
        }
        if name.is_none() {
            let all = Counter::ALL.iter();
            self.baseline.dataplane =
                all.map(|&c| (Cow::Borrowed(c.name()), self.global(c))).collect();
        }
        cleared
    }

    /// What a number of a tunnel counts belongs to another tunnel from now on, or to none.
    pub(super) fn restart_counters(
        &mut self,
        id: TunnelId,
        before: Option<&str>,
        now: Option<&str>,
    ) {
        if let Some(before) = before {
            self.baseline.tunnels.remove(before);
        }
        if let Some(now) = now {
            let set = self.tunnel_counters(id);
            if set.values().any(|count| *count > 0) {
                self.baseline.tunnels.insert(now.to_owned(), set);
            }
        }
        if let Some(number) = self.compiler.latency_of(id) {
            self.latency.tunnels.remove(&number);
        }
    }

    /// Lost packets by reason.
    pub fn drops(&self) -> report::Drops {
        let counters = self.counters();
        let drops = Counter::ALL.iter().filter(|counter| counter.kind() == Kind::Drop);
        let drops = drops.filter_map(|counter| {
            let short = counter.short_name();
            let tunnels: BTreeMap<String, u64> = if counter.is_per_tunnel() {
                let of =
                    |(name, set): (&String, &CounterSet)| Some((name.clone(), *set.get(short)?));
                counters.tunnels.iter().filter_map(of).filter(|(_, count)| *count > 0).collect()
            } else {
                BTreeMap::new()
            };
            let global = counters.dataplane.get(counter.name()).copied().unwrap_or(0);
            let count = global + tunnels.values().sum::<u64>();
            (count > 0).then(|| report::Drop {
                reason: counter.name().to_owned(),
                count,
                help: counter.help().to_owned(),
                tunnels,
            })
        });
        report::Drops::new(drops.collect())
    }

    /// Ports; `states` are what the devices say, in order.
    pub fn ports(&self, states: &[PortState]) -> report::Ports {
        let nothing = PortState::default();
        let numbered = (0..).map(PortId).zip(self.config().ports.iter().zip(&self.ports));
        let ports = numbered.map(|(id, (port, facts))| {
            let state = states.get(id.index()).unwrap_or(&nothing);
            let mut counters = self.port_counters(id);
            Baseline::subtract(&mut counters, self.baseline.ports.get(&*port.name));
            let count = |name: &str| counters.get(name).copied().unwrap_or(0);
            report::Port {
                name: port.name.to_string(),
                device: port.device.clone(),
                driver: state.driver.clone(),
                mac: facts.mac.to_string(),
                link: if state.link_up { report::Link::Up } else { report::Link::Down },
                speed_mbps: state.speed_mbps,
                mtu: facts.mtu,
                addresses: port.addresses.iter().map(ToString::to_string).collect(),
                unused_addresses: self.unused_addresses(id),
                rx_queues: state.queues.0,
                tx_queues: state.queues.1,
                rx_packets: count("rx_packets"),
                rx_bytes: count("rx_bytes"),
                rx_missed: state.rx_missed,
                rx_errors: state.rx_errors,
                rx_no_mbuf: state.rx_no_mbuf,
                tx_packets: count("tx_packets"),
                tx_bytes: count("tx_bytes"),
                tx_errors: state.tx_errors,
                rx_bad_checksum: state.rx_bad_checksum,
                offloads: state.offloads.clone(),
            }
        });
        report::Ports { ports: ports.collect() }
    }

    /// Tunnels.
    pub fn tunnels(&self, now: Nanos) -> report::Tunnels {
        let known = self.store.tunnels();
        let known = known.filter_map(|(id, tunnel)| Some((id, tunnel, self.compiler.info(id)?)));
        report::Tunnels {
            tunnels: known.map(|(id, tunnel, info)| self.tunnel(id, tunnel, info, now)).collect(),
        }
    }

    /// One tunnel.
    pub fn tunnel_named(&self, name: &str, now: Nanos) -> Option<report::Tunnel> {
        let id = self.store.tunnel_id(name)?;
        Some(self.tunnel(id, self.store.tunnel(id)?, self.compiler.info(id)?, now))
    }

    fn tunnel(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
        info: &TunnelInfo,
        now: Nanos,
    ) -> report::Tunnel {
        let mut counters = self.tunnel_counters(id);
        Baseline::subtract(&mut counters, self.baseline.tunnels.get(&*tunnel.name));
        let count = |name: &str| counters.get(name).copied().unwrap_or(0);
        let dropped = |prefix: &str| {
            let drops = Counter::ALL.iter().filter(|c| c.is_per_tunnel() && c.kind() == Kind::Drop);
            let names = drops.map(|c| c.short_name()).filter(|name| name.starts_with(prefix));
            names.map(count).sum()
        };
        let (state, reason) = standing(&info.standing);
        let labels = tunnel.labels.as_deref();
        let pushed = labels.map_or(&[][..], |labels| labels.push.as_slice());
        report::Tunnel {
            name: tunnel.name.to_string(),
            mode: tunnel.mode.to_string(),
            local: info.local.map(|address| address.to_string()),
            more_locals: tunnel.more_locals.iter().map(ToString::to_string).collect(),
            remote: tunnel.peers().next().map(|address| address.to_string()),
            more_remotes: tunnel.peers().skip(1).map(|address| address.to_string()).collect(),
            state,
            reason,
            mtu: self.effective_mtu(id, tunnel, now),
            labels: labels.map_or(0, |labels| labels.arriving.len()),
            push: pushed.iter().map(|label| label.number()).collect(),
            addresses: tunnel.addresses.iter().map(ToString::to_string).collect(),
            underlay: self.underlay(info),
            rx_packets: count("rx_packets"),
            rx_bytes: count("rx_bytes"),
            rx_dropped: dropped("rx_"),
            tx_packets: count("tx_packets"),
            tx_bytes: count("tx_bytes"),
            tx_dropped: dropped("tx_"),
            comment: tunnel.comment.to_string(),
        }
    }

    fn underlay(&self, info: &TunnelInfo) -> Option<report::Underlay> {
        let port_name =
            |id: PortId| self.config().ports.get(id.index()).map(|port| port.name.to_string());
        let mut underlay = report::Underlay {
            port: info.underlay_port.and_then(port_name),
            tunnel: None,
            next_hop: None,
        };
        match info.underlay {
            NextHop::Via(id) => {
                let adjacency = self.pair.live().neighbors.adjacency(id)?;
                underlay.next_hop = Some(adjacency.address.to_string());
            }
            NextHop::Tunnel(id) => {
                underlay.port = None;
                underlay.tunnel = self.store.tunnel(id).map(|tunnel| tunnel.name.to_string());
            }
            NextHop::Group(_) => {}
            _ => return None,
        }
        Some(underlay)
    }

    /// Neighbors.
    pub fn neighbors(&self, now: Nanos) -> report::Neighbors {
        let port_name = |id: PortId| {
            self.config()
                .ports
                .get(id.index())
                .map(|port| port.name.to_string())
                .unwrap_or_default()
        };
        let neighbors = self.neighbors.entries().map(|entry| report::Neighbor {
            port: port_name(entry.port),
            address: entry.address.to_string(),
            mac: entry.mac.map(|mac| mac.to_string()),
            state: entry.state.name().to_owned(),
            age_seconds: Some(now.since(entry.since).as_secs()),
            queued: u32::try_from(entry.held).unwrap_or(u32::MAX),
        });
        report::Neighbors { neighbors: neighbors.collect() }
    }

    /// Workers; `facts` are what is known of their threads, in order.
    pub fn worker_report(&self, facts: &[WorkerFacts], pool: &PoolFacts) -> report::Workers {
        let nothing = WorkerFacts::default();
        let workers = self.workers.iter().enumerate().map(|(number, worker)| {
            let facts = facts.get(number).unwrap_or(&nothing);
            let work = &worker.counters.work;
            report::Worker {
                name: facts.name.clone(),
                core: facts.core,
                generation: work.generation.load(std::sync::atomic::Ordering::Acquire),
                polls: work.polls.get(),
                bursts: work.bursts.get(),
                busy: facts.busy,
                rx_packets: worker.counters.balance.received.get(),
                tx_packets: worker.counters.balance.sent.get(),
                spread: facts.sharing.clone(),
            }
        });
        report::Workers {
            workers: workers.collect(),
            imbalance: None,
            mempool: report::Mempool { free: pool.free, size: pool.total },
            balance: self.balance(),
        }
    }

    /// Asks every worker for what it has measured; it answers within its next rounds.
    pub fn ask_latency(&mut self) {
        self.latency.answered = 0;
        for worker in &self.workers {
            worker.latency.ask(self.empty_histograms());
        }
    }

    /// Takes what workers have given. Returns how many have answered since they were asked.
    pub fn collect_latency(&mut self) -> usize {
        for (number, worker) in self.workers.iter().enumerate() {
            while let Some(set) = worker.latency.take() {
                self.latency.add(number, &set);
                self.latency.answered += 1;
            }
        }
        self.latency.answered
    }

    /// What has been measured and collected.
    pub fn latency(&self, facts: &[WorkerFacts]) -> report::Latency {
        let mut latency = report::Latency::new(self.config().dataplane.latency_sample);
        for path in Path::ALL {
            let mut total = empty_histogram();
            for totals in &self.latency.workers {
                let _ = total.add(&totals[path as usize]);
            }
            latency.add_total(latency_path(path), &total);
        }
        for (number, totals) in self.latency.workers.iter().enumerate() {
            let name = facts.get(number).map(|facts| facts.name.as_str()).unwrap_or_default();
            for path in Path::ALL {
                latency.add_worker(name, latency_path(path), &totals[path as usize]);
            }
        }
        for (id, tunnel) in self.store.tunnels().filter(|(_, tunnel)| tunnel.latency) {
            let number = self.compiler.latency_of(id);
            let empty = empty_histogram();
            let histogram = number.and_then(|number| self.latency.tunnels.get(&number));
            latency.add_tunnel(&tunnel.name, None, histogram.unwrap_or(&empty));
        }
        latency
    }
}

const fn latency_path(path: Path) -> LatencyPath {
    match path {
        Path::Forward => LatencyPath::Forward,
        Path::Encap => LatencyPath::Encap,
        Path::Decap => LatencyPath::Decap,
    }
}

fn standing(standing: &Standing) -> (TunnelState, Option<String>) {
    let down = |reason: &str| (TunnelState::Down, Some(reason.to_owned()));
    match standing {
        Standing::Running => (TunnelState::Up, None),
        Standing::Disabled => (TunnelState::Disabled, None),
        Standing::ReceiveOnly => (TunnelState::Up, Some("receives only: no remote".to_owned())),
        Standing::NoRoute => down("no route to the remote"),
        Standing::Recursive => down("recursive: the route to the remote leads into the tunnel"),
        Standing::OtherLink => down("the route to the remote leaves by another port than its link"),
        Standing::NoLocal => down("no local address that it could send from"),
        Standing::UnprovedLocal => {
            down("its local address is not used: see duplicate address detection in `show ports`")
        }
    }
}
