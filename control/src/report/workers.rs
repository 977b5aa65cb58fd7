//! Workers: how loaded they are, what they run, how they share work, what buffers are left, and
//! whether packets add up.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::balance::Balance;
use super::table::{Align::Left, Align::Right, Table};
use super::units::percent;

/// All workers and what they share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workers {
    /// By number.
    pub workers: Vec<Worker>,
    /// What the busiest worker processed in the last second, as a multiple of the mean: 1 when all
    /// do the same. Absent when nothing was processed, or work is never shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imbalance: Option<f64>,
    /// Packet buffers.
    pub mempool: Mempool,
    /// Where packets went.
    pub balance: Balance,
}

/// One worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    /// The name of its thread.
    pub name: String,
    /// The core it is pinned to.
    pub core: Option<u16>,
    /// The generation of tables that it runs.
    pub generation: u64,
    /// Rounds over all ports.
    pub polls: u64,
    /// Bursts that held at least one packet.
    pub bursts: u64,
    /// The share of its time in rounds that found packets, 0 to 1, since the last question or start.
    pub busy: f64,
    /// Frames received.
    pub rx_packets: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// How it shares work with others; absent with a single worker and with `spread: off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Sharing>,
}

/// How a worker shares what it receives with others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sharing {
    /// `off`, `trying` (it is being measured what help brings), `on`, or `waiting` (help brought
    /// nothing; it is not tried again for a while).
    pub state: String,
    /// For how long.
    pub since_seconds: u64,
    /// Who gets packets from it now.
    pub helpers: Vec<String>,
    /// Packets given to other workers.
    pub handoffs_out: u64,
    /// Packets taken from other workers.
    pub handoffs_in: u64,
    /// The most bursts that ever waited in a ring to another worker.
    pub ring_depth_max: u64,
    /// Packets that found such a ring full, and were dropped.
    pub ring_full: u64,
}

/// Packet buffers, of all pools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mempool {
    /// Buffers that nobody holds.
    pub free: u64,
    /// All of them.
    pub size: u64,
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            ("worker", Left),
            ("core", Right),
            ("busy", Right),
            ("rx packets", Right),
            ("tx packets", Right),
            ("polls", Right),
            ("packets/burst", Right),
            ("generation", Right),
        ]);
        for worker in &self.workers {
            table.row([
                worker.name.clone(),
                worker.core.map(|core| core.to_string()).unwrap_or_default(),
                percent(worker.busy),
                worker.rx_packets.to_string(),
                worker.tx_packets.to_string(),
                worker.polls.to_string(),
                average(worker.rx_packets, worker.bursts),
                worker.generation.to_string(),
            ]);
        }
        table.fmt(f)?;
        self.fmt_sharing(f)?;
        writeln!(f, "buffers: {} of {} free", self.mempool.free, self.mempool.size)?;
        writeln!(f, "{}", self.balance)
    }
}

impl Workers {
    /// A second table, where work can be shared.
    fn fmt_sharing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            ("worker", Left),
            ("spread", Left),
            ("since", Right),
            ("helpers", Left),
            ("handed out", Right),
            ("taken in", Right),
            ("deepest ring", Right),
            ("ring full", Right),
        ]);
        let mut is_empty = true;
        for worker in &self.workers {
            let Some(sharing) = &worker.spread else { continue };
            is_empty = false;
            table.row([
                worker.name.clone(),
                sharing.state.clone(),
                format!("{} s", sharing.since_seconds),
                sharing.helpers.join(" "),
                sharing.handoffs_out.to_string(),
                sharing.handoffs_in.to_string(),
                sharing.ring_depth_max.to_string(),
                sharing.ring_full.to_string(),
            ]);
        }
        if is_empty {
            return Ok(());
        }
        write!(f, "{table}")?;
        match self.imbalance {
            Some(multiple) => {
                writeln!(f, "imbalance: the busiest worker does {multiple:.2} times the mean")
            }
            None => Ok(()),
        }
    }
}

/// To one decimal; nothing where nothing was counted.
fn average(sum: u64, count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    let tenths = u128::from(sum) * 10 / u128::from(count);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_and_burst_size_are_said_in_numbers_a_person_reads() {
        let worker = Worker {
            name: "adit-w0".to_owned(),
            core: Some(1),
            busy: 0.256,
            rx_packets: 100,
            bursts: 8,
            ..Worker::default()
        };
        let mempool = Mempool { free: 10, size: 20 };
        let report = Workers { workers: vec![worker], mempool, ..Workers::default() };
        let text = report.to_string();
        assert!(text.contains("25.6 %") && text.contains("12.5"), "{text}");
        assert!(text.contains("buffers: 10 of 20 free"), "{text}");
        assert!(!text.contains("spread"), "{text}");
    }

    #[test]
    fn who_helps_whom_is_said_where_work_can_be_shared() {
        let sharing = Sharing {
            state: "on".to_owned(),
            since_seconds: 12,
            helpers: vec!["adit-w1".to_owned(), "adit-w2".to_owned()],
            handoffs_out: 4711,
            ..Sharing::default()
        };
        let worker = Worker { spread: Some(sharing), ..Worker::default() };
        let workers =
            Workers { workers: vec![worker], imbalance: Some(1.25), ..Workers::default() };
        let text = workers.to_string();
        for part in ["12 s", "adit-w1 adit-w2", "4711", "does 1.25 times the mean"] {
            assert!(text.contains(part), "{text}");
        }
        let json = serde_json::to_value(&workers).unwrap();
        assert_eq!(json["workers"][0]["spread"]["handoffs_out"], 4711);
    }
}
