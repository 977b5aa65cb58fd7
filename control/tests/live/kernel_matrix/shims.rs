//! What stands between the two IP headers, with the kernel's own at the far end: GRE with all its fields, FOU, GUE and
//! GENEVE without frames, over IPv4 and IPv6. Sizes around the MTU, congestion marked on the way, and source ports of flows.
//!
//! `ADIT_KEEP_CAPTURES=FOLDER` keeps what the kernel sent, one file a kind: `control/tests/captures/linux` are such.

use std::collections::BTreeSet;
use std::path::Path;

use tempfile::TempDir;

use super::frames::{self, Frame};
use super::rows::{Captured, DIRECTIONS, Direction, Matrix, PROBE, Probe, Row, Seen, Wires};
use super::{Ends, GENEVE_SPARE_LEN, IP6IP6, IPIP, IPIP6, LINK_MTU, Mode, SIT};
use crate::capture;
use crate::network::Namespace;
use crate::sites::{HOST1, HOST1_V6, HOST2, HOST2_V6, Network};
use crate::turn;

/// DSCP 10 and ECT(0): the guest marks congestion on these outer packets, and on no others.
const ECT: u8 = 10 << 2 | 2;
const CE: u8 = ECT | 3;

/// Flows that are sent to see their source ports, and how many of those have to differ: chance may give two the same.
const FLOWS: usize = 16;
const PORTS_MIN: usize = 12;
/// The datagrams of a kind go to this port and its number.
const FIRST_PORT: u16 = 10_000;
const DYNAMIC_PORTS: u16 = 49_152;

/// One combination of what both ends write.
#[derive(Clone, Copy)]
struct Kind {
    /// Its file among the captures.
    capture: &'static str,
    /// As adit has it; `inner_v6` says nothing here.
    mode: Mode,
    /// What Linux has between the headers.
    linux_len: u16,
}

impl Kind {
    const fn new(
        base: Mode,
        capture: &'static str,
        name: &'static str,
        link: &'static str,
    ) -> Self {
        Self { capture, mode: Mode { name, link, ..base }, linux_len: 0 }
    }

    const fn len(self, shim_len: u16) -> Self {
        self.lens(shim_len, shim_len)
    }

    /// Where the ends differ: adit's, and Linux's.
    const fn lens(self, shim_len: u16, linux_len: u16) -> Self {
        Self { mode: Mode { shim_len, ..self.mode }, linux_len, ..self }
    }

    /// The modes of the matrix that it makes: one for each family inside.
    fn modes(self) -> Vec<Mode> {
        let tunnel = self.mode.tunnel("");
        let families = [(tunnel.carries_v4(), false), (tunnel.carries_v6(), true)];
        let carried = families.into_iter().filter(|family| family.0);
        carried.map(|(_, inner_v6)| Mode { inner_v6, ..self.mode }).collect()
    }

    fn is_in_udp(self) -> bool {
        self.mode.name.contains("encap:") || self.mode.is_geneve()
    }

    /// Bytes that the sender counts in front of the inner packet.
    fn overhead(self, direction: Direction) -> u16 {
        match direction {
            Direction::ToLinux => self.mode.overhead(),
            Direction::FromLinux => {
                let spare_len = if self.mode.is_geneve() { GENEVE_SPARE_LEN } else { 0 };
                self.mode.overhead() - self.mode.shim_len + self.linux_len + spare_len
            }
        }
    }

    fn shim_len(self, direction: Direction) -> u16 {
        match direction {
            Direction::ToLinux => self.mode.shim_len,
            Direction::FromLinux => self.linux_len,
        }
    }
}

