//! What a Linux kernel mirrored through its own erspan and ip6erspan devices, replayed: `captures/linux/sessions`, from
//! Linux 6.1. Each frame has to leave by the sink as it is in the capture, behind so many bytes of headers as A.12 counts.

use crate::linux_segments::{Kind, V4, V6, come_out, kind};

#[rustfmt::skip]
const KINDS: [Kind; 6] = [
    kind("erspan-1", "erspan", &[("erspan", "{ session: 100 }")], V4 + 16),
    kind("erspan-2", "erspan", &[("erspan", "{ version: 2, session: 1023 }")], V4 + 20),
    kind("erspan-0", "erspan", &[("erspan", "{ version: 0 }")], V4 + 4),
    kind("ip6erspan-1", "ip6erspan", &[("erspan", "{ session: 5 }")], V6 + 16),
    kind("ip6erspan-2", "ip6erspan", &[("erspan", "{ version: 2, session: 6 }")], V6 + 20),
    kind("ip6erspan-limit", "ip6erspan", &[("erspan", "{ session: 7 }")], V6 + 16),
];

#[test]
fn frames_that_linux_mirrored_leave_by_the_sink_as_they_were() {
    come_out("sessions", &KINDS);
}
