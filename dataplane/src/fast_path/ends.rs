//! Plain packets that end here, in the number that floods come in: those of nobody's tunnel, and errors that change
//! nothing. Who ends a packet counts it, as the stages would.

use super::Outcome;
use super::expire::{expire_ipv4, expire_ipv6};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::list::{List, see_to_others};
use super::lookups::Lookups;
use super::sort::{Sorted, may_pass_ipv4, may_pass_ipv6};
use crate::counters::Counter;
use crate::fib::NextHopId;
use crate::packet::Packet;
use crate::stage::Round;
use crate::stage::policy::{is_link_local, is_martian_ipv6};
use crate::stage::quoted::{Unheard, is_unheard};
use crate::tables::NextHop;
use crate::tunnel::lookup::{Found, Kinship, Protocols};
use crate::wire::{ethernet, ipv4, ipv6, protocol};

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
    for &(at, found) in strangers.items() {
        let index = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get(index), outcomes.get_mut(index)) else {
            continue;
        };
        let Some(start) = packet.data().first_chunk::<IPV4_END>() else { continue };
        let plain = PlainIpv4::of(header::behind_ethernet(start));
        let next_hop = round.tables.fib4.lookup(plain.destination());
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
            *outcome = stranger_ipv6(plain, found, false, round);
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

/// What becomes of a tunnel packet to an address of ours, where `found` is what its addresses led to.
#[inline]
fn stranger_ipv4(plain: PlainIpv4, found: Found, round: &Round<'_>) -> Outcome {
    let (local, remote) = (plain.destination(), plain.source());
    let is_host = plain.is_from_host() && !round.tables.local.is_no_source_ipv4(remote);
    let kinship = || round.tables.labelled_by_ipv4.kinship(local, remote, None);
    let found = if plain.is_fragment() { whose_piece(found, remote, round) } else { found };
    stranger(found, is_host, plain.is_fragment(), kinship, round)
}

/// Whose a piece from `remote` is: nobody's, if the tunnel of its addresses can't have packets from there.
#[inline(never)]
fn whose_piece(found: Found, remote: u32, round: &Round<'_>) -> Found {
    let Found::Tunnel(id) = found else { return found };
    let peers = round.tables.tunnel(id).and_then(|tunnel| tunnel.setup.peers.as_ref());
    match peers {
        Some(peers) if !peers.may_be_peer(remote) => Found::Nothing,
        _ => found,
    }
}

/// The same for IPv6, where a piece has a header that says so.
#[inline]
fn stranger_ipv6(plain: PlainIpv6, found: Found, is_piece: bool, round: &Round<'_>) -> Outcome {
    let (local, remote) = (plain.destination(), plain.source());
    let is_host = !is_martian_ipv6(remote)
        && !is_link_local(remote)
        && !round.tables.local.contains_ipv6(remote);
    let kinship = || round.tables.labelled_by_ipv6.kinship(local, remote, None);
    stranger(found, is_host, is_piece, kinship, round)
}

