//! One Ethernet segment, half of it behind adit and half a Linux kernel: `host1 ── [adit] ── Linux guest`, with the guest's
//! own gretap, VXLAN and GENEVE devices as the far end. ARP, neighbor discovery and TCP cross as on a wire.
//!
//! What the kernel sent at first is in `control/tests/captures/linux/segments`. The guest computes its checksums itself: a TAP would leave them to whoever takes the frame.

use crate::appliance::Appliance;
use crate::far_end::{Kind, boot, kind, lay};
use crate::files::File;
use crate::guest::Guest;
use crate::network::Namespace;
use crate::traffic::{acquaint, iperf_to_guest, ping};
use crate::turn;

/// adit's mode with its keys, and the guest's `ip link add`.
#[rustfmt::skip]
const KINDS: [Kind; 12] = [
    kind("gretap", "gretap", "type gretap ttl 64", false, 38),
    kind("gretap-key-csum", "gretap, key: 7, checksum: yes", "type gretap key 7 csum ttl 64", false, 46),
    kind("gretap-seq", "gretap, sequence: yes, require-sequence: yes, dscp: 0", "type gretap seq ttl 64", false, 42),
    kind("ip6gretap", "ip6gretap", "type ip6gretap encaplimit none", true, 58),
    kind("ip6gretap-key", "ip6gretap, key: 7", "type ip6gretap key 7 encaplimit none", true, 62),
    kind("ip6gretap-limit", "ip6gretap, encap-limit: 4", "type ip6gretap", true, 66),
    kind("vxlan", "vxlan, id: 42, vlan-tags: yes", "type vxlan id 42 dstport 4789", false, 50),
    kind("vxlan-8472-csum", "vxlan, id: 42, port: 8472, udp-checksum: yes, vlan-tags: yes",
         "type vxlan id 42 dstport 8472 udpcsum", false, 50),
    kind("vxlan-v6", "vxlan, id: 16777215, vlan-tags: yes", "type vxlan id 16777215 dstport 4789", true, 70),
    kind("geneve", "geneve, id: 7", "type geneve id 7", false, 50),
    kind("geneve-no-csum", "geneve, id: 7, udp-checksum: no", "type geneve id 7 noudpcsum", false, 50),
    kind("geneve-v6", "geneve, id: 11259375", "type geneve id 11259375", true, 70),
];

const FILE_LEN: usize = 1_000_000;

pub(crate) fn configuration(kind: &Kind) -> String {
    let (local, remote) = kind.ends();
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\" }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
tunnels:
  segment: {{ local: \"{local}\", remote: \"{remote}\", attach: lan, mode: {} }}
",
        kind.words
    )
}

fn try_with(kind: &Kind, host1: &Namespace, guest: &mut Guest, file: &File) {
    host1.ip("neigh flush all");
    let largest = [("10.9.0.2", kind.mtu() - 28), ("fd00:9::2", kind.mtu() - 48)];
    for (far, size) in largest {
        acquaint(host1, far);
        ping(host1, &format!("-c 3 -i 0.2 -w 10 -s {size} -M do {far}")).all_answered();
        ping(host1, &format!("-c 1 -W 1 -s {} -M do {far}", size + 1)).refused_with("");
    }
    for near in ["10.9.0.1", "fd00:9::1"] {
        let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
        assert!(text.contains(" 3 received"), "{}: {text}", kind.words);
    }
    let megabits = iperf_to_guest(host1, guest, "10.9.0.2");
    assert!(megabits > 1.0, "{}: {megabits} Mbit/s", kind.words);
    for far in ["10.9.0.2", "fd00:9::2"] {
        file.crosses_to_guest(kind.words, host1, guest, far);
    }
}

#[test]
fn a_segment_of_every_kind_is_one_with_the_kernels_own_device() {
    let _turn = turn::shared();
    let (host1, site) = lay();
    host1.address("eth0", "10.9.0.1/24");
    host1.address("eth0", "fd00:9::1/64");
    let appliance = Appliance::start(&site, &configuration(&KINDS[0]));
    let script = "ethtool -K eth0 gro off tx off; modprobe ip_gre; modprobe ip6_gre; modprobe vxlan; modprobe geneve";
    let mut guest = boot(&site, &["guest"], script);
    let file = File::new(FILE_LEN);
    for kind in &KINDS {
        kind.lay_segment(&mut guest);
        appliance.rewrite(&configuration(kind));
        appliance.apply();
        kind.keep(&site, 4..=8, || {
            host1.ip("neigh flush all");
            for far in ["10.9.0.2", "fd00:9::2"] {
                acquaint(&host1, far);
            }
        });
        try_with(kind, &host1, &mut guest, &file);
    }
}
