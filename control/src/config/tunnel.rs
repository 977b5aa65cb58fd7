//! A tunnel once its configuration is known to be right, every setting resolved: what the file says for it,
//! else what `defaults.tunnels` says, else what its profile says.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::sync::Arc;

use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::tunnel::peers::{self, six_rd::SixRdSetup};
pub use adit_dataplane::wire::Family;
use adit_dataplane::wire::ethernet::MacAddress;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::labels::{self, TunnelLabels};
use super::model::{Name, NextHop, Route, RouteAction, Via};
pub use super::profiles::{InnerSource, Settings};
use super::words::{Mirrored, Mode, Payload, SixRdRole, UdpEncap};

/// An entry of `tunnels`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its key.
    pub name: Name,
    /// The encapsulation.
    pub mode: Mode,
    /// The family of the outer header.
    pub outer: Family,
    /// What it carries. For modes that leave no choice, what the mode says.
    pub payload: Payload,
    /// The outer source, one of our addresses; `None`: the address the outer route picks.
    pub local: Option<IpAddr>,
    /// More of them: with `local` they are a pool, and the inner flow chooses among them.
    pub more_locals: Box<[IpAddr]>,
    /// The peer; `None` only with `unsafe_any_peer`, and where there are several or many.
    pub remote: Option<IpAddr>,
    /// The peers of a tunnel of frames that has several.
    pub remotes: Option<Box<Remotes>>,
    /// What tells it from others between the same ends; few tunnels need it.
    pub keys: Option<Box<Keys>>,
    /// Its packets go in UDP.
    pub encap: Option<Box<Encap>>,
    /// It goes in VXLAN or GENEVE.
    pub overlay: Option<Box<Overlay>>,
    /// It carries Ethernet frames.
    pub frames: Option<Box<Frames>>,
    /// The domain of a 6rd tunnel.
    pub six_rd: Option<Box<SixRd>>,
    /// The routers of an ISATAP link.
    pub potential_routers: Box<[Ipv4Addr]>,
    /// The only port it is decapsulated from and encapsulated through.
    pub link: Option<Name>,
    /// What it does with MPLS labels; few tunnels have any.
    pub labels: Option<Box<TunnelLabels>>,
    /// The tunnel's own addresses, with the prefix length of their net.
    pub addresses: Box<[IpNet]>,
    /// Shorthand routes, which `Config::routes` has as well.
    pub routes: Box<[IpNet]>,
    /// Administratively up.
    pub enabled: bool,
    /// A latency histogram of its own.
    pub latency: bool,
    /// Free text.
    pub comment: Box<str>,
    /// Everything that has a default in a profile; the same ones are shared.
    pub settings: Arc<Settings>,
}

/// The keys of a GRE tunnel (RFC 2890).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Keys {
    /// Of packets that arrive; `None`: they must have none.
    pub input: Option<u32>,
    /// Of packets that are sent.
    pub output: Option<u32>,
}

/// How packets go in UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Encap {
    /// What follows the UDP header.
    pub kind: UdpEncap,
    /// The port that we listen at.
    pub port: u16,
    /// The peer's port.
    pub dport: u16,
    /// The port that we send from; `None`: one for each inner flow.
    pub sport: Option<u16>,
    /// What is sent has a checksum.
    pub checksum: bool,
    /// GUE: 0 has a header, 1 has none.
    pub variant: u8,
}

/// How packets go in VXLAN or GENEVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
pub struct Overlay {
    /// The network identifier, 24 bits.
    pub id: u32,
    /// The UDP port, ours and the peer's.
    pub port: u16,
    /// What is sent has a checksum.
    pub checksum: bool,
    /// Who sends a packet that is too large, in a frame to one station, is told.
    pub tells_too_big: bool,
    /// VXLAN: what arrives may have nothing in reserved bits.
    pub is_strict: bool,
    /// VXLAN: frames may have VLAN tags.
    pub takes_tags: bool,
}

/// What a tunnel of Ethernet frames has beyond others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frames {
    /// The port whose frames go into it, and where those go that come out. Only a mirror session may have none; of
    /// its port, no frames go in.
    pub attach: Option<Name>,
    /// How a mirror session sends its frames; `None`: it is none.
    pub erspan: Option<Version>,
    /// Which frames and packets a mirror session sends copies of.
    pub mirror: Option<Mirror>,
}

