//! Acting on a verdict: the packet is put into a transmit burst, cut, answered, delivered, handed
//! over, or dropped. Also the slow way through the stages for packets that this node makes.

use core::net::IpAddr;

use super::State;
use super::exchange::{Frame, Handback, Punt};
use super::mirror::ether_type_of;
use crate::clock::Nanos;
use crate::counters::{Counter, CounterSlot};
use crate::device::Device;
use crate::interface::{Interface, PortId};
use crate::node::fragment::{Plan4, Plan6};
use crate::node::icmp_error::IcmpError;
use crate::packet::{Flags, HEADROOM, Packet};
use crate::stage::decap::decap;
use crate::stage::encap::{encap, encap_frame};
use crate::stage::route::{destination, look_up, route_to};
use crate::stage::{After, Loss, Round, Verdict};
use crate::tables::Tables;
use crate::tables::neighbor::AdjacencyId;
use crate::wire::ethernet::{self, ether_type};
use crate::wire::ipv4::Ipv4;
use crate::witness::{Event, Header, Witness};

/// Steps that one packet can take here at most; more would be a loop.
const STEPS_MAX: usize = 16;

/// How often a packet can be cut, and its pieces again.
const CUTS_MAX: u8 = 3;

/// What stands between a packet and its transmit burst.
enum Ready {
    Fits,
    Unresolved { port: PortId, address: IpAddr },
    TooLong { mtu: u16 },
}

impl<D: Device, W: Witness> State<D, W> {
    /// Sees one packet through to its end.
    #[inline]
    pub(super) fn settle(&mut self, packet: Packet, verdict: Verdict, tables: &Tables, now: Nanos) {
        self.witness.turn_to(&packet);
        if let Verdict::Transmit(id) = verdict
            && let Ready::Fits = ready(&packet, id, tables)
        {
            return self.transmit(packet, id, tables);
        }
        self.settle_slowly(packet, verdict, tables, now, 0);
    }

    /// The same for everything that does not just leave; `cuts` counts how often it was cut.
    pub(super) fn settle_slowly(
        &mut self,
        mut packet: Packet,
        mut verdict: Verdict,
        tables: &Tables,
        now: Nanos,
        cuts: u8,
    ) {
        for _ in 0..STEPS_MAX {
            // The packet may have made others, whose turn it was meanwhile.
            self.witness.turn_to(&packet);
            verdict = match verdict {
                Verdict::Replicate(tunnel) => {
                    return self.replicate(packet, tunnel, tables, now);
                }
                Verdict::TransmitFrame(port) if is_frame_of(&packet, port, tables) => {
                    return self.enqueue(packet, port);
                }
                Verdict::TellUnreachable(tunnel) => {
                    self.tell_unreachable(&mut packet, tunnel, tables, now);
                    Verdict::Encap(tunnel)
                }
                Verdict::Transmit(id) => match ready(&packet, id, tables) {
                    Ready::Fits => return self.transmit(packet, id, tables),
                    Ready::Unresolved { port, address } => {
                        return self.hand_over(port, address, packet);
                    }
                    Ready::TooLong { mtu } => too_long(&packet, id, mtu),
                },
                Verdict::TransmitOnLink(port) => {
                    let address = destination(packet.data());
                    match tables.neighbors.find(port, address) {
                        Some(id) => Verdict::Transmit(id),
                        None => return self.hand_over(port, address, packet),
                    }
                }
                Verdict::Fragment { mtu, then } if cuts < CUTS_MAX => {
                    return self.fragment(packet, mtu, then, tables, now, cuts);
                }
                Verdict::TransmitFrame(_) | Verdict::Fragment { .. } => {
                    Verdict::drop(Counter::PortOversize)
                }
                Verdict::Deliver => match self.deliver(&mut packet, tables, now) {
                    Some(next) => next,
                    None => return self.consume(packet),
                },
                Verdict::Reassemble(terms) => {
                    let Some(next) = self.reassemble(packet, terms, tables, now) else { return };
                    packet = next.0;
                    next.1
                }
                Verdict::Punt(port) => return self.punt(packet, port),
                Verdict::Drop(loss) => return self.lose(packet, loss, tables),
                Verdict::Reject(error, loss) => {
                    let _ = self.answer(&packet, error, tables, now);
                    return self.lose(packet, loss, tables);
                }
                Verdict::RejectFrame { mtu, port, loss } => {
                    self.answer_in_frame(&packet, mtu, port, now);
                    return self.lose(packet, loss, tables);
                }
                of_stages => self.take_stage_mirrored(&mut packet, of_stages, tables, now),
            };
        }
        self.lose(packet, Loss::of(Counter::PortOversize), tables);
    }

