//! Putting packets to this node together again that arrive in pieces (RFC 791 §3.2, RFC 8200 §4.5,
//! RFC 5722, RFC 6946): tunnel packets, and echo requests.
//!
//! Each worker has one [`Reassembler`] of its own. Pieces are held as packets, in slots that are there
//! from the start, and found under the hash of their key with a secret of this start. Nothing here knows
//! tables, clocks or counters: whoever calls says which pieces may be held, for how long, and what time it
//! is, and takes out afterwards what has [`left`](Reassembler::next_left).
//!
//! Everything is bounded: buffers held in all and of one peer (oldest packets go first), pieces of a
//! packet, its size, the time, the work of one call, and where room is short the packets that begin (`credit`). A packet with pieces that contradict each other
//! is lost whole, with what is still to come of it: its place is kept until its time is over.

mod credit;
mod join;
mod piece;
mod slots;
mod table;

pub use join::take_out;
pub use piece::{FragmentHeader, Piece};
pub(crate) use piece::{Key, is_sound};

use core::time::Duration;

use crate::clock::Nanos;
use crate::counters::Counter;
use crate::interface::Interface;
use crate::packet::{Flags, Packet};
use crate::tunnel::ecn;
use credit::{AccountId, Credit, Refused};
use piece::FRAGMENT_HEADER_LEN;
use table::{Context, OF_NO_TUNNEL, Table};

/// The most pieces of one packet. A packet of 9000 bytes cut for the smallest path that tunnels believe
/// in (552) has 17.
pub const PIECES_MAX: u8 = 64;

/// The longest time that a packet may take to be complete, in seconds.
pub const SECONDS_MAX: u8 = 120;

/// How long an IPv4 packet may take where nobody says otherwise: identifications of 16 bits are used
/// again within seconds (RFC 4963).
pub const SECONDS_IPV4: u8 = 2;

/// The same for IPv6 (RFC 8200 §4.5).
pub const SECONDS_IPV6: u8 = 60;

/// How long a whole packet may always be (RFC 4213 §3.6 wants 1500).
const SIZE_MIN: usize = 2000;

/// How much longer than a port takes it may be: what peers put around a packet of that size.
const SIZE_BEYOND_MTU: usize = 100;

/// How long a whole packet may be where `mtu` is the largest MTU of a port, both in bytes.
pub const fn size_max(mtu: u16) -> usize {
    let beyond = mtu as usize + SIZE_BEYOND_MTU;
    if beyond > SIZE_MIN { beyond } else { SIZE_MIN }
}

/// Of all buffers, the part that may be held for reassembly at most.
const PART_OF_BUFFERS: usize = 4;

/// How much one worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pieces, which are as many buffers, of all packets together.
    pub pieces: u32,
    /// Of the packets of one peer; all that are for no tunnel count as one peer's.
    pub pieces_per_peer: u32,
}

impl Limits {
    /// The share of one of `workers` workers in `memory` bytes, a peer's being `memory_per_peer`, where
    /// there are `buffers` buffers of `buffer_len` bytes. However much memory that is, most buffers are
    /// left for other packets.
    pub fn new(
        (memory, memory_per_peer): (u64, u64),
        (buffers, buffer_len): (usize, usize),
        workers: u16,
    ) -> Self {
        let workers = u64::from(workers.max(1));
        let in_buffers = |bytes: u64| bytes / (buffer_len.max(1) as u64);
        let share = in_buffers(memory).min((buffers / PART_OF_BUFFERS) as u64) / workers;
        // One piece alone is never a packet.
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX).clamp(2, 1 << 24);
        let pieces = narrow(share);
        Self { pieces, pieces_per_peer: narrow(in_buffers(memory_per_peer)).min(pieces) }
    }
}

/// On what terms a piece may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long its packet may take to be complete, in seconds: 1 to [`SECONDS_MAX`].
    pub seconds: u8,
    /// It is for this node itself and not for a tunnel: its sender is told when the time is over.
    pub is_own: bool,
}

/// What became of a piece.
#[derive(Debug)]
pub enum Taken {
    /// It is held, or has left already with the others.
    Held,
    /// It was the last one: the whole packet, which stands at its IP header.
    Whole(Packet),
    /// It is there already: it has no use.
    Duplicate(Packet),
    /// It is lost.
    Lost(Packet, Counter),
}

/// A piece that is no longer held.
#[derive(Debug)]
pub struct Left {
    /// It, at its IP header.
    pub packet: Packet,
    /// Why it is lost; `None`: it has become part of a whole packet.
    pub loss: Option<Counter>,
    /// It is the first of a packet whose time is over, and its sender is to be told.
    pub is_answered: bool,
}

