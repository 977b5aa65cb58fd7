//! Labels, from a tunnel and from a port: popped, swapped, pushed; what is too large, and what waits for a neighbor.
//! Entries of stacks are spelled out (RFC 3032 §2.1), and never written by the code under test.

use adit_dataplane::device::SentFrame;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tables::NextHop;
use adit_dataplane::tables::labels::{LabelAction, LabelHop};
use adit_dataplane::tables::neighbor::AdjacencyId;
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::shim::Kind;
use adit_dataplane::worker::exchange::{Handback, Punt};
use proptest::prelude::*;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, frame, frame_of, ip, one_hop_on};
use super::label_stack::{entry, labels, table};

const LOCAL: &str = "198.51.100.1";
const REMOTE: &str = "203.0.113.2";
const MPLS: u16 = 0x8847;

/// A label that begins as an IPv4 header does, and one that begins as an IPv6 header does.
const LIKE_IPV4: u32 = 0x45000;
const LIKE_IPV6: u32 = 0x60000;

fn host_of(next_hop: NextHop) -> LabelHop {
    let NextHop::Via(id) = next_hop else { panic!("no host") };
    LabelHop::Host(id)
}

/// `t0` carries MPLS; what is behind a label of 1xx comes through it, of 2xx by port L.
fn plan() -> Blueprint {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    let (next, silent) =
        (plan.neighbor(L, "10.1.0.5", Some(H_MAC)), plan.neighbor(L, "10.1.0.77", None));
    let router = plan.neighbor(U, "198.51.100.254", Some(G_MAC));
    let t0 = LabelHop::Tunnel(TunnelId(0));
    let setup = plan.setup(0);
    setup.protocols = Protocols::MPLS;
    setup.dscp = None;
    setup.mpls.labels = Some(table(&[
        (100, LabelAction::PopIp),
        (101, LabelAction::PopLabel),
        (102, LabelAction::Swap(labels(&[300]), host_of(next))),
        (103, LabelAction::Swap(labels(&[300, 301, 302]), host_of(next))),
        (104, LabelAction::Swap(labels(&[300]), host_of(silent))),
        (105, LabelAction::Swap(labels(&[300]), t0)),
        (106, LabelAction::Swap(labels(&[LIKE_IPV4]), host_of(next))),
        (107, LabelAction::Swap(labels(&[300]), LabelHop::Nowhere)),
    ]));
    plan.port_labels = vec![(
        L,
        table(&[
            (200, LabelAction::PopIp),
            (201, LabelAction::PopLabel),
            (202, LabelAction::Swap(labels(&[400]), t0)),
            (203, LabelAction::Swap(labels(&[400]), host_of(router))),
            (204, LabelAction::Swap(labels(&[LIKE_IPV6]), t0)),
            (205, LabelAction::Swap(labels(&[400, 0]), t0)),
        ]),
    )];
    plan
}

/// What the peer sends.
fn peer(stack: &[[u8; 4]], inner: &[u8]) -> Vec<u8> {
    let payload = [stack.concat().as_slice(), inner].concat();
    frame(U_MAC, G_MAC, &ip(REMOTE, LOCAL).carrying(137, &payload))
}

/// A frame with labels on L.
fn on_l(stack: &[[u8; 4]], inner: &[u8]) -> Vec<u8> {
    frame_of(MPLS, L_MAC, H_MAC, &[stack.concat().as_slice(), inner].concat())
}

/// What leaves by L with labels.
fn leaves_l(stack: &[[u8; 4]], inner: &[u8]) -> Vec<u8> {
    frame_of(MPLS, H_MAC, L_MAC, &[stack.concat().as_slice(), inner].concat())
}

/// The outer packet around labels.
fn outer(tos: u8) -> Ip {
    Ip { identification: 0, ..ip(LOCAL, REMOTE).tos(tos).ttl(64) }
}

