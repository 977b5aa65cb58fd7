//! What this node tells senders: errors about packets that went no further, here or in the underlay.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::State;
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::{PortId, TunnelId};
use crate::node::icmp_error::{self, IcmpError};
use crate::packet::{Flags, Packet};
use crate::stage::Verdict;
use crate::stage::route::destination;
use crate::tables::{NextHop, Tables};
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::wire::minimal::unfold;
use crate::witness::{Event, Witness};

impl<D: Device, W: Witness> State<D, W> {
    /// Tells the sender of a packet that goes into a tunnel that an earlier one did not arrive.
    pub(super) fn tell_unreachable(
        &mut self,
        packet: &mut Packet,
        tunnel: TunnelId,
        tables: &Tables,
        now: Nanos,
    ) {
        packet.meta.flags.set(Flags::TOLD);
        self.witness.note(|| Event::EarlierLost { tunnel });
        if self.answer(packet, IcmpError::HostUnreachable, tables, now) {
            let slot = tables.tunnel(tunnel).map(|tunnel| tunnel.setup.slot);
            self.witness.turn_to(packet);
            self.count_event(Counter::IfTxSoftstateIcmp, slot);
        }
    }

    /// Tells the sender of a packet that it went no further, if it may be told. Says whether the
    /// error is on its way.
    #[inline(never)]
    pub(super) fn answer(
        &mut self,
        packet: &Packet,
        error: IcmpError,
        tables: &Tables,
        now: Nanos,
    ) -> bool {
        let encap_len = packet.meta.encap_len;
        let original = packet.data().get(usize::from(encap_len)..).unwrap_or(&[]);
        let error = error.without(encap_len);
        let flags = packet.meta.flags;
        if flags.has(Flags::LOCAL) || flags.has(Flags::UNANSWERED) {
            return false;
        }
        if flags.has(Flags::FOLDED) {
            return self.answer_folded(original, error, flags, tables, now);
        }
        self.report(original, error, flags, tables, now)
    }

    /// The same for a packet whose header is folded into that of `folded`.
    #[cold]
    fn answer_folded(
        &mut self,
        folded: &[u8],
        error: IcmpError,
        flags: Flags,
        tables: &Tables,
        now: Nanos,
    ) -> bool {
        let mut room = [0; icmp_error::IPV4_MAX];
        let Some((len, added)) = unfold(folded, &mut room) else { return false };
        let original = room.get(..len).unwrap_or(&[]);
        self.report(original, error.without(added), flags, tables, now)
    }

    /// Tells the sender of a packet in a frame that packets may have `mtu` bytes, in a frame that leaves by `port`, where
    /// the other came from.
    ///
    /// This node is no host of that segment: the error comes from the packet's own destination, as Linux has it
    /// (`skb_tunnel_check_pmtu`).
    #[inline(never)]
    pub(super) fn answer_in_frame(&mut self, packet: &Packet, mtu: u16, port: PortId, now: Nanos) {
        let frame = packet.data();
        let Some(at) = ethernet::ip_at(frame) else { return };
        let (link, original) = frame.split_at_checked(at).unwrap_or_default();
        let (error, receiver) = (IcmpError::TooBig { mtu }, source(original));
        let mut flags = Flags::NONE;
        let is_group = |at| link.get(at).is_some_and(|first: &u8| first & 1 != 0);
        if is_group(0) || is_group(6) {
            flags.set(Flags::L2_GROUP);
        }
        let own = destination(original);
        let is_host = match own {
            IpAddr::V4(own) => icmp_error::is_host_ipv4(own),
            IpAddr::V6(own) => icmp_error::is_host_ipv6(own),
        };
        if !is_host || !icmp_error::may_answer(original, error, flags) {
            self.witness.note(|| Event::AnswerSuppressed { error, to: receiver });
            self.count_event(Counter::IcmpSuppressed, None);
            return;
        }
        if !self.limiter.allow(now, error, receiver) {
            let limit = || self.limiter.exhausted(now, error, receiver);
            self.witness.note(|| Event::AnswerLimited { error, to: receiver, limit: limit() });
            return self.count_event(Counter::IcmpRatelimited, None);
        }
        let identification = self.next_identification();
        let made = self.create(|room| {
            let Some((place, room)) = room.split_at_mut_checked(link.len()) else { return 0 };
            // The same tags, between the same stations.
            place.copy_from_slice(link);
            if let Some(stations) = place.get_mut(..12) {
                stations.rotate_left(6);
            }
            let len = icmp_error::write(original, error, own, identification, room);
            len.map_or(0, |len| link.len() + len)
        });
        let Some(mut made) = made else { return };
        made.meta.flags.set(Flags::LOCAL);
        self.witness.begin(&made, || Event::Answer { error, to: receiver, from: own });
        self.count_event(Counter::IcmpTx, None);
        self.enqueue(made, port);
    }

