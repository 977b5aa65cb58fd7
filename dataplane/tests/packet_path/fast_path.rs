//! The fast path decides nothing of its own: whatever arrives, an appliance with it and one without
//! it send the same bytes by the same ports and count the same.

use core::time::Duration;

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::node::rate_limit::Limits;
use adit_dataplane::tables::NextHop;
use adit_dataplane::tables::labels::Labels;
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::policy::{AddressSet, Ranges, SourceFilter};
use adit_dataplane::tunnel::shim::Shim;
use adit_dataplane::tunnel::{DontFragment, MssClamp, TunnelSetup};
use adit_dataplane::wire::Family;
use proptest::collection::vec;
use proptest::prelude::*;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{as_piece, frame, ip, with_extension};
use super::kinds::{PEERS, crowded};
use super::label_stack::labels;
use super::mutation::{SPECIMENS, mutation};
use super::ordinary::{HERE, THERE, ordinary};
use super::shims::{Service, between, gre_in_udp, service, shim, with_gre_in_udp};
use super::twins::{
    Learnt, counted, dont_fragment, learnt, rates, run, twins, without_identification,
};

/// What each tunnel of an appliance is changed to.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Tweak {
    ttl: Option<u8>,
    min_outer_ttl: u8,
    dscp: Option<u8>,
    copies_dscp: bool,
    ecn: EcnEncap,
    dont_fragment: DontFragment,
    flow_label: Option<u32>,
    protocols: Protocols,
    up: bool,
    hairpin: bool,
    mtu: Option<u16>,
    inner_source: SourceFilter,
    latency: Option<u16>,
    reassembly_seconds: Option<u8>,
    mss: MssClamp,
    learnt: Learnt,
    shim: Option<Shim>,
    /// In front of IP packets.
    push: Labels,
    /// Nothing of the above that has its place in a header, but minimal encapsulation.
    is_minimal: bool,
}

fn protocols() -> impl Strategy<Value = Protocols> {
    let both = Protocols::IPV4.with(Protocols::IPV6);
    prop_oneof![
        4 => Just(both),
        1 => Just(Protocols::IPV4),
        1 => Just(Protocols::IPV6),
        3 => Just(both.with(Protocols::MPLS)),
        1 => Just(Protocols::MPLS),
    ]
}

fn inner_source() -> impl Strategy<Value = SourceFilter> {
    // With some of this node's own addresses, those of its LAN, and the second peer's net.
    let (net4, net6) =
        ((0x0a00_0000, 0x0a03_ffff), (0x2001_0db8_0000 << 80, (0x2001_0db8_0004 << 80) - 1));
    let (no_net4, no_net6) =
        ((0x0a01_0000, 0x0a02_ffff), (0x2001_0db8_0001 << 80, (0x2001_0db8_0003 << 80) - 1));
    let (rest4, rest6) = ((0x0a05_0000, u32::MAX), (0x2001_0db8_0005 << 80, u128::MAX));
    let listed = move |(ipv4, ipv6, routed_is_listed)| SourceFilter::Listed {
        sources: AddressSet { ipv4: Ranges::union(ipv4), ipv6: Ranges::union(ipv6) },
        routed_is_listed,
    };
    let ranges4 = prop_oneof![Just(vec![net4]), Just(vec![no_net4]), Just(vec![net4, rest4])];
    let ranges6 = prop_oneof![Just(vec![net6]), Just(vec![no_net6]), Just(vec![net6, rest6])];
    prop_oneof![
        1 => Just(SourceFilter::Off),
        1 => Just(SourceFilter::Loose),
        1 => Just(SourceFilter::Strict),
        2 => (ranges4, ranges6, any::<bool>()).prop_map(listed),
    ]
}

