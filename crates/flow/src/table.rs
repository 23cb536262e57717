//! The writer: the one owner of a table, which creates, changes and removes records.
//!
//! **Order of writing.** A record is published before its index entries appear, and made vacant
//! before they disappear. An entry that is moved appears in its new bucket before it disappears
//! from the old. So a reader at any instant finds a whole session or none (none also of one that is
//! there, if it looks for an entry that is being moved), and whatever instant the writer dies at,
//! [adoption](Writer::adopt) finds something it can finish or drop.
//!
//! **Limits.** A session is refused when no slot is ready, and when both buckets of one of its
//! tuples are full and none of the sixteen entries there can be moved to its other bucket (`entries`
//! says how far that is away). Refusals are counted in the header and change nothing else.
//!
//! **Trust.** What a running writer goes by it has for itself: which slots are in use, the keys of the
//! hash, and how far the index has grown. The last two stand in the header too, for readers, but are
//! never read back: a stray write there costs readers their sessions, and not the writer its life.

use std::sync::Arc;

use core::cell::Cell;

use masq_wire::Tuple;

use crate::activity::{Activity, TcpMark};
use crate::anticipate::anticipate;
use crate::bits::Bits;
use crate::bucket::{Bucket, Slot};
use crate::direction::{Direction, PerDirection};
use crate::entries::Own;
use crate::extent::Extent;
use crate::hash::Secret;
use crate::header::{Layout, TableStats};
use crate::index::Place;
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
    pub(crate) own: Own,
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
        let own = Own::new(memory.header(), Extent::of(layout.buckets));
        Self {
            memory,
            slots,
            occupied: Bits::new(layout.slots as usize),
            tally,
            absent: Cell::new(None),
            own,
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

    pub(crate) fn count(&self) {
        let counts = &self.memory.header().counts;
        let sessions = self.len() as u64;
        counts.sessions.store(sessions);
        counts.most_sessions.store(counts.most_sessions.load().max(sessions));
    }

    fn line(&self, slot: Slot) -> Option<Line> {
        let occupied = slot.index() < self.layout().slots && self.occupied.contains(slot.index());
        occupied.then(|| self.record(slot).load(self.memory.continuation(slot)))
    }
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
