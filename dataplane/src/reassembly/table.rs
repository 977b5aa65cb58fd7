//! The packets that wait for pieces, their pieces, and the peers they are from.

use super::credit::AccountId;
use super::join::{Fields, append};
use super::piece::{Key, Piece};
use super::slots::{Ends, Index, NONE, Order};
use super::{Left, PIECES_MAX, SECONDS_MAX, whole_metadata};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::interface::Interface;
use crate::node::flow::FlowKey;
use crate::packet::Packet;

/// A packet that waits for pieces.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) key: Key,
    /// Of the key.
    hash: u64,
    pub(super) deadline: Nanos,
    /// Bytes of its payload; 0 until the last piece has come.
    pub(super) total: u16,
    /// Bytes of its payload that are there.
    pub(super) received: u16,
    pub(super) fields: Fields,
    /// Its pieces by position.
    first: u32,
    pub(super) pieces: u8,
    seconds: u8,
    pub(super) is_own: bool,
    /// Why nothing of it is taken any more.
    pub(super) refused: Option<Counter>,
    pub(super) peer: u32,
    /// Where it was paid for.
    pub(super) account: AccountId,
}

impl Context {
    /// Without pieces.
    pub(super) fn new(key: Key, seconds: u8, deadline: Nanos, is_own: bool) -> Self {
        Self {
            key,
            hash: 0,
            deadline,
            total: 0,
            received: 0,
            fields: Fields::NONE,
            first: NONE,
            pieces: 0,
            seconds,
            is_own,
            refused: None,
            peer: NONE,
            account: 0,
        }
    }

    /// What it counts against the limits, in pieces.
    fn charge(&self) -> u32 {
        u32::from(self.pieces.max(1))
    }
}

/// Who sends packets in pieces; without a source: everybody whose packets are for no tunnel.
#[derive(Clone, Copy)]
struct Peer {
    source: Option<u128>,
    is_ipv6: bool,
    charge: u32,
    contexts: Ends,
}

/// A piece in its slot.
struct Held {
    packet: Option<Packet>,
    payload_at: u16,
    start: u16,
    end: u16,
    is_last: bool,
    tos: u8,
    /// The next piece of the same packet, or the next that has left, or the next free slot.
    next: u32,
    loss: Option<Counter>,
    is_answered: bool,
}

impl Held {
    const FREE: Self = Self {
        packet: None,
        payload_at: 0,
        start: 0,
        end: 0,
        is_last: false,
        tos: 0,
        next: NONE,
        loss: None,
        is_answered: false,
    };

    fn part(&self) -> &[u8] {
        let bytes = self.packet.as_ref().map_or(&[][..], Packet::data);
        bytes.get(usize::from(self.payload_at)..).unwrap_or(&[])
    }
}

/// What stands for the hash of a source where packets are for no tunnel.
pub(super) const OF_NO_TUNNEL: u64 = 0;

/// See the module.
pub(super) struct Table {
    hash: FlowKey,
    index: Index,
    contexts: Box<[Context]>,
    /// Packets by how long they may take, which is also in the order of their deadlines.
    by_time: Order,
    times: Box<[Ends; SECONDS_MAX as usize + 1]>,
    /// Which of these lists have packets.
    times_used: u128,
    peer_index: Index,
    peers: Box<[Peer]>,
    by_peer: Order,
    held: Box<[Held]>,
    free: u32,
    left: u32,
    /// What all packets count together, in pieces.
    charge: u32,
    pieces: u32,
}

impl Table {
    /// For so many pieces.
    pub(super) fn new(pieces: u32, seed: u64) -> Self {
        let nobody = Key {
            source: 0,
            destination: 0,
            identification: 0,
            protocol: 0,
            is_ipv6: false,
            depth: 0,
        };
        let context = Context::new(nobody, 0, Nanos(0), false);
        let peer = Peer { source: None, is_ipv6: false, charge: 0, contexts: Ends::EMPTY };
        // Those of three packets may have gone and not yet been taken out.
        let slots = pieces + 3 * u32::from(PIECES_MAX) + 1;
        let mut held: Box<[Held]> = (1..=slots).map(|next| Held { next, ..Held::FREE }).collect();
        if let Some(last) = held.last_mut() {
            last.next = NONE;
        }
        Self {
            hash: FlowKey::new(seed),
            index: Index::new(pieces),
            contexts: vec![context; pieces as usize].into_boxed_slice(),
            by_time: Order::new(pieces),
            times: Box::new([Ends::EMPTY; SECONDS_MAX as usize + 1]),
            times_used: 0,
            peer_index: Index::new(pieces),
            peers: vec![peer; pieces as usize].into_boxed_slice(),
            by_peer: Order::new(pieces),
            held,
            free: 0,
            left: NONE,
            charge: 0,
            pieces: 0,
        }
    }

