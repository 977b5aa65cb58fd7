//! Packets with a plain header behind the outer one: GRE without checksum and number, UDP with IP in it (FOU), or
//! with a GUE header of variant 0 without options, or with such GRE in either. Whose they are, and where the addresses inside lead; what is
//! inside is seen to as where nothing is in front of it. What is left over may have [frames](super::leave_frames) in it.

use super::FastPath;
use super::arrive::Insides;
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::leave::{leave_ipv4, leave_ipv6};
use super::leave_frames::leave_frames;
use super::link::LastLink;
use super::list::List;
use super::outside::Outside;
use super::sort::Sorted;
use super::strangers::{Stranger, see_to_strangers};
use crate::interface::{PortId, TunnelId};
use crate::packet::Packet;
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{Class, Found, Label, Protocols};
use crate::tunnel::plain::Facts;
use crate::tunnel::udp::Service;
use crate::wire::checksum::sum_as_stored;
use crate::wire::ethernet::ether_type;
use crate::wire::{gre, ipv4, protocol, read_u32, udp};

/// The protocols of outer headers of one family that tunnels use, each as a bit. Some others have the same bits.
#[derive(Clone, Copy)]
pub(super) struct TunnelProtocols(u64);

impl TunnelProtocols {
    const BITS: u8 = 63;

    pub(super) fn ipv4(tables: &Tables) -> Self {
        Self::new(!tables.labelled_by_ipv4.is_empty(), tables)
    }

    pub(super) fn ipv6(tables: &Tables) -> Self {
        Self::new(!tables.labelled_by_ipv6.is_empty(), tables)
    }

    fn new(has_labelled: bool, tables: &Tables) -> Self {
        let bit = |protocol: u8, is_there: bool| u64::from(is_there) << (protocol & Self::BITS);
        let has_ports = has_labelled && !tables.udp_ports.is_empty();
        let bare = bit(protocol::IPV4, true) | bit(protocol::IPV6, true);
        Self(bare | bit(protocol::GRE, has_labelled) | bit(protocol::UDP, has_ports))
    }

    /// Whether a packet that is no fragment may be a tunnel's, whose outer header ends at `END` of the frame and
    /// says what it carries.
    #[inline]
    pub(super) fn may_have<const END: usize>(
        self,
        carried: u8,
        is_fragment: bool,
        frame: &[u8],
        tables: &Tables,
    ) -> bool {
        let has_bit = self.0 >> (carried & Self::BITS) & 1 != 0;
        has_bit
            && !is_fragment
            && (carried != protocol::UDP || may_be_to_tunnels_port::<END>(frame, tables))
    }
}

/// Whether the last bits of a UDP port are those of one that tunnels use. Not inlined, as others would pay for the
/// registers.
#[inline(never)]
fn may_be_to_tunnels_port<const END: usize>(frame: &[u8], tables: &Tables) -> bool {
    let last = frame.get(END + udp::offset::DESTINATION + 1);
    last.is_some_and(|last| tables.udp_ports.marks() >> (last & 63) & 1 != 0)
}

/// A plain header behind the outer one.
#[derive(Clone, Copy)]
struct PlainShim {
    label: Label,
    len: u16,
    /// What follows.
    carries: Protocols,
    /// It is UDP without a checksum.
    has_no_checksum: bool,
}

impl PlainShim {
    /// Reads GRE behind UDP, which `class` and `port` are those without; `header_len`: of UDP, and of what says so.
    #[inline(never)]
    fn of_gre_in_udp<F: Outside>(
        outer: F,
        behind: &[u8],
        (class, port): (Class, u16),
        (header_len, carries): (u16, u8),
    ) -> Option<Self> {
        let [.., len, checksum] = words(u64::from_le_bytes(*behind.first_chunk()?));
        if carries != protocol::GRE || len != outer.payload_len() {
            return None;
        }
        let gre = Self::of_gre(behind.get(usize::from(header_len)..)?)?;
        let class = if class == Class::Fou { Class::FouGre } else { Class::GueGre };
        let (label, len) = (gre.label.in_udp(class, port), header_len + gre.len);
        Some(Self { label, len, has_no_checksum: checksum == 0, ..gre })
    }

