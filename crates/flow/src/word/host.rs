//! Words on the host: atomics.

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use zerocopy::{FromBytes, IntoBytes};

macro_rules! word {
    ($bits:literal, $name:ident, $atomic:ident, $value:ident) => {
        #[doc = concat!($bits, " bits of shared memory.")]
        #[derive(Debug, Default, FromBytes, IntoBytes)]
        #[repr(transparent)]
        pub struct $name($atomic);

        impl $name {
            /// A word that holds `value`.
            #[must_use]
            pub const fn new(value: $value) -> Self {
                Self($atomic::new(value))
            }

            /// Reads the word.
            #[inline(always)]
            #[must_use]
            pub fn load(&self) -> $value {
                self.0.load(Ordering::Relaxed)
            }

            /// Writes the word.
            #[inline(always)]
            pub fn store(&self, value: $value) {
                #[cfg(test)]
                if fuse::is_blown() {
                    return;
                }
                self.0.store(value, Ordering::Relaxed);
            }
        }
    };
}

word!("8", Word8, AtomicU8, u8);
word!("16", Word16, AtomicU16, u16);
word!("32", Word32, AtomicU32, u32);
word!("64", Word64, AtomicU64, u64);

impl Word64 {
    /// Adds to the word; nobody's addition is lost.
    #[inline(always)]
    pub fn add(&self, value: u64) {
        #[cfg(test)]
        if fuse::is_blown() {
            return;
        }
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    /// Reads the upper sixteen bits.
    #[inline(always)]
    #[must_use]
    pub fn load_top(&self) -> u16 {
        (self.load() >> 48) as u16
    }

    /// Writes the upper sixteen bits, whatever is added to the others meanwhile.
    pub fn store_top(&self, value: u16) {
        #[cfg(test)]
        if fuse::is_blown() {
            return;
        }
        let set = |word: u64| Some(word << 16 >> 16 | u64::from(value) << 48);
        // It never refuses, so it never fails.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, set);
    }

    /// Sets the given bits (host only).
    pub fn set_bits(&self, bits: u64) {
        #[cfg(test)]
        if fuse::is_blown() {
            return;
        }
        self.0.fetch_or(bits, Ordering::Relaxed);
    }

    /// Clears the given bits (host only).
    pub fn clear_bits(&self, bits: u64) {
        #[cfg(test)]
        if fuse::is_blown() {
            return;
        }
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

/// Death at any instant, for the tests of what a successor finds: a thread whose fuse has blown
/// goes on, but nothing that it writes arrives any more.
#[cfg(test)]
pub(crate) mod fuse {
    use core::cell::Cell;

    std::thread_local! {
        static STORES_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Lets this thread write to `stores` more words. Whether the fuse blew meanwhile.
    pub(crate) fn with<T>(stores: usize, run: impl FnOnce() -> T) -> (T, bool) {
        STORES_LEFT.set(Some(stores));
        let result = run();
        // A fuse burns down to zero and blows at the store after that.
        let blown = STORES_LEFT.take() == Some(usize::MAX);
        (result, blown)
    }

    pub(super) fn is_blown() -> bool {
        STORES_LEFT.with(|left| {
            match left.get() {
                None => return false,
                Some(0 | usize::MAX) => left.set(Some(usize::MAX)),
                Some(stores) => left.set(Some(stores - 1)),
            }
            left.get() == Some(usize::MAX)
        })
    }
}
