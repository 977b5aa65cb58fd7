//! What can be noted of a packet: each a decision with the values that it was taken on.

use crate::interface::PortId;
use crate::stage::Loss;

/// One step or decision. Numbers of ports and tunnels are those of the tables in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame has come in.
    Received {
        /// Where.
        port: PortId,
        /// Its bytes, without FCS.
        length: usize,
    },
    /// It leaves.
    Sent {
        /// Where.
        port: PortId,
        /// The frame's bytes, without FCS.
        length: usize,
    },
    /// It ends here.
    Dropped(Loss),
}

impl Event {
    /// Whether a packet that begins so comes from outside, and belongs to no packet before it.
    pub const fn is_arrival(&self) -> bool {
        matches!(self, Self::Received { .. })
    }
}
