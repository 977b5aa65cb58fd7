//! GRE over IPv4 and IPv6 (E.1, E.3, E.5, E.7, E.11): its header in all combinations, both directions, and what
//! must be refused. Headers are spelled out byte by byte (RFC 2784, RFC 2890).

use crate::addresses::{H, H6, P, R, R6, U};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    Ipv4Packet, encap4, encap6, from_gateway, from_host, internet_checksum, peer4, peer6,
    to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{FRAG_NEEDED, underlay4};
use crate::run::check;

const GRE: u8 = 47;
const TYPE4: [u8; 2] = [0x08, 0x00];
const TYPE6: [u8; 2] = [0x86, 0xdd];

/// `g0`: IPv4 and IPv6 in GRE in IPv4.
fn gre() -> Bench {
    Bench::bare()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
        .route("{ to: 10.2.0.0/16, tunnel: g0 }")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: g0 }"#)
}

/// `g0` over IPv6.
fn gre6() -> Bench {
    Bench::bare()
        .tunnel("g0", "ip6gre", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
        .set("tunnels.g0.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
        .route("{ to: 10.2.0.0/16, tunnel: g0 }")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: g0 }"#)
}

/// What GRE headers may have.
#[derive(Clone, Copy, Default)]
struct Options {
    checksum: bool,
    key: Option<u32>,
    sequence: Option<u32>,
}

/// A GRE header and what it carries.
fn gre_packet(kind: [u8; 2], options: Options, inner: &[u8]) -> Vec<u8> {
    let Options { checksum, key, sequence } = options;
    let bits =
        u8::from(checksum) << 7 | u8::from(key.is_some()) << 5 | u8::from(sequence.is_some()) << 4;
    let mut bytes = vec![bits, 0, kind[0], kind[1]];
    if checksum {
        bytes.extend([0; 4]);
    }
    for word in key.into_iter().chain(sequence) {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(inner);
    if checksum {
        let sum = internet_checksum(&[&bytes]);
        bytes[4..6].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

fn gre4(options: Options, inner: impl Into<Vec<u8>>) -> Vec<u8> {
    gre_packet(TYPE4, options, &inner.into())
}

/// A packet of 84 bytes to R on its way out of `bench`'s tunnel.
fn sent4() -> Ipv4Packet {
    udp4(H, R, 84).ttl(63)
}

/// A packet from R, with a GRE header of these bytes in front.
fn from_peer(header: &[u8]) -> Vec<u8> {
    let packet = [header, &udp4(R, H, 84).bytes()].concat();
    from_gateway(peer4(GRE, packet))
}

#[test]
fn gre_puts_four_bytes_between_the_headers() {
    let outer = encap4(GRE, gre4(Options::default(), sent4()));
    assert_eq!(outer.bytes()[2..4], 108_u16.to_be_bytes(), "by the letter of the list");
    assert_eq!(outer.bytes()[20..24], [0, 0, 8, 0], "by the letter of the list");
    let inner6 = udp6(H6, R6, 100).hop_limit(63).bytes();
    let six = gre_packet(TYPE6, Options::default(), &inner6);
    run_all([
        Case::new("C-009", gre())
            .input("l", from_host(udp4(H, R, 84)))
            .expect("u", to_gateway(outer))
            .tunnel_sends("g0", 84),
        Case::new("C-009 IPv6 inside", gre())
            .input("l", from_host(udp6(H6, R6, 100)))
            .expect("u", to_gateway(encap4(GRE, six.clone())))
            .tunnel_sends("g0", 100),
        Case::new("C-009 IPv6 outside", gre6())
            .input("l", from_host(udp4(H, R, 84)))
            .expect(
                "u",
                Expected::any_flow_label(to_gateway(encap6(
                    GRE,
                    gre4(Options::default(), sent4()),
                ))),
            )
            .tunnel_sends("g0", 84),
        Case::new("C-009 IPv6 in IPv6", gre6())
            .input("l", from_host(udp6(H6, R6, 100)))
            .expect("u", Expected::any_flow_label(to_gateway(encap6(GRE, six))))
            .tunnel_sends("g0", 100),
    ]);
}

/// Every combination of checksum, key and sequence number.
fn combinations() -> impl Iterator<Item = Options> {
    (0..8_u8).map(|bits| Options {
        checksum: bits & 1 != 0,
        key: (bits & 2 != 0).then_some(0x0102_0304),
        sequence: (bits & 4 != 0).then_some(0),
    })
}

fn with_options(bench: Bench, options: Options) -> Bench {
    let mut bench = bench;
    if options.checksum {
        bench = bench.set("tunnels.g0.checksum", "yes");
    }
    if options.key.is_some() {
        bench = bench.set("tunnels.g0.key", "1.2.3.4");
    }
    if options.sequence.is_some() {
        bench = bench.set("tunnels.g0.sequence", "yes");
    }
    bench
}

#[test]
fn checksum_key_and_sequence_stand_in_their_order_in_all_combinations() {
    let all = combinations().flat_map(|options| {
        let second = Options { sequence: options.sequence.map(|_| 1), ..options };
        let frames = [options, second].map(|options| gre4(options, sent4()));
        let name = format!(
            "C-010 checksum {} key {:?} sequence {:?}",
            options.checksum, options.key, options.sequence
        );
        let twice = |bench, name: &str| {
            Case::new(name, bench)
                .input("l", from_host(udp4(H, R, 84)))
                .input("l", from_host(udp4(H, R, 84)))
                .tunnel_sends("g0", 84)
                .tunnel_sends("g0", 84)
        };
        let four = frames.iter().fold(twice(with_options(gre(), options), &name), |case, bytes| {
            case.expect("u", to_gateway(encap4(GRE, bytes.clone())))
        });
        let over6 = format!("{name} over IPv6");
        let six =
            frames.iter().fold(twice(with_options(gre6(), options), &over6), |case, bytes| {
                case.expect("u", Expected::any_flow_label(to_gateway(encap6(GRE, bytes.clone()))))
            });
        [four, six]
    });
    run_all(all);
    let full = Options { checksum: true, key: Some(0x0102_0304), sequence: Some(0) };
    let bytes = gre4(full, sent4());
    assert_eq!(bytes[..2], [0xb0, 0x00], "by the letter of the list");
    assert_eq!(bytes.len() + 20, 84 + 36, "by the letter of the list");
}

#[test]
fn a_checksum_over_an_odd_length_counts_a_zero_that_is_not_sent() {
    let options = Options { checksum: true, ..Options::default() };
    let outer = encap4(GRE, gre4(options, udp4(H, R, 85).ttl(63)));
    assert_eq!(outer.bytes().len(), 20 + 8 + 85);
    Case::new("C-011", gre().set("tunnels.g0.checksum", "yes"))
        .input("l", from_host(udp4(H, R, 85)))
        .expect("u", to_gateway(outer))
        .tunnel_sends("g0", 85)
        .run();
}

#[test]
fn what_the_peer_sends_is_taken_in_all_combinations_whatever_we_send_ourselves() {
    let cases = combinations().flat_map(|options| {
        let bench = |bench: Bench| match options.key {
            Some(_) => bench.set("tunnels.g0.keys", "{ input: 1.2.3.4, output: 7 }"),
            None => bench,
        };
        let name = format!("decap checksum {} key {:?}", options.checksum, options.key);
        let case = |bench, name: &str, frame| {
            Case::new(name, bench)
                .input("u", frame)
                .expect("l", to_host(udp4(R, H, 84).ttl(63)))
                .tunnel_accepts("g0", 84)
        };
        let bytes = gre4(options, udp4(R, H, 84));
        [
            case(bench(gre()), &name, from_gateway(peer4(GRE, bytes.clone()))),
            case(bench(gre6()), &format!("{name} over IPv6"), from_gateway(peer6(GRE, bytes))),
        ]
    });
    run_all(cases);
}

#[test]
fn each_key_has_its_tunnel_and_a_key_of_zero_is_a_key() {
    let two = gre().set("tunnels.g0.key", "1").tunnel("g2", "gre", "198.51.100.1", "203.0.113.2");
    let two = two.set("tunnels.g2.key", "2").set("tunnels.g2.inner-source", "off");
    let keyed = |key| Options { key, ..Options::default() };
    let packet = |key| from_gateway(peer4(GRE, gre4(keyed(key), udp4(R, H, 84))));
    let accepted = |name: &str, key, tunnel: &str| {
        Case::new(name, two.clone())
            .input("u", packet(Some(key)))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts(tunnel, 84)
    };
    let refused = |name: &str, bench: &Bench, key| {
        Case::new(name, bench.clone()).input("u", packet(key)).counts("tun.no_match")
    };
    let zero = gre().set("tunnels.g0.key", "0");
    run_all([
        accepted("C-044(a) key 1", 1, "g0"),
        accepted("C-044(a) key 2", 2, "g2"),
        refused("C-044(a) key 3", &two, Some(3)),
        refused("C-044(a) no key", &two, None),
        refused("C-044(b)", &zero, None),
        refused("a key where the tunnel has none", &gre(), Some(0)),
    ]);
}

#[test]
fn the_outer_ecn_field_is_made_of_the_inner_one_with_a_fixed_traffic_class_too() {
    let inner = udp4(H, R, 84).tos(2);
    let outer = encap6(GRE, gre4(Options::default(), inner.clone().ttl(63))).traffic_class(0x2a);
    Case::new("C-066", gre6().set("tunnels.g0.dscp", "10"))
        .input("l", from_host(inner))
        .expect("u", Expected::any_flow_label(to_gateway(outer)))
        .tunnel_sends("g0", 84)
        .run();
}

#[test]
fn congestion_that_the_outer_header_tells_of_reaches_the_inner_one() {
    let bytes = gre4(Options::default(), udp4(R, H, 84).tos(2));
    run_all([
        Case::new("C-064(b) GRE", gre())
            .input("u", from_gateway(peer4(GRE, bytes.clone()).tos(3)))
            .expect("l", to_host(udp4(R, H, 84).tos(3).ttl(63)))
            .tunnel_accepts("g0", 84),
        Case::new("C-064(b) GRE over IPv6", gre6())
            .input("u", from_gateway(peer6(GRE, bytes).traffic_class(3)))
            .expect("l", to_host(udp4(R, H, 84).tos(3).ttl(63)))
            .tunnel_accepts("g0", 84),
    ]);
}

#[test]
fn versions_and_bits_that_must_be_refused_are_and_others_ignored() {
    let refused = |name: &str, first: [u8; 2], counter: &str| {
        let header = [first[0], first[1], 8, 0, 0, 0, 0, 0];
        Case::new(name, gre()).input("u", from_peer(&header)).counts(counter)
    };
    let ignored = |name: String, first: [u8; 2]| {
        Case::new(&name, gre())
            .input("u", from_peer(&[first[0], first[1], 8, 0]))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts("g0", 84)
    };
    run_all([
        refused("C-143(a) version 1", [0x00, 0x01], "gre.bad_version"),
        refused("C-143(a) bit 1", [0x40, 0x00], "gre.bad_flags"),
        refused("C-143(a) bit 4", [0x08, 0x00], "gre.bad_flags"),
        refused("C-143(a) bit 5", [0x04, 0x00], "gre.bad_flags"),
    ]);
    run_all((6..=12).map(|bit| {
        let word = 0x8000_u16 >> bit;
        ignored(format!("C-143(b) bit {bit}"), word.to_be_bytes())
    }));
    let of_type = |name: &str, kind: [u8; 2], counter: &str| {
        Case::new(name, gre()).input("u", from_peer(&[0, 0, kind[0], kind[1]])).counts(counter)
    };
    run_all([
        of_type("C-143(c) ARP", [0x08, 0x06], "gre.proto_unsupported"),
        of_type("C-143(c) WCCP", [0x88, 0x3e], "gre.proto_unsupported"),
        of_type("C-143(c) nothing", [0x99, 0x99], "gre.proto_unsupported"),
        of_type("Ethernet for a tunnel of IP", [0x65, 0x58], "tun.proto_mismatch"),
        // What follows begins as IPv4 does: label 0x45000.
        of_type("MPLS with a label that nobody gave", [0x88, 0x47], "mpls.no_label"),
        of_type("MPLS with labels of the upstream", [0x88, 0x48], "gre.proto_unsupported"),
    ]);
}

#[test]
fn a_header_cut_anywhere_is_short_and_a_wrong_checksum_is_refused() {
    let full = Options { checksum: true, key: Some(9), sequence: Some(1) };
    let bytes = gre4(full, udp4(R, H, 84));
    let bench = gre().set("tunnels.g0.key", "9");
    run_all((0..16).map(|len| {
        Case::new(&format!("cut after {len} bytes"), bench.clone())
            .input("u", from_gateway(peer4(GRE, &bytes[..len])))
            .counts("tun.shim_short")
    }));
    run_all((0..bytes.len()).step_by(7).filter(|at| !(0..4).contains(at)).map(|at| {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        Case::new(&format!("bit of byte {at} turned"), bench.clone())
            .input("u", from_gateway(peer4(GRE, wrong)))
            .counts("gre.bad_csum")
    }));
}

#[test]
fn what_a_tunnel_requires_must_be_there() {
    let bare = from_gateway(peer4(GRE, gre4(Options::default(), udp4(R, H, 84))));
    run_all([
        Case::new("C-145", gre().set("tunnels.g0.require-checksum", "yes"))
            .input("u", bare.clone())
            .tunnel_counts("g0", "rx_csum_err"),
        Case::new("require-sequence", gre().set("tunnels.g0.require-sequence", "yes"))
            .input("u", bare)
            .tunnel_counts("g0", "rx_seq_err"),
    ]);
}

/// Packets with these numbers arrive; those that are expected come out.
fn numbered(name: &str, numbers: &[(u32, bool)]) -> Case {
    let bench = gre().set("tunnels.g0.receive-sequence", "drop-old");
    numbers.iter().fold(Case::new(name, bench), |case, &(number, passes)| {
        let options = Options { sequence: Some(number), ..Options::default() };
        let case = case.input("u", from_gateway(peer4(GRE, gre4(options, udp4(R, H, 84)))));
        if passes {
            case.expect("l", to_host(udp4(R, H, 84).ttl(63))).tunnel_accepts("g0", 84)
        } else {
            case.tunnel_counts("g0", "rx_seq_err")
        }
    })
}

#[test]
fn packets_that_arrive_late_are_dropped_where_the_tunnel_wants_it() {
    let numbers = [(5, true), (6, true), (6, false), (4, false), (8, true), (7, false)];
    run_all([numbered("C-146(a)", &numbers), numbered("C-146(b)", &[(u32::MAX, true), (0, true)])]);
}

#[test]
fn bare_ip_and_gre_between_the_same_ends_are_never_mixed_up() {
    let bare = from_gateway(peer4(4, udp4(R, H, 84)));
    let wrapped = from_gateway(peer4(GRE, gre4(Options::default(), udp4(R, H, 84))));
    let both = Bench::ipip()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.inner-source", "off");
    let accepted = |name: &str, frame: &Vec<u8>, tunnel: &str| {
        Case::new(name, both.clone())
            .input("u", frame.clone())
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts(tunnel, 84)
    };
    run_all([
        Case::new("C-036(a) bare for a GRE tunnel", gre())
            .input("u", bare.clone())
            .counts("tun.proto_mismatch"),
        Case::new("C-036(a) GRE for a bare tunnel", Bench::ipip())
            .input("u", wrapped.clone())
            .counts("tun.proto_mismatch"),
        accepted("bare beside GRE", &bare, "t0"),
        accepted("GRE beside bare", &wrapped, "g0"),
    ]);
    let (status, said) = check(&both.yaml());
    assert_eq!(status, 0, "they can be told apart\n{said}");
    let twins = gre().tunnel("twin", "gre", "198.51.100.1", "203.0.113.2");
    assert_eq!(check(&twins.yaml()).0, 2, "C-048 GRE twins are refused");
    let keyed = twins.set("tunnels.twin.key", "0");
    assert_eq!(check(&keyed.yaml()).0, 0, "a key of zero tells it from none");
}

#[test]
fn a_path_mtu_is_learnt_though_the_quote_does_not_show_the_key() {
    let bench = gre().set("tunnels.g0.key", "9").set("tunnels.g0.checksum", "yes");
    let options = Options { checksum: true, key: Some(9), sequence: None };
    let large = udp4(H, R, 1300);
    let outer = encap4(GRE, gre4(options, large.clone().ttl(63)));
    // What a router of old quotes: the header and eight bytes.
    let quote = outer.bytes()[..28].to_vec();
    let error = underlay4(FRAG_NEEDED, 1200, quote);
    let refused =
        crate::icmp::error4(crate::addresses::L, H, FRAG_NEEDED, 1200 - 32, large.clone());
    Case::new("C-105(a)", bench)
        .input("l", from_host(large.clone()))
        .expect("u", to_gateway(outer))
        .tunnel_sends("g0", 1300)
        .input("u", from_gateway(error))
        .tunnel_counts("g0", "pmtu_updates")
        .tunnel_counts("g0", "icmp_relay_short")
        .input("l", from_host(large))
        .expect("l", Expected::error4(to_host(refused), 14))
        .tunnel_counts("g0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn pieces_of_gre_packets_are_put_together() {
    let bytes = gre4(Options { key: Some(9), ..Options::default() }, udp4(R, H, 1400));
    let piece = |range: std::ops::Range<usize>, more| {
        let offset = u16::try_from(range.start / 8).unwrap();
        let packet = Ipv4Packet::new(P, U, GRE, &bytes[range]);
        from_gateway(packet.dont_fragment(false).id(7).fragment(offset, more))
    };
    Case::new("GRE in pieces", gre().set("tunnels.g0.key", "9"))
        .input("u", piece(800..bytes.len(), false))
        .input("u", piece(0..800, true))
        .expect("l", to_host(udp4(R, H, 1400).ttl(63)))
        .tunnel_accepts("g0", 1400)
        .counts("reasm.ok")
        .run();
}

#[test]
fn what_is_sent_to_a_host_behind_us_is_not_taken_for_a_tunnels() {
    // Without `local` any address of ours will do, and no other.
    for (name, mode, packet) in [
        ("gre", "gre", peer4(GRE, gre4(Options::default(), udp4(R, H, 84)))),
        ("ipip", "ipip", peer4(4, udp4(R, H, 84))),
    ] {
        let bench = Bench::bare()
            .tunnel("g0", mode, "", "203.0.113.2")
            .route("{ to: 10.2.0.0/16, tunnel: g0 }");
        let mut transit = packet;
        transit.header.destination = H.octets();
        Case::new(&format!("D3 {name} in transit"), bench)
            .input("u", from_gateway(transit.clone()))
            .expect("l", to_host(transit.ttl(63)))
            .run();
    }
}

#[test]
fn a_peer_on_the_link_may_have_a_link_local_address() {
    let peer: std::net::Ipv6Addr = "fe80::2".parse().unwrap();
    let bench = gre6()
        .set("tunnels.g0.remote", "\"fe80::2\"")
        .set("tunnels.g0.link", "u")
        .set("ports.u.neighbors", r#"{ "fe80::2": "02:00:00:00:00:fe" }"#)
        .without_routes()
        .set("tunnels.g0.inner-source", "off");
    for (name, checksum) in [("plain", false), ("with a checksum", true)] {
        let options = Options { checksum, ..Options::default() };
        let mut packet = peer6(GRE, gre4(options, udp4(R, H, 84)));
        packet.header.source = peer.octets();
        Case::new(&format!("B11 link-local {name}"), bench.clone())
            .input("u", from_gateway(packet))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts("g0", 84)
            .run();
    }
}
