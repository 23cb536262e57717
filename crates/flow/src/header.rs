//! The header of the table: who made it, how large it is, the keys of its hash, and the time.
//!
//! A table outlives the program that made it, so a later program must be able to tell that it is
//! not its own. [`Header::check`] does that before anything else is read.

use zerocopy::{FromBytes, IntoBytes};

use crate::bucket::Bucket;
use crate::clock::Clock;
use crate::extent::{BLOCK, Extent};
#[cfg(any(feature = "std", test))]
use crate::hash::Secret;
use crate::index::Place;
use crate::key::Key;
use crate::multilinear::Keys;
use crate::record::Record;
#[cfg(any(feature = "std", test))]
use crate::word::release;
use crate::word::{Word32, Word64};

/// The header, as it lies in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C, align(64))]
pub struct Header {
    magic: Word64,
    version: Word32,
    min_epoch: Word32,
    /// How far the index has grown; see `extent`.
    extent: Word64,
    base: Word32,
    buckets: Word32,
    slots: Word32,
    /// 1 once the programs have noted a flow of the host's, until the daemon finds none any more.
    pub(crate) host_flows: Word32,
    /// What the programs know of the time, written by them; the daemon says how long a tick is.
    pub clock: Clock,
    /// The keys of the index's hash.
    pub(crate) keys: Keys,
    /// Counters, written by the table's owner only.
    pub(crate) counts: Counts,
    /// What ended sessions carried; see `totals`.
    pub(crate) retired: Retired,
    header_size: Word32,
    record_size: Word32,
    bucket_size: Word32,
    rest: [Word32; 11],
    /// When the worker was last seen at work, in nanoseconds of `CLOCK_MONOTONIC`.
    beat: Word64,
    /// Kept for what is opened without the engine, for copies and for logs.
    kept: [Word64; 15],
}

const _: () = assert!(size_of::<Header>() == 512);

#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub(crate) struct Counts {
    pub(crate) sessions: Word64,
    pub(crate) most_sessions: Word64,
    pub(crate) refused_no_slot: Word64,
    pub(crate) refused_index_full: Word64,
    pub(crate) refused_taken: Word64,
    pub(crate) inserted: Word64,
    pub(crate) removed: Word64,
    pub(crate) moved_entries: Word64,
}

/// Packets out and in, bytes out and in, of sessions whose slots were given to others.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub(crate) struct Retired {
    pub(crate) sum: [Word64; 4],
    /// What the sum is to be when the fold under way has ended.
    pub(crate) next: [Word64; 4],
    /// The slot whose fold is under way, plus one.
    pub(crate) folding: Word64,
}

impl Header {
    /// "masqflow".
    const MAGIC: u64 = u64::from_le_bytes(*b"masqflow");
    /// Raised whenever the meaning of any word of the table changes.
    const VERSION: u32 = 4;

    /// How far the index has grown.
    #[inline(always)]
    #[must_use]
    pub(crate) fn extent(&self) -> Extent {
        Extent::new(self.base.load(), self.extent.load())
    }

    /// Where a reader looks for a tuple.
    #[inline(always)]
    pub(crate) fn place(&self, key: &impl Key) -> Place {
        Place::new(key.hash(&self.keys), self.extent())
    }

    /// Whether the programs have noted any flow of the host's ([`crate::maps::HOST_FLOWS`]).
    #[inline(always)]
    #[must_use]
    pub fn has_host_flows(&self) -> bool {
        self.host_flows.load() != 0
    }

    /// Says whether there may be any.
    #[inline(always)]
    pub fn set_host_flows(&self, any: bool) {
        self.host_flows.store(u32::from(any));
    }

    /// When the worker was last seen at work, in nanoseconds of `CLOCK_MONOTONIC`; 0 if never.
    #[inline(always)]
    #[must_use]
    pub fn beat(&self) -> u64 {
        self.beat.load()
    }

    /// Says that the worker is at work.
    pub fn set_beat(&self, now_ns: u64) {
        self.beat.store(now_ns);
    }

    /// The fast path leaves sessions of an earlier epoch to the engine.
    #[inline(always)]
    #[must_use]
    pub fn min_epoch(&self) -> u32 {
        self.min_epoch.load()
    }

    /// Whether there is a table at all: memory that nobody has formatted has none.
    #[must_use]
    pub fn is_formatted(&self) -> bool {
        self.magic.load() != 0
    }

