//! The bytes of a packet that is put together: payloads behind each other in the buffer of the first
//! piece, and the headers of a whole packet in front.

use super::piece::{FRAGMENT_HEADER_LEN, FragmentHeader};
use crate::packet::{Flags, Packet};
use crate::tunnel::ecn;
use crate::wire::ipv4;
use crate::wire::ipv6;
use crate::wire::write_u16;

/// Puts `part` behind the packet's bytes. False: its buffer is too small, and nothing has changed.
pub(super) fn append(packet: &mut Packet, part: &[u8]) -> bool {
    let (offset, len) = (usize::from(packet.offset()), packet.len());
    let Some(bytes) = packet.reframe(offset, len + part.len()) else { return false };
    if let Some(room) = bytes.get_mut(len..) {
        room.copy_from_slice(part);
    }
    true
}

/// What all pieces together say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// Which of the four ECN fields there were, a bit each.
    pub(super) ecn_seen: u8,
    /// The least TTL or hop limit.
    pub(super) ttl: u8,
}

impl Fields {
    pub(super) const NONE: Self = Self { ecn_seen: 0, ttl: u8::MAX };

    /// With one more piece.
    pub(super) fn with(self, tos: u8, ttl: u8) -> Self {
        let ecn_seen = self.ecn_seen | 1 << (tos & ecn::MASK);
        // A piece from far away must not pass for one from nearby (RFC 5082).
        Self { ecn_seen, ttl: self.ttl.min(ttl) }
    }

    /// The ECN field of the whole packet, whose first piece has `first`; `None`: they contradict each
    /// other, and the packet is lost.
    pub(super) fn ecn(self, first: u8) -> Option<u8> {
        const CE: u8 = 1 << 3;
        //= RFC 3168 §5.3: congestion experienced by a piece is that of the packet; pieces that are
        //= ECN-capable don't mix with others that are not.
        match self.ecn_seen {
            0b0001 => Some(0),
            seen if seen & 1 != 0 => None,
            seen if seen & CE != 0 => Some(3),
            _ => Some(first & ecn::MASK),
        }
    }
}

/// Makes the header of a first piece that of the whole packet, all of whose payload is behind it.
pub(super) fn finish_ipv4(packet: &mut Packet, tos: u8, ttl: u8) {
    let bytes = packet.data_mut();
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    write_u16(bytes, ipv4::offset::TOTAL_LENGTH, len);
    write_u16(bytes, ipv4::offset::FRAGMENT, 0);
    for (at, value) in [(ipv4::offset::TOS, tos), (ipv4::offset::TTL, ttl)] {
        if let Some(field) = bytes.get_mut(at) {
            *field = value;
        }
    }
    ipv4::write_checksum(bytes);
    packet.meta.flags.set(Flags::PUT_TOGETHER);
}

/// The same for IPv6, whose fragment header is taken out.
pub(super) fn finish_ipv6(packet: &mut Packet, class: u8, ttl: u8) {
    if let Some(header) = FragmentHeader::find(packet.data()) {
        take_out(packet, header);
    }
    let bytes = packet.data_mut();
    ipv6::set_traffic_class(bytes, class);
    if let Some(field) = bytes.get_mut(ipv6::offset::HOP_LIMIT) {
        *field = ttl;
    }
}

/// Takes a fragment header out of an IPv6 packet that is whole.
pub fn take_out(packet: &mut Packet, FragmentHeader { at, named_at, .. }: FragmentHeader) {
    let bytes = packet.data_mut();
    let Some(&next) = bytes.get(at) else { return };
    if at + FRAGMENT_HEADER_LEN > bytes.len() {
        return;
    }
    bytes.copy_within(..at, FRAGMENT_HEADER_LEN);
    packet.strip(FRAGMENT_HEADER_LEN);
    let bytes = packet.data_mut();
    if let Some(name) = bytes.get_mut(named_at) {
        *name = next;
    }
    let len = bytes.len().saturating_sub(ipv6::HEADER_LEN);
    write_u16(bytes, ipv6::offset::PAYLOAD_LENGTH, u16::try_from(len).unwrap_or(u16::MAX));
    packet.meta.flags.set(Flags::PUT_TOGETHER);
}
