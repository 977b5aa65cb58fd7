//! What follows from ports, loopback and limits alone, and changes with them only.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_dataplane::interface::PortId;
use adit_dataplane::tables::{self, Limits};
use adit_dataplane::wire::nd;
use ipnet::{IpNet, Ipv4Net};

use super::PortFacts;
use crate::config::Config;
use crate::neighbor::PortSetup;

/// Addresses of ports that may not be used, because duplicate address detection has not passed.
pub(in crate::engine) type Unproved = BTreeSet<(Ipv6Addr, PortId)>;

pub(super) fn port_tables(
    config: &Config,
    facts: &[PortFacts],
    unproved: &Unproved,
) -> Vec<tables::Port> {
    let port = |(id, (port, facts)): (PortId, (&crate::config::Port, &PortFacts))| tables::Port {
        mac: facts.mac,
        mtu: facts.mtu,
        source_ipv4: first_ipv4(&port.addresses),
        source_ipv6: source_ipv6(id, port, unproved),
        nets: port.addresses.iter().filter_map(ipv4_net).collect(),
    };
    (0..).map(PortId).zip(config.ports.iter().zip(facts)).map(port).collect()
}

/// The first IPv6 address of a port that can be used.
pub(super) fn source_ipv6(
    id: PortId,
    port: &crate::config::Port,
    unproved: &Unproved,
) -> Option<Ipv6Addr> {
    first_ipv6(&usable(id, port, unproved).collect::<Vec<_>>())
}

/// The addresses of a port that can be used.
fn usable<'a>(
    id: PortId,
    port: &'a crate::config::Port,
    unproved: &'a Unproved,
) -> impl Iterator<Item = IpNet> + 'a {
    port.addresses.iter().copied().filter(move |net| is_proved(net.addr(), id, unproved))
}

fn is_proved(address: IpAddr, port: PortId, unproved: &Unproved) -> bool {
    !matches!(address, IpAddr::V6(address) if unproved.contains(&(address, port)))
}

/// The net of an interface address, if it is IPv4.
pub(super) fn ipv4_net(net: &IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net.trunc()),
        IpNet::V6(_) => None,
    }
}

pub(super) fn first_ipv4(addresses: &[IpNet]) -> Option<Ipv4Addr> {
    addresses.iter().find_map(|net| match net {
        IpNet::V4(net) => Some(net.addr()),
        IpNet::V6(_) => None,
    })
}

pub(super) fn first_ipv6(addresses: &[IpNet]) -> Option<Ipv6Addr> {
    addresses.iter().find_map(|net| match net {
        IpNet::V6(net) if !net.addr().is_unicast_link_local() => Some(net.addr()),
        _ => None,
    })
}

pub(super) fn limits(config: &Config, unproved: &Unproved) -> Limits {
    let of_ports =
        (0..).map(PortId).zip(&config.ports).flat_map(|(id, port)| usable(id, port, unproved));
    let addresses: Vec<IpNet> = config.loopback.addresses.iter().copied().chain(of_ports).collect();
    Limits {
        nested_encaps: config.limits.nested_encaps,
        decap_depth: config.limits.decap_depth,
        answers_unmatched: config.limits.unmatched_icmp
            == crate::config::UnmatchedIcmp::ProtoUnreach,
        router_id: first_ipv4(&addresses),
        router_id6: first_ipv6(&addresses),
    }
}

/// The link-local address of a port, its own or the one that follows from its MAC.
pub(super) fn link_local(port: &crate::config::Port, facts: &PortFacts) -> Ipv6Addr {
    let own = port.addresses.iter().find_map(|net| match net.addr() {
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
        _ => None,
    });
    own.unwrap_or_else(|| nd::link_local(facts.mac))
}

/// Every address of this node but those of tunnels, and those that can't be used.
pub(super) fn port_addresses(
    config: &Config,
    facts: &[PortFacts],
    unproved: &Unproved,
) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for (id, (port, facts)) in (0..).map(PortId).zip(config.ports.iter().zip(facts)) {
        let link_local = IpAddr::from(link_local(port, facts));
        let own = port.addresses.iter().map(IpNet::addr).chain([link_local]);
        all.extend(own.filter(|&own| is_proved(own, id, unproved)));
    }
    all.extend(config.loopback.addresses.iter().map(IpNet::addr));
    all
}

/// What the neighbors need to know of the ports.
pub(in crate::engine) fn neighbor_ports(config: &Config, facts: &[PortFacts]) -> Vec<PortSetup> {
    let numbered = (0..).map(PortId).zip(config.ports.iter().zip(facts));
    numbered
        .map(|(id, (port, facts))| PortSetup {
            id,
            mac: facts.mac,
            addresses: port.addresses.clone(),
            link_local: link_local(port, facts),
            proves_addresses: port.dad,
            static_neighbors: port.neighbors.iter().map(|n| (n.address, n.mac)).collect(),
        })
        .collect()
}
