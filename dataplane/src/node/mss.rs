//! The TCP option that says how large segments may be (RFC 9293 §3.7.1). Where a connection opens
//! through a tunnel, what either end says is lowered to what fits, so that hosts need not learn it
//! from errors.
//!
//! Runs on packets whose IP header has been checked; of what is behind it nothing is believed. What
//! can't be read is left as it is.

use super::options::Extensions;
use crate::wire::checksum::update;
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::{ipv6, protocol, read_u16, write_u16};

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mss {
    /// It opens no connection, or says nothing and can't be made to.
    Other,
    /// What it says is no more than it may.
    Within(Said),
    /// The option has been lowered to the limit.
    Lowered(Said),
    /// It opens a connection, and its header or options can't be read.
    Malformed,
    /// It opens a connection, says nothing, and [`insert`] can put the option in: no data follows, there is
    /// room in the header, and it is no piece of a packet.
    Absent(Opening),
}

/// What a packet says, as it came, and the most that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The largest segment, in bytes.
    pub value: u16,
    /// The largest segment that fits.
    pub limit: u16,
}

/// Where the TCP header begins in a packet that opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    tcp: usize,
    is_piece: bool,
}

/// Bytes of the option, which are what [`insert`] makes a packet longer by.
pub const OPTION_LEN: usize = 4;

/// A TCP header without options.
const HEADER_LEN: usize = 20;
const HEADER_LEN_MAX: usize = 60;

/// Offsets of fields in a TCP header.
mod offset {
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const CHECKSUM: usize = 16;
}

const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// Kinds of options.
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// Lowers what a packet says, from its IP header on, to what fits a tunnel for inner packets of `mtu`
/// bytes.
pub fn lower(packet: &mut [u8], mtu: u16) -> Mss {
    let Some(opening) = opening(packet) else { return Mss::Other };
    let Some(options) = options(packet, opening.tcp) else { return Mss::Malformed };
    let at = match find(options) {
        Err(Unreadable) => return Mss::Malformed,
        Ok(None) => {
            let header_len = HEADER_LEN + options.len();
            let has_room = header_len + OPTION_LEN <= HEADER_LEN_MAX;
            let is_alone = opening.tcp + header_len == packet.len() && !opening.is_piece;
            return if has_room && is_alone { Mss::Absent(opening) } else { Mss::Other };
        }
        Ok(Some(at)) => HEADER_LEN + at,
    };
    let (value_at, limit) = (opening.tcp + at, limit(packet, mtu));
    let value = read_u16(packet, value_at);
    if value <= limit {
        return Mss::Within(Said { value, limit });
    }
    // Words of the checksum begin at even offsets. A value at an odd one has a byte in each of two, and
    // counts in them as if its bytes were exchanged.
    let [old, new] = if at % 2 == 0 { [value, limit] } else { [value, limit].map(u16::swap_bytes) };
    write_u16(packet, value_at, limit);
    amend(packet, opening.tcp, old, new);
    Mss::Lowered(Said { value, limit })
}

/// Puts the option into a packet, from its IP header on, that [`lower`] has found to have none; the last
/// [`OPTION_LEN`] bytes are room for it.
///
//= RFC 9293 §3.7.1: without the option, 536 bytes are assumed for IPv4, and 1220 for IPv6. Less is said
//= where less fits.
pub fn insert(packet: &mut [u8], Opening { tcp, .. }: Opening, mtu: u16) {
    const ASSUMED_IPV4: u16 = 536;
    const ASSUMED_IPV6: u16 = 1220;
    let assumed = if is_ipv4(packet) { ASSUMED_IPV4 } else { ASSUMED_IPV6 };
    let value = assumed.min(limit(packet, mtu));
    let (option_at, old_end) = (tcp + HEADER_LEN, packet.len().saturating_sub(OPTION_LEN));
    if option_at > old_end {
        return;
    }
    packet.copy_within(option_at..old_end, option_at + OPTION_LEN);
    let kind = u16::from_be_bytes([MAXIMUM_SEGMENT_SIZE, 4]);
    write_u16(packet, option_at, kind);
    write_u16(packet, option_at + 2, value);
    amend(packet, tcp, 0, kind);
    amend(packet, tcp, 0, value);
    let words = read_u16(packet, tcp + offset::DATA_OFFSET);
    let longer = words.wrapping_add(1 << 12);
    write_u16(packet, tcp + offset::DATA_OFFSET, longer);
    amend(packet, tcp, words, longer);
    // Its own length is in the pseudo-header.
    let len = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX);
    amend(packet, tcp, len(old_end - tcp), len(old_end + OPTION_LEN - tcp));
    lengthen(packet);
}

