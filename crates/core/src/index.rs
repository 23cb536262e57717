//! An open-addressed index of slots: four bytes an entry, keys in the records themselves.
//!
//! The index knows neither keys nor values, only hashes and slots; whoever asks compares the record.
//! Entries may have equal hashes. A record lies anywhere in memory and to look at it costs more than
//! all else, so an entry keeps as much of the hash as the number of its slot leaves room for: eleven
//! bits with a million slots, and of two thousand strangers one is looked at.
//!
//! ```text
//!   hash ──► chunk: one cache line   │ tag, slot │ 15 of them ……… │ beyond │
//!        └─► tag                                                      ▼
//!                                     further entries are in the next chunk
//! ```
//!
//! An entry that finds its chunk full goes into the next, and every chunk that it went past counts
//! it. So a search ends at the first chunk that nothing went past, which is nearly always the first,
//! and removal moves nothing: there are no tombstones, and a table that is full of churn is as
//! quick as a new one.

use masq_flow::{Slot, anticipate};

/// Slots by hash.
#[derive(Debug)]
pub(crate) struct Index {
    chunks: Vec<Chunk>,
    /// How many bits of an entry are the slot's.
    slot_bits: u32,
    len: usize,
}

/// A cache line of entries.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Chunk {
    /// Slot plus one, and above it the tag; 0 is vacant.
    entries: [u32; ENTRIES],
    /// Entries that went past this chunk, because it was full.
    beyond: u32,
}

const ENTRIES: usize = 15;

const _: () = assert!(size_of::<Chunk>() == 64);

impl Chunk {
    const EMPTY: Self = Self { entries: [VACANT; ENTRIES], beyond: 0 };
}

const VACANT: u32 = 0;

impl Index {
    /// An empty index of at most so many entries, which are slots below a bound.
    pub(crate) fn new(entries: usize, slots: u32) -> Self {
        // Three quarters full at most.
        let chunks = (entries * 4).div_ceil(ENTRIES * 3).max(1);
        let slot_bits = u32::BITS - slots.leading_zeros();
        Self { chunks: vec![Chunk::EMPTY; chunks], slot_bits, len: 0 }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The memory that is taken, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.chunks.capacity() * size_of::<Chunk>()
    }

    /// Asks memory for what finding or adding a slot with a hash needs.
    pub(crate) fn anticipate(&self, hash: u64) {
        anticipate(&self.chunks[self.home(hash)]);
    }

    /// Finds a slot with a hash for which `matches` holds.
    pub(crate) fn find(&self, hash: u64, mut matches: impl FnMut(Slot) -> bool) -> Option<Slot> {
        let tag = self.tag(hash);
        let mut at = self.home(hash);
        for _ in 0..self.chunks.len() {
            let chunk = &self.chunks[at];
            for entry in chunk.entries {
                if entry >> self.slot_bits == tag
                    && let Some(slot) = self.slot(entry)
                    && matches(slot)
                {
                    return Some(slot);
                }
            }
            if chunk.beyond == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Adds a slot. There must be fewer entries than the index was made for.
    pub(crate) fn insert(&mut self, hash: u64, slot: Slot) {
        let entry = self.entry(hash, slot);
        let mut at = self.home(hash);
        for _ in 0..self.chunks.len() {
            let chunk = &mut self.chunks[at];
            if let Some(place) = chunk.entries.iter_mut().find(|place| **place == VACANT) {
                *place = entry;
                self.len += 1;
                return;
            }
            chunk.beyond += 1;
            at = self.after(at);
        }
        debug_assert!(false, "an index is made for as many entries as there can be");
    }

    /// Puts another slot in the place of one with the same hash; whether that was there.
    pub(crate) fn replace(&mut self, hash: u64, old: Slot, new: Slot) -> bool {
        let Some((at, place)) = self.position(hash, old) else { return false };
        self.chunks[at].entries[place] = self.entry(hash, new);
        true
    }

    /// Removes a slot; whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, slot: Slot) -> bool {
        let Some((found, place)) = self.position(hash, slot) else { return false };
        self.chunks[found].entries[place] = VACANT;
        self.len -= 1;
        let mut at = self.home(hash);
        while at != found {
            self.chunks[at].beyond -= 1;
            at = self.after(at);
        }
        true
    }

    fn position(&self, hash: u64, slot: Slot) -> Option<(usize, usize)> {
        let entry = self.entry(hash, slot);
        let mut at = self.home(hash);
        for _ in 0..self.chunks.len() {
            let chunk = &self.chunks[at];
            if let Some(place) = chunk.entries.iter().position(|other| *other == entry) {
                return Some((at, place));
            }
            if chunk.beyond == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    const fn entry(&self, hash: u64, slot: Slot) -> u32 {
        self.tag(hash) << self.slot_bits | (slot.index() + 1)
    }

    fn slot(&self, entry: u32) -> Option<Slot> {
        (entry & ((1 << self.slot_bits) - 1)).checked_sub(1).map(Slot::new)
    }

    /// What an entry keeps of its hash; the bits that choose the chunk are others.
    const fn tag(&self, hash: u64) -> u32 {
        hash as u32 >> self.slot_bits
    }

    /// Spreads a hash over the chunks, whose number need not be a power of two.
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.chunks.len() as u64) >> 32) as usize
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 == self.chunks.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few different hashes, so that chunks overflow, and that of the last into the first.
        #[test]
        fn it_finds_what_a_map_finds(
            steps in prop::collection::vec((0_u32..64, 0_u64..8, prop::bool::ANY), 1..300),
        ) {
            let mut index = Index::new(64, 64);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let spread = |hash: u64| hash << 61 | 0x1fff_ffff_0000_0000;
            for (slot, hash, add) in steps {
                if add && !model.contains_key(&slot) {
                    index.insert(spread(hash), Slot::new(slot));
                    model.insert(slot, hash);
                } else if let Some(hash) = model.remove(&slot) {
                    prop_assert!(index.remove(spread(hash), Slot::new(slot)));
                }
                prop_assert_eq!(index.len(), model.len());
                for (slot, hash) in &model {
                    let found = index.find(spread(*hash), |found| found == Slot::new(*slot));
                    prop_assert!(found.is_some());
                }
            }
            for (slot, hash) in model {
                prop_assert!(index.remove(spread(hash), Slot::new(slot)));
            }
            prop_assert!(index.chunks.iter().all(|chunk| chunk.beyond == 0));
        }
    }

    #[test]
    fn a_slot_is_replaced_in_its_place() {
        let mut index = Index::new(8, 8);
        index.insert(7 << 32, Slot::new(3));
        assert!(index.replace(7 << 32, Slot::new(3), Slot::new(5)));
        assert!(!index.replace(7 << 32, Slot::new(3), Slot::new(5)));
        assert_eq!(index.find(7 << 32, |_| true), Some(Slot::new(5)));
    }

    #[test]
    fn strangers_in_the_same_chunk_are_told_apart_by_their_tags() {
        let mut index = Index::new(1 << 21, 1 << 20);
        (0..10).for_each(|n| index.insert(n << 21, Slot::new(n as u32)));
        let mut looks = 0;
        let found = index.find(7 << 21, |_| {
            looks += 1;
            true
        });
        assert_eq!((found, looks), (Some(Slot::new(7)), 1));
    }

    #[test]
    fn the_slot_of_the_largest_table_fits_an_entry() {
        let most = masq_flow::Layout::MAX_SESSIONS;
        let mut index = Index::new(4, most);
        index.insert(u64::MAX, Slot::new(most - 1));
        assert_eq!(index.find(u64::MAX, |_| true), Some(Slot::new(most - 1)));
    }
}
