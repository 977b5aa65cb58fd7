//! Fragmentation: the plan of the pieces of a packet, and the bytes of each (RFC 791 §2.3, 3.2;
//! RFC 8200 §4.5).
//!
//! A plan is a few numbers; making it touches no payload and allocates nothing. The caller takes
//! the pieces one by one, finds a buffer for each, and has it written there. The packet itself is
//! only read. A packet that fits is a plan of one piece, equal to the packet.

use crate::wire::ipv4::{self, DONT_FRAGMENT, Ipv4, MORE_FRAGMENTS, OFFSET_MASK};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{protocol, write_u16, write_u32};

use super::options::Extensions;

/// The most pieces that a packet is cut into: 65535 bytes at the smallest path MTU that a tunnel
/// believes in (552) are 125.
pub const PIECES_MAX: usize = 128;

/// Offsets count units of this many bytes.
const UNIT: usize = 8;
const IPV4_HEADER_MAX: usize = 60;
/// The most bytes of an IPv6 header with what every fragment repeats.
const IPV6_FRONT_MAX: usize = 256;
const FRAGMENT_HEADER_LEN: usize = 8;

/// Why a packet can't be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotFragment {
    /// Its header says so.
    DontFragment,
    /// Not even a header and eight bytes fit, or there would be more than [`PIECES_MAX`] pieces.
    MtuTooSmall,
    /// Its header makes no sense, or its pieces would lie beyond 65535 bytes.
    Malformed,
}

/// One piece: which part of the payload it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where its part begins in the payload that is cut, in bytes.
    pub start: u16,
    /// Bytes of its part.
    pub len: u16,
    /// Whether it is the first piece of this packet.
    pub is_first: bool,
    /// Whether it is the last piece of this packet.
    pub is_last: bool,
}

/// The pieces of a plan, in order.
#[derive(Clone, Debug)]
pub struct Pieces {
    start: u16,
    total: u16,
    first_len: u16,
    later_len: u16,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let is_first = self.first_len != 0;
        if self.start >= self.total && !is_first {
            return None;
        }
        let room = if is_first { self.first_len } else { self.later_len };
        let left = self.total - self.start;
        let piece =
            Piece { start: self.start, len: room.min(left), is_first, is_last: room >= left };
        self.start += piece.len;
        self.first_len = 0;
        Some(piece)
    }
}

/// How an IPv4 packet is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan4 {
    header_len: u8,
    later_header_len: u8,
    total: u16,
    first_len: u16,
    later_len: u16,
}

impl Plan4 {
    /// For a packet whose header has been checked, itself perhaps a fragment, and pieces of at most
    /// `mtu` bytes each.
    pub fn new(packet: &[u8], mtu: u16) -> Result<Self, CannotFragment> {
        let packet = Ipv4::trusted(packet);
        let header_len = packet.header_len();
        let total_len = usize::from(packet.total_len());
        let payload = total_len.checked_sub(header_len).ok_or(CannotFragment::Malformed)?;
        let offset = usize::from(packet.fragment_field() & OFFSET_MASK) * UNIT;
        let is_sound = header_len >= ipv4::HEADER_LEN
            && packet.bytes().len() >= total_len
            && u16::try_from(offset + payload).is_ok();
        if !is_sound {
            return Err(CannotFragment::Malformed);
        }
        let mut later = [0; IPV4_HEADER_MAX];
        let later_header_len = write_later_header(packet, &mut later);
        let mtu = usize::from(mtu);
        let (first_len, later_len) = if total_len <= mtu {
            (payload.max(1), UNIT)
        } else if packet.dont_fragment() {
            return Err(CannotFragment::DontFragment);
        } else {
            (units_in(mtu, header_len)?, units_in(mtu, later_header_len)?)
        };
        let plan = Self {
            header_len: narrow(header_len)?,
            later_header_len: narrow(later_header_len)?,
            total: narrow(payload)?,
            first_len: narrow(first_len)?,
            later_len: narrow(later_len)?,
        };
        if plan.pieces().nth(PIECES_MAX).is_some() {
            return Err(CannotFragment::MtuTooSmall);
        }
        Ok(plan)
    }

    /// The pieces, at most [`PIECES_MAX`].
    pub fn pieces(&self) -> Pieces {
        let Self { total, first_len, later_len, .. } = *self;
        Pieces { start: 0, total, first_len, later_len }
    }

