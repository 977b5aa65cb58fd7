//! Floods: whatever comes, and however fast, errors keep their rate and nothing is held for long.

use core::time::Duration;

use adit_dataplane::counters::Counter;

use super::appliance::{Appliance, G_MAC, U, U_MAC};
use super::frames::{frame, in_pieces, ip};
use super::kinds::{PEERS, crowded};

/// Bursts of as many frames as one can have, for a second.
const BURSTS: u32 = 1000;
const BURST: u32 = 32;

/// Lets a second of such packets arrive from the underlay.
fn flood(appliance: &mut Appliance, packet: impl Fn(u32) -> Vec<u8>) {
    for burst in 0..BURSTS {
        for number in 0..BURST {
            let packet = packet(burst * BURST + number);
            appliance.inject(U, &frame(U_MAC, G_MAC, &packet));
        }
        appliance.run();
        appliance.now = appliance.now + Duration::from_secs(1) / BURSTS;
    }
}

#[test]
fn a_flood_of_expired_packets_is_told_of_at_the_rate_of_errors_and_each_is_counted() {
    for family in 0..2 {
        let mut appliance = crowded().start();
        flood(&mut appliance, |number| {
            let from = [format!("203.0.113.{}", number % 200), format!("2001:db8:200::{number:x}")];
            ip(&from[family], ["10.1.0.5", "2001:db8:1::5"][family]).ttl(1).udp(60)
        });
        let (sent, all) = (appliance.total(Counter::IcmpTx), u64::from(BURSTS * BURST));
        assert!((1000..=1050).contains(&sent), "{sent} errors in a second");
        assert_eq!(sent + appliance.total(Counter::IcmpRatelimited), all);
        let ended = [Counter::Ip4TtlExpired, Counter::Ip6HopExpired][family];
        assert_eq!(appliance.total(ended), all);
    }
}

#[test]
fn a_flood_from_where_no_route_leads_uses_up_the_rate_of_errors_and_nothing_is_sent() {
    let mut appliance = crowded().start();
    flood(&mut appliance, |number| {
        ip(&format!("80.0.{}.{}", number % 100, number % 7), "10.1.0.5").ttl(1).udp(60)
    });
    let tried = appliance.total(Counter::IcmpSuppressed);
    assert_eq!(appliance.total(Counter::IcmpTx), 0);
    assert!((1000..=1050).contains(&tried), "the way back was looked up {tried} times");
}

/// A piece of the packet of a peer with this identification: the first or the second of two.
fn half(peer: usize, identification: u16, at: usize) -> Vec<u8> {
    let mut whole = ip(PEERS[peer].1, PEERS[peer].0).may_be_cut();
    whole.identification = identification;
    in_pieces(&whole.around(&ip("10.2.0.8", "10.1.0.5").udp(88)), &[56], identification.into())[at]
        .clone()
}

/// How many pieces of a peer whose packets don't complete are taken in within a second while room is short: four in each
/// span of 134 ms.
const GRANTED: core::ops::RangeInclusive<u64> = 28..=36;

#[test]
fn pieces_that_never_become_packets_are_held_up_to_the_limit_of_their_peer() {
    for peer in [0, 1] {
        let mut appliance = crowded().start();
        flood(&mut appliance, |number| half(peer, u16::try_from(number).unwrap(), 0));
        assert_eq!(appliance.held(), 64);
        let pushed_out = appliance.total(Counter::ReasmLimit);
        assert!(GRANTED.contains(&pushed_out), "{pushed_out} were pushed out");
        let refused = appliance.total(Counter::ReasmRefused);
        assert_eq!(refused + pushed_out + 64, u64::from(BURSTS * BURST));
    }
}

#[test]
fn pieces_that_come_again_and_again_are_taken_in_no_more_often() {
    let mut appliance = crowded().start();
    // The memory of the peer is full, and then it is always one packet of those that wait.
    for number in 0..65 {
        appliance.inject(U, &frame(U_MAC, G_MAC, &half(0, number, 0)));
    }
    appliance.run();
    let before = appliance.total(Counter::ReasmRefused);
    flood(&mut appliance, |_| half(0, 64, 0));
    let refused = appliance.total(Counter::ReasmRefused) - before;
    // As many as there may be debt, while room is short, and all once it is not.
    assert!(refused > 3000, "{refused} were refused");
}

#[test]
fn a_peer_whose_packets_complete_loses_none_of_them_to_pieces_of_others_that_dont() {
    let mut appliance = crowded().start();
    flood(&mut appliance, |number| {
        // Both halves of a packet, with pieces between that fill all there is.
        let packet = u16::try_from(number / 8).unwrap();
        match number % 8 {
            0 => half(0, packet, 0),
            3 => half(0, packet, 1),
            other => {
                half([1, 1, 2, 3, 3, 4, 5, 5][other as usize], u16::try_from(number).unwrap(), 0)
            }
        }
    });
    assert_eq!(appliance.total(Counter::ReasmOk), u64::from(BURSTS * BURST / 8));
    assert!(appliance.held() > 250, "room is short for all");
}
