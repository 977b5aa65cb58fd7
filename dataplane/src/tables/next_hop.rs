//! Where routes lead: the meaning of the numbers that FIBs answer with.
//!
//! A [`NextHopId`] is the next hop itself in 24 bits, three of them its kind and 21 a number. So what a
//! lookup found needs no second one, and a route into a tunnel takes no number of its own. Next hops
//! that share a route by weight are a group, which is looked up here.

use crate::fib::NextHopId;
use crate::interface::{PORTS_MAX, PortId, TUNNELS_MAX, TunnelId};
use crate::tables::neighbor::{ADJACENCIES_MAX, AdjacencyId};

/// Where a route leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// Nowhere: there is no route.
    #[default]
    NoRoute,
    /// To this node: one of its addresses.
    Local,
    /// To an address that this node was given and may not use: duplicate address detection has not
    /// ended, or has found it elsewhere.
    Unproved,
    /// To all hosts of a connected net.
    Broadcast,
    /// To a host of a net that is connected on a port: the destination itself is the neighbor.
    Connected(PortId),
    /// To a gateway, or another host that is known in advance.
    Via(AdjacencyId),
    /// Into a tunnel.
    Tunnel(TunnelId),
    /// To one of several, by flow.
    Group(GroupId),
    /// Into silence.
    Blackhole,
    /// Nowhere, and the sender is told so.
    Unreachable,
    /// Nowhere, and the sender is told that it is forbidden.
    Prohibit,
}

/// A group of next hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u32);

/// How many numbers a next hop of one kind can have.
const VALUE_COUNT: u32 = 1 << VALUE_BITS;
const VALUE_BITS: u32 = 21;

/// The most groups there can be.
pub const GROUPS_MAX: usize = VALUE_COUNT as usize;

const _: () = assert!(TUNNELS_MAX <= VALUE_COUNT as usize);
const _: () = assert!(ADJACENCIES_MAX <= VALUE_COUNT as usize);
const _: () = assert!(PORTS_MAX <= VALUE_COUNT as usize);

/// A next hop whose number is too high for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {VALUE_COUNT} tunnels, gateways or groups of next hops in routes")]
pub struct TooManyNextHops;

const SPECIAL: u32 = 0;
const CONNECTED: u32 = 1;
const VIA: u32 = 2;
const TUNNEL: u32 = 3;
const GROUP: u32 = 4;

/// The numbers of those that need none; 0 is [`NextHopId::NONE`].
const LOCAL: u32 = 1;
const BROADCAST: u32 = 2;
const BLACKHOLE: u32 = 3;
const UNREACHABLE: u32 = 4;
const PROHIBIT: u32 = 5;
const UNPROVED: u32 = 6;

impl NextHop {
    /// As the entries of a FIB hold it.
    ///
    /// # Errors
    /// When it is a tunnel, a neighbor or a group beyond the most that there can be.
    pub const fn id(self) -> Result<NextHopId, TooManyNextHops> {
        let (kind, value) = match self {
            Self::NoRoute => return Ok(NextHopId::NONE),
            Self::Local => (SPECIAL, LOCAL),
            Self::Unproved => (SPECIAL, UNPROVED),
            Self::Broadcast => (SPECIAL, BROADCAST),
            Self::Blackhole => (SPECIAL, BLACKHOLE),
            Self::Unreachable => (SPECIAL, UNREACHABLE),
            Self::Prohibit => (SPECIAL, PROHIBIT),
            Self::Connected(PortId(port)) => (CONNECTED, port as u32),
            Self::Via(AdjacencyId(number)) => (VIA, number),
            Self::Tunnel(TunnelId(number)) => (TUNNEL, number),
            Self::Group(GroupId(number)) => (GROUP, number),
        };
        if value >= VALUE_COUNT {
            return Err(TooManyNextHops);
        }
        match NextHopId::new(kind << VALUE_BITS | value) {
            Ok(id) => Ok(id),
            Err(_) => Err(TooManyNextHops),
        }
    }
}

