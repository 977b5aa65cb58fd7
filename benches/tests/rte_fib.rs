//! Our forwarding tables against DPDK's, which somebody else wrote: the same routes and changes must
//! give the same answers.
//!
//! One test, because DPDK's environment can be started once in a process.

#![cfg(feature = "dpdk")]
#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use adit_dataplane::fib::{Fib, LeftRight, NextHopId, Routes4, Routes6};
use benches::numbers::Numbers;
use benches::routes::{addresses4, addresses6, routes4, routes6};
use benches::rte_fib::{Method, RteFib4, RteFib6, start_eal};

const ROUTE_COUNT: usize = 20_000;
const ADDRESS_COUNT: usize = 200_000;
const METHODS: [Method; 2] = [Method::Scalar, Method::Avx512];

fn raw(next_hops: &[NextHopId]) -> Vec<u64> {
    next_hops.iter().map(|next_hop| next_hop.index() as u64).collect()
}

fn agree4(ours: &Routes4, theirs: &RteFib4, addresses: &[u32]) {
    let mut found = vec![NextHopId::NONE; addresses.len()];
    ours.live().lookup_burst(addresses, &mut found);
    for method in METHODS.into_iter().filter(|&method| theirs.select(method)) {
        let mut expected = vec![0; addresses.len()];
        theirs.lookup(addresses, &mut expected);
        let at = raw(&found).iter().zip(&expected).position(|(ours, theirs)| ours != theirs);
        assert_eq!(at.map(|at| (addresses[at], found[at], expected[at])), None, "{method:?}");
    }
}

fn agree6(ours: &Routes6, theirs: &RteFib6, addresses: &[u128]) {
    let octets: Vec<[u8; 16]> = addresses.iter().map(|address| address.to_be_bytes()).collect();
    let mut found = vec![NextHopId::NONE; addresses.len()];
    ours.live().lookup_burst(addresses, &mut found);
    for method in METHODS.into_iter().filter(|&method| theirs.select(method)) {
        let mut expected = vec![0; addresses.len()];
        theirs.lookup(&octets, &mut expected);
        let at = raw(&found).iter().zip(&expected).position(|(ours, theirs)| ours != theirs);
        assert_eq!(at.map(|at| (addresses[at], found[at], expected[at])), None, "{method:?}");
    }
}

/// Removes two in three routes, in an order that has nothing to do with theirs; tells `removed`.
fn thin_out<F: Fib>(tables: &mut LeftRight<F>, mut removed: impl FnMut(F::Prefix)) {
    let mut prefixes: Vec<_> = tables.rib().iter().map(|(prefix, _)| prefix).collect();
    let mut numbers = Numbers::new(3);
    for left in (ROUTE_COUNT / 3..prefixes.len()).rev() {
        let at = usize::try_from(numbers.below(left as u64 + 1)).unwrap();
        let prefix = prefixes.swap_remove(at);
        assert!(tables.remove(prefix).unwrap().is_some());
        removed(prefix);
    }
    tables.publish();
}

#[test]
fn our_tables_answer_as_those_of_dpdk_do() {
    start_eal(768).unwrap();

    let rib = routes4(ROUTE_COUNT);
    let mut addresses = addresses4(&rib, ADDRESS_COUNT / 2);
    let mut numbers = Numbers::new(5);
    addresses
        .extend((0..ADDRESS_COUNT / 2).map(|_| u32::try_from(numbers.next_u64() >> 32).unwrap()));
    let theirs = RteFib4::build(c"oracle4", &rib, 1 << 15).unwrap();
    let mut ours = Routes4::build(rib).unwrap();
    agree4(&ours, &theirs, &addresses);
    thin_out(&mut ours, |prefix| {
        theirs.delete(prefix.network().into(), prefix.prefix_len()).unwrap();
    });
    agree4(&ours, &theirs, &addresses);

    let rib = routes6(ROUTE_COUNT);
    let mut addresses = addresses6(&rib, ADDRESS_COUNT / 2);
    let near = addresses.clone();
    addresses.extend(near.iter().map(|address| address ^ 1 << (numbers.next_u64() & 127)));
    let theirs = RteFib6::build(c"oracle6", &rib, 1 << 17).unwrap();
    let mut ours = Routes6::build(rib).unwrap();
    agree6(&ours, &theirs, &addresses);
    thin_out(&mut ours, |prefix| {
        theirs.delete(prefix.network().octets(), prefix.prefix_len()).unwrap();
    });
    agree6(&ours, &theirs, &addresses);
}
