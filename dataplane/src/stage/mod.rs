//! The stages of the packet path: classify, decap, route, encap. Each is a loop over a burst that
//! turns one verdict per packet into the next; the arithmetic is in functions of one packet.
//!
//! A stage looks things up and changes headers. It sends, releases and allocates nothing: that is
//! the worker's, which acts on the last verdict.

mod aim;
mod clamp;
pub mod classify;
pub mod decap;
mod embedded;
pub mod encap;
mod entry;
mod fit;
mod frame;
pub mod identification;
mod inner;
pub mod label;
mod minimal;
pub mod policy;
pub(crate) mod quoted;
mod remotes;
pub mod route;

use core::net::IpAddr;

use crate::clock::Nanos;
use crate::counters::{Counter, CounterSlot, WorkerCounters};
use crate::interface::{Interface, PortId, TunnelId};
use crate::node::icmp_error::IcmpError;
use crate::node::options::{RefusedOption, refused_option};
use crate::node::rate_limit::ErrorLimiter;
use crate::packet::BURST_MAX;
use crate::reassembly::{Reassembler, Terms};
use crate::tables::neighbor::AdjacencyId;
use crate::tables::soft_state::{PathMtu, TunnelPath};
use crate::tables::{NextHop, Tables};
use crate::tunnel::Tunnel;
use crate::tunnel::size::Way;
use crate::witness::{Event, Hop, Unwatched, Witness};
use identification::Identifications;

/// What is to happen with a packet next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody has looked at the frame yet.
    Unseen,
    /// Look up where it goes. It stands at its IP header, which is checked.
    Route,
    /// The same, and it has been looked up: there.
    RouteTo(NextHop),
    /// It came through this tunnel; it stands at the outer IP header, which is checked.
    Decap(TunnelId),
    /// It goes into this tunnel.
    Encap(TunnelId),
    /// A frame, from its Ethernet header on, that goes into this tunnel.
    EncapFrame(TunnelId),
    /// The same, to each of the tunnel's several remotes.
    Replicate(TunnelId),
    /// A packet that goes into this tunnel, and its sender is told that an earlier one did not reach the far end.
    TellUnreachable(TunnelId),
    /// It leaves towards this host.
    Transmit(AdjacencyId),
    /// It leaves by this port, towards the host that it is addressed to.
    TransmitOnLink(PortId),
    /// A frame, from its Ethernet header on, that leaves by this port as it is.
    TransmitFrame(PortId),
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
    /// A frame with a packet, which ends here because packets may have this many bytes; the packet's sender is told, in
    /// a frame that leaves by this port.
    RejectFrame {
        /// The largest packet, from its IP header on.
        mtu: u16,
        /// Where the frame came from.
        port: PortId,
        /// Why it ends.
        loss: Loss,
    },
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

impl Loss {
    /// For a reason that belongs to no tunnel.
    #[inline]
    pub const fn of(counter: Counter) -> Self {
        Self { counter, interface: Interface::NONE }
    }
}

impl Verdict {
    /// Dropped for a reason that belongs to no tunnel.
    #[inline]
    pub const fn drop(counter: Counter) -> Self {
        Self::Drop(Loss::of(counter))
    }

    /// Dropped for a reason of a tunnel.
    #[inline]
    pub const fn drop_in(counter: Counter, tunnel: TunnelId) -> Self {
        Self::Drop(Loss { counter, interface: Interface::tunnel(tunnel) })
    }

    /// What it loses a packet for, if it does.
    pub const fn loss(&self) -> Option<Loss> {
        match self {
            Self::Drop(loss) | Self::Reject(_, loss) => Some(*loss),
            _ => None,
        }
    }

