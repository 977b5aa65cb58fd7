//! Headers between the outer one and the packet inside, at random: what tunnels say of them, and what peers and others
//! send.

use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::source_port::{PortRange, SourcePort};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::wire::udp::set_checksum;
use proptest::prelude::*;

use super::frames::Ip;
use super::label_stack::entry;

/// What tunnels in UDP have behind it, and the port for it.
pub(crate) type Service = (u16, UdpHeader);

/// All there are.
const SERVICES: [Service; 6] = [
    (5555, UdpHeader::Fou { carries: 4 }),
    (5556, UdpHeader::Fou { carries: 41 }),
    (5557, UdpHeader::Fou { carries: 47 }),
    (5558, UdpHeader::Fou { carries: 137 }),
    (6080, UdpHeader::Gue),
    (6080, UdpHeader::GueDirect),
];

/// Keys that tunnels and frames have.
fn key() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![2 => Just(None), 2 => Just(Some(7)), 1 => Just(Some(0))]
}

/// A GRE header's rules: mostly plain ones.
fn gre() -> impl Strategy<Value = Gre> {
    let rarely = || prop::bool::weighted(0.1);
    (key(), key(), (rarely(), rarely(), rarely(), rarely())).prop_map(
        |(output_key, input_key, (has_checksum, requires_checksum, has_sequence, requires))| Gre {
            output_key,
            input_key,
            has_checksum,
            requires_checksum,
            has_sequence,
            requires_sequence: requires,
            ..Gre::default()
        },
    )
}

/// What the tunnels of one appliance have behind UDP, and their peers mostly, too.
pub(crate) fn service() -> impl Strategy<Value = Service> {
    prop::sample::select(SERVICES.to_vec())
}

/// A port by the flow, of each of the ranges that there are, or one that is given.
pub(crate) fn source_port() -> impl Strategy<Value = SourcePort> {
    let ranges = [PortRange::DYNAMIC, PortRange::LINUX, PortRange::ALL];
    prop_oneof![
        7 => prop::sample::select(ranges.to_vec()).prop_map(SourcePort::ByFlow),
        3 => prop_oneof![Just(4000_u16), Just(0)].prop_map(SourcePort::Fixed),
    ]
}

/// Rules about UDP.
fn udp((port, header): Service) -> impl Strategy<Value = Udp> {
    (source_port(), any::<bool>(), any::<bool>()).prop_map(
        move |(sends_from, has_checksum, needs_no_checksum)| Udp {
            listens_at: port,
            sends_to: port,
            sends_from,
            has_checksum,
            needs_no_checksum,
            header,
        },
    )
}

/// What a tunnel has between the headers: GRE, UDP, or one in the other.
pub(crate) fn shim(service: Service) -> impl Strategy<Value = Shim> {
    (prop::option::weighted(0.85, udp(service)), gre(), any::<bool>()).prop_map(
        |(udp, gre, has_gre)| {
            let must_have = |udp: &Udp| match udp.header {
                UdpHeader::Fou { carries } => Some(carries == 47),
                UdpHeader::GueDirect | UdpHeader::Vxlan(_) | UdpHeader::Geneve { .. } => {
                    Some(false)
                }
                UdpHeader::Gue => None,
            };
            let has_gre = udp.as_ref().map_or(Some(true), must_have).unwrap_or(has_gre);
            Shim { udp, kind: if has_gre { Kind::Gre(gre) } else { Kind::None } }
        },
    )
}

