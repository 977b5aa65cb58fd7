//! The stages of the packet path: classify, decap, route, encap. Each is a loop over a burst that
//! turns one verdict per packet into the next; the arithmetic is in functions of one packet.
//!
//! A stage looks things up and changes headers. It sends, releases and allocates nothing: that is
//! the worker's, which acts on the last verdict.

mod clamp;
pub mod classify;
pub mod decap;
pub mod encap;
pub mod route;

use crate::clock::Nanos;
use crate::counters::{Counter, CounterSlot, WorkerCounters};
use crate::interface::{Interface, PortId, TunnelId};
use crate::node::icmp_error::IcmpError;
use crate::node::options::{RefusedOption, refused_option};
use crate::packet::BURST_MAX;
use crate::reassembly::Terms;
use crate::tables::neighbor::AdjacencyId;
use crate::tables::soft_state::{PathMtu, TunnelPath};
use crate::tables::{NextHop, Tables};

/// What is to happen with a packet next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has looked at the frame yet.
    Unseen,
    /// It stands at its Ethernet header, which is written, and leaves by this port.
    Ready(PortId),
    /// Look up where it goes. It stands at its IP header, which is checked.
    Route,
    /// The same, and it has been looked up: there.
    RouteTo(NextHop),
    /// It came through this tunnel; it stands at the outer IP header, which is checked.
    Decap(TunnelId),
    /// It goes into this tunnel.
    Encap(TunnelId),
    /// The same, and its sender is told that an earlier packet did not reach the far end.
    TellUnreachable(TunnelId),
    /// It leaves towards this host.
    Transmit(AdjacencyId),
    /// It leaves by this port, towards the host that it is addressed to.
    TransmitOnLink(PortId),
    /// Cut it into pieces of at most this many bytes first, then go on with `then`.
    Fragment {
        /// The largest piece, from its IP header on.
        mtu: u16,
        /// Where the pieces go.
        then: After,
    },
    /// It is addressed to this node.
    Deliver,
    /// It is a piece of a packet to this node, and waits for the others.
    Reassemble(Terms),
    /// A frame, from its Ethernet header on, for the control thread.
    Punt(PortId),
    /// It ends here.
    Drop(Loss),
    /// It ends here, and its sender is told.
    Reject(IcmpError, Loss),
}

/// Where the pieces of a packet go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Into a tunnel.
    Encap(TunnelId),
    /// Towards a host.
    Transmit(AdjacencyId),
    /// By this port, towards the host that they are addressed to.
    TransmitOnLink(PortId),
}

impl From<After> for Verdict {
    fn from(after: After) -> Self {
        match after {
            After::Encap(tunnel) => Self::Encap(tunnel),
            After::Transmit(adjacency) => Self::Transmit(adjacency),
            After::TransmitOnLink(port) => Self::TransmitOnLink(port),
        }
    }
}

/// The counter that a lost packet moves, and the tunnel it stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The reason.
    pub counter: Counter,
    /// The tunnel, or none.
    pub interface: Interface,
}

impl Verdict {
    /// Dropped for a reason that belongs to no tunnel.
    #[inline]
    pub const fn drop(counter: Counter) -> Self {
        Self::Drop(Loss { counter, interface: Interface::NONE })
    }

    /// Dropped for a reason of a tunnel.
    #[inline]
    pub const fn drop_in(counter: Counter, tunnel: TunnelId) -> Self {
        Self::Drop(Loss { counter, interface: Interface::tunnel(tunnel) })
    }

    /// Refused for a reason that belongs to no tunnel.
    #[inline]
    pub const fn reject(error: IcmpError, counter: Counter) -> Self {
        Self::Reject(error, Loss { counter, interface: Interface::NONE })
    }

    /// Refused for a reason of a tunnel.
    #[inline]
    pub const fn reject_in(error: IcmpError, counter: Counter, tunnel: TunnelId) -> Self {
        Self::Reject(error, Loss { counter, interface: Interface::tunnel(tunnel) })
    }
}

/// What becomes of an IPv6 packet with an option that forbids to go on (RFC 8200 §4.2); `None`: it
/// has none. See [`refused_option`] for `is_ours`.
pub fn judge_options(packet: &[u8], is_ours: bool) -> Option<Verdict> {
    const UNKNOWN_OPTION: u8 = 2;
    Some(match refused_option(packet, is_ours)? {
        RefusedOption::Silent => Verdict::drop(Counter::Ip6BadExthdr),
        RefusedOption::Reported(pointer) => {
            let error = IcmpError::ParameterProblem { code: UNKNOWN_OPTION, pointer };
            Verdict::reject(error, Counter::Ip6BadExthdr)
        }
    })
}

/// One verdict per packet of a burst.
pub type Verdicts = [Verdict; BURST_MAX];

/// What the stages have at hand while a burst is looked at.
pub struct Round<'a> {
    /// The tables in force.
    pub tables: &'a Tables,
    /// The worker's counters.
    pub counters: &'a WorkerCounters,
    /// The time.
    pub now: Nanos,
    /// Identifications of packets that may be fragmented.
    pub identifications: &'a mut Identifications,
    /// Packets of tunnels whose latency is measured.
    pub measured: &'a mut MeasuredTunnels,
}

