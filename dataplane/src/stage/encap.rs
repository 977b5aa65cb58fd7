//! From a packet, or a frame, to the same inside a tunnel.

use core::net::IpAddr;

use super::aim::{Aim, aim, aim_at_remote, underlay};
use super::clamp::{clamp, clamp_in_frame};
use super::entry::{limit_inside, may_enter, may_enter_any};
use super::fit::{Fit, fit};
use super::inner::Inner;
use super::{After, Round, Verdict, Verdicts, frame, minimal, remotes};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::node::flow::flow_label;
use crate::node::icmp_error::IcmpError;
use crate::packet::{Burst, Flags, Packet, Path};
use crate::tables::labels::Labels;
use crate::tables::soft_state::TunnelPath;
use crate::tunnel::lookup::Protocols;
use crate::tunnel::mpls::class_of;
use crate::tunnel::rewrite::Patch;
use crate::tunnel::shim::Contents;
use crate::tunnel::size::{SizeLimits, Way};
use crate::tunnel::{Tunnel, TunnelSetup, ecn};
use crate::wire::Family;
use crate::witness::{Event, TunnelSize, Witness, Wrapped};

/// Encapsulates every packet of the burst that goes into a tunnel.
pub fn encap_burst(
    burst: &mut Burst,
    verdicts: &mut Verdicts,
    round: &mut Round<'_, impl Witness>,
) {
    for (packet, verdict) in burst.packets_mut().iter_mut().zip(verdicts) {
        match *verdict {
            Verdict::Encap(tunnel) => {
                round.witness.turn_to(packet);
                *verdict = encap(packet, tunnel, round);
            }
            Verdict::EncapFrame(tunnel) => {
                round.witness.turn_to(packet);
                *verdict = encap_frame(packet, tunnel, None, round);
            }
            _ => {}
        }
    }
}

/// Puts one packet, which stands at its IP header, into a tunnel. Afterwards it stands at the outer
/// header. The verdict is how it leaves, or into which tunnel it goes next.
pub fn encap(packet: &mut Packet, id: TunnelId, round: &mut Round<'_, impl Witness>) -> Verdict {
    let Some(tunnel) = round.tables.tunnel(id) else {
        return Verdict::drop(Counter::Ip4NoRoute);
    };
    round.note(|| Event::Encap { tunnel: id, length: packet.len() });
    let entered = may_enter(packet, tunnel, id, round).and_then(|limit| {
        round.note(|| Event::MayEnter { tunnel: id, limit });
        let inner = Inner::of(packet, &tunnel.setup);
        Ok((inner, limit, aim(packet.data(), (tunnel, id), inner, round)?))
    });
    match entered {
        Ok((inner, limit, aim)) => put_inside(packet, (tunnel, id), (inner, limit), &aim, round),
        Err(verdict) => verdict,
    }
}

/// The same for a frame, which stands at its Ethernet header. `remote`: the number of that of the tunnel's several
/// remotes which it goes to; `None`: it is to be seen which.
pub fn encap_frame(
    packet: &mut Packet,
    id: TunnelId,
    remote: Option<u16>,
    round: &mut Round<'_, impl Witness>,
) -> Verdict {
    let Some(tunnel) = round.tables.tunnel(id) else {
        return Verdict::drop(Counter::L2NotForUs);
    };
    round.note(|| Event::Encap { tunnel: id, length: packet.len() });
    let entered = may_enter_any(packet, tunnel, id, Protocols::ETHERNET, round).and_then(|()| {
        let rules = tunnel.setup.frames.as_ref();
        if rules.is_some_and(|rules| !rules.takes_tags) && frame::is_tagged(packet.data()) {
            return Err(Verdict::drop_in(Counter::IfTxPayloadUnsupported, id));
        }
        let inner = frame::read(packet.data());
        let limit = limit_inside(packet.data(), inner, tunnel, id, round)?;
        round.note(|| Event::MayEnter { tunnel: id, limit });
        let aim = match tunnel.remotes() {
            None => aim(packet.data(), (tunnel, id), inner, round)?,
            Some(remotes) => {
                let remote = remotes::choose(packet.data(), id, remotes, remote, round)?;
                aim_at_remote(packet.data(), tunnel, remote, inner, round)
            }
        };
        Ok((inner, limit, aim))
    });
    match entered {
        Ok((inner, limit, aim)) => {
            // Nobody behind the port is told of errors of the underlay: a station is no host.
            packet.meta.flags.set(Flags::LOCAL);
            match put_inside(packet, (tunnel, id), (inner, limit), &aim, round) {
                // A copy; the others may arrive.
                Verdict::RejectFrame { loss, .. } if remote.is_some() => Verdict::Drop(loss),
                verdict => verdict,
            }
        }
        Err(Verdict::Reject(_, loss)) => Verdict::Drop(loss),
        Err(verdict) => verdict,
    }
}

