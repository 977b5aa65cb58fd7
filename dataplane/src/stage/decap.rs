//! From the outer header to the inner packet: everything that must hold before a packet that came
//! through a tunnel is believed, in the normative order.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::clamp::clamp;
use super::embedded::{check_domain, check_embedded};
use super::label::{self, Switched};
use super::policy::{
    check_destination_ipv4, check_destination_ipv6, check_source_ipv4, check_source_ipv6,
    is_duplicate_probe, is_link_local, is_martian_ipv4, is_martian_ipv6,
};
use super::{Round, Verdict, Verdicts, frame, judge_options, minimal};
use crate::counters::Counter;
use crate::interface::{Interface, TunnelId};
use crate::node::options::is_extension;
use crate::packet::{Burst, Packet, Path};
use crate::tables::NextHop;
use crate::tunnel::Tunnel;
use crate::tunnel::ecn::{self, EcnDecap};
use crate::tunnel::lookup::{Found, is_tunnel_protocol};
use crate::tunnel::shim::{Arrival, Judged, is_shim};
use crate::wire::ipv4::{self, Ipv4, Ipv4Error};
use crate::wire::ipv6::{self, Ipv6, Ipv6Error};
use crate::wire::protocol;
use crate::witness::{Event, Header, LoopRule, Witness};

/// Decapsulates every packet of the burst that belongs to a tunnel.
pub fn decap_burst(
    burst: &mut Burst,
    verdicts: &mut Verdicts,
    round: &mut Round<'_, impl Witness>,
) {
    for (packet, verdict) in burst.packets_mut().iter_mut().zip(verdicts) {
        if let Verdict::Decap(tunnel) = *verdict {
            round.witness.turn_to(packet);
            *verdict = decap(packet, tunnel, round);
        }
    }
}

/// What the outer header says.
#[derive(Clone, Copy)]
pub(super) struct Outer {
    header_len: usize,
    protocol: u8,
    /// DSCP and ECN; `None`: the packet inside has nothing to do with them.
    pub(super) tos: Option<u8>,
    ttl: u8,
    source_ipv4: u32,
    source_ipv6: u128,
}

impl Outer {
    pub(super) fn source(self) -> IpAddr {
        match self.source_ipv6 {
            0 => Ipv4Addr::from(self.source_ipv4).into(),
            source => Ipv6Addr::from(source).into(),
        }
    }
}

/// Decapsulates one packet, which stands at its outer header. What is accepted stands at its inner
/// header afterwards and is to be routed.
pub fn decap(packet: &mut Packet, id: TunnelId, round: &mut Round<'_, impl Witness>) -> Verdict {
    let Some(tunnel) = round.tables.tunnel(id) else {
        return Verdict::drop(Counter::TunNoMatch);
    };
    let outer = read_outer(packet.data());
    let from_anyone = tunnel.setup.is_open();
    round.note(|| Event::Decap { tunnel: id, outer: Header::of(packet.data()), from_anyone });
    if outer.source_ipv6 != 0 && outer.header_len > ipv6::HEADER_LEN {
        round.note(|| Event::extensions(packet.data(), None));
    }
    if let Err(counter) = check_outer(tunnel, id, outer, packet.meta.ingress, round) {
        return Verdict::drop_in(counter, id);
    }
    let carried = match strip_headers(packet, tunnel, outer, round) {
        Ok(carried) => carried,
        Err(counter) => return Verdict::drop_in(counter, id),
    };
    let (carried, outer) = match carried {
        protocol::MPLS => match label::come_out(packet, tunnel, outer, id, round) {
            Ok(Switched::Ip(carried)) => (carried, Outer { tos: None, ..outer }),
            Ok(Switched::To(hop)) => return label::leave(packet, hop),
            Err(counter) => return Verdict::drop_in(counter, id),
        },
        other => (other, outer),
    };
    let checked = match carried {
        protocol::ETHERNET => {
            return frame::come_out(packet, tunnel, id, outer, round)
                .unwrap_or_else(|counter| Verdict::drop_in(counter, id));
        }
        protocol::IPV4 => check_ipv4(packet, tunnel, outer, id, round),
        _ => check_ipv6(packet, tunnel, outer, id, round),
    };
    let next_hop = match checked {
        Ok(next_hop) => next_hop,
        Err(counter) => return Verdict::drop_in(counter, id),
    };
    let overhead = u16::try_from(tunnel.overhead()).unwrap_or(u16::MAX);
    let is_ipv4 = carried == protocol::IPV4;
    let way = if tunnel.setup.peers.is_some() {
        round.tables.sizes_to_peer(tunnel, outer.source_ipv4, packet.data(), round.now)
    } else {
        round.way(tunnel)
    };
    let mtu = tunnel.setup.effective_mtu(overhead, is_ipv4, way);
    clamp(packet, tunnel, id, mtu, round);
    accept(packet, tunnel, id, packet.len(), round);
    match nested(packet.data(), round) {
        Some(inner) => Verdict::Decap(inner),
        None => Verdict::RouteTo(next_hop),
    }
}

