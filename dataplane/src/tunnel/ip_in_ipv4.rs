//! IP in IPv4: IPv4 (RFC 2003, protocol 4) and IPv6 (RFC 4213, protocol 41) directly behind an
//! outer IPv4 header. Modes `ipip` and `sit`.
//!
//! ```text
//!  0                    20
//! +--------------------+---------------------------
//! | outer IPv4         | inner IPv4 or IPv6 packet …
//! | protocol 4 or 41   |
//! +--------------------+---------------------------
//! ```

use core::net::{IpAddr, Ipv4Addr};

use super::rewrite::Rewrite;
use super::{TunnelError, TunnelSetup};

/// Bytes that are put in front of the inner packet.
pub const OVERHEAD: u16 = 20;

/// Prepares the outer header, from one of the sources. Without a remote nothing can be sent, and the
/// addresses stay 0.
pub(super) fn rewrite(setup: &TunnelSetup, local: Option<IpAddr>) -> Result<Rewrite, TunnelError> {
    let ipv4 = |address: Option<IpAddr>| match address {
        Some(IpAddr::V4(address)) => Ok(address),
        None => Ok(Ipv4Addr::UNSPECIFIED),
        Some(IpAddr::V6(_)) => Err(TunnelError::Family),
    };
    Ok(Rewrite::ipv4(ipv4(local)?, ipv4(setup.remote)?))
}