    /// Whether the table is one that this program understands and that fills `layout`.
    ///
    /// # Errors
    ///
    /// Says what is different.
    pub fn check(&self, layout: Layout) -> Result<(), HeaderError> {
        let magic = self.magic.load();
        if magic != Self::MAGIC {
            return Err(HeaderError::Foreign { magic });
        }
        let version = self.version.load();
        if version != Self::VERSION {
            return Err(HeaderError::Version { found: version, known: Self::VERSION });
        }
        let sizes = [&self.header_size, &self.record_size, &self.bucket_size].map(Word32::load);
        if sizes != SIZES {
            return Err(HeaderError::Sizes { found: sizes, known: SIZES });
        }
        let found = Layout { slots: self.slots.load(), buckets: self.buckets.load() };
        if found != layout {
            return Err(HeaderError::Layout { found, expected: layout });
        }
        Ok(())
    }

    /// What happened in the table so far.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        let counts = &self.counts;
        TableStats {
            slots: self.slots.load(),
            sessions: counts.sessions.load(),
            most_sessions: counts.most_sessions.load(),
            refused_no_slot: counts.refused_no_slot.load(),
            refused_index_full: counts.refused_index_full.load(),
            refused_taken: counts.refused_taken.load(),
            inserted: counts.inserted.load(),
            removed: counts.removed.load(),
            moved_entries: counts.moved_entries.load(),
        }
    }
}

/// What only the owner of the table does.
#[cfg(any(feature = "std", test))]
impl Header {
    pub(crate) fn set_min_epoch(&self, epoch: u32) {
        self.min_epoch.store(epoch);
    }

    pub(crate) fn set_extent(&self, extent: Extent) {
        self.base.store(extent.base());
        self.extent.store(extent.in_use_and_mask());
    }

    /// Writes a new header; the magic comes last, so that a half-made one is foreign.
    pub(crate) fn format(&self, layout: Layout, secret: Secret) {
        self.magic.store(0);
        release();
        self.version.store(Self::VERSION);
        let [header_size, record_size, bucket_size] = SIZES;
        self.header_size.store(header_size);
        self.record_size.store(record_size);
        self.bucket_size.store(bucket_size);
        self.slots.store(layout.slots);
        self.buckets.store(layout.buckets);
        self.min_epoch.store(0);
        self.set_extent(Extent::of(layout.buckets));
        self.clock.set_tick(0);
        self.host_flows.store(0);
        self.beat.store(0);
        self.kept.iter().for_each(|word| word.store(0));
        self.keys.draw(secret);
        self.counts.clear();
        self.retired.clear();
        release();
        self.magic.store(Self::MAGIC);
    }

    #[cfg(test)]
    pub(crate) fn damage_extent(&self, word: u64) {
        self.extent.store(word);
    }

    pub(crate) fn unformat(&self) {
        self.magic.store(0);
        release();
    }
}

const SIZES: [u32; 3] =
    [size_of::<Header>() as u32, size_of::<Record>() as u32, size_of::<Bucket>() as u32];

#[cfg(any(feature = "std", test))]
impl Counts {
    fn clear(&self) {
        let Self {
            sessions,
            most_sessions,
            refused_no_slot,
            refused_index_full,
            refused_taken,
            inserted,
            removed,
            moved_entries,
        } = self;
        for word in [
            sessions,
            most_sessions,
            refused_no_slot,
            refused_index_full,
            refused_taken,
            inserted,
            removed,
            moved_entries,
        ] {
            word.store(0);
        }
    }
}

#[cfg(any(feature = "std", test))]
impl Retired {
    fn clear(&self) {
        let Self { sum, next, folding } = self;
        sum.iter().chain(next).for_each(|word| word.store(0));
        folding.store(0);
    }
}

/// How many records and buckets a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Records; an even number.
    pub slots: u32,
    /// Buckets; an even number.
    pub buckets: u32,
}

impl Layout {
    /// What a gateway has if nobody says otherwise.
    pub const DEFAULT_SESSIONS: u32 = 1 << 20;

    /// The most sessions a table can be made for.
    pub const MAX_SESSIONS: u32 = 1 << 26;

    /// The layout for this many IPv4 sessions, or half as many with IPv6. The index is at most
    /// three quarters full when every slot is taken.
    #[must_use]
    pub const fn for_sessions(sessions: u32) -> Self {
        let sessions = if sessions > Self::MAX_SESSIONS { Self::MAX_SESSIONS } else { sessions };
        let slots = if sessions < 2 { 2 } else { (sessions + 1) & !1 };
        // Two entries for each session, eight in a bucket, three quarters of them in use.
        let needed = (2 * slots).div_ceil(6);
        let whole = needed.next_power_of_two();
        // A small index is a power of two and begins with one block. A larger one need not double: in steps
        // of a sixteenth at most an eighth is more than needed, and it begins with fifteen blocks at most.
        let small = needed <= 16 * BLOCK;
        let buckets = if small { whole } else { needed.next_multiple_of(whole / 16) };
        Self { slots, buckets: if buckets < 2 { 2 } else { buckets } }
    }

