//! What workers look things up in. A generation of tables does not change while it is in force;
//! the control side changes another copy of it, by operations, and publishes that.

pub mod labels;
pub mod local;
pub mod mirrors;
pub mod neighbor;
mod nested;
mod next_hop;
mod operation;
mod pair;
pub mod soft_state;
mod way_to_peer;

use core::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::fib::{Fib4, Fib6};
use crate::interface::{PortId, TunnelId};
use crate::node::flow::FlowKey;
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::{Found, LabelledTunnels, Pair, TunnelLookup};
use crate::tunnel::shim::Arrival;
use crate::tunnel::udp::UdpPorts;
use crate::wire::ethernet::MacAddress;
use labels::LabelTable;
use local::LocalAddresses;
use mirrors::Mirrors;
use neighbor::NeighborTable;
use soft_state::SoftState;

pub use next_hop::{
    GROUP_BUCKETS_MAX, GROUP_MEMBERS_MAX, GROUPS_MAX, Group, GroupId, NextHop, NextHops,
    TooManyNextHops,
};
pub use operation::Operation;
pub use pair::{StillRead, TablePair};
pub use way_to_peer::WayToPeer;

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
    /// The nets that are connected.
    pub nets: Arc<[Ipv4Net]>,
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
    /// By [`PortId`]: the tunnel that a port's frames go into.
    pub attached: Vec<Option<TunnelId>>,
    /// Of what copies are made.
    pub mirrors: Mirrors,
    /// Routes of IPv4.
    pub fib4: Fib4,
    /// Routes of IPv6.
    pub fib6: Fib6,
    /// Groups of next hops.
    pub next_hops: NextHops,
    /// By [`TunnelId`]. At a number that no route and no lookup leads to is any tunnel.
    pub tunnels: Vec<Tunnel>,
    /// Tunnels with IP directly in IP, by their outer IPv4 addresses.
    pub tunnels_by_ipv4: TunnelLookup<u32>,
    /// The same by outer IPv6 addresses.
    pub tunnels_by_ipv6: TunnelLookup<u128>,
    /// Those with more than IP in the outer packet.
    pub labelled_by_ipv4: LabelledTunnels<u32>,
    /// The same for IPv6.
    pub labelled_by_ipv6: LabelledTunnels<u128>,
    /// UDP ports that tunnels listen at.
    pub udp_ports: UdpPorts,
    /// The labels of each port that takes MPLS, by [`PortId`].
    pub port_labels: Vec<Option<Arc<LabelTable>>>,
    /// Hosts on the ports' links.
    pub neighbors: NeighborTable,
    /// Our own addresses.
    pub local: LocalAddresses,
    /// Rules that belong to no tunnel.
    pub limits: Limits,
    /// What was learnt about the paths of tunnels: one table, which all generations share.
    pub soft_state: Arc<SoftState>,
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
            attached: Vec::new(),
            mirrors: Mirrors::default(),
            fib4: Fib4::default(),
            fib6: Fib6::default(),
            next_hops: NextHops::new(),
            tunnels: Vec::new(),
            tunnels_by_ipv4: TunnelLookup::new(seed),
            tunnels_by_ipv6: TunnelLookup::new(seed),
            labelled_by_ipv4: LabelledTunnels::new(seed),
            labelled_by_ipv6: LabelledTunnels::new(seed),
            udp_ports: UdpPorts::default(),
            port_labels: Vec::new(),
            neighbors: NeighborTable::new(seed),
            local: LocalAddresses::default(),
            limits: Limits::default(),
            soft_state: Arc::new(SoftState::new(0)),
        }
    }

    /// The tunnel that all frames go into which a port receives, if it is attached to one.
    #[inline]
    pub fn attached(&self, port: PortId) -> Option<TunnelId> {
        self.attached.get(port.index()).copied().flatten()
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

    /// The tunnel of a packet from `remote` to `local`, received on `ingress`. Whether `local` is an
    /// address of ours is for the caller to know.
    #[inline]
    pub fn tunnel_by_ipv4(
        &self,
        (local, remote): (u32, u32),
        arrival: Arrival,
        ingress: Option<PortId>,
    ) -> Found {
        let Arrival { label, carries } = arrival;
        let pair = Pair { local, remote, label };
        self.labelled_by_ipv4.find_beside(&self.tunnels_by_ipv4, pair, carries, ingress)
    }

    /// The same with IPv6 outside.
    #[inline]
    pub fn tunnel_by_ipv6(
        &self,
        (local, remote): (u128, u128),
        arrival: Arrival,
        ingress: Option<PortId>,
    ) -> Found {
        let Arrival { label, carries } = arrival;
        let pair = Pair { local, remote, label };
        self.labelled_by_ipv6.find_beside(&self.tunnels_by_ipv6, pair, carries, ingress)
    }

    /// Where packets to an IPv4 address go.
    #[inline]
    pub fn route_ipv4(&self, destination: u32) -> NextHop {
        self.fib4.lookup(destination).into()
    }

    /// Where packets to an IPv6 address go.
    #[inline]
    pub fn route_ipv6(&self, destination: u128) -> NextHop {
        self.fib6.lookup(destination).into()
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
