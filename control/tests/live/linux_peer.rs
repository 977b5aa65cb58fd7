//! The Linux kernel's own tunnels as the far end: what adit sends is understood, and the other way round.
//!
//! `host1 ── [adit A] ── Linux guest`: the guest stands on A's WAN wire, and its inner host is an address of its own.

use crate::appliance::Appliance;
use crate::far_end::{boot, ends, lay};
use crate::guest::Guest;
use crate::network::{Namespace, until};
use crate::sites::address_host;
use crate::traffic::{iperf_to_guest, ping};
use crate::turn;

/// One kind of tunnel: adit's mode, the guest's `ip link add`, and what goes through it.
struct Kind {
    mode: &'static str,
    link: &'static str,
    outer_v6: bool,
    v4: bool,
    v6: bool,
}

const KINDS: [Kind; 6] = [
    Kind { mode: "ipip", link: "type ipip", outer_v6: false, v4: true, v6: false },
    Kind { mode: "sit", link: "type sit", outer_v6: false, v4: false, v6: true },
    Kind {
        mode: "sit, payload: any",
        link: "type sit mode any",
        outer_v6: false,
        v4: true,
        v6: true,
    },
    Kind { mode: "ipip6", link: "type ip6tnl mode ipip6", outer_v6: true, v4: true, v6: false },
    Kind { mode: "ip6ip6", link: "type ip6tnl mode ip6ip6", outer_v6: true, v4: false, v6: true },
    Kind { mode: "any", link: "type ip6tnl mode any", outer_v6: true, v4: true, v6: true },
];

impl Kind {
    fn configuration(&self) -> String {
        let (local, remote) = ends(self.outer_v6);
        let addresses = match (self.v4, self.v6) {
            (true, true) => {
                "[192.168.50.1/30, \"fd00:50::1/64\"], routes: [10.2.0.0/16, \"fd00:2::/64\"]"
            }
            (true, false) => "[192.168.50.1/30], routes: [10.2.0.0/16]",
            _ => "[\"fd00:50::1/64\"], routes: [\"fd00:2::/64\"]",
        };
        format!(
            "ports:
  lan: {{ device: \"net_tap0,iface=lan\", addresses: [172.16.10.1/24, \"fd00:1::1/64\"] }}
  wan: {{ device: \"net_tap1,iface=wan\", addresses: [198.51.100.1/24, \"2001:db8:a::1/64\"] }}
tunnels:
  linux: {{ mode: {}, local: \"{local}\", remote: \"{remote}\", addresses: {addresses} }}
",
            self.mode
        )
    }

    /// Makes the guest's end. Its inner host has `10.2.0.8` and `fd00:2::8`.
    fn lay_in(&self, guest: &mut Guest) {
        let (remote, local) = ends(self.outer_v6);
        guest.run(&format!(
            "ip link del far 2>/dev/null || true
             ip link add far {} local {local} remote {remote} {}
             ip addr add 192.168.50.2/30 dev far
             ip -6 addr add fd00:50::2/64 dev far nodad
             ip link set far up
             ip route replace 172.16.10.0/24 dev far src 10.2.0.8
             ip -6 route replace fd00:1::/64 dev far src fd00:2::8",
            self.link,
            // iproute2 has no ttl for ip6tnl, and calls it hoplimit.
            if self.outer_v6 { "hoplimit 64" } else { "ttl 64" },
        ));
    }

    /// A ping in each direction and a TCP stream, for each family that it carries.
    fn try_with(&self, host1: &Namespace, guest: &mut Guest) {
        let families = [(self.v4, "172.16.10.2", "10.2.0.8"), (self.v6, "fd00:1::2", "fd00:2::8")];
        for (_, near, far) in families.into_iter().filter(|family| family.0) {
            ping(host1, &format!("-c 1 -w 10 {far}")).all_answered();
            let text = guest.run(&format!("ping -n -c 3 -i 0.2 -w 10 {near}"));
            assert!(text.contains(" 3 received"), "{}: {text}", self.link);
            let megabits = iperf_to_guest(host1, guest, far);
            assert!(megabits > 1.0, "{} {far}: {megabits} Mbit/s", self.link);
        }
    }
}

#[test]
fn the_kernels_own_tunnels_of_every_mode_talk_with_adit() {
    let _turn = turn::shared();
    let (host1, site) = lay();
    address_host(&host1, "172.16.10", "fd00:1:");
    let appliance = Appliance::start(&site, &KINDS[0].configuration());
    let script = "ip addr add 10.2.0.8/32 dev lo
         ip -6 addr add fd00:2::8/128 dev lo nodad
         modprobe ipip; modprobe sit; modprobe ip6_tunnel";
    let mut guest = boot(&site, &["guest"], script);
    for kind in &KINDS {
        kind.lay_in(&mut guest);
        appliance.rewrite(&kind.configuration());
        appliance.apply();
        until(std::time::Duration::from_secs(5), "tunnel of this mode", || {
            let mode = appliance.json("tunnels")["tunnels"][0]["mode"].clone();
            (mode.as_str() == kind.mode.split(',').next()).then_some(())
        });
        kind.try_with(&host1, &mut guest);
    }
}
