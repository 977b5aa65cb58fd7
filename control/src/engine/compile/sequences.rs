//! The sequence numbers of GRE tunnels: they stay with a tunnel, whatever else about it changes, until it is
//! disabled or has another peer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tunnel::sequence::Sequences;

use crate::config::{ReceiveSequence, Tunnel};

/// Those of all tunnels that number their packets, or look at the numbers of others.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct SequenceNumbers(HashMap<TunnelId, Numbered>);

#[derive(Debug, Clone)]
struct Numbered {
    peer: Option<IpAddr>,
    sequences: Arc<Sequences>,
}

impl SequenceNumbers {
    /// A tunnel is there, or not any more, or is not what it was.
    pub(super) fn keep(&mut self, id: TunnelId, tunnel: Option<&Tunnel>) {
        let Some(tunnel) = tunnel.filter(|tunnel| has_numbers(tunnel)) else {
            self.0.remove(&id);
            return;
        };
        let peer = tunnel.remote;
        let known = self.0.get(&id);
        if known.is_none_or(|known| known.peer != peer) {
            self.0.insert(id, Numbered { peer, sequences: Arc::default() });
        }
    }

    /// Those of a tunnel.
    pub(super) fn of(&self, id: TunnelId) -> Option<Arc<Sequences>> {
        self.0.get(&id).map(|numbered| Arc::clone(&numbered.sequences))
    }
}

fn has_numbers(tunnel: &Tunnel) -> bool {
    let settings = &tunnel.settings;
    let looks = settings.receive_sequence == ReceiveSequence::DropOld;
    tunnel.enabled && tunnel.mode.is_gre() && (settings.sequence || looks)
}
