//! What stands between the outer header of a tunnel and the packet inside, and the UDP ports that it needs
//! for that.

use std::collections::HashMap;

use adit_dataplane::tables::Operation;
use adit_dataplane::tunnel::erspan::Erspan;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::source_port::{PortRange, SourcePort};
use adit_dataplane::tunnel::udp::{Service, Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::wire::protocol;

use crate::config::{Encap, Family, Mode, Overlay, Profile, ReceiveSequence, Tunnel, UdpEncap};

/// The headers of a tunnel, without numbers for sequences.
pub(super) fn shim(tunnel: &Tunnel) -> Shim {
    let kind = match (tunnel.erspan(), tunnel.mode) {
        (Some(version), _) => Kind::Erspan(Erspan { version, sequences: None }),
        (None, Mode::Minimal) => Kind::Minimal,
        (None, mode) if mode.is_gre() => Kind::Gre(gre(tunnel)),
        (None, _) => Kind::None,
    };
    Shim { udp: udp(tunnel), kind }
}

fn gre(tunnel: &Tunnel) -> Gre {
    let settings = &tunnel.settings;
    let keys = tunnel.keys.as_deref().copied().unwrap_or_default();
    Gre {
        output_key: keys.output,
        input_key: keys.input,
        has_checksum: settings.checksum,
        requires_checksum: settings.require_checksum,
        has_sequence: settings.sequence,
        drops_old: settings.receive_sequence == ReceiveSequence::DropOld,
        requires_sequence: settings.require_sequence,
        sequences: None,
    }
}

fn udp(tunnel: &Tunnel) -> Option<Udp> {
    let of_overlay = tunnel.overlay.as_deref().map(|overlay| overlay_in_udp(tunnel, overlay));
    of_overlay.or_else(|| Some(encap_in_udp(tunnel, tunnel.encap.as_deref()?)))
}

fn overlay_in_udp(tunnel: &Tunnel, overlay: &Overlay) -> Udp {
    let Overlay { id, port, checksum, is_strict, .. } = *overlay;
    Udp {
        listens_at: port,
        sends_to: port,
        sends_from: SourcePort::ByFlow(flow_ports(tunnel)),
        has_checksum: checksum,
        needs_no_checksum: tunnel.settings.udp6_zero_rx,
        header: match tunnel.mode {
            Mode::Geneve => UdpHeader::Geneve { id },
            _ => UdpHeader::Vxlan(Vxlan { id, is_strict }),
        },
    }
}

fn encap_in_udp(tunnel: &Tunnel, encap: &Encap) -> Udp {
    Udp {
        listens_at: encap.port,
        sends_to: encap.dport,
        sends_from: encap
            .sport
            .map_or_else(|| SourcePort::ByFlow(flow_ports(tunnel)), SourcePort::Fixed),
        has_checksum: encap.checksum,
        needs_no_checksum: tunnel.settings.udp6_zero_rx,
        header: match (encap.kind, encap.variant) {
            (UdpEncap::Fou, _) => UdpHeader::Fou { carries: carries(tunnel) },
            (UdpEncap::Gue, 0) => UdpHeader::Gue,
            (UdpEncap::Gue, _) => UdpHeader::GueDirect,
        },
    }
}

/// The ports that flows are sent from, as the system has it that the profile is of.
fn flow_ports(tunnel: &Tunnel) -> PortRange {
    match (tunnel.settings.profile, tunnel.mode) {
        (Profile::Linux, Mode::Geneve) => PortRange::ALL,
        (Profile::Linux, _) => PortRange::LINUX,
        (Profile::Native | Profile::Routeros, _) => PortRange::DYNAMIC,
    }
}

/// The one protocol that a tunnel carries in FOU.
fn carries(tunnel: &Tunnel) -> u8 {
    if tunnel.mode.is_gre() {
        protocol::GRE
    } else if tunnel.carries_bare(Family::Ipv4) {
        protocol::IPV4
    } else if tunnel.carries_bare(Family::Ipv6) {
        protocol::IPV6
    } else {
        protocol::MPLS
    }
}

/// The UDP ports that tunnels need, and how many need each.
#[derive(Debug, Default)]
pub(super) struct UdpPorts(HashMap<u16, Vec<(Service, u32)>>);

impl UdpPorts {
    /// A tunnel is there, or not any more, or is not what it was. While a change is made, a port may be for
    /// two things; afterwards the check of the configuration has seen to it that it is for one.
    pub(super) fn keep(
        &mut self,
        before: Option<&Tunnel>,
        now: Option<&Tunnel>,
        operations: &mut Vec<Operation>,
    ) {
        let (before, now) = (before.and_then(need), now.and_then(need));
        if before == now {
            return;
        }
        if let Some((port, service)) = now {
            let uses = self.0.entry(port).or_default();
            match uses.iter_mut().find(|(known, _)| *known == service) {
                Some((_, count)) => *count += 1,
                None => uses.push((service, 1)),
            }
            operations.push(self.state(port));
        }
        if let Some((port, service)) = before {
            let uses = self.0.entry(port).or_default();
            if let Some((_, count)) = uses.iter_mut().find(|(known, _)| *known == service) {
                *count -= 1;
            }
            uses.retain(|(_, count)| *count != 0);
            if uses.is_empty() {
                self.0.remove(&port);
            }
            operations.push(self.state(port));
        }
    }

    fn state(&self, port: u16) -> Operation {
        let uses = self.0.get(&port);
        Operation::UdpPort(port, uses.and_then(|uses| uses.last()).map(|(service, _)| *service))
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = Operation> {
        self.0.keys().map(|&port| self.state(port))
    }
}

fn need(tunnel: &Tunnel) -> Option<(u16, Service)> {
    let udp = udp(tunnel)?;
    Some((udp.listens_at, udp.service()))
}
