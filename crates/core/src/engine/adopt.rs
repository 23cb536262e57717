//! Taking over the sessions of a predecessor.
//!
//! The records are the truth: mappings, ports in use, limits and timers are built from them. A
//! session that the policy has no place for, or whose outside endpoint belongs to another inside
//! host (which no engine writes), ends. Routes may have changed since the predecessor looked, so a walk
//! follows.

use masq_flow::{Session, Slot};

use super::Engine;
use crate::event::EndReason;
use crate::limits::Usage;
use crate::mapping::Book;
use crate::session::{Kind, Scope, Sessions, inside_addresses, outside_addresses, space_of};
use crate::time::Instant;

impl Engine {
    pub(crate) fn adopt(&mut self, now: Instant) {
        let (sessions, scope) = self.sessions(now);
        let mut found: Vec<(u32, Slot)> =
            sessions.table.sessions().map(|(slot, session)| (session.created, slot)).collect();
        // The order in which they began is the order in which they may be given up.
        found.sort_unstable();
        let epochs =
            found.iter().filter_map(|(_, slot)| Some(sessions.table.session(*slot)?.epoch));
        let newest = epochs.fold(scope.epoch, |newest, epoch| {
            if (epoch.wrapping_sub(newest) as i32) > 0 { epoch } else { newest }
        });
        for (_, slot) in found {
            let Some(session) = sessions.table.session(slot) else { continue };
            if sessions.adopt(&scope, slot, &session) {
                scope.stats.adopted += 1;
            } else {
                sessions.table.remove(now.as_nanos(), slot);
                let reason = EndReason::Policy;
                scope.events.push(crate::Event::SessionRemoved { slot, session, reason });
            }
        }
        if !self.sessions.table.is_empty() {
            // Beyond those of a walk that the predecessor did not end.
            self.epoch = newest;
            self.handle_routes();
        }
    }
}

impl Sessions {
    /// Takes a session over that is in the table already; whether it may stay.
    fn adopt(&mut self, scope: &Scope<'_>, slot: Slot, session: &Session) -> bool {
        let policy = scope.policy;
        if !inside_addresses(session).all(|address| policy.is_inside(address))
            || !outside_addresses(session).all(|address| policy.outside_of(address).is_some())
        {
            return false;
        }
        match Kind::of(session) {
            Kind::Mapped => self.adopt_mapped(scope, slot, session),
            Kind::Plain => {
                self.join(scope, slot, session, None);
                true
            }
        }
    }

    fn adopt_mapped(&mut self, scope: &Scope<'_>, slot: Slot, session: &Session) -> bool {
        let (inside, outside) = (session.original.source, session.reply.destination);
        let protocol = session.original.protocol;
        let book = Book { table: &self.table, policy: scope.policy };
        let head = self.mappings.of_outside(book, protocol, outside);
        if let Some(first) = head.and_then(|head| self.table.session(head)) {
            if first.original.source != inside {
                return false;
            }
        } else if let Some(space) = space_of(protocol)
            && self.ports.claim_exact(outside.addr, space, outside.port).is_err()
        {
            return false;
        }
        let found = Usage { sessions: 1, mappings: u32::from(head.is_none()) };
        self.hosts.restore(scope.now, inside.addr, found);
        self.join(scope, slot, session, head);
        if head.is_none() && !protocol.has_ports() {
            self.own_protocol(protocol);
        }
        true
    }

    /// Gives a session in the table its place among the mappings, its timer and its chance to be
    /// given up.
    pub(crate) fn join(
        &mut self,
        scope: &Scope<'_>,
        slot: Slot,
        session: &Session,
        head: Option<Slot>,
    ) {
        match Kind::of(session) {
            Kind::Mapped => {
                let book = Book { table: &self.table, policy: scope.policy };
                self.mappings.link(book, slot, session, head);
                self.pins.add(slot, session);
            }
            Kind::Plain => self.plain += 1,
        }
        let activity = self.table.activity(slot).unwrap_or_default();
        self.arm(scope, slot, session, &activity);
        if Self::state(session, &activity).is_some_and(|state| state.is_over()) {
            self.reclaim.push_over(session, slot);
        } else if !Self::is_answered(&activity) {
            self.reclaim.push_unanswered(session, slot);
        }
    }
}
