//! Which flow a frame belongs to when work is spread, and which frames stay where they arrived.
//!
//! Runs on frames that nobody has checked: whatever the bytes are, the answer is some bucket or
//! "here", never a fault.
//!
//! - Stays here: what is no IP, frames to a group of stations (ARP, neighbor discovery), and every
//!   packet to this node that is no whole tunnel packet. Outer fragments are among them, so that a
//!   tunnel packet in pieces meets its other pieces on the worker that received them all.
//! - A whole tunnel packet to this node belongs to the flow of the packet inside.
//! - Anything else belongs to its own flow.
//!
//! A flow is addresses, protocol and, where the protocol has them, ports. Later pieces of a packet
//! have no ports, and yet must not overtake the flow's other packets: the first piece, which has them,
//! leaves a note under addresses, protocol and identification, and the later ones follow it. A
//! piece without a note (it overtook its first piece, or more than [`NOTES`] packets were in pieces
//! at once) goes by its addresses and protocol.

use crate::node::flow::FlowKey;
use crate::node::options::Extensions;
use crate::tables::Tables;
use crate::tunnel::shim::{inside, is_shim};
use crate::wire::ethernet::{self, ether_type};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::minimal;
use crate::wire::{protocol, read_u16, read_u32};

/// Bytes of the ports behind an IP header.
const PORTS_LEN: usize = 4;

/// Packets in pieces that are remembered at a time.
const NOTES: usize = 1024;

/// Finds the flows of frames.
pub(super) struct Flows {
    notes: Box<[Note; NOTES]>,
}

/// Where the first piece of a packet went.
#[derive(Clone, Copy, Default)]
struct Note {
    /// Hash of what all pieces have in common.
    packet: u64,
    /// Hash of the flow.
    flow: u64,
}

impl Flows {
    pub(super) fn new() -> Self {
        Self { notes: Box::new([Note::default(); NOTES]) }
    }

    /// The hash of the flow that a frame belongs to; `None`: it stays here.
    #[inline]
    pub(super) fn hash(&mut self, frame: &[u8], tables: &Tables) -> Option<u64> {
        let (header, packet) = frame.split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
        if header[0] & 1 != 0 {
            return None;
        }
        let packet = match read_u16(header, 12) {
            ether_type::IPV4 => match flow_in_ipv4(packet, tables) {
                Some(packet) => packet,
                None => return hash_folded(packet, tables),
            },
            ether_type::IPV6 => flow_in_ipv6(packet, tables)?,
            _ => return None,
        };
        match identification_of_piece(packet) {
            None => Some(tables.flow.hash(packet)),
            Some(piece) => Some(self.hash_piece(packet, piece, tables.flow)),
        }
    }

    #[cold]
    fn hash_piece(&mut self, packet: &[u8], piece: Piece, key: FlowKey) -> u64 {
        let by_addresses = key.hash(packet);
        let common = u128::from(by_addresses) << 32 | u128::from(piece.identification);
        let common = key.hash_address(common);
        let Some(note) = self.notes.get_mut(usize::from(low_16(common)) % NOTES) else {
            return by_addresses;
        };
        if piece.is_first {
            *note = Note { packet: common, flow: key.hash_as_whole(packet) };
        }
        if note.packet == common { note.flow } else { by_addresses }
    }
}

/// The packet whose flow counts: the one inside, or this one. `None`: it is ours to take in.
#[inline]
fn flow_in_ipv4<'a>(packet: &'a [u8], tables: &Tables) -> Option<&'a [u8]> {
    if packet.len() < ipv4::HEADER_LEN || packet[0] >> 4 != 4 {
        return None;
    }
    let ip = Ipv4::trusted(packet);
    if !tables.local.contains_ipv4(ip.destination()) {
        return Some(packet);
    }
    if ip.is_fragment() {
        return None;
    }
    carried(packet, (ip.protocol(), ip.header_len()), tables)
}

