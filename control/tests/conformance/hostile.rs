//! Headers between the outer one and what is inside, wrong in every way that they can be (A.5, A.8 to A.12): cut at
//! every byte, each reserved bit set, lengths that lie. Each table is one run, in which nothing but what is
//! said may be counted, once for each frame.

use std::net::IpAddr;

use crate::addresses::{H, P, P6, R, U, U6};
use crate::bench::Bench;
use crate::case::{Case, run_all};
use crate::erspan::{LAST, TWO, sink, sink6, three, two};
use crate::frames::{UDP, changed, datagram, from_gateway, peer4, peer6, poked, to_host, udp4};
use crate::gretap::arp;
use crate::mpls::{behind, entry, mplsip, over6};
use crate::overlay::{geneve, geneve6, routed, vxlan, vxlan6};
use crate::udp::{fou, fou6, gue, gue6};

const GRE: u8 = 47;
const MPLS: u8 = 137;
const FOU_PORT: u16 = 5555;
const GUE_PORT: u16 = 6080;
const VXLAN_PORT: u16 = 4789;
const GENEVE_PORT: u16 = 6081;
const VXLAN: [u8; 8] = [8, 0, 0, 0, 0, 0, 42, 0];
const GENEVE: [u8; 8] = [0, 0, 0x65, 0x58, 0xab, 0xcd, 0xef, 0];

/// From the peer: the same payload over IPv4, or over IPv6.
fn outer(is_ipv6: bool, protocol: u8, payload: impl Into<Vec<u8>>) -> Vec<u8> {
    if is_ipv6 {
        from_gateway(peer6(protocol, payload))
    } else {
        from_gateway(peer4(protocol, payload))
    }
}

/// A datagram of the peer, its lengths and checksum right.
fn peers(is_ipv6: bool, port: u16, payload: &[u8]) -> Vec<u8> {
    let ends: (IpAddr, IpAddr) =
        if is_ipv6 { (P6.into(), U6.into()) } else { (P.into(), U.into()) };
    datagram(ends, (50_000, port), payload)
}

fn in_udp(is_ipv6: bool, port: u16, payload: &[u8]) -> Vec<u8> {
    outer(is_ipv6, UDP, peers(is_ipv6, port, payload))
}

/// Nothing comes out, and each counts this.
fn all_end(
    name: &str,
    bench: Bench,
    counter: &str,
    frames: impl IntoIterator<Item = Vec<u8>>,
) -> Case {
    let ends = |case: Case, frame| case.input("u", frame).counter(counter, 1);
    frames.into_iter().fold(Case::new(name, bench), ends)
}

/// The same frame comes out of each.
fn all_come(
    name: &str,
    bench: Bench,
    frame: &[u8],
    frames: impl IntoIterator<Item = Vec<u8>>,
) -> Case {
    let taken = |case: Case, outer| {
        case.input("u", outer).expect("a", frame.to_vec()).tunnel_accepts("e0", frame.len() as u64)
    };
    frames.into_iter().fold(Case::new(name, bench), taken)
}

/// Each reserved bit of a header, by byte and mask.
fn flipped<'a>(header: &'a [u8], masks: &'a [(usize, u8)]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let bits = |mask: u8| (0..8).map(|bit| 1 << bit).filter(move |bit| mask & bit != 0);
    masks.iter().flat_map(move |&(at, mask)| {
        bits(mask).map(move |bit| changed(header.to_vec(), at, header[at] ^ bit))
    })
}

/// Every kind of tunnel in UDP: name, over which family, port, what is behind UDP.
fn all_in_udp() -> Vec<(&'static str, bool, Bench, u16, Vec<u8>)> {
    let inner = udp4(R, H, 84).bytes();
    let in_gue = behind(&[vec![0, 4, 0, 0]], inner.clone());
    let in_vxlan = [&VXLAN[..], &arp()].concat();
    let in_geneve = [&GENEVE[..], &arp()].concat();
    vec![
        ("FOU", false, fou(), FOU_PORT, inner.clone()),
        ("FOU over IPv6", true, fou6(), FOU_PORT, inner),
        ("GUE", false, gue(), GUE_PORT, in_gue.clone()),
        ("GUE over IPv6", true, gue6(), GUE_PORT, in_gue),
        ("VXLAN", false, vxlan(), VXLAN_PORT, in_vxlan.clone()),
        ("VXLAN over IPv6", true, vxlan6(), VXLAN_PORT, in_vxlan),
        ("GENEVE", false, geneve(), GENEVE_PORT, in_geneve.clone()),
        ("GENEVE over IPv6", true, geneve6(), GENEVE_PORT, in_geneve),
    ]
}

