//! The sequence numbers of GRE tunnels: they stay with a tunnel, whatever else about it changes, until it is
//! disabled or has another peer or key.

use std::net::IpAddr;

use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::tunnel::sequence::Sequences;

use super::kept::Kept;
use crate::config::{Keys, ReceiveSequence, Tunnel};

/// Those of all tunnels that number their packets, or look at the numbers of others.
pub(in super::super) type SequenceNumbers = Kept<Flow, Sequences>;

/// Whose packets are numbered together: the peer's, of one key or session.
pub(in super::super) type Flow = (Option<IpAddr>, Option<Keys>, Option<u16>);

/// Whose numbers a tunnel has, if it has any.
pub(super) fn numbers_of(tunnel: &Tunnel) -> Option<Flow> {
    //= RFC 2890 §2.2: numbers order the packets of one flow, which its key tells from others between the same ends
    let session = tunnel.erspan().and_then(Version::session);
    has_numbers(tunnel).then(|| (tunnel.remote, tunnel.keys.as_deref().copied(), session))
}

fn has_numbers(tunnel: &Tunnel) -> bool {
    let settings = &tunnel.settings;
    let looks = settings.receive_sequence == ReceiveSequence::DropOld;
    let is_numbered = tunnel.mode.is_gre() && (settings.sequence || looks);
    tunnel.enabled && (is_numbered || tunnel.erspan().and_then(Version::session).is_some())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_dataplane::interface::TunnelId;

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
        numbers.keep(ID, numbers_of(before));
        let first = numbers.of(ID).cloned().expect("it numbers its packets");
        numbers.keep(ID, numbers_of(after));
        Arc::ptr_eq(&first, numbers.of(ID).expect("it numbers its packets"))
    }

    #[test]
    fn a_change_that_is_taken_back_leaves_the_numbers_as_they_were() {
        let (known, other) = (gre("203.0.113.2", ", key: 7"), gre("203.0.113.2", ", key: 8"));
        for change in [Some(&other), None] {
            let mut numbers = SequenceNumbers::default();
            numbers.keep(ID, numbers_of(&known));
            let first = numbers.of(ID).cloned().expect("it numbers its packets");
            let before = numbers.some([ID, TunnelId(4)].into_iter());
            numbers.keep(ID, change.and_then(numbers_of));
            numbers.put_back(before);
            numbers.keep(ID, numbers_of(&known));
            assert!(Arc::ptr_eq(&first, numbers.of(ID).expect("they are back")));
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
