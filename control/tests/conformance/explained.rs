//! `adit explain`, against texts that were read beside semantics.md, line by line: what was decided, on
//! which values, and what became of the frame.
//!
//! The texts are in `tests/explained`. `RECORD_EXPLAINED=1` writes them anew, to be read again.

use std::path::Path;

use etherparse::TcpHeader;
use serde_json::Value;

use crate::addresses::{BROADCAST_MAC, H, H_MAC, H6, L, P, R, R6, U, X};
use crate::bench::Bench;
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, encap4, ethernet_of, from_gateway, from_host, peer4, peer6, udp4,
    udp4_flow, udp6,
};
use crate::icmp::{FRAG_NEEDED, echo_request4, underlay4};
use crate::relay::sent4;
use crate::run::{MILLISECOND, Replay, SECOND, said};

/// What `adit explain` prints for what arrives at `u` and `l`, in this order and a millisecond apart.
pub(crate) fn explained(bench: Bench, inputs: &[(&str, Vec<u8>)], arguments: &[&str]) -> String {
    let mut replay = Replay::new(bench);
    for (at, (port, frame)) in (0..).zip(inputs) {
        replay.input(port, at * MILLISECOND, frame.clone());
    }
    explain(&replay, arguments)
}

fn explain(replay: &Replay, arguments: &[&str]) -> String {
    let output = replay.explain(arguments);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Compares with the text of that name.
pub(crate) fn holds(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/explained/{name}.txt"));
    if std::env::var_os("RECORD_EXPLAINED").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, known, "{name}");
}

/// A tunnel inside another.
fn nested() -> Bench {
    Bench::any6()
        .tunnel("t0", "ipip", "198.51.100.1", "192.168.50.2")
        .route("{ to: 10.4.0.0/16, tunnel: t0 }")
}

fn to(network: u8) -> std::net::Ipv4Addr {
    [10, network, 0, 8].into()
}

#[test]
fn each_pair_of_families_is_explained_on_the_way_in() {
    let v4 = from_host(echo_request4(H, R, 84));
    // Congestion experienced and DSCP 46 inside.
    let v6 = from_host(udp6(H6, R6, 120).traffic_class(46 << 2 | 3));
    holds("encap-4in4", &explained(Bench::ipip(), &[("l", v4.clone())], &[]));
    holds("encap-6in4", &explained(Bench::sit(), &[("l", v6.clone())], &[]));
    let over6 = Bench::any6()
        .set("tunnels.n6.dscp", "10")
        .set("tunnels.n6.ttl", "inherit")
        .set("tunnels.n6.flow-label", "7");
    holds("encap-any-in-6", &explained(over6, &[("l", v4), ("l", v6)], &[]));
}

#[test]
fn each_pair_of_families_is_explained_on_the_way_out() {
    let (v4, v6) = (udp4(R, H, 100), udp6(R6, H6, 120));
    let in4 = [
        ("u", from_gateway(peer4(IPIP, v4.clone()))),
        ("u", from_gateway(peer4(IPV6, v6.clone()))),
    ];
    holds("decap-any-in-4", &explained(Bench::any4(), &in4, &[]));
    // Congestion experienced outside an ECT(0) packet, and DSCP 46 outside, which is copied.
    let marked = peer6(IPIP, v4.tos(2)).traffic_class(46 << 2 | 3);
    let in6 = [("u", from_gateway(marked)), ("u", from_gateway(peer6(IPV6, v6)))];
    let bench = Bench::any6().set("tunnels.n6.dscp-decap", "copy");
    holds("decap-any-in-6", &explained(bench, &in6, &[]));
}

#[test]
fn what_a_tunnel_refuses_is_explained_with_the_value_that_it_is_refused_for() {
    let inner = |from| udp4(from, H, 84);
    let inputs = [
        // Whose source belongs behind nobody, whose ECN says what can't be, whose checksum is wrong,
        // which is down for decap, from an unknown peer.
        ("u", from_gateway(peer4(IPIP, inner([10, 9, 0, 1].into())))),
        ("u", from_gateway(peer4(IPIP, inner(R)).tos(3))),
        ("u", from_gateway(peer4(IPIP, inner(R)).ttl(1))),
        ("u", {
            let mut frame = from_gateway(peer4(IPIP, inner(R)));
            frame[14 + 20 + 10] ^= 0x55;
            frame
        }),
        ("u", from_gateway(Ipv4Packet::new(X, U, IPIP, inner(R).bytes()))),
        ("u", from_gateway(peer4(IPV6, udp6(R6, H6, 100)))),
    ];
    let bench = Bench::ipip().set("tunnels.t0.min-outer-ttl", "2");
    holds("decap-refused", &explained(bench, &inputs, &[]));
}

