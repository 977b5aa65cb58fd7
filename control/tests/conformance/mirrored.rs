//! ERSPAN (E.1): copies of what comes out of tunnels and of what goes into them, as it is inside.

use crate::addresses::{H, P, R, U, X};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::erspan::{GRE, IPV4_IN_IP, TWO, two};
use crate::frames::{
    Ipv4Packet, encap4, from_gateway, from_host, peer4, poked, to_gateway, to_host, udp4,
};
use crate::gretap::{IPV4, arp, frame};
use crate::minimal::{self, minimal};
use crate::overlay;

/// A session to X, `s0`, that mirrors these tunnels.
fn watched(bench: Bench, tunnels: &str, direction: &str) -> Bench {
    bench
        .tunnel("s0", "erspan", "198.51.100.1", "203.0.113.66")
        .set("tunnels.s0.erspan", TWO)
        .set("tunnels.s0.mirror", &format!("{{ tunnels: [{tunnels}], direction: {direction} }}"))
}

/// A copy on its way to X.
fn copy(number: u8, frame: &[u8]) -> Vec<u8> {
    to_gateway(Ipv4Packet::new(U, X, GRE, two(number, 0, 0, frame)))
}

/// What has no link header of its own gets one without stations.
fn bare(kind: u16, packet: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &kind.to_be_bytes(), packet].concat()
}

#[test]
fn packets_of_a_tunnel_are_mirrored_as_they_come_out_and_as_they_go_in() {
    let watched = |direction: &str| watched(Bench::ipip(), "t0", direction);
    let in_t0 = udp4(H, R, 84).ttl(63);
    let out_of_t0 = udp4(R, H, 84);
    let enters = |name: &str, direction: &str| {
        Case::new(name, watched(direction))
            .input("l", from_host(udp4(H, R, 84)))
            .expect("u", to_gateway(encap4(IPV4_IN_IP, in_t0.clone())))
            .tunnel_sends("t0", 84)
    };
    let leaves = |name: &str, direction: &str| {
        Case::new(name, watched(direction))
            .input("u", from_gateway(peer4(IPV4_IN_IP, out_of_t0.clone())))
            .expect("l", to_host(out_of_t0.clone().ttl(63)))
            .tunnel_accepts("t0", 84)
    };
    let copies_in = bare(IPV4, &in_t0.bytes());
    let copies_out = bare(IPV4, &out_of_t0.bytes());
    let large = udp4(H, R, 1200).dont_fragment(false).id(7);
    let cut = large.clone().ttl(63);
    let pieces = [
        cut.clone().fragment(0, true).payload(&large.payload[..976]),
        cut.fragment(122, false).payload(&large.payload[976..]),
    ];
    let watched = |direction: &str| watched(direction).set("tunnels.t0.mtu", "1000");
    run_all([
        enters("C-016 what goes out is not what comes in", "ingress"),
        leaves("C-016 what comes in is not what goes out", "egress"),
        leaves("C-016 out of a tunnel", "ingress")
            .expect("u", copy(0, &copies_out))
            .tunnel_sends("s0", 98),
        Case::new("C-016 into a tunnel", watched("both"))
            .input("l", from_host(udp4(H, R, 84)))
            .expect("u", copy(0, &copies_in))
            .expect("u", to_gateway(encap4(IPV4_IN_IP, in_t0)))
            .tunnel_sends("t0", 84)
            .tunnel_sends("s0", 98),
        Case::new("C-016 what is refused is not mirrored", watched("both"))
            .input("u", from_gateway(peer4(IPV4_IN_IP, poked(udp4(R, H, 84), 8, 0))))
            .tunnel_counts("t0", "rx_inner_ttl_zero"),
        Case::new("C-016 pieces are mirrored as they go in", watched("egress"))
            .input("l", from_host(large.clone()))
            .expect("u", copy(0, &bare(IPV4, &pieces[0].bytes())))
            .expect("u", to_gateway(encap4(IPV4_IN_IP, pieces[0].clone())))
            .expect("u", copy(1, &bare(IPV4, &pieces[1].bytes())))
            .expect("u", to_gateway(encap4(IPV4_IN_IP, pieces[1].clone())))
            .tunnel_sends("t0", 1200)
            .tunnel_counts("t0", "tx_inner_frag")
            .counter("dataplane.ip4.frag_created", 2)
            .tunnel_sends("s0", 996 + 14)
            .tunnel_sends("s0", 224 + 14),
    ]);
}

