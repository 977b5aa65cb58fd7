//! Tunnels with several remotes: the way to each, and where the stations are that are heard.

use std::net::IpAddr;
use std::sync::Arc;

use adit_dataplane::interface::TunnelId;
use adit_dataplane::tunnel::remotes::{Remote, Remotes};
use adit_dataplane::tunnel::stations::Stations;

use super::kept::Kept;
use super::{Compiler, TunnelInfo};
use crate::config;

/// The stations of tunnels that learn, which are behind remotes by their numbers.
pub(in super::super) type LearntStations = Kept<Box<[IpAddr]>, Stations>;

/// What a tunnel's stations are learnt for, if they are.
pub(super) fn learns_for(tunnel: &config::Tunnel) -> Option<Box<[IpAddr]>> {
    let remotes = tunnel.remotes.as_deref().filter(|remotes| remotes.learns)?;
    tunnel.enabled.then(|| remotes.all.clone())
}

impl Compiler {
    /// The stations that a tunnel has heard, if it learns.
    pub(in super::super) fn stations(&self, id: TunnelId) -> Option<&Stations> {
        self.stations.of(id).map(|stations| &**stations)
    }

    /// The remotes of a tunnel, if it has several.
    pub(super) fn remotes(
        &self,
        id: TunnelId,
        tunnel: &config::Tunnel,
        info: &TunnelInfo,
    ) -> Option<Remotes> {
        let remotes = tunnel.remotes.as_deref()?;
        let all = remotes.all.iter().zip(&info.more_paths);
        let all = all.map(|(&address, &path)| Remote { address, path });
        let learnt = self.stations.of(id).map(Arc::clone);
        let mut remotes = Remotes::new(all, remotes.fixed.iter().copied(), learnt);
        remotes.link = tunnel.link.as_ref().and_then(|name| self.port_id(name));
        Some(remotes)
    }
}
