//! Outer fragments of tunnels that have a shim (E.6; B5.4, B5.6, B6.2, B6.3): cut here around frames and around IPv6 packets of
//! 1280 bytes (RFC 7676 §3.3), and put together again where a peer has cut them. IP in IP is in `outer_fragments`
//! and `reassembly`.

use crate::addresses::{H, H6, L6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::erspan::{GRE, TWO, sink, two};
use crate::frames::{
    IPV6 as IPV6_IN_IP, Ipv4Packet, Ipv6Packet, UDP, from_host, internet_checksum, peer4, peer6,
    seal_ipv4, to_gateway, to_host, udp4, udp6,
};
use crate::gretap::{IPV4, IPV6, frame, gre, gretap, ip6gretap};
use crate::icmp::{TOO_BIG6, error6};
use crate::mpls;
use crate::outer_fragments::{cut4, cut6, loose};
use crate::overlay::{
    GENEVE, GENEVE_HEADER, VXLAN, VXLAN_HEADER, behind, geneve, geneve6, ours4, ours6, peers4,
    peers6, vxlan, vxlan6,
};
use crate::reassembly::{piece4, piece6};
use crate::run::Replay;
use crate::udp::{FOU, GUE, behind_gue};

/// The two outer fragments of one packet that frames of port U are, as one frame (RFC 791 §2.7).
fn joined4(frames: &[Vec<u8>]) -> Vec<u8> {
    let [first, second] = frames else { panic!("{} frames", frames.len()) };
    let header = |frame: &[u8]| (frame[18..20].to_vec(), frame[20..22].to_vec());
    let units = u16::try_from((first.len() - 34) / 8).unwrap();
    assert_eq!(header(first).1, 0x2000_u16.to_be_bytes(), "more to come, DF clear");
    assert_eq!(header(second), (header(first).0, units.to_be_bytes().to_vec()));
    let mut whole = [&first[..], &second[34..]].concat();
    let len = u16::try_from(whole.len() - 14).unwrap();
    whole[16..18].copy_from_slice(&len.to_be_bytes());
    whole[20..22].fill(0);
    seal_ipv4(&mut whole, 14);
    assert_eq!(internet_checksum(&[&whole[14..34]]), 0);
    whole
}

#[test]
fn frames_behind_gre_are_cut_outside_where_df_is_off_or_the_file_says_so() {
    let bench = || gretap().set("tunnels.e0.dont-fragment", "no").set("tunnels.e0.mtu", "1500");
    let cut = |name: &str, bench: Bench, frame: Vec<u8>, [first, second]: [Expected; 2]| {
        Case::new(name, bench)
            .input("a", frame.clone())
            .expect("u", first)
            .expect("u", second)
            .tunnel_sends("e0", frame.len() as u64)
            .tunnel_counts("e0", "tx_outer_frag")
    };
    let sized = |len: usize, df: bool| frame(IPV4, udp4(H, R, len).dont_fragment(df));
    let pieces = |frame: &[u8]| cut4(&loose(GRE, gre(frame)), 1480);
    let six = frame(IPV6, udp6(H6, R6, 1500));
    let outer = || ip6gretap().set("tunnels.e0.fragment", "outer");
    let large = sized(1500, false);
    run_all([
        cut("C-076 gretap", bench(), sized(1500, true), pieces(&sized(1500, true))),
        cut("C-076 gretap, without DF", bench(), large.clone(), pieces(&large)),
        cut("C-076 gretap, IPv6", bench(), six.clone(), pieces(&six)),
        cut("C-084 ip6gretap", outer(), large.clone(), cut6(GRE, &gre(&large), 1448)),
        Case::new("C-084 ip6gretap, DF", outer())
            .input("a", sized(1500, true))
            .tunnel_counts("e0", "tx_too_big"),
        Case::new("C-077 gretap", bench().set("tunnels.e0.mtu", "1499"))
            .input("a", large)
            .tunnel_counts("e0", "tx_too_big"),
    ]);
}

#[test]
fn frames_in_geneve_are_cut_outside_where_df_is_off_and_for_ipv6_of_1280_bytes() {
    let off = || geneve().set("tunnels.e0.dont-fragment", "no").set("tunnels.e0.mtu", "1500");
    let narrow = || geneve().set("ports.u.mtu", "1300");
    for (bench, frame, first_len) in [
        (off(), frame(IPV4, udp4(H, R, 1500)), 1500),
        (off(), frame(IPV6, udp6(H6, R6, 1500)), 1500),
        (narrow(), frame(IPV6, udp6(H6, R6, 1280)), 1300),
    ] {
        let outer = loose(UDP, ours4(GENEVE, &behind(&GENEVE_HEADER, &*frame)));
        let expected = Expected::any_source_port(to_gateway(outer), 34).and_identification();
        let mut replay = Replay::new(bench);
        replay.input("a", 0, frame.clone());
        let outcome = replay.run();
        let frames = outcome.frames("u");
        assert_eq!(frames[0].len() - 14, first_len, "C-076 GENEVE");
        let whole = joined4(&frames);
        assert!(expected.resolved(&whole) == whole, "C-076 GENEVE: {whole:02x?}");
        assert_eq!(outcome.counter("tunnels.e0.tx_packets"), 1);
        assert_eq!(outcome.counter("tunnels.e0.tx_bytes"), frame.len() as u64);
        assert_eq!(outcome.counter("tunnels.e0.tx_outer_frag"), 1);
    }
    run_all([
        Case::new("C-094 GENEVE with DF", narrow())
            .input("a", frame(IPV4, udp4(H, R, 1251)))
            .tunnel_counts("e0", "tx_too_big"),
        Case::new("B6.2 1281 bytes of IPv6", narrow())
            .input("a", frame(IPV6, udp6(H6, R6, 1281)))
            .tunnel_counts("e0", "tx_too_big"),
        Case::new("C-094 VXLAN is never cut", vxlan().set("ports.u.mtu", "1300"))
            .input("a", frame(IPV6, udp6(H6, R6, 1280)))
            .tunnel_counts("e0", "tx_too_big"),
    ]);
}

/// IPv6 packets of 1280 bytes in `tunnel`, where the port U takes 1300: they pass in two pieces, and larger ones are
/// answered.
fn passes_1280(
    name: &str,
    bench: Bench,
    tunnel: &str,
    [first, second]: [Expected; 2],
) -> [Case; 2] {
    let bench = bench.set("ports.u.mtu", "1300");
    let error = to_host(error6(L6, H6, TOO_BIG6, 1280, udp6(H6, R6, 1281)));
    [
        Case::new(&format!("B6.2 {name}"), bench.clone())
            .input("l", from_host(udp6(H6, R6, 1280)))
            .expect("u", first)
            .expect("u", second)
            .tunnel_sends(tunnel, 1280)
            .tunnel_counts(tunnel, "tx_outer_frag"),
        Case::new(&format!("B6.2 {name}, one byte more"), bench)
            .input("l", from_host(udp6(H6, R6, 1281)))
            .expect("l", Expected::error6(error, 14))
            .tunnel_counts(tunnel, "tx_too_big")
            .counts("icmp.tx"),
    ]
}

#[test]
fn ipv6_packets_of_1280_bytes_pass_every_tunnel_on_a_small_underlay() {
    // C-079 has IP in IP. `ours4` and `ours6` send from port 50000.
    let inner = udp6(H6, R6, 1280).hop_limit(63).bytes();
    let behind_gre = behind(&[0, 0, 0x86, 0xdd], &*inner);
    let keyed = behind(&[0x20, 0, 0x86, 0xdd, 0, 0, 0, 7], &*inner);
    let fou = |bench: Bench, tunnel: &str| {
        bench.set(&format!("tunnels.{tunnel}.encap"), "{ type: fou, dport: 5555, sport: 50000 }")
    };
    let gue = |bench: Bench, tunnel: &str| {
        bench.set(&format!("tunnels.{tunnel}.encap"), "{ type: gue, sport: 50000 }")
    };
    let gre4 = || Bench::any4().unset("tunnels.a4.payload").set("tunnels.a4.mode", "gre");
    let gre6 = || Bench::any6().set("tunnels.n6.mode", "ip6gre");
    let gue_around = behind_gue(IPV6_IN_IP, &inner);
    let four = |protocol, payload: Vec<u8>| cut4(&loose(protocol, payload), 1280);
    let six = |protocol, payload: Vec<u8>| cut6(protocol, &payload, 1248);
    let packets = [
        passes_1280("GRE", gre4(), "a4", four(GRE, behind_gre.clone())),
        passes_1280("GRE with a key", gre4().set("tunnels.a4.key", "7"), "a4", four(GRE, keyed)),
        passes_1280("FOU", fou(Bench::sit(), "s0"), "s0", four(UDP, ours4(FOU, &inner))),
        passes_1280("GUE", gue(Bench::any4(), "a4"), "a4", four(UDP, ours4(GUE, &gue_around))),
        passes_1280("ip6gre", gre6(), "n6", six(GRE, behind_gre)),
        passes_1280(
            "FOU over IPv6",
            fou(Bench::ip6ip6(), "n6"),
            "n6",
            six(UDP, ours6(FOU, &inner)),
        ),
        passes_1280(
            "GUE over IPv6",
            gue(Bench::any6(), "n6"),
            "n6",
            six(UDP, ours6(GUE, &gue_around)),
        ),
    ];
    let framed = frame(IPV6, udp6(H6, R6, 1280));
    let taps = [
        (gretap(), cut4(&loose(GRE, gre(&framed)), 1280)),
        (ip6gretap(), cut6(GRE, &gre(&framed), 1248)),
    ];
    let taps = taps.into_iter().flat_map(|(bench, [first, second])| {
        let bench = bench.set("ports.u.mtu", "1300");
        [
            Case::new("B6.2 in a frame", bench.clone())
                .input("a", framed.clone())
                .expect("u", first)
                .expect("u", second)
                .tunnel_sends("e0", 1294)
                .tunnel_counts("e0", "tx_outer_frag"),
            Case::new("B6.2 in a frame, one byte more", bench)
                .input("a", frame(IPV6, udp6(H6, R6, 1281)))
                .tunnel_counts("e0", "tx_too_big"),
        ]
    });
    run_all(packets.into_iter().flatten().chain(taps));
}

/// What arrives in these two pieces, in either order, is one packet.
fn whole_in_either_order(
    name: &str,
    pieces: &[Vec<u8>; 2],
    finish: impl Fn(Case) -> Case,
    bench: &Bench,
) -> [Case; 2] {
    [[0, 1], [1, 0]].map(|order| {
        let case = Case::new(&format!("C-087(a) {name}, {order:?}"), bench.clone());
        let case =
            order.into_iter().fold(case, |case, at: usize| case.input("u", pieces[at].clone()));
        finish(case).counts("reasm.ok")
    })
}

#[test]
fn tunnels_with_headers_of_their_own_take_packets_in_pieces() {
    let large = frame(IPV4, udp4(R, H, 1400));
    let labelled = mpls::behind(&[mpls::entry(100, 0, 1, 64)], udp4(R, H, 1400));
    let four = |outer: Ipv4Packet| {
        let outer = outer.dont_fragment(false);
        let len = outer.payload.len();
        [piece4(&outer, 0, 1000), piece4(&outer, 1000, len)]
    };
    let six = |next: u8, payload: &[u8]| {
        let outer: Ipv6Packet = peer6(next, payload);
        [piece6(&outer, 0, 1000, 99), piece6(&outer, 1000, payload.len(), 99)]
    };
    let datagram6 = |port, header: &[u8]| peers6(port, &behind(header, &*large))[54..].to_vec();
    let vxlan4 = four(peers4(VXLAN, &behind(&VXLAN_HEADER, &*large)));
    let geneve4 = four(peers4(GENEVE, &behind(&GENEVE_HEADER, &*large)));
    let gre4 = four(peer4(GRE, gre(&large)));
    let session = four(peer4(GRE, two(0, 0, 0, &large)));
    let frames = [
        ("VXLAN", vxlan(), vxlan4),
        ("GENEVE", geneve(), geneve4),
        ("gretap", gretap(), gre4),
        ("ERSPAN", sink(TWO), session),
        ("VXLAN over IPv6", vxlan6(), six(UDP, &datagram6(VXLAN, &VXLAN_HEADER))),
        ("GENEVE over IPv6", geneve6(), six(UDP, &datagram6(GENEVE, &GENEVE_HEADER))),
        ("ip6gretap", ip6gretap(), six(GRE, &gre(&large))),
    ];
    let comes =
        |case: Case| case.expect("a", large.clone()).tunnel_accepts("e0", large.len() as u64);
    let frames = frames
        .iter()
        .flat_map(|(name, bench, pieces)| whole_in_either_order(name, pieces, comes, bench));
    let forwarded =
        |case: Case| case.expect("l", to_host(udp4(R, H, 1400).ttl(63))).tunnel_accepts("m0", 1400);
    let over6 = mpls::mplsip()
        .set("tunnels.m0.mode", "mplsip6")
        .set("tunnels.m0.local", r#""2001:db8:100::1""#)
        .set("tunnels.m0.remote", r#""2001:db8:200::2""#);
    let labels = [
        ("MPLS", mpls::mplsip(), four(peer4(mpls::MPLS, labelled.clone()))),
        ("MPLS over IPv6", over6, six(mpls::MPLS, &labelled)),
    ];
    let labels = labels
        .iter()
        .flat_map(|(name, bench, pieces)| whole_in_either_order(name, pieces, forwarded, bench));
    run_all(frames.chain(labels));
}
