//! Packets to this node in pieces: put together and taken for what they are, or lost as a whole.

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::tables::NextHop;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::delivery::icmp6;
use super::frames::{Ip, as_piece, frame, in_pieces, ip, mend_ipv4, one_hop_on, with_extension};

pub(crate) const V4: (&str, &str) = ("198.51.100.1", "203.0.113.2");
const V6: (&str, &str) = ("2001:db8:100::1", "2001:db8:200::2");

pub(crate) fn t0((local, remote): (&str, &str)) -> Appliance {
    Blueprint::with_t0(local, remote).start()
}

/// What the peer of t0 puts around its packets.
pub(crate) fn outer((local, remote): (&str, &str)) -> Ip {
    ip(remote, local).may_be_cut()
}

fn from_peer(packet: &[u8]) -> Vec<u8> {
    frame(U_MAC, G_MAC, packet)
}

/// Lets pieces arrive one by one; returns the IP packets that leave.
pub(crate) fn pass(appliance: &mut Appliance, port: PortId, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut left = Vec::new();
    for piece in pieces {
        let bytes = if port == U { from_peer(piece) } else { frame(L_MAC, H_MAC, piece) };
        left.extend(
            appliance.pass(port, &bytes).into_iter().map(|frame| frame.bytes[14..].to_vec()),
        );
    }
    left
}

pub(crate) fn after(appliance: &mut Appliance, milliseconds: u64) -> Vec<Vec<u8>> {
    appliance.now = Nanos(appliance.now.0 + milliseconds * 1_000_000);
    appliance.run().into_iter().map(|frame| frame.bytes[14..].to_vec()).collect()
}

pub(crate) fn inner4() -> Vec<u8> {
    ip("10.2.0.8", "10.1.0.5").udp(1400)
}

fn inner6() -> Vec<u8> {
    ip("2001:db8:2::8", "2001:db8:1::5").udp(1400)
}

/// Every order of three things.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn pieces_in_any_order_make_one_packet_whatever_is_outside_and_inside() {
    // C-087.
    for ends in [V4, V6] {
        for inner in [inner4(), inner6()] {
            let whole = outer(ends).around(&inner);
            let pieces = in_pieces(&whole, &[512, 1008], 77);
            let mut appliance = t0(ends);
            for order in ORDERS {
                let sequence: Vec<_> = order.iter().map(|&at| pieces[at].clone()).collect();
                assert_eq!(pass(&mut appliance, U, &sequence), [one_hop_on(&inner)], "{order:?}");
                assert_eq!(appliance.moved(), [("reasm.ok", 1)]);
            }
            assert_eq!(appliance.held(), 0);
        }
    }
}

#[test]
fn a_packet_may_be_longer_than_a_port_takes_up_to_2000_bytes() {
    // C-087 (b).
    for (len, is_taken) in [(1500, true), (1900, true), (2000, true), (2008, false)] {
        let inner = ip("10.2.0.8", "10.1.0.5").may_be_cut().udp(len - 20);
        let pieces = in_pieces(&outer(V4).around(&inner), &[1000], 0);
        let mut appliance = t0(V4);
        let left = pass(&mut appliance, U, &pieces);
        if is_taken {
            // What is longer than the port to the host is cut again, inside.
            let bytes: usize = left.iter().map(|packet| packet.len() - 20).sum();
            assert_eq!(bytes, inner.len() - 20, "{len}");
            assert_eq!(appliance.total(Counter::ReasmOk), 1);
        } else {
            assert!(left.is_empty());
            assert_eq!(appliance.moved(), [("reasm.oversize", 2)], "{len}");
        }
    }
}

#[test]
fn a_jumbo_port_lets_whole_packets_be_a_hundred_bytes_longer() {
    let mut plan = Blueprint::with_t0(V4.0, V4.1);
    plan.ports[0].mtu = 3700;
    let inner = ip("10.2.0.8", "10.1.0.5").may_be_cut().udp(3780);
    let pieces = in_pieces(&outer(V4).around(&inner), &[1496, 2992], 0);
    let mut appliance = plan.start();
    assert_eq!(pass(&mut appliance, U, &pieces).len(), 3);
    assert_eq!(appliance.total(Counter::ReasmOk), 1);
}

