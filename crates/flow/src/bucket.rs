//! Buckets of the index: one cache line with eight entries.
//!
//! An entry is one word, so it appears and disappears at once. A reader that sees a fingerprint of
//! its own goes on to compare the record; fingerprints only save it from looking at strangers.
//!
//! Each fingerprint has one of the eight places where it is entered if that is vacant, and looked for
//! first: most are found there, which the processor foresees, and none is passed over on the way.

use core::fmt;

use zerocopy::{FromBytes, IntoBytes};

use crate::direction::Direction;
use crate::header::Layout;
use crate::word::Word64;

/// The place of a record in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The slot with this index. Slots are numbered below 2²⁷ (a table has 2²⁶ at most).
    #[inline(always)]
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index & Entry::SLOT as u32)
    }

    /// The index of the slot, for arrays beside the table.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }

    /// The slot that holds the addresses of a wide record: the odd neighbour.
    #[inline(always)]
    #[must_use]
    pub const fn continuation(self) -> Self {
        Self(self.0 | 1)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An entry: 36 bits of fingerprint; one of direction; 27 of the slot. Zero is a vacancy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// No entry.
    pub const VACANT: Self = Self(0);

    const SLOT: u64 = (1 << 27) - 1;
    const DIRECTION: u32 = Self::SLOT.count_ones();
    /// Where in an entry the fingerprint begins, and where in a hash.
    pub(crate) const FINGERPRINT: u32 = Self::DIRECTION + 1;

    /// The fingerprint of a hash: its high bits, and never zero, which marks a vacancy.
    #[inline(always)]
    #[must_use]
    pub const fn mark(hash: u64) -> u64 {
        let high = hash >> Self::FINGERPRINT;
        if high == 0 { 1 } else { high }
    }

    /// The entry for packets of `direction` of the session in `slot`.
    #[inline(always)]
    #[must_use]
    pub const fn new(fingerprint: u64, slot: Slot, direction: Direction) -> Self {
        let direction = (direction.index() as u64) << Self::DIRECTION;
        Self(fingerprint << Self::FINGERPRINT | direction | slot.0 as u64)
    }

    /// Whether there is no entry here.
    #[inline(always)]
    #[must_use]
    pub const fn is_vacant(self) -> bool {
        self.0 == 0
    }

    /// The fingerprint of the tuple.
    #[inline(always)]
    #[must_use]
    pub const fn fingerprint(self) -> u64 {
        self.0 >> Self::FINGERPRINT
    }

    /// Where the record is.
    #[inline(always)]
    #[must_use]
    pub const fn slot(self) -> Slot {
        Slot((self.0 & Self::SLOT) as u32)
    }

    /// Which of the record's tuples it is.
    #[inline(always)]
    #[must_use]
    pub const fn direction(self) -> Direction {
        if self.0 & 1 << Self::DIRECTION == 0 { Direction::Egress } else { Direction::Ingress }
    }
}

// A table has no slot that an entry could not name.
const _: () = assert!(Layout::MAX_SESSIONS as u64 <= Entry::SLOT + 1);

/// A bucket, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C, align(64))]
pub struct Bucket {
    entries: [Word64; Self::ENTRIES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// How many entries a bucket has.
    pub const ENTRIES: usize = 8;

    /// An entry with this fingerprint.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, fingerprint: u64) -> Option<Entry> {
        let usual = Entry(self.entries[usual_place(fingerprint)].load());
        if usual.fingerprint() == fingerprint {
            return Some(usual);
        }
        for word in &self.entries {
            let entry = Entry(word.load());
            if entry.fingerprint() == fingerprint {
                return Some(entry);
            }
        }
        None
    }
}

