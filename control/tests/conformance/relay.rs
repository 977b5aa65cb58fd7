//! E.7: ICMP errors of the underlay. Which are believed (B8.1), what of them is passed on (B8.2), and what
//! follows for the next packets (B7).

use crate::addresses::{H, H6, L, L6, P, R, R6, ROUTER, T, U, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, from_gateway, from_host, pattern,
    to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{
    FRAG_NEEDED, Kind, TOO_BIG6, UNREACHABLE_ADDRESS6, UNREACHABLE_HOST, UNREACHABLE_NET, error4,
    error6, underlay4, underlay6,
};
use crate::run::SECOND;

/// What the tunnel over IPv4 has sent: `inner`, as the host sent it, one hop on.
pub(crate) fn sent4(inner: Ipv4Packet) -> Vec<u8> {
    encap4(IPIP, inner.ttl(63)).bytes()
}

pub(crate) fn sent46(inner: Ipv6Packet) -> Vec<u8> {
    encap4(IPV6, inner.hop_limit(63)).bytes()
}

pub(crate) fn sent6(inner: Ipv4Packet) -> Vec<u8> {
    encap6(IPIP, inner.ttl(63)).flow_label(0x12345).bytes()
}

pub(crate) fn sent66(inner: Ipv6Packet) -> Vec<u8> {
    encap6(IPV6, inner.hop_limit(63)).flow_label(0x12345).bytes()
}

/// What the host hears about the inner packet of `sent`, which begins at `at`.
pub(crate) fn hears4(kind: Kind, word: u32, sent: &[u8], at: usize) -> Expected {
    Expected::error4(to_host(error4(L, H, kind, word, &sent[at..])), 14)
}

pub(crate) fn hears6(kind: Kind, word: u32, sent: &[u8], at: usize) -> Expected {
    Expected::error6(to_host(error6(L6, H6, kind, word, &sent[at..])), 14)
}

/// An error about `quote` arrives, nothing is sent, and this counter of the tunnel moves alone.
fn only_counts(name: &str, bench: Bench, error: Ipv4Packet, tunnel: &str, counter: &str) -> Case {
    Case::new(name, bench).input("u", from_gateway(error)).tunnel_counts(tunnel, counter)
}

#[test]
fn frag_needed_with_enough_of_the_inner_packet_is_passed_on_and_learnt() {
    let sent = sent4(udp4(H, R, 1480));
    let quote = &sent[..48];
    Case::new("C-095", Bench::ipip())
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, quote)))
        .expect("l", hears4(FRAG_NEEDED, 1380, quote, 20))
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relayed")
        .counts("icmp.tx")
        // The next packet that is too big is answered here.
        .input("l", from_host(udp4(H, R, 1480)))
        .expect(
            "l",
            Expected::error4(to_host(error4(L, H, FRAG_NEEDED, 1380, udp4(H, R, 1480))), 14),
        )
        .tunnel_counts("t0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn a_quote_of_eight_bytes_is_enough_to_answer_the_next_packet() {
    Case::new("C-096", Bench::ipip())
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &sent4(udp4(H, R, 1480))[..28])))
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relay_short")
        .input("l", from_host(udp4(H, R, 1480)))
        .expect(
            "l",
            Expected::error4(to_host(error4(L, H, FRAG_NEEDED, 1380, udp4(H, R, 1480))), 14),
        )
        .tunnel_counts("t0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn an_inner_packet_that_may_be_fragmented_is_nobodys_concern_and_teaches_the_size() {
    let loose = || udp4(H, R, 1480).dont_fragment(false);
    let whole = loose();
    let piece = |from: usize, to: usize, more| {
        let part = whole.clone().payload(&whole.payload[from..to]);
        to_gateway(encap4(IPIP, part.fragment(u16::try_from(from / 8).unwrap(), more).ttl(63)))
    };
    Case::new("C-097", Bench::ipip())
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &sent4(loose())[..48])))
        .tunnel_counts("t0", "pmtu_updates")
        .input("l", from_host(loose()))
        // 1380 - 20 bytes of payload, a multiple of eight.
        .expect("u", piece(0, 1360, true))
        .expect("u", piece(1360, 1460, false))
        .tunnel_sends("t0", 1480)
        .tunnel_counts("t0", "tx_inner_frag")
        .ignore("dataplane.ip4.frag_created")
        .run();
}

