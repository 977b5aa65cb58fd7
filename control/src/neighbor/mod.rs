//! Who is where on the links: ARP and neighbor discovery as a state machine.
//!
//! It has no clock, no thread and does no I/O. Whoever drives it (the controller, replay, a test)
//! says what time it is and carries out the [`Action`]s, in their order. It holds packets while a
//! neighbor is asked for, and each packet that is given to it comes out in exactly one action.
//!
//! A neighbor's life:
//!
//! - A packet needs it, or it is a configured next hop: `incomplete`. Three requests to everybody,
//!   one second apart; up to three packets wait, the newest. No answer: `failed`, and what waited
//!   is unreachable.
//! - `failed`: what asks within a second of the last request is unreachable at once. After that
//!   a packet starts one more request and waits a second for it. A next hop is asked for every
//!   second without that. Others are forgotten after a minute.
//! - An answer makes it `reachable` for 30 s. What it tells of itself while asking for us is
//!   believed as well, but it is probed 5 s later: `delay`.
//! - After that it is probed with up to three requests to itself alone, one second apart; `stale`
//!   while it waits for its turn, because probes of one port are spread evenly
//!   ([`NeighborLimits::probes_per_second`]). It stays in use meanwhile. No answer: it is
//!   forgotten, a next hop is asked for anew. The packet path does not tell which neighbors it
//!   uses, so all of them are probed; their number and the pace bound what this costs.
//! - `permanent` entries come from the configuration and nothing changes them.
//!
//! IPv6 addresses of ours are asked for before they are used (`duplicate`), unless the port says that this
//! is not wanted; until then, and for ever if somebody else has one, nothing is sent from it or answered
//! for it, and the packet path is told so ([`Action::Address`]).
//!
//! Everything held is bounded, see [`NeighborLimits`]. When room is short the oldest goes: of
//! those that failed, then of those that only told where they are, then, for a packet's sake, of
//! those that answered. Those that are asked for compete among themselves, so that a scan of a
//! wide net costs few of the others. Next hops and static neighbors always stay.

mod duplicate;
mod hear;
mod link;
mod listener;
mod pace;
mod port;
mod report;
mod setup;
mod table;

pub use report::{AddressState, Entry, Notice, Refusal, State};

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::Packet;
use adit_dataplane::wire::ethernet::MacAddress;
use ipnet::IpNet;

use link::Link;
use port::Port;

/// What bounds the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborLimits {
    /// Neighbors of a port beside its static ones and its next hops.
    pub entries_per_port: usize,
    /// Those of them that have been asked for and have not answered yet.
    pub incomplete_per_port: usize,
    /// Configured next hops of a port that are kept resolved; the others are resolved when a
    /// packet needs them.
    pub next_hops_per_port: usize,
    /// Packets that wait for one neighbor.
    pub packets_per_neighbor: usize,
    /// Packets that wait, all together.
    pub packets: usize,
    /// Neighbors that packets make a port ask for.
    pub requests_per_second: u32,
    /// How many of those may be asked for at once.
    pub request_burst: u32,
    /// Neighbors of a port that begin to be probed.
    pub probes_per_second: u32,
}

impl Default for NeighborLimits {
    fn default() -> Self {
        Self {
            entries_per_port: 16_384,
            incomplete_per_port: 1024,
            next_hops_per_port: 4096,
            packets_per_neighbor: 3,
            packets: 2048,
            requests_per_second: 1000,
            request_burst: 256,
            probes_per_second: 1000,
        }
    }
}

/// What the configuration says about a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSetup {
    /// The port.
    pub id: PortId,
    /// Our MAC address there.
    pub mac: MacAddress,
    /// Our addresses there, each with the net it is connected to.
    pub addresses: Vec<IpNet>,
    /// Our link-local address there, see [`adit_dataplane::wire::nd::link_local`].
    pub link_local: Ipv6Addr,
    /// IPv6 addresses are used once duplicate address detection has passed, and not before.
    pub proves_addresses: bool,
    /// Neighbors that are not asked for.
    pub static_neighbors: Vec<(IpAddr, MacAddress)>,
}

/// A packet, at its IP header, and the worker that it came from, which is the one that sends it: so
/// packets of a flow stay on the worker that has them.
#[derive(Debug)]
pub struct Parked {
    /// It.
    pub packet: Packet,
    /// The number of the worker.
    pub worker: usize,
}