/// `of_shims`: how many of the tunnels have something between the headers.
fn tweak(of_shims: f64, service: Service) -> impl Strategy<Value = Tweak> {
    let ecn = prop_oneof![Just(EcnEncap::Normal), Just(EcnEncap::Compat), Just(EcnEncap::Rfc3168)];
    let dont_fragment = dont_fragment();
    let protocols = protocols();
    let inner_source = inner_source();
    let looks = (any::<Option<u8>>(), prop_oneof![Just(0), any::<u8>()], 0_u8..64, any::<bool>());
    let more = (
        prop::option::of(0_u32..0x10_0000),
        prop::bool::weighted(0.9),
        any::<bool>(),
        prop::option::of(98_u16..102),
        prop::option::of(0_u16..2),
        prop::option::of(1_u8..=120),
        prop_oneof![Just(MssClamp::Off), Just(MssClamp::Lower), Just(MssClamp::LowerOrInsert)],
        learnt(),
        (
            prop::option::weighted(of_shims, shim(service)),
            prop::option::weighted(0.1, Just(labels(&[16, 17]))),
            prop::bool::weighted(0.1),
        ),
    );
    (looks, any::<bool>(), ecn, dont_fragment, protocols, inner_source, more).prop_map(
        |(looks, copies_dscp, ecn, dont_fragment, protocols, inner_source, more)| {
            let (ttl, min_outer_ttl, dscp, has_dscp) = looks;
            let (flow_label, up, hairpin, mtu, latency, reassembly_seconds, mss, learnt, shim) =
                more;
            let (shim, push, is_minimal) = (shim.0, shim.1.unwrap_or_default(), shim.2);
            Tweak {
                ttl,
                min_outer_ttl,
                dscp: has_dscp.then_some(dscp),
                copies_dscp,
                ecn,
                dont_fragment,
                flow_label,
                protocols,
                up,
                hairpin,
                mtu,
                inner_source,
                latency,
                reassembly_seconds,
                mss,
                learnt,
                shim,
                push,
                is_minimal,
            }
        },
    )
}

impl Tweak {
    fn apply(self, setup: &mut TunnelSetup) {
        if let Some(shim) = self.shim {
            setup.put_shim(shim);
        }
        setup.put_labels(self.push);
        setup.ttl = self.ttl;
        setup.min_outer_ttl = self.min_outer_ttl;
        setup.dscp = self.dscp;
        setup.copies_dscp = self.copies_dscp;
        setup.ecn = self.ecn;
        setup.dont_fragment = self.dont_fragment;
        setup.flow_label = self.flow_label;
        setup.protocols = self.protocols;
        setup.up = self.up;
        setup.hairpin = self.hairpin;
        setup.mtu = self.mtu.unwrap_or(setup.mtu);
        setup.inner_source = self.inner_source;
        setup.latency = self.latency;
        setup.reassembly_seconds = self.reassembly_seconds;
        setup.mss = self.mss;
        if self.is_minimal && setup.outer == Family::Ipv4 && setup.peers.is_none() {
            setup.put_labels(Labels::NONE);
            setup.put_minimal();
        }
    }
}

/// Outer addresses, ours first: those of a tunnel, of nobody's, or such that nobody may have.
fn ends() -> impl Strategy<Value = (&'static str, &'static str)> {
    let strangers = [
        ("198.51.100.1", "203.0.113.66"),
        ("2001:db8:100::1", "2001:db8:200::66"),
        ("10.1.0.1", "203.0.113.2"),
        ("2001:db8:1::1", "2001:db8:200::2"),
        ("198.51.100.1", "10.1.0.1"),
        ("198.51.100.1", "198.51.100.255"),
        ("198.51.100.1", "127.0.0.1"),
        ("2001:db8:100::1", "fe80::5"),
        ("2001:db8:100::1", "2001:db8:1::1"),
        ("2001:db8:100::1", "::1"),
        ("203.0.113.9", "10.1.0.5"),
        ("2001:db8:200::9", "2001:db8:1::5"),
        ("198.51.100.255", "203.0.113.2"),
    ];
    let peers = (0_usize..4).prop_map(|peer| (PEERS[peer].0, PEERS[peer].1));
    prop_oneof![3 => peers, 1 => prop::sample::select(strangers.to_vec())]
}

