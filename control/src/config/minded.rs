//! Keys of tunnels that mean something for tunnels of some shapes alone.

use super::tunnel::{Family, Tunnel};
use super::words::{Mode, Payload};

/// Keys whose being there matters when the mode is known.
pub(super) const MINDED: [&str; 45] = [
    "mode",
    "payload",
    "mtu",
    "static-mtu",
    "dont-fragment",
    "ttl",
    "dscp",
    "dscp-decap",
    "ecn",
    "fragment",
    "encap-limit",
    "flow-label",
    "key",
    "keys",
    "checksum",
    "require-checksum",
    "sequence",
    "receive-sequence",
    "require-sequence",
    "encap",
    "udp6-zero-tx",
    "udp6-zero-rx",
    "attach",
    "inner-source",
    "inner-destination",
    "hairpin",
    "icmp-relay",
    "relay-admin",
    "id",
    "port",
    "udp-checksum",
    "strict-reserved",
    "vlan-tags",
    "l2-pmtu-reply",
    "remotes",
    "fdb",
    "mac-learning",
    "6rd",
    "potential-routers",
    "labels",
    "push",
    "erspan",
    "mirror",
    "clamp-tcp-mss",
    "mss-insert",
];

/// What decides about which keys mean something.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) mode: Mode,
    pub(super) outer: Family,
    pub(super) payload: Payload,
}

impl Shape {
    /// Of a tunnel.
    pub(super) fn of(tunnel: &Tunnel) -> Self {
        Self { mode: tunnel.mode, outer: tunnel.outer, payload: tunnel.payload }
    }
}

/// Why a key means nothing for tunnels of a shape; `None`: it means something.
pub(super) fn why_idle(key: &str, shape: Shape) -> Option<&'static str> {
    let Shape { mode, outer, payload } = shape;
    let (is_of_frames, is_of_labels) = (payload == Payload::Ethernet, payload == Payload::Mplsip);
    let is_ipv4 = outer == Family::Ipv4;
    if let Some(why) = why_idle_in_session(key).filter(|_| mode.is_erspan()) {
        return Some(why);
    }
    match key {
        "encap-limit" | "flow-label" | "udp6-zero-tx" | "udp6-zero-rx" if is_ipv4 => {
            Some(": the outer header is IPv4")
        }
        "dont-fragment" if is_of_labels && is_ipv4 => {
            Some(": it is always set around labels (RFC 4023 \u{a7}5.1)")
        }
        "ttl" | "dscp" | "dscp-decap" | "ecn" | "dont-fragment" if mode == Mode::Minimal => {
            Some(": the outer header is the packet's own (RFC 2004 \u{a7}3.1)")
        }
        "fragment" if mode == Mode::Minimal => {
            Some(": pieces of a packet can't enter, and it is cut afterwards (RFC 2004 \u{a7}1)")
        }
        "encap" if mode == Mode::Minimal => Some(": it has no header of its own behind UDP"),
        "labels" | "push" if !mode.may_carry_mpls() => Some(": it carries no MPLS"),
        "dont-fragment" if !is_ipv4 => Some(": IPv6 has no such bit"),
        "static-mtu" if is_of_labels && mode == Mode::Sit => {
            Some(" with labels inside: it is about IPv6")
        }
        "static-mtu" if !matches!(mode, Mode::Sit | Mode::SixRd | Mode::Isatap) => {
            Some(", only for sit, 6rd and isatap")
        }
        "6rd" if mode != Mode::SixRd => Some(", only for 6rd"),
        "potential-routers" if mode != Mode::Isatap => Some(", only for isatap"),
        "payload" if !matches!(mode, Mode::Sit | Mode::Any | Mode::Geneve | Mode::Vxlan) => {
            Some(", which says itself what it carries")
        }
        "erspan" | "mirror" if !mode.is_erspan() => Some(": it is about ERSPAN"),
        "key" | "keys" | "checksum" | "require-checksum" | "sequence" | "receive-sequence"
        | "require-sequence"
            if !mode.is_gre() =>
        {
            Some(": it is about GRE headers")
        }
        "id" | "port" | "udp-checksum" if !mode.is_overlay() => {
            Some(": it is about VXLAN and GENEVE")
        }
        "l2-pmtu-reply" if !mode.is_overlay() || !is_of_frames => {
            Some(": it is about frames in VXLAN and GENEVE")
        }
        "strict-reserved" | "vlan-tags" | "remotes" | "fdb" | "mac-learning"
            if mode != Mode::Vxlan =>
        {
            Some(": it is about VXLAN")
        }
        "encap" if mode.is_overlay() => Some(", which is in UDP anyway"),
        "attach" if !is_of_frames => Some(", which carries packets, no frames"),
        "inner-source" | "inner-destination" | "hairpin" | "icmp-relay" | "relay-admin"
            if is_of_frames =>
        {
            Some(": it carries frames, and looks at no addresses in them")
        }
        _ => None,
    }
}

/// The same, for mirror sessions alone.
fn why_idle_in_session(key: &str) -> Option<&'static str> {
    match key {
        "clamp-tcp-mss" | "mss-insert" => Some(": frames go and come as they are"),
        "fragment" => Some(": what does not fit loses its end"),
        "encap" => Some(", which is not carried in UDP"),
        "key" | "keys" | "checksum" | "require-checksum" | "sequence" | "receive-sequence"
        | "require-sequence" => Some(": sessions have numbers of their own"),
        _ => None,
    }
}
