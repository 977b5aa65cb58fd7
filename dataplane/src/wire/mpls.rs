//! MPLS label stacks (RFC 3032).
//!
//! ```text
//!  0                    20      23   24         32
//! +--------------------+-------+----+----------+
//! | label              | class | S  | TTL      |  one entry; S: the bottom of the stack
//! +--------------------+-------+----+----------+
//! ```

use core::fmt;

use super::{read_u32, write_u32};

/// Bytes of one entry.
pub const ENTRY_LEN: usize = 4;

/// Entries that a stack is looked through for its bottom.
pub const DEPTH_MAX: usize = 16;

/// The largest label.
pub const LABEL_MAX: u32 = 0xf_ffff;

/// Labels below this one have meanings of their own (RFC 3032 §2.1, RFC 7274).
pub const FIRST_FREE: u32 = 16;

/// A label, 0 to [`LABEL_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MplsLabel(u32);

/// A number that is no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("labels go from 0 to {LABEL_MAX}")]
pub struct NotALabel;

impl MplsLabel {
    /// Explicit null: IPv4 follows, whose routing counts (RFC 4182: or another entry).
    pub const IPV4_NULL: Self = Self(0);
    /// Explicit null: IPv6 follows.
    pub const IPV6_NULL: Self = Self(2);
    /// Implicit null: what a router says that wants the label gone before; no packet has it.
    pub const IMPLICIT_NULL: Self = Self(3);

    /// From a number.
    ///
    /// # Errors
    /// When it has more than 20 bits.
    pub const fn new(number: u32) -> Result<Self, NotALabel> {
        if number > LABEL_MAX { Err(NotALabel) } else { Ok(Self(number)) }
    }

    /// The number.
    #[inline]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it has a meaning of its own, and is nobody's to give.
    pub const fn is_reserved(self) -> bool {
        self.0 < FIRST_FREE
    }
}

impl fmt::Display for MplsLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One entry of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The label.
    pub label: MplsLabel,
    /// The traffic class, 0 to 7.
    pub class: u8,
    /// What follows is no entry.
    pub is_bottom: bool,
    /// The TTL.
    pub ttl: u8,
}

impl Entry {
    /// Reads the entry at the start of `bytes`; where they end before, what is missing is 0.
    #[inline]
    pub fn read(bytes: &[u8]) -> Self {
        let word = read_u32(bytes, 0);
        let [_, _, third, ttl] = word.to_be_bytes();
        Self { label: MplsLabel(word >> 12), class: third >> 1 & 7, is_bottom: third & 1 != 0, ttl }
    }

    /// Writes it to the start of `bytes`.
    #[inline]
    pub fn write(self, bytes: &mut [u8]) {
        let bottom = u32::from(self.is_bottom) << 8;
        let word = self.label.0 << 12 | u32::from(self.class) << 9 | bottom | u32::from(self.ttl);
        write_u32(bytes, 0, word);
    }
}

/// The bytes of the stack at the start of `bytes`, its bottom included; `None`: it has none within
/// [`DEPTH_MAX`] entries, or `bytes` end before.
#[inline]
pub fn stack_len(bytes: &[u8]) -> Option<usize> {
    let entries = bytes.chunks_exact(ENTRY_LEN).take(DEPTH_MAX);
    let above = entries.map(Entry::read).position(|entry| entry.is_bottom)?;
    Some((above + 1) * ENTRY_LEN)
}

/// What is behind the stack at the start of `bytes`, if it looks like an IP packet.
pub fn ip_inside(bytes: &[u8]) -> Option<&[u8]> {
    let payload = bytes.get(stack_len(bytes)?..)?;
    payload.first().filter(|&&first| matches!(first >> 4, 4 | 6))?;
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_is_laid_out_as_in_the_figure_of_the_rfc() {
        let entry =
            Entry { label: MplsLabel::new(0xabcde).unwrap(), class: 5, is_bottom: true, ttl: 64 };
        let mut bytes = [0; 4];
        entry.write(&mut bytes);
        // 1010 1011 1100 1101 1110 | 101 | 1 | 0100 0000
        assert_eq!(bytes, [0xab, 0xcd, 0xeb, 0x40]);
        assert_eq!(MplsLabel::new(1 << 20), Err(NotALabel));
    }

    #[test]
    fn the_bottom_is_looked_for_in_sixteen_entries_and_no_further() {
        let stack = |entries: usize| {
            let mut bytes = vec![0; entries * 4];
            bytes[entries * 4 - 2] = 1;
            bytes
        };
        assert_eq!(stack_len(&stack(1)), Some(4));
        assert_eq!(stack_len(&stack(16)), Some(64));
        assert_eq!(stack_len(&stack(17)), None);
        assert_eq!(stack_len(&stack(4)[..12]), None, "it ends before");
        assert_eq!(stack_len(&[0, 0, 1]), None, "an entry that is cut is none");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 0..=LABEL_MAX, class in 0_u8..8, is_bottom: bool, ttl: u8) {
            let entry = Entry { label: MplsLabel::new(number).unwrap(), class, is_bottom, ttl };
            let mut bytes = [0; 4];
            entry.write(&mut bytes);
            prop_assert_eq!(Entry::read(&bytes), entry);
        }
    }
}
