//! An open-addressed index of slots: four bytes an entry, keys in the records themselves.
//!
//! The index knows neither keys nor values, only hashes and slots; whoever asks compares the record.
//! Entries may have equal hashes. Probing is linear, and removal moves entries back, so there are no
//! tombstones and a table that is full of churn is as quick as a new one.
//!
//! The memory is reserved for as many entries as there can be slots, at a load of three quarters;
//! pages that were never touched cost nothing.

use masq_flow::Slot;

/// Slots by hash.
#[derive(Debug)]
pub(crate) struct Index {
    /// Slot plus one; 0 is empty.
    entries: Vec<u32>,
    len: usize,
}

impl Index {
    /// An empty index for at most so many slots.
    pub(crate) fn new(slots: u32) -> Self {
        let length = slots as usize / 3 * 4 + 16;
        Self { entries: vec![0; length], len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        self.entries.fill(0);
        self.len = 0;
    }

    /// Finds a slot with a hash for which `matches` holds.
    pub(crate) fn find(&self, hash: u64, mut matches: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let mut at = self.home(hash);
        loop {
            let slot = Slot::new(self.entries[at].checked_sub(1)?);
            if matches(slot) {
                return Some(slot);
            }
            at = self.after(at);
        }
    }

    /// Adds a slot. There must be fewer entries than the index was made for.
    pub(crate) fn insert(&mut self, hash: u64, slot: Slot) {
        let mut at = self.home(hash);
        while self.entries[at] != 0 {
            at = self.after(at);
        }
        self.entries[at] = slot.index() + 1;
        self.len += 1;
    }

    /// Puts another slot in the place of one with the same hash; whether that was there.
    pub(crate) fn replace(&mut self, hash: u64, old: Slot, new: Slot) -> bool {
        let Some(at) = self.position(hash, old) else { return false };
        self.entries[at] = new.index() + 1;
        true
    }

    /// Removes a slot; whether it was there. `hash_of` gives the hash of any other slot.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        slot: Slot,
        mut hash_of: impl FnMut(Slot) -> u64,
    ) -> bool {
        let Some(mut gap) = self.position(hash, slot) else { return false };
        self.len -= 1;
        let length = self.entries.len();
        let mut at = gap;
        loop {
            at = self.after(at);
            let Some(other) = self.entries[at].checked_sub(1) else { break };
            let home = self.home(hash_of(Slot::new(other)));
            // It may move into the gap if its probe passes there: home, gap, place in a row.
            let distance = |from: usize, to: usize| (to + length - from) % length;
            if distance(home, at) >= distance(gap, at) {
                self.entries[gap] = self.entries[at];
                gap = at;
            }
        }
        self.entries[gap] = 0;
        true
    }

    fn position(&self, hash: u64, slot: Slot) -> Option<usize> {
        let mut at = self.home(hash);
        while self.entries[at] != 0 {
            if self.entries[at] == slot.index() + 1 {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    /// Spreads a hash over the length, which need not be a power of two.
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.entries.len() as u64) >> 32) as usize
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 == self.entries.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few different hashes, so that probes are long and wrap around.
        #[test]
        fn it_finds_what_a_map_finds(
            steps in prop::collection::vec((0_u32..64, 0_u64..8, prop::bool::ANY), 1..300),
        ) {
            let mut index = Index::new(64);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let spread = |hash: u64| hash << 61 | 0x1fff_ffff_0000_0000;
            for (slot, hash, add) in steps {
                if add && !model.contains_key(&slot) {
                    index.insert(spread(hash), Slot::new(slot));
                    model.insert(slot, hash);
                } else if let Some(hash) = model.remove(&slot) {
                    let hash_of = |slot: Slot| spread(model[&slot.index()]);
                    prop_assert!(index.remove(spread(hash), Slot::new(slot), hash_of));
                }
                prop_assert_eq!(index.len(), model.len());
                for (slot, hash) in &model {
                    let found = index.find(spread(*hash), |found| found == Slot::new(*slot));
                    prop_assert!(found.is_some());
                }
            }
        }
    }

    #[test]
    fn a_slot_is_replaced_in_its_place() {
        let mut index = Index::new(8);
        index.insert(7 << 32, Slot::new(3));
        assert!(index.replace(7 << 32, Slot::new(3), Slot::new(5)));
        assert!(!index.replace(7 << 32, Slot::new(3), Slot::new(5)));
        assert_eq!(index.find(7 << 32, |_| true), Some(Slot::new(5)));
    }
}
