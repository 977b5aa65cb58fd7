//! Whose pieces are taken in while the memory for them is short.
//!
//! What has waited longest makes room, so a flood of pieces whose packets never complete would have each of them go
//! all the way, only to push another out. Memory bounds what they hold; this bounds the work. A piece costs its peer one
//! credit, and a packet that completes earns it [`EARNED`] for each of its pieces. While room is short, and only then,
//! nobody begins a packet without credit, and nobody goes deeper into debt than [`DEBT_MAX`] with pieces of packets that
//! have begun. So a peer of whose pieces every other one comes to something is refused nothing, however many they are,
//! and the work for what comes to nothing is no more than that for what comes to something. Besides, everybody is
//! granted [`GRANTED`] credits a span of [`SPAN`]: with these, peers that fragment begin to earn, and nothing else is
//! left of a flood.
//!
//! Room is short for a span after an unfinished packet was dropped for another's sake: where it was its peer's limit
//! that was reached, for this peer, else for all. A lossy path alone refuses nothing to anybody, as long as there is
//! room.
//!
//! Peers share [`ACCOUNTS`] accounts, by a keyed hash; all that is for no tunnel is one peer. What is earned counts from
//! the next burst on, so that within one who is refused stays so, and the fast path may ask ahead.

use super::PIECES_MAX;
use crate::clock::Nanos;
use crate::packet::BURST_MAX;

/// A power of two.
const ACCOUNTS: usize = 4096;

/// A span is two to the power of so many nanoseconds: 134 ms.
const SPAN: u32 = 27;

/// What every account gets in a span, up to so much: 30 pieces a second.
const GRANTED: i16 = 4;

/// What a packet that completes earns for each of its pieces.
const EARNED: i16 = 2;

/// More is not saved up, which is also the most that may be under way of one peer.
const SAVED_MAX: i16 = 1 << 14;

/// As many pieces as packets can have that were begun with what is granted.
const DEBT_MAX: i16 = GRANTED * PIECES_MAX as i16;

/// Number of an account.
pub(super) type AccountId = u16;

/// What a peer, or several, may have taken in.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// As of that span.
    credit: i16,
    span: u32,
    /// Room is short for it in spans before this one.
    short_until: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Credit {
    accounts: Box<[Account]>,
    /// Who has earned how much since the last burst began, as far as there is room to note it.
    earned: [(AccountId, i16); BURST_MAX],
    earned_count: usize,
    /// Room is short for all before the one, and for somebody before the other.
    short_until: Nanos,
    short_for_some_until: Nanos,
}

/// What is refused to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No piece.
    Nothing,
    /// Pieces of packets that have not begun.
    Beginnings,
    /// All pieces.
    Everything,
}

/// What is refused at one time, while room is short for somebody.
#[derive(Clone, Copy)]
pub(super) struct Refusals<'c> {
    accounts: &'c [Account],
    span: u32,
    is_short_for_all: bool,
}

impl Refusals<'_> {
    /// What of an account.
    #[inline]
    pub(super) fn of(&self, id: AccountId) -> Refused {
        let Some(account) = self.accounts.get(usize::from(id)) else { return Refused::Nothing };
        if !(self.is_short_for_all || self.span < account.short_until) {
            return Refused::Nothing;
        }
        match account.credit_in(self.span) {
            1.. => Refused::Nothing,
            credit if credit > -DEBT_MAX => Refused::Beginnings,
            _ => Refused::Everything,
        }
    }
}

impl Credit {
    /// Everybody has what is granted.
    pub(super) fn new() -> Self {
        let account = Account { credit: GRANTED, span: 0, short_until: 0 };
        Self {
            accounts: vec![account; ACCOUNTS].into_boxed_slice(),
            earned: [(0, 0); BURST_MAX],
            earned_count: 0,
            short_until: Nanos(0),
            short_for_some_until: Nanos(0),
        }
    }

    /// The account of a peer, by the hash of its address.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
    pub(super) fn account_of(hash: u64) -> AccountId {
        (hash >> 32) as u16 & (ACCOUNTS as u16 - 1)
    }

    /// What is refused now; `None`: nothing to anybody, as there is room.
    #[inline]
    pub(super) fn refusals(&self, now: Nanos) -> Option<Refusals<'_>> {
        let is_short_for_all = now < self.short_until;
        (now < self.short_for_some_until).then(|| Refusals {
            accounts: &self.accounts,
            span: span_of(now),
            is_short_for_all,
        })
    }

    /// What is refused to an account now. Within a burst it is never less than at first.
    #[inline]
    pub(super) fn refused(&self, id: AccountId, now: Nanos) -> Refused {
        self.refusals(now).map_or(Refused::Nothing, |refusals| refusals.of(id))
    }

    /// A piece is taken in.
    #[inline]
    pub(super) fn pay(&mut self, id: AccountId, now: Nanos) {
        let Some(account) = self.accounts.get_mut(usize::from(id)) else { return };
        let span = span_of(now);
        let is_short = now < self.short_until || span < account.short_until;
        let credit = account.credit_in(span);
        // While there is room nobody gets into debt.
        let least = if is_short { -DEBT_MAX } else { credit.min(0) };
        account.credit = (credit - 1).max(least);
        account.span = span;
    }

    /// A packet of so many pieces is complete.
    #[inline]
    pub(super) fn earn(&mut self, id: AccountId, pieces: u8) {
        if let Some(place) = self.earned.get_mut(self.earned_count) {
            *place = (id, EARNED * i16::from(pieces));
            self.earned_count += 1;
        }
    }

    /// Before a burst: what was earned counts from now on.
    #[inline]
    pub(super) fn settle(&mut self) {
        if self.earned_count > 0 {
            self.settle_earned();
        }
    }

    #[inline(never)]
    fn settle_earned(&mut self) {
        for &(id, more) in self.earned.iter().take(self.earned_count) {
            if let Some(account) = self.accounts.get_mut(usize::from(id)) {
                account.credit = (account.credit + more).min(SAVED_MAX);
            }
        }
        self.earned_count = 0;
    }

    /// An unfinished packet was dropped for the sake of another: of the same peer, whose limit was reached, or of
    /// whomever.
    pub(super) fn note_short(&mut self, id: Option<AccountId>, now: Nanos) {
        let until = Nanos(now.0 + (1 << SPAN));
        self.short_for_some_until = until;
        match id.and_then(|id| self.accounts.get_mut(usize::from(id))) {
            Some(account) => account.short_until = span_of(now) + 2,
            None => self.short_until = until,
        }
    }
}

