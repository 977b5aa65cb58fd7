//! Where a packet goes: to this node, to a port, into a tunnel, or nowhere.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::policy::{is_link_local, is_link_scope_group, is_martian_ipv4, is_martian_ipv6};
use super::{After, Round, Verdict, Verdicts, judge_options};
use crate::counters::Counter;
use crate::interface::PortId;
use crate::node::icmp_error::IcmpError;
use crate::packet::{Burst, Flags, Packet};
use crate::tables::NextHop;
use crate::tables::neighbor::AdjacencyId;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::protocol;
use crate::witness::{Event, Hop, LoopRule, Witness};

/// Routes every packet of the burst that asks for it.
pub fn route_burst(burst: &mut Burst, verdicts: &mut Verdicts, round: &Round<'_, impl Witness>) {
    for (packet, verdict) in burst.packets_mut().iter_mut().zip(verdicts) {
        round.witness.turn_to(packet);
        let next_hop = match *verdict {
            Verdict::Route => look_up(packet, round),
            Verdict::RouteTo(next_hop) => next_hop,
            _ => continue,
        };
        *verdict = route_to(packet, next_hop, round);
    }
}

/// Where the route to a packet's destination leads.
#[inline]
pub fn look_up(packet: &Packet, round: &Round<'_, impl Witness>) -> NextHop {
    let bytes = packet.data();
    if bytes.first().is_some_and(|first| first >> 4 == 4) {
        round.tables.route_ipv4(Ipv4::trusted(bytes).destination())
    } else {
        round.tables.route_ipv6(Ipv6::trusted(bytes).destination())
    }
}

/// Routes one packet, which stands at its checked IP header and whose destination has been looked
/// up. What goes on has its TTL or hop limit decremented, unless this node made it.
#[inline]
pub fn route_to(
    packet: &mut Packet,
    next_hop: NextHop,
    round: &Round<'_, impl Witness>,
) -> Verdict {
    round.note(|| Event::Route {
        destination: destination(packet.data()),
        hop: Hop::of(next_hop, round.tables),
    });
    if packet.data().first().is_some_and(|first| first >> 4 == 4) {
        route_ipv4(packet, next_hop, round)
    } else {
        route_ipv6(packet, next_hop, round)
    }
}

#[inline]
fn route_ipv4(packet: &mut Packet, next_hop: NextHop, round: &Round<'_, impl Witness>) -> Verdict {
    let header = Ipv4::trusted(packet.data());
    if next_hop == NextHop::Local {
        return Verdict::Deliver;
    }
    let flags = packet.meta.flags;
    if !flags.has(Flags::LOCAL) {
        if let Some(counter) = refused_transit_ipv4(header, next_hop, flags, round) {
            return Verdict::drop(counter);
        }
        if header.ttl() <= 1 {
            round.note(|| Event::TtlExpired { ttl: header.ttl(), is_ipv4: true });
            //= RFC 1812 §5.3.1: a packet whose TTL ends here is not forwarded, and its sender told.
            return Verdict::reject(IcmpError::TimeExceeded, Counter::Ip4TtlExpired);
        }
        if flags.has(Flags::L2_GROUP) {
            //= RFC 1812 §5.3.4: what came by link-layer broadcast is not forwarded.
            return Verdict::drop(Counter::IpBroadcastDst);
        }
    }
    let next_hop = round.choose(next_hop, packet.data());
    let dont_fragment = header.dont_fragment();
    let verdict = match leave(packet, next_hop, round) {
        Ok(way) => way.for_ipv4(packet.len(), dont_fragment),
        Err(Refusal::NoRoute) => {
            return Verdict::reject(IcmpError::NoRoute, Counter::Ip4NoRoute);
        }
        Err(Refusal::Verdict(verdict)) => return verdict,
    };
    if !flags.has(Flags::LOCAL) && !matches!(verdict, Verdict::Reject(..)) {
        let ttl = || Ipv4::trusted(packet.data()).ttl();
        round.note(|| Event::TtlLowered { ttl: ttl(), is_ipv4: true });
        ipv4::decrement_ttl(packet.data_mut());
    }
    verdict
}

