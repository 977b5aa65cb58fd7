//! Frames as the RFCs draw them: what others send, and what ours say.

use std::net::{Ipv4Addr, Ipv6Addr};

use adit_dataplane::wire::ethernet::MacAddress;

const BROADCAST: MacAddress = MacAddress([0xff; 6]);

/// The fields of an ARP frame; what most tests don't care about is filled in.
#[derive(Clone)]
pub(super) struct Arp {
    pub(super) operation: u8,
    pub(super) sender: (MacAddress, &'static str),
    pub(super) target: &'static str,
    pub(super) hardware_len: u8,
}

impl Arp {
    pub(super) fn request(mac: MacAddress, address: &'static str, target: &'static str) -> Self {
        Self { operation: 1, sender: (mac, address), target, hardware_len: 6 }
    }

    pub(super) fn reply(mac: MacAddress, address: &'static str, target: &'static str) -> Self {
        Self { operation: 2, ..Self::request(mac, address, target) }
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
        let (mac, address) = self.sender;
        let destination = if self.operation == 1 { BROADCAST } else { super::OURS };
        let mut frame = [destination.0, mac.0].concat();
        frame.extend([8, 6, 0, 1, 8, 0, self.hardware_len, 4, 0, self.operation]);
        frame.extend(mac.0);
        frame.extend(v4(address));
        frame.extend([0; 6]);
        frame.extend(v4(self.target));
        frame
    }
}

/// The fields of a solicitation or advertisement.
#[derive(Clone)]
pub(super) struct Nd {
    pub(super) kind: u8,
    pub(super) from: MacAddress,
    pub(super) source: &'static str,
    pub(super) destination: &'static str,
    pub(super) target: &'static str,
    pub(super) flags: u8,
    pub(super) mac: Option<MacAddress>,
    pub(super) hop_limit: u8,
    pub(super) option_units: u8,
}

pub(super) const S: u8 = 0x40;
pub(super) const O: u8 = 0x20;

impl Nd {
    pub(super) fn solicitation(
        mac: MacAddress,
        source: &'static str,
        destination: &'static str,
        target: &'static str,
    ) -> Self {
        Self {
            kind: 135,
            from: mac,
            source,
            destination,
            target,
            flags: 0,
            mac: (source != "::").then_some(mac),
            hop_limit: 255,
            option_units: 1,
        }
    }

    /// An advertisement for its sender, to us or to all nodes.
    pub(super) fn advertisement(mac: MacAddress, target: &'static str, flags: u8) -> Self {
        let destination = if flags & S != 0 { "2001:db8:1::1" } else { "ff02::1" };
        Self { kind: 136, flags, ..Self::solicitation(mac, target, destination, target) }
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let mut message = vec![self.kind, 0, 0, 0, self.flags, 0, 0, 0];
        message.extend(v6(self.target));
        if let Some(mac) = self.mac {
            message.extend([self.kind - 134, self.option_units]);
            message.extend(mac.0);
        }
        let len = u8::try_from(message.len()).unwrap();
        let sum = etherparse::checksum::Sum16BitWords::new()
            .add_16bytes(v6(self.source))
            .add_16bytes(v6(self.destination))
            .add_4bytes([0, 0, 0, len])
            .add_4bytes([0, 0, 0, 58])
            .add_slice(&message);
        message[2..4].copy_from_slice(&sum.ones_complement().to_ne_bytes());
        let mut frame = [super::OURS.0, self.from.0].concat();
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, len, 58, self.hop_limit]);
        frame.extend(v6(self.source));
        frame.extend(v6(self.destination));
        frame.extend(message);
        frame
    }
}

/// What a frame of ours says, in the manner of tcpdump, and to which MAC address.
pub(super) fn describe(frame: &[u8]) -> String {
    let mac = |at: usize| MacAddress(*frame[at..].first_chunk().unwrap());
    let to = mac(0);
    let text = match frame[12..14] {
        [8, 6] => describe_arp(frame),
        [0x86, 0xdd] => describe_nd(frame),
        _ => panic!("neither ARP nor IPv6"),
    };
    if to == BROADCAST { format!("{text}, to all") } else { format!("{text}, to {to}") }
}

