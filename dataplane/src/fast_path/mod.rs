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
mod enter;
mod forward;
mod header;
mod leave;
mod link;
mod list;
mod lookups;
mod sort;

use crate::interface::{PORTS_MAX, PortId};
use crate::packet::{BURST_MAX, Burst, Path};
use crate::stage::{Round, Verdict, Verdicts};
use crate::tables::Port;
use crate::tunnel::lookup::Home;
use arrive::Insides;
use enter::{enter_ipv4, enter_ipv6};
use forward::{forward_ipv4, forward_ipv6};
use link::LastLink;
use list::List;
use lookups::Lookups;
use sort::Sorted;

/// What became of a packet: the port that it leaves by, and its path; or it was not taken.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Outcome(u16);

const _: () = assert!(PORTS_MAX < PORT_BITS as usize);
const PORT_BITS: u16 = 0xff;

impl Outcome {
    const NOT_TAKEN: Self = Self(u16::MAX);

    #[inline]
    const fn taken(path: Path, port: PortId) -> Self {
        Self((path as u16) << 8 | port.0 as u16)
    }

    fn get(self) -> Option<(Path, PortId)> {
        let [path, port] = self.0.to_be_bytes();
        let path = Path::ALL.get(usize::from(path)).copied()?;
        Some((path, PortId(port)))
    }
}

/// A burst whose packets were all taken, and leave by one port.
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
        let any = outcomes.iter().fold(0, |any, outcome| any | outcome.0) & PORT_BITS;
        let all = outcomes.iter().fold(u16::MAX, |all, outcome| all & outcome.0) & PORT_BITS;
        if any != all || any == PORT_BITS {
            return None;
        }
        let count = |path: Path| {
            outcomes.iter().fold(0, |count, o| count + u16::from(o.0 >> 8 == path as u16))
        };
        let port = PortId(u8::try_from(any).ok()?);
        Some(Self { port, paths: Path::ALL.map(count) })
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
    insides: Insides,
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
            insides: Insides::default(),
            transits6: List::new(0),
            destinations6: Lookups::default(),
            outcomes: [Outcome::NOT_TAKEN; BURST_MAX],
        }
    }
}

impl FastPath {
    /// Takes the plain packets of a burst, which arrived on `port`. Those it took stand at their
    /// Ethernet header, which is written; the bytes of all others are as they were. `None`: they
    /// don't all leave together, and [`tell`](Self::tell) says what became of each.
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
        self.sort(packets, header::mac_word(port.mac), round.tables);
        let mut last = LastLink::default();
        if !self.arrivals4.is_empty() {
            self.arrive_in_ipv4(packets, port_id, &mut last, round);
        }
        if !self.arrivals6.is_empty() {
            self.arrive_in_ipv6(packets, port_id, &mut last, round);
        }
        let Self { ipv4, ipv6, outcomes, .. } = self;
        let outcomes = outcomes.get_mut(..count)?;
        forward_ipv4((packets, outcomes), &ipv4.forwards, &mut last, round);
        forward_ipv6((packets, outcomes), &ipv6.forwards, &mut last, round);
        enter_ipv4((packets, outcomes), &ipv4.entries, &mut last, round);
        enter_ipv6((packets, outcomes), &ipv6.entries, &mut last, round);
        Whole::of(outcomes)
    }

    /// Takes no packet of a burst.
    pub fn decline(&mut self) -> Option<Whole> {
        self.outcomes.fill(Outcome::NOT_TAKEN);
        None
    }

    /// Says what became of each packet of the burst that [`take`](Self::take) saw last: a verdict
    /// for every packet, its path for those that were taken.
    pub fn tell(&self, burst: &mut Burst, verdicts: &mut Verdicts) {
        let packets = burst.packets_mut().iter_mut();
        for ((packet, verdict), outcome) in packets.zip(verdicts).zip(&self.outcomes) {
            *verdict = match outcome.get() {
                Some((path, port)) => {
                    packet.path = path;
                    Verdict::Ready(port)
                }
                None => Verdict::Unseen,
            };
        }
    }
}
