//! Addresses of ports that begin or cease to be used, as duplicate address detection says: what it changes
//! in the tables.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::Operation;
use ipnet::IpNet;

use super::base::{limits, source_ipv6};
use super::{CompileError, Compiler};
use crate::config::Store;

/// An address of a port, and whether it is used from now on.
pub(in crate::engine) type Proof = (PortId, Ipv6Addr, bool);

impl Compiler {
    /// Whether an address is one that a port was given and that nobody may use.
    pub(super) fn is_unproved(&self, address: IpAddr) -> bool {
        let IpAddr::V6(address) = address else { return false };
        let range = (address, PortId(0))..=(address, PortId(u8::MAX));
        // A link-local address may be that of several ports, and is ours if one of them has it.
        !self.locals.contains_key(&address.into()) && self.unproved.range(range).next().is_some()
    }

    /// Follows what was found about addresses of ports. On an error, what it knows is of no use any
    /// more.
    pub(in crate::engine) fn prove(
        &mut self,
        store: &Store,
        proofs: &[Proof],
    ) -> Result<Vec<Operation>, CompileError> {
        let mut changed: BTreeSet<IpAddr> = BTreeSet::new();
        for &(port, address, is_usable) in proofs {
            let is_news = if is_usable {
                self.unproved.remove(&(address, port))
            } else {
                self.unproved.insert((address, port))
            };
            if is_news && self.count_local(address.into(), is_usable) {
                changed.insert(address.into());
            }
        }
        if changed.is_empty() {
            return Ok(std::mem::take(&mut self.operations));
        }
        for &address in &changed {
            self.refresh(store, IpNet::from(address))?;
        }
        self.refresh_sources(store);
        let mut dirty = BTreeSet::new();
        for (id, tunnel) in store.tunnels() {
            if tunnel.local.is_none() || tunnel.locals().any(|local| changed.contains(&local)) {
                dirty.insert(id);
            }
        }
        for &address in &changed {
            self.affected(store, address.into(), &mut dirty);
        }
        let renewed: Vec<TunnelId> = self.settle_tunnels(store, dirty)?;
        for id in renewed {
            if let (Some(tunnel), Some(info)) = (store.tunnel(id), self.info(id)) {
                let built = self.build_tunnel(store, id, tunnel, info)?;
                self.operations.push(Operation::Tunnel(id, built.into()));
            }
        }
        Ok(std::mem::take(&mut self.operations))
    }

    /// One more has an address, or one less. Whether it became ours, or ceased to be.
    fn count_local(&mut self, address: IpAddr, is_more: bool) -> bool {
        let count = self.locals.entry(address).or_default();
        let before = *count;
        *count = if is_more { before + 1 } else { before.saturating_sub(1) };
        let now = *count;
        if now == 0 {
            self.locals.remove(&address);
        }
        match (before, now) {
            (0, 1) => self.operations.push(Operation::AddLocal(address)),
            (1, 0) => self.operations.push(Operation::RemoveLocal(address)),
            _ => return false,
        }
        true
    }

    /// Errors come from addresses that are used.
    fn refresh_sources(&mut self, store: &Store) {
        let config = store.base();
        for ((id, port), table) in (0..).map(PortId).zip(&config.ports).zip(&mut self.ports) {
            table.source_ipv6 = source_ipv6(id, port, &self.unproved);
        }
        self.operations.push(Operation::Ports(self.ports.clone().into()));
        self.operations.push(Operation::Limits(limits(config, &self.unproved)));
    }
}
