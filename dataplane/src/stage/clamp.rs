//! TCP connections that open through a tunnel agree on segments that fit it: for packets that enter
//! one and for those that leave one.

use super::Round;
use crate::counters::Counter;
use crate::interface::TunnelId;
use crate::node::mss::{self, Mss};
use crate::packet::Packet;
use crate::tunnel::{MssClamp, Tunnel};
use crate::witness::{Event, Witness};

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
