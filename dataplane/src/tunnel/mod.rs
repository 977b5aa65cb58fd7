//! Tunnels as the packet path sees them: prepared by the control side, read-only while a generation
//! of the tables lives.
//!
//! Each kind of encapsulation has a file with the same parts in the same order: header layout,
//! configuration, writing, reading and judging, tests. `shim` is the one list of kinds.

pub mod ecn;
pub mod erspan;
pub mod frames;
mod geneve;
pub mod gre;
pub(crate) mod gue;
pub mod lookup;
mod minimal;
pub mod mpls;
mod outer;
pub mod peers;
pub mod plain;
pub mod policy;
pub mod remotes;
pub mod rewrite;
pub mod sequence;
pub mod shim;
pub mod size;
pub mod source_port;
pub mod stations;
pub mod udp;
pub mod vxlan;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::counters::CounterSlot;
use crate::packet::prefetch;
use crate::reassembly;
use crate::tables::NextHop;
use crate::tables::labels::Labels;
use crate::tables::soft_state::TunnelPath;
use crate::wire::{Family, ethernet, ipv4, ipv6, protocol};
use ecn::EcnEncap;
use frames::FrameRules;
use lookup::Protocols;
use mpls::Mpls;
use peers::Peers;
use plain::{Facts, Plain, SourceNet};
use policy::{AddressSet, SourceFilter};
use remotes::Remotes;
use rewrite::Rewrite;
use shim::Shim;

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

/// What is done about TCP connections that open through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MssClamp {
    /// Nothing.
    Off,
    /// The segment size that an end says is lowered to what fits.
    Lower,
    /// Also, who says none is made to say one.
    LowerOrInsert,
}

/// What a tunnel is made from; strong types, everything resolved.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct TunnelSetup {
    /// The family of the outer header.
    pub outer: Family,
    /// What stands between that and the packet inside.
    pub shim: Shim,
    /// Labels, where it carries MPLS.
    pub mpls: Mpls,
    /// The outer source on encap. `None`: no route to the remote tells one.
    pub local: Option<IpAddr>,
    /// More of them: with `local` they are a pool, and the inner flow chooses among them.
    pub more_locals: Box<[IpAddr]>,
    /// What is sent to any address of ours may be the tunnel's, not only what is sent to those.
    pub takes_any_local: bool,
    /// The peer; `None` for a tunnel that takes packets from anybody and can send none, for one whose packets
    /// say where they go, and for one of frames with several remotes.
    pub remote: Option<IpAddr>,
    /// Where packets go that say so themselves.
    pub peers: Option<Box<Peers>>,
    /// The inner protocols it carries.
    pub protocols: Protocols,
    /// What it has beyond others, if it carries frames.
    pub frames: Option<FrameRules>,
    /// What comes out of it, or goes into it, is copied for a mirror session.
    pub is_mirrored: bool,
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
    /// How long an outer packet in pieces may take to be complete, in seconds; `None`: it is not put
    /// together.
    pub reassembly_seconds: Option<u8>,
    /// The largest inner packet as it is configured, or else as the underlay takes it.
    pub mtu: u16,
    /// What is done about the segments of TCP.
    pub mss: MssClamp,
    /// How the outer packet leaves this node.
    pub underlay: NextHop,
    /// The largest outer packet that the port takes by which it leaves, or the tunnel that it goes
    /// through.
    pub underlay_mtu: u16,
    /// The path to the remote, from `local` and from each of `more_locals`.
    pub path: TunnelPath,
    /// See `path`.
    pub more_paths: Box<[TunnelPath]>,
    /// What becomes of errors that the underlay reports.
    pub relay: RelayRules,
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

impl TunnelSetup {
    /// A tunnel between two ends of one family that carries IPv4 and IPv6, with every choice as the
    /// profile `native` has it, but that any inner source is believed. It leaves by a port of 1500 bytes,
    /// on a path that no other tunnel takes.
    pub fn between(local: IpAddr, remote: IpAddr, underlay: NextHop, slot: CounterSlot) -> Self {
        const UNDERLAY_MTU: u16 = 1500;
        let (outer, overhead, reassembly_seconds) = match remote {
            IpAddr::V4(_) => (Family::Ipv4, ipv4::HEADER_LEN_U16, reassembly::SECONDS_IPV4),
            IpAddr::V6(_) => (Family::Ipv6, ipv6::HEADER_LEN_U16, reassembly::SECONDS_IPV6),
        };
        Self {
            outer,
            shim: Shim::default(),
            mpls: Mpls::default(),
            local: Some(local),
            more_locals: Box::default(),
            takes_any_local: false,
            remote: Some(remote),
            peers: None,
            protocols: Protocols::IPV4.with(Protocols::IPV6),
            frames: None,
            is_mirrored: false,
            up: true,
            ttl: Some(64),
            min_outer_ttl: 0,
            dscp: None,
            copies_dscp: false,
            ecn: EcnEncap::Normal,
            dont_fragment: DontFragment::Pmtudisc,
            fragments_outer: false,
            static_mtu: false,
            encap_limit: None,
            flow_label: None,
            reassembly_seconds: Some(reassembly_seconds),
            mtu: UNDERLAY_MTU - overhead,
            mss: MssClamp::Lower,
            underlay,
            underlay_mtu: UNDERLAY_MTU,
            path: TunnelPath(slot.0),
            more_paths: Box::default(),
            relay: RelayRules::default(),
            source_ipv4: None,
            source_ipv6: None,
            hairpin: false,
            multicast: false,
            outer_rpf: false,
            inner_source: SourceFilter::Off,
            inner_destination: None,
            slot,
            latency: None,
        }
    }
}

