//! ICMP for IPv4 (RFC 792): the numbers of its messages and where the fields are.

use super::checksum::sum_as_stored;

/// Bytes of the header: type, code, checksum, and four more that depend on the type.
pub const HEADER_LEN: usize = 8;

/// Where the fields are.
pub mod offset {
    /// Type and code.
    pub const TYPE: usize = 0;
    /// Checksum over the whole message.
    pub const CHECKSUM: usize = 2;
    /// Parameter problem: which byte is wrong.
    pub const POINTER: usize = 4;
    /// Fragmentation needed: the MTU of the next hop (RFC 1191 §4).
    pub const MTU: usize = 6;
}

/// Types of messages (IANA).
pub mod message {
    /// Answer to an echo request.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Source quench, long deprecated.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// Codes of [`message::UNREACHABLE`].
pub mod unreachable {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// The host does not answer.
    pub const HOST: u8 = 1;
    /// Nobody speaks that protocol here.
    pub const PROTOCOL: u8 = 2;
    /// Nobody listens on that port.
    pub const PORT: u8 = 3;
    /// Too big, and it may not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Forbidden by an administrator.
    pub const PROHIBITED: u8 = 13;
}

/// Codes of [`message::TIME_EXCEEDED`].
pub mod time_exceeded {
    /// The time to live ran out on the way.
    pub const TRANSIT: u8 = 0;
    /// Fragments were missing for too long.
    pub const REASSEMBLY: u8 = 1;
}

/// Whether the checksum of a message is right.
#[inline]
pub fn is_right(message: &[u8]) -> bool {
    sum_as_stored(0, message) == u16::MAX
}

/// Whether a message of this type reports an error (RFC 1122 §3.2.2).
#[inline]
pub const fn is_error(kind: u8) -> bool {
    matches!(
        kind,
        message::UNREACHABLE
            | message::SOURCE_QUENCH
            | message::REDIRECT
            | message::TIME_EXCEEDED
            | message::PARAMETER_PROBLEM
    )
}
