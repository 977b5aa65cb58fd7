//! One worker's part in the team: which of the packets that it receives go to whom, and how buckets
//! move from one worker to another without any packet overtaking another of its flow.
//!
//! A bucket leaves this worker at once: between two bursts nothing of it is under way here. It
//! leaves another worker only when that one has seen through everything it was handed before:
//! until then its packets are held here, at most one burst of them. Should more come, the move is
//! given up, and the held packets follow the earlier ones.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use super::buckets::{Advice, Buckets, HELPERS_MAX, Owner, advise};
use super::flows::Flows;
use super::lane::{Lane, Outbound};
use super::team::{Tally, Team};
use crate::interface::PortId;
use crate::packet::{BURST_MAX, Burst, Packet};
use crate::tables::Tables;

/// Bursts between two looks at whether a bucket should move.
const BURSTS_PER_LOOK: u64 = 32;

/// Stands for "no bucket": the packet stays where it arrived.
const NO_BUCKET: u8 = u8::MAX;

/// One worker's part. Its own thread uses it alone.
pub struct Member {
    team: Arc<Team>,
    number: usize,
    outbound: Box<[Outbound]>,
    inbound: Box<[Arc<Lane>]>,
    /// By port.
    ports: Box<[Buckets]>,
    flows: Flows,
    /// Lanes in use.
    helpers: u8,
    /// Whether any packet may have to leave this worker.
    is_active: bool,
    /// Whether lanes out of use still have buckets.
    is_evacuating: bool,
    moving: Option<Move>,
    /// Packets of the bucket that is moving, and when the first of them arrived.
    held: Box<Burst>,
    held_since: u64,
    /// What stays of the burst that is being divided.
    staying: Box<Burst>,
    /// Packets that found a full lane; the worker drops them.
    pub(super) refused: Box<Burst>,
    load: Load,
}

/// A bucket on its way.
#[derive(Clone, Copy, Debug)]
struct Move {
    port: PortId,
    bucket: u8,
    /// The lane that had it.
    from: u8,
    to: Owner,
    /// Parcels that the lane must have completed first.
    barrier: u64,
}

/// How bursts have been since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    bursts: u64,
    full: u64,
    /// The port they came in by.
    port: usize,
}

/// Packets that have been held and are this worker's now; they are in [`Member::held`].
pub(super) struct Released {
    pub(super) port: PortId,
    pub(super) start: u64,
}

impl Member {
    pub(super) fn new(
        team: Arc<Team>,
        number: usize,
        outbound: Box<[Outbound]>,
        port_count: usize,
    ) -> Self {
        Self {
            inbound: team.inbound(number),
            team,
            number,
            outbound,
            ports: vec![Buckets::new(); port_count].into(),
            flows: Flows::new(),
            helpers: 0,
            is_active: false,
            is_evacuating: false,
            moving: None,
            held: Box::new(Burst::new()),
            held_since: 0,
            staying: Box::new(Burst::new()),
            refused: Box::new(Burst::new()),
            load: Load::default(),
        }
    }

    /// Whether bursts have to be divided.
    #[inline]
    pub(in crate::worker) fn is_active(&self) -> bool {
        self.is_active
    }

    /// Whether anybody hands packets over, or ever did.
    #[inline]
    pub(super) fn is_used(&self) -> bool {
        self.team.is_used()
    }

    /// What this worker counts.
    #[inline]
    pub(super) fn tally(&self) -> &Tally {
        self.team.tally_of(self.number)
    }

