//! Spreading by inner flow: where all packets of a tunnel arrive on one queue, the worker that
//! receives them hands bursts to others, over bounded lock-free rings.
//!
//! Off, it costs one branch a burst. Which flow goes where is in `flows.rs` and `buckets.rs`, the
//! order in which buckets move in `member.rs`, the rings in `lane.rs`. Whether a worker hands
//! packets over at all is the control thread's decision ([`Team::set_helpers`]).
//!
//! A packet is handed over before anything has been looked up for it, so that nothing that belongs
//! to one generation of the tables crosses a ring. The worker that takes it processes it as if it
//! had received it on that port; the one that received it has counted it. A packet for a full ring
//! is dropped there and counted (`ring.full`): processing it here would overtake the earlier ones.

mod buckets;
mod flows;
mod lane;
mod member;
mod team;

pub use buckets::{BUCKETS, HELPERS_MAX};
pub use lane::LANE_PARCELS;
pub use member::Member;
pub use team::{Tally, Team};

use super::{State, Worker};
use crate::clock::{Nanos, cycles};
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::PortId;
use crate::packet::{BURST_MAX, Burst, prefetch_to_write};
use crate::witness::Witness;
use lane::Lane;

/// Bytes that a processor fetches at a time. Two such lines hold the headers of any tunnel packet up to the ports inside.
const CACHE_LINE: usize = 64;

/// Parcels that a worker takes from each lane in a round, at most.
const PARCELS_PER_ROUND: usize = 4;

impl<D: Device, W: Witness> Worker<D, W> {
    /// Makes the worker part of a team, before its first round.
    pub fn join(&mut self, member: Member) {
        self.member = Some(Box::new(member));
    }

    /// Divides the burst at hand among the workers; what is left of it is this one's. `received`:
    /// how many packets it had.
    pub(super) fn divide(&mut self, port: PortId, received: usize, start: u64) {
        let Self { member, burst, tables, state, .. } = self;
        let Some(member) = member else { return };
        let is_full = received >= state.burst_limit();
        member.divide(burst, port, tables, start, is_full);
        let balance = &state.shared.counters.balance;
        balance.handed_over.add((received - burst.len()) as u64);
        state.drop_refused(member);
    }

    /// Adds to what this worker has processed of its own while others helped, in so many cycles.
    pub(super) fn count_kept(&self, packets: usize, cycles: u64) {
        if let Some(member) = &self.member {
            let tally = member.tally();
            tally.kept_packets.add(packets as u64);
            tally.kept_cycles.add(cycles);
        }
    }

    /// Once a round: moves buckets, and processes what other workers have handed over. Returns how
    /// many packets there were.
    pub(super) fn serve_team(&mut self, now: Nanos) -> usize {
        let Self { member: Some(member), state, burst, .. } = self else { return 0 };
        if !member.is_used() {
            return 0;
        }
        let begin = cycles();
        let released = member.look(state.burst_limit());
        state.drop_refused(member);
        let mut count = 0;
        if let Some(released) = released {
            member.swap_held(burst);
            count += self.burst.len();
            self.state.shared.counters.balance.handed_back.add(self.burst.len() as u64);
            self.process(released.port, released.start, now);
            let Self { member: Some(member), burst, .. } = self else { return count };
            member.swap_held(burst);
        }
        count += self.take_parcels(now, PARCELS_PER_ROUND);
        if count > 0 {
            self.state.shared.counters.work.busy_cycles.add(cycles().saturating_sub(begin));
        }
        count
    }

    /// Processes what other workers have handed over, at most `limit` parcels of each. Returns how
    /// many packets there were.
    fn take_parcels(&mut self, now: Nanos, limit: usize) -> usize {
        let lanes = self.member.as_ref().map_or(0, |member| member.inbound_count());
        let mut count = 0;
        for lane in 0..lanes {
            for _ in 0..limit {
                match self.take_parcel(lane, now) {
                    0 => break,
                    taken => count += taken,
                }
            }
        }
        count
    }

    /// Processes the next parcel of a lane. Returns how many packets it had.
    fn take_parcel(&mut self, lane: usize, now: Nanos) -> usize {
        let Some(member) = &self.member else { return 0 };
        let Some(mut parcel) = member.inbound(lane).and_then(Lane::take) else { return 0 };
        let count = parcel.burst.len();
        member.tally().taken_in.add(count as u64);
        self.state.shared.counters.balance.handed_back.add(count as u64);
        if self.take_new_tables() {
            self.take_handbacks(now);
        }
        core::mem::swap(&mut self.burst, &mut parcel.burst);
        prefetch_headers(&self.burst);
        self.process(parcel.port, parcel.start, now);
        core::mem::swap(&mut self.burst, &mut parcel.burst);
        if let Some(lane) = self.member.as_ref().and_then(|member| member.inbound(lane)) {
            lane.complete(parcel.burst);
        }
        count
    }

    /// At the end: hands over what is held or collected, and processes what others have handed
    /// over. Whoever leaves last sees to what is left in any ring.
    pub(super) fn leave_team(&mut self, now: Nanos) {
        let Self { member: Some(member), state, .. } = self else { return };
        member.close();
        state.drop_refused(member);
        while member.refuse_next() {
            state.drop_refused(member);
        }
        self.take_parcels(now, LANE_PARCELS + 1);
        if let Some(member) = &mut self.member {
            member.leave();
        }
        self.take_parcels(now, LANE_PARCELS + 1);
    }
}

/// Asks for the headers of all packets of a burst, which another core or a device has written: the
/// answers come together instead of one after the other. They are going to be written, here or by
/// the worker they are handed to.
#[inline]
fn prefetch_headers(burst: &Burst) {
    for packet in burst.packets() {
        let data = packet.data();
        for at in [0, CACHE_LINE] {
            if let Some(byte) = data.get(at) {
                prefetch_to_write(byte);
            }
        }
    }
}

impl<D: Device, W: Witness> State<D, W> {
    /// Packets that a burst can have.
    pub(super) fn burst_limit(&self) -> usize {
        usize::from(self.settings.burst).clamp(1, BURST_MAX)
    }

    /// Drops what found a full lane.
    fn drop_refused(&mut self, member: &mut Member) {
        if member.refused.is_empty() {
            return;
        }
        let count = member.refused.len() as u64;
        member.tally().refused.add(count);
        let counters = &self.shared.counters;
        counters.balance.handed_back.add(count);
        counters.balance.dropped.add(count);
        counters.global(Counter::RingFull).add(count);
        self.device.release(&mut member.refused);
    }
}
