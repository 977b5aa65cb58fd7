//! Packets to this node itself, out of a tunnel or not: answered, consumed, or silent.

use adit_dataplane::counters::Counter;
use adit_dataplane::worker::exchange::Punt;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC, v6};
use super::frames::{Ip, frame, ip, with_extension};

const V4: (&str, &str) = ("198.51.100.1", "203.0.113.2");
const V6: (&str, &str) = ("2001:db8:100::1", "2001:db8:200::2");

fn t0((local, remote): (&str, &str)) -> Appliance {
    Blueprint::with_t0(local, remote).start()
}

/// Ones' complement sum of 16-bit words, as RFC 1071 puts it.
fn internet_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for word in bytes.chunks(2) {
        sum += u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// An ICMPv6 message with its checksum.
pub(crate) fn icmp6(header: Ip, message: &[u8]) -> Vec<u8> {
    let packet = header.carrying(58, message);
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    let pseudo = [&packet[8..40], &len, &[0, 0, 0, 58], message].concat();
    let check = !internet_sum(&pseudo);
    let mut message = message.to_vec();
    message[2..4].copy_from_slice(&check.to_be_bytes());
    header.carrying(58, &message)
}

#[test]
fn an_echo_request_through_the_tunnel_is_answered_through_the_tunnel() {
    // C-031 and C-053 (a): the TTL may end here.
    let inner = ip("10.2.0.8", "192.168.50.1").ttl(1).tos(0xbb).echo(&[5; 56]);
    let mut appliance = t0(V4);
    let arriving = ip(V4.1, V4.0).around(&inner);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &arriving));
    assert_eq!(sent.len(), 1, "{:?}", appliance.moved());
    let reply = &sent[0].bytes[34..];
    assert_eq!((reply[8], reply[9], &reply[20..22]), (64, 1, &[0, 0][..]));
    assert_eq!(reply[12..20], [192, 168, 50, 1, 10, 2, 0, 8]);
    assert_eq!(reply[24..84], inner[24..84], "identifier, sequence and data");
    assert_eq!((internet_sum(&reply[..20]), internet_sum(&reply[20..])), (0xffff, 0xffff));
}

#[test]
fn messages_that_are_no_requests_use_up_nothing_of_the_answers() {
    let mut appliance = t0(V4);
    let error = ip("10.1.0.5", "10.1.0.1").carrying(1, &[3, 1, 0xfc, 0xfe, 0, 0, 0, 0]);
    for _ in 0..1000 {
        appliance.inject(L, &frame(L_MAC, H_MAC, &error));
    }
    assert!(appliance.run().is_empty());
    // It quotes nothing, so nobody can have caused it.
    assert_eq!(appliance.moved(), [("if.icmp_relay_rejected", 1000)]);
    let request = ip("10.1.0.5", "10.1.0.1").echo(&[5; 56]);
    assert_eq!(appliance.pass(L, &frame(L_MAC, H_MAC, &request)).len(), 1);
}

#[test]
fn echo_requests_beyond_the_rate_end_here() {
    let mut appliance = t0(V4);
    let request = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.1.0.1").echo(&[5; 56]));
    for _ in 0..300 {
        appliance.inject(L, &request);
    }
    assert_eq!(appliance.run().len(), 50);
    assert_eq!(appliance.moved(), [("icmp.ratelimited", 250)]);
}

#[test]
fn a_solicitation_inside_a_tunnel_is_answered_without_link_layer_addresses() {
    // C-142.
    let mut appliance = t0(V4);
    let own = v6("2001:db8:50::1").octets();
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &own].concat();
    let solicitation = icmp6(ip("fe80::2", "ff02::1:ff00:1").ttl(255), &message);
    let arriving = ip(V4.1, V4.0).around(&solicitation);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &arriving));
    assert_eq!(sent.len(), 1, "{:?}", appliance.moved());
    let answer = &sent[0].bytes[34..];
    // Router and solicited; override only with a link-layer address (RFC 4861 §7.2.4).
    let flags = [0xc0, 0, 0, 0];
    let message = [&[136, 0, 0, 0][..], &flags, &own].concat();
    let expected = icmp6(ip("2001:db8:50::1", "fe80::2").ttl(255), &message);
    assert_eq!(answer, expected);
}

