//! What workers look things up in. A generation of tables does not change while it is in force;
//! the control side builds the next beside it and publishes that. Large parts are shared between
//! generations.

pub mod local;
pub mod neighbor;

use core::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::fib::{Fib4, Fib6, NextHopId};
use crate::interface::{PortId, TunnelId};
use crate::node::flow::FlowKey;
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::TunnelLookup;
use crate::wire::ethernet::MacAddress;
use local::LocalAddresses;
use neighbor::{AdjacencyId, NeighborTable};

/// Where a route leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// Nowhere: there is no route.
    #[default]
    NoRoute,
    /// To this node: one of its addresses.
    Local,
    /// To all hosts of a connected net.
    Broadcast,
    /// To a host of a net that is connected on a port: the destination itself is the neighbor.
    Connected(PortId),
    /// To a gateway, or another host that is known in advance.
    Via(AdjacencyId),
    /// Into a tunnel.
    Tunnel(TunnelId),
    /// To one of several, by flow.
    Group(GroupId),
    /// Into silence.
    Blackhole,
    /// Nowhere, and the sender is told so.
    Unreachable,
    /// Nowhere, and the sender is told that it is forbidden.
    Prohibit,
}

/// A group of next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupId(pub u32);

/// Next hops that share a destination, as buckets in proportion to their weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(Box<[NextHop]>);

/// The most next hops of one route.
pub const GROUP_MEMBERS_MAX: usize = 64;

/// The most buckets of one group; weights are told apart as finely as that.
pub const GROUP_BUCKETS_MAX: usize = 1024;

impl Group {
    /// From next hops and their weights. `None` when there is none, or more than
    /// [`GROUP_MEMBERS_MAX`].
    pub fn new(members: &[(NextHop, u16)]) -> Option<Self> {
        if members.is_empty() || members.len() > GROUP_MEMBERS_MAX {
            return None;
        }
        let total: u64 = members.iter().map(|&(_, weight)| u64::from(weight.max(1))).sum();
        let bucket_count = total.min(GROUP_BUCKETS_MAX as u64);
        let mut buckets = Vec::new();
        let mut seen = 0;
        for &(next_hop, weight) in members {
            seen += u64::from(weight.max(1));
            // Rounded to the nearest end, but everyone gets at least one bucket.
            let end = usize::try_from((seen * bucket_count + total / 2) / total).unwrap_or(0);
            let end = end.max(buckets.len() + 1);
            buckets.resize(end, next_hop);
        }
        Some(Self(buckets.into_boxed_slice()))
    }

    /// The next hop of a flow.
    #[inline]
    pub fn choose(&self, flow_hash: u64) -> NextHop {
        let scaled = (u128::from(flow_hash) * self.0.len() as u128) >> 64;
        usize::try_from(scaled).ok().and_then(|at| self.0.get(at)).copied().unwrap_or_default()
    }

    /// Every next hop, as often as it has buckets.
    pub fn buckets(&self) -> &[NextHop] {
        &self.0
    }
}

/// The next hops that FIB entries number, and their groups.
#[derive(Clone, Debug, Default)]
pub struct NextHops {
    by_id: Vec<NextHop>,
    groups: Vec<Group>,
}

impl NextHops {
    /// With the one that stands for "no route" alone.
    pub fn new() -> Self {
        Self { by_id: vec![NextHop::NoRoute], groups: Vec::new() }
    }

    /// Adds one; `None` when there are too many.
    pub fn add(&mut self, next_hop: NextHop) -> Option<NextHopId> {
        let id = NextHopId::new(u32::try_from(self.by_id.len()).ok()?).ok()?;
        self.by_id.push(next_hop);
        Some(id)
    }

    /// Adds a group.
    pub fn add_group(&mut self, group: Group) -> NextHop {
        let id = GroupId(u32::try_from(self.groups.len()).unwrap_or(u32::MAX));
        self.groups.push(group);
        NextHop::Group(id)
    }

    /// What an entry of a FIB stands for.
    #[inline]
    pub fn get(&self, id: NextHopId) -> NextHop {
        self.by_id.get(id.index()).copied().unwrap_or_default()
    }

    /// The group of an id.
    #[inline]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)
    }

    /// Follows a group to the next hop of a flow; `flow_hash` is only computed when needed. What
    /// is no group stays as it is. Groups don't nest.
    #[inline]
    pub fn choose(&self, next_hop: NextHop, flow_hash: impl FnOnce() -> u64) -> NextHop {
        match next_hop {
            NextHop::Group(id) => {
                self.group(id).map_or(NextHop::NoRoute, |group| group.choose(flow_hash()))
            }
            other => other,
        }
    }

    /// Whether packets for this next hop may go into a tunnel.
    pub fn leads_into(&self, next_hop: NextHop, tunnel: TunnelId) -> bool {
        match next_hop {
            NextHop::Tunnel(id) => id == tunnel,
            NextHop::Group(id) => self
                .group(id)
                .is_some_and(|group| group.buckets().contains(&NextHop::Tunnel(tunnel))),
            _ => false,
        }
    }
}

/// A port as the packet path knows it.
#[derive(Clone, Debug)]
pub struct Port {
    /// Frames for other stations are not ours.
    pub mac: MacAddress,
    /// The largest IP packet.
    pub mtu: u16,
    /// Source of errors that leave here.
    pub source_ipv4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub source_ipv6: Option<Ipv6Addr>,
}

