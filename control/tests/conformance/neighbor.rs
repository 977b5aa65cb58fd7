//! E.13: ARP and neighbor discovery, as responder and as resolver. The messages are spelled out as bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addresses::{BROADCAST_MAC, G, G_MAC, G6, H, H6, L, L_MAC, L6, Mac, P, R, U, U_MAC, U6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv6Packet, encap4, ethernet, ethernet_of, from_gateway, from_host, peer4,
    to_gateway, to_host, udp4, udp6,
};
use crate::icmp::{UNREACHABLE_ADDRESS6, UNREACHABLE_HOST, error4, error6, icmp6_raw};
use crate::run::{MILLISECOND, Outcome, Replay, SECOND, START};

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// A host on L that nobody configured.
const N: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
const N6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);
const N_MAC: Mac = [2, 0, 0, 0, 0, 0x09];

pub(crate) fn arp(operation: u8, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    let parts: [&[u8]; 5] = [&head, &sender.0, &sender.1.octets(), &target.0, &target.1.octets()];
    parts.concat()
}

pub(crate) fn arp_frame(to: Mac, from: Mac, message: Vec<u8>) -> Vec<u8> {
    ethernet_of(to, from, 0x0806, message)
}

fn who_has(target: Ipv4Addr) -> Vec<u8> {
    arp_frame(BROADCAST_MAC, G_MAC, arp(REQUEST, (G_MAC, G), ([0; 6], target)))
}

