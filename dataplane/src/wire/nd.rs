//! Neighbor discovery (RFC 4861): what a valid solicitation or advertisement says, the frames we
//! send, and the answer that a tunnel's own address owes.
//!
//! Router discovery and redirects are recognised and not read. Nothing here knows a neighbor; the
//! state machine of the control side does.

use core::net::Ipv6Addr;

use super::ethernet::{self, MacAddress, ether_type};
use super::ipv6::{self, Ipv6, Ipv6Fields};
use super::{checksum, protocol, read_u128, write_u16};

/// `ff02::1`, where unsolicited advertisements go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Bytes of a solicitation or advertisement without options.
const MESSAGE_LEN: usize = 24;
/// Bytes of a link-layer address option for Ethernet.
const OPTION_LEN: usize = 8;
/// The longest packet that is made here.
const PACKET_LEN_MAX: usize = ipv6::HEADER_LEN + MESSAGE_LEN + OPTION_LEN;

//= RFC 4861 §4.3: messages are sent with hop limit 255, so that none comes from beyond the link.
const HOP_LIMIT: u8 = 255;

mod kind {
    pub(super) const ROUTER_SOLICITATION: u8 = 133;
    pub(super) const SOLICITATION: u8 = 135;
    pub(super) const ADVERTISEMENT: u8 = 136;
    pub(super) const REDIRECT: u8 = 137;
}

mod option {
    pub(super) const SOURCE_MAC: u8 = 1;
    pub(super) const TARGET_MAC: u8 = 2;
}

mod flag {
    pub(super) const ROUTER: u8 = 0x80;
    pub(super) const SOLICITED: u8 = 0x40;
    pub(super) const REPLACE: u8 = 0x20;
}

/// A valid message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who has the target?
    Solicitation(Solicitation),
    /// The target is here.
    Advertisement(Advertisement),
    /// Router solicitation, router advertisement or redirect, which this node does not follow.
    Ignored,
}

/// A neighbor solicitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; `::` when it is about to take the address (duplicate address detection).
    pub source: Ipv6Addr,
    /// The target, or its solicited-node group.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The source link-layer address option.
    pub source_mac: Option<MacAddress>,
}

/// A neighbor advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who tells.
    pub source: Ipv6Addr,
    /// Who asked, or all nodes.
    pub destination: Ipv6Addr,
    /// The address that is told of.
    pub target: Ipv6Addr,
    /// R: the sender is a router.
    pub router: bool,
    /// S: the sender was asked.
    pub solicited: bool,
    /// O: the link-layer address takes the place of one that was known.
    pub replace: bool,
    /// The target link-layer address option.
    pub target_mac: Option<MacAddress>,
}

/// Why a message is not valid. All of them are counted as `nd.bad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NdError {
    /// The IPv6 header or an extension header is not valid.
    #[error("its IPv6 headers are not valid")]
    Header,
    /// Not a message of neighbor discovery at all.
    #[error("it is no message of neighbor discovery")]
    Other,
    /// It came in fragments.
    #[error("it is a fragment")]
    Fragment,
    /// Less than a whole solicitation or advertisement.
    #[error("it is shorter than 24 bytes")]
    Short,
    /// A router has forwarded it.
    #[error("its hop limit is not 255")]
    HopLimit,
    /// The code is not 0.
    #[error("its code is not 0")]
    Code,
    /// The checksum is wrong.
    #[error("its checksum is wrong")]
    Checksum,
    /// The source is a group.
    #[error("its source is a group")]
    Source,
    /// The target is a group.
    #[error("its target is a group")]
    Target,
    /// An option of length 0, or one that ends beyond the message.
    #[error("an option has length 0 or ends beyond the message")]
    Option,
    /// A link-layer address that is no station's, or not 6 bytes long.
    #[error("its link-layer address is not the MAC address of one station")]
    LinkLayerAddress,
    /// Source `::` with a destination that is no solicited-node group, or with a link-layer
    /// address.
    #[error("its source is :: where it must not be")]
    Unspecified,
    /// Solicited, and sent to a group.
    #[error("it claims to be solicited, and is sent to a group")]
    SolicitedToGroup,
}

