//! The cases that the packet path is measured in: a whole worker with tables of any size, and
//! frames that take it one way. Its device costs next to nothing.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use adit_dataplane::clock::CycleScale;
use adit_dataplane::counters::CounterSlot;
use adit_dataplane::device::Device;
use adit_dataplane::fib::{Fib, Fib4, Fib6, Rib4, Rib6};
use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::node::rate_limit;
use adit_dataplane::reassembly;
use adit_dataplane::tables::local::LocalAddresses;
use adit_dataplane::tables::mirrors::Sessions;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::tables::{Limits, NextHop, Operation, Port, Tables};
use adit_dataplane::tunnel::lookup::{Entry, Pair};
use adit_dataplane::tunnel::policy::{AddressSet, SourceFilter};
use adit_dataplane::tunnel::{Tunnel, TunnelSetup};
use adit_dataplane::wire::Family;
use adit_dataplane::worker::exchange::{Publication, Shared};
use adit_dataplane::worker::{Worker, WorkerSettings};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::kinds::swapping;
use crate::numbers::Numbers;
use crate::packets::{
    Between, Families, HOST_MAC, HOST4, HOST6, ISATAP_PREFIX, LAN, LOCAL4, LOCAL6, PORT_MACS,
    ROUTER_MAC, SIX_RD_PREFIX, SIX_RD_RELAYS, UNDERLAY, behind4, behind6, frame, inward, outward,
    plain4, plain6, remote4, remote6, station,
};
use crate::routes::{addresses4, addresses6, routes4, routes6};
use crate::treadmill::{Alone, Frame, Treadmill};

/// Packets that a worker takes at once.
pub const BURST: u16 = 32;
const SEED: u64 = 42;
/// Destinations that packets are spread over, where there are routes to choose from.
const DESTINATIONS: usize = 100_000;
/// Peers that one tunnel of many has.
const PEERS: u32 = 1000;

/// What happens to the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// From the host to the gateway, no tunnel.
    Forward,
    /// From the host into tunnels.
    Encap,
    /// Out of tunnels to the host.
    Decap,
}

/// One case.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What happens to the packets.
    pub verb: Verb,
    /// Of tunnels; for [`Verb::Forward`] what is inside counts.
    pub families: Families,
    /// How many tunnels there are; each packet takes another.
    pub tunnels: u32,
    /// What their headers have between them.
    pub between: Between,
    /// How many routes there are besides, of the inner family. 0 and [`Verb::Forward`]: one.
    pub routes: usize,
}

impl Case {
    /// Plain forward, and encap and decap of all families with 1 and with 1000 tunnels.
    pub fn usual() -> Vec<Self> {
        let plain = [Families::ALL[0].1, Families::ALL[1].1].map(|families| Self {
            verb: Verb::Forward,
            families,
            tunnels: 0,
            between: Between::Nothing,
            routes: 0,
        });
        let mut cases = plain.to_vec();
        for verb in [Verb::Encap, Verb::Decap] {
            for (_, families) in Families::ALL {
                let between = Between::Nothing;
                let tunnels = |tunnels| Self { verb, families, tunnels, between, routes: 0 };
                cases.extend([1, 1000].map(tunnels));
            }
        }
        for verb in [Verb::Encap, Verb::Decap] {
            let of = |pair: usize, between| {
                let families = Families::ALL[pair].1;
                Self { verb, families, tunnels: 1000, between, routes: 0 }
            };
            cases.extend([of(0, Between::Gre), of(0, Between::KeyedGre), of(1, Between::Gre)]);
            cases.extend([of(2, Between::Gre), of(3, Between::KeyedGre), of(0, Between::Fou)]);
            cases.extend([of(0, Between::BareFou), of(2, Between::Fou), of(0, Between::Gue)]);
            cases.extend([of(3, Between::Gue), of(0, Between::FouGre), of(0, Between::Mpls)]);
            cases.push(of(0, Between::Minimal));
            cases.push(Self { tunnels: 1, ..of(1, Between::SixRd) });
            let frames = [Between::Gretap, Between::Vxlan, Between::Geneve];
            cases.extend(frames.map(|between| {
                // A port is attached to one tunnel.
                let tunnels = if verb == Verb::Encap { 1 } else { 1000 };
                Self { tunnels, ..of(0, between) }
            }));
            // What enters such a tunnel are copies, of packets that are forwarded.
            let tunnels = if verb == Verb::Encap { 1 } else { 1000 };
            cases.push(Self { tunnels, ..of(0, Between::Erspan) });
        }
        cases.extend(Self::further());
        cases
    }

