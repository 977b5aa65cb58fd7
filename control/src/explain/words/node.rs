//! What a node does beside forwarding: packets for itself, errors of its own and of the underlay,
//! pieces that are put together.

use std::net::IpAddr;

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::TunnelId;
use adit_dataplane::node::icmp_error::IcmpError;
use adit_dataplane::node::icmp_relay::Cause;
use adit_dataplane::node::rate_limit::Limit;
use adit_dataplane::tunnel::Relayed;
use adit_dataplane::witness::Header;
use serde_json::json;

use super::super::names::{Names, error_words, payload};
use super::super::step::Told;
use super::frame::header_values;

pub(super) fn delivered() -> Told {
    Told::new("delivery", "delivered", json!({}), "it is for this node itself")
}

pub(super) fn lookup(outer: &Header, found: Result<TunnelId, Counter>, names: Names<'_>) -> Told {
    let Header { source, destination, .. } = *outer;
    let (carried, pair) = (payload(outer), format!("local {destination}, remote {source}"));
    let tunnel = found.ok().map(|tunnel| names.tunnel(tunnel));
    let words = match (&tunnel, found) {
        (Some(tunnel), _) => format!("{tunnel} has these ends: {pair}"),
        (_, Err(Counter::TunProtoMismatch)) => {
            format!("there is a tunnel with {pair}, but none that takes {carried}")
        }
        (_, Err(Counter::TunEncapMismatch)) => {
            format!("there is a tunnel with {pair}, but not inside {carried}")
        }
        (_, Err(Counter::TunNoMatch | Counter::ReasmNoTunnel)) => {
            let beside = names.tunnels_beside(destination, source);
            [vec![format!("no tunnel takes {carried} with {pair}")], beside].concat().join("; ")
        }
        (_, Err(Counter::GreBadCsum | Counter::UdpBadCsum)) => {
            format!("the checksum of {carried} is wrong")
        }
        _ => format!("what {carried} begins with is refused, whatever tunnel it is for"),
    };
    let mut values = header_values(outer);
    values["tunnel"] = tunnel.into();
    values["refused"] = found.err().map(Counter::name).into();
    Told::new("tunnel", "lookup", values, words)
}

pub(super) fn echo_reply(length: usize) -> Told {
    let words = format!("the request becomes the reply, of {length} bytes");
    Told::new("echo", "echo_reply", json!({ "length": length }), words)
}

pub(super) fn echo_limited() -> Told {
    Told::new("echo", "echo_limited", json!({}), "more requests than are answered in a second")
}

pub(super) fn duplicate() -> Told {
    Told::new("reassembly", "duplicate", json!({}), "the same piece is there already")
}

pub(super) fn last_piece() -> Told {
    let words = "it was the last piece: the packet goes on as its first piece";
    Told::new("reassembly", "last_piece", json!({}), words)
}

pub(super) fn put_together(length: usize) -> Told {
    let words = format!("all pieces are there: a packet of {length} bytes");
    Told::new("reassembly", "put_together", json!({ "length": length }), words)
}

pub(super) fn given_up() -> Told {
    Told::new("reassembly", "given_up", json!({}), "its packet is given up")
}

pub(super) fn answer(error: IcmpError, to: IpAddr, from: IpAddr) -> Told {
    let error = error_words(error);
    let words = format!("{to} is told by {from}: {error}");
    Told::new("answer", "answer", json!({ "error": error, "to": to, "from": from }), words)
}

pub(super) fn suppressed(error: IcmpError, to: IpAddr) -> Told {
    let error = error_words(error);
    let words = format!("{to} is not told ({error}): such a packet may not be answered");
    Told::new("no answer", "answer_suppressed", json!({ "error": error, "to": to }), words)
}

pub(super) fn limited(error: IcmpError, to: IpAddr, limit: Option<Limit>) -> Told {
    let error = error_words(error);
    let name = match limit {
        Some(Limit::Errors) => "icmp-errors",
        Some(Limit::PerSource) => "icmp-errors-per-source",
        Some(Limit::TooBig) => "icmp-too-big",
        None => "",
    };
    let words = format!("{to} is not told ({error}): limits.{name} is used up");
    let values = json!({ "error": error, "to": to, "limit": name });
    Told::new("no answer", "answer_limited", values, words)
}

pub(super) fn heard(cause: Option<Cause>) -> Told {
    let (word, words) = match cause {
        None => ("other", "an error that no sender behind a tunnel is told of".to_owned()),
        Some(Cause::Network) => ("network", "the network can't be reached".to_owned()),
        Some(Cause::Host) => ("host", "the host can't be reached".to_owned()),
        Some(Cause::Protocol) => ("protocol", "the remote does not speak the protocol".to_owned()),
        Some(Cause::Prohibited) => ("prohibited", "a filter on the way forbids it".to_owned()),
        Some(Cause::TooBig { mtu: 0 }) => {
            ("too-big", "too big for a link that does not say its MTU".to_owned())
        }
        Some(Cause::TooBig { mtu }) => {
            ("too-big", format!("too big for a link on the way, whose MTU is {mtu}"))
        }
        Some(Cause::Expired) => ("expired", "the TTL ran out on the way".to_owned()),
        Some(Cause::EncapLimit) => ("encap-limit", "its encapsulation limit is used up".to_owned()),
    };
    Told::new("error", "heard", json!({ "cause": word }), words)
}

pub(super) fn quoted(
    tunnel: TunnelId,
    (source, destination): (IpAddr, IpAddr),
    length: usize,
    names: Names<'_>,
) -> Told {
    let tunnel = names.tunnel(tunnel);
    let words =
        format!("it is about a packet of {tunnel}: {source} > {destination}, {length} bytes");
    let values = json!({
        "tunnel": tunnel, "source": source, "destination": destination, "length": length,
    });
    Told::new("quote", "quoted", values, words)
}

pub(super) fn disbelieved() -> Told {
    let words = "what it quotes was never sent by a tunnel of ours, or can't be read";
    Told::new("quote", "disbelieved", json!({}), words)
}

pub(super) fn path_mtu(told: u32, holds: Option<u16>) -> Told {
    let words = match holds {
        Some(holds) => format!("{holds} is believed of the path from now on"),
        None => format!("{told} can't be true, and changes nothing"),
    };
    Told::new("path MTU", "path_mtu", json!({ "told": told, "holds": holds }), words)
}

pub(super) fn relay(relayed: Relayed, passes: bool) -> Told {
    let word = match relayed {
        Relayed::All => "all",
        Relayed::TooBig => "pmtu",
        Relayed::Nothing => "off",
    };
    let is = if passes { "is" } else { "is not" };
    let words = format!("its sender {is} told of it (icmp-relay: {word})");
    Told::new("relay", "relay", json!({ "relayed": word, "passes": passes }), words)
}

pub(super) fn nothing_to_tell() -> Told {
    let words = "there is nothing that this packet's sender could do about it";
    Told::new("relay", "nothing_to_tell", json!({}), words)
}
