//! What the state machine says to people: its entries, its log lines, why it refuses a message.

use std::fmt;
use std::net::IpAddr;

use adit_dataplane::clock::Nanos;
use adit_dataplane::counters::Counter;
use adit_dataplane::interface::PortId;
use adit_dataplane::wire::arp::ArpError;
use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::nd::NdError;

/// The state of a neighbor. The words are those of `ip neigh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked for, and not known.
    Incomplete,
    /// Has answered in the last 30 seconds.
    Reachable,
    /// Has answered before that; waits for its turn to be probed.
    Stale,
    /// Has told where it is without being asked; will be probed.
    Delay,
    /// Is being probed.
    Probe,
    /// Does not answer.
    Failed,
    /// Configured.
    Permanent,
}

impl State {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Permanent => "permanent",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether an address that this node was given is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// It is.
    Usable,
    /// Not before duplicate address detection has passed.
    Tentative,
    /// Not, because somebody else on the link does: until the port comes up again.
    Duplicate,
}

impl AddressState {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Tentative => "tentative",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A neighbor, as `adit show neighbors` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The port it is behind.
    pub port: PortId,
    /// Its address.
    pub address: IpAddr,
    /// Where it is, if known.
    pub mac: Option<MacAddress>,
    /// See [`State`].
    pub state: State,
    /// Since when it is in this state; the last answer, if it is reachable.
    pub since: Nanos,
    /// Whether a route or tunnel goes by it.
    pub is_next_hop: bool,
    /// Packets that wait for it.
    pub held: usize,
}

/// Why a message was not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An ARP message.
    #[error("the ARP message is not valid: {0}")]
    Arp(#[from] ArpError),
    /// A message of neighbor discovery.
    #[error("the neighbor discovery message is not valid: {0}")]
    Nd(#[from] NdError),
}

impl Refusal {
    /// The drop that it counts as.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Arp(_) => Counter::ArpBad,
            Self::Nd(_) => Counter::NdBad,
        }
    }
}

/// Something that an operator wants to know. Ports are named by number; the log knows their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Somebody else uses an address of ours. Said, and the address defended, once in 10 s.
    AddressConflict {
        /// Where.
        port: PortId,
        /// Ours.
        address: IpAddr,
        /// Who uses it.
        mac: MacAddress,
    },
    /// Somebody else uses an address that we were about to use. Said once each time it is asked for.
    DuplicateAddress {
        /// Where.
        port: PortId,
        /// The one we were given.
        address: IpAddr,
        /// Who uses it.
        mac: MacAddress,
    },
    /// More neighbors than there is room for. Said once a minute.
    TableFull {
        /// Where.
        port: PortId,
        /// How many there is room for.
        limit: usize,
    },
    /// A next hop that can't be asked for: the port has no address of its family, or it is no
    /// neighbor's address.
    NextHopWithoutSource {
        /// Where.
        port: PortId,
        /// The next hop.
        address: IpAddr,
    },
    /// More next hops than are kept resolved.
    TooManyNextHops {
        /// Where.
        port: PortId,
        /// How many there are.
        count: usize,
        /// How many are kept resolved.
        limit: usize,
    },
}

impl Notice {
    /// The port it is about.
    pub const fn port(self) -> PortId {
        match self {
            Self::AddressConflict { port, .. }
            | Self::DuplicateAddress { port, .. }
            | Self::TableFull { port, .. }
            | Self::NextHopWithoutSource { port, .. }
            | Self::TooManyNextHops { port, .. } => port,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressConflict { address, mac, .. } => {
                write!(f, "{mac} uses our address {address} as well; remove it there or here")
            }
            Self::DuplicateAddress { address, mac, .. } => write!(
                f,
                "{mac} uses our address {address}, which therefore stays unused here; remove it there or \
                 here, and it is asked for again when the port comes up"
            ),
            Self::TableFull { limit, .. } => write!(
                f,
                "more than {limit} neighbors; the oldest are forgotten, and new ones may be refused"
            ),
            Self::NextHopWithoutSource { address, .. } => write!(
                f,
                "next hop {address} can't be asked for: the port needs an address of its family, \
                 and not this one"
            ),
            Self::TooManyNextHops { count, limit, .. } => write!(
                f,
                "{count} next hops, of which {limit} are kept resolved; the others are resolved \
                 when a packet needs them"
            ),
        }
    }
}
