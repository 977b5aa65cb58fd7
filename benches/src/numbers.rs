//! Numbers that look random and are the same in every run.

/// A xorshift generator: good enough to spread addresses, and repeatable.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Any number of twice the width.
    pub fn next_u128(&mut self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next_u64() >> 16) % bound
    }

    /// One of `items`, which are not none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        let at = self.below(items.len() as u64);
        items[usize::try_from(at).unwrap_or(0)]
    }

    /// A key by weights out of 1000.
    pub fn weighted(&mut self, weights: &[(u8, u16)]) -> u8 {
        let mut rest = u16::try_from(self.below(1000)).unwrap_or(0);
        for &(key, weight) in weights {
            match rest.checked_sub(weight) {
                Some(less) => rest = less,
                None => return key,
            }
        }
        weights.last().map_or(0, |last| last.0)
    }
}
