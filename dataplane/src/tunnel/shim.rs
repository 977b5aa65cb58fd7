//! What stands between the outer IP header and the packet inside. Every kind of encapsulation has its
//! file; here is the one list of them, and what the packet path asks of each.

use super::erspan::{self, Erspan};
use super::gre::{self, Gre};
use super::gue;
use super::lookup::{Class, Label, Protocols};
use super::minimal;
use super::rewrite::PLAIN_SHIM_MAX;
use super::udp::{Behind, Udp, UdpPorts};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::wire::udp::{self, Datagram, UdpError};
use crate::wire::{self, ethernet, mpls, protocol, read_u16};

/// The most bytes that a plain frame has behind the outer header.
pub const FRAME_SHIM_MAX: usize = 16;

/// The headers that a tunnel puts between the outer IP header and the packet inside.
#[derive(Clone, Debug, Default)]
pub struct Shim {
    /// In front of the others: UDP, and what says what follows it.
    pub udp: Option<Udp>,
    /// Directly in front of the packet inside.
    pub kind: Kind,
}

/// What stands directly in front of the packet inside.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// Nothing: IP in IP.
    #[default]
    None,
    /// A GRE header.
    Gre(Gre),
    /// A minimal forwarding header: the packet's own header stands in front of it.
    Minimal,
    /// A GRE header, and what says how the frame behind it was mirrored.
    Erspan(Erspan),
}

/// What headers say of what is inside, and of when.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contents {
    /// Its IP protocol.
    pub protocol: u8,
    /// Its DSCP and ECN.
    pub tos: u8,
    /// Of its flow, where a header has a port for it.
    pub hash: u64,
    /// A frame: its end was cut off.
    pub is_cut: bool,
    /// A copy of a frame: it was made where the frame was sent, not where it was received.
    pub is_egress: bool,
    /// The time.
    pub now: Nanos,
}

impl From<Kind> for Shim {
    fn from(kind: Kind) -> Self {
        Self { udp: None, kind }
    }
}

impl Shim {
    /// Whether there is nothing.
    pub const fn is_none(&self) -> bool {
        self.udp.is_none() && matches!(self.kind, Kind::None)
    }

    /// Whether a packet's own header becomes the outer one. No UDP goes with that.
    #[inline]
    pub const fn is_minimal(&self) -> bool {
        matches!(self.kind, Kind::Minimal)
    }

    /// What every packet has, and how many bytes that is, if no more differs from packet to packet than this: in
    /// GRE the protocol type; in UDP the source port, where it is 0, the length and the checksum, in whose place the range of
    /// ports is then, and a GUE header behind it is nothing but the protocol. Of GRE in UDP those are the bytes of UDP alone.
    pub fn plain(&self) -> Option<([u8; PLAIN_SHIM_MAX], usize)> {
        match (&self.udp, &self.kind) {
            (None, Kind::Gre(gre)) => gre.plain(),
            (Some(udp), Kind::None) => udp.plain(),
            (Some(udp), Kind::Gre(gre)) => {
                let ((shim, udp_len), (_, gre_len)) = (udp.plain()?, gre.plain()?);
                Some((shim, udp_len + gre_len))
            }
            (None, Kind::None) | (_, Kind::Minimal | Kind::Erspan(_)) => None,
        }
    }

    /// Of GRE in UDP, the bytes behind the UDP header where [`plain`](Self::plain) says what is before, around a packet of
    /// IP protocol `carried`; zeros follow.
    #[inline]
    pub fn plain_behind_udp(&self, carried: u8) -> [u8; 16] {
        let mut behind = [0; 16];
        let (Some(udp), Kind::Gre(gre)) = (&self.udp, &self.kind) else { return behind };
        let at = udp.len() - udp::HEADER_LEN;
        if at != 0 {
            gue::write(&mut behind, protocol::GRE);
        }
        gre.write(behind.get_mut(at..).unwrap_or(&mut []), carried);
        behind
    }

    /// The same around frames, with all that is behind UDP: what differs from one to the other is no more than UDP's
    /// source port, where it is 0, its length and its checksum.
    pub fn plain_of_frames(&self) -> Option<([u8; FRAME_SHIM_MAX], usize)> {
        let mut shim = [0; FRAME_SHIM_MAX];
        match (&self.udp, &self.kind) {
            (None, Kind::Gre(gre)) => {
                gre.plain()?;
                gre.write(&mut shim, protocol::ETHERNET);
            }
            (Some(udp), Kind::None) => shim = udp.plain_of_frames()?,
            _ => return None,
        }
        Some((shim, self.len()))
    }

