//! What the fast path does with frames is what the stages do: those of a port whose frames all go into a tunnel, and
//! those that come out of tunnels.

use core::time::Duration;
use std::sync::Arc;

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::node::rate_limit::Limits;
use adit_dataplane::tunnel::ecn::EcnEncap;
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::remotes::{Remote, Remotes};
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::source_port::SourcePort;
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::tunnel::{DontFragment, MssClamp, TunnelSetup};
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::udp::set_checksum;
use proptest::collection::vec;
use proptest::prelude::*;

use super::appliance::{A, Appliance, Blueprint, G_MAC, GUE, L, L_MAC, U, U_MAC};
use super::frames::{as_piece, frame, frame_of, ip, mend_ipv4, with_extension, with_options};
use super::ordinary::{HERE, THERE, ordinary};
use super::shims::source_port;
use super::twins::{Learnt, counted, dont_fragment, learnt, run, twins, without_identification};

const A_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];

/// The ends of the two tunnels; frames of port A go into one of them.
const ENDS: [(&str, &str); 2] =
    [("198.51.100.1", "203.0.113.2"), ("2001:db8:100::1", "2001:db8:200::2")];

const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;
const KEY: u32 = 7;
const NETWORK: u32 = 42;

/// What an appliance has between outer headers and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Gre { has_key: bool },
    Vxlan,
    Geneve,
    GreInGue,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        2 => any::<bool>().prop_map(|has_key| Between::Gre { has_key }),
        4 => Just(Between::Vxlan),
        2 => Just(Between::Geneve),
        1 => Just(Between::GreInGue),
    ]
}

/// What the tunnels of an appliance have in common.
#[derive(Clone, Debug)]
struct Tweak {
    between: Between,
    gre: [bool; 3],
    udp: (SourcePort, bool, bool, bool),
    outside: (Option<u8>, u8, Option<u8>, Option<u32>),
    ecn: EcnEncap,
    dont_fragment: DontFragment,
    mss: MssClamp,
    mtu: Option<u16>,
    latency: Option<u16>,
    learnt: Learnt,
    /// Takes tags, is never cut, hears its own station.
    rules: [bool; 3],
    /// Cuts what does not fit, copies DSCP out, has several sources, has an encapsulation limit, is down, or no packet
    /// may enter any tunnel.
    odd: [bool; 7],
    /// Which tunnel the frames of A go into.
    attached: usize,
    /// Where frames leave that come out of the other one.
    other_port: PortId,
    port_mtu: u16,
}

fn tweak() -> impl Strategy<Value = Tweak> {
    let ecn = prop_oneof![
        4 => Just(EcnEncap::Normal), 1 => Just(EcnEncap::Compat), 1 => Just(EcnEncap::Rfc3168)
    ];
    let mss =
        prop_oneof![Just(MssClamp::Off), Just(MssClamp::Lower), Just(MssClamp::LowerOrInsert)];
    let rarely = || prop::bool::weighted(0.07);
    let outside = (
        any::<Option<u8>>(),
        prop_oneof![Just(0), any::<u8>()],
        prop::option::of(0_u8..64),
        prop::option::of(0_u32..0x10_0000),
    );
    (
        (
            between(),
            [rarely(), rarely(), rarely()],
            (source_port(), any::<bool>(), any::<bool>(), any::<bool>()),
        ),
        (outside, ecn, dont_fragment(), mss),
        (prop::option::of(98_u16..102), prop::option::of(0_u16..2), learnt()),
        (
            any::<[bool; 3]>(),
            [rarely(), rarely(), rarely(), rarely(), rarely(), rarely(), rarely()],
        ),
        (0_usize..2, prop_oneof![Just(A), Just(L)], prop_oneof![3 => Just(1500), 1 => 90_u16..110]),
    )
        .prop_map(
            |((between, gre, udp), outer, (mtu, latency, learnt), (rules, odd), ports)| {
                let (outside, ecn, dont_fragment, mss) = outer;
                let (attached, other_port, port_mtu) = ports;
                Tweak {
                    between,
                    gre,
                    udp,
                    outside,
                    ecn,
                    dont_fragment,
                    mss,
                    mtu,
                    latency,
                    learnt,
                    rules,
                    odd,
                    attached,
                    other_port,
                    port_mtu,
                }
            },
        )
}

