//! Echo replies (RFC 792, 1122 §3.2.2.6, 4443 §4.2): turns a request into its reply, in place.
//!
//! The caller has found that the packet is addressed to one of our unicast addresses and has asked
//! the policer of [`rate_limit`](super::rate_limit); it sends the reply as a packet of our own.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::icmp_error::{is_host_ipv4, is_host_ipv6};
use super::options::Extensions;
use crate::wire::checksum::{fold, sum};
use crate::wire::ipv4::{Ipv4, Ipv4Fields};
use crate::wire::ipv6::{Ipv6, Ipv6Fields};
use crate::wire::{icmp4, icmp6, protocol, read_u32, write_u16};

const TTL: u8 = 64;
/// The part of TOS and traffic class that is DSCP; the rest is ECN.
const DSCP_MASK: u8 = 0xfc;

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// It is now the reply, so many bytes long; what follows them is to be cut off.
    Reply {
        /// Bytes of the IP packet.
        len: usize,
    },
    /// It is no echo request, or a fragment of one. Nothing has changed.
    NotRequest,
    /// Its checksum is wrong. Nothing has changed.
    BadChecksum,
    /// Its source is not one host's, so nobody could get the reply. Nothing has changed.
    BadSource,
}

/// Turns an echo request of either family into its reply. `packet` begins with the IP header, which
/// has been checked. `identification` is for IPv4: fresh, as a long reply gets fragmented.
pub fn answer(packet: &mut [u8], identification: u16) -> Echo {
    match packet.first().map(|first| first >> 4) {
        Some(4) => answer_ipv4(packet, identification),
        Some(6) => answer_ipv6(packet),
        _ => Echo::NotRequest,
    }
}

fn answer_ipv4(packet: &mut [u8], identification: u16) -> Echo {
    let Ok(request) = Ipv4::parse(packet) else { return Echo::NotRequest };
    let message = request.payload();
    let is_request = request.protocol() == protocol::ICMP
        && !request.is_fragment()
        && message.len() >= icmp4::HEADER_LEN
        && message.first() == Some(&icmp4::message::ECHO_REQUEST);
    if !is_request {
        return Echo::NotRequest;
    }
    let rest = sum(0, message.get(4..).unwrap_or(&[]));
    if fold(rest + u64::from(read_u32(message, 0))) != 0xffff {
        return Echo::BadChecksum;
    }
    let requester = Ipv4Addr::from_bits(request.source());
    if !is_host_ipv4(requester) {
        return Echo::BadSource;
    }
    let Ok(payload_len) = u16::try_from(message.len()) else { return Echo::NotRequest };
    let message = request.header_len()..request.bytes().len();
    let header = Ipv4Fields {
        tos: request.tos() & DSCP_MASK,
        payload_len,
        identification,
        fragment: 0,
        ttl: TTL,
        protocol: protocol::ICMP,
        source: Ipv4Addr::from_bits(request.destination()),
        destination: requester,
    };
    write_reply(packet, &header.header(), message, icmp4::message::ECHO_REPLY, rest)
}

fn answer_ipv6(packet: &mut [u8]) -> Echo {
    let Ok(request) = Ipv6::parse(packet) else { return Echo::NotRequest };
    let mut extensions = Extensions::new(request.bytes());
    let is_fragment = extensions.by_ref().any(|extension| extension.kind == protocol::FRAGMENT);
    let message_at = extensions.position();
    let message = request.bytes().get(message_at..).unwrap_or(&[]);
    let is_request = extensions.next_header() == protocol::ICMPV6
        && !is_fragment
        && message.len() >= icmp6::HEADER_LEN
        && message.first() == Some(&icmp6::message::ECHO_REQUEST);
    if !is_request {
        return Echo::NotRequest;
    }
    // Source and destination change places, which leaves the sum of the pseudo-header as it is.
    let rest = icmp6::sum_behind_checksum(request.bytes(), message);
    if fold(rest + u64::from(read_u32(message, 0))) != 0xffff {
        return Echo::BadChecksum;
    }
    let requester = Ipv6Addr::from_bits(request.source());
    if !is_host_ipv6(requester) {
        return Echo::BadSource;
    }
    let Ok(payload_len) = u16::try_from(message.len()) else { return Echo::NotRequest };
    let message = message_at..request.bytes().len();
    let header = Ipv6Fields {
        traffic_class: request.traffic_class() & DSCP_MASK,
        flow_label: 0,
        payload_len,
        next_header: protocol::ICMPV6,
        hop_limit: TTL,
        source: Ipv6Addr::from_bits(request.destination()),
        destination: requester,
    };
    write_reply(packet, &header.header(), message, icmp6::message::ECHO_REPLY, rest)
}

/// Puts `header` in front of the message, which is the bytes `message` of the packet, moving it up
/// over options and extension headers, and makes it a reply. `rest` is the sum of all that the
/// checksum covers behind the message's first four bytes.
fn write_reply(
    packet: &mut [u8],
    header: &[u8],
    message: Range<usize>,
    kind: u8,
    rest: u64,
) -> Echo {
    let len = header.len() + message.len();
    if message.start < header.len() || message.end > packet.len() {
        return Echo::NotRequest;
    }
    // A reply carries no options: record route and timestamp are not filled in.
    if message.start > header.len() {
        packet.copy_within(message, header.len());
    }
    let (front, reply) = packet.split_at_mut(header.len());
    front.copy_from_slice(header);
    let kind_and_code = u16::from(kind) << 8;
    let check = !fold(rest + u64::from(kind_and_code));
    write_u16(reply, icmp4::offset::TYPE, kind_and_code);
    write_u16(reply, icmp4::offset::CHECKSUM, check);
    Echo::Reply { len }
}

#[cfg(test)]
mod tests;
