//! What events are made of: a header as it reads, what is wrong with one, a next hop by address.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::interface::{PortId, TunnelId};
use crate::reassembly::FragmentHeader;
use crate::tables::{GroupId, NextHop, Tables};
use crate::tunnel::policy::SourceFilter;
use crate::wire::checksum::checksum;
use crate::wire::gre::Gre;
use crate::wire::ipv4::{self, Ipv4, Ipv4Error};
use crate::wire::ipv6::{self, Ipv6, Ipv6Error};
use crate::wire::{protocol, read_u16};

/// What a checked IP header says, and the first fields behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From.
    pub source: IpAddr,
    /// To.
    pub destination: IpAddr,
    /// What it carries, behind all extension headers.
    pub protocol: u8,
    /// Bytes of the packet, as the header says.
    pub length: usize,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// IPv4: routers may not fragment it.
    pub dont_fragment: Option<bool>,
    /// Of a fragment: where its bytes begin in the whole payload, and whether others follow.
    pub fragment: Option<(usize, bool)>,
    /// TCP and UDP: the ports, source first. ICMP: type and code.
    pub upper: Option<(u16, u16)>,
    /// GRE: its header, where it can be read.
    pub gre: Option<Gre>,
}

impl Header {
    /// Reads the packet that begins with a checked header, or one that this node has made.
    pub fn of(packet: &[u8]) -> Self {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Self::of_ipv4(Ipv4::trusted(packet)),
            _ => Self::of_ipv6(Ipv6::trusted(packet)),
        }
    }

    fn of_ipv4(header: Ipv4<'_>) -> Self {
        let offset = usize::from(header.fragment_field() & ipv4::OFFSET_MASK) * 8;
        let has_more = header.fragment_field() & ipv4::MORE_FRAGMENTS != 0;
        let upper = header.bytes().get(header.header_len()..).filter(|_| offset == 0);
        Self {
            source: Ipv4Addr::from(header.source()).into(),
            destination: Ipv4Addr::from(header.destination()).into(),
            protocol: header.protocol(),
            length: header.total_len().into(),
            ttl: header.ttl(),
            tos: header.tos(),
            dont_fragment: Some(header.dont_fragment()),
            fragment: header.is_fragment().then_some((offset, has_more)),
            upper: upper.and_then(|upper| first_fields(header.protocol(), upper)),
            gre: upper.and_then(|upper| read_gre(header.protocol(), upper)),
        }
    }

    fn of_ipv6(header: Ipv6<'_>) -> Self {
        let upper = header.upper_layer();
        let piece = FragmentHeader::find(header.bytes()).filter(|found| found.is_piece);
        let field = piece.map(|piece| read_u16(header.bytes(), piece.at + 2));
        let fragment = field.map(|field| (usize::from(field & 0xfff8), field & 1 != 0));
        let begins = fragment.is_none_or(|(offset, _)| offset == 0);
        let bytes = header.bytes().get(upper.offset..).filter(|_| begins);
        Self {
            source: Ipv6Addr::from(header.source()).into(),
            destination: Ipv6Addr::from(header.destination()).into(),
            protocol: upper.protocol,
            length: header.total_len(),
            ttl: header.hop_limit(),
            tos: header.traffic_class(),
            dont_fragment: None,
            fragment,
            upper: bytes.and_then(|bytes| first_fields(upper.protocol, bytes)),
            gre: bytes.and_then(|bytes| read_gre(upper.protocol, bytes)),
        }
    }
}

fn first_fields(protocol: u8, upper: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = upper.first_chunk::<4>()?;
    match protocol {
        protocol::TCP | protocol::UDP => {
            Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
        }
        protocol::ICMP | protocol::ICMPV6 => Some((a.into(), b.into())),
        _ => None,
    }
}

fn read_gre(protocol: u8, upper: &[u8]) -> Option<Gre> {
    if protocol == protocol::GRE { Gre::parse(upper).ok() } else { None }
}

/// What is wrong with a header, and the values that show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There are fewer bytes than a header has.
    Short {
        /// So many.
        there: usize,
    },
    /// The version is another.
    Version {
        /// This.
        found: u8,
    },
    /// The lengths contradict each other.
    Lengths {
        /// Bytes of the header.
        header: usize,
        /// Bytes of the packet.
        total: usize,
    },
    /// The packet is longer than what is there.
    Truncated {
        /// Bytes of the packet, as it says.
        says: usize,
        /// Bytes that are there.
        there: usize,
    },
    /// The header checksum.
    Checksum {
        /// As it stands in the header.
        found: u16,
        /// As it would be right.
        right: u16,
    },
}