impl Tweak {
    fn shim(&self) -> Shim {
        let [has_checksum, requires_checksum, has_sequence] = self.gre;
        let (sends_from, udp_checksum, needs_no_checksum, is_strict) = self.udp;
        let key = (self.between != Between::Gre { has_key: false }).then_some(KEY);
        let gre = Gre {
            output_key: key,
            input_key: key,
            has_checksum,
            requires_checksum,
            has_sequence,
            ..Gre::default()
        };
        let udp = |port, header| {
            let listens_at = port;
            let has_checksum = udp_checksum;
            let sends_to = port;
            Some(Udp { listens_at, sends_to, sends_from, has_checksum, needs_no_checksum, header })
        };
        match self.between {
            Between::Gre { .. } => Kind::Gre(gre).into(),
            Between::Vxlan => {
                let header = UdpHeader::Vxlan(Vxlan { id: NETWORK, is_strict });
                Shim { udp: udp(VXLAN_PORT, header), kind: Kind::None }
            }
            Between::Geneve => {
                let header = UdpHeader::Geneve { id: NETWORK };
                Shim { udp: udp(GENEVE_PORT, header), kind: Kind::None }
            }
            Between::GreInGue => {
                Shim { udp: udp(GUE.listens_at, UdpHeader::Gue), kind: Kind::Gre(gre) }
            }
        }
    }

    fn apply(&self, number: usize, setup: &mut TunnelSetup) {
        let (ttl, min_outer_ttl, dscp, flow_label) = self.outside;
        let [fragments_outer, copies_dscp, has_sources, has_limit, is_down, _, has_remotes] =
            self.odd;
        let [takes_tags, is_never_cut, hears_own] = self.rules;
        setup.protocols = Protocols::ETHERNET;
        setup.put_shim(self.shim());
        setup.mtu -= 14;
        setup.ttl = ttl;
        setup.min_outer_ttl = min_outer_ttl;
        setup.dscp = dscp;
        setup.flow_label = flow_label;
        setup.ecn = self.ecn;
        setup.dont_fragment = self.dont_fragment;
        setup.mss = self.mss;
        setup.mtu = self.mtu.unwrap_or(setup.mtu);
        setup.latency = self.latency;
        setup.fragments_outer = fragments_outer;
        setup.copies_dscp = copies_dscp;
        setup.up = !is_down;
        if number == 0 && has_sources {
            setup.more_locals = Box::new(["198.51.100.7".parse().unwrap()]);
        }
        if number == 1 && has_limit {
            setup.encap_limit = Some(4);
        }
        let attach = if number == self.attached { A } else { self.other_port };
        let own_station = (!hears_own).then_some(Counter::VxlanSelfMac);
        let rules = FrameRules::any(attach);
        let path = setup.path;
        let remotes = (has_remotes && number == 0).then(|| {
            let all = ["203.0.113.2", "203.0.113.9"].map(|one| one.parse().unwrap());
            let all = all.map(|address| Remote { address, path });
            Box::new(Remotes::new(all, [], Some(Arc::default())))
        });
        let rules = FrameRules { remotes, ..rules };
        setup.frames = Some(FrameRules { takes_tags, is_never_cut, own_station, ..rules });
    }

    /// Two appliances with both tunnels, with the fast path and without.
    fn twins(&self) -> [Appliance; 2] {
        let mut plan = Blueprint::bench();
        let mut port = plan.ports[0].clone();
        port.mac = MacAddress(A_MAC);
        port.mtu = self.port_mtu;
        plan.ports.push(port);
        if self.odd[5] {
            plan.limits.nested_encaps = 0;
        }
        for (number, (local, remote)) in ENDS.into_iter().enumerate() {
            let id = plan.tunnel(local, remote);
            self.apply(number, plan.setup(number));
            if number == self.attached {
                plan.attached.push((A, id));
            }
        }
        assert_eq!(plan.attached, [(A, TunnelId(u32::try_from(self.attached).unwrap()))]);
        let twins = twins(&plan, Limits::DEFAULT);
        for appliance in &twins {
            for (setup, _) in &plan.tunnels {
                self.learnt.teach(setup.path, appliance);
            }
        }
        twins
    }
}

