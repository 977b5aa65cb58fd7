//! One change of the tables, as it is made on both copies of a [`TablePair`](super::TablePair).

use core::net::IpAddr;
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};

use super::neighbor::{Adjacency, AdjacencyId};
use super::{Group, GroupId, NextHop, Tables};
use crate::fib::{Change, Fib, FibError};
use crate::interface::{PortId, TunnelId};
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::{Pair, Protocols};

/// One change. Numbers are the control side's choice: it gives none to two things at once, and none
/// again while a worker may still mean what had it before.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Of an IPv4 route.
    Route4(Change<Ipv4Net>),
    /// Of an IPv6 route.
    Route6(Change<Ipv6Net>),
    /// A tunnel is added, or replaced. Taking one out needs no operation of its own: it is enough
    /// that nothing leads to it.
    Tunnel(TunnelId, Arc<Tunnel>),
    /// Packets to a pair of outer IPv4 addresses belong to a tunnel.
    AddLookup4(Pair<u32>, Protocols, Option<PortId>, TunnelId),
    /// They don't any more.
    RemoveLookup4(Pair<u32>, TunnelId),
    /// Packets to a pair of outer IPv6 addresses belong to a tunnel.
    AddLookup6(Pair<u128>, Protocols, Option<PortId>, TunnelId),
    /// They don't any more.
    RemoveLookup6(Pair<u128>, TunnelId),
    /// A neighbor is added, or has another MAC address.
    Adjacency(AdjacencyId, Adjacency),
    /// A neighbor is forgotten.
    RemoveAdjacency(AdjacencyId),
    /// A group of next hops is added or removed.
    Group(GroupId, Option<Group>),
    /// An address is ours.
    AddLocal(IpAddr),
    /// An address is not ours any more.
    RemoveLocal(IpAddr),
}

impl Tables {
    /// Makes one change.
    ///
    /// # Errors
    /// When a route does not fit; nothing has changed then.
    pub fn change(&mut self, operation: &Operation) -> Result<(), FibError> {
        match *operation {
            Operation::Route4(ref change) => {
                self.fib4.apply(change)?;
                let next_hop = change.next_hop().map(NextHop::from);
                self.local.note_route_ipv4(change.prefix(), next_hop);
            }
            Operation::Route6(ref change) => return self.fib6.apply(change),
            Operation::Tunnel(id, ref tunnel) => self.put_tunnel(id, tunnel),
            // Tunnels that can't be told apart never get as far as here.
            Operation::AddLookup4(pair, protocols, link, id) => {
                let _ = self.tunnels_by_ipv4.insert(pair, protocols, link, id);
            }
            Operation::AddLookup6(pair, protocols, link, id) => {
                let _ = self.tunnels_by_ipv6.insert(pair, protocols, link, id);
            }
            Operation::RemoveLookup4(pair, id) => drop(self.tunnels_by_ipv4.remove(pair, id)),
            Operation::RemoveLookup6(pair, id) => drop(self.tunnels_by_ipv6.remove(pair, id)),
            Operation::Adjacency(id, adjacency) => self.neighbors.put(id, adjacency),
            Operation::RemoveAdjacency(id) => self.neighbors.remove(id),
            Operation::Group(id, ref group) => self.next_hops.put_group(id, group.clone()),
            Operation::AddLocal(address) => self.local.insert(address),
            Operation::RemoveLocal(address) => self.local.remove(address),
        }
        Ok(())
    }

    /// Numbers below it that no tunnel has yet hold this one meanwhile: nothing leads there.
    fn put_tunnel(&mut self, id: TunnelId, tunnel: &Tunnel) {
        let at = id.index();
        if at >= self.tunnels.len() {
            self.tunnels.resize(at + 1, tunnel.clone());
        } else {
            self.tunnels[at] = tunnel.clone();
        }
    }
}
