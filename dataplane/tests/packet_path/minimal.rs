//! Minimal encapsulation: the sender's header on the wire with other addresses, and as it was at the far end. What is
//! expected is put together from figure 3 of RFC 2004 and computed anew, never by the code under test.

use adit_dataplane::counters::CounterSlot;
use adit_dataplane::device::SentFrame;
use adit_dataplane::interface::TunnelId;
use adit_dataplane::tables::NextHop;
use adit_dataplane::worker::exchange::{Handback, Punt};
use proptest::prelude::*;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{
    Ip, as_piece, folded, frame, in_pieces, ip, mend_ipv4, one_hop_on, with_options,
};
use super::specimens::SYN;

const LOCAL: &str = "198.51.100.1";
const REMOTE: &str = "203.0.113.2";

fn plan() -> Blueprint {
    let mut plan = Blueprint::with_t0(LOCAL, REMOTE);
    plan.setup(0).put_minimal();
    plan
}

fn far_end() -> Appliance {
    let mut plan = Blueprint::far_end(LOCAL, REMOTE);
    plan.setup(0).put_minimal();
    plan.start()
}

fn from_host(appliance: &mut Appliance, packet: &[u8]) -> Vec<SentFrame> {
    appliance.pass(L, &frame(L_MAC, H_MAC, packet))
}

fn from_router(appliance: &mut Appliance, packet: &[u8]) -> Vec<SentFrame> {
    appliance.pass(U, &frame(U_MAC, G_MAC, packet))
}

fn inward() -> Ip {
    ip("10.1.0.5", "10.2.0.8")
}

fn outward() -> Ip {
    ip("10.2.0.8", "10.1.0.5")
}

/// The one packet that was sent into the tunnel.
fn sole(sent: &[SentFrame]) -> &[u8] {
    assert_eq!((sent.len(), sent[0].port), (1, U));
    assert_eq!(sent[0].bytes[..14], frame(G_MAC, U_MAC, &[0x45])[..14]);
    &sent[0].bytes[14..]
}

#[test]
fn a_packet_gets_twelve_bytes_and_keeps_its_header_but_for_the_addresses() {
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let long = Ip { identification: 0x1234, ..inward().tos(0xb9).ttl(9) };
    for packet in [inward().udp(84), long.udp(1488), with_options(&long.udp(300), &record_route)] {
        let mut appliance = plan().start();
        let sent = from_host(&mut appliance, &packet);
        assert_eq!(sole(&sent), folded(&one_hop_on(&packet), LOCAL, REMOTE));
        assert_eq!(appliance.moved(), []);
    }
}

#[test]
fn what_this_node_sends_from_the_tunnels_own_address_gets_eight_bytes() {
    let mut appliance = plan().start();
    let request = ip("10.2.0.8", LOCAL).echo(&[5; 56]);
    let sent = from_router(&mut appliance, &folded(&request, REMOTE, LOCAL));
    let reply = sole(&sent);
    assert_eq!((reply.len(), reply[9], &reply[20..22]), (84 + 8, 55, &[1, 0][..]));
    assert_eq!(reply[24..28], [10, 2, 0, 8]);
    assert_eq!(reply[28..30], [0, 0], "an echo reply");
    // The far end takes the source from the outer header.
    let arrived = far_end().pass(U, &frame(U_MAC, G_MAC, reply));
    assert_eq!((arrived.len(), arrived[0].port), (1, L));
    assert_eq!(arrived[0].bytes[26..34], [198, 51, 100, 1, 10, 2, 0, 8]);
}

