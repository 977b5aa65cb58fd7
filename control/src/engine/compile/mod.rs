//! From a configuration to tables: everything that workers look up.
//!
//! There is one way for both, the first configuration as a whole and a change of one entry: what was
//! touched is found out anew, and all that depends on it, and differences become [`Operation`]s. So
//! any sequence of changes ends in tables that answer as if they had been made at once.

mod base;
mod destinations;
mod kept;
mod labels;
mod locals;
mod lookups;
mod mirrors;
mod numbered;
mod paths;
mod proof;
mod remotes;
mod sequences;
mod settle;
mod shims;
mod tunnels;
mod ways;
mod whole;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use adit_dataplane::fib::{FibError, Rib4, Rib6};
use adit_dataplane::interface::{PORTS_MAX, PortId, TUNNELS_MAX, TunnelId};
use adit_dataplane::tables::neighbor::macs;
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::tables::{self, NextHop, Operation};
use adit_dataplane::tunnel::policy::AddressSet;
use adit_dataplane::wire::ethernet::MacAddress;
use ipnet::IpNet;

pub(super) use base::{Unproved, neighbor_ports};
pub(super) use proof::Proof;
pub(super) use tunnels::{Standing, TunnelInfo};

use crate::config::{Ids, Name, Route, RouteAction, Store, Touched, Via};
use lookups::LookupKey;
use mirrors::MirrorSessions;
use numbered::{Adjacencies, Groups};
use paths::Paths;
use remotes::{LearntStations, learns_for};
use sequences::{SequenceNumbers, numbers_of};
use settle::{Dependencies, destinations_of};
use shims::UdpPorts;