/// Reads the packet at an IPv6 header; bytes behind it are padding.
pub fn parse(packet: &[u8]) -> Result<Message, NdError> {
    read(packet, Link::Ethernet)
}

/// What the packet came over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    Ethernet,
    /// No MAC addresses: options that give one are not looked at.
    Tunnel,
}

fn read(packet: &[u8], link: Link) -> Result<Message, NdError> {
    let ip = Ipv6::parse(packet).map_err(|_| NdError::Header)?;
    let upper = ip.upper_layer();
    //= RFC 6980 §5: neighbor discovery in fragments is ignored.
    if upper.fragment.is_some() {
        return Err(NdError::Fragment);
    }
    if upper.error.is_some() {
        return Err(NdError::Header);
    }
    let message = ip.bytes().get(upper.offset..).unwrap_or(&[]);
    let (kind::ROUTER_SOLICITATION..=kind::REDIRECT, protocol::ICMPV6) =
        (message.first().copied().unwrap_or(0), upper.protocol)
    else {
        return Err(NdError::Other);
    };
    match message[0] {
        kind::SOLICITATION => {
            check(&ip, message)?;
            solicitation(&ip, message, link).map(Message::Solicitation)
        }
        kind::ADVERTISEMENT => {
            check(&ip, message)?;
            advertisement(&ip, message, link).map(Message::Advertisement)
        }
        _ => Ok(Message::Ignored),
    }
}

/// The rules that solicitations and advertisements share.
fn check(ip: &Ipv6<'_>, message: &[u8]) -> Result<(), NdError> {
    //= RFC 4861 §7.1.1, §7.1.2: hop limit 255, right checksum, code 0, 24 bytes or more, no
    //= multicast target.
    if ip.hop_limit() != HOP_LIMIT {
        return Err(NdError::HopLimit);
    }
    if message.len() < MESSAGE_LEN {
        return Err(NdError::Short);
    }
    let addresses = &ip.bytes()[ipv6::offset::SOURCE..ipv6::HEADER_LEN];
    if sum(addresses, message) != 0 {
        return Err(NdError::Checksum);
    }
    if message[1] != 0 {
        return Err(NdError::Code);
    }
    //= RFC 4291 §2.7: a multicast address is never a source.
    if Ipv6Addr::from(ip.source()).is_multicast() {
        return Err(NdError::Source);
    }
    if target(message).is_multicast() {
        return Err(NdError::Target);
    }
    Ok(())
}

fn solicitation(ip: &Ipv6<'_>, message: &[u8], link: Link) -> Result<Solicitation, NdError> {
    let source = Ipv6Addr::from(ip.source());
    let destination = Ipv6Addr::from(ip.destination());
    let source_mac = link_layer_address(&message[MESSAGE_LEN..], option::SOURCE_MAC, link)?;
    //= RFC 4861 §7.1.1: from :: it goes to a solicited-node group and names no source MAC.
    if source.is_unspecified() && (source_mac.is_some() || !is_solicited_node(destination)) {
        return Err(NdError::Unspecified);
    }
    Ok(Solicitation { source, destination, target: target(message), source_mac })
}

fn advertisement(ip: &Ipv6<'_>, message: &[u8], link: Link) -> Result<Advertisement, NdError> {
    let destination = Ipv6Addr::from(ip.destination());
    let target_mac = link_layer_address(&message[MESSAGE_LEN..], option::TARGET_MAC, link)?;
    let flags = message[4];
    let solicited = flags & flag::SOLICITED != 0;
    //= RFC 4861 §7.1.2: an advertisement to a group is not solicited.
    if solicited && destination.is_multicast() {
        return Err(NdError::SolicitedToGroup);
    }
    Ok(Advertisement {
        source: Ipv6Addr::from(ip.source()),
        destination,
        target: target(message),
        router: flags & flag::ROUTER != 0,
        solicited,
        replace: flags & flag::REPLACE != 0,
        target_mac,
    })
}

