//! One case of the packet path for an instruction counter: `instructions NUMBER` takes 10 240
//! packets through a warm worker inside [`measured_polls`], which is what callgrind is told to
//! count. Without a number it prints the cases and how many packets each is.
//!
//! `scripts/bench instructions` runs it.

use core::hint::black_box;

use adit_dataplane::clock::Nanos;
use adit_dataplane::worker::Worker;
use benches::attack::{Attack, Half};
use benches::case::{BURST, Case};
use benches::treadmill::{Alone, Treadmill};

/// Every sixteenth round looks at the rings, so that a multiple of 16 is the same at any start.
const POLLS: u32 = 320;

/// After so many packets of an attack, its pieces fill what they may.
const WARMUP_PACKETS: u32 = 10_240;

/// A function of its own, so that its name is one.
#[inline(never)]
fn measured_polls(worker: &mut Worker<Treadmill>) {
    for _ in 0..POLLS {
        black_box(worker.poll(Nanos(1)));
    }
}

/// The device that is in every other figure, alone.
#[inline(never)]
fn measured_polls_of_device(device: &mut Alone) {
    for _ in 0..POLLS {
        device.turn();
    }
}

fn measure(case: Case) {
    let mut worker = case.worker();
    // Each tunnel has seen a packet afterwards.
    for _ in 0..POLLS {
        worker.poll(Nanos(1));
    }
    measured_polls(&mut worker);
    let sent = worker.device_mut().sent();
    let expected = 2 * u64::from(POLLS) * u64::from(BURST) * case.sent_for_each();
    assert_eq!(sent, expected, "{}: packets were lost", case.name());
}

/// Half of the packets are a flood, and no more than half are sent.
fn measure_attack(attack: Attack) {
    let mut worker = attack.worker([Half::Tunnel, Half::Flood]);
    let polls = 2 * WARMUP_PACKETS / u32::from(BURST);
    for _ in 0..polls {
        worker.poll(Nanos(1));
    }
    let before = worker.device_mut().sent();
    measured_polls(&mut worker);
    let sent = worker.device_mut().sent() - before;
    let half = u64::from(POLLS) * u64::from(BURST) / 2;
    assert!(sent.abs_diff(half) < half / 20, "{}: {sent} of {half} were sent", attack.name());
}

fn main() {
    let (cases, attacks) = (Case::usual(), Attack::all());
    match std::env::args().nth(1).and_then(|word| word.parse::<usize>().ok()) {
        Some(0) => measured_polls_of_device(&mut cases[0].device_alone()),
        Some(number) => match cases.get(number - 1) {
            Some(&case) => measure(case),
            None => measure_attack(attacks[number - 1 - cases.len()]),
        },
        None => {
            println!("{} packets", POLLS * u32::from(BURST));
            println!("the device alone");
            for case in cases {
                println!("{} {}", case.name(), case.tunnels);
            }
            for attack in attacks {
                println!("half {}", attack.name());
            }
        }
    }
}
