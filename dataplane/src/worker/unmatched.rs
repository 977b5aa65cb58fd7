//! Packets to this node that the stages found no tunnel for: pieces of a tunnel's packets, packets that were
//! put together, and those of which is said why they are nobody's.

use super::deliver::Message;
use crate::counters::Counter;
use crate::interface::{PortId, TunnelId};
use crate::node::icmp_error::IcmpError;
use crate::packet::Packet;
use crate::reassembly::Terms;
use crate::stage::Verdict;
use crate::tables::Tables;
use crate::tunnel::lookup::{
    Class, Found, Kinship, Label, LabelledTunnels, OuterAddress, Pair, Protocols, TunnelLookup,
    is_tunnel_protocol,
};
use crate::tunnel::shim::Arrival;
use crate::wire::ipv4::Ipv4;
use crate::wire::protocol;
use crate::witness::{Event, Header, Witness};

/// A packet to this node that the stages found no tunnel for.
pub(super) struct Unmatched<'a> {
    pub(super) message: Message,
    /// Its source is one that no peer can have.
    pub(super) bad_source: bool,
    /// Its source is link-local: of a tunnel that names it, or of nobody's.
    pub(super) is_neighbor: bool,
    pub(super) packet: &'a Packet,
}

/// The tunnels of one outer family: those with IP directly in IP, and all others.
pub(super) type Lookup<'t, A> = (&'t TunnelLookup<A>, &'t LabelledTunnels<A>);

/// Says why a tunnel packet belongs to no tunnel, or what is to be done with it if it does: it is a piece
/// of one, or one that was put together. Other packets pass.
pub(super) fn check_tunnel<A: OuterAddress>(
    outer: &Unmatched<'_>,
    ends: (A, A),
    lookup: Lookup<'_, A>,
    tables: &Tables,
    witness: &impl Witness,
) -> Result<(), Verdict> {
    let Unmatched { message, bad_source, is_neighbor, packet } = *outer;
    // What follows the options is in another piece.
    let is_behind_options = message.protocol == protocol::DESTINATION_OPTIONS && message.is_piece;
    // UDP may be for the node itself; of pieces nobody knows.
    let is_datagram = message.protocol == protocol::UDP;
    let may_be_own = is_behind_options || is_datagram;
    if !may_be_own && !is_tunnel_protocol(message.protocol) {
        return Ok(());
    }
    let ports = &tables.udp_ports;
    if is_datagram && !ports.may_take(packet.data(), message.offset, message.is_piece) {
        return Ok(());
    }
    if bad_source {
        witness.note(|| Event::OuterSource {
            source: Header::of(packet.data()).source,
            is_legal: false,
        });
        return Err(Verdict::drop(Counter::TunBadOuterSrc));
    }
    let port: Option<PortId> = packet.meta.ingress.as_port();
    let note = |found| {
        witness.note(|| Event::Lookup { outer: Header::of(packet.data()), found });
    };
    let counter = if message.is_piece {
        let whose = whose_piece(message.protocol, ends, lookup, port, tables);
        let whose = whose.filter(|&id| may_come_from(packet, id, tables));
        note(whose.ok_or(Counter::ReasmNoTunnel));
        match whose {
            Some(id) => return Err(piece_of(id, tables)),
            None if may_be_own => return Ok(()),
            None if is_neighbor => Counter::TunBadOuterSrc,
            None => Counter::ReasmNoTunnel,
        }
    } else {
        // In pieces, or behind a fragment header inside a tunnel: the stages left it to us.
        let whose = whose(message, packet, ends, lookup, tables);
        note(whose);
        match whose {
            Ok(id) => return Err(Verdict::Decap(id)),
            Err(_) if is_neighbor => return Err(Verdict::drop(Counter::TunBadOuterSrc)),
            Err(counter) => counter,
        }
    };
    if tables.limits.answers_unmatched && !message.is_piece {
        return Err(Verdict::reject(IcmpError::ProtocolUnreachable, counter));
    }
    //= RFC 4213 §3.6: silence, which discloses no endpoint.
    Err(Verdict::drop(counter))
}

