//! Of what copies are made, and for which mirror sessions: what ports receive and send, what comes out of tunnels and
//! what goes into them. The copies themselves are the worker's (`worker/mirror.rs`).

use std::collections::HashMap;

use crate::interface::{Interface, PortId, TunnelId};

/// Sessions that one port or tunnel can have in one direction.
pub const SESSIONS_MAX: usize = 8;

/// The tunnels that copies of one port or tunnel go into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Copies of what the port receives, or of what comes out of the tunnel.
    pub ingress: Box<[TunnelId]>,
    /// Copies of what the port sends, or of what goes into the tunnel.
    pub egress: Box<[TunnelId]>,
}

impl Sessions {
    /// Of one direction.
    pub fn of(&self, is_egress: bool) -> &[TunnelId] {
        if is_egress { &self.egress } else { &self.ingress }
    }

    fn is_empty(&self) -> bool {
        self.ingress.is_empty() && self.egress.is_empty()
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Mirrors {
    /// By [`PortId`].
    ports: Vec<Sessions>,
    has_ports: bool,
    tunnels: HashMap<TunnelId, Sessions>,
    has_tunnels: bool,
}

impl Mirrors {
    /// Whether anything of any port is copied.
    #[inline]
    pub const fn has_ports(&self) -> bool {
        self.has_ports
    }

    /// Whether anything of any tunnel is copied.
    #[inline]
    pub const fn has_tunnels(&self) -> bool {
        self.has_tunnels
    }

    /// The sessions that have copies of what a port receives, or sends.
    #[inline]
    pub fn of_port(&self, port: PortId, is_egress: bool) -> &[TunnelId] {
        self.ports.get(port.index()).map_or(&[], |sessions| sessions.of(is_egress))
    }

    /// The sessions that have copies of what comes out of a tunnel, or goes into it.
    #[inline]
    pub fn of_tunnel(&self, tunnel: TunnelId, is_egress: bool) -> &[TunnelId] {
        self.tunnels.get(&tunnel).map_or(&[], |sessions| sessions.of(is_egress))
    }

    /// Says which sessions a port or tunnel has from now on.
    pub(super) fn put(&mut self, of: Interface, sessions: Sessions) {
        if let Some(port) = of.as_port() {
            if port.index() >= self.ports.len() {
                self.ports.resize(port.index() + 1, Sessions::default());
            }
            self.ports[port.index()] = sessions;
        } else if let Some(tunnel) = of.as_tunnel() {
            if sessions.is_empty() {
                self.tunnels.remove(&tunnel);
            } else {
                self.tunnels.insert(tunnel, sessions);
            }
        }
        self.has_ports = self.ports.iter().any(|sessions| !sessions.is_empty());
        self.has_tunnels = !self.tunnels.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_those_of_the_port_or_tunnel_and_the_direction_until_they_are_taken_back() {
        let (port, tunnel) = (PortId(2), TunnelId(2));
        let into = |id| Box::from([TunnelId(id)]);
        let mut mirrors = Mirrors::default();
        let of_port = Sessions { ingress: into(7), egress: Box::default() };
        let of_tunnel = Sessions { ingress: Box::default(), egress: into(8) };
        mirrors.put(Interface::port(port), of_port);
        mirrors.put(Interface::tunnel(tunnel), of_tunnel);
        assert!(mirrors.has_ports() && mirrors.has_tunnels());
        let of = |mirrors: &Mirrors| {
            [false, true].map(|is_egress| {
                let (port, tunnel) =
                    (mirrors.of_port(port, is_egress), mirrors.of_tunnel(tunnel, is_egress));
                (port.to_vec(), tunnel.to_vec())
            })
        };
        let expected = [(vec![TunnelId(7)], vec![]), (vec![], vec![TunnelId(8)])];
        assert_eq!(of(&mirrors), expected);
        assert!(mirrors.of_port(PortId(1), false).is_empty());
        assert!(mirrors.of_port(PortId(3), false).is_empty());
        mirrors.put(Interface::port(port), Sessions::default());
        mirrors.put(Interface::tunnel(tunnel), Sessions::default());
        assert_eq!(of(&mirrors), [(vec![], vec![]), (vec![], vec![])]);
        assert!(!mirrors.has_ports() && !mirrors.has_tunnels());
    }
}