    /// What the stages need, for a packet that goes through them alone.
    #[inline]
    pub(super) fn round<'a>(&'a mut self, tables: &'a Tables, now: Nanos) -> Round<'a, W> {
        Round {
            tables,
            counters: &self.shared.counters,
            now,
            limiter: &self.limiter,
            reassembler: &self.reassembler,
            identifications: &mut self.identifications,
            measured: &mut self.measured,
            witness: self.witness.clone(),
        }
    }

    /// Puts the Ethernet header in front and the packet into the port's transmit burst.
    #[inline]
    fn transmit(&mut self, mut packet: Packet, id: AdjacencyId, tables: &Tables) {
        let adjacency = tables.neighbors.adjacency(id);
        let Some((port, address, macs)) =
            adjacency.and_then(|a| Some((a.port, a.address, a.macs?)))
        else {
            return self.lose(packet, Loss::of(Counter::NbrQueueDrop), tables);
        };
        let kind = ether_type_of(&packet);
        let header = packet.prepend(ethernet::HEADER_LEN);
        let Some(header) = header.and_then(<[u8]>::first_chunk_mut::<{ ethernet::HEADER_LEN }>)
        else {
            return self.lose(packet, Loss::of(Counter::PortNoMbuf), tables);
        };
        header[..12].copy_from_slice(&macs);
        self.witness.note(|| Event::Neighbor { port, address, macs });
        header[12..].copy_from_slice(&kind.to_be_bytes());
        self.enqueue(packet, port);
    }

    /// Puts a frame into a port's transmit burst; sends the burst first if it is full.
    #[inline]
    pub(super) fn enqueue(&mut self, packet: Packet, port: PortId) {
        let (path, length) = (packet.path as usize, packet.len());
        if self.outgoing.get(port.index()).is_some_and(|outgoing| outgoing.burst.is_full()) {
            self.send(port);
        }
        let Some(outgoing) = self.outgoing.get_mut(port.index()) else {
            self.count_drop(Loss::of(Counter::PortTxFull), None);
            return self.spend(packet);
        };
        match outgoing.burst.push(packet) {
            Ok(()) => {
                self.witness.note(|| Event::Sent { port, length });
                if let Some(count) = outgoing.paths.get_mut(path) {
                    *count += 1;
                }
            }
            Err(packet) => {
                self.count_drop(Loss::of(Counter::PortTxFull), None);
                self.spend(packet);
            }
        }
    }

    /// Cuts a packet and sends the pieces on their way, in order.
    fn fragment(
        &mut self,
        packet: Packet,
        mtu: u16,
        then: After,
        tables: &Tables,
        now: Nanos,
        cuts: u8,
    ) {
        let is_ipv4 = packet.data().first().is_some_and(|first| first >> 4 == 4);
        let mut packet = packet;
        self.witness.note(|| Event::Cut { mtu, length: packet.len() });
        if let After::Encap(_) = then {
            packet.meta.flags.set(Flags::PIECE);
        }
        let cut = if is_ipv4 {
            self.cut_ipv4(&packet, mtu, |state, piece| {
                state.settle_slowly(piece, then.into(), tables, now, cuts + 1);
            })
        } else {
            self.cut_ipv6(&packet, mtu, |state, piece| {
                state.settle_slowly(piece, then.into(), tables, now, cuts + 1);
            })
        };
        match cut {
            Ok(()) => self.consume(packet),
            Err(counter) => self.lose(packet, Loss::of(counter), tables),
        }
    }

    fn cut_ipv4(
        &mut self,
        packet: &Packet,
        mtu: u16,
        mut see: impl FnMut(&mut Self, Packet),
    ) -> Result<(), Counter> {
        let plan = Plan4::new(packet.data(), mtu).map_err(|_| Counter::PortOversize)?;
        for piece in plan.pieces() {
            let made = self.make(packet, |room| plan.write_piece(packet.data(), piece, room))?;
            if packet.meta.encap_len == 0 && !packet.meta.flags.has(Flags::FOLDED) {
                self.count_event(Counter::Ip4FragCreated, None);
            }
            see(self, made);
        }
        Ok(())
    }