#[test]
fn a_packet_with_a_missing_piece_is_given_up_in_silence_when_its_time_is_over() {
    // C-088, and the same for IPv6 with its own time.
    for (ends, seconds) in [(V4, 2), (V6, 60)] {
        let pieces = in_pieces(&outer(ends).around(&inner4()), &[512, 1008], 5);
        let mut appliance = t0(ends);
        assert!(pass(&mut appliance, U, &pieces[..2]).is_empty());
        assert!(after(&mut appliance, seconds * 1000 - 1).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (2, vec![]));
        assert!(after(&mut appliance, 1).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (0, vec![("reasm.timeout", 2)]));
        // The one that comes too late begins a packet of its own.
        assert!(pass(&mut appliance, U, &pieces[2..]).is_empty());
        assert!(after(&mut appliance, seconds * 1000).is_empty());
        assert_eq!(appliance.moved(), [("reasm.timeout", 1)]);
    }
}

#[test]
fn overlapping_pieces_end_a_packet_with_all_that_is_still_to_come() {
    // C-089, RFC 5722; IPv4 alike.
    for ends in [V4, V6] {
        let whole = outer(ends).around(&inner4());
        let (first, other) = (in_pieces(&whole, &[512, 1008], 9), in_pieces(&whole, &[504], 9));
        let mut appliance = t0(ends);
        assert!(pass(&mut appliance, U, &[first[0].clone(), other[1].clone()]).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (0, vec![("reasm.overlap", 2)]));
        assert!(pass(&mut appliance, U, &first).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (0, vec![("reasm.overlap", 3)]));
        // Another packet is not concerned, and neither is the same identification later.
        after(&mut appliance, 60_000);
        assert_eq!(pass(&mut appliance, U, &first).len(), 1);
    }
}

#[test]
fn pieces_that_disagree_about_the_end_end_a_packet() {
    let whole = outer(V4).around(&inner4());
    let [first, second, last] = in_pieces(&whole, &[512, 1008], 9).try_into().unwrap();
    let said_last = as_piece(&second, 64, false);
    for sequence in [
        vec![said_last.clone(), last.clone()],
        vec![last.clone(), said_last.clone()],
        vec![first, last, said_last],
    ] {
        let mut appliance = t0(V4);
        let count = sequence.len() as u64;
        assert!(pass(&mut appliance, U, &sequence).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (0, vec![("reasm.overlap", count)]));
    }
}

#[test]
fn an_exact_duplicate_has_no_effect_and_one_with_other_bytes_ends_the_packet() {
    let pieces = in_pieces(&outer(V6).around(&inner4()), &[512], 9);
    let mut appliance = t0(V6);
    let twice = [pieces[1].clone(), pieces[1].clone(), pieces[0].clone()];
    assert_eq!(pass(&mut appliance, U, &twice).len(), 1);
    assert_eq!(appliance.moved(), [("reasm.ok", 1)]);
    let mut other = pieces[1].clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(pass(&mut appliance, U, &[pieces[1].clone(), other, pieces[0].clone()]).is_empty());
    assert_eq!(appliance.moved(), [("reasm.overlap", 3)]);
}

#[test]
fn pieces_for_no_tunnel_take_no_buffer() {
    // C-090.
    let mut appliance = t0(V4);
    let pieces = in_pieces(&outer(V4).around(&inner4()), &[512], 0);
    assert!(pass(&mut appliance, U, &pieces[..1]).is_empty());
    for identification in 0..10_000_u16 {
        let stranger = Ip { identification, ..ip("203.0.113.66", V4.0) };
        let piece = as_piece(&stranger.may_be_cut().around(&inner4()[..40]), 0, true);
        assert!(pass(&mut appliance, U, &[piece]).is_empty());
    }
    assert_eq!((appliance.held(), appliance.moved()), (1, vec![("reasm.no_tunnel", 10_000)]));
    assert_eq!(pass(&mut appliance, U, &pieces[1..]), [one_hop_on(&inner4())]);
}

#[test]
fn a_tunnel_without_reassembly_takes_no_pieces() {
    let mut plan = Blueprint::with_t0(V4.0, V4.1);
    plan.setup(0).reassembly_seconds = None;
    let mut appliance = plan.start();
    assert!(
        pass(&mut appliance, U, &in_pieces(&outer(V4).around(&inner4()), &[512], 0)).is_empty()
    );
    assert_eq!(appliance.moved(), [("reasm.no_tunnel", 2)]);
}

