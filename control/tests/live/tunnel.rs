//! The main job: IPv4 in IPv4 between two sites, with hosts that are tuned for nothing.

use crate::capture::Capture;
use crate::sites::{HOST1, HOST2, IPIP, Sites};
use crate::traffic::{acquaint, iperf, ping};
use crate::turn;

#[test]
fn the_very_first_ping_is_answered_and_so_are_all_others_both_ways() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    // Nothing is resolved yet: four neighbours are asked for while this one packet waits.
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    ping(&sites.network.host1, &format!("-c 50 -i 0.01 -w 10 {HOST2}")).all_answered();
    ping(&sites.network.host2, &format!("-c 50 -i 0.01 -w 10 {HOST1}")).all_answered();
}

#[test]
fn what_crosses_the_internet_is_one_ipip_packet_of_104_bytes_for_each_ping_of_84() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    acquaint(&sites.network.host1, HOST2);
    let mut capture = Capture::start(&sites.network.internet, sites.a.folder(), "to-a", "ip");
    ping(&sites.network.host1, &format!("-c 5 -i 0.1 -w 10 {HOST2}")).all_answered();
    let lines = capture.at_least(10);
    assert_eq!(lines.len(), 10, "{lines:#?}");
    for line in &lines {
        assert!(
            line.contains("proto IPIP (4), length 104)") && line.contains("length 84)"),
            "{line}"
        );
        assert!(line.contains("[DF], proto IPIP"), "{line}");
    }
    // Requests come straight from A; the router has taken one hop off B's answers.
    let (requests, answers): (Vec<_>, Vec<_>) = lines
        .iter()
        .partition(|line| line.contains("198.51.100.1 > 203.0.113.2: IP (tos 0x0, ttl 63"));
    assert!(
        requests.len() == 5 && requests.iter().all(|line| line.contains("IP (tos 0x0, ttl 64")),
        "{lines:#?}"
    );
    assert!(
        answers.iter().all(|line| line.contains("203.0.113.2 > 198.51.100.1: IP (tos 0x0, ttl 63")),
        "{lines:#?}"
    );
}

#[test]
fn counters_of_a_tunnel_are_the_packets_that_crossed_it_and_nothing_is_dropped() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    acquaint(&sites.network.host1, HOST2);
    ping(&sites.network.host1, &format!("-c 20 -i 0.1 -w 10 {HOST2}")).all_answered();
    for appliance in [&sites.a, &sites.b] {
        for (path, expected) in
            [("rx_packets", 21), ("tx_packets", 21), ("rx_bytes", 21 * 84), ("tx_bytes", 21 * 84)]
        {
            assert_eq!(appliance.counter(&format!("/tunnels/far/{path}")), expected, "{path}");
        }
        let counters = appliance.json("counters");
        let drops = counters["dataplane"].as_object().expect("an object");
        // The kernels' own multicast is dropped at the door; nothing else is.
        let lost = drops.iter().filter(|(name, count)| {
            let of_the_path = ["ip4.", "tun.", "fwd.", "port.", "ring.", "nbr.", "arp."];
            of_the_path.iter().any(|prefix| name.starts_with(prefix)) && count.as_u64() != Some(0)
        });
        assert_eq!(lost.count(), 0, "{counters:#}");
    }
}

#[test]
fn tcp_runs_at_full_size_both_ways_with_an_mtu_of_1500_on_the_hosts() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let (host1, host2) = (&sites.network.host1, &sites.network.host2);
    for options in ["-t 2", "-t 2 -R"] {
        let run = iperf(host1, host2, HOST2, options);
        assert!(run.megabits_per_second > 10.0, "{options}: {} Mbit/s", run.megabits_per_second);
    }
}

#[test]
fn udp_in_full_sized_packets_arrives_both_ways() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    let (host1, host2) = (&sites.network.host1, &sites.network.host2);
    // A socket whose datagram meets an unknown path MTU is told once, and iperf3 takes that for the end; so it is learnt.
    ping(host1, &format!("-M do -c 1 -W 2 -s 1472 {HOST2}")).refused_with("mtu = 1480");
    ping(host2, &format!("-M do -c 1 -W 2 -s 1472 {HOST1}")).refused_with("mtu = 1480");
    let full_size = ["-u -b 10M -l 1472 -t 1", "-u -b 10M -l 1472 -t 1 -R"];
    for options in ["-u -b 10M -t 1", "-u -b 10M -t 1 -R"].into_iter().chain(full_size) {
        let run = iperf(host1, host2, HOST2, options);
        assert!(run.megabits_per_second > 9.0, "{options}: {} Mbit/s", run.megabits_per_second);
        assert!(run.lost_percent < 1.0, "{options}: {} % lost", run.lost_percent);
    }
}

#[test]
fn pings_of_every_size_up_to_the_mtu_of_the_hosts_are_answered() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    // Above 1452 bytes of data a packet is cut in two before it enters the tunnel.
    let missing = sites.network.host1.shell(&format!(
        "size=0; while [ $size -le 1472 ]; do
           ping -n -q -M dont -c 1 -W 2 -s $size {HOST2} >/dev/null || echo $size
           size=$((size + 1))
         done"
    ));
    assert_eq!(missing, "", "sizes without an answer");
}

#[test]
fn the_tunnel_and_latency_tables_name_what_crossed() {
    let _turn = turn::shared();
    let site_a = IPIP.site_a().replace("mode: ipip,", "mode: ipip, latency: yes,");
    let sites = Sites::up_with(&site_a, &IPIP.site_b());
    ping(&sites.network.host1, &format!("-c 20 -i 0.01 -w 10 {HOST2}")).all_answered();
    let table = sites.a.show("tunnels");
    for word in ["far", "ipip", "198.51.100.1", "203.0.113.2"] {
        assert!(table.contains(word), "no {word}:\n{table}");
    }
    let table = sites.a.show("latency").to_lowercase();
    for word in ["encap", "decap", "p99", "far"] {
        assert!(table.contains(word), "no {word}:\n{table}");
    }
    assert!(!table.contains('\u{1b}'), "colours without a terminal: {table:?}");
}