/// A frame with an ordinary packet: out of the LAN, or out of a tunnel.
fn ordinary_frame(of_shims: f64, service: Service) -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let padding = prop_oneof![3 => Just(0_usize), 1 => 1_usize..30];
    let sent =
        (ordinary(&HERE, &THERE), prop::bool::weighted(0.2)).prop_map(move |(packet, is_alike)| {
            let mut packet = packet.packet();
            if is_alike {
                to_port(&mut packet, service.0 ^ 64);
            }
            (L, frame(L_MAC, H_MAC, &packet))
        });
    let tos_alike = any::<bool>();
    let outer_ttl = prop_oneof![Just(64_u8), any::<u8>()];
    let piece = prop::option::weighted(0.1, (0_u16..4, any::<bool>()));
    let looks = (outer_ttl, prop::option::weighted(of_shims, between(service)));
    let arrived = (ordinary(&THERE, &HERE), ends(), any::<u8>(), tos_alike, looks, piece).prop_map(
        |(packet, (local, remote), tos, tos_alike, (ttl, between), piece)| {
            let tos = if tos_alike { packet.tos } else { tos };
            let (outer, inner) = (ip(remote, local).tos(tos).ttl(ttl), packet.packet());
            let mut outer = match between {
                Some(between) => between.put_around(&inner, outer),
                None => outer.around(&inner),
            };
            if let Some((offset, more)) = piece {
                let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                outer = match outer[0] >> 4 {
                    4 => as_piece(&outer, offset, more),
                    _ => with_extension(&outer, 44, &[0, 0, high, low, 0, 0, 0, 9]),
                };
            }
            (U, frame(U_MAC, G_MAC, &outer))
        },
    );
    (prop_oneof![sent, arrived], padding).prop_map(|((port, mut bytes), padding)| {
        bytes.resize(bytes.len() + padding, 0xaa);
        (port, bytes)
    })
}

/// Sends a packet to another port, if it has ports. One with the same last bits as that of a tunnel looks like the tunnel's.
fn to_port(packet: &mut [u8], port: u16) {
    let (protocol, at) = if packet[0] >> 4 == 4 { (packet[9], 20) } else { (packet[6], 40) };
    if let (17, Some(place)) = (protocol, packet.get_mut(at + 2..at + 4)) {
        place.copy_from_slice(&port.to_be_bytes());
    }
}

/// An ICMP error to this node, about a packet of a tunnel or about something else.
fn error_frame() -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let kinds = [(3, 1), (3, 3), (3, 4), (11, 0), (1, 0), (2, 0), (8, 0), (129, 0)];
    let protocol =
        prop_oneof![3 => Just(4_u8), 1 => Just(41), 1 => Just(17), 1 => Just(47), 1 => Just(137)];
    let kind = prop::sample::select(kinds.to_vec());
    let about = (ends(), protocol, ordinary(&HERE, &THERE), 0_usize..60);
    (about, kind, prop::bool::weighted(0.2), prop::bool::weighted(0.1)).prop_map(
        |(((local, remote), protocol, packet, cut), (kind, code), is_own, is_wrong)| {
            let mut quoted = ip(local, remote).carrying(protocol, &packet.packet());
            quoted.truncate(quoted.len().saturating_sub(cut).min(548));
            let router = match (local.contains(':'), is_own) {
                (true, false) => "2001:db8:300::9",
                (true, true) => "2001:db8:1::1",
                (false, false) => "192.0.2.9",
                (false, true) => "10.1.0.1",
            };
            let mut error = ip(router, local).icmp_error(kind, code, 1400, &quoted);
            if let Some(last) = error.last_mut().filter(|_| is_wrong) {
                *last ^= 1;
            }
            (U, frame(U_MAC, G_MAC, &error))
        },
    )
}

/// An ordinary frame, an error, or a frame with strange bytes.
fn any_frame(of_shims: f64, service: Service) -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let strange = mutation().prop_map(|mutation| SPECIMENS.with(|frames| mutation.apply(frames)));
    prop_oneof![6 => ordinary_frame(of_shims, service), 1 => error_frame(), 2 => strange]
}

