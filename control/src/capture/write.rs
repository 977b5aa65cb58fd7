//! Writing pcap: nanoseconds, little-endian, Ethernet.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use adit_dataplane::clock::Nanos;

use super::{ETHERNET, FRAME_LEN_MAX};

const BUFFER_LEN: usize = 1 << 18;

/// A capture that is being written. Call [`finish`](Self::finish) to know that all of it was.
pub struct Writer<W: Write = File> {
    out: BufWriter<W>,
}

impl Writer {
    /// Makes or replaces a file.
    pub fn create(path: &Path) -> io::Result<Self> {
        Self::new(File::create(path)?)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a capture.
    pub fn new(out: W) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(BUFFER_LEN, out);
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        header[4..6].copy_from_slice(&2_u16.to_le_bytes());
        header[6..8].copy_from_slice(&4_u16.to_le_bytes());
        header[16..20].copy_from_slice(&FRAME_LEN_MAX.to_le_bytes());
        header[20..24].copy_from_slice(&ETHERNET.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out })
    }

    /// Adds a frame. The format has no time after 2106.
    pub fn write(&mut self, time: Nanos, frame: &[u8]) -> io::Result<()> {
        let seconds = u32::try_from(time.0 / 1_000_000_000)
            .map_err(|_| io::Error::other("a time after 2106, which a pcap file can't hold"))?;
        let fraction = u32::try_from(time.0 % 1_000_000_000).unwrap_or(0);
        let len = u32::try_from(frame.len()).map_err(io::Error::other)?;
        for word in [seconds, fraction, len, len] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(frame)
    }

    /// Writes what is still in memory and gives the destination back.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Capture;
    use super::*;

    fn written(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for (time, frame) in frames {
            writer.write(Nanos(*time), frame).unwrap();
        }
        writer.finish().unwrap()
    }

    /// What `editcap -F nsecpcap` makes of one frame of three bytes, but for the snap length.
    #[test]
    fn a_capture_is_what_other_tools_write() {
        let expected = [
            0x4d, 0x3c, 0xb2, 0xa1, 0x02, 0x00, 0x04, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x00,
            0x04, 0x00, 0x01, 0x00, 0x00, 0x00, 0x15, 0xcd, 0x5b, 0x07, 0x01, 0, 0, 0, 3, 0, 0, 0,
            3, 0, 0, 0, 0xaa, 0xbb, 0xcc,
        ];
        assert_eq!(written(&[(123_456_789_000_000_001, vec![0xaa, 0xbb, 0xcc])]), expected);
    }

    #[test]
    fn a_time_that_does_not_fit_is_an_error() {
        let mut writer = Writer::new(Vec::new()).unwrap();
        assert!(writer.write(Nanos(u64::MAX), b"x").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            frames in prop::collection::vec(
                (0..4_294_967_296_000_000_000_u64, prop::collection::vec(any::<u8>(), 0..100)), 0..20)
        ) {
            let capture = Capture::parse(written(&frames)).unwrap();
            let read: Vec<_> = capture.frames().map(|(time, f)| (time.0, f.to_vec())).collect();
            prop_assert_eq!(read, frames);
        }
    }
}
