//! Finding a tuple's record; the same code for the engine and for the eBPF programs.
//!
//! ```text
//!   hash ──► low half  ──► first bucket  ──┐
//!        └─► high half ──► fingerprint ────┴──► second bucket = first ^ spread(fingerprint)
//! ```
//!
//! Every tuple has two buckets to lie in. Each can be computed from the other and the fingerprint,
//! so an entry can be moved without looking at its record. The number of buckets is a power of two,
//! at least two.
//!
//! A lookup may miss what is there: an entry being moved, a record being changed. It never finds
//! what is not there. Who must not miss is the writer, which is the only one to move and change.

use crate::bucket::{Bucket, Entry, Slot};
use crate::direction::Direction;
use crate::hash::Secret;
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
    sequence: u32,
}

impl Hit<'_> {
    /// Whether everything that was read from the record so far belongs together.
    #[inline(always)]
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.record.is_unchanged(self.sequence)
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
    mask: u32,
    secret: Secret,
    key: &K,
) -> Option<Hit<'a>> {
    let place = Place::new(key.hash(secret), mask);
    match find_in(source, place.first, place.fingerprint, key) {
        Some(hit) => Some(hit),
        None => find_in(source, place.second(), place.fingerprint, key),
    }
}

#[inline(always)]
fn find_in<'a, S: Source + ?Sized, K: Key>(
    source: &'a S,
    bucket: u32,
    fingerprint: u32,
    key: &K,
) -> Option<Hit<'a>> {
    let entry = source.bucket(bucket)?.first(fingerprint)?;
    verify(source, entry, key)
}

/// Compares the record behind an entry with the tuple.
#[inline(always)]
pub(crate) fn verify<'a, S: Source + ?Sized, K: Key>(
    source: &'a S,
    entry: Entry,
    key: &K,
) -> Option<Hit<'a>> {
    let (slot, direction) = (entry.slot(), entry.direction());
    let record = source.record(slot)?;
    let sequence = record.begin_read()?;
    key.matches(source, slot, record, direction).then_some(Hit {
        slot,
        direction,
        record,
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
    mask: u32,
}

impl Place {
    /// The place of a hash among `mask + 1` buckets.
    #[inline(always)]
    #[must_use]
    pub const fn new(hash: u64, mask: u32) -> Self {
        let high = (hash >> 32) as u32;
        // Zero marks a vacancy.
        let fingerprint = if high == 0 { 1 } else { high };
        Self { first: hash as u32 & mask, fingerprint, mask }
    }

    /// The bucket to look in when it is not in the first.
    #[inline(always)]
    #[must_use]
    pub const fn second(self) -> u32 {
        other_bucket(self.first, self.fingerprint, self.mask)
    }
}

/// The other bucket of an entry that lies in `bucket`.
#[inline(always)]
pub(crate) const fn other_bucket(bucket: u32, fingerprint: u32, mask: u32) -> u32 {
    // An odd distance, so that the other is never the same; a multiplied one, because a table with
    // more than 2³¹ buckets does not exist and the high bits of the product are the mixed ones.
    let spread = (fingerprint.wrapping_mul(0x9e37_79b1) >> 7) | 1;
    bucket ^ (spread & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_leads_to_the_other() {
        for mask in [1, 3, 1023, (1 << 19) - 1] {
            for i in 0..1000_u64 {
                let place = Place::new(i.wrapping_mul(0x9e37_79b9_7f4a_7c15), mask);
                assert_ne!(place.first, place.second());
                assert!(place.first <= mask && place.second() <= mask);
                assert_eq!(other_bucket(place.second(), place.fingerprint, mask), place.first);
            }
        }
    }

    #[test]
    fn a_fingerprint_is_never_a_vacancy() {
        assert_eq!(Place::new(5, 1023).fingerprint, 1);
    }
}
