//! Tunnels in UDP (E.1, E.5, E.7, E.11): FOU and GUE under IP and GRE, over IPv4 and IPv6. UDP headers are
//! etherparse's, those behind them are spelled out.

use std::net::IpAddr;

use crate::addresses::{H, H6, L, L6, P, P6, R, R6, U, U6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    Ipv4Packet, UDP, datagram, encap4, encap6, from_gateway, from_host, peer4, peer6, to_gateway,
    to_host, udp4, udp4_flow, udp6,
};
use crate::icmp::{
    FRAG_NEEDED, TOO_BIG6, UNREACHABLE_NET, UNREACHABLE_PORT, error4, error6, underlay4,
};
use crate::run::{MILLISECOND, Replay, check};

const SPORT: u16 = 50_000;
pub(crate) const FOU: u16 = 5555;
pub(crate) const GUE: u16 = 6080;

/// `t0` in FOU.
pub(crate) fn fou() -> Bench {
    Bench::ipip().set("tunnels.t0.encap", "{ type: fou, dport: 5555 }")
}

/// `n6`, which carries IPv4, in FOU.
pub(crate) fn fou6() -> Bench {
    Bench::ipip6().set("tunnels.n6.encap", "{ type: fou, dport: 5555 }")
}

/// `a4`, which carries both families, in GUE.
pub(crate) fn gue() -> Bench {
    Bench::any4().set("tunnels.a4.encap", "{ type: gue }")
}

/// `n6`, the same over IPv6.
pub(crate) fn gue6() -> Bench {
    Bench::any6().set("tunnels.n6.encap", "{ type: gue }")
}

fn ours4(port: u16, payload: &[u8]) -> Vec<u8> {
    datagram((IpAddr::V4(U), IpAddr::V4(P)), (SPORT, port), payload)
}

fn ours6(port: u16, payload: &[u8]) -> Vec<u8> {
    datagram((IpAddr::V6(U6), IpAddr::V6(P6)), (SPORT, port), payload)
}

pub(crate) fn peers4(port: u16, payload: &[u8]) -> Vec<u8> {
    datagram((IpAddr::V4(P), IpAddr::V4(U)), (SPORT, port), payload)
}

fn peers6(port: u16, payload: &[u8]) -> Vec<u8> {
    datagram((IpAddr::V6(P6), IpAddr::V6(U6)), (SPORT, port), payload)
}

/// What leaves for the peer, from a port of our choice.
fn sent4(datagram: Vec<u8>) -> Expected {
    Expected::any_source_port(to_gateway(encap4(UDP, datagram)), 34)
}

fn sent6(datagram: Vec<u8>) -> Expected {
    Expected::any_source_port(to_gateway(encap6(UDP, datagram)), 54)
}

fn from_peer4(datagram: Vec<u8>) -> Vec<u8> {
    from_gateway(peer4(UDP, datagram))
}

fn from_peer6(datagram: Vec<u8>) -> Vec<u8> {
    from_gateway(peer6(UDP, datagram))
}

/// H sends 84 bytes to R.
fn sends(name: &str, bench: Bench, tunnel: &str, frame: Expected) -> Case {
    Case::new(name, bench)
        .input("l", from_host(udp4(H, R, 84)))
        .expect("u", frame)
        .tunnel_sends(tunnel, 84)
}

/// R's 84 bytes reach H.
fn takes(name: &str, bench: Bench, tunnel: &str, frame: Vec<u8>) -> Case {
    Case::new(name, bench)
        .input("u", frame)
        .expect("l", to_host(udp4(R, H, 84).ttl(63)))
        .tunnel_accepts(tunnel, 84)
}

fn refuses(name: &str, bench: Bench, frame: Vec<u8>, counter: &str) -> Case {
    Case::new(name, bench).input("u", frame).counts(counter)
}

/// What H's packet is inside the tunnel, and what R's is.
fn inner() -> (Vec<u8>, Vec<u8>) {
    (udp4(H, R, 84).ttl(63).bytes(), udp4(R, H, 84).bytes())
}

