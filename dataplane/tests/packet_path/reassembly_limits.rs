//! Limits on what waits to be put together, and what becomes of it when things end or change.

use adit_dataplane::counters::Counter;
use adit_dataplane::reassembly::Limits;
use adit_dataplane::worker::WorkerSettings;

use super::appliance::{Appliance, BUFFERS, Blueprint, U, settings};
use super::frames::{Ip, in_pieces, ip};
use super::reassembly::{V4, after, inner4, outer, pass, t0};

#[test]
fn the_oldest_packets_make_room_within_a_peer_and_over_all() {
    let mut plan = Blueprint::with_t0(V4.0, V4.1);
    for number in 3..9 {
        plan.tunnel(V4.0, &format!("203.0.113.{number}"));
    }
    let reassembly = Limits { pieces: 16, pieces_per_peer: 4 };
    let mut appliance = Appliance::with(plan.build(1), WorkerSettings { reassembly, ..settings() });
    let piece = |peer: u32, number: u16, at: usize| {
        let from = Ip { identification: number, ..ip(&format!("203.0.113.{peer}"), V4.0) };
        in_pieces(&from.may_be_cut().around(&inner4()), &[512], 0)[at].clone()
    };
    // Five of one peer: the first has gone, the others are still there.
    for number in 0..5 {
        assert!(pass(&mut appliance, U, &[piece(2, number, 0)]).is_empty());
    }
    assert_eq!((appliance.held(), appliance.moved()), (4, vec![("reasm.limit", 1)]));
    assert_eq!(pass(&mut appliance, U, &[piece(2, 1, 1)]).len(), 1);
    assert!(pass(&mut appliance, U, &[piece(2, 0, 1)]).is_empty());
    appliance.moved();
    // Other peers fill all there is, and then push out what is oldest.
    for peer in 3..7 {
        for number in 0..4 {
            assert!(pass(&mut appliance, U, &[piece(peer, number, 0)]).is_empty());
        }
    }
    assert_eq!((appliance.held(), appliance.moved()), (16, vec![("reasm.limit", 4)]));
    assert!(pass(&mut appliance, U, &[piece(2, 4, 1)]).is_empty());
    assert_eq!(pass(&mut appliance, U, &[piece(6, 3, 1)]).len(), 1);
    after(&mut appliance, 2000);
    assert_eq!(appliance.held(), 0);
}

#[test]
fn strangers_who_ping_in_pieces_push_out_no_piece_of_a_tunnel() {
    let reassembly = Limits { pieces: 64, pieces_per_peer: 16 };
    let plan = Blueprint::with_t0(V4.0, V4.1);
    let mut appliance = Appliance::with(plan.build(1), WorkerSettings { reassembly, ..settings() });
    let pieces = in_pieces(&outer(V4).around(&inner4()), &[512], 0);
    assert!(pass(&mut appliance, U, &pieces[..1]).is_empty());
    for number in 0..500_u16 {
        let source = format!("203.0.{}.{}", number / 200, number % 200 + 1);
        let request = ip(&source, V4.0).may_be_cut().echo(&[1; 100]);
        assert!(pass(&mut appliance, U, &in_pieces(&request, &[48], 0)[..1]).is_empty());
    }
    let lost = vec![("reasm.limit", 1), ("reasm.refused", 483)];
    assert_eq!((appliance.held(), appliance.moved()), (17, lost));
    assert_eq!(pass(&mut appliance, U, &pieces[1..]).len(), 1);
}

#[test]
fn a_packet_of_more_pieces_than_anybody_needs_is_lost() {
    let inner = ip("10.2.0.8", "10.1.0.5").udp(600);
    let cuts: Vec<usize> = (1..75).map(|n| 40 + n * 8).take_while(|&at| at < 600).collect();
    let mut appliance = t0(V4);
    let reassembly = Limits { pieces: 256, pieces_per_peer: 256 };
    let plan = Blueprint::with_t0(V4.0, V4.1);
    let mut roomy = Appliance::with(plan.build(1), WorkerSettings { reassembly, ..settings() });
    let pieces = in_pieces(&outer(V4).around(&inner), &cuts, 0);
    assert!(pieces.len() > 64, "{}", pieces.len());
    for appliance in [&mut appliance, &mut roomy] {
        assert!(pass(appliance, U, &pieces).is_empty());
        assert!(appliance.total(Counter::ReasmLimit) >= 65);
        after(appliance, 2000);
        assert_eq!(appliance.held(), 0);
    }
}

#[test]
fn at_the_end_every_buffer_is_given_back() {
    let mut appliance = t0(V4);
    let pieces = in_pieces(&outer(V4).around(&inner4()), &[512, 1008], 0);
    assert!(pass(&mut appliance, U, &pieces[..2]).is_empty());
    let shared = std::sync::Arc::clone(&appliance.shared);
    assert_eq!((shared.counters.reassembly.packets(), shared.counters.reassembly.pieces()), (1, 2));
    let device = appliance.worker.into_device(appliance.now);
    assert_eq!(device.pool().free_count(), BUFFERS);
    let balance = &shared.counters.balance;
    assert_eq!(balance.handed_over.get(), balance.handed_back.get());
    assert_eq!((balance.received.get(), balance.dropped.get()), (2, 2));
}

#[test]
fn a_packet_whose_tunnel_went_meanwhile_belongs_to_none() {
    let mut plan = Blueprint::with_t0(V4.0, V4.1);
    let mut appliance = plan.start();
    let pieces = in_pieces(&outer(V4).around(&inner4()), &[512], 0);
    assert!(pass(&mut appliance, U, &pieces[..1]).is_empty());
    plan.setup(0).reassembly_seconds = None;
    appliance.publish(plan.build(2));
    assert!(pass(&mut appliance, U, &pieces[1..]).is_empty());
    assert_eq!(appliance.moved(), [("reasm.no_tunnel", 1)]);
    after(&mut appliance, 2000);
    assert_eq!(appliance.moved(), [("reasm.timeout", 1)]);
}
