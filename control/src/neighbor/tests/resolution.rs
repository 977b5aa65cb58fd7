//! From the first packet to an answer, or to none.

use super::frames::{Arp, Nd, O, S};
use super::*;

const GATEWAY: &str = "198.51.100.254";
const ASK: &str = "who-has 198.51.100.254 tell 198.51.100.1, to all";

fn answer() -> Vec<u8> {
    Arp::reply(THEIRS, GATEWAY, "198.51.100.1").frame()
}

#[test]
fn a_silent_neighbor_is_asked_for_three_times_and_then_what_waits_is_unreachable() {
    let mut lab = Lab::new();
    lab.now = Nanos::from_millis(500);
    lab.need(GATEWAY, 1);
    lab.run_to(1200);
    lab.need(GATEWAY, 2);
    lab.run_to(3499);
    assert_eq!(lab.state(GATEWAY), "incomplete");
    lab.run_to(3500);
    let expected = [
        &format!("500 {ASK}"),
        &format!("1500 {ASK}"),
        &format!("2500 {ASK}"),
        "3500 unreachable 1",
        "3500 unreachable 2",
    ];
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.state(GATEWAY), "failed");
    lab.assert_conserved();
}

#[test]
fn an_answer_lets_what_waits_go_in_the_order_it_came() {
    let mut lab = Lab::new();
    for tag in 1..=3 {
        lab.need(GATEWAY, tag);
    }
    lab.run_to(40);
    lab.hear(&answer());
    let expected = [
        &format!("0 {ASK}"),
        "40 198.51.100.254 at 02:00:00:00:00:fe",
        "40 send 1 to 198.51.100.254",
        "40 send 2 to 198.51.100.254",
        "40 send 3 to 198.51.100.254",
    ];
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.state(GATEWAY), "reachable");
    lab.assert_conserved();
}

#[test]
fn an_answer_to_the_second_request_stops_the_third() {
    let mut lab = Lab::new();
    lab.need(GATEWAY, 1);
    lab.run_to(1700);
    lab.hear(&answer());
    lab.said();
    lab.run_to(29_000);
    assert_eq!(lab.said(), [""; 0]);
}

#[test]
fn the_three_newest_packets_wait_and_older_ones_are_dropped() {
    let mut lab = Lab::new();
    for tag in 1..=5 {
        lab.need(GATEWAY, tag);
    }
    assert_eq!(lab.said(), [&format!("0 {ASK}"), "0 drop 1", "0 drop 2"]);
    assert_eq!(lab.neighbors.held(), 3);
    lab.hear(&answer());
    let sent: Vec<_> = lab.said().into_iter().filter(|line| line.contains("send")).collect();
    let expected = [3, 4, 5].map(|tag| format!("0 send {tag} to {GATEWAY}"));
    assert_eq!(sent, expected);
    assert_eq!(lab.neighbors.held(), 0);
    lab.assert_conserved();
}

#[test]
fn a_packet_for_a_failed_neighbor_waits_one_second_for_one_more_request() {
    let mut lab = Lab::new();
    lab.need(GATEWAY, 1);
    lab.run_to(3600);
    lab.said();
    lab.need(GATEWAY, 2);
    lab.run_to(4000);
    lab.need(GATEWAY, 3);
    lab.run_to(10_000);
    let expected = [&format!("3600 {ASK}"), "4600 unreachable 2", "4600 unreachable 3"];
    assert_eq!(lab.said(), expected);
    lab.need(GATEWAY, 4);
    lab.run_to(10_300);
    lab.hear(&answer());
    let expected = [
        &format!("10000 {ASK}"),
        "10300 198.51.100.254 at 02:00:00:00:00:fe",
        "10300 send 4 to 198.51.100.254",
    ];
    assert_eq!(lab.said(), expected);
    lab.assert_conserved();
}

