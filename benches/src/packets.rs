//! Who talks to whom in the benchmarks of the packet path, and the frames that they send.

use core::net::{Ipv4Addr, Ipv6Addr};

use adit_dataplane::interface::PortId;
use adit_dataplane::wire::checksum::checksum;
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::ipv4::Ipv4Fields;
use adit_dataplane::wire::ipv6::Ipv6Fields;
use adit_dataplane::wire::udp::set_checksum;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::treadmill::{FRAME_MAX, Frame};

/// Bytes of a frame before encapsulation, without FCS: the least that holds IPv6 and UDP.
const FRAME_LEN: usize = 62;

/// The port that tunnels and the default gateway are behind.
pub const UNDERLAY: PortId = PortId(0);
/// The port that the host is behind.
pub const LAN: PortId = PortId(1);

/// The MAC addresses of [`UNDERLAY`] and [`LAN`].
pub const PORT_MACS: [MacAddress; 2] =
    [MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2])];
/// The gateway's MAC address.
pub const ROUTER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xfe]);
/// The MAC address of a station behind tunnels of frames.
pub const STATION_MAC: MacAddress = MacAddress([2, 0, 0, 0, 1, 1]);
/// The host's MAC address.
pub const HOST_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 5]);

/// Our own end of all tunnels.
pub const LOCAL4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The same for IPv6.
pub const LOCAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1);
/// The host on the LAN.
pub const HOST4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);
/// Its IPv6 address.
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 5);

/// The families of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// Of what it carries.
    pub inner_is_ipv4: bool,
    /// Of what carries it.
    pub outer_is_ipv4: bool,
}

impl Families {
    /// All four, as one says them: inner in outer.
    pub const ALL: [(&str, Self); 4] = [
        ("v4 in v4", Self { inner_is_ipv4: true, outer_is_ipv4: true }),
        ("v6 in v4", Self { inner_is_ipv4: false, outer_is_ipv4: true }),
        ("v4 in v6", Self { inner_is_ipv4: true, outer_is_ipv4: false }),
        ("v6 in v6", Self { inner_is_ipv4: false, outer_is_ipv4: false }),
    ];
}

/// What is between the headers of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// A GRE header without options.
    Gre,
    /// The same with a key.
    KeyedGre,
    /// The same with a checksum.
    SummedGre,
    /// The same with a number.
    NumberedGre,
    /// UDP, which says by its port what follows.
    Fou,
    /// The same without a checksum.
    BareFou,
    /// UDP, and a GUE header that says what follows.
    Gue,
    /// UDP, and what follows says what it is: GUE of variant 1.
    GueDirect,
    /// UDP, which says by its port that a GRE header follows.
    FouGre,
    /// A minimal forwarding header, in front of which is the packet's own.
    Minimal,
    /// An MPLS label.
    Mpls,
    /// The same behind a GRE header.
    MplsGre,
    /// The same from one port to another, without a tunnel: one label becomes another.
    Swap,
    /// A GRE header without options, and an Ethernet header.
    Gretap,
    /// UDP, a VXLAN header and an Ethernet header.
    Vxlan,
    /// The same to and from several remotes, behind each of which is a station.
    VxlanRemotes,
    /// The same, all frames to all of a few remotes.
    VxlanFlood,
    /// UDP, a GENEVE header and an Ethernet header.
    Geneve,
    /// The same without an Ethernet header.
    GenevePackets,
    /// A GRE header with a number, an ERSPAN header of type II and a mirrored frame.
    Erspan,
    /// The same of type I: a GRE header and a mirrored frame.
    ErspanOne,
    /// The same of type III.
    ErspanThree,
    /// Nothing, and the far end is in the address inside: one tunnel of many peers.
    SixRd,
    /// The same, where the address is in its second half.
    Isatap,
    /// Every fourth tunnel has GRE, FOU or nothing; the others have GENEVE packets where they go in, as the frames of a
    /// port go into one tunnel, and VXLAN where they come out.
    Mixed,
}

impl Between {
    /// The key of [`Self::KeyedGre`].
    pub const KEY: u32 = 7;
    /// The network that frames in UDP are of.
    pub const NETWORK: u8 = 42;

