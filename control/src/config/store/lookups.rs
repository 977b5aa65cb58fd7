//! What is asked of a store, and what its indexes answer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::interface::TunnelId;
use ipnet::IpNet;

use super::Store;
use crate::config::model::{Name, Route};
use crate::config::prefixes::PrefixTable;

impl Store {
    /// The routes to exactly this destination, the lowest metric first.
    pub fn routes_to(&self, to: IpNet) -> &[Route] {
        self.routes.get(to).map_or(&[], Vec::as_slice)
    }

    /// One route.
    pub fn route(&self, to: IpNet, metric: u32) -> Option<&Route> {
        self.routes_to(to).iter().find(|route| route.metric == metric)
    }

    /// All routes, shorthand ones included, in no order.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().flat_map(|(_, routes)| routes)
    }

    /// Destinations of routes by prefix.
    pub fn destinations(&self) -> &PrefixTable<Vec<Route>> {
        &self.routes
    }

    /// Nets that tunnels have addresses in, and the domains of 6rd tunnels.
    pub fn tunnel_nets(&self) -> &PrefixTable<Vec<TunnelId>> {
        &self.nets
    }

    /// The 6rd tunnels by whose domain a prefix is this node's to route.
    pub fn delegated_by(&self, net: IpNet) -> &[TunnelId] {
        self.delegated.get(net).map_or(&[], Vec::as_slice)
    }

    /// The tunnels with this address.
    pub fn owners(&self, address: IpAddr) -> impl Iterator<Item = TunnelId> {
        let range = (address, TunnelId(0))..=(address, TunnelId(u32::MAX));
        self.addresses.range(range).map(|&(_, id)| id)
    }

    /// The tunnels that name this address as an end of their own.
    pub fn with_local(&self, local: IpAddr) -> impl Iterator<Item = TunnelId> {
        let range = (local, TunnelId(0))..=(local, TunnelId(u32::MAX));
        self.locals.range(range).map(|&(_, id)| id)
    }

    /// Tunnels whose remote is not below `first` and not above `last`, in order, with that remote; one with
    /// several sources or remotes as often.
    pub fn remotes(&self, first: IpAddr, last: IpAddr) -> impl Iterator<Item = (IpAddr, TunnelId)> {
        let above = if first > last { None } else { Some(()) };
        let ends = above.into_iter().flat_map(move |()| {
            self.by_end
                .range((Some(first), None, TunnelId(0))..)
                .take_while(move |end| end.0.is_some_and(|remote| remote <= last))
        });
        ends.filter_map(|&(remote, _, id)| Some((remote?, id)))
    }

    /// Tunnels whose MPLS labels lead into the one of this name.
    pub fn labelled_into(&self, name: &str) -> impl Iterator<Item = TunnelId> {
        let first = (Name::from(name), TunnelId(0));
        let last = (Name::clone(&first.0), TunnelId(u32::MAX));
        self.by_label_hop.range(first..=last).map(|(_, id)| *id)
    }

    /// Tunnels that mirror a port or a tunnel of this name.
    pub fn that_mirror(&self, name: &str) -> impl Iterator<Item = TunnelId> {
        let first = (Name::from(name), TunnelId(0));
        let last = (Name::clone(&first.0), TunnelId(u32::MAX));
        self.by_mirrored.range(first..=last).map(|(_, id)| *id)
    }

    /// Tunnels that mirror anything.
    pub fn mirroring(&self) -> BTreeSet<TunnelId> {
        self.by_mirrored.iter().map(|(_, id)| *id).collect()
    }

    /// Tunnels with both of these ends.
    pub fn with_ends(
        &self,
        remote: Option<IpAddr>,
        local: Option<IpAddr>,
    ) -> impl Iterator<Item = TunnelId> {
        let range = (remote, local, TunnelId(0))..=(remote, local, TunnelId(u32::MAX));
        self.by_end.range(range).map(|&(.., id)| id)
    }

    /// Tunnels that listen at a UDP port.
    pub fn with_udp_port(&self, port: u16) -> impl Iterator<Item = TunnelId> {
        let range = (port, TunnelId(0))..=(port, TunnelId(u32::MAX));
        self.by_udp_port.range(range).map(|&(_, id)| id)
    }

    /// Tunnels that a port is attached to.
    pub fn attached_to(&self, port: &str) -> impl Iterator<Item = TunnelId> {
        let port = Name::from(port);
        let range = (Name::clone(&port), TunnelId(0))..=(port, TunnelId(u32::MAX));
        self.by_attach.range(range).map(|(_, id)| *id)
    }

    /// Destination and metric of the routes through a tunnel, but for its own shorthand.
    pub fn routes_through(&self, id: TunnelId) -> impl Iterator<Item = (IpNet, u32)> {
        let routes = self.through.range((id, IpNet::default(), 0)..);
        routes.take_while(move |(tunnel, ..)| *tunnel == id).map(|&(_, to, metric)| (to, metric))
    }

    /// For each gateway of a net one of the routes by way of it: destination and metric.
    pub fn routes_by_gateways_in(&self, net: IpNet) -> impl Iterator<Item = (IpNet, u32)> {
        let in_net = self.gateways.range((net.network(), IpNet::default(), 0)..);
        let in_net = in_net.take_while(move |(gateway, ..)| net.contains(gateway));
        let mut last = None;
        in_net.filter_map(move |&(gateway, to, metric)| {
            (last.replace(gateway) != Some(gateway)).then_some((to, metric))
        })
    }

    /// Routes by way of link-local gateways, once for each of these.
    pub fn routes_by_link_local_gateways(&self) -> impl Iterator<Item = &Route> {
        let first = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
        let all = self.gateways.range((first, IpNet::default(), 0)..);
        let all = all.take_while(|(gateway, ..)| {
            matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local())
        });
        all.filter_map(|&(_, to, metric)| self.route(to, metric))
    }
}
