//! GRE headers (RFC 2784, RFC 2890).
//!
//! ```text
//!  0      2               4             [4]            [4]
//! +------+---------------+-------------+--------------+--------------+
//! | bits | protocol type | [checksum,0]| [key]        | [sequence]   |
//! +------+---------------+-------------+--------------+--------------+
//! ```

use super::{checksum, read_u16, read_u32};

/// A checksum is there.
pub const CHECKSUM: u16 = 0x8000;
/// A key is there.
pub const KEY: u16 = 0x2000;
/// A sequence number is there.
pub const SEQUENCE: u16 = 0x1000;
/// The protocol type of keepalives, which have no payload.
pub const KEEPALIVE: u16 = 0;

/// Bits that a receiver must refuse: 1 (routing), 4 and 5.
const REFUSED: u16 = 0x4c00;
const VERSION: u16 = 0x0007;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 4;
/// Bytes of a header with all options.
pub const HEADER_LEN_MAX: usize = 16;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre {
    /// Its bytes, options included.
    pub header_len: usize,
    /// What follows, as an Ethernet type.
    pub protocol_type: u16,
    /// A checksum is there.
    pub has_checksum: bool,
    /// The key, if there is one.
    pub key: Option<u32>,
    /// The sequence number, if there is one.
    pub sequence: Option<u32>,
}

/// A header that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreError {
    /// Cut off before its end.
    Short,
    /// Another version: 1 is PPTP's.
    Version,
    /// With routing, or reserved bits that a receiver must not ignore.
    Flags,
}

impl Gre {
    /// Reads the header at the start of `bytes`. Its checksum is not looked at.
    ///
    /// # Errors
    /// When it must be refused (RFC 2784 §2.3).
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, GreError> {
        let Some(&[a, b, c, d]) = bytes.first_chunk() else { return Err(GreError::Short) };
        let flags = u16::from_be_bytes([a, b]);
        let header_len = header_len(flags);
        if bytes.len() < header_len {
            return Err(GreError::Short);
        }
        if flags & VERSION != 0 {
            return Err(GreError::Version);
        }
        if flags & REFUSED != 0 {
            //= RFC 2784 §2.3: bits 1 to 5 must be 0 unless RFC 1701 or 2890 is implemented; §2.3.1: bits 6
            //= to 12 must be ignored.
            return Err(GreError::Flags);
        }
        let mut at = HEADER_LEN + if flags & CHECKSUM == 0 { 0 } else { 4 };
        let mut option = |flag| {
            (flags & flag != 0).then(|| {
                at += 4;
                read_u32(bytes, at - 4)
            })
        };
        let (key, sequence) = (option(KEY), option(SEQUENCE));
        Ok(Self {
            header_len,
            protocol_type: u16::from_be_bytes([c, d]),
            has_checksum: flags & CHECKSUM != 0,
            key,
            sequence,
        })
    }

    /// Whether the checksum over the header and all that follows is right, if there is one. `bytes` begin
    /// at the header.
    #[inline]
    pub fn is_right(&self, bytes: &[u8]) -> bool {
        !self.has_checksum || has_right_sum(bytes)
    }
}

#[inline(never)]
fn has_right_sum(bytes: &[u8]) -> bool {
    checksum::checksum(bytes) == 0
}

/// How many bytes a header with these flags has.
#[inline]
pub const fn header_len(flags: u16) -> usize {
    HEADER_LEN + 4 * (flags & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize
}

/// Fills in the checksum of a header at the start of `bytes` that has room for one, over all of `bytes`.
pub fn set_checksum(bytes: &mut [u8]) {
    super::write_u16(bytes, HEADER_LEN, 0);
    //= RFC 2784 §2.5: over header and payload, with the field as zero.
    let sum = checksum::checksum(bytes);
    super::write_u16(bytes, HEADER_LEN, sum);
}

/// The flags and protocol type that stand at the start of `bytes`.
#[inline]
pub fn first_words(bytes: &[u8]) -> (u16, u16) {
    (read_u16(bytes, 0), read_u16(bytes, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_receiver_must_refuse_is_refused_and_nothing_else() {
        for bit in 0..16 {
            let flags = 0x8000_u16 >> bit;
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&flags.to_be_bytes());
            bytes[2..4].copy_from_slice(&[8, 0]);
            let expected = match bit {
                1 | 4 | 5 => Err(GreError::Flags),
                13..=15 => Err(GreError::Version),
                _ => Ok(0x0800),
            };
            assert_eq!(Gre::parse(&bytes).map(|gre| gre.protocol_type), expected, "bit {bit}");
        }
    }

    #[test]
    fn options_stand_in_their_order_and_a_cut_header_is_short() {
        let bytes = [0xb0, 0, 0x86, 0xdd, 0x11, 0x22, 0, 0, 1, 2, 3, 4, 0, 0, 0, 9];
        let gre = Gre::parse(&bytes).unwrap();
        assert_eq!((gre.key, gre.sequence), (Some(0x0102_0304), Some(9)));
        assert_eq!((gre.header_len, gre.has_checksum), (16, true));
        for len in 0..16 {
            assert_eq!(Gre::parse(&bytes[..len]), Err(GreError::Short), "{len} bytes");
        }
    }

    proptest! {
        #[test]
        fn a_checksum_that_was_filled_in_is_right_until_a_bit_changes(
            mut bytes in proptest::collection::vec(any::<u8>(), 8..80), at: prop::sample::Index,
            bit in 0..8,
        ) {
            bytes[0] = 0x80;
            bytes[1] = 0;
            set_checksum(&mut bytes);
            let gre = Gre::parse(&bytes).unwrap();
            prop_assert!(gre.is_right(&bytes));
            let reference = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes);
            prop_assert_eq!(reference.ones_complement(), 0);
            let at = 2 + at.index(bytes.len() - 2);
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(!gre.is_right(&bytes));
        }
    }
}