/// What is left to do when it is known that a packet or frame may enter, and where it goes. `limit`: see
/// [`may_enter`].
#[inline]
fn put_inside(
    packet: &mut Packet,
    (tunnel, id): (&Tunnel, TunnelId),
    (inner, limit): (Inner, Option<u8>),
    aim: &Aim<'_>,
    round: &mut Round<'_, impl Witness>,
) -> Verdict {
    let setup = &tunnel.setup;
    let is_troubled = round.tables.soft_state.limit(aim.path) != u16::MAX;
    let way = aim.way(round);
    let outer_len = aim.outer_len(packet.data(), setup, limit);
    let overhead = inner.overhead(setup, outer_len);
    // Sizes are those of packets, also where these are in frames.
    let around = overhead.saturating_add(setup.link_header_len());
    let mut sizes = inner.size_limits(setup, around, way);
    if !packet.meta.flags.has(Flags::PIECE) {
        let mtu = inner.largest(setup, around, way);
        match inner.ip_at {
            Some(0) => clamp(packet, tunnel, id, mtu, round),
            Some(at) => clamp_in_frame(packet, at, (tunnel, id), mtu, round),
            None => {}
        }
    }
    round.note(|| tunnel_size(packet, setup, sizes, way, around));
    let fit = fit(packet, setup, inner, sizes, overhead);
    match fit {
        Fit::TooBig { mtu } => return too_big(setup, inner, mtu, id),
        Fit::Truncated { len } => truncate(packet, len.into(), setup, round),
        Fit::Fits | Fit::Cut { .. } | Fit::CutOutside => {}
    }
    let underlay = match underlay(packet.data(), aim.next_hop, id, inner, round) {
        Ok(underlay) => underlay,
        Err(verdict) => return verdict,
    };
    if is_troubled && !inner.is_frame() && must_tell(packet, aim.path, round) {
        return Verdict::TellUnreachable(id);
    }
    let inner_len = packet.len();
    if let Fit::Cut { mtu } = fit {
        //= RFC 2003 §5.1: better cut before encapsulation; the egress then reassembles nothing.
        round.count_event(Counter::IfTxInnerFrag, setup.slot);
        round.count_tx(setup.slot, setup.latency, inner_len);
        return Verdict::Fragment { mtu, then: After::Encap(id) };
    }
    sizes.dont_fragment &= !matches!(fit, Fit::CutOutside);
    let patch = patch(packet.data(), tunnel, inner, (aim.numbers, sizes), round);
    let hash = if setup.shim.udp.is_some() { inner.hash(packet.data(), round) } else { 0 };
    let is_cut = matches!(fit, Fit::Truncated { .. });
    let front = Front { aim, len: outer_len, patch, limit, inner, hash, is_cut, now: round.now };
    round.note(|| Event::Wrapped(wrapped((tunnel, id), &front, overhead)));
    if front.write(packet, setup).is_none() {
        return Verdict::drop(Counter::PortNoMbuf);
    }
    if setup.shim.is_minimal() && packet.meta.encap_len == 0 {
        packet.meta.flags.set(Flags::FOLDED);
    } else {
        packet.meta.encap_len += overhead;
    }
    packet.meta.flags.count_encap();
    if packet.path == Path::Forward {
        packet.path = Path::Encap;
    }
    if !packet.meta.flags.has(Flags::PIECE) {
        round.count_tx(setup.slot, setup.latency, inner_len);
    }
    packet.meta.flags.clear(Flags::PIECE);
    packet.meta.flags.clear(Flags::LABELLED);
    leave(packet, setup, sizes, underlay, round)
}