#[test]
fn udp_headers_that_are_cut_or_lie_about_their_length_are_short() {
    for (name, is_ipv6, bench, port, payload) in all_in_udp() {
        let whole = peers(is_ipv6, port, &payload);
        let cut = (0..8).map(|len| outer(is_ipv6, UDP, &whole[..len]));
        let len = u16::try_from(whole.len()).unwrap();
        let lies = (0..8).chain([len + 1, len + 8, 0x7fff, 0xffff]).map(|said: u16| {
            let said = said.to_be_bytes();
            outer(is_ipv6, UDP, changed(changed(whole.clone(), 4, said[0]), 5, said[1]))
        });
        run_all([
            all_end(&format!("A.8 {name}, UDP cut"), bench.clone(), "dataplane.udp.short", cut),
            all_end(&format!("C-156(b) {name}"), bench, "dataplane.udp.short", lies),
        ]);
    }
}

#[test]
fn what_is_behind_udp_is_short_wherever_it_ends() {
    for (name, is_ipv6, bench, port, payload) in all_in_udp() {
        // Of the header, of what is inside at least, and whose that is.
        let (header, least, tunnel) = match name.split(' ').next() {
            Some("FOU") => (0, 20, if is_ipv6 { "n6" } else { "t0" }),
            Some("GUE") => (4, 20, if is_ipv6 { "n6" } else { "a4" }),
            _ => (8, 14, "e0"),
        };
        let up_to = |range: core::ops::Range<usize>| {
            range.map(|len| in_udp(is_ipv6, port, &payload[..len])).collect::<Vec<_>>()
        };
        let inside = format!("tunnels.{tunnel}.rx_length_err");
        run_all([
            all_end(
                &format!("A.8 {name}, its header cut"),
                bench.clone(),
                "dataplane.tun.shim_short",
                up_to(0..header),
            ),
            all_end(
                &format!("A.2 {name}, nothing whole inside"),
                bench,
                &inside,
                up_to(header..header + least),
            ),
        ]);
    }
}

#[test]
fn gue_flags_variants_and_options_that_nobody_knows_are_refused_one_by_one() {
    let inner = udp4(R, H, 84).bytes();
    let with = |header: &[u8]| in_udp(false, GUE_PORT, &[header, &inner].concat());
    let flags = (0..16).map(|bit| {
        let [high, low] = (1_u16 << bit).to_be_bytes();
        with(&[0, 4, high, low])
    });
    // Linux's own: P, by which a word of private flags follows, and remote checksum offload among those.
    let private = [
        with(&[1, 4, 0, 1, 0, 0, 0, 0]),
        with(&[2, 4, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 6]),
        with(&[1, 4, 0, 1, 0x80, 0, 0, 0]),
        with(&[1, 4, 0, 1, 0, 0, 0, 1]),
    ];
    let versions = [0x50, 0x70, 0x80, 0xbf, 0xc0, 0xff].map(|first| with(&[first, 4, 0, 0]));
    let control = [0x20, 0x21].map(|first| with(&[first, 4, 0, 0, 0, 0, 0, 0]));
    let denied = (0..=255)
        .filter(|carried| ![4, 41, 47, 137].contains(carried))
        .map(|carried| with(&[0, carried, 0, 0]));
    // What the header says is there, but for the last byte.
    let cut = (1..=31_usize).flat_map(|words| {
        let header = [u8::try_from(words).unwrap(), 4, 0, 0];
        let bytes = [&header[..], &[0; 4 * 31]].concat();
        [0, 4 * words - 1].map(|len| in_udp(false, GUE_PORT, &bytes[..4 + len]))
    });
    let options = (1..=31_usize).map(|words| {
        let header = [u8::try_from(words).unwrap(), 4, 0, 0];
        with(&[&header[..], &vec![0xff; 4 * words]].concat())
    });
    let taken =
        options.fold(Case::new("A.9 words that no flag speaks of", gue()), |case, frame| {
            case.input("u", frame)
                .expect("l", to_host(udp4(R, H, 84).ttl(63)))
                .tunnel_accepts("a4", 84)
        });
    run_all([
        all_end("C-149(a) each flag", gue(), "dataplane.gue.bad_flags", flags),
        all_end("C-149(a) private flags", gue(), "dataplane.gue.bad_flags", private),
        all_end("C-149(a) variants", gue(), "dataplane.gue.bad_version", versions),
        all_end("C-149(a) control", gue(), "dataplane.gue.control", control),
        all_end("A.9 other protocols", gue(), "dataplane.gue.proto_denied", denied),
        all_end("C-149(a) options cut", gue(), "dataplane.tun.shim_short", cut),
        taken,
    ]);
}

