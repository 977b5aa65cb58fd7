//! Neighbors: the link-layer addresses behind the addresses next to us.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};

/// All neighbors, by port and address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbors {
    /// They.
    pub neighbors: Vec<Neighbor>,
}

/// One neighbor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Neighbor {
    /// Where it is.
    pub port: String,
    /// Who it is.
    pub address: String,
    /// What its interface is called; `None`: not known (yet).
    pub mac: Option<String>,
    /// `static`, `reachable`, `stale`, `delay`, `probe`, `incomplete`, `failed`.
    pub state: String,
    /// Since it was last confirmed; `None`: it never was, or needs not be.
    pub age_seconds: Option<u64>,
    /// Packets that wait for its answer.
    pub queued: u32,
}

impl fmt::Display for Neighbors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.neighbors.is_empty() {
            return writeln!(f, "no neighbors");
        }
        let mut table = Table::new(&[
            ("port", Left),
            ("address", Left),
            ("mac", Left),
            ("state", Left),
            ("age", Right),
            ("queued", Right),
        ]);
        for neighbor in &self.neighbors {
            table.row([
                neighbor.port.clone(),
                neighbor.address.clone(),
                neighbor.mac.clone().unwrap_or_default(),
                neighbor.state.clone(),
                neighbor.age_seconds.map(|age| format!("{age} s")).unwrap_or_default(),
                neighbor.queued.to_string(),
            ]);
        }
        table.fmt(f)
    }
}
