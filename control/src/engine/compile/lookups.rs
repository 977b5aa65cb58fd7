//! Under which outer addresses and labels tunnels are looked up.

use std::net::IpAddr;

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::Operation;
use adit_dataplane::tunnel::lookup::{Entry, Label, Pair};

use super::Compiler;
use super::shims::shim;
use super::tunnels::{protocols, reassembly_seconds};
use crate::config::{self, Family};

impl Compiler {
    /// The entries of a tunnel among those that are looked up by outer addresses.
    pub(super) fn lookups(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
    ) -> impl Iterator<Item = Operation> {
        self.lookup_keys(id, tunnel).map(LookupKey::add)
    }

    pub(super) fn lookup_keys<'t>(
        &self,
        id: TunnelId,
        tunnel: &'t config::Tunnel,
    ) -> impl Iterator<Item = LookupKey> + use<'t> {
        let link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        LookupKey::all_of(id, tunnel, link)
    }
}

/// Under which outer addresses and label a tunnel is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LookupKey {
    Ipv4(Entry<u32>),
    Ipv6(Entry<u128>),
}

impl LookupKey {
    /// One for each of the sources and peers of a tunnel, which is bound to `link`.
    pub(super) fn all_of(
        id: TunnelId,
        tunnel: &config::Tunnel,
        link: Option<PortId>,
    ) -> impl Iterator<Item = Self> {
        tunnel.ends().map(move |ends| Self::of(id, tunnel, link, ends))
    }

    fn of(
        id: TunnelId,
        tunnel: &config::Tunnel,
        link: Option<PortId>,
        (remote, local): (Option<IpAddr>, Option<IpAddr>),
    ) -> Self {
        let label = shim(tunnel).input_label();
        let (protocols, patience) = (protocols(tunnel), reassembly_seconds(tunnel));
        // Nobody asks for the latter of those that are found by their addresses alone.
        let patience = patience.filter(|_| label != Label::NONE);
        match tunnel.outer {
            Family::Ipv4 => {
                let number = |address: Option<IpAddr>| match address {
                    Some(IpAddr::V4(address)) => u32::from(address),
                    _ => 0,
                };
                let pair = Pair { local: number(local), remote: number(remote), label };
                Self::Ipv4(Entry { pair, protocols, link, tunnel: id, patience })
            }
            Family::Ipv6 => {
                let number = |address: Option<IpAddr>| match address {
                    Some(IpAddr::V6(address)) => u128::from(address),
                    _ => 0,
                };
                let pair = Pair { local: number(local), remote: number(remote), label };
                Self::Ipv6(Entry { pair, protocols, link, tunnel: id, patience })
            }
        }
    }

    pub(super) fn add(self) -> Operation {
        match self {
            Self::Ipv4(entry) => Operation::AddLookup4(entry),
            Self::Ipv6(entry) => Operation::AddLookup6(entry),
        }
    }

    pub(super) fn remove(self) -> Operation {
        match self {
            Self::Ipv4(entry) => Operation::RemoveLookup4(entry),
            Self::Ipv6(entry) => Operation::RemoveLookup6(entry),
        }
    }
}
