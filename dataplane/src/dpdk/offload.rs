//! What a device may do in place of the packet path, and what it is asked to do: decisions over
//! what it says it can, without a call into C. `setup` obeys them, and reports back what came of it.
//!
//! A device's word is not enough. It may refuse when it is configured, so there are several
//! attempts, and it may take a wish and do something else, so it is asked afterwards what it does.

use dpdk_sys as sys;

/// Which checksums a device may look after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offloads {
    /// What hardware does. The driver of a device in software would do it on our core.
    #[default]
    Auto,
    /// Whatever is offered, by software too.
    On,
    /// Nothing.
    Off,
}

/// By what a device spreads packets over its queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rss {
    /// By the inner flow where hardware can, otherwise by the outer one.
    #[default]
    Auto,
    /// By the inner flow, where a device in software can as well.
    Inner,
    /// By the outer addresses and ports: all packets of a tunnel are on one queue.
    Outer,
    /// Not at all.
    Off,
}

/// One thing that a device may do, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offload {
    /// `rss-inner`, `rss-rules`, `rss-outer`, `rx-checksum`, `tx-checksum` or `tx-outer-checksum`.
    pub name: &'static str,
    /// The device says that it can, or for `rss-rules` that it would.
    pub is_offered: bool,
    /// It does it.
    pub is_used: bool,
    /// Why not, or how far; empty when there is nothing to say.
    pub note: String,
}

/// What is wanted of a device, and what it offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) offloads: Offloads,
    pub(super) rss: Rss,
    pub(super) receive_queues: u16,
    /// Fields of headers that it can hash: `RTE_ETH_RSS_*`.
    pub(super) hash: u64,
    /// `RTE_ETH_RX_OFFLOAD_*`
    pub(super) receive: u64,
    /// `RTE_ETH_TX_OFFLOAD_*`
    pub(super) transmit: u64,
    /// Its driver is software alone.
    pub(super) is_software: bool,
    /// A TAP, whose queues are the kernel's to choose.
    pub(super) is_tap: bool,
}

/// What a device is configured with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) hash: u64,
    pub(super) receive: u64,
}

/// What to hash where a device has several queues; what it can't is left out.
pub(super) const RSS_FIELDS: u64 = sys::SHIM_RSS_IP | sys::SHIM_RSS_TCP | sys::SHIM_RSS_UDP;

const RECEIVE_CHECKSUM: u64 = sys::SHIM_RX_OFFLOAD_IPV4_CKSUM as u64;

const NOT_OFFERED: &str = "the device does not offer it";
const SWITCHED_OFF: &str = "switched off by the configuration";
const ONE_QUEUE: &str = "there is one receive queue";
const IN_SOFTWARE: &str = "the driver would do it in software, on our core";
const KERNEL: &str = "the kernel chooses the queues of a TAP";
const OUTER_WANTED: &str = "the configuration says outer";
const DONE_INNER: &str = "inner flows are hashed instead";
const PATCHED: &str = "patching the sum costs less than asking for it";

