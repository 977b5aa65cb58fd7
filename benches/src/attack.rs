//! Floods that a worker meets beside its own traffic: half of the packets are a tunnel's, and half are such that
//! nothing comes of them. The case of each flood is what its packets stand in place of, in the same length. Packets
//! that are useful, but of another kind, can stand there, too.

use adit_dataplane::reassembly;
use adit_dataplane::wire::checksum::checksum;
use adit_dataplane::wire::{icmp6, ipv4, ipv6, protocol};
use adit_dataplane::worker::{Worker, WorkerSettings};

use crate::case::{Case, Verb, shuffle};
use crate::numbers::Numbers;
use crate::packets::{
    Between, Families, HOST4, HOST6, LOCAL4, LOCAL6, frame, inward, outward, packet4, packet6,
    remote4, remote6,
};
use crate::treadmill::{Frame, Treadmill};

/// Packets of each kind before they come again: more than instructions are counted of, so that no piece meets its like.
const PACKETS: u32 = 16_384;
const TUNNELS: u32 = 1000;
const SEED: u64 = 7;

/// What is held for reassembly where nothing else is configured: 16 384 buffers, 4 MiB of them for each peer.
const REASSEMBLY: reassembly::Limits = reassembly::Limits { pieces: 4096, pieces_per_peer: 1638 };

/// What half of the packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Tunnel packets that come from nobody's far end.
    UnknownPeer,
    /// Pieces of tunnel packets from all peers, the others of which never come.
    Pieces,
    /// The same from one peer.
    PiecesOfOne,
    /// The same from nobody's far end.
    PiecesOfUnknown,
    /// Pieces of echo requests to this node.
    PiecesOfPings,
    /// ICMP errors about tunnel packets that were never sent.
    Errors,
    /// Packets whose TTL or hop limit ends here: those that would go into a tunnel, or come out of one.
    Expired,
    /// The same, from anybody to the host, without a tunnel.
    ExpiredTransit,
}

/// Of what kind half of a worker's packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The case's: a tunnel's, to be sent.
    Tunnel,
    /// Plain ones of the outer family between the host and anybody, to be forwarded as the tunnel's are, without one.
    Plain,
    /// The flood's.
    Flood,
}

/// A flood beside the traffic of tunnels.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// What half of the packets are.
    pub flood: Flood,
    /// What the others are.
    pub case: Case,
}

impl Attack {
    /// All that are measured.
    pub fn all() -> Vec<Self> {
        let [v4, _, _, v6] = Families::ALL.map(|(_, families)| families);
        let arriving = [
            Flood::UnknownPeer,
            Flood::Pieces,
            Flood::PiecesOfOne,
            Flood::PiecesOfUnknown,
            Flood::PiecesOfPings,
            Flood::Errors,
            Flood::Expired,
            Flood::ExpiredTransit,
        ];
        let beside = |verb, families, flood| {
            // Without a route to anybody nothing from the host would be forwarded plain.
            let routes = usize::from(verb == Verb::Encap);
            let case = Case { verb, families, tunnels: TUNNELS, between: Between::Nothing, routes };
            Self { flood, case }
        };
        let mut all = Vec::new();
        for families in [v4, v6] {
            all.extend(arriving.map(|flood| beside(Verb::Decap, families, flood)));
            all.push(beside(Verb::Encap, families, Flood::Expired));
        }
        // What labels make dearer to know.
        for flood in [Flood::UnknownPeer, Flood::Pieces, Flood::PiecesOfUnknown, Flood::Errors] {
            let mut attack = beside(Verb::Decap, v4, flood);
            attack.case.between = Between::Gre;
            all.push(attack);
        }
        all
    }

    /// As a table says it.
    pub fn name(&self) -> String {
        let is_into = self.case.verb == Verb::Encap;
        let flood = match self.flood {
            Flood::UnknownPeer => "unknown peers",
            Flood::Pieces => "pieces",
            Flood::PiecesOfOne => "pieces of one peer",
            Flood::PiecesOfUnknown => "pieces of unknown",
            Flood::PiecesOfPings => "pieces of pings",
            Flood::Errors => "ICMP errors",
            Flood::Expired if is_into => "TTL 1 in",
            Flood::Expired => "TTL 1 out",
            Flood::ExpiredTransit => "TTL 1 transit",
        };
        let between = self.case.between.name();
        format!("{flood} {between}{}", if self.is_ipv4() { "v4" } else { "v6" })
    }

