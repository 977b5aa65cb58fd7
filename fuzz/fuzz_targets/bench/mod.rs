//! What targets take from the tests of the packet path: an appliance in memory, frames for it, tunnels of every
//! kind, and a control thread that is played.

#[path = "../../../dataplane/tests/packet_path/appliance.rs"]
pub(crate) mod appliance;
#[path = "../../../dataplane/tests/packet_path/frames.rs"]
pub(crate) mod frames;
#[path = "../../../dataplane/tests/packet_path/kinds.rs"]
pub(crate) mod kinds;
#[path = "../../../dataplane/tests/packet_path/label_stack.rs"]
pub(crate) mod label_stack;
#[path = "../../../dataplane/tests/packet_path/sessions.rs"]
pub(crate) mod sessions;
#[path = "../../../dataplane/tests/packet_path/specimens.rs"]
pub(crate) mod specimens;

use adit_dataplane::worker::exchange::{Handback, Punt};
use appliance::{Appliance, BUFFERS};

/// Does what the control thread does with what it is given: frames are sent back, `resolve` says what becomes of
/// packet number `number` that waits for a neighbor.
pub(crate) fn play_control(appliance: &mut Appliance, resolve: impl Fn(usize, Punt) -> Handback) {
    for (number, punt) in appliance.take_punts().into_iter().enumerate() {
        let handback = match punt {
            Punt::Frame { port, frame } => Handback::Frame { port, frame },
            waiting @ Punt::Unresolved { .. } => resolve(number, waiting),
        };
        assert!(appliance.shared.handbacks.push(handback).is_ok(), "the ring has room");
    }
}

/// Nothing waits, and every buffer is back.
pub(crate) fn check_rest(appliance: &mut Appliance) {
    assert_eq!(appliance.held(), 0, "something waits for ever");
    assert_eq!(appliance.worker.device_mut().pool().free_count(), BUFFERS, "a buffer is lost");
}
