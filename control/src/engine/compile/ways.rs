//! The way to a tunnel's remote by the routes as they are: through other tunnels, to the port that outer packets leave by.

use std::collections::BTreeMap;

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::{Group, NextHop};

use super::Compiler;
use super::tunnels::{Standing, is_link_local, tunnel_mtu};
use crate::config::{self, Store};

/// The tunnels that lie on the way to the remote of one.
pub(super) struct Chain {
    start: TunnelId,
    /// How many packets have entered.
    depth: usize,
    /// Where the ways end that have been followed.
    known: BTreeMap<TunnelId, Result<End, Standing>>,
}

/// Tunnels that a way to a remote may go through, one inside the other.
const CHAIN_MAX: usize = 8;

/// Where the outer packets of a tunnel leave the node in the end.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) port: PortId,
    /// What the tunnel's own outer packet may have.
    pub(super) mtu: u16,
}

impl Chain {
    /// That of a tunnel, before anything is known.
    pub(super) fn of(start: TunnelId) -> Self {
        Self { start, depth: 0, known: BTreeMap::new() }
    }
}

impl Compiler {
    /// The next hop towards the remote.
    pub(super) fn towards(&self, tunnel: &config::Tunnel) -> NextHop {
        let Some(remote) = tunnel.remote else { return NextHop::NoRoute };
        let link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        let next_hop = match link {
            Some(port) if is_link_local(remote) => NextHop::Connected(port),
            _ => self.look_up(remote),
        };
        match next_hop {
            NextHop::Connected(_) | NextHop::Via(_) | NextHop::Tunnel(_) | NextHop::Group(_) => {
                next_hop
            }
            _ => NextHop::NoRoute,
        }
    }

    /// Where the outer packets of a tunnel end that take a next hop.
    pub(super) fn follow(
        &self,
        store: &Store,
        (next_hop, tunnel): (NextHop, &config::Tunnel),
        chain: &mut Chain,
    ) -> Result<End, Standing> {
        let members = match next_hop {
            NextHop::Group(group) => self.groups.get(group).map_or(&[][..], Group::buckets),
            _ => &[next_hop],
        };
        let mut all: Result<End, Standing> = Err(Standing::NoRoute);
        // The buckets of a member stand together.
        for &member in members.chunk_by(PartialEq::eq).filter_map(<[NextHop]>::first) {
            let one = match member {
                NextHop::Tunnel(id) if tunnel.link.is_none() => {
                    self.follow_tunnel(store, id, chain)
                }
                _ => self.port_at_end(member, tunnel),
            };
            all = match (all, one) {
                (_, Err(Standing::Recursive)) => return Err(Standing::Recursive),
                // A packet may take any of them, so what fits them all counts.
                (Ok(all), Ok(one)) => Ok(End { mtu: all.mtu.min(one.mtu), ..all }),
                (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
                (Err(_), Err(reason)) => Err(reason),
            };
        }
        all
    }

    /// The same, through another tunnel.
    fn follow_tunnel(
        &self,
        store: &Store,
        id: TunnelId,
        chain: &mut Chain,
    ) -> Result<End, Standing> {
        if id == chain.start || chain.depth >= CHAIN_MAX {
            return Err(Standing::Recursive);
        }
        if let Some(known) = chain.known.get(&id) {
            return known.clone();
        }
        let tunnel = store.tunnel(id).ok_or(Standing::NoRoute)?;
        // Who comes here again before the answer is known goes round.
        chain.known.insert(id, Err(Standing::Recursive));
        chain.depth += 1;
        let end = self.follow(store, (self.towards(tunnel), tunnel), chain);
        chain.depth -= 1;
        let end = end.map(|end| End { mtu: tunnel_mtu(tunnel, end.mtu), ..end });
        chain.known.insert(id, end.clone());
        end
    }

    /// The port that a next hop leaves by, if a tunnel may send by that.
    fn port_at_end(&self, next_hop: NextHop, tunnel: &config::Tunnel) -> Result<End, Standing> {
        let port = self.port_of(next_hop);
        if next_hop != NextHop::NoRoute && !self.may_leave_by(next_hop, tunnel) {
            return Err(Standing::OtherLink);
        }
        let port = port.ok_or(Standing::NoRoute)?;
        let mtu = self.ports.get(port.index()).map_or(0, |port| port.mtu);
        Ok(End { port, mtu })
    }

    /// Whether the port of a next hop is the one that a tunnel is bound to, if it is.
    pub(super) fn may_leave_by(&self, next_hop: NextHop, tunnel: &config::Tunnel) -> bool {
        let Some(link) = &tunnel.link else { return true };
        self.port_of(next_hop).is_some_and(|port| self.port_id(link) == Some(port))
    }

    /// The port that a next hop leaves by, if it is one.
    pub(super) fn port_of(&self, next_hop: NextHop) -> Option<PortId> {
        match next_hop {
            NextHop::Connected(port) => Some(port),
            NextHop::Via(id) => self.adjacencies.port_of(id),
            _ => None,
        }
    }
}
