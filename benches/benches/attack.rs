//! How much of a tunnel's traffic gets through while half of all packets are a flood: packets a second of the tunnel
//! beside those in a run in which the other half is the tunnel's, too. One worker over memory that is never idle, 82- or
//! 102-byte frames in bursts of 32, time going on at 10 million packets a second.
//!
//! `cargo bench -p benches --no-default-features --bench attack`; `-- pieces v4` for the floods with those words in
//! their name.

use std::hint::black_box;

use adit_dataplane::clock::{Nanos, cycles};
use adit_dataplane::worker::Worker;
use benches::attack::Attack;
use benches::case::BURST;
use benches::treadmill::Treadmill;

const SAMPLES: usize = 31;
const WARMUP_SAMPLES: usize = 24;
const ROUNDS_PER_SAMPLE: u32 = 4_000;
/// Between bursts, in nanoseconds.
const BURST_TIME: u64 = 100 * BURST as u64;

struct Runner {
    worker: Worker<Treadmill>,
    now: u64,
}

impl Runner {
    fn new(worker: Worker<Treadmill>) -> Self {
        let mut runner = Self { worker, now: 1 };
        // What is kept of past packets is as full as it gets, and who sends pieces in vain as deep in debt: the same pieces
        // come again and again here, and some of them wait.
        for _ in 0..WARMUP_SAMPLES {
            runner.sample();
        }
        runner
    }

    /// Clocks per packet.
    fn sample(&mut self) -> f64 {
        let start = cycles();
        for _ in 0..ROUNDS_PER_SAMPLE {
            black_box(self.worker.poll(Nanos(self.now)));
            self.now += BURST_TIME;
        }
        let packets = f64::from(ROUNDS_PER_SAMPLE) * f64::from(BURST);
        #[expect(clippy::cast_precision_loss, reason = "clocks of a second are exact in 53 bits")]
        let clocks = (cycles() - start) as f64;
        clocks / packets
    }

    fn sent(&mut self) -> u64 {
        self.worker.device_mut().sent()
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run(attack: Attack) {
    let mut peaceful = Runner::new(attack.peaceful_worker());
    let mut attacked = Runner::new(attack.worker());
    let before = attacked.sent();
    let samples: Vec<[f64; 2]> =
        (0..SAMPLES).map(|_| [peaceful.sample(), attacked.sample()]).collect();
    let sent = attacked.sent() - before;
    let half = SAMPLES as u64 * u64::from(ROUNDS_PER_SAMPLE) * u64::from(BURST) / 2;
    assert!(sent.abs_diff(half) < half / 20, "{}: {sent} of {half} were sent", attack.name());
    let mut shares: Vec<f64> = samples.iter().map(|[peace, war]| peace / war).collect();
    let [peace, war] =
        [0, 1].map(|at| median(&mut samples.iter().map(|s| s[at]).collect::<Vec<_>>()));
    let share = median(&mut shares);
    println!(
        "{:<24} {peace:>9.1} {war:>9.1} {:>8.1}% {:>7.1}% {:>7.1}%",
        attack.name(),
        share * 100.0,
        shares[SAMPLES / 10] * 100.0,
        shares[SAMPLES - 1 - SAMPLES / 10] * 100.0,
    );
}

fn main() {
    println!(
        "Clocks per packet without a flood and with it, {SAMPLES} samples of each in turn, and the part of the"
    );
    println!("tunnel's packets that gets through: the median and the deciles");
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "", "peaceful", "attacked", "share", "10 %", "90 %"
    );
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let is_wanted =
        |attack: &Attack| words.iter().all(|word| attack.name().contains(word.as_str()));
    let wanted: Vec<Attack> = Attack::all().into_iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        eprintln!("no flood has all these words in its name");
        std::process::exit(2);
    }
    wanted.into_iter().for_each(run);
}
