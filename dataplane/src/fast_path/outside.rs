//! What differs by the family of an outer header that has more than the packet inside behind it. The loops of `shim.rs` and
//! `leave_frames.rs` are made for each.

use super::ends::{is_from_host, is_from_host_ipv4};
use super::header::{self, IPV4_END, IPV6_END, PlainIpv4, PlainIpv6};
use super::sort::{may_pass_ipv4, may_pass_ipv6};
use crate::fib::NextHopId;
use crate::stage::Round;
use crate::tables::Tables;
use crate::tunnel::lookup::{Label, LabelledTunnels, OuterAddress, Pair, TunnelLookup};
use crate::wire::ipv4;

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

    /// The same with a label.
    #[inline]
    fn pair(self, label: Label) -> Pair<Self::Address, Label> {
        let (local, remote) = self.ends();
        Pair { local, remote, label }
    }

    fn lookup(tables: &Tables) -> &LabelledTunnels<Self::Address>;

    /// The tunnels with IP directly in IP.
    fn bare(tables: &Tables) -> &TunnelLookup<Self::Address>;

    /// Whether it is from a host elsewhere.
    fn is_from_host(self, round: &Round<'_>) -> bool;

    /// Whether its destination is ours.
    fn is_to_us(self, tables: &Tables) -> bool;

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

    #[inline]
    fn bare(tables: &Tables) -> &TunnelLookup<u32> {
        &tables.tunnels_by_ipv4
    }

    #[inline]
    fn is_from_host(self, round: &Round<'_>) -> bool {
        is_from_host_ipv4(self, round)
    }

    #[inline]
    fn is_to_us(self, tables: &Tables) -> bool {
        tables.fib4.lookup(self.destination()).is_local()
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

    #[inline]
    fn bare(tables: &Tables) -> &TunnelLookup<u128> {
        &tables.tunnels_by_ipv6
    }

    #[inline]
    fn is_from_host(self, round: &Round<'_>) -> bool {
        is_from_host(self, round)
    }

    #[inline]
    fn is_to_us(self, tables: &Tables) -> bool {
        tables.fib6.lookup(self.destination()).is_local()
    }

    fn passes(self, tables: &Tables) -> Option<NextHopId> {
        may_pass_ipv6(self, tables).then(|| tables.fib6.lookup(self.destination()))
    }
}
