//! Ports among themselves: devices, MAC addresses, static neighbors, IPv6's smallest MTU.

use std::collections::HashMap;

use super::super::mistake::MistakeKind;
use super::super::model::{Neighbor, Port};
use super::super::ports::PortDraft;
use super::super::report::{Place, Report};
use super::addresses::{Owned, is_link_local, not_a_host, not_a_host_of};
use super::{Drafts, Misspelled};

/// RFC 8200 §5.
const SMALLEST_IPV6_MTU: u16 = 1280;

pub(super) fn check(
    report: &mut Report,
    drafts: &Drafts<'_>,
    owned: &Owned,
    misspelled: &Misspelled,
) {
    if drafts.ports.is_empty() {
        return;
    }
    check_devices(report, &drafts.ports);
    check_macs(report, &drafts.ports);
    for draft in &drafts.ports {
        let port = &draft.port;
        let has_ipv6 = port.addresses.iter().any(|net| net.addr().is_ipv6());
        if has_ipv6 && port.mtu < SMALLEST_IPV6_MTU {
            draft.spot.at("mtu", |place, mark| {
                let message = format!("an MTU of {} is too small for IPv6", port.mtu);
                report.error(place, mark, MistakeKind::OutOfRange, message).advise(format!(
                    "write {SMALLEST_IPV6_MTU} or more, or take no IPv6 addresses"
                ));
            });
        }
        for neighbor in &port.neighbors {
            check_neighbor(report, draft, neighbor, owned, misspelled);
        }
    }
}

/// A device, and a kernel interface under a vdev, is one port.
fn check_devices(report: &mut Report, ports: &[PortDraft<'_>]) {
    let mut users: HashMap<String, &str> = HashMap::new();
    for draft in ports {
        let Some(device) = &draft.port.device else { continue };
        for part in parts_of(device) {
            let Some(other) = users.insert(part.clone(), &draft.port.name) else { continue };
            draft.spot.at("device", |place, mark| {
                let message = format!("{part} is the device of port {other} already");
                report
                    .error(place, mark, MistakeKind::Duplicate, message)
                    .advise("each port has a device of its own");
            });
            break;
        }
    }
}

/// What of a device can be used once: `net_tap0,iface=a` is the vdev `net_tap0` and the interface `a`.
fn parts_of(device: &str) -> Vec<String> {
    let mut words = device.split(',');
    let name = words.next().unwrap_or(device);
    let is_short_pci = name.len() == "3b:00.0".len() && name.as_bytes().get(2) == Some(&b':');
    let name = if is_short_pci { format!("0000:{name}") } else { name.to_owned() };
    let interface = words.filter(|word| word.starts_with("iface=")).map(str::to_owned);
    std::iter::once(name.to_lowercase()).chain(interface).collect()
}

fn check_macs(report: &mut Report, ports: &[PortDraft<'_>]) {
    let mut users = HashMap::new();
    let in_order = |is_configured: bool| {
        ports.iter().filter(move |draft| draft.port.mac_is_configured == is_configured)
    };
    for draft in in_order(false).chain(in_order(true)) {
        let Some(other) = users.insert(draft.port.mac, &draft.port.name) else { continue };
        draft.spot.at("macaddress", |place, mark| {
            let message = format!("{} is the address of port {other} already", draft.port.mac);
            report
                .error(place, mark, MistakeKind::Duplicate, message)
                .advise("each port has a MAC address of its own");
        });
    }
}

fn check_neighbor(
    report: &mut Report,
    draft: &PortDraft<'_>,
    neighbor: &Neighbor,
    owned: &Owned,
    misspelled: &Misspelled,
) {
    let wrong = wrong_neighbor(&draft.port, neighbor, owned, misspelled);
    let Some((what, advice)) = wrong else { return };
    let root = Place::root(draft.spot.file);
    let section = root.key("ports");
    let port = section.key(&draft.port.name);
    let neighbors = port.key("neighbors");
    let address = neighbor.address.to_string();
    let mark = crate::yaml::Mark { line: neighbor.origin.line, column: neighbor.origin.column };
    report.error(&neighbors.key(&address), mark, MistakeKind::Address, what).advise(advice);
}

fn wrong_neighbor(
    port: &Port,
    neighbor: &Neighbor,
    owned: &Owned,
    misspelled: &Misspelled,
) -> Option<(String, String)> {
    let address = neighbor.address;
    let host = "write the address of a host on this port".to_owned();
    if let Some(what) = not_a_host(address) {
        return Some((format!("{address} is {what}"), host));
    }
    if owned.contains_key(&address) {
        return Some((format!("{address} is our own address"), host));
    }
    let is_on_a_net = port.addresses.iter().any(|net| net.contains(&address));
    if is_link_local(address) || (!is_on_a_net && misspelled.resembles(address)) {
        return None;
    }
    let Some(net) = port.addresses.iter().find(|net| net.contains(&address)) else {
        let nets: Vec<_> = port.addresses.iter().map(|net| net.trunc().to_string()).collect();
        let advice = if nets.is_empty() {
            "give the port an address in the neighbor's net".to_owned()
        } else {
            format!("the port is connected to {}", nets.join(", "))
        };
        return Some((format!("{address} is on no net of this port"), advice));
    };
    not_a_host_of(*net, address).map(|what| (format!("{address} is {what}"), host))
}
