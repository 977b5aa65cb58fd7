//! Frames that go to several remotes: a copy to each.

use super::State;
use super::mirror::has_entered;
use super::settle::copy;
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::{Interface, TunnelId};
use crate::packet::Packet;
use crate::stage::Loss;
use crate::stage::encap::encap_frame;
use crate::tables::Tables;
use crate::tunnel::remotes::REMOTES_MAX;
use crate::witness::{Event, Witness};

/// Copies that a worker makes in one round, as many as a transmit queue holds: more would be lost there, and meanwhile
/// nothing else would be received.
pub(super) const COPIES_MAX: usize = 1024;

const _: () = assert!(REMOTES_MAX <= COPIES_MAX);

impl<D: Device, W: Witness> State<D, W> {
    /// Sends a frame to each of a tunnel's remotes, or to none where too many copies have been made in this round. Where
    /// there is no buffer for one more copy, the other remotes have theirs. Not inlined: few packets come here.
    #[inline(never)]
    pub(super) fn replicate(&mut self, packet: Packet, id: TunnelId, tables: &Tables, now: Nanos) {
        let remotes = tables.tunnel(id).and_then(|tunnel| tunnel.remotes());
        let count = remotes.map_or(0, |remotes| remotes.all().len());
        let Some(last) = u16::try_from(count).ok().and_then(|count| count.checked_sub(1)) else {
            return self.lose(packet, Loss::of(Counter::L2NotForUs), tables);
        };
        let Some(copies_left) = self.copies_left.checked_sub(last.into()) else {
            let interface = Interface::tunnel(id);
            let loss = Loss { counter: Counter::VxlanFloodLimit, interface };
            return self.lose(packet, loss, tables);
        };
        self.copies_left = copies_left;
        let mut is_mirrored = false;
        for number in 0..last {
            if let Some(copy) = self.copy(&packet) {
                self.send_to(copy, (id, number), &mut is_mirrored, tables, now);
            }
        }
        self.send_to(packet, (id, last), &mut is_mirrored, tables, now);
    }

    /// Sends a frame to the remote of a number, and mirrors it if it is the first that goes to one.
    fn send_to(
        &mut self,
        mut packet: Packet,
        (id, number): (TunnelId, u16),
        is_mirrored: &mut bool,
        tables: &Tables,
        now: Nanos,
    ) {
        self.witness.turn_to(&packet);
        let before = packet.meta;
        let next = encap_frame(&mut packet, id, Some(number), &mut self.round(tables, now));
        let has_entered = has_entered(&packet, before);
        if has_entered && !*is_mirrored && tables.mirrors.has_tunnels() {
            self.mirror_entered(&packet, (id, before), None, tables, now);
        }
        *is_mirrored |= has_entered;
        self.settle_slowly(packet, next, tables, now, 0);
    }

    /// Another packet like this one; `None`: there was no buffer, which is counted.
    fn copy(&mut self, original: &Packet) -> Option<Packet> {
        self.witness.turn_to(original);
        let mut made = self.create(|room| copy(original.data(), room))?;
        (made.path, made.meta) = (original.path, original.meta);
        self.witness.begin(&made, || Event::Copy { length: made.len() });
        Some(made)
    }
}
