//! ARP for IPv4 over Ethernet (RFC 826): what a valid packet says, and the frames we send.
//!
//! Nothing here knows a neighbor; the state machine of the control side does.

use core::net::Ipv4Addr;

use super::ethernet::{self, MacAddress, ether_type};
use super::{read_u16, write_u16};

/// Bytes of an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

/// Bytes of the frame around it.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + PACKET_LEN;

const HARDWARE_ETHERNET: u16 = 1;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

mod offset {
    pub(super) const HARDWARE_TYPE: usize = 0;
    pub(super) const PROTOCOL_TYPE: usize = 2;
    pub(super) const HARDWARE_LENGTH: usize = 4;
    pub(super) const PROTOCOL_LENGTH: usize = 5;
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_MAC: usize = 8;
    pub(super) const SENDER_ADDRESS: usize = 14;
    pub(super) const TARGET_MAC: usize = 18;
    pub(super) const TARGET_ADDRESS: usize = 24;
}

/// What a packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To know the target's MAC address.
    Request,
    /// To tell the sender's.
    Reply,
}

/// A valid packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Request or reply.
    pub operation: Operation,
    /// Who sends: a station's address.
    pub sender_mac: MacAddress,
    /// The sender's address, 0.0.0.0 in a probe.
    pub sender_address: Ipv4Addr,
    /// Whom a reply is for; without meaning in a request.
    pub target_mac: MacAddress,
    /// What is asked for, or whom a reply is for.
    pub target_address: Ipv4Addr,
}

/// Why a packet is not valid. All of them are counted as `arp.bad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArpError {
    /// Fewer than 28 bytes.
    #[error("it is shorter than 28 bytes")]
    Short,
    /// Not Ethernet.
    #[error("its hardware type is not Ethernet")]
    HardwareType,
    /// Not IPv4.
    #[error("its protocol type is not IPv4")]
    ProtocolType,
    /// MAC addresses that are not 6 bytes long.
    #[error("its hardware addresses are not 6 bytes long")]
    HardwareLength,
    /// Protocol addresses that are not 4 bytes long.
    #[error("its protocol addresses are not 4 bytes long")]
    ProtocolLength,
    /// Neither request nor reply.
    #[error("it is neither a request nor a reply")]
    Operation,
    /// A sender that is a group, or nobody.
    #[error("its sender's MAC address is not that of one station")]
    SenderMac,
}

impl Arp {
    /// Reads the packet behind an Ethernet header; bytes behind it are padding.
    pub fn parse(packet: &[u8]) -> Result<Self, ArpError> {
        let Some(packet) = packet.first_chunk::<PACKET_LEN>() else { return Err(ArpError::Short) };
        if read_u16(packet, offset::HARDWARE_TYPE) != HARDWARE_ETHERNET {
            return Err(ArpError::HardwareType);
        }
        if read_u16(packet, offset::PROTOCOL_TYPE) != ether_type::IPV4 {
            return Err(ArpError::ProtocolType);
        }
        if packet[offset::HARDWARE_LENGTH] != 6 {
            return Err(ArpError::HardwareLength);
        }
        if packet[offset::PROTOCOL_LENGTH] != 4 {
            return Err(ArpError::ProtocolLength);
        }
        let operation = match read_u16(packet, offset::OPERATION) {
            REQUEST => Operation::Request,
            REPLY => Operation::Reply,
            _ => return Err(ArpError::Operation),
        };
        let sender_mac = read_mac(packet, offset::SENDER_MAC);
        //= RFC 1812 §3.3.2: a router believes no ARP that gives a group as a host's MAC address.
        if !sender_mac.is_station() {
            return Err(ArpError::SenderMac);
        }
        Ok(Self {
            operation,
            sender_mac,
            sender_address: read_address(packet, offset::SENDER_ADDRESS),
            target_mac: read_mac(packet, offset::TARGET_MAC),
            target_address: read_address(packet, offset::TARGET_ADDRESS),
        })
    }

    /// Asks who has `target`.
    pub fn request(mac: MacAddress, address: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            operation: Operation::Request,
            sender_mac: mac,
            sender_address: address,
            target_mac: MacAddress::default(),
            target_address: target,
        }
    }

    /// Answers this request: its target is at `mac`.
    #[must_use]
    pub fn reply(&self, mac: MacAddress) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_address: self.target_address,
            target_mac: self.sender_mac,
            target_address: self.sender_address,
        }
    }

    /// Tells everybody that `address` is at `mac`.
    pub fn announcement(mac: MacAddress, address: Ipv4Addr) -> Self {
        //= RFC 5227 §2.3: an announcement is a request with sender and target address the same.
        Self::request(mac, address, address)
    }

    /// The frame that carries the packet to `destination`.
    pub fn frame(&self, destination: MacAddress) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        frame[..6].copy_from_slice(&destination.0);
        frame[6..12].copy_from_slice(&self.sender_mac.0);
        write_u16(&mut frame, 12, ether_type::ARP);
        self.write(&mut frame[ethernet::HEADER_LEN..]);
        frame
    }

    fn write(&self, packet: &mut [u8]) {
        write_u16(packet, offset::HARDWARE_TYPE, HARDWARE_ETHERNET);
        write_u16(packet, offset::PROTOCOL_TYPE, ether_type::IPV4);
        packet[offset::HARDWARE_LENGTH] = 6;
        packet[offset::PROTOCOL_LENGTH] = 4;
        let operation = match self.operation {
            Operation::Request => REQUEST,
            Operation::Reply => REPLY,
        };
        write_u16(packet, offset::OPERATION, operation);
        let sender_address = self.sender_address.octets();
        packet[offset::SENDER_MAC..offset::SENDER_ADDRESS].copy_from_slice(&self.sender_mac.0);
        packet[offset::SENDER_ADDRESS..offset::TARGET_MAC].copy_from_slice(&sender_address);
        packet[offset::TARGET_MAC..offset::TARGET_ADDRESS].copy_from_slice(&self.target_mac.0);
        packet[offset::TARGET_ADDRESS..].copy_from_slice(&self.target_address.octets());
    }
}

