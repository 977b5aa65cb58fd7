//! VXLAN and GENEVE (E.1, E.5, E.6, E.11). UDP headers are etherparse's, those behind them are spelled out
//! (RFC 7348 §5, RFC 8926 §3.4).

use std::net::IpAddr;

use crate::addresses::{H, H6, P, P6, R, R6, U, U6, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    Ipv4Packet, UDP, datagram, encap4, encap6, ethernet_of, from_gateway, from_host, peer4, peer6,
    to_gateway, to_host, udp4, udp6,
};
use crate::gretap::{IPV4, IPV6, ONE, TWO, arp, attached, frame, tagged};
use crate::icmp::{FRAG_NEEDED, TOO_BIG6, error4, error6, underlay4};

pub(crate) const SPORT: u16 = 50_000;
pub(crate) const VXLAN: u16 = 4789;
pub(crate) const GENEVE: u16 = 6081;
pub(crate) const VXLAN_HEADER: [u8; 8] = [8, 0, 0, 0, 0, 0, 42, 0];
pub(crate) const GENEVE_HEADER: [u8; 8] = [0, 0, 0x65, 0x58, 0xab, 0xcd, 0xef, 0];

pub(crate) fn vxlan() -> Bench {
    attached("vxlan", "198.51.100.1", "203.0.113.2").set("tunnels.e0.id", "42")
}

