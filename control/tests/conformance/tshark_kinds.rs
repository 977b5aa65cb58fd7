//! What we send in the kinds that carry frames, labels and mirrored frames, and to many peers, as tshark reads it: every
//! header by name, the fields that say whose it is, and no complaint.

use std::net::Ipv6Addr;

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::frames::{from_host, udp4, udp6};
use crate::gretap::{IPV4, attached, frame, tagged};
use crate::run::Replay;
use crate::tshark::{assert_no_complaint, read};
use crate::{erspan, isatap, minimal, mpls, overlay, remotes, six_rd};

/// In the 6rd domain, behind P.
const BEHIND_P: Ipv6Addr = Ipv6Addr::new(0x3fff, 0xdb8, 0xcb00, 0x7102, 0, 0, 0, 1);

/// One frame goes in; of each that leaves, the names of its headers and the fields are these.
fn reads(
    name: &str,
    bench: Bench,
    (port, input): (&str, Vec<u8>),
    fields: &[(&str, &str)],
    protocols: &str,
) {
    let mut replay = Replay::new(bench);
    replay.input(port, 0, input);
    let outcome = replay.run();
    assert_no_complaint(name, &outcome, "u");
    let (names, expected): (Vec<&str>, Vec<&str>) = fields.iter().copied().unzip();
    let names = [&["frame.protocols"][..], &names].concat();
    let lines = read(&outcome.directory.path().join("out/u.pcap"), &names);
    assert!(!lines.is_empty(), "{name}: nothing was sent");
    for cells in lines {
        assert_eq!(cells[0], format!("eth:ethertype:{protocols}"), "{name}");
        assert_eq!(cells[1..], expected, "{name}");
    }
}

#[test]
fn frames_are_read_in_every_kind_that_carries_them() {
    const FRAME: &str = "eth:ethertype:ip:udp:data";
    let plain = || ("a", frame(IPV4, udp4(H, R, 84)));
    let behind_tag = ("a", tagged(&[[0x81, 0, 0, 7]], IPV4, udp4(H, R, 84)));
    let gretap = attached("gretap", "198.51.100.1", "203.0.113.2").set("tunnels.e0.key", "7");
    let summed = gretap.clone().set("tunnels.e0.checksum", "yes");
    let key = [("gre.key", "0x00000007"), ("gre.proto", "0x6558")];
    reads("gretap", gretap, plain(), &key, &format!("ip:gre:{FRAME}"));
    let sum = [("gre.checksum.status", "1"), ("vlan.id", "7")];
    let tag = "ip:gre:eth:ethertype:vlan:ethertype:ip:udp:data";
    reads("gretap with a tag", summed, behind_tag, &sum, tag);
    let ip6gretap = attached("ip6gretap", r#""2001:db8:100::1""#, r#""2001:db8:200::2""#);
    reads("ip6gretap", ip6gretap, plain(), &[], &format!("ipv6:gre:{FRAME}"));

    // With a checksum, so that it is looked at.
    let summed = |bench: Bench| bench.set("tunnels.e0.udp-checksum", "yes");
    let vni = [("vxlan.vni", "42"), ("vxlan.flags", "0x0800"), ("udp.dstport", "4789,40001")];
    reads("vxlan", summed(overlay::vxlan()), plain(), &vni, &format!("ip:udp:vxlan:{FRAME}"));
    reads("vxlan6", overlay::vxlan6(), plain(), &vni, &format!("ipv6:udp:vxlan:{FRAME}"));
    reads("remotes", summed(remotes::learning()), plain(), &vni, &format!("ip:udp:vxlan:{FRAME}"));
    let vni = [("geneve.vni", "0xabcdef"), ("geneve.proto_type", "0x6558")];
    reads("geneve", overlay::geneve(), plain(), &vni, &format!("ip:udp:geneve:{FRAME}"));
    reads("geneve6", overlay::geneve6(), plain(), &vni, &format!("ipv6:udp:geneve:{FRAME}"));

    let session = |bench| (bench, [("erspan.spanid", "100"), ("gre.sequence_number", "0")]);
    let (two, fields) = session(erspan::source(erspan::TWO));
    reads("erspan II", two, plain(), &fields, &format!("ip:gre:erspan:{FRAME}"));
    let (three, fields) = session(erspan::source(erspan::THREE));
    reads("erspan III", three, plain(), &fields, &format!("ip:gre:erspan:{FRAME}"));
    let (six, fields) = session(erspan::source6(erspan::TWO));
    reads("ip6erspan", six, plain(), &fields, &format!("ipv6:gre:erspan:{FRAME}"));
}

#[test]
fn labels_and_packets_to_many_peers_are_read() {
    let four = || ("l", from_host(udp4(H, R, 84)));
    let stack = [("mpls.label", "500,600"), ("mpls.bottom", "0,1"), ("mpls.ttl", "255,255")];
    reads("mplsip", mpls::pushing("[500, 600]"), four(), &stack, "ip:mpls:ip:udp:data");
    let to = |to| ("l", from_host(udp6(H6, to, 100)));
    let ends = [("ip.dst", "203.0.113.2"), ("ipv6.hlim", "63")];
    reads("6rd", six_rd::customer(), to(BEHIND_P), &ends, "ip:ipv6:udp:data");
    reads("isatap", isatap::link(), to(R6), &ends, "ip:ipv6:udp:data");
    let ends = [("ip.proto", "55"), ("ip.dst", "203.0.113.2"), ("ip.checksum.status", "1")];
    // tshark knows nothing of the header behind this one.
    reads("minimal", minimal::minimal(), four(), &ends, "ip:data");
}
