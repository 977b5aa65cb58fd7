//! What the workers of one appliance share to hand packets to each other, and what the control
//! thread decides and reads.

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::utils::CachePadded;

use super::buckets::HELPERS_MAX;
use super::lane::{Lane, Outbound};
use super::member::Member;
use crate::counters::Cell;
use crate::packet::Burst;

/// All workers of an appliance, as far as they hand packets to each other. Made once, at the start.
pub struct Team {
    workers: usize,
    /// Lanes of each worker: how many others it can hand packets to.
    reach: usize,
    /// By sending worker, then by lane.
    lanes: Box<[Arc<Lane>]>,
    switches: Box<[CachePadded<AtomicU8>]>,
    tallies: Box<[CachePadded<Tally>]>,
    /// Whether anybody has ever been told to hand packets over.
    is_used: AtomicBool,
    /// Members that have not left.
    present: AtomicUsize,
    /// The first open burst of each lane, until its member is made.
    spares: Mutex<Vec<Option<Box<Burst>>>>,
}

/// What one worker counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// Packets given to other workers.
    pub handed_out: Cell,
    /// Packets taken from other workers.
    pub taken_in: Cell,
    /// Packets that found a full lane, and were dropped.
    pub refused: Cell,
    /// The most parcels that were ever in one of its lanes.
    pub depth_max: Cell,
    /// Bursts received while others help, and those of them that were as long as they can be.
    pub bursts: Cell,
    /// See [`bursts`](Self::bursts).
    pub full_bursts: Cell,
    /// Packets of its own that it processed itself while others helped, and how long that took.
    pub kept_packets: Cell,
    /// In cycles.
    pub kept_cycles: Cell,
    /// Buckets that have moved from one worker to another.
    pub moves: Cell,
    /// Moves that were given up, because too many packets came meanwhile.
    pub moves_given_up: Cell,
    /// Buckets that other workers process now.
    pub buckets_away: AtomicUsize,
}

impl Team {
    /// For that many workers, at least 2. Each hands packets to the [`HELPERS_MAX`] that follow it,
    /// in a circle. `None`: there is nobody to hand anything to.
    pub fn new(workers: u16) -> Option<Arc<Self>> {
        let workers = usize::from(workers);
        let reach = workers.checked_sub(1).filter(|&others| others > 0)?.min(HELPERS_MAX);
        let (lanes, spares): (Vec<_>, Vec<_>) = (0..workers * reach).map(|_| Lane::new()).unzip();
        Some(Arc::new(Self {
            workers,
            reach,
            lanes: lanes.into(),
            switches: (0..workers).map(|_| CachePadded::default()).collect(),
            tallies: (0..workers).map(|_| CachePadded::default()).collect(),
            is_used: AtomicBool::new(false),
            present: AtomicUsize::new(0),
            spares: Mutex::new(spares.into_iter().map(Some).collect()),
        }))
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// One worker's part, for ports 0 to `port_count`. `None`: there is no such worker, or it has
    /// its part already. All are made before the first of them works.
    pub fn member(self: &Arc<Self>, number: usize, port_count: usize) -> Option<Member> {
        let own = self.outbound(number)?;
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        let spares = spares.get_mut(own.clone())?;
        let lanes = self.lanes.get(own)?.iter().zip(spares);
        let outbound: Option<Box<[Outbound]>> =
            lanes.map(|(lane, open)| Some(Outbound::new(Arc::clone(lane), open.take()?))).collect();
        let outbound = outbound?;
        self.present.fetch_add(1, Ordering::AcqRel);
        Some(Member::new(Arc::clone(self), number, outbound, port_count))
    }

    /// Whom a worker's lanes lead to, in their order.
    pub fn helpers_of(&self, number: usize) -> impl Iterator<Item = usize> {
        let workers = self.workers;
        (1..=self.reach).map(move |step| (number + step) % workers)
    }

    /// Control: tells a worker whom to hand packets to: bit `n` stands for the worker at the end of
    /// its lane `n`, see [`helpers_of`](Self::helpers_of). 0: nobody; what others have gets back
    /// bucket by bucket.
    pub fn set_helpers(&self, number: usize, helpers: u8) {
        if helpers != 0 {
            self.is_used.store(true, Ordering::Release);
        }
        if let Some(switch) = self.switches.get(number) {
            switch.store(helpers & self.all_helpers(), Ordering::Release);
        }
    }

    /// Every lane that a worker has.
    pub fn all_helpers(&self) -> u8 {
        u8::try_from((1_u32 << self.reach) - 1).unwrap_or(u8::MAX)
    }

    /// What a worker has been told.
    #[inline]
    pub fn helpers(&self, number: usize) -> u8 {
        self.switches.get(number).map_or(0, |switch| switch.load(Ordering::Relaxed))
    }

    /// What a worker has counted.
    pub fn tally(&self, number: usize) -> Option<&Tally> {
        self.tallies.get(number).map(|tally| &**tally)
    }

    /// What a member has counted.
    #[inline]
    pub(super) fn tally_of(&self, number: usize) -> &Tally {
        &self.tallies[number % self.tallies.len()]
    }

    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    /// The lanes that lead to a worker.
    pub(super) fn inbound(&self, number: usize) -> Box<[Arc<Lane>]> {
        let senders = (1..=self.reach).map(|step| {
            let sender = (number + self.workers - step) % self.workers;
            (sender, step - 1)
        });
        senders.filter_map(|(sender, lane)| self.lane(sender, lane).cloned()).collect()
    }

    /// Any lane.
    pub(super) fn every_lane(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    /// A member leaves; true: it was the last one, and sees everything that the others did.
    pub(super) fn leave(&self) -> bool {
        self.present.fetch_sub(1, Ordering::AcqRel) == 1
    }

    fn lane(&self, sender: usize, lane: usize) -> Option<&Arc<Lane>> {
        self.lanes.get(sender * self.reach + lane)
    }

    fn outbound(&self, number: usize) -> Option<core::ops::Range<usize>> {
        let start = number * self.reach;
        (number < self.workers).then_some(start..start + self.reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_leads_from_one_worker_to_another_and_is_heard_there() {
        for workers in [2, 3, 8, 9, 20] {
            let team = Team::new(workers).unwrap();
            let workers = usize::from(workers);
            for number in 0..workers {
                let helpers: Vec<usize> = team.helpers_of(number).collect();
                assert_eq!(helpers.len(), (workers - 1).min(HELPERS_MAX));
                assert!(!helpers.contains(&number));
                for (lane, &helper) in helpers.iter().enumerate() {
                    let lane = team.lane(number, lane).unwrap();
                    let heard = team.inbound(helper);
                    assert_eq!(heard.iter().filter(|own| Arc::ptr_eq(own, lane)).count(), 1);
                }
            }
        }
    }

    #[test]
    fn a_lone_worker_has_no_team_and_nobody_is_in_it_twice() {
        assert!(Team::new(0).is_none() && Team::new(1).is_none());
        let team = Team::new(2).unwrap();
        assert!(team.member(0, 1).is_some());
        assert!(team.member(0, 1).is_none());
        assert!(team.member(2, 1).is_none());
        team.set_helpers(0, 0xff);
        assert_eq!((team.helpers(0), team.helpers(1)), (1, 0));
    }
}
