//! The forwarding tables: longest-prefix match for IPv4 and IPv6, in safe Rust over ordinary
//! memory.
//!
//! Three layers, each usable without the next:
//! - [`Fib4`] and [`Fib6`] answer lookups on workers, and take one [`Change`] at a time in place;
//! - [`Rib4`] and [`Rib6`] are the control side's truth: the routes, in order, and what a change of
//!   one means for a table;
//! - [`LeftRight`] keeps two tables in step, so that a worker never sees one that changes.
//!
//! What a next hop is, is not known here: a [`NextHopId`] is a number that the caller gives a
//! meaning.

mod direct;
mod entry;
mod fib4;
mod fib6;
mod left_right;
mod lines;
mod next_hop;
mod nodes;
#[cfg(test)]
mod oracle;
mod rib;
mod short;

pub use fib4::{Fib4, LastFound};
pub use fib6::{Fib6, PAGES_MAX};
pub use left_right::{LeftRight, Routes4, Routes6};
pub use next_hop::{NEXT_HOPS_MAX, NextHopId, NextHopOutOfRange};
pub use rib::{Change, Prefix, Rib, Rib4, Rib6};

/// How many lines of 64 bytes a table can fill for prefixes longer than /24 (IPv6: /32), unless it is made with
/// another limit: 512 MiB. A million routes need 3 500 000 of them at the very worst. Only what is added is
/// refused then: a removal that leaves more gaps than a line can tell takes up to 17 more.
pub const LINES_MAX: usize = 1 << 23;

/// A table that longest-prefix lookups run on, kept in step with a [`Rib`] by its changes.
pub trait Fib: Clone + Default {
    /// The prefixes it holds.
    type Prefix: Prefix;

    /// Makes one change that a [`Rib`] with the same routes planned. On an error, which no removal
    /// ends with, the table is as before. Changes belong to one sequence: each is applied once, in the order planned.
    fn apply(&mut self, change: &Change<Self::Prefix>) -> Result<(), FibError>;

    /// A table with all routes of `rib`.
    fn build(rib: &Rib<Self::Prefix>) -> Result<Self, FibError> {
        let mut fib = Self::default();
        for (prefix, next_hop) in rib.iter() {
            fib.apply(&Change::first(prefix, next_hop))?;
        }
        Ok(fib)
    }

    /// Bytes of memory it has asked for. Pages of it that were never written cost nothing yet.
    fn memory_bytes(&self) -> usize;
}

/// Why a route can't be added, or a table can't be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FibError {
    /// The parts of the table for long prefixes are used up.
    #[error(
        "the forwarding table is full: prefixes longer than /24 (IPv6: /32) fill its {limit} lines \
         of 64 bytes; aggregate routes"
    )]
    Full {
        /// How many lines the table can have.
        limit: usize,
    },
    /// IPv6 prefixes longer than /16 are in too many places.
    #[error("the forwarding table is full: it has longer prefixes in {limit} IPv6 /16s; aggregate")]
    TooScattered {
        /// How many /16s the table can have longer prefixes in.
        limit: usize,
    },
    /// Workers may still read the table that would have to change.
    #[error("the previous forwarding table is still in use; try again when every worker left it")]
    InUse,
}
