//! The configuration in force, with indexes: one tunnel or route is found, added, replaced or removed
//! at the cost of what it touches, however many there are.
//!
//! It holds what has been checked, and checks nothing. Each tunnel has a number of its own, which is
//! that of the packet path's tables and counters. A number that was given back is given out again
//! when [`Store::settle`] says that nobody can mean it any more.

mod ids;
mod lookups;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::interface::TunnelId;
use ipnet::IpNet;

use super::model::{Config, Name, NextHop, Route, RouteAction, Via};
use super::prefixes::PrefixTable;
use super::tunnel::{Mirror, Tunnel};
pub use ids::Ids;

/// A change of one entry, known to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// A tunnel is added or replaced, its shorthand routes with it.
    PutTunnel(Box<Tunnel>),
    /// A tunnel is removed, its shorthand routes with it.
    RemoveTunnel(Name),
    /// A route is added or replaced. Not a shorthand one.
    PutRoute(Route),
    /// A route is removed: that of a destination with a metric.
    RemoveRoute(IpNet, u32),
}

/// What edits have changed: what was there before the first of them.
#[derive(Debug, Default)]
pub struct Touched {
    /// By number; `None`: there was none.
    pub tunnels: HashMap<TunnelId, Option<Tunnel>>,
    /// By destination and metric; `None`: there was none.
    pub routes: HashMap<(IpNet, u32), Option<Route>>,
}

/// There are as many tunnels as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A tunnel's place among the others, one for each source and peer: what it sends to, what it sends from, its number.
type End = (Option<IpAddr>, Option<IpAddr>, TunnelId);

/// See the module.
#[derive(Debug)]
pub struct Store {
    /// Everything but tunnels and routes, whose lists are empty.
    base: Config,
    tunnels: Vec<Option<Tunnel>>,
    ids: Ids,
    by_name: HashMap<Name, TunnelId>,
    by_end: BTreeSet<End>,
    /// Tunnels in UDP, by the port that they listen at.
    by_udp_port: BTreeSet<(u16, TunnelId)>,
    /// Tunnels that ports are attached to.
    by_attach: BTreeSet<(Name, TunnelId)>,
    /// Tunnels whose MPLS labels lead into another, by the other's name.
    by_label_hop: BTreeSet<(Name, TunnelId)>,
    /// Tunnels that mirror a port or another tunnel, by its name.
    by_mirrored: BTreeSet<(Name, TunnelId)>,
    /// What tunnels send from, where they name it.
    locals: BTreeSet<(IpAddr, TunnelId)>,
    /// Addresses of tunnels; link-local ones may have several.
    addresses: BTreeSet<(IpAddr, TunnelId)>,
    /// Nets that are reached through tunnels without a route, by which.
    nets: PrefixTable<Vec<TunnelId>>,
    /// What is delegated to this node by the domains of 6rd tunnels, by which.
    delegated: PrefixTable<Vec<TunnelId>>,
    /// Routes by destination, the lowest metric first.
    routes: PrefixTable<Vec<Route>>,
    /// Which routes lead through a tunnel, but for its own shorthand.
    through: BTreeSet<(TunnelId, IpNet, u32)>,
    /// Which routes lead by way of a gateway on a port.
    gateways: BTreeSet<(IpAddr, IpNet, u32)>,
}

