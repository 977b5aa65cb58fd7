//! Asking for the counters of tunnels ahead of time.

use crate::interface::TunnelId;
use crate::packet::prefetch;
use crate::stage::Round;

/// Up to how many tunnels the counters are taken for being in a cache of the core: 128 KiB.
pub(super) const NEAR_TUNNELS: usize = 4096;

/// Asks for the counters of tunnels, which have been asked for themselves.
pub(super) fn prefetch_counters(tunnels: impl Iterator<Item = TunnelId>, round: &Round<'_>) {
    for tunnel in tunnels.filter_map(|id| round.tables.tunnel(id)) {
        if let Some(traffic) = round.counters.tunnels.traffic(tunnel.plain.slot) {
            prefetch(traffic);
        }
    }
}