#[test]
fn a_packet_is_mirrored_as_it_was_before_its_header_was_folded() {
    let (there, back) = (udp4(H, R, 84).id(7), udp4(R, H, 84).id(9));
    let on = there.clone().ttl(63);
    // 10.2.9.9 is behind `n0`: `t0` is in it. UDP becomes IPv4, and 0x0400 + 0x0a02 + 0x0909 is 0x170b.
    let far = "10.2.9.9".parse().unwrap();
    let nested = minimal()
        .tunnel("t0", "ipip", "198.51.100.1", "10.2.9.9")
        .route("{ to: 10.3.0.0/16, tunnel: t0 }");
    let beyond = udp4(H, "10.3.0.8".parse().unwrap(), 84);
    let outer = Ipv4Packet::new(U, far, IPV4_IN_IP, beyond.clone().ttl(63));
    let header = [4, 0, 0xe8, 0xf4, 10, 2, 9, 9];
    let in_both = Ipv4Packet::new(U, P, minimal::MINIMAL, [&header, &outer.payload[..]].concat());
    run_all([
        Case::new("C-016 into minimal encapsulation", watched(minimal(), "n0", "egress"))
            .input("l", from_host(there.clone()))
            .expect("u", copy(0, &bare(IPV4, &on.bytes())))
            .expect("u", to_gateway(minimal::sent(&on, &minimal::OF_H)))
            .tunnel_sends("n0", 84)
            .tunnel_sends("s0", 98),
        Case::new("C-016 out of minimal encapsulation", watched(minimal(), "n0", "both"))
            .input("u", from_gateway(minimal::arriving(&back, &minimal::OF_R)))
            .expect("l", to_host(back.clone().ttl(63)))
            .expect("u", copy(0, &bare(IPV4, &back.bytes())))
            .tunnel_accepts("n0", 84)
            .tunnel_sends("s0", 98),
        Case::new("C-016 a tunnel in minimal encapsulation", watched(nested, "t0, n0", "egress"))
            .input("l", from_host(beyond.clone()))
            .expect("u", copy(0, &bare(IPV4, &beyond.ttl(63).bytes())))
            .expect("u", copy(1, &bare(IPV4, &outer.bytes())))
            .expect("u", to_gateway(in_both))
            .tunnel_sends("t0", 84)
            .tunnel_sends("n0", 104)
            .tunnel_sends("s0", 98)
            .tunnel_sends("s0", 118),
    ]);
}

#[test]
fn frames_of_a_tunnel_are_mirrored_as_they_are() {
    let vxlan = |direction: &str| watched(overlay::vxlan(), "e0", direction);
    let unseen = |name: &str, direction: &str, frame: &[u8]| {
        Case::new(name, vxlan(direction))
            .input("u", overlay::from_peer(frame))
            .expect("a", frame.to_vec())
            .tunnel_accepts("e0", frame.len() as u64)
    };
    let packet = frame(IPV4, udp4(H, R, 84));
    let comes = |frame: &[u8]| {
        unseen("C-016 out of VXLAN", "ingress", frame)
            .expect("u", copy(0, frame))
            .tunnel_sends("s0", frame.len() as u64)
    };
    let goes = |frame: &[u8]| {
        Case::new("C-016 into VXLAN", vxlan("egress"))
            .input("a", frame.to_vec())
            .expect("u", copy(0, frame))
            .expect("u", Expected::any_source_port(overlay::to_peer(frame), 34))
            .tunnel_sends("e0", frame.len() as u64)
            .tunnel_sends("s0", frame.len() as u64)
    };
    run_all([
        comes(&packet),
        comes(&arp()),
        goes(&packet),
        goes(&arp()),
        unseen("C-016 what comes out is not what goes in", "egress", &packet),
    ]);
}
