//! Tables change between bursts, packets wait for neighbors and come back, and latency is told of
//! the way that a packet took.

use core::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::counters::CounterSlot;
use adit_dataplane::device::{Device, MemoryDevice};
use adit_dataplane::interface::{Interface, PortId};
use adit_dataplane::latency::Histograms;
use adit_dataplane::packet::{Burst, MemoryPool, Packet, Path};
use adit_dataplane::worker::exchange::{Frame, Handback, Punt};

use super::appliance::{Appliance, BUFFERS, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC, settings};
use super::frames::{Ip, frame, frame_of, ip, one_hop_on};

const LOCAL: &str = "198.51.100.1";
const REMOTE: &str = "203.0.113.2";

fn inward() -> Vec<u8> {
    ip("10.1.0.5", "10.2.0.8").udp(84)
}

fn from_host(packet: &[u8]) -> Vec<u8> {
    frame(L_MAC, H_MAC, packet)
}

fn from_router(packet: &[u8]) -> Vec<u8> {
    frame(U_MAC, G_MAC, packet)
}

/// The frame by which a packet leaves through a tunnel to `remote`.
fn encapsulated(packet: &[u8], remote: &str) -> Vec<u8> {
    let outer = Ip { identification: 0, ..ip(LOCAL, remote) };
    frame(G_MAC, U_MAC, &outer.around(&one_hop_on(packet)))
}

/// The one packet that waits for its next hop.
fn take_waiting(appliance: &mut Appliance) -> (IpAddr, Packet) {
    let mut punts = appliance.take_punts();
    match (punts.pop(), punts.len()) {
        (Some(Punt::Unresolved { port: U, address, packet }), 0) => (address, packet),
        _ => panic!("not one packet for U"),
    }
}

fn hand_back(appliance: &Appliance, handback: Handback) {
    assert!(appliance.shared.handbacks.push(handback).is_ok());
}

#[test]
fn a_remote_that_moves_is_obeyed_from_the_next_burst_on() {
    // C-047.
    let mut appliance = Blueprint::with_t0(LOCAL, REMOTE).start();
    let arriving =
        |remote| from_router(&ip(remote, LOCAL).around(&ip("10.2.0.8", "10.1.0.5").udp(84)));
    let moved = Blueprint::with_t0(LOCAL, "203.0.113.9").build(2);
    assert_eq!(appliance.pass(L, &from_host(&inward()))[0].bytes, encapsulated(&inward(), REMOTE));
    assert_eq!(appliance.pass(U, &arriving(REMOTE)).len(), 1);
    appliance.inject(L, &from_host(&inward()));
    appliance.inject(U, &arriving(REMOTE));
    appliance.inject(U, &arriving("203.0.113.9"));
    appliance.publish(moved);
    let sent = appliance.run();
    let to_new = encapsulated(&inward(), "203.0.113.9");
    let on_u: Vec<_> = sent.iter().filter(|f| f.port == U).map(|f| &f.bytes).collect();
    assert_eq!(on_u, [&to_new]);
    assert_eq!(sent.iter().filter(|f| f.port == L).count(), 1);
    assert_eq!(appliance.moved(), [("tun.no_match", 1)]);
    let generation = &appliance.shared.counters.work.generation;
    assert_eq!(generation.load(core::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_packet_that_waited_leaves_as_it_would_have() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.neighbor(U, "198.51.100.254", None);
    let mut appliance = plan.start();
    assert!(appliance.pass(L, &from_host(&inward())).is_empty());
    let (address, packet) = take_waiting(&mut appliance);
    assert_eq!(address, "198.51.100.254".parse::<IpAddr>().unwrap());
    plan.neighbor(U, "198.51.100.254", Some(G_MAC));
    appliance.publish(plan.build(2));
    hand_back(&appliance, Handback::Send { since: 1, port: U, address, packet });
    let sent = appliance.run();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].bytes, encapsulated(&inward(), REMOTE));
    assert_eq!((appliance.held(), appliance.moved()), (0, vec![]));
}

#[test]
fn a_packet_that_comes_back_before_its_tables_leaves_with_them_and_before_later_ones() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.neighbor(U, "198.51.100.254", None);
    let mut appliance = plan.start();
    assert!(appliance.pass(L, &from_host(&inward())).is_empty());
    let (address, packet) = take_waiting(&mut appliance);
    hand_back(&appliance, Handback::Send { since: 2, port: U, address, packet });
    appliance.work();
    assert_eq!((appliance.held(), appliance.moved()), (1, vec![]));
    plan.neighbor(U, "198.51.100.254", Some(G_MAC));
    let later = ip("10.1.0.5", "10.2.0.8").udp(85);
    appliance.inject(L, &from_host(&later));
    appliance.publish(plan.build(2));
    let sent: Vec<_> = appliance.run().into_iter().map(|frame| frame.bytes).collect();
    assert_eq!(sent, [encapsulated(&inward(), REMOTE), encapsulated(&later, REMOTE)]);
    assert_eq!((appliance.held(), appliance.moved()), (0, vec![]));
}

