//! What the headers between the outer IP header and the packet inside say about whose it is.

use crate::wire::protocol;

/// Which headers there are, outermost first. Tunnels of different classes never take each other's
/// packets, whatever their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// GRE (RFC 2784).
    Gre = 1,
}

impl Class {
    /// All of them, in their order.
    pub const ALL: [Self; 1] = [Self::Gre];

    /// The protocol of the outer IP header.
    pub const fn outer_protocol(self) -> u8 {
        match self {
            Self::Gre => protocol::GRE,
        }
    }

    /// Whether the two carry the same, one in UDP and the other not; `None` is IP directly in IP.
    pub const fn differs_in_udp(self, _other: Option<Self>) -> bool {
        false
    }
}

/// The class of a tunnel's packets and the number in them that is the tunnel's, if they have one: a
/// GRE key (RFC 2890), which may be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Label(u64);

impl Label {
    /// Of tunnels with IP directly in IP.
    pub const NONE: Self = Self(0);

    const CLASS_SHIFT: u32 = 56;
    const HAS_KEY: u64 = 1 << 48;

    /// Of a class, and a key.
    pub const fn new(class: Class, key: Option<u32>) -> Self {
        let class = (class as u64) << Self::CLASS_SHIFT;
        match key {
            //= RFC 2890 §2.1: a key that is present and 0 is a key.
            Some(key) => Self(class | Self::HAS_KEY | key as u64),
            None => Self(class),
        }
    }

    /// Its class.
    pub fn class(self) -> Option<Class> {
        Class::ALL.into_iter().find(|&class| class as u64 == self.0 >> Self::CLASS_SHIFT)
    }

    /// All of it as a number.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_zero_is_another_label_than_no_key() {
        let (with, without) = (Label::new(Class::Gre, Some(0)), Label::new(Class::Gre, None));
        assert_ne!(with, without);
        assert_ne!(without, Label::default(), "no label is none of theirs");
        assert_ne!(with, Label::new(Class::Gre, Some(u32::MAX)));
    }
}
