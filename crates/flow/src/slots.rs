//! Which slots are free.
//!
//! A freed slot rests before it is used again, so that an eBPF program that found the old record
//! and is still about to note its activity cannot note it on a stranger. Rested slots are *ready*.
//! A wide record needs an even slot and the odd one after it, so pairs that are ready as a whole are
//! kept apart from single slots, and single slots are used up first. The lowest is used first: the
//! records in use stay close together, and the same requests give the same slots.
//!
//! Storage: a bit and a half per slot, and eight bytes for each resting one.

use std::collections::VecDeque;

use crate::bits::Bits;
use crate::bucket::Slot;

/// How long a freed slot rests.
pub(crate) const REST_MS: u32 = 1000;

/// Milliseconds, as they are kept for freed slots. They wrap; only differences count.
pub(crate) const fn milliseconds(now_ns: u64) -> u32 {
    (now_ns / 1_000_000) as u32
}

#[derive(Debug)]
pub(crate) struct Slots {
    /// Ready slots whose neighbour is not ready.
    singles: Bits,
    /// Pairs of ready slots, by half their even number.
    pairs: Bits,
    /// Resting slots and when they were freed, in that order.
    resting: VecDeque<(Slot, u32)>,
}

impl Slots {
    /// No slot of `count` is ready.
    pub(crate) fn new(count: u32) -> Self {
        Self {
            singles: Bits::new(count as usize),
            pairs: Bits::new(count as usize / 2),
            resting: VecDeque::new(),
        }
    }

    /// Takes a slot.
    pub(crate) fn take(&mut self, now_ns: u64) -> Option<Slot> {
        self.wake(now_ns);
        if let Some(single) = self.singles.first() {
            self.singles.remove(single);
            return Some(Slot::new(single));
        }
        let pair = self.take_pair(now_ns)?;
        self.singles.insert(pair.index() + 1);
        Some(pair)
    }

    /// Takes an even slot and its neighbour.
    pub(crate) fn take_pair(&mut self, now_ns: u64) -> Option<Slot> {
        self.wake(now_ns);
        let pair = self.pairs.first()?;
        self.pairs.remove(pair);
        Some(Slot::new(2 * pair))
    }

    /// Gives back a slot that nobody has seen.
    pub(crate) fn make_ready(&mut self, slot: Slot) {
        let (slot, neighbour) = (slot.index(), slot.index() ^ 1);
        if self.singles.remove(neighbour) {
            self.pairs.insert(slot / 2);
        } else {
            self.singles.insert(slot);
        }
    }

    /// Gives back a slot that was in use.
    pub(crate) fn rest(&mut self, slot: Slot, freed_ms: u32) {
        self.resting.push_back((slot, freed_ms));
    }

    /// How many slots rest.
    pub(crate) fn resting(&self) -> usize {
        self.resting.len()
    }

    /// The memory that is taken, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let resting = self.resting.capacity() * size_of::<(Slot, u32)>();
        self.singles.memory() + self.pairs.memory() + resting
    }

    /// How many slots are ready.
    #[cfg(test)]
    pub(crate) fn ready(&self) -> usize {
        self.singles.len() + 2 * self.pairs.len()
    }

    fn wake(&mut self, now_ns: u64) {
        let now_ms = milliseconds(now_ns);
        // More than, not at least: both times lost what was below a millisecond.
        while let Some((slot, freed_ms)) = self.resting.front().copied()
            && now_ms.wrapping_sub(freed_ms) > REST_MS
        {
            self.resting.pop_front();
            self.make_ready(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_freed_slot_rests_a_second() {
        let mut slots = ready(2);
        assert_eq!(slots.take(0), Some(Slot::new(0)));
        slots.rest(Slot::new(0), milliseconds(5 * SECOND));
        assert_eq!(slots.take(5 * SECOND), Some(Slot::new(1)));
        assert_eq!(slots.take(6 * SECOND), None);
        assert_eq!(slots.take(6 * SECOND + 2_000_000), Some(Slot::new(0)));
    }

    #[test]
    fn the_millisecond_count_wraps() {
        let wrap = (1_u64 << 32) * 1_000_000;
        let mut slots = ready(2);
        slots.take_pair(0);
        slots.rest(Slot::new(0), milliseconds(wrap - 1));
        assert_eq!(slots.take(wrap + SECOND / 2), None);
        assert_eq!(slots.take(wrap + 2 * SECOND), Some(Slot::new(0)));
    }

    #[test]
    fn single_slots_are_used_up_before_pairs_are_split() {
        let mut slots = ready(6);
        assert_eq!(slots.take(0), Some(Slot::new(0)));
        assert_eq!(slots.take_pair(0), Some(Slot::new(2)));
        assert_eq!(slots.take(0), Some(Slot::new(1)));
        assert_eq!(slots.take_pair(0), Some(Slot::new(4)));
        assert_eq!((slots.take(0), slots.take_pair(0)), (None, None));
    }

    #[test]
    fn neighbours_become_a_pair_again() {
        let mut slots = ready(2);
        assert_eq!((slots.take(0), slots.take(0)), (Some(Slot::new(0)), Some(Slot::new(1))));
        slots.rest(Slot::new(1), 0);
        slots.rest(Slot::new(0), 0);
        assert_eq!(slots.resting(), 2);
        assert_eq!(slots.take_pair(2 * SECOND), Some(Slot::new(0)));
    }

    proptest! {
        /// Nothing is handed out twice, nothing is lost, nothing comes back early.
        #[test]
        fn hands_out_each_slot_once(steps in prop::collection::vec((0_u8..4, 0_u64..400), 0..400)) {
            const COUNT: u32 = 20;
            let mut slots = ready(COUNT);
            let mut used: BTreeSet<(u32, bool)> = BTreeSet::new();
            let mut freed = vec![None; COUNT as usize];
            let mut now = 10 * SECOND;
            for (step, wait) in steps {
                now += wait * 1_000_000;
                match step {
                    0 | 1 => {
                        let pair = step == 1;
                        let taken =
                            if pair { slots.take_pair(now) } else { slots.take(now) };
                        let Some(slot) = taken.map(Slot::index) else { continue };
                        prop_assert!(!pair || slot % 2 == 0);
                        for part in slot..=slot + u32::from(pair) {
                            let in_use =
                                used.iter().any(|(s, p)| part >= *s && part <= s + u32::from(*p));
                            prop_assert!(!in_use, "{part} twice");
                            let rested = freed[part as usize].is_none_or(|at| now >= at + SECOND);
                            prop_assert!(rested, "{part} early");
                        }
                        used.insert((slot, pair));
                    }
                    _ => {
                        let Some((slot, pair)) = used.pop_first() else { continue };
                        for part in slot..=slot + u32::from(pair) {
                            slots.rest(Slot::new(part), milliseconds(now));
                            freed[part as usize] = Some(now);
                        }
                    }
                }
                let held: usize = used.iter().map(|(_, pair)| 1 + usize::from(*pair)).sum();
                prop_assert_eq!(held + slots.resting() + slots.ready(), COUNT as usize);
            }
        }
    }

    fn ready(count: u32) -> Slots {
        let mut slots = Slots::new(count);
        for slot in 0..count {
            slots.make_ready(Slot::new(slot));
        }
        slots
    }
}