/// GRE over IPv4 and IPv6. Where the ends differ (semantics A.6): Linux takes a packet only if it has a checksum when
/// `icsum` says so, and no other; adit takes both. Linux insists on a sequence number where `iseq` is set, adit only with
/// `require-sequence`.
#[rustfmt::skip]
const GRE: [Kind; 19] = [
    Kind::new(IPIP, "gre", "gre", "type gre").len(4),
    Kind::new(IPIP, "gre-key", "gre, key: 7", "type gre key 7").len(8),
    Kind::new(IPIP, "gre-key-0", "gre, key: 0", "type gre key 0").len(8),
    Kind::new(IPIP, "gre-keys", "gre, keys: { input: 0.0.0.2, output: 3 }",
              "type gre ikey 3 okey 0.0.0.2").len(8),
    Kind::new(IPIP, "gre-csum", "gre, checksum: yes, require-checksum: yes",
              "type gre csum").len(8),
    Kind::new(IPIP, "gre-seq", "gre, sequence: yes, receive-sequence: drop-old, require-sequence: yes",
              "type gre seq").len(8),
    Kind::new(IPIP, "gre-all", "gre, key: 4294967295, checksum: yes, require-checksum: yes, \
              sequence: yes, receive-sequence: drop-old, require-sequence: yes",
              "type gre key 4294967295 csum seq").len(16),
    Kind::new(IPIP, "gre-icsum-oseq", "gre, checksum: yes, receive-sequence: drop-old",
              "type gre icsum oseq").len(8),
    Kind::new(IPIP, "gre-ocsum-iseq", "gre, sequence: yes", "type gre ocsum iseq").len(8),
    Kind::new(IPIP, "gre-ocsum-oseq", "gre", "type gre ocsum oseq").lens(4, 12),
    Kind::new(IPIP, "gre-icsum-iseq", "gre, checksum: yes, sequence: yes",
              "type gre icsum iseq").lens(12, 4),
    Kind::new(IPIP6, "ip6gre", "ip6gre", "type ip6gre").len(4),
    Kind::new(IPIP6, "ip6gre-key", "ip6gre, key: 7", "type ip6gre key 7").len(8),
    Kind::new(IPIP6, "ip6gre-keys", "ip6gre, keys: { input: 2, output: 3 }",
              "type ip6gre ikey 3 okey 2").len(8),
    Kind::new(IPIP6, "ip6gre-csum", "ip6gre, checksum: yes, require-checksum: yes",
              "type ip6gre csum").len(8),
    Kind::new(IPIP6, "ip6gre-seq", "ip6gre, sequence: yes, receive-sequence: drop-old, \
              require-sequence: yes", "type ip6gre seq").len(8),
    Kind::new(IPIP6, "ip6gre-all", "ip6gre, key: 7, checksum: yes, require-checksum: yes, \
              sequence: yes, receive-sequence: drop-old, require-sequence: yes",
              "type ip6gre key 7 csum seq").len(16),
    Kind::new(IPIP6, "ip6gre-ocsum-oseq", "ip6gre", "type ip6gre ocsum oseq").lens(4, 12),
    Kind::new(IPIP6, "ip6gre-limit", "ip6gre, encap-limit: 4", "type ip6gre").len(12),
];

