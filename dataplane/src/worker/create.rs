//! Packets that this node makes: answers, copies, and what the control thread sends.

use super::State;
use crate::counters::Counter;
use crate::device::Device;
use crate::packet::{HEADROOM, Packet};
use crate::stage::Loss;
use crate::witness::Witness;

impl<D: Device, W: Witness> State<D, W> {
    /// A new packet, of as many bytes as `write` says that it has written to the room it is given. `None`: there was no
    /// buffer, which is counted. Not inlined: it would spread over what other packets pass.
    #[inline(never)]
    pub(super) fn create(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> Option<Packet> {
        let Some(mut packet) = self.device.allocate() else {
            self.count_unmade();
            return None;
        };
        self.shared.counters.balance.created.add(1);
        packet.rebuild(HEADROOM, write);
        Some(packet)
    }

    /// Counts a packet that this node would have made, had there been a buffer.
    fn count_unmade(&mut self) {
        self.shared.counters.balance.created.add(1);
        self.count_drop(Loss::of(Counter::PortNoMbuf), None);
    }
}
