//! E.8: the segment size that TCP connections agree on, in both directions. What is expected is made
//! anew by the encoder, checksum included, never changed from what went in.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::TcpHeader;

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, encap4, encap6, from_gateway, from_host, peer4, peer6,
    to_gateway, to_host,
};
use crate::icmp::{FRAG_NEEDED, underlay4};

const TCP: u8 = 6;

/// The option.
pub(crate) fn mss(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    [2, 4, high, low]
}

/// A SYN with these options.
fn header(options: &[u8]) -> TcpHeader {
    let mut tcp = TcpHeader::new(40_000, 443, 0x1000_2000, 64_240);
    tcp.syn = true;
    tcp.set_options_raw(options).unwrap();
    tcp
}

fn segment4(from: Ipv4Addr, to: Ipv4Addr, mut tcp: TcpHeader) -> Ipv4Packet {
    let packet = Ipv4Packet::new(from, to, TCP, []).id(0x4321);
    tcp.checksum = tcp.calc_checksum_ipv4(&packet.header, &[]).unwrap();
    packet.payload(tcp.to_bytes().as_slice())
}

fn segment6(from: Ipv6Addr, to: Ipv6Addr, mut tcp: TcpHeader) -> Ipv6Packet {
    let mut packet = Ipv6Packet::new(from, to, TCP, []);
    tcp.checksum = tcp.calc_checksum_ipv6(&packet.header, &[]).unwrap();
    packet.payload = tcp.to_bytes().to_vec();
    packet
}

pub(crate) fn syn4(options: &[u8]) -> Ipv4Packet {
    segment4(H, R, header(options))
}

fn syn6(options: &[u8]) -> Ipv6Packet {
    segment6(H6, R6, header(options))
}

/// H sends `packet` through the tunnel t0, whose peer gets `expected`.
fn enters(name: &str, bench: Bench, packet: &Ipv4Packet, expected: &Ipv4Packet) -> Case {
    let expected = expected.clone().ttl(63).bytes();
    let len = u64::try_from(expected.len()).unwrap();
    Case::new(name, bench)
        .input("l", from_host(packet.clone()))
        .expect("u", to_gateway(encap4(IPIP, expected)))
        .tunnel_sends("t0", len)
}

#[test]
fn a_segment_size_is_lowered_on_the_way_in_and_never_raised() {
    let lowered = |name: &str, before: &[u8], after: &[u8]| {
        enters(name, Bench::ipip(), &syn4(before), &syn4(after)).tunnel_counts("t0", "mss_clamped")
    };
    let odd = |value| [&[1][..], &mss(value), &[1, 1, 1]].concat();
    let linux =
        |value| [&mss(value)[..], &[4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7]].concat();
    let smaller = Bench::ipip().set("tunnels.t0.mtu", "1400");
    run_all([
        lowered("C-113(a)", &mss(1460), &mss(1440)),
        lowered("C-113(a) among options as Linux has them", &linux(1460), &linux(1440)),
        lowered("C-113(a) at an odd offset", &odd(1460), &odd(1440)),
        lowered("C-113(a) at an odd offset, from the most", &odd(0xffff), &odd(1440)),
        enters("C-113(a) by the MTU that is set", smaller, &syn4(&mss(1460)), &syn4(&mss(1360)))
            .tunnel_counts("t0", "mss_clamped"),
        enters("C-113(b)", Bench::ipip(), &syn4(&mss(1400)), &syn4(&mss(1400))),
        enters("C-113(b) equal", Bench::ipip(), &syn4(&mss(1440)), &syn4(&mss(1440))),
    ]);
}

#[test]
fn a_segment_size_is_lowered_on_the_way_out() {
    let mut answer = header(&mss(1460));
    answer.ack = true;
    let mut lowered = answer.clone();
    lowered.set_options_raw(&mss(1440)).unwrap();
    Case::new("C-114", Bench::ipip())
        .input("u", from_gateway(peer4(IPIP, segment4(R, H, answer))))
        .expect("l", to_host(segment4(R, H, lowered).ttl(63)))
        .tunnel_accepts("t0", 44)
        .tunnel_counts("t0", "mss_clamped")
        .run();
    Case::new("C-114 IPv6", Bench::ip6ip6())
        .input("u", from_gateway(peer6(IPV6, segment6(R6, H6, header(&mss(1440))))))
        .expect("l", to_host(segment6(R6, H6, header(&mss(1400))).hop_limit(63)))
        .tunnel_accepts("n6", 64)
        .tunnel_counts("n6", "mss_clamped")
        .run();
}

