//! An explanation as text: a heading for each frame, a line for each step, and what became of it.

use std::fmt;

use adit_dataplane::clock::Nanos;
use serde_json::{Value, json};

use super::step::Step;
use super::story::Frame;

/// What became of frames, and what was done for none of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Frames, in the order of their arrival.
    pub frames: Vec<Frame>,
    /// When, and what.
    pub asides: Vec<(Nanos, Step)>,
    /// When the first frame of all arrived; times are told from here on.
    pub start: Nanos,
}

/// The width of the left column.
const TOPIC_WIDTH: usize = 13;

impl Explanation {
    /// As an object.
    pub fn to_json(&self) -> Value {
        let aside = |(at, step): &(Nanos, Step)| {
            let mut object = step.to_json();
            object["time_ns"] = at.0.into();
            object
        };
        json!({
            "frames": self.frames.iter().map(Frame::to_json).collect::<Vec<_>>(),
            "asides": self.asides.iter().map(aside).collect::<Vec<_>>(),
        })
    }

    fn seconds(&self, at: Nanos) -> String {
        let nanos = at.0.saturating_sub(self.start.0);
        format!("{}.{:06} s", nanos / 1_000_000_000, nanos % 1_000_000_000 / 1000)
    }

    fn write_frame(&self, frame: &Frame, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.seconds(frame.time);
        writeln!(f, "frame {} on {} at {at}: {}", frame.number, frame.port, frame.summary)?;
        let Some(ending) = frame.ending() else {
            return writeln!(f, "not received: it is longer than any buffer");
        };
        let mut after = frame.steps.first().map_or(ending.after, |first| first.after);
        for step in &frame.steps {
            if step.after != after {
                after = step.after;
                writeln!(f, "  {} after it came:", seconds(after))?;
            }
            if !std::ptr::eq(step, ending) && step.event() != "received" {
                write_step(step, f)?;
            }
        }
        let colon = if matches!(ending.event(), "dropped" | "consumed") { ":" } else { "" };
        writeln!(f, "{}{colon} {}", ending.topic(), ending.words())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, frame) in self.frames.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            self.write_frame(frame, f)?;
        }
        if !self.asides.is_empty() {
            writeln!(f, "\nfor no frame:")?;
        }
        for (at, step) in &self.asides {
            let (at, topic) = (self.seconds(*at), step.topic());
            writeln!(f, "  {at} {topic:TOPIC_WIDTH$} {}", step.words())?;
        }
        Ok(())
    }
}

fn write_step(step: &Step, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // The first line of a packet that was made stands with those of the packet it was made for.
    let is_first = matches!(step.event(), "answer" | "mirrored" | "piece" | "told");
    let indent = 2 * (1 + step.depth - usize::from(is_first && step.depth > 0));
    let mut topic = step.topic();
    for line in step.words().lines() {
        writeln!(f, "{:indent$}{topic:TOPIC_WIDTH$} {line}", "")?;
        topic = "";
    }
    Ok(())
}

fn seconds(duration: std::time::Duration) -> String {
    format!("{:.6} s", duration.as_secs_f64())
}
