//! Packets that are addressed to this node: echo requests are answered, neighbor discovery goes to
//! the control thread, pieces of packets wait for the others, tunnel packets that belong to no tunnel are
//! dropped in silence.

use super::State;
use super::unmatched::{Unmatched, check_tunnel};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::device::Device;
use crate::interface::{PortId, TunnelId};
use crate::node::echo::{self, Echo};
use crate::node::icmp_error::IcmpError;
use crate::node::options::is_extension;
use crate::packet::{Flags, HEADROOM, Metadata, Packet};
use crate::reassembly::{self, FragmentHeader, Terms};
use crate::stage::Verdict;
use crate::stage::classify::walk_extensions_to_us;
use crate::stage::policy::{is_link_local, is_martian_ipv4, is_martian_ipv6};
use crate::tables::{NextHop, Tables};
use crate::wire::ethernet;
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::wire::udp::{Datagram, UdpError};
use crate::wire::{icmp4, icmp6, nd, protocol};
use crate::witness::{Event, Witness};

/// Types of `ICMPv6` that are neighbor discovery: 133 to 137.
const ND_TYPES: core::ops::RangeInclusive<u8> = 133..=137;

/// UDP ports of tunnels and of IKE: closed ones are not told about.
const SILENT_UDP_PORTS: [u16; 9] = [500, 4500, 4754, 4789, 4790, 6080, 6081, 6635, 8472];

/// What is known of a packet to this node once its headers have been walked.
#[derive(Clone, Copy)]
pub(super) struct Message {
    pub(super) protocol: u8,
    /// Where the payload begins.
    pub(super) offset: usize,
    pub(super) is_piece: bool,
}

impl<D: Device, W: Witness> State<D, W> {
    /// Takes in a packet for this node. What is left to be done with it: its reply routed, an
    /// error, a drop; `None` when it has reached its end here.
    pub(super) fn deliver(
        &mut self,
        packet: &mut Packet,
        tables: &Tables,
        now: Nanos,
    ) -> Option<Verdict> {
        let is_ipv4 = packet.data().first().is_some_and(|first| first >> 4 == 4);
        self.witness.note(|| Event::Delivered);
        let witness = &self.witness;
        let checked = if is_ipv4 {
            check_ipv4(packet, tables, witness)
        } else {
            check_ipv6(packet, tables, witness)
        };
        let message = match checked {
            Ok(message) => message,
            Err(verdict) => {
                // That was about this header, and no other that the packet may stand at next.
                packet.meta.flags.clear(Flags::PUT_TOGETHER);
                return Some(verdict);
            }
        };
        if !is_ipv4 && !message.is_piece && take_out_fragment_header(packet) {
            return Some(Verdict::Deliver);
        }
        match message.protocol {
            protocol::ICMPV6 if !is_ipv4 && is_neighbor_discovery(packet, message) => {
                self.deliver_discovery(packet, tables)
            }
            // One that came with a fragment header is nobody's: nobody has a reason to cut a query.
            protocol::ICMPV6
                if !is_ipv4
                    && is_about_listeners(packet, message, tables)
                    && !packet.meta.flags.has(Flags::PUT_TOGETHER) =>
            {
                // Inside a tunnel there are no switches, and nobody is told.
                packet.meta.ingress.as_port().map(|port| punt(packet, port))
            }
            _ if is_group(packet) => Some(Verdict::drop(Counter::IpBroadcastDst)),
            _ if message.is_piece => Some(own_piece(message, is_ipv4)),
            protocol::ICMP if is_ipv4 => self.deliver_icmp(packet, message, tables, now),
            protocol::ICMPV6 if !is_ipv4 => self.deliver_icmp(packet, message, tables, now),
            protocol::UDP => Some(closed_port(packet, message)),
            protocol::NO_NEXT_HEADER if !is_ipv4 => None,
            _ => {
                let error = IcmpError::ProtocolUnreachable;
                Some(Verdict::reject(error, Counter::IpUnknownProtocol))
            }
        }
    }