/// FOU, GUE and GENEVE. Linux computes no UDP checksum over IPv4 unless told, and over IPv6 of FOU and GUE is told here.
#[rustfmt::skip]
const UDP: [Kind; 20] = [
    Kind::new(IPIP, "fou-ipip", "ipip, encap: { type: fou, dport: 5004 }",
              "type ipip encap fou encap-sport auto encap-dport 5004").len(8),
    Kind::new(SIT, "fou-sit", "sit, encap: { type: fou, dport: 5041 }",
              "type sit encap fou encap-sport auto encap-dport 5041 encap-csum").len(8),
    Kind::new(IPIP, "fou-gre", "gre, encap: { type: fou, dport: 5047, checksum: no }",
              "type gre encap fou encap-sport auto encap-dport 5047").len(12),
    Kind::new(IPIP, "fou-gre-key", "gre, key: 7, encap: { type: fou, dport: 5047 }",
              "type gre key 7 encap fou encap-sport auto encap-dport 5047 encap-csum").len(16),
    Kind::new(IPIP6, "fou-ipip6", "ipip6, encap: { type: fou, dport: 5004 }",
              "type ip6tnl mode ipip6 encap fou encap-sport auto encap-dport 5004 encap-udp6-csum").len(8),
    Kind::new(IP6IP6, "fou-ip6ip6", "ip6ip6, encap: { type: fou, dport: 5041 }",
              "type ip6tnl mode ip6ip6 encap fou encap-sport auto encap-dport 5041 encap-udp6-csum").len(8),
    Kind::new(IPIP6, "fou-ip6gre", "ip6gre, key: 7, encap: { type: fou, dport: 5047 }",
              "type ip6gre key 7 encap fou encap-sport auto encap-dport 5047 encap-udp6-csum").len(16),
    Kind::new(IPIP, "gue-ipip", "ipip, encap: { type: gue }",
              "type ipip encap gue encap-sport auto encap-dport 6080").len(12),
    Kind::new(SIT, "gue-sit", "sit, encap: { type: gue }",
              "type sit encap gue encap-sport auto encap-dport 6080").len(12),
    Kind::new(IPIP, "gue-any", "sit, payload: any, encap: { type: gue }",
              "type sit mode any encap gue encap-sport auto encap-dport 6080 encap-csum").len(12),
    Kind::new(IPIP, "gue-variant-1", "sit, payload: any, encap: { type: gue, variant: 1 }",
              "type sit mode any encap gue encap-sport auto encap-dport 6080").lens(8, 12),
    Kind::new(IPIP, "gue-gre", "gre, encap: { type: gue, checksum: no }",
              "type gre encap gue encap-sport auto encap-dport 6080").len(16),
    Kind::new(IPIP, "gue-gre-all", "gre, key: 7, checksum: yes, sequence: yes, encap: { type: gue }",
              "type gre key 7 csum seq encap gue encap-sport auto encap-dport 6080").len(28),
    Kind::new(IPIP, "gue-ports", "ipip, encap: { type: gue, port: 7777, sport: 8888 }",
              "type ipip encap gue encap-sport 9999 encap-dport 7777").len(12),
    Kind::new(IPIP6, "gue-ip6tnl", "any, encap: { type: gue }",
              "type ip6tnl mode any encap gue encap-sport auto encap-dport 6080 encap-udp6-csum").len(12),
    Kind::new(IPIP6, "gue-ip6gre", "ip6gre, encap: { type: gue }",
              "type ip6gre encap gue encap-sport auto encap-dport 6080 encap-udp6-csum").len(16),
    Kind::new(IPIP6, "gue-ip6gre-all",
              "ip6gre, key: 7, checksum: yes, sequence: yes, encap: { type: gue }",
              "type ip6gre key 7 csum seq encap gue encap-sport auto encap-dport 6080 encap-udp6-csum")
        .len(28),
    Kind::new(IP6IP6, "fou-ip6ip6-limit", "ip6ip6, encap-limit: 4, encap: { type: fou, dport: 5041 }",
              "type ip6tnl mode ip6ip6 encap fou encap-sport auto encap-dport 5041 encap-udp6-csum").len(16),
    Kind::new(IPIP, "geneve-ip", "geneve, payload: ip, id: 7, udp-checksum: no",
              "type geneve id 7 innerprotoinherit df set").len(16),
    Kind::new(IPIP6, "geneve-ip-v6", "geneve, payload: ip, id: 11259375",
              "type geneve id 11259375 innerprotoinherit").len(16),
];

/// The mode of the kind whose capture has this name.
pub(super) fn mode(capture: &str, inner_v6: bool) -> Mode {
    let kind = GRE.iter().chain(&UDP).find(|kind| kind.capture == capture);
    let mut modes = kind.into_iter().flat_map(|kind| kind.modes());
    modes.find(|mode| mode.inner_v6 == inner_v6).expect("a kind that carries this family")
}

/// Of each kind, the modes that it makes.
pub(super) fn modes() -> impl Iterator<Item = Vec<Mode>> {
    GRE.into_iter().chain(UDP).map(Kind::modes)
}

/// What has to become of a request.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// It is refused with this MTU, else it arrives.
    refused: Option<u16>,
    is_cut: bool,
    /// TOS or traffic class on the underlay, and where it arrives.
    outer: u8,
    arrives: u8,
    shim_len: u16,
}