#[test]
fn a_target_is_asked_for_once_a_second_however_many_packets_want_it() {
    let mut lab = Lab::new();
    for step in 0..200 {
        lab.run_to(step * 100);
        lab.need(GATEWAY, 9);
    }
    let asked = lab.said().iter().filter(|line| line.ends_with(ASK)).count();
    assert_eq!(asked, 20, "in 20 seconds");
    lab.assert_conserved();
}

#[test]
fn a_failed_neighbor_that_nobody_wants_is_forgotten_after_a_minute() {
    let mut lab = Lab::new();
    lab.need(GATEWAY, 1);
    lab.run_to(62_999);
    assert_eq!(lab.state(GATEWAY), "failed");
    lab.run_to(63_000);
    assert_eq!(lab.state(GATEWAY), "unknown");
    assert_eq!(lab.neighbors.next_deadline(), None);
}

#[test]
fn a_next_hop_is_asked_for_before_a_packet_needs_it_and_every_second_while_it_fails() {
    let mut lab = Lab::with(NeighborLimits::default(), vec![wan()], &[(WAN, GATEWAY)]);
    lab.run_to(5500);
    let expected = [0, 1000, 2000, 3000, 4000, 5000].map(|at| format!("{at} {ASK}"));
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.state(GATEWAY), "failed");
    // It is known to fail, and asked for anyway: there is nothing to wait for.
    lab.need(GATEWAY, 1);
    assert_eq!(lab.said(), ["5500 unreachable 1"]);
    lab.run_to(5800);
    lab.hear(&answer());
    assert_eq!(lab.said(), ["5800 198.51.100.254 at 02:00:00:00:00:fe"]);
    assert_eq!(lab.state(GATEWAY), "reachable");
    lab.run_to(35_000);
    assert_eq!(lab.said(), [""; 0]);
}

#[test]
fn a_known_neighbor_lets_a_late_packet_go_at_once() {
    let mut lab = Lab::new();
    lab.need(GATEWAY, 1);
    lab.hear(&answer());
    lab.said();
    lab.need(GATEWAY, 2);
    assert_eq!(lab.said(), ["0 send 2 to 198.51.100.254"]);
}

#[test]
fn what_cannot_be_a_neighbor_is_unreachable_at_once_and_nobody_is_asked() {
    let mut lab = Lab::new();
    let strangers = [
        "198.51.100.0",
        "198.51.100.255",
        "198.51.100.1",
        "198.51.101.7",
        "10.1.0.7",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.5",
        "127.0.0.1",
        "2001:db8:2::7",
        "2001:db8:1::1",
        "fe80::ff:fe00:1",
        "ff02::5",
        "::1",
        "::",
    ];
    for stranger in strangers {
        lab.need(stranger, 1);
        assert_eq!(lab.said(), ["0 unreachable 1"], "{stranger}");
    }
    lab.need_on(PortId(9), ip(GATEWAY), 1);
    assert_eq!(lab.said(), ["0 unreachable 1"]);
    assert_eq!(lab.neighbors.entries().count(), 0);
    lab.assert_conserved();
}

#[test]
fn both_ends_of_a_point_to_point_net_are_hosts() {
    let setup = PortSetup { addresses: vec!["198.51.100.0/31".parse().unwrap()], ..wan() };
    let mut lab = Lab::with(NeighborLimits::default(), vec![setup], &[]);
    lab.need("198.51.100.1", 1);
    assert_eq!(lab.said(), ["0 who-has 198.51.100.1 tell 198.51.100.0, to all"]);
    lab.clear(Filter::default());
}

#[test]
fn a_next_hop_need_not_be_on_a_connected_net() {
    let setup = PortSetup { addresses: vec!["203.0.113.9/32".parse().unwrap()], ..wan() };
    let mut lab = Lab::with(NeighborLimits::default(), vec![setup], &[(WAN, GATEWAY)]);
    lab.hear(&Arp::reply(THEIRS, GATEWAY, "203.0.113.9").frame());
    let expected = [
        "0 who-has 198.51.100.254 tell 203.0.113.9, to all",
        "0 198.51.100.254 at 02:00:00:00:00:fe",
    ];
    assert_eq!(lab.said(), expected);
}

