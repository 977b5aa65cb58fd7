//! The minimal forwarding header (RFC 2004), and the IPv4 header in front of it, which is the sender's own with other
//! addresses: folding a packet's header so, and unfolding it.
//!
//! ```text
//!  0          1               2          4                      8
//! +----------+---------------+----------+----------------------+----------------------+
//! | protocol | S, 7 reserved | checksum | original destination | [original source]    |
//! +----------+---------------+----------+----------------------+----------------------+
//! ```

use super::checksum::checksum;
use super::ipv4::{self, Ipv4};
use super::{protocol, read_u32, write_u16, write_u32};

/// Bytes of a header without the source.
pub const HEADER_LEN: usize = 8;
/// The same, as lengths stand in headers.
pub const HEADER_LEN_U16: u16 = 8;
/// Bytes of the source, where it is there.
pub const SOURCE_LEN: usize = 4;
/// The same, as lengths stand in headers.
pub const SOURCE_LEN_U16: u16 = 4;
/// Bytes of a header with everything.
pub const HEADER_LEN_MAX: usize = HEADER_LEN + SOURCE_LEN;

/// The original source is there.
const HAS_SOURCE: u8 = 0x80;

/// Where the fields are.
mod offset {
    pub(super) const FLAGS: usize = 1;
    pub(super) const CHECKSUM: usize = 2;
    pub(super) const DESTINATION: usize = 4;
    pub(super) const SOURCE: usize = 8;
}

/// What a header says: those fields of the sender's IPv4 header that are others while the packet is in the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minimal {
    /// The protocol of what follows.
    pub protocol: u8,
    /// The original destination.
    pub destination: u32,
    /// The original source; `None`: that of the IPv4 header in front.
    pub source: Option<u32>,
}

/// A header that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinimalError {
    /// Cut off before its end.
    Short,
    /// The checksum over it is wrong.
    Checksum,
}

impl Minimal {
    /// Reads the header at the start of `bytes`. Reserved bits are ignored.
    ///
    /// # Errors
    /// When it must be refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, MinimalError> {
        let flags = *bytes.get(offset::FLAGS).ok_or(MinimalError::Short)?;
        let header = bytes.get(..header_len(flags)).ok_or(MinimalError::Short)?;
        //= RFC 2004 §3.1: the checksum is that of the minimal forwarding header alone.
        if checksum(header) != 0 {
            return Err(MinimalError::Checksum);
        }
        Ok(Self {
            protocol: header.first().copied().unwrap_or_default(),
            destination: read_u32(header, offset::DESTINATION),
            source: (flags & HAS_SOURCE != 0).then(|| read_u32(header, offset::SOURCE)),
        })
    }

    /// What is kept of an IPv4 header when `encapsulator` becomes its source.
    pub fn of(header: Ipv4<'_>, encapsulator: u32) -> Self {
        //= RFC 2004 §3.1: the source is there unless the encapsulator is the original source.
        let source = Some(header.source()).filter(|&source| source != encapsulator);
        Self { protocol: header.protocol(), destination: header.destination(), source }
    }

    /// How many bytes it has.
    pub const fn header_len(self) -> usize {
        header_len(if self.source.is_some() { HAS_SOURCE } else { 0 })
    }

    /// The same, as lengths stand in headers.
    pub const fn header_len_u16(self) -> u16 {
        HEADER_LEN_U16 + if self.source.is_some() { SOURCE_LEN_U16 } else { 0 }
    }

    /// Writes it to the start of `bytes`; does nothing where it does not fit.
    pub fn write(self, bytes: &mut [u8]) {
        let Some(header) = bytes.get_mut(..self.header_len()) else { return };
        header.fill(0);
        if let Some(first) = header.first_mut() {
            *first = self.protocol;
        }
        write_u32(header, offset::DESTINATION, self.destination);
        if let Some(source) = self.source {
            if let Some(flags) = header.get_mut(offset::FLAGS) {
                *flags = HAS_SOURCE;
            }
            write_u32(header, offset::SOURCE, source);
        }
        let sum = checksum(header);
        write_u16(header, offset::CHECKSUM, sum);
    }
}

/// How many bytes a header with these flags has.
const fn header_len(flags: u8) -> usize {
    if flags & HAS_SOURCE == 0 { HEADER_LEN } else { HEADER_LEN_MAX }
}

/// How many bytes the header at the start of `bytes` has, which may be cut off; nothing is checked.
pub fn len_at(bytes: &[u8]) -> usize {
    bytes.get(offset::FLAGS).map_or(HEADER_LEN_MAX, |&flags| header_len(flags))
}

