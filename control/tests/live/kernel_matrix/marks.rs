//! DSCP and ECN: what the kernel sees of ours and makes of it, and what we make of the kernel's, congestion marked
//! on the way included. The guest marks the outer packets itself, with tc on its own interface, behind the tunnel
//! on the way out and in front of it on the way in.

use tempfile::TempDir;

use super::rows::{DIRECTIONS, Direction, Matrix, PROBE, Probe, Row, Seen, Wires};
use super::{Ends, IP6IP6, MODES, Mode, SIT, SMALL_UNDERLAY_MTU};
use crate::sites::Network;
use crate::turn;

const NOT_ECT: u8 = 0;
const ECT1: u8 = 1;
const ECT0: u8 = 2;
const CE: u8 = 3;
const ECN: [u8; 4] = [NOT_ECT, ECT1, ECT0, CE];

/// Code points without a meaning to anything on the way, and expedited forwarding.
const DSCPS: [u8; 3] = [0, 10, 46];
const EXPEDITED: u8 = 46;

/// RFC 6040 §4.2, Figure 4: what the inner field becomes, by row (inner) and column (outer), both in the order of
/// `ECN`. `None`: dropped.
const DECAP: [[Option<u8>; 4]; 4] = [
    [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None],
    [Some(ECT1), Some(ECT1), Some(ECT1), Some(CE)],
    [Some(ECT0), Some(ECT1), Some(ECT0), Some(CE)],
    [Some(CE), Some(CE), Some(CE), Some(CE)],
];
/// Cells of it that the figure marks as a currently unused combination of which an operator is to be told, less the one
/// that is dropped.
const TOLD_COUNT: u64 = 3;

/// RFC 6040 §4.1 normal and compatibility mode, and RFC 3168 §9.1.1 full functionality, by inner field.
const NORMAL: [u8; 4] = [NOT_ECT, ECT1, ECT0, CE];
const COMPATIBLE: [u8; 4] = [NOT_ECT; 4];
const RFC3168: [u8; 4] = [NOT_ECT, ECT1, ECT0, ECT0];

/// What has to be seen of a request.
#[derive(Clone, Copy, Debug)]
struct Marks {
    /// TOS or traffic class of the outer header.
    outer: u8,
    /// That of the later pieces of the outer packet; `None`: it has none.
    later: Option<u8>,
    /// That of the packet that arrives; `None`: it is dropped.
    arrives: Option<u8>,
}

/// How an end makes the outer field.
#[derive(Clone, Copy)]
struct Encap {
    /// `None`: that of the inner packet.
    dscp: Option<u8>,
    ecn: [u8; 4],
}

impl Encap {
    fn outer(self, tos: u8) -> u8 {
        self.dscp.unwrap_or(tos >> 2) << 2 | self.ecn[usize::from(tos & 3)]
    }
}

/// A request with this TOS, whose outer header is `outer` where it arrives.
fn row(direction: Direction, tos: u8, sent: u8, outer: u8, copies_dscp: bool) -> (Probe, Marks) {
    let ecn = DECAP[usize::from(tos & 3)][usize::from(outer & 3)];
    let dscp = if copies_dscp { outer } else { tos } & !3;
    let arrives = ecn.map(|ecn| dscp | ecn);
    let probe = Probe { direction, tos, is_lost: arrives.is_none(), ..PROBE };
    (probe, Marks { outer: sent, later: None, arrives })
}

fn judge(row: &Row<Marks>, seen: &Seen<'_>) -> Result<(), String> {
    let Marks { outer, later, arrives } = row.expected;
    let Some((sent, pieces)) = seen.underlay.split_first() else {
        return Err("expected an outer packet".to_owned());
    };
    if sent.layers[0].tos != outer || sent.layers[1].tos != row.probe.tos {
        let (found, inner) = (sent.layers[0].tos, sent.layers[1].tos);
        return Err(format!("outer {found:#04x} instead of {outer:#04x}, inner {inner:#04x}"));
    }
    let is_alike = pieces.iter().all(|piece| Some(piece.layers[0].tos) == later);
    if !is_alike || pieces.is_empty() != later.is_none() {
        return Err(format!("expected {later:02x?} on later pieces"));
    }
    let found = seen.arrived.first().map(|frame| frame.layers[0].tos);
    if found != arrives || seen.arrived.len() > 1 {
        return Err(format!("arrives as {found:02x?} instead of {arrives:02x?}"));
    }
    if !row.probe.is_lost && !row.is_answered() {
        return Err("who verifies its checksum does not answer".to_owned());
    }
    Ok(())
}