/// A device that does something else while the worker asks it for a buffer.
struct Meddler {
    inner: MemoryDevice,
    meddle: Option<Box<dyn FnOnce()>>,
}

impl Device for Meddler {
    fn port_count(&self) -> usize {
        self.inner.port_count()
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        self.inner.receive(port, burst, limit)
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        self.inner.send(port, burst)
    }

    fn allocate(&mut self) -> Option<Packet> {
        if let Some(meddle) = self.meddle.take() {
            meddle();
        }
        self.inner.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        self.inner.release(burst);
    }
}

#[test]
fn what_is_handed_back_after_a_publication_finds_it_even_in_the_middle_of_a_round() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.neighbor(U, "198.51.100.254", None);
    let inner = MemoryDevice::new(2, MemoryPool::new(BUFFERS, 2048));
    let device = Meddler { inner, meddle: None };
    let mut appliance = Appliance::over(device, plan.build(1), settings());
    assert!(appliance.worker.device_mut().inner.inject(L, &from_host(&inward())));
    appliance.work();
    let Some(Punt::Unresolved { address, packet, .. }) = appliance.take_punts().pop() else {
        panic!("nothing waits");
    };
    // The worker has looked for new tables, and is about to send a frame of the control thread.
    plan.neighbor(U, "198.51.100.254", Some(G_MAC));
    let (publication, shared) = (Arc::clone(&appliance.publication), Arc::clone(&appliance.shared));
    let tables = plan.build(2);
    appliance.worker.device_mut().meddle = Some(Box::new(move || {
        publication.publish(tables);
        let send = Handback::Send { since: 2, port: U, address, packet };
        assert!(shared.handbacks.push(send).is_ok());
    }));
    let note = Frame::new(&frame_of(0x0806, G_MAC, U_MAC, &[3; 46])).unwrap();
    assert!(appliance.shared.handbacks.push(Handback::Frame { port: U, frame: note }).is_ok());
    appliance.work();
    let sent = appliance.worker.device_mut().inner.take_sent();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].bytes, encapsulated(&inward(), REMOTE));
    assert_eq!((appliance.held(), appliance.moved()), (0, vec![]));
}

#[test]
fn packets_that_wait_outlive_their_tunnel() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.neighbor(U, "198.51.100.254", None);
    let mut appliance = plan.start();
    appliance.inject(L, &from_host(&inward()));
    appliance.inject(L, &from_host(&inward()));
    assert!(appliance.run().is_empty());
    let mut waiting = appliance.take_punts().into_iter().map(|punt| match punt {
        Punt::Unresolved { address, packet, .. } => (address, packet),
        Punt::Frame { .. } => panic!("a frame waits"),
    });
    // No tunnels, no routes into them, and the router answers at last.
    appliance.publish(Blueprint::bench().build(2));
    let (address, packet) = waiting.next().unwrap();
    hand_back(&appliance, Handback::Send { since: 1, port: U, address, packet });
    let (_, packet) = waiting.next().unwrap();
    hand_back(&appliance, Handback::Unreachable { packet });
    assert!(waiting.next().is_none());
    let sent = appliance.run();
    assert_eq!(sent[0].bytes, encapsulated(&inward(), REMOTE));
    // The host is told about its own packet, not about what the tunnel made of it.
    assert_eq!((sent.len(), sent[1].port), (2, L));
    assert_eq!(sent[1].bytes[34..36], [3, 1]);
    assert_eq!(sent[1].bytes[42..42 + 84], one_hop_on(&inward()));
    assert_eq!(appliance.moved(), [("icmp.tx", 1), ("nbr.failed", 1)]);
}

#[test]
fn a_host_on_the_link_is_asked_for_by_its_own_address() {
    let plan = Blueprint::with_t0(LOCAL, REMOTE);
    let mut appliance = plan.start();
    let inner = ip("10.2.0.8", "10.1.0.66").udp(84);
    let arriving = from_router(&ip(REMOTE, LOCAL).around(&inner));
    assert!(appliance.pass(U, &arriving).is_empty());
    let mut punts = appliance.take_punts();
    let Some(Punt::Unresolved { port, address, packet }) = punts.pop() else {
        panic!("nothing waits");
    };
    assert_eq!((port, address), (L, "10.1.0.66".parse::<IpAddr>().unwrap()));
    assert_eq!(packet.data(), one_hop_on(&inner));
    // The number of a tunnel means nothing in the next tables.
    assert_eq!(packet.meta.ingress, Interface::NONE);
    let mut known = plan;
    known.neighbor(L, "10.1.0.66", Some(H_MAC));
    appliance.publish(known.build(2));
    hand_back(&appliance, Handback::Send { since: 2, port, address, packet });
    let sent = appliance.run();
    assert_eq!(sent[0].bytes, frame(H_MAC, L_MAC, &one_hop_on(&inner)));
}

