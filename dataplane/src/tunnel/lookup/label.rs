//! What the headers between the outer IP header and the packet inside say about whose it is.

use crate::wire::protocol;

/// Which headers there are, outermost first. Tunnels of different classes never take each other's
/// packets, whatever their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// GRE (RFC 2784).
    Gre = 1,
    /// IP in FOU.
    Fou = 2,
    /// GRE in FOU.
    FouGre = 3,
    /// IP in GUE.
    Gue = 4,
    /// GRE in GUE.
    GueGre = 5,
    /// VXLAN.
    Vxlan = 6,
    /// GENEVE.
    Geneve = 7,
    /// Minimal encapsulation (RFC 2004).
    Minimal = 8,
    /// ERSPAN.
    Erspan = 9,
}

impl Class {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Gre,
        Self::Fou,
        Self::FouGre,
        Self::Gue,
        Self::GueGre,
        Self::Vxlan,
        Self::Geneve,
        Self::Minimal,
        Self::Erspan,
    ];

    /// The protocol of the outer IP header.
    pub const fn outer_protocol(self) -> u8 {
        match self {
            Self::Gre | Self::Erspan => protocol::GRE,
            Self::Minimal => protocol::MINIMAL,
            Self::Fou | Self::FouGre | Self::Gue | Self::GueGre | Self::Vxlan | Self::Geneve => {
                protocol::UDP
            }
        }
    }

    /// Whether the two carry the same, one in UDP and the other not; `None` is IP directly in IP.
    pub fn differs_in_udp(self, other: Option<Self>) -> bool {
        let is_udp =
            |class: Option<Self>| class.is_some_and(|c| c.outer_protocol() == protocol::UDP);
        is_udp(Some(self)) != is_udp(other) && self.bare() == other.and_then(Self::bare)
    }

    /// The class of the same without UDP; `None`: IP directly in IP.
    const fn bare(self) -> Option<Self> {
        match self {
            Self::Gre | Self::FouGre | Self::GueGre => Some(Self::Gre),
            Self::Fou | Self::Gue => None,
            // Nobody has these without UDP, or with.
            Self::Vxlan | Self::Geneve | Self::Minimal | Self::Erspan => Some(self),
        }
    }
}

/// The class of a tunnel's packets, the UDP port that they arrive at, and the number in them that is the
/// tunnel's, if they have one: a GRE key (RFC 2890), which may be 0, or a session of ERSPAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Label(u64);

impl Label {
    /// Of tunnels with IP directly in IP.
    pub const NONE: Self = Self(0);

    const CLASS_SHIFT: u32 = 56;
    const HAS_KEY: u64 = 1 << 48;

    /// Of a class, a UDP port or 0, and a key.
    pub const fn new(class: Class, port: u16, key: Option<u32>) -> Self {
        let class = (class as u64) << Self::CLASS_SHIFT | (port as u64) << 32;
        match key {
            //= RFC 2890 §2.1: a key that is present and 0 is a key.
            Some(key) => Self(class | Self::HAS_KEY | key as u64),
            None => Self(class),
        }
    }

    /// The same in UDP to a port, which is of another class.
    #[must_use]
    pub const fn in_udp(self, class: Class, port: u16) -> Self {
        let key = self.0 & (Self::HAS_KEY | u32::MAX as u64);
        Self(Self::new(class, port, None).0 | key)
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
    fn the_same_in_udp_and_without_are_told_from_what_is_something_else() {
        use Class::{Erspan, Fou, FouGre, Geneve, Gre, Gue, GueGre, Minimal, Vxlan};
        for (one, other, expected) in [
            (Fou, None, true),
            (Gue, None, true),
            (Gre, None, false),
            (FouGre, None, false),
            (FouGre, Some(Gre), true),
            (Gre, Some(GueGre), true),
            (Fou, Some(Gre), false),
            (Fou, Some(Gue), false),
            (Vxlan, None, false),
            (Geneve, Some(Gre), false),
            (Minimal, None, false),
            (Fou, Some(Minimal), false),
            (Erspan, Some(Gre), false),
            (Erspan, None, false),
        ] {
            assert_eq!(one.differs_in_udp(other), expected, "{one:?} {other:?}");
        }
        for class in Class::ALL {
            assert_eq!(Label::new(class, u16::MAX, Some(u32::MAX)).class(), Some(class));
        }
        assert_eq!(Label::NONE.class(), None);
    }

    #[test]
    fn a_key_of_zero_is_another_label_than_no_key() {
        let (with, without) = (Label::new(Class::Gre, 0, Some(0)), Label::new(Class::Gre, 0, None));
        assert_ne!(with, without);
        assert_ne!(without, Label::default(), "no label is none of theirs");
        assert_ne!(with, Label::new(Class::Gre, 0, Some(u32::MAX)));
    }
}
