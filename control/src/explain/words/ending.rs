//! What became of a packet.

use std::net::IpAddr;

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::stage::Loss;
use serde_json::json;

use super::super::names::Names;
use super::super::step::Told;

pub(super) fn sent(port: PortId, length: usize, names: Names<'_>) -> Told {
    let port = names.port(port);
    let words = format!("on {port} as {length} bytes");
    Told::new("sent", "sent", json!({ "port": port, "length": length }), words)
}

pub(super) fn dropped(loss: Loss, names: Names<'_>) -> Told {
    let Loss { counter, interface } = loss;
    let tunnel = names.interface(interface);
    let of = tunnel.as_ref().map_or_else(String::new, |tunnel| format!(" of {tunnel}"));
    let words = format!("{}{of} ({})", counter.name(), counter.help());
    let values = json!({ "counter": counter.name(), "tunnel": tunnel, "help": counter.help() });
    Told::new("dropped", "dropped", values, words)
}

/// By whoever speaks with neighbors.
pub(super) fn refused(counter: Counter) -> Told {
    let words = format!("{} ({})", counter.name(), counter.help());
    let values = json!({ "counter": counter.name(), "help": counter.help() });
    Told::new("dropped", "dropped", values, words)
}

pub(super) fn held(port: PortId, address: IpAddr, names: Names<'_>) -> Told {
    let port = names.port(port);
    let words = format!("until {address} on {port} tells its MAC address");
    Told::new("held", "held", json!({ "port": port, "address": address }), words)
}

pub(super) fn punted(port: PortId, names: Names<'_>) -> Told {
    let port = names.port(port);
    let words = format!("to the control side, which speaks with neighbors on {port}");
    Told::new("handed over", "punted", json!({ "port": port }), words)
}

pub(super) fn consumed() -> Told {
    Told::new("consumed", "consumed", json!({}), "nothing is left to be done with it")
}

pub(super) fn waits(seconds: u8) -> Told {
    let words = format!("for reassembly: the other pieces have {seconds} s to come");
    Told::new("kept", "waits", json!({ "seconds": seconds }), words)
}

pub(super) fn counted(counter: Counter) -> Told {
    let words = format!("{} ({})", counter.name(), counter.help());
    Told::new("counted", "counted", json!({ "counter": counter.name() }), words)
}
