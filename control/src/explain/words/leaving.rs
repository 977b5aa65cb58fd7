//! Out of a tunnel: the checks of decapsulation, in their order.

use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::{Interface, TunnelId};
use adit_dataplane::tunnel::ecn::EcnDecap;
use adit_dataplane::tunnel::shim::Judged;
use adit_dataplane::witness::{Filter, Header, Hop};
use serde_json::json;

use super::super::names::{Names, ecn_word, hop_kind, protocol_name};
use super::super::step::Told;
use super::frame::{header_values, header_words};

pub(super) fn decap(tunnel: TunnelId, outer: &Header, from_anyone: bool, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let Header { source, destination, .. } = *outer;
    let carried = protocol_name(outer.protocol);
    let peer = if from_anyone { "which takes it from any peer" } else { "whose ends these are" };
    let words = format!("{source} > {destination} with {carried} inside is of {tunnel}, {peer}");
    let mut values = header_values(outer);
    values["tunnel"] = tunnel.into();
    Told::new("decap", "decap", values, words)
}

pub(super) fn outer_source(source: IpAddr, is_legal: bool) -> Told {
    let words = if is_legal {
        format!("{source} can be a peer")
    } else {
        format!("{source} can be no peer: it is one of our own addresses, or no host's")
    };
    Told::new(
        "outer source",
        "outer_source",
        json!({ "source": source, "passes": is_legal }),
        words,
    )
}

pub(super) fn outer_ttl(ttl: u8, least: u8) -> Told {
    let words = match least {
        0 => format!("{ttl}, and min-outer-ttl asks for none"),
        _ if ttl < least => format!("{ttl} is less than min-outer-ttl: {least}"),
        _ => format!("{ttl} is enough for min-outer-ttl: {least}"),
    };
    Told::new("outer TTL", "outer_ttl", json!({ "ttl": ttl, "least": least }), words)
}

pub(super) fn reverse_path(
    source: IpAddr,
    ingress: Interface,
    passes: bool,
    names: Names<'_>,
) -> Told {
    let ingress = names.interface(ingress).unwrap_or_default();
    let leads = if passes { "leads out" } else { "does not lead out" };
    let words = format!("the route to {source} {leads} where it came in, by {ingress} (outer-rpf)");
    let values = json!({ "source": source, "ingress": ingress, "passes": passes });
    Told::new("outer route", "outer_rpf", values, words)
}

pub(super) fn shim(judged: Result<Judged, Counter>) -> Told {
    let words = match judged {
        Ok(judged) => {
            let carried = protocol_name(judged.carried);
            let sums = sums(judged);
            format!("{} bytes that are as the tunnel wants them, then {carried}{sums}", judged.len)
        }
        Err(Counter::UdpZeroCsum6) => {
            "UDP over IPv6 without a checksum, which the tunnel does not take (udp6-zero-rx: no)"
                .to_owned()
        }
        Err(Counter::IfRxCsumErr) => {
            "GRE without a checksum, which the tunnel does not take (require-checksum: yes)"
                .to_owned()
        }
        Err(_) => "not as the tunnel wants it".to_owned(),
    };
    let taken = judged.ok();
    let values = json!({
        "length": taken.map(|shim| shim.len), "protocol": taken.map(|shim| shim.carried),
        "gre_checksum": taken.map(|shim| shim.has_gre_sum),
        "udp_checksum": taken.and_then(|shim| shim.has_udp_sum),
        "refused": judged.err().map(Counter::name),
    });
    Told::new("tunnel header", "shim", values, words)
}

/// What is known of checksums: those that are there have been found right.
fn sums(judged: Judged) -> &'static str {
    match (judged.has_udp_sum, judged.has_gre_sum) {
        (None, false) => "",
        (None, true) => "; the checksum of GRE is right",
        (Some(true), false) => "; the checksum of UDP is right",
        (Some(true), true) => "; the checksums of UDP and GRE are right",
        (Some(false), false) => "; UDP has no checksum",
        (Some(false), true) => "; UDP has no checksum, that of GRE is right",
    }
}

pub(super) fn inner(header: &Header) -> Told {
    Told::new("inside", "inner", header_values(header), header_words(header))
}

