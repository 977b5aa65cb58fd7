//! What the appliance says about itself: typed, as JSON for scripts and as tables for people.
//!
//! The engine fills these; the API sends them as JSON; the commands read them back and print tables.
//! Nothing here asks the engine anything. Every list stands under its name in an object, whole or
//! reduced to one name, so that a script reads both the same way.

pub mod balance;
pub mod config;
pub mod counters;
pub mod drops;
mod hgrm;
pub mod latency;
pub mod neighbors;
pub mod paths;
pub mod ports;
pub mod reassembly;
pub mod routes;
pub mod stations;
mod table;
pub mod tunnels;
mod units;
pub mod workers;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use balance::Balance;
pub use config::ConfigReport;
pub use counters::{CounterSet, Counters};
pub use drops::{Drop, Drops};
pub use latency::{Latency, LatencyPath, LatencyRow};
pub use neighbors::{Neighbor, Neighbors};
pub use paths::{Path, Paths};
pub use ports::{Link, Offload, Port, Ports, UnusedAddress};
pub use reassembly::{LostPieces, Reassembly, Waiting};
pub use routes::{NextHop, Route, RouteOrigin, Routes};
pub use stations::{Station, Stations};
pub use tunnels::{Tunnel, TunnelState, Tunnels, Underlay};
pub use workers::{Mempool, Sharing, Worker, Workers};

use table::Detail;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Kind {
    /// Ports: link, speed, traffic.
    Ports,
    /// Tunnels: state, MTU, traffic.
    Tunnels,
    /// Routes: configured, connected, through tunnels.
    Routes,
    /// Neighbors: who answers to which address.
    Neighbors,
    /// Path MTUs that were learnt.
    Paths,
    /// Stations that frames are sent to, and the remote that each is behind.
    Fdb,
    /// Packets in pieces that wait for the others.
    Reassembly,
    /// Every counter that is not zero.
    Counters,
    /// What was dropped, and why.
    Drops,
    /// Percentiles of the time from receiving to sending.
    Latency,
    /// What happened lately.
    Events,
    /// The configuration that runs.
    Config,
    /// Workers: load, traffic, buffers.
    Workers,
}

impl Kind {
    /// Every kind, in the order of the help text.
    pub const ALL: [Self; 13] = [
        Self::Ports,
        Self::Tunnels,
        Self::Routes,
        Self::Neighbors,
        Self::Paths,
        Self::Fdb,
        Self::Reassembly,
        Self::Counters,
        Self::Drops,
        Self::Latency,
        Self::Events,
        Self::Config,
        Self::Workers,
    ];

    /// The word for it in commands, paths of the API and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::Tunnels => "tunnels",
            Self::Routes => "routes",
            Self::Neighbors => "neighbors",
            Self::Paths => "paths",
            Self::Fdb => "fdb",
            Self::Reassembly => "reassembly",
            Self::Counters => "counters",
            Self::Drops => "drops",
            Self::Latency => "latency",
            Self::Events => "events",
            Self::Config => "config",
            Self::Workers => "workers",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One answer of the appliance about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// See [`Kind::Ports`].
    Ports(Ports),
    /// See [`Kind::Tunnels`].
    Tunnels(Tunnels),
    /// See [`Kind::Routes`].
    Routes(Routes),
    /// See [`Kind::Neighbors`].
    Neighbors(Neighbors),
    /// See [`Kind::Paths`].
    Paths(Paths),
    /// See [`Kind::Fdb`].
    Fdb(Stations),
    /// See [`Kind::Counters`].
    Counters(Counters),
    /// See [`Kind::Drops`].
    Drops(Drops),
    /// See [`Kind::Latency`].
    Latency(Latency),
    /// See [`Kind::Config`].
    Config(ConfigReport),
    /// See [`Kind::Workers`].
    Workers(Workers),
    /// See [`Kind::Reassembly`].
    Reassembly(Reassembly),
}

impl Report {
    /// Reads what [`Serialize`] wrote. Keys that are missing have their defaults, keys that nobody
    /// knows are ignored, so that a client talks to a daemon that is a little older or newer.
    pub fn from_json(kind: Kind, json: &[u8]) -> Result<Self, String> {
        fn read<T: DeserializeOwned>(kind: Kind, json: &[u8]) -> Result<T, String> {
            serde_json::from_slice(json).map_err(|error| format!("the answer on {kind}: {error}"))
        }
        Ok(match kind {
            Kind::Ports => Self::Ports(read(kind, json)?),
            Kind::Tunnels => Self::Tunnels(read(kind, json)?),
            Kind::Routes => Self::Routes(read(kind, json)?),
            Kind::Neighbors => Self::Neighbors(read(kind, json)?),
            Kind::Paths => Self::Paths(read(kind, json)?),
            Kind::Fdb => Self::Fdb(read(kind, json)?),
            Kind::Counters => Self::Counters(read(kind, json)?),
            Kind::Drops => Self::Drops(read(kind, json)?),
            Kind::Latency => Self::Latency(read(kind, json)?),
            Kind::Config => Self::Config(read(kind, json)?),
            Kind::Workers => Self::Workers(read(kind, json)?),
            Kind::Reassembly => Self::Reassembly(read(kind, json)?),
            Kind::Events => {
                return Err(format!("{kind}: not supported by this version"));
            }
        })
    }

