//! Path MTU discovery through a tunnel whose way narrows in the middle of the underlay, out of sight of both ends:
//!
//! `host1 ── [adit A] ── internet ══ 1400 ══ far ── [adit B] ── host2`

use crate::appliance::Appliance;
use crate::network::Namespace;
use crate::sites::{BOTH, HOST1, HOST1_V6, HOST2, HOST2_V6, Network, Tunnel};
use crate::traffic::{acquaint, iperf, ping};
use crate::turn;

/// What the narrow link takes.
const NARROW: u16 = 1400;

/// The picture with a second router in the underlay. Fields are dropped in this order.
struct Narrow {
    a: Appliance,
    b: Appliance,
    network: Network,
    _far: Namespace,
}

impl Narrow {
    fn up(tunnel: Tunnel) -> Self {
        let network = Network::lay();
        let far = network.narrow(NARROW);
        let a = Appliance::start(&network.box_a, &tunnel.site_a());
        let b = Appliance::start(&network.box_b, &tunnel.site_b());
        Self { a, b, network, _far: far }
    }

    fn learnt(&self) -> Vec<u64> {
        let paths = self.a.json("paths")["paths"].as_array().cloned().unwrap_or_default();
        paths.iter().filter_map(|path| path["mtu"].as_u64()).collect()
    }
}

/// TCP of all sizes passes both ways, where nothing but errors tells the hosts the size, and ends at `mtu`.
fn tcp_finds(sites: &Narrow, target: &str, mtu: u16) {
    let (host1, host2) = (&sites.network.host1, &sites.network.host2);
    for options in ["-t 2", "-t 2 -R"] {
        let run = iperf(host1, host2, target, options);
        let rate = run.megabits_per_second;
        assert!(rate > 2.0, "{target} {options}: {rate} Mbit/s");
    }
    let known = host1.run(&format!("ip route get {target}"));
    assert!(known.contains(&format!("mtu {mtu} ")), "{known}");
}

#[test]
fn hosts_learn_what_a_link_amid_the_underlay_takes_and_tcp_goes_on() {
    let _turn = turn::shared();
    let keys = ", payload: any, clamp-tcp-mss: no";
    let sites = Narrow::up(Tunnel { keys, ..BOTH });
    let host1 = &sites.network.host1;
    acquaint(host1, HOST2);
    acquaint(host1, HOST2_V6);
    assert!(sites.learnt().is_empty());
    // The first one dies on the way, and its sender is told.
    ping(host1, &format!("-M do -c 1 -W 3 -s 1452 {HOST2}")).refused_with("mtu = 1380");
    assert_eq!(sites.learnt(), [1400_u64]);
    assert!(sites.a.counter("/tunnels/far/icmp_relayed") >= 1);
    assert_eq!(sites.a.json("tunnels")["tunnels"][0]["mtu"], 1380);
    ping(host1, &format!("-M do -c 3 -i 0.01 -w 10 -s 1352 {HOST2}")).all_answered();
    // What may be cut is cut to fit; the first answer is what the far end learns by.
    ping(host1, &format!("-M dont -c 1 -w 10 -s 1472 {HOST2}")).received_one();
    ping(host1, &format!("-M dont -c 3 -i 0.1 -w 10 -s 1472 {HOST2}")).all_answered();
    // The path is the same for the other family, and is known already.
    ping(host1, &format!("-M do -c 1 -W 3 -s 1432 {HOST2_V6}")).refused_with("mtu=1380");
    ping(host1, &format!("-M do -c 3 -i 0.01 -w 10 -s 1332 {HOST2_V6}")).all_answered();
    tcp_finds(&sites, HOST2, 1380);
    tcp_finds(&sites, HOST2_V6, 1380);
    let cleared = sites.a.client("clear pmtu far");
    assert!(cleared.status.success(), "{cleared:?}");
    assert!(sites.learnt().is_empty());
    assert!(sites.b.json("paths")["paths"][0]["mtu"] == 1400, "B has learnt from the other side");
}

#[test]
fn tcp_finds_the_size_by_itself_over_ipv4_and_over_ipv6() {
    let _turn = turn::shared();
    let keys = ", clamp-tcp-mss: no";
    let sites = Narrow::up(Tunnel { mode: "any", outer_v6: true, keys });
    acquaint(&sites.network.host1, HOST2);
    acquaint(&sites.network.host1, HOST2_V6);
    tcp_finds(&sites, HOST2, 1360);
    tcp_finds(&sites, HOST2_V6, 1360);
    acquaint(&sites.network.host2, HOST1);
    acquaint(&sites.network.host2, HOST1_V6);
}

#[test]
fn each_end_is_one_hop_and_with_an_inherited_ttl_the_underlay_counts() {
    let _turn = turn::shared();
    let expired = |host: &Namespace, hops: u32, target: &str, from: &str| {
        let pings = ping(host, &format!("-t {hops} -c 1 -W 3 {target}")).refused_with("Time ");
        let line = pings.text.lines().find(|line| line.contains("xceeded")).unwrap_or_default();
        assert!(
            line.to_lowercase().contains(&format!("from {from}")),
            "{hops}: not from {from}\n{}",
            pings.text
        );
    };
    let sites = Narrow::up(BOTH);
    let host1 = &sites.network.host1;
    for (target, near, far) in
        [(HOST2, "172.16.10.1", "192.168.50.2"), (HOST2_V6, "fd00:1::1", "fd00:50::2")]
    {
        expired(host1, 1, target, near);
        expired(host1, 2, target, far);
        ping(host1, &format!("-t 3 -c 1 -w 10 {target}")).all_answered();
    }
    drop(sites);
    let sites = Narrow::up(Tunnel { keys: ", payload: any, ttl: inherit", ..BOTH });
    let host1 = &sites.network.host1;
    acquaint(host1, HOST2);
    for (target, near) in [(HOST2, "172.16.10.1"), (HOST2_V6, "fd00:1::1")] {
        // The two routers of the underlay, each in the words of the near end.
        expired(host1, 2, target, near);
        expired(host1, 3, target, near);
    }
    assert_eq!(sites.a.counter("/tunnels/far/icmp_relayed"), 4);
    assert_eq!(sites.a.counter("/tunnels/far/tx_softstate_icmp"), 0);
}
