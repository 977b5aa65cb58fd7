//! A port that can't start says why, and what would help. Each case is a process of its own, since
//! DPDK starts once in a process, whatever becomes of it.
#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod rim;

use std::process::Command;

use adit_dataplane::dpdk::Hugepages;

const TEST: &str = "a_port_that_cannot_start_says_why_and_what_would_help";
const CASE: &str = "ADIT_TEST_FAILURE";

/// What is tried, and what the message must say. `{}` is a folder.
const CASES: &[(&str, &[&str])] = &[
    ("3b:00.9", &["port p0", "not a device", "0000:3b:00.0"]),
    ("fe:1e.7", &["0000:fe:1e.7", "no PCI device at this address"]),
    ("net_nosuch0", &["no driver for net_nosuch", "apt install librte-net-nosuch"]),
    ("net_af_packet0,iface=adit-none", &["no network interface adit-none", "ip link"]),
    (
        "net_tap0,iface=lo",
        &["interface lo exists", "TUNSETIFF", "tuntap add dev lo mode tap multi_queue"],
    ),
    ("net_pcap0,rx_pcap={}/none.pcap", &["none.pcap: No such file"]),
    ("net_null0,bogus=1", &["net_null does not take it", "arguments (`bogus=1`)"]),
    (
        "net_memif0,role=client,socket={}/none,socket-abstract=no",
        &["nobody listens on the socket", "/none", "start the other end first"],
    ),
    (
        "net_virtio_user0,path={}/none",
        &["nobody listens on the socket", "/none", "start the other end first"],
    ),
    ("net_ring0,nodeaction=x", &["net_ring does not take it", "DPDK says", "node value from x"]),
    ("net_tap0,iface=adit-jumbo;mtu=65000", &["an MTU of 65000", "is possible"]),
    ("net_null0;queues=2000", &["queues and 2000 are asked for", "lower `queues`"]),
    ("net_pcap0,rx_pcap={}/many.pcap,infinite_rx=1", &["too few", "raise `mbufs`"]),
    ("net_null0;mbufs=4000000000", &["DPDK gets no memory", "lower `mbufs`"]),
    ("net_null0;hugepages", &["MiB of hugepages are needed", "`hugepages: auto`"]),
    ("net_null0;eal=--nonsense", &["DPDK does not start", "--nonsense"]),
];

#[test]
fn a_port_that_cannot_start_says_why_and_what_would_help() {
    if let Some(case) = std::env::var_os(CASE) {
        return fail(case.to_str().unwrap());
    }
    if !rim::in_own_namespace(TEST) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_many_frames(&folder.path().join("many.pcap"));
    for (case, expected) in CASES {
        let case = case.replace("{}", &folder.path().display().to_string());
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(CASE, &case)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{case}: {text}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{case}: {text}{errors}");
        for words in *expected {
            assert!(text.contains(words), "{case}: {words:?} is not in {text}{errors}");
        }
    }
}

/// Starts with `DEVICE;SETTING`, and prints the reason why not.
fn fail(case: &str) {
    let (device, setting) = case.split_once(';').unwrap_or((case, ""));
    let mut config = rim::config(&[device], 1);
    match setting.split_once('=').unwrap_or((setting, "")) {
        ("queues", count) => config.ports[0].queues = count.parse().ok(),
        ("mtu", bytes) => config.ports[0].mtu = bytes.parse().unwrap(),
        ("mbufs", count) => config.mbufs = count.parse().unwrap(),
        ("hugepages", _) => {
            config.hugepages = Hugepages::Required;
            config.mbufs = 100_000_000;
        }
        ("eal", word) => config.eal_args.push(word.to_owned()),
        _ => {}
    }
    println!("{}", rim::start_error(&config));
}

/// More frames than the tests have buffers.
fn write_many_frames(path: &std::path::Path) {
    let frames: Vec<_> = (0..6000).map(|_| rim::frame(0, 60)).collect();
    std::fs::write(path, rim::capture(&frames)).unwrap();
}
