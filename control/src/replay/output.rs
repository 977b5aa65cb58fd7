//! The results of a replay: a capture for each port, and the counters.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;

use super::ReplayError;
use crate::capture::Writer;
use crate::report::Counters;

/// The file with the counters.
const COUNTERS: &str = "counters.json";

/// Files that are being written.
pub(super) struct Output {
    folder: PathBuf,
    ports: Vec<(PathBuf, Writer)>,
    sent: u64,
    /// The first thing that went wrong. Frames come from inside the packet path, which can't be
    /// stopped in the middle, so this is looked at between bursts.
    failure: Option<ReplayError>,
}

impl Output {
    /// Makes the folder and an empty capture for each port.
    pub(super) fn create(folder: &Path, ports: &[String]) -> Result<Self, ReplayError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| ReplayError::Output { path, error }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let create = |name: &String| -> Result<_, ReplayError> {
            let path = folder.join(format!("{name}.pcap"));
            let writer = Writer::create(&path).map_err(failed(&path))?;
            Ok((path, writer))
        };
        let ports = ports.iter().map(create).collect::<Result<_, _>>()?;
        Ok(Self { folder: folder.to_owned(), ports, sent: 0, failure: None })
    }

    /// Takes a frame that was sent.
    pub(super) fn write(&mut self, port: PortId, time: Nanos, frame: &[u8]) {
        let Some((path, writer)) = self.ports.get_mut(port.index()) else { return };
        self.sent += 1;
        if let Err(error) = writer.write(time, frame)
            && self.failure.is_none()
        {
            self.failure = Some(ReplayError::Output { path: path.clone(), error });
        }
    }

    /// Whether everything could be written so far.
    pub(super) fn check(&mut self) -> Result<(), ReplayError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Writes what is still in memory, and the counters. Returns the number of frames.
    pub(super) fn finish(mut self, counters: &Counters) -> Result<u64, ReplayError> {
        self.check()?;
        for (path, writer) in self.ports {
            writer.finish().map_err(|error| ReplayError::Output { path, error })?;
        }
        let path = self.folder.join(COUNTERS);
        let written = serde_json::to_string_pretty(counters)
            .map_err(io::Error::other)
            .and_then(|text| fs::write(&path, text + "\n"));
        written.map_err(|error| ReplayError::Output { path, error })?;
        Ok(self.sent)
    }
}
