//! adit as a node among others: it answers for its addresses, resolves its neighbours, and says what it can't deliver.

use crate::sites::{BOTH, HOST1_V6, HOST2, HOST2_V6, IPIP, Sites, Tunnel, with};
use crate::traffic::{acquaint, ping};
use crate::turn;

#[test]
fn every_local_address_answers_echo() {
    let _turn = turn::shared();
    // The far loopbacks are reached through the tunnel.
    let site_a = with(&BOTH.site_a(), "routes", "- { to: 192.0.2.2/32, tunnel: far }");
    let site_a = with(&site_a, "routes", "- { to: \"2001:db8:ff::2/128\", tunnel: far }");
    let sites = Sites::up_with(&site_a, &BOTH.site_b());
    acquaint(&sites.network.host1, HOST2);
    acquaint(&sites.network.host1, HOST2_V6);
    for address in [
        "172.16.10.1",
        "198.51.100.1",
        "192.168.50.1",
        "192.0.2.1",
        "fd00:1::1",
        "2001:db8:a::1",
        "fd00:50::1",
        "2001:db8:ff::1",
        "192.168.50.2",
        "192.0.2.2",
        "fd00:50::2",
        "2001:db8:ff::2",
        "152.16.10.1",
        "fd00:2::1",
    ] {
        let pings = ping(&sites.network.host1, &format!("-c 3 -i 0.01 -w 10 {address}"));
        pings.all_answered();
    }
    for address in ["198.51.100.1", "2001:db8:a::1"] {
        ping(&sites.network.internet, &format!("-c 3 -i 0.01 -w 10 {address}")).all_answered();
    }
}

#[test]
fn large_echo_requests_are_answered_whole_from_a_port() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    ping(&sites.network.host1, "-c 3 -i 0.01 -w 10 -s 1472 -p a5 172.16.10.1").all_answered();
    ping(&sites.network.host1, "-c 3 -i 0.01 -w 10 -s 1452 fd00:1::1").all_answered();
}

#[test]
fn echo_requests_in_fragments_are_answered_in_fragments() {
    let _turn = turn::shared();
    let sites = Sites::up(BOTH);
    acquaint(&sites.network.host1, HOST2);
    acquaint(&sites.network.host1, HOST2_V6);
    let host1 = &sites.network.host1;
    // The host learns first how large its own fragments may be on the way into the tunnel.
    ping(host1, "-c 1 -W 1 -s 1900 fd00:50::2");
    for address in ["172.16.10.1", "fd00:1::1", "192.168.50.2", "fd00:50::2"] {
        ping(host1, &format!("-M dont -c 5 -i 0.05 -w 10 -s 1900 {address}")).all_answered();
    }
    for site in [&sites.a, &sites.b] {
        assert_eq!(site.counter("/dataplane/reasm.ok"), 10);
        let shown = site.show("reassembly");
        assert!(shown.contains("packets put together: 10"), "{shown}");
    }
}

#[test]
fn outer_packets_in_fragments_are_put_together_at_the_other_end() {
    let _turn = turn::shared();
    let keys = ", dont-fragment: no, mtu: 1500";
    for tunnel in [
        Tunnel { keys, ..IPIP },
        Tunnel { mode: "ipip6", outer_v6: true, keys: ", fragment: outer" },
    ] {
        let sites = Sites::up(tunnel);
        acquaint(&sites.network.host1, HOST2);
        ping(&sites.network.host1, &format!("-M dont -c 20 -i 0.02 -w 10 -s 1472 {HOST2}"))
            .all_answered();
        for site in [&sites.a, &sites.b] {
            assert_eq!(site.counter("/tunnels/far/tx_outer_frag"), 20, "{}", tunnel.mode);
            assert_eq!(site.counter("/dataplane/reasm.ok"), 20, "{}", tunnel.mode);
        }
    }
}

#[test]
fn an_oversized_packet_with_df_is_answered_with_the_mtu_of_the_tunnel() {
    let _turn = turn::shared();
    let sites = Sites::up(BOTH);
    let host1 = &sites.network.host1;
    acquaint(host1, HOST2);
    acquaint(host1, HOST2_V6);
    ping(host1, &format!("-M do -c 1 -W 2 -s 1472 {HOST2}")).refused_with("mtu = 1480");
    ping(host1, &format!("-M do -c 3 -i 0.01 -w 10 -s 1452 {HOST2}")).all_answered();
    ping(host1, &format!("-M do -c 1 -W 2 -s 1452 {HOST2_V6}")).refused_with("mtu=1480");
    ping(host1, &format!("-M do -c 3 -i 0.01 -w 10 -s 1432 {HOST2_V6}")).all_answered();
    assert_eq!(sites.a.counter("/tunnels/far/tx_too_big"), 2);
}

#[test]
fn an_oversized_packet_without_df_is_cut_before_the_tunnel_and_arrives() {
    let _turn = turn::shared();
    let sites = Sites::up(IPIP);
    acquaint(&sites.network.host1, HOST2);
    let pings = format!("-M dont -c 10 -i 0.1 -w 10 -s 1472 {HOST2}");
    ping(&sites.network.host1, &pings).all_answered();
    assert_eq!(sites.a.counter("/tunnels/far/tx_inner_frag"), 10);
    // What the host has fragmented itself is cut once more where it has to be.
    ping(&sites.network.host1, &format!("-M dont -c 5 -i 0.01 -w 10 -s 8000 {HOST2}"))
        .all_answered();
}

