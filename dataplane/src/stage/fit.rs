//! Whether a packet that goes into a tunnel fits, and what is done about one that does not. Knows sizes and the
//! tunnel's rules about them; called by `encap`.

use super::inner::Inner;
use crate::packet::{Flags, Packet};
use crate::tunnel::TunnelSetup;
use crate::tunnel::size::SizeLimits;
use crate::wire::{ethernet, ipv6, protocol};

/// Whether a packet fits a tunnel, and what happens to one that does not.
#[derive(Clone, Copy)]
pub(super) enum Fit {
    /// It fits.
    Fits,
    /// It goes in pieces.
    Cut { mtu: u16 },
    /// The outer packet goes in pieces.
    CutOutside,
    /// It is a copy, of which so many bytes go.
    Truncated { len: u16 },
    /// It does not go.
    TooBig { mtu: u16 },
}

/// Holds a packet, which has `overhead` bytes in front of it then, against its limits.
#[inline]
pub(super) fn fit(
    packet: &Packet,
    setup: &TunnelSetup,
    inner: Inner,
    sizes: SizeLimits,
    overhead: u16,
) -> Fit {
    // In a frame, that of the packet; tags count.
    let len = packet.len().saturating_sub(setup.link_header_len().into());
    let mtu = sizes.inner;
    if let Some(rules) = setup.frames.as_ref().filter(|rules| rules.is_never_cut) {
        //= RFC 7348 §4.3: who encapsulates does not fragment.
        let around = overhead.saturating_add(setup.link_header_len());
        // Of tunnels that don't follow their paths, too: what is larger than those would be cut.
        let mtu = mtu.min(sizes.outer.saturating_sub(around));
        return if len <= usize::from(mtu) {
            Fit::Fits
        } else if rules.takes_copies {
            truncated(setup, sizes, overhead)
        } else {
            Fit::TooBig { mtu }
        };
    }
    let is_labelled = inner.protocol == protocol::MPLS;
    if len <= usize::from(mtu) {
        return Fit::Fits;
    }
    match inner.dont_fragment {
        Some(true) => Fit::TooBig { mtu },
        Some(false) if setup.fragments_outer && !is_labelled => Fit::CutOutside,
        Some(false) if inner.is_frame() => Fit::TooBig { mtu },
        Some(false) => Fit::Cut { mtu },
        //= RFC 4213 §3.2.2, RFC 2473 §7.1: IPv6 packets up to 1280 bytes always pass; the outer
        //= packet is cut where they must.
        None if len <= usize::from(ipv6::MINIMUM_MTU) && !is_labelled => Fit::Fits,
        None if inner.is_frame() => Fit::TooBig { mtu },
        //= RFC 8200 §5: a source cuts its own packets.
        None if packet.meta.flags.has(Flags::LOCAL) => Fit::Cut { mtu: mtu.max(ipv6::MINIMUM_MTU) },
        None => Fit::TooBig { mtu: mtu.max(ipv6::MINIMUM_MTU) },
    }
}

/// A copy is sent without its end rather than not at all.
#[cold]
fn truncated(setup: &TunnelSetup, sizes: SizeLimits, overhead: u16) -> Fit {
    let inside = sizes.inner.saturating_add(setup.link_header_len());
    let len = inside.min(sizes.outer.saturating_sub(overhead));
    if len < ethernet::HEADER_LEN_U16 {
        return Fit::TooBig { mtu: sizes.inner };
    }
    Fit::Truncated { len }
}
