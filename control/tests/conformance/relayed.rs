//! B8.3, row by row: which errors of the underlay reach the inner sender, and in which words. Each row is a
//! case for both families inside, and most for variants of the tunnel.

use crate::addresses::{H, H6, L, L6, R, R6};
use crate::bench::Bench;
use crate::case::{Case, Expected, run_all};
use crate::frames::{IPV6, encap6, from_gateway, to_host, udp4, udp6};
use crate::icmp::{
    FRAG_NEEDED, HOP_EXPIRED6, Kind, PROHIBITED, TOO_BIG6, TTL_EXPIRED, UNREACHABLE_ADDRESS6,
    UNREACHABLE_HOST, UNREACHABLE_NET, error4, error6, underlay4, underlay6,
};
use crate::relay::{sent4, sent6, sent46, sent66};

/// The other end of the tunnel's own net, which this node is connected to.
const NEXT_TO_T: [u8; 4] = [192, 168, 50, 2];

/// An error arrives that quotes all of `sent`, and the host hears `expected`, of `word`, about what begins at
/// `at`; or nothing happens at all.
fn row(name: &str, bench: Bench, tunnel: &str, error: Vec<u8>, expected: Option<Expected>) -> Case {
    let case = Case::new(name, bench).input("u", error);
    match expected {
        Some(expected) => {
            case.expect("l", expected).tunnel_counts(tunnel, "icmp_relayed").counts("icmp.tx")
        }
        None => case,
    }
}

fn hears4(kind: Kind, about: &[u8]) -> Expected {
    Expected::error4(to_host(error4(L, H, kind, 0, about)), 14)
}

fn hears6(kind: Kind, about: &[u8]) -> Expected {
    Expected::error6(to_host(error6(L6, H6, kind, 0, about)), 14)
}

/// IPv4 in IPv4.
fn row4(kind: Kind, name: &str, bench: Bench, to: [u8; 4], expected: Option<Kind>) -> Case {
    let sent = sent4(udp4(H, to.into(), 200));
    let expected = expected.map(|kind| hears4(kind, &sent[20..]));
    let name = format!("B8.3 v4 {}/{} IPv4 inside {name}", kind.0, kind.1);
    row(&name, bench, "t0", from_gateway(underlay4(kind, 0, &sent[..])), expected)
}

/// IPv6 in IPv4.
fn row46(kind: Kind, name: &str, bench: Bench, expected: Option<Kind>) -> Case {
    let sent = sent46(udp6(H6, R6, 200));
    let expected = expected.map(|kind| hears6(kind, &sent[20..]));
    let name = format!("B8.3 v4 {}/{} IPv6 inside {name}", kind.0, kind.1);
    row(&name, bench, "s0", from_gateway(underlay4(kind, 0, &sent[..])), expected)
}

/// Both in IPv6.
fn rows6(kind: Kind, word: u32, expected: Option<(Kind, Kind)>) -> [Case; 2] {
    rows6_of(Bench::any6, kind, word, expected)
}

fn rows6_of(
    bench: impl Fn() -> Bench,
    kind: Kind,
    word: u32,
    expected: Option<(Kind, Kind)>,
) -> [Case; 2] {
    let (sent4, sent6) = (sent6(udp4(H, R, 200)), sent66(udp6(H6, R6, 200)));
    let name = |inner| format!("B8.3 v6 {}/{} {inner} inside", kind.0, kind.1);
    let error = |sent: &[u8]| from_gateway(underlay6(kind, word, sent));
    let expected4 = expected.map(|(kind, _)| hears4(kind, &sent4[40..]));
    let expected6 = expected.map(|(_, kind)| hears6(kind, &sent6[40..]));
    [
        row(&name("IPv4"), bench(), "n6", error(&sent4), expected4),
        row(&name("IPv6"), bench(), "n6", error(&sent6), expected6),
    ]
}

#[test]
fn unreachable_networks_and_hosts_are_passed_on_as_such() {
    let (net, host) = (Some(UNREACHABLE_NET), Some(UNREACHABLE_HOST));
    let (far, near) = (R.octets(), NEXT_TO_T);
    let mut cases = vec![
        row4((3, 0), "", Bench::ipip(), far, net),
        row4((3, 0), "on a connected net", Bench::ipip(), near, host),
        row46((3, 0), "", Bench::sit(), Some(UNREACHABLE_ADDRESS6)),
    ];
    for code in [1, 6, 7, 8, 11, 12] {
        cases.push(row4((3, code), "", Bench::ipip(), far, host));
        cases.push(row4((3, code), "on a connected net", Bench::ipip(), near, host));
        cases.push(row46((3, code), "", Bench::sit(), Some(UNREACHABLE_ADDRESS6)));
    }
    run_all(cases);
}

