//! Which far end of a tunnel each station is behind, as the frames from there said (the learning of RFC 7348 §4.1).
//!
//! Like [soft state](crate::tables::soft_state), it belongs to no generation of the tables: the control side keeps
//! it for a tunnel while its network and its remotes are the same. Entries are atomics that any worker reads and writes. A station
//! may have one of four places, by a hash that nobody outside can foretell; where all are taken, the one that was
//! heard longest ago goes. Two workers that hear of a new one at once may give it two places; the one who finds that
//! so leaves it the first. There are no timers: who has not been heard for [`LIFETIME_S`] is not found.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Nanos;
use crate::wire::ethernet::MacAddress;

/// Stations that a tunnel can know at a time.
pub const STATIONS_MAX: usize = 8192;

/// For how many seconds a station is known after it was heard last (as Linux; RFC 7348 leaves it open).
pub const LIFETIME_S: u64 = 300;

/// Places that one station may have.
const WAYS: usize = 4;

/// A tick is 2^30 ns, about a second: more often an entry is not written.
const TICK_SHIFT: u32 = 30;

/// See the module.
#[derive(Debug)]
pub struct Stations(Box<[Place; STATIONS_MAX]>);

#[derive(Debug)]
struct Place {
    /// From the lowest bit: 16 of the far end's number, 48 of the station's address; 0: nobody. No station that
    /// sends has the address 0.
    who: AtomicU64,
    /// When it was heard, in ticks.
    heard: AtomicU64,
}

/// A station that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its address.
    pub address: MacAddress,
    /// The number of the far end that it is behind.
    pub end: u16,
    /// For how long nothing was heard of it, in about seconds.
    pub silent_s: u64,
}

impl Default for Stations {
    fn default() -> Self {
        let place = || Place { who: AtomicU64::new(0), heard: AtomicU64::new(0) };
        Self(Box::new(core::array::from_fn(|_| place())))
    }
}

impl Stations {
    /// The number of the far end that a station is behind, if that is known; `hash` is that of the address.
    #[inline]
    pub fn find(&self, address: MacAddress, hash: u64, now: Nanos) -> Option<u16> {
        let wanted = address.number();
        let place = self.places(hash).iter().find(|place| {
            place.who.load(Ordering::Relaxed) >> 16 == wanted && !place.is_forgotten(now)
        })?;
        let who = place.who.load(Ordering::Relaxed);
        // Another may have taken the place meanwhile.
        (who >> 16 == wanted).then_some(end_of(who))
    }

    /// A frame of a station came from a far end. Says whether that is news.
    #[inline]
    pub fn hear(&self, address: MacAddress, hash: u64, end: u16, now: Nanos) -> bool {
        let wanted = address.number();
        let who = wanted << 16 | u64::from(end);
        for place in self.places(hash) {
            let known = place.who.load(Ordering::Relaxed);
            if known >> 16 == wanted {
                let is_news = known != who || place.is_forgotten(now);
                if known != who {
                    place.who.store(who, Ordering::Relaxed);
                }
                if place.heard.load(Ordering::Relaxed) != ticks(now) {
                    place.heard.store(ticks(now), Ordering::Relaxed);
                }
                return is_news;
            }
        }
        self.add(hash, who, now);
        self.leave_first(hash, wanted);
        true
    }

    /// Takes the place that is free, or the one of whoever was heard longest ago.
    #[cold]
    fn add(&self, hash: u64, who: u64, now: Nanos) {
        let age = |place: &&Place| match place.who.load(Ordering::Relaxed) {
            0 => 0,
            _ => 1 + place.heard.load(Ordering::Relaxed),
        };
        let Some(place) = self.places(hash).iter().min_by_key(age) else { return };
        // First when: no worker then finds the new one forgotten.
        place.heard.store(ticks(now), Ordering::Relaxed);
        // In one order with the loads of whoever has just entered it, too: of two, one sees both.
        place.who.store(who, Ordering::SeqCst);
    }

