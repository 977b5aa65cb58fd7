//! 6rd as both kinds of its routers: whom packets go to, what is known of each peer, and what is believed of
//! what comes. What is expected is spelled out.

use adit_dataplane::device::SentFrame;
use adit_dataplane::interface::TunnelId;
use adit_dataplane::tables::NextHop;
use adit_dataplane::tunnel::peers::six_rd::{SixRd, SixRdSetup};
use adit_dataplane::tunnel::peers::{Kind, Peers};
use proptest::prelude::*;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, as_piece, frame, in_pieces, ip, one_hop_on};

const RELAY: &str = "198.51.100.1";
const HOST: &str = "2001:db8:1::5";

/// A border relay at 198.51.100.1, with the rest of the Internet on L.
fn relay() -> Appliance {
    let mut plan = Blueprint::bench();
    plan.tunnel(RELAY, "203.0.113.2");
    plan.put_six_rd(0, true);
    plan.start()
}

/// A customer's router, 198.51.100.1 for its provider; behind it is
/// `3fff:db8:64:100::/64` of the 56 bits that are delegated to it.
fn customer() -> Appliance {
    let mut plan = Blueprint::bench();
    plan.tunnel(RELAY, "203.0.113.2");
    let id = NextHop::Tunnel(TunnelId(0));
    let domain = SixRd::new(&SixRdSetup {
        prefix: "3fff:db8::/40".parse().unwrap(),
        relay_prefix: "198.51.0.0/16".parse().unwrap(),
        border_relays: Box::new(["203.0.113.7".parse().unwrap(), "203.0.113.8".parse().unwrap()]),
        is_relay: false,
        local: "198.51.100.1".parse().unwrap(),
    });
    plan.put_peers(0, Kind::SixRd(domain), "3fff:db8::/40");
    plan.route("::/0", id);
    plan.route("3fff:db8:64:100::/64", NextHop::Connected(L));
    plan.neighbor(L, "3fff:db8:64:100::5", Some(H_MAC));
    let router = plan.neighbor(U, "198.51.100.254", Some(G_MAC));
    plan.route("198.51.0.0/16", router);
    plan.start()
}

fn from_host(appliance: &mut Appliance, packet: &[u8]) -> Vec<SentFrame> {
    appliance.pass(L, &frame(L_MAC, H_MAC, packet))
}

fn from_router(appliance: &mut Appliance, packet: &[u8]) -> Vec<SentFrame> {
    appliance.pass(U, &frame(U_MAC, G_MAC, packet))
}

/// The outer addresses of what was sent into the tunnel.
fn ends(sent: &[SentFrame]) -> (String, String) {
    assert_eq!((sent.len(), sent[0].port), (1, U));
    let address = |at: usize| {
        let bytes: [u8; 4] = sent[0].bytes[at..at + 4].try_into().unwrap();
        core::net::Ipv4Addr::from(bytes).to_string()
    };
    (address(26), address(30))
}

#[test]
fn a_packet_of_the_domain_goes_to_the_router_that_is_in_its_destination() {
    let mut relay = relay();
    let packet = ip(HOST, "3fff:db8:42::7").udp(100);
    let sent = from_host(&mut relay, &packet);
    // DF set, identification 0, protocol 41: what RFC 4213 has, to 203.0.113.(0x42).
    let outer = Ip { identification: 0, ..ip(RELAY, "203.0.113.66") };
    let outer = outer.around(&one_hop_on(&packet));
    assert_eq!(sent[0].bytes, frame(G_MAC, U_MAC, &outer));
}

#[test]
fn what_is_for_outside_of_the_domain_goes_to_a_relay_by_its_flow() {
    let mut customer = customer();
    let mut used = std::collections::BTreeSet::new();
    for number in 0..64 {
        let to = format!("2001:db8:9999::{number:x}");
        let packet = ip("3fff:db8:64:100::5", &to).udp(100);
        let first = ends(&from_host(&mut customer, &packet));
        assert_eq!(first, ends(&from_host(&mut customer, &packet)), "a flow stays with its relay");
        used.insert(first.1);
    }
    assert_eq!(Vec::from_iter(used), ["203.0.113.7", "203.0.113.8"]);
}