    fn is_ipv4(&self) -> bool {
        self.case.families.outer_is_ipv4
    }

    /// A worker over a mixture of two halves, in no order.
    pub fn worker(&self, halves: [Half; 2]) -> Worker<Treadmill> {
        let mut numbers = Numbers::new(SEED);
        let mut frames: Vec<Frame> = (0..PACKETS)
            .flat_map(|number| halves.map(|half| self.packet(half, number, &mut numbers)))
            .map(|packet| frame(self.case.port(), &packet))
            .collect();
        shuffle(&mut frames);
        self.worker_over(frames)
    }

    fn worker_over(&self, frames: Vec<Frame>) -> Worker<Treadmill> {
        let buffers = 1024 + REASSEMBLY.pieces as usize;
        let device = Treadmill::with_buffers(self.case.port(), frames, buffers);
        let settings = WorkerSettings { reassembly: REASSEMBLY, ..Case::settings() };
        self.case.worker_with(device, settings)
    }

    fn packet(&self, half: Half, number: u32, numbers: &mut Numbers) -> Vec<u8> {
        match half {
            Half::Tunnel => self.ordinary(number),
            Half::Plain => self.plain(self.ordinary(number).len(), numbers),
            Half::Flood => self.hostile(number, numbers),
        }
    }

    fn ordinary(&self, number: u32) -> Vec<u8> {
        let make = |families, number| match self.case.verb {
            Verb::Encap => inward(families, self.case.between, number),
            _ => outward(families, self.case.between, number),
        };
        make(self.case.families, number % TUNNELS)
    }

    fn plain(&self, len: usize, numbers: &mut Numbers) -> Vec<u8> {
        let arriving = transit(self.is_ipv4(), len, numbers);
        if self.case.verb == Verb::Encap { turned_round(arriving) } else { arriving }
    }

    fn hostile(&self, number: u32, numbers: &mut Numbers) -> Vec<u8> {
        let ordinary = self.ordinary(number);
        let len = ordinary.len();
        match self.flood {
            Flood::UnknownPeer => from_stranger(ordinary, numbers),
            Flood::Pieces => piece(&ordinary, number),
            Flood::PiecesOfOne => piece(&self.ordinary(0), number),
            Flood::PiecesOfUnknown => from_stranger(piece(&ordinary, number), numbers),
            Flood::PiecesOfPings => from_stranger(piece_of_ping(&ordinary, number), numbers),
            Flood::Errors => error(self.is_ipv4(), self.case.between, len, numbers),
            Flood::Expired if self.case.verb == Verb::Encap => expired(ordinary, 0),
            Flood::Expired => expired(ordinary, if self.is_ipv4() { 20 } else { 40 }),
            Flood::ExpiredTransit => expired(transit(self.is_ipv4(), len, numbers), 0),
        }
    }
}

fn is_ipv4(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
}

/// Any low 24 bits, for addresses that no tunnel has.
fn stranger(numbers: &mut Numbers) -> u32 {
    u32::try_from(numbers.below(1 << 24)).unwrap_or(0)
}

fn stranger4(numbers: &mut Numbers) -> [u8; 4] {
    (0x5000_0000 | stranger(numbers)).to_be_bytes()
}

fn stranger6(numbers: &mut Numbers) -> [u8; 16] {
    ((0x2001_0db8_0bad << 80) | u128::from(stranger(numbers))).to_be_bytes()
}

fn from_stranger(mut packet: Vec<u8>, numbers: &mut Numbers) -> Vec<u8> {
    if is_ipv4(&packet) {
        packet[ipv4::offset::SOURCE..][..4].copy_from_slice(&stranger4(numbers));
        ipv4::write_checksum(&mut packet);
    } else {
        packet[ipv6::offset::SOURCE..][..16].copy_from_slice(&stranger6(numbers));
    }
    packet
}

/// From where it went to where it came from; sums stay what they are.
fn turned_round(mut packet: Vec<u8>) -> Vec<u8> {
    if is_ipv4(&packet) {
        packet[ipv4::offset::SOURCE..][..8].rotate_left(4);
    } else {
        packet[ipv6::offset::SOURCE..][..32].rotate_left(16);
    }
    packet
}

