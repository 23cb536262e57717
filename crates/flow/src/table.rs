//! The writer: the one owner of a table, which creates, changes and removes records.
//!
//! **Order of writing.** A record is published before its index entries appear, and made vacant
//! before they disappear. An entry that is moved appears in its new bucket before it disappears
//! from the old. So a reader at any instant finds a whole session or none, and whatever instant the
//! writer dies at, [adoption](Writer::adopt) finds something it can finish or drop.
//!
//! **Limits.** A session is refused when no slot is ready, and when both buckets of one of its
//! tuples are full and none of the sixteen entries there can be moved to its other bucket. Refusals
//! are counted in the header and change nothing else. At a load of three quarters, which
//! [`Layout::for_sessions`](crate::Layout::for_sessions) never exceeds, full buckets are not met.

use std::sync::Arc;

use core::cell::Cell;

use masq_wire::Tuple;

use crate::activity::{Activity, TcpMark};
use crate::anticipate::anticipate;
use crate::bits::Bits;
use crate::bucket::{Bucket, Entry, Places, Slot};
use crate::direction::{Direction, PerDirection};
use crate::hash::Secret;
use crate::header::{Layout, TableStats};
use crate::index::{Place, verify};
use crate::key::AnyKey;
use crate::line::Line;
use crate::memory::Memory;
use crate::nexthop::NextHopId;
use crate::order::Ticket;
use crate::record::Record;
use crate::session::{Flags, Session, Unencodable};
use crate::slots::{Slots, milliseconds};
use crate::totals::{Tally, Totals};

/// The owner of a table.
///
/// There must be one at a time for the same memory; two would not corrupt memory, but each other's
/// records.
#[derive(Debug)]
pub struct Writer {
    pub(crate) memory: Memory,
    pub(crate) slots: Slots,
    pub(crate) occupied: Bits,
    /// The key that was looked for last and was not there, with its place: who does not find a session
    /// makes one next. Forgotten whenever entries change.
    pub(crate) absent: Cell<Option<(AnyKey, Place)>>,
    pub(crate) tally: Arc<Tally>,
}

impl Writer {
    /// Makes an empty table, whatever was in the memory before.
    #[must_use]
    pub fn format(memory: Memory, secret: Secret) -> Self {
        let header = memory.header();
        header.unformat();
        memory.buckets().iter().for_each(Bucket::clear);
        memory.records().iter().for_each(Record::clear);
        let layout = memory.layout();
        header.format(layout, secret);
        let mut slots = Slots::new(layout.slots);
        (0..layout.slots).for_each(|slot| slots.make_ready(Slot::new(slot)));
        let tally = Tally::adopt(&memory);
        Self {
            memory,
            slots,
            occupied: Bits::new(layout.slots as usize),
            tally,
            absent: Cell::new(None),
        }
    }

    /// Creates the record of a session.
    ///
    /// # Errors
    ///
    /// Says why there is no room for it, or why it cannot be told apart from another. The table is
    /// then as it was, but for a counter.
    pub fn insert(&mut self, now_ns: u64, session: &Session) -> Result<Slot, Refused> {
        let line = Line::encode(session)?;
        let places = self.vacant_places(session, None)?;
        let taken =
            if line.is_wide() { self.slots.take_pair(now_ns) } else { self.slots.take(now_ns) };
        let counts = &self.memory.header().counts;
        let Some(slot) = taken else {
            counts.refused_no_slot.add(1);
            return Err(Refused::NoSlot);
        };
        let Some(spots) = self.make_room(places) else {
            self.slots.make_ready(slot);
            if line.is_wide() {
                self.slots.make_ready(slot.continuation());
            }
            return Err(Refused::IndexFull);
        };

        let rest = if line.is_wide() { self.memory.continuation(slot) } else { None };
        let record = self.record(slot);
        self.tally.fold(self.memory.header(), slot, record);
        record.publish(rest, &line, now_ns);
        self.enter(slot, places, &spots);

        self.occupied.insert(slot.index());
        counts.inserted.add(1);
        self.count();
        self.grow();
        Ok(slot)
    }

    /// Finds the session whose packets arrive with this tuple, and which way they travel.
    #[must_use]
    pub fn lookup(&self, tuple: &Tuple) -> Option<(Slot, Direction)> {
        let key = AnyKey::new(tuple)?;
        let place = self.place(&key);
        let found = self.find_at(&key, place);
        if found.is_none() {
            self.absent.set(Some((key, place)));
        }
        found
    }

    /// Asks memory for what a [look-up](Self::lookup) of this tuple needs.
    pub fn anticipate(&self, tuple: &Tuple) {
        if let Some(key) = AnyKey::new(tuple) {
            let place = self.place(&key);
            anticipate(self.bucket(place.first));
            anticipate(self.bucket(place.second()));
        }
    }

