//! The fast path: the short way for plain packets, which are nearly all.
//!
//! A packet is plain when its headers have no options, it is whole, its addresses are those of
//! hosts, it fits where it goes, and what it meets (route, neighbor, tunnel) is settled. Plain packets
//! of a burst are taken together through a few loops, each short enough for the processor to have
//! many packets in flight, so that loads that miss a cache overlap:
//!
//! 1. check the headers, look up the destinations, ask for the places of tunnels, and sort by what is to
//!    be done (`sort`);
//! 2. find the tunnels of what one may have brought, and look up what is inside (`arrive`);
//! 3. forward what came through a tunnel (`leave`), or comes from a host (`forward`), and put into
//!    a tunnel what goes through one (`enter`).
//!
//! The fast path decides before it writes: a packet that turns out not to be plain is left as it
//! came, with nothing counted, for the [stages](crate::stage), which know every rule. It has no
//! rules of its own, and a test holds it against the stages: the same frames, the same counters.

mod arrive;
mod counting;
mod cover;
mod ends;
mod enter;
mod enter_frames;
mod errors;
mod expire;
mod forward;
mod frame;
mod header;
mod leave;
mod leave_frames;
mod link;
mod list;
mod lookups;
mod outside;
mod pieces;
mod shim;
mod sort;
mod strangers;

use crate::interface::{PORTS_MAX, PortId, TunnelId};
use crate::packet::{BURST_MAX, Burst, Flags, Packet, Path};
use crate::reassembly::Terms;
use crate::stage::{Round, Verdict, Verdicts};
use crate::tables::Port;
use crate::tunnel::lookup::{Found, Home};
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use arrive::Insides;
use ends::{end_ipv4, end_ipv6};
use enter::{enter_ipv4, enter_ipv6};
use enter_frames::enter_frames;
use errors::LastTold;
use forward::{forward_ipv4, forward_ipv6};
use link::LastLink;
use list::List;
use lookups::Lookups;
use pieces::{end_pieces_ipv4, end_pieces_ipv6};
use shim::ShimArrivals;
use sort::Sorted;

/// What became of a packet, in the two upper bits. It was taken: its path and the port that it leaves by,
/// a byte each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Outcome(u16);

const _: () = assert!(PORTS_MAX <= PORT_BITS as usize);
const PORT_BITS: u16 = 0xff;
const PIECE: u16 = Outcome::NOT_TAKEN.0 | 2 << 8;
const PART_SHIFT: u32 = 14;
/// The parts of a burst: packets that were taken, others, and ended ones.
const TAKEN: u16 = 0;
const OTHERS: u16 = 1;
const ENDED: u16 = 2;
const _: () = assert!(OTHERS & (TAKEN | ENDED) == 0);

impl Outcome {
    /// The stages see to it.
    const NOT_TAKEN: Self = Self(OTHERS << PART_SHIFT);
    /// It is sound, and to this node.
    const TO_US: Self = Self(Self::NOT_TAKEN.0 | 1 << 8);
    /// It is counted, and only its buffer is left.
    const ENDED: Self = Self(ENDED << PART_SHIFT);

    /// It is sound, and a piece of a packet of a tunnel, which waits so long for the others.
    #[inline]
    const fn piece(seconds: u8) -> Self {
        Self(PIECE | seconds as u16)
    }

    #[inline]
    const fn taken(path: Path, port: PortId) -> Self {
        Self((path as u16) << 8 | port.0 as u16)
    }

    #[inline]
    const fn part(self) -> u16 {
        self.0 >> PART_SHIFT
    }

    #[inline]
    fn get(self) -> Option<(Path, PortId)> {
        let [path, port] = self.0.to_be_bytes();
        let path = Path::ALL.get(usize::from(path)).copied()?;
        Some((path, PortId(port)))
    }
}

/// Packets that were taken, and all leave by one port.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// The port.
    pub port: PortId,
    /// How many packets, by [`Path`].
    pub paths: [u16; Path::ALL.len()],
}