    /// As one says it, with a blank behind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Gre => "gre ",
            Self::KeyedGre => "gre key ",
            Self::SummedGre => "gre sum ",
            Self::NumberedGre => "gre seq ",
            Self::Fou => "fou ",
            Self::BareFou => "fou no sum ",
            Self::Gue => "gue ",
            Self::GueDirect => "gue direct ",
            Self::FouGre => "fou gre ",
            Self::Minimal => "minimal ",
            Self::Mpls => "mpls ",
            Self::MplsGre => "mpls gre ",
            Self::Swap => "mpls swap ",
            Self::Gretap => "gretap ",
            Self::Vxlan => "vxlan ",
            Self::VxlanRemotes => "vxlan remotes ",
            Self::VxlanFlood => "vxlan flood ",
            Self::Geneve => "geneve ",
            Self::GenevePackets => "geneve ip ",
            Self::Erspan => "erspan ",
            Self::ErspanOne => "erspan 1 ",
            Self::ErspanThree => "erspan 3 ",
            Self::SixRd => "6rd ",
            Self::Isatap => "isatap ",
            Self::Mixed => "mixed kinds ",
        }
    }

    /// Whether what it carries are frames.
    pub const fn is_of_frames(self) -> bool {
        self.is_of_copies()
            || self.remote_count().is_some()
            || matches!(self, Self::Gretap | Self::Vxlan | Self::Geneve)
    }

    /// Whether those are mirrored.
    pub const fn is_of_copies(self) -> bool {
        matches!(self, Self::Erspan | Self::ErspanOne | Self::ErspanThree)
    }

    /// Whether it is one tunnel of many peers.
    pub const fn has_peers(self) -> bool {
        matches!(self, Self::SixRd | Self::Isatap)
    }

    /// How many remotes the one tunnel has, where it has several.
    pub const fn remote_count(self) -> Option<u32> {
        match self {
            Self::VxlanRemotes => Some(64),
            Self::VxlanFlood => Some(4),
            _ => None,
        }
    }

    /// The port of what is in UDP.
    pub const fn udp_port(self) -> u16 {
        match self {
            Self::Vxlan | Self::VxlanRemotes | Self::VxlanFlood => 4789,
            Self::Geneve | Self::GenevePackets => 6081,
            // Not that of GUE, whose last bits are those of the port that packets here are for: it would be looked up.
            _ => 5555,
        }
    }

    /// What a tunnel has between, where they are of several kinds.
    pub(crate) fn of(self, number: u32, is_encap: bool) -> Self {
        if self != Self::Mixed {
            return self;
        }
        let last = if is_encap { Self::GenevePackets } else { Self::Vxlan };
        [Self::Gre, Self::Fou, Self::Nothing, last][number as usize % 4]
    }

    /// What a peer puts in front of a packet of an IP protocol, and the IP protocol of that.
    fn wrap(self, protocol: u8, packet: Vec<u8>) -> (u8, Vec<u8>) {
        let kind = if protocol == 4 { [8, 0] } else { [0x86, 0xdd] };
        let [high, low] = self.udp_port().to_be_bytes();
        let udp = [0xc0, 1, high, low, 0, 0, 0, 0];
        let network = [0, 0, Self::NETWORK, 0];
        let packet = if self.is_of_frames() {
            [&HOST_MAC.0[..], &STATION_MAC.0, &kind, &packet].concat()
        } else {
            packet
        };
        let (outer, header) = match self {
            // The header of minimal encapsulation is what is inside.
            Self::Nothing | Self::SixRd | Self::Isatap | Self::Minimal | Self::Mixed => {
                return (protocol, packet);
            }
            Self::Gre => (47, vec![0, 0, kind[0], kind[1]]),
            Self::KeyedGre => (47, vec![0x20, 0, kind[0], kind[1], 0, 0, 0, 7]),
            Self::SummedGre => (47, vec![0x80, 0, kind[0], kind[1], 0, 0, 0, 0]),
            Self::NumberedGre => (47, vec![0x10, 0, kind[0], kind[1], 0, 0, 0, 9]),
            Self::Fou | Self::BareFou | Self::GueDirect => (17, udp.to_vec()),
            Self::Mpls | Self::Swap => (137, LABEL.to_vec()),
            Self::MplsGre => (47, [[0, 0, 0x88, 0x47], LABEL].concat()),
            Self::Gue => (17, [&udp[..], &[0, protocol, 0, 0]].concat()),
            Self::FouGre => (17, [&udp[..], &[0, 0, kind[0], kind[1]]].concat()),
            Self::Gretap => (47, vec![0, 0, 0x65, 0x58]),
            Self::Erspan => {
                (47, vec![0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, Self::NETWORK, 0, 0, 0, 7])
            }
            Self::ErspanOne => (47, vec![0, 0, 0x88, 0xbe]),
            Self::ErspanThree => {
                let header = [0x20, 0, 0, Self::NETWORK, 0, 0, 0, 7, 0, 0, 0x80, 0];
                (47, [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &header].concat())
            }
            Self::Vxlan | Self::VxlanRemotes | Self::VxlanFlood => {
                (17, [&udp[..], &[8, 0, 0, 0], &network].concat())
            }
            Self::Geneve => (17, [&udp[..], &[0, 0, 0x65, 0x58], &network].concat()),
            Self::GenevePackets => (17, [&udp[..], &[0, 0, kind[0], kind[1]], &network].concat()),
        };
        let mut payload = [header, packet].concat();
        if self == Self::SummedGre {
            let sum = checksum(&payload);
            payload[4..6].copy_from_slice(&sum.to_be_bytes());
        }
        if outer == 17 {
            let len = u16::try_from(payload.len()).expect("a short frame");
            payload[4..6].copy_from_slice(&len.to_be_bytes());
        }
        (outer, payload)
    }
}

