use super::*;
use proptest::prelude::*;

const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const THEIRS: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xfe]);

/// What scapy makes of a solicitation by the gateway, for us.
const THEIR_SOLICITATION: &str = "3333ff0000010200000000fe86dd\
    6000000000203aff20010db80001000000000000000000feff0200000000000000000001ff000001\
    87001a2d0000000020010db800010000000000000000000101010200000000fe";

/// The same before the gateway takes our address: from `::`.
const THEIR_DUPLICATE_DETECTION: &str = "3333ff0000010200000000fe86dd\
    6000000000183aff00000000000000000000000000000000ff0200000000000000000001ff000001\
    87004cec0000000020010db8000100000000000000000001";

/// Our answer to the former.
const OUR_ADVERTISEMENT: &str = "0200000000fe02000000000186dd\
    6000000000203aff20010db800010000000000000000000120010db80001000000000000000000fe\
    88000974e000000020010db80001000000000000000000010201020000000001";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16);
    digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
}

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The IPv6 packet of a frame above.
fn packet(frame: &str) -> Vec<u8> {
    bytes(frame)[14..].to_vec()
}

/// Rewrites the ICMPv6 checksum by etherparse's arithmetic, so that one rule alone is broken.
fn fix_checksum(packet: &mut [u8]) {
    let len = u32::try_from(packet.len() - 40).unwrap();
    packet[4..6].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    packet[42..44].fill(0);
    let sum = etherparse::checksum::Sum16BitWords::new()
        .add_slice(&packet[8..40])
        .add_4bytes(len.to_be_bytes())
        .add_4bytes([0, 0, 0, 58])
        .add_slice(&packet[40..]);
    packet[42..44].copy_from_slice(&sum.ones_complement().to_ne_bytes());
}

fn their_solicitation() -> Solicitation {
    Solicitation {
        source: address("2001:db8:1::fe"),
        destination: address("ff02::1:ff00:1"),
        target: address("2001:db8:1::1"),
        source_mac: Some(THEIRS),
    }
}

#[test]
fn a_solicitation_is_what_scapy_makes_of_it() {
    let ours = Solicitation::resolve(OURS, address("2001:db8:1::1"), address("2001:db8:1::fe"));
    let expected = "3333ff0000fe02000000000186dd\
        6000000000203aff20010db8000100000000000000000001ff0200000000000000000001ff0000fe\
        87001a2d0000000020010db80001000000000000000000fe0101020000000001";
    assert_eq!(ours.frame(OURS, group_mac(ours.destination)), bytes(expected));
}

#[test]
fn a_probe_goes_to_the_target_alone() {
    let probe = Solicitation::probe(OURS, address("2001:db8:1::1"), address("2001:db8:1::fe"));
    let frame = probe.frame(OURS, THEIRS);
    assert_eq!(frame[..6], THEIRS.0);
    assert_eq!(frame[38..54], address("2001:db8:1::fe").octets());
    assert_eq!(parse(&frame[14..]), Ok(Message::Solicitation(probe)));
}

#[test]
fn a_solicitation_of_scapy_is_read() {
    let expected = Ok(Message::Solicitation(their_solicitation()));
    assert_eq!(parse(&packet(THEIR_SOLICITATION)), expected);
}

#[test]
fn the_answer_has_router_solicited_and_replace_set_and_tells_the_mac() {
    let answer = their_solicitation().answer(Some(OURS));
    assert_eq!(answer.frame(OURS, THEIRS), bytes(OUR_ADVERTISEMENT));
    assert_eq!(parse(&packet(OUR_ADVERTISEMENT)), Ok(Message::Advertisement(answer)));
}

#[test]
fn duplicate_address_detection_is_answered_at_all_nodes_as_not_solicited() {
    let Ok(Message::Solicitation(theirs)) = parse(&packet(THEIR_DUPLICATE_DETECTION)) else {
        panic!("not read as a solicitation")
    };
    let expected = "33330000000102000000000186dd\
        6000000000203aff20010db8000100000000000000000001ff020000000000000000000000000001\
        88007928a000000020010db80001000000000000000000010201020000000001";
    let answer = theirs.answer(Some(OURS));
    assert_eq!(answer.frame(OURS, group_mac(ALL_NODES)), bytes(expected));
    let announcement = Advertisement::announcement(OURS, address("2001:db8:1::1"));
    assert_eq!(announcement, answer);
}

