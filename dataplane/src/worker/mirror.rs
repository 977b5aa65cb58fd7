//! Copies for mirror sessions: of what a port receives, before anything changes it, and sends; of packets that come out
//! of a tunnel, and of those that go into one. Each copy is a packet that this node makes, and goes into the session's
//! tunnel like a frame of an attached port.
//!
//! No copy is made of a copy, so a session may go by a port that it mirrors. Where there is no buffer for a copy, the
//! packet goes on, and the copy counts as dropped.

use std::sync::Arc;

use super::settle::take_stage;
use super::{State, send_burst};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::{Interface, PortId, TunnelId};
use crate::packet::{Burst, Flags, Metadata, Packet};
use crate::stage::Verdict;
use crate::tables::Tables;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::minimal::unfold;
use crate::witness::{Event, Witness};

/// What a worker needs to copy what ports send: their bursts are sent wherever they are full.
pub(super) struct Mirror {
    /// The tables in force, while anything of a port is copied.
    tables: Option<Arc<Tables>>,
    now: Nanos,
    /// What a port sends is here while it is copied, as copies may fill the port's own burst, and the next port's:
    /// one for each port, and one for a burst that is sent as a whole.
    spare: Vec<Box<Burst>>,
}

impl Mirror {
    pub(super) fn new(tables: &Arc<Tables>, ports: usize) -> Self {
        let spare = core::iter::repeat_with(Box::default).take(ports + 1).collect();
        let mut mirror = Self { tables: None, now: Nanos::default(), spare };
        mirror.take_tables(tables);
        mirror
    }

    /// These tables are in force from now on; none before is held any more.
    pub(super) fn take_tables(&mut self, tables: &Arc<Tables>) {
        self.tables = tables.mirrors.has_ports().then(|| Arc::clone(tables));
    }

    /// It is this time.
    #[inline]
    pub(super) fn at(&mut self, now: Nanos) {
        self.now = now;
    }

    /// Whether anything of a port is copied.
    #[inline]
    pub(super) fn has_ports(&self) -> bool {
        self.tables.is_some()
    }
}

/// Of what a copy is made: a frame, or a packet that has no link header of its own.
#[derive(Clone, Copy)]
struct Original<'a> {
    /// The packet whose bytes those are.
    packet: &'a Packet,
    /// Where they begin in it.
    at: usize,
    /// Its header is folded into the one there (RFC 2004).
    is_folded: bool,
    /// The type in the header that is put in front; `None`: it is a frame, and has one.
    kind: Option<u16>,
    /// Whose it is.
    of: Interface,
    is_egress: bool,
}

impl<D: Device, W: Witness> State<D, W> {
    /// Copies a burst that a port has received.
    #[inline(never)]
    pub(super) fn mirror_received(
        &mut self,
        port: PortId,
        burst: &Burst,
        tables: &Tables,
        now: Nanos,
    ) {
        let sessions = tables.mirrors.of_port(port, false);
        if sessions.is_empty() {
            return;
        }
        self.copy_burst(burst, (Interface::port(port), false), sessions, tables, now);
        // The burst may be handed over as a whole, and nothing else be sent.
        self.flush();
    }

    /// Copies a burst that is about to be sent.
    #[inline(never)]
    pub(super) fn mirror_sent(&mut self, port: PortId, burst: &Burst) {
        let Some(tables) = self.mirror.tables.clone() else { return };
        let (sessions, now) = (tables.mirrors.of_port(port, true), self.mirror.now);
        if !sessions.is_empty() {
            self.copy_burst(burst, (Interface::port(port), true), sessions, &tables, now);
        }
    }

    /// Copies what has been collected for a port, and sends it.
    #[inline(never)]
    pub(super) fn send_mirrored(&mut self, port: PortId) {
        let Some(outgoing) = self.outgoing.get_mut(port.index()) else { return };
        let Some(mut burst) = self.mirror.spare.pop() else {
            // Each burst that is copied meanwhile is another port's, or of copies alone: one is left.
            return send_burst(&mut self.device, &self.shared, port, &mut outgoing.burst);
        };
        core::mem::swap(&mut outgoing.burst, &mut burst);
        self.mirror_sent(port, &burst);
        send_burst(&mut self.device, &self.shared, port, &mut burst);
        self.mirror.spare.push(burst);
    }

    fn copy_burst(
        &mut self,
        burst: &Burst,
        (of, is_egress): (Interface, bool),
        sessions: &[TunnelId],
        tables: &Tables,
        now: Nanos,
    ) {
        for packet in burst.packets() {
            let original = Original { packet, at: 0, is_folded: false, kind: None, of, is_egress };
            self.copy_for(original, sessions, tables, now);
        }
    }