/// Why a configuration that is right can't be put in force.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// More ports than tables can number.
    #[error("{count} ports are configured, and {PORTS_MAX} are the most")]
    Ports {
        /// How many.
        count: usize,
    },
    /// More tunnels than tables can number.
    #[error("{count} tunnels are configured, and {TUNNELS_MAX} are the most")]
    Tunnels {
        /// How many.
        count: usize,
    },
    /// Counters were made for fewer tunnels when the appliance started.
    #[error(
        "there is room for the counters of {limit} tunnels; restart with the new configuration"
    )]
    Counters {
        /// How many.
        limit: u32,
    },
    /// The routes don't fit.
    #[error("the routes don't fit: {0}")]
    Routes(#[from] FibError),
    /// Too many different next hops.
    #[error(transparent)]
    NextHops(#[from] tables::TooManyNextHops),
    /// A tunnel's addresses don't fit its mode.
    #[error("tunnel {name}: {reason}")]
    Tunnel {
        /// Which.
        name: Name,
        /// Why.
        reason: adit_dataplane::tunnel::TunnelError,
    },
}

/// A port as it was started.
#[derive(Debug, Clone)]
pub struct PortFacts {
    /// Its MAC address.
    pub mac: MacAddress,
    /// The largest IP packet.
    pub mtu: u16,
}

/// What follows from a configuration, kept up to date with each change of it.
#[derive(Debug)]
pub(super) struct Compiler {
    ports: Vec<tables::Port>,
    port_ids: HashMap<Name, PortId>,
    /// What is connected on ports: their nets, and the addresses that mean all hosts of one.
    port_nets: HashMap<IpNet, NextHop>,
    /// The nets of ports.
    connected: AddressSet,
    rib4: Rib4,
    rib6: Rib6,
    /// By number of tunnel.
    infos: Vec<Option<TunnelInfo>>,
    running: Vec<bool>,
    dependencies: Dependencies,
    /// Addresses of ports that are not used.
    unproved: Unproved,
    /// Our addresses, and how many times each is ours: link-local ones of tunnels repeat.
    locals: HashMap<IpAddr, u32>,
    adjacencies: Adjacencies,
    groups: Groups,
    paths: Paths,
    sequences: SequenceNumbers,
    stations: LearntStations,
    udp_ports: UdpPorts,
    mirrors: MirrorSessions,
    latency: HashMap<TunnelId, u16>,
    latency_ids: Ids,
    /// What the tables don't have yet.
    operations: Vec<Operation>,
    /// The tables are made at the end, as a whole.
    is_building: bool,
}

/// What tables that are made anew take over from before.
pub(super) struct Former {
    /// The numbers that paths have.
    pub(super) paths: Paths,
    /// The numbers that tunnels give their packets.
    pub(super) sequences: SequenceNumbers,
    /// The stations that tunnels have learnt.
    pub(super) stations: LearntStations,
    /// The addresses of ports that can't be used.
    pub(super) unproved: Unproved,
}

impl Former {
    /// Nothing, and room for so many paths.
    pub(super) fn none(room: u32) -> Self {
        Self {
            paths: Paths::new(room),
            sequences: SequenceNumbers::default(),
            stations: LearntStations::default(),
            unproved: Unproved::new(),
        }
    }
}

impl Compiler {
    /// Follows changes of the configuration. On an error, what it knows is of no use any more.
    pub(super) fn update(
        &mut self,
        store: &Store,
        touched: &Touched,
    ) -> Result<Vec<Operation>, CompileError> {
        let mut destinations: HashSet<IpNet> = HashSet::new();
        let mut filters: BTreeSet<TunnelId> = BTreeSet::new();
        for (&(to, metric), before) in &touched.routes {
            destinations.insert(to);
            let now = store.route(to, metric);
            if let Some(now) = now {
                self.hold_gateways(now)?;
            }
            if let Some(before) = before {
                self.release_gateways(before);
            }
            let names = before.iter().chain(now).flat_map(Route::tunnel_names);
            filters.extend(names.filter_map(|name| store.tunnel_id(name)));
        }
        let mut moved = Vec::new();
        for (&id, before) in &touched.tunnels {
            self.hold_gateways_of_labels(store.tunnel(id).map_or(&[], labels::arriving))?;
            self.release_gateways_of_labels(before.as_ref().map_or(&[], labels::arriving));
            if self.replace_entry(store, id, before.as_ref(), &mut destinations) {
                moved.push(id);
            }
        }
        // Ends that tunnels exchange are free before anybody takes them; so are ports.
        for before in touched.tunnels.values().flatten() {
            self.operations.extend(self.attach(before, None));
        }
        for &id in touched.tunnels.keys() {
            let now = store.tunnel(id).and_then(|tunnel| self.attach(tunnel, Some(id)));
            self.operations.extend(now);
        }
        for id in moved {
            let added = store.tunnel(id).map(|tunnel| self.lookups(id, tunnel).collect::<Vec<_>>());
            self.operations.extend(added.into_iter().flatten());
        }
        for &to in &destinations {
            self.refresh(store, to)?;
        }
        let mut dirty: BTreeSet<TunnelId> = touched.tunnels.keys().copied().collect();
        for &to in &destinations {
            self.affected(store, to, &mut dirty);
        }
        let changed = self.settle_tunnels(store, dirty)?;
        let mut renewed: BTreeSet<TunnelId> = touched.tunnels.keys().copied().collect();
        renewed.extend(changed);
        renewed.extend(filters);
        renewed.extend(labels::lead_into_touched(store, touched));
        if mirrors::are_touched(store, touched) {
            renewed.extend(self.refresh_mirrors(store));
        }
        for id in renewed {
            if let (Some(tunnel), Some(info)) = (store.tunnel(id), self.info(id)) {
                let built = self.build_tunnel(store, id, tunnel, info)?;
                self.operations.push(Operation::Tunnel(id, built.into()));
            }
        }
        let port_labels = self.renewed_port_labels(store, touched);
        self.operations.extend(port_labels);
        Ok(std::mem::take(&mut self.operations))
    }

    /// What of a tunnel depends on nothing but its own entry. Says whether it is to be looked up by
    /// other ends than before; the former ones are gone then.
    fn replace_entry(
        &mut self,
        store: &Store,
        id: TunnelId,
        before: Option<&crate::config::Tunnel>,
        destinations: &mut HashSet<IpNet>,
    ) -> bool {
        let now = store.tunnel(id);
        let moved = before.map(|tunnel| self.lookup_keys(id, tunnel).collect::<Vec<_>>())
            != now.map(|tunnel| self.lookup_keys(id, tunnel).collect());
        if moved && let Some(before) = before {
            let gone = self.lookup_keys(id, before).map(LookupKey::remove);
            self.operations.extend(gone);
        }
        self.sequences.keep(id, now.and_then(numbers_of));
        self.stations.keep(id, now.and_then(learns_for));
        self.udp_ports.keep(before, now, &mut self.operations);
        destinations.extend(before.iter().copied().chain(now).flat_map(destinations_of));
        if let Some(now) = now {
            destinations.extend(self.add_locals(now));
        }
        if let Some(before) = before {
            destinations.extend(self.remove_locals(before));
        }
        self.measure(id, now.is_some_and(|tunnel| tunnel.latency));
        moved
    }

    /// The port that a tunnel of frames is attached to.
    fn attachment(&self, tunnel: &crate::config::Tunnel) -> Option<PortId> {
        self.port_id(tunnel.attached_to()?)
    }

    /// Attaches the port that a tunnel names to `id`.
    fn attach(&self, tunnel: &crate::config::Tunnel, id: Option<TunnelId>) -> Option<Operation> {
        Some(Operation::Attach(self.attachment(tunnel)?, id))
    }

    fn hold_gateways(&mut self, route: &Route) -> Result<(), CompileError> {
        for (port, address) in self.gateways(route) {
            self.adjacencies.hold(port, address, &mut self.operations)?;
        }
        Ok(())
    }

    fn release_gateways(&mut self, route: &Route) {
        for (port, address) in self.gateways(route) {
            self.adjacencies.release(port, address, &mut self.operations);
        }
    }

    fn gateways(&self, route: &Route) -> Vec<(PortId, IpAddr)> {
        let RouteAction::NextHops(hops) = &route.action else { return Vec::new() };
        let gateway = |via: &Via| match via {
            Via::Gateway { address, port } => Some((self.port_id(port)?, *address)),
            Via::Tunnel(_) | Via::Peer { .. } => None,
        };
        hops.iter().filter_map(|hop| gateway(&hop.via)).collect()
    }

    /// Gives a tunnel a histogram of its own, or takes it back.
    fn measure(&mut self, id: TunnelId, wanted: bool) {
        let has = self.latency.contains_key(&id);
        if wanted && !has {
            let number = self.latency_ids.take().and_then(|number| u16::try_from(number).ok());
            self.latency.extend(number.map(|number| (id, number)));
        } else if !wanted && let Some(number) = self.latency.remove(&id) {
            self.latency_ids.give_back(number.into());
        }
    }

    /// A neighbor's MAC address is known now, or no longer.
    pub(super) fn resolve_neighbor(
        &mut self,
        port: PortId,
        address: IpAddr,
        mac: Option<MacAddress>,
    ) {
        let own = self.ports.get(port.index()).map(|port| port.mac).unwrap_or_default();
        let both = mac.map(|mac| macs(mac, own));
        self.adjacencies.resolve(port, address, both, &mut self.operations);
    }

    /// Operations that belong to no change of the configuration.
    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    /// Next hops that came (true) or went since the last call.
    pub(super) fn take_next_hop_news(&mut self) -> Vec<(PortId, IpAddr, bool)> {
        self.adjacencies.take_news()
    }

    /// All next hops: gateways of routes, and remotes of tunnels that are neighbors.
    pub(super) fn next_hops(&self) -> Vec<(PortId, IpAddr)> {
        self.adjacencies.next_hops().collect()
    }

    /// Numbers that were given back up to now can be given out again.
    pub(super) fn settle(&mut self) {
        self.adjacencies.settle();
        self.groups.settle();
        self.paths.settle();
        self.latency_ids.settle();
    }

    /// What outlives a change of everything.
    pub(super) fn former(&self) -> Former {
        let Self { sequences, stations, .. } = self;
        Former {
            paths: self.paths.unheld(),
            sequences: sequences.clone(),
            stations: stations.clone(),
            unproved: Unproved::new(),
        }
    }

    /// What of some tunnels outlives a change that is refused, for [`put_back`](Self::put_back).
    pub(super) fn kept(
        &self,
        ids: impl Iterator<Item = TunnelId> + Clone,
    ) -> (SequenceNumbers, LearntStations) {
        (self.sequences.some(ids.clone()), self.stations.some(ids))
    }

    /// Has that be theirs again.
    pub(super) fn put_back(&mut self, (sequences, stations): (SequenceNumbers, LearntStations)) {
        self.sequences.put_back(sequences);
        self.stations.put_back(stations);
    }

    /// The paths that tunnels take.
    pub(super) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Paths that are not what they were since the last call.
    pub(super) fn take_moved_paths(&mut self) -> Vec<TunnelPath> {
        self.paths.take_moved()
    }

    /// What was found about a tunnel.
    pub(super) fn info(&self, id: TunnelId) -> Option<&TunnelInfo> {
        self.infos.get(id.index())?.as_ref()
    }

    /// The histogram of a tunnel.
    pub(super) fn latency_of(&self, id: TunnelId) -> Option<u16> {
        self.latency.get(&id).copied()
    }

    /// Our addresses.
    pub(super) fn locals(&self) -> impl Iterator<Item = IpAddr> {
        self.locals.keys().copied()
    }

    /// Whether an address is one of ours.
    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        self.locals.contains_key(&address)
    }

    fn port_id(&self, name: &str) -> Option<PortId> {
        self.port_ids.get(name).copied()
    }

    fn forget_operations_while_building(&mut self) {
        if self.is_building {
            self.operations.clear();
        }
    }
}
