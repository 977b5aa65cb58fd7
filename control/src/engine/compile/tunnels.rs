//! Tunnels: how their outer packets leave, which of them can carry packets, how large those may be,
//! and what they believe of what comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::counters::CounterSlot;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::latency::MEASURED_TUNNELS_MAX;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::tables::{self, NextHop};
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::lookup::{Pair, Protocols, TunnelLookup};
use adit_dataplane::tunnel::policy::{AddressSet, Ranges, SourceFilter};
use adit_dataplane::tunnel::{DontFragment, Kind, Tunnel, TunnelSetup, ip_in_ipv4, ip_in_ipv6};
use ipnet::IpNet;

use super::routes::{Routes, is_link_local};
use super::{CompileError, Numbers, PortFacts, first_ipv4, first_ipv6, port_of};
use crate::config::{
    self, Config, DscpDecap, Ecn, Family, Fragment, InnerSource, Name, RouteAction, Via,
};
use crate::engine::slots::Slots;

/// Whether a tunnel carries packets, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// It does.
    Running,
    /// `enabled: no`.
    Disabled,
    /// It takes packets from anybody and has nobody to send to.
    ReceiveOnly,
    /// There is no way to the remote.
    NoRoute,
    /// The way to the remote leads into the tunnel itself, perhaps through others.
    Recursive,
    /// The way to the remote leaves by another port than `link` says.
    OtherLink,
    /// No address of ours is known that it could send from.
    NoLocal,
}

/// A tunnel, for reports and for the packet path.
#[derive(Debug, Clone)]
pub(in super::super) struct TunnelInfo {
    pub(in super::super) standing: Standing,
    pub(in super::super) local: Option<IpAddr>,
    pub(in super::super) mtu: u16,
    pub(in super::super) underlay: NextHop,
    pub(in super::super) underlay_port: Option<PortId>,
    underlay_mtu: u16,
}

/// Routes and tunnels that fit each other.
pub(super) struct Placed {
    pub(super) routes: Routes,
    pub(super) tunnels: Vec<TunnelInfo>,
}

/// Finds out which tunnels run: those whose remote can be reached by routes that don't go through
/// tunnels that don't run.
pub(super) fn place(
    config: &Config,
    numbers: &Numbers,
    ports: &[tables::Port],
    neighbors: &mut NeighborTable,
) -> Result<Placed, CompileError> {
    let facts: Vec<PortFacts> =
        ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu }).collect();
    let numbered = || (0..).map(TunnelId).zip(&config.tunnels);
    let mut running: BTreeSet<TunnelId> = numbered()
        .filter(|(_, tunnel)| tunnel.enabled && tunnel.remote.is_some())
        .map(|(id, _)| id)
        .collect();
    loop {
        let routes = Routes::new(config, &facts, numbers, &running, neighbors)?;
        let finder = Finder { config, ports, routes: &routes, numbers };
        let infos: Vec<TunnelInfo> =
            numbered().map(|(id, tunnel)| finder.find(id, tunnel, neighbors)).collect();
        let still: BTreeSet<TunnelId> = (0..)
            .map(TunnelId)
            .zip(&infos)
            .filter(|(id, info)| running.contains(id) && info.standing == Standing::Running)
            .map(|(id, _)| id)
            .collect();
        // Each round takes at least one tunnel away, so this ends.
        if still == running {
            return Ok(Placed { routes, tunnels: infos });
        }
        running = still;
    }
}

/// Looks for the way to a tunnel's remote.
struct Finder<'a> {
    config: &'a Config,
    ports: &'a [tables::Port],
    routes: &'a Routes,
    numbers: &'a Numbers,
}

/// Tunnels that a way to a remote may go through, one inside the other.
const CHAIN_MAX: usize = 8;

