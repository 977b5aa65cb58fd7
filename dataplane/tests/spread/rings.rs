//! What happens in the rings, step by step: every worker is polled by the test.

use std::sync::atomic::Ordering;

use adit_dataplane::counters::Counter;
use adit_dataplane::worker::spread::{BUCKETS, LANE_PARCELS};

use crate::appliance::{G_MAC, U_MAC};
use crate::crew::{Crew, LOCAL, Part, REMOTE, assert_order, tunnel_frame};
use crate::frames::{frame, in_pieces, ip};

const FLOWS: u32 = 256;

/// Numbers `from` to `to` of every flow, in turn.
fn rounds(from: u64, to: u64) -> impl Iterator<Item = Vec<u8>> {
    (from..to)
        .flat_map(|number| (0..FLOWS).map(move |flow| tunnel_frame(flow, number, Part::Whole)))
}

#[test]
fn a_tunnel_on_one_queue_is_shared_by_inner_flow() {
    let mut crew = Crew::new(3);
    crew.team.set_helpers(0, 0b11);
    crew.poll(0);
    // Fewer bursts than it takes to think of moving a bucket.
    crew.receive(rounds(0, 3));
    crew.poll(1);
    crew.poll(2);
    let mut owners = vec![None; FLOWS as usize];
    for worker in 0..3 {
        let left = crew.left_by(worker);
        assert!(left.len() > 3 * FLOWS as usize / 5, "worker {worker} sent {}", left.len());
        for (flow, _) in left {
            let owner = owners[flow as usize].get_or_insert(worker);
            assert_eq!(*owner, worker, "a flow stays with one worker");
        }
    }
    let tally = crew.team.tally(0).unwrap();
    let taken: u64 = [1, 2].map(|n| crew.team.tally(n).unwrap().taken_in.get()).iter().sum();
    assert_eq!(tally.handed_out.get(), taken);
    assert!((1..=LANE_PARCELS as u64).contains(&tally.depth_max.get()));
    assert_eq!(tally.buckets_away.load(Ordering::Relaxed), 2 * (BUCKETS - BUCKETS.div_ceil(3)));
    assert_order(&crew.end([0, 1, 2]));
}

#[test]
fn nobody_hands_anything_over_unless_told() {
    let mut crew = Crew::new(2);
    crew.receive(rounds(0, 4));
    assert_eq!(crew.left_by(0).len(), 4 * FLOWS as usize);
    assert_eq!(crew.team.tally(0).unwrap().handed_out.get(), 0);
    crew.end([0, 1]);
}

#[test]
fn what_is_for_this_node_stays_with_the_worker_that_received_it() {
    let mut crew = Crew::new(2);
    crew.team.set_helpers(0, 1);
    let inner = ip("10.2.0.8", "10.1.0.5").udp(1200);
    let pieces = in_pieces(&ip(REMOTE, LOCAL).may_be_cut().around(&inner), &[512], 0);
    let echo = ip("198.51.100.254", LOCAL).echo(b"ping, with a tail for the log");
    let to_us = [&pieces[0], &pieces[1], &echo].map(|packet| frame(U_MAC, G_MAC, packet));
    crew.receive(to_us.into_iter().cycle().take(60));
    assert_eq!(crew.team.tally(0).unwrap().handed_out.get(), 0);
    let balance = &crew.shared[0].counters.balance;
    assert_eq!((balance.handed_over.get(), balance.handed_back.get()), (40, 40), "they waited");
    assert_eq!(crew.shared[0].counters.global(Counter::ReasmOk).get(), 20);
    assert_eq!(crew.left_by(0).len(), 40, "echo replies, and packets out of the tunnel");
}

#[test]
fn a_full_ring_is_a_counted_drop_and_nobody_waits() {
    let mut crew = Crew::new(2);
    crew.team.set_helpers(0, 1);
    crew.receive(rounds(0, 20));
    // The helper has not done anything yet. More than the ring holds does not come to it.
    let mut number = 20;
    while crew.shared[0].counters.global(Counter::RingFull).get() == 0 {
        crew.receive(rounds(number, number + 1));
        number += 1;
        assert!(number < 200, "the ring never fills");
    }
    let own = crew.left_by(0).len();
    crew.receive(rounds(number, number + 1));
    assert!(crew.left_by(0).len() > own, "the receiving worker goes on");
    assert_eq!(crew.left_by(1), []);
    let refused = crew.team.tally(0).unwrap().refused.get();
    assert_eq!(refused, crew.shared[0].counters.global(Counter::RingFull).get());
    crew.poll(1);
    crew.receive(rounds(number + 1, number + 2));
    crew.poll(1);
    assert_order(&crew.end([0, 1]));
}

#[test]
fn a_bucket_comes_home_only_after_its_helper_has_seen_everything_through() {
    let mut crew = Crew::new(2);
    crew.team.set_helpers(0, 1);
    crew.poll(0);
    crew.receive(rounds(0, 1));
    let own: Vec<u32> = crew.left_by(0).iter().map(|&(flow, _)| flow).collect();
    crew.team.set_helpers(0, 0);
    crew.receive(rounds(1, 2));
    // One bucket is held, the others still go to the helper; none of its flows leaves here.
    for (flow, _) in crew.left_by(0) {
        assert!(own.contains(&flow), "flow {flow} has overtaken itself");
    }
    let away = |crew: &Crew| crew.team.tally(0).unwrap().buckets_away.load(Ordering::Relaxed);
    assert_eq!(away(&crew), BUCKETS);
    crew.poll(1);
    crew.poll(0);
    assert!(away(&crew) < BUCKETS);
    for number in 2..2 + 2 * BUCKETS as u64 {
        crew.receive(rounds(number, number + 1));
        crew.poll(1);
    }
    assert_eq!(away(&crew), 0, "all are home");
    let handed = crew.team.tally(0).unwrap().handed_out.get();
    crew.receive(rounds(1000, 1001));
    assert_eq!(crew.team.tally(0).unwrap().handed_out.get(), handed);
    let departures = crew.end([0, 1]);
    assert_order(&departures);
}

#[test]
fn a_move_is_given_up_in_order_when_too_much_comes_meanwhile() {
    let mut crew = Crew::new(2);
    crew.team.set_helpers(0, 1);
    crew.receive(rounds(0, 1));
    crew.team.set_helpers(0, 0);
    // All flows in turn, until one held bucket is more than a burst.
    let mut number = 1;
    while crew.team.tally(0).unwrap().moves_given_up.get() == 0 {
        crew.receive(rounds(number, number + 1));
        number += 1;
        assert!(number < 2000, "the move is never given up");
        if number % 16 == 0 {
            // A helper that is slow, but alive: the ring does not stay full.
            crew.workers[1].poll(crate::crew::NOW);
        }
    }
    crew.poll(1);
    assert_order(&crew.end([1, 0]));
}

#[test]
fn what_is_in_rings_at_the_end_is_sent_by_whoever_leaves_last() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut crew = Crew::new(3);
        crew.team.set_helpers(0, 0b11);
        crew.receive(rounds(0, 4));
        let departures = crew.end(order);
        assert_eq!(departures.len(), 4 * FLOWS as usize);
        assert_order(&departures);
    }
}

#[test]
fn packets_held_for_a_move_are_sent_at_the_end() {
    let mut crew = Crew::new(2);
    crew.team.set_helpers(0, 1);
    crew.receive(rounds(0, 2));
    crew.team.set_helpers(0, 0);
    crew.receive(rounds(2, 4));
    assert_eq!(crew.end([0, 1]).len(), 4 * FLOWS as usize);
}