fn read_mac(packet: &[u8; PACKET_LEN], at: usize) -> MacAddress {
    let octets = packet[at..].first_chunk::<6>();
    MacAddress(octets.copied().unwrap_or_default())
}

fn read_address(packet: &[u8; PACKET_LEN], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(super::read_u32(packet, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const THEIRS: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xfe]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 254);

    /// What scapy makes of `Ether()/ARP(op=1, …)` for the gateway asking for us.
    const THEIR_REQUEST: &str = "ffffffffffff0200000000fe0806\
        00010800060400010200000000fec63364fe000000000000c6336401";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    }

    #[test]
    fn a_request_is_what_scapy_makes_of_it() {
        let request = Arp::request(OURS, ADDRESS, GATEWAY);
        let expected = "ffffffffffff0200000000010806\
            0001080006040001020000000001c6336401000000000000c63364fe";
        assert_eq!(request.frame(MacAddress::BROADCAST).to_vec(), bytes(expected));
        let expected = "0200000000fe0200000000010806\
            0001080006040001020000000001c6336401000000000000c63364fe";
        assert_eq!(request.frame(THEIRS).to_vec(), bytes(expected));
    }

    #[test]
    fn a_reply_is_what_scapy_makes_of_it() {
        let request = Arp::parse(&bytes(THEIR_REQUEST)[14..]).unwrap();
        assert_eq!(request, Arp::request(THEIRS, GATEWAY, ADDRESS));
        let expected = "0200000000fe0200000000010806\
            0001080006040002020000000001c63364010200000000fec63364fe";
        assert_eq!(request.reply(OURS).frame(THEIRS).to_vec(), bytes(expected));
    }

    #[test]
    fn an_announcement_asks_for_its_own_sender() {
        let expected = "ffffffffffff0200000000010806\
            0001080006040001020000000001c6336401000000000000c6336401";
        let frame = Arp::announcement(OURS, ADDRESS).frame(MacAddress::BROADCAST);
        assert_eq!(frame.to_vec(), bytes(expected));
    }

    #[test]
    fn etherparse_reads_the_reply_that_we_write() {
        let request = Arp::request(THEIRS, GATEWAY, ADDRESS);
        let frame = request.reply(OURS).frame(THEIRS);
        let read = etherparse::ArpPacketSlice::from_slice(&frame[14..]).unwrap();
        assert_eq!(read.operation(), etherparse::ArpOperation(2));
        assert_eq!(read.sender_hw_addr(), OURS.0);
        assert_eq!(read.sender_protocol_addr(), ADDRESS.octets());
        assert_eq!(read.target_hw_addr(), THEIRS.0);
        assert_eq!(read.target_protocol_addr(), GATEWAY.octets());
    }

    #[test]
    fn a_packet_that_breaks_one_rule_is_refused_for_that_rule() {
        let good = bytes(THEIR_REQUEST)[14..].to_vec();
        let cases = [
            (0, 0x01, ArpError::HardwareType),
            (1, 6, ArpError::HardwareType),
            (3, 0x06, ArpError::ProtocolType),
            (4, 8, ArpError::HardwareLength),
            (5, 16, ArpError::ProtocolLength),
            (7, 0, ArpError::Operation),
            (7, 3, ArpError::Operation),
            (8, 0x03, ArpError::SenderMac),
        ];
        for (at, value, error) in cases {
            let mut packet = good.clone();
            packet[at] = value;
            assert_eq!(Arp::parse(&packet), Err(error), "byte {at} is {value}");
        }
        let mut packet = good.clone();
        packet[8..14].fill(0);
        assert_eq!(Arp::parse(&packet), Err(ArpError::SenderMac));
        assert_eq!(Arp::parse(&good[..27]), Err(ArpError::Short));
        assert_eq!(Arp::parse(&[]), Err(ArpError::Short));
    }

    #[test]
    fn the_padding_of_a_short_frame_is_not_looked_at() {
        let mut padded = bytes(THEIR_REQUEST)[14..].to_vec();
        padded.resize(46, 0xaa);
        assert_eq!(Arp::parse(&padded), Ok(Arp::request(THEIRS, GATEWAY, ADDRESS)));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_written_again_as_it_was(
            tail in proptest::collection::vec(any::<u8>(), 20), operation in 0_u8..4,
        ) {
            let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation];
            packet.extend(tail);
            if let Ok(arp) = Arp::parse(&packet) {
                prop_assert_eq!(&arp.frame(MacAddress::BROADCAST)[14..], &packet[..]);
            }
        }
    }
}
