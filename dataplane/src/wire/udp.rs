//! UDP headers (RFC 768), and their checksum over either version of IP.

use super::checksum::{fold, pseudo_header, sum};
use super::{ipv4, ipv6, protocol, read_u16, write_u16};

/// Bytes of the header: source port, destination port, length, checksum.
pub const HEADER_LEN: usize = 8;

/// The same.
pub const HEADER_LEN_U16: u16 = 8;

const _: () = assert!(HEADER_LEN == HEADER_LEN_U16 as usize);

/// Where the fields are.
pub mod offset {
    /// Source port.
    pub const SOURCE: usize = 0;
    /// Destination port.
    pub const DESTINATION: usize = 2;
    /// Length of header and payload.
    pub const LENGTH: usize = 4;
    /// Checksum; 0: none.
    pub const CHECKSUM: usize = 6;
}

/// A datagram that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpError {
    /// Its length is less than a header's, or more than there is.
    Short,
    /// Its checksum is wrong.
    Checksum,
}

/// A checked datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// It, from its header on, without what the IP packet has behind it.
    pub bytes: &'a [u8],
    /// It says that no checksum was computed. Whether that may be is for the caller to know.
    pub has_no_checksum: bool,
}

impl<'a> Datagram<'a> {
    /// The datagram at `at` of an IP packet whose own header has been checked.
    ///
    /// # Errors
    /// When it must be dropped.
    #[inline]
    pub fn parse(packet: &'a [u8], at: usize) -> Result<Self, UdpError> {
        let payload = packet.get(at..).unwrap_or(&[]);
        let len = usize::from(read_u16(payload, offset::LENGTH));
        let is_long_enough = payload.len() >= HEADER_LEN && len >= HEADER_LEN;
        let bytes = payload.get(..len).filter(|_| is_long_enough).ok_or(UdpError::Short)?;
        //= RFC 768: a checksum of 0 says that none was computed.
        let has_no_checksum = read_u16(bytes, offset::CHECKSUM) == 0;
        if !has_no_checksum && fold(sum(pseudo(packet, len), bytes)) != u16::MAX {
            return Err(UdpError::Checksum);
        }
        Ok(Self { bytes, has_no_checksum })
    }

    /// The port that it is for.
    #[inline]
    pub fn destination(&self) -> u16 {
        read_u16(self.bytes, offset::DESTINATION)
    }
}

/// Fills in the checksum of the datagram at `at` of a packet whose IP header has its addresses.
pub fn set_checksum(packet: &mut [u8], at: usize) {
    let len = packet.len().saturating_sub(at);
    if len < HEADER_LEN {
        return;
    }
    write_u16(packet, at + offset::CHECKSUM, 0);
    let datagram = packet.get(at..).unwrap_or(&[]);
    let checksum = !fold(sum(pseudo(packet, len), datagram));
    //= RFC 768: a checksum that comes to 0 is sent as all ones.
    let sent = if checksum == 0 { u16::MAX } else { checksum };
    write_u16(packet, at + offset::CHECKSUM, sent);
}

/// The sum of the pseudo-header of a datagram of `len` bytes.
#[inline]
fn pseudo(packet: &[u8], len: usize) -> u64 {
    let addresses = if packet.first().is_some_and(|first| first >> 4 == 4) {
        packet.get(ipv4::offset::SOURCE..ipv4::HEADER_LEN)
    } else {
        packet.get(ipv6::offset::SOURCE..ipv6::HEADER_LEN)
    };
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    pseudo_header(addresses.unwrap_or(&[]), protocol::UDP, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpNumber, Ipv4Header, Ipv6Header, UdpHeader};
    use proptest::prelude::*;

    fn packet(is_ipv4: bool, payload: &[u8], source_port: u16) -> Vec<u8> {
        let len = u16::try_from(payload.len() + 8).unwrap();
        if is_ipv4 {
            let ip = Ipv4Header::new(len, 64, IpNumber::UDP, [192, 0, 2, 1], [203, 0, 113, 2]);
            let ip = ip.unwrap();
            let udp = UdpHeader::with_ipv4_checksum(source_port, 6080, &ip, payload).unwrap();
            [&ip.to_bytes()[..], &udp.to_bytes(), payload].concat()
        } else {
            let ip = Ipv6Header {
                payload_length: len,
                next_header: IpNumber::UDP,
                source: [0x20; 16],
                destination: [0x26; 16],
                ..Ipv6Header::default()
            };
            let udp = UdpHeader::with_ipv6_checksum(source_port, 6080, &ip, payload).unwrap();
            [&ip.to_bytes()[..], &udp.to_bytes(), payload].concat()
        }
    }

    proptest! {
        #[test]
        fn the_checksum_is_the_reference_encoders_and_any_wrong_bit_is_noticed(
            is_ipv4: bool, payload in proptest::collection::vec(any::<u8>(), 0..80), port: u16,
            at: prop::sample::Index, bit in 0_u8..8,
        ) {
            let reference = packet(is_ipv4, &payload, port);
            let start = if is_ipv4 { 20 } else { 40 };
            let datagram = Datagram::parse(&reference, start).unwrap();
            prop_assert_eq!(datagram.destination(), 6080);
            let mut ours = reference.clone();
            ours[start + 6..start + 8].fill(0xee);
            set_checksum(&mut ours, start);
            prop_assert_eq!(&ours, &reference);
            let at = start + at.index(reference.len() - start);
            ours[at] ^= 1 << bit;
            let is_length = (start + 4..start + 6).contains(&at);
            let is_gone = ours[start + 6..start + 8] == [0, 0];
            prop_assume!(!is_length && !is_gone);
            prop_assert_eq!(Datagram::parse(&ours, start), Err(UdpError::Checksum));
        }
    }

    #[test]
    fn a_length_that_lies_is_short_and_what_follows_the_datagram_is_not_its() {
        let mut packet = packet(true, &[7; 12], 5);
        packet[26..28].fill(0);
        for (len, expected) in [(7_u16, None), (8, Some(8)), (20, Some(20)), (21, None)] {
            packet[24..26].copy_from_slice(&len.to_be_bytes());
            let parsed = Datagram::parse(&packet, 20).map(|datagram| datagram.bytes.len());
            assert_eq!(parsed, expected.ok_or(UdpError::Short), "{len}");
        }
        assert_eq!(Datagram::parse(&packet[..27], 20), Err(UdpError::Short));
        assert_eq!(Datagram::parse(&packet, 90), Err(UdpError::Short));
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_all_ones() {
        let mut packet = packet(true, &[0; 2], 0);
        let sum = read_u16(&packet, 26);
        // What is added to the payload is taken from the sum.
        packet[28..30].copy_from_slice(&sum.to_be_bytes());
        set_checksum(&mut packet, 20);
        assert_eq!(packet[26..28], [0xff, 0xff]);
    }
}