/// The verdict for what is larger than the tunnel takes.
fn too_big(setup: &TunnelSetup, inner: Inner, mtu: u16, id: TunnelId) -> Verdict {
    if inner.is_frame() {
        return frame::too_big(setup, id, inner, mtu);
    }
    Verdict::reject_in(IcmpError::TooBig { mtu }, Counter::IfTxTooBig, id)
}

/// Cuts the end off a copy.
#[cold]
fn truncate(packet: &mut Packet, len: usize, setup: &TunnelSetup, round: &Round<'_, impl Witness>) {
    round.note(|| Event::Truncated { length: packet.len(), left: len });
    round.count_event(Counter::IfTxTrunc, setup.slot);
    packet.truncate(len);
}

/// What is put in front of a packet.
struct Front<'t> {
    aim: &'t Aim<'t>,
    /// Bytes of the outer IP header, and of what belongs to it.
    len: usize,
    patch: Patch,
    /// An encapsulation limit that is not the tunnel's own.
    limit: Option<u8>,
    /// What is behind.
    inner: Inner,
    /// Of the packet's flow, where a header has a port for it.
    hash: u64,
    /// Its end was cut off.
    is_cut: bool,
    now: Nanos,
}

impl Front<'_> {
    /// `None`: there is no room for it.
    #[inline]
    fn write(&self, packet: &mut Packet, setup: &TunnelSetup) -> Option<()> {
        if self.inner.push_len != 0 {
            let room = packet.prepend(self.inner.push_len.into())?;
            setup.mpls.write(room, class_of(self.inner.tos));
        }
        if setup.shim.is_minimal() {
            return minimal::fold(
                packet,
                (self.aim.rewrite.local_ipv4(), self.aim.rewrite.remote_ipv4()),
            );
        }
        let shim_len = setup.shim.len();
        if shim_len != 0 {
            let contents = self.contents(packet);
            packet.prepend(shim_len)?;
            setup.shim.write(packet.data_mut(), &contents);
        }
        let room = packet.prepend(self.len)?;
        match setup.outer {
            Family::Ipv4 => self.aim.write_ipv4(room, self.patch),
            Family::Ipv6 => self.aim.write_ipv6(room, self.patch, self.limit),
        }
        if shim_len != 0 {
            setup.shim.finish(packet.data_mut(), self.len);
        }
        Some(())
    }

    /// What the headers between say of the packet.
    #[inline]
    fn contents(&self, packet: &Packet) -> Contents {
        Contents {
            protocol: self.inner.protocol,
            tos: self.inner.tos,
            hash: self.hash,
            is_cut: self.is_cut,
            is_egress: packet.meta.flags.has(Flags::COPY_OF_SENT),
            now: self.now,
        }
    }
}

/// Whether the sender is to be told of an earlier packet that did not arrive. This one goes its way.
#[cold]
fn must_tell(packet: &Packet, path: TunnelPath, round: &Round<'_, impl Witness>) -> bool {
    //= RFC 2003 §5: soft state is for errors that quote too little of a packet to say whose it is.
    let flags = packet.meta.flags;
    let is_known = !flags.has(Flags::LOCAL) && !flags.has(Flags::UNANSWERED);
    let may_hear = !flags.has(Flags::TOLD) && is_known;
    may_hear && round.tables.soft_state.take_error(path, round.now)
}

