//! Any calls in any order: nothing is lost, nothing grows, nobody is asked too often, and the same
//! calls have the same effect.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::frames::{Arp, Nd};
use super::*;

/// Few addresses, so that calls meet: neighbors, ours, strangers, impossible ones.
const ADDRESSES: [&str; 16] = [
    "198.51.100.1",
    "198.51.100.9",
    "198.51.100.10",
    "198.51.100.11",
    "198.51.100.12",
    "198.51.100.254",
    "198.51.100.255",
    "10.1.0.9",
    "0.0.0.0",
    "2001:db8:1::1",
    "2001:db8:1::9",
    "2001:db8:1::a",
    "fe80::9",
    "2001:db8:2::9",
    "ff02::1:ff00:1",
    "::",
];
const V4_COUNT: usize = 9;

#[derive(Clone, Debug)]
enum Call {
    Need { port: u8, address: usize },
    Arp { operation: u8, mac: u8, sender: usize, target: usize },
    Nd { kind: u8, mac: u8, source: usize, destination: usize, target: usize, flags: u8 },
    Bytes(Vec<u8>),
    Wait { milliseconds: u16 },
    Link { is_up: bool },
    Configure { ports: u8, next_hops: Vec<usize>, statics: Vec<(usize, u8)> },
    Clear { port: Option<u8>, address: Option<usize> },
}

fn calls() -> impl Strategy<Value = Call> {
    let v4 = 0..V4_COUNT;
    let v6 = V4_COUNT..ADDRESSES.len();
    let any_address = 0..ADDRESSES.len();
    let statics = proptest::collection::vec((any_address.clone(), 1_u8..4), 0..2);
    prop_oneof![
        6 => (0_u8..3, any_address.clone()).prop_map(|(port, address)| Call::Need { port, address }),
        4 => (1_u8..3, 1_u8..4, v4.clone(), v4).prop_map(|(operation, mac, sender, target)| {
            Call::Arp { operation, mac, sender, target }
        }),
        4 => (135_u8..137, 1_u8..4, v6.clone(), v6.clone(), v6, any::<u8>()).prop_map(
            |(kind, mac, source, destination, target, flags)| {
                Call::Nd { kind, mac, source, destination, target, flags }
            }
        ),
        1 => proptest::collection::vec(any::<u8>(), 0..90).prop_map(Call::Bytes),
        4 => (0_u16..4000).prop_map(|milliseconds| Call::Wait { milliseconds }),
        1 => Just(Call::Wait { milliseconds: 40_000 }),
        1 => any::<bool>().prop_map(|is_up| Call::Link { is_up }),
        1 => (0_u8..4, proptest::collection::vec(any_address.clone(), 0..4), statics).prop_map(
            |(ports, next_hops, statics)| Call::Configure { ports, next_hops, statics }
        ),
        1 => (proptest::option::of(0_u8..2), proptest::option::of(any_address))
            .prop_map(|(port, address)| Call::Clear { port, address }),
    ]
}

fn mac(number: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, number])
}

fn limits() -> NeighborLimits {
    NeighborLimits {
        entries_per_port: 4,
        incomplete_per_port: 2,
        next_hops_per_port: 2,
        packets: 7,
        requests_per_second: 10,
        request_burst: 4,
        probes_per_second: 2,
        ..NeighborLimits::default()
    }
}

fn make(lab: &mut Lab, call: &Call) {
    match call {
        Call::Need { port, address } => lab.need_on(PortId(*port), ip(ADDRESSES[*address]), 1),
        Call::Arp { operation, mac: number, sender, target } => {
            let sender = (mac(*number), ADDRESSES[*sender]);
            let target = ADDRESSES[*target];
            lab.hear(&Arp { operation: *operation, sender, target, hardware_len: 6 }.frame());
        }
        Call::Nd { kind, mac: number, source, destination, target, flags } => {
            let (source, destination) = (ADDRESSES[*source], ADDRESSES[*destination]);
            let target = ADDRESSES[*target];
            let whole = Nd::solicitation(mac(*number), source, destination, target);
            let option = if *flags & 1 == 0 { whole.mac } else { None };
            let frame = Nd { kind: *kind, flags: *flags, mac: option, ..whole }.frame();
            let _ = lab.hear_on(WAN, &frame);
        }
        Call::Bytes(bytes) => {
            let _ = lab.hear_on(WAN, bytes);
        }
        Call::Wait { milliseconds } => {
            let end = lab.now + Duration::from_millis(u64::from(*milliseconds));
            lab.run_to(end.0 / 1_000_000);
        }
        Call::Link { is_up } => {
            let act = if *is_up { Neighbors::link_up } else { Neighbors::link_down };
            act(&mut lab.neighbors, lab.now, WAN, &mut lab.actions);
            lab.take();
        }
        Call::Configure { ports, next_hops, statics } => {
            let fixed = statics.iter().map(|&(at, number)| (ip(ADDRESSES[at]), mac(number)));
            let wan = PortSetup { static_neighbors: fixed.collect(), ..wan() };
            let both = [wan, lan()].into_iter().enumerate();
            let chosen = both.filter(|(at, _)| ports >> at & 1 == 1).map(|(_, setup)| setup);
            let next_hops: Vec<_> = next_hops.iter().map(|&at| (WAN, ADDRESSES[at])).collect();
            lab.configure(chosen.collect(), &next_hops);
        }
        Call::Clear { port, address } => {
            let address = address.map(|at| ip(ADDRESSES[at]));
            lab.clear(Filter { port: port.map(PortId), address });
        }
    }
}

