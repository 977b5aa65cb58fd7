//! Clocks per packet: the median of samples, and how far they lie apart.

use adit_dataplane::clock::cycles;

use crate::case::BURST;

/// Samples of a figure.
pub const SAMPLES: usize = 15;
const ROUNDS_PER_SAMPLE: u64 = 10_000;

/// What something cost, in clocks per packet.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The middle one of the samples.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

#[expect(clippy::cast_precision_loss, reason = "clocks of a second are exact in 53 bits")]
fn per_packet(clocks: u64, packets: u64) -> f64 {
    clocks as f64 / packets as f64
}

/// Times `round`, which takes one burst through, for all samples.
pub fn measure(mut round: impl FnMut()) -> Cost {
    let mut samples = Vec::new();
    for sample in 0..=SAMPLES {
        let start = cycles();
        for _ in 0..ROUNDS_PER_SAMPLE {
            round();
        }
        let packets = ROUNDS_PER_SAMPLE * u64::from(BURST);
        // The first one warms the caches.
        if sample > 0 {
            samples.push(per_packet(cycles() - start, packets));
        }
    }
    samples.sort_by(f64::total_cmp);
    Cost { median: samples[SAMPLES / 2], least: samples[0], most: samples[SAMPLES - 1] }
}
