//! What ICMP errors quote: whether it can be a packet of one of our tunnels, and of which. Nothing is changed here,
//! and nothing counted: the fast path ends what tells nothing, [`relay`](crate::worker) learns from the rest.

pub(crate) mod glance;

use core::net::IpAddr;

use crate::clock::Nanos;
use crate::counters::CounterSlot;
use crate::interface::{Interface, PortId, TunnelId};
use crate::node::icmp_relay::{Inner, Quote, UnderlayError};
use crate::tables::soft_state::TunnelPath;
use crate::tables::{Tables, WayToPeer};
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::{
    Class, Found, Holder, LabelledTunnels, OuterAddress, Pair, Protocols, TunnelLookup,
    is_tunnel_protocol,
};
use crate::tunnel::shim::quoted_label;
use crate::tunnel::udp::UdpPorts;
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::wire::{icmp4, icmp6, protocol};
use crate::witness::Event;

/// A quoted packet that one of our tunnels may have sent.
pub(crate) struct Sent<'a> {
    pub(crate) id: TunnelId,
    pub(crate) tunnel: &'a Tunnel,
    pub(crate) to: To,
    pub(crate) quote: Quote<'a>,
    /// What was inside, as far as the quote shows it.
    pub(crate) inner: Option<Inner>,
}

/// Where it was sent.
#[derive(Clone, Copy)]
pub(crate) enum To {
    /// To a remote of the tunnel, by this path.
    Remote {
        path: TunnelPath,
        /// The largest outer packet that the port takes by which it left, or the tunnel that it went through.
        underlay_mtu: u16,
    },
    /// To one of many peers.
    Peer(WayToPeer),
}

impl To {
    /// The path that something is known about, if it has a number yet.
    pub(crate) fn path(self, tables: &Tables) -> TunnelPath {
        match self {
            Self::Remote { path, .. } => path,
            Self::Peer(way) => tables.soft_state.path_to(way.peer),
        }
    }

    /// The path that something is to be learnt about.
    pub(crate) fn path_to_learn(self, tables: &Tables, now: Nanos) -> TunnelPath {
        match self {
            Self::Remote { path, .. } => path,
            Self::Peer(way) => tables.soft_state.place_for(way.peer, now),
        }
    }
}

/// What becomes of an ICMP message that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unheard {
    /// It is of no concern here.
    Silent,
    /// It is about a packet that was never sent; by the tunnel with these counters, if by any.
    Rejected(Option<CounterSlot>),
}

/// Says of a whole packet to this node, from a host and with a checked header of `offset` bytes, whether it
/// is an ICMP error that changes nothing: then all that is left to be done is to count it.
pub(crate) fn is_unheard(
    packet: &[u8],
    offset: usize,
    ingress: Interface,
    tables: &Tables,
) -> Option<Unheard> {
    let message = packet.get(offset..)?;
    let is_ipv4 = packet.first()? >> 4 == 4;
    let kind = *message.first()?;
    let is_error = if is_ipv4 { icmp4::is_error(kind) } else { icmp6::is_error(kind) };
    if !is_error {
        return None;
    }
    let (own, heard) = read(packet, message);
    let unheard = match heard.map(|heard| Sent::find(heard.quoted, Some(own), ingress, tables)) {
        None | Some(Ok(None)) => Unheard::Silent,
        Some(Err(Rejected(tunnel))) => Unheard::Rejected(tunnel.map(|tunnel| tunnel.setup.slot)),
        Some(Ok(Some(_))) => return None,
    };
    is_right(packet, message).then_some(unheard)
}

/// Whether the checksum of an ICMP message in a packet is right.
#[inline]
pub(crate) fn is_right(packet: &[u8], message: &[u8]) -> bool {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        icmp4::is_right(message)
    } else {
        icmp6::is_right(packet, message)
    }
}

/// The address of ours that an ICMP message went to, and what it says.
#[inline]
pub(crate) fn read<'a>(packet: &[u8], message: &'a [u8]) -> (IpAddr, Option<UnderlayError<'a>>) {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        let own = Ipv4::trusted(packet).destination();
        (IpAddr::V4(own.into()), UnderlayError::of_icmp4(message))
    } else {
        let own = Ipv6::trusted(packet).destination();
        (IpAddr::V6(own.into()), UnderlayError::of_icmp6(message))
    }
}

