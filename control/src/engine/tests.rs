//! Any sequence of changes against the configuration that they add up to, compiled as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::soft_state::{PathMtu, TunnelPath};
use adit_dataplane::tables::{Group, NextHop, Tables};
use adit_dataplane::tunnel::lookup::{Found, Protocols};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::config::{self, Change, Purpose, Refused, Subject, Verb, load_str, propose};

const BASE: &str = r#"
  "limits": { "nested-encaps": 2 },
  "ports": {
    "wan": { "addresses": ["198.51.100.1/24", "2001:db8:1::1/64"] },
    "lan": { "addresses": ["10.1.0.1/24"], "mtu": 1400 } },
  "loopback": { "addresses": ["192.0.2.1/32", "192.0.2.2/32"] }
"#;

/// Everything that the changes are about.
#[derive(Debug, Clone, Default)]
struct Wanted {
    tunnels: BTreeMap<String, Value>,
    routes: BTreeMap<(String, u32), Value>,
}

impl Wanted {
    fn load(&self) -> Option<Config> {
        let tunnels: Map<_, _> = self.tunnels.clone().into_iter().collect();
        let routes: Vec<_> = self.routes.values().cloned().collect();
        let (tunnels, routes) = (Value::Object(tunnels), Value::Array(routes));
        let text = format!("{{ {BASE}, \"tunnels\": {tunnels}, \"routes\": {routes} }}");
        load_str("wanted", &text, Purpose::Replay).ok().map(|loaded| loaded.config)
    }
}

/// A change, as numbers that choose.
type Choice = (u8, u8, u8, u8, u8, u8);

fn pick<T: Copy>(list: &[T], number: u8) -> T {
    list[usize::from(number) % list.len()]
}

const REMOTES: [&str; 10] = [
    "10.1.0.7",
    "10.1.0.255",
    "203.0.113.1",
    "203.0.113.2",
    "198.51.100.77",
    "172.16.0.5",
    "172.16.1.5",
    "172.17.0.2",
    "10.9.0.2",
    "10.1.0.9",
];

const SHORTHAND: [&[&str]; 5] = [
    &[],
    &["172.16.0.0/16"],
    &["172.16.1.0/24", "172.17.0.0/30"],
    &["10.9.0.0/24"],
    &["203.0.113.0/25"],
];

const LOCALS: [&str; 4] = ["192.0.2.1", "192.0.2.2", "172.17.0.1", "10.9.0.1"];

const ADDRESSES: [&[&str]; 7] = [
    &[],
    &["172.17.0.1/30"],
    &["10.9.0.1/29"],
    &["172.16.1.1/32"],
    &["10.1.0.7/32"],
    &["10.1.0.254/32"],
    &["10.1.0.253/25", "2001:db8:9::1/64"],
];

const DESTINATIONS: [&str; 5] =
    ["0.0.0.0/0", "203.0.113.0/24", "172.16.0.0/12", "172.16.1.5/32", "10.0.0.0/8"];

/// A change, and what is wanted with it.
fn change(wanted: &mut Wanted, (what, name, a, b, c, d): Choice) -> Change {
    let name = format!("t{}", name % 6);
    let (to, metric) = (pick(&DESTINATIONS, a), u32::from(b % 3));
    match what % 8 {
        0..=2 => {
            let entry = tunnel((a, b, c, d));
            wanted.tunnels.insert(name.clone(), entry.clone());
            Change { subject: Subject::Tunnel(name), verb: Verb::Put(entry) }
        }
        3 => {
            wanted.tunnels.remove(&name);
            Change { subject: Subject::Tunnel(name), verb: Verb::Remove }
        }
        4..=6 => {
            let entry = route(to, metric, [name, format!("t{}", d % 6)], c);
            wanted.routes.insert((to.to_owned(), metric), entry.clone());
            Change { subject: Subject::Route(to.to_owned(), None), verb: Verb::Put(entry) }
        }
        _ => {
            wanted.routes.remove(&(to.to_owned(), metric));
            let subject = Subject::Route(to.to_owned(), Some(metric));
            Change { subject, verb: Verb::Remove }
        }
    }
}

