//! Packets with a plain GRE header behind the outer one: without checksum and number. Whose they are, and
//! where the addresses inside lead; what is inside is seen to as where nothing is in front of it.

use super::FastPath;
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::leave::{leave_ipv4, leave_ipv6};
use super::link::LastLink;
use super::list::List;
use super::sort::{may_pass_ipv4, may_pass_ipv6};
use crate::interface::PortId;
use crate::packet::Packet;
use crate::stage::Round;
use crate::tunnel::lookup::{Class, Found, Home, Label, Pair, Protocols};
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

impl FastPath {
    /// Sees to GRE packets with IPv4 outside. What is not plain, or no tunnel's, is sorted like any other packet.
    pub(super) fn arrive_in_gre_ipv4(
        &mut self,
        packets: &mut [Packet],
        port: PortId,
        last: &mut LastLink,
        round: &mut Round<'_>,
    ) {
        let Self { ipv4, gre4: GreArrivals { all, plain }, odd4, insides, outcomes, .. } = self;
        let tables = round.tables;
        let lookup = &tables.labelled_by_ipv4;
        insides.clear();
        plain.clear();
        let outer_of = |at: u16| {
            let frame = packets.get(usize::from(at))?.data();
            let outer = PlainIpv4::of(header::behind_ethernet(frame.first_chunk::<IPV4_END>()?));
            Some((outer, frame.get(IPV4_END..)?))
        };
        let mut go_on = |at: u16, outer: PlainIpv4| {
            if may_pass_ipv4(outer, tables) {
                ipv4.push(at, tables.fib4.lookup(outer.destination()), tables);
            } else {
                odd4.push(at);
            }
        };
        for &at in all.items() {
            let Some((outer, behind)) = outer_of(at) else { continue };
            match PlainGre::of(behind) {
                Some(gre) => {
                    let (local, remote) = (outer.destination(), outer.source());
                    let home = lookup.ask(Pair { local, remote, label: gre.label() });
                    plain.push((at, home, gre));
                }
                None => go_on(at, outer),
            }
        }
        for &(at, home, gre) in plain.items() {
            let Some((outer, behind)) = outer_of(at) else { continue };
            let (local, remote) = (outer.destination(), outer.source());
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
        leave_ipv4::<IPV4_END, true>((packets, outcomes), insides, last, round);
        leave_ipv6::<IPV4_END, true>((packets, outcomes), insides, last, round);
    }

    /// The same with IPv6 outside.
    pub(super) fn arrive_in_gre_ipv6(
        &mut self,
        packets: &mut [Packet],
        port: PortId,
        last: &mut LastLink,
        round: &mut Round<'_>,
    ) {
        let Self { ipv6, gre6: GreArrivals { all, plain }, odd6, insides, outcomes, .. } = self;
        let tables = round.tables;
        let lookup = &tables.labelled_by_ipv6;
        insides.clear();
        plain.clear();
        let outer_of = |at: u16| {
            let frame = packets.get(usize::from(at))?.data();
            let outer = PlainIpv6::of(header::behind_ethernet(frame.first_chunk::<IPV6_END>()?));
            Some((outer, frame.get(IPV6_END..)?))
        };
        let mut go_on = |at: u16, outer: PlainIpv6| {
            if may_pass_ipv6(outer, tables) {
                ipv6.push(at, tables.fib6.lookup(outer.destination()), tables);
            } else {
                odd6.push(at);
            }
        };
        for &at in all.items() {
            let Some((outer, behind)) = outer_of(at) else { continue };
            match PlainGre::of(behind) {
                Some(gre) => {
                    let (local, remote) = (outer.destination(), outer.source());
                    let home = lookup.ask(Pair { local, remote, label: gre.label() });
                    plain.push((at, home, gre));
                }
                None => go_on(at, outer),
            }
        }
        for &(at, home, gre) in plain.items() {
            let Some((outer, behind)) = outer_of(at) else { continue };
            let (local, remote) = (outer.destination(), outer.source());
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
        leave_ipv4::<IPV6_END, true>((packets, outcomes), insides, last, round);
        leave_ipv6::<IPV6_END, true>((packets, outcomes), insides, last, round);
    }
}