/// Why an error is not believed, and of which tunnel it speaks.
pub(crate) struct Rejected<'a>(pub(crate) Option<&'a Tunnel>);

impl<'a> Sent<'a> {
    /// Finds who sent a quoted packet. `None`: it is of no tunnel, and no concern here.
    pub(crate) fn find(
        quoted: &'a [u8],
        told: Option<IpAddr>,
        ingress: Interface,
        tables: &'a Tables,
    ) -> Result<Option<Self>, Rejected<'a>> {
        let of_nobody = || Rejected(told.and_then(|told| sole_tunnel(told, tables)));
        let quote = Quote::of(quoted).ok_or_else(of_nobody)?;
        let is_udp = quote.protocol == protocol::UDP && !tables.udp_ports.is_empty();
        if !is_udp && !is_tunnel_protocol(quote.protocol) {
            return Ok(None);
        }
        let (id, tunnel) = find_tunnel(&quote, ingress, tables).ok_or_else(of_nobody)?;
        let headers = tunnel.setup.recognise(quote.protocol, quote.inner);
        let (len, carried) = headers.ok_or_else(of_nobody)?;
        let is_folded = tunnel.setup.shim.is_minimal();
        let (quote, inner) = if is_folded {
            let quote = quote.folded(quoted, len);
            (quote, Ok(Inner::of_folded(quote.inner)))
        } else {
            let quote = quote.behind(len, carried);
            (quote, quote.inner())
        };
        let rejected = Rejected(Some(tunnel));
        let path = tunnel
            .path_between(quote.source, quote.destination)
            .filter(|_| told.is_none_or(|told| told == quote.source));
        let (Some(path), Ok(inner)) = (path, inner) else { return Err(rejected) };
        if inner.is_some_and(|inner| !came_through(&inner, id, tables)) {
            return Err(rejected);
        }
        let to = match (&tunnel.setup.peers, quote.destination) {
            (Some(peers), IpAddr::V4(remote)) => {
                let goes_there = |inner: Inner| peers.sends_to(inner.destination, remote.into());
                if !inner.is_none_or(goes_there) {
                    return Err(rejected);
                }
                let hash = || tables.flow.hash(quote.inner);
                To::Peer(tables.way_to_peer(tunnel, remote.into(), hash, None))
            }
            _ => To::Remote { path, underlay_mtu: underlay_mtu(tunnel, &quote, tables) },
        };
        Ok(Some(Self { id, tunnel, to, quote, inner }))
    }

    /// The largest outer packet that the port takes by which it left, or the tunnel that it went through.
    pub(crate) fn underlay_mtu(&self) -> u16 {
        match self.to {
            To::Remote { underlay_mtu, .. } => underlay_mtu,
            To::Peer(way) => way.underlay_mtu,
        }
    }

    /// For who watches.
    pub(crate) fn event(&self) -> Event {
        let Quote { source, destination, total_len, .. } = self.quote;
        Event::Quoted { tunnel: self.id, source, destination, length: total_len }
    }
}

/// The largest outer packet that leaves the way of a quoted one, if that went to a remote of the tunnel.
fn underlay_mtu(tunnel: &Tunnel, quote: &Quote<'_>, tables: &Tables) -> u16 {
    let Some(remotes) = tunnel.remotes() else { return tunnel.setup.underlay_mtu };
    let hash = || tables.flow.hash(quote.inner);
    tables.way_out(quote.destination, remotes.link, hash, None).underlay_mtu
}

