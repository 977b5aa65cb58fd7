//! Labels between adit and the Linux kernel's own MPLS: IP that gets labels at one end and loses them at the other, in MPLS over IPv4
//! and over GRE, and a path of labels that crosses adit from one port to the tunnel and back.
//!
//! `host1 ── lan [adit] wan ── Linux guest eth0`, and `[adit] core ── guest eth1`, a port that takes MPLS.
//! `ADIT_KEEP_CAPTURES=FOLDER` keeps what the kernel sent, one file a kind: `control/tests/captures/linux` has them.

use std::time::Duration;

use crate::appliance::Appliance;
use crate::capture::{self, Capture};
use crate::guest::Guest;
use crate::network::{Namespace, until};
use crate::sites::address_host;
use crate::traffic::ping;
use crate::turn;

/// A kind of tunnel: its capture, adit's mode, the guest's `ip link add`.
const KINDS: [(&str, &str, &str); 3] = [
    ("mplsip", "mplsip", "type ipip mode mplsip"),
    ("mpls-sit-any", "sit, payload: any", "type sit mode any"),
    ("mpls-gre", "gre", "type gre"),
];

fn configuration(mode: &str) -> String {
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\", addresses: [172.16.10.1/24, \"fd00:1::1/64\"] }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24] }}
  core:
    device: \"net_tap2,iface=core\"
    addresses: [198.18.0.1/24]
    labels: {{ 700: {{ swap: 300, tunnel: linux }}, 701: {{ pop: ip }} }}
tunnels:
  linux:
    mode: {mode}
    local: 198.51.100.1
    remote: 198.51.100.9
    push: [300]
    labels:
      100: {{ pop: ip }}
      101: {{ pop: label }}
      102: {{ swap: 800, via: 198.18.0.9, port: core }}
    addresses: [192.168.50.1/30]
    routes: [10.2.0.0/16, \"fd00:2::/64\"]
"
    )
}

/// The guest's end: label 300 is popped, and IP towards host1 gets 100, or 101 and 100.
fn lay_in(guest: &mut Guest, link: &str) {
    guest.run(&format!(
        "set -e
         ip link del far 2>/dev/null || true
         ip link add far {link} local 198.51.100.9 remote 198.51.100.1 ttl 64
         ip addr add 192.168.50.2/30 dev far
         ip link set far up
         sysctl -q -w net.mpls.platform_labels=1000 net.mpls.conf.far.input=1
         ip -f mpls route replace 300 dev lo
         ip route replace 172.16.10.0/24 encap mpls 100 dev far src 10.2.0.8
         ip -6 route replace fd00:1::/64 encap mpls 101/100 dev far src fd00:2::8"
    ));
}

#[test]
fn labels_of_the_kernels_own_mpls_are_understood_and_ours_by_it() {
    let _turn = turn::shared();
    let (host1, site) = (Namespace::new("host1"), Namespace::new("a"));
    site.port("lan", &host1, "eth0");
    for (port, tap) in [("wan", "guest"), ("core", "guest1")] {
        site.tap(port);
        site.ip(&format!("tuntap add dev {tap} mode tap"));
        site.ip(&format!("link set {tap} addrgenmode none"));
        site.plug(tap, port);
    }
    address_host(&host1, "172.16.10", "fd00:1:");
    let appliance = Appliance::start(&site, &configuration(KINDS[0].1));
    let taps =
        ["tap,ifname=guest,script=no,downscript=no", "tap,ifname=guest1,script=no,downscript=no"];
    let mut guest = Guest::boot(&site, &taps);
    guest.run(
        "set -e
         ip addr add 198.51.100.9/24 dev eth0; ip link set eth0 up
         ip addr add 198.18.0.9/24 dev eth1; ip link set eth1 up
         ip addr add 10.2.0.8/32 dev lo
         ip -6 addr add fd00:2::8/128 dev lo nodad
         ping -n -q -c 1 -w 30 198.51.100.1
         ping -n -q -c 1 -w 30 198.18.0.1
         modprobe ipip; modprobe sit; modprobe ip_gre; modprobe mpls_router; modprobe mpls_iptunnel
         sysctl -q -w net.mpls.conf.eth1.input=1",
    );
    for (name, mode, link) in KINDS {
        lay_in(&mut guest, link);
        appliance.rewrite(&configuration(mode));
        appliance.apply();
        until(Duration::from_secs(5), "tunnel of this mode", || {
            let is_there = appliance.json("tunnels")["tunnels"][0]["mode"].as_str()?.to_owned();
            mode.starts_with(&is_there).then_some(())
        });
        let folder = tempfile::tempdir().unwrap();
        let from_linux = "src host 198.51.100.9 and dst host 198.51.100.1 and not icmp and not arp";
        let mut wire = Capture::start(&site, folder.path(), "guest", &format!("-n '{from_linux}'"));
        ping(&host1, "-c 2 -i 0.2 -w 10 10.2.0.8").all_answered();
        ping(&host1, "-c 2 -i 0.2 -w 10 fd00:2::8").all_answered();
        for near in ["172.16.10.2", "fd00:1::2"] {
            let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
            assert!(text.contains(" 3 received"), "{name} {near}: {text}");
        }
        wire.at_least(10);
        if let Some(kept) = std::env::var_os("ADIT_KEEP_CAPTURES") {
            let path = std::path::Path::new(&kept).join(format!("{name}.pcap"));
            capture::write(&path, &wire.frames());
        }
    }
    cross(&appliance, &host1, &mut guest);
}

/// The guest as a router of labels on both sides: what it sends with label 700 by eth1 comes back out of the tunnel, and what it
/// puts into the tunnel with label 102 comes back by eth1 with 800.
fn cross(appliance: &Appliance, host1: &Namespace, guest: &mut Guest) {
    guest.run(
        "set -e
         ip -f mpls route replace 800 dev lo
         ip addr add 10.2.0.9/32 dev lo
         ip route replace 172.16.10.0/24 encap mpls 701 via inet 198.18.0.1 dev eth1 src 10.2.0.8",
    );
    // host1 hears by label 701, and answers by way of the tunnel.
    let text = guest.run("ping -n -c 3 -i 0.2 -w 10 172.16.10.2");
    assert!(text.contains(" 3 received"), "{text}");
    let before = appliance.counter("tunnels.linux.tx_packets");
    // To itself, by way of adit: 700 becomes 300 in the tunnel, which the guest pops.
    guest.run(
        "set -e
         sysctl -q -w net.ipv4.conf.all.accept_local=1 net.ipv4.conf.far.accept_local=1 \\
                      net.ipv4.conf.lo.accept_local=1 net.ipv4.conf.eth1.accept_local=1
         ip route replace 203.0.113.77/32 encap mpls 700 via inet 198.18.0.1 dev eth1 src 10.2.0.8
         ping -n -c 3 -i 0.2 -W 1 203.0.113.77 || true",
    );
    until(Duration::from_secs(5), "packets from port to tunnel", || {
        (appliance.counter("tunnels.linux.tx_packets") >= before + 3).then_some(())
    });
    // And from the tunnel to the port.
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
