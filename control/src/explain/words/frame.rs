//! A frame that arrives: whom it is for, and what is in it.

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::wire::ethernet::{MacAddress, ether_type};
use adit_dataplane::wire::{ipv4, protocol};
use adit_dataplane::witness::{Fault, Header};
use serde_json::{Value, json};

use super::super::names::{Names, family, payload, protocol_name, ttl_word};
use super::super::spoken;
use super::super::step::Told;

pub(super) fn received(port: PortId, length: usize, names: Names<'_>) -> Told {
    let port = names.port(port);
    let words = format!("on {port}, {length} bytes");
    Told::new("received", "received", json!({ "port": port, "length": length }), words)
}

/// A frame of the control thread.
pub(super) fn told(port: PortId, frame: &[u8], names: Names<'_>) -> Told {
    let port = names.port(port);
    let said = spoken::read(frame).map_or_else(|| "a frame".to_owned(), |said| said.to_string());
    let words = format!("on {port}: {said}");
    Told::new("neighbors", "told", json!({ "port": port, "length": frame.len() }), words)
}

fn kind_words(kind: u16) -> String {
    match kind {
        ether_type::IPV4 => "IPv4".to_owned(),
        ether_type::IPV6 => "IPv6".to_owned(),
        ether_type::ARP => "ARP".to_owned(),
        ether_type::VLAN | ether_type::SERVICE_VLAN => "a VLAN tag".to_owned(),
        ether_type::MPLS => "MPLS".to_owned(),
        other => format!("type {other:#06x}"),
    }
}

/// A frame of a port that is no station.
pub(super) fn attached(port: PortId, tunnel: TunnelId, names: Names<'_>) -> Told {
    let (port, tunnel) = (names.port(port), names.tunnel(tunnel));
    let words = format!("{port} is attached to {tunnel}: all of its frames go there");
    Told::new("attached", "attached", json!({ "port": port, "tunnel": tunnel }), words)
}

/// A frame that came out of a tunnel.
pub(super) fn unwrapped(
    port: PortId,
    [destination, source]: [MacAddress; 2],
    kind: u16,
    names: Names<'_>,
) -> Told {
    let port = names.port(port);
    let carried = kind_words(kind);
    let words = format!("a frame {source} > {destination}, {carried}; it leaves by {port}");
    let values = json!({
        "destination": destination.to_string(), "source": source.to_string(), "ethertype": kind, "port": port,
    });
    Told::new("inside", "unwrapped", values, words)
}

pub(super) fn ethernet(destination: MacAddress, ours: MacAddress, kind: u16) -> Told {
    let carried = kind_words(kind);
    let words = if destination == ours {
        format!("for this port, {carried}")
    } else if destination.is_group() {
        format!("for the group {destination}, {carried}")
    } else {
        format!("for another station, {destination}; this port is {ours}")
    };
    let values = json!({
        "destination": destination.to_string(), "ours": ours.to_string(), "ethertype": kind,
    });
    Told::new("frame", "frame", values, words)
}

pub(super) fn packet(header: &Header) -> Told {
    Told::new("packet", "packet", header_values(header), header_words(header))
}

pub(super) fn malformed(version: u8, fault: Fault) -> Told {
    let (kind, words) = match fault {
        Fault::Short { there } => {
            ("short", format!("{there} bytes are less than an IPv{version} header has"))
        }
        Fault::Version { found } => ("version", format!("the version is {found}, not {version}")),
        Fault::Lengths { header, total } => (
            "lengths",
            format!(
                "a header of {header} bytes in a packet of {total}, and {} is the least",
                ipv4::HEADER_LEN
            ),
        ),
        Fault::Truncated { says, there } => {
            ("truncated", format!("the header says {says} bytes, and there are {there}"))
        }
        Fault::Checksum { found, right } => (
            "checksum",
            format!("the header checksum is {found:#06x}, and {right:#06x} would be right"),
        ),
    };
    let values = match fault {
        Fault::Short { there } => json!({ "fault": kind, "there": there }),
        Fault::Version { found } => json!({ "fault": kind, "found": found }),
        Fault::Lengths { header, total } => {
            json!({ "fault": kind, "header": header, "total": total })
        }
        Fault::Truncated { says, there } => json!({ "fault": kind, "says": says, "there": there }),
        Fault::Checksum { found, right } => {
            json!({ "fault": kind, "found": found, "right": right })
        }
    };
    Told::new("header", "malformed", values, words)
}

/// A header in a line.
pub(super) fn header_words(header: &Header) -> String {
    let Header { source, destination, length, ttl, .. } = *header;
    let is_ipv4 = source.is_ipv4();
    let alone = if header.dont_fragment == Some(true) { ", DF" } else { "" };
    let fragment = header.fragment.map_or_else(String::new, |(offset, more)| {
        let more = if more { "others follow" } else { "the last" };
        format!(", a fragment from byte {offset} on, {more}")
    });
    format!(
        "{} {source} > {destination}, {}, {length} bytes, {} {ttl}{alone}{fragment}",
        family(source),
        payload(header),
        ttl_word(is_ipv4),
    )
}

/// A header as data.
pub(super) fn header_values(header: &Header) -> Value {
    let Header { source, destination, protocol, length, ttl, tos, .. } = *header;
    let mut values = json!({
        "source": source, "destination": destination, "protocol": protocol, "length": length,
        "ttl": ttl, "dscp": tos >> 2, "ecn": tos & 3,
    });
    if let Some(dont_fragment) = header.dont_fragment {
        values["dont_fragment"] = dont_fragment.into();
    }
    if let Some(key) = header.gre.and_then(|gre| gre.key) {
        values["key"] = key.into();
    }
    if let Some((offset, more)) = header.fragment {
        values["fragment"] = json!({ "offset": offset, "more": more });
    }
    values
}

/// The least that tells one packet from others.
pub(super) fn summary(header: &Header) -> String {
    let Header { source, destination, length, .. } = *header;
    format!("{} {source} > {destination}, {}, {length} bytes", family(source), payload(header))
}

pub(super) fn options(length: usize, is_source_routed: bool) -> Told {
    let words = if is_source_routed {
        format!("{length} bytes, with a source route: nobody else says where packets go")
    } else {
        format!("{length} bytes, which are carried as they are")
    };
    let values = json!({ "length": length, "source_routed": is_source_routed });
    Told::new("IP options", "ip_options", values, words)
}

pub(super) fn extensions(kinds: &[u8], judged: Result<u8, Counter>) -> Told {
    let names: Vec<&str> = kinds.iter().map(|kind| extension_name(*kind)).collect();
    let listed = names.join(", ");
    let words = match judged {
        Ok(next) => format!("{listed}; then {}", protocol_name(next)),
        Err(Counter::Ip6Rh0) => format!("{listed}; a routing header of type 0 is not obeyed"),
        Err(_) => format!("{listed}; what they ask for can't be done, or they can't be read"),
    };
    let values = json!({ "headers": names, "refused": judged.err().map(Counter::name) });
    Told::new("extensions", "extensions", values, words)
}

const fn extension_name(kind: u8) -> &'static str {
    match kind {
        protocol::HOP_BY_HOP => "hop-by-hop options",
        protocol::ROUTING => "routing header",
        protocol::FRAGMENT => "fragment header",
        protocol::AH => "authentication header",
        protocol::DESTINATION_OPTIONS => "destination options",
        _ => "extension header",
    }
}