pub(crate) fn vxlan6() -> Bench {
    attached("vxlan", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#).set("tunnels.e0.id", "42")
}

pub(crate) fn geneve() -> Bench {
    attached("geneve", "198.51.100.1", "203.0.113.2").set("tunnels.e0.id", "11259375")
}

pub(crate) fn geneve6() -> Bench {
    attached("geneve", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
        .set("tunnels.e0.id", "11259375")
}

/// GENEVE that carries packets.
pub(crate) fn routed() -> Bench {
    Bench::bare()
        .tunnel("v0", "geneve", "198.51.100.1", "203.0.113.2")
        .set("tunnels.v0.payload", "ip")
        .set("tunnels.v0.id", "7")
        .set("tunnels.v0.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
        .route("{ to: 10.2.0.0/16, tunnel: v0 }")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: v0 }"#)
}

pub(crate) fn behind(header: &[u8], rest: impl Into<Vec<u8>>) -> Vec<u8> {
    [header, &rest.into()].concat()
}

pub(crate) fn without_checksum(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram[6..8].fill(0);
    datagram
}

pub(crate) fn ours4(port: u16, payload: &[u8]) -> Vec<u8> {
    datagram((IpAddr::V4(U), IpAddr::V4(P)), (SPORT, port), payload)
}

pub(crate) fn ours6(port: u16, payload: &[u8]) -> Vec<u8> {
    datagram((IpAddr::V6(U6), IpAddr::V6(P6)), (SPORT, port), payload)
}

pub(crate) fn peers4(port: u16, payload: &[u8]) -> Ipv4Packet {
    peer4(UDP, datagram((IpAddr::V4(P), IpAddr::V4(U)), (SPORT, port), payload))
}

/// A frame in VXLAN from the peer.
pub(crate) fn from_peer(frame: &[u8]) -> Vec<u8> {
    from_gateway(peers4(VXLAN, &behind(&VXLAN_HEADER, frame)))
}

/// A frame in VXLAN to the peer, by the tunnel `vxlan`.
pub(crate) fn to_peer(frame: &[u8]) -> Vec<u8> {
    let datagram = without_checksum(ours4(VXLAN, &behind(&VXLAN_HEADER, frame)));
    to_gateway(encap4(UDP, datagram))
}

pub(crate) fn peers6(port: u16, payload: &[u8]) -> Vec<u8> {
    let datagram = datagram((IpAddr::V6(P6), IpAddr::V6(U6)), (SPORT, port), payload);
    from_gateway(peer6(UDP, datagram))
}

fn sent4(datagram: Vec<u8>) -> Expected {
    Expected::any_source_port(to_gateway(encap4(UDP, datagram)), 34)
}

pub(crate) fn sent6(datagram: Vec<u8>) -> Expected {
    Expected::any_source_port(to_gateway(encap6(UDP, datagram)), 54)
}

/// A frame goes in.
pub(crate) fn enters(name: &str, bench: Bench, frame: &[u8], expected: Expected) -> Case {
    let len = frame.len() as u64;
    Case::new(name, bench).input("a", frame.to_vec()).expect("u", expected).tunnel_sends("e0", len)
}

/// A frame comes out.
pub(crate) fn comes(name: &str, bench: Bench, outer: impl Into<Vec<u8>>, frame: &[u8]) -> Case {
    let len = frame.len() as u64;
    Case::new(name, bench)
        .input("u", outer.into())
        .expect("a", frame.to_vec())
        .tunnel_accepts("e0", len)
}

pub(crate) fn ip_frame() -> Vec<u8> {
    frame(IPV4, udp4(H, R, 84))
}

#[test]
fn a_frame_goes_behind_udp_and_eight_bytes_and_comes_out_again() {
    for frame in [ip_frame(), arp(), frame(IPV6, udp6(H6, R6, 100))] {
        let in_vxlan = behind(&VXLAN_HEADER, frame.clone());
        let in_geneve = behind(&GENEVE_HEADER, frame.clone());
        let bare4 = without_checksum(ours4(VXLAN, &in_vxlan));
        let bare_peer =
            without_checksum(datagram((IpAddr::V4(P), IpAddr::V4(U)), (SPORT, VXLAN), &in_vxlan));
        let summed = || vxlan().set("tunnels.e0.udp-checksum", "yes");
        run_all([
            enters("C-015(a)", geneve(), &frame, sent4(ours4(GENEVE, &in_geneve))),
            enters("C-015(a) over IPv6", geneve6(), &frame, sent6(ours6(GENEVE, &in_geneve))),
            enters("C-015(b)", vxlan(), &frame, sent4(bare4)),
            enters("C-015(b) with a checksum", summed(), &frame, sent4(ours4(VXLAN, &in_vxlan))),
            enters("C-015(c)", vxlan6(), &frame, sent6(ours6(VXLAN, &in_vxlan))),
            comes("C-015(a) out", geneve(), from_gateway(peers4(GENEVE, &in_geneve)), &frame),
            comes("C-015(a) out, IPv6", geneve6(), peers6(GENEVE, &in_geneve), &frame),
            comes("C-015(b) out", vxlan(), from_gateway(peers4(VXLAN, &in_vxlan)), &frame),
            comes("C-015(b) no checksum", vxlan(), from_gateway(peer4(UDP, bare_peer)), &frame),
            comes("C-015(c) out", vxlan6(), peers6(VXLAN, &in_vxlan), &frame),
        ]);
    }
}

#[test]
fn congestion_around_a_frame_without_a_packet_is_counted_and_ends() {
    let outer = peers4(VXLAN, &behind(&VXLAN_HEADER, arp())).tos(3);
    run_all([comes("B1 around ARP", vxlan(), from_gateway(outer), &arp())
        .tunnel_counts("e0", "rx_ecn_log")]);
}

#[test]
fn another_port_is_for_both_directions() {
    let moved = || vxlan().set("tunnels.e0.port", "8472");
    let payload = behind(&VXLAN_HEADER, ip_frame());
    run_all([
        enters(
            "C-015(b) at 8472",
            moved(),
            &ip_frame(),
            sent4(without_checksum(ours4(8472, &payload))),
        ),
        comes("C-015(b) from 8472", moved(), from_gateway(peers4(8472, &payload)), &ip_frame()),
    ]);
}

#[test]
fn geneve_carries_packets_where_it_is_told_to() {
    let (out, back) = (udp4(H, R, 84).ttl(63).bytes(), udp4(R, H, 84));
    let six = udp6(H6, R6, 100).hop_limit(63).bytes();
    let header = |kind: [u8; 2]| [0, 0, kind[0], kind[1], 0, 0, 7, 0];
    let (four, v6) = (header([8, 0]), header([0x86, 0xdd]));
    run_all([
        Case::new("C-015(a) IPv4 inside", routed())
            .input("l", from_host(udp4(H, R, 84)))
            .expect("u", sent4(ours4(GENEVE, &behind(&four, out))))
            .tunnel_sends("v0", 84),
        Case::new("C-015(a) IPv6 inside", routed())
            .input("l", from_host(udp6(H6, R6, 100)))
            .expect("u", sent4(ours4(GENEVE, &behind(&v6, six))))
            .tunnel_sends("v0", 100),
        Case::new("C-015(a) IPv4 comes out", routed())
            .input("u", from_gateway(peers4(GENEVE, &behind(&four, back.clone()))))
            .expect("l", to_host(back.ttl(63)))
            .tunnel_accepts("v0", 84),
        Case::new("C-150(a) a frame, where packets are carried", routed())
            .input("u", from_gateway(peers4(GENEVE, &behind(&header([0x65, 0x58]), ip_frame()))))
            .counts("gnv.proto_denied"),
        Case::new("C-150(a) a packet, where frames are carried", geneve())
            .input(
                "u",
                from_gateway(peers4(
                    GENEVE,
                    &behind(&[0, 0, 8, 0, 0xab, 0xcd, 0xef, 0], udp4(R, H, 84)),
                )),
            )
            .counts("gnv.proto_denied"),
    ]);
}

#[test]
fn geneve_carries_packets_over_ipv6_and_to_another_port() {
    const MOVED: u16 = 6082;
    let over6 = || {
        let ends = routed().set("tunnels.v0.local", r#""2001:db8:100::1""#);
        ends.set("tunnels.v0.remote", r#""2001:db8:200::2""#)
    };
    let moved = || routed().set("tunnels.v0.port", "6082");
    let (out4, back4) = (udp4(H, R, 84).ttl(63), udp4(R, H, 84));
    let (out6, back6) = (udp6(H6, R6, 100).hop_limit(63), udp6(R6, H6, 100));
    let four = |inner| behind(&[0, 0, 8, 0, 0, 0, 7, 0], inner);
    let six = |inner| behind(&[0, 0, 0x86, 0xdd, 0, 0, 7, 0], inner);
    let into = |name: &str, bench, packet, len, sent| {
        Case::new(name, bench).input("l", packet).expect("u", sent).tunnel_sends("v0", len)
    };
    let out = |name: &str, bench, outer, len, packet: Vec<u8>| {
        Case::new(name, bench).input("u", outer).expect("l", packet).tunnel_accepts("v0", len)
    };
    let (from4, from6) = (from_host(udp4(H, R, 84)), from_host(udp6(H6, R6, 100)));
    let (to4, to6) = (to_host(back4.clone().ttl(63)), to_host(back6.clone().hop_limit(63)));
    let outer4 = sent6(ours6(GENEVE, &four(out4.bytes())));
    let outer6 = sent6(ours6(GENEVE, &six(out6.bytes())));
    let at_moved = sent4(ours4(MOVED, &four(out4.bytes())));
    let from_moved = from_gateway(peers4(MOVED, &four(back4.bytes())));
    run_all([
        into("C-015(a) IPv4 over IPv6", over6(), from4.clone(), 84, outer4),
        into("C-015(a) IPv6 over IPv6", over6(), from6, 100, outer6),
        into("C-015(a) IPv4 to another port", moved(), from4, 84, at_moved),
        out(
            "C-015(a) IPv4 out of IPv6",
            over6(),
            peers6(GENEVE, &four(back4.bytes())),
            84,
            to4.clone(),
        ),
        out("C-015(a) IPv6 out of IPv6", over6(), peers6(GENEVE, &six(back6.bytes())), 100, to6),
        out("C-015(a) IPv4 from another port", moved(), from_moved, 84, to4),
        Case::new("C-015(a) at the port of others", moved())
            .input("u", from_gateway(peers4(GENEVE, &four(back4.bytes()))))
            .counts("udp.closed_port"),
    ]);
}

/// A GENEVE header with these first two bytes, and options.
fn geneve_header(first: u8, flags: u8, options: &[u8]) -> Vec<u8> {
    let mut header = GENEVE_HEADER;
    (header[0], header[1]) = (first, flags);
    behind(&header, options)
}

#[test]
fn geneve_headers_that_can_not_be_obeyed_are_refused_and_unknown_options_passed_over() {
    let refused = |name: &str, header: Vec<u8>, counter: &str| {
        Case::new(name, geneve())
            .input("u", from_gateway(peers4(GENEVE, &behind(&header, ip_frame()))))
            .counts(counter)
    };
    let taken = |name: &str, header: Vec<u8>| {
        let outer = peers4(GENEVE, &behind(&header, ip_frame()));
        comes(name, geneve(), from_gateway(outer), &ip_frame())
    };
    let option = [0xff, 0xff, 0x05, 1, 1, 2, 3, 4];
    let critical = [0xff, 0xff, 0x85, 1, 1, 2, 3, 4];
    let too_long = [0xff, 0xff, 0x05, 2, 1, 2, 3, 4];
    let mut other = GENEVE_HEADER;
    (other[2], other[3]) = (0x88, 0x47);
    run_all([
        refused("C-150(a) version 1", geneve_header(0x40, 0, &[]), "gnv.bad_version"),
        refused("C-150(a) critical", geneve_header(2, 0x40, &critical), "gnv.critical"),
        taken("C-150(a) unknown option", geneve_header(2, 0, &option)),
        taken("C-150(a) unknown option, C set", geneve_header(2, 0x40, &option)),
        taken("C-150(a) reserved bits", geneve_header(0, 0x3f, &[])),
        refused("C-150(a) control", geneve_header(0, 0x80, &[]), "gnv.oam"),
        refused("C-150(a) MPLS", other.to_vec(), "gnv.proto_denied"),
        refused("C-150(b)", geneve_header(2, 0x40, &too_long), "gnv.bad_opts"),
        Case::new("C-150 options beyond the packet", geneve())
            .input("u", from_gateway(peers4(GENEVE, &geneve_header(3, 0, &option))))
            .counts("tun.shim_short"),
        Case::new("C-150 another network", geneve())
            .input(
                "u",
                from_gateway(peers4(GENEVE, &behind(&[0, 0, 0x65, 0x58, 0, 0, 1, 0], ip_frame()))),
            )
            .counts("tun.no_match"),
    ]);
}

#[test]
fn vxlan_headers_are_judged_by_the_flag_the_network_and_the_peer() {
    let comes_with = |name: &str, bench: Bench, header: [u8; 8]| {
        Case::new(name, bench).input("u", from_gateway(peers4(VXLAN, &behind(&header, ip_frame()))))
    };
    let strict = || vxlan().set("tunnels.e0.strict-reserved", "yes");
    let stranger = datagram(
        (IpAddr::V4(X), IpAddr::V4(U)),
        (SPORT, VXLAN),
        &behind(&VXLAN_HEADER, ip_frame()),
    );
    let stranger = Ipv4Packet::new(X, U, UDP, stranger).id(0x7777);
    run_all([
        comes_with("C-152 no I flag", vxlan(), [0, 0, 0, 0, 0, 0, 42, 0]).counts("vxlan.no_i_flag"),
        comes_with("C-152 another network", vxlan(), [8, 0, 0, 0, 0, 0, 43, 0])
            .counts("tun.no_match"),
        comes_with("C-152 reserved byte", vxlan(), [8, 0, 0, 0, 0, 0, 42, 0x55])
            .expect("a", ip_frame())
            .tunnel_accepts("e0", 98)
            .counts("vxlan.reserved_nonzero"),
        comes_with("C-152 reserved byte, strict", strict(), [8, 0, 0, 0, 0, 0, 42, 0x55])
            .counts("vxlan.bad_reserved"),
        comes_with("C-152 reserved flag, strict", strict(), [0x88, 0, 0, 0, 0, 0, 42, 0])
            .counts("vxlan.bad_reserved"),
        Case::new("C-152 a header cut short", vxlan())
            .input("u", from_gateway(peers4(VXLAN, &VXLAN_HEADER[..7])))
            .counts("tun.shim_short"),
        Case::new("C-152 no frame", vxlan())
            .input("u", from_gateway(peers4(VXLAN, &behind(&VXLAN_HEADER, [2; 13]))))
            .tunnel_counts("e0", "rx_length_err"),
        Case::new("C-153", vxlan())
            .input("u", from_gateway(stranger))
            .counts("vxlan.unlisted_peer"),
    ]);
}

#[test]
fn vxlan_takes_no_vlan_tags_unless_it_is_told_to() {
    let with_tag = tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, 84));
    let payload = behind(&VXLAN_HEADER, with_tag.clone());
    let takes = || vxlan().set("tunnels.e0.vlan-tags", "yes");
    run_all([
        Case::new("C-152 a tag goes in", vxlan())
            .input("a", with_tag.clone())
            .tunnel_counts("e0", "tx_payload_unsupported"),
        Case::new("C-152 a tag comes out", vxlan())
            .input("u", from_gateway(peers4(VXLAN, &payload)))
            .counts("vxlan.vlan_tag"),
        enters("C-152 tags", takes(), &with_tag, sent4(without_checksum(ours4(VXLAN, &payload)))),
        comes("C-152 tags, out", takes(), from_gateway(peers4(VXLAN, &payload)), &with_tag),
        enters(
            "C-015(a) tags in GENEVE",
            geneve(),
            &with_tag,
            sent4(ours4(GENEVE, &behind(&GENEVE_HEADER, with_tag.clone()))),
        ),
    ]);
}

#[test]
fn frames_of_our_own_stations_do_not_come_back() {
    let ours = ethernet_of(TWO, [2, 0, 0, 0, 0, 0x0a], IPV4, udp4(H, R, 84));
    let others = ethernet_of(ONE, TWO, IPV4, udp4(H, R, 84));
    run_all([
        Case::new("C-152 our own station", vxlan())
            .input("u", from_gateway(peers4(VXLAN, &behind(&VXLAN_HEADER, ours.clone()))))
            .counts("vxlan.self_mac"),
        Case::new("C-150 our own station", geneve())
            .input("u", from_gateway(peers4(GENEVE, &behind(&GENEVE_HEADER, ours))))
            .tunnel_counts("e0", "rx_loop_encapsulator"),
        comes(
            "C-152 another station",
            vxlan(),
            from_gateway(peers4(VXLAN, &behind(&VXLAN_HEADER, others.clone()))),
            &others,
        ),
    ]);
}

#[test]
fn ecn_crosses_udp_tunnels_of_frames() {
    let bits = |tos: u8| frame(IPV4, udp4(H, R, 84).tos(tos));
    let marked = |port: u16, header: &[u8], tos: u8| {
        from_gateway(peers4(port, &behind(header, bits(tos))).tos(3))
    };
    let out =
        |datagram: Vec<u8>| Expected::any_source_port(to_gateway(encap4(UDP, datagram).tos(2)), 34);
    let in_tag = |tos: u8| tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, 84).tos(tos));
    let tagged_ce = peers4(GENEVE, &behind(&GENEVE_HEADER, in_tag(2))).tos(3);
    run_all([
        comes("C-065", geneve(), from_gateway(tagged_ce), &in_tag(3)),
        comes("C-064(b) VXLAN", vxlan(), marked(VXLAN, &VXLAN_HEADER, 2), &bits(3)),
        comes("C-064(b) GENEVE", geneve(), marked(GENEVE, &GENEVE_HEADER, 2), &bits(3)),
        Case::new("C-064(b) VXLAN, Not-ECT", vxlan())
            .input("u", marked(VXLAN, &VXLAN_HEADER, 0))
            .tunnel_counts("e0", "rx_ecn_drop"),
        enters(
            "C-064(b) into VXLAN",
            vxlan(),
            &bits(2),
            out(without_checksum(ours4(VXLAN, &behind(&VXLAN_HEADER, bits(2))))),
        ),
    ]);
}