impl Account {
    /// What there is in a span: what was granted meanwhile fills up what is left.
    #[inline]
    fn credit_in(&self, span: u32) -> i16 {
        if self.span == span || self.credit >= GRANTED {
            return self.credit;
        }
        let spans = i16::try_from(span.saturating_sub(self.span)).unwrap_or(i16::MAX);
        spans.saturating_mul(GRANTED).saturating_add(self.credit).min(GRANTED)
    }
}

/// The number of the span that it is; there are enough for 18 years.
#[inline]
fn span_of(now: Nanos) -> u32 {
    u32::try_from(now.0 >> SPAN).unwrap_or(u32::MAX - 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPAN_NANOS: u64 = 1 << SPAN;

    /// How many packets of two pieces each are complete after these were to begin, of which every one in `lost` loses
    /// its second piece; a burst each.
    fn complete(credit: &mut Credit, count: u32, lost: u32, now: Nanos) -> u32 {
        let mut complete = 0;
        for number in 1..=count {
            credit.settle();
            if credit.refused(7, now) != Refused::Nothing {
                continue;
            }
            credit.pay(7, now);
            if !number.is_multiple_of(lost) && credit.refused(7, now) != Refused::Everything {
                credit.pay(7, now);
                credit.earn(7, 2);
                complete += 1;
            }
        }
        complete
    }

    #[test]
    fn nobody_is_refused_anything_while_there_is_room() {
        let mut credit = Credit::new();
        for _ in 0..10_000 {
            credit.pay(7, Nanos(5));
        }
        assert_eq!(credit.refused(7, Nanos(5)), Refused::Nothing);
        credit.note_short(None, Nanos(5));
        assert_eq!(credit.refused(7, Nanos(5)), Refused::Beginnings);
        (0..DEBT_MAX).for_each(|_| credit.pay(7, Nanos(5)));
        assert_eq!(credit.refused(7, Nanos(5)), Refused::Everything);
        assert_eq!(credit.refused(7, Nanos(5 + SPAN_NANOS)), Refused::Nothing);
    }

    #[test]
    fn a_peer_at_its_own_limit_makes_it_short_for_nobody_else() {
        let mut credit = Credit::new();
        for id in [7, 8] {
            (0..GRANTED).for_each(|_| credit.pay(id, Nanos(5)));
        }
        credit.note_short(Some(7), Nanos(5));
        assert_eq!(credit.refused(7, Nanos(5)), Refused::Beginnings);
        assert_eq!(credit.refused(8, Nanos(5)), Refused::Nothing);
    }

    #[test]
    fn who_completes_half_of_what_begins_is_refused_nothing_and_who_less_begins_less() {
        let now = Nanos(5);
        for (lost, expected) in [(u32::MAX, 10_000), (3, 6667), (2, 5000)] {
            let mut credit = Credit::new();
            credit.note_short(None, now);
            assert_eq!(complete(&mut credit, 10_000, lost, now), expected, "every one of {lost}");
        }
        let mut credit = Credit::new();
        credit.note_short(None, now);
        assert_eq!(complete(&mut credit, 10_000, 1, now), 0);
        assert_eq!(credit.refused(7, now), Refused::Beginnings);
    }

    #[test]
    fn a_flood_is_left_what_is_granted() {
        let mut credit = Credit::new();
        let mut taken = 0;
        for step in 0..100_000_u64 {
            let now = Nanos(step * SPAN_NANOS / 1000);
            credit.note_short(None, now);
            if credit.refused(7, now) == Refused::Nothing {
                credit.pay(7, now);
                taken += 1;
            }
        }
        assert_eq!(taken, 100 * u64::from(GRANTED.unsigned_abs()));
    }

    proptest! {
        #[test]
        fn within_a_burst_what_is_refused_stays_so(
            steps in proptest::collection::vec((0_u8..5, 0_u16..3), 0..200),
        ) {
            let mut credit = Credit::new();
            let mut now = Nanos(0);
            credit.note_short(None, now);
            let rank = |refused| refused as u8;
            let mut at_first = [0; 3];
            for (step, id) in steps {
                match step {
                    0 => credit.earn(id, 3),
                    1 => credit.note_short(Some(id), now),
                    2 => {
                        now = Nanos(now.0 + SPAN_NANOS / 3);
                        credit.settle();
                        at_first = [0, 1, 2].map(|id| rank(credit.refused(id, now)));
                    }
                    _ => (0..90).for_each(|_| credit.pay(id, now)),
                }
                for id in 0..3 {
                    prop_assert!(rank(credit.refused(id, now)) >= at_first[usize::from(id)]);
                }
            }
        }
    }
}
