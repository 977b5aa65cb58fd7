//! Between tunnels and ports: routes, TTL, sizes of ports, neighbors, pieces.

use std::net::IpAddr;

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::witness::{Header, Hop, LoopRule};
use serde_json::{Value, json};

use super::super::names::{Names, hop_kind, ttl_word};
use super::super::step::Told;
use super::frame::{header_values, header_words};

pub(super) fn route(destination: IpAddr, hop: Hop, names: Names<'_>) -> Told {
    let prefix = names.prefix(destination);
    let words = match (&prefix, hop) {
        (_, Hop::Local) => format!("{destination} is one of our own addresses"),
        (None, _) | (_, Hop::NoRoute) => format!("nothing leads to {destination}"),
        (Some(prefix), Hop::Group(_)) => {
            format!("{prefix} leads to one of: {}", names.members(destination).join(", "))
        }
        (Some(prefix), _) => format!("{prefix} leads {}", names.hop(hop)),
    };
    let mut values = hop_values(hop, names);
    values["destination"] = json!(destination);
    values["prefix"] = prefix.into();
    Told::new("route", "route", values, words)
}

pub(super) fn member(hop: Hop, names: Names<'_>) -> Told {
    let words = format!("of these, the hash of this flow takes the one {}", names.hop(hop));
    Told::new("next hop", "member", hop_values(hop, names), words)
}

/// A next hop as data.
pub(super) fn hop_values(hop: Hop, names: Names<'_>) -> Value {
    let mut values = json!({ "hop": hop_kind(hop) });
    match hop {
        Hop::OnLink(port) => values["port"] = names.port(port).into(),
        Hop::Via { port, address } => {
            values["port"] = names.port(port).into();
            values["via"] = json!(address);
        }
        Hop::Tunnel(tunnel) => values["tunnel"] = names.tunnel(tunnel).into(),
        _ => {}
    }
    values
}

pub(super) fn ttl_expired(ttl: u8, is_ipv4: bool) -> Told {
    let words = format!("{ttl}: it goes no further");
    Told::new(ttl_word(is_ipv4), "ttl_expired", json!({ "ttl": ttl }), words)
}

pub(super) fn ttl_lowered(ttl: u8, is_ipv4: bool) -> Told {
    let left = ttl.saturating_sub(1);
    let words = format!("{ttl}, and {left} from here on");
    Told::new(ttl_word(is_ipv4), "ttl", json!({ "was": ttl, "is": left }), words)
}

pub(super) fn port_size(port: PortId, mtu: u16, length: usize, names: Names<'_>) -> Told {
    let port = names.port(port);
    let words = if length <= usize::from(mtu) {
        format!("{length} bytes fit {port}, whose MTU is {mtu}")
    } else {
        format!("{length} bytes do not fit {port}, whose MTU is {mtu}")
    };
    Told::new("size", "port_size", json!({ "port": port, "mtu": mtu, "length": length }), words)
}

pub(super) fn tunnel_up(tunnel: TunnelId, is_up: bool, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let words = format!("{tunnel} is {}", if is_up { "up" } else { "down" });
    Told::new("state", "tunnel_state", json!({ "tunnel": tunnel, "up": is_up }), words)
}

pub(super) fn cut(mtu: u16, length: usize) -> Told {
    let words = format!("{length} bytes are cut into pieces of at most {mtu}");
    Told::new("fragments", "cut", json!({ "mtu": mtu, "length": length }), words)
}

pub(super) fn piece(header: &Header) -> Told {
    Told::new("piece", "piece", header_values(header), header_words(header))
}

pub(super) fn neighbor(port: PortId, address: IpAddr, macs: [u8; 12], names: Names<'_>) -> Told {
    let port = names.port(port);
    let mac = macs.first_chunk().map_or_else(MacAddress::default, |mac| MacAddress(*mac));
    let words = format!("{address} on {port} is {mac}");
    let values = json!({ "port": port, "address": address, "mac": mac.to_string() });
    Told::new("neighbor", "neighbor", values, words)
}

pub(super) fn resumed(is_answered: bool) -> Told {
    let words = if is_answered { "it has answered" } else { "it does not answer" };
    Told::new("neighbor", "resumed", json!({ "answered": is_answered }), words)
}

pub(super) fn turns(tunnel: TunnelId, rule: LoopRule, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let (word, words) = match rule {
        LoopRule::FromRemote => (
            "from-remote",
            format!("its source is the remote of {tunnel}, which would get it back"),
        ),
        LoopRule::SamePair => (
            "same-pair",
            format!("its addresses are the ends of {tunnel}: it is that tunnel's own"),
        ),
        LoopRule::EncapLimit => (
            "encap-limit",
            format!(
                "its encapsulation limit is 0: it may enter no tunnel over IPv6, so not {tunnel}"
            ),
        ),
        LoopRule::OwnInSource => (
            "own-in-source",
            format!(
                "an IPv4 address of this node is in its source: who gets it through {tunnel} would take that for \
                 this node's, and send it back"
            ),
        ),
        LoopRule::OwnInDestination => (
            "own-in-destination",
            format!(
                "an IPv4 address of this node is in its destination: out of {tunnel} another tunnel would bring it \
                 back here"
            ),
        ),
        LoopRule::SameTunnel => {
            ("same-tunnel", format!("the way to the remote of {tunnel} leads into {tunnel} itself"))
        }
        LoopRule::ToEncapsulator => (
            "to-encapsulator",
            format!("it is for the peer of {tunnel} that has just put it inside"),
        ),
        LoopRule::Hairpin => (
            "hairpin",
            format!("it came out of {tunnel}, and its way leads into {tunnel} again (hairpin: no)"),
        ),
    };
    Told::new("loop", "loop", json!({ "tunnel": tunnel, "rule": word }), words)
}
