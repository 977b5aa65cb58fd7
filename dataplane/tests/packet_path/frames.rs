//! Packets and frames as hosts, peers and attackers send them, by etherparse or byte by byte.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpEcn, IpNumber, Ipv4Header,
    Ipv6FlowLabel, Ipv6Header, PacketBuilder, TcpHeader, UdpHeader,
};

pub(crate) type Mac = [u8; 6];

/// What a test says about an IP header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ttl: u8,
    pub(crate) tos: u8,
    pub(crate) dont_fragment: bool,
    pub(crate) identification: u16,
    pub(crate) flow_label: u32,
}

/// From `source` to `destination`, TTL 64, TOS 0, DF set.
pub(crate) fn ip(source: &str, destination: &str) -> Ip {
    Ip {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ttl: 64,
        tos: 0,
        dont_fragment: true,
        identification: 0x4242,
        flow_label: 0,
    }
}

impl Ip {
    pub(crate) fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    pub(crate) fn tos(self, tos: u8) -> Self {
        Self { tos, ..self }
    }

    pub(crate) fn may_be_cut(self) -> Self {
        Self { dont_fragment: false, ..self }
    }

    /// An IP packet with any payload.
    pub(crate) fn carrying(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = self.header(protocol, payload.len());
        packet.extend(payload);
        packet
    }

    /// The header alone, for a payload of `payload_len` bytes.
    pub(crate) fn header(self, protocol: u8, payload_len: usize) -> Vec<u8> {
        let dscp = IpDscp::try_new(self.tos >> 2).unwrap();
        let ecn = IpEcn::try_new(self.tos & 3).unwrap();
        let payload_len = u16::try_from(payload_len).unwrap();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let mut header = Ipv4Header::new(
                    payload_len,
                    self.ttl,
                    IpNumber(protocol),
                    source.octets(),
                    destination.octets(),
                )
                .unwrap();
                header.dscp = dscp;
                header.ecn = ecn;
                header.dont_fragment = self.dont_fragment;
                header.identification = self.identification;
                header.header_checksum = header.calc_header_checksum();
                header.to_bytes().to_vec()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => Ipv6Header {
                traffic_class: self.tos,
                flow_label: Ipv6FlowLabel::try_new(self.flow_label).unwrap(),
                payload_length: payload_len,
                next_header: IpNumber(protocol),
                hop_limit: self.ttl,
                source: source.octets(),
                destination: destination.octets(),
            }
            .to_bytes()
            .to_vec(),
            _ => panic!("two families in one header"),
        }
    }

    /// A UDP packet of `total_len` bytes, its payload counting up from 0.
    pub(crate) fn udp(self, total_len: usize) -> Vec<u8> {
        let header_len = if self.source.is_ipv4() { 20 } else { 40 };
        let data: Vec<u8> =
            (0..=255).cycle().take(total_len.checked_sub(header_len + 8).unwrap()).collect();
        let (from, to) = (40_000, 7000);
        let udp = match (self.source, self.destination) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                UdpHeader::with_ipv4_checksum(from, to, &ipv4_pseudo_header(a, b), &data)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                UdpHeader::with_ipv6_checksum(from, to, &ipv6_pseudo_header(a, b), &data)
            }
            _ => panic!("two families in one header"),
        };
        let mut payload = udp.unwrap().to_bytes().to_vec();
        payload.extend(data);
        self.carrying(17, &payload)
    }

    /// A TCP segment with these flags and options, and a right checksum.
    pub(crate) fn tcp(self, flags: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
        let mut tcp = TcpHeader::new(40_000, 443, 0x1234_5678, 65_000);
        tcp.set_options_raw(options).unwrap();
        [tcp.fin, tcp.syn, tcp.rst, tcp.psh, tcp.ack] =
            [1, 2, 4, 8, 16].map(|bit| flags & bit != 0);
        tcp.checksum = match (self.source, self.destination) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                tcp.calc_checksum_ipv4_raw(a.octets(), b.octets(), data)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                tcp.calc_checksum_ipv6_raw(a.octets(), b.octets(), data)
            }
            _ => panic!("two families in one header"),
        }
        .unwrap();
        self.carrying(6, &[&tcp.to_bytes(), data].concat())
    }

    /// This header around another packet, as a tunnel's far end would put it.
    pub(crate) fn around(self, inner: &[u8]) -> Vec<u8> {
        let protocol = if inner.first().is_some_and(|first| first >> 4 == 4) { 4 } else { 41 };
        self.carrying(protocol, inner)
    }

    /// An ICMP error, of either family, about `quoted`. `mtu` stands where those too big have it.
    pub(crate) fn icmp_error(self, kind: u8, code: u8, mtu: u16, quoted: &[u8]) -> Vec<u8> {
        let bytes5to8 = u32::from(mtu).to_be_bytes();
        let (next, header) = match (self.source, self.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => {
                let kind = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
                (1, Icmpv4Header::with_checksum(kind, quoted).to_bytes().to_vec())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let kind = Icmpv6Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
                let (source, destination) = (source.octets(), destination.octets());
                let header = Icmpv6Header::with_checksum(kind, source, destination, quoted);
                (58, header.unwrap().to_bytes().to_vec())
            }
            _ => panic!("two families in one header"),
        };
        self.carrying(next, &[header.as_slice(), quoted].concat())
    }

    /// An echo request.
    pub(crate) fn echo(self, data: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.octets(), destination.octets(), self.ttl)
                    .icmpv4_echo_request(7, 1)
                    .write(&mut packet, data)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                PacketBuilder::ipv6(source.octets(), destination.octets(), self.ttl)
                    .icmpv6_echo_request(7, 1)
                    .write(&mut packet, data)
            }
            _ => panic!("two families in one header"),
        }
        .unwrap();
        packet
    }
}

