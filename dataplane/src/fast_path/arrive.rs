//! Packets of a protocol that tunnels use: which tunnel each came through, and what is inside.

use super::header::{IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::{Arrival, FastPath, Inside, Transit};
use crate::interface::{PortId, TunnelId};
use crate::packet::Packet;
use crate::stage::Round;
use crate::stage::decap::{source_is_believed_ipv4, source_is_believed_ipv6};
use crate::tables::NextHop;
use crate::tunnel::Tunnel;
use crate::tunnel::ecn;
use crate::tunnel::lookup::{Found, Protocols};
use crate::tunnel::plain::Facts;
use crate::wire::{ipv4, ipv6, protocol};

impl FastPath {
    /// Finds the tunnels, and sorts what is inside into the lists. What belongs to no tunnel of ours
    /// is transit like anything else.
    #[inline]
    pub(super) fn arrive(&mut self, packets: &[Packet], port: PortId, round: &Round<'_>) {
        self.inside4.clear();
        self.inside6.clear();
        if !self.arrivals4.items().is_empty() {
            self.arrive_ipv4(packets, port, round);
        }
        if !self.arrivals6.items().is_empty() {
            self.arrive_ipv6(packets, port, round);
        }
    }

    fn arrive_ipv4(&mut self, packets: &[Packet], port: PortId, round: &Round<'_>) {
        let Self { transit4, arrivals4, inside4, inside6, .. } = self;
        for arrival in arrivals4.items() {
            let Arrival { at, total_len, local, remote, .. } = *arrival;
            let protocols = Protocols::of(arrival.protocol);
            let found = round.tables.tunnels_by_ipv4.find(local, remote, protocols, Some(port));
            let Found::Tunnel(id) = found else {
                if arrival.is_between_hosts && !round.tables.local.contains_ipv4(remote) {
                    let next_hop = NextHop::NoRoute;
                    transit4.push(Transit { at, total_len, destination: local, next_hop });
                }
                continue;
            };
            let Some(tunnel) = round.tables.tunnel(id) else { continue };
            let Some(packet) = packets.get(usize::from(at)) else { continue };
            if tunnel.rewrite.local_ipv4() != local {
                continue;
            }
            let outer = Outer::of(arrival, IPV4_END, ipv4::HEADER_LEN);
            if arrival.protocol == protocol::IPV4 {
                if let Some(inside) = inside_ipv4(packet, tunnel, id, outer, remote, round) {
                    inside4.push(inside);
                }
            } else if let Some(inside) = inside_ipv6(packet, tunnel, id, outer, 0, round) {
                inside6.push(inside);
            }
        }
    }

    fn arrive_ipv6(&mut self, packets: &[Packet], port: PortId, round: &Round<'_>) {
        let Self { transit6, arrivals6, inside4, inside6, .. } = self;
        for arrival in arrivals6.items() {
            let Arrival { at, total_len, local, remote, .. } = *arrival;
            let protocols = Protocols::of(arrival.protocol);
            let found = round.tables.tunnels_by_ipv6.find(local, remote, protocols, Some(port));
            let Found::Tunnel(id) = found else {
                if arrival.is_between_hosts && !round.tables.local.contains_ipv6(remote) {
                    let next_hop = NextHop::NoRoute;
                    transit6.push(Transit { at, total_len, destination: local, next_hop });
                }
                continue;
            };
            let Some(tunnel) = round.tables.tunnel(id) else { continue };
            let Some(packet) = packets.get(usize::from(at)) else { continue };
            if tunnel.rewrite.local_ipv6() != local {
                continue;
            }
            let outer = Outer::of(arrival, IPV6_END, ipv6::HEADER_LEN);
            if arrival.protocol == protocol::IPV4 {
                if let Some(inside) = inside_ipv4(packet, tunnel, id, outer, 0, round) {
                    inside4.push(inside);
                }
            } else if let Some(inside) = inside_ipv6(packet, tunnel, id, outer, remote, round) {
                inside6.push(inside);
            }
        }
    }
}

/// What counts of an outer header once the tunnel is known.
#[derive(Clone, Copy)]
struct Outer {
    at: u16,
    tos: u8,
    ttl: u8,
    /// Where it ends in the frame.
    end: usize,
    /// Bytes behind it.
    payload_len: usize,
}

impl Outer {
    #[inline]
    fn of<A>(arrival: &Arrival<A>, end: usize, header_len: usize) -> Self {
        let payload_len = usize::from(arrival.total_len) - header_len;
        Self { at: arrival.at, tos: arrival.tos, ttl: arrival.ttl, end, payload_len }
    }

    /// Whether nothing but the inner header decides about the packet, and its ECN field stays.
    #[inline]
    fn is_plain(self, tunnel: &Tunnel, fact: Facts, inner_tos: u8) -> bool {
        //= RFC 6040 §4.2: an outer Not-ECT, or the same field outside as inside, leaves the inner
        //= one as it is.
        let outer_ecn = self.tos & ecn::MASK;
        let keeps_ecn = outer_ecn == 0 || outer_ecn == inner_tos & ecn::MASK;
        tunnel.plain.facts.has(fact) & (self.ttl >= tunnel.plain.min_outer_ttl) & keeps_ecn
    }
}

/// The plain IPv4 packet inside, if it is one. `outer_source`: of an IPv4 header, else 0.
#[inline]
fn inside_ipv4(
    packet: &Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    outer: Outer,
    outer_source: u32,
    round: &Round<'_>,
) -> Option<Inside<u32>> {
    let header = packet.data().get(outer.end..)?.first_chunk()?;
    let plain = PlainIpv4::read(header, outer.payload_len)?;
    let PlainIpv4 { total_len, source, destination, .. } = plain;
    let is_plain = outer.is_plain(tunnel, Facts::DECAP_IPV4, plain.tos)
        & plain.is_between_hosts()
        & (plain.ttl > 1)
        & (destination != outer_source);
    if !is_plain {
        return None;
    }
    let believed = if tunnel.plain.facts.has(Facts::ROUTED_SOURCE) {
        round.tables.route_ipv4(source) == NextHop::Tunnel(id)
    } else {
        source_is_believed_ipv4(tunnel, id, source, round)
    };
    believed.then_some(Inside {
        at: outer.at,
        total_len,
        offset: offset(outer),
        tunnel: id,
        destination,
        next_hop: NextHop::NoRoute,
    })
}

/// The plain IPv6 packet inside, if it is one. `outer_source`: of an IPv6 header, else 0.
#[inline]
fn inside_ipv6(
    packet: &Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    outer: Outer,
    outer_source: u128,
    round: &Round<'_>,
) -> Option<Inside<u128>> {
    let header = packet.data().get(outer.end..)?.first_chunk()?;
    let plain = PlainIpv6::read(header, outer.payload_len)?;
    let PlainIpv6 { total_len, source, destination, .. } = plain;
    let is_plain = outer.is_plain(tunnel, Facts::DECAP_IPV6, plain.traffic_class)
        & plain.is_between_hosts()
        & (plain.hop_limit > 1)
        & (destination != outer_source);
    if !is_plain || !source_is_believed_ipv6(tunnel, id, source, destination, round) {
        return None;
    }
    Some(Inside {
        at: outer.at,
        total_len,
        offset: offset(outer),
        tunnel: id,
        destination,
        next_hop: NextHop::NoRoute,
    })
}

/// Where the inner header begins in the frame.
#[inline]
fn offset(outer: Outer) -> u8 {
    const { assert!(IPV6_END <= u8::MAX as usize) };
    u8::try_from(outer.end).unwrap_or(0)
}
