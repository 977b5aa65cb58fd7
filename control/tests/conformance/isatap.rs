//! ISATAP (C-141): whom packets are for, and whom they may come from.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::addresses::{H6, L6, P, R6, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{from_host, to_gateway, to_host, udp6};
use crate::icmp::{UNREACHABLE_ADDRESS6, echo_reply6, echo_request6, error6};
use crate::six_rd::{from, one_hop_on, to};

/// X on the link, link-local and with the link's prefix.
const X_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x5efe, 0xcb00, 0x7142);
const X_OF_LINK: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0x200, 0x5efe, 0xcb00, 0x7142);
/// This node there: 198.51.100.1 is globally unique.
const OWN: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0x200, 0x5efe, 0xc633, 0x6401);
const OWN_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x200, 0x5efe, 0xc633, 0x6401);

/// `i0`, with P as the potential router.
pub(crate) fn link() -> Bench {
    Bench::bare()
        .tunnel("i0", "isatap", "198.51.100.1", "")
        .set("tunnels.i0.addresses", r#"["2001:db8:50::200:5efe:198.51.100.1/64"]"#)
        .set("tunnels.i0.potential-routers", "[203.0.113.2]")
        .route(r#"{ to: "2001:db8:2::/48", tunnel: i0 }"#)
}

#[test]
fn a_source_is_believed_of_the_node_that_is_in_it_or_of_a_potential_router() {
    let spoofed = |name: &str, remote, source, destination| {
        Case::new(name, link())
            .input("u", from(remote, udp6(source, destination, 100)))
            .tunnel_counts("i0", "rx_spoof_embedded")
    };
    let accepted = |name: &str, remote, source| {
        let inner = udp6(source, H6, 100);
        Case::new(name, link())
            .input("u", from(remote, inner.clone()))
            .expect("l", to_host(one_hop_on(&inner)))
            .tunnel_accepts("i0", 100)
    };
    run_all([
        // What is link-local ends at this node.
        Case::new("C-141", link())
            .input("u", from(X, echo_request6(X_LOCAL, OWN_LOCAL, 100)))
            .expect("u", to_gateway(to(X, echo_reply6(OWN_LOCAL, X_LOCAL, 100))))
            .tunnel_accepts("i0", 100)
            .tunnel_sends("i0", 100),
        spoofed("C-141 from another", P_NEIGHBOR, X_LOCAL, OWN_LOCAL),
        accepted("C-141 with the prefix of the link", X, X_OF_LINK),
        spoofed("C-141 with the prefix, from another", P_NEIGHBOR, X_OF_LINK, H6),
        accepted("C-141 a potential router", P, R6),
        spoofed("C-141 not a router", X, R6, H6),
    ]);
}

const P_NEIGHBOR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 3);

#[test]
fn the_next_hop_decides_about_the_outer_destination() {
    let sent = |name: &str, bench: Bench, destination, remote| {
        let packet = udp6(H6, destination, 100);
        Case::new(name, bench)
            .input("l", from_host(packet.clone()))
            .expect("u", to_gateway(to(remote, one_hop_on(&packet))))
            .tunnel_sends("i0", 100)
    };
    let named = || {
        link()
            .without_route("2001:db8:2::")
            .route(r#"{ to: "2001:db8:2::/48", via: "fe80::5efe:203.0.113.66", tunnel: i0 }"#)
    };
    let of_link = link()
        .without_route("2001:db8:2::")
        .route(r#"{ to: "2001:db8:2::/48", via: "2001:db8:50::200:5efe:203.0.113.66" }"#);
    let more_specific = named().route(r#"{ to: "2001:db8:2:1::/64", tunnel: i0 }"#);
    let stranger = udp6(H6, "2001:db8:50::1".parse().unwrap(), 100);
    let error = error6(L6, H6, UNREACHABLE_ADDRESS6, 0, one_hop_on(&stranger));
    run_all([
        sent("ISATAP on the link", link(), X_OF_LINK, X),
        sent("ISATAP potential router", link(), R6, P),
        sent("ISATAP via a neighbor", named(), R6, X),
        sent("ISATAP via an address of the link", of_link, R6, X),
        sent("ISATAP without via beside", more_specific, "2001:db8:2:1::8".parse().unwrap(), P),
        Case::new("ISATAP nobody", link())
            .input("l", from_host(stranger))
            .expect("l", Expected::error6(to_host(error), 14))
            .tunnel_counts("i0", "tx_no_remote")
            .counts("icmp.tx"),
    ]);
    assert_eq!(OWN.segments()[4..6], [0x200, 0x5efe]);
}
