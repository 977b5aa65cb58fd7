//! A burst from its arrival to the transmit bursts: the fast path, and the stages for what that leaves over.

use super::{State, Worker, send_burst};
use crate::clock::{Nanos, cycles};
use crate::counters::Counter;
use crate::device::Device;
use crate::fast_path::{Parts, Whole};
use crate::interface::PortId;
use crate::packet::{BURST_MAX, Burst, Drain, Path};
use crate::stage::classify::classify_burst;
use crate::stage::decap::decap_burst;
use crate::stage::encap::encap_burst;
use crate::stage::route::route_burst;
use crate::witness::Witness;

impl<D: Device, W: Witness> Worker<D, W> {
    /// Sees the burst at hand through, which came in by `port` and has been there since `start`, in
    /// cycles. Says when that was done.
    #[inline]
    pub(super) fn process(&mut self, port: PortId, start: u64, now: Nanos) -> u64 {
        let Self { tables, state, fast_path, burst, .. } = self;
        let Some(port_table) = tables.port(port) else {
            // A port that the tables don't know yet: nothing can be said about its frames.
            state.discard(burst);
            return cycles();
        };
        state.reassembler.begin_burst();
        let whole = if state.settings.fast_path && !W::WATCHES {
            let mut round = state.round(tables, now).unwatched();
            match tables.attached(port) {
                None => fast_path.take(burst, port, port_table, &mut round),
                Some(tunnel) => fast_path.take_frames(burst, tunnel, &mut round),
            }
        } else {
            fast_path.decline()
        };
        match whole {
            Some(whole) => state.send_whole(burst, whole),
            None => self.process_parts(port, now),
        }
        self.state.finish(start)
    }

    /// Takes what the fast path left over through the stages, and sends it in its turn.
    #[inline(never)]
    fn process_parts(&mut self, port: PortId, now: Nanos) {
        let Self { tables, state, verdicts, fast_path, burst, parts, .. } = self;
        if let Some(whole) = fast_path.sort_out(burst, &mut state.spent) {
            return state.send_whole(burst, whole);
        }
        let Some(port_table) = tables.port(port) else { return };
        let count = burst.len();
        let whole = fast_path.divide(burst, parts, &mut state.spent, verdicts);
        let Parts { taken, others, ahead } = &mut **parts;
        if others.is_empty()
            && let Some(whole) = whole
        {
            return state.send_whole(taken, whole);
        }
        let mut round = state.round(tables, now);
        classify_burst(others, verdicts, port, port_table, &round);
        // Where tunnels are mirrored packets go on one by one, as each may be copied on its way.
        if !tables.mirrors.has_tunnels() {
            decap_burst(others, verdicts, &mut round);
            route_burst(others, verdicts, &round);
            encap_burst(others, verdicts, &mut round);
        }
        let mut ways = fast_path.ways(count);
        let (mut taken, mut gone) = (taken.drain(), 0);
        for (number, (packet, verdict)) in others.drain().zip(verdicts.iter()).enumerate() {
            let run = ahead.of(number) - gone;
            gone += run;
            state.enqueue_run(&mut taken, run, whole, &mut ways);
            state.settle(packet, *verdict, tables, now);
        }
        state.enqueue_run(&mut taken, count - gone, whole, &mut ways);
        if let Some(whole) = whole {
            state.count_paths(whole);
        }
    }
}

impl<D: Device, W: Witness> State<D, W> {
    /// Puts the next `count` packets that the fast path took into transmit bursts; by `whole` if they all
    /// leave so, else by the next `ways`.
    #[inline]
    fn enqueue_run(
        &mut self,
        taken: &mut Drain<'_>,
        count: usize,
        whole: Option<Whole>,
        ways: &mut impl Iterator<Item = (Path, PortId)>,
    ) {
        let taken = taken.take(count);
        let ports = self.outgoing.len();
        let Some(Whole { port, .. }) = whole.filter(|whole| whole.port.index() < ports) else {
            for (mut packet, (path, port)) in taken.zip(ways) {
                packet.path = path;
                self.enqueue(packet, port);
            }
            return;
        };
        if self.outgoing.get(port.index()).is_some_and(|o| o.burst.len() + count > BURST_MAX) {
            self.send(port);
        }
        if let Some(outgoing) = self.outgoing.get_mut(port.index()) {
            outgoing.burst.extend(taken);
        }
    }

    /// Sends a whole burst whose packets are all ready to leave by one port, behind those that wait
    /// there already.
    #[inline]
    fn send_whole(&mut self, burst: &mut Burst, whole: Whole) {
        self.send(whole.port);
        self.count_paths(whole);
        if self.mirror.has_ports() {
            self.mirror_sent(whole.port, burst);
        }
        let Self { device, shared, .. } = self;
        send_burst(device, shared, whole.port, burst);
    }

    #[inline]
    fn count_paths(&mut self, whole: Whole) {
        for (total, count) in self.sent_paths.iter_mut().zip(whole.paths) {
            *total += u64::from(count);
        }
    }

    /// Drops a whole burst that nothing can be done with.
    fn discard(&mut self, burst: &mut Burst) {
        let count = burst.len() as u64;
        self.shared.counters.global(Counter::L2NotForUs).add(count);
        self.shared.counters.balance.dropped.add(count);
        self.device.release(burst);
    }
}
