//! Labels between adit and the Linux kernel's own MPLS: IP that gets labels at one end and loses them at the other, in MPLS over
//! IPv4 and IPv6, over GRE and in FOU and GUE, and a path of labels that crosses adit from a port to the tunnel and back.
//!
//! `host1 ── lan [adit] wan ── Linux guest eth0`, and `[adit] core ── guest eth1`, a port that takes MPLS.
//! What the kernel sent is in `control/tests/captures/linux/mpls`.

use std::time::Duration;

use crate::appliance::Appliance;
use crate::far_end::{Kind, boot, kind, lay, plug_tap};
use crate::files::File;
use crate::guest::Guest;
use crate::network::{Namespace, until};
use crate::sites::address_host;
use crate::traffic::{acquaint, iperf_to_guest, ping};
use crate::turn;

/// adit's mode with its keys, and the guest's `ip link add`; what takes less room first, as host1 remembers what it was told.
#[rustfmt::skip]
const KINDS: [Kind; 10] = [
    kind("mplsip", "mplsip", "type ipip mode mplsip ttl 64", false, 24),
    kind("mplsip-sit", "sit, payload: any", "type sit mode any ttl 64", false, 24),
    kind("mpls-gre", "gre", "type gre ttl 64", false, 28),
    kind("mplsip-fou", "mplsip, encap: { type: fou, dport: 6635 }",
         "type ipip mode mplsip ttl 64 encap fou encap-sport auto encap-dport 6635 encap-csum", false, 32),
    kind("mpls-gre-key-csum", "gre, key: 7, checksum: yes", "type gre key 7 csum ttl 64", false, 36),
    kind("mplsip-gue", "mplsip, encap: { type: gue, checksum: no }",
         "type ipip mode mplsip ttl 64 encap gue encap-sport auto encap-dport 6080", false, 36),
    kind("mplsip6", "mplsip6", "type ip6tnl mode any encaplimit none", true, 44),
    kind("mpls-ip6gre", "ip6gre", "type ip6gre encaplimit none", true, 48),
    kind("mplsip6-limit", "mplsip6, encap-limit: 4", "type ip6tnl mode any", true, 52),
    kind("mplsip6-gue", "mplsip6, encap: { type: gue }",
         "type ip6tnl mode any encaplimit none encap gue encap-sport auto encap-dport 6080 encap-udp6-csum", true, 56),
];

const FILE_LEN: usize = 1_000_000;

