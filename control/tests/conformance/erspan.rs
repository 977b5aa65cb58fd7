//! ERSPAN (E.1, E.5, E.6, E.11): copies of what ports receive and send go out with the headers of their type, and what
//! arrives leaves by the sink alone. Copies of what tunnels receive and send are in `mirrored`. Headers are spelled out (Linux's `include/net/erspan.h`,
//! draft-foschiano-erspan-03).

use crate::addresses::{H, H6, L6, R, R6, U, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    Ipv4Packet, changed, encap4, encap6, ethernet, from_gateway, from_host, peer4, peer6,
    to_gateway, to_host, udp4, udp6,
};
use crate::gretap::{IPV4, IPV6, arp, frame, tagged};
use crate::icmp::{FRAG_NEEDED, underlay4};
use crate::mss::{mss, syn4};
use crate::run::START;

pub(crate) const GRE: u8 = 47;
pub(crate) const IPV4_IN_IP: u8 = 4;

/// A session to P that mirrors what the port `a` receives.
pub(crate) fn source(keys: &str) -> Bench {
    with_port("erspan", "198.51.100.1", "203.0.113.2", keys)
        .set("tunnels.e0.mirror", "{ ports: [a], direction: ingress }")
}

pub(crate) fn source6(keys: &str) -> Bench {
    with_port("ip6erspan", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#, keys)
        .set("tunnels.e0.mirror", "{ ports: [a], direction: ingress }")
}

/// A session from P whose frames leave by the port `a`.
pub(crate) fn sink(keys: &str) -> Bench {
    with_port("erspan", "198.51.100.1", "203.0.113.2", keys).set("tunnels.e0.attach", "a")
}

pub(crate) fn sink6(keys: &str) -> Bench {
    with_port("ip6erspan", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#, keys)
        .set("tunnels.e0.attach", "a")
}

fn with_port(mode: &str, local: &str, remote: &str, keys: &str) -> Bench {
    Bench::bare()
        .set("ports.a.macaddress", r#""02:00:00:00:00:0a""#)
        .tunnel("e0", mode, local, remote)
        .set("tunnels.e0.erspan", keys)
}

pub(crate) const ONE: &str = "{ version: 0 }";
pub(crate) const TWO: &str = "{ session: 100, index: 7 }";
pub(crate) const THREE: &str = "{ version: 2, session: 100, direction: egress, hardware-id: 3 }";

/// Type I: nothing but GRE.
pub(crate) fn one(frame: &[u8]) -> Vec<u8> {
    [&[0, 0, 0x88, 0xbe], frame].concat()
}

/// Type II of session 100 and index 7.
pub(crate) fn two(number: u8, vlan: u16, third: u8, frame: &[u8]) -> Vec<u8> {
    let gre = [0x10, 0, 0x88, 0xbe, 0, 0, 0, number];
    let [high, low] = (0x1000 | vlan).to_be_bytes();
    [&gre[..], &[high, low, third, 0x64, 0, 0, 0, 7], frame].concat()
}

/// Type III of session 100, mirrored so many milliseconds after the start; `last`: what follows the time stamp.
pub(crate) fn three(number: u8, after_ms: u64, third: u8, last: [u8; 4], frame: &[u8]) -> Vec<u8> {
    let gre = [0x10, 0, 0x22, 0xeb, 0, 0, 0, number];
    let hundreds_of_us = (START / 100_000 + 10 * after_ms) & 0xffff_ffff;
    let stamp = u32::try_from(hundreds_of_us).unwrap().to_be_bytes();
    [&gre[..], &[0x20, 0, third, 0x64], &stamp, &last, frame].concat()
}

/// Direction egress, hardware 3.
pub(crate) const LAST: [u8; 4] = [0, 0, 0x80, 0x38];

fn sent4(payload: Vec<u8>, tos: u8) -> Expected {
    to_gateway(encap4(GRE, payload).tos(tos)).into()
}

fn sent6(payload: Vec<u8>, tos: u8) -> Expected {
    Expected::any_flow_label(to_gateway(encap6(GRE, payload).traffic_class(tos)))
}

/// What arrives at the port `a`, where nobody is, is mirrored and dropped.
fn mirrored(name: &str, bench: Bench, frame: &[u8], expected: Expected) -> Case {
    Case::new(name, bench)
        .input("a", frame.to_vec())
        .expect("u", expected)
        .tunnel_sends("e0", frame.len() as u64)
        .counts("l2.not_for_us")
}

/// What arrives in the session leaves by the port `a`.
fn comes(name: &str, bench: Bench, payload: Vec<u8>, frame: &[u8]) -> Case {
    Case::new(name, bench)
        .input("u", from_gateway(peer4(GRE, payload)))
        .expect("a", frame.to_vec())
        .tunnel_accepts("e0", frame.len() as u64)
}

pub(crate) fn voice() -> Vec<u8> {
    frame(IPV4, udp4(H, R, 84).tos(46 << 2))
}

#[test]
fn copies_go_out_with_the_header_of_their_type() {
    let (tos, cos) = (46 << 2, 5 << 5);
    let voice6 = frame(IPV6, udp6(H6, R6, 100).traffic_class(tos));
    run_all([
        mirrored("C-016(a)", source(TWO), &voice(), sent4(two(0, 0, cos, &voice()), tos)),
        mirrored("C-016(a) IPv6", source(TWO), &voice6, sent4(two(0, 0, cos, &voice6), tos)),
        mirrored(
            "C-016(a) ip6erspan",
            source6(TWO),
            &voice(),
            sent6(two(0, 0, cos, &voice()), tos),
        ),
        mirrored("C-016(a) ARP", source(TWO), &arp(), sent4(two(0, 0, 0, &arp()), 0)),
        mirrored("C-016(b)", source(THREE), &voice(), sent4(three(0, 0, cos, LAST, &voice()), tos)),
        mirrored(
            "C-016(b) ip6erspan",
            source6(THREE),
            &voice(),
            sent6(three(0, 0, cos, LAST, &voice()), tos),
        ),
        mirrored("C-016 type I", source(ONE), &voice(), sent4(one(&voice()), tos)),
        mirrored("C-016 type I in IPv6", source6(ONE), &voice(), sent6(one(&voice()), tos)),
    ]);
}

#[test]
fn a_tag_stays_in_the_frame_and_the_size_of_a_frame_is_told() {
    let tag = [0x81, 0, 0x6a, 0xbc];
    let in_vlan = tagged(&[tag], IPV4, udp4(H, R, 84));
    let in_two = tagged(&[[0x88, 0xa8, 0, 9], tag], IPV4, udp4(H, R, 84));
    let (short, large) = (frame(0x88cc, [5; 45]), tagged(&[tag], IPV4, udp4(H, R, 1497)));
    let wide = |keys| source(keys).set("ports.u.mtu", "9000").set("ports.a.mtu", "9000");
    run_all([
        mirrored("C-016 a tag", source(TWO), &in_vlan, sent4(two(0, 0xabc, 0x18, &in_vlan), 0)),
        mirrored("C-016 two tags", source(TWO), &in_two, sent4(two(0, 9, 0x18, &in_two), 0)),
        mirrored("C-016 short", source(THREE), &short, sent4(three(0, 0, 8, LAST, &short), 0)),
        mirrored("C-016 large", wide(TWO), &large, sent4(two(0, 0xabc, 0x18, &large), 0)),
    ]);
    let large = frame(IPV4, udp4(H, R, 1501));
    run_all([mirrored(
        "C-016 large, type III",
        wide(THREE),
        &large,
        sent4(three(0, 0, 0x10, LAST, &large), 0),
    )]);
}

#[test]
fn packets_are_numbered_and_stamped_and_say_which_way_they_went() {
    let auto = "{ version: 2, session: 100 }";
    let both = source(auto).set("tunnels.e0.mirror", "{ ports: [l] }");
    let echo = |source, destination| udp4(source, destination, 84);
    let arrives = from_host(echo(H, R).ttl(64));
    let returns = to_host(echo(R, H).ttl(63));
    let case =
        Case::new("C-016 both directions", both.route("{ to: 10.2.0.0/16, via: 198.51.100.254 }"))
            .input("l", arrives.clone())
            .expect("u", sent4(three(0, 0, 0, [0, 0, 0x80, 0], &arrives), 0))
            .expect("u", to_gateway(echo(H, R).ttl(63)))
            .tunnel_sends("e0", 98)
            .input("u", from_gateway(echo(R, H).ttl(64)))
            .expect("u", sent4(three(1, 1, 0, [0, 0, 0x80, 8], &returns), 0))
            .expect("l", returns.clone())
            .tunnel_sends("e0", 98);
    run_all([case]);
}

#[test]
fn what_does_not_fit_loses_its_end_and_nobody_is_told() {
    let cut = |bench: Bench, frame: &[u8], left: usize, expected: Expected| {
        Case::new(&format!("C-017 {left} of {}", frame.len()), bench)
            .input("a", frame.to_vec())
            .expect("u", expected)
            .tunnel_sends("e0", left as u64)
            .tunnel_counts("e0", "tx_trunc")
            .counts("l2.not_for_us")
    };
    let fits = frame(IPV4, udp4(H, R, 1450).tos(46 << 2));
    let one_more = frame(IPV4, udp4(H, R, 1451).tos(46 << 2));
    let large = frame(IPV4, udp4(H, R, 1500));
    let in_vlan = tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, 1500));
    let six = frame(IPV6, udp6(H6, R6, 1500));
    let tos = 46 << 2;
    let no_df = || source(TWO).set("tunnels.e0.dont-fragment", "no");
    let free = Expected::any_identification(to_gateway(
        encap4(GRE, two(0, 0, 4, &large[..1464])).dont_fragment(false),
    ));
    run_all([
        mirrored("C-017 as large as fits", source(TWO), &fits, sent4(two(0, 0, 0xa0, &fits), tos)),
        cut(source(TWO), &one_more, 1464, sent4(two(0, 0, 0xa4, &one_more[..1464]), tos)),
        cut(source(TWO), &large, 1464, sent4(two(0, 0, 4, &large[..1464]), 0)),
        cut(source(TWO), &in_vlan, 1464, sent4(two(0, 7, 0x1c, &in_vlan[..1464]), 0)),
        cut(source(TWO), &six, 1464, sent4(two(0, 0, 4, &six[..1464]), 0)),
        cut(source6(TWO), &large, 1444, sent6(two(0, 0, 4, &large[..1444]), 0)),
        cut(source(THREE), &large, 1460, sent4(three(0, 0, 4, LAST, &large[..1460]), 0)),
        cut(source(ONE), &large, 1476, sent4(one(&large[..1476]), 0)),
        cut(
            source(TWO).set("tunnels.e0.mtu", "100"),
            &large,
            114,
            sent4(two(0, 0, 4, &large[..114]), 0),
        ),
        cut(no_df().set("tunnels.e0.mtu", "9000"), &large, 1464, free),
    ]);
}

#[test]
fn a_path_that_takes_less_leaves_less_of_a_copy() {
    let large = frame(IPV4, udp4(H, R, 1500));
    let first = encap4(GRE, two(0, 0, 4, &large[..1464]));
    let told = underlay4(FRAG_NEEDED, 1300, &first.bytes()[..28]);
    run_all([Case::new("C-017 on a path of 1300", source(TWO))
        .input("a", large.clone())
        .expect("u", to_gateway(first))
        .input("u", from_gateway(told))
        .input("a", large.clone())
        .expect("u", sent4(two(1, 0, 4, &large[..1264]), 0))
        .tunnel_sends("e0", 1464)
        .tunnel_sends("e0", 1264)
        .counter("tunnels.e0.tx_trunc", 2)
        .counter("tunnels.e0.pmtu_updates", 1)
        .counter("tunnels.e0.icmp_relay_short", 1)
        .counter("dataplane.l2.not_for_us", 2)]);
}

#[test]
fn what_arrives_leaves_by_the_sink_as_it_is() {
    let six = frame(IPV6, udp6(H6, L6, 100));
    let opening = frame(IPV4, syn4(&mss(1460)));
    let other = frame(0x88cc, [5; 46]);
    let two_of = |frame: &[u8]| two(9, 0, 0xa0, frame);
    let with_platform =
        |frame: &[u8]| three(0, 0, 0, [0, 0, 0x80, 1], &[&[0xee; 8][..], frame].concat());
    let over6 = |payload: Vec<u8>, frame: Vec<u8>| {
        Case::new("C-016 ip6erspan, out", sink6(TWO))
            .input("u", from_gateway(peer6(GRE, payload)))
            .expect("a", frame.clone())
            .tunnel_accepts("e0", frame.len() as u64)
    };
    let csum = {
        let mut bytes =
            [&[0x90, 0, 0x88, 0xbe, 0, 0, 0, 0, 0, 0, 0, 5][..], &two_of(&arp())[8..]].concat();
        let sum = crate::frames::internet_checksum(&[&bytes]);
        bytes[4..6].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    run_all([
        comes("C-016 type II, out", sink(TWO), two_of(&voice()), &voice()),
        comes("C-016 type III, out", sink(TWO), three(5, 0, 0, LAST, &voice()), &voice()),
        comes("C-016 with a platform header", sink(TWO), with_platform(&voice()), &voice()),
        comes("C-016 type I, out", sink(ONE), one(&arp()), &arp()),
        comes("C-016 a packet to us is for the sink", sink(TWO), two_of(&six), &six),
        comes("C-016 segments stay", sink(TWO), two_of(&opening), &opening),
        comes("C-016 cut by the sender", sink(TWO), two(0, 0, 4, &other[..20]), &other[..20]),
        comes("C-016 a checksum", sink(TWO), csum, &arp()),
        over6(two_of(&voice()), voice()),
    ]);
}

#[test]
fn what_comes_in_at_the_sink_goes_nowhere() {
    let ours = ethernet([2, 0, 0, 0, 0, 0x0a], [2, 0, 0, 0, 1, 1], udp4(H, R, 84));
    run_all([
        Case::new("C-016 at the sink", sink(TWO)).input("a", voice()).counts("l2.not_for_us"),
        Case::new("C-016 to the sink's station", sink(TWO))
            .input("a", ours)
            .counts("l2.not_for_us"),
        Case::new("C-016 ARP at the sink", sink(TWO)).input("a", arp()).counts("l2.not_for_us"),
    ]);
}

#[test]
fn headers_that_can_not_be_are_refused() {
    let refused = |name: &str, payload: Vec<u8>, counter: &str| {
        Case::new(name, sink(TWO)).input("u", from_gateway(peer4(GRE, payload))).counts(counter)
    };
    let right = two(0, 0, 0, &arp());
    let third = three(0, 0, 0, LAST, &arp());
    let other = |at, value| changed(right.clone(), at, value);
    let keyed = [&[0x30, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0][..], &right[8..]].concat();
    let unnumbered = [&[0, 0, 0x22, 0xeb][..], &third[8..]].concat();
    let of_others = |payload: Vec<u8>| {
        Case::new("C-155 a session of others", sink(TWO))
            .input("u", from_gateway(peer4(GRE, payload)))
            .counts("tun.no_match")
    };
    run_all([
        refused("C-155 88BE with version 2", other(8, 0x20), "erspan.bad_version"),
        refused("C-155 88BE with version 0", other(8, 0), "erspan.bad_version"),
        refused("C-155 22EB with version 1", changed(third.clone(), 8, 0x10), "erspan.bad_version"),
        refused("C-155 FT 3", changed(third.clone(), 18, 0x8c), "erspan.bad_ft"),
        refused("C-155 a key", keyed, "gre.bad_flags"),
        of_others(other(11, 0x65)),
        of_others(one(&arp())),
        Case::new("C-155 III without a number", sink(TWO))
            .input("u", from_gateway(peer4(GRE, unnumbered)))
            .tunnel_counts("e0", "rx_seq_err"),
        Case::new("C-155 to a source", source(TWO))
            .input("u", from_gateway(peer4(GRE, right.clone())))
            .tunnel_counts("e0", "rx_inner_dst_denied"),
        Case::new("C-155 GRE for a session", sink(TWO))
            .input("u", from_gateway(peer4(GRE, [&[0, 0, 0x65, 0x58], &arp()[..]].concat())))
            .counts("tun.proto_mismatch"),
        Case::new(
            "C-155 a session for GRE",
            Bench::bare().tunnel("g0", "gre", "198.51.100.1", "203.0.113.2"),
        )
        .input("u", from_gateway(peer4(GRE, right)))
        .counts("tun.proto_mismatch"),
    ]);
}

#[test]
fn a_header_that_ends_early_is_short_wherever_it_ends() {
    let whole = [
        (two(0, 0, 0, &[]), sink(TWO)),
        (three(0, 0, 0, LAST, &[]), sink(TWO)),
        (three(0, 0, 0, [0, 0, 0x80, 1], &[0xee; 8]), sink(TWO)),
    ];
    for (header, bench) in whole {
        let ends_early = (0..header.len()).map(|len| {
            Case::new(&format!("C-155 {len} of {} bytes", header.len()), bench.clone())
                .input("u", from_gateway(peer4(GRE, &header[..len])))
                .counts("tun.shim_short")
        });
        run_all(ends_early);
        let without_frame = (0..14).map(|len| {
            let payload = [&header[..], &[9; 13][..len.min(13)]].concat();
            Case::new(&format!("C-155 a frame of {len} bytes"), bench.clone())
                .input("u", from_gateway(peer4(GRE, payload)))
                .tunnel_counts("e0", "rx_length_err")
        });
        run_all(without_frame);
    }
}

#[test]
fn marks_of_the_outer_header_reach_the_frame_and_its_ttl_is_the_tunnels() {
    let bits = |tos: u8| frame(IPV4, udp4(H, R, 84).tos(tos));
    let marked = |frame: &[u8], tos| from_gateway(peer4(GRE, two(0, 0, 0, frame)).tos(tos));
    run_all([
        Case::new("C-064(b) ECT(0) in a copy, CE outside", sink(TWO))
            .input("u", marked(&bits(2), 3))
            .expect("a", bits(3))
            .tunnel_accepts("e0", 98),
        Case::new("C-064(b) Not-ECT in a copy, CE outside", sink(TWO))
            .input("u", marked(&bits(0), 3))
            .tunnel_counts("e0", "rx_ecn_drop"),
        mirrored(
            "C-064(b) a copy of ECT(0)",
            source(TWO),
            &bits(2),
            sent4(two(0, 0, 0, &bits(2)), 2),
        ),
        Case::new("C-050 a copy", source(TWO).set("tunnels.e0.ttl", "inherit"))
            .input("a", frame(IPV4, udp4(H, R, 84).ttl(9)))
            .expect("u", {
                let frame = frame(IPV4, udp4(H, R, 84).ttl(9));
                to_gateway(encap4(GRE, two(0, 0, 0, &frame)).ttl(9))
            })
            .tunnel_sends("e0", 98)
            .counts("l2.not_for_us"),
    ]);
}

#[test]
fn a_session_by_a_port_that_it_mirrors_sends_each_frame_once() {
    let bench = source(TWO).set("tunnels.e0.mirror", "{ ports: [u, l], direction: both }");
    let bench = bench.route("{ to: 10.2.0.0/16, via: 198.51.100.254 }");
    let arrives = from_host(udp4(H, R, 84));
    let leaves = to_gateway(udp4(H, R, 84).ttl(63));
    run_all([Case::new("C-016 by the port that is mirrored", bench)
        .input("l", arrives.clone())
        .expect("u", sent4(two(0, 0, 0, &arrives), 0))
        .expect("u", leaves.clone())
        .expect("u", sent4(two(1, 0, 0, &leaves), 0))
        .tunnel_sends("e0", 98)
        .tunnel_sends("e0", 98)]);
}

#[test]
fn several_sessions_have_each_their_copy_and_a_disabled_one_has_none() {
    let bench = source(TWO)
        .tunnel("e1", "ip6erspan", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
        .set("tunnels.e1.erspan", ONE)
        .set("tunnels.e1.mirror", "{ ports: [a], direction: both }")
        .tunnel("e2", "erspan", "198.51.100.1", "203.0.113.2")
        .set("tunnels.e2.erspan", "{ session: 101 }")
        .set("tunnels.e2.mirror", "{ ports: [a] }")
        .set("tunnels.e2.enabled", "no");
    run_all([mirrored("C-016 two sessions", bench, &arp(), sent4(two(0, 0, 0, &arp()), 0))
        .expect("u", sent6(one(&arp()), 0))
        .tunnel_sends("e1", 60)]);
}

#[test]
fn a_copy_can_go_into_another_tunnel() {
    let bench = source(TWO)
        .set("tunnels.e0.remote", "203.0.113.66")
        .tunnel("t0", "ipip", "198.51.100.1", "203.0.113.2")
        .set("tunnels.t0.inner-source", "off")
        .route("{ to: 203.0.113.66/32, tunnel: t0 }");
    let copy = Ipv4Packet::new(U, X, GRE, two(0, 0, 0, &arp()));
    let outer = encap4(IPV4_IN_IP, copy.clone());
    run_all([Case::new("C-016 in another tunnel", bench)
        .input("a", arp())
        .expect("u", to_gateway(outer))
        .tunnel_sends("e0", 60)
        .tunnel_sends("t0", copy.bytes().len() as u64)
        .counts("l2.not_for_us")]);
}

#[test]
fn numbers_begin_with_zero_and_go_on() {
    let case = (0..3).fold(Case::new("C-016 numbers", source(TWO)), |case, number| {
        case.input("a", arp())
            .expect("u", sent4(two(number, 0, 0, &arp()), 0))
            .tunnel_sends("e0", 60)
            .counts("l2.not_for_us")
    });
    run_all([case]);
}
