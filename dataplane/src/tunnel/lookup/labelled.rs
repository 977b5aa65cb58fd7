//! The tunnels of one outer family that have more than the inner packet behind the outer IP header.

use core::cmp::Reverse;
use std::collections::HashMap;

use super::kin::{Kin, Relative};
use super::{
    Class, Found, Holder, Home, Indistinguishable, Label, OuterAddress, Pair, Protocols,
    TunnelLookup,
};
use crate::interface::{PortId, TunnelId};

/// Up to how many bytes of slots are taken for being in a cache of the core.
const NEAR_BYTES: usize = 1 << 19;

/// A tunnel under one of its pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<A> {
    /// Its addresses, and its label: [`Label::NONE`] where IP is directly in IP.
    pub pair: Pair<A, Label>,
    /// What it carries.
    pub protocols: Protocols,
    /// The only port that its packets come in by.
    pub link: Option<PortId>,
    /// It.
    pub tunnel: TunnelId,
    /// How many seconds it waits for pieces of a packet; `None`: it takes none.
    pub patience: Option<u8>,
}

/// How the tunnels of a pair of addresses stand to a packet that is none of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// There are none.
    Strangers,
    /// There is one that carries the same in UDP, or the reverse.
    OtherCarrier,
    /// They have other headers.
    OtherClass,
    /// There is one with the same headers, and another key.
    SameClass,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct LabelledTunnels<A> {
    lookup: TunnelLookup<A, Label>,
    kin: Kin<A>,
    /// Networks of VXLAN, and under how many pairs of addresses each is known.
    networks: HashMap<Label, usize>,
}

impl<A: OuterAddress> LabelledTunnels<A> {
    /// Without tunnels; `seed` is the secret of the hash.
    pub fn new(seed: u64) -> Self {
        Self { lookup: TunnelLookup::new(seed), kin: Kin::new(seed), networks: HashMap::new() }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.kin.is_empty()
    }

    /// Adds a tunnel; an address of 0 stands for any.
    ///
    /// # Errors
    /// When a tunnel with the same pair, link and an overlapping protocol is there already; nothing
    /// has changed then.
    pub fn insert(&mut self, entry: &Entry<A>) -> Result<(), Indistinguishable> {
        let Entry { pair, protocols, link, tunnel, .. } = *entry;
        self.lookup.insert(pair, protocols, link, tunnel)?;
        if let Some(relative) = relative(entry) {
            self.kin.insert(Pair::new(pair.local, pair.remote), relative);
        }
        if pair.label.class() == Some(Class::Vxlan) {
            *self.networks.entry(pair.label).or_default() += 1;
        }
        Ok(())
    }

    /// Takes a tunnel out; false if it is not there.
    pub fn remove(&mut self, entry: &Entry<A>) -> bool {
        let pair = entry.pair;
        let was_there = self.lookup.remove(pair, entry.tunnel);
        if let Some(relative) = relative(entry).filter(|_| was_there) {
            self.kin.remove(Pair::new(pair.local, pair.remote), relative);
        }
        if was_there && let Some(count) = self.networks.get_mut(&pair.label) {
            *count -= 1;
            if *count == 0 {
                self.networks.remove(&pair.label);
            }
        }
        was_there
    }

    /// The tunnel of a packet to `pair.local` that carries `protocol`, received on `ingress`; one of those with IP
    /// directly in IP, which are `bare`, if the packet has no label.
    #[inline]
    pub fn find_beside(
        &self,
        bare: &TunnelLookup<A>,
        pair: Pair<A, Label>,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        if pair.label == Label::NONE {
            return bare.find(pair.local, pair.remote, protocol, ingress);
        }
        self.find(pair, protocol, ingress)
    }

    /// Asks for what [`find`](Self::find) looks at first. Worth it where there [are many](Self::is_large).
    #[inline]
    pub fn ask(&self, pair: Pair<A, Label>) {
        self.lookup.ask_pair(pair);
    }

