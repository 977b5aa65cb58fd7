//! Two copies of the tables: workers read one, the control side changes the other.
//!
//! A change costs what it touches, twice, and never a rebuild. The control side's way is
//! [`TablePair::change`] as often as it likes, [`TablePair::publish`], hand the tables to the workers
//! and go on with other things until [`TablePair::is_free`]: each worker took them, so nobody reads
//! the other copy any more. The next change brings that up to date first.

use std::sync::Arc;

use super::{Operation, Tables};
use crate::fib::FibError;

/// A worker still reads the copy that would have to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a worker has not taken the tables that were published last; try again when it has")]
pub struct StillRead;

/// See the module.
#[derive(Debug)]
pub struct TablePair {
    live: Arc<Tables>,
    standby: Arc<Tables>,
    /// What `standby` has and `live` has not.
    unpublished: Vec<Operation>,
    /// What `live` has and `standby`, which was live before it, has not.
    missed: Vec<Operation>,
}

impl TablePair {
    /// Both copies of tables, which count as published.
    pub fn new(tables: Tables) -> Self {
        let standby = Arc::new(tables.clone());
        Self { live: Arc::new(tables), standby, unpublished: Vec::new(), missed: Vec::new() }
    }

    /// The tables that were published last.
    pub fn live(&self) -> &Arc<Tables> {
        &self.live
    }

    /// Whether a change can be made now. True also brings the copy for changes up to date; from
    /// then on nobody reads anything that was taken out before the last publication.
    pub fn is_free(&mut self) -> bool {
        self.catch_up().is_ok()
    }

    /// Makes changes; none of them can be seen before [`Self::publish`].
    ///
    /// # Errors
    /// When a route does not fit. Some changes may have been made then: the pair can't be published
    /// any more, and has to be replaced.
    ///
    /// # Panics
    /// When [`Self::is_free`] has not been waited for.
    pub fn change(&mut self, operations: Vec<Operation>) -> Result<(), FibError> {
        let standby = self.catch_up().expect("a copy that nobody reads, because is_free said so");
        operations.iter().try_for_each(|operation| standby.change(operation))?;
        self.unpublished.extend(operations);
        Ok(())
    }

    /// Whether there are changes that are not published.
    pub fn has_changes(&self) -> bool {
        !self.unpublished.is_empty()
    }

    /// Makes the changes so far the tables to read, as generation `generation`.
    ///
    /// # Panics
    /// When [`Self::is_free`] has not been waited for.
    pub fn publish(&mut self, generation: u64) -> Arc<Tables> {
        let standby = self.catch_up().expect("a copy that nobody reads, because is_free said so");
        standby.generation = generation;
        core::mem::swap(&mut self.live, &mut self.standby);
        core::mem::swap(&mut self.missed, &mut self.unpublished);
        Arc::clone(&self.live)
    }

    /// Brings the copy that was live before up to date, if nobody reads it.
    fn catch_up(&mut self) -> Result<&mut Tables, StillRead> {
        let standby = Arc::get_mut(&mut self.standby).ok_or(StillRead)?;
        if !self.missed.is_empty() {
            let replayed = self.missed.iter().try_for_each(|operation| standby.change(operation));
            if replayed.is_err() {
                // Both copies have the same room, so this can't be; and if it is, no harm is done.
                *standby = Tables::clone(&self.live);
            }
            // After a large change it is large; the next one is probably small.
            self.missed = Vec::new();
        }
        Ok(standby)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fib::Rib4;
    use crate::interface::TunnelId;
    use crate::tables::NextHop;

    fn route(rib: &mut Rib4, prefix: &str, tunnel: u32) -> Operation {
        let next_hop = NextHop::Tunnel(TunnelId(tunnel)).id().unwrap();
        let change = rib.plan_insert(prefix.parse().unwrap(), next_hop);
        rib.apply(&change);
        Operation::Route4(change)
    }

    fn at(tables: &Tables, address: [u8; 4]) -> NextHop {
        tables.route_ipv4(u32::from_be_bytes(address))
    }

    #[test]
    fn a_change_is_seen_when_it_is_published_and_reaches_both_copies() {
        let (mut pair, mut rib) = (TablePair::new(Tables::empty(1)), Rib4::new());
        pair.change(vec![route(&mut rib, "10.0.0.0/8", 1)]).unwrap();
        assert_eq!(at(pair.live(), [10, 0, 0, 1]), NextHop::NoRoute);
        let first = pair.publish(7);
        assert_eq!(
            (first.generation, at(&first, [10, 0, 0, 1])),
            (7, NextHop::Tunnel(TunnelId(1)))
        );
        pair.change(vec![route(&mut rib, "10.1.0.0/16", 2)]).unwrap();
        let second = pair.publish(8);
        assert_eq!(at(&second, [10, 0, 0, 1]), NextHop::Tunnel(TunnelId(1)));
        assert_eq!(at(&second, [10, 1, 0, 1]), NextHop::Tunnel(TunnelId(2)));
        assert_eq!(at(&first, [10, 1, 0, 1]), NextHop::Tunnel(TunnelId(1)));
        assert!(!pair.is_free(), "the first copy is still held");
        drop(first);
        assert!(pair.is_free());
    }

    #[test]
    fn a_route_that_does_not_fit_is_an_error() {
        let mut tables = Tables::empty(1);
        tables.fib4 = crate::fib::Fib4::with_lines_max(1);
        let (mut pair, mut rib) = (TablePair::new(tables), Rib4::new());
        pair.change(vec![route(&mut rib, "10.0.0.1/32", 1)]).unwrap();
        let second = pair.change(vec![route(&mut rib, "10.3.0.1/32", 3)]);
        assert_eq!(second, Err(FibError::Full { limit: 1 }));
    }
}
