//! What stands between the outer IP header and the packet inside. Every kind of encapsulation has its
//! file; here is the one list of them, and what the packet path asks of each.

use super::gre::{self, Gre};
use super::lookup::{Class, Label, Protocols};
use crate::clock::Nanos;
use crate::counters::Counter;
use crate::wire::protocol;

/// The headers that a tunnel puts between the outer IP header and the packet inside.
#[derive(Clone, Debug, Default)]
pub enum Shim {
    /// None: the packet follows directly, and the outer protocol says which it is.
    #[default]
    None,
    /// A GRE header.
    Gre(Gre),
}

impl Shim {
    /// How many bytes they have.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "`None` says so")]
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Gre(gre) => gre.len(),
        }
    }

    /// The protocol of the outer header around a packet of IP protocol `carried`.
    #[inline]
    pub const fn outer_protocol(&self, carried: u8) -> u8 {
        match self {
            Self::None => carried,
            Self::Gre(_) => protocol::GRE,
        }
    }

    /// Writes them to the start of `bytes`, whose rest is the packet inside, of IP protocol `carried`.
    #[inline]
    pub fn write(&self, bytes: &mut [u8], carried: u8) {
        match self {
            Self::None => {}
            Self::Gre(gre) => gre.write(bytes, carried),
        }
    }

    /// The label of what arrives.
    pub const fn input_label(&self) -> Label {
        match self {
            Self::None => Label::NONE,
            Self::Gre(gre) => gre::label(gre.input_key),
        }
    }

    /// The label of what is sent.
    pub const fn output_label(&self) -> Label {
        match self {
            Self::None => Label::NONE,
            Self::Gre(gre) => gre::label(gre.output_key),
        }
    }

    /// Judges the headers at the start of `payload`, by which the tunnel was found, and says how many
    /// bytes they have, and which IP protocol follows. `outer` is the outer protocol.
    ///
    /// # Errors
    /// The drop counter, when the tunnel does not take a packet with such headers.
    #[inline]
    pub fn judge(&self, outer: u8, payload: &[u8], now: Nanos) -> Result<(usize, u8), Counter> {
        match self {
            Self::None => Ok((0, outer)),
            Self::Gre(gre) => {
                let header =
                    crate::wire::gre::Gre::parse(payload).map_err(|_| Counter::TunShimShort)?;
                gre.judge(header, now)?;
                let carried = gre::carried(header.protocol_type).unwrap_or_default();
                Ok((header.header_len, gre::protocol_of(carried)))
            }
        }
    }
}

/// Whether an outer protocol is one behind which tunnels here have their headers, or their packets.
#[inline]
pub const fn is_shim(outer: u8) -> bool {
    matches!(outer, protocol::IPV4 | protocol::IPV6 | protocol::GRE)
}

/// What an arriving packet says about the tunnel that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Whose it is.
    pub label: Label,
    /// What it carries.
    pub carries: Protocols,
    /// How many bytes stand in front of that.
    pub len: usize,
}

impl Arrival {
    /// Reads what follows an outer header of this protocol. `None`: no tunnel's headers.
    ///
    /// # Errors
    /// The drop counter, when they must be refused whatever tunnel they are for.
    #[inline]
    pub fn read(outer: u8, payload: &[u8]) -> Result<Option<Self>, Counter> {
        if outer == protocol::GRE {
            let (header, label, carries) = gre::read(payload)?;
            return Ok(Some(Self { label, carries, len: header.header_len }));
        }
        let carries = Protocols::of(outer);
        let is_ip = carries != Protocols::NONE;
        Ok(is_ip.then_some(Self { label: Label::NONE, carries, len: 0 }))
    }
}

/// What an ICMP error quotes of the headers of a packet that a tunnel sent: as much as there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedShim {
    /// Which headers; `None`: IP directly in IP.
    pub class: Option<Class>,
    /// The label that it was sent with; `None`: the quote does not show it.
    pub label: Option<Label>,
    /// The IP protocol of what was inside.
    pub carried: u8,
    /// How many bytes the headers have.
    pub len: usize,
}

impl QuotedShim {
    /// Reads what follows an outer header of this protocol. `None`: no tunnel here can have sent it.
    pub fn read(outer: u8, quoted: &[u8]) -> Option<Self> {
        match outer {
            protocol::GRE => gre::read_quoted(quoted),
            _ => Some(Self { class: None, label: Some(Label::NONE), carried: outer, len: 0 }),
        }
    }
}
