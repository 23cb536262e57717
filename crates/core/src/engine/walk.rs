//! The walk: every session is looked at, a few at a time.
//!
//! # Theory of operation
//!
//! What sessions were judged by changes: the policy, the routes; and time passes, after which
//! neighbours have to be known as in use. Looking at a million sessions takes the better part of a
//! second, in which packets would be lost. So the engine takes a new *epoch*, and walks:
//!
//! ```text
//!   slots   0 ······················ at ····················· last
//!           epoch new, next hops true │ epoch old: as it was judged before
//!                                     └──► a slice each time that it is called
//! ```
//!
//! - What comes to the engine is judged by what is true now: new flows in any case, and a session of
//!   an older epoch is looked at before its packet. So a session is new by the walk or by a packet,
//!   whichever comes first.
//! - What the fast path carries goes on meanwhile by its record as it was. When the walk has passed
//!   all slots, the minimum epoch is raised; by then no record needs it, and nothing goes to the
//!   engine for it.
//! - The table is a circle. A change while a walk is under way makes it pass all slots once more,
//!   beginning where it is: however often things change, each change reaches each session within
//!   one turn.
//!
//! # What is done with a session
//!
//! It ends, moves or stays as the policy has it (`plan`); its timer is set, and its mapping filed,
//! where the policy has changed what that depends on; and if packets of it were seen lately, both
//! its ways are asked for again (`way`), which tells the router which neighbours are in use. The
//! record of an idle session loses its next hops, which may mean others by the time it goes on; and
//! so does a direction whose way is gone. The engine sees the next packet then, and ends the session
//! if it has to.
//!
//! # Epochs
//!
//! They only have to differ, since each walk leaves all records with one. After 2³² walks the number
//! is 0 again, and less than the minimum: all packets go to the engine until that walk is done.

use core::net::IpAddr;
use std::collections::BTreeSet;

use masq_flow::{Activity, Direction, Flags, NextHopId, Session, Slot, Writer};

use super::Engine;
use super::plan::{Fate, Plan};
use crate::policy::Difference;
use crate::routes::Routes;
use crate::session::last_seen;
use crate::time::{Duration, Instant};

/// A walk that is under way.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The slot that comes next.
    at: u32,
    /// How many slots are to be passed.
    left: u32,
    /// The mappings have other keys.
    mapping: bool,
    /// Timers have to be set.
    timeouts: bool,
    /// Addresses whose filter has become another.
    filtering: BTreeSet<IpAddr>,
    /// What was done so far, if it is because of a policy.
    plan: Option<Plan>,
}

impl Walk {
    /// Takes the next session's slot in the circle.
    fn next(&mut self, table: &Writer) -> Option<Slot> {
        loop {
            let end = table.layout().slots.min(self.at + self.left);
            let found = table.next_slot(Slot::new(self.at)).filter(|slot| slot.index() < end);
            let next = found.map_or(end, |slot| slot.index() + 1);
            self.left -= next - self.at;
            self.at = if next == table.layout().slots { 0 } else { next };
            if found.is_some() || self.left == 0 {
                return found;
            }
        }
    }
}

impl Engine {
    /// Has the ways of all sessions looked at, because routes have changed or time has passed.
    ///
    /// [`Engine::walk`] does it. To be called at least once in [`Engine::LOOK_AGAIN`], so that the
    /// neighbours of all sessions that are in use are known to be so.
    pub fn handle_routes(&mut self) {
        self.begin_walk();
    }

    /// Looks at as many sessions as said, if there is cause to; whether there are more.
    ///
    /// As long as there are, it should be called after each batch of packets.
    pub fn walk(&mut self, now: Instant, routes: &dyn Routes, most: usize) -> bool {
        let mut left = most.saturating_mul(PASSED);
        while left > 0 {
            let Some(walk) = &mut self.walk else { return false };
            let Some(slot) = walk.next(&self.sessions.table) else {
                self.end_walk();
                return false;
            };
            left -= 1;
            if self.sessions.table.epoch(slot) != Some(self.epoch)
                && let Some(session) = self.sessions.table.session(slot)
            {
                left = left.saturating_sub(PASSED - 1);
                self.renew(now, routes, slot, session);
            }
        }
        self.walk.is_some()
    }

    /// Whether there are sessions to look at.
    #[must_use]
    pub const fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// Takes what became of the sessions because of the policies that were applied since it was
    /// asked last, when all of them have been looked at.
    pub fn poll_plan(&mut self) -> Option<Plan> {
        self.done.take()
    }

