//! What a plain packet needs of a tunnel, in 40 bytes: the choices of its setup as masks and
//! numbers, and whether the fast path may take packets for it at all.
//!
//! Everything here follows from a [`TunnelSetup`]; nothing is decided here. A tunnel with rules that
//! the fast path does not know simply leaves a flag out, and the stages take its packets.

use super::ecn::{self, EcnEncap};
use super::lookup::Protocols;
use super::policy::SourceFilter;
use super::rewrite::TosAndFlags;
use super::shim::Kind;
use super::{MssClamp, TunnelSetup};
use crate::counters::CounterSlot;
use crate::tables::NextHop;
use crate::tables::neighbor::AdjacencyId;
use crate::tables::soft_state::TunnelPath;
use crate::wire::{Family, gre, ipv4, ipv6, protocol, udp};

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
    /// An inner IPv4 source outside the tunnel's [`SourceNet`] is believed when the route to it leads
    /// into the tunnel; otherwise the filter is to be asked.
    pub const ROUTED_SOURCE: Self = Self(16);
    /// It has a latency histogram of its own.
    pub const MEASURED: Self = Self(32);
    /// The outer header is IPv6.
    pub const IPV6_OUTSIDE: Self = Self(64);

    /// An inner IPv6 source is believed when it is in the tunnel's [`SourceNet`].
    pub const SOURCE_NET_IPV6: Self = Self(128);

    /// Packets that open TCP connections are not plain.
    pub const CLAMPS_MSS: Self = Self(256);

    /// Three bits that say what a plain packet has [behind](Behind) the outer header.
    const BEHIND: u16 = 7 << 9;

    /// What is behind the outer header begins with UDP that has a checksum.
    pub const UDP_CHECKSUM: Self = Self(4096);

    /// UDP that arrives in IPv6 needs no checksum.
    pub const NEEDS_NO_CHECKSUM: Self = Self(8192);

    /// Plain frames may be encapsulated by the fast path.
    pub const ENCAP_FRAMES: Self = Self(1 << 14);

    /// The same for those that arrive.
    pub const DECAP_FRAMES: Self = Self(1 << 15);

    /// Whether a bit of `other` is set.
    #[inline]
    pub const fn has_some(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is behind the outer header, to be compared with the numbers of [`Behind`].
    #[inline]
    pub const fn behind(self) -> u16 {
        self.0 & Self::BEHIND
    }

    const fn with(self, other: Self, is_so: bool) -> Self {
        if is_so { Self(self.0 | other.0) } else { self }
    }
}

/// What plain packets of a tunnel have behind the outer header: see [`Shim::plain`](super::shim::Shim::plain).
pub struct Behind;

impl Behind {
    /// The packet inside.
    pub const NOTHING: u16 = 0;
    /// Four bytes of GRE.
    pub const GRE: u16 = 1 << 9;
    /// The same with a key.
    pub const GRE_WITH_KEY: u16 = 2 << 9;
    /// UDP.
    pub const UDP: u16 = 3 << 9;
    /// UDP, and four bytes of GUE.
    pub const GUE: u16 = 4 << 9;
    /// UDP, and what makes it GRE in UDP.
    pub const GRE_IN_UDP: u16 = 5 << 9;

    /// What a tunnel has whose packets have `len` bytes there.
    fn of(setup: &TunnelSetup, len: usize) -> u16 {
        match (setup.shim.udp.is_some(), &setup.shim.kind) {
            _ if len == 0 => Self::NOTHING,
            (true, Kind::Gre(_)) => Self::GRE_IN_UDP,
            (true, _) if len == udp::HEADER_LEN => Self::UDP,
            (true, _) => Self::GUE,
            (false, _) if len == gre::HEADER_LEN => Self::GRE,
            (false, _) => Self::GRE_WITH_KEY,
        }
    }
}

/// A field of an outer header, made from that of the inner one: what is kept, and what is set.
#[derive(Clone, Copy, Debug)]
pub struct Mask<T> {
    keep: T,
    set: T,
}

impl Mask<u8> {
    /// The outer field.
    #[inline]
    pub const fn apply(self, inner: u8) -> u8 {
        inner & self.keep | self.set
    }
}

/// DSCP, ECN and flags of an outer header, made from those of the inner one.
#[derive(Clone, Copy, Debug)]
pub struct FieldMask {
    /// The bits of an inner IPv4 header that are kept. Of the byte between, of which nothing can be kept that is not
    /// set: whether DF is set around IPv6.
    keep: u32,
    set: TosAndFlags,
}

impl FieldMask {
    const DF_IPV6: u32 = 0x40 << 16;

    /// From the masks of the two fields, the latter as a little-endian word of what stands there, and whether DF is set
    /// around IPv6.
    const fn new(tos: Mask<u8>, fragment: Mask<u16>, sets_df_around_ipv6: bool) -> Self {
        let around_ipv6 = if sets_df_around_ipv6 { Self::DF_IPV6 } else { 0 };
        Self {
            keep: (tos.keep as u32) << 24 | around_ipv6 | fragment.keep as u32,
            set: TosAndFlags::new(tos.set, fragment.set),
        }
    }