impl Store {
    /// With room for `limit` tunnels.
    pub fn new(mut config: Config, limit: u32) -> Result<Self, Full> {
        let tunnels = std::mem::take(&mut config.tunnels);
        let routes = std::mem::take(&mut config.routes);
        let mut store = Self {
            base: config,
            tunnels: Vec::with_capacity(tunnels.len()),
            ids: Ids::new(limit),
            by_name: HashMap::with_capacity(tunnels.len()),
            by_end: BTreeSet::new(),
            by_udp_port: BTreeSet::new(),
            by_attach: BTreeSet::new(),
            by_label_hop: BTreeSet::new(),
            by_mirrored: BTreeSet::new(),
            locals: BTreeSet::new(),
            addresses: BTreeSet::new(),
            nets: PrefixTable::default(),
            delegated: PrefixTable::default(),
            routes: PrefixTable::default(),
            through: BTreeSet::new(),
            gateways: BTreeSet::new(),
        };
        for tunnel in tunnels {
            let id = store.ids.take().ok_or(Full)?;
            store.by_name.insert(Name::clone(&tunnel.name), TunnelId(id));
            store.insert_tunnel(TunnelId(id), tunnel);
        }
        for route in routes.into_iter().filter(|route| !route.is_shorthand) {
            store.insert_route(route);
        }
        Ok(store)
    }

    /// Everything but tunnels and routes, whose lists are empty there.
    pub fn base(&self) -> &Config {
        &self.base
    }

    /// Replaces everything but tunnels and routes; returns what was there.
    pub fn replace_base(&mut self, base: Config) -> Config {
        let base = Config { tunnels: Vec::new(), routes: Vec::new(), ..base };
        std::mem::replace(&mut self.base, base)
    }

    /// How many tunnels there is room for.
    pub fn limit(&self) -> u32 {
        self.ids.limit()
    }

    /// How many tunnels there are.
    pub fn tunnel_count(&self) -> usize {
        self.by_name.len()
    }

    /// A tunnel by its number.
    pub fn tunnel(&self, id: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(id.index())?.as_ref()
    }

    /// The number of a tunnel.
    pub fn tunnel_id(&self, name: &str) -> Option<TunnelId> {
        self.by_name.get(name).copied()
    }

    /// A tunnel by its name.
    pub fn tunnel_named(&self, name: &str) -> Option<&Tunnel> {
        self.tunnel(self.tunnel_id(name)?)
    }

    /// All tunnels, in the order of their numbers: that of the files, but where they changed since.
    pub fn tunnels(&self) -> impl Iterator<Item = (TunnelId, &Tunnel)> {
        (0..).map(TunnelId).zip(&self.tunnels).filter_map(|(id, one)| Some((id, one.as_ref()?)))
    }

    /// Makes edits that belong together, and notes in `touched` what they change. Each entry is named
    /// once at most.
    ///
    /// # Errors
    /// When there is no room for so many tunnels; nothing has changed then.
    pub fn edit(&mut self, edits: Vec<Edit>, touched: &mut Touched) -> Result<(), Full> {
        // What goes, goes first: what comes may take its place. Routes go before the tunnels that they
        // name, because which tunnels they lead through is found by these names.
        for edit in &edits {
            match edit {
                Edit::PutRoute(route) => self.clear_route(route.to, route.metric, touched),
                Edit::RemoveRoute(to, metric) => self.clear_route(*to, *metric, touched),
                Edit::PutTunnel(_) | Edit::RemoveTunnel(_) => {}
            }
        }
        for edit in &edits {
            match edit {
                Edit::PutTunnel(tunnel) => self.clear_tunnel(&tunnel.name, touched),
                Edit::RemoveTunnel(name) => {
                    self.clear_tunnel(name, touched);
                    if let Some(id) = self.by_name.remove(name) {
                        self.ids.give_back(id.0);
                    }
                }
                Edit::PutRoute(_) | Edit::RemoveRoute(..) => {}
            }
        }
        for edit in edits {
            match edit {
                Edit::PutTunnel(tunnel) => {
                    if self.put_tunnel(*tunnel, touched).is_err() {
                        self.revert(std::mem::take(touched));
                        return Err(Full);
                    }
                }
                Edit::PutRoute(route) => {
                    touched.routes.entry((route.to, route.metric)).or_insert(None);
                    self.insert_route(route);
                }
                Edit::RemoveTunnel(_) | Edit::RemoveRoute(..) => {}
            }
        }
        Ok(())
    }