    /// Whether what arrives is judged by nothing but whose it is.
    pub(super) const fn takes_plain(&self) -> bool {
        // UDP that has no checksum in IPv6 is for the fast path to ask about.
        match &self.kind {
            Kind::None => true,
            Kind::Gre(gre) => gre.takes_plain(),
            Kind::Minimal | Kind::Erspan(_) => false,
        }
    }

    /// How many bytes they have.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "`is_none` says so")]
    pub fn len(&self) -> usize {
        self.udp.as_ref().map_or(0, Udp::len) + self.kind.len()
    }

    /// The protocol of the outer header around a packet of IP protocol `carried`.
    #[inline]
    pub const fn outer_protocol(&self, carried: u8) -> u8 {
        if self.udp.is_some() { protocol::UDP } else { self.kind.protocol(carried) }
    }

    /// Writes them to the start of `bytes`, whose rest is the packet inside.
    #[inline]
    pub fn write(&self, bytes: &mut [u8], contents: &Contents) {
        let udp_len = self.udp.as_ref().map_or(0, Udp::len);
        self.kind.write(bytes.get_mut(udp_len..).unwrap_or(&mut []), contents);
        if let Some(udp) = &self.udp {
            udp.write(bytes, self.kind.protocol(contents.protocol), contents.hash);
        }
    }

    /// Fills in what the outer header counts for: `packet` begins there, and the headers at `at`.
    #[inline]
    pub fn finish(&self, packet: &mut [u8], at: usize) {
        if self.udp.as_ref().is_some_and(|udp| udp.has_checksum) {
            udp::set_checksum(packet, at);
        }
    }

    /// The label of what arrives.
    pub fn input_label(&self) -> Label {
        match (&self.udp, &self.kind) {
            (None, Kind::None) => Label::NONE,
            (None, Kind::Gre(gre)) => Label::new(Class::Gre, 0, gre.input_key),
            (_, Kind::Minimal) => Label::new(Class::Minimal, 0, None),
            (Some(udp), Kind::None) => Label::new(udp.class(false), udp.listens_at, udp.id()),
            (Some(udp), Kind::Gre(gre)) => {
                Label::new(udp.class(true), udp.listens_at, gre.input_key)
            }
            (_, Kind::Erspan(erspan)) => erspan.input_label(),
        }
    }

    /// What is to be counted about a packet that [`judge`](Self::judge) has let pass; as an error: it is not
    /// taken after all.
    pub fn judge_reserved(&self, packet: &[u8], at: usize) -> Result<Option<Counter>, Counter> {
        let Some(udp) = &self.udp else { return Ok(None) };
        udp.judge_reserved(packet.get(at..).unwrap_or(&[]))
    }

    /// Judges the headers at `at` of an arrived packet, by which the tunnel was found. `outer` is the
    /// protocol of the outer header.
    ///
    /// # Errors
    /// The drop counter, when the tunnel does not take a packet with such headers.
    #[inline]
    pub fn judge(
        &self,
        packet: &[u8],
        (outer, at): (u8, usize),
        now: Nanos,
    ) -> Result<Judged, Counter> {
        if self.is_none() {
            return Ok(Judged::bare(0, outer));
        }
        let payload = packet.get(at..).unwrap_or(&[]);
        let udp = self.judge_udp(packet, payload, outer)?;
        let behind_udp = payload.get(udp.len..).unwrap_or(&[]);
        match &self.kind {
            Kind::None => Ok(udp),
            Kind::Gre(gre) => {
                let gre = gre.judge(behind_udp, now)?;
                Ok(Judged { len: udp.len + gre.len, has_udp_sum: udp.has_udp_sum, ..gre })
            }
            Kind::Minimal => {
                minimal::judge(behind_udp).map(|(len, carried)| Judged::bare(len, carried))
            }
            Kind::Erspan(erspan) => Ok(Judged::bare(erspan.judge(payload)?, protocol::ETHERNET)),
        }
    }

    /// Where what a packet carries ends at the latest, if its headers at `at` say so.
    #[inline]
    pub fn end(&self, packet: &[u8], at: usize) -> Option<usize> {
        self.udp.as_ref()?;
        Some(at + usize::from(read_u16(packet, at + udp::offset::LENGTH)))
    }

