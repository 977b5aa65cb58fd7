//! Packets with a plain header behind the outer one whose tunnel was not found. A flood of them, to us and from
//! addresses of no tunnel's far end, ends here; whatever else they may be is sorted like any other packet.

use super::Outcome;
use super::list::{List, see_to_others};
use super::lookups::LastOwn;
use super::outside::Outside;
use super::shim::go_on;
use super::sort::Sorted;
use crate::counters::Counter;
use crate::interface::Interface;
use crate::packet::Packet;
use crate::stage::Round;
use crate::tunnel::lookup::{Found, Label, Protocols};

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Stranger {
    pub(super) at: u16,
    /// Bytes of what is behind the outer header and in front of what it carries.
    pub(super) shim_len: u16,
    pub(super) label: Label,
}

impl Stranger {
    pub(super) const NONE: Self = Self { at: 0, shim_len: 0, label: Label::NONE };
}

/// Sees to all of them.
#[inline(never)]
pub(super) fn see_to_strangers<F: Outside>(
    (packets, outcomes): (&[Packet], &mut [Outcome]),
    strangers: &List<Stranger>,
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    round: &Round<'_>,
) {
    let mut own = LastOwn::default();
    see_to_others(
        (packets, outcomes),
        strangers.items(),
        |stranger| stranger.at,
        |packet, &stranger| {
            let (outer, _) = F::read(packet.data())?;
            let (from, on) = ((outer, packet.meta.ingress), (&mut *sorted, &mut *odd));
            Some(see_to_stranger(stranger, from, on, (&mut own, round)))
        },
    );
}

/// Sees to one that arrived on `ingress`, and says what becomes of it: if it is to us and no tunnel has its addresses,
/// whatever the label, it ends here; otherwise it is sorted like any other.
#[inline(never)]
pub(super) fn see_to_stranger<F: Outside>(
    stranger: Stranger,
    (outer, ingress): (F, Interface),
    on: (&mut Sorted, &mut List<u16>),
    (own, round): (&mut LastOwn<F::Address>, &Round<'_>),
) -> Outcome {
    let (tables, (local, remote)) = (round.tables, outer.ends());
    let (labelled, bare) = (F::lookup(tables), F::bare(tables));
    let find = || bare.find(local, remote, Protocols::NONE, ingress.as_port());
    // What is read of one that is cut short may be padding.
    let is_nobodys = stranger.shim_len <= outer.payload_len()
        && !tables.limits.answers_unmatched
        && labelled.is_without(local, remote)
        && (bare.is_plainly_without(local, remote) || find() == Found::Nothing);
    if !is_nobodys || !own.is(local, || outer.is_to_us(tables)) || !outer.is_from_host(round) {
        go_on(stranger.at, outer, on, tables);
        return Outcome::NOT_TAKEN;
    }
    let knows_network = labelled.knows_network(stranger.label);
    round.end(if knows_network { Counter::VxlanUnlistedPeer } else { Counter::TunNoMatch })
}
