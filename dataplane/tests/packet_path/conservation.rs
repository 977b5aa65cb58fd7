//! Whatever arrives: what went in came out or was counted, once, and every buffer comes back.

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::node::rate_limit::{Limits, Rate};
use adit_dataplane::packet::BURST_MAX;
use adit_dataplane::reassembly::SECONDS_MAX;
use adit_dataplane::worker::WorkerSettings;
use adit_dataplane::worker::exchange::{Frame, Handback, Punt};
use proptest::collection::vec;
use proptest::prelude::*;

use super::appliance::{Appliance, BUFFERS, G_MAC, H_MAC, L, L_MAC, U, U_MAC, settings};
use super::frames::{frame, ip};
use super::kinds::crowded;
use super::mutation::{SPECIMENS, mutation};
use super::specimens::specimens;

/// So many errors that no limit hides the work of making them.
fn talkative() -> WorkerSettings {
    let rate = Rate { per_second: 1_000_000, burst: 100_000 };
    let rates = Limits { errors: rate, errors_per_source: rate, too_big: rate, echo: rate };
    WorkerSettings { rates, ..settings() }
}

fn appliance(burst: u16) -> Appliance {
    Appliance::with(crowded().build(1), WorkerSettings { burst, ..talkative() })
}

/// What the control thread does with what it is given: answers, gives up, sends a frame.
fn play_control(appliance: &mut Appliance, choice: u8) {
    for (number, punt) in (choice..=255).cycle().zip(appliance.take_punts()) {
        let handback = match punt {
            Punt::Frame { port, frame } => Handback::Frame { port, frame },
            Punt::Unresolved { packet, .. } if number % 3 == 0 => Handback::Unreachable { packet },
            Punt::Unresolved { port, address, packet } if number % 3 == 1 => {
                Handback::Send { since: 1, port, address, packet }
            }
            Punt::Unresolved { packet, .. } => {
                Handback::Release { packet, counter: Counter::NbrQueueDrop }
            }
        };
        assert!(appliance.shared.handbacks.push(handback).is_ok(), "the ring has room");
    }
}

/// Works, plays the control thread, works again: in the end nothing is held any more.
fn see_through(appliance: &mut Appliance, choice: u8) {
    appliance.run();
    play_control(appliance, choice);
    appliance.run();
    play_control(appliance, choice);
    // By now no piece of a packet waits for others.
    appliance.now = appliance.now + core::time::Duration::from_secs(SECONDS_MAX.into());
    appliance.run();
    assert_eq!(appliance.held(), 0);
    assert_eq!(appliance.worker.device_mut().pool().free_count(), BUFFERS);
}

#[test]
fn every_specimen_cut_at_every_byte_is_accounted_for() {
    let mut appliance = appliance(32);
    for (port, frame) in specimens() {
        // Behind the headers one cut is like another.
        let every = (0..frame.len().min(200)).chain((200..frame.len()).step_by(97));
        for len in every.chain([frame.len()]) {
            appliance.inject(port, &frame[..len]);
        }
        appliance.now.0 += 1_000_000;
        see_through(&mut appliance, 0);
    }
}

#[test]
fn frames_of_every_size_and_bursts_of_every_size_are_accounted_for() {
    for burst in [1, 2, 3, 31, 32, 33, 255, u16::try_from(BURST_MAX).unwrap(), u16::MAX] {
        let mut appliance = appliance(burst);
        for len in 64..=1518_usize {
            let packet = match len % 4 {
                0 => ip("10.1.0.5", "10.4.0.8").may_be_cut().udp(len - 14),
                1 => ip("10.1.0.5", "10.2.0.8").udp(len - 14),
                2 => ip("2001:db8:1::5", "2001:db8:3::8").udp(len.max(62) - 14),
                _ => ip("10.1.0.5", "203.0.113.9").udp(len - 14),
            };
            let mut bytes = frame(L_MAC, H_MAC, &packet);
            bytes.resize(bytes.len().max(60), 0);
            appliance.inject(L, &bytes);
            if len % 300 == 0 {
                see_through(&mut appliance, 1);
            }
        }
        see_through(&mut appliance, 1);
    }
}

#[test]
fn a_full_pool_loses_packets_on_counters_alone() {
    let mut appliance = appliance(32);
    // Each wants two pieces or an error, and there are hardly any buffers left for them.
    let large = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").may_be_cut().udp(1500));
    let dying = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").ttl(1).udp(100));
    for number in 0..BUFFERS {
        appliance.inject(L, if number % 2 == 0 { &large } else { &dying });
    }
    appliance.run();
    assert!(appliance.total(Counter::PortNoMbuf) > 0);
    assert!(appliance.total(Counter::Ip4TtlExpired) > 0);
}

#[test]
fn the_work_of_one_poll_is_bounded() {
    let mut appliance = appliance(32);
    let bytes = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").udp(84));
    for _ in 0..300 {
        appliance.inject(L, &bytes);
        appliance.inject(U, &bytes);
    }
    let note = Frame::new(&[0; 60]).unwrap();
    for _ in 0..600 {
        assert!(appliance.shared.handbacks.push(Handback::Frame { port: U, frame: note }).is_ok());
    }
    // The first round looks at the ring as well; no round takes more than a burst from anything.
    assert_eq!(appliance.worker.poll(appliance.now), 2 * 32 + BURST_MAX);
    assert_eq!(appliance.worker.poll(appliance.now), 2 * 32);
    appliance.run();
}

/// A frame as a stranger sends it: any bytes behind a header that lets some of them in.
fn any_frame() -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let mac = prop_oneof![Just(U_MAC), Just(L_MAC), Just([0xff; 6]), any::<[u8; 6]>()];
    let kind = prop_oneof![Just(0x0800_u16), Just(0x86dd), Just(0x0806), any::<u16>()];
    let version = prop_oneof![Just(0x45_u8), Just(0x60), Just(0x4f), any::<u8>()];
    (any::<bool>(), mac, kind, version, vec(any::<u8>(), 0..1700)).prop_map(
        |(on_u, mac, kind, version, mut rest)| {
            if let Some(first) = rest.first_mut() {
                *first = version;
            }
            let port = if on_u { U } else { L };
            (port, super::frames::frame_of(kind, mac, G_MAC, &rest))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_accounted_for(
        frames in vec(any_frame(), 1..60), burst in 1_u16..300, choice: u8,
    ) {
        let mut appliance = appliance(burst);
        for (port, bytes) in &frames {
            appliance.inject(*port, bytes);
        }
        see_through(&mut appliance, choice);
    }

    #[test]
    fn valid_frames_with_some_bytes_changed_are_accounted_for(
        mutations in vec(mutation(), 1..200), burst in 1_u16..300, choice: u8, later: u32,
    ) {
        let mut appliance = appliance(burst);
        appliance.now = appliance.now + core::time::Duration::from_nanos(later.into());
        SPECIMENS.with(|specimens| {
            for mutation in &mutations {
                let (port, bytes) = mutation.apply(specimens);
                appliance.inject(port, &bytes);
            }
        });
        see_through(&mut appliance, choice);
    }
}

#[test]
fn time_that_stands_still_or_jumps_does_no_harm() {
    let mut appliance = appliance(32);
    let dying = frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").ttl(1).udp(100));
    for now in [0, 0, u64::MAX, u64::MAX, 5] {
        appliance.now = Nanos(now);
        appliance.pass(L, &dying);
    }
}
