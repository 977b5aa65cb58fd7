//! Who may enter a tunnel: what it carries, how deep packets are nested, who would go round, and the encapsulation limit of
//! RFC 2473. Called by `encap`, before anything is known about sizes and ways.

use core::net::IpAddr;

use super::embedded::check_way_back;
use super::inner::Inner;
use super::{Round, Verdict};
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::node::icmp_error::IcmpError;
use crate::node::options::{EncapLimit, encap_limit};
use crate::packet::{Flags, Packet};
use crate::tunnel::Tunnel;
use crate::tunnel::lookup::Protocols;
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::wire::{Family, protocol};
use crate::witness::{Event, LoopRule, Witness};

/// The rules about who may enter that are the same whatever it is; `carried`: that.
#[inline]
pub(super) fn may_enter_any(
    packet: &Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    carried: Protocols,
    round: &Round<'_, impl Witness>,
) -> Result<(), Verdict> {
    let setup = &tunnel.setup;
    round.note(|| Event::TunnelUp { tunnel: id, is_up: setup.up });
    if !setup.up {
        return Err(Verdict::drop_in(Counter::IfTxDown, id));
    }
    if setup.local.is_none() || setup.is_open() {
        return Err(Verdict::drop_in(Counter::IfTxNoRemote, id));
    }
    let (entered, limit) =
        (packet.meta.flags.encap_depth(), round.tables.limits.nested_encaps.min(7));
    round.note(|| Event::Depth { entered, limit });
    if entered >= limit {
        return Err(Verdict::drop_in(Counter::IfTxRecursion, id));
    }
    if !setup.protocols.overlaps(carried) {
        return Err(Verdict::reject_in(IcmpError::NoRoute, Counter::IfTxPayloadUnsupported, id));
    }
    Ok(())
}

/// The rules about who may enter. On success: the encapsulation limit that the outer header must
/// carry because the packet carries one.
#[inline]
pub(super) fn may_enter(
    packet: &Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    round: &Round<'_, impl Witness>,
) -> Result<Option<u8>, Verdict> {
    let setup = &tunnel.setup;
    if packet.meta.flags.has(Flags::LABELLED) {
        may_enter_any(packet, tunnel, id, Protocols::MPLS, round)?;
        return Ok(None);
    }
    let bytes = packet.data();
    let is_ipv4 = bytes.first().is_some_and(|first| first >> 4 == 4);
    let bare = if is_ipv4 { Protocols::IPV4 } else { Protocols::IPV6 };
    let is_bare = setup.mpls.push.is_none();
    may_enter_any(packet, tunnel, id, if is_bare { bare } else { Protocols::MPLS }, round)?;
    if !is_bare && setup.mpls.push.deny(is_ipv4) {
        return Err(Verdict::reject_in(IcmpError::NoRoute, Counter::IfTxPayloadUnsupported, id));
    }
    if is_ipv4 {
        let header = Ipv4::trusted(bytes);
        let (source, destination) = (header.source(), header.destination());
        if tunnel.remote_ipv4() != 0 {
            let is_own = || tunnel.sends_from(IpAddr::V4(source.into()));
            let remote = tunnel.remote_ipv4();
            check_loop((source, destination), remote, is_own, packet.meta.flags)
                .map_err(|rule| refuse_loop(rule, id, round))?;
        }
        if destination >> 28 >= 0xe && !setup.multicast {
            return Err(Verdict::drop_in(Counter::IfTxPayloadUnsupported, id));
        }
        if setup.shim.is_minimal() && header.is_fragment() {
            //= RFC 2004 §1: not for a packet that is a fragment, as there is no room to say so.
            return Err(Verdict::drop_in(Counter::IfTxFragment, id));
        }
        return Ok(None);
    }
    let header = Ipv6::trusted(bytes);
    let (source, destination) = (header.source(), header.destination());
    if tunnel.remote_ipv6() != 0 {
        let is_own = || tunnel.sends_from(IpAddr::V6(source.into()));
        let remote = tunnel.remote_ipv6();
        check_loop((source, destination), remote, is_own, packet.meta.flags)
            .map_err(|rule| refuse_loop(rule, id, round))?;
    }
    if let Some(peers) = &setup.peers {
        check_way_back(source, (peers, id), round)?;
    }
    // What this node says to a group of the tunnel's link belongs to the tunnel itself.
    let is_group = destination >> 120 == 0xff;
    if is_group && !setup.multicast && !packet.meta.flags.has(Flags::LOCAL) {
        return Err(Verdict::drop_in(Counter::IfTxPayloadUnsupported, id));
    }
    if setup.outer != Family::Ipv6 || header.next_header() > protocol::DESTINATION_OPTIONS {
        return Ok(None);
    }
    carried_on(bytes, id, round)
}

/// The same for an IPv6 packet in a frame.
#[inline]
pub(super) fn limit_inside(
    frame: &[u8],
    inner: Inner,
    tunnel: &Tunnel,
    id: TunnelId,
    round: &Round<'_, impl Witness>,
) -> Result<Option<u8>, Verdict> {
    if tunnel.setup.outer != Family::Ipv6 || inner.dont_fragment.is_some() {
        return Ok(None);
    }
    let packet = inner.ip_at.and_then(|at| frame.get(at..)).unwrap_or(&[]);
    carried_on(packet, id, round)
}

/// The encapsulation limit of an outer header around an IPv6 packet, if the packet says one.
fn carried_on(
    packet: &[u8],
    id: TunnelId,
    round: &Round<'_, impl Witness>,
) -> Result<Option<u8>, Verdict> {
    match encap_limit(packet) {
        //= RFC 2473 §4.1.1: a limit of 0 forbids to enter; any other is carried on, less one.
        EncapLimit::Present { value: 0, pointer } => {
            round.note(|| Event::Loop { tunnel: id, rule: LoopRule::EncapLimit });
            let error = IcmpError::EncapLimit { pointer };
            Err(Verdict::reject_in(error, Counter::IfTxEncapLimit, id))
        }
        EncapLimit::Present { value, .. } => Ok(Some(value - 1)),
        EncapLimit::Absent => Ok(None),
    }
}

/// Packets that would go round: from the remote, or between the tunnel's own ends. `is_own`: the
/// source is one of the tunnel's.
#[inline]
fn check_loop<A: Copy + Eq>(
    (source, destination): (A, A),
    remote: A,
    is_own: impl FnOnce() -> bool,
    flags: Flags,
) -> Result<(), LoopRule> {
    //= RFC 2003 §3.2: a packet whose source is the tunnel's far end must not enter.
    if source == remote && !flags.has(Flags::LOCAL) {
        return Err(LoopRule::FromRemote);
    }
    //= RFC 2473 §4.1.2: nor one whose addresses are the tunnel's own.
    if destination == remote && is_own() {
        return Err(LoopRule::SamePair);
    }
    Ok(())
}

#[cold]
fn refuse_loop(rule: LoopRule, id: TunnelId, round: &Round<'_, impl Witness>) -> Verdict {
    round.note(|| Event::Loop { tunnel: id, rule });
    let is_from_remote = rule == LoopRule::FromRemote;
    let counter = if is_from_remote { Counter::IfTxLoopSrc } else { Counter::IfTxLoopSamePair };
    Verdict::drop_in(counter, id)
}
