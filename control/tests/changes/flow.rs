//! The flows that the generator sends, and what in a frame tells the receiver everything: its flow and its
//! number in the flow, which the payload says, and the rule that it was sent by, which the address
//! says that it was sent to.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU16;

use etherparse::PacketBuilder;

/// Flows that the addresses have room for.
pub(crate) const FLOWS_MAX: u16 = 512;

/// The appliance's port to the hosts.
pub(crate) const LAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Its port to the peers, and its gateway there.
pub(crate) const WAN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
/// Its end of all tunnels.
pub(crate) const LOCAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

const MAGIC: [u8; 4] = *b"adit";
/// Behind the magic: number of the frame (8), flow (2).
const PAYLOAD_LEN: usize = 14;

/// What everybody knows of a flow's rules, which count up from 0.
#[derive(Default)]
pub(crate) struct Rules {
    /// The latest that was asked for: nothing may be sent by a later one.
    pub(crate) asked: AtomicU16,
    /// The latest that was confirmed: from then on nothing may be sent by an earlier one.
    pub(crate) confirmed: AtomicU16,
    /// The latest that the receiver has seen.
    pub(crate) seen: AtomicU16,
}

/// The net that a flow's packets go to.
pub(crate) fn net(flow: u16) -> String {
    let [high, low] = flow.to_be_bytes();
    format!("10.{}.{low}.0/24", 128 + high)
}

/// A more specific one that has them all.
pub(crate) fn narrow_net(flow: u16) -> String {
    net(flow).replace("/24", "/25")
}

/// The peer that stands for a rule of a flow.
pub(crate) fn peer(flow: u16, rule: u16) -> Ipv4Addr {
    assert!(flow < FLOWS_MAX);
    Ipv4Addr::from(64 << 24 | u32::from(flow) << 16 | u32::from(rule))
}

/// The flow and the rule that a peer stands for.
fn meaning(peer: Ipv4Addr) -> Option<(u16, u16)> {
    let [first, ..] = peer.octets();
    let number = u32::from(peer);
    let flow = u16::try_from(number >> 16 & 0x1ff).ok()?;
    (first & 0xfe == 64).then_some((flow, u16::try_from(number & 0xffff).ok()?))
}

/// A frame of a flow, but for its payload.
pub(crate) fn template(flow: u16) -> Vec<u8> {
    let [high, low] = flow.to_be_bytes();
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 1, 1], LAN_MAC)
        .ipv4([10, 1, 0, 2], [10, 128 + high, low, 9], 64)
        .udp(4000, 9);
    let mut frame = Vec::new();
    builder.write(&mut frame, &[0; PAYLOAD_LEN]).expect("room in memory");
    // The payload changes with each frame: no checksum (RFC 768).
    let checksum = frame.len() - PAYLOAD_LEN - 2;
    frame[checksum..checksum + 2].fill(0);
    frame
}

/// Writes what a frame says of itself.
pub(crate) fn stamp(frame: &mut [u8], flow: u16, number: u64) {
    let start = frame.len() - PAYLOAD_LEN;
    let payload = &mut frame[start..];
    payload[..4].copy_from_slice(&MAGIC);
    payload[4..12].copy_from_slice(&number.to_be_bytes());
    payload[12..].copy_from_slice(&flow.to_be_bytes());
}

/// The flow of a frame, whatever is in front of its payload.
pub(crate) fn of(frame: &[u8]) -> Option<u16> {
    let (_, flow) = frame.split_last_chunk()?;
    Some(u16::from_be_bytes(*flow))
}

/// What a frame on the far port says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) flow: u16,
    pub(crate) number: u64,
    /// The rule that it was sent by, and the flow which that belongs to.
    pub(crate) rule: u16,
    pub(crate) aimed_at: u16,
}

/// Reads a frame on the far port: IPv4 in IPv4, whole, from us to a peer. Knows nothing of the appliance.
pub(crate) fn read(frame: &[u8]) -> Option<Seen> {
    use etherparse::{Ethernet2Header, IpNumber, Ipv4Header, UdpHeader};
    let (ethernet, packet) = Ethernet2Header::from_slice(frame).ok()?;
    let (outer, packet) = Ipv4Header::from_slice(packet).ok()?;
    let (inner, datagram) = Ipv4Header::from_slice(packet).ok()?;
    let (udp, payload) = UdpHeader::from_slice(datagram).ok()?;
    let is_whole = usize::from(outer.total_len) == frame.len() - 14
        && usize::from(inner.total_len) == packet.len()
        && usize::from(udp.length) == datagram.len()
        && outer.calc_header_checksum() == outer.header_checksum
        && inner.calc_header_checksum() == inner.header_checksum;
    let is_ours = ethernet.destination == GATEWAY_MAC
        && ethernet.source == WAN_MAC
        && outer.protocol == IpNumber::IPV4
        && outer.source == LOCAL.octets()
        && payload.len() == PAYLOAD_LEN
        && payload[..4] == MAGIC;
    let (aimed_at, rule) = meaning(outer.destination.into()).filter(|_| is_whole && is_ours)?;
    let number = u64::from_be_bytes(payload[4..12].try_into().ok()?);
    Some(Seen { flow: of(frame)?, number, rule, aimed_at })
}
