//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// The ones-complement sum of `bytes` as big-endian words, added to `start`, not yet folded. An
/// odd last byte counts as if a zero followed.
#[inline]
pub fn sum(start: u64, bytes: &[u8]) -> u64 {
    start + u64::from(sum_as_stored(0, bytes).swap_bytes())
}

/// The ones-complement sum of `bytes`, added to `start`, folded: in large words, as they stand in
/// memory. Its bytes, and those of `start`, are in memory's order too: the sum does not care (RFC 1071 §2).
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves of the total are added")]
pub fn sum_as_stored(start: u128, bytes: &[u8]) -> u16 {
    let mut sum = WideSum { total: start, carries: 0 };
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<32>() {
        let (words, _) = block.as_chunks::<16>();
        for word in words {
            sum.add(u128::from_le_bytes(*word));
        }
        rest = behind;
    }
    if let Some((word, behind)) = rest.split_first_chunk::<16>() {
        sum.add(u128::from_le_bytes(*word));
        rest = behind;
    }
    if let Some((word, behind)) = rest.split_first_chunk::<8>() {
        sum.add(u64::from_le_bytes(*word).into());
        rest = behind;
    }
    if !rest.is_empty() {
        // What is left are the last bytes of the last eight, if there are so many; often just four.
        let last = match (<&[u8; 4]>::try_from(rest), bytes.last_chunk()) {
            (Ok(four), _) => u32::from_le_bytes(*four).into(),
            (_, Some(last)) => u64::from_le_bytes(*last).wrapping_shr(64 - 8 * rest.len() as u32),
            (_, None) => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        sum.add(last.into());
    }
    let (low, carry) = (sum.total as u64).overflowing_add((sum.total >> 64) as u64);
    let (low, more) = low.overflowing_add(sum.carries + u64::from(carry));
    fold_as_stored(low.wrapping_add(more.into()))
}

/// A sum of large words.
struct WideSum {
    total: u128,
    /// Those out of the total: a slice has fewer words than this can count.
    carries: u64,
}

impl WideSum {
    #[inline]
    fn add(&mut self, word: u128) {
        let (total, carry) = self.total.overflowing_add(word);
        self.total = total;
        self.carries += u64::from(carry);
    }
}

/// Folds a sum into 16 bits.
#[inline]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum & 0xffff) as u16
}

/// The ones-complement sum of 20 bytes, folded: two words of eight bytes and one of four, as they
/// stand in memory. Its bytes are in memory's order too: the sum does not care (RFC 1071 §2).
#[inline]
pub const fn sum_of_20(words: [u64; 2], last: u32) -> u16 {
    fold_as_stored(sum_of_three(words, last))
}

/// Whether 20 bytes, of which one is not 0, sum to all ones, as a header with its checksum does: two words of eight
/// bytes and one of four, as they stand in memory.
#[inline]
pub const fn is_right_20(words: [u64; 2], last: u32) -> bool {
    // A sum is all ones if it is a multiple of 65535, and so is one of eight bytes, as 2^64 - 1 is one. A product with
    // the inverse of an odd divisor is small for its multiples alone (Granlund and Montgomery 1994, section 9).
    const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
    const QUOTIENT_MAX: u64 = u64::MAX / 0xffff;
    const { assert!(INVERSE.wrapping_mul(0xffff) == 1) };
    sum_of_three(words, last).wrapping_mul(INVERSE) <= QUOTIENT_MAX
}

/// The ones-complement sum of two words of eight bytes and one of four.
#[inline]
const fn sum_of_three(words: [u64; 2], last: u32) -> u64 {
    let (sum, carry) = words[0].overflowing_add(words[1]);
    let (sum, more) = sum.overflowing_add(last as u64 + carry as u64);
    sum.wrapping_add(more as u64)
}

/// Folds a sum of eight bytes into 16 bits.
#[inline]
pub const fn fold_as_stored(sum: u64) -> u16 {
    // Added to itself with the halves exchanged, the upper half is the sum of both, carry included.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The checksum of `bytes`: over a header whose checksum field is 0 the value to write, over a
/// header with its checksum 0 when it is right.
#[inline]
pub fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(0, bytes))
}

/// The checksum after one 16-bit word that it covers went from `old` to `new`.
#[inline]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    //= RFC 1624 §3: HC' = ~(~HC + ~m + m'), which never makes 0xFFFF out of a good checksum.
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// The sum of the pseudo-header of TCP, UDP and `ICMPv6` (RFC 768, RFC 8200 §8.1). `addresses` are
/// source and destination as they stand in the IP header, of either family.
#[inline]
pub fn pseudo_header(addresses: &[u8], protocol: u8, len: u32) -> u64 {
    sum(u64::from(protocol) + u64::from(len), addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_update_follows_the_example_of_rfc_1624() {
        assert_eq!(update(0xDD2F, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn the_checksum_of_rfc_1071_comes_out() {
        //= RFC 1071 §3: the sum of these bytes is 0xDDF2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(0, &bytes)), 0xddf2);
    }

    proptest! {
        #[test]
        fn the_sum_equals_the_reference_of_etherparse(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let reference = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes);
            prop_assert_eq!(checksum(&bytes), reference.ones_complement().to_be());
        }

        #[test]
        fn twenty_bytes_are_right_if_their_checksum_is_0(
            mut bytes: [u8; 20], mend: bool, near in 0_u16..3,
        ) {
            bytes[0] |= 1;
            if mend {
                bytes[10..12].fill(0);
                let right = checksum(&bytes);
                bytes[10..12].copy_from_slice(&right.wrapping_add(near).wrapping_sub(1).to_be_bytes());
            }
            let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            let last = u32::from_le_bytes(bytes[16..].try_into().unwrap());
            prop_assert_eq!(is_right_20([word(0), word(8)], last), checksum(&bytes) == 0);
        }

        #[test]
        fn an_update_equals_a_full_checksum(
            mut bytes in proptest::collection::vec(any::<u8>(), 20..21), at in 0_usize..9, new: u16,
        ) {
            let at = 2 * at;
            let before = checksum(&bytes);
            let old = super::super::read_u16(&bytes, at);
            super::super::write_u16(&mut bytes, at, new);
            // Ones-complement has two zeros; sums of headers that are not all zero never differ.
            prop_assume!(bytes.iter().any(|&byte| byte != 0));
            let full = checksum(&bytes);
            let updated = update(before, old, new);
            prop_assert!(updated == full || (updated ^ full) == 0xffff && full.min(updated) == 0);
        }
    }
}
