//! Making room under pressure: which sessions are given up for new ones.
//!
//! Only two kinds are, the oldest first (RFC 6888 REQ-11 forbids to end any other): sessions that
//! nobody has ever answered, and after those TCP connections that are over. Each outside address and
//! protocol has a queue of both, in the order in which sessions were created or ended. Entries
//! are judged when they come up: a session that was answered in the meantime, or is gone, is
//! passed over. So nothing is searched, and an answered session costs nothing.

use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};

use masq_flow::{Session, Slot};

use crate::event::EndReason;
use crate::ports::PortSpace;
use crate::session::{Scope, Sessions, space_of};

/// Entries that are judged for one new session at most.
const TRIES: usize = 64;
/// Queues shorter than this are never tidied.
const SHORT: usize = 1024;

/// Candidates of every outside address and protocol.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    queues: BTreeMap<(IpAddr, PortSpace), Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    unanswered: Queue,
    over: Queue,
}

#[derive(Debug, Default)]
struct Queue {
    slots: VecDeque<u32>,
    tidy_at: usize,
}

impl Queue {
    fn push(&mut self, slot: Slot) {
        self.slots.push_back(slot.index());
    }

    fn pop(&mut self) -> Option<Slot> {
        self.slots.pop_front().map(Slot::new)
    }

    /// Whether so many entries came that it pays to look for those that are good for nothing.
    fn is_untidy(&self) -> bool {
        self.slots.len() > self.tidy_at.max(SHORT)
    }

    fn tidy(&mut self, mut keep: impl FnMut(Slot) -> bool) {
        self.slots.retain(|slot| keep(Slot::new(*slot)));
        self.tidy_at = self.slots.len() * 2;
    }
}

/// The kinds of sessions that are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unanswered,
    Over,
}

impl Reclaim {
    /// A session began.
    pub(crate) fn push_unanswered(&mut self, session: &Session, slot: Slot) {
        if let Some(queues) = self.queues_of(session) {
            queues.unanswered.push(slot);
        }
    }

    /// A TCP connection is over.
    pub(crate) fn push_over(&mut self, session: &Session, slot: Slot) {
        if let Some(queues) = self.queues_of(session) {
            queues.over.push(slot);
        }
    }

    fn queues_of(&mut self, session: &Session) -> Option<&mut Queues> {
        let key = key_of(session)?;
        Some(self.queues.entry(key).or_default())
    }

    fn pop(&mut self, key: (IpAddr, PortSpace), kind: Kind) -> Option<Slot> {
        let queues = self.queues.get_mut(&key)?;
        match kind {
            Kind::Unanswered => queues.unanswered.pop(),
            Kind::Over => queues.over.pop(),
        }
    }

    fn push_back(&mut self, key: (IpAddr, PortSpace), kind: Kind, slot: Slot) {
        let queues = self.queues.entry(key).or_default();
        match kind {
            Kind::Unanswered => queues.unanswered.push(slot),
            Kind::Over => queues.over.push(slot),
        }
    }

    /// Forgets an address that is not ours any more.
    pub(crate) fn remove_address(&mut self, address: IpAddr) {
        self.queues.retain(|(ours, _), _| *ours != address);
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
        let key = (address, space);
        for kind in [Kind::Unanswered, Kind::Over] {
            for _ in 0..TRIES {
                let Some(slot) = self.reclaim.pop(key, kind) else { break };
                if !self.may_go(key, kind, slot) {
                    continue;
                }
                if !self.mappings.is_alone(slot) {
                    // Ending it would not free the port, and its mapping is in use.
                    self.reclaim.push_back(key, kind, slot);
                } else if self.remove(scope, slot, EndReason::Reclaimed) {
                    return true;
                }
            }
        }
        false
    }

    /// Ends one session that may be given up, so that its record will be free.
    pub(crate) fn reclaim_record(&mut self, scope: &mut Scope<'_>) {
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
    }

    /// Drops entries that are good for nothing from queues that have grown long.
    pub(crate) fn tidy_reclaim(&mut self) {
        let mut reclaim = core::mem::take(&mut self.reclaim);
        for (key, queues) in &mut reclaim.queues {
            if queues.unanswered.is_untidy() {
                queues.unanswered.tidy(|slot| self.may_go(*key, Kind::Unanswered, slot));
            }
            if queues.over.is_untidy() {
                queues.over.tidy(|slot| self.may_go(*key, Kind::Over, slot));
            }
        }
        self.reclaim = reclaim;
    }

    /// The queue whose first entry was created first.
    fn oldest(&self, kind: Kind) -> Option<((IpAddr, PortSpace), Slot)> {
        let fronts = self.reclaim.queues.iter().filter_map(|(key, queues)| {
            let queue = match kind {
                Kind::Unanswered => &queues.unanswered,
                Kind::Over => &queues.over,
            };
            let slot = Slot::new(*queue.slots.front()?);
            let created = self.table.session(slot).map_or(0, |session| session.created);
            Some((created, *key, slot))
        });
        fronts.min().map(|(_, key, slot)| (key, slot))
    }

    /// Whether the session in a slot is one of the kind, on that address and protocol.
    fn may_go(&self, key: (IpAddr, PortSpace), kind: Kind, slot: Slot) -> bool {
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

fn key_of(session: &Session) -> Option<(IpAddr, PortSpace)> {
    let space = space_of(session.original.protocol)?;
    Some((session.reply.destination.addr, space))
}
