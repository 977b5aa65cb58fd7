//! `adit explain` for the kinds of tunnels that are more than IP in IP: the texts are read as those of `explained`.

use std::net::Ipv6Addr;

use crate::addresses::{H, H6, P, R, R6};
use crate::bench::Bench;
use crate::explained::{explained, holds};
use crate::frames::{
    IPIP, IPV6, from_gateway, from_host, internet_checksum, peer4, peer6, udp4, udp6,
};
use crate::gretap::{IPV4, arp, frame};
use crate::{erspan, isatap, loops, minimal, mpls, overlay, remotes, six_rd, udp};

const UDP: u8 = 17;
const GRE: u8 = 47;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
/// In the 6rd domain, behind P.
const BEHIND_P: Ipv6Addr = Ipv6Addr::new(0x3fff, 0xdb8, 0xcb00, 0x7102, 0, 0, 0, 1);

#[test]
fn headers_of_udp_are_explained() {
    let packet = from_host(udp4(H, R, 84));
    let came = udp::peers4(5555, &udp4(R, H, 84).bytes());
    let bare = from_gateway(peer4(4, udp4(R, H, 84)));
    let inputs = [("l", packet), ("u", from_gateway(peer4(UDP, came))), ("u", bare)];
    holds("fou", &explained(udp::fou(), &inputs, &[]));
    let control = udp::peers4(6080, &[&[0x20, 4, 0, 0][..], &udp4(R, H, 84).bytes()].concat());
    let inputs = [("l", from_host(udp6(H6, R6, 100))), ("u", from_gateway(peer4(UDP, control)))];
    holds("gue", &explained(udp::gue(), &inputs, &[]));
}

#[test]
fn peers_that_are_found_in_addresses_are_explained() {
    let inside = from_host(udp6(H6, BEHIND_P, 100));
    let spoofed = six_rd::from(P, udp6(R6, H6, 100));
    holds("6rd", &explained(six_rd::customer(), &[("l", inside), ("u", spoofed)], &[]));
    let routed = from_host(udp6(H6, R6, 100));
    // From and to a 6to4 router with this node's address.
    let back: Ipv6Addr = "2002:c633:6401::1".parse().unwrap();
    let entering = from_host(udp6(back, R6, 100));
    let leaving = six_rd::from(P, udp6(R6, back, 100));
    let inputs = [("l", routed), ("l", entering), ("u", leaving)];
    holds("isatap", &explained(isatap::link(), &inputs, &[]));
}

#[test]
fn labels_are_explained() {
    let inner = udp4(R, H, 84).bytes();
    let popped = mpls::from_peer(mpls::behind(&[mpls::entry(100, 0, 1, 64)], inner.clone()));
    let unknown = mpls::from_peer(mpls::behind(&[mpls::entry(999, 0, 1, 64)], inner));
    let inputs = [("u", popped), ("u", unknown), ("l", from_host(udp4(H, R, 84)))];
    holds("mpls", &explained(mpls::pushing("[500, 600]"), &inputs, &[]));
}

#[test]
fn frames_are_explained_and_where_their_stations_are() {
    let one = frame(IPV4, udp4(H, R, 84));
    let inputs = [("a", one.clone()), ("u", overlay::from_peer(&one))];
    holds("vxlan", &explained(overlay::vxlan(), &inputs, &[]));
    let inputs = [("a", arp()), ("u", remotes::came(P, &remotes::answer())), ("a", one)];
    holds("remotes", &explained(remotes::learning(), &inputs, &[]));
}

#[test]
fn minimal_encapsulation_is_explained_in_both_directions() {
    let out = from_host(udp4(H, R, 84));
    let piece = from_host(udp4(H, R, 84).dont_fragment(false).fragment(0, true));
    let back = from_gateway(minimal::arriving(&udp4(R, H, 84), &minimal::OF_R));
    holds("minimal", &explained(minimal::minimal(), &[("l", out), ("l", piece), ("u", back)], &[]));
}

#[test]
fn rules_about_loops_are_explained_each_by_its_name() {
    let inputs = [
        ("l", from_host(udp4(P, R, 84))),
        ("u", from_gateway(peer4(IPIP, udp4(R, [10, 2, 0, 9].into(), 84)))),
        ("u", from_gateway(peer4(IPIP, udp4(R, P, 84)))),
    ];
    let in_ipv4 = explained(Bench::ipip(), &inputs, &[]);
    let limited = udp6(H6, R6, 100).extension(DESTINATION, loops::limit(0));
    let in_ipv6 = explained(Bench::any6(), &[("l", from_host(limited))], &[]);
    holds("loops", &format!("{in_ipv4}\n{in_ipv6}"));
}

#[test]
fn options_and_extension_headers_are_explained() {
    let inner = udp6(R6, H6, 100);
    let padded = [0, 0, 1, 4, 0, 0, 0, 0].to_vec();
    let limited =
        peer6(IPV6, inner.clone()).extension(DESTINATION, loops::limit(4)).extension(0, padded);
    let routed = [&[0, 2, 0, 1, 0, 0, 0, 0][..], &[0x20; 16]].concat();
    let routed = peer6(IPV6, inner).extension(ROUTING, routed);
    let inputs = [("u", from_gateway(limited)), ("u", from_gateway(routed))];
    let in_ipv6 = explained(Bench::any6(), &inputs, &[]);
    // Record route, and a loose source route.
    let recorded = udp4(H, R, 84).options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    let loose = peer4(IPIP, udp4(R, H, 84)).options(&[0x83, 7, 4, 9, 9, 9, 9, 0]);
    let inputs = [("l", from_host(recorded)), ("u", from_gateway(loose))];
    let in_ipv4 = explained(Bench::ipip(), &inputs, &[]);
    holds("options", &format!("{in_ipv6}\n{in_ipv4}"));
}

#[test]
fn what_became_of_checksums_is_explained() {
    let bench = Bench::bare()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.require-checksum", "yes")
        .route("{ to: 10.2.0.0/16, tunnel: g0 }");
    let inner = udp4(R, H, 84).bytes();
    let mut summed = [&[0x80, 0, 8, 0, 0, 0, 0, 0][..], &inner].concat();
    let sum = internet_checksum(&[&summed]).to_be_bytes();
    summed[4..6].copy_from_slice(&sum);
    let mut wrong = summed.clone();
    wrong[4] ^= 1;
    let bare = [&[0, 0, 8, 0][..], &inner].concat();
    let inputs = [summed, wrong, bare].map(|gre| ("u", from_gateway(peer4(GRE, gre))));
    let of_gre = explained(bench, &inputs, &[]);
    let summed = udp::peers4(5555, &inner);
    let mut wrong = summed.clone();
    wrong[6] ^= 1;
    let mut without = summed.clone();
    without[6..8].fill(0);
    let inputs = [summed, wrong, without].map(|udp| ("u", from_gateway(peer4(UDP, udp))));
    let of_udp = explained(udp::fou(), &inputs, &[]);
    holds("checksums", &format!("{of_gre}\n{of_udp}"));
}

#[test]
fn mirror_sessions_are_explained_type_by_type() {
    let voice = erspan::voice();
    let copies = [erspan::ONE, erspan::TWO, erspan::THREE]
        .map(|keys| explained(erspan::source(keys), &[("a", voice.clone())], &[]));
    let came = |payload| ("u", from_gateway(peer4(GRE, payload)));
    let inputs = [came(erspan::two(0, 0, 0, &voice)), came(erspan::one(&voice))];
    let arrived = explained(erspan::sink(erspan::TWO), &inputs, &[]);
    holds("erspan", &format!("{}\n{arrived}", copies.join("\n")));
}