    fn judge_udp(&self, packet: &[u8], payload: &[u8], outer: u8) -> Result<Judged, Counter> {
        let Some(own) = &self.udp else { return Ok(Judged::bare(0, outer)) };
        let has_no_checksum = read_u16(payload, udp::offset::CHECKSUM) == 0;
        let is_ipv6 = packet.first().is_some_and(|first| first >> 4 == 6);
        if is_ipv6 && has_no_checksum && !own.needs_no_checksum {
            //= RFC 8200 §8.1: UDP over IPv6 has a checksum; RFC 6935 §5 excepts tunnels that say so.
            return Err(Counter::UdpZeroCsum6);
        }
        let behind = own.service().read(payload.get(udp::HEADER_LEN..).unwrap_or(&[]))?;
        let judged = Judged::bare(udp::HEADER_LEN + behind.len, behind.carried);
        Ok(Judged { has_udp_sum: Some(!has_no_checksum), ..judged })
    }

    /// Whether the headers that an ICMP error quotes can be those of a packet with these; `quoted` follows an
    /// outer header of protocol `outer`, and may be cut anywhere. If so: their bytes, and the IP protocol of what
    /// followed, as far as that is known.
    pub(super) fn recognise(&self, outer: u8, quoted: &[u8]) -> Option<(usize, u8)> {
        if self.is_none() {
            return Some((0, outer));
        }
        let (udp_len, carried) = match &self.udp {
            None => (0, outer),
            Some(_) if outer != protocol::UDP => return None,
            Some(udp) => udp.recognise(quoted)?,
        };
        match &self.kind {
            Kind::None => Some((udp_len, carried)),
            Kind::Minimal if carried != protocol::MINIMAL => None,
            Kind::Minimal => minimal::recognise(quoted),
            // So much is not quoted.
            Kind::Gre(gre) if carried == protocol::NO_NEXT_HEADER => {
                Some((udp_len + gre.len(), carried))
            }
            Kind::Gre(_) if carried != protocol::GRE => None,
            Kind::Gre(gre) => {
                let (len, carried) = gre.recognise(quoted.get(udp_len..).unwrap_or(&[]))?;
                Some((udp_len + len, carried))
            }
            Kind::Erspan(erspan) if outer == protocol::GRE => erspan.recognise(quoted),
            Kind::Erspan(_) => None,
        }
    }
}

/// Headers that a tunnel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Their bytes.
    pub len: usize,
    /// Which IP protocol follows.
    pub carried: u8,
    /// Whether GRE has a checksum, which is right then.
    pub has_gre_sum: bool,
    /// The same for UDP, if there is any.
    pub has_udp_sum: Option<bool>,
}

impl Judged {
    /// Without checksums.
    const fn bare(len: usize, carried: u8) -> Self {
        Self { len, carried, has_gre_sum: false, has_udp_sum: None }
    }
}

impl Kind {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Gre(gre) => gre.len(),
            // Without the source, for which the outer header has room in place of its own.
            Self::Minimal => wire::minimal::HEADER_LEN,
            Self::Erspan(erspan) => erspan.len(),
        }
    }

    /// Its IP protocol, around a packet of IP protocol `carried`.
    const fn protocol(&self, carried: u8) -> u8 {
        match self {
            Self::None => carried,
            Self::Gre(_) | Self::Erspan(_) => protocol::GRE,
            Self::Minimal => protocol::MINIMAL,
        }
    }

    fn write(&self, bytes: &mut [u8], contents: &Contents) {
        match self {
            // Minimal headers are written where the packet's own is at hand.
            Self::None | Self::Minimal => {}
            Self::Gre(gre) => gre.write(bytes, contents.protocol),
            Self::Erspan(erspan) => erspan.write(bytes, contents),
        }
    }
}

/// Whether an outer protocol is one behind which tunnels here have their headers, or their packets.
#[inline]
pub const fn is_shim(outer: u8) -> bool {
    matches!(
        outer,
        protocol::IPV4
            | protocol::IPV6
            | protocol::GRE
            | protocol::MINIMAL
            | protocol::UDP
            | protocol::MPLS
    )
}

/// What an arriving packet says about the tunnel that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Whose it is.
    pub label: Label,
    /// What it carries.
    pub carries: Protocols,
}

