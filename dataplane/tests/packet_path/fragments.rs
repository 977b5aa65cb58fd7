//! Packets that don't fit: cut before encapsulation, cut after it, or refused.

use adit_dataplane::device::SentFrame;
use adit_dataplane::tables::NextHop;
use adit_dataplane::tunnel::DontFragment;

use adit_dataplane::worker::WorkerSettings;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC, settings};
use super::frames::{Ip, as_piece, frame, ip, mend_ipv4, one_hop_on, with_options};

const V4: (&str, &str) = ("198.51.100.1", "203.0.113.2");
const V6: (&str, &str) = ("2001:db8:100::1", "2001:db8:200::2");

fn t0((local, remote): (&str, &str)) -> Blueprint {
    Blueprint::with_t0(local, remote)
}

fn from_host(packet: &[u8]) -> Vec<u8> {
    frame(L_MAC, H_MAC, packet)
}

/// The IP packets that left by U, without their Ethernet headers.
fn left_by_u(sent: &[SentFrame]) -> Vec<&[u8]> {
    assert!(sent.iter().all(|frame| frame.port == U && frame.bytes[..6] == G_MAC));
    sent.iter().map(|frame| &frame.bytes[14..]).collect()
}

/// The two pieces of an IPv4 packet of 20 bytes of header, as RFC 791 cuts it.
fn two_pieces(packet: &[u8], first_len: usize) -> [Vec<u8>; 2] {
    let field = u16::from_be_bytes([packet[6], packet[7]]);
    let cut = |part: &[u8], field: u16| {
        let mut piece = [&packet[..20], part].concat();
        let len = u16::try_from(piece.len()).unwrap();
        piece[2..4].copy_from_slice(&len.to_be_bytes());
        piece[6..8].copy_from_slice(&field.to_be_bytes());
        mend_ipv4(&mut piece);
        piece
    };
    let units = u16::try_from((first_len - 20) / 8).unwrap();
    [cut(&packet[20..first_len], field | 0x2000), cut(&packet[first_len..], field + units)]
}

fn outer_v4() -> Ip {
    Ip { identification: 0, ..ip(V4.0, V4.1) }
}

#[test]
fn an_oversized_packet_without_df_is_cut_before_encapsulation() {
    // C-072.
    let mut appliance = t0(V4).start();
    let packet = ip("10.1.0.5", "10.2.0.8").may_be_cut().udp(1500);
    let sent = appliance.pass(L, &from_host(&packet));
    let expected = two_pieces(&one_hop_on(&packet), 1476).map(|piece| outer_v4().around(&piece));
    assert_eq!(left_by_u(&sent), expected);
    assert_eq!((expected[0].len(), expected[1].len()), (1496, 64));
    assert_eq!(appliance.moved(), [("if.tx_inner_frag", 1), ("ip4.frag_created", 2)]);
}

#[test]
fn a_piece_that_is_cut_keeps_its_place_in_the_whole() {
    // C-073.
    let mut appliance = t0(V4).start();
    let packet = as_piece(&ip("10.1.0.5", "10.2.0.8").udp(1500), 100, true);
    let sent = appliance.pass(L, &from_host(&packet));
    let expected = two_pieces(&one_hop_on(&packet), 1476).map(|piece| outer_v4().around(&piece));
    assert_eq!(left_by_u(&sent), expected);
    let field = |packet: &[u8]| u16::from_be_bytes([packet[26], packet[27]]);
    assert_eq!([field(&expected[0]), field(&expected[1])], [0x2000 + 100, 0x2000 + 282]);
}

#[test]
fn only_options_that_say_so_are_in_every_piece() {
    // C-074: record route is not copied, the option of class 0x83 would be a source route.
    let mut appliance = t0(V4).start();
    let options = [7, 7, 4, 0, 0, 0, 0, 0x86, 4, 0, 1, 0];
    let packet = with_options(&ip("10.1.0.5", "10.2.0.8").may_be_cut().udp(1480), &options);
    let sent = appliance.pass(L, &from_host(&packet));
    let pieces = left_by_u(&sent);
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0][20] & 15, 8);
    assert_eq!(pieces[0][40..52], options);
    assert_eq!(pieces[1][20] & 15, 6);
    assert_eq!(pieces[1][40..44], [0x86, 4, 0, 1]);
}