    /// Takes edits back.
    pub fn revert(&mut self, touched: Touched) {
        // Routes first: which tunnels they lead through is found by the names of these.
        for &(to, metric) in touched.routes.keys() {
            self.remove_route(to, metric);
        }
        for &id in touched.tunnels.keys() {
            if let Some(tunnel) = self.take_tunnel(id) {
                self.by_name.remove(&tunnel.name);
                self.ids.give_back(id.0);
            }
        }
        for (id, before) in touched.tunnels {
            let Some(tunnel) = before else { continue };
            self.ids.take_back(id.0);
            self.by_name.insert(Name::clone(&tunnel.name), id);
            self.insert_tunnel(id, tunnel);
        }
        for route in touched.routes.into_values().flatten().filter(|route| !route.is_shorthand) {
            self.insert_route(route);
        }
    }

    /// Takes the tunnel of a name out and notes what it was. Its number stays its own.
    fn clear_tunnel(&mut self, name: &str, touched: &mut Touched) {
        let Some(id) = self.tunnel_id(name) else { return };
        let Some(tunnel) = self.take_tunnel(id) else { return };
        for route in tunnel.shorthand_routes() {
            touched.routes.entry((route.to, route.metric)).or_insert(Some(route));
        }
        touched.tunnels.entry(id).or_insert(Some(tunnel));
    }

    fn clear_route(&mut self, to: IpNet, metric: u32, touched: &mut Touched) {
        if let Some(before) = self.remove_route(to, metric) {
            touched.routes.entry((to, metric)).or_insert(Some(before));
        }
    }

    fn put_tunnel(&mut self, tunnel: Tunnel, touched: &mut Touched) -> Result<(), Full> {
        let id = if let Some(&id) = self.by_name.get(&tunnel.name) {
            id
        } else {
            let id = TunnelId(self.ids.take().ok_or(Full)?);
            self.by_name.insert(Name::clone(&tunnel.name), id);
            id
        };
        touched.tunnels.entry(id).or_insert(None);
        for &to in &tunnel.routes {
            touched.routes.entry((to, 0)).or_insert(None);
        }
        self.insert_tunnel(id, tunnel);
        Ok(())
    }

    fn take_tunnel(&mut self, id: TunnelId) -> Option<Tunnel> {
        let tunnel = self.tunnels.get_mut(id.index())?.take()?;
        for (remote, local) in tunnel.ends() {
            self.by_end.remove(&(remote, local, id));
        }
        if let Some(port) = tunnel.udp_port() {
            self.by_udp_port.remove(&(port, id));
        }
        if let Some(port) = tunnel.attached_to() {
            self.by_attach.remove(&(Name::clone(port), id));
        }
        for name in tunnel.label_hops() {
            self.by_label_hop.remove(&(Name::clone(name), id));
        }
        for name in mirrored_by(&tunnel) {
            self.by_mirrored.remove(&(Name::clone(name), id));
        }
        for local in tunnel.locals() {
            self.locals.remove(&(local, id));
        }
        for net in &tunnel.addresses {
            self.addresses.remove(&(net.addr(), id));
        }
        for net in tunnel.nets() {
            take_out(&mut self.nets, net, id);
        }
        if let Some(net) = tunnel.delegated() {
            take_out(&mut self.delegated, net, id);
        }
        for &to in &tunnel.routes {
            self.remove_route(to, 0);
        }
        Some(tunnel)
    }

