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
use super::sort::{Sorted, may_pass_ipv4, may_pass_ipv6};
use crate::fib::NextHopId;
use crate::interface::{PortId, TunnelId};
use crate::packet::Packet;
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{
    Class, Found, Home, Label, LabelledTunnels, OuterAddress, Pair, Protocols,
};
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
            && (carried != protocol::UDP || is_to_tunnels_port::<END>(frame, tables))
    }
}

#[inline(never)]
fn is_to_tunnels_port<const END: usize>(frame: &[u8], tables: &Tables) -> bool {
    tables.udp_ports.may_take(frame, END, false)
}

/// A plain header behind the outer one.
#[derive(Clone, Copy)]
struct PlainShim {
    label: Label,
    len: u16,
    /// The IP protocol of what follows.
    carries: u8,
    /// It is UDP in IPv6 without a checksum.
    has_no_checksum: bool,
}

impl PlainShim {
    /// Reads what follows `outer`, if it is plain and carries IP.
    #[inline]
    fn of<F: Outside>(outer: F, behind: &[u8], tables: &Tables) -> Option<Self> {
        match outer.protocol() {
            protocol::GRE => Self::of_gre(behind),
            protocol::UDP => Self::of_udp(outer, behind, tables),
            _ => None,
        }
    }

    /// The same where GRE follows, which `class` and `port` are those without; `header_len`: of UDP, and of what says so.
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
        let (len, behind_udp) = (usize::from(len), behind.get(usize::from(header_len)..)?);
        if checksum != 0 && !is_right(outer, behind.get(..len)?) {
            return None;
        }
        let gre = Self::of_gre(behind_udp)?;
        let class = if class == Class::Fou { Class::FouGre } else { Class::GueGre };
        let (label, len) = (gre.label.in_udp(class, port), header_len + gre.len);
        let has_no_checksum = F::IS_IPV6 && checksum == 0;
        Some(Self { label, len, has_no_checksum, ..gre })
    }

    /// Reads the GRE header at the start of `behind`, if it is plain and carries IP.
    #[inline]
    fn of_gre(behind: &[u8]) -> Option<Self> {
        const NOTHING: u16 = 0;
        let (flags, protocol_type) = gre::first_words(behind);
        let carries = match protocol_type {
            ether_type::IPV4 => protocol::IPV4,
            ether_type::IPV6 => protocol::IPV6,
            _ => return None,
        };
        let (len, key) = match flags {
            NOTHING => (4, None),
            gre::KEY => (8, Some(read_u32(behind, 4))),
            _ => return None,
        };
        let label = Label::new(Class::Gre, 0, key);
        Some(Self { label, len, carries, has_no_checksum: false })
    }

    /// Reads the UDP header that follows `outer`, and what says what follows that, if they are plain and carry IP, the
    /// datagram is as long as the packet, and its checksum is right or none.
    #[inline(never)]
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
        //= RFC 768: a checksum of 0 says that none was computed.
        let has_checksum = checksum != 0;
        if has_checksum && !is_right(outer, behind.get(..usize::from(len))?) {
            return None;
        }
        let label = Label::new(class, port, None);
        Some(Self { label, len: header_len, carries, has_no_checksum: F::IS_IPV6 && !has_checksum })
    }
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
    /// Packets of [such](TunnelProtocols) protocols, by their places in the burst.
    pub(super) all: List<u16>,
    plain: List<(u16, Home, PlainShim)>,
    /// What is left over.
    others: List<u16>,
}

impl Default for ShimArrivals {
    fn default() -> Self {
        let nothing = PlainShim { label: Label::NONE, len: 0, carries: 0, has_no_checksum: false };
        let plain = List::new((0, Home::default(), nothing));
        Self { all: List::new(0), plain, others: List::new(0) }
    }
}

/// What differs by the family outside.
pub(super) trait Outside: Copy {
    type Address: OuterAddress;
    const IS_IPV6: bool;

    /// The outer header of a frame, and what is behind it.
    fn read(frame: &[u8]) -> Option<(Self, &[u8])>;

    /// The protocol of what is behind it.
    fn protocol(self) -> u8;

    /// Bytes behind it.
    fn payload_len(self) -> u16;

    /// The sum of its addresses, as stored, not folded.
    fn sum_of_addresses(self) -> u128;

    /// Its addresses, ours first.
    fn ends(self) -> (Self::Address, Self::Address);

    fn lookup(tables: &Tables) -> &LabelledTunnels<Self::Address>;

