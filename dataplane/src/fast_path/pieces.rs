//! Pieces of packets to this node: of a flood of such that never complete, most may not begin now. They end here, before
//! anything is done for them, and so do those of nobody's tunnel; all others are the worker's to take in.

use super::Outcome;
use super::ends::{is_from_host, is_from_host_ipv4};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::list::{List, see_to_others};
use super::lookups::LastOwn;
use crate::counters::Counter;
use crate::fib::LastFound;
use crate::interface::PortId;
use crate::packet::Packet;
use crate::reassembly::{Key, Refusals, is_sound};
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{Found, LabelledTunnels, OuterAddress, Protocols};
use crate::tunnel::peers::Peers;
use crate::tunnel::{Tunnel, TunnelSetup};
use crate::wire::{ethernet, ipv4, protocol, read_u16, read_u32};

/// Sees to pieces of IPv4 packets of protocols that tunnels use, which arrived on `port`. Those that are not to us are
/// odd.
#[inline(never)]
pub(super) fn end_pieces_ipv4(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    (pieces, odd): (&List<u16>, &mut List<u16>),
    port: PortId,
    round: &Round<'_>,
) {
    let refusals = round.reassembler.refusals(round.now);
    let mut last = LastFound::default();
    see_to_others(
        (packets, outcomes),
        pieces.items(),
        |&at| at,
        |packet, &at| {
            let start = packet.data().first_chunk::<IPV4_END>()?;
            let plain = PlainIpv4::of(header::behind_ethernet(start));
            if !round.tables.fib4.lookup_after(&mut last, plain.destination()).is_local() {
                odd.push(at);
                return None;
            }
            Some(piece_ipv4(plain, port, refusals.as_ref(), round))
        },
    );
}

/// What becomes of a piece to an address of ours.
#[inline]
fn piece_ipv4(
    plain: PlainIpv4,
    port: PortId,
    refusals: Option<&Refusals<'_>>,
    round: &Round<'_>,
) -> Outcome {
    if !is_from_host_ipv4(plain, round) {
        return Outcome::TO_US;
    }
    let (local, remote) = (plain.destination(), plain.source());
    let protocols = Protocols::of(plain.protocol());
    let found = round.tables.tunnels_by_ipv4.find(local, remote, protocols, Some(port));
    let patience = patience(found, |peers| peers.may_be_peer(remote), round.tables);
    wait(patience, || is_refused_ipv4(plain, false, refusals), round)
}

/// What becomes of a piece whose tunnel waits so long for the others, or wants none.
#[inline]
fn wait(patience: Option<u8>, is_refused: impl Fn() -> bool, round: &Round<'_>) -> Outcome {
    match patience {
        Some(_) if is_refused() => round.end(Counter::ReasmRefused),
        Some(seconds) => Outcome::piece(seconds),
        None => round.end(Counter::ReasmNoTunnel),
    }
}

/// For how many seconds the pieces of the tunnel that was `found` wait, one with many peers only if the source `may_be`
/// one; `None`: no tunnel wants them.
#[inline]
fn patience(found: Found, may_be: impl Fn(&Peers) -> bool, tables: &Tables) -> Option<u8> {
    let Found::Tunnel(id) = found else { return None };
    let Tunnel { plain, setup, .. } = tables.tunnel(id)?;
    if plain.piece_seconds != 0 {
        return Some(plain.piece_seconds);
    }
    patience_of(setup, may_be)
}

#[cold]
fn patience_of(setup: &TunnelSetup, may_be: impl Fn(&Peers) -> bool) -> Option<u8> {
    let is_peers = setup.peers.as_deref().is_none_or(may_be);
    setup.reassembly_seconds.filter(|_| is_peers)
}

/// What becomes of a piece from a host to an address of ours, which is none of IP in IP.
#[inline(never)]
pub(super) fn end_own_ipv4(plain: PlainIpv4, round: &Round<'_>) -> Outcome {
    let refusals = round.reassembler.refusals(round.now);
    let refused = |is_own| is_refused_ipv4(plain, is_own, refusals.as_ref());
    if plain.protocol() != protocol::ICMP {
        let ends = (plain.destination(), plain.source());
        let labelled = &round.tables.labelled_by_ipv4;
        return piece_behind_shim(plain.protocol(), ends, labelled, || refused(false), round);
    }
    if refused(true) { round.end(Counter::ReasmRefused) } else { Outcome::TO_US }
}

/// What becomes of a piece of a packet of GRE or UDP, which doesn't show by its label whose it is; others are to this
/// node.
#[inline(never)]
fn piece_behind_shim<A: OuterAddress>(
    outer: u8,
    ends: (A, A),
    labelled: &LabelledTunnels<A>,
    is_refused: impl Fn() -> bool,
    round: &Round<'_>,
) -> Outcome {
    let tables = round.tables;
    let nobodys = match outer {
        protocol::GRE => Counter::ReasmNoTunnel,
        // It may be for the node itself, which takes none.
        protocol::UDP if !tables.udp_ports.is_empty() => Counter::IpFragmentToUs,
        _ => return Outcome::TO_US,
    };
    let (mut patience, mut has_peers) = (None, false);
    labelled.see_most_patient(ends, Some(outer), |id| {
        let Some(Tunnel { plain, setup, .. }) = tables.tunnel(id) else { return };
        let seconds = if plain.piece_seconds != 0 {
            Some(plain.piece_seconds)
        } else {
            has_peers |= setup.peers.is_some();
            setup.reassembly_seconds
        };
        patience = patience.max(Some(seconds));
    });
    match patience {
        _ if has_peers => Outcome::TO_US,
        None => round.end(nobodys),
        Some(patience) => wait(patience, is_refused, round),
    }
}

