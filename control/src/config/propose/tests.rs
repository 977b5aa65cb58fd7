//! What is said about changes, and what they leave alone. That a change is refused if and only if the whole
//! would be wrong with it, a test of the engine holds with random changes.

use serde_json::json;

use super::super::{Config, DontFragment, Payload, Purpose, Touched, load_str};
use super::*;

const RUNNING_FILE: &str = r#"
ports:
  wan: { addresses: [198.51.100.1/24, "2001:db8:1::1/64"] }
  lan: { addresses: [10.1.0.1/24] }
  one: {}
  two: {}
  free: {}
defaults: { tunnels: { ttl: 32, min-outer-ttl: 3 } }
tunnels:
  paris: { mode: ipip, local: 198.51.100.1, remote: 203.0.113.2, routes: [10.2.0.0/16], dscp: 12,
           ttl: 64, addresses: [192.168.50.1/30] }
  lyon: { mode: sit, local: 198.51.100.1, remote: 203.0.113.3, static-mtu: 1300 }
  metz: { mode: sit, local: 198.51.100.1, remote: 203.0.113.33, dscp: 12 }
  bonn: { mode: gre, local: 198.51.100.1, remote: 203.0.113.4, keys: { input: 1, output: 2 }, checksum: yes }
  caen: { mode: ipip, local: 198.51.100.1, remote: 203.0.113.5, encap: { type: fou, dport: 5555, sport: 4000 } }
  alone: { mode: vxlan, id: 1, local: 198.51.100.1, remote: 203.0.113.6, attach: one }
  sites: { mode: vxlan, id: 2, local: 198.51.100.1, remotes: [203.0.113.6, 203.0.113.7], attach: two,
           mac-learning: yes, fdb: { "02:00:00:00:00:02": 203.0.113.7 } }
routes:
  - { to: default, via: 198.51.100.254 }
  - { to: 10.3.0.0/16, tunnel: paris }
  - { to: 10.4.0.0/16, tunnel: paris, metric: 5 }
  - { to: 10.4.0.0/16, type: blackhole, metric: 9 }
"#;

fn running() -> Store {
    let config: Config = load_str("text", RUNNING_FILE, Purpose::Replay).unwrap().config;
    Store::new(config, 8).unwrap()
}

fn tunnel(name: &str, verb: Verb) -> Result<Proposal, Refused> {
    propose(&running(), &Change { subject: Subject::Tunnel(name.to_owned()), verb })
}

fn route(to: &str, metric: Option<u32>, verb: Verb) -> Result<Proposal, Refused> {
    propose(&running(), &Change { subject: Subject::Route(to.to_owned(), metric), verb })
}

/// A change after another.
fn after(first: Result<Proposal, Refused>, then: &Change) -> Result<Proposal, Refused> {
    let mut store = running();
    store.edit(first?.edits, &mut Touched::default()).unwrap();
    propose(&store, then)
}

