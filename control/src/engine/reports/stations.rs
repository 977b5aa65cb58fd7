//! The stations that tunnels with several remotes know, and forgetting those that were heard.

use adit_dataplane::clock::Nanos;
use adit_dataplane::interface::TunnelId;

use super::super::Controller;
use crate::config;
use crate::report;

impl Controller {
    /// Stations of all tunnels.
    pub fn stations(&self, now: Nanos) -> report::Stations {
        let all = self.store.tunnels().flat_map(|(id, tunnel)| self.stations_of(id, tunnel, now));
        report::Stations { fdb: all.collect() }
    }

    fn stations_of(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
        now: Nanos,
    ) -> Vec<report::Station> {
        let Some(remotes) = tunnel.remotes.as_deref() else { return Vec::new() };
        let row = |station: String, remote: String, silent_s| report::Station {
            tunnel: tunnel.name.to_string(),
            station,
            remote,
            silent_s,
        };
        let fixed = remotes.fixed.iter();
        let fixed = fixed.map(|(station, to)| row(station.to_string(), to.to_string(), None));
        let is_fixed = |station| remotes.fixed.iter().any(|(fixed, _)| *fixed == station);
        let learnt = self.compiler.stations(id).into_iter().flat_map(|stations| stations.all(now));
        let learnt = learnt.filter(|one| !is_fixed(one.address)).filter_map(|one| {
            let remote = remotes.all.get(usize::from(one.end))?;
            Some(row(one.address.to_string(), remote.to_string(), Some(one.silent_s)))
        });
        let mut all: Vec<_> = fixed.chain(learnt).collect();
        all.sort_by(|one, other| {
            let key = |row: &report::Station| (row.silent_s.is_some(), row.station.clone());
            key(one).cmp(&key(other))
        });
        all
    }

    /// Forgets stations that were heard: of all tunnels, or of one. Returns how many; `None`: there is no such
    /// tunnel.
    pub fn clear_stations(&self, name: Option<&str>, now: Nanos) -> Option<u64> {
        let named = match name {
            Some(name) => Some(self.store.tunnel_id(name)?),
            None => None,
        };
        let ids = self.store.tunnels().map(|(id, _)| id);
        let its = ids.filter(|id| named.is_none_or(|named| named == *id));
        Some(its.filter_map(|id| Some(self.compiler.stations(id)?.clear(now))).sum())
    }
}
