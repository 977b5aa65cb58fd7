//! What a change of configuration, of carrier, or an operator does to what is known.

use super::frames::{Arp, Nd, O};
use super::*;

const PEER: &str = "198.51.100.9";

fn with_static(mac: MacAddress) -> PortSetup {
    PortSetup { static_neighbors: vec![(ip(PEER), mac)], ..wan() }
}

fn learn(lab: &mut Lab, peer: &'static str) {
    lab.need(peer, 1);
    lab.hear(&Arp::reply(THEIRS, peer, "198.51.100.1").frame());
    lab.said();
}

#[test]
fn a_static_neighbor_is_known_at_once_and_nothing_changes_or_probes_it() {
    let limits = NeighborLimits::default();
    let mut lab = Lab::with(limits, vec![with_static(THEIRS)], &[(WAN, PEER)]);
    assert_eq!(lab.said(), ["0 198.51.100.9 at 02:00:00:00:00:fe"]);
    assert_eq!(lab.state(PEER), "permanent");
    lab.hear(&Arp::reply(OTHERS, PEER, "198.51.100.1").frame());
    lab.hear(&Arp::request(OTHERS, PEER, PEER).frame());
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.clear(Filter::default()), 0);
    lab.neighbors.link_down(lab.now, WAN, &mut lab.actions);
    lab.run_to(1_000_000);
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.mac(PEER), Some(THEIRS));
}

#[test]
fn a_static_ipv6_neighbor_is_not_changed_by_advertisements_and_solicitations() {
    let peer = "2001:db8:1::9";
    let setup = PortSetup { static_neighbors: vec![(ip(peer), THEIRS)], ..wan() };
    let mut lab = Lab::with(NeighborLimits::default(), vec![setup], &[]);
    lab.hear(&Nd::advertisement(OTHERS, peer, O).frame());
    lab.hear(&Nd::solicitation(OTHERS, peer, "ff02::1:ff00:1", "2001:db8:1::1").frame());
    assert_eq!(lab.mac(peer), Some(THEIRS));
}

#[test]
fn a_neighbor_that_becomes_static_lets_go_what_waits_and_one_that_was_is_forgotten() {
    let mut lab = Lab::new();
    lab.need(PEER, 1);
    lab.said();
    lab.configure(vec![with_static(THEIRS)], &[]);
    let expected = ["0 198.51.100.9 at 02:00:00:00:00:fe", "0 send 1 to 198.51.100.9"];
    assert_eq!(lab.said(), expected);
    lab.configure(vec![with_static(OTHERS)], &[]);
    assert_eq!(lab.said(), ["0 198.51.100.9 at 02:00:00:00:00:77"]);
    lab.configure(vec![with_static(OTHERS)], &[]);
    assert_eq!(lab.said(), [""; 0]);
    lab.configure(vec![wan()], &[]);
    assert_eq!(lab.said(), ["0 198.51.100.9 nowhere"]);
    assert_eq!(lab.neighbors.next_deadline(), None);
    lab.assert_conserved();
}

#[test]
fn what_stays_configured_stays_known_and_the_rest_is_forgotten() {
    let mut lab = Lab::new();
    learn(&mut lab, PEER);
    lab.need_on(LAN, ip("10.1.0.9"), 2);
    lab.said();
    let mut moved = wan();
    moved.addresses.push("203.0.113.1/24".parse().unwrap());
    lab.configure(vec![moved.clone(), lan()], &[]);
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.state(PEER), "reachable");
    assert_eq!(lab.neighbors.held(), 1);
    // The net goes, then the port.
    moved.addresses.remove(0);
    lab.configure(vec![moved.clone(), lan()], &[]);
    assert_eq!(lab.said(), ["0 198.51.100.9 nowhere"]);
    lab.configure(vec![moved], &[]);
    assert_eq!(lab.said(), ["0 drop 2"]);
    assert_eq!(lab.neighbors.entries().count(), 0);
    lab.assert_conserved();
}

#[test]
fn an_address_that_becomes_ours_is_no_neighbor_any_more() {
    let mut lab = Lab::new();
    learn(&mut lab, PEER);
    let mut setup = wan();
    setup.addresses.push("198.51.100.9/24".parse().unwrap());
    lab.configure(vec![setup], &[]);
    assert_eq!(lab.said(), ["0 198.51.100.9 nowhere"]);
}

#[test]
fn a_neighbor_that_failed_and_becomes_a_next_hop_is_asked_for_again() {
    let mut lab = Lab::new();
    lab.need(PEER, 1);
    lab.run_to(3500);
    lab.said();
    lab.configure(vec![wan()], &[(WAN, PEER)]);
    lab.run_to(5000);
    let ask = "who-has 198.51.100.9 tell 198.51.100.1, to all";
    assert_eq!(lab.said(), [format!("3500 {ask}"), format!("4500 {ask}")]);
    // It is none any more, and nobody else wants it.
    lab.configure(vec![wan()], &[]);
    lab.run_to(100_000);
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.state(PEER), "unknown");
}