/// Makes the length in the IP header four more.
fn lengthen(packet: &mut [u8]) {
    let more = |len: u16| len.saturating_add(4);
    if is_ipv4(packet) {
        let old = read_u16(packet, ipv4::offset::TOTAL_LENGTH);
        let checksum = read_u16(packet, ipv4::offset::CHECKSUM);
        write_u16(packet, ipv4::offset::TOTAL_LENGTH, more(old));
        write_u16(packet, ipv4::offset::CHECKSUM, update(checksum, old, more(old)));
    } else {
        let old = read_u16(packet, ipv6::offset::PAYLOAD_LENGTH);
        write_u16(packet, ipv6::offset::PAYLOAD_LENGTH, more(old));
    }
}

/// The largest segment whose packet fits: headers without options are what counts (RFC 9293 §3.7.1).
fn limit(packet: &[u8], mtu: u16) -> u16 {
    /// What is left of the least that IPv4 links carry (RFC 791), with options in both headers.
    const IPV4_MIN: u16 = 88;
    const IPV4_HEADERS: u16 = 40;
    const IPV6_HEADERS: u16 = 60;
    if is_ipv4(packet) {
        mtu.saturating_sub(IPV4_HEADERS).max(IPV4_MIN)
    } else {
        // Packets of 1280 bytes pass any tunnel.
        mtu.max(ipv6::MINIMUM_MTU) - IPV6_HEADERS
    }
}

#[inline]
fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}

/// Whether a packet, from its IP header on, opens a TCP connection: SYN set, RST clear.
#[inline]
fn opening(packet: &[u8]) -> Option<Opening> {
    let opening = if is_ipv4(packet) { tcp_in_ipv4(packet) } else { tcp_in_ipv6(packet) }?;
    let flags = packet.get(opening.tcp + offset::FLAGS)?;
    (flags & (SYN | RST) == SYN).then_some(opening)
}

#[inline]
fn tcp_in_ipv4(packet: &[u8]) -> Option<Opening> {
    if packet.get(ipv4::offset::PROTOCOL) != Some(&protocol::TCP) {
        return None;
    }
    let header = Ipv4::trusted(packet);
    let begins = header.fragment_field() & ipv4::OFFSET_MASK == 0;
    begins.then(|| Opening { tcp: header.header_len(), is_piece: header.is_fragment() })
}

/// Behind any extension headers; but what AH protects must stay as it is.
#[inline]
fn tcp_in_ipv6(packet: &[u8]) -> Option<Opening> {
    let mut is_piece = false;
    let mut extensions = Extensions::new(packet);
    for extension in extensions.by_ref() {
        is_piece |= extension.kind == protocol::FRAGMENT;
        if extension.kind == protocol::AH {
            return None;
        }
    }
    let is_tcp = extensions.next_header() == protocol::TCP && !extensions.is_at_piece();
    is_tcp.then(|| Opening { tcp: extensions.position(), is_piece })
}

/// The options of the TCP header at `tcp`; `None`: it is not all there.
fn options(packet: &[u8], tcp: usize) -> Option<&[u8]> {
    let header_len = usize::from(packet.get(tcp + offset::DATA_OFFSET)? >> 4) * 4;
    packet.get(tcp + HEADER_LEN..tcp + header_len)
}

/// An option has no length, or reaches beyond the header.
struct Unreadable;

/// Where the value of the option is, among all options of a header.
fn find(options: &[u8]) -> Result<Option<usize>, Unreadable> {
    let (mut at, mut found) = (0, None);
    while let Some(&kind) = options.get(at) {
        match kind {
            END => break,
            NO_OPERATION => at += 1,
            _ => {
                let len = usize::from(*options.get(at + 1).ok_or(Unreadable)?);
                if len < 2 || at + len > options.len() {
                    return Err(Unreadable);
                }
                if kind == MAXIMUM_SEGMENT_SIZE && len == OPTION_LEN && found.is_none() {
                    found = Some(at + 2);
                }
                at += len;
            }
        }
    }
    Ok(found)
}

/// Mends the checksum after a word that it covers went from `old` to `new`.
fn amend(packet: &mut [u8], tcp: usize, old: u16, new: u16) {
    let at = tcp + offset::CHECKSUM;
    let checksum = read_u16(packet, at);
    write_u16(packet, at, update(checksum, old, new));
}

#[cfg(test)]
mod tests;
