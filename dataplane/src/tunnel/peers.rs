//! Tunnels without a remote, whose packets say themselves whom they go to: the one list of how peers are found,
//! and what the packet path asks of each.

mod gateways;
pub mod isatap;
pub mod six_rd;

use core::net::{IpAddr, Ipv6Addr};

use ipnet::Ipv6Net;

use crate::counters::Counter;
use crate::interface::PortId;
use gateways::Gateways;
use isatap::Isatap;
use six_rd::SixRd;

/// How a tunnel finds its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    kind: Kind,
    gateways: Gateways,
    /// The only port that outer packets leave by.
    pub link: Option<PortId>,
}

/// By what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By the prefixes of a 6rd domain.
    SixRd(SixRd),
    /// By interface identifiers.
    Isatap(Isatap),
}

/// An IPv4 address in an IPv6 address, by the format that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// 6to4.
    SixToFour(u32),
    /// The interface identifier of ISATAP.
    Isatap(u32),
}

impl Peers {
    /// With routes through the tunnel: to each prefix the IPv6 address of a peer that is its next hop, or none.
    pub fn new(
        kind: Kind,
        routes: impl IntoIterator<Item = (Ipv6Net, Option<Ipv6Addr>)>,
        link: Option<PortId>,
    ) -> Self {
        let routes = routes.into_iter().map(|(net, hop)| {
            (net, hop.and_then(|hop| kind.embedded(hop.into())).filter(|&peer| kind.is_host(peer)))
        });
        let gateways = Gateways::new(routes.collect());
        Self { kind, gateways, link }
    }

    /// The IPv4 address in an IPv6 address that can be a peer's; `None`: it is not on the tunnel's link.
    #[inline]
    pub fn embedded(&self, address: u128) -> Option<u32> {
        self.kind.embedded(address)
    }

    /// Whom a packet to `destination` is sent to; `None`: to nobody. `hash` is that of its flow.
    #[inline]
    pub fn remote_of(&self, destination: u128, hash: impl FnOnce() -> u64) -> Option<u32> {
        if destination >> 120 == 0xff {
            // Nobody can be told apart in a group.
            return None;
        }
        if self.kind.is_on_link(destination) {
            return self.kind.embedded(destination).filter(|&peer| self.kind.is_host(peer));
        }
        if let Some(gateway) = self.gateways.towards(destination) {
            return Some(gateway);
        }
        let routers = self.kind.routers();
        let share = (u128::from(hash_of(routers, hash)) * routers.len() as u128) >> 64;
        usize::try_from(share).ok().and_then(|at| routers.get(at)).copied()
    }

    /// Whether a packet can come from an outer address, or go there.
    #[inline]
    pub fn may_be_peer(&self, remote: u32) -> bool {
        match &self.kind {
            Kind::SixRd(domain) => domain.may_be_peer(remote),
            Kind::Isatap(_) => self.kind.is_host(remote),
        }
    }

    /// Whether a packet to `destination` may have been sent to `remote`.
    pub fn sends_to(&self, destination: IpAddr, remote: u32) -> bool {
        let IpAddr::V6(destination) = destination else { return false };
        let destination = u128::from(destination);
        if self.kind.is_on_link(destination) {
            return self.kind.embedded(destination) == Some(remote);
        }
        match self.gateways.towards(destination) {
            Some(gateway) => gateway == remote,
            None => self.kind.routers().contains(&remote),
        }
    }

    /// Judges the inner source of a packet that came from `remote`; `is_own`: whether an IPv4 address is this node's.
    ///
    /// # Errors
    /// The drop counter.
    #[inline]
    pub fn judge_source(
        &self,
        source: u128,
        remote: u32,
        is_own: impl Fn(u32) -> bool,
    ) -> Result<(), Counter> {
        let is_believed = match &self.kind {
            Kind::SixRd(domain) => domain.believes(source, remote, is_own),
            Kind::Isatap(link) => link.believes(source, remote, is_own),
        };
        if is_believed { Ok(()) } else { Err(Counter::IfRxSpoofEmbedded) }
    }

    /// The IPv4 address of the tunnel router that an IPv6 address outside of the tunnel's link leads to, in whatever
    /// kind of tunnel; `None`: it names none.
    #[inline]
    pub fn router_named_by(&self, address: u128) -> Option<Named> {
        if let Some(router) = six_rd::six_to_four(address) {
            return Some(Named::SixToFour(router));
        }
        let router = isatap::embedded(address.into())?;
        (!self.kind.is_on_link(address)).then_some(Named::Isatap(router))
    }

    /// Judges the inner destination of a packet with a source that is believed. `is_local`: it is this node;
    /// `may_turn`: packets may go back into the tunnel.
    ///
    /// # Errors
    /// The drop counter.
    #[inline]
    pub fn judge_destination(
        &self,
        ends: (u128, u128),
        is_local: bool,
        may_turn: bool,
    ) -> Result<(), Counter> {
        match &self.kind {
            Kind::SixRd(domain) => domain.judge_destination(ends, is_local, may_turn),
            Kind::Isatap(_) => Ok(()),
        }
    }

    /// Whether DF is set whatever the path takes.
    #[inline]
    pub fn always_set_dont_fragment(&self) -> bool {
        matches!(&self.kind, Kind::SixRd(domain) if domain.always_sets_dont_fragment())
    }
}

/// A hash where there is something to choose.
fn hash_of(routers: &[u32], hash: impl FnOnce() -> u64) -> u64 {
    if routers.len() > 1 { hash() } else { 0 }
}

impl Kind {
    fn embedded(&self, address: u128) -> Option<u32> {
        match self {
            Self::SixRd(domain) => domain.embedded(address),
            Self::Isatap(link) => link.embedded(address),
        }
    }

    /// Whether an address is its own next hop.
    fn is_on_link(&self, address: u128) -> bool {
        match self {
            Self::SixRd(domain) => domain.embedded(address).is_some(),
            Self::Isatap(link) => link.is_on_link(address),
        }
    }

    /// Who takes what is for elsewhere.
    fn routers(&self) -> &[u32] {
        match self {
            Self::SixRd(domain) => domain.relays(),
            Self::Isatap(link) => link.routers(),
        }
    }

    /// Whether an outer address can be a host's.
    fn is_host(&self, address: u32) -> bool {
        match self {
            Self::SixRd(domain) => domain.may_be_customer(address),
            Self::Isatap(_) => !crate::wire::ipv4::is_martian(address),
        }
    }
}
