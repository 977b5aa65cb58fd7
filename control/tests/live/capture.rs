//! Frames on a wire: tcpdump in a namespace, and small capture files written and read here.

use std::path::Path;
use std::time::Duration;

use crate::network::{Namespace, Running, until};

const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// libpcap's magic number for microseconds, and the link type of Ethernet.
const MAGIC: u32 = 0xa1b2_c3d4;
const LINKTYPE_ETHERNET: u32 = 1;
const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// A tcpdump that runs.
pub(crate) struct Capture<'a> {
    namespace: &'a Namespace,
    process: Running,
    file: std::path::PathBuf,
}

impl<'a> Capture<'a> {
    /// Begins to capture what `filter` (perhaps after options of tcpdump) lets through on `interface`, into a file
    /// in `folder`.
    pub(crate) fn start(
        namespace: &'a Namespace,
        folder: &Path,
        interface: &str,
        filter: &str,
    ) -> Self {
        let file = folder.join(format!("{interface}.pcap"));
        let line = format!(
            "tcpdump -Z root -U --immediate-mode -i {interface} -w {} {filter}",
            file.display()
        );
        let process = namespace.start(&line);
        // The header is written once the socket is bound and the filter set.
        until(LISTEN_LIMIT, "capture file", || {
            std::fs::metadata(&file).is_ok_and(|data| data.len() >= 24).then_some(())
        });
        Self { namespace, process, file }
    }

    /// The frames so far, as tcpdump describes them: one line a frame, headers in full.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.namespace.run(&format!("tcpdump -n -v -r {}", self.file.display()));
        // A frame begins at the margin; what belongs to it is indented.
        let mut lines: Vec<String> = Vec::new();
        for line in text.lines() {
            match lines.last_mut() {
                Some(last) if line.starts_with([' ', '\t']) => {
                    *last = format!("{last} {}", line.trim());
                }
                _ => lines.push(line.to_owned()),
            }
        }
        lines
    }

    /// The frames so far, as they were on the wire.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        read(&self.file)
    }

    /// Waits until at least `count` frames are there and returns them.
    pub(crate) fn at_least(&mut self, count: usize) -> Vec<String> {
        until(LISTEN_LIMIT, "enough captured frames", || {
            assert!(!self.process.is_over(), "tcpdump ended");
            let lines = self.lines();
            (lines.len() >= count).then_some(lines)
        })
    }
}

/// The frames of a capture that may still be growing; a record that is not there as a whole is left out.
fn read(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut frames = Vec::new();
    let mut rest = bytes.get(FILE_HEADER_LEN..).unwrap_or_default();
    while let Some((header, behind)) = rest.split_at_checked(RECORD_HEADER_LEN) {
        let len = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]);
        let Some((frame, next)) = behind.split_at_checked(len as usize) else { break };
        frames.push(frame.to_vec());
        rest = next;
    }
    frames
}

/// Writes `frames` as a capture, one a millisecond.
pub(crate) fn write(path: &Path, frames: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend([2, 0, 4, 0]);
    bytes.extend([0; 8]);
    bytes.extend(65_535_u32.to_le_bytes());
    bytes.extend(LINKTYPE_ETHERNET.to_le_bytes());
    for (number, frame) in (0_u32..).zip(frames) {
        let len = u32::try_from(frame.len()).expect("a frame is short");
        for word in [number / 1000, number % 1000 * 1000, len, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(frame);
    }
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