#[test]
fn a_tunnel_larger_than_its_underlay_is_cut_outside() {
    // C-076, with an inner packet that may not be cut itself.
    let mut plan = t0(V4);
    plan.setup(0).dont_fragment = DontFragment::No;
    plan.setup(0).mtu = 1500;
    let mut appliance = plan.start();
    let packet = ip("10.1.0.5", "10.2.0.8").udp(1500);
    let sent = appliance.pass(L, &from_host(&packet));
    let pieces = left_by_u(&sent);
    assert_eq!(pieces.len(), 2);
    let identification = u16::from_be_bytes([pieces[0][4], pieces[0][5]]);
    let whole = Ip { identification, ..outer_v4().may_be_cut() }.around(&one_hop_on(&packet));
    assert_eq!(whole.len(), 1520);
    assert_eq!(pieces, two_pieces(&whole, 1500));
    assert_eq!(appliance.moved(), [("if.tx_outer_frag", 1)]);
}

#[test]
fn identifications_of_packets_that_may_be_cut_are_all_different() {
    // C-078.
    let mut plan = t0(V4);
    plan.setup(0).dont_fragment = DontFragment::No;
    let mut appliance = plan.start();
    let packet = from_host(&ip("10.1.0.5", "10.2.0.8").udp(100));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..500 {
        let sent = appliance.pass(L, &packet);
        assert!(seen.insert([sent[0].bytes[18], sent[0].bytes[19]]));
    }
}

#[test]
fn an_ipv6_packet_of_1280_bytes_passes_a_smaller_ipv6_underlay_in_fragments() {
    // RFC 2473 §7.1, as C-082.
    let mut plan = t0(V6);
    plan.ports[0].mtu = 1300;
    plan.setup(0).mtu = 1260;
    plan.setup(0).underlay_mtu = 1300;
    let mut appliance = plan.start();
    let packet = ip("2001:db8:1::5", "2001:db8:2::8").udp(1280);
    let sent = appliance.pass(L, &from_host(&packet));
    let pieces = left_by_u(&sent);
    let inside = one_hop_on(&packet);
    assert_eq!(pieces.iter().map(|p| p.len()).collect::<Vec<_>>(), [1296, 80]);
    for (piece, (offset_and_more, part)) in
        pieces.iter().zip([(1, &inside[..1248]), (1248, &inside[1248..])])
    {
        let label = u32::from_be_bytes(piece[..4].try_into().unwrap()) & 0xf_ffff;
        let header = Ip { flow_label: label, ..ip(V6.0, V6.1) };
        let offset: u16 = offset_and_more;
        let fragment = [&[41, 0][..], &offset.to_be_bytes(), &piece[44..48], part].concat();
        assert_eq!(*piece, header.carrying(44, &fragment));
    }
    assert_eq!(pieces[0][44..48], pieces[1][44..48], "two identifications");
    assert_eq!(appliance.moved(), [("if.tx_outer_frag", 1)]);
}

#[test]
fn two_workers_give_their_fragments_different_identifications() {
    let mut plan = t0(V6);
    plan.ports[0].mtu = 1300;
    plan.setup(0).underlay_mtu = 1300;
    let packet = ip("2001:db8:1::5", "2001:db8:2::8").udp(1280);
    let mut seen = std::collections::HashSet::new();
    for number in [0, 1] {
        let settings = WorkerSettings { number, workers: 2, ..settings() };
        let mut appliance = Appliance::with(plan.build(1), settings);
        for _ in 0..50 {
            let sent = appliance.pass(L, &from_host(&packet));
            assert!(seen.insert(sent[0].bytes[58..62].to_vec()), "{number}");
        }
    }
}

#[test]
fn an_ipv6_packet_of_1280_bytes_passes_a_smaller_ipv4_underlay_with_df_clear() {
    // RFC 4213 §3.2.2, the case M - OH < 1280.
    let mut plan = t0(V4);
    plan.ports[0].mtu = 1000;
    plan.setup(0).mtu = 980;
    plan.setup(0).underlay_mtu = 1000;
    let mut appliance = plan.start();
    let packet = ip("2001:db8:1::5", "2001:db8:2::8").udp(1280);
    let sent = appliance.pass(L, &from_host(&packet));
    let pieces = left_by_u(&sent);
    let identification = u16::from_be_bytes([pieces[0][4], pieces[0][5]]);
    let whole = Ip { identification, ..outer_v4().may_be_cut() }.around(&one_hop_on(&packet));
    assert_eq!(pieces, two_pieces(&whole, 996));
    // One byte more, and the sender is told 1280.
    let sent = appliance.pass(L, &from_host(&ip("2001:db8:1::5", "2001:db8:2::8").udp(1281)));
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].port, &sent[0].bytes[54..62]), (L, &icmp6_too_big(&sent[0], 1280)[..]));
}

