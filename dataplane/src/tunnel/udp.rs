//! Tunnels in UDP: FOU, where the port says what follows, and GUE (draft-ietf-intarea-gue), where a header of
//! four bytes does. Under them are the kinds that have an IP protocol: IP in IP, and GRE. VXLAN and GENEVE have
//! headers of eight bytes, which also say whose network it is.
//!
//! ```text
//!  0                        20 or 40      28 or 48
//! +------------------------+-------------+---------------------+---------------------------------
//! | outer IPv4 or IPv6,    | UDP         | [GUE], VXLAN or     | [GRE header,] inner packet,
//! | protocol 17            |             | GENEVE              | or frame …
//! +------------------------+-------------+---------------------+---------------------------------
//! ```

use super::lookup::Class;
use super::rewrite::PLAIN_SHIM_MAX;
use super::shim::FRAME_SHIM_MAX;
use super::source_port::SourcePort;
use super::vxlan::{self, Vxlan};
use super::{geneve, gue};
use crate::counters::Counter;
use crate::wire::udp::{self, offset};
use crate::wire::{protocol, read_u16, write_u16};

/// How a tunnel's packets go in UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Udp {
    /// The port that they arrive at.
    pub listens_at: u16,
    /// The port that they are sent to.
    pub sends_to: u16,
    /// The port that they are sent from.
    pub sends_from: SourcePort,
    /// What is sent has a checksum.
    pub has_checksum: bool,
    /// What arrives in IPv6 needs none (RFC 6935 §5).
    pub needs_no_checksum: bool,
    /// What follows.
    pub header: UdpHeader,
}

/// What follows a UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpHeader {
    /// What the port stands for: FOU.
    Fou {
        /// Its IP protocol.
        carries: u8,
    },
    /// A GUE header, variant 0.
    Gue,
    /// The packet inside at once: GUE, variant 1.
    GueDirect,
    /// A VXLAN header.
    Vxlan(Vxlan),
    /// A GENEVE header.
    Geneve {
        /// The network identifier, 24 bits.
        id: u32,
    },
}

/// What stands behind a UDP header, and says what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// Its bytes.
    pub(super) len: usize,
    /// The IP protocol of what follows.
    pub(super) carried: u8,
    /// Whose network it is.
    pub(super) id: Option<u32>,
}

impl Udp {
    /// Bytes of the UDP header, and of what says what follows.
    pub(super) const fn len(&self) -> usize {
        match self.header {
            UdpHeader::Fou { .. } | UdpHeader::GueDirect => udp::HEADER_LEN,
            UdpHeader::Gue => udp::HEADER_LEN + gue::HEADER_LEN,
            UdpHeader::Vxlan(_) => udp::HEADER_LEN + vxlan::HEADER_LEN,
            UdpHeader::Geneve { .. } => udp::HEADER_LEN + geneve::HEADER_LEN,
        }
    }

    /// The header with what is the same in all packets, and how many bytes it has, and what says what follows. A
    /// source port of 0 stands for one by the flow; then the range has the place of length and checksum.
    pub(super) fn plain(&self) -> Option<([u8; PLAIN_SHIM_MAX], usize)> {
        let has_id = matches!(self.header, UdpHeader::Vxlan(_) | UdpHeader::Geneve { .. });
        if self.sends_from == SourcePort::Fixed(0) || has_id {
            return None;
        }
        let mut header = [0; PLAIN_SHIM_MAX];
        write_u16(&mut header, offset::SOURCE, self.sends_from.in_template());
        write_u16(&mut header, offset::DESTINATION, self.sends_to);
        if let (Some(range), Some(place)) =
            (self.sends_from.range(), header.get_mut(offset::LENGTH..))
        {
            place.copy_from_slice(&range.packed().to_le_bytes());
        }
        Some((header, self.len()))
    }

    /// The same around frames, with the header that says whose network they are of.
    pub(super) fn plain_of_frames(&self) -> Option<[u8; FRAME_SHIM_MAX]> {
        if self.sends_from == SourcePort::Fixed(0) || self.len() != FRAME_SHIM_MAX {
            return None;
        }
        let mut header = [0; FRAME_SHIM_MAX];
        self.write(&mut header, protocol::ETHERNET, 0);
        write_u16(&mut header, offset::SOURCE, self.sends_from.in_template());
        write_u16(&mut header, offset::LENGTH, 0);
        Some(header)
    }

