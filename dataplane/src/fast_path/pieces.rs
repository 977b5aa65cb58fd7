//! Pieces of packets to this node that may not begin now: most of a flood of pieces that never complete. They end here,
//! before anything is done for them; all others are the worker's to take in.

use super::Outcome;
use super::header::{IPV6_END, PlainIpv4, PlainIpv6};
use crate::counters::Counter;
use crate::packet::Packet;
use crate::reassembly::{Key, is_sound};
use crate::stage::Round;
use crate::wire::{ipv4, read_u16, read_u32};

/// Ends a piece behind a plain header, if its packet may not begin; `is_own`: it is for no tunnel, but for this node.
#[inline]
pub(super) fn refuse_ipv4(plain: PlainIpv4, is_own: bool, round: &Round<'_>) -> Option<Outcome> {
    let ends = (plain.source(), plain.destination());
    let key = Key::ipv4(ends, plain.identification(), plain.protocol());
    if !round.reassembler.refuses(&key, is_own, round.now) {
        return None;
    }
    let field = plain.fragment().swap_bytes();
    let start = usize::from(field & ipv4::OFFSET_MASK) * 8;
    let len = usize::from(plain.total_len()) - ipv4::HEADER_LEN;
    let is_last = field & ipv4::MORE_FRAGMENTS == 0;
    is_sound(start, len, is_last, ipv4::HEADER_LEN).then(|| round.end(Counter::ReasmRefused))
}

/// The same for IPv6, where the fragment header follows at once.
#[inline]
pub(super) fn refuse_ipv6(
    packet: &Packet,
    plain: PlainIpv6,
    is_own: bool,
    round: &Round<'_>,
) -> Option<Outcome> {
    const HEADER_LEN: usize = 8;
    let header = packet.data().get(IPV6_END..)?.first_chunk::<HEADER_LEN>()?;
    let key = Key::ipv6((plain.source(), plain.destination()), read_u32(header, 4));
    if !round.reassembler.refuses(&key, is_own, round.now) {
        return None;
    }
    let field = read_u16(header, 2);
    let len = usize::from(plain.payload_len()).checked_sub(HEADER_LEN)?;
    is_sound(usize::from(field & 0xfff8), len, field & 1 == 0, 0)
        .then(|| round.end(Counter::ReasmRefused))
}
