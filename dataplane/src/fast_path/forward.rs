//! Plain packets that go to a host.

use super::Outcome;
use super::ends::{arrived_ipv4, arrived_ipv6};
use super::errors::LastTold;
use super::header::{
    self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6, decrement_hop_limit, decrement_ttl,
};
use super::link::{LastLink, Link};
use super::list::List;
use crate::fib::NextHopId;
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::wire::ethernet;

/// Forwards the IPv4 packets that were sorted as such.
#[inline(never)]
pub(super) fn forward_ipv4(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    forwards: &List<(u16, NextHopId)>,
    (last, told): (&mut LastLink, &mut LastTold),
    round: &Round<'_>,
) {
    for &(at, next_hop) in forwards.items() {
        let at = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get_mut(at), outcomes.get_mut(at)) else {
            continue;
        };
        let Some(start) = packet.data().first_chunk::<IPV4_END>() else { continue };
        let plain = PlainIpv4::of(header::behind_ethernet(start));
        let Some(link) = last.link_ipv4(next_hop, plain.destination(), round) else {
            if next_hop.is_local() {
                *outcome = arrived_ipv4(packet, told, round);
            }
            continue;
        };
        let Some(start) = leave::<IPV4_END>(packet, plain.total_len(), link) else { continue };
        decrement_ttl(header::behind_ethernet_mut(start));
        *outcome = Outcome::taken(Path::Forward, link.port);
    }
}

/// The same for IPv6.
#[inline(never)]
pub(super) fn forward_ipv6(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    forwards: &List<(u16, NextHopId)>,
    (last, told): (&mut LastLink, &mut LastTold),
    round: &Round<'_>,
) {
    for &(at, next_hop) in forwards.items() {
        let at = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get_mut(at), outcomes.get_mut(at)) else {
            continue;
        };
        let Some(start) = packet.data().first_chunk::<IPV6_END>() else { continue };
        let plain = PlainIpv6::of(header::behind_ethernet(start));
        let Some(link) = last.link_ipv6(next_hop, plain.destination(), round) else {
            if next_hop.is_local() {
                *outcome = arrived_ipv6(packet, told, round);
            }
            continue;
        };
        let Some(start) = leave::<IPV6_END>(packet, plain.total_len(), link) else { continue };
        decrement_hop_limit(header::behind_ethernet_mut(start));
        *outcome = Outcome::taken(Path::Forward, link.port);
    }
}

/// Cuts the padding off a packet and addresses it, if it fits the link. Returns its start.
#[inline]
fn leave<'p, const END: usize>(
    packet: &'p mut Packet,
    total_len: u16,
    link: &Link,
) -> Option<&'p mut [u8; END]> {
    if total_len > link.mtu {
        return None;
    }
    packet.truncate(ethernet::HEADER_LEN + usize::from(total_len));
    let start = packet.data_mut().first_chunk_mut()?;
    start[..12].copy_from_slice(&link.macs);
    Some(start)
}
