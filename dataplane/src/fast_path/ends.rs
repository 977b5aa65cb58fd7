//! Plain packets that end here, in the number that floods come in: those of nobody's tunnel, and with `errors`, `expire`
//! and `pieces` those of which nothing comes for other reasons. Who ends a packet counts it, as the stages would.

use super::Outcome;
use super::errors::{LastTold, end_icmp4, end_icmp6};
use super::expire::{expire_ipv4, expire_ipv6};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::list::{List, see_to_others};
use super::lookups::Lookups;
use super::pieces::{refuse_ipv4, refuse_ipv6};
use super::sort::{Sorted, may_pass_ipv4, may_pass_ipv6};
use crate::counters::Counter;
use crate::fib::{LastFound, NextHopId};
use crate::packet::Packet;
use crate::stage::Round;
use crate::stage::policy::{is_link_local, is_martian_ipv6};
use crate::tables::NextHop;
use crate::tunnel::lookup::{Found, Kinship, Protocols};
use crate::tunnel::peers::Peers;
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

/// The same of a piece, which is nobody's if the tunnel of its addresses can't have packets from there.
#[inline]
fn piece_ipv4(plain: PlainIpv4, found: Found, round: &Round<'_>) -> Outcome {
    if !is_from_host_ipv4(plain, round) {
        return Outcome::TO_US;
    }
    let refuse = || refuse_ipv4(plain, false, round);
    piece(found, |peers| peers.may_be_peer(plain.source()), refuse, round)
}

#[inline]
fn is_from_host_ipv4(plain: PlainIpv4, round: &Round<'_>) -> bool {
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
fn is_from_host(plain: PlainIpv6, round: &Round<'_>) -> bool {
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

/// What becomes of a piece from a host whose addresses led to what was `found`, a tunnel with many peers only if its source
/// `may_be` one; `refuse` ends what its peer has no credit for.
#[inline]
fn piece(
    found: Found,
    may_be: impl Fn(&Peers) -> bool,
    refuse: impl Fn() -> Option<Outcome>,
    round: &Round<'_>,
) -> Outcome {
    let tunnel = match found {
        Found::Tunnel(id) => round.tables.tunnel(id),
        _ => None,
    };
    let setup = tunnel.map(|tunnel| &tunnel.setup);
    let setup = setup.filter(|setup| setup.peers.as_deref().is_none_or(&may_be));
    match setup.and_then(|setup| setup.reassembly_seconds) {
        Some(seconds) => refuse().unwrap_or(Outcome::piece(seconds)),
        None => round.end(Counter::ReasmNoTunnel),
    }
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

/// What becomes of a packet to an address of ours, which may be a piece of a tunnel packet.
#[inline(never)]
pub(super) fn to_us_ipv4(
    packet: &Packet,
    plain: PlainIpv4,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Outcome {
    if header::is_tunnels(plain.protocol()) {
        return tunnels_to_us_ipv4(packet, plain, round);
    }
    if plain.protocol() != protocol::ICMP || !is_from_host_ipv4(plain, round) {
        return Outcome::TO_US;
    }
    if plain.is_fragment() {
        return refuse_ipv4(plain, true, round).unwrap_or(Outcome::TO_US);
    }
    end_icmp4(packet, plain, told, round)
}

#[inline(never)]
fn tunnels_to_us_ipv4(packet: &Packet, plain: PlainIpv4, round: &Round<'_>) -> Outcome {
    let (local, remote) = (plain.destination(), plain.source());
    let (protocols, port) = (Protocols::of(plain.protocol()), packet.meta.ingress.as_port());
    let found = round.tables.tunnels_by_ipv4.find(local, remote, protocols, port);
    if plain.is_fragment() {
        piece_ipv4(plain, found, round)
    } else {
        stranger_ipv4(plain, found, round)
    }
}

/// What becomes of a piece, as its fragment header right behind the IPv6 header says; `None`: it is
/// none, or not to us.
fn piece_to_us(
    packet: &Packet,
    plain: PlainIpv6,
    next_hop: NextHopId,
    round: &Round<'_>,
) -> Option<Outcome> {
    let header = packet.data().get(IPV6_END..)?.first_chunk::<8>()?;
    let is_piece = u16::from_be_bytes([header[2], header[3]]) & 0xfff9 != 0;
    let (local, remote) = (plain.destination(), plain.source());
    let room = packet.len() - ethernet::HEADER_LEN;
    let is_sound = plain.is_sound_piece(room) && usize::from(plain.payload_len()) >= header.len();
    if !is_piece || !is_sound || !next_hop.is_local() {
        return None;
    }
    let is_tunnels = header::is_tunnels(header[0]);
    if !is_from_host(plain, round) || !(is_tunnels || header[0] == protocol::ICMPV6) {
        return Some(Outcome::TO_US);
    }
    if !is_tunnels {
        let refuse = || refuse_ipv6(packet, plain, true, round);
        let is_to_group = local >> 120 == 0xff;
        return Some((!is_to_group).then(refuse).flatten().unwrap_or(Outcome::TO_US));
    }
    let (protocols, port) = (Protocols::of(header[0]), packet.meta.ingress.as_port());
    let found = round.tables.tunnels_by_ipv6.find(local, remote, protocols, port);
    Some(piece(found, |_| true, || refuse_ipv6(packet, plain, false, round), round))
}

/// As [`to_us_ipv4`] for IPv6; no piece is plain.
#[inline(never)]
pub(super) fn to_us_ipv6(
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
    if plain.next_header() == protocol::FRAGMENT {
        return piece_to_us(packet, plain, next_hop, round);
    }
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
