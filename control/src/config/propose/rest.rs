//! The running configuration without the entry that changes, and where it sends packets.

use std::net::IpAddr;

use adit_dataplane::interface::TunnelId;
use ipnet::IpNet;

use super::super::model::Route;
use super::super::store::Store;
use super::super::tunnel::Tunnel;

/// What a change leaves as it is.
#[derive(Clone, Copy)]
pub(super) struct Rest<'s> {
    pub(super) store: &'s Store,
    /// The tunnel that changes, its shorthand routes with it.
    pub(super) tunnel: Option<TunnelId>,
    /// The route that changes.
    pub(super) route: Option<(IpNet, u32)>,
}

/// What decides about the way to an address.
pub(super) enum Way<'s> {
    /// The net of a port.
    Port,
    /// The net of a tunnel.
    Net(TunnelId),
    /// A route.
    Route(&'s Route),
}

impl<'s> Rest<'s> {
    /// A tunnel that stays.
    pub(super) fn tunnel(&self, id: TunnelId) -> Option<&'s Tunnel> {
        self.store.tunnel(id).filter(|_| self.tunnel != Some(id))
    }

    /// The number of a tunnel that stays.
    pub(super) fn id(&self, name: &str) -> Option<TunnelId> {
        self.store.tunnel_id(name).filter(|id| self.tunnel != Some(*id))
    }

    /// The tunnel that a route is a shorthand of.
    pub(super) fn writer(&self, route: &Route) -> Option<TunnelId> {
        let name = route.tunnel_names().next().filter(|_| route.is_shorthand)?;
        self.store.tunnel_id(name)
    }

    fn stays(&self, route: &Route) -> bool {
        match self.writer(route) {
            Some(writer) => self.tunnel != Some(writer),
            None => self.route != Some((route.to, route.metric)),
        }
    }

    /// A route that stays.
    pub(super) fn route(&self, to: IpNet, metric: u32) -> Option<&'s Route> {
        self.store.route(to, metric).filter(|route| self.stays(route))
    }

    /// The best of the routes to exactly this destination.
    pub(super) fn best_to(&self, to: IpNet) -> Option<&'s Route> {
        self.store.routes_to(to).iter().find(|route| self.stays(route))
    }

    /// Tunnels whose net this is. Link-local nets are every tunnel's, and nobody's.
    pub(super) fn holders(self, net: IpNet) -> impl Iterator<Item = TunnelId> + use<'s> {
        let ids = self.store.tunnel_nets().get(net).filter(|_| !is_link_local(net));
        let changing = self.tunnel;
        ids.into_iter().flatten().copied().filter(move |id| Some(*id) != changing)
    }

    /// The way to an address, and the length of the prefix that decides; longer ones than `longest`
    /// don't count. Connected nets go before routes of the same length.
    pub(super) fn way(&self, address: IpAddr, longest: u8) -> Option<(u8, Way<'s>)> {
        let counts = |net: &IpNet| net.prefix_len() <= longest;
        let ports = self.store.base().ports.iter().flat_map(|port| &port.addresses);
        let port = ports.filter(|net| net.contains(&address) && counts(net)).map(IpNet::prefix_len);
        let mut best = port.max().map(|len| (len, Way::Port));
        let nets = self.store.tunnel_nets().around(address).filter(|(net, _)| counts(net));
        let net = nets
            .map(|(net, _)| net)
            .find_map(|net| Some((net.prefix_len(), Way::Net(self.holders(net).next()?))));
        let routes = self.store.destinations().around(address).filter(|(net, _)| counts(net));
        let route = routes
            .map(|(net, _)| net)
            .find_map(|net| Some((net.prefix_len(), Way::Route(self.best_to(net)?))));
        for other in [net, route].into_iter().flatten() {
            if best.as_ref().is_none_or(|(len, _)| other.0 > *len) {
                best = Some(other);
            }
        }
        best
    }

    /// Everything that leads into a tunnel that stays.
    fn destinations_through(&self, id: TunnelId) -> Vec<IpNet> {
        let Some(tunnel) = self.tunnel(id) else { return Vec::new() };
        let nets = tunnel.addresses.iter().map(IpNet::trunc).filter(|net| !is_link_local(*net));
        let best = |to: &IpNet| {
            self.best_to(*to)
                .is_some_and(|best| best.tunnel_names().any(|name| *name == tunnel.name))
        };
        let routes = tunnel.routes.iter().copied();
        let routes = routes.chain(self.store.routes_through(id).map(|(to, _)| to)).filter(best);
        nets.chain(routes).collect()
    }

    /// The longest chain of tunnels, each leading into the one before it and the first by way of one
    /// of these destinations; no longer than `most`.
    pub(super) fn chain_above(&self, destinations: &[IpNet], most: usize) -> Vec<TunnelId> {
        let mut longest = Vec::new();
        if most == 0 {
            return longest;
        }
        for to in destinations {
            for (remote, id) in self.store.remotes(to.network(), to.broadcast()) {
                let is_bound = self.tunnel(id).is_none_or(|tunnel| tunnel.link.is_some());
                let is_decided =
                    || self.way(remote, u8::MAX).is_some_and(|(len, _)| len > to.prefix_len());
                if is_bound || is_decided() {
                    continue;
                }
                let above = self.chain_above(&self.destinations_through(id), most - 1);
                if above.len() >= longest.len() {
                    longest = above;
                    longest.push(id);
                }
                if longest.len() == most {
                    return longest;
                }
            }
        }
        longest
    }
}

pub(super) fn is_link_local(net: IpNet) -> bool {
    matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local())
}