/// Label 100, the last one, TTL 64.
const LABEL: [u8; 4] = [0x00, 0x06, 0x41, 64];

/// The station behind remote `number` of those that one tunnel has.
pub fn station(number: u32) -> MacAddress {
    let [_, _, high, low] = number.to_be_bytes();
    MacAddress([2, 0, 0, 1, high, low])
}

/// An address behind tunnel `number`, and its net.
pub fn behind4(number: u32) -> (Ipv4Addr, Ipv4Net) {
    let address = Ipv4Addr::from(0x0b00_0008 + (number << 8));
    (address, Ipv4Net::new_assert(address, 24).trunc())
}

/// An IPv6 address behind tunnel `number`, and its net.
pub fn behind6(number: u32) -> (Ipv6Addr, Ipv6Net) {
    let net = (0x2001_0db8_0002 << 80) + (u128::from(number) << 64);
    let address = Ipv6Addr::from(net | 8);
    (address, Ipv6Net::new_assert(address, 64).trunc())
}

/// The prefix of a 6rd domain of relays in [`SIX_RD_RELAYS`], of whose addresses the last 16 bits follow it.
pub const SIX_RD_PREFIX: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0x3fff, 0xdb8, 0, 0, 0, 0, 0, 0), 40);
/// See [`SIX_RD_PREFIX`]; [`remote4`] is in it.
pub const SIX_RD_RELAYS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 0, 0), 16);

/// An IPv6 address that says that it is behind [`remote4`] of `number`.
pub fn behind_six_rd(number: u32) -> Ipv6Addr {
    let prefix = u128::from(SIX_RD_PREFIX.addr());
    Ipv6Addr::from(prefix | u128::from(u32::from(remote4(number)) & 0xffff) << 72 | 8)
}

/// The prefix of an ISATAP link.
pub const ISATAP_PREFIX: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0x3fff, 0xdb8, 0x5efe, 0, 0, 0, 0, 0), 64);

/// An IPv6 address of that link that is at [`remote4`] of `number`.
pub fn behind_isatap(number: u32) -> Ipv6Addr {
    let prefix = u128::from(ISATAP_PREFIX.addr());
    Ipv6Addr::from(prefix | 0x5efe << 32 | u128::from(u32::from(remote4(number))))
}

/// The far end of tunnel `number`.
pub fn remote4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0xcb00_0000 + number * 7)
}

/// The far end of tunnel `number` over IPv6.
pub fn remote6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from((0x2001_0db8_0200 << 80) + u128::from(number) * 7 + 2)
}

/// From the host to `destination`: zeros in what says that it is UDP.
pub fn plain4(destination: Ipv4Addr) -> Vec<u8> {
    packet4(HOST4, destination, 17, &[0; FRAME_LEN - 14 - 20])
}

