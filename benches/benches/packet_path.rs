//! Clocks per packet of the whole packet path, worker included, over a device that costs next to
//! nothing: 62-byte frames (before encapsulation) in bursts of 32, plain forward, and encap and
//! decap of all four pairs of families, each with 1 and with 1000 tunnels. The device's own cost
//! is measured alone and shown beside.
//!
//! `cargo bench -p benches --no-default-features --bench packet_path`; `-- decap` for the cases
//! with that word in their name.

use adit_dataplane::clock::Nanos;
use benches::case::{BURST, Case};
use benches::measure::{SAMPLES, measure};

fn run(case: Case) {
    let name = case.name();
    let mut device = case.device_alone();
    let device = measure(|| device.turn());
    let mut worker = case.worker();
    let cost = measure(|| {
        worker.poll(Nanos(1));
    });
    let sent = worker.device_mut().sent();
    let polls = worker.shared().counters.work.polls.get();
    assert_eq!(sent, polls * u64::from(BURST) * case.sent_for_each(), "{name}: packets were lost");
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
