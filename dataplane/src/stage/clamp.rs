//! TCP connections that open through a tunnel agree on segments that fit it: for packets that enter
//! one and for those that leave one.

use super::Round;
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::node::mss::{self, Mss};
use crate::packet::Packet;
use crate::tunnel::{MssClamp, Tunnel};
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::witness::{Event, Witness};

/// Sees to the packet in a frame, whose IP header is at `at`; `mtu`: of one without tags.
pub(super) fn clamp_in_frame(
    packet: &mut Packet,
    at: usize,
    (tunnel, id): (&Tunnel, TunnelId),
    mtu: u16,
    round: &Round<'_, impl Witness>,
) {
    packet.strip(at);
    if tunnel.setup.mss == MssClamp::LowerOrInsert {
        // An option takes the place of what the frame was padded with.
        let bytes = packet.data();
        let is_ipv4 = bytes.first().is_some_and(|first| first >> 4 == 4);
        let total_len = if is_ipv4 {
            Ipv4::trusted(bytes).total_len().into()
        } else {
            Ipv6::trusted(bytes).total_len()
        };
        packet.truncate(total_len);
    }
    clamp(packet, tunnel, id, mtu.saturating_sub(ethernet::tags_len(at)), round);
    // The room is there, and still holds the frame's header.
    let _ = packet.prepend(at);
}

/// Sees to a packet that stands at its IP header, and ends where the IP packet does. `mtu`: the largest
/// packet that fits `tunnel` at present.
#[inline]
pub(super) fn clamp(
    packet: &mut Packet,
    tunnel: &Tunnel,
    id: TunnelId,
    mtu: u16,
    round: &Round<'_, impl Witness>,
) {
    let setup = &tunnel.setup;
    if setup.mss == MssClamp::Off {
        return;
    }
    let outcome = mss::lower(packet.data_mut(), mtu);
    if outcome != Mss::Other {
        let inserts = setup.mss == MssClamp::LowerOrInsert;
        round.note(|| Event::Mss { tunnel: id, mtu, outcome, inserts });
    }
    let counter = match outcome {
        Mss::Lowered(_) => Counter::IfMssClamped,
        Mss::Malformed => Counter::IfMssMalformed,
        Mss::Absent(opening) if setup.mss == MssClamp::LowerOrInsert => {
            let longer = packet.len() + mss::OPTION_LEN;
            let Some(bytes) = packet.reframe(packet.headroom(), longer) else { return };
            mss::insert(bytes, opening, mtu);
            Counter::IfMssClamped
        }
        Mss::Other | Mss::Within(_) | Mss::Absent(_) => return,
    };
    round.count_event(counter, setup.slot);
}
