//! The counters of VXLAN and GENEVE headers, for the list of all of them: headers are spelled out (RFC 7348 §5,
//! RFC 8926 §3.4).

use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::shim::{Kind, Shim};
use adit_dataplane::tunnel::udp::{Udp, UdpHeader};
use adit_dataplane::tunnel::vxlan::Vxlan;
use adit_dataplane::wire::protocol;

use super::appliance::{Blueprint, G_MAC, GUE, L, L_MAC, U, U_MAC};
use super::drop_counters::{Case, Change, LOCAL, REMOTE, case};
use super::frames::{frame, ip};

const VXLAN: u16 = 4789;
const GENEVE: u16 = 6081;

/// The tunnel t0 in UDP, with frames inside.
fn put_frames(plan: &mut Blueprint, port: u16, header: UdpHeader, rules: FrameRules) {
    let setup = plan.setup(0);
    setup.protocols = Protocols::ETHERNET;
    setup.frames = Some(rules);
    let udp = Udp { listens_at: port, sends_to: port, header, ..GUE };
    setup.put_shim(Shim { udp: Some(udp), kind: Kind::None });
}

fn put_vxlan(plan: &mut Blueprint, is_strict: bool) {
    let own_station = Some(Counter::VxlanSelfMac);
    let rules = FrameRules { takes_tags: false, own_station, ..FrameRules::any(L) };
    put_frames(plan, VXLAN, UdpHeader::Vxlan(Vxlan { id: 42, is_strict }), rules);
}

/// A frame from a peer: `header` stands behind UDP without a checksum.
fn sent(source: &str, port: u16, header: &[u8], inner: &[u8]) -> (PortId, Vec<u8>) {
    let [high, low] = port.to_be_bytes();
    let len = u16::try_from(8 + header.len() + inner.len()).unwrap().to_be_bytes();
    let udp = [0xc0, 0, high, low, len[0], len[1], 0, 0];
    let datagram = [&udp[..], header, inner].concat();
    (U, frame(U_MAC, G_MAC, &ip(source, LOCAL).carrying(protocol::UDP, &datagram)))
}

/// A frame between two stations that are not ours.
fn inner(source: [u8; 6], kind: [u8; 2]) -> Vec<u8> {
    [&[2, 0, 0, 0, 2, 2][..], &source, &kind, &[0; 46]].concat()
}

pub(crate) fn cases() -> Vec<Case> {
    const STATION: [u8; 6] = [2, 0, 0, 0, 1, 1];
    let vxlan: Change = |plan| put_vxlan(plan, false);
    let strict: Change = |plan| put_vxlan(plan, true);
    let geneve: Change = |plan| {
        put_frames(plan, GENEVE, UdpHeader::Geneve { id: 42 }, FrameRules::any(L));
    };
    let plain = inner(STATION, [0x88, 0xb5]);
    let in_vxlan = |header: [u8; 8]| sent(REMOTE, VXLAN, &header, &plain);
    let in_geneve = |header: &[u8]| sent(REMOTE, GENEVE, header, &plain);
    let right = [8, 0, 0, 0, 0, 0, 42, 0];
    vec![
        case("vxlan.no_i_flag", &[], vxlan, in_vxlan([0, 0, 0, 0, 0, 0, 42, 0])),
        case("vxlan.reserved_nonzero", &[], vxlan, in_vxlan([8, 0, 0, 0, 0, 0, 42, 1])),
        case("vxlan.bad_reserved", &[], strict, in_vxlan([8, 0, 0, 0, 0, 0, 42, 1])),
        case(
            "vxlan.self_mac",
            &[],
            vxlan,
            sent(REMOTE, VXLAN, &right, &inner(L_MAC, [0x88, 0xb5])),
        ),
        case("vxlan.vlan_tag", &[], vxlan, sent(REMOTE, VXLAN, &right, &inner(STATION, [0x81, 0]))),
        case("vxlan.unlisted_peer", &[], vxlan, sent("203.0.113.66", VXLAN, &right, &plain)),
        case("gnv.bad_version", &[], geneve, in_geneve(&[0x40, 0, 0x65, 0x58, 0, 0, 42, 0])),
        case("gnv.oam", &[], geneve, in_geneve(&[0, 0x80, 0x65, 0x58, 0, 0, 42, 0])),
        case(
            "gnv.critical",
            &[],
            geneve,
            in_geneve(&[1, 0x40, 0x65, 0x58, 0, 0, 42, 0, 0, 0, 0x80, 0]),
        ),
        case(
            "gnv.bad_opts",
            &[],
            geneve,
            in_geneve(&[1, 0x40, 0x65, 0x58, 0, 0, 42, 0, 0, 0, 0, 1]),
        ),
        case("gnv.proto_denied", &[], geneve, in_geneve(&[0, 0, 0x88, 0x47, 0, 0, 42, 0])),
    ]
}
