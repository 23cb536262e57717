//! Words in the eBPF programs: volatile accesses and one atomic add.

#![expect(unsafe_code, reason = "volatile access to shared memory needs raw pointers")]

use core::cell::UnsafeCell;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::sync::atomic::{Ordering, compiler_fence};

use zerocopy::{FromBytes, IntoBytes};

macro_rules! word {
    ($bits:literal, $name:ident, $value:ident) => {
        #[doc = concat!($bits, " bits of shared memory.")]
        #[derive(Default, FromBytes, IntoBytes)]
        #[repr(transparent)]
        pub struct $name(UnsafeCell<$value>);

        // SAFETY: the word is only accessed by aligned volatile loads and stores and atomic additions
        // of its own size, or of an aligned part of it, which the BPF machine does not tear.
        unsafe impl Sync for $name {}

        impl $name {
            /// A word that holds `value`.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self(UnsafeCell::new(value))
            }

            /// Reads the word.
            #[inline(always)]
            #[must_use]
            pub fn load(&self) -> $value {
                // SAFETY: the pointer comes from a reference, so it is valid and aligned.
                unsafe { self.0.get().read_volatile() }
            }

            /// Writes the word.
            #[inline(always)]
            pub fn store(&self, value: $value) {
                // SAFETY: the pointer comes from a reference, so it is valid and aligned; the cell
                // allows writing through it.
                unsafe { self.0.get().write_volatile(value) }
            }
        }
    };
}

word!("8", Word8, u8);
word!("16", Word16, u16);
word!("32", Word32, u32);
word!("64", Word64, u64);

impl Word64 {
    /// Adds to the word; nobody's addition is lost.
    #[inline(always)]
    pub fn add(&self, value: u64) {
        // SAFETY: the pointer comes from a reference, so it is valid and aligned; the cell allows
        // writing through it.
        unsafe {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(self.0.get(), value);
        }
    }

    /// Reads the upper sixteen bits.
    #[inline(always)]
    #[must_use]
    pub fn load_top(&self) -> u16 {
        // SAFETY: the pointer is within the word, and aligned for a quarter of it.
        unsafe { self.top().read_volatile() }
    }

    /// Writes the upper sixteen bits, whatever is added to the others meanwhile.
    #[inline(always)]
    pub fn store_top(&self, value: u16) {
        // SAFETY: as above; the cell allows writing through it.
        unsafe { self.top().write_volatile(value) }
    }

    #[inline(always)]
    fn top(&self) -> *mut u16 {
        const { assert!(cfg!(target_endian = "little")) };
        // SAFETY: three quarters further is still within the word.
        unsafe { self.0.get().cast::<u16>().add(3) }
    }
}

/// What is read after this was not read before it.
#[inline(always)]
pub fn acquire() {
    compiler_fence(Ordering::Acquire);
}

/// What is written after this does not appear before what was written before it.
#[inline(always)]
pub fn release() {
    compiler_fence(Ordering::Release);
}
