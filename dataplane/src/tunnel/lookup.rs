//! Which tunnel an outer packet belongs to: by outer addresses, protocol and the port it came in by.
//!
//! The order is fixed: both addresses exact, then remote alone, then local alone, then neither.
//! Within a step a tunnel bound to the ingress port wins over an unbound one, and a tunnel bound to
//! another port never matches. Specificity is never overruled by binding, and a tunnel that is down
//! ends the search like any other.

use core::hash::Hash;

use super::locals::Locals;
use crate::interface::{PortId, TunnelId};
use crate::packet::prefetch;
use crate::probing;
use crate::wire::protocol;

/// The outer protocols that a tunnel takes, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protocols(u8);

impl Protocols {
    /// None.
    pub const NONE: Self = Self(0);
    /// IPv4 in IP.
    pub const IPV4: Self = Self(1);
    /// IPv6 in IP.
    pub const IPV6: Self = Self(2);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of `other` is in it.
    #[inline]
    pub const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The set of one IP protocol; empty for a protocol that no tunnel here can take.
    #[inline]
    pub const fn of(ip_protocol: u8) -> Self {
        match ip_protocol {
            protocol::IPV4 => Self::IPV4,
            protocol::IPV6 => Self::IPV6,
            _ => Self::NONE,
        }
    }
}

/// Whether an IP protocol is one that tunnels use. Packets of these to a local address are never
/// answered.
#[inline]
pub const fn is_tunnel_protocol(ip_protocol: u8) -> bool {
    matches!(
        ip_protocol,
        protocol::IPV4
            | protocol::IPV6
            | protocol::GRE
            | protocol::MINIMAL
            | protocol::ETHER_IP
            | protocol::MPLS
    )
}

/// A pair of outer addresses as a tunnel is configured with them: 0 is "any".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair<A> {
    /// Ours: the outer destination of what arrives.
    pub local: A,
    /// The peer's: the outer source of what arrives.
    pub remote: A,
}

/// An outer address of either family.
pub trait OuterAddress: Copy + Eq + Hash + Default {
    /// Mixes the address into a hash.
    fn mix(self, hash: u64) -> u64;

    /// Mixes both addresses of a pair into a hash.
    #[inline]
    fn mix_pair(pair: Pair<Self>, hash: u64) -> u64 {
        pair.remote.mix(pair.local.mix(hash))
    }

    /// A hash whose upper bits are good and cost next to nothing, for sets in which it does no harm
    /// that addresses can be made to collide.
    fn scatter(self) -> u64;
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn multiply_fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl OuterAddress for u32 {
    #[inline]
    fn mix(self, hash: u64) -> u64 {
        multiply_fold(hash ^ u64::from(self), ODD)
    }

    #[inline]
    fn mix_pair(pair: Pair<Self>, hash: u64) -> u64 {
        multiply_fold(hash ^ (u64::from(pair.local) << 32 | u64::from(pair.remote)), ODD)
    }

    #[inline]
    fn scatter(self) -> u64 {
        u64::from(self).wrapping_mul(ODD)
    }
}

impl OuterAddress for u128 {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn mix(self, hash: u64) -> u64 {
        multiply_fold(multiply_fold(hash ^ self as u64, ODD) ^ (self >> 64) as u64, ODD)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn scatter(self) -> u64 {
        let high = ((self >> 64) as u64).wrapping_mul(ODD);
        (self as u64 ^ high.rotate_left(32)).wrapping_mul(ODD)
    }
}

/// A tunnel of a pair of addresses.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    protocols: Protocols,
    link: Option<PortId>,
    tunnel: TunnelId,
    /// The next candidate of the same pair among the others, or `NO_MORE`.
    next: u32,
}

const NO_MORE: u32 = u32::MAX;

/// Where a lookup begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Home(u32);

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This tunnel.
    Tunnel(TunnelId),
    /// The addresses belong to a tunnel, but not with this protocol.
    WrongProtocol,
    /// No tunnel.
    Nothing,
}

