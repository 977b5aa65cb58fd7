//! The packet path of adit: everything between receiving a burst of frames and sending one.
//!
//! It knows nothing of YAML, files, sockets, signals or wall clocks: tables are given to it, and so
//! is the time. It compiles and runs without DPDK (feature `dpdk` off) over ordinary memory.

pub mod clock;
pub mod counters;
pub mod device;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod fast_path;
pub mod fib;
pub mod interface;
pub mod latency;
pub mod node;
pub mod packet;
mod probing;
pub mod reassembly;
pub mod stage;
pub mod tables;
pub mod tunnel;
pub mod wire;
pub mod witness;
pub mod worker;