/// What is mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mirror {
    /// What these ports receive and send.
    pub ports: Box<[Name]>,
    /// What comes out of these tunnels and goes into them.
    pub tunnels: Box<[Name]>,
    /// Which of the two.
    pub direction: Mirrored,
}

impl Mirror {
    /// All names in it, of ports and of tunnels.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.ports.iter().chain(&self.tunnels)
    }
}

/// The peers of a tunnel that has several, and which stations are behind which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Remotes {
    /// Their addresses.
    pub all: Box<[IpAddr]>,
    /// Stations, and the peer that each is behind, in the order of their addresses.
    pub fixed: Box<[(MacAddress, IpAddr)]>,
    /// Others are found by the frames that come from there.
    pub learns: bool,
}

/// A 6rd domain (RFC 5969), and this node in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SixRd {
    /// What the IPv6 addresses of the domain begin with.
    pub prefix: Ipv6Net,
    /// What the IPv4 addresses of its routers begin with.
    pub relay_prefix: Ipv4Net,
    /// Whom packets to outside of the domain go to, and may come from.
    pub border_relays: Box<[Ipv4Addr]>,
    /// Which of its routers this node is.
    pub role: SixRdRole,
}

impl Mode {
    /// The family of the outer header; `None`: that of the peer's address.
    pub const fn outer(self) -> Option<Family> {
        match self {
            Self::Ipip
            | Self::Minimal
            | Self::Sit
            | Self::Gre
            | Self::Gretap
            | Self::Erspan
            | Self::Mplsip
            | Self::SixRd
            | Self::Isatap => Some(Family::Ipv4),
            Self::Ip6ip6
            | Self::Ipip6
            | Self::Any
            | Self::Ip6gre
            | Self::Ip6gretap
            | Self::Ip6erspan
            | Self::Mplsip6 => Some(Family::Ipv6),
            Self::Vxlan | Self::Geneve => None,
        }
    }

    /// Whether the peers of such tunnels are in the IPv6 addresses of packets.
    pub const fn has_many_peers(self) -> bool {
        matches!(self, Self::SixRd | Self::Isatap)
    }

    /// Whether it has a GRE header.
    pub const fn is_gre(self) -> bool {
        matches!(self, Self::Gre | Self::Ip6gre | Self::Gretap | Self::Ip6gretap)
    }

    /// Whether it is a mirror session's.
    pub const fn is_erspan(self) -> bool {
        matches!(self, Self::Erspan | Self::Ip6erspan)
    }

    /// Whether it goes in VXLAN or GENEVE, which have UDP and an identifier.
    pub const fn is_overlay(self) -> bool {
        matches!(self, Self::Vxlan | Self::Geneve)
    }

    /// Whether it carries MPLS, or does if `payload` says so.
    pub const fn may_carry_mpls(self) -> bool {
        let beside_ip = matches!(self, Self::Sit | Self::Any | Self::Gre | Self::Ip6gre);
        beside_ip || self.is_mpls()
    }

    /// Whether it carries MPLS and nothing else.
    pub const fn is_mpls(self) -> bool {
        matches!(self, Self::Mplsip | Self::Mplsip6)
    }
}

/// Outer sources that one tunnel can have.
pub const LOCALS_MAX: usize = 64;

impl Tunnel {
    /// Its outer sources; none where the outer route picks one.
    pub fn locals(&self) -> impl Iterator<Item = IpAddr> {
        self.local.into_iter().chain(self.more_locals.iter().copied())
    }

    /// Its peers, as far as it names them.
    pub fn peers(&self) -> impl Iterator<Item = IpAddr> {
        let several = self.remotes.iter().flat_map(|remotes| remotes.all.iter().copied());
        self.remote.into_iter().chain(several)
    }

    /// The addresses it is found by when a packet arrives, `(remote, local)`: each of its peers, or anybody; each of its
    /// sources, or any of ours.
    pub fn ends(&self) -> impl Iterator<Item = (Option<IpAddr>, Option<IpAddr>)> {
        let anybody = self.peers().next().is_none().then_some(None);
        let remotes = anybody.into_iter().chain(self.peers().map(Some));
        let any = self.local.is_none().then_some(None);
        remotes.flat_map(move |remote| {
            any.into_iter().chain(self.locals().map(Some)).map(move |local| (remote, local))
        })
    }

