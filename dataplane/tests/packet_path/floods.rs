//! Floods: whatever comes, and however fast, errors keep their rate and nothing is held for long.

use core::time::Duration;

use adit_dataplane::counters::Counter;

use super::appliance::{Appliance, G_MAC, U, U_MAC};
use super::frames::{as_piece, frame, ip};
use super::specimens::crowded;

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

#[test]
fn pieces_that_never_become_packets_are_held_up_to_the_limit_of_their_peer() {
    let mut appliance = crowded().start();
    flood(&mut appliance, |number| {
        let inner = ip("10.2.0.8", "10.1.0.5").udp(88);
        let mut whole = ip("203.0.113.2", "198.51.100.1").may_be_cut();
        whole.identification = u16::try_from(number).unwrap();
        as_piece(&whole.around(&inner), 4, true)
    });
    assert_eq!(appliance.held(), 64);
    assert_eq!(appliance.total(Counter::ReasmLimit), u64::from(BURSTS * BURST) - 64);
}
