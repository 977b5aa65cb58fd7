//! What tables number, and who holds on to each number: neighbors and groups of next hops.

use std::collections::HashMap;
use std::net::IpAddr;

use adit_dataplane::interface::PortId;
use adit_dataplane::tables::neighbor::{ADJACENCIES_MAX, Adjacency, AdjacencyId};
use adit_dataplane::tables::{GROUPS_MAX, Group, GroupId, Operation, TooManyNextHops};

use crate::config::Ids;

/// Neighbors that have a number: next hops of routes and tunnels, and whoever has answered.
#[derive(Debug)]
pub(super) struct Adjacencies {
    held: HashMap<(PortId, IpAddr), Held>,
    ports: HashMap<AdjacencyId, PortId>,
    ids: Ids,
    /// Next hops that came (true) or went since [`Self::take_news`].
    news: Vec<(PortId, IpAddr, bool)>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    id: AdjacencyId,
    /// How many routes and tunnels send there.
    holders: u32,
    macs: Option<[u8; 12]>,
}

impl Adjacencies {
    pub(super) fn new() -> Self {
        let limit = u32::try_from(ADJACENCIES_MAX).unwrap_or(u32::MAX);
        Self { held: HashMap::new(), ports: HashMap::new(), ids: Ids::new(limit), news: Vec::new() }
    }

    pub(super) fn get(&self, port: PortId, address: IpAddr) -> Option<AdjacencyId> {
        self.held.get(&(port, address)).map(|held| held.id)
    }

    /// The port that a neighbor is on.
    pub(super) fn port_of(&self, id: AdjacencyId) -> Option<PortId> {
        self.ports.get(&id).copied()
    }

    /// A route or tunnel sends there from now on.
    pub(super) fn hold(
        &mut self,
        port: PortId,
        address: IpAddr,
        operations: &mut Vec<Operation>,
    ) -> Result<AdjacencyId, TooManyNextHops> {
        if let Some(held) = self.held.get_mut(&(port, address)) {
            held.holders += 1;
            if held.holders == 1 {
                self.news.push((port, address, true));
            }
            return Ok(held.id);
        }
        let id = AdjacencyId(self.ids.take().ok_or(TooManyNextHops)?);
        self.held.insert((port, address), Held { id, holders: 1, macs: None });
        self.ports.insert(id, port);
        self.news.push((port, address, true));
        operations.push(Operation::Adjacency(id, Adjacency { port, macs: None, address }));
        Ok(id)
    }

    /// A route or tunnel does not send there any more.
    pub(super) fn release(
        &mut self,
        port: PortId,
        address: IpAddr,
        operations: &mut Vec<Operation>,
    ) {
        let Some(held) = self.held.get_mut(&(port, address)) else { return };
        held.holders = held.holders.saturating_sub(1);
        if held.holders == 0 {
            self.news.push((port, address, false));
            self.forget_if_unused(port, address, operations);
        }
    }

    /// A neighbor's MAC address is known now, in front of ours, or no longer.
    pub(super) fn resolve(
        &mut self,
        port: PortId,
        address: IpAddr,
        macs: Option<[u8; 12]>,
        operations: &mut Vec<Operation>,
    ) {
        let adjacency = Adjacency { port, macs, address };
        if let Some(held) = self.held.get_mut(&(port, address)) {
            held.macs = macs;
            operations.push(Operation::Adjacency(held.id, adjacency));
            self.forget_if_unused(port, address, operations);
        } else if macs.is_some()
            && let Some(id) = self.ids.take()
        {
            let id = AdjacencyId(id);
            self.held.insert((port, address), Held { id, holders: 0, macs });
            self.ports.insert(id, port);
            operations.push(Operation::Adjacency(id, adjacency));
        }
    }

    fn forget_if_unused(&mut self, port: PortId, address: IpAddr, operations: &mut Vec<Operation>) {
        let Some(held) = self.held.get(&(port, address)) else { return };
        if held.holders == 0 && held.macs.is_none() {
            let id = held.id;
            operations.push(Operation::RemoveAdjacency(id));
            self.ids.give_back(id.0);
            self.ports.remove(&id);
            self.held.remove(&(port, address));
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (AdjacencyId, Adjacency)> {
        self.held
            .iter()
            .map(|(&(port, address), held)| (held.id, Adjacency { port, macs: held.macs, address }))
    }

    /// All next hops.
    pub(super) fn next_hops(&self) -> impl Iterator<Item = (PortId, IpAddr)> {
        self.held.iter().filter(|(_, held)| held.holders > 0).map(|(key, _)| *key)
    }

    pub(super) fn take_news(&mut self) -> Vec<(PortId, IpAddr, bool)> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn settle(&mut self) {
        self.ids.settle();
    }
}

/// Groups of next hops; routes with the same next hops share one.
#[derive(Debug)]
pub(super) struct Groups {
    held: HashMap<GroupId, (Group, u32)>,
    by_content: HashMap<Group, GroupId>,
    ids: Ids,
}

impl Groups {
    pub(super) fn new() -> Self {
        let limit = u32::try_from(GROUPS_MAX).unwrap_or(u32::MAX);
        Self { held: HashMap::new(), by_content: HashMap::new(), ids: Ids::new(limit) }
    }

    pub(super) fn get(&self, id: GroupId) -> Option<&Group> {
        self.held.get(&id).map(|(group, _)| group)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.held.iter().map(|(id, (group, _))| (*id, group))
    }

    /// One more route has these next hops.
    pub(super) fn hold(
        &mut self,
        group: Group,
        operations: &mut Vec<Operation>,
    ) -> Result<GroupId, TooManyNextHops> {
        if let Some(&id) = self.by_content.get(&group) {
            if let Some((_, holders)) = self.held.get_mut(&id) {
                *holders += 1;
            }
            return Ok(id);
        }
        let id = GroupId(self.ids.take().ok_or(TooManyNextHops)?);
        operations.push(Operation::Group(id, Some(group.clone())));
        self.by_content.insert(group.clone(), id);
        self.held.insert(id, (group, 1));
        Ok(id)
    }

    /// One route less has them.
    pub(super) fn release(&mut self, id: GroupId, operations: &mut Vec<Operation>) {
        let Some((group, holders)) = self.held.get_mut(&id) else { return };
        *holders -= 1;
        if *holders == 0 {
            self.by_content.remove(group);
            self.held.remove(&id);
            self.ids.give_back(id.0);
            operations.push(Operation::Group(id, None));
        }
    }

    pub(super) fn settle(&mut self) {
        self.ids.settle();
    }
}