    /// The fields of an IPv4 header around an IPv4 packet.
    #[inline]
    pub const fn around_ipv4(self, inner: TosAndFlags) -> TosAndFlags {
        inner.masked(self.keep, self.set)
    }

    /// The same around an IPv6 packet of this traffic class.
    #[inline]
    pub const fn around_ipv6(self, inner: u8) -> TosAndFlags {
        let fragment = if self.keep & Self::DF_IPV6 != 0 { DF } else { 0 };
        TosAndFlags::new(self.tos(inner), fragment)
    }

    /// DSCP and ECN of a header of either family.
    #[inline]
    pub const fn tos(self, inner: u8) -> u8 {
        inner & (self.keep >> 24) as u8 | self.set.tos()
    }
}

/// The inner sources of one family that a tunnel believes, where they are one prefix: which they are
/// where one route leads through it. `B` are the bits that count: all of IPv4, the first half of IPv6.
#[derive(Clone, Copy, Debug)]
pub struct SourceNet<B> {
    /// The prefix, as far as `mask` says.
    net: B,
    mask: B,
}

impl SourceNet<u32> {
    /// From a setup; nothing is in it where the sources are no such prefix.
    fn ipv4(setup: &TunnelSetup) -> Self {
        let net = || {
            let SourceFilter::Listed { sources, .. } = &setup.inner_source else { return None };
            let (first, last) = sources.ipv4.sole()?;
            is_prefix(first.into(), last.into())
                .then_some(Self { net: first, mask: !(first ^ last) })
        };
        net().unwrap_or(Self { net: 1, mask: 0 })
    }

    /// Whether an address is in it.
    #[inline]
    pub const fn contains(self, address: u32) -> bool {
        address & self.mask == self.net
    }
}

impl SourceNet<u64> {
    /// From a setup; nothing is in it where the sources are no such prefix.
    pub(super) fn ipv6(setup: &TunnelSetup) -> Self {
        source_net_ipv6(setup).unwrap_or(Self { net: 1, mask: 0 })
    }

    /// Whether an address is in it.
    #[inline]
    pub const fn contains(self, address: u128) -> bool {
        (address >> 64) as u64 & self.mask == self.net
    }
}

fn source_net_ipv6(setup: &TunnelSetup) -> Option<SourceNet<u64>> {
    let SourceFilter::Listed { sources, .. } = &setup.inner_source else { return None };
    let (first, last) = sources.ipv6.sole()?;
    let differing = first ^ last;
    if !is_prefix(first, last) || differing < u128::from(u64::MAX) {
        return None;
    }
    let half = |bits: u128| u64::try_from(bits >> 64).ok();
    Some(SourceNet { net: half(first)?, mask: !half(differing)? })
}

/// Whether a range of addresses is a prefix: the bits in which its ends differ are the last ones,
/// and all of them.
const fn is_prefix(first: u128, last: u128) -> bool {
    let differing = first ^ last;
    differing & differing.wrapping_add(1) == 0 && first & differing == 0
}

/// The choices of a tunnel as masks and numbers.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Plain {
    /// See [`Facts`].
    pub facts: Facts,
    /// The largest inner packet that needs no cutting anywhere, in bytes; in a frame, that behind its header.
    pub mtu: u16,
    /// DSCP and ECN, wherever a fact says that the fast path may encapsulate, and DF.
    pub fields: FieldMask,
    /// TTL or hop limit.
    pub ttl: Mask<u8>,
    /// The least outer TTL that is accepted.
    pub min_outer_ttl: u8,
    /// For how many seconds its packets in pieces wait, whoever they are from; 0: the setup says whether they do.
    pub piece_seconds: u8,
    /// Inner IPv4 sources that are believed if nobody else's.
    pub source_net_ipv4: SourceNet<u32>,
    /// Where its counters are.
    pub slot: CounterSlot,
    /// Towards whom the outer packet leaves, where a fact says that the fast path may encapsulate.
    pub underlay: AdjacencyId,
    /// The outer flow label; [`HASHED_LABEL`]: a hash of the inner flow.
    flow_label: u32,
    /// The path to the remote.
    pub path: TunnelPath,
}

const HASHED_LABEL: u32 = u32::MAX;

const NO_ADJACENCY: AdjacencyId = AdjacencyId(u32::MAX);

/// DF as it stands on the wire, as a little-endian word.
const DF: u16 = ipv4::DONT_FRAGMENT.swap_bytes();

