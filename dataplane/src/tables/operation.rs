//! One change of the tables, as it is made on both copies of a [`TablePair`](super::TablePair).

use core::net::IpAddr;
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};

use super::labels::LabelTable;
use super::mirrors::Sessions;
use super::neighbor::{Adjacency, AdjacencyId};
use super::{Group, GroupId, Limits, NextHop, Port, Tables};
use crate::fib::{Change, Fib, FibError};
use crate::interface::{Interface, PortId, TunnelId};
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::{
    Entry, Indistinguishable, Label, LabelledTunnels, OuterAddress, Pair, TunnelLookup,
};
use crate::tunnel::udp::Service;

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
    AddLookup4(Entry<u32>),
    /// They don't any more.
    RemoveLookup4(Entry<u32>),
    /// Packets to a pair of outer IPv6 addresses belong to a tunnel.
    AddLookup6(Entry<u128>),
    /// They don't any more.
    RemoveLookup6(Entry<u128>),
    /// A UDP port is a tunnel's, or none's any more.
    UdpPort(u16, Option<Service>),
    /// A port's frames go into a tunnel, or are this node's again.
    Attach(PortId, Option<TunnelId>),
    /// What a port or tunnel receives, or sends, is copied for these sessions and for no others.
    Mirror(Interface, Sessions),
    /// The labels of a port; `None`: it takes no MPLS.
    PortLabels(PortId, Option<Arc<LabelTable>>),
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
    /// Ports have other addresses to send errors from; their number stays.
    Ports(Arc<[Port]>),
    /// Rules that belong to no tunnel, and addresses that belong to no port, are others.
    Limits(Limits),
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
            Operation::AddLookup4(ref entry) => {
                let Self { tunnels_by_ipv4, labelled_by_ipv4, .. } = self;
                let _ = add(tunnels_by_ipv4, labelled_by_ipv4, entry);
            }
            Operation::AddLookup6(ref entry) => {
                let Self { tunnels_by_ipv6, labelled_by_ipv6, .. } = self;
                let _ = add(tunnels_by_ipv6, labelled_by_ipv6, entry);
            }
            Operation::RemoveLookup4(ref entry) => {
                remove(&mut self.tunnels_by_ipv4, &mut self.labelled_by_ipv4, entry);
            }
            Operation::RemoveLookup6(ref entry) => {
                remove(&mut self.tunnels_by_ipv6, &mut self.labelled_by_ipv6, entry);
            }
            Operation::UdpPort(port, service) => self.udp_ports.put(port, service),
            Operation::Attach(port, tunnel) => self.attach(port, tunnel),
            Operation::Mirror(of, ref sessions) => self.mirrors.put(of, sessions.clone()),
            Operation::PortLabels(port, ref labels) => self.put_labels(port, labels.clone()),
            Operation::Adjacency(id, adjacency) => self.neighbors.put(id, adjacency),
            Operation::RemoveAdjacency(id) => self.neighbors.remove(id),
            Operation::Group(id, ref group) => self.next_hops.put_group(id, group.clone()),
            Operation::AddLocal(address) => self.local.insert(address),
            Operation::RemoveLocal(address) => self.local.remove(address),
            Operation::Ports(ref ports) => self.ports = Arc::clone(ports),
            Operation::Limits(limits) => self.limits = limits,
        }
        Ok(())
    }

    fn attach(&mut self, port: PortId, tunnel: Option<TunnelId>) {
        if port.index() >= self.attached.len() {
            self.attached.resize(port.index() + 1, None);
        }
        self.attached[port.index()] = tunnel;
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

    fn put_labels(&mut self, port: PortId, labels: Option<Arc<LabelTable>>) {
        let at = port.index();
        if at >= self.port_labels.len() {
            self.port_labels.resize(at + 1, None);
        }
        self.port_labels[at] = labels;
    }
}

fn add<A: OuterAddress>(
    bare: &mut TunnelLookup<A>,
    labelled: &mut LabelledTunnels<A>,
    entry: &Entry<A>,
) -> Result<(), Indistinguishable> {
    let Entry { pair: Pair { local, remote, label }, protocols, link, tunnel, .. } = *entry;
    if label == Label::NONE {
        return bare.insert(Pair::new(local, remote), protocols, link, tunnel);
    }
    labelled.insert(entry)
}

fn remove<A: OuterAddress>(
    bare: &mut TunnelLookup<A>,
    labelled: &mut LabelledTunnels<A>,
    entry: &Entry<A>,
) {
    let Entry { pair: Pair { local, remote, label }, tunnel, .. } = *entry;
    if label == Label::NONE {
        bare.remove(Pair::new(local, remote), tunnel);
    } else {
        labelled.remove(entry);
    }
}