/// A packet in a frame: mostly ordinary, with options or headers, a piece, or wrong.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![8 => Just(None), 4 => (0_u8..4, 0_usize..60, any::<u8>()).prop_map(Some)];
    (ordinary(&HERE, &THERE), odd).prop_map(|(packet, odd)| {
        let mut packet = packet.packet();
        let is_ipv4 = packet[0] >> 4 == 4;
        match odd {
            Some((0, _, kind)) if is_ipv4 => with_options(&packet, &[kind & 1, 1, 1, 1]),
            Some((0, ..)) => with_extension(&packet, 60, &[0, 0, 1, 4, 0, 0, 0, 0]),
            Some((1, _, offset)) if is_ipv4 => as_piece(&packet, offset.into(), offset & 1 == 0),
            Some((1, ..)) => with_extension(&packet, 44, &[0, 0, 0, 1, 0, 0, 0, 9]),
            Some((2, at, value)) => {
                let at = at.min(packet.len() - 1);
                packet[at] = value;
                packet
            }
            Some((_, at, value)) => {
                let at = at.min(packet.len() - 1);
                packet[at] = value;
                if is_ipv4 {
                    mend_ipv4(&mut packet);
                }
                packet
            }
            None => packet,
        }
    })
}

/// A frame between stations: with a packet, with tags, padding, of another kind, from a station of ours, or cut off.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stations = [[2, 0, 0, 0, 1, 1], [0xff; 6], [2, 0, 0, 0, 2, 2], A_MAC, L_MAC, U_MAC];
    let station =
        || prop_oneof![6 => Just([2, 0, 0, 0, 3, 3]), 1 => prop::sample::select(stations.to_vec())];
    let tags = prop_oneof![
        8 => Just(vec![]),
        1 => Just(vec![[0x81, 0, 0, 7]]),
        1 => Just(vec![[0x88, 0xa8, 0, 7], [0x81, 0, 0, 8]]),
    ];
    let carried = prop_oneof![
        10 => packet().prop_map(|packet| (None, packet)),
        1 => (prop_oneof![Just(0x0806_u16), Just(0x0800), Just(0x86dd), any::<u16>()], vec(any::<u8>(), 0..60))
            .prop_map(|(kind, payload): (u16, Vec<u8>)| (Some(kind), payload)),
    ];
    let padding = prop_oneof![3 => Just(0_usize), 1 => 1_usize..30];
    let cut = prop::option::weighted(0.05, 0_usize..60);
    (station(), station(), tags, carried, padding, cut).prop_map(
        |(to, from, tags, (kind, payload), padding, cut)| {
            let mut bytes = match kind {
                Some(kind) => frame_of(kind, to, from, &payload),
                None => frame(to, from, &payload),
            };
            bytes.splice(12..12, tags.concat());
            bytes.resize(bytes.len() + padding, 0xaa);
            bytes.truncate(cut.unwrap_or(bytes.len()));
            bytes
        },
    )
}

/// How a peer sends a frame.
#[derive(Clone, Debug)]
struct Sent {
    inside: Vec<u8>,
    tunnel: usize,
    outer: (u8, u8),
    /// The ECN field outside is that inside.
    ecn_alike: bool,
    /// A bit of the header between, mostly none.
    bit: Option<usize>,
    sum: Sum,
    /// What is added to the length of UDP.
    longer: i8,
    padding: usize,
    is_piece: bool,
}

#[derive(Clone, Copy, Debug)]
enum Sum {
    Right,
    Absent,
    Wrong,
}

fn sent() -> impl Strategy<Value = Sent> {
    let ttl = prop_oneof![Just(64_u8), any::<u8>()];
    let sum = prop_oneof![5 => Just(Sum::Right), 5 => Just(Sum::Absent), 1 => Just(Sum::Wrong)];
    let longer = prop_oneof![12 => Just(0_i8), 1 => -60_i8..9];
    let looks = (any::<u8>(), ttl);
    let bit = prop::option::weighted(0.15, 0_usize..64);
    let padding = prop_oneof![3 => Just(0_usize), 1 => 1_usize..30];
    let more = (bit, sum, longer, padding, prop::bool::weighted(0.03));
    (any_frame(), 0_usize..2, looks, prop::bool::weighted(0.7), more).prop_map(
        |(inside, tunnel, outer, ecn_alike, (bit, sum, longer, padding, is_piece))| Sent {
            inside,
            tunnel,
            outer,
            ecn_alike,
            bit,
            sum,
            longer,
            padding,
            is_piece,
        },
    )
}

