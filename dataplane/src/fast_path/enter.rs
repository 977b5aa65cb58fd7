//! Plain packets that go into a tunnel.

use super::Outcome;
use super::counting::{NEAR_TUNNELS, prefetch_counters};
use super::cover::{cover_ipv4, cover_ipv6};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::link::{LastLink, Link};
use super::list::List;
use crate::interface::TunnelId;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::tunnel::plain::{Behind, Facts};
use crate::wire::{ipv4, ipv6};

/// Puts the IPv4 packets that were sorted as such into their tunnels.
#[inline(never)]
pub(super) fn enter_ipv4(
    burst: (&mut [Packet], &mut [Outcome]),
    entries: &List<(u16, TunnelId)>,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    enter::<{ ipv4::HEADER_LEN }>(burst, entries, last, round);
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn enter_ipv6(
    burst: (&mut [Packet], &mut [Outcome]),
    entries: &List<(u16, TunnelId)>,
    last: &mut LastLink,
    round: &mut Round<'_>,
) {
    enter::<{ ipv6::HEADER_LEN }>(burst, entries, last, round);
}

/// The same for packets whose headers have `INNER` bytes. Tunnels with the same behind the outer header come in runs,
/// as nearly all of a node are alike, and each kind has a loop of its own.
#[inline]
fn enter<const INNER: usize>(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
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
    let mut rest = entries.items();
    while let Some((&(_, id), others)) = rest.split_first() {
        let burst = (&mut *packets, &mut *outcomes);
        let behind = round.tables.tunnel(id).map(|tunnel| tunnel.plain.facts.behind());
        rest = match behind {
            Some(Behind::NOTHING) => run::<INNER, { Behind::NOTHING }>(burst, rest, last, round),
            Some(Behind::GRE) => enter_run::<INNER, { Behind::GRE }>(burst, rest, last, round),
            Some(Behind::GRE_WITH_KEY) => {
                enter_run::<INNER, { Behind::GRE_WITH_KEY }>(burst, rest, last, round)
            }
            Some(Behind::UDP) => enter_run::<INNER, { Behind::UDP }>(burst, rest, last, round),
            Some(Behind::GUE) => enter_run::<INNER, { Behind::GUE }>(burst, rest, last, round),
            Some(Behind::GRE_IN_UDP) => {
                enter_run::<INNER, { Behind::GRE_IN_UDP }>(burst, rest, last, round)
            }
            _ => others,
        };
    }
}

/// As [`run`], out of the way of those that have nothing behind the outer header.
#[inline(never)]
fn enter_run<'i, const INNER: usize, const BEHIND: u16>(
    burst: (&mut [Packet], &mut [Outcome]),
    items: &'i [(u16, TunnelId)],
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> &'i [(u16, TunnelId)] {
    run::<INNER, BEHIND>(burst, items, last, round)
}

/// Puts packets into their tunnels until one has something else than `BEHIND`; returns those that are left.
#[inline]
fn run<'i, const INNER: usize, const BEHIND: u16>(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    items: &'i [(u16, TunnelId)],
    last: &mut LastLink,
    round: &mut Round<'_>,
) -> &'i [(u16, TunnelId)] {
    let tunnels = round.tables.tunnels.as_slice();
    let asks_paths = round.tables.soft_state.knows_something();
    // With one length, one look at it is enough.
    let count = packets.len().min(outcomes.len());
    let (packets, outcomes) = (&mut packets[..count], &mut outcomes[..count]);
    let mut rest = items;
    while let Some((&(at, id), others)) = rest.split_first() {
        let (tunnel, at) = (tunnels.get(id.index()), usize::from(at));
        if let (Some(tunnel), Some(packet), Some(outcome)) =
            (tunnel, packets.get_mut(at), outcomes.get_mut(at))
        {
            if tunnel.plain.facts.behind() != BEHIND {
                return rest;
            }
            let entered = if INNER == ipv4::HEADER_LEN {
                enter_one_ipv4::<BEHIND>(packet, tunnel, asks_paths, last, round)
            } else {
                enter_one_ipv6::<BEHIND>(packet, tunnel, asks_paths, last, round)
            };
            if let Some(entered) = entered {
                *outcome = entered;
            }
        }
        rest = others;
    }
    rest
}

/// Puts a packet into a tunnel with `BEHIND`, if both are plain.
#[inline]
fn enter_one_ipv4<const BEHIND: u16>(
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
    if tunnel.plain.facts.has(Facts::IPV6_OUTSIDE) {
        cover_ipv6::<{ ipv4::HEADER_LEN }, BEHIND>(packet, tunnel, plain.total_len(), link, round)?;
    } else {
        let remote = tunnel.rewrite.remote_ipv4();
        if (plain.source() == remote) | (plain.destination() == remote) {
            return None;
        }
        cover_ipv4::<{ ipv4::HEADER_LEN }, BEHIND>(packet, tunnel, plain.total_len(), link, round)?;
    }
    Some(entered(plain.total_len(), tunnel, link, round))
}

/// The same for IPv6.
#[inline]
fn enter_one_ipv6<const BEHIND: u16>(
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
    if tunnel.plain.facts.has(Facts::IPV6_OUTSIDE) {
        let remote = tunnel.rewrite.remote_ipv6();
        if (plain.source() == remote) | (plain.destination() == remote) {
            return None;
        }
        cover_ipv6::<{ ipv6::HEADER_LEN }, BEHIND>(packet, tunnel, plain.total_len(), link, round)?;
    } else {
        cover_ipv4::<{ ipv6::HEADER_LEN }, BEHIND>(packet, tunnel, plain.total_len(), link, round)?;
    }
    Some(entered(plain.total_len(), tunnel, link, round))
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
fn entered(total_len: u16, tunnel: &Tunnel, link: &Link, round: &mut Round<'_>) -> Outcome {
    round.count_tx(tunnel.plain.slot, tunnel.measured_as(), usize::from(total_len));
    Outcome::taken(Path::Encap, link.port)
}
