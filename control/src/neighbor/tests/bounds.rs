//! What hostile or careless networks can make us hold and send.

use std::net::Ipv4Addr;

use super::frames::Arp;
use super::*;

/// A port on 10.0.0.0/8, which somebody scans.
fn wide() -> PortSetup {
    PortSetup { addresses: vec!["10.0.0.1/8".parse().unwrap()], ..wan() }
}

fn host(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + number))
}

fn limits() -> NeighborLimits {
    NeighborLimits {
        entries_per_port: 40,
        incomplete_per_port: 10,
        requests_per_second: 1_000_000,
        request_burst: 1000,
        ..NeighborLimits::default()
    }
}

fn count(said: &[String], what: &str) -> usize {
    said.iter().filter(|line| line.contains(what)).count()
}

/// A neighbor answers the request that a packet makes us send.
fn meet(lab: &mut Lab, number: u32) {
    let IpAddr::V4(address) = host(number) else { return };
    lab.need_on(WAN, host(number), 1);
    let text: &'static str = Box::leak(address.to_string().into_boxed_str());
    lab.hear(&Arp::reply(THEIRS, text, "10.0.0.1").frame());
}

#[test]
fn a_scan_of_a_connected_net_is_held_to_the_newest_incomplete_neighbors() {
    let mut lab = Lab::with(limits(), vec![wide()], &[]);
    for number in 0..500 {
        lab.need_on(WAN, host(number), 7);
    }
    assert_eq!(lab.neighbors.entries().count(), 10);
    assert_eq!(lab.neighbors.held(), 10);
    assert_eq!(lab.neighbors.entries().next().unwrap().address, host(490));
    assert_eq!(count(&lab.said(), "drop 7"), 490);
    lab.run_to(100_000);
    assert_eq!(count(&lab.said(), "unreachable 7"), 10);
    lab.assert_conserved();
}

#[test]
fn a_scan_makes_no_more_requests_than_the_rate_allows() {
    let limits = NeighborLimits::default();
    let mut lab = Lab::with(limits, vec![wide()], &[]);
    // 20 000 packets in the first 10 ms, before any second request is due.
    for number in 0..20_000 {
        lab.now = Nanos(u64::from(number) * 500);
        lab.need_on(WAN, host(number), 7);
    }
    let asked = count(&lab.said(), "who-has");
    assert!((256..=256 + 10).contains(&asked), "{asked} requests");
    lab.clear(Filter::default());
    lab.assert_conserved();
}

#[test]
fn a_scan_takes_the_place_of_few_confirmed_neighbors_and_of_no_next_hop() {
    let mut lab = Lab::with(limits(), vec![wide()], &[(WAN, "10.0.0.254")]);
    lab.hear(&Arp::reply(THEIRS, "10.0.0.254", "10.0.0.1").frame());
    for number in 0..40 {
        meet(&mut lab, number);
    }
    for round in 0..5 {
        for number in 1000 * round..1000 * round + 300_u32 {
            lab.need_on(WAN, host(1000 + number), 7);
        }
        lab.run_to(4000 * (u64::from(round) + 1));
    }
    let confirmed = lab.neighbors.entries().filter(|entry| entry.mac.is_some()).count();
    assert_eq!(confirmed, 1 + 40 - 10);
    assert_eq!(lab.mac("10.0.0.254"), Some(THEIRS));
    assert_eq!(lab.neighbors.entries().count(), 1 + 40);
    lab.clear(Filter::default());
    lab.assert_conserved();
}

#[test]
fn neighbors_that_only_tell_do_not_drive_out_those_that_answered() {
    let mut lab = Lab::with(limits(), vec![wide()], &[]);
    for number in 0..35 {
        meet(&mut lab, number);
    }
    lab.said();
    for number in 100..200_u32 {
        lab.now = lab.now + std::time::Duration::from_millis(1);
        let text: &'static str = Box::leak(host(number).to_string().into_boxed_str());
        lab.hear(&Arp::request(OTHERS, text, "10.0.0.1").frame());
    }
    let said = lab.said();
    assert_eq!(count(&said, "is-at"), 100, "all are answered");
    assert_eq!(count(&said, "notice: more than 40 neighbors"), 1);
    let reachable = lab.neighbors.entries().filter(|entry| entry.state.name() == "reachable");
    assert_eq!(reachable.count(), 35);
    assert_eq!(lab.neighbors.entries().count(), 40);
    let newest = lab.neighbors.mac(WAN, host(199));
    assert_eq!(newest, Some(OTHERS));
    // With none of them left to give way, nobody is learned.
    let mut full = Lab::with(limits(), vec![wide()], &[]);
    for number in 0..40 {
        meet(&mut full, number);
    }
    full.hear(&Arp::request(OTHERS, "10.9.9.9", "10.0.0.1").frame());
    assert_eq!(full.mac("10.9.9.9"), None);
    assert_eq!(full.neighbors.entries().count(), 40);
}

