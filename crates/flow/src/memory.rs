//! Shared memory as slices of words: the one place that casts.
//!
//! A [`Region`] is an array of values made of [words](crate::word), which is either on the heap or
//! a mapping that somebody else made. It keeps alive whatever keeps the memory alive, so it can be
//! cloned and sent to other threads without lifetimes. Nothing ever hands out a mutable or a plain
//! reference to the contents.

#![expect(unsafe_code, reason = "memory mapped by the kernel arrives as a pointer")]

use core::any::Any;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;
use std::sync::Arc;

use zerocopy::FromBytes;
#[cfg(any(feature = "test-util", test))]
use zerocopy::IntoBytes;

use crate::bucket::{Bucket, Slot};
use crate::header::{Header, Layout};
use crate::index::Source;
use crate::record::Record;
#[cfg(any(feature = "test-util", test))]
use crate::word::Word32;

/// An array in shared memory.
pub struct Region<T> {
    items: NonNull<[T]>,
    keeper: Arc<dyn Any + Send + Sync>,
}

impl<T> Region<T> {
    /// An array on the heap, all zero.
    #[must_use]
    pub fn heap(length: usize) -> Self
    where
        T: Default + FromBytes + Send + Sync + 'static,
    {
        let items: Arc<[T]> = (0..length).map(|_| T::default()).collect();
        let first = NonNull::from(&items[..]).cast();
        // SAFETY: the memory holds `length` initialised values and lives as long as `items`, which
        // is kept. `Arc` hands out no exclusive reference while the region has its share.
        unsafe { Self::from_raw(first, length, Arc::new(items)) }
    }

    /// An array in memory that `keeper` keeps alive, such as a mapping that is unmapped on drop.
    ///
    /// # Safety
    ///
    /// - `first` is aligned for `T` and points to `length` values of `T`, all readable, for as long
    ///   as `keeper` lives.
    /// - The memory is writable, unless nobody calls a method that writes through this region.
    /// - `T` consists of [words](crate::word), or nobody writes to the memory; and nobody has a
    ///   reference to it that does not consist of words.
    #[must_use]
    pub unsafe fn from_raw(
        first: NonNull<T>,
        length: usize,
        keeper: Arc<dyn Any + Send + Sync>,
    ) -> Self
    where
        T: FromBytes + Sync,
    {
        Self { items: NonNull::slice_from_raw_parts(first, length), keeper }
    }

    /// The memory as it lies there, for tests that damage it.
    #[cfg(any(feature = "test-util", test))]
    #[must_use]
    pub fn words(&self) -> &[Word32]
    where
        T: FromBytes + IntoBytes,
    {
        const { assert!(align_of::<T>() >= align_of::<Word32>()) };
        let length = self.items.len() * size_of::<T>() / size_of::<Word32>();
        // SAFETY: the memory holds that many words for as long as the keeper lives, it is aligned
        // for larger ones, any bytes are a word, and nobody has a reference that does not consist of
        // words.
        unsafe { core::slice::from_raw_parts(self.items.cast().as_ptr(), length) }
    }
}

impl<T> Deref for Region<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: whoever made the region promised that the memory holds initialised values for as
        // long as the keeper lives, which is at least as long as the returned reference; values
        // change under it only within words, which allow that.
        unsafe { self.items.as_ref() }
    }
}

impl<T> Clone for Region<T> {
    fn clone(&self) -> Self {
        Self { items: self.items, keeper: Arc::clone(&self.keeper) }
    }
}

impl<T> fmt::Debug for Region<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("length", &self.items.len()).finish_non_exhaustive()
    }
}

// SAFETY: a region only gives out shared references to its items, which other threads may use
// because the items are `Sync`; the keeper is `Send` and `Sync` by its type.
unsafe impl<T: Sync> Send for Region<T> {}

// SAFETY: as above.
unsafe impl<T: Sync> Sync for Region<T> {}

/// The three arrays of a table.
#[derive(Clone, Debug)]
pub struct Memory {
    header: Region<Header>,
    buckets: Region<Bucket>,
    records: Region<Record>,
}

impl Memory {
    /// A table on the heap, not yet formatted.
    #[must_use]
    pub fn heap(layout: Layout) -> Self {
        assert!(layout.is_valid(), "no table can have {layout:?}");
        Self {
            header: Region::heap(1),
            buckets: Region::heap(layout.buckets as usize),
            records: Region::heap(layout.slots as usize),
        }
    }

    /// A table in the given arrays; none if no table has such lengths.
    #[must_use]
    pub fn new(
        header: Region<Header>,
        buckets: Region<Bucket>,
        records: Region<Record>,
    ) -> Option<Self> {
        let memory = Self { header, buckets, records };
        (memory.header.len() == 1 && memory.layout().is_valid()).then_some(memory)
    }

    /// How many records and buckets there is room for.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Layout { slots: length(self.records.len()), buckets: length(self.buckets.len()) }
    }

    /// The header.
    #[inline]
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header[0]
    }

    #[inline]
    pub(crate) fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    #[inline]
    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The odd neighbour, where a wide record has its addresses.
    #[inline]
    pub(crate) fn continuation(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot.continuation().index() as usize)
    }
}

impl Source for Memory {
    #[inline]
    fn bucket(&self, number: u32) -> Option<&Bucket> {
        self.buckets.get(number as usize)
    }

    #[inline]
    fn record(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot.index() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::word::Word64;

    #[test]
    fn a_region_outlives_the_one_it_was_cloned_from() {
        let region = Region::<Word64>::heap(3);
        let clone = region.clone();
        region[1].store(7);
        drop(region);
        assert_eq!(clone.iter().map(Word64::load).collect::<Vec<_>>(), [0, 7, 0]);
    }

    #[test]
    fn the_words_of_a_region_are_its_values() {
        let region = Region::<Word64>::heap(2);
        region.words()[2].store(7);
        region.words()[3].store(1);
        assert_eq!(region.iter().map(Word64::load).collect::<Vec<_>>(), [0, 7 | 1 << 32]);
        assert_eq!(region.words().len(), 4);
    }

    #[test]
    fn threads_share_a_region() {
        let region = Region::<Word64>::heap(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let region = region.clone();
                scope.spawn(move || (0..1000).for_each(|_| region[0].add(1)));
            }
        });
        assert_eq!(region[0].load(), 4000);
    }

    #[test]
    fn arrays_of_odd_lengths_are_no_table() {
        let memory = |buckets, slots| {
            Memory::new(Region::heap(1), Region::heap(buckets), Region::heap(slots)).is_some()
        };
        assert!(memory(2, 2));
        assert!(!memory(3, 2), "buckets are a power of two");
        assert!(!memory(2, 3), "slots are even");
        assert!(!memory(0, 0));
    }
}
