//! Two registered, pinned threads forward at full speed over queues of their own, and at rest
//! every buffer is back in the pool.
#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod rim;

use std::thread;

use adit_dataplane::device::Device;
use adit_dataplane::dpdk::{WorkerPorts, register_thread};
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::Burst;

const ROUNDS: usize = 20_000;

#[test]
fn registered_workers_forward_side_by_side_and_lose_no_buffer() {
    let (rim, workers) = rim::start(&["net_null0", "net_null1,no-rx=1"], 2);
    assert_eq!(rim.ports()[0].queue_counts(), (2, 2));
    let idle = rim.pool().in_use_count();
    let threads: Vec<_> = workers
        .into_iter()
        .enumerate()
        .map(|(core, device)| thread::spawn(move || forward(core, device)))
        .collect();
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

    let lcores: Vec<_> = results.iter().map(|result| result.0).collect();
    assert!(lcores[0] != lcores[1] && !lcores.contains(&0), "{lcores:?}");
    let forwarded: u64 = results.iter().map(|result| result.1).sum();
    assert_eq!(forwarded, 2 * 32 * ROUNDS as u64);
    assert_eq!(rim.ports()[1].stats().transmit_packets, forwarded);
    assert_eq!(rim.pool().in_use_count(), idle);
    assert!(rim.close(), "every buffer is back");
}

/// The thread's lcore, and how many packets it forwarded.
fn forward(core: usize, mut device: WorkerPorts) -> (u32, u64) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let registration = register_thread().unwrap();
    let mut burst = Burst::new();
    let mut forwarded = 0;
    for _ in 0..ROUNDS {
        device.receive(PortId(0), &mut burst, 32);
        forwarded += device.send(PortId(1), &mut burst) as u64;
        device.release(&mut burst);
    }
    (registration.lcore(), forwarded)
}
