//! Semantics D: duplicate address detection (RFC 4862 §5.4) in a replay that plays the start. The frames are
//! spelled out, with their times.

use std::net::Ipv6Addr;

use crate::addresses::{BROADCAST_MAC, G_MAC, G6, H6, L_MAC, Mac, P6, R, U, U_MAC, U6};
use crate::bench::Bench;
use crate::capture::Time;
use crate::frames::{IPIP, ethernet, from_gateway, peer6, to_host, udp4};
use crate::icmp::{echo_reply6, echo_request6, icmp6_raw};
use crate::neighbor::{advertisement, arp, arp_frame, joins, solicited_node};
use crate::run::{MILLISECOND, Outcome, Replay, SECOND, START};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
/// Of the port U, as its MAC address says.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
/// How long nobody has objected when an address is used.
const PROOF: Time = SECOND;

/// RFC 4862 §5.4.2: is there anybody at `target`?
fn doubt(from: Mac, target: Ipv6Addr) -> Vec<u8> {
    let (group, mac) = solicited_node(target);
    let asks = icmp6_raw(Ipv6Addr::UNSPECIFIED, group, (135, 0), [0; 4], &target.octets());
    ethernet(mac, from, asks)
}

/// The announcement of a router: R and O are set, S is not.
fn announcement(from: Mac, address: Ipv6Addr) -> Vec<u8> {
    ethernet(ALL_NODES_MAC, from, advertisement(address, ALL_NODES, 0xa0, from))
}

/// A replay of the start, in which U hears `frames` at their times, the first at 0, and L nothing.
fn started(bench: Bench, frames: impl IntoIterator<Item = (Time, Vec<u8>)>) -> Outcome {
    let mut replay = Replay::new(bench);
    replay.boot = true;
    replay.linger = Some("4".into());
    // Something that concerns nobody tells when the start is.
    replay.input("u", 0, ethernet([2, 0, 0, 0, 0, 0x99], G_MAC, udp4(R, U, 60)));
    for (after, frame) in frames {
        replay.input("u", after, frame);
    }
    replay.run()
}

/// What was sent on a port, with the time since the start.
fn sent(outcome: &Outcome, port: &str) -> Vec<(Time, Vec<u8>)> {
    let records = &outcome.sent[port];
    records.iter().map(|record| (record.time - START, record.frame.clone())).collect()
}

fn has(outcome: &Outcome, port: &str, frame: &[u8]) -> bool {
    outcome.frames(port).iter().any(|sent| sent == frame)
}

#[test]
fn each_address_is_asked_for_behind_its_report_and_announced_when_a_second_has_passed() {
    let outcome = started(Bench::bare(), []);
    let groups = [solicited_node(U6).0];
    let whole = arp(1, (U_MAC, U), ([0; 6], U));
    let tells = arp_frame(BROADCAST_MAC, U_MAC, whole);
    let report = joins(U_MAC, LINK_LOCAL, &groups);
    let announced = [announcement(U_MAC, U6), announcement(U_MAC, LINK_LOCAL)];
    let expected = [
        (0, joins(U_MAC, Ipv6Addr::UNSPECIFIED, &groups)),
        (0, tells.clone()),
        (0, doubt(U_MAC, U6)),
        (0, doubt(U_MAC, LINK_LOCAL)),
        (PROOF, report.clone()),
        (PROOF, announced[0].clone()),
        (PROOF, announced[1].clone()),
        (3 * SECOND, report),
        (3 * SECOND, tells),
        (3 * SECOND, announced[0].clone()),
        (3 * SECOND, announced[1].clone()),
    ];
    assert_eq!(sent(&outcome, "u"), expected);
    assert_eq!(outcome.counter("dataplane.nd.duplicate"), 0);
}

#[test]
fn without_detection_addresses_are_announced_at_once() {
    let outcome = started(Bench::bare().set("ports.u.dad", "no"), []);
    let at_once: Vec<_> = sent(&outcome, "u").into_iter().filter(|(at, _)| *at == 0).collect();
    assert_eq!(at_once.len(), 4);
    assert_eq!(at_once[0].1, joins(U_MAC, LINK_LOCAL, &[solicited_node(U6).0]));
    assert!(at_once.contains(&(0, announcement(U_MAC, U6))));
    assert!(has(&outcome, "l", &doubt(L_MAC, "2001:db8:1::1".parse().unwrap())), "L is asked");
}

/// A packet for H out of the tunnel over IPv6, and as it comes out on L.
fn carried(len: usize) -> (Vec<u8>, Vec<u8>) {
    let inner = udp4(R, crate::addresses::H, len);
    (from_gateway(peer6(IPIP, inner.clone())), to_host(inner.ttl(63)))
}

#[test]
fn an_address_ends_a_tunnel_when_its_second_has_passed_and_not_before() {
    let (early, not_seen) = carried(100);
    let (late, seen) = carried(101);
    let ping = |id: usize| {
        let request = ethernet(U_MAC, G_MAC, echo_request6(G6, U6, 60 + id));
        (request, ethernet(G_MAC, U_MAC, echo_reply6(U6, G6, 60 + id)))
    };
    let ((first, silent), (second, answered)) = (ping(1), ping(2));
    let outcome = started(
        Bench::any6(),
        [
            (500 * MILLISECOND, early),
            (500 * MILLISECOND, first),
            (1001 * MILLISECOND, late),
            (1001 * MILLISECOND, second),
        ],
    );
    assert!(!has(&outcome, "l", &not_seen) && has(&outcome, "l", &seen));
    assert!(!has(&outcome, "u", &silent) && has(&outcome, "u", &answered));
    assert_eq!(outcome.counter("dataplane.ip6.unproved"), 2, "both ended in silence");
    assert_eq!(outcome.counter("tunnels.n6.rx_packets"), 1);
}