/// What the tunnels of an appliance are changed to, and what arrives.
fn scene() -> impl Strategy<Value = (Vec<Tweak>, Vec<(PortId, Vec<u8>)>)> {
    // Mostly all the same, so that frames and tunnels meet.
    let of_shims = prop::sample::select(vec![0.2, 0.5, 0.95, 0.95]);
    (of_shims, service()).prop_flat_map(|(of_shims, service)| {
        (vec(tweak(of_shims, service), 6), vec(any_frame(of_shims, service), 1..150))
    })
}

/// The appliance of the specimens, its tunnels changed.
fn blueprint(tweaks: Vec<Tweak>) -> Blueprint {
    let mut plan = crowded();
    // A packet to a peer may not go into the tunnel to it.
    plan.route("203.0.113.2/32", NextHop::Tunnel(TunnelId(0)));
    plan.route("2001:db8:200::2/128", NextHop::Tunnel(TunnelId(1)));
    for (number, tweak) in tweaks.into_iter().enumerate() {
        tweak.apply(plan.setup(number));
    }
    plan
}

/// The same, with their tunnels changed, and what they know about paths.
fn changed_twins(tweaks: Vec<Tweak>, rates: Limits, answers_unmatched: bool) -> [Appliance; 2] {
    let learnt: Vec<Learnt> = tweaks.iter().map(|tweak| tweak.learnt).collect();
    let mut plan = blueprint(tweaks);
    plan.limits.answers_unmatched = answers_unmatched;
    let twins = twins(&plan, rates);
    for appliance in &twins {
        for ((setup, _), learnt) in plan.tunnels.iter().zip(&learnt) {
            learnt.teach(setup.path, appliance);
        }
    }
    twins
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn frame_by_frame_the_bytes_and_the_counters_are_those_of_the_stages(
        (tweaks, frames) in scene(),
        rates in rates(), answers_unmatched in prop::bool::weighted(0.2),
    ) {
        let [mut fast, mut slow] = changed_twins(tweaks, rates, answers_unmatched);
        for frame in frames {
            let frame = [frame];
            for appliance in [&mut fast, &mut slow] {
                appliance.now = appliance.now + Duration::from_micros(700);
            }
            prop_assert_eq!(run(&mut fast, &frame), run(&mut slow, &frame), "{:02x?}", frame);
            prop_assert_eq!(counted(&mut fast), counted(&mut slow), "{:02x?}", frame);
        }
    }

    #[test]
    fn bursts_leave_in_the_order_and_with_the_counters_of_the_stages(
        (tweaks, frames) in scene(),
        rates in rates(), answers_unmatched in prop::bool::weighted(0.2),
    ) {
        let [mut fast, mut slow] = changed_twins(tweaks, rates, answers_unmatched);
        let sent = [&mut fast, &mut slow].map(|appliance| {
            let sent = run(appliance, &frames).into_iter().map(without_identification);
            sent.collect::<Vec<_>>()
        });
        prop_assert_eq!(&sent[0], &sent[1]);
        prop_assert_eq!(counted(&mut fast), counted(&mut slow));
    }
}