/// Requests of one family and direction: plain, of an odd length, congestion marked, and as large as can be or larger.
fn probes(kind: Kind, mode: Mode, direction: Direction) -> Vec<(Probe, Fate)> {
    let [mtu, back] = [kind.overhead(Direction::ToLinux), kind.overhead(Direction::FromLinux)]
        .map(|overhead| LINK_MTU - overhead);
    let (mtu, back) = if direction == Direction::ToLinux { (mtu, back) } else { (back, mtu) };
    let shim_len = kind.shim_len(direction);
    let whole = Fate { refused: None, is_cut: false, outer: 0, arrives: 0, shim_len };
    let plain = Probe { direction, ..PROBE };
    // The guest marks in front of its tunnel on the way in, and the capture is on the other side of it.
    let outer = if direction == Direction::ToLinux { ECT } else { CE };
    let mut probes = vec![
        (plain, whole),
        (Probe { len: 85, ..plain }, whole),
        (Probe { tos: ECT, ..plain }, Fate { outer, arrives: CE, ..whole }),
        // An answer may be cut, but for IPv6.
        (Probe { len: mtu, is_lost: mode.inner_v6 && back < mtu, ..plain }, whole),
        (Probe { len: mtu + 1, ..plain }, Fate { refused: Some(mtu), ..whole }),
    ];
    if !mode.inner_v6 {
        let loose = Probe { len: mtu + 1, dont_fragment: false, ..plain };
        probes.push((loose, Fate { is_cut: true, ..whole }));
    }
    probes
}

/// Whether a row went as it had to.
fn judge(row: &Row<Fate>, seen: &Seen<'_>) -> Result<(), String> {
    let fate = row.expected;
    if let Some(mtu) = fate.refused {
        let words = [format!("(mtu = {mtu})"), format!("mtu={mtu}\n")];
        let is_told = words.iter().any(|words| row.said.contains(words));
        let is_sent = !seen.underlay.is_empty();
        return if is_told && !is_sent { Ok(()) } else { Err(format!("expected {fate:?}")) };
    }
    if seen.underlay.len() != 1 + usize::from(fate.is_cut) {
        return Err(format!("{} frames on the underlay, expected {fate:?}", seen.underlay.len()));
    }
    for frame in &seen.underlay {
        is_wrapped(frame, row.mode, fate)?;
    }
    let inner = seen.arrived.iter().map(|frame| frame.layers[0]);
    let header_len = if fate.is_cut { 20 } else { 0 };
    let len = header_len + inner.clone().map(|layer| layer.len - header_len).sum::<usize>();
    if len != usize::from(row.probe.len) || inner.clone().any(|layer| layer.tos != fate.arrives) {
        return Err(format!("arrives as {len} bytes, expected {fate:?}"));
    }
    if !row.probe.is_lost && !row.is_answered() {
        return Err(format!("expected an answer: {fate:?}"));
    }
    Ok(())
}

/// Whether all headers of a frame on the underlay are what they have to be.
fn is_wrapped(frame: &Frame, mode: Mode, fate: Fate) -> Result<(), String> {
    let [outer, inner] = frame.layers[..] else {
        return Err(format!("{} IP headers", frame.layers.len()));
    };
    let header_len = usize::from(mode.overhead() - mode.shim_len);
    let shim_len = frame.shim.len();
    let is_right = shim_len == usize::from(fate.shim_len)
        && outer.len == header_len + shim_len + inner.len
        && outer.tos == fate.outer
        && outer.dont_fragment != mode.outer_v6
        && outer.piece.is_none()
        && inner.piece.is_some() == fate.is_cut;
    if is_right { Ok(()) } else { Err(format!("expected {fate:?}, between: {:02x?}", frame.shim)) }
}

/// Sends a datagram each of several flows to `port`.
fn send_flows(host: &Namespace, target: &str, port: u16) {
    let script =
        format!("for flow in $(seq {FLOWS}); do echo $flow > /dev/udp/{target}/{port}; done");
    let status = host.command("bash").args(["-ec", &script]).status();
    assert!(status.expect("bash starts").success(), "{script}");
}

