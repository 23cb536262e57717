//! Adoption: a new owner takes over the table of one that stopped, perhaps in the middle of a word.
//!
//! The eBPF programs go on using the table meanwhile, so nothing is emptied and built again; what is
//! right stays where it is.
//!
//! 1. *Records.* Whatever has an odd sequence number was being changed. If its occupied bit is set
//!    its tuples are whole, so it is kept and its number made even; else it is dropped, as nobody
//!    was told of it yet, or it was being removed. A record that we would not have written (unknown
//!    bits, mixed families, deltas that are not those of its tuples) is dropped.
//!    A stamp that lies ahead would let its session live until then, so it becomes now.
//! 2. *Entries.* An entry stays if it leads to a kept record whose tuple belongs in its bucket, and
//!    is the first to do so. Any other is erased: leftovers of a removal or of a move.
//! 3. *Missing entries* are added. Where two records have the same tuple, the one that is found
//!    stays; it is the one that packets follow.

use core::cell::Cell;

use crate::bits::Bits;
use crate::bucket::{Bucket, Entry, Slot};
use crate::direction::{Direction, PerDirection};
use crate::entries::Own;
use crate::extent::Extent;
use crate::header::HeaderError;
use crate::key::AnyKey;
use crate::memory::Memory;
use crate::session::Session;
use crate::slots::{REST_MS, Slots, milliseconds};
use crate::table::Writer;
use crate::totals::Tally;

/// What adoption found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Sessions that go on.
    pub kept: usize,
    /// Of these: were being changed, and have been settled.
    pub settled: usize,
    /// Of these: lacked an index entry, and have been given it.
    pub reindexed: usize,
    /// Of these: had begun, or been seen, later than now, and would not have ended.
    pub restamped: usize,
    /// Records dropped because they were half-made or half-removed.
    pub half_made: usize,
    /// Records dropped because nothing that we write looks like that.
    pub damaged: usize,
    /// Records dropped because another has one of their tuples.
    pub duplicate: usize,
    /// Records dropped because the index had no room for their missing entry.
    pub no_room: usize,
    /// Index entries erased because they led nowhere.
    pub stale_entries: usize,
}

impl Adoption {
    /// Whether the table was exactly as a living owner leaves it.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let mended = self.settled + self.reindexed + self.restamped;
        mended == 0 && self.discarded() == 0 && self.stale_entries == 0
    }

    /// How many records were dropped.
    #[must_use]
    pub const fn discarded(&self) -> usize {
        self.half_made + self.damaged + self.duplicate + self.no_room
    }
}

impl Writer {
    /// Takes over a table, and mends it.
    ///
    /// # Errors
    ///
    /// If the memory holds no table that this program understands. Nothing is changed then.
    pub fn adopt(memory: Memory, now_ns: u64) -> Result<(Self, Adoption), HeaderError> {
        let layout = memory.layout();
        let header = memory.header();
        header.check(layout)?;
        let found = header.extent();
        let extent = if found.is_of(layout.buckets) { found } else { Extent::of(layout.buckets) };
        header.set_extent(extent);
        let own = Own::new(header, extent);
        let slots = Slots::new(layout.slots);
        let occupied = Bits::new(layout.slots as usize);
        let tally = Tally::adopt(&memory);
        let absent = Cell::new(None);
        let mut writer = Self { memory, slots, occupied, tally, absent, own };
        let mut adoption = Adoption::default();

        writer.adopt_records(now_ns, &mut adoption);
        // To where there is room for all of them.
        writer.grow();
        let found = writer.adopt_entries(&mut adoption);
        writer.complete_entries(now_ns, &found, &mut adoption);

        adoption.kept = writer.len();
        writer.count();
        Ok((writer, adoption))
    }

    fn adopt_records(&mut self, now_ns: u64, adoption: &mut Adoption) {
        let now_ms = milliseconds(now_ns);
        let latest_ns = now_ns.saturating_add(AHEAD_NS);
        let mut vacant = Vec::new();
        let mut number = 0;
        while number < self.layout().slots {
            let slot = Slot::new(number);
            number += 1;
            if self.adopt_record(slot, now_ms, adoption) {
                self.occupied.insert(slot.index());
                if self.record(slot).restamp(now_ns, latest_ns) {
                    adoption.restamped += 1;
                }
                if self.record(slot).is_wide() {
                    number += 1;
                }
            } else {
                vacant.push(slot);
            }
        }
        self.adopt_vacant(vacant, now_ms);
    }