/// What leaves into the tunnel.
fn leaves_t0(tos: u8, stack: &[[u8; 4]], inner: &[u8]) -> Vec<u8> {
    let payload = [stack.concat().as_slice(), inner].concat();
    frame(G_MAC, U_MAC, &outer(tos).carrying(137, &payload))
}

fn outward() -> Ip {
    ip("10.2.0.8", "10.1.0.5")
}

fn sole(sent: &[SentFrame], port: PortId) -> &[u8] {
    let [one] = sent else { panic!("{} frames instead of one", sent.len()) };
    assert_eq!(one.port, port);
    &one.bytes
}

#[test]
fn a_popped_packet_is_routed_with_its_own_ttl_less_one() {
    let mut appliance = plan().start();
    let (four, six) = (outward().udp(84), ip("2001:db8:2::8", "2001:db8:1::5").udp(100));
    let stacks: [(&[[u8; 4]], &[u8]); 6] = [
        (&[entry(100, 0, true, 64)], &four),
        (&[entry(100, 7, true, 2)], &six),
        (&[entry(0, 0, true, 64)], &four),
        (&[entry(2, 0, true, 64)], &six),
        (&[entry(0, 0, false, 64), entry(101, 0, false, 2), entry(100, 0, true, 2)], &four),
        (&[entry(101, 0, false, 64), entry(2, 0, true, 64)], &six),
    ];
    for (stack, inner) in stacks {
        let sent = appliance.pass(U, &peer(stack, inner));
        assert_eq!(sole(&sent, L), frame(H_MAC, L_MAC, &one_hop_on(inner)), "{stack:?}");
    }
    assert_eq!(appliance.moved(), []);
    let traffic =
        &appliance.shared.counters.tunnels.traffic(adit_dataplane::counters::CounterSlot(0));
    let traffic = traffic.unwrap();
    assert_eq!((traffic.rx_packets.get(), traffic.rx_bytes.get()), (6, 3 * 84 + 3 * 100));
}

#[test]
fn from_tunnel_to_port_a_swapped_label_has_the_class_and_a_lower_ttl() {
    let mut appliance = plan().start();
    let inner = outward().udp(84);
    let below = entry(7777, 0, true, 9);
    let sent = appliance.pass(U, &peer(&[entry(102, 5, true, 64)], &inner));
    assert_eq!(sole(&sent, L), leaves_l(&[entry(300, 5, true, 63)], &inner));
    // What is below the label is nobody's concern.
    let sent = appliance.pass(U, &peer(&[entry(102, 0, false, 2), below], &inner));
    assert_eq!(sole(&sent, L), leaves_l(&[entry(300, 0, false, 1), below], &inner));
    let sent = appliance.pass(U, &peer(&[entry(103, 3, true, 255)], b"not IP at all"));
    let stack = [entry(300, 3, false, 254), entry(301, 3, false, 254), entry(302, 3, true, 254)];
    assert_eq!(sole(&sent, L), leaves_l(&stack, b"not IP at all"));
    // Labels that look like IP headers are labels.
    let sent = appliance.pass(U, &peer(&[entry(106, 0, true, 64)], &inner));
    assert_eq!(sole(&sent, L), leaves_l(&[entry(LIKE_IPV4, 0, true, 63)], &inner));
    assert_eq!(appliance.moved(), []);
}

#[test]
fn from_port_to_tunnel_the_outer_header_has_df_ttl_64_and_the_class_as_dscp() {
    let mut plan = plan();
    // Inherited is 64 around labels, whatever theirs is.
    plan.setup(0).ttl = None;
    let mut appliance = plan.start();
    let inner = outward().tos(0xff).udp(84);
    let sent = appliance.pass(L, &on_l(&[entry(202, 5, true, 7)], &inner));
    assert_eq!(sole(&sent, U), leaves_t0(0xa0, &[entry(400, 5, true, 6)], &inner));
    let sent = appliance.pass(L, &on_l(&[entry(204, 0, true, 7)], &inner));
    assert_eq!(sole(&sent, U), leaves_t0(0, &[entry(LIKE_IPV6, 0, true, 6)], &inner));
    let sent = appliance.pass(L, &on_l(&[entry(205, 0, true, 7)], &inner));
    assert_eq!(
        sole(&sent, U),
        leaves_t0(0, &[entry(400, 0, false, 6), entry(0, 0, true, 6)], &inner)
    );
    let traffic =
        appliance.shared.counters.tunnels.traffic(adit_dataplane::counters::CounterSlot(0));
    let traffic = traffic.unwrap();
    assert_eq!((traffic.tx_packets.get(), traffic.tx_bytes.get()), (3, 88 + 88 + 92));
    assert_eq!(appliance.moved(), []);
}