/// How an outer packet leaves: in pieces, where it is larger than the path takes.
#[inline]
fn leave(
    packet: &Packet,
    setup: &TunnelSetup,
    sizes: SizeLimits,
    underlay: Verdict,
    round: &mut Round<'_, impl Witness>,
) -> Verdict {
    if packet.len() <= usize::from(sizes.outer) || sizes.dont_fragment {
        return underlay;
    }
    let then = match underlay {
        Verdict::Transmit(adjacency) => After::Transmit(adjacency),
        Verdict::TransmitOnLink(port) => After::TransmitOnLink(port),
        Verdict::Encap(next) => {
            if let Some(next) = round.tables.tunnel(next) {
                // As its pieces are not counted.
                round.count_tx(next.setup.slot, next.setup.latency, packet.len());
            }
            After::Encap(next)
        }
        other => return other,
    };
    round.count_event(Counter::IfTxOuterFrag, setup.slot);
    Verdict::Fragment { mtu: sizes.outer, then }
}

#[inline]
fn patch(
    bytes: &[u8],
    tunnel: &Tunnel,
    inner: Inner,
    (towards, sizes): (TunnelPath, SizeLimits),
    round: &mut Round<'_, impl Witness>,
) -> Patch {
    let setup = &tunnel.setup;
    if setup.shim.is_minimal() {
        return minimal::patch(bytes);
    }
    //= RFC 6040 §4.1: ECN comes from the inner packet, never from a configured DSCP byte.
    let field = setup.ecn.table()[usize::from(inner.tos & ecn::MASK)];
    let dscp = setup.dscp.map_or(inner.tos & !ecn::MASK, |dscp| dscp << 2);
    let mut patch = Patch {
        payload_len: u16::try_from(bytes.len() + setup.shim.len())
            .unwrap_or(u16::MAX)
            .saturating_add(inner.push_len),
        tos: dscp | field,
        ttl: setup.ttl.unwrap_or(inner.ttl),
        protocol: setup.shim.outer_protocol(inner.protocol),
        identification: 0,
        dont_fragment: false,
        flow_label: 0,
    };
    match setup.outer {
        Family::Ipv4 => {
            patch.dont_fragment = sizes.dont_fragment;
            if !patch.dont_fragment {
                //= RFC 6864 §4.1: only packets that may be fragmented need an identification.
                patch.identification = round.identification(towards);
            }
        }
        Family::Ipv6 => {
            let hash = || flow_label(inner.hash(bytes, round));
            patch.flow_label = setup.flow_label.unwrap_or_else(hash);
        }
    }
    patch
}

/// How large a packet may be and what that follows from, for who watches.
fn tunnel_size(
    packet: &Packet,
    setup: &TunnelSetup,
    limits: SizeLimits,
    way: Way,
    overhead: u16,
) -> Event {
    Event::TunnelSize(TunnelSize {
        length: packet.len().saturating_sub(setup.link_header_len().into()),
        limits,
        configured: setup.mtu,
        underlay: way.underlay_mtu,
        learnt: way.learnt,
        overhead,
    })
}

/// The outer header and what it follows from, for who watches.
fn wrapped((tunnel, id): (&Tunnel, TunnelId), front: &Front<'_>, overhead: u16) -> Wrapped {
    let &Front { aim, patch, limit, inner, .. } = front;
    let setup = &tunnel.setup;
    let is_ipv4 = setup.outer == Family::Ipv4;
    let source = match setup.outer {
        Family::Ipv4 => IpAddr::V4(aim.rewrite.local_ipv4().into()),
        Family::Ipv6 => IpAddr::V6(aim.rewrite.local_ipv6().into()),
    };
    Wrapped {
        tunnel: id,
        patch,
        source,
        destination: aim.remote(is_ipv4),
        sources: 1 + setup.more_locals.len(),
        is_ipv4,
        overhead: overhead.into(),
        carried: inner.protocol,
        push: if inner.push_len == 0 { Labels::NONE } else { setup.mpls.push },
        inner_tos: inner.tos,
        inner_dont_fragment: inner.dont_fragment,
        ecn: setup.ecn,
        dscp: setup.dscp,
        ttl: setup.ttl,
        dont_fragment: setup.dont_fragment,
        flow_label: setup.flow_label,
        encap_limit: limit.or(setup.encap_limit),
    }
}
