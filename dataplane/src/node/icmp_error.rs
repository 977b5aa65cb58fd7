//! ICMP errors: whether one may be sent about a packet, and its bytes (RFC 792, 1812, 4443).
//!
//! Whoever drops a packet asks [`may_answer`], then the [rate limit](super::rate_limit), looks up
//! the source address, and has [`write()`] fill a buffer. What the bytes of a packet do not show is
//! the caller's to know: directed broadcasts, anycast, and which drops stay silent.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::options::{Extensions, is_extension};
use crate::packet::Flags;
use crate::wire::checksum::checksum;
use crate::wire::ipv4::{self, Ipv4, Ipv4Fields};
use crate::wire::ipv6::{self, Ipv6, Ipv6Fields};
use crate::wire::{icmp4, icmp6, protocol, write_u16, write_u32};

/// The largest IPv4 packet that reports an error: what every host accepts (RFC 1812 §4.3.2.3).
pub const IPV4_MAX: usize = 576;
/// The largest IPv6 packet that reports an error (RFC 4443 §2.4).
pub const IPV6_MAX: usize = ipv6::MINIMUM_MTU as usize;

/// DSCP CS6, the precedence "internetwork control" of old (RFC 1812 §4.3.2.5).
const TOS_CONTROL: u8 = 0xc0;
const TTL: u8 = 64;

/// What is reported, for both families alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IcmpError {
    /// The TTL or hop limit ran out.
    TimeExceeded,
    /// Fragments were missing for too long; the original is the first of them.
    ReassemblyTimeExceeded,
    /// No route.
    NoRoute,
    /// Forbidden by an administrator.
    Prohibited,
    /// There is a route, but the neighbour does not answer, or a tunnel has no far end.
    HostUnreachable,
    /// Nobody speaks that protocol here.
    ProtocolUnreachable,
    /// Nobody listens on that port.
    PortUnreachable,
    /// Too big to go on whole.
    TooBig {
        /// What fits, in bytes of the original's own family; lifted to what the family demands.
        mtu: u16,
    },
    /// The packet forbids to be encapsulated once more (RFC 2473 §4.1.1); IPv6 only.
    EncapLimit {
        /// Where the limit is, from the start of the original.
        pointer: u16,
    },
    /// Something in the header makes no sense.
    ParameterProblem {
        /// The code of the message, in the numbers of the original's family.
        code: u8,
        /// Where, from the start of the original.
        pointer: u16,
    },
}

impl IcmpError {
    /// The same about a packet that was `len` bytes shorter before this node encapsulated it.
    #[must_use]
    pub const fn without(self, len: u16) -> Self {
        match self {
            Self::TooBig { mtu } => Self::TooBig { mtu: mtu.saturating_sub(len) },
            //= RFC 2473 §8.2, §8.3: a limit in the header of a tunnel is nothing that the sender wrote or can see.
            Self::EncapLimit { .. } if len > 0 => Self::HostUnreachable,
            other => other,
        }
    }

    /// Whether it tells a path MTU: these have a rate limit of their own.
    #[inline]
    pub const fn is_too_big(self) -> bool {
        matches!(self, Self::TooBig { .. })
    }

    /// Whether IPv6 lets it answer packets to a group.
    const fn may_answer_group(self) -> bool {
        //= RFC 4443 §2.4 (e.3): for path MTU discovery of multicast, and for options that ask to
        //= be reported even then.
        const OPTION: u8 = icmp6::parameter_problem::OPTION;
        matches!(self, Self::TooBig { .. } | Self::ParameterProblem { code: OPTION, .. })
    }
}

/// Whether `error` may be sent about the packet `original`, an IP packet of either family, as far
/// as its bytes and `flags` tell.
pub fn may_answer(original: &[u8], error: IcmpError, flags: Flags) -> bool {
    if flags.has(Flags::LOCAL) {
        return false;
    }
    let to_l2_group = flags.has(Flags::L2_GROUP);
    match original.first().map(|first| first >> 4) {
        Some(4) if original.len() >= ipv4::HEADER_LEN => {
            let is_known = message_ipv4(error).is_some();
            is_known && !to_l2_group && may_answer_ipv4(Ipv4::trusted(original))
        }
        Some(6) if original.len() >= ipv6::HEADER_LEN => {
            let group_allowed = error.may_answer_group();
            (!to_l2_group || group_allowed)
                && may_answer_ipv6(Ipv6::trusted(original), group_allowed)
        }
        _ => false,
    }
}

fn may_answer_ipv4(original: Ipv4<'_>) -> bool {
    //= RFC 1812 §4.3.2.7: no error about an ICMP error, a broadcast or multicast, a fragment other
    //= than the first, or a source that is not one host.
    let is_icmp_error = original.protocol() == protocol::ICMP
        && original.payload().first().is_none_or(|&kind| icmp4::is_error(kind));
    original.fragment_field() & ipv4::OFFSET_MASK == 0
        && is_host_ipv4(Ipv4Addr::from_bits(original.destination()))
        && is_host_ipv4(Ipv4Addr::from_bits(original.source()))
        && !is_icmp_error
}

