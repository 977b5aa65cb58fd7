//! The `replay` command itself: input formats, time, order, determinism, and what it says when it can't.

use std::path::Path;
use std::process::Output;

use crate::addresses::{BROADCAST_MAC, G_MAC, H, R};
use crate::bench::Bench;
use crate::capture::{self, Interface, Order, Record, Resolution};
use crate::case::Case;
use crate::frames::{IPIP, encap4, from_gateway, from_host, peer4, to_gateway, to_host, udp4};
use crate::run::{Replay, START, said};

fn length(at: usize) -> usize {
    100 + at
}

/// Ten frames from H to R of different lengths, 5 µs apart.
fn ten() -> Vec<Record> {
    let record =
        |at: usize| Record::new(START + 5000 * at as u64, from_host(udp4(H, R, length(at))));
    (0..10).map(record).collect()
}

/// Replays `file` into port `l` of the IPIP bench.
fn replay_file(directory: &Path, file: &[u8]) -> Output {
    let path = directory.join("input.capture");
    std::fs::write(&path, file).unwrap();
    let input = format!("l={}", path.display());
    Replay::new(Bench::ipip()).command(directory, &[input]).output().unwrap()
}

/// What left port `u`.
fn sent(directory: &Path) -> Vec<Record> {
    capture::read(&directory.join("out/u.pcap")).records
}

fn gives_ten_encapsulated_frames(what: &str, file: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let output = replay_file(directory.path(), file);
    assert!(output.status.success(), "{what}: {}", said(&output));
    let sent = sent(directory.path());
    assert_eq!(sent.len(), 10, "{what}");
    for (at, (record, input)) in sent.iter().zip(ten()).enumerate() {
        let wanted = to_gateway(encap4(IPIP, udp4(H, R, length(at)).ttl(63)));
        assert_eq!(record.frame, wanted, "{what}, frame {at}");
        assert_eq!(record.time, input.time, "{what}, frame {at} leaves when it arrives");
    }
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_resolutions() {
    for order in [Order::Little, Order::Big] {
        for resolution in [Resolution::Micro, Resolution::Nano] {
            let file = capture::pcap(&ten(), order, resolution);
            gives_ten_encapsulated_frames(&format!("{order:?} {resolution:?}"), &file);
        }
    }
}

#[test]
fn pcapng_is_read_with_several_interfaces_and_clocks() {
    // Microseconds by default and by word, nanoseconds, and a clock of 2^-20 s that can show neither.
    let clocks = [None, Some(6), Some(9)].map(|resolution| Interface { resolution });
    let records: Vec<_> = ten().into_iter().enumerate().map(|(at, one)| (at % 3, one)).collect();
    for order in [Order::Little, Order::Big] {
        let file = capture::pcapng(&clocks, &records, order);
        gives_ten_encapsulated_frames(&format!("pcapng {order:?}"), &file);
    }
}

#[test]
fn a_pcapng_clock_of_a_power_of_two_is_understood() {
    let directory = tempfile::tempdir().unwrap();
    // 0x94: the top bit, and 2^-20 of a second.
    let half_past = Record::new(START + 500_000_000, from_host(udp4(H, R, 84)));
    let clock = [Interface { resolution: Some(0x94) }];
    let file = capture::pcapng(&clock, &[(0, half_past)], Order::Little);
    let output = replay_file(directory.path(), &file);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(sent(directory.path())[0].time, START + 500_000_000);
}

#[test]
fn an_unreadable_input_ends_with_2_and_the_name_of_the_file() {
    let good = capture::pcap(&ten(), Order::Little, Resolution::Nano);
    let mut other_link = good.clone();
    other_link[20] = 113;
    let inputs: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("no capture", b"this is a text, and not a short one either"),
        ("header cut", &good[..20]),
        ("record cut", &good[..good.len() - 1]),
        ("link type 113", &other_link),
    ];
    for (what, file) in inputs {
        let directory = tempfile::tempdir().unwrap();
        let output = replay_file(directory.path(), file);
        assert_eq!(output.status.code(), Some(2), "{what}: {}", said(&output));
        assert!(said(&output).contains("input.capture"), "{what}: {}", said(&output));
    }
}

#[test]
fn a_missing_file_port_or_configuration_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let run = |bench: Bench, input: String| {
        Replay::new(bench).command(directory.path(), &[input]).output().unwrap()
    };
    let gone = run(Bench::ipip(), format!("l={}/gone.pcap", directory.path().display()));
    assert_eq!(gone.status.code(), Some(2), "{}", said(&gone));
    assert!(said(&gone).contains("gone.pcap"), "{}", said(&gone));
    let path = directory.path().join("in.pcap");
    std::fs::write(&path, capture::pcap(&ten(), Order::Little, Resolution::Nano)).unwrap();
    let port = run(Bench::ipip(), format!("nowhere={}", path.display()));
    assert_eq!(port.status.code(), Some(2), "{}", said(&port));
    assert!(said(&port).contains("nowhere"), "{}", said(&port));
    let broken = Bench::ipip().set("tunnels.t0.mode", "carrier-pigeon");
    let configuration = run(broken, format!("l={}", path.display()));
    assert_eq!(configuration.status.code(), Some(2), "{}", said(&configuration));
    assert!(said(&configuration).contains("tunnels.t0.mode"), "{}", said(&configuration));
}

