//! What follows from ports, loopback and limits alone, and changes with them only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use adit_dataplane::interface::PortId;
use adit_dataplane::tables::{self, Limits};
use adit_dataplane::wire::nd;
use ipnet::{IpNet, Ipv4Net};

use super::PortFacts;
use crate::config::Config;
use crate::neighbor::PortSetup;

pub(super) fn port_tables(config: &Config, facts: &[PortFacts]) -> Vec<tables::Port> {
    let port = |(port, facts): (&crate::config::Port, &PortFacts)| tables::Port {
        mac: facts.mac,
        mtu: facts.mtu,
        source_ipv4: first_ipv4(&port.addresses),
        source_ipv6: first_ipv6(&port.addresses),
        nets: port.addresses.iter().filter_map(ipv4_net).collect(),
    };
    config.ports.iter().zip(facts).map(port).collect()
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

pub(super) fn limits(config: &Config) -> Limits {
    let all = || {
        let loopback = config.loopback.addresses.iter();
        loopback.chain(config.ports.iter().flat_map(|port| &port.addresses)).copied()
    };
    let addresses: Vec<IpNet> = all().collect();
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

/// Every address of this node but those of tunnels.
pub(super) fn port_addresses(config: &Config, facts: &[PortFacts]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = Vec::new();
    for (port, facts) in config.ports.iter().zip(facts) {
        all.extend(port.addresses.iter().map(IpNet::addr));
        all.push(link_local(port, facts).into());
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
            static_neighbors: port.neighbors.iter().map(|n| (n.address, n.mac)).collect(),
        })
        .collect()
}