#[test]
fn a_probe_for_a_duplicate_of_our_address_inside_a_tunnel_is_answered_to_all_nodes() {
    // Semantics A.3: :: is a legal inner source of such a probe, and of nothing else.
    let mut appliance = t0(V4);
    let own = v6("2001:db8:50::1").octets();
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &own].concat();
    let probe = icmp6(ip("::", "ff02::1:ff00:1").ttl(255), &message);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &ip(V4.1, V4.0).around(&probe)));
    assert_eq!(sent.len(), 1, "{:?}", appliance.moved());
    let message = [&[136, 0, 0, 0, 0x80, 0, 0, 0][..], &own].concat();
    assert_eq!(sent[0].bytes[34..], icmp6(ip("2001:db8:50::1", "ff02::1").ttl(255), &message));

    let stray = ip("::", "2001:db8:1::5").udp(60);
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &ip(V4.1, V4.0).around(&stray))).is_empty());
    assert_eq!(appliance.moved(), [("if.rx_inner_martian_src", 1)]);
}

#[test]
fn neighbor_discovery_and_arp_on_a_port_go_to_the_control_thread_as_they_came() {
    let mut appliance = t0(V4);
    let message =
        [&[135, 0, 0, 0, 0, 0, 0, 0][..], &v6("2001:db8:100::1").octets(), &[1, 1], &G_MAC];
    let solicitation = ip("2001:db8:100::fe", "ff02::1:ff00:1").ttl(255);
    let packet = icmp6(solicitation, &message.concat());
    let bytes = frame([0x33, 0x33, 0xff, 0, 0, 1], G_MAC, &packet);
    assert!(appliance.pass(U, &bytes).is_empty());
    let arp = super::frames::frame_of(0x0806, [0xff; 6], G_MAC, &[1; 46]);
    assert!(appliance.pass(U, &arp).is_empty());
    let punted: Vec<_> = appliance
        .take_punts()
        .into_iter()
        .map(|punt| match punt {
            Punt::Frame { port, frame } => (port, frame.bytes().to_vec()),
            Punt::Unresolved { .. } => panic!("a packet instead of a frame"),
        })
        .collect();
    assert_eq!(punted, [(U, bytes), (U, arp)]);
    assert_eq!(appliance.shared.counters.balance.consumed.get(), 2);
}

#[test]
fn a_query_for_groups_goes_to_the_control_thread_from_a_port_and_ends_inside_a_tunnel() {
    let header = Ip { ttl: 1, ..ip("fe80::77", "ff02::1") };
    let query = icmp6(header, &[&[130, 0, 0, 0][..], &[0; 24]].concat());
    let query = with_extension(&query, 0, &[0, 0, 5, 2, 0, 0, 1, 0]);
    let mut appliance = t0(V6);
    let frame = frame([0x33, 0x33, 0, 0, 0, 1], G_MAC, &query);
    assert!(appliance.pass(U, &frame).is_empty());
    match &appliance.take_punts()[..] {
        [Punt::Frame { port: U, frame: punted }] => assert_eq!(punted.bytes(), frame),
        _ => panic!("not one frame for the control thread"),
    }
    let arriving = super::frames::frame(U_MAC, G_MAC, &ip(V6.1, V6.0).around(&query));
    assert!(appliance.pass(U, &arriving).is_empty());
    assert!(appliance.take_punts().is_empty());
    assert_eq!(appliance.moved(), []);
}

#[test]
fn a_query_for_groups_with_a_fragment_header_is_nobodys_even_if_it_is_whole() {
    let header = Ip { ttl: 1, ..ip("fe80::77", "ff02::1") };
    let query = icmp6(header, &[&[130, 0, 0, 0][..], &[0; 24]].concat());
    let alert = [0, 0, 5, 2, 0, 0, 1, 0];
    let atomic = with_extension(&with_extension(&query, 44, &[0, 0, 0, 0, 0, 0, 0, 9]), 0, &alert);
    let mut appliance = t0(V6);
    assert!(appliance.pass(U, &frame([0x33, 0x33, 0, 0, 0, 1], G_MAC, &atomic)).is_empty());
    assert!(appliance.take_punts().is_empty());
    assert_eq!(appliance.moved(), [("ip.broadcast_dst", 1)]);
}