    /// Tells the source of `original`, a packet or the beginning of one, what became of it. `flags` are
    /// those of the frame it came in. Says whether the error is on its way.
    pub(super) fn report(
        &mut self,
        original: &[u8],
        error: IcmpError,
        flags: Flags,
        tables: &Tables,
        now: Nanos,
    ) -> bool {
        let receiver = source(original);
        if !icmp_error::may_answer(original, error, flags) {
            self.witness.note(|| Event::AnswerSuppressed { error, to: receiver });
            self.count_event(Counter::IcmpSuppressed, None);
            return false;
        }
        // Before anything is looked up, and whether or not it can be sent: so a flood of packets from
        // nowhere ends here as any other does.
        if !self.limiter.allow(now, error, receiver) {
            let limit = || self.limiter.exhausted(now, error, receiver);
            self.witness.note(|| Event::AnswerLimited { error, to: receiver, limit: limit() });
            self.count_event(Counter::IcmpRatelimited, None);
            return false;
        }
        let Some(own) = own_address_towards(receiver, original, tables) else {
            self.witness.note(|| Event::AnswerSuppressed { error, to: receiver });
            self.count_event(Counter::IcmpSuppressed, None);
            return false;
        };
        let identification = self.next_identification();
        let made = self.create(|room| {
            icmp_error::write(original, error, own, identification, room).unwrap_or(0)
        });
        let Some(mut made) = made else { return false };
        made.meta.flags.set(Flags::LOCAL);
        self.witness.begin(&made, || Event::Answer { error, to: receiver, from: own });
        self.count_event(Counter::IcmpTx, None);
        self.settle_slowly(made, Verdict::Route, tables, now, 0);
        true
    }

    /// The identification of the next packet that this node makes.
    fn next_identification(&mut self) -> u16 {
        self.identification = self.identification.wrapping_add(1);
        self.identification
    }
}

/// The source in an IP header.
fn source(packet: &[u8]) -> IpAddr {
    match packet.first().map(|first| first >> 4) {
        Some(4) => Ipv4Addr::from(Ipv4::trusted(packet).source()).into(),
        _ => Ipv6Addr::from(Ipv6::trusted(packet).source()).into(),
    }
}

/// The address that an error to `receiver` comes from: that of the interface it leaves by.
fn own_address_towards(receiver: IpAddr, original: &[u8], tables: &Tables) -> Option<IpAddr> {
    //= RFC 1812 §4.3.2.4: the source of an ICMP message is the address of the interface that it
    //= leaves by; without one, the router-id.
    let hash = || tables.flow.hash(original);
    match receiver {
        IpAddr::V4(receiver) => {
            let next_hop = tables.next_hops.choose(tables.route_ipv4(receiver.into()), hash);
            match next_hop {
                NextHop::NoRoute | NextHop::Local => None,
                _ => tables.source_ipv4(next_hop).map(IpAddr::V4),
            }
        }
        IpAddr::V6(receiver) => {
            let next_hop = tables.next_hops.choose(tables.route_ipv6(receiver.into()), hash);
            match next_hop {
                NextHop::NoRoute | NextHop::Local | NextHop::Unproved => None,
                _ => tables.source_ipv6(next_hop).map(IpAddr::V6),
            }
        }
    }
}
