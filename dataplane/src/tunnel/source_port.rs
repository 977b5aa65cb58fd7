//! The UDP source port of outer packets: one that is given, or one by the flow inside, of a range. Knows no header; called
//! by all that write UDP headers, and by the fast path.

/// Where the source port of a tunnel's packets comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourcePort {
    /// All have this one.
    Fixed(u16),
    /// Each inner flow has one of these.
    ByFlow(PortRange),
}

impl SourcePort {
    /// The port of packets whose inner flow has this hash.
    #[inline]
    pub(super) const fn of(self, hash: u64) -> u16 {
        match self {
            Self::Fixed(port) => port,
            Self::ByFlow(range) => range.port_of(hash),
        }
    }

    /// The same in a header that is made once: 0 where it goes by the flow.
    pub(super) const fn in_template(self) -> u16 {
        match self {
            Self::Fixed(port) => port,
            Self::ByFlow(_) => 0,
        }
    }

    /// The ports of flows, if it goes by them.
    #[inline]
    pub(crate) const fn range(self) -> Option<PortRange> {
        match self {
            Self::Fixed(_) => None,
            Self::ByFlow(range) => Some(range),
        }
    }
}

/// Ports that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    count: u16,
}

impl PortRange {
    /// The dynamic range, 49152 to 65535.
    //= RFC 8086 §3.2, RFC 7510 §3, RFC 7348 §5: the source port is one of these, by the flow.
    pub const DYNAMIC: Self = Self { first: 0xc000, count: 0x4000 };
    /// Linux's range of local ports, 32768 to 60999 (`ip_local_port_range`).
    pub const LINUX: Self = Self { first: 32_768, count: 28_232 };
    /// All but 0.
    //= RFC 8926 §3.3: GENEVE may use all 16 bits, which Linux does.
    pub const ALL: Self = Self { first: 1, count: u16::MAX };

    /// The port of a flow with this hash.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the product of 32 and 16 bits, less 32")]
    pub(crate) const fn port_of(self, hash: u64) -> u16 {
        // Other bits than flow labels and next hops go by.
        let part = hash >> 22 & u32::MAX as u64;
        self.first.wrapping_add(((part * self.count as u64) >> 32) as u16)
    }

    /// Both numbers in one, for places where there is room for that.
    pub(super) const fn packed(self) -> u32 {
        self.first as u32 | (self.count as u32) << 16
    }

    /// The reverse.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each has its half")]
    pub(crate) const fn of_packed(packed: u32) -> Self {
        Self { first: packed as u16, count: (packed >> 16) as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_used_from_its_first_port_to_its_last() {
        for (range, first, last) in [
            (PortRange::DYNAMIC, 49_152, 65_535),
            (PortRange::LINUX, 32_768, 60_999),
            (PortRange::ALL, 1, 65_535),
        ] {
            assert_eq!(range.port_of(0), first);
            assert_eq!(range.port_of(u64::MAX), last);
            assert_eq!(PortRange::of_packed(range.packed()), range);
        }
    }
}
