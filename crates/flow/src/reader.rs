//! Looking at a table without owning it, from any thread and through a read-only mapping.
//!
//! Nothing stops for a reader. A record that changes while it is read is read again, a few times;
//! one that changes all the while is skipped and counted, since whoever lists a million sessions
//! gets no instant's picture anyway.

use masq_wire::Tuple;

use crate::activity::Activity;
use crate::bucket::Slot;
use crate::direction::Direction;
use crate::header::{HeaderError, Layout, TableStats};
use crate::index::{Source as _, find};
use crate::key::AnyKey;
use crate::memory::Memory;
use crate::session::Session;

/// A view of a table that somebody else owns.
#[derive(Clone, Debug)]
pub struct Reader {
    memory: Memory,
}

/// A session as it was at the instant of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where its record is.
    pub slot: Slot,
    /// What was decided about it.
    pub session: Session,
    /// What was seen of it.
    pub activity: Activity,
}

/// What reading a slot gave.
enum Read {
    Session(Seen),
    Torn,
    Vacant,
}

impl Reader {
    /// A view of the table in this memory.
    ///
    /// # Errors
    ///
    /// If there is no table that this program understands.
    pub fn new(memory: Memory) -> Result<Self, HeaderError> {
        memory.header().check(memory.layout())?;
        Ok(Self { memory })
    }

    /// How many records and buckets there are.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.memory.layout()
    }

    /// What happened in the table so far.
    #[must_use]
    pub fn stats(&self) -> TableStats {
        self.memory.header().stats()
    }

    /// The session in a slot; none if there is none, or if it changes all the while.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<Seen> {
        match self.read(slot) {
            Read::Session(seen) => Some(seen),
            Read::Torn | Read::Vacant => None,
        }
    }

    /// Finds a session by the tuple of its packets, as the fast path does: it may miss one that is
    /// changing.
    #[must_use]
    pub fn lookup(&self, tuple: &Tuple) -> Option<(Seen, Direction)> {
        let key = AnyKey::new(tuple)?;
        let hit = find(&self.memory, self.memory.header(), &key)?;
        let seen = self.get(hit.slot)?;
        (seen.session.arriving(hit.direction) == tuple).then_some((seen, hit.direction))
    }

    /// Every session, in order of slots. It can be stopped and gone on with by slot, so that a
    /// listing need not be made in one piece.
    pub fn sessions(&self) -> Sessions<'_> {
        self.sessions_from(Slot::new(0))
    }

    /// Every session in this slot and those after it.
    pub fn sessions_from(&self, slot: Slot) -> Sessions<'_> {
        Sessions { reader: self, next: slot.index(), torn: 0 }
    }

    pub(crate) const fn memory(&self) -> &Memory {
        &self.memory
    }

    fn read(&self, slot: Slot) -> Read {
        let Some(record) = self.memory.record(slot) else { return Read::Vacant };
        for _ in 0..ATTEMPTS {
            if !record.is_occupied() && record.sequence() & 1 == 0 || record.is_continuation() {
                return Read::Vacant;
            }
            let Some(sequence) = record.begin_read() else {
                core::hint::spin_loop();
                continue;
            };
            let line = record.load(self.memory.continuation(slot));
            let activity = record.activity.load();
            if record.is_unchanged(sequence) {
                return match line.decode() {
                    Some(session) => Read::Session(Seen { slot, session, activity }),
                    None => Read::Vacant,
                };
            }
        }
        Read::Torn
    }
}

/// The sessions of a table; see [`Reader::sessions`].
#[derive(Debug)]
pub struct Sessions<'a> {
    reader: &'a Reader,
    next: u32,
    torn: u64,
}

impl Sessions<'_> {
    /// How many records were skipped because they changed all the while.
    #[must_use]
    pub const fn torn(&self) -> u64 {
        self.torn
    }
}

impl Iterator for Sessions<'_> {
    type Item = Seen;

    fn next(&mut self) -> Option<Seen> {
        while self.next < self.reader.layout().slots {
            let slot = Slot::new(self.next);
            self.next += 1;
            match self.reader.read(slot) {
                Read::Session(seen) => return Some(seen),
                Read::Torn => self.torn += 1,
                Read::Vacant => {}
            }
        }
        None
    }
}

/// How often a record is read before it is given up. A change takes tens of nanoseconds.
const ATTEMPTS: usize = 64;