/// Where the guest writes into the outer header.
#[derive(Clone, Copy)]
enum Hook {
    /// Before it looks at what arrives.
    Ingress,
    /// After it has encapsulated.
    Egress,
}

/// All packets, to tc.
const ALL: &str = "matchall";
/// The first piece of each packet that comes in several.
const FIRST_PIECES: &str = "flower ip_flags firstfrag";

/// Has the guest write this ECN field into those packets that pass the hook; `None`: ends that.
fn mark(ends: &mut Ends<'_>, mode: Mode, hook: Hook, ecn: Option<u8>) {
    mark_those(ends, mode, hook, ALL, ecn);
}

fn mark_those(ends: &mut Ends<'_>, mode: Mode, hook: Hook, those: &str, ecn: Option<u8>) {
    let hook = match hook {
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
    };
    // The field is the end of an IPv4 header's second byte, and in the middle of that of an IPv6 header.
    let (protocol, shift, sum) =
        if mode.outer_v6 { ("ipv6", 4, "") } else { ("ip", 0, "pipe action csum iph") };
    let add = ecn.map_or_else(String::new, |ecn| {
        let (value, mask) = (ecn << shift, 3 << shift);
        format!(
            "tc filter add dev eth0 {hook} protocol {protocol} {those} \
             action pedit munge offset 1 u8 set {value:#x} retain {mask:#x} {sum}"
        )
    });
    ends.guest.run(&format!(
        "set -e
         tc qdisc add dev eth0 clsact 2>/dev/null || true
         tc filter del dev eth0 {hook}
         {add}"
    ));
}

/// All that adit can be told about the outer field, with every inner one.
fn encapsulations(ends: &mut Ends<'_>, matrix: &mut Matrix<Marks>, mode: Mode) {
    let settings = [
        ("", Encap { dscp: None, ecn: NORMAL }),
        (", dscp: 46", Encap { dscp: Some(EXPEDITED), ecn: NORMAL }),
        (", ecn: compat", Encap { dscp: None, ecn: COMPATIBLE }),
        (", ecn: rfc3168, dscp: 10", Encap { dscp: Some(10), ecn: RFC3168 }),
    ];
    // Linux makes ECT(0) of CE, as RFC 3168 has it (semantics B1): the congestion is not lost, it is inside.
    let inherits = Encap { dscp: None, ecn: RFC3168 };
    let links = [
        (tos_option(mode, "inherit"), inherits),
        (tos_option(mode, "0xb8"), Encap { dscp: Some(EXPEDITED), ..inherits }),
    ];
    for (at, (keys, adit)) in settings.into_iter().enumerate() {
        let (link, linux) = &links[at % links.len()];
        ends.lay(mode, keys, link);
        let mut probes = Vec::new();
        for (direction, encap) in DIRECTIONS.into_iter().zip([adit, *linux]) {
            for tos in DSCPS.into_iter().flat_map(|dscp| ECN.map(|ecn| dscp << 2 | ecn)) {
                let outer = encap.outer(tos);
                probes.push(row(direction, tos, outer, outer, false));
            }
        }
        matrix.run(ends.network, mode, &format!("keys \"{keys}\", link \"{link}\""), probes);
    }
}

fn tos_option(mode: Mode, value: &str) -> String {
    let name = if mode.outer_v6 { "tclass" } else { "tos" };
    format!("{} {name} {value}", mode.plain_link())
}

/// Every outer field on every inner one: on the way to Linux, which is what its decapsulation makes of them, and on the
/// way from it, which is what ours does. Both are held against the same figure.
fn marked_on_the_way(ends: &mut Ends<'_>, matrix: &mut Matrix<Marks>, mode: Mode) {
    let dscp = 10 << 2;
    ends.lay(mode, "", &tos_option(mode, "inherit"));
    for outer in ECN {
        mark(ends, mode, Hook::Ingress, Some(outer));
        let rows =
            ECN.map(|ecn| row(Direction::ToLinux, dscp | ecn, dscp | ecn, dscp | outer, false));
        let name = format!("ECN {outer} written at Linux's door");
        matrix.run(ends.network, mode, &name, rows);
    }
    mark(ends, mode, Hook::Ingress, None);
    let count = |ends: &Ends<'_>, name| ends.adit.counter(&format!("/tunnels/far/{name}"));
    let before = ["rx_ecn_log", "rx_ecn_drop"].map(|name| count(ends, name));
    for outer in ECN {
        mark(ends, mode, Hook::Egress, Some(outer));
        let rows =
            ECN.map(|ecn| row(Direction::FromLinux, dscp | ecn, dscp | outer, dscp | outer, false));
        let name = format!("ECN {outer} written behind Linux's tunnel");
        matrix.run(ends.network, mode, &name, rows);
    }
    mark(ends, mode, Hook::Egress, None);
    let after = ["rx_ecn_log", "rx_ecn_drop"].map(|name| count(ends, name));
    assert_eq!(after, [before[0] + TOLD_COUNT, before[1] + 1], "{mode:?}: counters of odd fields");
}

