//! Plain packets that end here, in the number that floods come in: those of nobody's tunnel with IP directly in IP, with
//! `strangers` those of others, and with `errors`, `expire` and `pieces` those of which nothing comes for other reasons.
//! Who ends a packet counts it, as the stages would.

use super::Outcome;
use super::errors::{LastTold, end_icmp4, end_icmp6};
use super::expire::{expire_ipv4, expire_ipv6};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::list::{List, see_to_others};
use super::lookups::Lookups;
use super::pieces::end_own_ipv4;
use super::sort::{Sorted, may_pass_ipv4, may_pass_ipv6};
use crate::counters::Counter;
use crate::fib::{LastFound, NextHopId};
use crate::packet::Packet;
use crate::stage::Round;
use crate::stage::policy::{is_link_local, is_martian_ipv6};
use crate::tables::NextHop;
use crate::tunnel::lookup::{Found, Kinship};
use crate::wire::{ethernet, protocol};

impl Round<'_> {
    /// Drops a packet.
    pub(super) fn end(&self, counter: Counter) -> Outcome {
        self.counters.global(counter).add(1);
        self.counters.balance.dropped.add(1);
        Outcome::ENDED
    }
}

/// Sorts packets of protocols that tunnels use, whose addresses are no tunnel's: those to us end here.
#[inline(never)]
pub(super) fn sort_strangers_ipv4(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    strangers: &List<(u16, Found)>,
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    round: &Round<'_>,
) {
    let mut last = LastFound::default();
    for &(at, found) in strangers.items() {
        let index = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get(index), outcomes.get_mut(index)) else {
            continue;
        };
        let Some(start) = packet.data().first_chunk::<IPV4_END>() else { continue };
        let plain = PlainIpv4::of(header::behind_ethernet(start));
        let next_hop = round.tables.fib4.lookup_after(&mut last, plain.destination());
        if next_hop.is_local() {
            *outcome = stranger_ipv4(plain, found, round);
        } else if may_pass_ipv4(plain, round.tables) {
            sorted.push(at, next_hop, round.tables);
        } else {
            odd.push(at);
        }
    }
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn sort_strangers_ipv6(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    strangers: &List<(u16, Found)>,
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    lookups: &mut Lookups,
    round: &Round<'_>,
) {
    let all = strangers.items();
    let next_hops = look_up(packets, all.iter().map(|&(at, _)| at), lookups, round);
    for (&(at, found), &next_hop) in all.iter().zip(next_hops) {
        let Some(plain) = plain_ipv6(packets, at) else { continue };
        let Some(outcome) = outcomes.get_mut(usize::from(at)) else { continue };
        if next_hop.is_local() {
            *outcome = stranger_ipv6(plain, found, round);
        } else if may_pass_ipv6(plain, round.tables) {
            sorted.push(at, next_hop, round.tables);
        } else {
            odd.push(at);
        }
    }
}

/// Where the packets at these places of a burst lead, in their order.
#[inline]
fn look_up<'l>(
    packets: &[Packet],
    places: impl Iterator<Item = u16>,
    lookups: &'l mut Lookups,
    round: &Round<'_>,
) -> &'l [NextHopId] {
    lookups.clear();
    for at in places {
        lookups.push(plain_ipv6(packets, at).map_or(0, PlainIpv6::destination));
    }
    lookups.look_up(&round.tables.fib6)
}

#[inline]
fn plain_ipv6(packets: &[Packet], at: u16) -> Option<PlainIpv6> {
    let start = packets.get(usize::from(at))?.data().first_chunk::<IPV6_END>()?;
    Some(PlainIpv6::of(header::behind_ethernet(start)))
}

/// What becomes of a tunnel packet to an address of ours that is whole, where `found` is what its addresses led to.
#[inline]
fn stranger_ipv4(plain: PlainIpv4, found: Found, round: &Round<'_>) -> Outcome {
    let (local, remote) = (plain.destination(), plain.source());
    let kinship = || round.tables.labelled_by_ipv4.kinship(local, remote, None);
    stranger(found, is_from_host_ipv4(plain, round), kinship, round)
}

/// Whether an IPv4 packet is from a host elsewhere.
#[inline]
pub(super) fn is_from_host_ipv4(plain: PlainIpv4, round: &Round<'_>) -> bool {
    plain.is_from_host() && !round.tables.local.is_no_source_ipv4(plain.source())
}

/// The same for IPv6, where no piece is plain.
#[inline]
fn stranger_ipv6(plain: PlainIpv6, found: Found, round: &Round<'_>) -> Outcome {
    let (local, remote) = (plain.destination(), plain.source());
    let kinship = || round.tables.labelled_by_ipv6.kinship(local, remote, None);
    stranger(found, is_from_host(plain, round), kinship, round)
}

/// Whether an IPv6 packet is from a host, not on the link but elsewhere.
#[inline]
pub(super) fn is_from_host(plain: PlainIpv6, round: &Round<'_>) -> bool {
    let source = plain.source();
    !is_martian_ipv6(source) && !is_link_local(source) && !round.tables.local.contains_ipv6(source)
}

