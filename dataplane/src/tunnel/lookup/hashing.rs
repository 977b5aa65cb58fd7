//! How outer addresses and labels are mixed into hashes.

use core::hash::{BuildHasher, Hash, Hasher};

use super::label::Label;

/// An outer address of either family.
pub trait OuterAddress: Copy + Eq + Hash + Default {
    /// Mixes the address into a hash.
    fn mix(self, hash: u64) -> u64;

    /// Mixes two addresses into a hash.
    #[inline]
    fn mix_pair(local: Self, remote: Self, hash: u64) -> u64 {
        remote.mix(local.mix(hash))
    }

    /// A hash whose upper bits are good and cost next to nothing, for sets in which it does no harm
    /// that addresses can be made to collide.
    fn scatter(self) -> u64;
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn multiply_fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl OuterAddress for u32 {
    #[inline]
    fn mix(self, hash: u64) -> u64 {
        multiply_fold(hash ^ u64::from(self), ODD)
    }

    #[inline]
    fn mix_pair(local: Self, remote: Self, hash: u64) -> u64 {
        multiply_fold(hash ^ (u64::from(local) << 32 | u64::from(remote)), ODD)
    }

    #[inline]
    fn scatter(self) -> u64 {
        u64::from(self).wrapping_mul(ODD)
    }
}

impl OuterAddress for u128 {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn mix(self, hash: u64) -> u64 {
        multiply_fold(multiply_fold(hash ^ self as u64, ODD) ^ (self >> 64) as u64, ODD)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn scatter(self) -> u64 {
        let high = ((self >> 64) as u64).wrapping_mul(ODD);
        (self as u64 ^ high.rotate_left(32)).wrapping_mul(ODD)
    }
}

/// Makes hashes of addresses and labels that begin with this number: a secret where others choose what is looked up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seed(pub(super) u64);

impl BuildHasher for Seed {
    type Hasher = NumberHasher;

    #[inline]
    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(self.0)
    }
}

/// Hashes addresses and labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.0 = number.mix(self.0);
    }

    #[inline]
    fn write_u128(&mut self, address: u128) {
        self.0 = address.mix(self.0);
    }
}

/// What tells tunnels of the same addresses apart.
pub trait Tag: Copy + Eq + Default {
    /// Mixes it into a hash.
    fn mix(self, hash: u64) -> u64;
}

impl Tag for () {
    #[inline]
    fn mix(self, hash: u64) -> u64 {
        hash
    }
}

impl Tag for Label {
    #[inline]
    fn mix(self, hash: u64) -> u64 {
        multiply_fold(hash ^ self.bits(), ODD)
    }
}
