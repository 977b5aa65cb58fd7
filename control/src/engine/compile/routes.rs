//! Routes: those of the configuration, those that follow from addresses, and which of several for
//! one destination is the best.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::fib::Rib;
use adit_dataplane::interface::TunnelId;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::tables::{GROUP_MEMBERS_MAX, Group, NextHop, NextHops, TooManyNextHops};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::PortFacts;
use super::{CompileError, Numbers, local_addresses};
use crate::config::{self, Config, Name, RouteAction, Via};

/// Where a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Origin {
    /// An address of this node.
    Local,
    /// The net of an address.
    Connected,
    /// The configuration.
    Static,
    /// The shorthand of a tunnel.
    Tunnel,
}

/// A route, for reports.
#[derive(Debug, Clone)]
pub(in super::super) struct RouteInfo {
    pub(in super::super) to: IpNet,
    pub(in super::super) metric: u32,
    pub(in super::super) origin: Origin,
    pub(in super::super) action: Action,
    /// It is the one that packets follow.
    pub(in super::super) active: bool,
}

/// What a route does, for reports.
#[derive(Debug, Clone)]
pub(in super::super) enum Action {
    Local,
    OnPort(Name),
    OnTunnel(Name),
    Configured(RouteAction),
}

/// All routes, numbered.
pub(super) struct Routes {
    pub(super) rib4: Rib<Ipv4Net>,
    pub(super) rib6: Rib<Ipv6Net>,
    pub(super) next_hops: NextHops,
    pub(super) infos: Vec<RouteInfo>,
    groups: HashMap<Group, NextHop>,
}

impl Routes {
    /// The routes of a configuration in which only the tunnels of `running` carry packets.
    pub(super) fn new(
        config: &Config,
        facts_macs: &[PortFacts],
        numbers: &Numbers,
        running: &BTreeSet<TunnelId>,
        neighbors: &mut NeighborTable,
    ) -> Result<Self, CompileError> {
        let mut routes = Self {
            rib4: Rib::new(),
            rib6: Rib::new(),
            next_hops: NextHops::new(),
            infos: Vec::new(),
            groups: HashMap::new(),
        };
        routes.add_configured(config, numbers, running, neighbors)?;
        routes.add_connected(config, numbers, running)?;
        for address in local_addresses(config, facts_macs) {
            routes.insert(IpNet::from(address), NextHop::Local)?;
            routes.info(IpNet::from(address), 0, Origin::Local, Action::Local, true);
        }
        Ok(routes)
    }

    /// The best route of each destination; those that can't be followed now don't count.
    fn add_configured(
        &mut self,
        config: &Config,
        numbers: &Numbers,
        running: &BTreeSet<TunnelId>,
        neighbors: &mut NeighborTable,
    ) -> Result<(), CompileError> {
        let mut by_destination: BTreeMap<IpNet, Vec<&config::Route>> = BTreeMap::new();
        for route in &config.routes {
            by_destination.entry(route.to).or_default().push(route);
        }
        for (to, mut candidates) in by_destination {
            candidates.sort_by_key(|route| route.metric);
            let mut chosen = false;
            for route in candidates {
                let next_hop = self.resolve(&route.action, numbers, running, neighbors)?;
                let active = next_hop.is_some() && !chosen;
                if let Some(next_hop) = next_hop.filter(|_| active) {
                    self.insert(to, next_hop)?;
                    chosen = true;
                }
                let origin = if route.is_shorthand { Origin::Tunnel } else { Origin::Static };
                let action = Action::Configured(route.action.clone());
                self.info(to, route.metric, origin, action, active);
            }
        }
        Ok(())
    }

