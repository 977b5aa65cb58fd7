//! An appliance in memory, as the conformance tests describe theirs: port `U` to the underlay, port
//! `L` to the LAN, tables built by hand, and the books looked at after every round.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;
use std::sync::Arc;

use adit_dataplane::clock::{CycleScale, Nanos};
use adit_dataplane::counters::{Counter, CounterSlot, Kind as CounterKind};
use adit_dataplane::device::{Device, MemoryDevice, SentFrame};
use adit_dataplane::fib::{Fib, Fib4, Fib6, Rib4, Rib6};
use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::node::flow::FlowKey;
use adit_dataplane::node::rate_limit;
use adit_dataplane::packet::MemoryPool;
use adit_dataplane::reassembly;
use adit_dataplane::tables::labels::LabelTable;
use adit_dataplane::tables::local::LocalAddresses;
use adit_dataplane::tables::mirrors::Sessions;
use adit_dataplane::tables::neighbor::{AdjacencyId, NeighborTable};
use adit_dataplane::tables::soft_state::SoftState;
use adit_dataplane::tables::{Limits, NextHop, NextHops, Operation, Port, Tables};
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::peers::isatap::Isatap;
use adit_dataplane::tunnel::peers::six_rd::{SixRd, SixRdSetup};
use adit_dataplane::tunnel::peers::{Kind as PeerKind, Peers};
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::source_port::{PortRange, SourcePort};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::{Tunnel, TunnelSetup};
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::worker::exchange::{Publication, Punt, Shared};
use adit_dataplane::worker::{Worker, WorkerSettings};
use ipnet::IpNet;

use super::frames::Mac;

#[path = "lookups.rs"]
mod lookups;
use lookups::lookups;

pub(crate) const U: PortId = PortId(0);
pub(crate) const L: PortId = PortId(1);
/// A port that is attached to a tunnel, where there is one.
pub(crate) const A: PortId = PortId(2);

pub(crate) const U_MAC: Mac = [2, 0, 0, 0, 0, 1];
pub(crate) const L_MAC: Mac = [2, 0, 0, 0, 0, 2];
/// The router on U, 198.51.100.254 and `2001:db8:100::fe`.
pub(crate) const G_MAC: Mac = [2, 0, 0, 0, 0, 0xfe];
/// The host on L, 10.1.0.5 and `2001:db8:1::5`.
pub(crate) const H_MAC: Mac = [2, 0, 0, 0, 0, 5];

/// Both ends at the port that IANA has for it.
pub(crate) const GUE: Udp = Udp {
    listens_at: 6080,
    sends_to: 6080,
    sends_from: SourcePort::ByFlow(PortRange::DYNAMIC),
    has_checksum: false,
    needs_no_checksum: false,
    header: UdpHeader::Gue,
};

/// Buffers of every appliance.
pub(crate) const BUFFERS: usize = 1024;
const BUFFER_LEN: u16 = 4096;
const SEED: u64 = 0x5eed;

/// What tables are made from, to be changed before they are.
#[derive(Clone)]
pub(crate) struct Blueprint {
    pub(crate) ports: Vec<Port>,
    pub(crate) limits: Limits,
    pub(crate) tunnels: Vec<(TunnelSetup, Option<PortId>)>,
    /// Ports whose frames go into a tunnel.
    pub(crate) attached: Vec<(PortId, TunnelId)>,
    /// What is copied, and for which tunnels.
    pub(crate) mirrors: Vec<(Interface, Sessions)>,
    /// The labels of ports that take MPLS.
    pub(crate) port_labels: Vec<(PortId, Arc<LabelTable>)>,
    own: Vec<IpAddr>,
    rib4: Rib4,
    rib6: Rib6,
    next_hops: NextHops,
    neighbors: NeighborTable,
}

