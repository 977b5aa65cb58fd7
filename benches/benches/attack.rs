//! How much of a tunnel's traffic gets through while half of all packets are a flood: packets a second of the tunnel
//! beside those in a run in which the other half is the tunnel's, too. One worker over memory that is never idle, 82- or
//! 102-byte frames in bursts of 32, time going on at 10 million packets a second.
//!
//! Packets of two kinds in no order cost more than the two alone, whatever they are: nobody can foretell which comes
//! next, and a burst ends more loops. So there is a control, in which all packets are useful and all are sent: half
//! are the tunnel's, half plain ones of the same length, forwarded out of the same port without a tunnel. The columns,
//! each a median over samples in which the four runs took turns:
//!
//! - `peaceful`, `attacked`, `plain`, `mixed`: clocks per packet where all are the tunnel's, half are the flood, all
//!   are plain, half are plain.
//! - `share`: peaceful / attacked, the part of its packets a second that the tunnel keeps; with both outer deciles.
//! - `mixing`: mixed less the mean of peaceful and plain, the clocks that are neither kind's own.
//! - `control`: peaceful / (peaceful + mixing), the part that the tunnel would keep beside useful packets of another
//!   kind that cost what its own do. peaceful / mixed would say above all that plain packets are cheaper.
//! - `fair`: share / control. From 100 % on a packet of the flood takes no more than such a useful one.
//!
//! `fair` rests on mixing that costs beside a flood what it costs beside plain packets. If a flood's costs more,
//! because a burst is divided or the flood is of several kinds itself, that counts against the flood; if it costs
//! less, because nothing of it is looked up or sent, `fair` is too kind. mixed / attacked supposes nothing, and holds
//! a flood to plain packets.
//!
//! `cargo bench -p benches --no-default-features --bench attack`; `-- pieces v4` for the floods with those words in
//! their name.

use std::hint::black_box;

use adit_dataplane::clock::{Nanos, cycles};
use adit_dataplane::worker::Worker;
use benches::attack::{Attack, Half};
use benches::case::BURST;
use benches::treadmill::Treadmill;

const SAMPLES: usize = 31;
const WARMUP_SAMPLES: usize = 24;
const ROUNDS_PER_SAMPLE: u32 = 4_000;
/// Between bursts, in nanoseconds.
const BURST_TIME: u64 = 100 * BURST as u64;

/// Clocks per packet of runs that took turns.
#[derive(Clone, Copy)]
struct Sample {
    peaceful: f64,
    attacked: f64,
    plain: f64,
    mixed: f64,
}

impl Sample {
    fn share(self) -> f64 {
        self.peaceful / self.attacked
    }

    fn mixing(self) -> f64 {
        self.mixed - f64::midpoint(self.peaceful, self.plain)
    }

    fn control(self) -> f64 {
        self.peaceful / (self.peaceful + self.mixing())
    }

    fn fair(self) -> f64 {
        self.share() / self.control()
    }
}

struct Runner {
    worker: Worker<Treadmill>,
    now: u64,
    sent_before: u64,
}

impl Runner {
    fn new(attack: Attack, halves: [Half; 2]) -> Self {
        let mut runner = Self { worker: attack.worker(halves), now: 1, sent_before: 0 };
        // What is kept of past packets is as full as it gets, and who sends pieces in vain as deep in debt: the same pieces
        // come again and again here, and some of them wait.
        for _ in 0..WARMUP_SAMPLES {
            runner.sample();
        }
        runner.sent_before = runner.sent();
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

    /// Frames since it was warm.
    fn sent(&mut self) -> u64 {
        self.worker.device_mut().sent() - self.sent_before
    }
}

/// The values of `quantity` in order: the first decile, the median and the last one.
fn deciles(samples: &[Sample], quantity: impl Fn(Sample) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = samples.iter().copied().map(quantity).collect();
    values.sort_by(f64::total_cmp);
    [SAMPLES / 10, SAMPLES / 2, SAMPLES - 1 - SAMPLES / 10].map(|at| values[at])
}

fn run(attack: Attack) {
    let runner = |one, other| Runner::new(attack, [one, other]);
    let mut peaceful = runner(Half::Tunnel, Half::Tunnel);
    let mut attacked = runner(Half::Tunnel, Half::Flood);
    let mut plain = runner(Half::Plain, Half::Plain);
    let mut mixed = runner(Half::Tunnel, Half::Plain);
    let in_turn = |_| Sample {
        peaceful: peaceful.sample(),
        attacked: attacked.sample(),
        plain: plain.sample(),
        mixed: mixed.sample(),
    };
    let samples: Vec<Sample> = (0..SAMPLES).map(in_turn).collect();
    let name = attack.name();
    let all = SAMPLES as u64 * u64::from(ROUNDS_PER_SAMPLE) * u64::from(BURST);
    for useful in [&mut peaceful, &mut plain, &mut mixed] {
        assert_eq!(useful.sent(), all, "{name}: useful packets were lost");
    }
    let (sent, half) = (attacked.sent(), all / 2);
    assert!(sent.abs_diff(half) < half / 20, "{name}: {sent} of {half} were sent");
    let median = |quantity: fn(Sample) -> f64| deciles(&samples, quantity)[1];
    let [low, share, high] = deciles(&samples, Sample::share).map(|share| share * 100.0);
    println!(
        "{name:<24} {:>8.1} {:>8.1} {share:>6.1}% {low:>6.1}% {high:>6.1}% \
         {:>6.1} {:>6.1} {:>6.1} {:>7.1}% {:>6.1}%",
        median(|sample| sample.peaceful),
        median(|sample| sample.attacked),
        median(|sample| sample.plain),
        median(|sample| sample.mixed),
        median(Sample::mixing),
        median(Sample::control) * 100.0,
        median(Sample::fair) * 100.0,
    );
}

fn main() {
    println!(
        "Clocks per packet without a flood and with it, {SAMPLES} samples of each in turn, and the part of the"
    );
    println!(
        "tunnel's packets that gets through: the median and the deciles. The control: clocks of plain"
    );
    println!(
        "packets, of half of them, and for mixing; the part that gets through beside useful packets of"
    );
    println!("another kind that cost as much as a tunnel's; the share as a part of that");
    println!(
        "{:<24} {:>8} {:>8} {:>7} {:>7} {:>7} {:>6} {:>6} {:>6} {:>8} {:>7}",
        "",
        "peaceful",
        "attacked",
        "share",
        "10 %",
        "90 %",
        "plain",
        "mixed",
        "mixing",
        "control",
        "fair"
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