fn tunnel((a, b, c, d): (u8, u8, u8, u8)) -> Value {
    let mut tunnel = json!({
        "mode": pick(&["ipip", "sit"], b),
        "remote": pick(&REMOTES, a),
        "routes": pick(&SHORTHAND, c),
        "addresses": pick(&ADDRESSES, d),
        "enabled": c % 7 != 0,
        "latency": d % 3 == 0,
        "ttl": a.max(1),
    });
    if d % 2 == 0 {
        tunnel["local"] = match b / 2 % 4 {
            0 => json!([pick(&LOCALS, b / 8), pick(&LOCALS, c)]),
            _ => json!(pick(&LOCALS, b / 8)),
        };
    }
    if d % 5 == 0 {
        tunnel["link"] = json!(pick(&["wan", "lan"], a));
    }
    tunnel
}

fn route(to: &str, metric: u32, tunnels: [String; 2], choice: u8) -> Value {
    let [first, second] = tunnels;
    let hops = [
        json!({ "via": "198.51.100.254" }),
        json!({ "via": "10.1.0.254" }),
        json!({ "tunnel": first }),
        json!({ "tunnel": second }),
    ];
    let mut route = match choice % 9 {
        0 => json!({ "type": "blackhole" }),
        1 => json!({ "next-hops": [hops[0], hops[2]] }),
        2 => json!({ "next-hops": [hops[2], hops[3]] }),
        8 => json!({ "next-hops": [hops[0], hops[1]] }),
        choice => hops[usize::from(choice) % 4].clone(),
    };
    route["to"] = json!(to);
    route["metric"] = json!(metric);
    route
}

/// A controller's tables, with names in the place of numbers.
struct Named<'c>(&'c Controller);