    /// One of each kind of tunnel, and of each set of options, that takes another way than those above.
    fn further() -> Vec<Self> {
        let [v4, v6_in_v4, v4_in_v6, _] = Families::ALL.map(|(_, families)| families);
        let of_many = [
            (Between::SummedGre, v4),
            (Between::NumberedGre, v4),
            (Between::GueDirect, v4),
            (Between::GenevePackets, v4),
            (Between::MplsGre, v4),
            (Between::Mpls, v4_in_v6),
            (Between::Mixed, v4),
        ];
        // Of these there is one, or one that packets go into.
        let of_one = [
            (Between::Isatap, v6_in_v4),
            (Between::Gretap, v4_in_v6),
            (Between::Vxlan, v4_in_v6),
            (Between::Geneve, v4_in_v6),
            (Between::Erspan, v4_in_v6),
            (Between::ErspanOne, v4),
            (Between::ErspanThree, v4),
            (Between::VxlanRemotes, v4),
        ];
        let case =
            |verb, tunnels, between, families| Self { verb, families, tunnels, between, routes: 0 };
        let mut cases = vec![
            case(Verb::Forward, 0, Between::Swap, v4),
            case(Verb::Encap, 1, Between::VxlanFlood, v4),
        ];
        for verb in [Verb::Encap, Verb::Decap] {
            cases.extend(of_many.map(|(between, families)| case(verb, 1000, between, families)));
            cases.extend(of_one.map(|(between, families)| {
                let is_one = between.has_peers() || between.remote_count().is_some();
                let tunnels = if verb == Verb::Encap || is_one { 1 } else { 1000 };
                case(verb, tunnels, between, families)
            }));
        }
        cases
    }

    /// As a table says it; without the numbers of tunnels and routes.
    pub fn name(&self) -> String {
        let pair = Families::ALL.iter().find(|(_, families)| *families == self.families);
        let pair = pair.map_or("", |(name, _)| name);
        match self.verb {
            Verb::Forward => format!("forward {}{}", self.between.name(), &pair[..2]),
            Verb::Encap => format!("encap {}{pair}", self.between.name()),
            Verb::Decap => format!("decap {}{pair}", self.between.name()),
        }
    }

    /// Whether each packet is forwarded, and a copy of it goes into a session.
    pub fn is_mirrored(&self) -> bool {
        self.is_encap() && self.between.is_of_copies()
    }

    fn is_encap(&self) -> bool {
        self.verb == Verb::Encap
    }

    /// How many packets are sent for one that comes in.
    pub fn sent_for_each(&self) -> u64 {
        match self.between {
            Between::VxlanFlood => self.between.remote_count().map_or(1, u64::from),
            _ => 1 + u64::from(self.is_mirrored()),
        }
    }

    /// Where the packets come in.
    pub fn port(&self) -> PortId {
        if self.verb == Verb::Decap { UNDERLAY } else { LAN }
    }

    /// A frame for each tunnel or destination, in an order that is not that of the tunnels.
    pub fn frames(&self) -> Vec<Frame> {
        let mut packets = match (self.verb, self.families.inner_is_ipv4) {
            (Verb::Forward, true) if self.routes > 0 => addresses4(&self.rib4(), DESTINATIONS)
                .into_iter()
                .filter(|address| ![0, 10, 127].contains(&(address >> 24)) && address >> 29 != 7)
                .map(|address| plain4(address.into()))
                .collect(),
            (Verb::Forward, false) if self.routes > 0 => addresses6(&self.rib6(), DESTINATIONS)
                .into_iter()
                .filter(|address| address >> 125 == 1 && address >> 96 != 0x2001_0db8)
                .map(|address| plain6(address.into()))
                .collect(),
            (Verb::Decap, _) => {
                let between = |number| self.between.of(number, false);
                self.each_tunnel(|families, number| outward(families, between(number), number))
            }
            _ => self.each_tunnel(|families, number| inward(families, self.between, number)),
        };
        shuffle(&mut packets);
        let mut frames: Vec<Frame> =
            packets.iter().map(|packet| frame(self.port(), packet)).collect();
        if self.is_encap() && self.between.remote_count().is_some() {
            for (number, (bytes, _)) in (0..).zip(&mut frames) {
                let is_for_all = self.between == Between::VxlanFlood;
                bytes[..6].copy_from_slice(&if is_for_all { [0xff; 6] } else { station(number).0 });
            }
        }
        frames
    }

    fn each_tunnel(&self, make: impl Fn(Families, u32) -> Vec<u8>) -> Vec<Vec<u8>> {
        let peers = if self.between.has_peers() { PEERS } else { 1 };
        let peers = self.between.remote_count().unwrap_or(peers);
        (0..self.tunnels.max(peers)).map(|number| make(self.families, number)).collect()
    }

