//! Clocks per packet of the whole packet path, worker included, over a device that costs next to
//! nothing: 64-byte frames (before encapsulation) in bursts of 32, plain forward, and encap and
//! decap of all four pairs of families, each with 1 and with 1000 tunnels. The device's own cost
//! is measured alone and shown beside.
//!
//! `cargo bench -p benches --no-default-features --bench packet_path`; `-- decap` for the cases
//! with that word in their name.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use adit_dataplane::clock::{CycleScale, Nanos, cycles};
use adit_dataplane::counters::CounterSlot;
use adit_dataplane::device::Device;
use adit_dataplane::fib::{Fib, Fib4, Fib6, Rib4, Rib6};
use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::node::rate_limit;
use adit_dataplane::packet::{Burst, HEADROOM, MemoryPool, Packet};
use adit_dataplane::tables::local::LocalAddresses;
use adit_dataplane::tables::neighbor::NeighborTable;
use adit_dataplane::tables::{NextHop, Port, Tables};
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::lookup::{Pair, Protocols, TunnelLookup};
use adit_dataplane::tunnel::policy::{AddressSet, SourceFilter};
use adit_dataplane::tunnel::{DontFragment, Kind, Tunnel, TunnelSetup};
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::ipv4::Ipv4Fields;
use adit_dataplane::wire::ipv6::Ipv6Fields;
use adit_dataplane::worker::exchange::{Publication, Shared};
use adit_dataplane::worker::{Worker, WorkerSettings};
use benches::numbers::Numbers;
use ipnet::{Ipv4Net, Ipv6Net};

const BURST: u16 = 32;
/// Bytes of a frame before encapsulation, without FCS counted as the field does: 60 on the wire.
const FRAME_LEN: usize = 60;
const FRAME_MAX: usize = 128;
const SAMPLES: usize = 15;
const POLLS_PER_SAMPLE: u64 = 10_000;
const SEED: u64 = 42;

const UNDERLAY: PortId = PortId(0);
const LAN: PortId = PortId(1);
const MACS: [MacAddress; 4] = [
    MacAddress([2, 0, 0, 0, 0, 1]),
    MacAddress([2, 0, 0, 0, 0, 2]),
    MacAddress([2, 0, 0, 0, 0, 0xfe]),
    MacAddress([2, 0, 0, 0, 0, 5]),
];
const ROUTER: usize = 2;
const HOST: usize = 3;

const LOCAL4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HOST4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);
const LOCAL6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1);
const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 5);

/// An address behind tunnel `number`, and its net.
fn behind4(number: u32) -> (Ipv4Addr, Ipv4Net) {
    let address = Ipv4Addr::from(0x0b00_0008 + (number << 8));
    (address, Ipv4Net::new_assert(address, 24).trunc())
}

fn behind6(number: u32) -> (Ipv6Addr, Ipv6Net) {
    let net = 0x2001_0db8_0002 << 80 | u128::from(number) << 64;
    let address = Ipv6Addr::from(net | 8);
    (address, Ipv6Net::new_assert(address, 64).trunc())
}

fn remote4(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0xcb00_0000 + number * 7)
}

fn remote6(number: u32) -> Ipv6Addr {
    Ipv6Addr::from((0x2001_0db8_0200 << 80) + u128::from(number) * 7 + 2)
}

/// A port whose frames never end: what is sent comes in again, written anew.
struct Treadmill {
    arrives_on: PortId,
    frames: Vec<([u8; FRAME_MAX], usize)>,
    next: usize,
    idle: Vec<Packet>,
    spare: MemoryPool,
    sent: u64,
}

impl Treadmill {
    fn new(arrives_on: PortId, frames: Vec<([u8; FRAME_MAX], usize)>) -> Self {
        let mut spare = MemoryPool::new(1024, 2048);
        let idle = core::iter::from_fn(|| spare.allocate()).take(512).collect();
        Self { arrives_on, frames, next: 0, idle, spare, sent: 0 }
    }
}

