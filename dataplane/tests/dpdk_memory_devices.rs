//! Ports that need no right and no peer: `net_ring`, `net_null` and `net_pcap`.
#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod rim;

use std::fs;

use adit_dataplane::device::Device;
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::Burst;

#[test]
fn memory_devices_pass_packets_and_give_every_buffer_back() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.pcap"), folder.path().join("out.pcap"));
    let frames: Vec<_> = (0..20).map(|n| rim::frame(n, 60 + usize::from(n) * 70)).collect();
    // The last frame fits no buffer: it comes in several segments.
    let captured: Vec<_> = frames.iter().cloned().chain([rim::frame(99, 5000)]).collect();
    fs::write(&input, rim::capture(&captured)).unwrap();
    let pcap = format!("net_pcap0,rx_pcap={},tx_pcap={}", input.display(), output.display());
    let (rim, mut workers) = rim::start(&["net_ring0", "net_null0,no-rx=1", &pcap], 1);
    assert_eq!(workers[0].port_count(), 3);
    assert_eq!(rim.ports()[2].driver(), "net_pcap");
    let idle = rim.pool().in_use_count();

    rim::registered(|| {
        let received = rim::receive(&mut workers, 2, frames.len());
        assert_eq!(received, frames);
        rim::drain(&mut workers);
        rim::assert_passes(&mut workers, 0, 0);
        assert_eq!(rim::send(&mut workers[0], 2, &frames), frames.len());
        assert_eq!(rim::send(&mut workers[0], 1, &frames), frames.len());
    });
    assert_eq!(rim.pool().in_use_count(), idle, "at rest every buffer is back");
    let stats = rim.ports()[2].stats();
    assert_eq!((stats.receive_packets, stats.transmit_packets), (21, 20));
    assert_eq!(stats.receive_too_long, 1);
    assert_eq!(rim.ports()[1].stats().transmit_packets, 20);
    assert!(rim.ports().iter().all(|port| port.link().up && port.mac().is_station()));

    headers_can_be_put_in_front_and_taken_off(&mut workers[0]);
    a_packet_that_outlives_the_rim_stays_readable(rim, workers);
    assert_eq!(rim::frames_of(&fs::read(&output).unwrap()), frames);
}

fn headers_can_be_put_in_front_and_taken_off(device: &mut adit_dataplane::dpdk::WorkerPorts) {
    let mut burst = Burst::new();
    let mut packet = device.allocate().unwrap();
    packet.rebuild(128, |room| {
        room[..100].fill(7);
        100
    });
    packet.strip(40);
    packet.prepend(60).unwrap().fill(9);
    let expected = packet.data().to_vec();
    burst.push(packet).unwrap();
    assert_eq!(device.send(PortId(0), &mut burst), 1);
    assert_eq!(device.receive(PortId(0), &mut burst, 32), 1);
    assert_eq!(burst.packets()[0].data(), expected);
    assert_eq!(burst.packets()[0].headroom(), 108);
    device.release(&mut burst);
}

fn a_packet_that_outlives_the_rim_stays_readable(
    rim: adit_dataplane::dpdk::Rim,
    mut workers: Vec<adit_dataplane::dpdk::WorkerPorts>,
) {
    let mut packet = workers[0].allocate().unwrap();
    packet.rebuild(128, |room| {
        room[..4].copy_from_slice(b"adit");
        4
    });
    drop(workers);
    drop(rim);
    assert_eq!(packet.data(), b"adit");
}
