//! Which tunnels run. Whether one does depends on the routes to its remote, and those may lead through
//! other tunnels, as long as these run.
//!
//! What a tunnel *may* depend on follows from the configuration alone: the tunnels of all routes
//! around its remote, up to the first destination that never fails. Along these dependencies
//! tunnels are settled, those that others need first. Where they form a circle, all in it start
//! as running, and those that turn out not to be reachable are taken away until nothing changes.
//! So the answer does not depend on the order in which the configuration came about.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tables::{GroupId, NextHop};
use ipnet::IpNet;

use super::destinations::broadcasts;
use super::tunnels::is_link_local;
use super::{CompileError, Compiler, Standing, TunnelInfo};
use crate::config::{self, RouteAction, Store, Via};

/// Which tunnels may depend on which, both ways. Tunnels that depend on none are not in it.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    on: HashMap<TunnelId, Vec<TunnelId>>,
    /// Pairs of one that is needed and one that needs it.
    needed: BTreeSet<(TunnelId, TunnelId)>,
}

impl Dependencies {
    fn set(&mut self, id: TunnelId, on: Vec<TunnelId>) {
        for other in self.on.remove(&id).unwrap_or_default() {
            self.needed.remove(&(other, id));
        }
        if !on.is_empty() {
            self.needed.extend(on.iter().map(|other| (*other, id)));
            self.on.insert(id, on);
        }
    }

    fn of(&self, id: TunnelId) -> &[TunnelId] {
        self.on.get(&id).map_or(&[], Vec::as_slice)
    }

    fn who_needs(&self, id: TunnelId) -> impl Iterator<Item = TunnelId> {
        let range = (id, TunnelId(0))..=(id, TunnelId(u32::MAX));
        self.needed.range(range).map(|&(_, who)| who)
    }
}

/// What decides about the way to an address: the tunnels it may lead through, and the length of the
/// prefix that never fails, -1 where there is none.
struct Ways {
    tunnels: BTreeSet<TunnelId>,
    certain_len: i16,
}

