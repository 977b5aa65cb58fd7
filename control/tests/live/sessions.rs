//! Mirror sessions with a Linux kernel's own `erspan` and `ip6erspan` devices at the far end. What the port `lan` receives is
//! mirrored to the guest, and what the guest sends into its device leaves by the sink, onto the same wire: so a session
//! each way is a segment, on which the kernels at both ends look at every byte of ARP, neighbor discovery, pings and TCP.
//!
//! What the guest sent at first is in `control/tests/captures/linux/sessions`.

use crate::appliance::Appliance;
use crate::far_end::{Kind, boot, kind, lay};
use crate::files::File;
use crate::guest::Guest;
use crate::network::Namespace;
use crate::traffic::{acquaint, iperf_to_guest, ping};
use crate::turn;

/// adit's `erspan` with keys beside it, and the guest's `ip link add`.
#[rustfmt::skip]
const KINDS: [Kind; 6] = [
    kind("erspan-1", "erspan: { session: 100, index: 7 }", "type erspan seq key 100 erspan_ver 1 erspan 9", false, 50),
    kind("erspan-2", "erspan: { version: 2, session: 1023, hardware-id: 3 }",
         "type erspan seq key 1023 erspan_ver 2 erspan_dir egress erspan_hwid 5", false, 54),
    kind("erspan-0", "erspan: { version: 0 }", "type erspan erspan_ver 0", false, 38),
    kind("ip6erspan-1", "erspan: { session: 5 }", "type ip6erspan seq key 5 erspan_ver 1 erspan 1048575 encaplimit none", true, 70),
    kind("ip6erspan-2", "erspan: { version: 2, session: 6, direction: ingress }",
         "type ip6erspan seq key 6 erspan_ver 2 erspan_dir ingress erspan_hwid 63 encaplimit none", true, 74),
    kind("ip6erspan-limit", "erspan: { session: 7 }, encap-limit: 4", "type ip6erspan seq key 7 erspan_ver 1", true, 78),
];

const FILE_LEN: usize = 1_000_000;

fn configuration(kind: &Kind) -> String {
    let (local, remote) = kind.ends();
    let mode = if kind.outer_v6 { "ip6erspan" } else { "erspan" };
    format!(
        "ports:
  lan: {{ device: \"net_tap0,iface=lan\" }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
  sink: {{ device: \"net_tap2,iface=sink\" }}
tunnels:
  session:
    {{ mode: {mode}, local: \"{local}\", remote: \"{remote}\", {},
      mirror: {{ ports: [lan], direction: ingress }}, attach: sink }}
",
        kind.words
    )
}

fn try_with(kind: &Kind, appliance: &Appliance, host1: &Namespace, guest: &mut Guest, file: &File) {
    host1.ip("neigh flush all");
    let largest = [("10.9.0.2", kind.mtu() - 28), ("fd00:9::2", kind.mtu() - 48)];
    let cut = || appliance.counter("/tunnels/session/tx_trunc");
    for (far, size) in largest {
        acquaint(host1, far);
        let before = cut();
        ping(host1, &format!("-c 3 -i 0.2 -w 10 -s {size} -M do {far}")).all_answered();
        assert_eq!(cut(), before, "{}: {size} bytes fit", kind.capture);
        // Its end is missing: the guest's kernel has no use for it.
        let one_more = ping(host1, &format!("-c 1 -W 1 -s {} -M do {far}", size + 1));
        assert_eq!(one_more.received(), 0, "{}: {} bytes are cut", kind.capture, size + 1);
        assert_eq!(cut(), before + 1, "{}", kind.capture);
    }
    for near in ["10.9.0.1", "fd00:9::1"] {
        let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
        assert!(text.contains(" 3 received"), "{}: {text}", kind.capture);
    }
    // Both ends keep to what fits, so that nothing of the streams is cut.
    host1.ip(&format!("link set eth0 mtu {}", kind.mtu()));
    let before = cut();
    let megabits = iperf_to_guest(host1, guest, "10.9.0.2");
    assert!(megabits > 1.0, "{}: {megabits} Mbit/s", kind.capture);
    for far in ["10.9.0.2", "fd00:9::2"] {
        file.crosses_to_guest(kind.capture, host1, guest, far);
    }
    assert_eq!(cut(), before, "{}", kind.capture);
    host1.ip("link set eth0 mtu 1500");
}

#[test]
fn a_session_of_every_type_is_understood_by_the_kernel_and_understands_it() {
    let _turn = turn::shared();
    let (host1, site) = lay();
    site.ip("tuntap add dev sink mode tap multi_queue");
    site.ip("link set sink addrgenmode none");
    site.plug("sink", "lan");
    // Whoever answers there is heard on the wire of `lan` as well.
    site.ip("link set sink type bridge_slave learning off");
    host1.address("eth0", "10.9.0.1/24");
    host1.address("eth0", "fd00:9::1/64");
    let appliance = Appliance::start(&site, &configuration(&KINDS[0]));
    let script = "ethtool -K eth0 gro off tx off; modprobe ip_gre; modprobe ip6_gre";
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
        try_with(kind, &appliance, &host1, &mut guest, &file);
    }
}
