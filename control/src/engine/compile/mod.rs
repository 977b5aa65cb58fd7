//! From a configuration to tables: everything that workers look up, made in one go and not yet in
//! force. Fails before anything has changed, or not at all.

mod routes;
mod tunnels;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use adit_dataplane::fib::{Fib, Fib4, Fib6, FibError};
use adit_dataplane::interface::{PORTS_MAX, PortId, TUNNELS_MAX, TunnelId};
use adit_dataplane::node::flow::FlowKey;
use adit_dataplane::tables::local::LocalAddresses;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::tables::{self, Limits, NextHop, Tables};
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::nd;
use ipnet::IpNet;

pub(super) use routes::{Action, Origin, RouteInfo};
pub(super) use tunnels::{Standing, TunnelInfo};

use super::slots::Slots;
use crate::config::{Config, Name};
use crate::neighbor::PortSetup;

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
    /// Two tunnels take the same packets.
    #[error("tunnel {second} can't be told from tunnel {first} on decapsulation")]
    Indistinguishable {
        /// One.
        first: Name,
        /// The other.
        second: Name,
    },
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

/// Tables that could be put in force, and what else follows from the configuration.
pub(super) struct Compiled {
    pub(super) tables: Tables,
    pub(super) neighbor_ports: Vec<PortSetup>,
    /// Gateways and remotes on a link: kept resolved.
    pub(super) next_hops: Vec<(PortId, IpAddr)>,
    pub(super) tunnels: Vec<TunnelInfo>,
    pub(super) routes: Vec<RouteInfo>,
}

/// What compiling needs beside the configuration.
pub(super) struct Given<'a> {
    pub(super) ports: &'a [PortFacts],
    pub(super) slots: &'a mut Slots,
    pub(super) slot_limit: u32,
    pub(super) latency_slots: &'a mut Slots,
    pub(super) seed: u64,
    pub(super) generation: u64,
}

/// The numbers of names.
pub(super) struct Numbers {
    ports: BTreeMap<Name, PortId>,
    tunnels: BTreeMap<Name, TunnelId>,
}

impl Numbers {
    fn of(config: &Config) -> Result<Self, CompileError> {
        if config.ports.len() > PORTS_MAX {
            return Err(CompileError::Ports { count: config.ports.len() });
        }
        if config.tunnels.len() > TUNNELS_MAX {
            return Err(CompileError::Tunnels { count: config.tunnels.len() });
        }
        let ports = (0..).map(PortId).zip(&config.ports);
        let tunnels = (0..).map(TunnelId).zip(&config.tunnels);
        Ok(Self {
            ports: ports.map(|(id, port)| (Name::clone(&port.name), id)).collect(),
            tunnels: tunnels.map(|(id, tunnel)| (Name::clone(&tunnel.name), id)).collect(),
        })
    }

    fn port(&self, name: &str) -> Option<PortId> {
        self.ports.get(name).copied()
    }

    fn tunnel(&self, name: &str) -> Option<TunnelId> {
        self.tunnels.get(name).copied()
    }
}

/// Makes tables of a configuration.
pub(super) fn compile(config: &Config, given: &mut Given<'_>) -> Result<Compiled, CompileError> {
    let numbers = Numbers::of(config)?;
    let ports = port_tables(config, given.ports);
    let mut neighbors = NeighborTable::new(given.seed);
    let placed = tunnels::place(config, &numbers, &ports, &mut neighbors)?;
    let tunnels = tunnels::build(
        config,
        &numbers,
        &placed,
        given.slots,
        given.slot_limit,
        given.latency_slots,
    )?;
    let (lookup4, lookup6) = tunnels::lookup(config, &numbers, given.seed)?;
    let routes = placed.routes;
    let local = local_addresses(config, given.ports);
    let tables = Tables {
        generation: given.generation,
        flow: FlowKey::new(given.seed),
        ports: ports.into(),
        fib4: Arc::new(Fib4::build(&routes.rib4)?),
        fib6: Arc::new(Fib6::build(&routes.rib6)?),
        next_hops: Arc::new(routes.next_hops),
        tunnels: tunnels.into(),
        tunnels_by_ipv4: Arc::new(lookup4),
        tunnels_by_ipv6: Arc::new(lookup6),
        local: Arc::new(LocalAddresses::new(local.into_iter())),
        limits: limits(config),
        neighbors: Arc::new(neighbors),
    };
    let next_hops = tables.neighbors.iter().map(|a| (a.port, a.address)).collect();
    Ok(Compiled {
        next_hops,
        neighbor_ports: neighbor_ports(config, given.ports),
        tunnels: placed.tunnels,
        routes: routes.infos,
        tables,
    })
}