impl Plain {
    /// From a setup and the bytes that it puts in front.
    pub(super) fn new(setup: &TunnelSetup, overhead: usize) -> Self {
        let underlay = match setup.underlay {
            NextHop::Via(adjacency) => adjacency,
            _ => NO_ADJACENCY,
        };
        let front_len = u16::try_from(overhead).unwrap_or(u16::MAX);
        let front_len = front_len.saturating_add(setup.link_header_len());
        //= RFC 6040 §4.1: ECN comes from the inner packet, never from a configured DSCP byte.
        let keep_ecn = if setup.ecn == EcnEncap::Normal { ecn::MASK } else { 0 };
        let keep_dscp = if setup.dscp.is_none() { !ecn::MASK } else { 0 };
        let dont_fragment =
            |inner| setup.size_limits(front_len, inner, setup.way(None)).dont_fragment;
        let (sets_df, copies_df) = (dont_fragment(Some(false)), dont_fragment(Some(true)));
        Self {
            facts: facts(setup, underlay, overhead),
            mtu: setup.mtu.min(setup.underlay_mtu.saturating_sub(front_len)),
            fields: FieldMask::new(
                Mask { keep: keep_dscp | keep_ecn, set: setup.dscp.map_or(0, |dscp| dscp << 2) },
                Mask { keep: if copies_df { DF } else { 0 }, set: if sets_df { DF } else { 0 } },
                dont_fragment(None),
            ),
            ttl: Mask {
                keep: if setup.ttl.is_none() { u8::MAX } else { 0 },
                set: setup.ttl.unwrap_or(0),
            },
            min_outer_ttl: setup.min_outer_ttl,
            piece_seconds: match setup.peers {
                None => setup.reassembly_seconds.unwrap_or(0),
                Some(_) => 0,
            },
            source_net_ipv4: SourceNet::ipv4(setup),
            slot: setup.slot,
            underlay,
            flow_label: setup.flow_label.unwrap_or(HASHED_LABEL),
            path: setup.path,
        }
    }

    /// The outer flow label; `hash` is only asked for where it counts.
    #[inline]
    pub fn outer_flow_label(&self, hash: impl FnOnce() -> u32) -> u32 {
        if self.flow_label == HASHED_LABEL { hash() } else { self.flow_label }
    }
}

fn facts(setup: &TunnelSetup, underlay: AdjacencyId, overhead: usize) -> Facts {
    let carries = |ip_protocol| setup.protocols.overlaps(Protocols::of(ip_protocol));
    let shim_len = match setup.shim.plain() {
        _ if setup.shim.is_none() => Some(0),
        // The template has room for one or the other.
        Some((_, len)) if setup.encap_limit.is_none() => Some(len),
        _ => None,
    };
    // The stages copy what a mirror session wants.
    let is_theirs = setup.up && !setup.is_mirrored;
    let has_ends = is_theirs && setup.local.is_some() && setup.remote.is_some();
    // An encapsulation limit makes headers of their own, RFC 3168's ECN is no mask, and of a pool one
    // source is to be chosen.
    let may_send = has_ends
        && setup.more_locals.is_empty()
        && setup.mpls.push.is_none()
        && underlay != NO_ADJACENCY
        && setup.ecn != EcnEncap::Rfc3168;
    let sends =
        may_send && shim_len.is_some() && overhead <= ipv6::HEADER_LEN + shim_len.unwrap_or(0);
    let sends_frames =
        may_send && setup.encap_limit.is_none() && setup.shim.plain_of_frames().is_some();
    let has_one_remote = setup.frames.as_ref().is_some_and(|rules| rules.remotes.is_none());
    let has_frames = has_one_remote && setup.protocols.overlaps(Protocols::ETHERNET);
    // A packet whose addresses find a tunnel with both ends is to an address of the tunnel, so nobody
    // needs to ask whether that is ours: unless the tunnel is looked up by its remote alone.
    let receives = setup.shim.takes_plain()
        && has_ends
        && !setup.takes_any_local
        && !setup.outer_rpf
        && !setup.copies_dscp
        && setup.inner_destination.is_none();
    let routed = match &setup.inner_source {
        SourceFilter::Strict => true,
        SourceFilter::Listed { routed_is_listed, .. } => *routed_is_listed,
        SourceFilter::Off | SourceFilter::Loose => false,
    };
    let udp = setup.shim.udp.as_ref();
    Facts(Behind::of(setup, shim_len.unwrap_or(0)))
        .with(Facts::ENCAP_IPV4, sends && carries(protocol::IPV4))
        .with(Facts::ENCAP_IPV6, sends && carries(protocol::IPV6))
        .with(Facts::DECAP_IPV4, receives && carries(protocol::IPV4))
        .with(Facts::DECAP_IPV6, receives && carries(protocol::IPV6))
        .with(Facts::ENCAP_FRAMES, sends_frames && has_frames)
        .with(Facts::DECAP_FRAMES, receives && has_frames)
        .with(Facts::ROUTED_SOURCE, routed)
        .with(Facts::SOURCE_NET_IPV6, source_net_ipv6(setup).is_some())
        .with(Facts::MEASURED, setup.latency.is_some())
        .with(Facts::UDP_CHECKSUM, udp.is_some_and(|udp| udp.has_checksum))
        .with(Facts::NEEDS_NO_CHECKSUM, udp.is_some_and(|udp| udp.needs_no_checksum))
        .with(Facts::CLAMPS_MSS, setup.mss != MssClamp::Off)
        .with(Facts::IPV6_OUTSIDE, setup.outer == Family::Ipv6)
}
