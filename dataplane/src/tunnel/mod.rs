//! Tunnels as the packet path sees them: prepared by the control side, read-only while a generation
//! of the tables lives.
//!
//! Each kind of encapsulation has a file with the same parts in the same order: header layout,
//! configuration to rewrite, patch, decap checks, tests. This file is the one list of kinds.

pub mod ecn;
pub mod ip_in_ipv4;
pub mod ip_in_ipv6;
pub mod lookup;
pub mod plain;
pub mod policy;
pub mod rewrite;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::counters::CounterSlot;
use crate::tables::NextHop;
use ecn::EcnEncap;
use lookup::Protocols;
use plain::{Facts, Plain};
use policy::{AddressSet, SourceFilter};
use rewrite::Rewrite;

/// The kinds of encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 or IPv6 directly in IPv4: modes `ipip` and `sit`.
    IpInIpv4,
    /// IPv4 or IPv6 directly in IPv6: modes `ipip6`, `ip6ip6` and `any`.
    IpInIpv6,
}

/// How the outer IPv4 header's DF bit is set, and what becomes of packets that don't fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DontFragment {
    /// Always set.
    Pmtudisc,
    /// As in the inner header.
    Inherit,
    /// Never set; packets that may not be fragmented and exceed the tunnel's MTU are refused.
    No,
}

/// What a tunnel is made from; strong types, everything resolved.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct TunnelSetup {
    /// How it encapsulates.
    pub kind: Kind,
    /// The outer source on encap. `None`: no route to the remote tells one.
    pub local: Option<IpAddr>,
    /// The peer; `None` for a tunnel that takes packets from anybody and can send none.
    pub remote: Option<IpAddr>,
    /// The inner protocols it carries.
    pub protocols: Protocols,
    /// Administratively up.
    pub up: bool,
    /// The outer TTL or hop limit; `None`: the inner one.
    pub ttl: Option<u8>,
    /// The least outer TTL that is accepted.
    pub min_outer_ttl: u8,
    /// The outer DSCP, 0–63; `None`: the inner one.
    pub dscp: Option<u8>,
    /// The inner DSCP is overwritten from the outer one on decap.
    pub copies_dscp: bool,
    /// The outer ECN field.
    pub ecn: EcnEncap,
    /// The outer DF bit.
    pub dont_fragment: DontFragment,
    /// IPv4 packets that don't fit are cut after encapsulation, not before.
    pub fragments_outer: bool,
    /// IPv6 in IPv4 with a fixed MTU and DF clear (RFC 4213 §3.2.1).
    pub static_mtu: bool,
    /// RFC 2473's limit in the outer header.
    pub encap_limit: Option<u8>,
    /// The outer flow label; `None`: a hash of the inner flow.
    pub flow_label: Option<u32>,
    /// The largest inner packet.
    pub mtu: u16,
    /// How the outer packet leaves this node.
    pub underlay: NextHop,
    /// The MTU of the port by which the outer packet leaves.
    pub underlay_mtu: u16,
    /// Source of errors that leave through this tunnel.
    pub source_ipv4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub source_ipv6: Option<Ipv6Addr>,
    /// A packet from this tunnel may be routed back into it.
    pub hairpin: bool,
    /// Multicast and broadcast may enter and leave.
    pub multicast: bool,
    /// Outer packets must come in where the route to their source goes out.
    pub outer_rpf: bool,
    /// Which inner sources are believed.
    pub inner_source: SourceFilter,
    /// Which inner destinations are allowed; `None`: all.
    pub inner_destination: Option<AddressSet>,
    /// Where its counters are.
    pub slot: CounterSlot,
    /// Where its latency histogram is, if it has one.
    pub latency: Option<u16>,
}

/// A tunnel, ready for packets: what was set up, and what follows from it. What plain packets need
/// is in the first two cache lines; the rest is behind a pointer, and shared between copies.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Tunnel {
    /// What plain packets need, in the fewest bytes.
    pub plain: Plain,
    /// The bytes in front of every packet.
    pub rewrite: Rewrite,
    /// Everything else.
    pub setup: Arc<TunnelSetup>,
}

const _: () = assert!(size_of::<Tunnel>() == 128);
// What IPv4 outside needs is in one cache line.
const _: () = assert!(core::mem::offset_of!(Tunnel, rewrite) + Rewrite::IPV4_END <= 64);

/// A tunnel that can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// An outer address is of the family that the kind does not have.
    #[error("the outer addresses are not of the family that this kind of tunnel has outside")]
    Family,
}

impl Tunnel {
    /// Prepares a tunnel.
    ///
    /// # Errors
    /// When an address does not fit the kind.
    pub fn new(setup: TunnelSetup) -> Result<Self, TunnelError> {
        let rewrite = match setup.kind {
            Kind::IpInIpv4 => ip_in_ipv4::rewrite(&setup)?,
            Kind::IpInIpv6 => ip_in_ipv6::rewrite(&setup)?,
        };
        let plain = Plain::new(&setup, rewrite.len());
        Ok(Self { plain, rewrite, setup: Arc::new(setup) })
    }

    /// The number of its own latency histogram, if it has one.
    #[inline]
    pub fn measured_as(&self) -> Option<u16> {
        if self.plain.facts.has(Facts::MEASURED) { self.setup.latency } else { None }
    }

    /// Our outer IPv4 address as a number to compare with; 0 when unset or of the other family.
    #[inline]
    pub fn local_ipv4(&self) -> u32 {
        if self.setup.kind == Kind::IpInIpv4 { self.rewrite.local_ipv4() } else { 0 }
    }

    /// The remote, likewise.
    #[inline]
    pub fn remote_ipv4(&self) -> u32 {
        if self.setup.kind == Kind::IpInIpv4 { self.rewrite.remote_ipv4() } else { 0 }
    }

    /// Our outer IPv6 address as a number to compare with; 0 when unset or of the other family.
    #[inline]
    pub fn local_ipv6(&self) -> u128 {
        if self.setup.kind == Kind::IpInIpv6 { self.rewrite.local_ipv6() } else { 0 }
    }

    /// The remote, likewise.
    #[inline]
    pub fn remote_ipv6(&self) -> u128 {
        if self.setup.kind == Kind::IpInIpv6 { self.rewrite.remote_ipv6() } else { 0 }
    }
}
