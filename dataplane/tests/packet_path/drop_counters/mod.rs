//! Every counter of the list moves for its reason, alone, and the list holds no other: a counter
//! that is added without a case here fails the last test.

mod devices;
mod node;
mod tunnels;

use std::collections::BTreeSet;

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;

use super::appliance::{Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{Ip, frame, ip, mend_ipv4};
use super::{mirror_counters, overlay_counters};
use devices::{device_cases, exchange_cases};
use node::{delivery_cases, forwarding_cases, frame_cases, reassembly_cases};
use tunnels::{
    decap_cases, encap_cases, gre_cases, gue_cases, minimal_cases, mpls_cases, outer_cases,
    relay_cases, six_rd_cases,
};

pub(crate) const LOCAL: &str = "198.51.100.1";
pub(crate) const REMOTE: &str = "203.0.113.2";

/// Counters of rules that the packet path does not have yet.
const NOT_REACHABLE_YET: [&str; 2] = [
    "nd.duplicate",      // the control thread's own, which counts what it finds
    "fwd.steering_drop", // no steering rules
];

/// The counter that must move by one, those that move with it, and what moved.
pub(crate) struct Case {
    name: &'static str,
    with_it: &'static [&'static str],
    moved: Vec<(&'static str, u64)>,
}

pub(crate) type Change = fn(&mut Blueprint);

/// One frame to an appliance with the tunnel t0, after a change of its plan.
pub(crate) fn case(
    name: &'static str,
    with_it: &'static [&'static str],
    change: Change,
    (port, bytes): (PortId, Vec<u8>),
) -> Case {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    change(&mut plan);
    let mut appliance = plan.start();
    let sent = appliance.pass(port, &bytes);
    let moved = appliance.moved();
    let errors = usize::from(with_it.contains(&"icmp.tx"));
    if Counter::ALL
        .iter()
        .any(|c| c.name() == name && c.kind() == adit_dataplane::counters::Kind::Drop)
    {
        assert_eq!(sent.len(), errors, "{name}: only an error leaves");
    }
    Case { name, with_it, moved }
}

const AS_IT_IS: Change = |_| {};

fn host(packet: &[u8]) -> (PortId, Vec<u8>) {
    (L, frame(L_MAC, H_MAC, packet))
}

fn router(packet: &[u8]) -> (PortId, Vec<u8>) {
    (U, frame(U_MAC, G_MAC, packet))
}

/// What the peer of t0 sends.
fn peer(inner: &[u8]) -> (PortId, Vec<u8>) {
    router(&ip(REMOTE, LOCAL).around(inner))
}

/// From the host on L to the one behind t0.
fn inward() -> Ip {
    ip("10.1.0.5", "10.2.0.8")
}

/// The other way.
fn outward() -> Ip {
    ip("10.2.0.8", "10.1.0.5")
}

fn inward6() -> Ip {
    ip("2001:db8:1::5", "2001:db8:2::8")
}

/// A packet with some bytes changed, and its checksum mended.
fn changed(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    mend_ipv4(&mut packet);
    packet
}

#[test]
fn every_counter_moves_for_its_reason_alone_and_none_is_left_out() {
    let groups = [
        decap_cases(),
        encap_cases(),
        relay_cases(),
        outer_cases(),
        forwarding_cases(),
        delivery_cases(),
        reassembly_cases(),
        exchange_cases(),
        device_cases(),
        gre_cases(),
        gue_cases(),
        minimal_cases(),
        mpls_cases(),
        overlay_counters::cases(),
        mirror_counters::cases(),
        six_rd_cases(),
    ];
    let mut seen: BTreeSet<&str> = NOT_REACHABLE_YET.into_iter().collect();
    seen.extend(frame_cases());
    for Case { name, with_it, moved } in groups.into_iter().flatten() {
        let mut expected: Vec<_> = with_it.iter().map(|&other| (other, 1)).collect();
        expected.push((name, 1));
        expected.sort_unstable();
        assert_eq!(moved, expected);
        assert!(!NOT_REACHABLE_YET.contains(&name), "{name} is reachable");
        seen.insert(name);
    }
    let all: BTreeSet<&str> = Counter::ALL.iter().map(|counter| counter.name()).collect();
    assert_eq!(seen, all, "counters without a case, or cases without a counter");
}
