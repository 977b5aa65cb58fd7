//! One step of a packet in words and as data, both of one event.

use std::time::Duration;

use serde_json::{Map, Value};

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// What it is about, in a word or two: the left column.
    pub(super) topic: &'static str,
    /// The name of the event in JSON.
    pub(super) name: &'static str,
    /// Its values, an object.
    pub(super) values: Value,
    /// It, in a sentence.
    pub(super) words: String,
}

impl Told {
    pub(super) fn new(
        topic: &'static str,
        name: &'static str,
        values: Value,
        words: impl Into<String>,
    ) -> Self {
        Self { topic, name, values, words: words.into() }
    }
}

/// A step of a frame, or of a packet that was made for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// 0: the frame itself; others in the order in which they were made for it.
    pub packet: usize,
    /// How many packets stand between this one and the frame.
    pub depth: usize,
    /// How long after the frame came.
    pub after: Duration,
    pub(super) told: Told,
}

impl Step {
    /// What it is about.
    pub fn topic(&self) -> &'static str {
        self.told.topic
    }

    /// The name of the event.
    pub fn event(&self) -> &'static str {
        self.told.name
    }

    /// The step in a sentence.
    pub fn words(&self) -> &str {
        &self.told.words
    }

    /// As an object: packet, event, time, the event's values, and the sentence.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("event".to_owned(), self.told.name.into());
        object.insert("packet".to_owned(), self.packet.into());
        let after = u64::try_from(self.after.as_nanos()).unwrap_or(u64::MAX);
        object.insert("after_ns".to_owned(), after.into());
        if let Value::Object(values) = &self.told.values {
            object.extend(values.clone());
        }
        object.insert("words".to_owned(), self.told.words.replace('\n', "; ").into());
        Value::Object(object)
    }
}
