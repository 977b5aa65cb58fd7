//! The outer IP header of a tunnel, of either family. Where nothing stands between it and the packet
//! inside, it is IP in IP: RFC 2003 and RFC 4213 (protocols 4 and 41) in IPv4, RFC 2473 in IPv6; modes `ipip`,
//! `sit`, `ipip6`, `ip6ip6` and `any`.
//!
//! ```text
//!  0                    20
//! +--------------------+---------------------------
//! | outer IPv4         | shim, if any; inner packet …
//! +--------------------+---------------------------
//!
//!  0                    40                             48
//! +--------------------+------------------------------+---------------------------
//! | outer IPv6         | [destination options with    | shim, if any; inner packet …
//! |                    |  the encapsulation limit]    |
//! +--------------------+------------------------------+---------------------------
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rewrite::Rewrite;
use super::{TunnelError, TunnelSetup};
use crate::wire::Family;

/// Prepares the outer header, from one of the sources. Without a remote nothing can be sent, and the
/// addresses stay 0.
pub(super) fn rewrite(setup: &TunnelSetup, local: Option<IpAddr>) -> Result<Rewrite, TunnelError> {
    match setup.outer {
        Family::Ipv4 => {
            let (local, remote) = (ipv4(local)?, ipv4(setup.remote)?);
            let rewrite = Rewrite::ipv4(local, remote);
            Ok(if setup.shim.is_minimal() { rewrite.in_place() } else { rewrite })
        }
        Family::Ipv6 => {
            let (local, remote) = (ipv6(local)?, ipv6(setup.remote)?);
            Ok(Rewrite::ipv6(local, remote, setup.encap_limit))
        }
    }
}

fn ipv4(address: Option<IpAddr>) -> Result<Ipv4Addr, TunnelError> {
    match address {
        Some(IpAddr::V4(address)) => Ok(address),
        None => Ok(Ipv4Addr::UNSPECIFIED),
        Some(IpAddr::V6(_)) => Err(TunnelError::Family),
    }
}

fn ipv6(address: Option<IpAddr>) -> Result<Ipv6Addr, TunnelError> {
    match address {
        Some(IpAddr::V6(address)) => Ok(address),
        None => Ok(Ipv6Addr::UNSPECIFIED),
        Some(IpAddr::V4(_)) => Err(TunnelError::Family),
    }
}