#[test]
fn ipv6_segments_are_lowered_too_behind_extension_headers_as_well() {
    let sit = |name: &str, before: Ipv6Packet, after: Ipv6Packet| {
        let after = after.hop_limit(63).bytes();
        let len = u64::try_from(after.len()).unwrap();
        Case::new(name, Bench::sit())
            .input("l", from_host(before))
            .expect("u", to_gateway(encap4(IPV6, after)))
            .tunnel_sends("s0", len)
            .tunnel_counts("s0", "mss_clamped")
    };
    // The encoder knows no extension headers, and the pseudo-header none either.
    let hop_by_hop = |packet: Ipv6Packet| packet.extension(0, vec![TCP, 0, 1, 4, 0, 0, 0, 0]);
    let native = to_gateway(encap6(IPV6, syn6(&mss(1400)).hop_limit(63)));
    run_all([
        sit("C-115(a)", syn6(&mss(1440)), syn6(&mss(1420))),
        sit("C-115(b)", hop_by_hop(syn6(&mss(1440))), hop_by_hop(syn6(&mss(1420)))),
        Case::new("C-115(a) over IPv6", Bench::ip6ip6())
            .input("l", from_host(syn6(&mss(1440))))
            .expect("u", Expected::any_flow_label(native))
            .tunnel_sends("n6", 64)
            .tunnel_counts("n6", "mss_clamped"),
    ]);
}

#[test]
fn what_says_no_size_or_can_not_be_read_is_left_alone() {
    let same = |name: &str, packet: &Ipv4Packet| enters(name, Bench::ipip(), packet, packet);
    let malformed = |name: &str, options: &[u8]| {
        same(name, &syn4(options)).tunnel_counts("t0", "mss_malformed")
    };
    let mut reset = header(&mss(1460));
    reset.rst = true;
    run_all([
        same("C-117(a)", &syn4(&[])),
        same("C-117(a) other options", &syn4(&[3, 3, 7, 1])),
        malformed("C-117(b) length 0", &[3, 0, 1, 1, 2, 4, 5, 0xb4]),
        malformed("C-117(b) overrun", &[2, 4, 5, 0xb4, 1, 1, 8, 10]),
        same("C-117(c)", &syn4(&mss(1460)).dont_fragment(false).fragment(185, false)),
        same("C-117 SYN and RST", &segment4(H, R, reset)),
    ]);
}

#[test]
fn nothing_is_lowered_where_that_is_switched_off() {
    let off = Bench::ipip().set("tunnels.t0.clamp-tcp-mss", "no");
    let linux = Bench::ipip().set("tunnels.t0.profile", "linux").set("tunnels.t0.ttl", "64");
    let packet = syn4(&mss(1460));
    enters("C-119", off, &packet, &packet).run();
    enters("C-119 profile linux", linux, &packet, &packet).run();
}

#[test]
fn an_option_is_put_in_where_that_is_asked_for() {
    let bench = || Bench::ipip().set("tunnels.t0.mss-insert", "yes");
    let inserted = |name: &str, before: &[u8], after: &[u8]| {
        enters(name, bench(), &syn4(before), &syn4(after)).tunnel_counts("t0", "mss_clamped")
    };
    let window_scale = [3, 3, 7, 1];
    let both = [&mss(536)[..], &window_scale].concat();
    let six = syn6(&mss(1220)).hop_limit(63);
    run_all([
        inserted("C-117(a) mss-insert", &[], &mss(536)),
        inserted("C-117(a) mss-insert, other options", &window_scale, &both),
        Case::new("C-117(a) mss-insert, IPv6", Bench::ip6ip6().set("tunnels.n6.mss-insert", "yes"))
            .input("l", from_host(syn6(&[])))
            .expect("u", Expected::any_flow_label(to_gateway(encap6(IPV6, six))))
            .tunnel_sends("n6", 64)
            .tunnel_counts("n6", "mss_clamped"),
    ]);
}

#[test]
fn the_size_follows_what_was_learnt_about_the_path() {
    let sent = crate::relay::sent4(crate::frames::udp4(H, R, 1480));
    let error = || from_gateway(underlay4(FRAG_NEEDED, 1400, &sent[..28]));
    let learns = |name: &str| {
        Case::new(name, Bench::ipip())
            .input("u", error())
            .tunnel_counts("t0", "pmtu_updates")
            .tunnel_counts("t0", "icmp_relay_short")
            .tunnel_counts("t0", "mss_clamped")
    };
    let answer = |value| segment4(R, H, header(&mss(value)));
    run_all([
        learns("C-118")
            .input("l", from_host(syn4(&mss(1460))))
            .expect("u", to_gateway(encap4(IPIP, syn4(&mss(1340)).ttl(63))))
            .tunnel_sends("t0", 44),
        learns("C-118 on the way out")
            .input("u", from_gateway(peer4(IPIP, answer(1460))))
            .expect("l", to_host(answer(1340).ttl(63)))
            .tunnel_accepts("t0", 44),
    ]);
}
