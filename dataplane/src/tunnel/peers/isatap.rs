//! ISATAP (RFC 5214): IPv6 in IPv4 within a site, a link whose hosts have their IPv4 address in the interface
//! identifier.
//!
//! ```text
//!  0                                  64               96                128
//! +----------------------------------+----------------+------------------+
//! | prefix of the link, or fe80::    | 0000:5efe, or  | IPv4 address     |
//! |                                  | 0200:5efe      |                  |
//! +----------------------------------+----------------+------------------+
//! ```
//!
//! The second form is for IPv4 addresses that are globally unique; whoever reads takes either.

use core::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

use super::six_rd::{is_not_global, six_to_four};
use crate::tunnel::policy::Ranges;

/// An ISATAP link, as one of its nodes knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isatap {
    /// Whose addresses are next hops themselves.
    on_link: Ranges<u128>,
    /// The potential router list.
    routers: Box<[u32]>,
}

const IDENTIFIER: u32 = 0x0000_5efe;
const IS_GLOBAL: u32 = 0x0200_0000;

/// The interface identifier of an IPv4 address.
pub fn identifier(address: Ipv4Addr) -> u64 {
    let address = u32::from(address);
    //= RFC 5214 §6.1: the "u" bit says that the IPv4 address is globally unique.
    let unique = if is_not_global(address) { 0 } else { IS_GLOBAL };
    u64::from(IDENTIFIER | unique) << 32 | u64::from(address)
}

/// The IPv4 address in an interface identifier; `None`: it has none.
#[expect(clippy::cast_possible_truncation, reason = "the halves are cut out")]
pub fn embedded(address: Ipv6Addr) -> Option<u32> {
    let bits = u128::from(address);
    let is_its = (bits >> 32) as u32 & !IS_GLOBAL == IDENTIFIER;
    is_its.then_some(bits as u32)
}

impl Isatap {
    /// From the prefixes of the link, and the routers that others are reached by.
    pub fn new(on_link: impl IntoIterator<Item = Ipv6Net>, routers: &[Ipv4Addr]) -> Self {
        let link_local = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
        Self {
            on_link: on_link.into_iter().chain([link_local]).collect(),
            routers: routers.iter().map(|&router| router.into()).collect(),
        }
    }

    pub(super) fn is_on_link(&self, address: u128) -> bool {
        self.on_link.contains(address)
    }

    /// The IPv4 address in one of the link.
    pub(super) fn embedded(&self, address: u128) -> Option<u32> {
        embedded(address.into()).filter(|_| self.is_on_link(address))
    }

    pub(super) fn routers(&self) -> &[u32] {
        &self.routers
    }

    /// Whether `remote` may send packets with an inner source; `is_own`: whether an IPv4 address is this node's.
    pub(super) fn believes(&self, source: u128, remote: u32, is_own: impl Fn(u32) -> bool) -> bool {
        //= RFC 5214 §7.3: the source is an address of the link with the sender's in it, or the sender is a
        //= potential router.
        let embedded = self.embedded(source);
        // A router speaks for others, and for nobody with an address of ours.
        let named = || embedded.or_else(|| six_to_four(source));
        embedded == Some(remote) || self.routers.contains(&remote) && !named().is_some_and(is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_say_whether_the_address_is_unique_and_either_is_read() {
        for (address, expected) in [
            ([203, 0, 113, 66], 0x0200_5efe_cb00_7142),
            ([10, 0, 0, 1], 0x0000_5efe_0a00_0001),
            ([192, 168, 7, 9], 0x0000_5efe_c0a8_0709),
        ] {
            assert_eq!(identifier(address.into()), expected);
            let own = 0x2001_0db8_u128 << 96 | u128::from(expected);
            assert_eq!(embedded(own.into()), Some(u32::from_be_bytes(address)));
        }
        let text = |text: &str| embedded(text.parse().unwrap());
        assert_eq!(text("fe80::5efe:203.0.113.66"), text("fe80::200:5efe:cb00:7142"));
        assert_eq!(text("fe80::100:5efe:cb00:7142"), None);
        assert_eq!(text("fe80::cb00:7142"), None);
    }
}
