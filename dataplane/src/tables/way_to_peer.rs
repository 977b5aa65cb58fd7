//! The way to a peer that a tunnel finds packet by packet: the route to it, and what that route takes.

use core::net::IpAddr;

use super::soft_state::{Peer, TunnelPath};
use super::{NextHop, Tables};
use crate::clock::Nanos;
use crate::interface::PortId;
use crate::tunnel::Tunnel;
use crate::tunnel::remotes::Remotes;
use crate::tunnel::size::Way;
use crate::wire::Family;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct WayToPeer {
    /// Who it is.
    pub peer: Peer,
    /// How outer packets leave.
    pub next_hop: NextHop,
    /// The largest outer packet that leaves so.
    pub underlay_mtu: u16,
}

/// The way to an address outside of all tunnels.
#[derive(Clone, Copy, Debug)]
pub struct WayOut {
    /// How outer packets leave.
    pub next_hop: NextHop,
    /// By which port; `None`: through another tunnel, or nowhere.
    pub port: Option<PortId>,
    /// The largest outer packet that leaves so.
    pub underlay_mtu: u16,
}

impl WayToPeer {
    /// Whether the address is one that a peer can have: of a host, and not of this node.
    pub fn is_to_host(&self) -> bool {
        !matches!(self.next_hop, NextHop::Local | NextHop::Broadcast)
    }
}

impl Tables {
    /// The way to `remote` for packets of a tunnel; `hash` and `now` as in [`way_out`](Self::way_out).
    pub fn way_to_peer(
        &self,
        tunnel: &Tunnel,
        remote: u32,
        hash: impl FnOnce() -> u64,
        now: Option<Nanos>,
    ) -> WayToPeer {
        let link = tunnel.setup.peers.as_ref().and_then(|peers| peers.link);
        let WayOut { next_hop, port, underlay_mtu } =
            self.way_out(IpAddr::V4(remote.into()), link, hash, now);
        let peer = Peer { from: tunnel.setup.path, remote, port };
        WayToPeer { peer, next_hop, underlay_mtu }
    }

    /// The way to `remote`, by the port `link` alone if there is one; `hash` is that of the packet's flow. Without
    /// `now`, what was learnt about tunnels that it leads through does not count.
    pub fn way_out(
        &self,
        remote: IpAddr,
        link: Option<PortId>,
        hash: impl FnOnce() -> u64,
        now: Option<Nanos>,
    ) -> WayOut {
        let route = match remote {
            IpAddr::V4(remote) => self.route_ipv4(remote.into()),
            IpAddr::V6(remote) => self.route_ipv6(remote.into()),
        };
        let leaves_by_link = |next_hop| {
            let is_special = matches!(next_hop, NextHop::Local | NextHop::Broadcast);
            is_special || self.port_towards(next_hop) == link
        };
        let next_hop = match link {
            None => self.next_hops.choose(route, hash),
            Some(_) => self.next_hops.choose_suitable(route, hash, leaves_by_link),
        };
        let port = self.port_towards(next_hop);
        let underlay_mtu = match next_hop {
            NextHop::Tunnel(id) => {
                let family = if remote.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
                let usual = self.tunnel(id).map_or(u16::MAX, |tunnel| tunnel.plain.mtu);
                now.map_or(usual, |now| self.takes_now(next_hop, usual, family, now))
            }
            _ => port.and_then(|port| self.port(port)).map_or(u16::MAX, |port| port.mtu),
        };
        WayOut { next_hop, port, underlay_mtu }
    }

    /// The way to one of the remotes of a tunnel of frames, and what was learnt about it; `hash` is that of the
    /// flow.
    pub fn sizes_to_remote(
        &self,
        remotes: &Remotes,
        remote: IpAddr,
        hash: impl FnOnce() -> u64,
        now: Nanos,
    ) -> Way {
        let way = self.way_out(remote, remotes.link, hash, Some(now));
        let learnt = remotes.path_to(remote).and_then(|path| self.soft_state.mtu(path, now));
        Way { underlay_mtu: way.underlay_mtu, learnt }
    }

    /// The same for a packet, with what was learnt there. Not inlined: few tunnels have many peers.
    #[inline(never)]
    pub fn sizes_to_peer(&self, tunnel: &Tunnel, remote: u32, packet: &[u8], now: Nanos) -> Way {
        let way = self.way_to_peer(tunnel, remote, || self.flow.hash(packet), Some(now));
        let path = self.soft_state.path_to(way.peer);
        let learnt = if path == TunnelPath::NONE { None } else { self.soft_state.mtu(path, now) };
        Way { underlay_mtu: way.underlay_mtu, learnt }
    }

    fn port_towards(&self, next_hop: NextHop) -> Option<PortId> {
        match next_hop {
            NextHop::Connected(port) => Some(port),
            NextHop::Via(id) => self.neighbors.adjacency(id).map(|adjacency| adjacency.port),
            _ => None,
        }
    }
}
