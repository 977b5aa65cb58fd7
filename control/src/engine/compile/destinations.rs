//! Which of several ways to one destination packets take: an address of this node, the net of a port,
//! that of a tunnel, or the best route of the configuration.

use std::net::IpAddr;

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tables::{GROUP_MEMBERS_MAX, Group, NextHop, Operation};
use ipnet::IpNet;

use super::{CompileError, Compiler};
use crate::config::{RouteAction, Store, Via};

/// The two addresses of a connected net that mean all of its hosts.
pub(super) fn broadcasts(net: IpNet) -> impl Iterator<Item = IpAddr> {
    //= RFC 3021 §2.1: a /31 has no broadcast address.
    let has_any = matches!(net, IpNet::V4(net) if net.prefix_len() < 31);
    [net.network(), net.broadcast()].into_iter().filter(move |_| has_any)
}

impl Compiler {
    /// Makes the tables agree about one destination with the configuration and with which tunnels
    /// run.
    pub(super) fn refresh(&mut self, store: &Store, to: IpNet) -> Result<(), CompileError> {
        let to = to.trunc();
        let before = self.next_hop_of(to);
        let next_hop = self.best(store, to)?;
        if next_hop == before {
            self.release_group(next_hop);
            return Ok(());
        }
        let id = next_hop.map(NextHop::id).transpose()?;
        match to {
            IpNet::V4(net) => {
                let insertion = id.map(|id| self.rib4.plan_insert(net, id));
                if let Some(change) = insertion.or_else(|| self.rib4.plan_remove(net)) {
                    self.rib4.apply(&change);
                    self.operations.push(Operation::Route4(change));
                }
            }
            IpNet::V6(net) => {
                let insertion = id.map(|id| self.rib6.plan_insert(net, id));
                if let Some(change) = insertion.or_else(|| self.rib6.plan_remove(net)) {
                    self.rib6.apply(&change);
                    self.operations.push(Operation::Route6(change));
                }
            }
        }
        self.release_group(before);
        self.forget_operations_while_building();
        Ok(())
    }

    fn release_group(&mut self, next_hop: Option<NextHop>) {
        if let Some(NextHop::Group(group)) = next_hop {
            self.groups.release(group, &mut self.operations);
        }
    }

    /// What the tables say about exactly this destination.
    fn next_hop_of(&self, to: IpNet) -> Option<NextHop> {
        let id = match to {
            IpNet::V4(net) => self.rib4.get(net),
            IpNet::V6(net) => self.rib6.get(net),
        };
        id.map(NextHop::from)
    }

    /// What they should say. A group is held once more.
    fn best(&mut self, store: &Store, to: IpNet) -> Result<Option<NextHop>, CompileError> {
        let is_host = to.prefix_len() == to.max_prefix_len();
        if is_host && self.locals.contains_key(&to.addr()) {
            return Ok(Some(NextHop::Local));
        }
        if is_host && self.is_unproved(to.addr()) {
            return Ok(Some(NextHop::Unproved));
        }
        if let Some(&next_hop) = self.port_nets.get(&to) {
            return Ok(Some(next_hop));
        }
        if is_host && self.is_broadcast_of_tunnel(store, to.addr()) {
            return Ok(Some(NextHop::Broadcast));
        }
        let connected = store.tunnel_nets().get(to).into_iter().flatten().rev();
        if let Some(&id) = connected.into_iter().find(|id| self.is_running(**id)) {
            return Ok(Some(NextHop::Tunnel(id)));
        }
        for route in store.routes_to(to) {
            let next_hop = self.resolve(store, &route.action)?;
            if next_hop.is_some() {
                return Ok(next_hop);
            }
        }
        //= RFC 5969 §8: what is delegated and leads nowhere here goes nowhere, rather than back to a relay.
        let ends_here = store.delegated_by(to).iter().any(|id| self.is_running(*id));
        Ok(ends_here.then_some(NextHop::Blackhole))
    }

    fn is_broadcast_of_tunnel(&self, store: &Store, address: IpAddr) -> bool {
        store.tunnel_nets().around(address).any(|(net, ids)| {
            broadcasts(net).any(|end| end == address) && ids.iter().any(|id| self.is_running(*id))
        })
    }

    /// What a route's action means to the packet path; `None` when no next hop of it can be used.
    fn resolve(
        &mut self,
        store: &Store,
        action: &RouteAction,
    ) -> Result<Option<NextHop>, CompileError> {
        let hops = match action {
            RouteAction::Blackhole => return Ok(Some(NextHop::Blackhole)),
            RouteAction::Unreachable => return Ok(Some(NextHop::Unreachable)),
            RouteAction::Prohibit => return Ok(Some(NextHop::Prohibit)),
            RouteAction::NextHops(hops) => hops,
        };
        let mut members = Vec::new();
        for hop in hops.iter().take(GROUP_MEMBERS_MAX) {
            members.extend(self.usable(store, &hop.via).map(|usable| (usable, hop.weight.get())));
        }
        match members.as_slice() {
            [] => Ok(None),
            [(next_hop, _)] => Ok(Some(*next_hop)),
            _ => {
                let Some(group) = Group::new(&members) else { return Ok(None) };
                Ok(Some(NextHop::Group(self.groups.hold(group, &mut self.operations)?)))
            }
        }
    }

    /// A next hop that can be used now.
    fn usable(&self, store: &Store, via: &Via) -> Option<NextHop> {
        match via {
            Via::Gateway { address, port } => {
                let id = self.adjacencies.get(self.port_id(port)?, *address)?;
                Some(NextHop::Via(id))
            }
            Via::Tunnel(name) | Via::Peer { tunnel: name, .. } => {
                let id = store.tunnel_id(name).filter(|id| self.is_running(*id))?;
                Some(NextHop::Tunnel(id))
            }
        }
    }

    /// Whether a route's action can be followed now.
    pub(in crate::engine) fn is_usable(&self, store: &Store, action: &RouteAction) -> bool {
        match action {
            RouteAction::NextHops(hops) => {
                hops.iter().any(|hop| self.usable(store, &hop.via).is_some())
            }
            _ => true,
        }
    }

    /// The longest prefix in the tables that an address is in.
    pub(in crate::engine) fn prefix_of(&self, address: IpAddr) -> Option<IpNet> {
        match address {
            IpAddr::V4(address) => {
                self.rib4.longest_match(address.into()).map(|(net, _)| net.into())
            }
            IpAddr::V6(address) => {
                self.rib6.longest_match(address.into()).map(|(net, _)| net.into())
            }
        }
    }

    /// Where packets to an address go.
    pub(super) fn look_up(&self, address: IpAddr) -> NextHop {
        let id = match address {
            IpAddr::V4(address) => self.rib4.longest_match(address.into()).map(|(_, id)| id),
            IpAddr::V6(address) => self.rib6.longest_match(address.into()).map(|(_, id)| id),
        };
        id.map_or(NextHop::NoRoute, NextHop::from)
    }

    /// Whether a tunnel carries packets.
    pub(in crate::engine) fn is_running(&self, id: TunnelId) -> bool {
        self.running.get(id.index()).copied().unwrap_or(false)
    }
}