#[test]
fn what_was_never_sent_teaches_nothing() {
    let reject = |name: &str, error: Ipv4Packet, counter: &str| {
        Case::new(name, Bench::ipip())
            .input("u", from_gateway(error))
            .counter(counter, 1)
            // Nothing has changed.
            .input("l", from_host(udp4(H, R, 1480)))
            .expect("u", to_gateway(encap4(IPIP, udp4(H, R, 1480).ttl(63))))
            .tunnel_sends("t0", 1480)
    };
    // It was sent to an address of which t0 is the only tunnel, or to one of none.
    let (of_tunnel, of_nobody) =
        ("tunnels.t0.icmp_relay_rejected", "dataplane.if.icmp_relay_rejected");
    let about = |quote: &[u8]| underlay4(FRAG_NEEDED, 1400, quote);
    let inner = |source, destination| udp4(source, destination, 1480).ttl(63);
    let other_peer = Ipv4Packet::new(U, X, IPIP, inner(H, R)).bytes();
    let other_source = Ipv4Packet::new(X, P, IPIP, inner(H, R)).bytes();
    let elsewhere = sent4(udp4(H, X, 1480));
    let forged_source = |source: [u8; 4]| sent4(udp4(source.into(), R, 1480));
    let not_ip = encap4(IPIP, pattern(1480)).bytes();
    let wrong_protocol = encap4(IPV6, udp6(H6, R6, 1480)).bytes();
    let gre = encap4(47, pattern(1480)).bytes();
    let good = sent4(udp4(H, R, 1480));
    let mut to_other = error4(ROUTER, L, FRAG_NEEDED, 1400, &good[..48]);
    to_other.header.destination = L.octets();
    let mut to_nobody = error4(ROUTER, L, FRAG_NEEDED, 1400, &other_source[..48]);
    to_nobody.header.destination = L.octets();
    run_all([
        reject("C-100 another peer", about(&other_peer[..48]), of_tunnel),
        reject("C-100 another source", about(&other_source[..48]), of_tunnel),
        reject("C-100 inner destination elsewhere", about(&elsewhere[..48]), of_tunnel),
        reject("a source of nobody", about(&forged_source([127, 0, 0, 1])[..48]), of_tunnel),
        reject("a source of many", about(&forged_source([224, 0, 0, 9])[..48]), of_tunnel),
        reject("something else inside", about(&not_ip[..48]), of_tunnel),
        reject("a family that it does not carry", about(&wrong_protocol[..88]), of_tunnel),
        reject("another encapsulation", about(&gre[..48]), of_tunnel),
        reject("to another of our addresses", to_other, of_tunnel),
        reject("a quote of half a header", about(&good[..12]), of_tunnel),
        reject("an empty quote", about(&[]), of_tunnel),
        reject("about nothing, to an address without a tunnel", to_nobody, of_nobody),
    ]);
}

#[test]
fn an_error_with_a_wrong_checksum_ends_at_once() {
    let mut error = underlay4(FRAG_NEEDED, 1400, &sent4(udp4(H, R, 1480))[..48]);
    error.payload[2] ^= 1;
    let mut error6 = underlay6(TOO_BIG6, 1400, &sent66(udp6(H6, R6, 1460))[..88]);
    error6.payload[3] ^= 1;
    run_all([
        Case::new("checksum", Bench::ipip())
            .input("u", from_gateway(error))
            .counts("icmp.bad_checksum"),
        Case::new("checksum of ICMPv6", Bench::any6())
            .input("u", from_gateway(error6))
            .counts("icmp.bad_checksum"),
    ]);
}

#[test]
fn errors_about_errors_are_not_passed_on() {
    let inner = error4(H, R, UNREACHABLE_HOST, 0, udp4(R, H, 100));
    let inner6 = error6(H6, R6, UNREACHABLE_ADDRESS6, 0, udp6(R6, H6, 100));
    // An error about our own echo reply is about no tunnel at all.
    let own = crate::icmp::echo_reply4(U, X, 84).bytes();
    run_all([
        only_counts(
            "C-111(a)",
            Bench::ipip(),
            underlay4(UNREACHABLE_HOST, 0, sent4(inner)),
            "t0",
            "icmp_relay_rejected",
        ),
        only_counts(
            "C-111(a) IPv6",
            Bench::sit(),
            underlay4(UNREACHABLE_HOST, 0, sent46(inner6)),
            "s0",
            "icmp_relay_rejected",
        ),
        Case::new("about an echo reply", Bench::ipip())
            .input("u", from_gateway(underlay4(UNREACHABLE_HOST, 0, own))),
    ]);
}

