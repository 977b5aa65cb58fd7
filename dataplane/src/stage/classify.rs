//! From a frame to a checked IP packet: is it for us, what does it carry, is its header right, and
//! is it a tunnel's?

use super::label::{self, Switched};
use super::{Round, Verdict, Verdicts, judge_options};
use crate::counters::Counter;
use crate::interface::{PortId, TunnelId};
use crate::packet::{Burst, Flags, Packet};
use crate::reassembly::FragmentHeader;
use crate::tables::Port;
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::Found;
use crate::tunnel::shim::{Arrival, is_shim};
use crate::wire::ethernet::{self, MacAddress, ether_type};
use crate::wire::ipv4::{self, Ipv4, Ipv4Error};
use crate::wire::ipv6::{self, Ipv6, Ipv6Error, UpperLayer};
use crate::wire::{protocol, read_u16};
use crate::witness::{Event, Header, Witness};

/// Classifies every frame of a burst that nobody has looked at; it arrived on `port`.
pub fn classify_burst(
    burst: &mut Burst,
    verdicts: &mut Verdicts,
    port_id: PortId,
    port: &Port,
    round: &Round<'_, impl Witness>,
) {
    let attached = round.tables.attached(port_id);
    for (packet, verdict) in burst.packets_mut().iter_mut().zip(verdicts) {
        if *verdict == Verdict::Unseen {
            round.witness.turn_to(packet);
            *verdict = match attached {
                Some(tunnel) => classify_attached(packet, port_id, tunnel, round),
                None => classify(packet, port_id, port, round),
            };
        }
    }
}

/// Classifies a frame of a port whose frames go into a tunnel.
fn classify_attached(
    packet: &Packet,
    port: PortId,
    tunnel: TunnelId,
    round: &Round<'_, impl Witness>,
) -> Verdict {
    if packet.len() < ethernet::HEADER_LEN {
        return Verdict::drop(Counter::L2Short);
    }
    round.note(|| Event::Attached { port, tunnel });
    let rules = round.tables.tunnel(tunnel).and_then(|tunnel| tunnel.setup.frames.as_ref());
    if rules.is_some_and(|rules| rules.takes_copies) {
        // Whoever looks at copies there has nothing to say.
        return Verdict::drop(Counter::L2NotForUs);
    }
    Verdict::EncapFrame(tunnel)
}

/// Classifies one frame. Afterwards the packet stands at its IP header and ends where the IP packet
/// does, unless the verdict is to punt the frame.
#[inline]
fn classify(
    packet: &mut Packet,
    port_id: PortId,
    port: &Port,
    round: &Round<'_, impl Witness>,
) -> Verdict {
    let Some(header) = packet.data().first_chunk::<{ ethernet::HEADER_LEN }>() else {
        return Verdict::drop(Counter::L2Short);
    };
    round.note(|| frame(packet.data(), port.mac));
    if header[..6] != port.mac.0 {
        if header[0] & 1 == 0 {
            return Verdict::drop(Counter::L2NotForUs);
        }
        packet.meta.flags.set(Flags::L2_GROUP);
    }
    match read_u16(packet.data(), 12) {
        ether_type::IPV4 => {
            packet.strip(ethernet::HEADER_LEN);
            classify_ipv4(packet, port_id, round)
        }
        ether_type::IPV6 => {
            packet.strip(ethernet::HEADER_LEN);
            classify_ipv6(packet, port_id, round)
        }
        ether_type::MPLS => classify_labels(packet, port_id, round),
        ether_type::ARP => Verdict::Punt(port_id),
        _ => Verdict::drop(Counter::L2Ethertype),
    }
}

/// What the Ethernet header says, for who watches.
fn frame(bytes: &[u8], ours: MacAddress) -> Event {
    let destination = bytes.first_chunk().map_or(MacAddress::default(), |mac| MacAddress(*mac));
    Event::Frame { destination, ours, kind: read_u16(bytes, 12) }
}

/// A frame with labels, on a port that takes MPLS.
#[inline(never)]
fn classify_labels(packet: &mut Packet, port: PortId, round: &Round<'_, impl Witness>) -> Verdict {
    let Some(table) = round.tables.labels_of(port) else {
        return Verdict::drop(Counter::L2Ethertype);
    };
    if packet.meta.flags.has(Flags::L2_GROUP) {
        // Labels in frames to a group (RFC 5332) are not ours to give.
        return Verdict::drop(Counter::L2NotForUs);
    }
    packet.strip(ethernet::HEADER_LEN);
    // A device that sees past labels says something about another header, if any.
    packet.meta.flags.clear(Flags::GOOD_CHECKSUM);
    match label::switch(packet, Some(table), round) {
        Err(counter) => Verdict::drop(counter),
        Ok(Switched::Ip(protocol::IPV6)) => classify_ipv6(packet, port, round),
        Ok(Switched::Ip(_)) => classify_ipv4(packet, port, round),
        Ok(Switched::To(hop)) => label::leave(packet, hop),
    }
}

