//! Copies for mirror sessions: with them and without, everything else goes the same way; both paths make the same
//! copies, in order; and where there is no buffer for one, nothing but the copy is lost.

use std::collections::BTreeMap;

use adit_dataplane::counters::Counter;
use adit_dataplane::device::{Device, SentFrame};
use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::packet::{BURST_MAX, Burst};
use adit_dataplane::tables::mirrors::Sessions;
use adit_dataplane::tunnel::erspan::Version;
use adit_dataplane::worker::WorkerSettings;
use adit_dataplane::worker::exchange::{Handback, Punt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::appliance::{Appliance, Blueprint, H_MAC, L, L_MAC, U, settings};
use super::frames::{frame, ip};
use super::kinds::{KINDS, crowded};
use super::sessions::{add_session, version_two};
use super::specimens::specimens;

/// Which sessions have copies of what is received, and which of what is sent.
type Which = (Vec<usize>, Vec<usize>);

fn sessions() -> impl Strategy<Value = Which> {
    (vec(0_usize..3, 0..3), vec(0_usize..3, 0..3))
}

/// Three sessions, and what is copied for each: of ports, and of tunnels.
#[derive(Clone, Debug)]
struct Mirrored {
    ports: Vec<(u8, Which)>,
    tunnels: Vec<(u32, Which)>,
}

fn mirrored() -> impl Strategy<Value = Mirrored> {
    let ports = vec((0_u8..3, sessions()), 0..3);
    let tunnels = vec((0..u32::try_from(KINDS).unwrap(), sessions()), 0..4);
    (ports, tunnels).prop_map(|(ports, tunnels)| Mirrored { ports, tunnels })
}

impl Mirrored {
    fn put(&self, plan: &mut Blueprint) -> [TunnelId; 3] {
        let three = Version::Three { session: 102, hardware_id: 3, is_egress: None };
        let ids = [(0, version_two(101)), (1, three), (0, Version::One)]
            .map(|(end, version)| add_session(plan, end, version));
        let numbers =
            |which: &[usize]| -> Box<[TunnelId]> { which.iter().map(|&at| ids[at]).collect() };
        let of = |(ingress, egress): &Which| Sessions {
            ingress: numbers(ingress),
            egress: numbers(egress),
        };
        for (port, sessions) in &self.ports {
            plan.mirrors.push((Interface::port(PortId(*port)), of(sessions)));
        }
        for (tunnel, sessions) in &self.tunnels {
            let sessions = of(sessions);
            let is_mirrored = !sessions.ingress.is_empty() || !sessions.egress.is_empty();
            plan.setup(usize::try_from(*tunnel).unwrap()).is_mirrored = is_mirrored;
            plan.mirrors.push((Interface::tunnel(TunnelId(*tunnel)), sessions));
        }
        ids
    }
}

/// Lets all specimens pass, some at a time, and returns what was sent.
fn pass_all(appliance: &mut Appliance, step: usize) -> Vec<SentFrame> {
    let mut sent = Vec::new();
    for chunk in specimens().chunks(step) {
        for (port, frame) in chunk {
            appliance.inject(*port, frame);
        }
        appliance.now.0 += 1_000_000;
        sent.extend(appliance.run());
        release_punts(appliance);
    }
    sent
}

/// No neighbor that is asked for answers.
fn release_punts(appliance: &mut Appliance) {
    for punt in appliance.take_punts() {
        if let Punt::Unresolved { packet, .. } = punt {
            let handback = Handback::Release { packet, counter: Counter::NbrQueueDrop };
            assert!(appliance.shared.handbacks.push(handback).is_ok(), "the ring has room");
        }
    }
    appliance.work();
}

/// Frames by port, in order.
fn by_port(sent: Vec<SentFrame>) -> BTreeMap<u8, Vec<Vec<u8>>> {
    let mut ports: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    for frame in sent {
        ports.entry(frame.port.0).or_default().push(frame.bytes);
    }
    ports
}

/// Whether a frame was sent into one of the sessions.
fn is_copy(frame: &[u8]) -> bool {
    let four = [203, 0, 113, 77];
    let six = "2001:db8:200::77".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let to = |at: usize, address: &[u8]| frame.get(at..).is_some_and(|f| f.starts_with(address));
    to(12, &[8, 0]) && to(30, &four) || to(12, &[0x86, 0xdd]) && to(38, &six)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_through_the_appliance_make_the_same_copies(
        mirrored in mirrored(), step in prop_oneof![Just(1_usize), 2_usize..60],
    ) {
        let mut outcomes = [true, false].map(|fast_path| {
            let mut plan = crowded();
            mirrored.put(&mut plan);
            let settings = WorkerSettings { fast_path, ..settings() };
            let mut appliance = Appliance::with(plan.build(1), settings);
            let mut sent = by_port(pass_all(&mut appliance, step));
            if step > 1 {
                // Identifications are given out in another order, and are in copies as well.
                let lens = |frame: &mut Vec<u8>| *frame = frame.len().to_be_bytes().to_vec();
                sent.values_mut().flatten().for_each(lens);
            }
            (sent, appliance.moved())
        });
        let stages = std::mem::take(&mut outcomes[1]);
        prop_assert_eq!(&outcomes[0].1, &stages.1);
        prop_assert!(outcomes[0].0 == stages.0);
    }

    #[test]
    fn what_is_mirrored_goes_the_way_it_goes_unmirrored(mirrored in mirrored(), step in 1_usize..60) {
        let others = |mirrored: &Mirrored, is_on: bool| {
            let mut plan = crowded();
            mirrored.put(&mut plan);
            if !is_on {
                plan.mirrors.clear();
            }
            let mut appliance = Appliance::with(plan.build(1), settings());
            let mut sent = by_port(pass_all(&mut appliance, step));
            for frames in sent.values_mut() {
                frames.retain(|frame| !is_copy(frame));
            }
            sent
        };
        prop_assert_eq!(others(&mirrored, true), others(&mirrored, false));
    }
}

/// All that L and U receive and send goes into one session by U.
fn all_mirrored() -> Blueprint {
    let mut plan = Blueprint::bench();
    let id = add_session(&mut plan, 0, version_two(100));
    for port in [L, U] {
        let sessions = Sessions { ingress: Box::new([id]), egress: Box::new([id]) };
        plan.mirrors.push((Interface::port(port), sessions));
    }
    plan
}

fn forwarded(number: usize) -> Vec<u8> {
    frame(L_MAC, H_MAC, &ip("10.1.0.5", "203.0.113.9").udp(100 + number))
}

#[test]
fn bursts_of_every_size_are_copied_in_order_also_by_the_port_that_is_mirrored() {
    for count in [1, 2, 31, 32, 33, 127, 128, 129, 255, BURST_MAX] {
        for fast_path in [true, false] {
            let burst = u16::try_from(BURST_MAX).unwrap();
            let settings = WorkerSettings { fast_path, burst, ..settings() };
            let mut appliance = Appliance::with(all_mirrored().build(1), settings);
            (0..count).for_each(|number| appliance.inject(L, &forwarded(number)));
            let sent = by_port(appliance.run());
            let (copies, others): (Vec<_>, Vec<_>) =
                sent[&U.0].iter().partition(|frame| is_copy(frame));
            let lens: Vec<_> = others.iter().map(|frame| frame.len() - 14).collect();
            assert_eq!(lens, (100..100 + count).collect::<Vec<_>>(), "{count}");
            // Of each frame two: as it came, and as it left.
            assert_eq!(copies.len(), 2 * count);
            let numbers =
                copies.iter().map(|copy| u32::from_be_bytes(copy[38..42].try_into().unwrap()));
            assert!(
                numbers.eq((0..).take(2 * count)),
                "{count}: the numbers of a session are in order"
            );
        }
    }
}

#[test]
fn without_a_buffer_for_a_copy_the_packet_goes_on_and_the_copy_is_counted() {
    let mut appliance = all_mirrored().start();
    let (mut all_held, mut held) = (Vec::new(), Burst::new());
    let device = appliance.worker.device_mut();
    while device.pool().free_count() > 2 {
        let Some(packet) = device.allocate() else { break };
        if held.is_full() {
            all_held.push(core::mem::take(&mut held));
        }
        assert!(held.push(packet).is_ok());
    }
    all_held.push(held);
    appliance.inject(L, &forwarded(0));
    appliance.inject(L, &forwarded(1));
    appliance.work();
    appliance.assert_balance();
    let sent = by_port(appliance.worker.device_mut().take_sent());
    assert_eq!(sent[&U.0].len(), 2, "both packets, and no copy");
    assert_eq!(appliance.moved(), [(Counter::PortNoMbuf.name(), 4)]);
    for mut held in all_held {
        appliance.worker.device_mut().release(&mut held);
    }
    appliance.assert_pool();
}
