//! What becomes of packets that go into tunnels or come out of them, and of errors about them.

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::NextHop;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::policy::SourceFilter;
use adit_dataplane::tunnel::shim::Kind;
use adit_dataplane::wire::protocol;

use super::super::appliance::{Blueprint, G_MAC, U, U_MAC};
use super::super::frames::{as_piece, frame, frame_of, ip, with_extension, with_options};
use super::super::specimens::SYN;
use super::{
    AS_IT_IS, Case, Change, LOCAL, REMOTE, case, changed, host, inward, inward6, outward, peer,
    router,
};

/// The rules of GRE headers, D9 and D11. The sums are those of the bytes before them (RFC 1071).
pub(super) fn gre_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let with = |header: &[u8]| {
        router(&ip(REMOTE, LOCAL).carrying(protocol::GRE, &[header, &packet].concat()))
    };
    let gre: Change = |plan| plan.setup(0).put_shim(Kind::Gre(Gre::default()).into());
    let strict: Change = |plan| {
        let strict = Gre { requires_checksum: true, ..Gre::default() };
        plan.setup(0).put_shim(Kind::Gre(strict).into());
    };
    let numbered: Change = |plan| {
        let numbered = Gre { requires_sequence: true, ..Gre::default() };
        plan.setup(0).put_shim(Kind::Gre(numbered).into());
    };
    let one = |name, change, frame| case(name, &[], change, frame);
    vec![
        one("tun.shim_short", gre, router(&ip(REMOTE, LOCAL).carrying(protocol::GRE, &[0; 3]))),
        one("gre.bad_version", gre, with(&[0, 1, 8, 0])),
        one("gre.bad_flags", gre, with(&[0x40, 0, 8, 0])),
        one("gre.bad_csum", gre, with(&[0x80, 0, 8, 0, 1, 2, 0, 0])),
        one("gre.proto_unsupported", gre, with(&[0, 0, 8, 6])),
        one("if.rx_csum_err", strict, with(&[0, 0, 8, 0])),
        one("if.rx_seq_err", numbered, with(&[0, 0, 8, 0])),
    ]
}

/// The rules of minimal encapsulation.
pub(super) fn minimal_cases() -> Vec<Case> {
    let minimal: Change = |plan| plan.setup(0).put_minimal();
    let piece = as_piece(&inward().udp(84), 0, true);
    let wrong = ip(REMOTE, LOCAL).carrying(protocol::MINIMAL, &[17, 0, 1, 2, 10, 1, 0, 5]);
    vec![
        case("if.tx_fragment", &[], minimal, host(&piece)),
        case("minimal.bad_csum", &[], minimal, router(&wrong)),
    ]
}

/// The rules of GUE headers, and of what is bare or in UDP where the other is expected.
pub(super) fn gue_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let gue: Change = |plan| plan.put_gue();
    let with = |header: &[u8]| {
        let payload = [header, &packet].concat();
        let len = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
        let datagram = [&[0xc0, 0, 0x17, 0xc0, len[0], len[1], 0, 0][..], &payload].concat();
        router(&ip(REMOTE, LOCAL).carrying(protocol::UDP, &datagram))
    };
    let one = |name, frame| case(name, &[], gue, frame);
    vec![
        one("tun.encap_mismatch", peer(&packet)),
        one("gue.bad_version", with(&[0x80, 4, 0, 0])),
        one("gue.bad_flags", with(&[0, 4, 0x80, 0])),
        one("gue.control", with(&[0x20, 4, 0, 0])),
        one("gue.proto_denied", with(&[0, 6, 0, 0])),
    ]
}

/// The rules of label stacks.
pub(super) fn mpls_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let mpls: Change = |plan| plan.setup(0).protocols = Protocols::MPLS;
    let with = |entry: [u8; 4]| {
        router(&ip(REMOTE, LOCAL).carrying(protocol::MPLS, &[&entry[..], &packet].concat()))
    };
    let one = |name, frame| case(name, &[], mpls, frame);
    vec![
        // Implicit null; label 16; explicit null with a TTL of 1.
        one("mpls.bad_label", with([0, 0, 0x31, 64])),
        one("mpls.no_label", with([0, 1, 0x01, 64])),
        one("mpls.ttl_expired", with([0, 0, 0x01, 1])),
    ]
}

