//! What a change of configuration changes: for `adit plan`, and for `adit apply`, which refuses what only a restart
//! can do. Lines that moved within a file are no change.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use serde_json::{Map, Value};

use super::describe::{
    describe_api, describe_dataplane, describe_limits, describe_port, describe_route,
    describe_tunnel,
};
use super::model::{Config, Limits, Name, Port, Route};
use super::store::{Edit, Store};
use super::tunnel::Tunnel;

/// One thing that is not the same in two configurations.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The path of keys, as `tunnels.paris.ttl`; a route goes by its destination and metric.
    pub path: String,
    /// What was there.
    pub before: Option<Value>,
    /// What is there.
    pub after: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.before, &self.after) {
            (Some(Value::Object(entry)), None) => write!(f, "- {}{}", self.path, gist(entry)),
            (None, Some(Value::Object(entry))) => write!(f, "+ {}{}", self.path, gist(entry)),
            (Some(before), Some(after)) => write!(f, "~ {}: {before} → {after}", self.path),
            (Some(before), None) => write!(f, "- {}: {before}", self.path),
            (None, Some(after)) => write!(f, "+ {}: {after}", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

/// What tells a person which entry is meant; all of it would fill the screen.
fn gist(entry: &Map<String, Value>) -> String {
    let words: Vec<String> = ["mode", "type", "via", "tunnel", "local", "remote", "device"]
        .into_iter()
        .filter_map(|key| Some(format!("{key} {}", entry.get(key)?.as_str()?)))
        .collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
}

/// Everything that differs, section by section.
pub fn diff(old: &Config, new: &Config) -> Vec<Difference> {
    let mut differences = base_differences(old, new);
    entries(&mut differences, (&old.tunnels, &new.tunnels), tunnel_path, describe_tunnel);
    entries(&mut differences, (&old.routes, &new.routes), route_path, describe_route);
    differences
}

/// Entries whose differences are described; more than these nobody reads, and each takes time.
const DESCRIBED_MAX: usize = 1000;

/// What differs, as lines for people: against the configuration in force.
pub fn diff_from(old: &Store, new: &Config) -> Vec<String> {
    let differences = base_differences(old.base(), new);
    let mut lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let mut room = DESCRIBED_MAX;
    let tunnels = Changes::of_tunnels(old, new).limit(&mut room);
    let routes = Changes::of_routes(old, new, |_| true).limit(&mut room);
    let mut differences = Vec::new();
    tunnels.0.describe(&mut differences, tunnel_path, describe_tunnel);
    routes.0.describe(&mut differences, route_path, describe_route);
    lines.extend(differences.iter().map(ToString::to_string));
    let unlisted = tunnels.1 + routes.1;
    lines.extend((unlisted > 0).then(|| format!("and {unlisted} more tunnels and routes")));
    lines
}

/// What differs in one tunnel.
pub fn tunnel_difference(old: Option<&Tunnel>, new: Option<&Tunnel>) -> Vec<Difference> {
    difference(old, new, tunnel_path, describe_tunnel)
}

/// What differs in one route.
pub fn route_difference(old: Option<&Route>, new: Option<&Route>) -> Vec<Difference> {
    difference(old, new, route_path, describe_route)
}

fn difference<T: PartialEq>(
    old: Option<&T>,
    new: Option<&T>,
    path: fn(&T) -> String,
    describe: fn(&T) -> Value,
) -> Vec<Difference> {
    let gone = old.filter(|_| new.is_none());
    let changes = Changes::of(gone.into_iter().collect(), new.into_iter().map(|new| (old, new)));
    let mut differences = Vec::new();
    changes.describe(&mut differences, path, describe);
    differences
}

/// What makes the tunnels and routes in force those of `new`.
pub fn edits(old: &Store, new: &Config) -> Vec<Edit> {
    let tunnels = Changes::of_tunnels(old, new);
    let routes = Changes::of_routes(old, new, |route| !route.is_shorthand);
    let put_tunnel = |tunnel: &Tunnel| Edit::PutTunnel(Box::new(tunnel.clone()));
    let mut edits = Vec::new();
    edits.extend(routes.gone.iter().map(|route| Edit::RemoveRoute(route.to, route.metric)));
    edits.extend(tunnels.gone.iter().map(|one| Edit::RemoveTunnel(Name::clone(&one.name))));
    edits.extend(tunnels.changed.iter().map(|(_, now)| put_tunnel(now)));
    edits.extend(tunnels.new.iter().map(|now| put_tunnel(now)));
    edits.extend(routes.changed.iter().map(|(_, now)| Edit::PutRoute((*now).clone())));
    edits.extend(routes.new.iter().map(|now| Edit::PutRoute((*now).clone())));
    edits
}

/// Whether two configurations have everything in common but tunnels and routes.
pub fn is_same_base(old: &Config, new: &Config) -> bool {
    old.dataplane == new.dataplane
        && old.limits == new.limits
        && old.api == new.api
        && old.ports == new.ports
        && old.loopback == new.loopback
}

fn tunnel_path(tunnel: &Tunnel) -> String {
    format!("tunnels.{}", tunnel.name)
}

fn route_path(route: &Route) -> String {
    format!("routes.{} metric {}", route.to, route.metric)
}

/// Entries that are not the same in what runs and in a configuration.
struct Changes<'c, T> {
    gone: Vec<&'c T>,
    changed: Vec<(&'c T, &'c T)>,
    new: Vec<&'c T>,
}

impl<'c> Changes<'c, Tunnel> {
    fn of_tunnels(old: &'c Store, new: &'c Config) -> Self {
        let stays: HashSet<&str> = new.tunnels.iter().map(|tunnel| &*tunnel.name).collect();
        let gone = old.tunnels().map(|(_, one)| one).filter(|one| !stays.contains(&*one.name));
        let pairs = new.tunnels.iter().map(|now| (old.tunnel_named(&now.name), now));
        Self::of(gone.collect(), pairs)
    }
}

impl<'c> Changes<'c, Route> {
    fn of_routes(old: &'c Store, new: &'c Config, counts: fn(&Route) -> bool) -> Self {
        let key = |route: &Route| (route.to, route.metric);
        let stays: HashSet<_> = new.routes.iter().map(key).collect();
        let gone = old.routes().filter(|route| counts(route) && !stays.contains(&key(route)));
        let mut gone: Vec<&Route> = gone.collect();
        gone.sort_unstable_by_key(|route| key(route));
        let pairs = new.routes.iter().filter(|now| counts(now));
        let pairs = pairs.map(|now| (old.route(now.to, now.metric).filter(|one| counts(one)), now));
        Self::of(gone, pairs)
    }
}

impl<'c, T: PartialEq> Changes<'c, T> {
    fn of(gone: Vec<&'c T>, pairs: impl Iterator<Item = (Option<&'c T>, &'c T)>) -> Self {
        let mut changes = Self { gone, changed: Vec::new(), new: Vec::new() };
        for (before, now) in pairs {
            match before {
                None => changes.new.push(now),
                Some(before) if before != now => changes.changed.push((before, now)),
                Some(_) => {}
            }
        }
        changes
    }

    /// No more entries than there is room for, and how many are left out.
    fn limit(mut self, room: &mut usize) -> (Self, usize) {
        let mut unlisted = 0;
        let mut shorten = |len: usize| {
            let stays = len.min(*room);
            *room -= stays;
            unlisted += len - stays;
            stays
        };
        self.gone.truncate(shorten(self.gone.len()));
        self.changed.truncate(shorten(self.changed.len()));
        self.new.truncate(shorten(self.new.len()));
        (self, unlisted)
    }

    fn describe(
        &self,
        differences: &mut Vec<Difference>,
        path: fn(&T) -> String,
        describe: fn(&T) -> Value,
    ) {
        for entry in &self.gone {
            let before = Some(describe(entry));
            differences.push(Difference { path: path(entry), before, after: None });
        }
        for (before, now) in &self.changed {
            compare(differences, &path(now), &describe(before), &describe(now));
        }
        for entry in &self.new {
            let after = Some(describe(entry));
            differences.push(Difference { path: path(entry), before: None, after });
        }
    }
}

fn base_differences(old: &Config, new: &Config) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut settings = |section: &str, before: Value, after: Value| {
        compare(&mut differences, section, &before, &after);
    };
    settings("dataplane", describe_dataplane(&old.dataplane), describe_dataplane(&new.dataplane));
    settings("limits", describe_limits(&old.limits), describe_limits(&new.limits));
    settings("api", describe_api(&old.api), describe_api(&new.api));
    let port = |port: &Port| format!("ports.{}", port.name);
    entries(&mut differences, (&old.ports, &new.ports), port, describe_port);
    if old.loopback != new.loopback {
        let texts = |config: &Config| {
            config.loopback.addresses.iter().map(|net| Value::from(net.to_string())).collect()
        };
        differences.push(Difference {
            path: "loopback.addresses".to_owned(),
            before: Some(texts(old)),
            after: Some(texts(new)),
        });
    }
    differences
}

