//! Starting a rim and passing frames, for the tests that need DPDK. One process starts DPDK once,
//! so each file has one test.

#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use adit_dataplane::device::Device;
pub(crate) use adit_dataplane::dpdk::{
    Hugepages, Offloads, PortConfig, Rim, RimConfig, Rss, StartError, WorkerPorts, register_thread,
};
use adit_dataplane::interface::{Interface, PortId};
use adit_dataplane::packet::Burst;

/// Buffers in every test: enough for the receive queues of a few software devices.
pub(crate) const MBUFS: u32 = 4096;

/// With `ADIT_TEST_HUGEPAGES` in the environment the tests run in hugepages (200 MiB are enough for
/// one at a time), otherwise without.
pub(crate) fn config(devices: &[&str], workers: u16) -> RimConfig {
    let in_hugepages = std::env::var_os("ADIT_TEST_HUGEPAGES").is_some();
    let ports = devices.iter().enumerate().map(|(n, device)| PortConfig {
        takes_all: false,
        name: format!("p{n}"),
        device: (*device).to_owned(),
        mac: None,
        mtu: 1500,
        queues: None,
        offloads: Offloads::Auto,
        rss: Rss::Auto,
    });
    RimConfig {
        hugepages: if in_hugepages { Hugepages::Required } else { Hugepages::Off },
        mbufs: MBUFS,
        file_prefix: format!("adit-test-{}", std::process::id()),
        control_core: None,
        eal_args: Vec::new(),
        workers,
        ports: ports.collect(),
    }
}

pub(crate) fn start(devices: &[&str], workers: u16) -> (Rim, Vec<WorkerPorts>) {
    Rim::start(&config(devices, workers)).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn start_error(config: &RimConfig) -> StartError {
    match Rim::start(config) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

/// A broadcast frame of a local experimental type, so that kernels leave it alone.
pub(crate) fn frame(number: u8, len: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([0x02, 0, 0, 0, 0xee, number, 0x88, 0xb5]);
    frame.resize(len.max(14), number);
    frame
}

/// Sends frames on a port and gives back what it did not take.
pub(crate) fn send(device: &mut WorkerPorts, port: u8, frames: &[Vec<u8>]) -> usize {
    let mut burst = Burst::new();
    for frame in frames {
        let mut packet = device.allocate().expect("a buffer");
        packet.rebuild(128, |room| {
            room[..frame.len()].copy_from_slice(frame);
            frame.len()
        });
        burst.push(packet).unwrap();
    }
    let sent = device.send(PortId(port), &mut burst);
    device.release(&mut burst);
    sent
}

/// The frames of our own type that arrive at any worker on a port, until there are `count` or time
/// is up. Those of one worker are in order.
pub(crate) fn receive(workers: &mut [WorkerPorts], port: u8, count: usize) -> Vec<Vec<u8>> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut frames = Vec::new();
    let mut burst = Burst::new();
    while frames.len() < count && Instant::now() < deadline {
        for device in &mut *workers {
            device.receive(PortId(port), &mut burst, 32);
            for packet in burst.packets() {
                assert_eq!(packet.meta.ingress, Interface::port(PortId(port)));
                assert!(packet.headroom() >= 128, "headroom {}", packet.headroom());
                if packet.data().get(12..14) == Some(&[0x88, 0xb5]) {
                    frames.push(packet.data().to_vec());
                }
            }
            device.release(&mut burst);
        }
    }
    frames
}

/// Frames of several sizes, sent by the first worker on `from`, arrive on `to` as they were; in
/// order too, unless several workers receive.
pub(crate) fn assert_passes(workers: &mut [WorkerPorts], from: u8, to: u8) {
    assert_passes_sizes(workers, from, to, &[60, 61, 64, 128, 590, 1499, 1514]);
}

/// The same for frames of these sizes.
pub(crate) fn assert_passes_sizes(workers: &mut [WorkerPorts], from: u8, to: u8, lens: &[usize]) {
    let frames: Vec<_> = (0..).zip(lens).map(|(n, &len)| frame(n, len)).collect();
    drain(workers);
    assert_eq!(send(&mut workers[0], from, &frames), frames.len(), "sending on port {from}");
    let mut received = receive(workers, to, frames.len());
    if workers.len() > 1 {
        received.sort_by_key(|frame| frame[11]);
    }
    assert_eq!(received.len(), frames.len(), "from port {from} to port {to}");
    assert!(received == frames, "frames changed or reordered from port {from} to port {to}");
}

/// Runs the one test of this file again in a network namespace of its own, as root of it.
/// True: this is that run. False: it has run, well.
pub(crate) fn in_own_namespace(test: &str) -> bool {
    const INSIDE: &str = "ADIT_TEST_IN_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let me = std::env::current_exe().unwrap();
    // Root needs no user namespace, and some systems forbid them.
    let rights = ["--user", "--map-root-user"];
    let is_root = Command::new("unshare").args(["--net", "true"]).status().unwrap().success();
    let status = Command::new("unshare")
        .args(if is_root { [].as_slice() } else { &rights })
        .args(["--net", "--"])
        .arg(me)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "inside the namespace: {status}");
    false
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) {
    let status = Command::new("ip").args(words.split_whitespace()).status().unwrap();
    assert!(status.success(), "ip {words}: {status}");
}

/// Registers this thread for the rest of the test.
pub(crate) fn registered<T>(work: impl FnOnce() -> T) -> T {
    let registration = register_thread().unwrap();
    let result = work();
    drop(registration);
    result
}

/// Takes in and releases whatever is still arriving at any worker.
pub(crate) fn drain(workers: &mut [WorkerPorts]) {
    let mut burst = Burst::new();
    let quiet = Duration::from_millis(50);
    let mut last = Instant::now();
    while last.elapsed() < quiet {
        for device in &mut *workers {
            for port in (0..64).map(PortId).take(device.port_count()) {
                if device.receive(port, &mut burst, 32) > 0 {
                    last = Instant::now();
                }
                device.release(&mut burst);
            }
        }
    }
}

/// Waits until the links of all ports are up. A bridge forwards nothing in the moment in which its
/// port comes up, hence a little longer.
pub(crate) fn wait_for_links(rim: &Rim) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !rim.ports().iter().all(|port| port.link().up) {
        assert!(Instant::now() < deadline, "links: {:?}", rim.ports());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
}

/// A classic capture file, little-endian, with microseconds.
pub(crate) fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65535, 1] {
        bytes.write_all(&word.to_le_bytes()).unwrap();
    }
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        for word in [0, 0, len, len] {
            bytes.write_all(&word.to_le_bytes()).unwrap();
        }
        bytes.extend(frame);
    }
    bytes
}

/// The frames of such a file.
pub(crate) fn frames_of(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    bytes = &bytes[24..];
    while let Some((header, rest)) = bytes.split_at_checked(16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        frames.push(rest[..len].to_vec());
        bytes = &rest[len..];
    }
    frames
}
