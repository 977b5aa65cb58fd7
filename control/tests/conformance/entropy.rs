//! What routers between the ends of a tunnel tell inner flows apart by (semantics B12): several outer sources,
//! and the IPv6 flow label.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addresses::{H, H6, R, R6, U, U6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, from_gateway, from_host, peer4, peer6,
    to_gateway, to_host, udp4, udp4_flow, udp6,
};
use crate::icmp::{echo_reply4, echo_request4};
use crate::run::{MILLISECOND, Replay};

const FLOWS: u16 = 256;
const POOL4: [Ipv4Addr; 3] = [U, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
const OURS_TOO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const POOL6: [Ipv6Addr; 2] = [U6, Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 1)];

fn pool4(bench: Bench, tunnel: &str) -> Bench {
    bench
        .set("loopback.addresses", "[192.0.2.1/32, 192.0.2.2/32, 192.0.2.3/32]")
        .set(&format!("tunnels.{tunnel}.local"), "[198.51.100.1, 192.0.2.1, 192.0.2.2]")
}

fn pool6(bench: Bench) -> Bench {
    bench
        .set("loopback.addresses", r#"["2001:db8:ff::1/128"]"#)
        .set("tunnels.n6.local", r#"["2001:db8:100::1", "2001:db8:ff::1"]"#)
}

fn flow(number: u16) -> Ipv4Packet {
    udp4_flow(H, R, (20_000 + number, 5000), 84)
}

/// What leaves U for these packets of the host, in order.
fn sent(bench: Bench, packets: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut replay = Replay::new(bench);
    let mut count = 0;
    for packet in packets {
        count += 1;
        replay.input("l", count * MILLISECOND, from_host(packet));
    }
    let frames = replay.run().frames("u");
    assert_eq!(u64::try_from(frames.len()).unwrap(), count);
    frames
}

/// Which of the frames that etherparse builds around a packet, one for each source, this one is.
fn source_of(frame: &[u8], candidates: impl Iterator<Item = (IpAddr, Vec<u8>)>) -> IpAddr {
    let mut candidates = candidates;
    let found = candidates.find(|(_, candidate)| candidate == frame);
    found.unwrap_or_else(|| panic!("from none of the pool: {frame:02x?}")).0
}

fn around4(protocol: u8, inner: &[u8]) -> impl Iterator<Item = (IpAddr, Vec<u8>)> {
    POOL4.into_iter().map(move |source| {
        let mut outer = encap4(protocol, inner);
        outer.header.source = source.octets();
        (source.into(), to_gateway(outer))
    })
}

/// The flow label of an outer header behind an Ethernet one.
fn label_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes([0, frame[15] & 0xf, frame[16], frame[17]])
}

#[test]
fn every_flow_leaves_from_one_source_of_the_pool_and_every_source_has_its_share() {
    let packets = || (0..FLOWS).chain(0..FLOWS).map(flow);
    let frames = sent(pool4(Bench::ipip(), "t0"), packets().map(|packet| packet.bytes()));
    let mut sources: BTreeMap<u16, IpAddr> = BTreeMap::new();
    for ((frame, packet), number) in frames.iter().zip(packets()).zip((0..FLOWS).chain(0..FLOWS)) {
        let source = source_of(frame, around4(IPIP, &packet.ttl(63).bytes()));
        assert_eq!(*sources.entry(number).or_insert(source), source, "flow {number} changes");
    }
    for source in POOL4.map(IpAddr::from) {
        let share = sources.values().filter(|one| **one == source).count();
        assert!((50..=120).contains(&share), "{share} of {FLOWS} flows leave from {source}");
    }
}

#[test]
fn ipv6_in_a_pool_of_ipv4_and_anything_in_a_pool_of_ipv6_is_sent_from_the_pool_as_well() {
    let inner = udp6(H6, R6, 100);
    let frames = sent(pool4(Bench::sit(), "s0"), [inner.bytes()].into_iter());
    source_of(&frames[0], around4(IPV6, &inner.hop_limit(63).bytes()));
    let frames = sent(pool6(Bench::any6()), (0..FLOWS).map(|number| flow(number).bytes()));
    let mut sources = BTreeSet::new();
    for (frame, number) in frames.iter().zip(0..FLOWS) {
        let label = label_of(frame);
        let candidates = POOL6.into_iter().map(|source| {
            let mut outer = encap6(IPIP, flow(number).ttl(63)).flow_label(label);
            outer.header.source = source.octets();
            (source.into(), to_gateway(outer))
        });
        sources.insert((source_of(frame, candidates), label));
    }
    for source in POOL6.map(IpAddr::from) {
        let share = sources.iter().filter(|(one, _)| *one == source).count();
        assert!((90..=170).contains(&share), "{share} of {FLOWS} flows leave from {source}");
    }
}

#[test]
fn all_pieces_of_a_packet_leave_from_one_source() {
    let whole = udp4_flow(H, R, (20_000, 5000), 1028).dont_fragment(false);
    for id in 0..20 {
        let pieces = [
            whole.clone().id(id).payload(&whole.payload[..512]).fragment(0, true),
            whole.clone().id(id).payload(&whole.payload[512..]).fragment(64, false),
        ];
        let inputs = pieces.clone().into_iter().map(|piece| piece.bytes());
        let frames = sent(pool4(Bench::ipip(), "t0"), inputs);
        let sources: BTreeSet<IpAddr> = frames
            .iter()
            .zip(pieces)
            .map(|(frame, piece)| source_of(frame, around4(IPIP, &piece.ttl(63).bytes())))
            .collect();
        assert_eq!(sources.len(), 1, "{sources:?}");
    }
}

#[test]
fn the_peer_may_send_to_any_source_of_the_pool_and_to_no_other_address() {
    let to = |local: Ipv4Addr| {
        let mut outer = peer4(IPIP, udp4(R, H, 84));
        outer.header.destination = local.octets();
        from_gateway(outer)
    };
    let bench = || pool4(Bench::ipip(), "t0");
    run_all(POOL4.map(|local| {
        Case::new(&format!("pool {local}"), bench())
            .input("u", to(local))
            .expect("l", to_host(udp4(R, H, 84).ttl(63)))
            .tunnel_accepts("t0", 84)
    }));
    Case::new("not of the pool", bench()).input("u", to(OURS_TOO)).counts("tun.no_match").run();
    let to6 = |local: Ipv6Addr| {
        let mut outer: Ipv6Packet = peer6(IPV6, udp6(R6, H6, 100));
        outer.header.destination = local.octets();
        from_gateway(outer)
    };
    run_all(POOL6.map(|local| {
        Case::new(&format!("pool {local}"), pool6(Bench::any6()))
            .input("u", to6(local))
            .expect("l", to_host(udp6(R6, H6, 100).hop_limit(63)))
            .tunnel_accepts("n6", 100)
    }));
}

#[test]
fn a_source_of_the_pool_answers_pings_like_any_address_of_ours() {
    run_all(POOL4.map(|local| {
        Case::new(&format!("ping {local}"), pool4(Bench::ipip(), "t0"))
            .input("l", from_host(echo_request4(H, local, 84)))
            .expect("l", Expected::reply4(to_host(echo_reply4(local, H, 84)), 14))
    }));
}

#[test]
fn the_flow_label_follows_from_the_inner_flow_unless_one_is_written() {
    let packets = || (0..FLOWS).chain(0..FLOWS).map(|number| flow(number).bytes());
    let labels = |bench: Bench| -> Vec<u32> {
        sent(bench, packets()).iter().map(|frame| label_of(frame)).collect()
    };
    let hashed = labels(Bench::any6());
    let (first, second) = hashed.split_at(usize::from(FLOWS));
    assert_eq!(first, second, "constant within a flow");
    let distinct: BTreeSet<u32> = first.iter().copied().collect();
    assert!(distinct.len() >= 200, "{} labels for {FLOWS} flows", distinct.len());
    assert!(!distinct.contains(&0), "0 says that there is no label");
    assert_eq!(labels(Bench::any6().set("tunnels.n6.flow-label", "hash")), hashed);
    let written = labels(Bench::any6().set("tunnels.n6.flow-label", "74565"));
    assert!(written.iter().all(|label| *label == 0x12345));
}