    /// Reads the GRE header at the start of `behind`, if it is plain and carries IP.
    #[inline]
    fn of_gre(behind: &[u8]) -> Option<Self> {
        const NOTHING: u16 = 0;
        const IPV4: u32 = first_word(NOTHING, ether_type::IPV4);
        const IPV6: u32 = first_word(NOTHING, ether_type::IPV6);
        const IPV4_WITH_KEY: u32 = first_word(gre::KEY, ether_type::IPV4);
        const IPV6_WITH_KEY: u32 = first_word(gre::KEY, ether_type::IPV6);
        let (len, carries) = match u32::from_le_bytes(*behind.first_chunk()?) {
            IPV4 => (4, Protocols::IPV4),
            IPV6 => (4, Protocols::IPV6),
            IPV4_WITH_KEY => (8, Protocols::IPV4),
            IPV6_WITH_KEY => (8, Protocols::IPV6),
            _ => return None,
        };
        let key = (len > 4).then(|| read_u32(behind, 4));
        let label = Label::new(Class::Gre, 0, key);
        Some(Self { label, len, carries, has_no_checksum: false })
    }

    /// Reads the UDP header that follows `outer`, and what says what follows that, if they are plain and carry IP, and
    /// the datagram is as long as the packet. Its checksum is [another question](Self::is_right).
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "once a packet, with more to hand back than to do")]
    fn of_udp<F: Outside>(outer: F, behind: &[u8], tables: &Tables) -> Option<Self> {
        let header = u64::from_le_bytes(*behind.first_chunk()?);
        let [_, port, len, checksum] = words(header);
        let (class, header_len, carries) = match tables.udp_ports.get(port)? {
            Service::Fou { carries } => (Class::Fou, udp::HEADER_LEN_U16, carries),
            Service::Gue => match *behind.get(udp::HEADER_LEN..)?.first_chunk()? {
                [0, carries, 0, 0] => (Class::Gue, udp::HEADER_LEN_U16 + 4, carries),
                _ => return None,
            },
            Service::Vxlan | Service::Geneve => return None,
        };
        if !header::is_tunnels(carries) || len < header_len || len != outer.payload_len() {
            return Self::of_gre_in_udp(outer, behind, (class, port), (header_len, carries));
        }
        let (label, carries) = (Label::new(class, port, None), Protocols::of(carries));
        Some(Self { label, len: header_len, carries, has_no_checksum: checksum == 0 })
    }

    /// Whether the checksum of UDP behind `outer` is right, or none.
    #[inline]
    fn is_right<F: Outside>(self, outer: F, behind: &[u8]) -> bool {
        let datagram = || behind.get(..usize::from(outer.payload_len()));
        //= RFC 768: a checksum of 0 says that none was computed.
        self.has_no_checksum || datagram().is_some_and(|datagram| is_right(outer, datagram))
    }
}

/// The first four bytes of a GRE header, as they stand in memory.
const fn first_word(flags: u16, protocol_type: u16) -> u32 {
    flags.swap_bytes() as u32 | (protocol_type.swap_bytes() as u32) << 16
}

/// The four words of 16 bits of a UDP header, as numbers: source port, destination port, length, checksum.
#[expect(clippy::cast_possible_truncation, reason = "fields are cut out of a word")]
pub(super) const fn words(header: u64) -> [u16; 4] {
    let header = header.swap_bytes();
    [(header >> 48) as u16, (header >> 32) as u16, (header >> 16) as u16, header as u16]
}

/// Whether the checksum of a datagram behind `outer` is right, which is all that is behind it.
#[inline]
pub(super) fn is_right<F: Outside>(outer: F, datagram: &[u8]) -> bool {
    let start = outer.sum_of_addresses() + pseudo_header(outer.payload_len());
    sum_as_stored(start, datagram) == u16::MAX
}

/// What the pseudo-header of a datagram of `len` bytes adds to the sum of its addresses, as stored.
#[inline]
fn pseudo_header(len: u16) -> u128 {
    u128::from(u16::from(protocol::UDP).to_be()) + u128::from(len.to_be())
}