    /// The session in a slot.
    #[must_use]
    pub fn session(&self, slot: Slot) -> Option<Session> {
        self.line(slot)?.decode()
    }

    /// The policy that the session in a slot was last judged by.
    #[must_use]
    pub fn epoch(&self, slot: Slot) -> Option<u32> {
        self.occupied.contains(slot.index()).then(|| self.record(slot).epoch())
    }

    /// Writes everything about a session but its tuples, which stay as they are. Whether there is a
    /// session in the slot.
    pub fn update(&mut self, slot: Slot, session: &Session) -> bool {
        let (Some(old), Ok(new)) = (self.line(slot), Line::encode(session)) else { return false };
        if !old.has_tuples_of(&new) {
            return false;
        }
        self.record(slot).change(&new);
        true
    }

    /// The flags of the session in a slot.
    #[must_use]
    pub fn flags(&self, slot: Slot) -> Option<Flags> {
        self.occupied.contains(slot.index()).then(|| self.record(slot).flags())
    }

    /// Writes where a session's packets of a direction arrive and leave, and its flags. The rest stays as
    /// it is, and need not be read.
    pub fn set_way(
        &mut self,
        slot: Slot,
        direction: Direction,
        hop: NextHopId,
        interface: u32,
        flags: Flags,
    ) {
        if self.occupied.contains(slot.index()) {
            self.record(slot).change_way(direction, hop, interface, flags);
        }
    }

    /// Writes timeout class and TCP state, which are the engine's own and need no publishing.
    pub fn set_state(&mut self, slot: Slot, class: u8, state: u8) {
        if self.occupied.contains(slot.index()) {
            self.record(slot).set_state(class, state);
        }
    }

    /// Gives a session other tuples of the same families, in the same slot and with its activity.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`Refused::NoSlot`] if there is no session in the slot or it
    /// has not the room. The session is then as it was.
    pub fn rebind(&mut self, slot: Slot, session: &Session) -> Result<(), Refused> {
        let new = Line::encode(session)?;
        let Some(old) = self.line(slot) else { return Err(Refused::NoSlot) };
        let Some(before) = old.decode().filter(|_| old.is_wide() == new.is_wide()) else {
            return Err(Refused::NoSlot);
        };
        let places = self.vacant_places(session, Some(slot))?;
        let stale = PerDirection::new(AnyKey::new(&before.original), AnyKey::new(&before.reply));
        let Some(spots) = self.make_room(places) else { return Err(Refused::IndexFull) };

        let rest = if new.is_wide() { self.memory.continuation(slot) } else { None };
        for key in [stale.egress, stale.ingress].into_iter().flatten() {
            self.withdraw(slot, &key);
        }
        self.record(slot).replace(rest, &new);
        self.enter(slot, places, &spots);
        Ok(())
    }

    /// What was seen of the session in a slot.
    #[must_use]
    pub fn activity(&self, slot: Slot) -> Option<Activity> {
        self.occupied.contains(slot.index()).then(|| self.record(slot).activity.load())
    }

    /// Notes a packet of `length` bytes, as the fast path does.
    pub fn stamp(
        &self,
        now_ns: u64,
        slot: Slot,
        direction: Direction,
        length: u32,
        tcp: Option<TcpMark>,
    ) {
        if self.occupied.contains(slot.index()) {
            self.record(slot).activity.stamp(now_ns, direction, length, tcp);
        }
    }

    /// Counts a packet that was translated and belongs to no session's counters.
    pub fn count_apart(&self, direction: Direction, bytes: u64) {
        self.tally.count_apart(self.memory.header(), direction, bytes);
    }

