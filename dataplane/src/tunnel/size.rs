//! How large packets may be in a tunnel, and whether routers may cut them on the way: from what is
//! configured, the underlay, and what was learnt about the path.

use super::{DontFragment, TunnelSetup};
use crate::tables::soft_state::PathMtu;
use crate::wire::Family;
use crate::wire::ipv6::MINIMUM_MTU;

/// How large one packet may be, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// The inner packet, to fit without being cut.
    pub inner: u16,
    /// The outer packet, to leave in one piece.
    pub outer: u16,
    /// The DF bit of an outer IPv4 header.
    pub dont_fragment: bool,
}

/// How large outer packets may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The largest that the port takes by which they leave, or the tunnel that they go through.
    pub underlay_mtu: u16,
    /// What was learnt about the path.
    pub learnt: Option<PathMtu>,
}

impl TunnelSetup {
    /// The way to the tunnel's one remote.
    #[inline]
    pub fn way(&self, learnt: Option<PathMtu>) -> Way {
        Way { underlay_mtu: self.underlay_mtu, learnt }
    }

    /// The limits of a packet. `overhead`: bytes in front of it. `inner_dont_fragment`: of an IPv4
    /// packet; `None` for IPv6.
    #[inline]
    pub fn size_limits(
        &self,
        overhead: u16,
        inner_dont_fragment: Option<bool>,
        way: Way,
    ) -> SizeLimits {
        let follows_path = self.follows_path(inner_dont_fragment);
        let learnt = way.learnt.filter(|_| follows_path);
        let outer = learnt.map_or(way.underlay_mtu, |path| path.mtu.min(way.underlay_mtu));
        let fits = outer.saturating_sub(overhead);
        let inner = if follows_path { self.mtu.min(fits) } else { self.mtu };
        let is_locked = learnt.is_some_and(|path| path.is_locked);
        let dont_fragment = match (self.outer, self.dont_fragment, inner_dont_fragment) {
            (Family::Ipv6, ..) | (_, DontFragment::No, _) => false,
            (_, DontFragment::Pmtudisc, Some(_)) => !is_locked,
            (_, DontFragment::Inherit, Some(inner)) => inner && !is_locked,
            //= RFC 4213 §3.2.2: IPv6 in a tunnel whose MTU is below 1280 goes with DF clear.
            (.., None) => {
                let always =
                    || self.peers.as_ref().is_some_and(|peers| peers.always_set_dont_fragment());
                follows_path && (inner >= MINIMUM_MTU && !is_locked || always())
            }
        };
        SizeLimits { inner, outer, dont_fragment }
    }

    /// The same of a packet that goes with labels, of which `push_len` bytes are put in front of it here; they
    /// count in `overhead`.
    #[inline]
    pub fn labelled_size_limits(&self, overhead: u16, push_len: u16, way: Way) -> SizeLimits {
        //= RFC 4023 §5.1: DF is set, whatever else is configured, and the head of the tunnel cuts nothing.
        let outer = way.learnt.map_or(way.underlay_mtu, |path| path.mtu.min(way.underlay_mtu));
        // The tunnel's MTU is that of IP packets, in front of which all of its labels are put.
        let brought_len = self.mpls.push.len_u16().saturating_sub(push_len);
        let mtu = self.mtu.saturating_add(brought_len);
        let inner = mtu.min(outer.saturating_sub(overhead));
        SizeLimits { inner, outer, dont_fragment: self.outer == Family::Ipv4 }
    }

    /// The largest inner packet that fits now and may not be cut.
    #[inline]
    pub fn effective_mtu(&self, overhead: u16, is_ipv4: bool, way: Way) -> u16 {
        self.size_limits(overhead, is_ipv4.then_some(true), way).inner
    }

    /// Whether the path, not only the configuration, decides how large packets may be.
    #[inline]
    pub fn follows_path(&self, inner_dont_fragment: Option<bool>) -> bool {
        match (self.outer, self.dont_fragment, inner_dont_fragment) {
            (Family::Ipv6, ..) => true,
            (_, DontFragment::No, _) | (_, DontFragment::Inherit, Some(false)) => false,
            (.., None) => !self.static_mtu,
            _ => true,
        }
    }
}
