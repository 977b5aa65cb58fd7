//! The tables against a linear scan of the routes, for any sequence of changes.

use ipnet::{Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::{Fib, Fib4, Fib6, FibError, LastFound, LeftRight, NextHopId, PAGES_MAX, Prefix, Rib};

/// What the tests need to know of a family beside [`Fib`].
trait Family: Fib {
    fn find(&self, address: u128) -> NextHopId;
    fn find_burst(&self, addresses: &[u128]) -> Vec<NextHopId>;
    /// An address is in the low bits.
    fn prefix(address: u128, len: u8) -> Self::Prefix;
    fn bounds(prefix: Self::Prefix) -> (u128, u128);
    fn used_nodes(&self) -> (usize, usize);
}

fn v4(address: u128) -> u32 {
    u32::try_from(address & 0xffff_ffff).unwrap()
}

impl Family for Fib4 {
    fn find(&self, address: u128) -> NextHopId {
        self.lookup(v4(address))
    }

    fn find_burst(&self, addresses: &[u128]) -> Vec<NextHopId> {
        let addresses: Vec<u32> = addresses.iter().copied().map(v4).collect();
        let mut found = vec![NextHopId::NONE; addresses.len()];
        self.lookup_burst(&addresses, &mut found);
        let (mut last, mut last_short) = (LastFound::default(), LastFound::default());
        for (&address, &found) in addresses.iter().zip(&found) {
            assert_eq!(self.lookup_after(&mut last, address), found, "{address:#x} in a train");
            let found_short = self.lookup_mostly_short(&mut last_short, address);
            assert_eq!(found_short, found, "{address:#x} in another train");
        }
        found
    }

    fn prefix(address: u128, len: u8) -> Ipv4Net {
        Ipv4Net::new(v4(address).into(), len).unwrap()
    }

    fn bounds(prefix: Ipv4Net) -> (u128, u128) {
        (u32::from(prefix.network()).into(), u32::from(prefix.broadcast()).into())
    }

    fn used_nodes(&self) -> (usize, usize) {
        self.node_counts()
    }
}

impl Family for Fib6 {
    fn find(&self, address: u128) -> NextHopId {
        self.lookup(address)
    }

    fn find_burst(&self, addresses: &[u128]) -> Vec<NextHopId> {
        let mut found = vec![NextHopId::NONE; addresses.len()];
        self.lookup_burst(addresses, &mut found);
        found
    }

    fn prefix(address: u128, len: u8) -> Ipv6Net {
        Ipv6Net::new(address.into(), len).unwrap()
    }

    fn bounds(prefix: Ipv6Net) -> (u128, u128) {
        (prefix.network().into(), prefix.broadcast().into())
    }

    fn used_nodes(&self) -> (usize, usize) {
        (self.node_counts().0 + self.page_count(), self.node_counts().1)
    }
}

/// Longest match by looking at every route.
fn scan<F: Family>(routes: &[(F::Prefix, NextHopId)], address: u128) -> NextHopId {
    routes
        .iter()
        .filter(|(prefix, _)| {
            let (first, last) = F::bounds(*prefix);
            first <= address && address <= last
        })
        .max_by_key(|(prefix, _)| prefix.prefix_len())
        .map_or(NextHopId::NONE, |&(_, next_hop)| next_hop)
}

/// The first and last address of each prefix ever used, and their neighbors on either side.
fn edges<F: Family>(prefixes: &[F::Prefix]) -> Vec<u128> {
    let last_address = u128::MAX >> (128 - F::Prefix::LEN_MAX);
    let around = |prefix: &F::Prefix| {
        let (first, last) = F::bounds(*prefix);
        [first, last, first.wrapping_sub(1), last.wrapping_add(1), first + (last - first) / 2]
    };
    prefixes.iter().flat_map(around).map(|address| address & last_address).collect()
}

fn check<F: Family>(fib: &F, routes: &[(F::Prefix, NextHopId)], addresses: &[u128]) {
    let trains: Vec<u128> = addresses.iter().flat_map(|&address| [address; 2]).collect();
    for (&address, burst) in trains.iter().zip(fib.find_burst(&trains)) {
        let expected = scan::<F>(routes, address);
        assert_eq!(fib.find(address), expected, "{address:#x}");
        assert_eq!(burst, expected, "{address:#x} in a burst");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert {
        base: u8,
        noise: u128,
        len: u8,
        next_hop: u32,
    },
    /// Of the route at this place, modulo how many there are.
    Remove(usize),
    Replace(usize, u32),
    Publish,
    Discard,
}

/// Addresses of few families of neighbors, so that prefixes nest and collide.
fn address_of<P: Prefix>(base: u8, noise: u128) -> u128 {
    let spread = [0, 0x2001_0db8_0000_0000_0000_0000_0000_0000, 0x2001_0db8_00ff << 80, u128::MAX];
    let ones = u128::MAX.checked_shr(u32::from(base & 0x7f)).unwrap_or(0);
    let address = spread[usize::from(base >> 5 & 3)] ^ (noise & ones);
    address >> (128 - P::LEN_MAX)
}

fn step(len_max: u8) -> impl Strategy<Value = Step> {
    // Few bits differ in most noise: neighbors.
    let noise = prop_oneof![any::<u128>(), (0..128u32, 0..8u128).prop_map(|(at, bits)| bits << at)];
    let insert = (any::<u8>(), noise, 0..=len_max, 1..9u32);
    prop_oneof![
        10 => insert.prop_map(|(base, noise, len, next_hop)| {
            Step::Insert { base, noise, len, next_hop }
        }),
        5 => any::<usize>().prop_map(Step::Remove),
        2 => (any::<usize>(), 1..9u32).prop_map(|(at, next_hop)| Step::Replace(at, next_hop)),
        1 => Just(Step::Publish),
        1 => Just(Step::Discard),
    ]
}

/// Runs steps on both copies of a table and on a plain list; compares all of them along the way.
fn run<F: Family>(steps: &[Step]) {
    let mut tables = LeftRight::<F>::new();
    let mut routes: Vec<(F::Prefix, NextHopId)> = Vec::new();
    let mut published = routes.clone();
    let mut seen = Vec::new();
    for step in steps {
        match *step {
            Step::Insert { base, noise, len, next_hop } => {
                let prefix = F::prefix(address_of::<F::Prefix>(base, noise), len).canonical();
                let next_hop = NextHopId::new(next_hop).unwrap();
                let at = routes.iter().position(|route| route.0 == prefix);
                let previous = at.map(|at| routes.remove(at).1);
                routes.push((prefix, next_hop));
                seen.push(prefix);
                assert_eq!(tables.insert(prefix, next_hop), Ok(previous));
            }
            Step::Remove(at) if !routes.is_empty() => {
                let (prefix, next_hop) = routes.remove(at % routes.len());
                assert_eq!(tables.remove(prefix), Ok(Some(next_hop)));
                assert_eq!(tables.remove(prefix), Ok(None));
            }
            Step::Replace(at, next_hop) if !routes.is_empty() => {
                let at = at % routes.len();
                let (prefix, previous) = routes[at];
                routes[at].1 = NextHopId::new(next_hop).unwrap();
                assert_eq!(tables.insert(prefix, routes[at].1), Ok(Some(previous)));
            }
            Step::Publish => {
                published.clone_from(&routes);
                check(&*tables.publish(), &routes, &edges::<F>(&seen));
            }
            Step::Discard => {
                tables.discard();
                routes.clone_from(&published);
            }
            Step::Remove(_) | Step::Replace(..) => {}
        }
    }
    finish(tables, routes, &published, &edges::<F>(&seen));
}

/// Both copies, the routes, and a table built afresh agree with the list; and after removing all of
/// it nothing is left in use.
fn finish<F: Family>(
    mut tables: LeftRight<F>,
    mut routes: Vec<(F::Prefix, NextHopId)>,
    published: &[(F::Prefix, NextHopId)],
    addresses: &[u128],
) {
    check(&*tables.live(), published, addresses);
    let first = tables.publish();
    check(&*first, &routes, addresses);
    drop(first);
    tables.catch_up().unwrap();
    let built = F::build(tables.rib()).unwrap();
    check(&built, &routes, addresses);
    check(&built.clone(), &routes, addresses);
    assert_eq!(built.used_nodes(), tables.live().used_nodes(), "the order of changes shows");

    routes.sort_unstable_by_key(|route| route.0);
    assert!(tables.rib().iter().eq(routes.iter().copied()));
    let Some((prefix, next_hop)) = routes.pop() else { return };
    tables.remove(prefix).unwrap();
    let second = tables.publish();
    check(&*second, &routes, addresses);
    drop(second);
    tables.insert(prefix, next_hop).unwrap();
    routes.push((prefix, next_hop));
    for (prefix, _) in routes {
        tables.remove(prefix).unwrap();
    }
    let empty = tables.publish();
    check(&*empty, &[], addresses);
    assert_eq!(empty.used_nodes(), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn ipv4_tables_agree_with_a_linear_scan(steps in prop::collection::vec(step(32), 1..60)) {
        run::<Fib4>(&steps);
    }

    #[test]
    fn ipv6_tables_agree_with_a_linear_scan(steps in prop::collection::vec(step(128), 1..60)) {
        run::<Fib6>(&steps);
    }

    #[test]
    fn many_ipv4_routes_in_one_24_agree_with_a_linear_scan(
        steps in prop::collection::vec(
            (any::<u8>(), 22..=32u8, 1..9u32, any::<usize>(), any::<bool>()), 1..120)
    ) {
        run::<Fib4>(&crowd(&steps, 96));
    }

    #[test]
    fn many_ipv6_routes_in_two_bytes_agree_with_a_linear_scan(
        steps in prop::collection::vec(
            (any::<u8>(), 38..=56u8, 1..9u32, any::<usize>(), any::<bool>()), 1..120)
    ) {
        run::<Fib6>(&crowd(&steps, 76));
    }

    #[test]
    fn ipv6_routes_of_64_bits_and_around_agree_with_a_linear_scan(
        steps in prop::collection::vec(
            (any::<u8>(), 54..=70u8, 1..9u32, any::<usize>(), any::<bool>()), 1..120)
    ) {
        run::<Fib6>(&crowd(&steps, 60));
    }
}

/// Routes whose addresses differ in eight bits from bit `low` on, so that nodes outgrow a line, and
/// shrink again.
fn crowd(steps: &[(u8, u8, u32, usize, bool)], low: u32) -> Vec<Step> {
    let step = |&(bits, len, next_hop, at, remove): &(u8, u8, u32, usize, bool)| {
        let noise = u128::from(bits) << low;
        if remove { Step::Remove(at) } else { Step::Insert { base: 32, noise, len, next_hop } }
    };
    steps.iter().map(step).collect()
}

/// A generator that gives the same numbers everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// `count` routes and their table; then lookups near them against the routes' own longest match,
/// and again after every third was removed.
fn run_big<F: Family>(count: usize, len_of: impl Fn(u64) -> u8) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut rib = Rib::<F::Prefix>::new();
    while rib.len() < count {
        let (a, b, c) = (numbers.next(), numbers.next(), numbers.next());
        let address = u128::from(a) << 64 | u128::from(b);
        // In 1024 /16s, or IPv6 has too many of them.
        let address = address & (0x3f0f << 112 | u128::MAX >> 16);
        let next_hop = NextHopId::new(u32::try_from(c % 5000).unwrap() + 1).unwrap();
        rib.insert(F::prefix(address >> (128 - F::Prefix::LEN_MAX), len_of(c >> 32)), next_hop);
    }
    let mut tables = LeftRight::<F>::build(rib).unwrap();
    let prefixes: Vec<F::Prefix> = tables.rib().iter().map(|(prefix, _)| prefix).collect();
    let addresses = edges::<F>(&prefixes);
    let expect = |tables: &LeftRight<F>| -> Vec<NextHopId> {
        let route =
            |&address: &u128| tables.rib().longest_match(F::prefix(address, F::Prefix::LEN_MAX));
        addresses.iter().map(|address| route(address).map_or(NextHopId::NONE, |r| r.1)).collect()
    };
    assert!(tables.live().find_burst(&addresses) == expect(&tables));
    for &prefix in prefixes.iter().step_by(3) {
        tables.remove(prefix).unwrap();
    }
    let live = tables.publish();
    assert!(live.find_burst(&addresses) == expect(&tables));
    assert!(addresses.iter().map(|&address| live.find(address)).eq(expect(&tables)));
    drop(live);
    tables.catch_up().unwrap();
    assert!(tables.standby_for_tests().find_burst(&addresses) == expect(&tables));
}

#[test]
fn a_hundred_thousand_ipv4_routes_are_found_and_removed() {
    run_big::<Fib4>(100_000, |draw| match draw % 100 {
        0..60 => 24,
        60..80 => 32,
        other => 9 + u8::try_from(other - 80).unwrap(),
    });
}

#[test]
fn a_hundred_thousand_ipv6_routes_are_found_and_removed() {
    run_big::<Fib6>(100_000, |draw| match draw % 100 {
        0..45 => 48,
        45..60 => 32,
        60..75 => 64,
        75..80 => 128,
        other => 20 + u8::try_from(other - 80).unwrap() * 3,
    });
}

/// Adds hosts until the table is full, which must leave it as it was.
fn fill_up<F: Family>(mut fib: F, host: impl Fn(u32) -> F::Prefix) {
    let mut rib = Rib::<F::Prefix>::new();
    let next_hop = NextHopId::new(7).unwrap();
    let mut addresses = Vec::new();
    for number in 0..10_000 {
        let prefix = host(number);
        let change = rib.plan_insert(prefix, next_hop);
        addresses.push(F::bounds(prefix).0);
        if let Err(error) = fib.apply(&change) {
            assert!(matches!(error, FibError::Full { .. }));
            check(&fib, &rib.iter().collect::<Vec<_>>(), &addresses);
            for (prefix, _) in rib.clone().iter() {
                let change = rib.plan_remove(prefix).unwrap();
                fib.apply(&change).unwrap();
                rib.apply(&change);
            }
            assert_eq!(fib.used_nodes(), (0, 0));
            return fib.apply(&change).unwrap();
        }
        rib.apply(&change);
    }
    panic!("never full");
}

#[test]
fn a_full_ipv4_table_says_so_and_stays_as_it_was() {
    fill_up(Fib4::with_lines_max(8), |number| Fib4::prefix(u128::from(number) << 8 | 9, 32));
    fill_up(Fib4::with_lines_max(20), |number| Fib4::prefix(u128::from(number) << 7 | 9, 32));
    fill_up(Fib4::with_lines_max(17), |number| Fib4::prefix(u128::from(number) << 1, 32));
}

#[test]
fn a_full_ipv6_table_says_so_and_stays_as_it_was() {
    for limit in 1..60 {
        let fib = || Fib6::with_lines_max(limit);
        fill_up(fib(), |number| Fib6::prefix(u128::from(number.reverse_bits()) << 90, 128));
        fill_up(fib(), |number| Fib6::prefix(u128::from(number) << 76, 60));
        fill_up(fib(), |number| Fib6::prefix(u128::from(number * 0x0101_0101) << 40, 96));
    }
}

/// A table and its routes, changed together.
struct Pair<F: Family> {
    fib: F,
    rib: Rib<F::Prefix>,
}

impl<F: Family> Pair<F> {
    fn add(&mut self, prefix: F::Prefix) -> Result<(), FibError> {
        let change = self.rib.plan_insert(prefix, NextHopId::new(7).unwrap());
        self.fib.apply(&change).inspect(|()| self.rib.apply(&change))
    }

    fn remove(&mut self, prefix: F::Prefix) -> Result<(), FibError> {
        let change = self.rib.plan_remove(prefix).unwrap();
        self.fib.apply(&change).inspect(|()| self.rib.apply(&change))
    }

    fn check(&self, prefixes: &[F::Prefix]) {
        check(&self.fib, &self.rib.iter().collect::<Vec<_>>(), &edges::<F>(prefixes));
    }
}

/// Fills a table with prefixes that are next to one another, which takes few lines, and with others
/// until it is full. Then the crowd is taken out, every other one first, which leaves more gaps than a
/// line can tell; nothing is added as long as there is too much, and as much as before afterwards.
fn thin_out_full<F: Family>(fib: F, crowd: &[F::Prefix], other: impl Fn(u32) -> F::Prefix) {
    let mut pair = Pair { fib, rib: Rib::new() };
    for &prefix in crowd {
        pair.add(prefix).unwrap();
    }
    let mut others = (0..).map(other);
    let further = others.find(|&prefix| pair.add(prefix).is_err()).unwrap();
    let full = (pair.rib.len(), pair.fib.used_nodes());
    for &prefix in crowd.iter().step_by(2) {
        assert_eq!(pair.remove(prefix), Ok(()), "{prefix:?}");
    }
    pair.check(crowd);
    assert!(pair.fib.used_nodes().1 > full.1.1, "it takes more room than before");
    assert!(matches!(pair.add(further), Err(FibError::Full { .. })));
    pair.check(crowd);
    for &prefix in crowd.iter().skip(1).step_by(2) {
        assert_eq!(pair.remove(prefix), Ok(()), "{prefix:?}");
    }
    pair.check(crowd);
    for &prefix in crowd {
        pair.add(prefix).unwrap();
    }
    assert!(matches!(pair.add(further), Err(FibError::Full { .. })), "the limit is what it was");
    pair.check(crowd);
    assert_eq!((pair.rib.len(), pair.fib.used_nodes()), full);
}

#[test]
fn no_removal_from_a_full_table_is_refused() {
    for limit in 2..40 {
        let hosts: Vec<_> = (0..256).map(|last| Fib4::prefix(10 << 24 | last, 32)).collect();
        let other = |number: u32| Fib4::prefix(11 << 24 | u128::from(number) << 8, 32);
        thin_out_full(Fib4::with_lines_max(limit), &hosts, other);
        // With a /72 around them whose removal paints the bases of nodes below.
        let mut hosts: Vec<_> =
            (0..256).map(|byte| Fib6::prefix(0x2001 << 112 | byte << 48, 80)).collect();
        hosts.push(Fib6::prefix(0x2001 << 112, 72));
        hosts.push(Fib6::prefix(0x2001 << 112 | 77 << 48, 128));
        let other = |number: u32| Fib6::prefix(0x2002 << 112 | u128::from(number) << 80, 64);
        thin_out_full(Fib6::with_lines_max(limit + 4), &hosts, other);
    }
}

#[test]
fn ipv6_routes_in_too_many_places_are_refused() {
    let (mut fib, mut rib) = (Fib6::default(), Rib::new());
    let next_hop = NextHopId::new(1).unwrap();
    for number in 0..PAGES_MAX as u128 {
        let change = rib.plan_insert(Fib6::prefix(number << 112, 17), next_hop);
        fib.apply(&change).unwrap();
        rib.apply(&change);
    }
    let further = rib.plan_insert(Fib6::prefix(u128::MAX, 40), next_hop);
    assert_eq!(fib.apply(&further), Err(FibError::TooScattered { limit: PAGES_MAX }));
    assert_eq!((fib.page_count(), fib.node_counts()), (PAGES_MAX, (0, 0)));
    fib.apply(&rib.plan_remove(Fib6::prefix(5 << 112, 17)).unwrap()).unwrap();
    fib.apply(&further).unwrap();
    assert_eq!(fib.lookup(u128::MAX), next_hop);
}

#[test]
fn a_table_in_use_is_not_changed() {
    let mut tables = LeftRight::<Fib4>::new();
    let (default, one, two) =
        (Fib4::prefix(0, 0), NextHopId::new(1).unwrap(), NextHopId::new(2).unwrap());
    tables.insert(default, one).unwrap();
    let held = tables.publish();
    tables.insert(default, two).unwrap();
    assert_eq!(held.lookup(5), one);
    let _newer = tables.publish();
    assert_eq!(tables.insert(default, one), Err(FibError::InUse));
    assert_eq!(tables.rib().get(default), Some(two));
    assert_eq!(held.lookup(5), one);
    drop(held);
    assert_eq!(tables.insert(default, one), Ok(Some(two)));
    assert_eq!(tables.live().lookup(5), two);
    tables.discard();
    assert_eq!((tables.unpublished_count(), tables.rib().get(default)), (0, Some(two)));
    assert_eq!(tables.publish().lookup(5), two);
}