/// Questions about a next hop that are cheaper than all it stands for.
impl NextHopId {
    /// The tunnel that it leads into, if it leads into one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an id has 24 bits")]
    pub const fn as_tunnel(self) -> Option<TunnelId> {
        let raw = self.index() as u32;
        if raw >> VALUE_BITS == TUNNEL { Some(TunnelId(raw & (VALUE_COUNT - 1))) } else { None }
    }

    /// The host that it leads to, if it is one that is known in advance.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an id has 24 bits")]
    pub const fn as_via(self) -> Option<AdjacencyId> {
        let raw = self.index() as u32;
        if raw >> VALUE_BITS == VIA { Some(AdjacencyId(raw & (VALUE_COUNT - 1))) } else { None }
    }

    /// The port of the connected net that it leads to, if it leads to one.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an id has 24 bits, a port 8")]
    pub const fn as_connected(self) -> Option<PortId> {
        let raw = self.index() as u32;
        if raw >> VALUE_BITS == CONNECTED { Some(PortId(raw as u8)) } else { None }
    }

    /// Whether it leads to no other host: it is this node, or no way at all.
    #[inline]
    pub const fn is_special(self) -> bool {
        self.index() >> VALUE_BITS == SPECIAL as usize
    }

    /// Whether it is this node.
    #[inline]
    pub const fn is_local(self) -> bool {
        self.index() == (SPECIAL << VALUE_BITS | LOCAL) as usize
    }
}

impl From<NextHopId> for NextHop {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "an id has 24 bits, a port 8")]
    fn from(id: NextHopId) -> Self {
        let raw = id.index() as u32;
        let value = raw & (VALUE_COUNT - 1);
        match (raw >> VALUE_BITS, value) {
            (TUNNEL, _) => Self::Tunnel(TunnelId(value)),
            (VIA, _) => Self::Via(AdjacencyId(value)),
            (CONNECTED, _) => Self::Connected(PortId(value as u8)),
            (GROUP, _) => Self::Group(GroupId(value)),
            (SPECIAL, LOCAL) => Self::Local,
            (SPECIAL, UNPROVED) => Self::Unproved,
            (SPECIAL, BROADCAST) => Self::Broadcast,
            (SPECIAL, BLACKHOLE) => Self::Blackhole,
            (SPECIAL, UNREACHABLE) => Self::Unreachable,
            (SPECIAL, PROHIBIT) => Self::Prohibit,
            _ => Self::NoRoute,
        }
    }
}

/// Next hops that share a destination, as buckets in proportion to their weights.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(Box<[NextHop]>);

/// The most next hops of one route.
pub const GROUP_MEMBERS_MAX: usize = 64;

/// The most buckets of one group; weights are told apart as finely as that.
pub const GROUP_BUCKETS_MAX: usize = 1024;

impl Group {
    /// From next hops and their weights. `None` when there is none, or more than
    /// [`GROUP_MEMBERS_MAX`].
    pub fn new(members: &[(NextHop, u16)]) -> Option<Self> {
        if members.is_empty() || members.len() > GROUP_MEMBERS_MAX {
            return None;
        }
        let total: u64 = members.iter().map(|&(_, weight)| u64::from(weight.max(1))).sum();
        let bucket_count = total.min(GROUP_BUCKETS_MAX as u64);
        let mut buckets = Vec::new();
        let mut seen = 0;
        for &(next_hop, weight) in members {
            seen += u64::from(weight.max(1));
            // Rounded to the nearest end, but everyone gets at least one bucket.
            let end = usize::try_from((seen * bucket_count + total / 2) / total).unwrap_or(0);
            let end = end.max(buckets.len() + 1);
            buckets.resize(end, next_hop);
        }
        Some(Self(buckets.into_boxed_slice()))
    }

