//! The state machine on virtual time. Frames that arrive are spelled out byte by byte here, frames
//! that leave are read by hand, so that nothing of `wire` judges itself.

mod answers;
mod any_order;
mod bounds;
mod configuration;
mod duplicates;
mod frames;
mod lifetime;
mod listeners;
mod resolution;

use std::net::{IpAddr, Ipv6Addr};

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::MemoryPool;
use adit_dataplane::wire::ethernet::MacAddress;

use super::{Action, Filter, NeighborLimits, Neighbors, Parked, PortSetup, Refusal};

/// The port most tests use: 198.51.100.1/24 and `2001:db8:1::1/64`.
const WAN: PortId = PortId(0);
const LAN: PortId = PortId(1);

const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const THEIRS: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xfe]);
const OTHERS: MacAddress = MacAddress([2, 0, 0, 0, 0, 0x77]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wan() -> PortSetup {
    PortSetup {
        id: WAN,
        mac: OURS,
        addresses: vec!["198.51.100.1/24".parse().unwrap(), "2001:db8:1::1/64".parse().unwrap()],
        link_local: "fe80::ff:fe00:1".parse::<Ipv6Addr>().unwrap(),
        proves_addresses: false,
        static_neighbors: Vec::new(),
    }
}

fn lan() -> PortSetup {
    PortSetup {
        id: LAN,
        mac: MacAddress([2, 0, 0, 0, 0, 2]),
        addresses: vec!["10.1.0.1/24".parse().unwrap()],
        link_local: "fe80::ff:fe00:2".parse::<Ipv6Addr>().unwrap(),
        proves_addresses: false,
        static_neighbors: Vec::new(),
    }
}

/// The machine, a clock, buffers, and a record of what came out.
struct Lab {
    neighbors: Neighbors,
    pool: MemoryPool,
    now: Nanos,
    actions: Vec<Action>,
    record: Vec<String>,
}

impl Lab {
    /// WAN and LAN without next hops, nothing said yet.
    fn new() -> Self {
        Self::with(NeighborLimits::default(), vec![wan(), lan()], &[])
    }

    fn with(limits: NeighborLimits, ports: Vec<PortSetup>, next_hops: &[(PortId, &str)]) -> Self {
        let mut lab = Self {
            neighbors: Neighbors::new(limits),
            pool: MemoryPool::new(4096, 192),
            now: Nanos(0),
            actions: Vec::new(),
            record: Vec::new(),
        };
        lab.configure(ports, next_hops);
        lab
    }

    fn configure(&mut self, ports: Vec<PortSetup>, next_hops: &[(PortId, &str)]) {
        let next_hops = next_hops.iter().map(|&(port, address)| (port, ip(address))).collect();
        self.neighbors.configure(self.now, ports, next_hops, &mut self.actions);
        self.take();
    }

    fn packet(&mut self, tag: u8) -> Parked {
        let packet = self.pool.allocate_with(&[tag]).unwrap();
        Parked { packet, worker: usize::from(tag) }
    }

    /// A packet with a number needs a neighbor.
    fn need(&mut self, address: &str, tag: u8) {
        self.need_on(WAN, ip(address), tag);
    }

    fn need_on(&mut self, port: PortId, address: IpAddr, tag: u8) {
        let packet = self.packet(tag);
        self.neighbors.unresolved(self.now, port, address, packet, &mut self.actions);
        self.take();
    }

    fn hear(&mut self, frame: &[u8]) {
        self.hear_on(WAN, frame).unwrap();
    }

    fn hear_on(&mut self, port: PortId, frame: &[u8]) -> Result<(), Refusal> {
        let heard = self.neighbors.frame(self.now, port, frame, &mut self.actions);
        self.take();
        heard
    }

    fn link_up(&mut self) {
        self.neighbors.link_up(self.now, WAN, &mut self.actions);
        self.take();
    }

    fn clear(&mut self, filter: Filter) -> usize {
        let count = self.neighbors.clear(self.now, filter, &mut self.actions);
        self.take();
        count
    }

    /// Lets time pass, ticking exactly when the machine asks for it.
    fn run_to(&mut self, milliseconds: u64) {
        let end = Nanos::from_millis(milliseconds);
        while let Some(at) = self.neighbors.next_deadline().filter(|&at| at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.neighbors.tick(self.now, &mut self.actions);
            self.take();
            let next = self.neighbors.next_deadline();
            assert!(next.is_none_or(|next| next > at), "a tick left something due");
        }
        self.now = end;
    }

    /// What came out since the last call, each line with its time in milliseconds.
    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.record)
    }

    fn state(&self, address: &str) -> String {
        let wanted = ip(address);
        let found = self.neighbors.entries().find(|entry| entry.address == wanted);
        found.map_or_else(|| "unknown".to_owned(), |entry| entry.state.to_string())
    }

    fn mac(&self, address: &str) -> Option<MacAddress> {
        self.neighbors.mac(WAN, ip(address))
    }

    fn take(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            let line = self.line(action);
            self.record.push(format!("{} {line}", self.now.0 / 1_000_000));
        }
    }

    fn line(&mut self, action: Action) -> String {
        match action {
            Action::Transmit { port: WAN, frame } => frames::describe(&frame),
            Action::Transmit { port, frame } => {
                format!("port {}: {}", port.0, frames::describe(&frame))
            }
            Action::Changed { address, mac: Some(mac), .. } => format!("{address} at {mac}"),
            Action::Changed { address, mac: None, .. } => format!("{address} nowhere"),
            Action::Address { address, state, .. } => format!("{address} {}", state.name()),
            Action::Send { address, mac, packet, .. } => {
                assert_eq!(self.neighbors.mac(WAN, address), Some(mac));
                format!("send {} to {address}", self.tag(packet))
            }
            Action::Unreachable { packet, .. } => format!("unreachable {}", self.tag(packet)),
            Action::Drop { packet, .. } => format!("drop {}", self.tag(packet)),
            Action::Notice(notice) => format!("notice: {notice}"),
        }
    }

    fn tag(&mut self, parked: Parked) -> u8 {
        let tag = parked.packet.data()[0];
        assert_eq!(parked.worker, usize::from(tag), "it goes back to where it came from");
        self.pool.release(parked.packet);
        tag
    }

    /// Every packet that is not waiting has come out.
    fn assert_conserved(&self) {
        assert_eq!(self.pool.total() - self.pool.free_count(), self.neighbors.held());
        let held: usize = self.neighbors.entries().map(|entry| entry.held).sum();
        assert_eq!(held, self.neighbors.held());
    }
}
