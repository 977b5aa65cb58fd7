//! Some keys of an entry in the place of what they were (RFC 7396), in the words of files.

use adit_dataplane::wire::ethernet::MacAddress;
use serde_json::{Map, Value, json};

use super::super::describe::{describe_route, describe_tunnel};
use super::super::model::Route;
use super::super::tunnel::{Settings, Tunnel};
use super::super::words::{Mode, Word as _};
use super::super::{erspan, overlay, payload, remotes, udp_encap};
use std::sync::Arc;

/// Keys, and those that are taken back by saying one of them.
const RIVALS: [[&[&str]; 2]; 4] = [
    [&["static-mtu"], &["mtu", "dont-fragment"]],
    [&["mtu", "dont-fragment"], &["static-mtu"]],
    [&["remote"], &remotes::KEYS],
    [&["remotes"], &["remote"]],
];

/// The keys that mean nothing without a GRE header.
const OF_GRE: [&str; 6] =
    ["keys", "checksum", "require-checksum", "sequence", "receive-sequence", "require-sequence"];

/// The keys that say where packets go.
const WAYS: [&str; 5] = ["via", "port", "tunnel", "type", "next-hops"];

/// A tunnel with changes.
///
/// Another mode, profile or payload brings its own defaults: then only those keys stay that differ from the
/// former profile's, or that the section `defaults` speaks of.
pub(super) fn tunnel(before: &Tunnel, defaults: &Value, changes: &Value) -> Value {
    let Value::Object(changes) = changes else { return changes.clone() };
    let changes = &with_stations(with_keys(changes.clone()));
    let mut entry = with_keys(object(describe_tunnel(before)));
    let mode = changes.get("mode").and_then(Value::as_str).and_then(Mode::from_word);
    if ["mode", "profile", "payload"].iter().any(|key| changes.contains_key(*key)) {
        let profile = before.settings.profile;
        let rules = payload::rules(before.mode, before.outer, before.payload);
        let settings = Arc::new(Settings::of(profile, rules, before.outer));
        let plain = describe_tunnel(&Tunnel { settings, ..before.clone() });
        let mut plain = with_keys(object(plain));
        let usual = payload::resolve(before.mode, profile, None);
        plain.insert("payload".to_owned(), usual.as_str().into());
        let speaks = |key: &str| defaults.get("tunnels").is_some_and(|all| all.get(key).is_some());
        let stays = |key: &str| matches!(key, "mode" | "profile") || speaks(key);
        let own = describe_identity(before);
        let leaves_gre = !mode.unwrap_or(before.mode).is_gre();
        let leaves_vxlan = mode.is_some_and(|mode| mode != Mode::Vxlan);
        let leaves_overlay = !mode.unwrap_or(before.mode).is_overlay();
        entry.retain(|key, value| {
            let is_kept =
                stays(key) || own.contains(&key.as_str()) || plain.get(key) != Some(value);
            let leaves_session =
                erspan::KEYS.contains(&key.as_str()) && !mode.unwrap_or(before.mode).is_erspan();
            let leaves_domain = key == "6rd" && mode.is_some_and(|mode| mode != Mode::SixRd);
            // What a mode carries is the mode's to say.
            let leaves_payload = key == "payload" && mode.is_some_and(|mode| mode != before.mode);
            let is_idle = leaves_payload
                || (leaves_gre && OF_GRE.contains(&key.as_str()))
                || (leaves_overlay && overlay::KEYS.contains(&key.as_str()))
                || (leaves_vxlan && remotes::KEYS.contains(&key.as_str()))
                || leaves_domain
                || leaves_session;
            is_kept && !is_idle
        });
        forget_usual_checksum(before, &mut entry);
    }
    for [one, other] in RIVALS {
        if one.iter().any(|key| says(changes, key)) {
            entry.retain(|key, _| !other.contains(&key.as_str()));
        }
    }
    merge(entry, changes)
}

/// Says both keys of GRE as `keys`, so that one of them can be changed. What says them twice is left, and
/// refused when it is read.
fn with_keys(mut entry: Map<String, Value>) -> Map<String, Value> {
    if entry.contains_key("keys") {
        return entry;
    }
    if let Some(key) = entry.remove("key") {
        let both = if key.is_null() { key } else { json!({ "input": key, "output": key }) };
        entry.insert("keys".to_owned(), both);
    }
    entry
}

/// Spells the stations of `fdb` as entries have them, so that a change is one of the entry that it means. What says one
/// twice is left, and refused when it is read.
fn with_stations(mut changes: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(stations)) = changes.get_mut("fdb") {
        let spelled = |(written, remote): (&String, &Value)| {
            let station = written.parse().map(|station: MacAddress| station.to_string());
            (station.unwrap_or_else(|_| written.clone()), remote.clone())
        };
        let all: Map<String, Value> = stations.iter().map(spelled).collect();
        if all.len() == stations.len() {
            *stations = all;
        }
    }
    changes
}

/// Whether datagrams have a checksum is the profile's to say, where the file says nothing else.
fn forget_usual_checksum(before: &Tunnel, entry: &mut Map<String, Value>) {
    let Some(encap) = entry.get_mut("encap").and_then(Value::as_object_mut) else { return };
    let usual = udp_encap::usual_checksum(before.outer, before.settings.profile);
    if encap.get("checksum") == Some(&Value::Bool(usual)) {
        encap.remove("checksum");
    }
}

/// Keys that no profile has a value for.
fn describe_identity(tunnel: &Tunnel) -> Vec<&'static str> {
    let mut keys =
        vec!["addresses", "routes", "comment", "enabled", "latency", "keys", "encap", "6rd"];
    keys.extend(tunnel.local.map(|_| "local"));
    keys.extend(tunnel.remote.map(|_| "remote"));
    keys.extend(tunnel.link.as_ref().map(|_| "link"));
    keys.extend(tunnel.attached_to().map(|_| "attach"));
    keys.extend(tunnel.erspan().into_iter().flat_map(|_| erspan::KEYS));
    keys.extend(tunnel.overlay.as_deref().into_iter().flat_map(|_| overlay::KEYS));
    keys.extend(tunnel.remotes.as_deref().into_iter().flat_map(|_| remotes::KEYS));
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

//= RFC 7396 §2: what is null goes, mappings are merged, all else takes the place of what was there.
fn merge(mut entry: Map<String, Value>, changes: &Map<String, Value>) -> Value {
    for (key, value) in changes {
        match value {
            Value::Null => drop(entry.remove(key)),
            Value::Object(parts) => {
                let before = entry.remove(key).map(object).unwrap_or_default();
                entry.insert(key.clone(), merge(before, parts));
            }
            other => drop(entry.insert(key.clone(), other.clone())),
        }
    }
    Value::Object(entry)
}
