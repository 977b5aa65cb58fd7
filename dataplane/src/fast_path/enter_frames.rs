//! Plain frames that a port received whose frames all go into one tunnel. What follows from the tunnel is found out
//! once for a burst.

use super::Outcome;
use super::frame::{PlainFrame, loses_padding};
use super::link::{LastLink, Link};
use crate::interface::TunnelId;
use crate::node::flow::flow_label;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::Facts;
use crate::tunnel::rewrite::{OuterIpv4, OuterIpv6};
use crate::tunnel::shim::FRAME_SHIM_MAX;
use crate::tunnel::source_port::PortRange;
use crate::wire::checksum::sum_as_stored;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{ipv4, protocol, udp};

/// Puts the plain frames of a burst into a tunnel.
pub(super) fn enter_frames(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    id: TunnelId,
    round: &mut Round<'_>,
) {
    let mut last = LastLink::default();
    let Some(way) = Way::into(id, &mut last, round) else { return };
    let burst = (packets, outcomes);
    match (way.tunnel.plain.facts.has(Facts::IPV6_OUTSIDE), way.shim_len) {
        (false, 4) => enter_each::<20, 4, 38>(burst, &way, round),
        (false, 8) => enter_each::<20, 8, 42>(burst, &way, round),
        (false, _) => enter_each::<20, 16, 50>(burst, &way, round),
        (true, 4) => enter_each::<40, 4, 58>(burst, &way, round),
        (true, 8) => enter_each::<40, 8, 62>(burst, &way, round),
        (true, _) => enter_each::<40, 16, 70>(burst, &way, round),
    }
}

/// The way of all frames of a burst.
struct Way<'t> {
    tunnel: &'t Tunnel,
    link: &'t Link,
    /// What stands behind the outer header, but for what differs.
    shim: [u8; FRAME_SHIM_MAX],
    shim_len: usize,
    /// The same in words of its bytes as they stand in memory.
    shim_words: [u64; 2],
    /// The longest frame that goes like any other.
    longest: usize,
    loses_padding: bool,
    /// The source ports, where they go by the flow.
    ports: Option<PortRange>,
}

impl<'t> Way<'t> {
    /// `None`: the stages know it.
    fn into(id: TunnelId, last: &'t mut LastLink, round: &Round<'t>) -> Option<Self> {
        let tables = round.tables;
        let tunnel = tables.tunnel(id)?;
        if !tunnel.plain.facts.has(Facts::ENCAP_FRAMES) || tables.limits.nested_encaps == 0 {
            return None;
        }
        let (shim, shim_len) = tunnel.setup.shim.plain_of_frames()?;
        let outer_limit = usize::from(tables.soft_state.limit(tunnel.plain.path));
        let fits = usize::from(tunnel.plain.mtu) + ethernet::HEADER_LEN;
        Some(Self {
            tunnel,
            link: last.link(tunnel.plain.underlay, round)?,
            shim,
            shim_len,
            shim_words: [0, 8].map(|at| word(&shim, at)),
            longest: fits.min(outer_limit.saturating_sub(tunnel.overhead())),
            loses_padding: loses_padding(tunnel),
            ports: tunnel.setup.shim.udp.as_ref().and_then(|udp| udp.sends_from.range()),
        })
    }
}

