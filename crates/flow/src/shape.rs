//! How the entries of the index lie: what a search costs at worst, and how near the index is to
//! refusing.

use crate::bucket::Bucket;
use crate::key::AnyKey;
use crate::reader::Reader;

/// The index at some instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Places for entries.
    pub places: u64,
    /// Entries, two for each session.
    pub entries: u64,
    /// Entries of the fullest bucket, of [`Bucket::ENTRIES`].
    pub fullest: u32,
    /// Entries whose tuples were looked at: all of a small table, some of a large one.
    pub looked_at: u64,
    /// How many of those lie in the second of their buckets, so that a search for them takes two
    /// steps and not one.
    pub second: u64,
}

impl Shape {
    /// The most buckets that a search looks into: one if no entry lies in its second.
    #[must_use]
    pub const fn longest_probe(&self) -> u32 {
        if self.second > 0 { 2 } else { 1 }
    }
}

impl Reader {
    /// Walks through the index. That takes some milliseconds for a million sessions, and nothing
    /// waits for it.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let buckets = self.memory().buckets();
        let in_use = self.memory().header().extent().in_use() as usize;
        let every = in_use.div_ceil(LOOKED_AT);
        let mut shape =
            Shape { places: (buckets.len() * Bucket::ENTRIES) as u64, ..Shape::default() };
        for (number, bucket) in (0_u32..).zip(buckets.iter().take(in_use)) {
            let entries = bucket.entries();
            let count = entries.clone().count() as u32;
            shape.entries += u64::from(count);
            shape.fullest = shape.fullest.max(count);
            if !(number as usize).is_multiple_of(every) {
                continue;
            }
            for entry in entries {
                let session = self.get(entry.slot()).map(|seen| seen.session);
                let Some(first) = session.and_then(|session| {
                    let key = AnyKey::new(session.arriving(entry.direction()))?;
                    Some(self.memory().header().place(&key).first)
                }) else {
                    continue;
                };
                shape.looked_at += 1;
                shape.second += u64::from(first != number);
            }
        }
        shape
    }
}

/// Buckets whose entries are looked at, about.
const LOOKED_AT: usize = 8192;
