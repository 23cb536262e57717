//! Packets and bytes of all the sessions that there ever were in a table.
//!
//! What a session carried is counted in its record, by the eBPF programs and the engine alike. When
//! the session ends its counters stay where they are; only when the slot is given to another session
//! are they *folded* into a sum in the header. So the total is that sum and the counters of every
//! slot, whether in use or not, and a packet that is noted a little late is counted too.
//!
//! **Exactly once.** The owner may die between adding to the sum and clearing the counters. It
//! therefore writes the new sum beside the old one first, and the slot after it; a successor that
//! finds a slot there does both again.
//!
//! **Never backwards.** A reader that passed a slot before it was folded, and read the sum after that,
//! would count twice, and less the next time. The owner therefore keeps, beside the sum for its
//! successor, one for each *region* of some slots, under a sequence number that is odd during a fold.
//! A reader takes each region whole: neither its part of the sum nor its counters ever decrease.

use std::sync::Arc;

use crate::activity::SideActivity;
use crate::bucket::Slot;
use crate::direction::{Direction, PerDirection};
use crate::header::{Header, Retired};
use crate::memory::Memory;
use crate::record::Record;
use crate::word::{Word32, Word64, acquire, release};

/// Packets and their bytes, by IP length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many packets.
    pub packets: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

impl Total {
    // A damaged table may hold any number, and must not stop whoever reads it.
    const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }
}

/// Reads the totals of a table that somebody else owns, without stopping anything.
#[derive(Clone, Debug)]
pub struct Totals {
    memory: Memory,
    tally: Arc<Tally>,
}

impl Totals {
    /// What all sessions carried since the table was made. Later is never less.
    #[must_use]
    pub fn read(&self) -> PerDirection<Total> {
        let regions = self.tally.regions_in_use().zip(self.memory.records().chunks(REGION));
        let known = add(self.tally.before, load(&self.tally.apart));
        regions.map(|(region, records)| region.read(records)).fold(known, add)
    }
}

/// The sums that only live as long as their owner, and its readers.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What the predecessors had folded.
    before: PerDirection<Total>,
    /// Packets that belonged to no session's counters.
    apart: [Word64; 4],
    regions: Box<[Region]>,
    /// Regions that were ever used; those after them hold nothing.
    used: Word32,
}

impl Tally {
    /// Goes on where the memory's last owner stopped, finishing what it had begun.
    pub(crate) fn adopt(memory: &Memory) -> Arc<Self> {
        let retired = &memory.header().retired;
        retired.settle(memory);
        let count = memory.records().len().div_ceil(REGION);
        let is_used = |record: &Record| record.sequence() != 0;
        let used = memory.records().iter().rposition(is_used).map_or(0, |slot| slot / REGION + 1);
        Arc::new(Self {
            before: load(&retired.sum),
            apart: Default::default(),
            regions: core::iter::repeat_with(Region::default).take(count).collect(),
            used: Word32::new(used as u32),
        })
    }

    /// For whoever wants to read.
    pub(crate) fn totals(self: &Arc<Self>, memory: &Memory) -> Totals {
        Totals { memory: memory.clone(), tally: Arc::clone(self) }
    }

    /// Takes the counters out of a vacant record that is about to be used.
    pub(crate) fn fold(&self, header: &Header, slot: Slot, record: &Record) {
        let number = slot.index() as usize / REGION;
        if self.used.load() <= number as u32 {
            self.used.store(number as u32 + 1);
        }
        let carried = carried(record);
        let Some(region) = self.regions.get(number) else { return };
        if carried == PerDirection::default() {
            return;
        }
        let sequence = region.sequence.load();
        region.sequence.store(sequence.wrapping_add(1));
        release();
        header.retired.fold(slot, carried, record);
        store(&region.folded, add(load(&region.folded), carried));
        release();
        region.sequence.store(sequence.wrapping_add(2));
    }

    /// Counts a packet that belongs to no session's counters.
    pub(crate) fn count_apart(&self, header: &Header, direction: Direction, bytes: u64) {
        for sum in [&self.apart, &header.retired.sum] {
            sum[direction.index()].add(1);
            sum[2 + direction.index()].add(bytes);
        }
    }

    /// The memory that is taken, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.regions.len() * size_of::<Region>()
    }

    fn regions_in_use(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().take(self.used.load() as usize)
    }
}

/// Slots that are read, and folded, as one.
#[derive(Debug, Default)]
struct Region {
    sequence: Word32,
    folded: [Word64; 4],
}

impl Region {
    /// What the slots of the region ever carried for this owner.
    fn read(&self, records: &[Record]) -> PerDirection<Total> {
        loop {
            let sequence = self.sequence.load();
            acquire();
            let sum = records.iter().map(carried).fold(load(&self.folded), add);
            acquire();
            // A freed slot rests for a second, so there are few folds in a region, and each takes some
            // nanoseconds. Only an owner that is held up in the middle of one has anybody wait.
            if sequence & 1 == 0 && self.sequence.load() == sequence {
                return sum;
            }
            std::thread::yield_now();
        }
    }
}

impl Retired {
    /// Adds the counters of a vacant record, and clears them.
    fn fold(&self, slot: Slot, carried: PerDirection<Total>, record: &Record) {
        store(&self.next, add(load(&self.sum), carried));
        release();
        self.folding.store(u64::from(slot.index()) + 1);
        release();
        self.finish(record);
    }

    /// Does what an owner had begun and did not live to end.
    fn settle(&self, memory: &Memory) {
        let slot = self.folding.load().checked_sub(1).and_then(|slot| u32::try_from(slot).ok());
        let record = slot.and_then(|slot| memory.records().get(slot as usize));
        // A record is used only after its fold has ended, so an occupied one means nothing.
        match record.filter(|record| !record.is_occupied()) {
            Some(record) => self.finish(record),
            None => self.folding.store(0),
        }
    }

    fn finish(&self, record: &Record) {
        store(&self.sum, load(&self.next));
        record.activity.clear();
        release();
        self.folding.store(0);
    }
}

/// What a record's counters say, whoever's they are.
fn carried(record: &Record) -> PerDirection<Total> {
    let activity = record.activity.load().sides;
    let total = |side: SideActivity| Total { packets: side.packets, bytes: side.bytes };
    PerDirection::new(total(activity.egress), total(activity.ingress))
}

fn load([out, into, out_bytes, in_bytes]: &[Word64; 4]) -> PerDirection<Total> {
    PerDirection::new(
        Total { packets: out.load(), bytes: out_bytes.load() },
        Total { packets: into.load(), bytes: in_bytes.load() },
    )
}

fn store([out, into, out_bytes, in_bytes]: &[Word64; 4], sum: PerDirection<Total>) {
    out.store(sum.egress.packets);
    into.store(sum.ingress.packets);
    out_bytes.store(sum.egress.bytes);
    in_bytes.store(sum.ingress.bytes);
}

fn add(one: PerDirection<Total>, other: PerDirection<Total>) -> PerDirection<Total> {
    PerDirection::new(one.egress.plus(other.egress), one.ingress.plus(other.ingress))
}

/// How many slots a region has: enough that regions cost a third of a byte for each slot, few enough
/// that one is read in a microsecond or two.
const REGION: usize = 128;