/// The header at `at` says that the packet ends here.
fn expired(mut packet: Vec<u8>, at: usize) -> Vec<u8> {
    let header = &mut packet[at..];
    if is_ipv4(header) {
        header[ipv4::offset::TTL] = 1;
        ipv4::write_checksum(&mut header[..ipv4::HEADER_LEN]);
    } else {
        header[ipv6::offset::HOP_LIMIT] = 1;
    }
    packet
}

/// A piece out of the middle of something as long as `packet`, between its ends.
fn piece(packet: &[u8], identification: u32) -> Vec<u8> {
    let mut piece = packet.to_vec();
    if is_ipv4(packet) {
        let [_, _, high, low] = identification.to_be_bytes();
        piece.truncate(ipv4::HEADER_LEN + (packet.len() - ipv4::HEADER_LEN) / 8 * 8);
        let len = u16::try_from(piece.len()).unwrap_or(0).to_be_bytes();
        piece[ipv4::offset::TOTAL_LENGTH..][..2].copy_from_slice(&len);
        piece[ipv4::offset::IDENTIFICATION..][..2].copy_from_slice(&[high, low]);
        piece[ipv4::offset::FRAGMENT..][..2].copy_from_slice(&[0x20, 4]);
        ipv4::write_checksum(&mut piece[..ipv4::HEADER_LEN]);
        return piece;
    }
    let carried = packet[ipv6::offset::NEXT_HEADER];
    piece.truncate(ipv6::HEADER_LEN + (packet.len() - ipv6::HEADER_LEN) / 8 * 8);
    let len = u16::try_from(piece.len() - ipv6::HEADER_LEN).unwrap_or(0).to_be_bytes();
    piece[ipv6::offset::PAYLOAD_LENGTH..][..2].copy_from_slice(&len);
    piece[ipv6::offset::NEXT_HEADER] = protocol::FRAGMENT;
    let [a, b, c, d] = identification.to_be_bytes();
    piece[ipv6::HEADER_LEN..][..8].copy_from_slice(&[carried, 0, 0, 0x21, a, b, c, d]);
    piece
}

fn piece_of_ping(packet: &[u8], identification: u32) -> Vec<u8> {
    let mut ping = packet.to_vec();
    if is_ipv4(packet) {
        ping[ipv4::offset::PROTOCOL] = protocol::ICMP;
    } else {
        ping[ipv6::offset::NEXT_HEADER] = protocol::ICMPV6;
    }
    piece(&ping, identification)
}

/// A packet of `len` bytes from a stranger to the host.
fn transit(is_ipv4: bool, len: usize, numbers: &mut Numbers) -> Vec<u8> {
    if is_ipv4 {
        let payload = vec![0; len - ipv4::HEADER_LEN];
        packet4(stranger4(numbers).into(), HOST4, protocol::UDP, &payload)
    } else {
        let payload = vec![0; len - ipv6::HEADER_LEN];
        packet6(stranger6(numbers).into(), HOST6, protocol::UDP, &payload)
    }
}

/// From a router on the way: a tunnel packet of ours to nobody's far end did not arrive.
fn error(is_ipv4: bool, between: Between, len: usize, numbers: &mut Numbers) -> Vec<u8> {
    if is_ipv4 {
        let quoted_len = len - 2 * ipv4::HEADER_LEN - 8;
        let inside = vec![0; quoted_len];
        // Zeros are a GRE header, too, of a packet of no known kind: none of it is looked at.
        let carried = if between == Between::Gre { protocol::GRE } else { protocol::IPV4 };
        let quoted = packet4(LOCAL4, stranger4(numbers).into(), carried, &inside);
        let mut message = [&[3, 1, 0, 0, 0, 0, 0, 0], &quoted[..]].concat();
        let sum = checksum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&sum);
        packet4(remote4(1), LOCAL4, protocol::ICMP, &message)
    } else {
        let quoted_len = len.saturating_sub(2 * ipv6::HEADER_LEN + 8);
        let inside = vec![0; quoted_len];
        let quoted = packet6(LOCAL6, stranger6(numbers).into(), protocol::IPV6, &inside);
        let mut message = [&[1, 0, 0, 0, 0, 0, 0, 0], &quoted[..]].concat();
        let header = packet6(remote6(1), LOCAL6, protocol::ICMPV6, &message);
        let sum = icmp6::checksum(&header[..ipv6::HEADER_LEN], &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        packet6(remote6(1), LOCAL6, protocol::ICMPV6, &message)
    }
}