/// `dscp-decap: copy`, with and without congestion marked on the way; of the modes in which Linux can do it, too.
fn dscp_copied(ends: &mut Ends<'_>, matrix: &mut Matrix<Marks>, mode: Mode) {
    let mut link = tos_option(mode, "0xb8");
    if mode.outer_v6 {
        link += " dscp inherit";
    }
    let keys = ", dscp-decap: copy, dscp: 10";
    ends.lay(mode, keys, &link);
    let name = format!("keys \"{keys}\", link \"{link}\"");
    let linux = Encap { dscp: Some(EXPEDITED), ecn: RFC3168 };
    let adit = Encap { dscp: Some(10), ecn: NORMAL };
    let tos = DSCPS.map(|dscp| ECN.map(|ecn| dscp << 2 | ecn));
    let all = || tos.iter().flatten().copied();
    let to = all()
        .map(|tos| row(Direction::ToLinux, tos, adit.outer(tos), adit.outer(tos), mode.outer_v6));
    let from =
        all().map(|tos| row(Direction::FromLinux, tos, linux.outer(tos), linux.outer(tos), true));
    matrix.run(ends.network, mode, &name, to.chain(from));
    mark(ends, mode, Hook::Egress, Some(CE));
    let outer = EXPEDITED << 2 | CE;
    let marked = all().map(|tos| row(Direction::FromLinux, tos, outer, outer, true));
    matrix.run(ends.network, mode, &format!("{name}, CE written behind Linux's tunnel"), marked);
    mark(ends, mode, Hook::Egress, None);
}

/// Congestion marked on the first of two pieces: whoever puts them together says that it was met (RFC 3168 §5.3),
/// and drops what a sender can't hear it of. Linux's ip6tnl never sends pieces.
fn marked_on_one_piece(ends: &mut Ends<'_>, matrix: &mut Matrix<Marks>) {
    const LEN: u16 = 1280;
    for (mode, directions) in [(SIT, &DIRECTIONS[..]), (IP6IP6, &[Direction::ToLinux])] {
        ends.lay(mode, "", &tos_option(mode, "inherit"));
        for &direction in directions {
            let hook = match direction {
                Direction::ToLinux => Hook::Ingress,
                Direction::FromLinux => Hook::Egress,
            };
            mark_those(ends, mode, hook, FIRST_PIECES, Some(CE));
            let rows = ECN.map(|tos| {
                let (sent, later) = match direction {
                    Direction::ToLinux => (tos, NORMAL[usize::from(tos)]),
                    Direction::FromLinux => (CE, RFC3168[usize::from(tos)]),
                };
                let (probe, marks) = row(direction, tos, sent, CE, false);
                let is_lost = probe.is_lost || mode.outer_v6;
                (Probe { len: LEN, is_lost, ..probe }, Marks { later: Some(later), ..marks })
            });
            let mixed = ends.adit.counter("/dataplane/reasm.ecn_mix");
            let name = format!("underlay {SMALL_UNDERLAY_MTU}, CE written on first pieces");
            matrix.run(ends.network, mode, &name, rows);
            let mixed = ends.adit.counter("/dataplane/reasm.ecn_mix") - mixed;
            assert_eq!(mixed > 0, direction == Direction::FromLinux, "{mode:?}: mixed fields");
            mark(ends, mode, hook, None);
        }
    }
}

#[test]
fn dscp_and_ecn_come_out_as_the_rfcs_say_and_as_the_kernel_has_them() {
    let _turn = turn::shared();
    let network = Network::lay();
    let folder = TempDir::with_prefix("adit-live-").expect("a temporary folder");
    let mut ends = Ends::up(&network);
    ends.guest
        .run("modprobe sch_ingress; modprobe cls_matchall; modprobe cls_flower; modprobe act_pedit; modprobe act_csum");
    let wires = Wires::listen(&network, folder.path());
    let mut matrix = Matrix::new();
    for mode in MODES {
        encapsulations(&mut ends, &mut matrix, mode);
        marked_on_the_way(&mut ends, &mut matrix, mode);
        dscp_copied(&mut ends, &mut matrix, mode);
    }
    ends.narrow(SMALL_UNDERLAY_MTU);
    marked_on_one_piece(&mut ends, &mut matrix);
    matrix.judge(&wires.close(&network, IP6IP6.target()), judge);
}
