//! MPLS in IP (RFC 4023), and in GRE, FOU and GUE: label stacks where other tunnels have an IP packet. Modes `mplsip`
//! and `mplsip6`; `sit`, `any`, `gre` and `ip6gre` carry it beside IP.
//!
//! ```text
//!  0                        20 or 40
//! +------------------------+----------------+----------------+-------------------------------
//! | outer IPv4 or IPv6,    | [UDP …][GRE]   | label stack,   | whatever the labels stand for …
//! | protocol 137           |                | 4 bytes each   |
//! +------------------------+----------------+----------------+-------------------------------
//! ```
//!
//! Here is what a tunnel says about labels: those that what arrives may have, and those that IP packets get which
//! are routed into it. What becomes of a packet with a label is `stage/label.rs`.

use std::sync::Arc;

use crate::tables::labels::{LabelTable, Labels};
use crate::wire::mpls::{ENTRY_LEN, Entry};

/// The TTL of labels that this node puts in front of IP packets.
//= RFC 3443 §3.6: in the pipe models the label has a TTL of its own, most commonly 255.
pub const PUSHED_TTL: u8 = 255;

/// What a tunnel says about labels.
#[derive(Clone, Debug, Default)]
pub struct Mpls {
    /// Those that arrive; `None`: it knows explicit null alone.
    pub labels: Option<Arc<LabelTable>>,
    /// Those in front of IP packets that are routed into it.
    pub push: Labels,
}

impl Mpls {
    /// Writes the labels to the start of `bytes`, in front of an IP packet of this traffic class.
    #[inline]
    pub fn write(&self, bytes: &mut [u8], class: u8) {
        let labels = self.push.as_slice();
        for (position, &label) in labels.iter().enumerate() {
            let is_bottom = position + 1 == labels.len();
            let entry = Entry { label, class, is_bottom, ttl: PUSHED_TTL };
            entry.write(bytes.get_mut(position * ENTRY_LEN..).unwrap_or(&mut []));
        }
    }
}

/// The traffic class of labels in front of an IP packet with this TOS byte or traffic class: the upper three bits of
/// its DSCP.
#[inline]
pub const fn class_of(tos: u8) -> u8 {
    tos >> 5
}

/// The DSCP that stands for a traffic class, where it has its place in the byte; the ECN field is 0.
//= RFC 4023 §5.3: the outer DSCP may follow the class; it is the class selector of the same number.
#[inline]
pub const fn tos_of(class: u8) -> u8 {
    class << 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mpls::MplsLabel;

    #[test]
    fn labels_are_pushed_outermost_first_and_the_last_is_the_bottom() {
        let labels = [100, 200].map(|number| MplsLabel::new(number).unwrap());
        let mpls = Mpls { labels: None, push: Labels::new(&labels).unwrap() };
        let mut bytes = [0; 9];
        mpls.write(&mut bytes, class_of(0xb8));
        // Expedited forwarding, DSCP 46, is class 5.
        assert_eq!(bytes, [0x00, 0x06, 0x4a, 255, 0x00, 0x0c, 0x8b, 255, 0]);
        assert_eq!(tos_of(5), 40 << 2, "class selector 5");
    }
}
