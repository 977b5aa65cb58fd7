//! Into a tunnel: who may enter, what fits, and the outer header field by field.

use std::net::{Ipv4Addr, Ipv6Addr};

use adit_dataplane::interface::TunnelId;
use adit_dataplane::node::mss::{Mss, Said};
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::mpls::PUSHED_TTL;
use adit_dataplane::wire::protocol;
use adit_dataplane::witness::{Hop, TunnelSize, Wrapped};
use serde_json::json;

use super::super::names::{Names, ecn_word, protocol_name, ttl_word};
use super::super::step::Told;
use super::labels;
use super::way::hop_values;

pub(super) fn encap(tunnel: TunnelId, length: usize, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let words = format!("{length} bytes into {tunnel}");
    Told::new("encap", "encap", json!({ "tunnel": tunnel, "length": length }), words)
}

pub(super) fn depth(entered: u8, limit: u8) -> Told {
    let words = match entered {
        0 => format!("in no tunnel of ours yet; nested-encaps allows {limit}"),
        _ if entered >= limit => {
            format!(
                "in {entered} of our tunnels already, and nested-encaps allows no more: {limit}"
            )
        }
        _ => format!("in {entered} of our tunnels already; nested-encaps allows {limit}"),
    };
    Told::new("nesting", "nested_encap", json!({ "entered": entered, "limit": limit }), words)
}

pub(super) fn may_enter(tunnel: TunnelId, limit: Option<u8>, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let carried = limit.map_or_else(String::new, |limit| {
        let own = u16::from(limit) + 1;
        format!("; its own encapsulation limit is {own}, so the outer header has {limit}")
    });
    let words = format!("{tunnel} carries its protocol, and it is no loop{carried}");
    Told::new("entry", "may_enter", json!({ "tunnel": tunnel, "encap_limit": limit }), words)
}

pub(super) fn peer_inside(
    tunnel: TunnelId,
    destination: Ipv6Addr,
    (peer, remote): (Option<Ipv4Addr>, Option<Ipv4Addr>),
    names: Names<'_>,
) -> Told {
    let tunnel = names.tunnel(tunnel);
    let words = match (peer, remote) {
        (Some(peer), Some(_)) => format!("{destination} has {peer} in it: it goes there"),
        (Some(peer), None) => format!("{destination} has {peer} in it, which is no other host"),
        (None, Some(relay)) => {
            format!("{destination} is not on the link of {tunnel}: it goes to the router {relay}")
        }
        (None, None) => {
            format!("{destination} is not on the link of {tunnel}, which knows no router for it")
        }
    };
    let values = json!({
        "tunnel": tunnel, "destination": destination, "embedded": peer, "remote": remote,
    });
    Told::new("peer", "peer", values, words)
}

pub(super) fn mss(
    tunnel: TunnelId,
    mtu: u16,
    outcome: Mss,
    inserts: bool,
    names: Names<'_>,
) -> Told {
    let tunnel = names.tunnel(tunnel);
    let (is, words) = match outcome {
        Mss::Lowered(Said { value, limit }) => {
            (Some(limit), format!("lowered from {value} to {limit}: {mtu} bytes fit {tunnel}"))
        }
        Mss::Within(Said { value, limit }) => {
            (Some(value), format!("{value} is left: up to {limit} fit {tunnel}"))
        }
        Mss::Malformed => (None, "the options of TCP can't be read, and are left".to_owned()),
        Mss::Absent(_) if inserts => (None, format!("none is said; one is put in ({tunnel})")),
        Mss::Absent(_) | Mss::Other => (None, "none is said, and none put in".to_owned()),
    };
    let was = match outcome {
        Mss::Lowered(said) | Mss::Within(said) => Some(said.value),
        _ => None,
    };
    Told::new(
        "TCP MSS",
        "mss",
        json!({ "tunnel": tunnel, "mtu": mtu, "was": was, "is": is }),
        words,
    )
}

pub(super) fn size(size: &TunnelSize) -> Told {
    let TunnelSize { length, limits, configured, underlay, learnt, overhead, .. } = *size;
    let (from, reason) = largest(size);
    let fits = length <= usize::from(limits.inner);
    let verb = if fits { "fit in" } else { "do not fit in" };
    let words = format!("{length} bytes {verb} {}: {reason}", limits.inner);
    let values = json!({
        "length": length, "limit": limits.inner, "from": from, "configured": configured,
        "underlay": underlay, "learnt": learnt.map(|path| path.mtu), "overhead": overhead,
        "fits": fits,
    });
    Told::new("size", "tunnel_size", values, words)
}

/// Which of several limits is the least, and in words.
fn largest(size: &TunnelSize) -> (&'static str, String) {
    let TunnelSize { limits, configured, underlay, learnt, overhead, .. } = *size;
    let less = |mtu: u16| mtu.saturating_sub(overhead);
    match learnt.filter(|path| limits.outer == path.mtu && path.mtu < underlay) {
        Some(path) if limits.inner == less(path.mtu) && limits.inner < configured => {
            let locked = if path.is_locked { ", DF cleared below pmtu-floor" } else { "" };
            let words = format!("the path MTU learnt, {}, less {overhead}{locked}", path.mtu);
            ("path", words)
        }
        _ if limits.inner == less(underlay) => {
            ("port", format!("the {underlay} of the way to the remote, less {overhead}"))
        }
        _ => ("configured", "the MTU that is configured".to_owned()),
    }
}