#[test]
fn each_reserved_bit_of_vxlan_is_passed_over_and_counted_or_refused() {
    // All but the flag I and the network.
    let reserved = [(0, 0xf7), (1, 0xff), (2, 0xff), (3, 0xff), (7, 0xff)];
    let frames = || {
        flipped(&VXLAN, &reserved)
            .map(|header| in_udp(false, VXLAN_PORT, &[&header[..], &arp()].concat()))
    };
    assert_eq!(frames().count(), 64 - 1 - 24);
    let strict = vxlan().set("tunnels.e0.strict-reserved", "yes");
    let without_i = (0..=255_u8).filter(|flags| flags & 8 == 0).map(|flags| {
        in_udp(false, VXLAN_PORT, &[&[flags, 0, 0, 0, 0, 0, 42, 0], &arp()[..]].concat())
    });
    run_all([
        all_come("C-152 each reserved bit", vxlan(), &arp(), frames())
            .counter("dataplane.vxlan.reserved_nonzero", 39),
        all_end("C-152 each, strictly", strict, "dataplane.vxlan.bad_reserved", frames()),
        all_end("C-152 flags without I", vxlan(), "dataplane.vxlan.no_i_flag", without_i),
    ]);
}

#[test]
fn each_reserved_bit_of_geneve_is_passed_over_and_lengths_that_lie_are_found() {
    let with = |header: &[u8]| in_udp(false, GENEVE_PORT, &[header, &arp()].concat());
    let reserved = flipped(&GENEVE, &[(1, 0x3f), (7, 0xff)]).map(|header| with(&header));
    let options =
        |words: u8, flags: u8, options: &[u8]| [&[words, flags], &GENEVE[2..], options].concat();
    // An option of one word more, its three reserved bits in front of its length.
    let option = |last: u8| [0xff, 0xff, 5, last, 1, 2, 3, 4];
    let in_options = (0..8)
        .flat_map(|bits| [0, 0x40].map(|flags| with(&options(2, flags, &option(bits << 5 | 1)))));
    let versions = (1..=255_u8).filter(|first| first >> 6 != 0);
    let versions = versions.map(|first| with(&changed(GENEVE.to_vec(), 0, first)));
    let control = (0x80..=255).map(|flags| with(&changed(GENEVE.to_vec(), 1, flags)));
    let cut = (1..=63_usize).flat_map(|words| {
        let header = options(u8::try_from(words).unwrap(), 0, &[0; 4 * 63]);
        [0, 1, 4 * words - 1].map(|len| in_udp(false, GENEVE_PORT, &header[..8 + len]))
    });
    let too_long = (2..32).map(|words| with(&options(2, 0x40, &option(words))));
    let too_short = with(&options(3, 0x40, &[&option(0)[..], &[0, 0, 5, 2]].concat()));
    let critical = (0..8).map(|bits| {
        let option = changed(option(bits << 5 | 1).to_vec(), 2, 0x85);
        with(&options(2, 0x40, &option))
    });
    run_all([
        all_come("C-150(a) each reserved bit", geneve(), &arp(), reserved),
        all_come("C-150(a) reserved bits of options", geneve(), &arp(), in_options),
        all_end("C-150(a) versions", geneve(), "dataplane.gnv.bad_version", versions),
        all_end("C-150(a) control", geneve(), "dataplane.gnv.oam", control),
        all_end("A.10 options cut", geneve(), "dataplane.tun.shim_short", cut),
        all_end("C-150(b) past the end", geneve(), "dataplane.gnv.bad_opts", too_long),
        all_end("C-150(b) the last", geneve(), "dataplane.gnv.bad_opts", [too_short]),
        all_end("C-150(a) critical ones", geneve(), "dataplane.gnv.critical", critical),
    ]);
    let inner = udp4(R, H, 84).bytes();
    let in_network = |len| [&[0, 0, 8, 0, 0, 0, 7, 0], &inner[..len]].concat();
    let cut = (0..20).map(|len| in_udp(false, GENEVE_PORT, &in_network(len)));
    run_all([all_end("A.10 a packet cut", routed(), "tunnels.v0.rx_length_err", cut)]);
}

