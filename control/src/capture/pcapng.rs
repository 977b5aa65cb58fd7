//! The newer capture format: sections of blocks, each section with its own byte order and interfaces,
//! each interface with its own link type and clock.
//!
//! Layout after draft-ietf-opsawg-pcapng. Blocks that hold no frame are passed over.

use adit_dataplane::clock::Nanos;

use super::pcap::without_fcs;
use super::{ETHERNET, FRAME_LEN_MAX, Fields, FormatError, Place};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];
const BLOCK_HEADER_LEN: usize = 8;
const BLOCK_LEN_MIN: usize = 12;

const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
const OPTION_FCSLEN: u16 = 13;
const OPTION_TSOFFSET: u16 = 14;

/// What an interface says about its frames.
struct Interface {
    link_type: u16,
    snap_len: u32,
    clock: Clock,
    fcs_len: u32,
}

/// What the time stamps of an interface count.
#[derive(Clone, Copy)]
struct Clock {
    ticks_per_second: u128,
    offset_seconds: i64,
}

/// A block without its header and trailer.
#[derive(Clone, Copy)]
struct Block<'a> {
    kind: u32,
    body: Fields<'a>,
    /// Of the body, from the start of the file.
    offset: usize,
}

/// A frame as its block describes it.
struct Frame {
    interface: u32,
    /// `None`: the block has no time stamp.
    ticks: Option<u64>,
    captured_len: u32,
    original_len: u32,
    /// Of the bytes, from the start of the body.
    start: usize,
}

/// Finds every frame of a capture.
pub(super) fn index(bytes: &[u8]) -> Result<Vec<Place>, FormatError> {
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut places: Vec<Place> = Vec::new();
    let mut is_big_endian = false;
    let mut offset = 0;
    while offset < bytes.len() {
        let (block, len) = parse_block(bytes, offset, &mut is_big_endian)?;
        match block.kind {
            SECTION_HEADER => interfaces.clear(),
            INTERFACE_DESCRIPTION => interfaces.push(parse_interface(block)?),
            _ => {
                if let Some(frame) = parse_frame(block, &interfaces)? {
                    let before = places.last().map_or(Nanos(0), |place| place.time);
                    places.push(place(&frame, block, &interfaces, before)?);
                }
            }
        }
        offset += len;
    }
    Ok(places)
}

/// The block at `offset`, and its length in the file. A section header sets the byte order.
fn parse_block<'a>(
    bytes: &'a [u8],
    offset: usize,
    is_big_endian: &mut bool,
) -> Result<(Block<'a>, usize), FormatError> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let is_section = rest.starts_with(&SECTION_HEADER.to_be_bytes());
    if is_section {
        *is_big_endian = section_byte_order(rest, offset)?;
    }
    let fields = Fields { bytes: rest, is_big_endian: *is_big_endian };
    let (Some(kind), Some(len)) = (fields.u32(0), fields.u32(4)) else {
        return Err(FormatError::new(offset, "the file ends within the header of a block"));
    };
    let len = len as usize;
    if len < BLOCK_LEN_MIN || !len.is_multiple_of(4) {
        let message = format!("a block of {len} bytes; blocks have at least 12, in fours");
        return Err(FormatError::new(offset + 4, message));
    }
    let (Some(body), Some(trailer)) = (rest.get(BLOCK_HEADER_LEN..len - 4), fields.u32(len - 4))
    else {
        let available = rest.len();
        let message = format!("a block of {len} bytes of which only {available} are there");
        return Err(FormatError::new(offset, message));
    };
    if trailer as usize != len {
        let message = format!("a block of {len} bytes whose end says {trailer}");
        return Err(FormatError::new(offset + len - 4, message));
    }
    let body = Fields { bytes: body, is_big_endian: *is_big_endian };
    if is_section && body.u16(4) != Some(1) {
        return Err(FormatError::new(offset + 12, "not version 1 of pcapng"));
    }
    Ok((Block { kind, body, offset: offset + BLOCK_HEADER_LEN }, len))
}

fn section_byte_order(rest: &[u8], offset: usize) -> Result<bool, FormatError> {
    let magic = rest.get(BLOCK_HEADER_LEN..).and_then(|magic| magic.first_chunk::<4>());
    match magic {
        Some(&[a, b, c, d]) if [a, b, c, d] == BYTE_ORDER => Ok(true),
        Some(&[a, b, c, d]) if [d, c, b, a] == BYTE_ORDER => Ok(false),
        _ => Err(FormatError::new(offset + BLOCK_HEADER_LEN, "a section without a byte order")),
    }
}

