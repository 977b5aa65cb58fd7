//! One case: frames in, frames expected out, counters expected to move. Every counter that a case does
//! not name has to stay at zero, and every frame sent has to have right lengths and checksums.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::bench::Bench;
use crate::capture::Time;
use crate::conserve::complaints;
use crate::decode;
use crate::frames::{internet_checksum, seal_ipv4, seal_udp};
use crate::run::{MILLISECOND, Outcome, Replay, TOTALS};

/// A field whose value the specification leaves open within limits.
#[derive(Clone)]
enum Free {
    /// The identification of the IPv4 header at this offset.
    Identification(usize),
    /// DF of the IPv4 header at this offset, set or clear.
    DontFragment(usize),
    /// The TOS of the IPv4 header at this offset, one of these values.
    Tos(usize, Vec<u8>),
    /// The flow label of the IPv6 header at this offset: any but 0.
    FlowLabel(usize),
    /// The identification of the IPv6 fragment header at this offset.
    FragmentIdentification(usize),
    /// Traffic class and flow label of the IPv6 header at this offset.
    FirstWord(usize),
    /// The source port of the UDP header at this offset: any from the first to the second port. It is checked by
    /// etherparse.
    SourcePort(usize, u16, u16),
    /// The TTL in the packet that the ICMP message at this offset quotes: as written, or one less.
    QuotedTtl(usize),
}

/// A frame that has to come out, byte for byte but for its free fields.
#[derive(Clone)]
pub(crate) struct Expected {
    frame: Vec<u8>,
    free: Vec<Free>,
}

impl From<Vec<u8>> for Expected {
    fn from(frame: Vec<u8>) -> Self {
        Self { frame, free: Vec::new() }
    }
}

impl Expected {
    fn with(mut self, free: Free) -> Self {
        self.free.push(free);
        self
    }

    /// `frame`, whose outer IPv6 header carries some flow label.
    pub(crate) fn any_flow_label(frame: Vec<u8>) -> Self {
        Self::from(frame).with(Free::FlowLabel(14))
    }

    /// `frame`, whose UDP header at `at` has a source port of the dynamic range.
    pub(crate) fn any_source_port(frame: Vec<u8>, at: usize) -> Self {
        Self::source_port_of(frame, at, (49_152, 65_535))
    }

    /// The same of another range.
    pub(crate) fn source_port_of(frame: Vec<u8>, at: usize, (first, last): (u16, u16)) -> Self {
        let expected = Self::from(frame).with(Free::SourcePort(at, first, last));
        if at >= 54 { expected.with(Free::FlowLabel(14)) } else { expected }
    }

    /// `frame`, whose outer IPv4 header has an identification of our choice.
    pub(crate) fn any_identification(frame: Vec<u8>) -> Self {
        Self::from(frame).with(Free::Identification(14))
    }

    /// The same, and an identification of our choice in the outer IPv4 header.
    pub(crate) fn and_identification(self) -> Self {
        self.with(Free::Identification(14))
    }

    /// `frame`, an IPv6 fragment: flow label and identification are ours to choose.
    pub(crate) fn fragment6(frame: Vec<u8>) -> Self {
        Self::any_flow_label(frame).with(Free::FragmentIdentification(54))
    }

    /// `frame` with an echo reply whose IP header is at `at`: identification and DF are ours to choose.
    pub(crate) fn reply4(frame: Vec<u8>, at: usize) -> Self {
        Self::from(frame).with(Free::Identification(at)).with(Free::DontFragment(at))
    }

    /// `frame` with one of our ICMP errors, whose IPv4 header is at `at`. The TOS may be precedence 6 or
    /// a copy (section D); the quoted TTL may show the decrement of the forwarding that failed.
    pub(crate) fn error4(frame: Vec<u8>, at: usize) -> Self {
        let copied = frame[at + 29] & 0xfc;
        let mut expected = Self::from(frame)
            .with(Free::Identification(at))
            .with(Free::Tos(at, vec![0xc0, copied]))
            .with(Free::QuotedTtl(at + 20));
        if at == 34 {
            // Encapsulated by a tunnel over IPv4: the outer DSCP follows the inner one.
            expected = expected.with(Free::Tos(14, vec![0xc0, copied]));
        }
        if at == 54 {
            expected = expected.with(Free::FirstWord(14));
        }
        expected
    }

    /// The same for ICMPv6.
    pub(crate) fn error6(frame: Vec<u8>, at: usize) -> Self {
        let expected = Self::from(frame).with(Free::FirstWord(at)).with(Free::QuotedTtl(at + 40));
        match at {
            34 => expected.with(Free::Tos(14, vec![0, 0xc0])),
            54 => expected.with(Free::FirstWord(14)),
            _ => expected,
        }
    }

