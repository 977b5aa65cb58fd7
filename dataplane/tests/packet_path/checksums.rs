//! What a device says about the checksum of a frame, and what the packet path makes of it.

use adit_dataplane::device::SentFrame;
use adit_dataplane::packet::Flags;

use super::appliance::{Appliance, Blueprint, G_MAC, H_MAC, L, L_MAC, U, U_MAC};
use super::frames::{frame, ip};

const ENDS: (&str, &str) = ("198.51.100.1", "203.0.113.2");

/// A frame into the tunnel and one out of it, of which a device says `flags`.
fn pass(frames: &[Vec<u8>; 2], flags: Flags) -> (Vec<SentFrame>, Appliance) {
    let mut appliance = Blueprint::with_t0(ENDS.0, ENDS.1).start();
    for (port, frame) in [L, U].into_iter().zip(frames) {
        assert!(appliance.worker.device_mut().inject_checked(port, frame, flags));
    }
    (appliance.run(), appliance)
}

fn frames() -> [Vec<u8>; 2] {
    let there = ip("10.1.0.5", "10.2.0.8").carrying(17, &[7; 20]);
    let back = ip("10.2.0.8", "10.1.0.5").carrying(17, &[9; 20]);
    let back = ip(ENDS.1, ENDS.0).around(&back);
    [frame(L_MAC, H_MAC, &there), frame(U_MAC, G_MAC, &back)]
}

/// The same with wrong checksums in the outermost headers.
fn wrong() -> [Vec<u8>; 2] {
    frames().map(|mut frame| {
        frame[14 + 10] ^= 1;
        frame
    })
}

#[test]
fn whatever_a_device_says_of_right_checksums_the_same_bytes_are_sent() {
    let (unasked, _) = pass(&frames(), Flags::NONE);
    assert_eq!(unasked.len(), 2);
    for flags in [Flags::GOOD_CHECKSUM, Flags::BAD_CHECKSUM] {
        let (sent, mut appliance) = pass(&frames(), flags);
        assert_eq!(sent, unasked, "{flags:?}: {:?}", appliance.moved());
    }
}

#[test]
fn wrong_checksums_are_refused_and_counted_whether_the_device_knows_or_calls_them_wrong() {
    for flags in [Flags::NONE, Flags::BAD_CHECKSUM] {
        let (sent, mut appliance) = pass(&wrong(), flags);
        assert!(sent.is_empty(), "{flags:?}");
        assert!(appliance.moved().contains(&("ip4.bad_header", 2)), "{:?}", appliance.moved());
    }
}

#[test]
fn a_device_that_was_asked_and_calls_a_header_good_spares_the_check_of_that_header_alone() {
    let [there, back] = wrong();
    let mut inner = back.clone();
    // The outer header right again, the inner one wrong.
    inner[14 + 10] ^= 1;
    inner[14 + 20 + 10] ^= 1;
    let (sent, mut appliance) = pass(&[there, back], Flags::GOOD_CHECKSUM);
    assert_eq!(sent.len(), 2, "{:?}", appliance.moved());
    let (sent, mut appliance) = pass(&[frames()[0].clone(), inner], Flags::GOOD_CHECKSUM);
    assert_eq!(sent.len(), 1, "{:?}", appliance.moved());
}
