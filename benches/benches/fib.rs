//! Lookups in tables of 1 to 1 000 000 routes (200 000 of IPv6), one address at a time and in
//! bursts; changes of single routes; and bursts against `rte_fib` and `rte_fib6` on the same routes
//! and addresses, as a ratio of medians of alternating samples.
//!
//! `cargo bench -p benches --bench fib`; `-- fib4`, `fib6`, `change` or `against`
//! for a part of it.

use std::hint::black_box;
use std::time::Duration;

use adit_dataplane::fib::{Fib, Fib4, Fib6, LeftRight, NextHopId, Prefix, Rib};
use benches::routes::{addresses4, addresses6, routes4, routes6};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// How many addresses a run goes through before it repeats: more than caches remember.
const ADDRESS_COUNT: usize = 1 << 20;

/// Packets of a burst.
const BURST: usize = 32;

/// Whether the command line asks for `part`: without it the routes need not be made.
fn wanted(part: &str) -> bool {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    filter.is_none_or(|filter| part.contains(&filter) || filter.contains(part))
}

fn lookups4(criterion: &mut Criterion) {
    if !wanted("fib4") {
        return;
    }
    let mut group = criterion.benchmark_group("fib4");
    group.throughput(Throughput::Elements(BURST as u64));
    for count in [1, 1_000, 100_000, 1_000_000] {
        let rib = routes4(count);
        let addresses = addresses4(&rib, ADDRESS_COUNT);
        let fib = Fib4::build(&rib).expect("routes that fit, because they are few enough");
        let mut bursts = addresses.chunks_exact(BURST).cycle();
        group.bench_function(BenchmarkId::new("single", count), |bencher| {
            bencher.iter(|| {
                let burst = bursts.next().unwrap_or_default();
                burst.iter().fold(0, |sum, &address| sum ^ fib.lookup(address).index())
            });
        });
        let mut bursts = addresses.chunks_exact(BURST).cycle();
        group.bench_function(BenchmarkId::new("burst", count), |bencher| {
            let mut next_hops = [NextHopId::NONE; BURST];
            bencher.iter(|| {
                fib.lookup_burst(bursts.next().unwrap_or_default(), &mut next_hops);
                black_box(&next_hops);
            });
        });
    }
}

fn lookups6(criterion: &mut Criterion) {
    if !wanted("fib6") {
        return;
    }
    let mut group = criterion.benchmark_group("fib6");
    group.throughput(Throughput::Elements(BURST as u64));
    for count in [1, 1_000, 100_000, 200_000] {
        let rib = routes6(count);
        let addresses = addresses6(&rib, ADDRESS_COUNT);
        let fib = Fib6::build(&rib).expect("routes that fit, because they are few enough");
        let mut bursts = addresses.chunks_exact(BURST).cycle();
        group.bench_function(BenchmarkId::new("single", count), |bencher| {
            bencher.iter(|| {
                let burst = bursts.next().unwrap_or_default();
                burst.iter().fold(0, |sum, &address| sum ^ fib.lookup(address).index())
            });
        });
        let mut bursts = addresses.chunks_exact(BURST).cycle();
        group.bench_function(BenchmarkId::new("burst", count), |bencher| {
            let mut next_hops = [NextHopId::NONE; BURST];
            bencher.iter(|| {
                fib.lookup_burst(bursts.next().unwrap_or_default(), &mut next_hops);
                black_box(&next_hops);
            });
        });
    }
}

/// Removes a route and adds it again, on both copies of a full table.
fn changes_of<F: Fib>(criterion: &mut Criterion, name: &str, rib: Rib<F::Prefix>) {
    let started = std::time::Instant::now();
    let mut tables = LeftRight::<F>::build(rib).expect("routes that fit");
    println!(
        "{name}: {} routes built twice in {:?}, {} MiB asked for",
        tables.rib().len(),
        started.elapsed(),
        tables.memory_bytes() >> 20
    );
    let routes: Vec<_> = tables.rib().iter().collect();
    // A prime stride, so that changes follow each other in no order.
    let mut order = routes.iter().cycle().step_by(7919).filter(|route| route.0.prefix_len() > 0);
    criterion.bench_function(&format!("change/{name}: remove, publish, add, publish"), |bencher| {
        bencher.iter(|| {
            let Some(&(prefix, next_hop)) = order.next() else { return };
            tables.remove(prefix).expect("nobody holds the table");
            tables.publish();
            tables.insert(prefix, next_hop).expect("nobody holds the table");
            tables.publish();
        });
    });
}

fn changes(criterion: &mut Criterion) {
    if !wanted("change") {
        return;
    }
    changes_of::<Fib4>(criterion, "fib4 of 1000000", routes4(1_000_000));
    changes_of::<Fib6>(criterion, "fib6 of 200000", routes6(200_000));
}

/// The comparison with DPDK's tables.
#[cfg(feature = "dpdk")]
mod against {
    use super::{
        ADDRESS_COUNT, BURST, Criterion, Fib, Fib4, Fib6, NextHopId, addresses4, addresses6,
        black_box, routes4, routes6,
    };
    use benches::rte_fib::{Method, RteFib4, RteFib6, start_eal};
    use std::ops::Range;
    use std::time::Instant;