impl Blueprint {
    /// Ports U and L with their addresses, nets, hosts, and the routes to peers; no tunnel.
    pub(crate) fn bench() -> Self {
        let port = |mac, ipv4: [u8; 4], ipv6: &str| Port {
            mac: MacAddress(mac),
            mtu: 1500,
            source_ipv4: Some(Ipv4Addr::from(ipv4)),
            source_ipv6: Some(ipv6.parse().unwrap()),
            nets: Arc::new([]),
        };
        let mut plan = Self {
            ports: vec![
                port(U_MAC, [198, 51, 100, 1], "2001:db8:100::1"),
                port(L_MAC, [10, 1, 0, 1], "2001:db8:1::1"),
            ],
            limits: Limits::default(),
            tunnels: Vec::new(),
            attached: Vec::new(),
            mirrors: Vec::new(),
            port_labels: Vec::new(),
            own: Vec::new(),
            rib4: Rib4::new(),
            rib6: Rib6::new(),
            next_hops: NextHops::new(),
            neighbors: NeighborTable::new(SEED),
        };
        for (net, port) in [
            ("198.51.100.0/24", U),
            ("2001:db8:100::/64", U),
            ("10.1.0.0/24", L),
            ("2001:db8:1::/64", L),
        ] {
            plan.route(net, NextHop::Connected(port));
        }
        for net in ["198.51.100.255/32", "198.51.100.0/32", "10.1.0.255/32", "10.1.0.0/32"] {
            plan.route(net, NextHop::Broadcast);
        }
        for own in ["198.51.100.1", "2001:db8:100::1", "10.1.0.1", "2001:db8:1::1"] {
            plan.own(own);
        }
        let g4 = plan.neighbor(U, "198.51.100.254", Some(G_MAC));
        let g6 = plan.neighbor(U, "2001:db8:100::fe", Some(G_MAC));
        plan.neighbor(L, "10.1.0.5", Some(H_MAC));
        plan.neighbor(L, "2001:db8:1::5", Some(H_MAC));
        plan.route("203.0.113.0/24", g4);
        plan.route("2001:db8:200::/48", g6);
        plan
    }

    /// Adds a host, or says who it is now.
    pub(crate) fn neighbor(&mut self, port: PortId, address: &str, mac: Option<Mac>) -> NextHop {
        let id: AdjacencyId = self.neighbors.insert(port, address.parse().unwrap());
        let own = self.ports[port.index()].mac;
        self.neighbors.resolve(id, mac.map(MacAddress), own);
        NextHop::Via(id)
    }

    /// Adds or replaces a route.
    pub(crate) fn route(&mut self, prefix: &str, next_hop: NextHop) {
        let id = next_hop.id().unwrap();
        match prefix.parse::<IpNet>().unwrap() {
            IpNet::V4(net) => self.rib4.insert(net, id),
            IpNet::V6(net) => self.rib6.insert(net, id),
        };
    }

    /// Adds an address of this node.
    pub(crate) fn own(&mut self, address: &str) {
        let address: IpAddr = address.parse().unwrap();
        self.own.push(address);
        self.route(&IpNet::from(address).to_string(), NextHop::Local);
    }

    /// Adds a tunnel between these ends, as the profile `native` makes it: any inner source, MTU
    /// and underlay from the ports.
    pub(crate) fn tunnel(&mut self, local: &str, remote: &str) -> TunnelId {
        let (local, remote): (IpAddr, IpAddr) = (local.parse().unwrap(), remote.parse().unwrap());
        let number = u32::try_from(self.tunnels.len()).unwrap();
        let is_ipv4 = remote.is_ipv4();
        let router = if is_ipv4 { "198.51.100.254" } else { "2001:db8:100::fe" };
        let underlay = self.neighbors.find(U, router.parse().unwrap()).map(NextHop::Via);
        let setup = TunnelSetup {
            source_ipv4: Some(Ipv4Addr::new(192, 168, 50, 1)),
            source_ipv6: Some("2001:db8:50::1".parse().unwrap()),
            ..TunnelSetup::between(local, remote, underlay.unwrap(), CounterSlot(number))
        };
        self.tunnels.push((setup, None));
        TunnelId(number)
    }

    /// The tunnel `t0` of the conformance tests, with the inner nets behind it.
    pub(crate) fn with_t0(local: &str, remote: &str) -> Self {
        let mut plan = Self::bench();
        let t0 = plan.tunnel(local, remote);
        plan.route("10.2.0.0/16", NextHop::Tunnel(t0));
        plan.route("2001:db8:2::/48", NextHop::Tunnel(t0));
        plan.own("192.168.50.1");
        plan.own("2001:db8:50::1");
        plan
    }

