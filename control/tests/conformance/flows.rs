//! What tells flows apart, for every kind of tunnel (E.1; semantics 0.4, A.10, A.11, B12): the UDP source port, of the range of
//! the profile, and the IPv6 flow label. Pools of sources are in `entropy`.

use std::collections::BTreeSet;

use crate::addresses::{H, R};
use crate::bench::Bench;
use crate::erspan;
use crate::frames::{UDP, ethernet_of, from_host, udp4_flow};
use crate::gretap::{IPV4, attached, frame, tagged};
use crate::mpls;
use crate::overlay::{self, geneve, geneve6, vxlan, vxlan6};
use crate::run::{MILLISECOND, Replay};
use crate::udp::{fou, gue, gue6};

const FLOWS: u16 = 256;

/// What leaves U for frames that arrive at this port.
fn sent(bench: &Bench, port: &str, frames: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut replay = Replay::new(bench.clone());
    let mut count = 0;
    for frame in frames {
        count += 1;
        replay.input(port, count * MILLISECOND, frame);
    }
    let frames = replay.run().frames("u");
    assert_eq!(frames.len() as u64, count);
    frames
}

/// A packet of a flow; `port` is where it arrives: as it is, or in a frame of an attached port.
fn arriving(port: &str, number: u16) -> Vec<u8> {
    let packet = udp4_flow(H, R, (20_000 + number, 5000), 84);
    if port == "a" { frame(IPV4, packet) } else { from_host(packet) }
}

/// What `read` finds in the packets of so many flows: one value for a flow, and many for many.
fn told_apart(
    (name, bench, port): (&str, Bench, &str),
    read: impl Fn(&[u8]) -> u32,
    inputs: impl Fn(u16) -> Vec<u8>,
) -> BTreeSet<u32> {
    let one = sent(&bench, port, (0..100).map(|_| inputs(1)));
    let one: BTreeSet<u32> = one.iter().map(|frame| read(frame)).collect();
    assert_eq!(one.len(), 1, "C-018 {name}: constant within a flow");
    let many = sent(&bench, port, (0..FLOWS).map(inputs));
    let many: BTreeSet<u32> = many.iter().map(|frame| read(frame)).collect();
    assert!(many.len() >= 200, "C-018 {name}: {} values for {FLOWS} flows", many.len());
    many
}

/// The source port in front of what is in UDP over IPv4.
fn port_of(frame: &[u8]) -> u32 {
    assert_eq!(frame[23], UDP);
    u32::from(u16::from_be_bytes([frame[34], frame[35]]))
}

/// The flow label of an outer header.
fn label_of(frame: &[u8]) -> u32 {
    assert_eq!(frame[14] >> 4, 6);
    u32::from_be_bytes([0, frame[15] & 0xf, frame[16], frame[17]])
}

#[test]
fn the_source_port_is_by_the_flow_and_of_the_range_of_the_profile() {
    let gre_in_fou = Bench::bare()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.encap", "{ type: fou, dport: 5555 }")
        .route("{ to: 10.2.0.0/16, tunnel: g0 }");
    let kinds = [
        ("FOU", fou(), "t0", "l"),
        ("GUE", gue(), "a4", "l"),
        ("GRE in FOU", gre_in_fou, "g0", "l"),
        ("VXLAN", vxlan(), "e0", "a"),
        ("GENEVE", geneve(), "e0", "a"),
        ("GENEVE of packets", overlay::routed(), "v0", "l"),
    ];
    for (name, bench, tunnel, port) in kinds {
        for profile in ["native", "linux"] {
            let name = format!("{name}, {profile}");
            let bench = bench.clone().set(&format!("tunnels.{tunnel}.profile"), profile);
            let found = told_apart((&name, bench, port), port_of, |flow| arriving(port, flow));
            let (first, last) = match profile {
                "linux" if name.starts_with("GENEVE") => (1, 65_535),
                "linux" => (32_768, 60_999),
                _ => (49_152, 65_535),
            };
            let (lowest, highest) = (*found.first().unwrap(), *found.last().unwrap());
            assert!(first <= lowest && highest <= last, "{name}: {lowest} to {highest}");
            // None of 256 flows in the outer eighths would be an accident of one in 10^14.
            let eighth = (last - first) / 8;
            let is_wide = lowest < first + eighth && last - eighth < highest;
            assert!(is_wide, "{name}: {lowest} to {highest}");
        }
    }
}