/// What is to be done, in the order in which it was said.
#[derive(Debug)]
pub enum Action {
    /// Send this frame.
    Transmit {
        /// Where.
        port: PortId,
        /// From the destination MAC on; short frames are not padded.
        frame: Vec<u8>,
    },
    /// The packet path shall use this MAC address from now on, or none.
    Changed {
        /// Where.
        port: PortId,
        /// The neighbor.
        address: IpAddr,
        /// `None`: no longer known.
        mac: Option<MacAddress>,
    },
    /// The packet path shall use an address of ours from now on, or shall not: said when that changes,
    /// and of those that are somebody else's.
    Address {
        /// Where.
        port: PortId,
        /// Ours.
        address: Ipv6Addr,
        /// Whether it is used.
        state: AddressState,
    },
    /// The packet has waited, and can be sent now.
    Send {
        /// Where.
        port: PortId,
        /// The neighbor.
        address: IpAddr,
        /// Where it is.
        mac: MacAddress,
        /// It.
        packet: Parked,
    },
    /// The neighbor does not answer, or can't exist: `nbr.failed`, and the sender shall be told
    /// that the host is unreachable.
    Unreachable {
        /// Where.
        port: PortId,
        /// The neighbor.
        address: IpAddr,
        /// It.
        packet: Parked,
    },
    /// Too many packets wait, or what it waited for is gone: `nbr.queue_drop`.
    Drop {
        /// Where.
        port: PortId,
        /// It.
        packet: Parked,
    },
    /// A line for the log. The same thing is said rarely, whatever the network does.
    Notice(Notice),
}

/// What [`Neighbors::clear`] forgets: what fits everything that is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Neighbors of this port alone.
    pub port: Option<PortId>,
    /// This neighbor alone.
    pub address: Option<IpAddr>,
}

/// One call into the machine: when it is, what holds for all ports, and where actions go.
struct Turn<'a> {
    now: Nanos,
    limits: &'a NeighborLimits,
    held: &'a mut usize,
    actions: &'a mut Vec<Action>,
}

/// All neighbors of all ports.
///
/// Packets have no destructor: before it is dropped, [`clear`](Self::clear) gives back what waits.
pub struct Neighbors {
    limits: NeighborLimits,
    ports: BTreeMap<PortId, Port>,
    held: usize,
}

impl Neighbors {
    /// Without ports.
    pub fn new(limits: NeighborLimits) -> Self {
        Self { limits, ports: BTreeMap::new(), held: 0 }
    }

    /// The addresses that can't be used yet once these ports have been configured, because they are
    /// still to be asked for or turned out to be somebody else's.
    pub fn unproved(&self, ports: &[PortSetup]) -> Vec<(PortId, Ipv6Addr)> {
        let of_port = |setup: &PortSetup| {
            let link = match self.ports.get(&setup.id) {
                Some(port) => Link::new(setup, &port.link),
                None => Link::new(setup, &Link::bare(setup)),
            };
            let unusable = link.all().iter().filter(|own| !own.is_usable());
            let address = |own: &link::Own| match own.address() {
                IpAddr::V6(address) => Some((setup.id, address)),
                IpAddr::V4(_) => None,
            };
            unusable.filter_map(address).collect::<Vec<_>>()
        };
        ports.iter().flat_map(of_port).collect()
    }

    /// Whether an address that the configuration names is being asked for.
    pub fn is_proving(&self) -> bool {
        let is_asked_for = |own: &link::Own| own.is_configured && own.proved_at.is_some();
        self.ports.values().any(|port| port.link.all().iter().any(is_asked_for))
    }

