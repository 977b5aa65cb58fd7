//! What is told of routes.

use std::net::IpAddr;

use adit_dataplane::interface::TunnelId;
use ipnet::IpNet;

use crate::config::{self, Route, RouteAction, Via};
use crate::engine::Controller;
use crate::report::{self, RouteOrigin};

impl Controller {
    /// Routes: those of the configuration in order, those of connected nets, local addresses.
    pub fn routes(&self) -> report::Routes {
        let mut destinations: Vec<IpNet> =
            self.store.destinations().iter().map(|(to, _)| to).collect();
        destinations.sort_unstable();
        let mut routes: Vec<report::Route> =
            destinations.into_iter().flat_map(|to| self.configured(to)).collect();
        for (id, tunnel) in self.store.tunnels() {
            routes.extend(self.connected_by_tunnel(id, tunnel).map(|(_, route)| route));
        }
        routes.extend(self.connected_by_ports().map(|(_, route)| route));
        let mut locals: Vec<IpNet> = self.compiler.locals().map(IpNet::from).collect();
        locals.sort_unstable();
        routes.extend(locals.into_iter().map(local));
        report::Routes::new(routes)
    }

    /// Those of them that have exactly this destination. There may be a million others: what it costs
    /// are the ports, and the tunnels with an address in the prefix.
    pub fn routes_to(&self, to: IpNet) -> report::Routes {
        let to = to.trunc();
        let mut routes = self.configured(to);
        let mut tunnels = self.store.tunnel_nets().get(to).cloned().unwrap_or_default();
        tunnels.extend(self.store.delegated_by(to));
        tunnels.sort_unstable();
        tunnels.dedup();
        let tunnels = tunnels.into_iter().filter_map(|id| Some((id, self.store.tunnel(id)?)));
        let by_tunnels = tunnels.flat_map(|(id, tunnel)| self.connected_by_tunnel(id, tunnel));
        let connected = by_tunnels.chain(self.connected_by_ports());
        routes.extend(connected.filter(|(net, _)| *net == to).map(|(_, route)| route));
        if to == IpNet::from(to.addr()) && self.compiler.is_local(to.addr()) {
            routes.push(local(to));
        }
        report::Routes::new(routes)
    }

    /// The prefix that packets to an address follow, as an operator writes it, and the route to it. A
    /// prefix without a route is an address that means all hosts of a connected net.
    pub fn route_of(&self, address: IpAddr) -> Option<(String, Option<report::Route>)> {
        let to = self.compiler.prefix_of(address)?;
        let route = self.routes_to(to).routes.into_iter().find(|route| route.active);
        Some((destination(to), route))
    }

    fn connected_by_tunnel(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
    ) -> impl Iterator<Item = (IpNet, report::Route)> {
        let runs = self.compiler.is_running(id);
        let hop = next_hop_on(None, Some(&tunnel.name), runs);
        let delegated = tunnel.delegated().map(|net| {
            let kind = "blackhole".to_owned();
            let route = connected(net, runs, next_hop_on(None, None, runs));
            (net, report::Route { kind, next_hops: Vec::new(), ..route })
        });
        let nets = tunnel.nets().map(move |net| (net, connected(net, hop.active, hop.clone())));
        nets.chain(delegated)
    }

    fn connected_by_ports(&self) -> impl Iterator<Item = (IpNet, report::Route)> {
        self.config().ports.iter().flat_map(|port| {
            let hop = next_hop_on(Some(&port.name), None, true);
            let nets = port.addresses.iter().map(IpNet::trunc);
            nets.map(move |net| (net, connected(net, true, hop.clone())))
        })
    }

    /// The routes of the configuration to one destination, the best one first.
    fn configured(&self, to: IpNet) -> Vec<report::Route> {
        let mut chosen = false;
        let one = |route: &Route| {
            let usable = self.compiler.is_usable(&self.store, &route.action);
            let active = usable && !chosen;
            chosen |= usable;
            self.route(route, active)
        };
        self.store.routes_to(to).iter().map(one).collect()
    }

    fn route(&self, route: &Route, active: bool) -> report::Route {
        let (kind, next_hops) = match &route.action {
            RouteAction::Blackhole => ("blackhole", Vec::new()),
            RouteAction::Unreachable => ("unreachable", Vec::new()),
            RouteAction::Prohibit => ("prohibit", Vec::new()),
            RouteAction::NextHops(hops) => {
                ("unicast", hops.iter().map(|hop| self.next_hop(hop, active)).collect())
            }
        };
        let origin = if route.is_shorthand { RouteOrigin::Tunnel } else { RouteOrigin::Static };
        report::Route {
            to: destination(route.to),
            kind: kind.to_owned(),
            metric: route.metric,
            origin,
            active,
            next_hops,
        }
    }

    fn next_hop(&self, hop: &config::NextHop, route_is_active: bool) -> report::NextHop {
        let runs =
            |name: &str| self.store.tunnel_id(name).is_some_and(|id| self.compiler.is_running(id));
        let (via, port, tunnel, usable) = match &hop.via {
            Via::Gateway { address, port } => {
                (Some(address.to_string()), Some(port.to_string()), None, true)
            }
            Via::Tunnel(name) => (None, None, Some(name.to_string()), runs(name)),
            Via::Peer { tunnel, address } => {
                (Some(address.to_string()), None, Some(tunnel.to_string()), runs(tunnel))
            }
        };
        let active = route_is_active && usable;
        report::NextHop { via, port, tunnel, weight: hop.weight.get(), active }
    }
}

/// A route that follows from an address.
fn connected(to: IpNet, active: bool, hop: report::NextHop) -> report::Route {
    report::Route {
        to: destination(to),
        kind: "unicast".to_owned(),
        metric: 0,
        origin: RouteOrigin::Connected,
        active,
        next_hops: vec![hop],
    }
}

/// The route to one of our own addresses.
fn local(address: IpNet) -> report::Route {
    report::Route {
        kind: "local".to_owned(),
        next_hops: Vec::new(),
        ..connected(address, true, next_hop_on(None, None, true))
    }
}

fn next_hop_on(port: Option<&str>, tunnel: Option<&str>, active: bool) -> report::NextHop {
    report::NextHop {
        via: None,
        port: port.map(str::to_owned),
        tunnel: tunnel.map(str::to_owned),
        weight: 1,
        active,
    }
}

/// A prefix as an operator writes it.
fn destination(net: IpNet) -> String {
    match (net.prefix_len(), net) {
        (0, IpNet::V4(_)) => "default".to_owned(),
        _ => net.to_string(),
    }
}
