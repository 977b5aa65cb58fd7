//! What is asked of packets of tunnels whose peers are in IPv6 addresses, for [decap](super::decap) and [encap](super::encap): that
//! the outer source is in the inner one, that they are for this router, and that they would not come back to it by way of
//! another tunnel. 6to4 and ISATAP are known, whose addresses anybody can tell, and no domain of 6rd but this node's own.

use core::net::{IpAddr, Ipv6Addr};

use super::{Round, Verdict};
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::tables::{NextHop, Tables};
use crate::tunnel::Tunnel;
use crate::tunnel::peers::six_rd::SIX_TO_FOUR;
use crate::tunnel::peers::{Named, Peers};
use crate::witness::{Event, LoopRule, Witness};

/// Whether the outer source is the one that the inner source says, where a tunnel goes by that; `checked`:
/// what the filters of all tunnels say.
#[inline]
pub(super) fn check_embedded(
    tunnel: &Tunnel,
    source: u128,
    remote: u32,
    checked: Result<(), Counter>,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    match (&tunnel.setup.peers, checked) {
        (Some(peers), Ok(()) | Err(Counter::IfRxInnerSrcFilter)) => {
            let is_own = |address| round.tables.local.contains_ipv4(address);
            peers.judge_source(source, remote, is_own).and(checked)
        }
        _ => checked,
    }
}

/// Whether a packet is for this router, in a domain of many, and would not come back to it.
#[inline]
pub(super) fn check_domain(
    (tunnel, id): (&Tunnel, TunnelId),
    (source, destination): (u128, u128),
    next_hop: NextHop,
    round: &Round<'_, impl Witness>,
) -> Result<(), Counter> {
    let Some(peers) = &tunnel.setup.peers else { return Ok(()) };
    //= RFC 6324 §3.3: received through a tunnel, for a tunnel router with an address of ours: that is this node.
    if leads_back(destination, || next_hop, peers, round.tables) {
        round.note(|| Event::Loop { tunnel: id, rule: LoopRule::OwnInDestination });
        return Err(Counter::IfRxInnerDstDenied);
    }
    let is_local = next_hop == NextHop::Local;
    let may_turn = tunnel.setup.hairpin;
    let checked = peers.judge_destination((source, destination), is_local, may_turn);
    round.note(|| Event::InDomain {
        destination: Ipv6Addr::from(destination),
        refused: checked.err(),
    });
    checked
}

/// Whether whoever gets a packet would send it back, by its source.
#[inline]
pub(super) fn check_way_back(
    source: u128,
    (peers, id): (&Peers, TunnelId),
    round: &Round<'_, impl Witness>,
) -> Result<(), Verdict> {
    //= RFC 6324 §3.3: forwarded into a tunnel, from a tunnel router with an address of ours: the far end would take
    //= it for this node's, and send it on to where it came from.
    if leads_back(source, || round.tables.route_ipv6(source), peers, round.tables) {
        round.note(|| Event::Loop { tunnel: id, rule: LoopRule::OwnInSource });
        return Err(Verdict::drop_in(Counter::IfTxLoopSrc, id));
    }
    Ok(())
}

/// Whether an address belongs to a link or a site elsewhere, where its route leads, and has an IPv4 address of this
/// node in it.
#[inline]
fn leads_back(
    address: u128,
    next_hop: impl FnOnce() -> NextHop,
    peers: &Peers,
    tables: &Tables,
) -> bool {
    let is_own = |router| tables.local.contains_ipv4(router);
    match peers.router_named_by(address) {
        // A 6to4 site of our own has a way that not all of 6to4 has.
        Some(Named::SixToFour(router)) => {
            is_own(router) && next_hop() == tables.route_ipv6(SIX_TO_FOUR)
        }
        Some(Named::Isatap(router)) => is_own(router) && !is_on_link(address, next_hop(), tables),
        None => false,
    }
}

/// Whether an address is this node's, or a neighbor's on the net of a port.
fn is_on_link(address: u128, next_hop: NextHop, tables: &Tables) -> bool {
    match next_hop {
        NextHop::Local | NextHop::Unproved | NextHop::Connected(_) => true,
        NextHop::Via(host) => {
            let host = tables.neighbors.adjacency(host);
            host.is_some_and(|host| host.address == IpAddr::V6(address.into()))
        }
        _ => false,
    }
}
