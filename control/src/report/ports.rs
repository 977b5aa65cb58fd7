//! Ports: what they are, whether they have a link, what went through them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Detail, Table};
use super::units::{bytes, megabits_per_second};

/// All ports, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ports {
    /// They.
    pub ports: Vec<Port>,
}

/// Whether a port has a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// It has.
    Up,
    /// It has none.
    #[default]
    Down,
}

/// One port. Packets and bytes are frames without FCS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// As the configuration names it.
    pub name: String,
    /// PCI address or vdev, as the configuration says.
    pub device: Option<String>,
    /// DPDK's driver.
    pub driver: Option<String>,
    /// The address that we send from.
    pub mac: String,
    /// Whether the cable is plugged in.
    pub link: Link,
    /// In Mbit/s, where the device knows it.
    pub speed_mbps: Option<u32>,
    /// The largest IP packet.
    pub mtu: u16,
    /// With the prefix length of their net.
    pub addresses: Vec<String>,
    /// Those of them, and the link-local one, that are not used because of duplicate address detection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_addresses: Vec<UnusedAddress>,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames the device dropped because nobody took them in time.
    pub rx_missed: u64,
    /// Frames the device found broken.
    pub rx_errors: u64,
    /// Frames the device dropped because there was no buffer.
    pub rx_no_mbuf: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames the device could not send.
    pub tx_errors: u64,
    /// Frames whose IPv4 header checksum the device called wrong, where it was asked to check. Those
    /// that are wrong indeed are dropped and counted as any other.
    pub rx_bad_checksum: u64,
    /// What the device could do in place of the packet path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offloads: Vec<Offload>,
}

/// An IPv6 address of a port that nothing is sent from, and that answers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnusedAddress {
    /// It.
    pub address: String,
    /// Why: `tentative`, it is being asked for, or will be when the port is up; `duplicate`, somebody else
    /// has it.
    pub state: String,
}

/// One thing that a device may do in place of the packet path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offload {
    /// What it is, such as `rss-inner`.
    pub name: String,
    /// Whether the device says that it can.
    pub offered: bool,
    /// Whether it does.
    pub used: bool,
    /// Why not, or how far.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ports.is_empty() {
            return writeln!(f, "no ports");
        }
        let mut table = Table::new(&[
            ("port", Left),
            ("link", Left),
            ("speed", Right),
            ("mtu", Right),
            ("mac", Left),
            ("rx packets", Right),
            ("rx bytes", Right),
            ("missed", Right),
            ("rx errors", Right),
            ("tx packets", Right),
            ("tx bytes", Right),
            ("tx errors", Right),
            ("driver", Left),
            ("device", Left),
        ]);
        for port in &self.ports {
            table.row([
                port.name.clone(),
                if port.link == Link::Up { "up" } else { "down" }.to_owned(),
                port.speed_mbps.map(megabits_per_second).unwrap_or_default(),
                port.mtu.to_string(),
                port.mac.clone(),
                port.rx_packets.to_string(),
                bytes(port.rx_bytes),
                (port.rx_missed + port.rx_no_mbuf).to_string(),
                port.rx_errors.to_string(),
                port.tx_packets.to_string(),
                bytes(port.tx_bytes),
                port.tx_errors.to_string(),
                port.driver.clone().unwrap_or_default(),
                port.device.clone().unwrap_or_default(),
            ]);
        }
        table.fmt(f)?;
        let below = [self.unused_addresses(), self.offloads()];
        below.iter().filter(|table| !table.is_empty()).try_for_each(|table| write!(f, "\n{table}"))
    }
}

impl Ports {
    /// Everything about each port, the device's abilities as a table.
    pub(super) fn details(&self) -> Vec<String> {
        let detail = |port: &Port| {
            let plain = Port { offloads: Vec::new(), unused_addresses: Vec::new(), ..port.clone() };
            let properties = serde_json::to_value(plain).unwrap_or_default();
            let one = Self { ports: vec![port.clone()] };
            let below = [one.unused_addresses(), one.offloads()];
            let below =
                below.iter().filter(|table| !table.is_empty()).map(|table| format!("\n{table}"));
            format!("{}{}", Detail(&properties), below.collect::<String>())
        };
        self.ports.iter().map(detail).collect()
    }

    /// The addresses that are not used; nothing where all are.
    fn unused_addresses(&self) -> String {
        let mut table = Table::new(&[("port", Left), ("unused address", Left), ("why", Left)]);
        let all =
            self.ports.iter().flat_map(|port| port.unused_addresses.iter().map(move |a| (port, a)));
        for (port, unused) in all {
            table.row([port.name.clone(), unused.address.clone(), unused.state.clone()]);
        }
        let is_empty = self.ports.iter().all(|port| port.unused_addresses.is_empty());
        if is_empty { String::new() } else { table.to_string() }
    }

    /// What each device could do, does, and why not; nothing where that is unknown.
    fn offloads(&self) -> String {
        let mut table = Table::new(&[
            ("port", Left),
            ("offload", Left),
            ("offered", Left),
            ("used", Left),
            ("why", Left),
        ]);
        let yes_or_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        for port in &self.ports {
            for offload in &port.offloads {
                table.row([
                    port.name.clone(),
                    offload.name.clone(),
                    yes_or_no(offload.offered),
                    yes_or_no(offload.used),
                    offload.note.clone(),
                ]);
            }
        }
        let is_empty = self.ports.iter().all(|port| port.offloads.is_empty());
        if is_empty { String::new() } else { table.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_does_and_why_not_stands_below_the_ports() {
        let offload = |name: &str, offered, used, note: &str| {
            let (name, note) = (name.to_owned(), note.to_owned());
            Offload { name, offered, used, note }
        };
        let offloads = vec![
            offload("rss-inner", false, false, "the device does not offer it"),
            offload("rss-outer", true, true, ""),
        ];
        let port = |name: &str| Port { name: name.to_owned(), ..Port::default() };
        let mut ports = Ports { ports: vec![port("wan"), port("lan")] };
        assert_eq!(ports.to_string().lines().count(), 3, "a replay has no devices");
        ports.ports[0].offloads = offloads;
        let text = ports.to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        let inner = ["wan", "rss-inner", "no", "no", "the", "device", "does", "not", "offer", "it"];
        assert_eq!(rows[5], inner);
        assert_eq!(rows[6], ["wan", "rss-outer", "yes", "yes", "-"]);
        assert_eq!(rows.len(), 7);
    }
}
