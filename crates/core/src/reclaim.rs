//! Making room under pressure: which sessions are given up for new ones.
//!
//! Only two kinds are, the oldest first (RFC 6888 REQ-11 forbids to end any other): sessions that
//! nobody has ever answered, and after those TCP connections that are over. Each outside address and
//! protocol has a queue of both, in the order in which sessions were created or ended. Entries
//! are judged when they come up: a session that was answered in the meantime is passed over. So
//! nothing is searched, and an answer costs nothing.
//!
//! Sessions without a mapping have a queue of their own. Who loses one loses nothing, since the next
//! packet begins another: so all of them may go, first those that nobody answered, before any other
//! session, and last those that were answered, after all others. A scan between insides costs no
//! translated flow its session, and no flow that works.

use core::net::IpAddr;
use std::collections::BTreeMap;

use masq_flow::{Session, Slot};

use crate::event::EndReason;
use crate::lists::Lists;
use crate::policy::number;
use crate::ports::PortSpace;
use crate::session::{Kind as SessionKind, Scope, Sessions, space_of};

/// Entries that are judged for one new session at most.
const TRIES: usize = 64;

/// Candidates of every outside address and protocol.
#[derive(Debug)]
pub(crate) struct Reclaim {
    /// The number of the first of its lists, one for each kind.
    queues: BTreeMap<Key, usize>,
    lists: Lists,
    /// First lists of queues that are not needed any more.
    spare: Vec<usize>,
    /// Where the oldest of each kind was.
    oldest: [Option<Oldest>; Kind::ALL.len()],
}

/// Which sessions stand in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// Those without a mapping.
    Plain,
    /// Those of an outside address, as a number, and a protocol.
    Mapped(u128, PortSpace),
}

impl Key {
    const fn mapped(address: IpAddr, space: PortSpace) -> Self {
        Self::Mapped(number(address), space)
    }
}

/// The kinds of sessions that are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unanswered,
    Over,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Unanswered, Self::Over];
}

/// A queue, and up to which second of creation its entries are older than those of all others.
#[derive(Clone, Copy, Debug)]
struct Oldest {
    key: Key,
    until: u32,
}

impl Reclaim {
    /// No candidates among so many slots.
    pub(crate) fn new(slots: u32) -> Self {
        let lists = Lists::new(slots, 0);
        Self { queues: BTreeMap::new(), lists, spare: Vec::new(), oldest: [None; 2] }
    }

    /// A session began.
    pub(crate) fn push_unanswered(&mut self, session: &Session, slot: Slot) {
        self.lists.remove(slot);
        if let Some(key) = key_of(session) {
            self.push(key, Kind::Unanswered, slot);
        }
    }

    /// A TCP connection is over.
    pub(crate) fn push_over(&mut self, session: &Session, slot: Slot) {
        self.lists.remove(slot);
        if let Some(key) = key_of(session) {
            self.push(key, Kind::Over, slot);
        }
    }

    /// Whether any mapping of an address and protocol may be worth looking at.
    pub(crate) fn has_any(&self, address: IpAddr, space: PortSpace) -> bool {
        let key = Key::mapped(address, space);
        Kind::ALL.iter().any(|kind| self.first(key, *kind).is_some())
    }

    /// A session ended.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.lists.remove(slot);
    }

    /// Forgets an address that is not ours any more.
    pub(crate) fn remove_address(&mut self, address: IpAddr) {
        for space in PortSpace::ALL {
            let Some(first) = self.queues.remove(&Key::mapped(address, space)) else { continue };
            for kind in Kind::ALL {
                while let Some(slot) = self.lists.first(first + kind as usize) {
                    self.lists.remove(slot);
                }
            }
            self.spare.push(first);
        }
    }

    /// The memory that is taken, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.lists.memory()
    }

    fn push(&mut self, key: Key, kind: Kind, slot: Slot) {
        let Self { queues, lists, spare, .. } = self;
        let first = *queues.entry(key).or_insert_with(|| {
            spare.pop().unwrap_or_else(|| {
                let first = lists.add_list();
                lists.add_list();
                first
            })
        });
        lists.push(first + kind as usize, slot);
    }

    fn first(&self, key: Key, kind: Kind) -> Option<Slot> {
        self.lists.first(*self.queues.get(&key)? + kind as usize)
    }

    fn pop(&mut self, key: Key, kind: Kind) -> Option<Slot> {
        let slot = self.first(key, kind)?;
        self.lists.remove(slot);
        Some(slot)
    }
}

