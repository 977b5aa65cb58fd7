//! Tunnels inside tunnels of the same node, and what must not go round.

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tables::NextHop;

use super::appliance::{Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, frame, ip, one_hop_on};

const HOSTS: [(&str, &str); 2] = [("10.1.0.5", "10.2.0.8"), ("2001:db8:1::5", "2001:db8:2::8")];

/// `t0` through which hosts are reached, inside `t1`, inside `t2` …; the last one leaves by U. All
/// are of the family that `local` has.
fn stacked(depth: u32, local: &str, remote_of: impl Fn(u32) -> String, overhead: u16) -> Blueprint {
    let mut plan = Blueprint::with_t0(local, &remote_of(0));
    for number in 1..depth {
        let id = plan.tunnel(local, &remote_of(number));
        plan.setup(number as usize - 1).underlay = NextHop::Tunnel(id);
        assert_eq!(id, TunnelId(number));
    }
    for number in 0..depth {
        let under = u16::try_from(depth - number).unwrap() * overhead;
        plan.setup(number as usize).mtu = 1500 - under;
    }
    plan
}

fn remote4(number: u32) -> String {
    format!("203.0.113.{}", number + 2)
}

fn remote6(number: u32) -> String {
    format!("2001:db8:200::{}", number + 2)
}

#[test]
fn tunnels_in_tunnels_put_one_header_before_the_other() {
    let mut appliance = stacked(3, "198.51.100.1", remote4, 20).start();
    let packet = ip("10.1.0.5", "10.2.0.8").tos(0xb9).udp(84);
    let sent = appliance.pass(L, &frame(L_MAC, H_MAC, &packet));
    let header =
        |number| Ip { identification: 0, tos: 0xb9, ..ip("198.51.100.1", &remote4(number)) };
    // One hop for the whole stack: only the host's own TTL is one less.
    let first = header(0).around(&one_hop_on(&packet));
    let expected = header(2).around(&header(1).around(&first));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].bytes, frame(G_MAC, U_MAC, &expected));
    let counters = &appliance.shared.counters.tunnels;
    for (slot, bytes) in [(0, 84), (1, 104), (2, 124)] {
        let traffic = counters.traffic(adit_dataplane::counters::CounterSlot(slot)).unwrap();
        assert_eq!((traffic.tx_packets.get(), traffic.tx_bytes.get()), (1, bytes));
    }
}

#[test]
fn four_tunnels_inside_each_other_are_entered_and_a_fifth_is_not() {
    // C-122.
    for (source, destination) in HOSTS {
        let packet = frame(L_MAC, H_MAC, &ip(source, destination).udp(84));
        let mut appliance = stacked(4, "198.51.100.1", remote4, 20).start();
        assert_eq!(appliance.pass(L, &packet)[0].bytes.len(), 14 + 80 + 84);
        let mut appliance = stacked(5, "198.51.100.1", remote4, 20).start();
        assert!(appliance.pass(L, &packet).is_empty());
        assert_eq!(appliance.moved(), [("if.tx_recursion", 1)]);
    }
}

#[test]
fn three_ipv6_headers_fit_before_a_packet_and_a_fourth_is_counted() {
    let packet = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").udp(84));
    let mut appliance = stacked(3, "2001:db8:100::1", remote6, 40).start();
    assert_eq!(appliance.pass(L, &packet)[0].bytes.len(), 14 + 120 + 84);
    // The headroom of one buffer ends here.
    let mut appliance = stacked(4, "2001:db8:100::1", remote6, 40).start();
    assert!(appliance.pass(L, &packet).is_empty());
    assert_eq!(appliance.moved(), [("port.no_mbuf", 1)]);
}

#[test]
fn what_does_not_fit_the_stack_is_told_in_bytes_of_the_host() {
    let mut plan = stacked(3, "198.51.100.1", remote4, 20);
    // The tunnel in the middle got smaller, and the one that hosts enter does not know yet.
    plan.setup(1).mtu = 1400;
    let mut appliance = plan.start();
    let packet = ip("10.1.0.5", "10.2.0.8").udp(1440);
    let sent = appliance.pass(L, &frame(L_MAC, H_MAC, &packet));
    assert_eq!((sent.len(), sent[0].port), (1, L));
    assert_eq!(sent[0].bytes[34..36], [3, 4]);
    assert_eq!(sent[0].bytes[38..42], 1380_u32.to_be_bytes());
    assert_eq!(sent[0].bytes[42..62], one_hop_on(&packet)[..20], "quotes the host's own packet");
    assert_eq!(appliance.moved(), [("icmp.tx", 1), ("if.tx_too_big", 1)]);
}