/// The outer source ports of the flows to `port`, of one direction.
fn source_ports(seen: &Captured, kind: Kind, direction: Direction, port: u16) -> BTreeSet<u16> {
    let options_len = if kind.mode.name.contains("encap-limit") { 8 } else { 0 };
    let from = match direction {
        Direction::ToLinux => ["198.51.100.1", "2001:db8:a::1"],
        Direction::FromLinux => ["203.0.113.2", "2001:db8:b::2"],
    };
    let of_flows = seen.underlay.iter().filter(|frame| {
        let source = frame.layers[0].source.to_string();
        frame.datagram_to == Some(port) && from.contains(&source.as_str())
    });
    of_flows.filter_map(|frame| frames::word(&frame.shim, options_len)).collect()
}

fn judge_source_ports(seen: &Captured, kind: Kind, port: u16) {
    for direction in DIRECTIONS {
        let ports = source_ports(seen, kind, direction, port);
        let name = kind.mode.name;
        if name.contains("sport:") {
            let fixed = if direction == Direction::ToLinux { 8888 } else { 9999 };
            assert_eq!(ports, BTreeSet::from([fixed]), "{name}: {direction:?}");
            continue;
        }
        assert!(ports.len() >= PORTS_MIN, "{name}: {direction:?}: of {FLOWS} flows {ports:?}");
        let is_ours = direction == Direction::ToLinux;
        assert!(!is_ours || ports.first() >= Some(&DYNAMIC_PORTS), "{name}: {ports:?}");
    }
}

/// Keeps the small packets that Linux sent.
fn keep(seen: &Captured, matrix: &Matrix<Fate>, kind: Kind, folder: &Path) {
    let small = matrix.rows.iter().filter(|row| {
        let is_of_kind = row.mode.name == kind.mode.name && row.mode.link == kind.mode.link;
        is_of_kind && row.probe.direction == Direction::FromLinux && row.probe.len < 100
    });
    let frames: Vec<Vec<u8>> =
        small.flat_map(|row| seen.of(row).underlay).map(|frame| frame.bytes.clone()).collect();
    capture::write(&folder.join(format!("{}.pcap", kind.capture)), &frames);
}

#[test]
fn gre_fou_and_gue_with_all_their_fields_are_understood_both_ways() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let mut ends = Ends::up(&network);
    ends.load_shims();
    ends.guest.load_marks();
    for hook in ["ingress", "egress"] {
        ends.guest.mark_congestion(hook, &format!("{ECT:#x}/0xff"));
    }
    let wires = Wires::listen_at_port(&network, folder.path());
    let mut matrix = Matrix::new();
    let kinds: Vec<(u16, Kind)> = (FIRST_PORT..).zip(GRE.into_iter().chain(UDP)).collect();
    for &(port, kind) in &kinds {
        let modes = kind.modes();
        let has_tclass = kind.mode.outer_v6 && !kind.mode.is_geneve();
        let tos = if has_tclass { "tclass inherit" } else { "tos inherit" };
        let link = format!("{} {tos}", kind.mode.plain_link());
        ends.lay(modes[0], "", &link);
        for &mode in &modes {
            let probes = DIRECTIONS.into_iter().flat_map(|direction| probes(kind, mode, direction));
            matrix.run(&network, mode, kind.mode.link, probes);
        }
        if kind.is_in_udp() {
            let (near, far) = if modes[0].inner_v6 { (HOST1_V6, HOST2_V6) } else { (HOST1, HOST2) };
            send_flows(&network.host1, far, port);
            send_flows(&network.host2, near, port);
        }
    }
    let last = kinds.last().and_then(|(_, kind)| kind.modes().pop()).expect("there are kinds");
    let seen = wires.close(&network, last.target());
    if let Some(folder) = std::env::var_os("ADIT_KEEP_CAPTURES") {
        for &(_, kind) in &kinds {
            keep(&seen, &matrix, kind, Path::new(&folder));
        }
    }
    matrix.judge(&seen, judge);
    for &(port, kind) in kinds.iter().filter(|(_, kind)| kind.is_in_udp()) {
        judge_source_ports(&seen, kind, port);
    }
}
