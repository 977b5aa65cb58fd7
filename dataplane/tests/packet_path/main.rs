//! The packet path as a whole: a worker over ports in memory, tables built by hand, and nothing of
//! the control side. What is expected comes from etherparse or is spelled out.
#![expect(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, reason = "shared by two test programs, each of which uses a part")]
mod appliance;
#[allow(dead_code, reason = "shared by two test programs, each of which uses a part")]
mod frames;

mod checksums;
mod conservation;
mod delivery;
mod drop_counters;
mod fast_frames;
mod fast_path;
mod fast_pieces;
mod floods;
mod fragments;
mod frame_tunnels;
mod isatap;
#[allow(dead_code, reason = "shared with fuzz targets, each of which uses a part")]
mod kinds;
mod kinds_taken;
mod label_stack;
mod labels;
mod minimal;
mod mirror;
mod mirror_counters;
mod mutation;
mod nesting;
mod ordinary;
mod overlay_counters;
mod publication;
mod reassembly;
mod reassembly_limits;
mod relay;
mod round_trip;
mod sessions;
mod shims;
mod six_rd;
mod specimens;
mod strangers;
mod twins;
