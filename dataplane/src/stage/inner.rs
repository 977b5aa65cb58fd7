//! What the outer header takes from what goes inside, and how large that may be.

use super::{Round, frame};
use crate::packet::{Flags, Packet};
use crate::tunnel::TunnelSetup;
use crate::tunnel::mpls::{class_of, tos_of};
use crate::tunnel::size::{SizeLimits, Way};
use crate::wire::ipv4::Ipv4;
use crate::wire::ipv6::Ipv6;
use crate::wire::mpls::Entry;
use crate::wire::protocol;
use crate::witness::Witness;

/// What the outer header takes from what goes inside.
#[derive(Clone, Copy)]
pub(super) struct Inner {
    pub(super) protocol: u8,
    pub(super) tos: u8,
    pub(super) ttl: u8,
    /// IPv4: may routers fragment it? IPv6: `None`.
    pub(super) dont_fragment: Option<bool>,
    /// Where its IP header is, if it has one.
    pub(super) ip_at: Option<usize>,
    /// Bytes of labels that are put in front of it.
    pub(super) push_len: u16,
}

impl Inner {
    /// The hash of the flow that it belongs to; that of a frame without a packet are its stations.
    #[inline]
    pub(super) fn hash(self, bytes: &[u8], round: &Round<'_, impl Witness>) -> u64 {
        match self.ip_at {
            Some(at) => round.tables.flow.hash(bytes.get(at..).unwrap_or(&[])),
            None if self.is_frame() => frame::hash_of_stations(bytes, round),
            None => round.tables.flow.hash_labelled(bytes),
        }
    }

    pub(super) const fn is_frame(self) -> bool {
        self.protocol == protocol::ETHERNET
    }

    /// Bytes that are put in front of it, of which the outer IP header and what belongs to it are `outer_len`.
    #[inline]
    pub(super) fn overhead(self, setup: &TunnelSetup, outer_len: usize) -> u16 {
        let front_len = outer_len + setup.shim.len() + usize::from(self.push_len);
        u16::try_from(front_len).unwrap_or(u16::MAX)
    }

    /// How large it may be.
    #[inline]
    pub(super) fn size_limits(self, setup: &TunnelSetup, overhead: u16, way: Way) -> SizeLimits {
        if self.protocol == protocol::MPLS {
            return setup.labelled_size_limits(overhead, self.push_len, way);
        }
        setup.size_limits(overhead, self.dont_fragment, way)
    }

    /// The largest packet like it that may not be cut.
    #[inline]
    pub(super) fn largest(self, setup: &TunnelSetup, overhead: u16, way: Way) -> u16 {
        let may_not_be_cut = Self { dont_fragment: self.dont_fragment.map(|_| true), ..self };
        may_not_be_cut.size_limits(setup, overhead, way).inner
    }

    /// Of a packet that goes into a tunnel, which stands at its IP header or its top label.
    #[inline]
    pub(super) fn of(packet: &Packet, setup: &TunnelSetup) -> Self {
        let bytes = packet.data();
        if packet.meta.flags.has(Flags::LABELLED) {
            let tos = tos_of(Entry::read(bytes).class);
            let (protocol, dont_fragment) = (protocol::MPLS, Some(true));
            let ttl = LABELLED_TTL;
            return Self { protocol, tos, ttl, dont_fragment, ip_at: None, push_len: 0 };
        }
        let inner = read_ip(bytes);
        if setup.mpls.push.is_none() {
            return inner;
        }
        // What goes inside is MPLS then, which has no ECN field.
        let tos = tos_of(class_of(inner.tos));
        let push_len = setup.mpls.push.len_u16();
        Self { protocol: protocol::MPLS, tos, ttl: LABELLED_TTL, push_len, ..inner }
    }
}

/// The outer TTL of a tunnel that inherits it, around labels: theirs is that of another network.
const LABELLED_TTL: u8 = 64;

#[inline]
fn read_ip(bytes: &[u8]) -> Inner {
    if bytes.first().is_some_and(|first| first >> 4 == 4) {
        let header = Ipv4::trusted(bytes);
        Inner {
            protocol: protocol::IPV4,
            tos: header.tos(),
            ttl: header.ttl(),
            dont_fragment: Some(header.dont_fragment()),
            ip_at: Some(0),
            push_len: 0,
        }
    } else {
        let header = Ipv6::trusted(bytes);
        Inner {
            protocol: protocol::IPV6,
            tos: header.traffic_class(),
            ttl: header.hop_limit(),
            dont_fragment: None,
            ip_at: Some(0),
            push_len: 0,
        }
    }
}