/// The multicast group and its MAC that listen for solicitations of `target`.
pub(crate) fn solicited_node(target: Ipv6Addr) -> (Ipv6Addr, Mac) {
    let [.., a, b, c] = target.octets();
    let low = u16::from_be_bytes([b, c]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
    (group, [0x33, 0x33, 0xff, a, b, c])
}

/// Target and link-layer address option of a solicitation (1) or an advertisement (2).
fn target_and_option(target: Ipv6Addr, option: u8, mac: Mac) -> Vec<u8> {
    [target.octets().as_slice(), &[option, 1], &mac].concat()
}

fn solicitation(source: Ipv6Addr, target: Ipv6Addr, mac: Mac) -> Ipv6Packet {
    let (group, _) = solicited_node(target);
    icmp6_raw(source, group, (135, 0), [0; 4], &target_and_option(target, 1, mac))
}

pub(crate) fn advertisement(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    flags: u8,
    mac: Mac,
) -> Ipv6Packet {
    let data = target_and_option(source, 2, mac);
    icmp6_raw(source, destination, (136, 0), [flags, 0, 0, 0], &data)
}

#[test]
fn an_arp_request_is_answered_on_the_port_that_owns_the_address_only() {
    let answer = arp(REPLY, (U_MAC, U), (G_MAC, G));
    run_all([
        Case::new("C-171(a)", Bench::bare())
            .input("u", who_has(U))
            .expect("u", arp_frame(G_MAC, U_MAC, answer.clone())),
        Case::new("C-171(a) elsewhere", Bench::bare()).input("u", who_has(L)),
        Case::new("C-171(a) probe", Bench::bare())
            .input(
                "u",
                arp_frame(
                    BROADCAST_MAC,
                    G_MAC,
                    arp(REQUEST, (G_MAC, Ipv4Addr::UNSPECIFIED), ([0; 6], U)),
                ),
            )
            .expect(
                "u",
                arp_frame(G_MAC, U_MAC, arp(REPLY, (U_MAC, U), (G_MAC, Ipv4Addr::UNSPECIFIED))),
            ),
    ]);
}

#[test]
fn a_bad_arp_message_is_counted_and_teaches_nothing() {
    let good = arp(REQUEST, (N_MAC, N), ([0; 6], L));
    let mut long_address = good.clone();
    long_address[4] = 8;
    let multicast = arp(REQUEST, ([0x03, 0, 0, 0, 0, 9], N), ([0; 6], L));
    let mut hardware = good.clone();
    hardware[1] = 6;
    let mut operation = good.clone();
    operation[7] = 9;
    let bad = [
        ("C-171(b) hlen 8", long_address),
        ("C-171(b) multicast sender", multicast),
        ("htype 6", hardware),
        ("operation 9", operation),
        ("cut short", good[..27].to_vec()),
    ];
    run_all(bad.map(|(name, message)| {
        // The packet to N that follows has to ask for N: nothing was learned.
        Case::new(name, Bench::bare())
            .input("l", arp_frame(BROADCAST_MAC, N_MAC, message))
            .input("u", ethernet(U_MAC, G_MAC, udp4(G, N, 84)))
            .expect("l", arp_frame(BROADCAST_MAC, L_MAC, arp(REQUEST, (L_MAC, L), ([0; 6], N))))
            .counts("arp.bad")
    }));
}

#[test]
fn a_bad_solicitation_is_counted_and_a_good_one_is_answered() {
    let (_, group_mac) = solicited_node(U6);
    let ask = |packet: Ipv6Packet| ethernet(group_mac, G_MAC, packet);
    let good = solicitation(G6, U6, G_MAC);
    let mut empty_option = target_and_option(U6, 1, G_MAC);
    empty_option[17] = 0;
    let (group, _) = solicited_node(U6);
    let zero = icmp6_raw(G6, group, (135, 0), [0; 4], &empty_option);
    let short = icmp6_raw(G6, group, (135, 0), [0; 4], &U6.octets()[..8]);
    let code = icmp6_raw(G6, group, (135, 1), [0; 4], &target_and_option(U6, 1, G_MAC));
    let bad = [
        ("C-172(a) hop limit", good.clone().hop_limit(254)),
        ("C-172(a) option length", zero),
        ("code 1", code),
        ("16 bytes", short),
    ]
    .map(|(name, packet)| Case::new(name, Bench::bare()).input("u", ask(packet)).counts("nd.bad"));
    let answer = advertisement(U6, G6, 0xe0, U_MAC);
    assert_eq!(answer.header.hop_limit, 255);
    let answered = Case::new("C-172(b)", Bench::bare())
        .input("u", ask(good))
        .expect("u", ethernet(G_MAC, U_MAC, answer));
    run_all(bad.into_iter().chain([answered]));
}

#[test]
fn a_packet_waits_for_its_neighbor_and_leaves_when_it_answers() {
    let question = arp_frame(BROADCAST_MAC, L_MAC, arp(REQUEST, (L_MAC, L), ([0; 6], N)));
    let answer = arp_frame(L_MAC, N_MAC, arp(REPLY, (N_MAC, N), (L_MAC, L)));
    let packet = |len| udp4(G, N, len);
    let mut case = Case::new("ARP resolution", Bench::bare());
    // Five packets for a queue of three: the newest stay.
    for len in 81..=85 {
        case = case.input("u", ethernet(U_MAC, G_MAC, packet(len)));
    }
    case = case.input("l", answer).expect("l", question);
    for len in 83..=85 {
        case = case.expect("l", ethernet(N_MAC, L_MAC, packet(len).ttl(63)));
    }
    case.input("u", ethernet(U_MAC, G_MAC, packet(86)))
        .expect("l", ethernet(N_MAC, L_MAC, packet(86).ttl(63)))
        .counter("dataplane.nbr.queue_drop", 2)
        .run();
}

#[test]
fn a_packet_waits_for_its_ipv6_neighbor_and_leaves_when_it_answers() {
    let mut replay = Replay::new(Bench::bare());
    let answer = advertisement(N6, L6, 0x60, N_MAC);
    replay.input("u", 0, ethernet(U_MAC, G_MAC, udp6(G6, N6, 100)));
    replay.input("l", 10 * MILLISECOND, ethernet(L_MAC, N_MAC, answer));
    let frames = replay.run().frames("l");
    assert_eq!(frames.len(), 2, "a solicitation and the packet");
    let (group, group_mac) = solicited_node(N6);
    assert_eq!(frames[0][..6], group_mac);
    assert_eq!(frames[0][38..54], group.octets(), "asked in the group of the target");
    assert_eq!((frames[0][54], frames[0][21]), (135, 255), "type and hop limit");
    assert_eq!(frames[0][62..78], N6.octets(), "the target");
    assert_eq!(frames[0][78..86], [&[1, 1][..], &L_MAC].concat(), "our link-layer address");
    assert_eq!(frames[1], ethernet(N_MAC, L_MAC, udp6(G6, N6, 100).hop_limit(63)));
}

/// The requests that left on `port`, in milliseconds from the start.
fn request_times(outcome: &Outcome, port: &str, kind: [u8; 2]) -> Vec<u64> {
    let records = outcome.sent[port].iter();
    let requests = records.filter(|record| record.frame[12..14] == kind);
    requests.map(|record| (record.time - START) / MILLISECOND).collect()
}

/// Three requests a second apart, then one error to H; the rest is up to the retry rule.
fn fails(number: &str, outcome: &Outcome, kind: [u8; 2], expected: &Expected) {
    let times = request_times(outcome, "u", kind);
    assert!(times.len() >= 3, "{number}: requests at {times:?} ms");
    assert_eq!(times[..3], [0, 1000, 2000], "{number}: requests at {times:?} ms");
    let errors = outcome.frames("l");
    assert_eq!(errors.len(), 1, "{number}: one error to the host");
    assert_eq!(expected.resolved(&errors[0]), errors[0], "{number}");
    let at = outcome.sent["l"][0].time - START;
    assert!((2 * SECOND..=4 * SECOND).contains(&at), "{number}: answered after {at} ns");
    assert_eq!(outcome.counter("dataplane.nbr.failed"), 1, "{number}");
    assert_eq!(outcome.counter("dataplane.icmp.tx"), 1, "{number}");
}

#[test]
fn a_next_hop_that_never_answers_is_reported_to_the_host() {
    let quiet = |bench: Bench| bench.unset("ports.u.neighbors");
    let behind = Ipv4Addr::new(203, 0, 113, 9);
    let behind6 = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 9);
    let error = |packet: &crate::frames::Ipv4Packet| {
        Expected::error4(to_host(error4(L, H, UNREACHABLE_HOST, 0, packet.clone())), 14)
    };
    for (name, to) in [("C-174", R), ("C-174 without tunnel", behind)] {
        let packet = udp4(H, to, 84);
        let mut replay = Replay::new(quiet(Bench::ipip()));
        replay.input("l", 0, from_host(packet.clone()));
        replay.linger = Some("5".into());
        fails(name, &replay.run(), [8, 6], &error(&packet));
    }
    let packet = udp6(H6, behind6, 100);
    let mut replay = Replay::new(quiet(Bench::ipip()));
    replay.input("l", 0, from_host(packet.clone()));
    replay.linger = Some("5".into());
    let error = to_host(error6(L6, H6, UNREACHABLE_ADDRESS6, 0, packet));
    fails("C-174 IPv6", &replay.run(), [0x86, 0xdd], &Expected::error6(error, 14));
}