#[test]
fn extensions_behind_the_quote_are_not_part_of_it() {
    // RFC 4884: 32 words of quote, then an extension structure: header, and one object of 8 bytes.
    let extension = [0x20, 0, 0, 0, 0, 8, 1, 1, 0xde, 0xad, 0xbe, 0xef];
    let sent = sent4(udp4(H, R, 1480));
    let quote = [&sent[..128], &extension].concat();
    let short = sent4(udp4(H, R, 60));
    let padded = [&short[..], &[0; 48], &extension].concat();
    let sent6 = sent66(udp6(H6, R6, 1000));
    let quote6 = [&sent6[..128], &extension].concat();
    run_all([
        Case::new("C-111(b)", Bench::ipip())
            .input("u", from_gateway(underlay4(FRAG_NEEDED, 0x20_0578, quote)))
            .expect("l", hears4(FRAG_NEEDED, 1380, &sent[..128], 20))
            .tunnel_counts("t0", "pmtu_updates")
            .tunnel_counts("t0", "icmp_relayed")
            .counts("icmp.tx"),
        Case::new("a short packet, filled up to 128 bytes", Bench::ipip())
            .input("u", from_gateway(underlay4(UNREACHABLE_HOST, 0x20_0000, padded)))
            .expect("l", hears4(UNREACHABLE_HOST, 0, &short, 20))
            .tunnel_counts("t0", "icmp_relayed")
            .counts("icmp.tx"),
        Case::new("ICMPv6, in units of eight", Bench::any6())
            .input("u", from_gateway(underlay6((1, 0), 16 << 24, quote6)))
            .expect("l", hears6(UNREACHABLE_ADDRESS6, 0, &sent6[..128], 40))
            .tunnel_counts("n6", "icmp_relayed")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn a_relayed_error_quotes_no_more_than_an_error_may() {
    let sent = sent66(udp6(H6, R6, 1460));
    let quote = &sent[..1232];
    Case::new("a long quote", Bench::any6())
        .input("u", from_gateway(underlay6(TOO_BIG6, 1400, quote)))
        .expect("l", hears6(TOO_BIG6, 1360, quote, 40))
        .tunnel_counts("n6", "pmtu_updates")
        .tunnel_counts("n6", "icmp_relayed")
        .counts("icmp.tx")
        .run();
    let inner = sent4(udp4(H, R, 1480));
    Case::new("a quote beyond 576 bytes", Bench::ipip())
        .input("u", from_gateway(underlay_whole(&inner)))
        .expect("l", hears4(UNREACHABLE_NET, 0, &inner, 20))
        .tunnel_counts("t0", "icmp_relayed")
        .counts("icmp.tx")
        .run();
}

/// "Net unreachable" about all of a packet, as Linux would not but some router may.
fn underlay_whole(sent: &[u8]) -> Ipv4Packet {
    let mut message = vec![3, 0, 0, 0, 0, 0, 0, 0];
    message.extend(&sent[..1400]);
    let sum = crate::frames::internet_checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    Ipv4Packet::new(ROUTER, U, 1, message)
}

#[test]
fn soft_state_answers_one_packet_for_each_error_and_sends_it_all_the_same() {
    let short = |kind| from_gateway(underlay4(kind, 0, &sent4(udp4(H, R, 100))[..28]));
    let packet = || udp4(H, R, 100);
    let host = || Expected::error4(to_host(error4(L, H, UNREACHABLE_HOST, 0, packet())), 14);
    let mut case = Case::new("B7 reachability", Bench::ipip())
        .input("u", short(UNREACHABLE_NET))
        .input("u", short((11, 0)))
        .counter("tunnels.t0.icmp_relay_short", 2);
    for at in 0..3 {
        case = case
            .input("l", from_host(packet()))
            .expect("u", to_gateway(encap4(IPIP, packet().ttl(63))))
            .tunnel_sends("t0", 100);
        if at < 2 {
            case =
                case.expect("l", host()).tunnel_counts("t0", "tx_softstate_icmp").counts("icmp.tx");
        }
    }
    case.run();
    let packet6 = || udp6(H6, R6, 100);
    Case::new("B7 reachability, IPv6 inside", Bench::sit())
        .input("u", from_gateway(underlay4(UNREACHABLE_NET, 0, &sent46(packet6())[..28])))
        .tunnel_counts("s0", "icmp_relay_short")
        .input("l", from_host(packet6()))
        .expect("u", to_gateway(encap4(IPV6, packet6().hop_limit(63))))
        .tunnel_sends("s0", 100)
        .expect(
            "l",
            Expected::error6(to_host(error6(L6, H6, UNREACHABLE_ADDRESS6, 0, packet6())), 14),
        )
        .tunnel_counts("s0", "tx_softstate_icmp")
        .counts("icmp.tx")
        .run();
}

#[test]
fn after_half_a_minute_an_error_is_forgotten() {
    let error = from_gateway(underlay4(UNREACHABLE_NET, 0, &sent4(udp4(H, R, 100))[..28]));
    Case::new("B7 30 s", Bench::ipip())
        .input("u", error)
        .tunnel_counts("t0", "icmp_relay_short")
        .wait(30 * SECOND)
        .input("l", from_host(udp4(H, R, 100)))
        .expect("u", to_gateway(encap4(IPIP, udp4(H, R, 100).ttl(63))))
        .tunnel_sends("t0", 100)
        .run();
}

#[test]
fn tunnels_on_one_path_share_what_is_known_of_it() {
    let bench = Bench::ipip()
        .tunnel("s0", "sit", "198.51.100.1", "203.0.113.2")
        .set("tunnels.s0.addresses", r#"["2001:db8:50::1/64"]"#)
        .route(r#"{ to: "2001:db8:2::/48", tunnel: s0 }"#);
    Case::new("B7 shared", bench)
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &sent4(udp4(H, R, 1480))[..28])))
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relay_short")
        .input("l", from_host(udp6(H6, R6, 1480)))
        .expect(
            "l",
            Expected::error6(to_host(error6(L6, H6, TOO_BIG6, 1380, udp6(H6, R6, 1480))), 14),
        )
        .tunnel_counts("s0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn the_relay_can_be_limited_to_sizes_or_switched_off() {
    let sent = sent4(udp4(H, R, 1480));
    let quote = &sent[..48];
    let frag_needed = || from_gateway(underlay4(FRAG_NEEDED, 1400, quote));
    let unreachable = || from_gateway(underlay4(UNREACHABLE_HOST, 0, quote));
    let bench = |word| Bench::ipip().set("tunnels.t0.icmp-relay", word);
    let packet = || udp4(H, R, 100);
    run_all([
        Case::new("icmp-relay pmtu", bench("pmtu"))
            .input("u", frag_needed())
            .expect("l", hears4(FRAG_NEEDED, 1380, quote, 20))
            .tunnel_counts("t0", "pmtu_updates")
            .tunnel_counts("t0", "icmp_relayed")
            .counts("icmp.tx")
            .input("u", unreachable())
            .input("l", from_host(packet()))
            .expect("u", to_gateway(encap4(IPIP, packet().ttl(63))))
            .tunnel_sends("t0", 100),
        Case::new("icmp-relay off", bench("off"))
            .input("u", frag_needed())
            .tunnel_counts("t0", "pmtu_updates")
            .input("u", unreachable())
            .input("l", from_host(udp4(H, R, 1480)))
            .expect(
                "l",
                Expected::error4(to_host(error4(L, H, FRAG_NEEDED, 1380, udp4(H, R, 1480))), 14),
            )
            .tunnel_counts("t0", "tx_too_big")
            .counts("icmp.tx"),
    ]);
}

#[test]
fn our_own_packets_through_a_tunnel_are_nobody_elses_concern() {
    // The tunnel's own address has answered an echo from the far side.
    let own = sent4(crate::icmp::echo_reply4(T, R, 1480));
    Case::new("locally originated", Bench::ipip())
        .input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, &own[..48])))
        .tunnel_counts("t0", "pmtu_updates")
        .run();
}