impl Compiler {
    fn ways(&self, store: &Store, address: IpAddr) -> Ways {
        let len = |net: IpNet| i16::from(net.prefix_len());
        let around = self.port_nets.keys().filter(|net| net.contains(&address));
        let port_len = around.map(|net| len(*net)).max().unwrap_or(-1);
        let mut ways = Ways { tunnels: BTreeSet::new(), certain_len: port_len };
        'longest: for (net, routes) in store.destinations().around(address) {
            if len(net) <= port_len {
                break;
            }
            for route in routes {
                let names = route.tunnel_names();
                ways.tunnels.extend(names.filter_map(|name| store.tunnel_id(name)));
                if never_fails(&route.action) {
                    ways.certain_len = len(net);
                    break 'longest;
                }
            }
        }
        for (net, ids) in store.tunnel_nets().around(address) {
            let decides = len(net) >= ways.certain_len && len(net) > port_len;
            if decides || broadcasts(net).any(|end| end == address) {
                ways.tunnels.extend(ids);
            }
        }
        ways
    }

    /// Finds the tunnels whose way to their remote a destination may be part of.
    pub(super) fn affected(&self, store: &Store, to: IpNet, found: &mut BTreeSet<TunnelId>) {
        let last = to.broadcast();
        let mut first = Some(to.network());
        while let Some(from) = first {
            let Some((remote, _)) = store.remotes(from, last).next() else { return };
            let certain_len = self.ways(store, remote).certain_len;
            if certain_len > i16::from(to.prefix_len()) {
                // All of that longer prefix is decided within it.
                let len = u8::try_from(certain_len).unwrap_or(0);
                first = IpNet::new(remote, len).ok().and_then(|net| next(net.broadcast()));
            } else {
                found.extend(store.remotes(remote, remote).map(|(_, id)| id));
                first = next(remote);
            }
        }
    }

    /// Settles these tunnels and all that depend on them. Returns those that are not as before.
    pub(super) fn settle_tunnels(
        &mut self,
        store: &Store,
        mut dirty: BTreeSet<TunnelId>,
    ) -> Result<Vec<TunnelId>, CompileError> {
        let mut behind: Vec<TunnelId> = dirty.iter().copied().collect();
        for &id in &dirty {
            let on = store.tunnel(id).map(|tunnel| self.may_depend_on(store, tunnel));
            self.dependencies.set(id, on.unwrap_or_default());
        }
        while let Some(id) = behind.pop() {
            let more = self.dependencies.who_needs(id).filter(|who| !dirty.contains(who));
            let more: Vec<TunnelId> = more.collect();
            dirty.extend(&more);
            behind.extend(more);
        }
        let mut changed = Vec::new();
        for circle in in_order(&dirty, &self.dependencies) {
            match circle.as_slice() {
                [id] if !self.dependencies.of(*id).contains(id) => {
                    self.settle_one(store, *id, &mut changed)?;
                }
                members => self.settle_circle(store, members, &mut changed)?,
            }
        }
        Ok(changed)
    }

    fn may_depend_on(&self, store: &Store, tunnel: &config::Tunnel) -> Vec<TunnelId> {
        let bound_to_link = tunnel.link.is_some() && tunnel.remote.is_some_and(is_link_local);
        match tunnel.remote.filter(|_| !bound_to_link) {
            Some(remote) => self.ways(store, remote).tunnels.into_iter().collect(),
            None => Vec::new(),
        }
    }

    fn settle_one(
        &mut self,
        store: &Store,
        id: TunnelId,
        changed: &mut Vec<TunnelId>,
    ) -> Result<(), CompileError> {
        let Some(tunnel) = store.tunnel(id) else {
            self.forget_tunnel(store, id)?;
            return Ok(());
        };
        let info = self.find(store, id, tunnel);
        self.set_running(store, id, info.standing == Standing::Running)?;
        self.keep(store, id, info, changed)
    }

    fn settle_circle(
        &mut self,
        store: &Store,
        members: &[TunnelId],
        changed: &mut Vec<TunnelId>,
    ) -> Result<(), CompileError> {
        for &id in members {
            let may_run = store.tunnel(id).is_some_and(|one| one.enabled && one.remote.is_some());
            self.set_running(store, id, may_run)?;
        }
        let mut reasons: BTreeMap<TunnelId, Standing> = BTreeMap::new();
        loop {
            let mut fallen = Vec::new();
            for &id in members.iter().filter(|id| self.is_running(**id)) {
                let Some(tunnel) = store.tunnel(id) else { continue };
                let standing = self.find(store, id, tunnel).standing;
                if standing != Standing::Running {
                    fallen.push((id, standing));
                }
            }
            if fallen.is_empty() {
                break;
            }
            // Each round takes at least one tunnel away, so this ends.
            for (id, standing) in fallen {
                self.set_running(store, id, false)?;
                reasons.insert(id, standing);
            }
        }
        for &id in members {
            let Some(tunnel) = store.tunnel(id) else { continue };
            let mut info = self.find(store, id, tunnel);
            if let Some(reason) = reasons.remove(&id) {
                info.standing = reason;
            }
            self.keep(store, id, info, changed)?;
        }
        Ok(())
    }

    /// A tunnel carries packets from now on, or not; routes through it follow.
    fn set_running(&mut self, store: &Store, id: TunnelId, runs: bool) -> Result<(), CompileError> {
        if self.is_running(id) == runs {
            return Ok(());
        }
        if id.index() >= self.running.len() {
            self.running.resize(id.index() + 1, false);
        }
        self.running[id.index()] = runs;
        let Some(tunnel) = store.tunnel(id) else { return Ok(()) };
        let through = store.routes_through(id).map(|(to, _)| to);
        let destinations: Vec<IpNet> = destinations_of(tunnel).chain(through).collect();
        destinations.into_iter().try_for_each(|to| self.refresh(store, to))
    }

    /// Keeps what was found about a tunnel.
    fn keep(
        &mut self,
        store: &Store,
        id: TunnelId,
        mut info: TunnelInfo,
        changed: &mut Vec<TunnelId>,
    ) -> Result<(), CompileError> {
        if let (NextHop::Connected(port), Some(remote)) =
            (info.underlay, store.tunnel(id).and_then(|tunnel| tunnel.remote))
        {
            let neighbor = self.adjacencies.hold(port, remote, &mut self.operations)?;
            info.underlay = NextHop::Via(neighbor);
            info.neighbor = Some((port, remote));
        }
        if let (NextHop::Group(group), Some(tunnel)) = (info.underlay, store.tunnel(id)) {
            self.bind_group(group, tunnel, &mut info)?;
        }
        if let Some(tunnel) = store.tunnel(id) {
            self.hold_paths(tunnel, &mut info);
        }
        if id.index() >= self.infos.len() {
            self.infos.resize(id.index() + 1, None);
        }
        let before = self.infos[id.index()].replace(info);
        if let Some(before) = &before {
            self.release_ways(before);
        }
        if before != self.infos[id.index()] {
            changed.push(id);
        }
        self.forget_operations_while_building();
        Ok(())
    }

    /// Of the next hops that share the route to a tunnel's remote, leaves those that are of its link.
    fn bind_group(
        &mut self,
        group: GroupId,
        tunnel: &config::Tunnel,
        info: &mut TunnelInfo,
    ) -> Result<(), CompileError> {
        let Some(all) = self.groups.get(group).filter(|_| tunnel.link.is_some()) else {
            return Ok(());
        };
        let bound = all.of_suitable(|member| self.may_leave_by(member, tunnel));
        let Some(bound) = bound.filter(|bound| bound != all) else { return Ok(()) };
        info.underlay = if let Some(member) = bound.sole() {
            member
        } else {
            let group = self.groups.hold(bound, &mut self.operations)?;
            info.group = Some(group);
            NextHop::Group(group)
        };
        Ok(())
    }

    /// A tunnel is gone.
    fn forget_tunnel(&mut self, store: &Store, id: TunnelId) -> Result<(), CompileError> {
        self.set_running(store, id, false)?;
        if let Some(before) = self.infos.get_mut(id.index()).and_then(Option::take) {
            self.release_ways(&before);
        }
        Ok(())
    }

    /// The paths from each of a tunnel's sources to its remote, or from its one source to each of its remotes.
    fn hold_paths(&mut self, tunnel: &config::Tunnel, info: &mut TunnelInfo) {
        if let (Some(local), Some(remotes)) = (info.local, tunnel.remotes.as_deref()) {
            let link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
            let ways = remotes.all.iter().map(|&remote| (remote, self.look_up(remote)));
            let ports: Vec<_> = ways.map(|(remote, way)| (remote, self.port_of(way))).collect();
            let hold = |(remote, port)| self.paths.hold((local, remote), link, port);
            info.more_paths = ports.into_iter().map(hold).collect();
            return;
        }
        // Paths to many peers have no numbers; they are told apart behind the one that stands for our address.
        let many = tunnel.mode.has_many_peers().then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let (Some(local), Some(remote)) = (info.local, tunnel.remote.or(many)) else { return };
        let link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        let mut hold = |local| self.paths.hold((local, remote), link, info.underlay_port);
        info.path = hold(local);
        info.more_paths = tunnel.more_locals.iter().map(|&local| hold(local)).collect();
    }

    /// A tunnel does not go this way any more.
    fn release_ways(&mut self, before: &TunnelInfo) {
        if let Some((port, remote)) = before.neighbor {
            self.adjacencies.release(port, remote, &mut self.operations);
        }
        if let Some(group) = before.group {
            self.groups.release(group, &mut self.operations);
        }
        self.paths.release(before.path);
        before.more_paths.iter().for_each(|&path| self.paths.release(path));
    }
}