/// The tunnel that a piece of a packet may be for; of several, the one that waits longest for the others.
fn whose_piece<A: OuterAddress>(
    outer: u8,
    (local, remote): (A, A),
    (bare, labelled): Lookup<'_, A>,
    port: Option<PortId>,
    tables: &Tables,
) -> Option<TunnelId> {
    let protocols = match outer {
        protocol::DESTINATION_OPTIONS => Protocols::ALL,
        other => Protocols::of(other),
    };
    let found = match bare.find(local, remote, protocols, port) {
        Found::Tunnel(id) => Some(id),
        Found::WrongProtocol | Found::Nothing => None,
    };
    let named = (outer != protocol::DESTINATION_OPTIONS).then_some(outer);
    let patience = |id: TunnelId| tables.tunnel(id).and_then(|t| t.setup.reassembly_seconds);
    let mut best = found.map(|id| (patience(id), id));
    labelled.see_most_patient((local, remote), named, |id| {
        let other = (patience(id), id);
        if best.is_none_or(|(patience, _)| other.0 >= patience) {
            best = Some(other);
        }
    });
    best.map(|(_, id)| id)
}

/// Whether the source of an outer packet is one that a tunnel can have packets from.
fn may_come_from(packet: &Packet, id: TunnelId, tables: &Tables) -> bool {
    let peers = tables.tunnel(id).and_then(|tunnel| tunnel.setup.peers.as_ref());
    peers.is_none_or(|peers| peers.may_be_peer(Ipv4::trusted(packet.data()).source()))
}

/// The tunnel that a whole packet is for.
fn whose<A: OuterAddress>(
    message: Message,
    packet: &Packet,
    (local, remote): (A, A),
    (bare, labelled): Lookup<'_, A>,
    tables: &Tables,
) -> Result<TunnelId, Counter> {
    let port = packet.meta.ingress.as_port();
    let at = (message.protocol, message.offset);
    let arrival = match Arrival::read(packet.data(), at, &tables.udp_ports) {
        // Where no tunnel has such headers, nobody says what is wrong with them.
        Err(_) if labelled.is_empty() => None,
        read => read?,
    };
    let label = arrival.map_or(Label::NONE, |arrival| arrival.label);
    let carries = arrival.map_or(Protocols::NONE, |arrival| arrival.carries);
    match labelled.find_beside(bare, Pair { local, remote, label }, carries, port) {
        Found::Tunnel(id) => return Ok(id),
        Found::WrongProtocol if label.class() == Some(Class::Geneve) => {
            return Err(Counter::GnvProtoDenied);
        }
        Found::WrongProtocol => return Err(Counter::TunProtoMismatch),
        Found::Nothing if labelled.knows_network(label) => return Err(Counter::VxlanUnlistedPeer),
        Found::Nothing => {}
    }
    let is_bare_pair = bare.find(local, remote, Protocols::NONE, port) == Found::WrongProtocol;
    let is_bare_in_udp = label.class().is_some_and(|class| class.differs_in_udp(None));
    Err(match labelled.kinship(local, remote, label.class()) {
        Kinship::SameClass => Counter::TunNoMatch,
        Kinship::OtherCarrier => Counter::TunEncapMismatch,
        Kinship::Strangers | Kinship::OtherClass if is_bare_pair && is_bare_in_udp => {
            Counter::TunEncapMismatch
        }
        Kinship::Strangers if !is_bare_pair => Counter::TunNoMatch,
        Kinship::Strangers | Kinship::OtherClass => Counter::TunProtoMismatch,
    })
}

/// A piece of a packet of this tunnel waits for the others, if the tunnel takes packets in pieces.
fn piece_of(id: TunnelId, tables: &Tables) -> Verdict {
    match tables.tunnel(id).and_then(|tunnel| tunnel.setup.reassembly_seconds) {
        Some(seconds) => Verdict::Reassemble(Terms { seconds, is_own: false }),
        None => Verdict::drop(Counter::ReasmNoTunnel),
    }
}