    /// The next hop of a flow.
    #[inline]
    pub fn choose(&self, flow_hash: u64) -> NextHop {
        self.0.get(share_of(flow_hash, self.0.len())).copied().unwrap_or_default()
    }

    /// Every next hop, as often as it has buckets.
    pub fn buckets(&self) -> &[NextHop] {
        &self.0
    }

    /// The only next hop, if there is but one.
    pub fn sole(&self) -> Option<NextHop> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().all(|next_hop| next_hop == first).then_some(*first)
    }

    /// Those next hops alone that `suits` is true of, with the same weights; `None`: it is of none.
    pub fn of_suitable(&self, suits: impl Fn(NextHop) -> bool) -> Option<Self> {
        let buckets: Box<[NextHop]> = self.suitable(&suits).collect();
        (!buckets.is_empty()).then_some(Self(buckets))
    }

    /// The next hop of a flow among those that `suits` is true of: the one that it would have in a group of those.
    pub fn choose_suitable(
        &self,
        flow_hash: u64,
        suits: impl Fn(NextHop) -> bool,
    ) -> Option<NextHop> {
        let at = share_of(flow_hash, self.suitable(&suits).count());
        self.suitable(&suits).nth(at)
    }

    fn suitable(&self, suits: impl Fn(NextHop) -> bool) -> impl Iterator<Item = NextHop> {
        // The buckets of a member stand together: it is asked about once.
        let mut last = None;
        self.0.iter().copied().filter(move |&next_hop| {
            let known = last.filter(|&(member, _)| member == next_hop);
            let (_, is_suitable) = known.unwrap_or_else(|| (next_hop, suits(next_hop)));
            last = Some((next_hop, is_suitable));
            is_suitable
        })
    }
}