/// The tunnels of one outer family.
///
/// Nearly every pair has one tunnel, which stands in the pair's slot: a lookup is one load.
#[derive(Clone, Debug)]
pub struct TunnelLookup<A> {
    /// Open addressing, a power of two in size, at most a quarter full, so that nearly every pair is in
    /// one of its first two places.
    slots: Box<[Slot<A>]>,
    /// The second, third … candidates of pairs that have several.
    others: Vec<Candidate>,
    /// Places among the others that can be used again.
    free: Vec<u32>,
    pairs: usize,
    /// How many pairs each of the steps with a wildcard has.
    wildcards: [u32; 3],
    locals: Locals<A>,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Slot<A> {
    pair: Pair<A>,
    /// One that takes no protocol marks an empty slot.
    first: Candidate,
}

impl<A: OuterAddress> Slot<A> {
    fn empty() -> Self {
        let first = Candidate {
            protocols: Protocols::NONE,
            link: None,
            tunnel: TunnelId(0),
            next: NO_MORE,
        };
        Self { pair: Pair { local: A::default(), remote: A::default() }, first }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.first.protocols == Protocols::NONE
    }
}

/// Two tunnels that could not be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another tunnel has the same addresses, protocol and link")]
pub struct Indistinguishable(pub TunnelId);

impl<A: OuterAddress> TunnelLookup<A> {
    /// Without tunnels; `seed` is the secret of the hash.
    pub fn new(seed: u64) -> Self {
        let slots = vec![Slot::empty(); 16].into_boxed_slice();
        Self {
            slots,
            others: Vec::new(),
            free: Vec::new(),
            pairs: 0,
            wildcards: [0; 3],
            locals: Locals::new(),
            seed,
        }
    }

    /// Adds a tunnel. An address of 0 stands for any; one that takes no protocol is found by nobody.
    ///
    /// # Errors
    /// When a tunnel with the same pair, link and an overlapping protocol is there already; nothing
    /// has changed then.
    pub fn insert(
        &mut self,
        pair: Pair<A>,
        protocols: Protocols,
        link: Option<PortId>,
        tunnel: TunnelId,
    ) -> Result<(), Indistinguishable> {
        if protocols == Protocols::NONE {
            return Ok(());
        }
        if (self.pairs + 1) * 4 > self.slots.len() {
            self.grow();
        }
        let at = self.slot_of(pair);
        let candidate = Candidate { protocols, link, tunnel, next: NO_MORE };
        let slot = self.slots[at];
        if slot.is_empty() {
            self.slots[at] = Slot { pair, first: candidate };
            self.pairs += 1;
            if let Some(step) = Self::wildcard_step(pair) {
                self.wildcards[step] += 1;
            }
            self.locals.insert(pair.local, tunnel);
            return Ok(());
        }
        let twin = |c: &Candidate| c.link == link && c.protocols.overlaps(protocols);
        if let Some(twin) = self.candidates(slot.first).find(twin) {
            return Err(Indistinguishable(twin.tunnel));
        }
        let other = Candidate { next: slot.first.next, ..candidate };
        let position = if let Some(position) = self.free.pop() {
            self.others[position as usize] = other;
            position
        } else {
            self.others.push(other);
            u32::try_from(self.others.len() - 1).unwrap_or(NO_MORE)
        };
        self.slots[at].first.next = position;
        self.locals.insert(pair.local, tunnel);
        Ok(())
    }

    /// Takes a tunnel out; false if it is not there under this pair.
    pub fn remove(&mut self, pair: Pair<A>, tunnel: TunnelId) -> bool {
        let was_there = self.take_out(pair, tunnel);
        if was_there {
            self.locals.remove(pair.local, tunnel);
        }
        was_there
    }

    /// The tunnel that has this local address, if there is one alone.
    pub fn sole_with_local(&self, local: A) -> Option<TunnelId> {
        self.locals.sole(local)
    }

