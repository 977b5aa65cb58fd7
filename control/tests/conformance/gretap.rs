//! Ethernet frames in GRE (E.1, E.3, E.5, E.6, E.8): every frame of a port goes into the tunnel that the port is
//! attached to, and what comes out leaves there, whatever is in it.

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    encap4, encap6, ethernet_of, from_gateway, peer4, peer6, poked, to_gateway, udp4, udp6,
};
use crate::mss::{mss, syn4};

const GRE: u8 = 47;
pub(crate) const ONE: [u8; 6] = [2, 0, 0, 0, 1, 1];
pub(crate) const TWO: [u8; 6] = [2, 0, 0, 0, 2, 2];
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;

/// `e0`, with port `a` attached.
pub(crate) fn attached(mode: &str, local: &str, remote: &str) -> Bench {
    Bench::bare()
        .set("ports.a.macaddress", r#""02:00:00:00:00:0a""#)
        .tunnel("e0", mode, local, remote)
        .set("tunnels.e0.attach", "a")
}

pub(crate) fn gretap() -> Bench {
    attached("gretap", "198.51.100.1", "203.0.113.2")
}

pub(crate) fn ip6gretap() -> Bench {
    attached("ip6gretap", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
}

/// A frame from station one to station two.
pub(crate) fn frame(kind: u16, payload: impl Into<Vec<u8>>) -> Vec<u8> {
    ethernet_of(TWO, ONE, kind, payload)
}

/// A frame with VLAN tags.
pub(crate) fn tagged(tags: &[[u8; 4]], kind: u16, payload: impl Into<Vec<u8>>) -> Vec<u8> {
    let plain = frame(kind, payload);
    [&plain[..12], &tags.concat(), &plain[12..]].concat()
}

/// What follows the outer header.
pub(crate) fn gre(frame: &[u8]) -> Vec<u8> {
    [&[0, 0, 0x65, 0x58], frame].concat()
}

pub(crate) fn arp() -> Vec<u8> {
    frame(ARP, [&[0, 1, 8, 0, 6, 4, 0, 1][..], &[7; 38]].concat())
}

#[test]
fn whole_frames_go_into_the_tunnel_and_come_out_as_they_were() {
    let six = frame(IPV6, udp6(H6, R6, 100));
    let frames: [(&str, Vec<u8>); 5] = [
        ("IPv4", frame(IPV4, udp4(H, R, 84))),
        ("ARP", arp()),
        ("a VLAN tag", tagged(&[[0x81, 0, 0x20, 7]], IPV4, udp4(H, R, 84))),
        ("two tags", tagged(&[[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]], IPV4, udp4(H, R, 84))),
        ("neither IP nor ARP", frame(0x88cc, [5; 46])),
    ];
    assert_eq!(frames[1].1.len(), 60, "by the letter of the list");
    let all = frames.into_iter().chain([("IPv6", six)]).flat_map(|(name, frame)| {
        let len = frame.len() as u64;
        let outer6 = Expected::any_flow_label(to_gateway(encap6(GRE, gre(&frame))));
        [
            Case::new(&format!("C-012 {name}"), gretap())
                .input("a", frame.clone())
                .expect("u", to_gateway(encap4(GRE, gre(&frame))))
                .tunnel_sends("e0", len),
            Case::new(&format!("C-012 {name}, out"), gretap())
                .input("u", from_gateway(peer4(GRE, gre(&frame))))
                .expect("a", frame.clone())
                .tunnel_accepts("e0", len),
            Case::new(&format!("C-012 {name} over IPv6"), ip6gretap())
                .input("a", frame.clone())
                .expect("u", outer6)
                .tunnel_sends("e0", len),
            Case::new(&format!("C-012 {name} over IPv6, out"), ip6gretap())
                .input("u", from_gateway(peer6(GRE, gre(&frame))))
                .expect("a", frame)
                .tunnel_accepts("e0", len),
        ]
    });
    run_all(all);
}

#[test]
fn a_key_is_told_from_none_and_packets_are_another_tunnels() {
    let frame = frame(IPV4, udp4(H, R, 84));
    let keyed = [&[0x20, 0, 0x65, 0x58, 0, 0, 0, 7], &frame[..]].concat();
    let both = || {
        gretap()
            .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
            .set("tunnels.g0.inner-source", "off")
    };
    run_all([
        Case::new("C-012 with a key", gretap().set("tunnels.e0.key", "7"))
            .input("a", frame.clone())
            .expect("u", to_gateway(encap4(GRE, keyed.clone())))
            .tunnel_sends("e0", 98),
        Case::new("C-012 with a key, out", gretap().set("tunnels.e0.key", "7"))
            .input("u", from_gateway(peer4(GRE, keyed.clone())))
            .expect("a", frame.clone())
            .tunnel_accepts("e0", 98),
        Case::new("C-012 with another key", gretap())
            .input("u", from_gateway(peer4(GRE, keyed)))
            .counts("tun.no_match"),
        Case::new("C-012 a packet, no frame", gretap())
            .input(
                "u",
                from_gateway(peer4(GRE, [&[0, 0, 8, 0], &udp4(R, H, 84).bytes()[..]].concat())),
            )
            .counts("tun.proto_mismatch"),
        Case::new("C-012 beside packets in GRE", both())
            .input("u", from_gateway(peer4(GRE, gre(&frame))))
            .expect("a", frame)
            .tunnel_accepts("e0", 98),
        Case::new("C-012 too short for a frame", gretap())
            .input("u", from_gateway(peer4(GRE, gre(&[9; 13]))))
            .tunnel_counts("e0", "rx_length_err"),
    ]);
}

#[test]
fn marks_of_packets_in_frames_are_those_of_packets() {
    let bits = |tos: u8| frame(IPV4, udp4(H, R, 84).tos(tos));
    let six = |class: u8| frame(IPV6, udp6(H6, R6, 100).traffic_class(class));
    let in_vlan = |tos: u8| tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, 84).tos(tos));
    let marked = |frame: &[u8], tos: u8| to_gateway(encap4(GRE, gre(frame)).tos(tos));
    let comes = |frame: &[u8], tos: u8| from_gateway(peer4(GRE, gre(frame)).tos(tos));
    run_all([
        Case::new("C-064(b) into a frame's tunnel", gretap())
            .input("a", bits(0xba))
            .expect("u", marked(&bits(0xba), 0xba))
            .tunnel_sends("e0", 98),
        Case::new("C-064(b) frame with a tag", gretap())
            .input("a", in_vlan(0x02))
            .expect("u", marked(&in_vlan(0x02), 0x02))
            .tunnel_sends("e0", 102),
        Case::new("C-064(b) ARP has no marks", gretap())
            .input("a", arp())
            .expect("u", marked(&arp(), 0))
            .tunnel_sends("e0", 60),
        Case::new("C-064(b) ECT(0) in a frame, CE outside", gretap())
            .input("u", comes(&bits(0x02), 3))
            .expect("a", bits(0x03))
            .tunnel_accepts("e0", 98),
        Case::new("C-064(b) IPv6 in a frame", gretap())
            .input("u", comes(&six(0x02), 3))
            .expect("a", six(0x03))
            .tunnel_accepts("e0", 114),
        Case::new("C-064(b) behind a tag", gretap())
            .input("u", comes(&in_vlan(0x02), 3))
            .expect("a", in_vlan(0x03))
            .tunnel_accepts("e0", 102),
        Case::new("C-064(b) Not-ECT in a frame, CE outside", gretap())
            .input("u", comes(&bits(0), 3))
            .tunnel_counts("e0", "rx_ecn_drop"),
        Case::new("C-064(b) ARP, CE outside", gretap())
            .input("u", comes(&arp(), 3))
            .expect("a", arp())
            .tunnel_counts("e0", "rx_ecn_log")
            .tunnel_accepts("e0", 60),
    ]);
}

