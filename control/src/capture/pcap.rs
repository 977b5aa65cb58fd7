//! The classic capture format of libpcap: one header, then frames.
//!
//! Layout after draft-ietf-opsawg-pcap. Both byte orders, micro- and nanoseconds.

use adit_dataplane::clock::Nanos;

use super::{ETHERNET, FRAME_LEN_MAX, Fields, FormatError, Place};

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const FILE_HEADER_LEN: usize = 24;
const FRAME_HEADER_LEN: usize = 16;

/// The upper half of the link type word is the length of the frame check sequence, in 16-bit units,
/// behind a bit that says so.
const FCS_IS_KNOWN: u32 = 1 << 26;
const LINK_TYPE_MASK: u32 = 0xffff;

/// What the header of the file says about every frame.
struct Header {
    is_big_endian: bool,
    nanos_per_fraction: u64,
    fcs_len: u32,
}

/// Finds every frame of a capture.
pub(super) fn index(bytes: &[u8]) -> Result<Vec<Place>, FormatError> {
    let header = parse_header(bytes)?;
    let mut places = Vec::new();
    let mut offset = FILE_HEADER_LEN;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let place = parse_frame(&header, rest, offset)?;
        offset = place.start + place.captured_len as usize;
        places.push(Place { time: place.time, start: place.start, len: place.len });
    }
    Ok(places)
}

fn parse_header(bytes: &[u8]) -> Result<Header, FormatError> {
    let magic = Fields { bytes, is_big_endian: false }.u32(0).unwrap_or(0);
    let (is_big_endian, nanos_per_fraction) = match (magic, magic.swap_bytes()) {
        (MICROSECONDS, _) => (false, 1000),
        (NANOSECONDS, _) => (false, 1),
        (_, MICROSECONDS) => (true, 1000),
        (_, NANOSECONDS) => (true, 1),
        _ => return Err(FormatError::new(0, "neither pcap nor pcapng")),
    };
    let fields = Fields { bytes, is_big_endian };
    let Some(link) = fields.u32(20) else {
        return Err(FormatError::new(bytes.len(), "the file ends within its header"));
    };
    if fields.u16(4) != Some(2) {
        return Err(FormatError::new(4, "not version 2 of the format"));
    }
    if link & LINK_TYPE_MASK != ETHERNET {
        let link_type = link & LINK_TYPE_MASK;
        return Err(FormatError::new(20, format!("link type {link_type}, not Ethernet (1)")));
    }
    let fcs_len = if link & FCS_IS_KNOWN == 0 { 0 } else { (link >> 28) * 2 };
    Ok(Header { is_big_endian, nanos_per_fraction, fcs_len })
}

struct FramePlace {
    time: Nanos,
    start: usize,
    len: u32,
    captured_len: u32,
}

fn parse_frame(header: &Header, rest: &[u8], offset: usize) -> Result<FramePlace, FormatError> {
    let fields = Fields { bytes: rest, is_big_endian: header.is_big_endian };
    let (Some(seconds), Some(fraction), Some(captured_len), Some(original_len)) =
        (fields.u32(0), fields.u32(4), fields.u32(8), fields.u32(12))
    else {
        return Err(FormatError::new(offset, "the file ends within the header of a frame"));
    };
    if captured_len > FRAME_LEN_MAX {
        let message = format!("a frame of {captured_len} bytes, more than {FRAME_LEN_MAX}");
        return Err(FormatError::new(offset + 8, message));
    }
    let available = rest.len() - FRAME_HEADER_LEN;
    if captured_len as usize > available {
        let message =
            format!("a frame of {captured_len} bytes of which only {available} are there");
        return Err(FormatError::new(offset, message));
    }
    let fraction_nanos = u64::from(fraction) * header.nanos_per_fraction;
    Ok(FramePlace {
        time: Nanos(u64::from(seconds) * 1_000_000_000 + fraction_nanos),
        start: offset + FRAME_HEADER_LEN,
        len: without_fcs(captured_len, original_len, header.fcs_len),
        captured_len,
    })
}