fn assert_bounded(lab: &Lab) {
    lab.assert_conserved();
    let limits = lab.neighbors.limits();
    assert!(lab.neighbors.held() <= limits.packets);
    for port in [WAN, LAN] {
        let of_port = || lab.neighbors.entries().filter(move |entry| entry.port == port);
        let is_dynamic =
            |entry: &super::super::Entry| !entry.is_next_hop && entry.state.name() != "permanent";
        assert!(of_port().filter(is_dynamic).count() <= limits.entries_per_port);
        assert!(of_port().filter(|entry| entry.is_next_hop).count() <= limits.next_hops_per_port);
        let incomplete = of_port()
            .filter(|entry| is_dynamic(entry) && entry.state.name() == "incomplete")
            .count();
        assert!(incomplete <= limits.incomplete_per_port);
        assert!(of_port().all(|entry| entry.held <= limits.packets_per_neighbor));
    }
}

/// What the packet path has been told is what the machine knows.
fn assert_told(record: &[String], lab: &Lab) {
    let mut told = BTreeMap::new();
    for line in record {
        let words: Vec<_> = line.split(' ').collect();
        match words[1..] {
            [address, "at", mac] => drop(told.insert(ip(address), mac.parse().unwrap())),
            [address, "nowhere"] => assert!(told.remove(&ip(address)).is_some(), "{line}"),
            _ => {}
        }
    }
    let known = lab.neighbors.entries().filter_map(|entry| Some((entry.address, entry.mac?)));
    assert_eq!(told, known.collect::<BTreeMap<IpAddr, MacAddress>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_packet_comes_out_once_and_everything_stays_bounded(
        calls in proptest::collection::vec(calls(), 1..120),
    ) {
        let mut lab = Lab::with(limits(), vec![wan(), lan()], &[]);
        let mut needed = 0;
        let mut record = Vec::new();
        for call in &calls {
            needed += usize::from(matches!(call, Call::Need { .. }));
            make(&mut lab, call);
            assert_bounded(&lab);
            record.extend(lab.said());
            assert_told(&record, &lab);
        }
        lab.clear(Filter::default());
        record.extend(lab.said());
        prop_assert_eq!(lab.neighbors.held(), 0);
        let ends = ["send", "unreachable", "drop"];
        let ended = |line: &&String| ends.contains(&line.split(' ').nth(1).unwrap());
        prop_assert_eq!(record.iter().filter(ended).count(), needed);
    }

    #[test]
    fn the_same_calls_have_the_same_effect(
        calls in proptest::collection::vec(calls(), 1..80),
    ) {
        let run = || {
            let mut lab = Lab::with(limits(), vec![wan(), lan()], &[]);
            for call in &calls {
                make(&mut lab, call);
            }
            lab.clear(Filter::default());
            lab.said()
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn nobody_is_asked_for_twice_within_a_second(
        calls in proptest::collection::vec(calls(), 1..120),
    ) {
        // Without what makes us forget whom we have asked.
        let limits = NeighborLimits { entries_per_port: 100, incomplete_per_port: 100, ..limits() };
        let mut lab = Lab::with(limits, vec![wan(), lan()], &[(WAN, "198.51.100.254")]);
        let keeps = |call: &&Call| {
            !matches!(call, Call::Clear { .. } | Call::Link { .. } | Call::Configure { .. })
        };
        for call in calls.iter().filter(keeps) {
            make(&mut lab, call);
        }
        let mut asked_at: BTreeMap<String, u64> = BTreeMap::new();
        for line in lab.said() {
            let words: Vec<_> = line.split(' ').collect();
            let target = match words[1] {
                "who-has" => words[2],
                "ns" => words[6],
                _ => continue,
            };
            let now: u64 = words[0].parse().unwrap();
            let before = asked_at.insert(target.to_owned(), now);
            prop_assert!(before.is_none_or(|before| now - before >= 1000), "{line}");
        }
        lab.clear(Filter::default());
    }
}
