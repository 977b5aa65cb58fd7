//! Minimal encapsulation between adit and a peer that was written from RFC 2004 alone, `minimal_peer.py`, as Linux has no device
//! for it: `host1 ── lan [adit] wan ── peer`, with a TUN device of the peer's as the far end.

use std::path::Path;
use std::time::Duration;

use crate::appliance::Appliance;
use crate::files::File;
use crate::network::{Namespace, Running, until};
use crate::sites::{HOST1, address_host};
use crate::traffic::{acquaint, iperf, ping};
use crate::turn;

const FAR: &str = "10.2.0.8";

const CONFIGURATION: &str = "ports:
  lan: { device: \"net_tap0,iface=lan\", addresses: [172.16.10.1/24] }
  wan: { device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24] }
tunnels:
  away:
    mode: minimal
    local: 198.51.100.1
    remote: 198.51.100.9
    addresses: [192.168.50.1/30]
    inner-source: [10.2.0.0/16, 198.51.100.9/32]
    routes: [10.2.0.0/16]
";

/// The peer, and its end of the tunnel.
fn start_peer(peer: &Namespace) -> Running {
    peer.address("eth0", "198.51.100.9/24");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/minimal_peer.py");
    let running =
        peer.start(&format!("python3 {} far 198.51.100.9 198.51.100.1", script.display()));
    until(Duration::from_secs(10), "TUN device of the peer", || {
        peer.attempt("ip link show far").0.then_some(())
    });
    peer.ip("link set far mtu 1488 up");
    peer.ip(&format!("address add {FAR}/32 dev far"));
    peer.ip(&format!("route add 172.16.10.0/24 dev far src {FAR}"));
    peer.ip("route add 192.168.50.1/32 dev far");
    running
}

#[test]
fn a_peer_written_from_the_rfc_understands_minimal_encapsulation_and_is_understood() {
    let _turn = turn::shared();
    let (host1, site, peer) =
        (Namespace::new("host1"), Namespace::new("a"), Namespace::new("peer"));
    site.port("lan", &host1, "eth0");
    site.port("wan", &peer, "eth0");
    address_host(&host1, "172.16.10", "fd00:1:");
    let _peer = start_peer(&peer);
    let appliance = Appliance::start(&site, CONFIGURATION);
    let count = |name: &str| appliance.counter(&format!("/tunnels/away/{name}"));
    acquaint(&host1, FAR);
    acquaint(&peer, HOST1);
    // To the last byte that fits, both ways.
    for (from, to) in [(&host1, FAR), (&peer, HOST1)] {
        ping(from, &format!("-c 3 -i 0.2 -w 10 {to}")).all_answered();
        ping(from, &format!("-c 3 -i 0.2 -w 10 -s 1460 -M do {to}")).all_answered();
        ping(from, &format!("-c 1 -W 1 -s 1461 -M do {to}")).refused_with("");
    }
    // Hops on the way count for the sender, in the tunnel as everywhere.
    ping(&host1, &format!("-c 1 -W 2 -t 1 {FAR}")).refused_with("From 172.16.10.1");
    ping(&host1, &format!("-c 1 -w 10 -t 2 {FAR}")).received_one();
    ping(&peer, &format!("-c 1 -W 2 -t 1 {HOST1}")).refused_with("From 192.168.50.1");
    ping(&peer, &format!("-c 1 -w 10 -t 2 {HOST1}")).received_one();
    // Without a source of its own, the packet is the encapsulator's; the answer goes back beside the tunnel.
    let accepted = count("rx_packets");
    ping(&peer, &format!("-c 1 -w 10 -I 198.51.100.9 {HOST1}")).received_one();
    assert!(count("rx_packets") > accepted);
    // What may be cut is cut in the tunnel, and put together by the peer's kernel.
    let requests = || {
        let text = peer.run("cat /proc/net/snmp");
        let mut rows = text.lines().filter(|line| line.starts_with("Icmp:"));
        let names = rows.next().expect("names").split(' ');
        let values = rows.next().expect("values").split(' ');
        let cell = names.zip(values).find(|(name, _)| *name == "InEchos").expect("a column");
        cell.1.parse::<u64>().expect("a number")
    };
    // The host knows by now what fits, and would cut by itself.
    host1.ip("route flush cache");
    let (before, cut) = (requests(), count("tx_outer_frag"));
    ping(&host1, &format!("-c 1 -W 1 -s 1472 -M dont {FAR}"));
    assert_eq!((requests(), count("tx_outer_frag")), (before + 1, cut + 1));
    // A piece of a packet does not enter.
    assert_eq!(count("tx_fragment"), 0);
    ping(&host1, &format!("-c 1 -W 1 -s 3000 -M dont {FAR}")).refused_with("");
    assert_eq!(count("tx_fragment"), 3);
    let rate = iperf(&host1, &peer, FAR, "-t 1").megabits_per_second;
    let back = iperf(&host1, &peer, FAR, "-t 1 -R").megabits_per_second;
    assert!(rate > 1.0 && back > 1.0, "{rate} and {back} Mbit/s");
    // TCP is that of the peer's kernel, above the peer's own encapsulation.
    File::new(1_000_000).crosses("minimal", &host1, &peer, FAR);
}
