//! MPLS labels: from names and addresses to the numbers of tunnels and neighbors.

use std::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::Operation;
use adit_dataplane::tables::labels::{LabelAction, LabelHop, LabelTable};
use adit_dataplane::tunnel::mpls::Mpls;

use super::{CompileError, Compiler};
use crate::config::{self, LabelEntry, Pop, Store, Touched, Via};

impl Compiler {
    /// What a tunnel does with labels.
    pub(super) fn mpls(&self, store: &Store, tunnel: &config::Tunnel) -> Mpls {
        let Some(labels) = tunnel.labels.as_deref() else { return Mpls::default() };
        let has_any = !labels.arriving.is_empty();
        Mpls {
            labels: has_any.then(|| Arc::new(self.label_table(store, &labels.arriving))),
            push: labels.push,
        }
    }

    fn label_table(&self, store: &Store, entries: &[LabelEntry]) -> LabelTable {
        let action = |entry: &LabelEntry| match &entry.action {
            config::LabelAction::Pop(Pop::Ip) => LabelAction::PopIp,
            config::LabelAction::Pop(Pop::Label) => LabelAction::PopLabel,
            config::LabelAction::Swap { labels, to } => {
                LabelAction::Swap(*labels, self.label_hop(store, to))
            }
        };
        entries.iter().map(|entry| (entry.label, action(entry))).collect()
    }

    fn label_hop(&self, store: &Store, to: &Via) -> LabelHop {
        let hop = match to {
            Via::Tunnel(name) => store.tunnel_id(name).map(LabelHop::Tunnel),
            Via::Gateway { address, port } => {
                let port = self.port_id(port);
                let id = port.and_then(|port| self.adjacencies.get(port, *address));
                id.map(LabelHop::Host)
            }
            Via::Peer { .. } => None,
        };
        hop.unwrap_or(LabelHop::Nowhere)
    }

    /// The labels of each port that takes MPLS.
    pub(super) fn port_labels(&self, store: &Store) -> Vec<Operation> {
        let numbered = (0..).map(PortId).zip(&store.base().ports);
        let labelled = numbered.filter_map(|(id, port)| Some((id, port.labels.as_deref()?)));
        labelled
            .map(|(id, entries)| {
                Operation::PortLabels(id, Some(Arc::new(self.label_table(store, entries))))
            })
            .collect()
    }

    /// The same after a change, as far as they lead into tunnels that are not what they were.
    pub(super) fn renewed_port_labels(&self, store: &Store, touched: &Touched) -> Vec<Operation> {
        let names = || touched_names(store, touched);
        let leads_there = |port: &config::Port| {
            let vias = port.labels.iter().flatten().filter_map(|entry| entry.action.via());
            vias.into_iter().any(|via| match via {
                Via::Tunnel(name) => names().any(|touched| touched == &**name),
                Via::Gateway { .. } | Via::Peer { .. } => false,
            })
        };
        if touched.tunnels.is_empty() || !store.base().ports.iter().any(leads_there) {
            return Vec::new();
        }
        self.port_labels(store)
    }

    /// The neighbors that ports send labelled packets to have numbers from now on.
    pub(super) fn hold_gateways_of_ports(&mut self, store: &Store) -> Result<(), CompileError> {
        for port in &store.base().ports {
            self.hold_gateways_of_labels(port.labels.as_deref().unwrap_or(&[]))?;
        }
        Ok(())
    }

    /// The same for those that labels of a tunnel lead to.
    pub(super) fn hold_gateways_of_labels(
        &mut self,
        entries: &[LabelEntry],
    ) -> Result<(), CompileError> {
        for (port, address) in self.gateways_of_labels(entries) {
            self.adjacencies.hold(port, address, &mut self.operations)?;
        }
        Ok(())
    }

    /// They are not needed any more.
    pub(super) fn release_gateways_of_labels(&mut self, entries: &[LabelEntry]) {
        for (port, address) in self.gateways_of_labels(entries) {
            self.adjacencies.release(port, address, &mut self.operations);
        }
    }

    fn gateways_of_labels(&self, entries: &[LabelEntry]) -> Vec<(PortId, IpAddr)> {
        let vias = entries.iter().filter_map(|entry| entry.action.via());
        let gateways = vias.filter_map(|via| match via {
            Via::Gateway { address, port } => Some((self.port_id(port)?, *address)),
            Via::Tunnel(_) | Via::Peer { .. } => None,
        });
        gateways.collect()
    }
}

/// The labels that may arrive through a tunnel.
pub(super) fn arriving(tunnel: &config::Tunnel) -> &[LabelEntry] {
    tunnel.labels.as_deref().map_or(&[], |labels| &labels.arriving)
}

/// Tunnels whose labels lead into one that is not what it was: its number may be another.
pub(super) fn lead_into_touched<'s>(
    store: &'s Store,
    touched: &'s Touched,
) -> impl Iterator<Item = TunnelId> {
    touched_names(store, touched).flat_map(|name| store.labelled_into(name))
}

fn touched_names<'s>(store: &'s Store, touched: &'s Touched) -> impl Iterator<Item = &'s str> {
    touched.tunnels.iter().flat_map(|(&id, before)| {
        let both = [before.as_ref(), store.tunnel(id)];
        both.into_iter().flatten().map(|tunnel| &*tunnel.name)
    })
}
