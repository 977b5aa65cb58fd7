//! ICMP errors of the underlay about packets of tunnels (RFC 2003 §4, RFC 2473 §8, RFC 4213 §3.4): what
//! they say, which packet they quote, what is inside it, and what its sender is told.
//!
//! Everything here reads bytes that anybody may have sent. Whether a tunnel has sent the quoted
//! packet, and whether the packet inside would go through it, is for the caller to find out.

use core::net::IpAddr;

use super::icmp_error::{IcmpError, is_host_ipv4, is_host_ipv6};
use super::options::{EncapLimit, Extensions, encap_limit};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::ipv6::{self, Ipv6};
use crate::wire::{icmp4, icmp6, minimal, protocol, read_u16, read_u32};

/// What went wrong with a packet on its way to the far end of a tunnel, for both families alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No way to the remote's network.
    Network,
    /// No way to the remote.
    Host,
    /// The remote does not speak the tunnel's protocol.
    Protocol,
    /// An administrator's filter.
    Prohibited,
    /// Too big for a link on the way.
    TooBig {
        /// The link's MTU; 0: an old router that does not say.
        mtu: u32,
    },
    /// The TTL or hop limit ran out on the way.
    Expired,
    /// A tunnel on the way refused it, for its encapsulation limit of 0.
    EncapLimit,
}

impl Cause {
    /// What an ICMP message says; `None`: nothing that concerns a sender behind a tunnel.
    #[inline]
    fn of_icmp4(message: &[u8]) -> Option<Self> {
        use icmp4::{message as kind, time_exceeded, unreachable};
        let &[kind, code] = message.first_chunk::<2>()?;
        Some(match (kind, code) {
            (kind::UNREACHABLE, unreachable::NETWORK) => Self::Network,
            //= RFC 1812 §5.2.7.1: destination network or host unknown, source host isolated, network or
            //= host unreachable for this type of service.
            (kind::UNREACHABLE, unreachable::HOST | 6 | 7 | 8 | 11 | 12) => Self::Host,
            (kind::UNREACHABLE, unreachable::PROTOCOL) => Self::Protocol,
            // Around UDP, that the far end listens at no such port says what that does around IP.
            (kind::UNREACHABLE, unreachable::PORT) if quotes_udp(message) => Self::Protocol,
            //= RFC 1812 §5.2.7.1: communication prohibited, to the network, the host, or at all.
            (kind::UNREACHABLE, 9 | 10 | unreachable::PROHIBITED) => Self::Prohibited,
            (kind::UNREACHABLE, unreachable::FRAGMENTATION_NEEDED) => {
                Self::TooBig { mtu: read_u16(message, icmp4::offset::MTU).into() }
            }
            (kind::TIME_EXCEEDED, time_exceeded::TRANSIT) => Self::Expired,
            //= RFC 2003 §4: port unreachable, source route failed, source quench, redirect, reassembly
            //= and parameter problems are about the outer header, which its sender knows nothing of.
            _ => return None,
        })
    }

    /// Whether it says something about all packets of the path. `inherits_ttl`: the tunnel does not set
    /// the outer TTL itself.
    pub const fn is_of_path(self, inherits_ttl: bool) -> bool {
        match self {
            Self::Network | Self::Host | Self::Protocol | Self::Prohibited => true,
            // A TTL that the sender chose so short, as traceroute does, is that packet's own.
            Self::Expired => !inherits_ttl,
            Self::TooBig { .. } | Self::EncapLimit => false,
        }
    }

    /// What an error of ours about the outer packet of a tunnel means to that tunnel, which is inside
    /// another (RFC 2473 §8.4).
    pub const fn from_error(error: IcmpError) -> Self {
        match error {
            IcmpError::TooBig { mtu } => Self::TooBig { mtu: mtu as u32 },
            IcmpError::NoRoute => Self::Network,
            IcmpError::Prohibited => Self::Prohibited,
            IcmpError::TimeExceeded => Self::Expired,
            _ => Self::Host,
        }
    }
}

/// An error of the underlay, as far as it is one that senders behind tunnels are told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderlayError<'a> {
    /// What it says.
    pub cause: Cause,
    /// The packet that it quotes, from its IP header on, as much of it as there is.
    pub quoted: &'a [u8],
}

impl<'a> UnderlayError<'a> {
    /// Reads an ICMP message whose checksum is right. `None`: it is of no concern to any sender.
    pub fn of_icmp4(message: &'a [u8]) -> Option<Self> {
        let cause = Cause::of_icmp4(message)?;
        //= RFC 4884 §4.1: the quoted packet ends after so many words of four bytes, and what follows
        //= are extensions; 0 says that there are none.
        let words = usize::from(*message.get(5)?);
        Some(Self { cause, quoted: quoted(message, words * 4)? })
    }

