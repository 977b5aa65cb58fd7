//! Ethernet II frames.

use core::fmt;
use core::str::FromStr;

/// Bytes of the header: destination, source, type.
pub const HEADER_LEN: usize = 14;

/// Types that the appliance knows.
pub mod ether_type {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// MPLS labels.
    pub const MPLS: u16 = 0x8847;
    /// In GRE and GENEVE: an Ethernet frame.
    pub const TRANSPARENT_ETHERNET: u16 = 0x6558;
    /// In GRE: a mirrored Ethernet frame, ERSPAN types I and II.
    pub const ERSPAN_II: u16 = 0x88be;
    /// The same, type III.
    pub const ERSPAN_III: u16 = 0x22eb;
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