impl TunnelSetup {
    /// Whether a quoted packet can be one that this tunnel sent: `quoted` follows an outer header of protocol
    /// `outer`, and may be cut anywhere. If so: the bytes between the headers, and the IP protocol of what was inside, as
    /// far as that is known.
    pub fn recognise(&self, outer: u8, quoted: &[u8]) -> Option<(usize, u8)> {
        let (len, carried) = self.shim.recognise(outer, quoted)?;
        let is_unknown = carried == protocol::NO_NEXT_HEADER;
        let is_its = is_unknown || self.protocols.overlaps(Protocols::carried(carried));
        is_its.then_some((len, carried))
    }

    /// Whether it takes packets from anybody, and has nobody to send to.
    pub fn is_open(&self) -> bool {
        let has_remotes = self.frames.as_ref().is_some_and(|rules| rules.remotes.is_some());
        self.remote.is_none() && self.peers.is_none() && !has_remotes
    }

    /// Bytes of the link header that is inside, in front of IP packets.
    #[inline]
    pub const fn link_header_len(&self) -> u16 {
        if self.protocols.overlaps(Protocols::ETHERNET) { ethernet::HEADER_LEN_U16 } else { 0 }
    }

    /// Puts headers between the outer IP header and the packet inside, which are taken from what fits.
    pub fn put_shim(&mut self, shim: Shim) {
        let len = |shim: &Shim| u16::try_from(shim.len()).unwrap_or(u16::MAX);
        self.mtu = self.mtu.saturating_add(len(&self.shim)).saturating_sub(len(&shim));
        self.shim = shim;
    }

    /// Puts labels in front of IP packets, which are taken from what fits.
    pub fn put_labels(&mut self, push: Labels) {
        let before = self.mpls.push.len_u16();
        self.mtu = self.mtu.saturating_add(before).saturating_sub(push.len_u16());
        self.mpls.push = push;
    }
}

/// What becomes of ICMP errors about a tunnel's outer packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayRules {
    /// Which of them senders behind the tunnel are told of.
    pub relayed: Relayed,
    /// Senders are told that it was a filter, where it was one.
    pub tells_prohibited: bool,
    /// The least path MTU that is believed, IPv4 outside.
    pub pmtu_floor: u16,
    /// How long a path MTU is believed, in seconds.
    pub pmtu_expiry_s: u32,
    /// The nets that the tunnel's own addresses are in.
    pub nets: Box<[Ipv4Net]>,
}

/// Which errors of the underlay are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relayed {
    /// All that mean something to a sender.
    All,
    /// That packets are too big.
    TooBig,
    /// None.
    Nothing,
}

impl Default for RelayRules {
    fn default() -> Self {
        Self {
            relayed: Relayed::All,
            tells_prohibited: false,
            pmtu_floor: 552,
            pmtu_expiry_s: 600,
            nets: Box::default(),
        }
    }
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
    /// See [`Facts::SOURCE_NET_IPV6`].
    pub source_net_ipv6: SourceNet<u64>,
    /// The bytes for each source of a pool, `rewrite` among them; behind a pointer without a length, as
    /// the lines are full.
    sources: Option<Arc<Vec<Rewrite>>>,
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
    /// Minimal encapsulation of something else than IPv4 in IPv4, or with a header of its own.
    #[error("minimal encapsulation is for IPv4 in IPv4 alone, and the header is the sender's")]
    NotMinimal,
}

impl Tunnel {
    /// Prepares a tunnel.
    ///
    /// # Errors
    /// When an address, or what it carries, does not fit the kind.
    pub fn new(setup: TunnelSetup) -> Result<Self, TunnelError> {
        if !setup.is_possible() {
            return Err(TunnelError::NotMinimal);
        }
        let rewrite_from = |local| {
            let mut rewrite = outer::rewrite(&setup, local)?;
            if let Some((shim, _)) = setup.shim.plain() {
                rewrite.put_shim(shim);
            }
            Ok(rewrite)
        };
        let rewrite = rewrite_from(setup.local)?;
        let all = setup.local.iter().chain(&setup.more_locals);
        let sources: Result<Vec<Rewrite>, _> =
            all.map(|&local| rewrite_from(Some(local))).collect();
        let sources = sources?;
        let overhead = rewrite.len() + setup.shim.len() + setup.mpls.push.len();
        let plain = Plain::new(&setup, overhead);
        let source_net_ipv6 = SourceNet::ipv6(&setup);
        let sources = (sources.len() > 1).then(|| Arc::new(sources));
        Ok(Self { plain, rewrite, setup: Arc::new(setup), source_net_ipv6, sources })
    }

