//! Plain packets whose TTL or hop limit is used up: they end here while no error may be sent, which is what there
//! is to a flood of them. Those of which somebody is to be told are the stages'.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Outcome;
use super::arrive::Inside;
use super::header::{PlainIpv4, PlainIpv6};
use crate::counters::Counter;
use crate::fib::NextHopId;
use crate::node::icmp_error::{IcmpError, may_answer};
use crate::packet::{Flags, Packet};
use crate::stage::Round;
use crate::tunnel::Tunnel;
use crate::wire::protocol;

const ERROR: IcmpError = IcmpError::TimeExceeded;

/// Ends a packet between two hosts that is used up, if nobody is to be told of it. `packet`: it, from its IP
/// header on.
#[inline]
pub(super) fn expire_ipv4(packet: &[u8], plain: PlainIpv4, round: &Round<'_>) -> Option<Outcome> {
    let source = Ipv4Addr::from(plain.source()).into();
    let is_answered = is_plain_ipv4(plain) || may_answer(packet, ERROR, Flags::NONE);
    end_in_silence(is_answered, source, Counter::Ip4TtlExpired, round)
}

/// The same for IPv6, without extension headers.
#[inline]
pub(super) fn expire_ipv6(packet: &[u8], plain: PlainIpv6, round: &Round<'_>) -> Option<Outcome> {
    let source = Ipv6Addr::from(plain.source()).into();
    let is_answered = is_plain_ipv6(plain) || may_answer(packet, ERROR, Flags::NONE);
    end_in_silence(is_answered, source, Counter::Ip6HopExpired, round)
}

/// Whether an error may answer a packet between hosts, as far as its header says: of others it is to be seen.
#[inline]
fn is_plain_ipv4(plain: PlainIpv4) -> bool {
    !plain.is_fragment() & (plain.protocol() != protocol::ICMP)
}

/// The same for IPv6.
#[inline]
fn is_plain_ipv6(plain: PlainIpv6) -> bool {
    plain.next_header() != protocol::ICMPV6
}

/// Ends a packet that may leave its tunnel and no further, if nobody is to be told of it. Its header begins `at`
/// bytes into the frame.
#[cold]
pub(super) fn expire_left_ipv4(
    packet: &Packet,
    at: usize,
    (item, tunnel): (&Inside, &Tunnel),
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let plain = PlainIpv4::of(packet.data().get(at..)?.first_chunk()?);
    if plain.ttl() == 0 || !leads_to_host(item.next_hop) {
        return None;
    }
    if is_plain_ipv4(plain) && round.limiter.is_spent(round.now) {
        let outcome = end_unanswered(Counter::IcmpRatelimited, Counter::Ip4TtlExpired, round);
        return Some(left(outcome, plain.total_len(), tunnel, round));
    }
    expire_left_closely_ipv4(packet, (at, plain), tunnel, round)
}

#[inline(never)]
fn expire_left_closely_ipv4(
    packet: &Packet,
    (at, plain): (usize, PlainIpv4),
    tunnel: &Tunnel,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let inner = packet.data().get(at..)?.get(..usize::from(plain.total_len()))?;
    let outcome = expire_ipv4(inner, plain, round)?;
    Some(left(outcome, plain.total_len(), tunnel, round))
}

/// The same for IPv6.
#[cold]
pub(super) fn expire_left_ipv6(
    packet: &Packet,
    at: usize,
    (item, tunnel): (&Inside, &Tunnel),
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let plain = PlainIpv6::of(packet.data().get(at..)?.first_chunk()?);
    if plain.hop_limit() == 0 || !leads_to_host(item.next_hop) {
        return None;
    }
    if is_plain_ipv6(plain) && round.limiter.is_spent(round.now) {
        let outcome = end_unanswered(Counter::IcmpRatelimited, Counter::Ip6HopExpired, round);
        return Some(left(outcome, plain.total_len(), tunnel, round));
    }
    expire_left_closely_ipv6(packet, (at, plain), tunnel, round)
}

#[inline(never)]
fn expire_left_closely_ipv6(
    packet: &Packet,
    (at, plain): (usize, PlainIpv6),
    tunnel: &Tunnel,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let inner = packet.data().get(at..)?.get(..usize::from(plain.total_len()))?;
    let outcome = expire_ipv6(inner, plain, round)?;
    Some(left(outcome, plain.total_len(), tunnel, round))
}

/// Counts a packet that left its tunnel before it ended.
#[inline]
fn left(outcome: Outcome, len: u16, tunnel: &Tunnel, round: &mut Round<'_>) -> Outcome {
    round.count_rx(tunnel.plain.slot, tunnel.measured_as(), len.into());
    outcome
}

/// Whether a next hop is a host, whoever that is.
fn leads_to_host(next_hop: NextHopId) -> bool {
    next_hop.as_via().is_some() || next_hop.as_connected().is_some()
}

#[inline]
fn end_in_silence(
    is_answered: bool,
    source: IpAddr,
    counter: Counter,
    round: &Round<'_>,
) -> Option<Outcome> {
    if !is_answered {
        Some(end_unanswered(Counter::IcmpSuppressed, counter, round))
    } else if round.limiter.is_exhausted(round.now, ERROR, source) {
        Some(end_unanswered(Counter::IcmpRatelimited, counter, round))
    } else {
        None
    }
}

/// Ends a packet that is counted by `counter`; no error answers it, `why` says why.
#[inline]
fn end_unanswered(why: Counter, counter: Counter, round: &Round<'_>) -> Outcome {
    round.counters.global(why).add(1);
    round.end(counter)
}