#[test]
fn a_piece_of_a_packet_does_not_enter() {
    let mut appliance = plan().start();
    let packet = inward().may_be_cut().udp(1000);
    for piece in
        [as_piece(&packet, 0, true), as_piece(&packet, 9, true), as_piece(&packet, 9, false)]
    {
        assert!(from_host(&mut appliance, &piece).is_empty());
        assert_eq!(appliance.moved(), [("if.tx_fragment", 1)]);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_df_and_cut_in_the_tunnel_without() {
    let mut appliance = plan().start();
    let sent = from_host(&mut appliance, &inward().udp(1489));
    assert_eq!((sent.len(), sent[0].port), (1, L));
    assert_eq!(sent[0].bytes[34..36], [3, 4]);
    assert_eq!(sent[0].bytes[40..42], 1488_u16.to_be_bytes());
    assert_eq!(appliance.moved(), [("icmp.tx", 1), ("if.tx_too_big", 1)]);

    let packet = Ip { identification: 0x4711, ..inward().may_be_cut() }.udp(1500);
    let sent = from_host(&mut appliance, &packet);
    assert_eq!(appliance.moved(), [("if.tx_outer_frag", 1)]);
    let whole = folded(&one_hop_on(&packet), LOCAL, REMOTE);
    let pieces: Vec<_> = sent.iter().map(|piece| piece.bytes[14..].to_vec()).collect();
    assert_eq!(pieces, in_pieces(&whole, &[1480], 0x4711));
    // The far end puts the tunnel's packet together, and the sender's is whole again.
    let mut far = far_end();
    let arrived: Vec<_> = sent
        .iter()
        .flat_map(|piece| far.pass(U, &frame(U_MAC, G_MAC, &piece.bytes[14..])))
        .collect();
    assert_eq!(arrived.len(), 1, "{:?}", far.moved());
    assert_eq!(arrived[0].bytes, frame(H_MAC, L_MAC, &one_hop_on(&one_hop_on(&packet))));
}

#[test]
fn a_header_that_is_cut_or_changed_is_refused_wherever_that_is() {
    let mut appliance = plan().start();
    for inner in [outward().udp(84), ip(REMOTE, "10.1.0.5").udp(84)] {
        let packet = folded(&inner, REMOTE, LOCAL);
        let header_len = packet.len() - inner.len();
        for len in 20..20 + header_len {
            let mut cut = packet[..len].to_vec();
            cut[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            mend_ipv4(&mut cut);
            assert!(from_router(&mut appliance, &cut).is_empty(), "{len}");
            assert_eq!(appliance.moved(), [("tun.shim_short", 1)], "{len}");
        }
        for bit in 0..header_len * 8 {
            let mut changed = packet.clone();
            changed[20 + bit / 8] ^= 1 << (bit % 8);
            assert!(from_router(&mut appliance, &changed).is_empty(), "{bit}");
            assert_eq!(appliance.moved(), [("minimal.bad_csum", 1)], "{bit}");
        }
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let mut appliance = plan().start();
    let mut packet = folded(&outward().udp(84), REMOTE, LOCAL);
    packet[21] |= 0x7f;
    let sum = u16::from_be_bytes([packet[22], packet[23]]) - 0x7f;
    packet[22..24].copy_from_slice(&sum.to_be_bytes());
    let sent = from_router(&mut appliance, &packet);
    assert_eq!(sent[0].bytes, frame(H_MAC, L_MAC, &one_hop_on(&outward().udp(84))));
}

/// The rules of the inner header hold for the one that is restored.
#[test]
fn what_comes_out_is_believed_no_more_than_what_comes_out_of_any_tunnel() {
    let cases = [
        ("if.rx_inner_martian_src", ip("127.0.0.1", "10.1.0.5").udp(60)),
        ("if.rx_inner_own_src", ip("10.1.0.1", "10.1.0.5").udp(60)),
        ("if.rx_inner_dst_denied", ip("10.2.0.8", "224.0.0.9").udp(60)),
        ("if.rx_loop_encapsulator", ip("10.2.0.8", REMOTE).udp(60)),
        ("if.rx_hairpin", ip("10.2.0.8", "10.2.0.9").udp(60)),
        ("if.rx_nested_limit", folded(&ip("10.2.0.8", LOCAL).udp(60), "10.2.0.9", LOCAL)),
        ("if.rx_inner_ttl_zero", outward().ttl(0).udp(60)),
    ];
    let mut appliance = plan().start();
    for (counter, inner) in cases {
        assert!(from_router(&mut appliance, &folded(&inner, REMOTE, LOCAL)).is_empty());
        assert_eq!(appliance.moved(), [(counter, 1)]);
    }
}

#[test]
fn segment_sizes_are_lowered_both_ways() {
    let mut appliance = plan().start();
    let says_1460 = [2, 4, 5, 0xb4];
    let sent = from_host(&mut appliance, &inward().tcp(SYN, &says_1460, &[]));
    assert_eq!(sole(&sent)[20 + 12 + 20..][..4], [2, 4, 5, 0xa8], "1448");
    let answer = folded(&outward().tcp(SYN, &says_1460, &[]), REMOTE, LOCAL);
    let sent = from_router(&mut appliance, &answer);
    assert_eq!(sent[0].bytes[14 + 20 + 20..][..4], [2, 4, 5, 0xa8]);
}

#[test]
fn a_tunnel_of_ipip_between_the_same_addresses_has_its_own_packets() {
    let mut plan = plan();
    plan.tunnel(LOCAL, REMOTE);
    let mut appliance = plan.start();
    let inner = outward().udp(84);
    let expected = frame(H_MAC, L_MAC, &one_hop_on(&inner));
    for packet in [folded(&inner, REMOTE, LOCAL), ip(REMOTE, LOCAL).around(&inner)] {
        assert_eq!(from_router(&mut appliance, &packet)[0].bytes, expected);
    }
    let received = |slot| {
        let traffic = appliance.shared.counters.tunnels.traffic(slot).unwrap();
        (traffic.rx_packets.get(), traffic.rx_bytes.get())
    };
    assert_eq!([received(CounterSlot(0)), received(CounterSlot(1))], [(1, 84); 2]);
    // Without one of its own, ipip's packets are nobody's here.
    let mut alone = self::plan().start();
    assert!(from_router(&mut alone, &ip(REMOTE, LOCAL).around(&inner)).is_empty());
    assert_eq!(alone.moved(), [("tun.proto_mismatch", 1)]);
}

/// An error of the underlay about what the host's packet of 1480 bytes became, of which so much is quoted.
fn error(kind: u8, code: u8, mtu: u16, quoted: usize) -> Vec<u8> {
    let sent = folded(&inward().ttl(63).udp(1480), LOCAL, REMOTE);
    ip("192.0.2.9", LOCAL).icmp_error(kind, code, mtu, &sent[..quoted])
}

#[test]
fn an_error_of_the_underlay_reaches_the_sender_about_the_packet_that_it_sent() {
    let mut appliance = plan().start();
    let sent = from_router(&mut appliance, &error(3, 4, 1400, 200));
    assert_eq!(appliance.moved(), [("icmp.tx", 1), ("if.icmp_relayed", 1), ("if.pmtu_updates", 1)]);
    assert_eq!((sent.len(), sent[0].port), (1, L));
    assert_eq!(sent[0].bytes[34..36], [3, 4]);
    assert_eq!(sent[0].bytes[40..42], 1388_u16.to_be_bytes());
    assert_eq!(sent[0].bytes[42..], inward().ttl(63).udp(1480)[..200 - 12]);
    // From now on this node knows it by itself.
    assert_eq!(
        from_host(&mut appliance, &inward().udp(1389))[0].bytes[40..42],
        1388_u16.to_be_bytes()
    );
    assert_eq!(sole(&from_host(&mut appliance, &inward().udp(1388))).len(), 1400);
}

#[test]
fn a_ttl_that_runs_out_in_the_tunnel_is_the_senders_own() {
    let mut appliance = plan().start();
    let sent = from_router(&mut appliance, &error(11, 0, 0, 60));
    assert_eq!((sent[0].port, &sent[0].bytes[34..36]), (L, &[11, 0][..]));
    assert_eq!(sent[0].bytes[42..], inward().ttl(63).udp(1480)[..48]);
}

#[test]
fn a_quote_that_does_not_show_the_sender_is_learnt_from_and_not_passed_on() {
    // Without the source, and with too little behind it.
    for quoted in [28, 31, 32, 39] {
        let mut appliance = plan().start();
        assert!(from_router(&mut appliance, &error(3, 4, 1400, quoted)).is_empty(), "{quoted}");
        assert_eq!(appliance.moved(), [("if.icmp_relay_short", 1), ("if.pmtu_updates", 1)]);
    }
    let mut appliance = plan().start();
    let mut other = error(3, 4, 1400, 200);
    // A destination that does not lead into this tunnel: the checksum of the forwarding header is wrong then.
    other[28 + 26] ^= 1;
    let other = ip("192.0.2.9", LOCAL).icmp_error(3, 4, 1400, &other[28..]);
    assert!(from_router(&mut appliance, &other).is_empty());
    assert_eq!(appliance.moved(), [("if.icmp_relay_rejected", 1)]);
}

#[test]
fn errors_of_this_node_are_about_the_packet_as_it_came() {
    let mut silent = plan();
    silent.setup(0).underlay = silent.neighbor(U, "198.51.100.77", None);
    let mut appliance = silent.start();
    let packet = inward().udp(200);
    assert!(from_host(&mut appliance, &packet).is_empty());
    let [Punt::Unresolved { packet: waiting, .. }] =
        <[Punt; 1]>::try_from(appliance.take_punts()).ok().unwrap()
    else {
        panic!("it does not wait")
    };
    assert!(appliance.shared.handbacks.push(Handback::Unreachable { packet: waiting }).is_ok());
    let sent = appliance.run();
    assert_eq!((sent.len(), sent[0].port, &sent[0].bytes[34..36]), (1, L, &[3, 1][..]));
    assert_eq!(sent[0].bytes[42..], one_hop_on(&packet));

    // A tunnel around this one takes less than this one knows.
    let mut inside = plan();
    inside.tunnel(LOCAL, "203.0.113.3");
    inside.setup(0).underlay = NextHop::Tunnel(TunnelId(1));
    let mut appliance = inside.start();
    let packet = inward().udp(1488);
    let sent = from_host(&mut appliance, &packet);
    assert_eq!((sent.len(), sent[0].port, &sent[0].bytes[34..36]), (1, L, &[3, 4][..]));
    assert_eq!(sent[0].bytes[40..42], (1480_u16 - 12).to_be_bytes());
    assert_eq!(sent[0].bytes[42..], one_hop_on(&packet)[..548]);
    let fits = inward().udp(1468);
    let expected = folded(&one_hop_on(&fits), LOCAL, REMOTE);
    assert_eq!(sole(&from_host(&mut appliance, &fits))[20..], expected);
}

proptest! {
    #[test]
    fn whatever_enters_comes_out_two_hops_older(
        tos: u8, ttl in 3_u8.., dont_fragment: bool, identification: u16, len in 28_usize..=1488,
        has_options: bool,
    ) {
        let header = Ip { dont_fragment, identification, ..inward().tos(tos).ttl(ttl) };
        let mut packet = header.udp(len);
        if has_options && len <= 1480 {
            packet = with_options(&packet, &[7, 7, 4, 0, 0, 0, 0, 0]);
        }
        let (mut near, mut far) = (plan().start(), far_end());
        let sent = from_host(&mut near, &packet);
        prop_assert_eq!(sole(&sent), folded(&one_hop_on(&packet), LOCAL, REMOTE));
        let arrived = far.pass(U, &frame(U_MAC, G_MAC, &sent[0].bytes[14..]));
        prop_assert_eq!(arrived.len(), 1, "{:?}", far.moved());
        let expected = one_hop_on(&one_hop_on(&packet));
        prop_assert_eq!(&arrived[0].bytes, &frame(H_MAC, L_MAC, &expected));
    }
}
