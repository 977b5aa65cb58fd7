//! The paths between the ends of tunnels, by number: what is learnt about a path belongs to its
//! number, and stays with it whatever else changes, until the outer packets leave by another port.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};

use adit_dataplane::interface::PortId;
use adit_dataplane::tables::soft_state::TunnelPath;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use crate::config::Ids;

/// Which path: from where to where, and by which port if a tunnel is bound to one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    ends: Ends,
    link: Option<PortId>,
}

/// Local and remote. There may be a million of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Ends {
    Ipv4(Ipv4Addr, Ipv4Addr),
    Other(Box<(IpAddr, IpAddr)>),
}

impl Ends {
    fn of(local: IpAddr, remote: IpAddr) -> Self {
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Self::Ipv4(local, remote),
            ends => Self::Other(Box::new(ends)),
        }
    }

    fn get(&self) -> (IpAddr, IpAddr) {
        match self {
            Self::Ipv4(local, remote) => (IpAddr::V4(*local), IpAddr::V4(*remote)),
            Self::Other(ends) => **ends,
        }
    }
}

#[derive(Debug, Clone)]
struct Path {
    key: Key,
    /// How many tunnels take it.
    holders: u32,
    /// By which port outer packets left at last.
    port: Option<PortId>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(in super::super) struct Paths {
    by_number: Vec<Option<Path>>,
    numbers: HashTable<u32>,
    ids: Ids,
    /// Paths that nothing is known about any more.
    moved: Vec<TunnelPath>,
}

fn hash(key: &Key) -> u64 {
    FxBuildHasher.hash_one(key)
}

impl Paths {
    /// None, and room for so many.
    pub(in super::super) fn new(limit: u32) -> Self {
        Self {
            by_number: Vec::new(),
            numbers: HashTable::new(),
            ids: Ids::new(limit),
            moved: Vec::new(),
        }
    }

    /// Makes room for as many more at once.
    pub(super) fn reserve(&mut self, count: usize) {
        let Self { by_number: paths, numbers, .. } = self;
        let hash_of = |id: &u32| number_hash(paths, *id);
        numbers.reserve(count.saturating_sub(numbers.len()), hash_of);
        paths.reserve_exact(count.saturating_sub(paths.len()));
    }

    /// One more tunnel takes this path, and leaves by `port`. Where there is no room for another path,
    /// it has no number, and nothing is learnt about it.
    pub(super) fn hold(
        &mut self,
        (local, remote): (IpAddr, IpAddr),
        link: Option<PortId>,
        port: Option<PortId>,
    ) -> TunnelPath {
        let key = Key { ends: Ends::of(local, remote), link };
        let Self { by_number: paths, numbers, .. } = self;
        let is_same = |id: &u32| path_of(paths, *id).is_some_and(|path| path.key == key);
        let Some(&id) = numbers.find(hash(&key), is_same) else { return self.add(key, port) };
        if let Some(Some(path)) = self.by_number.get_mut(id as usize) {
            path.holders += 1;
            if let (Some(before), Some(now)) = (path.port, port)
                && before != now
            {
                self.moved.push(TunnelPath(id));
            }
            path.port = port.or(path.port);
        }
        TunnelPath(id)
    }

    fn add(&mut self, key: Key, port: Option<PortId>) -> TunnelPath {
        let Some(id) = self.ids.take() else { return TunnelPath::NONE };
        let at = id as usize;
        if at < self.by_number.len() {
            // Another path has had the number.
            self.moved.push(TunnelPath(id));
        } else {
            self.by_number.resize(at + 1, None);
        }
        let hash = hash(&key);
        self.by_number[at] = Some(Path { key, holders: 1, port });
        let paths = &self.by_number;
        self.numbers.insert_unique(hash, id, |id| number_hash(paths, *id));
        TunnelPath(id)
    }

    /// One tunnel less takes a path.
    pub(super) fn release(&mut self, path: TunnelPath) {
        let Some(Some(held)) = self.by_number.get_mut(path.0 as usize) else { return };
        held.holders = held.holders.saturating_sub(1);
        if held.holders == 0 {
            self.forget(path.0);
        }
    }

    fn forget(&mut self, id: u32) {
        let Some(path) = self.by_number.get_mut(id as usize).and_then(Option::take) else { return };
        if let Ok(entry) = self.numbers.find_entry(hash(&path.key), |other| *other == id) {
            entry.remove();
        }
        self.ids.give_back(id);
    }