#[test]
fn a_frame_cut_by_its_snap_length_is_what_it_is() {
    let mut record = Record::new(START, from_host(udp4(H, R, 84)));
    record.frame.truncate(60);
    let mut replay = Replay::new(Bench::ipip());
    replay.inputs.push(("l".into(), vec![record]));
    let outcome = replay.run();
    assert_eq!(outcome.counter("dataplane.ip4.truncated"), 1);
    assert_eq!(outcome.counter("ports.l.rx_bytes"), 60);
    assert!(outcome.frames("u").is_empty());
}

#[test]
fn every_port_has_a_capture_in_nanoseconds_and_little_endian_even_an_empty_one() {
    let outcome = Replay::new(Bench::ipip()).run_with_one(from_host(udp4(H, R, 84)));
    for (port, frames) in [("u", 1), ("l", 0)] {
        let path = outcome.directory.path().join(format!("out/{port}.pcap"));
        let capture = capture::read(&path);
        assert_eq!((capture.order, capture.resolution), (Order::Little, Resolution::Nano));
        assert_eq!((capture.link_type, capture.records.len()), (1, frames), "{port}");
    }
}

impl Replay {
    fn run_with_one(mut self, frame: Vec<u8>) -> crate::run::Outcome {
        self.input("l", 0, frame);
        self.run()
    }
}

#[test]
fn frames_of_two_captures_are_merged_by_time_and_ties_by_the_order_of_the_options() {
    // Both captures send to R: the order on U is the order of reception. N on U's side sends by way of us.
    let bench = Bench::ipip().set("tunnels.t0.hairpin", "yes");
    let back = |id: u16| udp4(R, [10, 2, 0, 9].into(), 84).id(id);
    let out = |id: u16| udp4(H, R, 84).id(id);
    let mut replay = Replay::new(bench);
    replay.input("u", 1000, from_gateway(peer4(IPIP, back(2))));
    replay.input("u", 3000, from_gateway(peer4(IPIP, back(4))));
    replay.input("l", 0, from_host(out(1)));
    replay.input("l", 2000, from_host(out(3)));
    replay.input("l", 3000, from_host(out(5)));
    let outcome = replay.run();
    let sent = &outcome.sent["u"];
    let order: Vec<_> =
        sent.iter().map(|one| u16::from_be_bytes([one.frame[38], one.frame[39]])).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
    let times: Vec<_> = sent.iter().map(|one| one.time - START).collect();
    assert_eq!(times, [0, 1000, 2000, 3000, 3000]);
}

#[test]
fn a_port_without_mac_has_one_derived_from_its_place() {
    let bench = Bench::ipip().unset("ports.u.macaddress").unset("ports.l.macaddress");
    let (u, l) = ([2, 0xad, 0x17, 0, 0, 0], [2, 0xad, 0x17, 0, 0, 1]);
    let mut wanted = to_gateway(encap4(IPIP, udp4(H, R, 84).ttl(63)));
    wanted[6..12].copy_from_slice(&u);
    let mut frame = from_host(udp4(H, R, 84));
    frame[..6].copy_from_slice(&l);
    Case::new("derived MACs", bench)
        .input("l", frame)
        .expect("u", wanted)
        .tunnel_sends("t0", 84)
        .run();
}

#[test]
fn two_runs_are_byte_identical() {
    let mut replay = Replay::new(Bench::any6().set("ports.l.neighbors", "{}"));
    for at in 0..200u16 {
        let packet = crate::frames::udp4_flow(H, R, (1000 + at, 2000), 84);
        replay.input("l", u64::from(at) * 1000, from_host(packet));
        // H is not known: these are resolved, fail, and are answered.
        let inner = crate::frames::udp4_flow(R, H, (1000 + at, 2000), 84);
        replay.input("u", u64::from(at) * 1000, from_gateway(crate::frames::peer6(IPIP, inner)));
    }
    replay.linger = Some("5".into());
    let (one, two) = (replay.run(), replay.run());
    assert!(!one.frames("u").is_empty() && !one.frames("l").is_empty(), "both ports send");
    for file in ["u.pcap", "l.pcap", "counters.json"] {
        let read = |outcome: &crate::run::Outcome| {
            std::fs::read(outcome.directory.path().join("out").join(file)).unwrap()
        };
        assert!(read(&one) == read(&two), "{file} differs between two runs");
    }
}

#[test]
fn a_settled_start_announces_nothing() {
    let mut replay = Replay::new(Bench::any6());
    replay.linger = Some("10".into());
    // A frame that nothing comes of: the clock has to start somewhere.
    replay.input("l", 0, [&BROADCAST_MAC[..], &G_MAC, &[0x88, 0xcc], &[0; 46]].concat());
    let outcome = replay.run();
    assert_eq!((outcome.frames("u").len(), outcome.frames("l").len()), (0, 0));
}

#[test]
fn decapsulated_frames_leave_at_the_time_they_arrive() {
    let mut replay = Replay::new(Bench::ipip());
    replay.input("u", 123_456_789, from_gateway(peer4(IPIP, udp4(R, H, 84))));
    let outcome = replay.run();
    let record = &outcome.sent["l"][0];
    assert_eq!((record.time, record.wire_len), (START + 123_456_789, record.frame.len()));
    assert_eq!(record.frame, to_host(udp4(R, H, 84).ttl(63)));
}