/// Judges what is between the outer header and what is inside, and takes both off. Returns the IP protocol of what
/// is inside.
#[inline]
fn strip_headers(
    packet: &mut Packet,
    tunnel: &Tunnel,
    outer: Outer,
    round: &Round<'_, impl Witness>,
) -> Result<u8, Counter> {
    let shim = &tunnel.setup.shim;
    let judged = shim.judge(packet.data(), (outer.protocol, outer.header_len), round.now);
    if !shim.is_none() {
        round.note(|| Event::Shim(judged));
    }
    let Judged { len: shim_len, carried, .. } = judged?;
    if let Some(event) = shim.judge_reserved(packet.data(), outer.header_len)? {
        round.note(|| Event::Counted { counter: event });
        round.counters.global(event).add(1);
    }
    if let Some(end) = shim.end(packet.data(), outer.header_len) {
        packet.truncate(end);
    }
    if shim.is_minimal() {
        minimal::unfold(packet, outer.header_len);
    } else {
        packet.strip(outer.header_len + shim_len);
    }
    Ok(carried)
}

/// Counts a packet of `length` bytes that a tunnel has taken, and notes that it came through it.
#[inline]
pub(super) fn accept(
    packet: &mut Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    length: usize,
    round: &mut Round<'_, impl Witness>,
) {
    round.note(|| Event::Accepted { tunnel: id, length });
    round.count_rx(tunnel.setup.slot, tunnel.setup.latency, length);
    packet.meta.ingress = Interface::tunnel(id);
    packet.path = Path::Decap;
    packet.meta.flags.count_decap();
}

/// The tunnel that the inner packet belongs to, if it is a tunnel packet to this node again. The
/// checks have let it pass, so the limit on nesting allows it.
#[inline]
fn nested(bytes: &[u8], round: &Round<'_, impl Witness>) -> Option<TunnelId> {
    let tables = round.tables;
    let found = if bytes.first().is_some_and(|first| first >> 4 == 4) {
        let header = Ipv4::trusted(bytes);
        let (local, remote) = (header.destination(), header.source());
        if !is_shim(header.protocol()) || header.is_fragment() || !tables.local.contains_ipv4(local)
        {
            return None;
        }
        let at = (header.protocol(), header.header_len());
        let arrival = Arrival::read(bytes, at, &tables.udp_ports).ok()??;
        tables.tunnel_by_ipv4((local, remote), arrival, None)
    } else {
        let header = Ipv6::trusted(bytes);
        let upper = header.upper_layer();
        let (local, remote) = (header.destination(), header.source());
        if !is_shim(upper.protocol)
            || upper.fragment.is_some()
            || upper.error.is_some()
            || !tables.local.contains_ipv6(local)
        {
            return None;
        }
        if is_extension(header.next_header()) && judge_options(bytes, true).is_some() {
            // Delivery judges options, and tells.
            return None;
        }
        let at = (upper.protocol, upper.offset);
        let arrival = Arrival::read(bytes, at, &tables.udp_ports).ok()??;
        tables.tunnel_by_ipv6((local, remote), arrival, None)
    };
    match found {
        Found::Tunnel(tunnel) => Some(tunnel),
        Found::WrongProtocol | Found::Nothing => None,
    }
}