impl Arrival {
    /// Reads what an IP packet has at `at`, behind an outer header of protocol `outer`. `None`: no
    /// tunnel's headers.
    ///
    /// # Errors
    /// The drop counter, when they must be refused whatever tunnel they are for.
    #[inline]
    pub fn read(
        packet: &[u8],
        (outer, at): (u8, usize),
        ports: &UdpPorts,
    ) -> Result<Option<Self>, Counter> {
        match outer {
            protocol::GRE => Self::read_gre(packet.get(at..).unwrap_or(&[])).map(Some),
            protocol::MINIMAL => {
                minimal::read(packet.get(at..).unwrap_or(&[]))?;
                let label = Label::new(Class::Minimal, 0, None);
                Ok(Some(Self { label, carries: Protocols::IPV4 }))
            }
            protocol::UDP if !ports.is_empty() => Self::read_udp(packet, at, ports),
            _ => {
                let carries = Protocols::of(outer);
                let is_tunnels = carries != Protocols::NONE;
                Ok(is_tunnels.then_some(Self { label: Label::NONE, carries }))
            }
        }
    }

    #[inline]
    fn read_gre(payload: &[u8]) -> Result<Self, Counter> {
        let (header, carries) = gre::read(payload)?;
        if carries == Protocols::NONE
            && let Some(found) = erspan::read(payload)?
        {
            return Ok(Self { label: found.label, carries: Protocols::ETHERNET });
        }
        Ok(Self { label: Label::new(Class::Gre, 0, header.key), carries })
    }

    fn read_udp(packet: &[u8], at: usize, ports: &UdpPorts) -> Result<Option<Self>, Counter> {
        let port = read_u16(packet, at + udp::offset::DESTINATION);
        let Some(service) = ports.get(port) else { return Ok(None) };
        let datagram = Datagram::parse(packet, at).map_err(|error| match error {
            UdpError::Short => Counter::UdpShort,
            UdpError::Checksum => Counter::UdpBadCsum,
        })?;
        let payload = datagram.bytes.get(udp::HEADER_LEN..).unwrap_or(&[]);
        let Behind { len, carried, id } = service.read(payload)?;
        if carried != protocol::GRE {
            let label = Label::new(service.class(false), port, id);
            return Ok(Some(Self { label, carries: Protocols::carried(carried) }));
        }
        let (header, inner) = gre::read(payload.get(len..).unwrap_or(&[]))?;
        let label = Label::new(service.class(true), port, header.key);
        Ok(Some(Self { label, carries: inner }))
    }
}

/// The packet inside one to this node, behind an outer header of protocol `outer` at `at`, as far as a glance
/// tells; nothing is checked. `None`: no tunnel's.
#[inline]
pub fn inside<'p>(
    packet: &'p [u8],
    (outer, at): (u8, usize),
    ports: &UdpPorts,
) -> Option<&'p [u8]> {
    let payload = packet.get(at..)?;
    match outer {
        protocol::IPV4 | protocol::IPV6 => Some(payload),
        protocol::MPLS => mpls::ip_inside(payload),
        protocol::GRE => gre::inside(payload).or_else(|| erspan::inside(payload)),
        protocol::UDP => {
            let service = ports.get(read_u16(payload, udp::offset::DESTINATION))?;
            let payload = payload.get(udp::HEADER_LEN..)?;
            let Behind { len, carried, .. } = service.read(payload).ok()?;
            let behind = payload.get(len..)?;
            match carried {
                protocol::GRE => gre::inside(behind),
                protocol::ETHERNET => behind.get(ethernet::ip_at(behind)?..),
                protocol::MPLS => mpls::ip_inside(behind),
                _ => Some(behind),
            }
        }
        _ => None,
    }
}

/// The label that a quoted packet was sent with, if it shows one that most tunnels also are found by.
pub fn quoted_label(outer: u8, quoted: &[u8], ports: &UdpPorts) -> Option<Label> {
    match outer {
        protocol::GRE if erspan::is_quoted(quoted) => None,
        protocol::GRE => Some(Label::new(Class::Gre, 0, gre::quoted_key(quoted).ok()?)),
        protocol::MINIMAL => Some(Label::new(Class::Minimal, 0, None)),
        protocol::UDP => {
            // Mostly both ends listen at the same port.
            let port = read_u16(quoted, udp::offset::DESTINATION);
            let service = ports.get(port)?;
            let Behind { carried, id, .. } = service.read(quoted.get(udp::HEADER_LEN..)?).ok()?;
            (carried != protocol::GRE).then(|| Label::new(service.class(false), port, id))
        }
        _ => None,
    }
}
