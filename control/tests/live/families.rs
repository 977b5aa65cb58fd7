//! Every mode that exists: either family, in either family.

use crate::appliance::Appliance;
use crate::network::Namespace;
use crate::sites::{
    BOTH, HOST1, HOST1_V6, HOST2, HOST2_V6, IPIP, Sites, Tunnel, address_host, with,
};
use crate::traffic::{iperf, ping};
use crate::turn;

/// Pings both ways, the first one from a cold start, and TCP both ways, in each family that `targets` names.
fn carries(mode: &'static str, outer_v6: bool, targets: &[(&str, &str)]) {
    carries_through(Tunnel { mode, outer_v6, keys: "" }, targets);
}

fn carries_through(tunnel: Tunnel, targets: &[(&str, &str)]) {
    let sites = Sites::up(tunnel);
    let (host1, host2) = (&sites.network.host1, &sites.network.host2);
    for (address1, address2) in targets {
        ping(host1, &format!("-c 1 -w 10 {address2}")).all_answered();
        ping(host1, &format!("-c 20 -i 0.01 -w 10 {address2}")).all_answered();
        ping(host2, &format!("-c 20 -i 0.01 -w 10 {address1}")).all_answered();
        for options in ["-t 1", "-t 1 -R"] {
            let run = iperf(host1, host2, address2, options);
            assert!(
                run.megabits_per_second > 10.0,
                "{address2} {options}: {} Mbit/s",
                run.megabits_per_second
            );
        }
    }
    let crossed = sites.a.counter("/tunnels/far/tx_packets");
    assert!(crossed > 40, "only {crossed} packets crossed the tunnel");
}

const V4: (&str, &str) = (HOST1, HOST2);
const V6: (&str, &str) = (HOST1_V6, HOST2_V6);

#[test]
fn ipip_carries_ipv4_over_ipv4() {
    let _turn = turn::shared();
    carries("ipip", false, &[V4]);
}

#[test]
fn sit_carries_ipv6_over_ipv4() {
    let _turn = turn::shared();
    carries("sit", false, &[V6]);
}

#[test]
fn ipip6_carries_ipv4_over_ipv6() {
    let _turn = turn::shared();
    carries("ipip6", true, &[V4]);
}

#[test]
fn ip6ip6_carries_ipv6_over_ipv6() {
    let _turn = turn::shared();
    carries("ip6ip6", true, &[V6]);
}

#[test]
fn sit_with_any_payload_carries_both_over_ipv4() {
    let _turn = turn::shared();
    carries_through(BOTH, &[V4, V6]);
}

#[test]
fn any_carries_both_over_ipv6() {
    let _turn = turn::shared();
    carries("any", true, &[V4, V6]);
}

#[test]
fn a_hub_forwards_from_one_tunnel_into_another() {
    let _turn = turn::shared();
    // host1 ── A ══ B ══ C ── host3: B takes a packet out of one tunnel and puts it into the other, of another family.
    let to_c = "to-c: { mode: ipip6, local: \"2001:db8:b::2\", remote: \"2001:db8:c::3\", \
                addresses: [192.168.51.1/30], routes: [10.3.0.0/24] }";
    let site_a = with(&IPIP.site_a(), "routes", "- { to: 10.3.0.0/24, tunnel: far }");
    let sites = Sites::up_with(&site_a, &with(&IPIP.site_b(), "tunnels", to_c));
    let (box_c, host3) = (Namespace::new("c"), Namespace::new("host3"));
    box_c.port("lan", &host3, "eth0");
    box_c.port("wan", &sites.network.internet, "to-c");
    address_host(&host3, "10.3.0", "fd00:3:");
    sites.network.internet.address("to-c", "2001:db8:c::fe/64");
    let _c = Appliance::start(
        &box_c,
        "ports:
  lan: { device: \"net_tap0,iface=lan\", addresses: [10.3.0.1/24] }
  wan: { device: \"net_tap1,iface=wan\", addresses: [\"2001:db8:c::3/64\"] }
tunnels:
  to-b: { mode: ipip6, local: \"2001:db8:c::3\", remote: \"2001:db8:b::2\",
          addresses: [192.168.51.2/30], routes: [172.16.10.0/24] }
routes:
  - { to: \"::/0\", via: \"2001:db8:c::fe\" }
",
    );
    ping(&sites.network.host1, "-c 1 -w 10 10.3.0.2").all_answered();
    ping(&host3, &format!("-c 20 -i 0.01 -w 10 {HOST1}")).all_answered();
    let run = iperf(&sites.network.host1, &host3, "10.3.0.2", "-t 1");
    assert!(run.megabits_per_second > 10.0, "{} Mbit/s", run.megabits_per_second);
}