    /// Whether [`of_icmp4`](Self::of_icmp4) shows at least `len` bytes of a quoted packet, which are there.
    #[inline]
    pub fn shows_of_icmp4(message: &[u8], len: usize) -> bool {
        let words = message.get(5).map_or(0, |&words| usize::from(words));
        (words == 0 || words * 4 >= len) && Cause::of_icmp4(message).is_some()
    }

    /// The same for `ICMPv6`.
    pub fn of_icmp6(message: &'a [u8]) -> Option<Self> {
        use icmp6::{message as kind, parameter_problem, time_exceeded};
        let &[kind, code] = message.first_chunk::<2>()?;
        let word = read_u32(message, icmp6::offset::MTU);
        //= RFC 4884 §4.2: the length is in units of eight bytes.
        let units = usize::from(*message.get(4)?);
        let (cause, quoted) = match (kind, code) {
            //= RFC 2473 §8.2: all of these are "address unreachable" to the sender.
            (kind::UNREACHABLE, _) => (Cause::Host, quoted(message, units * 8)?),
            (kind::TIME_EXCEEDED, time_exceeded::TRANSIT) => {
                (Cause::Expired, quoted(message, units * 8)?)
            }
            (kind::PACKET_TOO_BIG, _) => (Cause::TooBig { mtu: word }, quoted(message, 0)?),
            (kind::PARAMETER_PROBLEM, parameter_problem::FIELD) => {
                let quoted = quoted(message, 0)?;
                //= RFC 2473 §8.2: only where it points at an encapsulation limit of 0.
                match encap_limit(quoted) {
                    EncapLimit::Present { value: 0, pointer } if u32::from(pointer) == word => {
                        (Cause::EncapLimit, quoted)
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(Self { cause, quoted })
    }

    /// Whether [`of_icmp6`](Self::of_icmp6) shows at least `len` bytes of a quoted packet, which are there; false for
    /// parameter problems, too.
    #[inline]
    pub fn shows_of_icmp6(message: &[u8], len: usize) -> bool {
        use icmp6::{message as kind, time_exceeded};
        let Some(&[kind, code, _, _, units]) = message.first_chunk() else { return false };
        let is_long = units == 0 || usize::from(units) * 8 >= len;
        match kind {
            kind::UNREACHABLE => is_long,
            kind::TIME_EXCEEDED => is_long && code == time_exceeded::TRANSIT,
            kind => kind == kind::PACKET_TOO_BIG,
        }
    }
}

/// Whether the packet that an ICMP message quotes has UDP in it.
fn quotes_udp(message: &[u8]) -> bool {
    message.get(icmp4::HEADER_LEN + ipv4::offset::PROTOCOL) == Some(&protocol::UDP)
}

/// What a message quotes behind its header of eight bytes; no more than `len` bytes, if that is not 0.
fn quoted(message: &[u8], len: usize) -> Option<&[u8]> {
    let all = message.get(icmp4::HEADER_LEN..)?;
    let len = if len == 0 { all.len() } else { len.min(all.len()) };
    all.get(..len)
}

/// The outer packet that an error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Whom it came from.
    pub source: IpAddr,
    /// Whom it went to.
    pub destination: IpAddr,
    /// What it carried, behind all extension headers.
    pub protocol: u8,
    /// Its bytes, as its header says.
    pub total_len: usize,
    /// Routers were not allowed to fragment it.
    pub dont_fragment: bool,
    /// Bytes that a tunnel had put in front of the inner packet.
    pub overhead: u16,
    /// As much of the inner packet as there is: nothing when the quote ends before, or begins behind.
    pub inner: &'a [u8],
}

impl<'a> Quote<'a> {
    /// Reads a quoted packet; `None`: it is cut too short, or makes no sense.
    pub fn of(quoted: &'a [u8]) -> Option<Self> {
        match quoted.first()? >> 4 {
            4 => Self::of_ipv4(quoted),
            6 => Self::of_ipv6(quoted),
            _ => None,
        }
    }

    fn of_ipv4(quoted: &'a [u8]) -> Option<Self> {
        let header = Ipv4::trusted(Some(quoted).filter(|all| all.len() >= ipv4::HEADER_LEN)?);
        let (header_len, total_len) = (header.header_len(), usize::from(header.total_len()));
        if header_len < ipv4::HEADER_LEN || total_len < header_len {
            return None;
        }
        let is_piece = header.fragment_field() & ipv4::OFFSET_MASK != 0;
        let end = total_len.min(quoted.len());
        let inner = quoted.get(header_len..end).filter(|_| !is_piece);
        Some(Self {
            source: IpAddr::V4(header.source().into()),
            destination: IpAddr::V4(header.destination().into()),
            protocol: header.protocol(),
            total_len,
            dont_fragment: header.dont_fragment(),
            overhead: u16::try_from(header_len).ok()?,
            inner: inner.unwrap_or(&[]),
        })
    }

    fn of_ipv6(quoted: &'a [u8]) -> Option<Self> {
        let header = Ipv6::trusted(Some(quoted).filter(|all| all.len() >= ipv6::HEADER_LEN)?);
        let mut extensions = Extensions::new(quoted);
        let fragment_len: usize = extensions
            .by_ref()
            .filter(|extension| extension.kind == protocol::FRAGMENT)
            .map(|extension| extension.len)
            .sum();
        let (position, total_len) = (extensions.position(), header.total_len());
        let end = total_len.min(quoted.len());
        let inner = quoted.get(position..end).filter(|_| !extensions.is_at_piece());
        Some(Self {
            source: IpAddr::V6(header.source().into()),
            destination: IpAddr::V6(header.destination().into()),
            protocol: extensions.next_header(),
            total_len,
            dont_fragment: true,
            overhead: u16::try_from(position - fragment_len).ok()?,
            inner: inner.unwrap_or(&[]),
        })
    }

    /// The same without `len` bytes of headers that stand behind the outer IP header, in front of a packet of
    /// IP protocol `carried`.
    #[must_use]
    pub fn behind(self, len: usize, carried: u8) -> Self {
        let overhead = self.overhead.saturating_add(u16::try_from(len).unwrap_or(u16::MAX));
        let inner = self.inner.get(len..).unwrap_or(&[]);
        Self { protocol: carried, overhead, inner, ..self }
    }

    /// The same where a forwarding header of `len` bytes follows the outer header, which is the inner one folded (RFC
    /// 2004): from there on, as it was quoted.
    #[must_use]
    pub fn folded(self, quoted: &'a [u8], len: usize) -> Self {
        let overhead = u16::try_from(len).unwrap_or(u16::MAX);
        let inner = quoted.get(..self.total_len.min(quoted.len())).unwrap_or(&[]);
        Self { protocol: protocol::IPV4, overhead, inner, ..self }
    }

    /// The packet inside. `None`: the quote ends before its header does.
    ///
    /// # Errors
    /// When it is not what the outer header says.
    pub fn inner(&self) -> Result<Option<Inner>, NotInside> {
        // Behind labels nobody is told.
        if self.inner.is_empty() || self.protocol == protocol::MPLS {
            return Ok(None);
        }
        let version = match self.protocol {
            // Whom a frame was from is nothing to tell errors by.
            protocol::ETHERNET => return Ok(None),
            protocol::IPV4 => 4,
            protocol::IPV6 => 6,
            _ => return Err(NotInside),
        };
        match self.inner.first().map(|first| first >> 4) {
            None => Ok(None),
            Some(4) if version == 4 => Inner::of_ipv4(self.inner),
            Some(6) if version == 6 => Ok(Inner::of_ipv6(self.inner)),
            Some(_) => Err(NotInside),
        }
    }
}

/// What is inside a quoted packet is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInside;

/// The packet inside a quoted one, as far as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Its sender.
    pub source: IpAddr,
    /// Whom it was for.
    pub destination: IpAddr,
    /// Its bytes, as its header says.
    pub total_len: usize,
    /// IPv4: it may not be fragmented. Nobody fragments IPv6.
    pub dont_fragment: bool,
    /// There is enough of it for its sender to know it by: the header and eight bytes.
    pub is_enough: bool,
    /// It reports an error itself.
    pub is_icmp_error: bool,
}

/// What a sender needs of its packet behind the header.
const BEHIND_HEADER_MIN: usize = 8;

impl Inner {
    fn of_ipv4(bytes: &[u8]) -> Result<Option<Self>, NotInside> {
        if bytes.len() < ipv4::HEADER_LEN {
            return Ok(None);
        }
        let header = Ipv4::trusted(bytes);
        let (header_len, total_len) = (header.header_len(), usize::from(header.total_len()));
        if header_len < ipv4::HEADER_LEN || total_len < header_len {
            return Err(NotInside);
        }
        let kind = header.payload().first().filter(|_| header.protocol() == protocol::ICMP);
        let is_first = header.fragment_field() & ipv4::OFFSET_MASK == 0;
        Ok(Some(Self {
            source: IpAddr::V4(header.source().into()),
            destination: IpAddr::V4(header.destination().into()),
            total_len,
            dont_fragment: header.dont_fragment(),
            is_enough: bytes.len() >= total_len.min(header_len + BEHIND_HEADER_MIN),
            is_icmp_error: is_first && kind.is_some_and(|&kind| icmp4::is_error(kind)),
        }))
    }

    /// Of a packet whose header is folded into that of `folded`, the beginning of one. `None`: too little is there.
    pub fn of_folded(folded: &[u8]) -> Option<Self> {
        let mut room = [0; ipv4::HEADER_LEN_MAX + BEHIND_HEADER_MIN];
        let (len, _) = minimal::unfold(folded, &mut room)?;
        Self::of_ipv4(room.get(..len)?).ok()?
    }

    fn of_ipv6(bytes: &[u8]) -> Option<Self> {
        let header = Ipv6::trusted(Some(bytes).filter(|all| all.len() >= ipv6::HEADER_LEN)?);
        let total_len = header.total_len();
        let mut extensions = Extensions::new(bytes);
        extensions.by_ref().for_each(drop);
        let is_icmp = extensions.next_header() == protocol::ICMPV6 && !extensions.is_at_piece();
        let kind = bytes.get(extensions.position()).filter(|_| is_icmp);
        let is_error = |kind: u8| icmp6::is_error(kind) || kind == icmp6::message::REDIRECT;
        Some(Self {
            source: IpAddr::V6(header.source().into()),
            destination: IpAddr::V6(header.destination().into()),
            total_len,
            dont_fragment: true,
            is_enough: bytes.len() >= total_len.min(ipv6::HEADER_LEN + BEHIND_HEADER_MIN),
            is_icmp_error: kind.is_some_and(|&kind| is_error(kind)),
        })
    }

    /// Whether it can come from one host, and is not a report itself: only then somebody is told.
    pub fn may_be_told_of(&self) -> bool {
        let is_host = match self.source {
            IpAddr::V4(source) => is_host_ipv4(source),
            IpAddr::V6(source) => is_host_ipv6(source),
        };
        is_host && !self.is_icmp_error
    }

    /// What its sender is told about it; `None`: nothing.
    pub fn error(&self, cause: Cause, words: Words) -> Option<IcmpError> {
        let is_ipv4 = self.source.is_ipv4();
        Some(match cause {
            Cause::TooBig { .. } => {
                let mtu = words.mtu.max(if is_ipv4 { ipv4::MTU_MIN } else { ipv6::MINIMUM_MTU });
                let is_too_big = self.total_len > usize::from(mtu) && self.dont_fragment;
                return is_too_big.then_some(IcmpError::TooBig { mtu });
            }
            //= RFC 2003 §4.1: net unreachable, or host unreachable for who is on a net of the
            //= encapsulator; protocol unreachable is never passed on as such.
            Cause::Network | Cause::Protocol if is_ipv4 && !words.is_connected => {
                IcmpError::NoRoute
            }
            Cause::Prohibited if is_ipv4 && words.tells_prohibited => IcmpError::Prohibited,
            //= RFC 2003 §4.4, RFC 2473 §8.2: host unreachable, as the tunnel is one hop; but where it is
            //= not, because the TTL counts on inside, the sender sees its own TTL run out.
            Cause::Expired if words.inherits_ttl => IcmpError::TimeExceeded,
            //= RFC 4213 §3.4, RFC 2473 §8.2: address unreachable, for all else.
            _ => IcmpError::HostUnreachable,
        })
    }
}

/// What decides about the words in which a sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The largest inner packet now.
    pub mtu: u16,
    /// The outer TTL is the inner one.
    pub inherits_ttl: bool,
    /// That it was a filter may be said.
    pub tells_prohibited: bool,
    /// The inner destination is on a net that this node is connected to.
    pub is_connected: bool,
}

/// The MTU that an old router probably has, which says that a packet of `total_len` bytes was too big and not
/// what fits.
pub fn plateau_below(total_len: usize) -> u16 {
    //= RFC 1191 §7.1: the table of plateaus of the links there are.
    const PLATEAUS: [u16; 10] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];
    PLATEAUS.into_iter().find(|&plateau| usize::from(plateau) < total_len).unwrap_or(ipv4::MTU_MIN)
}

#[cfg(test)]
mod tests;