/// A GUE header of variant 0, and what it carries.
pub(crate) fn behind_gue(carried: u8, inner: &[u8]) -> Vec<u8> {
    [&[0, carried, 0, 0], inner].concat()
}

#[test]
fn fou_puts_the_packet_behind_a_udp_header_and_gue_behind_four_bytes_more() {
    let (out, _) = inner();
    let four = ours4(FOU, &out);
    assert_eq!(four[4..6], 92_u16.to_be_bytes(), "the UDP length of the list: 8 + 84");
    assert_ne!(four[6..8], [0, 0], "the checksum of the list");
    let six = udp6(H6, R6, 100).hop_limit(63).bytes();
    run_all([
        sends("C-014(a)", fou(), "t0", sent4(four)),
        sends("C-014(b)", gue(), "a4", sent4(ours4(GUE, &behind_gue(4, &out)))),
        sends("C-014(b) IPv6 outside", gue6(), "n6", sent6(ours6(GUE, &behind_gue(4, &out)))),
        Case::new("C-014(b) IPv6 inside", gue())
            .input("l", from_host(udp6(H6, R6, 100)))
            .expect("u", sent4(ours4(GUE, &behind_gue(41, &six))))
            .tunnel_sends("a4", 100),
        sends(
            "GUE variant 1",
            gue().set("tunnels.a4.encap", "{ type: gue, variant: 1 }"),
            "a4",
            sent4(ours4(GUE, &out)),
        ),
        sends("FOU over IPv6", fou6(), "n6", sent6(ours6(FOU, &out))),
    ]);
}

#[test]
fn ports_and_checksum_are_as_the_file_says() {
    let (out, into) = inner();
    let said = "{ type: fou, dport: 7777, port: 8888, sport: 9999, checksum: no }";
    let bench = Bench::ipip().set("tunnels.t0.encap", said);
    let mut fixed = datagram((IpAddr::V4(U), IpAddr::V4(P)), (9999, 7777), &out);
    fixed[6..8].fill(0);
    let zero6 = gue6()
        .set("tunnels.n6.encap", "{ type: gue, checksum: no }")
        .set("tunnels.n6.udp6-zero-tx", "yes");
    // By the rule of RFC 8200 that is a fault, which every case looks for.
    let outcome = Case::new("udp6-zero-tx", zero6).input("l", from_host(udp4(H, R, 84))).outcome();
    assert_eq!(outcome.frames("u")[0][60..62], [0, 0], "no checksum");
    run_all([
        sends(
            "sport, dport, no checksum",
            bench.clone(),
            "t0",
            to_gateway(encap4(UDP, fixed)).into(),
        ),
        takes("port", bench, "t0", from_peer4(peers4(8888, &into))),
    ]);
}

#[test]
fn gre_goes_in_udp_as_ip_does() {
    let (out, into) = inner();
    let gre =
        |key: u32, inner: &[u8]| [&[0x20, 0, 8, 0], key.to_be_bytes().as_slice(), inner].concat();
    let bench = |encap: &str| {
        Bench::bare()
            .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
            .set("tunnels.g0.key", "7")
            .set("tunnels.g0.encap", encap)
            .set("tunnels.g0.addresses", "[192.168.50.1/30]")
            .route("{ to: 10.2.0.0/16, tunnel: g0 }")
    };
    let (fou, gue) = (bench("{ type: fou, dport: 5555 }"), bench("{ type: gue }"));
    let wrapped = |key, inner: &[u8]| behind_gue(47, &gre(key, inner));
    run_all([
        sends("GRE in FOU", fou.clone(), "g0", sent4(ours4(FOU, &gre(7, &out)))),
        takes("GRE from FOU", fou.clone(), "g0", from_peer4(peers4(FOU, &gre(7, &into)))),
        sends("GRE in GUE", gue.clone(), "g0", sent4(ours4(GUE, &wrapped(7, &out)))),
        takes("GRE from GUE", gue.clone(), "g0", from_peer4(peers4(GUE, &wrapped(7, &into)))),
        refuses("another key", gue, from_peer4(peers4(GUE, &wrapped(8, &into))), "tun.no_match"),
        refuses(
            "GRE without UDP",
            fou,
            from_gateway(peer4(47, gre(7, &into))),
            "tun.encap_mismatch",
        ),
    ]);
}