#[test]
fn a_source_port_that_is_written_is_that_of_every_profile() {
    for profile in ["native", "linux"] {
        let bench = Bench::ipip()
            .set("tunnels.t0.encap", "{ type: fou, dport: 5555, sport: 4000 }")
            .set("tunnels.t0.profile", profile);
        let frames = sent(&bench, "l", (0..8).map(|flow| arriving("l", flow)));
        assert!(frames.iter().all(|frame| port_of(frame) == 4000), "{profile}");
    }
}

#[test]
fn every_tunnel_over_ipv6_has_a_flow_label_by_the_flow() {
    let over6 = |mode: &str| {
        Bench::bare()
            .tunnel("n6", mode, r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
            .route("{ to: 10.2.0.0/16, tunnel: n6 }")
    };
    let labelled = over6("mplsip6").set("tunnels.n6.push", "100");
    let tap = attached("ip6gretap", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#);
    let session = erspan::source6(erspan::TWO);
    for (name, bench, port) in [
        ("ipip6", over6("ipip6"), "l"),
        ("ip6gre", over6("ip6gre"), "l"),
        ("ip6gre with a key", over6("ip6gre").set("tunnels.n6.key", "7"), "l"),
        ("mplsip6", labelled, "l"),
        ("GUE", gue6(), "l"),
        ("ip6gretap", tap, "a"),
        ("VXLAN", vxlan6(), "a"),
        ("GENEVE", geneve6(), "a"),
        ("ip6erspan", session, "a"),
    ] {
        let found = told_apart((name, bench, port), label_of, |flow| arriving(port, flow));
        assert!(!found.contains(&0), "{name}: 0 says that there is no label");
    }
}

#[test]
fn labels_count_by_what_is_behind_them() {
    let bench = mpls::with_port();
    let bench6 = bench
        .set("tunnels.m0.mode", "mplsip6")
        .set("tunnels.m0.local", r#""2001:db8:100::1""#)
        .set("tunnels.m0.remote", r#""2001:db8:200::2""#);
    let labels =
        |stack: &[Vec<u8>], inner: Vec<u8>| mpls::labels_from_host(mpls::behind(stack, inner));
    let top = || mpls::entry(201, 0, 0, 64);
    let inside = |flow| {
        let packet = udp4_flow(H, R, (20_000 + flow, 5000), 84).bytes();
        labels(&[top(), mpls::entry(77, 0, 1, 9)], packet)
    };
    told_apart(("MPLS around IP", bench6.clone(), "l"), label_of, inside);
    // Neither 4 nor 6: no IP packet, so the bottom of the stack tells flows apart.
    let opaque =
        |flow: u16| labels(&[top(), mpls::entry(1000 + u32::from(flow), 0, 1, 9)], vec![0; 60]);
    told_apart(("MPLS around others", bench6.clone(), "l"), label_of, opaque);
    let differs_behind = |flow: u16| {
        let bytes = [&[0, 0], &flow.to_be_bytes()[..], &[0; 56]].concat();
        labels(&[top(), mpls::entry(1000, 0, 1, 9)], bytes)
    };
    let frames = sent(&bench6, "l", (0..FLOWS).map(differs_behind));
    let found: BTreeSet<u32> = frames.iter().map(|frame| label_of(frame)).collect();
    assert_eq!(found.len(), 1, "what is behind the labels of others is not looked at");
}

#[test]
fn frames_without_a_packet_count_by_their_stations_and_their_type() {
    for (name, bench) in [("VXLAN", vxlan()), ("GENEVE", geneve())] {
        let of_type = |kind: u16| frame(0x8900 + kind, [kind.to_be_bytes()[1]; 46]);
        told_apart((name, bench.clone(), "a"), port_of, of_type);
        let of_station = |number: u16| {
            let [high, low] = number.to_be_bytes();
            ethernet_of([2, 0, 0, 0, 2, 2], [2, 0, 0, 9, high, low], 0x88cc, [5; 46])
        };
        told_apart((name, bench.clone(), "a"), port_of, of_station);
        let of_content = |byte: u16| frame(0x88cc, [byte.to_be_bytes()[1]; 46]);
        let frames = sent(&bench, "a", (0..FLOWS).map(of_content));
        let found: BTreeSet<u32> = frames.iter().map(|frame| port_of(frame)).collect();
        assert_eq!(found.len(), 1, "{name}: what is in it is not looked at");
    }
    let in_vlan = |kind: u16| tagged(&[[0x81, 0, 0, 7]], 0x8900 + kind, [5; 46]);
    told_apart(("GENEVE behind a tag", geneve(), "a"), port_of, in_vlan);
}
