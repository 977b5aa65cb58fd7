//! Errors that anybody can see are made up, or late: they quote what tunnels send, without options, between addresses
//! of which no tunnel has both. That is what floods of errors consist of, and the rest of the quote need not be read to
//! know it. What is not said to be nobody's has to be looked at closely.

use crate::interface::Interface;
use crate::node::icmp_relay::UnderlayError;
use crate::tables::Tables;
use crate::tunnel::lookup::{Found, LabelledTunnels, OuterAddress, Protocols, TunnelLookup};
use crate::tunnel::udp::UdpPorts;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{icmp4, icmp6, protocol};

/// Bytes of a message in front of what it quotes.
const QUOTE: usize = icmp4::HEADER_LEN;
const _: () = assert!(icmp6::HEADER_LEN == QUOTE);

/// Whether an `ICMPv4` message, whatever its checksum, is an error about a packet of no tunnel.
#[inline]
pub(crate) fn is_nobodys_icmp4(message: &[u8], ingress: Interface, tables: &Tables) -> bool {
    const PLAIN: u8 = 0x45;
    let Some(start) = message.first_chunk::<{ QUOTE + ipv4::HEADER_LEN }>() else { return false };
    if start[QUOTE] != PLAIN || !UnderlayError::shows_of_icmp4(start, ipv4::HEADER_LEN) {
        return false;
    }
    let quoted = Ipv4::trusted(&start[QUOTE..]);
    let ends = (quoted.source(), quoted.destination());
    let lookup = (&tables.tunnels_by_ipv4, &tables.labelled_by_ipv4, &tables.udp_ports);
    is_nobodys(ends, quoted.protocol(), lookup, ingress)
}

/// The same for `ICMPv6`.
#[inline]
pub(crate) fn is_nobodys_icmp6(message: &[u8], ingress: Interface, tables: &Tables) -> bool {
    let Some(start) = message.first_chunk::<{ QUOTE + ipv6::HEADER_LEN }>() else { return false };
    if start[QUOTE] >> 4 != 6 || !UnderlayError::shows_of_icmp6(start, ipv6::HEADER_LEN) {
        return false;
    }
    let quoted = Ipv6::trusted(&start[QUOTE..]);
    let ends = (quoted.source(), quoted.destination());
    let lookup = (&tables.tunnels_by_ipv6, &tables.labelled_by_ipv6, &tables.udp_ports);
    is_nobodys(ends, quoted.next_header(), lookup, ingress)
}

#[inline(never)]
fn is_nobodys_behind_shim<A: OuterAddress>(
    (local, remote): (A, A),
    quoted: u8,
    labelled: &LabelledTunnels<A>,
    ports: &UdpPorts,
) -> bool {
    let is_tunnels = quoted == protocol::GRE || quoted == protocol::UDP && !ports.is_empty();
    is_tunnels && labelled.is_without(local, remote)
}

#[inline]
fn is_nobodys<A: OuterAddress>(
    (local, remote): (A, A),
    quoted: u8,
    (tunnels, labelled, ports): (&TunnelLookup<A>, &LabelledTunnels<A>, &UdpPorts),
    ingress: Interface,
) -> bool {
    let carries = Protocols::of(quoted);
    if carries == Protocols::NONE {
        return is_nobodys_behind_shim((local, remote), quoted, labelled, ports);
    }
    let is_found = || {
        let found = tunnels.find(local, remote, carries, ingress.as_port());
        matches!(found, Found::Tunnel(_))
    };
    tunnels.is_plainly_without(local, remote) || !is_found()
}
