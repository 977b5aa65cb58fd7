//! IP in IPv6 (RFC 2473): IPv4 (next header 4) and IPv6 (41) behind an outer IPv6 header. Modes
//! `ipip6`, `ip6ip6` and `any`.
//!
//! ```text
//!  0                    40                             48
//! +--------------------+------------------------------+---------------------------
//! | outer IPv6         | [destination options with    | inner IPv4 or IPv6 packet …
//! |                    |  the encapsulation limit]    |
//! +--------------------+------------------------------+---------------------------
//! ```

use core::net::{IpAddr, Ipv6Addr};

use super::rewrite::Rewrite;
use super::{TunnelError, TunnelSetup};

/// Bytes that are put in front of the inner packet, without an encapsulation limit.
pub const OVERHEAD: u16 = 40;

/// Prepares the outer header, from one of the sources. Without a remote nothing can be sent, and the
/// addresses stay 0.
pub(super) fn rewrite(setup: &TunnelSetup, local: Option<IpAddr>) -> Result<Rewrite, TunnelError> {
    let ipv6 = |address: Option<IpAddr>| match address {
        Some(IpAddr::V6(address)) => Ok(address),
        None => Ok(Ipv6Addr::UNSPECIFIED),
        Some(IpAddr::V4(_)) => Err(TunnelError::Family),
    };
    Ok(Rewrite::ipv6(ipv6(local)?, ipv6(setup.remote)?, setup.encap_limit))
}