/// The hash of the flow of a packet of minimal encapsulation to this node, whose header is unfolded for it; any other
/// is ours to take in.
#[inline(never)]
fn hash_folded(packet: &[u8], tables: &Tables) -> Option<u64> {
    let ip = Ipv4::trusted(Some(packet).filter(|all| all.len() >= ipv4::HEADER_LEN)?);
    let is_ours = || tables.local.contains_ipv4(ip.destination());
    if ip.protocol() != protocol::MINIMAL || ip.is_fragment() || packet[0] >> 4 != 4 || !is_ours() {
        return None;
    }
    let mut room = [0; ipv4::HEADER_LEN_MAX + PORTS_LEN];
    let (len, _) = minimal::unfold(packet, &mut room)?;
    Some(tables.flow.hash(room.get(..len)?))
}

/// The same. A tunnel packet with extension headers to this node, such as a tunnel encapsulation
/// limit, is looked into as well.
#[inline]
fn flow_in_ipv6<'a>(packet: &'a [u8], tables: &Tables) -> Option<&'a [u8]> {
    if packet.len() < ipv6::HEADER_LEN || packet[0] >> 4 != 6 {
        return None;
    }
    let ip = Ipv6::trusted(packet);
    if !tables.local.contains_ipv6(ip.destination()) {
        return Some(packet);
    }
    match ip.next_header() {
        next if is_shim(next) => carried(packet, (next, ipv6::HEADER_LEN), tables),
        protocol::DESTINATION_OPTIONS => {
            let mut extensions = Extensions::new(packet);
            if extensions.any(|extension| extension.kind == protocol::FRAGMENT) {
                return None;
            }
            carried(packet, (extensions.next_header(), extensions.position()), tables)
        }
        _ => None,
    }
}

/// What a tunnel packet to this node carries, behind its outer header of protocol `at.0` at `at.1`; what is no
/// tunnel's stays.
#[inline]
fn carried<'a>(packet: &'a [u8], at: (u8, usize), tables: &Tables) -> Option<&'a [u8]> {
    let inner = inside(packet, at, &tables.udp_ports)?;
    match at.0 {
        protocol::IPV4 => is_ip(inner, 4, ipv4::HEADER_LEN).then_some(inner),
        protocol::IPV6 => is_ip(inner, 6, ipv6::HEADER_LEN).then_some(inner),
        _ => {
            let is_either = is_ip(inner, 4, ipv4::HEADER_LEN) || is_ip(inner, 6, ipv6::HEADER_LEN);
            is_either.then_some(inner)
        }
    }
}

#[inline]
fn is_ip(packet: &[u8], version: u8, header_len: usize) -> bool {
    packet.len() >= header_len && packet[0] >> 4 == version
}

/// A piece of a packet.
#[derive(Clone, Copy)]
struct Piece {
    identification: u32,
    is_first: bool,
}

/// What tells pieces of one packet from those of another, if it is a piece.
#[inline]
fn identification_of_piece(packet: &[u8]) -> Option<Piece> {
    if packet[0] >> 4 == 4 {
        let ip = Ipv4::trusted(packet);
        return ip.is_fragment().then(|| Piece {
            identification: read_u16(packet, ipv4::offset::IDENTIFICATION).into(),
            is_first: ip.fragment_field() & ipv4::OFFSET_MASK == 0,
        });
    }
    match Ipv6::trusted(packet).next_header() {
        protocol::HOP_BY_HOP
        | protocol::ROUTING
        | protocol::FRAGMENT
        | protocol::DESTINATION_OPTIONS => piece_of_ipv6(packet),
        _ => None,
    }
}

#[cold]
fn piece_of_ipv6(packet: &[u8]) -> Option<Piece> {
    let mut extensions = Extensions::new(packet);
    let header = extensions.find(|extension| extension.kind == protocol::FRAGMENT)?;
    Some(Piece {
        identification: read_u32(packet, header.at + 4),
        is_first: !extensions.is_at_piece(),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
const fn low_16(number: u64) -> u16 {
    number as u16
}

#[cfg(test)]
mod tests;
