//! The remotes of a tunnel of frames that has several, and which of them a frame goes to: the one that its station is
//! behind, or all of them (head-end replication, in the place of RFC 7348 §4.2's multicast).

use core::net::IpAddr;
use std::sync::Arc;

use super::stations::Stations;
use crate::clock::Nanos;
use crate::interface::PortId;
use crate::tables::soft_state::TunnelPath;
use crate::wire::ethernet::MacAddress;

/// Remotes that one tunnel can have.
pub const REMOTES_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug)]
pub struct Remotes {
    all: Box<[Remote]>,
    /// In the order of addresses.
    fixed: Box<[(MacAddress, u16)]>,
    learnt: Option<Arc<Stations>>,
    /// The only port that outer packets leave by.
    pub link: Option<PortId>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its address.
    pub address: IpAddr,
    /// The path there from the tunnel's local address.
    pub path: TunnelPath,
}

/// Why a frame goes where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// The station was configured to be behind this one.
    Fixed(u16),
    /// It was heard from there.
    Learnt(u16),
    /// Nobody knows where it is.
    Unknown,
    /// It is a group of stations.
    Group,
}

impl Towards {
    /// The number of the one remote; `None`: all of them.
    pub const fn one(self) -> Option<u16> {
        match self {
            Self::Fixed(one) | Self::Learnt(one) => Some(one),
            Self::Unknown | Self::Group => None,
        }
    }
}

impl Remotes {
    /// `fixed`: stations in any order, each with the address of the remote that it is behind; those of others
    /// are left out. `learnt`: where stations are kept that are heard; `None`: nowhere. More than [`REMOTES_MAX`] are
    /// left out, too.
    pub fn new(
        all: impl IntoIterator<Item = Remote>,
        fixed: impl IntoIterator<Item = (MacAddress, IpAddr)>,
        learnt: Option<Arc<Stations>>,
    ) -> Self {
        let all: Box<[Remote]> = all.into_iter().take(REMOTES_MAX).collect();
        let mut remotes = Self { all, fixed: Box::default(), learnt, link: None };
        let fixed = fixed.into_iter();
        let fixed =
            fixed.filter_map(|(station, remote)| Some((station, remotes.position(remote)?)));
        let mut fixed: Vec<_> = fixed.collect();
        fixed.sort_unstable_by_key(|(station, _)| *station);
        remotes.fixed = fixed.into();
        remotes
    }

    /// Keeps stations somewhere else from now on, where none is known yet, if it keeps them at all.
    pub fn learn_anew(&mut self) {
        if let Some(learnt) = &mut self.learnt {
            *learnt = Arc::default();
        }
    }

    /// All of them, in the order in which frames go to all.
    pub fn all(&self) -> &[Remote] {
        &self.all
    }

    /// One of them.
    #[inline]
    pub fn get(&self, number: u16) -> Option<Remote> {
        self.all.get(usize::from(number)).copied()
    }

    /// The number of the one with this address.
    #[inline]
    pub fn position(&self, address: IpAddr) -> Option<u16> {
        let position = self.all.iter().position(|remote| remote.address == address);
        position.and_then(|position| u16::try_from(position).ok())
    }

    /// The path to the one with this address.
    pub fn path_to(&self, address: IpAddr) -> Option<TunnelPath> {
        self.get(self.position(address)?).map(|remote| remote.path)
    }

    /// Where a frame to a station goes; `hash` is that of the address.
    #[inline]
    pub fn towards(&self, station: MacAddress, hash: impl FnOnce() -> u64, now: Nanos) -> Towards {
        if station.is_group() {
            return Towards::Group;
        }
        if let Ok(at) = self.fixed.binary_search_by_key(&station, |(station, _)| *station)
            && let Some(&(_, remote)) = self.fixed.get(at)
        {
            return Towards::Fixed(remote);
        }
        let learnt = self.learnt.as_ref().and_then(|learnt| learnt.find(station, hash(), now));
        learnt.map_or(Towards::Unknown, Towards::Learnt)
    }

    /// A frame of a station came from a remote. Says whether something was learnt.
    #[inline]
    pub fn hear(
        &self,
        station: MacAddress,
        hash: impl FnOnce() -> u64,
        from: IpAddr,
        now: Nanos,
    ) -> bool {
        let Some(learnt) = &self.learnt else { return false };
        let is_fixed = self.fixed.binary_search_by_key(&station, |(station, _)| *station).is_ok();
        if !station.is_station() || is_fixed {
            return false;
        }
        self.position(from).is_some_and(|remote| learnt.hear(station, hash(), remote, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1000);
    const HERE: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const THERE: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);

    fn address(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    fn remotes(learnt: Option<Arc<Stations>>) -> Remotes {
        let remote = |last: u8| Remote { address: address(last), path: TunnelPath(last.into()) };
        let fixed = [(THERE, address(3)), (HERE, address(9))];
        Remotes::new([remote(2), remote(3)], fixed, learnt)
    }

    #[test]
    fn a_fixed_station_stays_where_it_was_put_whatever_is_heard() {
        let stations = Arc::new(Stations::default());
        let remotes = remotes(Some(Arc::clone(&stations)));
        assert!(!remotes.hear(THERE, || 0, address(2), NOW));
        assert_eq!(stations.all(NOW).count(), 0);
        assert_eq!(remotes.towards(THERE, || 0, NOW), Towards::Fixed(1));
    }

    #[test]
    fn only_where_it_was_asked_for_are_stations_learnt_and_only_from_remotes() {
        let without = remotes(None);
        assert!(!without.hear(HERE, || 0, address(2), NOW));
        assert_eq!(without.towards(HERE, || 0, NOW), Towards::Unknown);
        let with = remotes(Some(Arc::default()));
        assert!(!with.hear(HERE, || 0, address(7), NOW), "no remote of it");
        assert_eq!(with.towards(HERE, || 0, NOW), Towards::Unknown);
        assert!(with.hear(HERE, || 0, address(2), NOW));
        assert_eq!(with.towards(HERE, || 0, NOW), Towards::Learnt(0));
    }

    #[test]
    fn groups_are_everywhere_and_never_learnt() {
        let remotes = remotes(Some(Arc::default()));
        for group in [MacAddress([0xff; 6]), MacAddress([1, 0, 0x5e, 0, 0, 5])] {
            assert!(!remotes.hear(group, || 0, address(2), NOW));
            assert_eq!(remotes.towards(group, || 0, NOW), Towards::Group);
        }
        assert!(!remotes.hear(MacAddress::default(), || 0, address(2), NOW));
    }
}
