//! What becomes of packets on their way to devices and to the control thread.

use adit_dataplane::counters::Counter;
use adit_dataplane::device::{Device, MemoryDevice};
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::{Burst, MemoryPool, Packet};
use adit_dataplane::worker::exchange::{Frame, Handback, Punt, RING_ENTRIES};

use super::super::appliance::{Appliance, BUFFERS, Blueprint, G_MAC, L, U, settings};
use super::super::frame_tunnels;
use super::super::frames::frame_of;
use super::{Case, LOCAL, REMOTE, host, inward};

/// What comes back from the control thread, or finds no room on its way there.
pub(super) fn exchange_cases() -> Vec<Case> {
    let waiting = |come_back: fn(PortId, core::net::IpAddr, Packet) -> Handback| {
        let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
        plan.neighbor(U, "198.51.100.254", None);
        let mut appliance = plan.start();
        assert!(appliance.pass(L, &host(&inward().udp(84)).1).is_empty());
        assert_eq!((appliance.held(), appliance.moved()), (1, vec![]));
        let Some(Punt::Unresolved { port, address, packet }) = appliance.shared.punts.pop() else {
            panic!("no packet waits");
        };
        assert!(appliance.shared.handbacks.push(come_back(port, address, packet)).is_ok());
        appliance.run();
        appliance.moved()
    };
    let still_silent =
        waiting(|port, address, packet| Handback::Send { since: 1, port, address, packet });
    let given_up =
        waiting(|_, _, packet| Handback::Release { packet, counter: Counter::NbrQueueDrop });
    let failed = waiting(|_, _, packet| Handback::Unreachable { packet });

    let mut appliance = Blueprint::bench().start();
    let request = frame_of(0x0806, [0xff; 6], G_MAC, &[0; 46]);
    for _ in 0..=RING_ENTRIES {
        appliance.inject(U, &request);
        appliance.run();
    }
    vec![
        Case { name: "nbr.queue_drop", with_it: &[], moved: still_silent },
        Case { name: "nbr.queue_drop", with_it: &[], moved: given_up },
        Case { name: "nbr.failed", with_it: &["icmp.tx"], moved: failed },
        Case { name: "ring.full", with_it: &[], moved: appliance.moved() },
    ]
}

/// A device that takes so many frames of each burst, and no more.
struct Narrow {
    inner: MemoryDevice,
    takes: usize,
}

impl Device for Narrow {
    fn port_count(&self) -> usize {
        self.inner.port_count()
    }

    fn receive(&mut self, port: PortId, burst: &mut Burst, limit: usize) -> usize {
        self.inner.receive(port, burst, limit)
    }

    fn send(&mut self, port: PortId, burst: &mut Burst) -> usize {
        let mut taken = Burst::new();
        let mut left = Burst::new();
        for packet in burst.drain() {
            let to = if taken.len() < self.takes { &mut taken } else { &mut left };
            assert!(to.push(packet).is_ok());
        }
        for packet in left.drain() {
            assert!(burst.push(packet).is_ok());
        }
        self.inner.send(port, &mut taken)
    }

    fn allocate(&mut self) -> Option<Packet> {
        self.inner.allocate()
    }

    fn release(&mut self, burst: &mut Burst) {
        self.inner.release(burst);
    }
}

pub(super) fn device_cases() -> Vec<Case> {
    let pool = MemoryPool::new(BUFFERS, 2048);
    let inner = MemoryDevice::new(2, pool);
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut full = Appliance::over(Narrow { inner, takes: 31 }, tables, settings());
    let packet = host(&inward().udp(84)).1;
    for _ in 0..32 {
        assert!(full.worker.device_mut().inner.inject(L, &packet));
    }
    full.work();
    full.assert_balance();
    assert_eq!(full.shared.counters.port(U).tx_packets.get(), 31);
    assert_eq!(full.shared.counters.port(U).tx_bytes.get(), 31 * (84 + 20 + 14));
    let sent = full.worker.device_mut().inner.take_sent();
    assert_eq!(sent.len(), 31);

    // One buffer, which the packet has: none for its second piece.
    let device = MemoryDevice::new(2, MemoryPool::new(2, 2048));
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut few = Appliance::over(device, tables, settings());
    few.pass(L, &host(&inward().may_be_cut().udp(1500)).1);
    let mut no_buffer = few.moved();
    no_buffer.retain(|&(name, _)| name == "port.no_mbuf");

    // And none for an error, nor for a frame of the control thread.
    let device = MemoryDevice::new(2, MemoryPool::new(1, 2048));
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut starved = Appliance::over(device, tables, settings());
    assert!(starved.pass(L, &host(&inward().ttl(1).udp(84)).1).is_empty());
    assert_eq!(starved.moved(), [("ip4.ttl_expired", 1), ("port.no_mbuf", 1)]);
    starved.inject(L, &host(&inward().udp(84)).1);
    let note = Frame::new(&[0; 60]).unwrap();
    assert!(starved.shared.handbacks.push(Handback::Frame { port: U, frame: note }).is_ok());
    starved.run();
    vec![
        Case { name: "vxlan.flood_limit", with_it: &[], moved: frame_tunnels::flood(17).1 },
        Case { name: "port.no_mbuf", with_it: &[], moved: starved.moved() },
        Case { name: "port.tx_full", with_it: &[], moved: full.moved() },
        Case { name: "port.no_mbuf", with_it: &[], moved: no_buffer },
    ]
}