    fn take_out(&mut self, pair: Pair<A>, tunnel: TunnelId) -> bool {
        let at = self.slot_of(pair);
        let slot = self.slots[at];
        if slot.is_empty() {
            return false;
        }
        let second = slot.first.next;
        if slot.first.tunnel == tunnel {
            match self.others.get(second as usize) {
                Some(&candidate) => {
                    self.slots[at].first = candidate;
                    self.free.push(second);
                }
                None => self.remove_pair(at, pair),
            }
            return true;
        }
        let (mut before, mut position) = (None, second);
        while let Some(&candidate) = self.others.get(position as usize) {
            if candidate.tunnel != tunnel {
                (before, position) = (Some(position), candidate.next);
                continue;
            }
            self.free.push(position);
            match before {
                Some(before) => self.others[before as usize].next = candidate.next,
                None => self.slots[at].first.next = candidate.next,
            }
            return true;
        }
        false
    }

    /// Empties the slot of a pair that no tunnel has any more.
    fn remove_pair(&mut self, at: usize, pair: Pair<A>) {
        self.pairs -= 1;
        if let Some(step) = Self::wildcard_step(pair) {
            self.wildcards[step] -= 1;
        }
        let seed = self.seed;
        let home = |slot: &Slot<A>| (!slot.is_empty()).then(|| Self::home(seed, slot.pair));
        probing::remove(&mut self.slots, at, Slot::empty(), home);
    }

    /// Which of the steps with a wildcard finds a pair.
    fn wildcard_step(pair: Pair<A>) -> Option<usize> {
        let any = A::default();
        match (pair.local == any, pair.remote == any) {
            (true, false) => Some(0),
            (false, true) => Some(1),
            (true, true) => Some(2),
            (false, false) => None,
        }
    }

    fn grow(&mut self) {
        let doubled = vec![Slot::empty(); self.slots.len() * 2].into_boxed_slice();
        let old = core::mem::replace(&mut self.slots, doubled);
        for slot in old.iter().filter(|slot| !slot.is_empty()) {
            let at = self.slot_of(slot.pair);
            self.slots[at] = *slot;
        }
    }

    /// The slot that holds the pair, or the empty one where it belongs.
    #[inline]
    fn slot_of(&self, pair: Pair<A>) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = Self::home(self.seed, pair) & mask;
        while let Some(slot) = self.slots.get(at) {
            if slot.pair == pair || slot.is_empty() {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }

    /// Where the search for a pair begins, before it is reduced to the size of the table.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "only the masked bits count")]
    fn home(seed: u64, pair: Pair<A>) -> usize {
        A::mix_pair(pair, seed) as usize
    }

    /// All candidates of a pair, from the first on.
    #[inline]
    fn candidates(&self, first: Candidate) -> impl Iterator<Item = Candidate> {
        let after = |candidate: &Candidate| self.others.get(candidate.next as usize).copied();
        core::iter::successors(Some(first), after)
    }

    /// The tunnel of a packet to `local` from `remote` with one protocol, received on `ingress`.
    #[inline]
    pub fn find(&self, local: A, remote: A, protocol: Protocols, ingress: Option<PortId>) -> Found {
        self.find_from(self.ask(local, remote), local, remote, protocol, ingress)
    }

    /// Asks for what [`find_from`](Self::find_from) looks at first, and says where that is.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer slots than tunnels times 8"
    )]
    pub fn ask(&self, local: A, remote: A) -> Home {
        let home = Self::home(self.seed, Pair { local, remote }) & (self.slots.len() - 1);
        if let Some(slot) = self.slots.get(home) {
            prefetch(slot);
        }
        Home(home as u32)
    }