impl Sessions {
    /// Ends one mapping that may be given up, so that its port is free; whether there was one.
    pub(crate) fn reclaim_port(
        &mut self,
        scope: &mut Scope<'_>,
        address: IpAddr,
        space: PortSpace,
    ) -> bool {
        let key = Key::mapped(address, space);
        for kind in [Kind::Unanswered, Kind::Over] {
            for _ in 0..TRIES {
                let Some(slot) = self.reclaim.pop(key, kind) else { break };
                if !self.may_go(key, kind, slot) {
                    continue;
                }
                if !self.mappings.is_alone(slot) {
                    // Ending it would not free the port, and its mapping is in use.
                    self.reclaim.push(key, kind, slot);
                } else if self.remove(scope, slot, EndReason::Reclaimed) {
                    return true;
                }
            }
        }
        false
    }

    /// Ends one session that may be given up, so that its record will be free.
    pub(crate) fn reclaim_record(&mut self, scope: &mut Scope<'_>) {
        if self.reclaim_unanswered_plain(scope) {
            return;
        }
        for kind in [Kind::Unanswered, Kind::Over] {
            for _ in 0..TRIES {
                let Some((key, slot)) = self.oldest(kind) else { break };
                self.reclaim.pop(key, kind);
                if self.may_go(key, kind, slot) {
                    self.remove(scope, slot, EndReason::Reclaimed);
                    return;
                }
            }
        }
        self.reclaim_plain(scope);
    }

    /// Ends one session without a mapping; whether there was one.
    pub(crate) fn reclaim_plain(&mut self, scope: &mut Scope<'_>) -> bool {
        if self.reclaim_unanswered_plain(scope) {
            return true;
        }
        let Some(slot) = self.reclaim.pop(Key::Plain, Kind::Over) else { return false };
        self.remove(scope, slot, EndReason::Reclaimed);
        true
    }

    fn reclaim_unanswered_plain(&mut self, scope: &mut Scope<'_>) -> bool {
        for _ in 0..TRIES {
            let Some(slot) = self.reclaim.pop(Key::Plain, Kind::Unanswered) else { break };
            if self.may_go(Key::Plain, Kind::Unanswered, slot) {
                self.remove(scope, slot, EndReason::Reclaimed);
                return true;
            }
            self.reclaim.push(Key::Plain, Kind::Over, slot);
        }
        false
    }

    /// The queue whose first entry was created first. While many are given up, all queues are looked
    /// through once for all that are older than the others' first.
    fn oldest(&mut self, kind: Kind) -> Option<(Key, Slot)> {
        if let Some(Oldest { key, until }) = self.reclaim.oldest[kind as usize]
            && let Some(slot) = self.reclaim.first(key, kind)
            && self.created(slot) <= until
        {
            return Some((key, slot));
        }
        let mut until = u32::MAX;
        let mut oldest: Option<(u32, Key, Slot)> = None;
        for key in self.reclaim.queues.keys().filter(|key| **key != Key::Plain) {
            let Some(slot) = self.reclaim.first(*key, kind) else { continue };
            let created = self.created(slot);
            match oldest {
                Some((least, ..)) if least <= created => until = until.min(created),
                Some((least, ..)) => {
                    until = least;
                    oldest = Some((created, *key, slot));
                }
                None => oldest = Some((created, *key, slot)),
            }
        }
        let (_, key, slot) = oldest?;
        self.reclaim.oldest[kind as usize] = Some(Oldest { key, until });
        Some((key, slot))
    }

    fn created(&self, slot: Slot) -> u32 {
        self.table.session(slot).map_or(0, |session| session.created)
    }

    /// Whether the session in a slot is one of the kind, on that address and protocol.
    fn may_go(&self, key: Key, kind: Kind, slot: Slot) -> bool {
        let (Some(session), Some(activity)) = (self.table.session(slot), self.table.activity(slot))
        else {
            return false;
        };
        let fits = match kind {
            Kind::Unanswered => !Self::is_answered(&activity),
            Kind::Over => Self::state(&session, &activity).is_some_and(|state| state.is_over()),
        };
        fits && key_of(&session) == Some(key) && !self.pins.has(&session)
    }
}

fn key_of(session: &Session) -> Option<Key> {
    match SessionKind::of(session) {
        SessionKind::Mapped => {
            let space = space_of(session.original.protocol)?;
            Some(Key::mapped(session.reply.destination.addr, space))
        }
        SessionKind::Plain => Some(Key::Plain),
    }
}
