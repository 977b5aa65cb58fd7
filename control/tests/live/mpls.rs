//! Labels between adit and the Linux kernel's own MPLS: IP that gets labels at one end and loses them at the other, in MPLS over
//! IPv4 and IPv6 and over GRE, and a path of labels that crosses adit from a port to the tunnel and back.
//!
//! `host1 ── lan [adit] wan ── Linux guest eth0`, and `[adit] core ── guest eth1`, a port that takes MPLS.
//! `ADIT_KEEP_CAPTURES=FOLDER` keeps what the kernel sent, one file a kind: `control/tests/captures/linux/mpls` are such.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::appliance::Appliance;
use crate::capture::{self, Capture};
use crate::guest::Guest;
use crate::network::{Namespace, until};
use crate::sites::address_host;
use crate::traffic::{acquaint, iperf_to_guest, ping};
use crate::turn;

/// One kind of tunnel: adit's mode with its keys, and the guest's `ip link add`.
struct Kind {
    /// Its file among the captures.
    capture: &'static str,
    mode: &'static str,
    link: &'static str,
    outer_v6: bool,
    /// Bytes in front of a packet, one label among them.
    overhead: u16,
}

const fn kind(
    capture: &'static str,
    mode: &'static str,
    link: &'static str,
    outer_v6: bool,
    overhead: u16,
) -> Kind {
    Kind { capture, mode, link, outer_v6, overhead }
}

#[rustfmt::skip]
const KINDS: [Kind; 6] = [
    kind("mplsip", "mplsip", "type ipip mode mplsip ttl 64", false, 24),
    kind("mplsip-sit", "sit, payload: any", "type sit mode any ttl 64", false, 24),
    kind("mpls-gre", "gre", "type gre ttl 64", false, 28),
    kind("mpls-gre-key-csum", "gre, key: 7, checksum: yes", "type gre key 7 csum ttl 64", false, 36),
    kind("mplsip6", "mplsip6", "type ip6tnl mode any encaplimit none", true, 44),
    kind("mpls-ip6gre", "ip6gre", "type ip6gre encaplimit none", true, 48),
];

impl Kind {
    fn ends(&self) -> (&'static str, &'static str) {
        if self.outer_v6 {
            ("2001:db8:a::1", "2001:db8:a::9")
        } else {
            ("198.51.100.1", "198.51.100.9")
        }
    }

    /// The largest packet that gets one label.
    fn mtu(&self) -> u16 {
        1500 - self.overhead
    }