/// Why a packet may not pass, if it may not. What came out of a tunnel has been through the
/// tunnel's own rules.
#[inline]
fn refused_transit_ipv4(
    header: Ipv4<'_>,
    next_hop: NextHop,
    flags: Flags,
    round: &Round<'_, impl Witness>,
) -> Option<Counter> {
    let (source, destination) = (header.source(), header.destination());
    let local = &round.tables.local;
    //= RFC 1812 §5.3.7: nor may one whose source is a broadcast address.
    if flags.decap_depth() == 0
        && (is_martian_ipv4(source)
            || local.contains_ipv4(source)
            || local.is_no_source_ipv4(source))
    {
        return Some(Counter::Ip4MartianSrc);
    }
    if next_hop == NextHop::Broadcast {
        return Some(Counter::IpBroadcastDst);
    }
    let net = destination >> 24;
    if net == 0 || net == 127 || net >= 224 {
        let is_group = (224..240).contains(&net) || destination == u32::MAX;
        // Multicast is carried where a route leads into a tunnel that says so.
        return match next_hop {
            NextHop::Tunnel(_) if is_group => None,
            _ if is_group => Some(Counter::IpBroadcastDst),
            _ => Some(Counter::Ip4MartianDst),
        };
    }
    None
}

#[inline]
fn route_ipv6(packet: &mut Packet, next_hop: NextHop, round: &Round<'_, impl Witness>) -> Verdict {
    let header = Ipv6::trusted(packet.data());
    let (source, destination) = (header.source(), header.destination());
    let is_group = destination >> 120 == 0xff;
    if next_hop == NextHop::Local || (is_group && is_link_scope_group(destination)) {
        return Verdict::Deliver;
    }
    if next_hop == NextHop::Unproved {
        //= RFC 4862 §5.4: what else is sent to a tentative address is discarded silently.
        return Verdict::drop(Counter::Ip6Unproved);
    }
    let flags = packet.meta.flags;
    if !flags.has(Flags::LOCAL) {
        if flags.decap_depth() == 0
            && (is_martian_ipv6(source) || round.tables.local.contains_ipv6(source))
        {
            return Verdict::drop(Counter::Ip6MartianSrc);
        }
        if is_group && !matches!(next_hop, NextHop::Tunnel(_)) {
            return Verdict::drop(Counter::IpBroadcastDst);
        }
        if !is_group && is_martian_ipv6(destination) {
            return Verdict::drop(Counter::Ip6MartianDst);
        }
        //= RFC 4291 §2.5.6: routers must not forward packets with link-local addresses.
        if is_link_local(source) {
            return Verdict::drop(Counter::Ip6MartianSrc);
        }
        if is_link_local(destination) {
            return Verdict::drop(Counter::Ip6MartianDst);
        }
        if header.hop_limit() <= 1 {
            round.note(|| Event::TtlExpired { ttl: header.hop_limit(), is_ipv4: false });
            return Verdict::reject(IcmpError::TimeExceeded, Counter::Ip6HopExpired);
        }
        if flags.has(Flags::L2_GROUP) {
            return Verdict::drop(Counter::IpBroadcastDst);
        }
        if header.next_header() == protocol::HOP_BY_HOP
            && let Some(verdict) = judge_options(packet.data(), false)
        {
            return verdict;
        }
    }
    let next_hop = round.choose(next_hop, packet.data());
    let verdict = match leave(packet, next_hop, round) {
        Ok(way) => way.for_ipv6(packet.len(), flags.has(Flags::LOCAL)),
        Err(Refusal::NoRoute) => {
            return Verdict::reject(IcmpError::NoRoute, Counter::Ip6NoRoute);
        }
        Err(Refusal::Verdict(verdict)) => return verdict,
    };
    if !flags.has(Flags::LOCAL) && !matches!(verdict, Verdict::Reject(..)) {
        let ttl = || Ipv6::trusted(packet.data()).hop_limit();
        round.note(|| Event::TtlLowered { ttl: ttl(), is_ipv4: false });
        ipv6::decrement_hop_limit(packet.data_mut());
    }
    verdict
}

/// A way out, with the size that fits it.
#[derive(Clone, Copy)]
enum Way {
    Tunnel(crate::interface::TunnelId),
    Host(AdjacencyId, u16),
    Link(PortId, u16),
}

enum Refusal {
    NoRoute,
    Verdict(Verdict),
}