impl Device for Treadmill {
    fn port_count(&self) -> usize {
        2
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        if port != self.arrives_on {
            return 0;
        }
        for count in 0..limit {
            let Some(mut packet) = self.idle.pop() else { return count };
            let (frame, len) = &self.frames[self.next];
            self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
            packet.rebuild(HEADROOM, |room| {
                if let Some(start) = room.first_chunk_mut::<FRAME_MAX>() {
                    *start = *frame;
                }
                *len
            });
            packet.meta.ingress = Interface::port(port);
            if burst.push(packet).is_err() {
                return count;
            }
        }
        limit
    }

    fn send(&mut self, _: PortId, burst: &mut Burst) -> usize {
        let count = burst.len();
        self.sent += count as u64;
        self.idle.extend(burst.drain());
        count
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.spare.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        self.idle.extend(burst.drain());
    }
}

/// The four pairs of families, outer first as one says them: inner in outer.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Families {
    inner_is_ipv4: bool,
    outer_is_ipv4: bool,
}

const PAIRS: [(&str, Families); 4] = [
    ("v4 in v4", Families { inner_is_ipv4: true, outer_is_ipv4: true }),
    ("v6 in v4", Families { inner_is_ipv4: false, outer_is_ipv4: true }),
    ("v4 in v6", Families { inner_is_ipv4: true, outer_is_ipv4: false }),
    ("v6 in v6", Families { inner_is_ipv4: false, outer_is_ipv4: false }),
];

/// An IP packet of `len` bytes with nothing but zeros inside; `protocol` 17 looks like UDP.
fn packet4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let fields = Ipv4Fields {
        tos: 0,
        payload_len: u16::try_from(payload.len()).unwrap_or(0),
        identification: 0,
        fragment: 0x4000,
        ttl: 64,
        protocol,
        source,
        destination,
    };
    [&fields.header()[..], payload].concat()
}

fn packet6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let fields = Ipv6Fields {
        traffic_class: 0,
        flow_label: 0,
        payload_len: u16::try_from(payload.len()).unwrap_or(0),
        next_header,
        hop_limit: 64,
        source,
        destination,
    };
    [&fields.header()[..], payload].concat()
}

fn inner(is_ipv4: bool, inward: bool, number: u32) -> Vec<u8> {
    let payload_len = FRAME_LEN.max(62) - 14 - if is_ipv4 { 20 } else { 40 };
    let payload = vec![0; payload_len];
    if is_ipv4 {
        let far = behind4(number).0;
        let (from, to) = if inward { (HOST4, far) } else { (far, HOST4) };
        packet4(from, to, 17, &payload)
    } else {
        let far = behind6(number).0;
        let (from, to) = if inward { (HOST6, far) } else { (far, HOST6) };
        packet6(from, to, 17, &payload)
    }
}

fn outer(families: Families, number: u32) -> Vec<u8> {
    let inside = inner(families.inner_is_ipv4, false, number);
    let protocol = if families.inner_is_ipv4 { 4 } else { 41 };
    if families.outer_is_ipv4 {
        packet4(remote4(number), LOCAL4, protocol, &inside)
    } else {
        packet6(remote6(number), LOCAL6, protocol, &inside)
    }
}

fn frame(port: PortId, packet: &[u8]) -> ([u8; FRAME_MAX], usize) {
    let kind: [u8; 2] = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    let from = if port == LAN { MACS[HOST] } else { MACS[ROUTER] };
    let bytes = [&MACS[port.index()].0[..], &from.0, &kind, packet].concat();
    let mut frame = [0; FRAME_MAX];
    frame[..bytes.len()].copy_from_slice(&bytes);
    (frame, bytes.len())
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
        kind: if is_ipv4 { Kind::IpInIpv4 } else { Kind::IpInIpv6 },
        local: Some(local),
        remote: Some(remote),
        protocols: Protocols::IPV4.with(Protocols::IPV6),
        up: true,
        ttl: Some(64),
        min_outer_ttl: 0,
        dscp: None,
        copies_dscp: false,
        ecn: EcnEncap::Normal,
        dont_fragment: DontFragment::Pmtudisc,
        fragments_outer: false,
        static_mtu: false,
        encap_limit: None,
        flow_label: None,
        mtu: if is_ipv4 { 1480 } else { 1460 },
        underlay,
        underlay_mtu: 1500,
        source_ipv4: None,
        source_ipv6: None,
        hairpin: false,
        multicast: false,
        outer_rpf: false,
        inner_source: SourceFilter::Listed { sources, routed_is_listed: true },
        inner_destination: None,
        slot: CounterSlot(number),
        latency: None,
    }
}