#[inline]
fn stranger(
    found: Found,
    is_from_host: bool,
    is_piece: bool,
    kinship: impl Fn() -> Kinship,
    round: &Round<'_>,
) -> Outcome {
    let counter = match found {
        _ if !is_from_host => return Outcome::TO_US,
        Found::Tunnel(id) if is_piece => {
            let tunnel = round.tables.tunnel(id);
            match tunnel.and_then(|tunnel| tunnel.setup.reassembly_seconds) {
                Some(seconds) => return Outcome::piece(seconds),
                None => Counter::ReasmNoTunnel,
            }
        }
        Found::Tunnel(_) => return Outcome::TO_US,
        _ if is_piece => Counter::ReasmNoTunnel,
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
pub(super) fn end_ipv4(burst: (&[Packet], &mut [Outcome]), odd: &List<u16>, round: &Round<'_>) {
    see_to_others(
        burst,
        odd.items(),
        |&at| at,
        |packet, _| {
            let plain =
                PlainIpv4::of(header::behind_ethernet(packet.data().first_chunk::<IPV4_END>()?));
            let next_hop = round.tables.fib4.lookup(plain.destination());
            if next_hop.is_local() {
                return Some(to_us_ipv4(packet, round));
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
pub(super) fn to_us_ipv4(packet: &Packet, round: &Round<'_>) -> Outcome {
    let Some(start) = packet.data().first_chunk::<IPV4_END>() else { return Outcome::NOT_TAKEN };
    let plain = PlainIpv4::of(header::behind_ethernet(start));
    let (local, remote) = (plain.destination(), plain.source());
    if header::is_tunnels(plain.protocol()) {
        let (protocols, port) = (Protocols::of(plain.protocol()), packet.meta.ingress.as_port());
        let found = round.tables.tunnels_by_ipv4.find(local, remote, protocols, port);
        return stranger_ipv4(plain, found, round);
    }
    let is_host = plain.is_from_host() && !round.tables.local.is_no_source_ipv4(remote);
    if plain.protocol() != protocol::ICMP || plain.is_fragment() || !is_host {
        return Outcome::TO_US;
    }
    end_unheard(packet, plain.total_len(), ipv4::HEADER_LEN, round)
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
    if !header::is_tunnels(header[0]) {
        return Some(Outcome::TO_US);
    }
    let (protocols, port) = (Protocols::of(header[0]), packet.meta.ingress.as_port());
    let found = round.tables.tunnels_by_ipv6.find(local, remote, protocols, port);
    Some(stranger_ipv6(plain, found, true, round))
}

/// As [`to_us_ipv4`] for IPv6; no piece is plain.
#[inline(never)]
pub(super) fn to_us_ipv6(packet: &Packet, round: &Round<'_>) -> Outcome {
    let Some(start) = packet.data().first_chunk::<IPV6_END>() else { return Outcome::NOT_TAKEN };
    let plain = PlainIpv6::of(header::behind_ethernet(start));
    let is_host =
        !is_martian_ipv6(plain.source()) && !round.tables.local.contains_ipv6(plain.source());
    if plain.next_header() != protocol::ICMPV6 || !is_host {
        return Outcome::TO_US;
    }
    end_unheard(packet, plain.total_len(), ipv6::HEADER_LEN, round)
}

/// Ends an ICMP error that changes nothing.
fn end_unheard(packet: &Packet, len: u16, header_len: usize, round: &Round<'_>) -> Outcome {
    let end = ethernet::HEADER_LEN + usize::from(len);
    let bytes = packet.data().get(ethernet::HEADER_LEN..end).unwrap_or(&[]);
    match is_unheard(bytes, header_len, packet.meta.ingress, round.tables) {
        Some(Unheard::Rejected(slot)) => {
            round.counters.count(Counter::IfIcmpRelayRejected, slot);
        }
        Some(Unheard::Silent) => {}
        None => return Outcome::TO_US,
    }
    round.counters.balance.consumed.add(1);
    Outcome::ENDED
}

/// The same for IPv6.
pub(super) fn end_ipv6(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    odd: &List<u16>,
    lookups: &mut Lookups,
    round: &Round<'_>,
) {
    let next_hops = look_up(packets, odd.items().iter().copied(), lookups, round);
    for (&at, &next_hop) in odd.items().iter().zip(next_hops) {
        let index = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get(index), outcomes.get_mut(index)) else {
            continue;
        };
        if *outcome == Outcome::NOT_TAKEN
            && let Some(ended) = end_one_ipv6(packet, next_hop, round)
        {
            *outcome = ended;
        }
    }
}

#[inline]
fn end_one_ipv6(packet: &Packet, next_hop: NextHopId, round: &Round<'_>) -> Option<Outcome> {
    let plain = PlainIpv6::of(header::behind_ethernet(packet.data().first_chunk::<IPV6_END>()?));
    if plain.next_header() == protocol::FRAGMENT {
        return piece_to_us(packet, plain, next_hop, round);
    }
    if next_hop.is_local() {
        return Some(to_us_ipv6(packet, round));
    }
    let may_pass = plain.is_between_hosts() && !round.tables.local.contains_ipv6(plain.source());
    if !may_pass || plain.hop_limit() > 1 {
        return None;
    }
    let end = ethernet::HEADER_LEN + usize::from(plain.total_len());
    expire_ipv6(packet.data().get(ethernet::HEADER_LEN..end)?, plain, round)
}