impl Whole {
    #[inline]
    fn of(outcomes: &[Outcome]) -> Option<Self> {
        let any = outcomes.iter().fold(0, |any, outcome| any | outcome.0);
        let all = outcomes.iter().fold(u16::MAX, |all, outcome| all & outcome.0);
        if any >> PART_SHIFT != TAKEN {
            return None;
        }
        Self::new((any, all), outcomes, outcomes.len())
    }

    /// What is in any outcome of those that were taken, and what is in all.
    #[inline]
    fn in_taken(outcomes: &[Outcome]) -> (u16, u16) {
        // Without a branch, so that many are looked at together.
        outcomes.iter().fold((0, u16::MAX), |(any, all), outcome| {
            let skip = u16::from(outcome.part() != TAKEN).wrapping_neg();
            (any | outcome.0 & !skip, all & (outcome.0 | skip))
        })
    }

    /// Whether packets were taken, and leave by one port.
    #[inline]
    const fn is_one_port((any, all): (u16, u16)) -> bool {
        (any ^ all) & PORT_BITS == 0
    }

    /// Of `count` taken packets among others: what is in any outcome of theirs, and what is in all.
    #[inline]
    fn new((any, all): (u16, u16), outcomes: &[Outcome], count: usize) -> Option<Self> {
        if !Self::is_one_port((any, all)) {
            return None;
        }
        let mut paths = [0; Path::ALL.len()];
        match paths.get_mut(usize::from(any >> 8)) {
            // Nearly always all of a burst go one way.
            Some(path) if any == all => *path = u16::try_from(count).ok()?,
            _ => paths = Self::count(outcomes),
        }
        Some(Self { port: PortId(u8::try_from(any & PORT_BITS).ok()?), paths })
    }

    #[inline]
    fn count(outcomes: &[Outcome]) -> [u16; Path::ALL.len()] {
        let count = |path: Path| {
            outcomes.iter().fold(0, |count, o| count + u16::from(o.0 >> 8 == path as u16))
        };
        Path::ALL.map(count)
    }
}

/// A burst in parts, each in the order of arrival.
#[derive(Default)]
pub struct Parts {
    /// Packets that were taken: they stand at their Ethernet header, which is written.
    pub taken: Burst,
    /// The bytes of all others are as they were.
    pub others: Burst,
    /// How many of the former came before each of the latter.
    pub ahead: Ahead,
}

/// See [`Parts`].
pub struct Ahead([u16; BURST_MAX]);

impl Default for Ahead {
    fn default() -> Self {
        Self([0; BURST_MAX])
    }
}

impl Ahead {
    /// How many taken packets came before other packet number `other`.
    #[inline]
    pub fn of(&self, other: usize) -> usize {
        self.0.get(other).map_or(0, |&count| count.into())
    }
}

/// Room for what the loops hand each other.
pub struct FastPath {
    ipv4: Sorted,
    ipv6: Sorted,
    /// Packets of protocols that tunnels use, by their places in the burst, and where to look for
    /// their tunnels.
    arrivals4: List<(u16, Home)>,
    arrivals6: List<(u16, Home)>,
    /// Those that are of no tunnel, and what was found instead.
    strangers4: List<(u16, Found)>,
    strangers6: List<(u16, Found)>,
    shims4: ShimArrivals,
    shims6: ShimArrivals,
    insides: Insides,
    /// Sound packets that may not go on.
    odd4: List<u16>,
    odd6: List<u16>,
    /// Pieces of tunnel packets with sound headers, and whatever may be a piece in IPv6.
    pieces4: List<u16>,
    pieces6: List<u16>,
    /// Packets of IPv6 to be sorted, and where they go.
    transits6: List<u16>,
    destinations6: Lookups,
    outcomes: [Outcome; BURST_MAX],
}