    /// Takes a station out of all of its places but the first.
    fn leave_first(&self, hash: u64, station: u64) {
        let known = self.places(hash).iter().filter_map(|place| {
            let who = place.who.load(Ordering::SeqCst);
            (who >> 16 == station).then_some((place, who))
        });
        for (place, who) in known.skip(1) {
            // Where that fails, somebody else has the place.
            let _ = place.who.compare_exchange(who, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// All that are known.
    pub fn all(&self, now: Nanos) -> impl Iterator<Item = Station> {
        self.0.iter().filter_map(move |place| {
            let who = place.who.load(Ordering::Relaxed);
            let heard = Nanos(place.heard.load(Ordering::Relaxed) << TICK_SHIFT);
            let silent_s = now.since(heard).as_secs();
            let known = who != 0 && !place.is_forgotten(now);
            known.then(|| Station { address: address_of(who), end: end_of(who), silent_s })
        })
    }

    /// Forgets all; says how many they were.
    pub fn clear(&self, now: Nanos) -> u64 {
        let known = self.all(now).count() as u64;
        self.0.iter().for_each(|place| place.who.store(0, Ordering::Relaxed));
        known
    }

    #[inline]
    fn places(&self, hash: u64) -> &[Place] {
        let home = usize::try_from(hash >> 32).unwrap_or(0) % (STATIONS_MAX / WAYS) * WAYS;
        self.0.get(home..home + WAYS).unwrap_or(&[])
    }
}

impl Place {
    #[inline]
    fn is_forgotten(&self, now: Nanos) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        ticks(now).saturating_sub(heard) > ticks(Nanos::from_secs(LIFETIME_S))
    }
}

const fn ticks(time: Nanos) -> u64 {
    time.0 >> TICK_SHIFT
}

fn address_of(who: u64) -> MacAddress {
    let bytes = (who >> 16).to_be_bytes();
    MacAddress(bytes[2..].first_chunk().copied().unwrap_or_default())
}

#[expect(clippy::cast_possible_truncation, reason = "it is cut out")]
const fn end_of(who: u64) -> u16 {
    who as u16
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    const NOW: Nanos = Nanos::from_secs(1000);

    fn station(last: u8) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, last])
    }

    #[test]
    fn a_station_is_behind_the_end_that_it_was_heard_from_last() {
        let stations = Stations::default();
        assert_eq!(stations.find(station(1), 7, NOW), None);
        assert!(stations.hear(station(1), 7, 3, NOW));
        assert!(!stations.hear(station(1), 7, 3, NOW), "no news");
        assert_eq!(stations.find(station(1), 7, NOW), Some(3));
        assert!(stations.hear(station(1), 7, 0, NOW), "it has moved");
        assert_eq!(stations.find(station(1), 7, NOW), Some(0));
        assert_eq!(stations.find(station(2), 7, NOW), None);
    }

    #[test]
    fn who_is_silent_for_too_long_is_forgotten_and_who_speaks_is_not() {
        let stations = Stations::default();
        let later = |seconds| NOW + Duration::from_secs(seconds);
        stations.hear(station(1), 7, 3, NOW);
        stations.hear(station(2), 7, 4, NOW);
        stations.hear(station(2), 7, 4, later(200));
        assert_eq!(stations.find(station(1), 7, later(310)), None);
        assert_eq!(stations.find(station(2), 7, later(310)), Some(4));
        let all: Vec<_> = stations.all(later(310)).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].address, all[0].end), (station(2), 4));
        assert!((108..=111).contains(&all[0].silent_s), "{}", all[0].silent_s);
        assert!(stations.hear(station(1), 7, 3, later(310)), "it is news again");
    }

    #[test]
    fn a_station_that_workers_hear_of_at_once_is_known_once() {
        // Few homes, so that places are sought while others are given.
        const WORKERS: usize = 4;
        for round in 0..400 {
            let stations = Stations::default();
            let start = std::sync::Barrier::new(WORKERS);
            std::thread::scope(|scope| {
                for worker in 0..WORKERS {
                    let (stations, start) = (&stations, &start);
                    scope.spawn(move || {
                        start.wait();
                        for last in 1..=200 {
                            let hash = u64::from(last % 8) << 32;
                            let now = NOW + Duration::from_secs(round % 7 + u64::from(last) * 2);
                            stations.hear(station(last), hash, u16::try_from(worker).unwrap(), now);
                        }
                    });
                }
            });
            let all: Vec<_> = stations.all(NOW).map(|station| station.address).collect();
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            assert_eq!(distinct.len(), all.len(), "{all:?}");
        }
    }

    #[test]
    fn a_fifth_station_takes_the_place_of_the_one_that_is_silent_longest() {
        let stations = Stations::default();
        for last in 1..=4 {
            stations.hear(station(last), 7, 9, NOW + Duration::from_secs(10 * u64::from(last)));
        }
        stations.hear(station(1), 7, 9, NOW + Duration::from_secs(100));
        stations.hear(station(5), 7, 9, NOW + Duration::from_secs(110));
        let known = |last| stations.find(station(last), 7, NOW + Duration::from_secs(110));
        assert_eq!([1, 2, 3, 4, 5].map(known), [Some(9), None, Some(9), Some(9), Some(9)]);
        assert_eq!(stations.clear(NOW + Duration::from_secs(110)), 4);
        assert_eq!(stations.all(NOW).count(), 0);
    }
}
