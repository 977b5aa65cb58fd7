//! Ports: what they are, whether they have a link, what went through them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Align::Left, Align::Right, Table};
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
        table.fmt(f)
    }
}
