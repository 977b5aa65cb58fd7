//! Workers: how loaded they are, what they run, what buffers are left, and whether packets add up.

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
        writeln!(f, "buffers: {} of {} free", self.mempool.free, self.mempool.size)?;
        writeln!(f, "{}", self.balance)
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
        let report = Workers { workers: vec![worker], mempool, balance: Balance::default() };
        let text = report.to_string();
        assert!(text.contains("25.6 %") && text.contains("12.5"), "{text}");
        assert!(text.contains("buffers: 10 of 20 free"), "{text}");
    }
}