/// What stands in front of a stack of labels, and the stack.
type Wrap = fn(&[u8]) -> Vec<u8>;

#[test]
fn labels_that_are_cut_are_short_and_stacks_without_an_end_are_bad() {
    let gre = Bench::bare()
        .tunnel("g0", "gre", "198.51.100.1", "203.0.113.2")
        .set("tunnels.g0.labels", "{ 100: { pop: ip } }");
    let fou = mplsip().set("tunnels.m0.encap", "{ type: fou, dport: 6635 }");
    let endless = entry(100, 0, 0, 64).repeat(17);
    // Bytes of the stack, all that there is.
    let of = |wrap: Wrap, range: core::ops::Range<usize>| {
        range.map(|len| wrap(&endless[..len])).collect::<Vec<_>>()
    };
    let kinds: [(&str, Bench, Wrap); 4] = [
        ("IPv4", mplsip(), |stack| outer(false, MPLS, stack)),
        ("IPv6", over6(mplsip()), |stack| outer(true, MPLS, stack)),
        ("GRE", gre, |stack| outer(false, GRE, [&[0, 0, 0x88, 0x47], stack].concat())),
        ("FOU", fou, |stack| in_udp(false, 6635, stack)),
    ];
    for (name, bench, wrap) in kinds {
        run_all([
            all_end(
                &format!("C-032 in {name}"),
                bench.clone(),
                "dataplane.tun.shim_short",
                of(wrap, 0..4),
            ),
            all_end(
                &format!("C-148 no end, in {name}"),
                bench,
                "dataplane.mpls.bad_label",
                of(wrap, 4..68),
            ),
        ]);
    }
    let labelled = |label| outer(false, MPLS, behind(&[entry(label, 0, 1, 64)], arp()));
    let special = [1].into_iter().chain(3..=6).chain(8..=12).chain([14]).map(labelled);
    // Those that mean something elsewhere, and that nobody gave here.
    let unknown = [7, 13, 15].map(labelled);
    let classes =
        (0..8).map(|class| outer(false, MPLS, behind(&[entry(100, class, 1, 64)], udp4(R, H, 84))));
    let classes = classes.fold(Case::new("A.5 each class", mplsip()), |case, frame| {
        case.input("u", frame).expect("l", to_host(udp4(R, H, 84).ttl(63))).tunnel_accepts("m0", 84)
    });
    run_all([
        all_end("C-148 special labels", mplsip(), "dataplane.mpls.bad_label", special),
        all_end("C-148 others", mplsip(), "dataplane.mpls.no_label", unknown),
        classes,
    ]);
}

