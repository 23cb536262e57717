//! BPF arrays as shared memory.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use masq_flow::Region;
use zerocopy::FromBytes;

use super::Mapping;

/// The values of an mmapable BPF array as a region.
///
/// The caller has made sure that the array has so many values, and of that size; a mapping of more
/// than the array holds is refused by the kernel.
pub(crate) fn region<T>(array: impl AsFd, length: usize) -> io::Result<Region<T>>
where
    T: FromBytes + Sync,
{
    // The kernel places values at multiples of eight bytes.
    assert!(size_of::<T>().is_multiple_of(8), "mmapable values lie without gaps");
    let mapping = Mapping::shared(array, 0, length * size_of::<T>())?;
    let first = mapping.base().cast();
    // SAFETY: the mapping is page-aligned, readable and writable, as long as `length` values, and
    // lives as long as the keeper. Other parties see the same pages through words or from eBPF.
    Ok(unsafe { Region::from_raw(first, length, Arc::new(mapping)) })
}