/// Two tunnels with GRE in UDP, and packets into them and out of them.
fn scene_with_gre_in_udp() -> impl Strategy<Value = (Shim, Vec<(PortId, Vec<u8>)>)> {
    gre_in_udp().prop_flat_map(|kind| {
        let (shim, between) = with_gre_in_udp(kind);
        let sent = ordinary(&HERE, &THERE[..2])
            .prop_map(|packet| (L, frame(L_MAC, H_MAC, &packet.packet())));
        let arrived = (ordinary(&THERE, &HERE[..2]), 0_usize..2, between).prop_map(
            |(packet, peer, between)| {
                let (local, remote, ..) = PEERS[peer];
                let outer = ip(remote, local).tos(packet.tos);
                (U, frame(U_MAC, G_MAC, &between.put_around(&packet.packet(), outer)))
            },
        );
        (shim, vec(prop_oneof![1 => sent, 2 => arrived], 1..100))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn gre_in_udp_goes_in_and_out_as_the_stages_have_it((shim, frames) in scene_with_gre_in_udp()) {
        let mut plan = crowded();
        for number in 0..2 {
            plan.setup(number).encap_limit = None;
            plan.setup(number).put_shim(shim.clone());
        }
        let [mut fast, mut slow] = twins(&plan, Limits::DEFAULT);
        for frame in frames {
            let frame = [frame];
            prop_assert_eq!(run(&mut fast, &frame), run(&mut slow, &frame), "{:02x?}", frame);
            prop_assert_eq!(counted(&mut fast), counted(&mut slow), "{:02x?}", frame);
        }
    }
}

#[test]
fn an_outer_destination_of_zeros_is_nobodys_even_if_the_tunnel_has_no_local_address() {
    for (number, zeros) in [(0, "0.0.0.0"), (1, "::")] {
        let mut plan = crowded();
        plan.setup(number).local = None;
        let inner = ip("10.2.0.8", "10.1.0.5").udp(84);
        let frame = (U, frame(U_MAC, G_MAC, &ip(PEERS[number].1, zeros).around(&inner)));
        for mut appliance in twins(&plan, Limits::DEFAULT) {
            let sent = run(&mut appliance, core::slice::from_ref(&frame));
            assert!(sent.iter().all(|sent| sent.port != L), "{sent:02x?}");
        }
    }
}

#[test]
fn with_large_tables_it_is_the_same() {
    let mut plan = crowded();
    for net in 11..=40 {
        for subnet in (0..=u8::MAX).step_by(4) {
            plan.route(&format!("{net}.{subnet}.0.0/24"), NextHop::Blackhole);
        }
    }
    for net in 0x3000..0x6000 {
        plan.route(&format!("2001:db8:{net:x}:1::/64"), NextHop::Blackhole);
    }
    assert!(plan.build(1).fib4.is_large() && plan.build(1).fib6.is_large());
    let [mut fast, mut slow] = twins(&plan, Limits::DEFAULT);
    let mut frames = SPECIMENS.with(Clone::clone);
    frames.push((L, frame(L_MAC, H_MAC, &ip("10.1.0.5", "12.4.0.7").udp(60))));
    frames.push((L, frame(L_MAC, H_MAC, &ip("2001:db8:1::5", "2001:db8:3001:1::7").udp(60))));
    for frame in frames.chunks(7) {
        let sent = [&mut fast, &mut slow].map(|appliance| {
            let sent = run(appliance, frame).into_iter().map(without_identification);
            sent.collect::<Vec<_>>()
        });
        assert_eq!(sent[0], sent[1]);
        assert_eq!(counted(&mut fast), counted(&mut slow));
    }
}

#[test]
fn what_is_for_an_address_of_ours_that_is_not_used_ends_alike() {
    let mut plan = crowded();
    let (ours, peer) = ("2001:db8:7::7", "2001:db8:200::2");
    plan.route(&format!("{ours}/128"), NextHop::Unproved);
    let inner = ip("10.2.0.8", "10.1.0.5").udp(84);
    let [mut fast, mut slow] = twins(&plan, Limits::DEFAULT);
    for packet in [
        ip("2001:db8:1::5", ours).udp(84),
        ip("2001:db8:1::5", ours).ttl(1).udp(84),
        ip("2001:db8:1::5", ours).carrying(58, &[128, 0, 0, 0, 0, 0, 0, 0]),
        ip(peer, ours).around(&inner),
    ] {
        let frames = [(U, frame(U_MAC, G_MAC, &packet))];
        for appliance in [&mut fast, &mut slow] {
            assert_eq!(run(appliance, &frames).len(), 0);
            assert_eq!(counted(appliance).0, [("ip6.unproved", 1)]);
        }
    }
}