#[inline]
fn classify_ipv4(packet: &mut Packet, port: PortId, round: &Round<'_, impl Witness>) -> Verdict {
    let has_good_checksum = packet.meta.flags.has(Flags::GOOD_CHECKSUM);
    // That was about this header, and no other that the packet may stand at later.
    packet.meta.flags.clear(Flags::GOOD_CHECKSUM);
    let header = match Ipv4::parse_received(packet.data(), has_good_checksum) {
        Ok(header) => header,
        Err(error) => {
            round.note(|| Event::malformed_ipv4(error, packet.data()));
            let is_truncated = error == Ipv4Error::Truncated;
            let counter = if is_truncated { Counter::Ip4Truncated } else { Counter::Ip4BadHeader };
            return Verdict::drop(counter);
        }
    };
    round.note(|| Event::Packet(Header::of(header.bytes())));
    if header.header_len() > ipv4::HEADER_LEN {
        let (length, is_source_routed) =
            (header.header_len() - ipv4::HEADER_LEN, header.has_source_route());
        round.note(|| Event::Options { length, is_source_routed });
        if is_source_routed {
            return Verdict::drop(Counter::Ip4SrcRoute);
        }
    }
    let (total_len, header_len) = (usize::from(header.total_len()), header.header_len());
    let (local, remote) = (header.destination(), header.source());
    let (outer, is_whole) = (header.protocol(), !header.is_fragment());
    packet.truncate(total_len);
    if is_shim(outer) && is_whole {
        // What can't be read is for whoever delivers it to refuse, should it be to us.
        let read = Arrival::read(packet.data(), (outer, header_len), &round.tables.udp_ports);
        if let Ok(Some(arrival)) = read
            && let Found::Tunnel(tunnel) =
                round.tables.tunnel_by_ipv4((local, remote), arrival, Some(port))
        {
            // A tunnel's local address is ours; without one, any of ours will do.
            let is_local = |t: &Tunnel| local != 0 && t.local_ipv4() == local;
            let known_local = round.tables.tunnel(tunnel).is_some_and(is_local);
            if known_local || round.tables.local.contains_ipv4(local) {
                return Verdict::Decap(tunnel);
            }
        }
    }
    Verdict::Route
}

#[inline]
fn classify_ipv6(packet: &mut Packet, port: PortId, round: &Round<'_, impl Witness>) -> Verdict {
    let header = match Ipv6::parse(packet.data()) {
        Ok(header) => header,
        Err(error) => {
            round.note(|| Event::malformed_ipv6(error, packet.data()));
            let is_truncated = error == Ipv6Error::Truncated;
            let counter = if is_truncated { Counter::Ip6Truncated } else { Counter::Ip6BadHeader };
            return Verdict::drop(counter);
        }
    };
    round.note(|| Event::Packet(Header::of(header.bytes())));
    let (total_len, next_header) = (header.total_len(), header.next_header());
    let (local, remote) = (header.destination(), header.source());
    let (carried, offset) = match next_header {
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::FRAGMENT
        | protocol::DESTINATION_OPTIONS
            if round.tables.local.contains_ipv6(local) =>
        {
            match carried_to_us(header) {
                Ok(carried) => carried,
                Err(verdict) => {
                    let refused = verdict.loss().map(|loss| loss.counter);
                    round.note(|| Event::extensions(header.bytes(), refused));
                    packet.truncate(total_len);
                    return verdict;
                }
            }
        }
        other => (other, ipv6::HEADER_LEN),
    };
    packet.truncate(total_len);
    if is_shim(carried) {
        let read = Arrival::read(packet.data(), (carried, offset), &round.tables.udp_ports);
        if let Ok(Some(arrival)) = read
            && let Found::Tunnel(tunnel) =
                round.tables.tunnel_by_ipv6((local, remote), arrival, Some(port))
        {
            let is_local = |t: &Tunnel| local != 0 && t.local_ipv6() == local;
            let known_local = round.tables.tunnel(tunnel).is_some_and(is_local);
            if known_local || round.tables.local.contains_ipv6(local) {
                return Verdict::Decap(tunnel);
            }
        }
    }
    Verdict::Route
}

/// What the extension headers of a packet to us carry, and where that begins. A piece of a packet
/// carries nothing that a tunnel could take.
fn carried_to_us(header: Ipv6<'_>) -> Result<(u8, usize), Verdict> {
    let (upper, is_piece) = walk_extensions_to_us(header)?;
    let carried = if is_piece { protocol::NO_NEXT_HEADER } else { upper.protocol };
    Ok((carried, upper.offset))
}

/// Walks the extension headers of a packet to this node, and judges them. On success: what they
/// say, and whether the packet is a piece of another.
pub fn walk_extensions_to_us(header: Ipv6<'_>) -> Result<(UpperLayer, bool), Verdict> {
    let upper = header.upper_layer();
    if upper.fragment.is_some()
        && let Some(piece) = FragmentHeader::find(header.bytes()).filter(|found| found.is_piece)
    {
        // Of a piece, what stands in front of its fragment header can be judged, and no more.
        let front = header.bytes().get(..piece.at).unwrap_or(&[]);
        let upper_of_front = UpperLayer { error: None, ..Ipv6::trusted(front).upper_layer() };
        judge_extensions(upper_of_front, front)?;
        return Ok((upper, true));
    }
    judge_extensions(upper, header.bytes())?;
    Ok((upper, false))
}

/// Judges the extension headers of a packet to this node.
fn judge_extensions(upper: UpperLayer, packet: &[u8]) -> Result<(), Verdict> {
    if upper.type_0_routing {
        //= RFC 5095 §3: a node must not process a routing header of type 0.
        return Err(Verdict::drop(Counter::Ip6Rh0));
    }
    if upper.error.is_some() || upper.segments_left.is_some() {
        return Err(Verdict::drop(Counter::Ip6BadExthdr));
    }
    judge_options(packet, true).map_or(Ok(()), Err)
}
