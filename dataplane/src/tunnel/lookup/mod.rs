//! Which tunnel an outer packet belongs to: by outer addresses, protocol and the port it came in by.
//!
//! The order is fixed: both addresses exact, then remote alone, then local alone, then neither.
//! Within a step a tunnel bound to the ingress port wins over an unbound one, and a tunnel bound to
//! another port never matches. Specificity is never overruled by binding, and a tunnel that is down
//! ends the search like any other.

mod hashing;
mod kin;
mod label;
mod labelled;
mod locals;
mod protocols;

use core::hint::black_box;

use crate::interface::{PortId, TunnelId};
use crate::packet::prefetch;
use crate::probing;
use locals::Locals;

pub(crate) use hashing::Seed;
pub use hashing::{OuterAddress, Tag};
pub use label::{Class, Label};
pub use labelled::{Entry, Kinship, LabelledTunnels};
pub use locals::Holder;
pub use protocols::{Protocols, is_tunnel_protocol};

/// The outer addresses that a tunnel is configured with, 0 for any, and what else its packets say
/// about whose they are: nothing where IP is directly in IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair<A, L = ()> {
    /// Ours: the outer destination of what arrives.
    pub local: A,
    /// The peer's: the outer source of what arrives.
    pub remote: A,
    /// What tells it from other tunnels of the same addresses.
    pub label: L,
}

impl<A> Pair<A> {
    /// Of a tunnel with IP directly in IP.
    pub const fn new(local: A, remote: A) -> Self {
        Self { local, remote, label: () }
    }
}

/// A tunnel of a pair of addresses.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    protocols: Protocols,
    /// The same if it is the only one of its pair and bound to no port.
    alone: Protocols,
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
pub struct TunnelLookup<A, L = ()> {
    /// Open addressing, a power of two in size, at most a quarter full, so that nearly every pair is in
    /// one of its first two places.
    slots: Box<[Slot<A, L>]>,
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
struct Slot<A, L> {
    pair: Pair<A, L>,
    /// One that takes no protocol marks an empty slot.
    first: Candidate,
}

impl Candidate {
    const NONE: Self = Self {
        protocols: Protocols::NONE,
        alone: Protocols::NONE,
        link: None,
        tunnel: TunnelId(0),
        next: NO_MORE,
    };

    /// One of a pair, with those that follow it.
    fn new(protocols: Protocols, link: Option<PortId>, tunnel: TunnelId, next: u32) -> Self {
        let alone = if link.is_none() && next == NO_MORE { protocols } else { Protocols::NONE };
        Self { protocols, alone, link, tunnel, next }
    }

    /// The same with others that follow it.
    fn before(self, next: u32) -> Self {
        Self::new(self.protocols, self.link, self.tunnel, next)
    }
}

impl<A: OuterAddress, L: Tag> Slot<A, L> {
    fn empty() -> Self {
        let (local, remote, label) = (A::default(), A::default(), L::default());
        Self { pair: Pair { local, remote, label }, first: Candidate::NONE }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.first.protocols == Protocols::NONE
    }

    #[inline]
    #[expect(clippy::needless_bitwise_bool, reason = "one condition")]
    fn is_of(&self, pair: Pair<A, L>) -> bool {
        let Pair { local, remote, label } = self.pair;
        (local == pair.local) & (remote == pair.remote) & (label == pair.label)
    }
}

/// Two tunnels that could not be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another tunnel has the same addresses, protocol and link")]
pub struct Indistinguishable(pub TunnelId);

impl<A: OuterAddress, L: Tag> TunnelLookup<A, L> {
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
        pair: Pair<A, L>,
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
        let candidate = Candidate::new(protocols, link, tunnel, NO_MORE);
        let slot = self.slots[at];
        if slot.is_empty() {
            self.slots[at] = Slot { pair, first: candidate };
            self.pairs += 1;
            if let Some(step) = wildcard_step(&pair) {
                self.wildcards[step] += 1;
            }
            self.locals.insert(pair.local, tunnel);
            return Ok(());
        }
        let twin = |c: &Candidate| c.link == link && c.protocols.overlaps(protocols);
        if let Some(twin) = self.candidates(slot.first).find(twin) {
            return Err(Indistinguishable(twin.tunnel));
        }
        let other = candidate.before(slot.first.next);
        let position = if let Some(position) = self.free.pop() {
            self.others[position as usize] = other;
            position
        } else {
            self.others.push(other);
            u32::try_from(self.others.len() - 1).unwrap_or(NO_MORE)
        };
        self.slots[at].first = slot.first.before(position);
        self.locals.insert(pair.local, tunnel);
        Ok(())
    }