    /// How many addresses a sample looks up: a millisecond's worth, so that most samples are not
    /// interrupted, and the next ones are not in the caches.
    const SAMPLE: u16 = 1 << 13;

    const MEMORY_MEGABYTES: u32 = 3072;

    /// Nanoseconds a lookup of each of two ways to look up a slice of addresses, given by its range:
    /// the medians of samples that alternate, so that a neighbor's load hits both.
    fn pair(
        mut ours: impl FnMut(Range<usize>),
        mut theirs: impl FnMut(Range<usize>),
    ) -> (f64, f64) {
        let time = |run: &mut dyn FnMut(Range<usize>), range: Range<usize>| {
            let start = Instant::now();
            run(range);
            start.elapsed().as_secs_f64() * 1e9 / f64::from(SAMPLE)
        };
        let len = usize::from(SAMPLE);
        let ranges = (0..ADDRESS_COUNT).step_by(len).map(|first| first..first + len);
        let mut samples: Vec<(f64, f64)> = ranges
            .cycle()
            .take(ADDRESS_COUNT / len * 4)
            .map(|range| (time(&mut ours, range.clone()), time(&mut theirs, range)))
            .collect();
        let mut median = |side: fn(&(f64, f64)) -> f64| {
            samples.sort_by(|a, b| side(a).total_cmp(&side(b)));
            side(&samples[samples.len() / 2])
        };
        (median(|sample| sample.0), median(|sample| sample.1))
    }

    fn report(table: &str, count: usize, burst: usize, method: Method, (a, b): (f64, f64)) {
        println!(
            "{table} {count} routes, bursts of {burst}: ours {a:.2} ns, rte {method:?} {b:.2} ns, \
             ratio {:.3}",
            a / b
        );
    }

    fn fib4(count: usize) -> Result<(), String> {
        let rib = routes4(count);
        let addresses = addresses4(&rib, ADDRESS_COUNT);
        let ours = Fib4::build(&rib).map_err(|error| error.to_string())?;
        let theirs = RteFib4::build(c"bench4", &rib, 1 << 17)?;
        let mut next_hops = [NextHopId::NONE; 2 * BURST];
        let mut raw = [0; 2 * BURST];
        for method in [Method::Scalar, Method::Avx512] {
            if !theirs.select(method) {
                println!("rte_fib: no {method:?} here");
                continue;
            }
            for burst in [BURST, 2 * BURST] {
                let times = pair(
                    |range| {
                        for chunk in addresses[range].chunks_exact(burst) {
                            ours.lookup_burst(chunk, &mut next_hops);
                            black_box(&next_hops);
                        }
                    },
                    |range| {
                        for chunk in addresses[range].chunks_exact(burst) {
                            theirs.lookup(chunk, &mut raw);
                            black_box(&raw);
                        }
                    },
                );
                report("fib4", count, burst, method, times);
            }
        }
        Ok(())
    }

    fn fib6(count: usize) -> Result<(), String> {
        let rib = routes6(count);
        let addresses = addresses6(&rib, ADDRESS_COUNT);
        let octets: Vec<[u8; 16]> = addresses.iter().map(|address| address.to_be_bytes()).collect();
        let ours = Fib6::build(&rib).map_err(|error| error.to_string())?;
        let theirs = RteFib6::build(c"bench6", &rib, 1 << 20)?;
        let mut next_hops = [NextHopId::NONE; 2 * BURST];
        let mut raw = [0; 2 * BURST];
        for method in [Method::Scalar, Method::Avx512] {
            if !theirs.select(method) {
                println!("rte_fib6: no {method:?} here");
                continue;
            }
            for burst in [BURST, 2 * BURST] {
                let times = pair(
                    |range| {
                        for chunk in addresses[range].chunks_exact(burst) {
                            ours.lookup_burst(chunk, &mut next_hops);
                            black_box(&next_hops);
                        }
                    },
                    |range| {
                        for chunk in octets[range].chunks_exact(burst) {
                            theirs.lookup(chunk, &mut raw);
                            black_box(&raw);
                        }
                    },
                );
                report("fib6", count, burst, method, times);
            }
        }
        Ok(())
    }

    /// Not a criterion benchmark, because a ratio needs both sides in turns; its filter is kept.
    pub(super) fn rte_fib(_: &mut Criterion) {
        if !super::wanted("against") {
            return;
        }
        let run = || {
            start_eal(MEMORY_MEGABYTES)?;
            [1_000, 100_000, 1_000_000].into_iter().try_for_each(fib4)?;
            [1_000, 100_000, 200_000].into_iter().try_for_each(fib6)
        };
        if let Err(error) = run() {
            println!("no comparison with rte_fib: {error}");
        }
    }
}

#[cfg(not(feature = "dpdk"))]
mod against {
    /// Nothing to compare with.
    pub(super) fn rte_fib(_: &mut super::Criterion) {}
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = fib;
    config = settings();
    targets = lookups4, lookups6, changes, against::rte_fib
}
criterion_main!(fib);
