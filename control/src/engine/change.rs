//! Changes of what runs: edits become operations on the copy of the tables that nobody reads, which is
//! published then. Nothing is compiled anew but what an edit touches, unless ports or limits change.

use std::sync::Arc;

use adit_dataplane::clock::Nanos;
use adit_dataplane::tables::{Operation, TablePair};

use super::compile::{Compiler, Former};
use super::{CompileError, Controller};
use crate::config::{self, Config, Edit, Touched};

/// More edits than this at once may cost more one by one, on both copies of the tables, than tables that
/// are made anew.
const SWEEPING_MIN: usize = 10_000;

impl Controller {
    /// Whether edits can be staged now. False: a worker has not taken yet what was published last.
    pub fn can_change(&mut self) -> bool {
        if !self.pair.is_free() {
            return false;
        }
        if self.is_resting && self.retired.is_empty() && !self.pair.has_changes() {
            self.store.settle();
            self.compiler.settle();
            self.is_resting = false;
        }
        true
    }

    /// Makes edits that belong together, as a whole or not at all; [`Self::publish`] puts them in
    /// force. They have been checked. To be called when [`Self::can_change`] says so.
    ///
    /// # Errors
    /// When they don't fit; then what was staged before stays staged, and nothing else changes.
    pub fn stage(&mut self, edits: Vec<Edit>, now: Nanos) -> Result<(), CompileError> {
        let mut touched = Touched::default();
        let limit = self.store.limit();
        self.store.edit(edits, &mut touched).map_err(|_| CompileError::Counters { limit })?;
        let kept = self.compiler.kept(touched.tunnels.keys().copied());
        let mut operations = std::mem::take(&mut self.pending);
        let made = self.compiler.update(&self.store, &touched).and_then(|made| {
            operations.extend(made);
            Ok(self.pair.change(operations)?)
        });
        if let Err(error) = made {
            // Where it ended can't be told: from what was right before, as a whole.
            self.store.revert(touched);
            self.compiler.put_back(kept);
            self.rebuild(now)?;
            return Err(error);
        }
        self.start_counting(&touched);
        self.follow_next_hops(now);
        Ok(())
    }

    /// Puts everything in force that was staged. Returns the generation that has it.
    pub fn publish(&mut self) -> u64 {
        let has_changes = self.pair.has_changes();
        self.generation += u64::from(has_changes);
        // What waits needs what neighbors have changed: while that is not published, it waits on.
        // Before the tables: whoever takes those finds it, and sends it before what comes later.
        if self.pending.is_empty() {
            self.hand_back_waiting(self.generation);
        }
        if has_changes {
            self.publication.publish(self.pair.publish(self.generation));
            self.is_resting = true;
        }
        self.forget_moved_paths();
        self.generation
    }

    /// Puts another configuration in force, as a whole or not at all. What needs a restart has been
    /// refused before. Returns the generation that has it.
    ///
    /// # Errors
    /// When the configuration does not fit; nothing has changed then.
    pub fn apply(&mut self, config: Config, now: Nanos) -> Result<u64, CompileError> {
        let edits = config::edits(&self.store, &config);
        let same_base = config::is_same_base(self.store.base(), &config);
        let is_sweeping = edits.len() > SWEEPING_MIN && edits.len() > self.store.tunnel_count() / 4;
        if same_base && !is_sweeping && self.can_change() {
            self.stage(edits, now)?;
            self.store.replace_base(config);
            self.act();
            return Ok(self.publish());
        }
        let mut touched = Touched::default();
        let limit = self.store.limit();
        self.store.edit(edits, &mut touched).map_err(|_| CompileError::Counters { limit })?;
        let base = self.store.replace_base(config);
        if let Err(error) = self.rebuild(now) {
            self.store.replace_base(base);
            self.store.revert(touched);
            return Err(error);
        }
        self.start_counting(&touched);
        Ok(self.generation)
    }

    /// Compiles everything anew and publishes it.
    pub(super) fn rebuild(&mut self, now: Nanos) -> Result<(), CompileError> {
        let known = self.neighbors.entries();
        let known = known.filter_map(|entry| Some((entry.port, entry.address, entry.mac?)));
        let former = Former { unproved: self.unproved(), ..self.compiler.former() };
        let (compiler, mut tables) =
            Compiler::build(&self.store, &self.ports, known, former, self.seed)?;
        self.generation += 1;
        tables.generation = self.generation;
        tables.soft_state = Arc::clone(&self.soft_state);
        self.compiler = compiler;
        self.pending.clear();
        self.proofs.clear();
        let old = std::mem::replace(&mut self.pair, TablePair::new(tables));
        self.retired.push((self.generation, old));
        self.is_resting = true;
        self.publication.publish(Arc::clone(self.pair.live()));
        self.forget_moved_paths();
        self.configure_neighbors(now);
        self.act();
        Ok(())
    }

    /// What was learnt about a path is not true where it leaves by another port now.
    fn forget_moved_paths(&mut self) {
        let moved = self.compiler.take_moved_paths();
        for path in &moved {
            self.soft_state.clear(*path);
        }
        if !moved.is_empty() {
            for (_, path) in self.soft_state.peers().filter(|(peer, _)| moved.contains(&peer.from))
            {
                self.soft_state.clear(path);
            }
        }
    }

    /// Tells the neighbors what the configuration says, all of it.
    pub(super) fn configure_neighbors(&mut self, now: Nanos) {
        let ports = self.neighbor_ports();
        let next_hops = self.compiler.next_hops();
        self.compiler.take_next_hop_news();
        let mut actions = std::mem::take(&mut self.actions);
        self.neighbors.configure(now, ports, next_hops, &mut actions);
        self.actions = actions;
    }

    /// Tells the neighbors about next hops that came or went.
    pub(super) fn follow_next_hops(&mut self, now: Nanos) {
        let mut actions = std::mem::take(&mut self.actions);
        for (port, address, is_wanted) in self.compiler.take_next_hop_news() {
            self.neighbors.want_next_hop(now, port, address, is_wanted, &mut actions);
        }
        self.actions = actions;
    }

    /// Publishes what neighbors have changed, if that is possible now. Returns whether there was
    /// something to do.
    pub(super) fn publish_pending(&mut self) -> bool {
        if self.pending.is_empty() {
            if !self.proofs.is_empty() {
                // What tells others of an address goes with the tables that have it.
                return false;
            }
            // What was staged may be what waiting packets need: then they go with its publication.
            if !self.pair.has_changes() {
                self.hand_back_waiting(self.generation);
            }
            return false;
        }
        if !self.can_change() {
            return false;
        }
        let pending: Vec<Operation> = std::mem::take(&mut self.pending);
        // Routes alone can be refused, and there is none among them.
        if self.pair.change(pending).is_ok() {
            self.publish();
        }
        true
    }

    /// Frees tables that no worker runs any more, and brings the copy for changes up to date.
    pub(super) fn reclaim(&mut self) {
        if !self.retired.is_empty() {
            let oldest = self.oldest_generation();
            self.retired.retain(|(replaced_by, _)| oldest < *replaced_by);
        }
        if self.is_resting {
            self.can_change();
        }
    }

    /// A tunnel that is new begins to count at zero, whoever had its counters before.
    fn start_counting(&mut self, touched: &Touched) {
        for (&id, before) in &touched.tunnels {
            let name = |tunnel: &config::Tunnel| config::Name::clone(&tunnel.name);
            let (before, now) = (before.as_ref().map(name), self.store.tunnel(id).map(name));
            if before != now {
                self.restart_counters(id, before.as_deref(), now.as_deref());
            }
        }
    }
}
