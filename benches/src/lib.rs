//! What the benchmarks of adit share; see `benches/`.

pub mod attack;
pub mod case;
pub mod court;
pub mod hot_queue;
mod kinds;
pub mod measure;
pub mod numbers;
pub mod paced;
pub mod packets;
pub mod routes;
#[cfg(feature = "dpdk")]
pub mod rte_fib;
pub mod treadmill;