/// Room for the packets of one family outside.
pub(super) struct ShimArrivals {
    /// Packets in UDP, by their places in the burst.
    udp: List<u16>,
    /// Those of the other [such](TunnelProtocols) protocols.
    gre: List<u16>,
    /// Those whose tunnel was not found.
    strangers: List<Stranger>,
    /// What is left over.
    others: List<u16>,
}

impl Default for ShimArrivals {
    fn default() -> Self {
        let places = || List::new(0);
        let strangers = List::new(Stranger::NONE);
        Self { udp: places(), gre: places(), strangers, others: places() }
    }
}

impl ShimArrivals {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.udp.clear();
        self.gre.clear();
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.udp.is_empty() && self.gre.is_empty()
    }

    /// Adds a packet of [such](TunnelProtocols) a protocol.
    #[inline]
    pub(super) fn push(&mut self, at: u16, carried: u8) {
        let places = if carried == protocol::UDP { &mut self.udp } else { &mut self.gre };
        places.push(at);
    }
}

impl FastPath {
    /// Sees to packets with something behind the outer header. What is not plain, or no tunnel's, is sorted like any
    /// other packet.
    #[inline(never)]
    pub(super) fn arrive_behind_shims(
        &mut self,
        packets: &mut [Packet],
        port: PortId,
        last: &mut LastLink,
        round: &mut Round<'_>,
    ) {
        let Self { ipv4, ipv6, shims4, shims6, odd4, odd6, insides, outcomes, .. } = self;
        if !shims4.is_empty() {
            insides.clear();
            arrive::<PlainIpv4>(packets, port, shims4, insides, round.tables);
            if !shims4.strangers.is_empty() {
                let on = (&mut *ipv4, &mut *odd4);
                see_to_strangers::<PlainIpv4>((packets, outcomes), &shims4.strangers, on, round);
            }
            leave_ipv4::<IPV4_END, true>((packets, outcomes), insides, last, round);
            leave_ipv6::<IPV4_END, true>((packets, outcomes), insides, last, round);
            if !shims4.others.is_empty() {
                let (others, on) = ((&shims4.others, port), (ipv4, odd4));
                leave_frames::<PlainIpv4, IPV4_END>((packets, outcomes), others, on, round);
            }
        }
        if !shims6.is_empty() {
            insides.clear();
            arrive::<PlainIpv6>(packets, port, shims6, insides, round.tables);
            if !shims6.strangers.is_empty() {
                let on = (&mut *ipv6, &mut *odd6);
                see_to_strangers::<PlainIpv6>((packets, outcomes), &shims6.strangers, on, round);
            }
            leave_ipv4::<IPV6_END, true>((packets, outcomes), insides, last, round);
            leave_ipv6::<IPV6_END, true>((packets, outcomes), insides, last, round);
            if !shims6.others.is_empty() {
                let (others, on) = ((&shims6.others, port), (ipv6, odd6));
                leave_frames::<PlainIpv6, IPV6_END>((packets, outcomes), others, on, round);
            }
        }
    }
}

/// Finds the tunnels of one family outside.
#[inline(never)]
fn arrive<F: Outside>(
    packets: &[Packet],
    port: PortId,
    arrivals: &mut ShimArrivals,
    insides: &mut Insides,
    tables: &Tables,
) {
    arrivals.strangers.clear();
    arrivals.others.clear();
    if F::lookup(tables).is_large() || tables.fib4.is_large() {
        ask_ahead::<F>(packets, arrivals, tables);
    }
    arrive_in_gre::<F>(packets, port, arrivals, insides, tables);
    arrive_in_udp::<F>(packets, port, arrivals, insides, tables);
    insides.look_up(tables);
}

/// Finds the tunnels of plain GRE.
#[inline(never)]
fn arrive_in_gre<F: Outside>(
    packets: &[Packet],
    port: PortId,
    arrivals: &mut ShimArrivals,
    insides: &mut Insides,
    tables: &Tables,
) {
    let ShimArrivals { gre, strangers, others, .. } = arrivals;
    arrive_each((packets, gre), port, (strangers, others), insides, tables, |outer: F, behind| {
        PlainShim::of_gre(behind).filter(|_| outer.protocol() == protocol::GRE)
    });
}