fn may_answer_ipv6(original: Ipv6<'_>, group_allowed: bool) -> bool {
    let destination = Ipv6Addr::from_bits(original.destination());
    if !is_host_ipv6(Ipv6Addr::from_bits(original.source()))
        || destination.is_unspecified()
        || destination.is_loopback()
        || (destination.is_multicast() && !group_allowed)
    {
        return false;
    }
    //= RFC 4443 §2.4 (e.1, e.2): no error about an ICMPv6 error or a redirect. What can't be told,
    //= because it is a later fragment or is cut short, is taken for one.
    let mut extensions = Extensions::new(original.bytes());
    extensions.by_ref().for_each(drop);
    let kind = original.bytes().get(extensions.position());
    match extensions.next_header() {
        _ if extensions.is_at_piece() => false,
        protocol::ICMPV6 => {
            kind.is_some_and(|&kind| !icmp6::is_error(kind) && kind != icmp6::message::REDIRECT)
        }
        next => !is_extension(next),
    }
}

/// Whether an IPv4 address can be that of one host somewhere else: not 0/8, loopback, multicast,
/// class E or broadcast.
#[inline]
pub const fn is_host_ipv4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

/// Whether an IPv6 address can be that of one host somewhere else: not unspecified, loopback,
/// multicast or an IPv4 address in disguise.
#[inline]
pub const fn is_host_ipv6(address: Ipv6Addr) -> bool {
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !matches!(address.segments(), [0, 0, 0, 0, 0, 0xffff, _, _])
}

/// Writes the IP packet that reports `error` about `original` into `room` and returns its length.
///
/// `original` begins with the IP header as it shall be quoted; what is behind its total length is
/// left out. `source` is ours, of the same family. `identification` is for IPv4: fresh, as the
/// packet may be fragmented on its way. `None` when the family does not know the error, the families
/// differ, or `room` does not hold the header of the original and eight bytes.
pub fn write(
    original: &[u8],
    error: IcmpError,
    source: IpAddr,
    identification: u16,
    room: &mut [u8],
) -> Option<usize> {
    match (original.first()? >> 4, source) {
        (4, IpAddr::V4(source)) => {
            let original = Ipv4::trusted(
                Some(original).filter(|original| original.len() >= ipv4::HEADER_LEN)?,
            );
            write_ipv4(original, message_ipv4(error)?, source, identification, room)
        }
        (6, IpAddr::V6(source)) => {
            let original = Ipv6::trusted(
                Some(original).filter(|original| original.len() >= ipv6::HEADER_LEN)?,
            );
            write_ipv6(original, message_ipv6(error, original)?, source, room)
        }
        _ => None,
    }
}

/// Type, code and the four bytes behind the checksum.
#[derive(Clone, Copy)]
struct Message {
    kind: u8,
    code: u8,
    rest: u32,
}

fn message_ipv4(error: IcmpError) -> Option<Message> {
    use icmp4::{message, time_exceeded, unreachable};
    let unreachable = |code| Message { kind: message::UNREACHABLE, code, rest: 0 };
    let time_exceeded = |code| Message { kind: message::TIME_EXCEEDED, code, rest: 0 };
    Some(match error {
        IcmpError::TimeExceeded => time_exceeded(time_exceeded::TRANSIT),
        IcmpError::ReassemblyTimeExceeded => time_exceeded(time_exceeded::REASSEMBLY),
        IcmpError::NoRoute => unreachable(unreachable::NETWORK),
        IcmpError::Prohibited => unreachable(unreachable::PROHIBITED),
        IcmpError::HostUnreachable => unreachable(unreachable::HOST),
        IcmpError::ProtocolUnreachable => unreachable(unreachable::PROTOCOL),
        IcmpError::PortUnreachable => unreachable(unreachable::PORT),
        IcmpError::TooBig { mtu } => {
            let rest = u32::from(mtu.max(ipv4::MTU_MIN));
            Message { rest, ..unreachable(unreachable::FRAGMENTATION_NEEDED) }
        }
        IcmpError::EncapLimit { .. } => return None,
        IcmpError::ParameterProblem { code, pointer } => {
            let pointer = u32::from(u8::try_from(pointer).ok()?);
            Message { kind: message::PARAMETER_PROBLEM, code, rest: pointer << 24 }
        }
    })
}