pub(super) fn ecn(outer: u8, inner: u8, result: EcnDecap) -> Told {
    let (outside, inside) = (ecn_word(outer), ecn_word(inner));
    let (becomes, field) = match result {
        EcnDecap::Forward(field) => (format!("{} goes on", ecn_word(field)), Some(field)),
        EcnDecap::Log(field) => {
            (format!("{} goes on, which should not occur", ecn_word(field)), Some(field))
        }
        EcnDecap::Drop => {
            ("congestion was signalled to a sender that can't hear it".to_owned(), None)
        }
    };
    let values = json!({ "outer": outer & 3, "inner": inner & 3, "result": field });
    Told::new("ECN", "ecn_decap", values, format!("{outside} outside, {inside} inside: {becomes}"))
}

pub(super) fn dscp(outer: u8, inner: u8, is_copied: bool) -> Told {
    let words = if is_copied {
        format!("{outer} from outside takes the place of {inner} (dscp-decap: copy)")
    } else {
        format!("{inner} inside is kept; {outer} outside (dscp-decap: keep)")
    };
    let values = json!({ "outer": outer, "inner": inner, "copied": is_copied });
    Told::new("DSCP", "dscp_decap", values, words)
}

pub(super) fn inner_source(
    (id, source, hop): (TunnelId, IpAddr, Hop),
    filter: Filter,
    refused: Option<Counter>,
    names: Names<'_>,
) -> Told {
    let tunnel = names.tunnel(id);
    let policy = match filter {
        Filter::Off => "off",
        Filter::Loose => "loose",
        Filter::Strict => "strict",
        Filter::Listed if names.lists_sources(id) => "list",
        Filter::Listed => "feasible",
    };
    let way = names.prefix(source).map_or_else(
        || "no route leads to it".to_owned(),
        |prefix| format!("{prefix} leads {}", names.hop(hop)),
    );
    let words = match refused {
        None => format!("{source} may be behind {tunnel} (inner-source: {policy}); {way}"),
        Some(Counter::IfRxInnerOwnSrc) => format!("{source} is one of our own addresses"),
        Some(Counter::IfRxInnerMartianSrc) => format!("{source} is no host's address"),
        Some(Counter::IfRxSpoofEmbedded) => {
            format!(
                "{source} has another outer source in it, or is outside of the domain and not from a relay"
            )
        }
        Some(_) => {
            format!("{source} does not belong behind {tunnel} (inner-source: {policy}); {way}")
        }
    };
    let values = json!({
        "tunnel": tunnel, "source": source, "filter": policy, "prefix": names.prefix(source),
        "hop": hop_kind(hop), "refused": refused.map(Counter::name),
    });
    Told::new("inner source", "inner_source", values, words)
}

pub(super) fn inner_destination(destination: IpAddr, is_listed: bool, refused: bool) -> Told {
    let words = match (refused, is_listed) {
        (false, false) => format!("{destination} may be reached"),
        (false, true) => format!("{destination} is one that inner-destination lists"),
        (true, false) => {
            format!("{destination} may not be reached: a group, or no host's address")
        }
        (true, true) => {
            format!("{destination} is not one that inner-destination lists, or no host's")
        }
    };
    let values = json!({ "destination": destination, "listed": is_listed, "passes": !refused });
    Told::new("inner dest.", "inner_destination", values, words)
}

pub(super) fn in_domain(destination: Ipv6Addr, refused: Option<Counter>) -> Told {
    let words = match refused {
        None => format!("{destination} is for this router of the domain"),
        Some(Counter::IfRxHairpin) => {
            format!(
                "{destination} is another customer's, which a relay is not asked for (hairpin: no)"
            )
        }
        Some(_) => format!("{destination} is not what is delegated to this router"),
    };
    let values = json!({ "destination": destination, "refused": refused.map(Counter::name) });
    Told::new("domain", "domain", values, words)
}

pub(super) fn nested(left: u8, limit: u8) -> Told {
    let words = if left >= limit {
        format!("it is a tunnel packet to us again, and {left} is as deep as decap-depth allows")
    } else {
        format!("it is a tunnel packet to us again: tunnel {} of {limit} (decap-depth)", left + 1)
    };
    let values = json!({ "left": left, "limit": limit, "passes": left < limit });
    Told::new("nesting", "nested_decap", values, words)
}

pub(super) fn accepted(tunnel: TunnelId, length: usize, names: Names<'_>) -> Told {
    let tunnel = names.tunnel(tunnel);
    let words = format!("{tunnel} has received a packet of {length} bytes");
    Told::new("accepted", "accepted", json!({ "tunnel": tunnel, "length": length }), words)
}