#[test]
fn packets_that_do_not_fit_are_explained_with_the_limit_that_won() {
    let large = |alone| from_host(udp4(H, R, 1500).dont_fragment(alone));
    let inputs = [("l", large(true)), ("l", large(false))];
    holds("too-big", &explained(Bench::ipip(), &inputs, &[]));
    let outside = Bench::ipip().set("tunnels.t0.dont-fragment", "no").set("tunnels.t0.mtu", "1500");
    holds("cut-outside", &explained(outside, &inputs[..1], &[]));
    // A router says that 1400 bytes fit, the sender hears of it, and the next packet is too big here.
    let quote = sent4(udp4(H, R, 1480));
    let inputs = [
        ("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &quote[..]))),
        ("l", from_host(udp4(H, R, 1480))),
    ];
    holds("path-mtu", &explained(Bench::ipip(), &inputs, &[]));
}

#[test]
fn a_segment_size_is_explained() {
    let packet = Ipv4Packet::new(H, R, 6, []);
    let mut tcp = TcpHeader::new(40_000, 443, 7, 64_240);
    tcp.syn = true;
    tcp.set_options_raw(&[2, 4, 0x05, 0xb4]).unwrap();
    tcp.checksum = tcp.calc_checksum_ipv4(&packet.header, &[]).unwrap();
    let syn = from_host(packet.payload(tcp.to_bytes().as_slice()));
    holds("mss", &explained(Bench::ipip(), &[("l", syn)], &[]));
}

#[test]
fn tunnels_inside_each_other_are_explained_one_after_the_other() {
    holds("nested-encap", &explained(nested(), &[("l", from_host(udp4(H, to(4), 100)))], &[]));
    let within = encap4(IPIP, udp4(R, H, 84)).bytes();
    let inner = Ipv4Packet::new([192, 168, 50, 2].into(), U, IPIP, &within[20..]);
    let bench = nested().set("limits.decap-depth", "2").set("tunnels.t0.inner-source", "off");
    let frame = from_gateway(peer6(IPIP, inner));
    holds("nested-decap", &explained(bench, &[("u", frame.clone())], &[]));
    holds("nested-refused", &explained(nested(), &[("u", frame)], &[]));
}

#[test]
fn routes_that_lead_nowhere_and_packets_that_end_here_are_explained() {
    let bench = Bench::ipip()
        .route("{ to: 10.7.0.0/16, type: blackhole }")
        .route("{ to: 10.8.0.0/16, type: prohibit }");
    let inputs = [
        ("l", from_host(udp4(H, to(7), 100))),
        ("l", from_host(udp4(H, to(8), 100))),
        ("l", from_host(udp4(H, [172, 31, 0, 1].into(), 100))),
        ("l", from_host(udp4(H, R, 100).ttl(1))),
        ("l", from_host(echo_request4(H, L, 84))),
        ("l", from_host(udp4(H, L, 100))),
    ];
    holds("nowhere", &explained(bench, &inputs, &[]));
}

#[test]
fn frames_that_are_not_ours_or_not_right_are_explained() {
    let mut other = from_host(udp4(H, R, 84));
    other[5] = 0x77;
    let mut wrong = from_host(udp4(H, R, 84));
    wrong[14 + 8] ^= 1;
    let mut cut = from_host(udp6(H6, R6, 100));
    cut.truncate(100);
    let odd = ethernet_of(crate::addresses::L_MAC, H_MAC, 0x8100, [0; 46]);
    let inputs = [("l", other), ("l", wrong), ("l", cut), ("l", odd), ("l", vec![0; 9])];
    holds("not-right", &explained(Bench::ipip(), &inputs, &[]));
}

#[test]
fn a_group_of_next_hops_is_explained_with_the_member_that_was_taken() {
    let bench = Bench::ipip().route(
        "{ to: 10.5.0.0/16, next-hops: [{ tunnel: t0, weight: 2 }, { via: 198.51.100.254 }] }",
    );
    let flow = |port| ("l", from_host(udp4_flow(H, to(5), (port, 53), 60)));
    let inputs: Vec<_> = (0..8).map(flow).collect();
    holds("group", &explained(bench, &inputs, &[]));
}

#[test]
fn what_waits_is_explained_to_its_end() {
    // Nobody at 10.1.0.77 has ever been heard of.
    let inner = udp4(R, [10, 1, 0, 77].into(), 84);
    let frame = from_gateway(peer4(IPIP, inner));
    holds("held", &explained(Bench::ipip(), &[("u", frame)], &["--linger", "4"]));
    let whole = peer4(IPIP, udp4(R, H, 1000)).dont_fragment(false);
    let piece = |from: usize, to: usize| {
        let part = whole.clone().payload(&whole.payload[from..to]);
        let more = to < whole.payload.len();
        ("u", from_gateway(part.fragment(u16::try_from(from / 8).unwrap(), more)))
    };
    holds("pieces", &explained(Bench::ipip(), &[piece(0, 800), piece(800, 1000)], &[]));
    holds("pieces-lost", &explained(Bench::ipip(), &[piece(0, 800)], &["--linger", "3"]));
}

#[test]
fn neighbors_that_ask_are_explained_with_what_they_are_told() {
    let mut ask = vec![0, 1, 8, 0, 6, 4, 0, 1];
    ask.extend(H_MAC);
    ask.extend(H.octets());
    ask.extend([0; 6]);
    ask.extend(L.octets());
    let arp = |packet: Vec<u8>| ("l", ethernet_of(BROADCAST_MAC, H_MAC, 0x0806, packet));
    let mut wrong = ask.clone();
    wrong[1] = 9;
    holds("arp", &explained(Bench::ipip(), &[arp(ask), arp(wrong)], &[]));
}

#[test]
fn an_error_that_is_held_back_for_its_rate_is_explained() {
    let expiring = ("l", from_host(udp4(H, R, 100).ttl(1)));
    let inputs = vec![expiring; 12];
    let last = explained(Bench::ipip(), &inputs, &["--frame", "12"]);
    holds("rate-limit", &last);
}

#[test]
fn the_header_of_gre_is_explained_in_both_directions() {
    let bench = Bench::bare()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.key", "7")
        .set("tunnels.g0.require-sequence", "yes")
        .route("{ to: 10.2.0.0/16, tunnel: g0 }");
    let from_peer = |header: &[u8]| {
        let packet = [header, &udp4(R, H, 84).bytes()].concat();
        ("u", from_gateway(peer4(47, packet)))
    };
    let inputs = [
        ("l", from_host(udp4(H, R, 84))),
        // A key and a number; the key alone; another key; a version that is PPTP's.
        from_peer(&[0x30, 0, 8, 0, 0, 0, 0, 7, 0, 0, 0, 9]),
        from_peer(&[0x20, 0, 8, 0, 0, 0, 0, 7]),
        from_peer(&[0x20, 0, 8, 0, 0, 0, 0, 8]),
        from_peer(&[0, 1, 8, 0]),
    ];
    holds("gre", &explained(bench, &inputs, &[]));
}

#[test]
fn an_encapsulation_limit_is_explained() {
    let option = |value| vec![0, 0, 4, 1, value, 1, 1, 0];
    let packet = |value| ("l", from_host(udp6(H6, R6, 100).extension(60, option(value))));
    holds("encap-limit", &explained(Bench::any6(), &[packet(3), packet(0)], &[]));
}

#[test]
fn one_frame_is_told_of_where_one_is_asked_for_and_there_must_be_one() {
    let inputs = [("l", from_host(udp4(H, R, 100))), ("u", from_gateway(udp4(P, U, 100)))];
    let second = explained(Bench::ipip(), &inputs, &["--frame", "2"]);
    assert!(second.starts_with("frame 2 on u at 0.001000 s: IPv4 203.0.113.2 > "), "{second}");
    let mut replay = Replay::new(Bench::ipip());
    replay.input("l", 0, from_host(udp4(H, R, 100)));
    for number in ["0", "2"] {
        let output = replay.explain(&["--frame", number]);
        assert_eq!(output.status.code(), Some(2));
        let expected = format!("--frame {number}: there are 1 frames, numbered from 1\n");
        assert_eq!(said(&output), expected);
    }
}

#[test]
fn json_has_the_values_of_each_step() {
    let mut replay = Replay::new(Bench::ipip());
    replay.input("l", SECOND, from_host(udp4(H, R, 1500)));
    let tree: Value = serde_json::from_str(&explain(&replay, &["--json"])).unwrap();
    let frame = &tree["frames"][0];
    assert_eq!((&frame["frame"], &frame["port"]), (&1.into(), &"l".into()));
    assert_eq!(frame["time_ns"], crate::run::START + SECOND);
    assert_eq!(frame["outcome"], "dropped");
    let steps = frame["steps"].as_array().unwrap();
    let step = |event: &str| steps.iter().find(|step| step["event"] == event).unwrap();
    let size = step("tunnel_size");
    assert_eq!((&size["length"], &size["limit"]), (&1500.into(), &1480.into()));
    assert_eq!((&size["from"], &size["fits"]), (&"port".into(), &false.into()));
    assert_eq!(step("route")["prefix"], "10.2.0.0/16");
    assert_eq!(step("answer")["packet"], 1, "another packet than the frame's");
    let last = steps.last().unwrap();
    assert_eq!((&last["counter"], &last["tunnel"]), (&"if.tx_too_big".into(), &"t0".into()));
}
