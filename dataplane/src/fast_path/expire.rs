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
    // Of a packet between hosts these alone may forbid an answer.
    let is_plain = !plain.is_fragment() & (plain.protocol() != protocol::ICMP);
    let is_answered = is_plain || may_answer(packet, ERROR, Flags::NONE);
    let source = Ipv4Addr::from(plain.source()).into();
    end_in_silence(is_answered, source, Counter::Ip4TtlExpired, round)
}

/// The same for IPv6, without extension headers.
#[inline]
pub(super) fn expire_ipv6(packet: &[u8], plain: PlainIpv6, round: &Round<'_>) -> Option<Outcome> {
    let is_answered =
        plain.next_header() != protocol::ICMPV6 || may_answer(packet, ERROR, Flags::NONE);
    let source = Ipv6Addr::from(plain.source()).into();
    end_in_silence(is_answered, source, Counter::Ip6HopExpired, round)
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
    let inner = packet.data().get(at..)?;
    let plain = PlainIpv4::of(inner.first_chunk()?);
    if plain.ttl() == 0 || !leads_to_host(item.next_hop) {
        return None;
    }
    let len = usize::from(plain.total_len());
    let outcome = expire_ipv4(inner.get(..len)?, plain, round)?;
    // It left its tunnel before it ended.
    round.count_rx(tunnel.plain.slot, tunnel.measured_as(), len);
    Some(outcome)
}

/// The same for IPv6.
#[cold]
pub(super) fn expire_left_ipv6(
    packet: &Packet,
    at: usize,
    (item, tunnel): (&Inside, &Tunnel),
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let inner = packet.data().get(at..)?;
    let plain = PlainIpv6::of(inner.first_chunk()?);
    if plain.hop_limit() == 0 || !leads_to_host(item.next_hop) {
        return None;
    }
    let len = usize::from(plain.total_len());
    let outcome = expire_ipv6(inner.get(..len)?, plain, round)?;
    // It left its tunnel before it ended.
    round.count_rx(tunnel.plain.slot, tunnel.measured_as(), len);
    Some(outcome)
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
    let why = if !is_answered {
        Counter::IcmpSuppressed
    } else if round.limiter.is_exhausted(round.now, ERROR, source) {
        Counter::IcmpRatelimited
    } else {
        return None;
    };
    round.counters.global(why).add(1);
    Some(round.end(counter))
}