    /// The expected bytes with the free fields taken from `actual` where it stays within the limits.
    pub(crate) fn resolved(&self, actual: &[u8]) -> Vec<u8> {
        let mut frame = self.frame.clone();
        if frame.len() == actual.len() {
            for free in &self.free {
                free.adopt(&mut frame, actual);
            }
        }
        frame
    }
}

impl Free {
    fn adopt(&self, frame: &mut [u8], actual: &[u8]) {
        match self {
            Self::Identification(at) => {
                frame[at + 4..at + 6].copy_from_slice(&actual[at + 4..at + 6]);
                seal_ipv4(frame, *at);
            }
            Self::DontFragment(at) => {
                frame[at + 6] = frame[at + 6] & !0x40 | actual[at + 6] & 0x40;
                seal_ipv4(frame, *at);
            }
            Self::Tos(at, allowed) => {
                if allowed.contains(&actual[at + 1]) {
                    frame[at + 1] = actual[at + 1];
                    seal_ipv4(frame, *at);
                }
            }
            Self::FlowLabel(at) => {
                let label = [actual[at + 1] & 15, actual[at + 2], actual[at + 3]];
                if label != [0; 3] {
                    frame[at + 1] = frame[at + 1] & 0xf0 | label[0];
                    frame[at + 2..at + 4].copy_from_slice(&label[1..]);
                }
            }
            Self::FragmentIdentification(at) => {
                frame[at + 4..at + 8].copy_from_slice(&actual[at + 4..at + 8]);
            }
            Self::FirstWord(at) => {
                frame[at + 1..at + 4].copy_from_slice(&actual[at + 1..at + 4]);
                frame[*at] = 0x60 | actual[*at] & 15;
            }
            Self::SourcePort(at, first, last) => {
                let port = u16::from_be_bytes([actual[*at], actual[at + 1]]);
                if (*first..=*last).contains(&port) {
                    frame[*at..at + 2].copy_from_slice(&actual[*at..at + 2]);
                    seal_udp(frame, *at);
                }
            }
            Self::QuotedTtl(icmp) => adopt_quoted_ttl(frame, actual, *icmp),
        }
    }
}

fn adopt_quoted_ttl(frame: &mut [u8], actual: &[u8], icmp: usize) {
    let quote = icmp + 8;
    let four = frame[quote] >> 4 == 4;
    let ttl = quote + if four { 8 } else { 7 };
    if actual[ttl].checked_add(1) != Some(frame[ttl]) {
        return;
    }
    frame[ttl] = actual[ttl];
    frame[icmp + 2..icmp + 4].fill(0);
    let sum = if four {
        seal_ipv4(frame, quote);
        internet_checksum(&[&frame[icmp..]])
    } else {
        let len = u32::try_from(frame.len() - icmp).unwrap().to_be_bytes();
        let next = [0, 0, 0, 58];
        internet_checksum(&[&frame[icmp - 32..icmp], &len, &next, &frame[icmp..]])
    };
    frame[icmp + 2..icmp + 4].copy_from_slice(&sum.to_be_bytes());
}

/// One case under construction.
#[derive(Clone)]
pub(crate) struct Case {
    name: String,
    replay: Replay,
    clock: Time,
    pace: Time,
    expected: BTreeMap<String, Vec<Expected>>,
    counters: BTreeMap<String, u64>,
    ignored: Vec<String>,
}

impl Case {
    /// `name` begins with the number that the case proves.
    pub(crate) fn new(name: &str, bench: Bench) -> Self {
        Self {
            name: name.to_owned(),
            replay: Replay::new(bench),
            clock: 0,
            pace: MILLISECOND,
            expected: BTreeMap::new(),
            counters: BTreeMap::new(),
            ignored: Vec::new(),
        }
    }

    /// A frame that arrives a millisecond after the one before, or as `pace` says.
    pub(crate) fn input(mut self, port: &str, frame: Vec<u8>) -> Self {
        self.replay.input(port, self.clock, frame);
        self.clock += self.pace;
        self
    }

    /// Frames arrive so far apart, in nanoseconds.
    pub(crate) fn pace(mut self, pace: Time) -> Self {
        self.pace = pace;
        self
    }

    /// The next frame arrives so much later.
    pub(crate) fn wait(mut self, time: Time) -> Self {
        self.clock += time;
        self
    }

    /// Time passes before the next frame arrives.
    pub(crate) fn pause(mut self, nanoseconds: Time) -> Self {
        self.clock += nanoseconds;
        self
    }

    /// The clock runs on for so long after the last frame.
    pub(crate) fn linger(mut self, seconds: u64) -> Self {
        self.replay.linger = Some(seconds.to_string());
        self
    }

    pub(crate) fn expect(mut self, port: &str, frame: impl Into<Expected>) -> Self {
        self.expected.entry(port.to_owned()).or_default().push(frame.into());
        self
    }

    pub(crate) fn counter(mut self, path: &str, count: u64) -> Self {
        *self.counters.entry(path.to_owned()).or_default() += count;
        self
    }

