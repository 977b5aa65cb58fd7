//! Routing tables of any size with the mix of prefix lengths that is seen in the internet, plus what
//! an access provider adds of its own: single hosts and customers' sites.

use adit_dataplane::fib::{NextHopId, Rib4, Rib6};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::numbers::Numbers;

/// How many different next hops routes lead to.
pub const NEXT_HOP_COUNT: u32 = 4096;

/// IPv4 prefix lengths, of 1000 routes.
const LENGTHS_4: &[(u8, u16)] = &[
    (24, 570),
    (22, 110),
    (23, 100),
    (21, 50),
    (20, 45),
    (19, 25),
    (18, 14),
    (16, 14),
    (17, 8),
    (15, 2),
    (14, 1),
    (13, 1),
    (12, 1),
    (32, 40),
    (29, 10),
    (30, 5),
    (28, 4),
];

/// IPv6 prefix lengths, of 1000 routes.
const LENGTHS_6: &[(u8, u16)] = &[
    (48, 450),
    (32, 110),
    (44, 80),
    (40, 70),
    (36, 35),
    (29, 30),
    (46, 30),
    (47, 25),
    (42, 20),
    (33, 20),
    (34, 15),
    (45, 10),
    (38, 10),
    (28, 5),
    (56, 40),
    (64, 40),
    (128, 10),
];

/// The first 16 bits that most IPv6 prefixes in use begin with, as ranges.
const REGIONS_6: &[(u16, u16)] =
    &[(0x2001, 1), (0x2400, 16), (0x2600, 16), (0x2620, 1), (0x2800, 7), (0x2a00, 20), (0x2c0f, 1)];

fn next_hop(numbers: &mut Numbers) -> NextHopId {
    let raw = numbers.below(u64::from(NEXT_HOP_COUNT)) + 1;
    NextHopId::new(u32::try_from(raw).unwrap_or(1)).unwrap_or(NextHopId::NONE)
}

/// `count` IPv4 routes. The first is the default route.
pub fn routes4(count: usize) -> Rib4 {
    let mut numbers = Numbers::new(4);
    // Hosts and small sites lie in pools, not anywhere.
    let pools: Vec<u32> = (0..=count / 100).map(|_| unicast4(&mut numbers)).collect();
    let mut rib = Rib4::new();
    rib.insert(Ipv4Net::default(), next_hop(&mut numbers));
    while rib.len() < count {
        let len = numbers.weighted(LENGTHS_4);
        let anywhere = unicast4(&mut numbers);
        let address =
            if len > 24 { numbers.pick(&pools) & !0xff | anywhere & 0xff } else { anywhere };
        if let Ok(prefix) = Ipv4Net::new(address.into(), len) {
            rib.insert(prefix, next_hop(&mut numbers));
        }
    }
    rib
}

/// An address that is no multicast and in none of the special blocks at either end.
fn unicast4(numbers: &mut Numbers) -> u32 {
    let first = u32::try_from(numbers.below(222)).unwrap_or(0) + 1;
    let rest = u32::try_from(numbers.below(1 << 24)).unwrap_or(0);
    first << 24 | rest
}

/// `count` IPv6 routes. The first is the default route.
pub fn routes6(count: usize) -> Rib6 {
    let mut numbers = Numbers::new(6);
    let sites: Vec<u128> = (0..=count / 5)
        .map(|_| {
            let (first, width) = numbers.pick(REGIONS_6);
            let region = u128::from(first) + u128::from(numbers.below(u64::from(width)));
            region << 112 | u128::from(numbers.below(1 << 16)) << 96
        })
        .collect();
    let mut rib = Rib6::new();
    rib.insert(Ipv6Net::default(), next_hop(&mut numbers));
    while rib.len() < count {
        let len = numbers.weighted(LENGTHS_6);
        let address = numbers.pick(&sites) | numbers.next_u128() >> 32;
        if let Ok(prefix) = Ipv6Net::new(address.into(), len) {
            rib.insert(prefix, next_hop(&mut numbers));
        }
    }
    rib
}

/// `count` addresses, each anywhere in a route picked at random.
pub fn addresses4(rib: &Rib4, count: usize) -> Vec<u32> {
    let mut numbers = Numbers::new(44);
    let prefixes: Vec<Ipv4Net> = rib.iter().map(|(prefix, _)| prefix).collect();
    let mut address = || {
        let prefix = numbers.pick(&prefixes);
        let host = u32::try_from(numbers.next_u64() >> 32).unwrap_or(0);
        u32::from(prefix.network()) | host & u32::from(prefix.hostmask())
    };
    (0..count).map(|_| address()).collect()
}

/// `count` addresses, each anywhere in a route picked at random.
pub fn addresses6(rib: &Rib6, count: usize) -> Vec<u128> {
    let mut numbers = Numbers::new(66);
    let prefixes: Vec<Ipv6Net> = rib.iter().map(|(prefix, _)| prefix).collect();
    let mut address = || {
        let prefix = numbers.pick(&prefixes);
        u128::from(prefix.network()) | numbers.next_u128() & u128::from(prefix.hostmask())
    };
    (0..count).map(|_| address()).collect()
}