    /// Whether a table can have this layout.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.slots >= 2
            && self.slots.is_multiple_of(2)
            && self.slots <= Self::MAX_SESSIONS
            && self.buckets >= 2
            && self.buckets.is_multiple_of(2)
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::for_sessions(Self::DEFAULT_SESSIONS)
    }
}

/// The table is not one that this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// There is something else, or nothing.
    #[error("not a flow table (magic {magic:#018x})")]
    Foreign {
        /// What stands where the magic should be.
        magic: u64,
    },
    /// Another version of the program made it.
    #[error("flow table of layout version {found}, this program knows version {known}")]
    Version {
        /// The table's version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The parts have other sizes.
    #[error("flow table with parts of {found:?} bytes, this program knows {known:?}")]
    Sizes {
        /// Sizes of header, record and bucket in the table.
        found: [u32; 3],
        /// Ours.
        known: [u32; 3],
    },
    /// The table is smaller or larger than its memory.
    #[error("flow table of {found:?} in memory for {expected:?}")]
    Layout {
        /// What the header says.
        found: Layout,
        /// What the memory has room for.
        expected: Layout,
    },
}

/// What happened in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// How many records there is room for.
    pub slots: u32,
    /// Sessions in the table.
    pub sessions: u64,
    /// The most that there ever were.
    pub most_sessions: u64,
    /// Sessions refused because every slot was occupied or resting.
    pub refused_no_slot: u64,
    /// Sessions refused because both buckets of a tuple were full.
    pub refused_index_full: u64,
    /// Sessions refused because another session has one of their tuples.
    pub refused_taken: u64,
    /// Sessions ever created.
    pub inserted: u64,
    /// Sessions ever removed.
    pub removed: u64,
    /// Index entries that made room for others.
    pub moved_entries: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_sessions_take_22_bytes_of_index_each() {
        let layout = Layout::default();
        assert_eq!(layout.slots, 1 << 20);
        assert_eq!(layout.buckets as usize * size_of::<Bucket>(), 22 << 20);
    }

    #[test]
    fn no_layout_exceeds_a_load_of_three_quarters() {
        for sessions in [0, 1, 2, 3, 5, 100, 4095, 4096, 4097, 1_000_000, u32::MAX] {
            let layout = Layout::for_sessions(sessions);
            assert!(layout.is_valid(), "{layout:?}");
            let entries = u64::from(layout.buckets) * Bucket::ENTRIES as u64;
            assert!(4 * 2 * u64::from(layout.slots) <= 3 * entries, "{layout:?}");
        }
    }

    #[test]
    fn an_index_begins_with_fifteen_blocks_at_most() {
        assert_eq!(Extent::of(Layout::default().buckets).base(), 11 * BLOCK);
        let mut most = 0;
        for sessions in (12_000..2_000_000).step_by(999) {
            let layout = Layout::for_sessions(sessions);
            let base = Extent::of(layout.buckets).base();
            assert!(base.is_multiple_of(BLOCK) && layout.buckets.is_multiple_of(base));
            let needed = (2 * layout.slots).div_ceil(6);
            assert!(layout.buckets == 16 * BLOCK || layout.buckets - needed <= needed / 8);
            most = most.max(base);
        }
        assert_eq!(most, 15 * BLOCK);
    }

    #[test]
    fn only_our_own_header_passes() {
        let layout = Layout::for_sessions(64);
        let header = Header::default();
        assert_eq!(header.check(layout), Err(HeaderError::Foreign { magic: 0 }));

        header.format(layout, Secret::new(1, 2));
        assert_eq!(header.check(layout), Ok(()));

        let other = Layout::for_sessions(128);
        let wrong = Err(HeaderError::Layout { found: layout, expected: other });
        assert_eq!(header.check(other), wrong);
        header.record_size.store(256);
        assert!(matches!(header.check(layout), Err(HeaderError::Sizes { .. })));
        for found in [0, 3, 5] {
            header.version.store(found);
            assert_eq!(header.check(layout), Err(HeaderError::Version { found, known: 4 }));
        }
        header.unformat();
        assert!(!header.is_formatted());
    }
}
