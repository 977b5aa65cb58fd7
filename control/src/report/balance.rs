//! Where packets went, summed over all workers: nothing may be missing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The two sides of the account: received + created = sent + dropped + consumed + held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Balance {
    /// Frames taken from ports.
    pub received: u64,
    /// Packets made here: ICMP, ARP, fragments, copies.
    pub created: u64,
    /// Frames given to ports.
    pub sent: u64,
    /// Packets that ended on a drop counter.
    pub dropped: u64,
    /// Packets that were meant for this node, or became others.
    pub consumed: u64,
    /// Packets that wait: for neighbors, for fragments, in rings.
    pub held: u64,
}

impl Balance {
    /// What came in less what became of it: zero when packets are at rest.
    pub fn difference(&self) -> i128 {
        let gained = i128::from(self.received) + i128::from(self.created);
        let spent = [self.sent, self.dropped, self.consumed, self.held];
        gained - spent.into_iter().map(i128::from).sum::<i128>()
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, created, sent, dropped, consumed, held } = self;
        write!(
            f,
            "packets since the start: {received} received + {created} created = {sent} sent + {dropped} dropped \
             + {consumed} consumed + {held} held"
        )?;
        match self.difference() {
            0 => Ok(()),
            difference => write!(f, " ({difference:+} not accounted for)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let even = Balance { received: 10, created: 2, sent: 7, dropped: 3, consumed: 1, held: 1 };
        assert_eq!(even.difference(), 0);
        assert!(even.to_string().ends_with("+ 1 held"));
        let odd = Balance { sent: 9, ..even };
        assert!(odd.to_string().ends_with("(-2 not accounted for)"));
    }
}
