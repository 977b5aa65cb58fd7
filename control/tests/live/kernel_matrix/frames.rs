//! Captured frames as headers inside headers, read by etherparse: which echo request each one carries, in how many
//! pieces, and what its outer and its inner header say.

use std::collections::HashMap;
use std::net::IpAddr;

use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice};

const ETHERNET_LEN: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

const ICMP: u8 = 1;
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const FRAGMENT: u8 = 44;
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
    /// Whose it is; of a later piece, what the first one says.
    pub(crate) echo: Option<Echo>,
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
fn headers(frame: &[u8]) -> Option<Frame> {
    let ethertype = frame.get(ETHERNET_LEN - 2..ETHERNET_LEN)?;
    let mut rest = frame.get(ETHERNET_LEN..)?;
    let mut protocol = match ethertype.try_into().ok()? {
        ETHERTYPE_IPV4 => IPV4,
        ETHERTYPE_IPV6 => IPV6,
        _ => return None,
    };
    let mut layers: Vec<Layer> = Vec::new();
    loop {
        match protocol {
            IPV4 => {
                let layer;
                (layer, protocol, rest) = ipv4(rest)?;
                layers.push(layer);
            }
            IPV6 => {
                let layer;
                (layer, protocol, rest) = ipv6(rest)?;
                layers.push(layer);
            }
            FRAGMENT => {
                let header = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
                let is_first = header.fragment_offset().value() == 0;
                if let Some(layer) = layers.last_mut() {
                    layer.piece = header
                        .is_fragmenting_payload()
                        .then(|| Piece { id: header.identification(), is_first });
                }
                protocol = header.next_header().0;
                rest = rest.get(header.slice().len()..)?;
            }
            DESTINATION_OPTIONS => {
                protocol = *rest.first()?;
                rest = rest.get(8 + 8 * usize::from(*rest.get(1)?)..)?;
            }
            _ => break,
        }
        // Behind the header of a later piece is the middle of something.
        if layers.last()?.piece.is_some_and(|piece| !piece.is_first) {
            return Some(Frame { layers, echo: None });
        }
    }
    let echo = echo(protocol, rest);
    Some(Frame { layers, echo })
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
    let id = u16::from_be_bytes(message.get(4..6)?.try_into().ok()?);
    Some(Echo { id, is_request })
}