    /// Writes them to the start of `bytes`, whose rest is what is carried: something of IP protocol
    /// `carried`. The checksum is left 0. `hash`: of the flow inside.
    pub(super) fn write(&self, bytes: &mut [u8], carried: u8, hash: u64) {
        write_u16(bytes, offset::SOURCE, self.sends_from.of(hash));
        write_u16(bytes, offset::DESTINATION, self.sends_to);
        write_u16(bytes, offset::LENGTH, u16::try_from(bytes.len()).unwrap_or(u16::MAX));
        write_u16(bytes, offset::CHECKSUM, 0);
        let behind = bytes.get_mut(udp::HEADER_LEN..).unwrap_or(&mut []);
        match self.header {
            UdpHeader::Fou { .. } | UdpHeader::GueDirect => {}
            UdpHeader::Gue => gue::write(behind, carried),
            UdpHeader::Vxlan(Vxlan { id, .. }) => vxlan::write(behind, id),
            UdpHeader::Geneve { id } => geneve::write(behind, id, carried),
        }
    }

    /// See [`Shim::recognise`](super::shim::Shim::recognise).
    pub(super) fn recognise(&self, quoted: &[u8]) -> Option<(usize, u8)> {
        const PORTS_LEN: usize = 4;
        if quoted.len() < PORTS_LEN {
            // A later piece of a packet, or nearly nothing.
            return quoted.is_empty().then_some((self.len(), protocol::NO_NEXT_HEADER));
        }
        let behind = quoted.get(udp::HEADER_LEN..).unwrap_or(&[]);
        let is_id = match self.header {
            UdpHeader::Vxlan(Vxlan { id, .. }) => behind.len() < 8 || vxlan::id(behind) == id,
            UdpHeader::Geneve { id } => behind.len() < 8 || geneve::id(behind) == id,
            _ => true,
        };
        let is_source = match self.sends_from {
            SourcePort::Fixed(port) => port == read_u16(quoted, offset::SOURCE),
            SourcePort::ByFlow(_) => true,
        };
        let is_ours = read_u16(quoted, offset::DESTINATION) == self.sends_to && is_source && is_id;
        let carried = match self.header {
            UdpHeader::Fou { carries } => carries,
            UdpHeader::Gue => {
                let carried = quoted.get(udp::HEADER_LEN + 1);
                carried.copied().unwrap_or(protocol::NO_NEXT_HEADER)
            }
            UdpHeader::GueDirect => match quoted.get(udp::HEADER_LEN).map(|first| first >> 4) {
                Some(4) => protocol::IPV4,
                Some(6) => protocol::IPV6,
                _ => protocol::NO_NEXT_HEADER,
            },
            UdpHeader::Vxlan(_) => protocol::ETHERNET,
            UdpHeader::Geneve { .. } => {
                let carried = geneve::carried(behind);
                carried.filter(|_| behind.len() >= 8).unwrap_or(protocol::NO_NEXT_HEADER)
            }
        };
        is_ours.then_some((self.len(), carried))
    }

    /// The class of packets that carry IP directly, or GRE.
    pub(super) const fn class(&self, has_gre: bool) -> Class {
        self.service().class(has_gre)
    }

    /// What the tunnel needs the port for that it listens at.
    pub const fn service(&self) -> Service {
        match self.header {
            UdpHeader::Fou { carries } => Service::Fou { carries },
            UdpHeader::Gue | UdpHeader::GueDirect => Service::Gue,
            UdpHeader::Vxlan(_) => Service::Vxlan,
            UdpHeader::Geneve { .. } => Service::Geneve,
        }
    }

    /// The number of the network that its packets are of, if their headers say one.
    pub(super) const fn id(&self) -> Option<u32> {
        match self.header {
            UdpHeader::Vxlan(Vxlan { id, .. }) | UdpHeader::Geneve { id } => Some(id),
            UdpHeader::Fou { .. } | UdpHeader::Gue | UdpHeader::GueDirect => None,
        }
    }

    /// What is to be counted about a packet that is taken, or, as an error, dropped; `payload` begins with a whole
    /// UDP header, and has been read.
    pub(super) fn judge_reserved(&self, payload: &[u8]) -> Result<Option<Counter>, Counter> {
        let UdpHeader::Vxlan(Vxlan { is_strict, .. }) = self.header else { return Ok(None) };
        match payload.get(udp::HEADER_LEN..).is_some_and(vxlan::has_reserved) {
            false => Ok(None),
            true if is_strict => Err(Counter::VxlanBadReserved),
            true => Ok(Some(Counter::VxlanReservedNonzero)),
        }
    }
}

/// What a UDP port of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// FOU of one IP protocol.
    Fou {
        /// It.
        carries: u8,
    },
    /// GUE.
    Gue,
    /// VXLAN.
    Vxlan,
    /// GENEVE.
    Geneve,
}