#[test]
fn new_addresses_are_announced_on_a_port_that_is_up() {
    let mut lab = Lab::new();
    let mut setup = wan();
    setup.addresses.push("203.0.113.1/24".parse().unwrap());
    lab.configure(vec![setup.clone()], &[]);
    assert_eq!(lab.said(), [""; 0], "no carrier yet");
    lab.link_up();
    lab.run_to(10_000);
    lab.said();
    setup.addresses.push("192.0.2.1/24".parse().unwrap());
    lab.configure(vec![setup.clone()], &[]);
    assert_eq!(lab.said(), ["10000 announce 192.0.2.1, to all"]);
    lab.run_to(20_000);
    lab.said();
    setup.mac = OTHERS;
    lab.configure(vec![setup], &[]);
    assert_eq!(lab.said().len(), 5, "all are announced when the MAC address is another");
}

#[test]
fn groups_of_addresses_that_come_and_go_are_reported_on_a_port_that_is_up() {
    let mut lab = Lab::new();
    lab.link_up();
    lab.run_to(10_000);
    lab.said();
    let mut setup = wan();
    setup.addresses[1] = "2001:db8:1::abcd:1234/64".parse().unwrap();
    lab.configure(vec![setup.clone()], &[]);
    let said = lab.said();
    let group = "ff02::1:ffcd:1234, to 33:33:00:00:00:16";
    assert_eq!(said[0], format!("10000 fe80::ff:fe00:1 joins {group}"), "{said:?}");
    // That of the other address is that of the link-local one, too.
    assert_eq!(said.iter().filter(|line| line.contains("leaves")).count(), 0, "{said:?}");
    lab.run_to(20_000);
    let again = lab.said();
    assert!(again[0].starts_with("12000 fe80::ff:fe00:1 joins ff02::1:ff00:1, joins ff02::1:ffcd"));
    lab.configure(vec![wan()], &[]);
    assert_eq!(lab.said()[0], format!("20000 fe80::ff:fe00:1 leaves {group}"));
}

#[test]
fn next_hops_that_cannot_be_asked_for_are_reported() {
    let v6_only = PortSetup { addresses: vec!["2001:db8:1::1/64".parse().unwrap()], ..wan() };
    let lab_hops = [(WAN, PEER), (WAN, "2001:db8:1::1"), (WAN, "fe80::9")];
    let mut lab = Lab::with(NeighborLimits::default(), vec![v6_only], &lab_hops);
    let said = lab.said();
    assert!(said[0].starts_with("0 notice: next hop 198.51.100.9 can't be asked for"), "{said:?}");
    assert!(said[1].starts_with("0 notice: next hop 2001:db8:1::1 can't be asked"), "{said:?}");
    assert!(said[2].starts_with("0 ns fe80::ff:fe00:1 > "), "{said:?}");
    assert_eq!(said.len(), 3);
}

#[test]
fn clear_forgets_what_fits_the_filter_and_asks_for_next_hops_anew() {
    let mut lab = Lab::with(NeighborLimits::default(), vec![wan(), lan()], &[(WAN, PEER)]);
    lab.hear(&Arp::reply(THEIRS, PEER, "198.51.100.1").frame());
    learn(&mut lab, "198.51.100.10");
    learn(&mut lab, "198.51.100.11");
    lab.need_on(LAN, ip("10.1.0.9"), 2);
    lab.said();
    assert_eq!(lab.clear(Filter { port: None, address: Some(ip("198.51.100.10")) }), 1);
    assert_eq!(lab.said(), ["0 198.51.100.10 nowhere"]);
    assert_eq!(lab.clear(Filter { port: Some(WAN), address: None }), 2);
    let expected = [
        "0 198.51.100.9 nowhere",
        "0 198.51.100.11 nowhere",
        "0 who-has 198.51.100.9 tell 198.51.100.1, to all",
    ];
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.clear(Filter { port: Some(LAN), address: None }), 1);
    assert_eq!(lab.said(), ["0 drop 2"]);
    lab.assert_conserved();
}

#[test]
fn without_carrier_neighbors_are_forgotten_and_next_hops_asked_for_when_it_is_back() {
    let mut lab = Lab::with(NeighborLimits::default(), vec![wan()], &[(WAN, PEER)]);
    lab.link_up();
    lab.hear(&Arp::reply(THEIRS, PEER, "198.51.100.1").frame());
    lab.run_to(5000);
    lab.said();
    lab.neighbors.link_down(lab.now, WAN, &mut lab.actions);
    lab.take();
    assert_eq!(lab.said(), ["5000 198.51.100.9 nowhere"]);
    lab.run_to(9000);
    assert_eq!(lab.said(), [""; 0]);
    lab.link_up();
    let said = lab.said();
    assert_eq!(said.last().unwrap(), "9000 who-has 198.51.100.9 tell 198.51.100.1, to all");
}

#[test]
fn entries_tell_what_an_operator_wants_to_know() {
    let mut lab = Lab::with(NeighborLimits::default(), vec![with_static(THEIRS)], &[]);
    lab.run_to(2000);
    learn(&mut lab, "198.51.100.10");
    lab.run_to(7000);
    lab.need("198.51.100.11", 3);
    lab.run_to(8500);
    let entries: Vec<_> = lab.neighbors.entries().collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.address, entry.state.name(), entry.mac, entry.since, entry.held))
        .collect();
    let expected = [
        (ip(PEER), "permanent", Some(THEIRS), Nanos(0), 0),
        (ip("198.51.100.10"), "reachable", Some(THEIRS), Nanos::from_secs(2), 0),
        (ip("198.51.100.11"), "incomplete", None, Nanos::from_secs(7), 1),
    ];
    assert_eq!(told, expected);
    lab.clear(Filter::default());
}
