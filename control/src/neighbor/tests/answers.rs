//! What we say for ourselves: to requests, to conflicts, at link up.

use adit_dataplane::counters::Counter;

use super::frames::{Arp, Nd, O};
use super::*;

const PEER: &str = "198.51.100.9";
const PEER6: &str = "2001:db8:1::9";
const OWN6: &str = "2001:db8:1::1";

#[test]
fn a_request_for_our_address_on_its_port_is_answered_to_the_sender_alone() {
    let mut lab = Lab::new();
    lab.hear(&Arp::request(THEIRS, PEER, "198.51.100.1").frame());
    let expected = [
        "0 198.51.100.9 at 02:00:00:00:00:fe",
        "0 198.51.100.1 is-at 02:00:00:00:00:01 for 198.51.100.9, to 02:00:00:00:00:fe",
    ];
    assert_eq!(lab.said(), expected);
}

#[test]
fn nothing_else_is_answered_or_learned() {
    let mut lab = Lab::new();
    // The address of another port, of nobody, no address.
    for target in ["10.1.0.1", "198.51.100.77", "0.0.0.0"] {
        lab.hear(&Arp::request(THEIRS, PEER, target).frame());
    }
    lab.hear(&Arp::reply(THEIRS, PEER, "198.51.100.1").frame());
    for target in ["2001:db8:1::77", "fe80::ff:fe00:2"] {
        lab.hear(&Nd::solicitation(THEIRS, PEER6, "ff02::1:ff00:77", target).frame());
    }
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn who_is_not_on_the_link_is_answered_and_not_learned() {
    let mut lab = Lab::new();
    lab.hear(&Arp::request(THEIRS, "203.0.113.7", "198.51.100.1").frame());
    lab.hear(&Nd::solicitation(THEIRS, "2001:db8:2::7", "ff02::1:ff00:1", OWN6).frame());
    let expected = [
        "0 198.51.100.1 is-at 02:00:00:00:00:01 for 203.0.113.7, to 02:00:00:00:00:fe",
        "0 na 2001:db8:1::1 > 2001:db8:2::7 RSO 2001:db8:1::1 at 02:00:00:00:00:01, \
         to 02:00:00:00:00:fe",
    ];
    assert_eq!(lab.said(), expected);
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn a_probe_from_no_address_is_answered() {
    let mut lab = Lab::new();
    lab.hear(&Arp::request(THEIRS, "0.0.0.0", "198.51.100.1").frame());
    let expected = "0 198.51.100.1 is-at 02:00:00:00:00:01 for 0.0.0.0, to 02:00:00:00:00:fe";
    assert_eq!(lab.said(), [expected]);
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn a_solicitation_for_our_address_is_answered_to_the_sender_alone() {
    let mut lab = Lab::new();
    let answer = "0 na 2001:db8:1::1 > 2001:db8:1::9 RSO 2001:db8:1::1 at 02:00:00:00:00:01, \
                  to 02:00:00:00:00:fe";
    lab.hear(&Nd::solicitation(THEIRS, PEER6, "ff02::1:ff00:1", OWN6).frame());
    assert_eq!(lab.said(), ["0 2001:db8:1::9 at 02:00:00:00:00:fe", answer]);
    // Unicast, and without a link-layer address: to whom the frame came from.
    let probe = Nd { mac: None, ..Nd::solicitation(THEIRS, PEER6, OWN6, OWN6) };
    lab.hear(&probe.frame());
    assert_eq!(lab.said(), [answer]);
    let link_local = "fe80::ff:fe00:1";
    lab.hear(&Nd::solicitation(THEIRS, "fe80::9", "ff02::1:ff00:1", link_local).frame());
    assert_eq!(lab.said()[0], "0 fe80::9 at 02:00:00:00:00:fe");
}

#[test]
fn a_solicitation_without_a_link_layer_address_teaches_nothing() {
    let mut lab = Lab::new();
    let probe = Nd { mac: None, ..Nd::solicitation(THEIRS, PEER6, OWN6, OWN6) };
    lab.hear(&probe.frame());
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn duplicate_address_detection_for_our_address_is_answered_at_all_nodes() {
    let mut lab = Lab::new();
    lab.hear(&Nd::solicitation(THEIRS, "::", "ff02::1:ff00:1", OWN6).frame());
    let expected = "0 na 2001:db8:1::1 > ff02::1 R-O 2001:db8:1::1 at 02:00:00:00:00:01, \
                    to 33:33:00:00:00:01";
    assert_eq!(lab.said(), [expected]);
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn a_message_that_is_not_valid_is_refused_on_its_counter_and_teaches_nothing() {
    let mut lab = Lab::new();
    let request = Arp::request(THEIRS, PEER, "198.51.100.1");
    let group = MacAddress([3, 0, 0, 0, 0, 1]);
    for bad in [
        Arp { hardware_len: 8, ..request.clone() },
        Arp { operation: 3, ..request.clone() },
        Arp { sender: (group, PEER), ..request },
    ] {
        let refusal = lab.hear_on(WAN, &bad.frame()).unwrap_err();
        assert_eq!(refusal.counter(), Counter::ArpBad);
    }
    let solicitation = Nd::solicitation(THEIRS, PEER6, "ff02::1:ff00:1", OWN6);
    for bad in [
        Nd { hop_limit: 254, ..solicitation.clone() },
        Nd { option_units: 0, ..solicitation.clone() },
        Nd { target: "ff02::1", ..solicitation },
    ] {
        let refusal = lab.hear_on(WAN, &bad.frame()).unwrap_err();
        assert_eq!(refusal.counter(), Counter::NdBad);
    }
    assert_eq!(lab.said(), [""; 0]);
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn whoever_uses_our_address_is_reported_and_answered_once_in_ten_seconds() {
    let mut lab = Lab::new();
    let conflict = Arp::request(OTHERS, "198.51.100.1", "198.51.100.1").frame();
    lab.run_to(1000);
    lab.hear(&conflict);
    let expected = [
        "1000 notice: 02:00:00:00:00:77 uses our address 198.51.100.1 as well; remove it there \
         or here",
        "1000 announce 198.51.100.1, to all",
    ];
    assert_eq!(lab.said(), expected);
    lab.run_to(10_999);
    lab.hear(&conflict);
    lab.hear(&Arp::reply(OTHERS, "198.51.100.1", PEER).frame());
    assert_eq!(lab.said(), [""; 0]);
    lab.run_to(11_000);
    lab.hear(&conflict);
    assert_eq!(lab.said().len(), 2);
    assert_eq!(lab.neighbors.entries().count(), 0);
}

#[test]
fn whoever_advertises_or_asks_from_our_ipv6_address_is_answered_as_well() {
    let advertised = Nd::advertisement(OTHERS, OWN6, O).frame();
    let asked = Nd::solicitation(OTHERS, OWN6, "ff02::1:ff00:9", PEER6).frame();
    for frame in [advertised, asked] {
        let mut lab = Lab::new();
        lab.hear(&frame);
        let expected = [
            "0 notice: 02:00:00:00:00:77 uses our address 2001:db8:1::1 as well; remove it there \
             or here",
            "0 na 2001:db8:1::1 > ff02::1 R-O 2001:db8:1::1 at 02:00:00:00:00:01, \
             to 33:33:00:00:00:01",
        ];
        assert_eq!(lab.said(), expected);
    }
}

#[test]
fn our_own_frames_come_back_without_a_word() {
    let mut lab = Lab::new();
    lab.hear(&Arp::request(OURS, "198.51.100.1", "198.51.100.1").frame());
    lab.hear(&Arp::request(OURS, "198.51.100.1", PEER).frame());
    lab.hear(&Nd::advertisement(OURS, OWN6, O).frame());
    lab.hear(&Nd::solicitation(OURS, OWN6, "ff02::1:ff00:9", PEER6).frame());
    assert_eq!(lab.said(), [""; 0]);
}

#[test]
fn at_link_up_all_our_addresses_are_announced_twice() {
    let mut lab = Lab::new();
    lab.link_up();
    lab.run_to(100_000);
    let announcements = |at: u64| {
        let na = |address| {
            format!(
                "{at} na {address} > ff02::1 R-O {address} at 02:00:00:00:00:01, \
                 to 33:33:00:00:00:01"
            )
        };
        let arp = format!("{at} announce 198.51.100.1, to all");
        // Both addresses have the same last three bytes.
        let group = format!("{at} fe80::ff:fe00:1 joins ff02::1:ff00:1, to 33:33:00:00:00:16");
        [group, arp, na("2001:db8:1::1"), na("fe80::ff:fe00:1")]
    };
    assert_eq!(lab.said(), [announcements(0), announcements(2000)].concat());
}

#[test]
fn frames_that_are_neither_arp_nor_ipv6_are_not_looked_at() {
    let mut lab = Lab::new();
    let mut frame = Arp::request(THEIRS, PEER, "198.51.100.1").frame();
    assert_eq!(lab.hear_on(PortId(9), &frame), Ok(()));
    frame[12] = 0x88;
    assert_eq!(lab.hear_on(WAN, &frame), Ok(()));
    assert_eq!(lab.hear_on(WAN, &frame[..13]), Ok(()));
    assert_eq!(lab.said(), [""; 0]);
}