fn port_tables(config: &Config, facts: &[PortFacts]) -> Vec<tables::Port> {
    let port = |(port, facts): (&crate::config::Port, &PortFacts)| tables::Port {
        mac: facts.mac,
        mtu: facts.mtu,
        source_ipv4: first_ipv4(&port.addresses),
        source_ipv6: first_ipv6(&port.addresses),
    };
    config.ports.iter().zip(facts).map(port).collect()
}

fn first_ipv4(addresses: &[IpNet]) -> Option<Ipv4Addr> {
    addresses.iter().find_map(|net| match net {
        IpNet::V4(net) => Some(net.addr()),
        IpNet::V6(_) => None,
    })
}

fn first_ipv6(addresses: &[IpNet]) -> Option<Ipv6Addr> {
    addresses.iter().find_map(|net| match net {
        IpNet::V6(net) if !net.addr().is_unicast_link_local() => Some(net.addr()),
        _ => None,
    })
}

fn limits(config: &Config) -> Limits {
    let all = || {
        let loopback = config.loopback.addresses.iter();
        loopback.chain(config.ports.iter().flat_map(|port| &port.addresses)).copied()
    };
    let addresses: Vec<IpNet> = all().collect();
    Limits {
        nested_encaps: config.limits.nested_encaps,
        decap_depth: config.limits.decap_depth,
        answers_unmatched: config.limits.unmatched_icmp
            == crate::config::UnmatchedIcmp::ProtoUnreach,
        router_id: first_ipv4(&addresses),
        router_id6: first_ipv6(&addresses),
    }
}

/// The link-local address of a port, its own or the one that follows from its MAC.
fn link_local(port: &crate::config::Port, facts: &PortFacts) -> Ipv6Addr {
    let own = port.addresses.iter().find_map(|net| match net.addr() {
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
        _ => None,
    });
    own.unwrap_or_else(|| nd::link_local(facts.mac))
}

/// Every address of this node.
fn local_addresses(config: &Config, facts: &[PortFacts]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for (port, facts) in config.ports.iter().zip(facts) {
        all.extend(port.addresses.iter().map(IpNet::addr));
        all.push(link_local(port, facts).into());
    }
    all.extend(config.loopback.addresses.iter().map(IpNet::addr));
    for tunnel in &config.tunnels {
        all.extend(tunnel.addresses.iter().map(IpNet::addr));
        all.extend(tunnels::link_local(tunnel).map(IpAddr::V6));
    }
    all
}

fn neighbor_ports(config: &Config, facts: &[PortFacts]) -> Vec<PortSetup> {
    let numbered = (0..).map(PortId).zip(config.ports.iter().zip(facts));
    numbered
        .map(|(id, (port, facts))| PortSetup {
            id,
            mac: facts.mac,
            addresses: port.addresses.clone(),
            link_local: link_local(port, facts),
            static_neighbors: port.neighbors.iter().map(|n| (n.address, n.mac)).collect(),
        })
        .collect()
}

/// The port that a next hop leaves by, if it is one.
fn port_of(next_hop: NextHop, neighbors: &NeighborTable) -> Option<PortId> {
    match next_hop {
        NextHop::Connected(port) => Some(port),
        NextHop::Via(id) => neighbors.adjacency(id).map(|adjacency| adjacency.port),
        _ => None,
    }
}