impl Sent {
    /// The header between the outer one and the frame, and the UDP port if it is in UDP.
    fn header(&self, between: Between) -> (Option<u16>, Vec<u8>) {
        let [a, b, c, d] = NETWORK.to_be_bytes();
        let gre_key = [0x20, 0, 0x65, 0x58, 0, 0, 0, 7];
        let (port, mut header) = match between {
            Between::Gre { has_key: false } => (None, vec![0, 0, 0x65, 0x58]),
            Between::Gre { has_key: true } => (None, gre_key.to_vec()),
            Between::Vxlan => (Some(VXLAN_PORT), vec![8, 0, 0, 0, b, c, d, a]),
            Between::Geneve => (Some(GENEVE_PORT), vec![0, 0, 0x65, 0x58, b, c, d, a]),
            Between::GreInGue => (Some(6080), [&[0, 47, 0, 0][..], &gre_key].concat()),
        };
        if let Some(bit) = self.bit.filter(|bit| bit / 8 < header.len()) {
            header[bit / 8] ^= 0x80 >> (bit % 8);
        }
        (port, header)
    }

    /// The frame that arrives at U.
    fn arrives(&self, between: Between) -> Vec<u8> {
        let (local, remote) = ENDS[self.tunnel];
        let (mut tos, ttl) = self.outer;
        if self.ecn_alike {
            let inner = match self.inside.get(12..16) {
                Some([8, 0, _, inner]) => *inner,
                Some([0x86, 0xdd, high, low]) => high << 4 | low >> 4,
                _ => 0,
            };
            tos = tos & !3 | inner & 3;
        }
        let outer = ip(remote, local).tos(tos).ttl(ttl);
        let (port, header) = self.header(between);
        let mut packet = match port {
            None => outer.carrying(47, &[header, self.inside.clone()].concat()),
            Some(port) => {
                let len = u16::try_from(8 + header.len() + self.inside.len()).unwrap();
                let mut udp = vec![0xc0, 7];
                udp.extend(port.to_be_bytes());
                udp.extend(len.wrapping_add_signed(self.longer.into()).to_be_bytes());
                udp.extend([0, 0]);
                let mut packet = outer.carrying(17, &[udp, header, self.inside.clone()].concat());
                let at = packet.len() - usize::from(len);
                self.sum_up(
                    &mut packet,
                    at,
                    usize::from(len).saturating_add_signed(self.longer.into()),
                );
                packet
            }
        };
        if self.is_piece && packet[0] >> 4 == 4 {
            packet = as_piece(&packet, 0, true);
        }
        let mut bytes = frame(U_MAC, G_MAC, &packet);
        bytes.resize(bytes.len() + self.padding, 0xaa);
        bytes
    }

    /// Fills in the sum of a datagram at `at` that says to have `said` bytes.
    fn sum_up(&self, packet: &mut [u8], at: usize, said: usize) {
        let end = (at + said.max(8)).min(packet.len());
        if !matches!(self.sum, Sum::Absent) {
            set_checksum(&mut packet[..end], at);
        }
        if matches!(self.sum, Sum::Wrong) {
            packet[at + 6] ^= 4;
        }
    }
}

/// Tunnels, and what arrives at ports A and U.
fn scene() -> impl Strategy<Value = (Tweak, Vec<(PortId, Vec<u8>)>)> {
    let arrival = prop_oneof![
        any_frame().prop_map(|frame| (Some(frame), None)),
        sent().prop_map(|sent| (None, Some(sent))),
    ];
    (tweak(), vec(arrival, 1..120)).prop_map(|(tweak, arrivals)| {
        let frames = arrivals.into_iter().map(|(frame, sent)| match (frame, sent) {
            (Some(frame), _) => (A, frame),
            (_, Some(sent)) => (U, sent.arrives(tweak.between)),
            _ => unreachable!("one or the other"),
        });
        let frames = frames.collect();
        (tweak, frames)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn frame_by_frame_what_is_done_is_what_the_stages_do((tweak, frames) in scene()) {
        let [mut fast, mut slow] = tweak.twins();
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
    fn bursts_of_frames_leave_in_the_order_and_with_the_counters_of_the_stages(
        (tweak, frames) in scene(),
    ) {
        let [mut fast, mut slow] = tweak.twins();
        let sent = [&mut fast, &mut slow].map(|appliance| {
            let sent = run(appliance, &frames).into_iter().map(without_identification);
            sent.collect::<Vec<_>>()
        });
        prop_assert_eq!(&sent[0], &sent[1]);
        prop_assert_eq!(counted(&mut fast), counted(&mut slow));
    }
}