#[test]
fn customers_reach_each_other_without_a_relay() {
    let mut customer = customer();
    let packet = ip("3fff:db8:64:100::5", "3fff:db8:7:700::9").udp(100);
    assert_eq!(ends(&from_host(&mut customer, &packet)).1, "198.51.7.7");
    let back = ip("3fff:db8:7:700::9", "3fff:db8:64:100::5").udp(100);
    let sent = from_router(&mut customer, &ip("198.51.7.7", RELAY).around(&back));
    assert_eq!((sent.len(), sent[0].port), (1, L), "{:?}", customer.moved());
}

#[test]
fn a_customer_takes_what_is_delegated_to_it_and_nothing_else() {
    let mut customer = customer();
    let outer = ip("203.0.113.7", RELAY);
    for to in ["3fff:db8:64:200::5", "2001:db8:1::5"] {
        from_router(&mut customer, &outer.around(&ip("2001:db8:9999::1", to).udp(100)));
        assert_eq!(customer.moved(), [("if.rx_inner_dst_denied", 1)], "{to}");
    }
    let inner = ip("2001:db8:9999::1", "3fff:db8:64:100::5").udp(100);
    assert_eq!(from_router(&mut customer, &outer.around(&inner))[0].port, L);
}

#[test]
fn a_relay_believes_no_source_that_another_router_sends() {
    let mut relay = relay();
    for (outer, inner, counter) in [
        ("203.0.113.66", "3fff:db8:42::1", None),
        ("203.0.113.67", "3fff:db8:42::1", Some("if.rx_spoof_embedded")),
        ("203.0.113.66", "2001:db8:9999::1", Some("if.rx_spoof_embedded")),
        ("192.0.2.200", "2001:db8:9999::1", None),
        ("192.0.2.200", "3fff:db8:42::1", Some("if.rx_spoof_embedded")),
        ("203.0.113.66", "fe80::1", Some("if.rx_spoof_embedded")),
        ("203.0.113.66", "::1", Some("if.rx_inner_martian_src")),
        ("203.0.113.66", HOST_OF_L, Some("if.rx_inner_own_src")),
    ] {
        let sent = from_router(&mut relay, &ip(outer, RELAY).around(&ip(inner, HOST).udp(100)));
        assert_eq!(sent.len(), usize::from(counter.is_none()), "{outer} {inner}");
        assert_eq!(relay.moved().first().map(|moved| moved.0), counter, "{outer} {inner}");
    }
}

/// The address of the node itself there.
const HOST_OF_L: &str = "2001:db8:1::1";

/// "Fragmentation needed" about a packet for one customer.
fn narrow(to: &str, inner: &str, mtu: u16) -> Vec<u8> {
    let sent = ip(RELAY, to).around(&ip(HOST, inner).udp(1480));
    ip("192.0.2.9", RELAY).icmp_error(3, 4, mtu, &sent[..20 + 40 + 8])
}

#[test]
fn what_one_peers_path_takes_holds_up_no_other() {
    let mut relay = relay();
    let to_66 = ip(HOST, "3fff:db8:42::1").udp(1480);
    let to_67 = ip(HOST, "3fff:db8:43::1").udp(1480);
    assert_eq!(from_host(&mut relay, &to_66)[0].port, U);
    let told = from_router(&mut relay, &narrow("203.0.113.66", "3fff:db8:42::1", 1400));
    assert_eq!((told.len(), told[0].port), (1, L), "the sender is told");
    relay.moved();
    let refused = from_host(&mut relay, &to_66);
    assert_eq!((refused[0].port, &refused[0].bytes[58..62]), (L, &1380_u32.to_be_bytes()[..]));
    assert_eq!(from_host(&mut relay, &ip(HOST, "3fff:db8:42::1").udp(1380))[0].port, U);
    assert_eq!(from_host(&mut relay, &to_67)[0].port, U);
}

#[test]
fn an_error_about_a_packet_that_went_elsewhere_is_not_believed() {
    let mut relay = relay();
    for (to, inner) in [
        ("203.0.113.67", "3fff:db8:42::1"),
        ("192.0.2.200", "3fff:db8:42::1"),
        ("198.18.0.1", "3fff:db8:42::1"),
    ] {
        assert!(from_router(&mut relay, &narrow(to, inner, 1400)).is_empty());
        assert_eq!(relay.moved(), [("if.icmp_relay_rejected", 1)], "{to}");
    }
}