    /// Judges one record; whether it is occupied. If not it is vacant and settled afterwards.
    fn adopt_record(&self, slot: Slot, now_ms: u32, adoption: &mut Adoption) -> bool {
        let record = self.record(slot);
        if record.is_continuation() {
            // Its other half is not there, or it would have been skipped.
            record.vacate_continuation(0, now_ms);
            return false;
        }
        let changing = record.begin_read().is_none();
        if !record.is_occupied() {
            if changing {
                adoption.half_made += 1;
                record.vacate(None, now_ms);
            }
            return false;
        }
        let even = slot.index().is_multiple_of(2);
        let line = record.load(self.memory.continuation(slot));
        if line.decode_sound().is_none() || line.is_wide() && !even {
            adoption.damaged += 1;
            record.vacate(None, now_ms);
            return false;
        }
        if changing {
            adoption.settled += 1;
            record.settle();
        }
        true
    }

    /// Lets those rest that were freed lately, in the order in which they were.
    fn adopt_vacant(&mut self, vacant: Vec<Slot>, now_ms: u32) {
        let mut resting = Vec::new();
        for slot in vacant {
            match self.record(slot).freed_ms().map(|freed_ms| now_ms.wrapping_sub(freed_ms)) {
                Some(age_ms) if age_ms <= REST_MS => resting.push((age_ms, slot)),
                Some(_) | None => self.slots.make_ready(slot),
            }
        }
        resting.sort_by_key(|(age_ms, slot)| (core::cmp::Reverse(*age_ms), *slot));
        for (age_ms, slot) in resting {
            self.slots.rest(slot, now_ms.wrapping_sub(age_ms));
        }
    }

    /// Erases what leads nowhere; gives the slots whose entries are there, for each direction.
    fn adopt_entries(&self, adoption: &mut Adoption) -> PerDirection<Bits> {
        let slots = self.layout().slots as usize;
        let mut found = PerDirection::new(Bits::new(slots), Bits::new(slots));
        for (number, bucket) in (0_u32..).zip(self.memory.buckets()) {
            for place in 0..Bucket::ENTRIES {
                let entry = bucket.entry(place);
                if entry.is_vacant() {
                    continue;
                }
                let first = self.belongs(entry, number)
                    && found[entry.direction()].insert(entry.slot().index());
                if !first {
                    adoption.stale_entries += 1;
                    bucket.set(place, Entry::VACANT);
                }
            }
        }
        found
    }

    /// Whether an entry in this bucket leads to a session that it belongs to.
    fn belongs(&self, entry: Entry, bucket: u32) -> bool {
        let slot = entry.slot();
        let place = self
            .session(slot)
            .and_then(|session| AnyKey::new(session.arriving(entry.direction())))
            .map(|key| self.place(&key));
        place.is_some_and(|place| {
            place.fingerprint == entry.fingerprint()
                && (place.first == bucket || place.second() == bucket)
        })
    }

    fn complete_entries(
        &mut self,
        now_ns: u64,
        found: &PerDirection<Bits>,
        adoption: &mut Adoption,
    ) {
        let sessions: Vec<Slot> = self.slots().collect();
        for slot in sessions {
            let Some(session) = self.session(slot) else { continue };
            if self.is_shadowed(slot, &session) {
                adoption.duplicate += 1;
                self.remove(now_ns, slot);
                continue;
            }
            let missing = Direction::ALL
                .map(|direction| (direction, found[direction].contains(slot.index())));
            if missing.iter().all(|(_, present)| *present) {
                continue;
            }
            let complete = missing
                .into_iter()
                .filter(|(_, present)| !present)
                .all(|(direction, _)| self.add_entry(slot, direction, &session));
            if complete {
                adoption.reindexed += 1;
            } else {
                adoption.no_room += 1;
                self.remove(now_ns, slot);
            }
        }
    }

    /// Whether packets with one of the session's tuples would be taken for another session's.
    fn is_shadowed(&self, slot: Slot, session: &Session) -> bool {
        Direction::ALL.into_iter().any(|direction| {
            self.lookup(session.arriving(direction)).is_some_and(|found| found != (slot, direction))
        })
    }

    fn add_entry(&self, slot: Slot, direction: Direction, session: &Session) -> bool {
        let Some(key) = AnyKey::new(session.arriving(direction)) else { return false };
        let place = self.place(&key);
        let Some(spot) = self.spot(place, None) else { return false };
        self.enter_one(slot, direction, place, spot);
        true
    }
}

/// How far ahead of the adopter's clock a stamp may lie: the programs go on stamping meanwhile.
const AHEAD_NS: u64 = 60_000_000_000;