    /// Whether there are so many that they are probably in no cache of a core.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.lookup.bytes() > NEAR_BYTES
    }

    /// Where the search for a tunnel begins.
    #[inline]
    pub fn home(&self, pair: Pair<A, Label>) -> Home {
        self.lookup.home_of(pair)
    }

    /// As [`find`](Self::find), if it is the only one of its pair, and bound to no port, as nearly all are.
    #[inline]
    pub fn find_alone(
        &self,
        home: Home,
        pair: Pair<A, Label>,
        protocol: Protocols,
    ) -> Option<TunnelId> {
        self.lookup.find_alone(home, pair, protocol)
    }

    /// The same, whatever else there is.
    #[inline]
    pub fn search(
        &self,
        home: Home,
        pair: Pair<A, Label>,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        let Pair { local, remote, label } = pair;
        self.lookup.search(home, local, remote, label, protocol, ingress)
    }

    /// As [`find_beside`](Self::find_beside), for one with a label.
    #[inline]
    pub fn find(
        &self,
        pair: Pair<A, Label>,
        protocol: Protocols,
        ingress: Option<PortId>,
    ) -> Found {
        self.lookup.find_pair(pair, protocol, ingress)
    }

    /// Some tunnel with this pair, whatever it carries.
    pub fn any_with(&self, pair: Pair<A, Label>, ingress: Option<PortId>) -> Option<TunnelId> {
        match self.lookup.find_pair(pair, Protocols::ALL, ingress) {
            Found::Tunnel(tunnel) => Some(tunnel),
            Found::WrongProtocol | Found::Nothing => None,
        }
    }

    /// Whether none has these addresses, whatever its label.
    #[inline]
    pub fn is_without(&self, local: A, remote: A) -> bool {
        self.kin.is_without(local, remote)
    }

    /// The tunnels of a class that a packet may belong to, of whose label nothing is known: most specific
    /// first, and then by how long they wait for pieces.
    pub fn candidates(&self, local: A, remote: A, class: Class) -> impl Iterator<Item = TunnelId> {
        self.kin.of(local, remote, class)
    }

    /// Shows some of those whose packets have this outer protocol, or any: the one that waits longest for pieces is among
    /// them.
    #[inline]
    pub fn see_most_patient(&self, ends: (A, A), outer: Option<u8>, see: impl FnMut(TunnelId)) {
        self.kin.see_most_patient(ends, outer, see);
    }

    /// Whether packets of this label belong to a network of VXLAN that is known, whoever they are from.
    pub fn knows_network(&self, label: Label) -> bool {
        self.networks.contains_key(&label)
    }

    /// How the tunnels of these addresses stand to a packet of a class, or of IP directly in IP.
    #[inline]
    pub fn kinship(&self, local: A, remote: A, class: Option<Class>) -> Kinship {
        // Strangers are many, and looked for once.
        if self.is_empty() || self.is_without(local, remote) {
            return Kinship::Strangers;
        }
        self.kinship_of_some(local, remote, class)
    }

    #[inline(never)]
    fn kinship_of_some(&self, local: A, remote: A, class: Option<Class>) -> Kinship {
        let mut kinship = Kinship::Strangers;
        for other in self.kin.classes(local, remote) {
            if Some(other) == class {
                return Kinship::SameClass;
            }
            if other.differs_in_udp(class) {
                kinship = Kinship::OtherCarrier;
            } else if kinship == Kinship::Strangers {
                kinship = Kinship::OtherClass;
            }
        }
        kinship
    }

    /// Which tunnel has this local address.
    #[inline]
    pub fn holder_of(&self, local: A) -> Holder {
        self.lookup.holder_of(local)
    }
}

fn relative<A>(entry: &Entry<A>) -> Option<Relative> {
    let class = entry.pair.label.class()?;
    Some(Relative { class, patience: Reverse(entry.patience), tunnel: entry.tunnel })
}
