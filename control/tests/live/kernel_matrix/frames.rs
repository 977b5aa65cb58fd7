//! Captured frames as headers inside headers, read by etherparse: which echo request each one carries, in how many
//! pieces, and what its outer and its inner header say, and what stands between them.

use std::collections::HashMap;
use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice};

use super::{FOU_PORTS, GENEVE_PORT, GUE_PORTS};

const ETHERNET_LEN: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

const ICMP: u8 = 1;
const IPV4: u8 = 4;
const UDP: u8 = 17;
const IPV6: u8 = 41;
const FRAGMENT: u8 = 44;
const GRE: u8 = 47;
const ICMP6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;

/// One IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// TOS or traffic class.
    pub(crate) tos: u8,
    pub(crate) ttl: u8,
    /// The whole packet in bytes, this header included.
    pub(crate) len: usize,
    /// Of IPv4; IPv6 has no such bit and says no.
    pub(crate) dont_fragment: bool,
    /// Where it is one of several pieces: which of them.
    pub(crate) piece: Option<Piece>,
}

impl Layer {
    /// What all pieces of one packet have in common.
    fn packet(&self) -> Option<(IpAddr, IpAddr, u32)> {
        self.piece.map(|piece| (self.source, self.destination, piece.id))
    }
}

/// Which piece of which packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    id: u32,
    is_first: bool,
}

/// An echo request or reply, by the identifier that its sender chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) id: u16,
    pub(crate) is_request: bool,
}

/// The headers of one frame, the outermost first.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) layers: Vec<Layer>,
    /// What is between the first two IP headers: destination options, UDP, GUE, GRE, GENEVE.
    pub(crate) shim: Vec<u8>,
    /// Whose it is; of a later piece, what the first one says.
    pub(crate) echo: Option<Echo>,
    /// Where a datagram goes that is no tunnel's.
    pub(crate) datagram_to: Option<u16>,
    /// All that was captured of it.
    pub(crate) bytes: Vec<u8>,
}

/// Reads frames in their order on the wire, in which first pieces precede the others of their packet.
pub(crate) fn read(frames: &[Vec<u8>]) -> Vec<Frame> {
    let mut owners = HashMap::new();
    let mut list: Vec<Frame> = frames.iter().filter_map(|bytes| headers(bytes)).collect();
    for frame in &mut list {
        let packets = || frame.layers.iter().filter_map(Layer::packet);
        let echo = frame.echo.or_else(|| packets().rev().find_map(|it| owners.get(&it).copied()));
        if let Some(echo) = echo {
            owners.extend(packets().map(|packet| (packet, echo)));
        }
        frame.echo = echo;
    }
    list
}

/// The headers of a frame; `None`: neither IPv4 nor IPv6.
fn headers(bytes: &[u8]) -> Option<Frame> {
    let ethertype = bytes.get(ETHERNET_LEN - 2..ETHERNET_LEN)?;
    let mut rest = bytes.get(ETHERNET_LEN..)?;
    let mut protocol = protocol_of(ethertype)?;
    let mut frame = Frame {
        layers: Vec::new(),
        shim: Vec::new(),
        echo: None,
        datagram_to: None,
        bytes: bytes.to_vec(),
    };
    loop {
        let before = rest;
        match protocol {
            IPV4 | IPV6 => {
                let layer;
                (layer, protocol, rest) = if protocol == IPV4 { ipv4(rest)? } else { ipv6(rest)? };
                frame.layers.push(layer);
            }
            FRAGMENT => {
                let piece;
                (piece, protocol, rest) = fragment(rest)?;
                frame.layers.last_mut()?.piece = piece;
            }
            DESTINATION_OPTIONS => {
                protocol = *rest.first()?;
                rest = rest.get(8 + 8 * usize::from(*rest.get(1)?)..)?;
                frame.shim.extend(&before[..before.len() - rest.len()]);
            }
            UDP | GRE => {
                let Some((carried, inside)) = shim(protocol, rest) else { break };
                (protocol, rest) = (carried, inside);
                frame.shim.extend(&before[..before.len() - rest.len()]);
            }
            _ => break,
        }
        // Behind the header of a later piece is the middle of something.
        if frame.layers.last()?.piece.is_some_and(|piece| !piece.is_first) {
            return Some(frame);
        }
    }
    frame.echo = echo(protocol, rest);
    frame.datagram_to = (protocol == UDP).then(|| word(rest, 2)).flatten();
    Some(frame)
}

