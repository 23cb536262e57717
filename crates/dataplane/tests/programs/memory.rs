//! The programs' arrays as the engine sees them: mapped memory.

use core::ptr::NonNull;
use std::os::fd::AsFd;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::Map;
use masq_flow::Region;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use zerocopy::FromBytes;

/// The values of an mmapable array.
pub(crate) fn region<T: FromBytes + Sync>(ebpf: &Ebpf, name: &str, length: u32) -> Region<T> {
    let Some(Map::Array(array)) = ebpf.map(name) else { panic!("no array {name}") };
    let length = length as usize;
    let bytes = length * size_of::<T>();
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: the kernel chooses an address where nothing is mapped.
    let base = unsafe { mmap(core::ptr::null_mut(), bytes, prot, flags, array.fd().as_fd(), 0) };
    let base = NonNull::new(base.unwrap().cast::<u8>()).unwrap();
    let mapping = Arc::new(Mapping { base, bytes });
    // SAFETY: the mapping is page-aligned, as long as `length` values, and lives as long as its
    // keeper. The programs see the same pages through words.
    unsafe { Region::from_raw(base.cast(), length, mapping) }
}

struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: nothing is done through a shared reference to it.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of a mapping that this value alone owns.
        unsafe { munmap(self.base.as_ptr().cast(), self.bytes) }.unwrap();
    }
}