/// The tunnel whose outer packets look like the quoted one.
fn find_tunnel<'t>(
    quote: &Quote<'_>,
    ingress: Interface,
    tables: &'t Tables,
) -> Option<(TunnelId, &'t Tunnel)> {
    let port = ingress.as_port();
    let sends_so = |id: TunnelId| {
        let tunnel = tables.tunnel(id)?;
        let setup = &tunnel.setup;
        let is_peer = tunnel.may_be_peer(quote.destination);
        let is_its = is_peer && setup.recognise(quote.protocol, quote.inner).is_some();
        is_its.then_some((id, tunnel))
    };
    match (quote.source, quote.destination) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            let lookup = (&tables.tunnels_by_ipv4, &tables.labelled_by_ipv4, &tables.udp_ports);
            search((local.into(), remote.into()), quote, port, lookup, sends_so)
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            let lookup = (&tables.tunnels_by_ipv6, &tables.labelled_by_ipv6, &tables.udp_ports);
            search((local.into(), remote.into()), quote, port, lookup, sends_so)
        }
        _ => None,
    }
}

/// Tunnels of one pair of addresses that are looked through for one that may have sent a quoted packet.
const RELATIVES_MAX: usize = 64;

fn search<'t, A: OuterAddress>(
    (local, remote): (A, A),
    quote: &Quote<'_>,
    port: Option<PortId>,
    (bare, labelled, ports): (&TunnelLookup<A>, &LabelledTunnels<A>, &UdpPorts),
    sends_so: impl Fn(TunnelId) -> Option<(TunnelId, &'t Tunnel)>,
) -> Option<(TunnelId, &'t Tunnel)> {
    let carries = Protocols::of(quote.protocol);
    if carries != Protocols::NONE {
        let Found::Tunnel(id) = bare.find(local, remote, carries, port) else { return None };
        return sends_so(id);
    }
    if labelled.is_without(local, remote) {
        return None;
    }
    // By the label that arrives, which mostly is the one that is sent; else one after the other.
    if let Some(label) = quoted_label(quote.protocol, quote.inner, ports)
        && let Some(id) = labelled.any_with(Pair { local, remote, label }, port)
        && let Some(found) = sends_so(id)
    {
        return Some(found);
    }
    let classes = Class::ALL.into_iter().filter(|class| class.outer_protocol() == quote.protocol);
    let all = classes.flat_map(|class| labelled.candidates(local, remote, class));
    all.take(RELATIVES_MAX).find_map(sends_so)
}

/// Where what is told to an address of ours about nobody is counted: under its tunnel, if it has one alone.
#[inline(never)]
pub(crate) fn slot_of_ipv4(own: u32, tables: &Tables) -> Option<CounterSlot> {
    let tunnel = sole(own, &tables.tunnels_by_ipv4, &tables.labelled_by_ipv4, tables);
    tunnel.map(|tunnel| tunnel.setup.slot)
}

/// The same for IPv6.
#[inline(never)]
pub(crate) fn slot_of_ipv6(own: u128, tables: &Tables) -> Option<CounterSlot> {
    let tunnel = sole(own, &tables.tunnels_by_ipv6, &tables.labelled_by_ipv6, tables);
    tunnel.map(|tunnel| tunnel.setup.slot)
}

/// The tunnel that an address of ours belongs to, if there is one alone.
fn sole_tunnel(own: IpAddr, tables: &Tables) -> Option<&Tunnel> {
    match own {
        IpAddr::V4(own) => {
            sole(own.into(), &tables.tunnels_by_ipv4, &tables.labelled_by_ipv4, tables)
        }
        IpAddr::V6(own) => {
            sole(own.into(), &tables.tunnels_by_ipv6, &tables.labelled_by_ipv6, tables)
        }
    }
}

#[inline]
fn sole<'t, A: OuterAddress>(
    own: A,
    bare: &TunnelLookup<A>,
    labelled: &LabelledTunnels<A>,
    tables: &'t Tables,
) -> Option<&'t Tunnel> {
    match (bare.holder_of(own), labelled.holder_of(own)) {
        (Holder::One(id), Holder::Nobody) | (Holder::Nobody, Holder::One(id)) => tables.tunnel(id),
        _ => None,
    }
}

/// Whether a packet like this goes into the tunnel: else the error is forged, or late.
fn came_through(inner: &Inner, id: TunnelId, tables: &Tables) -> bool {
    let next_hop = match inner.destination {
        IpAddr::V4(destination) => tables.route_ipv4(destination.into()),
        IpAddr::V6(destination) => tables.route_ipv6(destination.into()),
    };
    inner.may_be_told_of() && tables.next_hops.leads_into(next_hop, id)
}
