//! A packet's bytes, behind checked reads and writes that are the same for both kinds of program.
//!
//! Helpers may move a packet's bytes, so no pointer into it outlives a call here: each access computes
//! its own from `data` and `data_end`, which is also the form in which the verifier follows it. The
//! two are loaded as volatile, lest the compiler derive that one check implies another: it may well,
//! but the verifier cannot.

use core::mem::size_of;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the bytes of a packet are.
pub(crate) trait Bytes: Copy {
    /// The address of the first byte, and that after the last; loaded anew each time.
    fn bounds(self) -> (usize, usize);

    /// Reads a value of more than one byte at an offset, if its bytes are there.
    #[inline(always)]
    fn read<T: FromBytes>(self, offset: usize) -> Option<T> {
        // For a single byte the compiler compares with `>=`, which teaches the verifier nothing.
        const { assert!(size_of::<T>() > 1) };
        let at = at(self, offset, size_of::<T>())? as *const T;
        // SAFETY: `at` says that as many bytes lie there, and any bytes are a value.
        Some(unsafe { at.read_unaligned() })
    }

    /// Writes a value of more than one byte at an offset, if there is room.
    #[inline(always)]
    fn write<T: IntoBytes + Immutable>(self, offset: usize, value: T) -> Option<()> {
        const { assert!(size_of::<T>() > 1) };
        let at = at(self, offset, size_of::<T>())? as *mut T;
        // SAFETY: `at` says that as many bytes lie there, and the packet is ours while we run.
        unsafe { at.write_unaligned(value) };
        Some(())
    }
}

#[inline(always)]
fn at(bytes: impl Bytes, offset: usize, length: usize) -> Option<usize> {
    let (start, end) = bytes.bounds();
    let start = start + offset;
    if start + length > end { None } else { Some(start) }
}
