//! Packets with a plain header behind the outer one whose tunnel was not found. A flood of them, to us and from
//! addresses of no tunnel's far end, ends here; whatever else they may be is sorted like any other packet.

use super::Outcome;
use super::list::List;
use super::outside::Outside;
use super::shim::go_on;
use super::sort::Sorted;
use crate::counters::Counter;
use crate::interface::Interface;
use crate::packet::Packet;
use crate::stage::Round;
use crate::tunnel::lookup::{Found, Label, OuterAddress, Protocols};

/// The last destination asked for, and whether it is ours.
pub(super) struct LastOwn<A>(Option<(A, bool)>);

impl<A> Default for LastOwn<A> {
    fn default() -> Self {
        Self(None)
    }
}

impl<A: OuterAddress> LastOwn<A> {
    #[inline]
    fn is(&mut self, address: A, find: impl Fn() -> bool) -> bool {
        match self.0 {
            Some((last, is_own)) if last == address => is_own,
            _ => self.0.insert((address, find())).1,
        }
    }
}

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
    for &stranger in strangers.items() {
        let index = usize::from(stranger.at);
        let (Some(packet), Some(outcome)) = (packets.get(index), outcomes.get_mut(index)) else {
            continue;
        };
        if let Some((outer, _)) = F::read(packet.data()) {
            let (from, on) = ((outer, packet.meta.ingress), (&mut *sorted, &mut *odd));
            *outcome = outcome_of(stranger, from, on, (&mut own, round));
        }
    }
}

/// Sees to one that arrived on `ingress`, and says what becomes of it.
#[inline(never)]
pub(super) fn see_to_stranger<F: Outside>(
    stranger: Stranger,
    from: (F, Interface),
    on: (&mut Sorted, &mut List<u16>),
    with: (&mut LastOwn<F::Address>, &Round<'_>),
) -> Outcome {
    outcome_of(stranger, from, on, with)
}

/// If it is to us and no tunnel has its addresses, whatever the label, it ends here; otherwise it is sorted like any other.
#[inline]
fn outcome_of<F: Outside>(
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
