//! `idle: sleep`: next to no load when nothing arrives, and hardly later when something does.

use std::time::Duration;

use crate::appliance::{Appliance, SLEEPING};
use crate::network::until;
use crate::sites::{HOST1, IPIP, Network};
use crate::traffic::ping;
use crate::turn;

const POLLING: &str = "{ idle: poll, hugepages: off, mbufs: 8192 }";

/// The middle round trip of pings that each find everybody idle, from host1 through the appliance to the internet.
fn first_packet_ms(network: &Network, dataplane: &str) -> f64 {
    let _appliance = Appliance::start_with(&network.box_a, dataplane, &IPIP.site_a());
    network.internet.ip(&format!("route replace {HOST1} via 198.51.100.1"));
    ping(&network.host1, "-c 2 -i 0.1 -w 10 198.51.100.254").all_answered();
    ping(&network.host1, "-c 21 -i 0.2 -w 10 198.51.100.254").all_answered().median_ms()
}

#[test]
fn sleeping_takes_less_than_a_twentieth_of_a_core() {
    let _turn = turn::alone();
    let network = Network::lay();
    let appliance = Appliance::start_with(&network.box_a, SLEEPING, &IPIP.site_a());
    // "When nothing arrives": what the kernels tell each other after links come up has to be over.
    let received = || {
        let counters = appliance.json("counters");
        ["lan", "wan"].map(|port| counters["ports"][port]["rx_packets"].as_u64().unwrap_or(0))
    };
    let load = until(Duration::from_secs(40), "three seconds without a frame", || {
        let before = received();
        let load = appliance.load_over(Duration::from_secs(3));
        (received() == before).then_some(load)
    });
    assert!(load < 0.05, "{:.1} % of a core", load * 100.0);
}

#[test]
fn polling_takes_what_it_gets_so_the_measurement_measures() {
    let _turn = turn::alone();
    let network = Network::lay();
    let appliance = Appliance::start_with(&network.box_a, POLLING, &IPIP.site_a());
    let load = appliance.load_over(Duration::from_secs(1));
    assert!(load > 0.25, "{:.1} % of a core", load * 100.0);
}

#[test]
fn sleeping_adds_at_most_a_millisecond_to_the_first_packet() {
    let _turn = turn::alone();
    let network = Network::lay();
    let polling_ms = first_packet_ms(&network, POLLING);
    let sleeping_ms = first_packet_ms(&network, SLEEPING);
    // The answer passes the same appliance, so the difference is at most that of two first packets; it is held to one.
    assert!(sleeping_ms - polling_ms <= 1.0, "{sleeping_ms} ms asleep, {polling_ms} ms awake");
}