impl Named<'_> {
    fn tables(&self) -> &Tables {
        self.0.pair.live()
    }

    fn tunnel(&self, id: TunnelId) -> String {
        self.0.store.tunnel(id).map_or_else(|| "nobody".into(), |tunnel| tunnel.name.to_string())
    }

    fn next_hop(&self, next_hop: NextHop) -> String {
        match next_hop {
            NextHop::Tunnel(id) => self.tunnel(id),
            NextHop::Via(id) => format!("{:?}", self.tables().neighbors.adjacency(id)),
            NextHop::Group(id) => {
                let group = self.tables().next_hops.group(id).map(Group::buckets);
                let members = group.unwrap_or_default().iter().map(|hop| self.next_hop(*hop));
                format!("{:?}", members.collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        }
    }

    /// The ends of a path, and how many paths there are.
    fn path(&self, path: TunnelPath) -> String {
        let mut all = self.0.compiler.paths().iter();
        let found = all.find(|(id, ..)| *id == path).map(|(_, ends, _)| ends);
        format!("{found:?} of {}", self.0.compiler.paths().iter().count())
    }

    fn routes(&self) -> Vec<String> {
        let addresses = [
            "203.0.113.1",
            "203.0.113.2",
            "203.0.113.200",
            "198.51.100.77",
            "198.51.100.1",
            "198.51.100.255",
            "172.16.0.5",
            "172.16.1.5",
            "172.16.1.1",
            "172.17.0.0",
            "172.17.0.1",
            "172.17.0.2",
            "172.17.0.3",
            "172.20.0.1",
            "10.9.0.0",
            "10.9.0.1",
            "10.9.0.2",
            "10.9.0.7",
            "10.9.0.9",
            "10.1.0.7",
            "10.1.0.9",
            "10.1.0.255",
            "8.8.8.8",
            "192.0.2.1",
        ];
        let route = |text: &&str| {
            let address: std::net::Ipv4Addr = text.parse().unwrap();
            format!("{text} {}", self.next_hop(self.tables().route_ipv4(address.into())))
        };
        let mut routes: Vec<String> = addresses.iter().map(route).collect();
        for address in ["2001:db8:1::9", "fe80::1", "fe80::c000:201", "fe80::c000:202"] {
            let number = u128::from(address.parse::<std::net::Ipv6Addr>().unwrap());
            let next_hop = self.next_hop(self.tables().route_ipv6(number));
            routes.push(format!(
                "{address} {next_hop} {}",
                self.tables().local.contains_ipv6(number)
            ));
        }
        routes
    }

    /// What a packet between two addresses is decapsulated by.
    fn found(&self) -> Vec<String> {
        let mut all = Vec::new();
        for remote in ["203.0.113.1", "203.0.113.2", "198.51.100.77", "172.16.0.5", "10.9.0.2"] {
            for local in ["192.0.2.1", "192.0.2.2", "198.51.100.1"] {
                for (protocol, port) in
                    [(Protocols::IPV4, 0), (Protocols::IPV6, 0), (Protocols::IPV4, 1)]
                {
                    let number =
                        |text: &str| u32::from(text.parse::<std::net::Ipv4Addr>().unwrap());
                    let tunnels = &self.tables().tunnels_by_ipv4;
                    let port = Some(PortId(port));
                    all.push(match tunnels.find(number(local), number(remote), protocol, port) {
                        Found::Tunnel(id) => self.tunnel(id),
                        other => format!("{other:?}"),
                    });
                }
            }
        }
        all
    }

    fn setups(&self) -> BTreeMap<String, String> {
        let setup = |(id, tunnel): (TunnelId, &config::Tunnel)| {
            let built = self.tables().tunnel(id).unwrap();
            let mut setup = adit_dataplane::tunnel::TunnelSetup::clone(&built.setup);
            let underlay = self.next_hop(std::mem::take(&mut setup.underlay));
            assert_eq!(setup.slot.0, id.0);
            setup.slot = adit_dataplane::counters::CounterSlot(0);
            let none = TunnelPath::NONE;
            let mut paths = vec![std::mem::replace(&mut setup.path, none)];
            paths.extend(std::mem::take(&mut setup.more_paths));
            let paths: Vec<String> = paths.into_iter().map(|path| self.path(path)).collect();
            let measured = setup.latency.take().is_some();
            let standing = &self.0.compiler.info(id).unwrap().standing;
            let built = &built.rewrite;
            let text = format!("{underlay} {paths:?} {measured} {standing:?} {setup:?} {built:?}");
            (tunnel.name.to_string(), text)
        };
        self.0.store.tunnels().map(setup).collect()
    }
}

pub(super) fn controller(config: Config) -> Controller {
    let facts = config.ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu });
    let facts = facts.collect();
    let settings = ControllerSettings { seed: 1, workers: 0, is_settled: true };
    let mut controller = Controller::new(config, facts, &settings).unwrap();
    controller.start(Nanos(0));
    controller
}

fn assert_same(changed: &Controller, wanted: Config) -> Result<(), TestCaseError> {
    let whole = controller(wanted);
    let (changed, whole) = (Named(changed), Named(&whole));
    prop_assert_eq!(changed.routes(), whole.routes());
    prop_assert_eq!(changed.found(), whole.found());
    prop_assert_eq!(changed.setups(), whole.setups());
    let locals = |named: &Named<'_>| named.tables().local.iter().collect::<BTreeSet<IpAddr>>();
    prop_assert_eq!(locals(&changed), locals(&whole));
    let next_hops = |named: &Named<'_>| -> BTreeSet<(PortId, IpAddr)> {
        named.0.compiler.next_hops().into_iter().collect()
    };
    prop_assert_eq!(next_hops(&changed), next_hops(&whole));
    let reported = |named: &Named<'_>| serde_json::to_value(named.0.routes()).unwrap();
    prop_assert_eq!(reported(&changed), reported(&whole));
    // Asked for one by one, they are the same.
    let routes = whole.0.routes().routes;
    for route in &routes {
        let to = crate::report::Routes::destination(&route.to).unwrap();
        let same: Vec<_> = routes.iter().filter(|other| other.to == route.to).cloned().collect();
        prop_assert_eq!(whole.0.routes_to(to).routes, same);
    }
    prop_assert_eq!(whole.0.routes_to("192.88.99.0/24".parse().unwrap()).routes, vec![]);
    Ok(())
}

