//! MPLS in IPv4, IPv6, GRE, FOU and GUE, and on ports (E.2, E.4, E.6, E.11, A.5): labels popped, swapped and pushed, and
//! what must be refused. Entries of label stacks are spelled out bit by bit (RFC 3032 §2.1).

use crate::addresses::{G, G_MAC, H, H_MAC, H6, L, L_MAC, L6, P, P6, R, R6, U, U_MAC, U6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    UDP, datagram, encap4, encap6, ethernet_of, from_gateway, from_host, peer4, peer6, to_gateway,
    to_host, udp4, udp6,
};
use crate::icmp::{
    FRAG_NEEDED, NO_ROUTE6, UNREACHABLE_NET, echo_reply4, echo_request4, error4, error6, underlay4,
};

pub(crate) const MPLS: u8 = 137;
const ETHERTYPE: u16 = 0x8847;

/// `m0`: labels 100 to 103 come through it, and IP does not enter.
pub(crate) fn mplsip() -> Bench {
    Bench::bare()
        .tunnel("m0", "mplsip", "198.51.100.1", "203.0.113.2")
        .set(
            "tunnels.m0.labels",
            "{ 100: { pop: ip }, 101: { pop: label }, 102: { swap: 300, via: 10.1.0.5, port: l } }",
        )
        .set("tunnels.m0.inner-source", "off")
}

/// The same with port L as part of the network of labels.
pub(crate) fn with_port() -> Bench {
    let labels = "{ 200: { pop: ip }, 201: { swap: 400, tunnel: m0 }, \
                  202: { swap: 400, via: 198.51.100.254, port: u }, \
                  203: { swap: [400, 401], tunnel: m0 } }";
    mplsip().set("ports.l.labels", labels)
}

/// IP that is routed into it gets these labels.
pub(crate) fn pushing(labels: &str) -> Bench {
    mplsip()
        .set("tunnels.m0.push", labels)
        .set("tunnels.m0.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
        .route("{ to: 10.2.0.0/16, tunnel: m0 }")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: m0 }"#)
}