/// One generation of everything that workers look up.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Counts publications.
    pub generation: u64,
    /// The keyed hash of flows.
    pub flow: FlowKey,
    /// By [`PortId`].
    pub ports: Arc<[Port]>,
    /// Routes of IPv4.
    pub fib4: Arc<Fib4>,
    /// Routes of IPv6.
    pub fib6: Arc<Fib6>,
    /// What FIB entries stand for.
    pub next_hops: Arc<NextHops>,
    /// By [`TunnelId`].
    pub tunnels: Arc<[Tunnel]>,
    /// Tunnels by their outer IPv4 addresses.
    pub tunnels_by_ipv4: Arc<TunnelLookup<u32>>,
    /// Tunnels by their outer IPv6 addresses.
    pub tunnels_by_ipv6: Arc<TunnelLookup<u128>>,
    /// Hosts on the ports' links.
    pub neighbors: Arc<NeighborTable>,
    /// Our own addresses.
    pub local: Arc<LocalAddresses>,
    /// Rules that belong to no tunnel.
    pub limits: Limits,
}

/// Rules that belong to no tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many tunnels of this node a packet may enter one inside the other.
    pub nested_encaps: u8,
    /// How many a packet may leave.
    pub decap_depth: u8,
    /// Tunnel packets that match no tunnel are answered with protocol unreachable.
    pub answers_unmatched: bool,
    /// Source of errors where the interface has no address of its own.
    pub router_id: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub router_id6: Option<Ipv6Addr>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nested_encaps: 4,
            decap_depth: 1,
            answers_unmatched: false,
            router_id: None,
            router_id6: None,
        }
    }
}

impl Tables {
    /// Tables of a node without ports, routes and tunnels.
    pub fn empty(seed: u64) -> Self {
        Self {
            generation: 0,
            flow: FlowKey::new(seed),
            ports: Arc::new([]),
            fib4: Arc::new(Fib4::default()),
            fib6: Arc::new(Fib6::default()),
            next_hops: Arc::new(NextHops::new()),
            tunnels: Arc::new([]),
            tunnels_by_ipv4: Arc::new(TunnelLookup::new(seed)),
            tunnels_by_ipv6: Arc::new(TunnelLookup::new(seed)),
            neighbors: Arc::new(NeighborTable::new(seed)),
            local: Arc::new(LocalAddresses::default()),
            limits: Limits::default(),
        }
    }

    /// A port; `None` when the number is not of this generation.
    #[inline]
    pub fn port(&self, port: PortId) -> Option<&Port> {
        self.ports.get(port.index())
    }

    /// A tunnel; `None` when the number is not of this generation.
    #[inline]
    pub fn tunnel(&self, tunnel: TunnelId) -> Option<&Tunnel> {
        self.tunnels.get(tunnel.index())
    }

    /// Where packets to an IPv4 address go.
    #[inline]
    pub fn route_ipv4(&self, destination: u32) -> NextHop {
        self.next_hops.get(self.fib4.lookup(destination))
    }

    /// Where packets to an IPv6 address go.
    #[inline]
    pub fn route_ipv6(&self, destination: u128) -> NextHop {
        self.next_hops.get(self.fib6.lookup(destination))
    }

    /// Our IPv4 address towards `next_hop`, for errors that leave there (RFC 1812 §4.3.2.4).
    pub fn source_ipv4(&self, next_hop: NextHop) -> Option<Ipv4Addr> {
        let own = match next_hop {
            NextHop::Connected(port) => self.port(port).and_then(|port| port.source_ipv4),
            NextHop::Via(adjacency) => {
                let port = self.neighbors.adjacency(adjacency).and_then(|a| self.port(a.port));
                port.and_then(|port| port.source_ipv4)
            }
            NextHop::Tunnel(tunnel) => self.tunnel(tunnel).and_then(|t| t.setup.source_ipv4),
            _ => None,
        };
        own.or(self.limits.router_id)
    }

    /// The same for IPv6.
    pub fn source_ipv6(&self, next_hop: NextHop) -> Option<Ipv6Addr> {
        let own = match next_hop {
            NextHop::Connected(port) => self.port(port).and_then(|port| port.source_ipv6),
            NextHop::Via(adjacency) => {
                let port = self.neighbors.adjacency(adjacency).and_then(|a| self.port(a.port));
                port.and_then(|port| port.source_ipv6)
            }
            NextHop::Tunnel(tunnel) => self.tunnel(tunnel).and_then(|t| t.setup.source_ipv6),
            _ => None,
        };
        own.or(self.limits.router_id6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_shares_flows_in_proportion_to_the_weights() {
        let first = NextHop::Tunnel(TunnelId(1));
        let second = NextHop::Tunnel(TunnelId(2));
        let group = Group::new(&[(first, 2), (second, 1)]).unwrap();
        let step = u64::MAX / 3000;
        let to_first = (0..3000).filter(|&n| group.choose(n * step) == first).count();
        assert!((1990..=2010).contains(&to_first), "{to_first}");
        assert_eq!(group.choose(u64::MAX), second);
    }

    #[test]
    fn everyone_in_a_group_gets_a_bucket_however_small_the_weight() {
        let members: Vec<_> = (0..64)
            .map(|n| (NextHop::Tunnel(TunnelId(n)), if n == 0 { u16::MAX } else { 1 }))
            .collect();
        let group = Group::new(&members).unwrap();
        for (next_hop, _) in members {
            assert!(group.buckets().contains(&next_hop), "{next_hop:?}");
        }
        assert!(Group::new(&[]).is_none());
    }
}
