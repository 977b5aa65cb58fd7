//! Plain packets that go into a tunnel.

use super::header::{IPV4_END, IPV6_END, PlainIpv4, PlainIpv6, decrement_ttl};
use super::{Leaving, Transit};
use crate::interface::{PortId, TunnelId};
use crate::node::flow::flow_label;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::Facts;
use crate::tunnel::rewrite::Patch;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{ipv6, protocol};

impl Leaving<'_> {
    #[inline]
    pub(super) fn enter_ipv4(
        &mut self,
        item: &Transit<u32>,
        id: TunnelId,
        round: &mut Round<'_>,
    ) -> Option<()> {
        let tunnel = round.tables.tunnel(id)?;
        let (port, macs) = self.way(tunnel, Facts::ENCAP_IPV4, item.total_len, round)?;
        let packet = self.packets.get_mut(usize::from(item.at))?;
        if packet.headroom() < tunnel.rewrite.len() {
            return None;
        }
        let start = packet.data_mut().first_chunk_mut::<IPV4_END>()?;
        let header = start.last_chunk_mut()?;
        let inner = PlainIpv4::trusted(header);
        if tunnel.goes_round_ipv4(inner.source, inner.destination) {
            return None;
        }
        decrement_ttl(header);
        let inner = Inner {
            total_len: item.total_len,
            protocol: protocol::IPV4,
            tos: inner.tos,
            ttl: inner.ttl - 1,
            dont_fragment: Some(inner.dont_fragment()),
        };
        cover(packet, tunnel, inner, macs, round);
        self.entered(item.at, inner, tunnel, port, round);
        Some(())
    }

    #[inline]
    pub(super) fn enter_ipv6(
        &mut self,
        item: &Transit<u128>,
        id: TunnelId,
        round: &mut Round<'_>,
    ) -> Option<()> {
        let tunnel = round.tables.tunnel(id)?;
        let (port, macs) = self.way(tunnel, Facts::ENCAP_IPV6, item.total_len, round)?;
        let packet = self.packets.get_mut(usize::from(item.at))?;
        if packet.headroom() < tunnel.rewrite.len() {
            return None;
        }
        let start = packet.data_mut().first_chunk_mut::<IPV6_END>()?;
        let inner = PlainIpv6::trusted(start.last_chunk()?);
        if tunnel.goes_round_ipv6(inner.source, inner.destination) {
            return None;
        }
        start[ethernet::HEADER_LEN + ipv6::offset::HOP_LIMIT] -= 1;
        let inner = Inner {
            total_len: item.total_len,
            protocol: protocol::IPV6,
            tos: inner.traffic_class,
            ttl: inner.hop_limit - 1,
            dont_fragment: None,
        };
        cover(packet, tunnel, inner, macs, round);
        self.entered(item.at, inner, tunnel, port, round);
        Some(())
    }

    /// How an inner packet of some size leaves once it is in the tunnel, if it may enter as it is.
    #[inline]
    fn way<'t>(
        &mut self,
        tunnel: &Tunnel,
        fact: Facts,
        total_len: u16,
        round: &Round<'t>,
    ) -> Option<(PortId, &'t [u8; 12])> {
        let may_enter = tunnel.plain.facts.has(fact)
            & (total_len <= tunnel.plain.mtu)
            & (round.tables.limits.nested_encaps > 0);
        if !may_enter {
            return None;
        }
        let outer_len = total_len.saturating_add(u16::try_from(tunnel.rewrite.len()).ok()?);
        let host = self.host_of(tunnel.plain.underlay, outer_len, round)?;
        Some((host.port, host.macs))
    }

    /// Counts a packet that entered a tunnel, and marks it as ready.
    #[inline]
    fn entered(
        &mut self,
        at: u16,
        inner: Inner,
        tunnel: &Tunnel,
        port: PortId,
        round: &mut Round<'_>,
    ) {
        let inner_len = usize::from(inner.total_len);
        round.count_tx(tunnel.plain.slot, tunnel.measured_as(), inner_len);
        self.ready(at, Path::Encap, port);
    }
}

/// What the outer header takes from the inner one.
#[derive(Clone, Copy)]
struct Inner {
    total_len: u16,
    protocol: u8,
    tos: u8,
    ttl: u8,
    /// `None` for IPv6.
    dont_fragment: Option<bool>,
}

/// Puts the headers in front of a packet that stands at its old Ethernet header.
#[inline]
fn cover(
    packet: &mut Packet,
    tunnel: &Tunnel,
    inner: Inner,
    macs: &[u8; 12],
    round: &mut Round<'_>,
) {
    let plain = &tunnel.plain;
    let mut patch = Patch {
        inner_len: inner.total_len,
        tos: plain.outer_tos(inner.tos),
        ttl: plain.outer_ttl(inner.ttl),
        protocol: inner.protocol,
        identification: 0,
        dont_fragment: false,
        flow_label: 0,
    };
    let kind = if plain.facts.has(Facts::IPV6_OUTSIDE) {
        let inner = packet.data().get(ethernet::HEADER_LEN..).unwrap_or(&[]);
        patch.flow_label = plain.outer_flow_label(|| flow_label(round.tables.flow.hash(inner)));
        ether_type::IPV6
    } else {
        patch.dont_fragment = plain.outer_dont_fragment(inner.dont_fragment);
        if !patch.dont_fragment {
            patch.identification = round.identifications.next(plain.slot);
        }
        ether_type::IPV4
    };
    let header_len = ethernet::HEADER_LEN + tunnel.rewrite.len();
    packet.prepend(tunnel.rewrite.len());
    packet.truncate(header_len + usize::from(inner.total_len));
    let Some((link, room)) = packet.data_mut().split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()
    else {
        return;
    };
    link[..12].copy_from_slice(macs);
    link[12..].copy_from_slice(&kind.to_be_bytes());
    if plain.facts.has(Facts::IPV6_OUTSIDE) {
        tunnel.rewrite.write_ipv6(room, patch, None);
    } else {
        tunnel.rewrite.write_ipv4(room, patch);
    }
}
