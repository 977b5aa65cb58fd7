//! Frames of every size through encap and decap, byte for byte, and nothing lost on the way.

use crate::addresses::{H, L, R};
use crate::bench::Bench;
use crate::case::Expected;
use crate::conserve::{crossed, dropped};
use crate::frames::{
    IPIP, encap4, encap6, from_gateway, from_host, peer4, to_gateway, to_host, udp4,
};
use crate::icmp::{FRAG_NEEDED, error4};
use crate::run::{MILLISECOND, Replay};

/// IP lengths of frames of 64 to 1518 bytes on the wire: without Ethernet header and checksum.
const LENGTHS: std::ops::RangeInclusive<usize> = 46..=1500;

#[test]
fn every_size_is_encapsulated_or_answered_and_none_is_lost() {
    let mut replay = Replay::new(Bench::ipip());
    for len in LENGTHS {
        replay.input("l", len as u64 * MILLISECOND, from_host(udp4(H, R, len)));
    }
    let outcome = replay.run();
    let fits = LENGTHS.filter(|len| *len <= 1480);
    let sent: Vec<_> = fits.map(|len| to_gateway(encap4(IPIP, udp4(H, R, len).ttl(63)))).collect();
    assert!(outcome.frames("u") == sent, "the encapsulated frames, in order");
    let errors = outcome.frames("l");
    assert_eq!(errors.len(), 20);
    for (len, actual) in (1481..=1500).zip(&errors) {
        let error = to_host(error4(L, H, FRAG_NEEDED, 1480, udp4(H, R, len)));
        assert_eq!(Expected::error4(error, 14).resolved(actual), *actual, "about {len} bytes");
    }
    assert_eq!(crossed(&outcome), (1455, 1455));
    assert_eq!((dropped(&outcome), outcome.counter("dataplane.icmp.tx")), (20, 20));
}

#[test]
fn every_size_is_decapsulated() {
    let mut replay = Replay::new(Bench::ipip());
    for len in LENGTHS.filter(|len| *len <= 1480) {
        let frame = from_gateway(peer4(IPIP, udp4(R, H, len)));
        replay.input("u", len as u64 * MILLISECOND, frame);
    }
    let outcome = replay.run();
    let fits = LENGTHS.filter(|len| *len <= 1480);
    let delivered: Vec<_> = fits.map(|len| to_host(udp4(R, H, len).ttl(63))).collect();
    assert!(outcome.frames("l") == delivered, "the inner packets, in order");
    assert_eq!((crossed(&outcome), dropped(&outcome)), ((1435, 1435), 0));
}

#[test]
fn a_burst_of_every_size_at_one_instant_keeps_its_order() {
    let mut replay = Replay::new(Bench::any6());
    for len in LENGTHS.filter(|len| *len <= 1460) {
        replay.input("l", 0, from_host(udp4(H, R, len)));
    }
    let frames = replay.run().frames("u");
    assert_eq!(frames.len(), 1415);
    for (len, actual) in LENGTHS.zip(&frames) {
        let wanted = to_gateway(encap6(IPIP, udp4(H, R, len).ttl(63)));
        assert_eq!(Expected::any_flow_label(wanted).resolved(actual), *actual, "{len} bytes");
    }
}
