//! Ethernet II frames.

use core::fmt;
use core::str::FromStr;

use super::ipv4::{self, Ipv4};
use super::ipv6::{self, Ipv6};
use super::read_u16;

/// Bytes of the header: destination, source, type.
pub const HEADER_LEN: usize = 14;
/// The same.
pub const HEADER_LEN_U16: u16 = 14;

/// Types that the appliance knows.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: u16 = 0x8100;
    /// The outer one of two (IEEE 802.1ad).
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// MPLS labels.
    pub const MPLS: u16 = 0x8847;
    /// In GRE and GENEVE: an Ethernet frame.
    pub const TRANSPARENT_ETHERNET: u16 = 0x6558;
    /// In GRE: a mirrored Ethernet frame, ERSPAN types I and II.
    pub const ERSPAN_II: u16 = 0x88be;
    /// The same, type III.
    pub const ERSPAN_III: u16 = 0x22eb;
}

/// Bytes of a VLAN tag.
pub const TAG_LEN: usize = 4;

/// VLAN tags that are looked behind.
const TAGS_MAX: usize = 2;

/// What a frame carries behind its VLAN tags, of which two are looked behind: its type, and where it begins. The
/// frame has a header.
#[inline]
pub fn carried(frame: &[u8]) -> (u16, usize) {
    let (mut kind, mut at) = (read_u16(frame, HEADER_LEN - 2), HEADER_LEN);
    for _ in 0..TAGS_MAX {
        if !matches!(kind, ether_type::VLAN | ether_type::SERVICE_VLAN) {
            break;
        }
        (kind, at) = (read_u16(frame, at + 2), at + TAG_LEN);
    }
    (kind, at)
}

/// Bytes of VLAN tags in a frame whose packet begins at `at`.
#[inline]
pub fn tags_len(at: usize) -> u16 {
    u16::try_from(at.saturating_sub(HEADER_LEN)).unwrap_or(0)
}

/// Where the IP packet of a frame begins, if it carries one whose header is there and says no more than there is.
#[inline]
pub fn ip_at(frame: &[u8]) -> Option<usize> {
    let (kind, at) = carried(frame);
    let packet = frame.get(at..)?;
    let version = packet.first()? >> 4;
    let is_whole = match (kind, version) {
        (ether_type::IPV4, 4) if packet.len() >= ipv4::HEADER_LEN => {
            let header = Ipv4::trusted(packet);
            let total_len = usize::from(header.total_len());
            (ipv4::HEADER_LEN..=total_len).contains(&header.header_len())
                && total_len <= packet.len()
        }
        (ether_type::IPV6, 6) if packet.len() >= ipv6::HEADER_LEN => {
            Ipv6::trusted(packet).total_len() <= packet.len()
        }
        _ => false,
    };
    is_whole.then_some(at)
}

/// A MAC address.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group: the I/G bit.
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// As a number of 48 bits.
    #[inline]
    pub fn number(self) -> u64 {
        self.0.iter().fold(0, |all, &byte| all << 8 | u64::from(byte))
    }

    /// Whether it can be a station's own: neither a group nor all zeros.
    pub fn is_station(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a MAC address: six pairs of hexadecimal digits with colons between are expected")]
pub struct NotAMacAddress;

impl FromStr for MacAddress {
    type Err = NotAMacAddress;

    fn from_str(text: &str) -> Result<Self, NotAMacAddress> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().ok_or(NotAMacAddress)?;
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(NotAMacAddress);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| NotAMacAddress)?;
        }
        if parts.next().is_some() { Err(NotAMacAddress) } else { Ok(Self(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_of_a_frame_is_found_behind_two_tags_at_most() {
        const TAG: [u8; 4] = [0x81, 0, 0, 7];
        let mut ip = [0; ipv4::HEADER_LEN + 2];
        (ip[0], ip[3]) = (0x45, 20);
        for tags in 0..=3 {
            let frame = [&[2; 12][..], &TAG.repeat(tags), &[8, 0], &ip].concat();
            let expected = (tags <= 2).then_some(HEADER_LEN + tags * TAG_LEN);
            assert_eq!(ip_at(&frame), expected, "{tags} tags");
            for cut in HEADER_LEN..frame.len() - 2 {
                assert_eq!(ip_at(&frame[..cut]), None, "cut to {cut}");
            }
        }
        for (at, wrong) in [(0, 0x65), (0, 0x44), (3, 19), (3, 23)] {
            let mut ip = ip;
            ip[at] = wrong;
            assert_eq!(ip_at(&[&[2; 12][..], &[8, 0], &ip].concat()), None, "{at}: {wrong}");
        }
    }

    #[test]
    fn a_mac_address_reads_what_it_writes_and_refuses_the_rest() {
        let mac: MacAddress = "02:00:00:00:00:fe".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:00:00:00:fe");
        for wrong in
            ["", "02:00:00:00:00", "02:00:00:00:00:fe:01", "2:0:0:0:0:fe", "+2:00:00:00:00:fe"]
        {
            assert_eq!(wrong.parse::<MacAddress>(), Err(NotAMacAddress), "{wrong}");
        }
    }
}
