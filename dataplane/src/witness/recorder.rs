//! A witness that keeps what is noted, packet by packet, until somebody takes it.
//!
//! Packets are told apart by their buffers, so one that waits somewhere is known again when it goes
//! on. It allocates: workers of a running appliance are never watched by it.

use core::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Event, Witness};
use crate::clock::Nanos;
use crate::packet::Packet;

/// One note.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: Nanos,
    /// Which packet, in the order in which they came in or were made.
    pub packet: usize,
    /// The packet that this one was made for; `None`: it came from outside.
    pub parent: Option<usize>,
    /// What happened.
    pub event: Event,
}

/// See the module. Copies write into the same record.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Rc<RefCell<Record>>);

#[derive(Debug, Default)]
struct Record {
    entries: Vec<Entry>,
    now: Nanos,
    begun: usize,
    at_hand: Option<Subject>,
    /// By the handle of the buffer. A buffer that is used again is another packet from then on.
    by_handle: HashMap<usize, Subject>,
}

#[derive(Clone, Copy, Debug)]
struct Subject {
    packet: usize,
    parent: Option<usize>,
}

impl Recorder {
    /// With nothing noted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands out what was noted since the last call, in order.
    pub fn take(&self) -> Vec<Entry> {
        core::mem::take(&mut self.0.borrow_mut().entries)
    }
}

impl Record {
    fn push(&mut self, event: Event) {
        let Some(Subject { packet, parent }) = self.at_hand else { return };
        self.entries.push(Entry { at: self.now, packet, parent, event });
    }
}

impl Witness for Recorder {
    const WATCHES: bool = true;

    fn at(&self, now: Nanos) {
        self.0.borrow_mut().now = now;
    }

    fn begin(&self, packet: &Packet, origin: impl FnOnce() -> Event) {
        let mut record = self.0.borrow_mut();
        let event = origin();
        let parent =
            if event.is_arrival() { None } else { record.at_hand.map(|subject| subject.packet) };
        let subject = Subject { packet: record.begun, parent };
        record.begun += 1;
        record.by_handle.insert(packet.handle(), subject);
        record.at_hand = Some(subject);
        record.push(event);
    }

    fn turn_to(&self, packet: &Packet) {
        let mut record = self.0.borrow_mut();
        record.at_hand = record.by_handle.get(&packet.handle()).copied();
    }

    fn note(&self, event: impl FnOnce() -> Event) {
        let event = event();
        self.0.borrow_mut().push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::PortId;
    use crate::packet::MemoryPool;

    const PORT: PortId = PortId(0);

    fn received() -> Event {
        Event::Received { port: PORT, length: 60 }
    }

    fn sent() -> Event {
        Event::Sent { port: PORT, length: 60 }
    }

    #[test]
    fn notes_are_kept_by_packet_and_copies_share_the_record() {
        let mut pool = MemoryPool::new(2, 256);
        let recorder = Recorder::new();
        let [first, second] = [1, 2].map(|byte| pool.allocate_with(&[byte]).unwrap());
        recorder.at(Nanos(7));
        recorder.begin(&first, received);
        recorder.clone().begin(&second, received);
        recorder.turn_to(&first);
        recorder.note(sent);
        let entries = recorder.take();
        let found = entries.iter().map(|e| (e.at, e.packet, e.event.is_arrival()));
        let expected = [(0, true), (1, true), (0, false)].map(|(p, new)| (Nanos(7), p, new));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert!(recorder.take().is_empty(), "it was handed out");
        for packet in [first, second] {
            pool.release(packet);
        }
    }

    #[test]
    fn what_is_made_belongs_to_the_packet_at_hand_and_a_used_buffer_to_a_new_one() {
        let mut pool = MemoryPool::new(1, 256);
        let recorder = Recorder::new();
        let packet = pool.allocate_with(&[1]).unwrap();
        recorder.begin(&packet, received);
        // A packet in the same buffer can only be another.
        recorder.begin(&packet, sent);
        recorder.begin(&packet, received);
        let parents: Vec<_> = recorder.take().iter().map(|e| (e.packet, e.parent)).collect();
        assert_eq!(parents, [(0, None), (1, Some(0)), (2, None)]);
        pool.release(packet);
    }
}
