//! What numbers of the packet path stand for: names of ports and tunnels, routes as they were written,
//! words for protocols and addresses.

use std::net::IpAddr;

use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::node::icmp_error::IcmpError;
use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::wire::protocol;
use adit_dataplane::witness::{Header, Hop};

use crate::config::{InnerSource, Tunnel};
use crate::engine::Controller;

/// Asks a controller.
#[derive(Clone, Copy)]
pub(super) struct Names<'a>(pub(super) &'a Controller);

impl Names<'_> {
    pub(super) fn port(self, port: PortId) -> String {
        let known = self.0.config().ports.get(port.index());
        known.map_or_else(|| format!("port {}", port.0), |port| port.name.to_string())
    }

    pub(super) fn tunnel(self, tunnel: TunnelId) -> String {
        let known = self.0.store().tunnel(tunnel);
        known.map_or_else(|| format!("tunnel {}", tunnel.0), |tunnel| tunnel.name.to_string())
    }

    /// The name of what a packet came in by or a loss is counted under, if it is either.
    pub(super) fn interface(self, interface: Interface) -> Option<String> {
        let port = interface.as_port().map(|port| self.port(port));
        port.or_else(|| interface.as_tunnel().map(|tunnel| self.tunnel(tunnel)))
    }

    /// The prefix that packets to an address follow, as the operator wrote it.
    pub(super) fn prefix(self, address: IpAddr) -> Option<String> {
        self.0.route_of(address).map(|(prefix, _)| prefix)
    }

    /// The next hops of the route to an address, as its line in the configuration has them.
    pub(super) fn members(self, address: IpAddr) -> Vec<String> {
        let route = self.0.route_of(address).and_then(|(_, route)| route);
        let hops = route.map(|route| route.next_hops).unwrap_or_default();
        hops.iter().map(ToString::to_string).collect()
    }

    /// Tunnels that have one of two ends, a few of them, and what their other end is: for who wonders
    /// why none has both.
    pub(super) fn tunnels_beside(self, local: IpAddr, remote: IpAddr) -> Vec<String> {
        const SHOWN: usize = 3;
        let beside = self.0.store().tunnels().filter_map(|(_, tunnel)| {
            let (has_local, has_remote) =
                (tunnel.local == Some(local), tunnel.peers().any(|peer| peer == remote));
            let other = if has_local { tunnel.peers().next() } else { tunnel.local };
            let end = if has_local { "remote" } else { "local" };
            (has_local || has_remote).then(|| match other {
                _ if has_local && has_remote => {
                    format!("{} has both, and wants another header", tunnel.name)
                }
                Some(other) => format!("{} has {end} {other}", tunnel.name),
                None => format!("{} has no {end}", tunnel.name),
            })
        });
        beside.take(SHOWN).collect()
    }

    /// Whether a tunnel's inner sources are listed in the configuration, rather than follow from routes.
    pub(super) fn lists_sources(self, tunnel: TunnelId) -> bool {
        let known = self.0.store().tunnel(tunnel);
        known.is_some_and(|tunnel| matches!(tunnel.settings.inner_source, InnerSource::Prefixes(_)))
    }

    /// The kind of a mirror session, and what its frames say of it.
    pub(super) fn session_kind(self, tunnel: TunnelId) -> String {
        match self.0.store().tunnel(tunnel).and_then(Tunnel::erspan) {
            None => String::new(),
            Some(Version::One) => ", ERSPAN type I".to_owned(),
            Some(Version::Two { session, index }) => {
                format!(", ERSPAN type II with session {session} and index {index}")
            }
            Some(Version::Three { session, hardware_id, .. }) => {
                format!(", ERSPAN type III with session {session} and hardware {hardware_id}")
            }
        }
    }

    /// Where a route leads.
    pub(super) fn hop(self, hop: Hop) -> String {
        match hop {
            Hop::NoRoute => "nowhere: there is no route".to_owned(),
            Hop::Local => "to this node".to_owned(),
            Hop::Unproved => {
                "to an address of ours that duplicate address detection has not passed".to_owned()
            }
            Hop::Broadcast => "to all hosts of a connected net".to_owned(),
            Hop::OnLink(port) => format!("to a host on the link of {}", self.port(port)),
            Hop::Via { port, address } => format!("via {address} on {}", self.port(port)),
            Hop::Tunnel(tunnel) => format!("into tunnel {}", self.tunnel(tunnel)),
            Hop::Group(_) => "to one of several, by flow".to_owned(),
            Hop::Blackhole => "into silence: it is a blackhole".to_owned(),
            Hop::Unreachable => "nowhere: it is unreachable".to_owned(),
            Hop::Prohibit => "nowhere: it is prohibited".to_owned(),
        }
    }
}

