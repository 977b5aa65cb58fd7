//! Minimal encapsulation of one packet (RFC 2004): its header is folded into the outer one and unfolded again. All rules
//! about who may enter and what is believed are those of `encap` and `decap`.

use crate::packet::Packet;
use crate::tunnel::rewrite::Patch;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::minimal::{Minimal, set_header};
use crate::wire::{protocol, read_u16};

/// Puts a packet, which stands at its IPv4 header, between a tunnel's ends. `None`: there is no room for it.
pub(super) fn fold(packet: &mut Packet, (local, remote): (u32, u32)) -> Option<()> {
    let header = Ipv4::trusted(packet.data());
    let header_len = header.header_len();
    let minimal = Minimal::of(header, local);
    let bytes = packet.prepend(minimal.header_len())?;
    let total_len = u16::try_from(bytes.len()).ok()?;
    //= RFC 2004 §3.1: the forwarding header goes between the IP header, options included, and the payload. TTL,
    //= type of service, identification and DF stay as they are.
    bytes.copy_within(minimal.header_len()..minimal.header_len() + header_len, 0);
    minimal.write(bytes.get_mut(header_len..)?);
    set_header(bytes, protocol::MINIMAL, (local, remote), total_len);
    Some(())
}

/// Takes a forwarding header that was judged out of a packet whose IPv4 header has `header_len` bytes. Afterwards the
/// packet stands at the sender's header.
pub(super) fn unfold(packet: &mut Packet, header_len: usize) {
    let bytes = packet.data_mut();
    let header = Ipv4::trusted(bytes);
    let (source, total_len) = (header.source(), header.total_len());
    let behind = bytes.get(header_len..).unwrap_or(&[]);
    let Ok(minimal) = Minimal::parse(behind) else { return };
    //= RFC 2004 §3.2: without a source of its own the packet is the encapsulator's.
    let ends = (minimal.source.unwrap_or(source), minimal.destination);
    set_header(bytes, minimal.protocol, ends, total_len.saturating_sub(minimal.header_len_u16()));
    bytes.copy_within(..header_len, minimal.header_len());
    packet.strip(minimal.header_len());
}

/// What stands in the outer header of a packet: all of it is the packet's own.
pub(super) fn patch(bytes: &[u8]) -> Patch {
    let header = Ipv4::trusted(bytes);
    Patch {
        payload_len: header.total_len(),
        tos: header.tos(),
        ttl: header.ttl(),
        protocol: protocol::MINIMAL,
        identification: read_u16(bytes, ipv4::offset::IDENTIFICATION),
        dont_fragment: header.dont_fragment(),
        flow_label: 0,
    }
}