    /// The other end of `with_t0`: hosts 10.2.0.8 and `2001:db8:2::8` are on L.
    pub(crate) fn far_end(local: &str, remote: &str) -> Self {
        let mut plan = Self::bench();
        plan.own.clear();
        let g4 = plan.neighbor(U, "198.51.100.254", Some(G_MAC));
        let g6 = plan.neighbor(U, "2001:db8:100::fe", Some(G_MAC));
        plan.route("198.51.100.0/24", g4);
        plan.route("2001:db8:100::/64", g6);
        plan.route("198.51.100.1/32", g4);
        plan.route("2001:db8:100::1/128", g6);
        plan.own("203.0.113.2");
        plan.own("2001:db8:200::2");
        plan.neighbor(L, "10.2.0.8", Some(H_MAC));
        plan.neighbor(L, "2001:db8:2::8", Some(H_MAC));
        plan.route("10.2.0.0/16", NextHop::Connected(L));
        plan.route("2001:db8:2::/48", NextHop::Connected(L));
        let t0 = plan.tunnel(remote, local);
        plan.route("10.1.0.0/24", NextHop::Tunnel(t0));
        plan.route("2001:db8:1::/64", NextHop::Tunnel(t0));
        plan
    }

    /// The setup of tunnel `number`, to be changed.
    pub(crate) fn setup(&mut self, number: usize) -> &mut TunnelSetup {
        &mut self.tunnels[number].0
    }

    /// Puts the packets of tunnel 0 into GUE.
    pub(crate) fn put_gue(&mut self) {
        let udp = Udp { has_checksum: true, ..GUE };
        self.setup(0).put_shim(Shim { udp: Some(udp), kind: Kind::None });
    }

    /// Makes a tunnel one of the 6rd domain `3fff:db8::/40`, whose customers are in 203.0.113.0/24, and whose
    /// (other) relay is 192.0.2.200.
    pub(crate) fn put_six_rd(&mut self, number: usize, is_relay: bool) {
        let domain = SixRd::new(&SixRdSetup {
            prefix: "3fff:db8::/40".parse().unwrap(),
            relay_prefix: "203.0.113.0/24".parse().unwrap(),
            border_relays: Box::new([Ipv4Addr::new(192, 0, 2, 200)]),
            is_relay,
            local: self.outer_source(number),
        });
        self.put_peers(number, PeerKind::SixRd(domain), "3fff:db8::/40");
    }

    /// Makes a tunnel an ISATAP link with the prefix `3fff:db8:5efe::/64` and the router 203.0.113.1; 203.0.113.7 is the next
    /// hop to `3fff:db8:700::/48`.
    pub(crate) fn put_isatap(&mut self, number: usize) {
        let prefix = "3fff:db8:5efe::/64";
        let link = Isatap::new([prefix.parse().unwrap()], &[Ipv4Addr::new(203, 0, 113, 1)]);
        self.put_peers(number, PeerKind::Isatap(link), prefix);
        self.route("3fff:db8:700::/40", NextHop::Tunnel(TunnelId(u32::try_from(number).unwrap())));
    }

    fn outer_source(&self, number: usize) -> Ipv4Addr {
        match self.tunnels[number].0.local {
            Some(IpAddr::V4(local)) => local,
            _ => unreachable!("outside IPv4"),
        }
    }

    /// Makes a tunnel one of many peers; `net` is theirs.
    pub(crate) fn put_peers(&mut self, number: usize, kind: PeerKind, net: &str) {
        self.own(&self.outer_source(number).to_string());
        self.route(net, NextHop::Tunnel(TunnelId(u32::try_from(number).unwrap())));
        let gateway = ("3fff:db8:700::/48".parse().unwrap(), "fe80::5efe:203.0.113.7".parse().ok());
        let gateways = matches!(kind, PeerKind::Isatap(_)).then_some(gateway);
        let setup = self.setup(number);
        setup.remote = None;
        setup.protocols = Protocols::IPV6;
        setup.peers = Some(Box::new(Peers::new(kind, gateways, None)));
    }