#[test]
fn what_the_peer_sends_in_udp_is_taken_and_congestion_told() {
    let (_, into) = inner();
    let marked = udp4(R, H, 84).tos(2).bytes();
    let ce = |name: &str, bench, tunnel: &str, frame| {
        Case::new(name, bench)
            .input("u", frame)
            .expect("l", to_host(udp4(R, H, 84).tos(3).ttl(63)))
            .tunnel_accepts(tunnel, 84)
    };
    run_all([
        takes("FOU", fou(), "t0", from_peer4(peers4(FOU, &into))),
        takes("GUE", gue(), "a4", from_peer4(peers4(GUE, &behind_gue(4, &into)))),
        takes("C-149(b)", gue(), "a4", from_peer4(peers4(GUE, &into))),
        takes("GUE over IPv6", gue6(), "n6", from_peer6(peers6(GUE, &behind_gue(4, &into)))),
        ce("C-064(b) FOU", fou(), "t0", from_gateway(peer4(UDP, peers4(FOU, &marked)).tos(3))),
        ce(
            "C-064(b) GUE",
            gue(),
            "a4",
            from_gateway(peer4(UDP, peers4(GUE, &behind_gue(4, &marked))).tos(3)),
        ),
    ]);
}

#[test]
fn all_pieces_of_a_packet_have_one_source_port() {
    let port_of = |frame: &Vec<u8>| u16::from_be_bytes([frame[34], frame[35]]);
    let sent = |packets: Vec<Ipv4Packet>| -> Vec<u16> {
        let mut replay = Replay::new(fou());
        for (at, packet) in (1..).zip(packets) {
            replay.input("l", at * MILLISECOND, from_host(packet));
        }
        replay.run().frames("u").iter().map(port_of).collect()
    };
    let flow = udp4_flow(H, R, (20_001, 5000), 84);
    let first = flow.clone().fragment(0, true);
    let later = Ipv4Packet::new(H, R, UDP, vec![7; 64]).fragment(8, false);
    let pieces = sent(vec![first, later, flow]);
    assert_eq!(pieces[0], pieces[1], "C-019: both pieces have the same source port");
}