/// Which of `count` buckets a flow has.
#[inline]
fn share_of(flow_hash: u64, count: usize) -> usize {
    let scaled = (u128::from(flow_hash) * count as u128) >> 64;
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

/// The groups of next hops, by [`GroupId`].
#[derive(Clone, Debug, Default)]
pub struct NextHops {
    groups: Vec<Option<Group>>,
}

impl NextHops {
    /// Without groups.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a group under the next number.
    ///
    /// # Errors
    /// When there are [`GROUPS_MAX`].
    pub fn add_group(&mut self, group: Group) -> Result<NextHop, TooManyNextHops> {
        if self.groups.len() >= GROUPS_MAX {
            return Err(TooManyNextHops);
        }
        let id = GroupId(u32::try_from(self.groups.len()).map_err(|_| TooManyNextHops)?);
        self.put_group(id, Some(group));
        Ok(NextHop::Group(id))
    }

    /// Makes a number that of a group, or of none.
    pub fn put_group(&mut self, id: GroupId, group: Option<Group>) {
        let at = id.0 as usize;
        if at >= self.groups.len() {
            self.groups.resize(at + 1, None);
        }
        self.groups[at] = group;
    }

    /// The group of an id.
    #[inline]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)?.as_ref()
    }

    /// Follows a group to the next hop of a flow; `flow_hash` is only computed when needed. What
    /// is no group stays as it is. Groups don't nest.
    #[inline]
    pub fn choose(&self, next_hop: NextHop, flow_hash: impl FnOnce() -> u64) -> NextHop {
        match next_hop {
            NextHop::Group(id) => {
                self.group(id).map_or(NextHop::NoRoute, |group| group.choose(flow_hash()))
            }
            other => other,
        }
    }

    /// The same, to a next hop that `suits` is true of; to [`NextHop::NoRoute`] where it is of none.
    pub fn choose_suitable(
        &self,
        next_hop: NextHop,
        flow_hash: impl FnOnce() -> u64,
        suits: impl Fn(NextHop) -> bool,
    ) -> NextHop {
        let chosen = match next_hop {
            NextHop::Group(id) => {
                self.group(id).and_then(|group| group.choose_suitable(flow_hash(), suits))
            }
            other => suits(other).then_some(other),
        };
        chosen.unwrap_or_default()
    }

    /// Whether packets for this next hop may go into a tunnel.
    pub fn leads_into(&self, next_hop: NextHop, tunnel: TunnelId) -> bool {
        match next_hop {
            NextHop::Tunnel(id) => id == tunnel,
            NextHop::Group(id) => self
                .group(id)
                .is_some_and(|group| group.buckets().contains(&NextHop::Tunnel(tunnel))),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_hop_survives_the_way_through_an_entry_of_a_fib() {
        let numbers = [0, 1, 255, 256, VALUE_COUNT - 1];
        let numbered = numbers.into_iter().flat_map(|n| {
            [NextHop::Via(AdjacencyId(n)), NextHop::Tunnel(TunnelId(n)), NextHop::Group(GroupId(n))]
        });
        let others = [
            NextHop::NoRoute,
            NextHop::Local,
            NextHop::Unproved,
            NextHop::Broadcast,
            NextHop::Blackhole,
            NextHop::Unreachable,
            NextHop::Prohibit,
            NextHop::Connected(PortId(0)),
            NextHop::Connected(PortId(u8::MAX)),
        ];
        let mut ids = std::collections::HashSet::new();
        for next_hop in numbered.chain(others) {
            let id = next_hop.id().unwrap();
            assert_eq!(NextHop::from(id), next_hop);
            assert!(ids.insert(id), "{next_hop:?} shares its number");
            assert_eq!(id.is_none(), next_hop == NextHop::NoRoute);
        }
    }

    #[test]
    fn a_number_that_does_not_fit_an_entry_is_refused() {
        for next_hop in [
            NextHop::Via(AdjacencyId(VALUE_COUNT)),
            NextHop::Tunnel(TunnelId(VALUE_COUNT)),
            NextHop::Group(GroupId(u32::MAX)),
        ] {
            assert_eq!(next_hop.id(), Err(TooManyNextHops));
        }
    }

    #[test]
    fn flows_are_shared_by_the_suitable_members_alone_as_in_a_group_of_these() {
        let hop = |number| NextHop::Via(AdjacencyId(number));
        let group = Group::new(&[(hop(1), 1), (hop(2), 2), (hop(3), 5), (hop(4), 1)]).unwrap();
        let suits = |next_hop| next_hop == hop(2) || next_hop == hop(4);
        let some = group.of_suitable(suits).unwrap();
        assert_eq!(some, Group::new(&[(hop(2), 2), (hop(4), 1)]).unwrap());
        for part in 0..3000 {
            let hash = u64::MAX / 3000 * part;
            assert_eq!(group.choose_suitable(hash, suits), Some(some.choose(hash)));
        }
        assert_eq!(group.choose_suitable(7, |_| false), None);
        assert_eq!(group.of_suitable(|_| false), None);
    }

    #[test]
    fn a_group_shares_flows_in_proportion_to_the_weights() {
        let first = NextHop::Tunnel(TunnelId(1));
        let second = NextHop::Tunnel(TunnelId(2));
        let group = Group::new(&[(first, 2), (second, 1)]).unwrap();
        let step = u64::MAX / 3000;
        let to_first = (0..3000).filter(|&n| group.choose(n * step) == first).count();
        assert!((1990..=2010).contains(&to_first), "{to_first}");
        assert_eq!(group.choose(u64::MAX), second);
    }

    #[test]
    fn everyone_in_a_group_gets_a_bucket_however_small_the_weight() {
        let members: Vec<_> = (0..64)
            .map(|n| (NextHop::Tunnel(TunnelId(n)), if n == 0 { u16::MAX } else { 1 }))
            .collect();
        let group = Group::new(&members).unwrap();
        for (next_hop, _) in members {
            assert!(group.buckets().contains(&next_hop), "{next_hop:?}");
        }
        assert!(Group::new(&[]).is_none());
    }
}