    /// A counter that belongs to no tunnel moves by one.
    pub(crate) fn counts(self, name: &str) -> Self {
        self.counter(&format!("dataplane.{name}"), 1)
    }

    /// A counter of a tunnel moves by one.
    pub(crate) fn tunnel_counts(self, tunnel: &str, name: &str) -> Self {
        self.counter(&format!("tunnels.{tunnel}.{name}"), 1)
    }

    /// An inner packet of `len` bytes leaves through the tunnel.
    pub(crate) fn tunnel_sends(self, tunnel: &str, len: u64) -> Self {
        self.tunnel_counts(tunnel, "tx_packets").counter(&format!("tunnels.{tunnel}.tx_bytes"), len)
    }

    /// An inner packet of `len` bytes is accepted from the tunnel.
    pub(crate) fn tunnel_accepts(self, tunnel: &str, len: u64) -> Self {
        self.tunnel_counts(tunnel, "rx_packets").counter(&format!("tunnels.{tunnel}.rx_bytes"), len)
    }

    /// An event counter about which the specification leaves the count open.
    pub(crate) fn ignore(mut self, path: &str) -> Self {
        self.ignored.push(path.to_owned());
        self
    }

    /// What came of it, for cases that the table of expectations does not fit.
    pub(crate) fn outcome(&self) -> Outcome {
        self.replay.run()
    }

    /// Runs the case; panics with a readable account of every difference.
    pub(crate) fn run(self) {
        let report = self.judge();
        assert!(report.is_empty(), "{report}");
    }

    /// Runs the case: an account of what differs, empty when nothing does.
    fn judge(&self) -> String {
        let mut report = String::new();
        match self.replay.try_run() {
            Ok(outcome) => self.judge_outcome(&outcome, &mut report),
            Err(failure) => report = failure,
        }
        if report.is_empty() { report } else { format!("\n=== {}\n{report}", self.name) }
    }

    fn judge_outcome(&self, outcome: &Outcome, report: &mut String) {
        for port in self.replay.bench.ports() {
            self.judge_frames(&port, outcome, report);
        }
        self.judge_counters(outcome, report);
        for complaint in complaints(outcome) {
            writeln!(report, "it does not add up: {complaint}").unwrap();
        }
    }

    fn judge_frames(&self, port: &str, outcome: &Outcome, report: &mut String) {
        let expected = self.expected.get(port).map_or(&[][..], Vec::as_slice);
        let actual = outcome.frames(port);
        for at in 0..expected.len().max(actual.len()) {
            match (expected.get(at), actual.get(at)) {
                (Some(expected), Some(actual)) => {
                    let wanted = expected.resolved(actual);
                    if wanted != *actual {
                        let diff = decode::compare(&wanted, actual);
                        writeln!(report, "frame {at} on {port} differs:\n{diff}").unwrap();
                    }
                }
                (Some(expected), None) => {
                    let what = decode::describe(&expected.frame);
                    writeln!(report, "frame {at} on {port} is missing:\n{what}").unwrap();
                }
                (None, Some(actual)) => {
                    let what = decode::describe(actual);
                    writeln!(report, "frame {at} on {port} was not expected:\n{what}").unwrap();
                }
                (None, None) => {}
            }
        }
        for (at, frame) in actual.iter().enumerate() {
            for fault in decode::faults(frame) {
                writeln!(report, "frame {at} on {port} is broken by itself: {fault}").unwrap();
            }
        }
    }

    fn judge_counters(&self, outcome: &Outcome, report: &mut String) {
        let mut wanted = self.counters.clone();
        for (port, records) in &self.replay.inputs {
            let bytes: usize = records.iter().map(|record| record.frame.len()).sum();
            wanted.insert(format!("ports.{port}.rx_packets"), records.len() as u64);
            wanted.insert(format!("ports.{port}.rx_bytes"), bytes as u64);
        }
        for (port, frames) in &self.expected {
            let bytes: usize = frames.iter().map(|expected| expected.frame.len()).sum();
            wanted.insert(format!("ports.{port}.tx_packets"), frames.len() as u64);
            wanted.insert(format!("ports.{port}.tx_bytes"), bytes as u64);
        }
        let names = wanted.keys().chain(outcome.counters.keys());
        let names: std::collections::BTreeSet<_> = names.collect();
        for name in names {
            let open = TOTALS.iter().any(|prefix| name.starts_with(prefix));
            if open || self.ignored.contains(name) {
                continue;
            }
            let (wanted, actual) = (wanted.get(name).copied().unwrap_or(0), outcome.counter(name));
            if wanted != actual {
                writeln!(report, "counter {name}: expected {wanted}, actual {actual}").unwrap();
            }
        }
    }
}

/// Runs every case, so that one failure does not hide the next.
pub(crate) fn run_all(cases: impl IntoIterator<Item = Case>) {
    let reports: String = cases.into_iter().map(|case| case.judge()).collect();
    assert!(reports.is_empty(), "{reports}");
}
