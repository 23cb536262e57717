//! Finding a tuple's record; the same code for the engine and for the eBPF programs.
//!
//! ```text
//!   hash ──► low bits  ──► home ──────────┬──► other home = home ^ spread(fingerprint)
//!        └─► high bits ──► fingerprint ───┴──► bucket of each, by how far the index has grown
//! ```
//!
//! Every tuple has two buckets to lie in. Each can be computed from the other and the fingerprint,
//! so an entry can be moved without looking at its record.
//!
//! Not all buckets are in use: the index grows with the table, from a *base* of some *blocks* of 512, and
//! both homes of a tuple lie in one block (`extent`). So their number need not be a power
//! of two, and memory need not double.
//!
//! A lookup may miss what is there: an entry being moved, a record being made or unmade. It never
//! finds what is not there. Who must not miss is the writer, which is the only one to move and change.

use crate::bucket::{Bucket, Entry, Slot};
use crate::direction::Direction;
use crate::extent::Extent;
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
    let place = header.place(key);
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
    fingerprint: u64,
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
    /// What marks the tuple's entry.
    pub fingerprint: u64,
    home: u32,
    extent: Extent,
}

impl Place {
    /// The place of a hash in an index that has grown so far.
    #[inline(always)]
    #[must_use]
    pub(crate) const fn new(hash: u64, extent: Extent) -> Self {
        let (fingerprint, home) = (Entry::mark(hash), extent.home(hash));
        Self { first: extent.bucket(home, fingerprint), fingerprint, home, extent }
    }

    /// The bucket to look in when it is not in the first.
    #[inline(always)]
    #[must_use]
    pub const fn second(self) -> u32 {
        let other = self.extent.other_home(self.home, self.fingerprint);
        self.extent.bucket(other, self.fingerprint)
    }
}