impl Finder<'_> {
    fn find(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
        neighbors: &mut NeighborTable,
    ) -> TunnelInfo {
        let next_hop = self.towards(tunnel, neighbors);
        let end = self.follow(next_hop, id, neighbors);
        let mut info = TunnelInfo {
            standing: Standing::Running,
            local: tunnel.local.or_else(|| self.source(next_hop, tunnel, neighbors)),
            mtu: 0,
            underlay: next_hop,
            underlay_port: end.as_ref().ok().map(|end| end.port),
            underlay_mtu: end.as_ref().map_or(u16::MAX, |end| end.port_mtu),
        };
        let path_mtu = end.as_ref().map_or(1500, |end| end.mtu);
        info.mtu = tunnel_mtu(tunnel, path_mtu);
        let link = tunnel.link.as_ref().map(|name| self.numbers.port(name));
        info.standing = if !tunnel.enabled {
            Standing::Disabled
        } else if tunnel.remote.is_none() {
            Standing::ReceiveOnly
        } else if let Err(standing) = end {
            standing
        } else if link.is_some_and(|link| link != info.underlay_port) {
            info.underlay = NextHop::NoRoute;
            Standing::OtherLink
        } else if info.local.is_none() {
            Standing::NoLocal
        } else {
            Standing::Running
        };
        info
    }

    /// The next hop towards the remote; a host on a connected net is resolved like a gateway.
    fn towards(&self, tunnel: &config::Tunnel, neighbors: &mut NeighborTable) -> NextHop {
        let Some(remote) = tunnel.remote else { return NextHop::NoRoute };
        let link = tunnel.link.as_ref().and_then(|name| self.numbers.port(name));
        let next_hop = match link {
            Some(port) if is_link_local(remote) => NextHop::Connected(port),
            _ => self.routes.look_up(remote),
        };
        match next_hop {
            NextHop::Connected(port) => NextHop::Via(neighbors.insert(port, remote)),
            NextHop::Via(_) | NextHop::Tunnel(_) | NextHop::Group(_) => next_hop,
            _ => NextHop::NoRoute,
        }
    }

    /// Follows a next hop through tunnels to the port it ends at.
    fn follow(
        &self,
        next_hop: NextHop,
        start: TunnelId,
        neighbors: &mut NeighborTable,
    ) -> Result<End, Standing> {
        let mut at = next_hop;
        let mut overhead = 0;
        for _ in 0..CHAIN_MAX {
            match at {
                NextHop::Tunnel(id) if id == start => return Err(Standing::Recursive),
                NextHop::Tunnel(id) => {
                    let Some(tunnel) = self.config.tunnels.get(id.index()) else {
                        return Err(Standing::NoRoute);
                    };
                    overhead += overhead_of(tunnel);
                    at = self.towards(tunnel, neighbors);
                }
                NextHop::Group(group) => {
                    let first = self.routes.next_hops.group(group);
                    at = first.and_then(|g| g.buckets().first()).copied().unwrap_or_default();
                }
                other => {
                    let port = port_of(other, neighbors).ok_or(Standing::NoRoute)?;
                    let port_mtu = self.ports.get(port.index()).map_or(0, |port| port.mtu);
                    return Ok(End { port, port_mtu, mtu: port_mtu.saturating_sub(overhead) });
                }
            }
        }
        Err(Standing::Recursive)
    }

    /// Our address towards the remote, for a tunnel that names none.
    fn source(
        &self,
        next_hop: NextHop,
        tunnel: &config::Tunnel,
        neighbors: &NeighborTable,
    ) -> Option<IpAddr> {
        let by_port = port_of(next_hop, neighbors).and_then(|id| self.ports.get(id.index()));
        let addresses = match next_hop {
            NextHop::Tunnel(id) => self.config.tunnels.get(id.index()).map(|t| &t.addresses),
            _ => None,
        };
        match tunnel.mode.outer() {
            Family::Ipv4 => by_port
                .and_then(|port| port.source_ipv4)
                .or_else(|| first_ipv4(addresses?))
                .map(IpAddr::V4),
            Family::Ipv6 => by_port
                .and_then(|port| port.source_ipv6)
                .or_else(|| first_ipv6(addresses?))
                .map(IpAddr::V6),
        }
    }
}

/// Where the outer packets of a tunnel leave the node in the end.
struct End {
    port: PortId,
    port_mtu: u16,
    /// What the tunnel's own outer packet may have.
    mtu: u16,
}

/// Bytes that a tunnel puts in front of each packet.
fn overhead_of(tunnel: &config::Tunnel) -> u16 {
    match tunnel.mode.outer() {
        Family::Ipv4 => ip_in_ipv4::OVERHEAD,
        Family::Ipv6 if tunnel.settings.encap_limit.is_some() => ip_in_ipv6::OVERHEAD + 8,
        Family::Ipv6 => ip_in_ipv6::OVERHEAD,
    }
}

