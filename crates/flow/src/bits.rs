//! A set of small numbers that knows its least member at once.
//!
//! Each level says of every 64 bits of the level below whether one is set, so finding, adding and
//! taking out touch one word per level: four for a million numbers.

/// A set of numbers below a fixed bound.
#[derive(Clone, Debug)]
pub(crate) struct Bits {
    /// The bits themselves first, one word last.
    levels: Vec<Vec<u64>>,
    count: usize,
}

impl Bits {
    /// The empty set of numbers below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        let mut levels = Vec::new();
        let mut words = bound;
        loop {
            words = words.div_ceil(64).max(1);
            levels.push(vec![0; words]);
            if words == 1 {
                return Self { levels, count: 0 };
            }
        }
    }

    /// The memory that is taken, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.levels.iter().map(|level| level.capacity() * size_of::<u64>()).sum()
    }

    /// How many numbers are in the set.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Whether `number` is in the set.
    pub(crate) fn contains(&self, number: u32) -> bool {
        let number = number as usize;
        self.levels[0][number / 64] & 1 << (number % 64) != 0
    }

    /// Adds a number; whether it was missing.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        if self.contains(number) {
            return false;
        }
        let mut number = number as usize;
        for level in &mut self.levels {
            level[number / 64] |= 1 << (number % 64);
            number /= 64;
        }
        self.count += 1;
        true
    }

    /// Takes a number out; whether it was there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        if !self.contains(number) {
            return false;
        }
        let mut number = number as usize;
        for level in &mut self.levels {
            level[number / 64] &= !(1 << (number % 64));
            if level[number / 64] != 0 {
                break;
            }
            number /= 64;
        }
        self.count -= 1;
        true
    }

    /// The least number of the set that is not less than `from`.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        // Up to the first level that has something at or after the place, then down to the least.
        let mut place = from as usize;
        for (height, level) in self.levels.iter().enumerate() {
            let rest = level.get(place / 64)? >> (place % 64);
            if rest != 0 {
                place += rest.trailing_zeros() as usize;
                for below in self.levels[..height].iter().rev() {
                    place = place * 64 + below[place].trailing_zeros() as usize;
                }
                return u32::try_from(place).ok();
            }
            place = place / 64 + 1;
        }
        None
    }

    /// The numbers of the set, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.next(0), |last| self.next(last + 1))
    }

    /// The least number of the set.
    pub(crate) fn first(&self) -> Option<u32> {
        self.next(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(
            bound in 1_u32..10_000,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..300),
        ) {
            let mut bits = Bits::new(bound as usize);
            let mut model = BTreeSet::new();
            for (add, index) in steps {
                let number = index.index(bound as usize) as u32;
                if add {
                    prop_assert_eq!(bits.insert(number), model.insert(number));
                } else {
                    prop_assert_eq!(bits.remove(number), model.remove(&number));
                }
                prop_assert_eq!(bits.first(), model.first().copied());
                prop_assert_eq!(bits.len(), model.len());
                prop_assert_eq!(bits.contains(number), model.contains(&number));
                prop_assert_eq!(bits.next(number), model.range(number..).next().copied());
            }
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