fn parse_interface(block: Block<'_>) -> Result<Interface, FormatError> {
    let (Some(link_type), Some(snap_len)) = (block.body.u16(0), block.body.u32(4)) else {
        return Err(FormatError::new(block.offset, "an interface description that is too short"));
    };
    let mut clock = Clock { ticks_per_second: 1_000_000, offset_seconds: 0 };
    let mut fcs_len = 0;
    let mut offset = 8;
    while let (Some(code), Some(len)) = (block.body.u16(offset), block.body.u16(offset + 2)) {
        let value = offset + 4;
        match (code, len) {
            (OPTION_END, _) => break,
            (OPTION_TSRESOL, 1) => {
                let [resolution] = block.body.array(value).unwrap_or([6]);
                clock.ticks_per_second = ticks_per_second(resolution).ok_or_else(|| {
                    FormatError::new(block.offset + value, "a time resolution beyond 64 bits")
                })?;
            }
            (OPTION_FCSLEN, 1) => {
                fcs_len = block.body.array(value).map_or(0, |[len]: [u8; 1]| u32::from(len));
            }
            (OPTION_TSOFFSET, 8) => clock.offset_seconds = block.body.i64(value).unwrap_or(0),
            _ => {}
        }
        offset = value + usize::from(len).next_multiple_of(4);
    }
    Ok(Interface { link_type, snap_len, clock, fcs_len })
}

/// The meaning of `if_tsresol`: a power of two with the highest bit, else one of ten.
fn ticks_per_second(resolution: u8) -> Option<u128> {
    let exponent = u32::from(resolution & 0x7f);
    match resolution & 0x80 {
        0 if exponent <= 19 => Some(10_u128.pow(exponent)),
        0x80 if exponent <= 63 => Some(1 << exponent),
        _ => None,
    }
}

/// The frame of a block, if it is one that has a frame.
fn parse_frame(block: Block<'_>, interfaces: &[Interface]) -> Result<Option<Frame>, FormatError> {
    let body = block.body;
    let ticks = || Some(u64::from(body.u32(4)?) << 32 | u64::from(body.u32(8)?));
    let frame = match block.kind {
        ENHANCED_PACKET | OBSOLETE_PACKET => (|| {
            let interface =
                if block.kind == ENHANCED_PACKET { body.u32(0)? } else { u32::from(body.u16(0)?) };
            let (captured_len, original_len) = (body.u32(12)?, body.u32(16)?);
            Some(Frame { interface, ticks: Some(ticks()?), captured_len, original_len, start: 20 })
        })(),
        SIMPLE_PACKET => body.u32(0).map(|original_len| {
            let snap_len = interfaces.first().map_or(0, |interface| interface.snap_len);
            let limit = if snap_len == 0 { u32::MAX } else { snap_len };
            let captured_len = original_len.min(limit);
            Frame { interface: 0, ticks: None, captured_len, original_len, start: 4 }
        }),
        _ => return Ok(None),
    };
    match frame {
        Some(frame) => Ok(Some(frame)),
        None => Err(FormatError::new(block.offset, "a block that is too short for its frame")),
    }
}

/// Checks a frame against its interface and its block. Without a time stamp of its own it has that of
/// the frame before.
fn place(
    frame: &Frame,
    block: Block<'_>,
    interfaces: &[Interface],
    before: Nanos,
) -> Result<Place, FormatError> {
    let error = |message| Err(FormatError::new(block.offset, message));
    let number = frame.interface;
    let Some(interface) = interfaces.get(number as usize) else {
        return error(format!("a frame of interface {number}, which is not described"));
    };
    if u32::from(interface.link_type) != ETHERNET {
        let link_type = interface.link_type;
        return error(format!(
            "a frame of interface {number}, which has link type {link_type}, not Ethernet (1)"
        ));
    }
    let captured_len = frame.captured_len;
    if captured_len > FRAME_LEN_MAX {
        return error(format!("a frame of {captured_len} bytes, more than {FRAME_LEN_MAX}"));
    }
    let available = block.body.bytes.len().saturating_sub(frame.start);
    if captured_len as usize > available {
        return error(format!("a frame of {captured_len} bytes in a block with {available}"));
    }
    let time = match frame.ticks {
        None => Some(before),
        Some(ticks) => nanos(ticks, interface.clock),
    };
    let Some(time) = time else {
        return error("a time before 1970 or after 2554".to_owned());
    };
    let len = without_fcs(captured_len, frame.original_len, interface.fcs_len);
    Ok(Place { time, start: block.offset + frame.start, len })
}

/// The time in nanoseconds, if that can be said in 64 bits.
fn nanos(ticks: u64, clock: Clock) -> Option<Nanos> {
    // At most 2^64 * 10^9 * 2^0, which 128 bits hold.
    let since_offset = u128::from(ticks) * 1_000_000_000 / clock.ticks_per_second;
    let offset = i128::from(clock.offset_seconds) * 1_000_000_000;
    let total = i128::try_from(since_offset).ok()?.checked_add(offset)?;
    u64::try_from(total).ok().map(Nanos)
}

#[cfg(test)]
#[path = "pcapng_tests.rs"]
mod tests;
