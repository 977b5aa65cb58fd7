//! Latency that the packet path adds under load: frames are due by the clock at 10, 50 and 90 % of
//! what a worker can do, and each is timed from the moment when it was due to its transmit burst.
//!
//! It is the worker with its queues, in this process: no NIC, no bus, no driver. The queue has no
//! end, so a worker that the system interrupts loses nothing and shows it in the last percentiles.
//! What a worker can do is the rate of full bursts: the largest at which a queue does not grow.
//!
//! `scripts/bench latency` runs it.

use std::time::Instant;

use adit_dataplane::clock::{CycleScale, Nanos, cycles};
use adit_dataplane::worker::Worker;
use benches::case::{BURST, Case, Verb};
use benches::measure::measure;
use benches::paced::Paced;
use benches::packets::{Between, Families};
use benches::treadmill::Treadmill;

const LOADS_PERCENT: [f64; 3] = [10.0, 50.0, 90.0];
const RUNS: usize = 7;
const RUN_SECONDS: f64 = 0.25;
const FRAMES_MAX: usize = 8_000_000;
/// Permille of frames, and how a table says them.
const PERCENTILES: [(usize, &str); 3] = [(500, "p50"), (990, "p99"), (999, "p99.9")];

/// How fast the cycle counter runs.
fn clock() -> CycleScale {
    let (start, start_cycles) = (Instant::now(), cycles());
    std::thread::sleep(std::time::Duration::from_millis(100));
    let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    CycleScale::from_measurement(cycles() - start_cycles, nanos)
}

/// Clocks per packet when bursts are full; the median.
fn capacity(case: Case) -> f64 {
    let mut worker = case.worker();
    let cost = measure(|| {
        worker.poll(Nanos(1));
    });
    cost.median
}

/// The percentiles of one run, in nanoseconds.
fn run(worker: &mut Worker<Paced>, clocks_between: f64, scale: CycleScale) -> [u64; 3] {
    worker.device_mut().restart(clocks_between);
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < RUN_SECONDS {
        // The clock of the system is asked once in a while only.
        for _ in 0..256 {
            worker.poll(Nanos(scale.nanos(cycles())));
        }
    }
    let waits = worker.device_mut().waits();
    assert!(!waits.is_empty(), "no frame came through");
    waits.sort_unstable();
    PERCENTILES.map(|(permille, _)| scale.nanos(waits[(waits.len() - 1) * permille / 1000].into()))
}

fn measure_case(case: Case, scale: CycleScale) {
    let full = capacity(case);
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
    let mpps = scale.hertz() as f64 / full / 1e6;
    println!("{} with {} tunnels: {mpps:.1} million packets a second", case.name(), case.tunnels);
    let frames = Treadmill::new(case.port(), case.frames());
    let mut worker = case.worker_over(Paced::new(frames, full, FRAMES_MAX));
    for load in LOADS_PERCENT {
        let mut runs: Vec<_> =
            (0..=RUNS).map(|_| run(&mut worker, full * 100.0 / load, scale)).collect();
        // The first one warms the caches.
        runs.remove(0);
        print!("  {load:>3} % of that:");
        for (at, (_, name)) in PERCENTILES.iter().enumerate() {
            let mut values: Vec<u64> = runs.iter().map(|run| run[at]).collect();
            values.sort_unstable();
            let (least, most) = (values[0], values[RUNS - 1]);
            print!("   {name} {:>6} ns ({least}–{most})", values[RUNS / 2]);
        }
        println!();
    }
}

fn main() {
    let scale = clock();
    println!("From due to sent, bursts of at most {BURST}: median (least–most) of {RUNS} runs.");
    let v4 = Families::ALL[0].1;
    for (verb, tunnels) in [(Verb::Forward, 0), (Verb::Encap, 1000), (Verb::Decap, 1000)] {
        measure_case(
            Case { verb, families: v4, tunnels, between: Between::Nothing, routes: 0 },
            scale,
        );
    }
}
