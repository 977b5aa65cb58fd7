//! Runs the `adit` binary under test: one replay of captures, or `adit check` of a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::bench::Bench;
use crate::capture::{self, Order, Record, Resolution, Time};
use crate::conserve::complaints;
use crate::told::told_alike;

/// Counters that say how much went through, not what happened to it; checked by the tests about them.
pub(crate) const TOTALS: [&str; 3] = ["balance.", "latency.", "workers."];

/// When the first frame of a test arrives: some day in 2023, in whole seconds.
pub(crate) const START: Time = 1_700_000_000_000_000_000;
pub(crate) const MILLISECOND: Time = 1_000_000;
pub(crate) const SECOND: Time = 1_000_000_000;

/// One run of `adit replay`: a configuration and what arrives on its ports.
#[derive(Clone)]
pub(crate) struct Replay {
    pub(crate) bench: Bench,
    /// Per port, in the order in which the ports were first used.
    pub(crate) inputs: Vec<(String, Vec<Record>)>,
    pub(crate) linger: Option<String>,
    pub(crate) boot: bool,
}

/// What a replay left behind.
pub(crate) struct Outcome {
    pub(crate) sent: BTreeMap<String, Vec<Record>>,
    /// By path: `dataplane.tun.no_match`, `tunnels.t0.rx_packets`.
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) directory: tempfile::TempDir,
}

impl Replay {
    pub(crate) fn new(bench: Bench) -> Self {
        Self { bench, inputs: Vec::new(), linger: None, boot: false }
    }

    /// A frame that arrives on `port`, `after` nanoseconds from the start.
    pub(crate) fn input(&mut self, port: &str, after: Time, frame: Vec<u8>) {
        let record = Record::new(START + after, frame);
        match self.inputs.iter_mut().find(|(name, _)| name == port) {
            Some((_, records)) => records.push(record),
            None => self.inputs.push((port.to_owned(), vec![record])),
        }
    }

    /// Runs it; panics with everything the command said when it fails, when a packet is lost, and when
    /// `adit explain` tells another story of the same frames.
    pub(crate) fn run(&self) -> Outcome {
        let outcome = self.try_run().unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(complaints(&outcome), Vec::<String>::new(), "it does not add up");
        told_alike(self, &outcome);
        outcome
    }

    /// Runs `adit explain` over the same.
    pub(crate) fn explain(&self, arguments: &[&str]) -> Output {
        let directory = tempfile::tempdir().unwrap();
        let inputs = self.write_inputs(directory.path());
        let mut command = self.line("explain", directory.path(), &inputs);
        command.args(arguments).output().unwrap()
    }

    /// Writes the captures, and returns them as arguments of `--in`.
    fn write_inputs(&self, directory: &Path) -> Vec<String> {
        let write = |(port, records): &(String, Vec<Record>)| {
            let path = directory.join(format!("in-{port}.pcap"));
            std::fs::write(&path, capture::pcap(records, Order::Little, Resolution::Nano)).unwrap();
            format!("{port}={}", path.display())
        };
        self.inputs.iter().map(write).collect()
    }

    /// Runs it; the error is everything the command said.
    pub(crate) fn try_run(&self) -> Result<Outcome, String> {
        let directory = tempfile::tempdir().unwrap();
        let inputs = self.write_inputs(directory.path());
        let output = self.command(directory.path(), &inputs).output().unwrap();
        if output.status.success() {
            return Ok(self.collect(directory));
        }
        let yaml = self.bench.yaml();
        let said = said(&output);
        Err(format!("adit replay: {}\n{said}\nconfiguration:\n{yaml}", output.status))
    }

    /// The command line of a replay.
    pub(crate) fn command(&self, directory: &Path, inputs: &[String]) -> Command {
        let mut command = self.line("replay", directory, inputs);
        command.arg("--out").arg(directory.join("out"));
        command
    }

    /// A command line, with the configuration written beside the captures.
    fn line(&self, verb: &str, directory: &Path, inputs: &[String]) -> Command {
        let file = directory.join("adit.yaml");
        std::fs::write(&file, self.bench.yaml()).unwrap();
        let mut command = adit();
        command.arg(verb).arg("-c").arg(&file);
        for input in inputs {
            command.args(["--in", input]);
        }
        if let Some(linger) = &self.linger {
            command.args(["--linger", linger]);
        }
        if self.boot {
            command.arg("--boot");
        }
        command
    }

    fn collect(&self, directory: tempfile::TempDir) -> Outcome {
        let out = directory.path().join("out");
        let read = |port: String| {
            let records = capture::read(&out.join(format!("{port}.pcap"))).records;
            (port, records)
        };
        let sent = self.bench.ports().into_iter().map(read).collect();
        let counters = read_counters(&out.join("counters.json"));
        Outcome { sent, counters, directory }
    }
}

impl Outcome {
    pub(crate) fn counter(&self, path: &str) -> u64 {
        self.counters.get(path).copied().unwrap_or(0)
    }

    pub(crate) fn frames(&self, port: &str) -> Vec<Vec<u8>> {
        self.sent[port].iter().map(|record| record.frame.clone()).collect()
    }
}

/// The counters of a `counters.json` by path.
pub(crate) fn read_counters(path: &Path) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let tree: Value = serde_json::from_str(&text).unwrap();
    let mut counters = BTreeMap::new();
    flatten(&tree, "", &mut counters);
    counters
}

fn flatten(tree: &Value, path: &str, into: &mut BTreeMap<String, u64>) {
    if let Some(map) = tree.as_object() {
        for (key, value) in map {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            flatten(value, &path, into);
        }
    } else if let Some(count) = tree.as_u64() {
        into.insert(path.to_owned(), count);
    }
}

/// The binary under test, its arguments still to come.
pub(crate) fn adit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_adit"))
}

/// Both streams of a finished command.
pub(crate) fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

/// `adit check` of `text`: the exit status and what it printed.
pub(crate) fn check(text: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("adit.yaml");
    std::fs::write(&file, text).unwrap();
    let mut command = adit();
    let output = command.arg("check").arg(&file).output().unwrap();
    (output.status.code().unwrap(), said(&output))
}