impl Default for FastPath {
    fn default() -> Self {
        Self {
            ipv4: Sorted::default(),
            ipv6: Sorted::default(),
            arrivals4: List::new((0, Home::default())),
            arrivals6: List::new((0, Home::default())),
            strangers4: List::new((0, Found::Nothing)),
            strangers6: List::new((0, Found::Nothing)),
            shims4: ShimArrivals::default(),
            shims6: ShimArrivals::default(),
            insides: Insides::default(),
            odd4: List::new(0),
            odd6: List::new(0),
            pieces4: List::new(0),
            pieces6: List::new(0),
            transits6: List::new(0),
            destinations6: Lookups::default(),
            outcomes: [Outcome::NOT_TAKEN; BURST_MAX],
        }
    }
}

impl FastPath {
    /// Takes the plain packets of a burst, which arrived on `port`. When it took all and they leave by one
    /// port, the burst may be sent as it lies. Otherwise [`divide`](Self::divide) says what became of
    /// each packet.
    pub fn take(
        &mut self,
        burst: &mut Burst,
        port_id: PortId,
        port: &Port,
        round: &mut Round<'_>,
    ) -> Option<Whole> {
        let packets = burst.packets_mut();
        let count = packets.len();
        self.outcomes.get_mut(..count)?.fill(Outcome::NOT_TAKEN);
        self.clear();
        self.sort(packets, header::mac_word(port.mac), round.tables);
        let mut last = LastLink::default();
        if !self.arrivals4.is_empty() {
            self.arrive_in_ipv4(packets, port_id, &mut last, round);
        }
        if !self.arrivals6.is_empty() {
            self.arrive_in_ipv6(packets, port_id, &mut last, round);
        }
        if !(self.shims4.is_empty() && self.shims6.is_empty()) {
            self.arrive_behind_shims(packets, port_id, &mut last, round);
        }
        let Self { ipv4, ipv6, outcomes, .. } = self;
        let outcomes = outcomes.get_mut(..count)?;
        let mut told = LastTold::default();
        forward_ipv4((packets, outcomes), &ipv4.forwards, (&mut last, &mut told), round);
        forward_ipv6((packets, outcomes), &ipv6.forwards, (&mut last, &mut told), round);
        enter_ipv4((packets, outcomes), &ipv4.entries, &mut last, round);
        enter_ipv6((packets, outcomes), &ipv6.entries, &mut last, round);
        let counts = [self.pieces4.len(), self.pieces6.len(), self.odd4.len(), self.odd6.len()];
        if counts.iter().fold(0, |any, count| any | count) != 0 {
            self.end_others(packets, port_id, &mut told, round);
        }
        Whole::of(self.outcomes.get(..count)?)
    }

    /// Sees to pieces, and to what may not go on.
    #[inline(never)]
    fn end_others(
        &mut self,
        packets: &[Packet],
        port: PortId,
        told: &mut LastTold,
        round: &Round<'_>,
    ) {
        let Self { pieces4, pieces6, odd4, odd6, outcomes, destinations6, .. } = self;
        let Some(outcomes) = outcomes.get_mut(..packets.len()) else { return };
        if !pieces4.is_empty() {
            end_pieces_ipv4((packets, outcomes), (pieces4, odd4), port, round);
        }
        if !pieces6.is_empty() {
            end_pieces_ipv6((packets, outcomes), pieces6, port, round);
        }
        if !odd4.is_empty() {
            end_ipv4((packets, outcomes), odd4, told, round);
        }
        if !odd6.is_empty() {
            end_ipv6((packets, outcomes), odd6, (destinations6, told), round);
        }
    }

    /// Takes the plain frames of a burst, which arrived on a port whose frames go into this tunnel. Otherwise as
    /// [`take`](Self::take).
    #[inline(never)]
    pub fn take_frames(
        &mut self,
        burst: &mut Burst,
        tunnel: TunnelId,
        round: &mut Round<'_>,
    ) -> Option<Whole> {
        let packets = burst.packets_mut();
        let outcomes = self.outcomes.get_mut(..packets.len())?;
        outcomes.fill(Outcome::NOT_TAKEN);
        enter_frames((packets, outcomes), tunnel, round);
        Whole::of(outcomes)
    }