#[test]
fn a_second_scan_of_neighbors_that_failed_is_held_to_the_rate_as_well() {
    let limits = NeighborLimits { requests_per_second: 2, request_burst: 4, ..limits() };
    let mut lab = Lab::with(limits, vec![wide()], &[]);
    for number in 0..4 {
        lab.need_on(WAN, host(number), 1);
    }
    lab.run_to(4000);
    lab.need_on(WAN, host(50), 1);
    lab.said();
    for number in 0..4 {
        lab.need_on(WAN, host(number), 2);
    }
    let said = lab.said();
    assert_eq!((count(&said, "who-has"), count(&said, "drop 2")), (3, 1), "{said:?}");
    lab.clear(Filter::default());
    lab.assert_conserved();
}

#[test]
fn a_neighbor_that_has_moved_is_unconfirmed_again_and_gives_way() {
    let mut lab = Lab::with(limits(), vec![wide()], &[]);
    for number in 0..40 {
        meet(&mut lab, number);
    }
    lab.hear(&Arp::request(OTHERS, "10.0.1.7", "10.0.1.7").frame());
    lab.hear(&Arp::request(THEIRS, "10.9.9.9", "10.0.0.1").frame());
    assert_eq!(lab.mac("10.0.1.7"), None);
    assert_eq!(lab.mac("10.9.9.9"), Some(THEIRS));
}

#[test]
fn all_waiting_packets_together_are_bounded_and_the_newest_of_a_neighbor_stay() {
    let limits = NeighborLimits { packets: 4, ..limits() };
    let mut lab = Lab::with(limits, vec![wide()], &[]);
    for tag in 1..=3 {
        lab.need_on(WAN, host(1), tag);
    }
    lab.need_on(WAN, host(2), 4);
    lab.said();
    lab.need_on(WAN, host(3), 5);
    assert_eq!(count(&lab.said(), "drop 5"), 1, "nothing of its own to give way");
    lab.need_on(WAN, host(2), 6);
    assert_eq!(lab.said(), ["0 drop 4"]);
    assert_eq!(lab.neighbors.held(), 4);
    lab.clear(Filter::default());
    lab.assert_conserved();
}

#[test]
fn next_hops_beyond_the_limit_are_reported_and_resolved_when_needed() {
    let limits = NeighborLimits { next_hops_per_port: 2, ..limits() };
    let hops = [(WAN, "10.0.0.11"), (WAN, "10.0.0.12"), (WAN, "10.0.0.13")];
    let mut lab = Lab::with(limits, vec![wide()], &hops);
    let said = lab.said();
    assert!(said[0].starts_with("0 notice: 3 next hops, of which 2 are kept resolved"), "{said:?}");
    assert_eq!(count(&said, "who-has"), 2);
    lab.need("10.0.0.13", 1);
    assert_eq!(count(&lab.said(), "who-has 10.0.0.13"), 1);
    lab.clear(Filter::default());
}

#[test]
fn next_hops_that_are_none_any_more_are_bound_like_others() {
    let limits = NeighborLimits { incomplete_per_port: 2, ..limits() };
    let hops = [(WAN, "10.0.0.11"), (WAN, "10.0.0.12"), (WAN, "10.0.0.13")];
    let mut lab = Lab::with(limits, vec![wide()], &hops);
    assert_eq!(lab.neighbors.entries().count(), 3);
    lab.configure(vec![wide()], &[]);
    assert_eq!(lab.neighbors.entries().count(), 2);
}

#[test]
fn limits_of_nothing_hold_nothing_and_lose_nothing() {
    let limits = NeighborLimits {
        entries_per_port: 0,
        incomplete_per_port: 0,
        next_hops_per_port: 0,
        packets_per_neighbor: 0,
        packets: 0,
        requests_per_second: 0,
        request_burst: 0,
        probes_per_second: 0,
    };
    let mut lab = Lab::with(limits, vec![wide()], &[(WAN, "10.0.0.11")]);
    for number in 0..5 {
        lab.need_on(WAN, host(number), 3);
        meet(&mut lab, 100 + number);
    }
    assert_eq!((lab.neighbors.held(), lab.neighbors.entries().count()), (0, 0));
    assert_eq!(count(&lab.said(), "drop"), 10);
    lab.assert_conserved();
}