fn protocol_of(ethertype: &[u8]) -> Option<u8> {
    match ethertype.try_into().ok()? {
        ETHERTYPE_IPV4 => Some(IPV4),
        ETHERTYPE_IPV6 => Some(IPV6),
        _ => None,
    }
}

/// What a GRE header (RFC 2890), or a UDP header to a port of tunnels, carries; `None`: no tunnel's.
fn shim(protocol: u8, bytes: &[u8]) -> Option<(u8, &[u8])> {
    if protocol == GRE {
        // Checksum, key and sequence number, four bytes each.
        let count = (*bytes.first()? & 0b1011_0000).count_ones() as usize;
        return Some((protocol_of(bytes.get(2..4)?)?, bytes.get(4 + 4 * count..)?));
    }
    let (port, inside) = (word(bytes, 2)?, bytes.get(8..)?);
    if port == GENEVE_PORT {
        let options_len = 4 * usize::from(*inside.first()? & 0x3f);
        return Some((protocol_of(inside.get(2..4)?)?, inside.get(8 + options_len..)?));
    }
    if !GUE_PORTS.contains(&port) {
        let (_, carried) = FOU_PORTS.into_iter().find(|(fou, _)| *fou == port)?;
        return Some((carried, inside));
    }
    // The first two bits are the variant; that of 1 is itself the version of an IP header.
    match *inside.first()? >> 4 {
        4 => Some((IPV4, inside)),
        6 => Some((IPV6, inside)),
        _ => {
            let options_len = 4 * usize::from(inside[0] & 0x1f);
            Some((*inside.get(1)?, inside.get(4 + options_len..)?))
        }
    }
}

fn fragment(bytes: &[u8]) -> Option<(Option<Piece>, u8, &[u8])> {
    let header = Ipv6FragmentHeaderSlice::from_slice(bytes).ok()?;
    let is_first = header.fragment_offset().value() == 0;
    let piece = Piece { id: header.identification(), is_first };
    let piece = header.is_fragmenting_payload().then_some(piece);
    Some((piece, header.next_header().0, bytes.get(header.slice().len()..)?))
}

/// A number of two bytes.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn ipv4(bytes: &[u8]) -> Option<(Layer, u8, &[u8])> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let piece = header.is_fragmenting_payload().then(|| Piece {
        id: u32::from(header.identification()),
        is_first: header.fragments_offset().value() == 0,
    });
    let layer = Layer {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        tos: header.dcp().value() << 2 | header.ecn().value(),
        ttl: header.ttl(),
        len: usize::from(header.total_len()),
        dont_fragment: header.dont_fragment(),
        piece,
    };
    Some((layer, header.protocol().0, bytes.get(header.slice().len()..)?))
}

fn ipv6(bytes: &[u8]) -> Option<(Layer, u8, &[u8])> {
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let layer = Layer {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        tos: header.traffic_class(),
        ttl: header.hop_limit(),
        len: header.slice().len() + usize::from(header.payload_length()),
        dont_fragment: false,
        piece: None,
    };
    Some((layer, header.next_header().0, bytes.get(header.slice().len()..)?))
}

fn echo(protocol: u8, message: &[u8]) -> Option<Echo> {
    let is_request = match (protocol, *message.first()?) {
        (ICMP, 8) | (ICMP6, 128) => true,
        (ICMP, 0) | (ICMP6, 129) => false,
        _ => return None,
    };
    Some(Echo { id: word(message, 4)?, is_request })
}