/// Entries of two lists that go by a name.
fn entries<T: PartialEq>(
    differences: &mut Vec<Difference>,
    (old, new): (&[T], &[T]),
    path: impl Fn(&T) -> String,
    describe: impl Fn(&T) -> Value,
) {
    if old == new {
        return;
    }
    let before = by(old, &path);
    let after = by(new, &path);
    for entry in old {
        let path = path(entry);
        match after.get(&path) {
            None => {
                differences.push(Difference { path, before: Some(describe(entry)), after: None });
            }
            Some(now) if *now != entry => {
                compare(differences, &path, &describe(entry), &describe(now));
            }
            Some(_) => {}
        }
    }
    for entry in new {
        let path = path(entry);
        if !before.contains_key(&path) {
            differences.push(Difference { path, before: None, after: Some(describe(entry)) });
        }
    }
}

fn by<T, K: Hash + Eq>(list: &[T], key: impl Fn(&T) -> K) -> HashMap<K, &T> {
    list.iter().map(|entry| (key(entry), entry)).collect()
}

/// The keys of two mappings.
fn compare(differences: &mut Vec<Difference>, path: &str, before: &Value, after: &Value) {
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return };
    for (key, value) in before {
        let now = after.get(key);
        if now != Some(value) {
            differences.push(Difference {
                path: format!("{path}.{key}"),
                before: Some(value.clone()),
                after: now.cloned(),
            });
        }
    }
    for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        differences.push(Difference {
            path: format!("{path}.{key}"),
            before: None,
            after: Some(value.clone()),
        });
    }
}

