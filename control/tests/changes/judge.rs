//! The receiver on the far port. It judges by the bytes of frames alone, and asks no counter of the
//! appliance.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::flow::{self, Seen};
use crate::wire::Cable;

/// What was wrong with frames, each at its worst, and how many there were.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    /// Sent by a rule although a later one had been confirmed before.
    pub(crate) stale: u64,
    /// Sent by a rule that nobody had asked for yet, or by one of another flow.
    pub(crate) misaimed: u64,
    /// No whole packet of ours in a whole packet from us to a peer.
    pub(crate) unreadable: u64,
}

/// What the receiver has seen in the end.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) findings: Findings,
    pub(crate) received: u64,
    /// Frames that were the first of their flow to be sent by another rule than the one before.
    pub(crate) turns: u64,
    /// The longest silence of the far port.
    pub(crate) longest_gap: Duration,
}

/// What the receiver remembers of a flow.
#[derive(Default)]
pub(crate) struct Flow {
    next: u64,
    pub(crate) missing: BTreeSet<u64>,
    rule: u16,
}

/// Takes frames until no more come after the end of the generator. Gives up on frames that are
/// missing by then.
pub(crate) fn receive(cable: &Cable) -> Record {
    /// Workers empty their queues within microseconds, if they get a core.
    const PATIENCE: Duration = Duration::from_secs(5);
    let mut record = Record::default();
    let mut flows: Vec<Flow> = cable.rules.iter().map(|_| Flow::default()).collect();
    let mut last = Instant::now();
    loop {
        if let Some(frame) = cable.far.pop() {
            record.received += 1;
            record.longest_gap = record.longest_gap.max(last.elapsed());
            last = Instant::now();
            match flow::read(frame.bytes()) {
                Some(seen) if usize::from(seen.flow) < flows.len() => {
                    let flow = &mut flows[usize::from(seen.flow)];
                    record.judge(flow, seen, frame.confirmed, cable);
                }
                _ => record.findings.unreadable += 1,
            }
            continue;
        }
        let is_over = cable.is_over.load(Ordering::Acquire);
        let is_all = record.received >= cable.generated.load(Ordering::Acquire);
        if is_over && (is_all || last.elapsed() > PATIENCE) {
            break;
        }
        thread::yield_now();
    }
    record.findings.lost = flows.iter().map(|flow| flow.missing.len() as u64).sum();
    // What is missing at the end of a flow leaves no gap.
    let seen: u64 = flows.iter().map(|flow| flow.next).sum();
    record.findings.lost += cable.generated.load(Ordering::Acquire).saturating_sub(seen);
    record
}

impl Record {
    /// Judges one frame of a flow; `confirmed` is the rule that was when it left.
    pub(crate) fn judge(&mut self, flow: &mut Flow, seen: Seen, confirmed: u16, cable: &Cable) {
        let findings = &mut self.findings;
        if seen.number >= flow.next {
            flow.missing.extend(flow.next..seen.number);
            flow.next = seen.number + 1;
        } else if flow.missing.remove(&seen.number) {
            findings.reordered += 1;
        } else {
            findings.duplicated += 1;
        }
        findings.stale += u64::from(seen.rule < confirmed);
        let rules = &cable.rules[usize::from(seen.flow)];
        rules.seen.store(seen.rule, Ordering::Release);
        let asked = rules.asked.load(Ordering::Acquire);
        findings.misaimed += u64::from(seen.aimed_at != seen.flow || seen.rule > asked);
        // Every flow begins with rule 0, whether or not a frame was seen before its first change.
        let before = std::mem::replace(&mut flow.rule, seen.rule);
        self.turns += u64::from(before != seen.rule);
    }
}
