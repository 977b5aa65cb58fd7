//! Who may begin packets while the memory for pieces is short.
//!
//! What has waited longest makes room, so a flood of pieces whose packets never complete would have each of them go
//! all the way, only to push another out. Memory bounds what they hold; this bounds the work. A *beginning*, the first
//! piece to come of a packet, costs its peer one credit, and a packet that completes earns it [`EARNED`]. While room is
//! short, and only then, nothing is begun without credit. So a peer of whose packets every other one completes is never
//! refused anything, however many they are: the work for what comes to nothing is never more than that for what comes to
//! something. To everybody else there are [`GRANTED`] beginnings a span of [`SPAN`], which is how peers that fragment
//! begin to earn, and all that is left of a flood.
//!
//! Room is short for a span after an unfinished packet was dropped for another's sake: where it was its peer's limit
//! that was reached, for this peer, else for all. A lossy path alone refuses nothing to anybody, as long as there is
//! room.
//!
//! Peers share [`ACCOUNTS`] accounts, by a keyed hash; all that is for no tunnel is one peer. What is earned counts from
//! the next burst on, so that within one who is refused stays so, and the fast path may ask ahead.

use crate::clock::Nanos;
use crate::packet::BURST_MAX;

/// A power of two.
const ACCOUNTS: usize = 4096;

/// A span is two to the power of so many nanoseconds: 134 ms.
const SPAN: u32 = 27;

/// Beginnings that every account has in a span, at least: 30 a second.
const GRANTED: u16 = 4;

/// What a packet that completes earns, in beginnings.
const EARNED: u16 = 2;

/// More is not saved up: as many as may be under way of one peer.
const SAVED_MAX: u16 = 4096;

/// Number of an account.
pub(super) type AccountId = u16;

/// What a peer, or several, may begin.
#[derive(Clone, Copy, Debug)]
struct Account {
    /// As of that span.
    credit: u16,
    span: u32,
    /// Room is short for it in spans before this one.
    short_until: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Credit {
    accounts: Box<[Account]>,
    /// Who has earned something since the last burst began, as far as there is room to note it.
    earned: [AccountId; BURST_MAX],
    earned_count: usize,
    /// Room is short for all before the one, and for somebody before the other.
    short_until: Nanos,
    short_for_some_until: Nanos,
}

impl Credit {
    /// Everybody has what is granted.
    pub(super) fn new() -> Self {
        let account = Account { credit: GRANTED, span: 0, short_until: 0 };
        Self {
            accounts: vec![account; ACCOUNTS].into_boxed_slice(),
            earned: [0; BURST_MAX],
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

    /// Whether room is short for anybody: else nobody is refused.
    #[inline]
    pub(super) fn is_any_short(&self, now: Nanos) -> bool {
        now < self.short_for_some_until
    }

    /// Whether this account may begin no packet now. Within a burst the answer stays yes.
    #[inline]
    pub(super) fn is_refused(&self, id: AccountId, now: Nanos) -> bool {
        if !self.is_any_short(now) {
            return false;
        }
        let Some(account) = self.accounts.get(usize::from(id)) else { return false };
        let span = span_of(now);
        let is_short = now < self.short_until || span < account.short_until;
        is_short && account.credit == 0 && account.span == span
    }

    /// A packet begins.
    #[inline]
    pub(super) fn pay(&mut self, id: AccountId, now: Nanos) {
        let Some(account) = self.accounts.get_mut(usize::from(id)) else { return };
        account.enter(span_of(now));
        account.credit = account.credit.saturating_sub(1);
    }

    /// A packet is complete.
    #[inline]
    pub(super) fn earn(&mut self, id: AccountId) {
        if let Some(place) = self.earned.get_mut(self.earned_count) {
            *place = id;
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
        for &id in self.earned.iter().take(self.earned_count) {
            if let Some(account) = self.accounts.get_mut(usize::from(id)) {
                account.credit = (account.credit + EARNED).min(SAVED_MAX);
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
    /// In another span there is at least what is granted.
    #[inline]
    fn enter(&mut self, span: u32) {
        if self.span != span {
            self.span = span;
            self.credit = self.credit.max(GRANTED);
        }
    }
}

/// The number of the span that it is; there are enough for 18 years.
#[inline]
fn span_of(now: Nanos) -> u32 {
    u32::try_from(now.0 >> SPAN).unwrap_or(u32::MAX - 2)
}
