//! The keyed hash of the index: Multilinear-HM, mixed.
//!
//! # The adversary
//!
//! A remote host chooses the addresses and ports that it sends from, an inside host its own and those it
//! sends to. With a hash that they can compute they would fill chosen buckets until the owners of other
//! tuples are refused. So the hash has keys, made of a secret that is drawn when the table is formatted.
//!
//! ```text
//!   sum = k + (k + m)(k + m) + (k + m)(k + m) + …        m: words of 32 bits; k, sum: 64 bits
//! ```
//!
//! For whoever does not know the keys, the upper halves of the sums of any two tuples of one family are
//! uniform and independent of each other (strongly universal: Lemire and Kaser, *Strongly universal
//! string hashing is fast*, The Computer Journal 57(11), 2014). So he finds no two with the same sum but
//! by chance, one in 2³². Sums say too much all the same: ports in a row have sums in a row, which for
//! one secret in a hundred lie so close together that a table is full too early. So they are mixed, by
//! steps that keep different sums different.
//!
//! That is said of tuples that are chosen without having seen any hash, and none is ever shown: an index
//! that is too full says so in a counter, and far beyond the load that a table may have.
//!
//! # Why this one
//!
//! Each word costs half a multiplication, and no product waits for another. SipHash, which the engine's
//! own indexes have, makes a chain of rotations that eBPF has no instruction for: of what a packet cost
//! the fast path it was a tenth (8 ns of 82).

use zerocopy::{FromBytes, IntoBytes};

#[cfg(any(feature = "std", test))]
use crate::hash::Secret;
use crate::word::Word64;

/// The keys, as they lie in shared memory.
#[derive(Default, FromBytes, IntoBytes)]
#[repr(C)]
pub struct Keys([Word64; Self::COUNT]);

/// Keys do not show themselves in logs, as their [`Secret`] does not.
impl core::fmt::Debug for Keys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// The ten words of an IPv6 tuple take eleven; the others fill a cache line.
    const COUNT: usize = 16;

    /// The hash of an even number of words.
    ///
    /// Messages of another length have the first keys in common with these, and another addend. That is
    /// enough: the addend of the longer is in no sum of the shorter, so one says nothing of the other.
    #[inline(always)]
    #[must_use]
    pub fn hash<const WORDS: usize>(&self, message: [u32; WORDS]) -> u64 {
        const { assert!(WORDS.is_multiple_of(2) && WORDS < Self::COUNT) };
        let key = |number: usize| self.0[number].load();
        let mut sum = key(WORDS);
        let mut at = 0;
        while at < WORDS {
            let one = key(at).wrapping_add(u64::from(message[at]));
            let other = key(at + 1).wrapping_add(u64::from(message[at + 1]));
            sum = sum.wrapping_add(one.wrapping_mul(other));
            at += 2;
        }
        (sum ^ sum >> 32).wrapping_mul(ODD)
    }

    /// The same keys, in memory of one's own.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn copy(&self) -> Self {
        Self(core::array::from_fn(|number| Word64::new(self.0[number].load())))
    }

    /// Draws them.
    #[cfg(any(feature = "std", test))]
    pub(crate) fn draw(&self, secret: Secret) {
        for (number, key) in (0_u64..).zip(&self.0) {
            key.store(secret.hash([number]));
        }
    }
}

/// The golden ratio in 64 bits: what it multiplies is spread over the upper ones.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Entry;
    use crate::extent::Extent;

    /// Which of so many homes a hash chooses.
    fn home_of(homes: u32, hash: u64) -> u32 {
        Extent::new(homes, 0).home(hash)
    }

    fn keys(secret: u64) -> Keys {
        let keys = Keys::default();
        keys.draw(Secret::new(secret, 77));
        keys
    }

    #[test]
    fn is_the_formula() {
        let keys = Keys::default();
        for (number, key) in (0..).zip(&keys.0) {
            key.store(number << 32 | 5);
        }
        let k = |number: u64| u128::from(number << 32 | 5);
        let sum = k(4) + (k(0) + 9) * (k(1) + 8) + (k(2) + 7) * (k(3) + 6);
        let sum = sum as u64;
        assert_eq!(keys.hash([9, 8, 7, 6]), (sum ^ sum >> 32).wrapping_mul(ODD));
    }

    #[test]
    fn every_bit_of_a_tuple_counts_in_its_home_and_in_its_fingerprint() {
        let keys = keys(1);
        // So many homes that no bit of the hash that chooses among them is lost.
        let place = |message| {
            let hash = keys.hash::<10>(message);
            (home_of(u32::MAX, hash), Entry::mark(hash))
        };
        let (home, fingerprint) = place([7; 10]);
        for bit in 0..320 {
            let mut message = [7; 10];
            message[bit / 32] ^= 1 << (bit % 32);
            let changed = place(message);
            assert!(changed.0 != home && changed.1 != fingerprint, "bit {bit}");
        }
    }

    /// Of a thousand keys, a pair has one of 64 homes in common as often as chance has it, and as often
    /// the six bits of its fingerprints that choose the bucket, or the highest six.
    #[test]
    fn two_tuples_collide_as_often_as_any_others() {
        let all: Vec<Keys> = (0..1000).map(keys).collect();
        for (a, b) in [
            ([1, 2, 3, 17], [1, 2, 4, 17]),
            ([1, 2, 3, 17], [1, 2, 3, 6]),
            ([1, 2, 3, 17], [2, 1, 3, 17]),
            ([0, 0, 0, 0], [0, 0, 0x0100, 0]),
            ([5, 5, 0x8000_0000, 1], [5, 5, 0, 1]),
        ] {
            let highest = Entry::mark(u64::MAX).ilog2() - 5;
            let choices: [&dyn Fn(u64) -> u64; 3] =
                [&|hash| home_of(64, hash).into(), &|hash| Entry::mark(hash) % 64, &|hash| {
                    Entry::mark(hash) >> highest
                }];
            for (number, choice) in choices.into_iter().enumerate() {
                let place = |keys: &Keys, message| choice(keys.hash::<4>(message));
                let together = all.iter().filter(|keys| place(keys, a) == place(keys, b)).count();
                // 15.6 are expected, with a deviation of 3.9.
                assert!(together < 40, "{together} of {a:?} and {b:?} by {number}");
            }
        }
    }

    #[test]
    fn a_short_message_says_nothing_of_a_longer_one_that_begins_with_it() {
        let all = (0..1000).map(keys);
        let together = all.filter(|keys| {
            let (short, long) =
                (keys.hash([1, 2, 3, 17]), keys.hash([1, 2, 3, 17, 0, 0, 0, 0, 0, 0]));
            home_of(64, short) == home_of(64, long)
        });
        assert!((1..40).contains(&together.count()));
    }

    #[test]
    fn another_secret_is_another_hash() {
        assert_ne!(keys(1).hash([1, 2, 3, 4]), keys(2).hash([1, 2, 3, 4]));
    }
}
