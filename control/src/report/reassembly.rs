//! Reassembly: packets in pieces that wait for the others, how much may wait, and what became of those
//! that came before.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};
use super::units::bytes;

/// What waits at each worker, and what was counted over all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reassembly {
    /// By worker.
    pub reassembly: Vec<Waiting>,
    /// Packets that were put together.
    pub ok: u64,
    /// Pieces that were lost, by reason: a drop counter of `reasm.`, without those at zero.
    pub lost: Vec<LostPieces>,
}

/// What waits at one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// The name of the worker's thread.
    pub worker: String,
    /// Packets of which pieces wait.
    pub packets: u64,
    /// The pieces.
    pub pieces: u64,
    /// Those they are from; all whose packets are for no tunnel count as one.
    pub peers: u64,
    /// Memory of the buffers that the pieces are in.
    pub bytes: u64,
    /// The most that this worker may hold.
    pub limit_bytes: u64,
    /// Of that, the most of one peer.
    pub limit_per_peer_bytes: u64,
}

/// Pieces that were lost for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LostPieces {
    /// The counter, such as `reasm.timeout`.
    pub reason: String,
    /// How many.
    pub pieces: u64,
}

impl fmt::Display for Reassembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            ("worker", Left),
            ("packets", Right),
            ("pieces", Right),
            ("peers", Right),
            ("memory", Right),
            ("limit", Right),
            ("per peer", Right),
        ]);
        for waiting in &self.reassembly {
            table.row([
                waiting.worker.clone(),
                waiting.packets.to_string(),
                waiting.pieces.to_string(),
                waiting.peers.to_string(),
                bytes(waiting.bytes),
                bytes(waiting.limit_bytes),
                bytes(waiting.limit_per_peer_bytes),
            ]);
        }
        table.fmt(f)?;
        writeln!(f, "packets put together: {}", self.ok)?;
        let lost: Vec<String> =
            self.lost.iter().map(|lost| format!("{} {}", lost.pieces, lost.reason)).collect();
        if lost.is_empty() { Ok(()) } else { writeln!(f, "pieces lost: {}", lost.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_said_in_buffers_and_what_is_lost_by_reason() {
        let waiting = Waiting {
            worker: "adit-w0".to_owned(),
            packets: 2,
            pieces: 3,
            peers: 1,
            bytes: 3 * 3648,
            limit_bytes: 64 << 20,
            limit_per_peer_bytes: 4 << 20,
        };
        let lost = LostPieces { reason: "reasm.timeout".to_owned(), pieces: 7 };
        let report = Reassembly { reassembly: vec![waiting], ok: 5, lost: vec![lost] };
        let text = report.to_string();
        for part in ["adit-w0", "64.0 MiB", "put together: 5", "lost: 7 reasm.timeout"] {
            assert!(text.contains(part), "{text}");
        }
        let text = Reassembly::default().to_string();
        assert!(!text.contains("lost"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["reassembly"][0]["pieces"], 3);
        assert_eq!(json["lost"][0]["reason"], "reasm.timeout");
    }
}
