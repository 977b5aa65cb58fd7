//! Tests of replay as a whole, with files.

use std::fs;
use std::path::Path;

use super::*;
use crate::capture::Writer;

const CONFIGURATION: &str = "version: 1
ports:
  wan:
    macaddress: \"02:00:00:00:00:01\"
    addresses: [198.51.100.1/24]
    neighbors: { 198.51.100.9: \"02:00:00:00:00:09\" }
  lan: { addresses: [10.1.0.1/24] }
";

/// A second after the epoch.
const START: u64 = 1_000_000_000;

/// A frame from 198.51.100.9 to us: an echo request to `destination`.
fn ping(destination: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 1])
        .ipv4([198, 51, 100, 9], destination, 64)
        .icmpv4_echo_request(1, 1)
        .write(&mut frame, b"payload")
        .unwrap();
    frame
}

fn replay(folder: &Path, frames: &[(u64, Vec<u8>)]) -> Replay {
    let capture = folder.join("in.pcap");
    let mut writer = Writer::create(&capture).unwrap();
    for (time, frame) in frames {
        writer.write(Nanos(*time), frame).unwrap();
    }
    writer.finish().unwrap();
    let configuration = folder.join("adit.yaml");
    fs::write(&configuration, CONFIGURATION).unwrap();
    let inputs = vec![Input { port: "wan".to_owned(), capture }];
    let out = folder.join("deep/out");
    Replay { configuration, inputs, out, linger: Duration::ZERO, boot: false }
}

fn sent(replay: &Replay, port: &str) -> Vec<(u64, Vec<u8>)> {
    let capture = Capture::read(&replay.out.join(format!("{port}.pcap"))).unwrap();
    capture.frames().map(|(time, frame)| (time.0, frame.to_vec())).collect()
}

#[test]
fn a_ping_is_answered_at_the_time_it_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let pings = [START, START, START + 7].map(|time| (time, ping([198, 51, 100, 1])));
    let replay = replay(folder.path(), &pings);
    let played = replay.run().unwrap();
    assert_eq!((played.received, played.sent, played.lost_buffers), (3, 3, 0));
    let replies = sent(&replay, "wan");
    assert_eq!(
        replies.iter().map(|(time, _)| *time).collect::<Vec<_>>(),
        [START, START, START + 7]
    );
    let (_, answer) = &replies[0];
    assert_eq!(
        (&answer[0..6], answer[34]),
        (&[2, 0, 0, 0, 0, 9][..], 0),
        "an echo reply to the asker"
    );
    assert_eq!(sent(&replay, "lan"), [], "a port that sent nothing has an empty capture");
    let text = fs::read_to_string(replay.out.join("counters.json")).unwrap();
    let counters: Counters = serde_json::from_str(&text).unwrap();
    assert_eq!(counters.ports["wan"]["rx_packets"], 3);
    assert_eq!(counters.ports["wan"]["tx_packets"], 3);
    assert_eq!(counters.balance.unwrap().difference(), 0);
}

#[test]
fn the_clock_runs_on_for_what_still_has_to_happen() {
    let count = |linger| {
        let folder = tempfile::tempdir().unwrap();
        // Nobody on `lan` has ever been heard of.
        let replay = Replay { linger, ..replay(folder.path(), &[(START, ping([10, 1, 0, 77]))]) };
        replay.run().unwrap();
        sent(&replay, "lan").iter().map(|(time, _)| (time - START) / 1_000_000).collect::<Vec<_>>()
    };
    assert_eq!(count(Duration::ZERO), [0]);
    assert_eq!(count(Duration::from_secs(10)), [0, 1000, 2000]);
}

#[test]
fn two_runs_are_the_same() {
    let run = || {
        let folder = tempfile::tempdir().unwrap();
        let pings = [(START, ping([198, 51, 100, 1])), (START + 1, ping([203, 0, 113, 1]))];
        let replay = replay(folder.path(), &pings);
        replay.run().unwrap();
        ["wan.pcap", "lan.pcap", "counters.json"]
            .map(|file| fs::read(replay.out.join(file)).unwrap())
    };
    assert_eq!(run(), run());
}

#[test]
fn nothing_is_written_when_an_input_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let good = replay(folder.path(), &[(START, ping([198, 51, 100, 1]))]);
    let refused = |replay: &Replay| {
        let error = replay.run().unwrap_err().to_string();
        assert!(!replay.out.exists(), "{error}");
        error
    };

    let mut unknown = good.clone();
    unknown.inputs[0].port = "dmz".to_owned();
    let expected = "--in dmz: the configuration has no such port; its ports are wan, lan";
    assert_eq!(refused(&unknown), expected);

    let broken = folder.path().join("broken.pcap");
    let whole = fs::read(&good.inputs[0].capture).unwrap();
    fs::write(&broken, &whole[..whole.len() - 1]).unwrap();
    let mut cut = good.clone();
    cut.inputs.push(Input { port: "lan".to_owned(), capture: broken.clone() });
    let error = refused(&cut);
    assert!(error.starts_with(&format!("{}: at byte 24: a frame", broken.display())), "{error}");

    fs::write(&good.configuration, "version: 1\nports: { wan: { addresses: [1.2.3.4/33] } }\n")
        .unwrap();
    assert!(refused(&good).contains("1.2.3.4/33"));
}

#[test]
fn a_folder_that_can_not_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut replay = replay(folder.path(), &[]);
    replay.out = folder.path().join("in.pcap/out");
    let error = replay.run().unwrap_err().to_string();
    assert!(error.starts_with(&replay.out.display().to_string()), "{error}");
}
