//! Explain: what becomes of the frames of a capture, and why: each step and each decision, with the
//! values that it was taken on.
//!
//! It is a [replay](crate::replay) with a witness. The packet path notes what it decides, where it
//! decides it; here these notes become words. Nothing here knows a rule.

mod names;
mod print;
mod spoken;
mod step;
mod story;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use adit_dataplane::witness::Recorder;

use crate::config::{self, Mistake, Purpose};
use crate::engine::simulation::Simulation;
use crate::replay::{Input, ReplayError, read_inputs};
use crate::report::Counters;
use names::Names;
pub use print::Explanation;
pub use step::Step;
pub use story::Frame;
use story::Story;

/// What to explain.
#[derive(Debug, Clone)]
pub struct Explain {
    /// The file with the configuration.
    pub configuration: PathBuf,
    /// Captures, and the ports they arrive on.
    pub inputs: Vec<Input>,
    /// How long the clock runs on after the last frame.
    pub linger: Duration,
    /// Whether the start is played as well, instead of starting settled.
    pub boot: bool,
    /// The number of the one frame to tell of; `None`: of all. All are played.
    pub frame: Option<usize>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// What is probably not meant in the configuration.
    pub warnings: Vec<Mistake>,
    /// The frames.
    pub explanation: Explanation,
    /// As in the `counters.json` of a replay.
    pub counters: Counters,
}

/// Why nothing is explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// What a replay fails for, too.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The captures have fewer frames.
    #[error("--frame {number}: there are {count} frames, numbered from 1")]
    NoSuchFrame {
        /// The number that was asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
}

impl Explain {
    /// Plays everything, and says what became of each frame.
    ///
    /// # Errors
    /// When the configuration or a capture is wrong, or has no such frame.
    pub fn run(&self) -> Result<Explained, ExplainError> {
        let loaded = config::load(&self.configuration, Purpose::Replay);
        let config::Loaded { config, warnings, .. } = loaded.map_err(ReplayError::from)?;
        let timeline = read_inputs(&self.inputs, &config)?;
        if let Some(number) = self.frame.filter(|number| !(1..=timeline.len()).contains(number)) {
            return Err(ExplainError::NoSuchFrame { number, count: timeline.len() });
        }
        let start = timeline.first_time().unwrap_or_default();
        let recorder = Recorder::new();
        let mut appliance = Simulation::watched(config, start, self.boot, recorder.clone())
            .map_err(|error| ReplayError::Compile { path: self.configuration.clone(), error })?;
        let (mut story, mut count) = (Story::default(), 0);
        appliance.take_heard();
        let played: Result<(), ReplayError> =
            timeline.try_for_each_burst(appliance.burst(), |port, time, frames| {
                appliance.advance(time, |_, _, _| {});
                tell(&mut story, &recorder, &mut appliance, &[]);
                let mut arrived = Vec::new();
                for frame in frames {
                    if appliance.can_arrive(frame) {
                        arrived.push(count);
                    }
                    count += 1;
                    let name = Names(appliance.controller()).port(port);
                    story.expect(count, name, time, summary_of(frame));
                }
                appliance.receive(port, frames.iter().copied(), |_, _, _| {});
                tell(&mut story, &recorder, &mut appliance, &arrived);
                Ok(())
            });
        played?;
        let end = appliance.now() + self.linger;
        appliance.advance(end, |_, _, _| {});
        tell(&mut story, &recorder, &mut appliance, &[]);
        let (mut frames, mut asides) = story.finish();
        if let Some(number) = self.frame {
            frames.retain(|frame| frame.number == number);
            asides.clear();
        }
        let explanation = Explanation { frames, asides, start };
        Ok(Explained { warnings, explanation, counters: appliance.counters() })
    }
}

/// Tells what was noted since the last time; `arrived` are the positions of the frames that came.
fn tell(
    story: &mut Story,
    recorder: &Recorder,
    appliance: &mut Simulation<Recorder>,
    arrived: &[usize],
) {
    let entries = recorder.take();
    story.take(&entries, arrived, Names(appliance.controller()));
    story.hear(&entries, &appliance.take_heard());
}

/// A frame in a line, for as long as the packet path has not said what it is.
fn summary_of(frame: &[u8]) -> String {
    match spoken::read(frame) {
        Some(said) => said.to_string(),
        None => format!("{} bytes", frame.len()),
    }
}

#[cfg(test)]
mod tests;