#[test]
fn an_earlier_packet_that_did_not_arrive_is_told_of_to_who_sends_to_that_peer() {
    let mut relay = relay();
    let lost = ip(RELAY, "203.0.113.66").around(&ip(HOST, "3fff:db8:42::1").udp(100));
    let error = ip("192.0.2.9", RELAY).icmp_error(3, 1, 0, &lost[..28]);
    from_router(&mut relay, &error);
    assert_eq!(from_host(&mut relay, &ip(HOST, "3fff:db8:43::1").udp(100)).len(), 1);
    let sent = from_host(&mut relay, &ip(HOST, "3fff:db8:42::1").udp(100));
    assert_eq!(sent.len(), 2, "the packet, and what its sender is told");
}

#[test]
fn pieces_are_taken_from_those_that_can_be_peers() {
    let mut relay = relay();
    let inner = ip("3fff:db8:42::1", HOST).udp(1280);
    let whole = ip("203.0.113.66", RELAY).may_be_cut().around(&inner);
    let mut sent = Vec::new();
    for piece in in_pieces(&whole, &[1024], 7) {
        sent.extend(from_router(&mut relay, &piece));
    }
    assert_eq!((sent.len(), sent[0].port), (1, L), "{:?}", relay.moved());
    assert_eq!(sent[0].bytes, frame(H_MAC, L_MAC, &one_hop_on(&inner)));
    relay.moved();
    let strange = ip("192.0.2.66", RELAY).may_be_cut().around(&inner);
    from_router(&mut relay, &as_piece(&strange, 8, false));
    assert_eq!(relay.moved(), [("reasm.no_tunnel", 1)]);
}

/// Whom a router of 6to4 would send to.
fn six_to_four(destination: [u8; 16]) -> Option<u32> {
    let domain = SixRd::new(&SixRdSetup {
        prefix: "2002::/16".parse().unwrap(),
        relay_prefix: "0.0.0.0/0".parse().unwrap(),
        border_relays: Box::new([]),
        is_relay: false,
        local: "203.0.113.1".parse().unwrap(),
    });
    let peers = Peers::new(Kind::SixRd(domain), [], None);
    peers.remote_of(u128::from_be_bytes(destination), || 0)
}

#[test]
fn an_address_that_is_not_global_is_no_router_of_6to4() {
    for (address, is_one) in [
        ([203, 0, 113, 66], true),
        ([8, 8, 8, 8], true),
        ([10, 1, 2, 3], false),
        ([172, 31, 2, 3], false),
        ([192, 168, 2, 3], false),
        ([169, 254, 2, 3], false),
        ([100, 64, 2, 3], false),
        ([192, 88, 99, 1], false),
        ([127, 0, 0, 1], false),
        ([224, 0, 0, 1], false),
        ([0, 1, 2, 3], false),
        ([255, 255, 255, 255], false),
    ] {
        let mut destination = [0; 16];
        destination[..2].copy_from_slice(&[0x20, 0x02]);
        destination[2..6].copy_from_slice(&address);
        let expected = is_one.then_some(u32::from_be_bytes(address));
        assert_eq!(six_to_four(destination), expected, "{address:?}");
    }
}

proptest! {
    /// Bit by bit: those of the IPv4 address behind the common ones stand behind the prefix.
    #[test]
    fn what_a_router_is_delegated_has_its_address_in_it(
        prefix: u128, address: u32, len in 0_u8..=64, common_len in 0_u8..=32, host: u64,
    ) {
        let embedded_len = 32 - common_len;
        prop_assume!(len + embedded_len <= 64);
        let setup = SixRdSetup {
            prefix: ipnet::Ipv6Net::new(prefix.into(), len).unwrap().trunc(),
            relay_prefix: ipnet::Ipv4Net::new(address.into(), common_len).unwrap().trunc(),
            border_relays: Box::new([]),
            is_relay: true,
            local: address.into(),
            };
        let delegated = setup.delegated(address.into()).unwrap();
        prop_assert_eq!(delegated.prefix_len(), len + embedded_len);
        let bit_of = |number: u128, at: u8| number >> (127 - at) & 1 == 1;
        let network = u128::from(delegated.network());
        for at in 0..128 {
            let expected = if at < len {
                bit_of(prefix, at)
            } else if at < len + embedded_len {
                address >> (31 - (at - len + common_len)) & 1 == 1
            } else {
                false
            };
            prop_assert_eq!(bit_of(network, at), expected, "bit {}", at);
        }
        let domain = Peers::new(Kind::SixRd(SixRd::new(&setup)), [], None);
        prop_assert_eq!(domain.embedded(network | u128::from(host) >> 1), Some(address));
        if len > 0 {
            prop_assert_eq!(domain.embedded(network ^ 1 << 127), None);
        }
    }
}
