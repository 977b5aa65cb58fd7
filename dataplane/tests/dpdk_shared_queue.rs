//! A device with one transmit queue and three workers: one owns the queue, the others hand their
//! packets over, in order, and a full ring is a refusal, never a wait.
#![cfg(feature = "dpdk")]

mod rim;

use adit_dataplane::device::Device;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::Burst;

/// As in the product: what a ring takes.
const HAND_OVER_MAX: usize = 1024;

#[test]
fn workers_without_a_queue_send_through_its_owner_and_are_refused_when_it_is_slow() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.pcap");
    let device = format!("net_pcap0,tx_pcap={}", output.display());
    let (rim, mut workers) = rim::start(&[&device], 3);
    assert_eq!(rim.ports()[0].queue_counts().1, 1);
    let idle = rim.pool().in_use_count();

    // Two workers fill the ring while the owner does nothing.
    let mut taken = 0;
    for round in 0..40_u8 {
        let frames: Vec<_> = (0..32).map(|n| rim::frame(round, 60 + n)).collect();
        taken += rim::send(&mut workers[1 + usize::from(round % 2)], 0, &frames);
    }
    assert_eq!(taken, HAND_OVER_MAX);
    assert_eq!(rim.ports()[0].stats().transmit_packets, 0, "nobody but the owner may send");
    assert_eq!(rim.pool().in_use_count(), idle + HAND_OVER_MAX);

    let mut burst = Burst::new();
    for _ in 0..=HAND_OVER_MAX / 64 {
        workers[0].receive(PortId(0), &mut burst, 32);
    }
    assert_eq!(rim.ports()[0].stats().transmit_packets, HAND_OVER_MAX as u64);
    assert_eq!(rim.pool().in_use_count(), idle);

    // What still waits at the end goes back to the pool.
    assert_eq!(rim::send(&mut workers[2], 0, &[rim::frame(99, 60)]), 1);
    drop(workers);
    assert!(rim.close(), "every buffer is back");
    let written = rim::frames_of(&std::fs::read(&output).unwrap());
    let expected = (0..32_u8).flat_map(|round| (0..32).map(move |n| rim::frame(round, 60 + n)));
    assert!(written.iter().cloned().eq(expected), "{} frames, or another order", written.len());
}
