//! ping and iperf3, run in a namespace and read.

use std::time::Duration;

use serde_json::Value;

use crate::guest::Guest;
use crate::network::{Namespace, Running, until};

const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// What `ping` saw.
pub(crate) struct Pings {
    pub(crate) sent: u32,
    pub(crate) received: u32,
    /// Round trips in milliseconds, in the order of their answers.
    pub(crate) round_trips_ms: Vec<f64>,
    /// All it printed, ICMP errors among it.
    pub(crate) text: String,
}

impl Pings {
    /// Insists that each one was answered.
    #[track_caller]
    pub(crate) fn all_answered(self) -> Self {
        assert!(self.sent > 0 && self.received == self.sent, "lost pings:\n{}", self.text);
        self
    }

    /// Insists that at least one was answered.
    #[track_caller]
    pub(crate) fn received_one(self) -> Self {
        assert!(self.received > 0, "no ping came back:\n{}", self.text);
        self
    }

    /// Insists that none was answered and that the text contains `words`.
    #[track_caller]
    pub(crate) fn refused_with(self, words: &str) -> Self {
        assert!(
            self.received == 0 && self.text.contains(words),
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
    read(&from.attempt(&format!("ping -n {line}")).1)
}

/// Pings that run while something else happens; `pings` reads them.
pub(crate) fn start_ping(from: &Namespace, line: &str) -> Running {
    from.start(&format!("ping -n {line}"))
}

/// Reads what `ping` printed.
pub(crate) fn read(text: &str) -> Pings {
    let number_before = |words: &str| {
        let end = text.find(words)?;
        text[..end].split([' ', '\n']).next_back()?.parse::<u32>().ok()
    };
    let round_trips_ms = text
        .lines()
        .filter_map(|line| line.split_once(" time=")?.1.split(' ').next()?.parse::<f64>().ok())
        .collect();
    Pings {
        sent: number_before(" packets transmitted").unwrap_or(0),
        received: number_before(" received").unwrap_or(0),
        round_trips_ms,
        text: text.to_owned(),
    }
}

/// What the receiver of an iperf3 run counted.
pub(crate) struct Throughput {
    pub(crate) megabits_per_second: f64,
    pub(crate) lost_percent: f64,
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
    let throughput = Throughput {
        megabits_per_second: number(&format!("{received}/bits_per_second")) / 1e6,
        lost_percent: number("/end/sum/lost_percent"),
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
