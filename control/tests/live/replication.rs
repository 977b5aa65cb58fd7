//! A segment with three sites: `host1 ── [adit] ──┬── far1` and `far2`, both of which are VXLAN devices of this machine's kernel.
//! What is for all goes to both, what is for one goes to both until it was heard, and to that one from then on.

use serde_json::Value;

use crate::appliance::Appliance;
use crate::files::File;
use crate::network::Namespace;
use crate::traffic::{acquaint, iperf, ping};
use crate::turn;

/// The far ends: outer address and the address in the segment.
struct Site {
    role: &'static str,
    outer: &'static str,
    inner: &'static str,
}

const V4: [Site; 2] = [
    Site { role: "far1", outer: "198.51.100.8", inner: "10.9.0.2" },
    Site { role: "far2", outer: "198.51.100.9", inner: "10.9.0.3" },
];

const V6: [Site; 2] = [
    Site { role: "far1", outer: "2001:db8:a::8", inner: "10.9.0.2" },
    Site { role: "far2", outer: "2001:db8:a::9", inner: "10.9.0.3" },
];

fn configuration(local: &str, sites: &[Site; 2], learning: &str) -> String {
    let [one, two] = sites.each_ref().map(|site| site.outer);
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\" }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
tunnels:
  segment: {{ mode: vxlan, id: 42, local: \"{local}\", remotes: [\"{one}\", \"{two}\"], attach: lan, mac-learning: {learning} }}
"
    )
}

/// Puts a far end onto the wire of the appliance's port.
fn lay(box_of_adit: &Namespace, site: &Site, local: &str, mtu: u16) -> Namespace {
    let far = Namespace::new(site.role);
    let cable = format!("cable-{}", site.role);
    box_of_adit.cable(&cable, &far, "eth0");
    box_of_adit.ip(&format!("link set {cable} addrgenmode none"));
    box_of_adit.plug(&cable, "wan");
    let len = if site.outer.contains(':') { 64 } else { 24 };
    far.address("eth0", &format!("{}/{len}", site.outer));
    let ends = format!("local {} remote {local}", site.outer);
    far.ip(&format!("link add segment type vxlan id 42 dstport 4789 nolearning {ends}"));
    far.ip(&format!("link set segment mtu {mtu} addrgenmode none"));
    far.address("segment", &format!("{}/24", site.inner));
    far
}

/// Frames that the appliance sends while host1 pings a far end ten times, whom it knows already.
fn sent_for_ten_pings(appliance: &Appliance, host1: &Namespace, to: &str) -> u64 {
    let sent = || appliance.counter("/tunnels/segment/tx_packets");
    let before = sent();
    ping(host1, &format!("-c 10 -i 0.05 -w 10 {to}")).all_answered();
    sent() - before
}

/// The remote that a station is behind, if the appliance has heard it.
fn remote_of(appliance: &Appliance, station: &str) -> Option<String> {
    let stations = appliance.json("fdb")["fdb"].take();
    let all = stations.as_array().cloned().unwrap_or_default();
    let is_it = |one: &&Value| one["station"] == station;
    all.iter().find(is_it).map(|one| one["remote"].as_str().unwrap_or_default().to_owned())
}

fn try_with(local: &str, sites: &[Site; 2], mtu: u16) {
    let _turn = turn::shared();
    let (host1, site) = (Namespace::new("host1"), Namespace::new("a"));
    site.port("lan", &host1, "eth0");
    site.tap("wan");
    host1.ip("link set eth0 addrgenmode none");
    host1.ip(&format!("link set eth0 mtu {mtu}"));
    host1.address("eth0", "10.9.0.1/24");
    let fars = sites.each_ref().map(|far| lay(&site, far, local, mtu));
    let appliance = Appliance::start(&site, &configuration(local, sites, "no"));
    let own = host1.link_address("eth0");
    let answer = |(far, namespace): (&Site, &Namespace)| {
        acquaint(&host1, far.inner);
        let station = host1.ip(&format!("neigh show {}", far.inner));
        let mut words = station.split_whitespace().skip_while(|word| *word != "lladdr");
        let station = words.nth(1).expect("who answers is known").to_owned();
        // Nobody asks for a neighbor again while frames are counted.
        host1.ip(&format!("neigh replace {} lladdr {station} dev eth0 nud permanent", far.inner));
        namespace.ip(&format!("neigh replace 10.9.0.1 lladdr {own} dev segment nud permanent"));
        ping(&host1, &format!("-c 3 -i 0.2 -w 10 -s {} -M do {}", mtu - 28, far.inner))
            .all_answered();
        station
    };
    let [one, two] = &fars;
    let stations = [answer((&sites[0], one)), answer((&sites[1], two))];
    assert!(sent_for_ten_pings(&appliance, &host1, sites[0].inner) >= 20, "each goes to both");
    assert_eq!(remote_of(&appliance, &stations[0]), None, "nothing is learnt unasked");

    appliance.rewrite(&configuration(local, sites, "yes"));
    appliance.apply();
    for (far, station) in sites.iter().zip(&stations) {
        ping(&host1, &format!("-c 1 -w 10 {}", far.inner)).all_answered();
        assert_eq!(remote_of(&appliance, station).as_deref(), Some(far.outer));
        assert_eq!(sent_for_ten_pings(&appliance, &host1, far.inner), 10, "{}", far.role);
    }
    let file = File::new(2_000_000);
    for (namespace, far) in fars.iter().zip(sites) {
        for options in ["-t 1", "-t 1 -R"] {
            let megabits = iperf(&host1, namespace, far.inner, options).megabits_per_second;
            assert!(megabits > 1.0, "{} {options}: {megabits} Mbit/s", far.role);
        }
        file.crosses(far.role, &host1, namespace, far.inner);
    }
    // A station moves: the address of the one is that of the other now.
    fars[0].ip("link set segment down");
    fars[1].ip(&format!("link set segment address {}", stations[0]));
    let moved = format!("lladdr {} dev eth0 nud permanent", stations[0]);
    host1.ip(&format!("neigh replace {} {moved}", sites[1].inner));
    fars[1].ip(&format!("neigh replace 10.9.0.1 lladdr {own} dev segment nud permanent"));
    fars[1].run("ping -n -c 1 -w 10 10.9.0.1");
    assert_eq!(remote_of(&appliance, &stations[0]).as_deref(), Some(sites[1].outer));

    assert!(appliance.show("fdb").contains(&stations[0]), "{}", appliance.show("fdb"));
    assert!(appliance.client("clear fdb segment").status.success());
    assert_eq!(remote_of(&appliance, &stations[0]), None);
}

#[test]
fn frames_reach_every_site_of_a_segment_and_learnt_stations_alone() {
    try_with("198.51.100.1", &V4, 1450);
}

#[test]
fn the_same_over_ipv6() {
    try_with("2001:db8:a::1", &V6, 1430);
}