    fn cut_ipv6(
        &mut self,
        packet: &Packet,
        mtu: u16,
        mut see: impl FnMut(&mut Self, Packet),
    ) -> Result<(), Counter> {
        let identification = self.unpredictable();
        let plan = Plan6::new(packet.data(), mtu, identification);
        let plan = plan.map_err(|_| Counter::PortOversize)?;
        for piece in plan.pieces() {
            let made = self.make(packet, |room| plan.write_piece(packet.data(), piece, room))?;
            see(self, made);
        }
        Ok(())
    }

    /// A piece of `original`, with its metadata.
    fn make(
        &mut self,
        original: &Packet,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Packet, Counter> {
        let mut packet = self.device.allocate().ok_or(Counter::PortNoMbuf)?;
        self.shared.counters.balance.created.add(1);
        packet.rebuild(HEADROOM, |room| write(room).unwrap_or(0));
        packet.path = original.path;
        packet.meta = original.meta;
        // The piece before has had its turn meanwhile.
        self.witness.turn_to(original);
        self.witness.begin(&packet, || Event::Piece(Header::of(packet.data())));
        Ok(packet)
    }

    /// A number that nobody outside can foretell: the identification of IPv6 fragments.
    fn unpredictable(&mut self) -> u32 {
        self.fragments_made = self.fragments_made.wrapping_add(1);
        let mixed = u128::from(self.fragments_made ^ self.settings.seed)
            * u128::from(0x9e37_79b9_7f4a_7c15_u64 ^ self.settings.seed.rotate_left(32) | 1);
        let folded = (mixed >> 64) ^ mixed;
        u32::try_from(folded >> 32 & 0xffff_ffff).unwrap_or(0)
    }

    /// Hands a packet to the control thread, which finds out who its next hop is.
    fn hand_over(&mut self, port: PortId, address: IpAddr, mut packet: Packet) {
        packet.meta.ingress = Interface::NONE;
        let punt = Punt::Unresolved { port, address, packet };
        match self.shared.punt(punt) {
            Ok(()) => {
                self.witness.note(|| Event::Held { port, address });
                self.shared.counters.balance.handed_over.add(1);
            }
            Err(Punt::Unresolved { packet, .. }) => {
                self.count_drop(Loss::of(Counter::NbrQueueDrop), None);
                self.spend(packet);
            }
            Err(Punt::Frame { .. }) => {}
        }
    }

    /// Hands a copy of a frame to the control thread.
    fn punt(&mut self, packet: Packet, port: PortId) {
        let counter = match Frame::new(packet.data()) {
            Some(frame) => match self.shared.punt(Punt::Frame { port, frame }) {
                Ok(()) => {
                    self.witness.note(|| Event::Punted { port });
                    return self.consume(packet);
                }
                Err(_) => Counter::RingFull,
            },
            None if crate::wire::read_u16(packet.data(), 12) == ether_type::ARP => Counter::ArpBad,
            None => Counter::NdBad,
        };
        self.count_drop(Loss::of(counter), None);
        self.spend(packet);
    }

    /// Does what the control thread asks.
    pub(super) fn settle_handback(&mut self, handback: Handback, tables: &Tables, now: Nanos) {
        match handback {
            // On a port that is attached to a tunnel this node is no station.
            Handback::Frame { port, .. } if tables.attached(port).is_some() => {}
            Handback::Frame { port, frame } => {
                let made = self.create(|room| copy(frame.bytes(), room));
                let Some(packet) = made else { return };
                let told = || Event::Told { port, frame: packet.data().into() };
                self.witness.begin(&packet, told);
                self.enqueue(packet, port);
            }
            Handback::Send { port, address, packet, .. } => {
                self.shared.counters.balance.handed_back.add(1);
                let verdict = match tables.neighbors.find(port, address) {
                    Some(id)
                        if tables.neighbors.adjacency(id).is_some_and(|a| a.macs.is_some()) =>
                    {
                        Verdict::Transmit(id)
                    }
                    _ => Verdict::drop(Counter::NbrQueueDrop),
                };
                self.resume(&packet, true);
                self.settle(packet, verdict, tables, now);
            }
            Handback::Unreachable { packet } => {
                self.shared.counters.balance.handed_back.add(1);
                let verdict = Verdict::reject(IcmpError::HostUnreachable, Counter::NbrFailed);
                self.resume(&packet, false);
                self.settle(packet, verdict, tables, now);
            }
            Handback::Release { packet, counter } => {
                self.shared.counters.balance.handed_back.add(1);
                self.settle(packet, Verdict::drop(counter), tables, now);
            }
        }
    }

    /// Notes that a packet goes on which has waited for a neighbor.
    fn resume(&self, packet: &Packet, is_answered: bool) {
        self.witness.turn_to(packet);
        self.witness.note(|| Event::Resumed { is_answered });
    }

    /// Ends a packet on a drop counter.
    #[inline]
    pub(super) fn lose(&mut self, packet: Packet, loss: Loss, tables: &Tables) {
        // It may have been answered, by a packet whose turn it was meanwhile.
        self.witness.turn_to(&packet);
        let tunnel = loss.interface.as_tunnel().and_then(|id| tables.tunnel(id));
        self.count_drop(loss, tunnel.map(|tunnel| tunnel.setup.slot));
        self.spend(packet);
    }

    /// Counts something that happened, under a tunnel or under none.
    pub(super) fn count_event(&self, counter: Counter, slot: Option<CounterSlot>) {
        self.witness.note(|| Event::Counted { counter });
        self.shared.counters.count(counter, slot);
    }

    pub(super) fn count_drop(&mut self, loss: Loss, slot: Option<CounterSlot>) {
        self.witness.note(|| Event::Dropped(loss));
        self.shared.counters.count(loss.counter, slot);
        self.shared.counters.balance.dropped.add(1);
    }

    /// Ends a packet that has reached its destination here, or that became others.
    pub(super) fn consume(&mut self, packet: Packet) {
        self.witness.turn_to(&packet);
        self.witness.note(|| Event::Consumed);
        self.shared.counters.balance.consumed.add(1);
        self.spend(packet);
    }

    /// Gives a buffer back with the next release.
    #[inline]
    fn spend(&mut self, packet: Packet) {
        if self.spent.is_full() {
            self.release_spent();
        }
        // There is room: it has just been made if there was none.
        let _ = self.spent.push(packet);
    }
}

/// Writes bytes to the start of `room`, and says how many: all, or none.
pub(super) fn copy(bytes: &[u8], room: &mut [u8]) -> usize {
    room.get_mut(..bytes.len()).map_or(0, |place| {
        place.copy_from_slice(bytes);
        bytes.len()
    })
}

/// What the stage says that a packet has come to.
pub(super) fn take_stage(
    packet: &mut Packet,
    verdict: Verdict,
    round: &mut Round<'_, impl Witness>,
) -> Verdict {
    match verdict {
        Verdict::Route => Verdict::RouteTo(look_up(packet, round)),
        Verdict::RouteTo(next_hop) => route_to(packet, next_hop, round),
        Verdict::Decap(tunnel) => decap(packet, tunnel, round),
        Verdict::Encap(tunnel) => encap(packet, tunnel, round),
        Verdict::EncapFrame(tunnel) => encap_frame(packet, tunnel, None, round),
        // What nobody has looked at is dropped rather than sent on unseen.
        _ => Verdict::drop(Counter::L2NotForUs),
    }
}

/// Whether a packet can be put into the transmit burst of a host's port.
#[inline]
fn ready(packet: &Packet, id: AdjacencyId, tables: &Tables) -> Ready {
    let Some(adjacency) = tables.neighbors.adjacency(id) else { return Ready::Fits };
    if adjacency.macs.is_none() {
        return Ready::Unresolved { port: adjacency.port, address: adjacency.address };
    }
    let mtu = tables.port(adjacency.port).map_or(u16::MAX, |port| port.mtu);
    if packet.len() > usize::from(mtu) { Ready::TooLong { mtu } } else { Ready::Fits }
}

/// Whether a frame is no larger than a port takes. VLAN tags don't count.
fn is_frame_of(packet: &Packet, port: PortId, tables: &Tables) -> bool {
    let (_, at) = ethernet::carried(packet.data());
    let mtu = tables.port(port).map_or(0, |port| usize::from(port.mtu));
    packet.len() <= at + mtu
}

/// What happens with a packet that is larger than the port takes.
fn too_long(packet: &Packet, id: AdjacencyId, mtu: u16) -> Verdict {
    if packet.meta.flags.has(Flags::LABELLED) {
        return Verdict::drop(Counter::PortOversize);
    }
    let then = After::Transmit(id);
    let made_here = packet.meta.encap_len > 0 || packet.meta.flags.has(Flags::LOCAL);
    let may_be_cut = match packet.data().first().map(|first| first >> 4) {
        Some(4) => !Ipv4::trusted(packet.data()).dont_fragment(),
        //= RFC 8200 §5: only the source cuts; of an outer header that is this node.
        _ => made_here,
    };
    if may_be_cut {
        Verdict::Fragment { mtu, then }
    } else {
        Verdict::reject(IcmpError::TooBig { mtu }, Counter::PortOversize)
    }
}