    /// Whether the way to its peers is found packet by packet.
    pub fn has_many_peers(&self) -> bool {
        self.mode.has_many_peers() || self.remotes.is_some()
    }

    /// Whether it carries Ethernet frames.
    pub fn is_of_frames(&self) -> bool {
        self.payload == Payload::Ethernet
    }

    /// The UDP port that it listens at.
    pub fn udp_port(&self) -> Option<u16> {
        let of_overlay = self.overlay.as_deref().map(|overlay| overlay.port);
        of_overlay.or(self.encap.as_deref().map(|encap| encap.port))
    }

    /// The port that it is attached to, if it carries frames.
    pub fn attached_to(&self) -> Option<&Name> {
        self.frames.as_deref()?.attach.as_ref()
    }

    /// How it sends its frames, if it is a mirror session's.
    pub fn erspan(&self) -> Option<Version> {
        self.frames.as_deref()?.erspan
    }

    /// What it sends copies of.
    pub fn mirror(&self) -> Option<&Mirror> {
        self.frames.as_deref()?.mirror.as_ref()
    }

    /// Nets that are reached through it without a route: those of its addresses, and its 6rd domain.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> {
        let domain = self.six_rd.as_deref().map(|domain| IpNet::V6(domain.prefix));
        let own = self.addresses.iter().map(IpNet::trunc);
        own.chain(domain.filter(|domain| !self.addresses.iter().any(|net| net.trunc() == *domain)))
    }

    /// How it finds its peers, where it has many; none of the routes through it is in that.
    pub fn peer_kind(&self) -> Option<peers::Kind> {
        match self.mode {
            Mode::SixRd => {
                Some(peers::Kind::SixRd(peers::six_rd::SixRd::new(&self.six_rd_setup()?)))
            }
            Mode::Isatap => {
                let on_link = self.addresses.iter().filter_map(|net| match net {
                    IpNet::V6(net) => Some(net.trunc()),
                    IpNet::V4(_) => None,
                });
                let link = peers::isatap::Isatap::new(on_link, &self.potential_routers);
                Some(peers::Kind::Isatap(link))
            }
            _ => None,
        }
    }

    /// What is delegated to this node as a router of a 6rd domain: nothing else in it is routed there.
    pub fn delegated(&self) -> Option<IpNet> {
        let Some(IpAddr::V4(local)) = self.local else { return None };
        Some(IpNet::V6(self.six_rd_setup()?.delegated(local)?))
    }

    /// The domain as the packet path has it.
    pub fn six_rd_setup(&self) -> Option<SixRdSetup> {
        let (Some(domain), Some(IpAddr::V4(local))) = (&self.six_rd, self.local) else {
            return None;
        };
        Some(SixRdSetup {
            prefix: domain.prefix,
            relay_prefix: domain.relay_prefix,
            border_relays: domain.border_relays.clone(),
            is_relay: domain.role == SixRdRole::Br,
            local,
        })
    }

    /// Its shorthand routes.
    pub fn shorthand_routes(&self) -> impl Iterator<Item = Route> {
        self.routes.iter().map(|to| Route {
            to: *to,
            metric: 0,
            action: RouteAction::NextHops(vec![NextHop {
                weight: NonZeroU16::MIN,
                via: Via::Tunnel(Name::clone(&self.name)),
            }]),
            is_shorthand: true,
        })
    }

    /// Whether IP packets of this family may enter, behind labels if not by themselves.
    pub fn carries(&self, inner: Family) -> bool {
        let pushes = self.labels.as_deref().is_some_and(|labels| !labels.push.is_none());
        self.carries_bare(inner) || pushes
    }

    /// Whether IP packets of this family enter and leave without labels.
    pub const fn carries_bare(&self, inner: Family) -> bool {
        match inner {
            Family::Ipv4 => matches!(self.payload, Payload::Ipip | Payload::Any | Payload::Ip),
            Family::Ipv6 => matches!(self.payload, Payload::Ip6ip | Payload::Any | Payload::Ip),
        }
    }

    /// The tunnels that its labels lead into.
    pub fn label_hops(&self) -> impl Iterator<Item = &Name> {
        labels::hops(self.labels.as_deref().into_iter().flat_map(|labels| &labels.arriving))
    }

    /// Whether packets with labels may enter and leave.
    pub const fn carries_mpls(&self) -> bool {
        matches!(self.payload, Payload::Mplsip | Payload::Any)
    }
}