/// The rules of the inner header, in the order D11 to D16.
pub(super) fn decap_cases() -> Vec<Case> {
    let packet = outward().udp(84);
    let mut bad_checksum = packet.clone();
    bad_checksum[10] ^= 1;
    let longer = changed(packet.clone(), 2, &[0, 85]);
    let source_route = with_options(&packet, &[0x83, 7, 4, 9, 9, 9, 9, 0]);
    let nested = ip("10.2.0.8", LOCAL).around(&packet);
    let from = |source: &str| peer(&ip(source, "10.1.0.5").udp(60));
    let to = |destination: &str| peer(&ip("10.2.0.8", destination).udp(60));
    let marked = |outer: u8, inner: u8| {
        router(&ip(REMOTE, LOCAL).tos(outer).around(&outward().tos(inner).udp(84)))
    };
    let one = |name, change, frame| case(name, &[], change, frame);
    vec![
        one("tun.outer_ttl", |p| p.setup(0).min_outer_ttl = 255, peer(&packet)),
        one("if.rx_down", |p| p.setup(0).up = false, peer(&packet)),
        one("if.rx_length_err", AS_IT_IS, peer(&packet[..19])),
        one("if.rx_inner_bad_version", AS_IT_IS, {
            let inner = ip("2001:db8:2::8", "2001:db8:1::5").udp(84);
            router(&ip(REMOTE, LOCAL).carrying(4, &inner))
        }),
        one("if.rx_inner_bad_header", AS_IT_IS, peer(&bad_checksum)),
        one("if.rx_inner_truncated", AS_IT_IS, peer(&longer)),
        one("if.rx_inner_ttl_zero", AS_IT_IS, peer(&outward().ttl(0).udp(84))),
        one("if.rx_ecn_drop", AS_IT_IS, marked(3, 0)),
        one("if.rx_ecn_log", AS_IT_IS, marked(1, 0)),
        one("if.mss_clamped", AS_IT_IS, peer(&outward().tcp(SYN, &[2, 4, 5, 0xb4], &[]))),
        one("if.mss_malformed", AS_IT_IS, peer(&outward().tcp(SYN, &[3, 0, 1, 1], &[]))),
        one("if.rx_inner_martian_src", AS_IT_IS, from("127.0.0.1")),
        one("if.rx_inner_own_src", AS_IT_IS, from("10.1.0.1")),
        one(
            "if.rx_inner_src_filter",
            |p| p.setup(0).inner_source = SourceFilter::Strict,
            from("10.1.0.77"),
        ),
        one("if.rx_inner_dst_denied", AS_IT_IS, to("224.0.0.9")),
        one("if.rx_inner_src_route", AS_IT_IS, peer(&source_route)),
        one("if.rx_nested_limit", AS_IT_IS, peer(&nested)),
        one("if.rx_loop_encapsulator", AS_IT_IS, to(REMOTE)),
        one("if.rx_hairpin", AS_IT_IS, to("10.2.0.9")),
        one("nd.bad", AS_IT_IS, {
            let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &[0x20; 16]].concat();
            peer(&ip("fe80::2", "ff02::1:ff00:1").ttl(254).carrying(58, &solicitation))
        }),
    ]
}

/// The rules of the way in, in the order N3 to N11.
pub(super) fn encap_cases() -> Vec<Case> {
    let packet = host(&inward().udp(84));
    let limit_0 = with_extension(&inward6().udp(84), 60, &[0, 0, 4, 1, 0, 1, 1, 0]);
    vec![
        case("if.tx_down", &[], |p| p.setup(0).up = false, packet.clone()),
        case("if.tx_no_remote", &[], |p| p.setup(0).local = None, packet.clone()),
        case("if.tx_loop_src", &[], AS_IT_IS, host(&ip(REMOTE, "10.2.0.8").udp(84))),
        case(
            "if.tx_loop_same_pair",
            &[],
            // The answer to an echo request of the remote itself would enter the tunnel.
            |p| p.route("203.0.113.2/32", NextHop::Tunnel(TunnelId(0))),
            router(&ip(REMOTE, LOCAL).echo(&[1; 8])),
        ),
        case(
            "if.tx_loop_same_pair",
            &[],
            |p| {
                p.own("192.0.2.9");
                p.setup(0).more_locals = ["192.0.2.9".parse().unwrap()].into();
                p.route("203.0.113.2/32", NextHop::Tunnel(TunnelId(0)));
            },
            router(&ip(REMOTE, "192.0.2.9").echo(&[1; 8])),
        ),
        case("if.tx_recursion", &[], |p| p.limits.nested_encaps = 0, packet.clone()),
        case(
            "if.tx_loop_dev",
            &[],
            |p| p.setup(0).underlay = NextHop::Tunnel(TunnelId(0)),
            packet.clone(),
        ),
        case("if.tx_no_route", &["icmp.tx"], |p| p.setup(0).underlay = NextHop::NoRoute, packet),
        case(
            "if.tx_payload_unsupported",
            &["icmp.tx"],
            |p| p.setup(0).protocols = Protocols::IPV4,
            host(&inward6().udp(84)),
        ),
        case(
            "if.tx_encap_limit",
            &["icmp.tx"],
            |p| {
                let id = p.tunnel("2001:db8:100::1", "2001:db8:200::2");
                p.route("2001:db8:2::/48", NextHop::Tunnel(id));
            },
            host(&limit_0),
        ),
        case("if.tx_too_big", &["icmp.tx"], AS_IT_IS, host(&inward().udp(1481))),
        case(
            "port.oversize",
            &["icmp.tx"],
            |p| {
                // One of several ways out, which takes less than the others.
                p.ports[0].mtu = 1400;
                let underlay = p.setup(0).underlay;
                p.setup(0).underlay = p.group(&[(underlay, 1)]);
            },
            host(&inward().udp(1400)),
        ),
    ]
}

