//! Packets that wait for a neighbor: which worker gets them back, and when.

use std::sync::Arc;

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::MemoryPool;
use adit_dataplane::tables::Tables;
use adit_dataplane::worker::exchange::{Frame, Handback, Punt, RING_ENTRIES};

use super::{BACKLOG_FRAMES_MAX, Controller, ControllerSettings, PortFacts, SENDER};
use crate::config::{Purpose, load_str};

const WAN: PortId = PortId(0);
const PORTS: &str = "ports: { wan: { addresses: [198.51.100.1/24] } }";

/// A controller with two workers, whose rings the test serves.
struct Bench {
    controller: Controller,
    pool: MemoryPool,
}

impl Bench {
    fn new() -> Self {
        let config = load_str("text", PORTS, Purpose::Replay).unwrap().config;
        let facts = config.ports.iter().map(|port| PortFacts { mac: port.mac, mtu: port.mtu });
        let facts = facts.collect();
        let settings = ControllerSettings { seed: 1, workers: 2, is_settled: true };
        let mut controller = Controller::new(config, facts, &settings).unwrap();
        controller.start(Nanos(0));
        Self { controller, pool: MemoryPool::new(16, 192) }
    }

    fn punt(&mut self, worker: usize, punt: Punt) {
        assert!(self.controller.workers()[worker].punts.push(punt).is_ok());
        self.controller.turn(Nanos(0));
    }

    /// A worker needs 198.51.100.`last` for a packet.
    fn need(&mut self, worker: usize, last: u8) {
        let packet = self.pool.allocate_with(&[last]).unwrap();
        let address = [198, 51, 100, last].into();
        self.punt(worker, Punt::Unresolved { port: WAN, address, packet });
    }

    /// 198.51.100.`last` answers, and worker 0 hears it.
    fn answer(&mut self, last: u8) {
        self.hear(2, last);
    }

    /// 198.51.100.77 asks who has our address, and worker 0 hears it.
    fn ask(&mut self) {
        self.hear(1, 77);
    }

    /// An ARP message of 198.51.100.`last` to us.
    fn hear(&mut self, operation: u8, last: u8) {
        let own = self.controller.config().ports[0].mac.0;
        let theirs = [2, 0, 0, 0, 1, last];
        let mut frame = [&own[..], &theirs, &[8, 6, 0, 1, 8, 0, 6, 4, 0, operation]].concat();
        frame.extend([&theirs[..], &[198, 51, 100, last], &own, &[198, 51, 100, 1]].concat());
        self.punt(0, Punt::Frame { port: WAN, frame: Frame::new(&frame).unwrap() });
    }

    /// The packets that a worker gets back, each with the first generation that it is for.
    fn handed_back(&mut self, worker: usize) -> Vec<(u8, u64)> {
        let mut packets = Vec::new();
        while let Some(handback) = self.controller.workers()[worker].handbacks.pop() {
            match handback {
                Handback::Send { since, packet, .. } => {
                    packets.push((packet.data()[0], since));
                    self.pool.release(packet);
                }
                Handback::Frame { .. } => assert_eq!(worker, 0, "one worker sends frames"),
                Handback::Unreachable { .. } | Handback::Release { .. } => panic!("given up"),
            }
        }
        packets
    }

    fn tables(&self) -> Arc<Tables> {
        self.controller.publication().load()
    }
}

#[test]
fn a_packet_goes_back_to_the_worker_it_came_from_for_the_tables_that_know_its_neighbor() {
    let mut bench = Bench::new();
    bench.need(1, 77);
    bench.need(0, 77);
    bench.need(1, 77);
    assert_eq!((bench.handed_back(0), bench.handed_back(1)), (vec![], vec![]));
    bench.answer(77);
    assert_eq!(bench.tables().generation, 2);
    assert_eq!(bench.handed_back(0), [(77, 2)]);
    assert_eq!(bench.handed_back(1), [(77, 2), (77, 2)]);
    // One that was on its way meanwhile.
    bench.need(1, 77);
    assert_eq!((bench.handed_back(0), bench.handed_back(1)), (vec![], vec![(77, 2)]));
}

#[test]
fn nothing_is_handed_back_before_what_its_neighbor_changed_can_be_published() {
    let mut bench = Bench::new();
    bench.need(1, 77);
    bench.need(1, 78);
    let held = bench.tables();
    bench.answer(77);
    bench.answer(78);
    // A worker still reads the copy that the second answer has to go into.
    bench.controller.publish();
    assert_eq!((bench.tables().generation, bench.handed_back(1)), (2, vec![(77, 2)]));
    drop(held);
    bench.controller.turn(Nanos(0));
    assert_eq!((bench.tables().generation, bench.handed_back(1)), (3, vec![(78, 3)]));
}

#[test]
fn what_its_neighbor_changed_may_be_published_with_another_configuration() {
    let mut bench = Bench::new();
    bench.need(1, 77);
    bench.need(1, 78);
    let held = bench.tables();
    bench.answer(77);
    bench.answer(78);
    drop(held);
    let text = format!("{PORTS}\nroutes: [{{ to: 10.9.0.0/16, type: blackhole }}]");
    let other = load_str("text", &text, Purpose::Replay).unwrap().config;
    assert_eq!(bench.controller.apply(other, Nanos(0)).unwrap(), 3);
    assert_eq!(bench.handed_back(1), [(77, 2), (78, 3)]);
}

#[test]
fn a_worker_whose_ring_is_full_keeps_no_other_waiting() {
    let mut bench = Bench::new();
    let frame = Frame::new(&[0; 60]).unwrap();
    let ring = &bench.controller.workers()[0].handbacks;
    while ring.push(Handback::Frame { port: WAN, frame }).is_ok() {}
    bench.need(0, 77);
    bench.need(1, 77);
    bench.answer(77);
    assert_eq!(bench.handed_back(1), [(77, 2)]);
    assert_eq!(bench.handed_back(0), []);
    assert!(bench.controller.waits_for_workers());
    bench.controller.turn(Nanos(0));
    assert_eq!(bench.handed_back(0), [(77, 2)]);
}

#[test]
fn frames_for_a_worker_that_takes_none_are_bounded() {
    let mut bench = Bench::new();
    for _ in 0..2 * BACKLOG_FRAMES_MAX + RING_ENTRIES {
        bench.ask();
    }
    let backlog = &bench.controller.backlog[SENDER];
    assert_eq!(backlog.len(), BACKLOG_FRAMES_MAX);
}
