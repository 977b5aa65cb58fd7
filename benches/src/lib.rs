//! What the benchmarks of adit share; see `benches/`.

pub mod numbers;
pub mod routes;
#[cfg(feature = "dpdk")]
pub mod rte_fib;