impl Fault {
    /// Of an IPv4 packet that was refused for `error`.
    pub fn of_ipv4(error: Ipv4Error, packet: &[u8]) -> Self {
        let header = Ipv4::trusted(packet);
        match error {
            Ipv4Error::Short => Self::Short { there: packet.len() },
            Ipv4Error::Version => Self::Version { found: packet.first().map_or(0, |b| b >> 4) },
            Ipv4Error::Length => {
                Self::Lengths { header: header.header_len(), total: header.total_len().into() }
            }
            Ipv4Error::Truncated => {
                Self::Truncated { says: header.total_len().into(), there: packet.len() }
            }
            Ipv4Error::Checksum => {
                let mut bytes = packet.get(..header.header_len()).unwrap_or(packet).to_vec();
                let field = ipv4::offset::CHECKSUM;
                let found = read_u16(&bytes, field);
                if let Some(place) = bytes.get_mut(field..field + 2) {
                    place.fill(0);
                }
                Self::Checksum { found, right: checksum(&bytes) }
            }
        }
    }

    /// The same for IPv6.
    pub fn of_ipv6(error: Ipv6Error, packet: &[u8]) -> Self {
        match error {
            Ipv6Error::Short => Self::Short { there: packet.len() },
            Ipv6Error::Version => Self::Version { found: packet.first().map_or(0, |b| b >> 4) },
            Ipv6Error::Truncated => {
                let payload = usize::from(read_u16(packet, ipv6::offset::PAYLOAD_LENGTH));
                Self::Truncated { says: ipv6::HEADER_LEN + payload, there: packet.len() }
            }
        }
    }
}

/// Where a route leads, by address: numbers of hosts may be given to others meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop {
    /// There is no route.
    NoRoute,
    /// To this node.
    Local,
    /// To an address of this node that it may not use.
    Unproved,
    /// To all hosts of a connected net.
    Broadcast,
    /// To a host on this port's link, which is the destination itself.
    OnLink(PortId),
    /// To a gateway.
    Via {
        /// The port that it is on.
        port: PortId,
        /// Its address.
        address: IpAddr,
    },
    /// Into a tunnel.
    Tunnel(TunnelId),
    /// To one of several, by flow.
    Group(GroupId),
    /// Into silence.
    Blackhole,
    /// Nowhere, and the sender is told so.
    Unreachable,
    /// Nowhere, and the sender is told that it is forbidden.
    Prohibit,
}

impl Hop {
    /// Looks the address of a next hop up.
    pub fn of(next_hop: NextHop, tables: &Tables) -> Self {
        match next_hop {
            NextHop::NoRoute => Self::NoRoute,
            NextHop::Local => Self::Local,
            NextHop::Unproved => Self::Unproved,
            NextHop::Broadcast => Self::Broadcast,
            NextHop::Connected(port) => Self::OnLink(port),
            NextHop::Via(id) => match tables.neighbors.adjacency(id) {
                Some(host) => Self::Via { port: host.port, address: host.address },
                None => Self::NoRoute,
            },
            NextHop::Tunnel(tunnel) => Self::Tunnel(tunnel),
            NextHop::Group(group) => Self::Group(group),
            NextHop::Blackhole => Self::Blackhole,
            NextHop::Unreachable => Self::Unreachable,
            NextHop::Prohibit => Self::Prohibit,
        }
    }
}

/// Why a packet would go round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopRule {
    /// Into a tunnel: its source is the tunnel's remote, which would get it back.
    FromRemote,
    /// Its addresses are the tunnel's own ends.
    SamePair,
    /// It says itself that it may enter no further tunnel.
    EncapLimit,
    /// Its source names a tunnel router with an IPv4 address of this node.
    OwnInSource,
    /// The way to the remote leads into the tunnel itself.
    SameTunnel,
    /// Out of a tunnel: it is for whoever has put it inside.
    ToEncapsulator,
    /// Its destination names a tunnel router with an IPv4 address of this node.
    OwnInDestination,
    /// Its route leads into the tunnel that it came out of.
    Hairpin,
}

/// Which filter an inner source was held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// None.
    Off,
    /// Some route must lead to it.
    Loose,
    /// The best route to it must lead into the tunnel.
    Strict,
    /// It must be in the tunnel's list: prefixes, or what could be routed into it.
    Listed,
}

impl From<&SourceFilter> for Filter {
    fn from(filter: &SourceFilter) -> Self {
        match filter {
            SourceFilter::Off => Self::Off,
            SourceFilter::Loose => Self::Loose,
            SourceFilter::Strict => Self::Strict,
            SourceFilter::Listed { .. } => Self::Listed,
        }
    }
}