/// A change that a running appliance can't make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restart {
    /// The path of keys.
    pub path: String,
    /// What changes, in a sentence without a full stop.
    pub reason: String,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// What workers are set up with: rates, and memory.
fn limits_of_workers(limits: &Limits) -> ([u32; 3], [u64; 2]) {
    let rates = [
        limits.icmp_errors_per_second,
        limits.icmp_errors_per_source_per_second,
        limits.icmp_too_big_per_second,
    ];
    (rates, [limits.reassembly_memory_bytes, limits.reassembly_memory_per_peer_bytes])
}

/// Everything in `new` that needs a restart; empty: the change can be made while packets flow.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<Restart> {
    let mut restarts = Vec::new();
    let mut need = |path: String, reason: &str| {
        restarts.push(Restart { path, reason: reason.to_owned() });
    };
    let mut differences = Vec::new();
    let before = describe_dataplane(&old.dataplane);
    compare(&mut differences, "dataplane", &before, &describe_dataplane(&new.dataplane));
    for difference in differences {
        need(difference.path, "cores, buffers and bursts are set up at the start");
    }
    if limits_of_workers(&old.limits) != limits_of_workers(&new.limits) {
        let reason = "rates of ICMP errors and the memory of reassembly are set up at the start";
        need("limits".to_owned(), reason);
    }
    if old.api.socket != new.api.socket {
        need("api.socket".to_owned(), "the socket is opened at the start");
    }
    let before: HashMap<Name, &Port> = by(&old.ports, |port| port.name.clone());
    let after: HashMap<Name, &Port> = by(&new.ports, |port| port.name.clone());
    for port in old.ports.iter().filter(|port| !after.contains_key(&*port.name)) {
        need(format!("ports.{}", port.name), "a port is closed at the end only");
    }
    for port in &new.ports {
        let path = |key: &str| format!("ports.{}{key}", port.name);
        let Some(was) = before.get(&*port.name) else {
            need(path(""), "a port is opened at the start only");
            continue;
        };
        if was.device != port.device {
            need(path(".device"), "the device is another one");
        }
        if was.mtu != port.mtu {
            need(path(".mtu"), "the device is set up for packets of another size");
        }
        // A derived one follows the port's position, which is reported as such.
        let configured = |port: &Port| port.mac_is_configured.then_some(port.mac);
        if configured(was) != configured(port) {
            need(path(".macaddress"), "the device gets its address at the start");
        }
        if was.queues != port.queues {
            need(path(".queues"), "queues are set up at the start");
        }
        if was.offloads != port.offloads {
            need(path(".offloads"), "the device learns at the start what it does for us");
        }
        if was.rss != port.rss {
            need(path(".rss"), "the device learns at the start by what it spreads");
        }
    }
    let names =
        |config: &Config| -> Vec<_> { config.ports.iter().map(|port| port.name.clone()).collect() };
    let is_same_set = before.len() == after.len() && before.keys().all(|n| after.contains_key(n));
    if is_same_set && names(old) != names(new) {
        need("ports".to_owned(), "ports are numbered in the order of the file");
    }
    restarts
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::{Purpose, load_str};
    use super::*;

    const BASE: &str = r"
ports:
  wan: { device: net_tap0, addresses: [198.51.100.1/24] }
  lan: { device: net_tap1, addresses: [10.1.0.1/24] }
tunnels:
  paris: { mode: ipip, local: 198.51.100.1, remote: 203.0.113.2, routes: [10.2.0.0/16] }
routes:
  - { to: default, via: 198.51.100.254 }
