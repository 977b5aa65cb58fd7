//! Asking the processor for a cache line before it is needed.

/// Asks for the cache line that `place` begins in; changes nothing that a program can see.
#[inline]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing and can't fault; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// As [`prefetch`], for a line that this core is going to write: it is taken from other cores' caches at once, not asked
/// for a second time at the first write.
#[inline]
pub fn prefetch_to_write<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch changes nothing and can't fault; a processor of this architecture that does not know this one
    // does nothing.
    unsafe {
        core::arch::asm!(
            "prefetchw [{place}]",
            place = in(reg) core::ptr::from_ref(place),
            options(nostack, preserves_flags, readonly),
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