    /// Takes a tunnel out; false if it is not there under this pair.
    pub fn remove(&mut self, pair: Pair<A, L>, tunnel: TunnelId) -> bool {
        let was_there = self.take_out(pair, tunnel);
        if was_there {
            self.locals.remove(pair.local, tunnel);
        }
        was_there
    }

    /// Which tunnel has this local address.
    #[inline]
    pub fn holder_of(&self, local: A) -> Holder {
        self.locals.holder(local)
    }

    fn take_out(&mut self, pair: Pair<A, L>, tunnel: TunnelId) -> bool {
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
                Some(before) => {
                    let other = &mut self.others[before as usize];
                    *other = other.before(candidate.next);
                }
                None => self.slots[at].first = slot.first.before(candidate.next),
            }
            return true;
        }
        false
    }

    /// Empties the slot of a pair that no tunnel has any more.
    fn remove_pair(&mut self, at: usize, pair: Pair<A, L>) {
        self.pairs -= 1;
        if let Some(step) = wildcard_step(&pair) {
            self.wildcards[step] -= 1;
        }
        let seed = self.seed;
        let home = |slot: &Slot<A, L>| (!slot.is_empty()).then(|| Self::home(seed, slot.pair));
        probing::remove(&mut self.slots, at, Slot::empty(), home);
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
    fn slot_of(&self, pair: Pair<A, L>) -> usize {
        self.slot_from(Self::home(self.seed, pair), pair)
    }

    /// The same, where the search for the pair begins at `home`.
    #[inline]
    fn slot_from(&self, home: usize, pair: Pair<A, L>) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = home & mask;
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
    fn home(seed: u64, pair: Pair<A, L>) -> usize {
        A::mix_pair(pair.local, pair.remote, pair.label.mix(seed)) as usize
    }

    /// All candidates of a pair, from the first on.
    #[inline]
    fn candidates(&self, first: Candidate) -> impl Iterator<Item = Candidate> {
        let after = |candidate: &Candidate| self.others.get(candidate.next as usize).copied();
        core::iter::successors(Some(first), after)
    }

    /// The tunnel of a packet with one protocol, received on `ingress`; `pair` as the packet has it.
    #[inline]
    pub fn find_pair(
        &self,
        pair: Pair<A, L>,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        self.find_pair_from(self.home_of(pair), pair, protocol, ingress)
    }

    /// Where the search for a pair begins.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer slots than tunnels times 8"
    )]
    fn home_of(&self, pair: Pair<A, L>) -> Home {
        Home((Self::home(self.seed, pair) & (self.slots.len() - 1)) as u32)
    }

    /// Bytes of the slots.
    #[inline]
    fn bytes(&self) -> usize {
        size_of_val(&*self.slots)
    }

    /// Asks for what [`find_pair_from`](Self::find_pair_from) looks at first, and says where that is.
    #[inline]
    pub fn ask_pair(&self, pair: Pair<A, L>) -> Home {
        let home = self.home_of(pair);
        if let Some(slot) = self.slots.get(home.0 as usize) {
            prefetch(slot);
        }
        home
    }

    /// As [`find_pair`](Self::find_pair), for one that was [asked for](Self::ask_pair) with these tables.
    #[inline]
    pub fn find_pair_from(
        &self,
        home: Home,
        pair: Pair<A, L>,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        match self.find_alone(home, pair, protocol) {
            Some(tunnel) => Found::Tunnel(tunnel),
            None => self.search(home, pair.local, pair.remote, pair.label, protocol, ingress),
        }
    }

    /// The only tunnel of both addresses, bound to no port, in one of the first two places: so are
    /// nearly all.
    #[inline]
    fn find_alone(&self, home: Home, pair: Pair<A, L>, protocol: Protocols) -> Option<TunnelId> {
        // Which of the two places nobody could predict, so there is no branch for it. Nor whether it is there,
        // which the remote address says alone, nearly always: it comes first.
        let home = home.0 as usize;
        let at = home + usize::from(!self.slots.get(home)?.is_of(pair));
        let slot = self.slots.get(at & (self.slots.len() - 1))?;
        let is_it = slot.pair.remote == pair.remote
            && slot.is_of(pair)
            && slot.first.alone.overlaps(protocol);
        if is_it { Some(slot.first.tunnel) } else { None }
    }

    /// Any other: mostly its place is empty, or the next. A pair would have to be in memory to be handed over, and
    /// so would every one that is found at once.
    #[inline(never)]
    fn search(
        &self,
        home: Home,
        local: A,
        remote: A,
        label: L,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        let (home, pair) = (home.0 as usize, Pair { local, remote, label });
        if self.is_nowhere(home, pair) {
            return Found::Nothing;
        }
        self.search_steps(home, pair, protocol, ingress)
    }

    /// Whether no tunnel can be found by a pair, as nearly always shows where the search for it begins; false says
    /// nothing.
    #[inline]
    fn is_nowhere(&self, home: usize, pair: Pair<A, L>) -> bool {
        let taken = |at: usize| self.slots.get(at).map_or(0, |slot| slot.first.protocols.number());
        let holds = |slot: &Slot<A, L>| slot.pair.remote == pair.remote && slot.is_of(pair);
        let both = taken(home) * taken((home + 1) & (self.slots.len() - 1));
        // Whether any is empty takes one branch, as long as the compiler makes no two of it; which of them nobody could
        // predict.
        self.wildcards == [0; 3] && black_box(both) == 0 && !self.slots.get(home).is_some_and(holds)
    }

    /// The same, step by step.
    #[inline(never)]
    fn search_steps(
        &self,
        home: usize,
        pair: Pair<A, L>,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        if self.wildcards == [0; 3] {
            return self.search_slot(self.slot_from(home, pair), protocol, ingress);
        }
        let any = A::default();
        let mut wrong_protocol = false;
        let steps = [
            (true, pair),
            (self.wildcards[0] != 0, Pair { local: any, ..pair }),
            (self.wildcards[1] != 0, Pair { remote: any, ..pair }),
            (self.wildcards[2] != 0, Pair { local: any, remote: any, ..pair }),
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

    #[inline]
    fn search_pair(&self, pair: Pair<A, L>, protocol: Protocols, ingress: Option<PortId>) -> Found {
        self.search_slot(self.slot_of(pair), protocol, ingress)
    }

    /// The same, where the pair is in this slot if it is anywhere.
    #[inline]
    fn search_slot(&self, at: usize, protocol: Protocols, ingress: Option<PortId>) -> Found {
        let slot = &self.slots[at];
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

/// Which of the steps with a wildcard finds a pair.
fn wildcard_step<A: OuterAddress, L>(pair: &Pair<A, L>) -> Option<usize> {
    let any = A::default();
    match (pair.local == any, pair.remote == any) {
        (true, false) => Some(0),
        (false, true) => Some(1),
        (true, true) => Some(2),
        (false, false) => None,
    }
}

impl<A: OuterAddress> TunnelLookup<A> {
    /// The tunnel of a packet to `local` from `remote` with one protocol, received on `ingress`.
    #[inline]
    pub fn find(&self, local: A, remote: A, protocol: Protocols, ingress: Option<PortId>) -> Found {
        self.find_pair(Pair::new(local, remote), protocol, ingress)
    }

    /// Whether a glance shows that no tunnel has these addresses, as it nearly always does of strangers'; false says
    /// nothing.
    #[inline]
    pub fn is_plainly_without(&self, local: A, remote: A) -> bool {
        let pair = Pair::new(local, remote);
        self.pairs == 0
            || self.is_nowhere(Self::home(self.seed, pair) & (self.slots.len() - 1), pair)
    }

    /// Asks for what [`find_from`](Self::find_from) looks at first, and says where that is.
    #[inline]
    pub fn ask(&self, local: A, remote: A) -> Home {
        self.ask_pair(Pair::new(local, remote))
    }

    /// As [`find`](Self::find), for addresses that were [asked for](Self::ask) with these tables.
    #[inline]
    pub fn find_from(
        &self,
        home: Home,
        local: A,
        remote: A,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        self.find_pair_from(home, Pair::new(local, remote), protocol, ingress)
    }
}

#[cfg(test)]
mod tests;
