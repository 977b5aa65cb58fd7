//! What a Linux kernel sent through its own MPLS over IPv4, IPv6 and GRE and in FOU and GUE, replayed: `captures/linux/mpls`, from Linux 6.1. Each
//! packet has two labels, and has to come out as it is in the capture behind them, one hop further.

use std::path::Path;

use crate::bench::Bench;
use crate::capture;
use crate::frames::{ethernet, seal_ipv4};
use crate::linux_segments::{LIMIT, V4, V6};
use crate::run::{MILLISECOND, Replay};

/// A capture, the mode and the keys that take it, and where its labels begin.
struct Kind {
    capture: &'static str,
    mode: &'static str,
    keys: &'static [(&'static str, &'static str)],
    /// Bytes in front of the labels: Ethernet, outer IP, and what is between.
    at: usize,
}

const fn kind(
    capture: &'static str,
    mode: &'static str,
    keys: &'static [(&'static str, &'static str)],
    at: usize,
) -> Kind {
    Kind { capture, mode, keys, at }
}

const LABELS_LEN: usize = 8;

#[rustfmt::skip]
const KINDS: [Kind; 10] = [
    kind("mplsip", "mplsip", &[], V4),
    kind("mplsip-sit", "sit", &[("payload", "any")], V4),
    kind("mpls-gre", "gre", &[], V4 + 4),
    kind("mpls-gre-key-csum", "gre", &[("key", "7"), ("require-checksum", "yes")], V4 + 12),
    kind("mplsip6", "mplsip6", &[], V6),
    kind("mpls-ip6gre", "ip6gre", &[], V6 + 4),
    kind("mplsip-fou", "mplsip", &[("encap", "{ type: fou, dport: 6635 }")], V4 + 8),
    kind("mplsip-gue", "mplsip", &[("encap", "{ type: gue }")], V4 + 12),
    kind("mplsip6-limit", "mplsip6", &[], V6 + LIMIT),
    kind("mplsip6-gue", "mplsip6", &[("encap", "{ type: gue }")], V6 + 12),
];

const HOST: [u8; 6] = [2, 0, 0, 0, 0, 5];
const LAN: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A packet as the host gets it.
fn one_hop_on(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        packet[8] -= 1;
        seal_ipv4(&mut packet, 0);
    } else {
        packet[7] -= 1;
    }
    ethernet(HOST, LAN, packet)
}

#[test]
fn packets_that_linux_sent_with_labels_come_out_without_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/linux/mpls");
    for kind in &KINDS {
        let name = kind.capture;
        let records = capture::read(&folder.join(format!("{name}.pcap"))).records;
        let (local, remote) = if records[0].frame[14] >> 4 == 6 {
            (r#""2001:db8:a::1""#, r#""2001:db8:a::9""#)
        } else {
            ("198.51.100.1", "198.51.100.9")
        };
        let mac: Vec<String> =
            records[0].frame[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let neighbors = r#"{ 172.16.10.2: "02:00:00:00:00:05", "fd00:1::2": "02:00:00:00:00:05" }"#;
        let bench = Bench::bare()
            .without_routes()
            .set("ports.u.macaddress", &format!("{:?}", mac.join(":")))
            .set("ports.u.addresses", r#"[198.51.100.1/24, "2001:db8:a::1/64"]"#)
            .unset("ports.u.neighbors")
            .set("ports.l.addresses", r#"[172.16.10.1/24, "fd00:1::1/64"]"#)
            .set("ports.l.neighbors", neighbors)
            .tunnel("far", kind.mode, local, remote)
            .set("tunnels.far.labels", "{ 100: { pop: ip }, 101: { pop: label } }")
            .set("tunnels.far.inner-source", r#"[10.2.0.8/32, "fd00:2::8/128"]"#);
        let bench = kind
            .keys
            .iter()
            .fold(bench, |bench, (key, value)| bench.set(&format!("tunnels.far.{key}"), value));
        let mut replay = Replay::new(bench);
        let mut expected = Vec::new();
        assert!(records.len() >= 6, "{name}: {} frames", records.len());
        for (at, record) in (1..).zip(records) {
            assert_eq!(record.frame.len(), record.wire_len, "{name}: whole frames");
            expected.push(one_hop_on(&record.frame[kind.at + LABELS_LEN..]));
            replay.input("u", at * MILLISECOND, record.frame);
        }
        let outcome = replay.run();
        assert_eq!(outcome.frames("l"), expected, "{name}");
        let accepted = outcome.counter("tunnels.far.rx_packets");
        assert_eq!(accepted, expected.len() as u64, "{name}");
    }
}
