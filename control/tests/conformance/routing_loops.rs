//! What RFC 6324 asks of tunnels whose peers are in IPv6 addresses: packets that another tunnel router would bring back
//! to this one don't enter, and don't leave. Its own addresses are 198.51.100.1 (`c633:6401`) and 10.1.0.1 (`a01:1`).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addresses::{H6, P, R6, X};
use crate::bench::Bench;
use crate::case::{Case, run_all};
use crate::frames::{from_host, to_gateway, to_host, udp6};
use crate::isatap;
use crate::six_rd::{from, one_hop_on, relay, to};

/// X on the link of `i0`, and another host of it, 203.0.113.67.
const X_OF_LINK: &str = "2001:db8:50::200:5efe:203.0.113.66";
const OTHER_OF_LINK: &str = "2001:db8:50::200:5efe:203.0.113.67";
/// The host of the LAN that has an identifier with an address of this node in it.
const ODD: &str = "2001:db8:1::5efe:198.51.100.1";
/// A host of this node's 6to4 site.
const OF_SITE: &str = "2002:c633:6401:7::5";

/// Of a 6to4 router and of hosts of an ISATAP link elsewhere, with this node's IPv4 addresses in them.
const COMES_BACK: [&str; 6] = [
    "2002:c633:6401::1",
    "2002:c633:6401:7::5efe:203.0.113.66",
    "2002:a01:1::1",
    "2001:db8:77::200:5efe:198.51.100.1",
    "2001:db8:77::5efe:198.51.100.1",
    "2001:db8:77::5efe:10.1.0.1",
];
/// The same with an address of somebody else, or where no address is.
const OF_OTHERS: [&str; 5] = [
    "2002:cb00:7107::1",
    "2001:db8:77::200:5efe:203.0.113.7",
    "2001:db8:77::100:5efe:198.51.100.1",
    "2001:db8:77::198.51.100.1",
    "2003:c633:6401::1",
];

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// `i0`, whose hosts may send from anywhere and to one another.
fn link() -> Bench {
    isatap::link().set("tunnels.i0.inner-source", "off").set("tunnels.i0.hairpin", "yes")
}

