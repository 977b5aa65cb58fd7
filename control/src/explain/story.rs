//! From notes to frames: which frame each note belongs to, and what became of each.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::witness::{Entry, Event};
use serde_json::{Value, json};

use super::names::Names;
use super::spoken::{self, Said};
use super::step::{Step, Told};
use super::words;
use super::words::summary;

/// What became of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its number: of all frames of all inputs in the order in which they arrive, from 1.
    pub number: usize,
    /// The port that it arrived on.
    pub port: String,
    /// When.
    pub time: Nanos,
    /// It, in a line.
    pub summary: String,
    /// What was done and decided, in order, for it and for what was made for it.
    pub steps: Vec<Step>,
}

impl Frame {
    /// What became of the frame itself; `None`: it could not be received.
    pub fn ending(&self) -> Option<&Step> {
        self.steps.iter().rfind(|step| step.packet == 0)
    }

    /// As an object.
    pub fn to_json(&self) -> Value {
        let ending = self.ending();
        json!({
            "frame": self.number,
            "port": self.port,
            "time_ns": self.time.0,
            "summary": self.summary,
            "outcome": ending.map(Step::event),
            "ending": ending.map(Step::words),
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
        })
    }
}

/// Where a packet belongs.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The position of its frame; `None`: no frame brought it about.
    frame: Option<usize>,
    /// See [`Step::packet`].
    packet: usize,
    depth: usize,
}

/// Frames, while notes come in.
#[derive(Debug, Default)]
pub(super) struct Story {
    frames: Vec<Frame>,
    /// By the number of the packet among all.
    places: HashMap<usize, Place>,
    /// How many packets each frame has.
    packets: Vec<usize>,
    /// What was done for no frame: of timers.
    asides: Vec<(Nanos, Step)>,
    /// Packets that wait for a neighbor.
    held: Vec<(PortId, IpAddr, usize)>,
    /// Packets that the control side has not answered yet.
    asked: VecDeque<(PortId, usize)>,
}

impl Story {
    /// A frame that will arrive, or can't.
    pub(super) fn expect(&mut self, number: usize, port: String, time: Nanos, summary: String) {
        self.frames.push(Frame { number, port, time, summary, steps: Vec::new() });
        self.packets.push(0);
    }

    /// Takes notes of frames that were expected: `arrived` are their positions, in order.
    pub(super) fn take(&mut self, entries: &[Entry], arrived: &[usize], names: Names<'_>) {
        let mut arrived = arrived.iter().copied();
        for entry in entries {
            if let Event::Received { .. } = entry.event
                && let Some(frame) = arrived.next()
            {
                self.settle(entry.packet, Some(frame), 0);
            }
            let place = self.place(entry);
            self.remember(entry);
            let told = words::tell(&entry.event, names);
            self.add(place, entry, told);
        }
        // What the control side has not answered by now, it does not answer.
        self.asked.clear();
    }

    /// What came of the frames that the control side was given, in the order of `entries`.
    pub(super) fn hear(&mut self, entries: &[Entry], heard: &[Option<Counter>]) {
        let punted = entries.iter().filter(|entry| matches!(entry.event, Event::Punted { .. }));
        for (entry, refused) in punted.zip(heard) {
            let place = self.place(entry);
            if let Some(counter) = *refused {
                self.add(place, entry, words::refused(counter));
            }
        }
    }

    /// The frames, and what was done for none of them.
    pub(super) fn finish(self) -> (Vec<Frame>, Vec<(Nanos, Step)>) {
        (self.frames, self.asides)
    }

    fn settle(&mut self, packet: usize, frame: Option<usize>, depth: usize) -> Place {
        let count = frame.and_then(|frame| self.packets.get_mut(frame));
        let number = count.map_or(0, |count| {
            *count += 1;
            *count - 1
        });
        let place = Place { frame, packet: number, depth };
        self.places.insert(packet, place);
        place
    }

    /// Where a note belongs: with its packet, which is known, or was made for one that is.
    fn place(&mut self, entry: &Entry) -> Place {
        if let Some(place) = self.places.get(&entry.packet) {
            return *place;
        }
        let parent = entry.parent.or_else(|| self.cause(&entry.event));
        let parent = parent.and_then(|parent| self.places.get(&parent)).copied();
        let depth = parent.map_or(0, |parent| parent.depth + 1);
        self.settle(entry.packet, parent.and_then(|parent| parent.frame), depth)
    }

    /// The packet that made the control side send a frame: the one that waits for the neighbor that
    /// is asked for, or the question that is answered.
    fn cause(&mut self, event: &Event) -> Option<usize> {
        let Event::Told { port, frame } = event else { return None };
        match spoken::read(frame)? {
            Said::Asks(address) => {
                let waits = self.held.iter().rfind(|held| (held.0, held.1) == (*port, address));
                waits.map(|held| held.2)
            }
            Said::Tells(_) => {
                let at = self.asked.iter().position(|asked| asked.0 == *port)?;
                self.asked.remove(at).map(|asked| asked.1)
            }
        }
    }

    fn remember(&mut self, entry: &Entry) {
        match entry.event {
            Event::Held { port, address } => self.held.push((port, address, entry.packet)),
            Event::Resumed { .. } => self.held.retain(|held| held.2 != entry.packet),
            Event::Punted { port } => self.asked.push_back((port, entry.packet)),
            _ => {}
        }
    }

    fn add(&mut self, place: Place, entry: &Entry, told: Told) {
        let Some(frame) = place.frame.and_then(|frame| self.frames.get_mut(frame)) else {
            let Place { packet, depth, .. } = place;
            let step = Step { packet, depth, after: std::time::Duration::ZERO, told };
            self.asides.push((entry.at, step));
            return;
        };
        if place.packet == 0
            && let Some(summary) = summary(&entry.event)
        {
            frame.summary = summary;
        }
        let after = std::time::Duration::from_nanos(entry.at.0.saturating_sub(frame.time.0));
        let mut step = Step { packet: place.packet, depth: place.depth, after, told };
        let before = frame.steps.iter().rfind(|before| before.packet == place.packet);
        if let (Event::Consumed, Some(before)) = (&entry.event, before) {
            match before.event() {
                // It has ended as that already.
                "punted" => return,
                "waits" | "last_piece" => {
                    "its bytes are in the whole packet now".clone_into(&mut step.told.words);
                }
                "cut" => "its pieces go on instead".clone_into(&mut step.told.words),
                _ => {}
            }
        }
        frame.steps.push(step);
    }
}