#[test]
fn a_packet_that_is_whole_in_spite_of_a_fragment_header_waits_for_nothing() {
    // C-091, RFC 6946.
    let mut appliance = t0(V6);
    let whole = outer(V6).around(&inner4());
    let pieces = in_pieces(&whole, &[512], 9);
    let atomic = with_extension(&whole, 44, &[0, 0, 0, 0, 0, 0, 0, 9]);
    let sequence = [pieces[0].clone(), atomic, pieces[1].clone()];
    assert_eq!(pass(&mut appliance, U, &sequence), vec![one_hop_on(&inner4()); 2]);
    assert_eq!(appliance.moved(), [("reasm.ok", 1)]);
    // The same for what this node answers itself.
    let request = ip("2001:db8:1::5", "2001:db8:1::1").echo(&[7; 40]);
    let atomic = with_extension(&request, 44, &[0, 0, 0, 0, 0, 0, 0, 9]);
    let replies = pass(&mut appliance, L, &[request, atomic]);
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0], replies[1]);
}

#[test]
fn a_first_piece_without_the_inner_header_ends_the_packet() {
    let mut tests = vec![(V4, inner4(), 16), (V6, inner6(), 32)];
    tests.push((V4, inner6(), 32));
    for (ends, inner, cut) in tests {
        let pieces = in_pieces(&outer(ends).around(&inner), &[cut], 9);
        let mut appliance = t0(ends);
        assert!(pass(&mut appliance, U, &pieces).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (0, vec![("reasm.tiny", 2)]));
    }
    // A chain of extension headers that goes on in the next piece.
    let options = with_extension(&outer(V6).around(&inner4()), 60, &[0, 3, 1, 28]);
    let options = [&options[..44], &[0; 28], &options[44..]].concat();
    let mut options = options;
    let len = u16::try_from(options.len() - 40).unwrap();
    options[4..6].copy_from_slice(&len.to_be_bytes());
    let mut appliance = t0(V6);
    assert_eq!(pass(&mut appliance, U, &[options.clone()]), [one_hop_on(&inner4())], "it is right");
    assert!(pass(&mut appliance, U, &in_pieces(&options, &[16], 3)).is_empty());
    assert_eq!(appliance.moved(), [("reasm.tiny", 2)]);
    assert_eq!(pass(&mut appliance, U, &in_pieces(&options, &[512], 4)), [one_hop_on(&inner4())]);
}

#[test]
fn ecn_of_the_pieces_is_that_of_the_packet() {
    // RFC 3168 §5.3: what each piece has outside, then what comes out around an inner ECT(0).
    let table: [(&[u8], Option<u8>); 7] = [
        (&[2, 2, 2], Some(2)),
        (&[2, 3, 2], Some(3)),
        (&[1, 3, 2], Some(3)),
        (&[2, 1, 1], Some(2)),
        (&[0, 0, 0], Some(2)),
        (&[0, 3, 0], None),
        (&[2, 0, 2], None),
    ];
    let inner = ip("10.2.0.8", "10.1.0.5").tos(2).udp(1400);
    for (fields, expected) in table {
        let mut appliance = t0(V4);
        let mut pieces = in_pieces(&outer(V4).around(&inner), &[512, 1008], 0);
        for (piece, field) in pieces.iter_mut().zip(fields) {
            piece[1] = *field;
            mend_ipv4(piece);
        }
        let left = pass(&mut appliance, U, &pieces);
        assert_eq!(left.first().map(|packet| packet[1] & 3), expected, "{fields:?}");
        let name = if expected.is_some() { ("reasm.ok", 1) } else { ("reasm.ecn_mix", 3) };
        assert_eq!(appliance.moved(), [name]);
    }
}

#[test]
fn a_piece_from_far_away_does_not_pass_for_one_of_a_neighbor() {
    let mut plan = Blueprint::with_t0(V4.0, V4.1);
    plan.setup(0).min_outer_ttl = 255;
    let mut appliance = plan.start();
    let near = outer(V4).ttl(255).around(&inner4());
    let mut pieces = in_pieces(&near, &[512], 0);
    assert_eq!(pass(&mut appliance, U, &pieces).len(), 1);
    appliance.moved();
    pieces[1][8] = 254;
    mend_ipv4(&mut pieces[1]);
    for _ in 0..2 {
        assert!(pass(&mut appliance, U, &pieces).is_empty());
        assert_eq!(appliance.moved(), [("reasm.ok", 1), ("tun.outer_ttl", 1)]);
        pieces.reverse();
    }
}

