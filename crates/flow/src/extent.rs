//! How far the index has grown, and where a tuple lies meanwhile (linear hashing).
//!
//! A table is made for a million sessions, and most gateways never see ten thousand. Spread over the whole
//! index those would lie a page from each other, and looking one up would cost a walk through the
//! page tables each time. So the index begins with its first buckets, the *base*, and takes one more into
//! use whenever those in use are too full: bucket by bucket, so nothing ever waits. The base are 512 buckets
//! to 7,680, of a table for a million sessions 5,632; an index of fewer than 512 is all base.
//!
//! ```text
//!   hash ──► home, one of the base        ┐
//!        └─► fingerprint: its lowest bits ┴─► bucket = home + base × as many of them as are in use
//!
//!             base     base     base       base
//!          ├────────┼────────┼────────┼────┤ · · · ┆         two bits, where that is in use; else one
//!                   ╰─ to be split next ─ ─╯
//! ```
//!
//! The bucket that is taken into use has one that it shares entries with: the one that differs by the
//! newest bit. As that bit is in the fingerprint, entries are told apart without a look at their records.
//!
//! **Limits.**
//!
//! - A reader that knew the extent as it was before a bucket was split, and looks there after what moved
//!   was taken out, misses an entry that is there. Its packet goes to the engine (`order` says what that
//!   may do). An entry is moved so no more often than the index doubles.
//! - The index never shrinks. Gateways that were busy are busy again, a day later most likely, and would
//!   grow it again. What it costs is that few sessions go on lying as far apart as many did, until a
//!   table is made anew. To shrink it, readers would have to find an entry in either of two buckets while
//!   it moves back, and room in the bucket that is merged would have to be made first.

use crate::bucket::Entry;

/// How far an index has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Buckets that it began with.
    base: u32,
    /// Buckets in use.
    in_use: u32,
    /// The bits of a fingerprint that choose among them, the highest of them only as far as it leads to
    /// one in use.
    mask: u32,
}

impl Extent {
    /// What [`in_use_and_mask`](Self::in_use_and_mask) gave.
    #[inline(always)]
    pub(crate) const fn new(base: u32, in_use_and_mask: u64) -> Self {
        Self { base, in_use: in_use_and_mask as u32, mask: (in_use_and_mask >> 32) as u32 }
    }

    /// Both in one word, for a reader must not see one of them change without the other.
    #[cfg(any(feature = "std", test))]
    pub(crate) const fn in_use_and_mask(self) -> u64 {
        (self.mask as u64) << 32 | self.in_use as u64
    }

    /// Which of the base a hash chooses.
    #[inline(always)]
    pub(crate) const fn home(self, hash: u64) -> u32 {
        // The high bits of the product spread the low bits of the hash evenly over the base; the
        // fingerprint has the others.
        (((hash & HOME) * self.base as u64) >> HOME.count_ones()) as u32
    }

    /// The bucket of a fingerprint with this home.
    #[inline(always)]
    pub(crate) const fn bucket(self, home: u32, fingerprint: u64) -> u32 {
        let bits = fingerprint as u32 & self.mask;
        let bucket = bits.wrapping_mul(self.base).wrapping_add(home);
        // Without the highest bit if that leads too far; by a sign, as no branch could be foreseen.
        let too_far = (self.in_use as i64 - 1 - bucket as i64) >> 63;
        bucket.wrapping_sub(too_far as u32 & self.half())
    }

    /// How far apart the two are that differ by the highest bit.
    #[inline(always)]
    const fn half(self) -> u32 {
        (self.mask / 2 + 1).wrapping_mul(self.base)
    }

    /// The home of whatever lies in the other bucket of a fingerprint that has this one.
    #[inline(always)]
    pub(crate) const fn other_home(self, home: u32, fingerprint: u64) -> u32 {
        let block = self.base & self.base.wrapping_neg();
        // An odd distance, so that the other is never the same; the high bits of a product, because
        // they are the mixed ones, and no more of them than a block is long.
        let spread = (fingerprint as u32).wrapping_mul(ODD) >> (u32::BITS - BLOCK.ilog2()) | 1;
        home ^ (spread & block.wrapping_sub(1))
    }
}

/// What only the owner of the table does.
#[cfg(any(feature = "std", test))]
impl Extent {
    /// The extent of an index of so many buckets that has not grown.
    pub(crate) const fn of(buckets: u32) -> Self {
        // A block is as long as the largest power of two that divides the number of buckets.
        let halvings = buckets.trailing_zeros().saturating_sub(BLOCK.trailing_zeros());
        let base = buckets >> halvings;
        Self { base, in_use: base, mask: 1 }
    }

    /// Buckets that it began with.
    pub(crate) const fn base(self) -> u32 {
        self.base
    }

    /// Buckets in use.
    pub(crate) const fn in_use(self) -> u32 {
        self.in_use
    }

    /// Whether an index of so many buckets can have grown so far.
    pub(crate) fn is_of(self, buckets: u32) -> bool {
        let Self { base, .. } = Self::of(buckets);
        self.base == base
            && (base..=buckets).contains(&self.in_use)
            && self.mask == (2 << (self.in_use / base).ilog2()) - 1
    }

    /// The other bucket of an entry that lies in `bucket`.
    pub(crate) const fn other(self, bucket: u32, fingerprint: u64) -> u32 {
        self.bucket(self.other_home(bucket % self.base, fingerprint), fingerprint)
    }

