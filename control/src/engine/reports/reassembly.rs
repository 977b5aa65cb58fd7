//! What waits to be put together, for `show reassembly`.

use adit_dataplane::counters::{Counter, Kind};

use super::{PoolFacts, WorkerFacts};
use crate::engine::{Controller, worker_reassembly};
use crate::report;

impl Controller {
    /// What waits at each worker; `facts` are what is known of their threads, in order.
    pub fn reassembly(&self, facts: &[WorkerFacts], pool: &PoolFacts) -> report::Reassembly {
        let workers = u16::try_from(self.workers.len()).unwrap_or(u16::MAX);
        let limits = worker_reassembly(&self.config().limits, pool, workers);
        let bytes = |pieces: u64| pieces * pool.buffer_bytes as u64;
        let nothing = WorkerFacts::default();
        let waiting = self.workers.iter().enumerate().map(|(number, worker)| {
            let counts = &worker.counters.reassembly;
            report::Waiting {
                worker: facts.get(number).unwrap_or(&nothing).name.clone(),
                packets: counts.packets(),
                pieces: counts.pieces(),
                peers: counts.peers(),
                bytes: bytes(counts.pieces()),
                limit_bytes: bytes(limits.pieces.into()),
                limit_per_peer_bytes: bytes(limits.pieces_per_peer.into()),
            }
        });
        let counters = self.counters();
        let count = |counter: Counter| counters.dataplane.get(counter.name()).copied().unwrap_or(0);
        let reasons = Counter::ALL
            .iter()
            .copied()
            .filter(|counter| counter.kind() == Kind::Drop && counter.name().starts_with("reasm."));
        let lost = reasons.map(|counter| report::LostPieces {
            reason: counter.name().to_owned(),
            pieces: count(counter),
        });
        report::Reassembly {
            reassembly: waiting.collect(),
            ok: count(Counter::ReasmOk),
            lost: lost.filter(|lost| lost.pieces > 0).collect(),
        }
    }
}
