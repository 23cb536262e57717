//! A BPF array of pairs of words in our own memory: the only unsafe code of the bench.
#![expect(unsafe_code, reason = "memory shared with the kernel; each block says why it is sound")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::os::fd::AsFd;

use rustix::mm::{self, MapFlags, ProtFlags};

/// The words of a mmappable array map, shared with the programs.
#[derive(Debug)]
pub(crate) struct Words {
    base: NonNull<AtomicU32>,
    count: usize,
}

// SAFETY: the mapping belongs to the process, and its words are atomics.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps an array that has so many words in all. Its values are of a multiple of eight bytes, so
    /// there is nothing between them.
    pub(crate) fn map(fd: impl AsFd, count: usize) -> io::Result<Self> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        let length = count * size_of::<AtomicU32>();
        // SAFETY: the kernel chooses an address where nothing is mapped.
        let base = unsafe { mm::mmap(core::ptr::null_mut(), length, prot, flags, fd, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { base, count })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// One of them.
    pub(crate) fn load(&self, index: usize) -> u32 {
        self.word(index).load(Ordering::Relaxed)
    }

    /// Sets one of them.
    pub(crate) fn store(&self, index: usize, value: u32) {
        self.word(index).store(value, Ordering::Relaxed);
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        assert!(index < self.count, "a word that was not mapped");
        // SAFETY: the index is below the count, for which memory was mapped.
        let word = unsafe { self.base.add(index) };
        // SAFETY: mapped, aligned memory that lives as long as `self`; all bits are a value, and
        // everybody who writes it writes whole words.
        unsafe { word.as_ref() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: base and length are those of a mapping that this value alone owns.
        let unmapped =
            unsafe { mm::munmap(self.base.as_ptr().cast(), self.count * size_of::<AtomicU32>()) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping cannot fail");
    }
}
