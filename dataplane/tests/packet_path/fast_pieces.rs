//! Pieces of packets while the memory for them is short: an appliance with the fast path and one without it take the
//! same, refuse the same, and count the same.

use core::time::Duration;

use adit_dataplane::interface::PortId;
use adit_dataplane::reassembly;
use adit_dataplane::worker::WorkerSettings;
use proptest::collection::vec;
use proptest::prelude::*;

use super::appliance::{Appliance, G_MAC, U, U_MAC, settings};
use super::frames::{frame, in_pieces, ip, mend_ipv4};
use super::kinds::{PEERS, crowded};
use super::twins::{counted, run};

/// A piece: of a packet to which of the tunnels, or of an echo request, with which identification, and which piece.
fn piece() -> impl Strategy<Value = (PortId, Vec<u8>)> {
    let kind = prop::sample::select(vec![0, 0, 0, 1, 1, 1, 2, 3]);
    (kind, 0_u16..12, 0_usize..3, prop::bool::weighted(0.1), 0_u8..3).prop_map(
        |(kind, identification, at, is_odd, tos)| {
            let (local, remote, ..) = PEERS[kind % 2];
            let stranger = if kind == 2 { "192.0.2.99" } else { "2001:db8:77::1" };
            let source = if kind < 2 { remote } else { stranger };
            let header = ip(source, local).may_be_cut().tos(tos);
            let whole = if kind < 2 {
                header.around(&ip("10.2.0.8", "10.1.0.5").udp(200))
            } else {
                header.echo(&[7; 200])
            };
            let mut piece = in_pieces(&whole, &[48, 96], identification.into())[at].clone();
            let is_ipv4 = piece[0] >> 4 == 4;
            if is_odd {
                // Of a length that no piece has but the last.
                piece.pop();
                piece[if is_ipv4 { 3 } else { 5 }] -= 1;
            }
            if is_ipv4 {
                piece[4..6].copy_from_slice(&identification.to_be_bytes());
                mend_ipv4(&mut piece);
            }
            (U, frame(U_MAC, G_MAC, &piece))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_refused_is_what_the_stages_refuse(
        bursts in vec((vec(piece(), 1..32), 0_u64..40), 1..30),
        (pieces, pieces_per_peer) in (4_u32..12, 2_u32..8),
    ) {
        let limits = reassembly::Limits { pieces, pieces_per_peer };
        let [mut fast, mut slow] = [true, false].map(|fast_path| {
            let settings = WorkerSettings { fast_path, reassembly: limits, ..settings() };
            Appliance::with(crowded().build(1), settings)
        });
        for (frames, milliseconds) in bursts {
            let sent = [&mut fast, &mut slow].map(|appliance| {
                appliance.now = appliance.now + Duration::from_millis(milliseconds);
                run(appliance, &frames)
            });
            prop_assert_eq!(&sent[0], &sent[1]);
            prop_assert_eq!(counted(&mut fast), counted(&mut slow));
            prop_assert_eq!(fast.held(), slow.held());
        }
    }
}
