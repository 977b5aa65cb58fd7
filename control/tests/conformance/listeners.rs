//! Semantics D: queries for groups (RFC 3810, RFC 2710) in a replay, and what is answered when. The frames
//! are spelled out.

use std::net::Ipv6Addr;

use crate::addresses::{G_MAC, L_MAC, Mac};
use crate::bench::Bench;
use crate::capture::Time;
use crate::frames::ethernet;
use crate::icmp::icmp6_raw;
use crate::run::{Outcome, Replay, SECOND, START};

/// A router on the links.
const QUERIER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Where reports of version 2 go.
const ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// The link-local address of the port L.
const L_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);
/// The router alert of RFC 2711 with the value for these messages, and padding.
const ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// The groups of L: of its address that ends in 1, and of its link-local one.
const fn group(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, last)
}

const fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// A message of these protocols, with everything that both RFCs want of it.
fn message(
    (from, source): (Mac, Ipv6Addr),
    to: Ipv6Addr,
    kind: u8,
    word: [u8; 4],
    data: &[u8],
) -> Vec<u8> {
    let packet = icmp6_raw(source, to, (kind, 0), word, data).hop_limit(1);
    ethernet(group_mac(to), from, packet.extension(0, ALERT.to_vec()))
}

/// A query of version 1, for all groups or for one, that allows so many milliseconds.
fn old_query(group: Option<Ipv6Addr>, millis: u16) -> Vec<u8> {
    let [high, low] = millis.to_be_bytes();
    let asked = group.unwrap_or(Ipv6Addr::UNSPECIFIED).octets();
    let to = group.unwrap_or(ALL_NODES);
    message((G_MAC, QUERIER), to, 130, [high, low, 0, 0], &asked)
}

/// The same of version 2, for some sources of the group, or for all.
fn query(group: Option<Ipv6Addr>, sources: &[Ipv6Addr], millis: u16) -> Vec<u8> {
    let [high, low] = millis.to_be_bytes();
    let asked = group.unwrap_or(Ipv6Addr::UNSPECIFIED);
    let mut data = asked.octets().to_vec();
    data.extend([2, 125, 0, u8::try_from(sources.len()).unwrap()]);
    for source in sources {
        data.extend(source.octets());
    }
    message((G_MAC, QUERIER), group.unwrap_or(ALL_NODES), 130, [high, low, 0, 0], &data)
}

/// RFC 2710 §3: the group is listened to.
fn old_report(group: Ipv6Addr) -> Vec<u8> {
    message((L_MAC, L_LINK), group, 131, [0; 4], &group.octets())
}

/// RFC 3810 §5.2: a record of one kind for each group.
fn report(kind: u8, groups: &[Ipv6Addr], sources: &[Ipv6Addr]) -> Vec<u8> {
    let mut data = Vec::new();
    for group in groups {
        data.extend([kind, 0, 0, u8::try_from(sources.len()).unwrap()]);
        data.extend(group.octets());
        for source in sources {
            data.extend(source.octets());
        }
    }
    let count = u8::try_from(groups.len()).unwrap();
    message((L_MAC, L_LINK), ROUTERS, 143, [0, 0, 0, count], &data)
}

fn heard(frames: &[(Time, Vec<u8>)]) -> Outcome {
    let mut replay = Replay::new(Bench::bare());
    replay.linger = Some("12".into());
    for (at, frame) in frames {
        replay.input("l", *at, frame.clone());
    }
    replay.run()
}

/// What was sent on L, and in which millisecond.
fn sent(outcome: &Outcome) -> Vec<(u64, Vec<u8>)> {
    let records = &outcome.sent["l"];
    records.iter().map(|sent| ((sent.time - START) / 1_000_000, sent.frame.clone())).collect()
}

#[test]
fn a_querier_of_version_1_gets_a_report_for_each_group_within_its_time() {
    let outcome = heard(&[(0, old_query(None, 10_000))]);
    // Of ten seconds (2 + 1 + 1)/256 and (2 + 2 + 1)/256: the last bytes of MAC address and group.
    let expected = [(156, old_report(group(1))), (195, old_report(group(2)))];
    assert_eq!(sent(&outcome), expected);
    let outcome = heard(&[(0, old_query(Some(group(2)), 1000))]);
    assert_eq!(sent(&outcome), [(19, old_report(group(2)))]);
}

#[test]
fn who_has_heard_a_querier_of_version_1_answers_in_it() {
    let outcome = heard(&[(0, old_query(Some(group(9)), 0)), (SECOND, query(None, &[], 0))]);
    let expected = [(1000, old_report(group(1))), (1000, old_report(group(2)))];
    assert_eq!(sent(&outcome), expected);
}

#[test]
fn a_querier_of_version_2_hears_of_what_it_asks_for() {
    let all = heard(&[(0, query(None, &[], 10_000))]);
    assert_eq!(sent(&all), [(117, report(2, &[group(1), group(2)], &[]))]);
    let one = heard(&[(0, query(Some(group(1)), &[], 1000))]);
    assert_eq!(sent(&one), [(15, report(2, &[group(1)], &[]))]);
    let sources = ["2001:db8::1", "2001:db8::2"].map(|source| source.parse().unwrap());
    let some = heard(&[(0, query(Some(group(1)), &sources, 1000))]);
    assert_eq!(sent(&some), [(15, report(1, &[group(1)], &sources))]);
    let nobodys = heard(&[(0, query(Some(group(9)), &[], 1000))]);
    assert_eq!(sent(&nobodys), []);
}

#[test]
fn a_query_from_beyond_the_link_or_without_a_router_alert_is_not_answered() {
    let mut from_afar = query(None, &[], 0);
    from_afar[21] = 2;
    let mut other_alert = query(None, &[], 0);
    other_alert[14 + 40 + 5] = 1;
    let router: Ipv6Addr = "2001:db8:1::fe".parse().unwrap();
    let data = [0; 20];
    let global = message((G_MAC, router), ALL_NODES, 130, [0; 4], &data);
    for frame in [from_afar, other_alert, global] {
        assert_eq!(sent(&heard(&[(0, frame)])), []);
    }
}

#[test]
fn in_version_1_a_group_that_another_listener_reports_is_not_reported_again() {
    let other = (([2, 0, 0, 0, 0, 0x99]), "fe80::99".parse().unwrap());
    let report = message(other, group(1), 131, [0; 4], &group(1).octets());
    let outcome = heard(&[(0, old_query(None, 10_000)), (1_000_000, report)]);
    assert_eq!(sent(&outcome), [(195, old_report(group(2)))]);
    assert_eq!(outcome.counter("dataplane.ip.broadcast_dst"), 0);
}
