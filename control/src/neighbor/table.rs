//! The neighbors of one port, with what is due when and who goes first when room is short.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use adit_dataplane::clock::Nanos;
use adit_dataplane::wire::ethernet::MacAddress;

use super::{Parked, report};

/// Where a neighbor stands, with what belongs to each state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Incomplete { requests_left: u8 },
    Reachable(MacAddress),
    Stale(MacAddress),
    Delay(MacAddress),
    Probe { mac: MacAddress, probes_left: u8 },
    Failed,
    Permanent(MacAddress),
}

impl State {
    pub(super) fn mac(self) -> Option<MacAddress> {
        match self {
            Self::Incomplete { .. } | Self::Failed => None,
            Self::Reachable(mac)
            | Self::Stale(mac)
            | Self::Delay(mac)
            | Self::Probe { mac, .. }
            | Self::Permanent(mac) => Some(mac),
        }
    }

    pub(super) fn report(self) -> report::State {
        match self {
            Self::Incomplete { .. } => report::State::Incomplete,
            Self::Reachable(_) => report::State::Reachable,
            Self::Stale(_) => report::State::Stale,
            Self::Delay(_) => report::State::Delay,
            Self::Probe { .. } => report::State::Probe,
            Self::Failed => report::State::Failed,
            Self::Permanent(_) => report::State::Permanent,
        }
    }
}

/// What decides who has to go when room is short. Static neighbors and next hops have no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Failed,
    Incomplete,
    /// It said where it is, and was never asked.
    Unconfirmed,
    Confirmed,
}

const CLASS_COUNT: usize = Class::Confirmed as usize + 1;

#[derive(Debug)]
pub(super) struct Neighbor {
    pub(super) state: State,
    /// When it came into this state.
    pub(super) since: Nanos,
    /// When something is to be done.
    pub(super) deadline: Option<Nanos>,
    /// The last request or probe.
    pub(super) asked_at: Option<Nanos>,
    /// It has answered a request from its present MAC address.
    pub(super) is_confirmed: bool,
    pub(super) is_next_hop: bool,
    /// The oldest first.
    pub(super) waiting: VecDeque<Parked>,
}

impl Neighbor {
    pub(super) fn new(state: State, now: Nanos, is_next_hop: bool) -> Self {
        Self {
            state,
            since: now,
            deadline: None,
            asked_at: None,
            is_confirmed: false,
            is_next_hop,
            waiting: VecDeque::new(),
        }
    }

    /// Goes over to a state that ends by itself at `deadline`, if at all.
    pub(super) fn enter(&mut self, state: State, now: Nanos, deadline: Option<Nanos>) {
        self.state = state;
        self.since = now;
        self.deadline = deadline;
    }

    /// `None`: it stays whatever happens.
    fn class(&self) -> Option<Class> {
        match self.state {
            _ if self.is_next_hop => None,
            State::Permanent(_) => None,
            State::Failed => Some(Class::Failed),
            State::Incomplete { .. } => Some(Class::Incomplete),
            _ if self.is_confirmed => Some(Class::Confirmed),
            _ => Some(Class::Unconfirmed),
        }
    }
}

/// The neighbors. What is said of a neighbor is changed through the table alone, which keeps its
/// indexes right.
#[derive(Debug, Default)]
pub(super) struct Table {
    neighbors: BTreeMap<IpAddr, Neighbor>,
    deadlines: BTreeSet<(Nanos, IpAddr)>,
    /// By class, the oldest first.
    evictable: [BTreeSet<(Nanos, IpAddr)>; CLASS_COUNT],
}

impl Table {
    pub(super) fn get(&self, address: IpAddr) -> Option<&Neighbor> {
        self.neighbors.get(&address)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, &Neighbor)> + '_ {
        self.neighbors.iter().map(|(&address, neighbor)| (address, neighbor))
    }

    /// Adds a neighbor that is not there yet.
    pub(super) fn insert(&mut self, address: IpAddr, neighbor: Neighbor) {
        debug_assert!(!self.neighbors.contains_key(&address), "{address} is there already");
        self.index(address, &neighbor);
        self.neighbors.insert(address, neighbor);
    }

    /// Changes a neighbor. `None`: it is not there.
    pub(super) fn update<R>(
        &mut self,
        address: IpAddr,
        change: impl FnOnce(&mut Neighbor) -> R,
    ) -> Option<R> {
        let mut neighbor = self.remove(address)?;
        let result = change(&mut neighbor);
        self.insert(address, neighbor);
        Some(result)
    }

    /// Takes a neighbor out, with the packets that wait for it.
    #[must_use = "packets may wait for it"]
    pub(super) fn remove(&mut self, address: IpAddr) -> Option<Neighbor> {
        let neighbor = self.neighbors.remove(&address)?;
        if let Some(deadline) = neighbor.deadline {
            self.deadlines.remove(&(deadline, address));
        }
        if let Some(class) = neighbor.class() {
            self.evictable[class as usize].remove(&(neighbor.since, address));
        }
        Some(neighbor)
    }

    fn index(&mut self, address: IpAddr, neighbor: &Neighbor) {
        if let Some(deadline) = neighbor.deadline {
            self.deadlines.insert((deadline, address));
        }
        if let Some(class) = neighbor.class() {
            self.evictable[class as usize].insert((neighbor.since, address));
        }
    }

    /// When something is due next.
    pub(super) fn first_deadline(&self) -> Option<Nanos> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// For whom something is due, in the order of the deadlines.
    pub(super) fn due(&self, now: Nanos) -> Vec<IpAddr> {
        let is_due = |&&(at, _): &&(Nanos, IpAddr)| at <= now;
        self.deadlines.iter().take_while(is_due).map(|&(_, address)| address).collect()
    }

    /// How many of a class there are.
    pub(super) fn count(&self, class: Class) -> usize {
        self.evictable[class as usize].len()
    }

    /// How many could be evicted.
    pub(super) fn evictable_count(&self) -> usize {
        self.evictable.iter().map(BTreeSet::len).sum()
    }

    /// Who has been in the first of these classes for longest that is not empty.
    pub(super) fn oldest_of(&self, classes: &[Class]) -> Option<(Class, IpAddr)> {
        let oldest = |class: Class| self.evictable[class as usize].first();
        classes.iter().find_map(|&class| oldest(class).map(|&(_, address)| (class, address)))
    }
}
