//! VXLAN with several remotes (E.5, E.6, E.8, E.11): what is for one station goes to the remote that it is behind, what is
//! for a group or for a station that nobody knows goes to all of them (RFC 7348 §4.1, §4.2), and nobody else's frames are
//! taken. Bytes are those of the cases with one remote, but for the outer destination.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addresses::{H, H6, P, P6, R, R6, U, U6, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    Ipv4Packet, Ipv6Packet, UDP, datagram, ethernet_of, from_gateway, to_gateway, udp4, udp6,
};
use crate::gretap::{IPV4, IPV6, ONE, TWO, arp, attached, frame};
use crate::icmp::{FRAG_NEEDED, underlay4};

const SPORT: u16 = 50_000;
const VXLAN: u16 = 4789;
const HEADER: [u8; 8] = [8, 0, 0, 0, 0, 0, 42, 0];
const SECOND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 3);
const THIRD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 4);
const SECOND6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 3);
const ALL: [u8; 6] = [0xff; 6];
const SECONDS: u64 = 1_000_000_000;

fn vxlan() -> Bench {
    attached("vxlan", "198.51.100.1", "")
        .set("tunnels.e0.id", "42")
        .set("tunnels.e0.remotes", "[203.0.113.2, 203.0.113.3, 203.0.113.4]")
}

