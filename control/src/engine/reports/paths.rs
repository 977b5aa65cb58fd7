//! What was learnt about the paths of tunnels, and forgetting it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::tunnel::size::Way;

use super::super::Controller;
use crate::config::{self, Family};
use crate::report;

/// What stands for the remote of a tunnel that has many.
const MANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Controller {
    /// Paths that something is known about.
    pub fn paths(&self, now: Nanos) -> report::Paths {
        let numbered = self.compiler.paths().iter();
        let known = numbered.chain(self.paths_to_peers()).filter_map(|(path, ends, port)| {
            let known = self.soft_state.report(path, now)?;
            let port_mtu = port.and_then(|port| self.ports.get(port.index())).map(|port| port.mtu);
            let learnt = known.mtu;
            let mtu = learnt.map(|(learnt, _)| learnt.mtu);
            Some(report::Path {
                local: ends.0.to_string(),
                remote: ends.1.to_string(),
                port: port.and_then(|port| self.port_name(port)),
                tunnels: self.tunnels_on(path, ends),
                mtu: mtu.or(port_mtu).unwrap_or_default(),
                expires_s: learnt.map(|(_, until)| until.since(now).as_secs()),
                locked: learnt.is_some_and(|(learnt, _)| learnt.is_locked),
                reachable_errors: known.errors.map_or(0, |(count, _)| count),
                last_error_s: known.errors.map(|(_, last)| now.since(last).as_secs()),
            })
        });
        report::Paths { paths: known.collect() }
    }

    /// Paths to peers that tunnels find packet by packet, as far as something was learnt about them.
    fn paths_to_peers(
        &self,
    ) -> impl Iterator<Item = (TunnelPath, (IpAddr, IpAddr), Option<PortId>)> {
        let many: HashMap<TunnelPath, IpAddr> = if self.soft_state.knows_something() {
            let all = self.compiler.paths().iter();
            all.filter(|(_, ends, _)| ends.1 == MANY)
                .map(|(path, ends, _)| (path, ends.0))
                .collect()
        } else {
            HashMap::new()
        };
        self.soft_state.peers().filter_map(move |(peer, path)| {
            let local = *many.get(&peer.from)?;
            Some((path, (local, IpAddr::V4(peer.remote.into())), peer.port))
        })
    }

    /// The tunnels that take a path, by name. One that leaves its local address to the route is found
    /// without it.
    fn tunnels_on(&self, path: TunnelPath, (local, remote): (IpAddr, IpAddr)) -> Vec<String> {
        let named = self.store.with_ends(Some(remote), Some(local));
        let ids = named.chain(self.store.with_ends(Some(remote), None));
        let on_it = ids.filter(|&id| self.paths_of(id).any(|own| own == path));
        let is_peers = self.soft_state.is_to_peer(path);
        let many = self.store.with_ends(None, Some(local)).filter(|_| is_peers);
        let tunnels = on_it.chain(many).filter_map(|id| self.store.tunnel(id));
        tunnels.map(|tunnel| tunnel.name.to_string()).collect()
    }

    /// The paths that a tunnel takes.
    fn paths_of(&self, id: TunnelId) -> impl Iterator<Item = TunnelPath> {
        let info = self.compiler.info(id).into_iter();
        info.flat_map(|info| std::iter::once(info.path).chain(info.more_paths.iter().copied()))
    }

    /// Forgets what was learnt about paths: all of them, or those of a tunnel or with an end of this
    /// address. Returns of how many; `None`: there is no such tunnel or address.
    pub fn clear_paths(&mut self, name: Option<&str>) -> Option<u64> {
        let address: Option<IpAddr> = name.and_then(|name| name.parse().ok());
        let tunnel = name.and_then(|name| self.store.tunnel_id(name));
        let paths: Vec<TunnelPath> = match (name, address, tunnel) {
            (_, _, Some(tunnel)) => {
                let own: Vec<TunnelPath> = self.paths_of(tunnel).collect();
                let all = self.soft_state.peers().filter(|(peer, _)| own.contains(&peer.from));
                let to_peers: Vec<TunnelPath> = all.map(|(_, path)| path).collect();
                own.into_iter().chain(to_peers).collect()
            }
            (_, Some(address), _) => {
                let all = self.compiler.paths().iter().chain(self.paths_to_peers());
                let its = all.filter(|(_, ends, _)| ends.0 == address || ends.1 == address);
                let its: Vec<TunnelPath> = its.map(|(path, ..)| path).collect();
                (!its.is_empty()).then_some(its)?
            }
            (Some(_), None, None) => return None,
            (None, ..) => {
                let all = self.compiler.paths().iter().chain(self.paths_to_peers());
                all.map(|(path, ..)| path).collect()
            }
        };
        let cleared = paths.into_iter().filter(|&path| self.soft_state.clear(path)).count();
        Some(cleared as u64)
    }

    /// The largest packet that a tunnel takes now without fragments: of those that may not be fragmented, on
    /// the narrowest of its paths.
    pub(super) fn effective_mtu(&self, id: TunnelId, tunnel: &config::Tunnel, now: Nanos) -> u16 {
        let configured = self.compiler.info(id).map_or(0, |info| info.mtu);
        let Some(built) = self.pair.live().tunnel(id) else { return configured };
        let overhead = u16::try_from(built.overhead()).unwrap_or(u16::MAX);
        let overhead = overhead.saturating_add(built.setup.link_header_len());
        let is_ipv4 = tunnel.carries(Family::Ipv4);
        let underlay_mtu = self.pair.live().underlay_mtu_now(&built.setup, now);
        let fits = self.paths_of(id).filter_map(|path| {
            let learnt = self.soft_state.mtu(path, now);
            if learnt.is_none() && underlay_mtu == built.setup.underlay_mtu {
                return None;
            }
            Some(built.setup.effective_mtu(overhead, is_ipv4, Way { underlay_mtu, learnt }))
        });
        fits.fold(configured, u16::min)
    }

    fn port_name(&self, id: PortId) -> Option<String> {
        self.config().ports.get(id.index()).map(|port| port.name.to_string())
    }
}