    /// Lets no other appliance have a part in what tunnels of frames learn here.
    pub(crate) fn forget_stations(&mut self) {
        for (setup, _) in &mut self.tunnels {
            let rules = setup.frames.as_mut();
            if let Some(remotes) = rules.and_then(|rules| rules.remotes.as_deref_mut()) {
                remotes.learn_anew();
            }
        }
    }

    /// Adds a group of next hops.
    pub(crate) fn group(&mut self, members: &[(NextHop, u16)]) -> NextHop {
        let group = adit_dataplane::tables::Group::new(members).unwrap();
        self.next_hops.add_group(group).unwrap()
    }

    /// The tables.
    pub(crate) fn build(&self, generation: u64) -> Arc<Tables> {
        let mut tables = Tables::empty(SEED);
        for udp in self.tunnels.iter().filter_map(|(setup, _)| setup.shim.udp.as_ref()) {
            tables.change(&Operation::UdpPort(udp.listens_at, Some(udp.service()))).unwrap();
        }
        for (number, (setup, link)) in self.tunnels.iter().enumerate() {
            let id = TunnelId(u32::try_from(number).unwrap());
            for operation in lookups(setup, *link, id) {
                tables.change(&operation).unwrap();
            }
        }
        for &(port, tunnel) in &self.attached {
            tables.change(&Operation::Attach(port, Some(tunnel))).unwrap();
        }
        for (of, sessions) in &self.mirrors {
            tables.change(&Operation::Mirror(*of, sessions.clone())).unwrap();
        }
        for (port, labels) in &self.port_labels {
            tables.change(&Operation::PortLabels(*port, Some(Arc::clone(labels)))).unwrap();
        }
        let mut local = LocalAddresses::new(self.own.iter().copied());
        for (to, next_hop) in self.rib4.iter() {
            local.note_route_ipv4(to, Some(next_hop.into()));
        }
        let tunnels = self.tunnels.iter().map(|(setup, _)| Tunnel::new(setup.clone()).unwrap());
        Arc::new(Tables {
            generation,
            flow: FlowKey::new(SEED),
            ports: self.ports.clone().into(),
            fib4: Fib4::build(&self.rib4).unwrap(),
            fib6: Fib6::build(&self.rib6).unwrap(),
            next_hops: self.next_hops.clone(),
            tunnels: tunnels.collect(),
            neighbors: self.neighbors.clone(),
            local,
            limits: self.limits,
            soft_state: Arc::new(SoftState::new(SLOTS as usize)),
            ..tables
        })
    }

    /// An appliance that runs the tables.
    pub(crate) fn start(&self) -> Appliance {
        Appliance::new(self.build(1))
    }
}

/// How the workers of the tests are set up.
pub(crate) fn settings() -> WorkerSettings {
    WorkerSettings {
        number: 0,
        workers: 1,
        burst: 32,
        latency_sample: 1,
        scale: CycleScale::from_measurement(2_000_000_000, 1_000_000_000),
        rates: rate_limit::Limits::DEFAULT,
        reassembly: reassembly::Limits { pieces: 256, pieces_per_peer: 64 },
        seed: SEED,
        measured_tunnels: 2,
        fast_path: true,
    }
}

/// One worker over memory, and what it shares with the control thread that the test plays.
pub(crate) struct Appliance<D: Device = MemoryDevice> {
    pub(crate) worker: Worker<D>,
    pub(crate) publication: Arc<Publication>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) now: Nanos,
    seen: BTreeMap<&'static str, u64>,
    generations: Vec<Arc<Tables>>,
}

/// How many tunnels have counters.
pub(crate) const SLOTS: u32 = 48;

impl Appliance {
    pub(crate) fn new(tables: Arc<Tables>) -> Self {
        Self::with(tables, settings())
    }

    pub(crate) fn with(tables: Arc<Tables>, settings: WorkerSettings) -> Self {
        let device =
            MemoryDevice::new(tables.ports.len().max(2), MemoryPool::new(BUFFERS, BUFFER_LEN));
        Self::over(device, tables, settings)
    }

    /// Lets a frame arrive and returns everything that leaves because of it.
    pub(crate) fn pass(&mut self, port: PortId, frame: &[u8]) -> Vec<SentFrame> {
        self.inject(port, frame);
        self.run()
    }

    pub(crate) fn inject(&mut self, port: PortId, frame: &[u8]) {
        assert!(self.worker.device_mut().inject(port, frame), "no buffer for a frame");
    }

