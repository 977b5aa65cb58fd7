//! Errors that anybody can see are made up, or late: they quote IP directly in IP, without options, between addresses
//! of which no tunnel has both. That is what floods of errors consist of, and the rest of the quote need not be read to
//! know it. `None` says nothing: then somebody has to look closely.

use super::{Unheard, sole};
use crate::interface::Interface;
use crate::node::icmp_relay::UnderlayError;
use crate::tables::Tables;
use crate::tunnel::lookup::{Found, LabelledTunnels, OuterAddress, Protocols, TunnelLookup};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{icmp4, icmp6};

/// Bytes of a message in front of what it quotes.
const QUOTE: usize = icmp4::HEADER_LEN;

/// Looks at an `ICMPv4` message in a packet to this node.
#[inline]
pub(super) fn at_icmp4(
    packet: &[u8],
    message: &[u8],
    ingress: Interface,
    tables: &Tables,
) -> Option<Unheard> {
    const PLAIN: u8 = 0x45;
    let start = message.first_chunk::<{ QUOTE + ipv4::HEADER_LEN }>()?;
    if start[QUOTE] != PLAIN || !UnderlayError::shows_of_icmp4(start, ipv4::HEADER_LEN) {
        return None;
    }
    let quoted = Ipv4::trusted(&start[QUOTE..]);
    let ends = (quoted.source(), quoted.destination());
    let lookup = (&tables.tunnels_by_ipv4, &tables.labelled_by_ipv4);
    let own = Ipv4::trusted(packet).destination();
    look_up(own, ends, quoted.protocol(), lookup, ingress, tables)
}

/// The same for `ICMPv6`.
#[inline]
pub(super) fn at_icmp6(
    packet: &[u8],
    message: &[u8],
    ingress: Interface,
    tables: &Tables,
) -> Option<Unheard> {
    let start = message.first_chunk::<{ QUOTE + ipv6::HEADER_LEN }>()?;
    if start[QUOTE] >> 4 != 6 || !UnderlayError::shows_of_icmp6(start, ipv6::HEADER_LEN) {
        return None;
    }
    let quoted = Ipv6::trusted(&start[QUOTE..]);
    let ends = (quoted.source(), quoted.destination());
    let lookup = (&tables.tunnels_by_ipv6, &tables.labelled_by_ipv6);
    let own = Ipv6::trusted(packet).destination();
    look_up(own, ends, quoted.next_header(), lookup, ingress, tables)
}

#[inline]
fn look_up<A: OuterAddress>(
    own: A,
    (local, remote): (A, A),
    protocol: u8,
    (bare, labelled): (&TunnelLookup<A>, &LabelledTunnels<A>),
    ingress: Interface,
    tables: &Tables,
) -> Option<Unheard> {
    let carries = Protocols::of(protocol);
    if carries == Protocols::NONE {
        return None;
    }
    match bare.find(local, remote, carries, ingress.as_port()) {
        Found::Tunnel(_) => None,
        _ => Some(Unheard::rejected(sole(own, bare, labelled, tables))),
    }
}

const _: () = assert!(icmp6::HEADER_LEN == QUOTE);