    /// As [`find`](Self::find), for addresses that were [asked for](Self::ask) with these tables.
    #[inline]
    #[expect(clippy::needless_bitwise_bool, reason = "a branch that nobody could predict")]
    pub fn find_from(
        &self,
        home: Home,
        local: A,
        remote: A,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        // The only tunnel of both addresses, bound to no port, in one of the first two places: so are
        // nearly all. Which of the two nobody could predict, so there is no branch for it.
        let is_in = |slot: &Slot<A>| (slot.pair.local == local) & (slot.pair.remote == remote);
        let home = home.0 as usize;
        if let Some(slot) = self.slots.get(home)
            && let at = home + usize::from(!is_in(slot))
            && let Some(slot) = self.slots.get(at & (self.slots.len() - 1))
            && is_in(slot)
            && slot.first.protocols.overlaps(protocol)
            && slot.first.next == NO_MORE
            && slot.first.link.is_none()
        {
            return Found::Tunnel(slot.first.tunnel);
        }
        self.search(local, remote, protocol, ingress)
    }

    /// The same, step by step.
    #[inline(never)]
    fn search(&self, local: A, remote: A, protocol: Protocols, ingress: Option<PortId>) -> Found {
        let any = A::default();
        let mut wrong_protocol = false;
        let steps = [
            (true, Pair { local, remote }),
            (self.wildcards[0] != 0, Pair { local: any, remote }),
            (self.wildcards[1] != 0, Pair { local, remote: any }),
            (self.wildcards[2] != 0, Pair { local: any, remote: any }),
        ];
        for (exists, pair) in steps {
            if !exists {
                continue;
            }
            // A slot is found by its whole pair, so a wildcard step can only find tunnels whose
            // address really is unset.
            match self.search_pair(pair, protocol, ingress) {
                Found::Tunnel(tunnel) => return Found::Tunnel(tunnel),
                Found::WrongProtocol => wrong_protocol = true,
                Found::Nothing => {}
            }
        }
        if wrong_protocol { Found::WrongProtocol } else { Found::Nothing }
    }

