//! Plain packets that go into a tunnel.

use super::Outcome;
use super::counting::{NEAR_TUNNELS, prefetch_counters};
use super::cover::{GRE, GRE_IN_UDP, Inner, NOTHING, UDP, cover_ipv4, cover_ipv6};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::link::{LastLink, Link};
use super::list::{List, see_to_each};
use crate::interface::TunnelId;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::Facts;
use crate::wire::{ipv4, ipv6, protocol};

/// Puts the IPv4 packets that were sorted as such into their tunnels.
#[inline(never)]
pub(super) fn enter_ipv4(
    burst: (&mut [Packet], &mut [Outcome]),
    entries: &List<(u16, TunnelId)>,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    if round.tables.limits.nested_encaps == 0 {
        return;
    }
    if round.tables.tunnels.len() > NEAR_TUNNELS {
        prefetch_counters(entries.items().iter().map(|&(_, id)| id), round);
    }
    let (tunnels, asks_paths) = (&round.tables.tunnels, round.tables.soft_state.knows_something());
    see_to_each(
        burst,
        entries.items(),
        |&(at, _)| at,
        |packet, &(_, id)| {
            let tunnel = tunnels.get(id.index())?;
            if tunnel.plain.facts.has_some(Facts::ANY_SHIM) {
                enter_one_behind_ipv4(packet, tunnel, asks_paths, last, round)
            } else {
                enter_one_ipv4::<NOTHING>(packet, tunnel, asks_paths, last, round)
            }
        },
    );
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn enter_ipv6(
    burst: (&mut [Packet], &mut [Outcome]),
    entries: &List<(u16, TunnelId)>,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    if round.tables.limits.nested_encaps == 0 {
        return;
    }
    if round.tables.tunnels.len() > NEAR_TUNNELS {
        prefetch_counters(entries.items().iter().map(|&(_, id)| id), round);
    }
    let (tunnels, asks_paths) = (&round.tables.tunnels, round.tables.soft_state.knows_something());
    see_to_each(
        burst,
        entries.items(),
        |&(at, _)| at,
        |packet, &(_, id)| {
            let tunnel = tunnels.get(id.index())?;
            if tunnel.plain.facts.has_some(Facts::ANY_SHIM) {
                enter_one_behind_ipv6(packet, tunnel, asks_paths, last, round)
            } else {
                enter_one_ipv6::<NOTHING>(packet, tunnel, asks_paths, last, round)
            }
        },
    );
}

/// One whose tunnel has something behind the outer header.
#[inline(never)]
fn enter_one_behind_ipv4(
    packet: &mut Packet,
    tunnel: &Tunnel,
    asks_paths: bool,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    if tunnel.plain.facts.has(Facts::IP_IN_UDP) {
        enter_one_ipv4::<UDP>(packet, tunnel, asks_paths, last, round)
    } else if tunnel.plain.facts.has(Facts::IN_UDP) {
        enter_one_ipv4::<GRE_IN_UDP>(packet, tunnel, asks_paths, last, round)
    } else {
        enter_one_ipv4::<GRE>(packet, tunnel, asks_paths, last, round)
    }
}

#[inline]
fn enter_one_ipv4<const BEHIND: u8>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    asks_paths: bool,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let start = packet.data().first_chunk::<IPV4_END>()?;
    let plain = PlainIpv4::of(header::behind_ethernet(start));
    if header::opens_connection(packet.data(), IPV4_END, plain.protocol(), tunnel) {
        return None;
    }
    let link = way(tunnel, Facts::ENCAP_IPV4, plain.total_len(), asks_paths, last, round)?;
    let inner = Inner {
        total_len: plain.total_len(),
        protocol: protocol::IPV4,
        tos: plain.tos(),
        ttl: plain.ttl() - 1,
        fragment: tunnel.plain.fragment.apply(plain.fragment()),
    };
    if tunnel.plain.facts.has(Facts::IPV6_OUTSIDE) {
        cover_ipv6::<{ ipv4::HEADER_LEN }, BEHIND>(packet, tunnel, inner, link, round)?;
    } else {
        let remote = tunnel.rewrite.remote_ipv4();
        if (plain.source() == remote) | (plain.destination() == remote) {
            return None;
        }
        cover_ipv4::<{ ipv4::HEADER_LEN }, BEHIND>(packet, tunnel, inner, link, round)?;
    }
    Some(entered(inner, tunnel, link, round))
}

