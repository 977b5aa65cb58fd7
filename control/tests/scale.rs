//! A large configuration, small enough for every run of the tests: what it takes a tunnel, and that it works.
//! `scripts/bench scale` does the same with a million. One test a process: it measures the process.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use adit_control::config::{self, Purpose};
use adit_control::engine::simulation::Simulation;
use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use etherparse::{Ipv4Slice, PacketBuilder};

const TUNNELS: u32 = 50_000;
/// Included files, so that they are read side by side.
const FILES: u32 = 5;
/// From YAML to tables, with a route each: tunnel, route, everything in between and both lookups, in both copies
/// of the tables. It was 1580 to 1620 when this was written, and is 1870 since a tunnel has a path with a number, and
/// rules for errors about it, and 2060 since one may carry frames or labels, or have many peers; the trees of all
/// files at the same time would take 540 more.
const BYTES_A_TUNNEL: u64 = 2150;
/// Takes 2 s on a slow machine, without optimization; it is here to find what is quadratic.
const TIME_LIMIT: Duration = Duration::from_mins(2);

const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const LAN: PortId = PortId(1);
const LAN_MAC: [u8; 6] = [0x02, 0xad, 0x17, 0, 0, 1];

fn remote(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0b00_0000 + number)
}

/// The /24 behind a tunnel.
fn inside(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x2000_0000 + (number << 8))
}

fn write_configuration(folder: &Path, tunnels: u32) {
    let main = format!(
        "include: [part-*.yaml]
ports:
  wan: {{ addresses: [{LOCAL}/24], neighbors: {{ 198.18.0.254: \"02:00:00:00:00:fe\" }} }}
  lan: {{ addresses: [198.19.0.1/24] }}
routes:
  - {{ to: default, via: 198.18.0.254 }}
"
    );
    std::fs::write(folder.join("adit.yaml"), main).unwrap();
    for part in 0..FILES {
        let mut text = "tunnels:\n".to_owned();
        for number in tunnels * part / FILES..tunnels * (part + 1) / FILES {
            let (remote, inside) = (remote(number), inside(number));
            writeln!(
                text,
                "  site-{number:05}: {{ mode: ipip, local: {LOCAL}, remote: {remote}, routes: [{inside}/24] }}"
            )
            .unwrap();
        }
        std::fs::write(folder.join(format!("part-{part}.yaml")), text).unwrap();
    }
}

/// The appliance of a configuration; what it sends on port wan for a packet into the last tunnel.
fn packet_into_the_last(tunnels: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), tunnels);
    let loaded = config::load(&folder.path().join("adit.yaml"), Purpose::Replay).unwrap();
    assert_eq!(loaded.config.tunnels.len(), tunnels as usize);
    let mut simulation = Simulation::new(loaded.config, Nanos(0), false).unwrap();
    let mut inner = inside(tunnels - 1).octets();
    inner[3] = 1;
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 5], LAN_MAC);
    let mut frame = Vec::new();
    builder.ipv4([198, 19, 0, 2], inner, 64).udp(40_000, 9).write(&mut frame, &[0; 18]).unwrap();
    let mut sent = Vec::new();
    simulation.receive(LAN, [frame.as_slice()], |_, _, bytes| sent.push(bytes.to_vec()));
    assert_eq!(simulation.finish(), 0);
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

/// The most memory that this process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn fifty_thousand_tunnels_fit_into_their_budget_and_the_last_one_encapsulates() {
    packet_into_the_last(FILES);
    let (before, start) = (peak(), Instant::now());
    let frame = packet_into_the_last(TUNNELS);
    let (taken, time) = (peak() - before, start.elapsed());
    let outer = Ipv4Slice::from_slice(frame.get(14..).unwrap()).unwrap();
    let ends = (outer.header().source_addr(), outer.header().destination_addr());
    assert_eq!(ends, (LOCAL, remote(TUNNELS - 1)));
    let each = taken / u64::from(TUNNELS);
    println!("{each} bytes a tunnel, {time:?}");
    assert!(each <= BYTES_A_TUNNEL, "{each} bytes a tunnel");
    assert!(time <= TIME_LIMIT, "{time:?}");
}