#[test]
fn pieces_by_two_ports_are_no_packet_of_a_tunnel_that_is_bound_to_one() {
    for (link, leaves) in [(None, 1), (Some(U), 0)] {
        let mut plan = Blueprint::with_t0(V4.0, V4.1);
        let other = plan.tunnel(V4.0, "203.0.113.3");
        plan.route("10.9.0.0/16", NextHop::Tunnel(other));
        plan.tunnels[0].1 = link;
        let mut appliance = plan.start();
        let pieces = in_pieces(&outer(V4).around(&inner4()), &[512], 0);
        let mut left = pass(&mut appliance, U, &pieces[..1]);
        left.extend(pass(&mut appliance, L, &pieces[1..]));
        assert_eq!(left.len(), leaves, "{:?}", appliance.moved());
    }
}

#[test]
fn pieces_by_two_ports_belong_to_the_tunnel_that_is_bound_to_none() {
    let mut plan = Blueprint::with_t0(V4.0, V4.1);
    plan.tunnel(V4.0, V4.1);
    (plan.tunnels[0].1, plan.setup(0).up) = (Some(U), false);
    let mut appliance = plan.start();
    let pieces = in_pieces(&outer(V4).around(&inner4()), &[512], 0);
    assert!(pass(&mut appliance, U, &pieces).is_empty());
    assert_eq!(appliance.moved(), [("if.rx_down", 1), ("reasm.ok", 1)]);
    assert!(pass(&mut appliance, U, &pieces[..1]).is_empty());
    assert_eq!(pass(&mut appliance, L, &pieces[1..]).len(), 1, "{:?}", appliance.moved());
}

#[test]
fn echo_requests_in_pieces_are_answered_and_their_sender_hears_of_missing_ones() {
    for (source, own, protocol, time) in
        [("10.1.0.5", "10.1.0.1", 1, 2000), ("2001:db8:1::5", "2001:db8:1::1", 58, 60_000)]
    {
        let request = ip(source, own).may_be_cut().echo(&[9; 1600]);
        let pieces = in_pieces(&request, &[1008], 3);
        let mut appliance = t0(V4);
        let reply = pass(&mut appliance, L, &[pieces[1].clone(), pieces[0].clone()]);
        assert_eq!(reply.len(), 2, "the reply is cut: {:?}", appliance.moved());
        assert!(appliance.moved().contains(&("reasm.ok", 1)));
        // RFC 792, RFC 4443 §3.3: only with the first piece, which is quoted.
        for (piece, errors) in [(0, 1), (1, 0)] {
            assert!(pass(&mut appliance, L, &pieces[piece..=piece]).is_empty());
            let told = after(&mut appliance, time);
            assert_eq!(told.len(), errors);
            let mut expected = vec![("reasm.timeout", 1)];
            expected.splice(0..0, (errors == 1).then_some(("icmp.tx", 1)));
            assert_eq!(appliance.moved(), expected);
            if let [error] = &told[..] {
                let at = if protocol == 1 { 20 } else { 40 };
                assert_eq!(error[at..at + 2], if protocol == 1 { [11, 1] } else { [3, 1] });
                assert_eq!(error[at + 8..at + 48], pieces[0][..40]);
            }
        }
    }
}

#[test]
fn a_long_echo_reply_through_a_tunnel_is_cut_inside() {
    for (source, own) in [("10.2.0.8", "192.168.50.1"), ("2001:db8:2::8", "2001:db8:50::1")] {
        let request = ip(source, own).may_be_cut().echo(&[9; 1600]);
        let mut appliance = t0(V4);
        let pieces = in_pieces(&request, &[1008], 3).into_iter();
        let outside: Vec<_> = pieces.map(|piece| outer(V4).around(&piece)).collect();
        let reply = pass(&mut appliance, U, &outside);
        assert_eq!(reply.len(), 2, "{:?}", appliance.moved());
        assert!(reply.iter().all(|packet| packet.len() <= 1500));
        let moved = appliance.moved();
        assert!(moved.contains(&("reasm.ok", 1)) && moved.contains(&("if.tx_inner_frag", 1)));
    }
}

#[test]
fn pieces_out_of_a_tunnel_have_no_business_with_others() {
    let request = ip("10.2.0.8", "192.168.50.1").may_be_cut().echo(&[9; 600]);
    let pieces = in_pieces(&request, &[512], 3);
    let mut appliance = t0(V4);
    assert!(pass(&mut appliance, U, &pieces[..1]).is_empty());
    let inside = outer(V4).around(&pieces[1]);
    assert!(pass(&mut appliance, U, &[inside]).is_empty());
    assert_eq!((appliance.held(), appliance.moved()), (2, vec![]));
    let inside = outer(V4).around(&pieces[0]);
    assert_eq!(pass(&mut appliance, U, &[inside]).len(), 1);
    assert_eq!((appliance.held(), appliance.moved()), (1, vec![("reasm.ok", 1)]));
}

