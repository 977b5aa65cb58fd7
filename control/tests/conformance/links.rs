//! Tunnels that are bound to a port, where the next hops that share the route to a remote leave by several (B2): all
//! flows go by the tunnel's link, whatever else the route offers. And how large packets may be where the ports of such next
//! hops differ.

use std::net::Ipv6Addr;

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, run_all};
use crate::frames::{ethernet_of, from_host, to_host, udp4, udp4_flow, udp6};
use crate::gretap::{IPV4, ONE, TWO, attached, frame};
use crate::icmp::{FRAG_NEEDED, error4};
use crate::{isatap, six_rd};

const FLOWS: u16 = 40;

/// With a second way to the peers, by port `v`.
fn two_ways(bench: Bench) -> Bench {
    bench
        .without_route("203.0.113.0/24")
        .set("ports.v.macaddress", r#""02:00:00:00:00:03""#)
        .set("ports.v.mtu", "1400")
        .set("ports.v.addresses", "[198.18.0.1/24]")
        .set("ports.v.neighbors", r#"{ 198.18.0.254: "02:00:00:00:01:fe" }"#)
        .route(
            "{ to: 203.0.113.0/24, next-hops: [{ via: 198.51.100.254 }, { via: 198.18.0.254 }] }",
        )
}

fn vxlan() -> Bench {
    attached("vxlan", "198.51.100.1", "").set("tunnels.e0.id", "42")
}

/// One of many flows, in a tunnel of its kind.
type Flow = fn(u16) -> (&'static str, Vec<u8>);

const OF_IPV4: Flow = |number| ("l", from_host(udp4_flow(H, R, (number, 9), 100)));
const OF_IPV6: Flow = |number| {
    let host = Ipv6Addr::from(u128::from(R6) + u128::from(number));
    ("l", from_host(udp6(H6, host, 100)))
};
const OF_FRAMES: Flow = |number| ("a", frame(IPV4, udp4_flow(H, R, (number, 9), 100)));

/// Each with the name of its tunnel and with flows that go there.
fn kinds() -> [(&'static str, Bench, Flow); 5] {
    let fixed = r#"{ "02:00:00:00:02:02": 203.0.113.3 }"#;
    let two = vxlan().set("tunnels.e0.remotes", "[203.0.113.2, 203.0.113.3]");
    [
        ("t0", Bench::ipip(), OF_IPV4),
        ("e0", vxlan().set("tunnels.e0.remote", "203.0.113.2"), OF_FRAMES),
        ("e0", two.set("tunnels.e0.fdb", fixed), OF_FRAMES),
        (
            "r0",
            six_rd::customer().set("ports.l.addresses", LAN).unset("ports.l.neighbors"),
            OF_IPV6,
        ),
        ("i0", isatap::link(), OF_IPV6),
    ]
}

/// The LAN of other tests, beside that of the 6rd domain.
const LAN: &str = r#"[10.1.0.1/24, "2001:db8:1::1/64", "3fff:db8:c633:6401::1/64"]"#;

/// How many of the flows leave by port `u`, how many by `v`, and how many find no way.
fn ways(bench: Bench, tunnel: &str, flow: Flow) -> [usize; 3] {
    let case = (0..FLOWS)
        .map(flow)
        .fold(Case::new("flows", bench), |case, (port, frame)| case.input(port, frame));
    let outcome = case.outcome();
    let lost = outcome.counter(&format!("tunnels.{tunnel}.tx_no_route"));
    [outcome.frames("u").len(), outcome.frames("v").len(), usize::try_from(lost).unwrap()]
}

#[test]
fn flows_of_a_tunnel_leave_by_its_link_whatever_else_shares_the_route() {
    let all = usize::from(FLOWS);
    for (tunnel, bench, flow) in kinds() {
        let bench = two_ways(bench);
        let bound = |port: &str| bench.clone().set(&format!("tunnels.{tunnel}.link"), port);
        let [by_u, by_v, lost] = ways(bench.clone(), tunnel, flow);
        assert!(by_u > 5 && by_v > 5 && by_u + by_v == all && lost == 0, "{tunnel} is not bound");
        assert_eq!(ways(bound("u"), tunnel, flow), [all, 0, 0], "{tunnel} by u");
        assert_eq!(ways(bound("v"), tunnel, flow), [0, all, 0], "{tunnel} by v");
    }
}

#[test]
fn where_no_next_hop_leaves_by_the_link_packets_have_no_route() {
    let all = usize::from(FLOWS);
    for (tunnel, bench, flow) in kinds().into_iter().skip(2) {
        let bench = two_ways(bench).set(&format!("tunnels.{tunnel}.link"), "l");
        assert_eq!(ways(bench, tunnel, flow), [0, 0, all], "{tunnel}");
    }
}

#[test]
fn a_packet_fits_a_tunnel_if_it_fits_each_of_the_ports_that_it_may_leave_by() {
    // 1400 bytes of port `v`, less the headers.
    let large = |len| udp4(H, R, len).dont_fragment(true);
    let answer = error4(R, H, FRAG_NEEDED, 1350, large(1351).bytes());
    let one = || two_ways(vxlan()).set("tunnels.e0.l2-pmtu-reply", "yes");
    let one = || one().set("tunnels.e0.remote", "203.0.113.2");
    let too_big = |name: &str, bench: Bench| {
        Case::new(name, bench)
            .input("a", frame(IPV4, large(1351)))
            .tunnel_counts("e0", "tx_too_big")
    };
    let host =
        error4("10.1.0.1".parse().unwrap(), H, FRAG_NEEDED, 1380, large(1381).ttl(63).bytes());
    run_all([
        too_big("C-094 one byte", one().unset("tunnels.e0.l2-pmtu-reply")),
        too_big("C-094 told", one())
            .expect("a", crate::case::Expected::error4(ethernet_of(ONE, TWO, IPV4, answer), 14))
            .counts("icmp.tx"),
        Case::new("IPv4 in IPv4", two_ways(Bench::ipip()))
            .input("l", from_host(large(1381)))
            .expect("l", crate::case::Expected::error4(to_host(host), 14))
            .tunnel_counts("t0", "tx_too_big")
            .counts("icmp.tx"),
    ]);
    // Whichever port its flow leaves by.
    for number in 0..20 {
        let flow = frame(IPV4, udp4_flow(H, R, (number, 9), 1350));
        let outcome = Case::new("C-094 fits", one()).input("a", flow).outcome();
        assert_eq!(outcome.frames("u").len() + outcome.frames("v").len(), 1, "flow {number}");
    }
}