/// Whether a packet, if it is for this node, may be of one of its tunnels; `at`: its protocol, and where
/// that begins. Of a piece nobody knows.
#[inline]
fn may_be_tunnels(
    packet: &[u8],
    (protocol, at): (u8, usize),
    is_piece: bool,
    round: &Round<'_, impl Witness>,
) -> bool {
    if protocol == protocol::UDP {
        return round.tables.udp_ports.may_take(packet, at, is_piece);
    }
    is_tunnel_protocol(protocol)
}

/// Whether a packet may not leave one more tunnel of this node.
#[inline]
fn is_nested_enough(packet: &Packet, round: &Round<'_, impl Witness>) -> bool {
    let (left, limit) = (packet.meta.flags.decap_depth() + 1, round.tables.limits.decap_depth);
    round.note(|| Event::NestedDecap { left, limit });
    left >= limit
}

#[inline]
fn read_outer(bytes: &[u8]) -> Outer {
    if bytes.first().is_some_and(|first| first >> 4 == 4) {
        let header = Ipv4::trusted(bytes);
        Outer {
            header_len: header.header_len(),
            protocol: header.protocol(),
            tos: Some(header.tos()),
            ttl: header.ttl(),
            source_ipv4: header.source(),
            source_ipv6: 0,
        }
    } else {
        let header = Ipv6::trusted(bytes);
        let upper = header.upper_layer();
        Outer {
            header_len: upper.offset,
            protocol: upper.protocol,
            tos: Some(header.traffic_class()),
            ttl: header.hop_limit(),
            source_ipv4: 0,
            source_ipv6: header.source(),
        }
    }
}

#[inline]
fn check_outer(
    tunnel: &Tunnel,
    id: TunnelId,
    outer: Outer,
    ingress: Interface,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    let setup = &tunnel.setup;
    if setup.remote.is_none() {
        let is_legal = is_legal_outer_source(outer, round);
        round.note(|| Event::OuterSource { source: outer.source(), is_legal });
        if !is_legal {
            return Err(Counter::TunBadOuterSrc);
        }
    }
    round.note(|| Event::TunnelUp { tunnel: id, is_up: setup.up });
    if !setup.up {
        return Err(Counter::IfRxDown);
    }
    round.note(|| Event::OuterTtl { ttl: outer.ttl, least: setup.min_outer_ttl });
    if outer.ttl < setup.min_outer_ttl {
        //= RFC 5082 §3: a peer one hop away sends 255, and nobody farther can.
        return Err(Counter::TunOuterTtl);
    }
    if setup.outer_rpf {
        let passes = came_by_the_way_back(outer, ingress, round);
        round.note(|| Event::ReversePath { source: outer.source(), ingress, passes });
        if !passes {
            return Err(Counter::TunBadOuterSrc);
        }
    }
    Ok(())
}

/// Whether an outer source is one that a peer can have.
fn is_legal_outer_source(outer: Outer, round: &Round<'_, impl Witness>) -> bool {
    let tables = round.tables;
    if outer.source_ipv6 == 0 {
        let source = outer.source_ipv4;
        !is_martian_ipv4(source)
            && !tables.local.contains_ipv4(source)
            && tables.route_ipv4(source) != NextHop::Broadcast
    } else {
        let source = outer.source_ipv6;
        !is_martian_ipv6(source) && !is_link_local(source) && !tables.local.contains_ipv6(source)
    }
}

/// Whether the route to the outer source leaves by the port that the packet came in by.
fn came_by_the_way_back(outer: Outer, ingress: Interface, round: &Round<'_, impl Witness>) -> bool {
    let tables = round.tables;
    let next_hop = match outer.source_ipv6 {
        0 => tables.route_ipv4(outer.source_ipv4),
        source => tables.route_ipv6(source),
    };
    let leaves_by = |next_hop: NextHop| match next_hop {
        NextHop::Connected(port) => Interface::port(port) == ingress,
        NextHop::Via(id) => {
            tables.neighbors.adjacency(id).is_some_and(|a| Interface::port(a.port) == ingress)
        }
        NextHop::Tunnel(tunnel) => Interface::tunnel(tunnel) == ingress,
        _ => false,
    };
    match next_hop {
        NextHop::Group(id) => {
            tables.next_hops.group(id).is_some_and(|g| g.buckets().iter().any(|&n| leaves_by(n)))
        }
        other => leaves_by(other),
    }
}