#[test]
fn a_way_to_the_remote_through_the_tunnel_itself_leads_nowhere() {
    // C-121.
    let mut plan = Blueprint::with_t0("198.51.100.1", "203.0.113.2");
    plan.setup(0).underlay = NextHop::Tunnel(TunnelId(0));
    let mut appliance = plan.start();
    let packet = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").udp(84));
    assert!(appliance.pass(L, &packet).is_empty());
    assert_eq!(appliance.moved(), [("if.tx_loop_dev", 1)]);
}

#[test]
fn two_tunnels_that_lead_into_each_other_end_at_the_limit() {
    let mut plan = Blueprint::with_t0("198.51.100.1", "203.0.113.2");
    let other = plan.tunnel("198.51.100.1", "203.0.113.3");
    plan.setup(0).underlay = NextHop::Tunnel(other);
    plan.setup(1).underlay = NextHop::Tunnel(TunnelId(0));
    let mut appliance = plan.start();
    let packet = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").udp(84));
    assert!(appliance.pass(L, &packet).is_empty());
    assert_eq!(appliance.moved(), [("if.tx_recursion", 1)]);
}

#[test]
fn out_of_one_tunnel_and_into_the_next_is_one_hop() {
    let mut plan = Blueprint::with_t0("198.51.100.1", "203.0.113.2");
    let east = plan.tunnel("2001:db8:100::1", "2001:db8:200::3");
    plan.route("10.3.0.0/16", NextHop::Tunnel(east));
    let mut appliance = plan.start();
    let inner = ip("10.2.0.8", "10.3.0.8").udp(84);
    let arriving = ip("203.0.113.2", "198.51.100.1").around(&inner);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &arriving));
    assert_eq!(sent.len(), 1, "{:?}", appliance.moved());
    let label = u32::from_be_bytes(sent[0].bytes[14..18].try_into().unwrap()) & 0xf_ffff;
    let leaving = Ip { flow_label: label, ..ip("2001:db8:100::1", "2001:db8:200::3") };
    let expected = leaving.around(&one_hop_on(&inner));
    assert_eq!(sent[0].bytes, frame(G_MAC, U_MAC, &expected));
}

#[test]
fn back_into_the_tunnel_it_came_from_only_where_that_is_allowed() {
    // C-126, and the same through a group of next hops.
    for through_group in [false, true] {
        for hairpin in [false, true] {
            let mut plan = Blueprint::with_t0("198.51.100.1", "203.0.113.2");
            plan.setup(0).hairpin = hairpin;
            let back = NextHop::Tunnel(TunnelId(0));
            let back = if through_group { plan.group(&[(back, 1)]) } else { back };
            plan.route("10.2.0.0/16", back);
            let mut appliance = plan.start();
            let inner = ip("10.2.0.8", "10.2.0.9").udp(84);
            let arriving = ip("203.0.113.2", "198.51.100.1").around(&inner);
            let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &arriving));
            if hairpin {
                let leaving = Ip { identification: 0, ..ip("198.51.100.1", "203.0.113.2") };
                let expected = leaving.around(&one_hop_on(&inner));
                assert_eq!(sent[0].bytes, frame(G_MAC, U_MAC, &expected));
            } else {
                assert!(sent.is_empty());
                assert_eq!(appliance.moved(), [("if.rx_hairpin", 1)]);
            }
        }
    }
}

#[test]
fn options_of_a_tunnel_packet_inside_a_tunnel_are_judged_like_those_of_one_outside() {
    // RFC 8200 §4.2: 00 skip, 01 discard, 10 discard and tell the sender.
    for (kind, counters) in [
        (0x1e, &[][..]),
        (0x5e, &[("ip6.bad_exthdr", 1)]),
        (0x9e, &[("icmp.tx", 1), ("ip6.bad_exthdr", 1)]),
    ] {
        let mut plan = Blueprint::with_t0("198.51.100.1", "203.0.113.2");
        plan.tunnel("2001:db8:50::1", "2001:db8:2::2");
        plan.limits.decap_depth = 2;
        let mut appliance = plan.start();
        let inner = ip("10.2.0.8", "10.1.0.5").udp(84);
        let options = [4, 0, kind, 4, 0, 0, 0, 0];
        let nested =
            ip("2001:db8:2::2", "2001:db8:50::1").carrying(60, &[&options, &*inner].concat());
        let arriving = ip("203.0.113.2", "198.51.100.1").around(&nested);
        let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &arriving));
        assert_eq!(appliance.moved(), counters, "{kind:#x}");
        let delivered = sent.iter().any(|f| f.bytes == frame(H_MAC, L_MAC, &one_hop_on(&inner)));
        assert_eq!(delivered, kind == 0x1e, "{kind:#x}");
    }
}