/// The same for UDP.
#[inline(never)]
fn arrive_in_udp<F: Outside>(
    packets: &[Packet],
    port: PortId,
    arrivals: &mut ShimArrivals,
    insides: &mut Insides,
    tables: &Tables,
) {
    let ShimArrivals { udp, strangers, others, .. } = arrivals;
    arrive_each((packets, udp), port, (strangers, others), insides, tables, |outer: F, behind| {
        PlainShim::of_udp(outer, behind, tables).filter(|shim| shim.is_right(outer, behind))
    });
}

/// Finds the tunnels of what `read_shim` says is plain, and where what is inside leads.
#[inline]
fn arrive_each<F: Outside>(
    (packets, places): (&[Packet], &List<u16>),
    port: PortId,
    (strangers, others): (&mut List<Stranger>, &mut List<u16>),
    insides: &mut Insides,
    tables: &Tables,
    read_shim: impl Fn(F, &[u8]) -> Option<PlainShim>,
) {
    let lookup = F::lookup(tables);
    for &at in places.items() {
        let Some((outer, behind)) = read::<F>(at, packets) else { continue };
        let Some(shim) = read_shim(outer, behind) else {
            others.push(at);
            continue;
        };
        let PlainShim { label, len: shim_len, carries, .. } = shim;
        let pair = outer.pair(label);
        let home = lookup.home(pair);
        // What `find` does, but what is found at once is not put into an answer that has to be taken apart.
        let id = match lookup.find_alone(home, pair, carries) {
            Some(id) => id,
            None => match lookup.search(home, pair, carries, Some(port)) {
                Found::Tunnel(id) => id,
                Found::WrongProtocol | Found::Nothing => {
                    strangers.push(Stranger { at, shim_len, label });
                    continue;
                }
            },
        };
        if shim.has_no_checksum && F::IS_IPV6 && !needs_no_checksum(id, tables) {
            continue;
        }
        if carries == Protocols::IPV4 {
            let destination = read_u32(behind, usize::from(shim_len) + ipv4::offset::DESTINATION);
            insides.push_ipv4((at, shim_len), id, destination, tables);
        } else {
            let inner = behind.get(usize::from(shim_len)..).unwrap_or(&[]);
            insides.push_ipv6((at, shim_len), id, inner, tables);
        }
    }
}

/// Asks for the tunnels of what seems to be plain, and for the routes of IPv4 in it.
#[inline(never)]
fn ask_ahead<F: Outside>(packets: &[Packet], arrivals: &ShimArrivals, tables: &Tables) {
    let ask = |shim: PlainShim, outer: F, behind: &[u8]| {
        F::lookup(tables).ask(outer.pair(shim.label));
        let destination = usize::from(shim.len) + ipv4::offset::DESTINATION;
        tables.fib4.prefetch(read_u32(behind, destination));
    };
    for &at in arrivals.gre.items() {
        let Some((outer, behind)) = read::<F>(at, packets) else { continue };
        if let Some(shim) = PlainShim::of_gre(behind) {
            ask(shim, outer, behind);
        }
    }
    for &at in arrivals.udp.items() {
        let Some((outer, behind)) = read::<F>(at, packets) else { continue };
        if let Some(shim) = PlainShim::of_udp(outer, behind, tables) {
            ask(shim, outer, behind);
        }
    }
}

/// The outer header of a packet, and what is behind it.
#[inline]
fn read<F: Outside>(at: u16, packets: &[Packet]) -> Option<(F, &[u8])> {
    F::read(packets.get(usize::from(at))?.data())
}

/// Sorts a packet whose tunnel is not known here, which may have one, like any other.
#[inline]
pub(super) fn go_on<F: Outside>(
    at: u16,
    outer: F,
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    tables: &Tables,
) {
    match outer.passes(tables) {
        Some(next_hop) => sorted.push(at, next_hop, tables),
        None => odd.push(at),
    }
}

/// Whether a tunnel takes UDP in IPv6 without a checksum (RFC 6935 §5).
pub(super) fn needs_no_checksum(id: TunnelId, tables: &Tables) -> bool {
    tables.tunnel(id).is_some_and(|tunnel| tunnel.plain.facts.has(Facts::NEEDS_NO_CHECKSUM))
}