fn target(message: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(read_u128(message, 8))
}

/// The first link-layer address of the wanted kind. All options are looked at, because one of
/// length 0 spoils the message wherever it stands.
fn link_layer_address(
    mut options: &[u8],
    wanted: u8,
    link: Link,
) -> Result<Option<MacAddress>, NdError> {
    let mut found = None;
    while let Some((&kind, rest)) = options.split_first() {
        let len = rest.first().map_or(0, |&units| usize::from(units) * 8);
        if len == 0 {
            return Err(NdError::Option);
        }
        let Some(this) = options.get(..len) else { return Err(NdError::Option) };
        if link == Link::Ethernet && kind == wanted && found.is_none() {
            let octets = this[2..].first_chunk::<6>().copied().unwrap_or_default();
            let mac = MacAddress(octets);
            if len != OPTION_LEN || !mac.is_station() {
                return Err(NdError::LinkLayerAddress);
            }
            found = Some(mac);
        }
        options = &options[len..];
    }
    Ok(found)
}

/// The checksum over addresses and message: what to write, or 0 when the written one is right.
fn sum(addresses: &[u8], message: &[u8]) -> u16 {
    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let start = checksum::pseudo_header(addresses, protocol::ICMPV6, len);
    !checksum::fold(checksum::sum(start, message))
}

impl Solicitation {
    /// Asks everybody on the link for `target`.
    pub fn resolve(mac: MacAddress, source: Ipv6Addr, target: Ipv6Addr) -> Self {
        Self { source, destination: solicited_node(target), target, source_mac: Some(mac) }
    }

    /// Asks `target` itself whether it is still there.
    pub fn probe(mac: MacAddress, source: Ipv6Addr, target: Ipv6Addr) -> Self {
        Self { source, destination: target, target, source_mac: Some(mac) }
    }

    /// Asks everybody whether somebody has an address that this node is about to take.
    pub fn doubt(address: Ipv6Addr) -> Self {
        //= RFC 4862 §5.4.2: from `::` to the solicited-node group of the address; so without a MAC address.
        Self {
            source: Ipv6Addr::UNSPECIFIED,
            destination: solicited_node(address),
            target: address,
            source_mac: None,
        }
    }

    /// The answer of a router that has the target and gives `mac` as where it is (`None` on links
    /// without MAC addresses).
    pub fn answer(&self, mac: Option<MacAddress>) -> Advertisement {
        //= RFC 4861 §7.2.4: who asks from :: is answered at all nodes, and not as solicited.
        let anonymous = self.source.is_unspecified();
        Advertisement {
            source: self.target,
            destination: if anonymous { ALL_NODES } else { self.source },
            target: self.target,
            router: true,
            solicited: !anonymous,
            //= RFC 4861 §7.2.4: without a link-layer address there is nothing to replace.
            replace: mac.is_some(),
            target_mac: mac,
        }
    }

    /// The frame that carries the packet from `source` to `destination`.
    pub fn frame(&self, source: MacAddress, destination: MacAddress) -> Vec<u8> {
        frame(source, destination, |room| {
            let body = Body { kind: kind::SOLICITATION, flags: 0, target: self.target };
            body.write(self.source, self.destination, self.source_mac, room)
        })
    }
}

impl Advertisement {
    /// Tells everybody that this router has `address`, and where.
    pub fn announcement(mac: MacAddress, address: Ipv6Addr) -> Self {
        Self {
            source: address,
            destination: ALL_NODES,
            target: address,
            router: true,
            solicited: false,
            replace: true,
            target_mac: Some(mac),
        }
    }

    /// Writes the packet, from its IPv6 header on. `None`: `room` is too small.
    pub fn write(&self, room: &mut [u8]) -> Option<usize> {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let flags = bit(self.router, flag::ROUTER)
            | bit(self.solicited, flag::SOLICITED)
            | bit(self.replace, flag::REPLACE);
        let body = Body { kind: kind::ADVERTISEMENT, flags, target: self.target };
        body.write(self.source, self.destination, self.target_mac, room)
    }

