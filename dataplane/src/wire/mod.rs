//! The bytes on the wire: header layouts, numbers and checksums. Nothing here knows a table.

pub mod arp;
pub mod checksum;
pub mod erspan;
pub mod ethernet;
pub mod gre;
pub mod icmp4;
pub mod icmp6;
pub mod ipv4;
pub mod ipv6;
pub mod minimal;
pub mod mld;
pub mod mpls;
pub mod nd;
pub mod udp;

use core::net::IpAddr;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// `IPv4` or `IPv6`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }
}

/// Numbers of IP protocols and IPv6 next headers (IANA).
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IPv4 in IP.
    pub const IPV4: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IP.
    pub const IPV6: u8 = 41;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Generic routing encapsulation.
    pub const GRE: u8 = 47;
    /// Encapsulating security payload.
    pub const ESP: u8 = 50;
    /// Authentication header.
    pub const AH: u8 = 51;
    /// Minimal encapsulation (RFC 2004).
    pub const MINIMAL: u8 = 55;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6: nothing follows.
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// Ethernet in IP.
    pub const ETHER_IP: u8 = 97;
    /// MPLS in IP.
    pub const MPLS: u8 = 137;
    /// A whole Ethernet frame (RFC 8986); here, what tunnels of frames carry.
    pub const ETHERNET: u8 = 143;
}

/// The `N` bytes at `at`. One comparison where `at` is a constant, which `bytes.get(at..)?.first_chunk()` is not.
#[inline]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.first_chunk()
}

/// The same, to be changed.
#[inline]
fn chunk_mut<const N: usize>(bytes: &mut [u8], at: usize) -> Option<&mut [u8; N]> {
    bytes.get_mut(at..at.checked_add(N)?)?.first_chunk_mut()
}

/// The two bytes at `at`, as a number; 0 when they are not there.
#[inline]
pub fn read_u16(bytes: &[u8], at: usize) -> u16 {
    match chunk::<2>(bytes, at) {
        Some(chunk) => u16::from_be_bytes(*chunk),
        None => 0,
    }
}

/// The four bytes at `at`, as a number; 0 when they are not there.
#[inline]
pub fn read_u32(bytes: &[u8], at: usize) -> u32 {
    match chunk::<4>(bytes, at) {
        Some(chunk) => u32::from_be_bytes(*chunk),
        None => 0,
    }
}

/// The sixteen bytes at `at`, as a number; 0 when they are not there.
#[inline]
pub fn read_u128(bytes: &[u8], at: usize) -> u128 {
    match chunk::<16>(bytes, at) {
        Some(chunk) => u128::from_be_bytes(*chunk),
        None => 0,
    }
}

/// Writes two bytes at `at`; does nothing where they don't fit.
#[inline]
pub fn write_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(chunk) = chunk_mut::<2>(bytes, at) {
        *chunk = value.to_be_bytes();
    }
}

/// Writes four bytes at `at`; does nothing where they don't fit.
#[inline]
pub fn write_u32(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(chunk) = chunk_mut::<4>(bytes, at) {
        *chunk = value.to_be_bytes();
    }
}