/// What a peer puts between the headers.
#[derive(Clone, Debug)]
pub(crate) struct Between {
    gre: Option<(Option<u32>, u8)>,
    udp: Option<(u16, UdpHeader)>,
    /// What is added to the length of UDP.
    longer: i8,
    sum: Sum,
    /// A bit of a GUE header is changed.
    bit: Option<usize>,
    /// Bytes behind the packet inside.
    behind: usize,
    /// What is inside is said to be MPLS; whether there is a label.
    mpls: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Sum {
    Right,
    Absent,
    Wrong,
}

/// Mostly what is right.
pub(crate) fn between(service: Service) -> impl Strategy<Value = Between> {
    // Of the bits, most are none.
    let gre = (key(), prop_oneof![9 => Just(8_u8), 1 => 0_u8..8]);
    let sum = prop_oneof![5 => Just(Sum::Right), 3 => Just(Sum::Absent), 1 => Just(Sum::Wrong)];
    let longer = prop_oneof![8 => Just(0_i8), 1 => -9_i8..9];
    let other = prop::sample::select(SERVICES.to_vec());
    // With the same last bits.
    let alike = Just((service.0 ^ 64, service.1));
    let udp = prop_oneof![9 => Just(service), 1 => other, 1 => alike];
    let udp = prop::option::weighted(0.85, udp);
    let bit = prop::option::weighted(0.1, 0_usize..32);
    let is_gre = service.1 == UdpHeader::Fou { carries: 47 };
    let behind = prop_oneof![8 => Just(0_usize), 1 => 1_usize..9];
    let mpls = prop::option::weighted(0.2, any::<bool>());
    let has_gre = prop::bool::weighted(if is_gre { 0.9 } else { 0.1 });
    (gre, has_gre, udp, longer, sum, bit, behind, mpls).prop_map(
        |(gre, has_gre, udp, longer, sum, bit, behind, mpls)| {
            let gre = (has_gre || (udp.is_none() && mpls.is_none())).then_some(gre);
            Between { gre, udp, longer, sum, bit, behind, mpls }
        },
    )
}

/// What tunnels have for GRE in UDP, all alike: a service, and the key of both ends.
pub(crate) fn gre_in_udp() -> impl Strategy<Value = (Service, Option<u32>)> {
    (prop::sample::select(vec![SERVICES[2], SERVICES[4]]), prop::option::of(Just(7)))
}

/// A tunnel of those, and what its peer puts between the headers: mostly what is right.
pub(crate) fn with_gre_in_udp(
    (service, key): (Service, Option<u32>),
) -> (impl Strategy<Value = Shim>, impl Strategy<Value = Between>) {
    let gre = Gre { output_key: key, input_key: key, ..Gre::default() };
    let shim =
        udp(service).prop_map(move |udp| Shim { udp: Some(udp), kind: Kind::Gre(gre.clone()) });
    let bit = prop_oneof![9 => Just(8_u8), 1 => 0_u8..8];
    let between = (between(service), bit).prop_map(move |(between, bit)| Between {
        gre: Some((key, bit)),
        udp: Some(service),
        mpls: None,
        ..between
    });
    (shim, between)
}

impl Between {
    /// A packet inside `outer`, with the headers between them.
    pub(crate) fn put_around(&self, inner: &[u8], outer: Ip) -> Vec<u8> {
        let (kind, protocol) = match (self.mpls, inner[0] >> 4) {
            (Some(_), _) => ([0x88, 0x47], 137),
            (None, 4) => ([8, 0], 4),
            (None, _) => ([0x86, 0xdd], 41),
        };
        let labels = if self.mpls == Some(true) { &entry(100, 0, true, 64)[..] } else { &[] };
        let inside = [labels, inner].concat();
        let (carried, mut bytes) = match self.gre {
            Some((key, bit)) => (47, behind_gre(key, bit, kind, &inside)),
            None => (protocol, inside),
        };
        bytes.resize(bytes.len() + self.behind, 0x55);
        let Some((port, header)) = self.udp else { return outer.carrying(carried, &bytes) };
        let mut gue = if header == UdpHeader::Gue { vec![0, carried, 0, 0] } else { Vec::new() };
        if let (Some(bit), false) = (self.bit, gue.is_empty()) {
            gue[bit / 8] ^= 0x80 >> (bit % 8);
        }
        let len = u16::try_from(8 + gue.len() + bytes.len()).unwrap();
        let mut udp = vec![0xc0, 7];
        udp.extend(port.to_be_bytes());
        udp.extend(len.wrapping_add_signed(self.longer.into()).to_be_bytes());
        udp.extend([0, 0]);
        let mut packet = outer.carrying(17, &[udp, gue, bytes].concat());
        let at = packet.len() - usize::from(len);
        if !matches!(self.sum, Sum::Absent) {
            // Of the datagram as long as it says, if there is so much.
            let said = usize::from(len.wrapping_add_signed(self.longer.into()));
            let end = (at + said).min(packet.len());
            set_checksum(&mut packet[..end], at);
        }
        if matches!(self.sum, Sum::Wrong) {
            packet[at + 6] ^= 4;
        }
        packet
    }
}

/// A GRE header in front of a packet: the key, and another bit, as bytes say it.
fn behind_gre(key: Option<u32>, bit: u8, kind: [u8; 2], inner: &[u8]) -> Vec<u8> {
    let bits = if key.is_some() { 0x20 } else { 0 } | if bit < 8 { 0x80 >> bit } else { 0 };
    let mut bytes = vec![bits, 0, kind[0], kind[1]];
    bytes.extend(key.map(u32::to_be_bytes).into_iter().flatten());
    bytes.extend(inner);
    bytes
}