#[test]
fn a_far_end_that_does_not_speak_the_tunnels_protocol_can_not_be_reached() {
    run_all([
        row4((3, 2), "(C-106)", Bench::ipip(), R.octets(), Some(UNREACHABLE_NET)),
        row4((3, 2), "connected (C-106)", Bench::ipip(), NEXT_TO_T, Some(UNREACHABLE_HOST)),
        row46((3, 2), "(C-106)", Bench::sit(), Some(UNREACHABLE_ADDRESS6)),
    ]);
    let quote = sent4(udp4(H, R, 200));
    Case::new("C-106", Bench::ipip())
        .input("u", from_gateway(underlay4((3, 2), 0, &quote[..])))
        .expect("l", hears4(UNREACHABLE_NET, &quote[20..]))
        .tunnel_counts("t0", "icmp_relayed")
        .counts("icmp.tx")
        .run();
}

#[test]
fn a_filter_is_told_of_only_where_that_may_be_known() {
    let (host, address) = (Some(UNREACHABLE_HOST), Some(UNREACHABLE_ADDRESS6));
    for code in [9, 10, 13] {
        let tells =
            |bench: Bench, tunnel: &str| bench.set(&format!("tunnels.{tunnel}.relay-admin"), "yes");
        run_all([
            row4((3, code), "", Bench::ipip(), R.octets(), host),
            row4(
                (3, code),
                "relay-admin",
                tells(Bench::ipip(), "t0"),
                R.octets(),
                Some(PROHIBITED),
            ),
            row46((3, code), "", Bench::sit(), address),
            row46((3, code), "relay-admin", tells(Bench::sit(), "s0"), address),
        ]);
    }
}

#[test]
fn what_is_about_the_outer_header_alone_is_passed_on_to_nobody() {
    for (number, kinds) in [
        ("C-107(a)", vec![(3, 3)]),
        ("C-107(b)", vec![(3, 5), (4, 0), (5, 0), (5, 1)]),
        ("", vec![(11, 1), (12, 0), (12, 1), (3, 14), (3, 15)]),
    ] {
        for kind in kinds {
            let sent = sent4(udp4(H, R, 200));
            let next = crate::frames::from_host(udp4(H, R, 100));
            let carried = crate::frames::encap4(4, udp4(H, R, 100).ttl(63));
            // And nothing is remembered of it.
            Case::new(&format!("{number} v4 {}/{}", kind.0, kind.1), Bench::ipip())
                .input("u", from_gateway(underlay4(kind, 0, &sent[..])))
                .input("l", next)
                .expect("u", crate::frames::to_gateway(carried))
                .tunnel_sends("t0", 100)
                .run();
            run_all([
                row4(kind, number, Bench::ipip(), R.octets(), None),
                row46(kind, number, Bench::sit(), None),
            ]);
        }
    }
}

