//! What becomes of a port's neighbors when the configuration, the carrier or an operator's wish
//! changes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use adit_dataplane::wire::ethernet::MacAddress;
use adit_dataplane::wire::mld::Record;

use super::link::Link;
use super::port::{ATTEMPTS, FOR_NEEDED, Port, REQUEST_INTERVAL};
use super::table::{Class, Neighbor, State};
use super::{Action, Notice, PortSetup, Turn};

/// Until addresses are announced for the second time.
//= RFC 5227 §1.1: ANNOUNCE_NUM 2, ANNOUNCE_INTERVAL 2 seconds.
pub(super) const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);

impl Port {
    pub(super) fn configure(
        &mut self,
        setup: &PortSetup,
        next_hops: BTreeSet<IpAddr>,
        turn: &mut Turn<'_>,
    ) {
        let link = Link::new(setup, &self.link);
        let before = std::mem::replace(&mut self.link, link);
        self.proves_addresses = setup.proves_addresses;
        self.statics = setup.static_neighbors.iter().copied().collect();
        self.statics.retain(|&address, _| self.link.get(address).is_none());
        self.take_next_hops(next_hops, turn);
        self.defended_at.retain(|&address, _| self.link.owns(address));
        for address in self.addresses() {
            self.settle(address, turn);
        }
        let statics: Vec<_> = self.statics.iter().map(|(&address, &mac)| (address, mac)).collect();
        for (address, mac) in statics {
            self.fix(address, mac, turn);
        }
        self.resume_next_hops(turn);
        self.trim(turn);
        if self.is_up {
            let moved = before.mac != self.link.mac;
            self.change_groups(&before, turn);
            for address in self.link.own().filter(|&own| moved || !before.owns(own)) {
                let frame = self.link.announcement(address);
                turn.actions.push(Action::Transmit { port: self.link.port, frame });
                self.announce_at = Some(turn.now + ANNOUNCE_INTERVAL);
            }
            self.prove(turn);
        }
    }

    /// Tells about groups that are listened to from now on, or not any more.
    fn change_groups(&mut self, before: &Link, turn: &mut Turn<'_>) {
        let (old, new) = (before.groups(), self.link.groups());
        let left = old.difference(&new).copied().collect();
        let joined: BTreeSet<Ipv6Addr> = new.difference(&old).copied().collect();
        //= RFC 3810 §6.1, §9.1: a change is reported twice. Of what was left once is enough: it ends by
        //= itself when nobody reports it any more.
        if !joined.is_empty() {
            self.announce_at = Some(turn.now + ANNOUNCE_INTERVAL);
        }
        self.report(Record::Left, &left, turn);
        self.report(Record::Joined, &joined, turn);
    }

    /// Keeps the limits when next hops have become neighbors like others.
    fn trim(&mut self, turn: &mut Turn<'_>) {
        let limit = turn.limits.incomplete_per_port.max(1);
        while self.table.count(Class::Incomplete) > limit
            && let Some((_, oldest)) = self.table.oldest_of(&[Class::Incomplete])
        {
            self.forget(oldest, turn);
        }
        while self.table.evictable_count() > turn.limits.entries_per_port
            && let Some((_, oldest)) = self.table.oldest_of(FOR_NEEDED)
        {
            self.forget(oldest, turn);
        }
    }

    fn take_next_hops(&mut self, next_hops: BTreeSet<IpAddr>, turn: &mut Turn<'_>) {
        let port = self.link.port;
        let (count, limit) = (next_hops.len(), turn.limits.next_hops_per_port);
        if count > limit {
            turn.actions.push(Action::Notice(Notice::TooManyNextHops { port, count, limit }));
        }
        let mut usable: BTreeSet<IpAddr> = next_hops.into_iter().take(limit).collect();
        usable.retain(|address| self.can_be_next_hop(*address, turn));
        self.next_hops = usable;
    }

    /// Whether a next hop is static or can be asked for; if not, that is said.
    fn can_be_next_hop(&self, address: IpAddr, turn: &mut Turn<'_>) -> bool {
        let port = self.link.port;
        let is_static = self.statics.contains_key(&address);
        let can_ask = self.link.can_be_neighbor(address) && self.link.can_ask(address);
        if !can_ask && !is_static {
            turn.actions.push(Action::Notice(Notice::NextHopWithoutSource { port, address }));
        }
        can_ask || is_static
    }

