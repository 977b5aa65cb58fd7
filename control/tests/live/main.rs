//! Live tests: the real `adit`, on DPDK's software ports, between namespaces with the kernel's own hosts in them.
//!
//! Every test lays its own network, so they run beside one another, and leaves nothing behind. They need root,
//! `/dev/net/tun` and what `scripts/setup` installs, and fail where that is missing. `scripts/test` runs them; by hand:
//! `cargo test -p adit-control --test live`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is missing"
)]

mod appliance;
mod capture;
mod far_end;
mod files;
mod guest;
mod minimal;
mod network;
mod replication;
mod sites;
mod traffic;
mod turn;

mod changes;
mod devices;
mod duplicates;
mod embedded;
mod families;
mod flood;
mod idle;
mod kernel_matrix;
mod lifetime;
mod linux_peer;
mod mpls;
mod node;
mod offloads;
mod path_mtu;
mod queues;
mod segments;
mod sessions;
mod tags;
mod tunnel;
