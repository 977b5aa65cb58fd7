//! One port: what becomes of its neighbors when packets need them and time passes. What they say
//! of themselves is in [`hear`](super::hear), what the configuration says in
//! [`setup`](super::setup).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::PortId;
use adit_dataplane::wire::ethernet::MacAddress;

use super::link::Link;
use super::listener::Listener;
use super::pace::Pace;
use super::table::{Class, Neighbor, State, Table};
use super::{Action, Entry, NeighborLimits, Notice, Parked, PortSetup, Turn};

/// Requests to everybody before a neighbor counts as failed, and probes before one is forgotten.
pub(super) const ATTEMPTS: u8 = 3;
/// Between two requests for the same neighbor.
//= RFC 1122 §2.3.2.1: no more than one request per second for one address.
pub(super) const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer is good for.
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// How long what a neighbor tells unasked is good for.
const DELAY_TIME: Duration = Duration::from_secs(5);
/// How long it is remembered that a neighbor does not answer, when nobody asks.
const FAILED_TIME: Duration = Duration::from_mins(1);
/// Between two notices that there are too many neighbors.
const FULL_NOTICE_INTERVAL: Duration = Duration::from_mins(1);

/// Who gives way, in this order, to a neighbor that a packet needs.
pub(super) const FOR_NEEDED: &[Class] =
    &[Class::Failed, Class::Unconfirmed, Class::Confirmed, Class::Incomplete];
/// Who gives way to one that tells where it is: nobody who has answered, or that a packet needs.
pub(super) const FOR_TELLING: &[Class] = &[Class::Failed, Class::Unconfirmed];

#[derive(Debug)]
pub(super) struct Port {
    pub(super) link: Link,
    pub(super) proves_addresses: bool,
    pub(super) table: Table,
    pub(super) next_hops: BTreeSet<IpAddr>,
    pub(super) statics: BTreeMap<IpAddr, MacAddress>,
    /// What packets make us ask for.
    requests: Pace,
    probes: Pace,
    /// When an address of ours was defended last.
    pub(super) defended_at: BTreeMap<IpAddr, Nanos>,
    pub(super) is_up: bool,
    pub(super) announce_at: Option<Nanos>,
    /// What is to be answered about groups.
    pub(super) listener: Listener,
    full_notice_at: Option<Nanos>,
}

impl Port {
    pub(super) fn new(setup: &PortSetup, limits: &NeighborLimits) -> Self {
        Self {
            // Addresses and neighbors come with `configure`.
            link: Link::bare(setup),
            proves_addresses: setup.proves_addresses,
            table: Table::default(),
            next_hops: BTreeSet::new(),
            statics: BTreeMap::new(),
            requests: Pace::new(limits.requests_per_second, limits.request_burst),
            probes: Pace::new(limits.probes_per_second, 1),
            defended_at: BTreeMap::new(),
            is_up: false,
            announce_at: None,
            listener: Listener::default(),
            full_notice_at: None,
        }
    }

    pub(super) fn unresolved(&mut self, address: IpAddr, packet: Parked, turn: &mut Turn<'_>) {
        let port = self.link.port;
        let Some(neighbor) = self.table.get(address) else {
            return self.ask_anew(address, packet, turn);
        };
        if let Some(mac) = neighbor.state.mac() {
            turn.actions.push(Action::Send { port, address, mac, packet });
        } else if neighbor.state != State::Failed {
            self.hold(address, packet, turn);
        } else if neighbor.asked_at.is_some_and(|at| turn.now.since(at) < REQUEST_INTERVAL) {
            turn.actions.push(Action::Unreachable { port, address, packet });
        } else if self.requests.admits(turn.now) {
            self.start(address, 1, turn);
            self.hold(address, packet, turn);
        } else {
            turn.actions.push(Action::Drop { port, packet });
        }
    }

    /// A packet needs a neighbor that nothing is known of.
    fn ask_anew(&mut self, address: IpAddr, packet: Parked, turn: &mut Turn<'_>) {
        let port = self.link.port;
        if !self.can_resolve(address) {
            turn.actions.push(Action::Unreachable { port, address, packet });
        } else if self.requests.admits(turn.now) && self.make_room(self.may_give_way(turn), turn) {
            self.table.insert(address, Neighbor::new(State::Failed, turn.now, false));
            self.start(address, ATTEMPTS, turn);
            self.hold(address, packet, turn);
        } else {
            turn.actions.push(Action::Drop { port, packet });
        }
    }

    /// Whether it can be asked for: a host on a connected net, or a next hop.
    pub(super) fn can_resolve(&self, address: IpAddr) -> bool {
        let is_known = self.link.is_connected(address) || self.next_hops.contains(&address);
        is_known && self.link.can_be_neighbor(address) && self.link.can_ask(address)
    }

