//! 6rd (RFC 5969): IPv6 in IPv4 whose peers are in the IPv6 addresses. 6to4 (RFC 3056) is the same with prefix
//! `2002::/16` and all 32 bits of the IPv4 address.
//!
//! ```text
//!  0              p                  p + 32 - r             64              128
//! +--------------+------------------+----------------------+-----------------+
//! | 6rd prefix   | IPv4 address less| subnet               | interface       |
//! |              | its first r bits |                      |                 |
//! +--------------+------------------+----------------------+-----------------+
//! |<------- delegated prefix ------>|
//! ```
//!
//! The headers are those of RFC 4213: here is only whom a packet is for, and whom it may come from.

use core::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::counters::Counter;
use crate::wire::ipv4::is_martian;

/// A 6rd domain, as one of its routers knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SixRd {
    prefix: u128,
    prefix_len: u8,
    /// What the IPv4 addresses of the domain have in common.
    common: u32,
    common_len: u8,
    /// Whom packets out of the domain go to, and may come from.
    relays: Box<[u32]>,
    is_relay: bool,
    /// What this node delegates: what its own IPv4 address stands for, where it is one of the domain.
    delegated: Option<(u128, u128)>,
}

/// What a 6rd tunnel is made from.
#[derive(Clone, Debug)]
pub struct SixRdSetup {
    /// The prefix of the domain.
    pub prefix: Ipv6Net,
    /// What the IPv4 addresses of the domain have in common.
    pub relay_prefix: Ipv4Net,
    /// The border relays, of which flows choose.
    pub border_relays: Box<[Ipv4Addr]>,
    /// This node is a border relay, not a customer's router.
    pub is_relay: bool,
    /// Its own outer address.
    pub local: Ipv4Addr,
}

impl SixRdSetup {
    /// The bits of an IPv4 address that are in IPv6 addresses.
    fn embedded_len(&self) -> u8 {
        32 - self.relay_prefix.prefix_len()
    }

    /// What the IPv4 address of a router stands for; `None`: it is not of the domain, or the prefix too long.
    pub fn delegated(&self, address: Ipv4Addr) -> Option<Ipv6Net> {
        //= RFC 5969 §4: the 6rd prefix, then the bits of the IPv4 address behind the common ones.
        let len = self.prefix.prefix_len().checked_add(self.embedded_len())?;
        if len > 64 || !self.relay_prefix.contains(&address) {
            return None;
        }
        let suffix = u128::from(u32::from(address) & u32::from(self.relay_prefix.hostmask()));
        let network = u128::from(self.prefix.network())
            | suffix.checked_shl(128 - u32::from(len)).unwrap_or(0);
        Ipv6Net::new(network.into(), len).ok()
    }
}

impl SixRd {
    /// From a setup whose prefixes are together no longer than 64 bits.
    pub fn new(setup: &SixRdSetup) -> Self {
        let delegated = setup.delegated(setup.local);
        Self {
            prefix: setup.prefix.network().into(),
            prefix_len: setup.prefix.prefix_len(),
            common: setup.relay_prefix.network().into(),
            common_len: setup.relay_prefix.prefix_len(),
            relays: setup.border_relays.iter().map(|&relay| relay.into()).collect(),
            is_relay: setup.is_relay,
            delegated: delegated.map(|net| (net.network().into(), net.broadcast().into())),
        }
    }

    /// The IPv4 address in an IPv6 address of the domain; `None`: it is not of the domain.
    #[inline]
    pub(super) fn embedded(&self, address: u128) -> Option<u32> {
        let behind = 128 - u32::from(self.prefix_len);
        let is_inside = (address ^ self.prefix).checked_shr(behind).unwrap_or(0) == 0;
        let suffix_len = 32 - u32::from(self.common_len);
        let suffix = address.checked_shr(behind.saturating_sub(suffix_len)).unwrap_or(0);
        let mask = u32::MAX.checked_shr(u32::from(self.common_len)).unwrap_or(0);
        is_inside.then_some(self.common | low_half(suffix) & mask)
    }