/// Type 2, code 0, whatever checksum the frame has, and the MTU.
fn icmp6_too_big(frame: &SentFrame, mtu: u32) -> Vec<u8> {
    [&[2, 0][..], &frame.bytes[56..58], &mtu.to_be_bytes()].concat()
}

#[test]
fn what_may_not_be_cut_is_refused_with_the_mtu_of_the_tunnel() {
    // C-071, C-079, C-083: (tunnel, largest packet, from, to).
    for (ends, mtu, source, destination) in [
        (V4, 1480_u16, "10.1.0.5", "10.2.0.8"),
        (V4, 1480, "2001:db8:1::5", "2001:db8:2::8"),
        (V6, 1460, "10.1.0.5", "10.2.0.8"),
        (V6, 1460, "2001:db8:1::5", "2001:db8:2::8"),
    ] {
        let mut appliance = t0(ends).start();
        let sent = appliance.pass(L, &from_host(&ip(source, destination).udp(mtu.into())));
        assert_eq!(left_by_u(&sent)[0].len(), 1500);
        assert_eq!(appliance.moved(), []);
        let sent = appliance.pass(L, &from_host(&ip(source, destination).udp(mtu as usize + 1)));
        assert_eq!((sent.len(), sent[0].port), (1, L));
        if source.contains(':') {
            assert_eq!(sent[0].bytes[54..62], icmp6_too_big(&sent[0], mtu.into()));
        } else {
            assert_eq!(sent[0].bytes[34..36], [3, 4]);
            assert_eq!(sent[0].bytes[38..42], u32::from(mtu).to_be_bytes());
        }
        assert_eq!(appliance.moved(), [("icmp.tx", 1), ("if.tx_too_big", 1)]);
    }
}

#[test]
fn a_smaller_port_behind_the_tunnel_tells_its_mtu_through_the_tunnel() {
    // C-092.
    let mut plan = t0(V4);
    plan.ports[1].mtu = 1400;
    let mut appliance = plan.start();
    let outer = ip(V4.1, V4.0);
    let inner = ip("10.2.0.8", "10.1.0.5").udp(1480);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &outer.around(&inner)));
    let error = left_by_u(&sent)[0];
    assert_eq!((error[9], &error[40..42]), (4, &[3, 4][..]));
    assert_eq!(error[44..48], 1400_u32.to_be_bytes());
    // What may be cut is.
    let inner = ip("10.2.0.8", "10.1.0.5").may_be_cut().udp(1480);
    let sent = appliance.pass(U, &frame(U_MAC, G_MAC, &outer.around(&inner)));
    let expected = two_pieces(&one_hop_on(&inner), 1396).map(|p| frame(H_MAC, L_MAC, &p));
    assert_eq!(sent.iter().map(|f| f.bytes.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_large_echo_reply_is_cut_like_any_packet_of_our_own() {
    let mut plan = t0(V4);
    plan.ports[1].mtu = 1000;
    let mut appliance = plan.start();
    let sent = appliance.pass(L, &from_host(&ip("10.1.0.5", "10.1.0.1").echo(&[9; 1400])));
    assert_eq!(sent.iter().map(|f| f.bytes.len() - 14).collect::<Vec<_>>(), [996, 452]);
}

#[test]
fn a_packet_to_a_host_that_must_be_asked_for_is_cut_in_pieces_that_all_wait() {
    let mut plan = t0(V4);
    plan.ports[1].mtu = 1400;
    plan.neighbor(L, "10.1.0.77", None);
    plan.route("10.9.0.0/16", NextHop::Connected(L));
    let mut appliance = plan.start();
    let packet = ip("198.51.100.254", "10.1.0.77").may_be_cut().udp(1480);
    assert!(appliance.pass(U, &frame(U_MAC, G_MAC, &packet)).is_empty());
    assert_eq!(appliance.held(), 2);
    assert_eq!(appliance.moved(), [("ip4.frag_created", 2)]);
}