#[test]
fn a_port_switches_to_another_port_and_pops_what_is_for_its_own_routes() {
    let mut appliance = plan().start();
    let inner = ip("10.1.0.5", "203.0.113.9").udp(84);
    let sent = appliance.pass(L, &on_l(&[entry(203, 1, true, 64)], &inner));
    let expected = [&entry(400, 1, true, 63)[..], &inner].concat();
    assert_eq!(sole(&sent, U), frame_of(MPLS, G_MAC, U_MAC, &expected));
    for stack in
        [vec![entry(200, 0, true, 64)], vec![entry(201, 0, false, 64), entry(0, 0, true, 64)]]
    {
        let sent = appliance.pass(L, &on_l(&stack, &inner));
        assert_eq!(sole(&sent, U), frame(G_MAC, U_MAC, &one_hop_on(&inner)));
    }
    assert_eq!(appliance.moved(), []);
    // A port without labels takes none, and frames to a group or another station are not for us.
    assert!(appliance.pass(U, &frame_of(MPLS, U_MAC, G_MAC, &entry(0, 0, true, 64))).is_empty());
    assert_eq!(appliance.moved(), [("l2.ethertype", 1)]);
    let mut group = on_l(&[entry(200, 0, true, 64)], &inner);
    group[0] = 1;
    assert!(appliance.pass(L, &group).is_empty());
    assert_eq!(appliance.moved(), [("l2.not_for_us", 1)]);
}

#[test]
fn packets_out_of_a_port_with_a_tunnel_inside_the_label_are_decapsulated() {
    let mut plan = plan();
    plan.port_labels.push((U, table(&[(500, LabelAction::PopIp)])));
    let mut appliance = plan.start();
    let inner = outward().udp(84);
    let tunnelled =
        ip(REMOTE, LOCAL).carrying(137, &[&entry(100, 0, true, 64)[..], &inner].concat());
    let bytes = [&entry(500, 0, true, 64)[..], &tunnelled].concat();
    let sent = appliance.pass(U, &frame_of(MPLS, U_MAC, G_MAC, &bytes));
    assert_eq!(sole(&sent, L), frame(H_MAC, L_MAC, &one_hop_on(&inner)));
}

#[test]
fn ip_that_is_routed_into_the_tunnel_gets_its_labels() {
    let mut plan = plan();
    plan.setup(0).put_labels(labels(&[600, 601]));
    let mut appliance = plan.start();
    let inner = ip("10.1.0.5", "10.2.0.8").tos(0xb9).udp(84);
    let sent = appliance.pass(L, &frame(L_MAC, H_MAC, &inner));
    let stack = [entry(600, 5, false, 255), entry(601, 5, true, 255)];
    assert_eq!(sole(&sent, U), leaves_t0(0xa0, &stack, &one_hop_on(&inner)));
    let six = ip("2001:db8:1::5", "2001:db8:2::8").udp(100);
    let sent = appliance.pass(L, &frame(L_MAC, H_MAC, &six));
    let stack = [entry(600, 0, false, 255), entry(601, 0, true, 255)];
    assert_eq!(sole(&sent, U), leaves_t0(0, &stack, &one_hop_on(&six)));
    // Without labels to push, IP does not enter.
    let mut bare = self::plan().start();
    let sent = bare.pass(L, &frame(L_MAC, H_MAC, &inner));
    assert_eq!(sole(&sent, L)[14 + 20..14 + 22], [3, 0], "network unreachable");
    assert_eq!(bare.moved(), [("icmp.tx", 1), ("if.tx_payload_unsupported", 1)]);
}