#[test]
fn a_path_mtu_is_learnt_from_a_quote_of_eight_bytes_and_nobody_is_told() {
    let large = frame(IPV4, udp4(H, R, 1300));
    let out = without_checksum(ours4(VXLAN, &behind(&VXLAN_HEADER, large.clone())));
    let error = underlay4(FRAG_NEEDED, 1200, &encap4(UDP, out.clone()).bytes()[..28]);
    Case::new("C-105(b) VXLAN", vxlan())
        .input("a", large.clone())
        .expect("u", sent4(out))
        .tunnel_sends("e0", 1314)
        .input("u", from_gateway(error))
        .tunnel_counts("e0", "pmtu_updates")
        .tunnel_counts("e0", "icmp_relay_short")
        .input("a", large)
        .tunnel_counts("e0", "tx_too_big")
        .run();
}

#[test]
fn vxlan_never_cuts() {
    let sized = |len: usize| frame(IPV4, udp4(H, R, len));
    let fits = without_checksum(ours4(VXLAN, &behind(&VXLAN_HEADER, sized(1450))));
    let no_df = || vxlan().set("tunnels.e0.dont-fragment", "no").set("tunnels.e0.mtu", "1500");
    let refused = |name: &str, bench: Bench, frame: Vec<u8>| {
        Case::new(name, bench).input("a", frame).tunnel_counts("e0", "tx_too_big")
    };
    run_all([
        refused("C-094", vxlan(), sized(1500)),
        refused("C-094 one byte", vxlan(), sized(1451)),
        enters("C-094 fits", vxlan(), &sized(1450), sent4(fits)),
        refused("C-094 whatever the DF bit", no_df(), sized(1500)),
        refused("C-094 IPv6", vxlan6(), frame(IPV6, udp6(H6, R6, 1431))),
    ]);
}

