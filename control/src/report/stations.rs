//! Stations on the far sides of tunnels of frames with several remotes, and which remote each is behind.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};

/// All of them, by tunnel; those that are configured come first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stations {
    /// They.
    pub fdb: Vec<Station>,
}

/// One station.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Station {
    /// The tunnel.
    pub tunnel: String,
    /// Its MAC address.
    pub station: String,
    /// The remote that it is behind.
    pub remote: String,
    /// For about how many seconds nothing was heard of it; `None`: it is configured.
    pub silent_s: Option<u64>,
}

impl Station {
    /// Whether it, its remote or its tunnel is called so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.tunnel == name || self.station == name || self.remote == name
    }
}

impl fmt::Display for Stations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fdb.is_empty() {
            return writeln!(f, "no stations are known");
        }
        let mut table =
            Table::new(&[("tunnel", Left), ("station", Left), ("remote", Left), ("silent", Right)]);
        for one in &self.fdb {
            table.row([
                one.tunnel.clone(),
                one.station.clone(),
                one.remote.clone(),
                one.silent_s.map_or_else(|| "configured".to_owned(), |s| format!("{s} s")),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_configured_is_told_from_who_was_heard() {
        let station = |station: &str, silent_s| Station {
            tunnel: "campus".to_owned(),
            station: station.to_owned(),
            remote: "203.0.113.2".to_owned(),
            silent_s,
        };
        let fdb = vec![station("02:00:00:00:00:01", None), station("02:00:00:00:00:02", Some(7))];
        assert!(fdb[0].is_called("campus") && fdb[0].is_called("203.0.113.2"));
        assert!(!fdb[0].is_called("02:00:00:00:00:02"));
        let text = Stations { fdb }.to_string();
        assert!(text.contains("configured") && text.contains("7 s"), "{text}");
        assert_eq!(Stations::default().to_string(), "no stations are known\n");
    }
}
