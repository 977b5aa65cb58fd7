//! Clocks per packet of the whole packet path, worker included, over a device that costs next to
//! nothing: 62-byte frames (before encapsulation) in bursts of 32, plain forward, and encap and
//! decap of all four pairs of families, each with 1 and with 1000 tunnels. The device's own cost
//! is measured alone and shown beside.
//!
//! `cargo bench -p benches --no-default-features --bench packet_path`; `-- decap` for the cases
//! with that word in their name.

use adit_dataplane::clock::{Nanos, cycles};
use adit_dataplane::device::Device;
use adit_dataplane::packet::Burst;
use benches::case::{BURST, Case};
use benches::treadmill::Treadmill;

const SAMPLES: usize = 15;
const POLLS_PER_SAMPLE: u64 = 10_000;

/// What a case cost: the median and the range of its samples, in clocks per packet.
struct Cost {
    median: f64,
    least: f64,
    most: f64,
}

#[expect(clippy::cast_precision_loss, reason = "clocks of a second are exact in 53 bits")]
fn per_packet(clocks: u64, packets: u64) -> f64 {
    clocks as f64 / packets as f64
}

/// Times `round`, which takes one burst through, for all samples.
fn measure(mut round: impl FnMut()) -> Cost {
    let mut samples = Vec::new();
    for sample in 0..=SAMPLES {
        let start = cycles();
        for _ in 0..POLLS_PER_SAMPLE {
            round();
        }
        let packets = POLLS_PER_SAMPLE * u64::from(BURST);
        // The first one warms the caches.
        if sample > 0 {
            samples.push(per_packet(cycles() - start, packets));
        }
    }
    samples.sort_by(f64::total_cmp);
    Cost { median: samples[SAMPLES / 2], least: samples[0], most: samples[SAMPLES - 1] }
}

fn device_alone(case: Case) -> Cost {
    let mut device = Treadmill::new(case.port(), case.frames());
    let mut burst = Burst::new();
    measure(|| {
        device.receive(case.port(), &mut burst, usize::from(BURST));
        device.send(case.port(), &mut burst);
    })
}

fn run(case: Case) {
    let name = case.name();
    let device = device_alone(case);
    let mut worker = case.worker();
    let cost = measure(|| {
        worker.poll(Nanos(1));
    });
    let sent = worker.device_mut().sent();
    let polls = worker.shared().counters.work.polls.get();
    assert_eq!(sent, polls * u64::from(BURST), "{name}: packets were lost");
    println!(
        "{name:<18} {:>7} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
        case.tunnels, cost.median, cost.least, cost.most, device.median,
    );
}

fn main() {
    println!(
        "Clocks per packet: median, least and most of {SAMPLES} samples; and the device alone"
    );
    println!(
        "{:<18} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "", "tunnels", "median", "least", "most", "device"
    );
    let words: Vec<String> = std::env::args().skip(1).filter(|w| !w.starts_with('-')).collect();
    let is_wanted = |case: &Case| words.iter().all(|word| case.name().contains(word));
    Case::usual().into_iter().filter(is_wanted).for_each(run);
}