impl Round<'_> {
    /// Counts a packet that came out of a tunnel.
    #[inline]
    pub fn count_rx(&mut self, slot: CounterSlot, latency: Option<u16>, bytes: usize) {
        if let Some(traffic) = self.counters.tunnels.traffic(slot) {
            traffic.rx_packets.add(1);
            traffic.rx_bytes.add(bytes as u64);
        }
        self.measured.note(latency);
    }

    /// Counts a packet that went into a tunnel.
    #[inline]
    pub fn count_tx(&mut self, slot: CounterSlot, latency: Option<u16>, bytes: usize) {
        if let Some(traffic) = self.counters.tunnels.traffic(slot) {
            traffic.tx_packets.add(1);
            traffic.tx_bytes.add(bytes as u64);
        }
        self.measured.note(latency);
    }

    /// Counts an event of a tunnel.
    #[inline]
    pub fn count_event(&self, counter: Counter, slot: CounterSlot) {
        self.counters.count(counter, Some(slot));
    }

    /// The path MTU that was learnt, where it is less than the port's.
    #[inline]
    pub fn learnt(&self, path: TunnelPath) -> Option<PathMtu> {
        let state = &self.tables.soft_state;
        if state.limit(path) == u16::MAX { None } else { state.mtu(path, self.now) }
    }

    /// Follows a group to one of its next hops, by the flow of `packet` (from its IP header on).
    #[inline]
    pub fn choose(&self, next_hop: NextHop, packet: &[u8]) -> NextHop {
        self.tables.next_hops.choose(next_hop, || self.tables.flow.hash(packet))
    }
}

/// Identifications for outer IPv4 headers without DF (RFC 6864): counters by hash of the path, each
/// starting somewhere else.
pub struct Identifications {
    next: Box<[u16; IDENTIFICATION_COUNTERS]>,
    /// Workers take turns in the number space, so that two never use the same value at a time.
    stride: u16,
}

/// Paths share counters beyond this many.
const IDENTIFICATION_COUNTERS: usize = 2048;

impl Identifications {
    /// For worker `number` of `workers`; `seed` decides where the counters start.
    pub fn new(seed: u64, number: u16, workers: u16) -> Self {
        let mut next = Box::new([0; IDENTIFICATION_COUNTERS]);
        let stride = workers.max(1);
        let mut state = seed | 1;
        for counter in next.iter_mut() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let start = u16::try_from(state >> 48).unwrap_or(0);
            // A start so late that this worker has no number behind it is its first one.
            *counter = (start / stride * stride).checked_add(number).unwrap_or(number);
        }
        Self { next, stride }
    }

    /// The next identification for a path, which the tunnel's counter slot stands for.
    #[inline]
    pub fn next(&mut self, slot: CounterSlot) -> u16 {
        let hash = slot.0.wrapping_mul(0x9e37_79b1) as usize >> 8;
        let counter = &mut self.next[hash % IDENTIFICATION_COUNTERS];
        let value = *counter;
        // Back to the start of this worker's own numbers, not into those of another.
        *counter = value.checked_add(self.stride).unwrap_or(value % self.stride);
        value
    }
}

/// Runs of packets in a burst that belong to tunnels whose latency is measured.
pub struct MeasuredTunnels {
    runs: [(u16, u16); MEASURED_RUNS_MAX],
    len: usize,
}

/// Runs of one burst beyond this many are not measured.
const MEASURED_RUNS_MAX: usize = 32;

impl Default for MeasuredTunnels {
    fn default() -> Self {
        Self { runs: [(0, 0); MEASURED_RUNS_MAX], len: 0 }
    }
}

impl MeasuredTunnels {
    /// Notes one packet of the tunnel whose histogram has this number.
    #[inline]
    pub fn note(&mut self, latency: Option<u16>) {
        let Some(number) = latency else { return };
        let last = self.len.checked_sub(1).and_then(|at| self.runs.get_mut(at));
        if let Some(last) = last.filter(|last| last.0 == number) {
            last.1 = last.1.saturating_add(1);
            return;
        }
        if let Some(run) = self.runs.get_mut(self.len) {
            *run = (number, 1);
            self.len += 1;
        }
    }

    /// The runs since the last call: number of the histogram and packets.
    pub fn take(&mut self) -> &[(u16, u16)] {
        let len = core::mem::take(&mut self.len);
        self.runs.get(..len).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn wherever_they_start_workers_take_numbers_of_their_own() {
        for (seed, number) in (0..40).flat_map(|seed| (0..3).map(move |number| (seed, number))) {
            let mut identifications = Identifications::new(seed, number, 3);
            let counters: Vec<u16> = identifications.next.to_vec();
            assert!(counters.iter().all(|value| value % 3 == number), "{seed} {number}");
            let last = (0..30_000).map(|_| identifications.next(CounterSlot(1))).last();
            assert_eq!(last.map(|value| value % 3), Some(number));
        }
    }

    #[test]
    fn workers_never_take_identifications_of_each_other() {
        let slot = CounterSlot(7);
        let taken = |number| {
            let mut identifications = Identifications::new(9, number, 3);
            (0..70_000).map(|_| identifications.next(slot)).collect::<HashSet<u16>>()
        };
        let (first, second, third) = (taken(0), taken(1), taken(2));
        assert!(first.is_disjoint(&second) && second.is_disjoint(&third));
        assert!(third.is_disjoint(&first));
        assert_eq!(first.len() + second.len() + third.len(), 1 << 16, "none is left unused");
    }
}