    /// What all sessions ever carried, for whoever reads it from any thread.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.tally.totals(&self.memory)
    }

    /// Says that no packet of the session is under way in `direction` that another could overtake.
    pub fn settle(&self, slot: Slot, direction: Direction) {
        if self.occupied.contains(slot.index()) {
            self.record(slot).activity.settle(direction);
        }
    }

    /// Notes that a packet of a session has come back from the engine, and is on its way out.
    pub fn give_back(&self, ticket: Ticket) {
        if let Some(record) = self.memory.records().get(ticket.slot.index() as usize) {
            record.activity.give_back(ticket);
        }
    }

    /// Removes a session; its slot rests before it is used again. Gives back what it was.
    pub fn remove(&mut self, now_ns: u64, slot: Slot) -> Option<(Session, Activity)> {
        let line = self.line(slot)?;
        let session = line.decode();
        let activity = self.record(slot).activity.load();

        let freed_ms = milliseconds(now_ns);
        self.release(slot, line.is_wide(), freed_ms);
        for direction in Direction::ALL {
            let key = session.and_then(|session| AnyKey::new(session.arriving(direction)));
            if let Some(key) = key {
                self.withdraw(slot, &key);
            }
        }
        self.memory.header().counts.removed.add(1);
        self.count();
        Some((session?, activity))
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.occupied.len()
    }

    /// Whether there are no sessions.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records and buckets there are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.memory.layout()
    }

    /// How many freed slots rest.
    #[must_use]
    pub fn resting(&self) -> usize {
        self.slots.resting()
    }

    /// The slots in use, in order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.occupied.iter().map(Slot::new)
    }

    /// The first slot in use at or after this one: for walks that are cut in slices.
    #[must_use]
    pub fn next_slot(&self, from: Slot) -> Option<Slot> {
        self.occupied.next(from.index()).map(Slot::new)
    }

    /// The sessions, in order of their slots.
    pub fn sessions(&self) -> impl Iterator<Item = (Slot, Session)> + '_ {
        self.slots().filter_map(|slot| Some((slot, self.session(slot)?)))
    }

    /// The memory that the writer has for itself, in bytes.
    #[must_use]
    pub fn own_memory(&self) -> usize {
        self.slots.memory() + self.occupied.memory() + self.tally.memory()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        self.memory.header().stats()
    }

    /// Sessions of an earlier epoch are left to the engine by the fast path.
    #[must_use]
    pub fn min_epoch(&self) -> u32 {
        self.memory.header().min_epoch()
    }

    /// Raises the epoch below which the fast path leaves sessions to the engine.
    pub fn set_min_epoch(&mut self, epoch: u32) {
        self.memory.header().set_min_epoch(epoch);
    }

    /// The memory, for a [`Reader`](crate::Reader) in the same process.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn place(&self, key: &AnyKey) -> Place {
        self.memory.place(key)
    }

    pub(crate) fn record(&self, slot: Slot) -> &Record {
        &self.memory.records()[slot.index() as usize]
    }

    /// Makes a record vacant and lets its slots rest.
    pub(crate) fn release(&mut self, slot: Slot, wide: bool, freed_ms: u32) {
        let rest = if wide { self.memory.continuation(slot) } else { None };
        self.record(slot).vacate(rest, freed_ms);
        self.slots.rest(slot, freed_ms);
        if wide {
            self.slots.rest(slot.continuation(), freed_ms);
        }
        self.occupied.remove(slot.index());
    }

    /// Where the entries of both places can go; makes room there if there is none.
    fn make_room(&self, places: PerDirection<Place>) -> Option<PerDirection<Spot>> {
        let spots = self.spot(places.egress, None).and_then(|egress| {
            Some(PerDirection::new(egress, self.spot(places.ingress, Some(egress))?))
        });
        if spots.is_none() {
            self.memory.header().counts.refused_index_full.add(1);
        }
        spots
    }

    /// Where an entry can go, other than the spot that is already promised.
    pub(crate) fn spot(&self, place: Place, promised: Option<Spot>) -> Option<Spot> {
        let both = [place.first, place.second()];
        // Where it is looked for first, unless that is full. Full buckets are common this way, but
        // whatever is in one can be moved to another, and few lookups need a second line of memory.
        let vacant = both.into_iter().find_map(|bucket| {
            let place = self.vacancies(bucket, promised).best(place.fingerprint)?;
            Some(Spot { bucket, place })
        });
        vacant.or_else(|| both.into_iter().find_map(|number| self.clear_out(number, promised)))
    }

    pub(crate) fn enter_one(&self, slot: Slot, direction: Direction, place: Place, spot: Spot) {
        self.absent.set(None);
        let entry = Entry::new(place.fingerprint, slot, direction);
        self.bucket(spot.bucket).set(spot.place, entry);
    }

    pub(crate) fn count(&self) {
        let counts = &self.memory.header().counts;
        let sessions = self.len() as u64;
        counts.sessions.store(sessions);
        counts.most_sessions.store(counts.most_sessions.load().max(sessions));
    }

    fn bucket(&self, number: u32) -> &Bucket {
        &self.memory.buckets()[number as usize]
    }

    /// Finds a tuple's record among all entries with its fingerprint.
    fn find_at(&self, key: &AnyKey, place: Place) -> Option<(Slot, Direction)> {
        let (first, second) = (self.bucket(place.first), self.bucket(place.second()));
        // Both are read before either is judged, so that the processor waits for memory once.
        let in_first = first.marked(place.fingerprint);
        let in_second = second.marked(place.fingerprint);
        let in_first = in_first.map(|place| first.entry(place));
        in_first
            .chain(in_second.map(|place| second.entry(place)))
            .find_map(|entry| verify(&self.memory, self.memory.header(), entry, key))
            .map(|hit| (hit.slot, hit.direction))
    }

    fn line(&self, slot: Slot) -> Option<Line> {
        let occupied = slot.index() < self.layout().slots && self.occupied.contains(slot.index());
        occupied.then(|| self.record(slot).load(self.memory.continuation(slot)))
    }

    /// The places of both tuples, if no other session has them.
    fn vacant_places(
        &self,
        session: &Session,
        own: Option<Slot>,
    ) -> Result<PerDirection<Place>, Refused> {
        let vacant = |tuple| {
            let key = AnyKey::new(tuple).ok_or(Unencodable::MixedFamilies)?;
            if let Some((absent, place)) = self.absent.get()
                && absent == key
            {
                return Ok(place);
            }
            let place = self.place(&key);
            match self.find_at(&key, place) {
                Some((slot, direction)) if Some(slot) != own => {
                    self.memory.header().counts.refused_taken.add(1);
                    Err(Refused::Taken { slot, direction })
                }
                Some(_) | None => Ok(place),
            }
        };
        Ok(PerDirection::new(vacant(&session.original)?, vacant(&session.reply)?))
    }

    fn enter(&self, slot: Slot, places: PerDirection<Place>, spots: &PerDirection<Spot>) {
        for direction in Direction::ALL {
            self.enter_one(slot, direction, places[direction], spots[direction]);
        }
    }

    /// Takes the entries of a key out that point to this slot.
    fn withdraw(&self, slot: Slot, key: &AnyKey) {
        let place = self.place(key);
        for number in [place.first, place.second()] {
            let bucket = self.bucket(number);
            for i in 0..Bucket::ENTRIES {
                let entry = bucket.entry(i);
                if entry.fingerprint() == place.fingerprint && entry.slot() == slot {
                    bucket.set(i, Entry::VACANT);
                }
            }
        }
    }

    /// The vacant places of a bucket, less the spot that is promised.
    fn vacancies(&self, number: u32, promised: Option<Spot>) -> Places {
        let except = promised.filter(|spot| spot.bucket == number).map(|spot| spot.place);
        self.bucket(number).vacancies().except(except)
    }

    /// Takes more buckets into use, as long as those in use are too full.
    pub(crate) fn grow(&self) {
        let header = self.memory.header();
        let entries = 2 * self.len() as u64;
        let mut extent = header.extent();
        while entries > FILLED * u64::from(extent.in_use()) {
            let Some((split, grown)) = extent.grown(self.layout().buckets) else { return };
            let (from, to) = (self.bucket(split), self.bucket(grown.in_use() - 1));
            let home = split % extent.base();
            let moving = from.occupied(|entry| grown.bucket(home, entry.fingerprint()) != split);
            // Whatever moves is in both while readers may look for it in either.
            moving.for_each(|place| to.set(place, from.entry(place)));
            crate::word::release();
            header.set_extent(grown);
            crate::word::release();
            self.absent.set(None);
            moving.for_each(|place| from.set(place, Entry::VACANT));
            extent = grown;
        }
    }

    /// Moves one entry of a full bucket to its other bucket.
    fn clear_out(&self, number: u32, promised: Option<Spot>) -> Option<Spot> {
        let bucket = self.bucket(number);
        let extent = self.memory.header().extent();
        (0..Bucket::ENTRIES).find_map(|place| {
            let spot = Spot { bucket: number, place };
            let entry = bucket.entry(place);
            if Some(spot) == promised || entry.is_vacant() {
                return None;
            }
            let other = extent.other(number, entry.fingerprint());
            let target = self.vacancies(other, promised).best(entry.fingerprint())?;
            self.bucket(other).set(target, entry);
            crate::word::release();
            bucket.set(place, Entry::VACANT);
            self.memory.header().counts.moved_entries.add(1);
            Some(spot)
        })
    }
}

/// How many of its eight entries a bucket has on average before more buckets are taken into use: few
/// enough that hardly an entry lies in its second.
const FILLED: u64 = 3;

/// A place for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    bucket: u32,
    place: usize,
}

/// Why a session was not put into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Both buckets of a tuple are full.
    #[error("the index has no room for the session's tuples")]
    IndexFull,
    /// Every slot is occupied or rests.
    #[error("every slot of the flow table is occupied or resting")]
    NoSlot,
    /// Another session has one of the tuples.
    #[error("slot {slot} has the same tuple as {direction}")]
    Taken {
        /// The other session.
        slot: Slot,
        /// Which of its tuples it is.
        direction: Direction,
    },
    /// No record can hold the session.
    #[error(transparent)]
    Unencodable(#[from] Unencodable),
}