/// What a router of the underlay says about a packet that the tunnel t0 has sent.
fn underlay_error(kind: u8, code: u8, mtu: u16, quoted: &[u8]) -> (PortId, Vec<u8>) {
    router(&ip("192.0.2.9", LOCAL).icmp_error(kind, code, mtu, quoted))
}

pub(super) fn relay_cases() -> Vec<Case> {
    let sent = ip(LOCAL, REMOTE).around(&inward().udp(1480));
    let forged = ip(LOCAL, "203.0.113.66").around(&inward().udp(1480));
    // Two frames: an error that quotes too little, and the packet after it.
    let mut warned = Blueprint::with_t0(LOCAL, REMOTE).start();
    let (port, bytes) = underlay_error(3, 1, 0, &sent[..28]);
    assert!(warned.pass(port, &bytes).is_empty());
    warned.moved();
    let (port, bytes) = host(&inward().udp(84));
    assert_eq!(warned.pass(port, &bytes).len(), 2, "the packet, and what its sender is told");
    vec![
        case(
            "if.pmtu_updates",
            &["icmp.tx", "if.icmp_relayed"],
            AS_IT_IS,
            underlay_error(3, 4, 1400, &sent[..48]),
        ),
        case("if.pmtu_rejected", &[], AS_IT_IS, underlay_error(3, 4, 1600, &sent[..48])),
        case("if.icmp_relayed", &["icmp.tx"], AS_IT_IS, underlay_error(3, 1, 0, &sent[..48])),
        case("if.icmp_relay_short", &[], AS_IT_IS, underlay_error(3, 1, 0, &sent[..28])),
        case("if.icmp_relay_rejected", &[], AS_IT_IS, underlay_error(3, 1, 0, &forged[..48])),
        Case { name: "if.tx_softstate_icmp", with_it: &["icmp.tx"], moved: warned.moved() },
    ]
}

pub(super) fn outer_cases() -> Vec<Case> {
    let packet = ip(REMOTE, LOCAL).around(&outward().udp(84));
    let stranger = |source: &str| router(&ip(source, LOCAL).around(&outward().udp(84)));
    let of = |protocol: u8| router(&ip(REMOTE, LOCAL).carrying(protocol, &[0; 40]));
    let one = |name, frame| case(name, &[], AS_IT_IS, frame);
    let mut bad_checksum = packet.clone();
    bad_checksum[10] ^= 1;
    vec![
        one("tun.no_match", stranger("203.0.113.66")),
        one("tun.bad_outer_src", stranger("224.1.1.1")),
        one("tun.proto_mismatch", of(47)),
        one("reasm.no_tunnel", router(&as_piece(&stranger("203.0.113.66").1[14..], 8, false))),
        one("ip4.bad_header", router(&bad_checksum)),
        one("ip4.truncated", router(&changed(packet.clone(), 2, &[0, 200]))),
        one("ip4.src_route", router(&with_options(&packet, &[0x89, 7, 4, 9, 9, 9, 9, 0]))),
        one("l2.not_for_us", (U, frame([2, 9, 9, 9, 9, 9], G_MAC, &packet))),
        one("l2.ethertype", (U, frame_of(0x88cc, U_MAC, G_MAC, &packet))),
        one("l2.short", (U, vec![0; 13])),
        one("arp.bad", (U, frame_of(0x0806, U_MAC, G_MAC, &[0; 300]))),
    ]
}

/// The rules of 6rd, at a border relay.
pub(super) fn six_rd_cases() -> Vec<Case> {
    let relay: Change = |plan| plan.put_six_rd(0, true);
    let from =
        |source: &str, to: &str| router(&ip("203.0.113.6", LOCAL).around(&ip(source, to).udp(84)));
    let embedded = "3fff:db8:6::8";
    let host6 = "2001:db8:1::5";
    let into = |to: &str| host(&ip(host6, to).udp(84));
    vec![
        case("if.rx_spoof_embedded", &[], relay, from("3fff:db8:7::8", host6)),
        case("if.rx_spoof_embedded", &[], relay, from("2001:db8:9999::8", host6)),
        case("if.rx_hairpin", &[], relay, from(embedded, "3fff:db8:7::8")),
        case(
            "if.tx_no_remote",
            &["icmp.tx"],
            |p| {
                p.put_six_rd(0, true);
                p.route("203.0.113.6/32", NextHop::Broadcast);
            },
            into(embedded),
        ),
        case(
            "if.tx_no_route",
            &["icmp.tx"],
            |p| {
                p.put_six_rd(0, true);
                p.route("203.0.113.6/32", NextHop::Unreachable);
            },
            into(embedded),
        ),
        case(
            "if.rx_inner_dst_denied",
            &[],
            |p| {
                p.put_six_rd(0, false);
                p.own("203.0.113.9");
            },
            from(embedded, host6),
        ),
    ]
}