    /// How many bytes `piece` is long, header included.
    pub fn piece_len(&self, piece: Piece) -> usize {
        let header_len = if piece.is_first { self.header_len } else { self.later_header_len };
        usize::from(header_len) + usize::from(piece.len)
    }

    /// Writes `piece` of `packet`, the one that the plan was made for, into `room` and returns its
    /// length; `None` when it does not fit.
    pub fn write_piece(&self, packet: &[u8], piece: Piece, room: &mut [u8]) -> Option<usize> {
        let room = room.get_mut(..self.piece_len(piece))?;
        let original = Ipv4::trusted(packet);
        if piece.is_first {
            let header_len = usize::from(self.header_len);
            room.get_mut(..header_len)?.copy_from_slice(packet.get(..header_len)?);
        } else {
            write_later_header(original, room);
        }
        let header_len = room.len() - usize::from(piece.len);
        let start = usize::from(self.header_len) + usize::from(piece.start);
        let part = packet.get(start..start + usize::from(piece.len))?;
        room.get_mut(header_len..)?.copy_from_slice(part);
        //= RFC 791 §3.2: the offset adds to what the packet had; more fragments follow any piece but
        //= the last, and the last if they followed the packet.
        let old = original.fragment_field();
        let more = if piece.is_last { old & MORE_FRAGMENTS } else { MORE_FRAGMENTS };
        let kept = if piece.is_first && piece.is_last { old & DONT_FRAGMENT } else { 0 };
        let offset = (old & OFFSET_MASK) + piece.start / 8;
        write_u16(room, ipv4::offset::FRAGMENT, offset & OFFSET_MASK | more | kept);
        let len = room.len();
        write_u16(room, ipv4::offset::TOTAL_LENGTH, u16::try_from(len).ok()?);
        ipv4::write_checksum(room);
        Some(len)
    }
}

/// Writes the header that pieces other than the first have, with the options that are to be copied,
/// as far as `room` holds it. Returns its length. Lengths and checksum are still those of `packet`.
fn write_later_header(packet: Ipv4<'_>, room: &mut [u8]) -> usize {
    let mut header = [0; IPV4_HEADER_MAX];
    let mut len = ipv4::HEADER_LEN;
    if let (Some(to), Some(from)) =
        (header.first_chunk_mut::<{ ipv4::HEADER_LEN }>(), packet.bytes().first_chunk())
    {
        *to = *from;
    }
    let mut options = packet.options();
    while let Some((option, rest)) = split_option(options) {
        options = rest;
        //= RFC 791 §3.1: bit 7 of an option's kind says that all fragments carry it.
        let is_copied = option.first().is_some_and(|kind| kind & 0x80 != 0);
        if let Some(to) = header.get_mut(len..len + option.len()).filter(|_| is_copied) {
            to.copy_from_slice(option);
            len += option.len();
        }
    }
    // What is left of the last word stays 0, which is the option "end of list".
    len = len.next_multiple_of(4);
    header[0] = 0x40 | u8::try_from(len / 4).unwrap_or(5);
    for (to, from) in room.iter_mut().zip(header.iter().take(len)) {
        *to = *from;
    }
    len
}

/// The first option and what is behind it; `None` at the end of the list and at what makes no sense.
fn split_option(options: &[u8]) -> Option<(&[u8], &[u8])> {
    match options {
        [] | [0, ..] => None,
        [1, ..] => options.split_at_checked(1),
        [_, len, ..] if *len >= 2 => options.split_at_checked(usize::from(*len)),
        _ => None,
    }
}

/// How an IPv6 packet that this node has made is cut. Routers cut no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan6 {
    identification: u32,
    front_len: u16,
    named_at: u16,
    first_header: u8,
    is_whole: bool,
    total: u16,
    piece_len: u16,
}

impl Plan6 {
    /// For a packet whose header has been checked, and fragments of at most `mtu` bytes each.
    /// `identification` must not be used for the same addresses again soon, nor be predictable.
    pub fn new(packet: &[u8], mtu: u16, identification: u32) -> Result<Self, CannotFragment> {
        let total_len = Ipv6::trusted(packet).total_len();
        let bytes = packet.get(..total_len).ok_or(CannotFragment::Malformed)?;
        let front = Front::of(bytes)?;
        let total = total_len.checked_sub(front.len).ok_or(CannotFragment::Malformed)?;
        let is_whole = total_len <= usize::from(mtu);
        let piece_len = if is_whole {
            total.max(1)
        } else {
            units_in(mtu.into(), front.len + FRAGMENT_HEADER_LEN)?
        };
        if total.div_ceil(piece_len) > PIECES_MAX {
            return Err(CannotFragment::MtuTooSmall);
        }
        Ok(Self {
            identification,
            front_len: narrow(front.len)?,
            named_at: narrow(front.named_at)?,
            first_header: front.next,
            is_whole,
            total: narrow(total)?,
            piece_len: narrow(piece_len)?,
        })
    }