/// The largest inner packet, given the largest outer one.
fn tunnel_mtu(tunnel: &config::Tunnel, path_mtu: u16) -> u16 {
    let fits = path_mtu.saturating_sub(overhead_of(tunnel));
    let settings = &tunnel.settings;
    let follows_path = match tunnel.mode.outer() {
        Family::Ipv6 => true,
        Family::Ipv4 => {
            matches!(
                settings.dont_fragment,
                config::DontFragment::Pmtudisc | config::DontFragment::Inherit
            ) && !settings.static_mtu
        }
    };
    match settings.mtu {
        None => fits,
        Some(mtu) if follows_path => mtu.min(fits),
        Some(mtu) => mtu,
    }
}

/// The tunnels themselves.
pub(super) fn build(
    config: &Config,
    numbers: &Numbers,
    placed: &Placed,
    slots: &mut Slots,
    slot_limit: u32,
    latency_slots: &mut Slots,
) -> Result<Vec<Tunnel>, CompileError> {
    let connected = connected_nets(config);
    let reachable = reachable_nets(config, numbers);
    let nothing = Vec::new();
    let numbered = (0..).map(TunnelId).zip(config.tunnels.iter().zip(&placed.tunnels));
    numbered
        .map(|(id, (tunnel, info))| {
            let slot = slots
                .take(&tunnel.name, slot_limit)
                .ok_or(CompileError::Counters { limit: slot_limit })?;
            let latency = if tunnel.latency {
                latency_slots.take(&tunnel.name, u32::from(MEASURED_TUNNELS_MAX))
            } else {
                None
            };
            let nets = reachable.get(&id).unwrap_or(&nothing);
            let mut setup = setup(tunnel, info, CounterSlot(slot));
            setup.latency = latency.and_then(|number| u16::try_from(number).ok());
            setup.inner_source = source_filter(&tunnel.settings.inner_source, nets, &connected);
            Tunnel::new(setup)
                .map_err(|reason| CompileError::Tunnel { name: Name::clone(&tunnel.name), reason })
        })
        .collect()
}

fn setup(tunnel: &config::Tunnel, info: &TunnelInfo, slot: CounterSlot) -> TunnelSetup {
    let settings = &tunnel.settings;
    let destinations = &settings.inner_destination;
    TunnelSetup {
        kind: match tunnel.mode.outer() {
            Family::Ipv4 => Kind::IpInIpv4,
            Family::Ipv6 => Kind::IpInIpv6,
        },
        local: info.local,
        remote: tunnel.remote,
        protocols: protocols(tunnel),
        up: tunnel.enabled,
        ttl: settings.ttl.map(std::num::NonZeroU8::get),
        min_outer_ttl: settings.min_outer_ttl.get(),
        dscp: settings.dscp,
        copies_dscp: settings.dscp_decap == DscpDecap::Copy,
        ecn: match settings.ecn {
            Ecn::Normal => EcnEncap::Normal,
            Ecn::Compat => EcnEncap::Compat,
            Ecn::Rfc3168 => EcnEncap::Rfc3168,
        },
        dont_fragment: match settings.dont_fragment {
            config::DontFragment::Pmtudisc => DontFragment::Pmtudisc,
            config::DontFragment::Inherit => DontFragment::Inherit,
            config::DontFragment::No | config::DontFragment::IgnoreDf => DontFragment::No,
        },
        fragments_outer: settings.fragment == Fragment::Outer,
        static_mtu: settings.static_mtu,
        encap_limit: settings.encap_limit,
        flow_label: settings.flow_label,
        mtu: info.mtu,
        underlay: info.underlay,
        underlay_mtu: info.underlay_mtu,
        source_ipv4: first_ipv4(&tunnel.addresses),
        source_ipv6: first_ipv6(&tunnel.addresses),
        hairpin: settings.hairpin,
        multicast: settings.multicast,
        outer_rpf: settings.outer_rpf,
        inner_source: SourceFilter::Off,
        inner_destination: (!destinations.is_empty()).then(|| address_set(destinations)),
        slot,
        latency: None,
    }
}

/// The outer protocols of what a tunnel carries.
fn protocols(tunnel: &config::Tunnel) -> Protocols {
    let mut protocols = Protocols::NONE;
    if tunnel.carries(Family::Ipv4) {
        protocols = protocols.with(Protocols::IPV4);
    }
    if tunnel.carries(Family::Ipv6) {
        protocols = protocols.with(Protocols::IPV6);
    }
    protocols
}

fn address_set<'a>(nets: impl IntoIterator<Item = &'a IpNet>) -> AddressSet {
    let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
    for net in nets {
        match net {
            IpNet::V4(net) => ipv4.push(*net),
            IpNet::V6(net) => ipv6.push(*net),
        }
    }
    AddressSet {
        ipv4: ipv4.into_iter().collect::<Ranges<u32>>(),
        ipv6: ipv6.into_iter().collect::<Ranges<u128>>(),
    }
}