    /// Packets, pieces and peers.
    pub(super) fn counts(&self) -> (u32, u32, u32) {
        (self.index.used(), self.pieces, self.peer_index.used())
    }

    /// What all packets count together, in pieces.
    pub(super) fn charge(&self) -> u32 {
        self.charge
    }

    pub(super) fn context(&self, context: u32) -> &Context {
        &self.contexts[context as usize]
    }

    fn hash_of(&self, key: &Key) -> u64 {
        self.hash_with(key, self.hash_of_source(key.source))
    }

    /// The hash of a key, of whose source that of [`hash_of_source`](Self::hash_of_source) is at hand.
    #[inline]
    fn hash_with(&self, key: &Key, source_hash: u64) -> u64 {
        let rest = u64::from(key.identification) << 24
            | u64::from(key.protocol) << 8
            | u64::from(key.is_ipv6) << 4
            | u64::from(key.depth);
        self.hash.hash_further(source_hash, key.destination ^ u128::from(rest) << 64)
    }

    #[inline]
    pub(super) fn hash_of_source(&self, source: u128) -> u64 {
        self.hash.hash_address(source)
    }

    pub(super) fn hash_of_peer(&self, source: Option<u128>) -> u64 {
        source.map_or(OF_NO_TUNNEL, |source| self.hash_of_source(source))
    }

    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        self.find_hashed(key, self.hash_of(key))
    }

    /// Whether there is a packet with this key, of whose source the hash is at hand.
    #[inline]
    pub(super) fn has(&self, key: Key, source_hash: u64) -> bool {
        let hash = self.hash_with(&key, source_hash);
        self.index.may_have(hash) && self.has_closely(key, hash)
    }

    #[inline(never)]
    fn has_closely(&self, key: Key, hash: u64) -> bool {
        self.find_hashed(&key, hash).is_some()
    }

    fn find_hashed(&self, key: &Key, hash: u64) -> Option<u32> {
        self.index.find(hash, |context| self.contexts[context as usize].key == *key)
    }

    pub(super) fn find_peer(&self, source: Option<u128>, is_ipv6: bool) -> Option<u32> {
        let is_ipv6 = is_ipv6 && source.is_some();
        self.peer_index.find(self.hash_of_peer(source), |peer| {
            let peer = &self.peers[peer as usize];
            peer.source == source && peer.is_ipv6 == is_ipv6
        })
    }

    /// What the packets of a peer count, in pieces.
    pub(super) fn charge_of_peer(&self, peer: u32) -> u32 {
        self.peers[peer as usize].charge
    }

    /// Begins a packet; `None`: there is no room.
    pub(super) fn open(&mut self, key: Key, source: Option<u128>, new: Context) -> Option<u32> {
        let hash = self.hash_of(&key);
        let slot = self.index.insert(hash)?;
        let known = self.find_peer(source, key.is_ipv6);
        let Some(peer) = known.or_else(|| self.open_peer(source, key.is_ipv6)) else {
            self.index.remove(hash, slot);
            return None;
        };
        self.contexts[slot as usize] = Context { hash, peer, ..new };
        let time = usize::from(new.seconds);
        self.by_time.push(&mut self.times[time], slot);
        self.times_used |= 1 << time;
        let peer = &mut self.peers[peer as usize];
        self.by_peer.push(&mut peer.contexts, slot);
        peer.charge += 1;
        self.charge += 1;
        Some(slot)
    }

    fn open_peer(&mut self, source: Option<u128>, is_ipv6: bool) -> Option<u32> {
        let slot = self.peer_index.insert(self.hash_of_peer(source))?;
        let is_ipv6 = is_ipv6 && source.is_some();
        self.peers[slot as usize] = Peer { source, is_ipv6, charge: 0, contexts: Ends::EMPTY };
        Some(slot)
    }

    /// Where a piece belongs: behind which other, or [`NONE`] for the front. `Ok(None)`: it is there
    /// already. An error says why its packet is lost.
    pub(super) fn place(
        &self,
        context: u32,
        piece: &Piece,
        packet: &Packet,
    ) -> Result<Option<u32>, Counter> {
        let Context { total, pieces, first, .. } = *self.context(context);
        let end_is_known = total != 0;
        if end_is_known && piece.end > total {
            return Err(Counter::ReasmOverlap);
        }
        let (mut before, mut at) = (NONE, first);
        while let Some(other) = self.held.get(at as usize) {
            if other.start >= piece.end {
                break;
            }
            if other.end > piece.start {
                let part = packet.data().get(piece.payload_at..).unwrap_or(&[]);
                let is_same = other.start == piece.start
                    && other.is_last == piece.is_last
                    && other.part() == part;
                //= RFC 8200 §4.5: a packet with pieces that overlap is discarded with all of them;
                //= an exact duplicate may be ignored. RFC 5722 says why; for IPv4 the same here.
                return if is_same { Ok(None) } else { Err(Counter::ReasmOverlap) };
            }
            (before, at) = (at, other.next);
        }
        // A second end, or an end before other pieces.
        if piece.is_last && (end_is_known || at != NONE) {
            return Err(Counter::ReasmOverlap);
        }
        if pieces >= PIECES_MAX { Err(Counter::ReasmLimit) } else { Ok(Some(before)) }
    }

    /// Whether a packet lacks nothing but this piece, whose place is free.
    pub(super) fn is_complete_with(&self, context: u32, piece: &Piece) -> bool {
        let Context { total, received, .. } = *self.context(context);
        let total = if piece.is_last { piece.end } else { total };
        total != 0 && u32::from(received) + u32::from(piece.end - piece.start) == total.into()
    }

    /// Holds a piece at its place.
    ///
    /// # Errors
    /// When there is no slot for it, which limits prevent: the piece itself.
    pub(super) fn hold(
        &mut self,
        context: u32,
        before: u32,
        mut packet: Packet,
        piece: &Piece,
    ) -> Result<(), Packet> {
        let slot = self.free;
        let Some(held) = self.held.get_mut(slot as usize) else { return Err(packet) };
        if packet.meta.ingress.as_tunnel().is_some() {
            // Its number may be another tunnel's by the time the packet is whole.
            packet.meta.ingress = Interface::NONE;
        }
        self.free = held.next;
        *held = Held {
            packet: Some(packet),
            payload_at: u16::try_from(piece.payload_at).unwrap_or(u16::MAX),
            start: piece.start,
            end: piece.end,
            is_last: piece.is_last,
            tos: piece.tos,
            ..Held::FREE
        };
        let of = &mut self.contexts[context as usize];
        let charge = of.charge();
        of.pieces += 1;
        of.received += piece.end - piece.start;
        of.fields = of.fields.with(piece.tos, piece.ttl);
        if piece.is_last {
            of.total = piece.end;
        }
        let more = of.charge() - charge;
        let peer = of.peer;
        let link = match self.held.get_mut(before as usize) {
            Some(before) => &mut before.next,
            None => &mut of.first,
        };
        let next = core::mem::replace(link, slot);
        self.held[slot as usize].next = next;
        self.charge += more;
        self.peers[peer as usize].charge += more;
        self.pieces += 1;
        Ok(())
    }

    /// The first piece of a packet, its TOS or traffic class, and where its payload begins.
    pub(super) fn first_of(&self, context: u32) -> Option<(u32, u8, usize)> {
        let first = self.context(context).first;
        let held = self.held.get(first as usize)?;
        Some((first, held.tos, held.payload_at.into()))
    }

    /// Puts the payloads of all pieces behind the first one, which is taken out. `None`: its buffer is too
    /// small.
    pub(super) fn join(&mut self, first: u32) -> Option<Packet> {
        let held = self.held.get_mut(first as usize)?;
        let (mut whole, mut at) = (held.packet.take()?, held.next);
        let len = whole.len();
        while let Some(other) = self.held.get(at as usize) {
            if !append(&mut whole, other.part()) {
                whole.truncate(len);
                self.held[first as usize].packet = Some(whole);
                return None;
            }
            if let Some(other) = &other.packet {
                whole_metadata(&mut whole, other);
            }
            at = other.next;
        }
        Some(whole)
    }

    /// Ends what is held of a packet, and keeps its place, so that nothing more is taken.
    pub(super) fn refuse(&mut self, context: u32, counter: Counter) {
        self.let_go(context, Some(counter), false);
        self.contexts[context as usize].refused = Some(counter);
    }

    /// Ends a packet: its pieces are lost, or part of a whole one.
    pub(super) fn close(&mut self, context: u32, loss: Option<Counter>, is_answered: bool) {
        self.let_go(context, loss, is_answered);
        let Context { hash, seconds, peer, .. } = *self.context(context);
        let time = usize::from(seconds);
        self.by_time.remove(&mut self.times[time], context);
        if self.times[time] == Ends::EMPTY {
            self.times_used &= !(1 << time);
        }
        let of = &mut self.peers[peer as usize];
        self.by_peer.remove(&mut of.contexts, context);
        of.charge -= 1;
        self.charge -= 1;
        if of.contexts == Ends::EMPTY {
            let source = of.source;
            self.peer_index.remove(self.hash_of_peer(source), peer);
        }
        self.index.remove(hash, context);
    }

    /// Moves the pieces of a packet to those that have left.
    fn let_go(&mut self, context: u32, loss: Option<Counter>, is_answered: bool) {
        let of = &mut self.contexts[context as usize];
        let (mut at, beyond_one) = (of.first, of.charge() - 1);
        self.pieces -= u32::from(of.pieces);
        (of.first, of.pieces) = (NONE, 0);
        let peer = of.peer;
        self.peers[peer as usize].charge -= beyond_one;
        self.charge -= beyond_one;
        while let Some(held) = self.held.get_mut(at as usize) {
            held.loss = loss;
            held.is_answered = is_answered && held.start == 0;
            // Without a packet it is the first piece, whose buffer carries the whole now.
            let list = if held.packet.is_some() { &mut self.left } else { &mut self.free };
            let slot = core::mem::replace(&mut at, held.next);
            held.next = core::mem::replace(list, slot);
        }
    }

    /// The packet whose time is over first, and when.
    pub(super) fn soonest(&self) -> Option<(u32, Nanos)> {
        self.least(|context| context.deadline)
    }

    /// Of the packets that have waited longest on each list, the one with the least of something.
    fn least(&self, by: impl Fn(&Context) -> Nanos) -> Option<(u32, Nanos)> {
        let mut used = self.times_used;
        let mut least: Option<(u32, Nanos)> = None;
        while used != 0 {
            let first = self.times[used.trailing_zeros() as usize].first;
            used &= used - 1;
            let value = by(self.context(first));
            if least.is_none_or(|(_, other)| value < other) {
                least = Some((first, value));
            }
        }
        least
    }

    /// Drops the packet that has waited longest; returns which it was.
    pub(super) fn drop_oldest(&mut self) -> u32 {
        let begun = |context: &Context| {
            Nanos(context.deadline.0.saturating_sub(u64::from(context.seconds) * 1_000_000_000))
        };
        let oldest = self.least(begun).map_or(NONE, |(context, _)| context);
        self.drop_for_room(oldest)
    }

    /// The same, of a peer.
    pub(super) fn drop_oldest_of_peer(&mut self, peer: u32) -> u32 {
        self.drop_for_room(self.peers[peer as usize].contexts.first)
    }

    fn drop_for_room(&mut self, context: u32) -> u32 {
        if context != NONE {
            self.close(context, Some(Counter::ReasmLimit), false);
        }
        context
    }

    pub(super) fn has_left(&self) -> bool {
        self.left != NONE
    }

    /// Takes out a piece that has left.
    pub(super) fn next_left(&mut self) -> Option<Left> {
        let slot = self.left;
        let held = self.held.get_mut(slot as usize)?;
        self.left = core::mem::replace(&mut held.next, self.free);
        self.free = slot;
        let packet = held.packet.take()?;
        Some(Left { packet, loss: held.loss, is_answered: held.is_answered })
    }
}