#[test]
fn a_tunnel_packet_waits_for_the_gateway_and_leaves_when_it_answers() {
    let question = arp_frame(BROADCAST_MAC, U_MAC, arp(REQUEST, (U_MAC, U), ([0; 6], G)));
    let answer = arp_frame(U_MAC, G_MAC, arp(REPLY, (G_MAC, G), (U_MAC, U)));
    let known = r#"{ "2001:db8:100::fe": "02:00:00:00:00:fe" }"#;
    Case::new("encapsulated, then resolved", Bench::ipip().set("ports.u.neighbors", known))
        .input("l", from_host(udp4(H, R, 84)))
        .input("u", answer)
        .expect("u", question)
        .expect("u", to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63))))
        .tunnel_sends("t0", 84)
        .run();
}

/// A report that these groups are listened to from now on, as RFC 3810 §5.2 draws it.
pub(crate) fn joins(from: Mac, source: Ipv6Addr, groups: &[Ipv6Addr]) -> Vec<u8> {
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
    let records: Vec<u8> =
        groups.iter().flat_map(|group| [&[4, 0, 0, 0][..], &group.octets()].concat()).collect();
    let count = u8::try_from(groups.len()).unwrap();
    let report = icmp6_raw(source, to, (143, 0), [0, 0, 0, count], &records).hop_limit(1);
    let report = report.extension(0, vec![58, 0, 5, 2, 0, 0, 1, 0]);
    ethernet([0x33, 0x33, 0, 0, 0, 0x16], from, report)
}

#[test]
fn the_groups_of_our_addresses_are_reported_when_a_port_comes_up_and_twice_more() {
    let mut replay = Replay::new(Bench::bare());
    replay.boot = true;
    replay.linger = Some("3".into());
    let outcome = replay.run();
    let is_report = |frame: &&[u8]| frame[..6] == [0x33, 0x33, 0, 0, 0, 0x16];
    let link_local = |last| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, last);
    let group = |last| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, last);
    for (port, mac, last, groups) in
        [("u", U_MAC, 1, &[group(1)][..]), ("l", L_MAC, 2, &[group(1), group(2)])]
    {
        let sent = outcome.frames(port);
        let first = sent.first().expect("before anything else");
        assert_eq!(*first, joins(mac, Ipv6Addr::UNSPECIFIED, groups), "C-173 {port}");
        // Once more when there is a link-local address to report from, and two seconds after that.
        let reports = sent.iter().map(|frame| &frame[..]).filter(is_report);
        let again = joins(mac, link_local(last), groups);
        assert_eq!(reports.filter(|report| **report == again).count(), 2, "C-173 {port}");
    }
}