    /// Refused for a reason that belongs to no tunnel.
    #[inline]
    pub const fn reject(error: IcmpError, counter: Counter) -> Self {
        Self::Reject(error, Loss::of(counter))
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
pub struct Round<'a, W: Witness = Unwatched> {
    /// The tables in force.
    pub tables: &'a Tables,
    /// The worker's counters.
    pub counters: &'a WorkerCounters,
    /// The time.
    pub now: Nanos,
    /// What errors may still be sent.
    pub limiter: &'a ErrorLimiter,
    /// Which pieces of packets it would refuse.
    pub reassembler: &'a Reassembler,
    /// Identifications of packets that may be fragmented.
    pub identifications: &'a mut Identifications,
    /// Packets of tunnels whose latency is measured.
    pub measured: &'a mut MeasuredTunnels,
    /// Who watches.
    pub witness: W,
}

impl<'a, W: Witness> Round<'a, W> {
    /// The same, with nobody who watches.
    #[inline]
    pub fn unwatched(self) -> Round<'a> {
        let Self { tables, counters, now, limiter, reassembler, identifications, measured, .. } =
            self;
        Round {
            tables,
            counters,
            now,
            limiter,
            reassembler,
            identifications,
            measured,
            witness: Unwatched,
        }
    }

    /// Notes what was decided about the packet at hand.
    #[inline]
    pub fn note(&self, event: impl FnOnce() -> Event) {
        self.witness.note(event);
    }

    /// Counts a packet that came out of a tunnel.
    #[inline]
    pub fn count_rx(&mut self, slot: CounterSlot, latency: Option<u16>, bytes: usize) {
        if let Some(number) = latency {
            self.measured.note(number);
        }
        if let Some(traffic) = self.counters.tunnels.traffic(slot) {
            traffic.rx_packets.add(1);
            traffic.rx_bytes.add(bytes as u64);
        }
    }

    /// Counts a packet that went into a tunnel.
    #[inline]
    pub fn count_tx(&mut self, slot: CounterSlot, latency: Option<u16>, bytes: usize) {
        if let Some(number) = latency {
            self.measured.note(number);
        }
        if let Some(traffic) = self.counters.tunnels.traffic(slot) {
            traffic.tx_packets.add(1);
            traffic.tx_bytes.add(bytes as u64);
        }
    }

    /// Counts an event of a tunnel.
    #[inline]
    pub fn count_event(&self, counter: Counter, slot: CounterSlot) {
        self.note(|| Event::Counted { counter });
        self.counters.count(counter, Some(slot));
    }

    /// The path MTU that was learnt, where it is less than the port's.
    #[inline]
    pub fn learnt(&self, path: TunnelPath) -> Option<PathMtu> {
        let state = &self.tables.soft_state;
        if state.limit(path) == u16::MAX { None } else { state.mtu(path, self.now) }
    }

    /// How large outer packets of a tunnel may be on the way to its one remote, from the first of its sources.
    #[inline]
    pub fn way(&self, tunnel: &Tunnel) -> Way {
        let underlay_mtu = self.tables.underlay_mtu_now(&tunnel.setup, self.now);
        Way { underlay_mtu, learnt: self.learnt(tunnel.plain.path) }
    }

    /// The identification of an outer IPv4 packet that may be fragmented.
    #[inline(never)]
    pub fn identification(&mut self, path: TunnelPath) -> u16 {
        let taken = self.identifications.take(path, self.now);
        if taken.is_early {
            self.note(|| Event::Counted { counter: Counter::TunIdReuse });
            self.counters.global(Counter::TunIdReuse).add(1);
        }
        taken.value
    }

    /// Follows a group to one of its next hops, by the flow of `packet` (from its IP header on).
    #[inline]
    pub fn choose(&self, next_hop: NextHop, packet: &[u8]) -> NextHop {
        self.choose_by(next_hop, || self.tables.flow.hash(packet))
    }

    /// The same, by the hash of a flow.
    #[inline]
    pub fn choose_by(&self, next_hop: NextHop, hash: impl FnOnce() -> u64) -> NextHop {
        let chosen = self.tables.next_hops.choose(next_hop, hash);
        if let NextHop::Group(group) = next_hop {
            self.note(|| Event::Member { group, hop: Hop::of(chosen, self.tables) });
        }
        chosen
    }

    /// Where the route to an address leads, for who watches.
    pub fn hop_to(&self, address: IpAddr) -> Hop {
        let next_hop = match address {
            IpAddr::V4(address) => self.tables.route_ipv4(address.into()),
            IpAddr::V6(address) => self.tables.route_ipv6(address.into()),
        };
        Hop::of(next_hop, self.tables)
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
    #[inline(never)]
    pub fn note(&mut self, number: u16) {
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
