//! The configuration: text in, a `Config` out that needs no further check, or every mistake at once.
//! It knows files and people; it does not know DPDK, workers or tables.

pub mod mistake;
pub mod model;
pub mod tunnel;
pub mod words;

pub use mistake::{Location, Mistake, MistakeKind, Mistakes, Origin, Warning};
pub use model::{
    Api, Config, Dataplane, Limits, Loopback, Name, Neighbor, NextHop, Port, Route, RouteAction,
    Via,
};
pub use tunnel::{Family, InnerSource, Settings, Tunnel};
pub use words::{
    DontFragment, DscpDecap, Ecn, Fragment, Hugepages, IcmpRelay, Idle, Mode, Payload, Profile,
    Spread, UnmatchedIcmp, Word,
};

/// What the configuration is for: a device may be missing where no device is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The appliance is started or changed: every port needs its device.
    Run,
    /// A person asks: a missing device is worth a warning.
    Check,
    /// Captures stand in for devices.
    Replay,
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// It.
    pub config: Config,
    /// What is probably not meant, in the order of the files.
    pub warnings: Vec<Mistake>,
}
