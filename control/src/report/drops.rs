//! Drops: how many packets ended here, by reason, and which tunnels they belonged to.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};

/// Every reason that had a packet, the most frequent first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drops {
    /// They.
    pub drops: Vec<Drop>,
}

/// One reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drop {
    /// The name of the counter, as `ip4.no_route` or `if.tx_too_big`.
    pub reason: String,
    /// Packets.
    pub count: u64,
    /// What the reason means, in a sentence.
    pub help: String,
    /// Packets of each tunnel, where the reason is one of tunnels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tunnels: BTreeMap<String, u64>,
}

/// How many tunnels a line of the table names.
const TUNNELS_SHOWN: usize = 3;

impl Drops {
    /// Puts the most frequent first and leaves out what never happened.
    pub fn new(mut drops: Vec<Drop>) -> Self {
        drops.retain(|drop| drop.count > 0);
        drops.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
        Self { drops }
    }

    /// Leaves the reason of that name, or the reasons of the tunnel of that name; whether there is one.
    pub(super) fn retain_name(&mut self, name: &str) -> bool {
        for drop in self.drops.iter_mut().filter(|drop| drop.reason != name) {
            drop.tunnels.retain(|tunnel, _| tunnel == name);
            drop.count = drop.tunnels.values().sum();
        }
        self.drops.retain(|drop| drop.count > 0);
        !self.drops.is_empty()
    }
}

impl Drop {
    fn tunnels_in_words(&self) -> String {
        let mut tunnels: Vec<_> = self.tunnels.iter().filter(|(_, count)| **count > 0).collect();
        tunnels.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        let more = tunnels.len().saturating_sub(TUNNELS_SHOWN);
        let shown =
            tunnels.iter().take(TUNNELS_SHOWN).map(|(name, count)| format!("{name} {count}"));
        let mut words: Vec<String> = shown.collect();
        if more > 0 {
            words.push(format!("{more} more"));
        }
        words.join(", ")
    }
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.drops.is_empty() {
            return writeln!(f, "nothing was dropped");
        }
        let columns = [("reason", Left), ("count", Right), ("meaning", Left), ("tunnels", Left)];
        let mut table = Table::new(&columns);
        for drop in &self.drops {
            let (count, tunnels) = (drop.count.to_string(), drop.tunnels_in_words());
            table.row([drop.reason.clone(), count, drop.help.clone(), tunnels]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop(reason: &str, count: u64, tunnels: &[(&str, u64)]) -> Drop {
        let tunnels = tunnels.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Drop { reason: reason.to_owned(), count, help: "why".to_owned(), tunnels }
    }

    fn drops() -> Drops {
        Drops::new(vec![
            drop("ip4.no_route", 2, &[]),
            drop("ip4.martian_src", 0, &[]),
            drop("if.tx_too_big", 9, &[("a", 1), ("b", 5), ("c", 1), ("d", 2)]),
        ])
    }

    #[test]
    fn the_most_frequent_reason_and_tunnel_come_first() {
        let text = drops().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].starts_with("if.tx_too_big") && lines[1].ends_with("b 5, d 2, a 1, 1 more")
        );
        assert!(lines[2].starts_with("ip4.no_route"));
    }

    #[test]
    fn a_name_is_a_reason_or_a_tunnel() {
        let mut reason = drops();
        assert!(reason.retain_name("ip4.no_route"));
        assert_eq!(reason.drops, [drop("ip4.no_route", 2, &[])]);
        let mut tunnel = drops();
        assert!(tunnel.retain_name("d"));
        assert_eq!(tunnel.drops, [drop("if.tx_too_big", 2, &[("d", 2)])]);
        assert!(!drops().retain_name("rome"));
    }
}