#[test]
fn a_tunnel_inside_a_tunnel_may_be_in_pieces_where_it_may_be_at_all() {
    for (decap_depth, left, moved) in
        [(2, 1, vec![("reasm.ok", 1)]), (1, 0, vec![("if.rx_nested_limit", 2)])]
    {
        let mut plan = Blueprint::with_t0(V4.0, V4.1);
        plan.tunnel(V4.0, "10.2.9.9");
        plan.limits.decap_depth = decap_depth;
        let mut appliance = plan.start();
        let nested = ip("10.2.9.9", V4.0).may_be_cut().around(&ip("10.6.0.8", "10.1.0.5").udp(900));
        let pieces = in_pieces(&nested, &[512], 0).into_iter();
        let outside: Vec<_> = pieces.map(|piece| outer(V4).around(&piece)).collect();
        assert_eq!(pass(&mut appliance, U, &outside).len(), left);
        assert_eq!(appliance.moved(), moved);
    }
}

#[test]
fn neighbor_discovery_with_a_fragment_header_is_ignored() {
    // RFC 6980 §5.
    let own: core::net::Ipv6Addr = "2001:db8:100::1".parse().unwrap();
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &own.octets(), &[0; 16]].concat();
    let solicitation = ip("2001:db8:100::fe", "2001:db8:100::1").ttl(255).carrying(58, &message);
    let mut appliance = t0(V4);
    assert!(pass(&mut appliance, U, &in_pieces(&solicitation, &[24], 5)).is_empty());
    assert_eq!(appliance.moved(), [("nd.bad", 1), ("reasm.ok", 1)]);
    let atomic = with_extension(&solicitation, 44, &[0, 0, 0, 0, 0, 0, 0, 9]);
    assert!(pass(&mut appliance, U, &[atomic]).is_empty());
    assert_eq!(appliance.moved(), [("nd.bad", 1)]);
    assert!(appliance.take_punts().is_empty());
}

#[test]
fn an_inner_packet_is_judged_by_itself_even_if_the_outer_one_was_in_pieces() {
    let own: core::net::Ipv6Addr = "2001:db8:50::1".parse().unwrap();
    let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &own.octets()].concat();
    let solicitation = icmp6(ip("fe80::2", "ff02::1:ff00:1").ttl(255), &message);
    let whole = outer(V4).around(&solicitation);
    let (mut once, mut cut) = (t0(V4), t0(V4));
    let expected = pass(&mut once, U, std::slice::from_ref(&whole));
    assert_eq!(expected.len(), 1, "{:?}", once.moved());
    assert_eq!(pass(&mut cut, U, &in_pieces(&whole, &[48], 0)), expected);
}

#[test]
fn odd_lengths_and_too_long_packets_are_told_where_the_rfc_says_so() {
    // RFC 8200 §4.5: parameter problem, code 0, at the payload length or the offset.
    let whole = outer(V6).around(&inner4());
    let odd = with_extension(&whole[..40 + 57], 44, &[0, 0, 0, 1, 0, 0, 0, 9]);
    let beyond = with_extension(&whole, 44, &[0, 0, 0xff, 0xf8, 0, 0, 0, 9]);
    for (piece, pointer, name) in [(odd, 4, "ip6.bad_exthdr"), (beyond, 42, "reasm.oversize")] {
        let mut appliance = t0(V6);
        let left = pass(&mut appliance, U, &[piece]);
        let is_first = name == "ip6.bad_exthdr";
        if is_first {
            assert_eq!(left[0][40..42], [4, 0]);
            assert_eq!(left[0][44..48], [0, 0, 0, pointer]);
            assert_eq!(appliance.moved(), [("icmp.tx", 1), (name, 1)]);
        } else {
            // About a later piece nobody is told (RFC 1812, RFC 4443 §2.4).
            assert_eq!(appliance.moved(), [("icmp.suppressed", 1), (name, 1)]);
        }
    }
    let odd = as_piece(&outer(V4).around(&inner4())[..77], 0, true);
    let mut odd = odd;
    odd[2..4].copy_from_slice(&77_u16.to_be_bytes());
    mend_ipv4(&mut odd);
    let beyond = as_piece(&outer(V4).around(&inner4()), 0x1fff, false);
    for (piece, name) in [(odd, "ip4.bad_header"), (beyond, "reasm.oversize")] {
        let mut appliance = t0(V4);
        assert!(pass(&mut appliance, U, &[piece]).is_empty());
        assert_eq!(appliance.moved(), [(name, 1)]);
    }
}