    /// A worker whose packets never end. Every one that it received, it must have sent after a poll.
    pub fn worker(&self) -> Worker<Treadmill> {
        self.worker_over(Treadmill::new(self.port(), self.frames()))
    }

    /// The device of [`worker`](Self::worker), without one.
    pub fn device_alone(&self) -> Alone {
        Alone::new(Treadmill::new(self.port(), self.frames()), BURST)
    }

    /// A worker with the case's tables, over another device.
    pub fn worker_over<D: Device>(&self, device: D) -> Worker<D> {
        self.worker_with(device, Self::settings())
    }

    /// How its worker is set up.
    pub fn settings() -> WorkerSettings {
        WorkerSettings {
            number: 0,
            workers: 1,
            burst: BURST,
            latency_sample: 1,
            scale: CycleScale::from_measurement(2_300_000_000, 1_000_000_000),
            rates: rate_limit::Limits::DEFAULT,
            reassembly: reassembly::Limits { pieces: 256, pieces_per_peer: 64 },
            seed: SEED,
            measured_tunnels: 0,
            fast_path: true,
        }
    }

    /// The same with other settings.
    pub fn worker_with<D: Device>(&self, device: D, settings: WorkerSettings) -> Worker<D> {
        let shared = Arc::new(Shared::new(self.tunnels.max(1) as usize));
        Worker::new(device, Arc::new(Publication::new(Arc::new(self.tables()))), shared, settings)
    }

    /// What the worker looks things up in.
    pub fn tables(&self) -> Tables {
        let mut neighbors = NeighborTable::new(SEED);
        let mut host = |port: PortId, address: IpAddr, mac| {
            let id = neighbors.insert(port, address);
            neighbors.resolve(id, Some(mac), PORT_MACS[port.index()]);
            NextHop::Via(id)
        };
        let gateway = host(UNDERLAY, Ipv4Addr::new(198, 51, 100, 254).into(), ROUTER_MAC);
        host(LAN, HOST4.into(), HOST_MAC);
        host(LAN, HOST6.into(), HOST_MAC);
        let (source_ipv4, source_ipv6) = (Some(LOCAL4), Some(LOCAL6));
        let port = |mac| Port { mac, mtu: 1500, source_ipv4, source_ipv6, nets: Arc::new([]) };
        let own = [LOCAL4.into(), LOCAL6.into()];
        let (fib4, fib6) = self.fibs(gateway);
        let mut tables = Tables {
            ports: PORT_MACS.map(port).into(),
            fib4,
            fib6,
            neighbors,
            local: LocalAddresses::new(own.into_iter()),
            limits: Limits { router_id: source_ipv4, router_id6: source_ipv6, ..Limits::default() },
            ..Tables::empty(SEED)
        };
        tables.local.note_route_ipv4(Ipv4Net::new_assert(LOCAL4, 32), Some(NextHop::Local));
        self.add_tunnels(&mut tables, gateway);
        tables
    }

    fn add_tunnels(&self, tables: &mut Tables, underlay: NextHop) {
        let mut tunnels = Vec::new();
        for number in 0..self.tunnels {
            let between = self.between.of(number, self.is_encap());
            let shim = between.shim(self.outer());
            if let Some(udp) = &shim.udp {
                tables.udp_ports.put(udp.listens_at, Some(udp.service()));
            }
            let remotes = match between.remote_count() {
                Some(count) => 0..count,
                None => number..number + 1,
            };
            for remote in remotes {
                self.add_lookup(tables, TunnelId(number), remote);
            }
            let mut setup = setup(self.families, number, underlay);
            between.put(&mut setup, self.is_encap());
            tunnels.push(Tunnel::new(setup).expect("one family outside"));
        }
        tables.tunnels = tunnels;
        if self.between.is_of_frames() && self.is_encap() {
            let session = TunnelId(0);
            let leads_there = tables.change(&if self.is_mirrored() {
                let sessions = Sessions { ingress: Box::new([session]), egress: Box::default() };
                Operation::Mirror(Interface::port(LAN), sessions)
            } else {
                Operation::Attach(LAN, Some(session))
            });
            leads_there.expect("a port that is there");
        }
        if let (Between::Swap, NextHop::Via(host)) = (self.between, underlay) {
            let labels = Operation::PortLabels(LAN, Some(swapping(host)));
            tables.change(&labels).expect("a port that is there");
        }
    }