#[test]
fn nothing_enters_a_tunnel_whose_address_is_not_used_yet() {
    let mut replay = Replay::new(Bench::any6());
    replay.boot = true;
    replay.linger = Some("2".into());
    let packet = |len| crate::frames::from_host(udp4(crate::addresses::H, R, len));
    replay.input("l", 0, packet(100));
    replay.input("l", 1001 * MILLISECOND, packet(101));
    let outcome = replay.run();
    let entered: Vec<usize> =
        outcome.frames("u").iter().filter(|frame| frame[20] == IPIP).map(Vec::len).collect();
    assert_eq!(entered, [14 + 40 + 101]);
    assert_eq!(outcome.counter("tunnels.n6.tx_packets"), 1);
    // The first had no route, and H, whose family has no such detection, is told so.
    assert_eq!(outcome.counter("dataplane.ip4.no_route"), 1);
    assert_eq!(outcome.counter("dataplane.icmp.tx"), 1);
}

#[test]
fn an_address_that_somebody_else_has_stays_unused_and_the_others_come_into_use() {
    let (packet, not_seen) = carried(100);
    let (group, group_mac) = solicited_node(U6);
    let option = [&U6.octets()[..], &[1, 1], &G_MAC].concat();
    let asks = ethernet(group_mac, G_MAC, icmp6_raw(G6, group, (135, 0), [0; 4], &option));
    let from_link = "fe80::9".parse().unwrap();
    let ping = ethernet(U_MAC, G_MAC, echo_request6(from_link, LINK_LOCAL, 60));
    let owner = [2, 0, 0, 0, 0, 0x77];
    for (name, objection) in [
        (
            "it is told of",
            ethernet(ALL_NODES_MAC, owner, advertisement(U6, ALL_NODES, 0x20, owner)),
        ),
        ("it is asked for, too", doubt(owner, U6)),
    ] {
        let frames = [
            (300 * MILLISECOND, objection),
            (1500 * MILLISECOND, packet.clone()),
            (1500 * MILLISECOND, asks.clone()),
            (1500 * MILLISECOND, ping.clone()),
        ];
        let outcome = started(Bench::any6(), frames);
        assert_eq!(outcome.counter("dataplane.nd.duplicate"), 1, "{name}");
        assert_eq!(outcome.counter("dataplane.ip6.unproved"), 1, "{name}");
        assert!(!has(&outcome, "l", &not_seen), "{name}");
        let of_ours =
            |frame: &Vec<u8>| frame[22..38] == U6.octets() || frame[22..38] == P6.octets();
        let said =
            outcome.frames("u").into_iter().filter(|frame| frame[12] == 0x86).filter(of_ours);
        assert_eq!(said.count(), 0, "{name}: something is sent from it");
        assert!(has(&outcome, "u", &announcement(U_MAC, LINK_LOCAL)), "{name}");
    }
}

#[test]
fn the_link_local_address_answers_whoever_asks_from_the_link() {
    let neighbor: Ipv6Addr = "fe80::9".parse().unwrap();
    let bench = Bench::bare().set("ports.u.neighbors", r#"{ "fe80::9": "02:00:00:00:00:fe" }"#);
    let mut replay = Replay::new(bench.without_routes());
    let request = echo_request6(neighbor, LINK_LOCAL, 60);
    replay.input("u", 0, ethernet(U_MAC, G_MAC, request));
    let answer = ethernet(G_MAC, U_MAC, echo_reply6(LINK_LOCAL, neighbor, 60));
    assert_eq!(replay.run().frames("u"), [answer]);
}

#[test]
fn our_own_question_that_comes_back_is_no_objection() {
    let outcome = started(Bench::bare(), [(100 * MILLISECOND, doubt(U_MAC, U6))]);
    assert_eq!(outcome.counter("dataplane.nd.duplicate"), 0);
    assert!(has(&outcome, "u", &announcement(U_MAC, U6)));
}

#[test]
fn a_replay_that_does_not_play_the_start_finds_all_addresses_in_use() {
    let (packet, seen) = carried(100);
    let mut replay = Replay::new(Bench::any6());
    replay.input("u", 0, packet);
    let outcome = replay.run();
    assert_eq!(outcome.frames("l"), [seen]);
    assert_eq!(outcome.frames("u").len(), 0);
}

#[test]
fn errors_come_from_an_address_that_is_used() {
    // H6 asks for what has no route: while L's address is asked for, nobody could say so.
    let mut replay = Replay::new(Bench::any6());
    replay.boot = true;
    let packet = |len| {
        crate::frames::from_host(crate::frames::udp6(H6, "2001:db8:9::9".parse().unwrap(), len))
    };
    replay.input("l", 0, packet(100));
    replay.input("l", 1001 * MILLISECOND, packet(100));
    let outcome = replay.run();
    assert_eq!(outcome.counter("dataplane.ip6.no_route"), 2);
    assert_eq!(outcome.counter("dataplane.icmp.tx"), 1);
    let told: Vec<_> =
        outcome.frames("l").into_iter().filter(|f| f[20] == 58 && f[54] == 1).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0][22..38], "2001:db8:1::1".parse::<Ipv6Addr>().unwrap().octets());
}
