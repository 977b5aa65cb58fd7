//! Tunnels: how their outer packets leave, which of them can carry packets, how large those may be,
//! and what they believe of what comes out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::counters::{Counter, CounterSlot};
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::reassembly::SECONDS_MAX;
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::tables::{GroupId, NextHop};
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::mpls::Mpls;
use adit_dataplane::tunnel::peers::Peers;
use adit_dataplane::tunnel::peers::isatap::identifier;
use adit_dataplane::tunnel::policy::{AddressSet, Ranges, SourceFilter};
use adit_dataplane::tunnel::rewrite::ENCAP_LIMIT_LEN;
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::{DontFragment, MssClamp, RelayRules, Relayed, Tunnel, TunnelSetup};
use adit_dataplane::wire::{ethernet, ipv4, ipv6, minimal};
use ipnet::{IpNet, Ipv6Net};

use super::base::{first_ipv4, first_ipv6, ipv4_net};
use super::shims::shim;
use super::ways::Chain;
use super::{CompileError, Compiler};
use crate::config::{
    self, Config, DscpDecap, Ecn, Family, Fragment, InnerSource, Mode, Name, Store,
};

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
    /// Duplicate address detection has not passed for its local address, or for one of them.
    UnprovedLocal,
}

/// A tunnel, for reports and for the packet path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct TunnelInfo {
    pub(in super::super) standing: Standing,
    pub(in super::super) local: Option<IpAddr>,
    pub(in super::super) mtu: u16,
    pub(in super::super) underlay: NextHop,
    pub(in super::super) underlay_port: Option<PortId>,
    /// The largest outer packet.
    underlay_mtu: u16,
    /// The path to the remote.
    pub(in super::super) path: TunnelPath,
    /// The same for the other sources of a pool, or for each of several remotes.
    pub(in super::super) more_paths: Box<[TunnelPath]>,
    /// The remote, where it is a neighbor of its own.
    pub(super) neighbor: Option<(PortId, IpAddr)>,
    /// Those of a route's next hops that leave by the tunnel's link, where they are some and not all.
    pub(super) group: Option<GroupId>,
}

impl Compiler {
    /// Looks for the way to a tunnel's remote by the routes as they are. A remote on a connected net
    /// is left as `Connected`; who keeps the answer makes a neighbor of it.
    pub(super) fn find(&self, store: &Store, id: TunnelId, tunnel: &config::Tunnel) -> TunnelInfo {
        let next_hop = self.towards(tunnel);
        let mut chain = Chain::of(id);
        let end = self.follow(store, (next_hop, tunnel), &mut chain);
        let mut info = TunnelInfo {
            standing: Standing::Running,
            local: tunnel.local.or_else(|| self.source(store, next_hop, tunnel)),
            mtu: 0,
            underlay: next_hop,
            underlay_port: end.as_ref().ok().map(|end| end.port),
            underlay_mtu: end.as_ref().map_or(u16::MAX, |end| end.mtu),
            path: TunnelPath::NONE,
            more_paths: Box::default(),
            neighbor: None,
            group: None,
        };
        let is_unproved = tunnel.locals().any(|local| self.is_unproved(local));
        let path_mtu = match &end {
            _ if tunnel.has_many_peers() => self.usual_mtu(tunnel),
            Ok(end) => end.mtu,
            Err(_) => 1500,
        };
        info.mtu = tunnel_mtu(tunnel, path_mtu);
        info.standing = if !tunnel.enabled {
            Standing::Disabled
        } else if is_unproved {
            // It receives nothing, whoever sends, and nothing is sent in its name.
            (info.local, info.underlay) = (None, NextHop::NoRoute);
            Standing::UnprovedLocal
        } else if tunnel.has_many_peers() {
            // The way is found packet by packet.
            Standing::Running
        } else if tunnel.remote.is_none() {
            Standing::ReceiveOnly
        } else if let Err(standing) = end {
            if standing == Standing::OtherLink {
                info.underlay = NextHop::NoRoute;
            }
            standing
        } else if info.local.is_none() {
            Standing::NoLocal
        } else {
            Standing::Running
        };
        info
    }

    /// The largest outer packet of a tunnel with many peers: as the port takes it that has its local address, or
    /// to which it is bound; else the port that takes most, as each packet is held against its own way.
    fn usual_mtu(&self, tunnel: &config::Tunnel) -> u16 {
        let link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        let has_local = |(net, next_hop): (&IpNet, &NextHop)| match (next_hop, tunnel.local) {
            (NextHop::Connected(port), Some(local)) => net.contains(&local).then_some(*port),
            _ => None,
        };
        let port = link.or_else(|| self.port_nets.iter().find_map(has_local));
        let mtu = port.and_then(|port| self.ports.get(port.index())).map(|port| port.mtu);
        mtu.or_else(|| self.ports.iter().map(|port| port.mtu).max()).unwrap_or(1500)
    }

