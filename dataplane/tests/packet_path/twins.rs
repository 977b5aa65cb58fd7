//! Two appliances that differ in nothing but the fast path, what they know about paths, and all that they can be
//! compared by.

use core::time::Duration;

use adit_dataplane::counters::CounterSlot;
use adit_dataplane::device::SentFrame;
use adit_dataplane::interface::PortId;
use adit_dataplane::node::rate_limit::{Limits, Rate};
use adit_dataplane::tables::soft_state::{PathMtu, TunnelPath};
use adit_dataplane::tunnel::DontFragment;
use adit_dataplane::worker::WorkerSettings;
use proptest::prelude::*;

use super::appliance::{Appliance, Blueprint, SLOTS, settings};

/// How many errors may be sent: from none at all to more than there are frames.
pub(crate) fn rates() -> impl Strategy<Value = Limits> {
    let burst = || prop::sample::select(vec![0, 1, 3, 200]);
    (burst(), burst()).prop_map(|(errors, errors_per_source)| Limits {
        errors: Rate { per_second: 1000, burst: errors },
        errors_per_source: Rate { per_second: 100, burst: errors_per_source },
        ..Limits::DEFAULT
    })
}

/// With the fast path, and without.
pub(crate) fn twins(plan: &Blueprint, rates: Limits) -> [Appliance; 2] {
    let settings = |fast_path| WorkerSettings { fast_path, rates, ..settings() };
    [true, false].map(|fast_path| {
        let mut plan = plan.clone();
        plan.forget_stations();
        Appliance::with(plan.build(1), settings(fast_path))
    })
}

/// Everything that an appliance has counted: what is counted for all, and the traffic of tunnels.
pub(crate) fn counted(appliance: &mut Appliance) -> (Vec<(&'static str, u64)>, Vec<[u64; 4]>) {
    let traffic = (0..SLOTS).map(|slot| {
        let traffic = appliance.shared.counters.tunnels.traffic(CounterSlot(slot)).unwrap();
        [&traffic.rx_packets, &traffic.rx_bytes, &traffic.tx_packets, &traffic.tx_bytes]
            .map(adit_dataplane::counters::Cell::get)
    });
    let traffic = traffic.collect();
    (appliance.moved(), traffic)
}

pub(crate) fn run(appliance: &mut Appliance, frames: &[(PortId, Vec<u8>)]) -> Vec<SentFrame> {
    for (port, bytes) in frames {
        appliance.inject(*port, bytes);
    }
    let sent = appliance.run();
    for punt in appliance.take_punts() {
        use adit_dataplane::worker::exchange::{Handback, Punt};
        let handback = match punt {
            Punt::Frame { port, frame } => Handback::Frame { port, frame },
            Punt::Unresolved { packet, .. } => Handback::Unreachable { packet },
        };
        assert!(appliance.shared.handbacks.push(handback).is_ok(), "the ring has room");
    }
    sent.into_iter().chain(appliance.run()).collect()
}

/// Identifications are numbered in the order in which packets are seen to, which is the only thing
/// that the fast path may change within a burst.
pub(crate) fn without_identification(mut sent: SentFrame) -> SentFrame {
    if sent.bytes.len() >= 34 && sent.bytes[12..15] == [8, 0, 0x45] {
        sent.bytes[18..20].fill(0);
        sent.bytes[24..26].fill(0);
    }
    sent
}

/// What is known about a tunnel's path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Learnt {
    Nothing,
    Mtu(PathMtu),
    /// So many packets did not arrive.
    Errors(u8),
}

impl Learnt {
    pub(crate) fn teach(self, path: TunnelPath, appliance: &Appliance) {
        let state = &appliance.soft_state();
        let now = appliance.now;
        match self {
            Self::Nothing => {}
            Self::Mtu(mtu) => {
                state.learn(path, mtu, now, now + Duration::from_mins(10));
            }
            Self::Errors(count) => (0..count).for_each(|_| state.note_error(path, now)),
        }
    }
}

pub(crate) fn learnt() -> impl Strategy<Value = Learnt> {
    let sizes = prop_oneof![1280_u16..1330, 1400_u16..1500, Just(552), Just(119)];
    let mtu = (sizes, prop::bool::weighted(0.2))
        .prop_map(|(mtu, is_locked)| Learnt::Mtu(PathMtu { mtu, is_locked }));
    prop_oneof![2 => Just(Learnt::Nothing), 2 => mtu, 1 => (1_u8..5).prop_map(Learnt::Errors)]
}

pub(crate) fn dont_fragment() -> impl Strategy<Value = DontFragment> {
    prop_oneof![Just(DontFragment::Pmtudisc), Just(DontFragment::Inherit), Just(DontFragment::No),]
}