    /// adit's end, which puts `pushed` in front of IP packets.
    fn configuration(&self, pushed: u32) -> String {
        let (local, remote) = self.ends();
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
            self.mode
        )
    }

    /// The guest's end: label 300 is popped, and IP towards host1 gets `labels`.
    fn lay_in(&self, guest: &mut Guest, labels: &str) {
        let (remote, local) = self.ends();
        guest.run(&format!(
            "set -e
             ip link del far 2>/dev/null || true
             ip link add far {} local {local} remote {remote}
             ip link set far mtu {} up
             echo 1 > /proc/sys/net/mpls/conf/far/input
             ip route replace 172.16.10.0/24 encap mpls {labels} dev far src 10.2.0.8
             ip -6 route replace fd00:1::/64 encap mpls {labels} dev far src fd00:2::8",
            self.link,
            // Labels are part of what such a device carries.
            self.mtu() + 4,
        ));
    }

    /// Pings while the wire is watched, and keeps what the guest sent.
    fn keep(&self, site: &Namespace, host1: &Namespace, folder: &Path) {
        let work = TempDir::with_prefix("adit-live-").expect("a temporary folder");
        let (_, guest) = self.ends();
        // The guest's own talk with its neighbors is left out.
        let talk = if self.outer_v6 { "and not ip6[6] == 58" } else { "and not icmp and not arp" };
        let mut wire =
            Capture::start(site, work.path(), "guest", &format!("src host {guest} {talk}"));
        for far in ["10.2.0.8", "fd00:2::8"] {
            ping(host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
        }
        wire.at_least(6);
        let frames: Vec<Vec<u8>> = wire.frames().into_iter().take(6).collect();
        capture::write(&folder.join(format!("{}.pcap", self.capture)), &frames);
    }

    /// Pings both ways, to the last byte that fits, and streams.
    fn try_with(&self, host1: &Namespace, guest: &mut Guest) {
        let largest = [("10.2.0.8", self.mtu() - 28), ("fd00:2::8", self.mtu() - 48)];
        for (far, size) in largest {
            ping(host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
            ping(host1, &format!("-c 3 -i 0.2 -w 10 -s {size} -M do {far}")).all_answered();
            let too_big = ping(host1, &format!("-c 1 -W 1 -s {} -M do {far}", size + 1));
            too_big.refused_with("");
        }
        for near in ["172.16.10.2", "fd00:1::2"] {
            let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
            assert!(text.contains(" 3 received"), "{} {near}: {text}", self.mode);
        }
        for far in ["10.2.0.8", "fd00:2::8"] {
            let megabits = iperf_to_guest(host1, guest, far);
            assert!(megabits > 1.0, "{} {far}: {megabits} Mbit/s", self.mode);
        }
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

/// A port that takes MPLS, on a wire with a tap of the guest.
fn lay() -> (Namespace, Namespace) {
    let (host1, site) = (Namespace::new("host1"), Namespace::new("a"));
    site.port("lan", &host1, "eth0");
    for (port, tap) in [("wan", "guest"), ("core", "guest1")] {
        site.tap(port);
        site.ip(&format!("tuntap add dev {tap} mode tap"));
        site.ip(&format!("link set {tap} addrgenmode none"));
        site.plug(tap, port);
    }
    address_host(&host1, "172.16.10", "fd00:1:");
    (host1, site)
}

fn boot(site: &Namespace) -> Guest {
    let taps = ["guest", "guest1"].map(|tap| format!("tap,ifname={tap},script=no,downscript=no"));
    let mut guest = Guest::boot(site, &[&taps[0], &taps[1]]);
    guest.run(
        "set -e
         echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
         ip addr add 198.51.100.9/24 dev eth0
         ip -6 addr add 2001:db8:a::9/64 dev eth0 nodad
         ip addr add 198.18.0.9/24 dev eth1
         ip link set eth0 up
         ip link set eth1 up
         ethtool -K eth0 gro off tx off
         ethtool -K eth1 gro off tx off
         ip addr add 10.2.0.8/32 dev lo
         ip -6 addr add fd00:2::8/128 dev lo nodad
         ping -n -q -c 1 -w 30 198.51.100.1
         ping -n -q -c 1 -w 30 2001:db8:a::1
         ping -n -q -c 1 -w 30 198.18.0.1
         modprobe ipip; modprobe sit; modprobe ip_gre; modprobe ip6_tunnel; modprobe ip6_gre
         modprobe mpls_router; modprobe mpls_gso; modprobe mpls_iptunnel
         echo 1000 > /proc/sys/net/mpls/platform_labels
         echo 1 > /proc/sys/net/mpls/conf/eth1/input
         ip -f mpls route replace 300 dev lo",
    );
    guest
}

#[test]
fn labels_of_the_kernels_own_mpls_are_understood_and_ours_by_it() {
    let _turn = turn::shared();
    let (host1, site) = lay();
    let appliance = Appliance::start(&site, &KINDS[0].configuration(300));
    let mut guest = boot(&site);
    for kind in &KINDS {
        kind.lay_in(&mut guest, "100");
        appliance.rewrite(&kind.configuration(300));
        appliance.apply();
        acquaint(&host1, "10.2.0.8");
        kind.try_with(&host1, &mut guest);
        // Two labels, of which the first says nothing but that another follows.
        kind.lay_in(&mut guest, "101/100");
        if let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") {
            kind.keep(&site, &host1, Path::new(&folder));
        }
        for far in ["10.2.0.8", "fd00:2::8"] {
            ping(&host1, &format!("-c 3 -i 0.2 -w 10 {far}")).all_answered();
        }
        // Explicit null both ways, which needs no entry at either end.
        kind.lay_in(&mut guest, "0");
        appliance.rewrite(&kind.configuration(0));
        appliance.apply();
        ping(&host1, "-c 3 -i 0.2 -w 10 10.2.0.8").all_answered();
    }
    let kind = &KINDS[0];
    kind.lay_in(&mut guest, "100");
    appliance.rewrite(&kind.configuration(300));
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
