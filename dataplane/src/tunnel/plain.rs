//! What a plain packet needs of a tunnel, in 32 bytes: the choices of its setup as masks and
//! numbers, and whether the fast path may take packets for it at all.
//!
//! Everything here follows from a [`TunnelSetup`]; nothing is decided here. A tunnel with rules that
//! the fast path does not know simply leaves a flag out, and the stages take its packets.

use super::ecn;
use super::ip_in_ipv4::dont_fragment;
use super::lookup::Protocols;
use super::policy::SourceFilter;
use super::{Kind, TunnelSetup};
use crate::counters::CounterSlot;
use crate::tables::NextHop;
use crate::tables::neighbor::AdjacencyId;
use crate::wire::{ipv6, protocol};

/// One-bit facts about a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts(u16);

impl Facts {
    /// Plain IPv4 packets may be encapsulated by the fast path.
    pub const ENCAP_IPV4: Self = Self(1);
    /// The same for IPv6 packets.
    pub const ENCAP_IPV6: Self = Self(2);
    /// Plain IPv4 packets may be decapsulated by the fast path.
    pub const DECAP_IPV4: Self = Self(4);
    /// The same for IPv6 packets.
    pub const DECAP_IPV6: Self = Self(8);
    /// An inner source is believed when the route to it leads into the tunnel; otherwise the filter
    /// is to be asked.
    pub const ROUTED_SOURCE: Self = Self(16);
    /// The outer DF bit around IPv4 is set.
    pub const SET_DF: Self = Self(32);
    /// The outer DF bit around IPv4 is that of the inner header.
    pub const COPY_DF: Self = Self(64);
    /// The outer DF bit around IPv6 is set.
    pub const SET_DF_IPV6: Self = Self(128);
    /// It has a latency histogram of its own.
    pub const MEASURED: Self = Self(256);

    /// The outer header is IPv6.
    pub const IPV6_OUTSIDE: Self = Self(512);

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn with(self, other: Self, is_so: bool) -> Self {
        if is_so { Self(self.0 | other.0) } else { self }
    }
}

/// The choices of a tunnel as masks and numbers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Plain {
    /// See [`Facts`].
    pub facts: Facts,
    /// The largest inner packet that needs no cutting anywhere, in bytes.
    pub mtu: u16,
    /// The outer ECN field for each inner one, two bits each.
    ecn: u8,
    dscp_mask: u8,
    dscp: u8,
    ttl_mask: u8,
    ttl: u8,
    /// The least outer TTL that is accepted.
    pub min_outer_ttl: u8,
    /// Where its counters are.
    pub slot: CounterSlot,
    /// Towards whom the outer packet leaves, where a fact says that the fast path may encapsulate.
    pub underlay: AdjacencyId,
    /// The outer flow label; [`HASHED_LABEL`]: a hash of the inner flow.
    flow_label: u32,
}

const HASHED_LABEL: u32 = u32::MAX;

const NO_ADJACENCY: AdjacencyId = AdjacencyId(u32::MAX);

impl Plain {
    /// From a setup and the length of its rewrite.
    pub(super) fn new(setup: &TunnelSetup, rewrite_len: usize) -> Self {
        let underlay = match setup.underlay {
            NextHop::Via(adjacency) => adjacency,
            _ => NO_ADJACENCY,
        };
        let overhead = u16::try_from(rewrite_len).unwrap_or(u16::MAX);
        let (ttl, ttl_mask) = setup.ttl.map_or((0, u8::MAX), |ttl| (ttl, 0));
        let (dscp, dscp_mask) = setup.dscp.map_or((0, !ecn::MASK), |dscp| (dscp << 2, 0));
        Self {
            facts: facts(setup, underlay, rewrite_len),
            mtu: setup.mtu.min(setup.underlay_mtu.saturating_sub(overhead)),
            ecn: (0..4).zip(setup.ecn.table()).fold(0, |all, (at, field)| all | field << (2 * at)),
            dscp_mask,
            dscp,
            ttl_mask,
            ttl,
            min_outer_ttl: setup.min_outer_ttl,
            slot: setup.slot,
            underlay,
            flow_label: setup.flow_label.unwrap_or(HASHED_LABEL),
        }
    }

    /// The outer DSCP and ECN around a packet with this byte.
    #[inline]
    pub const fn outer_tos(&self, inner: u8) -> u8 {
        //= RFC 6040 §4.1: ECN comes from the inner packet, never from a configured DSCP byte.
        inner & self.dscp_mask | self.dscp | self.ecn >> (2 * (inner & ecn::MASK)) & ecn::MASK
    }

    /// The outer TTL or hop limit around a packet with this one.
    #[inline]
    pub const fn outer_ttl(&self, inner: u8) -> u8 {
        inner & self.ttl_mask | self.ttl
    }

    /// The outer DF bit. `inner`: of an IPv4 packet; `None` for IPv6.
    #[inline]
    pub const fn outer_dont_fragment(&self, inner: Option<bool>) -> bool {
        match inner {
            Some(inner) => {
                self.facts.has(Facts::SET_DF) || (inner && self.facts.has(Facts::COPY_DF))
            }
            None => self.facts.has(Facts::SET_DF_IPV6),
        }
    }

    /// The outer flow label; `hash` is only asked for where it counts.
    #[inline]
    pub fn outer_flow_label(&self, hash: impl FnOnce() -> u32) -> u32 {
        if self.flow_label == HASHED_LABEL { hash() } else { self.flow_label }
    }
}

fn facts(setup: &TunnelSetup, underlay: AdjacencyId, rewrite_len: usize) -> Facts {
    let carries = |ip_protocol| setup.protocols.overlaps(Protocols::of(ip_protocol));
    let has_ends = setup.up && setup.local.is_some() && setup.remote.is_some();
    // An encapsulation limit makes headers of their own.
    let sends = has_ends && underlay != NO_ADJACENCY && rewrite_len <= ipv6::HEADER_LEN;
    let receives = setup.up
        && setup.remote.is_some()
        && !setup.outer_rpf
        && !setup.copies_dscp
        && setup.inner_destination.is_none();
    let routed = match &setup.inner_source {
        SourceFilter::Strict => true,
        SourceFilter::Listed { routed_is_listed, .. } => *routed_is_listed,
        SourceFilter::Off | SourceFilter::Loose => false,
    };
    Facts(0)
        .with(Facts::ENCAP_IPV4, sends && carries(protocol::IPV4))
        .with(Facts::ENCAP_IPV6, sends && carries(protocol::IPV6))
        .with(Facts::DECAP_IPV4, receives && carries(protocol::IPV4))
        .with(Facts::DECAP_IPV6, receives && carries(protocol::IPV6))
        .with(Facts::ROUTED_SOURCE, routed)
        .with(Facts::SET_DF, dont_fragment(setup, Some(false)))
        .with(Facts::COPY_DF, dont_fragment(setup, Some(true)))
        .with(Facts::SET_DF_IPV6, dont_fragment(setup, None))
        .with(Facts::MEASURED, setup.latency.is_some())
        .with(Facts::IPV6_OUTSIDE, setup.kind == Kind::IpInIpv6)
}