    /// Takes a packet through one stage, and copies it if it comes out of a tunnel there that is mirrored, or goes into
    /// one.
    #[inline]
    pub(super) fn take_stage_mirrored(
        &mut self,
        packet: &mut Packet,
        verdict: Verdict,
        tables: &Tables,
        now: Nanos,
    ) -> Verdict {
        if !tables.mirrors.has_tunnels() {
            return take_stage(packet, verdict, &mut self.round(tables, now));
        }
        let (before, kind) = (packet.meta, ether_type_of(packet));
        let next = take_stage(packet, verdict, &mut self.round(tables, now));
        match verdict {
            Verdict::Decap(tunnel) if !matches!(next, Verdict::Drop(_)) => {
                let is_frame = matches!(next, Verdict::TransmitFrame(_));
                let kind = (!is_frame).then(|| ether_type_of(packet));
                let of = Interface::tunnel(tunnel);
                let original =
                    Original { packet, at: 0, is_folded: false, kind, of, is_egress: false };
                self.copy_for(original, tables.mirrors.of_tunnel(tunnel, false), tables, now);
            }
            Verdict::Encap(tunnel) => {
                self.mirror_entered(packet, (tunnel, before), Some(kind), tables, now);
            }
            Verdict::EncapFrame(tunnel) => {
                self.mirror_entered(packet, (tunnel, before), None, tables, now);
            }
            _ => {}
        }
        next
    }

    /// Copies what is inside a packet that has just entered a tunnel, if it did: what was known of it is `before`.
    pub(super) fn mirror_entered(
        &mut self,
        packet: &Packet,
        (tunnel, before): (TunnelId, Metadata),
        kind: Option<u16>,
        tables: &Tables,
        now: Nanos,
    ) {
        if !has_entered(packet, before) {
            return;
        }
        // What is folded begins where the packet does.
        let is_folded = tables.tunnel(tunnel).is_some_and(|one| one.setup.shim.is_minimal());
        let at = if is_folded { 0 } else { packet.meta.encap_len - before.encap_len };
        let of = Interface::tunnel(tunnel);
        let original = Original { packet, at: at.into(), is_folded, kind, of, is_egress: true };
        self.copy_for(original, tables.mirrors.of_tunnel(tunnel, true), tables, now);
    }

    /// Makes a copy for each session, and sends it on its way.
    fn copy_for(
        &mut self,
        original: Original<'_>,
        sessions: &[TunnelId],
        tables: &Tables,
        now: Nanos,
    ) {
        if original.packet.meta.flags.has(Flags::COPY) {
            return;
        }
        for &tunnel in sessions {
            self.witness.turn_to(original.packet);
            let mut is_whole = true;
            let copy = self.create(|room| {
                let written = original.write(room);
                is_whole = written.is_some();
                written.unwrap_or(0)
            });
            let Some(mut copy) = copy else { continue };
            let flags = if original.is_egress { Flags::COPY_OF_SENT } else { Flags::NONE };
            copy.meta.flags.set(flags);
            copy.meta.flags.set(Flags::COPY);
            let Original { of, is_egress, .. } = original;
            self.witness.begin(&copy, || Event::Mirrored { of, is_egress, tunnel });
            let verdict = match copy.len() {
                ethernet::HEADER_LEN.. => Verdict::EncapFrame(tunnel),
                _ if is_whole => Verdict::drop(Counter::L2Short),
                _ => Verdict::drop(Counter::PortOversize),
            };
            self.settle_slowly(copy, verdict, tables, now, 0);
        }
        self.witness.turn_to(original.packet);
    }
}

impl Original<'_> {
    /// Writes a frame with these bytes, and says how many it has. `None`: they don't fit.
    fn write(&self, room: &mut [u8]) -> Option<usize> {
        let bytes = self.packet.data().get(self.at..)?;
        let Some(kind) = self.kind else {
            room.get_mut(..bytes.len())?.copy_from_slice(bytes);
            return Some(bytes.len());
        };
        // Nobody sent it over a link: there are no stations.
        let (header, rest) = room.split_first_chunk_mut::<{ ethernet::HEADER_LEN }>()?;
        *header = [0; ethernet::HEADER_LEN];
        header[12..].copy_from_slice(&kind.to_be_bytes());
        if self.is_folded {
            let (len, added) = unfold(bytes, rest)?;
            let is_whole = len + usize::from(added) == bytes.len();
            return is_whole.then_some(ethernet::HEADER_LEN + len);
        }
        rest.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(ethernet::HEADER_LEN + bytes.len())
    }
}

/// Whether a packet has entered a tunnel since this was known of it.
pub(super) fn has_entered(packet: &Packet, before: Metadata) -> bool {
    packet.meta.flags.encap_depth() != before.flags.encap_depth()
}

/// What a packet is, in the words of an Ethernet header.
#[inline]
pub(super) fn ether_type_of(packet: &Packet) -> u16 {
    if packet.meta.flags.has(Flags::LABELLED) {
        return ether_type::MPLS;
    }
    let is_ipv4 = packet.data().first().is_some_and(|first| first >> 4 == 4);
    if is_ipv4 { ether_type::IPV4 } else { ether_type::IPV6 }
}
