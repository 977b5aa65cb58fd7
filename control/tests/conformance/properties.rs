//! Properties over generated packets: what one appliance encapsulates the other gives back, and no bytes
//! whatever make a frame vanish or the appliance fall over.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use crate::addresses::{G_MAC, H, H6, L_MAC, R, R6, U_MAC};
use crate::bench::Bench;
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, OPAQUE, UDP, ethernet, from_gateway, from_host, peer4,
    peer6, seal_ipv4, udp4, udp6,
};
use crate::run::{MILLISECOND, Replay};

const R_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x08];
const FAR_L_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x22];

/// The appliance at the other end: its underlay port is what the near one knows as the gateway.
fn far_end(mode: &str, over6: bool) -> Bench {
    let (local, remote) = if over6 {
        (r#""2001:db8:200::2""#, r#""2001:db8:100::1""#)
    } else {
        ("203.0.113.2", "198.51.100.1")
    };
    let back = r#"{ 203.0.113.254: "02:00:00:00:00:01", "2001:db8:200::fe": "02:00:00:00:00:01" }"#;
    let hosts = r#"{ 10.2.0.8: "02:00:00:00:00:08", "2001:db8:2::8": "02:00:00:00:00:08" }"#;
    Bench::bare()
        .set("ports.u.macaddress", r#""02:00:00:00:00:fe""#)
        .set("ports.u.addresses", r#"[203.0.113.2/24, "2001:db8:200::2/64"]"#)
        .set("ports.u.neighbors", back)
        .set("ports.l.macaddress", r#""02:00:00:00:00:22""#)
        .set("ports.l.addresses", r#"[10.2.0.1/16, "2001:db8:2::1/64"]"#)
        .set("ports.l.neighbors", hosts)
        .without_routes()
        .route("{ to: 198.51.100.0/24, via: 203.0.113.254 }")
        .route(r#"{ to: "2001:db8:100::/64", via: "2001:db8:200::fe" }"#)
        .tunnel("back", mode, local, remote)
        .route("{ to: 10.1.0.0/24, tunnel: back }")
        .route(r#"{ to: "2001:db8:1::/64", tunnel: back }"#)
}

/// An inner IPv4 packet from H to R: any field that a router must leave alone, any payload.
fn any_ipv4() -> impl Strategy<Value = Ipv4Packet> {
    let payload = prop::collection::vec(any::<u8>(), 0..1420);
    let fields = (3u8.., any::<u8>(), any::<u16>(), any::<bool>(), 0u16..8000, any::<bool>());
    let options = prop::sample::select(vec![0usize, 0, 0, 4, 12]);
    (payload, fields, options).prop_map(|(payload, fields, options)| {
        let (ttl, tos, id, alone, offset, more) = fields;
        let protocol = if ttl % 2 == 0 { UDP } else { OPAQUE };
        let packet = Ipv4Packet::new(H, R, protocol, payload).ttl(ttl).tos(tos).id(id);
        let packet = packet.options(&vec![1; options]);
        if alone { packet } else { packet.dont_fragment(false).fragment(offset, more) }
    })
}

fn any_ipv6() -> impl Strategy<Value = Ipv6Packet> {
    let payload = prop::collection::vec(any::<u8>(), 0..1400);
    (payload, 3u8.., any::<u8>(), 0u32..0x10_0000).prop_map(|(payload, hops, class, label)| {
        let next = if hops % 2 == 0 { UDP } else { OPAQUE };
        let packet = Ipv6Packet::new(H6, R6, next, payload);
        packet.hop_limit(hops).traffic_class(class).flow_label(label)
    })
}

/// Sends `frames` through the near appliance and what it sends through the far one.
fn through_both(near: Bench, far: Bench, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut replay = Replay::new(near);
    for (at, frame) in frames.iter().enumerate() {
        replay.input("l", at as u64 * 1000, frame.clone());
    }
    let between = replay.run();
    let mut replay = Replay::new(far);
    for record in &between.sent["u"] {
        replay.input("u", record.time - crate::run::START, record.frame.clone());
    }
    replay.run().frames("l")
}

/// A frame that is almost a tunnel packet: cut, stretched, some bytes changed, the outer checksum right
/// or not.
fn any_mutant() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0usize..120, any::<u8>()), 0..6);
    (0usize..6, changes, 0usize..200, any::<bool>()).prop_map(|(kind, changes, cut, sealed)| {
        let mut frame = match kind {
            0 => from_gateway(peer4(IPIP, udp4(R, H, 84))),
            1 => from_gateway(peer4(IPV6, udp6(R6, H6, 100))),
            2 => from_gateway(peer6(IPIP, udp4(R, H, 84))),
            3 => from_gateway(peer6(IPV6, udp6(R6, H6, 100))),
            4 => from_gateway(peer6(60, vec![4, 0, 1, 4, 0, 0, 0, 0])),
            _ => from_gateway(crate::icmp::echo_request4(R, H, 84)),
        };
        for (at, value) in changes {
            let at = at % frame.len();
            frame[at] = value;
        }
        if cut > 120 {
            frame.truncate(frame.len() * (200 - cut) / 80);
        }
        if sealed && frame.len() >= 34 && frame[14] == 0x45 {
            seal_ipv4(&mut frame, 14);
        }
        frame
    })
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => any_mutant(),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(any::<u8>(), 20..200).prop_map(|payload| {
            ethernet(U_MAC, G_MAC, [&[0x45][..], &payload].concat())
        }),
        1 => prop::collection::vec(any::<u8>(), 40..200).prop_map(|payload| {
            ethernet(U_MAC, G_MAC, [&[0x60][..], &payload].concat())
        }),
    ]
}

/// Few cases by default, as each runs the appliance; `PROPTEST_CASES` asks for more.
fn settings() -> ProptestConfig {
    let asked = ProptestConfig::default().cases;
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked } else { 8 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn what_one_site_encapsulates_the_other_gives_back(
        packets in prop::collection::vec(any_ipv4(), 100),
        over6 in any::<bool>(),
    ) {
        let near = if over6 { Bench::any6() } else { Bench::ipip() };
        let far = far_end(if over6 { "any" } else { "ipip" }, over6);
        let far = if over6 { far } else { far.without_route("2001:db8:1::/64") };
        let frames: Vec<_> = packets.iter().map(|one| from_host(one.clone())).collect();
        let back = through_both(near, far, &frames);
        let wanted: Vec<_> = packets
            .into_iter()
            .map(|one| { let ttl = one.header.time_to_live - 2; one.ttl(ttl) })
            .map(|one| ethernet(R_MAC, FAR_L_MAC, one))
            .collect();
        prop_assert_eq!(back, wanted);
    }

    #[test]
    fn what_one_site_encapsulates_of_ipv6_the_other_gives_back(
        packets in prop::collection::vec(any_ipv6(), 100),
        over6 in any::<bool>(),
    ) {
        let near = if over6 { Bench::ip6ip6() } else { Bench::sit() };
        let far = far_end(if over6 { "ip6ip6" } else { "sit" }, over6);
        let far = far.without_route("10.1.0.0/24");
        let frames: Vec<_> = packets.iter().map(|one| from_host(one.clone())).collect();
        let back = through_both(near, far, &frames);
        let wanted: Vec<_> = packets
            .into_iter()
            .map(|one| { let hops = one.header.hop_limit - 2; one.hop_limit(hops) })
            .map(|one| ethernet(R_MAC, FAR_L_MAC, one))
            .collect();
        prop_assert_eq!(back, wanted);
    }

    #[test]
    fn any_bytes_are_accounted_for_and_answered_alike_twice(
        frames in prop::collection::vec(any_frame(), 300),
    ) {
        let bench = Bench::any6()
            .tunnel("t0", "sit", "198.51.100.1", "203.0.113.2")
            .set("tunnels.t0.payload", "any")
            .set("tunnels.t0.inner-source", "loose");
        let mut replay = Replay::new(bench);
        for (at, frame) in frames.iter().enumerate() {
            let port = if at % 4 == 0 { "l" } else { "u" };
            let mut frame = frame.clone();
            if port == "l" && frame.len() > 6 && frame[..6] == U_MAC {
                frame[..6].copy_from_slice(&L_MAC);
            }
            replay.input(port, at as u64 * MILLISECOND, frame);
        }
        replay.linger = Some("10".into());
        let (one, two) = (replay.run(), replay.run());
        prop_assert_eq!(&one.sent, &two.sent);
        prop_assert_eq!(&one.counters, &two.counters);
        prop_assert_eq!(one.counter("balance.received"), frames.len() as u64);
    }
}

#[test]
fn the_far_end_of_the_property_is_the_mirror_of_the_bench() {
    assert_eq!(Ipv4Addr::from(peer4(IPIP, []).header.source), Ipv4Addr::new(203, 0, 113, 2));
    assert!(far_end("ipip", false).yaml().contains("local: 203.0.113.2"));
}