fn word(bytes: &[u8; FRAME_SHIM_MAX], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// The same behind `OUTER` bytes of IP, and `SHIM` bytes between, which are `FRONT` with the Ethernet header.
fn enter_each<const OUTER: usize, const SHIM: usize, const FRONT: usize>(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    way: &Way<'_>,
    round: &mut Round<'_>,
) {
    for (packet, outcome) in packets.iter_mut().zip(outcomes) {
        if let Some(taken) = enter_one::<OUTER, SHIM, FRONT>(packet, way, round) {
            *outcome = taken;
        }
    }
}

#[inline]
fn enter_one<const OUTER: usize, const SHIM: usize, const FRONT: usize>(
    packet: &mut Packet,
    way: &Way<'_>,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    const { assert!(FRONT == ethernet::HEADER_LEN + OUTER + SHIM) };
    let inner = PlainFrame::read(packet.data())?;
    let len = if way.loses_padding { inner.packet_end } else { packet.len() };
    if len > way.longest || inner.opens_connection(packet.data(), way.tunnel) {
        return None;
    }
    let bytes = packet.reframe(packet.headroom().checked_sub(FRONT)?, FRONT + len)?;
    let (front, frame) = bytes.split_first_chunk_mut::<FRONT>()?;
    front[..12].copy_from_slice(&way.link.macs);
    if OUTER == ipv4::HEADER_LEN {
        behind_ipv4::<SHIM, FRONT>(front, frame, inner, way, round)?;
    } else {
        behind_ipv6::<SHIM, FRONT>(front, frame, inner, way, round)?;
    }
    round.count_tx(way.tunnel.plain.slot, way.tunnel.measured_as(), len);
    Some(Outcome::taken(Path::Encap, way.link.port))
}

/// Writes what is in front of a frame, with IPv4 outside. `None` never: there is room.
#[inline]
fn behind_ipv4<const SHIM: usize, const FRONT: usize>(
    front: &mut [u8; FRONT],
    frame: &[u8],
    inner: PlainFrame,
    way: &Way<'_>,
    round: &mut Round<'_>,
) -> Option<()> {
    let plain = &way.tunnel.plain;
    let (header, shim) = front.split_last_chunk_mut::<SHIM>()?;
    header[12..14].copy_from_slice(&ether_type::IPV4.to_be_bytes());
    let tos_and_flags = if inner.is_ipv4 {
        plain.fields.around_ipv4(inner.tos_and_flags)
    } else {
        plain.fields.around_ipv6(inner.tos_and_flags.tos())
    };
    let mut identification = 0;
    if tos_and_flags.is_without_flags() {
        //= RFC 6864 §4.1: only packets that may be fragmented need an identification.
        identification = round.identification(plain.path);
    }
    let payload_len = payload_len::<SHIM>(frame);
    let outer = OuterIpv4 {
        inner_len: payload_len,
        tos_and_flags,
        ttl: plain.ttl.apply(inner.ttl.max(1)),
        protocol: outer_protocol::<SHIM>(),
        identification,
    };
    way.tunnel.rewrite.write_plain_ipv4(header.last_chunk_mut()?, outer);
    let hash = if has_udp::<SHIM>() && way.ports.is_some() { inner.hash(frame, round) } else { 0 };
    let sum = way.tunnel.rewrite.addresses_ipv4();
    *shim = way.shim_of::<SHIM>(frame, payload_len, hash, sum);
    Some(())
}

/// The same with IPv6.
#[inline]
fn behind_ipv6<const SHIM: usize, const FRONT: usize>(
    front: &mut [u8; FRONT],
    frame: &[u8],
    inner: PlainFrame,
    way: &Way<'_>,
    round: &Round<'_>,
) -> Option<()> {
    let plain = &way.tunnel.plain;
    let (header, shim) = front.split_last_chunk_mut::<SHIM>()?;
    header[12..14].copy_from_slice(&ether_type::IPV6.to_be_bytes());
    let hash = inner.hash(frame, round);
    let payload_len = payload_len::<SHIM>(frame);
    let outer = OuterIpv6 {
        inner_len: payload_len,
        traffic_class: plain.fields.tos(inner.tos_and_flags.tos()),
        hop_limit: plain.ttl.apply(inner.ttl.max(1)),
        next_header: outer_protocol::<SHIM>(),
        flow_label: plain.outer_flow_label(|| flow_label(hash)),
    };
    way.tunnel.rewrite.write_plain_ipv6(header.last_chunk_mut()?, outer);
    let sum = way.tunnel.rewrite.addresses_ipv6();
    *shim = way.shim_of::<SHIM>(frame, payload_len, hash, sum);
    Some(())
}

/// Whether so many bytes between the headers begin with UDP.
const fn has_udp<const SHIM: usize>() -> bool {
    SHIM == FRAME_SHIM_MAX
}

const fn outer_protocol<const SHIM: usize>() -> u8 {
    if has_udp::<SHIM>() { protocol::UDP } else { protocol::GRE }
}

/// Bytes behind the outer header.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "no longer than what fits the tunnel")]
fn payload_len<const SHIM: usize>(frame: &[u8]) -> u16 {
    (SHIM + frame.len()) as u16
}

impl Way<'_> {
    /// What stands between the outer header and a frame; `hash`: of its flow, where that counts; `addresses`: the
    /// sum of the outer ones, as stored.
    #[inline]
    fn shim_of<const SHIM: usize>(
        &self,
        frame: &[u8],
        len: u16,
        hash: u64,
        addresses: u128,
    ) -> [u8; SHIM] {
        let mut shim = [0; SHIM];
        shim.copy_from_slice(&self.shim[..SHIM]);
        if !has_udp::<SHIM>() {
            return shim;
        }
        let len = len.swap_bytes();
        let [mut first, second] = self.shim_words;
        first |= u64::from(len) << 32;
        if let Some(ports) = self.ports {
            first |= u64::from(ports.port_of(hash).swap_bytes());
        }
        if self.tunnel.plain.facts.has(Facts::UDP_CHECKSUM) {
            let protocol = u16::from(protocol::UDP).swap_bytes();
            let start = addresses
                + u128::from(first)
                + u128::from(second)
                + u128::from(u64::from(protocol) + u64::from(len));
            first |= u64::from(checksum(start, frame)) << 48;
        }
        shim[..udp::HEADER_LEN].copy_from_slice(&first.to_le_bytes());
        shim
    }
}

/// The checksum of UDP around a frame, as stored; few tunnels want one.
#[inline(never)]
fn checksum(start: u128, frame: &[u8]) -> u16 {
    //= RFC 768: a checksum that comes to 0 is sent as all ones.
    match !sum_as_stored(start, frame) {
        0 => u16::MAX,
        checksum => checksum,
    }
}
