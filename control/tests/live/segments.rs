//! One Ethernet segment, half of it behind adit and half a Linux kernel: `host1 ── [adit] ── Linux guest`, with the guest's
//! own gretap, VXLAN and GENEVE devices as the far end. ARP, neighbor discovery and TCP cross as on a wire.
//!
//! `ADIT_KEEP_CAPTURES=FOLDER` keeps what the kernel sent at first, one file a kind: `control/tests/captures/linux/segments` are
//! such. The guest computes its checksums itself: a TAP would leave them to whoever takes the frame.

use std::path::Path;

use tempfile::TempDir;

use crate::appliance::Appliance;
use crate::capture::{self, Capture};
use crate::guest::Guest;
use crate::network::Namespace;
use crate::traffic::{acquaint, iperf_to_guest, ping};
use crate::turn;

/// One kind of tunnel: adit's mode with its keys, and the guest's `ip link add`.
struct Kind {
    /// Its file among the captures.
    capture: &'static str,
    mode: &'static str,
    link: &'static str,
    outer_v6: bool,
    /// Bytes in front of a packet of the segment, its Ethernet header among them.
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
const KINDS: [Kind; 11] = [
    kind("gretap", "gretap", "type gretap ttl 64", false, 38),
    kind("gretap-key-csum", "gretap, key: 7, checksum: yes", "type gretap key 7 csum ttl 64", false, 46),
    kind("gretap-seq", "gretap, sequence: yes, require-sequence: yes, dscp: 0", "type gretap seq ttl 64", false, 42),
    kind("ip6gretap", "ip6gretap", "type ip6gretap encaplimit none", true, 58),
    kind("ip6gretap-key", "ip6gretap, key: 7", "type ip6gretap key 7 encaplimit none", true, 62),
    kind("vxlan", "vxlan, id: 42, vlan-tags: yes", "type vxlan id 42 dstport 4789", false, 50),
    kind("vxlan-8472-csum", "vxlan, id: 42, port: 8472, udp-checksum: yes, vlan-tags: yes",
         "type vxlan id 42 dstport 8472 udpcsum", false, 50),
    kind("vxlan-v6", "vxlan, id: 16777215, vlan-tags: yes", "type vxlan id 16777215 dstport 4789", true, 70),
    kind("geneve", "geneve, id: 7", "type geneve id 7", false, 50),
    kind("geneve-no-csum", "geneve, id: 7, udp-checksum: no", "type geneve id 7 noudpcsum", false, 50),
    kind("geneve-v6", "geneve, id: 11259375", "type geneve id 11259375", true, 70),
];

impl Kind {
    fn ends(&self) -> (&'static str, &'static str) {
        if self.outer_v6 {
            ("2001:db8:a::1", "2001:db8:a::9")
        } else {
            ("198.51.100.1", "198.51.100.9")
        }
    }

    /// The largest packet of the segment.
    fn mtu(&self) -> u16 {
        1500 - self.overhead
    }

    fn configuration(&self) -> String {
        let (local, remote) = self.ends();
        format!(
            "ports:
  lan: {{ device: \"net_tap0,iface=lan\" }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
tunnels:
  segment: {{ local: \"{local}\", remote: \"{remote}\", attach: lan, mode: {} }}
",
            self.mode
        )
    }

    /// Makes the guest's end.
    fn lay_in(&self, guest: &mut Guest) {
        let (remote, local) = self.ends();
        // A device of GENEVE has no address of its own.
        let local =
            if self.mode.starts_with("geneve") { String::new() } else { format!("local {local}") };
        guest.run(&format!(
            "set -e
             ip link del far 2>/dev/null || true
             ip link add far {} {local} remote {remote}
             ip link set far mtu {} up
             ip addr add 10.9.0.2/24 dev far
             ip -6 addr add fd00:9::2/64 dev far nodad",
            self.link,
            self.mtu(),
        ));
    }

    /// Pings while the wire is watched, and keeps what the guest sent.
    fn keep(&self, site: &Namespace, host1: &Namespace, folder: &Path) {
        let work = TempDir::new().expect("a temporary folder");
        let (_, guest) = self.ends();
        // The guest's own talk with its neighbors is left out.
        let talk = if self.outer_v6 { "and not ip6[6] == 58" } else { "and not icmp" };
        let filter = format!("src host {guest} {talk}");
        let mut wire = Capture::start(site, work.path(), "guest", &filter);
        host1.ip("neigh flush all");
        for far in ["10.9.0.2", "fd00:9::2"] {
            acquaint(host1, far);
        }
        wire.at_least(4);
        let frames: Vec<Vec<u8>> = wire.frames().into_iter().take(8).collect();
        capture::write(&folder.join(format!("{}.pcap", self.capture)), &frames);
    }

    fn try_with(&self, host1: &Namespace, guest: &mut Guest) {
        host1.ip("neigh flush all");
        let largest = [("10.9.0.2", self.mtu() - 28), ("fd00:9::2", self.mtu() - 48)];
        for (far, size) in largest {
            acquaint(host1, far);
            ping(host1, &format!("-c 3 -i 0.2 -w 10 -s {size} -M do {far}")).all_answered();
            ping(host1, &format!("-c 1 -W 1 -s {} -M do {far}", size + 1)).refused_with("");
        }
        for near in ["10.9.0.1", "fd00:9::1"] {
            let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
            assert!(text.contains(" 3 received"), "{}: {text}", self.mode);
        }
        for far in ["10.9.0.2", "fd00:9::2"] {
            let megabits = iperf_to_guest(host1, guest, far);
            assert!(megabits > 1.0, "{} {far}: {megabits} Mbit/s", self.mode);
        }
    }
}

#[test]
fn a_segment_of_every_kind_is_one_with_the_kernels_own_device() {
    let _turn = turn::shared();
    let (host1, site) = (Namespace::new("host1"), Namespace::new("a"));
    site.port("lan", &host1, "eth0");
    site.tap("wan");
    site.ip("tuntap add dev guest mode tap");
    site.ip("link set guest addrgenmode none");
    site.plug("guest", "wan");
    host1.address("eth0", "10.9.0.1/24");
    host1.address("eth0", "fd00:9::1/64");
    let appliance = Appliance::start(&site, &KINDS[0].configuration());
    let mut guest = Guest::boot(&site, &["tap,ifname=guest,script=no,downscript=no"]);
    guest.run(
        "set -e
         echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
         ip addr add 198.51.100.9/24 dev eth0
         ip -6 addr add 2001:db8:a::9/64 dev eth0 nodad
         ip link set eth0 up
         ethtool -K eth0 gro off tx off
         ping -n -q -c 1 -w 30 198.51.100.1
         ping -n -q -c 1 -w 30 2001:db8:a::1
         modprobe ip_gre; modprobe ip6_gre; modprobe vxlan; modprobe geneve",
    );
    for kind in &KINDS {
        kind.lay_in(&mut guest);
        appliance.rewrite(&kind.configuration());
        appliance.apply();
        if let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") {
            kind.keep(&site, &host1, Path::new(&folder));
        }
        kind.try_with(&host1, &mut guest);
    }
}
