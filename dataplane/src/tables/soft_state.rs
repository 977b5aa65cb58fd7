//! What workers learn from the underlay about the paths between tunnel ends (RFC 2003 §5): how large
//! packets may be, and that some did not arrive.
//!
//! It belongs to no generation of the tables: all generations point to the one table, so what was
//! learnt outlives a change of them. Entries are atomics that any worker writes and all read, allocated at
//! the start; memory of those that nothing is learnt about is never touched. Who puts packets into
//! tunnels asks for the [limit](SoftState::limit) alone, two bytes a path, and as long as nothing is
//! learnt about any path not even for that. What has run out is noticed by the next packet that
//! would be held up by it; there are no timers.

mod peers;

use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use zerocopy::{FromBytes, FromZeros, KnownLayout};

use crate::clock::Nanos;

pub use peers::{PEERS_MAX, Peer};

/// The path from one of our outer addresses to one remote, by number. The control side numbers
/// them; all tunnels between these ends have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TunnelPath(pub u32);

impl TunnelPath {
    /// Of a tunnel that has no ends: nothing can be learnt about it.
    pub const NONE: Self = Self(u32::MAX);
}

/// A path MTU that was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// The largest outer packet, in bytes.
    pub mtu: u16,
    /// The path takes less than what is believed: packets go without DF, for routers to fragment.
    pub is_locked: bool,
}

/// Everything that is known about a path, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathReport {
    /// Its MTU, if that is less than the port's, and until when this is believed.
    pub mtu: Option<(PathMtu, Nanos)>,
    /// How many senders are still to be told that packets did not arrive, and when one did not.
    pub errors: Option<(u16, Nanos)>,
}

/// See the module.
#[derive(Debug)]
pub struct SoftState {
    /// How many paths something is known about.
    known: AtomicU32,
    /// By path: the largest outer packet that goes like any other, all bits inverted, so that memory of
    /// zeros says that nothing is known.
    limits: Box<[Limit]>,
    paths: Box<[PathState]>,
    /// Who has the paths behind those with numbers; 0: nobody.
    peers: Box<[AtomicU64]>,
}

#[derive(Debug, FromBytes, KnownLayout)]
#[repr(transparent)]
struct Limit(AtomicU16);

/// Both words are 0 when nothing is known.
#[derive(Debug, FromBytes, KnownLayout)]
#[repr(C)]
struct PathState {
    /// From the lowest bit: 16 of MTU, one of `is_locked`, and when it runs out, in ticks.
    mtu: AtomicU64,
    /// From the lowest bit: 16 of the count, and when the last one came, in ticks.
    errors: AtomicU64,
}

/// How long errors other than of size are remembered (RFC 2003 §5.2 leaves it open; as Linux).
const ERRORS_LAST: Duration = Duration::from_secs(30);

/// A tick is 2^20 ns, about a millisecond.
const TICK_SHIFT: u32 = 20;
const MTU_BITS: u32 = 17;
const COUNT_BITS: u32 = 16;
const LOCKED: u64 = 1 << 16;

/// Below this, packets of some tunnels need DF clear: whoever takes the short way leaves all packets
/// of the path to those who know. 1280 bytes of IPv6 inside the largest overhead there is, and more.
const PLAIN_MIN: u16 = 1280 + 128;

/// How often a change is tried against those that other workers make at the same time.
const TRIES: usize = 8;

const fn ticks(time: Nanos) -> u64 {
    time.0 >> TICK_SHIFT
}

impl SoftState {
    /// For paths with numbers below `paths`; nothing is known about any of them.
    ///
    /// # Panics
    /// When there is no memory for them.
    pub fn new(paths: usize) -> Self {
        let paths = paths + PEERS_MAX;
        let limits = <[Limit]>::new_box_zeroed_with_elems(paths)
            .expect("memory for the state of paths, because nothing works without");
        let paths = <[PathState]>::new_box_zeroed_with_elems(paths)
            .expect("memory for the state of paths, because nothing works without");
        let peers = (0..PEERS_MAX).map(|_| AtomicU64::new(0)).collect();
        Self { known: AtomicU32::new(0), limits, paths, peers }
    }

    /// How many paths with numbers it has room for.
    pub fn room(&self) -> usize {
        self.paths.len() - self.peers.len()
    }

    /// Whether anything is known about any path.
    #[inline]
    pub fn knows_something(&self) -> bool {
        self.known.load(Ordering::Relaxed) != 0
    }

    /// The largest outer packet that goes into a path with no further question; for larger ones, ask
    /// [`Self::mtu`] and [`Self::take_error`].
    #[inline]
    pub fn limit(&self, path: TunnelPath) -> u16 {
        if !self.knows_something() {
            return u16::MAX;
        }
        self.limits.get(path.0 as usize).map_or(u16::MAX, |limit| !limit.0.load(Ordering::Relaxed))
    }

    /// The path MTU, if one was learnt that has not run out.
    pub fn mtu(&self, path: TunnelPath, now: Nanos) -> Option<PathMtu> {
        let state = self.paths.get(path.0 as usize)?;
        let word = state.mtu.load(Ordering::SeqCst);
        if word == 0 {
            return None;
        }
        if word >> MTU_BITS > ticks(now) {
            return Some(path_mtu(word));
        }
        //= RFC 8201 §4: after a time the estimate goes, and the link's MTU is tried again.
        if state.mtu.compare_exchange(word, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.refresh(path);
        }
        None
    }