fn describe_arp(frame: &[u8]) -> String {
    assert_eq!(frame[14..20], [0, 1, 8, 0, 6, 4]);
    assert_eq!(frame.len(), 42);
    assert_eq!(frame[6..12], frame[22..28], "the sender of the frame is not that of the ARP");
    let v4 = |at: usize| Ipv4Addr::from(*frame[at..].first_chunk::<4>().unwrap());
    let mac = |at: usize| MacAddress(*frame[at..].first_chunk().unwrap());
    match frame[20..22] {
        [0, 1] if v4(28) == v4(38) => format!("announce {}", v4(28)),
        [0, 1] => format!("who-has {} tell {}", v4(38), v4(28)),
        [0, 2] => {
            assert_eq!(mac(0), mac(32), "the reply is not for whom the frame is for");
            format!("{} is-at {} for {}", v4(28), mac(22), v4(38))
        }
        _ => panic!("neither request nor reply"),
    }
}

/// What is said of groups, read by hand: RFC 3810 §5.2 or RFC 2710 §3 behind a hop-by-hop header.
fn describe_report(frame: &[u8]) -> String {
    let v6 = |at: usize| Ipv6Addr::from(*frame[at..].first_chunk::<16>().unwrap());
    assert_eq!(frame[54..62], [58, 0, 5, 2, 0, 0, 1, 0], "the router alert");
    assert_eq!(frame[21], 1, "the hop limit");
    let source = v6(22);
    match frame[62] {
        131 => {
            assert_eq!((v6(38), frame.len()), (v6(70), 86), "it goes to its group");
            return format!("{source} has {}", v6(70));
        }
        132 => {
            assert_eq!((v6(38), frame.len()), ("ff02::2".parse().unwrap(), 86));
            return format!("{source} has no more {}", v6(70));
        }
        kind => assert_eq!(kind, 143),
    }
    let (mut at, mut records) = (70, Vec::new());
    while at < frame.len() {
        let word = match frame[at..at + 3] {
            [1, 0, 0] => "from some in",
            [2, 0, 0] => "in",
            [3, 0, 0] => "leaves",
            [4, 0, 0] => "joins",
            _ => panic!("a record of another kind"),
        };
        let count = usize::from(frame[at + 3]);
        let addresses = [at + 4].into_iter().chain((0..count).map(|n| at + 20 + 16 * n));
        let addresses: Vec<String> = addresses.map(|at| v6(at).to_string()).collect();
        records.push(format!("{word} {}", addresses.join(" ")));
        at += 20 + 16 * count;
    }
    assert_eq!(usize::from(frame[69]), records.len());
    format!("{source} {}", records.join(", "))
}

fn describe_nd(frame: &[u8]) -> String {
    if frame[20] == 0 {
        return describe_report(frame);
    }
    let slice = etherparse::SlicedPacket::from_ethernet(frame).unwrap();
    let (Some(etherparse::NetSlice::Ipv6(net)), Some(etherparse::TransportSlice::Icmpv6(icmp))) =
        (slice.net, slice.transport)
    else {
        panic!("not ICMPv6")
    };
    let header = net.header();
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    assert_eq!(header.hop_limit(), 255);
    let (source, destination) = (header.source_addr(), header.destination_addr());
    let body = icmp.slice();
    let target = Ipv6Addr::from(*body[8..].first_chunk::<16>().unwrap());
    let tells = match body[24..] {
        [kind, 1, a, b, c, d, e, f] => {
            assert_eq!(kind, body[0] - 134);
            MacAddress([a, b, c, d, e, f]).to_string()
        }
        [] if body[0] == 135 && source.is_unspecified() => "nowhere".to_owned(),
        _ => panic!("no link-layer address, or one where none may be"),
    };
    match body[0] {
        135 => format!("ns {source} > {destination} for {target} from {tells}"),
        136 => {
            let set = |bit: u8, name: char| if body[4] & bit == 0 { '-' } else { name };
            let flags: String = [set(0x80, 'R'), set(S, 'S'), set(O, 'O')].iter().collect();
            format!("na {source} > {destination} {flags} {target} at {tells}")
        }
        _ => panic!("neither solicitation nor advertisement"),
    }
}

#[test]
fn the_frames_that_are_spelled_out_here_are_those_of_scapy() {
    let bytes = |hex: &str| -> Vec<u8> {
        let pair = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    let arp = Arp::request(super::THEIRS, "198.51.100.254", "198.51.100.1");
    assert_eq!(
        arp.frame(),
        bytes(
            "ffffffffffff0200000000fe0806\
         00010800060400010200000000fec63364fe000000000000c6336401"
        )
    );
    let solicitation =
        Nd::solicitation(super::THEIRS, "2001:db8:1::fe", "ff02::1:ff00:1", "2001:db8:1::1");
    assert_eq!(
        solicitation.frame()[14..],
        bytes(
            "6000000000203aff20010db80001000000000000000000feff0200000000000000000001ff000001\
         87001a2d0000000020010db800010000000000000000000101010200000000fe"
        )
    );
}