    /// What a route's action means to the packet path; `None` when no next hop of it can be used.
    fn resolve(
        &mut self,
        action: &RouteAction,
        numbers: &Numbers,
        running: &BTreeSet<TunnelId>,
        neighbors: &mut NeighborTable,
    ) -> Result<Option<NextHop>, TooManyNextHops> {
        let hops = match action {
            RouteAction::Blackhole => return Ok(Some(NextHop::Blackhole)),
            RouteAction::Unreachable => return Ok(Some(NextHop::Unreachable)),
            RouteAction::Prohibit => return Ok(Some(NextHop::Prohibit)),
            RouteAction::NextHops(hops) => hops,
        };
        let mut members = Vec::new();
        for hop in hops.iter().take(GROUP_MEMBERS_MAX) {
            let next_hop = match &hop.via {
                Via::Gateway { address, port } => {
                    let Some(port) = numbers.port(port) else { return Ok(None) };
                    NextHop::Via(neighbors.insert(port, *address))
                }
                Via::Tunnel(name) => {
                    let Some(tunnel) = numbers.tunnel(name) else { return Ok(None) };
                    if !running.contains(&tunnel) {
                        continue;
                    }
                    NextHop::Tunnel(tunnel)
                }
            };
            members.push((next_hop, hop.weight.get()));
        }
        match members.as_slice() {
            [] => Ok(None),
            [(next_hop, _)] => Ok(Some(*next_hop)),
            _ => Group::new(&members).map(|group| self.group(group)).transpose(),
        }
    }

    /// The next hop that stands for a group, the one there is if it has been met before.
    fn group(&mut self, group: Group) -> Result<NextHop, TooManyNextHops> {
        if let Some(&known) = self.groups.get(&group) {
            return Ok(known);
        }
        let next_hop = self.next_hops.add_group(group.clone())?;
        self.groups.insert(group, next_hop);
        Ok(next_hop)
    }

    /// The nets of addresses on ports and tunnels, and their broadcast addresses.
    fn add_connected(
        &mut self,
        config: &Config,
        numbers: &Numbers,
        running: &BTreeSet<TunnelId>,
    ) -> Result<(), CompileError> {
        for tunnel in &config.tunnels {
            let Some(id) = numbers.tunnel(&tunnel.name) else { continue };
            let active = running.contains(&id);
            for net in &tunnel.addresses {
                if active {
                    self.insert(net.trunc(), NextHop::Tunnel(id))?;
                    self.insert_broadcast(net)?;
                }
                let action = Action::OnTunnel(Name::clone(&tunnel.name));
                self.info(net.trunc(), 0, Origin::Connected, action, active);
            }
        }
        for port in &config.ports {
            let Some(id) = numbers.port(&port.name) else { continue };
            for net in &port.addresses {
                self.insert(net.trunc(), NextHop::Connected(id))?;
                let action = Action::OnPort(Name::clone(&port.name));
                self.info(net.trunc(), 0, Origin::Connected, action, true);
                self.insert_broadcast(net)?;
            }
        }
        Ok(())
    }

    /// The addresses of a connected net that mean all of its hosts.
    fn insert_broadcast(&mut self, net: &IpNet) -> Result<(), CompileError> {
        let IpNet::V4(net) = net else { return Ok(()) };
        //= RFC 3021 §2.1: a /31 has no broadcast address.
        if net.prefix_len() < 31 {
            for special in [net.network(), net.broadcast()] {
                self.insert(IpNet::from(IpAddr::V4(special)), NextHop::Broadcast)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, to: IpNet, next_hop: NextHop) -> Result<(), CompileError> {
        let id = next_hop.id()?;
        match to {
            IpNet::V4(net) => self.rib4.insert(net.trunc(), id),
            IpNet::V6(net) => self.rib6.insert(net.trunc(), id),
        };
        Ok(())
    }

    fn info(&mut self, to: IpNet, metric: u32, origin: Origin, action: Action, active: bool) {
        self.infos.push(RouteInfo { to, metric, origin, action, active });
    }

    /// Where packets to an address go.
    pub(super) fn look_up(&self, address: IpAddr) -> NextHop {
        let id = match address {
            IpAddr::V4(address) => self.rib4.longest_match(address.into()).map(|(_, id)| id),
            IpAddr::V6(address) => self.rib6.longest_match(address.into()).map(|(_, id)| id),
        };
        id.map_or(NextHop::NoRoute, NextHop::from)
    }
}

/// Whether an address needs no route because it is on every link.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => Ipv6Addr::is_unicast_link_local(&address),
    }
}