fn message_ipv6(error: IcmpError, original: Ipv6<'_>) -> Option<Message> {
    use icmp6::{message, parameter_problem, time_exceeded, unreachable};
    let unreachable = |code| Message { kind: message::UNREACHABLE, code, rest: 0 };
    let time_exceeded = |code| Message { kind: message::TIME_EXCEEDED, code, rest: 0 };
    let problem = |code, rest| Message { kind: message::PARAMETER_PROBLEM, code, rest };
    Some(match error {
        IcmpError::TimeExceeded => time_exceeded(time_exceeded::TRANSIT),
        IcmpError::ReassemblyTimeExceeded => time_exceeded(time_exceeded::REASSEMBLY),
        IcmpError::NoRoute => unreachable(unreachable::NO_ROUTE),
        IcmpError::Prohibited => unreachable(unreachable::PROHIBITED),
        IcmpError::HostUnreachable => unreachable(unreachable::ADDRESS),
        IcmpError::PortUnreachable => unreachable(unreachable::PORT),
        IcmpError::ProtocolUnreachable => {
            //= RFC 4443 §3.4: the pointer is that of the byte that names the unknown header.
            let mut extensions = Extensions::new(original.bytes());
            extensions.by_ref().for_each(drop);
            let pointer = u32::try_from(extensions.named_at()).ok()?;
            problem(parameter_problem::NEXT_HEADER, pointer)
        }
        IcmpError::TooBig { mtu } => {
            let rest = u32::from(mtu.max(ipv6::MINIMUM_MTU));
            Message { kind: message::PACKET_TOO_BIG, code: 0, rest }
        }
        IcmpError::EncapLimit { pointer } => problem(parameter_problem::FIELD, pointer.into()),
        IcmpError::ParameterProblem { code, pointer } => problem(code, pointer.into()),
    })
}

fn write_ipv4(
    original: Ipv4<'_>,
    message: Message,
    source: Ipv4Addr,
    identification: u16,
    room: &mut [u8],
) -> Option<usize> {
    //= RFC 1812 §4.3.2.3: as much of the original as fits into 576 bytes.
    let quoted_max = IPV4_MAX - ipv4::HEADER_LEN - icmp4::HEADER_LEN;
    let quoted = quote(original.bytes(), original.total_len().into(), quoted_max);
    let (room, message_len) = split_room(room, ipv4::HEADER_LEN, quoted, original.header_len())?;
    let header = Ipv4Fields {
        tos: TOS_CONTROL,
        payload_len: u16::try_from(message_len).ok()?,
        identification,
        fragment: 0,
        ttl: TTL,
        protocol: protocol::ICMP,
        source,
        destination: Ipv4Addr::from_bits(original.source()),
    };
    let (header_room, message_room) = room.split_first_chunk_mut::<{ ipv4::HEADER_LEN }>()?;
    *header_room = header.header();
    write_message(message_room, message, quoted);
    let check = checksum(message_room);
    write_u16(message_room, icmp4::offset::CHECKSUM, check);
    Some(room.len())
}

fn write_ipv6(
    original: Ipv6<'_>,
    message: Message,
    source: Ipv6Addr,
    room: &mut [u8],
) -> Option<usize> {
    //= RFC 4443 §2.4 (c): as much of the original as fits into the minimum MTU.
    let quoted_max = IPV6_MAX - ipv6::HEADER_LEN - icmp6::HEADER_LEN;
    let quoted = quote(original.bytes(), original.total_len(), quoted_max);
    let (room, message_len) = split_room(room, ipv6::HEADER_LEN, quoted, ipv6::HEADER_LEN)?;
    let header = Ipv6Fields {
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(message_len).ok()?,
        next_header: protocol::ICMPV6,
        hop_limit: TTL,
        source,
        destination: Ipv6Addr::from_bits(original.source()),
    };
    let (header_room, message_room) = room.split_first_chunk_mut::<{ ipv6::HEADER_LEN }>()?;
    *header_room = header.header();
    write_message(message_room, message, quoted);
    let check = icmp6::checksum(header_room, message_room);
    write_u16(message_room, icmp6::offset::CHECKSUM, check);
    Some(room.len())
}

/// The bytes to quote: without padding, and no more than `max`.
fn quote(original: &[u8], total_len: usize, max: usize) -> &[u8] {
    original.get(..total_len.min(original.len()).min(max)).unwrap_or(original)
}

/// The part of `room` that the packet takes, and the length of the ICMP message in it. A small
/// room shortens the quote, but not below the original's header and eight bytes.
fn split_room<'a>(
    room: &'a mut [u8],
    header_len: usize,
    quoted: &[u8],
    original_header_len: usize,
) -> Option<(&'a mut [u8], usize)> {
    let overhead = header_len + icmp4::HEADER_LEN;
    let quoted_len = room.len().checked_sub(overhead)?.min(quoted.len());
    if quoted_len < quoted.len().min(original_header_len + 8) {
        return None;
    }
    let room = room.get_mut(..overhead + quoted_len)?;
    Some((room, icmp4::HEADER_LEN + quoted_len))
}

/// Fills `room` with the message, its checksum still 0, and as much of `quoted` as fits.
fn write_message(room: &mut [u8], message: Message, quoted: &[u8]) {
    write_u32(room, 0, u32::from(message.kind) << 24 | u32::from(message.code) << 16);
    write_u32(room, 4, message.rest);
    let body = room.get_mut(icmp4::HEADER_LEN..).unwrap_or_default();
    for (to, from) in body.iter_mut().zip(quoted) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests;
