//! The fast path: the short way for plain packets, which are nearly all.
//!
//! A packet is plain when its headers have no options, it is whole, its addresses are those of
//! hosts, it fits where it goes, and what it meets (route, neighbor, tunnel) is settled. Plain packets
//! of a burst are taken together through a few short loops: sort the frames, find the tunnels of
//! those that arrive through one, look up all routes, write all headers. Loops are short so that the
//! processor has many packets in flight, and loads that miss a cache overlap.
//!
//! The fast path decides before it writes: a packet that turns out not to be plain is left as it
//! came, with nothing counted, for the [stages](crate::stage), which know every rule. It has no
//! rules of its own, and a test holds it against the stages: the same frames, the same counters.

mod arrive;
mod enter;
mod header;
mod leave;
mod list;
mod sort;

use crate::interface::{PortId, TunnelId};
use crate::packet::{Burst, Packet, Path};
use crate::stage::{Round, Verdict, Verdicts};
use crate::tables::neighbor::AdjacencyId;
use crate::tables::{NextHop, Port};
use list::List;

/// A plain packet that is to be routed as it is.
#[derive(Clone, Copy)]
struct Transit<A> {
    at: u16,
    total_len: u16,
    destination: A,
    next_hop: NextHop,
}

/// A plain packet of a protocol that tunnels use.
#[derive(Clone, Copy)]
struct Arrival<A> {
    at: u16,
    total_len: u16,
    protocol: u8,
    tos: u8,
    ttl: u8,
    is_between_hosts: bool,
    local: A,
    remote: A,
}

/// A plain packet inside one that came through a tunnel.
#[derive(Clone, Copy)]
struct Inside<A> {
    at: u16,
    total_len: u16,
    /// Where its header begins in the frame.
    offset: u8,
    tunnel: TunnelId,
    destination: A,
    next_hop: NextHop,
}

/// What became of the packets that the fast path took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// How many, by [`Path`].
    pub paths: [u16; Path::ALL.len()],
    /// The port by which they all leave, if it is one.
    pub port: Option<PortId>,
    count: u16,
    ports_differ: bool,
}

impl Taken {
    /// How many packets.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    #[inline]
    fn note(&mut self, path: Path, port: PortId) {
        self.paths[path as usize] += 1;
        self.ports_differ |= self.port.is_some_and(|one| one != port);
        self.port = Some(port);
        self.count += 1;
    }
}

/// Room for the lists that the loops hand each other.
pub struct FastPath {
    transit4: List<Transit<u32>>,
    transit6: List<Transit<u128>>,
    arrivals4: List<Arrival<u32>>,
    arrivals6: List<Arrival<u128>>,
    inside4: List<Inside<u32>>,
    inside6: List<Inside<u128>>,
}

impl Default for FastPath {
    fn default() -> Self {
        let none = NextHop::NoRoute;
        let tunnel = TunnelId(0);
        Self {
            transit4: List::new(Transit { at: 0, total_len: 0, destination: 0, next_hop: none }),
            transit6: List::new(Transit { at: 0, total_len: 0, destination: 0, next_hop: none }),
            arrivals4: List::new(no_arrival()),
            arrivals6: List::new(no_arrival()),
            inside4: List::new(nothing_inside(tunnel)),
            inside6: List::new(nothing_inside(tunnel)),
        }
    }
}

fn no_arrival<A: Default>() -> Arrival<A> {
    Arrival {
        at: 0,
        total_len: 0,
        protocol: 0,
        tos: 0,
        ttl: 0,
        is_between_hosts: false,
        local: A::default(),
        remote: A::default(),
    }
}

fn nothing_inside<A: Default>(tunnel: TunnelId) -> Inside<A> {
    let (destination, next_hop) = (A::default(), NextHop::NoRoute);
    Inside { at: 0, total_len: 0, offset: 0, tunnel, destination, next_hop }
}

impl FastPath {
    /// Takes the plain packets of a burst, which arrived on `port`. Those it took stand at their
    /// Ethernet header, which is written, and their verdict is [`Verdict::Ready`]; the verdicts and
    /// the bytes of all others are as they were.
    pub fn take(
        &mut self,
        burst: &mut Burst,
        verdicts: &mut Verdicts,
        port_id: PortId,
        port: &Port,
        round: &mut Round<'_>,
    ) -> Taken {
        self.sort(burst.packets(), port, &round.tables.local);
        self.arrive(burst.packets(), port_id, round);
        self.route(round);
        let mut leaving = Leaving {
            packets: burst.packets_mut(),
            verdicts,
            taken: Taken::default(),
            last_neighbor: None,
        };
        leaving.transit(&self.transit4, &self.transit6, round);
        leaving.inside(&self.inside4, &self.inside6, round);
        let mut taken = leaving.taken;
        if taken.ports_differ {
            taken.port = None;
        }
        taken
    }

    /// Looks up every destination.
    #[inline]
    fn route(&mut self, round: &Round<'_>) {
        let tables = round.tables;
        for item in self.transit4.items_mut() {
            item.next_hop = tables.route_ipv4(item.destination);
            prefetch_tunnel(item.next_hop, round);
        }
        for item in self.transit6.items_mut() {
            item.next_hop = tables.route_ipv6(item.destination);
            prefetch_tunnel(item.next_hop, round);
        }
        for item in self.inside4.items_mut() {
            item.next_hop = tables.route_ipv4(item.destination);
        }
        for item in self.inside6.items_mut() {
            item.next_hop = tables.route_ipv6(item.destination);
        }
    }
}

#[inline]
fn prefetch_tunnel(next_hop: NextHop, round: &Round<'_>) {
    if let NextHop::Tunnel(id) = next_hop
        && let Some(tunnel) = round.tables.tunnel(id)
    {
        crate::packet::prefetch(tunnel);
    }
}

/// The last loops: packets are written, and their verdicts.
struct Leaving<'a> {
    packets: &'a mut [Packet],
    verdicts: &'a mut Verdicts,
    taken: Taken,
    /// The neighbor found last; most packets of a burst go to few.
    last_neighbor: Option<(PortId, core::net::IpAddr, AdjacencyId)>,
}

impl Leaving<'_> {
    #[inline]
    fn ready(&mut self, at: u16, path: Path, port: PortId) {
        if let Some(verdict) = self.verdicts.get_mut(usize::from(at)) {
            *verdict = Verdict::Ready(port);
        }
        if let Some(packet) = self.packets.get_mut(usize::from(at)) {
            packet.path = path;
        }
        self.taken.note(path, port);
    }
}