impl Terms {
    /// What to configure the device with, best first; the last one wants nothing.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        let (outer, receive) = (self.outer_hash(), self.receive_wish());
        let mut wishes = Vec::new();
        for hash in [self.inner_hash().unwrap_or(outer), outer, 0] {
            for receive in [receive, 0] {
                let wish = Wish { hash, receive };
                if !wishes.contains(&wish) {
                    wishes.push(wish);
                }
            }
        }
        wishes
    }

    /// Whether rules are to be tried, so that the device spreads tunnels by their inner flows; `is_inner`: it
    /// does so without.
    pub(super) fn wants_rules(&self, is_inner: bool) -> bool {
        !is_inner && self.why_no_rules().is_none()
    }

    fn outer_hash(&self) -> u64 {
        if self.why_no_hash().is_some() { 0 } else { RSS_FIELDS & self.hash }
    }

    fn inner_hash(&self) -> Option<u64> {
        let (outer, level) = (self.outer_hash(), sys::SHIM_RSS_LEVEL_INNERMOST);
        let can = outer != 0 && self.rss != Rss::Outer && self.hash & level == level;
        can.then_some(outer | level)
    }

    fn receive_wish(&self) -> u64 {
        if self.why_no_receive_checksum().is_some() { 0 } else { RECEIVE_CHECKSUM }
    }

    fn why_no_hash(&self) -> Option<&'static str> {
        match self.rss {
            Rss::Off => Some(SWITCHED_OFF),
            _ if self.is_tap => Some(KERNEL),
            _ if self.receive_queues < 2 => Some(ONE_QUEUE),
            _ => None,
        }
    }

    /// A rule of a TAP is an eBPF program and a filter of the kernel; where the kernel lacks one, the
    /// driver of DPDK 22.11 ends the process. So nobody asks a TAP.
    fn why_no_rules(&self) -> Option<&'static str> {
        match self.rss {
            Rss::Outer => Some(OUTER_WANTED),
            Rss::Auto if self.is_software && !self.is_tap => Some(IN_SOFTWARE),
            _ => self.why_no_hash(),
        }
    }

    fn why_no_receive_checksum(&self) -> Option<&'static str> {
        if self.receive & RECEIVE_CHECKSUM == 0 {
            return Some(NOT_OFFERED);
        }
        match self.offloads {
            Offloads::Off => Some(SWITCHED_OFF),
            Offloads::Auto if self.is_software => Some(IN_SOFTWARE),
            _ => None,
        }
    }

    /// What became of it all, for people.
    pub(super) fn report(&self, outcome: &Outcome) -> Vec<Offload> {
        let (taken, level) = (outcome.taken, sys::SHIM_RSS_LEVEL_INNERMOST);
        let offers_inner = self.hash & level == level;
        let offers_outer = self.hash & RSS_FIELDS != 0;
        let offers_checksum = self.receive & RECEIVE_CHECKSUM != 0;
        let is_inner = outcome.is_inner();
        let is_outer = !is_inner && outcome.hash & RSS_FIELDS != 0;
        let why_not_inner = match self.inner_hash() {
            _ if !offers_inner => NOT_OFFERED,
            None => self.why_no_hash().unwrap_or(OUTER_WANTED),
            Some(_) => shortfall(taken.hash & level == level),
        };
        let why_not_outer = match self.why_no_hash() {
            _ if !offers_outer => NOT_OFFERED,
            Some(why) => why,
            None if is_inner => DONE_INNER,
            None => shortfall(taken.hash != 0),
        };
        let why_no_checksum = self.why_no_receive_checksum().unwrap_or(shortfall(false));
        let offers_transmit = |bit: u32| self.transmit & u64::from(bit) != 0;
        let why_no_transmit = |bit| if offers_transmit(bit) { PATCHED } else { NOT_OFFERED };
        let (plain, outer) =
            (sys::SHIM_TX_OFFLOAD_IPV4_CKSUM, sys::SHIM_TX_OFFLOAD_OUTER_IPV4_CKSUM);
        vec![
            Offload::new("rss-inner", offers_inner, is_inner, why_not_inner),
            self.report_rules(outcome),
            Offload::new("rss-outer", offers_outer, is_outer, why_not_outer),
            Offload::new("rx-checksum", offers_checksum, taken.receive != 0, why_no_checksum),
            Offload::new("tx-checksum", offers_transmit(plain), false, why_no_transmit(plain)),
            Offload::new(
                "tx-outer-checksum",
                offers_transmit(outer),
                false,
                why_no_transmit(outer),
            ),
        ]
    }

    fn report_rules(&self, outcome: &Outcome) -> Offload {
        let Rules { count, is_offered, refusals } = &outcome.rules;
        let note = match self.why_no_rules() {
            Some(why) => why,
            None if outcome.is_inner() => DONE_INNER,
            None => refusals,
        };
        let is_used = *count != 0;
        Offload { name: "rss-rules", is_offered: *is_offered, is_used, note: note.to_owned() }
    }
}

impl Offload {
    fn new(name: &'static str, is_offered: bool, is_used: bool, why_not: &str) -> Self {
        let note = if is_used { String::new() } else { why_not.to_owned() };
        Self { name, is_offered, is_used, note }
    }
}

/// Why a wish that was made did not come true.
fn shortfall(was_taken: bool) -> &'static str {
    if was_taken { "the device took it, and does not do it" } else { "the device refused it" }
}

/// What a device does in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// What it was configured with.
    pub(super) taken: Wish,
    /// What it hashes by its own word; what was wished where it has none.
    pub(super) hash: u64,
    pub(super) rules: Rules,
}

/// What became of the rules that spread tunnels.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// How many the device has.
    pub(super) count: usize,
    /// It would take at least one.
    pub(super) is_offered: bool,
    /// Which it refuses, and why.
    pub(super) refusals: String,
}

impl Outcome {
    /// Whether it hashes inner headers, and says so.
    pub(super) fn is_inner(&self) -> bool {
        let level = self.hash & sys::SHIM_RSS_LEVEL_MASK;
        self.hash & RSS_FIELDS != 0 && level == sys::SHIM_RSS_LEVEL_INNERMOST
    }
}

#[cfg(test)]
#[path = "offload_tests.rs"]
mod tests;
