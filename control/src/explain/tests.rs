//! Whoever is watched does the same as who is not: bytes, times and counters.

use std::net::Ipv4Addr;

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::witness::{Recorder, Witness};
use etherparse::{EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header};
use proptest::prelude::*;

use crate::config::{self, Config, Purpose};
use crate::engine::simulation::Simulation;
use crate::report::Counters;

/// Tunnels of every family, a small port, a group, routes that lead nowhere, and a tunnel in a tunnel.
const CONFIGURATION: &str = r#"
version: 1
dataplane: { burst: 8 }
limits: { decap-depth: 2 }
ports:
  wan:
    macaddress: "02:00:00:00:00:01"
    addresses: [198.51.100.1/24, "2001:db8:100::1/64"]
    neighbors: { 198.51.100.254: "02:00:00:00:00:fe", "2001:db8:100::fe": "02:00:00:00:00:fe" }
  lan:
    macaddress: "02:00:00:00:00:02"
    mtu: 1300
    addresses: [10.1.0.1/24, "2001:db8:1::1/64"]
    neighbors: { 10.1.0.5: "02:00:00:00:00:05" }
tunnels:
  four: { mode: sit, payload: any, dont-fragment: no, mtu: 1500, local: 198.51.100.1, remote: 203.0.113.2, addresses: [192.168.50.1/30, "2001:db8:50::1/64"] }
  six: { mode: any, local: "2001:db8:100::1", remote: "2001:db8:200::2", inner-source: loose }
  within: { mode: ipip, local: 192.168.50.1, remote: 192.168.50.2, ttl: inherit }
routes:
  - { to: default, via: 198.51.100.254 }
  - { to: "::/0", via: "2001:db8:100::fe" }
  - { to: 10.2.0.0/16, tunnel: four }
  - { to: "2001:db8:2::/48", tunnel: six }
  - { to: 10.3.0.0/16, next-hops: [{ tunnel: six }, { tunnel: within, weight: 2 }] }
  - { to: 10.4.0.0/16, type: prohibit }
"#;

fn configuration() -> Config {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adit.yaml");
    std::fs::write(&file, CONFIGURATION).unwrap();
    config::load(&file, Purpose::Replay).unwrap().config
}

/// A frame for a port: its number, what arrives, and whether at another time than the one before.
#[derive(Debug, Clone)]
struct Arrival {
    port: u8,
    frame: Vec<u8>,
    is_later: bool,
}

fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header {
        time_to_live: if flags & 4 == 0 { 64 } else { flags >> 5 },
        dont_fragment: flags & 1 != 0,
        more_fragments: flags & 0b1010 == 0b1010,
        protocol: IpNumber(protocol),
        source,
        destination,
        ..Ipv4Header::default()
    };
    header.ecn = (flags >> 6).try_into().unwrap();
    header.set_payload_len(payload.len()).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [header.to_bytes().as_slice(), payload].concat()
}

fn ipv6(source: [u16; 8], destination: [u16; 8], next: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let octets = |address: [u16; 8]| std::net::Ipv6Addr::from(address).octets();
    let mut header = Ipv6Header {
        hop_limit: if flags & 4 == 0 { 64 } else { flags >> 5 },
        traffic_class: flags,
        next_header: IpNumber(next),
        source: octets(source),
        destination: octets(destination),
        ..Ipv6Header::default()
    };
    header.set_payload_length(payload.len()).unwrap();
    [header.to_bytes().as_slice(), payload].concat()
}

const FAR6: [u16; 8] = [0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 2];
const NEAR6: [u16; 8] = [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1];
const HOST6: [u16; 8] = [0x2001, 0xdb8, 1, 0, 0, 0, 0, 5];
const BEHIND6: [u16; 8] = [0x2001, 0xdb8, 2, 0, 0, 0, 0, 8];
const FAR: [u8; 4] = [203, 0, 113, 2];
const NEAR: [u8; 4] = [198, 51, 100, 1];
const HOST: [u8; 4] = [10, 1, 0, 5];

