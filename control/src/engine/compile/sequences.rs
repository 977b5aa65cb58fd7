//! The sequence numbers of GRE tunnels: they stay with a tunnel, whatever else about it changes, until it is
//! disabled or has another peer or key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::tunnel::sequence::Sequences;

use crate::config::{Keys, ReceiveSequence, Tunnel};

/// Those of all tunnels that number their packets, or look at the numbers of others.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct SequenceNumbers(HashMap<TunnelId, Numbered>);

#[derive(Debug, Clone)]
struct Numbered {
    flow: Flow,
    sequences: Arc<Sequences>,
}

/// Whose packets are numbered together: the peer's, of one key or session.
type Flow = (Option<IpAddr>, Option<Keys>, Option<u16>);

impl SequenceNumbers {
    /// A tunnel is there, or not any more, or is not what it was.
    pub(super) fn keep(&mut self, id: TunnelId, tunnel: Option<&Tunnel>) {
        let Some(tunnel) = tunnel.filter(|tunnel| has_numbers(tunnel)) else {
            self.0.remove(&id);
            return;
        };
        //= RFC 2890 §2.2: numbers order the packets of one flow, which its key tells from others between the same ends
        let session = tunnel.erspan().and_then(Version::session);
        let flow = (tunnel.remote, tunnel.keys.as_deref().copied(), session);
        let known = self.0.get(&id);
        if known.is_none_or(|known| known.flow != flow) {
            self.0.insert(id, Numbered { flow, sequences: Arc::default() });
        }
    }

    /// Forgets those of tunnels that are not there any more, so that nobody else begins with them.
    pub(super) fn retain(&mut self, is_there: impl Fn(TunnelId) -> bool) {
        self.0.retain(|&id, _| is_there(id));
    }

    /// Those of some tunnels, for [`put_back`](Self::put_back).
    pub(in super::super) fn some(&self, ids: impl Iterator<Item = TunnelId>) -> Self {
        Self(ids.filter_map(|id| Some((id, self.0.get(&id)?.clone()))).collect())
    }

    /// Has those of tunnels that were `known` be theirs again.
    pub(in super::super) fn put_back(&mut self, known: Self) {
        self.0.extend(known.0);
    }

    /// Those of a tunnel.
    pub(super) fn of(&self, id: TunnelId) -> Option<Arc<Sequences>> {
        self.0.get(&id).map(|numbered| Arc::clone(&numbered.sequences))
    }
}

fn has_numbers(tunnel: &Tunnel) -> bool {
    let settings = &tunnel.settings;
    let looks = settings.receive_sequence == ReceiveSequence::DropOld;
    let is_numbered = tunnel.mode.is_gre() && (settings.sequence || looks);
    tunnel.enabled && (is_numbered || tunnel.erspan().and_then(Version::session).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Purpose, load_str};

    const ID: TunnelId = TunnelId(3);

    fn gre(remote: &str, keys: &str) -> Tunnel {
        let text = format!(
            "version: 1
ports: {{ wan: {{ device: net_null0, addresses: [198.51.100.1/24] }} }}
tunnels: {{ g0: {{ mode: gre, local: 198.51.100.1, remote: {remote}, sequence: yes{keys} }} }}
routes: [{{ to: default, via: 198.51.100.254 }}]
"
        );
        let loaded = load_str("adit.yaml", &text, Purpose::Run).expect("it is right");
        loaded.config.tunnels[0].clone()
    }

    /// Whether the numbers are the same ones after the tunnel has become another.
    fn keeps(before: &Tunnel, after: &Tunnel) -> bool {
        let mut numbers = SequenceNumbers::default();
        numbers.keep(ID, Some(before));
        let first = numbers.of(ID).expect("it numbers its packets");
        numbers.keep(ID, Some(after));
        Arc::ptr_eq(&first, &numbers.of(ID).expect("it numbers its packets"))
    }

    #[test]
    fn a_change_that_is_taken_back_leaves_the_numbers_as_they_were() {
        let (known, other) = (gre("203.0.113.2", ", key: 7"), gre("203.0.113.2", ", key: 8"));
        for change in [Some(&other), None] {
            let mut numbers = SequenceNumbers::default();
            numbers.keep(ID, Some(&known));
            let first = numbers.of(ID).expect("it numbers its packets");
            let before = numbers.some([ID, TunnelId(4)].into_iter());
            numbers.keep(ID, change);
            numbers.put_back(before);
            numbers.keep(ID, Some(&known));
            assert!(Arc::ptr_eq(&first, &numbers.of(ID).expect("they are back")));
            assert!(numbers.of(TunnelId(4)).is_none());
        }
    }

    #[test]
    fn numbers_begin_anew_with_another_peer_or_key_and_with_nothing_else() {
        let known = gre("203.0.113.2", ", key: 7");
        assert!(keeps(&known, &gre("203.0.113.2", ", key: 7, ttl: 33, checksum: yes")));
        assert!(!keeps(&known, &gre("203.0.113.3", ", key: 7")));
        assert!(!keeps(&known, &gre("203.0.113.2", ", key: 8")));
        assert!(!keeps(&known, &gre("203.0.113.2", "")));
        assert!(!keeps(&known, &gre("203.0.113.2", ", keys: { input: 7, output: 8 }")));
    }
}
