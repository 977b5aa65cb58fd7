//! Plain frames that came through a tunnel: behind GRE without checksum and number, VXLAN, or GENEVE without options.
//! They are checked, and sent by the port that their tunnel is attached to.

use super::Outcome;
use super::frame::{PlainFrame, loses_padding};
use super::leave::Outer;
use super::list::List;
use super::lookups::LastOwn;
use super::outside::Outside;
use super::shim::{go_on, is_right, needs_no_checksum, words};
use super::sort::Sorted;
use super::strangers::{Stranger, see_to_stranger};
use crate::interface::{PortId, TunnelId};
use crate::packet::{Packet, Path};
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{Class, Found, Label, Protocols};
use crate::tunnel::plain::Facts;
use crate::tunnel::udp::Service;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::{gre, protocol, read_u32, udp};

/// Sees to packets that may have frames in them, behind outer headers that end at `END`. What has none, or is no
/// tunnel's, is sorted like any other packet.
#[inline(never)]
pub(super) fn leave_frames<F: Outside, const END: usize>(
    (packets, outcomes): (&mut [Packet], &mut [Outcome]),
    (all, port): (&List<u16>, PortId),
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    round: &mut Round<'_>,
) {
    let tables = round.tables;
    let mut own = LastOwn::default();
    for &at in all.items() {
        let index = usize::from(at);
        let (Some(packet), Some(outcome)) = (packets.get_mut(index), outcomes.get_mut(index))
        else {
            continue;
        };
        let Some((outer, behind)) = F::read(packet.data()) else { continue };
        let found = FrameShim::of(outer, behind, tables).map(|shim| {
            let pair = outer.pair(shim.label);
            (shim, F::lookup(tables).find(pair, Protocols::ETHERNET, Some(port)))
        });
        let (shim, id) = match found {
            Some((shim, Found::Tunnel(id))) => (shim, id),
            Some((shim, _)) => {
                let stranger = Stranger { at, shim_len: shim.len, label: shim.label };
                let (from, on) = ((outer, packet.meta.ingress), (&mut *sorted, &mut *odd));
                *outcome = see_to_stranger(stranger, from, on, (&mut own, round));
                continue;
            }
            None => {
                go_on(at, outer, (sorted, odd), tables);
                continue;
            }
        };
        if shim.has_no_checksum && !needs_no_checksum(id, tables) {
            continue;
        }
        if let Some(taken) = leave_one::<END>(packet, id, shim.len.into(), round) {
            *outcome = taken;
        }
    }
}

/// Takes a frame out of its tunnel.
#[inline]
fn leave_one<const END: usize>(
    packet: &mut Packet,
    id: TunnelId,
    shim_len: usize,
    round: &mut Round<'_>,
) -> Option<Outcome> {
    let tunnel = round.tables.tunnel(id)?;
    let outer = Outer::read::<END>(packet.data())?;
    let (at, len) = (END + shim_len, usize::from(outer.payload_len).checked_sub(shim_len)?);
    let frame = packet.data().get(at..at + len)?;
    let inner = PlainFrame::read(frame)?;
    if !outer.is_plain(tunnel, Facts::DECAP_FRAMES, inner.tos_and_flags.tos())
        || inner.opens_connection(frame, tunnel)
    {
        return None;
    }
    let rules = tunnel.setup.frames.as_ref()?;
    if rules.own_station.is_some() && is_from_own_station(frame, round) {
        return None;
    }
    let len = if loses_padding(tunnel) { inner.packet_end } else { len };
    let attach = rules.attach?;
    let port = round.tables.port(attach)?;
    if len > ethernet::HEADER_LEN + usize::from(port.mtu) {
        return None;
    }
    packet.reframe(packet.headroom() + at, len)?;
    round.count_rx(tunnel.plain.slot, tunnel.measured_as(), len);
    Some(Outcome::taken(Path::Decap, attach))
}

/// Whether a frame says that a port of this node sent it.
#[inline]
fn is_from_own_station(frame: &[u8], round: &Round<'_>) -> bool {
    let station = frame.get(6..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    round.tables.ports.iter().any(|port| port.mac.0 == station)
}

/// A plain header between the outer one and a frame.
#[derive(Clone, Copy)]
struct FrameShim {
    label: Label,
    len: u16,
    /// It is UDP in IPv6 without a checksum.
    has_no_checksum: bool,
}

impl FrameShim {
    /// Reads what follows `outer`, if it is plain and carries a frame.
    #[inline]
    fn of<F: Outside>(outer: F, behind: &[u8], tables: &Tables) -> Option<Self> {
        match outer.protocol() {
            protocol::GRE => Self::of_gre(behind),
            protocol::UDP => Self::of_udp(outer, behind, tables),
            _ => None,
        }
    }

    #[inline]
    fn of_gre(behind: &[u8]) -> Option<Self> {
        const NOTHING: u16 = 0;
        let (len, key) = match gre::first_words(behind) {
            (NOTHING, ether_type::TRANSPARENT_ETHERNET) => (4, None),
            (gre::KEY, ether_type::TRANSPARENT_ETHERNET) => (8, Some(read_u32(behind, 4))),
            _ => return None,
        };
        let label = Label::new(Class::Gre, 0, key);
        Some(Self { label, len, has_no_checksum: false })
    }

    /// Reads UDP and what says whose network it is, if the datagram is as long as the packet, and its checksum is
    /// right or none.
    #[inline]
    fn of_udp<F: Outside>(outer: F, behind: &[u8], tables: &Tables) -> Option<Self> {
        const LEN: u16 = udp::HEADER_LEN_U16 + 8;
        let [_, port, len, checksum] = words(u64::from_le_bytes(*behind.first_chunk()?));
        let header = behind.first_chunk::<{ LEN as usize }>()?.last_chunk()?;
        let (class, [a, b, c]) = match (tables.udp_ports.get(port)?, *header) {
            (Service::Vxlan, [8, 0, 0, 0, a, b, c, 0]) => (Class::Vxlan, [a, b, c]),
            (Service::Geneve, [0, 0, 0x65, 0x58, a, b, c, 0]) => (Class::Geneve, [a, b, c]),
            _ => return None,
        };
        let payload_len = outer.payload_len();
        if len != payload_len || len < LEN {
            return None;
        }
        //= RFC 768: a checksum of 0 says that none was computed.
        let has_checksum = checksum != 0;
        if has_checksum && !is_right(outer, behind.get(..usize::from(len))?) {
            return None;
        }
        let label = Label::new(class, port, Some(u32::from_be_bytes([0, a, b, c])));
        Some(Self { label, len: LEN, has_no_checksum: F::IS_IPV6 && !has_checksum })
    }
}
