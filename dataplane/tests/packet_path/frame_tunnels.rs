//! Tunnels of Ethernet frames: whatever frame goes in comes out at the far end as it was, and no bytes at all in place of
//! one do harm.

use std::sync::Arc;

use adit_dataplane::counters::Counter;
use adit_dataplane::device::{MemoryDevice, SentFrame};
use adit_dataplane::interface::{Interface, TunnelId};
use adit_dataplane::packet::MemoryPool;
use adit_dataplane::tables::mirrors::Sessions;
use adit_dataplane::tables::soft_state::TunnelPath;
use adit_dataplane::tables::{NextHop, Port};
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::gre::Gre;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::remotes::{Remote, Remotes};
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::wire::ethernet::MacAddress;
use proptest::collection::vec;
use proptest::prelude::*;

use super::appliance::{A, Appliance, Blueprint, G_MAC, GUE, U, U_MAC, settings};
use super::frames::{ip, mend_ipv4};
use super::sessions::{add_session, version_two};

const A_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];

const ENDS: [(&str, &str); 2] =
    [("198.51.100.1", "203.0.113.2"), ("2001:db8:100::1", "2001:db8:200::2")];

/// What stands between the outer header and the frame.
fn shim(kind: usize) -> Shim {
    let udp = |port, header, has_checksum| {
        let udp = Udp {
            listens_at: port,
            sends_to: port,
            header,
            has_checksum,
            needs_no_checksum: true,
            ..GUE
        };
        Shim { udp: Some(udp), kind: Kind::None }
    };
    match kind {
        0 => Kind::Gre(Gre::default()).into(),
        1 => {
            let (key, sequences) = (Some(7), Some(Arc::default()));
            let gre = Gre {
                output_key: key,
                input_key: key,
                has_checksum: true,
                has_sequence: true,
                sequences,
                ..Gre::default()
            };
            Kind::Gre(gre).into()
        }
        2 => udp(4789, UdpHeader::Vxlan(Vxlan { id: 42, is_strict: true }), false),
        3 => udp(6081, UdpHeader::Geneve { id: 0x00ff_ffff }, true),
        _ => {
            let inside = udp(6080, UdpHeader::Gue, true);
            Shim { kind: Kind::Gre(Gre::default()), ..inside }
        }
    }
}

/// One end, with the port A attached to its tunnel.
fn end(mut plan: Blueprint, kind: usize) -> Appliance {
    let setup = plan.setup(0);
    setup.protocols = Protocols::ETHERNET;
    let own_station = Some(Counter::VxlanSelfMac);
    setup.frames = Some(FrameRules { own_station, ..FrameRules::any(A) });
    setup.put_shim(shim(kind));
    setup.mtu -= 14;
    let mut port = plan.ports[0].clone();
    port.mac = MacAddress(A_MAC);
    plan.ports.push(port);
    plan.attached.push((A, TunnelId(0)));
    plan.start()
}

/// Some frame, mostly with an IP packet in it, behind VLAN tags perhaps.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just([8_u8, 0]), Just([0x86, 0xdd]), any::<[u8; 2]>()];
    let tags = vec(any::<[u8; 2]>(), 0..3);
    let packet = prop_oneof![
        (20_usize..1200, any::<u8>())
            .prop_map(|(len, tos)| { ip("10.1.0.5", "10.2.0.8").tos(tos & !3).udp(len.max(60)) }),
        (60_usize..1200).prop_map(|len| ip("2001:db8:1::5", "2001:db8:2::8").udp(len)),
        vec(any::<u8>(), 0..200),
    ];
    (any::<[u8; 12]>(), tags, kind, packet).prop_map(|(mut stations, tags, kind, packet)| {
        // Not from a station of ours.
        stations[11] |= 0x80;
        let tags = tags.iter().flat_map(|[high, low]| [0x81, 0, *high, *low]);
        stations.into_iter().chain(tags).chain(kind).chain(packet).collect()
    })
}

proptest! {
    #[test]
    fn any_frame_comes_out_as_it_went_in(
        kind in 0_usize..5, ends in prop::sample::select(&ENDS[..]), frame in frame(),
    ) {
        let (local, remote) = ends;
        let mut near = end(Blueprint::with_t0(local, remote), kind);
        let mut far = end(Blueprint::far_end(local, remote), kind);
        let sent = near.pass(A, &frame);
        prop_assert_eq!(sent.len(), 1, "{:?}", near.moved());
        prop_assert_eq!(sent[0].port, U);
        let mut outer = sent[0].bytes.clone();
        outer[..12].copy_from_slice(&[U_MAC, G_MAC].concat());
        let came = far.pass(U, &outer);
        prop_assert_eq!(came.len(), 1, "{:?}", far.moved());
        prop_assert_eq!(came[0].port, A);
        prop_assert_eq!(&came[0].bytes, &frame);
    }

    #[test]
    fn no_change_of_what_arrives_does_harm(
        kind in 0_usize..5, ends in prop::sample::select(&ENDS[..]), frame in frame(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), mends: bool,
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let (local, remote) = ends;
        let mut near = end(Blueprint::with_t0(local, remote), kind);
        let mut far = end(Blueprint::far_end(local, remote), kind);
        let sent = near.pass(A, &frame);
        let mut outer = sent[0].bytes.clone();
        outer[..12].copy_from_slice(&[U_MAC, G_MAC].concat());
        let reach = outer.len().min(110);
        for (at, value) in changes {
            outer[at.index(reach)] = value;
        }
        if mends && outer[14] >> 4 == 4 {
            mend_ipv4(&mut outer[14..]);
        }
        if let Some(cut) = cut {
            outer.truncate(cut.index(outer.len() + 1));
        }
        // `pass` looks at the books and at the pool.
        far.pass(U, &outer);
        near.pass(A, &outer);
    }
}

