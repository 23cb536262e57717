//! Asking memory for what will be needed.
//!
//! A table of a million sessions is far larger than the caches, and each place that a new session needs
//! there is as far away as the work of a hundred nanoseconds. Who knows the next packets asks for their
//! places first, and works while they are on their way.

#![expect(unsafe_code, reason = "the processor's hint takes a pointer")]

/// Asks for the first cache line of a value. Nothing else comes of it, wherever that is.
#[inline(always)]
pub fn anticipate<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, which is a hint: it reads and writes
        // nothing that can be seen, and any address is good enough for it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