    /// Takes no packet of a burst.
    pub fn decline(&mut self) -> Option<Whole> {
        self.outcomes.fill(Outcome::NOT_TAKEN);
        None
    }

    /// Sorts out what has ended, into `ended`, which is empty, of the burst that [`take`](Self::take) saw last, if
    /// everything else was taken and leaves by one port. `None`: it did not, and nothing has changed.
    #[inline]
    pub fn sort_out(&self, burst: &mut Burst, ended: &mut Burst) -> Option<Whole> {
        let outcomes = self.outcomes.get(..burst.len())?;
        let parts = outcomes.iter().fold(0, |any, outcome| any | outcome.0) >> PART_SHIFT;
        if parts & OTHERS != 0 || !ended.is_empty() {
            return None;
        }
        let in_taken = Whole::in_taken(outcomes);
        if !Whole::is_one_port(in_taken) {
            return None;
        }
        burst.part(ended, outcomes, |outcome| outcome.part() != TAKEN);
        Whole::new(in_taken, outcomes, burst.len())
    }

    /// Divides the burst that [`take`](Self::take) saw last into the packets that it took, those that
    /// have ended and are counted, into `ended`, which is empty, and all others, each with a verdict.
    /// `Some`: those that were taken leave by one port.
    pub fn divide(
        &self,
        burst: &mut Burst,
        parts: &mut Parts,
        ended: &mut Burst,
        verdicts: &mut Verdicts,
    ) -> Option<Whole> {
        let Parts { taken, others, ahead } = &mut *parts;
        let outcomes = self.outcomes.get(..burst.len())?;
        let mut bursts = [taken, &mut *others, ended];
        for (packet, outcome) in burst.drain().zip(outcomes) {
            let [taken, others, _] = &bursts;
            if let Some(ahead) = ahead.0.get_mut(others.len()) {
                *ahead = u16::try_from(taken.len()).unwrap_or(u16::MAX);
            }
            if let Some(part) = bursts.get_mut(usize::from(outcome.part())) {
                // Each has room for a whole burst.
                let _ = part.push(packet);
            }
        }
        let of_others = outcomes.iter().filter(|outcome| outcome.part() == OTHERS);
        for ((packet, verdict), outcome) in
            others.packets_mut().iter_mut().zip(verdicts).zip(of_others)
        {
            *verdict = match *outcome {
                Outcome::NOT_TAKEN => Verdict::Unseen,
                Outcome::TO_US => Verdict::Deliver,
                Outcome(piece) => {
                    let [_, seconds] = piece.to_be_bytes();
                    Verdict::Reassemble(Terms { seconds, is_own: false })
                }
            };
            if *outcome != Outcome::NOT_TAKEN {
                uncover(packet);
            }
        }
        Whole::new(Whole::in_taken(outcomes), outcomes, parts.taken.len())
    }

    /// The path of each packet that was taken of `count`, and the port that it leaves by.
    pub fn ways(&self, count: usize) -> impl Iterator<Item = (Path, PortId)> {
        self.outcomes.iter().take(count).filter_map(|outcome| outcome.get())
    }
}

/// Lets a packet whose header is sound stand at it, and end where the packet does, as the stages leave it.
fn uncover(packet: &mut Packet) {
    packet.strip(ethernet::HEADER_LEN);
    packet.meta.flags.clear(Flags::GOOD_CHECKSUM);
    let bytes = packet.data();
    let total_len = if bytes.first().is_some_and(|first| first >> 4 == 4) {
        Ipv4::trusted(bytes).total_len().into()
    } else {
        Ipv6::trusted(bytes).total_len()
    };
    packet.truncate(total_len);
}
