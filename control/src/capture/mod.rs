//! Captures: reading pcap and pcapng, merging several by time, writing pcap.
//!
//! The reader is our own because what replay promises is what the crates we looked at get wrong: time
//! stamps in powers of two, offsets in big-endian sections, seconds beyond 32 bits, and no allocation
//! per frame. A capture is read whole and indexed before its first frame is used, so that a broken one
//! is refused before anything has been sent.
//!
//! Called by `replay`. It knows nothing of ports beyond their number, and nothing of packets.

mod pcap;
mod pcapng;
mod timeline;
mod write;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use adit_dataplane::clock::Nanos;

pub use timeline::Timeline;
pub use write::Writer;

/// The largest capture that is read, because it is held in memory.
pub const CAPTURE_BYTES_MAX: u64 = 16 << 30;

/// The longest frame that is believed: the limit of libpcap. A longer one means a broken file.
pub const FRAME_LEN_MAX: u32 = 262_144;

/// `LINKTYPE_ETHERNET`.
const ETHERNET: u32 = 1;

/// Why a capture can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file can't be opened or read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The file is larger than [`CAPTURE_BYTES_MAX`].
    #[error(
        "{}: larger than {} GiB, the most that is held in memory; split it with `editcap -c`",
        path.display(), CAPTURE_BYTES_MAX >> 30
    )]
    TooLarge {
        /// The file as it was named.
        path: PathBuf,
    },
    /// The file is not what it should be.
    #[error("{}: {error}", path.display())]
    Malformed {
        /// The file as it was named.
        path: PathBuf,
        /// Where and what.
        error: FormatError,
    },
}

/// What is wrong with the bytes of a capture, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {message}")]
pub struct FormatError {
    /// From the start of the file.
    pub offset: usize,
    /// A sentence without a full stop.
    pub message: String,
}

impl FormatError {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

/// Where a frame is in the bytes of its capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    time: Nanos,
    start: usize,
    len: u32,
}

/// A capture in memory.
#[derive(Debug)]
pub struct Capture {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

impl Capture {
    /// Reads and indexes a file, or whatever else can be opened and read to its end.
    pub fn read(path: &Path) -> Result<Self, CaptureError> {
        let unreadable = |error| CaptureError::Unreadable { path: path.to_owned(), error };
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if size > CAPTURE_BYTES_MAX {
            return Err(CaptureError::TooLarge { path: path.to_owned() });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(CAPTURE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > CAPTURE_BYTES_MAX {
            return Err(CaptureError::TooLarge { path: path.to_owned() });
        }
        Self::parse(bytes).map_err(|error| CaptureError::Malformed { path: path.to_owned(), error })
    }

    /// Indexes the bytes of a capture.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, FormatError> {
        let places = match bytes.first_chunk::<4>() {
            Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng::index(&bytes)?,
            Some([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [0xfd, b'7', b'z', b'X']) => {
                return Err(FormatError::new(0, "compressed; unpack it first"));
            }
            Some(_) => pcap::index(&bytes)?,
            None if bytes.is_empty() => return Err(FormatError::new(0, "the file is empty")),
            None => return Err(FormatError::new(0, "too short to be a capture")),
        };
        Ok(Self { bytes, places })
    }

    /// Every frame with its time, in the order of the file.
    pub fn frames(&self) -> impl Iterator<Item = (Nanos, &[u8])> {
        self.places.iter().map(|place| (place.time, frame_at(&self.bytes, place.start, place.len)))
    }
}

/// The frame that the index says is there. Bounds were checked when the index was made.
fn frame_at(bytes: &[u8], start: usize, len: u32) -> &[u8] {
    bytes.get(start..start + len as usize).unwrap_or_default()
}

/// The bytes of a header, read in the byte order of its file.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
}

impl Fields<'_> {
    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.bytes.get(offset..)?.first_chunk::<N>().copied()
    }

    fn u16(self, offset: usize) -> Option<u16> {
        let array = self.array(offset)?;
        Some(if self.is_big_endian { u16::from_be_bytes(array) } else { u16::from_le_bytes(array) })
    }

    fn u32(self, offset: usize) -> Option<u32> {
        let array = self.array(offset)?;
        Some(if self.is_big_endian { u32::from_be_bytes(array) } else { u32::from_le_bytes(array) })
    }

    fn i64(self, offset: usize) -> Option<i64> {
        let array = self.array(offset)?;
        Some(if self.is_big_endian { i64::from_be_bytes(array) } else { i64::from_le_bytes(array) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(bytes: &[u8]) -> String {
        Capture::parse(bytes.to_vec()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_capture_is_refused_with_the_reason() {
        assert_eq!(message(b""), "at byte 0: the file is empty");
        assert_eq!(message(b"abc"), "at byte 0: too short to be a capture");
        assert!(message(b"version: 1\nports:\n").contains("neither pcap nor pcapng"));
        assert!(message(&[0x1f, 0x8b, 8, 0, 0]).contains("compressed"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Capture::read(Path::new("/nonexistent/a.pcap")).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/a.pcap: No such file"), "{error}");
    }

    #[test]
    fn captures_of_other_tools_are_read() {
        let read = |bytes: &[u8]| -> Vec<(u64, usize)> {
            let capture = Capture::parse(bytes.to_vec()).unwrap();
            capture.frames().map(|(time, frame)| (time.0, frame.len())).collect()
        };
        let start = 1_700_000_000_000_000_000;
        let micro = read(include_bytes!("../../tests/captures/scapy-micro.pcap"));
        assert_eq!(micro, [(start + 1000, 43), (start + 3000, 44)]);
        let nano = read(include_bytes!("../../tests/captures/editcap-nano.pcap"));
        assert_eq!(nano, [(start + 2000, 43), (start + 3000, 44)]);
        let merged = read(include_bytes!("../../tests/captures/mergecap.pcapng"));
        let expected =
            [(start + 1000, 43), (start + 2000, 43), (start + 3000, 44), (start + 3000, 44)];
        assert_eq!(merged, expected);
    }

    /// Any bytes behind a start that leads deep into one of the parsers.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let starts: Vec<&[u8]> = vec![
            b"",
            b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0",
            b"\xa1\xb2\x3c\x4d\x00\x02\x00\x04\0\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\x01",
            b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
            b"\x0a\x0d\x0d\x0a\0\0\0\x1c\x1a\x2b\x3c\x4d\0\x01\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x1c",
        ];
        let block =
            (0_u8..8, prop::collection::vec(any::<u8>(), 0..8_usize)).prop_map(|(kind, words)| {
                let body: Vec<u8> = words.iter().flat_map(|&word| [word, 0, 0, 0]).collect();
                let len = u8::try_from(12 + body.len()).unwrap();
                [&[kind, 0, 0, 0, len, 0, 0, 0][..], &body, &[len, 0, 0, 0]].concat()
            });
        let tail = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(block, 0..6).prop_map(|blocks| blocks.concat()),
        ];
        (prop::sample::select(starts), tail).prop_map(|(start, tail)| [start, &tail].concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in hostile()) {
            if let Ok(capture) = Capture::parse(bytes.clone()) {
                for (place, (_, frame)) in capture.places.iter().zip(capture.frames()) {
                    prop_assert_eq!(frame.len(), place.len as usize);
                }
            }
        }
    }
}