    /// Where it goes if it is no tunnel's; `None`: nowhere.
    fn passes(self, tables: &Tables) -> Option<NextHopId>;
}

impl Outside for PlainIpv4 {
    type Address = u32;
    const IS_IPV6: bool = false;

    #[inline]
    fn read(frame: &[u8]) -> Option<(Self, &[u8])> {
        let start = frame.first_chunk::<IPV4_END>()?;
        Some((Self::of(header::behind_ethernet(start)), frame.get(IPV4_END..)?))
    }

    #[inline]
    fn protocol(self) -> u8 {
        Self::protocol(self)
    }

    #[inline]
    fn payload_len(self) -> u16 {
        self.total_len() - ipv4::HEADER_LEN_U16
    }

    #[inline]
    fn sum_of_addresses(self) -> u128 {
        Self::sum_of_addresses(self).into()
    }

    #[inline]
    fn ends(self) -> (u32, u32) {
        (self.destination(), self.source())
    }

    #[inline]
    fn lookup(tables: &Tables) -> &LabelledTunnels<u32> {
        &tables.labelled_by_ipv4
    }

    fn passes(self, tables: &Tables) -> Option<NextHopId> {
        may_pass_ipv4(self, tables).then(|| tables.fib4.lookup(self.destination()))
    }
}

impl Outside for PlainIpv6 {
    type Address = u128;
    const IS_IPV6: bool = true;

    #[inline]
    fn read(frame: &[u8]) -> Option<(Self, &[u8])> {
        let start = frame.first_chunk::<IPV6_END>()?;
        Some((Self::of(header::behind_ethernet(start)), frame.get(IPV6_END..)?))
    }

    #[inline]
    fn protocol(self) -> u8 {
        self.next_header()
    }

    #[inline]
    fn payload_len(self) -> u16 {
        Self::payload_len(self)
    }

    #[inline]
    fn sum_of_addresses(self) -> u128 {
        Self::sum_of_addresses(self)
    }

    #[inline]
    fn ends(self) -> (u128, u128) {
        (self.destination(), self.source())
    }

    #[inline]
    fn lookup(tables: &Tables) -> &LabelledTunnels<u128> {
        &tables.labelled_by_ipv6
    }

    fn passes(self, tables: &Tables) -> Option<NextHopId> {
        may_pass_ipv6(self, tables).then(|| tables.fib6.lookup(self.destination()))
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
        if !shims4.all.is_empty() {
            insides.clear();
            let on = (&mut *ipv4, &mut *odd4);
            arrive::<PlainIpv4>(packets, port, shims4, on, insides, round.tables);
            leave_ipv4::<IPV4_END, true>((packets, outcomes), insides, last, round);
            leave_ipv6::<IPV4_END, true>((packets, outcomes), insides, last, round);
            if !shims4.others.is_empty() {
                let (others, on) = ((&shims4.others, port), (ipv4, odd4));
                leave_frames::<PlainIpv4, IPV4_END>((packets, outcomes), others, on, round);
            }
        }
        if !shims6.all.is_empty() {
            insides.clear();
            let on = (&mut *ipv6, &mut *odd6);
            arrive::<PlainIpv6>(packets, port, shims6, on, insides, round.tables);
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
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    insides: &mut Insides,
    tables: &Tables,
) {
    let lookup = F::lookup(tables);
    let ShimArrivals { all, plain, others } = arrivals;
    plain.clear();
    others.clear();
    let read = |at: u16| F::read(packets.get(usize::from(at))?.data());
    for &at in all.items() {
        let Some((outer, behind)) = read(at) else { continue };
        match PlainShim::of(outer, behind, tables) {
            Some(shim) => {
                let (local, remote) = outer.ends();
                plain.push((at, lookup.ask(Pair { local, remote, label: shim.label }), shim));
            }
            None => others.push(at),
        }
    }
    for &(at, home, shim) in plain.items() {
        let Some((outer, behind)) = read(at) else { continue };
        let (local, remote) = outer.ends();
        let pair = Pair { local, remote, label: shim.label };
        match lookup.find_from(home, pair, Protocols::of(shim.carries), Some(port)) {
            Found::Tunnel(id) => {
                if shim.has_no_checksum && !needs_no_checksum(id, tables) {
                    continue;
                }
                let inner = behind.get(usize::from(shim.len)..).unwrap_or(&[]);
                insides.push((at, shim.len), id, shim.carries, inner, tables);
            }
            _ => go_on(at, outer, (sorted, odd), tables),
        }
    }
    insides.look_up(tables);
}

/// Sorts a packet that is nobody's tunnel's like any other.
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
