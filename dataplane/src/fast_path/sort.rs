//! The first loop: headers are checked, destinations are looked up, and what is plain is sorted by
//! what is to be done with it.

use super::FastPath;
use super::header::{self, Carried, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::list::List;
use super::shim::TunnelProtocols;
use crate::fib::{LastFound, NextHopId};
use crate::interface::TunnelId;
use crate::packet::{Flags, Packet};
use crate::tables::Tables;
use crate::wire::{ethernet, protocol};

/// Packets of one family, by their places in the burst, and what is to be done with them.
pub(super) struct Sorted {
    /// Those that go to a host.
    pub(super) forwards: List<(u16, NextHopId)>,
    /// Those that go into a tunnel.
    pub(super) entries: List<(u16, TunnelId)>,
}

impl Default for Sorted {
    fn default() -> Self {
        Self { forwards: List::new((0, NextHopId::NONE)), entries: List::new((0, TunnelId(0))) }
    }
}

impl Sorted {
    #[inline]
    fn clear(&mut self) {
        self.forwards.clear();
        self.entries.clear();
    }

    /// Sorts a packet by its next hop, and asks for the tunnel that it goes into.
    #[inline]
    pub(super) fn push(&mut self, at: u16, next_hop: NextHopId, tables: &Tables) {
        if let Some(id) = next_hop.as_tunnel() {
            if let Some(tunnel) = tables.tunnel(id) {
                tunnel.prefetch();
                self.entries.push((at, id));
            }
        } else {
            self.forwards.push((at, next_hop));
        }
    }
}

impl FastPath {
    /// Sorts the plain packets of a burst. `own`: see [`header::mac_word`].
    #[inline(never)]
    pub(super) fn sort(&mut self, packets: &[Packet], own: u64, tables: &Tables) {
        prefetch_routes(packets, tables);
        self.sort_by_headers(packets, own, tables);
        self.sort_ipv6(tables);
    }

    #[inline]
    fn sort_by_headers(&mut self, packets: &[Packet], own: u64, tables: &Tables) {
        let Self { ipv4, arrivals4, arrivals6, transits6, destinations6, .. } = self;
        let Self { odd4, odd6, pieces4, pieces6, shims4, shims6, .. } = self;
        let (tunnels4, tunnels6) = (TunnelProtocols::ipv4(tables), TunnelProtocols::ipv6(tables));
        let mut last = LastFound::default();
        for (at, packet) in (0_u16..).zip(packets) {
            let frame = packet.data();
            let Some(start) = frame.first_chunk::<IPV4_END>() else { continue };
            match header::carried(start, own) {
                Carried::Ipv4 => {
                    let is_sound = !packet.meta.flags.has(Flags::BAD_CHECKSUM);
                    let plain = PlainIpv4::of(header::behind_ethernet(start));
                    if !(is_sound && plain.is_sound_of_kind(frame.len() - IPV4_END)) {
                        continue;
                    }
                    let (carried, is_fragment) = (plain.protocol(), plain.is_fragment());
                    if tunnels4.may_have::<IPV4_END>(carried, is_fragment, frame, tables) {
                        if header::is_tunnels(carried) {
                            let (local, remote) = (plain.destination(), plain.source());
                            arrivals4.push((at, tables.tunnels_by_ipv4.ask(local, remote)));
                        } else {
                            shims4.push(at, carried);
                        }
                    } else if is_fragment && header::is_tunnels(carried) {
                        pieces4.push(at);
                    } else if may_pass_ipv4(plain, tables) {
                        let next_hop =
                            tables.fib4.lookup_mostly_short(&mut last, plain.destination());
                        ipv4.push(at, next_hop, tables);
                    } else {
                        odd4.push(at);
                    }
                }
                Carried::Ipv6 => {
                    let room = frame.len() - ethernet::HEADER_LEN;
                    let Some(start) = frame.first_chunk::<IPV6_END>() else { continue };
                    let plain = PlainIpv6::of(header::behind_ethernet(start));
                    if !plain.is_sound(room) {
                        if plain.next_header() == protocol::FRAGMENT {
                            pieces6.push(at);
                        }
                        continue;
                    }
                    let carried = plain.next_header();
                    if tunnels6.may_have::<IPV6_END>(carried, false, frame, tables) {
                        if header::is_tunnels(carried) {
                            let (local, remote) = (plain.destination(), plain.source());
                            arrivals6.push((at, tables.tunnels_by_ipv6.ask(local, remote)));
                        } else {
                            shims6.push(at, carried);
                        }
                    } else if may_pass_ipv6(plain, tables) {
                        transits6.push(at);
                        destinations6.push(plain.destination());
                    } else {
                        odd6.push(at);
                    }
                }
                Carried::Other => {}
            }
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.ipv4.clear();
        self.ipv6.clear();
        self.odd4.clear();
        self.odd6.clear();
        self.pieces4.clear();
        self.pieces6.clear();
        self.arrivals4.clear();
        self.arrivals6.clear();
        self.shims4.clear();
        self.shims6.clear();
        self.transits6.clear();
        self.destinations6.clear();
    }

    /// Looks up the destinations of IPv6 together, and sorts by them.
    fn sort_ipv6(&mut self, tables: &Tables) {
        let Self { ipv6, transits6, destinations6, .. } = self;
        if transits6.is_empty() {
            return;
        }
        let next_hops = destinations6.look_up(&tables.fib6);
        for (&at, &next_hop) in transits6.items().iter().zip(next_hops) {
            ipv6.push(at, next_hop, tables);
        }
    }
}

/// Asks for the routes of a burst, whatever its packets are, where there are many.
#[inline]
fn prefetch_routes(packets: &[Packet], tables: &Tables) {
    if !tables.fib4.is_large() {
        return;
    }
    for packet in packets {
        if let Some(start) = packet.data().first_chunk::<IPV4_END>() {
            let plain = PlainIpv4::of(header::behind_ethernet(start));
            tables.fib4.prefetch(plain.destination());
        }
    }
}

/// Whether a packet from elsewhere may be forwarded, for all that its header says.
#[inline]
pub(super) fn may_pass_ipv4(plain: PlainIpv4, tables: &Tables) -> bool {
    plain.may_pass() && !tables.local.is_no_source_ipv4(plain.source())
}

/// The same for IPv6.
#[inline]
pub(super) fn may_pass_ipv6(plain: PlainIpv6, tables: &Tables) -> bool {
    plain.may_pass() && !tables.local.contains_ipv6(plain.source())
}