/// Everything that a tunnel's own entry says about destinations.
pub(super) fn destinations_of(tunnel: &config::Tunnel) -> impl Iterator<Item = IpNet> {
    let nets = tunnel.nets().chain(tunnel.delegated());
    let ends = tunnel.addresses.iter().flat_map(|net| broadcasts(*net)).map(IpNet::from);
    nets.chain(ends).chain(tunnel.routes.iter().copied())
}

/// Whether a route can be followed whichever tunnels run.
fn never_fails(action: &RouteAction) -> bool {
    match action {
        RouteAction::NextHops(hops) => {
            hops.iter().any(|hop| matches!(hop.via, Via::Gateway { .. }))
        }
        _ => true,
    }
}

/// The address after `address`.
fn next(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into()))
        }
        IpAddr::V6(address) => {
            u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into()))
        }
    }
}

/// The tunnels of `dirty`, those that others depend on first; those that depend on each other
/// together (Tarjan's strongly connected components, without recursion).
fn in_order(dirty: &BTreeSet<TunnelId>, dependencies: &Dependencies) -> Vec<Vec<TunnelId>> {
    let mut search = Search::default();
    let mut order = Vec::with_capacity(dirty.len());
    for &id in dirty {
        if dependencies.of(id).is_empty() {
            order.push(vec![id]);
        }
    }
    for &id in dirty {
        if !dependencies.of(id).is_empty() && !search.numbers.contains_key(&id) {
            search.visit(id, dirty, dependencies, &mut order);
        }
    }
    order
}

#[derive(Default)]
struct Search {
    /// In the order of their discovery.
    numbers: HashMap<TunnelId, usize>,
    /// The earliest that can be reached.
    lows: HashMap<TunnelId, usize>,
    open: Vec<TunnelId>,
    is_open: BTreeSet<TunnelId>,
}

impl Search {
    fn discover(&mut self, id: TunnelId) {
        let number = self.numbers.len();
        self.numbers.insert(id, number);
        self.lows.insert(id, number);
        self.open.push(id);
        self.is_open.insert(id);
    }

    fn lower(&mut self, id: TunnelId, to: usize) {
        if let Some(low) = self.lows.get_mut(&id) {
            *low = (*low).min(to);
        }
    }

    fn visit(
        &mut self,
        start: TunnelId,
        dirty: &BTreeSet<TunnelId>,
        dependencies: &Dependencies,
        order: &mut Vec<Vec<TunnelId>>,
    ) {
        let mut path = vec![(start, 0)];
        self.discover(start);
        while let Some((id, position)) = path.pop() {
            if let Some(&next) = dependencies.of(id).get(position) {
                path.push((id, position + 1));
                let is_plain = dependencies.of(next).is_empty();
                if is_plain || !dirty.contains(&next) {
                    continue;
                }
                match self.numbers.get(&next) {
                    None => {
                        self.discover(next);
                        path.push((next, 0));
                    }
                    Some(&number) if self.is_open.contains(&next) => self.lower(id, number),
                    Some(_) => {}
                }
                continue;
            }
            let low = self.lows.get(&id).copied().unwrap_or(0);
            if let Some(&(above, _)) = path.last() {
                self.lower(above, low);
            }
            if self.numbers.get(&id) == Some(&low) {
                let first = self.open.iter().rposition(|open| *open == id).unwrap_or(0);
                let circle = self.open.split_off(first);
                for member in &circle {
                    self.is_open.remove(member);
                }
                order.push(circle);
            }
        }
    }
}