fn connected_nets(config: &Config) -> AddressSet {
    address_set(config.ports.iter().flat_map(|port| &port.addresses))
}

/// For each tunnel, every destination that some route, best or not, sends into it.
fn reachable_nets(config: &Config, numbers: &Numbers) -> BTreeMap<TunnelId, Vec<IpNet>> {
    let mut nets: BTreeMap<TunnelId, Vec<IpNet>> = BTreeMap::new();
    for tunnel in &config.tunnels {
        if let Some(id) = numbers.tunnel(&tunnel.name) {
            nets.entry(id).or_default().extend(tunnel.addresses.iter().map(IpNet::trunc));
        }
    }
    for route in &config.routes {
        let RouteAction::NextHops(hops) = &route.action else { continue };
        for hop in hops {
            let Via::Tunnel(name) = &hop.via else { continue };
            if let Some(id) = numbers.tunnel(name) {
                nets.entry(id).or_default().push(route.to);
            }
        }
    }
    nets
}

fn source_filter(filter: &InnerSource, nets: &[IpNet], connected: &AddressSet) -> SourceFilter {
    match filter {
        InnerSource::Off => SourceFilter::Off,
        InnerSource::Loose => SourceFilter::Loose,
        InnerSource::Strict => SourceFilter::Strict,
        InnerSource::Prefixes(prefixes) => {
            SourceFilter::Listed { sources: address_set(prefixes), routed_is_listed: false }
        }
        InnerSource::Feasible => {
            //= RFC 3704 §2.3: every feasible path counts, not only the best; but what is connected
            //= on a port can't be behind a tunnel.
            let all = address_set(nets);
            let sources = AddressSet {
                ipv4: all.ipv4.without(&connected.ipv4),
                ipv6: all.ipv6.without(&connected.ipv6),
            };
            let routed_is_listed = sources == all;
            SourceFilter::Listed { sources, routed_is_listed }
        }
    }
}

/// Both lookups of tunnels by their outer addresses.
pub(super) fn lookup(
    config: &Config,
    numbers: &Numbers,
    seed: u64,
) -> Result<(TunnelLookup<u32>, TunnelLookup<u128>), CompileError> {
    let mut by_ipv4 = TunnelLookup::new(seed);
    let mut by_ipv6 = TunnelLookup::new(seed);
    for (id, tunnel) in (0..).map(TunnelId).zip(&config.tunnels) {
        let link = tunnel.link.as_ref().and_then(|name| numbers.port(name));
        let protocols = protocols(tunnel);
        let inserted = match tunnel.mode.outer() {
            Family::Ipv4 => {
                let number = |address: Option<IpAddr>| match address {
                    Some(IpAddr::V4(address)) => u32::from(address),
                    _ => 0,
                };
                let pair = Pair { local: number(tunnel.local), remote: number(tunnel.remote) };
                by_ipv4.insert(pair, protocols, link, id)
            }
            Family::Ipv6 => {
                let number = |address: Option<IpAddr>| match address {
                    Some(IpAddr::V6(address)) => u128::from(address),
                    _ => 0,
                };
                let pair = Pair { local: number(tunnel.local), remote: number(tunnel.remote) };
                by_ipv6.insert(pair, protocols, link, id)
            }
        };
        inserted.map_err(|twin| CompileError::Indistinguishable {
            first: config
                .tunnels
                .get(twin.0.index())
                .map_or_else(|| "?".into(), |t| Name::clone(&t.name)),
            second: Name::clone(&tunnel.name),
        })?;
    }
    Ok((by_ipv4, by_ipv6))
}

/// The link-local address of a tunnel that carries IPv6.
pub(super) fn link_local(tunnel: &config::Tunnel) -> Option<Ipv6Addr> {
    let own = tunnel.addresses.iter().find_map(|net| match net.addr() {
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
        _ => None,
    });
    if !tunnel.carries(Family::Ipv6) {
        return own;
    }
    //= RFC 4213 §3.7: fe80::/64 with the IPv4 address of the interface at its end.
    own.or(match tunnel.local {
        Some(IpAddr::V4(local)) => {
            Some(Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(u32::from(local))))
        }
        Some(IpAddr::V6(local)) => {
            Some(Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(local) & u128::from(u64::MAX)))
        }
        None => None,
    })
}