/// Whether a sound piece may not begin a packet; `is_own`: it is for no tunnel, but for this node.
#[inline]
fn is_refused_ipv4(plain: PlainIpv4, is_own: bool, refusals: Option<&Refusals<'_>>) -> bool {
    let ends = (plain.source(), plain.destination());
    let key = Key::ipv4(ends, plain.identification(), plain.protocol());
    let field = plain.fragment().swap_bytes();
    let start = usize::from(field & ipv4::OFFSET_MASK) * 8;
    let len = usize::from(plain.total_len()) - ipv4::HEADER_LEN;
    let is_last = field & ipv4::MORE_FRAGMENTS == 0;
    refusals.is_some_and(|refusals| refusals.include(key, is_own))
        && is_sound(start, len, is_last, ipv4::HEADER_LEN)
}

/// Bytes of an IPv6 fragment header.
const FRAGMENT_HEADER_LEN: usize = 8;

/// A header and the fragment header right behind it.
#[derive(Clone, Copy)]
struct PieceIpv6 {
    plain: PlainIpv6,
    fragment: [u8; FRAGMENT_HEADER_LEN],
}

impl PieceIpv6 {
    /// Reads both; `None`: the packet is no piece of another, or not sound.
    #[inline]
    fn of(packet: &Packet) -> Option<Self> {
        let start = packet.data().first_chunk::<{ IPV6_END + FRAGMENT_HEADER_LEN }>()?;
        let plain = PlainIpv6::of(header::behind_ethernet(start.first_chunk::<IPV6_END>()?));
        let piece = Self { plain, fragment: *start.last_chunk()? };
        let is_piece = read_u16(&piece.fragment, 2) & 0xfff9 != 0;
        let is_sound = plain.is_sound_piece(packet.len() - ethernet::HEADER_LEN)
            && usize::from(plain.payload_len()) >= FRAGMENT_HEADER_LEN;
        (is_piece && is_sound).then_some(piece)
    }

    /// The protocol of what was cut.
    #[inline]
    const fn protocol(self) -> u8 {
        self.fragment[0]
    }
}

/// Sees to what may be pieces of IPv6 packets, which arrived on `port`.
#[inline(never)]
pub(super) fn end_pieces_ipv6(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    pieces: &List<u16>,
    port: PortId,
    round: &Round<'_>,
) {
    let refusals = round.reassembler.refusals(round.now);
    let mut own = LastOwn::default();
    see_to_others(
        (packets, outcomes),
        pieces.items(),
        |&at| at,
        |packet, _| {
            let piece = PieceIpv6::of(packet)?;
            let destination = piece.plain.destination();
            let is_own = own.is(destination, || round.tables.fib6.lookup(destination).is_local());
            is_own.then(|| piece_ipv6(piece, port, refusals.as_ref(), round))
        },
    );
}

/// What becomes of a piece to an address of ours.
#[inline]
fn piece_ipv6(
    piece: PieceIpv6,
    port: PortId,
    refusals: Option<&Refusals<'_>>,
    round: &Round<'_>,
) -> Outcome {
    let (local, remote) = (piece.plain.destination(), piece.plain.source());
    let carried = piece.protocol();
    if !is_from_host(piece.plain, round) {
        return Outcome::TO_US;
    }
    let is_to_group = local >> 120 == 0xff;
    if matches!(carried, protocol::GRE | protocol::UDP) && !is_to_group {
        let (labelled, ends) = (&round.tables.labelled_by_ipv6, (local, remote));
        let refused = || is_refused_ipv6(piece, false, refusals);
        return piece_behind_shim(carried, ends, labelled, refused, round);
    }
    if !header::is_tunnels(carried) {
        let may_be_refused = carried == protocol::ICMPV6 && !is_to_group;
        return if may_be_refused && is_refused_ipv6(piece, true, refusals) {
            round.end(Counter::ReasmRefused)
        } else {
            Outcome::TO_US
        };
    }
    let protocols = Protocols::of(carried);
    let found = round.tables.tunnels_by_ipv6.find(local, remote, protocols, Some(port));
    let patience = patience(found, |_| true, round.tables);
    wait(patience, || is_refused_ipv6(piece, false, refusals), round)
}

/// As [`is_refused_ipv4`].
#[inline]
fn is_refused_ipv6(piece: PieceIpv6, is_own: bool, refusals: Option<&Refusals<'_>>) -> bool {
    let PieceIpv6 { plain, fragment } = piece;
    let key = Key::ipv6((plain.source(), plain.destination()), read_u32(&fragment, 4));
    let field = read_u16(&fragment, 2);
    let len = usize::from(plain.payload_len()) - FRAGMENT_HEADER_LEN;
    refusals.is_some_and(|refusals| refusals.include(key, is_own))
        && is_sound(usize::from(field & 0xfff8), len, field & 1 == 0, 0)
}