/// The kind of a next hop in JSON, in the words of the configuration.
pub(super) const fn hop_kind(hop: Hop) -> &'static str {
    match hop {
        Hop::NoRoute => "none",
        Hop::Local => "local",
        Hop::Unproved => "unproved",
        Hop::Broadcast => "broadcast",
        Hop::OnLink(_) => "connected",
        Hop::Via { .. } => "via",
        Hop::Tunnel(_) => "tunnel",
        Hop::Group(_) => "group",
        Hop::Blackhole => "blackhole",
        Hop::Unreachable => "unreachable",
        Hop::Prohibit => "prohibit",
    }
}

/// The name of an IP protocol.
pub(super) fn protocol_name(number: u8) -> String {
    let name = match number {
        protocol::ICMP => "ICMP",
        protocol::IPV4 => "IPv4",
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::IPV6 => "IPv6",
        protocol::GRE => "GRE",
        protocol::MINIMAL => "minimal encapsulation",
        protocol::ESP => "ESP",
        protocol::ICMPV6 => "ICMPv6",
        protocol::MPLS => "MPLS",
        protocol::ETHERNET => "Ethernet",
        other => return format!("protocol {other}"),
    };
    name.to_owned()
}

/// "IPv4" or "IPv6".
pub(super) const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// "TTL" or "hop limit".
pub(super) const fn ttl_word(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "TTL" } else { "hop limit" }
}

/// What a packet carries, with ports, or type and code.
pub(super) fn payload(header: &Header) -> String {
    let name = protocol_name(header.protocol);
    if let Some(gre) = header.gre {
        let key = gre.key.map_or_else(String::new, |key| format!(" key {key}"));
        let sequence = gre.sequence.map_or_else(String::new, |number| format!(" number {number}"));
        return format!("{name}{key}{sequence}");
    }
    match (header.protocol, header.upper) {
        (protocol::TCP | protocol::UDP, Some((from, to))) => format!("{name} {from} > {to}"),
        (protocol::ICMP | protocol::ICMPV6, Some((kind, code))) => {
            let words = icmp_words(header.protocol == protocol::ICMP, kind, code);
            words.map_or_else(|| format!("{name} {kind}/{code}"), |words| format!("{name} {words}"))
        }
        _ => name,
    }
}

fn icmp_words(is_ipv4: bool, kind: u16, code: u16) -> Option<&'static str> {
    Some(match (is_ipv4, kind, code) {
        (true, 8, _) | (false, 128, _) => "echo request",
        (true, 0, _) | (false, 129, _) => "echo reply",
        (true, 3, 4) => "fragmentation needed",
        (false, 2, _) => "packet too big",
        (true, 3, _) | (false, 1, _) => "unreachable",
        (true, 11, _) | (false, 3, _) => "time exceeded",
        (true, 12, _) | (false, 4, _) => "parameter problem",
        (false, 133, _) => "router solicitation",
        (false, 134, _) => "router advertisement",
        (false, 135, _) => "neighbor solicitation",
        (false, 136, _) => "neighbor advertisement",
        _ => return None,
    })
}

/// An error of ours, in words.
pub(super) fn error_words(error: IcmpError) -> String {
    match error {
        IcmpError::TimeExceeded => "time exceeded".to_owned(),
        IcmpError::ReassemblyTimeExceeded => "reassembly time exceeded".to_owned(),
        IcmpError::NoRoute => "no route".to_owned(),
        IcmpError::Prohibited => "prohibited".to_owned(),
        IcmpError::HostUnreachable => "host unreachable".to_owned(),
        IcmpError::ProtocolUnreachable => "protocol unreachable".to_owned(),
        IcmpError::PortUnreachable => "port unreachable".to_owned(),
        IcmpError::TooBig { mtu } => format!("too big, the MTU is {mtu}"),
        IcmpError::EncapLimit { pointer } => {
            format!("encapsulation limit used up, at byte {pointer}")
        }
        IcmpError::ParameterProblem { pointer, .. } => {
            format!("parameter problem, at byte {pointer}")
        }
    }
}

/// The two bits of explicit congestion notification.
pub(super) const fn ecn_word(tos: u8) -> &'static str {
    match tos & 3 {
        0 => "Not-ECT",
        1 => "ECT(1)",
        2 => "ECT(0)",
        _ => "CE",
    }
}
