//! Settings of VXLAN, GENEVE and FOU on the wire (semantics 0.4, A.10, A.11, B13): what profile `linux` makes otherwise, and UDP
//! over IPv6 without a checksum (RFC 6935, RFC 6936).

use std::net::IpAddr;

use crate::addresses::{H, P6, R, U, U6, X6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    Ipv4Packet, Ipv6Packet, UDP, datagram, encap4, encap6, from_gateway, peer6, to_gateway, udp4,
};
use crate::gretap::{IPV4, frame, tagged};
use crate::overlay::{
    GENEVE, GENEVE_HEADER, SPORT, VXLAN, VXLAN_HEADER, behind, comes, enters, geneve, geneve6,
    ip_frame, ours4, ours6, peers4, peers6, vxlan, vxlan6, without_checksum,
};
use crate::run::Replay;
use crate::udp::{FOU, fou};

fn linux(bench: Bench, tunnel: &str) -> Bench {
    bench.set(&format!("tunnels.{tunnel}.profile"), "linux")
}

/// What leaves over IPv4, from Linux's range of local ports, or GENEVE's.
fn sent4(outer: Ipv4Packet, ports: (u16, u16)) -> Expected {
    Expected::source_port_of(to_gateway(outer), 34, ports)
}

const LOCAL_PORTS: (u16, u16) = (32_768, 60_999);
const ALL_PORTS: (u16, u16) = (1, 65_535);

#[test]
fn profile_linux_has_the_sums_ttls_and_marks_of_linux() {
    // TTL inherited, DSCP 0, ECN of RFC 3168: congestion inside is ECT(0) outside.
    let marked = frame(IPV4, udp4(H, R, 84).ttl(9).tos(0xbb));
    let (in_vxlan, in_geneve) = (behind(&VXLAN_HEADER, &*marked), behind(&GENEVE_HEADER, &*marked));
    let outer = |datagram: Vec<u8>| encap4(UDP, datagram).ttl(9).tos(2);
    let packet = udp4(H, R, 84).ttl(9).tos(0xbb);
    let in_fou = without_checksum(ours4(FOU, &packet.clone().ttl(8).bytes()));
    let six = |port, payload: &[u8]| {
        let outer = encap6(UDP, ours6(port, payload)).traffic_class(2);
        Expected::source_port_of(
            to_gateway(outer),
            54,
            if port == GENEVE { ALL_PORTS } else { LOCAL_PORTS },
        )
    };
    run_all([
        enters(
            "0.4 VXLAN has a sum",
            linux(vxlan(), "e0"),
            &marked,
            sent4(outer(ours4(VXLAN, &in_vxlan)), LOCAL_PORTS),
        ),
        enters(
            "0.4 GENEVE has none",
            linux(geneve(), "e0"),
            &marked,
            sent4(outer(without_checksum(ours4(GENEVE, &in_geneve))), ALL_PORTS),
        ),
        Case::new("0.4 FOU has none", linux(fou(), "t0"))
            .input("l", crate::frames::from_host(packet))
            .expect("u", sent4(encap4(UDP, in_fou).ttl(8).tos(2), LOCAL_PORTS))
            .tunnel_sends("t0", 84),
        enters("0.4 VXLAN over IPv6", linux(vxlan6(), "e0"), &marked, six(VXLAN, &in_vxlan)),
        enters("0.4 GENEVE over IPv6", linux(geneve6(), "e0"), &marked, six(GENEVE, &in_geneve)),
    ]);
}

#[test]
fn profile_linux_takes_tags_and_refuses_reserved_bits_as_linux_does() {
    let with_tag = tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, 84));
    let payload = behind(&VXLAN_HEADER, &*with_tag);
    let reserved = |header: [u8; 8]| {
        Case::new(&format!("A.11 reserved bits {header:02x?}"), linux(vxlan(), "e0"))
            .input("u", from_gateway(peers4(VXLAN, &behind(&header, ip_frame()))))
            .counts("vxlan.bad_reserved")
    };
    let any_reserved = linux(vxlan(), "e0").set("tunnels.e0.strict-reserved", "no");
    let odd = [8, 0, 0, 0, 0, 0, 42, 0x55];
    let no_tags = linux(vxlan(), "e0").set("tunnels.e0.vlan-tags", "no");
    run_all([
        enters(
            "A.11 a tag goes in",
            linux(vxlan(), "e0"),
            &with_tag,
            sent4(encap4(UDP, ours4(VXLAN, &payload)), LOCAL_PORTS),
        ),
        comes(
            "A.11 a tag comes out",
            linux(vxlan(), "e0"),
            from_gateway(peers4(VXLAN, &payload)),
            &with_tag,
        ),
        Case::new("A.11 no tags where the file says so", no_tags)
            .input("a", with_tag)
            .tunnel_counts("e0", "tx_payload_unsupported"),
        reserved(odd),
        reserved([0x88, 0, 0, 0, 0, 0, 42, 0]),
        reserved([8, 0, 0, 1, 0, 0, 42, 0]),
        comes(
            "A.11 reserved bits where the file says so",
            any_reserved,
            from_gateway(peers4(VXLAN, &behind(&odd, ip_frame()))),
            &ip_frame(),
        )
        .counts("vxlan.reserved_nonzero"),
    ]);
}