    /// Who gives way to a neighbor that a packet needs. Those that are asked for don't drive out
    /// each other while they are few, and are never many: a scan costs few of the others.
    fn may_give_way(&self, turn: &Turn<'_>) -> &'static [Class] {
        if self.table.count(Class::Incomplete) < turn.limits.incomplete_per_port {
            FOR_NEEDED
        } else {
            &[Class::Incomplete]
        }
    }

    /// Makes room for one more neighbor, at the cost of the oldest of these classes. False: there
    /// is none.
    pub(super) fn make_room(&mut self, classes: &[Class], turn: &mut Turn<'_>) -> bool {
        let limit = turn.limits.entries_per_port;
        if self.table.evictable_count() < limit {
            return true;
        }
        let victim = self.table.oldest_of(classes);
        if !victim.is_some_and(|(class, _)| class == Class::Failed) {
            let is_old = |at: Nanos| turn.now.since(at) >= FULL_NOTICE_INTERVAL;
            if self.full_notice_at.is_none_or(is_old) {
                self.full_notice_at = Some(turn.now);
                let port = self.link.port;
                turn.actions.push(Action::Notice(Notice::TableFull { port, limit }));
            }
        }
        match victim {
            Some((_, address)) => self.forget(address, turn),
            None => return false,
        }
        true
    }

    /// Lets a packet wait, at the cost of the oldest one.
    fn hold(&mut self, address: IpAddr, packet: Parked, turn: &mut Turn<'_>) {
        let is_full = *turn.held >= turn.limits.packets;
        let limit = turn.limits.packets_per_neighbor;
        let mut packet = Some(packet);
        let dropped = self.table.update(address, |neighbor| {
            let oldest = if is_full || neighbor.waiting.len() >= limit {
                neighbor.waiting.pop_front()
            } else {
                None
            };
            if oldest.is_some() || !is_full && limit > 0 {
                neighbor.waiting.extend(packet.take());
            }
            oldest
        });
        if packet.is_none() {
            *turn.held += 1;
        }
        let port = self.link.port;
        if let Some(packet) = dropped.flatten() {
            *turn.held -= 1;
            turn.actions.push(Action::Drop { port, packet });
        }
        if let Some(packet) = packet {
            turn.actions.push(Action::Drop { port, packet });
        }
    }

    /// Asks everybody for a neighbor that is there without being known, `requests` times.
    pub(super) fn start(&mut self, address: IpAddr, requests: u8, turn: &mut Turn<'_>) {
        let is_next_hop = self.table.get(address).is_some_and(|one| one.is_next_hop);
        let limit = turn.limits.incomplete_per_port.max(1);
        let is_crowded = !is_next_hop && self.table.count(Class::Incomplete) >= limit;
        let oldest = self.table.oldest_of(&[Class::Incomplete]);
        if let Some((_, oldest)) = oldest.filter(|_| is_crowded) {
            self.forget(oldest, turn);
        }
        let state = State::Incomplete { requests_left: requests - 1 };
        self.ask(address, state, None, turn);
    }

    /// Sends a request and goes over to `state`, which ends when the next one is due.
    fn ask(
        &mut self,
        address: IpAddr,
        state: State,
        station: Option<MacAddress>,
        turn: &mut Turn<'_>,
    ) {
        let now = turn.now;
        self.table.update(address, |neighbor| {
            neighbor.asked_at = Some(now);
            let since =
                if neighbor.state.report() == state.report() { neighbor.since } else { now };
            neighbor.enter(state, since, Some(now + REQUEST_INTERVAL));
        });
        if let Some(frame) = self.link.request(address, station) {
            turn.actions.push(Action::Transmit { port: self.link.port, frame });
        }
    }

    /// The neighbor is at `mac`: it has answered a request, or has told without one.
    pub(super) fn learn(
        &mut self,
        address: IpAddr,
        mac: MacAddress,
        is_answer: bool,
        turn: &mut Turn<'_>,
    ) {
        let state = if is_answer { State::Reachable(mac) } else { State::Delay(mac) };
        self.place(address, state, turn);
    }

    /// Gives a neighbor a state with a MAC address; what has waited for it can go.
    pub(super) fn place(&mut self, address: IpAddr, state: State, turn: &mut Turn<'_>) {
        let Some(mac) = state.mac() else { return };
        let deadline = match state {
            State::Reachable(_) => Some(turn.now + REACHABLE_TIME),
            State::Delay(_) => Some(turn.now + DELAY_TIME),
            _ => None,
        };
        let placed = self.table.update(address, |neighbor| {
            let is_same = neighbor.state.mac() == Some(mac);
            neighbor.is_confirmed =
                matches!(state, State::Reachable(_)) || neighbor.is_confirmed && is_same;
            neighbor.enter(state, turn.now, deadline);
            (is_same, std::mem::take(&mut neighbor.waiting))
        });
        let Some((is_same, waiting)) = placed else { return };
        let port = self.link.port;
        if !is_same {
            turn.actions.push(Action::Changed { port, address, mac: Some(mac) });
        }
        *turn.held -= waiting.len();
        let send = |packet| Action::Send { port, address, mac, packet };
        turn.actions.extend(waiting.into_iter().map(send));
    }

    /// Takes a neighbor out; what has waited for it is dropped.
    pub(super) fn forget(&mut self, address: IpAddr, turn: &mut Turn<'_>) {
        let Some(neighbor) = self.table.remove(address) else { return };
        let port = self.link.port;
        if neighbor.state.mac().is_some() {
            turn.actions.push(Action::Changed { port, address, mac: None });
        }
        *turn.held -= neighbor.waiting.len();
        turn.actions
            .extend(neighbor.waiting.into_iter().map(|packet| Action::Drop { port, packet }));
    }

    pub(super) fn next_deadline(&self) -> Option<Nanos> {
        let others = self
            .announce_at
            .into_iter()
            .chain(self.listener.next_deadline())
            .chain(self.proof_ends_at());
        self.table.first_deadline().into_iter().chain(others).min()
    }

    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) {
        self.end_proofs(turn);
        if self.announce_at.is_some_and(|at| at <= turn.now) {
            self.announce_at = None;
            self.announce(turn);
        }
        self.answer_queries(turn);
        for address in self.table.due(turn.now) {
            self.expire(address, turn);
        }
    }

