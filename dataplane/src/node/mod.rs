//! What a worker does itself as an IP node, one packet at a time: ICMP errors and echoes, their
//! rate limits, fragments, IPv6 options, the flow hash.
//!
//! Pure functions on the bytes of one packet. They know no table and no clock: whoever calls them
//! has looked up the addresses and says what time it is. Nothing here allocates on the packet path.

pub mod echo;
pub mod flow;
pub mod fragment;
pub mod icmp_error;
pub mod icmp_relay;
pub mod mss;
pub mod options;
pub mod rate_limit;