/// What only the owner of the table does.
#[cfg(any(feature = "std", test))]
impl Bucket {
    /// All entries that are there.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + Clone + '_ {
        (0..Self::ENTRIES).map(|i| self.entry(i)).filter(|entry| !entry.is_vacant())
    }

    /// The places whose entries have this fingerprint.
    pub(crate) fn marked(&self, fingerprint: u64) -> Places {
        self.places(|entry| entry.fingerprint() == fingerprint)
    }

    /// The places whose entries are such.
    pub(crate) fn occupied(&self, is_one: impl Fn(Entry) -> bool) -> Places {
        self.places(|entry| !entry.is_vacant() && is_one(entry))
    }

    /// The vacant places.
    pub(crate) fn vacancies(&self) -> Places {
        self.places(Entry::is_vacant)
    }

    /// Looks at every place, without a branch that could be guessed wrong.
    fn places(&self, is_one: impl Fn(Entry) -> bool) -> Places {
        let bit = |i: usize| u8::from(is_one(self.entry(i))) << i;
        Places((0..Self::ENTRIES).map(bit).fold(0, core::ops::BitOr::bitor))
    }

    pub(crate) fn entry(&self, place: usize) -> Entry {
        Entry(self.entries[place].load())
    }

    pub(crate) fn set(&self, place: usize, entry: Entry) {
        self.entries[place].store(entry.0);
    }

    pub(crate) fn clear(&self) {
        for word in &self.entries {
            word.store(0);
        }
    }
}

/// Where an entry with this fingerprint is, if nothing else was there before.
#[inline(always)]
const fn usual_place(fingerprint: u64) -> usize {
    // The lowest bits are the same in all that lie in a bucket.
    (fingerprint >> 32) as usize % Bucket::ENTRIES
}

/// Some of the places of a bucket, in order.
#[cfg(any(feature = "std", test))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Places(u8);

#[cfg(any(feature = "std", test))]
impl Places {
    /// All but one.
    pub(crate) fn except(self, place: Option<usize>) -> Self {
        Self(self.0 & !place.map_or(0, |place| 1 << place))
    }

    /// The best of them for an entry with this fingerprint.
    pub(crate) fn best(mut self, fingerprint: u64) -> Option<usize> {
        let usual = usual_place(fingerprint);
        if self.0 & 1 << usual != 0 { Some(usual) } else { self.next() }
    }
}

#[cfg(any(feature = "std", test))]
impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let first = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_back_what_it_was_made_of() {
        for direction in Direction::ALL {
            let entry = Entry::new(0xd_dead_beef, Slot::new(0x7ff_fffe), direction);
            assert_eq!(entry.fingerprint(), 0xd_dead_beef);
            assert_eq!(entry.slot().index(), 0x7ff_fffe);
            assert_eq!(entry.direction(), direction);
            assert!(!entry.is_vacant());
        }
    }

    #[test]
    fn a_fingerprint_is_never_a_vacancy() {
        assert_eq!(Entry::mark(5), 1);
        assert_eq!(Entry::mark(u64::MAX), (1 << 36) - 1);
    }

    #[test]
    fn the_first_vacancy_is_taken_and_found_again() {
        let bucket = Bucket::default();
        assert_eq!(bucket.vacancies().next(), Some(0));
        assert_eq!(bucket.vacancies().except(Some(0)).next(), Some(1));
        for place in 0..Bucket::ENTRIES {
            bucket.set(place, Entry::new(place as u64 + 1, Slot::new(9), Direction::Egress));
        }
        assert_eq!(bucket.vacancies().next(), None);
        assert_eq!(bucket.find(8).map(Entry::fingerprint), Some(8));
        assert_eq!(bucket.find(9), None);
        bucket.set(3, Entry::VACANT);
        assert_eq!(bucket.vacancies().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn an_entry_has_its_usual_place_unless_another_has_it() {
        let bucket = Bucket::default();
        let marked = [(0xd_0000_0003_u64, 5), (0xd_0000_0004, 0), (0x2_0000_0004, 2), (1, 1)];
        for (fingerprint, place) in marked {
            assert_eq!(bucket.vacancies().best(fingerprint), Some(place));
            bucket.set(place, Entry::new(fingerprint, Slot::new(place as u32), Direction::Egress));
        }
        for (fingerprint, place) in marked {
            let found = bucket.find(fingerprint).map(|entry| entry.slot());
            assert_eq!(found, Some(Slot::new(place as u32)));
        }
        assert_eq!(bucket.vacancies().except(Some(7)).best(7 << 32), Some(3));
    }
}
