//! What becomes of a neighbor that is known.

use super::frames::{Arp, Nd, O, S};
use super::*;

const PEER: &str = "198.51.100.9";
const PEER6: &str = "2001:db8:1::9";
const PROBE: &str = "who-has 198.51.100.9 tell 198.51.100.1, to 02:00:00:00:00:fe";

fn answer() -> Vec<u8> {
    Arp::reply(THEIRS, PEER, "198.51.100.1").frame()
}

/// Reachable since 0.
fn known() -> Lab {
    let mut lab = Lab::new();
    lab.need(PEER, 1);
    lab.hear(&answer());
    lab.said();
    lab
}

fn known6() -> Lab {
    let mut lab = Lab::new();
    lab.need(PEER6, 1);
    lab.hear(&Nd::advertisement(THEIRS, PEER6, S | O).frame());
    lab.said();
    lab
}

#[test]
fn a_reachable_neighbor_is_probed_alone_after_30_seconds_and_its_answer_renews_it() {
    let mut lab = known();
    lab.run_to(29_999);
    assert_eq!(lab.said(), [""; 0]);
    lab.run_to(30_010);
    assert_eq!(lab.said(), [format!("30000 {PROBE}")]);
    assert_eq!(lab.state(PEER), "probe");
    lab.hear(&answer());
    assert_eq!(lab.state(PEER), "reachable");
    lab.run_to(60_009);
    assert_eq!(lab.said(), [""; 0]);
    lab.run_to(60_010);
    assert_eq!(lab.said(), [format!("60010 {PROBE}")]);
}

#[test]
fn a_neighbor_that_answers_no_probe_is_forgotten_and_stays_in_use_until_then() {
    let mut lab = known();
    lab.run_to(32_999);
    assert_eq!(lab.mac(PEER), Some(THEIRS));
    lab.run_to(33_000);
    let expected = [
        &format!("30000 {PROBE}"),
        &format!("31000 {PROBE}"),
        &format!("32000 {PROBE}"),
        "33000 198.51.100.9 nowhere",
    ];
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.state(PEER), "unknown");
    lab.need(PEER, 2);
    assert_eq!(lab.said(), ["33000 who-has 198.51.100.9 tell 198.51.100.1, to all"]);
    lab.clear(Filter::default());
}

#[test]
fn a_next_hop_that_answers_no_probe_is_asked_for_among_all() {
    let mut lab = Lab::with(NeighborLimits::default(), vec![wan()], &[(WAN, PEER)]);
    lab.hear(&answer());
    lab.run_to(32_999);
    lab.said();
    lab.run_to(37_500);
    let ask = "who-has 198.51.100.9 tell 198.51.100.1, to all";
    let mut expected = vec!["33000 198.51.100.9 nowhere".to_owned()];
    expected.extend([33, 34, 35, 36, 37].map(|second| format!("{second}000 {ask}")));
    assert_eq!(lab.said(), expected);
}

#[test]
fn a_reachable_ipv6_neighbor_is_solicited_at_its_own_address() {
    let mut lab = known6();
    lab.run_to(33_000);
    let probe = "ns 2001:db8:1::1 > 2001:db8:1::9 for 2001:db8:1::9 from 02:00:00:00:00:01, \
                 to 02:00:00:00:00:fe";
    let expected = [
        &format!("30000 {probe}"),
        &format!("31000 {probe}"),
        &format!("32000 {probe}"),
        "33000 2001:db8:1::9 nowhere",
    ];
    assert_eq!(lab.said(), expected);
}

#[test]
fn who_asks_for_us_is_learned_and_probed_five_seconds_later() {
    let mut lab = Lab::new();
    lab.hear(&Arp::request(THEIRS, PEER, "198.51.100.1").frame());
    assert_eq!(lab.mac(PEER), Some(THEIRS));
    assert_eq!(lab.state(PEER), "delay");
    lab.said();
    lab.run_to(5000);
    assert_eq!(lab.said(), [format!("5000 {PROBE}")]);
    lab.hear(&answer());
    assert_eq!(lab.state(PEER), "reachable");
}

#[test]
fn probes_that_fall_due_together_are_spread_and_whoever_waits_is_stale() {
    let limits = NeighborLimits { probes_per_second: 2, ..NeighborLimits::default() };
    let mut lab = Lab::with(limits, vec![wan()], &[]);
    let peers = ["198.51.100.21", "198.51.100.22", "198.51.100.23"];
    for peer in peers {
        lab.need(peer, 1);
        lab.hear(&Arp::reply(THEIRS, peer, "198.51.100.1").frame());
    }
    lab.said();
    lab.run_to(30_200);
    let states = peers.map(|peer| lab.state(peer));
    assert_eq!(states, ["probe", "stale", "stale"]);
    assert_eq!(lab.mac(peers[2]), Some(THEIRS));
    lab.run_to(30_999);
    lab.run_to(31_000);
    let probe = |peer| format!("who-has {peer} tell 198.51.100.1, to 02:00:00:00:00:fe");
    let expected = [
        format!("30000 {}", probe(peers[0])),
        format!("30500 {}", probe(peers[1])),
        format!("31000 {}", probe(peers[0])),
        format!("31000 {}", probe(peers[2])),
    ];
    assert_eq!(lab.said(), expected);
}