/// The length without the frame check sequence, of which a cut frame may have lost a part already.
pub(super) fn without_fcs(captured_len: u32, original_len: u32, fcs_len: u32) -> u32 {
    captured_len.min(original_len.max(captured_len).saturating_sub(fcs_len))
}

#[cfg(test)]
mod tests {
    use super::super::Capture;
    use super::*;

    type Order = fn(u32) -> [u8; 4];

    /// A capture written after the draft, word by word.
    fn capture(magic: u32, link: u32, order: Order, frames: &[(u32, u32, u32, &[u8])]) -> Vec<u8> {
        let version = if order(1) == [1, 0, 0, 0] { 0x0004_0002 } else { 0x0002_0004 };
        let mut bytes: Vec<u8> =
            [magic, version, 0, 0, 262_144, link].into_iter().flat_map(order).collect();
        for &(seconds, fraction, original_len, data) in frames {
            let captured_len = u32::try_from(data.len()).unwrap();
            bytes.extend(
                [seconds, fraction, captured_len, original_len].into_iter().flat_map(order),
            );
            bytes.extend(data);
        }
        bytes
    }

    fn frames(bytes: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
        let capture = Capture::parse(bytes).unwrap();
        capture.frames().map(|(time, data)| (time.0, data.to_vec())).collect()
    }

    #[test]
    fn both_resolutions_and_both_byte_orders_are_read() {
        let source: &[(u32, u32, u32, &[u8])] = &[(1, 250_000, 3, b"abc"), (2, 7, 9, b"de")];
        let micro = vec![(1_250_000_000, b"abc".to_vec()), (2_000_007_000, b"de".to_vec())];
        let nano = vec![(1_000_250_000, b"abc".to_vec()), (2_000_000_007, b"de".to_vec())];
        for order in [u32::to_le_bytes as Order, u32::to_be_bytes] {
            assert_eq!(frames(capture(MICROSECONDS, 1, order, source)), micro);
            assert_eq!(frames(capture(NANOSECONDS, 1, order, source)), nano);
        }
    }

    #[test]
    fn a_frame_check_sequence_is_not_part_of_the_frame() {
        let link = 1 | FCS_IS_KNOWN | 2 << 28;
        let whole = capture(MICROSECONDS, link, u32::to_le_bytes, &[(0, 0, 8, b"abcdFFFF")]);
        let cut = capture(MICROSECONDS, link, u32::to_le_bytes, &[(0, 0, 8, b"abcdF")]);
        assert_eq!(frames(whole), [(0, b"abcd".to_vec())]);
        assert_eq!(frames(cut), [(0, b"abcd".to_vec())]);
    }

    #[test]
    fn a_cut_file_says_where_it_ends() {
        let whole =
            capture(NANOSECONDS, 1, u32::to_le_bytes, &[(0, 0, 3, b"abc"), (0, 1, 3, b"def")]);
        let cut_at = |len: usize| Capture::parse(whole[..len].to_vec()).map(|c| c.places.len());
        for len in 4..whole.len() {
            match cut_at(len) {
                Ok(count) => assert!((len, count) == (24, 0) || (len, count) == (43, 1), "{len}"),
                Err(error) => assert!(error.offset <= len, "{len}: {error}"),
            }
        }
        let error = cut_at(60).unwrap_err();
        assert_eq!(error.to_string(), "at byte 43: a frame of 3 bytes of which only 1 are there");
    }

    #[test]
    fn other_link_types_and_absurd_lengths_are_refused() {
        let raw = Capture::parse(capture(MICROSECONDS, 101, u32::to_le_bytes, &[])).unwrap_err();
        assert_eq!(raw.to_string(), "at byte 20: link type 101, not Ethernet (1)");
        let mut absurd = capture(MICROSECONDS, 1, u32::to_le_bytes, &[(0, 0, 0, b"")]);
        absurd[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = Capture::parse(absurd).unwrap_err();
        assert_eq!(error.offset, 32);
        assert!(error.message.contains("4294967295 bytes, more than 262144"), "{error}");
    }
}