#[test]
fn a_packet_that_breaks_one_rule_of_the_header_is_refused_for_that_rule() {
    type Break = fn(&mut Vec<u8>);
    let cases: &[(Break, NdError)] = &[
        (|packet| packet[0] = 0x40, NdError::Header),
        (|packet| packet.truncate(60), NdError::Header),
        (|packet| packet[6] = 17, NdError::Other),
        (|packet| packet[40] = 128, NdError::Other),
        (|packet| packet[40] = 132, NdError::Other),
        (|packet| packet[40] = 138, NdError::Other),
        (|packet| packet[7] = 254, NdError::HopLimit),
        (|packet| packet[42] ^= 1, NdError::Checksum),
        (|packet| packet[71] ^= 1, NdError::Checksum),
        (
            |packet| {
                packet[41] = 1;
                fix_checksum(packet);
            },
            NdError::Code,
        ),
        (
            |packet| {
                packet.truncate(40 + 23);
                fix_checksum(packet);
            },
            NdError::Short,
        ),
        (
            |packet| {
                packet[8..24].copy_from_slice(&address("ff02::1").octets());
                fix_checksum(packet);
            },
            NdError::Source,
        ),
        (
            |packet| {
                packet[48..64].copy_from_slice(&address("ff02::1").octets());
                fix_checksum(packet);
            },
            NdError::Target,
        ),
    ];
    for frame in [THEIR_SOLICITATION, OUR_ADVERTISEMENT] {
        for (position, (spoil, error)) in cases.iter().enumerate() {
            let mut packet = packet(frame);
            spoil(&mut packet);
            assert_eq!(parse(&packet), Err(*error), "case {position} of {frame}");
        }
    }
}

#[test]
fn a_packet_that_breaks_one_rule_of_the_options_is_refused_for_that_rule() {
    // Byte of the packet, its value, the error.
    let cases =
        [(65, 0, NdError::Option), (65, 2, NdError::Option), (66, 0x33, NdError::LinkLayerAddress)];
    for frame in [THEIR_SOLICITATION, OUR_ADVERTISEMENT] {
        for (at, value, error) in cases {
            let mut packet = packet(frame);
            packet[at] = value;
            fix_checksum(&mut packet);
            assert_eq!(parse(&packet), Err(error), "byte {at} is {value}");
        }
        let mut long = packet(frame);
        long[65] = 2;
        long.extend([0; 8]);
        fix_checksum(&mut long);
        assert_eq!(parse(&long), Err(NdError::LinkLayerAddress));
        let mut dangling = packet(frame);
        dangling.push(14);
        fix_checksum(&mut dangling);
        assert_eq!(parse(&dangling), Err(NdError::Option));
        let mut zero_last = packet(frame);
        zero_last.extend([14, 0, 0, 0, 0, 0, 0, 0]);
        fix_checksum(&mut zero_last);
        assert_eq!(parse(&zero_last), Err(NdError::Option));
    }
}

#[test]
fn options_of_other_kinds_are_passed_over() {
    let mut packet = packet(THEIR_SOLICITATION);
    // A nonce (RFC 3971) in front of the link-layer address.
    packet.splice(64..64, [14, 1, 1, 2, 3, 4, 5, 6]);
    fix_checksum(&mut packet);
    assert_eq!(parse(&packet), Ok(Message::Solicitation(their_solicitation())));
}

#[test]
fn a_message_without_options_is_valid() {
    let mut packet = packet(THEIR_SOLICITATION);
    packet.truncate(64);
    fix_checksum(&mut packet);
    let expected = Solicitation { source_mac: None, ..their_solicitation() };
    assert_eq!(parse(&packet), Ok(Message::Solicitation(expected)));
}

#[test]
fn from_the_unspecified_address_only_a_solicited_node_group_is_asked_and_no_mac_is_told() {
    let good = packet(THEIR_DUPLICATE_DETECTION);
    for destination in ["ff02::1", "2001:db8:1::1", "ff02::1:fe00:1", "ff05::1:ff00:1"] {
        let mut packet = good.clone();
        packet[24..40].copy_from_slice(&address(destination).octets());
        fix_checksum(&mut packet);
        assert_eq!(parse(&packet), Err(NdError::Unspecified), "{destination}");
    }
    let mut packet = good;
    packet.extend([1, 1, 2, 0, 0, 0, 0, 0xfe]);
    fix_checksum(&mut packet);
    assert_eq!(parse(&packet), Err(NdError::Unspecified));
}

#[test]
fn an_advertisement_to_a_group_is_not_solicited() {
    let mut packet = packet(OUR_ADVERTISEMENT);
    packet[24..40].copy_from_slice(&ALL_NODES.octets());
    fix_checksum(&mut packet);
    assert_eq!(parse(&packet), Err(NdError::SolicitedToGroup));
    packet[44] &= !0x40;
    fix_checksum(&mut packet);
    assert!(matches!(parse(&packet), Ok(Message::Advertisement(_))));
}

