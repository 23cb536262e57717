//! Words on the host: atomics.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use zerocopy::{FromBytes, IntoBytes};

/// 32 bits of shared memory.
#[derive(Debug, Default, FromBytes, IntoBytes)]
#[repr(transparent)]
pub struct Word32(AtomicU32);

impl Word32 {
    /// A word that holds `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Reads the word.
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Writes the word.
    #[inline(always)]
    pub fn store(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// 64 bits of shared memory.
#[derive(Debug, Default, FromBytes, IntoBytes)]
#[repr(transparent)]
pub struct Word64(AtomicU64);

impl Word64 {
    /// A word that holds `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Reads the word.
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Writes the word.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds to the word; nobody's addition is lost.
    #[inline(always)]
    pub fn add(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    /// Sets the given bits (host only).
    pub fn set_bits(&self, bits: u64) {
        self.0.fetch_or(bits, Ordering::Relaxed);
    }

    /// Clears the given bits (host only).
    pub fn clear_bits(&self, bits: u64) {
        self.0.fetch_and(!bits, Ordering::Relaxed);
    }
}

/// What is read after this was not read before it.
#[inline(always)]
pub fn acquire() {
    fence(Ordering::Acquire);
}

/// What is written after this does not appear before what was written before it.
#[inline(always)]
pub fn release() {
    fence(Ordering::Release);
}