    /// Our address towards the remote, for a tunnel that names none.
    fn source(&self, store: &Store, next_hop: NextHop, tunnel: &config::Tunnel) -> Option<IpAddr> {
        let by_port = self.port_of(next_hop).and_then(|id| self.ports.get(id.index()));
        let addresses = match next_hop {
            NextHop::Tunnel(id) => store.tunnel(id).map(|tunnel| &tunnel.addresses),
            _ => None,
        };
        match tunnel.outer {
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

    /// The tunnel itself, as the packet path has it.
    pub(super) fn build_tunnel(
        &self,
        store: &Store,
        id: TunnelId,
        tunnel: &config::Tunnel,
        info: &TunnelInfo,
    ) -> Result<Tunnel, CompileError> {
        let mut setup = setup(tunnel, info, CounterSlot(id.0));
        setup.shim = shim(tunnel);
        setup.frames = self.frame_rules(tunnel);
        if let Some(frames) = &mut setup.frames {
            frames.remotes = self.remotes(id, tunnel, info).map(Box::new);
        }
        match &mut setup.shim.kind {
            Kind::Gre(gre) => gre.sequences = self.sequences.of(id).cloned(),
            Kind::Erspan(erspan) => erspan.sequences = self.sequences.of(id).cloned(),
            Kind::None | Kind::Minimal => {}
        }
        setup.is_mirrored = self.mirrors.has_tunnel(id);
        setup.peers = self.peers(store, id, tunnel).map(Box::new);
        setup.mpls = self.mpls(store, tunnel);
        setup.latency = self.latency.get(&id).copied();
        setup.inner_source = self.source_filter(store, id, tunnel);
        Tunnel::new(setup)
            .map_err(|reason| CompileError::Tunnel { name: Name::clone(&tunnel.name), reason })
    }

    /// What it has beyond others if it carries frames.
    fn frame_rules(&self, tunnel: &config::Tunnel) -> Option<FrameRules> {
        if tunnel.mode.is_erspan() {
            return Some(FrameRules::of_copies(self.attachment(tunnel)));
        }
        let rules = FrameRules::any(self.attachment(tunnel)?);
        let overlay = tunnel.overlay.as_deref();
        let takes_tags = overlay.is_none_or(|overlay| overlay.takes_tags);
        let tells_too_big = overlay.is_some_and(|overlay| overlay.tells_too_big);
        let rules = FrameRules { tells_too_big, ..rules };
        Some(match tunnel.mode {
            config::Mode::Vxlan => FrameRules {
                takes_tags,
                is_never_cut: true,
                own_station: Some(Counter::VxlanSelfMac),
                ..rules
            },
            config::Mode::Geneve => {
                FrameRules { own_station: Some(Counter::IfRxLoopEncapsulator), ..rules }
            }
            _ => rules,
        })
    }

    /// How a tunnel finds its peers, if it has many.
    fn peers(&self, store: &Store, id: TunnelId, tunnel: &config::Tunnel) -> Option<Peers> {
        let link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        let own = tunnel.routes.iter().map(|to| (*to, None));
        // The better one of two to the same prefix comes last, and counts.
        let mut through: Vec<(IpNet, u32)> = store.routes_through(id).collect();
        through.sort_unstable_by_key(|&(_, metric)| std::cmp::Reverse(metric));
        let named = through.into_iter().filter_map(|(to, metric)| {
            let route = store.route(to, metric)?;
            let peer = route.peers_of(&tunnel.name).next();
            Some((to, peer))
        });
        let of_ipv6 = |(to, hop): (IpNet, Option<Ipv6Addr>)| match to {
            IpNet::V6(to) => Some((to, hop)),
            IpNet::V4(_) => None,
        };
        let routes: BTreeMap<Ipv6Net, Option<Ipv6Addr>> =
            own.chain(named).filter_map(of_ipv6).collect();
        Some(Peers::new(tunnel.peer_kind()?, routes, link))
    }

    fn source_filter(&self, store: &Store, id: TunnelId, tunnel: &config::Tunnel) -> SourceFilter {
        match &tunnel.settings.inner_source {
            InnerSource::Off => SourceFilter::Off,
            InnerSource::Loose => SourceFilter::Loose,
            InnerSource::Strict => SourceFilter::Strict,
            InnerSource::Prefixes(prefixes) => {
                SourceFilter::Listed { sources: address_set(prefixes), routed_is_listed: false }
            }
            InnerSource::Feasible => {
                //= RFC 3704 §2.3: every feasible path counts, not only the best; but what is
                //= connected on a port can't be behind a tunnel.
                let addresses = tunnel.nets();
                let routes = store.routes_through(id).map(|(to, _)| to);
                let nets: Vec<IpNet> =
                    addresses.chain(tunnel.routes.iter().copied()).chain(routes).collect();
                let all = address_set(&nets);
                let sources = AddressSet {
                    ipv4: all.ipv4.without(&self.connected.ipv4),
                    ipv6: all.ipv6.without(&self.connected.ipv6),
                };
                let routed_is_listed = sources == all;
                SourceFilter::Listed { sources, routed_is_listed }
            }
        }
    }
}

/// Bytes that a tunnel puts in front of each packet; the header of the frame that this is in is among them.
fn overhead_of(tunnel: &config::Tunnel) -> u16 {
    let outer = match tunnel.outer {
        // Of a header, the source that it had.
        Family::Ipv4 if tunnel.mode == config::Mode::Minimal => minimal::SOURCE_LEN,
        Family::Ipv4 => ipv4::HEADER_LEN,
        Family::Ipv6 if tunnel.settings.encap_limit.is_some() => ipv6::HEADER_LEN + ENCAP_LIMIT_LEN,
        Family::Ipv6 => ipv6::HEADER_LEN,
    };
    let link = if tunnel.is_of_frames() { ethernet::HEADER_LEN } else { 0 };
    let push = tunnel.labels.as_deref().map_or(0, |labels| labels.push.len());
    u16::try_from(outer + shim(tunnel).len() + link + push).unwrap_or(u16::MAX)
}

/// The largest inner packet, given the largest outer one.
pub(super) fn tunnel_mtu(tunnel: &config::Tunnel, path_mtu: u16) -> u16 {
    let fits = path_mtu.saturating_sub(overhead_of(tunnel));
    let settings = &tunnel.settings;
    let follows_path = match tunnel.outer {
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

fn setup(tunnel: &config::Tunnel, info: &TunnelInfo, slot: CounterSlot) -> TunnelSetup {
    let settings = &tunnel.settings;
    let destinations = &settings.inner_destination;
    let is_unproved = info.standing == Standing::UnprovedLocal;
    TunnelSetup {
        outer: tunnel.outer,
        shim: Shim::default(),
        mpls: Mpls::default(),
        local: info.local,
        more_locals: if is_unproved { Box::default() } else { tunnel.more_locals.clone() },
        takes_any_local: tunnel.local.is_none() || is_unproved,
        remote: tunnel.remote,
        peers: None,
        protocols: protocols(tunnel),
        frames: None,
        is_mirrored: false,
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
        reassembly_seconds: reassembly_seconds(tunnel),
        mtu: settings.mtu.unwrap_or(info.mtu),
        mss: match (settings.clamp_tcp_mss, settings.mss_insert) {
            _ if tunnel.mode.is_erspan() => MssClamp::Off,
            (false, _) => MssClamp::Off,
            (true, false) => MssClamp::Lower,
            (true, true) => MssClamp::LowerOrInsert,
        },
        underlay: info.underlay,
        underlay_mtu: info.underlay_mtu,
        path: info.path,
        more_paths: info.more_paths.clone(),
        relay: relay(tunnel),
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

/// How long pieces of outer packets wait for the others; `None`: they don't.
pub(super) fn reassembly_seconds(tunnel: &config::Tunnel) -> Option<u8> {
    let settings = &tunnel.settings;
    let seconds = || u8::try_from(settings.reassembly_timeout.as_secs()).unwrap_or(SECONDS_MAX);
    settings.reassembly.then(seconds)
}

/// What becomes of errors about the tunnel's outer packets.
fn relay(tunnel: &config::Tunnel) -> RelayRules {
    let settings = &tunnel.settings;
    RelayRules {
        relayed: match settings.icmp_relay {
            config::IcmpRelay::All => Relayed::All,
            config::IcmpRelay::Pmtu => Relayed::TooBig,
            config::IcmpRelay::Off => Relayed::Nothing,
        },
        tells_prohibited: settings.relay_admin,
        pmtu_floor: settings.pmtu_floor,
        pmtu_expiry_s: u32::try_from(settings.pmtu_expiry.as_secs()).unwrap_or(u32::MAX),
        nets: tunnel.addresses.iter().filter_map(ipv4_net).collect(),
    }
}

/// The outer protocols of what a tunnel carries.
pub(super) fn protocols(tunnel: &config::Tunnel) -> Protocols {
    let mut protocols = Protocols::NONE;
    if tunnel.carries_bare(Family::Ipv4) {
        protocols = protocols.with(Protocols::IPV4);
    }
    if tunnel.carries_bare(Family::Ipv6) {
        protocols = protocols.with(Protocols::IPV6);
    }
    if tunnel.is_of_frames() {
        protocols = protocols.with(Protocols::ETHERNET);
    }
    if tunnel.carries_mpls() {
        protocols = protocols.with(Protocols::MPLS);
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

/// The nets that are connected on ports.
pub(super) fn connected_nets(config: &Config) -> AddressSet {
    address_set(config.ports.iter().flat_map(|port| &port.addresses))
}

/// Whether an address needs no route because it is on every link.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => Ipv6Addr::is_unicast_link_local(&address),
    }
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
    if let (Mode::Isatap, Some(IpAddr::V4(local))) = (tunnel.mode, tunnel.local) {
        //= RFC 5214 §6.2: the link-local address has the same identifier as all others.
        return own.or(Some((0xfe80_u128 << 112 | u128::from(identifier(local))).into()));
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
