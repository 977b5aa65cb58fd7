//! What a tunnel that carries Ethernet frames has beyond others.

use super::remotes::Remotes;
use crate::counters::Counter;
use crate::interface::PortId;

/// See the module.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct FrameRules {
    /// The port whose frames go into it, and where those go that come out; `None`: none come out.
    pub attach: Option<PortId>,
    /// Frames may have VLAN tags.
    pub takes_tags: bool,
    /// What it sends is not cut on this node, whatever its DF bit says.
    pub is_never_cut: bool,
    /// Who sends a packet that is too large, in a frame to one station, is told.
    pub tells_too_big: bool,
    /// It takes copies of frames and packets, and nothing else; what does not fit loses its end.
    pub takes_copies: bool,
    /// What becomes of frames that come back from where a port of this node sent them.
    pub own_station: Option<Counter>,
    /// Where frames go, if not to the tunnel's one remote.
    pub remotes: Option<Box<Remotes>>,
}

impl FrameRules {
    /// Of a tunnel that takes any frame.
    pub const fn any(attach: PortId) -> Self {
        Self {
            attach: Some(attach),
            takes_tags: true,
            is_never_cut: false,
            tells_too_big: false,
            takes_copies: false,
            own_station: None,
            remotes: None,
        }
    }

    /// Of a tunnel that takes copies.
    pub const fn of_copies(sink: Option<PortId>) -> Self {
        Self {
            attach: sink,
            takes_tags: true,
            is_never_cut: true,
            tells_too_big: false,
            takes_copies: true,
            own_station: None,
            remotes: None,
        }
    }
}
