//! Who is who on the bench of the conformance list: the ports U and L, the gateway G behind U, the
//! host H on L, the tunnel peer P and the attacker X behind G, the hosts R and R6 behind the peer.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) type Mac = [u8; 6];

pub(crate) const U_MAC: Mac = [2, 0, 0, 0, 0, 0x01];
pub(crate) const L_MAC: Mac = [2, 0, 0, 0, 0, 0x02];
pub(crate) const H_MAC: Mac = [2, 0, 0, 0, 0, 0x05];
pub(crate) const G_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];
pub(crate) const BROADCAST_MAC: Mac = [0xff; 6];

/// Our own addresses on the two ports.
pub(crate) const U: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const L: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub(crate) const U6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1);
pub(crate) const L6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
/// Our own addresses on the tunnel.
pub(crate) const T: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);
pub(crate) const T6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 1);

/// A router somewhere in the underlay.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
pub(crate) const ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x300, 0, 0, 0, 0, 9);

pub(crate) const G: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);
pub(crate) const G6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0xfe);
pub(crate) const H: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);
pub(crate) const H6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 5);
pub(crate) const P: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
pub(crate) const P6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 2);
pub(crate) const X: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
pub(crate) const X6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 0x66);
pub(crate) const R: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 8);
pub(crate) const R6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 8);
