//! ping and iperf3, run in a namespace and read.

use std::time::Duration;

use serde_json::Value;

use crate::guest::Guest;
use crate::network::{Namespace, Running, until};

const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// What `ping` saw.
pub(crate) struct Pings {
    /// How many were asked for.
    asked: usize,
    /// The numbers of those that were answered, in the order of their answers; one twice is there twice.
    answered: Vec<usize>,
    /// Round trips in milliseconds, in the same order.
    round_trips_ms: Vec<f64>,
    /// All it printed, ICMP errors among it.
    pub(crate) text: String,
}

impl Pings {
    pub(crate) fn received(&self) -> usize {
        self.answered.len()
    }

    /// Insists that each one was answered, once. Needs `-w`, with which ping goes on until enough answers are there:
    /// without it ping waits for the last answer only twice as long as for the slowest one before.
    #[track_caller]
    pub(crate) fn all_answered(self) -> Self {
        let mut numbers = self.answered.clone();
        numbers.sort_unstable();
        let is_complete =
            numbers.iter().copied().eq(1..=numbers.len()) && numbers.len() >= self.asked;
        assert!(
            is_complete && self.asked > 0,
            "lost or doubled pings of {}:\n{}",
            self.asked,
            self.text
        );
        self
    }

    /// Insists that at least one was answered.
    #[track_caller]
    pub(crate) fn received_one(self) -> Self {
        assert!(self.received() > 0, "no ping came back:\n{}", self.text);
        self
    }

    /// Insists that none was answered and that the text contains `words`.
    #[track_caller]
    pub(crate) fn refused_with(self, words: &str) -> Self {
        assert!(
            self.received() == 0 && self.text.contains(words),
            "expected {words:?}:\n{}",
            self.text
        );
        self
    }

    pub(crate) fn median_ms(&self) -> f64 {
        let mut sorted = self.round_trips_ms.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Pings with these words of `ping`'s command line: `-c 3 10.0.0.1`.
pub(crate) fn ping(from: &Namespace, line: &str) -> Pings {
    let mut words = line.split_whitespace().skip_while(|word| *word != "-c");
    let asked = words.nth(1).and_then(|word| word.parse().ok()).expect("pings are counted: -c");
    read(asked, &from.attempt(&format!("ping -n {line}")).1)
}

/// One ping, so that all neighbors on the way are known: packets that meet an unknown one wait, are overtaken, and only
/// the newest three are kept.
#[track_caller]
pub(crate) fn acquaint(from: &Namespace, address: &str) {
    ping(from, &format!("-c 1 -w 10 {address}")).received_one();
}

/// Pings that run while something else happens; `read` reads them.
pub(crate) fn start_ping(from: &Namespace, line: &str) -> Running {
    from.start(&format!("ping -n {line}"))
}

/// Reads what `ping`, asked for so many, has printed.
pub(crate) fn read(asked: usize, text: &str) -> Pings {
    // 64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=0.042 ms
    let answers = text.lines().filter_map(|line| {
        let number = line.split_once("icmp_seq=")?.1.split(' ').next()?.parse::<usize>().ok()?;
        let time = line.split_once(" time=")?.1.split(' ').next()?.parse::<f64>().ok()?;
        Some((number, time))
    });
    let (answered, round_trips_ms) = answers.unzip();
    Pings { asked, answered, round_trips_ms, text: text.to_owned() }
}

/// What the receiver of an iperf3 run counted.
pub(crate) struct Throughput {
    pub(crate) megabits_per_second: f64,
    pub(crate) lost_percent: f64,
    /// Of UDP: datagrams that came after a later one of their stream.
    pub(crate) out_of_order: f64,
}

/// Runs iperf3 from `client` to `server_address` on `server`; `options` are of the client's command line.
#[track_caller]
pub(crate) fn iperf(
    client: &Namespace,
    server: &Namespace,
    server_address: &str,
    options: &str,
) -> Throughput {
    let mut listening = server.start("iperf3 -s -1");
    until(LISTEN_LIMIT, "listening iperf3", || {
        assert!(!listening.is_over(), "the iperf3 server ended at once");
        (!server.run("ss -Hltn sport = 5201").trim().is_empty()).then_some(())
    });
    let text = client.run(&format!("timeout 60 iperf3 -J -c {server_address} {options}"));
    let report: Value = serde_json::from_str(&text).expect("iperf3 -J prints JSON");
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let received = if options.contains("-u") { "/end/sum" } else { "/end/sum_received" };
    let streams = report["end"]["streams"].as_array().into_iter().flatten();
    let throughput = Throughput {
        megabits_per_second: number(&format!("{received}/bits_per_second")) / 1e6,
        lost_percent: number("/end/sum/lost_percent"),
        out_of_order: streams
            .map(|stream| stream["udp"]["out_of_order"].as_f64().unwrap_or(0.0))
            .sum(),
    };
    listening.finish();
    throughput
}

/// As `iperf`, towards a server in the guest: a second of TCP each way; the lower of the two rates in Mbit/s.
#[track_caller]
pub(crate) fn iperf_to_guest(client: &Namespace, guest: &mut Guest, server_address: &str) -> f64 {
    let rate = |guest: &mut Guest, options: &str| {
        guest.run("iperf3 -s -1 -D; while ! grep -q ':1451 ' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done");
        let text = client.run(&format!("timeout 60 iperf3 -J -c {server_address} -t 1 {options}"));
        let report: Value = serde_json::from_str(&text).expect("iperf3 -J prints JSON");
        report.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64).unwrap_or(0.0)
            / 1e6
    };
    rate(guest, "").min(rate(guest, "-R"))
}