    /// Answers an echo request and hears errors; other ICMP messages end here.
    fn deliver_icmp(
        &mut self,
        packet: &mut Packet,
        message: Message,
        tables: &Tables,
        now: Nanos,
    ) -> Option<Verdict> {
        if is_icmp_error(packet, message) {
            return self.hear_error(packet, message.offset, tables, now).err().map(Verdict::drop);
        }
        if !is_echo_request(packet, message) {
            return None;
        }
        if !self.limiter.allow_echo(now) {
            self.witness.note(|| Event::EchoLimited);
            self.count_event(Counter::IcmpRatelimited, None);
            return None;
        }
        self.identification = self.identification.wrapping_add(1);
        match echo::answer(packet.data_mut(), self.identification) {
            Echo::Reply { len } => {
                packet.truncate(len);
                self.witness.note(|| Event::EchoReply { length: len });
                let asked_by = packet.meta.ingress;
                packet.meta = Metadata::NEW;
                packet.meta.flags.set(Flags::LOCAL);
                // The request has reached its end, and its buffer carries the reply.
                self.shared.counters.balance.consumed.add(1);
                self.shared.counters.balance.created.add(1);
                //= RFC 4291 §2.5.6: a link-local address means nothing but on the link that it came by.
                let goes_back = is_to_neighbor(packet);
                Some(match (asked_by.as_tunnel(), asked_by.as_port()) {
                    (Some(tunnel), _) if goes_back => Verdict::Encap(tunnel),
                    (None, Some(port)) if goes_back => Verdict::TransmitOnLink(port),
                    _ => Verdict::Route,
                })
            }
            Echo::NotRequest => None,
            Echo::BadChecksum => Some(Verdict::drop(Counter::IcmpBadChecksum)),
            Echo::BadSource => Some(Verdict::drop(Counter::Ip6MartianSrc)),
        }
    }

    /// Neighbor discovery: from a port it is the control thread's; inside a tunnel a solicitation
    /// for one of our addresses is answered here.
    fn deliver_discovery(&mut self, packet: &mut Packet, tables: &Tables) -> Option<Verdict> {
        if packet.meta.flags.has(Flags::PUT_TOGETHER) {
            //= RFC 6980 §5: neighbor discovery with a fragment header is ignored.
            return Some(Verdict::drop(Counter::NdBad));
        }
        if let Some(port) = packet.meta.ingress.as_port() {
            return Some(punt(packet, port));
        }
        let tunnel = packet.meta.ingress.as_tunnel()?;
        self.answer_discovery(packet, tunnel, tables)
    }

    fn answer_discovery(
        &mut self,
        packet: &mut Packet,
        tunnel: TunnelId,
        tables: &Tables,
    ) -> Option<Verdict> {
        let mut reply = [0; 128];
        let is_own = |address: core::net::Ipv6Addr| tables.local.contains_ipv6(address.into());
        match nd::answer_on_tunnel(packet.data(), is_own, &mut reply) {
            Ok(Some(len)) => {
                let bytes = reply.get(..len)?;
                packet.rebuild(HEADROOM, |room| {
                    room.get_mut(..len).map_or(0, |place| {
                        place.copy_from_slice(bytes);
                        len
                    })
                });
                packet.meta.flags.set(Flags::LOCAL);
                self.shared.counters.balance.consumed.add(1);
                self.shared.counters.balance.created.add(1);
                Some(Verdict::Encap(tunnel))
            }
            Ok(None) => None,
            Err(_) => Some(Verdict::drop(Counter::NdBad)),
        }
    }
}

fn check_ipv4(
    packet: &Packet,
    tables: &Tables,
    witness: &impl Witness,
) -> Result<Message, Verdict> {
    let header = Ipv4::trusted(packet.data());
    let (local, remote) = (header.destination(), header.source());
    let bad_source = is_martian_ipv4(remote)
        || tables.local.contains_ipv4(remote)
        || tables.route_ipv4(remote) == NextHop::Broadcast;
    let message = Message {
        protocol: header.protocol(),
        offset: header.header_len(),
        is_piece: header.is_fragment(),
    };
    let outer = Unmatched { message, bad_source, is_neighbor: false, packet };
    let lookup = (&tables.tunnels_by_ipv4, &tables.labelled_by_ipv4);
    check_tunnel(&outer, (local, remote), lookup, tables, witness)?;
    if bad_source && packet.meta.flags.decap_depth() == 0 {
        return Err(Verdict::drop(Counter::Ip4MartianSrc));
    }
    Ok(message)
}

fn check_ipv6(
    packet: &Packet,
    tables: &Tables,
    witness: &impl Witness,
) -> Result<Message, Verdict> {
    let header = Ipv6::trusted(packet.data());
    let (local, remote) = (header.destination(), header.source());
    let walked = walk_extensions_to_us(header);
    if is_extension(header.next_header()) {
        let refused = walked.err().and_then(|verdict| verdict.loss()).map(|loss| loss.counter);
        witness.note(|| Event::extensions(header.bytes(), refused));
    }
    let (upper, is_piece) = walked?;
    let message = Message { protocol: upper.protocol, offset: upper.offset, is_piece };
    let bad_source = is_martian_ipv6(remote) || tables.local.contains_ipv6(remote);
    let is_neighbor = is_link_local(remote);
    let outer = Unmatched { message, bad_source, is_neighbor, packet };
    let lookup = (&tables.tunnels_by_ipv6, &tables.labelled_by_ipv6);
    check_tunnel(&outer, (local, remote), lookup, tables, witness)?;
    // Duplicate address detection comes from ::, and is looked at by whoever speaks the protocol.
    let unspecified = remote == 0 && message.protocol == protocol::ICMPV6;
    if bad_source && !unspecified && packet.meta.flags.decap_depth() == 0 {
        return Err(Verdict::drop(Counter::Ip6MartianSrc));
    }
    Ok(message)
}