#[test]
fn an_address_on_the_net_of_the_target_asks_for_it() {
    let addresses = ["198.51.100.1/24", "192.0.2.1/24", "2001:db8:1::1/64", "2001:db8:7::1/64"];
    let addresses = addresses.map(|net| net.parse().unwrap()).to_vec();
    let mut lab = Lab::with(NeighborLimits::default(), vec![PortSetup { addresses, ..wan() }], &[]);
    lab.need("192.0.2.9", 1);
    lab.need("2001:db8:7::9", 2);
    let expected = [
        "0 who-has 192.0.2.9 tell 192.0.2.1, to all",
        "0 ns 2001:db8:7::1 > ff02::1:ff00:9 for 2001:db8:7::9 from 02:00:00:00:00:01, \
         to 33:33:ff:00:00:09",
    ];
    assert_eq!(lab.said(), expected);
    lab.clear(Filter::default());
}

#[test]
fn a_silent_ipv6_neighbor_is_solicited_three_times_at_its_group() {
    let mut lab = Lab::new();
    lab.need("2001:db8:1::fe", 1);
    lab.run_to(10_000);
    let ask = "ns 2001:db8:1::1 > ff02::1:ff00:fe for 2001:db8:1::fe from 02:00:00:00:00:01, \
               to 33:33:ff:00:00:fe";
    let expected =
        [&format!("0 {ask}"), &format!("1000 {ask}"), &format!("2000 {ask}"), "3000 unreachable 1"];
    assert_eq!(lab.said(), expected);
}

#[test]
fn a_link_local_neighbor_is_asked_for_from_the_link_local_address() {
    let mut lab = Lab::new();
    lab.need("fe80::99", 1);
    lab.hear(&Nd::advertisement(THEIRS, "fe80::99", S | O).frame());
    let expected = [
        "0 ns fe80::ff:fe00:1 > ff02::1:ff00:99 for fe80::99 from 02:00:00:00:00:01, \
         to 33:33:ff:00:00:99",
        "0 fe80::99 at 02:00:00:00:00:fe",
        "0 send 1 to fe80::99",
    ];
    assert_eq!(lab.said(), expected);
}

#[test]
fn a_request_of_the_neighbor_itself_is_as_good_as_its_answer_to_what_waits() {
    let mut lab = Lab::new();
    lab.need(GATEWAY, 1);
    lab.need("2001:db8:1::fe", 2);
    lab.said();
    lab.hear(&Arp::request(THEIRS, GATEWAY, "198.51.100.1").frame());
    let expected = [
        "0 198.51.100.254 at 02:00:00:00:00:fe",
        "0 send 1 to 198.51.100.254",
        "0 198.51.100.1 is-at 02:00:00:00:00:01 for 198.51.100.254, to 02:00:00:00:00:fe",
    ];
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.state(GATEWAY), "delay");
    let target = "2001:db8:1::1";
    lab.hear(&Nd::solicitation(THEIRS, "2001:db8:1::fe", "ff02::1:ff00:1", target).frame());
    assert_eq!(
        lab.said()[..2],
        ["0 2001:db8:1::fe at 02:00:00:00:00:fe", "0 send 2 to 2001:db8:1::fe"]
    );
    assert_eq!(lab.state("2001:db8:1::fe"), "delay");
}

#[test]
fn an_advertisement_without_a_mac_address_answers_nothing() {
    let mut lab = Lab::new();
    lab.need("2001:db8:1::fe", 1);
    lab.said();
    let bare = Nd { mac: None, ..Nd::advertisement(THEIRS, "2001:db8:1::fe", S | O) };
    lab.hear(&bare.frame());
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.state("2001:db8:1::fe"), "incomplete");
    lab.clear(Filter::default());
}
