//! E.6: outer packets that arrive in fragments, and echo requests to this node that do.

use crate::addresses::{H, H6, L, L6, P, P6, R, R6, U, U6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{
    IPIP, IPV6, Ipv4Packet, Ipv6Packet, from_gateway, from_host, peer4, peer6, to_host, udp4, udp6,
};
use crate::icmp::{
    PIECES_MISSING, PIECES_MISSING6, echo_reply4, echo_request4, echo_request6, error4, error6,
};
use crate::run::{MILLISECOND, Replay, SECOND, START};

/// Number of the IPv6 fragment header.
const FRAGMENT: u8 = 44;

/// The outer packet that the peer of a tunnel over IPv4 cuts.
fn outer4(inner: impl Into<Vec<u8>>) -> Ipv4Packet {
    peer4(IPIP, inner).dont_fragment(false)
}

/// Bytes `from..to` of the payload of an IPv4 packet, the whole of which may be cut.
pub(crate) fn piece4(whole: &Ipv4Packet, from: usize, to: usize) -> Vec<u8> {
    let part = whole.clone().payload(&whole.payload[from..to]);
    let more = to < whole.payload.len();
    from_gateway(part.fragment(u16::try_from(from / 8).unwrap(), more))
}

/// Bytes `from..to` of what follows the header of an IPv6 packet.
pub(crate) fn piece6(whole: &Ipv6Packet, from: usize, to: usize, identification: u32) -> Vec<u8> {
    let more = u16::from(to < whole.payload.len());
    let offset = u16::try_from(from).unwrap() | more;
    let header = [&[0, 0][..], &offset.to_be_bytes(), &identification.to_be_bytes()].concat();
    let mut part = whole.clone();
    part.payload = whole.payload[from..to].to_vec();
    from_gateway(part.extension(FRAGMENT, header))
}

#[test]
fn two_outer_fragments_in_either_order_are_one_packet() {
    let inner = udp4(R, H, 1480);
    let whole = outer4(inner.clone());
    let pieces = [piece4(&whole, 0, 1000), piece4(&whole, 1000, 1480)];
    let whole6 = peer6(IPV6, udp6(R6, H6, 1400));
    let pieces6 = [piece6(&whole6, 0, 1000, 99), piece6(&whole6, 1000, 1400, 99)];
    let case = |order: [usize; 2]| {
        let [first, second] = order.map(|at| pieces[at].clone());
        Case::new("C-087(a)", Bench::ipip())
            .input("u", first)
            .input("u", second)
            .expect("l", to_host(inner.clone().ttl(63)))
            .tunnel_accepts("t0", 1480)
            .counts("reasm.ok")
    };
    let case6 = |order: [usize; 2]| {
        let [first, second] = order.map(|at| pieces6[at].clone());
        Case::new("C-087(a) IPv6", Bench::any6())
            .input("u", first)
            .input("u", second)
            .expect("l", to_host(udp6(R6, H6, 1400).hop_limit(63)))
            .tunnel_accepts("n6", 1400)
            .counts("reasm.ok")
    };
    run_all([case([0, 1]), case([1, 0]), case6([0, 1]), case6([1, 0])]);
}

#[test]
fn outer_packets_larger_than_the_port_are_put_together() {
    let case = |len: usize| {
        let inner = udp4(R, H, len - 20).dont_fragment(false);
        let whole = outer4(inner.clone());
        let case = Case::new("C-087(b)", Bench::ipip())
            .input("u", piece4(&whole, 0, 1200))
            .input("u", piece4(&whole, 1200, len - 20))
            .tunnel_accepts("t0", len as u64 - 20)
            .counts("reasm.ok");
        if len <= 1500 {
            return case.expect("l", to_host(inner.ttl(63)));
        }
        // The inner packet does not fit the other port either, and may be cut.
        let part = |from: usize, to: usize, more: bool| {
            let part = inner.clone().payload(&inner.payload[from..to]).ttl(63);
            to_host(part.fragment(u16::try_from(from / 8).unwrap(), more))
        };
        case.expect("l", part(0, 1480, true))
            .expect("l", part(1480, len - 40, false))
            .counter("dataplane.ip4.frag_created", 2)
    };
    // The limit is 2000 bytes, or 100 more than the largest port takes.
    let limit = |len: usize, bench: Bench| {
        let inner = udp4(R, H, len - 20);
        let whole = outer4(inner.clone());
        let pieces = [piece4(&whole, 0, 1200), piece4(&whole, 1200, len - 20)];
        let [first, last] = pieces;
        (inner, Case::new(&format!("{len} bytes"), bench).input("u", first).input("u", last))
    };
    let jumbo = || Bench::ipip().set("ports.l.mtu", "4000");
    let (inner, fits) = limit(4020, jumbo());
    let (_, beyond) = limit(2001, Bench::ipip());
    let (_, far_beyond) = limit(4101, jumbo());
    run_all([
        case(1500),
        case(1900),
        fits.expect("l", to_host(inner.ttl(63))).tunnel_accepts("t0", 4000).counts("reasm.ok"),
        beyond.counter("dataplane.reasm.oversize", 2),
        far_beyond.counter("dataplane.reasm.oversize", 2),
    ]);
}

#[test]
fn a_missing_fragment_ends_the_others_when_their_time_is_over() {
    let whole = outer4(udp4(R, H, 1480));
    let (first, second) = (piece4(&whole, 0, 1000), piece4(&whole, 1000, 1480));
    let late = |name: &str, pause: u64, lost: u64, bench: Bench| {
        let case = Case::new(name, bench)
            .input("u", first.clone())
            .pause(pause - MILLISECOND)
            .input("u", second.clone())
            .linger(200)
            .counter("dataplane.reasm.timeout", lost);
        if lost > 0 {
            return case;
        }
        case.expect("l", to_host(udp4(R, H, 1480).ttl(63)))
            .tunnel_accepts("t0", 1480)
            .counts("reasm.ok")
    };
    let configured = || Bench::ipip().set("tunnels.t0.reassembly-timeout", "7");
    let linux = || Bench::ipip().set("tunnels.t0.profile", "linux");
    let whole6 = peer6(IPV6, udp6(R6, H6, 1400));
    let pieces6 = [piece6(&whole6, 0, 1000, 99), piece6(&whole6, 1000, 1400, 99)];
    run_all([
        late("C-088 just in time", 2 * SECOND - 1, 0, Bench::ipip()),
        // The one that comes too late begins a packet of its own, which is not complete either.
        late("C-088", 2 * SECOND, 2, Bench::ipip()),
        late("its own time", 7 * SECOND - 1, 0, configured()),
        late("its own time is over", 7 * SECOND, 2, configured()),
        late("the time of Linux", 30 * SECOND - 1, 0, linux()),
        late("the time of Linux is over", 30 * SECOND, 2, linux()),
        Case::new("IPv6 has a minute", Bench::any6())
            .input("u", pieces6[0].clone())
            .pause(60 * SECOND - MILLISECOND - 1)
            .input("u", pieces6[1].clone())
            .expect("l", to_host(udp6(R6, H6, 1400).hop_limit(63)))
            .tunnel_accepts("n6", 1400)
            .counts("reasm.ok"),
        Case::new("C-088 nothing before", Bench::ipip()).input("u", first.clone()).linger(1),
    ]);
}

#[test]
fn overlapping_ipv6_fragments_end_their_packet_in_silence() {
    let whole = peer6(IPV6, udp6(R6, H6, 1400));
    let (first, overlapping) = (piece6(&whole, 0, 1000, 9), piece6(&whole, 992, 1400, 9));
    let last = piece6(&whole, 1000, 1400, 9);
    run_all([
        Case::new("C-089", Bench::any6())
            .input("u", first.clone())
            .input("u", overlapping.clone())
            .counter("dataplane.reasm.overlap", 2),
        Case::new("C-089 with all that follows", Bench::any6())
            .input("u", overlapping)
            .input("u", first)
            .input("u", last)
            .counter("dataplane.reasm.overlap", 3),
    ]);
}

#[test]
fn fragments_of_strangers_are_not_held() {
    let whole = outer4(udp4(R, H, 1480));
    let mut replay = Replay::new(Bench::ipip());
    replay.input("u", 0, piece4(&whole, 0, 1000));
    for at in 0..10_000_u16 {
        let mut stranger = whole.clone().id(at);
        stranger.header.source = [203, 0, 113, 77];
        replay.input("u", u64::from(at) * 10_000, piece4(&stranger, 0, 1000));
    }
    replay.input("u", 100 * MILLISECOND, piece4(&whole, 1000, 1480));
    let outcome = replay.run();
    let counter = |name: &str| outcome.counter(&format!("dataplane.{name}"));
    assert_eq!(counter("reasm.no_tunnel"), 10_000, "C-090");
    assert_eq!((counter("reasm.ok"), counter("reasm.limit")), (1, 0));
    assert_eq!(outcome.frames("l"), [to_host(udp4(R, H, 1480).ttl(63))]);
}

#[test]
fn a_fragment_header_around_a_whole_packet_touches_no_others() {
    let whole = peer6(IPV6, udp6(R6, H6, 1400));
    let atomic = piece6(&peer6(IPV6, udp6(R6, H6, 100)), 0, 100, 9);
    Case::new("C-091", Bench::any6())
        .input("u", piece6(&whole, 0, 1000, 9))
        .input("u", atomic)
        .input("u", piece6(&whole, 1000, 1400, 9))
        .expect("l", to_host(udp6(R6, H6, 100).hop_limit(63)))
        .expect("l", to_host(udp6(R6, H6, 1400).hop_limit(63)))
        .tunnel_accepts("n6", 100)
        .tunnel_accepts("n6", 1400)
        .counts("reasm.ok")
        .run();
}

#[test]
fn a_tunnel_may_refuse_fragments() {
    let whole = outer4(udp4(R, H, 1480));
    Case::new("without reassembly", Bench::ipip().set("tunnels.t0.reassembly", "no"))
        .input("u", piece4(&whole, 0, 1000))
        .input("u", piece4(&whole, 1000, 1480))
        .counter("dataplane.reasm.no_tunnel", 2)
        .run();
}

#[test]
fn duplicates_are_ignored_and_contradicting_ecn_fields_are_not() {
    let whole = outer4(udp4(R, H, 1480));
    let (first, last) = (piece4(&whole, 0, 1000), piece4(&whole, 1000, 1480));
    run_all([
        Case::new("duplicates", Bench::ipip())
            .input("u", first.clone())
            .input("u", first.clone())
            .input("u", last)
            .expect("l", to_host(udp4(R, H, 1480).ttl(63)))
            .tunnel_accepts("t0", 1480)
            .counts("reasm.ok"),
        Case::new("ECN", Bench::ipip())
            .input("u", first)
            .input("u", piece4(&whole.tos(1), 1000, 1480))
            .counter("dataplane.reasm.ecn_mix", 2),
    ]);
}

#[test]
fn memory_is_limited_for_each_peer() {
    // Buffers of a replay have 10 KiB: 64 KiB are six of them.
    let bench = Bench::ipip().set("limits.reassembly-memory-per-peer", "64KiB");
    let mut case = Case::new("seven packets where there is room for six", bench);
    let whole = outer4(udp4(R, H, 1480));
    for id in 0..7 {
        case = case.input("u", piece4(&whole.clone().id(id), 0, 1000));
    }
    case.input("u", piece4(&whole.clone().id(6), 1000, 1480))
        .expect("l", to_host(udp4(R, H, 1480).ttl(63)))
        .tunnel_accepts("t0", 1480)
        .counts("reasm.ok")
        .counts("reasm.limit")
        .counter("dataplane.reasm.timeout", 5)
        .linger(2)
        .run();
}

#[test]
fn echo_requests_in_fragments_are_answered_or_their_sender_told() {
    let request = echo_request4(P, U, 1400).dont_fragment(false);
    let (first, last) = (piece4(&request, 0, 1000), piece4(&request, 1000, 1380));
    let reply = crate::frames::to_gateway(echo_reply4(U, P, 1400));
    let quoted = first[14..].to_vec();
    let told = crate::frames::to_gateway(error4(U, P, PIECES_MISSING, 0, quoted));
    let request6 = echo_request6(P6, U6, 1400);
    let first6 = piece6(&request6, 0, 1000, 5);
    let told6 = crate::frames::to_gateway(error6(U6, P6, PIECES_MISSING6, 0, &first6[14..]));
    run_all([
        Case::new("echo in fragments", Bench::bare())
            .input("u", last.clone())
            .input("u", first.clone())
            .expect("u", Expected::reply4(reply, 14))
            .counts("reasm.ok"),
        Case::new("the last fragment is missing", Bench::bare())
            .input("u", first)
            .linger(2)
            .expect("u", Expected::error4(told, 14))
            .counts("reasm.timeout")
            .counts("icmp.tx"),
        Case::new("the first fragment is missing", Bench::bare())
            .input("u", last)
            .linger(2)
            .counts("reasm.timeout"),
        Case::new("the same of IPv6", Bench::bare())
            .input("u", first6)
            .linger(60)
            .expect("u", Expected::error6(told6, 14))
            .counts("reasm.timeout")
            .counts("icmp.tx"),
        Case::new("other protocols are not put together", Bench::bare())
            .input("l", from_host(udp4(H, L, 1000).fragment(0, true)))
            .input("l", from_host(Ipv6Packet::new(H6, L6, FRAGMENT, [17, 0, 0, 8, 0, 0, 0, 1, 9])))
            .counter("dataplane.ip.fragment_to_us", 2),
    ]);
}

#[test]
fn an_error_about_missing_fragments_is_sent_when_their_time_is_over() {
    let request = echo_request4(P, U, 1400).dont_fragment(false);
    let mut replay = Replay::new(Bench::bare());
    replay.input("u", 0, piece4(&request, 0, 1000));
    replay.input("u", 10 * SECOND, piece4(&request, 1000, 1380));
    let outcome = replay.run();
    let times: Vec<u64> = outcome.sent["u"].iter().map(|record| record.time - START).collect();
    assert_eq!(times, [2 * SECOND]);
}