/// Routes and what they lead to.
#[derive(Default)]
struct Routes {
    rib4: Rib4,
    rib6: Rib6,
}

impl Routes {
    fn add4(&mut self, net: Ipv4Net, next_hop: NextHop) {
        let id = next_hop.id().expect("a number, because there are few");
        self.rib4.insert(net, id);
    }

    fn add6(&mut self, net: Ipv6Net, next_hop: NextHop) {
        let id = next_hop.id().expect("a number, because there are few");
        self.rib6.insert(net, id);
    }
}

fn tables(families: Families, tunnel_count: u32) -> Tables {
    let mut neighbors = NeighborTable::new(SEED);
    let mut host = |port: PortId, address: IpAddr, mac: usize| {
        let id = neighbors.insert(port, address);
        neighbors.resolve(id, Some(MACS[mac]), MACS[port.index()]);
        NextHop::Via(id)
    };
    let gateway = host(UNDERLAY, Ipv4Addr::new(198, 51, 100, 254).into(), ROUTER);
    host(LAN, HOST4.into(), HOST);
    host(LAN, HOST6.into(), HOST);
    let mut routes = Routes::default();
    routes.add4(Ipv4Net::new_assert(HOST4, 24).trunc(), NextHop::Connected(LAN));
    routes.add6(Ipv6Net::new_assert(HOST6, 64).trunc(), NextHop::Connected(LAN));
    routes.add4(Ipv4Net::new_assert(LOCAL4, 32), NextHop::Local);
    routes.add6(Ipv6Net::new_assert(LOCAL6, 128), NextHop::Local);
    if tunnel_count == 0 {
        routes.add4(Ipv4Net::new_assert(behind4(0).0, 8).trunc(), gateway);
        routes.add6(Ipv6Net::new_assert(behind6(0).0, 48).trunc(), gateway);
    }
    let mut by_ipv4 = TunnelLookup::new(SEED);
    let mut by_ipv6 = TunnelLookup::new(SEED);
    let mut tunnels = Vec::new();
    for number in 0..tunnel_count {
        let id = TunnelId(number);
        let tunnel = Tunnel::new(tunnel(families, number, gateway)).expect("one family outside");
        let any = Protocols::IPV4.with(Protocols::IPV6);
        let inserted = if families.outer_is_ipv4 {
            let pair = Pair { local: tunnel.local_ipv4, remote: tunnel.remote_ipv4 };
            by_ipv4.insert(pair, any, None, id)
        } else {
            let pair = Pair { local: tunnel.local_ipv6, remote: tunnel.remote_ipv6 };
            by_ipv6.insert(pair, any, None, id)
        };
        inserted.expect("remotes that differ");
        tunnels.push(tunnel);
        routes.add4(behind4(number).1, NextHop::Tunnel(id));
        routes.add6(behind6(number).1, NextHop::Tunnel(id));
    }
    let own = [LOCAL4.into(), LOCAL6.into()];
    let port =
        |number: usize| Port { mac: MACS[number], mtu: 1500, source_ipv4: None, source_ipv6: None };
    Tables {
        ports: [port(0), port(1)].into(),
        fib4: Arc::new(Fib4::build(&routes.rib4).expect("routes that fit")),
        fib6: Arc::new(Fib6::build(&routes.rib6).expect("routes that fit")),
        tunnels: tunnels.into(),
        tunnels_by_ipv4: Arc::new(by_ipv4),
        tunnels_by_ipv6: Arc::new(by_ipv6),
        neighbors: Arc::new(neighbors),
        local: Arc::new(LocalAddresses::new(own.into_iter())),
        ..Tables::empty(SEED)
    }
}

