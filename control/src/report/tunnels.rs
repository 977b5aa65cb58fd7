//! Tunnels: between whom, whether they work and why not, what went through them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};
use super::units::bytes;

/// All tunnels, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tunnels {
    /// They.
    pub tunnels: Vec<Tunnel>,
}

/// Whether a tunnel carries packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelState {
    /// It does.
    Up,
    /// It does not, for the reason beside it.
    #[default]
    Down,
    /// It is switched off: `enabled: no`.
    Disabled,
}

/// Where the outer packets of a tunnel leave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Underlay {
    /// By this port; `None`: through another tunnel.
    pub port: Option<String>,
    /// Through this tunnel.
    pub tunnel: Option<String>,
    /// To this gateway or, where the remote is a neighbor itself, to the remote.
    pub next_hop: Option<String>,
}

/// One tunnel. Packets and bytes are inner ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tunnel {
    /// As the configuration names it.
    pub name: String,
    /// As the configuration says it.
    pub mode: String,
    /// The outer source.
    pub local: Option<String>,
    /// More of them, among which the inner flow chooses.
    pub more_locals: Vec<String>,
    /// The peer.
    pub remote: Option<String>,
    /// More of them: a frame goes to the one that its station is behind, or to all.
    pub more_remotes: Vec<String>,
    /// Whether it carries packets.
    pub state: TunnelState,
    /// Why it is not up.
    pub reason: Option<String>,
    /// The largest inner packet that needs no fragments.
    pub mtu: u16,
    /// How many MPLS labels it knows.
    pub labels: usize,
    /// The labels in front of IP packets that are routed into it, the outermost first.
    pub push: Vec<u32>,
    /// The tunnel's own addresses, with the prefix length of their net.
    pub addresses: Vec<String>,
    /// Where the outer packets leave; `None`: nowhere.
    pub underlay: Option<Underlay>,
    /// Packets decapsulated and accepted.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Packets dropped on decapsulation.
    pub rx_dropped: u64,
    /// Packets encapsulated and handed to the underlay.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Packets dropped on encapsulation.
    pub tx_dropped: u64,
    /// Free text of the configuration.
    pub comment: String,
}

impl Tunnel {
    /// With the labels in front of packets, as iproute2 writes them.
    fn mode_in_words(&self) -> String {
        if self.push.is_empty() {
            return self.mode.clone();
        }
        let labels: Vec<String> = self.push.iter().map(ToString::to_string).collect();
        format!("{} push {}", self.mode, labels.join("/"))
    }

    /// Of a pool the first address, and how many others there are.
    fn local_in_words(&self) -> String {
        first_of(self.local.as_deref(), self.more_locals.len())
    }

    /// The same of several peers.
    fn remote_in_words(&self) -> String {
        first_of(self.remote.as_deref(), self.more_remotes.len())
    }

    fn state_in_words(&self) -> String {
        let state = match self.state {
            TunnelState::Up => "up",
            TunnelState::Down => "down",
            TunnelState::Disabled => "disabled",
        };
        match &self.reason {
            Some(reason) => format!("{state}: {reason}"),
            None => state.to_owned(),
        }
    }
}

fn first_of(first: Option<&str>, others: usize) -> String {
    let first = first.unwrap_or_default();
    match others {
        0 => first.to_owned(),
        count => format!("{first} +{count}"),
    }
}

impl fmt::Display for Underlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match (&self.port, &self.tunnel) {
            (Some(port), _) => port.clone(),
            (None, Some(tunnel)) => format!("tunnel {tunnel}"),
            (None, None) => String::new(),
        };
        match &self.next_hop {
            Some(next_hop) if way.is_empty() => write!(f, "via {next_hop}"),
            Some(next_hop) => write!(f, "{way} via {next_hop}"),
            None => f.write_str(&way),
        }
    }
}

impl fmt::Display for Tunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tunnels.is_empty() {
            return writeln!(f, "no tunnels");
        }
        let mut table = Table::new(&[
            ("tunnel", Left),
            ("mode", Left),
            ("local", Left),
            ("remote", Left),
            ("mtu", Right),
            ("state", Left),
            ("rx packets", Right),
            ("rx bytes", Right),
            ("tx packets", Right),
            ("tx bytes", Right),
            ("dropped", Right),
            ("underlay", Left),
            ("comment", Left),
        ]);
        for tunnel in &self.tunnels {
            table.row([
                tunnel.name.clone(),
                tunnel.mode_in_words(),
                tunnel.local_in_words(),
                tunnel.remote_in_words(),
                tunnel.mtu.to_string(),
                tunnel.state_in_words(),
                tunnel.rx_packets.to_string(),
                bytes(tunnel.rx_bytes),
                tunnel.tx_packets.to_string(),
                bytes(tunnel.tx_bytes),
                (tunnel.rx_dropped + tunnel.tx_dropped).to_string(),
                tunnel.underlay.as_ref().map(ToString::to_string).unwrap_or_default(),
                tunnel.comment.clone(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_sources_shows_the_first_and_how_many_others_there_are() {
        let mut tunnel = Tunnel { local: Some("192.0.2.1".to_owned()), ..Tunnel::default() };
        assert_eq!(tunnel.local_in_words(), "192.0.2.1");
        tunnel.more_locals = vec!["192.0.2.2".to_owned(), "192.0.2.3".to_owned()];
        assert_eq!(tunnel.local_in_words(), "192.0.2.1 +2");
        let json = serde_json::to_value(&tunnel).unwrap();
        assert_eq!(json["more_locals"], serde_json::json!(["192.0.2.2", "192.0.2.3"]));
    }

    #[test]
    fn the_labels_in_front_of_packets_are_with_the_mode() {
        let tunnel =
            Tunnel { mode: "mplsip".to_owned(), push: vec![100, 200], ..Tunnel::default() };
        assert_eq!(tunnel.mode_in_words(), "mplsip push 100/200");
        assert_eq!(Tunnel { mode: "gre".to_owned(), ..Tunnel::default() }.mode_in_words(), "gre");
    }

    #[test]
    fn a_tunnel_that_is_down_says_why() {
        let tunnel = Tunnel {
            name: "paris".to_owned(),
            mode: "ipip".to_owned(),
            state: TunnelState::Down,
            reason: Some("no route to 203.0.113.2".to_owned()),
            rx_dropped: 2,
            tx_dropped: 3,
            ..Tunnel::default()
        };
        let underlay =
            Underlay { port: Some("wan".into()), next_hop: Some("a".into()), tunnel: None };
        assert_eq!(underlay.to_string(), "wan via a");
        let text = Tunnels { tunnels: vec![tunnel] }.to_string();
        assert!(text.contains("down: no route to 203.0.113.2"), "{text}");
        assert!(text.lines().nth(1).unwrap().contains("  5"), "{text}");
    }
}
