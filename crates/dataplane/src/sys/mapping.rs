//! A mapped piece of memory.

use core::ptr::NonNull;
use std::io;
use std::os::fd::AsFd;

use rustix::mm::{self, MapFlags, ProtFlags};

/// Memory mapped readable and writable, page-aligned, unmapped when dropped.
///
/// The memory may be shared with the kernel or with other processes, so this type hands out a
/// pointer and never a reference; whoever uses the pointer knows what the other side does.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: the mapping itself is never changed through a shared reference; accesses to the memory
// are the business of whoever uses the pointer.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps private memory that starts as zeros.
    pub(crate) fn anonymous(len: usize) -> io::Result<Self> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the kernel chooses an address where nothing is mapped.
        let base = unsafe { mm::mmap_anonymous(core::ptr::null_mut(), len, prot, flags) }?;
        Ok(Self::own(base.cast(), len))
    }

    /// Maps a part of a file, shared with everybody else who maps it.
    pub(crate) fn shared(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses an address where nothing is mapped.
        let base = unsafe { mm::mmap(core::ptr::null_mut(), len, prot, flags, fd, offset) }?;
        Ok(Self::own(base.cast(), len))
    }

    /// Where the memory starts.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How many bytes were asked for.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn own(base: *mut u8, len: usize) -> Self {
        let base = NonNull::new(base).expect("mmap never places a mapping at address zero");
        Self { base, len }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and len are those of a mapping that this value alone owns.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of a whole mapping cannot fail");
    }
}
