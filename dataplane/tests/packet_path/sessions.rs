//! Mirror sessions (ERSPAN) for tests and fuzz targets: how a tunnel is made one, and what their far end sends.

use std::sync::Arc;

use adit_dataplane::interface::{PortId, TunnelId};
use adit_dataplane::tunnel::TunnelSetup;
use adit_dataplane::tunnel::erspan::{Erspan, Version};
use adit_dataplane::tunnel::frames::FrameRules;
use adit_dataplane::tunnel::lookup::Protocols;
use adit_dataplane::tunnel::shim::Kind;

use super::appliance::{A, Blueprint, G_MAC, U, U_MAC};
use super::frames::{frame, ip};

/// The far end of sessions.
const ENDS: [(&str, &str); 2] =
    [("198.51.100.1", "203.0.113.77"), ("2001:db8:100::1", "2001:db8:200::77")];

pub(crate) fn version_two(session: u16) -> Version {
    Version::Two { session, index: 7 }
}

/// Makes a tunnel a session, whose frames leave by `sink`.
pub(crate) fn put_erspan(setup: &mut TunnelSetup, version: Version, sink: Option<PortId>) {
    setup.protocols = Protocols::ETHERNET;
    setup.frames = Some(FrameRules::of_copies(sink));
    setup.put_shim(Kind::Erspan(Erspan { version, sequences: Some(Arc::default()) }).into());
    setup.mss = adit_dataplane::tunnel::MssClamp::Off;
    setup.mtu -= 14;
}

/// Adds a session.
pub(crate) fn add_session(plan: &mut Blueprint, end: usize, version: Version) -> TunnelId {
    let (local, remote) = ENDS[end];
    let id = plan.tunnel(local, remote);
    put_erspan(&mut plan.tunnels.last_mut().unwrap().0, version, Some(A));
    id
}

/// The sessions beside tunnels of every other kind: the end of each, and what it sends.
pub(crate) const ALL: [(usize, Version); 4] = [
    (0, Version::Two { session: SESSION, index: 7 }),
    (0, Version::Three { session: 103, hardware_id: 3, is_egress: None }),
    (1, Version::Two { session: 104, index: 7 }),
    (1, Version::One),
];
const SESSION: u16 = 100;

/// Adds all of them; their frames leave by A.
pub(crate) fn put_all(plan: &mut Blueprint) {
    for (end, version) in ALL {
        add_session(plan, end, version);
    }
}

/// The outer addresses of one of them: ours, and the far end's.
pub(crate) fn ends(number: usize) -> (&'static str, &'static str) {
    ENDS[ALL[number].0]
}

/// What the far end of one of them puts in front of a frame.
pub(crate) fn header(number: usize) -> Vec<u8> {
    match ALL[number].1 {
        Version::One => vec![0, 0, 0x88, 0xbe],
        Version::Two { session, .. } => {
            let [high, low] = session.to_be_bytes();
            [numbered(0x88, 0xbe), [0x10, 0, high, low, 0, 0, 0, 7]].concat()
        }
        Version::Three { session, .. } => {
            let [high, low] = session.to_be_bytes();
            let header = [0x20, 0, high, low, 0, 0, 0, 0, 0, 0, 0x80, 0];
            [&numbered(0x22, 0xeb)[..], &header].concat()
        }
    }
}

/// GRE with a number.
fn numbered(high: u8, low: u8) -> [u8; 8] {
    [0x10, 0, high, low, 0, 0, 0, 9]
}

/// What the far end of the first session sends, and ends that it has not.
pub(crate) fn copies_in_sessions() -> Vec<(PortId, Vec<u8>)> {
    let (local, remote) = ENDS[0];
    let inner = frame([2; 6], [4; 6], &ip("10.1.0.5", "10.2.0.8").tos(2).udp(84));
    let headers: [Vec<u8>; 6] = [
        vec![0, 0, 0x88, 0xbe],
        [&numbered(0x88, 0xbe)[..], &[0x10, 0, 0, 100, 0, 0, 0, 7]].concat(),
        [&numbered(0x88, 0xbe)[..], &[0x10, 0, 0, 99, 0, 0, 0, 7]].concat(),
        [&numbered(0x22, 0xeb)[..], &[0x20, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0x80, 0]].concat(),
        [&numbered(0x22, 0xeb)[..], &[0x20, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0x80, 1], &[0; 8]]
            .concat(),
        [&numbered(0x22, 0xeb)[..], &[0x20, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0x84, 0]].concat(),
    ];
    let packet =
        |header: Vec<u8>| ip(remote, local).tos(3).carrying(47, &[header, inner.clone()].concat());
    headers.into_iter().map(|header| (U, frame(U_MAC, G_MAC, &packet(header)))).collect()
}