    /// Divides a burst that came in by `port`: what others process goes into their lanes or is
    /// held, what this worker processes stays in `burst`, in order, and what found a full lane is
    /// in `refused`. `is_full`: more may be waiting.
    pub(super) fn divide(
        &mut self,
        burst: &mut Box<Burst>,
        port: PortId,
        tables: &Tables,
        start: u64,
        is_full: bool,
    ) {
        self.load.bursts += 1;
        self.load.full += u64::from(is_full);
        self.load.port = port.index();
        super::prefetch_headers(burst);
        let mut buckets = [NO_BUCKET; BURST_MAX];
        for (bucket, packet) in buckets.iter_mut().zip(burst.packets()) {
            if let Some(hash) = self.flows.hash(packet.data(), tables) {
                *bucket = Buckets::of(hash);
            }
        }
        let owners = self.ports.get(port.index());
        for (packet, bucket) in burst.drain().zip(buckets) {
            let result = match owners.map_or(Owner::Here, |owners| owners.owner(bucket)) {
                Owner::Here => self.staying.push(packet),
                Owner::Lane(lane) => match self.outbound.get_mut(usize::from(lane)) {
                    Some(outbound) => outbound.put(packet, port, start),
                    None => self.staying.push(packet),
                },
                Owner::Moving => {
                    if self.held.is_empty() {
                        self.held_since = start;
                    }
                    self.held.push(packet)
                }
            };
            refuse(&mut self.refused, result);
        }
        core::mem::swap(burst, &mut self.staying);
        self.outbound.iter_mut().for_each(Outbound::flush);
        let tally = self.team.tally_of(self.number);
        tally.bursts.add(1);
        tally.full_bursts.add(u64::from(is_full));
        self.count();
    }

    fn count(&mut self) {
        let tally = self.team.tally_of(self.number);
        for outbound in &mut self.outbound {
            tally.handed_out.add(outbound.take_sent_packets());
            let beyond = outbound.depth_max().saturating_sub(tally.depth_max.get());
            tally.depth_max.add(beyond);
        }
    }

    /// Once a round, between bursts: follows the control thread's orders, moves buckets, and sends
    /// what waits in open parcels. `limit`: the most packets that a burst can have. Returns where
    /// the packets belong that are this worker's to process now, before any others.
    pub(super) fn look(&mut self, limit: usize) -> Option<Released> {
        let helpers = self.team.helpers(self.number);
        if helpers != self.helpers {
            self.change_helpers(helpers);
        }
        if !self.is_active {
            return None;
        }
        let released = self.go_on_moving(limit);
        if self.moving.is_none() {
            if self.is_evacuating {
                self.evacuate();
            } else if self.load.bursts >= BURSTS_PER_LOOK {
                self.balance();
            }
        }
        self.outbound.iter_mut().for_each(Outbound::flush);
        released
    }

    fn change_helpers(&mut self, helpers: u8) {
        self.helpers = helpers;
        if self.is_active {
            self.is_evacuating = true;
        } else {
            self.deal();
        }
    }

    /// Gives every worker in use its share of all buckets, which are at home.
    fn deal(&mut self) {
        self.is_active = self.helpers != 0;
        for buckets in &mut self.ports {
            buckets.deal(self.helpers);
        }
        self.load = Load::default();
        self.tell_away();
    }

    /// Begins to take home the next bucket of a lane that is out of use.
    fn evacuate(&mut self) {
        for (lane, _) in (0..).zip(0..self.outbound.len()) {
            let is_out_of_use = self.helpers & 1 << lane == 0;
            if is_out_of_use && self.begin_move(Owner::Lane(lane), Owner::Here) {
                return;
            }
        }
        self.is_evacuating = false;
        if self.ports.iter().all(|buckets| buckets.away() == 0) {
            self.deal();
        }
    }

    /// Moves a bucket if the load asks for it.
    fn balance(&mut self) {
        let Load { bursts, full, .. } = self.load;
        (self.load.bursts, self.load.full) = (0, 0);
        let mut depths = [0; HELPERS_MAX];
        for (depth, outbound) in depths.iter_mut().zip(&self.outbound) {
            *depth = outbound.depth();
        }
        if let Advice::Move { from, to } = advise(full == bursts, self.helpers, &depths) {
            self.begin_move(from, to);
        }
    }