#[test]
fn what_is_too_large_with_labels_is_told_to_nobody_and_without_them_to_its_source() {
    let mut appliance = plan().start();
    // A tunnel over 1500 bytes takes 1480 with all labels.
    let fits = outward().udp(1476);
    let sent = appliance.pass(L, &on_l(&[entry(202, 0, true, 64)], &fits));
    assert_eq!(sole(&sent, U), leaves_t0(0, &[entry(400, 0, true, 63)], &fits));
    let one_more = on_l(&[entry(202, 0, true, 64)], &outward().udp(1477));
    assert!(appliance.pass(L, &one_more).is_empty());
    assert_eq!(appliance.moved(), [("if.tx_too_big", 1)]);
    // To a port it is 1500.
    let grows = peer(&[entry(103, 0, true, 64)], &outward().udp(1480 - 4));
    assert_eq!(appliance.pass(U, &grows).len(), 1);
    let mut plan = plan();
    plan.ports[L.index()].mtu = 1487;
    let mut narrow = plan.start();
    assert!(narrow.pass(U, &grows).is_empty());
    assert_eq!(narrow.moved(), [("port.oversize", 1)]);
}

#[test]
fn the_sender_of_a_packet_that_gets_labels_hears_how_much_room_they_leave() {
    let mut plan = plan();
    plan.setup(0).put_labels(labels(&[600, 601]));
    // RFC 4023: the outer DF bit is no choice.
    plan.setup(0).dont_fragment = DontFragment::No;
    plan.setup(0).fragments_outer = true;
    let mut appliance = plan.start();
    let host = |packet: &[u8]| frame(L_MAC, H_MAC, packet);
    let to_far = ip("10.1.0.5", "10.2.0.8");
    let sent = appliance.pass(L, &host(&to_far.udp(1472)));
    let packet = &sole(&sent, U)[14..];
    assert_eq!((packet.len(), packet[6]), (1500, 0x40), "DF is set");
    let sent = appliance.pass(L, &host(&to_far.udp(1473)));
    let error = &sole(&sent, L)[14 + 20..];
    assert_eq!((&error[..2], &error[6..8]), (&[3, 4][..], &1472_u16.to_be_bytes()[..]));
    let sent = appliance.pass(L, &host(&ip("2001:db8:1::5", "2001:db8:2::8").udp(1473)));
    let error = &sole(&sent, L)[14 + 40..];
    assert_eq!((error[0], &error[4..8]), (2, &1472_u32.to_be_bytes()[..]));
    assert_eq!(appliance.moved(), [("icmp.tx", 2), ("if.tx_too_big", 2)]);
    // What may be cut is cut before it gets labels.
    let sent = appliance.pass(L, &host(&to_far.may_be_cut().udp(1500)));
    assert_eq!(sent.len(), 2);
    for piece in sent {
        assert_eq!((piece.bytes[14 + 6], piece.bytes[14 + 9]), (0x40, 137));
        assert_eq!(piece.bytes[14 + 20..14 + 24], entry(600, 0, false, 255));
    }
    assert_eq!(appliance.moved(), [("if.tx_inner_frag", 1), ("ip4.frag_created", 2)]);
    // A packet that brings labels has the room of those that it does not get.
    let sent = appliance.pass(L, &on_l(&[entry(202, 0, true, 64)], &outward().udp(1476)));
    assert_eq!(sole(&sent, U).len(), 14 + 1500);
}