/// The link-local address that a tunnel over IPv4 has: RFC 4213 §3.7.
fn tunnel_link_local(outer: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = outer.octets();
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

#[test]
fn a_neighbor_inside_a_tunnel_is_answered_without_link_layer_addresses() {
    let (own, peer) = (tunnel_link_local(U), tunnel_link_local(P));
    let inside = Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0, 0, 0, 1);
    for (name, target, to) in [
        ("C-142", own, own),
        ("C-142 to the group", own, solicited_node(own).0),
        ("C-142 its other address", inside, inside),
    ] {
        let asks = icmp6_raw(peer, to, (135, 0), [0; 4], &target.octets());
        let answer = icmp6_raw(target, peer, (136, 0), [0xc0, 0, 0, 0], &target.octets());
        Case::new(name, Bench::sit())
            .input("u", from_gateway(peer4(IPV6, asks)))
            .expect("u", to_gateway(encap4(IPV6, answer)))
            .tunnel_accepts("s0", 64)
            .tunnel_sends("s0", 64)
            .run();
    }
    let stranger = icmp6_raw(peer, own, (135, 0), [0; 4], &peer.octets());
    Case::new("C-142 for somebody else", Bench::sit())
        .input("u", from_gateway(peer4(IPV6, stranger)))
        .tunnel_accepts("s0", 64)
        .run();
}

/// A frame to N, forwarded to `mac` without a question.
fn goes_straight_to(case: Case, mac: Mac) -> Case {
    case.input("u", ethernet(U_MAC, G_MAC, udp4(G, N, 84)))
        .expect("l", ethernet(mac, L_MAC, udp4(G, N, 84).ttl(63)))
}

#[test]
fn who_asks_for_us_is_known_and_who_only_announces_itself_is_not() {
    let asks = arp(REQUEST, (N_MAC, N), ([0; 6], L));
    let announces = arp(REPLY, (N_MAC, N), (N_MAC, N));
    let question = arp_frame(BROADCAST_MAC, L_MAC, arp(REQUEST, (L_MAC, L), ([0; 6], N)));
    let asked = Case::new("learned from a request", Bench::bare())
        .input("l", arp_frame(BROADCAST_MAC, N_MAC, asks))
        .expect("l", arp_frame(N_MAC, L_MAC, arp(REPLY, (L_MAC, L), (N_MAC, N))));
    let (_, group_mac) = solicited_node(L6);
    let asks6 = ethernet(group_mac, N_MAC, solicitation(N6, L6, N_MAC));
    run_all([
        goes_straight_to(asked, N_MAC),
        Case::new("not learned from an unsolicited reply", Bench::bare())
            .input("l", arp_frame(BROADCAST_MAC, N_MAC, announces))
            .input("u", ethernet(U_MAC, G_MAC, udp4(G, N, 84)))
            .expect("l", question),
        Case::new("learned from a solicitation", Bench::bare())
            .input("l", asks6)
            .expect("l", ethernet(N_MAC, L_MAC, advertisement(L6, N6, 0xe0, L_MAC)))
            .input("u", ethernet(U_MAC, G_MAC, udp6(G6, N6, 100)))
            .expect("l", ethernet(N_MAC, L_MAC, udp6(G6, N6, 100).hop_limit(63))),
    ]);
}

#[test]
fn a_static_neighbor_is_not_talked_out_of_its_address() {
    let thief: Mac = [2, 0, 0, 0, 0, 0x66];
    let claim = arp_frame(BROADCAST_MAC, thief, arp(REQUEST, (thief, H), ([0; 6], L)));
    Case::new("a stolen address", Bench::bare())
        .input("l", claim)
        .expect("l", arp_frame(thief, L_MAC, arp(REPLY, (L_MAC, L), (thief, H))))
        .input("u", ethernet(U_MAC, G_MAC, udp4(G, H, 84)))
        .expect("l", to_host(udp4(G, H, 84).ttl(63)))
        .run();
}
