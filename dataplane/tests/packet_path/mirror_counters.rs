//! The counters of ERSPAN, for the list of all of them: headers are spelled out (Linux's `include/net/erspan.h`).

use adit_dataplane::interface::{Interface, PortId, TunnelId};
use adit_dataplane::tables::mirrors::Sessions;

use super::appliance::{Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::drop_counters::{Case, Change, LOCAL, REMOTE, case};
use super::frames::{frame, ip};
use super::sessions::{put_erspan, version_two};

/// The tunnel t0 of a session whose frames leave by L.
fn sink(plan: &mut Blueprint) {
    put_erspan(plan.setup(0), version_two(100), Some(L));
}

/// The same, which has copies of what L receives.
fn source(plan: &mut Blueprint) {
    put_erspan(plan.setup(0), version_two(100), None);
    plan.setup(0).mtu = 100;
    let sessions = Sessions { ingress: Box::new([TunnelId(0)]), egress: Box::default() };
    plan.mirrors.push((Interface::port(L), sessions));
}

/// A packet of a peer: `gre` and `header` stand in front of a frame.
fn sent(gre: [u8; 8], header: &[u8]) -> (PortId, Vec<u8>) {
    let payload = [&gre[..], header, &[2; 60]].concat();
    (U, frame(U_MAC, G_MAC, &ip(REMOTE, LOCAL).carrying(47, &payload)))
}

pub(crate) fn cases() -> Vec<Case> {
    let (two, three) = ([0x10, 0, 0x88, 0xbe, 0, 0, 0, 0], [0x10, 0, 0x22, 0xeb, 0, 0, 0, 0]);
    let (sink, source): (Change, Change) = (sink, source);
    let large = (L, frame(L_MAC, H_MAC, &ip("10.1.0.5", "203.0.113.9").udp(400)));
    vec![
        case("erspan.bad_version", &[], sink, sent(two, &[0x20, 0, 0, 100, 0, 0, 0, 0])),
        case(
            "erspan.bad_ft",
            &[],
            sink,
            sent(three, &[0x20, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0x8c, 0]),
        ),
        case("if.tx_trunc", &[], source, large),
    ]
}
