//! Addresses of ports that duplicate address detection lets us use, or takes from us: the tables follow, and
//! people are told.

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::tables::Operation;

use super::Controller;
use super::compile::{self, Unproved};
use crate::neighbor::{AddressState, PortSetup};
use crate::report;

impl Controller {
    /// What the neighbors need to know of the ports.
    pub(super) fn neighbor_ports(&self) -> Vec<PortSetup> {
        let mut ports = compile::neighbor_ports(self.store.base(), &self.ports);
        if self.is_settled {
            for port in &mut ports {
                port.proves_addresses = false;
            }
        }
        ports
    }

    /// The addresses that can't be used with the configuration as it is.
    pub(super) fn unproved(&self) -> Unproved {
        let unproved = self.neighbors.unproved(&self.neighbor_ports());
        unproved.into_iter().map(|(port, address)| (address, port)).collect()
    }

    /// Makes the tables agree with what was found about addresses, as soon as they can be changed.
    /// Returns whether there was something to do.
    pub(super) fn follow_addresses(&mut self, now: Nanos) -> bool {
        if self.proofs.is_empty() || !self.can_change() {
            return false;
        }
        let proofs = std::mem::take(&mut self.proofs);
        let mut operations: Vec<Operation> = std::mem::take(&mut self.pending);
        let made = self.compiler.prove(&self.store, &proofs).and_then(|made| {
            operations.extend(made);
            Ok(self.pair.change(operations)?)
        });
        match made {
            Ok(()) => {
                self.follow_next_hops(now);
                self.publish();
            }
            Err(error) => {
                tracing::error!("addresses of ports could not be put in force: {error}");
                // Where it ended can't be told: from what was right before, as a whole.
                if let Err(error) = self.rebuild(now) {
                    tracing::error!("nor could all tables be made anew: {error}");
                }
            }
        }
        true
    }

    /// Whether addresses that the configuration names are still being asked for.
    pub fn is_proving_addresses(&self) -> bool {
        self.neighbors.is_proving() || !self.proofs.is_empty()
    }

    /// The addresses of a port that are not used.
    pub(super) fn unused_addresses(&self, port: PortId) -> Vec<report::UnusedAddress> {
        let unused = self.neighbors.own(port).filter(|(_, state)| *state != AddressState::Usable);
        let told = unused.map(|(address, state)| report::UnusedAddress {
            address: address.to_string(),
            state: state.name().to_owned(),
        });
        told.collect()
    }
}