fn worker(device: Treadmill, tables: Tables, tunnel_count: u32) -> Worker<Treadmill> {
    let settings = WorkerSettings {
        number: 0,
        workers: 1,
        burst: BURST,
        latency_sample: 1,
        scale: CycleScale::from_measurement(2_300_000_000, 1_000_000_000),
        rates: rate_limit::Limits::DEFAULT,
        seed: SEED,
        measured_tunnels: 0,
    };
    let shared = Arc::new(Shared::new(tunnel_count.max(1) as usize));
    Worker::new(device, Arc::new(Publication::new(Arc::new(tables))), shared, settings)
}

/// What a case cost: the median and the range of its samples, in clocks per packet.
struct Cost {
    median: f64,
    least: f64,
    most: f64,
}

#[expect(clippy::cast_precision_loss, reason = "clocks of a second are exact in 53 bits")]
fn per_packet(clocks: u64, packets: u64) -> f64 {
    clocks as f64 / packets as f64
}

/// Times `round`, which takes one burst through, for all samples.
fn measure(mut round: impl FnMut()) -> Cost {
    let mut samples = Vec::new();
    for sample in 0..=SAMPLES {
        let start = cycles();
        for _ in 0..POLLS_PER_SAMPLE {
            round();
        }
        let packets = POLLS_PER_SAMPLE * u64::from(BURST);
        // The first one warms the caches.
        if sample > 0 {
            samples.push(per_packet(cycles() - start, packets));
        }
    }
    samples.sort_by(f64::total_cmp);
    Cost { median: samples[SAMPLES / 2], least: samples[0], most: samples[SAMPLES - 1] }
}

fn device_alone(frames: Vec<([u8; FRAME_MAX], usize)>, arrives_on: PortId) -> Cost {
    let mut device = Treadmill::new(arrives_on, frames);
    let mut burst = Burst::new();
    measure(|| {
        device.receive(arrives_on, &mut burst, usize::from(BURST));
        device.send(arrives_on, &mut burst);
    })
}

/// Every frame in an order that is not that of the tunnels.
fn shuffled(
    count: u32,
    make: impl Fn(u32) -> Vec<u8>,
    port: PortId,
) -> Vec<([u8; FRAME_MAX], usize)> {
    let mut order: Vec<u32> = (0..count).collect();
    let mut numbers = Numbers::new(SEED);
    for at in (1..order.len()).rev() {
        let other = usize::try_from(numbers.below(at as u64 + 1)).unwrap_or(0);
        order.swap(at, other);
    }
    order.into_iter().map(|number| frame(port, &make(number))).collect()
}

fn run_case(name: &str, tunnel_count: u32, families: Families, encap: bool) {
    if !std::env::args().skip(1).filter(|word| !word.starts_with('-')).all(|w| name.contains(&w)) {
        return;
    }
    let port = if encap { LAN } else { UNDERLAY };
    let make = |number| {
        if encap { inner(families.inner_is_ipv4, true, number) } else { outer(families, number) }
    };
    let frames = shuffled(tunnel_count.max(1), make, port);
    let device = device_alone(frames.clone(), port);
    let tables = tables(families, tunnel_count);
    let mut worker = worker(Treadmill::new(port, frames), tables, tunnel_count);
    let cost = measure(|| {
        worker.poll(Nanos(1));
    });
    let sent = worker.device_mut().sent;
    let polls = worker.shared().counters.work.polls.get();
    assert_eq!(sent, polls * u64::from(BURST), "{name}: packets were lost");
    println!(
        "{name:<18} {tunnel_count:>7} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
        cost.median, cost.least, cost.most, device.median,
    );
}

fn main() {
    println!(
        "Clocks per packet: median, least and most of {SAMPLES} samples; and the device alone"
    );
    println!(
        "{:<18} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "", "tunnels", "median", "least", "most", "device"
    );
    for (name, is_ipv4) in [("forward v4", true), ("forward v6", false)] {
        let families = Families { inner_is_ipv4: is_ipv4, outer_is_ipv4: true };
        run_case(name, 0, families, true);
    }
    for encap in [true, false] {
        for (pair, families) in PAIRS {
            for tunnel_count in [1, 1000] {
                let verb = if encap { "encap" } else { "decap" };
                run_case(&format!("{verb} {pair}"), tunnel_count, families, encap);
            }
        }
    }
}