/// The same for IPv6.
#[inline(never)]
fn enter_one_behind_ipv6(
    packet: &mut Packet,
    tunnel: &Tunnel,
    asks_paths: bool,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    if tunnel.plain.facts.has(Facts::IP_IN_UDP) {
        enter_one_ipv6::<UDP>(packet, tunnel, asks_paths, last, round)
    } else if tunnel.plain.facts.has(Facts::IN_UDP) {
        enter_one_ipv6::<GRE_IN_UDP>(packet, tunnel, asks_paths, last, round)
    } else {
        enter_one_ipv6::<GRE>(packet, tunnel, asks_paths, last, round)
    }
}

#[inline]
fn enter_one_ipv6<const BEHIND: u8>(
    packet: &mut Packet,
    tunnel: &Tunnel,
    asks_paths: bool,
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let start = packet.data().first_chunk::<IPV6_END>()?;
    let plain = PlainIpv6::of(header::behind_ethernet(start));
    if header::opens_connection(packet.data(), IPV6_END, plain.next_header(), tunnel) {
        return None;
    }
    let link = way(tunnel, Facts::ENCAP_IPV6, plain.total_len(), asks_paths, last, round)?;
    let inner = Inner {
        total_len: plain.total_len(),
        protocol: protocol::IPV6,
        tos: plain.traffic_class(),
        ttl: plain.hop_limit() - 1,
        fragment: tunnel.plain.fragment_ipv6,
    };
    if tunnel.plain.facts.has(Facts::IPV6_OUTSIDE) {
        let remote = tunnel.rewrite.remote_ipv6();
        if (plain.source() == remote) | (plain.destination() == remote) {
            return None;
        }
        cover_ipv6::<{ ipv6::HEADER_LEN }, BEHIND>(packet, tunnel, inner, link, round)?;
    } else {
        cover_ipv4::<{ ipv6::HEADER_LEN }, BEHIND>(packet, tunnel, inner, link, round)?;
    }
    Some(entered(inner, tunnel, link, round))
}

/// How an inner packet of some size leaves once it is in the tunnel, if it may enter as it is. `asks_paths`: something is
/// known of some path.
#[inline]
fn way<'l>(
    tunnel: &Tunnel,
    fact: Facts,
    total_len: u16,
    asks_paths: bool,
    last: &'l mut LastLink,
    round: &Round<'_>,
) -> Option<&'l Link> {
    // What fits the tunnel fits the underlay port around it: that is in the plain MTU.
    if !tunnel.plain.facts.has(fact) || total_len > tunnel.plain.mtu {
        return None;
    }
    if asks_paths && is_held_up(tunnel, total_len, round) {
        return None;
    }
    last.link(tunnel.plain.underlay, round)
}

/// Whether what is known of the path keeps a packet from going like any other.
#[cold]
#[inline(never)]
fn is_held_up(tunnel: &Tunnel, total_len: u16, round: &Round<'_>) -> bool {
    let outer_len = usize::from(total_len) + tunnel.overhead();
    outer_len > usize::from(round.tables.soft_state.limit(tunnel.plain.path))
}

/// Counts a packet that entered a tunnel.
#[inline]
fn entered(inner: Inner, tunnel: &Tunnel, link: &Link, round: &mut Round<'_>) -> Outcome {
    let inner_len = usize::from(inner.total_len);
    round.count_tx(tunnel.plain.slot, tunnel.measured_as(), inner_len);
    Outcome::taken(Path::Encap, link.port)
}