#[test]
fn a_ttl_that_ran_out_in_the_tunnel_makes_it_unreachable_unless_it_is_the_senders_own() {
    let inherits =
        |bench: Bench, tunnel: &str| bench.set(&format!("tunnels.{tunnel}.ttl"), "inherit");
    run_all([
        row4((11, 0), "(C-108(a))", Bench::ipip(), R.octets(), Some(UNREACHABLE_HOST)),
        row4((11, 0), "(C-108(b))", inherits(Bench::ipip(), "t0"), R.octets(), Some(TTL_EXPIRED)),
        row46((11, 0), "", Bench::sit(), Some(UNREACHABLE_ADDRESS6)),
        row46((11, 0), "inherited", inherits(Bench::sit(), "s0"), Some(HOP_EXPIRED6)),
    ]);
    run_all(rows6_of(
        || inherits(Bench::any6(), "n6"),
        (3, 0),
        0,
        Some((TTL_EXPIRED, HOP_EXPIRED6)),
    ));
    let sent = sent4(udp4(H, R, 200));
    let error = from_gateway(underlay4((11, 0), 0, &sent[..]));
    Case::new("C-108(a)", Bench::ipip())
        .input("u", error.clone())
        .expect("l", hears4(UNREACHABLE_HOST, &sent[20..]))
        .tunnel_counts("t0", "icmp_relayed")
        .counts("icmp.tx")
        .run();
    // The sender of the next packet, of another traceroute perhaps, hears nothing of it.
    Case::new("C-108(b)", inherits(Bench::ipip(), "t0"))
        .input("u", error)
        .expect("l", hears4(TTL_EXPIRED, &sent[20..]))
        .tunnel_counts("t0", "icmp_relayed")
        .counts("icmp.tx")
        .input("l", crate::frames::from_host(udp4(H, R, 100)))
        .expect(
            "u",
            crate::frames::to_gateway(crate::frames::encap4(4, udp4(H, R, 100).ttl(63)).ttl(63)),
        )
        .tunnel_sends("t0", 100)
        .run();
    let sent = sent66(udp6(H6, R6, 200));
    Case::new("C-108(b) over IPv6", inherits(Bench::any6(), "n6"))
        .input("u", from_gateway(underlay6((3, 0), 0, &sent[..])))
        .expect("l", hears6(HOP_EXPIRED6, &sent[40..]))
        .tunnel_counts("n6", "icmp_relayed")
        .counts("icmp.tx")
        .input("l", crate::frames::from_host(udp6(H6, R6, 100)))
        .expect(
            "u",
            Expected::any_flow_label(crate::frames::to_gateway(
                encap6(IPV6, udp6(H6, R6, 100).hop_limit(63)).hop_limit(63),
            )),
        )
        .tunnel_sends("n6", 100)
        .run();
}

#[test]
fn all_that_icmpv6_calls_unreachable_is_an_address_that_can_not_be_reached() {
    let both = Some((UNREACHABLE_HOST, UNREACHABLE_ADDRESS6));
    for code in 0..=6 {
        run_all(rows6((1, code), 0, both));
    }
    run_all(rows6((3, 0), 0, both));
    run_all(rows6((3, 1), 0, None));
}

#[test]
fn of_parameter_problems_only_an_encapsulation_limit_of_zero_means_something_to_a_sender() {
    let option = |limit| [IPV6, 0, 4, 1, limit, 1, 1, 0];
    let limited = |limit| {
        let inner = udp6(H6, R6, 200).hop_limit(63).bytes();
        encap6(60, [&option(limit)[..], &inner].concat()).bytes()
    };
    let case = |name: &str, kind, pointer, limit, is_told: bool| {
        let sent = limited(limit);
        let expected = is_told.then(|| hears6(UNREACHABLE_ADDRESS6, &sent[48..]));
        let error = from_gateway(underlay6(kind, pointer, &sent[..]));
        row(&format!("B8.3 v6 4 {name}"), Bench::any6(), "n6", error, expected)
    };
    run_all([
        case("at a limit of 0", (4, 0), 44, 0, true),
        case("at a limit of 1", (4, 0), 44, 1, false),
        case("elsewhere", (4, 0), 40, 0, false),
        case("next header", (4, 1), 44, 0, false),
        case("option", (4, 2), 44, 0, false),
    ]);
    let inner = udp4(H, R, 200).ttl(63).bytes();
    let sent = encap6(60, [&[4, 0, 4, 1, 0, 1, 1, 0][..], &inner].concat()).bytes();
    row(
        "B8.3 v6 4/0 at a limit of 0, IPv4 inside",
        Bench::any6(),
        "n6",
        from_gateway(underlay6((4, 0), 44, &sent[..])),
        Some(hears4(UNREACHABLE_HOST, &sent[48..])),
    )
    .run();
    run_all(rows6((4, 0), 40, None));
}

#[test]
fn c_109_unreachable_hop_limit_and_encapsulation_limit_are_one_to_the_sender() {
    let sent = sent66(udp6(H6, R6, 200));
    let inner = udp6(H6, R6, 200).hop_limit(63).bytes();
    let limited = encap6(60, [&[IPV6, 0, 4, 1, 0, 1, 1, 0][..], &inner].concat()).bytes();
    let mut case = Case::new("C-109", Bench::any6());
    for (kind, pointer, sent, at) in
        [((3, 0), 0, &sent, 40), ((1, 3), 0, &sent, 40), ((4, 0), 44, &limited, 48)]
    {
        case = case
            .input("u", from_gateway(underlay6(kind, pointer, &sent[..])))
            .expect("l", hears6(UNREACHABLE_ADDRESS6, &sent[at..]))
            .tunnel_counts("n6", "icmp_relayed")
            .counts("icmp.tx");
    }
    case.run();
}