fn lines(proposal: &Proposal) -> Vec<String> {
    proposal.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn a_patch_changes_the_keys_it_names_and_no_other() {
    let proposal = tunnel("paris", Verb::Patch(json!({ "remote": "203.0.113.9" }))).unwrap();
    assert_eq!(lines(&proposal), [r#"~ tunnels.paris.remote: "203.0.113.2" → "203.0.113.9""#]);
    let proposal = tunnel("paris", Verb::Patch(json!({ "ttl": null }))).unwrap();
    assert_eq!(lines(&proposal), ["~ tunnels.paris.ttl: 64 → 32"], "the section defaults");
    let proposal = tunnel("paris", Verb::Patch(json!({ "dscp": 12 }))).unwrap();
    assert!(proposal.edits.is_empty() && proposal.differences.is_empty());
}

#[test]
fn a_key_that_is_taken_away_and_is_not_there_changes_nothing() {
    for key in ["mtu", "dont-fragment"] {
        let proposal = tunnel("lyon", Verb::Patch(json!({ key: null }))).unwrap();
        assert!(proposal.edits.is_empty(), "{key}: static-mtu stays");
    }
    let proposal = route("10.3.0.0/16", None, Verb::Patch(json!({ "type": null }))).unwrap();
    assert!(proposal.edits.is_empty());
}

#[test]
fn another_mode_brings_its_own_defaults_and_leaves_what_was_set() {
    let changes = json!({ "mode": "sit", "addresses": null });
    let proposal = tunnel("paris", Verb::Patch(changes)).unwrap();
    let [Edit::PutTunnel(tunnel)] = proposal.edits.as_slice() else { panic!("{proposal:?}") };
    assert_eq!((tunnel.settings.dscp, tunnel.settings.ttl.map(u8::from)), (Some(12), Some(64)));
    assert!(!tunnel.carries(Family::Ipv4), "sit carries IPv6 unless it says otherwise");
}

#[test]
fn a_payload_of_labels_takes_the_rules_of_labels_and_outlives_another_profile() {
    let labels = json!({ "payload": "mplsip" });
    let metz = patched("metz", labels.clone());
    assert_eq!((metz.payload, metz.settings.dscp), (Payload::Mplsip, Some(12)));
    let change = Change { subject: Subject::Tunnel("metz".to_owned()), verb: Verb::Patch(labels) };
    let mut store = running();
    store.edit(propose(&store, &change).unwrap().edits, &mut Touched::default()).unwrap();
    let verb = Verb::Patch(json!({ "profile": "routeros" }));
    let again = propose(&store, &Change { subject: change.subject, verb }).unwrap();
    let [Edit::PutTunnel(metz)] = again.edits.as_slice() else { panic!("{again:?}") };
    assert_eq!((metz.payload, metz.settings.dscp), (Payload::Mplsip, Some(12)));
    assert_eq!(metz.settings.dont_fragment, DontFragment::Pmtudisc, "around labels it is set");
}

#[test]
fn keys_that_exclude_each_other_take_each_others_place() {
    let proposal = tunnel("lyon", Verb::Patch(json!({ "mtu": 1400 }))).unwrap();
    let [Edit::PutTunnel(lyon)] = proposal.edits.as_slice() else { panic!("{proposal:?}") };
    assert_eq!((lyon.settings.mtu, lyon.settings.static_mtu), (Some(1400), false));
    let proposal = route("10.3.0.0/16", None, Verb::Patch(json!({ "type": "prohibit" }))).unwrap();
    let expected = Edit::PutRoute(Route {
        action: super::super::RouteAction::Prohibit,
        ..running().route("10.3.0.0/16".parse().unwrap(), 0).unwrap().clone()
    });
    assert_eq!(proposal.edits, [expected]);
}

#[test]
fn a_put_says_everything_and_what_it_leaves_out_is_default() {
    let entry = json!({ "mode": "ipip", "local": "198.51.100.1", "remote": "203.0.113.2" });
    let proposal = tunnel("paris", Verb::Put(entry)).unwrap();
    let expected = [
        r#"~ tunnels.paris.addresses: ["192.168.50.1/30"] → []"#,
        r#"~ tunnels.paris.routes: ["10.2.0.0/16"] → []"#,
        "~ tunnels.paris.ttl: 64 → 32",
        r#"~ tunnels.paris.dscp: 12 → "inherit""#,
    ];
    assert_eq!(lines(&proposal), expected);
    assert!(!proposal.is_new);
    let proposal = tunnel("nice", Verb::Put(json!({ "mode": "ipip", "remote": "203.0.113.7" })));
    let proposal = proposal.unwrap();
    assert!(proposal.is_new && lines(&proposal)[0].starts_with("+ tunnels.nice"));
}

#[test]
fn mistakes_say_whether_they_are_in_the_request_or_in_what_runs() {
    let said = |result: Result<Proposal, Refused>| match result {
        Err(Refused::Mistakes(mistakes)) => mistakes.to_string(),
        other => panic!("{other:?}"),
    };
    let text = said(tunnel("nice", Verb::Put(json!({ "mode": "ipop", "remot": "203.0.113.7" }))));
    assert!(text.contains("the request: error: tunnels.nice.mode: "), "{text}");
    assert!(text.contains("did you mean \"remote\"?"), "{text}");
    let twin = json!({ "mode": "ipip", "local": "198.51.100.1", "remote": "203.0.113.2" });
    let text = said(tunnel("nice", Verb::Put(twin)));
    assert!(text.contains("belongs to tunnel paris (the running configuration)"), "{text}");
    let text = said(tunnel("paris", Verb::Remove));
    assert!(text.contains("the running configuration: error: routes.10.3.0.0/16.tunnel"), "{text}");
    assert!(text.contains("routes.10.4.0.0/16 metric 5.tunnel: there is no tunnel"), "{text}");
    let text = said(route("10.9.0.0/16", None, Verb::Put(json!({ "via": "8.8.8.8" }))));
    assert!(
        text.contains("the request: error: route.via: 8.8.8.8 is on no connected net"),
        "{text}"
    );
    let text = said(route("10.9.0.0/16", None, Verb::Put(json!(7))));
    assert!(text.contains("the request: error: route: a mapping is expected"), "{text}");
}

#[test]
fn a_route_is_meant_by_its_destination_and_by_its_metric_where_there_are_several() {
    let proposal = route("10.4.0.0/16", Some(9), Verb::Remove).unwrap();
    assert_eq!(proposal.edits, [Edit::RemoveRoute("10.4.0.0/16".parse().unwrap(), 9)]);
    let words = |result: Result<Proposal, Refused>| result.unwrap_err().to_string();
    let several = words(route("10.4.0.0/16", None, Verb::Remove));
    assert!(several.contains("2 routes to 10.4.0.0/16"), "{several}");
    let shorthand = words(route("10.2.0.0/16", None, Verb::Remove));
    assert!(shorthand.contains("one of tunnel paris"), "{shorthand}");
    assert_eq!(words(route("10.7.0.0/16", None, Verb::Remove)), "there is no route to 10.7.0.0/16");
    assert_eq!(words(tunnel("rome", Verb::Patch(json!({})))), "there is no tunnel \"rome\"");
    let other = words(route("10.7.0.0/16", None, Verb::Put(json!({ "to": "10.8.0.0/16" }))));
    assert!(other.contains("10.8.0.0/16"), "{other}");
    let metric = json!({ "tunnel": "paris", "metric": 7 });
    let other = words(route("10.3.0.0/16", None, Verb::Patch(metric.clone())));
    assert!(other.contains("`metric` is 7"), "{other}");
    let other = words(route("10.3.0.0/16", Some(3), Verb::Put(metric)));
    assert!(other.contains("`metric` is 7"), "{other}");
}

#[test]
fn the_default_route_of_a_family_follows_from_its_next_hop() {
    let put = |via: &str, port: &str| {
        let entry = json!({ "via": via, "port": port });
        route("default", None, Verb::Put(entry)).unwrap().edits
    };
    let destination = |edits: Vec<Edit>| match edits.as_slice() {
        [Edit::PutRoute(route)] => route.to.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(destination(put("198.51.100.253", "wan")), "0.0.0.0/0");
    assert_eq!(destination(put("2001:db8:1::2", "wan")), "::/0");
    let proposal = route("default", None, Verb::Remove).unwrap();
    assert_eq!(proposal.edits, [Edit::RemoveRoute("0.0.0.0/0".parse().unwrap(), 0)]);
}

fn patched(name: &str, changes: serde_json::Value) -> Tunnel {
    let proposal = tunnel(name, Verb::Patch(changes)).unwrap();
    match proposal.edits.as_slice() {
        [Edit::PutTunnel(tunnel)] => Tunnel::clone(tunnel),
        [] => running().tunnel_named(name).unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_of_a_mapping_is_changed_and_the_rest_stays() {
    let keys = |changes| patched("bonn", changes).keys.map(|keys| (keys.input, keys.output));
    assert_eq!(keys(json!({ "keys": { "output": 9 } })), Some((Some(1), Some(9))));
    assert_eq!(keys(json!({ "keys": { "input": null } })), Some((None, Some(2))));
    assert_eq!(keys(json!({ "key": 7 })), Some((Some(7), Some(7))));
    assert_eq!(keys(json!({ "key": null })), None);
    let encap = patched("caen", json!({ "encap": { "dport": 7000 } })).encap.unwrap();
    assert_eq!((encap.dport, encap.port, encap.sport), (7000, 5555, Some(4000)));
    assert!(patched("caen", json!({ "encap": null })).encap.is_none());
}

#[test]
fn the_keys_of_gre_stay_as_long_as_the_tunnel_has_a_gre_header() {
    let same = patched("bonn", json!({ "mode": "gre", "comment": "x" }));
    assert_eq!(same.keys.unwrap().input, Some(1));
    let other = patched("bonn", json!({ "mode": "ipip" }));
    assert!(other.keys.is_none() && !other.settings.checksum);
    let summed = patched("caen", json!({ "profile": "linux" })).encap.unwrap();
    assert!(!summed.checksum, "the profile says so");
}

#[test]
fn a_udp_port_that_another_tunnel_needs_for_something_else_is_refused() {
    let wanted = |encap| json!({ "mode": "ipip", "local": "198.51.100.1", "remote": "203.0.113.77", "encap": encap });
    let gue = tunnel("new", Verb::Put(wanted(json!({ "type": "gue", "port": 5555 }))));
    assert!(matches!(gue, Err(Refused::Mistakes(_))), "{gue:?}");
    let fou = tunnel("new", Verb::Put(wanted(json!({ "type": "fou", "dport": 5555 }))));
    assert!(fou.is_ok(), "{fou:?}");
    let alone = tunnel("caen", Verb::Patch(json!({ "encap": { "type": "gue", "port": 5555 } })));
    assert!(alone.is_ok(), "it is its own port: {alone:?}");
}

#[test]
fn one_remote_and_several_take_each_others_place_and_nothing_else_does() {
    let several = patched("alone", json!({ "remotes": ["203.0.113.8", "203.0.113.9"] }));
    assert_eq!((several.remote, several.peers().count()), (None, 2));
    let one = patched("sites", json!({ "remote": "203.0.113.8" }));
    assert!(one.remote.is_some() && one.remotes.is_none());
    let still = patched("sites", json!({ "mac-learning": false })).remotes.unwrap();
    assert_eq!((still.learns, still.all.len(), still.fixed.len()), (false, 2, 1));
    let more = patched("sites", json!({ "fdb": { "02:00:00:00:00:03": "203.0.113.6" } }));
    assert_eq!(more.remotes.unwrap().fixed.len(), 2);
    let same = patched("sites", json!({ "fdb": { "02-00-00-00-00-02": "203.0.113.6" } }));
    let fixed = same.remotes.unwrap().fixed;
    assert_eq!((fixed.len(), fixed[0].1), (1, "203.0.113.6".parse().unwrap()), "one station");
    let none = patched("sites", json!({ "fdb": { "02-00-00-00-00-02": null } }));
    assert!(none.remotes.unwrap().fixed.is_empty());
    let twice = json!({ "fdb": { "02-00-00-00-00-03": "203.0.113.6", "02:00:00:00:00:03": "203.0.113.6" } });
    assert!(matches!(tunnel("sites", Verb::Patch(twice)), Err(Refused::Mistakes(_))));
    let refused = tunnel("alone", Verb::Patch(json!({ "mac-learning": true })));
    let Err(Refused::Mistakes(mistakes)) = refused else { panic!("{refused:?}") };
    assert_eq!(mistakes.mistakes.len(), 1, "{mistakes:?}");
}

#[test]
fn nothing_else_leaves_by_a_port_that_is_attached_whoever_comes_first() {
    let bound = |link| {
        let entry = json!({ "mode": "ipip", "local": "198.51.100.1", "remote": "203.0.113.77", "link": link });
        Verb::Put(entry)
    };
    assert!(tunnel("new", bound("lan")).is_ok());
    let attached = json!({ "mode": "gretap", "local": "198.51.100.1", "remote": "203.0.113.78", "attach": "free" });
    let frames =
        Change { subject: Subject::Tunnel("frames".to_owned()), verb: Verb::Put(attached) };
    let gateway = json!({ "via": "fe80::9", "port": "free" });
    let to = "2001:db8:9::/48";
    let refused = [
        tunnel("new", bound("one")),
        route(to, None, Verb::Put(json!({ "via": "fe80::9", "port": "one" }))),
        after(tunnel("new", bound("free")), &frames),
        after(route(to, None, Verb::Put(gateway)), &frames),
    ];
    for (case, refused) in refused.into_iter().enumerate() {
        let Err(Refused::Mistakes(mistakes)) = refused else { panic!("{case}: {refused:?}") };
        assert_eq!(mistakes.mistakes.len(), 1, "{case}: {mistakes:?}");
    }
}