impl Service {
    /// Reads what says what follows a UDP header, at the start of its payload.
    ///
    /// # Errors
    /// The drop counter, when it must be refused.
    pub(super) fn read(self, payload: &[u8]) -> Result<Behind, Counter> {
        match self {
            Self::Fou { carries } => Ok(Behind { len: 0, carried: carries, id: None }),
            Self::Gue => {
                let (len, carried) = gue::read(payload)?;
                Ok(Behind { len, carried, id: None })
            }
            Self::Vxlan => vxlan::read(payload),
            Self::Geneve => geneve::read(payload),
        }
    }

    pub(super) const fn class(self, has_gre: bool) -> Class {
        match (self, has_gre) {
            (Self::Fou { .. }, false) => Class::Fou,
            (Self::Fou { .. }, true) => Class::FouGre,
            (Self::Gue, false) => Class::Gue,
            (Self::Gue, true) => Class::GueGre,
            (Self::Vxlan, _) => Class::Vxlan,
            (Self::Geneve, _) => Class::Geneve,
        }
    }
}

/// What may be carried in UDP: anything else could be for the node itself.
pub(super) const fn is_allowed(carried: u8) -> bool {
    matches!(carried, protocol::IPV4 | protocol::IPV6 | protocol::GRE | protocol::MPLS)
}

/// The UDP ports that tunnels listen at, and what for. There are few, so each is mostly the only one with its last bits.
#[derive(Clone, Debug)]
pub struct UdpPorts {
    /// The first port with the last six bits that its place is.
    first: [Option<(u16, Service)>; PLACES],
    /// A bit for each place that a port has, and for each that more than one has.
    taken: u64,
    shared: u64,
    all: Vec<(u16, Service)>,
}

const PLACES: usize = 64;

impl Default for UdpPorts {
    fn default() -> Self {
        Self { first: [None; PLACES], taken: 0, shared: 0, all: Vec::new() }
    }
}

impl UdpPorts {
    /// What a port is for; `None`: no tunnel listens there.
    #[inline]
    pub fn get(&self, port: u16) -> Option<Service> {
        let place = place(port);
        match self.first[place] {
            Some((known, service)) if known == port => Some(service),
            _ if self.shared >> place & 1 != 0 => self.search(port),
            _ => None,
        }
    }

    #[cold]
    #[inline(never)]
    fn search(&self, port: u16) -> Option<Service> {
        self.all.iter().find(|(known, _)| *known == port).map(|(_, service)| *service)
    }

    /// Whether a datagram at `at` of a packet may be for one of them; of a piece nobody knows.
    #[inline]
    pub fn may_take(&self, packet: &[u8], at: usize, is_piece: bool) -> bool {
        !self.is_empty()
            && (is_piece || self.get(read_u16(packet, at + offset::DESTINATION)).is_some())
    }

    /// A bit for the last six bits of each port, by which most other ports can be told.
    #[inline]
    pub fn marks(&self) -> u64 {
        self.taken
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Opens a port, or closes it.
    pub fn put(&mut self, port: u16, service: Option<Service>) {
        self.all.retain(|(known, _)| *known != port);
        self.all.extend(service.map(|service| (port, service)));
        (self.first, self.taken, self.shared) = ([None; PLACES], 0, 0);
        for &(port, service) in &self.all {
            let place = place(port);
            if self.first[place].is_some() {
                self.shared |= 1 << place;
            } else {
                self.first[place] = Some((port, service));
                self.taken |= 1 << place;
            }
        }
    }
}

/// See [`UdpPorts`].
const fn place(port: u16) -> usize {
    port as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// All ports are among a few places, so that most share one.
        #[test]
        fn ports_are_known_until_they_are_closed(
            changes in proptest::collection::vec((0_u16..8, 0_u16..3, any::<bool>()), 0..40),
        ) {
            let mut ports = UdpPorts::default();
            let mut reference = std::collections::BTreeMap::new();
            for (number, (high, low, opens)) in (0_u8..).zip(changes) {
                let port = high * 64 + low;
                let service = opens.then_some(Service::Fou { carries: number });
                ports.put(port, service);
                reference.remove(&port);
                reference.extend(service.map(|service| (port, service)));
            }
            for port in 0..8 * 64 {
                prop_assert_eq!(ports.get(port), reference.get(&port).copied(), "port {}", port);
                let has_mark = ports.marks() >> (port & 63) & 1 != 0;
                prop_assert_eq!(has_mark, reference.keys().any(|known| known % 64 == port % 64));
            }
            prop_assert_eq!(ports.is_empty(), reference.is_empty());
        }
    }
}
