//! The part of the running configuration that a change has to do with, written out as a text: small,
//! however large the whole is, and yet every mistake that the change would be in the whole is one
//! beside this part.
//!
//! What is in it is whole: the ends, gateways and tunnels that an entry needs, and the ways to
//! the remotes of all tunnels in it, are in it as well.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use adit_dataplane::interface::TunnelId;
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::super::describe::{describe_limits, describe_port, describe_route, describe_tunnel};
use super::super::labels;
use super::super::model::{Route, RouteAction, Via};
use super::rest::{Rest, Way, is_link_local};

/// Entries of one kind that would all be mistakes for the same reason; more say nothing new.
const EXAMPLES: usize = 16;

/// See the module.
pub(super) struct Excerpt<'s> {
    rest: Rest<'s>,
    tunnels: BTreeSet<TunnelId>,
    routes: BTreeMap<(IpNet, u32), &'s Route>,
}

impl<'s> Excerpt<'s> {
    pub(super) fn new(rest: Rest<'s>) -> Self {
        let mut excerpt = Self { rest, tunnels: BTreeSet::new(), routes: BTreeMap::new() };
        // Ports are always in it, and what they need with them.
        for port in &rest.store.base().ports {
            excerpt.add_tunnels_named(labels::hops(port.labels.iter().flatten()));
        }
        excerpt
    }

    /// A tunnel, and all it needs.
    pub(super) fn add_tunnel(&mut self, id: TunnelId) {
        let Some(tunnel) = self.rest.tunnel(id) else { return };
        if !self.tunnels.insert(id) {
            return;
        }
        tunnel.locals().for_each(|local| self.add_owners(local));
        tunnel.peers().for_each(|remote| self.add_way(remote, u8::MAX));
        self.add_tunnels_named(tunnel.label_hops());
        self.add_tunnels_named(tunnel.mirror().into_iter().flat_map(|mirror| &mirror.tunnels));
    }

    /// Tunnels, and all they need.
    pub(super) fn add_tunnels(&mut self, ids: impl IntoIterator<Item = TunnelId>) {
        ids.into_iter().for_each(|id| self.add_tunnel(id));
    }

    /// A route, and the tunnels that it leads through.
    pub(super) fn add_route(&mut self, route: &'s Route) {
        if let Some(writer) = self.rest.writer(route) {
            self.add_tunnel(writer);
        } else if self.routes.insert((route.to, route.metric), route).is_none() {
            self.add_tunnels_named(route.tunnel_names());
        }
    }

    /// Tunnels by their names, as far as there are any.
    pub(super) fn add_tunnels_named<N: AsRef<str>>(&mut self, names: impl IntoIterator<Item = N>) {
        for name in names {
            self.add_tunnels(self.rest.id(name.as_ref()));
        }
    }

    /// Whoever has this address.
    pub(super) fn add_owners(&mut self, address: IpAddr) {
        self.add_tunnels(self.rest.store.owners(address).take(EXAMPLES));
    }

    /// What decides about the way to an address.
    pub(super) fn add_way(&mut self, address: IpAddr, longest: u8) {
        match self.rest.way(address, longest) {
            Some((_, Way::Net(id))) => self.add_tunnel(id),
            Some((_, Way::Route(route))) => self.add_route(route),
            Some((_, Way::Port)) | None => {}
        }
    }

    /// What a tunnel is going to be beside: `addresses` and `routes` are its own.
    pub(super) fn add_around_tunnel(&mut self, wanted: &super::Wanted) {
        let store = self.rest.store;
        for address in wanted.locals.iter().chain(&wanted.remotes) {
            self.add_owners(*address);
        }
        let any = wanted.locals.is_empty().then_some(None);
        for local in wanted.locals.iter().copied().map(Some).chain(any) {
            let anybody = wanted.remotes.is_empty().then_some(None);
            for remote in wanted.remotes.iter().copied().map(Some).chain(anybody) {
                self.add_tunnels(store.with_ends(remote, local));
            }
        }
        wanted.remotes.iter().for_each(|remote| self.add_way(*remote, u8::MAX));
        self.add_tunnels_named(&wanted.tunnels);
        for gateway in &wanted.gateways {
            self.add_owners(*gateway);
        }
        if let Some(port) = wanted.udp_port {
            // All that listen there do so for the same; one of them may be what is changed.
            self.add_tunnels(store.with_udp_port(port).take(2));
        }
        self.add_attached(&wanted.links);
        if let Some(port) = &wanted.attach {
            self.add_attached([port]);
            self.add_bound_to(port);
        }
        for name in &wanted.mirrored {
            // As many as may be, and one that is too many.
            self.add_tunnels(store.that_mirror(name).take(EXAMPLES));
        }
        self.add_tunnels_named(&wanted.mirrored);
        for net in &wanted.addresses {
            self.add_owners(net.addr());
            self.add_tunnels(
                store.remotes(net.addr(), net.addr()).map(|(_, id)| id).take(EXAMPLES),
            );
            if !is_link_local(*net) {
                self.add_tunnels(self.rest.holders(*net).take(EXAMPLES));
                self.add_clashing(net.trunc(), 0);
                self.add_gateways(*net);
            }
        }
        for to in &wanted.routes {
            self.add_around_route(*to, 0);
        }
    }