pub(super) fn underlay(tunnel: TunnelId, hop: Hop, names: Names<'_>) -> Told {
    let words = match hop {
        Hop::Tunnel(next) if next == tunnel => "leads into the tunnel itself".to_owned(),
        _ => format!("the way to the remote leads {}", names.hop(hop)),
    };
    let mut values = hop_values(hop, names);
    values["of"] = names.tunnel(tunnel).into();
    Told::new("underlay", "underlay", values, words)
}

pub(super) fn earlier_lost(tunnel: TunnelId, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let words = format!(
        "the underlay of {tunnel} has lost an earlier packet: its sender is told, and this one goes on"
    );
    Told::new("underlay", "earlier_lost", json!({ "tunnel": tunnel }), words)
}

/// The outer header, a line for each field that follows from something.
pub(super) fn wrapped(wrapped: &Wrapped, names: Names<'_>) -> Told {
    let Wrapped { tunnel, patch, source, destination, sources, overhead, .. } = *wrapped;
    let choice = if sources > 1 {
        format!(" (the source by the hash of the flow, of {sources})")
    } else {
        String::new()
    };
    let mut carried = protocol_name(patch.protocol);
    if patch.protocol != wrapped.carried {
        carried = format!("{carried} with {}", protocol_name(wrapped.carried));
    }
    let added = if patch.protocol == protocol::MINIMAL { "more" } else { "in front" };
    let mut words =
        format!("{source} > {destination}{choice}, {carried} inside, {overhead} bytes {added}");
    for part in [
        push(wrapped),
        ecn(wrapped),
        dscp(wrapped),
        ttl(wrapped),
        fragment(wrapped),
        limit(wrapped),
    ] {
        if !part.is_empty() {
            words.push('\n');
            words.push_str(&part);
        }
    }
    let mut values = json!({
        "tunnel": names.tunnel(tunnel), "source": source, "destination": destination,
        "sources": sources,
        "overhead": overhead, "protocol": patch.protocol, "carried": wrapped.carried, "ttl": patch.ttl,
        "dscp": patch.tos >> 2, "ecn": patch.tos & 3, "inner_ecn": wrapped.inner_tos & 3,
        "encap_limit": wrapped.encap_limit, "push": labels::numbers(&wrapped.push),
    });
    if wrapped.is_ipv4 {
        values["dont_fragment"] = patch.dont_fragment.into();
        values["inner_dont_fragment"] = json!(wrapped.inner_dont_fragment);
        values["identification"] = patch.identification.into();
    } else {
        values["flow_label"] = patch.flow_label.into();
    }
    Told::new("outer", "outer_header", values, words)
}

/// Labels in front of an IP packet.
fn push(wrapped: &Wrapped) -> String {
    if wrapped.push.is_none() {
        return String::new();
    }
    format!("labels {} in front of the packet, TTL {PUSHED_TTL}", labels::in_words(&wrapped.push))
}

fn ecn(wrapped: &Wrapped) -> String {
    if wrapped.carried == protocol::MPLS {
        return format!("ECN {}: labels have no such field", ecn_word(wrapped.patch.tos));
    }
    let mode = match wrapped.ecn {
        EcnEncap::Normal => "normal",
        EcnEncap::Compat => "compat",
        EcnEncap::Rfc3168 => "rfc3168",
    };
    let (inner, outer) = (ecn_word(wrapped.inner_tos), ecn_word(wrapped.patch.tos));
    format!("ECN {outer}, of {inner} inside ({mode})")
}

fn dscp(wrapped: &Wrapped) -> String {
    let from = if wrapped.dscp.is_some() { "configured" } else { "inherited" };
    format!("DSCP {} ({from})", wrapped.patch.tos >> 2)
}

fn ttl(wrapped: &Wrapped) -> String {
    let from = if wrapped.ttl.is_some() { "configured" } else { "inherited" };
    format!("{} {} ({from})", ttl_word(wrapped.is_ipv4), wrapped.patch.ttl)
}

/// DF and identification, or the flow label.
fn fragment(wrapped: &Wrapped) -> String {
    let patch = wrapped.patch;
    if !wrapped.is_ipv4 {
        let from = if wrapped.flow_label.is_some() { "configured" } else { "hash of the flow" };
        return format!("flow label {:#x} ({from})", patch.flow_label);
    }
    if patch.protocol == protocol::MINIMAL {
        let is_set = if patch.dont_fragment { "set" } else { "clear" };
        return format!(
            "DF {is_set}, identification {:#06x}: the packet's own",
            patch.identification
        );
    }
    let mode = match wrapped.dont_fragment {
        DontFragment::Pmtudisc => "pmtudisc",
        DontFragment::Inherit => "inherit",
        DontFragment::No => "no",
    };
    if patch.dont_fragment {
        format!("DF set ({mode}), identification 0")
    } else {
        format!("DF clear ({mode}), identification {:#06x}", patch.identification)
    }
}

fn limit(wrapped: &Wrapped) -> String {
    let limit = wrapped.encap_limit.filter(|_| !wrapped.is_ipv4);
    limit.map_or_else(String::new, |limit| format!("encapsulation limit {limit}"))
}