    /// The pieces, at most [`PIECES_MAX`].
    pub fn pieces(&self) -> Pieces {
        let Self { total, piece_len, .. } = *self;
        Pieces { start: 0, total, first_len: piece_len, later_len: piece_len }
    }

    /// How many bytes `piece` is long, headers included.
    pub fn piece_len(&self, piece: Piece) -> usize {
        let fragment_header = if self.is_whole { 0 } else { FRAGMENT_HEADER_LEN };
        usize::from(self.front_len) + fragment_header + usize::from(piece.len)
    }

    /// Writes `piece` of `packet`, the one that the plan was made for, into `room` and returns its
    /// length; `None` when it does not fit.
    pub fn write_piece(&self, packet: &[u8], piece: Piece, room: &mut [u8]) -> Option<usize> {
        let room = room.get_mut(..self.piece_len(piece))?;
        let len = room.len();
        let front_len = usize::from(self.front_len);
        let start = front_len + usize::from(piece.start);
        let part = packet.get(start..start + usize::from(piece.len))?;
        room.get_mut(..front_len)?.copy_from_slice(packet.get(..front_len)?);
        room.get_mut(len - part.len()..)?.copy_from_slice(part);
        if !self.is_whole {
            *room.get_mut(usize::from(self.named_at))? = protocol::FRAGMENT;
            let more = u16::from(!piece.is_last);
            let header = room.get_mut(front_len..)?;
            //= RFC 8200 §4.5: next header, reserved 0, offset in units of 8 with M in the last of
            //= its three low bits, identification.
            write_u16(header, 0, u16::from(self.first_header) << 8);
            write_u16(header, 2, piece.start | more);
            write_u32(header, 4, self.identification);
        }
        let payload_len = u16::try_from(len - ipv6::HEADER_LEN).ok()?;
        write_u16(room, ipv6::offset::PAYLOAD_LENGTH, payload_len);
        Some(len)
    }
}

/// What every fragment repeats: the IPv6 header and the extension headers that nodes on the way
/// look at.
struct Front {
    len: usize,
    named_at: usize,
    next: u8,
}

impl Front {
    fn of(packet: &[u8]) -> Result<Self, CannotFragment> {
        let mut extensions = Extensions::new(packet);
        let mut front = Self {
            len: ipv6::HEADER_LEN,
            named_at: extensions.named_at(),
            next: extensions.next_header(),
        };
        let mut seen_routing = false;
        while let Some(extension) = extensions.next() {
            match extension.kind {
                protocol::HOP_BY_HOP => {}
                protocol::ROUTING => seen_routing = true,
                //= RFC 8200 §4.5: the headers for nodes on the way are in every fragment. The
                //= encapsulation limit is for the tunnels on the way (RFC 2473 §4.1.1), so its
                //= header is among them, as Linux has it.
                protocol::DESTINATION_OPTIONS if !seen_routing => {}
                protocol::FRAGMENT => return Err(CannotFragment::Malformed),
                _ => break,
            }
            front = Self {
                len: extensions.position(),
                named_at: extensions.named_at(),
                next: extensions.next_header(),
            };
        }
        if front.len > IPV6_FRONT_MAX { Err(CannotFragment::Malformed) } else { Ok(front) }
    }
}

/// The bytes of payload, in whole units, that fit behind so long a header.
fn units_in(mtu: usize, header_len: usize) -> Result<usize, CannotFragment> {
    match mtu.checked_sub(header_len) {
        Some(room) if room >= UNIT => Ok(room / UNIT * UNIT),
        _ => Err(CannotFragment::MtuTooSmall),
    }
}

fn narrow<T: TryFrom<usize>>(len: usize) -> Result<T, CannotFragment> {
    T::try_from(len).map_err(|_| CannotFragment::Malformed)
}

#[cfg(test)]
mod tests;