    /// False: `from` has no bucket.
    fn begin_move(&mut self, from: Owner, to: Owner) -> bool {
        let (behind, ahead) = self.ports.split_at_mut(self.load.port.min(self.ports.len()));
        let numbered = (self.load.port..).zip(ahead).chain((0..).zip(behind));
        for (port, buckets) in numbered {
            let Ok(port) = u8::try_from(port) else { break };
            let Some(bucket) = buckets.next_of(from) else { continue };
            let Owner::Lane(lane) = from else {
                // Nothing of it is under way here between bursts.
                buckets.set(bucket, to);
                self.count_move();
                return true;
            };
            let barrier = self.outbound.get(usize::from(lane)).map_or(0, Outbound::barrier);
            buckets.set(bucket, Owner::Moving);
            self.moving = Some(Move { port: PortId(port), bucket, from: lane, to, barrier });
            return true;
        }
        false
    }

    /// Ends the move that is under way if it can end, or must.
    fn go_on_moving(&mut self, limit: usize) -> Option<Released> {
        let moving = self.moving?;
        let lane = self.outbound.get(usize::from(moving.from))?;
        let to = if lane.completed() >= moving.barrier {
            self.count_move();
            moving.to
        } else if self.held.len() + limit > BURST_MAX {
            self.tally().moves_given_up.add(1);
            Owner::Lane(moving.from)
        } else {
            return None;
        };
        self.moving = None;
        self.ports.get_mut(moving.port.index())?.set(moving.bucket, to);
        self.tell_away();
        let start = self.held_since;
        if let Owner::Lane(lane) = to {
            let outbound = self.outbound.get_mut(usize::from(lane))?;
            for packet in self.held.drain() {
                refuse(&mut self.refused, outbound.put(packet, moving.port, start));
            }
            return None;
        }
        (!self.held.is_empty()).then_some(Released { port: moving.port, start })
    }

    fn count_move(&self) {
        self.tally().moves.add(1);
        self.tell_away();
    }

    fn tell_away(&self) {
        let away = self.ports.iter().map(Buckets::away).sum();
        self.tally().buckets_away.store(away, Ordering::Relaxed);
    }

    /// The packets that were [`Released`], in exchange for an empty burst; and the reverse.
    pub(super) fn swap_held(&mut self, burst: &mut Box<Burst>) {
        core::mem::swap(&mut self.held, burst);
    }

    /// How many workers can hand packets to this one.
    pub(super) fn inbound_count(&self) -> usize {
        self.inbound.len()
    }

    /// One of the lanes that lead here.
    pub(super) fn inbound(&self, number: usize) -> Option<&Lane> {
        self.inbound.get(number).map(|lane| &**lane)
    }

    /// At the end: what is held and what is in open parcels goes into its lanes.
    pub(super) fn close(&mut self) {
        if let Some(moving) = self.moving.take()
            && let Some(outbound) = self.outbound.get_mut(usize::from(moving.from))
        {
            for packet in self.held.drain() {
                refuse(&mut self.refused, outbound.put(packet, moving.port, self.held_since));
            }
        }
        self.outbound.iter_mut().for_each(Outbound::close);
        self.count();
    }

    /// After [`close`](Self::close): the next parcel that found no room in its lane, in `refused`,
    /// which is empty. False: there is none.
    pub(super) fn refuse_next(&mut self) -> bool {
        let open = self.outbound.iter_mut().find_map(Outbound::open_parcel);
        open.map(|open| core::mem::swap(open, &mut self.refused)).is_some()
    }

    /// At the end. If this is the last worker that leaves, every lane leads here.
    pub(super) fn leave(&mut self) {
        if self.team.leave() {
            self.inbound = self.team.every_lane().into();
        }
    }
}

/// Puts a packet that was not taken to those that are dropped. There is room for all of a burst.
#[inline]
fn refuse(refused: &mut Burst, result: Result<(), Packet>) {
    if let Err(packet) = result {
        let overflow = refused.push(packet);
        debug_assert!(overflow.is_ok(), "more packets were refused than there were");
    }
}