    fn search_pair(&self, pair: Pair<A>, protocol: Protocols, ingress: Option<PortId>) -> Found {
        let slot = self.slots[self.slot_of(pair)];
        if slot.is_empty() {
            return Found::Nothing;
        }
        let mut unbound = None;
        let mut wrong_protocol = false;
        for candidate in self.candidates(slot.first) {
            if candidate.link.is_some() && candidate.link != ingress {
                continue;
            }
            if !candidate.protocols.overlaps(protocol) {
                wrong_protocol = true;
            } else if candidate.link.is_some() {
                return Found::Tunnel(candidate.tunnel);
            } else {
                unbound = Some(candidate.tunnel);
            }
        }
        match unbound {
            Some(tunnel) => Found::Tunnel(tunnel),
            None if wrong_protocol => Found::WrongProtocol,
            None => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PORT: PortId = PortId(1);
    const OTHER: PortId = PortId(2);

    fn find(table: &TunnelLookup<u32>, local: u32, remote: u32, protocol: Protocols) -> Found {
        table.find(local, remote, protocol, Some(PORT))
    }

    #[test]
    fn a_more_specific_tunnel_wins_whatever_is_bound() {
        let mut table = TunnelLookup::new(7);
        let bound = Some(PORT);
        table.insert(Pair { local: 0, remote: 0 }, Protocols::IPV4, bound, TunnelId(0)).unwrap();
        table.insert(Pair { local: 1, remote: 0 }, Protocols::IPV4, bound, TunnelId(1)).unwrap();
        table.insert(Pair { local: 0, remote: 2 }, Protocols::IPV4, bound, TunnelId(2)).unwrap();
        table.insert(Pair { local: 1, remote: 2 }, Protocols::IPV4, None, TunnelId(3)).unwrap();
        assert_eq!(find(&table, 1, 2, Protocols::IPV4), Found::Tunnel(TunnelId(3)));
        assert_eq!(find(&table, 9, 2, Protocols::IPV4), Found::Tunnel(TunnelId(2)));
        assert_eq!(find(&table, 1, 9, Protocols::IPV4), Found::Tunnel(TunnelId(1)));
        assert_eq!(find(&table, 9, 9, Protocols::IPV4), Found::Tunnel(TunnelId(0)));
        assert_eq!(find(&table, 9, 9, Protocols::IPV6), Found::WrongProtocol);
        assert_eq!(table.find(9, 9, Protocols::IPV4, Some(OTHER)), Found::Nothing);
    }

    #[test]
    fn within_a_step_the_tunnel_bound_to_the_port_wins() {
        let mut table = TunnelLookup::new(7);
        let pair = Pair { local: 1_u32, remote: 2 };
        table.insert(pair, Protocols::IPV4, None, TunnelId(0)).unwrap();
        table.insert(pair, Protocols::IPV4, Some(PORT), TunnelId(1)).unwrap();
        table.insert(pair, Protocols::IPV6, None, TunnelId(2)).unwrap();
        assert_eq!(table.find(1, 2, Protocols::IPV4, Some(PORT)), Found::Tunnel(TunnelId(1)));
        assert_eq!(table.find(1, 2, Protocols::IPV4, Some(OTHER)), Found::Tunnel(TunnelId(0)));
        assert_eq!(table.find(1, 2, Protocols::IPV6, Some(PORT)), Found::Tunnel(TunnelId(2)));
        let both = Protocols::IPV4.with(Protocols::IPV6);
        assert_eq!(
            table.insert(pair, both, Some(PORT), TunnelId(3)),
            Err(Indistinguishable(TunnelId(1)))
        );
    }

    /// What the documentation of the module says, tunnel by tunnel.
    fn by_hand(
        tunnels: &[(Pair<u32>, u8, Option<PortId>, TunnelId)],
        (local, remote): (u32, u32),
        protocol: u8,
        port: Option<PortId>,
    ) -> Found {
        let mut found = Found::Nothing;
        for (any_local, any_remote) in [(false, false), (true, false), (false, true), (true, true)]
        {
            for bound in [true, false] {
                for &(pair, protocols, link, id) in tunnels {
                    let same = pair.local == (if any_local { 0 } else { local })
                        && pair.remote == (if any_remote { 0 } else { remote });
                    if !same || link.is_some() != bound || (bound && link != port) {
                        continue;
                    }
                    if protocols & protocol != 0 {
                        return Found::Tunnel(id);
                    }
                    found = Found::WrongProtocol;
                }
            }
        }
        found
    }

    proptest! {
        #[test]
        fn after_any_insertions_and_removals_the_table_agrees_with_a_linear_scan(
            changes in proptest::collection::vec(
                (any::<bool>(), 0_u32..5, 0_u32..5, 1_u8..4, 0_u8..3, any::<prop::sample::Index>()),
                0..120,
            ),
            packets in proptest::collection::vec((1_u32..6, 1_u32..6, 1_u8..3, 1_u8..3), 1..60),
        ) {
            let mut table = TunnelLookup::new(99);
            let mut present: Vec<(Pair<u32>, u8, Option<PortId>, TunnelId)> = Vec::new();
            for (number, (adds, local, remote, protocols, link, which)) in (0..).zip(changes) {
                if !adds && !present.is_empty() {
                    let (pair, _, _, id) = present.swap_remove(which.index(present.len()));
                    prop_assert!(table.remove(pair, id));
                    prop_assert!(!table.remove(pair, id));
                    continue;
                }
                let link = (link != 0).then_some(PortId(link));
                let (id, pair) = (TunnelId(number), Pair { local, remote });
                let inserted = table.insert(pair, Protocols(protocols), link, id);
                let twin = present.iter().any(|&(other, p, l, _)| {
                    other == pair && l == link && Protocols(p).overlaps(Protocols(protocols))
                });
                prop_assert_eq!(inserted.is_err(), twin);
                if !twin {
                    present.push((pair, protocols, link, id));
                }
            }
            for &(local, remote, protocol, port) in &packets {
                let port = Some(PortId(port));
                prop_assert_eq!(
                    table.find(local, remote, Protocols(protocol), port),
                    by_hand(&present, (local, remote), protocol, port)
                );
            }
        }
    }
}