#[test]
fn a_fragment_is_refused_even_when_it_is_the_only_one() {
    let mut packet = packet(THEIR_SOLICITATION);
    packet[6] = 44;
    packet.splice(40..40, [58, 0, 0, 0, 0, 0, 0, 1]);
    packet[5] += 8;
    assert_eq!(parse(&packet), Err(NdError::Fragment));
}

#[test]
fn padding_behind_the_packet_is_not_looked_at() {
    let mut packet = packet(THEIR_DUPLICATE_DETECTION);
    packet.extend([0xff; 6]);
    assert!(matches!(parse(&packet), Ok(Message::Solicitation(_))));
}

#[test]
fn router_discovery_and_redirects_are_ignored() {
    // `IPv6(src="fe80::1", dst="ff02::1", hlim=255)/ICMPv6ND_RA()` of scapy.
    let mut packet = bytes(
        "6000000000103afffe800000000000000000000000000001ff020000000000000000000000000001\
         8600751f000807080000000000000000",
    );
    for kind in [133, 134, 137] {
        packet[40] = kind;
        assert_eq!(parse(&packet), Ok(Message::Ignored));
    }
}

#[test]
fn a_tunnel_answers_for_its_own_address_without_a_link_layer_option() {
    let theirs = bytes(
        "6000000000183afffe8000000000000000000000cb007102fe8000000000000000000000c6336401\
         8700ecbc00000000fe8000000000000000000000c6336401",
    );
    let own = address("fe80::c633:6401");
    let mut room = [0; 64];
    let len = answer_on_tunnel(&theirs, |target| target == own, &mut room).unwrap().unwrap();
    // scapy, with R and S set; O has nothing to replace.
    let expected = bytes(
        "6000000000183afffe8000000000000000000000c6336401fe8000000000000000000000cb007102\
         88002bbcc0000000fe8000000000000000000000c6336401",
    );
    assert_eq!(room[..len], expected);
    assert_eq!(answer_on_tunnel(&theirs, |_| false, &mut room), Ok(None));
    assert_eq!(answer_on_tunnel(&theirs, |_| true, &mut room[..63]), Ok(None));
    assert_eq!(answer_on_tunnel(&expected, |_| true, &mut room), Ok(None));
    let mut forwarded = theirs;
    forwarded[7] = 254;
    let refused = answer_on_tunnel(&forwarded, |_| true, &mut room);
    assert_eq!(refused, Err(NdError::HopLimit));
}

#[test]
fn a_tunnel_does_not_look_at_link_layer_options() {
    let mut theirs = packet(THEIR_SOLICITATION);
    theirs[66] = 0x33;
    fix_checksum(&mut theirs);
    let mut room = [0; 64];
    assert_eq!(answer_on_tunnel(&theirs, |_| true, &mut room), Ok(Some(64)));
}

#[test]
fn addresses_of_groups_and_links_follow_the_examples_of_the_rfcs() {
    //= RFC 4291 §2.7.1: 4037::01:800:200E:8C6C belongs to FF02::1:FF0E:8C6C.
    let group = solicited_node(address("4037::01:800:200e:8c6c"));
    assert_eq!(group, address("ff02::1:ff0e:8c6c"));
    assert!(is_solicited_node(group));
    assert!(!is_solicited_node(ALL_NODES));
    assert_eq!(group_mac(group), MacAddress([0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c]));
    //= RFC 2464 §4: 34-56-78-9A-BC-DE makes 36-56-78-FF-FE-9A-BC-DE.
    let mac = MacAddress([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
    assert_eq!(link_local(mac), address("fe80::3656:78ff:fe9a:bcde"));
}

#[test]
fn etherparse_finds_the_checksum_of_an_advertisement_right() {
    let frame = their_solicitation().answer(Some(OURS)).frame(OURS, THEIRS);
    let read = etherparse::Icmpv6Slice::from_slice(&frame[54..]).unwrap();
    let source = address("2001:db8:1::1").octets();
    let destination = address("2001:db8:1::fe").octets();
    assert!(read.is_checksum_valid(source, destination));
    assert_eq!(read.type_u8(), 136);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(packet in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = parse(&packet);
        let mut room = [0; 64];
        let _ = answer_on_tunnel(&packet, |_| true, &mut room);
    }

    #[test]
    fn any_options_are_read_or_refused(
        options in proptest::collection::vec(any::<u8>(), 0..64), advertisement: bool,
    ) {
        let frame = if advertisement { OUR_ADVERTISEMENT } else { THEIR_SOLICITATION };
        let mut packet = packet(frame);
        packet.truncate(64);
        packet.extend(options);
        fix_checksum(&mut packet);
        match parse(&packet) {
            Ok(_) | Err(NdError::Option | NdError::LinkLayerAddress) => {}
            Err(other) => prop_assert!(false, "refused for {other:?}"),
        }
    }
}