#[inline]
fn check_ipv4(
    packet: &mut Packet,
    tunnel: &Tunnel,
    outer: Outer,
    id: TunnelId,
    round: &Round<'_, impl Witness>,
) -> Result<NextHop, Counter> {
    let header = Ipv4::parse(packet.data()).map_err(|error| {
        round.note(|| Event::malformed_ipv4(error, packet.data()));
        match error {
            Ipv4Error::Short => Counter::IfRxLengthErr,
            Ipv4Error::Version => Counter::IfRxInnerBadVersion,
            Ipv4Error::Truncated => Counter::IfRxInnerTruncated,
            Ipv4Error::Length | Ipv4Error::Checksum => Counter::IfRxInnerBadHeader,
        }
    })?;
    round.note(|| Event::Inner(Header::of(header.bytes())));
    if header.ttl() == 0 {
        //= RFC 2003 §3.1: a packet with TTL 0 inside is discarded, even when addressed to us.
        return Err(Counter::IfRxInnerTtlZero);
    }
    let tos = inner_tos(tunnel, outer.tos, header.tos(), round)?;
    let (total_len, old_tos) = (usize::from(header.total_len()), header.tos());
    let (source, destination) = (header.source(), header.destination());
    let has_source_route = header.header_len() > ipv4::HEADER_LEN && header.has_source_route();
    let at = (header.protocol(), header.header_len());
    let may_be_tunnels = may_be_tunnels(header.bytes(), at, header.is_fragment(), round);
    let checked = check_source_ipv4(tunnel, id, source, round);
    note_source(tunnel, id, Ipv4Addr::from(source).into(), checked, round);
    checked?;
    let next_hop = round.tables.route_ipv4(destination);
    let checked = check_destination_ipv4(tunnel, destination, next_hop);
    note_destination(tunnel, Ipv4Addr::from(destination).into(), checked, round);
    checked?;
    if has_source_route {
        //= RFC 6169 §2.3: source routing inside a tunnel bypasses filters.
        return Err(Counter::IfRxInnerSrcRoute);
    }
    if may_be_tunnels
        && round.tables.local.contains_ipv4(destination)
        && is_nested_enough(packet, round)
    {
        return Err(Counter::IfRxNestedLimit);
    }
    check_turning_back(tunnel, id, destination == outer.source_ipv4, next_hop, round)?;
    packet.truncate(total_len);
    if tos != old_tos {
        ipv4::set_tos(packet.data_mut(), tos);
    }
    Ok(next_hop)
}

/// Packets that would go back to where they came from: to the encapsulator itself, or into the tunnel.
#[inline]
fn check_turning_back(
    tunnel: &Tunnel,
    id: TunnelId,
    is_to_encapsulator: bool,
    next_hop: NextHop,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    if is_to_encapsulator {
        //= RFC 2784 §3.1: never forward a packet back to its encapsulator.
        round.note(|| Event::Loop { tunnel: id, rule: LoopRule::ToEncapsulator });
        return Err(Counter::IfRxLoopEncapsulator);
    }
    if !tunnel.setup.hairpin && next_hop == NextHop::Tunnel(id) {
        round.note(|| Event::Loop { tunnel: id, rule: LoopRule::Hairpin });
        return Err(Counter::IfRxHairpin);
    }
    Ok(())
}

