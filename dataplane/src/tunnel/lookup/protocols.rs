//! What a tunnel carries, as a set, and the IP protocols that say so.

use crate::wire::protocol;

/// The outer protocols that a tunnel takes, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protocols(pub(super) u8);

impl Protocols {
    /// None.
    pub const NONE: Self = Self(0);
    /// IPv4 in IP.
    pub const IPV4: Self = Self(1);
    /// IPv6 in IP.
    pub const IPV6: Self = Self(2);
    /// MPLS in IP.
    pub const MPLS: Self = Self(4);

    /// Ethernet frames.
    pub const ETHERNET: Self = Self(8);

    /// All there are.
    pub const ALL: Self = Self(u8::MAX);

    /// 0 if it has none.
    #[inline]
    pub(super) const fn number(self) -> u32 {
        self.0 as u32
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of `other` is in it.
    #[inline]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set of what follows other headers than an outer IP header, by its IP protocol.
    #[inline]
    pub const fn carried(ip_protocol: u8) -> Self {
        match ip_protocol {
            protocol::ETHERNET => Self::ETHERNET,
            other => Self::of(other),
        }
    }

    /// The set of one IP protocol; empty for a protocol that no tunnel here can take.
    #[inline]
    pub const fn of(ip_protocol: u8) -> Self {
        match ip_protocol {
            protocol::IPV4 => Self::IPV4,
            protocol::IPV6 => Self::IPV6,
            protocol::MPLS => Self::MPLS,
            _ => Self::NONE,
        }
    }
}

/// Whether an IP protocol is one that tunnels use. Packets of these to a local address are never
/// answered.
#[inline]
pub const fn is_tunnel_protocol(ip_protocol: u8) -> bool {
    matches!(
        ip_protocol,
        protocol::IPV4
            | protocol::IPV6
            | protocol::GRE
            | protocol::MINIMAL
            | protocol::ETHER_IP
            | protocol::MPLS
    )
}