    /// Whom packets out of the domain go to.
    pub(super) fn relays(&self) -> &[u32] {
        //= RFC 5969 §6: what is for outside of the domain goes to a border relay.
        &self.relays
    }

    /// Whether a packet can come from an outer address, or go there.
    #[inline]
    pub(super) fn may_be_peer(&self, remote: u32) -> bool {
        let is_common =
            (remote ^ self.common).checked_shr(32 - u32::from(self.common_len)).unwrap_or(0) == 0;
        is_common && self.may_be_customer(remote) || self.relays.contains(&remote)
    }

    /// Whether an address can be a customer's.
    pub(super) fn may_be_customer(&self, remote: u32) -> bool {
        //= RFC 3056 §9: an address that is not global unicast is no 6to4 router's.
        !is_martian(remote) && (!self.is_six_to_four() || !is_not_global(remote))
    }

    fn is_six_to_four(&self) -> bool {
        self.prefix == SIX_TO_FOUR && self.prefix_len == 16 && self.common_len == 0
    }

    /// Whether `remote` may send packets with an inner source; `is_own`: whether an IPv4 address is this node's.
    #[inline]
    pub(super) fn believes(&self, source: u128, remote: u32, is_own: impl Fn(u32) -> bool) -> bool {
        //= RFC 5969 §9.2: the source is of the customer that sent it; or it is of nobody in the domain, and a
        //= border relay sent it.
        match self.embedded(source) {
            Some(customer) => customer == remote && self.may_be_customer(customer),
            // For a 6to4 router with an address of ours nobody speaks.
            None => self.relays.contains(&remote) && !six_to_four(source).is_some_and(is_own),
        }
    }

    /// Judges the inner destination of a packet with a source that is believed. `is_local`: it is this node;
    /// `may_turn`: packets may go back into the tunnel.
    ///
    /// # Errors
    /// The drop counter.
    #[inline]
    pub(super) fn judge_destination(
        &self,
        (source, destination): (u128, u128),
        is_local: bool,
        may_turn: bool,
    ) -> Result<(), Counter> {
        let is_delegated =
            self.delegated.is_some_and(|(first, last)| (first..=last).contains(&destination));
        if !self.is_relay {
            return if is_delegated { Ok(()) } else { Err(Counter::IfRxInnerDstDenied) };
        }
        if is_delegated || is_local || may_turn || self.embedded(destination).is_none() {
            return Ok(());
        }
        //= RFC 6324 §3.3: what comes from the domain for the domain has no business at a relay: it would go
        //= round, from one customer's address to the next.
        match self.embedded(source) {
            Some(_) => Err(Counter::IfRxHairpin),
            // Another relay's, which is not for this one.
            None => Err(Counter::IfRxSpoofEmbedded),
        }
    }

    /// Whether DF is set whatever the path takes.
    #[inline]
    pub(super) fn always_sets_dont_fragment(&self) -> bool {
        //= RFC 5969 §9.1: a relay may have an anycast address, whose fragments another relay can't tell.
        self.is_relay
    }
}

/// The prefix of 6to4.
pub const SIX_TO_FOUR: u128 = 0x2002 << 112;

/// The IPv4 address in a 6to4 address (RFC 3056 §2); `None`: it is none.
#[inline]
pub fn six_to_four(address: u128) -> Option<u32> {
    ((address ^ SIX_TO_FOUR) >> 112 == 0).then_some(low_half(address >> 80))
}

/// The last 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the rest does not count")]
const fn low_half(bits: u128) -> u32 {
    bits as u32
}

/// Whether an IPv4 address is not globally unique, or that of the 6to4 relays that are no more (RFC 7526):
/// private nets, shared and link-local addresses, benchmarking.
pub(super) fn is_not_global(address: u32) -> bool {
    const NETS: [(u32, u32); 7] = [
        (0x0a00_0000, 8),
        (0x6440_0000, 10),
        (0xa9fe_0000, 16),
        (0xac10_0000, 12),
        (0xc0a8_0000, 16),
        (0xc612_0000, 15),
        (0xc058_6300, 24),
    ];
    NETS.into_iter().any(|(net, len)| (address ^ net) >> (32 - len) == 0)
}