/// What is refused at one time.
#[derive(Clone, Copy)]
pub(crate) struct Refusals<'r> {
    table: &'r Table,
    of_accounts: credit::Refusals<'r>,
}

impl Refusals<'_> {
    /// Whether a piece is refused; `is_own`: of the [`Terms`]. A yes holds for the rest of the burst, whatever
    /// else is taken.
    #[inline]
    pub(crate) fn include(&self, key: Key, is_own: bool) -> bool {
        let source_hash = self.table.hash_of_source(key.source);
        let account = Credit::account_of(if is_own { OF_NO_TUNNEL } else { source_hash });
        match self.of_accounts.of(account) {
            Refused::Nothing => false,
            Refused::Beginnings => !self.table.has(key, source_hash),
            Refused::Everything => true,
        }
    }
}

/// See the module.
pub struct Reassembler {
    table: Table,
    credit: Credit,
    limits: Limits,
    /// Nothing is due before.
    next_due: Nanos,
}

impl Reassembler {
    /// Allocates everything that it will ever need. `seed` is the secret of its hashes.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let table = Table::new(limits.pieces, seed);
        Self { table, credit: Credit::new(), limits, next_due: Nanos(u64::MAX) }
    }

    /// What it may hold.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many packets wait for pieces, how many pieces wait, and of how many peers.
    pub fn counts(&self) -> (u32, u32, u32) {
        self.table.counts()
    }

    /// Before a burst: peers whose packets are complete by now may begin others.
    #[inline]
    pub fn begin_burst(&mut self) {
        self.credit.settle();
    }

    /// What [`take`](Self::take) would refuse now, for what peers owe; `None`: nothing.
    #[inline]
    pub(crate) fn refusals(&self, now: Nanos) -> Option<Refusals<'_>> {
        let of_accounts = self.credit.refusals(now)?;
        Some(Refusals { table: &self.table, of_accounts })
    }

    /// Takes a piece of a packet that may be at most `size_max` bytes long when it is whole. Afterwards
    /// [`next_left`](Self::next_left) is to be called until there is nothing left.
    pub fn take(
        &mut self,
        packet: Packet,
        piece: &Piece,
        terms: Terms,
        size_max: usize,
        now: Nanos,
    ) -> Taken {
        let source = (!terms.is_own).then(|| piece.source());
        let account = Credit::account_of(self.table.hash_of_peer(source));
        let refused = self.credit.refused(account, now);
        if refused == Refused::Everything {
            return Taken::Lost(packet, Counter::ReasmRefused);
        }
        let context = match self.table.find(&piece.key) {
            Some(context) if !self.close_if_due(context, now) => Some(context),
            _ if refused != Refused::Nothing => {
                return Taken::Lost(packet, Counter::ReasmRefused);
            }
            _ => self.open(piece, (source, account), terms, now),
        };
        self.credit.pay(account, now);
        let Some(context) = context else { return Taken::Lost(packet, Counter::ReasmLimit) };
        if let Some(counter) = self.table.context(context).refused {
            return Taken::Lost(packet, counter);
        }
        // What is in front of the whole is what is in front of its first piece, which may be still to come.
        let size = piece.front_of_whole() + usize::from(piece.end);
        let place = if piece.is_tiny {
            Err(Counter::ReasmTiny)
        } else if size > size_max {
            Err(Counter::ReasmOversize)
        } else {
            self.table.place(context, piece, &packet)
        };
        match place {
            Err(counter) => {
                self.table.refuse(context, counter);
                Taken::Lost(packet, counter)
            }
            Ok(None) => Taken::Duplicate(packet),
            Ok(Some(before)) if self.make_room(context, piece, now) => {
                match self.table.hold(context, before, packet, piece) {
                    Ok(()) => self.join_if_complete(context, size_max),
                    Err(packet) => Taken::Lost(packet, Counter::ReasmLimit),
                }
            }
            Ok(Some(_)) => Taken::Lost(packet, Counter::ReasmLimit),
        }
    }

    /// Begins a packet of a peer. `None`: there is no room.
    fn open(
        &mut self,
        piece: &Piece,
        (source, account): (Option<u128>, AccountId),
        terms: Terms,
        now: Nanos,
    ) -> Option<u32> {
        let peer = self.table.find_peer(source, piece.key.is_ipv6);
        if let Some(peer) = peer
            && self.table.charge_of_peer(peer) >= self.limits.pieces_per_peer
        {
            self.table.drop_oldest_of_peer(peer);
            self.credit.note_short(Some(account), now);
        }
        if self.table.charge() >= self.limits.pieces {
            self.table.drop_oldest();
            self.credit.note_short(None, now);
        }
        let seconds = terms.seconds.clamp(1, SECONDS_MAX);
        let deadline = now + Duration::from_secs(seconds.into());
        self.next_due = self.next_due.min(deadline);
        let mut context = Context::new(piece.key, seconds, deadline, terms.is_own);
        context.account = account;
        self.table.open(piece.key, source, context)
    }

    /// Makes room for one more piece of a packet. False: that packet was the oldest, and has gone itself.
    fn make_room(&mut self, context: u32, piece: &Piece, now: Nanos) -> bool {
        let Context { pieces, peer, account, .. } = *self.table.context(context);
        // The place of its first piece was taken when it began, and the last one needs none.
        if pieces == 0 || self.table.is_complete_with(context, piece) {
            return true;
        }
        let mut is_there = true;
        if self.table.charge_of_peer(peer) >= self.limits.pieces_per_peer {
            is_there &= self.table.drop_oldest_of_peer(peer) != context;
            self.credit.note_short(Some(account), now);
        }
        if is_there && self.table.charge() >= self.limits.pieces {
            is_there &= self.table.drop_oldest() != context;
            self.credit.note_short(None, now);
        }
        is_there
    }

    /// The whole packet, when all of its pieces are there.
    fn join_if_complete(&mut self, context: u32, size_max: usize) -> Taken {
        let Context { key, total, received, fields, account, pieces, .. } =
            *self.table.context(context);
        if total == 0 || received != total {
            return Taken::Held;
        }
        let Some((first, tos, front_len)) = self.table.first_of(context) else {
            return Taken::Held;
        };
        let fragment_header_len = if key.is_ipv6 { FRAGMENT_HEADER_LEN } else { 0 };
        if front_len - fragment_header_len + usize::from(total) > size_max {
            self.table.close(context, Some(Counter::ReasmOversize), false);
            return Taken::Held;
        }
        let Some(field) = fields.ecn(tos) else {
            self.table.close(context, Some(Counter::ReasmEcnMix), false);
            return Taken::Held;
        };
        let Some(mut whole) = self.table.join(first) else {
            self.table.close(context, Some(Counter::ReasmOversize), false);
            return Taken::Held;
        };
        let tos = tos & !ecn::MASK | field;
        if key.is_ipv6 {
            join::finish_ipv6(&mut whole, tos, fields.ttl);
        } else {
            join::finish_ipv4(&mut whole, tos, fields.ttl);
        }
        self.table.close(context, None, false);
        self.credit.earn(account, pieces);
        Taken::Whole(whole)
    }

    /// Whether there may be a packet whose time is over.
    #[inline]
    pub fn is_due(&self, now: Nanos) -> bool {
        now >= self.next_due
    }

    /// Gives up one packet whose time is over. False: there is none. Its pieces have to be taken out
    /// afterwards.
    pub fn expire(&mut self, now: Nanos) -> bool {
        match self.table.soonest() {
            Some((context, _)) if self.close_if_due(context, now) => true,
            soonest => {
                self.next_due = soonest.map_or(Nanos(u64::MAX), |(_, deadline)| deadline);
                false
            }
        }
    }

    /// Gives a packet up if its time is over; says whether it was.
    fn close_if_due(&mut self, context: u32, now: Nanos) -> bool {
        let Context { deadline, is_own, .. } = *self.table.context(context);
        if deadline <= now {
            self.table.close(context, Some(Counter::ReasmTimeout), is_own);
        }
        deadline <= now
    }

    /// When the time of the next packet is over.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.table.soonest().map(|(_, deadline)| deadline)
    }

    /// Gives up the packet that has waited longest, at the end. False: none waits.
    pub fn clear_next(&mut self) -> bool {
        self.table.soonest().is_some_and(|(context, _)| {
            self.table.close(context, Some(Counter::ReasmTimeout), false);
            true
        })
    }

    /// Takes out the next piece that is no longer held.
    #[inline]
    pub fn next_left(&mut self) -> Option<Left> {
        if self.table.has_left() { self.table.next_left() } else { None }
    }
}

/// What a packet is, once it is whole, besides its bytes.
fn whole_metadata(first: &mut Packet, other: &Packet) {
    if first.meta.ingress != other.meta.ingress {
        // It came by no one interface: a tunnel that is bound to one does not take it.
        first.meta.ingress = Interface::NONE;
    }
    if other.meta.flags.has(Flags::L2_GROUP) {
        first.meta.flags.set(Flags::L2_GROUP);
    }
}

#[cfg(test)]
mod tests;