/// An ordinary packet of one of a dozen kinds, from the host or out of a tunnel.
fn packet(kind: u8, flags: u8, len: usize) -> (u8, Vec<u8>) {
    let data = vec![flags; len];
    let behind = [10, 2 + kind % 4, 0, 8];
    let inner = ipv4(behind, HOST, 17, flags, &data);
    let inner6 = ipv6(BEHIND6, HOST6, 17, flags, &data);
    match kind % 12 {
        0..4 => (1, ipv4(HOST, behind, 17, flags, &data)),
        4 => (1, ipv6(HOST6, BEHIND6, 17, flags, &data)),
        5 => (1, ipv4(HOST, [10, 1, 0, 1], 1, flags, &[&[8, 0, 0xf7, 0xff][..], &[0; 4]].concat())),
        6 => (0, ipv4(FAR, NEAR, 4, flags, &inner)),
        7 => (0, ipv4(FAR, NEAR, 41, flags, &inner6)),
        8 => (0, ipv6(FAR6, NEAR6, 4, flags, &inner)),
        9 => (0, ipv6(FAR6, NEAR6, 41, flags, &inner6)),
        10 => {
            let within = ipv4([192, 168, 50, 2], [192, 168, 50, 1], 4, 0, &inner);
            (0, ipv4(FAR, NEAR, 4, 0, &within))
        }
        _ => {
            // Fragmentation needed, about a packet that went into a tunnel.
            let inside = ipv4(HOST, [10, 2, 0, 8], 17, 1, &[0; 1400]);
            let sent = ipv4(NEAR, FAR, 4, 1, &inside);
            let mut message = [&[3, 4, 0, 0, 0, 0, 4, 0x80 | flags][..], &sent[..500]].concat();
            let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&message);
            let sum = sum.ones_complement().to_ne_bytes();
            message[2..4].copy_from_slice(&sum);
            (0, ipv4(Ipv4Addr::new(192, 0, 2, 9).octets(), NEAR, 1, 0, &message))
        }
    }
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    let changes = prop::collection::vec((0_usize..90, any::<u8>()), 0..3);
    let fields = (any::<u8>(), any::<u8>(), 0_usize..1470, any::<bool>(), any::<bool>());
    (fields, changes).prop_map(|((kind, flags, len, is_later, is_mangled), changes)| {
        let (port, packet) = packet(kind, flags, len);
        let ether_type = if packet[0] >> 4 == 6 { EtherType::IPV6 } else { EtherType::IPV4 };
        let destination = [2, 0, 0, 0, 0, port + 1];
        let header = Ethernet2Header { destination, source: [2, 0, 0, 0, 0, 5], ether_type };
        let mut frame = [header.to_bytes().as_slice(), &packet].concat();
        for (at, value) in changes.into_iter().filter(|_| is_mangled) {
            let at = at % frame.len();
            frame[at] = value;
        }
        Arrival { port, frame, is_later }
    })
}

/// Everything that can be seen of a run.
type Seen = (Vec<(PortId, Nanos, Vec<u8>)>, Counters, usize);

fn run<W: Witness>(witness: W, arrivals: &[Arrival]) -> Seen {
    let mut appliance = Simulation::watched(configuration(), Nanos(1), false, witness).unwrap();
    let (mut sent, mut now) = (Vec::new(), Nanos(1));
    let mut rest = arrivals;
    while let Some(first) = rest.first() {
        let with = |other: &&Arrival| other.port == first.port && !other.is_later;
        let count = 1 + rest[1..].iter().take(7).take_while(with).count();
        let (burst, behind) = rest.split_at(count);
        rest = behind;
        now = now + std::time::Duration::from_millis(3);
        let mut see = |port, time, frame: &[u8]| sent.push((port, time, frame.to_vec()));
        appliance.advance(now, &mut see);
        let frames = burst.iter().map(|arrival| arrival.frame.as_slice());
        appliance.receive(PortId(first.port), frames, &mut see);
    }
    let end = now + std::time::Duration::from_secs(5);
    appliance.advance(end, |port, time, frame| sent.push((port, time, frame.to_vec())));
    let counters = appliance.counters();
    (sent, counters, appliance.finish())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_watched_run_sends_the_same_bytes_and_moves_the_same_counters(
        arrivals in prop::collection::vec(any_arrival(), 1..120),
    ) {
        let recorder = Recorder::new();
        let watched = run(recorder.clone(), &arrivals);
        let plain = run(adit_dataplane::witness::Unwatched, &arrivals);
        prop_assert_eq!(&watched.0, &plain.0);
        prop_assert_eq!(&watched.1, &plain.1);
        prop_assert_eq!((watched.2, plain.2), (0, 0), "buffers that never came back");
        prop_assert!(recorder.take().len() > arrivals.len(), "something was noted of each");
    }
}
