//! ERSPAN headers: what stands between GRE and a mirrored Ethernet frame (draft-foschiano-erspan-03; types II and
//! III as in Linux's `include/net/erspan.h`). Type I has none. Knows no tunnel.
//!
//! ```text
//!  0        4                16    19  21  22            32
//! +---------+----------------+-----+---+---+--------------+
//! | version | VLAN           | COS | E | T | session      |   E: En of type II, BSO of type III
//! +---------+----------------+-----+---+---+--------------+
//! | reserved (12), index (20)                             |   type II ends here
//! +-------------------------------------------------------+
//! | timestamp                                             |   in the place of that, type III
//! +---------------------------+-+----+------+-+---+-------+
//! | security group tag        |P| FT | HwID |D|Gra|O|
//! +---------------------------+-+----+------+-+---+-------+
//! | with O: platform specific (8 bytes)                   |
//! +-------------------------------------------------------+
//! ```

use super::{read_u16, read_u32, write_u16, write_u32};

/// Bytes of a header of type II.
pub const HEADER_LEN_II: usize = 8;
/// Bytes of a header of type III without what O announces.
pub const HEADER_LEN_III: usize = 12;
/// What O announces.
pub const PLATFORM_LEN: usize = 8;

/// The largest session number.
pub const SESSION_MAX: u16 = 0x3ff;
/// The largest index of type II.
pub const INDEX_MAX: u32 = 0xf_ffff;
/// The largest hardware number of type III.
pub const HARDWARE_ID_MAX: u8 = 0x3f;

/// The version in headers of type II.
const VERSION_II: u16 = 1;
/// The version in headers of type III.
const VERSION_III: u16 = 2;

const TRUNCATED: u16 = 0x0400;
/// En: a VLAN tag is left in the frame.
const TAG_IN_FRAME: u16 = 3 << 11;
const CLASS_SHIFT: u32 = 13;

/// P: what follows is an Ethernet frame.
const IS_FRAME: u16 = 0x8000;
const FRAME_TYPE: u16 = 0x7c00;
const HARDWARE_ID_SHIFT: u32 = 4;
const EGRESS: u16 = 0x0008;
const HAS_PLATFORM: u16 = 0x0001;

/// Frames shorter than this are said to be short.
const FRAME_LEN_MIN: usize = 60;
/// Frames longer than this are said to be too long.
const FRAME_LEN_MAX: usize = 1514;

/// Which header there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Of 8 bytes.
    Two,
    /// Of 12 or 20 bytes.
    Three,
}

/// What both types of header say of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// Whose the frame is: 10 bits.
    pub session: u16,
    /// The number in its VLAN tag, if it has one: 12 bits.
    pub vlan: Option<u16>,
    /// Its class of service, 3 bits.
    pub class: u8,
    /// Its end is missing.
    pub is_cut: bool,
}

/// What a header of type III says beyond that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// When the frame was mirrored, in units of 100 µs.
    pub timestamp: u32,
    /// The part of the sender that mirrored it: 6 bits.
    pub hardware_id: u8,
    /// It was mirrored where it was sent, not where it was received.
    pub is_egress: bool,
}

/// What a header says that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes.
    pub len: usize,
    /// Whose the frame behind it is.
    pub session: u16,
}

/// A header that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErspanError {
    /// Cut off before its end.
    Short,
    /// Of another version than the GRE header says.
    Version,
    /// Something else than an Ethernet frame is behind it.
    FrameType,
}

/// Writes a header of type II to the start of `bytes`; `index`: 20 bits.
pub fn write_two(bytes: &mut [u8], mirrored: Mirrored, index: u32) {
    let enclosed = if mirrored.vlan.is_some() { TAG_IN_FRAME } else { 0 };
    write_first(bytes, VERSION_II, mirrored, enclosed);
    write_u32(bytes, 4, index & INDEX_MAX);
}

/// Writes a header of type III to the start of `bytes`, around a frame of `frame_len` bytes.
pub fn write_three(bytes: &mut [u8], mirrored: Mirrored, frame_len: usize, detail: Detail) {
    write_first(bytes, VERSION_III, mirrored, bad_short_oversized(frame_len));
    write_u32(bytes, 4, detail.timestamp);
    let direction = if detail.is_egress { EGRESS } else { 0 };
    let hardware = u16::from(detail.hardware_id & HARDWARE_ID_MAX) << HARDWARE_ID_SHIFT;
    // The security group tag is nobody's here: 0.
    write_u32(bytes, 8, u32::from(IS_FRAME | hardware | direction));
}