    fn insert_tunnel(&mut self, id: TunnelId, tunnel: Tunnel) {
        self.by_end.extend(tunnel.ends().map(|(remote, local)| (remote, local, id)));
        self.by_udp_port.extend(tunnel.udp_port().map(|port| (port, id)));
        self.by_attach.extend(tunnel.attached_to().map(|port| (Name::clone(port), id)));
        self.by_label_hop.extend(tunnel.label_hops().map(|name| (Name::clone(name), id)));
        self.by_mirrored.extend(mirrored_by(&tunnel).map(|name| (Name::clone(name), id)));
        self.locals.extend(tunnel.locals().map(|local| (local, id)));
        for net in &tunnel.addresses {
            self.addresses.insert((net.addr(), id));
        }
        for net in tunnel.nets() {
            put_in(&mut self.nets, net, id);
        }
        if let Some(net) = tunnel.delegated() {
            put_in(&mut self.delegated, net, id);
        }
        for route in tunnel.shorthand_routes() {
            self.insert_route(route);
        }
        if id.index() >= self.tunnels.len() {
            self.tunnels.resize(id.index() + 1, None);
        }
        self.tunnels[id.index()] = Some(tunnel);
    }

    fn insert_route(&mut self, route: Route) {
        if !route.is_shorthand {
            for name in route.tunnel_names() {
                if let Some(&id) = self.by_name.get(name) {
                    self.through.insert((id, route.to, route.metric));
                }
            }
            let gateways = route.gateways().map(|gateway| (gateway, route.to, route.metric));
            self.gateways.extend(gateways);
        }
        let routes = self.routes.entry_or_insert_with(route.to, Vec::new);
        let at = routes.partition_point(|other| other.metric < route.metric);
        routes.insert(at, route);
    }

    fn remove_route(&mut self, to: IpNet, metric: u32) -> Option<Route> {
        let mut removed = None;
        self.routes.update(to, |routes| {
            let at = routes.iter().position(|route| route.metric == metric);
            removed = at.map(|at| routes.remove(at));
            !routes.is_empty()
        });
        for route in removed.iter().filter(|route| !route.is_shorthand) {
            for name in route.tunnel_names() {
                if let Some(&id) = self.by_name.get(name) {
                    self.through.remove(&(id, to, metric));
                }
            }
            for gateway in route.gateways() {
                self.gateways.remove(&(gateway, to, metric));
            }
        }
        removed
    }

    /// Numbers that were given back up to now can be given out again: nobody can mean the tunnels
    /// that had them.
    pub fn settle(&mut self) {
        self.ids.settle();
    }
}

/// The names of what a tunnel mirrors.
fn mirrored_by(tunnel: &Tunnel) -> impl Iterator<Item = &Name> {
    tunnel.mirror().into_iter().flat_map(Mirror::names)
}

/// A tunnel among those of a net.
fn put_in(nets: &mut PrefixTable<Vec<TunnelId>>, net: IpNet, id: TunnelId) {
    let ids = nets.entry_or_insert_with(net, Vec::new);
    if !ids.contains(&id) {
        ids.push(id);
        ids.sort_unstable();
    }
}

fn take_out(nets: &mut PrefixTable<Vec<TunnelId>>, net: IpNet, id: TunnelId) {
    nets.update(net, |ids| {
        ids.retain(|other| *other != id);
        !ids.is_empty()
    });
}

impl Route {
    /// The tunnels that it names.
    pub fn tunnel_names(&self) -> impl Iterator<Item = &Name> {
        self.next_hops().iter().filter_map(|hop| match &hop.via {
            Via::Tunnel(name) | Via::Peer { tunnel: name, .. } => Some(name),
            Via::Gateway { .. } => None,
        })
    }

    /// The peers of a tunnel that it names.
    pub fn peers_of(&self, name: &str) -> impl Iterator<Item = Ipv6Addr> {
        self.next_hops().iter().filter_map(move |hop| match &hop.via {
            Via::Peer { tunnel, address } if **tunnel == *name => Some(*address),
            _ => None,
        })
    }

    /// The gateways on ports that it names.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.next_hops().iter().filter_map(|hop| match hop.via {
            Via::Gateway { address, .. } => Some(address),
            Via::Tunnel(_) | Via::Peer { .. } => None,
        })
    }

    fn next_hops(&self) -> &[NextHop] {
        match &self.action {
            RouteAction::NextHops(hops) => hops,
            _ => &[],
        }
    }
}