#[test]
fn an_announcement_moves_a_known_neighbor_and_makes_no_new_one() {
    let mut lab = known();
    lab.run_to(10_000);
    lab.hear(&Arp::request(OTHERS, PEER, PEER).frame());
    assert_eq!(lab.said(), ["10000 198.51.100.9 at 02:00:00:00:00:77"]);
    assert_eq!(lab.state(PEER), "delay");
    lab.hear(&Arp::request(OTHERS, "198.51.100.50", "198.51.100.50").frame());
    lab.hear(&Arp::reply(OTHERS, "198.51.100.51", "198.51.100.1").frame());
    lab.hear(&Arp::request(OTHERS, "198.51.100.52", "198.51.100.77").frame());
    lab.hear(&Nd::advertisement(OTHERS, "2001:db8:1::50", O).frame());
    lab.hear(&Nd::advertisement(OTHERS, "2001:db8:1::51", S | O).frame());
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.neighbors.entries().count(), 1);
    // Where it is now has to be confirmed.
    lab.run_to(15_000);
    let expected = "15000 who-has 198.51.100.9 tell 198.51.100.1, to 02:00:00:00:00:77";
    assert_eq!(lab.said(), [expected]);
}

#[test]
fn a_reply_that_nobody_asked_for_moves_a_neighbor_that_then_has_to_confirm_it() {
    let mut lab = known();
    lab.hear(&Arp::reply(OTHERS, PEER, "198.51.100.1").frame());
    assert_eq!(lab.said(), ["0 198.51.100.9 at 02:00:00:00:00:77"]);
    assert_eq!(lab.state(PEER), "delay");
}

#[test]
fn a_request_for_somebody_else_moves_its_sender_as_well() {
    let mut lab = known();
    lab.hear(&Arp::request(OTHERS, PEER, "198.51.100.77").frame());
    assert_eq!(lab.said(), ["0 198.51.100.9 at 02:00:00:00:00:77"]);
}

#[test]
fn a_broadcast_of_a_neighbor_that_is_probed_is_no_answer() {
    let mut lab = known();
    lab.run_to(30_500);
    lab.said();
    lab.hear(&Arp::request(THEIRS, PEER, "198.51.100.77").frame());
    assert_eq!(lab.state(PEER), "probe");
    lab.run_to(33_000);
    assert_eq!(lab.state(PEER), "unknown");
}

#[test]
fn a_probe_that_another_station_answers_moves_the_neighbor() {
    let mut lab = known();
    lab.run_to(30_500);
    lab.said();
    lab.hear(&Arp::reply(OTHERS, PEER, "198.51.100.1").frame());
    assert_eq!(lab.said(), ["30500 198.51.100.9 at 02:00:00:00:00:77"]);
    assert_eq!(lab.state(PEER), "reachable");
}

#[test]
fn an_advertisement_that_may_not_replace_makes_a_reachable_neighbor_doubtful_only() {
    let mut lab = known6();
    lab.run_to(1000);
    lab.hear(&Nd::advertisement(OTHERS, PEER6, S).frame());
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!((lab.mac(PEER6), lab.state(PEER6)), (Some(THEIRS), "delay".to_owned()));
    // In doubt already, it is not heard at all.
    lab.hear(&Nd::advertisement(OTHERS, PEER6, S).frame());
    lab.run_to(6000);
    assert!(lab.said()[0].starts_with("6000 ns "));
    assert_eq!(lab.mac(PEER6), Some(THEIRS));
}

#[test]
fn an_advertisement_that_may_replace_moves_the_neighbor() {
    let mut lab = known6();
    lab.hear(&Nd::advertisement(OTHERS, PEER6, O).frame());
    assert_eq!(lab.said(), ["0 2001:db8:1::9 at 02:00:00:00:00:77"]);
    assert_eq!(lab.state(PEER6), "delay");
    lab.hear(&Nd::advertisement(OTHERS, PEER6, S | O).frame());
    assert_eq!(lab.state(PEER6), "reachable");
}

#[test]
fn an_advertisement_without_a_mac_address_confirms_a_neighbor_that_is_probed() {
    let mut lab = known6();
    lab.run_to(30_200);
    lab.said();
    let bare = Nd { mac: None, ..Nd::advertisement(THEIRS, PEER6, S) };
    lab.hear(&bare.frame());
    assert_eq!(lab.state(PEER6), "reachable");
    assert_eq!(lab.said(), [""; 0]);
}

#[test]
fn an_unsolicited_advertisement_of_the_same_address_is_no_confirmation() {
    let mut lab = known6();
    lab.run_to(30_200);
    lab.hear(&Nd::advertisement(THEIRS, PEER6, O).frame());
    assert_eq!(lab.state(PEER6), "probe");
}