/// A size: what is learnt, and what of it is passed on.
struct Size {
    name: &'static str,
    bench: Bench,
    tunnel: &'static str,
    error: Vec<u8>,
    expected: Option<Expected>,
}

impl Size {
    fn run(self) {
        let case = row(self.name, self.bench, self.tunnel, self.error, self.expected);
        case.tunnel_counts(self.tunnel, "pmtu_updates").run();
    }
}

fn too_big4(mtu: u32, about: &[u8]) -> Expected {
    Expected::error4(to_host(error4(L, H, FRAG_NEEDED, mtu, about)), 14)
}

fn too_big6(mtu: u32, about: &[u8]) -> Expected {
    Expected::error6(to_host(error6(L6, H6, TOO_BIG6, mtu, about)), 14)
}

#[test]
fn frag_needed_is_passed_on_in_the_size_that_fits_inside() {
    let sent = sent4(udp4(H, R, 1480));
    let loose = sent4(udp4(H, R, 1480).dont_fragment(false));
    let sent6 = sent46(udp6(H6, R6, 1480));
    let small6 = sent46(udp6(H6, R6, 1276));
    let error = |mtu, sent: &[u8]| from_gateway(underlay4(FRAG_NEEDED, mtu, &sent[..500]));
    for size in [
        Size {
            name: "B8.3 v4 3/4, IPv4 with DF",
            bench: Bench::ipip(),
            tunnel: "t0",
            error: error(1400, &sent),
            expected: Some(too_big4(1380, &sent[20..500])),
        },
        Size {
            name: "B8.3 v4 3/4, IPv4 without DF",
            bench: Bench::ipip(),
            tunnel: "t0",
            error: error(1400, &loose),
            expected: None,
        },
        Size {
            name: "B8.3 v4 3/4 below a configured MTU",
            bench: Bench::ipip().set("tunnels.t0.mtu", "1300"),
            tunnel: "t0",
            error: error(1400, &sent),
            expected: Some(too_big4(1300, &sent[20..500])),
        },
        Size {
            name: "C-103",
            bench: Bench::sit(),
            tunnel: "s0",
            error: error(1400, &sent6),
            expected: Some(too_big6(1380, &sent6[20..500])),
        },
        Size {
            name: "B8.3 v4 3/4, IPv6, no less than 1280",
            bench: Bench::sit(),
            tunnel: "s0",
            error: error(1290, &sent6),
            expected: Some(too_big6(1280, &sent6[20..500])),
        },
        Size {
            name: "B8.3 v4 3/4, IPv6 that need not be smaller",
            bench: Bench::sit(),
            tunnel: "s0",
            error: error(1290, &small6),
            expected: None,
        },
    ] {
        size.run();
    }
}

#[test]
fn packet_too_big_is_passed_on_in_the_size_that_fits_inside() {
    let error = |mtu, sent: &[u8]| from_gateway(underlay6(TOO_BIG6, mtu, &sent[..500]));
    let sent = sent6(udp4(H, R, 1460));
    let loose = sent6(udp4(H, R, 1460).dont_fragment(false));
    let sent66_ = sent66(udp6(H6, R6, 1460));
    let fits = sent66(udp6(H6, R6, 1300));
    let inner = udp6(H6, R6, 1440).hop_limit(63).bytes();
    let limited = encap6(60, [&[IPV6, 0, 4, 1, 3, 1, 1, 0][..], &inner].concat()).bytes();
    let n6 =
        |name, error, expected| Size { name, bench: Bench::any6(), tunnel: "n6", error, expected };
    for size in [
        n6("C-104(a)", error(1400, &sent), Some(too_big4(1360, &sent[40..500]))),
        n6("B8.3 v6 2, IPv4 without DF", error(1400, &loose), None),
        n6("B8.3 v6 2, IPv6", error(1400, &sent66_), Some(too_big6(1360, &sent66_[40..500]))),
        n6(
            "B8.3 v6 2, no less than 1280",
            error(1290, &sent66_),
            Some(too_big6(1280, &sent66_[40..500])),
        ),
        n6("C-104(b)", error(1400, &fits), None),
        n6(
            "B8.3 the option costs eight",
            error(1400, &limited),
            Some(too_big6(1352, &limited[48..500])),
        ),
    ] {
        size.run();
    }
}