/// adit's end, which puts `pushed` in front of IP packets.
fn configuration(kind: &Kind, pushed: u32) -> String {
    let (local, remote) = kind.ends();
    format!(
            "ports:
  lan: {{ device: \"net_tap0,iface=lan\", addresses: [172.16.10.1/24, \"fd00:1::1/64\"] }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
  core:
    device: \"net_tap2,iface=core\"
    addresses: [198.18.0.1/24]
    labels: {{ 700: {{ swap: 300, tunnel: linux }}, 701: {{ pop: ip }} }}
tunnels:
  linux: {{
    local: \"{local}\", remote: \"{remote}\", push: [{pushed}],
    labels: {{ 100: {{ pop: ip }}, 101: {{ pop: label }}, 102: {{ swap: 800, via: 198.18.0.9, port: core }} }},
    routes: [10.2.0.0/16, \"fd00:2::/64\"], mode: {} }}
",
            kind.words
        )
}

/// The guest's end: label 300 is popped, and IP towards host1 gets `labels`.
fn lay_in(kind: &Kind, guest: &mut Guest, labels: &str) {
    let (remote, local) = kind.ends();
    guest.run(&format!(
        "set -e
             ip link del far 2>/dev/null || true
             ip link add far {} local {local} remote {remote}
             ip link set far mtu {} up
             echo 1 > /proc/sys/net/mpls/conf/far/input
             ip route replace 172.16.10.0/24 encap mpls {labels} dev far src 10.2.0.8
             ip -6 route replace fd00:1::/64 encap mpls {labels} dev far src fd00:2::8",
        kind.link,
        // Labels are part of what such a device carries.
        kind.mtu() + 4,
    ));
}

/// Pings both ways, to the last byte that fits, streams, and a file there and back.
fn try_with(kind: &Kind, host1: &Namespace, guest: &mut Guest, file: &File) {
    let largest = [("10.2.0.8", kind.mtu() - 28), ("fd00:2::8", kind.mtu() - 48)];
    for (far, size) in largest {
        ping(host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
        ping(host1, &format!("-c 3 -i 0.2 -w 10 -s {size} -M do {far}")).all_answered();
        let too_big = ping(host1, &format!("-c 1 -W 1 -s {} -M do {far}", size + 1));
        too_big.refused_with("");
    }
    for near in ["172.16.10.2", "fd00:1::2"] {
        let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
        assert!(text.contains(" 3 received"), "{} {near}: {text}", kind.words);
    }
    let megabits = iperf_to_guest(host1, guest, "10.2.0.8");
    assert!(megabits > 1.0, "{}: {megabits} Mbit/s", kind.words);
    for far in ["10.2.0.8", "fd00:2::8"] {
        file.crosses_to_guest(kind.words, host1, guest, far);
    }
}

/// The tunnel is one hop for who sends into it, and labels that arrive count hops of their own: the kernel gives them the TTL of
/// the packet, and where that is used up, nobody is told.
fn count_hops(appliance: &Appliance, host1: &Namespace, guest: &mut Guest) {
    ping(host1, "-c 1 -W 2 -t 1 10.2.0.8").refused_with("From 172.16.10.1");
    ping(host1, "-c 1 -w 10 -t 2 10.2.0.8").received_one();
    let expired = || appliance.counter("/dataplane/mpls.ttl_expired");
    let before = expired();
    let (_, text) = guest.attempt("ping -n -c 1 -W 1 -t 1 172.16.10.2");
    assert!(text.contains(" 0 received") && !text.contains("From "), "{text}");
    assert_eq!(expired(), before + 1);
    let text = guest.run("ping -n -c 1 -w 10 -t 2 172.16.10.2");
    assert!(text.contains(" 1 received"), "{text}");
}

/// With a port that takes MPLS, which has a tap of the guest on its wire, too.
fn lay_two() -> (Namespace, Namespace) {
    let (host1, site) = lay();
    site.tap("core");
    plug_tap(&site, "guest1", "core");
    address_host(&host1, "172.16.10", "fd00:1:");
    (host1, site)
}

fn boot_two(site: &Namespace) -> Guest {
    let script = "ip addr add 198.18.0.9/24 dev eth1
         ip link set eth1 up
         ethtool -K eth0 gro off tx off
         ethtool -K eth1 gro off tx off
         ip addr add 10.2.0.8/32 dev lo
         ip -6 addr add fd00:2::8/128 dev lo nodad
         ping -n -q -c 1 -w 30 198.18.0.1
         modprobe ipip; modprobe sit; modprobe ip_gre; modprobe ip6_tunnel; modprobe ip6_gre
         modprobe mpls_router; modprobe mpls_gso; modprobe mpls_iptunnel; modprobe fou; modprobe fou6
         ip fou add port 6635 ipproto 137
         ip fou add port 6080 gue
         ip -6 fou add port 6080 gue
         echo 1000 > /proc/sys/net/mpls/platform_labels
         echo 1 > /proc/sys/net/mpls/conf/eth1/input
         ip -f mpls route replace 300 dev lo";
    boot(site, &["guest", "guest1"], script)
}

#[test]
fn labels_of_the_kernels_own_mpls_are_understood_and_ours_by_it() {
    let _turn = turn::shared();
    let (host1, site) = lay_two();
    let appliance = Appliance::start(&site, &configuration(&KINDS[0], 300));
    let mut guest = boot_two(&site);
    let file = File::new(FILE_LEN);
    for kind in &KINDS {
        lay_in(kind, &mut guest, "100");
        appliance.rewrite(&configuration(kind, 300));
        appliance.apply();
        acquaint(&host1, "10.2.0.8");
        try_with(kind, &host1, &mut guest, &file);
        // Two labels, of which the first says nothing but that another follows.
        lay_in(kind, &mut guest, "101/100");
        kind.keep(&site, 6..=6, || {
            for far in ["10.2.0.8", "fd00:2::8"] {
                ping(&host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
            }
        });
        for far in ["10.2.0.8", "fd00:2::8"] {
            ping(&host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
        }
        // Explicit null both ways, which needs no entry at either end.
        lay_in(kind, &mut guest, "0");
        appliance.rewrite(&configuration(kind, 0));
        appliance.apply();
        ping(&host1, "-c 3 -i 0.2 -w 10 10.2.0.8").all_answered();
    }
    let kind = &KINDS[0];
    lay_in(kind, &mut guest, "100");
    appliance.rewrite(&configuration(kind, 300));
    appliance.apply();
    acquaint(&host1, "10.2.0.8");
    count_hops(&appliance, &host1, &mut guest);
    cross(&appliance, &host1, &mut guest);
}

/// The guest as a router of labels on both sides: what it sends with label 700 by eth1 comes back out of the tunnel, and what it
/// puts into the tunnel with label 102 comes back by eth1 with 800.
fn cross(appliance: &Appliance, host1: &Namespace, guest: &mut Guest) {
    guest.run(
        "set -e
         ip -f mpls route replace 800 dev lo
         ip route replace 172.16.10.0/24 encap mpls 701 via inet 198.18.0.1 dev eth1 src 10.2.0.8",
    );
    // host1 hears by label 701, and answers by way of the tunnel.
    let text = guest.run("ping -n -c 3 -i 0.2 -w 10 172.16.10.2");
    assert!(text.contains(" 3 received"), "{text}");
    // What it sends with 700 it gets back with 300 in the tunnel.
    let sent = || appliance.counter("/tunnels/linux/tx_packets");
    let before = sent();
    guest.run(
        "set -e
         ip route replace 203.0.113.77/32 encap mpls 700 via inet 198.18.0.1 dev eth1 src 10.2.0.8
         ping -n -c 3 -i 0.2 -W 1 203.0.113.77 || true",
    );
    until(Duration::from_secs(5), "packets from port to tunnel", || {
        (sent() >= before + 3).then_some(())
    });
    // And what it sends with 102 in the tunnel, with 800 on eth1.
    let received = |guest: &mut Guest| -> u64 {
        guest.run("cat /sys/class/net/eth1/statistics/rx_packets").trim().parse().unwrap()
    };
    let before = received(guest);
    guest.run(
        "ip route replace 203.0.113.78/32 encap mpls 102 dev far src 10.2.0.8
         ping -n -c 3 -i 0.2 -W 1 203.0.113.78 || true",
    );
    assert!(received(guest) >= before + 3, "frames with label 800 on eth1");
    ping(host1, "-c 1 -w 10 10.2.0.8").received_one();
}