/// The same over IPv6.
pub(crate) fn over6(bench: Bench) -> Bench {
    bench
        .set("tunnels.m0.mode", "mplsip6")
        .set("tunnels.m0.local", r#""2001:db8:100::1""#)
        .set("tunnels.m0.remote", r#""2001:db8:200::2""#)
}

/// An entry: label, class, bottom, TTL.
pub(crate) fn entry(label: u32, class: u32, bottom: u32, ttl: u32) -> Vec<u8> {
    (label << 12 | class << 9 | bottom << 8 | ttl).to_be_bytes().to_vec()
}

pub(crate) fn behind(stack: &[Vec<u8>], inner: impl Into<Vec<u8>>) -> Vec<u8> {
    [stack.concat(), inner.into()].concat()
}

pub(crate) fn labels_from_host(bytes: Vec<u8>) -> Vec<u8> {
    ethernet_of(L_MAC, H_MAC, ETHERTYPE, bytes)
}

fn labels_to_host(bytes: Vec<u8>) -> Vec<u8> {
    ethernet_of(H_MAC, L_MAC, ETHERTYPE, bytes)
}

pub(crate) fn from_peer(bytes: Vec<u8>) -> Vec<u8> {
    from_gateway(peer4(MPLS, bytes))
}

/// A packet of 84 bytes from R, and as it leaves.
pub(crate) fn inner() -> Vec<u8> {
    udp4(R, H, 84).bytes()
}

pub(crate) fn forwarded() -> Vec<u8> {
    to_host(udp4(R, H, 84).ttl(63))
}

#[test]
fn a_packet_too_short_for_a_label_is_dropped() {
    Case::new("C-032", mplsip()).input("u", from_peer(vec![0, 6])).counts("tun.shim_short").run();
}

#[test]
fn a_label_whose_ttl_is_used_up_ends_in_silence() {
    run_all([
        Case::new("C-058", mplsip())
            .input("u", from_peer(behind(&[entry(100, 0, 1, 1)], inner())))
            .counts("mpls.ttl_expired"),
        Case::new("C-058 on its way to a port", mplsip())
            .input("u", from_peer(behind(&[entry(102, 0, 1, 1)], inner())))
            .counts("mpls.ttl_expired"),
        Case::new("C-058 from a port", with_port())
            .input("l", labels_from_host(behind(&[entry(201, 0, 1, 1)], inner())))
            .counts("mpls.ttl_expired"),
    ]);
}

#[test]
fn labelled_packets_have_df_outside_and_those_too_large_are_told_to_nobody() {
    let fits = udp4(H, R, 1476).dont_fragment(false).bytes();
    let outer = encap4(MPLS, behind(&[entry(400, 0, 1, 63)], fits.clone()));
    assert_eq!(outer.bytes().len(), 1500, "the largest one");
    assert_eq!(outer.bytes()[6] & 0x40, 0x40, "DF of the expected packet");
    let too_large = udp4(H, R, 1477).dont_fragment(false);
    run_all([
        Case::new("C-086 1480 bytes", with_port())
            .input("l", labels_from_host(behind(&[entry(201, 0, 1, 64)], fits.clone())))
            .expect("u", to_gateway(outer.clone()))
            .tunnel_sends("m0", 1480),
        Case::new("C-086 1481 bytes", with_port())
            .input("l", labels_from_host(behind(&[entry(201, 0, 1, 64)], too_large)))
            .tunnel_counts("m0", "tx_too_big"),
        // What the profile of other systems says about DF is about IP.
        Case::new(
            "C-086 DF with profile routeros",
            with_port().set("tunnels.m0.profile", "routeros"),
        )
        .input("l", labels_from_host(behind(&[entry(201, 0, 1, 64)], fits)))
        .expect("u", to_gateway(outer))
        .tunnel_sends("m0", 1480),
    ]);
}

#[test]
fn explicit_null_is_popped_out_of_gre_ip_and_udp() {
    let gre = Bench::bare()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.inner-source", "off");
    let stack = behind(&[entry(0, 0, 1, 64)], inner());
    let gre_packet = [vec![0, 0, 0x88, 0x47], stack.clone()].concat();
    assert_eq!(gre_packet[4..8], [0, 0, 1, 64], "by the letter of the list");
    let other = [vec![0, 0, 0x88, 0x48], stack.clone()].concat();
    let gue = mplsip().set("tunnels.m0.encap", "{ type: gue }");
    let fou = mplsip().set("tunnels.m0.encap", "{ type: fou, dport: 6635 }");
    let in_gue = datagram(
        (P.into(), U.into()),
        (50000, 6080),
        &[vec![0, 137, 0, 0], stack.clone()].concat(),
    );
    let in_fou = datagram((P.into(), U.into()), (50000, 6635), &stack);
    run_all([
        Case::new("C-147", gre.clone())
            .input("u", from_gateway(peer4(47, gre_packet)))
            .expect("l", forwarded())
            .tunnel_accepts("g0", 84),
        Case::new("C-147 upstream-assigned", gre)
            .input("u", from_gateway(peer4(47, other)))
            .counts("gre.proto_unsupported"),
        Case::new("C-147 in IPv4", mplsip())
            .input("u", from_peer(stack.clone()))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("C-147 in IPv6", over6(mplsip()))
            .input("u", from_gateway(peer6(MPLS, stack)))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("C-147 in GUE", gue)
            .input("u", from_gateway(peer4(17, in_gue)))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("C-147 in FOU", fou)
            .input("u", from_gateway(peer4(17, in_fou)))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
    ]);
}

#[test]
fn stacks_without_bottom_and_labels_nobody_gave_are_dropped_each_for_its_reason() {
    let deep = |entries: usize| -> Vec<u8> {
        (1..=entries).flat_map(|at| entry(0, 0, u32::from(at == entries), 64)).collect()
    };
    let refused = |name: &str, stack: Vec<u8>, counter: &str| {
        Case::new(name, mplsip()).input("u", from_peer(behind(&[stack], inner()))).counts(counter)
    };
    run_all([
        refused("C-148 17 entries", deep(17), "mpls.bad_label"),
        Case::new("C-148 16 entries", mplsip())
            .input("u", from_peer(behind(&[deep(16)], inner())))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        refused("C-148 label 3", entry(3, 0, 1, 64), "mpls.bad_label"),
        refused("C-148 label 1", entry(1, 0, 1, 64), "mpls.bad_label"),
        refused("C-148 unknown label", entry(104, 0, 1, 64), "mpls.no_label"),
        // A port's labels are not a tunnel's, nor the other way round.
        Case::new("C-148 label of another interface", with_port())
            .input("u", from_peer(behind(&[entry(200, 0, 1, 64)], inner())))
            .counts("mpls.no_label"),
        Case::new("C-148 label of a tunnel on a port", with_port())
            .input("l", labels_from_host(behind(&[entry(100, 0, 1, 64)], inner())))
            .counts("mpls.no_label"),
        Case::new("C-148 a port that takes no MPLS", mplsip())
            .input("l", labels_from_host(behind(&[entry(100, 0, 1, 64)], inner())))
            .counts("l2.ethertype"),
    ]);
}

#[test]
fn a_path_of_labels_runs_from_port_to_tunnel_and_back() {
    let there = udp4(H, R, 84).bytes();
    let out = |stack: &[Vec<u8>]| to_gateway(encap4(MPLS, behind(stack, there.clone())));
    run_all([
        Case::new("A.5 from port to tunnel", with_port())
            .input("l", labels_from_host(behind(&[entry(201, 0, 1, 9)], there.clone())))
            .expect("u", out(&[entry(400, 0, 1, 8)]))
            .tunnel_sends("m0", 88),
        Case::new("A.5 one label becomes two", with_port())
            .input("l", labels_from_host(behind(&[entry(203, 0, 1, 9)], there.clone())))
            .expect("u", out(&[entry(400, 0, 0, 8), entry(401, 0, 1, 8)]))
            .tunnel_sends("m0", 92),
        Case::new("A.5 from tunnel to port", mplsip())
            .input("u", from_peer(behind(&[entry(102, 6, 1, 64)], inner())))
            .expect("l", labels_to_host(behind(&[entry(300, 6, 1, 63)], inner())))
            .tunnel_accepts("m0", 88),
        Case::new("A.5 from port to port", with_port())
            .input("l", labels_from_host(behind(&[entry(202, 0, 1, 64)], there.clone())))
            .expect(
                "u",
                ethernet_of(G_MAC, U_MAC, ETHERTYPE, behind(&[entry(400, 0, 1, 63)], there)),
            ),
        Case::new("A.5 popped on a port", with_port())
            .input("l", labels_from_host(behind(&[entry(200, 0, 1, 64)], udp4(H, G, 84))))
            .expect("u", to_gateway(udp4(H, G, 84).ttl(63))),
        Case::new("A.5 popped twice", mplsip())
            .input("u", from_peer(behind(&[entry(101, 0, 0, 64), entry(100, 0, 1, 64)], inner())))
            .expect("l", forwarded())
            .tunnel_accepts("m0", 84),
        Case::new("A.5 IPv6 behind the label", mplsip())
            .input("u", from_peer(behind(&[entry(100, 0, 1, 64)], udp6(R6, H6, 100).bytes())))
            .expect("l", to_host(udp6(R6, H6, 100).hop_limit(63)))
            .tunnel_accepts("m0", 100),
    ]);
}

#[test]
fn ip_gets_labels_and_its_sender_hears_how_much_room_they_leave() {
    let stack = [entry(500, 0, 0, 255), entry(501, 0, 1, 255)];
    let sent = behind(&stack, udp4(H, R, 84).ttl(63));
    let six = behind(&stack, udp6(H6, R6, 100).hop_limit(63).bytes());
    let in_six = over6(pushing("[500, 501]"));
    run_all([
        Case::new("A.5 push", pushing("[500, 501]"))
            .input("l", from_host(udp4(H, R, 84)))
            .expect("u", to_gateway(encap4(MPLS, sent.clone())))
            .tunnel_sends("m0", 84),
        Case::new("A.5 push, IPv6 inside", pushing("[500, 501]"))
            .input("l", from_host(udp6(H6, R6, 100)))
            .expect("u", to_gateway(encap4(MPLS, six)))
            .tunnel_sends("m0", 100),
        Case::new("A.5 push, IPv6 outside", in_six)
            .input("l", from_host(udp4(H, R, 84)))
            .expect("u", Expected::any_flow_label(to_gateway(encap6(MPLS, sent))))
            .tunnel_sends("m0", 84),
        // No congestion leaves the packet (B1), and the class becomes the DSCP (B3).
        Case::new("A.5 class and DSCP", pushing("500").set("tunnels.m0.dscp", "inherit"))
            .input("l", from_host(udp4(H, R, 84).tos(0xbb)))
            .expect(
                "u",
                to_gateway(
                    encap4(
                        MPLS,
                        behind(&[entry(500, 5, 1, 255)], udp4(H, R, 84).tos(0xbb).ttl(63)),
                    )
                    .tos(0xa0),
                ),
            )
            .tunnel_sends("m0", 84),
        Case::new("A.0 two labels leave 1472 bytes", pushing("[500, 501]"))
            .input("l", from_host(udp4(H, R, 1473)))
            .expect(
                "l",
                Expected::error4(to_host(frag_needed(1472, &udp4(H, R, 1473).bytes())), 14),
            )
            .tunnel_counts("m0", "tx_too_big")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn labels_are_pushed_and_swapped_in_fou_and_gue() {
    let push = [entry(500, 0, 0, 255), entry(501, 0, 1, 255)];
    let pushed = behind(&push, udp4(H, R, 84).ttl(63));
    let swapped = behind(&[entry(400, 0, 1, 63)], udp4(H, R, 84));
    let comes = behind(&[entry(102, 0, 1, 64)], inner());
    // RFC 7510 has a port of its own; 0 is the variant of GUE, 137 what it carries.
    let kinds = [
        ("FOU", "{ type: fou, dport: 6635 }", 6635, vec![]),
        ("GUE", "{ type: gue }", 6080, vec![0, MPLS, 0, 0]),
    ];
    run_all(kinds.into_iter().flat_map(|(name, encap, port, header)| {
        let in_udp = |bench: Bench| bench.set("tunnels.m0.encap", encap);
        let in_six = in_udp(over6(pushing("[500, 501]")));
        let wrapped = |ends, labelled: &[u8]| {
            datagram(ends, (50_000, port), &[&header[..], labelled].concat())
        };
        let sent = |labelled: &[u8]| {
            let outer = encap4(UDP, wrapped((U.into(), P.into()), labelled));
            Expected::any_source_port(to_gateway(outer), 34)
        };
        let outer6 = encap6(UDP, wrapped((U6.into(), P6.into()), &pushed));
        [
            Case::new(&format!("A.5 push in {name}"), in_udp(pushing("[500, 501]")))
                .input("l", from_host(udp4(H, R, 84)))
                .expect("u", sent(&pushed))
                .tunnel_sends("m0", 84),
            Case::new(&format!("A.5 push in {name}, IPv6 outside"), in_six)
                .input("l", from_host(udp4(H, R, 84)))
                .expect("u", Expected::any_source_port(to_gateway(outer6), 54))
                .tunnel_sends("m0", 84),
            Case::new(&format!("A.5 swap into {name}"), in_udp(with_port()))
                .input("l", labels_from_host(behind(&[entry(201, 0, 1, 64)], udp4(H, R, 84))))
                .expect("u", sent(&swapped))
                .tunnel_sends("m0", 88),
            Case::new(&format!("A.5 swap out of {name}"), in_udp(mplsip()))
                .input("u", from_gateway(peer4(UDP, wrapped((P.into(), U.into()), &comes))))
                .expect("l", labels_to_host(behind(&[entry(300, 0, 1, 63)], inner())))
                .tunnel_accepts("m0", 88),
        ]
    }));
}

#[test]
fn ip_without_df_is_cut_before_it_gets_labels_and_nothing_else_is() {
    // RFC 3032 §3.4; two labels leave 1472 bytes, of which 1448 behind a header are a multiple of 8.
    let whole = udp4(H, R, 1500).dont_fragment(false).id(7);
    let cut = whole.clone().ttl(63);
    let pieces = [
        cut.clone().fragment(0, true).payload(&whole.payload[..1448]),
        cut.fragment(181, false).payload(&whole.payload[1448..]),
    ];
    let stack = [entry(500, 0, 0, 255), entry(501, 0, 1, 255)];
    let outside = |piece: &crate::frames::Ipv4Packet| {
        let outer = encap4(MPLS, behind(&stack, piece.bytes()));
        assert_eq!(outer.bytes()[6] & 0x40, 0x40, "DF");
        to_gateway(outer)
    };
    let cuts = |name: &str, bench: Bench| {
        Case::new(name, bench)
            .input("l", from_host(whole.clone()))
            .expect("u", outside(&pieces[0]))
            .expect("u", outside(&pieces[1]))
            .tunnel_sends("m0", 1500)
            .tunnel_counts("m0", "tx_inner_frag")
            .counter("dataplane.ip4.frag_created", 2)
    };
    let outer = || pushing("[500, 501]").set("tunnels.m0.fragment", "outer");
    let labels =
        || pushing("[500, 501]").set("ports.l.labels", "{ 201: { swap: 400, tunnel: m0 } }");
    let labelled = behind(&[entry(201, 0, 1, 64)], whole.bytes());
    run_all([
        cuts("B5.2 push", pushing("[500, 501]")),
        cuts("B5.2 push, fragment: outer", outer()),
        Case::new("B5.2 labels that come", labels())
            .input("l", labels_from_host(labelled.clone()))
            .tunnel_counts("m0", "tx_too_big"),
        Case::new(
            "B5.2 labels that come, fragment: outer",
            labels().set("tunnels.m0.fragment", "outer"),
        )
        .input("l", labels_from_host(labelled))
        .tunnel_counts("m0", "tx_too_big"),
    ]);
}

#[test]
fn explicit_null_is_pushed_in_front_of_packets_of_its_family_alone() {
    let (four, six) = (udp4(H, R, 84), udp6(H6, R6, 100));
    let refused4 = to_host(error4(L, H, UNREACHABLE_NET, 0, four.clone().ttl(63)));
    let refused6 = to_host(error6(L6, H6, NO_ROUTE6, 0, six.clone().hop_limit(63)));
    let sent =
        |label, inner: Vec<u8>| to_gateway(encap4(MPLS, behind(&[entry(label, 0, 1, 255)], inner)));
    run_all([
        Case::new("IPv4 explicit null", pushing("0"))
            .input("l", from_host(four.clone()))
            .expect("u", sent(0, four.clone().ttl(63).bytes()))
            .tunnel_sends("m0", 84),
        Case::new("IPv4 explicit null, IPv6", pushing("0"))
            .input("l", from_host(six.clone()))
            .expect("l", Expected::error6(refused6, 14))
            .tunnel_counts("m0", "tx_payload_unsupported")
            .counts("icmp.tx"),
        Case::new("IPv6 explicit null", pushing("[500, 2]"))
            .input("l", from_host(six.clone()))
            .expect(
                "u",
                to_gateway(encap4(
                    MPLS,
                    behind(
                        &[entry(500, 0, 0, 255), entry(2, 0, 1, 255)],
                        six.clone().hop_limit(63).bytes(),
                    ),
                )),
            )
            .tunnel_sends("m0", 100),
        Case::new("IPv6 explicit null, IPv4", pushing("[500, 2]"))
            .input("l", from_host(four))
            .expect("l", Expected::error4(refused4, 14))
            .tunnel_counts("m0", "tx_payload_unsupported")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn the_tunnel_answers_ping_behind_labels() {
    Case::new("A.5 the tunnel answers ping behind labels", pushing("500"))
        .input(
            "u",
            from_peer(behind(&[entry(100, 0, 1, 64)], echo_request4(R, crate::addresses::T, 84))),
        )
        .expect(
            "u",
            Expected::reply4(
                to_gateway(encap4(
                    MPLS,
                    behind(&[entry(500, 0, 1, 255)], echo_reply4(crate::addresses::T, R, 84)),
                )),
                14 + 20 + 4,
            ),
        )
        .tunnel_accepts("m0", 84)
        .tunnel_sends("m0", 84)
        .run();
}

/// What H hears about a packet that was too large.
fn frag_needed(mtu: u32, about: &[u8]) -> crate::frames::Ipv4Packet {
    crate::icmp::error4(crate::addresses::L, H, FRAG_NEEDED, mtu, about.to_vec())
}

#[test]
fn an_error_of_the_underlay_about_labels_is_told_to_nobody_and_the_path_is_learnt() {
    let large = udp4(H, R, 1400).bytes();
    let sent = encap4(MPLS, behind(&[entry(400, 0, 1, 63)], large.clone()));
    let error = underlay4(FRAG_NEEDED, 1400, sent.clone());
    let frame = labels_from_host(behind(&[entry(201, 0, 1, 64)], large));
    Case::new("B8.3 MPLS inside", with_port())
        .input("l", frame.clone())
        .expect("u", to_gateway(sent))
        .tunnel_sends("m0", 1404)
        .input("u", from_gateway(error))
        .tunnel_counts("m0", "pmtu_updates")
        .input("l", frame)
        .tunnel_counts("m0", "tx_too_big")
        .run();
}

#[test]
fn congestion_outside_is_counted_and_goes_no_further() {
    let marked = peer4(MPLS, behind(&[entry(100, 0, 1, 64)], inner())).tos(3);
    Case::new("B1 MPLS inside", mplsip())
        .input("u", from_gateway(marked))
        .expect("l", forwarded())
        .tunnel_accepts("m0", 84)
        .tunnel_counts("m0", "rx_ecn_log")
        .run();
}
