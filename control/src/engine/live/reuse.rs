//! A word in the log when identifications of outer packets come again before two minutes are over
//! (RFC 6864 §5.2): a tunnel without DF is too fast for 16 bits.

use std::time::Duration;

use adit_dataplane::clock::Nanos;

/// Between two words.
const PAUSE: Duration = Duration::from_mins(10);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct ReuseWatch {
    seen: u64,
    silent_until: Nanos,
}

impl ReuseWatch {
    /// Looks at how many have come again so far.
    pub(super) fn look(&mut self, count: u64, now: Nanos) {
        if count <= self.seen || now < self.silent_until {
            return;
        }
        tracing::warn!(
            "identifications of outer IPv4 packets come again within 120 s ({} more): where such packets \
             are fragmented on their way, fragments of different ones may be put together; use \
             dont-fragment: pmtudisc, or see tun.id_reuse",
            count - self.seen
        );
        self.seen = count;
        self.silent_until = now + PAUSE;
    }
}
