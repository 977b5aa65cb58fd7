//! Builds the packets of the suite with `etherparse`: inner packets, the headers a tunnel puts in front
//! of them, and the Ethernet frames of the two links of the bench.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header,
    TcpHeader, UdpHeader,
};

use crate::addresses::{G_MAC, H_MAC, L_MAC, Mac, P, P6, U, U_MAC, U6};

pub(crate) const IPIP: u8 = 4;
pub(crate) const IPV6: u8 = 41;
pub(crate) const UDP: u8 = 17;
/// For packets that are bytes after an IP header and nothing else (RFC 3692 experimentation).
pub(crate) const OPAQUE: u8 = 253;

/// An IPv4 packet whose lengths and checksum are right by construction.
#[derive(Clone, Debug)]
pub(crate) struct Ipv4Packet {
    pub(crate) header: Ipv4Header,
    pub(crate) payload: Vec<u8>,
}

impl Ipv4Packet {
    /// TTL 64, TOS 0, DF set, identification 0.
    pub(crate) fn new(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        let header = Ipv4Header {
            time_to_live: 64,
            dont_fragment: true,
            protocol: IpNumber(protocol),
            source: source.octets(),
            destination: destination.octets(),
            ..Ipv4Header::default()
        };
        Self { header, payload: payload.into() }
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.header.time_to_live = ttl;
        self
    }

    /// The whole TOS byte: DSCP and ECN.
    pub(crate) fn tos(mut self, tos: u8) -> Self {
        self.header.dscp = (tos >> 2).try_into().unwrap();
        self.header.ecn = (tos & 3).try_into().unwrap();
        self
    }

    pub(crate) fn id(mut self, id: u16) -> Self {
        self.header.identification = id;
        self
    }

    pub(crate) fn dont_fragment(mut self, set: bool) -> Self {
        self.header.dont_fragment = set;
        self
    }

    /// `offset` in units of eight bytes.
    pub(crate) fn fragment(mut self, offset: u16, more: bool) -> Self {
        self.header.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        self.header.more_fragments = more;
        self
    }

    /// Options, a multiple of four bytes.
    pub(crate) fn options(mut self, options: &[u8]) -> Self {
        self.header.options = options.try_into().unwrap();
        self
    }

    pub(crate) fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        header.set_payload_len(self.payload.len()).unwrap();
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().as_slice(), &self.payload].concat()
    }
}

/// An IPv6 packet whose payload length is right by construction; extension headers are spelled out at the
/// front of the payload.
#[derive(Clone, Debug)]
pub(crate) struct Ipv6Packet {
    pub(crate) header: Ipv6Header,
    pub(crate) payload: Vec<u8>,
}

impl Ipv6Packet {
    /// Hop limit 64, traffic class 0, flow label 0.
    pub(crate) fn new(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        next_header: u8,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        let header = Ipv6Header {
            next_header: IpNumber(next_header),
            hop_limit: 64,
            source: source.octets(),
            destination: destination.octets(),
            ..Ipv6Header::default()
        };
        Self { header, payload: payload.into() }
    }

    pub(crate) fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.header.hop_limit = hop_limit;
        self
    }

    pub(crate) fn traffic_class(mut self, traffic_class: u8) -> Self {
        self.header.traffic_class = traffic_class;
        self
    }

    pub(crate) fn flow_label(mut self, label: u32) -> Self {
        self.header.flow_label = Ipv6FlowLabel::try_new(label).unwrap();
        self
    }

    /// Puts `extension`, whose first byte names what followed so far, in front of the payload.
    pub(crate) fn extension(mut self, kind: u8, mut extension: Vec<u8>) -> Self {
        extension[0] = self.header.next_header.0;
        extension.append(&mut self.payload);
        self.header.next_header = IpNumber(kind);
        self.payload = extension;
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        header.set_payload_length(self.payload.len()).unwrap();
        [header.to_bytes().as_slice(), &self.payload].concat()
    }
}

impl From<Ipv4Packet> for Vec<u8> {
    fn from(packet: Ipv4Packet) -> Self {
        packet.bytes()
    }
}

impl From<Ipv6Packet> for Vec<u8> {
    fn from(packet: Ipv6Packet) -> Self {
        packet.bytes()
    }
}

/// Bytes that differ from place to place, so that a shifted copy is noticed.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + at / 256) % 251).unwrap()).collect()
}

/// A UDP packet of `total` bytes of IPv4, of one flow.
pub(crate) fn udp4(source: Ipv4Addr, destination: Ipv4Addr, total: usize) -> Ipv4Packet {
    udp4_flow(source, destination, (40_000, 40_001), total)
}

pub(crate) fn udp4_flow(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ports: (u16, u16),
    total: usize,
) -> Ipv4Packet {
    let packet = Ipv4Packet::new(source, destination, UDP, []).id(0x1234);
    let data = pattern(total - 28);
    let udp = UdpHeader::with_ipv4_checksum(ports.0, ports.1, &packet.header, &data).unwrap();
    packet.payload([udp.to_bytes().as_slice(), &data].concat())
}

/// A UDP packet of `total` bytes of IPv6, header included.
pub(crate) fn udp6(source: Ipv6Addr, destination: Ipv6Addr, total: usize) -> Ipv6Packet {
    let mut packet = Ipv6Packet::new(source, destination, UDP, []);
    let data = pattern(total - 48);
    let udp = UdpHeader::with_ipv6_checksum(40_000, 40_001, &packet.header, &data).unwrap();
    packet.payload = [udp.to_bytes().as_slice(), &data].concat();
    packet
}

