//! What devices do in place of the packet path, in a network namespace of their own: of two TAPs one
//! checks checksums, the other does not, and both receive the same bytes.
#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod rim;

use std::time::{Duration, Instant};

use adit_dataplane::device::Device;
use adit_dataplane::dpdk::{Offloads, Port, Rim, Rss, WorkerPorts};
use adit_dataplane::interface::PortId;
use adit_dataplane::packet::{Burst, Flags};

#[test]
fn a_device_that_checks_checksums_changes_no_byte_and_its_word_arrives() {
    if !rim::in_own_namespace("a_device_that_checks_checksums_changes_no_byte_and_its_word_arrives")
    {
        return;
    }
    // No bridge: where it filters, it drops what has a wrong checksum before anybody sees it.
    for interface in ["asked", "spared"] {
        rim::ip(&format!("tuntap add dev {interface} mode tap multi_queue"));
        rim::ip(&format!("link set {interface} up"));
    }
    let devices = [
        "net_tap0,iface=asked",
        "net_tap1,iface=spared",
        "net_af_packet0,iface=asked",
        "net_af_packet1,iface=spared",
        "net_null0,no-rx=1",
    ];
    let mut config = rim::config(&devices, 2);
    config.ports[0].offloads = Offloads::On;
    config.ports[1].rss = Rss::Inner;
    let (rim, mut workers) = Rim::start(&config).unwrap_or_else(|error| panic!("{error}"));

    let [asked, spared, socket, _, null] = rim.ports() else { panic!("five ports") };
    assert_eq!(used(asked), ["rx-checksum"]);
    assert_eq!(used(spared), [""; 0], "software is asked only when told to");
    assert_eq!(used(socket), [""; 0]);
    assert_eq!(used(null), ["rss-outer"]);
    assert!(why_not(asked, "tx-checksum").contains("costs less"), "offered, and not used");
    assert!(why_not(spared, "rss-rules").contains("TAP"), "its driver is not asked");
    assert!(why_not(null, "rss-inner").contains("not offer"));
    for port in rim.ports() {
        assert!(port.notices().is_empty(), "{}: {:?}", port.name(), port.notices());
    }

    let idle = rim.pool().in_use_count();
    rim::registered(|| {
        rim::wait_for_links(&rim);
        let inner = packet(17, &[0; 26]);
        let (udp, ipip) = (ipv4(1, 17, &[0; 26]), ipv4(2, 4, &inner));
        // The checksum of the outer and of the inner header is 10 bytes into it.
        let wrong_udp = spoilt(ipv4(3, 17, &[0; 26]), 14 + 10);
        let wrong_inner = spoilt(ipv4(4, 4, &inner), 14 + 20 + 10);
        let sent = [udp, ipip, wrong_udp, wrong_inner];
        rim::drain(&mut workers);
        assert_eq!(rim::send(&mut workers[0], 2, &sent), sent.len());
        let with = receive(&mut workers, PortId(0), sent.len());
        assert_eq!(rim::send(&mut workers[0], 3, &sent), sent.len());
        let without = receive(&mut workers, PortId(1), sent.len());
        let bytes = |received: &[(Vec<u8>, Flags)]| -> Vec<_> {
            received.iter().map(|(frame, _)| frame.clone()).collect()
        };
        assert_eq!(bytes(&with), sent);
        assert_eq!(bytes(&without), sent);
        let flags: Vec<_> = with.iter().map(|(_, flags)| *flags).collect();
        // Of a tunnel's packet nobody knows which header the word is about.
        let expected = [Flags::GOOD_CHECKSUM, Flags::NONE, Flags::BAD_CHECKSUM, Flags::NONE];
        assert_eq!(flags, expected);
        assert!(without.iter().all(|(_, flags)| *flags == Flags::NONE));
    });
    rim::drain(&mut workers);
    assert_eq!(rim.ports()[0].stats().receive_bad_checksum, 1);
    assert_eq!(rim.ports()[1].stats().receive_bad_checksum, 0);
    assert_eq!(rim.pool().in_use_count(), idle, "at rest every buffer is back");
}

fn used(port: &Port) -> Vec<&'static str> {
    port.offloads().iter().filter(|offload| offload.is_used).map(|offload| offload.name).collect()
}

fn why_not(port: &Port, name: &str) -> String {
    let offload = port.offloads().iter().find(|offload| offload.name == name).unwrap();
    assert!(!offload.is_used, "{name}");
    offload.note.clone()
}

/// An IPv4 packet.
fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(20 + payload.len()).unwrap();
    let mut bytes = vec![0x45, 0, 0, len, 0, 1, 0, 0, 64, protocol, 0, 0];
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    // RFC 1071 §1, one 16-bit word after the other.
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    bytes[10..12].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A broadcast frame with such a packet, and a number in its source address.
fn ipv4(number: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([0x02, 0, 0, 0, 0xee, number, 0x08, 0x00]);
    frame.extend(packet(protocol, payload));
    frame
}

/// With the lowest bit of the byte at `at` turned round.
fn spoilt(mut frame: Vec<u8>, at: usize) -> Vec<u8> {
    frame[at] ^= 1;
    frame
}

/// Our own frames that arrive at any worker on a port, by their numbers, with what is known of them.
fn receive(workers: &mut [WorkerPorts], port: PortId, count: usize) -> Vec<(Vec<u8>, Flags)> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut frames = Vec::new();
    let mut burst = Burst::new();
    while frames.len() < count && Instant::now() < deadline {
        for device in &mut *workers {
            device.receive(port, &mut burst, 32);
            for packet in burst.packets() {
                if packet.data()[10] == 0xee {
                    frames.push((packet.data().to_vec(), packet.meta.flags));
                }
            }
            device.release(&mut burst);
        }
    }
    frames.sort_by_key(|(frame, _)| frame[11]);
    frames
}