    /// The addresses of a port, in the order of the configuration.
    pub fn own(&self, port: PortId) -> impl Iterator<Item = (IpAddr, AddressState)> + '_ {
        let link = self.ports.get(&port).map(|port| &port.link);
        let all = link.into_iter().flat_map(Link::all);
        all.map(|own| (own.address(), own.state))
    }

    /// Takes a configuration over: the first, or another one. What is known about ports and
    /// neighbors that stay is kept. `next_hops` are kept resolved whether packets need them or
    /// not; they need not be on a connected net. New addresses are announced on ports that are up.
    pub fn configure(
        &mut self,
        now: Nanos,
        ports: Vec<PortSetup>,
        next_hops: Vec<(PortId, IpAddr)>,
        actions: &mut Vec<Action>,
    ) {
        let stay: BTreeSet<PortId> = ports.iter().map(|setup| setup.id).collect();
        let gone = self.ports.keys().copied().filter(|id| !stay.contains(id)).collect::<Vec<_>>();
        for id in gone {
            if let Some(mut port) = self.ports.remove(&id) {
                port.forget_all(&mut self.turn(now, actions).1);
            }
        }
        let mut wanted: BTreeMap<PortId, BTreeSet<IpAddr>> = BTreeMap::new();
        for (port, address) in next_hops {
            wanted.entry(port).or_default().insert(address);
        }
        for setup in ports {
            let next_hops = wanted.remove(&setup.id).unwrap_or_default();
            let limits = &self.limits;
            self.ports.entry(setup.id).or_insert_with(|| Port::new(&setup, limits));
            self.on(setup.id, now, actions, |port, turn| port.configure(&setup, next_hops, turn));
        }
    }

    /// A next hop came, or is none any more; the rest of the configuration is as before.
    pub fn want_next_hop(
        &mut self,
        now: Nanos,
        port: PortId,
        address: IpAddr,
        is_wanted: bool,
        actions: &mut Vec<Action>,
    ) {
        self.on(port, now, actions, |port, turn| port.want_next_hop(address, is_wanted, turn));
    }

    /// Hears an ARP frame, or one with an `ICMPv6` message of neighbor discovery; others are
    /// ignored. An error says why the message was not valid, and what to count.
    pub fn frame(
        &mut self,
        now: Nanos,
        port: PortId,
        frame: &[u8],
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let heard = self.on(port, now, actions, |port, turn| port.frame(frame, turn));
        heard.unwrap_or(Ok(()))
    }

    /// Takes a packet, at its IP header, that can't be sent because the MAC address of its next
    /// hop `address` is not known. It comes out again as `Send`, `Unreachable` or `Drop`, perhaps
    /// at once.
    pub fn unresolved(
        &mut self,
        now: Nanos,
        port: PortId,
        address: IpAddr,
        packet: Parked,
        actions: &mut Vec<Action>,
    ) {
        let (ports, mut turn) = self.turn(now, actions);
        match ports.get_mut(&port) {
            Some(port) => port.unresolved(address, packet, &mut turn),
            None => turn.actions.push(Action::Unreachable { port, address, packet }),
        }
    }

    /// Does what is due. To be called when [`next_deadline`](Self::next_deadline) has come.
    pub fn tick(&mut self, now: Nanos, actions: &mut Vec<Action>) {
        let (ports, mut turn) = self.turn(now, actions);
        for port in ports.values_mut() {
            port.tick(&mut turn);
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub fn next_deadline(&self) -> Option<Nanos> {
        self.ports.values().filter_map(Port::next_deadline).min()
    }

    /// The port has carrier: our addresses are announced, now and again after two seconds, and
    /// next hops that failed are asked for.
    pub fn link_up(&mut self, now: Nanos, port: PortId, actions: &mut Vec<Action>) {
        self.on(port, now, actions, Port::link_up);
    }

    /// The port has lost its carrier: whoever was behind it need not be there any more.
    pub fn link_down(&mut self, now: Nanos, port: PortId, actions: &mut Vec<Action>) {
        self.on(port, now, actions, Port::link_down);
    }

    /// Announces the addresses of a port once.
    pub fn announce(&mut self, now: Nanos, port: PortId, actions: &mut Vec<Action>) {
        self.on(port, now, actions, |port, turn| port.announce(turn));
    }

    /// Forgets neighbors, and drops what waits for them. Static ones stay; next hops are asked for
    /// anew. Returns how many were forgotten.
    pub fn clear(&mut self, now: Nanos, filter: Filter, actions: &mut Vec<Action>) -> usize {
        let (ports, mut turn) = self.turn(now, actions);
        let mut count = 0;
        for (_, port) in
            ports.iter_mut().filter(|(id, _)| filter.port.is_none_or(|one| one == **id))
        {
            count += port.clear(filter.address, &mut turn);
        }
        count
    }

    /// All neighbors, in the order of ports and addresses.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.ports.iter().flat_map(|(&id, port)| port.entries(id))
    }

    /// Where a neighbor is, if that is known.
    pub fn mac(&self, port: PortId, address: IpAddr) -> Option<MacAddress> {
        self.ports.get(&port)?.mac(address)
    }

    /// Packets that wait.
    pub fn held(&self) -> usize {
        self.held
    }

    /// What it is bound by.
    pub fn limits(&self) -> &NeighborLimits {
        &self.limits
    }

    fn turn<'a>(
        &'a mut self,
        now: Nanos,
        actions: &'a mut Vec<Action>,
    ) -> (&'a mut BTreeMap<PortId, Port>, Turn<'a>) {
        let turn = Turn { now, limits: &self.limits, held: &mut self.held, actions };
        (&mut self.ports, turn)
    }

    /// Does something with one port, if there is one of that number.
    fn on<R>(
        &mut self,
        id: PortId,
        now: Nanos,
        actions: &mut Vec<Action>,
        act: impl FnOnce(&mut Port, &mut Turn<'_>) -> R,
    ) -> Option<R> {
        let (ports, mut turn) = self.turn(now, actions);
        Some(act(ports.get_mut(&id)?, &mut turn))
    }
}

#[cfg(test)]
mod tests;
