//! Counters: the contract with scripts. A counter that is absent is zero.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::balance::Balance;
use super::table::{Align::Left, Align::Right, Table};

/// Counters of one thing, by name.
pub type CounterSet = BTreeMap<Cow<'static, str>, u64>;

/// Every counter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Traffic of each port.
    pub ports: BTreeMap<String, CounterSet>,
    /// Traffic of each tunnel and what happened to its packets, named without `if.`.
    pub tunnels: BTreeMap<String, CounterSet>,
    /// Everything that belongs to no tunnel, summed over ports and workers.
    pub dataplane: CounterSet,
    /// Where packets went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Balance>,
}

impl Counters {
    /// Leaves the port, the tunnel or the counter of that name; whether there is one.
    pub(super) fn retain_name(&mut self, name: &str) -> bool {
        self.ports.retain(|port, _| port == name);
        self.tunnels.retain(|tunnel, _| tunnel == name);
        self.dataplane.retain(|counter, _| counter == name);
        self.balance = None;
        !(self.ports.is_empty() && self.tunnels.is_empty() && self.dataplane.is_empty())
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            Table::new(&[("of", Left), ("name", Left), ("counter", Left), ("count", Right)]);
        let mut rows = |kind: &str, name: &str, counters: &CounterSet| {
            for (counter, count) in counters.iter().filter(|(_, count)| **count > 0) {
                table.row([
                    kind.to_owned(),
                    name.to_owned(),
                    counter.to_string(),
                    count.to_string(),
                ]);
            }
            counters.values().any(|count| *count > 0)
        };
        let mut is_any = false;
        for (name, counters) in &self.ports {
            is_any |= rows("port", name, counters);
        }
        for (name, counters) in &self.tunnels {
            is_any |= rows("tunnel", name, counters);
        }
        is_any |= rows("dataplane", "", &self.dataplane);
        if is_any {
            table.fmt(f)?;
        } else {
            writeln!(f, "every counter is zero")?;
        }
        match &self.balance {
            Some(balance) => writeln!(f, "{balance}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        let set = |entries: &[(&'static str, u64)]| -> CounterSet {
            entries.iter().map(|(name, count)| (Cow::from(*name), *count)).collect()
        };
        Counters {
            ports: [("wan".to_owned(), set(&[("rx_packets", 1), ("rx_bytes", 98)]))].into(),
            tunnels: [("paris".to_owned(), set(&[("tx_packets", 1), ("rx_ecn_drop", 0)]))].into(),
            dataplane: set(&[("tun.no_match", 7)]),
            balance: None,
        }
    }

    #[test]
    fn the_json_is_the_one_that_scripts_know() {
        let expected = serde_json::json!({
            "ports": { "wan": { "rx_packets": 1, "rx_bytes": 98 } },
            "tunnels": { "paris": { "tx_packets": 1, "rx_ecn_drop": 0 } },
            "dataplane": { "tun.no_match": 7 },
        });
        assert_eq!(serde_json::to_value(counters()).unwrap(), expected);
    }

    #[test]
    fn the_table_leaves_zeros_out() {
        let text = counters().to_string();
        assert!(text.contains("tun.no_match") && !text.contains("rx_ecn_drop"), "{text}");
        assert_eq!(Counters::default().to_string(), "every counter is zero\n");
    }

    #[test]
    fn a_name_is_a_port_a_tunnel_or_a_counter() {
        for name in ["wan", "paris", "tun.no_match"] {
            let mut counters = counters();
            assert!(counters.retain_name(name));
            let left = counters.ports.len() + counters.tunnels.len() + counters.dataplane.len();
            assert_eq!(left, 1, "{name}");
        }
        assert!(!counters().retain_name("rome"));
    }
}
