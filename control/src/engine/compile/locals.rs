//! The addresses that tunnels make ours.

use std::collections::BTreeSet;
use std::net::IpAddr;

use adit_dataplane::tables::Operation;
use ipnet::IpNet;

use super::{Compiler, tunnels};
use crate::config::Tunnel;

impl Compiler {
    /// Makes the addresses of a tunnel ours; returns those that were not before, as destinations.
    pub(super) fn add_locals(&mut self, tunnel: &Tunnel) -> Vec<IpNet> {
        let mut new = Vec::new();
        for address in addresses_of(tunnel) {
            let count = self.locals.entry(address).or_default();
            *count += 1;
            if *count == 1 {
                self.operations.push(Operation::AddLocal(address));
                new.push(IpNet::from(address));
            }
        }
        new
    }

    /// The opposite.
    pub(super) fn remove_locals(&mut self, tunnel: &Tunnel) -> Vec<IpNet> {
        let mut gone = Vec::new();
        for address in addresses_of(tunnel) {
            let Some(count) = self.locals.get_mut(&address) else { continue };
            *count -= 1;
            if *count == 0 {
                self.locals.remove(&address);
                self.operations.push(Operation::RemoveLocal(address));
                gone.push(IpNet::from(address));
            }
        }
        gone
    }
}

/// Every address that a tunnel makes ours.
fn addresses_of(tunnel: &Tunnel) -> impl Iterator<Item = IpAddr> {
    let link_local = tunnels::link_local(tunnel).map(IpAddr::V6);
    let own: BTreeSet<IpAddr> =
        tunnel.addresses.iter().map(IpNet::addr).chain(link_local).collect();
    own.into_iter()
}
