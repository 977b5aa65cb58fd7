//! Several workers over ports in memory, one of which receives everything and hands packets to the
//! others by inner flow. What leaves is written down as it leaves, in one order over all workers.
#![expect(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "shared by several test programs, each of which uses a part")]
#[path = "../packet_path/appliance.rs"]
mod appliance;
mod crew;
#[allow(dead_code, reason = "shared by several test programs, each of which uses a part")]
#[path = "../packet_path/frames.rs"]
mod frames;

mod rings;
mod threads;
