//! What a Linux kernel sent through its own gretap, VXLAN and GENEVE devices, replayed: `captures/linux/segments`, from Linux 6.1.
//! Each frame has to come out as it is in the capture, behind so many bytes of headers as the RFCs count.

use std::path::Path;

use crate::capture;
use crate::gretap::attached;
use crate::run::{MILLISECOND, Replay};

/// A capture, the mode and the keys that take it, and where its frames begin.
pub(crate) struct Kind {
    capture: &'static str,
    mode: &'static str,
    keys: &'static [(&'static str, &'static str)],
    /// Bytes in front of the frame: Ethernet, outer IP, and what is between.
    at: usize,
}

pub(crate) const fn kind(
    capture: &'static str,
    mode: &'static str,
    keys: &'static [(&'static str, &'static str)],
    at: usize,
) -> Kind {
    Kind { capture, mode, keys, at }
}

pub(crate) const V4: usize = 14 + 20;
pub(crate) const V6: usize = 14 + 40;
/// Destination options with the encapsulation limit (RFC 2473 §4.1.1).
pub(crate) const LIMIT: usize = 8;
const DESTINATION_OPTIONS: u8 = 60;
pub(crate) const NUMBERED: [(&str, &str); 2] =
    [("receive-sequence", "drop-old"), ("require-sequence", "yes")];

/// Each with the strictest settings that its packets meet.
#[rustfmt::skip]
const KINDS: [Kind; 12] = [
    kind("gretap", "gretap", &[], V4 + 4),
    kind("gretap-key-csum", "gretap", &[("key", "7"), ("require-checksum", "yes")], V4 + 12),
    kind("gretap-seq", "gretap", &NUMBERED, V4 + 8),
    kind("ip6gretap", "ip6gretap", &[], V6 + 4),
    kind("ip6gretap-key", "ip6gretap", &[("key", "7")], V6 + 8),
    kind("ip6gretap-limit", "ip6gretap", &[], V6 + 4),
    kind("vxlan", "vxlan", &[("id", "42"), ("strict-reserved", "yes")], V4 + 16),
    kind("vxlan-8472-csum", "vxlan", &[("id", "42"), ("port", "8472"), ("strict-reserved", "yes")], V4 + 16),
    kind("vxlan-v6", "vxlan", &[("id", "16777215"), ("strict-reserved", "yes")], V6 + 16),
    kind("geneve", "geneve", &[("id", "7")], V4 + 16),
    kind("geneve-no-csum", "geneve", &[("id", "7")], V4 + 16),
    kind("geneve-v6", "geneve", &[("id", "11259375")], V6 + 16),
];

#[test]
fn frames_that_linux_sent_come_out_as_they_were() {
    come_out("segments", &KINDS);
}

/// Replays captures of a folder of `captures/linux`; every frame comes out of `e0` by port `a`.
pub(crate) fn come_out(folder: &str, kinds: &[Kind]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/linux").join(folder);
    for kind in kinds {
        let name = kind.capture;
        let records = capture::read(&folder.join(format!("{name}.pcap"))).records;
        let is_v6 = records[0].frame[14] >> 4 == 6;
        let (local, remote) = if is_v6 {
            (r#""2001:db8:a::1""#, r#""2001:db8:a::9""#)
        } else {
            ("198.51.100.1", "198.51.100.9")
        };
        let mac: Vec<String> =
            records[0].frame[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let bench = attached(kind.mode, local, remote)
            .without_routes()
            .set("ports.u.macaddress", &format!("{:?}", mac.join(":")))
            .set("ports.u.addresses", r#"[198.51.100.1/24, "2001:db8:a::1/64"]"#)
            .unset("ports.u.neighbors");
        let bench = kind
            .keys
            .iter()
            .fold(bench, |bench, (key, value)| bench.set(&format!("tunnels.e0.{key}"), value));
        let mut replay = Replay::new(bench);
        // Linux puts the limit in front of some frames of a tunnel that mirrors, and not of ARP.
        let (mut expected, mut limited_count) = (Vec::new(), 0);
        assert!(records.len() >= 4, "{name}: {} frames", records.len());
        for (at, record) in (1..).zip(records) {
            assert_eq!(record.frame.len(), record.wire_len, "{name}: whole frames");
            let is_limited = is_v6 && record.frame[20] == DESTINATION_OPTIONS;
            limited_count += usize::from(is_limited);
            let from = kind.at + if is_limited { LIMIT } else { 0 };
            expected.push(record.frame[from..].to_vec());
            replay.input("u", at * MILLISECOND, record.frame);
        }
        assert_eq!(limited_count > 0, name.ends_with("-limit"), "{name}");
        let outcome = replay.run();
        assert_eq!(outcome.frames("a"), expected, "{name}");
        let accepted = outcome.counter("tunnels.e0.rx_packets");
        assert_eq!(accepted, expected.len() as u64, "{name}");
    }
}