#[test]
fn a_labelled_packet_waits_for_its_neighbor_and_nobody_hears_if_there_is_none() {
    let plan = plan();
    let mut appliance = plan.start();
    let wait = |appliance: &mut Appliance| {
        let inner = outward().udp(84);
        assert!(appliance.pass(U, &peer(&[entry(104, 0, true, 64)], &inner)).is_empty());
        let [Punt::Unresolved { port, address, packet }] =
            <[Punt; 1]>::try_from(appliance.take_punts()).ok().unwrap()
        else {
            panic!("it does not wait")
        };
        assert_eq!((port, address.to_string().as_str()), (L, "10.1.0.77"));
        (port, address, packet)
    };
    let (port, address, packet) = wait(&mut appliance);
    let mut known = plan;
    known.neighbor(L, "10.1.0.77", Some([2, 0, 0, 0, 0, 0x77]));
    appliance.publish(known.build(2));
    let answered = Handback::Send { since: 2, port, address, packet };
    assert!(appliance.shared.handbacks.push(answered).is_ok());
    let expected = [&entry(300, 0, true, 63)[..], &outward().udp(84)].concat();
    let sent = appliance.run();
    assert_eq!(sole(&sent, L), frame_of(MPLS, [2, 0, 0, 0, 0, 0x77], L_MAC, &expected));

    let mut appliance = self::plan().start();
    let (.., packet) = wait(&mut appliance);
    assert!(appliance.shared.handbacks.push(Handback::Unreachable { packet }).is_ok());
    assert!(appliance.run().is_empty());
    assert_eq!(appliance.moved(), [("nbr.failed", 1)]);
}

#[test]
fn each_label_that_leads_nowhere_moves_its_counter_alone() {
    let inner = outward().udp(84);
    let deep = |entries: usize| -> Vec<[u8; 4]> {
        (1..=entries).map(|at| entry(0, 0, at == entries, 64)).collect()
    };
    let cases: [(&str, Vec<[u8; 4]>); 16] = [
        ("mpls.bad_label", deep(17)),
        ("mpls.bad_label", vec![entry(1, 0, true, 64)]),
        ("mpls.bad_label", vec![entry(3, 0, true, 64)]),
        ("mpls.bad_label", vec![entry(14, 0, true, 64)]),
        ("mpls.bad_label", vec![entry(100, 0, false, 64), entry(100, 0, true, 64)]),
        ("mpls.bad_label", vec![entry(101, 0, true, 64)]),
        ("mpls.no_label", vec![entry(16, 0, true, 64)]),
        ("mpls.no_label", vec![entry(200, 0, true, 1)]),
        ("mpls.no_label", vec![entry(7, 0, true, 64)]),
        ("mpls.no_label", vec![entry(107, 0, true, 64)]),
        ("mpls.ttl_expired", vec![entry(100, 0, true, 1)]),
        ("mpls.ttl_expired", vec![entry(0, 0, true, 0)]),
        ("mpls.ttl_expired", vec![entry(101, 0, false, 64), entry(100, 0, true, 1)]),
        ("if.rx_hairpin", vec![entry(105, 0, true, 64)]),
        ("if.rx_inner_bad_version", vec![entry(2, 0, true, 64)]),
        ("if.rx_inner_bad_version", vec![entry(100, 0, false, 64)]),
    ];
    for (counter, stack) in cases {
        let mut appliance = plan().start();
        // The last case is no stack at all: its bottom is in the packet behind it.
        let is_last = stack == [entry(100, 0, false, 64)];
        let (stack, inner): (&[_], Vec<u8>) = if is_last {
            (&[entry(100, 0, true, 64)], [&[0x50][..], &inner[1..]].concat())
        } else {
            (&stack, inner.clone())
        };
        assert!(appliance.pass(U, &peer(stack, &inner)).is_empty());
        assert_eq!(appliance.moved(), [(counter, 1)], "{stack:?}");
    }
    let mut appliance = plan().start();
    let short = frame(U_MAC, G_MAC, &ip(REMOTE, LOCAL).carrying(137, &[0, 6]));
    assert!(appliance.pass(U, &short).is_empty());
    assert_eq!(appliance.moved(), [("tun.shim_short", 1)]);
    assert!(appliance.pass(U, &peer(&[entry(100, 0, false, 64)], &[])).is_empty());
    assert_eq!(appliance.moved(), [("mpls.bad_label", 1)], "the stack has no bottom");
    assert!(appliance.pass(U, &peer(&[entry(100, 0, true, 64)], &[])).is_empty());
    assert_eq!(appliance.moved(), [("if.rx_length_err", 1)], "nothing is behind it");
}