    /// The same numbers, held by nobody: for tables that are made anew.
    pub(in super::super) fn unheld(&self) -> Self {
        let mut paths = self.clone();
        paths.by_number.iter_mut().flatten().for_each(|path| path.holders = 0);
        paths
    }

    /// Forgets paths that nobody holds.
    pub(super) fn forget_unheld(&mut self) {
        for id in (0..self.by_number.len()).filter_map(|id| u32::try_from(id).ok()) {
            if path_of(&self.by_number, id).is_some_and(|path| path.holders == 0) {
                self.forget(id);
            }
        }
    }

    /// Numbers that were given back can be given out again.
    pub(super) fn settle(&mut self) {
        self.ids.settle();
    }

    /// Paths that are not what they were since the last call: what was learnt about them is not true
    /// any more.
    pub(super) fn take_moved(&mut self) -> Vec<TunnelPath> {
        std::mem::take(&mut self.moved)
    }

    /// All of them, with their ends and the port by which packets leave.
    pub(in super::super) fn iter(
        &self,
    ) -> impl Iterator<Item = (TunnelPath, (IpAddr, IpAddr), Option<PortId>)> {
        let numbered = (0..).map(TunnelPath).zip(&self.by_number);
        numbered.filter_map(|(id, path)| {
            let path = path.as_ref()?;
            Some((id, path.key.ends.get(), path.port))
        })
    }
}

fn path_of(paths: &[Option<Path>], id: u32) -> Option<&Path> {
    paths.get(id as usize)?.as_ref()
}

fn number_hash(paths: &[Option<Path>], id: u32) -> u64 {
    path_of(paths, id).map_or(0, |path| hash(&path.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(remote: u8) -> (IpAddr, IpAddr) {
        ([192, 0, 2, 1].into(), [203, 0, 113, remote].into())
    }

    const WAN: Option<PortId> = Some(PortId(0));
    const BACKUP: Option<PortId> = Some(PortId(1));

    #[test]
    fn tunnels_between_the_same_ends_take_one_path() {
        let mut paths = Paths::new(4);
        let first = paths.hold(ends(2), None, WAN);
        assert_eq!(paths.hold(ends(2), None, WAN), first);
        assert_ne!(paths.hold(ends(3), None, WAN), first);
        assert_ne!(paths.hold(ends(2), WAN, WAN), first, "bound to a port it is another");
        let v6: (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        assert_eq!(paths.hold(v6, None, WAN), paths.hold(v6, None, WAN));
        paths.release(first);
        assert_eq!(paths.iter().count(), 4);
        paths.release(first);
        assert_eq!(paths.iter().count(), 3);
    }

    #[test]
    fn a_path_has_moved_when_it_leaves_by_another_port_and_not_when_a_route_was_gone() {
        let mut paths = Paths::new(4);
        let path = paths.hold(ends(2), None, WAN);
        assert_eq!(paths.hold(ends(2), None, None), path);
        assert_eq!(paths.hold(ends(2), None, WAN), path);
        assert_eq!(paths.take_moved(), []);
        paths.hold(ends(2), None, BACKUP);
        assert_eq!(paths.take_moved(), [path]);
    }

    #[test]
    fn a_number_that_is_given_out_again_is_that_of_an_unknown_path() {
        let mut paths = Paths::new(1);
        let path = paths.hold(ends(2), None, WAN);
        paths.release(path);
        assert_eq!(paths.hold(ends(3), None, WAN), TunnelPath::NONE, "it rests");
        paths.settle();
        assert_eq!(paths.hold(ends(3), None, WAN), path);
        assert_eq!(paths.take_moved(), [path]);
    }

    #[test]
    fn made_anew_paths_keep_their_numbers() {
        let mut paths = Paths::new(4);
        let (first, second) = (paths.hold(ends(2), None, WAN), paths.hold(ends(3), None, WAN));
        let mut anew = paths.unheld();
        assert_eq!(anew.hold(ends(3), None, WAN), second);
        anew.forget_unheld();
        assert_eq!(anew.iter().map(|(path, ..)| path).collect::<Vec<_>>(), [second]);
        assert_ne!(anew.hold(ends(2), None, WAN), first, "it rests");
        assert_eq!(anew.take_moved(), []);
    }
}