#[test]
fn bare_packets_and_those_in_udp_are_never_mixed_up() {
    let (_, into) = inner();
    let bare = || from_gateway(peer4(4, into.clone()));
    let listening = Bench::ipip()
        .tunnel("other", "ipip", "198.51.100.1", "203.0.113.9")
        .set("tunnels.other.encap", "{ type: fou, dport: 5555 }");
    let closed = error4(U, P, UNREACHABLE_PORT, 0, peer4(UDP, peers4(4444, &into)));
    let mut stranger =
        peer4(UDP, datagram((IpAddr::V4(crate::addresses::X), IpAddr::V4(U)), (SPORT, FOU), &into));
    stranger.header.source = crate::addresses::X.octets();
    run_all([
        refuses("bare for FOU", fou(), bare(), "tun.encap_mismatch"),
        refuses("FOU for bare", listening, from_peer4(peers4(FOU, &into)), "tun.encap_mismatch"),
        refuses("C-033 in FOU", fou(), from_gateway(stranger), "tun.no_match"),
        refuses(
            "another protocol in GUE",
            Bench::ipip().set("tunnels.t0.encap", "{ type: gue }"),
            from_peer4(peers4(GUE, &behind_gue(41, &udp6(R6, H6, 100).bytes()))),
            "tun.proto_mismatch",
        ),
        Case::new("C-038 beside FOU", fou())
            .input("u", from_peer4(peers4(4444, &into)))
            .expect("u", Expected::error4(to_gateway(closed), 14))
            .counts("udp.closed_port")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn gue_headers_that_cannot_be_obeyed_are_refused_each_for_its_reason() {
    let (_, into) = inner();
    let with = |header: [u8; 4]| from_peer4(peers4(GUE, &[&header, into.as_slice()].concat()));
    run_all([
        refuses("C-149(a) variant 2", gue(), with([0x80, 4, 0, 0]), "gue.bad_version"),
        refuses("C-149(a) unknown flag", gue(), with([0, 4, 0x80, 0]), "gue.bad_flags"),
        refuses("C-149(a) length past the end", gue(), with([0x1f, 4, 0, 0]), "tun.shim_short"),
        refuses("C-149(a) control", gue(), with([0x20, 4, 0, 0]), "gue.control"),
        refuses("TCP", gue(), with([0, 6, 0, 0]), "gue.proto_denied"),
        refuses("nothing", gue(), with([0, 59, 0, 0]), "gue.proto_denied"),
    ]);
    run_all((0..4).map(|len| {
        let cut = from_peer4(peers4(GUE, &[0, 4, 0, 0][..len]));
        refuses(&format!("GUE cut after {len} bytes"), gue(), cut, "tun.shim_short")
    }));
}

#[test]
fn checksums_and_lengths_of_udp_are_those_of_rfc_768() {
    let (_, into) = inner();
    let good = peers4(FOU, &into);
    let with = |at: usize, value: u16| {
        let mut bytes = good.clone();
        bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
        bytes
    };
    let len = u16::try_from(good.len()).unwrap();
    let mut longer = good.clone();
    longer.extend([0xee; 8]);
    // The inner packet may not use what is behind the datagram.
    let mut borrowed = datagram((IpAddr::V4(P), IpAddr::V4(U)), (SPORT, FOU), &into[..76]);
    borrowed.extend(&into[76..]);
    let zero6 = |bench: Bench| {
        let mut bytes = peers6(GUE, &behind_gue(4, &into));
        bytes[6..8].fill(0);
        (bench, from_peer6(bytes))
    };
    let (strict, frame) = zero6(gue6());
    let (lenient, same) = zero6(gue6().set("tunnels.n6.udp6-zero-rx", "yes"));
    run_all([
        refuses("C-156(a) wrong", fou(), from_peer4(with(6, 0x1234)), "udp.bad_csum"),
        takes("C-156(a) zero", fou(), "t0", from_peer4(with(6, 0))),
        refuses("C-156(b) four too long", fou(), from_peer4(with(4, len + 4)), "udp.short"),
        takes("C-156(b) bytes behind", fou(), "t0", from_peer4(longer)),
        Case::new("C-156(b) eight less", fou())
            .input("u", from_peer4(borrowed))
            .tunnel_counts("t0", "rx_inner_truncated"),
        refuses("no checksum over IPv6", strict, frame, "udp.zero_csum6"),
        takes("udp6-zero-rx", lenient, "n6", same),
    ]);
}

#[test]
fn a_path_mtu_is_learnt_of_the_tunnel_whose_port_is_quoted() {
    let large = udp4(H, R, 1300);
    let out = ours4(FOU, &large.clone().ttl(63).bytes());
    let outer = encap4(UDP, out.clone());
    let error = underlay4(FRAG_NEEDED, 1200, &outer.bytes()[..28]);
    let refused = error4(L, H, FRAG_NEEDED, 1200 - 28, large.clone());
    let mut other = outer.bytes()[..28].to_vec();
    other[22..24].copy_from_slice(&5556_u16.to_be_bytes());
    Case::new("C-105(b)", fou())
        .input("l", from_host(large.clone()))
        .expect("u", sent4(out))
        .tunnel_sends("t0", 1300)
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1100, other)))
        .tunnel_counts("t0", "icmp_relay_rejected")
        .input("u", from_gateway(error))
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relay_short")
        .input("l", from_host(large))
        .expect("l", Expected::error4(to_host(refused), 14))
        .tunnel_counts("t0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn a_port_that_nobody_listens_at_is_told_of_as_a_protocol_that_nobody_speaks() {
    //= B8.3: around UDP, 3/3 is what 3/2 is around IP.
    let inner = udp4(H, R, 200).ttl(63);
    let outer = encap4(UDP, ours4(FOU, &inner.bytes()));
    let told = to_host(error4(L, H, UNREACHABLE_NET, 0, inner.bytes()));
    for kind in [(3, 2), (3, 3)] {
        Case::new(&format!("C-106 in UDP, 3/{}", kind.1), fou())
            .input("u", from_gateway(underlay4(kind, 0, outer.bytes())))
            .expect("l", Expected::error4(told.clone(), 14))
            .tunnel_counts("t0", "icmp_relayed")
            .counts("icmp.tx")
            .run();
    }
}

#[test]
fn of_many_tunnels_of_one_port_the_one_whose_network_is_quoted_learns() {
    let geneve = |number: u32| {
        let tunnel = format!("tunnels.v{number}");
        move |bench: Bench| {
            bench
                .tunnel(&format!("v{number}"), "geneve", "198.51.100.1", "203.0.113.2")
                .set(&format!("{tunnel}.payload"), "ip")
                .set(&format!("{tunnel}.id"), &number.to_string())
                .set(&format!("{tunnel}.inner-source"), "off")
                .route(&format!("{{ to: 10.2.{number}.0/24, tunnel: v{number} }}"))
        }
    };
    let bench = (1..=80).fold(Bench::bare(), |bench, number| geneve(number)(bench));
    for number in [1, 64, 65, 80] {
        let inner = udp4(H, [10, 2, number, 8].into(), 1400).bytes();
        let header = [0, 0, 8, 0, 0, 0, number, 0];
        let payload = [&header[..], &inner].concat();
        let outer = encap4(UDP, ours4(6081, &payload));
        let tunnel = format!("v{number}");
        Case::new(&format!("C-105(b) the {number}th GENEVE tunnel"), bench.clone())
            .input("u", from_gateway(underlay4(FRAG_NEEDED, 1300, &outer.bytes()[..300])))
            .expect(
                "l",
                Expected::error4(to_host(error4(L, H, FRAG_NEEDED, 1264, &inner[..264])), 14),
            )
            .tunnel_counts(&tunnel, "pmtu_updates")
            .tunnel_counts(&tunnel, "icmp_relayed")
            .counts("icmp.tx")
            .run();
    }
}

#[test]
fn pieces_of_datagrams_are_put_together() {
    let inner = udp4(R, H, 1400);
    let bytes = peers4(FOU, &inner.bytes());
    let piece = |range: std::ops::Range<usize>, more| {
        let offset = u16::try_from(range.start / 8).unwrap();
        let packet = Ipv4Packet::new(P, U, UDP, &bytes[range]);
        from_gateway(packet.dont_fragment(false).id(7).fragment(offset, more))
    };
    Case::new("FOU in pieces", fou())
        .input("u", piece(800..bytes.len(), false))
        .input("u", piece(0..800, true))
        .expect("l", to_host(inner.clone().ttl(63)))
        .tunnel_accepts("t0", 1400)
        .counts("reasm.ok")
        .run();
}

#[test]
fn tunnels_that_a_datagram_could_not_tell_apart_are_refused() {
    let other = |bench: Bench, mode: &str, remote: &str, encap: &str| {
        bench.tunnel("other", mode, "198.51.100.1", remote).set("tunnels.other.encap", encap)
    };
    let fou_5555 = "{ type: fou, dport: 5555 }";
    let status = |bench: &Bench| check(&bench.yaml()).0;
    let twin = other(fou(), "ipip", "203.0.113.2", fou_5555);
    assert_eq!(status(&twin), 2, "C-048 in FOU");
    let bare = fou().tunnel("other", "ipip", "198.51.100.1", "203.0.113.2");
    assert_eq!(status(&bare), 0, "one in FOU, one bare");
    let second = other(fou(), "ipip", "203.0.113.2", "{ type: fou, dport: 5556 }");
    assert_eq!(status(&second), 0, "by two ports");
    let mixed = other(fou(), "sit", "203.0.113.9", fou_5555);
    assert_eq!(status(&mixed), 2, "a port of FOU carries one protocol");
    let gue = other(fou(), "ipip", "203.0.113.9", "{ type: gue, port: 5555 }");
    assert_eq!(status(&gue), 2, "a port is for FOU or for GUE");
    let both = Bench::any4().set("tunnels.a4.encap", fou_5555);
    assert_eq!(status(&both), 2, "FOU can't say which of two families follows");
    let unsummed = gue6().set("tunnels.n6.encap", "{ type: gue, checksum: no }");
    assert_eq!(status(&unsummed), 2, "over IPv6 there is a checksum");
}

#[test]
fn a_tunnel_packet_in_udp_inside_another_is_nested_as_any_other() {
    let (_, into) = inner();
    let bench = Bench::ipip()
        .tunnel("f", "ipip", "198.51.100.1", "203.0.113.9")
        .set("tunnels.f.encap", "{ type: fou, dport: 5555 }")
        .set("tunnels.f.inner-source", "off")
        .set("tunnels.t0.inner-source", "off");
    let peer = std::net::Ipv4Addr::new(203, 0, 113, 9);
    let nested = Ipv4Packet::new(
        peer,
        U,
        UDP,
        datagram((IpAddr::V4(peer), IpAddr::V4(U)), (SPORT, FOU), &into),
    );
    Case::new("B10 FOU in ipip", bench)
        .input("u", from_gateway(peer4(4, nested)))
        .tunnel_counts("t0", "rx_nested_limit")
        .run();
}

#[test]
fn an_error_reaches_the_tunnel_that_carries_what_is_quoted() {
    let bench = Bench::ipip()
        .set("tunnels.t0.encap", "{ type: gue }")
        .tunnel("s", "sit", "198.51.100.1", "203.0.113.2")
        .set("tunnels.s.encap", "{ type: gue }")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: s }"#);
    let large = udp6(H6, R6, 1400);
    let out = ours4(GUE, &behind_gue(41, &large.clone().hop_limit(63).bytes()));
    let outer = encap4(UDP, out.clone());
    let case = |name: &str, quoted: usize, short: bool| {
        let case = Case::new(name, bench.clone())
            .input("l", from_host(large.clone()))
            .expect("u", sent4(out.clone()))
            .tunnel_sends("s", 1400)
            .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &outer.bytes()[..quoted])));
        if short {
            case.tunnel_counts("t0", "pmtu_updates").tunnel_counts("t0", "icmp_relay_short")
        } else {
            case
        }
    };
    // Of eight bytes nobody can say which of the two it was; the path is the same.
    case("8 bytes quoted", 28, true).run();
    // As much of it as was quoted.
    let about = &large.clone().hop_limit(63).bytes()[..548 - 32];
    let told = error6(L6, H6, TOO_BIG6, 1400 - 32, about);
    case("all that an error quotes", 548, false)
        .tunnel_counts("s", "pmtu_updates")
        .tunnel_counts("s", "icmp_relayed")
        .expect("l", Expected::error6(to_host(told), 14))
        .counts("icmp.tx")
        .run();
}

#[test]
fn pieces_wait_if_any_tunnel_of_the_pair_waits_for_them() {
    let bench = fou()
        .set("tunnels.t0.reassembly", "no")
        .tunnel("g", "ipip", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g.encap", "{ type: gue }")
        .set("tunnels.g.inner-source", "off");
    let whole = udp4(R, H, 1400);
    let bytes = peers4(GUE, &behind_gue(4, &whole.bytes()));
    let piece = |range: std::ops::Range<usize>, more| {
        let offset = u16::try_from(range.start / 8).unwrap();
        let packet = Ipv4Packet::new(P, U, UDP, &bytes[range]);
        from_gateway(packet.dont_fragment(false).id(7).fragment(offset, more))
    };
    Case::new("B5.6 the longest wait", bench)
        .input("u", piece(0..800, true))
        .input("u", piece(800..bytes.len(), false))
        .expect("l", to_host(whole.clone().ttl(63)))
        .tunnel_accepts("g", 1400)
        .counts("reasm.ok")
        .run();
}