#[inline]
fn leave(
    packet: &Packet,
    next_hop: NextHop,
    round: &Round<'_, impl Witness>,
) -> Result<Way, Refusal> {
    let mtu = |port: PortId| {
        let mtu = round.tables.port(port).map_or(0, |port| port.mtu);
        round.note(|| Event::PortSize { port, mtu, length: packet.len() });
        mtu
    };
    let refuse = |error, counter| Err(Refusal::Verdict(Verdict::reject(error, counter)));
    match next_hop {
        NextHop::Tunnel(tunnel) => {
            let came_from_it = packet.meta.ingress.as_tunnel() == Some(tunnel);
            let may = round.tables.tunnel(tunnel).is_some_and(|t| t.setup.hairpin);
            if came_from_it && !may {
                round.note(|| Event::Loop { tunnel, rule: LoopRule::Hairpin });
                let verdict = Verdict::drop_in(Counter::IfRxHairpin, tunnel);
                return Err(Refusal::Verdict(verdict));
            }
            Ok(Way::Tunnel(tunnel))
        }
        NextHop::Via(id) => match round.tables.neighbors.adjacency(id) {
            Some(adjacency) => Ok(Way::Host(id, mtu(adjacency.port))),
            None => Err(Refusal::NoRoute),
        },
        NextHop::Connected(port) => Ok(match neighbor(packet, port, round) {
            Some(id) => Way::Host(id, mtu(port)),
            None => Way::Link(port, mtu(port)),
        }),
        NextHop::Blackhole => Err(Refusal::Verdict(Verdict::drop(Counter::FwdBlackhole))),
        NextHop::Unreachable => refuse(IcmpError::HostUnreachable, Counter::FwdUnreachable),
        NextHop::Prohibit => refuse(IcmpError::Prohibited, Counter::FwdProhibit),
        NextHop::NoRoute
        | NextHop::Local
        | NextHop::Unproved
        | NextHop::Broadcast
        | NextHop::Group(_) => Err(Refusal::NoRoute),
    }
}

/// The host on a port's link that a packet is addressed to, if it is known. Not inlined: the search
/// would spread over the loop that most packets pass without it.
#[inline(never)]
fn neighbor(packet: &Packet, port: PortId, round: &Round<'_, impl Witness>) -> Option<AdjacencyId> {
    round.tables.neighbors.find(port, destination(packet.data()))
}

/// The destination in an IP header.
#[inline]
pub fn destination(packet: &[u8]) -> IpAddr {
    match packet.first().map(|first| first >> 4) {
        Some(4) => Ipv4Addr::from(Ipv4::trusted(packet).destination()).into(),
        _ => Ipv6Addr::from(Ipv6::trusted(packet).destination()).into(),
    }
}

impl Way {
    /// The size of what goes into a tunnel is the tunnel's to judge; a port takes its MTU, and an
    /// IPv4 packet that may be cut is.
    #[inline]
    fn for_ipv4(self, len: usize, dont_fragment: bool) -> Verdict {
        let (verdict, mtu) = match self {
            Self::Tunnel(tunnel) => return Verdict::Encap(tunnel),
            Self::Host(id, mtu) => (Verdict::Transmit(id), mtu),
            Self::Link(port, mtu) => (Verdict::TransmitOnLink(port), mtu),
        };
        if len <= usize::from(mtu) {
            verdict
        } else if dont_fragment {
            //= RFC 1191 §4: the router says the MTU of the next hop.
            Verdict::reject(IcmpError::TooBig { mtu }, Counter::Ip4TooBig)
        } else {
            Verdict::Fragment { mtu, then: self.after() }
        }
    }

    /// The same for IPv6, of which only what this node has made itself may be cut.
    #[inline]
    fn for_ipv6(self, len: usize, is_own: bool) -> Verdict {
        let (verdict, mtu) = match self {
            Self::Tunnel(tunnel) => return Verdict::Encap(tunnel),
            Self::Host(id, mtu) => (Verdict::Transmit(id), mtu),
            Self::Link(port, mtu) => (Verdict::TransmitOnLink(port), mtu),
        };
        if len <= usize::from(mtu) {
            verdict
        } else if is_own {
            //= RFC 8200 §5: only the source cuts.
            Verdict::Fragment { mtu, then: self.after() }
        } else {
            Verdict::reject(IcmpError::TooBig { mtu }, Counter::Ip6TooBig)
        }
    }

    /// Where pieces go.
    fn after(self) -> After {
        match self {
            Self::Link(port, _) => After::TransmitOnLink(port),
            Self::Host(id, _) => After::Transmit(id),
            Self::Tunnel(tunnel) => After::Encap(tunnel),
        }
    }
}