#[inline]
fn stranger(
    found: Found,
    is_from_host: bool,
    kinship: impl Fn() -> Kinship,
    round: &Round<'_>,
) -> Outcome {
    let counter = match found {
        _ if !is_from_host => return Outcome::TO_US,
        Found::Tunnel(_) => return Outcome::TO_US,
        _ if round.tables.limits.answers_unmatched => return Outcome::TO_US,
        Found::WrongProtocol => Counter::TunProtoMismatch,
        Found::Nothing => match kinship() {
            Kinship::Strangers => Counter::TunNoMatch,
            _ => return Outcome::TO_US,
        },
    };
    round.end(counter)
}

/// Sees to IPv4 packets that are sound and may not pass.
#[inline(never)]
pub(super) fn end_ipv4(
    burst: (&[Packet], &mut [Outcome]),
    odd: &List<u16>,
    told: &mut LastTold,
    round: &Round<'_>,
) {
    let mut last = LastFound::default();
    see_to_others(
        burst,
        odd.items(),
        |&at| at,
        |packet, _| {
            let plain =
                PlainIpv4::of(header::behind_ethernet(packet.data().first_chunk::<IPV4_END>()?));
            let next_hop = round.tables.fib4.lookup_after(&mut last, plain.destination());
            if next_hop.is_local() {
                return Some(to_us_ipv4(packet, plain, told, round));
            }
            let may_pass = plain.is_between_hosts()
                && !round.tables.local.is_no_source_ipv4(plain.source())
                && NextHop::from(next_hop) != NextHop::Broadcast;
            if !may_pass || plain.ttl() > 1 {
                return None;
            }
            let end = ethernet::HEADER_LEN + usize::from(plain.total_len());
            let packet = packet.data().get(ethernet::HEADER_LEN..end)?;
            expire_ipv4(packet, plain, round)
        },
    );
}

/// What becomes of a packet to an address of ours that is not known to be a tunnel's.
#[inline(never)]
fn to_us_ipv4(
    packet: &Packet,
    plain: PlainIpv4,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Outcome {
    if !is_from_host_ipv4(plain, round) {
        return Outcome::TO_US;
    }
    from_host_ipv4(packet, plain, told, round)
}

/// The same of one that could pass if it went elsewhere. It is read again, so that of all others nothing has to be kept
/// for it.
#[cold]
#[inline(never)]
pub(super) fn arrived_ipv4(packet: &Packet, told: &mut LastTold, round: &Round<'_>) -> Outcome {
    match packet.data().first_chunk::<IPV4_END>() {
        Some(start) => {
            from_host_ipv4(packet, PlainIpv4::of(header::behind_ethernet(start)), told, round)
        }
        None => Outcome::NOT_TAKEN,
    }
}

#[inline]
fn from_host_ipv4(
    packet: &Packet,
    plain: PlainIpv4,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Outcome {
    if plain.is_fragment() {
        return end_own_ipv4(plain, round);
    }
    if plain.protocol() != protocol::ICMP {
        return Outcome::TO_US;
    }
    end_icmp4(packet, plain, told, round)
}

/// As [`to_us_ipv4`] for IPv6, where no piece is plain.
#[inline(never)]
fn to_us_ipv6(
    packet: &Packet,
    plain: PlainIpv6,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Outcome {
    let is_host =
        !is_martian_ipv6(plain.source()) && !round.tables.local.contains_ipv6(plain.source());
    if plain.next_header() != protocol::ICMPV6 || !is_host {
        return Outcome::TO_US;
    }
    end_icmp6(packet, plain, told, round)
}

/// As [`arrived_ipv4`] for IPv6.
#[cold]
#[inline(never)]
pub(super) fn arrived_ipv6(packet: &Packet, told: &mut LastTold, round: &Round<'_>) -> Outcome {
    match packet.data().first_chunk::<IPV6_END>().map(header::behind_ethernet) {
        Some(header) if PlainIpv6::of(header).next_header() == protocol::ICMPV6 => {
            end_icmp6(packet, PlainIpv6::of(header), told, round)
        }
        _ => Outcome::TO_US,
    }
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn end_ipv6(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    odd: &List<u16>,
    (lookups, told): (&mut Lookups, &mut LastTold),
    round: &Round<'_>,
) {
    let next_hops = look_up(packets, odd.items().iter().copied(), lookups, round);
    for (&at, &next_hop) in odd.items().iter().zip(next_hops) {
        let index = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get(index), outcomes.get_mut(index)) else {
            continue;
        };
        if *outcome == Outcome::NOT_TAKEN
            && let Some(ended) = end_one_ipv6(packet, next_hop, told, round)
        {
            *outcome = ended;
        }
    }
}

#[inline]
fn end_one_ipv6(
    packet: &Packet,
    next_hop: NextHopId,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Option<Outcome> {
    let plain = PlainIpv6::of(header::behind_ethernet(packet.data().first_chunk::<IPV6_END>()?));
    if next_hop.is_local() {
        return Some(to_us_ipv6(packet, plain, told, round));
    }
    let may_pass = plain.is_between_hosts() && !round.tables.local.contains_ipv6(plain.source());
    if !may_pass || plain.hop_limit() > 1 {
        return None;
    }
    let end = ethernet::HEADER_LEN + usize::from(plain.total_len());
    expire_ipv6(packet.data().get(ethernet::HEADER_LEN..end)?, plain, round)
}