#[inline]
fn check_ipv6(
    packet: &mut Packet,
    tunnel: &Tunnel,
    outer: Outer,
    id: TunnelId,
    round: &Round<'_, impl Witness>,
) -> Result<NextHop, Counter> {
    let header = Ipv6::parse(packet.data()).map_err(|error| {
        round.note(|| Event::malformed_ipv6(error, packet.data()));
        match error {
            Ipv6Error::Short => Counter::IfRxLengthErr,
            Ipv6Error::Version => Counter::IfRxInnerBadVersion,
            Ipv6Error::Truncated => Counter::IfRxInnerTruncated,
        }
    })?;
    round.note(|| Event::Inner(Header::of(header.bytes())));
    if header.hop_limit() == 0 {
        return Err(Counter::IfRxInnerTtlZero);
    }
    let old_class = header.traffic_class();
    let class = inner_tos(tunnel, outer.tos, old_class, round)?;
    let (total_len, next_header) = (header.total_len(), header.next_header());
    let (source, destination) = (header.source(), header.destination());
    if source != 0 || !is_duplicate_probe(header) {
        let checked = check_source_ipv6(tunnel, id, source, destination, round);
        let checked = check_embedded(tunnel, source, outer.source_ipv4, checked, round);
        note_source(tunnel, id, Ipv6Addr::from(source).into(), checked, round);
        checked?;
    } else {
        check_embedded(tunnel, source, outer.source_ipv4, Ok(()), round)?;
    }
    let next_hop = round.tables.route_ipv6(destination);
    let checked = check_destination_ipv6(tunnel, destination, next_hop, round);
    note_destination(tunnel, Ipv6Addr::from(destination).into(), checked, round);
    checked?;
    check_domain((tunnel, id), (source, destination), next_hop, round)?;
    let (mut at, mut is_piece) = ((next_header, ipv6::HEADER_LEN), false);
    if is_extension(next_header) {
        let upper = header.upper_layer();
        if upper.type_0_routing {
            return Err(Counter::IfRxInnerSrcRoute);
        }
        (at, is_piece) = ((upper.protocol, upper.offset), upper.fragment.is_some());
    }
    if may_be_tunnels(header.bytes(), at, is_piece, round)
        && round.tables.local.contains_ipv6(destination)
        && is_nested_enough(packet, round)
    {
        return Err(Counter::IfRxNestedLimit);
    }
    check_turning_back(tunnel, id, destination == outer.source_ipv6, next_hop, round)?;
    packet.truncate(total_len);
    if class != old_class {
        ipv6::set_traffic_class(packet.data_mut(), class);
    }
    Ok(next_hop)
}

/// Notes whether an inner source was believed, and what speaks for it.
#[inline]
fn note_source(
    tunnel: &Tunnel,
    id: TunnelId,
    source: IpAddr,
    checked: Result<(), Counter>,
    round: &Round<'_, impl Witness>,
) {
    round.note(|| Event::InnerSource {
        tunnel: id,
        source,
        filter: (&tunnel.setup.inner_source).into(),
        hop: round.hop_to(source),
        refused: checked.err(),
    });
}

/// The same for an inner destination.
#[inline]
fn note_destination(
    tunnel: &Tunnel,
    destination: IpAddr,
    checked: Result<(), Counter>,
    round: &Round<'_, impl Witness>,
) {
    round.note(|| Event::InnerDestination {
        destination,
        is_listed: tunnel.setup.inner_destination.is_some(),
        refused: checked.is_err(),
    });
}

/// DSCP and ECN of the inner packet after decapsulation.
#[inline]
pub(super) fn inner_tos(
    tunnel: &Tunnel,
    outer: Option<u8>,
    inner: u8,
    round: &Round<'_, impl Witness>,
) -> Result<u8, Counter> {
    let Some(outer) = outer else { return Ok(inner) };
    let result = ecn::decap(outer, inner);
    round.note(|| Event::EcnOut { outer, inner, result });
    let field = match result {
        EcnDecap::Forward(field) => field,
        EcnDecap::Log(field) => {
            round.count_event(Counter::IfRxEcnLog, tunnel.setup.slot);
            field
        }
        EcnDecap::Drop => return Err(Counter::IfRxEcnDrop),
    };
    //= RFC 2983 §3: pipe keeps the inner DSCP, uniform takes the outer one.
    let is_copied = tunnel.setup.copies_dscp;
    round.note(|| Event::DscpOut { outer: outer >> 2, inner: inner >> 2, is_copied });
    let dscp = if is_copied { outer } else { inner };
    Ok(dscp & !ecn::MASK | field)
}