    fn outer(&self) -> Family {
        if self.families.outer_is_ipv4 { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// A tunnel is found by its far end, or by any if its peers are in the packets.
    fn add_lookup(&self, tables: &mut Tables, tunnel: TunnelId, remote: u32) {
        let between = self.between.of(tunnel.0, self.is_encap());
        let (protocols, label) = (between.protocols(), between.shim(self.outer()).input_label());
        let (link, patience) = (None, None);
        let added = tables.change(&if self.families.outer_is_ipv4 {
            let remote = if between.has_peers() { 0 } else { remote4(remote).into() };
            let pair = Pair { local: LOCAL4.into(), remote, label };
            Operation::AddLookup4(Entry { pair, protocols, link, tunnel, patience })
        } else {
            let pair = Pair { local: LOCAL6.into(), remote: remote6(remote).into(), label };
            Operation::AddLookup6(Entry { pair, protocols, link, tunnel, patience })
        });
        added.expect("remotes that differ");
    }

    /// The routes to the host, to us, into tunnels, and the others by way of `gateway`.
    fn fibs(&self, gateway: NextHop) -> (Fib4, Fib6) {
        let id = |next_hop: NextHop| next_hop.id().expect("a number, because there are few");
        let (mut rib4, mut rib6) = (Rib4::new(), Rib6::new());
        if self.routes > 0 && self.families.inner_is_ipv4 {
            for (net, _) in self.rib4().iter() {
                rib4.insert(net, id(gateway));
            }
        } else if self.routes > 0 {
            for (net, _) in self.rib6().iter() {
                rib6.insert(net, id(gateway));
            }
        }
        if self.tunnels == 0 || self.is_mirrored() {
            rib4.insert(Ipv4Net::default(), id(gateway));
            rib6.insert(Ipv6Net::default(), id(gateway));
        }
        let net = Ipv4Net::new_assert(HOST4, 24).trunc();
        rib4.insert(net, id(NextHop::Connected(LAN)));
        for end in [net.network(), net.broadcast()] {
            rib4.insert(Ipv4Net::new_assert(end, 32), id(NextHop::Broadcast));
        }
        rib6.insert(Ipv6Net::new_assert(HOST6, 64).trunc(), id(NextHop::Connected(LAN)));
        rib4.insert(Ipv4Net::new_assert(LOCAL4, 32), id(NextHop::Local));
        rib6.insert(Ipv6Net::new_assert(LOCAL6, 128), id(NextHop::Local));
        if self.between.has_peers() {
            rib4.insert(SIX_RD_RELAYS, id(gateway));
            let is_six_rd = self.between == Between::SixRd;
            let prefix = if is_six_rd { SIX_RD_PREFIX } else { ISATAP_PREFIX };
            rib6.insert(prefix, id(NextHop::Tunnel(TunnelId(0))));
        } else if self.between.remote_count().is_some() {
            // Each remote is looked up where a frame is for it.
            rib4.insert(SIX_RD_RELAYS, id(gateway));
        }
        let routed = if self.is_mirrored() { 0 } else { self.tunnels };
        for number in 0..routed {
            let tunnel = id(NextHop::Tunnel(TunnelId(number)));
            rib4.insert(behind4(number).1, tunnel);
            rib6.insert(behind6(number).1, tunnel);
        }
        let fib4 = Fib4::build(&rib4).expect("routes that fit");
        (fib4, Fib6::build(&rib6).expect("routes that fit"))
    }

    /// The other routes, without those that no packet may take.
    fn rib4(&self) -> Rib4 {
        let mut rib = Rib4::new();
        for (net, next_hop) in routes4(self.routes).iter() {
            let is_special = [0, 10, 127].contains(&net.network().octets()[0]);
            if !is_special || net.prefix_len() == 0 {
                rib.insert(net, next_hop);
            }
        }
        rib
    }

    fn rib6(&self) -> Rib6 {
        routes6(self.routes)
    }
}

/// Puts items into an order that is none, and the same in every run.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    let mut numbers = Numbers::new(SEED);
    for at in (1..items.len()).rev() {
        let other = usize::try_from(numbers.below(at as u64 + 1)).unwrap_or(0);
        items.swap(at, other);
    }
}

/// A tunnel as the profile `native` makes it.
fn setup(families: Families, number: u32, underlay: NextHop) -> TunnelSetup {
    let is_ipv4 = families.outer_is_ipv4;
    let (local, remote): (IpAddr, IpAddr) = if is_ipv4 {
        (LOCAL4.into(), remote4(number).into())
    } else {
        (LOCAL6.into(), remote6(number).into())
    };
    let sources = AddressSet {
        ipv4: [behind4(number).1].into_iter().collect(),
        ipv6: [behind6(number).1].into_iter().collect(),
    };
    TunnelSetup {
        inner_source: SourceFilter::Listed { sources, routed_is_listed: true },
        ..TunnelSetup::between(local, remote, underlay, CounterSlot(number))
    }
}
