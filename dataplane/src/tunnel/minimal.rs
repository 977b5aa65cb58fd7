//! Minimal encapsulation (RFC 2004), IPv4 in IPv4 with one IPv4 header: mode `minimal`.
//!
//! ```text
//!  0                            20 to 60                         28 to 72
//! +----------------------------+--------------------------------+---------------------------
//! | the sender's IPv4 header,  | protocol, flags, checksum,     | what the sender's header
//! | protocol 55, to the remote | destination, [source]          | was followed by …
//! +----------------------------+--------------------------------+---------------------------
//! ```
//!
//! No header is put in front: the sender's own gets the addresses of the tunnel, and what stood there before goes
//! behind it. So TTL, DSCP, ECN, DF, identification and options are the sender's on the whole way. How a packet is
//! changed is `stage/minimal.rs`; here is what a tunnel says about it, and how what arrives is judged.

use super::ecn::EcnEncap;
use super::lookup::Protocols;
use super::shim::Kind;
use super::{DontFragment, TunnelSetup};
use crate::counters::Counter;
use crate::wire::minimal::{self, HEADER_LEN, HEADER_LEN_MAX, Minimal, MinimalError};
use crate::wire::{Family, ipv4, protocol};

impl TunnelSetup {
    /// Makes this a tunnel of minimal encapsulation: it carries IPv4 alone, and all that has its place in an outer
    /// header is as the sender has it. What does not fit is cut afterwards, as a piece of a packet can't enter.
    pub fn put_minimal(&mut self) {
        self.put_shim(Kind::Minimal.into());
        // In place of a whole header, the source that it had.
        self.mtu = self.mtu.saturating_add(ipv4::HEADER_LEN_U16 - minimal::SOURCE_LEN_U16);
        self.protocols = Protocols::IPV4;
        self.ttl = None;
        self.dscp = None;
        self.copies_dscp = false;
        self.ecn = EcnEncap::Normal;
        self.dont_fragment = DontFragment::Inherit;
        self.fragments_outer = true;
        self.static_mtu = false;
    }

    /// Whether it may be a tunnel: minimal encapsulation is for IPv4 in IPv4, between two ends, and leaves the rest of
    /// the header to the sender.
    pub(super) fn is_possible(&self) -> bool {
        let is_ipv4 = self.outer == Family::Ipv4 && self.protocols == Protocols::IPV4;
        let is_bare = self.shim.udp.is_none() && self.mpls.push.is_none() && self.peers.is_none();
        let is_senders = self.ttl.is_none()
            && self.dscp.is_none()
            && self.dont_fragment == DontFragment::Inherit
            && self.fragments_outer;
        !self.shim.is_minimal() || is_ipv4 && is_bare && is_senders
    }
}

/// Reads the header at the start of `payload`.
///
/// # Errors
/// The drop counter, when it must be refused whatever tunnel it is for.
pub(super) fn read(payload: &[u8]) -> Result<Minimal, Counter> {
    Minimal::parse(payload).map_err(|error| match error {
        MinimalError::Short => Counter::TunShimShort,
        MinimalError::Checksum => Counter::MinimalBadCsum,
    })
}

/// Judges the header at the start of `payload`. Returns its bytes, and which IP protocol the packet is of that it
/// makes of the outer one.
pub(super) fn judge(payload: &[u8]) -> Result<(usize, u8), Counter> {
    Ok((read(payload)?.header_len(), protocol::IPV4))
}

/// See [`Shim::recognise`](super::shim::Shim::recognise). A whole header must be right; old routers quote eight bytes,
/// which don't show the source.
pub(super) fn recognise(quoted: &[u8]) -> Option<(usize, u8)> {
    if quoted.len() < HEADER_LEN {
        // A later piece of a packet, or nearly nothing.
        return quoted.is_empty().then_some((HEADER_LEN_MAX, protocol::NO_NEXT_HEADER));
    }
    match Minimal::parse(quoted) {
        Err(MinimalError::Checksum) => None,
        Ok(_) | Err(MinimalError::Short) => Some((minimal::len_at(quoted), protocol::IPV4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::CounterSlot;
    use crate::tables::NextHop;
    use crate::tunnel::Tunnel;

    fn setup(local: &str, remote: &str) -> TunnelSetup {
        let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
        let mut setup = TunnelSetup::between(local, remote, NextHop::NoRoute, CounterSlot(0));
        setup.put_minimal();
        setup
    }

    #[test]
    fn twelve_bytes_are_taken_from_what_fits() {
        let setup = setup("198.51.100.1", "203.0.113.2");
        assert_eq!(setup.mtu, 1488);
        assert_eq!(Tunnel::new(setup).unwrap().overhead(), 12);
    }

    #[test]
    fn nothing_but_ipv4_in_ipv4_is_encapsulated_so() {
        assert!(Tunnel::new(setup("2001:db8::1", "2001:db8::2")).is_err());
        let mut of_both = setup("198.51.100.1", "203.0.113.2");
        of_both.protocols = Protocols::IPV4.with(Protocols::IPV6);
        assert!(Tunnel::new(of_both).is_err());
    }

    #[test]
    fn a_quote_of_eight_bytes_shows_that_the_source_is_missing() {
        let header = [17, 0x80, 0xda, 0x6f, 10, 2, 0, 8, 10, 1, 0, 5];
        for len in [8, 11, 12] {
            assert_eq!(recognise(&header[..len]), Some((12, 4)), "{len}");
        }
        assert_eq!(recognise(&[17, 0, 0xe4, 0xf5, 10, 2, 0, 8]), Some((8, 4)));
        assert_eq!(recognise(&[17, 0, 0xe4, 0xf6, 10, 2, 0, 8]), None);
        assert_eq!(recognise(&header[..7]), None);
        assert_eq!(recognise(&[]), Some((12, protocol::NO_NEXT_HEADER)));
    }
}