    /// Works until nothing is left to do; returns what was sent.
    pub(crate) fn run(&mut self) -> Vec<SentFrame> {
        self.work();
        self.assert_balance();
        let sent = self.worker.device_mut().take_sent();
        self.assert_pool();
        sent
    }

    /// Every buffer is in the pool, but for the packets that wait in rings.
    pub(crate) fn assert_pool(&mut self) {
        let waiting = self.held();
        let pool = self.worker.device_mut().pool();
        assert_eq!(pool.free_count() + waiting, pool.total(), "buffers are missing");
    }
}

impl<D: Device> Appliance<D> {
    pub(crate) fn over(device: D, tables: Arc<Tables>, settings: WorkerSettings) -> Self {
        let shared = Arc::new(Shared::new(SLOTS as usize));
        let publication = Arc::new(Publication::new(Arc::clone(&tables)));
        let worker = Worker::new(device, Arc::clone(&publication), Arc::clone(&shared), settings);
        Self {
            worker,
            publication,
            shared,
            now: Nanos::from_secs(1),
            seen: BTreeMap::new(),
            generations: vec![tables],
        }
    }

    /// Puts tables in force; like the control thread, keeps the former ones alive.
    pub(crate) fn publish(&mut self, tables: Arc<Tables>) {
        self.generations.push(Arc::clone(&tables));
        self.publication.publish(tables);
    }

    /// Polls until a whole turn finds nothing.
    pub(crate) fn work(&mut self) {
        for _ in 0..10_000 {
            if self.worker.poll(self.now) == 0 {
                return;
            }
        }
        panic!("the worker never comes to rest");
    }

    /// Packets that the control thread holds or that wait for it, by the worker's own books.
    pub(crate) fn held(&self) -> usize {
        let balance = &self.shared.counters.balance;
        usize::try_from(balance.handed_over.get() - balance.handed_back.get()).unwrap()
    }

    /// What went in came out, and every drop has one reason.
    pub(crate) fn assert_balance(&self) {
        let balance = &self.shared.counters.balance;
        let entered = balance.received.get() + balance.created.get() + balance.handed_back.get();
        let left = balance.sent.get()
            + balance.dropped.get()
            + balance.consumed.get()
            + balance.handed_over.get();
        assert_eq!(entered, left, "{balance:?}");
        let drops: u64 = Counter::ALL
            .iter()
            .filter(|counter| counter.kind() == CounterKind::Drop)
            .map(|&counter| self.total(counter))
            .sum();
        assert_eq!(drops, balance.dropped.get(), "{:?}", self.totals());
    }

    /// A counter, over all tunnels if it is kept per tunnel.
    pub(crate) fn total(&self, counter: Counter) -> u64 {
        let counters = &self.shared.counters;
        let of_tunnels: u64 = (0..SLOTS)
            .filter_map(|slot| counters.tunnels.event(CounterSlot(slot), counter))
            .map(adit_dataplane::counters::Cell::get)
            .sum();
        counters.global(counter).get() + of_tunnels
    }

    fn totals(&self) -> BTreeMap<&'static str, u64> {
        let all = Counter::ALL.iter().map(|&counter| (counter.name(), self.total(counter)));
        all.filter(|&(_, count)| count > 0).collect()
    }

    /// The counters that have moved since the last call, and by how much.
    pub(crate) fn moved(&mut self) -> Vec<(&'static str, u64)> {
        let now = self.totals();
        let before = core::mem::replace(&mut self.seen, now.clone());
        now.into_iter()
            .map(|(name, count)| (name, count - before.get(name).copied().unwrap_or(0)))
            .filter(|&(_, count)| count > 0)
            .collect()
    }

    /// What workers have learnt about paths.
    pub(crate) fn soft_state(&self) -> Arc<SoftState> {
        Arc::clone(&self.publication.load().soft_state)
    }

    /// What waits for the control thread.
    pub(crate) fn take_punts(&mut self) -> Vec<Punt> {
        core::iter::from_fn(|| self.shared.punts.pop()).collect()
    }
}

/// An address as tests write it.
pub(crate) fn v6(address: &str) -> Ipv6Addr {
    address.parse().unwrap()
}
