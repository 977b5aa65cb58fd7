//! Who watches packets on their way: nobody while the appliance runs, a recorder when somebody asks
//! what became of a frame.
//!
//! The stages and the worker note what they decide, and on which values, at the place where they
//! decide it. Over [`Unwatched`], which is the default everywhere, a note is no instruction. So what
//! is told of a packet is made by the code that sends packets, and by no other.
//!
//! Watched packets don't take the [fast path](crate::fast_path), which has no rules of its own: tests
//! hold it to the same results.

mod event;
mod parts;
mod recorder;

pub use event::{Event, LabelStep, TunnelSize, Wrapped};
pub use parts::{Fault, Filter, Header, Hop, LoopRule};
pub use recorder::{Entry, Recorder};

use crate::clock::Nanos;
use crate::packet::Packet;

/// Takes notes of packets. A worker has one, and gives copies of it to its stages.
pub trait Witness: Clone {
    /// Whether anything is noted at all.
    const WATCHES: bool;

    /// It is this time from here on.
    fn at(&self, now: Nanos);

    /// From here on it is about this packet, which is new: it has come in, or was made by this node.
    fn begin(&self, packet: &Packet, origin: impl FnOnce() -> Event);

    /// From here on it is about this packet, which has been there before.
    fn turn_to(&self, packet: &Packet);

    /// Something was decided about the packet at hand.
    fn note(&self, event: impl FnOnce() -> Event);
}

/// Nobody watches: every call compiles to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Witness for Unwatched {
    const WATCHES: bool = false;

    #[inline]
    fn at(&self, _: Nanos) {}

    #[inline]
    fn begin(&self, _: &Packet, _: impl FnOnce() -> Event) {}

    #[inline]
    fn turn_to(&self, _: &Packet) {}

    #[inline]
    fn note(&self, _: impl FnOnce() -> Event) {}
}
