//! Some keys of an entry in the place of what they were (RFC 7396), in the words of files.

use serde_json::{Map, Value};

use super::super::describe::{describe_route, describe_tunnel};
use super::super::model::Route;
use super::super::tunnel::{Settings, Tunnel};
use std::sync::Arc;

/// Keys of which one stands for the others: to say one is to take the others back.
const RIVALS: [[&[&str]; 2]; 2] =
    [[&["static-mtu"], &["mtu", "dont-fragment"]], [&["key"], &["keys"]]];

/// The keys that say where packets go.
const WAYS: [&str; 5] = ["via", "port", "tunnel", "type", "next-hops"];

/// A tunnel with changes.
///
/// Another mode or profile brings its own defaults: then only those keys stay that differ from the
/// former profile's, or that the section `defaults` speaks of.
pub(super) fn tunnel(before: &Tunnel, defaults: &Value, changes: &Value) -> Value {
    let Value::Object(changes) = changes else { return changes.clone() };
    let mut entry = object(describe_tunnel(before));
    if changes.contains_key("mode") || changes.contains_key("profile") {
        let plain = Settings::of(before.settings.profile, before.mode);
        let plain = describe_tunnel(&Tunnel { settings: Arc::new(plain), ..before.clone() });
        let speaks = |key: &str| defaults.get("tunnels").is_some_and(|all| all.get(key).is_some());
        let stays = |key: &str| matches!(key, "mode" | "profile") || speaks(key);
        let own = describe_identity(before, changes.contains_key("mode"));
        entry.retain(|key, value| {
            stays(key) || own.contains(&key.as_str()) || plain.get(key) != Some(value)
        });
    }
    for (one, other) in RIVALS.into_iter().flat_map(|[a, b]| [(a, b), (b, a)]) {
        if one.iter().any(|key| says(changes, key)) {
            entry.retain(|key, _| !other.contains(&key.as_str()));
        }
    }
    merge(entry, changes)
}

/// Keys that no profile has a value for. What a mode carries is the mode's to say, and what its headers have.
fn describe_identity(tunnel: &Tunnel, has_other_mode: bool) -> Vec<&'static str> {
    let mut keys = vec!["addresses", "routes", "comment", "enabled", "latency"];
    keys.extend(tunnel.local.map(|_| "local"));
    keys.extend(tunnel.remote.map(|_| "remote"));
    keys.extend(tunnel.link.as_ref().map(|_| "link"));
    if !has_other_mode {
        keys.extend(["key", "keys"]);
    }
    keys.push("encap");
    keys
}

/// A route with changes.
pub(super) fn route(before: &Route, changes: &Value) -> Value {
    let Value::Object(changes) = changes else { return changes.clone() };
    let mut entry = object(describe_route(before));
    if WAYS.iter().any(|key| says(changes, key)) {
        entry.retain(|key, _| !WAYS.contains(&key.as_str()));
    }
    merge(entry, changes)
}

/// Whether changes give a key a value; null takes one away.
fn says(changes: &Map<String, Value>, key: &str) -> bool {
    changes.get(key).is_some_and(|value| !value.is_null())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

//= RFC 7396 §2: what is null goes, all else takes the place of what was there. A mapping with parts of its
//= own, such as `keys`, is said as a whole.
fn merge(mut entry: Map<String, Value>, changes: &Map<String, Value>) -> Value {
    for (key, value) in changes {
        if value.is_null() {
            entry.remove(key);
        } else {
            entry.insert(key.clone(), value.clone());
        }
    }
    Value::Object(entry)
}
