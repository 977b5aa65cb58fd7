//! `adit explain` for the kinds of tunnels that are more than IP in IP: the texts are read as those of `explained`.

use std::net::Ipv6Addr;

use crate::addresses::{H, H6, P, R, R6};
use crate::explained::{explained, holds};
use crate::frames::{from_gateway, from_host, peer4, udp4, udp6};
use crate::gretap::{IPV4, arp, frame};
use crate::{isatap, minimal, mpls, overlay, remotes, six_rd, udp};

const UDP: u8 = 17;
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
    holds("isatap", &explained(isatap::link(), &[("l", routed)], &[]));
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