/// A tunnel that tells whose packets are too large, and what H hears: a frame with an IP packet at `at`.
fn told(name: &str, bench: Bench, frame: Vec<u8>, answer: Vec<u8>, at: usize) -> Case {
    let is_v6 = answer[at] >> 4 == 6;
    let expected = if is_v6 { Expected::error6(answer, at) } else { Expected::error4(answer, at) };
    untold(name, bench, frame).expect("a", expected).counts("icmp.tx")
}

/// The same of a packet whose sender hears nothing.
fn untold(name: &str, bench: Bench, frame: Vec<u8>) -> Case {
    Case::new(name, bench.set("tunnels.e0.l2-pmtu-reply", "yes"))
        .input("a", frame)
        .tunnel_counts("e0", "tx_too_big")
}

/// The answer goes between the same stations, from the packet's own destination, behind the same tags.
fn answered(tags: &[[u8; 4]], kind: u16, packet: impl Into<Vec<u8>>) -> Vec<u8> {
    let plain = ethernet_of(ONE, TWO, kind, packet);
    [&plain[..12], &tags.concat(), &plain[12..]].concat()
}

const TAGS: [[u8; 4]; 2] = [[0x88, 0xa8, 0, 9], [0x81, 0, 0, 7]];

#[test]
fn the_sender_of_a_packet_too_large_for_a_segment_is_told_if_the_file_says_so() {
    let (large, large6) = (udp4(H, R, 1500), udp6(H6, R6, 1500));
    let error = |mtu| error4(R, H, FRAG_NEEDED, mtu, large.bytes());
    let error6 = error6(R6, H6, TOO_BIG6, 1430, large6.bytes());
    let tagging = || vxlan().set("tunnels.e0.vlan-tags", "yes");
    let group = ethernet_of([1, 0, 0x5e, 0, 0, 9], ONE, IPV4, large.clone());
    let whole = || frame(IPV4, large.clone());
    run_all([
        told("C-094 told", vxlan(), whole(), answered(&[], IPV4, error(1450)), 14),
        told("C-094 over IPv6", vxlan6(), frame(IPV6, large6), answered(&[], IPV6, error6), 14),
        told(
            "C-094 told behind a tag",
            tagging(),
            tagged(&TAGS[1..], IPV4, large.clone()),
            answered(&TAGS[1..], IPV4, error(1446)),
            18,
        ),
        untold(
            "C-094 nothing to do without DF",
            vxlan(),
            frame(IPV4, large.clone().dont_fragment(false)),
        ),
        untold("C-094 to a group", vxlan(), group).counts("icmp.suppressed"),
    ]);
}

#[test]
fn geneve_tells_senders_as_vxlan_does() {
    let (large, large6) = (udp4(H, R, 1500), udp6(H6, R6, 1500));
    let error = |mtu| error4(R, H, FRAG_NEEDED, mtu, large.bytes());
    let error6 = error6(R6, H6, TOO_BIG6, 1430, large6.bytes());
    let whole = || frame(IPV4, large.clone());
    run_all([
        told("C-094 told by GENEVE", geneve(), whole(), answered(&[], IPV4, error(1450)), 14),
        told("C-094 over IPv6", geneve6(), frame(IPV6, large6), answered(&[], IPV6, error6), 14),
        told(
            "C-094 told by GENEVE behind two tags",
            geneve(),
            tagged(&TAGS, IPV4, large.clone()),
            answered(&TAGS, IPV4, error(1442)),
            22,
        ),
        untold(
            "C-094 GENEVE, nothing to do without DF",
            geneve(),
            frame(IPV4, large.clone().dont_fragment(false)),
        ),
        Case::new("C-094 GENEVE tells nobody by itself", geneve())
            .input("a", whole())
            .tunnel_counts("e0", "tx_too_big"),
    ]);
}
