//! Paths to peers that a tunnel finds packet by packet. They have no numbers of the control side: one gets a
//! place when something is learnt about it, and the place is another's when that has run out.
//!
//! There are [`PEERS_MAX`] places, each peer may have one of eight. Where all eight are taken, nothing
//! is learnt: senders hear of every packet that is too big, and none waits for what another peer's path takes.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{SoftState, TunnelPath};
use crate::clock::Nanos;
use crate::interface::PortId;

/// Peers that something can be known about at a time.
pub const PEERS_MAX: usize = 4096;

/// Places that one peer may have.
const WAYS: usize = 8;

/// A peer, by the way there: what was learnt is not true of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The path of the tunnel, which stands for our address.
    pub from: TunnelPath,
    /// The peer's address.
    pub remote: u32,
    /// The port that packets leave by; `None`: they go through another tunnel.
    pub port: Option<PortId>,
}

const NO_PORT: u8 = u8::MAX;

impl Peer {
    /// As one word, which is not 0.
    fn key(self) -> u64 {
        let port = self.port.map_or(NO_PORT, |port| port.0);
        u64::from(self.from.0) << 40 | u64::from(port) << 32 | u64::from(self.remote)
    }

    #[expect(clippy::cast_possible_truncation, reason = "each part is cut out")]
    const fn of_key(key: u64) -> Self {
        let port = (key >> 32) as u8;
        let port = if port == NO_PORT { None } else { Some(PortId(port)) };
        Self { from: TunnelPath((key >> 40) as u32), remote: key as u32, port }
    }

    /// The first of the places that it may have.
    fn home(self) -> usize {
        let mixed = self.key().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        usize::try_from(mixed).unwrap_or(0) % (PEERS_MAX / WAYS) * WAYS
    }

    /// A number for counters that peers may share.
    pub fn number(self) -> TunnelPath {
        let mixed = self.key().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        TunnelPath(u32::try_from(mixed).unwrap_or(0))
    }
}

impl SoftState {
    /// The path to a peer, if something was learnt about it.
    #[inline]
    pub fn path_to(&self, peer: Peer) -> TunnelPath {
        if !self.knows_something() {
            return TunnelPath::NONE;
        }
        let found = self.places(peer).find(|(_, key)| key.load(Ordering::SeqCst) == peer.key());
        found.map_or(TunnelPath::NONE, |(path, _)| path)
    }

    /// The same, with a place for it if there is room.
    pub(crate) fn place_for(&self, peer: Peer, now: Nanos) -> TunnelPath {
        let known = self.path_to(peer);
        if known != TunnelPath::NONE {
            return known;
        }
        for (path, key) in self.places(peer) {
            let before = key.load(Ordering::SeqCst);
            // Whoever had it before may write once more: a peer gets what is too low then, until that runs out.
            if self.report(path, now).is_none()
                && key
                    .compare_exchange(before, peer.key(), Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            {
                return path;
            }
        }
        TunnelPath::NONE
    }

    /// Whether a path is one to a peer.
    pub fn is_to_peer(&self, path: TunnelPath) -> bool {
        path != TunnelPath::NONE && path.0 as usize >= self.room()
    }

    /// All that have a place.
    pub fn peers(&self) -> impl Iterator<Item = (Peer, TunnelPath)> {
        let all = (0..).map(|at| self.path_at(at)).zip(&self.peers);
        let keys = all.map(|(path, key)| (key.load(Ordering::SeqCst), path));
        keys.filter(|&(key, _)| key != 0).map(|(key, path)| (Peer::of_key(key), path))
    }

    fn places(&self, peer: Peer) -> impl Iterator<Item = (TunnelPath, &AtomicU64)> {
        let home = peer.home();
        let keys = self.peers.get(home..home + WAYS).unwrap_or(&[]);
        (home..).map(|at| self.path_at(at)).zip(keys)
    }

    /// The path of a place: behind those that the control side numbers.
    fn path_at(&self, place: usize) -> TunnelPath {
        TunnelPath(u32::try_from(self.room() + place).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PathMtu;
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1);
    const LATER: Nanos = Nanos::from_secs(1000);

    fn peer(remote: u32) -> Peer {
        Peer { from: TunnelPath(3), remote, port: Some(PortId(1)) }
    }

    fn learn(state: &SoftState, peer: Peer, mtu: u16, now: Nanos) -> bool {
        let until = Nanos(now.0 + Nanos::from_secs(600).0);
        state.learn(state.place_for(peer, now), PathMtu { mtu, is_locked: false }, now, until)
    }

    fn mtu(state: &SoftState, peer: Peer, now: Nanos) -> Option<u16> {
        state.mtu(state.path_to(peer), now).map(|path| path.mtu)
    }

    #[test]
    fn what_is_learnt_about_one_peer_is_of_no_other() {
        let state = SoftState::new(10);
        assert!(learn(&state, peer(7), 1400, NOW));
        assert!(learn(&state, Peer { port: None, ..peer(7) }, 1300, NOW));
        assert_eq!(mtu(&state, peer(7), NOW), Some(1400));
        for other in [peer(8), Peer { from: TunnelPath(4), ..peer(7) }] {
            assert_eq!(mtu(&state, other, NOW), None);
        }
        let known: Vec<Peer> = state.peers().map(|(peer, _)| peer).collect();
        assert_eq!(known.len(), 2);
        assert!(known.contains(&peer(7)) && known.contains(&Peer { port: None, ..peer(7) }));
    }

    #[test]
    fn a_flood_of_peers_takes_no_place_that_another_has_until_it_has_run_out() {
        let state = SoftState::new(0);
        assert!(learn(&state, peer(7), 1400, NOW));
        let learnt = (100..100_000).filter(|&remote| learn(&state, peer(remote), 1300, NOW));
        assert_eq!(learnt.count(), PEERS_MAX - 1);
        assert_eq!(mtu(&state, peer(7), NOW), Some(1400));
        assert!(learn(&state, peer(1_000_000), 1200, LATER), "places are free again");
        assert_eq!(mtu(&state, peer(7), LATER), None);
    }
}