    /// Bytes that it puts in front of every IP packet.
    #[inline]
    pub fn overhead(&self) -> usize {
        self.rewrite.len() + self.setup.shim.len() + self.setup.mpls.push.len()
    }

    /// Asks for what plain packets need of it.
    #[inline]
    pub fn prefetch(&self) {
        prefetch(&self.plain);
        prefetch(&self.source_net_ipv6);
    }

    /// The bytes in front of a packet, and the path that it takes then; `hash` is that of its flow,
    /// asked for where it counts.
    #[inline]
    pub fn source_for(&self, hash: impl FnOnce() -> u64) -> (&Rewrite, TunnelPath) {
        let Some(sources) = &self.sources else { return (&self.rewrite, self.plain.path) };
        let share = share_of(hash(), sources.len());
        (sources.get(share).unwrap_or(&self.rewrite), self.path_of(share))
    }

    /// The path from the outer source with this number.
    fn path_of(&self, source: usize) -> TunnelPath {
        let more = source.checked_sub(1).map(|at| self.setup.more_paths.get(at).copied());
        more.map_or(self.setup.path, |path| path.unwrap_or(TunnelPath::NONE))
    }

    /// Its remotes, if it has several.
    #[inline]
    pub fn remotes(&self) -> Option<&Remotes> {
        self.setup.frames.as_ref()?.remotes.as_deref()
    }

    /// The path from an outer source to a remote; `None`: one of the two is none of the tunnel's.
    pub fn path_between(&self, source: IpAddr, remote: IpAddr) -> Option<TunnelPath> {
        match self.remotes() {
            Some(remotes) => remotes.path_to(remote).filter(|_| self.setup.local == Some(source)),
            None => self.path_from(source),
        }
    }

    /// The same, to its one remote.
    fn path_from(&self, source: IpAddr) -> Option<TunnelPath> {
        let mut sources = self.setup.local.iter().chain(&self.setup.more_locals);
        sources.position(|&own| own == source).map(|source| self.path_of(source))
    }

    /// Whether it may send to an address, and take packets from there.
    pub fn may_be_peer(&self, remote: IpAddr) -> bool {
        match (&self.setup.peers, remote) {
            (Some(peers), IpAddr::V4(remote)) => peers.may_be_peer(remote.into()),
            _ => match self.remotes() {
                Some(remotes) => remotes.position(remote).is_some(),
                None => self.setup.remote == Some(remote),
            },
        }
    }

    /// Whether an address is one of its outer sources.
    pub fn sends_from(&self, address: IpAddr) -> bool {
        self.setup.local == Some(address) || self.setup.more_locals.contains(&address)
    }

    /// The number of its own latency histogram, if it has one.
    #[inline]
    pub fn measured_as(&self) -> Option<u16> {
        if self.plain.facts.has(Facts::MEASURED) { self.setup.latency } else { None }
    }

    /// Our outer IPv4 address as a number to compare with; 0 when unset or of the other family.
    #[inline]
    pub fn local_ipv4(&self) -> u32 {
        if self.setup.outer == Family::Ipv4 { self.rewrite.local_ipv4() } else { 0 }
    }

    /// The remote, likewise.
    #[inline]
    pub fn remote_ipv4(&self) -> u32 {
        if self.setup.outer == Family::Ipv4 { self.rewrite.remote_ipv4() } else { 0 }
    }

    /// Our outer IPv6 address as a number to compare with; 0 when unset or of the other family.
    #[inline]
    pub fn local_ipv6(&self) -> u128 {
        if self.setup.outer == Family::Ipv6 { self.rewrite.local_ipv6() } else { 0 }
    }

    /// The remote, likewise.
    #[inline]
    pub fn remote_ipv6(&self) -> u128 {
        if self.setup.outer == Family::Ipv6 { self.rewrite.remote_ipv6() } else { 0 }
    }
}

/// Which of `count` sources the flow with this hash has. Mixed once more: next hops, buckets of
/// workers and flow labels are chosen by the same hash, and must not go together with sources.
#[inline]
fn share_of(hash: u64, count: usize) -> usize {
    let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from((mixed * count as u64) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Flows that agree in the bits that buckets or next hops are chosen by are not of one source.
        #[test]
        fn sources_have_equal_shares_of_any_flows(high: u32, low: u32, count in 2_usize..=64) {
            let vary = |at: u32| -> [u64; 2] {
                let mixed = u64::from(at.wrapping_mul(0x85eb_ca6b));
                [u64::from(high) << 32 | mixed, mixed << 32 | u64::from(low)]
            };
            for way in 0..2 {
                let mut shares = vec![0_usize; count];
                for at in 0..6400 {
                    shares[share_of(vary(at)[way], count)] += 1;
                }
                let mean = 6400 / count;
                for share in shares {
                    prop_assert!((mean / 2..=2 * mean).contains(&share), "{share}, not {mean}");
                }
            }
        }
    }
}
