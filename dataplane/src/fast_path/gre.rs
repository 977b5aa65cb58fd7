//! Packets with a plain GRE header behind the outer one: without checksum and number. Whose they are, and
//! where the addresses inside lead; what is inside is seen to as where nothing is in front of it.

use super::FastPath;
use super::arrive::Insides;
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::leave::{leave_ipv4, leave_ipv6};
use super::link::LastLink;
use super::list::List;
use super::sort::{Sorted, may_pass_ipv4, may_pass_ipv6};
use crate::fib::NextHopId;
use crate::interface::PortId;
use crate::packet::Packet;
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{
    Class, Found, Home, Label, LabelledTunnels, OuterAddress, Pair, Protocols,
};
use crate::wire::ethernet::ether_type;
use crate::wire::{gre, protocol, read_u32};

/// A plain GRE header.
#[derive(Clone, Copy)]
pub(super) struct PlainGre {
    len: u16,
    key: Option<u32>,
    /// The IP protocol of what follows.
    carries: u8,
}

impl PlainGre {
    /// Reads the header at the start of `bytes`, if it is plain and carries IP.
    #[inline]
    fn of(bytes: &[u8]) -> Option<Self> {
        const NOTHING: u16 = 0;
        let (flags, protocol_type) = gre::first_words(bytes);
        let carries = match protocol_type {
            ether_type::IPV4 => protocol::IPV4,
            ether_type::IPV6 => protocol::IPV6,
            _ => return None,
        };
        match flags {
            NOTHING => Some(Self { len: 4, key: None, carries }),
            gre::KEY => Some(Self { len: 8, key: Some(read_u32(bytes, 4)), carries }),
            _ => None,
        }
    }

    #[inline]
    fn label(self) -> Label {
        Label::new(Class::Gre, 0, self.key)
    }
}

/// Room for the packets of one family outside.
pub(super) struct GreArrivals {
    /// Packets with something of GRE, by their places in the burst.
    pub(super) all: List<u16>,
    plain: List<(u16, Home, PlainGre)>,
}

impl Default for GreArrivals {
    fn default() -> Self {
        let nothing = PlainGre { len: 0, key: None, carries: 0 };
        Self { all: List::new(0), plain: List::new((0, Home::default(), nothing)) }
    }
}

/// What differs by the family outside.
trait Outside: Copy {
    type Address: OuterAddress;

    /// The outer header of a frame, and what is behind it.
    fn read(frame: &[u8]) -> Option<(Self, &[u8])>;

    /// Its addresses, ours first.
    fn ends(self) -> (Self::Address, Self::Address);

    fn lookup(tables: &Tables) -> &LabelledTunnels<Self::Address>;

    /// Where it goes if it is no tunnel's; `None`: nowhere.
    fn passes(self, tables: &Tables) -> Option<NextHopId>;
}

impl Outside for PlainIpv4 {
    type Address = u32;

    #[inline]
    fn read(frame: &[u8]) -> Option<(Self, &[u8])> {
        let start = frame.first_chunk::<IPV4_END>()?;
        Some((Self::of(header::behind_ethernet(start)), frame.get(IPV4_END..)?))
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

    #[inline]
    fn read(frame: &[u8]) -> Option<(Self, &[u8])> {
        let start = frame.first_chunk::<IPV6_END>()?;
        Some((Self::of(header::behind_ethernet(start)), frame.get(IPV6_END..)?))
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
    /// Sees to GRE packets. What is not plain, or no tunnel's, is sorted like any other packet.
    pub(super) fn arrive_in_gre(
        &mut self,
        packets: &mut [Packet],
        port: PortId,
        last: &mut LastLink,
        round: &mut Round<'_>,
    ) {
        let Self { ipv4, ipv6, gre4, gre6, odd4, odd6, insides, outcomes, .. } = self;
        if !gre4.all.is_empty() {
            insides.clear();
            arrive::<PlainIpv4>(packets, port, gre4, (ipv4, odd4), insides, round.tables);
            leave_ipv4::<IPV4_END, true>((packets, outcomes), insides, last, round);
            leave_ipv6::<IPV4_END, true>((packets, outcomes), insides, last, round);
        }
        if !gre6.all.is_empty() {
            insides.clear();
            arrive::<PlainIpv6>(packets, port, gre6, (ipv6, odd6), insides, round.tables);
            leave_ipv4::<IPV6_END, true>((packets, outcomes), insides, last, round);
            leave_ipv6::<IPV6_END, true>((packets, outcomes), insides, last, round);
        }
    }
}

/// Finds the tunnels of one family outside.
#[inline]
fn arrive<F: Outside>(
    packets: &[Packet],
    port: PortId,
    arrivals: &mut GreArrivals,
    (sorted, odd): (&mut Sorted, &mut List<u16>),
    insides: &mut Insides,
    tables: &Tables,
) {
    let lookup = F::lookup(tables);
    let GreArrivals { all, plain } = arrivals;
    plain.clear();
    let read = |at: u16| F::read(packets.get(usize::from(at))?.data());
    let mut go_on = |at: u16, outer: F| match outer.passes(tables) {
        Some(next_hop) => sorted.push(at, next_hop, tables),
        None => odd.push(at),
    };
    for &at in all.items() {
        let Some((outer, behind)) = read(at) else { continue };
        match PlainGre::of(behind) {
            Some(gre) => {
                let (local, remote) = outer.ends();
                let home = lookup.ask(Pair { local, remote, label: gre.label() });
                plain.push((at, home, gre));
            }
            None => go_on(at, outer),
        }
    }
    for &(at, home, gre) in plain.items() {
        let Some((outer, behind)) = read(at) else { continue };
        let (local, remote) = outer.ends();
        let pair = Pair { local, remote, label: gre.label() };
        match lookup.find_from(home, pair, Protocols::of(gre.carries), Some(port)) {
            Found::Tunnel(id) => {
                let inner = behind.get(usize::from(gre.len)..).unwrap_or(&[]);
                insides.push((at, gre.len), id, gre.carries, inner, tables);
            }
            _ => go_on(at, outer),
        }
    }
    insides.look_up(tables);
}