/// A piece of a packet for this node itself: of an echo request, perhaps.
fn own_piece(message: Message, is_ipv4: bool) -> Verdict {
    match message.protocol {
        protocol::ICMP if is_ipv4 => {
            Verdict::Reassemble(Terms { seconds: reassembly::SECONDS_IPV4, is_own: true })
        }
        protocol::ICMPV6 | protocol::DESTINATION_OPTIONS if !is_ipv4 => {
            Verdict::Reassemble(Terms { seconds: reassembly::SECONDS_IPV6, is_own: true })
        }
        _ => Verdict::drop(Counter::IpFragmentToUs),
    }
}

/// Takes the fragment header out of a packet that is whole in spite of it. False: it has none.
fn take_out_fragment_header(packet: &mut Packet) -> bool {
    //= RFC 6946 §4: such a packet is processed by itself, whatever pieces wait.
    let header = FragmentHeader::find(packet.data());
    header.is_some_and(|header| {
        reassembly::take_out(packet, header);
        true
    })
}

fn is_neighbor_discovery(packet: &Packet, message: Message) -> bool {
    packet.data().get(message.offset).is_some_and(|kind| ND_TYPES.contains(kind))
        && !message.is_piece
}

/// Whether somebody on a port's link asks who listens to what, or says that it listens to a group that
/// this node is in as well.
fn is_about_listeners(packet: &Packet, message: Message, tables: &Tables) -> bool {
    let is_shared = || tables.local.has_joined(Ipv6::trusted(packet.data()).destination());
    let is_wanted = match packet.data().get(message.offset) {
        Some(&icmp6::message::LISTENER_QUERY) => true,
        Some(&icmp6::message::LISTENER_REPORT) => is_shared(),
        _ => false,
    };
    is_wanted && !message.is_piece
}

/// Gives the frame that a packet came in to the control thread.
fn punt(packet: &mut Packet, port: PortId) -> Verdict {
    match packet.prepend(ethernet::HEADER_LEN) {
        Some(_) => Verdict::Punt(port),
        None => Verdict::drop(Counter::NdBad),
    }
}

fn is_echo_request(packet: &Packet, message: Message) -> bool {
    let kind = match message.protocol {
        protocol::ICMP => icmp4::message::ECHO_REQUEST,
        _ => icmp6::message::ECHO_REQUEST,
    };
    packet.data().get(message.offset) == Some(&kind)
}

fn is_icmp_error(packet: &Packet, message: Message) -> bool {
    packet.data().get(message.offset).is_some_and(|&kind| match message.protocol {
        protocol::ICMP => icmp4::is_error(kind),
        _ => icmp6::is_error(kind),
    })
}

/// Whether a packet is addressed to a link-local address.
fn is_to_neighbor(packet: &Packet) -> bool {
    let bytes = packet.data();
    bytes.first().is_some_and(|first| first >> 4 == 6)
        && is_link_local(Ipv6::trusted(bytes).destination())
}

/// Whether an IPv6 packet is addressed to a group.
fn is_group(packet: &Packet) -> bool {
    let bytes = packet.data();
    bytes.first().is_some_and(|first| first >> 4 == 6)
        && Ipv6::trusted(bytes).destination() >> 120 == 0xff
}

/// A datagram that nobody here waits for.
fn closed_port(packet: &Packet, message: Message) -> Verdict {
    let datagram = match Datagram::parse(packet.data(), message.offset) {
        Ok(datagram) => datagram,
        Err(UdpError::Short) => return Verdict::drop(Counter::UdpShort),
        Err(UdpError::Checksum) => return Verdict::drop(Counter::UdpBadCsum),
    };
    let is_ipv6 = packet.data().first().is_some_and(|first| first >> 4 == 6);
    if datagram.has_no_checksum && is_ipv6 {
        //= RFC 8200 §8.1: over IPv6 a checksum of 0 is not allowed.
        return Verdict::drop(Counter::UdpZeroCsum6);
    }
    let port = datagram.destination();
    if SILENT_UDP_PORTS.contains(&port) {
        Verdict::drop(Counter::UdpClosedPort)
    } else {
        Verdict::reject(IcmpError::PortUnreachable, Counter::UdpClosedPort)
    }
}
