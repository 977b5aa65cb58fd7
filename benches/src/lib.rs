//! Benchmarks of adit; see `benches/`.
