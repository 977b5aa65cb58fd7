//! GUE headers (draft-ietf-intarea-gue, as Linux speaks it), behind UDP.
//!
//! ```text
//!  0                       1             2          4
//! +-----------------------+-------------+----------+--------------------------+
//! | variant, C, length of | IP protocol | flags    | [options, 4 bytes each]  |
//! | the options           | that follows|          |                          |
//! +-----------------------+-------------+----------+--------------------------+
//! ```
//!
//! Variant 1 has no header: the packet inside begins at once, and its version says what it is.

use crate::counters::Counter;
use crate::wire::{protocol, read_u16};

use super::udp::is_allowed;

/// Bytes of a header without options.
pub(super) const HEADER_LEN: usize = 4;

const CONTROL: u8 = 0x20;
const OPTION_WORDS: u8 = 0x1f;

/// Writes a header to the start of `bytes`.
pub(super) fn write(bytes: &mut [u8], carried: u8) {
    if let Some(header) = bytes.first_chunk_mut::<HEADER_LEN>() {
        *header = [0, carried, 0, 0];
    }
}

/// Reads the header at the start of a UDP payload: its bytes, and the IP protocol that follows.
///
/// # Errors
/// The drop counter, when it must be refused.
pub(super) fn read(payload: &[u8]) -> Result<(usize, u8), Counter> {
    let &[first, carried, ..] = payload.first_chunk::<HEADER_LEN>().ok_or(Counter::TunShimShort)?;
    match (first >> 6, first >> 4) {
        (0, _) => {}
        (1, 4) => return Ok((0, protocol::IPV4)),
        (1, 6) => return Ok((0, protocol::IPV6)),
        _ => return Err(Counter::GueBadVersion),
    }
    let len = HEADER_LEN + 4 * usize::from(first & OPTION_WORDS);
    if payload.len() < len {
        return Err(Counter::TunShimShort);
    }
    if read_u16(payload, 2) != 0 {
        // Flags say what the options are, and of none is known how to obey it.
        return Err(Counter::GueBadFlags);
    }
    if first & CONTROL != 0 {
        return Err(Counter::GueControl);
    }
    if !is_allowed(carried) {
        return Err(Counter::GueProtoDenied);
    }
    Ok((len, carried))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_refuses_for_its_own_reason() {
        type Case = (&'static [u8], Result<(usize, u8), Counter>);
        let cases: [Case; 13] = [
            (&[0, 4, 0], Err(Counter::TunShimShort)),
            (&[0, 4, 0, 0], Ok((4, 4))),
            (&[0, 41, 0, 0], Ok((4, 41))),
            (&[0, 47, 0, 0], Ok((4, 47))),
            (&[0, 6, 0, 0], Err(Counter::GueProtoDenied)),
            (&[0, 0, 0, 0], Err(Counter::GueProtoDenied)),
            (&[1, 4, 0, 0], Err(Counter::TunShimShort)),
            (&[1, 4, 0, 0, 1, 2, 3, 4], Ok((8, 4))),
            (&[0, 4, 0x80, 0], Err(Counter::GueBadFlags)),
            (&[0x20, 4, 0, 0], Err(Counter::GueControl)),
            (&[0x80, 4, 0, 0], Err(Counter::GueBadVersion)),
            (&[0x45, 0, 0, 0], Ok((0, 4))),
            (&[0x75, 0, 0, 0], Err(Counter::GueBadVersion)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }
}
