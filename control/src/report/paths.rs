//! Paths between tunnel ends that something was learnt about: how large packets may be, and whether they
//! arrive.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};

/// All of them, in no order that means anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paths {
    /// They.
    pub paths: Vec<Path>,
}

/// One path. What has run out is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Path {
    /// Our end.
    pub local: String,
    /// The far end.
    pub remote: String,
    /// Where outer packets leave.
    pub port: Option<String>,
    /// The tunnels that take it.
    pub tunnels: Vec<String>,
    /// The largest outer packet, in bytes.
    pub mtu: u16,
    /// How long that is believed; `None`: it is the port's, and nothing less was learnt.
    pub expires_s: Option<u64>,
    /// The path takes less than is believed: outer packets go without DF.
    pub locked: bool,
    /// Errors that senders are still to be told of.
    pub reachable_errors: u16,
    /// Since the last of them.
    pub last_error_s: Option<u64>,
}

impl Path {
    /// Whether one of its ends or tunnels is called so.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.local == name || self.remote == name || self.tunnels.iter().any(|one| one == name)
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.paths.is_empty() {
            return writeln!(f, "nothing was learnt about any path");
        }
        let mut table = Table::new(&[
            ("local", Left),
            ("remote", Left),
            ("port", Left),
            ("mtu", Right),
            ("expires", Right),
            ("errors", Right),
            ("tunnels", Left),
        ]);
        for path in &self.paths {
            let locked = if path.locked { " locked" } else { "" };
            table.row([
                path.local.clone(),
                path.remote.clone(),
                path.port.clone().unwrap_or_default(),
                format!("{}{locked}", path.mtu),
                path.expires_s.map(|seconds| format!("{seconds} s")).unwrap_or_default(),
                path.reachable_errors.to_string(),
                path.tunnels.join(" "),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_with_its_mtu_and_how_long_that_holds() {
        let path = Path {
            local: "192.0.2.1".to_owned(),
            remote: "203.0.113.2".to_owned(),
            tunnels: vec!["paris".to_owned()],
            mtu: 552,
            expires_s: Some(599),
            locked: true,
            ..Path::default()
        };
        assert!(path.is_called("paris") && path.is_called("203.0.113.2"));
        assert!(!path.is_called("lyon"));
        let text = Paths { paths: vec![path] }.to_string();
        assert!(text.contains("552 locked") && text.contains("599 s"), "{text}");
        assert_eq!(Paths::default().to_string(), "nothing was learnt about any path\n");
    }
}