    /// Whether a policy is on its way to the sessions.
    pub(crate) fn is_judging(&self) -> bool {
        self.walk.as_ref().is_some_and(|walk| walk.plan.is_some())
    }

    fn begin_walk(&mut self) -> &mut Walk {
        self.epoch = self.epoch.wrapping_add(1);
        let walk = self.walk.get_or_insert_default();
        walk.left = self.sessions.table.layout().slots;
        walk
    }

    /// Begins a walk because of a policy.
    pub(crate) fn begin_judging(&mut self, difference: Difference, plan: Plan) {
        let walk = self.begin_walk();
        walk.mapping |= difference.mapping;
        walk.timeouts |= difference.timeouts;
        walk.filtering.extend(difference.filtering);
        let before = walk.plan.take().unwrap_or_default();
        // All that are left are counted again.
        walk.plan = Some(Plan { moved: before.moved, ended: before.ended, ..plan });
    }

    fn end_walk(&mut self) {
        self.sessions.table.set_min_epoch(self.epoch);
        let Some(plan) = self.walk.take().and_then(|walk| walk.plan) else { return };
        self.forget_addresses();
        self.set_owned();
        self.done = Some(plan);
    }

    /// Looks at a session of an older epoch; gives it as it is from here on, unless it has ended.
    pub(crate) fn renew(
        &mut self,
        now: Instant,
        routes: &dyn Routes,
        slot: Slot,
        session: Session,
    ) -> Option<Session> {
        let activity = self.sessions.table.activity(slot).unwrap_or_default();
        let mut session = self.judge(now, routes, slot, session, &activity)?;
        let idle = last_seen(&session, &activity) + ACTIVE < now;
        for direction in Direction::ALL {
            session.next_hops[direction] =
                if idle { NextHopId::NONE } else { self.next_hop(routes, &session, direction) };
        }
        session.epoch = self.epoch;
        self.sessions.table.update(slot, &session);
        Some(session)
    }

    /// Does what the policy has in mind for a session.
    fn judge(
        &mut self,
        now: Instant,
        routes: &dyn Routes,
        slot: Slot,
        mut session: Session,
        activity: &Activity,
    ) -> Option<Session> {
        let none = BTreeSet::new();
        let walk = self.walk.as_ref();
        let filtering = walk.map_or(&none, |walk| &walk.filtering);
        let (mapping, timeouts) = walk.map_or((false, false), |walk| (walk.mapping, walk.timeouts));
        let fate = Fate::of(&self.policy, filtering, &session, activity);
        let unsettled = session.flags & (Flags::HAIRPIN | Flags::FORWARDED | Flags::ANSWERED)
            == Flags::HAIRPIN | Flags::FORWARDED;
        if unsettled && filtering.contains(&session.original.destination.addr) {
            // Let in by the filter as it was; its next packet meets the present one.
            session.flags.remove(Flags::FORWARDED);
            session.next_hops[Direction::Egress] = NextHopId::NONE;
        }
        let (sessions, mut scope) = self.sessions(now);
        let alive = match fate {
            Fate::End(reason) => {
                sessions.remove(&mut scope, slot, reason);
                None
            }
            Fate::Keep => {
                if mapping {
                    sessions.file_mapping(&scope, slot, &session);
                }
                Some(session)
            }
            Fate::Move => sessions.relocate(&mut scope, routes, slot, session),
        };
        if alive.is_some() && timeouts {
            sessions.arm(&scope, slot, &session, activity);
        }
        if let Some(plan) = self.walk.as_mut().and_then(|walk| walk.plan.as_mut()) {
            match (fate, alive) {
                (Fate::End(_), _) | (_, None) => plan.ended += 1,
                (Fate::Keep, Some(_)) => plan.kept += 1,
                (Fate::Move, Some(_)) => plan.moved += 1,
            }
        }
        alive
    }

    /// How long the ways of sessions may go without being looked at.
    pub const LOOK_AGAIN: Duration = Duration::from_secs(60);
}

/// How many sessions that are of this epoch already may be passed in the place of one that is looked at. A
/// pass reads one word of a record; a look reads all of it, asks for two ways, and writes. With a place for
/// each, a walk in a burst of new flows did not come to the end of those, which are of the epoch: that took
/// a twentieth of the worker's time.
const PASSED: usize = 8;

/// A session of which nothing was seen for so long is idle. Longer than the time between two looks,
/// so that no next hop of a session that is in use goes without being asked for.
const ACTIVE: Duration = Duration::from_secs(120);