#[test]
fn the_outer_ttl_and_df_follow_the_packet_in_the_frame() {
    let inherit = || gretap().set("tunnels.e0.ttl", "inherit");
    let df = |mode: &str| gretap().set("tunnels.e0.dont-fragment", mode);
    let with_df = |set: bool| frame(IPV4, udp4(H, R, 84).dont_fragment(set));
    let out = |frame: &[u8]| encap4(GRE, gre(frame));
    let any_id = |packet| Expected::any_identification(to_gateway(packet));
    run_all([
        Case::new("C-050 of a packet in a frame", inherit())
            .input("a", frame(IPV4, udp4(H, R, 84).ttl(9)))
            .expect("u", to_gateway(out(&frame(IPV4, udp4(H, R, 84).ttl(9))).ttl(9)))
            .tunnel_sends("e0", 98),
        Case::new("C-050 of a frame without", inherit())
            .input("a", arp())
            .expect("u", to_gateway(out(&arp())))
            .tunnel_sends("e0", 60),
        Case::new("C-075(a) frames", df("no"))
            .input("a", with_df(true))
            .expect("u", any_id(out(&with_df(true)).dont_fragment(false)))
            .tunnel_sends("e0", 98),
        Case::new("C-075(b) DF in a frame", df("inherit"))
            .input("a", with_df(true))
            .expect("u", to_gateway(out(&with_df(true))))
            .tunnel_sends("e0", 98),
        Case::new("C-075(b) no DF in a frame", df("inherit"))
            .input("a", with_df(false))
            .expect("u", any_id(out(&with_df(false)).dont_fragment(false)))
            .tunnel_sends("e0", 98),
        Case::new("C-075(b) a frame without a packet", df("inherit"))
            .input("a", arp())
            .expect("u", any_id(out(&arp()).dont_fragment(false)))
            .tunnel_sends("e0", 60),
    ]);
}

