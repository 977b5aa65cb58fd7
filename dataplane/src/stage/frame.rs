//! Ethernet frames in tunnels: what the outer header takes from a frame that goes into one, and what becomes of one
//! that comes out.

use super::clamp::clamp_in_frame;
use super::decap::{Outer, accept, inner_tos};
use super::inner::Inner;
use super::{Loss, Round, Verdict, remotes};
use crate::counters::Counter;
use crate::interface::{Interface, TunnelId};
use crate::packet::Packet;
use crate::tunnel::{Tunnel, TunnelSetup, ecn};
use crate::wire::ethernet::{self, MacAddress, ether_type};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{protocol, read_u16};
use crate::witness::{Event, Header, Witness};

/// The outer TTL around a frame without a packet, where it would be the packet's.
const TTL_OF_OTHERS: u8 = 64;

/// Reads a frame that goes into a tunnel.
#[inline]
pub(super) fn read(frame: &[u8]) -> Inner {
    let others = Inner {
        protocol: protocol::ETHERNET,
        tos: 0,
        ttl: TTL_OF_OTHERS,
        dont_fragment: Some(false),
        ip_at: None,
        push_len: 0,
    };
    let ip_at = ethernet::ip_at(frame);
    let Some(packet) = ip_at.and_then(|at| frame.get(at..)) else { return others };
    if is_ipv4(packet) {
        let header = Ipv4::trusted(packet);
        let dont_fragment = Some(header.dont_fragment());
        Inner { tos: header.tos(), ttl: header.ttl().max(1), dont_fragment, ip_at, ..others }
    } else {
        let header = Ipv6::trusted(packet);
        let (tos, ttl) = (header.traffic_class(), header.hop_limit().max(1));
        Inner { tos, ttl, dont_fragment: None, ip_at, ..others }
    }
}

/// What becomes of a frame whose packet is larger than the `mtu` of a tunnel.
pub(super) fn too_big(setup: &TunnelSetup, id: TunnelId, inner: Inner, mtu: u16) -> Verdict {
    let loss = Loss { counter: Counter::IfTxTooBig, interface: Interface::tunnel(id) };
    // Without DF there is nothing that a sender of IPv4 could do about it.
    let can_help = inner.dont_fragment != Some(false);
    let rules = setup.frames.as_ref().filter(|rules| rules.tells_too_big && can_help);
    // Its tags stay, and take their room.
    let mtu = mtu.saturating_sub(inner.ip_at.map_or(0, ethernet::tags_len));
    match rules.and_then(|rules| rules.attach) {
        Some(port) => Verdict::RejectFrame { mtu, port, loss },
        None => Verdict::Drop(loss),
    }
}

/// The hash of a frame that has no flow but what goes on between two stations: they, and what it is.
pub(super) fn hash_of_stations(frame: &[u8], round: &Round<'_, impl Witness>) -> u64 {
    let stations = frame.iter().take(12).fold(0, |all, &byte| all << 8 | u128::from(byte));
    let (kind, _) = ethernet::carried(frame);
    round.tables.flow.hash_address(stations << 16 | u128::from(kind))
}

/// Judges a frame that came out of a tunnel, and lets it go to the port that the tunnel is attached to. The packet
/// stands at the frame.
pub(super) fn come_out(
    packet: &mut Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    outer: Outer,
    round: &mut Round<'_, impl Witness>,
) -> Result<Verdict, Counter> {
    let Some(header) = packet.data().first_chunk::<{ ethernet::HEADER_LEN }>() else {
        return Err(Counter::IfRxLengthErr);
    };
    let Some(rules) = &tunnel.setup.frames else { return Err(Counter::IfRxInnerDstDenied) };
    let Some(port) = rules.attach else { return Err(Counter::IfRxInnerDstDenied) };
    let kind = read_u16(header, ethernet::HEADER_LEN - 2);
    let stations = [&header[..6], &header[6..12]].map(station);
    round.note(|| Event::Unwrapped { tunnel: id, port, stations, kind });
    if !rules.takes_tags && is_tagged(packet.data()) {
        //= RFC 7348 §6.1: a frame with a tag is discarded, unless it is configured otherwise.
        return Err(Counter::VxlanVlanTag);
    }
    let source = stations[1];
    if let Some(counter) = rules.own_station
        && round.tables.ports.iter().any(|port| port.mac == source)
    {
        return Err(counter);
    }
    if let Some(at) = ethernet::ip_at(packet.data()) {
        judge_inside(packet, at, (tunnel, id), outer, round)?;
    } else if outer.tos.is_some_and(|tos| tos & ecn::MASK == ecn::CE) {
        // What is inside has no such field: it ends.
        round.count_event(Counter::IfRxEcnLog, tunnel.setup.slot);
    }
    accept(packet, tunnel, id, packet.len(), round);
    if let Some(remotes) = &rules.remotes {
        remotes::hear(remotes, source, outer.source(), round);
    }
    Ok(Verdict::TransmitFrame(port))
}

/// The same for the IP packet in a frame, whose header is at `at`.
fn judge_inside(
    packet: &mut Packet,
    at: usize,
    (tunnel, id): (&Tunnel, TunnelId),
    outer: Outer,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    let bytes = packet.data_mut().get_mut(at..).unwrap_or(&mut []);
    round.note(|| Event::Inner(Header::of(bytes)));
    let is_ipv4 = is_ipv4(bytes);
    //= RFC 9601 §3: ECN in a frame is treated as that of a packet which is directly inside.
    if is_ipv4 {
        let old = Ipv4::trusted(bytes).tos();
        let tos = inner_tos(tunnel, outer.tos, old, round)?;
        if tos != old {
            ipv4::set_tos(bytes, tos);
        }
    } else {
        let old = Ipv6::trusted(bytes).traffic_class();
        let class = inner_tos(tunnel, outer.tos, old, round)?;
        if class != old {
            ipv6::set_traffic_class(bytes, class);
        }
    }
    let overhead = u16::try_from(tunnel.overhead()).unwrap_or(u16::MAX);
    let around = overhead.saturating_add(tunnel.setup.link_header_len());
    let way = match tunnel.remotes() {
        None => round.way(tunnel),
        Some(remotes) => {
            let hash = || round.tables.flow.hash(bytes);
            round.tables.sizes_to_remote(remotes, outer.source(), hash, round.now)
        }
    };
    let mtu = tunnel.setup.effective_mtu(around, is_ipv4, way);
    clamp_in_frame(packet, at, (tunnel, id), mtu, round);
    Ok(())
}

/// Whether a frame has a VLAN tag.
pub(super) fn is_tagged(frame: &[u8]) -> bool {
    let kind = read_u16(frame, ethernet::HEADER_LEN - 2);
    matches!(kind, ether_type::VLAN | ether_type::SERVICE_VLAN)
}

fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}

fn station(bytes: &[u8]) -> MacAddress {
    bytes.first_chunk().map_or(MacAddress::default(), |mac| MacAddress(*mac))
}
