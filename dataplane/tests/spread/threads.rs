//! Real threads: one receives, others help, and who helps changes all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::appliance::U;
use crate::crew::{Crew, NOW, Part, Recorder, assert_order, settle, tunnel_frame};
use adit_dataplane::worker::Worker;
use adit_dataplane::worker::spread::Team;

const FLOWS: u32 = 300;
const ROUNDS: u64 = 400;
/// On a machine with other work to do, helpers get their turn late.
const ROUNDS_MAX: u64 = 20_000;
const MOVES: u64 = 50;

/// The frames of round `number`: of every flow a whole packet, and of every third one in pieces.
fn round(number: u64) -> impl Iterator<Item = Vec<u8>> {
    (0..FLOWS).flat_map(move |flow| {
        let is_cut = (u64::from(flow) + number).is_multiple_of(3);
        let parts: &[Part] = if is_cut { &[Part::First, Part::Later] } else { &[Part::Whole] };
        let numbers = number * 2..;
        numbers.zip(parts).map(move |(number, &part)| tunnel_frame(flow, number, part))
    })
}

/// Receives as fast as buffers come back, until enough buckets have moved.
fn receive(mut worker: Worker<Recorder>, team: &Team, is_done: &AtomicBool) -> Recorder {
    let has_moved = || team.tally(0).unwrap().moves.get() > MOVES;
    for number in (0..ROUNDS_MAX).take_while(|&number| number < ROUNDS || !has_moved()) {
        for frame in round(number) {
            while !worker.device_mut().memory.inject(U, &frame) {
                worker.poll(NOW);
            }
        }
        worker.poll(NOW);
    }
    while worker.poll(NOW) > 0 {}
    is_done.store(true, Ordering::Release);
    worker.into_device(NOW)
}

fn help(mut worker: Worker<Recorder>, is_done: &AtomicBool) -> Recorder {
    while !is_done.load(Ordering::Acquire) {
        if worker.poll(NOW) == 0 {
            thread::yield_now();
        }
    }
    worker.into_device(NOW)
}

fn run(workers: u16) {
    let Crew { team, workers, shared } = Crew::new(workers);
    let is_done = Arc::new(AtomicBool::new(false));
    let threads = workers.into_iter().enumerate().map(|(number, worker)| {
        let (team, is_done) = (Arc::clone(&team), Arc::clone(&is_done));
        thread::spawn(move || match number {
            0 => receive(worker, &team, &is_done),
            _ => help(worker, &is_done),
        })
    });
    let threads: Vec<_> = threads.collect();
    for helpers in [0b1, 0b11, 0, 0b10].into_iter().cycle() {
        if is_done.load(Ordering::Acquire) {
            break;
        }
        team.set_helpers(0, helpers);
        thread::sleep(Duration::from_millis(3));
    }
    let devices = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let departures = settle(devices, &shared);
    assert_order(&departures);
    let tally = team.tally(0).unwrap();
    assert!(tally.handed_out.get() > 1000, "{tally:?}");
    assert!(tally.moves.get() > MOVES, "{tally:?}");
}

#[test]
fn two_workers_keep_every_flow_in_order_while_buckets_move() {
    run(2);
}

#[test]
fn three_workers_keep_every_flow_in_order_while_buckets_move() {
    run(3);
}
