//! ICMP errors to this node that change nothing: about packets that it never sent. They end here, counted as the
//! stages would; what may be true is the worker's to hear.

use super::Outcome;
use super::header::{PlainIpv4, PlainIpv6};
use crate::counters::{Counter, CounterSlot};
use crate::packet::Packet;
use crate::stage::Round;
use crate::stage::quoted::{self, Unheard, glance, is_unheard};
use crate::wire::{ethernet, icmp4, icmp6, ipv4, ipv6};

/// Where errors to an address of ours are counted that are of no tunnel: those of a burst mostly are to one.
#[derive(Default)]
pub(super) struct LastTold {
    /// An IPv4 address as it is mapped into IPv6.
    own: u128,
    slot: Option<CounterSlot>,
}

/// `::ffff:0:0`
const MAPPED: u128 = 0xffff << 32;

impl LastTold {
    #[inline]
    fn slot_of(
        &mut self,
        own: u128,
        find: impl Fn() -> Option<CounterSlot>,
    ) -> Option<CounterSlot> {
        // No address is 0.
        if self.own != own {
            *self = Self { own, slot: find() };
        }
        self.slot
    }
}

/// What becomes of an ICMP message from a host.
#[inline(never)]
pub(super) fn end_icmp4(
    packet: &Packet,
    plain: PlainIpv4,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Outcome {
    const AT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    let end = ethernet::HEADER_LEN + usize::from(plain.total_len());
    let message = packet.data().get(AT..end).unwrap_or(&[]);
    let tables = round.tables;
    if glance::is_nobodys_icmp4(message, packet.meta.ingress, tables) && icmp4::is_right(message) {
        let own = plain.destination();
        let find = || quoted::slot_of_ipv4(own, tables);
        return reject(told.slot_of(MAPPED | u128::from(own), find), round);
    }
    end_closely(packet, ipv4::HEADER_LEN, end, round)
}

/// The same for `ICMPv6`.
#[inline(never)]
pub(super) fn end_icmp6(
    packet: &Packet,
    plain: PlainIpv6,
    told: &mut LastTold,
    round: &Round<'_>,
) -> Outcome {
    let end = ethernet::HEADER_LEN + usize::from(plain.total_len());
    let bytes = packet.data().get(ethernet::HEADER_LEN..end).unwrap_or(&[]);
    let message = bytes.get(ipv6::HEADER_LEN..).unwrap_or(&[]);
    let tables = round.tables;
    if glance::is_nobodys_icmp6(message, packet.meta.ingress, tables) && icmp6::is_right_in(bytes) {
        let own = plain.destination();
        let find = || quoted::slot_of_ipv6(own, tables);
        return reject(told.slot_of(own, find), round);
    }
    end_closely(packet, ipv6::HEADER_LEN, end, round)
}

#[inline(never)]
fn end_closely(packet: &Packet, header_len: usize, end: usize, round: &Round<'_>) -> Outcome {
    let bytes = packet.data().get(ethernet::HEADER_LEN..end).unwrap_or(&[]);
    match is_unheard(bytes, header_len, packet.meta.ingress, round.tables) {
        Some(Unheard::Rejected(slot)) => reject(slot, round),
        Some(Unheard::Silent) => consume(round),
        None => Outcome::TO_US,
    }
}

#[inline]
fn reject(slot: Option<CounterSlot>, round: &Round<'_>) -> Outcome {
    round.counters.count(Counter::IfIcmpRelayRejected, slot);
    consume(round)
}

#[inline]
fn consume(round: &Round<'_>) -> Outcome {
    round.counters.balance.consumed.add(1);
    Outcome::ENDED
}
