//! Mirror sessions with a Linux kernel's own `erspan` and `ip6erspan` devices at the far end. What the port `lan` receives is
//! mirrored to the guest, and what the guest sends into its device leaves by the sink, onto the same wire: so a session
//! each way is a segment, on which the kernels at both ends look at every byte of ARP, neighbor discovery and pings.
//!
//! `ADIT_KEEP_CAPTURES=FOLDER` keeps what the guest sent at first, one file a kind: `control/tests/captures/linux/sessions` are such.

use std::path::Path;

use tempfile::TempDir;

use crate::appliance::Appliance;
use crate::capture::{self, Capture};
use crate::guest::Guest;
use crate::network::Namespace;
use crate::traffic::{acquaint, ping};
use crate::turn;

/// One type of session: adit's `erspan`, and the guest's `ip link add`.
struct Kind {
    /// Its file among the captures.
    capture: &'static str,
    erspan: &'static str,
    link: &'static str,
    outer_v6: bool,
    /// Bytes in front of a packet that is mirrored, its Ethernet header among them.
    overhead: u16,
}

const fn kind(
    capture: &'static str,
    erspan: &'static str,
    link: &'static str,
    outer_v6: bool,
    overhead: u16,
) -> Kind {
    Kind { capture, erspan, link, outer_v6, overhead }
}

#[rustfmt::skip]
const KINDS: [Kind; 5] = [
    kind("erspan-1", "session: 100, index: 7", "type erspan seq key 100 erspan_ver 1 erspan 9", false, 50),
    kind("erspan-2", "version: 2, session: 1023, hardware-id: 3",
         "type erspan seq key 1023 erspan_ver 2 erspan_dir egress erspan_hwid 5", false, 54),
    kind("erspan-0", "version: 0", "type erspan erspan_ver 0", false, 38),
    kind("ip6erspan-1", "session: 5", "type ip6erspan seq key 5 erspan_ver 1 erspan 1048575 encaplimit none", true, 70),
    kind("ip6erspan-2", "version: 2, session: 6, direction: ingress",
         "type ip6erspan seq key 6 erspan_ver 2 erspan_dir ingress erspan_hwid 63 encaplimit none", true, 74),
];

impl Kind {
    fn ends(&self) -> (&'static str, &'static str) {
        if self.outer_v6 {
            ("2001:db8:a::1", "2001:db8:a::9")
        } else {
            ("198.51.100.1", "198.51.100.9")
        }
    }

    /// The largest packet that is mirrored as a whole.
    fn mtu(&self) -> u16 {
        1500 - self.overhead
    }

    fn configuration(&self) -> String {
        let (local, remote) = self.ends();
        let mode = if self.outer_v6 { "ip6erspan" } else { "erspan" };
        format!(
            "ports:
  lan: {{ device: \"net_tap0,iface=lan\" }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
  sink: {{ device: \"net_tap2,iface=sink\" }}
tunnels:
  session:
    {{ mode: {mode}, local: \"{local}\", remote: \"{remote}\", erspan: {{ {} }},
      mirror: {{ ports: [lan], direction: ingress }}, attach: sink }}
",
            self.erspan
        )
    }

    /// Makes the guest's end.
    fn lay_in(&self, guest: &mut Guest) {
        let (remote, local) = self.ends();
        guest.run(&format!(
            "set -e
             ip link del far 2>/dev/null || true
             ip link add far {} local {local} remote {remote}
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
        let mut wire =
            Capture::start(site, work.path(), "guest", &format!("src host {guest} {talk}"));
        host1.ip("neigh flush all");
        for far in ["10.9.0.2", "fd00:9::2"] {
            acquaint(host1, far);
        }
        wire.at_least(4);
        let frames: Vec<Vec<u8>> = wire.frames().into_iter().take(8).collect();
        capture::write(&folder.join(format!("{}.pcap", self.capture)), &frames);
    }

    fn try_with(&self, appliance: &Appliance, host1: &Namespace, guest: &mut Guest) {
        host1.ip("neigh flush all");
        let largest = [("10.9.0.2", self.mtu() - 28), ("fd00:9::2", self.mtu() - 48)];
        let cut = || appliance.counter("/tunnels/session/tx_trunc");
        for (far, size) in largest {
            acquaint(host1, far);
            let before = cut();
            ping(host1, &format!("-c 3 -i 0.2 -w 10 -s {size} -M do {far}")).all_answered();
            assert_eq!(cut(), before, "{}: {size} bytes fit", self.capture);
            // Its end is missing: the guest's kernel has no use for it.
            let one_more = ping(host1, &format!("-c 1 -W 1 -s {} -M do {far}", size + 1));
            assert_eq!(one_more.received(), 0, "{}: {} bytes are cut", self.capture, size + 1);
            assert_eq!(cut(), before + 1, "{}", self.capture);
        }
        for near in ["10.9.0.1", "fd00:9::1"] {
            let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
            assert!(text.contains(" 3 received"), "{}: {text}", self.capture);
        }
    }
}

#[test]
fn a_session_of_every_type_is_understood_by_the_kernel_and_understands_it() {
    let _turn = turn::shared();
    let (host1, site) = (Namespace::new("host1"), Namespace::new("a"));
    site.port("lan", &host1, "eth0");
    site.tap("wan");
    site.ip("tuntap add dev sink mode tap multi_queue");
    site.ip("link set sink addrgenmode none");
    site.plug("sink", "lan");
    // Whoever answers there is heard on the wire of `lan` as well.
    site.ip("link set sink type bridge_slave learning off");
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
         modprobe ip_gre; modprobe ip6_gre",
    );
    for kind in &KINDS {
        kind.lay_in(&mut guest);
        appliance.rewrite(&kind.configuration());
        appliance.apply();
        if let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") {
            kind.keep(&site, &host1, Path::new(&folder));
        }
        kind.try_with(&appliance, &host1, &mut guest);
    }
}
