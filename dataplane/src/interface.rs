//! Numbers for what packets come in by and leave by: ports and tunnels.
//!
//! They mean something inside one generation of the tables only.

use core::fmt;

/// A port, by its position in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u8);

impl PortId {
    /// As an index into arrays of ports.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The most ports an appliance can have.
pub const PORTS_MAX: usize = 64;

/// A tunnel, by its position in the tables of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelId(pub u32);

impl TunnelId {
    /// As an index into arrays of tunnels.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The most tunnels an appliance can have.
pub const TUNNELS_MAX: usize = 1 << 21;

/// A port or a tunnel, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interface(u32);

const TUNNEL_BIT: u32 = 1 << 31;

impl Interface {
    /// Neither: the packet was made here.
    pub const NONE: Self = Self(u32::MAX);

    /// A port.
    #[inline]
    pub const fn port(port: PortId) -> Self {
        Self(port.0 as u32)
    }

    /// A tunnel.
    #[inline]
    pub const fn tunnel(tunnel: TunnelId) -> Self {
        Self(tunnel.0 | TUNNEL_BIT)
    }

    /// The port, if it is one.
    #[inline]
    pub const fn as_port(self) -> Option<PortId> {
        if self.0 < TUNNEL_BIT { Some(PortId((self.0 & 0xff) as u8)) } else { None }
    }

    /// The tunnel, if it is one.
    #[inline]
    pub const fn as_tunnel(self) -> Option<TunnelId> {
        if self.0 >= TUNNEL_BIT && self.0 != Self::NONE.0 {
            Some(TunnelId(self.0 & !TUNNEL_BIT))
        } else {
            None
        }
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_port(), self.as_tunnel()) {
            (Some(port), _) => write!(f, "port {}", port.0),
            (_, Some(tunnel)) => write!(f, "tunnel {}", tunnel.0),
            _ => f.write_str("none"),
        }
    }
}