    /// The state of a neighbor has come to its end.
    fn expire(&mut self, address: IpAddr, turn: &mut Turn<'_>) {
        let Some(neighbor) = self.table.get(address) else { return };
        match neighbor.state {
            State::Incomplete { requests_left: 0 } => self.fail(address, turn),
            State::Incomplete { requests_left } => {
                let state = State::Incomplete { requests_left: requests_left - 1 };
                self.ask(address, state, None, turn);
            }
            State::Reachable(mac) | State::Delay(mac) => {
                let place = self.probes.reserve(turn.now);
                if place <= turn.now {
                    self.probe(address, mac, ATTEMPTS - 1, turn);
                } else {
                    let stale = State::Stale(mac);
                    self.table.update(address, |one| one.enter(stale, turn.now, Some(place)));
                }
            }
            State::Stale(mac) => self.probe(address, mac, ATTEMPTS - 1, turn),
            State::Probe { probes_left: 0, .. } => self.lose(address, turn),
            State::Probe { mac, probes_left } => self.probe(address, mac, probes_left - 1, turn),
            State::Failed if neighbor.is_next_hop => self.ask(address, State::Failed, None, turn),
            State::Failed | State::Permanent(_) => self.forget(address, turn),
        }
    }

    fn probe(&mut self, address: IpAddr, mac: MacAddress, probes_left: u8, turn: &mut Turn<'_>) {
        self.ask(address, State::Probe { mac, probes_left }, Some(mac), turn);
    }

    /// Nobody has answered: what has waited is unreachable.
    fn fail(&mut self, address: IpAddr, turn: &mut Turn<'_>) {
        let failed = self.table.update(address, |neighbor| {
            neighbor.enter(State::Failed, turn.now, Some(turn.now + FAILED_TIME));
            (neighbor.is_next_hop, std::mem::take(&mut neighbor.waiting))
        });
        let Some((is_next_hop, waiting)) = failed else { return };
        let port = self.link.port;
        *turn.held -= waiting.len();
        let unreachable = |packet| Action::Unreachable { port, address, packet };
        turn.actions.extend(waiting.into_iter().map(unreachable));
        if is_next_hop {
            self.ask(address, State::Failed, None, turn);
        }
    }

    /// A neighbor that was known does not answer any more.
    fn lose(&mut self, address: IpAddr, turn: &mut Turn<'_>) {
        let is_next_hop = self.table.get(address).is_some_and(|one| one.is_next_hop);
        self.forget(address, turn);
        if is_next_hop {
            self.table.insert(address, Neighbor::new(State::Failed, turn.now, true));
            self.start(address, ATTEMPTS, turn);
        }
    }

    pub(super) fn mac(&self, address: IpAddr) -> Option<MacAddress> {
        self.table.get(address)?.state.mac()
    }

    pub(super) fn entries(&self, port: PortId) -> impl Iterator<Item = Entry> + '_ {
        self.table.iter().map(move |(address, neighbor)| Entry {
            port,
            address,
            mac: neighbor.state.mac(),
            state: neighbor.state.report(),
            since: neighbor.since,
            is_next_hop: neighbor.is_next_hop,
            held: neighbor.waiting.len(),
        })
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.table.iter().map(|(address, _)| address).collect()
    }
}