#[test]
fn each_end_of_the_tunnel_is_one_hop() {
    let _turn = turn::shared();
    let sites = Sites::up(BOTH);
    let host1 = &sites.network.host1;
    for (target, near, far) in
        [(HOST2, "172.16.10.1", "192.168.50.2"), (HOST2_V6, "fd00:1::1", "fd00:50::2")]
    {
        let expired = |hops: u32, from: &str| {
            let pings = ping(host1, &format!("-t {hops} -c 1 -W 2 {target}")).refused_with("Time ");
            let line = pings.text.lines().find(|line| line.contains("xceeded")).unwrap_or_default();
            assert!(
                line.to_lowercase().contains(&format!("from {from}")),
                "{hops}: not from {from}\n{}",
                pings.text
            );
        };
        expired(1, near);
        expired(2, far);
        ping(host1, &format!("-t 3 -c 1 -w 10 {target}")).all_answered();
    }
}

#[test]
fn a_host_that_does_not_answer_is_reported_unreachable_through_the_tunnel() {
    let _turn = turn::shared();
    let sites = Sites::up(BOTH);
    let host1 = &sites.network.host1;
    // Three requests, a second apart, go unanswered before the box gives up.
    ping(host1, "-c 1 -W 8 152.16.10.77").refused_with("Destination Host Unreachable");
    let pings = ping(host1, "-c 1 -W 8 fd00:2::77");
    pings.refused_with("Destination unreachable: Address unreachable");
}

#[test]
fn the_type_of_a_route_decides_how_a_packet_is_refused() {
    let _turn = turn::shared();
    let mut site_a = BOTH.site_a();
    for route in [
        "- { to: 10.4.0.0/16, type: blackhole }",
        "- { to: 10.5.0.0/16, type: unreachable }",
        "- { to: 10.6.0.0/16, type: prohibit }",
        "- { to: \"2001:db8:6::/48\", type: prohibit }",
    ] {
        site_a = with(&site_a, "routes", route);
    }
    let site_a = site_a.replace(
        "  - { to: default, via: 198.51.100.254 }\n",
        "  - { to: 203.0.113.0/24, via: 198.51.100.254 }\n",
    );
    let sites = Sites::up_with(&site_a, &BOTH.site_b());
    let host1 = &sites.network.host1;
    let silent = ping(host1, "-c 2 -i 0.01 -W 1 10.4.0.1");
    assert!(silent.received() == 0 && !silent.text.contains("From"), "{}", silent.text);
    ping(host1, "-c 1 -W 2 10.5.0.1").refused_with("Unreachable");
    ping(host1, "-c 1 -W 2 10.6.0.1").refused_with("Packet filtered");
    ping(host1, "-c 1 -W 2 2001:db8:6::1").refused_with("Administratively prohibited");
    ping(host1, "-c 1 -W 2 10.7.0.1").refused_with("Destination Net Unreachable");
    for (name, count) in
        [("fwd.blackhole", 2), ("fwd.unreachable", 1), ("fwd.prohibit", 2), ("ip4.no_route", 1)]
    {
        assert_eq!(sites.a.counter(&format!("/dataplane/{name}")), count, "{name}");
    }
}

#[test]
fn a_neighbor_that_gets_another_address_on_the_wire_is_found_again() {
    let _turn = turn::shared();
    let sites = Sites::up(BOTH);
    let (host1, host2) = (&sites.network.host1, &sites.network.host2);
    ping(host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    ping(host1, &format!("-c 1 -w 10 {HOST2_V6}")).all_answered();
    host2.ip("link set eth0 down");
    host2.ip("link set eth0 address 02:00:00:00:77:77");
    host2.ip("link set eth0 up");
    host2.ip("address replace fd00:2::2/64 dev eth0 nodad");
    host2.ip("route replace default via 152.16.10.1");
    host2.ip("-6 route replace default via fd00:2::1");
    // The host's own packets teach the new address; both families ask for their router first.
    ping(host2, "-c 1 -w 10 172.16.10.2").all_answered();
    ping(host2, &format!("-c 1 -w 10 {HOST1_V6}")).all_answered();
    ping(host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    ping(host1, &format!("-c 1 -w 10 {HOST2_V6}")).all_answered();
}

#[test]
fn neighbors_are_shown_with_what_is_known_of_them() {
    let _turn = turn::shared();
    let sites = Sites::up(BOTH);
    ping(&sites.network.host1, &format!("-c 1 -w 10 {HOST2}")).all_answered();
    let hardware = sites.network.host1.link_address("eth0");
    let table = sites.a.show("neighbors");
    let line = table.lines().find(|line| line.contains("172.16.10.2")).unwrap_or_default();
    assert!(line.contains(&hardware) && line.contains("lan"), "no {hardware} on lan:\n{table}");
    assert!(table.contains("198.51.100.254"), "the gateway is missing:\n{table}");
}