/// The same for IPv6.
pub fn plain6(destination: Ipv6Addr) -> Vec<u8> {
    packet6(HOST6, destination, 17, &[0; FRAME_LEN - 14 - 40])
}

/// From the host to behind tunnel `number`.
pub fn inward(families: Families, between: Between, number: u32) -> Vec<u8> {
    match between {
        Between::SixRd => plain6(behind_six_rd(number)),
        Between::Isatap => plain6(behind_isatap(number)),
        Between::Swap => [&LABEL[..], &plain4(behind4(number).0)].concat(),
        _ if families.inner_is_ipv4 => plain4(behind4(number).0),
        _ => plain6(behind6(number).0),
    }
}

/// From behind tunnel `number` to the host, as the tunnel carries it.
pub fn outward(families: Families, between: Between, number: u32) -> Vec<u8> {
    if between == Between::Minimal {
        return minimal(number);
    }
    let (protocol, inside) = if families.inner_is_ipv4 {
        // A frame in a packet of IPv6 has no room for more.
        let is_short = between.is_of_frames() && !families.outer_is_ipv4;
        let zeros = [0; FRAME_LEN - 14 - 20];
        let data = if is_short { &zeros[..20] } else { &zeros };
        (4, packet4(behind4(number).0, HOST4, 17, data))
    } else {
        let source = match between {
            Between::SixRd => behind_six_rd(number),
            Between::Isatap => behind_isatap(number),
            _ => behind6(number).0,
        };
        (41, packet6(source, HOST6, 17, &[0; FRAME_LEN - 14 - 40]))
    };
    let (protocol, mut inside) = between.wrap(protocol, inside);
    if between.remote_count().is_some() {
        // Behind UDP, VXLAN, and the station that the frame is for.
        inside[8 + 8 + 6..][..6].copy_from_slice(&station(number).0);
    }
    let (mut packet, at) = if families.outer_is_ipv4 {
        (packet4(remote4(number), LOCAL4, protocol, &inside), 20)
    } else {
        (packet6(remote6(number), LOCAL6, protocol, &inside), 40)
    };
    let is_bare_vxlan = families.outer_is_ipv4 && between.udp_port() == 4789;
    let is_bare = is_bare_vxlan || between == Between::BareFou;
    if protocol == 17 && !is_bare {
        set_checksum(&mut packet, at);
    }
    packet
}

/// The same in minimal encapsulation: UDP, the source is there, the checksum, both addresses.
fn minimal(number: u32) -> Vec<u8> {
    let mut header = [&[17, 0x80, 0, 0], &HOST4.octets()[..], &behind4(number).0.octets()].concat();
    let sum = checksum(&header);
    header[2..4].copy_from_slice(&sum.to_be_bytes());
    let payload = [&header[..], &[0; FRAME_LEN - 14 - 20]].concat();
    packet4(remote4(number), LOCAL4, 55, &payload)
}

/// As it arrives on `port`.
pub fn frame(port: PortId, packet: &[u8]) -> Frame {
    let kind: [u8; 2] = match packet[0] >> 4 {
        4 => [8, 0],
        6 => [0x86, 0xdd],
        _ => [0x88, 0x47],
    };
    let from = if port == LAN { HOST_MAC } else { ROUTER_MAC };
    let bytes = [&PORT_MACS[port.index()].0[..], &from.0, &kind, packet].concat();
    let mut frame = [0; FRAME_MAX];
    frame[..bytes.len()].copy_from_slice(&bytes);
    (frame, bytes.len())
}

/// With DF and TTL 64.
pub(crate) fn packet4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let fields = Ipv4Fields {
        tos: 0,
        payload_len: u16::try_from(payload.len()).unwrap_or(0),
        identification: 0,
        fragment: 0x4000,
        ttl: 64,
        protocol,
        source,
        destination,
    };
    [&fields.header()[..], payload].concat()
}

/// With hop limit 64.
pub(crate) fn packet6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    let fields = Ipv6Fields {
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(payload.len()).unwrap_or(0),
        next_header,
        hop_limit: 64,
        source,
        destination,
    };
    [&fields.header()[..], payload].concat()
}
