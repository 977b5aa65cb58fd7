//! Replay: the packet path over captures, on virtual time. What would this configuration do with
//! these frames?
//!
//! It brings captures, the simulated appliance and output files together; what the appliance does
//! is the engine's. Inputs are read whole before the first output is touched.

mod output;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;

use crate::capture::{Capture, CaptureError, Timeline};
use crate::config::{self, Config, Mistake, Mistakes, Purpose};
use crate::engine::CompileError;
use crate::engine::simulation::Simulation;
use crate::report::Counters;
use output::Output;

/// What to play.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The file with the configuration.
    pub configuration: PathBuf,
    /// Captures, and the ports they arrive on.
    pub inputs: Vec<Input>,
    /// The folder for the results; it is made.
    pub out: PathBuf,
    /// How long the clock runs on after the last frame.
    pub linger: Duration,
    /// Whether the start is played as well, instead of starting settled.
    pub boot: bool,
}

/// One capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The port as the configuration names it.
    pub port: String,
    /// The file.
    pub capture: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Played {
    /// What is probably not meant in the configuration.
    pub warnings: Vec<Mistake>,
    /// Frames of all inputs.
    pub received: usize,
    /// Frames on all outputs.
    pub sent: u64,
    /// Bursts with a frame that no port could receive, because it is longer than any buffer.
    pub oversized: usize,
    /// Buffers that never came back. Anything but 0 is a bug of ours.
    pub lost_buffers: usize,
    /// As in `counters.json`.
    pub counters: Counters,
}

/// Why nothing was played, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] Mistakes),
    /// The configuration is right, but can't be built.
    #[error("{}: {error}", path.display())]
    Compile {
        /// The configuration.
        path: PathBuf,
        /// Why not.
        error: CompileError,
    },
    /// An input for a port that does not exist.
    #[error("--in {port}: the configuration has no such port; its ports are {known}")]
    UnknownPort {
        /// As it was named.
        port: String,
        /// Those that exist.
        known: String,
    },
    /// An input can't be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// An output can't be written.
    #[error("{}: {error}", path.display())]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Replay {
    /// Plays everything and writes the results.
    pub fn run(&self) -> Result<Played, ReplayError> {
        let config::Loaded { config, warnings, .. } =
            config::load(&self.configuration, Purpose::Replay)?;
        let timeline = read_inputs(&self.inputs, &config)?;
        let names: Vec<String> = config.ports.iter().map(|port| port.name.to_string()).collect();
        let start = timeline.first_time().unwrap_or_default();
        let mut appliance = Simulation::new(config, start, self.boot)
            .map_err(|error| ReplayError::Compile { path: self.configuration.clone(), error })?;
        let mut output = Output::create(&self.out, &names)?;
        let oversized = self.play(&timeline, &mut appliance, &mut output)?;
        let counters = appliance.counters();
        let sent = output.finish(&counters)?;
        let lost_buffers = appliance.finish();
        let received = timeline.len();
        Ok(Played { warnings, received, sent, oversized, lost_buffers, counters })
    }

    /// Returns how many bursts had a frame that no port could receive.
    fn play(
        &self,
        timeline: &Timeline,
        appliance: &mut Simulation,
        output: &mut Output,
    ) -> Result<usize, ReplayError> {
        let mut oversized = 0;
        timeline.try_for_each_burst(appliance.burst(), |port, time, frames| {
            appliance.advance(time, |port, time, frame| output.write(port, time, frame));
            let frames = frames.iter().copied();
            let see = |port, time, frame: &[u8]| output.write(port, time, frame);
            if !appliance.receive(port, frames, see) {
                oversized += 1;
            }
            output.check()
        })?;
        let end = appliance.now() + self.linger;
        appliance.advance(end, |port: PortId, time: Nanos, frame: &[u8]| {
            output.write(port, time, frame);
        });
        output.check()?;
        Ok(oversized)
    }
}

/// Reads captures, each for a port of the configuration, as one sequence.
pub(crate) fn read_inputs(inputs: &[Input], config: &Config) -> Result<Timeline, ReplayError> {
    let mut captures = Vec::with_capacity(inputs.len());
    for Input { port, capture } in inputs {
        let known = (0..).map(PortId).zip(&config.ports);
        let (id, _) =
            known.into_iter().find(|(_, known)| &*known.name == port).ok_or_else(|| {
                let names: Vec<&str> = config.ports.iter().map(|port| &*port.name).collect();
                ReplayError::UnknownPort { port: port.clone(), known: names.join(", ") }
            })?;
        captures.push((id, Capture::read(capture)?));
    }
    Ok(Timeline::merge(captures))
}

#[cfg(test)]
mod tests;
