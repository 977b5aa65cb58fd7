//! The rim alone, as `dpdk-testpmd --forward-mode=io` does it: what arrives on one device leaves
//! by the other, unseen. Prints the clocks of CPU time that a packet costs.
//!
//! `rim_io SECONDS SAMPLES CORE RX-DEVICE TX-DEVICE`, for example
//! `rim_io 2 7 1 net_pcap0,rx_pcap=in.pcap,infinite_rx=1 net_null0,no-rx=1`
#![expect(clippy::cast_precision_loss, reason = "it prints two digits")]

use std::error::Error;
use std::time::{Duration, Instant};

use adit_dataplane::clock::{CycleScale, cycles};
use adit_dataplane::device::Device;
use adit_dataplane::dpdk::{
    Hugepages, Offloads, PortConfig, Rim, RimConfig, Rss, WorkerPorts, register_thread,
};
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::Burst;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seconds, samples, core, from, to] = words.as_slice() else {
        return Err("rim_io SECONDS SAMPLES CORE RX-DEVICE TX-DEVICE".into());
    };
    let (seconds, samples, core) = (seconds.parse()?, samples.parse::<u32>()?, core.parse()?);
    let (rim, workers) = Rim::start(&config(from, to))?;
    println!("{}, hugepages: {}", Rim::version(), rim.has_hugepages());
    let worker = workers.into_iter().next().ok_or("no worker")?;
    let spin = Duration::from_secs(seconds);
    let results = std::thread::spawn(move || run(worker, core, spin, samples)).join();
    for (packets, nanos, hertz) in results.map_err(|_| "the worker panicked")? {
        let clocks = nanos as f64 / 1e9 * hertz as f64 / packets as f64;
        println!("{packets} packets, {clocks:.2} clocks each");
    }
    Ok(())
}

fn config(from: &str, to: &str) -> RimConfig {
    let port = |(name, device): (&str, &str)| PortConfig {
        takes_all: false,
        name: name.to_owned(),
        device: device.to_owned(),
        mac: None,
        mtu: 1500,
        queues: None,
        offloads: Offloads::Auto,
        rss: Rss::Auto,
    };
    RimConfig {
        hugepages: Hugepages::Auto,
        mbufs: 65536,
        file_prefix: "adit-rim-io".to_owned(),
        control_core: None,
        eal_args: Vec::new(),
        workers: 1,
        ports: [("from", from), ("to", to)].map(port).into(),
    }
}

/// Packets, nanoseconds of CPU time and clocks per second, for each sample.
fn run(mut ports: WorkerPorts, core: usize, spin: Duration, samples: u32) -> Vec<(u64, u64, u64)> {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let _registration = register_thread();
    forward(&mut ports, Duration::from_secs(1));
    (0..samples).map(|_| forward(&mut ports, spin)).collect()
}

fn forward(ports: &mut WorkerPorts, spin: Duration) -> (u64, u64, u64) {
    let (start, cpu, tsc) = (Instant::now(), cpu_nanos(), cycles());
    let mut packets = 0;
    let mut burst = Burst::new();
    while start.elapsed() < spin {
        for _ in 0..1000 {
            ports.receive(PortId(0), &mut burst, 32);
            packets += ports.send(PortId(1), &mut burst) as u64;
            if !burst.is_empty() {
                ports.release(&mut burst);
            }
        }
    }
    let wall = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let hertz = CycleScale::from_measurement(cycles() - tsc, wall).hertz();
    (packets, cpu_nanos() - cpu, hertz)
}

/// CPU time of this thread so far.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}
