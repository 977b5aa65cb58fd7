//! Tunnels whose outer packets go through another tunnel of this node, after the path of that one shrank (B6.1, B7): who
//! sends what no longer fits is told by the tunnel that it enters, and nothing is lost further down; whatever that
//! tunnel carries, and whether or not the error that told of it quoted enough to say whose packet it was.

use crate::addresses::{H, L, P, R, U};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{Ipv4Packet, UDP, ethernet_of, from_gateway, from_host, to_host, udp4};
use crate::gretap::{IPV4, ONE, TWO, attached, frame};
use crate::icmp::{FRAG_NEEDED, error4, underlay4};

const GRE: u8 = 47;

/// The far end of the tunnel inside.
const INSIDE: &str = "192.88.99.7";

/// `g0`, through which `INSIDE` is reached.
fn through_gre(bench: Bench) -> Bench {
    bench
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .route("{ to: 192.88.99.0/24, tunnel: g0 }")
}

fn vxlan() -> Bench {
    let bench = attached("vxlan", "198.51.100.1", "").set("tunnels.e0.id", "42");
    through_gre(bench).set("tunnels.e0.l2-pmtu-reply", "yes")
}

fn ipip() -> Bench {
    let bench = Bench::bare().tunnel("t0", "ipip", "198.51.100.1", INSIDE);
    through_gre(bench).route("{ to: 10.2.0.0/16, tunnel: t0 }")
}

/// A router could not pass on what `g0` has sent, and quotes as little of it as it may.
fn shrunk(name: &str, bench: Bench) -> Case {
    let inside = Ipv4Packet::new(U, INSIDE.parse().unwrap(), UDP, [0; 1452]);
    let sent = Ipv4Packet::new(U, P, GRE, [&[0, 0, 8, 0][..], &inside.bytes()].concat());
    let error = underlay4(FRAG_NEEDED, 1400, &sent.bytes()[..28]);
    Case::new(name, bench)
        .input("u", from_gateway(error))
        .tunnel_counts("g0", "pmtu_updates")
        .tunnel_counts("g0", "icmp_relay_short")
}

/// Large enough not to fit any more: 1400 bytes less 24 of GRE, less the 50 or 20 of the tunnel inside.
fn large(len: usize) -> Ipv4Packet {
    udp4(H, R, len).dont_fragment(true)
}

#[test]
fn who_enters_a_tunnel_is_told_what_fits_the_one_underneath() {
    let in_frame = error4(R, H, FRAG_NEEDED, 1326, large(1327).bytes());
    let refused = |name: &str, bench: Bench| {
        shrunk(name, bench)
            .input("a", frame(IPV4, large(1327)))
            .expect("a", Expected::error4(ethernet_of(ONE, TWO, IPV4, in_frame.clone()), 14))
            .tunnel_counts("e0", "tx_too_big")
            .counts("icmp.tx")
    };
    let one = || vxlan().set("tunnels.e0.remote", INSIDE);
    let several = || {
        vxlan()
            .set("tunnels.e0.remotes", "[192.88.99.7, 192.88.99.8]")
            .set("tunnels.e0.fdb", r#"{ "02:00:00:00:02:02": 192.88.99.8 }"#)
    };
    let host = error4(L, H, FRAG_NEEDED, 1356, large(1357).ttl(63).bytes());
    run_all([
        refused("C-094 VXLAN in GRE", one()),
        refused("C-094 one of several remotes", several()),
        refused("C-094 whatever the DF bit", one().set("tunnels.e0.dont-fragment", "no")),
        shrunk("IPv4 in IPv4, in GRE", ipip())
            .input("l", from_host(large(1357)))
            .expect("l", Expected::error4(to_host(host), 14))
            .tunnel_counts("t0", "tx_too_big")
            .counts("icmp.tx"),
    ]);
    for (name, bench, inputs) in [
        ("VXLAN", one(), ("a", frame(IPV4, large(1326)))),
        ("several remotes", several(), ("a", frame(IPV4, large(1326)))),
        ("IPv4 in IPv4", ipip(), ("l", from_host(large(1356)))),
    ] {
        let outcome = shrunk(name, bench).input(inputs.0, inputs.1).outcome();
        let lengths: Vec<usize> = outcome.frames("u").iter().map(Vec::len).collect();
        assert_eq!(lengths, [14 + 1400], "{name}");
    }
}

#[test]
fn the_mtu_that_is_configured_for_the_tunnel_underneath_counts() {
    let bench = || vxlan().set("tunnels.e0.remote", INSIDE).set("tunnels.g0.mtu", "1376");
    let error = error4(R, H, FRAG_NEEDED, 1326, large(1327).bytes());
    run_all([Case::new("C-094 by configuration", bench())
        .input("a", frame(IPV4, large(1327)))
        .expect("a", Expected::error4(ethernet_of(ONE, TWO, IPV4, error), 14))
        .tunnel_counts("e0", "tx_too_big")
        .counts("icmp.tx")]);
}

#[test]
fn a_tunnel_learns_from_an_error_that_quotes_its_own_packet() {
    let bench = vxlan().set("tunnels.e0.remote", INSIDE);
    let sent = Case::new("sent", bench.clone()).input("a", frame(IPV4, large(1400))).outcome();
    let error = underlay4(FRAG_NEEDED, 1400, &sent.frames("u")[0][14..562]);
    let told = error4(R, H, FRAG_NEEDED, 1326, large(1327).bytes());
    run_all([Case::new("C-094 a whole quote", bench)
        .input("u", from_gateway(error))
        .tunnel_counts("g0", "pmtu_updates")
        .tunnel_counts("e0", "pmtu_updates")
        .tunnel_counts("e0", "icmp_relay_short")
        .input("a", frame(IPV4, large(1327)))
        .expect("a", Expected::error4(ethernet_of(ONE, TWO, IPV4, told), 14))
        .tunnel_counts("e0", "tx_too_big")
        .counts("icmp.tx")]);
}