fn vxlan6() -> Bench {
    attached("vxlan", r#""2001:db8:100::1""#, "")
        .set("tunnels.e0.id", "42")
        .set("tunnels.e0.remotes", r#"["2001:db8:200::2", "2001:db8:200::3"]"#)
}

pub(crate) fn learning() -> Bench {
    vxlan().set("tunnels.e0.mac-learning", "yes")
}

/// A frame in a datagram between two ends, without a checksum.
fn outer4(from: Ipv4Addr, to: Ipv4Addr, frame: &[u8]) -> Ipv4Packet {
    let payload = [&HEADER, frame].concat();
    let mut datagram = datagram((IpAddr::V4(from), IpAddr::V4(to)), (SPORT, VXLAN), &payload);
    datagram[6..8].fill(0);
    Ipv4Packet::new(from, to, UDP, datagram)
}

fn outer6(from: Ipv6Addr, to: Ipv6Addr, frame: &[u8]) -> Ipv6Packet {
    let payload = [&HEADER, frame].concat();
    let datagram = datagram((IpAddr::V6(from), IpAddr::V6(to)), (SPORT, VXLAN), &payload);
    Ipv6Packet::new(from, to, UDP, datagram)
}

fn sent(to: Ipv4Addr, frame: &[u8]) -> Expected {
    Expected::any_source_port(to_gateway(outer4(U, to, frame)), 34)
}

pub(crate) fn came(from: Ipv4Addr, frame: &[u8]) -> Vec<u8> {
    from_gateway(outer4(from, U, frame).id(0x7777))
}

/// A frame goes in and leaves to each of these remotes, in this order.
fn goes_to(name: &str, bench: Bench, frame: &[u8], remotes: &[Ipv4Addr]) -> Case {
    let case = Case::new(name, bench).input("a", frame.to_vec());
    let case = remotes.iter().fold(case, |case, &to| case.expect("u", sent(to, frame)));
    let (count, len) = (remotes.len() as u64, frame.len() as u64);
    case.counter("tunnels.e0.tx_packets", count).counter("tunnels.e0.tx_bytes", count * len)
}

fn ip_frame() -> Vec<u8> {
    frame(IPV4, udp4(H, R, 84))
}

/// An answer: from station two to station one.
pub(crate) fn answer() -> Vec<u8> {
    ethernet_of(ONE, TWO, IPV4, udp4(R, H, 84))
}

#[test]
fn what_nobody_knows_goes_to_all_and_what_is_configured_to_one() {
    let every = [P, SECOND, THIRD];
    let broadcast = ethernet_of(ALL, ONE, IPV4, udp4(H, R, 84));
    let group = ethernet_of([0x33, 0x33, 0, 0, 0, 1], ONE, IPV6, udp6(H6, R6, 100));
    let fixed = || vxlan().set("tunnels.e0.fdb", r#"{ "02:00:00:00:02:02": 203.0.113.3 }"#);
    let six = frame(IPV6, udp6(H6, R6, 100));
    let to_six = |to| Expected::any_source_port(to_gateway(outer6(U6, to, &six)), 54);
    run_all([
        goes_to("broadcast", vxlan(), &broadcast, &every),
        goes_to("group", vxlan(), &group, &every),
        goes_to("unknown", vxlan(), &ip_frame(), &every),
        goes_to("no IP", vxlan(), &arp(), &every),
        goes_to("configured", fixed(), &ip_frame(), &[SECOND]),
        goes_to("configured, but a group", fixed(), &broadcast, &every),
        Case::new("unknown, over IPv6", vxlan6())
            .input("a", six.clone())
            .expect("u", to_six(P6))
            .expect("u", to_six(SECOND6))
            .counter("tunnels.e0.tx_packets", 2)
            .counter("tunnels.e0.tx_bytes", 2 * six.len() as u64),
    ]);
}

#[test]
fn frames_are_taken_from_each_remote_and_from_nobody_else() {
    let taken = |name: &str, from| {
        Case::new(name, vxlan())
            .input("u", came(from, &ip_frame()))
            .expect("a", ip_frame())
            .tunnel_accepts("e0", ip_frame().len() as u64)
    };
    run_all([
        taken("first", P),
        taken("second", SECOND),
        taken("third", THIRD),
        Case::new("C-153(c) a stranger", vxlan())
            .input("u", came(X, &ip_frame()))
            .counts("vxlan.unlisted_peer"),
    ]);
}

#[test]
fn nothing_is_learnt_from_a_stranger() {
    let every = [P, SECOND, THIRD];
    let (len, sent_len) = (answer().len() as u64, 3 * ip_frame().len() as u64);
    let floods = |case: Case| {
        let case = case.input("a", ip_frame());
        let case = every.iter().fold(case, |case, &to| case.expect("u", sent(to, &ip_frame())));
        case.counter("tunnels.e0.tx_packets", 3).counter("tunnels.e0.tx_bytes", sent_len)
    };
    let strange = |case: Case| case.input("u", came(X, &answer())).counts("vxlan.unlisted_peer");
    let heard = Case::new("C-153 heard before", learning())
        .input("u", came(SECOND, &answer()))
        .expect("a", answer())
        .tunnel_accepts("e0", len);
    run_all([
        floods(strange(Case::new("C-153 with learning", learning()))),
        // Neither does a stranger move a station, nor does it make anybody forget it.
        strange(heard)
            .input("a", ip_frame())
            .expect("u", sent(SECOND, &ip_frame()))
            .tunnel_sends("e0", ip_frame().len() as u64),
    ]);
}

#[test]
fn a_station_is_behind_the_remote_that_it_was_heard_from_if_learning_is_on() {
    let every = [P, SECOND, THIRD];
    let to =
        |name: &str, bench: Bench, remotes: &[Ipv4Addr]| goes_to(name, bench, &ip_frame(), remotes);
    // The frame of the case is the last one; before it, station two speaks.
    let heard = |name: &str, bench: Bench, from: &[Ipv4Addr], wait: u64, remotes: &[Ipv4Addr]| {
        let case = from.iter().fold(Case::new(name, bench), |case, &from| {
            case.input("u", came(from, &answer())).expect("a", answer())
        });
        let (arrived, len) = (from.len() as u64, ip_frame().len() as u64);
        let case = case.wait(wait).input("a", ip_frame());
        let case = remotes.iter().fold(case, |case, &to| case.expect("u", sent(to, &ip_frame())));
        case.counter("tunnels.e0.rx_packets", arrived)
            .counter("tunnels.e0.rx_bytes", arrived * answer().len() as u64)
            .counter("tunnels.e0.tx_packets", remotes.len() as u64)
            .counter("tunnels.e0.tx_bytes", remotes.len() as u64 * len)
    };
    let fixed = learning().set("tunnels.e0.fdb", r#"{ "02:00:00:00:02:02": 203.0.113.4 }"#);
    run_all([
        to("not heard yet", learning(), &every),
        heard("off unless asked for", vxlan(), &[SECOND], 0, &every),
        heard("heard", learning(), &[SECOND], 0, &[SECOND]),
        heard("heard, and moved", learning(), &[SECOND, THIRD], 0, &[THIRD]),
        heard("not forgotten yet", learning(), &[SECOND], 290 * SECONDS, &[SECOND]),
        heard("forgotten", learning(), &[SECOND], 310 * SECONDS, &every),
        heard("configured to be elsewhere", fixed, &[SECOND], 0, &[THIRD]),
    ]);
}

#[test]
fn frames_of_one_remote_never_go_to_another() {
    // Head-end replication has no loop: what comes out leaves by the port alone, for whomever it is.
    let broadcast = ethernet_of(ALL, TWO, IPV4, udp4(R, H, 84));
    run_all([Case::new("broadcast from a remote", learning())
        .input("u", came(SECOND, &broadcast))
        .expect("a", broadcast.clone())
        .tunnel_accepts("e0", broadcast.len() as u64)]);
}

#[test]
fn each_remote_has_a_path_mtu_of_its_own() {
    // 1400 bytes of outer packet fit the one, not the path to the other any more.
    let large = frame(IPV4, udp4(H, R, 1350).dont_fragment(true));
    let quoted = outer4(U, SECOND, &large);
    let told = from_gateway(underlay4(FRAG_NEEDED, 1300, quoted.bytes()));
    let len = large.len() as u64;
    let case = Case::new("C-094 one of three", vxlan())
        .input("u", told)
        .input("a", large.clone())
        .expect("u", sent(P, &large))
        .expect("u", sent(THIRD, &large))
        .counter("tunnels.e0.tx_packets", 2)
        .counter("tunnels.e0.tx_bytes", 2 * len)
        .counter("tunnels.e0.pmtu_updates", 1)
        .counter("tunnels.e0.icmp_relay_short", 1)
        .counter("tunnels.e0.tx_too_big", 1);
    run_all([case]);
}

#[test]
fn a_copy_that_has_no_way_does_not_hold_up_the_others() {
    let bench = vxlan().set("tunnels.e0.remotes", "[203.0.113.2, 192.88.99.7, 203.0.113.4]");
    let len = ip_frame().len() as u64;
    run_all([Case::new("one without a route", bench)
        .input("a", ip_frame())
        .expect("u", sent(P, &ip_frame()))
        .expect("u", sent(THIRD, &ip_frame()))
        .counter("tunnels.e0.tx_packets", 2)
        .counter("tunnels.e0.tx_bytes", 2 * len)
        .tunnel_counts("e0", "tx_no_route")]);
}
