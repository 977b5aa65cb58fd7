//! ICMP for IPv6 (RFC 4443): the numbers of its messages and its checksum. Neighbour discovery has
//! numbers of its own.

use super::checksum::{fold, pseudo_header, sum, sum_as_stored};
use super::{ipv6, protocol};

/// Bytes of the header: type, code, checksum, and four more that depend on the type.
pub const HEADER_LEN: usize = 8;

/// Where the fields are.
pub mod offset {
    /// Type and code.
    pub const TYPE: usize = 0;
    /// Checksum over pseudo-header and message.
    pub const CHECKSUM: usize = 2;
    /// Parameter problem: which byte is wrong.
    pub const POINTER: usize = 4;
    /// Packet too big: the MTU of the next hop.
    pub const MTU: usize = 4;
}

/// Types of messages (IANA).
pub mod message {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 129;
    /// Query of multicast listener discovery (RFC 3810).
    pub const LISTENER_QUERY: u8 = 130;
    /// Somebody listens to a group (RFC 2710).
    pub const LISTENER_REPORT: u8 = 131;
    /// Redirect (RFC 4861).
    pub const REDIRECT: u8 = 137;
}

/// Codes of [`message::UNREACHABLE`].
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by an administrator.
    pub const PROHIBITED: u8 = 1;
    /// The address does not answer.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on that port.
    pub const PORT: u8 = 4;
}

/// Codes of [`message::TIME_EXCEEDED`].
pub mod time_exceeded {
    /// The hop limit ran out on the way.
    pub const TRANSIT: u8 = 0;
    /// Fragments were missing for too long.
    pub const REASSEMBLY: u8 = 1;
}

/// Codes of [`message::PARAMETER_PROBLEM`].
pub mod parameter_problem {
    /// A field that makes no sense.
    pub const FIELD: u8 = 0;
    /// A next header that nobody knows here.
    pub const NEXT_HEADER: u8 = 1;
    /// An option that nobody knows here.
    pub const OPTION: u8 = 2;
}

/// Whether a message of this type reports an error: its highest bit is 0 (RFC 4443 §2.1).
#[inline]
pub const fn is_error(kind: u8) -> bool {
    kind < 128
}

/// The sum, not yet folded, of the pseudo-header and the bytes of a message behind its first four
/// (type, code and checksum). `header` is the IPv6 header; `message` the whole message.
#[inline]
pub(crate) fn sum_behind_checksum(header: &[u8], message: &[u8]) -> u64 {
    let addresses = header.get(ipv6::offset::SOURCE..ipv6::HEADER_LEN).unwrap_or(&[]);
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let pseudo = pseudo_header(addresses, protocol::ICMPV6, len);
    sum(pseudo, message.get(4..).unwrap_or(&[]))
}

/// The checksum of a message. `header` is the IPv6 header in front of it; the checksum in
/// `message` is not looked at.
pub fn checksum(header: &[u8], message: &[u8]) -> u16 {
    let kind_and_code = u64::from(super::read_u16(message, 0));
    !fold(sum_behind_checksum(header, message) + kind_and_code)
}

/// Whether the checksum of a message is right. `header`: as for [`checksum`].
#[inline]
pub fn is_right(header: &[u8], message: &[u8]) -> bool {
    let addresses = header.get(ipv6::offset::SOURCE..ipv6::HEADER_LEN).unwrap_or(&[]);
    let rest = rest_of_pseudo_header(message.len());
    sum_as_stored(sum_as_stored(rest, addresses).into(), message) == u16::MAX
}

/// The same of the message that is all there is behind the IPv6 header of `packet`.
#[inline]
pub fn is_right_in(packet: &[u8]) -> bool {
    let summed = packet.get(ipv6::offset::SOURCE..).unwrap_or(&[]);
    let rest = rest_of_pseudo_header(packet.len().saturating_sub(ipv6::HEADER_LEN));
    sum_as_stored(rest, summed) == u16::MAX
}

/// What a pseudo-header has besides addresses, summed as it would be stored.
#[inline]
fn rest_of_pseudo_header(message_len: usize) -> u128 {
    let len = u32::try_from(message_len).unwrap_or(u32::MAX);
    u128::from(len.to_be()) + u128::from(u16::from(protocol::ICMPV6).to_be())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_checksum_is_right_where_it_was_written_and_nowhere_else(
            addresses: [u8; 32], mut message in proptest::collection::vec(any::<u8>(), 8..100),
            at in 0_usize..100, change in 1_u8..255,
        ) {
            let header = [&[0x60, 0, 0, 0, 0, 0, protocol::ICMPV6, 64], &addresses[..]].concat();
            let sum = checksum(&header, &message);
            crate::wire::write_u16(&mut message, offset::CHECKSUM, sum);
            let packet = |message: &[u8]| [&header, message].concat();
            prop_assert!(is_right(&header, &message) && is_right_in(&packet(&message)));
            let at = at % message.len();
            message[at] ^= change;
            prop_assert!(!is_right(&header, &message) && !is_right_in(&packet(&message)));
        }

        #[test]
        fn the_checksum_equals_the_reference_of_etherparse(
            source: [u8; 16], destination: [u8; 16],
            data in proptest::collection::vec(any::<u8>(), 0..100), id: u16, seq: u16,
        ) {
            let kind = etherparse::Icmpv6Type::EchoRequest(etherparse::IcmpEchoHeader { id, seq });
            let reference =
                etherparse::Icmpv6Header::with_checksum(kind, source, destination, &data).unwrap();
            let mut header = [0; 40];
            header[8..24].copy_from_slice(&source);
            header[24..].copy_from_slice(&destination);
            let mut message = reference.to_bytes().to_vec();
            message.extend(&data);
            prop_assert_eq!(checksum(&header, &message), reference.checksum);
        }
    }
}
