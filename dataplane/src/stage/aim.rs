//! Where one packet goes that enters a tunnel: to the tunnel's remote, or to the peer that the packet itself
//! names; and how the outer packet leaves.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::inner::Inner;
use super::{Round, Verdict};
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::node::icmp_error::IcmpError;
use crate::tables::soft_state::TunnelPath;
use crate::tables::{NextHop, WayToPeer};
use crate::tunnel::peers::Peers;
use crate::tunnel::remotes::Remote;
use crate::tunnel::rewrite::{ENCAP_LIMIT_LEN, Patch, Rewrite};
use crate::tunnel::size::Way;
use crate::tunnel::{Tunnel, TunnelSetup};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::witness::{Event, Hop, LoopRule, Witness};

/// Where one packet goes.
pub(super) struct Aim<'t> {
    pub(super) rewrite: &'t Rewrite,
    /// A destination in the place of that in the rewrite.
    peer: Option<IpAddr>,
    /// What is learnt about the way there belongs to it.
    pub(super) path: TunnelPath,
    /// By this, packets there have identifications of their own.
    pub(super) numbers: TunnelPath,
    pub(super) next_hop: NextHop,
    /// The largest outer packet.
    pub(super) underlay_mtu: u16,
}

impl Aim<'_> {
    /// How large outer packets may be on the way.
    #[inline]
    pub(super) fn way(&self, round: &Round<'_, impl Witness>) -> Way {
        Way { underlay_mtu: self.underlay_mtu, learnt: round.learnt(self.path) }
    }

    /// The destination in the outer header; `is_ipv4`: the family of that.
    pub(super) fn remote(&self, is_ipv4: bool) -> IpAddr {
        let usual = || {
            if is_ipv4 {
                IpAddr::V4(self.rewrite.remote_ipv4().into())
            } else {
                IpAddr::V6(self.rewrite.remote_ipv6().into())
            }
        };
        self.peer.unwrap_or_else(usual)
    }

    /// Bytes that the outer IP header, and what belongs to it, make a packet longer; `limit`: an encapsulation limit
    /// that the packet brings, which takes room where the tunnel does not add one by itself.
    #[inline]
    pub(super) fn outer_len(&self, packet: &[u8], setup: &TunnelSetup, limit: Option<u8>) -> usize {
        let len = self.rewrite.len();
        if setup.shim.is_minimal() && Ipv4::trusted(packet).source() == self.rewrite.local_ipv4() {
            // The source stays where it is.
            return 0;
        }
        len + if limit.is_some() && len == ipv6::HEADER_LEN { ENCAP_LIMIT_LEN } else { 0 }
    }

    /// Writes the outer IPv4 header to the start of `room`, as [`Rewrite::write_ipv4`] does.
    #[inline]
    pub(super) fn write_ipv4(&self, room: &mut [u8], patch: Patch) {
        self.rewrite.write_ipv4(room, patch);
        if let Some(IpAddr::V4(peer)) = self.peer {
            ipv4::set_destination(room, peer.into());
        }
    }

    /// The same for an outer IPv6 header, as [`Rewrite::write_ipv6`] does.
    #[inline]
    pub(super) fn write_ipv6(&self, room: &mut [u8], patch: Patch, limit: Option<u8>) {
        self.rewrite.write_ipv6(room, patch, limit);
        if let Some(IpAddr::V6(peer)) = self.peer {
            ipv6::set_destination(room, peer.into());
        }
    }
}

/// Where a packet goes: to the tunnel's remote, or to the peer that is in its destination.
#[inline]
pub(super) fn aim<'t>(
    packet: &[u8],
    (tunnel, id): (&'t Tunnel, TunnelId),
    inner: Inner,
    round: &Round<'_, impl Witness>,
) -> Result<Aim<'t>, Verdict> {
    let setup = &tunnel.setup;
    let Some(peers) = &setup.peers else {
        let (rewrite, path) = tunnel.source_for(|| inner.hash(packet, round));
        return Ok(Aim {
            rewrite,
            peer: None,
            path,
            numbers: path,
            next_hop: setup.underlay,
            underlay_mtu: round.tables.underlay_mtu_now(setup, round.now),
        });
    };
    aim_at_peer(packet, (tunnel, id), peers, round)
}

/// The same, where the packet says it itself. Not inlined: it would spread over what other packets pass.
#[inline(never)]
fn aim_at_peer<'t>(
    packet: &[u8],
    (tunnel, id): (&'t Tunnel, TunnelId),
    peers: &Peers,
    round: &Round<'_, impl Witness>,
) -> Result<Aim<'t>, Verdict> {
    let hash = || round.tables.flow.hash(packet);
    let now = Some(round.now);
    let destination = Ipv6::trusted(packet).destination();
    let remote = peers.remote_of(destination, hash);
    let way = remote.map(|remote| round.tables.way_to_peer(tunnel, remote, hash, now));
    let way = way.filter(WayToPeer::is_to_host);
    round.note(|| Event::PeerInside {
        tunnel: id,
        destination: Ipv6Addr::from(destination),
        peer: peers.embedded(destination).map(Ipv4Addr::from),
        remote: way.map(|way| way.peer.remote.into()),
    });
    // Nobody has an address that is no host's, nor this node a router behind its own.
    let Some(WayToPeer { peer, next_hop, underlay_mtu }) = way else {
        return Err(Verdict::reject_in(IcmpError::HostUnreachable, Counter::IfTxNoRemote, id));
    };
    Ok(Aim {
        rewrite: &tunnel.rewrite,
        peer: Some(IpAddr::V4(peer.remote.into())),
        path: round.tables.soft_state.path_to(peer),
        numbers: peer.number(),
        next_hop,
        underlay_mtu,
    })
}

/// Where a frame goes that goes to one of several remotes.
pub(super) fn aim_at_remote<'t>(
    frame: &[u8],
    tunnel: &'t Tunnel,
    remote: Remote,
    inner: Inner,
    round: &Round<'_, impl Witness>,
) -> Aim<'t> {
    let link = tunnel.remotes().and_then(|remotes| remotes.link);
    let hash = || inner.hash(frame, round);
    let way = round.tables.way_out(remote.address, link, hash, Some(round.now));
    Aim {
        rewrite: &tunnel.rewrite,
        peer: Some(remote.address),
        path: remote.path,
        numbers: remote.path,
        next_hop: way.next_hop,
        underlay_mtu: way.underlay_mtu,
    }
}

/// How the outer packet leaves.
#[inline]
pub(super) fn underlay(
    bytes: &[u8],
    next_hop: NextHop,
    id: TunnelId,
    inner: Inner,
    round: &Round<'_, impl Witness>,
) -> Result<Verdict, Verdict> {
    let next_hop = round.choose_by(next_hop, || inner.hash(bytes, round));
    round.note(|| Event::Underlay { tunnel: id, hop: Hop::of(next_hop, round.tables) });
    match next_hop {
        NextHop::Via(adjacency) => Ok(Verdict::Transmit(adjacency)),
        NextHop::Connected(port) => Ok(Verdict::TransmitOnLink(port)),
        NextHop::Tunnel(next) if next == id => {
            round.note(|| Event::Loop { tunnel: id, rule: LoopRule::SameTunnel });
            Err(Verdict::drop_in(Counter::IfTxLoopDev, id))
        }
        NextHop::Tunnel(next) => Ok(Verdict::Encap(next)),
        _ if inner.is_frame() => Err(Verdict::drop_in(Counter::IfTxNoRoute, id)),
        _ => Err(Verdict::reject_in(IcmpError::HostUnreachable, Counter::IfTxNoRoute, id)),
    }
}
