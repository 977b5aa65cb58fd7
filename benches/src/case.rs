//! The cases that the packet path is measured in: a whole worker with tables of any size, and
//! frames that take it one way. Its device costs next to nothing.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use adit_dataplane::clock::CycleScale;
use adit_dataplane::counters::CounterSlot;
use adit_dataplane::device::Device;
use adit_dataplane::fib::{Fib, Fib4, Fib6, Rib4, Rib6};
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::node::rate_limit;
use adit_dataplane::reassembly;
use adit_dataplane::tables::local::LocalAddresses;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::tables::{Limits, NextHop, Port, Tables};
use adit_dataplane::tunnel::lookup::{Pair, Protocols, TunnelLookup};
use adit_dataplane::tunnel::policy::{AddressSet, SourceFilter};
use adit_dataplane::tunnel::{Tunnel, TunnelSetup};
use adit_dataplane::worker::exchange::{Publication, Shared};
use adit_dataplane::worker::{Worker, WorkerSettings};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::numbers::Numbers;
use crate::packets::{
    Families, HOST_MAC, HOST4, HOST6, LAN, LOCAL4, LOCAL6, PORT_MACS, ROUTER_MAC, UNDERLAY,
    behind4, behind6, frame, inward, outward, plain4, plain6, remote4, remote6,
};
use crate::routes::{addresses4, addresses6, routes4, routes6};
use crate::treadmill::{Alone, Frame, Treadmill};

/// Packets that a worker takes at once.
pub const BURST: u16 = 32;
const SEED: u64 = 42;
/// Destinations that packets are spread over, where there are routes to choose from.
const DESTINATIONS: usize = 100_000;

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
            routes: 0,
        });
        let mut cases = plain.to_vec();
        for verb in [Verb::Encap, Verb::Decap] {
            for (_, families) in Families::ALL {
                let tunnels = |tunnels| Self { verb, families, tunnels, routes: 0 };
                cases.extend([1, 1000].map(tunnels));
            }
        }
        cases
    }

    /// As a table says it; without the numbers of tunnels and routes.
    pub fn name(&self) -> String {
        let pair = Families::ALL.iter().find(|(_, families)| *families == self.families);
        let pair = pair.map_or("", |(name, _)| name);
        match self.verb {
            Verb::Forward => format!("forward {}", &pair[..2]),
            Verb::Encap => format!("encap {pair}"),
            Verb::Decap => format!("decap {pair}"),
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
            (Verb::Decap, _) => self.each_tunnel(outward),
            _ => self.each_tunnel(inward),
        };
        shuffle(&mut packets);
        packets.iter().map(|packet| frame(self.port(), packet)).collect()
    }

    fn each_tunnel(&self, make: impl Fn(Families, u32) -> Vec<u8>) -> Vec<Vec<u8>> {
        (0..self.tunnels.max(1)).map(|number| make(self.families, number)).collect()
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
        let mut by_ipv4 = TunnelLookup::new(SEED);
        let mut by_ipv6 = TunnelLookup::new(SEED);
        let any = Protocols::IPV4.with(Protocols::IPV6);
        let mut tunnels = Vec::new();
        for number in 0..self.tunnels {
            let id = TunnelId(number);
            let inserted = if self.families.outer_is_ipv4 {
                let pair = Pair::new(LOCAL4.into(), remote4(number).into());
                by_ipv4.insert(pair, any, None, id)
            } else {
                let pair = Pair::new(LOCAL6.into(), remote6(number).into());
                by_ipv6.insert(pair, any, None, id)
            };
            inserted.expect("remotes that differ");
            let setup = tunnel(self.families, number, underlay);
            tunnels.push(Tunnel::new(setup).expect("one family outside"));
        }
        tables.tunnels = tunnels;
        tables.tunnels_by_ipv4 = by_ipv4;
        tables.tunnels_by_ipv6 = by_ipv6;
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
        if self.tunnels == 0 {
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
        for number in 0..self.tunnels {
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
fn tunnel(families: Families, number: u32, underlay: NextHop) -> TunnelSetup {
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
