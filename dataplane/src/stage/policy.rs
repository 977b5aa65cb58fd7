//! Which inner packets are believed: the rules about the source and the destination of what came
//! through a tunnel, for [decap](super::decap) and whoever must agree with it.

use super::Round;
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::tables::NextHop;
use crate::tunnel::Tunnel;
use crate::tunnel::policy::{AddressSet, SourceFilter};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{nd, protocol};
use crate::witness::Witness;

pub use crate::wire::ipv4::is_martian as is_martian_ipv4;

/// A source that no host may have: multicast, `::/96` with `::` and `::1` in it, and `::ffff:0:0/96`.
#[inline]
pub fn is_martian_ipv6(source: u128) -> bool {
    let prefix = source >> 32;
    prefix == 0 || prefix == 0xffff || source >> 120 == 0xff
}

/// An address of `fe80::/10`.
#[inline]
pub fn is_link_local(address: u128) -> bool {
    address >> 118 == 0xfe80 >> 6
}

/// Whether an inner source passes the tunnel's filter, for whoever counts nothing.
#[inline]
pub fn source_is_believed_ipv4(
    tunnel: &Tunnel,
    id: TunnelId,
    source: u32,
    round: &Round<'_, impl Witness>,
) -> bool {
    check_source_ipv4(tunnel, id, source, round).is_ok()
}

/// The same for IPv6; `destination` is the packet's.
#[inline]
pub fn source_is_believed_ipv6(
    tunnel: &Tunnel,
    id: TunnelId,
    source: u128,
    destination: u128,
    round: &Round<'_, impl Witness>,
) -> bool {
    check_source_ipv6(tunnel, id, source, destination, round).is_ok()
}

#[inline]
pub(super) fn check_source_ipv4(
    tunnel: &Tunnel,
    id: TunnelId,
    source: u32,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    let next_hop = round.tables.route_ipv4(source);
    if is_martian_ipv4(source) || next_hop == NextHop::Broadcast {
        return Err(Counter::IfRxInnerMartianSrc);
    }
    if next_hop == NextHop::Local {
        return Err(Counter::IfRxInnerOwnSrc);
    }
    let believed = match &tunnel.setup.inner_source {
        SourceFilter::Off => true,
        SourceFilter::Loose => next_hop != NextHop::NoRoute,
        SourceFilter::Strict => round.tables.next_hops.leads_into(next_hop, id),
        SourceFilter::Listed { sources, routed_is_listed } => {
            (*routed_is_listed && next_hop == NextHop::Tunnel(id)) || sources.ipv4.contains(source)
        }
    };
    if believed { Ok(()) } else { Err(Counter::IfRxInnerSrcFilter) }
}

#[inline]
pub(super) fn check_source_ipv6(
    tunnel: &Tunnel,
    id: TunnelId,
    source: u128,
    destination: u128,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    if is_martian_ipv6(source) {
        return Err(Counter::IfRxInnerMartianSrc);
    }
    if round.tables.local.contains_ipv6(source) {
        return Err(Counter::IfRxInnerOwnSrc);
    }
    if is_link_local(source) {
        // Neighbor discovery on the tunnel itself; link-local sources are never forwarded.
        let stays = is_link_scope_group(destination)
            || round.tables.route_ipv6(destination) == NextHop::Local;
        return if stays { Ok(()) } else { Err(Counter::IfRxInnerSrcFilter) };
    }
    let next_hop = || round.tables.route_ipv6(source);
    let believed = match &tunnel.setup.inner_source {
        SourceFilter::Off => true,
        SourceFilter::Loose => next_hop() != NextHop::NoRoute,
        SourceFilter::Strict => round.tables.next_hops.leads_into(next_hop(), id),
        SourceFilter::Listed { sources, routed_is_listed } => {
            // A few ranges are searched sooner than the routes.
            let is_routed =
                *routed_is_listed && !sources.ipv6.are_few() && next_hop() == NextHop::Tunnel(id);
            is_routed || sources.ipv6.contains(source)
        }
    };
    if believed { Ok(()) } else { Err(Counter::IfRxInnerSrcFilter) }
}

/// Whether it may be a probe for a duplicate address, the one packet that comes from `::` (RFC 4862
/// §5.4.2). It ends at this node, where neighbor discovery looks at it closely.
#[cold]
pub(super) fn is_duplicate_probe(header: Ipv6<'_>) -> bool {
    const SOLICITATION: u8 = 135;
    header.next_header() == protocol::ICMPV6
        && nd::is_solicited_node(header.destination().into())
        && header.bytes().get(ipv6::HEADER_LEN) == Some(&SOLICITATION)
}

/// An address of `ff02::/16`.
#[inline]
pub fn is_link_scope_group(address: u128) -> bool {
    address >> 112 == 0xff02
}

#[inline]
pub(super) fn check_destination_ipv4(
    tunnel: &Tunnel,
    destination: u32,
    next_hop: NextHop,
) -> Result<(), Counter> {
    let net = destination >> 24;
    let never = net == 0 || net == 127 || (net >= 240 && destination != u32::MAX);
    let group =
        destination == u32::MAX || (224..240).contains(&net) || next_hop == NextHop::Broadcast;
    let listed = |set: &AddressSet| set.ipv4.contains(destination);
    let allowed = tunnel.setup.inner_destination.as_ref().is_none_or(listed);
    if never || (group && !tunnel.setup.multicast) || !allowed {
        return Err(Counter::IfRxInnerDstDenied);
    }
    Ok(())
}

#[inline]
pub(super) fn check_destination_ipv6(
    tunnel: &Tunnel,
    destination: u128,
    next_hop: NextHop,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    let is_group = destination >> 120 == 0xff;
    let denied = if is_group {
        // Solicitations for our own addresses arrive at link-scope groups; see the delivery.
        !tunnel.setup.multicast && !round.tables.local.has_joined(destination)
    } else if is_link_local(destination) {
        next_hop != NextHop::Local
    } else {
        is_martian_ipv6(destination)
    };
    let listed = |set: &AddressSet| set.ipv6.contains(destination);
    let allowed = tunnel.setup.inner_destination.as_ref().is_none_or(listed);
    if denied || !(allowed || is_group) { Err(Counter::IfRxInnerDstDenied) } else { Ok(()) }
}
