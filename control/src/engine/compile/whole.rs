//! A whole configuration compiled at once, into tables that nobody reads yet.

use std::collections::HashMap;
use std::net::IpAddr;

use adit_dataplane::fib::{Fib, Fib4, Fib6, Rib4, Rib6};
use adit_dataplane::interface::{PORTS_MAX, PortId, TUNNELS_MAX};
use adit_dataplane::latency::MEASURED_TUNNELS_MAX;
use adit_dataplane::node::flow::FlowKey;
use adit_dataplane::tables::{self, NextHop, Tables};
use adit_dataplane::wire::ethernet::MacAddress;
use ipnet::IpNet;

use super::base::{limits, port_addresses, port_tables};
use super::destinations::broadcasts;
use super::mirrors::MirrorSessions;
use super::numbered::{Adjacencies, Groups};
use super::remotes::learns_for;
use super::sequences::numbers_of;
use super::settle::Dependencies;
use super::shims::UdpPorts;
use super::{CompileError, Compiler, Former, PortFacts, labels, tunnels};
use crate::config::{Config, Ids, Name, Store};

impl Compiler {
    /// Compiles a whole configuration. `known` are neighbors whose MAC addresses are known, `former`
    /// what outlives a change of everything.
    pub(in crate::engine) fn build(
        store: &Store,
        facts: &[PortFacts],
        known: impl Iterator<Item = (PortId, IpAddr, MacAddress)>,
        former: Former,
        seed: u64,
    ) -> Result<(Self, Tables), CompileError> {
        let config = store.base();
        if config.ports.len() > PORTS_MAX {
            return Err(CompileError::Ports { count: config.ports.len() });
        }
        if store.tunnel_count() > TUNNELS_MAX {
            return Err(CompileError::Tunnels { count: store.tunnel_count() });
        }
        let mut compiler = Self::with_ports(config, facts, former);
        compiler.paths.reserve(store.tunnel_count());
        let tunnels = compiler.compile_all(store)?;
        compiler.paths.forget_unheld();
        let mut neighbors = tables::neighbor::NeighborTable::new(seed);
        for (port, address, mac) in known {
            compiler.resolve_neighbor(port, address, Some(mac));
        }
        compiler.operations.clear();
        compiler.adjacencies.all().for_each(|(id, adjacency)| neighbors.put(id, adjacency));
        let mut tables = Tables {
            flow: FlowKey::new(seed),
            ports: compiler.ports.clone().into(),
            fib4: Fib4::build(&compiler.rib4)?,
            fib6: Fib6::build(&compiler.rib6)?,
            tunnels,
            neighbors,
            limits: limits(config, &compiler.unproved),
            ..Tables::empty(seed)
        };
        for (id, group) in compiler.groups.all() {
            tables.next_hops.put_group(id, Some(group.clone()));
        }
        compiler.locals.keys().for_each(|&address| tables.local.insert(address));
        for (to, next_hop) in compiler.rib4.iter() {
            tables.local.note_route_ipv4(to, Some(next_hop.into()));
        }
        for operation in compiler.udp_ports.all() {
            tables.change(&operation)?;
        }
        for operation in compiler.port_labels(store) {
            tables.change(&operation)?;
        }
        for operation in compiler.mirrors.all() {
            tables.change(&operation)?;
        }
        for (id, tunnel) in store.tunnels() {
            if let Some(operation) = compiler.attach(tunnel, Some(id)) {
                tables.change(&operation)?;
            }
        }
        for (id, tunnel) in store.tunnels() {
            for operation in compiler.lookups(id, tunnel) {
                tables.change(&operation)?;
            }
        }
        compiler.adjacencies.take_news();
        compiler.is_building = false;
        Ok((compiler, tables))
    }

    fn with_ports(config: &Config, facts: &[PortFacts], former: Former) -> Self {
        let Former { paths, sequences, stations, unproved } = former;
        let numbered = || (0..).map(PortId).zip(&config.ports);
        let mut port_nets = HashMap::new();
        for (id, port) in numbered() {
            for net in &port.addresses {
                port_nets.insert(net.trunc(), NextHop::Connected(id));
                for end in broadcasts(*net) {
                    port_nets.insert(IpNet::from(end), NextHop::Broadcast);
                }
            }
        }
        let mut locals = HashMap::new();
        for address in port_addresses(config, facts, &unproved) {
            *locals.entry(address).or_default() += 1;
        }
        Self {
            ports: port_tables(config, facts, &unproved),
            unproved,
            port_ids: numbered().map(|(id, port)| (Name::clone(&port.name), id)).collect(),
            port_nets,
            connected: tunnels::connected_nets(config),
            rib4: Rib4::new(),
            rib6: Rib6::new(),
            infos: Vec::new(),
            running: Vec::new(),
            dependencies: Dependencies::default(),
            locals,
            adjacencies: Adjacencies::new(),
            groups: Groups::new(),
            paths,
            sequences,
            stations,
            udp_ports: UdpPorts::default(),
            mirrors: MirrorSessions::default(),
            latency: HashMap::new(),
            latency_ids: Ids::new(u32::from(MEASURED_TUNNELS_MAX)),
            operations: Vec::new(),
            is_building: true,
        }
    }

    /// Everything, for tables that are made as a whole; returns the tunnels by their numbers.
    fn compile_all(
        &mut self,
        store: &Store,
    ) -> Result<Vec<adit_dataplane::tunnel::Tunnel>, CompileError> {
        for route in store.routes() {
            self.hold_gateways(route)?;
        }
        self.hold_gateways_of_ports(store)?;
        self.sequences.retain(|id| store.tunnel(id).is_some());
        self.stations.retain(|id| store.tunnel(id).is_some());
        for (id, tunnel) in store.tunnels() {
            self.hold_gateways_of_labels(labels::arriving(tunnel))?;
            self.add_locals(tunnel);
            self.measure(id, tunnel.latency);
            self.sequences.keep(id, numbers_of(tunnel));
            self.stations.keep(id, learns_for(tunnel));
            self.udp_ports.keep(None, Some(tunnel), &mut self.operations);
        }
        self.refresh_mirrors(store);
        self.forget_operations_while_building();
        let ports = self.port_nets.keys().copied();
        let locals = self.locals.keys().map(|&address| IpNet::from(address));
        let unproved = self.unproved.iter().map(|&(address, _)| IpNet::from(IpAddr::V6(address)));
        let firsts: Vec<IpNet> = ports.chain(locals).chain(unproved).collect();
        firsts.into_iter().try_for_each(|to| self.refresh(store, to))?;
        for (to, _) in store.destinations().iter() {
            self.refresh(store, to)?;
        }
        self.settle_tunnels(store, store.tunnels().map(|(id, _)| id).collect())?;
        let mut tunnels = Vec::new();
        for (id, tunnel) in store.tunnels() {
            let Some(info) = self.info(id) else { continue };
            let built = self.build_tunnel(store, id, tunnel, info)?;
            // A number that no tunnel has is one that nothing leads to.
            tunnels.resize(id.index(), built.clone());
            tunnels.push(built);
        }
        Ok(tunnels)
    }
}
