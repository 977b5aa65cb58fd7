//! Frames that go to several remotes: a copy to each.

use super::State;
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::TunnelId;
use crate::packet::{HEADROOM, Packet};
use crate::stage::{Loss, Verdict};
use crate::tables::Tables;
use crate::witness::{Event, Witness};

impl<D: Device, W: Witness> State<D, W> {
    /// Sends a frame to each of a tunnel's remotes. Where there is no buffer for one more copy, the other remotes have
    /// theirs.
    pub(super) fn replicate(&mut self, packet: Packet, id: TunnelId, tables: &Tables, now: Nanos) {
        let remotes = tables.tunnel(id).and_then(|tunnel| tunnel.remotes());
        let count = remotes.map_or(0, |remotes| remotes.all().len());
        let Some(last) = u16::try_from(count).ok().and_then(|count| count.checked_sub(1)) else {
            return self.lose(packet, Loss::of(Counter::L2NotForUs), tables);
        };
        for number in 0..last {
            let verdict = Verdict::EncapFrameTo(id, number);
            if let Some(copy) = self.copy(&packet) {
                self.settle_slowly(copy, verdict, tables, now, 0);
            }
        }
        self.settle_slowly(packet, Verdict::EncapFrameTo(id, last), tables, now, 0);
    }

    /// Another packet like this one; `None`: there was no buffer, which is counted.
    fn copy(&mut self, original: &Packet) -> Option<Packet> {
        let Some(mut copy) = self.device.allocate() else {
            self.witness.turn_to(original);
            self.count_unmade();
            return None;
        };
        self.shared.counters.balance.created.add(1);
        copy.rebuild(HEADROOM, |room| {
            let place = room.get_mut(..original.len());
            place.map_or(0, |place| {
                place.copy_from_slice(original.data());
                original.len()
            })
        });
        (copy.path, copy.meta) = (original.path, original.meta);
        self.witness.turn_to(original);
        self.witness.begin(&copy, || Event::Copy { length: copy.len() });
        Some(copy)
    }
}