    /// A next hop came, or is none any more.
    pub(super) fn want_next_hop(&mut self, address: IpAddr, is_wanted: bool, turn: &mut Turn<'_>) {
        if is_wanted {
            // Beyond the limit they are resolved when packets need them, as `configure` says.
            if self.next_hops.len() >= turn.limits.next_hops_per_port {
                return;
            }
            if !self.can_be_next_hop(address, turn) || !self.next_hops.insert(address) {
                return;
            }
        } else if !self.next_hops.remove(&address) {
            return;
        }
        if self.table.get(address).is_some() {
            self.settle(address, turn);
            if self.statics.contains_key(&address) {
                self.table.update(address, |neighbor| neighbor.is_next_hop = is_wanted);
            }
            self.trim(turn);
        } else if is_wanted {
            self.table.insert(address, Neighbor::new(State::Failed, turn.now, true));
            self.start(address, ATTEMPTS, turn);
        }
    }

    /// Makes a neighbor of the former configuration fit the present one.
    fn settle(&mut self, address: IpAddr, turn: &mut Turn<'_>) {
        if self.statics.contains_key(&address) {
            return;
        }
        let was_static =
            self.table.get(address).is_some_and(|one| matches!(one.state, State::Permanent(_)));
        if was_static || !self.can_resolve(address) {
            return self.forget(address, turn);
        }
        let is_next_hop = self.next_hops.contains(&address);
        self.table.update(address, |neighbor| {
            if is_next_hop && !neighbor.is_next_hop && neighbor.state == State::Failed {
                let next = neighbor.asked_at.map_or(turn.now, |at| at + REQUEST_INTERVAL);
                neighbor.deadline = Some(next.max(turn.now));
            }
            neighbor.is_next_hop = is_next_hop;
        });
    }

    /// Makes a neighbor permanent.
    fn fix(&mut self, address: IpAddr, mac: MacAddress, turn: &mut Turn<'_>) {
        let is_next_hop = self.next_hops.contains(&address);
        if self.table.get(address).is_none() {
            self.table.insert(address, Neighbor::new(State::Failed, turn.now, is_next_hop));
        }
        let is_new = self.table.get(address).is_some_and(|one| one.state != State::Permanent(mac));
        self.table.update(address, |neighbor| neighbor.is_next_hop = is_next_hop);
        if is_new {
            self.place(address, State::Permanent(mac), turn);
        }
    }

    /// Asks for every next hop that there is no entry for.
    fn resume_next_hops(&mut self, turn: &mut Turn<'_>) {
        let missing = self.next_hops.iter().filter(|&&one| self.table.get(one).is_none());
        for address in missing.copied().collect::<Vec<_>>() {
            self.table.insert(address, Neighbor::new(State::Failed, turn.now, true));
            self.start(address, ATTEMPTS, turn);
        }
    }

    pub(super) fn link_up(&mut self, turn: &mut Turn<'_>) {
        self.is_up = true;
        self.doubt_all(turn);
        self.announce(turn);
        self.prove(turn);
        self.announce_at = Some(turn.now + ANNOUNCE_INTERVAL);
        let failed = |neighbor: &Neighbor| neighbor.is_next_hop && neighbor.state == State::Failed;
        for address in self.addresses() {
            if self.table.get(address).is_some_and(failed) {
                self.start(address, ATTEMPTS, turn);
            }
        }
        self.resume_next_hops(turn);
    }

    pub(super) fn link_down(&mut self, turn: &mut Turn<'_>) {
        self.is_up = false;
        self.announce_at = None;
        self.forget_queriers();
        self.stop_proofs();
        self.forget_dynamic(None, turn);
    }

    pub(super) fn announce(&self, turn: &mut Turn<'_>) {
        let port = self.link.port;
        self.report(Record::Joined, &self.link.groups(), turn);
        for address in self.link.own() {
            let frame = self.link.announcement(address);
            turn.actions.push(Action::Transmit { port, frame });
        }
    }

    pub(super) fn clear(&mut self, only: Option<IpAddr>, turn: &mut Turn<'_>) -> usize {
        let count = self.forget_dynamic(only, turn);
        self.resume_next_hops(turn);
        count
    }

    /// Forgets all but the static neighbors, or one of them.
    fn forget_dynamic(&mut self, only: Option<IpAddr>, turn: &mut Turn<'_>) -> usize {
        let is_meant = |(address, neighbor): (IpAddr, &Neighbor)| {
            let is_meant = only.is_none_or(|one| one == address);
            (is_meant && !matches!(neighbor.state, State::Permanent(_))).then_some(address)
        };
        let meant: Vec<_> = self.table.iter().filter_map(is_meant).collect();
        for &address in &meant {
            self.forget(address, turn);
        }
        meant.len()
    }

    pub(super) fn forget_all(&mut self, turn: &mut Turn<'_>) {
        for address in self.addresses() {
            self.forget(address, turn);
        }
    }
}