#[test]
fn a_frame_of_the_control_thread_leaves_as_it_is() {
    let mut appliance = Blueprint::bench().start();
    let bytes = frame_of(0x0806, G_MAC, U_MAC, &[3; 46]);
    hand_back(&appliance, Handback::Frame { port: U, frame: Frame::new(&bytes).unwrap() });
    let sent = appliance.run();
    assert_eq!((sent.len(), &sent[0].bytes), (1, &bytes));
}

#[test]
fn frames_of_a_port_that_the_tables_do_not_know_are_counted() {
    let mut plan = Blueprint::bench();
    plan.ports.truncate(1);
    let mut appliance = Appliance::new(plan.build(1));
    assert!(appliance.pass(L, &from_host(&inward())).is_empty());
    assert_eq!(appliance.moved(), [("l2.not_for_us", 1)]);
}

#[test]
fn an_ended_worker_gives_back_what_waits_in_its_ring() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.neighbor(U, "198.51.100.254", None);
    let mut appliance = plan.start();
    for _ in 0..2 {
        assert!(appliance.pass(L, &from_host(&inward())).is_empty());
        let (address, packet) = take_waiting(&mut appliance);
        // For tables that nobody publishes any more.
        hand_back(&appliance, Handback::Send { since: 2, port: U, address, packet });
    }
    let Appliance { worker, now, .. } = appliance;
    let device = worker.into_device(now);
    assert_eq!(device.pool().free_count(), device.pool().total());
}

/// Packets in the histograms of the three paths and of two tunnels.
fn measured(appliance: &mut Appliance) -> ([u64; 3], [u64; 2]) {
    assert!(appliance.shared.latency.ask(Box::new(Histograms::new(2))));
    appliance.work();
    let full = appliance.shared.latency.take().expect("a full set");
    let tunnel = |number| full.tunnel(number).map_or(0, hdrhistogram::Histogram::len);
    (Path::ALL.map(|path| full.path(path).len()), [tunnel(0), tunnel(1)])
}

#[test]
fn latency_is_told_of_the_path_and_of_the_tunnel_that_packets_took() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.setup(0).latency = Some(1);
    let mut appliance = plan.start();
    for _ in 0..5 {
        appliance.inject(L, &from_host(&inward()));
    }
    for _ in 0..3 {
        let inner = ip("10.2.0.8", "10.1.0.5").udp(84);
        appliance.inject(U, &from_router(&ip(REMOTE, LOCAL).around(&inner)));
    }
    for _ in 0..2 {
        appliance.inject(L, &from_host(&ip("10.1.0.5", "203.0.113.66").udp(84)));
    }
    assert_eq!(appliance.run().len(), 10);
    assert_eq!(measured(&mut appliance), ([2, 5, 3], [0, 8]));
    let traffic = appliance.shared.counters.tunnels.traffic(CounterSlot(0)).unwrap();
    let counts = [&traffic.rx_packets, &traffic.rx_bytes, &traffic.tx_packets, &traffic.tx_bytes];
    assert_eq!(counts.map(adit_dataplane::counters::Cell::get), [3, 3 * 84, 5, 5 * 84]);
}

#[test]
fn what_did_not_come_with_a_burst_has_no_latency() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.neighbor(U, "198.51.100.254", None);
    let mut appliance = plan.start();
    assert!(appliance.pass(L, &from_host(&inward())).is_empty());
    let (address, packet) = take_waiting(&mut appliance);
    plan.neighbor(U, "198.51.100.254", Some(G_MAC));
    appliance.publish(plan.build(2));
    // How long it waited is the neighbor's doing, and the time since it came back is none.
    hand_back(&appliance, Handback::Send { since: 1, port: U, address, packet });
    let note = Frame::new(&frame_of(0x0806, G_MAC, U_MAC, &[3; 46])).unwrap();
    hand_back(&appliance, Handback::Frame { port: U, frame: note });
    assert_eq!(appliance.run().len(), 2);
    assert_eq!(measured(&mut appliance), ([0, 0, 0], [0, 0]));
}
