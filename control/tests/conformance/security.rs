//! E.10: what an inner packet may claim to be. Everything refused here is refused in silence.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addresses::{H, H6, L, R, R6, T, U};
use crate::bench::Bench;
use crate::case::{Case, run_all};
use crate::frames::{IPIP, IPV6, Ipv4Packet, from_gateway, peer4, peer6, to_host, udp4, udp6};

fn refused(name: &str, bench: Bench, inner: Ipv4Packet, counter: &str) -> Case {
    Case::new(name, bench).input("u", from_gateway(peer4(IPIP, inner))).tunnel_counts("t0", counter)
}

fn accepted(name: &str, bench: Bench, inner: &Ipv4Packet) -> Case {
    let ttl = inner.header.time_to_live - 1;
    Case::new(name, bench)
        .input("u", from_gateway(peer4(IPIP, inner.clone())))
        .expect("l", to_host(inner.clone().ttl(ttl)))
        .tunnel_accepts("t0", inner.bytes().len() as u64)
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn an_inner_source_that_no_host_can_have_is_refused_whatever_the_filter() {
    let four = ["127.0.0.1", "224.0.0.5", "255.255.255.255", "0.1.2.3", "240.0.0.1"];
    let counter = "rx_inner_martian_src";
    let off = Bench::ipip().set("tunnels.t0.inner-source", "off");
    let cases4 = four.iter().flat_map(|source| {
        let inner = udp4(address(source), H, 84);
        let name = format!("C-130(a) {source}");
        [Bench::ipip(), off.clone()].map(|bench| refused(&name, bench, inner.clone(), counter))
    });
    let six = ["ff02::1", "::1", "::10.0.0.1", "::ffff:10.0.0.1"];
    let cases6 = six.iter().flat_map(|source| {
        let inner = udp6(source.parse().unwrap(), H6, 100);
        let name = format!("C-130(b) {source}");
        [
            Case::new(&name, Bench::sit())
                .input("u", from_gateway(peer4(IPV6, inner.clone())))
                .tunnel_counts("s0", counter),
            Case::new(&name, Bench::ip6ip6())
                .input("u", from_gateway(peer6(IPV6, inner)))
                .tunnel_counts("n6", counter),
        ]
    });
    run_all(cases4.chain(cases6));
}

#[test]
fn the_directed_broadcast_address_of_a_connected_net_is_no_source() {
    let off = Bench::ipip().set("tunnels.t0.inner-source", "off");
    let inner = udp4(address("10.1.0.255"), H, 84);
    refused("directed broadcast source", off, inner, "rx_inner_martian_src").run();
}

#[test]
fn our_own_addresses_are_no_inner_source() {
    let off = Bench::ipip().set("tunnels.t0.inner-source", "off");
    let own = [L, U, T]
        .map(|source| refused("C-131", off.clone(), udp4(source, H, 84), "rx_inner_own_src"));
    let own6 = Case::new("C-131 IPv6", Bench::sit())
        .input("u", from_gateway(peer4(IPV6, udp6(crate::addresses::L6, H6, 100))))
        .tunnel_counts("s0", "rx_inner_own_src");
    let feasible = refused("C-131", Bench::ipip(), udp4(L, H, 84), "rx_inner_own_src");
    run_all(own.into_iter().chain([own6, feasible]));
}

#[test]
fn a_source_of_the_lan_does_not_come_out_of_the_tunnel_unless_the_filter_is_off() {
    let inner = udp4(address("10.1.0.77"), H, 84);
    let filter = |word: &str| Bench::ipip().set("tunnels.t0.inner-source", word);
    let counter = "rx_inner_src_filter";
    run_all([
        refused("C-132", filter("strict"), inner.clone(), counter),
        refused("C-132 feasible is the default", Bench::ipip(), inner.clone(), counter),
        accepted("C-132 off", filter("off"), &inner),
        accepted("C-132 strict lets the right ones in", filter("strict"), &udp4(R, H, 84)),
    ]);
}

#[test]
fn the_feasible_filter_takes_a_source_whose_second_best_route_is_this_tunnel() {
    let inner = udp4(address("10.6.0.1"), H, 84);
    let bench = |word: &str| {
        Bench::ipip()
            .set("tunnels.t0.inner-source", word)
            .route("{ to: 10.6.0.0/16, via: 198.51.100.254 }")
            .route("{ to: 10.6.0.0/16, tunnel: t0, metric: 200 }")
    };
    run_all([
        accepted("feasible", bench("feasible"), &inner),
        refused("strict", bench("strict"), inner, "rx_inner_src_filter"),
    ]);
}

#[test]
fn a_source_without_any_route_is_refused_by_every_filter_but_off() {
    let inner = udp4(address("172.20.0.1"), H, 84);
    let filter = |word: &str| Bench::ipip().set("tunnels.t0.inner-source", word);
    let refusing = ["strict", "feasible", "loose"]
        .map(|word| refused(word, filter(word), inner.clone(), "rx_inner_src_filter"));
    run_all(refusing.into_iter().chain([accepted("off", filter("off"), &inner)]));
}

#[test]
fn a_list_of_prefixes_is_a_source_filter_too() {
    let bench = Bench::ipip().set("tunnels.t0.inner-source", "[10.2.0.0/29, 10.9.0.0/16]");
    let counter = "rx_inner_src_filter";
    run_all([
        accepted("in the list", bench.clone(), &udp4(address("10.9.1.1"), H, 84)),
        refused("routed here, not in the list", bench, udp4(R, H, 84), counter),
    ]);
}

#[test]
fn a_documentation_prefix_is_no_martian() {
    let bench = Bench::ipip()
        .set("tunnels.t0.inner-source", "loose")
        .route("{ to: default, via: 198.51.100.254 }");
    accepted("C-133", bench, &udp4(address("192.0.2.5"), H, 84)).run();
}

#[test]
fn an_inner_destination_that_is_no_unicast_address_is_refused() {
    let counter = "rx_inner_dst_denied";
    let four = ["127.0.0.1", "224.0.0.9", "255.255.255.255", "0.0.0.1", "240.0.0.1"]
        .map(|to| refused("C-134(a)", Bench::ipip(), udp4(R, address(to), 84), counter));
    let six = ["ff02::9", "::1", "fe80::77"].map(|to| {
        Case::new("C-134(a) IPv6", Bench::sit())
            .input("u", from_gateway(peer4(IPV6, udp6(R6, to.parse().unwrap(), 100))))
            .tunnel_counts("s0", counter)
    });
    run_all(four.into_iter().chain(six));
}

#[test]
fn an_inner_source_route_is_refused() {
    let routing = |hop: Ipv6Addr| [&[0u8, 2, 0, 1, 0, 0, 0, 0], hop.octets().as_slice()].concat();
    let loose = udp4(R, H, 84).options(&[0x83, 7, 4, 192, 0, 2, 1, 0]);
    let strict = udp4(R, H, 84).options(&[0x89, 7, 4, 192, 0, 2, 1, 0]);
    let six = udp6(R6, H6, 100).extension(43, routing(R6));
    let counter = "rx_inner_src_route";
    run_all([
        refused("C-134(b)", Bench::ipip(), loose, counter),
        refused("C-134(b)", Bench::ipip(), strict, counter),
        Case::new("C-134(b)", Bench::sit())
            .input("u", from_gateway(peer4(IPV6, six)))
            .tunnel_counts("s0", counter),
    ]);
}

#[test]
fn an_outer_source_that_no_peer_can_have_is_refused() {
    let counter = "tun.bad_outer_src";
    let four =
        ["198.51.100.1", "0.0.0.0", "224.1.1.1", "255.255.255.255", "127.0.0.1", "240.0.0.1"];
    let cases4 = four.map(|source| {
        let mut outer = peer4(IPIP, udp4(R, H, 84));
        outer.header.source = address(source).octets();
        Case::new(&format!("C-135 {source}"), Bench::ipip())
            .input("u", from_gateway(outer))
            .counts(counter)
    });
    let six = ["2001:db8:100::1", "::", "ff02::1", "::1", "::ffff:203.0.113.2"];
    let cases6 = six.map(|source| {
        let mut outer = peer6(IPV6, udp6(R6, H6, 100));
        outer.header.source = source.parse::<Ipv6Addr>().unwrap().octets();
        Case::new(&format!("C-135 {source}"), Bench::any6())
            .input("u", from_gateway(outer))
            .counts(counter)
    });
    run_all(cases4.into_iter().chain(cases6));
}