#[test]
fn congestion_marked_outside_ends_there_and_is_counted() {
    let mut appliance = plan().start();
    for (stack, is_ip) in [(entry(100, 0, true, 64), true), (entry(102, 0, true, 64), false)] {
        let inner = outward().tos(2).udp(84);
        let payload = [&stack[..], &inner].concat();
        let marked = ip(REMOTE, LOCAL).tos(0xff).carrying(137, &payload);
        let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &marked));
        let expected = if is_ip {
            frame(H_MAC, L_MAC, &one_hop_on(&inner))
        } else {
            leaves_l(&[entry(300, 0, true, 63)], &inner)
        };
        assert_eq!(sole(&sent, L), expected);
        assert_eq!(appliance.moved(), [("if.rx_ecn_log", 1)]);
    }
}

#[test]
fn other_tunnels_take_no_labels_and_this_one_nothing_else() {
    let mut appliance = Blueprint::with_t0(LOCAL, REMOTE).start();
    assert!(appliance.pass(U, &peer(&[entry(0, 0, true, 64)], &outward().udp(84))).is_empty());
    assert_eq!(appliance.moved(), [("tun.proto_mismatch", 1)]);
    let mut appliance = plan().start();
    let bare = frame(U_MAC, G_MAC, &ip(REMOTE, LOCAL).around(&outward().udp(84)));
    assert!(appliance.pass(U, &bare).is_empty());
    assert_eq!(appliance.moved(), [("tun.proto_mismatch", 1)]);
    // Labels that lead into a tunnel that carries none.
    let mut plan = plan();
    plan.setup(0).protocols = Protocols::IPV4;
    let mut appliance = plan.start();
    let bytes = on_l(&[entry(202, 0, true, 64)], &outward().udp(84));
    assert!(appliance.pass(L, &bytes).is_empty());
    assert_eq!(appliance.moved(), [("if.tx_payload_unsupported", 1)]);
}

#[test]
fn what_is_said_to_be_labels_is_never_taken_for_ip() {
    let mut plan = plan();
    plan.setup(0).protocols = Protocols::IPV4.with(Protocols::IPV6).with(Protocols::MPLS);
    let mut appliance = plan.start();
    for inner in [outward().udp(84), ip("2001:db8:2::8", "2001:db8:1::5").udp(100)] {
        // Labels 0x45000 and 0x60000.
        assert!(appliance.pass(U, &peer(&[], &inner)).is_empty());
        assert_eq!(appliance.moved(), [("mpls.no_label", 1)]);
    }
    // Nor in GUE, without a UDP checksum.
    plan.put_gue();
    let mut appliance = plan.start();
    for inner in [outward().udp(84), ip("2001:db8:2::8", "2001:db8:1::5").udp(100)] {
        let len = u8::try_from(inner.len() + 12).unwrap();
        let headers = [0xc0, 0, 0x17, 0xc0, 0, len, 0, 0, 0, 137, 0, 0];
        let packet = ip(REMOTE, LOCAL).carrying(17, &[&headers[..], &inner].concat());
        assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &packet)).is_empty());
        assert_eq!(appliance.moved(), [("mpls.no_label", 1)]);
    }
}