fn ipv4_pseudo_header(source: Ipv4Addr, destination: Ipv4Addr) -> Ipv4Header {
    Ipv4Header::new(0, 64, IpNumber(17), source.octets(), destination.octets()).unwrap()
}

fn ipv6_pseudo_header(source: Ipv6Addr, destination: Ipv6Addr) -> Ipv6Header {
    Ipv6Header {
        source: source.octets(),
        destination: destination.octets(),
        ..Ipv6Header::default()
    }
}

/// An Ethernet frame around an IP packet.
pub(crate) fn frame(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let kind: u16 =
        if packet.first().is_some_and(|first| first >> 4 == 4) { 0x0800 } else { 0x86dd };
    frame_of(kind, to, from, packet)
}

/// An Ethernet frame of any type.
pub(crate) fn frame_of(kind: u16, to: Mac, from: Mac, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()[..], payload].concat()
}

/// Computes the checksum of an IPv4 header anew, after a test has changed it.
pub(crate) fn mend_ipv4(packet: &mut [u8]) {
    let header_len = (usize::from(packet[0] & 15) * 4).min(packet.len());
    if header_len < 12 {
        return;
    }
    packet[10..12].fill(0);
    let sum = Sum16BitWords::new().add_slice(&packet[..header_len]).ones_complement();
    packet[10..12].copy_from_slice(&sum.to_ne_bytes());
}

/// The packet as the next hop sees it: TTL or hop limit one less.
pub(crate) fn one_hop_on(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        packet[8] -= 1;
        mend_ipv4(&mut packet);
    } else {
        packet[7] -= 1;
    }
    packet
}

/// Puts options into an IPv4 packet, whole words of them.
pub(crate) fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut changed = [&packet[..20], options, &packet[20..]].concat();
    changed[0] = 0x45 + u8::try_from(options.len() / 4).unwrap();
    let len = u16::try_from(changed.len()).unwrap();
    changed[2..4].copy_from_slice(&len.to_be_bytes());
    mend_ipv4(&mut changed);
    changed
}

/// Makes an IPv4 packet the piece of another one: offset in units of 8 bytes.
pub(crate) fn as_piece(packet: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let mut changed = packet.to_vec();
    let field = offset | if more { 0x2000 } else { 0 };
    changed[6..8].copy_from_slice(&field.to_be_bytes());
    mend_ipv4(&mut changed);
    changed
}

/// An IP packet in fragments, cut at these places of its payload, multiples of 8 each; IPv6 behind its
/// header, with fragment headers of `identification`.
pub(crate) fn in_pieces(packet: &[u8], cuts: &[usize], identification: u32) -> Vec<Vec<u8>> {
    let is_ipv4 = packet[0] >> 4 == 4;
    let front = if is_ipv4 { usize::from(packet[0] & 15) * 4 } else { 40 };
    let payload = &packet[front..];
    let ends = cuts.iter().copied().chain([payload.len()]);
    let starts = core::iter::once(0).chain(cuts.iter().copied());
    let piece = |(start, end): (usize, usize)| {
        let (part, more) = (&payload[start..end], end < payload.len());
        if is_ipv4 {
            let mut piece = [&packet[..front], part].concat();
            let len = u16::try_from(piece.len()).unwrap();
            piece[2..4].copy_from_slice(&len.to_be_bytes());
            return as_piece(&piece, u16::try_from(start / 8).unwrap(), more);
        }
        let mut fragment = vec![packet[6], 0];
        fragment.extend((u16::try_from(start).unwrap() | u16::from(more)).to_be_bytes());
        fragment.extend(identification.to_be_bytes());
        let mut piece = [&packet[..front], &fragment, part].concat();
        let len = u16::try_from(piece.len() - 40).unwrap();
        piece[4..6].copy_from_slice(&len.to_be_bytes());
        piece[6] = 44;
        piece
    };
    starts.zip(ends).map(piece).collect()
}

/// What minimal encapsulation between two ends makes of an IPv4 packet (RFC 2004, figure 3).
pub(crate) fn folded(packet: &[u8], local: &str, remote: &str) -> Vec<u8> {
    let [local, remote] = [local, remote].map(|end| end.parse::<Ipv4Addr>().unwrap().octets());
    let header_len = usize::from(packet[0] & 15) * 4;
    let has_source = packet[12..16] != local;
    let mut header = vec![packet[9], if has_source { 0x80 } else { 0 }, 0, 0];
    header.extend(&packet[16..20]);
    if has_source {
        header.extend(&packet[12..16]);
    }
    let words = header.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = words.fold(0, |sum, word| (sum + word) % 0xffff);
    header[2..4].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    let mut whole = [&packet[..header_len], &header, &packet[header_len..]].concat();
    let len = u16::try_from(whole.len()).unwrap();
    whole[2..4].copy_from_slice(&len.to_be_bytes());
    whole[9] = 55;
    whole[12..16].copy_from_slice(&local);
    whole[16..20].copy_from_slice(&remote);
    mend_ipv4(&mut whole);
    whole
}

/// Puts an extension header behind the header of an IPv6 packet. `header` is the whole extension
/// header with any byte in first place, which becomes what followed before.
pub(crate) fn with_extension(packet: &[u8], kind: u8, header: &[u8]) -> Vec<u8> {
    let mut changed = [&packet[..40], header, &packet[40..]].concat();
    changed[40] = packet[6];
    changed[6] = kind;
    let len = u16::try_from(changed.len() - 40).unwrap();
    changed[4..6].copy_from_slice(&len.to_be_bytes());
    changed
}
