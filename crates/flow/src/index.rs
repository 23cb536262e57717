//! Finding a tuple's record; the same code for the engine and for the eBPF programs.
//!
//! ```text
//!   hash ──► low half  ──► first bucket  ──┐
//!        └─► high half ──► fingerprint ────┴──► second bucket = first ^ spread(fingerprint)
//! ```
//!
//! Every tuple has two buckets to lie in. Each can be computed from the other and the fingerprint,
//! so an entry can be moved without looking at its record.
//!
//! The number of buckets is any multiple of some power of two (so that memory need not double): the
//! buckets are that many *blocks*, each of a power of two, and both buckets of a tuple lie in one.
//!
//! A lookup may miss what is there: an entry being moved, a record being made or unmade. It never
//! finds what is not there. Who must not miss is the writer, which is the only one to move and change.

use crate::bucket::{Bucket, Entry, Slot};
use crate::direction::Direction;
use crate::header::Header;
use crate::key::Key;
use crate::record::Record;

/// Where buckets and records come from: slices on the host, map look-ups in the eBPF programs.
pub trait Source {
    /// The bucket with this number.
    fn bucket(&self, number: u32) -> Option<&Bucket>;

    /// The record in this slot.
    fn record(&self, slot: Slot) -> Option<&Record>;
}

/// A record that was found.
pub struct Hit<'a> {
    /// Where it is.
    pub slot: Slot,
    /// Which way the packet travels.
    pub direction: Direction,
    /// The record.
    pub record: &'a Record,
    /// The table that it is in.
    pub header: &'a Header,
    sequence: u32,
}

impl Hit<'_> {
    /// Whether everything that was read from the record so far belongs together; never, if it was
    /// being changed when it was found.
    #[inline(always)]
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.sequence & 1 == 0 && self.record.is_unchanged(self.sequence)
    }
}

/// Looks for the record of a tuple, comparing at most one record per bucket.
///
/// What is then read from the record counts only if [`Hit::is_current`] afterwards. Two tuples with
/// the same fingerprint in the same bucket are one in thousands of millions; the later of them is
/// left to the engine, which compares all.
#[inline(always)]
pub fn find<'a, S: Source + ?Sized, K: Key>(
    source: &'a S,
    header: &'a Header,
    key: &K,
) -> Option<Hit<'a>> {
    let place = Place::new(key.hash(&header.keys), header.buckets());
    match find_in(source, header, place.first, place.fingerprint, key) {
        Some(hit) => Some(hit),
        None => find_in(source, header, place.second(), place.fingerprint, key),
    }
}

#[inline(always)]
fn find_in<'a, S: Source + ?Sized, K: Key>(
    source: &'a S,
    header: &'a Header,
    bucket: u32,
    fingerprint: u32,
    key: &K,
) -> Option<Hit<'a>> {
    let entry = source.bucket(bucket)?.find(fingerprint)?;
    verify(source, header, entry, key)
}

/// Compares the record behind an entry with the tuple.
#[inline(always)]
pub(crate) fn verify<'a, S: Source + ?Sized, K: Key>(
    source: &'a S,
    header: &'a Header,
    entry: Entry,
    key: &K,
) -> Option<Hit<'a>> {
    let (slot, direction) = (entry.slot(), entry.direction());
    let record = source.record(slot)?;
    // While it is occupied its tuples stay, whatever else is being changed.
    let sequence = record.read_sequence();
    key.matches(source, slot, record, direction).then_some(Hit {
        slot,
        direction,
        record,
        header,
        sequence,
    })
}

/// The two buckets of a tuple, and what it looks like there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bucket to look in first.
    pub first: u32,
    /// What marks the tuple's entry; never zero.
    pub fingerprint: u32,
    buckets: u32,
}

impl Place {
    /// The place of a hash among so many buckets, an even number.
    #[inline(always)]
    #[must_use]
    pub const fn new(hash: u64, buckets: u32) -> Self {
        let high = (hash >> 32) as u32;
        // Zero marks a vacancy.
        let fingerprint = if high == 0 { 1 } else { high };
        // The high half of the product spreads the low half of the hash evenly over the buckets.
        let first = ((hash as u32 as u64 * buckets as u64) >> 32) as u32;
        Self { first, fingerprint, buckets }
    }

    /// The bucket to look in when it is not in the first.
    #[inline(always)]
    #[must_use]
    pub const fn second(self) -> u32 {
        other_bucket(self.first, self.fingerprint, self.buckets)
    }
}

/// The other bucket of an entry that lies in `bucket`.
#[inline(always)]
pub(crate) const fn other_bucket(bucket: u32, fingerprint: u32, buckets: u32) -> u32 {
    // A block is as long as the largest power of two that divides the number of buckets.
    let block = buckets & buckets.wrapping_neg();
    // An odd distance, so that the other is never the same; a multiplied one, because a block of
    // more than 2²⁵ buckets does not exist and the high bits of the product are the mixed ones.
    let spread = (fingerprint.wrapping_mul(0x9e37_79b1) >> 7) | 1;
    bucket ^ (spread & block.wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Secret;

    #[test]
    fn each_bucket_leads_to_the_other() {
        for buckets in [2, 4, 6, 1024, 11 << 10, 1 << 19, 11 << 15] {
            for i in 0..1000_u64 {
                let place = Place::new(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), buckets);
                assert_ne!(place.first, place.second());
                assert!(place.first < buckets && place.second() < buckets);
                let other = other_bucket(place.second(), place.fingerprint, buckets);
                assert_eq!(other, place.first);
            }
        }
    }

    #[test]
    fn the_buckets_are_chosen_equally_often() {
        let buckets = 11 << 4;
        let mut chosen = vec![0_u32; buckets as usize];
        for i in 0..176_000_u64 {
            let hash = Secret::new(1, 2).hash([i]);
            let place = Place::new(hash, buckets);
            chosen[place.first as usize] += 1;
            chosen[place.second() as usize] += 1;
        }
        // Two thousand each: a normal deviation is 45.
        assert!(chosen.iter().all(|count| count.abs_diff(2000) < 250), "{chosen:?}");
    }

    #[test]
    fn a_fingerprint_is_never_a_vacancy() {
        assert_eq!(Place::new(5, 1024).fingerprint, 1);
    }
}