/// Edits for a change; nothing where there is nothing to remove. What is refused must be wrong in the
/// whole, and the other way round.
fn proposed(
    store: &config::Store,
    change: &Change,
    whole: Option<&Config>,
) -> Result<Option<Vec<config::Edit>>, TestCaseError> {
    match (propose(store, change), whole) {
        (Ok(proposal), Some(_)) => Ok(Some(proposal.edits)),
        (Err(Refused::Mistakes(_)), None)
        | (Err(Refused::Missing(_) | Refused::Conflict(_)), _) => Ok(None),
        (Ok(proposal), None) => Err(TestCaseError::fail(format!("{change:?}: {proposal:?}"))),
        (Err(refused), Some(_)) => Err(TestCaseError::fail(format!("{change:?}: {refused}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn tables_after_any_changes_are_those_of_the_configuration_they_add_up_to(
        choices in proptest::collection::vec(any::<Choice>(), 1..40),
    ) {
        let mut wanted = Wanted::default();
        let mut changed = controller(wanted.load().unwrap());
        let mut count = 0;
        for choice in choices {
            let mut next = wanted.clone();
            let change = change(&mut next, choice);
            let whole = next.load();
            prop_assert!(changed.can_change());
            let Some(edits) = proposed(changed.store(), &change, whole.as_ref())? else { continue };
            wanted = next;
            changed.stage(edits, Nanos(0)).unwrap();
            changed.turn(Nanos(0));
            count += 1;
            if count % 3 != 0 {
                changed.publish();
            }
        }
        changed.publish();
        assert_same(&changed, wanted.load().unwrap())?;
    }

    #[test]
    fn applying_another_configuration_is_like_starting_with_it(
        before in proptest::collection::vec(any::<Choice>(), 1..30),
        after in proptest::collection::vec(any::<Choice>(), 1..30),
    ) {
        let load = |choices: Vec<Choice>| {
            let mut wanted = Wanted::default();
            for choice in choices {
                let mut next = wanted.clone();
                change(&mut next, choice);
                if next.load().is_some() {
                    wanted = next;
                }
            }
            wanted.load().unwrap()
        };
        let (before, after) = (load(before), load(after));
        let mut changed = controller(before.clone());
        changed.apply(after.clone(), Nanos(0)).unwrap();
        assert_same(&changed, after.clone())?;
        // Another limit takes tables that are made anew.
        let mut other = after;
        other.limits.decap_depth += 1;
        let mut changed = controller(before);
        changed.apply(other.clone(), Nanos(0)).unwrap();
        assert_same(&changed, other)?;
    }
}

pub(super) const TWO_WAYS: &str = r#"{
  "ports": {
    "wan": { "addresses": ["198.51.100.1/24"] },
    "backup": { "addresses": ["203.0.113.1/24"] },
    "lan": { "addresses": ["10.1.0.1/24"] } },
  "loopback": { "addresses": ["192.0.2.1/32"] },
  "tunnels": {
    "paris": { "mode": "ipip", "local": "192.0.2.1", "remote": "198.18.0.1", "routes": ["10.2.0.0/16"] },
    "six": { "mode": "sit", "local": "192.0.2.1", "remote": "198.18.0.1" },
    "lyon": { "mode": "ipip", "local": "192.0.2.1", "remote": "198.18.0.2" } },
  "routes": [{ "to": "default", "via": "198.51.100.254" }]
}"#;

pub(super) fn two_ways(text: &str) -> Config {
    load_str("ways", text, Purpose::Replay).unwrap().config
}

/// A controller that knows of a path MTU of 1400 for both remotes, and the paths.
fn taught() -> (Controller, [TunnelPath; 3]) {
    let controller = controller(two_ways(TWO_WAYS));
    let path = |name| {
        let id = controller.store.tunnel_id(name).unwrap();
        controller.pair.live().tunnel(id).unwrap().setup.path
    };
    let paths = ["paris", "six", "lyon"].map(path);
    for path in [paths[0], paths[2]] {
        let mtu = PathMtu { mtu: 1400, is_locked: false };
        assert!(controller.soft_state.learn(path, mtu, Nanos(0), Nanos::from_secs(600)));
    }
    (controller, paths)
}

fn mtus(controller: &Controller) -> Vec<(String, u16)> {
    let tunnels = controller.tunnels(Nanos(0)).tunnels;
    tunnels.into_iter().map(|tunnel| (tunnel.name, tunnel.mtu)).collect()
}

#[test]
fn what_was_learnt_about_a_path_is_that_of_all_its_tunnels_and_outlives_changes_of_them() {
    let (mut controller, paths) = taught();
    assert_eq!(paths[0], paths[1]);
    let small = |names: [&str; 3]| names.map(|name| (name.to_owned(), 1380)).to_vec();
    assert_eq!(mtus(&controller), small(["paris", "six", "lyon"]));
    // One by one, and as a whole.
    let other_ttl = TWO_WAYS.replace("\"mode\": \"ipip\"", "\"mode\": \"ipip\", \"ttl\": 9");
    controller.apply(two_ways(&other_ttl), Nanos(0)).unwrap();
    assert_eq!(mtus(&controller), small(["paris", "six", "lyon"]));
    let limits =
        TWO_WAYS.replace("{\n  \"ports\"", "{ \"limits\": { \"decap-depth\": 2 },\n  \"ports\"");
    controller.apply(two_ways(&limits), Nanos(0)).unwrap();
    assert_eq!(mtus(&controller), small(["paris", "six", "lyon"]));
}

#[test]
fn what_was_learnt_is_forgotten_when_the_route_leaves_by_another_port() {
    for sweeping in [false, true] {
        let (mut controller, _) = taught();
        let mut text = TWO_WAYS.replace("198.51.100.254", "203.0.113.254");
        if sweeping {
            text = text
                .replace("{\n  \"ports\"", "{ \"limits\": { \"decap-depth\": 2 },\n  \"ports\"");
        }
        controller.apply(two_ways(&text), Nanos(0)).unwrap();
        assert!(mtus(&controller).iter().all(|(_, mtu)| *mtu == 1480), "{:?}", mtus(&controller));
        assert_eq!(controller.paths(Nanos(0)).paths, []);
    }
}

#[test]
fn paths_are_shown_with_their_tunnels_and_cleared_by_tunnel_or_end() {
    let (controller, _) = taught();
    let shown = controller.paths(Nanos::from_secs(100)).paths;
    let paris = shown.iter().find(|path| path.remote == "198.18.0.1").unwrap();
    assert_eq!(paris.tunnels, ["paris", "six"]);
    assert_eq!((paris.local.as_str(), paris.mtu, paris.expires_s), ("192.0.2.1", 1400, Some(500)));
    assert_eq!(paris.port.as_deref(), Some("wan"));
    assert_eq!(controller.paths(Nanos::from_secs(601)).paths, []);
    let (mut controller, _) = taught();
    assert_eq!(controller.clear_paths(Some("nowhere")), None);
    assert_eq!(controller.clear_paths(Some("198.18.0.9")), None);
    assert_eq!(controller.clear_paths(Some("six")), Some(1));
    assert_eq!(controller.clear_paths(Some("192.0.2.1")), Some(1));
    assert_eq!(controller.clear_paths(None), Some(0));
    assert_eq!(mtus(&controller)[0].1, 1480);
}