#[test]
fn what_does_not_fit_is_dropped_and_nobody_is_told() {
    let sized = |len: usize| frame(IPV4, udp4(H, R, len));
    let in_vlan = |len: usize| tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, len));
    let fits = |bench: Bench, frame: Vec<u8>, name: &str| {
        Case::new(name, bench)
            .input("a", frame.clone())
            .tunnel_sends("e0", frame.len() as u64)
            .expect("u", to_gateway(encap4(GRE, gre(&frame))))
    };
    let refused = |bench: Bench, frame: Vec<u8>, name: &str| {
        Case::new(name, bench).input("a", frame).tunnel_counts("e0", "tx_too_big")
    };
    run_all([
        fits(gretap(), sized(1462), "C-071 a packet of 1462 in a frame"),
        refused(gretap(), sized(1463), "C-071 a packet of 1463 in a frame"),
        fits(gretap(), in_vlan(1458), "C-071 a packet of 1458 behind a tag"),
        refused(gretap(), in_vlan(1459), "C-071 a packet of 1459 behind a tag"),
        refused(
            gretap(),
            frame(IPV4, udp4(H, R, 1463).dont_fragment(false)),
            "C-072 in a frame nothing is cut",
        ),
        refused(gretap(), frame(IPV6, udp6(H6, R6, 1463)), "C-079 IPv6 of 1463 in a frame"),
        refused(ip6gretap(), frame(IPV6, udp6(H6, R6, 1443)), "C-083 IPv6 of 1443 in a frame"),
        Case::new("C-071 over IPv6", ip6gretap())
            .input("a", sized(1442))
            .expect("u", Expected::any_flow_label(to_gateway(encap6(GRE, gre(&sized(1442))))))
            .tunnel_sends("e0", 1456),
        refused(ip6gretap(), sized(1443), "C-071 too big over IPv6"),
    ]);
}

#[test]
fn frames_that_the_port_does_not_take_are_dropped() {
    let large = frame(IPV4, udp4(R, H, 1441));
    let narrow = || gretap().set("ports.a.mtu", "1440");
    let fitting = frame(IPV4, udp4(R, H, 1440));
    run_all([
        Case::new("C-092 a frame larger than the port", narrow())
            .input("u", from_gateway(peer4(GRE, gre(&large))))
            .counter("tunnels.e0.rx_packets", 1)
            .counter("tunnels.e0.rx_bytes", 1455)
            .counts("port.oversize"),
        Case::new("C-092 a frame as large as the port", narrow())
            .input("u", from_gateway(peer4(GRE, gre(&fitting))))
            .expect("a", fitting)
            .tunnel_accepts("e0", 1454),
    ]);
}

#[test]
fn tcp_in_frames_agrees_on_segments_that_fit() {
    let opening = |size: u16| frame(IPV4, syn4(&mss(size)));
    let lowered = opening(1422);
    // Tags take their room, too: a packet of 1462 bytes fits without them.
    let in_vlans = |tags: &[[u8; 4]], size: u16| tagged(tags, IPV4, syn4(&mss(size)));
    let tags = [[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]];
    let behind = |tags: &[[u8; 4]], size: u16| {
        let (before, after) = (in_vlans(tags, 1460), in_vlans(tags, size));
        let len = after.len() as u64;
        [
            Case::new(&format!("C-113 behind {} tags", tags.len()), gretap())
                .input("a", before.clone())
                .expect("u", to_gateway(encap4(GRE, gre(&after))))
                .tunnel_counts("e0", "mss_clamped")
                .tunnel_sends("e0", len),
            Case::new(&format!("C-114 behind {} tags", tags.len()), gretap())
                .input("u", from_gateway(peer4(GRE, gre(&before))))
                .expect("a", after)
                .tunnel_counts("e0", "mss_clamped")
                .tunnel_accepts("e0", len),
        ]
    };
    run_all(behind(&tags[1..], 1418).into_iter().chain(behind(&tags, 1414)));
    run_all([
        Case::new("C-113 in a frame", gretap())
            .input("a", opening(1460))
            .expect("u", to_gateway(encap4(GRE, gre(&lowered))))
            .tunnel_counts("e0", "mss_clamped")
            .tunnel_sends("e0", lowered.len() as u64),
        Case::new("C-114 in a frame", gretap())
            .input("u", from_gateway(peer4(GRE, gre(&opening(1460)))))
            .expect("a", lowered.clone())
            .tunnel_counts("e0", "mss_clamped")
            .tunnel_accepts("e0", lowered.len() as u64),
    ]);
}

#[test]
fn a_frame_that_lies_about_its_packet_is_carried_as_it_is() {
    let packet = udp4(H, R, 84).tos(0x02).bytes();
    for (at, value) in [(0, 0x65), (0, 0x44), (3, 85), (2, 1), (3, 19)] {
        let wrong = frame(IPV4, poked(packet.clone(), at, value));
        let outcome = Case::new(&format!("C-012 byte {at} is {value:#x}"), gretap())
            .input("u", from_gateway(peer4(GRE, gre(&wrong)).tos(3)))
            .outcome();
        let sent: Vec<_> = outcome.sent["a"].iter().map(|record| &record.frame).collect();
        assert_eq!(sent, [&wrong], "byte {at} is {value:#x}");
    }
}
