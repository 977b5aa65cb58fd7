//! Copies for mirror sessions.

use adit_dataplane::interface::{Interface, TunnelId};
use serde_json::json;

use super::super::names::Names;
use super::super::step::Told;

/// A copy that was made.
pub(super) fn copy(of: Interface, is_egress: bool, tunnel: TunnelId, names: Names<'_>) -> Told {
    let session = names.tunnel(tunnel);
    let is_port = of.as_port().is_some();
    let of = match (of.as_port(), of.as_tunnel()) {
        (Some(port), _) => names.port(port),
        (None, Some(tunnel)) => names.tunnel(tunnel),
        (None, None) => String::new(),
    };
    let what = match (is_port, is_egress) {
        (true, false) => "receives",
        (true, true) => "sends",
        (false, false) => "lets out",
        (false, true) => "takes in",
    };
    let kind = names.session_kind(tunnel);
    let words = format!("of what {of} {what}: it goes to the session {session}{kind}");
    let values = json!({
        "of": of, "direction": if is_egress { "egress" } else { "ingress" }, "session": session,
    });
    Told::new("copy", "mirrored", values, words)
}

/// A copy that loses its end.
pub(super) fn truncated(length: usize, left: usize) -> Told {
    let words = format!("of {length} bytes, the first {left} go");
    Told::new("cut off", "truncated", json!({ "length": length, "left": left }), words)
}
