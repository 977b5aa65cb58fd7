//! The section `ports`, entry by entry. What ports have to do with each other is checked in `check`.

use std::num::NonZeroU16;
use std::sync::Arc;

use adit_dataplane::wire::ethernet::MacAddress;

use super::Purpose;
use super::keys::{distinct_entries, known_entries};
use super::labels;
use super::mistake::{MistakeKind, Origin};
use super::model::{Neighbor, Port};
use super::read;
use super::report::{Field, Part, Place, Report, Spot};
use super::sections::{Sections, set};
use super::vocabulary;
use super::words::{Offloads, Rss};

/// DPDK's own limit (`RTE_MAX_ETHPORTS`) as distributions build it.
const PORT_LIMIT: usize = 32;
/// RFC 791's smallest link, and the largest frame that NICs commonly take.
pub(super) const MTU: std::ops::RangeInclusive<u64> = 68..=9216;
const DEFAULT_MTU: u16 = 1500;
const QUEUE_LIMIT: u64 = 128;

/// A port and where it was written.
#[derive(Debug)]
pub(super) struct PortDraft<'t> {
    pub(super) port: Port,
    pub(super) spot: Spot<'t>,
}

/// Reads every port.
pub(super) fn read<'t>(
    report: &mut Report,
    sections: &Sections<'t>,
    purpose: Purpose,
) -> Vec<PortDraft<'t>> {
    let spots = sections.names(report, "ports");
    if let Some(spot) = spots.get(PORT_LIMIT) {
        let root = Place::root(spot.file);
        let message = format!("there are more than {PORT_LIMIT} ports, which DPDK can't drive");
        report.error(&root.key("ports"), spot.mark, MistakeKind::OutOfRange, message);
    }
    let drafts = spots.into_iter().enumerate();
    drafts.map(|(position, spot)| read_port(report, spot, position, purpose)).collect()
}

/// The address of a port that names none: locally administered, by position in the file.
fn derived_mac(position: usize) -> MacAddress {
    let number = u8::try_from(position).unwrap_or(u8::MAX);
    MacAddress([0x02, 0xad, 0x17, 0x00, 0x00, number])
}

fn read_port<'t>(
    report: &mut Report,
    spot: Spot<'t>,
    position: usize,
    purpose: Purpose,
) -> PortDraft<'t> {
    let name = if let Part::Key(name) = spot.entry { name } else { "" };
    let mut port = Port {
        name: Arc::from(name),
        device: None,
        mac: derived_mac(position),
        mac_is_configured: false,
        mtu: DEFAULT_MTU,
        queues: None,
        offloads: Offloads::Auto,
        rss: Rss::Auto,
        dad: true,
        addresses: Vec::new(),
        neighbors: Vec::new(),
        labels: None,
    };
    let root = Place::root(spot.file);
    let section = root.key("ports");
    let place = section.key(name);
    let field = Field { place: &place, node: spot.node };
    for entry in known_entries(report, field, vocabulary::PORT) {
        let place = place.key(&entry.key);
        let field = Field { place: &place, node: &entry.value };
        match &*entry.key {
            "device" => port.device = device(report, field),
            "macaddress" => {
                let mac = read::mac(report, field);
                port.mac_is_configured = mac.is_some();
                set(&mut port.mac, mac);
            }
            "mtu" => set(&mut port.mtu, read::small(report, field, MTU)),
            "queues" => {
                let queues = read::word_or_number(report, field, "auto", 1..=QUEUE_LIMIT);
                set(&mut port.queues, queues.map(|count| count.number().and_then(NonZeroU16::new)));
            }
            "offloads" => set(&mut port.offloads, read::word(report, field)),
            "rss" => set(&mut port.rss, read::word(report, field)),
            "dad" => set(&mut port.dad, read::boolean(report, field)),
            "addresses" => {
                set(
                    &mut port.addresses,
                    read::list_of_good(report, field, read::interface_address),
                );
            }
            "neighbors" => port.neighbors = neighbors(report, field),
            "labels" => port.labels = labels::read(report, field),
            _ => {}
        }
    }
    if spot.node.entry("device").is_none() {
        miss_device(report, &spot, purpose);
    }
    PortDraft { port, spot }
}

fn device(report: &mut Report, field: Field<'_, '_>) -> Option<String> {
    let device = read::text(report, field)?;
    if device.is_empty() || device.contains(char::is_whitespace) {
        let message = format!("{} can't be a device", read::quoted(device));
        report.field(field, MistakeKind::BadValue, message).advise(
            "write a PCI address (\"0000:3b:00.0\") or a vdev (\"net_tap0,iface=adit-wan\")",
        );
        return None;
    }
    Some(device.to_owned())
}

fn miss_device(report: &mut Report, spot: &Spot<'_>, purpose: Purpose) {
    let message = "the port has no device";
    let advice = "write a PCI address (\"0000:3b:00.0\") or a vdev (\"net_tap0,iface=adit-wan\")";
    spot.at("device", |place, mark| match purpose {
        Purpose::Run => report.error(place, mark, MistakeKind::Missing, message).advise(advice),
        Purpose::Check => report.warn(place, mark, MistakeKind::Missing, message).advise(advice),
        Purpose::Replay => {}
    });
}

fn neighbors(report: &mut Report, field: Field<'_, '_>) -> Vec<Neighbor> {
    let mut neighbors: Vec<Neighbor> = Vec::new();
    for entry in distinct_entries(report, field) {
        let place = field.place.key(&entry.key);
        let mac = read::mac(report, Field { place: &place, node: &entry.value });
        let Ok(address) = entry.key.parse() else {
            let message = format!("{} is not an IP address", read::quoted(&entry.key));
            report
                .error(&place, entry.mark, MistakeKind::BadValue, message)
                .advise("write ADDRESS: MAC, as 198.51.100.2: \"02:00:00:00:00:02\"");
            continue;
        };
        // The same IPv6 address has many spellings.
        if neighbors.iter().any(|other| other.address == address) {
            let message = format!("{address} is here twice");
            report.error(&place, entry.mark, MistakeKind::Duplicate, message);
            continue;
        }
        let origin = Origin(place.location(entry.mark));
        neighbors.extend(mac.map(|mac| Neighbor { origin, address, mac }));
    }
    neighbors
}
