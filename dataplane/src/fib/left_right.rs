//! Two copies of a table: workers read one, the control side changes the other.
//!
//! A change costs what it touches, twice, and never a rebuild. The control side's way is
//! [`LeftRight::insert`] and [`LeftRight::remove`] as often as it likes, [`LeftRight::publish`], hand
//! the new table to the workers and wait until each took it; the next change then brings the old
//! table up to date first.

use std::sync::Arc;

use super::next_hop::NextHopId;
use super::rib::{Change, Rib};
use super::{Fib, Fib4, Fib6, FibError};

/// IPv4 routes with their two tables.
pub type Routes4 = LeftRight<Fib4>;

/// IPv6 routes with their two tables.
pub type Routes6 = LeftRight<Fib6>;

/// From how many missed changes on a table is copied from the other rather than brought up to date.
/// Copying takes as long as that many changes, about.
const REPLAY_MAX: usize = 100_000;

/// Routes, the table that workers read, and the table that takes changes.
#[derive(Debug)]
pub struct LeftRight<F: Fib> {
    rib: Rib<F::Prefix>,
    live: Arc<F>,
    standby: Arc<F>,
    /// What `standby` has and `live` has not.
    unpublished: Vec<Change<F::Prefix>>,
    /// What `live` has and `standby`, which was live before it, has not.
    missed: Vec<Change<F::Prefix>>,
}

impl<F: Fib> Default for LeftRight<F> {
    fn default() -> Self {
        Self::of(Rib::new(), F::default())
    }
}

impl<F: Fib> LeftRight<F> {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with all routes of `rib`, published.
    pub fn build(rib: Rib<F::Prefix>) -> Result<Self, FibError> {
        let fib = F::build(&rib)?;
        Ok(Self::of(rib, fib))
    }

    fn of(rib: Rib<F::Prefix>, fib: F) -> Self {
        let standby = Arc::new(fib.clone());
        Self { rib, live: Arc::new(fib), standby, unpublished: Vec::new(), missed: Vec::new() }
    }

    /// The routes, unpublished changes included.
    pub fn rib(&self) -> &Rib<F::Prefix> {
        &self.rib
    }

    /// The table published last.
    pub fn live(&self) -> Arc<F> {
        Arc::clone(&self.live)
    }

    /// How many changes are not published.
    pub fn unpublished_count(&self) -> usize {
        self.unpublished.len()
    }

    /// Adds or replaces a route; returns what its next hop was. On an error nothing changed.
    pub fn insert(
        &mut self,
        prefix: F::Prefix,
        next_hop: NextHopId,
    ) -> Result<Option<NextHopId>, FibError> {
        let change = self.rib.plan_insert(prefix, next_hop);
        if change.previous() != Some(next_hop) {
            self.change(change)?;
        }
        Ok(change.previous())
    }

    /// Removes a route; returns what its next hop was, nothing if there is no such route. On an
    /// error nothing changed.
    pub fn remove(&mut self, prefix: F::Prefix) -> Result<Option<NextHopId>, FibError> {
        let Some(change) = self.rib.plan_remove(prefix) else { return Ok(None) };
        self.change(change)?;
        Ok(change.previous())
    }

    /// Makes the changes so far the table to read, and returns it. Without changes it is the one
    /// published before.
    pub fn publish(&mut self) -> Arc<F> {
        // While changes are unpublished nothing is missed: the first of them caught up.
        if !self.unpublished.is_empty() {
            core::mem::swap(&mut self.live, &mut self.standby);
            core::mem::swap(&mut self.missed, &mut self.unpublished);
        }
        self.live()
    }

    /// Takes back all changes that are not published.
    pub fn discard(&mut self) {
        if self.unpublished.is_empty() {
            return;
        }
        let mut standby = Arc::get_mut(&mut self.standby);
        for made in self.unpublished.drain(..).rev() {
            let undo = match made.previous() {
                Some(next_hop) => Some(self.rib.plan_insert(made.prefix(), next_hop)),
                None => self.rib.plan_remove(made.prefix()),
            };
            let Some(undo) = undo else { continue };
            self.rib.apply(&undo);
            standby = standby.and_then(|fib| fib.apply(&undo).is_ok().then_some(fib));
        }
        if standby.is_none() {
            self.standby = Arc::new(F::clone(&self.live));
        }
    }

    /// Brings the table that was live before the last [`Self::publish`] up to date, as soon as nobody
    /// else holds it. The next change does it too; doing it early keeps that one fast.
    pub fn catch_up(&mut self) -> Result<(), FibError> {
        if self.missed.is_empty() {
            return Ok(());
        }
        let standby = Arc::get_mut(&mut self.standby).ok_or(FibError::InUse)?;
        let replayed = self.missed.len() <= REPLAY_MAX
            && self.missed.iter().all(|change| standby.apply(change).is_ok());
        if !replayed {
            *standby = F::clone(&self.live);
        }
        self.missed.clear();
        Ok(())
    }

    /// Bytes of memory that both tables have asked for.
    pub fn memory_bytes(&self) -> usize {
        self.live.memory_bytes() + self.standby.memory_bytes()
    }

    #[cfg(test)]
    pub(super) fn standby_for_tests(&self) -> &F {
        &self.standby
    }

    fn change(&mut self, change: Change<F::Prefix>) -> Result<(), FibError> {
        self.catch_up()?;
        Arc::get_mut(&mut self.standby).ok_or(FibError::InUse)?.apply(&change)?;
        self.rib.apply(&change);
        self.unpublished.push(change);
        Ok(())
    }
}
