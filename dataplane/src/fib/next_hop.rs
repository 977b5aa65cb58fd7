//! The number that a lookup answers with.

/// How many values a [`NextHopId`] has, [`NextHopId::NONE`] included.
pub const NEXT_HOPS_MAX: u32 = 1 << 24;

/// What a route leads to, as a number that the owner of the tables gives a meaning.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash, Default)]
pub struct NextHopId(u32);

/// A number that no next hop can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the number of a next hop: give one from 1 to {max}", max = NEXT_HOPS_MAX - 1)]
pub struct NextHopOutOfRange(pub u32);

impl NextHopId {
    /// No route.
    pub const NONE: Self = Self(0);

    /// A next hop by its number, 1 to [`NEXT_HOPS_MAX`] - 1; 0 is [`Self::NONE`]'s.
    #[inline]
    pub const fn new(raw: u32) -> Result<Self, NextHopOutOfRange> {
        if raw == 0 || raw >= NEXT_HOPS_MAX { Err(NextHopOutOfRange(raw)) } else { Ok(Self(raw)) }
    }

    /// As an index into an array of next hops, whose element 0 stands for "no route".
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether there is no route.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The number.
    #[inline]
    pub(super) const fn raw(self) -> u32 {
        self.0
    }

    /// From the low bits of a table entry.
    #[inline]
    pub(super) const fn from_low_bits(bits: u32) -> Self {
        Self(bits & (NEXT_HOPS_MAX - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_hop_is_a_number_from_1_to_the_limit() {
        assert_eq!(NextHopId::new(0), Err(NextHopOutOfRange(0)));
        assert_eq!(NextHopId::new(1).unwrap().index(), 1);
        assert_eq!(NextHopId::new(NEXT_HOPS_MAX - 1).unwrap().index(), (1 << 24) - 1);
        assert_eq!(NextHopId::new(NEXT_HOPS_MAX), Err(NextHopOutOfRange(1 << 24)));
        assert!(NextHopId::NONE.is_none() && NextHopId::NONE.index() == 0);
    }
}