    /// The frame that carries the packet from `source` to `destination`.
    pub fn frame(&self, source: MacAddress, destination: MacAddress) -> Vec<u8> {
        frame(source, destination, |room| self.write(room))
    }
}

/// What solicitations and advertisements have in common.
struct Body {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
}

impl Body {
    fn write(
        &self,
        source: Ipv6Addr,
        destination: Ipv6Addr,
        mac: Option<MacAddress>,
        room: &mut [u8],
    ) -> Option<usize> {
        let len = MESSAGE_LEN + if mac.is_some() { OPTION_LEN } else { 0 };
        let (header, message) =
            room.get_mut(..ipv6::HEADER_LEN + len)?.split_at_mut(ipv6::HEADER_LEN);
        let fields = Ipv6Fields {
            traffic_class: 0,
            flow_label: 0,
            payload_len: u16::try_from(len).ok()?,
            next_header: protocol::ICMPV6,
            hop_limit: HOP_LIMIT,
            source,
            destination,
        };
        header.copy_from_slice(&fields.header());
        message.fill(0);
        message[0] = self.kind;
        message[4] = self.flags;
        message[8..MESSAGE_LEN].copy_from_slice(&self.target.octets());
        if let Some(mac) = mac {
            let kind = if self.kind == kind::SOLICITATION {
                option::SOURCE_MAC
            } else {
                option::TARGET_MAC
            };
            message[MESSAGE_LEN] = kind;
            message[MESSAGE_LEN + 1] = 1;
            message[MESSAGE_LEN + 2..].copy_from_slice(&mac.0);
        }
        let checksum = sum(&header[ipv6::offset::SOURCE..], message);
        write_u16(message, 2, checksum);
        Some(ipv6::HEADER_LEN + len)
    }
}

fn frame(
    source: MacAddress,
    destination: MacAddress,
    write: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + PACKET_LEN_MAX];
    frame[..6].copy_from_slice(&destination.0);
    frame[6..12].copy_from_slice(&source.0);
    write_u16(&mut frame, 12, ether_type::IPV6);
    let len = write(&mut frame[ethernet::HEADER_LEN..]).unwrap_or(0);
    frame.truncate(ethernet::HEADER_LEN + len);
    frame
}

/// Answers a solicitation that came out of a tunnel for an address of the tunnel itself.
///
/// `packet` is the inner packet, `is_own` tells whether the tunnel has an address. The answer is
/// written to `room` (64 bytes are enough), to be sent back into the tunnel; its length is
/// returned. `Ok(None)`: the message is valid and wants no answer. An error counts as `nd.bad`.
pub fn answer_on_tunnel(
    packet: &[u8],
    is_own: impl FnOnce(Ipv6Addr) -> bool,
    room: &mut [u8],
) -> Result<Option<usize>, NdError> {
    let Message::Solicitation(solicitation) = read(packet, Link::Tunnel)? else {
        return Ok(None);
    };
    if !is_own(solicitation.target) {
        return Ok(None);
    }
    //= RFC 4213 §3.8: reachability probes on a tunnel are answered, link-layer addresses are
    //= neither sent nor looked at.
    Ok(solicitation.answer(None).write(room))
}

/// The solicited-node group of an address: `ff02::1:ff` and its last three bytes.
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    let low = u16::from_be_bytes([b, c]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low)
}

/// Whether an address is some solicited-node group.
pub fn is_solicited_node(address: Ipv6Addr) -> bool {
    solicited_node(address) == address
}

/// The MAC address of an IPv6 group.
pub fn group_mac(group: Ipv6Addr) -> MacAddress {
    //= RFC 2464 §7: 33:33 and the last four bytes of the group.
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

/// The link-local address of a port: `fe80::` and the MAC address as EUI-64.
pub fn link_local(mac: MacAddress) -> Ipv6Addr {
    //= RFC 4291 appendix A: FF-FE in the middle, the universal/local bit inverted.
    let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    octets[8..11].copy_from_slice(&mac.0[..3]);
    octets[13..].copy_from_slice(&mac.0[3..]);
    octets[8] ^= 2;
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests;