/// The same with neighbors who have this node's address in theirs: by chance, and as its own 6to4 site.
fn link_with_site() -> Bench {
    let hosts =
        ["2001:db8:1::5", ODD, OF_SITE].map(|host| format!(r#""{host}": "02:00:00:00:00:05""#));
    link()
        .set("ports.l.neighbors", &format!("{{ {} }}", hosts.join(", ")))
        .set("ports.l.addresses", r#"["2001:db8:1::1/64", "2002:c633:6401:7::1/64"]"#)
}

/// `i0` beside a 6to4 tunnel of another address of this node: `2002:c633:6402::/48` is its own.
fn link_beside_6to4() -> Bench {
    link()
        .set("ports.u.addresses", "[198.51.100.1/24, 198.51.100.2/24]")
        .without_route("2001:db8:200::")
        .set("ports.u.neighbors", r#"{ 198.51.100.254: "02:00:00:00:00:fe" }"#)
        .tunnel("r0", "6rd", "198.51.100.2", "")
        .set("tunnels.r0.6rd", r#"{ prefix: "2002::/16", role: br }"#)
}

/// From the LAN into a tunnel whose next hop is `remote`.
fn enters(name: &str, (bench, tunnel): (Bench, &str), ends: [&str; 2], remote: Ipv4Addr) -> Case {
    let packet = udp6(address(ends[0]), address(ends[1]), 100);
    Case::new(name, bench)
        .input("l", from_host(packet.clone()))
        .expect("u", to_gateway(to(remote, one_hop_on(&packet))))
        .tunnel_sends(tunnel, 100)
}

#[test]
fn what_would_come_back_by_its_source_does_not_enter() {
    let refused = |(bench, tunnel): (Bench, &str), source: &str, destination: &str| {
        Case::new(source, bench)
            .input("l", from_host(udp6(address(source), address(destination), 100)))
            .tunnel_counts(tunnel, "tx_loop_src")
    };
    run_all(COMES_BACK.map(|source| refused((link(), "i0"), source, X_OF_LINK)));
    run_all(COMES_BACK.map(|source| refused((relay(), "r0"), source, "3fff:db8:cb00:7142::1")));
    run_all(OF_OTHERS.map(|source| enters(source, (link(), "i0"), [source, X_OF_LINK], X)));
    // By way of a router of the link it is the same.
    run_all([
        refused((link(), "i0"), COMES_BACK[0], "2001:db8:2::8"),
        enters("to a router", (link(), "i0"), [OF_OTHERS[0], "2001:db8:2::8"], P),
    ]);
}

#[test]
fn what_would_come_back_by_its_destination_does_not_leave() {
    // All of IPv6 goes by a router on the LAN.
    let bench = || link().route(r#"{ to: "::/0", via: "2001:db8:1::5" }"#);
    let by_router = || relay().route(r#"{ to: "::/0", via: "2001:db8:1::5" }"#);
    let refused = |(bench, tunnel): (Bench, &str), source: &str, destination: &str| {
        Case::new(destination, bench)
            .input("u", from(X, udp6(address(source), address(destination), 100)))
            .tunnel_counts(tunnel, "rx_inner_dst_denied")
    };
    let passes = |(bench, tunnel): (Bench, &str), source: &str, destination: &str| {
        let packet = udp6(address(source), address(destination), 100);
        Case::new(destination, bench)
            .input("u", from(X, packet.clone()))
            .expect("l", to_host(one_hop_on(&packet)))
            .tunnel_accepts(tunnel, 100)
    };
    let of_x = "3fff:db8:cb00:7142::1";
    run_all(COMES_BACK.map(|destination| refused((bench(), "i0"), X_OF_LINK, destination)));
    run_all(COMES_BACK.map(|destination| refused((by_router(), "r0"), of_x, destination)));
    run_all(OF_OTHERS.map(|destination| passes((bench(), "i0"), X_OF_LINK, destination)));
    run_all(OF_OTHERS.map(|destination| passes((by_router(), "r0"), of_x, destination)));
}

#[test]
fn what_is_of_this_node_and_its_nets_may_have_its_address_inside() {
    let leaves = |name: &str, bench: Bench, destination: &str| {
        let packet = udp6(address(X_OF_LINK), address(destination), 100);
        Case::new(name, bench)
            .input("u", from(X, packet.clone()))
            .expect("l", to_host(one_hop_on(&packet)))
            .tunnel_accepts("i0", 100)
    };
    run_all([
        enters("a neighbor", (link_with_site(), "i0"), [ODD, X_OF_LINK], X),
        leaves("to a neighbor", link_with_site(), ODD),
        // Its 6to4 site's net is on a port, and where it is routed on, not all of 6to4 is.
        enters("6to4 of this site", (link_with_site(), "i0"), [OF_SITE, X_OF_LINK], X),
        leaves("to 6to4 of this site", link_with_site(), OF_SITE),
        enters("beside 6to4", (link_beside_6to4(), "i0"), ["2002:c633:6402:8::5", X_OF_LINK], X),
        leaves(
            "to 6to4 behind a router",
            link_beside_6to4().route(r#"{ to: "2002:c633:6402:8::/64", via: "2001:db8:1::5" }"#),
            "2002:c633:6402:8::5",
        ),
        // Nor is an address of this node that is not the tunnel's its site.
        Case::new("another address of this node", link_beside_6to4())
            .input("l", from_host(udp6(address("2002:c633:6401::1"), address(X_OF_LINK), 100)))
            .tunnel_counts("i0", "tx_loop_src"),
    ]);
}

#[test]
fn a_router_speaks_for_nobody_who_has_an_address_of_this_node() {
    let from_router = |source: &str, counter: &str| {
        Case::new(source, link())
            .input("u", from(P, udp6(address(source), H6, 100)))
            .tunnel_counts("i0", counter)
    };
    let from_relay = Case::new("from a relay", relay().set("tunnels.r0.inner-source", "off"))
        .input("u", from(P, udp6(address("2002:c633:6401::1"), H6, 100)))
        .tunnel_counts("r0", "rx_spoof_embedded");
    let other = udp6(address(OTHER_OF_LINK), H6, 100);
    run_all([
        // The one that is configured, the other form of it, and another address of this node.
        from_router("2001:db8:50::200:5efe:198.51.100.1", "rx_inner_own_src"),
        from_router("2001:db8:50::5efe:198.51.100.1", "rx_spoof_embedded"),
        from_router("2001:db8:50::5efe:10.1.0.1", "rx_spoof_embedded"),
        from_router("2002:c633:6401::1", "rx_spoof_embedded"),
        from_relay,
        Case::new("of another host", link())
            .input("u", from(P, other.clone()))
            .expect("l", to_host(one_hop_on(&other)))
            .tunnel_accepts("i0", 100),
    ]);
}

#[test]
fn between_hosts_of_a_link_goes_nothing_unless_it_may_turn() {
    let inner = udp6(address(X_OF_LINK), address(OTHER_OF_LINK), 100);
    let routed = udp6(address(X_OF_LINK), R6, 100);
    run_all([
        Case::new("hairpin: no", isatap::link())
            .input("u", from(X, inner.clone()))
            .tunnel_counts("i0", "rx_hairpin"),
        Case::new("hairpin: no, to a router", isatap::link())
            .input("u", from(X, routed.clone()))
            .tunnel_counts("i0", "rx_hairpin"),
        Case::new("hairpin: yes", link())
            .input("u", from(X, inner.clone()))
            .expect("u", to_gateway(to([203, 0, 113, 67].into(), one_hop_on(&inner))))
            .tunnel_accepts("i0", 100)
            .tunnel_sends("i0", 100),
        Case::new("hairpin: yes, to a router", link())
            .input("u", from(X, routed.clone()))
            .expect("u", to_gateway(to(P, one_hop_on(&routed))))
            .tunnel_accepts("i0", 100)
            .tunnel_sends("i0", 100),
    ]);
}