#[test]
fn udp_over_ipv6_goes_and_comes_without_a_sum_where_both_ends_are_told_so() {
    for (name, bench, port, header) in [
        ("VXLAN", vxlan6 as fn() -> Bench, VXLAN, VXLAN_HEADER),
        ("GENEVE", geneve6 as fn() -> Bench, GENEVE, GENEVE_HEADER),
    ] {
        let payload = behind(&header, ip_frame());
        let bare = |source, destination| {
            let ends = (IpAddr::V6(source), IpAddr::V6(destination));
            without_checksum(datagram(ends, (SPORT, port), &payload))
        };
        let sends =
            || bench().set("tunnels.e0.udp-checksum", "no").set("tunnels.e0.udp6-zero-tx", "yes");
        let takes = || bench().set("tunnels.e0.udp6-zero-rx", "yes");
        let sent = Expected::any_source_port(to_gateway(encap6(UDP, bare(U6, P6))), 54);
        let came = from_gateway(peer6(UDP, bare(P6, U6)));
        let stranger = from_gateway(Ipv6Packet::new(X6, U6, UDP, bare(X6, U6)));
        let mut wrong = peers6(port, &payload);
        wrong[14 + 40 + 6] ^= 1;
        // A case would say that it is broken.
        let mut replay = Replay::new(sends());
        replay.input("a", 0, ip_frame());
        let outcome = replay.run();
        let [frame] = &outcome.frames("u")[..] else { panic!("{name}: one frame") };
        assert!(sent.resolved(frame) == *frame, "B13 {name}, zero-tx: {frame:02x?}");
        assert_eq!(outcome.counter("tunnels.e0.tx_packets"), 1);
        let nobody = if port == VXLAN { "vxlan.unlisted_peer" } else { "tun.no_match" };
        let named = |rest: &str| format!("B13 {name}, {rest}");
        run_all([
            comes(&named("zero-rx"), takes(), came.clone(), &ip_frame()),
            comes(&named("zero-rx, a sum"), takes(), peers6(port, &payload), &ip_frame()),
            Case::new(&named("zero-rx, a wrong sum"), takes())
                .input("u", wrong)
                .counts("udp.bad_csum"),
            Case::new(&named("zero-tx is not zero-rx"), sends())
                .input("u", came.clone())
                .counts("udp.zero_csum6"),
            Case::new(&named("neither"), bench()).input("u", came).counts("udp.zero_csum6"),
            Case::new(&named("zero-rx, another sender"), takes())
                .input("u", stranger)
                .counts(nobody),
        ]);
    }
}

#[test]
fn over_ipv4_a_sum_may_be_missing_and_a_wrong_one_may_not() {
    for (name, bench, port, header) in [
        ("VXLAN", vxlan as fn() -> Bench, VXLAN, VXLAN_HEADER),
        ("GENEVE", geneve as fn() -> Bench, GENEVE, GENEVE_HEADER),
    ] {
        let packet = peers4(port, &behind(&header, ip_frame()));
        let bare = packet.clone().payload(without_checksum(packet.payload.clone()));
        let mut payload = packet.payload;
        payload[6] ^= 1;
        let wrong = bare.clone().payload(payload);
        assert_eq!(bare.header.destination, U.octets());
        run_all([
            comes(&format!("C-156(a) {name}, none"), bench(), from_gateway(bare), &ip_frame()),
            Case::new(&format!("C-156(a) {name}, wrong"), bench())
                .input("u", from_gateway(wrong))
                .counts("udp.bad_csum"),
        ]);
    }
}