fn write_first(bytes: &mut [u8], version: u16, mirrored: Mirrored, enclosed: u16) {
    let truncated = if mirrored.is_cut { TRUNCATED } else { 0 };
    let class = u16::from(mirrored.class) << CLASS_SHIFT;
    write_u16(bytes, 0, version << 12 | mirrored.vlan.unwrap_or(0) & 0xfff);
    write_u16(bytes, 2, class | enclosed | truncated | mirrored.session & SESSION_MAX);
}

/// BSO of a frame: short, too long, or neither; whether it was a bad one is known to devices alone.
const fn bad_short_oversized(frame_len: usize) -> u16 {
    match frame_len {
        ..FRAME_LEN_MIN => 1 << 11,
        FRAME_LEN_MIN..=FRAME_LEN_MAX => 0,
        _ => 2 << 11,
    }
}

/// Reads the header at the start of `bytes`, of the type that the GRE header in front of it says.
///
/// # Errors
/// When it must be refused.
pub fn read(bytes: &[u8], kind: Type) -> Result<Header, ErspanError> {
    let (version, len) = match kind {
        Type::Two => (VERSION_II, HEADER_LEN_II),
        Type::Three => (VERSION_III, HEADER_LEN_III),
    };
    if bytes.len() < len {
        return Err(ErspanError::Short);
    }
    if read_u16(bytes, 0) >> 12 != version {
        return Err(ErspanError::Version);
    }
    let session = session(bytes);
    if kind == Type::Two {
        return Ok(Header { len, session });
    }
    let last = read_u16(bytes, 10);
    if last & FRAME_TYPE != 0 {
        return Err(ErspanError::FrameType);
    }
    let len = len + if last & HAS_PLATFORM == 0 { 0 } else { PLATFORM_LEN };
    if bytes.len() < len { Err(ErspanError::Short) } else { Ok(Header { len, session }) }
}

/// The session in a header of either type, of which the first four bytes are there.
pub fn session(bytes: &[u8]) -> u16 {
    let session = read_u32(bytes, 0) & u32::from(SESSION_MAX);
    u16::try_from(session).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIRRORED: Mirrored = Mirrored { session: 100, vlan: None, class: 5, is_cut: false };

    /// The bytes are counted off the layouts above by hand.
    #[test]
    fn headers_are_written_bit_by_bit() {
        let mut bytes = [0xee; 8];
        write_two(&mut bytes, MIRRORED, 7);
        assert_eq!(bytes, [0x10, 0x00, 0xa0, 0x64, 0x00, 0x00, 0x00, 0x07]);
        let all = Mirrored { session: 0x3ff, vlan: Some(0xfff), class: 7, is_cut: true };
        write_two(&mut bytes, all, u32::MAX);
        assert_eq!(bytes, [0x1f, 0xff, 0xff, 0xff, 0x00, 0x0f, 0xff, 0xff]);

        let mut bytes = [0xee; 12];
        let detail = Detail { timestamp: 0x0102_0304, hardware_id: 3, is_egress: true };
        write_three(&mut bytes, MIRRORED, 60, detail);
        assert_eq!(bytes, [0x20, 0, 0xa0, 0x64, 1, 2, 3, 4, 0, 0, 0x80, 0x38]);
        for (frame_len, byte) in [(59, 0xa8), (60, 0xa0), (1514, 0xa0), (1515, 0xb0)] {
            write_three(&mut bytes, MIRRORED, frame_len, detail);
            assert_eq!(bytes[2], byte, "{frame_len} bytes");
        }
    }

    #[test]
    fn each_rule_refuses_for_its_own_reason() {
        let two = [0x10, 0x00, 0xa0, 0x64, 0, 0, 0, 7];
        let three = [0x20, 0, 0xa0, 0x64, 1, 2, 3, 4, 0, 0, 0x80, 0x38];
        let (mut other, mut platform) = (three, [0; 20]);
        other[10] |= 0x0c;
        platform[..12].copy_from_slice(&three);
        platform[11] |= 1;
        let right = |len| Ok(Header { len, session: 100 });
        for (bytes, kind, expected) in [
            (&two[..], Type::Two, right(8)),
            (&three, Type::Three, right(12)),
            (&platform, Type::Three, right(20)),
            (&platform[..19], Type::Three, Err(ErspanError::Short)),
            (&two[..7], Type::Two, Err(ErspanError::Short)),
            (&three[..11], Type::Three, Err(ErspanError::Short)),
            (&three, Type::Two, Err(ErspanError::Version)),
            (&[two, two].concat(), Type::Three, Err(ErspanError::Version)),
            (&other, Type::Three, Err(ErspanError::FrameType)),
        ] {
            assert_eq!(read(bytes, kind), expected, "{bytes:02x?} {kind:?}");
        }
    }
}