#[test]
fn a_routing_header_of_type_0_is_found_behind_destination_options() {
    // Both inside and outside a tunnel (C-029, C-134): the recommended order puts options first.
    let routing = [0, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let options = [0, 0, 1, 4, 0, 0, 0, 0];
    let inner = ip("2001:db8:2::8", "2001:db8:1::5").udp(100);
    let inner = with_extension(&with_extension(&inner, 43, &routing), 60, &options);
    let mut appliance = t0(V4);
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &ip(V4.1, V4.0).around(&inner))).is_empty());
    assert_eq!(appliance.moved(), [("if.rx_inner_src_route", 1)]);

    let outer = ip(V6.1, V6.0).around(&ip("10.2.0.8", "10.1.0.5").udp(84));
    let outer = with_extension(&with_extension(&outer, 43, &routing), 60, &options);
    let mut appliance = t0(V6);
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &outer)).is_empty());
    assert_eq!(appliance.moved(), [("ip6.rh0", 1)]);
}

#[test]
fn extension_headers_in_front_hide_no_tunnel_packet_inside_a_tunnel() {
    let mut appliance = t0(V4);
    let nested = ip("2001:db8:2::8", "2001:db8:100::1").around(&ip("10.2.0.8", "10.1.0.5").udp(84));
    for inner in [nested.clone(), with_extension(&nested, 60, &[0, 0, 1, 4, 0, 0, 0, 0])] {
        let arriving = ip(V4.1, V4.0).around(&inner);
        assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &arriving)).is_empty());
        assert_eq!(appliance.moved(), [("if.rx_nested_limit", 1)]);
    }
}

#[test]
fn a_tunnel_packet_from_a_link_local_address_has_a_source_that_no_peer_has() {
    let mut appliance = t0(V6);
    let outer = ip("fe80::9", V6.0).around(&ip("10.2.0.8", "10.1.0.5").udp(84));
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &outer)).is_empty());
    assert_eq!(appliance.moved(), [("tun.bad_outer_src", 1)]);
}

#[test]
fn counters_name_the_family_of_the_packet() {
    let mut appliance = t0(V6);
    let request = ip("::", "2001:db8:1::1").echo(&[1; 8]);
    assert!(appliance.pass(L, &frame(L_MAC, H_MAC, &request)).is_empty());
    assert_eq!(appliance.moved(), [("ip6.martian_src", 1)]);
    let to_link_local = ip("2001:db8:1::5", "fe80::99").udp(60);
    assert!(appliance.pass(L, &frame(L_MAC, H_MAC, &to_link_local)).is_empty());
    assert_eq!(appliance.moved(), [("ip6.martian_dst", 1)]);
    // 59 is "no next header" for IPv6 alone.
    let nothing = ip("10.1.0.5", "10.1.0.1").carrying(59, &[0; 8]);
    let sent = appliance.pass(L, &frame(L_MAC, H_MAC, &nothing));
    assert_eq!(sent[0].bytes[34..36], [3, 2]);
    let nothing = ip("2001:db8:1::5", "2001:db8:1::1").carrying(59, &[0; 8]);
    assert!(appliance.pass(L, &frame(L_MAC, H_MAC, &nothing)).is_empty());
    assert_eq!(appliance.moved(), [("icmp.tx", 1), ("ip.unknown_protocol", 1)]);
}

#[test]
fn an_icmp_message_to_us_with_a_wrong_checksum_is_counted() {
    let mut appliance = t0(V4);
    let mut request = ip("10.1.0.5", "10.1.0.1").echo(&[5; 56]);
    request[30] ^= 1;
    assert!(appliance.pass(L, &frame(L_MAC, H_MAC, &request)).is_empty());
    assert_eq!(appliance.total(Counter::IcmpBadChecksum), 1);
}

#[test]
fn an_error_about_a_packet_out_of_a_tunnel_goes_back_into_it() {
    // C-051: TTL 1 inside, one hop too many.
    let mut appliance = t0(V4);
    let inner = ip("10.2.0.8", "10.1.0.5").ttl(1).udp(84);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &ip(V4.1, V4.0).around(&inner)));
    assert_eq!((sent.len(), sent[0].port), (1, U));
    let error = &sent[0].bytes[34..];
    assert_eq!(error[12..22], [192, 168, 50, 1, 10, 2, 0, 8, 11, 0]);
    assert_eq!(error[28..112], inner, "the whole packet is quoted");
    assert_eq!(appliance.moved(), [("icmp.tx", 1), ("ip4.ttl_expired", 1)]);
}
