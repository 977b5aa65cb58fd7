//! How large outer packets may be that go through other tunnels of this node, now: what was learnt about the paths of
//! those counts for whoever goes through them, as no error tells all of them of it.

use super::{NextHop, Tables};
use crate::clock::Nanos;
use crate::tunnel::TunnelSetup;
use crate::wire::Family;
use crate::wire::ipv6::MINIMUM_MTU;

/// Tunnels one inside the other that are looked at.
const NESTED_MAX: usize = 8;

impl Tables {
    /// The largest outer packet of a tunnel that leaves now.
    #[inline]
    pub fn underlay_mtu_now(&self, setup: &TunnelSetup, now: Nanos) -> u16 {
        self.takes_now(setup.underlay, setup.underlay_mtu, setup.outer, now)
    }

    /// The largest packet of a family that leaves by `next_hop` now; `usual`: while nothing is learnt about the
    /// tunnels that it leads through. Of a group, that is what each member takes.
    #[inline]
    pub(super) fn takes_now(
        &self,
        next_hop: NextHop,
        usual: u16,
        family: Family,
        now: Nanos,
    ) -> u16 {
        let may_lead_on = matches!(next_hop, NextHop::Tunnel(_) | NextHop::Group(_));
        if may_lead_on && self.soft_state.knows_something() {
            self.least_behind(next_hop, usual, family, now, NESTED_MAX)
        } else {
            usual
        }
    }

    #[cold]
    fn least_behind(
        &self,
        next_hop: NextHop,
        usual: u16,
        family: Family,
        now: Nanos,
        steps: usize,
    ) -> u16 {
        let Some(steps) = steps.checked_sub(1) else { return usual };
        let tunnel = match next_hop {
            NextHop::Tunnel(id) => self.tunnel(id),
            NextHop::Group(id) => {
                let group = self.next_hops.group(id);
                // The buckets of a member stand together.
                let members = group.into_iter().flat_map(|group| {
                    group.buckets().chunk_by(PartialEq::eq).filter_map(<[NextHop]>::first)
                });
                let takes = |&member| self.least_behind(member, usual, family, now, steps);
                return members.map(takes).fold(usual, u16::min);
            }
            _ => None,
        };
        let Some(tunnel) = tunnel else { return usual };
        let setup = &tunnel.setup;
        let underlay_mtu =
            self.least_behind(setup.underlay, setup.underlay_mtu, setup.outer, now, steps);
        let overhead = u16::try_from(tunnel.overhead()).unwrap_or(u16::MAX);
        // Which of several sources a packet has, and so which path, follows from what it is by then.
        let paths = core::iter::once(setup.path).chain(setup.more_paths.iter().copied());
        let learnt = paths.map(|path| self.soft_state.mtu(path, now));
        let fits = learnt.map(|learnt| {
            let mut way = setup.way(learnt);
            way.underlay_mtu = underlay_mtu;
            setup.effective_mtu(overhead, family == Family::Ipv4, way)
        });
        let least = fits.fold(usual, u16::min);
        //= RFC 2473 §7.1: IPv6 packets up to 1280 bytes always enter a tunnel.
        if family == Family::Ipv6 { least.max(MINIMUM_MTU.min(usual)) } else { least }
    }
}
