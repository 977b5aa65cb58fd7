//! The black-box conformance suite: the built `adit` binary, fed captures through `adit replay`, compared
//! frame by frame and counter by counter with what the specification says.
//!
//! Nothing here knows the code under test. Inputs and expected frames are built with `etherparse`, or
//! spelled out as bytes where that crate cannot (options, extension headers, neighbor discovery).
//! The name of a case begins with the number that it proves; `scripts/conformance` compares those
//! citations with `numbers.txt`.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

mod addresses;
mod bench;
mod capture;
mod case;
mod conserve;
mod decap;
mod decode;
mod dont_fragment;
mod duplicates;
mod ecn;
mod edges;
mod encap;
mod encap_limit;
mod entropy;
mod erspan;
mod explained;
mod explained_kinds;
mod flows;
mod forward;
mod frames;
mod frames_in_pieces;
mod golden;
mod gre;
mod gretap;
mod hostile;
mod icmp;
mod isatap;
mod links;
mod linux;
mod linux_mpls;
mod linux_segments;
mod linux_sessions;
mod listeners;
mod lookup;
mod loops;
mod minimal;
mod mirrored;
mod mpls;
mod mpls_payload;
mod mss;
mod mtu;
mod neighbor;
mod node;
mod outer_fragments;
mod overlay;
mod overlay_options;
mod path_mtu;
mod properties;
mod reassembly;
mod relay;
mod relayed;
mod remotes;
mod replay;
mod routing_loops;
mod run;
mod security;
mod six_rd;
mod sizes;
mod told;
mod tshark;
mod tshark_kinds;
mod ttl;
mod udp;
mod underneath;
