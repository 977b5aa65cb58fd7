//! An independent reading of what we emit: tshark decodes every frame without complaint, for every mode,
//! with all checksums verified.

use std::path::Path;
use std::process::Command;

use crate::addresses::{H, H6, R, R6};
use crate::bench::Bench;
use crate::frames::{from_gateway, from_host, peer4, peer6, tcp4, udp4, udp6};
use crate::icmp::{echo_request4, echo_request6};
use crate::run::{MILLISECOND, Outcome, Replay};

/// Wireshark's severity "warning"; "error" is above it, "note" and "chat" below.
const WARNING: u64 = 0x0060_0000;

/// What UDP ports carry that tshark can't know: FOU of each protocol, and GUE beside its own port.
const CARRIED: [(u16, &str); 4] = [(5004, "ip"), (5041, "ipv6"), (5047, "gre"), (7777, "gue")];

/// One line a frame, one cell a field, several values of a field separated by commas.
pub(crate) fn read(capture: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    read_with(capture, &[], fields)
}

/// As `read`, but of several values only the last, that of the innermost header.
pub(crate) fn read_innermost(capture: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    read_with(capture, &["-E", "occurrence=l"], fields)
}

fn read_with(capture: &Path, options: &[&str], fields: &[&str]) -> Vec<Vec<String>> {
    const GUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/gue.lua");
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-n", "-T", "fields", "-E", "separator=|"]);
    command.args(options).arg("-X").arg(format!("lua_script:{GUE}"));
    for (port, carried) in CARRIED {
        command.args(["-d", &format!("udp.port=={port},{carried}")]);
    }
    for check in ["ip", "udp", "tcp"] {
        command.args(["-o", &format!("{check}.check_checksum:TRUE")]);
    }
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs: it is in the package of that name");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

/// Fails on anything tshark calls malformed, on a warning, and on a checksum that is not good.
pub(crate) fn assert_no_complaint(name: &str, outcome: &Outcome, port: &str) {
    let path = outcome.directory.path().join(format!("out/{port}.pcap"));
    let fields = [
        "_ws.malformed",
        "_ws.expert.severity",
        "_ws.expert.message",
        "ip.checksum.status",
        "udp.checksum.status",
        "tcp.checksum.status",
        "icmp.checksum.status",
        "icmpv6.checksum.status",
        "_ws.short",
    ];
    for (at, cells) in read(&path, &fields).iter().enumerate() {
        let what = format!("{name}: tshark on frame {at} of {port}: {cells:?}");
        assert!(cells[0].is_empty() && cells[8].is_empty(), "{what}");
        let severities = cells[1].split(',').filter(|cell| !cell.is_empty());
        assert!(
            severities.map(|one| one.parse::<u64>().unwrap()).all(|one| one < WARNING),
            "{what}"
        );
        // 1 is good; 2 is unverified, as in the quote of an error and in a fragment.
        for status in &cells[3..8] {
            assert!(status.split(',').all(|one| ["", "1", "2"].contains(&one)), "{what}");
        }
        assert!(cells[3].split(',').all(|one| one.is_empty() || one == "1"), "{what}");
    }
}

/// Traffic both ways: UDP, TCP, echo to ourselves, a packet that expires, one that is too big.
fn traffic(bench: Bench, four: bool, six: bool, over6: bool) -> Replay {
    let mut replay = Replay::new(bench);
    let mut clock = 0;
    let mut input = |port: &str, frame: Vec<u8>| {
        clock += MILLISECOND;
        replay.input(port, clock, frame);
    };
    let peer = |protocol: u8, inner: Vec<u8>| {
        if over6 {
            from_gateway(peer6(protocol, inner))
        } else {
            from_gateway(peer4(protocol, inner))
        }
    };
    if four {
        input("l", from_host(udp4(H, R, 84)));
        input("l", from_host(tcp4(H, R, 1000).tos(0xb9)));
        input("l", from_host(udp4(H, R, 84).ttl(1)));
        input("l", from_host(udp4(H, R, 1500)));
        input("l", from_host(udp4(H, R, 1500).dont_fragment(false)));
        input("l", from_host(echo_request4(H, crate::addresses::L, 84)));
        input("u", peer(4, udp4(R, H, 84).bytes()));
        input("u", peer(4, echo_request4(R, crate::addresses::T, 84).bytes()));
        input("u", peer(4, udp4(R, H, 84).ttl(1).bytes()));
    }
    if six {
        input("l", from_host(udp6(H6, R6, 100)));
        input("l", from_host(udp6(H6, R6, 100).hop_limit(1)));
        input("l", from_host(udp6(H6, R6, 1500)));
        input("l", from_host(echo_request6(H6, crate::addresses::L6, 100)));
        input("u", peer(41, udp6(R6, H6, 100).bytes()));
        input("u", peer(41, echo_request6(R6, crate::addresses::T6, 100).bytes()));
        input("u", peer(41, udp6(R6, H6, 100).hop_limit(1).bytes()));
    }
    replay
}

#[test]
fn tshark_finds_nothing_to_complain_about_in_any_mode() {
    let modes = [
        ("ipip", Bench::ipip(), true, false, false),
        ("sit", Bench::sit(), false, true, false),
        ("any over IPv4", Bench::any4(), true, true, false),
        ("ipip6", Bench::ipip6(), true, false, true),
        ("ip6ip6", Bench::ip6ip6(), false, true, true),
        ("any over IPv6", Bench::any6(), true, true, true),
        ("limit", Bench::any6().set("tunnels.n6.encap-limit", "4"), true, true, true),
    ];
    for (name, bench, four, six, over6) in modes {
        let outcome = traffic(bench, four, six, over6).run();
        let expected = if four { 4 } else { 0 } + if six { 2 } else { 0 };
        assert!(outcome.frames("u").len() > expected, "{name} sends on U");
        assert!(outcome.frames("l").len() >= expected, "{name} sends on L");
        assert_no_complaint(name, &outcome, "u");
        assert_no_complaint(name, &outcome, "l");
    }
}

/// `bare` with both families through `far` of this mode, whose keys these are.
pub(crate) fn far(mode: &str, keys: &[(&str, &str)]) -> Bench {
    let over6 = mode == "ip6gre" || mode == "any";
    let (local, remote) = if over6 {
        (r#""2001:db8:100::1""#, r#""2001:db8:200::2""#)
    } else {
        ("198.51.100.1", "203.0.113.2")
    };
    let bench = Bench::bare()
        .tunnel("far", mode, local, remote)
        .set("tunnels.far.addresses", r#"[192.168.50.1/30, "2001:db8:50::1/64"]"#)
        .set("tunnels.far.routes", r#"[10.2.0.0/16, "2001:db8:2::/48"]"#);
    let set =
        |bench: Bench, (key, value): &(&str, &str)| bench.set(&format!("tunnels.far.{key}"), value);
    keys.iter().fold(bench, set)
}

const ALL_OF_GRE: [(&str, &str); 3] = [("key", "7"), ("checksum", "yes"), ("sequence", "yes")];
const FOU: (&str, &str) = ("encap", "{ type: fou, dport: 5047 }");
const GUE: (&str, &str) = ("encap", "{ type: gue }");

#[test]
fn tshark_finds_nothing_to_complain_about_in_gre_fou_and_gue() {
    let all_in_gue = [&ALL_OF_GRE[..], &[GUE]].concat();
    let variant = [("payload", "any"), ("encap", "{ type: gue, variant: 1 }")];
    let kinds: [(&str, &[(&str, &str)]); 15] = [
        ("gre", &[]),
        ("gre", &ALL_OF_GRE[..1]),
        ("gre", &ALL_OF_GRE[1..2]),
        ("gre", &ALL_OF_GRE[2..]),
        ("gre", &ALL_OF_GRE),
        ("ip6gre", &ALL_OF_GRE[..1]),
        ("ip6gre", &ALL_OF_GRE[1..2]),
        ("ip6gre", &ALL_OF_GRE[2..]),
        ("gre", &[FOU]),
        ("gre", &all_in_gue),
        ("sit", &[("payload", "any"), GUE]),
        ("sit", &variant),
        ("any", &[GUE]),
        ("ip6gre", &ALL_OF_GRE),
        ("ip6gre", &[FOU]),
    ];
    for (mode, keys) in kinds {
        let name = format!("{mode} {keys:?}");
        let bench = far(mode, keys);
        // Of every packet that is sent both the outer and the inner addresses have to be read, or nothing was decoded.
        let replay = traffic_to(bench);
        let outcome = replay.run();
        assert_no_complaint(&name, &outcome, "u");
        let path = outcome.directory.path().join("out/u.pcap");
        let fields = ["udp.dstport", "ip.dst", "ipv6.dst", "gre.checksum.status"];
        let lines = read_innermost(&path, &fields);
        assert_eq!(lines.len(), 5, "{name}");
        for cells in lines {
            let inside = [H, R].map(|address| address.to_string()).contains(&cells[1])
                || [H6, R6].map(|address| address.to_string()).contains(&cells[2]);
            assert!(inside, "{name}: {cells:?}");
            let summed = if keys.contains(&("checksum", "yes")) { "1" } else { "" };
            assert_eq!(cells[3], summed, "{name}: GRE checksum");
        }
    }
}

/// UDP and TCP of both families, of odd and even length, into a tunnel.
fn traffic_to(bench: Bench) -> Replay {
    let mut replay = Replay::new(bench);
    let frames = [
        from_host(udp4(H, R, 84)),
        from_host(udp4(H, R, 85)),
        from_host(tcp4(H, R, 1000).tos(0xb9)),
        from_host(udp6(H6, R6, 100)),
        from_host(udp6(H6, R6, 101)),
    ];
    for (at, frame) in (1..).zip(frames) {
        replay.input("l", at * MILLISECOND, frame);
    }
    replay
}

#[test]
fn tshark_reads_every_field_of_gre_fou_and_gue() {
    let four = || from_host(udp4(H, R, 84));
    let fields = ["frame.protocols", "gre.flags_and_version", "gre.key", "gre.sequence_number"];
    let cells = reads(far("gre", &ALL_OF_GRE), four(), &fields);
    assert_eq!(cells, ["eth:ethertype:ip:gre:ip:udp:data", "0xb000", "0x00000007", "0"]);
    let fields = ["frame.protocols", "udp.length", "gre.proto", "udp.checksum.status"];
    let cells = reads(far("gre", &[FOU]), four(), &fields);
    assert_eq!(cells, ["eth:ethertype:ip:udp:gre:ip:udp:data", "96,64", "0x0800", "1,1"]);
    let fields = ["frame.protocols", "gue.variant", "gue.hlen", "gue.proto", "gue.flags"];
    let cells = reads(far("any", &[GUE]), four(), &fields);
    assert_eq!(cells, ["eth:ethertype:ipv6:udp:gue:ip:udp:data", "0", "0", "4", "0x0000"]);
}

/// The fields of the single frame that `bench` makes of `frame`.
fn reads(bench: Bench, frame: Vec<u8>, fields: &[&str]) -> Vec<String> {
    let mut replay = Replay::new(bench);
    replay.input("l", 0, frame);
    let outcome = replay.run();
    let mut lines = read(&outcome.directory.path().join("out/u.pcap"), fields);
    assert_eq!(lines.len(), 1, "one frame");
    lines.remove(0)
}

#[test]
fn tshark_reads_the_outer_and_the_inner_header_of_every_mode() {
    let four = from_host(udp4(H, R, 84));
    let six = from_host(udp6(H6, R6, 100));
    let fields =
        ["frame.protocols", "ip.proto", "ip.src", "ip.dst", "ip.len", "ip.ttl", "ip.flags.df"];
    let cells = reads(Bench::ipip(), four.clone(), &fields);
    assert_eq!(
        cells,
        [
            "eth:ethertype:ip:ip:udp:data",
            "4,17",
            "198.51.100.1,10.1.0.5",
            "203.0.113.2,10.2.0.8",
            "104,84",
            "64,63",
            "1,1"
        ]
    );
    let fields = ["frame.protocols", "ip.proto", "ipv6.src", "ipv6.hlim", "ipv6.plen"];
    let cells = reads(Bench::sit(), six.clone(), &fields);
    assert_eq!(cells, ["eth:ethertype:ip:ipv6:udp:data", "41", "2001:db8:1::5", "63", "60"]);
    let fields = ["frame.protocols", "ipv6.nxt", "ipv6.dst", "ip.dst", "ip.ttl", "ipv6.plen"];
    let cells = reads(Bench::ipip6(), four, &fields);
    let dst = "2001:db8:200::2";
    assert_eq!(cells, ["eth:ethertype:ipv6:ip:udp:data", "4", dst, "10.2.0.8", "63", "84"]);
    let fields = ["frame.protocols", "ipv6.nxt", "ipv6.dst", "ipv6.hlim"];
    let cells = reads(Bench::ip6ip6(), six.clone(), &fields);
    let both = "2001:db8:200::2,2001:db8:2::8";
    assert_eq!(cells, ["eth:ethertype:ipv6:ipv6:udp:data", "41,17", both, "64,63"]);
    let fields = ["ipv6.nxt", "ipv6.opt.tel", "ipv6.dstopts.nxt"];
    let bench = Bench::any6().set("tunnels.n6.encap-limit", "4");
    assert_eq!(reads(bench, six, &fields), ["60,17", "4", "41"]);
}