    /// Tunnels that ports are attached to.
    pub(super) fn add_attached<N: AsRef<str>>(&mut self, ports: impl IntoIterator<Item = N>) {
        for port in ports {
            self.add_tunnels(self.rest.store.attached_to(port.as_ref()));
        }
    }

    /// Whose packets leave by a port, whatever addresses that has.
    fn add_bound_to(&mut self, port: &str) {
        let store = self.rest.store;
        if self.rest.tunnel.is_some_and(|own| store.attached_to(port).any(|id| id == own)) {
            // So it is already, and was right.
            return;
        }
        let is_there = |via: &Via| matches!(via, Via::Gateway { port: at, .. } if **at == *port);
        // One by one: there are few ports, and each is attached to one tunnel.
        let bound = store.tunnels().filter(|(_, tunnel)| {
            let labels = tunnel.labels.as_deref().into_iter().flat_map(|labels| &labels.arriving);
            let mut gateways = labels.filter_map(|entry| entry.action.via());
            tunnel.link.as_deref() == Some(port) || gateways.any(is_there)
        });
        self.add_tunnels(bound.map(|(id, _)| id).take(EXAMPLES));
        let link_local = store.routes_by_link_local_gateways().filter(|route| {
            let hops = match &route.action {
                RouteAction::NextHops(hops) => hops.as_slice(),
                _ => &[],
            };
            hops.iter().any(|hop| is_there(&hop.via))
        });
        link_local.take(EXAMPLES).for_each(|route| self.add_route(route));
    }

    /// What a route is going to be beside.
    pub(super) fn add_around_route(&mut self, to: IpNet, metric: u32) {
        self.add_clashing(to, metric);
        self.add_tunnels(self.rest.holders(to).take(EXAMPLES));
    }

    fn add_clashing(&mut self, to: IpNet, metric: u32) {
        if let Some(route) = self.rest.route(to, metric) {
            self.add_route(route);
        }
    }

    /// Routes by way of gateways in a net that becomes a tunnel's.
    fn add_gateways(&mut self, net: IpNet) {
        for (to, metric) in self.rest.store.routes_by_gateways_in(net) {
            self.add_clashing(to, metric);
        }
    }

    /// Whoever needs the addresses of a tunnel that changes, or its name if that goes.
    pub(super) fn add_dependents(&mut self, id: TunnelId, name_goes: bool) {
        let store = self.rest.store;
        let Some(tunnel) = store.tunnel(id) else { return };
        self.add_tunnels(store.labelled_into(&tunnel.name).take(EXAMPLES));
        self.add_tunnels(store.that_mirror(&tunnel.name).take(EXAMPLES));
        for net in &tunnel.addresses {
            self.add_tunnels(store.with_local(net.addr()).take(EXAMPLES));
            // A net of a tunnel hides which addresses of a port's net are no host's.
            let ports = store.base().ports.iter().flat_map(|port| &port.addresses);
            for port in ports.filter(|port| net.contains(*port) || port.contains(net)) {
                for end in [port.network(), port.broadcast()] {
                    self.add_tunnels(store.remotes(end, end).map(|(_, id)| id).take(EXAMPLES));
                }
            }
        }
        if name_goes {
            for (to, metric) in store.routes_through(id).take(EXAMPLES) {
                self.add_clashing(to, metric);
            }
        }
    }

    /// The text, and the destinations of its routes in their order.
    pub(super) fn write(&self) -> (String, Vec<(IpNet, u32)>) {
        let base = self.rest.store.base();
        let ports = base.ports.iter().map(|port| (port.name.to_string(), describe_port(port)));
        let tunnels = self.tunnels.iter().filter_map(|id| self.rest.tunnel(*id));
        let tunnels = tunnels.map(|one| (one.name.to_string(), describe_tunnel(one)));
        let loopback = base.loopback.addresses.iter().map(|net| Value::from(net.to_string()));
        let text = json!({
            "limits": describe_limits(&base.limits),
            "ports": ports.collect::<Map<_, _>>(),
            "loopback": { "addresses": loopback.collect::<Value>() },
            "defaults": base.tunnel_defaults,
            "tunnels": tunnels.collect::<Map<_, _>>(),
            "routes": self.routes.values().map(|route| describe_route(route)).collect::<Value>(),
        });
        (text.to_string(), self.routes.keys().copied().collect())
    }
}