    /// Believes in a lower path MTU until `until`. False: the path is known to have that or less.
    pub fn learn(&self, path: TunnelPath, learnt: PathMtu, now: Nanos, until: Nanos) -> bool {
        let Some(state) = self.paths.get(path.0 as usize) else { return false };
        let locked = if learnt.is_locked { LOCKED } else { 0 };
        let new = u64::from(learnt.mtu) | locked | (ticks(until) + 1) << MTU_BITS;
        for _ in 0..TRIES {
            let word = state.mtu.load(Ordering::SeqCst);
            let holds = word != 0 && word >> MTU_BITS > ticks(now);
            let before = path_mtu(word);
            //= RFC 1191 §6.3: an estimate only goes down before it runs out.
            if holds && (before.mtu, !before.is_locked) <= (learnt.mtu, !learnt.is_locked) {
                return false;
            }
            if state.mtu.compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                self.refresh(path);
                return true;
            }
        }
        false
    }

    /// A packet did not arrive, for another reason than its size.
    pub fn note_error(&self, path: TunnelPath, now: Nanos) {
        self.change_errors(path, |word| {
            let count = if has_aged(word, now) { 0 } else { word & u64::from(u16::MAX) };
            Some((count + 1).min(u16::MAX.into()) | ticks(now) << COUNT_BITS)
        });
    }

    /// Whether the sender of a packet that goes into the path is to be told of an earlier one that did not
    /// arrive. Each that did not is told of once, and soon or never.
    pub fn take_error(&self, path: TunnelPath, now: Nanos) -> bool {
        let before = self.change_errors(path, |word| match word & u64::from(u16::MAX) {
            0 => None,
            1 => Some(0),
            _ if has_aged(word, now) => Some(0),
            _ => Some(word - 1),
        });
        before.is_some_and(|word| !has_aged(word, now))
    }

    /// Makes another word of that about errors, if `change` says so; the word before, if it was
    /// changed.
    fn change_errors(&self, path: TunnelPath, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let errors = &self.paths.get(path.0 as usize)?.errors;
        for _ in 0..TRIES {
            let word = errors.load(Ordering::SeqCst);
            let new = change(word)?;
            if errors.compare_exchange(word, new, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                if (word == 0) != (new == 0) {
                    self.refresh(path);
                }
                return Some(word);
            }
        }
        None
    }

    /// Forgets everything about a path; says whether there was something.
    pub fn clear(&self, path: TunnelPath) -> bool {
        let Some(state) = self.paths.get(path.0 as usize) else { return false };
        // Looking first spares memory that nobody has touched.
        if state.mtu.load(Ordering::SeqCst) == 0 && state.errors.load(Ordering::SeqCst) == 0 {
            return false;
        }
        state.mtu.store(0, Ordering::SeqCst);
        state.errors.store(0, Ordering::SeqCst);
        self.refresh(path);
        true
    }

    /// What is known about a path; `None`: nothing that still counts, which is forgotten then.
    pub fn report(&self, path: TunnelPath, now: Nanos) -> Option<PathReport> {
        if self.limit(path) == u16::MAX {
            return None;
        }
        let mtu = self.mtu(path, now);
        let state = self.paths.get(path.0 as usize)?;
        let until = Nanos(state.mtu.load(Ordering::SeqCst) >> MTU_BITS << TICK_SHIFT);
        let errors = state.errors.load(Ordering::SeqCst);
        if has_aged(errors, now) {
            self.change_errors(path, |word| (word == errors && word != 0).then_some(0));
        }
        let count = u16::try_from(errors & u64::from(u16::MAX)).unwrap_or(0);
        let errors = (count > 0 && !has_aged(errors, now)).then_some((count, last_error(errors)));
        let report = PathReport { mtu: mtu.map(|mtu| (mtu, until)), errors };
        (report.mtu.is_some() || report.errors.is_some()).then_some(report)
    }

    /// Makes the limit of a path fit its state. Whoever changes the state calls this; who finds that
    /// another has changed it meanwhile looks again, so the limit is that of the last change.
    #[cold]
    fn refresh(&self, path: TunnelPath) {
        let (Some(state), Some(cell)) =
            (self.paths.get(path.0 as usize), self.limits.get(path.0 as usize))
        else {
            return;
        };
        let read = || (state.mtu.load(Ordering::SeqCst), state.errors.load(Ordering::SeqCst));
        for _ in 0..TRIES {
            let (mtu, errors) = read();
            let limit = match path_mtu(mtu) {
                _ if errors != 0 => 0,
                _ if mtu == 0 => u16::MAX,
                PathMtu { mtu, is_locked: false } if mtu >= PLAIN_MIN => mtu,
                _ => 0,
            };
            let before = cell.0.swap(!limit, Ordering::SeqCst);
            if before == 0 && limit != u16::MAX {
                self.known.fetch_add(1, Ordering::SeqCst);
            } else if before != 0 && limit == u16::MAX {
                self.known.fetch_sub(1, Ordering::SeqCst);
            }
            if read() == (mtu, errors) {
                return;
            }
        }
    }
}

/// What a word says about the MTU.
const fn path_mtu(word: u64) -> PathMtu {
    PathMtu { mtu: (word & 0xffff) as u16, is_locked: word & LOCKED != 0 }
}

/// When the last error came that a word tells of.
const fn last_error(word: u64) -> Nanos {
    Nanos(word >> COUNT_BITS << TICK_SHIFT)
}

/// Whether the errors that a word tells of came too long ago.
fn has_aged(word: u64, now: Nanos) -> bool {
    now.since(last_error(word)) >= ERRORS_LAST
}

#[cfg(test)]
mod tests;
