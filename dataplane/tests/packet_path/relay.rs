//! Errors of the underlay where replay has no eyes: several workers, changes of the tables, the fast path.

use std::sync::Arc;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::{Counter, CounterSlot};
use adit_dataplane::worker::WorkerSettings;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC, settings};
use super::frames::{frame, ip};

const LOCAL: &str = "198.51.100.1";
const REMOTE: &str = "203.0.113.2";

fn host(len: usize) -> Vec<u8> {
    frame(L_MAC, H_MAC, &ip("10.1.0.5", "10.2.0.8").udp(len))
}

/// "Fragmentation needed" about a packet of 1480 bytes inside, with no more of it than old routers quote.
fn narrow(mtu: u16) -> Vec<u8> {
    let sent = ip(LOCAL, REMOTE).around(&ip("10.1.0.5", "10.2.0.8").udp(1480));
    frame(U_MAC, G_MAC, &ip("192.0.2.9", LOCAL).icmp_error(3, 4, mtu, &sent[..28]))
}

#[test]
fn what_one_worker_learns_all_workers_know_at_once() {
    let tables = Blueprint::with_t0(LOCAL, REMOTE).build(1);
    let mut workers = [0, 1].map(|number| {
        let settings = WorkerSettings { number, workers: 2, ..settings() };
        Appliance::with(Arc::clone(&tables), settings)
    });
    workers[0].pass(U, &narrow(1400));
    assert_eq!(workers[0].moved(), [("if.icmp_relay_short", 1), ("if.pmtu_updates", 1)]);
    for worker in &mut workers {
        let sent = worker.pass(L, &host(1400));
        assert_eq!((sent.len(), sent[0].port), (1, L), "an error to the host");
        assert_eq!(sent[0].bytes[40..42], 1380_u16.to_be_bytes());
        assert_eq!(worker.moved(), [("icmp.tx", 1), ("if.tx_too_big", 1)]);
        assert_eq!(worker.pass(L, &host(1380))[0].port, U);
        worker.moved();
    }
}

#[test]
fn other_tables_know_what_was_learnt_before() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    let mut appliance = plan.start();
    appliance.pass(U, &narrow(1400));
    plan.setup(0).ttl = Some(9);
    let mut changed = Arc::unwrap_or_clone(plan.build(2));
    changed.soft_state = appliance.soft_state();
    appliance.publish(Arc::new(changed));
    let sent = appliance.pass(L, &host(1380));
    assert_eq!((sent[0].port, sent[0].bytes[22]), (U, 9), "with the TTL of the changed tunnel");
    assert_eq!(appliance.pass(L, &host(1381))[0].port, L);
}

/// With and without the fast path, the largest packet that the path takes leaves and no larger one.
#[test]
fn the_fast_path_keeps_to_the_size_that_was_learnt_and_takes_what_is_smaller() {
    for fast_path in [true, false] {
        let settings = WorkerSettings { fast_path, ..settings() };
        let mut appliance = Appliance::with(Blueprint::with_t0(LOCAL, REMOTE).build(1), settings);
        appliance.pass(U, &narrow(1450));
        for (len, port) in [(1430, U), (1431, L), (1480, L), (84, U)] {
            assert_eq!(appliance.pass(L, &host(len))[0].port, port, "{len} {fast_path}");
        }
        appliance.now = Nanos::from_secs(700);
        assert_eq!(appliance.pass(L, &host(1480))[0].port, U, "it has run out");
        let traffic = appliance.shared.counters.tunnels.traffic(CounterSlot(0)).unwrap();
        assert_eq!(traffic.tx_packets.get(), 3);
    }
}

#[test]
fn an_error_to_an_address_of_several_tunnels_is_of_none_of_them() {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.tunnel(LOCAL, "203.0.113.3");
    let mut appliance = plan.start();
    let forged = ip(LOCAL, "203.0.113.66").around(&ip("10.1.0.5", "10.2.0.8").udp(1480));
    let error = ip("192.0.2.9", LOCAL).icmp_error(3, 4, 1400, &forged[..48]);
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &error)).is_empty());
    assert_eq!(appliance.shared.counters.global(Counter::IfIcmpRelayRejected).get(), 1);
}
