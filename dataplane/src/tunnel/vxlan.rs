//! VXLAN headers (RFC 7348), behind UDP and in front of an Ethernet frame.
//!
//! ```text
//!  0               1                     4                           7
//! +---------------+---------------------+---------------------------+----------+
//! | flags: 0x08   | reserved            | network identifier        | reserved |
//! +---------------+---------------------+---------------------------+----------+
//! ```

use super::udp::Behind;
use crate::counters::Counter;
use crate::wire::{protocol, read_u32, write_u32};

/// Bytes of the header.
pub(super) const HEADER_LEN: usize = 8;

/// The network identifier is there.
const HAS_ID: u32 = 0x0800_0000;
const ID_SHIFT: u32 = 8;
const RESERVED_BEHIND: u32 = 0xff;

/// What a tunnel wants of its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vxlan {
    /// The network identifier, 24 bits.
    pub id: u32,
    /// Nothing may be in reserved bits.
    pub is_strict: bool,
}

/// Writes a header to the start of `bytes`.
pub(super) fn write(bytes: &mut [u8], id: u32) {
    write_u32(bytes, 0, HAS_ID);
    write_u32(bytes, 4, id << ID_SHIFT);
}

/// Reads the header at the start of a UDP payload.
///
/// # Errors
/// The drop counter, when it must be refused.
pub(super) fn read(payload: &[u8]) -> Result<Behind, Counter> {
    if payload.len() < HEADER_LEN {
        return Err(Counter::TunShimShort);
    }
    if read_u32(payload, 0) & HAS_ID == 0 {
        return Err(Counter::VxlanNoIFlag);
    }
    Ok(Behind { len: HEADER_LEN, carried: protocol::ETHERNET, id: Some(id(payload)) })
}

/// Whether something is in reserved bits of a whole header.
pub(super) fn has_reserved(payload: &[u8]) -> bool {
    //= RFC 7348 §5: reserved fields are ignored on receipt; Linux drops the packet.
    read_u32(payload, 0) != HAS_ID || read_u32(payload, 4) & RESERVED_BEHIND != 0
}

/// The network identifier of a whole header.
pub(super) fn id(payload: &[u8]) -> u32 {
    read_u32(payload, 4) >> ID_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_refuses_for_its_own_reason() {
        let right = Behind { len: 8, carried: protocol::ETHERNET, id: Some(0x00_002a) };
        for (bytes, expected) in [
            (&[8, 0, 0, 0, 0, 0, 42][..], Err(Counter::TunShimShort)),
            (&[0, 0, 0, 0, 0, 0, 42, 0], Err(Counter::VxlanNoIFlag)),
            (&[8, 0, 0, 0, 0, 0, 42, 0], Ok(right)),
            (&[0xff, 1, 2, 3, 0, 0, 42, 5], Ok(right)),
        ] {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written_and_any_other_bit_is_a_reserved_one() {
        let mut bytes = [0xee; 8];
        write(&mut bytes, 0x00ab_cdef);
        assert_eq!(bytes, [8, 0, 0, 0, 0xab, 0xcd, 0xef, 0]);
        assert!(!has_reserved(&bytes));
        for bit in (0..64).filter(|bit| *bit != 3 && !(32..56).contains(bit)) {
            let mut wrong = bytes;
            wrong[bit / 8] ^= 0x80 >> (bit % 8);
            if bit != 4 {
                assert!(has_reserved(&wrong), "bit {bit}");
            }
        }
    }
}