";

    fn config(text: &str) -> Config {
        load_str("text", text, Purpose::Run)
            .map_err(|mistakes| mistakes.to_string())
            .unwrap()
            .config
    }

    fn difference(from: &str, to: &str) -> (Vec<String>, Vec<String>) {
        let (old, new) = (config(BASE), config(&BASE.replace(from, to)));
        let differences = diff(&old, &new).iter().map(ToString::to_string).collect();
        (differences, needs_restart(&old, &new).into_iter().map(|restart| restart.path).collect())
    }

    #[test]
    fn a_file_whose_lines_moved_is_the_same_configuration() {
        let (old, new) = (config(BASE), config(&format!("# a comment\n\n{BASE}")));
        assert_eq!(old, new);
        assert_eq!(diff(&old, &new), []);
    }

    #[test]
    fn tunnels_routes_neighbors_addresses_and_limits_change_without_a_restart() {
        for (from, to, expected) in [
            ("remote: 203.0.113.2", "remote: 203.0.113.3", "~ tunnels.paris.remote: "),
            ("remote: 203.0.113.2", "remote: 203.0.113.2, ttl: 9", "~ tunnels.paris.ttl: 64 → 9"),
            ("198.51.100.254", "198.51.100.253", "~ routes.0.0.0.0/0 metric 0.via: "),
            ("10.1.0.1/24", "10.1.0.2/24", "~ ports.lan.addresses: "),
            ("10.1.0.1/24]", "10.1.0.1/24], dad: no", "+ ports.lan.dad: false"),
            ("ports:", "limits: { decap-depth: 2 }\nports:", "~ limits.decap-depth: 1 → 2"),
            ("ports:", "loopback: { addresses: [192.0.2.1/32] }\nports:", "~ loopback.addresses: "),
        ] {
            let (differences, restarts) = difference(from, to);
            assert!(differences.iter().any(|line| line.starts_with(expected)), "{differences:?}");
            assert_eq!(restarts, Vec::<String>::new());
        }
    }

    #[test]
    fn entries_that_come_and_go_are_shown_by_what_tells_them_apart() {
        let (differences, restarts) = difference("  paris:", "  lyon:");
        let ends = "mode ipip, local 198.51.100.1, remote 203.0.113.2";
        assert!(differences.contains(&format!("- tunnels.paris: {ends}")), "{differences:?}");
        assert!(differences.contains(&format!("+ tunnels.lyon: {ends}")), "{differences:?}");
        assert!(restarts.is_empty());
    }

    #[test]
    fn of_many_changes_some_are_described_and_the_others_counted() {
        let tunnel = |n| format!("  t{n}: {{ mode: ipip, remote: {} }}\n", Ipv4Addr::from(n));
        let tunnels: Vec<String> = (0x4000_0000..0x4000_0000 + 1500_u32).map(tunnel).collect();
        let tunnels = tunnels.concat();
        let new = config(&BASE.replace("routes:\n", &format!("{tunnels}routes:\n")));
        let lines = diff_from(&Store::new(config(BASE), 9).unwrap(), &new);
        assert_eq!(lines.len(), DESCRIBED_MAX + 1);
        assert_eq!(lines[DESCRIBED_MAX], "and 500 more tunnels and routes");
        let lines = diff_from(&Store::new(new, 2000).unwrap(), &config(BASE));
        assert_eq!(lines[DESCRIBED_MAX], "and 500 more tunnels and routes");
    }

    #[test]
    fn devices_queues_mtu_cores_and_the_socket_need_a_restart() {
        for (from, to, expected) in [
            ("net_tap1", "net_tap2", "ports.lan.device"),
            ("10.1.0.1/24]", "10.1.0.1/24], mtu: 9000", "ports.lan.mtu"),
            ("10.1.0.1/24]", "10.1.0.1/24], queues: 2", "ports.lan.queues"),
            ("10.1.0.1/24]", "10.1.0.1/24], offloads: off", "ports.lan.offloads"),
            ("10.1.0.1/24]", "10.1.0.1/24], rss: outer", "ports.lan.rss"),
            ("  lan:", "  dmz: { device: net_tap9 }\n  lan:", "ports.dmz"),
            ("ports:", "dataplane: { burst: 16 }\nports:", "dataplane.burst"),
            ("ports:", "api: { socket: /tmp/s }\nports:", "api.socket"),
            ("ports:", "limits: { icmp-errors: 7/s }\nports:", "limits"),
            ("ports:", "limits: { reassembly-memory: 1MiB }\nports:", "limits"),
            ("net_tap1", "net_tap1, macaddress: \"02:00:00:00:00:09\"", "ports.lan.macaddress"),
        ] {
            let (_, restarts) = difference(from, to);
            assert_eq!(restarts, [expected]);
        }
        let renamed = difference("  lan:", "  inside:").1;
        assert_eq!(renamed, ["ports.lan", "ports.inside"]);
    }
}