    /// Leaves what is called `name`: a port, a tunnel, a worker, a prefix, an address, a counter.
    /// `None`: nothing is.
    #[must_use]
    pub fn select(mut self, name: &str) -> Option<Self> {
        let is_there = match &mut self {
            Self::Ports(report) => retain(&mut report.ports, |port| port.name == name),
            Self::Tunnels(report) => retain(&mut report.tunnels, |tunnel| tunnel.name == name),
            Self::Routes(report) => retain(&mut report.routes, |route| route.to == name),
            Self::Neighbors(report) => retain(&mut report.neighbors, |neighbor| {
                neighbor.address == name || neighbor.port == name
            }),
            Self::Paths(report) => retain(&mut report.paths, |path| path.is_called(name)),
            Self::Fdb(report) => retain(&mut report.fdb, |one| one.is_called(name)),
            Self::Counters(report) => report.retain_name(name),
            Self::Drops(report) => report.retain_name(name),
            Self::Latency(report) => retain(&mut report.latency, |row| row.is_called(name)),
            Self::Workers(report) => retain(&mut report.workers, |worker| worker.name == name),
            Self::Reassembly(report) => {
                retain(&mut report.reassembly, |waiting| waiting.worker == name)
            }
            Self::Config(_) => false,
        };
        is_there.then_some(self)
    }

    /// Everything about the few things that were asked for by name, a line for each property.
    pub fn detail(&self) -> String {
        let entries = match self {
            Self::Ports(report) => report.details(),
            Self::Tunnels(report) => details(&report.tunnels),
            Self::Workers(report) => details(&report.workers),
            Self::Reassembly(report) => details(&report.reassembly),
            Self::Paths(report) => details(&report.paths),
            other => return other.to_string(),
        };
        entries.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ports(report) => report.fmt(f),
            Self::Tunnels(report) => report.fmt(f),
            Self::Routes(report) => report.fmt(f),
            Self::Neighbors(report) => report.fmt(f),
            Self::Paths(report) => report.fmt(f),
            Self::Fdb(report) => report.fmt(f),
            Self::Counters(report) => report.fmt(f),
            Self::Drops(report) => report.fmt(f),
            Self::Latency(report) => report.fmt(f),
            Self::Config(report) => report.fmt(f),
            Self::Workers(report) => report.fmt(f),
            Self::Reassembly(report) => report.fmt(f),
        }
    }
}

fn retain<T>(list: &mut Vec<T>, keep: impl FnMut(&T) -> bool) -> bool {
    list.retain(keep);
    !list.is_empty()
}

fn details<T: Serialize>(list: &[T]) -> Vec<String> {
    list.iter()
        .map(|entry| Detail(&serde_json::to_value(entry).unwrap_or_default()).to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_tunnels() -> Report {
        let tunnel = |name: &str, comment: &str| Tunnel {
            name: name.to_owned(),
            mode: "ipip".to_owned(),
            local: Some("192.0.2.1".to_owned()),
            remote: Some("203.0.113.2".to_owned()),
            mtu: 1480,
            comment: comment.to_owned(),
            ..Tunnel::default()
        };
        Report::Tunnels(Tunnels { tunnels: vec![tunnel("paris", ""), tunnel("lyon", "second")] })
    }

    #[test]
    fn a_name_leaves_its_own_entry_in_the_same_shape() {
        let json = serde_json::to_value(two_tunnels().select("lyon").unwrap()).unwrap();
        assert_eq!(json["tunnels"].as_array().unwrap().len(), 1);
        assert_eq!(json["tunnels"][0]["name"], "lyon");
        assert_eq!(two_tunnels().select("rome"), None);
    }

    #[test]
    fn what_is_sent_is_read_again() {
        let report = two_tunnels();
        let json = serde_json::to_vec(&report).unwrap();
        assert_eq!(Report::from_json(Kind::Tunnels, &json).unwrap(), report);
        assert!(Report::from_json(Kind::Events, b"null").unwrap_err().contains("not supported"));
    }

    #[test]
    fn answers_of_other_versions_are_read() {
        let json = serde_json::json!({ "ports": [{ "name": "wan", "invented": [1] }], "more": 1 });
        let json = serde_json::to_vec(&json).unwrap();
        let Report::Ports(ports) = Report::from_json(Kind::Ports, &json).unwrap() else {
            panic!("not ports")
        };
        assert_eq!(ports.ports[0].name, "wan");
    }

    #[test]
    fn a_named_tunnel_is_shown_property_by_property() {
        let detail = two_tunnels().select("lyon").unwrap().detail();
        assert!(detail.starts_with("name"), "{detail}");
        assert!(detail.lines().any(|line| line.starts_with("comment") && line.ends_with("second")));
        assert!(!detail.contains("addresses"), "empty properties are left out: {detail}");
    }

    #[test]
    fn every_kind_has_a_word_of_its_own_that_the_command_line_takes() {
        use clap::ValueEnum;
        for kind in Kind::ALL {
            assert_eq!(Kind::from_str(kind.word(), false), Ok(kind));
        }
    }
}
