//! What a Linux kernel sent through its own GRE, FOU, GUE, GENEVE without frames, 6rd, 6to4 and ISATAP, replayed:
//! `captures/linux`, from Linux 6.1. Each packet has to come out as tshark shows it inside its frame, so neither its header
//! nor what is in it is read by anything of ours.

use std::path::{Path, PathBuf};

use crate::bench::Bench;
use crate::capture::{self, Order, Record, Resolution};
use crate::run::{MILLISECOND, Replay, START};
use crate::tshark;

/// A capture, and the mode that takes it.
struct Kind {
    capture: &'static str,
    /// The mode, and keys of the tunnel behind it.
    mode: &'static str,
    keys: &'static [(&'static str, &'static str)],
}

const fn kind(
    capture: &'static str,
    mode: &'static str,
    keys: &'static [(&'static str, &'static str)],
) -> Kind {
    Kind { capture, mode, keys }
}

const NUMBERED: (&str, &str) = ("receive-sequence", "drop-old");
const ALL_NUMBERED: (&str, &str) = ("require-sequence", "yes");
const SUMMED: (&str, &str) = ("require-checksum", "yes");

/// Each with the strictest settings that its packets meet.
#[rustfmt::skip]
const KINDS: [Kind; 42] = [
    kind("gre", "gre", &[]),
    kind("gre-key", "gre", &[("key", "7")]),
    kind("gre-key-0", "gre", &[("key", "0")]),
    kind("gre-keys", "gre", &[("keys", "{ input: 2, output: 3 }")]),
    kind("gre-csum", "gre", &[SUMMED]),
    kind("gre-seq", "gre", &[NUMBERED, ALL_NUMBERED]),
    kind("gre-all", "gre", &[("key", "4294967295"), SUMMED, NUMBERED, ALL_NUMBERED]),
    kind("gre-icsum-oseq", "gre", &[NUMBERED, ALL_NUMBERED]),
    kind("gre-ocsum-iseq", "gre", &[SUMMED]),
    kind("gre-ocsum-oseq", "gre", &[SUMMED, NUMBERED, ALL_NUMBERED]),
    kind("gre-icsum-iseq", "gre", &[]),
    kind("ip6gre", "ip6gre", &[]),
    kind("ip6gre-key", "ip6gre", &[("key", "7")]),
    kind("ip6gre-keys", "ip6gre", &[("keys", "{ input: 2, output: 3 }")]),
    kind("ip6gre-csum", "ip6gre", &[SUMMED]),
    kind("ip6gre-seq", "ip6gre", &[NUMBERED, ALL_NUMBERED]),
    kind("ip6gre-all", "ip6gre", &[("key", "7"), SUMMED, NUMBERED, ALL_NUMBERED]),
    kind("ip6gre-ocsum-oseq", "ip6gre", &[SUMMED, NUMBERED, ALL_NUMBERED]),
    kind("ip6gre-limit", "ip6gre", &[]),
    kind("fou-ipip", "ipip", &[("encap", "{ type: fou, dport: 5004 }")]),
    kind("fou-sit", "sit", &[("encap", "{ type: fou, dport: 5041 }")]),
    kind("fou-gre", "gre", &[("encap", "{ type: fou, dport: 5047 }")]),
    kind("fou-gre-key", "gre", &[("key", "7"), ("encap", "{ type: fou, dport: 5047 }")]),
    kind("fou-ipip6", "ipip6", &[("encap", "{ type: fou, dport: 5004 }")]),
    kind("fou-ip6ip6", "ip6ip6", &[("encap", "{ type: fou, dport: 5041 }")]),
    kind("fou-ip6gre", "ip6gre", &[("key", "7"), ("encap", "{ type: fou, dport: 5047 }")]),
    kind("fou-ip6ip6-limit", "ip6ip6", &[("encap", "{ type: fou, dport: 5041 }")]),
    kind("gue-ipip", "ipip", &[("encap", "{ type: gue }")]),
    kind("gue-sit", "sit", &[("encap", "{ type: gue }")]),
    kind("gue-any", "sit", &[("payload", "any"), ("encap", "{ type: gue }")]),
    kind("gue-variant-1", "sit", &[("payload", "any"), ("encap", "{ type: gue }")]),
    kind("gue-gre", "gre", &[("encap", "{ type: gue }")]),
    kind("gue-gre-all", "gre", &[("key", "7"), SUMMED, NUMBERED, ALL_NUMBERED, ("encap", "{ type: gue }")]),
    kind("gue-ports", "ipip", &[("encap", "{ type: gue, port: 7777 }")]),
    kind("gue-ip6tnl", "any", &[("encap", "{ type: gue }")]),
    kind("gue-ip6gre", "ip6gre", &[("encap", "{ type: gue }")]),
    kind("gue-ip6gre-all", "ip6gre", &[("key", "7"), SUMMED, NUMBERED, ALL_NUMBERED, ("encap", "{ type: gue }")]),
    kind("geneve-ip", "geneve", &[("payload", "ip"), ("id", "7")]),
    kind("geneve-ip-v6", "geneve", &[("payload", "ip"), ("id", "11259375")]),
    kind("6rd", "6rd", &[("6rd", r#"{ prefix: "fd00::/24", relay-prefix: 198.51.100.0/24, border-relays: [198.51.100.9] }"#)]),
    kind("6to4", "6rd", &[("6rd", r#"{ prefix: "2002::/16", border-relays: [192.88.99.1] }"#), ("routes", r#"["2001:db8:99::/48"]"#)]),
    kind("isatap", "isatap", &[("addresses", r#"["fd00:50::200:5efe:198.51.100.1/64"]"#), ("potential-routers", "[198.51.100.9]"), ("routes", r#"["fd00:99::/64"]"#)]),
];

impl Kind {
    fn path(&self) -> PathBuf {
        folder().join(format!("{}.pcap", self.capture))
    }

    /// The site that the captures were taken at, with only this tunnel; `frame` is the first of the capture.
    fn bench(&self, frame: &[u8]) -> Bench {
        let mac: Vec<String> = frame[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let (local, remote) = if frame[14] >> 4 == 6 {
            (r#""2001:db8:a::1""#, r#""2001:db8:b::2""#)
        } else if matches!(self.mode, "6rd" | "isatap") {
            ("198.51.100.1", "")
        } else {
            ("198.51.100.1", "203.0.113.2")
        };
        let hosts = ["172.16.10.2", "fd00:1::2", "2002:c633:6401::2"];
        let neighbors = hosts.map(|host| format!(r#""{host}": "02:00:00:00:00:05""#)).join(", ");
        let bench = Bench::bare()
            .without_routes()
            .set("ports.u.macaddress", &format!("{:?}", mac.join(":")))
            .set("ports.u.addresses", r#"[198.51.100.1/24, "2001:db8:a::1/64"]"#)
            .unset("ports.u.neighbors")
            .set("ports.l.addresses", r#"[172.16.10.1/24, "fd00:1::1/64", "2002:c633:6401::1/64"]"#)
            .set("ports.l.neighbors", &format!("{{ {neighbors} }}"))
            .tunnel("far", self.mode, local, remote)
            .route("{ to: default, via: 198.51.100.254 }")
            .route(r#"{ to: "::/0", via: "2001:db8:a::fe" }"#);
        let carried = match self.mode {
            "6rd" | "isatap" => "[]",
            "ipip" | "ipip6" => "[152.16.10.0/24]",
            "sit" | "ip6ip6" if !self.keys.contains(&("payload", "any")) => r#"["fd00:2::/64"]"#,
            _ => r#"[152.16.10.0/24, "fd00:2::/64"]"#,
        };
        let bench = bench.set("tunnels.far.routes", carried);
        let set = |bench: Bench, (key, value): &(&str, &str)| {
            bench.set(&format!("tunnels.far.{key}"), value)
        };
        self.keys.iter().fold(bench, set)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/linux")
}

/// What tshark reads of an echo request: TTL or hop limit, TOS or traffic class, and what nobody on the way changes.
const FOUR: [&str; 9] = [
    "ip.ttl",
    "ip.dsfield",
    "icmp.ident",
    "icmp.checksum",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ip.len",
    "ip.flags",
];
const SIX: [&str; 8] = [
    "ipv6.hlim",
    "ipv6.tclass",
    "icmpv6.echo.identifier",
    "icmpv6.checksum",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.flow",
    "ipv6.plen",
];

/// The echo request inside each frame of a file.
fn innermost(path: &Path) -> Vec<Vec<String>> {
    let lines = tshark::read_innermost(path, &[&FOUR[..], &SIX[..], &["data.data"]].concat());
    let requests = lines.into_iter().map(|mut four| {
        let data = four.pop().expect("a cell for each field");
        let six = four.split_off(FOUR.len());
        let mut cells = if four[2].is_empty() { six } else { four };
        assert!(!cells[2].is_empty() && !data.is_empty(), "an echo request: {cells:?}");
        cells.push(data);
        cells
    });
    requests.collect()
}

/// What has to leave for a request inside `frame`: one hop further, and with congestion that the outer header met.
fn forwarded(frame: &[u8], mut cells: Vec<String>) -> Vec<String> {
    let ttl: u32 = cells[0].parse().unwrap();
    cells[0] = (ttl - 1).to_string();
    let is_ipv6 = frame[14] >> 4 == 6;
    let outer = if is_ipv6 { frame[15] >> 4 } else { frame[15] };
    if outer & 3 == 3 {
        let (digits, width) = (cells[1].trim_start_matches("0x"), cells[1].len());
        let tos = u32::from_str_radix(digits, 16).unwrap() | 3;
        cells[1] = format!("{tos:#0width$x}");
    }
    cells
}

/// What the kind's tunnel makes of its capture: as many frames, and all of them taken by the tunnel.
fn decapsulated(kind: &Kind, records: &[Record]) -> Vec<Vec<u8>> {
    let name = kind.capture;
    assert!(records.len() >= 3, "{name}: {} frames", records.len());
    let mut replay = Replay::new(kind.bench(&records[0].frame));
    for (at, record) in (1..).zip(records) {
        assert_eq!(record.frame.len(), record.wire_len, "{name}: whole frames");
        replay.input("u", at * MILLISECOND, record.frame.clone());
    }
    let outcome = replay.run();
    let moved = outcome
        .counters
        .iter()
        .filter(|(path, count)| **count > 0 && path.starts_with("dataplane."));
    let (frames, moved) = (outcome.frames("l"), moved.collect::<Vec<_>>());
    let accepted = outcome.counter("tunnels.far.rx_packets");
    assert_eq!(
        (accepted, frames.len()),
        (records.len() as u64, records.len()),
        "{name}: {moved:?}"
    );
    frames
}

#[test]
fn what_linux_sent_comes_out_as_tshark_sees_it_inside() {
    // All kinds in one file each, as tshark takes its time to start.
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for kind in &KINDS {
        let records = capture::read(&kind.path()).records;
        received
            .extend(decapsulated(kind, &records).into_iter().map(|frame| (kind.capture, frame)));
        sent.extend(records.into_iter().map(|record| record.frame));
    }
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, frames: &mut dyn Iterator<Item = &Vec<u8>>| {
        let path = folder.path().join(name);
        let records: Vec<Record> = frames.map(|frame| Record::new(START, frame.clone())).collect();
        std::fs::write(&path, capture::pcap(&records, Order::Little, Resolution::Nano)).unwrap();
        innermost(&path)
    };
    let inside = read("sent.pcap", &mut sent.iter());
    let outside = read("received.pcap", &mut received.iter().map(|(_, frame)| frame));
    assert_eq!(inside.len(), outside.len());
    for (at, (inside, outside)) in inside.into_iter().zip(outside).enumerate() {
        assert_eq!(outside, forwarded(&sent[at], inside), "{}, frame {at}", received[at].0);
    }
}

#[test]
fn every_capture_of_linux_is_replayed() {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .collect();
    files.sort();
    let mut known: Vec<_> = KINDS.iter().map(Kind::path).collect();
    known.sort();
    assert_eq!(files, known);
}
