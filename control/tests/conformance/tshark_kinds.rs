//! What we send in the kinds that carry frames, labels and mirrored frames, and to many peers, as tshark reads it: every
//! header by name, the fields that say whose it is, and no complaint.

use std::net::Ipv6Addr;

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::frames::{from_host, udp4, udp6};
use crate::gretap::{IPV4, attached, frame, tagged};
use crate::run::Replay;
use crate::tshark::{assert_no_complaint, far, read};
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
    // IEEE 802 local experimental EtherType 1.
    const EXPERIMENTAL: u16 = 0x88b5;
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
    let keyed = ip6gretap.clone().set("tunnels.e0.key", "7");
    reads("ip6gretap", ip6gretap, plain(), &[], &format!("ipv6:gre:{FRAME}"));
    reads("ip6gretap with a key", keyed, plain(), &key, &format!("ipv6:gre:{FRAME}"));

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
    let (six, fields) = session(erspan::source6(erspan::THREE));
    reads("ip6erspan III", six, plain(), &fields, &format!("ipv6:gre:erspan:{FRAME}"));
    let one = erspan::source(erspan::ONE);
    reads("erspan I", one, plain(), &[("gre.proto", "0x88be")], &format!("ip:gre:erspan:{FRAME}"));
    // A frame that does not say how long it is, and loses its end.
    let cut = ("a", frame(EXPERIMENTAL, [5; 1500]));
    let (two, _) = session(erspan::source(erspan::TWO));
    let bit = [("erspan.truncated", "1"), ("ip.len", "1500")];
    reads("truncated", two, cut, &bit, "ip:gre:erspan:eth:ethertype:data");
}

#[test]
fn packets_in_udp_are_read_in_every_mode_and_in_geneve() {
    let (four, six) = (|| ("l", from_host(udp4(H, R, 84))), || ("l", from_host(udp6(H6, R6, 100))));
    let fou = |bench: Bench, name: &str, port: u16| {
        let encap = format!("{{ type: fou, dport: {port} }}");
        bench.set(&format!("tunnels.{name}.encap"), &encap)
    };
    let read_by = |destination: &'static str| [("udp.dstport", destination)];
    let ipip = fou(Bench::ipip(), "t0", 5004);
    reads("fou ipip", ipip, four(), &read_by("5004,40001"), "ip:udp:ip:udp:data");
    let sit = fou(Bench::sit(), "s0", 5041);
    reads("fou sit", sit, six(), &read_by("5041,40001"), "ip:udp:ipv6:udp:data");
    let ipip6 = fou(Bench::ipip6(), "n6", 5004);
    reads("fou ipip6", ipip6, four(), &read_by("5004,40001"), "ipv6:udp:ip:udp:data");
    let six_in_six = fou(Bench::ip6ip6(), "n6", 5041);
    reads("fou ip6ip6", six_in_six, six(), &read_by("5041,40001"), "ipv6:udp:ipv6:udp:data");
    let vni = [("geneve.vni", "0x000007"), ("geneve.proto_type", "0x0800")];
    reads("geneve", overlay::routed(), four(), &vni, "ip:udp:geneve:ip:udp:data");
    let vni = [("geneve.vni", "0x000007"), ("geneve.proto_type", "0x86dd")];
    reads("geneve, IPv6", overlay::routed(), six(), &vni, "ip:udp:geneve:ipv6:udp:data");
}

#[test]
fn labels_and_packets_to_many_peers_are_read() {
    let four = || ("l", from_host(udp4(H, R, 84)));
    let stack = [("mpls.label", "500,600"), ("mpls.bottom", "0,1"), ("mpls.ttl", "255,255")];
    let pushing = || mpls::pushing("[500, 600]");
    reads("mplsip", pushing(), four(), &stack, "ip:mpls:ip:udp:data");
    let fou = pushing().set("tunnels.m0.encap", "{ type: fou, dport: 6635 }");
    reads("mplsip in fou", fou, four(), &stack, "ip:udp:mpls:ip:udp:data");
    let gue = pushing().set("tunnels.m0.encap", "{ type: gue }");
    reads("mplsip in gue", gue, four(), &stack, "ip:udp:gue:mpls:ip:udp:data");
    let six = mpls::over6(pushing());
    reads("mplsip6", six, four(), &stack, "ipv6:mpls:ip:udp:data");
    let push = ("push", "[500, 600]");
    reads("gre", far("gre", &[push]), four(), &stack, "ip:gre:mpls:ip:udp:data");
    let keyed = far("ip6gre", &[("key", "7"), push]);
    reads("ip6gre", keyed, four(), &stack, "ipv6:gre:mpls:ip:udp:data");
    let to = |to| ("l", from_host(udp6(H6, to, 100)));
    let ends = [("ip.dst", "203.0.113.2"), ("ipv6.hlim", "63")];
    reads("6rd", six_rd::customer(), to(BEHIND_P), &ends, "ip:ipv6:udp:data");
    let of_x = [("ip.dst", "203.0.113.66"), ("ipv6.hlim", "63")];
    reads("6rd relay", six_rd::relay(), to(six_rd::OF_X), &of_x, "ip:ipv6:udp:data");
    reads("isatap", isatap::link(), to(R6), &ends, "ip:ipv6:udp:data");
    let ends = [("ip.proto", "55"), ("ip.dst", "203.0.113.2"), ("ip.checksum.status", "1")];
    // tshark knows nothing of the header behind this one.
    reads("minimal", minimal::minimal(), four(), &ends, "ip:data");
}