/// One end with so many remotes, all behind the router.
fn with_remotes(count: u8) -> Blueprint {
    let mut plan = Blueprint::with_t0("198.51.100.1", "203.0.113.1");
    let port = plan.ports[0].clone();
    plan.ports.push(Port { mac: MacAddress(A_MAC), ..port });
    plan.attached.push((A, TunnelId(0)));
    let setup = plan.setup(0);
    setup.protocols = Protocols::ETHERNET;
    setup.put_shim(shim(2));
    setup.mtu -= 14;
    let remote = |last| Remote { address: [203, 0, 113, last].into(), path: TunnelPath(0) };
    let remotes = Remotes::new((1..=count).map(remote), [], None);
    setup.frames = Some(FrameRules { remotes: Some(Box::new(remotes)), ..FrameRules::any(A) });
    plan
}

fn broadcast() -> Vec<u8> {
    let packet = ip("10.1.0.5", "10.1.0.255").udp(100);
    [&[0xff; 6][..], &[2, 0, 0, 0, 0, 0x85], &[8, 0], &packet].concat()
}

#[test]
fn a_burst_of_broadcasts_is_copied_to_every_remote() {
    let mut near = with_remotes(64).start();
    for _ in 0..8 {
        near.inject(A, &broadcast());
    }
    let sent = near.run();
    assert_eq!(sent.len(), 8 * 64, "{:?}", near.moved());
    let to = |last: u8| sent.iter().filter(|one| one.bytes[30..34] == [203, 0, 113, last]).count();
    assert!((1..=64).all(|last| to(last) == 8));
}

/// What is sent, and what is counted, where so many broadcasts for 64 remotes arrive in one burst.
pub(crate) fn flood(count: usize) -> (Vec<SentFrame>, Vec<(&'static str, u64)>) {
    let mut near = flooded();
    for _ in 0..count {
        near.inject(A, &broadcast());
    }
    let sent = near.run();
    (sent, near.moved())
}

/// With buffers for all copies of one round, which the memory device keeps as long as nobody looks at them.
fn flooded() -> Appliance {
    let device = MemoryDevice::new(3, MemoryPool::new(2048, 2048));
    Appliance::over(device, with_remotes(64).build(1), settings())
}

#[test]
fn a_burst_of_broadcasts_beyond_what_one_round_copies_is_dropped_by_whole_frames() {
    // 63 copies of each and the frame itself: 16 frames are 1008 copies of 1024.
    let (sent, moved) = flood(30);
    assert_eq!(sent.len(), 16 * 64);
    assert_eq!(moved, [("vxlan.flood_limit", 14)]);
    // The next round begins anew.
    let mut near = flooded();
    for _ in 0..3 {
        for _ in 0..16 {
            near.inject(A, &broadcast());
        }
        assert_eq!(near.run().len(), 16 * 64);
    }
    assert!(near.moved().is_empty());
}

#[test]
fn a_burst_of_broadcasts_costs_nobody_else_a_buffer_for_longer_than_the_burst() {
    // Room for the burst itself, and for few copies.
    let device = MemoryDevice::new(3, MemoryPool::new(40, 2048));
    let mut near = Appliance::over(device, with_remotes(64).build(1), settings());
    for _ in 0..16 {
        near.inject(A, &broadcast());
    }
    // `run` looks at the books, and that all buffers are back.
    let sent = near.run();
    let lost = u64::try_from(16 * 64 - sent.len()).unwrap();
    assert!(sent.len() >= 16 && lost > 0, "{} were sent", sent.len());
    assert_eq!(near.moved(), [("port.no_mbuf", lost)]);
    assert_eq!(near.pass(A, &broadcast()).len(), 40, "the next frame has all buffers again");
}

#[test]
fn a_frame_to_several_remotes_is_mirrored_once_if_it_goes_to_any_of_them() {
    // The first remote is nowhere, the others are.
    for (reachable, copies) in [(vec![2_u8, 3], 1), (vec![1, 2, 3], 1), (vec![], 0)] {
        let mut plan = with_remotes(3);
        for last in 1..=3 {
            let way = if reachable.contains(&last) { continue } else { NextHop::Unreachable };
            plan.route(&format!("203.0.113.{last}/32"), way);
        }
        let session = add_session(&mut plan, 0, version_two(100));
        let sessions = Sessions { ingress: Box::default(), egress: Box::new([session]) };
        plan.setup(0).is_mirrored = true;
        plan.mirrors.push((Interface::tunnel(TunnelId(0)), sessions));
        let sent = plan.start().pass(A, &broadcast());
        let is_copy = |frame: &&SentFrame| frame.bytes[23] == 47;
        assert_eq!(sent.iter().filter(is_copy).count(), copies, "{reachable:?}");
        assert_eq!(sent.len(), reachable.len() + copies, "{reachable:?}");
    }
}

#[test]
fn where_there_are_no_buffers_for_all_copies_some_remotes_have_theirs() {
    let device = MemoryDevice::new(3, MemoryPool::new(3, 2048));
    let mut near = Appliance::over(device, with_remotes(5).build(1), settings());
    // One buffer has the frame itself, which goes to the last of them.
    let sent = near.pass(A, &broadcast());
    let to: Vec<u8> = sent.iter().map(|one| one.bytes[33]).collect();
    assert_eq!(to, [1, 2, 5]);
    assert_eq!(near.moved(), [("port.no_mbuf", 2)]);
}