/// A TCP SYN without options, `total` bytes of IPv4.
pub(crate) fn tcp4(source: Ipv4Addr, destination: Ipv4Addr, total: usize) -> Ipv4Packet {
    let packet = Ipv4Packet::new(source, destination, 6, []).id(0x4321);
    let data = pattern(total - 40);
    let mut tcp = TcpHeader::new(40_000, 40_001, 0x1000_2000, 65_535);
    tcp.ack = true;
    tcp.checksum = tcp.calc_checksum_ipv4(&packet.header, &data).unwrap();
    packet.payload([tcp.to_bytes().as_slice(), &data].concat())
}

/// `inner` as our tunnel over IPv4 sends it to the peer: the `native` profile.
pub(crate) fn encap4(protocol: u8, inner: impl Into<Vec<u8>>) -> Ipv4Packet {
    Ipv4Packet::new(U, P, protocol, inner)
}

/// `inner` as the peer of a tunnel over IPv4 sends it to us.
pub(crate) fn peer4(protocol: u8, inner: impl Into<Vec<u8>>) -> Ipv4Packet {
    Ipv4Packet::new(P, U, protocol, inner).id(0x7777)
}

/// `inner` as our tunnel over IPv6 sends it to the peer, but for the flow label.
pub(crate) fn encap6(next_header: u8, inner: impl Into<Vec<u8>>) -> Ipv6Packet {
    Ipv6Packet::new(U6, P6, next_header, inner)
}

/// `inner` as the peer of a tunnel over IPv6 sends it to us.
pub(crate) fn peer6(next_header: u8, inner: impl Into<Vec<u8>>) -> Ipv6Packet {
    Ipv6Packet::new(P6, U6, next_header, inner).flow_label(0xabcde)
}

/// An Ethernet frame around an IP packet; its type follows from the first nibble.
pub(crate) fn ethernet(destination: Mac, source: Mac, packet: impl Into<Vec<u8>>) -> Vec<u8> {
    let packet = packet.into();
    let kind = if packet[0] >> 4 == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
    ethernet_of(destination, source, kind.0, packet)
}

/// An Ethernet frame of any type.
pub(crate) fn ethernet_of(
    destination: Mac,
    source: Mac,
    kind: u16,
    payload: impl Into<Vec<u8>>,
) -> Vec<u8> {
    let header = Ethernet2Header { destination, source, ether_type: EtherType(kind) };
    [header.to_bytes().as_slice(), &payload.into()].concat()
}

/// A frame that the host H sends to us.
pub(crate) fn from_host(packet: impl Into<Vec<u8>>) -> Vec<u8> {
    ethernet(L_MAC, H_MAC, packet)
}

/// A frame that we send to the host H.
pub(crate) fn to_host(packet: impl Into<Vec<u8>>) -> Vec<u8> {
    ethernet(H_MAC, L_MAC, packet)
}

/// A frame that the gateway G sends to us.
pub(crate) fn from_gateway(packet: impl Into<Vec<u8>>) -> Vec<u8> {
    ethernet(U_MAC, G_MAC, packet)
}

/// A frame that we send to the gateway G.
pub(crate) fn to_gateway(packet: impl Into<Vec<u8>>) -> Vec<u8> {
    ethernet(G_MAC, U_MAC, packet)
}

/// The Internet checksum of RFC 1071 over `parts` one after the other, each of even length but the last.
pub(crate) fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// Writes the right checksum into the IPv4 header at `at`.
pub(crate) fn seal_ipv4(bytes: &mut [u8], at: usize) {
    let len = usize::from(bytes[at] & 15) * 4;
    bytes[at + 10..at + 12].fill(0);
    let sum = internet_checksum(&[&bytes[at..at + len.max(20)]]);
    bytes[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
}

/// A UDP header and a payload for an IP packet from one address to another, sealed (RFC 768).
pub(crate) fn datagram(
    (source, destination): (IpAddr, IpAddr),
    ports: (u16, u16),
    payload: &[u8],
) -> Vec<u8> {
    let header = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let raw = UdpHeader::without_ipv4_checksum(ports.0, ports.1, payload.len()).unwrap();
            let sum = raw.calc_checksum_ipv4_raw(source, destination, payload).unwrap();
            UdpHeader { checksum: sum, ..raw }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (source.octets(), destination.octets());
            let raw = UdpHeader::without_ipv4_checksum(ports.0, ports.1, payload.len()).unwrap();
            let sum = raw.calc_checksum_ipv6_raw(source, destination, payload).unwrap();
            UdpHeader { checksum: sum, ..raw }
        }
        _ => panic!("addresses of two families"),
    };
    [&header.to_bytes()[..], payload].concat()
}

/// Writes the right checksum into the UDP header at `at` of a frame, whose IP header is in front of it,
/// unless it has none.
pub(crate) fn seal_udp(frame: &mut [u8], at: usize) {
    if frame[at + 6..at + 8] == [0, 0] {
        return;
    }
    frame[at + 6..at + 8].fill(0);
    let addresses = if frame[14] >> 4 == 4 { 26..34 } else { 22..54 };
    let len = u32::try_from(frame.len() - at).unwrap().to_be_bytes();
    let sum = internet_checksum(&[&frame[addresses], &len, &[0, UDP], &frame[at..]]);
    let sum = if sum == 0 { u16::MAX } else { sum };
    frame[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
}

/// Bytes with another one in its place, and no checksum made right.
pub(crate) fn changed(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    bytes[at] = value;
    bytes
}

/// `packet` with one byte of its IPv4 header changed and the checksum made right again.
pub(crate) fn poked(packet: impl Into<Vec<u8>>, at: usize, value: u8) -> Vec<u8> {
    let mut bytes = packet.into();
    bytes[at] = value;
    seal_ipv4(&mut bytes, 0);
    bytes
}