#[test]
fn a_label_behind_gre_and_in_ipv6_is_the_same_label() {
    let inner = outward().udp(84);
    let stack = [&entry(102, 0, true, 64)[..], &inner].concat();
    let mut gre = plan();
    gre.setup(0).protocols = Protocols::IPV4.with(Protocols::IPV6).with(Protocols::MPLS);
    gre.setup(0).put_shim(Kind::Gre(Gre::default()).into());
    let behind = [&[0, 0, 0x88, 0x47][..], &stack].concat();
    let mut appliance = gre.start();
    let packet = ip(REMOTE, LOCAL).carrying(47, &behind);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &packet));
    assert_eq!(sole(&sent, L), leaves_l(&[entry(300, 0, true, 63)], &inner));
    let sent = appliance.pass(L, &on_l(&[entry(202, 0, true, 64)], &inner));
    let expected = [&[0, 0, 0x88, 0x47][..], &entry(400, 0, true, 63), &inner].concat();
    assert_eq!(sole(&sent, U), frame(G_MAC, U_MAC, &outer(0).carrying(47, &expected)));
    // Upstream-assigned labels are nobody's here.
    let other = [&[0, 0, 0x88, 0x48][..], &stack].concat();
    let packet = ip(REMOTE, LOCAL).carrying(47, &other);
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &packet)).is_empty());
    assert_eq!(appliance.moved(), [("gre.proto_unsupported", 1)]);

    let (local, remote) = ("2001:db8:100::1", "2001:db8:200::2");
    let mut six = plan();
    let mpls = six.setup(0).mpls.clone();
    let id = six.tunnel(local, remote);
    six.setup(id.index()).protocols = Protocols::MPLS;
    six.setup(id.index()).mpls = mpls;
    let mut appliance = six.start();
    let packet = ip(remote, local).carrying(137, &stack);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &packet));
    assert_eq!(sole(&sent, L), leaves_l(&[entry(300, 0, true, 63)], &inner));
}

#[test]
fn a_hop_that_is_gone_is_no_other_packets() {
    let mut plan = plan();
    plan.port_labels = vec![(
        L,
        table(&[
            (202, LabelAction::Swap(labels(&[400]), LabelHop::Host(AdjacencyId(99)))),
            (203, LabelAction::Swap(labels(&[400]), LabelHop::Tunnel(TunnelId(99)))),
        ]),
    )];
    let mut appliance = plan.start();
    for (number, counter) in [(202, "nbr.queue_drop"), (203, "ip4.no_route")] {
        let bytes = on_l(&[entry(number, 0, true, 64)], &outward().udp(84));
        assert!(appliance.pass(L, &bytes).is_empty());
        assert_eq!(appliance.moved(), [(counter, 1)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_gets_labels_here_loses_them_at_the_far_end(
        pushed in proptest::collection::vec(16_u32..1 << 20, 1..=4),
        len in 60_usize..1400, tos: u8, is_ipv6: bool, ttl in 3_u8..=255,
    ) {
        let (from, to) = if is_ipv6 {
            ("2001:db8:1::5", "2001:db8:2::8")
        } else {
            ("10.1.0.5", "10.2.0.8")
        };
        let mut near = Blueprint::with_t0(LOCAL, REMOTE);
        near.setup(0).protocols = Protocols::MPLS;
        near.setup(0).put_labels(labels(&pushed));
        let mut far = Blueprint::far_end(LOCAL, REMOTE);
        far.setup(0).protocols = Protocols::MPLS;
        let (&last, above) = pushed.split_last().unwrap();
        prop_assume!(!above.contains(&last));
        let mut entries: Vec<_> = above.iter().map(|&l| (l, LabelAction::PopLabel)).collect();
        entries.push((last, LabelAction::PopIp));
        far.setup(0).mpls.labels = Some(table(&entries));
        let packet = ip(from, to).tos(tos).ttl(ttl).udp(len);
        let sent = near.start().pass(L, &frame(L_MAC, H_MAC, &packet));
        prop_assert_eq!(sent.len(), 1);
        let arriving = frame(U_MAC, G_MAC, &sent[0].bytes[14..]);
        let mut far = far.start();
        let arrived = far.pass(U, &arriving);
        prop_assert_eq!(arrived.len(), 1, "{:?}", far.moved());
        let expected = one_hop_on(&one_hop_on(&packet));
        prop_assert_eq!(&arrived[0].bytes, &frame(H_MAC, L_MAC, &expected));
    }
}
