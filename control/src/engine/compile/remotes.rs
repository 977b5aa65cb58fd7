//! Tunnels with several remotes: the way to each, and where the stations are that are heard.

use std::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tunnel::remotes::{Remote, Remotes};
use adit_dataplane::tunnel::stations::Stations;

use super::kept::Kept;
use super::{Compiler, TunnelInfo};
use crate::config::{self, Name};

/// The stations of tunnels that learn.
pub(in super::super) type LearntStations = Kept<Segment, Stations>;

/// What stations are learnt of: the network, its local address and port, and the remotes, by whose numbers stations are
/// kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Segment {
    id: u32,
    udp_port: u16,
    local: Option<IpAddr>,
    attach: Option<Name>,
    remotes: Box<[IpAddr]>,
}

/// What a tunnel's stations are learnt for, if they are.
pub(super) fn learns_for(tunnel: &config::Tunnel) -> Option<Segment> {
    let remotes = tunnel.remotes.as_deref().filter(|remotes| remotes.learns)?;
    let overlay = tunnel.overlay.as_deref().filter(|_| tunnel.enabled)?;
    Some(Segment {
        id: overlay.id,
        udp_port: overlay.port,
        local: tunnel.local,
        attach: tunnel.attached_to().map(Name::clone),
        remotes: remotes.all.clone(),
    })
}

impl Compiler {
    /// The stations that a tunnel has heard, if it learns.
    pub(in super::super) fn stations(&self, id: TunnelId) -> Option<&Stations> {
        self.stations.of(id).map(|stations| &**stations)
    }

    /// The remotes of a tunnel, if it has several.
    pub(super) fn remotes(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
        info: &TunnelInfo,
    ) -> Option<Remotes> {
        let remotes = tunnel.remotes.as_deref()?;
        let all = remotes.all.iter().zip(&info.more_paths);
        let all = all.map(|(&address, &path)| Remote { address, path });
        let learnt = self.stations.of(id).map(Arc::clone);
        let mut remotes = Remotes::new(all, remotes.fixed.iter().copied(), learnt);
        remotes.link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        Some(remotes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Purpose, load_str};

    fn tunnel(id: u32, keys: &str) -> config::Tunnel {
        let text = format!(
            "version: 1
ports:
  wan: {{ device: net_null0, addresses: [198.51.100.1/24, 198.51.100.2/24] }}
  one: {{ device: net_null1 }}
  two: {{ device: net_null2 }}
tunnels: {{ e0: {{ mode: vxlan, id: {id}, mac-learning: yes, {keys} }} }}
routes: [{{ to: default, via: 198.51.100.254 }}]
"
        );
        let loaded = load_str("adit.yaml", &text, Purpose::Run).expect("it is right");
        loaded.config.tunnels[0].clone()
    }

    #[test]
    fn stations_are_those_of_one_network_and_its_remotes() {
        const KEYS: &str = "local: 198.51.100.1, attach: one, remotes: [203.0.113.2, 203.0.113.3]";
        let known = learns_for(&tunnel(42, KEYS));
        assert!(known.is_some());
        assert_eq!(known, learns_for(&tunnel(42, &format!("{KEYS}, ttl: 9, vlan-tags: yes"))));
        assert_ne!(known, learns_for(&tunnel(43, KEYS)));
        for (before, after) in [
            ("198.51.100.1", "198.51.100.2"),
            ("attach: one", "attach: two"),
            ("203.0.113.3]", "203.0.113.3, 203.0.113.4]"),
            ("attach", "port: 8472, attach"),
        ] {
            assert_ne!(known, learns_for(&tunnel(42, &KEYS.replace(before, after))), "{after}");
        }
        assert_eq!(learns_for(&tunnel(42, &format!("{KEYS}, enabled: no"))), None);
    }
}