#[test]
fn tunnels_inside_each_other_pass_an_error_on_step_by_step() {
    // t0 goes through n6: its outer packets are inner ones there.
    let bench = Bench::ipip()
        .without_route("203.0.113.0/24")
        .tunnel("n6", "ipip6", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
        .route("{ to: 203.0.113.0/24, tunnel: n6 }");
    let inner = udp4(H, R, 1440);
    let sent = encap6(IPIP, sent4(inner.clone())).flow_label(0x54321).bytes();
    let quote = &sent[..88 + 20];
    Case::new("RFC 2473 §8.4", bench)
        .input("u", from_gateway(underlay6(TOO_BIG6, 1400, quote)))
        .expect("l", hears4(FRAG_NEEDED, 1340, quote, 60))
        .tunnel_counts("n6", "pmtu_updates")
        .tunnel_counts("t0", "pmtu_updates")
        .tunnel_counts("t0", "icmp_relayed")
        .counts("icmp.tx")
        .input("l", from_host(inner.clone()))
        .expect("l", Expected::error4(to_host(error4(L, H, FRAG_NEEDED, 1340, inner)), 14))
        .tunnel_counts("t0", "tx_too_big")
        .counts("icmp.tx")
        .run();
}

#[test]
fn ten_thousand_errors_are_passed_on_at_the_rate_of_all_errors() {
    let mut case = Case::new("C-112", Bench::ipip()).pace(100_000);
    for flow in 0..10_000_u16 {
        let inner = crate::frames::udp4_flow(H, R, (1024 + flow, 7), 1480);
        let quote = &sent4(inner)[..48];
        case = case.input("u", from_gateway(underlay4(FRAG_NEEDED, 1400, quote)));
    }
    let outcome = case.outcome();
    let relayed = outcome.counter("tunnels.t0.icmp_relayed");
    assert!((5_900..=6_001).contains(&relayed), "{relayed} relayed in one second");
    assert_eq!(outcome.frames("l").len() as u64, relayed);
    assert_eq!(outcome.counter("dataplane.icmp.ratelimited"), 10_000 - relayed);
    assert_eq!(outcome.counter("tunnels.t0.pmtu_updates"), 1);
    assert_eq!(outcome.counter("tunnels.t0.pmtu_rejected"), 0);
}

#[test]
fn errors_other_than_of_size_have_the_limit_of_their_receiver() {
    let mut case = Case::new("C-112 unreachable", Bench::ipip());
    for _ in 0..100 {
        let quote = &sent4(udp4(H, R, 100))[..48];
        case = case.input("u", from_gateway(underlay4(UNREACHABLE_HOST, 0, quote)));
    }
    let outcome = case.outcome();
    assert_eq!(outcome.counter("tunnels.t0.icmp_relayed"), 10);
    assert_eq!(outcome.counter("dataplane.icmp.ratelimited"), 90);
}

#[test]
fn a_pool_of_sources_has_a_path_for_each() {
    let bench = Bench::ipip()
        .set("loopback.addresses", "[192.0.2.1/32]")
        .set("tunnels.t0.local", "[198.51.100.1, 192.0.2.1]");
    let mut outer = encap4(IPIP, udp4(H, R, 1480).ttl(63));
    outer.header.source = [192, 0, 2, 1];
    let quote = outer.bytes()[..28].to_vec();
    let error = error4(ROUTER, [192, 0, 2, 1].into(), FRAG_NEEDED, 1400, quote);
    let mut case = Case::new("pool", bench).input("u", from_gateway(error));
    for port in 0..64 {
        case = case.input("l", from_host(crate::frames::udp4_flow(H, R, (5000 + port, 7), 1480)));
    }
    let outcome = case.outcome();
    let (sent, refused) = (outcome.frames("u"), outcome.counter("tunnels.t0.tx_too_big"));
    assert_eq!(sent.len() as u64 + refused, 64);
    assert!(sent.len() > 10 && refused > 10, "{} sent, {refused} refused", sent.len());
    assert!(sent.iter().all(|frame| frame[26..30] == U.octets()), "from the other source");
}

/// The quote of the second fragment of an outer packet says nothing of what is inside.
#[test]
fn a_quoted_fragment_that_is_not_the_first_counts_for_the_path_alone() {
    let piece = encap6(44, [&[IPV6, 0, 0, 0xa1, 1, 2, 3, 4], &pattern(200)[..]].concat());
    Case::new("B8.1 fragment", Bench::any6())
        .input("u", from_gateway(underlay6(TOO_BIG6, 1400, piece.bytes())))
        .tunnel_counts("n6", "pmtu_updates")
        .tunnel_counts("n6", "icmp_relay_short")
        .run();
}