/// Writes those fields of the IPv4 header at the start of `packet` that folding changes: protocol, addresses and, by
/// them and the total length, the checksum.
pub fn set_header(
    packet: &mut [u8],
    ip_protocol: u8,
    (source, destination): (u32, u32),
    total_len: u16,
) {
    let header_len = Ipv4::trusted(packet).header_len();
    let Some(header) = packet.get_mut(..header_len) else { return };
    if let Some(field) = header.get_mut(ipv4::offset::PROTOCOL) {
        *field = ip_protocol;
    }
    write_u16(header, ipv4::offset::TOTAL_LENGTH, total_len);
    write_u32(header, ipv4::offset::SOURCE, source);
    write_u32(header, ipv4::offset::DESTINATION, destination);
    write_u16(header, ipv4::offset::CHECKSUM, 0);
    //= RFC 2004 §3.1, §3.2: the checksum of the IP header is computed anew, either way.
    let sum = checksum(header);
    write_u16(header, ipv4::offset::CHECKSUM, sum);
}

/// Writes the packet whose header is folded into that of `folded`, or as much of it as there is, to the start of
/// `room`. Returns how many bytes that are, and how many the forwarding header had. `None`: it is no such packet, or
/// too little of it is there.
pub fn unfold(folded: &[u8], room: &mut [u8]) -> Option<(usize, u16)> {
    let outer = Ipv4::trusted(folded);
    let (header_len, total_len) = (outer.header_len(), outer.total_len());
    let is_later_piece = outer.fragment_field() & ipv4::OFFSET_MASK != 0;
    if header_len < ipv4::HEADER_LEN || outer.protocol() != protocol::MINIMAL || is_later_piece {
        return None;
    }
    let minimal = Minimal::parse(folded.get(header_len..)?).ok()?;
    let payload = folded.get(header_len + minimal.header_len()..)?;
    let header = room.get_mut(..header_len)?;
    header.copy_from_slice(folded.get(..header_len)?);
    let ends = (minimal.source.unwrap_or_else(|| outer.source()), minimal.destination);
    set_header(header, minimal.protocol, ends, total_len.checked_sub(minimal.header_len_u16())?);
    let place = room.get_mut(header_len..)?;
    let count = payload.len().min(place.len());
    place.get_mut(..count)?.copy_from_slice(payload.get(..count)?);
    Some((header_len + count, minimal.header_len_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From 10.1.0.5 to 10.2.0.8, UDP, by 198.51.100.1. The sum of 0x1180 + 0x0a02 + 0x0008 + 0x0a01 + 0x0005 is 0x2590.
    const WITH_SOURCE: [u8; 12] = [17, 0x80, 0xda, 0x6f, 10, 2, 0, 8, 10, 1, 0, 5];
    /// The same from 198.51.100.1 itself. 0x1100 + 0x0a02 + 0x0008 is 0x1b0a.
    const WITHOUT: [u8; 8] = [17, 0, 0xe4, 0xf5, 10, 2, 0, 8];

    #[test]
    fn a_header_has_the_bytes_of_rfc_2004_figure_3() {
        let with = Minimal { protocol: 17, destination: 0x0a02_0008, source: Some(0x0a01_0005) };
        let without = Minimal { source: None, ..with };
        for (header, bytes) in [(with, &WITH_SOURCE[..]), (without, &WITHOUT[..])] {
            let mut room = [0xaa; 12];
            header.write(&mut room);
            assert_eq!(&room[..header.header_len()], bytes);
            assert_eq!(Minimal::parse(bytes), Ok(header));
            assert_eq!(len_at(bytes), bytes.len());
        }
    }

    #[test]
    fn a_header_that_is_cut_or_changed_anywhere_is_refused() {
        for bytes in [&WITH_SOURCE[..], &WITHOUT[..]] {
            for len in 0..bytes.len() {
                assert_eq!(Minimal::parse(&bytes[..len]), Err(MinimalError::Short), "{len}");
            }
            for bit in 0..bytes.len() * 8 {
                // The flag itself says how long the header is.
                if bit == 8 {
                    continue;
                }
                let mut changed = bytes.to_vec();
                changed[bit / 8] ^= 0x80 >> (bit % 8);
                assert_eq!(Minimal::parse(&changed), Err(MinimalError::Checksum), "bit {bit}");
            }
        }
    }
}
