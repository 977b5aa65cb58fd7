//! GENEVE headers (RFC 8926), behind UDP and in front of an Ethernet frame or an IP packet.
//!
//! ```text
//!  0                       1             2                4               7
//! +-----------------------+-------------+----------------+---------------+----------+-----------
//! | version, length of    | O, C,       | protocol type  | network       | reserved | options …
//! | the options           | reserved    |                | identifier    |          |
//! +-----------------------+-------------+----------------+---------------+----------+-----------
//! ```

use super::udp::Behind;
use crate::counters::Counter;
use crate::wire::ethernet::ether_type;
use crate::wire::{protocol, read_u16, read_u32, write_u32};

/// Bytes of a header without options.
pub(super) const HEADER_LEN: usize = 8;

const VERSION_SHIFT: u8 = 6;
const OPTION_WORDS: u8 = 0x3f;
const CONTROL: u8 = 0x80;
const CRITICAL: u8 = 0x40;
const ID_SHIFT: u32 = 8;

/// Of an option: class, type, and its length in words.
const OPTION_HEADER_LEN: usize = 4;
/// The top bit of an option's type: who does not know it must drop the packet.
const CRITICAL_OPTION: u8 = 0x80;

/// Writes a header to the start of `bytes`, in front of something of IP protocol `carried`.
pub(super) fn write(bytes: &mut [u8], id: u32, carried: u8) {
    let kind = match carried {
        protocol::IPV4 => ether_type::IPV4,
        protocol::IPV6 => ether_type::IPV6,
        _ => ether_type::TRANSPARENT_ETHERNET,
    };
    write_u32(bytes, 0, kind.into());
    write_u32(bytes, 4, id << ID_SHIFT);
}

/// Reads the header at the start of a UDP payload.
///
/// # Errors
/// The drop counter, when it must be refused.
pub(super) fn read(payload: &[u8]) -> Result<Behind, Counter> {
    let &[first, flags, ..] = payload.first_chunk::<HEADER_LEN>().ok_or(Counter::TunShimShort)?;
    if first >> VERSION_SHIFT != 0 {
        return Err(Counter::GnvBadVersion);
    }
    if flags & CONTROL != 0 {
        //= RFC 8926 §3.4: what is for the control plane is not forwarded.
        return Err(Counter::GnvOam);
    }
    let len = HEADER_LEN + 4 * usize::from(first & OPTION_WORDS);
    let options = payload.get(HEADER_LEN..len).ok_or(Counter::TunShimShort)?;
    if flags & CRITICAL != 0 {
        judge_options(options)?;
    }
    let carried = carried(payload).ok_or(Counter::GnvProtoDenied)?;
    Ok(Behind { len, carried, id: Some(id(payload)) })
}

/// No option is known here, so a critical one is the end.
fn judge_options(options: &[u8]) -> Result<(), Counter> {
    let mut rest = options;
    let mut has_critical = false;
    while !rest.is_empty() {
        let Some(&[_, _, kind, words]) = rest.first_chunk::<OPTION_HEADER_LEN>() else {
            return Err(Counter::GnvBadOpts);
        };
        has_critical |= kind & CRITICAL_OPTION != 0;
        let len = OPTION_HEADER_LEN + 4 * usize::from(words & 0x1f);
        //= RFC 8926 §3.5: options whose lengths don't add up make the packet invalid.
        rest = rest.get(len..).ok_or(Counter::GnvBadOpts)?;
    }
    if has_critical { Err(Counter::GnvCritical) } else { Ok(()) }
}

/// The IP protocol of what follows a header, as its protocol type says.
pub(super) fn carried(payload: &[u8]) -> Option<u8> {
    match read_u16(payload, 2) {
        ether_type::IPV4 => Some(protocol::IPV4),
        ether_type::IPV6 => Some(protocol::IPV6),
        ether_type::TRANSPARENT_ETHERNET => Some(protocol::ETHERNET),
        _ => None,
    }
}

/// The network identifier of a whole header.
pub(super) fn id(payload: &[u8]) -> u32 {
    read_u32(payload, 4) >> ID_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Behind {
        Behind { len, carried: protocol::ETHERNET, id: Some(0x00ab_cdef) }
    }

    #[test]
    fn each_rule_refuses_for_its_own_reason() {
        const PLAIN: [u8; 8] = [0, 0, 0x65, 0x58, 0xab, 0xcd, 0xef, 0];
        let with = |first: u8, flags: u8, options: &[u8]| {
            let mut bytes = PLAIN;
            (bytes[0], bytes[1]) = (first, flags);
            [&bytes[..], options].concat()
        };
        let unknown = [1, 2, 3, 0];
        let critical = [1, 2, 0x83, 1, 9, 9, 9, 9];
        for (bytes, expected) in [
            (PLAIN[..7].to_vec(), Err(Counter::TunShimShort)),
            (PLAIN.to_vec(), Ok(frame(8))),
            (with(0x40, 0, &[]), Err(Counter::GnvBadVersion)),
            (with(0, 0x80, &[]), Err(Counter::GnvOam)),
            (with(0, 0x3f, &[]), Ok(frame(8))),
            (with(1, 0, &[]), Err(Counter::TunShimShort)),
            (with(1, 0, &unknown), Ok(frame(12))),
            (with(1, 0x40, &unknown), Ok(frame(12))),
            (with(2, 0, &critical), Ok(frame(16))),
            (with(2, 0x40, &critical), Err(Counter::GnvCritical)),
            (with(3, 0x40, &[&unknown[..], &critical].concat()), Err(Counter::GnvCritical)),
            (with(1, 0x40, &critical), Err(Counter::GnvBadOpts)),
            (with(2, 0x40, &[1, 2, 3, 2, 0, 0, 0, 0]), Err(Counter::GnvBadOpts)),
            (vec![0, 0, 0x88, 0x47, 0, 0, 0, 0], Err(Counter::GnvProtoDenied)),
        ] {
            assert_eq!(read(&bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        for carried in [protocol::IPV4, protocol::IPV6, protocol::ETHERNET] {
            let mut bytes = [0xee; 8];
            write(&mut bytes, 0x00ab_cdef, carried);
            assert_eq!(read(&bytes), Ok(Behind { len: 8, carried, id: Some(0x00ab_cdef) }));
        }
    }
}