#[test]
fn each_bit_of_erspan_that_says_nothing_here_is_passed_over_and_the_others_are_judged() {
    let right = two(0, 0, 0, &arp());
    let third = three(0, 0, 0, LAST, &arp());
    // From byte 8 on: VLAN, class, encapsulation, cut; then what is reserved, and the index.
    let ignored =
        [(8, 0x0f), (9, 0xff), (10, 0xfc), (12, 0xff), (13, 0xff), (14, 0xff), (15, 0xff)];
    // Behind the time stamp: SGT; P, the hardware; the hardware, D, the granularity.
    let ignored3 = [
        (8, 0x0f),
        (9, 0xff),
        (10, 0xfc),
        (12, 0xff),
        (15, 0xff),
        (16, 0xff),
        (17, 0xff),
        (18, 0x83),
        (19, 0xfe),
    ];
    let six = flipped(&right, &ignored).map(|payload| outer(true, GRE, payload));
    let versions = |payload: &[u8], own: u8| {
        let payload = payload.to_vec();
        let others = (0..16).filter(move |version| *version != own);
        others.map(move |version| outer(false, GRE, changed(payload.clone(), 8, version << 4)))
    };
    let types = (1..32_u8).map(|kind| outer(false, GRE, changed(third.clone(), 18, kind << 2)));
    // Of GRE: the reserved bits 1, 4 and 5, then 6 to 12, then the version.
    let flagged = |high: u8, low: u8| {
        [&right, &third].map(|payload| {
            outer(false, GRE, changed(changed(payload.clone(), 0, 0x10 | high), 1, low))
        })
    };
    let bad_flags = [0x40, 8, 4].into_iter().flat_map(|high| flagged(high, 0));
    let passed = [(2, 0), (1, 0), (0, 0x80), (0, 0x40), (0, 0x20), (0, 0x10), (0, 8)];
    let passed = passed.into_iter().flat_map(|(high, low)| flagged(high, low));
    let of_gre = (1..8).flat_map(|version| flagged(0, version));
    let all = |frames: Vec<Vec<u8>>| frames.into_iter().map(|payload| outer(false, GRE, payload));
    run_all([
        all_come("A.12 type II", sink(TWO), &arp(), all(flipped(&right, &ignored).collect())),
        all_come("A.12 type II over IPv6", sink6(TWO), &arp(), six),
        all_come("A.12 type III", sink(TWO), &arp(), all(flipped(&third, &ignored3).collect())),
        all_end(
            "C-155 versions of II",
            sink(TWO),
            "dataplane.erspan.bad_version",
            versions(&right, 1),
        ),
        all_end(
            "C-155 versions of III",
            sink(TWO),
            "dataplane.erspan.bad_version",
            versions(&third, 2),
        ),
        all_end("C-155 frame types", sink(TWO), "dataplane.erspan.bad_ft", types),
        all_end("A.6 bits of GRE", sink(TWO), "dataplane.gre.bad_flags", bad_flags),
        all_end("A.6 versions of GRE", sink(TWO), "dataplane.gre.bad_version", of_gre),
        all_come("A.6 bits 6 to 12 of GRE", sink(TWO), &arp(), passed),
    ]);
}

#[test]
fn an_inner_packet_that_claims_more_than_there_is_is_cut_off_in_every_kind() {
    // One byte more than is inside, in UDP of the right length.
    let lying = poked(udp4(R, H, 84), 3, 85);
    let in_gue = behind(&[vec![0, 4, 0, 0]], lying.clone());
    let in_geneve = behind(&[vec![0, 0, 8, 0, 0, 0, 7, 0]], lying.clone());
    let in_labels = behind(&[entry(100, 0, 1, 64)], lying.clone());
    let case = |name: &str, bench, tunnel: &str, frame| {
        all_end(name, bench, &format!("tunnels.{tunnel}.rx_inner_truncated"), [frame])
    };
    run_all([
        case("C-024(e) FOU", fou(), "t0", in_udp(false, FOU_PORT, &lying)),
        case("C-024(e) FOU over IPv6", fou6(), "n6", in_udp(true, FOU_PORT, &lying)),
        case("C-024(e) GUE", gue(), "a4", in_udp(false, GUE_PORT, &in_gue)),
        case("C-024(e) GUE, variant 1", gue(), "a4", in_udp(false, GUE_PORT, &lying)),
        case("C-024(e) GENEVE", routed(), "v0", in_udp(false, GENEVE_PORT, &in_geneve)),
        case("C-024(e) MPLS", mplsip(), "m0", outer(false, MPLS, in_labels)),
    ]);
}
