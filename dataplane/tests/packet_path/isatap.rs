//! ISATAP: whom packets go to, by their destination or by the next hop of the route, and what is believed. What is
//! expected is spelled out.

use adit_dataplane::device::SentFrame;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, frame, ip, one_hop_on};

const OWN: &str = "198.51.100.1";
const HOST: &str = "2001:db8:1::5";

fn node() -> Appliance {
    let mut plan = Blueprint::bench();
    plan.tunnel(OWN, "203.0.113.2");
    plan.put_isatap(0);
    plan.own("fe80::200:5efe:198.51.100.1");
    plan.start()
}

fn from_host(node: &mut Appliance, packet: &[u8]) -> Vec<SentFrame> {
    node.pass(L, &frame(L_MAC, H_MAC, packet))
}

fn from_link(node: &mut Appliance, packet: &[u8]) -> Vec<SentFrame> {
    node.pass(U, &frame(U_MAC, G_MAC, packet))
}

#[test]
fn a_packet_goes_to_the_next_hop_on_the_link() {
    for (to, remote) in [
        // A node of the link is its own, whichever form its identifier has.
        ("3fff:db8:5efe::5efe:203.0.113.66", "203.0.113.66"),
        ("3fff:db8:5efe::200:5efe:203.0.113.66", "203.0.113.66"),
        // The route names one.
        ("3fff:db8:700::1", "203.0.113.7"),
        // No route does: a potential router.
        ("3fff:db8:7ff::1", "203.0.113.1"),
    ] {
        let mut node = node();
        let packet = ip(HOST, to).udp(100);
        let sent = from_host(&mut node, &packet);
        let outer = Ip { identification: 0, ..ip(OWN, remote) };
        assert_eq!(sent.len(), 1, "{to} {:?}", node.moved());
        assert_eq!(sent[0].bytes, frame(G_MAC, U_MAC, &outer.around(&one_hop_on(&packet))), "{to}");
    }
}

#[test]
fn an_address_of_the_link_without_an_ipv4_address_is_nobodys() {
    let mut node = node();
    for to in ["3fff:db8:5efe::1", "3fff:db8:5efe::5efe:127.0.0.1", "3fff:db8:5efe::5efe:224.0.0.1"]
    {
        let sent = from_host(&mut node, &ip(HOST, to).udp(100));
        assert_eq!((sent.len(), sent[0].port), (1, L), "{to}");
        assert_eq!(sent[0].bytes[54..56], [1, 3], "address unreachable");
        assert_eq!(node.moved(), [("icmp.tx", 1), ("if.tx_no_remote", 1)], "{to}");
    }
}

#[test]
fn a_source_is_believed_of_the_node_that_is_in_it_or_of_a_router() {
    for (outer, inner, is_believed) in [
        ("203.0.113.66", "3fff:db8:5efe::5efe:203.0.113.66", true),
        ("203.0.113.66", "3fff:db8:5efe::200:5efe:203.0.113.66", true),
        ("203.0.113.67", "3fff:db8:5efe::5efe:203.0.113.66", false),
        ("203.0.113.66", "3fff:db8:5efe::1", false),
        ("203.0.113.66", "3fff:db8:7ff::5efe:203.0.113.66", false),
        ("203.0.113.66", "3fff:db8:7ff::1", false),
        ("203.0.113.1", "3fff:db8:7ff::1", true),
        // It is the next hop to there, and no router that hosts may have.
        ("203.0.113.7", "3fff:db8:700::1", false),
    ] {
        let mut node = node();
        let packet = ip(inner, HOST).udp(100);
        let sent = from_link(&mut node, &ip(outer, OWN).around(&packet));
        let moved = node.moved();
        assert_eq!(sent.len(), usize::from(is_believed), "{outer} {inner} {moved:?}");
        if !is_believed {
            assert_eq!(moved, [("if.rx_spoof_embedded", 1)], "{outer} {inner}");
        }
    }
}

/// RFC 6324 §3.3: a 6to4 router with this node's address, and a host of another link with it, are this node in the eyes of
/// others.
#[test]
fn what_another_tunnel_would_bring_back_neither_enters_nor_leaves() {
    let of_link = "3fff:db8:5efe::5efe:203.0.113.66";
    for (address, comes_back) in [
        ("2002:c633:6401::1", true),
        ("2002:c633:6402::1", false),
        ("2001:db8:77::200:5efe:198.51.100.1", true),
        ("2001:db8:77::5efe:198.51.100.1", true),
        ("2001:db8:77::5efe:198.51.100.2", false),
        // On the net of a port it is a neighbor's own.
        ("2001:db8:1::5efe:198.51.100.1", false),
    ] {
        let mut node = node();
        let sent = from_host(&mut node, &ip(address, of_link).udp(100));
        assert_eq!(sent.len(), usize::from(!comes_back), "from {address} {:?}", node.moved());
        if comes_back {
            assert_eq!(node.moved(), [("if.tx_loop_src", 1)], "from {address}");
        }
        let mut node = self::node();
        from_link(&mut node, &ip("203.0.113.66", OWN).around(&ip(of_link, address).udp(100)));
        let denied = node.moved().contains(&("if.rx_inner_dst_denied", 1));
        assert_eq!(denied, comes_back, "to {address} {:?}", node.moved());
    }
}

#[test]
fn a_router_speaks_for_nobody_with_an_address_of_this_node() {
    for (source, counter) in [
        ("3fff:db8:5efe::5efe:198.51.100.1", Some("if.rx_spoof_embedded")),
        ("3fff:db8:5efe::200:5efe:198.51.100.1", Some("if.rx_spoof_embedded")),
        ("fe80::200:5efe:198.51.100.1", Some("if.rx_inner_own_src")),
        ("2002:c633:6401::1", Some("if.rx_spoof_embedded")),
        ("3fff:db8:5efe::5efe:198.51.100.2", None),
        ("2002:c633:6402::1", None),
    ] {
        let mut node = node();
        let packet = ip("203.0.113.1", OWN).around(&ip(source, HOST).udp(100));
        let sent = from_link(&mut node, &packet);
        assert_eq!(sent.len(), usize::from(counter.is_none()), "{source} {:?}", node.moved());
        if let Some(counter) = counter {
            assert_eq!(node.moved(), [(counter, 1)], "{source}");
        }
    }
}

/// RFC 4213 §3.8: whoever is asked whether it is there answers, without a link-layer address.
#[test]
fn a_solicitation_to_the_links_own_address_is_answered_to_who_asked() {
    let mut node = node();
    let own = "fe80::200:5efe:198.51.100.1";
    let target: core::net::Ipv6Addr = own.parse().unwrap();
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat();
    let mut inner = ip("fe80::200:5efe:203.0.113.66", own).ttl(255).carrying(58, &solicitation);
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&inner[8..40])
        .add_4bytes([0, 0, 0, 24])
        .add_4bytes([0, 0, 0, 58])
        .add_slice(&inner[40..])
        .ones_complement();
    inner[42..44].copy_from_slice(&sum.to_ne_bytes());
    let sent = from_link(&mut node, &ip("203.0.113.66", OWN).around(&inner));
    assert_eq!((sent.len(), sent[0].port), (1, U), "{:?}", node.moved());
    assert_eq!(sent[0].bytes[30..34], [203, 0, 113, 66], "to whom the address says");
    assert_eq!(sent[0].bytes[74], 136, "an advertisement");
    assert_eq!(sent[0].bytes.len(), 14 + 20 + 40 + 24, "without an option");
}