    /// With one bucket more, of so many that there are: which is split, and how far the index has grown
    /// then.
    pub(crate) fn grown(self, buckets: u32) -> Option<(u32, Self)> {
        let in_use = self.in_use.checked_add(1).filter(|in_use| *in_use <= buckets)?;
        let split = self.in_use - self.half();
        let whole_round = u64::from(in_use) == (u64::from(self.mask) + 1) * u64::from(self.base);
        let mask = if whole_round { self.mask << 1 | 1 } else { self.mask };
        Some((split, Self { in_use, mask, ..self }))
    }
}

/// Buckets of the base that make a block, if there are so many. Both homes of a tuple lie in one block, and
/// as its fingerprint chooses among the buckets of either, its two buckets are of one group of so many.
///
/// Chance fills one group more than another, and none may be full before the table is: of the 4,096 places
/// of a group 3,072 are taken then, with a deviation of 55, so it would have to be 18 times that.
pub(crate) const BLOCK: u32 = 1 << 9;

/// The bits of a hash that choose the home: those that are not in the fingerprint.
const HOME: u64 = (1 << Entry::FINGERPRINT) - 1;

// Their product with any base is a word.
const _: () = assert!(HOME.count_ones() + u32::BITS <= u64::BITS);

/// The largest prime below 2³² by the golden ratio: what it multiplies is spread most evenly over the upper
/// bits (Knuth, *The Art of Computer Programming*, volume 3, section 6.4).
const ODD: u32 = 0x9e37_79b1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Secret;

    fn hashes(count: u64) -> impl Iterator<Item = (u64, u64)> {
        let secret = Secret::new(1, 2);
        (0..count).map(move |n| secret.hash([n])).map(|hash| (hash, Entry::mark(hash)))
    }

    /// All extents that an index goes through.
    fn growth(buckets: u32) -> impl Iterator<Item = (Option<u32>, Extent)> {
        let first = (None, Extent::of(buckets));
        core::iter::successors(Some(first), move |(_, extent)| {
            extent.grown(buckets).map(|(split, grown)| (Some(split), grown))
        })
    }

    #[test]
    fn an_index_grows_from_its_base_to_all_its_buckets() {
        for (buckets, base) in [(2, 2), (6, 6), (512, 512), (1024, 512), (11 << 15, 11 << 9)] {
            assert_eq!(Extent::of(buckets).in_use(), base);
            let mut in_use = base;
            for (_, extent) in growth(buckets) {
                assert_eq!(extent.in_use(), in_use);
                assert!(extent.is_of(buckets), "{extent:?}");
                assert_eq!(Extent::new(base, extent.in_use_and_mask()), extent);
                in_use += 1;
            }
            assert_eq!(in_use, buckets + 1);
        }
    }

    #[test]
    fn an_extent_that_no_index_has_is_known() {
        let (_, extent) = growth(4096).nth(900).unwrap();
        for (base, in_use, mask) in [
            (512, 511, 1),
            (512, 4097, 15),
            (512, 1412, 1),
            (512, 1412, 7),
            (511, 1412, 3),
            (512, 0, 0),
            (0, 1412, 3),
        ] {
            assert!(!Extent { base, in_use, mask }.is_of(4096), "{in_use} {mask}");
        }
        assert!(extent.is_of(4096) && !extent.is_of(4094));
    }

    /// By growing, an entry moves from the bucket that is split to the new one, or not at all.
    #[test]
    fn only_entries_of_the_bucket_that_is_split_move_and_only_to_the_new_one() {
        for buckets in [2048, 11 << 10] {
            let mut before = Extent::of(buckets);
            for (split, extent) in growth(buckets).skip(1) {
                let new = extent.in_use() - 1;
                for (hash, fingerprint) in hashes(40) {
                    let home = before.home(hash);
                    for home in [home, before.other_home(home, fingerprint)] {
                        let (was, is) =
                            (before.bucket(home, fingerprint), extent.bucket(home, fingerprint));
                        assert!(is < extent.in_use());
                        assert!(was == is || Some(was) == split && is == new, "{was} -> {is}");
                    }
                }
                before = extent;
            }
        }
    }

    #[test]
    fn each_bucket_leads_to_the_other() {
        for buckets in [2, 4, 6, 1024, 11 << 10, 11 << 12] {
            for (_, extent) in growth(buckets).step_by(97) {
                for (hash, fingerprint) in hashes(200) {
                    let home = extent.home(hash);
                    let first = extent.bucket(home, fingerprint);
                    let second = extent.other(first, fingerprint);
                    assert_ne!(first, second);
                    assert!(first < extent.in_use() && second < extent.in_use());
                    assert_eq!(extent.other(second, fingerprint), first);
                }
            }
        }
    }

    #[test]
    fn the_buckets_are_chosen_equally_often() {
        for buckets in [11 << 4, 1024, 11 << 12] {
            let (_, all) = growth(buckets).last().unwrap();
            let each = 200_000_u64.div_ceil(u64::from(buckets)).max(100);
            let mut chosen = vec![0_u32; buckets as usize];
            for (hash, fingerprint) in hashes(each * u64::from(buckets)) {
                let first = all.bucket(all.home(hash), fingerprint);
                chosen[first as usize] += 1;
                chosen[all.other(first, fingerprint) as usize] += 1;
            }
            // Seven times the normal deviation.
            let expected = 2 * each as u32;
            let most = (49 * expected).isqrt();
            assert!(chosen.iter().all(|count| count.abs_diff(expected) < most), "{buckets}");
        }
    }
}
