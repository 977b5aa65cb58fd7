//! Packets to this node that arrive in pieces: taken in, put together, given up when their time is over.

use super::{State, Worker};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::node::icmp_error::IcmpError;
use crate::packet::Packet;
use crate::reassembly::{Left, Piece, Taken, Terms, size_max};
use crate::stage::{Loss, Verdict};
use crate::tables::Tables;
use crate::witness::{Event, Witness};

/// Packets that are given up in a round at most.
const GIVEN_UP_PER_ROUND: usize = 16;

impl<D: Device, W: Witness> State<D, W> {
    /// Takes in a piece of a packet. Returns what is to be done next: with the whole packet, if this was
    /// its last piece, or with the piece itself, if it makes no sense.
    pub(super) fn reassemble(
        &mut self,
        packet: Packet,
        terms: Terms,
        tables: &Tables,
        now: Nanos,
    ) -> Option<(Packet, Verdict)> {
        let piece = match Piece::read(packet.data(), packet.meta.flags.decap_depth()) {
            Ok(piece) => piece,
            Err(verdict) => return Some((packet, verdict)),
        };
        let size = size_max(tables.ports.iter().map(|port| port.mtu).max().unwrap_or(0));
        let taken = self.reassembler.take(packet, &piece, terms, size, now);
        let balance = &self.shared.counters.balance;
        let next = match taken {
            Taken::Held => {
                self.witness.note(|| Event::Waits { seconds: terms.seconds });
                balance.handed_over.add(1);
                None
            }
            Taken::Whole(whole) => {
                balance.handed_over.add(1);
                balance.handed_back.add(1);
                // From here on it is about the packet that its first piece has become.
                self.witness.note(|| Event::LastPiece);
                self.witness.turn_to(&whole);
                self.witness.note(|| Event::PutTogether { length: whole.len() });
                self.count_event(Counter::ReasmOk, None);
                Some((whole, Verdict::Deliver))
            }
            Taken::Duplicate(packet) => {
                self.witness.note(|| Event::Duplicate);
                self.consume(packet);
                None
            }
            Taken::Lost(packet, counter) => Some((packet, Verdict::drop(counter))),
        };
        self.settle_left(tables, now);
        next
    }

    /// Settles the pieces that are no longer held.
    fn settle_left(&mut self, tables: &Tables, now: Nanos) {
        while let Some(Left { packet, loss, is_answered }) = self.reassembler.next_left() {
            self.shared.counters.balance.handed_back.add(1);
            self.witness.turn_to(&packet);
            let Some(counter) = loss else {
                self.consume(packet);
                continue;
            };
            self.witness.note(|| Event::GivenUp);
            if is_answered {
                self.answer(&packet, IcmpError::ReassemblyTimeExceeded, tables, now);
            }
            self.lose(packet, Loss::of(counter), tables);
        }
        self.shared.counters.reassembly.set(self.reassembler.counts());
    }
}

impl<D: Device, W: Witness> Worker<D, W> {
    /// Gives up packets whose time is over. Returns how many.
    #[inline]
    pub(super) fn give_up_pieces(&mut self, now: Nanos) -> usize {
        if !self.state.reassembler.is_due(now) {
            return 0;
        }
        self.give_up_due_pieces(now)
    }

    #[cold]
    fn give_up_due_pieces(&mut self, now: Nanos) -> usize {
        let Self { tables, state, .. } = self;
        let mut count = 0;
        while count < GIVEN_UP_PER_ROUND && state.reassembler.expire(now) {
            state.settle_left(tables, now);
            count += 1;
        }
        if count > 0 {
            state.flush();
        }
        count
    }

    /// Gives up everything that waits, at the end.
    pub(super) fn clear_pieces(&mut self, now: Nanos) {
        let Self { tables, state, .. } = self;
        while state.reassembler.clear_next() {
            state.settle_left(tables, now);
        }
        state.flush();
    }

    /// When a packet in pieces is given up next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.state.reassembler.next_deadline()
    }
}
